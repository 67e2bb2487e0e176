//! Atoms: the questions that rules share, each asked of one field at most once a record.

use super::expression::{self, Expression};
use super::index::{FieldIndex, Key, Map};
use super::text::TextTest;
use crate::siem::sigma::{Anchor, Comparison, Network, Pattern, Test, TimePart};
use std::sync::Arc;

/// The place of a field among a record's; rules know fields by it.
pub(in crate::siem) type Slot = u16;

/// The slot that stands for all fields and the raw line, for keywords.
pub(in crate::siem) const ANYWHERE: Slot = 0;

/// One question.
#[derive(Debug)]
pub(in crate::siem) struct Atom {
    pub(in crate::siem) slot: Slot,
    pub(in crate::siem) asks: Asks,
}

/// What is asked.
#[derive(Debug)]
pub(in crate::siem) enum Asks {
    /// Over folded text.
    Text(TextTest),
    /// Over text as it stands.
    Cased(TextTest),
    /// Any of several texts that are long enough to be looked for together.
    Set(Box<LiteralSet>),
    Regex(Arc<Expression>),
    Cidr(Network),
    Number(Comparison, f64),
    Time(TimePart, Comparison, f64),
    Field {
        other: Slot,
        anchor: Anchor,
        cased: bool,
    },
    Exists,
    Null,
}

/// What a test asks of one value, outside a program; `None` for tests that ask more than one value.
pub(in crate::siem) fn value_asks(test: &Test) -> Option<Asks> {
    Some(match test {
        Test::Text { pattern, cased: true } => Asks::Cased(TextTest::new(pattern, true)),
        Test::Text { pattern, cased: false } => Asks::Text(TextTest::new(pattern, false)),
        Test::Regex { expression } => {
            Asks::Regex(Arc::new(expression::checked(expression).ok()?.0))
        }
        Test::Cidr(network) => Asks::Cidr(*network),
        Test::Number(comparison, number) => Asks::Number(*comparison, *number),
        Test::Time(part, comparison, number) => Asks::Time(*part, *comparison, *number),
        Test::Field { .. } | Test::Exists(_) | Test::Null => return None,
    })
}

/// Texts that are looked for together, folded.
#[derive(Debug)]
pub(in crate::siem) struct LiteralSet {
    pub(in crate::siem) index: FieldIndex,
    pub(in crate::siem) tests: Vec<TextTest>,
}

/// An atom's identity, so that rules which ask the same share it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Identity {
    Text(Slot, Pattern, bool),
    Set(Slot, Vec<Pattern>),
    Regex(Slot, String),
    Cidr(Slot, Network),
    Number(Slot, Comparison, u64),
    Time(Slot, TimePart, Comparison, u64),
    Field(Slot, Slot, Anchor, bool),
    Exists(Slot),
    Null(Slot),
}

/// All atoms, with what compiling needs to know of them.
#[derive(Debug, Default)]
pub(super) struct Atoms {
    pub(super) list: Vec<Atom>,
    pub(super) hints: Vec<Hint>,
    known: Map<Identity, u32>,
    regexes: Map<String, (Arc<Expression>, Option<Vec<String>>)>,
}

/// How an atom may be found from a value.
#[derive(Debug)]
pub(super) enum Hint {
    /// By any of these patterns' texts.
    Patterns(Vec<Pattern>),
    /// By any of these literals, folded.
    Literals(Vec<String>),
    /// By its field's being there.
    Presence,
    /// Not at all: it holds where the field is missing.
    None,
}

impl Atoms {
    /// The atom of a test. `slot` gives a field's slot.
    pub(super) fn of(
        &mut self,
        at: Slot,
        test: &Test,
        slot: &mut impl FnMut(&str) -> Slot,
    ) -> Result<u32, String> {
        let identity = match test {
            Test::Text { pattern, cased } => {
                let mut pattern = pattern.clone();
                if !cased {
                    for piece in &mut pattern.pieces {
                        if let crate::siem::sigma::Piece::Text(text) = piece {
                            *text = super::fold::fold(text);
                        }
                    }
                }
                Identity::Text(at, pattern, *cased)
            }
            Test::Regex { expression } => Identity::Regex(at, expression.clone()),
            Test::Cidr(network) => Identity::Cidr(at, *network),
            Test::Number(comparison, number) => Identity::Number(at, *comparison, number.to_bits()),
            Test::Time(part, comparison, number) => {
                Identity::Time(at, *part, *comparison, number.to_bits())
            }
            Test::Field { name, anchor, cased } => Identity::Field(at, slot(name), *anchor, *cased),
            Test::Exists(_) => Identity::Exists(at),
            Test::Null => Identity::Null(at),
        };
        self.intern(identity)
    }

    /// The atom that holds where one of several uncased patterns fits.
    pub(super) fn set(&mut self, at: Slot, patterns: Vec<Pattern>) -> Result<u32, String> {
        self.intern(Identity::Set(at, patterns))
    }

    /// The pattern of an uncased text atom that looks for one literal anywhere.
    pub(super) fn contains(&self, atom: u32) -> Option<(Slot, &Pattern)> {
        match (self.list.get(atom as usize)?, self.hints.get(atom as usize)?) {
            (Atom { slot, asks: Asks::Text(TextTest::Contains(_)) }, Hint::Patterns(patterns)) => {
                Some((*slot, patterns.first()?))
            }
            _ => None,
        }
    }

    fn intern(&mut self, identity: Identity) -> Result<u32, String> {
        if let Some(known) = self.known.get(&identity) {
            return Ok(*known);
        }
        let (slot, asks, hint) = match &identity {
            Identity::Text(slot, pattern, cased) => {
                let test = TextTest::new(pattern, *cased);
                let asks = if *cased { Asks::Cased(test) } else { Asks::Text(test) };
                (*slot, asks, Hint::Patterns(vec![pattern.clone()]))
            }
            Identity::Set(slot, patterns) => {
                let tests = patterns.iter().map(|pattern| TextTest::new(pattern, false)).collect();
                let keys: Vec<(Key, u32)> = (0..)
                    .zip(patterns)
                    .map(|(n, pattern)| (super::witness::rarest(pattern), n))
                    .collect();
                let set = LiteralSet { index: FieldIndex::new(&keys), tests };
                (*slot, Asks::Set(Box::new(set)), Hint::Patterns(patterns.clone()))
            }
            Identity::Regex(slot, expression) => {
                let read = if let Some(read) = self.regexes.get(expression) {
                    read.clone()
                } else {
                    let (read, literals) = expression::checked(expression)?;
                    let read = (Arc::new(read), literals);
                    self.regexes.insert(expression.clone(), read.clone());
                    read
                };
                let hint = read.1.map_or(Hint::Presence, Hint::Literals);
                (*slot, Asks::Regex(read.0), hint)
            }
            Identity::Cidr(slot, network) => (*slot, Asks::Cidr(*network), Hint::Presence),
            Identity::Number(slot, comparison, bits) => {
                (*slot, Asks::Number(*comparison, f64::from_bits(*bits)), Hint::Presence)
            }
            Identity::Time(slot, part, comparison, bits) => {
                (*slot, Asks::Time(*part, *comparison, f64::from_bits(*bits)), Hint::Presence)
            }
            Identity::Field(slot, other, anchor, cased) => {
                let asks = Asks::Field { other: *other, anchor: *anchor, cased: *cased };
                (*slot, asks, Hint::Presence)
            }
            Identity::Exists(slot) => (*slot, Asks::Exists, Hint::Presence),
            Identity::Null(slot) => (*slot, Asks::Null, Hint::None),
        };
        let number = super::index::len(&self.list);
        self.list.push(Atom { slot, asks });
        self.hints.push(hint);
        self.known.insert(identity, number);
        Ok(number)
    }

    /// What asking an atom costs, in the cost of a comparison.
    pub(super) fn cost(&self, atom: u32) -> u32 {
        match self.list.get(atom as usize).map(|atom| &atom.asks) {
            Some(Asks::Text(test) | Asks::Cased(test)) => test.cost(),
            Some(Asks::Set(_)) => 40,
            Some(Asks::Regex(_)) => 150,
            Some(Asks::Cidr(_) | Asks::Number(..)) => 5,
            Some(Asks::Time(..)) => 10,
            Some(Asks::Field { .. }) => 4,
            Some(Asks::Exists | Asks::Null) | None => 1,
        }
    }
}
