//! The groups of one correlation: found by hash, forgotten in time, and bounded.

use super::clock::NEVER;
use super::hash::{high, low};
use super::heap::LazyHeap;
use super::plan::Kind;
use super::state::State;

/// One group: the hits of one set of values.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) key: u128,
    pub(crate) state: State,
    /// The values as [`encode`](super::values::encode) writes them.
    pub(crate) text: Box<[u8]>,
    pub(crate) open: Option<Box<Open>>,
    /// The time of its last hit.
    pub(crate) last: i64,
    pub(crate) shard: u32,
    /// Hits that wait for the watermark.
    pub(crate) waiting: u32,
    /// Counts up when the place is given to another group, so that what still points here is known.
    pub(crate) generation: u32,
    live: bool,
    queued: bool,
    /// Whether a deadline of it is queued; a group has one at most, however often its wait is broken
    /// and begun anew.
    pub(crate) due: bool,
}

/// An alarm that holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Open {
    pub(crate) id: u128,
    pub(crate) start: i64,
    pub(crate) count: u64,
    /// The count at which an update is told next.
    pub(crate) next: u64,
}

/// A group's place and what had to go for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) slot: u32,
    pub(crate) evicted: bool,
    /// Hits that went with the one that was evicted.
    pub(crate) lost: u64,
}

/// Open addressing over the places of the groups: four bytes an entry, the keys stay in the groups.
#[derive(Debug)]
pub(crate) struct Table {
    groups: Vec<Group>,
    free: Vec<u32>,
    /// Places plus one; 0 is empty. A power of two long, at most half full.
    index: Vec<u32>,
    live: usize,
    /// Where the search for a group to evict goes on.
    hand: usize,
    /// Groups by the last hit that was known when they were looked at, earliest first. A heap and not
    /// a queue: an alarm has to close in its time, whatever other groups there are.
    expiry: LazyHeap<(i64, u32, u32)>,
    /// The values that all groups keep together, see [`State::samples`].
    samples: usize,
    seed: u64,
}

/// Groups looked at for one that is to be evicted.
const LOOKED_AT: usize = 24;
/// And if all of them are past half of their way, that many more.
const LOOKED_AT_AGAIN: usize = 512;
const HALFWAY: u8 = 127;

impl Table {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            groups: Vec::new(),
            free: Vec::new(),
            index: vec![0; 16],
            live: 0,
            hand: 0,
            expiry: LazyHeap::new(),
            samples: 0,
            seed,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.live
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&Group> {
        self.groups.get(slot as usize).filter(|group| group.live)
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut Group> {
        self.groups.get_mut(slot as usize).filter(|group| group.live)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Group)> {
        (0_u32..).zip(&self.groups).filter(|(_, group)| group.live)
    }

    pub(crate) fn find(&self, key: u128) -> Option<u32> {
        let mask = self.index.len() - 1;
        let mut at = self.home(key);
        loop {
            let slot = self.index.get(at).copied()?.checked_sub(1)?;
            if self.groups.get(slot as usize).is_some_and(|group| group.key == key) {
                return Some(slot);
            }
            at = (at + 1) & mask;
        }
    }

    /// The group of a key, made where there is none; where there are `most` already, one has to go.
    pub(crate) fn find_or_make(
        &mut self,
        key: u128,
        text: &[u8],
        shard: u32,
        kind: &Kind,
        most: usize,
    ) -> Found {
        if let Some(slot) = self.find(key) {
            return Found { slot, evicted: false, lost: 0 };
        }
        let lost = if self.live >= most.max(1) { self.evict(kind) } else { None };
        let slot = self.make(Group {
            key,
            state: State::new(kind),
            text: text.into(),
            open: None,
            last: NEVER,
            shard,
            waiting: 0,
            generation: 0,
            live: true,
            queued: false,
            due: false,
        });
        Found { slot, evicted: lost.is_some(), lost: lost.unwrap_or_default() }
    }

    /// Puts the group into the queue of those to be forgotten.
    pub(crate) fn queue(&mut self, slot: u32, time: i64) {
        if let Some(group) = self.groups.get_mut(slot as usize).filter(|g| g.live && !g.queued) {
            group.queued = true;
            let (entry, groups) = ((time, slot, group.generation), &self.groups);
            self.expiry.push(entry, |(_, slot, generation)| {
                let group = groups.get(*slot as usize);
                group.is_some_and(|group| group.live && group.generation == *generation)
            });
        }
    }

    /// The next group whose last hit lies before `before` and that nothing waits for. It stays in
    /// place until [`remove`](Self::remove).
    pub(crate) fn expired(&mut self, before: i64) -> Option<u32> {
        while let Some((time, slot, generation)) = self.expiry.peek().copied()
            && time < before
        {
            self.expiry.pop();
            let Some(group) = self.get_mut(slot).filter(|g| g.generation == generation) else {
                continue;
            };
            group.queued = false;
            if group.last < before && group.waiting == 0 {
                return Some(slot);
            }
            // Hits that wait are not older than what is being forgotten.
            let time = if group.last < before { before } else { group.last };
            self.queue(slot, time);
        }
        None
    }

    pub(crate) fn samples(&self) -> usize {
        self.samples
    }

    /// A group that kept `before` values keeps others now.
    pub(crate) fn recount(&mut self, slot: u32, before: usize) {
        let now = self.get(slot).map_or(0, |group| group.state.samples());
        self.samples = self.samples.saturating_sub(before).saturating_add(now);
    }

    pub(crate) fn remove(&mut self, slot: u32) {
        let Some(group) = self.get(slot) else { return };
        let (key, samples) = (group.key, group.state.samples());
        self.samples = self.samples.saturating_sub(samples);
        self.unlink(key, slot);
        if let Some(group) = self.groups.get_mut(slot as usize) {
            group.live = false;
            group.queued = false;
            group.generation = group.generation.wrapping_add(1);
            group.open = None;
            group.text = Box::default();
            group.state = State::Distinct(Vec::new());
        }
        self.free.push(slot);
        self.live -= 1;
    }

    /// Bytes held, without the allocator's own.
    pub(crate) fn bytes(&self) -> usize {
        let own = |group: &Group| {
            group.text.len()
                + group.state.heap()
                + group.open.as_ref().map_or(0, |_| size_of::<Open>())
        };
        self.groups.capacity() * size_of::<Group>()
            + self.groups.iter().map(own).sum::<usize>()
            + (self.index.capacity() + self.free.capacity()) * 4
            + self.expiry.bytes()
    }

    fn make(&mut self, mut group: Group) -> u32 {
        let key = group.key;
        if (self.live + 1) * 2 > self.index.len() {
            self.grow();
        }
        let slot = if let Some(slot) = self.free.pop() {
            if let Some(place) = self.groups.get_mut(slot as usize) {
                group.generation = place.generation;
                *place = group;
            }
            slot
        } else {
            self.groups.push(group);
            u32::try_from(self.groups.len() - 1).unwrap_or(u32::MAX)
        };
        self.link(key, slot);
        self.live += 1;
        slot
    }

    /// Where a key is looked for first. Mixed with [`Settings::seed`](super::Settings::seed), so that
    /// nobody outside can aim keys at one place.
    fn home(&self, key: u128) -> usize {
        let mixed = u128::from(low(key) ^ self.seed) * u128::from(high(key) | 1);
        let folded = low(mixed) ^ high(mixed);
        usize::try_from(folded).unwrap_or_default() & (self.index.len() - 1)
    }

    fn link(&mut self, key: u128, slot: u32) {
        let mask = self.index.len() - 1;
        let mut at = self.home(key);
        while let Some(place) = self.index.get_mut(at) {
            if *place == 0 {
                *place = slot.saturating_add(1);
                return;
            }
            at = (at + 1) & mask;
        }
    }

    /// Takes an entry out and moves those behind it up, so that no search ends too early.
    fn unlink(&mut self, key: u128, slot: u32) {
        let mask = self.index.len() - 1;
        let mut hole = self.home(key);
        while self.index.get(hole).is_some_and(|place| *place != slot.saturating_add(1)) {
            if self.index.get(hole) == Some(&0) {
                return;
            }
            hole = (hole + 1) & mask;
        }
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let Some(moved) = self.index.get(at).copied().filter(|place| *place != 0) else {
                break;
            };
            let home = self.groups.get(moved as usize - 1).map_or(at, |group| self.home(group.key));
            // It may move into the hole unless its home lies between the hole and itself.
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(hole) & mask) {
                if let Some(place) = self.index.get_mut(hole) {
                    *place = moved;
                }
                hole = at;
            }
        }
        if let Some(place) = self.index.get_mut(hole) {
            *place = 0;
        }
    }

    fn grow(&mut self) {
        self.index = vec![0; self.index.len() * 2];
        let keys: Vec<(u128, u32)> = self.iter().map(|(slot, group)| (group.key, slot)).collect();
        for (key, slot) in keys {
            self.link(key, slot);
        }
    }

    /// Forgets the group that is farthest from its alarm, of some that are looked at; of those
    /// equally far the one that was hit longest ago.
    ///
    /// A flood of new groups is sparse, so it evicts itself; a group near its alarm is not lost to it.
    /// Gives the number of hits that it kept.
    fn evict(&mut self, kind: &Kind) -> Option<u64> {
        let mut worst: Option<(u8, i64, u32)> = None;
        for looked in 0..LOOKED_AT + LOOKED_AT_AGAIN {
            if looked >= LOOKED_AT && worst.is_some_and(|(progress, ..)| progress < HALFWAY) {
                break;
            }
            self.hand = if self.hand + 1 < self.groups.len() { self.hand + 1 } else { 0 };
            let slot = u32::try_from(self.hand).unwrap_or_default();
            let Some(group) = self.get(slot) else { continue };
            let progress = match &group.open {
                Some(_) => u8::MAX,
                None => group.state.progress(kind, group.waiting),
            };
            if worst.is_none_or(|worst| (progress, group.last, slot) < worst) {
                worst = Some((progress, group.last, slot));
            }
        }
        let (_, _, slot) = worst?;
        let lost = self.get(slot).map_or(0, |group| group.state.kept());
        self.remove(slot);
        Some(lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::siem::correlation::hash::sip128;
    use crate::siem::correlation::plan::Counted;

    fn kind() -> Kind {
        Kind::Count(Counted { bounds: Vec::new(), need: 10, keep: 10 })
    }

    #[test]
    fn what_is_put_in_is_found_until_it_is_taken_out() {
        let mut table = Table::new(7);
        let key = |n: u64| sip128(0, &n.to_le_bytes());
        for round in 0..3_u64 {
            for n in 0..2_000 {
                table.find_or_make(key(n), b"", 0, &kind(), 10_000);
            }
            assert_eq!(table.len(), 2_000);
            for n in (0..2_000).filter(|n| n % 3 != round) {
                let slot = table.find(key(n)).unwrap_or(u32::MAX);
                table.remove(slot);
                assert_eq!(table.find(key(n)), None);
            }
            for n in 0..2_000 {
                let slot = table.find(key(n));
                assert_eq!(slot.is_some(), n % 3 == round, "{n}");
                assert!(slot.is_none_or(|s| table.get(s).is_some_and(|g| g.key == key(n))));
            }
        }
    }

    #[test]
    fn the_sparse_go_before_those_on_their_way() {
        let mut table = Table::new(0);
        let near = table.find_or_make(u128::MAX, b"near", 0, &kind(), 100).slot;
        if let Some(group) = table.get_mut(near) {
            group.waiting = 5;
        }
        let mut evicted = 0;
        for n in 0..10_000_u64 {
            let found = table.find_or_make(sip128(0, &n.to_le_bytes()), b"", 0, &kind(), 100);
            evicted += u32::from(found.evicted);
            assert!(table.len() <= 100);
        }
        assert_eq!(evicted, 9_901);
        assert_eq!(table.find(u128::MAX), Some(near));
    }
}
