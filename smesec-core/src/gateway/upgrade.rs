//! Connections that stop speaking HTTP. The handshake is inspected like any request; what follows is
//! passed on untouched.

use super::listener::Place;
use super::record::Record;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Passes bytes both ways until both sides have ended, or both pause for too long. It keeps the
/// connection's `place` all the while, so that a drain waits for it.
pub(super) async fn tunnel(
    client: OnUpgrade,
    server: OnUpgrade,
    mut record: Box<Record>,
    place: Arc<Place>,
) {
    let idle = record.site.timeouts.idle;
    let (Ok(client), Ok(server)) = tokio::join!(client, server) else { return };
    let (mut client_in, mut client_out) = tokio::io::split(TokioIo::new(client));
    let (mut server_in, mut server_out) = tokio::io::split(TokioIo::new(server));
    let pulse = tokio::sync::Notify::new();
    let watch = async {
        // A pause of both directions ends the tunnel.
        while tokio::time::timeout(idle, pulse.notified()).await.is_ok() {}
    };
    let (mut received, mut sent) = (0, 0);
    // Who has said all may still listen: one side's end does not end the other's.
    let both = async {
        tokio::join!(
            copy(&mut client_in, &mut server_out, &pulse, &mut received),
            copy(&mut server_in, &mut client_out, &pulse, &mut sent)
        )
    };
    let clean = tokio::select! {
        (up, down) = both => up.is_ok() && down.is_ok(),
        () = watch => false,
    };
    drop(place);
    record.bytes = sent;
    record.complete = clean;
}

async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    pulse: &tokio::sync::Notify,
    count: &mut u64,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = from.read(&mut buffer).await?;
        let Some(piece) = buffer.get(..read).filter(|piece| !piece.is_empty()) else {
            return to.shutdown().await;
        };
        to.write_all(piece).await?;
        pulse.notify_one();
        *count += piece.len() as u64;
    }
}
