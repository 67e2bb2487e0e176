//! Sockets: accepting, the PROXY protocol, TLS, HTTP/1.1 and HTTP/2, draining.

use super::config::Timeouts;
use super::exchange::{self, Peer};
use super::metrics::one_more;
use super::origin;
use super::patience::{Patient, UnderWay};
use super::server::Shared;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;

/// The head of one request: 64 KiB hold the longest cookies that browsers send, twice.
const HEAD: usize = 64 << 10;
/// Header lines in one request, and in one response; servers allow 100 as a rule.
pub(super) const HEADERS: usize = 128;
/// Requests under way in one connection of HTTP/2: what browsers ask for at most.
const STREAMS: u32 = 100;
/// The system has no more descriptors or memory: a short rest instead of a busy loop.
const REST: Duration = Duration::from_millis(50);

/// What a client of HTTP/2 says first (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// One of the connections that may be open at once, counted while this is held.
pub(super) struct Place {
    shared: Arc<Shared>,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    fn new(shared: Arc<Shared>, permit: OwnedSemaphorePermit) -> Self {
        one_more(&shared.metrics.open);
        Self { shared, _permit: permit }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.metrics.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Accepts until the gateway drains. Who finds no place waits for one with a single connection in hand:
/// a listener that took its place before would keep it from the others while nobody comes.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>, tls: bool) {
    let mut drain = shared.drain.subscribe();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = drain.wait_for(|draining| *draining) => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, client)) = accepted else {
            one_more(&shared.metrics.accept_failures);
            tokio::time::sleep(REST).await;
            continue;
        };
        let permit = tokio::select! {
            biased;
            _ = drain.wait_for(|draining| *draining) => return,
            permit = Arc::clone(&shared.places).acquire_owned() => permit,
        };
        let Ok(permit) = permit else { return };
        one_more(&shared.metrics.connections);
        let place = Place::new(Arc::clone(&shared), permit);
        tokio::spawn(connection(stream, client, Arc::clone(&shared), tls, place));
    }
}

async fn connection(
    mut stream: TcpStream,
    client: SocketAddr,
    shared: Arc<Shared>,
    tls: bool,
    place: Place,
) {
    let place = Arc::new(place);
    let site = shared.site.load_full();
    let patience = site.timeouts.header;
    // Small answers leave at once; the system's default waits for more.
    let _ = stream.set_nodelay(true);
    let Ok(server) = stream.local_addr() else { return };
    let [client, server] = [client, server].map(origin::canonical);
    let mut peer = Peer { client, server, tls };
    let prepared = tokio::time::timeout(patience, async {
        if site.proxy_protocol
            && site.trusts(client.ip())
            && let Some(told) = origin::proxy_header(&mut stream).await?
        {
            peer.client = origin::canonical(told);
        }
        match site.tls.as_ref().filter(|_| tls) {
            Some(config) => {
                let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(config));
                Ok((None, Some(acceptor.accept(stream).await?)))
            }
            None => Ok::<_, std::io::Error>((Some(stream), None)),
        }
    });
    match prepared.await {
        Ok(Ok((_, Some(stream)))) => speak(stream, peer, &shared, site.timeouts, place).await,
        Ok(Ok((Some(stream), _))) => speak(stream, peer, &shared, site.timeouts, place).await,
        _ => one_more(&shared.metrics.refused_connections),
    }
}

/// Reads until it is clear whether HTTP/2 is spoken. The server's own look at these bytes knows no
/// time-out: who sends none of them, or a part, would stay for ever.
async fn begin(stream: &mut (impl AsyncRead + Unpin), first: &mut Vec<u8>) -> std::io::Result<()> {
    while first.len() < PREFACE.len() && PREFACE.starts_with(first) {
        let room = (PREFACE.len() - first.len()) as u64;
        if (&mut *stream).take(room).read_buf(first).await? == 0 {
            return Ok(());
        }
    }
    Ok(())
}

async fn speak(
    mut stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    shared: &Arc<Shared>,
    Timeouts { header: patience, idle, .. }: Timeouts,
    place: Arc<Place>,
) {
    let mut drain = shared.drain.subscribe();
    let mut first = Vec::with_capacity(PREFACE.len());
    let begun = tokio::select! {
        biased;
        _ = drain.wait_for(|draining| *draining) => return,
        begun = tokio::time::timeout(patience, begin(&mut stream, &mut first)) => begun,
    };
    if !matches!(begun, Ok(Ok(()))) {
        return;
    }
    let many = first.starts_with(b"PRI");
    let (reader, writer) = tokio::io::split(Patient::new(stream, idle));
    let stream = tokio::io::join(std::io::Cursor::new(first).chain(reader), writer);
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .max_buf_size(HEAD)
        .max_headers(HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(HEAD).unwrap_or(u32::MAX))
        .keep_alive_interval(patience)
        .keep_alive_timeout(patience);
    let under_way = Arc::<UnderWay>::default();
    let service = service_fn(|request| {
        let begun = under_way.begin();
        let exchange = exchange::serve(Arc::clone(shared), peer, Arc::clone(&place), request);
        async move {
            let mut response = exchange.await?;
            response.body_mut().keep(begun);
            Ok::<_, exchange::Closed>(response)
        }
    });
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => Some(ended),
        _ = drain.wait_for(|draining| *draining) => None,
        // With HTTP/1.1 the wait for the next head is timed already.
        () = under_way.quiet(patience), if many => None,
    };
    let ended = if let Some(ended) = ended {
        ended
    } else {
        connection.as_mut().graceful_shutdown();
        connection.await
    };
    // Each exchange has its record; only what never became one is told here.
    if let Err(error) = ended
        && let Some(error) = error.downcast_ref::<hyper::Error>()
        && error.is_parse()
    {
        one_more(&shared.metrics.unreadable);
        shared.unreadable(peer.client, error);
    }
}
