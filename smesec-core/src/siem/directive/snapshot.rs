//! Running directives as bytes, and back.
//!
//! ```text
//! clock | counts | directives by fingerprint | what runs | events that wait
//! ```
//!
//! A directive that has changed since is known by its fingerprint, and what ran of it is left out and
//! counted. Rules are kept by name, since their numbers hang on what else is loaded.

use super::fields::Values;
use super::loaded::Loaded;
use super::run::{Directives, Seen};
use super::running::Running;
use crate::error::Error;
use crate::siem::correlation::{Health, ReadClock, Restored};
use crate::siem::snapshot::{Magic, Reader, Writer, open, seal, unsound};
use std::cmp::Reverse;

const MAGIC: &Magic = b"smesdire";
const VERSION: u16 = 1;

impl Directives {
    /// What runs, what waits for the watermark, and the clock. Directives with the same levels go on
    /// from it as if nothing had been in between. As large as what may run at once, whose values are
    /// cut to 256 bytes each.
    pub fn snapshot(&self) -> Vec<u8> {
        let mut body = Writer::default();
        self.clock.write(&mut body);
        for counted in [self.sequence, self.late_dropped, self.forgotten, self.forced] {
            body.u64(counted);
        }
        self.health.write(&mut body);
        body.count(self.loaded.len());
        for loaded in &self.loaded {
            body.u128(loaded.fingerprint);
        }
        body.count(self.running());
        for (at, running) in (0_u32..).zip(&self.running) {
            for one in running.runs() {
                body.u32(at);
                one.write(&mut body);
            }
        }
        let waiting = self.pending.iter().filter_map(|Reverse((time, sequence))| {
            Some((*time, *sequence, self.events.get(sequence)?))
        });
        let mut waiting: Vec<(i64, u64, &Seen)> = waiting.collect();
        waiting.sort_unstable_by_key(|(time, sequence, _)| (*time, *sequence));
        body.count(waiting.len());
        for (time, sequence, seen) in waiting {
            body.i64(time);
            body.u64(sequence);
            let names: Vec<&str> =
                seen.rules.iter().filter_map(|rule| self.name_of(*rule)).collect();
            body.count(names.len());
            for name in names {
                body.bytes(name.as_bytes());
            }
            seen.values.write(&mut body);
            body.u8(seen.priority.map_or(u8::MAX, |priority| priority.min(5)));
        }
        seal(MAGIC, VERSION, &body)
    }

    /// Takes a snapshot up, besides what is there already.
    ///
    /// # Errors
    /// Bytes that are no snapshot, of another version, damaged or cut; then nothing is taken up.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<Restored, Error> {
        Ok(self.take_up(DirectivesState::read(bytes)?))
    }

    pub(crate) fn take_up(&mut self, read: DirectivesState) -> Restored {
        let mut restored = Restored::default();
        self.clock.take_up(&read.clock, &self.settings);
        self.health.take_up(read.health);
        let [sequence, late_dropped, forgotten, forced] = read.counts;
        self.sequence = self.sequence.max(sequence);
        self.late_dropped = self.late_dropped.max(late_dropped);
        self.forgotten = self.forgotten.max(forgotten);
        self.forced = self.forced.max(forced);
        for (fingerprint, one) in read.running {
            let place = self.loaded.iter().position(|loaded| loaded.fingerprint == fingerprint);
            let found =
                place.and_then(|at| Some((self.loaded.get(at)?, self.running.get_mut(at)?)));
            match found {
                Some((loaded, running)) if running.len() < self.most && one.fits(loaded) => {
                    running.push(one, loaded);
                    restored.groups += 1;
                }
                _ => restored.skipped += 1,
            }
        }
        for waits in read.waiting {
            if self.pending.len() >= self.settings.pending
                || self.waiting_bytes() >= self.settings.pending_bytes
            {
                restored.skipped += 1;
                continue;
            }
            let rules = waits.rules.iter().filter_map(|name| self.rule(name)).collect();
            let seen = Seen { rules, values: waits.values, priority: waits.priority };
            self.wait(waits.time, waits.sequence, seen);
            restored.waiting += 1;
        }
        restored
    }

    fn name_of(&self, rule: u32) -> Option<&str> {
        let named = self.loaded.iter().flat_map(|loaded| &loaded.rules);
        named.filter(|(_, at)| **at == rule).map(|(name, _)| name.as_str()).min()
    }
}

/// A snapshot, read and not yet taken up.
pub(crate) struct DirectivesState {
    clock: ReadClock,
    counts: [u64; 4],
    health: Health,
    running: Vec<(u128, Running)>,
    waiting: Vec<Waits>,
}

struct Waits {
    time: i64,
    sequence: u64,
    rules: Vec<String>,
    values: Values,
    priority: Option<u8>,
}

impl DirectivesState {
    /// # Errors
    /// Bytes that are no snapshot, of another version, damaged or cut.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Error> {
        Self::body(open(MAGIC, VERSION, bytes)?).ok_or_else(unsound)
    }

    fn body(mut from: Reader<'_>) -> Option<Self> {
        let clock = ReadClock::read(&mut from)?;
        let counts = [from.u64()?, from.u64()?, from.u64()?, from.u64()?];
        let health = Health::read(&mut from)?;
        let fingerprints = from.several(16, Reader::u128)?;
        let running = from.several(64, |from| {
            let fingerprint = *fingerprints.get(from.u32()? as usize)?;
            Some((fingerprint, Running::read(from)?))
        })?;
        let waiting = from.several(24, |from| {
            Some(Waits {
                time: from.i64()?,
                sequence: from.u64()?,
                rules: from.several(4, Reader::text)?,
                values: Values::read_back(from)?,
                priority: from.u8().map(|priority| (priority <= 5).then_some(priority))?,
            })
        })?;
        from.is_done().then_some(Self { clock, counts, health, running, waiting })
    }
}

impl Running {
    fn write(&self, into: &mut Writer) {
        into.u8(u8::from(self.path.is_some()));
        let path = self.path.as_deref().unwrap_or_default();
        into.count(path.len());
        for at in path {
            into.count(*at);
        }
        into.i64(self.since);
        into.i64(self.start);
        into.count(self.earlier.len());
        for values in &self.earlier {
            values.write(into);
        }
        into.u8(self.reliability);
        into.u8(self.policy.unwrap_or(u8::MAX));
        into.u8(self.asset);
        into.count(self.counts.len());
        for count in &self.counts {
            into.u32(*count);
        }
        into.count(self.different.len());
        for different in &self.different {
            let mut values: Vec<u128> = different.iter().copied().collect();
            values.sort_unstable();
            into.count(values.len());
            for value in values {
                into.u128(value);
            }
        }
        into.u128(self.id);
        into.u64(self.hits);
        into.u8(u8::from(self.open));
        into.u8(self.risk);
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let begun = from.u8()? != 0;
        let path = from.several(4, |from| from.u32().map(|at| at as usize))?;
        Some(Self {
            path: begun.then_some(path),
            since: from.i64()?,
            start: from.i64()?,
            earlier: from.several(4, Values::read_back)?,
            reliability: from.u8()?.min(10),
            policy: from.u8().map(|policy| (policy <= 5).then_some(policy))?,
            asset: from.u8()?.min(5),
            counts: from.several(4, Reader::u32)?,
            different: from
                .several(4, |from| from.several(16, Reader::u128).map(FromIterator::from_iter))?,
            id: from.u128()?,
            hits: from.u64()?,
            open: from.u8()? != 0,
            risk: from.u8()?.min(10),
        })
    }

    /// Whether it is one that the directive makes.
    fn fits(&self, loaded: &Loaded) -> bool {
        let next = loaded.candidates(self).len();
        let levels = self.path.as_ref().map_or(0, |path| path.len() + 1);
        let walked = self.path.as_ref().is_none_or(|path| {
            let first = &loaded.directive.first;
            path.iter().try_fold(first, |level, at| level.next.get(*at)).is_some()
        });
        walked
            && next > 0
            && self.counts.len() == next
            && self.different.len() == next
            && self.earlier.len() == levels
    }
}
