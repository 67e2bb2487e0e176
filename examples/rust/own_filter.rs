//! A filter of one's own, chained before the web application firewall, in a host without an event loop.
//!
//! The list is looked at first; who is not on it meets the rules. The host keeps to one order: head,
//! body, verdict; then it answers, and tells the transaction how it ended.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use smesec_core::event::{Event, EventId, Finding, RuleInfo, Source};
use smesec_core::filter::{Chain, Filter, Outcome, Transaction};
use smesec_core::http::{Connection, Header, RequestHead, ResponseHead};
use smesec_core::intake::Intake;
use smesec_core::sink::{Queue, Sink};
use smesec_core::time::Timestamp;
use smesec_core::verdict::{Action, Body, Phase, Severity, Step, Verdict};
use smesec_core::waf::{Mode, RuleSet, Waf};
use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Turns away the addresses on a list.
struct AddressList {
    addresses: HashSet<IpAddr>,
    rule: Arc<RuleInfo>,
    counter: Arc<AtomicU64>,
}

/// One transaction of it.
struct Listed {
    connection: Connection,
    findings: Vec<Finding>,
    counter: Arc<AtomicU64>,
}

impl AddressList {
    fn new(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        let rule = RuleInfo {
            id: "address-list".into(),
            name: "address on the list".into(),
            ..RuleInfo::default()
        };
        Self {
            addresses: addresses.into_iter().collect(),
            rule: Arc::new(rule),
            counter: Arc::default(),
        }
    }
}

impl Filter for AddressList {
    fn begin(&self, connection: &Connection, _: Option<Box<dyn Intake>>) -> Box<dyn Transaction> {
        let mut findings = Vec::new();
        if self.addresses.contains(&connection.client.ip()) {
            findings.push(Finding::new(Arc::clone(&self.rule), Severity::Medium, "turned away"));
        }
        Box::new(Listed { connection: *connection, findings, counter: Arc::clone(&self.counter) })
    }
}

impl Listed {
    fn verdict(&self) -> Step {
        let action =
            if self.findings.is_empty() { Action::Pass } else { Action::Deny { status: 429 } };
        Step::Done(Verdict::new(action, 0))
    }
}

impl Transaction for Listed {
    fn wants(&self, _: Phase) -> Body {
        Body::Skip
    }
    fn request_head(&mut self, _: &RequestHead<'_>) -> Step {
        self.verdict()
    }
    fn request_body(&mut self, _: &[u8], _: bool) -> Step {
        self.verdict()
    }
    fn response_head(&mut self, _: &ResponseHead<'_>) -> Step {
        self.verdict()
    }
    fn response_body(&mut self, _: &[u8], _: bool) -> Step {
        self.verdict()
    }
    fn findings(&self) -> &[Finding] {
        &self.findings
    }
    fn finish(self: Box<Self>, outcome: Outcome, sink: &dyn Sink) {
        if self.findings.is_empty() {
            return;
        }
        let id = EventId::new(1, self.counter.fetch_add(1, Ordering::Relaxed));
        let mut event = Event::new(id, Source::Host, outcome.now);
        event.src_endpoint = Some(self.connection.client);
        event.action = Action::Deny { status: outcome.status };
        event.message = "address on the list".into();
        event.findings = self.findings;
        sink.accept(event);
    }
}

/// What the host does for each request: it answers with a status.
fn serve(filter: &dyn Filter, sink: &dyn Sink, client: [u8; 4], target: &str) -> u16 {
    let now = Timestamp::from_system_clock();
    let connection =
        Connection { client: (client, 40_000).into(), server: ([192, 0, 2, 2], 80).into(), now };
    let mut transaction = filter.begin(&connection, None);
    let headers = [Header::new("Host", "shop.example"), Header::new("Accept", "*/*")];
    let head = RequestHead {
        method: b"GET",
        target: target.as_bytes(),
        version: b"HTTP/1.1",
        headers: &headers,
        now,
    };
    // No filter here makes work for later, so no step answers `Pending`.
    let mut verdict = transaction.request_head(&head).verdict().unwrap_or_default();
    if !verdict.is_decisive() {
        verdict = transaction.request_body(b"", true).verdict().unwrap_or_default();
    }
    let status = match verdict.action() {
        Action::Deny { status } | Action::Redirect { status } => status,
        action if action.is_decisive() => 403,
        _ => 200, // here the host would run its own code, and show the answer to the filter
    };
    transaction.finish(Outcome { status, now, ..Outcome::default() }, sink);
    status
}

fn main() -> Result<(), smesec_core::Error> {
    let mut rules = RuleSet::builder();
    rules.text(
        "shop.conf",
        br#"SecRule ARGS "@contains ../" "id:1,phase:1,deny,status:403,msg:'path traversal'""#,
    );
    let waf = Waf::builder(Arc::new(rules.build()?)).mode(Mode::Block).build();
    let list = AddressList::new([IpAddr::from([203, 0, 113, 9])]);
    let chain = Chain::new(vec![Arc::new(list), Arc::new(waf)]);

    let events = Queue::new(100);
    for (client, target) in [
        ([192, 0, 2, 1], "/?page=boots"),
        ([192, 0, 2, 1], "/?page=../../etc/passwd"),
        ([203, 0, 113, 9], "/?page=boots"),
    ] {
        println!("{target} -> {}", serve(&chain, &events, client, target));
    }
    for event in events.drain() {
        let rules: Vec<&str> =
            event.findings.iter().map(|finding| finding.rule.id.as_str()).collect();
        println!("event: {:?} {}", rules, event.action.word());
    }
    Ok(())
}
