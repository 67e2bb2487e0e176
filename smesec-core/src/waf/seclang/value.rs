//! The small grammars inside values: target lists, macros, `setvar` and `ctl`.
use super::syntax::{Selector, Span, SyntaxError, TargetSyntax};

/// Text with macros such as `%{TX.score}`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Template {
    /// Its parts in order.
    pub parts: Vec<Part>,
}

/// One part of a [`Template`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Part {
    /// Literal text.
    Text(String),
    /// A macro.
    Variable {
        /// The collection, upper-cased.
        collection: String,
        /// What follows the first dot or colon.
        selector: Option<String>,
    },
}

impl Template {
    /// Reads a text; an unterminated `%{` is literal.
    pub fn parse(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = text;
        let mut plain = String::new();
        while let Some((before, after)) = rest.split_once("%{") {
            let Some((inside, tail)) = after.split_once('}') else { break };
            plain.push_str(before);
            if inside.is_empty() {
                plain.push_str("%{}");
            } else {
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                }
                let (name, selector) = match inside.split_once(['.', ':']) {
                    Some((name, selector)) => (name, Some(selector.to_owned())),
                    None => (inside, None),
                };
                parts.push(Part::Variable { collection: name.to_ascii_uppercase(), selector });
            }
            rest = tail;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Self { parts }
    }

    /// The text when there is no macro in it.
    pub fn is_plain(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }
}

/// The value of a `setvar` action.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SetVar {
    /// The collection, upper-cased.
    pub collection: String,
    /// The name within it.
    pub name: Template,
    /// What is done.
    pub op: SetOp,
}

/// What a `setvar` does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SetOp {
    /// Sets the value.
    Assign(Template),
    /// Adds to it.
    Add(Template),
    /// Subtracts from it.
    Subtract(Template),
    /// Removes the variable.
    Unset,
}

impl SetVar {
    /// Reads `tx.x=1`, `tx.x=+1`, `tx.x=-1`, `!tx.x` or `tx.x` (which sets 1).
    ///
    /// # Errors
    /// When collection or name is missing.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (unset, body) = match text.strip_prefix('!') {
            Some(rest) => (true, rest.trim_start()),
            None => (false, text),
        };
        let (target, value) = match body.split_once('=') {
            Some((target, value)) if !unset => (target.trim_end(), Some(value.trim_start())),
            _ => (body, None),
        };
        let Some((collection, name)) = target.split_once(['.', ':']) else {
            return Err(format!("`{text}` names no collection: write it as `tx.name=value`"));
        };
        if collection.is_empty() || name.is_empty() {
            return Err(format!(
                "`{text}` lacks a collection or name: write it as `tx.name=value`"
            ));
        }
        let op = match value {
            None if unset => SetOp::Unset,
            None => SetOp::Assign(Template::parse("1")),
            Some(value) => match (value.strip_prefix('+'), value.strip_prefix('-')) {
                (Some(by), _) => SetOp::Add(Template::parse(by)),
                (_, Some(by)) => SetOp::Subtract(Template::parse(by)),
                _ => SetOp::Assign(Template::parse(value)),
            },
        };
        Ok(Self { collection: collection.to_ascii_uppercase(), name: Template::parse(name), op })
    }
}

/// The value of a `ctl` action.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ctl {
    /// The option, lower-cased.
    pub name: String,
    /// The value up to the semicolon; ranges of ids stay as written.
    pub value: String,
    /// The target behind the semicolon.
    pub target: Option<TargetSyntax>,
}

impl Ctl {
    /// Reads `option=value` or `option=value;TARGET`.
    ///
    /// # Errors
    /// When there is no `=` or the target cannot be read.
    pub fn parse(text: &str, span: Span) -> Result<Self, SyntaxError> {
        let fail = |why| SyntaxError { span, rule: None, why };
        let Some((name, value)) = text.split_once('=') else {
            return Err(fail(format!("`{text}` has no value: write it as `option=value`")));
        };
        let name = name.trim().to_ascii_lowercase();
        let (value, target) = match value.split_once(';') {
            Some((value, target)) if name.contains("target") => {
                let mut list = parse_targets(target, span)?;
                let (Some(one), true) = (list.pop(), list.is_empty()) else {
                    return Err(fail(format!(
                        "`{target}` is not one target: write a `ctl` for each"
                    )));
                };
                (value, Some(one))
            }
            _ => (value, None),
        };
        Ok(Self { name, value: value.trim().to_owned(), target })
    }
}

/// Reads a target list such as `ARGS|!ARGS:foo|&REQUEST_HEADERS:Host`.
///
/// # Errors
/// For an empty target, an unclosed quote or a name with characters that no variable has.
pub fn parse_targets(text: &str, span: Span) -> Result<Vec<TargetSyntax>, SyntaxError> {
    let at = |offset: usize| Span {
        column: span.column.saturating_add(u32::try_from(offset).unwrap_or(u32::MAX)),
        ..span
    };
    targets(text, "|", &at)
}

/// Splits at any character of `separators` outside quotes and patterns.
pub(super) fn targets(
    text: &str,
    separators: &str,
    at: &dyn Fn(usize) -> Span,
) -> Result<Vec<TargetSyntax>, SyntaxError> {
    let mut list = Vec::new();
    let mut start = 0;
    loop {
        let piece = text.get(start..).unwrap_or_default();
        let length = extent(piece, separators);
        let (one, rest) = piece.split_at_checked(length).unwrap_or((piece, ""));
        let lead = one.len() - one.trim_start().len();
        list.push(target(one.trim(), at(start + lead))?);
        if rest.is_empty() {
            return Ok(list);
        }
        start += length + 1;
    }
}

fn is_xml(name: &str) -> bool {
    ["XML", "REQUEST_XML", "RESPONSE_XML"].iter().any(|xml| name.eq_ignore_ascii_case(xml))
}

/// How long the first target is.
fn extent(text: &str, separators: &str) -> usize {
    let end = text.find(|c| separators.contains(c)).unwrap_or(text.len());
    // Looked for in the first piece only: a long list must not be scanned once for each target.
    let Some(colon) = text.get(..end).and_then(|first| first.find(':')) else { return end };
    let name = text.get(..colon).unwrap_or_default().trim_start_matches([' ', '\t', '!', '&']);
    let after = text.get(colon + 1..).unwrap_or_default();
    let close = match after.chars().next() {
        Some('\'') => '\'',
        Some('/') if !is_xml(name.trim()) => '/',
        _ => return end,
    };
    let mut escaped = true;
    for (offset, c) in after.char_indices() {
        if escaped {
            // The opening mark counts as escaped.
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == close {
            let behind = colon + 1 + offset;
            let tail = text.get(behind..).unwrap_or_default();
            return tail.find(|c| separators.contains(c)).map_or(text.len(), |n| behind + n);
        }
    }
    text.len()
}

fn target(text: &str, span: Span) -> Result<TargetSyntax, SyntaxError> {
    let fail = |why| Err(SyntaxError { span, rule: None, why });
    let (mut exclude, mut count, mut rest) = (false, false, text);
    loop {
        if let Some(tail) = rest.strip_prefix('!').filter(|_| !exclude) {
            (exclude, rest) = (true, tail.trim_start());
        } else if let Some(tail) = rest.strip_prefix('&').filter(|_| !count) {
            (count, rest) = (true, tail.trim_start());
        } else {
            break;
        }
    }
    let (name, selector) = match rest.split_once([':', '.']) {
        Some((name, selector)) => (name.trim_end(), Some(selector.trim_start())),
        None => (rest, None),
    };
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return fail(format!("`{text}` is not a target: write `NAME` or `NAME:selector`"));
    }
    let selector = match selector {
        None => None,
        Some("") => {
            return fail(format!("`{text}` has an empty selector: name one or drop the colon"));
        }
        Some(path) if is_xml(name) => Some(Selector::XPath(path.to_owned())),
        Some(written) => {
            let inner = match written.strip_prefix('\'') {
                None => written.to_owned(),
                Some(quoted) => match quoted.strip_suffix('\'') {
                    Some(inner) => inner.replace("\\'", "'"),
                    None => return fail(format!("`{text}` has an open quote: close it with `'`")),
                },
            };
            Some(match inner.strip_prefix('/') {
                None => Selector::Name(inner),
                Some(open) => match open.strip_suffix('/') {
                    Some(pattern) => Selector::Regex(pattern.replace("\\/", "/")),
                    None => {
                        return fail(format!("`{text}` has an open pattern: close it with `/`"));
                    }
                },
            })
        }
    };
    Ok(TargetSyntax { span, exclude, count, collection: name.to_ascii_uppercase(), selector })
}
