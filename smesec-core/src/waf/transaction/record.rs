//! Findings, verdicts and the event.

use super::State;
use super::store::Slice;
use crate::event::{Event, Finding, RuleInfo, Source};
use crate::filter::Outcome;
use crate::http::{Connection, Header, RequestHead};
use crate::intake::ObjectMeta;
use crate::limits::OnLimit;
use crate::mask;
use crate::scanner::{self, ScanReport};
use crate::verdict::{Action, Severity, Verdict};
use crate::waf::checks;
use crate::waf::compile::program::{self, Disruption, Engine, Program, Rule};
use crate::waf::variable::Storage;
use std::sync::Arc;

/// The headers of both messages, where the host wants them recorded.
#[derive(Debug)]
pub(super) struct Recorded {
    request: Headers,
    pub(super) response: Option<Headers>,
}

type Headers = serde_json::Map<String, serde_json::Value>;

/// Headers of one message that an event keeps; servers refuse more.
const MAX_HEADERS: usize = 128;

/// Headers with their secrets masked; what comes twice is joined.
pub(super) fn recorded(headers: &[Header<'_>]) -> Headers {
    let mut all = Headers::new();
    for header in headers.iter().take(MAX_HEADERS) {
        let name = header.name.get(..128).unwrap_or(header.name);
        let value = mask::masked(&[b"REQUEST_HEADERS:", header.name].concat(), header.value);
        let name = String::from_utf8_lossy(name).into_owned();
        match all.get_mut(&name) {
            Some(serde_json::Value::String(before)) => {
                before.push_str(", ");
                before.push_str(&value);
            }
            _ => {
                all.insert(name, value.into());
            }
        }
    }
    all
}

impl Recorded {
    pub(super) fn new(head: &RequestHead<'_>) -> Self {
        Self { request: recorded(head.headers), response: None }
    }
}

/// A text for an event, cut.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(..2_048).unwrap_or(bytes)).into_owned()
}

/// Findings that one transaction keeps; a body made of attacks does not fill the memory. Its event counts the rest.
const MAX_FINDINGS: usize = 256;

impl State {
    fn text_of(&self, program: &Program, rule: &Rule, text: Option<&program::Text>) -> String {
        let Some(text) = text else { return String::new() };
        let bytes = super::expand::masked(&self.store, program, rule, text);
        String::from_utf8_lossy(bytes.get(..4_096).unwrap_or(&bytes)).into_owned()
    }

    fn keep(&mut self, finding: Finding) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding);
        } else {
            self.findings_left_out += 1;
        }
    }

    pub(super) fn report(&mut self, program: &Program, rule: &Rule) {
        if self.findings.len() >= MAX_FINDINGS {
            // Without the work for its texts.
            self.findings_left_out += 1;
            return;
        }
        let message = self.text_of(program, rule, rule.message.as_ref());
        let data = self.text_of(program, rule, rule.logdata.as_ref());
        let first = |storage: Storage| {
            self.store.members(storage.id()).first().map_or(Slice::EMPTY, |m| m.value)
        };
        let (name, value) = if rule.targets.is_empty() {
            (Slice::EMPTY, Slice::EMPTY)
        } else {
            (first(Storage::MatchedVarName), first(Storage::MatchedVar))
        };
        let part = String::from_utf8_lossy(self.store.bytes(name)).into_owned();
        let evidence = mask::masked(self.store.bytes(name), self.store.bytes(value));
        let severity = rule.severity.map_or(Severity::Info, program::severity);
        let mut finding = Finding::new(Arc::clone(&rule.info), severity, message);
        finding.part = part;
        finding.span = self
            .last_span
            .and_then(|(from, to)| Some((u32::try_from(from).ok()?, u32::try_from(to).ok()?)));
        finding.evidence = if data.is_empty() { evidence } else { data };
        self.keep(finding);
        if self.verdict.action() == Action::Pass {
            self.verdict = Verdict::new(Action::Log, 0);
        }
    }

    /// A disruptive action; true when the phase ends here.
    pub(super) fn decide(&mut self, program: &Program, rule: &Rule) -> bool {
        let action = match rule.disruption {
            Disruption::Drop => Action::Drop,
            Disruption::Redirect => Action::Redirect { status: rule.status.unwrap_or(302) },
            _ => Action::Deny { status: rule.status.unwrap_or(403) },
        };
        // The response is gone when phase 5 runs: nothing that it decides was done.
        if self.engine != Engine::On || rule.phase == 4 {
            return false;
        }
        if let Some(text) = &rule.redirect {
            let text = self.expand(program, rule, text);
            self.location = Some(String::from_utf8_lossy(self.store.bytes(text)).into_owned());
        }
        let action = self.on_block.apply(action);
        self.verdict = Verdict::new(action, 0);
        action.is_decisive()
    }

    /// The anomaly score that the rule set keeps: CRS's names; our own pack keeps one for each kind of
    /// attack, of which the highest counts.
    pub(super) fn score(&self, program: &Program) -> i32 {
        let value = |(name, slot): &(&str, Option<program::TxSlot>)| {
            let value = match slot {
                Some(slot) => self.store.tx(*slot),
                None => self.store.tx_unknown(name.as_bytes()),
            };
            value.map_or(0, |value| checks::number(self.store.bytes(value)))
        };
        let one = program.scores.iter().map(value).find(|score| *score != 0);
        let score = one.or_else(|| program.kind_scores.iter().map(value).max());
        score.map_or(0, |score| i32::try_from(score).unwrap_or(i32::MAX))
    }

    fn note(&mut self, id: &str, severity: Severity, why: &str) {
        let info = RuleInfo { id: id.to_owned(), name: why.to_owned(), ..RuleInfo::default() };
        self.keep(Finding::new(Arc::new(info), severity, why));
        if self.verdict.action() == Action::Pass {
            self.verdict = Verdict::new(Action::Log, 0);
        }
    }

    /// A limit was hit: a finding, and the policy, with the status that says whose limit it was.
    pub(super) fn limit(&mut self, why: &str, status: u16, policy: OnLimit) {
        self.note("smesec-limit", Severity::Medium, why);
        if policy == OnLimit::Closed && self.engine == Engine::On {
            self.verdict = Verdict::new(self.on_block.apply(Action::Deny { status }), 0);
        }
    }

    /// What happens beyond the limit of a body: `ProcessPartial` always lets the rest go, `Reject` leaves it to the
    /// host, which refuses it unless it says otherwise.
    pub(super) const fn over_limit(&self, rejects: bool) -> OnLimit {
        if rejects { self.on_limit } else { OnLimit::Open }
    }

    pub(super) fn inbound_over(&mut self, why: &str, policy: OnLimit) {
        self.store.set(Storage::InboundDataError, b"1");
        self.limit(why, 413, policy);
    }

    pub(super) fn outbound_over(&mut self, policy: OnLimit) {
        if self.store.scalar(Storage::OutboundDataError) == b"1" {
            return;
        }
        self.store.set(Storage::OutboundDataError, b"1");
        let why = "the response body is larger than `SecResponseBodyLimit`; only its beginning was inspected";
        self.limit(why, 500, policy);
    }

    /// An upload, or what is inside it, was not looked at.
    pub(super) fn unscanned(&mut self, why: &str) {
        self.limit(why, 403, self.on_limit);
    }

    pub(super) fn scanned(&mut self, meta: &ObjectMeta, report: ScanReport) {
        match report.outcome() {
            scanner::Outcome::Clean => {}
            scanner::Outcome::Detected => {
                for mut finding in report.findings {
                    if finding.part.is_empty() {
                        finding.part = format!("FILES:{}", meta.name);
                    }
                    self.keep(finding);
                }
                if self.engine == Engine::On {
                    let denied = Action::Deny { status: 403 };
                    self.verdict = Verdict::new(self.on_block.apply(denied), 0);
                }
            }
            scanner::Outcome::Incomplete => {
                let why =
                    report.skipped.first().map_or("not inspected", |s| s.why.as_str()).to_owned();
                self.unscanned(&format!("upload `{}` was not inspected whole: {why}", meta.name));
            }
        }
    }

    /// The event of a transaction that has ended; the findings go into it.
    pub(super) fn event(
        &mut self,
        connection: &Connection,
        headers: Option<&Recorded>,
        verdict: Verdict,
        outcome: Outcome,
    ) -> Event {
        let mut event = Event::new(self.id, Source::Waf, self.begun);
        event.ingest_time = outcome.now;
        event.class_uid = crate::event::HTTP_ACTIVITY;
        event.action = verdict.action();
        let severity = self.findings.iter().map(|f| f.severity).max().unwrap_or_default();
        event.severity_id = severity.ocsf_id();
        event.src_endpoint = Some(connection.client);
        event.dst_endpoint = Some(connection.server);
        event.transaction_id = Some(self.id.to_string());
        let count = self.findings.len() as u64 + self.findings_left_out;
        let word = verdict.action().word();
        let first =
            self.findings.iter().max_by_key(|f| f.severity).map_or("", |f| f.message.as_str());
        event.message = format!("{word}: {count} findings, score {}: {first}", verdict.score());
        event.findings = std::mem::take(&mut self.findings);
        let mut put = |name: &str, value: serde_json::Value| {
            event.extra.insert(name.to_owned(), value);
        };
        let header = |name: &str| {
            let value = self.store.named(Storage::RequestHeaders.id(), name.as_bytes());
            value.map_or_else(String::new, |value| text(self.store.bytes(value)))
        };
        put("method", text(self.store.scalar(Storage::RequestMethod)).into());
        put("uri", mask::masked_target(&text(self.store.scalar(Storage::RequestUriRaw))).into());
        put("host", header("host").into());
        put("user_agent", header("user-agent").into());
        if let Some(headers) = headers {
            let version = self.store.scalar(Storage::RequestProtocol);
            put("http_version", text(version.get(..16).unwrap_or(version)).into());
            put("request_headers", headers.request.clone().into());
            if let Some(headers) = &headers.response {
                put("response_headers", headers.clone().into());
            }
        }
        put("status", outcome.status.into());
        put("bytes", outcome.bytes.into());
        put("aborted", outcome.aborted.into());
        put("score", verdict.score().into());
        put(
            "duration_nanos",
            outcome.now.unix_nanos().saturating_sub(self.begun.unix_nanos()).into(),
        );
        let unanswered = self.lookups.iter().filter(|(_, found)| found.is_none()).count();
        if unanswered > 0 {
            put("unanswered_lookups", unanswered.into());
        }
        if self.findings_left_out > 0 {
            put("findings_left_out", self.findings_left_out.into());
        }
        if self.refused_changes > 0 {
            put("refused_collection_changes", self.refused_changes.into());
        }
        event
    }
}
