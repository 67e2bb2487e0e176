//! Directives at run-time.

use super::Directive;
use super::fields::Values;
use super::loaded::{Loaded, each};
use super::running::Running;
use super::table::Table;
use crate::ruleset::{LoadReport, Refused};
use crate::siem::correlation::{Alarm, Clock, Health, Settings, Trouble};
use crate::siem::record::Fields;
use crate::siem::risk::Assets;
use crate::siem::sigma::Meta;
use crate::time::Timestamp;
use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap};
use std::hash::Hasher;

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
    /// What those that wait cost, see [`Seen::cost`].
    waiting_bytes: usize,
    pub(super) sequence: u64,
    pub(super) running: Vec<Table>,
    pub(super) most: usize,
    pub(super) late_dropped: u64,
    pub(super) forgotten: u64,
    pub(super) forced: u64,
    pub(super) health: Health,
}

type Pending = (i64, u64);

/// An event that some level may take.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) rules: Vec<u32>,
    pub(super) values: Values,
    pub(super) priority: Option<u8>,
}

impl Seen {
    /// Bytes while it waits, without the allocator's own.
    fn cost(&self) -> usize {
        size_of::<(u64, Self)>()
            + size_of::<Reverse<Pending>>()
            + self.rules.len() * size_of::<u32>()
            + self.values.heap()
    }
}

/// How often a directive runs at once; beyond that the one that is least far goes, and it is told.
/// 10,000: some 10 MB, far above what a site has open.
pub(super) const MOST_RUNNING: usize = 10_000;

impl Directives {
    /// Directives over the base rules `known`, whose numbers are their places. Those that run are
    /// counted in the report; one with a level that names a rule that is not there, or two of them,
    /// is refused there.
    pub fn new(
        directives: Vec<Directive>,
        known: &[Meta],
        assets: Assets,
        settings: Settings,
        report: &mut LoadReport,
    ) -> Self {
        let names = Names::of(known);
        let mut loaded = Vec::new();
        for directive in directives {
            let line = |why: String| Refused {
                file: directive.file.clone(),
                line: directive.place.line.max(1),
                column: directive.place.column.max(1),
                rule: Some(directive.id.clone()),
                why,
            };
            let mut rules = HashMap::new();
            let (mut wrong, mut home) = (None, false);
            each(&directive.first, &mut |level| {
                home |= level.wanted.iter().any(|(_, wanted)| wanted.names_home());
                for rule in &level.rules {
                    match names.rule(rule) {
                        Ok(at) => {
                            rules.insert(rule.clone(), at);
                        }
                        Err(why) => wrong = wrong.take().or(Some(why)),
                    }
                }
            });
            if let Some(why) = wrong {
                report.refused.push(line(why));
                continue;
            }
            if home && assets.home_net().is_empty() {
                report.degraded.push(line(
                    "it names `HOME_NET`, in which nothing lies yet; say which networks are home"
                        .to_owned(),
                ));
            }
            loaded.push(Loaded::new(directive, rules));
        }
        report.loaded += loaded.len();
        let running = loaded.iter().map(|_| Table::default()).collect();
        Self {
            loaded,
            assets,
            settings,
            clock: Clock::new(),
            arrival: None,
            pending: BinaryHeap::new(),
            events: HashMap::new(),
            waiting_bytes: 0,
            sequence: 0,
            running,
            most: MOST_RUNNING,
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
                let (rules, values) = (self.known(rules), Values::read(fields));
                self.wait(time, self.sequence, Seen { rules, values, priority });
            }
        }
        while self.pending.len() > self.settings.pending.max(1)
            || self.waiting_bytes > self.settings.pending_bytes
        {
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

    /// Matches all that waits, and closes what is open, as if nothing later would come than what has
    /// been told. What comes all the same is taken, and begins anew.
    pub fn flush(&mut self, out: &mut Vec<Alarm>) {
        let waiting = self.pending.iter().map(|Reverse((time, _))| *time).max();
        let newest = waiting.map_or(self.clock.newest(), |time| time.max(self.clock.newest()));
        self.clock.pass(newest.saturating_add(1));
        self.run(out);
        self.expire(i64::MAX, out);
        // What waits for more of its first level waits for ever.
        for (loaded, running) in self.loaded.iter().zip(&mut self.running) {
            while let Some(mut one) = running.pop_first() {
                one.close(loaded, newest, out);
            }
        }
    }

    /// How many directives are running.
    pub fn running(&self) -> usize {
        self.running.iter().map(Table::len).sum()
    }

    /// Bytes of the events that wait for the watermark, without the allocator's own.
    pub fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// Events that came after their source's lateness.
    pub fn late_dropped(&self) -> u64 {
        self.late_dropped
    }

    /// Puts an event before the watermark.
    pub(super) fn wait(&mut self, time: i64, sequence: u64, seen: Seen) {
        self.waiting_bytes += seen.cost();
        self.pending.push(Reverse((time, sequence)));
        // A snapshot taken up twice tells the same events again.
        let known = self.events.insert(sequence, seen).map_or(0, |known| known.cost());
        self.waiting_bytes = self.waiting_bytes.saturating_sub(known);
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
        while let Some(Reverse((time, sequence))) = self.pending.peek().copied()
            && time < frontier
        {
            self.pending.pop();
            if let Some(seen) = self.events.remove(&sequence) {
                self.waiting_bytes = self.waiting_bytes.saturating_sub(seen.cost());
                self.take(time, &seen, out);
            }
        }
        self.expire(frontier, out);
    }

    fn take(&mut self, time: i64, seen: &Seen, out: &mut Vec<Alarm>) {
        self.expire(time, out);
        for (loaded, running) in self.loaded.iter().zip(&mut self.running) {
            let mut begins = true;
            for at in running.waiting(loaded, seen, &self.assets) {
                let show = |one: &mut Running| one.show(loaded, time, seen, &self.assets, out);
                let Some(taken) = running.change(at, loaded, show).flatten() else { continue };
                begins &= !taken.sticky;
                if taken.ended {
                    running.remove(at);
                }
            }
            if !begins || !loaded.takes(&loaded.directive.first, seen, &[], &self.assets) {
                continue;
            }
            let mut one = Running::begin(loaded, time, seen);
            if one.show(loaded, time, seen, &self.assets, out).is_some_and(|taken| taken.ended) {
                continue;
            }
            if running.len() >= self.most {
                if let Some(least) = running.pop_least() {
                    least.forget(loaded, time, out);
                }
                self.forgotten += 1;
                self.health.told(Trouble::Groups, self.forgotten, time, out);
            }
            running.push(one, loaded);
        }
    }

    /// Closes what can no longer go on at `time`.
    fn expire(&mut self, time: i64, out: &mut Vec<Alarm>) {
        for (loaded, running) in self.loaded.iter().zip(&mut self.running) {
            while let Some((ended, mut one)) = running.pop_ended(time) {
                one.close(loaded, ended, out);
            }
        }
    }
}

/// Base rules by id and by name.
struct Names<'k> {
    known: &'k [Meta],
    /// The first, and another where there is one.
    places: HashMap<&'k str, (u32, Option<u32>)>,
}

impl<'k> Names<'k> {
    fn of(known: &'k [Meta]) -> Self {
        let mut places = HashMap::new();
        for (at, meta) in (0_u32..).zip(known) {
            for name in [meta.name.as_str(), meta.id.as_str()] {
                match places.entry(name) {
                    _ if name.is_empty() => {}
                    Entry::Vacant(free) => {
                        free.insert((at, None));
                    }
                    Entry::Occupied(mut taken) => {
                        let (first, other) = taken.get_mut();
                        *other = other.or(Some(at).filter(|at| at != first));
                    }
                }
            }
        }
        Self { known, places }
    }

    fn rule(&self, name: &str) -> Result<u32, String> {
        match self.places.get(name) {
            None => {
                Err(format!("`{name}` is no rule that is loaded; load it, or correct the name"))
            }
            Some((at, None)) => Ok(*at),
            Some((first, Some(other))) => Err(format!(
                "`{name}` may be the rule of {} or that of {}; name the one that is meant by its id",
                self.place(*first),
                self.place(*other)
            )),
        }
    }

    fn place(&self, rule: u32) -> String {
        let meta = usize::try_from(rule).ok().and_then(|at| self.known.get(at));
        meta.map_or_else(String::new, |meta| format!("{}:{}", meta.file, meta.place.line.max(1)))
    }
}

/// What is hashed, as bytes, for a hash that is the same in every process.
#[derive(Default)]
pub(super) struct Written(pub(super) Vec<u8>);

impl Hasher for Written {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}
