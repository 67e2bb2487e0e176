//! The run-time: hits in, alarms out.

use super::alarm::{Alarm, AlarmId, AlarmKind, Change};
use super::clock::{Clock, NEVER};
use super::hash::{low, sip128};
use super::health::{Health, Trouble};
use super::heap::LazyHeap;
use super::plan::{Compiled, From, Kind, Link, Plan};
use super::settings::Settings;
use super::shard::Shard;
use super::state::{Carry, Input, Judged};
use super::table::{Open, Table};
use super::values::{canonical, decode, encode};
use crate::event::RuleInfo;
use crate::siem::record::Fields;
use crate::time::Timestamp;
use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

/// Correlates hits of base rules by event time.
///
/// ```
/// use smesec_core::decode::yaml::{documents, Limits};
/// use smesec_core::ruleset::LoadReport;
/// use smesec_core::siem::correlation::{Correlator, Plan, Settings};
/// use smesec_core::siem::record::{Field, Record, Value};
/// use smesec_core::siem::sigma::{correlation, Meta};
/// use smesec_core::time::Timestamp;
/// use std::sync::Arc;
///
/// let text = "
/// title: guessing
/// correlation: {type: event_count, rules: [failed], group-by: [user], timespan: 5m, condition: {gte: 3}}
/// ";
/// let document = documents(text, "mine.yml", Limits::default()).next().unwrap()?;
/// let known = [Meta { name: "failed".into(), ..Meta::default() }];
/// let mut report = LoadReport::default();
/// let plan = Plan::build(vec![correlation::parse(&document.root, "mine.yml")?], &known, &mut report);
///
/// let mut correlator = Correlator::new(Arc::new(plan), Settings::default());
/// let mut alarms = Vec::new();
/// let fields = [Field { name: "user", value: Value::text("anna") }];
/// let record = Record { fields: &fields, ..Record::default() };
/// for second in [70, 50, 60] {
///     correlator.hit(0, Timestamp::from_unix_seconds(second), "sshd", &record, &mut alarms);
/// }
/// correlator.flush(&mut alarms);
/// assert_eq!(alarms.len(), 1);
/// assert_eq!(alarms[0].time, Timestamp::from_unix_seconds(70), "by event time, not by arrival");
/// # Ok::<(), smesec_core::error::RuleError>(())
/// ```
#[derive(Debug)]
pub struct Correlator {
    pub(crate) plan: Arc<Plan>,
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) tables: Vec<Table>,
    /// Hits that wait for the watermark, earliest first.
    pub(crate) pending: BinaryHeap<Reverse<Pending>>,
    /// Deadlines of absences, earliest first.
    pub(crate) deadlines: LazyHeap<Deadline>,
    pub(crate) sequence: u64,
    /// Values that hits carry to the parents of their correlations.
    pub(crate) carried: Vec<Carry>,
    free: Vec<u32>,
    arrival: Option<Timestamp>,
    /// Up to when groups whose window has passed have been let go of.
    forgotten: i64,
    pub(crate) statistics: Statistics,
    /// By correlation, [`Statistics::no_group`].
    without_field: Vec<u64>,
    pub(crate) health: Health,
    scratch: Scratch,
}

/// What a correlator has seen, kept and lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
#[non_exhaustive]
pub struct Statistics {
    /// Hits taken in.
    pub hits: u64,
    /// Hits that came after their source's lateness: detected, but not correlated.
    pub late_dropped: u64,
    /// Hits whose time lay too far ahead of their arrival, taken as of their arrival.
    pub clock_ahead: u64,
    /// Hits whose record told no time, taken as of the newest time of their source.
    pub undated: u64,
    /// Hits without a field that their correlation groups by or looks at.
    pub no_group: u64,
    /// Hits whose value is no number where one was asked for.
    pub not_numeric: u64,
    /// Groups forgotten because there were too many.
    pub groups_evicted: u64,
    /// Hits lost with them: those that they kept, and those that waited for them.
    pub hits_evicted: u64,
    /// Values dropped because their group, or all groups together, keep no more.
    pub samples_dropped: u64,
    /// Hits judged before their time because too many waited.
    pub forced: u64,
    /// Alarms opened.
    pub alarms: u64,
    /// Hits of records that stand for more events than
    /// [`MAX_TIMES`](crate::siem::record::MAX_TIMES), beyond it.
    pub repeats_dropped: u64,
}

impl Statistics {
    /// All counts, in the order of a snapshot.
    pub(crate) fn all_mut(&mut self) -> [&mut u64; 12] {
        [
            &mut self.hits,
            &mut self.late_dropped,
            &mut self.clock_ahead,
            &mut self.no_group,
            &mut self.not_numeric,
            &mut self.groups_evicted,
            &mut self.hits_evicted,
            &mut self.samples_dropped,
            &mut self.forced,
            &mut self.alarms,
            &mut self.undated,
            &mut self.repeats_dropped,
        ]
    }

    pub(crate) fn all(mut self) -> [u64; 12] {
        self.all_mut().map(|counted| *counted)
    }
}

/// A hit that waits, for one correlation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Pending {
    pub(crate) time: i64,
    pub(crate) sequence: u64,
    pub(crate) correlation: u32,
    pub(crate) slot: u32,
    pub(crate) generation: u32,
    /// A place in `carried` plus one; 0 is none.
    pub(crate) carry: u32,
    pub(crate) steps: u64,
    pub(crate) value: u64,
}

/// A deadline that has to pass without what is barred.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Deadline {
    pub(crate) time: i64,
    pub(crate) correlation: u32,
    /// The group: which of several at one time comes first must not hang on where it is kept.
    pub(crate) key: u128,
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// Buffers used again by each hit.
#[derive(Debug, Default)]
struct Scratch {
    key: Vec<u8>,
    hits: Vec<Pending>,
}

const SECOND: i64 = 1_000_000_000;

impl Correlator {
    /// A correlator over a plan.
    pub fn new(plan: Arc<Plan>, settings: Settings) -> Self {
        let tables = (0_u64..)
            .zip(&plan.correlations)
            .map(|(at, _)| Table::new(settings.seed ^ at))
            .collect();
        let without_field = vec![0; plan.correlations.len()];
        Self {
            plan,
            settings,
            clock: Clock::new(),
            tables,
            pending: BinaryHeap::new(),
            deadlines: LazyHeap::new(),
            sequence: 0,
            carried: Vec::new(),
            free: Vec::new(),
            arrival: None,
            forgotten: NEVER,
            statistics: Statistics::default(),
            without_field,
            health: Health::default(),
            scratch: Scratch::default(),
        }
    }

    /// The plan it runs.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Tells when what follows has arrived. Times far ahead of it are not believed; without it only
    /// [`Settings::leap`] protects from bad clocks.
    pub fn arrived(&mut self, at: Timestamp) {
        self.arrival = Some(at);
    }

    /// A record was read from a source, whether anything matched it or not: time goes on.
    ///
    /// Without this only hits move the watermark, and alarms wait for the next of them.
    pub fn saw(&mut self, time: Timestamp, source: &str, out: &mut Vec<Alarm>) {
        if let Some(time) = self.settings.plausible(time, self.arrival) {
            self.told(source, time);
            self.run(out);
        }
    }

    /// The base rule with this number matched a record. Alarms that this decides go to `out`.
    ///
    /// It tells the source's time as [`saw`](Self::saw) does. A record that several rules match is
    /// one confirmation of its time, not several: [`Engine`](crate::siem::Engine) tells it once.
    pub fn hit(
        &mut self,
        rule: u32,
        time: Timestamp,
        source: &str,
        fields: &dyn Fields,
        out: &mut Vec<Alarm>,
    ) {
        if let Some(time) = self.settings.plausible(time, self.arrival) {
            self.told(source, time);
        }
        self.matched(&[rule], time, fields, out);
    }

    /// Hits of one record whose source has been told of already. However many of a correlation's
    /// rules match it, it is one event: it counts once, is there for each of them, and takes one
    /// step of an order.
    pub(crate) fn matched(
        &mut self,
        rules: &[u32],
        time: Timestamp,
        fields: &dyn Fields,
        out: &mut Vec<Alarm>,
    ) {
        if rules.is_empty() {
            return;
        }
        let count = rules.len() as u64;
        self.statistics.hits += count;
        let time = self.settings.plausible(time, self.arrival).unwrap_or_else(|| {
            self.statistics.clock_ahead += count;
            self.arrival.unwrap_or(time).unix_nanos()
        });
        if time < self.clock.frontier() {
            self.statistics.late_dropped += count;
            let count = self.statistics.late_dropped;
            self.health.told(Trouble::Late, count, time, out);
        } else {
            self.enqueue(rules, time, fields, out);
        }
        self.run(out);
    }

    /// A hit of a record that told no time. Its source's clock stays, and the hit is taken as of the
    /// newest time that the source has told: the time of reading would make all that a stored file
    /// tells afterwards late.
    pub(crate) fn matched_undated(
        &mut self,
        rules: &[u32],
        arrival: Timestamp,
        source: &str,
        fields: &dyn Fields,
        out: &mut Vec<Alarm>,
    ) {
        self.statistics.undated += rules.len() as u64;
        let time = self.clock.undated(source, arrival.unix_nanos());
        self.matched(rules, Timestamp::from_unix_nanos(time), fields, out);
    }

    /// A record stands for more events than it is taken for.
    pub(crate) fn dropped_repeats(&mut self, rules: &[u32], times: u32) {
        let hits = (rules.len() as u64).saturating_mul(u64::from(times));
        self.statistics.repeats_dropped = self.statistics.repeats_dropped.saturating_add(hits);
    }

    /// Tells the time, so that absences are noticed and silent sources no longer hold others back.
    /// It is the stream's time: tell a stored stream the times it was stored at.
    pub fn advance(&mut self, now: Timestamp, out: &mut Vec<Alarm>) {
        self.clock.tell(now.unix_nanos(), &self.settings);
        self.run(out);
    }

    /// Judges all that waits, as if nothing later would come than what has been told.
    ///
    /// Absences whose deadline lies beyond the newest event stay undecided.
    pub fn flush(&mut self, out: &mut Vec<Alarm>) {
        let newest = self.clock.newest();
        if newest != NEVER {
            self.clock.pass(newest.saturating_add(1));
        }
        self.forgotten = NEVER;
        self.run(out);
        // What is left is of clocks that run ahead of their source: hits all the same, but they do
        // not tell that something has stayed away until then.
        let plan = Arc::clone(&self.plan);
        while !self.pending.is_empty() {
            self.judge_first(&plan, out);
        }
    }

    /// What it has seen, kept and lost.
    pub fn statistics(&self) -> Statistics {
        self.statistics
    }

    /// Correlations that hits did not reach because a field that they group by or look at was
    /// missing, each with the number of such hits. A rule that can never alarm shows here.
    pub fn without_field(&self) -> impl Iterator<Item = (&RuleInfo, u64)> {
        let infos = self.plan.correlations.iter().map(|compiled| &*compiled.info);
        infos.zip(self.without_field.iter().copied()).filter(|(_, count)| *count > 0)
    }

    /// Groups kept now, over all correlations.
    pub fn groups(&self) -> usize {
        self.tables.iter().map(Table::len).sum()
    }

    /// Hits that wait for the watermark.
    pub fn waiting(&self) -> usize {
        self.pending.len()
    }

    /// Bytes of state, without the allocator's own.
    pub fn bytes(&self) -> usize {
        self.tables.iter().map(Table::bytes).sum::<usize>()
            + self.pending.capacity() * size_of::<Pending>()
            + self.deadlines.bytes()
            + self.carried.capacity() * size_of::<Carry>()
    }

    /// Moves the source's clock, but not beyond the arrival: one host ahead of the others behind a
    /// relay would make all of theirs late.
    fn told(&mut self, source: &str, time: i64) {
        let known = self.arrival.map_or(time, |arrival| time.min(arrival.unix_nanos()));
        self.clock.told(source, known, &self.settings);
    }

    /// Puts a hit before each correlation that listens.
    fn enqueue(&mut self, rules: &[u32], time: i64, fields: &dyn Fields, out: &mut Vec<Alarm>) {
        self.sequence += 1;
        let mut hits = std::mem::take(&mut self.scratch.hits);
        for rule in rules {
            self.gather(*rule, time, fields, &mut hits, out);
        }
        self.pending.extend(hits.drain(..).map(Reverse));
        self.scratch.hits = hits;
        while self.pending.len() > self.settings.pending.max(1) {
            let Some(Reverse(first)) = self.pending.peek() else { break };
            let first = first.time;
            self.statistics.forced += 1;
            self.health.told(Trouble::Pending, self.statistics.forced, time, out);
            self.clock.pass(first.saturating_add(1));
            self.run(out);
        }
    }

    /// What a record is to those that listen to one of the rules it has matched.
    fn gather(
        &mut self,
        rule: u32,
        time: i64,
        fields: &dyn Fields,
        hits: &mut Vec<Pending>,
        out: &mut Vec<Alarm>,
    ) {
        let plan = Arc::clone(&self.plan);
        let Some(listened) = plan.rules.get(rule as usize) else { return };
        // Each field is looked up once, however many correlations ask for it.
        let mut read = FieldValues::default();
        for name in &listened.fields {
            read.push(fields.value(name).map(canonical));
        }
        for at in &listened.listeners {
            let Some(listener) = plan.listeners.get(*at) else { continue };
            let Some(compiled) = plan.correlations.get(listener.correlation as usize) else {
                continue;
            };
            let mut scratch = std::mem::take(&mut self.scratch);
            let values = listener.values.iter().map(|slot| read.get(*slot));
            let place = self.value(compiled, listener.correlation, values, &mut scratch);
            let place = place.and_then(|value| {
                let group = |at| listener.group.get(at).and_then(|slot: &usize| read.get(*slot));
                let count = listener.group.len();
                let at = listener.correlation;
                Some((self.group(compiled, at, count, group, &mut scratch, time, out)?, value))
            });
            self.scratch = scratch;
            let Some((slot, value)) = place else { continue };
            let same = |hit: &&mut Pending| {
                (hit.correlation, hit.slot, hit.value) == (listener.correlation, slot, value)
            };
            if let Some(hit) = hits.iter_mut().find(same) {
                hit.steps |= listener.steps;
                continue;
            }
            let carry = if listener.carry.is_empty() {
                0
            } else {
                let values = listener.carry.iter().map(|slot| read.get(*slot).map(Into::into));
                self.keep(Some(values.collect()))
            };
            let correlation = listener.correlation;
            let table = self.tables.get_mut(correlation as usize);
            let Some(group) = table.and_then(|table| table.get_mut(slot)) else { continue };
            group.waiting = group.waiting.saturating_add(1);
            let (generation, sequence, steps) = (group.generation, self.sequence, listener.steps);
            hits.push(Pending {
                time,
                sequence,
                correlation,
                slot,
                generation,
                carry,
                steps,
                value,
            });
        }
    }

    /// The group that a correlation's values belong to; `None` where one is missing, or where the
    /// bucket is somebody else's.
    #[expect(clippy::too_many_arguments, reason = "the values come from a record or from a result")]
    fn group<'v>(
        &mut self,
        compiled: &Compiled,
        correlation: u32,
        count: usize,
        value: impl Fn(usize) -> Option<&'v str> + Copy,
        scratch: &mut Scratch,
        time: i64,
        out: &mut Vec<Alarm>,
    ) -> Option<u32> {
        scratch.key.clear();
        for at in 0..count {
            let Some(value) = value(at) else {
                self.misses_field(correlation);
                return None;
            };
            encode(&mut scratch.key, value);
        }
        let key = sip128(0, &scratch.key);
        let shard = shard(compiled, key, count, value);
        if !self.settings.owned.contains(&self.settings.bucket(shard)) {
            return None;
        }
        let table = self.tables.get_mut(correlation as usize)?;
        let found =
            table.find_or_make(key, &scratch.key, shard, &compiled.kind, self.settings.groups);
        if found.evicted {
            self.statistics.groups_evicted += 1;
            self.statistics.hits_evicted += found.lost;
            self.health.told(Trouble::Groups, self.statistics.groups_evicted, time, out);
        }
        Some(found.slot)
    }

    /// What the correlation looks at, as 64 bits.
    fn value<'v>(
        &mut self,
        compiled: &Compiled,
        correlation: u32,
        mut values: impl Iterator<Item = Option<&'v str>>,
        scratch: &mut Scratch,
    ) -> Option<u64> {
        match &compiled.kind {
            Kind::Distinct(_) => {
                scratch.key.clear();
                for value in values {
                    let Some(value) = value else {
                        self.misses_field(correlation);
                        return None;
                    };
                    encode(&mut scratch.key, value);
                }
                Some(low(sip128(5, &scratch.key)))
            }
            Kind::Samples { .. } => {
                let Some(value) = values.next().flatten() else {
                    self.misses_field(correlation);
                    return None;
                };
                let number = value.trim().parse::<f64>().ok().filter(|number| number.is_finite());
                if number.is_none() {
                    self.statistics.not_numeric += 1;
                }
                number.map(f64::to_bits)
            }
            _ => Some(0),
        }
    }

    fn misses_field(&mut self, correlation: u32) {
        self.statistics.no_group += 1;
        if let Some(count) = self.without_field.get_mut(correlation as usize) {
            *count += 1;
        }
    }

    pub(crate) fn keep(&mut self, carry: Carry) -> u32 {
        if let Some(at) = self.free.pop() {
            if let Some(place) = self.carried.get_mut(at as usize) {
                *place = carry;
            }
            return at.saturating_add(1);
        }
        self.carried.push(carry);
        u32::try_from(self.carried.len()).unwrap_or_default()
    }

    fn give_back(&mut self, at: u32) -> Carry {
        let at = at.checked_sub(1)?;
        let carry = self.carried.get_mut(at as usize)?.take();
        self.free.push(at);
        carry
    }

    /// Judges what lies before the frontier, hits and deadlines in the order of their times.
    pub(crate) fn run(&mut self, out: &mut Vec<Alarm>) {
        let frontier = self.clock.frontier();
        let due = |time: Option<i64>| time.filter(|time| *time < frontier);
        let hit = due(self.pending.peek().map(|Reverse(hit)| hit.time));
        let deadline = due(self.deadlines.peek().map(|deadline| deadline.time));
        // Groups are looked through once a second of the stream, not at each of its records.
        let pause = frontier < self.forgotten.saturating_add(SECOND);
        if hit.is_none() && deadline.is_none() && pause {
            return;
        }
        let plan = Arc::clone(&self.plan);
        loop {
            let hit = due(self.pending.peek().map(|Reverse(hit)| hit.time));
            let deadline = due(self.deadlines.peek().map(|deadline| deadline.time));
            match (hit, deadline) {
                (None, None) => break,
                // A hit at the deadline itself still counts.
                (Some(hit), Some(deadline)) if deadline < hit => self.pass_deadline(&plan, out),
                (None, Some(_)) => self.pass_deadline(&plan, out),
                (Some(_), _) => self.judge_first(&plan, out),
            }
        }
        self.forget(&plan, frontier, out);
        self.forgotten = frontier;
    }

    fn judge_first(&mut self, plan: &Plan, out: &mut Vec<Alarm>) {
        let Some(Reverse(hit)) = self.pending.pop() else { return };
        let carry = self.give_back(hit.carry);
        let group = self
            .tables
            .get_mut(hit.correlation as usize)
            .and_then(|table| table.get_mut(hit.slot))
            .filter(|group| group.generation == hit.generation);
        let Some(group) = group else {
            self.statistics.hits_evicted += 1;
            return;
        };
        group.waiting = group.waiting.saturating_sub(1);
        let input = Input { time: hit.time, steps: hit.steps, value: hit.value, carry };
        self.judge(plan, hit.correlation, hit.slot, input, out);
    }

    /// Lets a group take a hit, and tells the correlations that build on what comes of it.
    fn judge(&mut self, plan: &Plan, at: u32, slot: u32, mut input: Input, out: &mut Vec<Alarm>) {
        let Some(compiled) = plan.correlations.get(at as usize) else { return };
        let Some(table) = self.tables.get_mut(at as usize) else { return };
        let full = table.samples() >= self.settings.all_samples;
        let Some(group) = table.get_mut(slot) else { return };
        let from = input.time.saturating_sub(compiled.span);
        let mut closed = None;
        if group.last != NEVER && group.last < from {
            // Nothing of the former window is left, so whatever held has fallen.
            closed = group.open.take().map(|open| (open, group.last.saturating_add(compiled.span)));
        }
        group.last = input.time;
        let kept = group.state.samples();
        let most = if full { kept.min(self.settings.samples) } else { self.settings.samples };
        let judged = group.state.take(&compiled.kind, &mut input, compiled.span, most);
        if judged.dropped > 0 {
            self.statistics.samples_dropped += judged.dropped;
            self.health.told(Trouble::Samples, self.statistics.samples_dropped, input.time, out);
        }
        let due = judged.deadline.filter(|_| !std::mem::replace(&mut group.due, true));
        let (key, generation) = (group.key, group.generation);
        let text = if compiled.links.is_empty() && closed.is_none() {
            Box::default()
        } else {
            group.text.clone()
        };
        table.recount(slot, kept);
        table.queue(slot, input.time);
        if let Some(time) = due {
            self.await_deadline(Deadline { time, correlation: at, key, slot, generation });
        }
        if let Some((open, time)) = closed {
            report(compiled, &text, &open, Change::Closed, time, judged, out);
        }
        if judged.waits {
            return;
        }
        let opened = self.settle(compiled, at, slot, judged, input.time, out);
        if judged.holds {
            self.tell_parents(plan, compiled, &text, opened, input.time, &input.carry, out);
        }
    }

    /// Opens, updates or closes the group's alarm; true where it was opened.
    fn settle(
        &mut self,
        compiled: &Compiled,
        at: u32,
        slot: u32,
        judged: Judged,
        time: i64,
        out: &mut Vec<Alarm>,
    ) -> bool {
        let Some(group) = self.tables.get_mut(at as usize).and_then(|table| table.get_mut(slot))
        else {
            return false;
        };
        match (&mut group.open, judged.holds) {
            (None, false) => false,
            (None, true) => {
                let mut bytes = compiled.identity.to_le_bytes().to_vec();
                bytes.extend(judged.mark.unwrap_or(judged.start).to_le_bytes());
                if judged.nth > 0 {
                    bytes.extend(judged.nth.to_le_bytes());
                }
                bytes.extend(&group.text);
                let open = Open {
                    id: sip128(6, &bytes),
                    start: judged.start,
                    count: judged.count,
                    next: judged.count.saturating_mul(2).max(2),
                };
                group.open = Some(Box::new(open.clone()));
                self.statistics.alarms += 1;
                let text = &group.text;
                report(compiled, text, &open, Change::Opened, time, judged, out);
                true
            }
            (Some(open), true) => {
                open.count = open.count.saturating_add(1).max(judged.count);
                if open.count >= open.next {
                    open.next = open.count.saturating_mul(2);
                    report(compiled, &group.text, open, Change::Updated, time, judged, out);
                }
                false
            }
            (Some(_), false) => {
                if let Some(open) = group.open.take() {
                    report(compiled, &group.text, &open, Change::Closed, time, judged, out);
                }
                false
            }
        }
    }

    /// Each hit at which a correlation holds is a step for those that ask for presence or order: a
    /// sign-in may follow the last failure, not only the one that crossed the threshold. Those
    /// that count see the alarm once.
    #[expect(clippy::too_many_arguments, reason = "what came of one hit")]
    fn tell_parents(
        &mut self,
        plan: &Plan,
        compiled: &Compiled,
        text: &[u8],
        opened: bool,
        time: i64,
        carry: &Carry,
        out: &mut Vec<Alarm>,
    ) {
        for link in &compiled.links {
            let Some(parent) = plan.correlations.get(link.parent as usize) else { continue };
            let counts =
                matches!(parent.kind, Kind::Count(_) | Kind::Distinct(_) | Kind::Samples { .. });
            if counts && !opened {
                continue;
            }
            if let Some((slot, input)) = self.chained(parent, link, text, time, carry, out) {
                self.judge(plan, link.parent, slot, input, out);
            }
        }
    }

    fn chained(
        &mut self,
        parent: &Compiled,
        link: &Link,
        text: &[u8],
        time: i64,
        carry: &Carry,
        out: &mut Vec<Alarm>,
    ) -> Option<(u32, Input)> {
        let group: Vec<&str> = decode(text).collect();
        let value = |from: From| match from {
            From::Group(at) => group.get(at).copied(),
            From::Carry(at) => carry.as_ref()?.get(at)?.as_deref(),
        };
        let mut scratch = std::mem::take(&mut self.scratch);
        let values = link.values.iter().copied().map(value);
        let place = self.value(parent, link.parent, values, &mut scratch).and_then(|looked_at| {
            let group = |at| link.group.get(at).copied().and_then(value);
            let count = link.group.len();
            let slot = self.group(parent, link.parent, count, group, &mut scratch, time, out)?;
            Some((slot, looked_at))
        });
        self.scratch = scratch;
        let (slot, looked_at) = place?;
        let carry = (!link.carry.is_empty())
            .then(|| link.carry.iter().copied().map(|from| value(from).map(Into::into)).collect());
        Some((slot, Input { time, steps: link.steps, value: looked_at, carry }))
    }

    /// Queues the deadline of a group, which is marked as due.
    pub(crate) fn await_deadline(&mut self, deadline: Deadline) {
        let tables = &self.tables;
        self.deadlines.push(deadline, |due| {
            let table = tables.get(due.correlation as usize);
            let group = table.and_then(|table| table.get(due.slot));
            group.is_some_and(|group| group.generation == due.generation)
        });
    }

    /// The first deadline has passed without what is barred.
    fn pass_deadline(&mut self, plan: &Plan, out: &mut Vec<Alarm>) {
        let Some(due) = self.deadlines.pop() else { return };
        let Some(compiled) = plan.correlations.get(due.correlation as usize) else { return };
        let group = self
            .tables
            .get_mut(due.correlation as usize)
            .and_then(|table| table.get_mut(due.slot))
            .filter(|group| group.generation == due.generation);
        let Some(group) = group else { return };
        group.due = false;
        let Some(wait) = group.state.wait() else { return };
        // INVARIANT: a wait that was broken and begun anew has a later deadline, since the latest
        // hits decide where it begins; so one queued deadline a group is enough.
        let Some(kept) = wait.take_if(|wait| wait.deadline <= due.time) else {
            if let Some(wait) = wait {
                group.due = true;
                let time = wait.deadline;
                self.await_deadline(Deadline { time, ..due });
            }
            return;
        };
        let text = group.text.clone();
        let judged = Judged { holds: true, start: kept.start, count: 1, ..Judged::default() };
        let opened = self.settle(compiled, due.correlation, due.slot, judged, due.time, out);
        self.tell_parents(plan, compiled, &text, opened, due.time, &kept.carry, out);
    }

    /// Lets go of groups whose window has passed.
    fn forget(&mut self, plan: &Plan, frontier: i64, out: &mut Vec<Alarm>) {
        for (compiled, table) in plan.correlations.iter().zip(&mut self.tables) {
            while let Some(slot) = table.expired(frontier.saturating_sub(compiled.span)) {
                if let Some(group) = table.get_mut(slot)
                    && let Some(open) = group.open.take()
                {
                    let time = group.last.saturating_add(compiled.span);
                    let judged = Judged::default();
                    report(compiled, &group.text, &open, Change::Closed, time, judged, out);
                }
                table.remove(slot);
            }
        }
    }
}

/// The values of a hit, by slot: the first few in place.
#[derive(Default)]
struct FieldValues<'r> {
    few: [Option<Cow<'r, str>>; 8],
    more: Vec<Option<Cow<'r, str>>>,
    count: usize,
}

impl<'r> FieldValues<'r> {
    fn push(&mut self, value: Option<Cow<'r, str>>) {
        match self.few.get_mut(self.count) {
            Some(place) => *place = value,
            None => self.more.push(value),
        }
        self.count += 1;
    }

    fn get(&self, at: usize) -> Option<&str> {
        let value = self.few.get(at).or_else(|| self.more.get(at - self.few.len()));
        value?.as_deref()
    }
}

/// What decides the bucket of a group: all of its values, or those that its chain shares.
pub(crate) fn shard<'v>(
    compiled: &Compiled,
    key: u128,
    count: usize,
    value: impl Fn(usize) -> Option<&'v str>,
) -> u32 {
    let shard = match &compiled.shard {
        Shard::Fixed(chain) => low(sip128(3, &chain.to_le_bytes())),
        Shard::Values(places) if places.iter().copied().eq(0..count) => low(key),
        Shard::Values(places) => {
            let mut text = Vec::new();
            for at in places {
                encode(&mut text, value(*at).unwrap_or_default());
            }
            low(sip128(0, &text))
        }
    };
    u32::try_from(shard >> 32).unwrap_or_default()
}

/// Writes an alarm out, unless its correlation is only a step of others.
fn report(
    compiled: &Compiled,
    text: &[u8],
    open: &Open,
    change: Change,
    time: i64,
    judged: Judged,
    out: &mut Vec<Alarm>,
) {
    if !compiled.reported {
        return;
    }
    let group: Vec<_> =
        compiled.group_by.iter().cloned().zip(decode(text).map(str::to_owned)).collect();
    let mut message = compiled.info.name.clone();
    for (at, (name, value)) in group.iter().enumerate() {
        message.push_str(if at == 0 { ": " } else { ", " });
        message.push_str(name);
        message.push(' ');
        message.push_str(value);
    }
    out.push(Alarm {
        id: AlarmId::new(open.id),
        change,
        kind: AlarmKind::Correlation,
        rule: Arc::clone(&compiled.info),
        severity: compiled.severity,
        time: Timestamp::from_unix_nanos(time),
        start: Timestamp::from_unix_nanos(open.start),
        count: open.count,
        figure: judged.figure,
        group,
        risk: None,
        message,
    });
}
