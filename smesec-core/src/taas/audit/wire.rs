//! The one way out: every request of an audit passes here, counted, paced, and recorded.

use super::description::{Base, Limits};
use crate::runner::{Exchange, ExchangeError, Request, Response, Session, TestStep};
use crate::time::Timestamp;
use std::time::Duration;

/// What was done to come to a judgement, in order.
pub(super) type Trail = Vec<TestStep>;

/// Why a check ends without a judgement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Stop {
    /// The target has not what the check needs.
    Skip(String),
    /// Something that should have worked did not.
    Refuse(String),
}

/// What a sound target would answer; in a dry run it is the answer.
#[derive(Clone, Debug)]
pub(super) enum Sound {
    Admit,
    Refuse,
    Answer(Response),
}

/// A request that would be sent.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Planned {
    /// The check it serves.
    pub check: &'static str,
    /// As whom: a user, or `nobody`.
    pub acting_as: String,
    /// What it is for.
    pub purpose: String,
    /// The request, its secrets masked.
    pub request: Request,
}

impl Planned {
    /// It as one JSON object without a line break; the keys are a contract: `check`, `as`, `purpose`, `method`,
    /// `url`, `headers` (pairs of name and value), `body`.
    pub fn json_line(&self) -> String {
        let request = &self.request;
        let headers = request.headers.iter();
        serde_json::json!({
            "check": self.check,
            "as": self.acting_as,
            "purpose": self.purpose,
            "method": request.method,
            "url": request.url,
            "headers": headers.map(|(n, v)| (n, String::from_utf8_lossy(v))).collect::<Vec<_>>(),
            "body": String::from_utf8_lossy(&request.body),
        })
        .to_string()
    }
}

pub(super) struct Wire {
    /// `None` in a dry run.
    session: Option<Box<dyn Session>>,
    limits: Limits,
    allowed: Vec<(String, Option<u16>)>,
    spent: u64,
    last: Option<Timestamp>,
    waited: Duration,
    /// How far the running check may let `waited` grow: what lies beyond is kept for graver ones.
    pub(super) patience: Duration,
    /// What the running check had to do without: a wait that it was not granted, or a request.
    cut: Option<String>,
    /// Whether a `Retry-After` is obeyed; off while the limits on tries are what is tried.
    pub(super) patient: bool,
    /// The check that is running.
    pub(super) check: &'static str,
    pub(super) planned: Vec<Planned>,
}

impl Wire {
    pub(super) fn new(
        session: Option<Box<dyn Session>>,
        limits: Limits,
        base: &Base,
        hosts: &[(String, Option<u16>)],
    ) -> Self {
        let mut allowed = vec![(base.host.clone(), base.port)];
        allowed.extend_from_slice(hosts);
        Self {
            session,
            limits,
            allowed,
            spent: 0,
            last: None,
            waited: Duration::ZERO,
            patience: limits.patience,
            cut: None,
            patient: true,
            check: "",
            planned: Vec::new(),
        }
    }

    /// Begins a check, for which `share` of the patience may be used up: a part of 1.
    pub(super) fn begin(&mut self, check: &'static str, share: f64) {
        self.check = check;
        self.patience = self.limits.patience.mul_f64(share);
        self.cut = None;
    }

    /// What the running check was cut short by, once.
    pub(super) fn cut(&mut self) -> Option<String> {
        self.cut.take()
    }

    pub(super) fn is_dry(&self) -> bool {
        self.session.is_none()
    }

    /// The time; the epoch in a dry run.
    pub(super) fn now(&self) -> Timestamp {
        self.session.as_ref().map_or(Timestamp::default(), |session| session.now())
    }

    pub(super) fn wait(&mut self, pause: Duration) {
        if let Some(session) = &mut self.session {
            session.wait(pause);
        }
    }

    /// Sends a request and adds it to the trail.
    pub(super) fn send(
        &mut self,
        trail: &mut Trail,
        who: &str,
        purpose: &str,
        request: Request,
        sound: Sound,
    ) -> Result<Response, Stop> {
        let mut step = TestStep {
            name: purpose.to_owned(),
            acting_as: Some(who.to_owned()),
            ..TestStep::default()
        };
        let outcome = loop {
            let exchange = self.exchange(who, purpose, request.clone(), &sound)?;
            let response = exchange.response.clone();
            let again = response.as_ref().ok().and_then(|response| self.asks_to_wait(response));
            step.exchanges.push(exchange);
            match again {
                Some(pause) => {
                    self.waited += pause;
                    self.wait(pause);
                }
                None => break response,
            }
        };
        let told = outcome.map_err(|e| {
            step.failures.push(e.to_string());
            Stop::Refuse(format!("{purpose} ({} {}): {e}", request.method, path(&request.url)))
        });
        trail.push(step);
        told
    }

    fn exchange(
        &mut self,
        who: &str,
        purpose: &str,
        request: Request,
        sound: &Sound,
    ) -> Result<Exchange, Stop> {
        if !self.may_reach(&request.url) {
            let host = ExchangeError::NotAllowed(request.url);
            return Err(Stop::Refuse(host.to_string()));
        }
        if self.spent >= self.limits.requests {
            let spent = ExchangeError::Spent(self.limits.requests);
            let why = format!("{spent}: `requests` under `limits`");
            self.cut = Some(why.clone());
            return Err(Stop::Refuse(why));
        }
        self.spent += 1;
        let Some(session) = &mut self.session else {
            let response = match sound {
                Sound::Admit => {
                    Response { status: 200, body: b"{}".to_vec(), ..Response::default() }
                }
                Sound::Refuse => Response { status: 401, ..Response::default() },
                Sound::Answer(response) => response.clone(),
            };
            self.planned.push(Planned {
                check: self.check,
                acting_as: who.to_owned(),
                purpose: purpose.to_owned(),
                request: request.clone(),
            });
            return Ok(Exchange { request, response: Ok(response), elapsed: Duration::ZERO });
        };
        let begun = session.now();
        let pause = Duration::from_secs(1) / self.limits.per_second.max(1);
        if let Some(last) = self.last
            && let Some(rest) = pause.checked_sub(since(last, begun))
            && !rest.is_zero()
        {
            session.wait(rest);
        }
        let begun = session.now();
        self.last = Some(begun);
        let response = session.exchange(&request, self.limits.deadline);
        let elapsed = session.on_the_wire().unwrap_or_else(|| since(begun, session.now()));
        Ok(Exchange { request, response, elapsed })
    }

    /// How long a throttled request should wait before it comes again, while patience lasts.
    fn asks_to_wait(&mut self, response: &Response) -> Option<Duration> {
        if !self.patient || !matches!(response.status, 429 | 503) {
            return None;
        }
        let after = std::str::from_utf8(response.header("retry-after")?).ok()?;
        let pause = Duration::from_secs(after.trim().parse().ok()?);
        if self.waited.checked_add(pause).is_some_and(|waited| waited <= self.patience) {
            return Some(pause.max(Duration::from_millis(100)));
        }
        let kept = self.limits.patience.saturating_sub(self.patience);
        let kept = if kept.is_zero() {
            String::new()
        } else {
            format!(" and {} s kept for graver checks", kept.as_secs())
        };
        self.cut = Some(format!(
            "the target asks to wait {} s; of {} s {} are used up{kept}: raise `patience` under `limits`",
            pause.as_secs(),
            self.limits.patience.as_secs(),
            self.waited.as_secs(),
        ));
        None
    }

    fn may_reach(&self, url: &str) -> bool {
        names(&self.allowed, url)
    }
}

/// Whether a URL leads to one of these hosts. Without a port a host has its scheme's own alone.
pub(super) fn names(hosts: &[(String, Option<u16>)], url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    let usual = if scheme.eq_ignore_ascii_case("https") { 443 } else { 80 };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let own = |host: &str, port: u16| {
        authority.eq_ignore_ascii_case(&format!("{host}:{port}"))
            || (port == usual && authority.eq_ignore_ascii_case(host))
    };
    hosts.iter().any(|(host, port)| own(host, port.unwrap_or(usual)))
}

fn since(earlier: Timestamp, later: Timestamp) -> Duration {
    let nanos = later.unix_nanos().saturating_sub(earlier.unix_nanos());
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

/// Path and query of a URL.
pub(super) fn path(url: &str) -> &str {
    let Some((_, rest)) = url.split_once("://") else { return url };
    rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
}
