//! One request on its way: head, body, upstream, response.

use super::body::{Fault, Outward, Progress, Source, Timed};
use super::forward::{self, Hop, Onward};
use super::inspect::Inspector;
use super::listener::Place;
use super::metrics::one_more;
use super::page;
use super::record::{self, Closing, Record};
use super::server::Shared;
use super::site::Host;
use super::upgrade;
use super::upstream::Failure;
use crate::http::{Connection, Header, RequestHead, ResponseHead};
use crate::time::Timestamp;
use crate::verdict::{Action, Body as Wanted, Phase, Severity, Verdict};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use http_body_util::channel::{Channel, Sender};
use hyper::body::{Body as _, Incoming};
use hyper::header::{ACCEPT, CONTENT_LENGTH, HeaderMap};
use hyper::http::request::Parts;
use hyper::http::response;
use hyper::http::uri::Scheme;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode, Version};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// Pieces of a body that wait between a filter and the network.
const PIECES: usize = 4;

/// The two ends of a client's connection.
#[derive(Clone, Copy)]
pub(super) struct Peer {
    pub(super) client: SocketAddr,
    pub(super) server: SocketAddr,
    pub(super) tls: bool,
}

/// The connection is closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("a filter closed the connection")]
pub(super) struct Closed;

/// What is left of a request while it is answered.
struct Exchange {
    shared: Arc<Shared>,
    record: Box<Record>,
    /// The request's `Accept`, which decides the form of a page.
    accept: HeaderMap,
    /// Both ends of a connection that stops speaking HTTP after the answer.
    tunnel: Option<(OnUpgrade, OnUpgrade)>,
    /// The connection's, which a tunnel keeps.
    place: Arc<Place>,
}

enum Stop {
    /// A filter's verdict.
    Verdict(Verdict),
    /// A page with this status; the text goes into an event.
    Page(u16, Severity, String),
    /// The client has gone.
    Gone,
}

impl From<&Fault> for Stop {
    fn from(fault: &Fault) -> Self {
        match fault {
            Fault::Paused | Fault::Slow => {
                Self::Page(408, Severity::Info, format!("the request's body: {fault}"))
            }
            // What smuggles requests begins so.
            _ if fault.is_malformed() => {
                let why = format!("the request's body is not well formed: {fault}");
                Self::Page(400, Severity::Low, why)
            }
            _ => Self::Gone,
        }
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        (&fault).into()
    }
}

pub(super) async fn serve(
    shared: Arc<Shared>,
    peer: Peer,
    place: Arc<Place>,
    request: Request<Incoming>,
) -> Result<Response<Outward>, Closed> {
    let began = Instant::now();
    let at = Timestamp::from_system_clock();
    let site = shared.site.load_full();
    let (mut parts, body) = request.into_parts();
    let fault = forward::fault(&parts);
    forward::unify(&mut parts);
    let client = super::origin::client(peer.client, &parts.headers, &site.trusted);
    let asked = forward::requested_host(&parts);
    let host = site.host(&asked).cloned();
    let connection = Connection { client, server: peer.server, now: at };
    // A request for a site that nobody serves is still looked at: scanners ask for such.
    let filter = host.as_ref().or_else(|| site.any_host()).and_then(|host| host.filter.as_deref());
    let inspector = Inspector::begin(filter.filter(|_| !site.is_exempt(client.ip())), &connection);
    let record = Box::new(Record {
        inspector: inspector.clone(),
        incident: shared.next_id(),
        asked: asked.chars().take(record::LONGEST_NAME).collect(),
        host: host.as_ref().map(|host| Arc::clone(&host.name)),
        client,
        method: parts.method.clone(),
        target: parts.uri.path_and_query().cloned(),
        version: parts.version,
        began,
        at,
        status: 0,
        bytes: 0,
        complete: false,
        action: Action::Pass,
        upstream: None,
        closing: Closing::Open,
        shared: Arc::clone(&shared),
        site,
    });
    let mut accept = HeaderMap::new();
    if let Some(value) = parts.headers.get(ACCEPT) {
        accept.insert(ACCEPT, value.clone());
    }
    let mut exchange = Exchange { shared, record, accept, tunnel: None, place };
    match exchange.admit(&inspector, parts, body, host, fault, peer).await {
        Ok(response) => Ok(exchange.answer(response)),
        Err(stop) => exchange.stop(&inspector, stop).await,
    }
}

/// A verdict on its way through `?`.
fn pass(verdict: Verdict) -> Result<(), Stop> {
    if verdict.is_decisive() { Err(Stop::Verdict(verdict)) } else { Ok(()) }
}

fn views(headers: &HeaderMap) -> Vec<Header<'_>> {
    headers
        .iter()
        .map(|(name, value)| Header { name: name.as_str().as_bytes(), value: value.as_bytes() })
        .collect()
}

/// What a filter left of a request's body to send on.
struct Upload {
    body: Source,
    progress: Arc<Progress>,
    /// The size that the client gave, where the body itself cannot tell it.
    length: Option<u64>,
}

impl Upload {
    fn whole(bytes: Bytes) -> Self {
        Self { body: Source::Whole(bytes), progress: Arc::default(), length: None }
    }
}

impl Exchange {
    async fn admit(
        &mut self,
        inspector: &Inspector,
        mut parts: Parts,
        body: Incoming,
        host: Option<Arc<Host>>,
        fault: Option<(u16, &'static str)>,
        peer: Peer,
    ) -> Result<Response<Outward>, Stop> {
        let verdict = {
            let headers = views(&parts.headers);
            let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
            let head = RequestHead {
                method: parts.method.as_str().as_bytes(),
                target: target.as_bytes(),
                version: record::version(parts.version).as_bytes(),
                headers: &headers,
                now: self.record.at,
            };
            inspector.request_head(&head).await
        };
        pass(verdict)?;
        if let Some((status, why)) = fault {
            return Err(Stop::Page(status, Severity::Low, why.to_owned()));
        }
        let Some(host) = host else {
            return Err(Stop::Page(
                421,
                Severity::Info,
                "a request for an unknown site".to_owned(),
            ));
        };
        let upload = self.request_body(inspector, body).await?;
        let (onward, client_upgrade) = if forward::asks_for_websocket(&parts) {
            (Onward::WebSocket, parts.extensions.remove())
        } else {
            (Onward::Plain, None)
        };
        let hop = Hop {
            client: self.record.client,
            peer: peer.client,
            trusted: self.record.site.trusts(peer.client.ip()),
            scheme: if peer.tls { Scheme::HTTPS } else { Scheme::HTTP },
        };
        forward::onward(&mut parts.headers, &hop, onward);
        if let Some(length) = upload.length {
            parts.headers.insert(CONTENT_LENGTH, length.into());
        }
        let asked = Instant::now();
        let answer = host.upstreams.send(&parts, upload.body, upload.progress).await;
        self.record.upstream = Some(asked.elapsed());
        let response = match answer {
            Ok(response) => response,
            Err(failure) => return Err(self.failed(inspector, &failure).await),
        };
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return self.switch(inspector, client_upgrade, response).await;
        }
        self.respond(inspector, response).await
    }

    /// Shows the body to the filter, held or on its way, as the filter asked.
    async fn request_body(&self, inspector: &Inspector, body: Incoming) -> Result<Upload, Stop> {
        let phase = Phase::RequestBody;
        if body.is_end_stream() {
            pass(inspector.body(phase, Bytes::new(), true, 0).await)?;
            return Ok(Upload::whole(Bytes::new()));
        }
        let mut timed = Timed::new(body, self.record.site.timeouts.body, true);
        match inspector.wants(phase).await {
            Wanted::Skip => {
                pass(inspector.body(phase, Bytes::new(), true, 0).await)?;
                let progress = timed.progress();
                Ok(Upload { body: Source::Stream(timed), progress, length: None })
            }
            Wanted::Watch => Ok(Self::pump_request(inspector, Bytes::new(), timed, 0)),
            Wanted::Hold { at_most } => {
                let mut held = Held::default();
                while let Some(chunk) = next(&mut timed).await? {
                    held.push(chunk.clone());
                    let last = timed.is_end_stream();
                    pass(inspector.body(phase, chunk, last, held.bytes).await)?;
                    if last {
                        return Ok(Upload::whole(held.whole()));
                    }
                    if held.bytes > at_most {
                        // The filter's policy has decided, and for it: the rest is only watched.
                        let seen = held.bytes;
                        return Ok(Self::pump_request(inspector, held.whole(), timed, seen));
                    }
                }
                pass(inspector.body(phase, Bytes::new(), true, held.bytes).await)?;
                Ok(Upload::whole(held.whole()))
            }
        }
    }

    fn pump_request(inspector: &Inspector, first: Bytes, timed: Timed, seen: u64) -> Upload {
        let (sender, channel) = Channel::new(PIECES);
        let progress = timed.progress();
        let length = timed.size_hint().exact().map(|rest| rest + first.len() as u64);
        let inspector = inspector.clone();
        tokio::spawn(async move {
            pump(&inspector, Phase::RequestBody, sender, first, timed, seen).await;
        });
        Upload { body: Source::Pumped(channel), progress, length }
    }

    async fn failed(&mut self, inspector: &Inspector, failure: &Failure) -> Stop {
        let (status, severity) = match failure {
            Failure::Request(fault) => {
                // A filter that stopped the body has its verdict ready for the asking.
                let verdict = inspector.verdict().await;
                return if verdict.is_decisive() { Stop::Verdict(verdict) } else { fault.into() };
            }
            Failure::TimedOut(_) => (504, Severity::Medium),
            Failure::Unreachable(..) | Failure::Broken(..) | Failure::Hung(..) => {
                (502, Severity::Medium)
            }
        };
        one_more(&self.shared.metrics.upstream_failures);
        Stop::Page(status, severity, failure.to_string())
    }

    async fn respond(
        &mut self,
        inspector: &Inspector,
        response: Response<Incoming>,
    ) -> Result<Response<Outward>, Stop> {
        let phase = Phase::ResponseBody;
        let (mut head, body) = response.into_parts();
        Self::response_head(inspector, &head).await?;
        forward::strip_hop(&mut head.headers);
        head.version = Version::HTTP_11;
        if body.is_end_stream() || self.record.method == Method::HEAD {
            pass(inspector.body(phase, Bytes::new(), true, 0).await)?;
            return Ok(Response::from_parts(head, Outward::new(Source::empty())));
        }
        let mut timed = Timed::new(body, self.record.site.timeouts.idle, false);
        let source = match inspector.wants(phase).await {
            Wanted::Skip => {
                pass(inspector.body(phase, Bytes::new(), true, 0).await)?;
                Source::Stream(timed)
            }
            Wanted::Watch => pump_response(inspector, Bytes::new(), timed, 0),
            Wanted::Hold { at_most } => {
                let mut held = Held::default();
                loop {
                    let chunk = match next(&mut timed).await {
                        Ok(chunk) => chunk,
                        Err(fault) => {
                            one_more(&self.shared.metrics.upstream_failures);
                            let why = format!("the upstream's response broke off: {fault}");
                            return Err(Stop::Page(502, Severity::Medium, why));
                        }
                    };
                    let last = chunk.is_none() || timed.is_end_stream();
                    let chunk = chunk.unwrap_or_default();
                    held.push(chunk.clone());
                    pass(inspector.body(phase, chunk, last, held.bytes).await)?;
                    if last {
                        break Source::Whole(held.whole());
                    }
                    if held.bytes > at_most {
                        let seen = held.bytes;
                        break pump_response(inspector, held.whole(), timed, seen);
                    }
                }
            }
        };
        Ok(Response::from_parts(head, Outward::new(source)))
    }

    async fn response_head(inspector: &Inspector, parts: &response::Parts) -> Result<(), Stop> {
        if inspector.is_none() {
            return Ok(());
        }
        let views = views(&parts.headers);
        let head = ResponseHead {
            status: parts.status.as_u16(),
            version: record::version(parts.version).as_bytes(),
            headers: &views,
            now: Timestamp::from_system_clock(),
        };
        pass(inspector.response_head(&head).await)
    }

    async fn switch(
        &mut self,
        inspector: &Inspector,
        client: Option<OnUpgrade>,
        mut response: Response<Incoming>,
    ) -> Result<Response<Outward>, Stop> {
        let server = hyper::upgrade::on(&mut response);
        let (head, _) = response.into_parts();
        Self::response_head(inspector, &head).await?;
        pass(inspector.body(Phase::ResponseBody, Bytes::new(), true, 0).await)?;
        let Some(client) = client else {
            let why = "the upstream switched protocols without being asked".to_owned();
            return Err(Stop::Page(502, Severity::Medium, why));
        };
        one_more(&self.shared.metrics.upgraded);
        self.tunnel = Some((client, server));
        Ok(Response::from_parts(head, Outward::new(Source::empty())))
    }

    /// Hands the record over to the response that goes out.
    fn answer(self, mut response: Response<Outward>) -> Response<Outward> {
        let Self { mut record, tunnel, place, .. } = self;
        record.status = response.status().as_u16();
        if record.method == Method::HEAD {
            record.complete = true;
        }
        if let Some((client, server)) = tunnel {
            tokio::spawn(upgrade::tunnel(client, server, record, place));
        } else {
            let length = response
                .headers()
                .get(CONTENT_LENGTH)
                .and_then(|value| value.to_str().ok()?.parse().ok());
            response.body_mut().recorded(record, length);
        }
        response
    }

    async fn stop(
        mut self,
        inspector: &Inspector,
        stop: Stop,
    ) -> Result<Response<Outward>, Closed> {
        let incident = self.record.incident;
        let response = match stop {
            Stop::Gone => return Err(Closed),
            Stop::Page(status, severity, why) => {
                self.record.status = status;
                self.record.event(severity, why);
                page::page(status, incident, &self.accept)
            }
            Stop::Verdict(verdict) => {
                self.record.action = verdict.action();
                match verdict.action() {
                    Action::Drop | Action::Reject => return Err(Closed),
                    Action::Redirect { status } => inspector
                        .location()
                        .await
                        .and_then(|location| page::redirect(status, &location))
                        .unwrap_or_else(|| page::page(403, incident, &self.accept)),
                    Action::Deny { status } => page::page(status, incident, &self.accept),
                    _ => page::page(403, incident, &self.accept),
                }
            }
        };
        Ok(self.answer(response))
    }
}

async fn next(timed: &mut Timed) -> Result<Option<Bytes>, Fault> {
    loop {
        match timed.frame().await {
            None => return Ok(None),
            // Where a filter looks at the body, trailers end here: it cannot look at them. A body that no
            // filter wants goes on as it is.
            Some(frame) => match frame?.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => return Ok(Some(data)),
                Err(_) => {}
            },
        }
    }
}

/// Pieces that wait for a verdict.
#[derive(Default)]
struct Held {
    pieces: Vec<Bytes>,
    bytes: u64,
}

impl Held {
    fn push(&mut self, piece: Bytes) {
        self.bytes += piece.len() as u64;
        if !piece.is_empty() {
            self.pieces.push(piece);
        }
    }

    fn whole(&mut self) -> Bytes {
        if self.pieces.len() <= 1 {
            return self.pieces.pop().unwrap_or_default();
        }
        let mut whole = BytesMut::with_capacity(usize::try_from(self.bytes).unwrap_or(0));
        for piece in self.pieces.drain(..) {
            whole.extend_from_slice(&piece);
        }
        whole.freeze()
    }
}

fn pump_response(inspector: &Inspector, first: Bytes, timed: Timed, seen: u64) -> Source {
    let (sender, channel) = Channel::new(PIECES);
    let inspector = inspector.clone();
    tokio::spawn(async move {
        pump(&inspector, Phase::ResponseBody, sender, first, timed, seen).await;
    });
    Source::Pumped(channel)
}

/// Shows each piece to the filter, then sends it on.
async fn pump(
    inspector: &Inspector,
    phase: Phase,
    mut sender: Sender<Bytes, Fault>,
    first: Bytes,
    mut timed: Timed,
    mut seen: u64,
) {
    if !first.is_empty() && sender.send_data(first).await.is_err() {
        return;
    }
    loop {
        let chunk = match next(&mut timed).await {
            Ok(chunk) => chunk,
            Err(fault) => return sender.abort(fault),
        };
        let last = chunk.is_none() || timed.is_end_stream();
        let chunk = chunk.unwrap_or_default();
        seen += chunk.len() as u64;
        if inspector.body(phase, chunk.clone(), last, seen).await.is_decisive() {
            return sender.abort(Fault::Stopped);
        }
        if !chunk.is_empty() && sender.send_data(chunk).await.is_err() || last {
            return;
        }
    }
}
