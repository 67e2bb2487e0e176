//! From a file's text to documents, each with its kind.

use super::filter::{self, Filter};
use super::rule::{self, Rule};
use crate::decode::yaml::{self, Document, Node};
use crate::error::RuleError;
use crate::ruleset::Refused;

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
    for document in yaml::documents(text, file, yaml::Limits::default()) {
        match document {
            Ok(document) if document.root.scalar() == Some(yaml::Scalar::Null) => {}
            Ok(document) => {
                let id = document.root.key("id").and_then(Node::as_str).map(str::to_owned);
                each(one(&document, file).map_err(|error| refused(&error, id)));
            }
            Err(error) => each(Err(refused(&error, None))),
        }
    }
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
        return super::correlation::parse(root, file).map(Sigma::Correlation);
    }
    if root.key("filter").is_some() {
        return filter::parse(document, file).map(Sigma::Filter);
    }
    rule::parse(document, file).map(Sigma::Rule)
}
