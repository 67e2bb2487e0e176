//! Events of all engines before correlations and directives: a finding names the rule that matched.

use super::correlation::{Alarm, Correlator};
use super::directive::Directives;
use super::own::service;
use crate::detector::Detector;
use crate::event::Event;
use crate::sink::Sink;
use crate::time::Timestamp;
use crate::verdict::Verdict;

/// An event is a hit of each base rule that one of its findings names by id or by name; values are read
/// from the event ([`Fields`](crate::siem::record::Fields)).
///
/// ```
/// use smesec_core::decode::yaml::{documents, Limits};
/// use smesec_core::detector::DetectorSink;
/// use smesec_core::event::{Event, EventId, Finding, RuleInfo, Source};
/// use smesec_core::ruleset::LoadReport;
/// use smesec_core::siem::correlation::{Correlator, Plan, Settings};
/// use smesec_core::siem::sigma::{correlation, Meta};
/// use smesec_core::sink::{Queue, Sink};
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
/// let (snapshot, statistics) = behind.with(|c| (c.snapshot(0), c.statistics()));
/// assert_eq!((statistics.hits, statistics.alarms), (4, 1));
/// assert!(behind.into_inner().restore(&snapshot).is_ok());
/// # Ok::<(), smesec_core::error::RuleError>(())
/// ```
impl Detector<Event> for Correlator {
    fn observe(&mut self, event: &Event, sink: &dyn Sink) -> Verdict {
        raise(sink, |alarms| {
            if event.ingest_time != Timestamp::default() {
                self.arrived(event.ingest_time);
            }
            let (plan, source) = (self.plan().clone(), service(event.detector));
            let rules = rules(event, |name| plan.by_id.get(name).copied());
            // Once, however many findings there are: a bad clock must not confirm itself.
            self.saw(event.time, source, alarms);
            self.matched(&rules, event.time, event, alarms);
        })
    }

    fn advance(&mut self, now: Timestamp, sink: &dyn Sink) {
        let _ = raise(sink, |alarms| Self::advance(self, now, alarms));
    }
}

/// An event is a hit of each rule that one of its findings names by id or by name. A priority that a
/// policy gave stands in its `extra` ([`Policed`](crate::siem::policy::Policed)).
impl Detector<Event> for Directives {
    fn observe(&mut self, event: &Event, sink: &dyn Sink) -> Verdict {
        raise(sink, |alarms| {
            if event.ingest_time != Timestamp::default() {
                self.arrived(event.ingest_time);
            }
            let rules = rules(event, |name| self.rule(name));
            let priority = event.extra.get("priority").and_then(serde_json::Value::as_u64);
            let priority = priority.and_then(|priority| u8::try_from(priority).ok());
            self.see(&rules, event.time, service(event.detector), event, priority, alarms);
        })
    }

    fn advance(&mut self, now: Timestamp, sink: &dyn Sink) {
        let _ = raise(sink, |alarms| Self::advance(self, now, alarms));
    }
}

/// The rules that an event's findings name, each once: by id, or where that is not known by name.
fn rules(event: &Event, known: impl Fn(&str) -> Option<u32>) -> Vec<u32> {
    let mut rules = Vec::new();
    for finding in &event.findings {
        let names = [&finding.rule.id, &finding.rule.name];
        let rule = names.into_iter().find_map(|name| known(name));
        rules.extend(rule.filter(|rule| !rules.contains(rule)));
    }
    rules
}

/// Alarms as events.
fn raise(sink: &dyn Sink, judge: impl FnOnce(&mut Vec<Alarm>)) -> Verdict {
    let mut alarms = Vec::new();
    judge(&mut alarms);
    for alarm in &alarms {
        sink.accept(alarm.to_event());
    }
    Verdict::PASS
}
