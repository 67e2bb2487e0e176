//! What says, from a value's bytes alone, which patterns could fit it.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map for what compiling looks up by the ten thousand; its keys are the rules' own.
pub(super) type Map<K, V> = HashMap<K, V, BuildHasherDefault<Quick>>;

/// The hasher of [`Map`].
#[derive(Debug, Default)]
pub(super) struct Quick(u64);

impl Hasher for Quick {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = mixed(self.0 ^ hash(bytes), 0x9e37_79b9_7f4a_7c15);
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u16(&mut self, number: u16) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = mixed(self.0 ^ number ^ 0x51, 0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A hash of some bytes; good enough for tables, and the same on every run.
pub(in crate::siem) fn hash(bytes: &[u8]) -> u64 {
    const K: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut state = K ^ bytes.len() as u64;
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let word = chunk.try_into().map_or(0, u64::from_le_bytes);
        state = mixed(state ^ word, K);
    }
    let mut last = [0_u8; 8];
    for (to, from) in last.iter_mut().zip(chunks.remainder()) {
        *to = *from;
    }
    mixed(state ^ u64::from_le_bytes(last), K)
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves of a product")]
const fn mixed(a: u64, b: u64) -> u64 {
    let product = (a as u128).wrapping_mul(b as u128);
    (product as u64) ^ ((product >> 64) as u64)
}

/// From a 64-bit key to a run of numbers, without a comparison of the key itself: who asks
/// verifies what comes back.
#[derive(Debug, Default)]
pub(in crate::siem) struct Table {
    /// The key, and where its run begins and ends; an end of 0 is an empty place.
    places: Vec<(u64, u32, u32)>,
    values: Vec<u32>,
}

impl Table {
    /// A table of these pairs.
    pub(super) fn new(pairs: impl IntoIterator<Item = (u64, u32)>) -> Self {
        let mut runs: Map<u64, Vec<u32>> = Map::default();
        for (key, value) in pairs {
            runs.entry(key).or_default().push(value);
        }
        if runs.is_empty() {
            return Self::default();
        }
        let mut keys: Vec<u64> = runs.keys().copied().collect();
        keys.sort_unstable();
        let size = (keys.len() * 2).next_power_of_two();
        let mut table = Self { places: vec![(0, 0, 0); size], values: Vec::new() };
        for key in keys {
            let from = len(&table.values);
            let mut run = runs.remove(&key).unwrap_or_default();
            run.sort_unstable();
            run.dedup();
            table.values.extend(run);
            let to = len(&table.values);
            let mut at = table.start(key);
            while let Some(place) = table.places.get_mut(at) {
                if place.2 == 0 {
                    *place = (key, from, to);
                    break;
                }
                at = (at + 1) & (size - 1);
            }
        }
        table
    }

    pub(in crate::siem) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    #[expect(clippy::cast_possible_truncation, reason = "a place is any part of a hash")]
    fn start(&self, key: u64) -> usize {
        (key ^ (key >> 32)) as usize & (self.places.len().wrapping_sub(1))
    }

    /// The numbers under a key.
    pub(in crate::siem) fn at(&self, key: u64) -> &[u32] {
        let mut at = self.start(key);
        while let Some(&(known, from, to)) = self.places.get(at) {
            if to == 0 {
                break;
            }
            if known == key {
                return self.values.get(from as usize..to as usize).unwrap_or_default();
            }
            at = (at + 1) & (self.places.len() - 1);
        }
        &[]
    }
}

pub(super) fn len<T>(of: &[T]) -> u32 {
    u32::try_from(of.len()).unwrap_or(u32::MAX)
}

/// A filter over all places of a value: which of some short runs of bytes stand in it.
///
/// One load, one multiplication and one bit a byte, without a chain from one byte to the next; an
/// automaton over the same patterns waits for memory at each byte.
#[derive(Debug, Default)]
pub(in crate::siem) struct Grams {
    /// Bytes a gram has, 2 or 4.
    width: usize,
    bits: Vec<u64>,
    shift: u32,
    table: Table,
}

impl Grams {
    /// Over these grams, each with a number.
    pub(super) fn new(width: usize, grams: &[(u32, u32)]) -> Self {
        if grams.is_empty() {
            return Self::default();
        }
        // 64 bits a gram: one place in sixty of unrelated text is looked up in vain. At most 16 KiB,
        // half of a core's nearest memory.
        let bits = (grams.len() * 64).next_power_of_two().clamp(64, 1 << 17);
        let mut filter = Self {
            width,
            bits: vec![0; bits / 64],
            shift: 32 - bits.trailing_zeros(),
            table: Table::new(grams.iter().map(|(gram, number)| (u64::from(*gram), *number))),
        };
        for (gram, _) in grams {
            let at = filter.place(*gram);
            if let Some(word) = filter.bits.get_mut((at >> 6) as usize) {
                *word |= 1 << (at & 63);
            }
        }
        filter
    }

    pub(in crate::siem) fn is_empty(&self) -> bool {
        self.bits.is_empty()
    }

    const fn place(&self, gram: u32) -> u32 {
        gram.wrapping_mul(0x9e37_79b1) >> self.shift
    }

    /// Calls `each` with the number of every gram of the value, as often as it stands there.
    pub(in crate::siem) fn scan(&self, value: &[u8], mut each: impl FnMut(u32)) {
        let mut look = |gram: u32| {
            let at = self.place(gram);
            let word = self.bits.get((at >> 6) as usize).copied().unwrap_or(0);
            if word >> (at & 63) & 1 == 1 {
                for number in self.table.at(u64::from(gram)) {
                    each(*number);
                }
            }
        };
        match self.width {
            4 => {
                for window in value.windows(4) {
                    look(window.try_into().map_or(0, u32::from_le_bytes));
                }
            }
            2 => {
                for window in value.windows(2) {
                    look(window.try_into().map_or(0, |pair| u32::from(u16::from_le_bytes(pair))));
                }
            }
            _ => {}
        }
    }
}

/// Lengths of endings that are looked up by hash: the longest that a pattern has.
pub(in crate::siem) const TAILS: [usize; 4] = [2, 4, 8, 12];

/// The last part of a path, with the separator before it; `None` where there is no separator.
pub(in crate::siem) fn last_part(value: &[u8]) -> Option<&[u8]> {
    let at = memchr::memrchr2(b'\\', b'/', value)?;
    value.get(at..)
}

/// The key of an ending of a length.
pub(in crate::siem) fn tail_key(tail: &[u8]) -> u64 {
    hash(tail)
}

/// By which part of a value a pattern is found again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Key {
    /// The whole value.
    Whole(String),
    /// Its first four bytes.
    Head([u8; 4]),
    /// The last part of its path.
    Part(String),
    /// Its last bytes, as many as one of [`TAILS`].
    Tail(String),
    /// Four bytes somewhere in it.
    Gram4([u8; 4]),
    /// Two bytes somewhere in it.
    Gram2([u8; 2]),
    /// That it is there at all.
    Present,
}

/// The index of one field for one group of rules.
#[derive(Debug, Default)]
pub(in crate::siem) struct FieldIndex {
    pub(in crate::siem) whole: Table,
    pub(in crate::siem) head: Table,
    pub(in crate::siem) part: Table,
    pub(in crate::siem) tails: [Table; 4],
    pub(in crate::siem) gram4: Grams,
    pub(in crate::siem) gram2: Grams,
    pub(in crate::siem) present: Vec<u32>,
}

impl FieldIndex {
    pub(super) fn new(keys: &[(Key, u32)]) -> Self {
        let table = |pick: &dyn Fn(&Key) -> Option<u64>| {
            Table::new(keys.iter().filter_map(|(key, n)| pick(key).map(|key| (key, *n))))
        };
        let grams = |width: usize| {
            let pick = |(key, n): &(Key, u32)| match key {
                Key::Gram4(gram) if width == 4 => Some((u32::from_le_bytes(*gram), *n)),
                Key::Gram2(gram) if width == 2 => Some((u32::from(u16::from_le_bytes(*gram)), *n)),
                _ => None,
            };
            Grams::new(width, &keys.iter().filter_map(pick).collect::<Vec<_>>())
        };
        let tails = TAILS.map(|length| {
            table(&|key| match key {
                Key::Tail(tail) if tail.len() == length => Some(tail_key(tail.as_bytes())),
                _ => None,
            })
        });
        Self {
            whole: table(&|key| match key {
                Key::Whole(text) => Some(hash(text.as_bytes())),
                _ => None,
            }),
            head: table(&|key| match key {
                Key::Head(head) => Some(u64::from(u32::from_le_bytes(*head))),
                _ => None,
            }),
            part: table(&|key| match key {
                Key::Part(part) => Some(hash(part.as_bytes())),
                _ => None,
            }),
            tails,
            gram4: grams(4),
            gram2: grams(2),
            present: keys.iter().filter(|(key, _)| *key == Key::Present).map(|(_, n)| *n).collect(),
        }
    }

    /// Whether anything hangs on the value, and not only on its being there.
    pub(in crate::siem) fn reads_value(&self) -> bool {
        !(self.whole.is_empty()
            && self.head.is_empty()
            && self.part.is_empty()
            && self.tails.iter().all(Table::is_empty)
            && self.gram4.is_empty()
            && self.gram2.is_empty())
    }

    /// Whether values are looked at byte by byte.
    pub(in crate::siem) fn scans(&self) -> bool {
        !(self.gram4.is_empty() && self.gram2.is_empty())
    }

    /// Calls `each` with the number of every pattern that could fit a folded value; some come more
    /// than once.
    pub(in crate::siem) fn candidates(&self, value: &[u8], mut each: impl FnMut(u32)) {
        let mut all = |numbers: &[u32]| numbers.iter().for_each(|n| each(*n));
        if !self.whole.is_empty() {
            all(self.whole.at(hash(value)));
        }
        if !self.head.is_empty()
            && let Some(head) = value.first_chunk::<4>()
        {
            all(self.head.at(u64::from(u32::from_le_bytes(*head))));
        }
        if !self.part.is_empty()
            && let Some(part) = last_part(value)
        {
            all(self.part.at(hash(part)));
        }
        for (length, table) in TAILS.iter().zip(&self.tails) {
            if !table.is_empty()
                && let Some(at) = value.len().checked_sub(*length)
            {
                all(table.at(tail_key(value.get(at..).unwrap_or_default())));
            }
        }
        if !self.gram4.is_empty() {
            self.gram4.scan(value, &mut each);
        }
        if !self.gram2.is_empty() {
            self.gram2.scan(value, &mut each);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_finds_its_value_again() {
        let keys = [
            (Key::Whole("cmd.exe".to_owned()), 0),
            (Key::Head(*b"c:\\u"), 1),
            (Key::Part("\\cmd.exe".to_owned()), 2),
            (Key::Tail(".exe".to_owned()), 3),
            (Key::Gram4(*b"mimi"), 4),
            (Key::Gram2(*b"-p"), 5),
        ];
        let index = FieldIndex::new(&keys);
        let found = |value: &str| {
            let mut found = Vec::new();
            index.candidates(value.as_bytes(), |n| found.push(n));
            found.sort_unstable();
            found
        };
        assert_eq!(found("cmd.exe"), [0, 3]);
        assert_eq!(found("c:\\users\\cmd.exe"), [1, 2, 3]);
        assert_eq!(found("x -p mimikatz"), [4, 5]);
        assert_eq!(found(""), [0_u32; 0]);
        assert_eq!(found("-"), [0_u32; 0]);
    }
}
