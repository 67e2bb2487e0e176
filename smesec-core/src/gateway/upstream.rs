//! The pool of connections to a site's servers.

use super::body::{Fault, Progress, Source};
use super::config::Timeouts;
use super::listener::HEADERS;
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use hyper::{Request, Response, Uri, Version};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::error::Error as _;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Idle connections kept to one server, and for how long: long enough for a page's next picture,
/// shorter than the minute after which most servers hang up.
const IDLE_CONNECTIONS: usize = 64;
const IDLE: Duration = Duration::from_secs(30);
/// How long a server that could not be reached is asked last.
const REST: Duration = Duration::from_secs(5);

pub(super) type Pool = Client<HttpConnector, Source>;

pub(super) fn pool(timeouts: &Timeouts) -> Pool {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(timeouts.connect));
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        // Pages name their style sheets in `Link` lines, one each: as many as a client may send.
        .http1_max_headers(HEADERS)
        .build(connector)
}

/// The servers of one site, asked in turn.
pub(super) struct Upstreams {
    servers: Vec<Server>,
    next: AtomicUsize,
    began: Instant,
    pool: Pool,
    patience: Duration,
}

struct Server {
    authority: Authority,
    /// Milliseconds since `began` until which it rests.
    rests_until: AtomicU64,
}

/// Why no response came.
pub(super) enum Failure {
    TimedOut(Authority),
    Unreachable(Authority, String),
    /// The client's side of the exchange broke off or was stopped.
    Request(Fault),
    Broken(Authority, String),
    /// The connection ended before the response began.
    Hung(Authority, String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut(at) => write!(f, "upstream `{at}` did not answer in time"),
            Self::Unreachable(at, why) => write!(f, "upstream `{at}` could not be reached: {why}"),
            Self::Request(fault) => write!(f, "the request's body broke off: {fault}"),
            Self::Broken(at, why) | Self::Hung(at, why) => {
                write!(f, "upstream `{at}` broke the exchange off: {why}")
            }
        }
    }
}

impl Upstreams {
    pub(super) fn new(authorities: &[Authority], pool: Pool, patience: Duration) -> Self {
        let servers = authorities
            .iter()
            .map(|authority| Server {
                authority: authority.clone(),
                rests_until: AtomicU64::new(0),
            })
            .collect();
        Self { servers, next: AtomicUsize::new(0), began: Instant::now(), pool, patience }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The server whose turn it is; one that rests only where all do.
    fn choose(&self, turn: usize) -> Option<&Server> {
        let now = self.now();
        let count = self.servers.len();
        (0..count)
            .filter_map(|n| self.servers.get(turn.wrapping_add(n) % count))
            .find(|server| server.rests_until.load(Ordering::Relaxed) <= now)
            .or_else(|| self.servers.get(turn % count.max(1)))
    }

    /// Sends a request and waits for the response's head. While `progress` tells
    /// that the client's next piece is waited for, the client's own time-outs hold.
    ///
    /// A server that cannot be reached is asked last for a while, and where the body is at hand the
    /// next one is asked. A connection that breaks off before the response is tried once more where the
    /// method may be repeated (RFC 9110, section 9.2.2): as a rule the server had closed it while idle.
    pub(super) async fn send(
        &self,
        parts: &Parts,
        mut body: Source,
        progress: Arc<Progress>,
    ) -> Result<Response<Incoming>, Failure> {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let mut tries = 0;
        let mut stale = false;
        loop {
            let Some(server) = self.choose(first.wrapping_add(tries)) else {
                let nowhere = Authority::from_static("none");
                return Err(Failure::Unreachable(nowhere, "no server is configured".to_owned()));
            };
            let again = body.again();
            match self.ask(server, parts, body, &progress).await {
                Err(Failure::Unreachable(at, why)) => {
                    let rest = u64::try_from(REST.as_millis()).unwrap_or(u64::MAX);
                    server.rests_until.store(self.now().saturating_add(rest), Ordering::Relaxed);
                    tries += 1;
                    match again {
                        Some(again) if tries < self.servers.len() => body = again,
                        _ => return Err(Failure::Unreachable(at, why)),
                    }
                }
                // A kept connection that the server closed while the request was on its way: what may
                // be repeated is asked again, once (RFC 9110, section 9.2.2; RFC 9112, section 9.3.1).
                Err(Failure::Hung(at, why)) => match again {
                    Some(again) if !stale && parts.method.is_idempotent() => {
                        stale = true;
                        body = again;
                    }
                    _ => return Err(Failure::Hung(at, why)),
                },
                other => return other,
            }
        }
    }

    async fn ask(
        &self,
        server: &Server,
        parts: &Parts,
        body: Source,
        progress: &Progress,
    ) -> Result<Response<Incoming>, Failure> {
        let target = parts.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        let uri = Uri::builder()
            .scheme(Scheme::HTTP)
            .authority(server.authority.clone())
            .path_and_query(target)
            .build()
            .map_err(|e| Failure::Broken(server.authority.clone(), e.to_string()))?;
        let mut request = Request::new(body);
        *request.method_mut() = parts.method.clone();
        *request.uri_mut() = uri;
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = parts.headers.clone();
        let answer = self.pool.request(request);
        tokio::pin!(answer);
        let mut before = progress.look().0;
        let result = loop {
            if let Ok(result) = tokio::time::timeout(self.patience, &mut answer).await {
                break result;
            }
            let (bytes, on_client) = progress.look();
            if !on_client && bytes == before {
                return Err(Failure::TimedOut(server.authority.clone()));
            }
            before = bytes;
        };
        result.map_err(|error| failure(&server.authority, &error))
    }
}

fn failure(authority: &Authority, error: &Error) -> Failure {
    let mut why = error.to_string();
    let mut hung = false;
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(fault) = cause.downcast_ref::<Fault>() {
            return Failure::Request(match fault {
                Fault::Paused => Fault::Paused,
                Fault::Slow => Fault::Slow,
                fault if fault.is_malformed() => Fault::Malformed(fault.to_string()),
                // What broke is the client's connection, which nobody listens to any longer.
                _ => Fault::Stopped,
            });
        }
        hung |=
            cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_incomplete_message)
                || cause
                    .downcast_ref::<std::io::Error>()
                    .is_some_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset);
        why = cause.to_string();
        source = cause.source();
    }
    if error.is_connect() {
        Failure::Unreachable(authority.clone(), why)
    } else if hung {
        Failure::Hung(authority.clone(), why)
    } else {
        Failure::Broken(authority.clone(), why)
    }
}
