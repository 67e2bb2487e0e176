//! Witnesses: for each rule, few rare patterns of which one at least fits whatever it matches.

use super::atom::{Asks, Atom, Atoms, Hint, Slot};
use super::expression::rare;
use super::fold::fold;
use super::index::{Key, Map, TAILS, last_part, len};
use super::node::Node;
use super::text::texts;
use crate::siem::sigma::{Pattern, Piece};
use std::sync::LazyLock;

/// How a rule's candidates are noticed.
pub(super) type Witnesses = Vec<(Slot, Key, Finds)>;

/// What a key that is found in a value leads to.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Finds {
    /// This atom may hold: it is asked, and the rule is looked at if it does.
    Atom(u32),
    /// This literal, folded, may stand in it; with it this atom of several texts holds.
    Part(u32, String),
    /// This literal, folded, may stand in it.
    Literal(String),
    /// The rule is looked at.
    Rule,
}

/// How common patterns are among the rules of a group. What many rules name is what many records
/// have: `\powershell.exe`, `.exe`, `http`.
#[derive(Debug, Default)]
pub(super) struct Census {
    atoms: Map<u32, u32>,
    /// By slot and gram, both in one number.
    keys: Map<u64, u32>,
    parts: Map<(Slot, String), u32>,
}

/// What paths, command lines and messages of any machine have.
const COMMON: &str = "c:\\windows\\system32\\ c:\\windows\\syswow64\\ c:\\program files (x86)\\ \
c:\\program files\\ c:\\users\\ c:\\programdata\\ \\cmd.exe \\svchost.exe \\explorer.exe \\powershell.exe .exe \" .exe\" microsoft corporation microsoft windows \
\\appdata\\local\\ \\appdata\\roaming\\ \\local\\temp\\ cmd.exe /c cmd /c powershell.exe \\windowspowershell\\v1.0\\ \
svchost.exe -k netsvcs -p -s services.exe servicing explorer.exe conhost.exe 0xffffffff -forcev1 rundll32.exe \
wmiprvse.exe -embedding taskhostw.exe backgroundtaskhost.exe chrome.exe --type= --service= \\application\\ \
\\microsoft\\ \\software\\ \\setup\\ \\scripts\\ http:// https:// .com/ .dll .dll, .txt .bat .ps1 .tmp .dat .cmd .log .local \
programdata currentversion /usr/bin/ /bin/ index -noprofile -executionpolicy bypass -file -windowstyle hidden \
hklm\\ hku\\ nt authority\\system -command operating system new-object system.net. get- set- process program \
service update install desktop document default";

/// Whole values and endings that many records have.
const ORDINARY: [&str; 13] = [
    "microsoft corporation",
    "nt authority\\system",
    "microsoft® windows® operating system",
    "microsoft windows",
    "system",
    "medium",
    ".exe",
    ".dll",
    "\\cmd.exe",
    "\\explorer.exe",
    "\\powershell.exe",
    "\\services.exe",
    "\\svchost.exe",
];

/// The grams of [`COMMON`], sorted: a table that lives for ever has to be pointed at where it begins, or
/// leak checkers of C hosts take it for lost.
static COMMON_GRAMS: LazyLock<Box<[u32]>> = LazyLock::new(|| {
    let grams = COMMON.as_bytes().windows(4).filter_map(<[u8]>::first_chunk::<4>);
    let mut grams: Vec<u32> = grams.map(|gram| u32::from_le_bytes(*gram)).collect();
    grams.sort_unstable();
    grams.into()
});

impl Census {
    /// Counts the patterns of some rules.
    pub(super) fn of<'n>(nodes: impl Iterator<Item = &'n Node>, atoms: &Atoms) -> Self {
        let mut census = Self::default();
        for node in nodes {
            census.count(node, atoms);
        }
        census
    }

    fn count(&mut self, node: &Node, atoms: &Atoms) {
        match node {
            Node::Not(inner) => self.count(inner, atoms),
            Node::All(parts) | Node::Any(parts) | Node::Count(_, parts) => {
                for part in parts {
                    self.count(part, atoms);
                }
            }
            Node::Atom(atom) => {
                *self.atoms.entry(*atom).or_default() += 1;
                let (Some(Atom { slot, .. }), Some(Hint::Patterns(patterns))) =
                    (atoms.list.get(*atom as usize), atoms.hints.get(*atom as usize))
                else {
                    return;
                };
                for pattern in patterns {
                    if let Some(part) = ending(pattern).as_deref().and_then(part_of) {
                        *self.parts.entry((*slot, part.to_owned())).or_default() += 1;
                    }
                    for text in texts(pattern) {
                        for gram in text.as_bytes().windows(4) {
                            if let Ok(gram) = gram.try_into() {
                                *self.keys.entry(gram_key(*slot, gram)).or_default() += 1;
                            }
                        }
                    }
                }
            }
        }
    }

    fn gram(&self, slot: Slot, gram: [u8; 4]) -> u32 {
        let named = self.keys.get(&gram_key(slot, gram)).copied().unwrap_or(0);
        named * 3 + plain(gram)
    }
}

fn gram_key(slot: Slot, gram: [u8; 4]) -> u64 {
    u64::from(slot) << 32 | u64::from(u32::from_le_bytes(gram))
}

fn common(gram: [u8; 4]) -> bool {
    COMMON_GRAMS.binary_search(&u32::from_le_bytes(gram)).is_ok()
}

/// What a gram costs by its letters alone.
fn plain(gram: [u8; 4]) -> u32 {
    let common = common(gram);
    let digits = gram.iter().filter(|byte| byte.is_ascii_digit() || **byte == b'0').count();
    let blanks = memchr::memchr_iter(b' ', &gram).count();
    let mut cost = 4 + u32::from(common) * 200;
    // Hexadecimal numbers and blanks fill what people do not write.
    if digits == 4 {
        cost += 60;
    }
    if blanks >= 3 {
        cost += 100;
    }
    cost
}

/// The witnesses of a rule; `None` where it has to be looked at for every record.
pub(super) fn of(node: &Node, atoms: &Atoms, census: &Census) -> Option<Witnesses> {
    best(node, true, atoms, census).map(|(_, witnesses)| witnesses)
}

type Priced = (u32, Witnesses);

/// The cheapest witnesses of a node's being true (or false).
fn best(node: &Node, wanted: bool, atoms: &Atoms, census: &Census) -> Option<Priced> {
    let cheapest = |parts: &[Node]| {
        parts
            .iter()
            .filter_map(|part| best(part, wanted, atoms, census))
            .min_by_key(|(cost, _)| *cost)
    };
    let union = |parts: &[Node]| {
        let mut sum = (0_u32, Witnesses::new());
        for part in parts {
            let (cost, witnesses) = best(part, wanted, atoms, census)?;
            sum.0 = sum.0.saturating_add(cost);
            sum.1.extend(witnesses);
        }
        Some(sum)
    };
    match (node, wanted) {
        (Node::Atom(atom), true) => priced(*atom, atoms, census),
        (Node::Atom(_), false) => None,
        (Node::Not(inner), _) => best(inner, !wanted, atoms, census),
        (Node::All(parts), true) | (Node::Any(parts), false) => cheapest(parts),
        (Node::Any(parts) | Node::Count(_, parts), true) | (Node::All(parts), false) => {
            union(parts)
        }
        (Node::Count(..), false) => None,
    }
}

fn priced(number: u32, atoms: &Atoms, census: &Census) -> Option<Priced> {
    let atom = atoms.list.get(number as usize)?;
    let slot = atom.slot;
    match atoms.hints.get(number as usize)? {
        Hint::None => None,
        Hint::Presence => Some((2_000, vec![(slot, Key::Present, Finds::Rule)])),
        Hint::Literals(literals) => {
            let mut sum = (0_u32, Vec::new());
            for literal in literals {
                let (cost, key) = key_in(slot, literal, census);
                sum.0 = sum.0.saturating_add(cost);
                sum.1.push((slot, key, Finds::Literal(literal.clone())));
            }
            Some(sum)
        }
        Hint::Patterns(patterns) => {
            let uses = census.atoms.get(&number).copied().unwrap_or(1);
            let mut sum = (0_u32, Vec::new());
            for pattern in patterns {
                let (cost, key) = key(slot, pattern, uses, census);
                sum.0 = sum.0.saturating_add(cost);
                let finds = match texts(pattern).next() {
                    _ if key == Key::Present => Finds::Rule,
                    Some(text) if matches!(atom.asks, Asks::Set(_)) => Finds::Part(number, text),
                    _ => Finds::Atom(number),
                };
                sum.1.push((slot, key, finds));
            }
            Some(sum)
        }
    }
}

/// The key by which a pattern is found again, and how common that is.
fn key(slot: Slot, pattern: &Pattern, uses: u32, census: &Census) -> (u32, Key) {
    if let Some(text) = pattern.as_literal() {
        let text = fold(text);
        // Short values are what fields with few values have: numbers, `true`, `high`.
        let cost = match text.len() {
            _ if ORDINARY.contains(&text.as_str()) => 600,
            ..=5 if text.bytes().all(|byte| byte.is_ascii_digit()) => 300,
            ..=5 => 600,
            _ => 3 + 2 * uses,
        };
        return (cost, Key::Whole(text));
    }
    if let Some(text) = ending(pattern)
        && text.len() >= 2
    {
        if let Some(part) = part_of(&text) {
            let uses = census.parts.get(&(slot, part.to_owned())).copied().unwrap_or(1);
            let cost = if ORDINARY.contains(&part) { 300 } else { 3 + 2 * uses };
            return (cost, Key::Part(part.to_owned()));
        }
        let length = TAILS.iter().rev().find(|length| **length <= text.len()).copied().unwrap_or(2);
        let at = text.len() - length;
        if let Some(tail) = text.get(at..) {
            let cost = match length {
                _ if ORDINARY.contains(&tail) => 600,
                8.. => 5,
                _ => 5 + 100 / u32::try_from(length).unwrap_or(2),
            };
            return (cost + 2 * uses, Key::Tail(tail.to_owned()));
        }
    }
    let mut best = (2_000, Key::Present);
    for text in texts(pattern) {
        let (cost, key) = key_in(slot, &text, census);
        if cost < best.0 {
            best = (cost, key);
        }
    }
    if let Some(Piece::Text(text)) = pattern.pieces.first() {
        let text = fold(text);
        if let Some(head) = text.as_bytes().first_chunk::<4>() {
            // At one place only, a gram is rarer than anywhere; but most paths begin alike.
            let cost = census.gram(slot, *head) / 4 + 2 + u32::from(common(*head)) * 250;
            if cost < best.0 {
                best = (cost, Key::Head(*head));
            }
        }
    }
    best
}

/// The rarest gram of a text.
fn key_in(slot: Slot, text: &str, census: &Census) -> (u32, Key) {
    let bytes = text.as_bytes();
    let costs: Vec<u32> = bytes
        .windows(4)
        .filter_map(<[u8]>::first_chunk::<4>)
        .map(|gram| census.gram(slot, *gram))
        .collect();
    let cheapest = costs.iter().zip(bytes.windows(4)).min_by_key(|(cost, _)| **cost);
    if let Some((cost, gram)) = cheapest
        && let Some(gram) = gram.first_chunk::<4>()
    {
        let sums = costs.windows(4).map(|four| four.iter().sum::<u32>());
        let run = sums.zip(bytes.windows(7)).min_by_key(|(sum, _)| *sum);
        let run = run.and_then(|(_, run)| run.first_chunk::<7>()).copied();
        // Of equally rare grams that of the longer text leads to less.
        let short = u32::try_from(8_usize.saturating_sub(bytes.len())).unwrap_or(0);
        return (*cost + short, Key::Gram4(*gram, run));
    }
    // A byte is looked for many times faster than pairs are.
    if let Some(byte) = bytes.iter().find(|byte| rare(**byte)) {
        return (120, Key::Byte(*byte));
    }
    let pairs = bytes.windows(2).filter_map(<[u8]>::first_chunk::<2>);
    let price = |pair: &[u8; 2]| {
        let letters = pair.iter().filter(|byte| byte.is_ascii_alphanumeric()).count();
        let common = memchr::memmem::find(COMMON.as_bytes(), pair).is_some();
        150 + u32::from(common) * 300 + u32::try_from(letters).unwrap_or(0) * 150
    };
    match pairs.map(|pair| (price(pair), pair)).min_by_key(|(cost, _)| *cost) {
        Some((cost, pair)) => (cost, Key::Gram2(*pair)),
        None => (2_000, Key::Present),
    }
}

/// The key for a pattern of a set, which looks for one literal anywhere.
pub(super) fn rarest(pattern: &Pattern) -> Key {
    texts(pattern).map(|text| key_in(0, &text, &Census::default()).1).next().unwrap_or(Key::Present)
}

/// The folded text that whatever fits ends with.
fn ending(pattern: &Pattern) -> Option<String> {
    match pattern.pieces.last() {
        Some(Piece::Text(text)) if pattern.pieces.len() > 1 => Some(fold(text)),
        _ => None,
    }
}

/// The last part of a path in an ending, if the ending reaches back to a separator.
fn part_of(ending: &str) -> Option<&str> {
    let at = ending.len() - last_part(ending.as_bytes())?.len();
    ending.get(at..)
}

/// Keys of witnesses by field, each with the number of what it leads to.
#[derive(Debug, Default)]
pub(super) struct Keys {
    pub(super) by_slot: Vec<(Slot, Vec<(Key, u32)>)>,
}

impl Keys {
    pub(super) fn add(&mut self, slot: Slot, key: Key, number: u32) {
        match self.by_slot.iter_mut().find(|(known, _)| *known == slot) {
            Some((_, keys)) => keys.push((key, number)),
            None => self.by_slot.push((slot, vec![(key, number)])),
        }
    }
}

/// The number that the next of a list gets.
pub(super) fn next<T>(list: &[T]) -> u32 {
    len(list)
}
