//! Filters: what a company adds to other people's rules without changing them.
//!
//! The meaning is pySigma's: the filter's condition is added with `and`, as it is written. So a
//! filter that takes something out says `not selection`.

use super::condition::Condition;
use super::rule::{self, Rule, RuleSource, Search};
use super::syntax::{Meta, Reference};
use crate::decode::yaml::{Document, Node};
use crate::error::RuleError;

/// A filter.
#[derive(Clone, PartialEq, Debug)]
#[allow(clippy::exhaustive_structs, reason = "the parser builds it in place")]
pub struct Filter {
    /// What it says of itself.
    pub meta: Meta,
    /// Only rules with this log source are changed.
    pub log_source: RuleSource,
    /// The rules, by id or name; empty for all (`any`).
    pub rules: Vec<Reference>,
    /// Its searches.
    pub searches: Vec<Search>,
    /// The condition that is added.
    pub condition: Condition,
}

pub(super) fn parse(document: &Document, file: &str) -> Result<Filter, RuleError> {
    let root = &document.root;
    if let Some(twice) = document.duplicates.first() {
        let why = format!("the key `{}` stands already in line {}", twice.key, twice.first.line);
        return Err(rule::error(file, twice.again, format!("{why}; write it once")));
    }
    let Some(node) = root.key("filter") else {
        return Err(rule::error(file, root.place, "no `filter`; write one".to_owned()));
    };
    let rules = node.key("rules").ok_or_else(|| {
        let why = "a filter without `rules`; name them by id or name, or write `any`";
        rule::error(file, node.place, why.to_owned())
    })?;
    let reference = |node: &Node| {
        let name = node.as_str().map(str::to_owned).ok_or_else(|| {
            let why = format!("a rule is {}; write its id or its name", node.kind());
            rule::error(file, node.place, why)
        })?;
        Ok(Reference { rule: name, place: node.place })
    };
    let rules = match rules.list() {
        Some([]) => {
            let why = "`rules` is empty; name rules, or write `any`";
            return Err(rule::error(file, rules.place, why.to_owned()));
        }
        Some(list) => list.iter().map(reference).collect::<Result<_, _>>()?,
        None if rules.as_str().is_some_and(|text| text.eq_ignore_ascii_case("any")) => Vec::new(),
        None => vec![reference(rules)?],
    };
    let (searches, condition) = rule::detection_of(node, file, "filter")?;
    let log_source = rule::source(root, file)?;
    Ok(Filter { meta: rule::meta(root, file), log_source, rules, searches, condition })
}

impl Filter {
    /// Whether it changes this rule.
    pub fn concerns(&self, rule: &Rule) -> bool {
        let fits = |mine: &str, its: &str| mine.is_empty() || mine == its;
        let named = |reference: &Reference| {
            reference.rule == rule.meta.id
                || (!rule.meta.name.is_empty() && reference.rule == rule.meta.name)
        };
        fits(&self.log_source.product, &rule.log_source.product)
            && fits(&self.log_source.category, &rule.log_source.category)
            && fits(&self.log_source.service, &rule.log_source.service)
            && (self.rules.is_empty() || self.rules.iter().any(named))
    }

    /// Adds its condition to a rule.
    pub fn apply(&self, rule: &mut Rule) {
        let first = rule.searches.len();
        rule.searches.extend(self.searches.iter().cloned());
        let condition = std::mem::replace(&mut rule.condition, Condition::All(Vec::new()));
        rule.condition = Condition::All(vec![condition, moved(&self.condition, first)]);
    }
}

/// A condition whose searches stand `by` places further on.
fn moved(condition: &Condition, by: usize) -> Condition {
    let all = |parts: &[Condition]| parts.iter().map(|part| moved(part, by)).collect();
    match condition {
        Condition::Search(index) => Condition::Search(index + by),
        Condition::Not(inner) => Condition::Not(Box::new(moved(inner, by))),
        Condition::All(parts) => Condition::All(all(parts)),
        Condition::Any(parts) => Condition::Any(all(parts)),
        Condition::Count(least, of) => {
            Condition::Count(*least, of.iter().map(|index| index + by).collect())
        }
    }
}
