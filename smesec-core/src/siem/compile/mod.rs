//! From rules to flat tables.
//!
//! | file | what |
//! | --- | --- |
//! | `node` | a rule as one tree over atoms |
//! | `atom` `text` `fold` `expression` | the atoms: questions asked of one field, shared by rules |
//! | `witness` | which few patterns announce that a rule could match |
//! | `index` | how those are found in a value |
//! | `branch` | the trees as branching programs |

mod atom;
mod branch;
mod expression;
mod fold;
mod index;
mod node;
mod text;
mod witness;

pub(super) use atom::{ANYWHERE, Asks, Atom, LiteralSet, Slot, value_asks};
pub(super) use branch::{MATCH, PASS, Step};
pub(super) use fold::{fold, fold_into};
pub(super) use index::{FieldIndex, hash};
pub(super) use text::TextTest;

use super::log_sources::{Needed, Row};
use super::sigma::{Placeholders, Rule, RuleSource};
use crate::ruleset::{LoadReport, Refused};
use atom::Atoms;
use index::{Map, Table};
use memchr::memmem::Finder;
use node::Node;
use std::collections::HashMap;
use witness::{Census, Finds, Keys};

/// Compiled rules: tables only, nothing in them changes.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) fields: Fields,
    pub(super) atoms: Vec<Atom>,
    pub(super) steps: Vec<Step>,
    /// Where each rule's program begins.
    pub(super) entries: Vec<u32>,
    /// Rules of one log source.
    pub(super) groups: Vec<Group>,
    pub(super) rows: Vec<PlacedRow>,
    /// The fields that rows look at.
    pub(super) looked_at: Vec<LookedAt>,
}

/// The rules of one log source, and how those that could match are found.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) source: RuleSource,
    pub(super) rules: Vec<u32>,
    pub(super) indexes: Vec<FieldIndex>,
    /// By slot, the index of the field; `NONE` where no witness looks at it.
    pub(super) by_slot: Vec<u16>,
    pub(super) finds: Vec<Find>,
    /// Rules that are looked at for every record.
    pub(super) always: Vec<u32>,
}

/// No index.
pub(super) const NONE: u16 = u16::MAX;

/// What a found key leads to.
#[derive(Debug)]
pub(super) struct Find {
    pub(super) verify: Verify,
    pub(super) rules: Box<[u32]>,
}

/// What has to hold of the value before rules are looked at.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "a box would be one more wait for memory per value")]
pub(super) enum Verify {
    /// An atom of the value's field.
    Atom(u32),
    /// A literal, folded; with it this atom holds, if one is named.
    Literal(Finder<'static>, Option<u32>),
    /// Nothing more.
    Nothing,
}

impl Verify {
    fn literal(literal: &str, atom: Option<u32>) -> Self {
        Self::Literal(Finder::new(literal.as_bytes()).into_owned(), atom)
    }
}

/// A row of the table of log sources, its fields as slots.
#[derive(Debug)]
pub(super) struct PlacedRow {
    pub(super) row: Row,
    /// Rules' slot, record's slot.
    pub(super) aliases: Vec<(Slot, Slot)>,
}

/// A field that decides about log sources.
#[derive(Debug)]
pub(super) struct LookedAt {
    pub(super) name: String,
    pub(super) slot: Slot,
    /// Whether its value matters, or only its being there.
    pub(super) value: bool,
}

/// The names of fields and their slots; slot 0 is [`ANYWHERE`].
#[derive(Debug, Default)]
pub(super) struct Fields {
    names: Vec<Box<str>>,
    table: Table,
    prints: Prints,
}

/// Prints of names, as bits. Most fields of a record are known to no rule, and a bit that is not set
/// says so without a look at any name.
#[derive(Debug)]
struct Prints([u64; PRINTS]);

/// 8,192 bits: those of all of Sigma's fields set one in a dozen, and they take a kilobyte.
const PRINTS: usize = 128;

impl Default for Prints {
    fn default() -> Self {
        Self([0; PRINTS])
    }
}

impl Prints {
    fn of(names: &[Box<str>]) -> Self {
        let mut prints = Self::default();
        for name in names {
            let (word, bit) = place(name.as_bytes());
            if let Some(word) = prints.0.get_mut(word) {
                *word |= bit;
            }
        }
        prints
    }

    #[inline]
    fn may_have(&self, name: &[u8]) -> bool {
        let (word, bit) = place(name);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }
}

/// The word and the bit of a name, by its length and three of its bytes.
#[inline]
fn place(name: &[u8]) -> (usize, u64) {
    let byte = |at: usize| u64::from(name.get(at).copied().unwrap_or_default());
    let parts = byte(0) | byte(name.len() / 2) << 8 | byte(name.len().saturating_sub(1)) << 16;
    let print = (parts | (name.len() as u64) << 24).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 51;
    (usize::try_from(print / 64).unwrap_or_default(), 1 << (print % 64))
}

impl Fields {
    /// Whether a rule may know a name; `false` is certain.
    #[inline]
    pub(super) fn may_know(&self, name: &str) -> bool {
        self.prints.may_have(name.as_bytes())
    }

    /// The slot of a name, if any rule knows it.
    pub(super) fn slot(&self, name: &str) -> Option<Slot> {
        let places = self.table.at(hash(name.as_bytes()));
        let known = |n: &&u32| self.names.get(**n as usize).is_some_and(|known| **known == *name);
        places.iter().find(known).and_then(|n| Slot::try_from(*n).ok())
    }

    /// How many slots there are.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }
}

#[derive(Default)]
struct Names {
    slots: Map<Box<str>, Slot>,
    names: Vec<Box<str>>,
}

impl Names {
    /// A name's slot. Beyond 65,534 names all further ones share the last, which `full` tells.
    fn slot(&mut self, name: &str) -> Slot {
        if let Some(slot) = self.slots.get(name) {
            return *slot;
        }
        let slot = Slot::try_from(self.names.len()).unwrap_or(NONE).min(NONE - 1);
        if !self.full() {
            self.names.push(name.into());
            self.slots.insert(name.into(), slot);
        }
        slot
    }

    fn full(&self) -> bool {
        self.names.len() >= usize::from(NONE) - 1
    }
}

/// Compiles rules. What cannot run is taken out of `rules` and named in the report.
pub(super) fn compile(
    rules: &mut Vec<Rule>,
    rows: Vec<Row>,
    placeholders: &Placeholders,
    report: &mut LoadReport,
) -> Program {
    let mut names = Names::default();
    names.slot("");
    let mut atoms = Atoms::default();
    let mut steps = Vec::new();
    let mut entries = Vec::new();
    let mut trees: Vec<Node> = Vec::new();
    rules.retain(|rule| {
        let refuse = |place: crate::decode::yaml::Place, why: String| Refused {
            file: rule.meta.file.clone(),
            line: place.line,
            column: place.column,
            rule: (!rule.meta.id.is_empty()).then(|| rule.meta.id.clone()),
            why,
        };
        let mut slot = |name: &str| names.slot(name);
        let tree = match node::rule(rule, placeholders, &mut atoms, &mut slot) {
            Ok(tree) => tree,
            Err(wrong) => {
                report.refused.push(refuse(wrong.item.place, wrong.why));
                return false;
            }
        };
        if names.full() {
            let why = "the rules name more than 65,000 fields; load fewer at once".to_owned();
            report.refused.push(refuse(rule.meta.place, why));
            return false;
        }
        match branch::write(&tree, &atoms, &mut steps) {
            Ok(entry) => {
                entries.push(entry);
                trees.push(tree);
                true
            }
            Err(why) => {
                report.refused.push(refuse(rule.meta.place, why));
                false
            }
        }
    });
    let mut sources: Vec<(RuleSource, Vec<u32>)> = Vec::new();
    let mut by_source: HashMap<RuleSource, usize> = HashMap::new();
    for (rule, number) in rules.iter().zip(0..) {
        let at = *by_source.entry(rule.log_source.clone()).or_insert_with(|| {
            sources.push((rule.log_source.clone(), Vec::new()));
            sources.len() - 1
        });
        if let Some((_, members)) = sources.get_mut(at) {
            members.push(number);
        }
    }
    let (rows, looked_at) = placed(rows, &mut names);
    let slots = names.names.len();
    let groups = sources
        .into_iter()
        .map(|(source, members)| group(source, &members, &trees, &atoms, slots))
        .collect();
    let table =
        Table::new(names.names.iter().zip(0..).skip(1).map(|(name, n)| (hash(name.as_bytes()), n)));
    report.loaded = rules.len();
    Program {
        fields: Fields { prints: Prints::of(&names.names), names: names.names, table },
        atoms: atoms.list,
        steps,
        entries,
        groups,
        rows,
        looked_at,
    }
}

fn placed(rows: Vec<Row>, names: &mut Names) -> (Vec<PlacedRow>, Vec<LookedAt>) {
    let mut looked_at: Vec<LookedAt> = Vec::new();
    let mut placed = Vec::with_capacity(rows.len());
    for row in rows {
        for need in &row.needs {
            let Needed::Field(name) = &need.field else { continue };
            let value = !need.values.is_empty();
            match looked_at.iter_mut().find(|known| known.name == *name) {
                Some(known) => known.value |= value,
                None => {
                    looked_at.push(LookedAt { name: name.clone(), slot: names.slot(name), value });
                }
            }
        }
        let aliases = row
            .aliases
            .iter()
            .map(|(of_rule, of_record)| (names.slot(of_rule), names.slot(of_record)))
            .collect();
        placed.push(PlacedRow { row, aliases });
    }
    (placed, looked_at)
}

fn group(
    source: RuleSource,
    members: &[u32],
    trees: &[Node],
    atoms: &Atoms,
    slots: usize,
) -> Group {
    let tree = |rule: &u32| trees.get(*rule as usize);
    let census = Census::of(members.iter().filter_map(tree), atoms);
    let mut always = Vec::new();
    let mut keys = Keys::default();
    let mut finds: Vec<(Verify, Vec<u32>)> = Vec::new();
    let mut atom_finds: Map<u32, u32> = Map::default();
    let mut literal_finds: Map<(Option<u32>, String), u32> = Map::default();
    for rule in members {
        let Some(tree) = tree(rule) else { continue };
        let Some(witnesses) = witness::of(tree, atoms, &census) else {
            always.push(*rule);
            continue;
        };
        for (slot, key, leads_to) in witnesses {
            let next = witness::next(&finds);
            let number = match &leads_to {
                Finds::Atom(atom) => *atom_finds.entry(*atom).or_insert(next),
                Finds::Part(atom, literal) => {
                    *literal_finds.entry((Some(*atom), literal.clone())).or_insert(next)
                }
                Finds::Literal(literal) => {
                    *literal_finds.entry((None, literal.clone())).or_insert(next)
                }
                Finds::Rule => next,
            };
            if number == next {
                let verify = match leads_to {
                    Finds::Atom(atom) => Verify::Atom(atom),
                    Finds::Part(atom, literal) => Verify::literal(&literal, Some(atom)),
                    Finds::Literal(literal) => Verify::literal(&literal, None),
                    Finds::Rule => Verify::Nothing,
                };
                finds.push((verify, Vec::new()));
            }
            if let Some((_, rules)) = finds.get_mut(number as usize)
                && rules.last() != Some(rule)
            {
                rules.push(*rule);
            }
            keys.add(slot, key, number);
        }
    }
    let mut by_slot = vec![NONE; slots];
    let mut indexes = Vec::with_capacity(keys.by_slot.len());
    for (slot, keys) in &keys.by_slot {
        if let Some(at) = by_slot.get_mut(usize::from(*slot)) {
            *at = u16::try_from(indexes.len()).unwrap_or(NONE);
        }
        indexes.push(FieldIndex::new(keys));
    }
    let finds =
        finds.into_iter().map(|(verify, rules)| Find { verify, rules: rules.into() }).collect();
    Group { source, rules: members.to_vec(), indexes, by_slot, finds, always }
}
