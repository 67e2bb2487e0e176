//! Starting, reloading and draining a gateway.

use super::config::{Config, Log, Target};
use super::journal::Journal;
use super::listener;
use super::metrics::{Metrics, one_more};
use super::record;
use super::site::{Kept, Site};
use crate::error::{ConfigError, Error, IoError};
use crate::event::{Event, EventId, HTTP_ACTIVITY, Source};
use crate::filter::Filter;
use crate::sink::{Discard, Sink};
use crate::time::Timestamp;
use crate::verdict::Severity;
use arc_swap::ArcSwap;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

/// What all connections share.
pub(super) struct Shared {
    pub(super) site: ArcSwap<Site>,
    pub(super) metrics: Metrics,
    pub(super) sink: Arc<dyn Sink>,
    pub(super) access_log: Option<Journal>,
    event_log: Option<Arc<EventLog>>,
    /// Events of the firewall as ModSecurity would write them.
    pub(super) audit_log: Option<Journal>,
    /// True from the moment on at which nothing new is accepted.
    pub(super) drain: watch::Sender<bool>,
    /// One for each connection that may be open.
    pub(super) places: Arc<Semaphore>,
    seed: u64,
    counter: AtomicU64,
    kept: Kept,
    fixed: Fixed,
    notices: Vec<String>,
}

/// What cannot change while the gateway runs.
struct Fixed {
    plain: Vec<SocketAddr>,
    tls: Vec<SocketAddr>,
    metrics: Option<SocketAddr>,
    threads: Option<usize>,
    max_connections: usize,
    logs: [Option<Target>; 3],
}

impl Fixed {
    fn of(config: &Config) -> Self {
        Self {
            plain: config.listen.clone(),
            tls: config.tls.as_ref().map(|tls| tls.listen.clone()).unwrap_or_default(),
            metrics: config.metrics,
            threads: config.threads,
            max_connections: config.max_connections,
            logs: [&config.access_log, &config.event_log, &config.audit_log]
                .map(|log| log.as_ref().map(|log| log.to.clone())),
        }
    }

    /// The keys in which two differ.
    fn differing(&self, other: &Self) -> Vec<&'static str> {
        let ([access, events, audit], [access_2, events_2, audit_2]) = (&self.logs, &other.logs);
        let all = [
            ("`listen`", self.plain != other.plain),
            ("`listen` under `[gateway.tls]`", self.tls != other.tls),
            ("`metrics`", self.metrics != other.metrics),
            ("`threads`", self.threads != other.threads),
            ("`max_connections`", self.max_connections != other.max_connections),
            ("`access_log`", access != access_2),
            ("`event_log`", events != events_2),
            ("`audit_log`", audit != audit_2),
        ];
        all.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }
}

impl Shared {
    pub(super) fn next_id(&self) -> EventId {
        EventId::new(self.seed, self.counter.fetch_add(1, Ordering::Relaxed))
    }

    /// A request that the server could not read has an event and a line in the access log too: it
    /// is what scanners send.
    pub(super) fn unreadable(&self, client: SocketAddr, error: &hyper::Error) {
        let now = Timestamp::from_system_clock();
        let mut event = Event::new(self.next_id(), Source::Host, now);
        event.class_uid = HTTP_ACTIVITY;
        event.severity_id = Severity::Low.ocsf_id();
        event.src_endpoint = Some(client);
        let status = if error.is_parse_too_large() { 431 } else { 400 };
        event.message =
            format!("a request that is not well formed, answered with {status}: {error}");
        event.extra.insert("status".to_owned(), status.into());
        if let Some(log) = &self.access_log {
            log.line(record::unreadable_line(client, status, event.id, now));
        }
        self.sink.accept(event);
    }

    fn logs(&self) -> impl Iterator<Item = &Journal> {
        let events = self.event_log.as_ref().map(|log| &log.0);
        self.access_log.iter().chain(events).chain(&self.audit_log)
    }

    fn metrics_text(&self) -> String {
        let lost = self.logs().map(Journal::lost).sum();
        self.metrics.text(lost, self.site.load().rules)
    }
}

/// Events as JSON lines.
struct EventLog(Journal);

impl Sink for EventLog {
    fn accept(&self, event: Event) {
        self.0.line(event.to_json());
    }
}

/// A gateway that holds its sockets. [`Gateway::run`] serves until it was drained.
pub struct Gateway {
    shared: Arc<Shared>,
    plain: Vec<TcpListener>,
    tls: Vec<TcpListener>,
    metrics: Option<TcpListener>,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("addresses", &self.addresses()).finish_non_exhaustive()
    }
}

/// Steers a running gateway from outside; cheap to clone.
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Handle")
    }
}

impl Gateway {
    /// Loads rules and certificates and takes the sockets.
    ///
    /// # Errors
    /// [`Error::Rule`], [`Error::Config`] or [`Error::Io`] for what the configuration names and
    /// cannot be had.
    pub async fn bind(config: Config) -> Result<Self, Error> {
        Self::bind_with(config, Arc::new(Discard), Vec::new()).await
    }

    /// As [`Gateway::bind`]; events go to `sink` besides the configured log, and the host's own
    /// `filters` stand before the configured ones.
    ///
    /// # Errors
    /// As [`Gateway::bind`].
    pub async fn bind_with(
        config: Config,
        sink: Arc<dyn Sink>,
        filters: Vec<Arc<dyn Filter>>,
    ) -> Result<Self, Error> {
        // The low half of an id counts; the upper half tells this run from all others.
        let seed = RandomState::new().hash_one(std::process::id());
        let kept = Kept::new(&config.timeouts, seed, filters);
        let (config, built, kept) = tokio::task::spawn_blocking(move || {
            let built = Site::build(&config, &kept);
            (config, built, kept)
        })
        .await
        .map_err(|e| ConfigError::new(format!("loading the rules failed: {e}")))?;
        let (site, notices) = built?;
        let log = |log: &Option<Log>| {
            log.as_ref()
                .map(|log| Journal::open(&log.to).map_err(|e| log.refused(&config.origin, &e)))
                .transpose()
        };
        let access_log = log(&config.access_log)?;
        let audit_log = log(&config.audit_log)?;
        let event_log = log(&config.event_log)?.map(|journal| Arc::new(EventLog(journal)));
        let sink: Arc<dyn Sink> = match &event_log {
            Some(log) => {
                let log: Arc<dyn Sink> = Arc::<EventLog>::clone(log);
                Arc::new(crate::sink::Tee::new(vec![log, sink]))
            }
            None => sink,
        };
        let fixed = Fixed::of(&config);
        let plain = bind_all(&fixed.plain).await?;
        let tls = bind_all(&fixed.tls).await?;
        let metrics = bind_all(fixed.metrics.as_slice()).await?.pop();
        let shared = Shared {
            site: ArcSwap::from_pointee(site),
            metrics: Metrics::default(),
            sink,
            access_log,
            event_log,
            audit_log,
            drain: watch::Sender::new(false),
            places: Arc::new(Semaphore::new(fixed.max_connections)),
            seed,
            counter: AtomicU64::new(1),
            kept,
            fixed,
            notices,
        };
        Ok(Self { shared: Arc::new(shared), plain, tls, metrics })
    }

    /// The addresses it listens on: plain ones first, then those with TLS.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.plain.iter().chain(&self.tls).filter_map(|l| l.local_addr().ok()).collect()
    }

    /// The address of the metrics, where they are asked for.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref()?.local_addr().ok()
    }

    /// What the configuration's author should know: rules that were refused.
    pub fn notices(&self) -> &[String] {
        &self.shared.notices
    }

    /// Rules in force.
    pub fn rules(&self) -> usize {
        self.shared.site.load().rules
    }

    /// The handle to reload and to drain it.
    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.shared))
    }

    /// Serves until [`Handle::drain`] was called and what was under way has ended, or the drain's
    /// time is over. True when nothing was cut off.
    pub async fn run(self) -> bool {
        let Self { shared, plain, tls, metrics } = self;
        let mut tasks = Vec::new();
        for (listeners, with_tls) in [(plain, false), (tls, true)] {
            for listener in listeners {
                tasks.push(tokio::spawn(listener::accept(listener, Arc::clone(&shared), with_tls)));
            }
        }
        let admin =
            metrics.map(|listener| tokio::spawn(serve_metrics(listener, Arc::clone(&shared))));
        for task in tasks {
            // A listener ends when the gateway drains; a panic within is the runtime's to report.
            let _ = task.await;
        }
        let all = u32::try_from(shared.fixed.max_connections).unwrap_or(u32::MAX);
        let patience = shared.site.load().timeouts.drain;
        let clean = tokio::time::timeout(patience, shared.places.acquire_many(all)).await.is_ok();
        if let Some(admin) = admin {
            admin.abort();
        }
        clean
    }
}

async fn bind_all(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, Error> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for address in addresses {
        let bound = TcpListener::bind(address).await;
        listeners.push(bound.map_err(|e| IoError::new(address.to_string(), e))?);
    }
    Ok(listeners)
}

impl Handle {
    /// Puts another configuration in force: hosts, rules, certificates, lists and limits. What is
    /// under way ends with what it began with. Blocks while rules are
    /// compiled: call it from a thread that may, best one of a lower priority than those that serve.
    ///
    /// Returns what the configuration's author should know.
    ///
    /// # Errors
    /// As [`Gateway::bind`]; the configuration in force stays. So it does when the new one asks for
    /// other sockets, logs or threads, which takes a restart, and when more rules are refused than before.
    pub fn reload(&self, config: &Config) -> Result<Vec<String>, Error> {
        let shared = &self.0;
        let differing = shared.fixed.differing(&Fixed::of(config));
        let result = if differing.is_empty() {
            Site::build(config, &shared.kept).and_then(|built| self.not_worse(built))
        } else {
            let why = format!(
                "{}: {} cannot change while the gateway runs; restart it",
                config.origin,
                differing.join(", ")
            );
            Err(ConfigError::new(why).into())
        };
        match result {
            Ok((site, notices)) => {
                retire(shared.site.swap(Arc::new(site)));
                one_more(&shared.metrics.reloads);
                Ok(notices)
            }
            Err(error) => {
                one_more(&shared.metrics.reload_failures);
                Err(error)
            }
        }
    }

    /// Opens the log files anew, after they were moved away. It needs no configuration: a mistake in one shall not
    /// keep lines in a file that was rotated. What cannot be opened is returned, and told in
    /// an event; its lines go on to the file that was open.
    pub fn reopen_logs(&self) -> Vec<String> {
        let shared = &self.0;
        let unopened: Vec<String> = shared
            .logs()
            .filter_map(|log| log.reopen().err())
            .map(|why| format!("a log goes on in its old file, since the new one failed: {why}"))
            .collect();
        for why in &unopened {
            let now = Timestamp::from_system_clock();
            let mut event = Event::new(shared.next_id(), Source::Host, now);
            event.severity_id = Severity::Medium.ocsf_id();
            event.message.clone_from(why);
            shared.sink.accept(event);
        }
        unopened
    }

    /// A file that broke since the last load shall not take rules out of force.
    fn not_worse(&self, built: (Site, Vec<String>)) -> Result<(Site, Vec<String>), Error> {
        let (site, notices) = built;
        let before = self.0.site.load().refused;
        if site.refused <= before {
            return Ok((site, notices));
        }
        let why = format!(
            "{} rules are refused where {before} were before; mend them, or restart to run without them: {}",
            site.refused,
            notices.join("; ")
        );
        Err(ConfigError::new(why).into())
    }

    /// Stops accepting; [`Gateway::run`] returns when what is under way has ended.
    pub fn drain(&self) {
        self.0.drain.send_replace(true);
    }

    /// The counters in the Prometheus text form.
    pub fn metrics(&self) -> String {
        self.0.metrics_text()
    }
}

/// Events of the host's own work go where the gateway's go: the sink it was bound with, and its event log.
impl Sink for Handle {
    fn accept(&self, event: Event) {
        self.0.sink.accept(event);
    }
}

/// Lets a site go when nobody uses it any longer. To free some megabytes takes milliseconds, which the last
/// request that held it should not have to wait for.
fn retire(site: Arc<Site>) {
    const LOOK: Duration = Duration::from_millis(20);
    // A tunnel may hold it for hours, which a thread should not.
    const PATIENCE: u32 = 3_000;
    let wait = move || {
        for _ in 0..PATIENCE {
            if Arc::strong_count(&site) == 1 {
                break;
            }
            std::thread::sleep(LOOK);
        }
    };
    // Without a thread it is freed here, by the reload.
    let _ = std::thread::Builder::new().name("smesec-retire".to_owned()).spawn(wait);
}

/// `/metrics` and `/healthz` on a socket of their own, never on the site's.
async fn serve_metrics(listener: TcpListener, shared: Arc<Shared>) {
    const PATIENCE: Duration = Duration::from_secs(10);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let (status, body) = match request.uri().path() {
                    "/metrics" => (StatusCode::OK, shared.metrics_text()),
                    "/healthz" => (StatusCode::OK, "ok\n".to_owned()),
                    _ => (StatusCode::NOT_FOUND, "write /metrics or /healthz\n".to_owned()),
                };
                let mut response = Response::new(Full::new(Bytes::from(body)));
                *response.status_mut() = status;
                let kind = hyper::header::HeaderValue::from_static("text/plain; version=0.0.4");
                response.headers_mut().insert(hyper::header::CONTENT_TYPE, kind);
                async move { Ok::<_, Infallible>(response) }
            });
            let mut builder = hyper::server::conn::http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
