//! From a file's text to documents, each with its kind.

use super::filter::{self, Filter};
use super::rule::{self, Rule};
use crate::decode::yaml::{self, Document, Node};
use crate::error::RuleError;
use crate::ruleset::Refused;
use std::borrow::Cow;

/// What a document of a rule file is.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Sigma {
    /// A rule over single records.
    Rule(Rule),
    /// A condition that is added to other rules.
    Filter(Filter),
    /// A correlation over rules.
    Correlation(super::Correlation),
}

/// Reads the documents of a text; `file` is the name that errors show.
///
/// ```
/// use smesec_core::siem::sigma::{load, Sigma};
/// let text = "title: Shell\nlogsource: {product: linux}\n\
///             detection: {selection: {Image|endswith: /sh}, condition: selection}\n";
/// let mut titles = Vec::new();
/// load(text, "shell.yml", &mut |document| match document {
///     Ok(Sigma::Rule(rule)) => titles.push(rule.meta.title),
///     other => panic!("{other:?}"),
/// });
/// assert_eq!(titles, ["Shell"]);
/// ```
pub fn load(text: &str, file: &str, each: &mut dyn FnMut(Result<Sigma, Refused>)) {
    let mut text = Cow::Borrowed(text);
    let mut began = 0;
    for faults in 1.. {
        let Some(error) = documents(&text, file, each) else { return };
        let mut refused = refused(&error, None);
        // A fault may be noticed at the very line that begins the next document.
        let next = after(&text, error.line().max(began + 1));
        if next.is_some() && faults >= FAULTS {
            refused.why.push_str("; what follows in the file was not read");
        }
        each(Err(refused));
        let Some((next, line)) = next.filter(|_| faults < FAULTS) else { return };
        began = line;
        // Lines without anything keep the places of what follows.
        let lines = text.get(..next).unwrap_or_default().matches('\n').count();
        text = Cow::Owned("\n".repeat(lines) + text.get(next..).unwrap_or_default());
    }
}

/// So often reading goes on behind a document that is no YAML; a file with more is none of rules.
const FAULTS: usize = 32;

/// Reads documents up to the first that is no YAML.
fn documents(
    text: &str,
    file: &str,
    each: &mut dyn FnMut(Result<Sigma, Refused>),
) -> Option<RuleError> {
    for document in yaml::documents(text, file, yaml::Limits::default()) {
        match document {
            Ok(document) if document.root.scalar() == Some(yaml::Scalar::Null) => {}
            Ok(document) => {
                let id = document.root.key("id").and_then(Node::as_str).map(str::to_owned);
                each(one(&document, file).map_err(|error| refused(&error, id)));
            }
            Err(error) => return Some(error),
        }
    }
    None
}

/// Where the next document begins from a line on, and in which line.
fn after(text: &str, line: u32) -> Option<(usize, u32)> {
    let mut at = 0;
    for (number, content) in (1..).zip(text.split_inclusive('\n')) {
        if number >= line && content.starts_with("---") {
            return Some((at, number));
        }
        at += content.len();
    }
    None
}

/// An error as the report's line.
fn refused(error: &RuleError, rule: Option<String>) -> Refused {
    Refused {
        file: error.file().to_owned(),
        line: error.line(),
        column: error.column(),
        rule,
        why: error.why().to_owned(),
    }
}

fn one(document: &Document, file: &str) -> Result<Sigma, RuleError> {
    let root = &document.root;
    let refuse = |node: &Node, why: &str| Err(rule::error(file, node.place, why.to_owned()));
    if root.map().is_none() {
        return refuse(root, &format!("a rule is {}; write a mapping", root.kind()));
    }
    if let Some(action) = root.key("action") {
        return refuse(
            action,
            "`action` (global, reset, repeat) was taken out of Sigma; write each rule out, or use YAML anchors",
        );
    }
    if root.key("correlation").is_some() {
        if let Some(twice) = document.duplicates.first() {
            let why =
                format!("the key `{}` stands already in line {}", twice.key, twice.first.line);
            return Err(rule::error(file, twice.again, format!("{why}; write it once")));
        }
        return super::correlation::parse(root, file).map(Sigma::Correlation);
    }
    if root.key("filter").is_some() {
        return filter::parse(document, file).map(Sigma::Filter);
    }
    rule::parse(document, file).map(Sigma::Rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<String> {
        let mut told = Vec::new();
        load(text, "r.yml", &mut |document| {
            told.push(match document {
                Ok(Sigma::Rule(rule)) => format!("{} {}", rule.meta.title, rule.meta.place.line),
                Ok(_) => "other".to_owned(),
                Err(refused) => refused.to_string(),
            });
        });
        told
    }

    #[test]
    fn a_document_that_is_no_yaml_hides_none_of_the_others() {
        let rule = "title: t\nlogsource: {product: x}\ndetection: {a: {b: c}, condition: a}\n";
        let told = told(&format!("{rule}---\ntitle: [x\n---\n{rule}---\nx: *y\n---\n{rule}"));
        let [first, broken, second, alias, third] = told.as_slice() else {
            unreachable!("{told:?}")
        };
        assert_eq!([first, second, third], ["t 1", "t 7", "t 13"]);
        assert!(broken.starts_with("r.yml:") && alias.starts_with("r.yml:11:"), "{told:?}");
    }

    #[test]
    fn a_file_of_faults_is_given_up_and_says_so() {
        let told = told(&"x: *y\n---\n".repeat(1_000));
        assert_eq!(told.len(), FAULTS);
        assert!(told[FAULTS - 1].contains("what follows in the file was not read"), "{told:?}");
    }

    #[test]
    fn a_correlation_says_each_thing_once() {
        let told = told(
            "title: t\ncorrelation:\n  type: event_count\n  rules: [a]\n  rules: [b]\n  \
             timespan: 5m\n  condition: {gte: 2}\n",
        );
        assert!(
            told[0].contains("r.yml:5:3") && told[0].contains("`rules` stands already"),
            "{told:?}"
        );
    }

    #[test]
    fn a_search_may_be_called_rules() {
        let of = |condition: &str| {
            format!(
                "title: t\nlogsource: {{product: x}}\n\
                 detection: {{rules: {{b: c}}, condition: {condition}}}\n"
            )
        };
        assert_eq!(told(&of("rules")), ["t 1"]);
        assert_eq!(told(&of("1 of them")), ["t 1"]);
    }
}
