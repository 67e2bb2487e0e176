//! References of correlations resolved, and the order in which they build on one another.

use super::plan::{Kind, MOST_LEVELS, name_of};
use crate::siem::sigma::{Correlation, Meta};
use std::collections::HashMap;

/// What a reference names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Target {
    /// A base rule, by its number.
    Rule(u32),
    /// A correlation, by its place in the list handed in.
    Correlation(usize),
}

/// By correlation: what its rules are; `None` where it is refused.
pub(crate) struct Resolved {
    pub(crate) targets: Vec<Option<Vec<Target>>>,
}

/// Takes what is refused: the correlation, line, column, and why.
pub(crate) type Refuse<'a> = dyn FnMut(&Correlation, u32, u32, String) + 'a;

/// Whether a target has this id or name. Ids are UUIDs, which are the same in any case.
pub(crate) fn goes_by(
    target: Target,
    word: &str,
    correlations: &[Correlation],
    known: &[Meta],
) -> bool {
    let meta = match target {
        Target::Rule(rule) => known.get(rule as usize),
        Target::Correlation(at) => correlations.get(at).map(|correlation| &correlation.meta),
    };
    !word.is_empty()
        && meta.is_some_and(|meta| meta.name == word || meta.id.eq_ignore_ascii_case(word))
}

/// Resolves the rules and the aliases of all correlations by id and by name.
pub(crate) fn resolve(
    correlations: &[Correlation],
    known: &[Meta],
    refuse: &mut Refuse<'_>,
) -> Resolved {
    let mut names: HashMap<String, Vec<Target>> = HashMap::new();
    let rules = (0_u32..).zip(known).map(|(at, meta)| (Target::Rule(at), meta));
    let others = correlations.iter().enumerate();
    let others = others.map(|(at, correlation)| (Target::Correlation(at), &correlation.meta));
    for (target, meta) in rules.chain(others) {
        for name in [meta.id.to_ascii_lowercase(), meta.name.clone()] {
            if !name.is_empty() {
                let targets = names.entry(name).or_default();
                if !targets.contains(&target) {
                    targets.push(target);
                }
            }
        }
    }
    let of = |word: &str| -> Result<Target, String> {
        let none = Vec::new();
        let by_name = names.get(word).unwrap_or(&none);
        let by_id = names.get(&word.to_ascii_lowercase()).unwrap_or(&none);
        let mut targets = by_name.clone();
        targets.extend(by_id.iter().filter(|target| {
            goes_by(**target, word, correlations, known) && !by_name.contains(target)
        }));
        match targets.as_slice() {
            [target] => Ok(*target),
            [] => Err(format!(
                "`{word}` is neither the id nor the name of a rule that is loaded; load it, or correct \
                 the reference"
            )),
            several => Err(format!(
                "`{word}` names {} rules; refer to the one that is meant by its id",
                several.len()
            )),
        }
    };
    let targets = correlations
        .iter()
        .map(|correlation| {
            let mut targets = Vec::new();
            for reference in &correlation.rules {
                match of(&reference.rule) {
                    Ok(target) => targets.push(target),
                    Err(why) => {
                        let place = reference.place;
                        refuse(correlation, place.line.max(1), place.column.max(1), why);
                        return None;
                    }
                }
            }
            for (alias, fields) in &correlation.aliases {
                for (rule, _) in fields {
                    let named = of(&rule.rule);
                    if !named.is_ok_and(|target| targets.contains(&target)) {
                        let place = rule.place;
                        let why = format!(
                            "the alias `{alias}` names `{}`, which is none of the correlation's rules; \
                             correct it",
                            rule.rule
                        );
                        refuse(correlation, place.line.max(1), place.column.max(1), why);
                        return None;
                    }
                }
                let without = targets.iter().position(|target| {
                    !fields.iter().any(|(rule, _)| {
                        goes_by(*target, &rule.rule, correlations, known)
                    })
                });
                if let Some(reference) = without.and_then(|at| correlation.rules.get(at)) {
                    let place = reference.place;
                    let why = format!(
                        "the alias `{alias}` names no field of the rule `{}`; add it",
                        reference.rule
                    );
                    refuse(correlation, place.line.max(1), place.column.max(1), why);
                    return None;
                }
            }
            Some(targets)
        })
        .collect();
    Resolved { targets }
}

/// Those in force with children before parents; what turns in a circle, builds on something refused
/// or is chained too deep is refused.
pub(crate) fn order(
    correlations: &[Correlation],
    resolved: &Resolved,
    kinds: &mut [Option<Kind>],
    refuse: &mut Refuse<'_>,
) -> Vec<usize> {
    let mut order = Vec::new();
    let mut levels: HashMap<usize, usize> = HashMap::new();
    let mut refused: Vec<bool> = kinds.iter().map(Option::is_none).collect();
    let was_refused = refused.clone();
    loop {
        let before = (order.len(), refused.iter().filter(|refused| **refused).count());
        for (at, correlation) in correlations.iter().enumerate() {
            let is_refused = |at: usize| refused.get(at).copied().unwrap_or(true);
            if levels.contains_key(&at) || is_refused(at) {
                continue;
            }
            let Some(targets) = resolved.targets.get(at).and_then(Option::as_deref) else {
                continue;
            };
            let children = || {
                targets.iter().zip(&correlation.rules).filter_map(|(target, rule)| match target {
                    Target::Correlation(child) => Some((*child, rule)),
                    Target::Rule(_) => None,
                })
            };
            let why = if let Some((_, rule)) = children().find(|(child, _)| is_refused(*child)) {
                let why =
                    format!("it builds on `{}`, which is refused; mend that first", rule.rule);
                Some((rule.place, why))
            } else {
                let known: Option<Vec<usize>> =
                    children().map(|(child, _)| levels.get(&child).copied()).collect();
                let Some(known) = known else { continue };
                let level = known.into_iter().max().map_or(0, |deepest| deepest + 1);
                if level < MOST_LEVELS {
                    levels.insert(at, level);
                    order.push(at);
                    continue;
                }
                let why = format!("chained deeper than {MOST_LEVELS} levels; shorten the chain");
                Some((correlation.meta.place, why))
            };
            if let Some((place, why)) = why {
                refuse(correlation, place.line.max(1), place.column.max(1), why);
                if let Some(refused) = refused.get_mut(at) {
                    *refused = true;
                }
            }
        }
        if before == (order.len(), refused.iter().filter(|refused| **refused).count()) {
            break;
        }
    }
    for (at, correlation) in correlations.iter().enumerate() {
        let open = !levels.contains_key(&at) && refused.get(at).is_some_and(|refused| !refused);
        if open {
            let place = correlation.meta.place;
            let why = format!(
                "`{}` stands in a circle of correlations, or builds on one; break it",
                name_of(&correlation.meta)
            );
            refuse(correlation, place.line.max(1), place.column.max(1), why);
        }
    }
    for (at, kind) in kinds.iter_mut().enumerate() {
        if !levels.contains_key(&at) && !was_refused.get(at).copied().unwrap_or(true) {
            *kind = None;
        }
    }
    order
}
