//! What values were found to match, kept from one transaction to the next.
//!
//! Visitors repeat themselves: the same browser, the same cookie, the same page. Which rules can match a value
//! hangs on its bytes and on the rules alone, so a value that came before need not be looked at again; and a rule
//! that ran over it in vain is taken out of its set. Only operators that read nothing but the value are
//! forgotten so, and a value that matches is judged anew each time.

use std::sync::atomic::{AtomicU32, Ordering};

/// Values of a head of at most so many bytes are kept: long cookies and referrers come again.
pub(super) const LONGEST: usize = 2_048;
/// Of a body only what is short comes again: a choice, a currency, a yes.
pub(super) const LONGEST_OF_BODY: usize = 64;
/// Values kept, in sets of [`WAYS`]: those of some browsers on some pages. Each costs its bytes and a set
/// of rules.
const SETS: usize = 256;
const WAYS: usize = 4;
/// Bytes of all values kept; when they are more, all begins anew.
const BYTES: usize = 192 << 10;

/// Values and the rules that can match each.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Tells it from other memories.
    number: u32,
    /// The hash of each slot's value.
    hashes: Vec<[u64; WAYS]>,
    slots: Vec<Slot>,
    /// The rules of each slot.
    rules: Vec<u64>,
    words: usize,
    /// Marks of values that came once, the last one first: only who comes again is worth a slot.
    once: Vec<[u16; WAYS]>,
    bytes: usize,
    clock: u32,
    /// What is asked about the values in hand.
    asked: Vec<Asked>,
}

#[derive(Debug, Clone, Default)]
struct Slot {
    /// Changes with what the slot holds; 0 for an empty one.
    stamp: u32,
    used: u32,
    /// Of the value and what was asked about it.
    hash: u64,
    text: Vec<u8>,
}

/// A question about a value, and the slot of its answer.
#[derive(Debug, Clone, Copy)]
struct Asked {
    hash: u64,
    place: Option<usize>,
}

/// A value's place, as long as it stays there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Known {
    /// Which memory: the next phase may have another one.
    of: u32,
    slot: u16,
    stamp: u32,
}

impl Known {
    pub(super) const NOT: Self = Self { of: 0, slot: 0, stamp: 0 };
}

/// The number of the latest memory.
static LATEST: AtomicU32 = AtomicU32::new(0);

const ODD: u64 = 0x9E37_79B9_7F4A_7C15;

/// A hash of a value, never 0. Who makes two values collide gains that the second is looked at like any other.
pub(super) fn hash(value: &[u8]) -> u64 {
    let mut all = (value.len() as u64) << 32;
    let (words, rest) = value.as_chunks::<8>();
    for word in words {
        all = (all ^ u64::from_le_bytes(*word)).wrapping_mul(ODD).rotate_left(29);
    }
    let rest = rest.iter().fold(1u64, |rest, byte| rest << 8 | u64::from(*byte));
    (all ^ rest).wrapping_mul(ODD) | 1
}

impl Memory {
    /// Forgets everything: other rules are in force.
    pub(super) fn clear(&mut self, words: usize) {
        let number = match self.number {
            // After four billion they begin anew: the one that had the number is long gone.
            0 => LATEST.fetch_add(1, Ordering::Relaxed).wrapping_add(1).max(1),
            number => number,
        };
        let asked = std::mem::take(&mut self.asked);
        *self = Self { number, words, clock: self.clock, asked, ..Self::default() };
    }

    /// Takes back what was asked before.
    pub(super) fn begin(&mut self) {
        self.asked.clear();
    }

    /// Asks a question about a value with that [`hash`]; the answers are [found](Self::find) in the same order.
    pub(super) fn ask(&mut self, hash: u64, question: u32) {
        let all = (hash ^ hash >> 32 ^ u64::from(question)).wrapping_mul(ODD);
        let hash = all ^ all >> 32;
        let place = self.place(hash);
        self.asked.push(Asked { hash, place });
    }

    fn place(&self, hash: u64) -> Option<usize> {
        let set = set(hash);
        let way = self.hashes.get(set)?.iter().position(|known| *known == hash)?;
        Some(set * WAYS + way)
    }

    /// Brings near what is known of the values asked for: one after the other each look would wait for memory
    /// several times, all together they wait once.
    pub(super) fn fetch(&self) {
        let places = || self.asked.iter().filter_map(|asked| asked.place);
        let mut near = 0;
        for n in places() {
            let first = self.rules.get(n * self.words).copied().unwrap_or_default();
            near ^= first ^ self.slots.get(n).map_or(0, |slot| slot.text.len() as u64);
        }
        for n in places() {
            let text = self.slots.get(n).and_then(|slot| slot.text.first());
            near ^= text.map_or(0, |byte| u64::from(*byte));
        }
        std::hint::black_box(near);
    }

    /// What is known of the value that the `n`-th question was about.
    pub(super) fn find(&mut self, n: usize, value: &[u8]) -> Option<(Known, &[u64])> {
        let Asked { hash, place } = *self.asked.get(n)?;
        // An equal one before it may have been kept since.
        let n = place.or_else(|| self.place(hash))?;
        let slot = self.slots.get_mut(n)?;
        // Another one may have been kept in its place since.
        if slot.stamp == 0 || slot.hash != hash || slot.text != value {
            return None;
        }
        slot.used = self.clock;
        let rules = self.rules.get(n * self.words..(n + 1) * self.words)?;
        Some((Known { of: self.number, slot: u16::try_from(n).ok()?, stamp: slot.stamp }, rules))
    }

    /// Keeps what was found for the `n`-th question, if it was asked before.
    pub(super) fn keep(&mut self, n: usize, value: &[u8], found: &[u64]) -> Known {
        let Some(hash) = self.asked.get(n).map(|asked| asked.hash) else { return Known::NOT };
        if found.len() != self.words || !self.came_before(hash) {
            return Known::NOT;
        }
        let set = set(hash);
        let (first, last) = (set * WAYS, (set + 1) * WAYS);
        let ways = self.slots.get(first..last).unwrap_or_default().iter().enumerate();
        let age = |slot: &Slot| self.clock.wrapping_sub(slot.used);
        let oldest = ways.max_by_key(|(_, slot)| (slot.stamp == 0, age(slot)));
        let way = oldest.map_or(0, |(way, _)| way);
        let n = first + way;
        let Some(slot) = self.slots.get_mut(n) else { return Known::NOT };
        self.clock = self.clock.wrapping_add(1).max(1);
        self.bytes -= slot.text.capacity();
        slot.stamp = self.clock;
        slot.hash = hash;
        slot.used = self.clock;
        slot.text.clear();
        slot.text.extend_from_slice(value);
        self.bytes += slot.text.capacity();
        if self.bytes > BYTES {
            self.clear(self.words);
            return Known::NOT;
        }
        if let Some(rules) = self.rules.get_mut(n * self.words..(n + 1) * self.words) {
            rules.copy_from_slice(found);
        }
        if let Some(place) = self.hashes.get_mut(set).and_then(|ways| ways.get_mut(way)) {
            *place = hash;
        }
        Known { of: self.number, slot: u16::try_from(n).unwrap_or(0), stamp: self.clock }
    }

    /// Whether this hash is marked; it is from now on.
    fn came_before(&mut self, hash: u64) -> bool {
        if self.once.is_empty() {
            self.once = vec![[0; WAYS]; SETS * 4];
            self.hashes = vec![[0; WAYS]; SETS];
            self.slots = vec![Slot::default(); SETS * WAYS];
            self.rules = vec![0; SETS * WAYS * self.words];
        }
        let at = usize::try_from(hash >> 24).unwrap_or(0) % self.once.len();
        let Some(marks) = self.once.get_mut(at) else { return false };
        // Other bits than those of the place.
        let [.., low, high] = hash.to_le_bytes();
        let mark = u16::from_le_bytes([low, high]) | 1;
        if marks.contains(&mark) {
            return true;
        }
        marks.rotate_right(1);
        if let Some(first) = marks.first_mut() {
            *first = mark;
        }
        false
    }

    /// The rules that a value can match at any of the nodes it was looked at for.
    pub(super) fn rules(&self, known: Known) -> Option<&[u64]> {
        let n = self.slot_of(known)?;
        self.rules.get(n * self.words..(n + 1) * self.words)
    }

    /// The slot of a value, if it is there still.
    fn slot_of(&self, known: Known) -> Option<usize> {
        let n = usize::from(known.slot);
        let here = known.of == self.number && known.stamp != 0;
        (here && self.slots.get(n)?.stamp == known.stamp).then_some(n)
    }

    /// A rule ran over a value in vain.
    pub(super) fn rule_out(&mut self, known: Known, bit: u16) {
        let Some(n) = self.slot_of(known) else { return };
        if let Some(word) = self.rules.get_mut(n * self.words + usize::from(bit / 64)) {
            *word &= !(1 << (bit % 64));
        }
    }

    /// Bytes on the heap.
    #[cfg(test)]
    fn capacity(&self) -> usize {
        self.bytes
            + self.slots.capacity() * size_of::<Slot>()
            + self.hashes.capacity() * size_of::<[u64; WAYS]>()
            + self.rules.capacity() * 8
            + self.once.capacity() * size_of::<[u16; WAYS]>()
    }
}

fn set(hash: u64) -> usize {
    usize::try_from(hash).unwrap_or(0) % SETS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find<'m>(memory: &'m mut Memory, value: &[u8], question: u32) -> Option<(Known, &'m [u64])> {
        memory.begin();
        memory.ask(hash(value), question);
        memory.fetch();
        memory.find(0, value)
    }

    fn keep(memory: &mut Memory, value: &[u8], question: u32, found: &[u64]) -> Known {
        memory.begin();
        memory.ask(hash(value), question);
        memory.keep(0, value, found)
    }

    #[test]
    fn who_comes_twice_is_known_and_the_rest_is_not() {
        let mut memory = Memory::default();
        memory.clear(2);
        assert_eq!(keep(&mut memory, b"value", 1, &[3, 4]), Known::NOT);
        assert!(find(&mut memory, b"value", 1).is_none());
        let known = keep(&mut memory, b"value", 1, &[3, 4]);
        assert_eq!(find(&mut memory, b"value", 1), Some((known, [3, 4].as_slice())));
        assert!(find(&mut memory, b"value", 2).is_none(), "another question");
        assert!(find(&mut memory, b"valve", 1).is_none());
        memory.rule_out(known, 1);
        memory.rule_out(known, 66);
        assert_eq!(find(&mut memory, b"value", 1), Some((known, [1, 0].as_slice())));
        let mut other = Memory::default();
        other.clear(2);
        for _ in 0..2 {
            keep(&mut other, b"value", 1, &[3, 4]);
        }
        other.rule_out(known, 0);
        assert_eq!(find(&mut other, b"value", 1).map(|(_, rules)| rules), Some([3, 4].as_slice()));
        assert!(other.rules(known).is_none() && memory.rules(known).is_some());
        memory.clear(2);
        assert!(find(&mut memory, b"value", 1).is_none());
        memory.rule_out(known, 0);
    }

    #[test]
    fn it_stays_small_and_right_under_a_flood() {
        let mut memory = Memory::default();
        memory.clear(1);
        for round in 0..3u64 {
            for n in 0..5_000u64 {
                let value = vec![n.to_le_bytes()[0]; usize::try_from(n % 3_000).unwrap()];
                let value = [value.as_slice(), &n.to_le_bytes()].concat();
                if let Some((_, set)) = find(&mut memory, &value, 0) {
                    assert_eq!(set, [n]);
                }
                keep(&mut memory, &value, 0, &[n]);
                assert!(memory.capacity() < 400 << 10, "{round}");
            }
        }
    }
}
