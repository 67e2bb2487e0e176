//! A bucket's state as bytes, and back.
//!
//! ```text
//! clock | statistics | correlations by fingerprint | groups | hits that wait
//! ```
//!
//! Groups are kept with their values, not their hashes, so that keys
//! and buckets are made anew; a correlation whose rule has changed since is known by its
//! fingerprint, and its groups are left out and counted.

use super::clock::NEVER;
use super::correlator::{Correlator, Deadline, Pending, Statistics, shard};
use super::hash::sip128;
use super::health::Health;
use super::plan::{Compiled, Figure, Kind};
use super::state::{Carry, Marks, Samples, State, Times, Wait};
use super::table::{Group, Open};
use super::values::decode;
use crate::error::Error;
use crate::siem::snapshot::{Magic, Reader, Writer, open, seal, unsound};
use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};

const MAGIC: &Magic = b"smescorr";
const VERSION: u16 = 3;

/// What a restore took up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Restored {
    /// Groups taken up.
    pub groups: usize,
    /// Hits that waited and wait again.
    pub waiting: usize,
    /// Groups left out: their correlation is gone or has changed, or there are too many.
    pub skipped: usize,
}

impl Restored {
    pub(crate) fn add(&mut self, other: Self) {
        self.groups += other.groups;
        self.waiting += other.waiting;
        self.skipped += other.skipped;
    }
}

impl Correlator {
    /// Into how many buckets its state is cut.
    pub(crate) fn buckets(&self) -> u16 {
        self.settings.buckets.max(1)
    }

    /// The state of one bucket: its groups, their open alarms, the hits that wait for the
    /// watermark, and the clock. A correlator with the same rules goes on from it as if nothing had
    /// been in between.
    pub fn snapshot(&self, bucket: u16) -> Vec<u8> {
        let mut body = Writer::default();
        self.clock.write(&mut body);
        for counted in self.statistics.all() {
            body.u64(counted);
        }
        self.health.write(&mut body);
        body.u64(self.sequence);
        body.count(self.plan.correlations.len());
        for compiled in &self.plan.correlations {
            body.u64(compiled.fingerprint);
        }
        let mut groups: Vec<(u32, u32, &Group)> = Vec::new();
        for (at, table) in (0_u32..).zip(&self.tables) {
            let mine = |group: &Group| self.settings.bucket(group.shard) == bucket;
            groups.extend(table.iter().filter(|(_, g)| mine(g)).map(|(slot, g)| (at, slot, g)));
        }
        // By the last hit, so that they are forgotten in the same order again.
        groups.sort_unstable_by_key(|(at, slot, group)| (group.last, *at, *slot));
        body.count(groups.len());
        let mut places = HashMap::new();
        for (place, (at, slot, group)) in (0_u32..).zip(&groups) {
            places.insert((*at, *slot, group.generation), place);
            body.u32(*at);
            body.bytes(&group.text);
            body.i64(group.last);
            body.u64(u64::from(group.open.is_some()));
            if let Some(open) = &group.open {
                body.u128(open.id);
                body.i64(open.start);
                body.u64(open.count);
                body.u64(open.next);
            }
            state(&mut body, &group.state);
        }
        let waiting: Vec<(&Pending, u32)> = self
            .pending
            .iter()
            .filter_map(|Reverse(hit)| {
                let place = places.get(&(hit.correlation, hit.slot, hit.generation))?;
                Some((hit, *place))
            })
            .collect();
        body.count(waiting.len());
        for (hit, place) in waiting {
            body.u32(place);
            body.i64(hit.time);
            body.u64(hit.sequence);
            body.u64(hit.steps);
            body.u64(hit.value);
            let kept = hit.carry.checked_sub(1).and_then(|at| self.carried.get(at as usize));
            carry(&mut body, kept.unwrap_or(&None));
        }
        seal(MAGIC, VERSION, &body)
    }

    /// Takes up a bucket's state, besides what is there already.
    ///
    /// # Errors
    /// Bytes that are no snapshot, of another version, damaged or cut; then nothing is taken up.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<Restored, Error> {
        Ok(self.take_up(CorrelatorState::read(bytes)?))
    }

    pub(crate) fn take_up(&mut self, read: CorrelatorState) -> Restored {
        let mut restored = Restored::default();
        self.clock.take_up(&read.clock, &self.settings);
        // The buckets of one correlator have all counted the same.
        for (mine, read) in self.statistics.all_mut().into_iter().zip(read.statistics.all()) {
            *mine = (*mine).max(read);
        }
        self.health.take_up(read.health);
        self.sequence = self.sequence.max(read.sequence);
        let plan = std::sync::Arc::clone(&self.plan);
        let local: Vec<Option<(u32, &Compiled)>> = read
            .fingerprints
            .iter()
            .map(|fingerprint| {
                (0_u32..).zip(&plan.correlations).find(|(_, c)| c.fingerprint == *fingerprint)
            })
            .collect();
        let mut places = Vec::with_capacity(read.groups.len());
        for group in read.groups {
            let place = local
                .get(group.correlation as usize)
                .copied()
                .flatten()
                .filter(|(_, compiled)| {
                    compiled.group_by.len() == decode(&group.text).count()
                        && fits(&group.state, &compiled.kind)
                })
                .and_then(|(at, compiled)| self.place_group(at, compiled, group));
            match place {
                Some(_) => restored.groups += 1,
                None => restored.skipped += 1,
            }
            places.push(place);
        }
        for hit in read.waiting {
            let Some((correlation, slot)) = places.get(hit.place as usize).copied().flatten()
            else {
                continue;
            };
            if self.pending.len() >= self.settings.pending {
                restored.skipped += 1;
                continue;
            }
            let carry = if hit.carry.is_some() { self.keep(hit.carry) } else { 0 };
            let Some(group) =
                self.tables.get_mut(correlation as usize).and_then(|table| table.get_mut(slot))
            else {
                continue;
            };
            group.waiting = group.waiting.saturating_add(1);
            self.pending.push(Reverse(Pending {
                time: hit.time,
                sequence: hit.sequence,
                correlation,
                slot,
                generation: group.generation,
                carry,
                steps: hit.steps,
                value: hit.value,
            }));
            restored.waiting += 1;
        }
        restored
    }

    fn place_group(&mut self, at: u32, compiled: &Compiled, read: ReadGroup) -> Option<(u32, u32)> {
        let values: Vec<&str> = decode(&read.text).collect();
        let key = sip128(0, &read.text);
        let shard = shard(compiled, key, values.len(), |at| values.get(at).copied());
        let table = self.tables.get_mut(at as usize)?;
        if table.len() >= self.settings.groups {
            return None;
        }
        let slot =
            table.find_or_make(key, &read.text, shard, &compiled.kind, self.settings.groups).slot;
        let group = table.get_mut(slot)?;
        let before = group.state.samples();
        group.state = read.state;
        group.last = read.last;
        group.open = read.open.map(Box::new);
        let generation = group.generation;
        let deadline = group.state.wait().and_then(|wait| wait.as_ref()).map(|wait| wait.deadline);
        let due = deadline.filter(|_| !std::mem::replace(&mut group.due, true));
        table.recount(slot, before);
        table.queue(slot, read.last);
        if let Some(time) = due {
            self.await_deadline(Deadline { time, correlation: at, key, slot, generation });
        }
        Some((at, slot))
    }
}

/// Whether a state that was read is one that the kind makes, within its bounds.
fn fits(state: &State, kind: &Kind) -> bool {
    match (state, kind) {
        (State::Times(times), Kind::Count(counted)) => times.len() <= counted.keep,
        (State::Distinct(values), Kind::Distinct(counted)) => values.len() <= counted.keep,
        (State::Samples(held), Kind::Samples { figure, .. }) => {
            let ranked = matches!(figure, Figure::Median | Figure::Percentile(_));
            ranked != held.sorted.is_empty() || held.ring.is_empty()
        }
        (State::Present(marks), Kind::Present { rules, .. }) => marks.times.len() == *rules,
        (State::Ordered(marks), Kind::Ordered(order)) => marks.times.len() == order.steps.len() + 1,
        _ => false,
    }
}

/// A bucket's snapshot, read and not yet taken up.
pub(crate) struct CorrelatorState {
    clock: ReadClock,
    statistics: Statistics,
    health: Health,
    sequence: u64,
    fingerprints: Vec<u64>,
    groups: Vec<ReadGroup>,
    waiting: Vec<ReadHit>,
}

/// What a snapshot knows of time.
pub(crate) struct ReadClock {
    pub(crate) frontier: i64,
    pub(crate) now: i64,
    /// Name, newest time, unconfirmed leap, when it was heard.
    pub(crate) sources: Vec<(String, i64, i64, i64)>,
}

impl ReadClock {
    pub(crate) fn read(from: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            frontier: from.i64()?,
            now: from.i64()?,
            sources: from
                .several(28, |from| Some((from.text()?, from.i64()?, from.i64()?, from.i64()?)))?,
        })
    }
}

struct ReadGroup {
    correlation: u32,
    text: Vec<u8>,
    last: i64,
    open: Option<Open>,
    state: State,
}

struct ReadHit {
    place: u32,
    time: i64,
    sequence: u64,
    steps: u64,
    value: u64,
    carry: Carry,
}

impl CorrelatorState {
    /// # Errors
    /// Bytes that are no snapshot, of another version, damaged or cut.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Error> {
        Self::body(open(MAGIC, VERSION, bytes)?).ok_or_else(unsound)
    }

    fn body(mut from: Reader<'_>) -> Option<Self> {
        let clock = ReadClock::read(&mut from)?;
        let mut statistics = Statistics::default();
        for counted in statistics.all_mut() {
            *counted = from.u64()?;
        }
        let health = Health::read(&mut from)?;
        let sequence = from.u64()?;
        let fingerprints = from.several(8, Reader::u64)?;
        let groups = from.several(32, |from| {
            let correlation = from.u32()?;
            let text = from.bytes()?.to_vec();
            let last = from.i64()?;
            let open = match from.u64()? {
                0 => None,
                _ => Some(Open {
                    id: from.u128()?,
                    start: from.i64()?,
                    count: from.u64()?,
                    next: from.u64()?,
                }),
            };
            Some(ReadGroup { correlation, text, last, open, state: read_state(from)? })
        })?;
        let waiting = from.several(40, |from| {
            Some(ReadHit {
                place: from.u32()?,
                time: from.i64()?,
                sequence: from.u64()?,
                steps: from.u64()?,
                value: from.u64()?,
                carry: read_carry(from)?,
            })
        })?;
        let whole = Self { clock, statistics, health, sequence, fingerprints, groups, waiting };
        from.is_done().then_some(whole)
    }
}

fn state(into: &mut Writer, state: &State) {
    match state {
        State::Times(times) => {
            into.u32(0);
            into.count(times.len());
            for time in (0..times.len()).filter_map(|n| times.nth(n)) {
                into.i64(time);
            }
        }
        State::Distinct(values) => {
            into.u32(1);
            into.count(values.len());
            for (time, value) in values {
                into.i64(*time);
                into.u64(*value);
            }
        }
        State::Samples(held) => {
            into.u32(if held.sorted.is_empty() { 2 } else { 3 });
            into.count(held.ring.len());
            for (time, value) in &held.ring {
                into.i64(*time);
                into.u64(value.to_bits());
            }
        }
        State::Present(marks) | State::Ordered(marks) => {
            into.u32(if matches!(state, State::Present(_)) { 4 } else { 5 });
            into.count(marks.times.len());
            for time in &marks.times {
                into.i64(*time);
            }
            into.u64(u64::from(marks.wait.is_some()));
            if let Some(wait) = &marks.wait {
                into.i64(wait.start);
                into.i64(wait.at);
                into.i64(wait.deadline);
                carry(into, &wait.carry);
            }
        }
    }
}

fn read_state(from: &mut Reader<'_>) -> Option<State> {
    let kind = from.u32()?;
    Some(match kind {
        0 => {
            let mut times = Times::default();
            for time in from.several(8, Reader::i64)? {
                times.push(time, usize::MAX);
            }
            State::Times(times)
        }
        1 => State::Distinct(from.several(16, |from| Some((from.i64()?, from.u64()?)))?),
        2 | 3 => {
            let ring = from.several(16, |from| Some((from.i64()?, f64::from_bits(from.u64()?))))?;
            if ring.iter().any(|(_, value)| !value.is_finite()) {
                return None;
            }
            State::Samples(Box::new(Samples::of(VecDeque::from(ring), kind == 3)))
        }
        4 | 5 => {
            let times = from.several(8, Reader::i64)?.into_boxed_slice();
            let wait = match from.u64()? {
                0 => None,
                _ => Some(Wait {
                    start: from.i64()?,
                    at: from.i64()?,
                    deadline: from.i64()?,
                    carry: read_carry(from)?,
                }),
            };
            let marks = Box::new(Marks { times, wait });
            if kind == 4 { State::Present(marks) } else { State::Ordered(marks) }
        }
        _ => return None,
    })
}

fn carry(into: &mut Writer, carry: &Carry) {
    let Some(values) = carry else {
        into.u32(u32::MAX);
        return;
    };
    into.count(values.len());
    for value in values {
        into.u32(u32::from(value.is_some()));
        into.bytes(value.as_deref().unwrap_or_default().as_bytes());
    }
}

fn read_carry(from: &mut Reader<'_>) -> Option<Carry> {
    if from.starts_with(&u32::MAX.to_le_bytes()) {
        from.u32()?;
        return Some(None);
    }
    let values = from.several(8, |from| {
        let there = from.u32()? != 0;
        let value = from.text()?;
        Some(there.then(|| value.into_boxed_str()))
    })?;
    Some(Some(values.into_boxed_slice()))
}

impl super::clock::Clock {
    pub(crate) fn write(&self, into: &mut Writer) {
        into.i64(self.frontier());
        into.i64(self.now().unwrap_or(NEVER));
        into.count(self.sources().len());
        for source in self.sources() {
            into.bytes(source.name.as_bytes());
            into.i64(source.newest);
            into.i64(source.leap);
            into.i64(source.heard.unwrap_or(NEVER));
        }
    }
}
