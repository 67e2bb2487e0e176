//! Directives at run-time.

use super::fields::{DST_IP, DST_PORT, Name, SRC_IP, SRC_PORT, Values};
use super::{Directive, Level};
use crate::event::RuleInfo;
use crate::ruleset::{LoadReport, Refused};
use crate::siem::correlation::{
    Alarm, AlarmId, AlarmKind, Change, Clock, Health, Settings, Trouble, sip128,
};
use crate::siem::record::Fields;
use crate::siem::risk::{Assets, risk, severity};
use crate::siem::sigma::Meta;
use crate::time::Timestamp;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Runs directives over events by event time.
///
/// ```
/// use smesec_core::ruleset::LoadReport;
/// use smesec_core::siem::correlation::Settings;
/// use smesec_core::siem::directive::{Directives, parse_yaml};
/// use smesec_core::siem::record::{Field, Record, Value};
/// use smesec_core::siem::risk::Assets;
/// use smesec_core::siem::sigma::Meta;
/// use smesec_core::time::Timestamp;
/// let text = "
/// directives:
///   - {id: '1', name: guessing against DST_IP, priority: 5,
///      level: {rules: [failed], reliability: 1, next: [
///        {rules: [failed], from: '1:SRC_IP', occurrence: 2, time_out: 15s, reliability: 5}]}}
/// ";
/// let known = [Meta { name: "failed".into(), ..Meta::default() }];
/// let assets = Assets::new().host("10.0.0.5", 5);
/// let mut report = LoadReport::default();
/// let read = parse_yaml(text, "mine.yml")?;
/// let mut directives = Directives::new(read, &known, assets, Settings::default(), &mut report);
/// let fields = [
///     Field { name: "src_ip", value: Value::text("192.0.2.7") },
///     Field { name: "dst_ip", value: Value::text("10.0.0.5") },
/// ];
/// let record = Record { fields: &fields, ..Record::default() };
/// let mut alarms = Vec::new();
/// for second in 0..3 {
///     directives.see(&[0], Timestamp::from_unix_seconds(second), "sshd", &record, None, &mut alarms);
/// }
/// directives.flush(&mut alarms);
/// let told: Vec<_> = alarms.iter().map(|a| (a.change.word(), a.risk, a.message.as_str())).collect();
/// assert_eq!(told, [
///     ("opened", Some(1), "guessing against 10.0.0.5"),
///     ("updated", Some(5), "guessing against 10.0.0.5"),
///     ("closed", Some(5), "guessing against 10.0.0.5"),
/// ]);
/// # Ok::<(), smesec_core::error::RuleError>(())
/// ```
#[derive(Debug)]
pub struct Directives {
    pub(super) loaded: Vec<Loaded>,
    pub(super) assets: Assets,
    pub(super) settings: Settings,
    pub(super) clock: Clock,
    pub(super) arrival: Option<Timestamp>,
    pub(super) pending: BinaryHeap<Reverse<Pending>>,
    pub(super) events: HashMap<u64, Seen>,
    pub(super) sequence: u64,
    pub(super) running: Vec<Vec<Running>>,
    pub(super) late_dropped: u64,
    pub(super) forgotten: u64,
    pub(super) forced: u64,
    pub(super) health: Health,
}

#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) directive: Directive,
    pub(super) info: Arc<RuleInfo>,
    /// The rules that levels name, by number.
    pub(super) rules: HashMap<String, u32>,
    /// Whether a level goes by fields alone, so that events without a rule matter.
    pub(super) by_fields: bool,
    /// Of the id, the priority and the levels: what it is for a snapshot.
    pub(super) fingerprint: u128,
}

type Pending = (i64, u64);

/// An event that some level may take.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) rules: Vec<u32>,
    pub(super) values: Values,
    pub(super) priority: Option<u8>,
}

/// A directive that has begun.
#[derive(Debug)]
pub(super) struct Running {
    /// Where it stands: from the first level, which of `next` at each; `None` while the first one is
    /// still being counted.
    pub(super) path: Option<Vec<usize>>,
    /// When the level it stands on was completed.
    pub(super) since: i64,
    pub(super) start: i64,
    pub(super) earlier: Vec<Values>,
    pub(super) reliability: u8,
    /// The highest priority that a policy gave; it takes the place of the directive's.
    pub(super) policy: Option<u8>,
    pub(super) asset: u8,
    /// For each of what may come next, how often it has.
    pub(super) counts: Vec<u32>,
    pub(super) different: Vec<HashSet<u128>>,
    pub(super) id: u128,
    pub(super) hits: u64,
    pub(super) open: bool,
    pub(super) risk: u8,
}

/// Directives running at once, for each; beyond that the one that is least far goes, and it is told.
/// 10,000: some 10 MB, far above what a site has open.
pub(super) const MOST_RUNNING: usize = 10_000;

impl Directives {
    /// Directives over the base rules `known`, whose numbers are their places; a level that names a
    /// rule that is not there makes its directive refused in the report.
    pub fn new(
        directives: Vec<Directive>,
        known: &[Meta],
        assets: Assets,
        settings: Settings,
        report: &mut LoadReport,
    ) -> Self {
        let mut names: HashMap<&str, u32> = HashMap::new();
        for (at, meta) in (0_u32..).zip(known) {
            for name in [meta.name.as_str(), meta.id.as_str()] {
                if !name.is_empty() {
                    names.entry(name).or_insert(at);
                }
            }
        }
        let mut loaded = Vec::new();
        for directive in directives {
            let mut rules = HashMap::new();
            let (mut missing, mut by_fields) = (None, false);
            each(&directive.first, &mut |level| {
                by_fields |= level.rules.is_empty();
                for rule in &level.rules {
                    match names.get(rule.as_str()) {
                        Some(at) => {
                            rules.insert(rule.clone(), *at);
                        }
                        None => missing = missing.take().or(Some(rule.clone())),
                    }
                }
            });
            if let Some(rule) = missing {
                report.refused.push(Refused {
                    file: directive.file.clone(),
                    line: directive.place.line.max(1),
                    column: directive.place.column.max(1),
                    rule: Some(directive.id.clone()),
                    why: format!(
                        "`{rule}` is no rule that is loaded; load it, or correct the name"
                    ),
                });
                continue;
            }
            let info = Arc::new(RuleInfo {
                id: directive.id.clone(),
                name: directive.name.clone(),
                author: directive.author.clone(),
                tags: Vec::new(),
            });
            let mut written = Written::default();
            (&directive.id, directive.priority, &directive.first).hash(&mut written);
            let fingerprint = sip128(11, &written.0);
            loaded.push(Loaded { directive, info, rules, by_fields, fingerprint });
        }
        let running = loaded.iter().map(|_| Vec::new()).collect();
        Self {
            loaded,
            assets,
            settings,
            clock: Clock::new(),
            arrival: None,
            pending: BinaryHeap::new(),
            events: HashMap::new(),
            sequence: 0,
            running,
            late_dropped: 0,
            forgotten: 0,
            forced: 0,
            health: Health::default(),
        }
    }

    /// Tells when what follows has arrived; see
    /// [`Correlator::arrived`](crate::siem::correlation::Correlator::arrived).
    pub fn arrived(&mut self, at: Timestamp) {
        self.arrival = Some(at);
    }

    /// An event, with the numbers of the base rules that matched it, and a priority where a policy gave
    /// one.
    pub fn see(
        &mut self,
        rules: &[u32],
        time: Timestamp,
        source: &str,
        fields: &dyn Fields,
        priority: Option<u8>,
        out: &mut Vec<Alarm>,
    ) {
        let time = self.told(time, source);
        self.take_in(rules, time, fields, priority, out);
    }

    /// An event whose record told no time: its source's clock stays, and it is taken as of the newest time that
    /// the source has told. See [`Correlator`](crate::siem::correlation::Correlator), which does the same.
    pub(crate) fn see_undated(
        &mut self,
        rules: &[u32],
        arrival: Timestamp,
        source: &str,
        fields: &dyn Fields,
        priority: Option<u8>,
        out: &mut Vec<Alarm>,
    ) {
        let time = self.clock.undated(source, arrival.unix_nanos());
        self.take_in(rules, time, fields, priority, out);
    }

    fn take_in(
        &mut self,
        rules: &[u32],
        time: i64,
        fields: &dyn Fields,
        priority: Option<u8>,
        out: &mut Vec<Alarm>,
    ) {
        // Most events are none of any directive's: of those no value is copied, and few are looked up.
        if self.loaded.iter().any(|loaded| loaded.may_take(rules, fields, &self.assets)) {
            if time < self.clock.frontier() {
                self.late_dropped += 1;
                self.health.told(Trouble::Late, self.late_dropped, time, out);
            } else {
                self.sequence += 1;
                self.pending.push(Reverse((time, self.sequence)));
                let (rules, values) = (self.known(rules), Values::read(fields));
                self.events.insert(self.sequence, Seen { rules, values, priority });
            }
        }
        while self.pending.len() > self.settings.pending.max(1) {
            let Some(Reverse((first, _))) = self.pending.peek().copied() else { break };
            self.forced += 1;
            self.health.told(Trouble::Pending, self.forced, time, out);
            self.clock.pass(first.saturating_add(1));
            self.run(out);
        }
        self.run(out);
    }

    /// An event that concerns no directive was read from a source: time goes on.
    pub fn saw(&mut self, time: Timestamp, source: &str, out: &mut Vec<Alarm>) {
        self.told(time, source);
        self.run(out);
    }

    /// Tells the time.
    pub fn advance(&mut self, now: Timestamp, out: &mut Vec<Alarm>) {
        self.clock.tell(now.unix_nanos(), &self.settings);
        self.run(out);
    }

    /// Matches all that waits, and closes what is open.
    pub fn flush(&mut self, out: &mut Vec<Alarm>) {
        self.clock.pass(i64::MAX);
        self.run(out);
    }

    /// How many directives are running.
    pub fn running(&self) -> usize {
        self.running.iter().map(Vec::len).sum()
    }

    /// Events that came after their source's lateness.
    pub fn late_dropped(&self) -> u64 {
        self.late_dropped
    }

    /// The number of a rule that some level names.
    pub(crate) fn rule(&self, name: &str) -> Option<u32> {
        self.loaded.iter().find_map(|loaded| loaded.rules.get(name).copied())
    }

    /// Moves the source's clock; the event's time, or where it lies too far ahead its arrival.
    fn told(&mut self, time: Timestamp, source: &str) -> i64 {
        match self.settings.plausible(time, self.arrival) {
            Some(time) => {
                let known = self.arrival.map_or(time, |arrival| time.min(arrival.unix_nanos()));
                self.clock.told(source, known, &self.settings);
                time
            }
            None => self.arrival.unwrap_or(time).unix_nanos(),
        }
    }

    /// Of these rules those that some level names.
    fn known(&self, rules: &[u32]) -> Vec<u32> {
        let named = |rule: &u32| self.loaded.iter().any(|l| l.rules.values().any(|r| r == rule));
        rules.iter().copied().filter(named).collect()
    }

    fn run(&mut self, out: &mut Vec<Alarm>) {
        let frontier = self.clock.frontier();
        let mut moved = false;
        while let Some(Reverse((time, sequence))) = self.pending.peek().copied()
            && time < frontier
        {
            self.pending.pop();
            if let Some(seen) = self.events.remove(&sequence) {
                self.take(time, &seen, out);
            }
            moved = true;
        }
        if moved || self.running() > 0 {
            self.expire(frontier, out);
        }
    }

    fn take(&mut self, time: i64, seen: &Seen, out: &mut Vec<Alarm>) {
        self.expire(time, out);
        for (loaded, running) in self.loaded.iter().zip(&mut self.running) {
            let mut begins = true;
            let mut at = 0;
            while let Some(one) = running.get_mut(at) {
                let Some(taken) = one.step(loaded, time, seen, &self.assets) else {
                    at += 1;
                    continue;
                };
                begins &= !taken.sticky;
                if taken.completed {
                    one.weigh(loaded, seen, &self.assets);
                    one.tell(loaded, time, out);
                }
                if taken.ended {
                    one.close(loaded, time, out);
                    running.swap_remove(at);
                } else {
                    at += 1;
                }
            }
            if begins && loaded.takes(&loaded.directive.first, seen, &[], &self.assets) {
                let mut one = Running::begin(loaded, time, seen);
                if let Some(taken) = one.step(loaded, time, seen, &self.assets) {
                    if taken.completed {
                        one.weigh(loaded, seen, &self.assets);
                        one.tell(loaded, time, out);
                    }
                    if taken.ended {
                        one.close(loaded, time, out);
                        continue;
                    }
                }
                if running.len() >= MOST_RUNNING {
                    // The one that is least far, of those the one that has stood longest.
                    let least = running
                        .iter()
                        .enumerate()
                        .min_by_key(|(_, one)| (one.path.as_ref().map(Vec::len), one.since))
                        .map(|(at, _)| at);
                    if let Some(mut one) = least.map(|at| running.swap_remove(at)) {
                        one.close(loaded, time, out);
                    }
                    self.forgotten += 1;
                    self.health.told(Trouble::Groups, self.forgotten, time, out);
                }
                running.push(one);
            }
        }
    }

    /// Closes what can no longer go on at `time`.
    fn expire(&mut self, time: i64, out: &mut Vec<Alarm>) {
        for (loaded, running) in self.loaded.iter().zip(&mut self.running) {
            let mut at = 0;
            while let Some(one) = running.get_mut(at) {
                let ends = loaded.ends(one);
                if ends.is_some_and(|ends| ends < time) {
                    one.close(loaded, ends.unwrap_or(time), out);
                    running.swap_remove(at);
                } else {
                    at += 1;
                }
            }
        }
    }
}

/// What is hashed, as bytes, for a hash that is the same in every process.
#[derive(Default)]
struct Written(Vec<u8>);

impl Hasher for Written {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

fn each<'l>(level: &'l Level, tell: &mut impl FnMut(&'l Level)) {
    // As deep as the levels, which are bounded where they are read.
    tell(level);
    for next in &level.next {
        each(next, tell);
    }
}

impl Loaded {
    /// Whether a level would take the event, were its back-references right.
    fn may_take(&self, rules: &[u32], fields: &dyn Fields, assets: &Assets) -> bool {
        if rules.is_empty() && !self.by_fields {
            return false;
        }
        let mut may = false;
        each(&self.directive.first, &mut |level| {
            may = may
                || (self.matched(level, rules)
                    && level.wanted.iter().all(|(name, wanted)| {
                        wanted.looks_back()
                            || wanted.takes(name.read(fields).as_deref(), &[], assets)
                    }));
        });
        may
    }

    fn matched(&self, level: &Level, rules: &[u32]) -> bool {
        level.rules.is_empty()
            || level
                .rules
                .iter()
                .any(|rule| self.rules.get(rule).is_some_and(|at| rules.contains(at)))
    }

    fn takes(&self, level: &Level, seen: &Seen, earlier: &[Values], assets: &Assets) -> bool {
        self.matched(level, &seen.rules)
            && level.wanted.iter().all(|(name, w)| w.takes(seen.values.get(*name), earlier, assets))
    }

    /// What may come next.
    pub(super) fn candidates(&self, one: &Running) -> &[Level] {
        let first = &self.directive.first;
        let Some(path) = &one.path else { return std::slice::from_ref(first) };
        let level = path.iter().try_fold(first, |level, at| level.next.get(*at));
        level.map_or(&[], |level| &level.next)
    }

    /// When the last of what may come next is too late; `None` while something may always come.
    fn ends(&self, one: &Running) -> Option<i64> {
        let mut latest = i64::MIN;
        for level in self.candidates(one) {
            latest = latest.max(one.since.saturating_add(level.time_out?));
        }
        Some(latest)
    }
}

/// What came of showing an event to a running directive that took it.
#[derive(Clone, Copy, Debug)]
struct Taken {
    sticky: bool,
    /// A level was completed.
    completed: bool,
    /// It was the last.
    ended: bool,
}

impl Running {
    fn begin(loaded: &Loaded, time: i64, seen: &Seen) -> Self {
        let mut bytes = loaded.directive.id.clone().into_bytes();
        bytes.extend(time.to_le_bytes());
        bytes.extend(seen.values.bytes());
        Self {
            path: None,
            since: time,
            start: time,
            earlier: Vec::new(),
            reliability: 0,
            policy: None,
            asset: 0,
            counts: vec![0],
            different: vec![HashSet::new()],
            id: sip128(9, &bytes),
            hits: 0,
            open: false,
            risk: 0,
        }
    }

    /// Shows it an event; of what may come next the first that fits takes it.
    fn step(&mut self, loaded: &Loaded, time: i64, seen: &Seen, assets: &Assets) -> Option<Taken> {
        let fits = |level: &Level| {
            level.time_out.is_none_or(|t| time <= self.since.saturating_add(t))
                && loaded.takes(level, seen, &self.earlier, assets)
        };
        let at = loaded.candidates(self).iter().position(fits)?;
        let level = loaded.candidates(self).get(at)?;
        let count = self.counts.get_mut(at)?;
        match level.sticky_different {
            // Only a value that has not come yet counts.
            Some(name) => {
                let different = self.different.get_mut(at)?;
                if let Some(value) = seen.values.get(name) {
                    different.insert(sip128(10, value.as_bytes()));
                }
                *count = u32::try_from(different.len()).unwrap_or(u32::MAX);
            }
            None => *count = count.saturating_add(1),
        }
        self.hits += 1;
        let (sticky, complete) = (level.sticky, *count >= level.occurrence);
        if complete {
            self.reliability = level.reliability.after(self.reliability);
            self.earlier.push(seen.values.clone());
            self.since = time;
            let next = level.next.len();
            match &mut self.path {
                Some(path) => path.push(at),
                None => self.path = Some(Vec::new()),
            }
            self.counts = vec![0; next];
            self.different = vec![HashSet::new(); next];
        }
        Some(Taken { sticky, completed: complete, ended: complete && self.counts.is_empty() })
    }

    /// The risk after a level: of the most valuable asset and the highest priority so far.
    fn weigh(&mut self, loaded: &Loaded, seen: &Seen, assets: &Assets) {
        let ends = [SRC_IP, DST_IP].into_iter().filter_map(|name| seen.values.get(name));
        self.asset = self.asset.max(assets.worth(ends));
        self.policy = self.policy.max(seen.priority);
        let priority = self.policy.unwrap_or(loaded.directive.priority);
        self.risk = risk(self.asset, priority, self.reliability);
    }

    fn tell(&mut self, loaded: &Loaded, time: i64, out: &mut Vec<Alarm>) {
        let change = if self.open { Change::Updated } else { Change::Opened };
        if self.open || self.risk >= 1 {
            self.open = true;
            out.push(self.alarm(loaded, change, time));
        }
    }

    fn close(&mut self, loaded: &Loaded, time: i64, out: &mut Vec<Alarm>) {
        if self.open {
            self.open = false;
            out.push(self.alarm(loaded, Change::Closed, time));
        }
    }

    fn alarm(&self, loaded: &Loaded, change: Change, time: i64) -> Alarm {
        let first = self.earlier.first();
        let value = |name: Name| first.and_then(|values| values.get(name));
        let mut message = loaded.directive.name.clone();
        let mut group = Vec::new();
        for name in [SRC_IP, DST_IP, SRC_PORT, DST_PORT] {
            message = message.replace(name.word(), value(name).unwrap_or("unknown"));
            if let Some(value) = value(name) {
                group.push((Arc::from(name.word()), value.to_owned()));
            }
        }
        let mut alarm =
            Alarm::new(AlarmId::new(self.id), change, AlarmKind::Directive, &loaded.info);
        alarm.severity = severity(self.risk);
        alarm.time = Timestamp::from_unix_nanos(time);
        alarm.start = Timestamp::from_unix_nanos(self.start);
        alarm.count = self.hits;
        alarm.group = group;
        alarm.risk = Some(self.risk);
        alarm.message = message;
        alarm
    }
}
