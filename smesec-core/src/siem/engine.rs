//! Matcher and correlator as one: records in, detections and alarms out.

use super::correlation::{Alarm, Correlator, Settings};
use super::matcher::Matcher;
use super::record::Record;
use super::ruleset::RuleSet;
use crate::detector::Detector;
use crate::sink::Sink;
use crate::time::Timestamp;
use crate::verdict::Verdict;
use std::sync::Arc;

/// Detects over records and correlates what it detects, without an owned event between the two.
///
/// ```
/// use smesec_core::siem::correlation::Settings;
/// use smesec_core::siem::record::{Field, LogSource, Record, Value};
/// use smesec_core::siem::{Engine, RuleSet};
/// use smesec_core::time::Timestamp;
/// use std::sync::Arc;
///
/// let mut builder = RuleSet::builder();
/// builder.text("ssh.yml", "
/// title: Failed sign-in
/// name: failed
/// logsource: {product: linux, service: sshd}
/// detection: {selection: {outcome: failure}, condition: selection}
/// ---
/// title: Guessing
/// correlation: {type: event_count, rules: [failed], group-by: [src_ip], timespan: 5m, condition: {gte: 3}}
/// ");
/// let mut engine = Engine::new(Arc::new(builder.build()?), Settings::default());
/// let log_source = LogSource { product: "linux", service: "sshd", ..LogSource::default() };
/// let fields = [
///     Field { name: "outcome", value: Value::text("failure") },
///     Field { name: "src_ip", value: Value::text("192.0.2.7") },
/// ];
/// for second in 0..3 {
///     let time = Timestamp::from_unix_seconds(second);
///     let told = engine.see(&Record { fields: &fields, log_source, time, ..Record::default() });
///     assert!(told.detections.is_empty(), "the correlation stands for its rule");
/// }
/// let alarms = engine.finish();
/// assert_eq!(alarms[0].message, "Guessing: src_ip 192.0.2.7");
/// # Ok::<(), smesec_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Engine {
    matcher: Matcher,
    correlator: Correlator,
    /// Rules that matched a record and that correlations listen to.
    hits: Vec<u32>,
    detections: Vec<u32>,
    alarms: Vec<Alarm>,
}

/// What a record has led to.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Told<'e> {
    /// The rules that matched and are reported by themselves, as indices into
    /// [`RuleSet::metas`], in ascending order. A rule that correlations build on is not, unless
    /// one of them says `generate`.
    pub detections: &'e [u32],
    /// Alarms that were opened, updated or closed. They may be about earlier records: a
    /// correlation waits for its watermark.
    pub alarms: &'e [Alarm],
}

impl Engine {
    /// An engine over these rules and their correlations.
    pub fn new(rules: Arc<RuleSet>, settings: Settings) -> Self {
        Self {
            correlator: Correlator::new(Arc::clone(rules.plan()), settings),
            matcher: Matcher::new(rules),
            hits: Vec::new(),
            detections: Vec::new(),
            alarms: Vec::new(),
        }
    }

    /// Looks at one record.
    pub fn see(&mut self, record: &Record<'_>) -> Told<'_> {
        self.alarms.clear();
        self.look(record);
        Told { detections: &self.detections, alarms: &self.alarms }
    }

    /// Tells the stream's time; see [`Correlator::advance`].
    pub fn tell(&mut self, now: Timestamp) -> &[Alarm] {
        self.alarms.clear();
        self.correlator.advance(now, &mut self.alarms);
        &self.alarms
    }

    /// Judges all that waits: the stream has ended.
    pub fn finish(&mut self) -> &[Alarm] {
        self.alarms.clear();
        self.correlator.flush(&mut self.alarms);
        &self.alarms
    }

    /// The matcher, for its rules and its counts.
    pub const fn matcher(&self) -> &Matcher {
        &self.matcher
    }

    /// The correlator, for its statistics.
    pub const fn correlator(&self) -> &Correlator {
        &self.correlator
    }

    /// The correlator, to take a snapshot or to restore one.
    pub const fn correlator_mut(&mut self) -> &mut Correlator {
        &mut self.correlator
    }

    /// Fills `detections`, and adds to `alarms`.
    fn look(&mut self, record: &Record<'_>) {
        let plan = Arc::clone(self.correlator.plan());
        self.detections.clear();
        self.hits.clear();
        if record.arrival != Timestamp::default() {
            self.correlator.arrived(record.arrival);
        }
        // The clock is told once a record, whatever matches it, and never of a time that is only
        // when the record was read.
        if !plan.is_empty() && !record.undated {
            self.correlator.saw(record.time, record.origin, &mut self.alarms);
        }
        for rule in self.matcher.matches(record) {
            if plan.reports(*rule) {
                self.detections.push(*rule);
            }
            if plan.listens(*rule) {
                self.hits.push(*rule);
            }
        }
        if self.hits.is_empty() {
            return;
        }
        // All rules that match a record at once, so that it counts once.
        let (hits, time, alarms) = (&self.hits, record.time, &mut self.alarms);
        if record.undated {
            self.correlator.matched_undated(hits, time, record.origin, record, alarms);
        } else {
            self.correlator.matched(hits, time, record, alarms);
        }
    }
}

/// Detections and alarms become events.
impl<'r> Detector<Record<'r>> for Engine {
    fn observe(&mut self, record: &Record<'r>, sink: &dyn Sink) -> Verdict {
        self.alarms.clear();
        self.look(record);
        for rule in &self.detections {
            sink.accept(self.matcher.event(*rule, record));
        }
        for alarm in self.alarms.drain(..) {
            sink.accept(alarm.to_event());
        }
        Verdict::PASS
    }

    fn advance(&mut self, now: Timestamp, sink: &dyn Sink) {
        for alarm in self.tell(now) {
            sink.accept(alarm.to_event());
        }
    }
}
