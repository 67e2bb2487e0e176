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
        let mut pairs: Vec<(u64, u32)> = pairs.into_iter().collect();
        if pairs.is_empty() {
            return Self::default();
        }
        pairs.sort_unstable();
        pairs.dedup();
        let keys = pairs.chunk_by(|(a, _), (b, _)| a == b);
        let size = (keys.clone().count() * 2).next_power_of_two();
        let mut table = Self {
            places: vec![(0, 0, 0); size],
            values: pairs.iter().map(|(_, value)| *value).collect(),
        };
        let mut from = 0;
        for run in keys {
            let (key, to) = (run.first().map_or(0, |(key, _)| *key), from + len(run));
            let mut at = table.start(key);
            while let Some(place) = table.places.get_mut(at) {
                if place.2 == 0 {
                    *place = (key, from, to);
                    break;
                }
                at = (at + 1) & (size - 1);
            }
            from = to;
        }
        table
    }

    pub(in crate::siem) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Grams differ in few bits and those lie anywhere, so all of a key decides.
    fn start(&self, key: u64) -> usize {
        (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize
            & (self.places.len().wrapping_sub(1))
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

/// A filter over all places of a value: which of some short runs of bytes stand in it, in either case.
///
/// One load, one multiplication and one bit a byte, without a chain from one byte to the next; an
/// automaton over the same patterns waits for memory at each byte.
#[derive(Debug, Default)]
pub(in crate::siem) struct Grams {
    bits: Bits,
    table: Table,
    step: Step,
}

/// What is looked at, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Step {
    /// Two bytes from each place.
    Pairs,
    /// Four bytes from each place.
    #[default]
    All,
    /// Four bytes from each fourth place: whatever is sought has seven, of which all four grams are known.
    Fourth,
}

/// A bit for each hash of a gram; in sizes that are known when the loop over them is compiled.
#[derive(Debug, Default)]
enum Bits {
    #[default]
    None,
    Few(Box<[u64; 64]>),
    Some(Box<[u64; 512]>),
    /// 16 KiB, half of a core's nearest memory.
    Many(Box<[u64; 2_048]>),
}

/// Makes upper case lower, and some signs others: a filter may. What is not ASCII comes folded.
const BLIND: u32 = 0x2020_2020;

impl Grams {
    fn new(step: Step, grams: &[(u32, u32)]) -> Self {
        let blind =
            |gram: u32| if step == Step::Pairs { gram | BLIND & 0xffff } else { gram | BLIND };
        let mut bits = match grams.len() {
            // 64 bits a gram: one place in sixty of unrelated text is looked up in vain.
            0 => Bits::None,
            1..=64 => Bits::Few(Box::new([0; 64])),
            65..=512 => Bits::Some(Box::new([0; 512])),
            _ => Bits::Many(Box::new([0; 2_048])),
        };
        for (gram, _) in grams {
            match &mut bits {
                Bits::None => {}
                Bits::Few(bits) => set(bits, blind(*gram)),
                Bits::Some(bits) => set(bits, blind(*gram)),
                Bits::Many(bits) => set(bits, blind(*gram)),
            }
        }
        let table =
            Table::new(grams.iter().map(|(gram, number)| (u64::from(blind(*gram)), *number)));
        Self { bits, table, step }
    }

    fn is_empty(&self) -> bool {
        matches!(self.bits, Bits::None)
    }

    /// Calls `each` with the number of every gram of the value and its place, as often as it stands there.
    fn scan(&self, value: &[u8], mut each: impl FnMut(u32, usize)) {
        let mut found = |gram: u32, at: usize| {
            for number in self.table.at(u64::from(gram)) {
                each(*number, at);
            }
        };
        match &self.bits {
            Bits::None => {}
            Bits::Few(bits) => scan(bits, self.step, value, &mut found),
            Bits::Some(bits) => scan(bits, self.step, value, &mut found),
            Bits::Many(bits) => scan(bits, self.step, value, &mut found),
        }
    }
}

const fn place<const N: usize>(gram: u32) -> u32 {
    gram.wrapping_mul(0x9e37_79b1) >> (32 - (N * 64).trailing_zeros())
}

fn set<const N: usize>(bits: &mut [u64; N], gram: u32) {
    let at = place::<N>(gram);
    if let Some(word) = bits.get_mut((at >> 6) as usize) {
        *word |= 1 << (at & 63);
    }
}

fn test<const N: usize>(bits: &[u64; N], gram: u32) -> u64 {
    let at = place::<N>(gram);
    bits.get((at >> 6) as usize).copied().unwrap_or(0) >> (at & 63)
}

fn scan<const N: usize>(
    bits: &[u64; N],
    step: Step,
    value: &[u8],
    found: &mut impl FnMut(u32, usize),
) {
    match step {
        Step::Pairs => each_place::<N, 2>(bits, value, found),
        Step::All => each_place::<N, 4>(bits, value, found),
        Step::Fourth => each_fourth(bits, value, found),
    }
}

/// Four places at once, so that one jump, which is seldom taken, answers for them.
#[inline]
fn four<const N: usize>(
    bits: &[u64; N],
    grams: [u32; 4],
    at: usize,
    stride: usize,
    found: &mut impl FnMut(u32, usize),
) {
    let [a, b, c, d] = grams.map(|gram| test(bits, gram));
    if (a | b | c | d) & 1 == 1 {
        some_of(bits, grams, at, stride, found);
    }
}

#[inline(never)]
fn some_of<const N: usize>(
    bits: &[u64; N],
    grams: [u32; 4],
    at: usize,
    stride: usize,
    found: &mut impl FnMut(u32, usize),
) {
    for (gram, n) in grams.into_iter().zip(0..) {
        if test(bits, gram) & 1 == 1 {
            found(gram, at + n * stride);
        }
    }
}

fn each_place<const N: usize, const WIDTH: usize>(
    bits: &[u64; N],
    value: &[u8],
    found: &mut impl FnMut(u32, usize),
) {
    let gram = |bytes: [u8; 4]| {
        let gram = u32::from_le_bytes(bytes) | BLIND;
        if WIDTH == 2 { gram & 0xffff } else { gram }
    };
    let (mut rest, mut at) = (value, 0);
    while let Some(&[a, b, c, d, e, f, g, _]) = rest.first_chunk::<8>() {
        let grams =
            [gram([a, b, c, d]), gram([b, c, d, e]), gram([c, d, e, f]), gram([d, e, f, g])];
        four(bits, grams, at, 1, found);
        rest = rest.get(4..).unwrap_or_default();
        at += 4;
    }
    for (window, n) in rest.windows(WIDTH).zip(0..) {
        let mut bytes = [0; 4];
        for (to, from) in bytes.iter_mut().zip(window) {
            *to = *from;
        }
        if test(bits, gram(bytes)) & 1 == 1 {
            found(gram(bytes), at + n);
        }
    }
}

fn each_fourth<const N: usize>(bits: &[u64; N], value: &[u8], found: &mut impl FnMut(u32, usize)) {
    let gram = |bytes: [u8; 4]| u32::from_le_bytes(bytes) | BLIND;
    let (sixteens, rest) = value.as_chunks::<16>();
    let mut at = 0;
    for &[a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] in sixteens {
        let grams =
            [gram([a, b, c, d]), gram([e, f, g, h]), gram([i, j, k, l]), gram([m, n, o, p])];
        four(bits, grams, at, 4, found);
        at += 16;
    }
    for bytes in rest.as_chunks::<4>().0 {
        if test(bits, gram(*bytes)) & 1 == 1 {
            found(gram(*bytes), at);
        }
        at += 4;
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
    /// Four bytes somewhere in it, and seven that it has if it is that long.
    Gram4([u8; 4], Option<[u8; 7]>),
    /// Two bytes somewhere in it.
    Gram2([u8; 2]),
    /// A byte somewhere in it.
    Byte(u8),
    /// That it is there at all.
    Present,
}

/// The index of one field for one group of rules.
#[derive(Debug, Default)]
pub(in crate::siem) struct FieldIndex {
    whole: Table,
    head: Table,
    part: Table,
    tails: [Table; 4],
    bytes: Vec<(u8, Vec<u32>)>,
    gram4: Grams,
    gram2: Grams,
    pub(in crate::siem) present: Vec<u32>,
}

impl FieldIndex {
    pub(super) fn new(keys: &[(Key, u32)]) -> Self {
        let table = |pick: &dyn Fn(&Key) -> Option<u64>| {
            Table::new(keys.iter().filter_map(|(key, n)| pick(key).map(|key| (key, *n))))
        };
        let tails = TAILS.map(|length| {
            table(&|key| match key {
                Key::Tail(tail) if tail.len() == length => Some(tail_key(tail.as_bytes())),
                _ => None,
            })
        });
        let pairs: Vec<(u32, u32)> = keys
            .iter()
            .filter_map(|(key, n)| match key {
                Key::Gram2(pair) => Some((u32::from(u16::from_le_bytes(*pair)), *n)),
                _ => None,
            })
            .collect();
        let mut bytes: Vec<(u8, Vec<u32>)> = Vec::new();
        for (key, number) in keys {
            let Key::Byte(byte) = key else { continue };
            match bytes.iter_mut().find(|(known, _)| known == byte) {
                Some((_, numbers)) => numbers.push(*number),
                None => bytes.push((*byte, vec![*number])),
            }
        }
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
            bytes,
            gram4: fours(keys),
            gram2: Grams::new(Step::Pairs, &pairs),
            present: keys.iter().filter(|(key, _)| *key == Key::Present).map(|(_, n)| *n).collect(),
        }
    }

    /// Whether anything hangs on the value, and not only on its being there.
    pub(in crate::siem) fn reads_value(&self) -> bool {
        self.compares() || self.scans()
    }

    /// Whether values are compared, by whole, beginning or ending.
    pub(in crate::siem) fn compares(&self) -> bool {
        !(self.whole.is_empty()
            && self.head.is_empty()
            && self.part.is_empty()
            && self.tails.iter().all(Table::is_empty))
    }

    /// Whether values are looked at byte by byte.
    pub(in crate::siem) fn scans(&self) -> bool {
        !(self.gram4.is_empty() && self.gram2.is_empty() && self.bytes.is_empty())
    }

    /// Calls `each` with the number of every pattern that could fit a folded value; some come more
    /// than once.
    pub(in crate::siem) fn candidates(&self, value: &[u8], mut each: impl FnMut(u32)) {
        self.compare(value, &mut each);
        self.scan(value, |number, _| each(number));
    }

    /// The part of [`Self::candidates`] that looks at places, with those; the case of ASCII does not matter.
    pub(in crate::siem) fn scan(&self, text: &[u8], mut each: impl FnMut(u32, usize)) {
        self.gram4.scan(text, &mut each);
        self.gram2.scan(text, &mut each);
        for (byte, numbers) in &self.bytes {
            for at in memchr::memchr_iter(*byte, text) {
                for number in numbers {
                    each(*number, at);
                }
            }
        }
    }

    /// The other part.
    pub(in crate::siem) fn compare(&self, value: &[u8], mut each: impl FnMut(u32)) {
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
    }
}

/// The filter for keys of four bytes: over each fourth place, if all keys are long enough for that.
fn fours(keys: &[(Key, u32)]) -> Grams {
    let known = keys.iter().filter_map(|(key, n)| match key {
        Key::Gram4(gram, run) => Some((*gram, *run, *n)),
        _ => None,
    });
    let mut spread = Vec::new();
    for (_, run, number) in known.clone() {
        let Some(run) = run else {
            let grams: Vec<_> = known.map(|(gram, _, n)| (u32::from_le_bytes(gram), n)).collect();
            return Grams::new(Step::All, &grams);
        };
        for gram in run.windows(4).filter_map(<[u8]>::first_chunk::<4>) {
            spread.push((u32::from_le_bytes(*gram), number));
        }
    }
    Grams::new(Step::Fourth, &spread)
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
            (Key::Gram4(*b"mimi", None), 4),
            (Key::Gram2(*b"-p"), 5),
            (Key::Byte(b'`'), 6),
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
        assert_eq!(found("a`b"), [6]);
    }

    #[test]
    fn a_long_key_is_found_at_each_place_and_in_either_case() {
        let spread = FieldIndex::new(&[(Key::Gram4(*b"ekat", Some(*b"mimikat")), 0)]);
        let plain = FieldIndex::new(&[(Key::Gram4(*b"mika", None), 0)]);
        for before in 0..40 {
            for after in 0..20 {
                let text = format!("{}MimiKat{}", "x".repeat(before), "y".repeat(after));
                for index in [&spread, &plain] {
                    let mut places = Vec::new();
                    index.scan(text.as_bytes(), |_, at| places.push(at));
                    let [at] = places.as_slice() else { panic!("{text}: {places:?}") };
                    assert!((before..before + 4).contains(at), "{text}: {at}");
                }
            }
        }
    }
}
