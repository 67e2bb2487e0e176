//! Events of a firewall into a detector of events, which raises an alarm of its own.
//!
//! `DetectorSink` only enqueues, so nothing slow runs on the request's thread; the host calls `drain` where
//! and when it likes, and tells the time. A tee keeps the plain events as well.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use smesec_core::detector::{Detector, DetectorSink};
use smesec_core::event::{Event, EventId, Source};
use smesec_core::filter::{Filter, Outcome};
use smesec_core::http::{Connection, Header, RequestHead};
use smesec_core::sink::{Queue, Sink, Tee};
use smesec_core::time::Timestamp;
use smesec_core::verdict::{Severity, Verdict};
use smesec_core::waf::{Mode, RuleSet, Waf};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// An alarm for each address that was blocked `threshold` times within `seconds`.
struct Persistent {
    threshold: usize,
    seconds: i64,
    blocks: BTreeMap<IpAddr, Vec<Timestamp>>,
    alarms: u64,
}

impl Detector<Event> for Persistent {
    fn observe(&mut self, event: &Event, sink: &dyn Sink) -> Verdict {
        let (true, Some(source)) = (event.action.is_decisive(), event.src_endpoint) else {
            return Verdict::PASS;
        };
        let blocks = self.blocks.entry(source.ip()).or_default();
        blocks.push(event.time);
        blocks.retain(|at| event.time.seconds_since(*at) < self.seconds);
        if blocks.len() == self.threshold {
            self.alarms += 1;
            let mut alarm = Event::new(EventId::new(2, self.alarms), Source::Siem, event.time);
            alarm.class_uid = 2_004;
            alarm.severity_id = Severity::High.ocsf_id();
            alarm.src_endpoint = Some(source);
            alarm.risk = Some(7);
            alarm.message = format!("{} was blocked {} times", source.ip(), self.threshold);
            sink.accept(alarm);
        }
        Verdict::PASS
    }

    fn advance(&mut self, now: Timestamp, _: &dyn Sink) {
        // Windows that have closed take no memory.
        self.blocks.retain(|_, blocks| {
            blocks.retain(|at| now.seconds_since(*at) < self.seconds);
            !blocks.is_empty()
        });
    }
}

fn visit(waf: &Waf, sink: &dyn Sink, client: [u8; 4], target: &str, second: i64) {
    let now = Timestamp::from_unix_seconds(second);
    let connection =
        Connection { client: (client, 40_000).into(), server: ([192, 0, 2, 2], 80).into(), now };
    let mut transaction = waf.begin(&connection, None);
    let headers = [Header::new("Host", "shop.example")];
    let head = RequestHead {
        method: b"GET",
        target: target.as_bytes(),
        version: b"HTTP/1.1",
        headers: &headers,
        now,
    };
    let verdict = transaction.request_head(&head).verdict().unwrap_or_default();
    let status = if verdict.is_decisive() { 403 } else { 200 };
    transaction.finish(Outcome { status, now, ..Outcome::default() }, sink);
}

fn main() -> Result<(), smesec_core::Error> {
    let mut rules = RuleSet::builder();
    rules.text(
        "shop.conf",
        br#"SecRule ARGS "@contains ../" "id:1,phase:1,deny,msg:'path traversal'""#,
    );
    let waf = Waf::builder(Arc::new(rules.build()?)).mode(Mode::Block).build();

    let detector = Persistent { threshold: 3, seconds: 60, blocks: BTreeMap::new(), alarms: 0 };
    let correlator = Arc::new(DetectorSink::new(detector, 1_000));
    let archive = Arc::new(Queue::new(1_000));
    let sink = Tee::new(vec![archive.clone(), correlator.clone()]);

    for second in 0..3 {
        visit(&waf, &sink, [203, 0, 113, 9], "/?page=../../etc/passwd", second);
        // Too slow for the window: an attack a minute.
        visit(&waf, &sink, [192, 0, 2, 7], "/?page=../../etc/passwd", second * 60);
        visit(&waf, &sink, [192, 0, 2, 1], "/?page=boots", second);
    }
    // Alarms go through the same tee: the correlator sees them too, and their generation keeps them apart.
    correlator.drain(Timestamp::from_unix_seconds(180), &sink);
    correlator.drain(Timestamp::from_unix_seconds(180), &sink);

    let events = archive.drain();
    let blocked = events
        .iter()
        .filter(|event| event.detector == Source::Waf && event.action.is_decisive())
        .count();
    println!("blocked: {blocked}");
    for alarm in events.iter().filter(|event| event.detector == Source::Siem) {
        println!(
            "alarm: {}, risk {:?}, generation {}",
            alarm.message, alarm.risk, alarm.generation
        );
    }
    println!("dropped: {}", archive.dropped() + correlator.dropped());
    Ok(())
}
