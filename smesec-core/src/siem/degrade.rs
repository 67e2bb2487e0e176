//! Which rules are in force and yet can never match, so that no rule is silently nothing.

use super::log_sources::{Row, covers};
use super::sigma::{Body, Condition, Item, Literal, Modifier, Rule, RuleSource};
use crate::ruleset::{LoadReport, Refused};
use std::collections::HashMap;

const FIELDS: &str = include_str!("log_source_fields.txt");

/// Names the rules whose log source nobody gives, or whose fields no source of theirs has.
pub(super) fn name(rules: &[Rule], rows: &[Row], report: &mut LoadReport) {
    let known = known_fields();
    let mut told: HashMap<&RuleSource, Sources<'_>> = HashMap::new();
    for rule in rules {
        let sources = told
            .entry(&rule.log_source)
            .or_insert_with(|| Sources::of(&rule.log_source, rows, &known));
        let why = match sources {
            Sources::None => Some(unmapped(&rule.log_source)),
            Sources::Open => None,
            Sources::Fields(fields) => never(rule, fields),
        };
        if let Some(why) = why {
            report.degraded.push(Refused {
                file: rule.meta.file.clone(),
                line: rule.meta.place.line,
                column: rule.meta.place.column,
                rule: (!rule.meta.id.is_empty()).then(|| rule.meta.id.clone()),
                why,
            });
        }
    }
}

/// What is known of the sources that a rule asks.
enum Sources<'k> {
    /// None gives such records.
    None,
    /// At least one has fields that are not known to the last.
    Open,
    /// All fields that any of them has.
    Fields(Vec<&'k str>),
}

type Known<'k> = Vec<(RuleSource, Vec<&'k str>)>;

fn known_fields() -> Known<'static> {
    let lines = FIELDS.lines().filter(|line| !line.starts_with('#'));
    let read = |line: &'static str| {
        let (words, fields) = line.split_once(" : ")?;
        let mut words = words.split_whitespace().map(|w| if w == "-" { "" } else { w }.to_owned());
        let (product, category, service) = (words.next()?, words.next()?, words.next()?);
        Some((RuleSource { product, category, service }, fields.split_whitespace().collect()))
    };
    lines.filter_map(read).collect()
}

impl<'k> Sources<'k> {
    fn of(rule: &RuleSource, rows: &[Row], known: &Known<'k>) -> Self {
        let mut fields = Vec::new();
        let mut any = false;
        for row in rows {
            let source = &row.source;
            if !covers((&source.product, &source.category, &source.service), rule) {
                continue;
            }
            any = true;
            let named = known.iter().find(|(known, _)| {
                known == source && !(known.category.is_empty() && known.service.is_empty())
            });
            match named {
                Some((_, of_row)) => fields.extend(of_row),
                None => return Self::Open,
            }
        }
        if !any {
            return Self::None;
        }
        if let Some((_, common)) = known.first() {
            fields.extend(common);
        }
        Self::Fields(fields)
    }
}

fn unmapped(source: &RuleSource) -> String {
    let words = [
        ("product", &source.product),
        ("category", &source.category),
        ("service", &source.service),
    ];
    let said: Vec<String> = words
        .iter()
        .filter(|(_, word)| !word.is_empty())
        .map(|(key, word)| format!("{key} `{word}`"))
        .collect();
    format!(
        "no source is known for {}, so it sees records only that the host says are such; add a row to the \
         table of log sources",
        said.join(", ")
    )
}

/// Why a rule can never match, if with these fields it cannot.
fn never(rule: &Rule, fields: &[&str]) -> Option<String> {
    let mut missing = Vec::new();
    let searches: Vec<Option<bool>> =
        rule.searches.iter().map(|search| body(&search.body, fields, &mut missing)).collect();
    if condition(&rule.condition, &searches) != Some(false) {
        return None;
    }
    missing.sort_unstable();
    missing.dedup();
    let missing: Vec<String> = missing.iter().map(|field| format!("`{field}`")).collect();
    Some(format!(
        "it can never match, since no known source of its records has {}; rename the fields in a pipeline",
        missing.join(", ")
    ))
}

/// Whether a body holds, as far as that is sure.
fn body<'r>(of: &'r Body, fields: &[&str], missing: &mut Vec<&'r str>) -> Option<bool> {
    match of {
        Body::Item(item) => line(item, fields, missing),
        Body::All(parts) => {
            all(&parts.iter().map(|part| body(part, fields, missing)).collect::<Vec<_>>())
        }
        Body::Any(parts) => {
            any(&parts.iter().map(|part| body(part, fields, missing)).collect::<Vec<_>>())
        }
    }
}

fn line<'r>(item: &'r Item, fields: &[&str], missing: &mut Vec<&'r str>) -> Option<bool> {
    let field = item.field.as_deref()?;
    if fields.contains(&field) {
        return None;
    }
    let has = |modifier| item.modifiers.contains(&modifier);
    let absent = |value: &Literal| {
        if has(Modifier::Exists) { *value == Literal::Bool(false) } else { *value == Literal::Null }
    };
    let holds = item.values.iter().any(absent) != has(Modifier::Neq);
    if !holds {
        missing.push(field);
    }
    Some(holds)
}

fn condition(of: &Condition, searches: &[Option<bool>]) -> Option<bool> {
    let each =
        |parts: &[Condition]| parts.iter().map(|p| condition(p, searches)).collect::<Vec<_>>();
    match of {
        Condition::Search(index) => searches.get(*index).copied().flatten(),
        Condition::Not(inner) => condition(inner, searches).map(|holds| !holds),
        Condition::All(parts) => all(&each(parts)),
        Condition::Any(parts) => any(&each(parts)),
        Condition::Count(least, of) => {
            let possible = of.iter().filter(|index| searches.get(**index) != Some(&Some(false)));
            (possible.count() < *least).then_some(false)
        }
    }
}

fn all(parts: &[Option<bool>]) -> Option<bool> {
    if parts.contains(&Some(false)) {
        Some(false)
    } else if parts.contains(&None) {
        None
    } else {
        Some(true)
    }
}

fn any(parts: &[Option<bool>]) -> Option<bool> {
    if parts.contains(&Some(true)) {
        Some(true)
    } else if parts.contains(&None) {
        None
    } else {
        Some(false)
    }
}
