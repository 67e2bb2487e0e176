//! Why a rule matches a record, or does not: each search, each line, with what the record has.

use super::compile::{Asks, value_asks};
use super::log_sources::{Need, Needed};
use super::record::{Field, Kind, Record};
use super::ruleset::RuleSet;
use super::sigma::{Anchor, Body, Condition, Item, Literal, Rule, Test, ask};
use std::fmt;

/// What became of one rule over one record.
///
/// ```
/// use smesec_core::siem::RuleSet;
/// use smesec_core::siem::record::{Field, Record, Value};
/// let mut builder = RuleSet::builder();
/// builder.text("t.yml", "title: Shell\nlogsource: {product: linux}\n\
///     detection: {selection: {Image|endswith: /sh}, condition: selection}\n");
/// let rules = builder.build()?;
/// let fields = [Field { name: "Image", value: Value::text("/usr/bin/python") }];
/// let told = rules.explain(0, &Record { fields: &fields, ..Record::default() }).unwrap();
/// assert!(!told.matches);
/// assert!(told.to_string().contains("Image|endswith: /sh"));
/// # Ok::<(), smesec_core::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// Whether the condition holds. The log source is not looked at.
    pub matches: bool,
    /// The searches, in their order.
    pub searches: Vec<SearchTold>,
    /// The searches on which it hangs: had they gone the other way, so might the rule.
    pub decisive: Vec<String>,
}

/// What became of one search.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SearchTold {
    /// Its name.
    pub name: String,
    /// Whether it matches.
    pub matches: bool,
    /// Its lines.
    pub lines: Vec<LineTold>,
}

/// What became of one line of a search.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct LineTold {
    /// The line as a rule would write it, long lists cut.
    pub line: String,
    /// Whether it holds.
    pub matches: bool,
    /// What the record has there, long values cut; `None` where it has nothing.
    pub found: Option<String>,
}

/// How many characters of a value are shown. 200: a command line is recognised by them.
const SHOWN: usize = 200;

impl RuleSet {
    /// Explains a rule, by its index, over a record. `None` where there is no such rule.
    pub fn explain(&self, rule: u32, record: &Record<'_>) -> Option<Explanation> {
        let rule = self.rule(rule)?;
        let mut fields = record.fields.to_vec();
        self.alias(record, &mut fields);
        let record = &Record { fields: &fields, ..*record };
        let searches: Vec<SearchTold> = rule
            .searches
            .iter()
            .map(|search| {
                let mut lines = Vec::new();
                let matches = self.body(&search.body, record, &mut lines);
                SearchTold { name: search.name.clone(), matches, lines }
            })
            .collect();
        let verdicts: Vec<bool> = searches.iter().map(|search| search.matches).collect();
        let matches = holds(&rule.condition, &verdicts);
        Some(Explanation { matches, decisive: decisive(rule, &verdicts, matches), searches })
    }

    /// What a record's fields stand for in the log sources it is of, as the matcher sees them.
    fn alias<'r>(&'r self, record: &Record<'r>, fields: &mut Vec<Field<'r>>) {
        let holds = |need: &Need| {
            let text = match &need.field {
                Needed::Product => record.log_source.product,
                Needed::Category => record.log_source.category,
                Needed::Service => record.log_source.service,
                Needed::Field(name) => match record.first(name) {
                    Some(value) => value.text,
                    None => return false,
                },
            };
            need.values.is_empty() || need.values.contains(&super::compile::fold(text))
        };
        let rows = self.program.rows.iter().map(|placed| &placed.row);
        for row in rows.filter(|row| !row.needs.is_empty() && row.needs.iter().all(holds)) {
            for (of_rule, of_record) in &row.aliases {
                if fields.iter().any(|field| field.name == *of_rule) {
                    continue;
                }
                let of = |field: &&Field<'r>| field.name == *of_record;
                let named = |field: &Field<'r>| Field { name: of_rule, value: field.value };
                let meant: Vec<_> = fields.iter().filter(of).map(named).collect();
                fields.extend(meant);
            }
        }
    }

    fn body(&self, body: &Body, record: &Record<'_>, lines: &mut Vec<LineTold>) -> bool {
        match body {
            // No short cut: each line is told.
            Body::All(parts) => {
                let told: Vec<bool> =
                    parts.iter().map(|part| self.body(part, record, lines)).collect();
                !told.contains(&false)
            }
            Body::Any(parts) => {
                let told: Vec<bool> =
                    parts.iter().map(|part| self.body(part, record, lines)).collect();
                told.contains(&true)
            }
            Body::Item(item) => {
                let matches = self.item(item, record);
                let values: Vec<String> = item.values.iter().map(Literal::to_string).collect();
                let key = if item.field.is_none() { "keyword".to_owned() } else { item.key() };
                let found = item.field.as_deref().map(|name| {
                    let values = record.fields.iter().filter(|field| field.name == name);
                    let texts: Vec<&str> = values
                        .map(|f| if f.value.kind == Kind::Null { "null" } else { f.value.text })
                        .collect();
                    (!texts.is_empty()).then(|| cut(&texts.join(", ")))
                });
                lines.push(LineTold {
                    line: format!("{key}: {}", cut(&values.join(" | "))),
                    matches,
                    found: found.flatten(),
                });
                matches
            }
        }
    }

    fn item(&self, item: &Item, record: &Record<'_>) -> bool {
        let Ok(asked) = ask(item, &self.placeholders) else { return false };
        let mut tests = asked.tests.iter().map(|test| test_holds(test, item, record));
        let holds = if asked.all { tests.all(|holds| holds) } else { tests.any(|holds| holds) };
        holds != asked.not
    }
}

fn test_holds(test: &Test, item: &Item, record: &Record<'_>) -> bool {
    let name = item.field.as_deref();
    let mine = |field: &&Field<'_>| name.is_none_or(|name| field.name == name);
    let mut values = record.fields.iter().filter(mine).map(|field| field.value);
    match test {
        Test::Exists(there) => values.next().is_some() == *there,
        Test::Null => {
            let mut values = values.peekable();
            values.peek().is_none() || values.any(|value| value.kind == Kind::Null)
        }
        Test::Field { name: other, anchor, cased } => {
            let fold =
                |text: &str| if *cased { text.to_owned() } else { super::compile::fold(text) };
            values.filter(|value| value.kind != Kind::Null).any(|value| {
                let others = record.fields.iter().filter(|field| field.name == *other);
                others.filter(|field| field.value.kind != Kind::Null).any(|field| {
                    let (value, wanted) = (fold(value.text), fold(field.value.text));
                    match anchor {
                        Anchor::Whole => value == wanted,
                        Anchor::Start => value.starts_with(&wanted),
                        Anchor::End => value.ends_with(&wanted),
                        Anchor::Anywhere => value.contains(&wanted),
                    }
                })
            })
        }
        _ => {
            let Some(asks) = value_asks(test) else { return false };
            let fits = |text: &str| value_fits(&asks, text);
            values.any(|value| value.kind != Kind::Null && fits(value.text))
                || (name.is_none() && !record.raw.is_empty() && fits(record.raw))
        }
    }
}

fn value_fits(asks: &Asks, text: &str) -> bool {
    super::matcher::value_fits(asks, text)
        .unwrap_or_else(|| super::matcher::folded_fits(asks, &super::compile::fold(text)))
}

fn holds(condition: &Condition, searches: &[bool]) -> bool {
    let search = |index: &usize| searches.get(*index).copied().unwrap_or(false);
    match condition {
        Condition::Search(index) => search(index),
        Condition::Not(inner) => !holds(inner, searches),
        Condition::All(parts) => parts.iter().all(|part| holds(part, searches)),
        Condition::Any(parts) => parts.iter().any(|part| holds(part, searches)),
        Condition::Count(least, of) => of.iter().filter(|index| search(index)).count() >= *least,
    }
}

/// The searches whose turning round turns the rule round.
fn decisive(rule: &Rule, verdicts: &[bool], matches: bool) -> Vec<String> {
    let turns = |at: usize| {
        let turned: Vec<bool> =
            verdicts.iter().enumerate().map(|(n, is)| if n == at { !is } else { *is }).collect();
        holds(&rule.condition, &turned) != matches
    };
    let searches = rule.searches.iter().enumerate();
    searches.filter(|(at, _)| turns(*at)).map(|(_, search)| search.name.clone()).collect()
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// One line a search and one a line of it; `+` for what holds, `-` for what does not.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = |holds: bool| if holds { '+' } else { '-' };
        writeln!(
            f,
            "{}",
            if self.matches { "the rule matches" } else { "the rule does not match" }
        )?;
        if !self.decisive.is_empty() {
            writeln!(f, "it hangs on: {}", self.decisive.join(", "))?;
        }
        for search in &self.searches {
            writeln!(f, "{} {}", sign(search.matches), search.name)?;
            for line in &search.lines {
                writeln!(f, "    {} {}", sign(line.matches), line.line)?;
                if let Some(found) = &line.found {
                    writeln!(f, "        found: {found}")?;
                } else if !line.line.starts_with("keyword") {
                    writeln!(f, "        the record has no such field")?;
                }
            }
        }
        Ok(())
    }
}
