//! Events of all engines as hits: a finding names the rule that matched.

use super::correlator::Correlator;
use crate::detector::Detector;
use crate::event::Event;
use crate::siem::own::service;
use crate::sink::Sink;
use crate::time::Timestamp;
use crate::verdict::Verdict;

/// An event is a hit of each base rule that one of its findings names by id or by name; its group
/// values are read from the event ([`Fields`](crate::siem::record::Fields)).
///
/// ```
/// use smesec_core::decode::yaml::{documents, Limits};
/// use smesec_core::event::{Event, EventId, Finding, RuleInfo, Source};
/// use smesec_core::ruleset::LoadReport;
/// use smesec_core::siem::correlation::{Correlator, Plan, Settings};
/// use smesec_core::siem::sigma::{correlation, Meta};
/// use smesec_core::sink::{DetectorSink, Queue, Sink};
/// use smesec_core::time::Timestamp;
/// use smesec_core::verdict::Severity;
/// use std::sync::Arc;
///
/// let text = "
/// title: persistent attacker
/// level: high
/// correlation: {type: event_count, rules: ['942100'], group-by: [src_ip], timespan: 5m, condition: {gte: 3}}
/// ";
/// let document = documents(text, "mine.yml", Limits::default()).next().unwrap()?;
/// let known = [Meta { id: "942100".into(), ..Meta::default() }];
/// let mut report = LoadReport::default();
/// let plan = Plan::build(vec![correlation::parse(&document.root, "mine.yml")?], &known, &mut report);
///
/// let settings = Settings { lateness: 0, ..Settings::default() };
/// let behind = DetectorSink::new(Correlator::new(Arc::new(plan), settings), 1_000);
/// let rule = Arc::new(RuleInfo { id: "942100".into(), name: "SQL injection".into(), ..RuleInfo::default() });
/// for n in 0..4 {
///     let mut event = Event::new(EventId::new(1, n), Source::Waf, Timestamp::from_unix_seconds(n as i64));
///     event.src_endpoint = Some(([203, 0, 113, 9], 4_000).into());
///     event.findings.push(Finding::new(rule.clone(), Severity::High, "SQL injection"));
///     behind.accept(event);
/// }
/// let alarms = Queue::new(10);
/// behind.drain(Timestamp::from_unix_seconds(100), &alarms);
/// let alarms = alarms.drain();
/// assert_eq!(alarms[0].message, "persistent attacker: src_ip 203.0.113.9");
/// assert_eq!(alarms[0].src_endpoint.map(|a| a.ip().to_string()).as_deref(), Some("203.0.113.9"));
/// # Ok::<(), smesec_core::error::RuleError>(())
/// ```
impl Detector<Event> for Correlator {
    fn observe(&mut self, event: &Event, sink: &dyn Sink) -> Verdict {
        let mut alarms = Vec::new();
        if event.ingest_time != Timestamp::default() {
            self.arrived(event.ingest_time);
        }
        let source = service(event.detector);
        let plan = self.plan().clone();
        let mut told = Vec::new();
        // Once, however many findings there are: a bad clock must not confirm itself.
        self.saw(event.time, source, &mut alarms);
        for finding in &event.findings {
            let rule = [&finding.rule.id, &finding.rule.name];
            let Some(rule) = rule.into_iter().find_map(|name| plan.by_id.get(name).copied()) else {
                continue;
            };
            if !told.contains(&rule) {
                told.push(rule);
            }
        }
        if !told.is_empty() {
            self.matched(&told, event.time, event, &mut alarms);
        }
        for alarm in &alarms {
            sink.accept(alarm.to_event());
        }
        Verdict::PASS
    }

    fn advance(&mut self, now: Timestamp, sink: &dyn Sink) {
        let mut alarms = Vec::new();
        Self::advance(self, now, &mut alarms);
        for alarm in &alarms {
            sink.accept(alarm.to_event());
        }
    }
}
