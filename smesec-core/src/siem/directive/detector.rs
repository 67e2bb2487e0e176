//! Events of all engines before directives.

use super::run::Directives;
use crate::detector::Detector;
use crate::event::Event;
use crate::siem::own::service;
use crate::sink::Sink;
use crate::time::Timestamp;
use crate::verdict::Verdict;

/// An event is a hit of each rule that one of its findings names by id or by name. A priority that a
/// policy gave stands in its `extra` ([`Policed`](crate::siem::policy::Policed)).
impl Detector<Event> for Directives {
    fn observe(&mut self, event: &Event, sink: &dyn Sink) -> Verdict {
        let mut alarms = Vec::new();
        if event.ingest_time != Timestamp::default() {
            self.arrived(event.ingest_time);
        }
        let names = event.findings.iter().flat_map(|f| [f.rule.id.as_str(), f.rule.name.as_str()]);
        let rules: Vec<u32> = names.filter_map(|name| self.rule(name)).collect();
        let priority = event.extra.get("priority").and_then(serde_json::Value::as_u64);
        let priority = priority.and_then(|priority| u8::try_from(priority).ok());
        let source = service(event.detector);
        self.see(&rules, event.time, source, event, priority, &mut alarms);
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
