//! From a tree over atoms to a branching program: each step asks one atom and says where to go on.

use super::atom::Atoms;
use super::node::Node;

/// The end of a program at which the rule matches.
pub(in crate::siem) const MATCH: u32 = u32::MAX;
/// The end at which it does not.
pub(in crate::siem) const PASS: u32 = u32::MAX - 1;

/// How many steps one rule may take. 100,000: the largest real rule takes some hundred.
const STEPS: usize = 100_000;

/// One step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::siem) struct Step {
    pub(in crate::siem) atom: u32,
    pub(in crate::siem) yes: u32,
    pub(in crate::siem) no: u32,
}

/// Writes a rule's program behind `steps`; returns where it begins.
///
/// # Errors
/// Where the rule is too large.
pub(super) fn write(node: &Node, atoms: &Atoms, steps: &mut Vec<Step>) -> Result<u32, String> {
    let from = steps.len();
    let mut writer = Writer { atoms, steps, limit: from + STEPS };
    // Steps are written from the last to the first, so that each knows where it leads.
    writer
        .node(node, MATCH, PASS)
        .ok_or_else(|| format!("the rule takes more than {STEPS} steps to decide; cut it in parts"))
}

struct Writer<'w> {
    atoms: &'w Atoms,
    steps: &'w mut Vec<Step>,
    limit: usize,
}

impl Writer<'_> {
    /// Writes what decides a node; `None` where that grows too long.
    fn node(&mut self, node: &Node, yes: u32, no: u32) -> Option<u32> {
        match node {
            Node::Atom(atom) => {
                if self.steps.len() >= self.limit {
                    return None;
                }
                self.steps.push(Step { atom: *atom, yes, no });
                u32::try_from(self.steps.len() - 1).ok()
            }
            Node::Not(inner) => self.node(inner, no, yes),
            Node::All(parts) => {
                let mut next = yes;
                for part in self.cheapest_first(parts).into_iter().rev() {
                    next = self.node(part, next, no)?;
                }
                Some(next)
            }
            Node::Any(parts) => {
                let mut next = no;
                for part in self.cheapest_first(parts).into_iter().rev() {
                    next = self.node(part, yes, next)?;
                }
                Some(next)
            }
            Node::Count(least, parts) => {
                // `entries[k]`: where to go on when the parts from here have to give k more.
                let mut entries = vec![no; least + 1];
                if let Some(first) = entries.first_mut() {
                    *first = yes;
                }
                for part in self.cheapest_first(parts).into_iter().rev() {
                    let after = entries.clone();
                    for (needed, entry) in entries.iter_mut().enumerate().skip(1) {
                        let fewer = after.get(needed - 1).copied().unwrap_or(yes);
                        let same = after.get(needed).copied().unwrap_or(no);
                        *entry = self.node(part, fewer, same)?;
                    }
                }
                entries.last().copied()
            }
        }
    }

    fn cheapest_first<'n>(&self, parts: &'n [Node]) -> Vec<&'n Node> {
        let mut ordered: Vec<&Node> = parts.iter().collect();
        ordered.sort_by_cached_key(|part| self.cost(part));
        ordered
    }

    fn cost(&self, node: &Node) -> u32 {
        match node {
            Node::Atom(atom) => self.atoms.cost(*atom),
            Node::Not(inner) => self.cost(inner),
            Node::All(parts) | Node::Any(parts) | Node::Count(_, parts) => {
                parts.iter().fold(0, |sum: u32, part| sum.saturating_add(self.cost(part)))
            }
        }
    }
}
