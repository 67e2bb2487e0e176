//! Uploads into a scanner: the firewall takes a multipart body apart, hands each file to an intake, and
//! answers `Pending` on the last piece until the scan has spoken.
//!
//! The scanner here is the host's own and looks for the EICAR test file, the agreed harmless sample.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use smesec_core::event::{Finding, RuleInfo};
use smesec_core::filter::{Filter, Outcome};
use smesec_core::http::{Connection, Header, RequestHead};
use smesec_core::intake::{Intake, ScannerIntake};
use smesec_core::limits::Budget;
use smesec_core::scanner::{Object, ScanReport, Scanner, Skipped};
use smesec_core::sink::Queue;
use smesec_core::time::Timestamp;
use smesec_core::verdict::{Action, Severity, Step, Verdict};
use smesec_core::waf::{Mode, RuleSet, Waf};
use std::sync::{Arc, Mutex};

/// Knows one sample.
struct Samples {
    rule: Arc<RuleInfo>,
    sample: Vec<u8>,
}

impl Samples {
    fn new() -> Self {
        let rule =
            RuleInfo { id: "eicar".into(), name: "EICAR test file".into(), ..RuleInfo::default() };
        // In two halves, so that no scanner takes this program for the sample.
        let sample =
            [r"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR", "-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"].concat();
        Self { rule: Arc::new(rule), sample: sample.into_bytes() }
    }
}

impl Scanner for Samples {
    fn scan(&mut self, object: &mut Object<'_>, budget: &mut Budget) -> ScanReport {
        let Object::Bytes { data, .. } = object else {
            let why = "only bytes in memory are looked at here".to_owned();
            return ScanReport::new(Vec::new(), vec![Skipped { member: String::new(), why }]);
        };
        if !budget.spend_steps(u64::try_from(data.len()).unwrap_or(u64::MAX)) {
            let why = "larger than the budget".to_owned();
            return ScanReport::new(Vec::new(), vec![Skipped { member: String::new(), why }]);
        }
        let found = data.windows(self.sample.len()).any(|window| window == self.sample);
        let finding =
            || Finding::new(Arc::clone(&self.rule), Severity::Critical, "EICAR test file");
        ScanReport::new(found.then(finding).into_iter().collect(), Vec::new())
    }
}

/// Sends one upload in small pieces, as a network does; returns the last verdict.
fn upload(
    waf: &Waf,
    scanner: &Arc<Mutex<Samples>>,
    events: &Queue,
    content: &[u8],
    limit: usize,
) -> Verdict {
    let now = Timestamp::from_system_clock();
    let connection = Connection {
        client: ([192, 0, 2, 1], 40_000).into(),
        server: ([192, 0, 2, 2], 80).into(),
        now,
    };
    let mut body =
        b"--b\r\nContent-Disposition: form-data; name=\"photo\"; filename=\"boots.jpg\"\r\n\
        Content-Type: image/jpeg\r\n\r\n"
            .to_vec();
    body.extend_from_slice(content);
    body.extend_from_slice(b"\r\n--b--\r\n");
    let length = body.len().to_string();

    let intake: Box<dyn Intake> =
        Box::new(ScannerIntake::with_limits(Arc::clone(scanner), limit, u64::MAX));
    let mut transaction = waf.begin(&connection, Some(intake));
    let headers = [
        Header::new("Host", "shop.example"),
        Header::new("Content-Type", "multipart/form-data; boundary=b"),
        Header::new("Content-Length", &length),
    ];
    let head = RequestHead {
        method: b"POST",
        target: b"/photos",
        version: b"HTTP/1.1",
        headers: &headers,
        now,
    };
    let mut step = transaction.request_head(&head);
    let pieces = body.len().div_ceil(16);
    for (n, piece) in body.chunks(16).enumerate() {
        step = transaction.request_body(piece, n + 1 == pieces);
    }
    // The last piece is held back until the scans have spoken. This host has no pool: it scans in place.
    while step == Step::Pending {
        let Some(work) = transaction.take_work() else { break };
        println!("  scanning");
        step = transaction.resume(work.run());
    }
    let verdict = step.verdict().unwrap_or_default();
    let status = if let Action::Deny { status } = verdict.action() { status } else { 201 };
    transaction.finish(Outcome { status, now, ..Outcome::default() }, events);
    verdict
}

fn main() -> Result<(), smesec_core::Error> {
    let mut rules = RuleSet::builder();
    rules.text("shop.conf", b"SecRequestBodyAccess On");
    let waf = Waf::builder(Arc::new(rules.build()?)).mode(Mode::Block).build();
    let scanner = Arc::new(Mutex::new(Samples::new()));
    let sample = Samples::new().sample;
    let events = Queue::new(100);

    for (name, content, limit) in [
        ("a photo", &b"\xff\xd8 nothing but boots"[..], 1 << 20),
        ("the sample", &sample, 1 << 20),
        ("more than may be spooled", &[b'a'; 4_096], 1_024),
    ] {
        println!("{name}:");
        let verdict = upload(&waf, &scanner, &events, content, limit);
        println!("{name} -> {:?}", verdict.action());
    }
    for event in events.drain() {
        for finding in &event.findings {
            println!("event: {} ({})", finding.message, finding.part);
        }
    }
    Ok(())
}
