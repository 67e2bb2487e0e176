//! What every match of a pattern must contain: a few clauses, each a choice of strings and bytes.

use crate::decode::byteset::ByteSet;
use regex_syntax::hir::{Class, Hir, HirKind};
use std::collections::HashSet;

/// One of `strings`, compared without case, or one of `bytes` occurs in every match.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Clause {
    /// In lower case, of two bytes or more.
    pub(crate) strings: Vec<Vec<u8>>,
    pub(crate) bytes: ByteSet,
}

/// What a value must have for an operator to match. All of it holds at once; a rule whose value
/// lacks any of it need not run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Requirement {
    /// At most [`MAX_CLAUSES`], the one that rules the most values out first.
    pub(crate) clauses: Vec<Clause>,
    pub(crate) min_len: usize,
}

/// Clauses of one requirement: a third seldom rules out what two let pass.
pub(crate) const MAX_CLAUSES: usize = 2;
/// Strings of one clause; more make the automaton large for little.
const MAX_SET: usize = 1_500;
/// Bytes of one string that are kept.
const MAX_STRING: usize = 40;
/// Strings that a piece of a pattern may stand for and still be multiplied out.
const MAX_CROSS: usize = 64;
/// Bytes of a class that is multiplied out.
const MAX_CLASS: usize = 16;
/// A clause that a value holds more often than this, per byte, rules nothing out.
const USELESS: f64 = 0.5;
/// Optional pieces rarer than this are taken to be absent, and their bytes join the clause.
const RARE: f64 = 0.06;
/// The same where the piece stands for a few texts that could be multiplied out.
const RARE_BYTE: f64 = 0.01;
/// A further clause that a value holds more often than this is not worth its look.
const WEAK: f64 = 0.06;

impl Requirement {
    /// One of these bytes.
    pub(crate) fn bytes(bytes: ByteSet) -> Self {
        Self { clauses: vec![Clause { strings: Vec::new(), bytes }], min_len: 1 }
    }

    /// One of these texts, compared without case; nothing is required if one of them is empty.
    pub(crate) fn texts<'a>(texts: impl Iterator<Item = &'a [u8]>) -> Self {
        let set: Vec<Vec<u8>> = texts.map(<[u8]>::to_ascii_lowercase).collect();
        let min_len = set.iter().map(Vec::len).min().unwrap_or(0);
        Self { clauses: clause_of(&set, ByteSet::EMPTY).into_iter().collect(), min_len }
    }

    /// What every match of a pattern has.
    pub(crate) fn of_pattern(hir: &Hir) -> Self {
        let info = analyse(hir, 0);
        let mut all = info.all_clauses();
        all.retain(|clause| likelihood(clause) < USELESS);
        let mut clauses: Vec<Clause> = Vec::new();
        for mut clause in all {
            let weak = !clauses.is_empty() && likelihood(&clause) > WEAK;
            if weak || clauses.iter().any(|known| implies(known, &clause)) {
                continue;
            }
            prune(&mut clause);
            clauses.push(clause);
            if clauses.len() == MAX_CLAUSES {
                break;
            }
        }
        Self { clauses, min_len: hir.properties().minimum_len().unwrap_or(0) }
    }

    pub(crate) fn is_nothing(&self) -> bool {
        self.clauses.is_empty()
    }
}

/// What is known of a piece of a pattern.
struct Info {
    /// All the texts it can match, in lower case, in values without a byte of `gap`.
    exact: Option<Vec<Vec<u8>>>,
    gap: ByteSet,
    /// Besides what `exact` says; the rarest first.
    clauses: Vec<Clause>,
    /// Every match that is not empty holds one of these bytes.
    some: ByteSet,
    nullable: bool,
}

impl Info {
    const NOTHING: Self = Self {
        exact: None,
        gap: ByteSet::EMPTY,
        clauses: Vec::new(),
        some: ByteSet::FULL,
        nullable: true,
    };

    fn all_clauses(self) -> Vec<Clause> {
        let mut all = self.clauses;
        all.extend(self.exact.and_then(|set| clause_of(&set, self.gap)));
        rarest(all)
    }
}

/// Sorts by likelihood and keeps the best few.
fn rarest(all: Vec<Clause>) -> Vec<Clause> {
    let mut all: Vec<(f64, Clause)> =
        all.into_iter().map(|clause| (likelihood(&clause), clause)).collect();
    all.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    all.truncate(2 * MAX_CLAUSES);
    all.into_iter().map(|(_, clause)| clause).collect()
}

/// The clause that says that one of the texts occurs, or a byte of `gap`.
fn clause_of(set: &[Vec<u8>], gap: ByteSet) -> Option<Clause> {
    let mut clause = Clause { strings: Vec::new(), bytes: gap };
    for text in set {
        match text.as_slice() {
            [] => return None,
            [byte] => {
                clause.bytes =
                    clause.bytes.with(byte.to_ascii_lowercase()).with(byte.to_ascii_uppercase());
            }
            text => clause.strings.push(text.get(..MAX_STRING).unwrap_or(text).to_vec()),
        }
    }
    (!clause.strings.is_empty() || !clause.bytes.is_empty()).then_some(clause)
}

fn analyse(hir: &Hir, depth: u32) -> Info {
    if depth > 200 {
        return Info::NOTHING;
    }
    let nullable = hir.properties().minimum_len().unwrap_or(0) == 0;
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Info {
            exact: Some(vec![Vec::new()]),
            gap: ByteSet::EMPTY,
            clauses: Vec::new(),
            some: ByteSet::EMPTY,
            nullable: true,
        },
        HirKind::Literal(literal) => {
            let rare = literal.0.iter().min_by(|a, b| frequency(**a).total_cmp(&frequency(**b)));
            let some = rare.map_or(ByteSet::EMPTY, |byte| ByteSet::EMPTY.with(*byte));
            let text = literal.0.to_ascii_lowercase();
            if text.len() > MAX_STRING {
                let clauses = clause_of(&[text], ByteSet::EMPTY).into_iter().collect();
                return Info { exact: None, gap: ByteSet::EMPTY, clauses, some, nullable };
            }
            Info {
                exact: Some(vec![text]),
                gap: ByteSet::EMPTY,
                clauses: Vec::new(),
                some,
                nullable,
            }
        }
        HirKind::Class(Class::Bytes(class)) => {
            let (mut some, mut set) = (ByteSet::EMPTY, Vec::new());
            for range in class.ranges() {
                some = some.with_range(range.start(), range.end());
                set.extend((range.start()..=range.end()).map(|b| vec![b.to_ascii_lowercase()]));
            }
            set.sort();
            set.dedup();
            let exact = (set.len() <= MAX_CLASS).then_some(set);
            let clause = Clause { strings: Vec::new(), bytes: some };
            let clauses = if likelihood(&clause) < USELESS { vec![clause] } else { Vec::new() };
            Info { exact, gap: ByteSet::EMPTY, clauses, some, nullable: false }
        }
        HirKind::Class(Class::Unicode(_)) => Info::NOTHING,
        HirKind::Repetition(rep) => {
            let sub = analyse(&rep.sub, depth + 1);
            let some = sub.some;
            if rep.min == 0 {
                let mut exact = sub.exact.filter(|set| rep.max == Some(1) && set.len() < MAX_CROSS);
                if let Some(set) = &mut exact {
                    set.push(Vec::new());
                }
                return Info { exact, gap: sub.gap, clauses: Vec::new(), some, nullable };
            }
            if rep.min == 1 && rep.max == Some(1) {
                return sub;
            }
            let clauses = sub.all_clauses();
            Info { exact: None, gap: ByteSet::EMPTY, clauses, some, nullable }
        }
        HirKind::Capture(capture) => analyse(&capture.sub, depth + 1),
        HirKind::Concat(subs) => concat(subs, depth, nullable),
        HirKind::Alternation(subs) => alternation(subs, depth, nullable),
    }
}

fn alternation(subs: &[Hir], depth: u32, nullable: bool) -> Info {
    let branches: Vec<Info> = subs.iter().map(|sub| analyse(sub, depth + 1)).collect();
    let (mut some, mut gap) = (ByteSet::EMPTY, ByteSet::EMPTY);
    let mut exact = Some(Vec::new());
    for branch in &branches {
        some = some.union(branch.some);
        gap = gap.union(branch.gap);
        match (&mut exact, &branch.exact) {
            (Some(all), Some(set)) if all.len() + set.len() <= MAX_SET => {
                all.extend(set.iter().cloned());
            }
            _ => exact = None,
        }
    }
    if let Some(set) = &mut exact {
        set.sort();
        set.dedup();
    } else {
        gap = ByteSet::EMPTY;
    }
    // The n-th clause of the whole joins the n-th of each branch; any choice of one a branch holds.
    let mut lists: Vec<Vec<Clause>> = branches.into_iter().map(Info::all_clauses).collect();
    let depths = lists.iter().map(Vec::len).max().unwrap_or(0).min(MAX_CLAUSES);
    let mut clauses = Vec::new();
    if !lists.iter().any(Vec::is_empty) {
        for rank in 0..depths {
            let mut joined = Clause { strings: Vec::new(), bytes: ByteSet::EMPTY };
            for list in &mut lists {
                let Some(clause) = list.get(rank).or(list.last()) else { continue };
                joined.bytes = joined.bytes.union(clause.bytes);
                joined.strings.extend(clause.strings.iter().cloned());
            }
            joined.strings.sort();
            joined.strings.dedup();
            for cut in [5, 4, 3] {
                if joined.strings.len() > MAX_SET {
                    joined.strings.iter_mut().for_each(|string| string.truncate(cut));
                    joined.strings.dedup();
                }
            }
            if joined.strings.len() > MAX_SET {
                joined = only_bytes(&joined);
            }
            clauses.push(joined);
        }
    }
    Info { exact, gap, clauses: rarest(clauses), some, nullable }
}

/// The same, weaker, with a byte for each string.
fn only_bytes(clause: &Clause) -> Clause {
    let mut bytes = clause.bytes;
    for string in &clause.strings {
        let rare = string.iter().min_by(|a, b| frequency(**a).total_cmp(&frequency(**b)));
        if let Some(byte) = rare {
            bytes = bytes.with(byte.to_ascii_lowercase()).with(byte.to_ascii_uppercase());
        }
    }
    Clause { strings: Vec::new(), bytes }
}

/// A stretch of pieces whose texts are multiplied out.
struct Run {
    texts: Vec<Vec<u8>>,
    gap: ByteSet,
}

impl Run {
    fn empty() -> Self {
        Self { texts: vec![Vec::new()], gap: ByteSet::EMPTY }
    }

    fn clause(&self) -> Option<Clause> {
        clause_of(&self.texts, self.gap)
    }

    fn fits(&self, set: &[Vec<u8>]) -> bool {
        let longest = |set: &[Vec<u8>]| set.iter().map(Vec::len).max().unwrap_or(0);
        self.texts.len() * set.len() <= MAX_CROSS
            && longest(&self.texts) + longest(set) <= MAX_STRING
    }

    fn cross(&mut self, set: &[Vec<u8>]) {
        let mut all = Vec::with_capacity(self.texts.len() * set.len());
        for head in &self.texts {
            for tail in set {
                let mut text = head.clone();
                text.extend_from_slice(tail);
                all.push(text);
            }
        }
        all.sort();
        all.dedup();
        self.texts = all;
    }
}

fn concat(subs: &[Hir], depth: u32, nullable: bool) -> Info {
    let mut run = Run::empty();
    let mut whole = true;
    let mut clauses: Vec<Clause> = Vec::new();
    let mut some_of_all = ByteSet::EMPTY;
    let mut some_of_one: Option<ByteSet> = None;
    for sub in subs {
        let info = analyse(sub, depth + 1);
        some_of_all = some_of_all.union(info.some);
        if !info.nullable
            && some_of_one.is_none_or(|best| byte_likelihood(info.some) < byte_likelihood(best))
        {
            some_of_one = Some(info.some);
        }
        // A rare optional piece: absent, or its bytes are in the value. What occurs in names, such as
        // an underscore, is rather multiplied out where that can be done.
        let likely = byte_likelihood(info.some);
        let short = info.exact.as_ref().is_some_and(|set| set.len() <= 4 && run.fits(set));
        if info.nullable
            && !info.some.is_empty()
            && likely < if short { RARE_BYTE } else { RARE }
            && !info.some.intersects(WORD)
        {
            run.gap = run.gap.union(info.some);
            continue;
        }
        match info.exact {
            Some(set) if run.fits(&set) => {
                run.cross(&set);
                run.gap = run.gap.union(info.gap);
                clauses.extend(info.clauses.into_iter().filter(|c| !c.strings.is_empty()));
            }
            exact => {
                clauses.extend(run.clause());
                clauses.extend(info.clauses);
                whole = false;
                run = match exact {
                    Some(set) if set.len() <= MAX_CROSS => Run { texts: set, gap: info.gap },
                    Some(set) => {
                        clauses.extend(clause_of(&set, info.gap));
                        Run::empty()
                    }
                    None => Run::empty(),
                };
            }
        }
    }
    let some = some_of_one.unwrap_or(some_of_all);
    if whole {
        let clauses = rarest(clauses);
        return Info { exact: Some(run.texts), gap: run.gap, clauses, some, nullable };
    }
    clauses.extend(run.clause());
    Info { exact: None, gap: ByteSet::EMPTY, clauses: rarest(clauses), some, nullable }
}

/// Letters and digits, which no value lacks for long.
const WORD: ByteSet =
    ByteSet::EMPTY.with_range(b'0', b'9').with_range(b'A', b'Z').with_range(b'a', b'z');

/// Whether a value that holds to `a` holds to `b` too.
fn implies(a: &Clause, b: &Clause) -> bool {
    a.bytes.is_subset(b.bytes)
        && a.strings.iter().all(|string| {
            // Strings are compared without case: both cases of a byte must be in the set.
            string.iter().any(|byte| {
                b.bytes.contains(byte.to_ascii_lowercase())
                    && b.bytes.contains(byte.to_ascii_uppercase())
            }) || b.strings.contains(string)
        })
}

/// Drops strings that another of the clause, or a byte of it, implies.
fn prune(clause: &mut Clause) {
    let known: HashSet<&[u8]> = clause.strings.iter().map(Vec::as_slice).collect();
    let implied = |string: &Vec<u8>| {
        string.iter().any(|byte| {
            clause.bytes.contains(byte.to_ascii_lowercase())
                && clause.bytes.contains(byte.to_ascii_uppercase())
        }) || (2..string.len()).any(|len| string.windows(len).any(|part| known.contains(part)))
    };
    let keep: Vec<bool> = clause.strings.iter().map(|string| !implied(string)).collect();
    let mut keep = keep.into_iter();
    clause.strings.retain(|_| keep.next().unwrap_or(true));
}

/// How often, roughly, a byte of a value begins what the clause asks for.
fn likelihood(clause: &Clause) -> f64 {
    let strings: f64 = clause.strings.iter().map(|string| string_likelihood(string)).sum();
    strings + byte_likelihood(clause.bytes)
}

/// How often a string occurs, per byte of value.
pub(super) fn string_likelihood(string: &[u8]) -> f64 {
    let independent: f64 = string.iter().map(|byte| frequency(*byte)).product();
    // Letters follow each other more often than chance has it.
    let words = string.iter().all(u8::is_ascii_alphabetic);
    independent * if words { if string.len() == 2 { 4.0 } else { 2.0 } } else { 1.0 }
}

fn byte_likelihood(bytes: ByteSet) -> f64 {
    let mut sum = 0.0;
    for (first, word) in (0u8..=192).step_by(64).zip(bytes.words()) {
        let mut left = word;
        while left != 0 {
            sum += frequency(first | left.trailing_zeros().to_le_bytes()[0]);
            left &= left - 1;
        }
    }
    sum
}

/// Shares of bytes in web traffic and English prose, in orders of magnitude.
#[expect(clippy::indexing_slicing, reason = "a table of 256 entries indexed by a byte")]
static FREQUENCIES: [f64; 256] = {
    let mut all = [0.0; 256];
    let mut byte = 0u8;
    loop {
        all[byte as usize] = share(byte);
        if byte == u8::MAX {
            break all;
        }
        byte += 1;
    }
};

fn frequency(byte: u8) -> f64 {
    FREQUENCIES.get(usize::from(byte)).copied().unwrap_or(0.0)
}

const fn share(byte: u8) -> f64 {
    match byte {
        b' ' => 0.12,
        b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' => 0.07,
        b'h' | b'l' | b'd' | b'c' | b'u' | b'm' => 0.03,
        b'f' | b'p' | b'g' | b'w' | b'y' | b'b' | b'v' | b'k' => 0.016,
        b'.' | b',' | b'-' | b'/' | b'0'..=b'9' | b'_' => 0.012,
        b'x' | b'j' | b'q' | b'z' | b'=' | b'\'' | b'"' | b'(' | b')' | b':' | b'\n' => 0.006,
        b'A'..=b'Z' | b'%' | b'&' | b';' => 0.004,
        _ if byte.is_ascii_graphic() => 0.002,
        _ => 0.0005,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waf::compile::pattern::Pattern;

    fn of(pattern: &str) -> Requirement {
        Pattern::new(pattern, false).unwrap().requirement().clone()
    }

    fn clause(strings: &[&str], bytes: &[u8]) -> Clause {
        Clause {
            strings: strings.iter().map(|s| s.as_bytes().to_vec()).collect(),
            bytes: ByteSet::of_bytes(bytes),
        }
    }

    #[test]
    fn clauses_are_found_inside() {
        let both = of("(?i)union.*?select");
        assert_eq!(both.clauses.len(), 2);
        assert!(both.clauses.contains(&clause(&["select"], b"")));
        assert!(both.clauses.contains(&clause(&["union"], b"")));
        assert_eq!(both.min_len, 11);
        assert_eq!(of("foo|ba[rz]x").clauses.first(), Some(&clause(&["barx", "bazx", "foo"], b"")));
        assert_eq!(of(r"\d+").clauses, vec![clause(&[], b"0123456789")]);
        assert!(of("a*").is_nothing() && of("(?:abc)?").is_nothing());
    }

    #[test]
    fn rare_optional_pieces_become_bytes_and_one_byte_branches_too() {
        assert_eq!(of(r#"(?i)c["'\\]*a["'\\]*t"#).clauses, vec![clause(&["cat"], b"\"'\\")]);
        assert_eq!(of(r"==|!|in\s*\(").clauses.first(), Some(&clause(&["=="], b"!(")));
    }

    #[test]
    fn whatever_matches_holds_all_clauses() {
        let values: Vec<Vec<u8>> = {
            let pieces: [&[u8]; 14] = [
                b"c", b"A", b"t", b"\"", b"'", b"(", b" ", b"in", b"sel", b"ECT", b"=", b"1",
                b"\\", b"x",
            ];
            let mut values = vec![Vec::new()];
            for n in 0..3_000usize {
                let text =
                    (0..=n % 6).map(|k| pieces[(n * (7 + 2 * k) / (k * k + 1) + k * 5) % 14]);
                values.push(text.collect::<Vec<_>>().concat());
            }
            values
        };
        let mut matched = 0;
        for pattern in [
            r#"(?i)c["'\\]*a["'\\]*t"#,
            r#"(?i)(?:^|[ (])c(?:"?a"?|x)t?"#,
            r"(?i)in\s*\(|select|[^a-z]=(?:1|x)",
            r#"(?:x?"|=)1(?:t|in)+"#,
            r#"(?i)(?:a|sel)(?:ect)?["']?(?:t| )"#,
            r"(?i)(?:\(\s*)?(?:in|c)x{1,2}",
            r"[^ ]x|t\b",
        ] {
            let compiled = Pattern::new(pattern, false).unwrap();
            let requirement = compiled.requirement();
            for value in &values {
                if !compiled.is_match(value) {
                    continue;
                }
                matched += 1;
                let set = ByteSet::scan(value);
                let lower = value.to_ascii_lowercase();
                assert!(value.len() >= requirement.min_len, "{pattern}");
                for clause in &requirement.clauses {
                    let holds = set.intersects(clause.bytes)
                        || clause.strings.iter().any(|s| lower.windows(s.len()).any(|w| w == s));
                    assert!(holds, "{pattern} on {}: {clause:?}", value.escape_ascii());
                }
            }
        }
        assert!(matched > 500, "{matched}");
    }
}
