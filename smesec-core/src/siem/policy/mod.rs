//! What is done with an event before it is correlated: dropped, silenced, re-prioritised.

mod yaml;

pub(super) use yaml::types;

use super::record::Fields;
use super::risk::Net;
use crate::detector::Detector;
use crate::event::Event;
use crate::sink::Sink;
use crate::time::Timestamp;
use crate::verdict::Verdict;
use std::net::IpAddr;
use std::ops::RangeInclusive;

/// One policy: it applies where all that it names fits; what it leaves empty fits everything.
///
/// ```
/// use smesec_core::siem::policy::{Decision, Policies, Policy};
/// use smesec_core::siem::record::{Field, Record, Value};
/// use smesec_core::siem::risk::Net;
/// let scanner = Policy {
///     name: "our own scanner".into(),
///     sources: vec![Net::parse("10.0.9.9").unwrap()],
///     ..Policy::new(Decision::Drop)
/// };
/// let policies = Policies::new(vec![scanner]);
/// let fields = [Field { name: "src_ip", value: Value::text("10.0.9.9") }];
/// let record = Record { fields: &fields, ..Record::default() };
/// assert_eq!(policies.decide(&record, &[], Default::default()), Decision::Drop);
/// ```
#[derive(Clone, PartialEq, Debug)]
#[allow(clippy::exhaustive_structs, reason = "hosts name what they restrict and take the rest")]
pub struct Policy {
    /// Its name, for people.
    pub name: String,
    /// Source addresses.
    pub sources: Vec<Net>,
    /// Destination addresses.
    pub destinations: Vec<Net>,
    /// Destination ports.
    pub ports: Vec<RangeInclusive<u16>>,
    /// Event types: rules by id, name or title.
    pub types: Vec<String>,
    /// The agents, sensors or devices that told.
    pub agents: Vec<String>,
    /// Days of the week, Sunday first; none named is every day.
    pub days: [bool; 7],
    /// Minutes of the day in UTC, from and to, both included; a span from 22:00 to 06:00 goes over
    /// midnight.
    pub minutes: Option<(u16, u16)>,
    /// What is done.
    pub decision: Decision,
}

/// What a policy does with an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Decision {
    /// It is reported and correlated as it is.
    Correlate,
    /// It is reported and correlated, and directives weigh it with this priority, 0 to 5. A Sigma correlation
    /// keeps the level that its author gave it.
    Prioritise(u8),
    /// It is correlated, but not reported by itself.
    Silence,
    /// It is neither reported nor correlated.
    Drop,
}

impl Policy {
    /// A policy that applies to everything.
    pub fn new(decision: Decision) -> Self {
        Self {
            name: String::new(),
            sources: Vec::new(),
            destinations: Vec::new(),
            ports: Vec::new(),
            types: Vec::new(),
            agents: Vec::new(),
            days: [false; 7],
            minutes: None,
            decision,
        }
    }

    fn applies(&self, fields: &dyn Fields, rules: &[&str], time: Timestamp) -> bool {
        let first = |names: &[&str]| names.iter().find_map(|name| fields.value(name));
        let within = |nets: &[Net], names: &[&str]| {
            nets.is_empty()
                || first(names)
                    .and_then(|text| text.parse::<IpAddr>().ok())
                    .is_some_and(|ip| nets.iter().any(|net| net.contains(ip)))
        };
        let civil = time.civil();
        let minute = u16::try_from(civil.hour * 60 + civil.minute).unwrap_or_default();
        let weekday = usize::try_from(civil.weekday).unwrap_or_default();
        within(&self.sources, SOURCE)
            && within(&self.destinations, DESTINATION)
            && (self.ports.is_empty()
                || first(PORT)
                    .and_then(|text| text.parse().ok())
                    .is_some_and(|port| self.ports.iter().any(|range| range.contains(&port))))
            && (self.types.is_empty()
                || rules.iter().any(|rule| self.types.iter().any(|known| known == rule)))
            && (self.agents.is_empty()
                || first(AGENT)
                    .is_some_and(|agent| self.agents.iter().any(|known| *known == *agent)))
            && (self.days == [false; 7] || self.days.get(weekday).copied().unwrap_or(false))
            && self.minutes.is_none_or(|(from, to)| {
                if from <= to {
                    (from..=to).contains(&minute)
                } else {
                    minute >= from || minute <= to
                }
            })
    }
}

const SOURCE: &[&str] = &["src_ip", "src_endpoint.ip", "c-ip", "IpAddress", "SourceIp"];
const DESTINATION: &[&str] = &["dst_ip", "dst_endpoint.ip", "dest_ip", "DestinationIp"];
const PORT: &[&str] = &["dst_port", "dst_endpoint.port", "dest_port", "DestinationPort"];
const AGENT: &[&str] = &["agent", "sensor", "device", "host", "Computer"];

/// Policies in their order: the first that applies decides.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Policies {
    policies: Vec<Policy>,
}

impl Policies {
    /// These policies.
    pub fn new(policies: Vec<Policy>) -> Self {
        Self { policies }
    }

    /// The policies again, in their order.
    pub fn into_vec(self) -> Vec<Policy> {
        self.policies
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.policies.len()
    }

    /// Whether there is none, so that everything is reported and correlated.
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// What is done with an event that these rules matched.
    pub fn decide(&self, fields: &dyn Fields, rules: &[&str], time: Timestamp) -> Decision {
        let first = self.policies.iter().find(|policy| policy.applies(fields, rules, time));
        first.map_or(Decision::Correlate, |policy| policy.decision)
    }
}

/// A detector of events behind policies: what is dropped never reaches it, and a new priority stands in
/// the event's `extra` under `priority`.
#[derive(Debug)]
pub struct Policed<D> {
    policies: Policies,
    detector: D,
    dropped: u64,
}

impl<D> Policed<D> {
    /// `detector` behind `policies`.
    pub fn new(policies: Policies, detector: D) -> Self {
        Self { policies, detector, dropped: 0 }
    }

    /// Events dropped so far.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

impl<D: Detector<Event>> Detector<Event> for Policed<D> {
    fn observe(&mut self, event: &Event, sink: &dyn Sink) -> Verdict {
        let names = event.findings.iter().flat_map(|f| [f.rule.id.as_str(), f.rule.name.as_str()]);
        let names: Vec<&str> = names.collect();
        match self.policies.decide(event, &names, event.time) {
            Decision::Drop => {
                self.dropped += 1;
                Verdict::PASS
            }
            Decision::Prioritise(priority) => {
                let mut event = event.clone();
                event.extra.insert("priority".into(), priority.min(5).into());
                self.detector.observe(&event, sink)
            }
            Decision::Correlate | Decision::Silence => self.detector.observe(event, sink),
        }
    }

    fn advance(&mut self, now: Timestamp, sink: &dyn Sink) {
        self.detector.advance(now, sink);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::siem::record::{Field, Record, Value};

    #[test]
    fn the_first_that_applies_decides() {
        let net = |text: &str| vec![Net::parse(text).unwrap()];
        // 2026-01-04 was a Sunday.
        let sunday = Timestamp::from_unix_seconds(Timestamp::days_from_civil(2026, 1, 4) * 86_400);
        let policies = Policies::new(vec![
            Policy {
                sources: net("10.0.0.0/8"),
                types: vec!["scan".into()],
                ..Policy::new(Decision::Drop)
            },
            Policy {
                destinations: net("192.0.2.1"),
                ports: vec![80..=90, 443..=443],
                ..Policy::new(Decision::Prioritise(5))
            },
            Policy { agents: vec!["lab".into()], ..Policy::new(Decision::Silence) },
            Policy {
                days: [true, false, false, false, false, false, false],
                minutes: Some((22 * 60, 6 * 60)),
                ..Policy::new(Decision::Prioritise(4))
            },
        ]);
        let decide = |fields: &[(&str, &str)], rules: &[&str], time: Timestamp| {
            let fields: Vec<Field<'_>> = fields
                .iter()
                .map(|(name, value)| Field { name, value: Value::text(value) })
                .collect();
            policies.decide(&Record { fields: &fields, ..Record::default() }, rules, time)
        };
        let noon = sunday.plus_seconds(12 * 3_600);
        let ours = [("src_ip", "10.1.1.1")];
        assert_eq!(decide(&ours, &["x", "scan"], noon), Decision::Drop);
        assert_eq!(decide(&ours, &["x"], noon), Decision::Correlate);
        assert_eq!(decide(&[("src_ip", "11.1.1.1")], &["scan"], noon), Decision::Correlate);
        let to = |port| [("dest_ip", "192.0.2.1"), ("dest_port", port)];
        assert_eq!(decide(&to("443"), &[], noon), Decision::Prioritise(5));
        assert_eq!(decide(&to("91"), &[], noon), Decision::Correlate);
        assert_eq!(decide(&[("host", "lab")], &[], noon), Decision::Silence);
        for (hour, decision) in [
            (0, Decision::Prioritise(4)),
            (6, Decision::Prioritise(4)),
            (7, Decision::Correlate),
            (23, Decision::Prioritise(4)),
        ] {
            assert_eq!(decide(&[], &[], sunday.plus_seconds(hour * 3_600)), decision, "{hour}");
        }
        assert_eq!(decide(&[], &[], sunday.plus_seconds(86_400)), Decision::Correlate, "a Monday");
    }
}
