//! The part of XPath 1.0 that rules use to point into an [`XmlDocument`].
//!
//! Location paths from the root: `/a/b`, `//a`, `*`, `prefix:*`, `@name`, `@*`, `text()`,
//! `node()`, and the predicates `[n]`, `[@a]` and `[@a='v']`. A path without a leading `/` starts
//! at the root too, where `ModSecurity` evaluates it.
//!
//! ```
//! use smesec_core::decode::body::{xml::{XmlDocument, XmlLimits}, xpath::XPath};
//!
//! let text = b"<o xmlns:s='urn:s'><s:item id='1'>pen</s:item><s:item id='2'>ink</s:item></o>";
//! let document = XmlDocument::parse(text, XmlLimits::default())?;
//! let path = XPath::compile_with("//x:item[@id='2']/text()", &[("x", "urn:s")])?;
//! document.select(&path, &mut |value| assert_eq!(value, b"ink"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use super::xml::{Attribute, Kind, Node, XmlDocument};
use memchr::memchr;
use std::fmt;
use std::ops::Range;

/// A compiled location path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XPath {
    steps: Vec<Step>,
}

/// Where and why an expression was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unsupported XPath at byte {offset}: {what}")]
pub struct XPathError {
    /// The byte of the expression at which the fault was seen.
    pub offset: usize,
    /// The fault.
    pub what: XPathFault,
}

/// Why an expression was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum XPathFault {
    /// The expression is empty.
    Empty,
    /// There are more than 64 steps or predicates, or more than 4096 bytes.
    TooLong,
    /// A step names no node.
    ExpectedNodeTest,
    /// A function, an axis or an operator that is not supported.
    Unsupported,
    /// A predicate is neither a position nor a test of an attribute.
    UnsupportedPredicate,
    /// A step follows an attribute, which has no children.
    AfterAttribute,
}

impl fmt::Display for XPathFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the expression is empty",
            Self::TooLong => "the expression is too long",
            Self::ExpectedNodeTest => "expected a name, `*`, `@`, `text()` or `node()`",
            Self::Unsupported => "only location paths are supported",
            Self::UnsupportedPredicate => {
                "a predicate must be a position, `[@name]` or `[@name='value']`"
            }
            Self::AfterAttribute => "nothing can follow an attribute",
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    DescendantOrSelf,
    Child(Test, Vec<Predicate>),
    Attribute(Name, Vec<Predicate>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Name(Name),
    Text,
    Node,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    Any,
    /// The name with its prefix, as the document writes it.
    Written(Vec<u8>),
    /// Every name with this prefix (the colon included).
    Prefixed(Vec<u8>),
    /// A name, or every one, in a namespace.
    Bound {
        namespace: Vec<u8>,
        local: Option<Vec<u8>>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Predicate {
    Position(usize),
    Attribute(Name, Option<Vec<u8>>),
}

const MAX_BYTES: usize = 4096;
const MAX_STEPS: usize = 64;

impl XPath {
    /// Compiles an expression; prefixes are compared as the document writes them.
    ///
    /// # Errors
    /// [`XPathError`] for what goes beyond the subset.
    pub fn compile(expression: &str) -> Result<Self, XPathError> {
        Self::compile_with(expression, &[])
    }

    /// Compiles an expression in which the given prefixes stand for namespaces, as the `xmlns`
    /// action binds them. Other prefixes are compared as the document writes them.
    ///
    /// # Errors
    /// [`XPathError`] for what goes beyond the subset.
    pub fn compile_with(expression: &str, namespaces: &[(&str, &str)]) -> Result<Self, XPathError> {
        let bytes = expression.trim_ascii().as_bytes();
        let mut compiler = Compiler { rest: bytes, namespaces, parts: 0 };
        compiler
            .path()
            .map(|steps| Self { steps })
            .map_err(|what| XPathError { offset: bytes.len() - compiler.rest.len(), what })
    }
}

struct Compiler<'a> {
    rest: &'a [u8],
    namespaces: &'a [(&'a str, &'a str)],
    parts: usize,
}

impl Compiler<'_> {
    fn path(&mut self) -> Result<Vec<Step>, XPathFault> {
        if self.rest.is_empty() {
            return Err(XPathFault::Empty);
        }
        if self.rest.len() > MAX_BYTES {
            return Err(XPathFault::TooLong);
        }
        let mut steps = Vec::new();
        if self.rest == b"/" {
            self.rest = &[];
            return Ok(steps);
        }
        let mut first = true;
        while first || !self.rest.is_empty() {
            if matches!(steps.last(), Some(Step::Attribute(..))) {
                return Err(XPathFault::AfterAttribute);
            }
            if self.take(b"//") {
                steps.push(Step::DescendantOrSelf);
            } else if !self.take(b"/") && !first {
                return Err(XPathFault::Unsupported);
            }
            first = false;
            self.count()?;
            steps.push(self.step()?);
        }
        Ok(steps)
    }

    fn take(&mut self, token: &[u8]) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn count(&mut self) -> Result<(), XPathFault> {
        self.parts += 1;
        if self.parts > MAX_STEPS { Err(XPathFault::TooLong) } else { Ok(()) }
    }

    fn step(&mut self) -> Result<Step, XPathFault> {
        if self.take(b"@") || self.take(b"attribute::") {
            let name = self.name()?;
            return Ok(Step::Attribute(name, self.predicates()?));
        }
        self.take(b"child::");
        let test = if self.take(b"text()") {
            Test::Text
        } else if self.take(b"node()") {
            Test::Node
        } else {
            Test::Name(self.name()?)
        };
        if matches!(self.rest.first(), Some(b'(' | b':')) {
            return Err(XPathFault::Unsupported);
        }
        Ok(Step::Child(test, self.predicates()?))
    }

    fn name(&mut self) -> Result<Name, XPathFault> {
        if self.take(b"*") {
            return Ok(Name::Any);
        }
        let letter =
            |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | 0x80..);
        let width = |input: &[u8]| input.iter().take_while(|byte| letter(byte)).count();
        let (head, tail) = self.rest.split_at(width(self.rest));
        if head.first().is_none_or(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'.')) {
            return Err(XPathFault::ExpectedNodeTest);
        }
        let Some(after) = tail.strip_prefix(b":").filter(|after| !after.starts_with(b":")) else {
            self.rest = tail;
            return Ok(Name::Written(head.to_vec()));
        };
        let bound = self.namespaces.iter().find(|(prefix, _)| prefix.as_bytes() == head);
        let namespace = bound.map(|(_, address)| address.as_bytes().to_vec());
        let (local, rest) = if let Some(rest) = after.strip_prefix(b"*") {
            (None, rest)
        } else {
            let (local, rest) = after.split_at(width(after));
            if local.is_empty() {
                return Err(XPathFault::ExpectedNodeTest);
            }
            (Some(local), rest)
        };
        self.rest = rest;
        Ok(match (namespace, local) {
            (Some(namespace), local) => Name::Bound { namespace, local: local.map(<[u8]>::to_vec) },
            (None, Some(local)) => Name::Written([head, b":", local].concat()),
            (None, None) => Name::Prefixed([head, b":"].concat()),
        })
    }

    fn predicates(&mut self) -> Result<Vec<Predicate>, XPathFault> {
        let mut out = Vec::new();
        while self.take(b"[") {
            self.count()?;
            self.rest = self.rest.trim_ascii_start();
            let predicate = if self.take(b"@") {
                let name = self.name().map_err(|_| XPathFault::UnsupportedPredicate)?;
                self.rest = self.rest.trim_ascii_start();
                let value = if self.take(b"=") { Some(self.literal()?) } else { None };
                Predicate::Attribute(name, value)
            } else {
                let width = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                let (digits, rest) = self.rest.split_at(width);
                let number = std::str::from_utf8(digits).ok().and_then(|d| d.parse().ok());
                let number = number.filter(|number| *number > 0);
                let number = number.ok_or(XPathFault::UnsupportedPredicate)?;
                self.rest = rest;
                Predicate::Position(number)
            };
            out.push(predicate);
            self.rest = self.rest.trim_ascii_start();
            if !self.take(b"]") {
                return Err(XPathFault::UnsupportedPredicate);
            }
        }
        Ok(out)
    }

    fn literal(&mut self) -> Result<Vec<u8>, XPathFault> {
        let input = self.rest.trim_ascii_start();
        let quoted = match input {
            [quote @ (b'"' | b'\''), inside @ ..] => memchr(*quote, inside).map(|at| (inside, at)),
            _ => None,
        };
        let (inside, at) = quoted.ok_or(XPathFault::UnsupportedPredicate)?;
        self.rest = inside.get(at + 1..).unwrap_or_default();
        Ok(inside.get(..at).unwrap_or_default().to_vec())
    }
}

impl XmlDocument {
    /// Calls `each` with the string value of every node that `path` selects, in document order.
    ///
    /// The string value of an element is the text of all its descendants. The work of a step is
    /// linear in the document, but for the sorting of what `//` gathers.
    pub fn select(&self, path: &XPath, each: &mut dyn FnMut(&[u8])) {
        let mut current = vec![0];
        for step in &path.steps {
            match step {
                Step::DescendantOrSelf => current = self.descendants(&current),
                Step::Child(test, predicates) => {
                    current = self.children(&current, test, predicates);
                }
                Step::Attribute(name, predicates) => {
                    return self.select_attributes(&current, name, predicates, each);
                }
            }
        }
        for node in current.iter().filter_map(|at| self.nodes.get(*at)) {
            each(self.text(&node.text));
        }
    }

    /// All nodes of the subtrees of `current`, which is in document order.
    fn descendants(&self, current: &[usize]) -> Vec<usize> {
        let mut out = Vec::new();
        let mut covered = 0;
        for at in current {
            let end = self.nodes.get(*at).map_or(0, |node| node.end);
            out.extend(covered.max(*at)..end);
            covered = covered.max(end);
        }
        out
    }

    fn children(&self, current: &[usize], test: &Test, predicates: &[Predicate]) -> Vec<usize> {
        let mut out = Vec::new();
        for at in current {
            let Some(parent) = self.nodes.get(*at) else { continue };
            let first = out.len();
            let mut child = at + 1;
            while child < parent.end {
                let Some(node) = self.nodes.get(child) else { break };
                if self.node_matches(node, test) {
                    out.push(child);
                }
                child = node.end;
            }
            for predicate in predicates {
                match predicate {
                    Predicate::Position(number) => {
                        let kept = out.get(first + number - 1).copied();
                        out.truncate(first);
                        out.extend(kept);
                    }
                    Predicate::Attribute(name, value) => {
                        let mut at = 0;
                        out.retain(|child| {
                            at += 1;
                            at <= first || self.has_attribute(*child, name, value.as_deref())
                        });
                    }
                }
            }
        }
        out.sort_unstable();
        out.dedup();
        out
    }

    fn select_attributes(
        &self,
        current: &[usize],
        name: &Name,
        predicates: &[Predicate],
        each: &mut dyn FnMut(&[u8]),
    ) {
        for node in current.iter().filter_map(|at| self.nodes.get(*at)) {
            let mut chosen: Vec<&Attribute> = self
                .attributes_of(node)
                .filter(|a| self.name_matches(&a.name, &a.namespace, name))
                .collect();
            for predicate in predicates {
                chosen = match predicate {
                    Predicate::Position(number) => {
                        chosen.get(number - 1).copied().into_iter().collect()
                    }
                    Predicate::Attribute(..) => Vec::new(),
                };
            }
            for attribute in chosen {
                each(self.string(&attribute.value));
            }
        }
    }

    fn attributes_of(&self, node: &Node) -> impl Iterator<Item = &Attribute> {
        self.attributes.get(node.attributes.clone()).unwrap_or_default().iter()
    }

    fn has_attribute(&self, at: usize, name: &Name, value: Option<&[u8]>) -> bool {
        self.nodes.get(at).is_some_and(|node| {
            self.attributes_of(node).any(|attribute| {
                self.name_matches(&attribute.name, &attribute.namespace, name)
                    && value.is_none_or(|value| value == self.string(&attribute.value))
            })
        })
    }

    fn node_matches(&self, node: &Node, test: &Test) -> bool {
        match test {
            Test::Node => true,
            Test::Text => node.kind == Kind::Text,
            Test::Name(name) => {
                node.kind == Kind::Element && self.name_matches(&node.name, &node.namespace, name)
            }
        }
    }

    fn name_matches(&self, name: &Range<usize>, namespace: &Range<usize>, test: &Name) -> bool {
        let written = self.string(name);
        match test {
            Name::Any => true,
            Name::Written(wanted) => written == wanted,
            Name::Prefixed(prefix) => written.starts_with(prefix),
            Name::Bound { namespace: wanted, local } => {
                let after = memchr(b':', written).map_or(0, |at| at + 1);
                self.string(namespace) == wanted
                    && local.as_deref().is_none_or(|local| written.get(after..) == Some(local))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::xml::XmlLimits;
    use super::*;

    const TEXT: &str = "<r xmlns='urn:d' xmlns:p='urn:p' id='0'><a id='1'>x<b>y</b></a>\
        <p:a id='2' p:id='3'>z</p:a><a id='4'><a id='5'>deep</a>tail</a></r>";

    fn select(path: &XPath) -> Vec<String> {
        let document = XmlDocument::parse(TEXT.as_bytes(), XmlLimits::default()).unwrap();
        let mut out = Vec::new();
        document.select(path, &mut |value| out.push(String::from_utf8(value.to_vec()).unwrap()));
        out
    }

    #[test]
    fn selects_what_the_expression_says() {
        for (expression, wanted) in [
            ("/", &["xyzdeeptail"][..]),
            ("/*", &["xyzdeeptail"]),
            ("/r", &["xyzdeeptail"]),
            ("r/a", &["xy", "deeptail"]),
            ("/r/a", &["xy", "deeptail"]),
            ("/a", &[]),
            ("//a", &["xy", "deeptail", "deep"]),
            ("//a/a", &["deep"]),
            ("//a//a", &["deep"]),
            ("//p:a", &["z"]),
            ("//p:*", &["z"]),
            ("/r/*", &["xy", "z", "deeptail"]),
            ("/r/*[2]", &["z"]),
            ("/r/a[2]", &["deeptail"]),
            ("//a[1]", &["xy", "deep"]),
            ("//a[3]", &[]),
            ("//*[@id='4']", &["deeptail"]),
            ("//*[ @id = \"4\" ][1]/a", &["deep"]),
            ("//a[@p:id]", &[]),
            ("//*[@p:id]", &["z"]),
            ("//*[@*]", &["xyzdeeptail", "xy", "z", "deeptail", "deep"]),
            ("//@*", &["0", "1", "2", "3", "4", "5"]),
            ("//@id", &["0", "1", "2", "4", "5"]),
            ("//@p:id", &["3"]),
            ("/r/a/@id", &["1", "4"]),
            ("/@*", &[]),
            ("//@*[2]", &["3"]),
            ("//text()", &["x", "y", "z", "deep", "tail"]),
            ("/r/a/text()", &["x", "tail"]),
            ("/r/a/node()", &["x", "y", "deep", "tail"]),
            ("/child::r/attribute::id", &["0"]),
        ] {
            assert_eq!(select(&XPath::compile(expression).unwrap()), wanted, "{expression}");
        }
    }

    #[test]
    fn binds_prefixes_to_namespaces() {
        let bound = |expression| {
            let names = [("x", "urn:p"), ("d", "urn:d")];
            select(&XPath::compile_with(expression, &names).unwrap())
        };
        assert_eq!(bound("//x:a"), ["z"]);
        assert_eq!(bound("//x:*"), ["z"]);
        assert_eq!(bound("/d:r/d:a[1]"), ["xy"]);
        assert_eq!(bound("//@x:id"), ["3"]);
        assert_eq!(bound("//p:a"), ["z"]);
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for (expression, what) in [
            ("", XPathFault::Empty),
            ("//", XPathFault::ExpectedNodeTest),
            ("/a/", XPathFault::ExpectedNodeTest),
            ("/a/..", XPathFault::ExpectedNodeTest),
            ("///a", XPathFault::ExpectedNodeTest),
            ("/a|/b", XPathFault::Unsupported),
            ("count(/a)", XPathFault::Unsupported),
            ("/ancestor::a", XPathFault::Unsupported),
            ("/a[last()]", XPathFault::UnsupportedPredicate),
            ("/a[0]", XPathFault::UnsupportedPredicate),
            ("/a[b='c']", XPathFault::UnsupportedPredicate),
            ("/a[@b='c]", XPathFault::UnsupportedPredicate),
            ("/a[1", XPathFault::UnsupportedPredicate),
            ("/@a/b", XPathFault::AfterAttribute),
        ] {
            assert_eq!(XPath::compile(expression).unwrap_err().what, what, "{expression}");
        }
        let long = "/a".repeat(65);
        assert_eq!(XPath::compile(&long).unwrap_err().what, XPathFault::TooLong);
        assert_eq!(
            XPath::compile("/a|/b").unwrap_err().to_string(),
            "unsupported XPath at byte 2: only location paths are supported"
        );
    }

    #[test]
    fn stays_linear_where_paths_invite_products() {
        let depth = 250;
        let text =
            format!("{}{}{}", "<a>".repeat(depth), "<a/>".repeat(90_000), "</a>".repeat(depth));
        let document = XmlDocument::parse(text.as_bytes(), XmlLimits::default()).unwrap();
        let path = XPath::compile(&"//a".repeat(30)).unwrap();
        let mut count = 0;
        document.select(&path, &mut |_| count += 1);
        assert_eq!(count, 90_000 + depth - 29);
    }
}
