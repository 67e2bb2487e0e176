//! Matcher, policies, correlator and directives as one: records in, detections and alarms out.

use super::correlation::{Alarm, Correlator, CorrelatorState, Restored, Settings};
use super::directive::{Directive, Directives, DirectivesState};
use super::envelope::{Envelope, Mapping};
use super::matcher::Matcher;
use super::policy::{Decision, Policies};
use super::record::{MAX_TIMES, Record};
use super::risk::{Assets, CORRELATION_RELIABILITY};
use super::ruleset::RuleSet;
use super::snapshot::{Magic, Reader as SnapshotReader, Writer, open, seal, unsound};
use crate::detector::Detector;
use crate::error::Error;
use crate::ruleset::LoadReport;
use crate::sink::Sink;
use crate::time::Timestamp;
use crate::verdict::Verdict;
use std::sync::Arc;

const MAGIC: &Magic = b"smesengi";
const VERSION: u16 = 1;

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
    rules: Arc<RuleSet>,
    matcher: Matcher,
    correlator: Correlator,
    /// Rules that matched a record and that correlations listen to.
    hits: Vec<u32>,
    directives: Option<Directives>,
    policies: Policies,
    assets: Assets,
    mapping: Mapping,
    report: LoadReport,
    dropped: u64,
    /// Rules that matched a record and go on to directives.
    taken: Vec<u32>,
    detections: Vec<u32>,
    alarms: Vec<Alarm>,
}

/// An engine in the making: rules, and what stands before and beside them.
///
/// ```
/// use smesec_core::siem::directive::parse_yaml;
/// use smesec_core::siem::policy::Policies;
/// use smesec_core::siem::record::{Field, LogSource, Record, Value};
/// use smesec_core::siem::risk::Assets;
/// use smesec_core::siem::{Engine, RuleSet};
/// use std::sync::Arc;
///
/// let mut rules = RuleSet::builder();
/// rules.text("r.yml", "
/// title: Failed sign-in
/// name: failed
/// logsource: {product: shop}
/// detection: {selection: {outcome: failure}, condition: selection}
/// ");
/// let assets = Assets::new().host("10.0.0.5", 5);
/// let policies = "policies: [{name: told elsewhere, types: [failed], then: silence}]";
/// let directives = "
/// directives:
///   - {id: '1', name: guessing from SRC_IP, priority: 5, level: {rules: [failed], reliability: 4}}
/// ";
/// let mut engine = Engine::builder(Arc::new(rules.build()?))
///     .policies(Policies::parse(policies, "p.yml", &assets)?)
///     .directives(parse_yaml(directives, "d.yml")?)
///     .assets(assets)
///     .build();
/// assert!(engine.report().refused.is_empty());
/// let fields = [("outcome", "failure"), ("src_ip", "192.0.2.7"), ("dst_ip", "10.0.0.5")]
///     .map(|(name, text)| Field { name, value: Value::text(text) });
/// let log_source = LogSource { product: "shop", ..LogSource::default() };
/// let told = engine.see(&Record { fields: &fields, log_source, ..Record::default() });
/// assert!(told.detections.is_empty(), "silenced, and correlated all the same");
/// let alarm = &engine.finish()[0];
/// assert_eq!((alarm.message.as_str(), alarm.risk), ("guessing from 192.0.2.7", Some(4)));
/// # Ok::<(), smesec_core::Error>(())
/// ```
#[derive(Debug)]
pub struct EngineBuilder {
    rules: Arc<RuleSet>,
    settings: Settings,
    assets: Assets,
    policies: Policies,
    directives: Vec<Directive>,
    mapping: Mapping,
}

impl EngineBuilder {
    /// How late events come, and how much may be kept. [`Settings::default`].
    pub fn settings(self, settings: Settings) -> Self {
        Self { settings, ..self }
    }

    /// What there is to protect; without an inventory everything counts alike.
    pub fn assets(self, assets: Assets) -> Self {
        Self { assets, ..self }
    }

    /// What is done with an event before it is correlated. Each rule that matches a record is one
    /// event: a policy that drops it does not drop what else was found. None.
    pub fn policies(self, policies: Policies) -> Self {
        Self { policies, ..self }
    }

    /// Directives, beside the rules' own correlations. None.
    pub fn directives(self, directives: Vec<Directive>) -> Self {
        Self { directives, ..self }
    }

    /// Which fields stand for the envelope's columns. [`Mapping::builtin`].
    pub fn mapping(self, mapping: Mapping) -> Self {
        Self { mapping, ..self }
    }

    /// The engine. Directives that name rules which are not there are left out, and stand as refused
    /// in [`Engine::report`].
    pub fn build(self) -> Engine {
        self.build_after(LoadReport::default())
    }

    /// As [`Self::build`], where a report has already begun.
    pub(super) fn build_after(self, mut report: LoadReport) -> Engine {
        let Self { rules, settings, assets, policies, directives, mapping } = self;
        let directives = (!directives.is_empty()).then(|| {
            let (assets, settings) = (assets.clone(), settings.clone());
            Directives::new(directives, rules.metas(), assets, settings, &mut report)
        });
        Engine {
            correlator: Correlator::new(Arc::clone(rules.plan()), settings),
            matcher: Matcher::new(Arc::clone(&rules)),
            directives,
            policies,
            assets,
            mapping,
            report,
            rules,
            dropped: 0,
            taken: Vec::new(),
            hits: Vec::new(),
            detections: Vec::new(),
            alarms: Vec::new(),
        }
    }
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
    /// An engine over these rules and their correlations, without policies, directives or inventory.
    pub fn new(rules: Arc<RuleSet>, settings: Settings) -> Self {
        Self::builder(rules).settings(settings).build()
    }

    /// A builder, for what stands before and beside the rules.
    pub fn builder(rules: Arc<RuleSet>) -> EngineBuilder {
        EngineBuilder {
            rules,
            settings: Settings::default(),
            assets: Assets::new(),
            policies: Policies::default(),
            directives: Vec::new(),
            mapping: Mapping::builtin(),
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
        if let Some(directives) = &mut self.directives {
            directives.advance(now, &mut self.alarms);
        }
        self.weigh();
        &self.alarms
    }

    /// Judges all that waits: the stream has ended.
    pub fn finish(&mut self) -> &[Alarm] {
        self.alarms.clear();
        self.correlator.flush(&mut self.alarms);
        if let Some(directives) = &mut self.directives {
            directives.flush(&mut self.alarms);
        }
        self.weigh();
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

    /// The directives, where there are any.
    pub const fn directives(&self) -> Option<&Directives> {
        self.directives.as_ref()
    }

    /// The directives that could not be taken, by file, line and column.
    pub const fn report(&self) -> &LoadReport {
        &self.report
    }

    /// Detections that policies dropped.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The state of correlations and directives: an engine with the same rules goes on from it as if
    /// nothing had been in between. Rules on single records keep none.
    ///
    /// ```
    /// # use smesec_core::siem::{Engine, RuleSet};
    /// # use std::sync::Arc;
    /// let rules = Arc::new(RuleSet::builder().build()?);
    /// let engine = Engine::builder(rules.clone()).build();
    /// let restored = Engine::builder(rules).build().restore(&engine.snapshot())?;
    /// assert_eq!(restored.skipped, 0);
    /// # Ok::<(), smesec_core::Error>(())
    /// ```
    pub fn snapshot(&self) -> Vec<u8> {
        let mut body = Writer::default();
        body.u64(self.dropped);
        let buckets = self.correlator.buckets();
        body.count(usize::from(buckets));
        for bucket in 0..buckets {
            body.bytes(&self.correlator.snapshot(bucket));
        }
        body.bytes(&self.directives.as_ref().map(Directives::snapshot).unwrap_or_default());
        seal(MAGIC, VERSION, &body)
    }

    /// Takes a snapshot up, besides what is there already.
    ///
    /// # Errors
    /// Bytes that are no snapshot, of another version, damaged or cut; then nothing is taken up.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<Restored, Error> {
        let mut from = open(MAGIC, VERSION, bytes)?;
        let dropped = from.u64().ok_or_else(unsound)?;
        let buckets = from.several(4, SnapshotReader::bytes).ok_or_else(unsound)?;
        let directives = from.bytes().filter(|_| from.is_done()).ok_or_else(unsound)?;
        // All of it is read before any of it is taken up.
        let buckets =
            buckets.into_iter().map(CorrelatorState::read).collect::<Result<Vec<_>, _>>()?;
        let directives = match directives {
            [] => None,
            bytes => Some(DirectivesState::read(bytes)?),
        };
        let mut restored = Restored::default();
        for bucket in buckets {
            restored.add(self.correlator.take_up(bucket));
        }
        match (&mut self.directives, directives) {
            (Some(running), Some(read)) => restored.add(running.take_up(read)),
            (None, Some(_)) => restored.skipped += 1,
            (_, None) => {}
        }
        self.dropped = self.dropped.max(dropped);
        Ok(restored)
    }

    /// Fills `detections`, and adds to `alarms`.
    fn look(&mut self, record: &Record<'_>) {
        let plan = Arc::clone(self.correlator.plan());
        let (time, origin) = (record.time, record.origin);
        self.detections.clear();
        self.hits.clear();
        self.taken.clear();
        if record.arrival != Timestamp::default() {
            self.correlator.arrived(record.arrival);
            if let Some(directives) = &mut self.directives {
                directives.arrived(record.arrival);
            }
        }
        // The clock is told once a record, whatever matches it, and never of a time that is only
        // when the record was read.
        if !plan.is_empty() && !record.undated {
            self.correlator.saw(time, origin, &mut self.alarms);
        }
        let fields = Envelope::new(record, &self.mapping);
        let mut priority = None;
        for rule in self.matcher.matches(record) {
            let decision = if self.policies.is_empty() {
                Decision::Correlate
            } else {
                let names =
                    self.rules.meta(*rule).map(|meta| [&*meta.id, &*meta.name, &*meta.title]);
                self.policies.decide(&fields, names.as_ref().map_or(&[], |n| n), time)
            };
            match decision {
                Decision::Drop => {
                    self.dropped += 1;
                    continue;
                }
                Decision::Prioritise(given) => priority = priority.max(Some(given)),
                Decision::Correlate | Decision::Silence => {}
            }
            if plan.reports(*rule) && decision != Decision::Silence {
                self.detections.push(*rule);
            }
            if plan.listens(*rule) {
                self.hits.push(*rule);
            }
            self.taken.push(*rule);
        }
        let times = record.times.clamp(1, MAX_TIMES);
        self.correlator.dropped_repeats(&self.hits, record.times.saturating_sub(MAX_TIMES));
        // All rules that match a record at once, so that it counts once.
        let (hits, alarms) = (&self.hits, &mut self.alarms);
        for _ in 0..times {
            if record.undated {
                self.correlator.matched_undated(hits, time, origin, &fields, alarms);
            } else {
                self.correlator.matched(hits, time, &fields, alarms);
            }
        }
        if let Some(directives) = &mut self.directives {
            // An event that no rule knows is dropped by policies that name no type.
            let dropped = self.taken.is_empty()
                && !self.policies.is_empty()
                && self.policies.decide(&fields, &[], time) == Decision::Drop;
            let (taken, alarms) = (&self.taken, &mut self.alarms);
            for _ in 0..if dropped { 1 } else { times } {
                match (dropped, record.undated) {
                    (true, true) => {}
                    (true, false) => directives.saw(time, origin, alarms),
                    (false, true) => {
                        directives.see_undated(taken, time, origin, &fields, priority, alarms);
                    }
                    (false, false) => {
                        directives.see(taken, time, origin, &fields, priority, alarms);
                    }
                }
            }
        }
        self.weigh();
    }

    fn weigh(&mut self) {
        for alarm in &mut self.alarms {
            self.assets.weigh(alarm, CORRELATION_RELIABILITY);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::siem::directive::parse_yaml;
    use crate::siem::record::{Field, LogSource, Value};

    fn fresh() -> Engine {
        let mut builder = RuleSet::builder();
        builder.text(
            "r.yml",
            "title: Failed\nname: failed\nlogsource: {product: shop}\n\
             detection: {selection: {outcome: failure}, condition: selection}\n---\ntitle: Guessing\n\
             correlation: {type: event_count, rules: [failed], group-by: [src_ip], timespan: 5m, \
             condition: {gte: 3}}\n",
        );
        let directives =
            "directives: [{id: '1', priority: 5, level: {rules: [failed], reliability: 4}}]";
        Engine::builder(Arc::new(builder.build().unwrap()))
            .settings(Settings { buckets: 4, ..Settings::default() })
            .directives(parse_yaml(directives, "d.yml").unwrap())
            .build()
    }

    #[test]
    fn a_snapshot_that_is_refused_changes_nothing() {
        let mut engine = fresh();
        for n in 0..40 {
            let address = format!("192.0.2.{n}");
            let fields = [("outcome", "failure"), ("src_ip", address.as_str())]
                .map(|(name, text)| Field { name, value: Value::text(text) });
            let log_source = LogSource { product: "shop", ..LogSource::default() };
            let time = Timestamp::from_unix_seconds(n);
            engine.see(&Record { fields: &fields, log_source, time, ..Record::default() });
        }
        let buckets: Vec<_> = (0..4).map(|bucket| engine.correlator.snapshot(bucket)).collect();
        let directives = engine.directives.as_ref().unwrap().snapshot();
        let of = |buckets: &[Vec<u8>], directives: &[u8]| {
            let mut body = Writer::default();
            body.u64(9);
            body.count(buckets.len());
            for bucket in buckets {
                body.bytes(bucket);
            }
            body.bytes(directives);
            seal(MAGIC, VERSION, &body)
        };
        let restored = fresh().restore(&of(&buckets, &directives)).unwrap();
        assert_eq!((restored.groups > 0, restored.waiting > 0, restored.skipped), (true, true, 0));
        let begun = fresh().snapshot();
        let damaged = |bytes: &[u8]| bytes.split_last().unwrap().1.to_vec();
        let mut cut = buckets.clone();
        cut[3] = damaged(&buckets[3]);
        for bytes in [of(&cut, &directives), of(&buckets, &damaged(&directives))] {
            let mut engine = fresh();
            assert!(engine.restore(&bytes).is_err());
            assert!(engine.snapshot() == begun, "as it was");
            // Nor where there is nobody to take the directives up.
            engine.directives = None;
            assert!(engine.restore(&bytes).is_err());
        }
    }
}
