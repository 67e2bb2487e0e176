//! From a rule's searches and condition to one tree over atoms.

use super::atom::{ANYWHERE, Atoms, Slot};
use crate::siem::sigma::{Body, Condition, Item, Placeholders, Rule, Test, ask};

/// From how many texts of one field on a list is looked for together.
const SET: usize = 6;

/// A tree over atoms.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Node {
    Atom(u32),
    Not(Box<Node>),
    All(Vec<Node>),
    Any(Vec<Node>),
    /// At least so many.
    Count(usize, Vec<Node>),
}

/// What stands in the way, and where.
pub(super) struct Wrong<'r> {
    pub(super) item: &'r Item,
    pub(super) why: String,
}

/// A rule's tree.
pub(super) fn rule<'r>(
    rule: &'r Rule,
    placeholders: &Placeholders,
    atoms: &mut Atoms,
    slot: &mut impl FnMut(&str) -> Slot,
) -> Result<Node, Wrong<'r>> {
    let mut searches = Vec::with_capacity(rule.searches.len());
    for search in &rule.searches {
        searches.push(body(&search.body, placeholders, atoms, slot)?);
    }
    let sizes: Vec<usize> = searches.iter().map(size).collect();
    if mentioned(&rule.condition, &sizes) > MOST_NODES {
        let why = format!(
            "its condition repeats its searches up to more than {MOST_NODES} tests; mention each once"
        );
        let item = first_item(rule.searches.first().map_or(&NOTHING, |search| &search.body));
        return Err(Wrong { item, why });
    }
    Ok(flat(condition(&rule.condition, &searches)))
}

static NOTHING: Body = Body::Any(Vec::new());

/// What a tree may hold once each mention of a search is written out; the largest real rules have some
/// thousands.
const MOST_NODES: usize = 200_000;

fn size(node: &Node) -> usize {
    1 + match node {
        Node::Atom(_) => 0,
        Node::Not(inner) => size(inner),
        Node::All(parts) | Node::Any(parts) | Node::Count(_, parts) => parts.iter().map(size).sum(),
    }
}

fn mentioned(of: &Condition, sizes: &[usize]) -> usize {
    let search = |index: &usize| sizes.get(*index).copied().unwrap_or(1);
    match of {
        Condition::Search(index) => search(index),
        Condition::Not(inner) => 1 + mentioned(inner, sizes),
        Condition::All(parts) | Condition::Any(parts) => {
            parts.iter().fold(1, |sum: usize, part| sum.saturating_add(mentioned(part, sizes)))
        }
        Condition::Count(_, of) => {
            of.iter().fold(1, |sum: usize, index| sum.saturating_add(search(index)))
        }
    }
}

fn condition(of: &Condition, searches: &[Node]) -> Node {
    let all = |parts: &[Condition]| parts.iter().map(|part| condition(part, searches)).collect();
    let search = |index: &usize| {
        // The parser names searches that are there only.
        searches.get(*index).cloned().unwrap_or_else(|| Node::Any(Vec::new()))
    };
    match of {
        Condition::Search(index) => search(index),
        Condition::Not(inner) => Node::Not(Box::new(condition(inner, searches))),
        Condition::All(parts) => Node::All(all(parts)),
        Condition::Any(parts) => Node::Any(all(parts)),
        Condition::Count(least, of) => Node::Count(*least, of.iter().map(search).collect()),
    }
}

fn body<'r>(
    of: &'r Body,
    placeholders: &Placeholders,
    atoms: &mut Atoms,
    slot: &mut impl FnMut(&str) -> Slot,
) -> Result<Node, Wrong<'r>> {
    let mut parts = |bodies: &'r [Body]| {
        let mut nodes = Vec::with_capacity(bodies.len());
        for one in bodies {
            nodes.push(body(one, placeholders, atoms, slot)?);
        }
        Ok(nodes)
    };
    match of {
        Body::All(bodies) => Ok(Node::All(parts(bodies)?)),
        Body::Any(bodies) => {
            let nodes = parts(bodies)?;
            together(flat(Node::Any(nodes)), atoms)
                .map_err(|why| Wrong { item: first_item(of), why })
        }
        Body::Item(item) => {
            line(item, placeholders, atoms, slot).map_err(|why| Wrong { item, why })
        }
    }
}

fn line(
    item: &Item,
    placeholders: &Placeholders,
    atoms: &mut Atoms,
    slot: &mut impl FnMut(&str) -> Slot,
) -> Result<Node, String> {
    let asked = ask(item, placeholders)?;
    let at = item.field.as_deref().map_or(ANYWHERE, &mut *slot);
    let mut nodes = Vec::with_capacity(asked.tests.len());
    for test in &asked.tests {
        let atom = Node::Atom(atoms.of(at, test, slot)?);
        nodes.push(match test {
            Test::Exists(false) => Node::Not(Box::new(atom)),
            _ => atom,
        });
    }
    let node = if asked.all { Node::All(nodes) } else { together(Node::Any(nodes), atoms)? };
    Ok(if asked.not { Node::Not(Box::new(node)) } else { node })
}

/// Long lists of texts in one field become one atom.
fn together(node: Node, atoms: &mut Atoms) -> Result<Node, String> {
    let Node::Any(parts) = node else { return Ok(node) };
    let mut slots: Vec<(Slot, Vec<u32>)> = Vec::new();
    for part in &parts {
        if let Node::Atom(atom) = part
            && let Some((slot, _)) = atoms.contains(*atom)
        {
            match slots.iter_mut().find(|(known, _)| *known == slot) {
                Some((_, list)) => list.push(*atom),
                None => slots.push((slot, vec![*atom])),
            }
        }
    }
    let mut parts = parts;
    for (slot, list) in slots.into_iter().filter(|(_, list)| list.len() >= SET) {
        let mut patterns: Vec<_> =
            list.iter().filter_map(|atom| atoms.contains(*atom)).map(|(_, p)| p.clone()).collect();
        patterns.sort_by_cached_key(ToString::to_string);
        patterns.dedup();
        parts.retain(|part| !matches!(part, Node::Atom(atom) if list.contains(atom)));
        parts.push(Node::Atom(atoms.set(slot, patterns)?));
    }
    Ok(Node::Any(parts))
}

/// The same without lists of one and lists in lists of their kind.
pub(super) fn flat(node: Node) -> Node {
    match node {
        Node::All(parts) => {
            let mut flattened = Vec::with_capacity(parts.len());
            for part in parts {
                match flat(part) {
                    Node::All(inner) => flattened.extend(inner),
                    other => flattened.push(other),
                }
            }
            only_or(flattened, Node::All)
        }
        Node::Any(parts) => {
            let mut flattened = Vec::with_capacity(parts.len());
            for part in parts {
                match flat(part) {
                    Node::Any(inner) => flattened.extend(inner),
                    other => flattened.push(other),
                }
            }
            only_or(flattened, Node::Any)
        }
        Node::Not(inner) => match flat(*inner) {
            Node::Not(twice) => *twice,
            other => Node::Not(Box::new(other)),
        },
        Node::Count(least, parts) => Node::Count(least, parts.into_iter().map(flat).collect()),
        Node::Atom(_) => node,
    }
}

fn only_or(mut parts: Vec<Node>, many: fn(Vec<Node>) -> Node) -> Node {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            many(parts)
        }
        None => many(parts),
    }
}

/// A line of a body, for a place to tell.
fn first_item(body: &Body) -> &Item {
    static NOWHERE: Item = Item {
        field: None,
        modifiers: Vec::new(),
        values: Vec::new(),
        place: crate::decode::yaml::Place { line: 1, column: 1 },
    };
    match body {
        Body::Item(item) => item,
        Body::All(parts) | Body::Any(parts) => parts.first().map_or(&NOWHERE, first_item),
    }
}
