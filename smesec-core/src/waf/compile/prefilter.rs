//! One automaton over the strings of all rules: a value goes through it once, and the answer is the
//! set of rules that can match.
//!
//! The automaton is that of Aho and Corasick with every transition in a table. Strings are cut to
//! their rarest part, which keeps the table small; what it lets pass, the operator itself decides.

use super::requirement::{MAX_CLAUSES, Requirement, string_likelihood};
use crate::decode::byteset::ByteSet;
use std::collections::{HashMap, VecDeque};

/// The automaton and what each string and byte stands for.
///
/// A rule has a bit in each of [`MAX_CLAUSES`] layers, one for each clause; it can match where all
/// layers have it.
#[derive(Debug)]
pub(crate) struct Prefilter {
    /// For each byte its class, cases folded.
    classes: [u8; 256],
    width: usize,
    /// The next state for each state and class; states from `first_match` on end a string.
    table: Vec<u16>,
    first_match: u16,
    /// For each of those states, where its bits begin and end in `bits`.
    ranges: Vec<(u32, u32)>,
    /// Bits of the layers one after the other.
    bits: Vec<u32>,
    /// The longest string, cut.
    longest: usize,
    /// For each four bytes in a row, and each choice of them, the bits of all layers.
    by_bytes: Vec<u64>,
    /// The bits of clauses that a rule does not have.
    given: Vec<u64>,
    lengths: Lengths,
    words: usize,
}

/// The length that each rule needs of a value.
#[derive(Debug)]
struct Lengths {
    min: Vec<u32>,
    /// For each length up to [`LONG`] the rules that a value of it is long enough for; the last row has all
    /// that need more, too.
    enough: Vec<u64>,
    /// Those, with what they need.
    need_more: Vec<(u16, u32)>,
}

impl Lengths {
    fn new(min: Vec<u32>, words: usize) -> Self {
        let mut enough = vec![0u64; (LONG as usize + 1) * words];
        for (len, row) in (0..=LONG).zip(enough.chunks_exact_mut(words.max(1))) {
            for (rule, _) in min.iter().enumerate().filter(|(_, min)| **min <= len || len == LONG) {
                if let Some(word) = row.get_mut(rule / 64) {
                    *word |= 1 << (rule % 64);
                }
            }
        }
        let need_more = (0u16..).zip(min.iter().copied()).filter(|(_, min)| *min > LONG).collect();
        Self { min, enough, need_more }
    }

    /// Takes the rules away that need a longer value.
    fn apply(&self, len: usize, rules: &mut [u64]) {
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        let row = self.enough.chunks_exact(rules.len().max(1)).nth(len.min(LONG) as usize);
        for (all, enough) in rules.iter_mut().zip(row.unwrap_or_default()) {
            *all &= enough;
        }
        if len >= LONG {
            for (rule, _) in self.need_more.iter().filter(|(_, min)| *min > len) {
                if let Some(word) = rules.get_mut(usize::from(rule / 64)) {
                    *word &= !(1 << (rule % 64));
                }
            }
        }
    }
}

/// Collects requirements while rules are compiled.
#[derive(Debug, Default)]
pub(crate) struct PrefilterBuilder {
    requirements: Vec<Requirement>,
}

/// States that the scans of one transaction have been in, so that a string that occurs again costs
/// nothing.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    marks: Vec<u32>,
    scan: u32,
}

/// The longest parts of strings that are tried first; shorter ones follow if the table gets large.
const LONGEST: usize = 8;
/// Cells of the table: 2 bytes each.
const MAX_CELLS: usize = 700_000;
/// Classes of bytes. Those that few strings hold share the last one.
const MAX_CLASSES: usize = 48;
/// Lengths that have a row of rules each: few rules need more.
const LONG: u32 = 32;
/// From this length on a value is read at four places at once.
const LANES_PAY: usize = 48;

impl PrefilterBuilder {
    /// A bit for a rule, set for every value where nothing is required; `None` when there are too many.
    pub(crate) fn add(&mut self, requirement: Requirement) -> Option<u16> {
        let bit = u16::try_from(self.requirements.len()).ok()?;
        self.requirements.push(requirement);
        Some(bit)
    }

    pub(crate) fn build(self) -> Result<Prefilter, String> {
        let words = self.requirements.len().div_ceil(64);
        let row = words * MAX_CLAUSES;
        let mut given = vec![u64::MAX; row];
        let mut by_byte = vec![0u64; row * 256];
        let mut texts: Vec<(&[u8], u32)> = Vec::new();
        for (rule, requirement) in self.requirements.iter().enumerate() {
            for (layer, clause) in requirement.clauses.iter().take(MAX_CLAUSES).enumerate() {
                let bit = layer * words * 64 + rule;
                if let Some(word) = given.get_mut(bit / 64) {
                    *word &= !(1 << (bit % 64));
                }
                for byte in (0..=u8::MAX).filter(|byte| clause.bytes.contains(*byte)) {
                    if let Some(word) = by_byte.get_mut(usize::from(byte) * row + bit / 64) {
                        *word |= 1 << (bit % 64);
                    }
                }
                let bit = u32::try_from(bit).map_err(|_| "too many rules".to_owned())?;
                texts.extend(clause.strings.iter().map(|string| (string.as_slice(), bit)));
            }
        }
        let min_len = self.requirements.iter();
        let min_len = min_len.map(|r| u32::try_from(r.min_len).unwrap_or(u32::MAX)).collect();
        let lengths = Lengths::new(min_len, words);
        let mut longest = LONGEST;
        let trie = loop {
            if let Some(trie) = Trie::build(&texts, longest) {
                break trie;
            }
            longest -= 1;
            if longest < 2 {
                return Err("the rules' strings make too large an automaton; use fewer".to_owned());
            }
        };
        Ok(trie.finish(longest, by_fours(&by_byte, row), given, lengths, words))
    }
}

/// From rows for each byte to rows for each choice of four neighbours.
fn by_fours(by_byte: &[u64], row: usize) -> Vec<u64> {
    let mut all = Vec::with_capacity(by_byte.len() * 4);
    for four in by_byte.chunks_exact((row * 4).max(1)) {
        for choice in 0..16u32 {
            let start = all.len();
            all.resize(start + row, 0u64);
            for (n, of_byte) in four.chunks_exact(row).enumerate() {
                if choice >> n & 1 == 1 {
                    for (all, more) in all.iter_mut().skip(start).zip(of_byte) {
                        *all |= more;
                    }
                }
            }
        }
    }
    all
}

/// The part of a string that is least likely to occur.
fn rarest_part(text: &[u8], longest: usize) -> &[u8] {
    if text.len() <= longest {
        return text;
    }
    let parts = text.windows(longest);
    parts.min_by(|a, b| string_likelihood(a).total_cmp(&string_likelihood(b))).unwrap_or(text)
}

/// The class of each byte: 0 for those in no string, then the likeliest, the last for those that few
/// strings hold; both cases of a letter are one.
fn classes<'a>(texts: impl Iterator<Item = &'a [u8]>) -> Option<[u8; 256]> {
    let mut counts = [0usize; 256];
    for byte in texts.flatten() {
        *counts.get_mut(usize::from(*byte))? += 1;
    }
    let mut used: Vec<(usize, u8)> =
        counts.into_iter().zip(0..=u8::MAX).filter(|(count, _)| *count > 0).collect();
    used.sort_by_key(|(count, byte)| (std::cmp::Reverse(*count), *byte));
    let mut own = used;
    let rest = own.split_off(own.len().min(MAX_CLASSES - 2));
    own.sort_by(|(_, a), (_, b)| string_likelihood(&[*b]).total_cmp(&string_likelihood(&[*a])));
    let last = u8::try_from(own.len() + 1).ok()?;
    let mut classes = [0u8; 256];
    for (class, (_, byte)) in (1u8..).zip(own) {
        *classes.get_mut(usize::from(byte))? = class;
    }
    for (_, byte) in rest {
        *classes.get_mut(usize::from(byte))? = last;
    }
    for upper in b'A'..=b'Z' {
        *classes.get_mut(usize::from(upper))? =
            *classes.get(usize::from(upper.to_ascii_lowercase()))?;
    }
    Some(classes)
}

/// The automaton while it is built.
struct Trie {
    classes: [u8; 256],
    width: usize,
    /// [`Trie::NONE`] where the tree has no branch.
    next: Vec<u16>,
    /// For each state the bits of the strings that end there.
    bits: Vec<Vec<u32>>,
    depths: Vec<u8>,
}

impl Trie {
    const NONE: u16 = u16::MAX;

    /// The tree of the strings, each cut to `longest` bytes; `None` if it is too large.
    fn build(texts: &[(&[u8], u32)], longest: usize) -> Option<Self> {
        let mut parts: HashMap<Vec<u8>, Vec<u32>> = HashMap::new();
        for (text, bit) in texts {
            parts.entry(rarest_part(text, longest).to_ascii_lowercase()).or_default().push(*bit);
        }
        let mut parts: Vec<(Vec<u8>, Vec<u32>)> = parts.into_iter().collect();
        parts.sort();
        let classes = classes(parts.iter().map(|(text, _)| text.as_slice()))?;
        let width = usize::from(classes.iter().copied().max().unwrap_or(0)) + 1;
        let mut trie = Self {
            classes,
            width,
            next: vec![Self::NONE; width],
            bits: vec![Vec::new()],
            depths: vec![0],
        };
        for (text, bits) in parts {
            let mut at = 0usize;
            for (depth, byte) in (1u8..).zip(text) {
                let class = *trie.classes.get(usize::from(byte))?;
                let cell = at * width + usize::from(class);
                let known = *trie.next.get(cell)?;
                at = if known == Self::NONE {
                    let new = u16::try_from(trie.bits.len()).ok().filter(|n| *n != Self::NONE)?;
                    *trie.next.get_mut(cell)? = new;
                    trie.bits.push(Vec::new());
                    trie.depths.push(depth);
                    trie.next.resize(trie.next.len() + width, Self::NONE);
                    if trie.next.len() > MAX_CELLS {
                        return None;
                    }
                    usize::from(new)
                } else {
                    usize::from(known)
                };
            }
            trie.bits.get_mut(at)?.extend(bits);
        }
        Some(trie)
    }

    /// Fills every cell, and puts the states that end strings last.
    fn finish(
        mut self,
        longest: usize,
        by_bytes: Vec<u64>,
        given: Vec<u64>,
        lengths: Lengths,
        words: usize,
    ) -> Prefilter {
        let width = self.width;
        let states = self.bits.len();
        let mut back = vec![0u16; states];
        let mut queue = VecDeque::from([0u16]);
        while let Some(state) = queue.pop_front() {
            let at = usize::from(state);
            let fallback = usize::from(back.get(at).copied().unwrap_or(0));
            if at != 0 {
                let more = self.bits.get(fallback).cloned().unwrap_or_default();
                if let Some(bits) = self.bits.get_mut(at) {
                    bits.extend(more);
                    bits.sort_unstable();
                    bits.dedup();
                }
            }
            for class in 0..width {
                let other = if at == 0 {
                    0
                } else {
                    self.next.get(fallback * width + class).copied().unwrap_or(0)
                };
                let Some(cell) = self.next.get_mut(at * width + class) else { continue };
                if *cell == Self::NONE {
                    *cell = other;
                } else {
                    queue.push_back(*cell);
                    if let Some(place) = back.get_mut(usize::from(*cell)) {
                        *place = other;
                    }
                }
            }
        }
        let is_match = |state: &usize| self.bits.get(*state).is_some_and(|bits| !bits.is_empty());
        // Values stay near the root: its neighbours stand together.
        let mut by_depth: Vec<usize> = (0..states).collect();
        by_depth.sort_by_key(|state| self.depths.get(*state));
        let mut order: Vec<usize> = by_depth.iter().copied().filter(|s| !is_match(s)).collect();
        let first_match = u16::try_from(order.len()).unwrap_or(u16::MAX);
        order.extend(by_depth.iter().copied().filter(is_match));
        let mut place = vec![0u16; states];
        for (new, old) in (0u16..).zip(&order) {
            if let Some(place) = place.get_mut(*old) {
                *place = new;
            }
        }
        let mut table = Vec::with_capacity(self.next.len());
        let (mut ranges, mut bits) = (Vec::new(), Vec::<u32>::new());
        for old in order {
            let row = self.next.get(old * width..(old + 1) * width).unwrap_or_default();
            table.extend(row.iter().map(|to| place.get(usize::from(*to)).copied().unwrap_or(0)));
            let of_state = self.bits.get(old).map(Vec::as_slice).unwrap_or_default();
            if !of_state.is_empty() {
                let start = u32::try_from(bits.len()).unwrap_or(u32::MAX);
                bits.extend_from_slice(of_state);
                ranges.push((start, u32::try_from(bits.len()).unwrap_or(u32::MAX)));
            }
        }
        bits.shrink_to_fit();
        Prefilter {
            classes: self.classes,
            width,
            table,
            first_match,
            ranges,
            bits,
            longest,
            by_bytes,
            given,
            lengths,
            words,
        }
    }
}

impl Prefilter {
    /// Words of a set of rules.
    pub(crate) const fn words(&self) -> usize {
        self.words
    }

    /// The length of the shortest value that a rule can match.
    pub(crate) fn min_len(&self, bit: u16) -> u32 {
        self.lengths.min.get(usize::from(bit)).copied().unwrap_or(0)
    }

    /// Words of all layers.
    pub(crate) const fn row(&self) -> usize {
        self.words * MAX_CLAUSES
    }

    #[inline]
    fn step(&self, state: u16, byte: u8) -> u16 {
        let class = usize::from(self.classes.get(usize::from(byte)).copied().unwrap_or(0));
        self.table.get(usize::from(state) * self.width + class).copied().unwrap_or(0)
    }

    /// Sets the bits of all clauses one of whose strings may occur in `value`; `row` is of
    /// [`Prefilter::row`] words.
    pub(crate) fn scan(&self, value: &[u8], seen: &mut Seen, row: &mut [u64]) {
        if self.ranges.is_empty() {
            return;
        }
        seen.begin(self.ranges.len());
        let quarter = value.len() / 4;
        let lanes = if value.len() >= LANES_PAY {
            // Each lane but the last reads on to where a string that begins in it would end.
            let more = quarter + self.longest - 1;
            value
                .get(..more)
                .zip(value.get(quarter..quarter + more))
                .zip(value.get(2 * quarter..2 * quarter + more).zip(value.get(3 * quarter..)))
        } else {
            None
        };
        let Some(((first, second), (third, fourth))) = lanes else {
            self.read(value, 0, seen, row);
            return;
        };
        let mut states = [0u16; 4];
        let shared = first.len().min(fourth.len());
        for (((a, b), c), d) in first.iter().zip(second).zip(third).zip(fourth) {
            let [of_a, of_b, of_c, of_d] = states;
            states = [
                self.step(of_a, *a),
                self.step(of_b, *b),
                self.step(of_c, *c),
                self.step(of_d, *d),
            ];
            if states.iter().copied().fold(0, u16::max) >= self.first_match {
                for state in states {
                    if state >= self.first_match {
                        self.mark(state, seen, row);
                    }
                }
            }
        }
        // The last lane may be longer by the division's rest, or shorter by the overlap.
        for (lane, state) in [first, second, third, fourth].into_iter().zip(states) {
            self.read(lane.get(shared..).unwrap_or_default(), state, seen, row);
        }
    }

    #[inline]
    fn read(&self, value: &[u8], from: u16, seen: &mut Seen, row: &mut [u64]) {
        let mut state = from;
        for byte in value {
            state = self.step(state, *byte);
            if state >= self.first_match {
                self.mark(state, seen, row);
            }
        }
    }

    #[inline]
    fn mark(&self, state: u16, seen: &mut Seen, row: &mut [u64]) {
        let of_match = usize::from(state - self.first_match);
        if !seen.is_new(of_match) {
            return;
        }
        let Some(&(start, end)) = self.ranges.get(of_match) else { return };
        for bit in self.bits.get(start as usize..end as usize).unwrap_or_default() {
            if let Some(word) = row.get_mut((*bit / 64) as usize) {
                *word |= 1 << (*bit % 64);
            }
        }
    }

    /// The rules that a value can match, from its strings' bits, its bytes and its length; `out` is
    /// of [`Prefilter::words`] words, `scratch` is used.
    pub(crate) fn decide(
        &self,
        strings: &[u64],
        bytes: ByteSet,
        len: usize,
        scratch: &mut Vec<u64>,
        out: &mut [u64],
    ) {
        let row = self.row();
        scratch.clear();
        scratch.extend(strings.iter().zip(&self.given).map(|(found, given)| found | given));
        let mut groups = self.by_bytes.chunks_exact((row * 256).max(1));
        for word in bytes.words() {
            let group = groups.next().unwrap_or_default();
            let mut left = word;
            while left != 0 {
                let four = left.trailing_zeros() / 4;
                let choice = left >> (four * 4) & 15;
                left &= !(15 << (four * 4));
                let at = (four as usize * 16 + usize::from(choice.to_le_bytes()[0])) * row;
                let of_four = group.get(at..at + row).unwrap_or_default();
                for (all, more) in scratch.iter_mut().zip(of_four) {
                    *all |= more;
                }
            }
        }
        out.fill(u64::MAX);
        for layer in scratch.chunks_exact(self.words.max(1)) {
            for (all, word) in out.iter_mut().zip(layer) {
                *all &= word;
            }
        }
        self.lengths.apply(len, out);
    }

    /// Bytes on the heap.
    pub(crate) fn memory(&self) -> usize {
        self.table.len() * 2
            + self.ranges.len() * 8
            + self.bits.len() * 4
            + self.by_bytes.len() * 8
            + self.lengths.min.len() * 4
            + self.lengths.enough.len() * 8
            + self.lengths.need_more.len() * 8
    }
}

impl Seen {
    fn begin(&mut self, states: usize) {
        self.scan = self.scan.wrapping_add(1);
        if self.scan == 0 || self.marks.len() < states {
            self.marks.clear();
            self.marks.resize(states, 0);
            self.scan = 1;
        }
    }

    #[inline]
    fn is_new(&mut self, state: usize) -> bool {
        let Some(mark) = self.marks.get_mut(state) else { return true };
        let new = *mark != self.scan;
        *mark = self.scan;
        new
    }
}

#[cfg(test)]
mod tests {
    use super::super::requirement::Clause;
    use super::*;

    fn prefilter(rules: &[&[(&[&str], &[u8])]]) -> Prefilter {
        let mut builder = PrefilterBuilder::default();
        for clauses in rules {
            let clauses = clauses.iter().map(|(strings, bytes)| Clause {
                strings: strings.iter().map(|s| s.as_bytes().to_vec()).collect(),
                bytes: ByteSet::of_bytes(bytes),
            });
            let requirement = Requirement { clauses: clauses.collect(), min_len: 2 };
            builder.add(requirement).unwrap();
        }
        builder.build().unwrap()
    }

    fn rules(prefilter: &Prefilter, value: &[u8]) -> Vec<usize> {
        let mut row = vec![0; prefilter.row()];
        prefilter.scan(value, &mut Seen::default(), &mut row);
        let mut out = vec![0; prefilter.words()];
        let set = ByteSet::scan(value);
        prefilter.decide(&row, set, value.len(), &mut Vec::new(), &mut out);
        (0..out.len() * 64).filter(|n| crate::waf::bits::bit(&out, *n)).collect()
    }

    #[test]
    fn a_rule_needs_all_its_clauses() {
        let filter = prefilter(&[
            &[(&["select"], b""), (&["union"], b"")],
            &[(&["sel", "information_schema"], b"(")],
            &[(&[], b"x"), (&["he", "she", "hers"], b"")],
        ]);
        assert_eq!(rules(&filter, b"UNION SELECT"), [0, 1]);
        assert_eq!(rules(&filter, b"select"), [1]);
        assert_eq!(rules(&filter, b"from INFORMATION_SCHEMA."), [1]);
        assert_eq!(rules(&filter, b"f("), [1]);
        assert_eq!(rules(&filter, b"("), [0usize; 0]);
        assert_eq!(rules(&filter, b"ushersx"), [2]);
        assert_eq!(rules(&filter, b"ushers"), [0usize; 0]);
    }

    #[test]
    fn long_values_are_read_at_four_places_and_nothing_is_lost_between() {
        let filter = prefilter(&[&[(&["needles"], b"")], &[(&["ab"], b"")]]);
        for len in [47usize, 48, 49, 50, 51, 52, 90, 300, 1_021] {
            for at in 0..len - 7 {
                let mut value = vec![b'.'; len];
                value[at..at + 7].copy_from_slice(b"NEEDLES");
                assert_eq!(rules(&filter, &value), [0], "{len} {at}");
            }
            let mut value = vec![b'.'; len];
            value[len - 2..].copy_from_slice(b"ab");
            assert_eq!(rules(&filter, &value), [1], "{len}");
        }
    }
}
