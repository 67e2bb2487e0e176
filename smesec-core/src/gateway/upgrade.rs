//! Connections that stop speaking HTTP. The handshake is inspected like any request; what follows is
//! passed on untouched.

use super::record::Record;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Passes bytes both ways until one side ends or both pause for longer than `idle`.
pub(super) async fn tunnel(
    client: OnUpgrade,
    server: OnUpgrade,
    idle: Duration,
    mut record: Box<Record>,
) {
    let (Ok(client), Ok(server)) = tokio::join!(client, server) else { return };
    let (mut client_in, mut client_out) = tokio::io::split(TokioIo::new(client));
    let (mut server_in, mut server_out) = tokio::io::split(TokioIo::new(server));
    let pulse = tokio::sync::Notify::new();
    let watch = async {
        // A pause of both directions ends the tunnel.
        while tokio::time::timeout(idle, pulse.notified()).await.is_ok() {}
    };
    let (mut received, mut sent) = (0, 0);
    let clean = tokio::select! {
        up = copy(&mut client_in, &mut server_out, &pulse, &mut received) => up.is_ok(),
        down = copy(&mut server_in, &mut client_out, &pulse, &mut sent) => down.is_ok(),
        () = watch => false,
    };
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
