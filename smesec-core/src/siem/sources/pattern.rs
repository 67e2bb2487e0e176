//! Formats that users define, as data: a pattern with named groups becomes fields and a log source.
//!
//! ```
//! use smesec_core::siem::sources::pattern::Patterns;
//! use smesec_core::siem::sources::{Format, ReaderOptions, records_of};
//! use std::sync::Arc;
//!
//! let patterns = Patterns::parse("shop.yml", r#"
//! sources:
//!   - name: shop audit
//!     pattern: '^(?<when>\S+) door (?<door>\d+) (?<outcome>opened|refused) by (?<user>.+)$'
//!     time: when
//!     fields: {door: door.number}
//!     product: shop
//!     service: doors
//! "#)?;
//! let options = ReaderOptions { patterns: Some(Arc::new(patterns)), ..Default::default() };
//! let line = b"2026-03-02T06:00:00Z door 7 refused by Alice B\n";
//! records_of(Format::Auto, "doors.log", line, options, &mut |line| {
//!     let record = line.unwrap();
//!     assert_eq!(record.log_source.service, "doors");
//!     assert_eq!(record.first("door.number").unwrap().text, "7");
//!     assert_eq!(record.first("user").unwrap().text, "Alice B");
//!     assert_eq!(record.time.to_string(), "2026-03-02T06:00:00.000000000Z");
//! });
//! # Ok::<(), smesec_core::error::RuleError>(())
//! ```

use super::draft::{Draft, Fault};
use super::{Context, stamp};
use crate::decode::yaml::{self, Limits, Node};
use crate::error::RuleError;
use crate::siem::record::{Kind, LogSource};
use regex_automata::meta::{Config, Regex};
use regex_automata::util::captures::Captures;
use regex_automata::util::syntax;

/// Formats by pattern; the first in its file that matches a line reads it.
#[derive(Debug)]
pub struct Patterns {
    all: Regex,
    sources: Vec<Source>,
}

#[derive(Debug)]
struct Source {
    /// By group: the field's name; `None` for groups without one.
    names: Vec<Option<String>>,
    time: Option<usize>,
    product: String,
    category: String,
    service: String,
}

/// A line that a pattern matches.
pub(super) struct Found<'p> {
    source: &'p Source,
    groups: Captures,
}

/// What all patterns of a file may take when compiled: the limit of the `regex` crate for one.
const COMPILED: usize = 10 << 20;

impl Patterns {
    /// Reads a YAML document with a list `sources`. Each has a `pattern` (a regular expression whose
    /// named groups are the fields; its classes are ASCII's), and may have `product`, `category`, `service`, `time` (the
    /// group that holds the time: ISO 8601, RFC 3164's, an access log's, or a number since 1970)
    /// and `fields` (other names for groups, where a field's name is none for a group).
    ///
    /// # Errors
    /// What is no YAML, no such list or no pattern, with its place.
    pub fn parse(file: &str, text: &str) -> Result<Self, RuleError> {
        let error =
            |node: &Node, why: &str| RuleError::new(file, node.place.line, node.place.column, why);
        let mut patterns = Vec::new();
        let mut sources = Vec::new();
        for document in yaml::documents(text, file, Limits::default()) {
            let root = document?.root;
            let list = root.key("sources").and_then(Node::list);
            for node in list.ok_or_else(|| error(&root, "a list `sources` is expected"))? {
                let told = |key: &str| node.key(key).and_then(Node::as_str).unwrap_or_default();
                let pattern = node
                    .key("pattern")
                    .filter(|pattern| pattern.as_str().is_some())
                    .ok_or_else(|| error(node, "a source needs a `pattern`"))?;
                let text = pattern.as_str().unwrap_or_default();
                let one = compiled(&[text]).map_err(|why| error(pattern, &why))?;
                let groups = one.group_info();
                let group = |name: &str| groups.to_index(regex_automata::PatternID::ZERO, name);
                let time = match node.key("time") {
                    None => None,
                    Some(time) => {
                        let name = time.as_str().unwrap_or_default();
                        let why = format!(
                            "`{name}` is no group of the pattern; name the one with the time"
                        );
                        Some(group(name).ok_or_else(|| error(time, &why))?)
                    }
                };
                let mut names: Vec<Option<String>> = groups
                    .pattern_names(regex_automata::PatternID::ZERO)
                    .map(|name| name.map(str::to_owned))
                    .collect();
                for (from, to) in node.key("fields").and_then(Node::map).unwrap_or_default() {
                    let name = from.as_str().unwrap_or_default();
                    let at = group(name).and_then(|at| names.get_mut(at));
                    let why = format!("`{name}` is no group of the pattern; name one that is");
                    *at.ok_or_else(|| error(from, &why))? = to.as_str().map(str::to_owned);
                }
                let (product, category, service) =
                    (told("product").into(), told("category").into(), told("service").into());
                sources.push(Source { names, time, product, category, service });
                patterns.push(text.to_owned());
            }
        }
        let texts: Vec<&str> = patterns.iter().map(String::as_str).collect();
        let all = compiled(&texts).map_err(|why| RuleError::new(file, 1, 1, why))?;
        Ok(Self { all, sources })
    }

    /// The source whose pattern matches a line.
    pub(super) fn find(&self, line: &str) -> Option<Found<'_>> {
        // Where a line cannot match, which is usual, no groups are made.
        if !self.all.is_match(line) {
            return None;
        }
        let mut groups = self.all.create_captures();
        self.all.captures(line, &mut groups);
        let source = self.sources.get(groups.pattern()?.as_usize())?;
        Some(Found { source, groups })
    }
}

fn compiled(patterns: &[&str]) -> Result<Regex, String> {
    let limits = Config::new().nfa_size_limit(Some(COMPILED)).onepass_size_limit(Some(COMPILED));
    // Classes such as `\d` and `\s` are ASCII's: logs' are, and the tables of Unicode stay out.
    let syntax = syntax::Config::new().unicode(false).utf8(false);
    Regex::builder().configure(limits).syntax(syntax).build_many(patterns).map_err(|error| {
        match (error.size_limit(), error.syntax_error()) {
            (Some(_), _) => "the patterns are too large; bound their repetitions".to_owned(),
            // The parser draws the pattern with a mark below; its last line says what is wrong.
            (_, Some(fault)) => {
                let text = fault.to_string();
                let last = text.lines().last().unwrap_or_default();
                format!("no regular expression: {}", last.trim_start_matches("error: "))
            }
            _ => format!("no regular expression: {error}"),
        }
    })
}

impl<'p> Found<'p> {
    /// Reads the line that was found.
    pub(super) fn read<'l>(
        &self,
        line: &'l str,
        context: &Context,
        draft: &mut Draft<'l>,
    ) -> Result<(), Fault>
    where
        'p: 'l,
    {
        let source: &'p Source = self.source;
        draft.raw = line;
        draft.log_source = LogSource {
            product: &source.product,
            category: &source.category,
            service: &source.service,
        };
        for (n, name) in source.names.iter().enumerate() {
            let Some(span) = self.groups.get_group(n) else { continue };
            let text = line.get(span.range()).unwrap_or_default();
            if source.time == Some(n) {
                draft.time = any_time(text, context);
            }
            if let Some(name) = name {
                let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                draft.push(name, text, if digits { Kind::Number } else { Kind::Text })?;
            }
        }
        Ok(())
    }
}

fn any_time(text: &str, context: &Context) -> Option<crate::time::Timestamp> {
    stamp::iso(text, context.zone)
        .or_else(|| stamp::bsd(text, context.now, context.zone))
        .or_else(|| stamp::common_log(text, context.zone))
        .or_else(|| stamp::apache(text, context.zone))
        .map(|(time, _)| time)
        .or_else(|| stamp::epoch(text))
}
