//! The end of an exchange: the filter's event, a line in the access log, the counters.

use super::body::Fault;
use super::inspect::{Busy, Ended, Inspector};
use super::metrics::one_more;
use super::server::Shared;
use super::site::Site;
use crate::event::{Event, EventId, HTTP_ACTIVITY, Source};
use crate::filter::Outcome;
use crate::mask;
use crate::sink::Sink;
use crate::time::Timestamp;
use crate::verdict::{Action, Severity};
use crate::waf::audit::ModSecurityJson;
use hyper::http::uri::PathAndQuery;
use hyper::{Method, Version};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The version as rules and logs spell it.
pub(super) const fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}

/// How far the end of an exchange has come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Closing {
    Open,
    /// It waits for the filter, which still looks at a body.
    Waiting,
    Closed,
}

/// Names of hosts have 255 bytes at most (RFC 1035, section 2.3.4); what a log keeps of others ends there.
pub(super) const LONGEST_NAME: usize = 255;

/// What is known of one exchange; dropping it closes it.
#[derive(Clone)]
pub(super) struct Record {
    pub(super) shared: Arc<Shared>,
    pub(super) inspector: Inspector,
    pub(super) incident: EventId,
    /// The host that the client asked for: lower case, without the port.
    pub(super) asked: String,
    /// The configured host that serves it, by its first name.
    pub(super) host: Option<Arc<str>>,
    pub(super) client: SocketAddr,
    pub(super) method: Method,
    pub(super) target: Option<PathAndQuery>,
    pub(super) version: Version,
    pub(super) began: Instant,
    pub(super) at: Timestamp,
    pub(super) status: u16,
    pub(super) bytes: u64,
    pub(super) complete: bool,
    /// What a filter did about it.
    pub(super) action: Action,
    pub(super) upstream: Option<Duration>,
    pub(super) closing: Closing,
    /// Held to the end, so that a site that was replaced is let go of by who replaced it.
    pub(super) site: Arc<Site>,
}

#[derive(serde::Serialize)]
struct Line<'a> {
    time: String,
    client: String,
    host: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    site: Option<&'a str>,
    method: &'a str,
    target: &'a str,
    version: &'a str,
    status: u16,
    bytes: u64,
    complete: bool,
    action: &'a str,
    micros: u128,
    filter_micros: u128,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_micros: Option<u128>,
    incident: String,
}

/// A line of the access log for a request that the server could not read: what it knows of it.
pub(super) fn unreadable_line(
    client: SocketAddr,
    status: u16,
    incident: EventId,
    at: Timestamp,
) -> String {
    let line = Line {
        time: at.to_string(),
        client: client.to_string(),
        host: "",
        site: None,
        method: "",
        target: "",
        version: "",
        status,
        bytes: 0,
        complete: false,
        action: Action::Pass.word(),
        micros: 0,
        filter_micros: 0,
        upstream_micros: None,
        incident: incident.to_string(),
    };
    serde_json::to_string(&line).unwrap_or_default()
}

impl Record {
    /// An event of the gateway itself: an upstream that failed, a request that is not well formed.
    pub(super) fn event(&self, severity: Severity, message: String) {
        let mut event =
            Event::new(EventId::default(), Source::Host, Timestamp::from_system_clock());
        event.class_uid = HTTP_ACTIVITY;
        event.severity_id = severity.ocsf_id();
        event.src_endpoint = Some(self.client);
        event.message = message;
        event.extra.insert("status".to_owned(), self.status.into());
        Stamp(self).accept(event);
    }

    /// The answer ended in its middle. What a filter stopped is told by the filter.
    pub(super) fn broke_off(&self, fault: &Fault) {
        if !matches!(fault, Fault::Stopped) {
            one_more(&self.shared.metrics.upstream_failures);
            self.event(Severity::Medium, format!("the upstream's answer broke off: {fault}"));
        }
    }

    /// A client that leaves does not wait for the pool, which may look at its body for a while yet: a
    /// task of its own does.
    fn close_later(&self) {
        let mut rest = self.clone();
        rest.closing = Closing::Waiting;
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => {
                runtime.spawn(async move {
                    let ended = rest.inspector.end_later().await;
                    rest.close(ended);
                });
            }
            // Nobody serves any longer.
            Err(_) => rest.close(Ended::default()),
        }
    }

    fn close(&mut self, ended: Ended) {
        self.closing = Closing::Closed;
        if let Some(how) = ended.broken {
            self.event(
                Severity::High,
                format!("a filter broke, which stopped the exchange: {how}"),
            );
        }
        let outcome = Outcome {
            status: self.status,
            bytes: self.bytes,
            aborted: !self.complete,
            now: Timestamp::from_system_clock(),
        };
        let spent = ended.finish(outcome, &Stamp(self));
        let metrics = &self.shared.metrics;
        let class = usize::from(self.status / 100);
        if let Some(counter) = metrics.requests.get(class).or(metrics.requests.first()) {
            one_more(counter);
        }
        if self.action.is_decisive() {
            one_more(&metrics.stopped);
        }
        if !self.complete {
            one_more(&metrics.aborted);
        }
        metrics.bytes_sent.fetch_add(self.bytes, std::sync::atomic::Ordering::Relaxed);
        let whole = self.began.elapsed();
        metrics.whole.observe(whole);
        if !self.inspector.is_none() {
            metrics.filter.observe(spent);
        }
        if let Some(log) = &self.shared.access_log {
            let target =
                self.target.as_ref().map_or_else(String::new, |t| mask::masked_target(t.as_str()));
            let line = Line {
                time: self.at.to_string(),
                client: self.client.to_string(),
                host: &self.asked,
                site: self.host.as_deref(),
                method: self.method.as_str(),
                target: &target,
                version: version(self.version),
                status: self.status,
                bytes: self.bytes,
                complete: self.complete,
                action: self.action.word(),
                micros: whole.as_micros(),
                filter_micros: spent.as_micros(),
                upstream_micros: self.upstream.map(|time| time.as_micros()),
                incident: self.incident.to_string(),
            };
            log.line(serde_json::to_string(&line).unwrap_or_default());
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if self.closing == Closing::Closed {
            return;
        }
        match self.inspector.end() {
            Ok(ended) => self.close(ended),
            Err(Busy) if self.closing == Closing::Open => self.close_later(),
            // The runtime ends before the pool does.
            Err(Busy) => self.close(Ended::default()),
        }
    }
}

/// Gives each event the incident's number, which the client sees too.
struct Stamp<'a>(&'a Record);

impl Sink for Stamp<'_> {
    fn accept(&self, mut event: Event) {
        let record = self.0;
        if event.id == EventId::default() {
            event.id = record.shared.next_id();
        }
        event.extra.insert("incident".to_owned(), record.incident.to_string().into());
        // What is no text is told as the filter read it.
        if !record.asked.is_empty() {
            event.extra.insert("host".to_owned(), record.asked.as_str().into());
        }
        if let Some(host) = &record.host {
            event.extra.insert("site".to_owned(), (**host).into());
        }
        if let Some(log) = &record.shared.audit_log
            && let Some(rules) =
                record.site.rule_set.as_deref().filter(|_| event.detector == Source::Waf)
            && let Some(audit) = ModSecurityJson::wanted(&event, rules)
        {
            log.line(audit.to_json());
        }
        record.shared.sink.accept(event);
    }
}
