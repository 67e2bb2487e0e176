//! XML bodies as a flat tree for [`XPath`](super::xpath::XPath) expressions.
//!
//! The parser is a non-validating one. It expands the entities that the document itself declares, as
//! applications do, within a depth of 8 and 1 MiB, so that no bomb is behind a document. It opens no
//! external one: a reference to it stays in the text as it was written and is counted, and the declared
//! values and addresses can be inspected by themselves.
//!
//! ```
//! use smesec_core::decode::body::xml::{XmlDocument, XmlLimits};
//! use smesec_core::decode::body::xpath::XPath;
//!
//! let document = XmlDocument::parse(b"<a id='7'><b>x &lt; y</b></a>", XmlLimits::default())?;
//! let mut seen = Vec::new();
//! document.select(&XPath::compile("/*")?, &mut |value| seen.push(value.to_vec()));
//! document.select(&XPath::compile("//@*")?, &mut |value| seen.push(value.to_vec()));
//! assert_eq!(seen, [b"x < y".to_vec(), b"7".to_vec()]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Sources: XML 1.0 (fifth edition), Namespaces in XML 1.0.

use super::xml_encoding::to_utf8;
use super::xml_entity::{self, Entities};
pub use super::xml_walk::Element;
use memchr::{memchr, memchr2, memmem};
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::rc::Rc;

/// What an XML body may cost; see [`Default`] for the values and their reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XmlLimits {
    /// Bytes of the document as it was received.
    pub bytes: usize,
    /// Elements open at once.
    pub depth: usize,
    /// Elements, attributes and texts together.
    pub nodes: usize,
    /// Namespace declarations in scope at once.
    pub namespaces: usize,
}

impl Default for XmlLimits {
    fn default() -> Self {
        Self {
            // As much as the usual request limit lets through.
            bytes: 16 << 20,
            // The limit of the parser that most applications use.
            depth: 256,
            // Some 10 MiB of tree; a purchase order of thousands of lines stays far below.
            nodes: 100_000,
            // Office formats declare about thirty.
            namespaces: 256,
        }
    }
}

/// Why a document was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum XmlFault {
    /// The encoding declared is neither UTF-8, UTF-16, ISO-8859-1 nor Windows-1252.
    UnsupportedEncoding,
    /// The bytes are not what the encoding allows.
    InvalidEncoding,
    /// A character that XML does not allow.
    InvalidCharacter,
    /// Something other than a name stands where a name should.
    ExpectedName,
    /// A tag is malformed.
    InvalidTag,
    /// An attribute has no quoted value, or its value holds `<`.
    InvalidAttribute,
    /// An element has two attributes of one name.
    DuplicateAttribute,
    /// An end tag does not match the element that is open.
    TagMismatch,
    /// A comment holds `--`.
    InvalidComment,
    /// A processing instruction is malformed, or an XML declaration is not at the start.
    InvalidInstruction,
    /// A `DOCTYPE` is malformed or in the wrong place.
    InvalidDoctype,
    /// `]]>` stands in text.
    CdataEndInText,
    /// A `&` begins no reference, or one to a character that XML does not allow.
    InvalidReference,
    /// An entity is referred to that nothing can have declared, or whose declaration depends on a
    /// parameter entity.
    UndeclaredEntity,
    /// Entities lie deeper in each other than 8, or stand for more than 1 MiB or [`XmlLimits::bytes`].
    EntityLimit,
    /// Something other than comments and instructions precedes or follows the root element.
    OutsideRoot,
    /// There is no root element.
    NoRoot,
    /// The document ends inside a construct or an element.
    Truncated,
    /// [`XmlLimits::bytes`] was reached.
    TooLong,
    /// [`XmlLimits::depth`] was reached.
    TooDeep,
    /// [`XmlLimits::nodes`] was reached.
    TooManyNodes,
    /// [`XmlLimits::namespaces`] was reached.
    TooManyNamespaces,
}

impl XmlFault {
    /// True when the document may be well formed but goes beyond a limit.
    pub fn is_limit(self) -> bool {
        matches!(
            self,
            Self::TooLong
                | Self::TooDeep
                | Self::TooManyNodes
                | Self::TooManyNamespaces
                | Self::EntityLimit
        )
    }
}

impl fmt::Display for XmlFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnsupportedEncoding => "unsupported encoding",
            Self::InvalidEncoding => "bytes that the encoding does not allow",
            Self::InvalidCharacter => "invalid character",
            Self::ExpectedName => "expected a name",
            Self::InvalidTag => "malformed tag",
            Self::InvalidAttribute => "malformed attribute",
            Self::DuplicateAttribute => "an attribute is given twice",
            Self::TagMismatch => "end tag does not match its start tag",
            Self::InvalidComment => "`--` in a comment",
            Self::InvalidInstruction => "malformed processing instruction",
            Self::InvalidDoctype => "malformed or misplaced DOCTYPE",
            Self::CdataEndInText => "`]]>` in text",
            Self::InvalidReference => "malformed reference",
            Self::UndeclaredEntity => "reference to an undeclared entity",
            Self::EntityLimit => "entities stand for more than the limit",
            Self::OutsideRoot => "data outside the root element",
            Self::NoRoot => "no root element",
            Self::Truncated => "the document ends too early",
            Self::TooLong => "longer than the limit",
            Self::TooDeep => "nested deeper than the limit",
            Self::TooManyNodes => "more nodes than the limit",
            Self::TooManyNamespaces => "more namespaces than the limit",
        })
    }
}

/// Where and why a document was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid XML at byte {offset}: {what}")]
pub struct XmlError {
    /// The byte at which the fault was seen, in the document's UTF-8 form.
    pub offset: usize,
    /// The fault.
    pub what: XmlFault,
}

/// A well-formed XML document.
///
/// All nodes lie in one array in document order, so that a subtree is a range of it, and all text
/// in one buffer, so that the string value of an element is a slice.
#[derive(Debug, Default)]
pub struct XmlDocument {
    pub(super) nodes: Vec<Node>,
    pub(super) attributes: Vec<Attribute>,
    text: Vec<u8>,
    strings: Vec<u8>,
    entities: Vec<Range<usize>>,
    entity_references: usize,
    doctype_seen: bool,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) name: Range<usize>,
    pub(super) namespace: Range<usize>,
    pub(super) attributes: Range<usize>,
    pub(super) text: Range<usize>,
    /// The first node after the subtree.
    pub(super) end: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Root,
    Element,
    Text,
}

#[derive(Debug)]
pub(super) struct Attribute {
    pub(super) name: Range<usize>,
    pub(super) namespace: Range<usize>,
    pub(super) value: Range<usize>,
}

impl XmlDocument {
    /// Parses a whole document.
    ///
    /// # Errors
    /// The first thing that is not well formed, or the limit that was reached. What was read
    /// before is lost; [`parse_partial`](Self::parse_partial) keeps it.
    pub fn parse(bytes: &[u8], limits: XmlLimits) -> Result<Self, XmlError> {
        match Self::parse_partial(bytes, limits) {
            (document, None) => Ok(document),
            (_, Some(error)) => Err(error),
        }
    }

    /// Parses as much of a document as is well formed: an application may be content with it.
    ///
    /// Elements that the fault left open end there.
    pub fn parse_partial(bytes: &[u8], limits: XmlLimits) -> (Self, Option<XmlError>) {
        let fail = |offset, what| (Self::default(), Some(XmlError { offset, what }));
        if bytes.len() > limits.bytes {
            return fail(limits.bytes, XmlFault::TooLong);
        }
        let utf8 = match to_utf8(bytes) {
            Ok(utf8) => utf8,
            Err((offset, what)) => return fail(offset, what),
        };
        let utf8 = utf8.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&utf8);
        let mut parser = Parser::new(utf8, limits);
        let outcome = parser.document();
        let offset = utf8.len() - parser.rest.len();
        (parser.close(), outcome.err().map(|what| XmlError { offset, what }))
    }

    /// True when the document has a `DOCTYPE`.
    pub fn doctype_seen(&self) -> bool {
        self.doctype_seen
    }

    /// How many entities the `DOCTYPE` declares.
    pub fn entities_declared(&self) -> usize {
        self.entities.len()
    }

    /// The quoted values and addresses in the entity declarations, as written.
    pub fn entity_values(&self) -> impl Iterator<Item = &[u8]> {
        self.entities.iter().map(|range| self.string(range))
    }

    /// How many references to external entities were left as written.
    pub fn entity_references(&self) -> usize {
        self.entity_references
    }

    pub(super) fn string(&self, range: &Range<usize>) -> &[u8] {
        self.strings.get(range.clone()).unwrap_or_default()
    }

    pub(super) fn text(&self, range: &Range<usize>) -> &[u8] {
        self.text.get(range.clone()).unwrap_or_default()
    }
}

struct Parser<'a> {
    rest: &'a [u8],
    limits: XmlLimits,
    document: XmlDocument,
    /// The open elements, by their place in the array.
    open: Vec<usize>,
    /// Prefix, address and the depth that declared it, innermost last.
    scopes: Vec<(Range<usize>, Range<usize>, usize)>,
    /// Where the text that is not a node yet begins.
    pending: usize,
    root_seen: bool,
    sorted: Vec<Range<usize>>,
    entities: Entities,
    /// How many entities are open.
    inside: usize,
}

type Outcome<T = ()> = Result<T, XmlFault>;

pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

pub(super) fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':' | b'-' | b'.' | 0x80..)
}

impl<'a> Parser<'a> {
    fn new(input: &'a [u8], limits: XmlLimits) -> Self {
        let root = Node {
            kind: Kind::Root,
            name: 0..0,
            namespace: 0..0,
            attributes: 0..0,
            text: 0..0,
            end: 0,
        };
        let document = XmlDocument { nodes: vec![root], ..XmlDocument::default() };
        Self {
            rest: input,
            limits,
            document,
            open: vec![0],
            scopes: Vec::new(),
            pending: 0,
            root_seen: false,
            sorted: Vec::new(),
            entities: Entities::default(),
            inside: 0,
        }
    }

    fn document(&mut self) -> Outcome {
        if self.rest.starts_with(b"<?xml") && self.rest.get(5).copied().is_some_and(is_space) {
            self.skip_past(b"?>")?;
        }
        while !self.rest.is_empty() {
            if self.open.len() > 1 {
                self.content()?;
            } else {
                self.outside()?;
            }
        }
        match (self.open.len() > 1, self.root_seen) {
            (true, _) => Err(XmlFault::Truncated),
            (false, false) => Err(XmlFault::NoRoot),
            (false, true) => Ok(()),
        }
    }

    /// The document as far as it was read.
    fn close(mut self) -> XmlDocument {
        self.end_text(true);
        while let Some(element) = self.open.pop() {
            self.end_element(element);
        }
        self.document
    }

    /// One construct before or after the root element.
    fn outside(&mut self) -> Outcome {
        self.skip_space();
        match self.rest {
            [] => Ok(()),
            [b'<', b'?', ..] => self.instruction(),
            [b'<', b'!', b'-', b'-', ..] => self.comment(),
            [b'<', b'!', ..] if !self.root_seen && !self.document.doctype_seen => self.doctype(),
            [b'<', b'!', ..] => Err(XmlFault::InvalidDoctype),
            [b'<', ..] if !self.root_seen => {
                self.root_seen = true;
                self.start_tag()
            }
            _ => Err(XmlFault::OutsideRoot),
        }
    }

    /// One construct inside the root element.
    fn content(&mut self) -> Outcome {
        match self.rest {
            [b'<', b'/', ..] => self.end_tag(),
            [b'<', b'?', ..] => self.instruction(),
            [b'<', b'!', b'-', b'-', ..] => self.comment(),
            [b'<', b'!', ..] => {
                self.rest = self.rest.strip_prefix(b"<![CDATA[").ok_or(XmlFault::InvalidTag)?;
                let data = self.take_until(b"]]>")?;
                push_text(&mut self.document.text, check(data, &mut self.rest)?);
                Ok(())
            }
            [b'<', ..] => self.start_tag(),
            [b'&', ..] => {
                let before = self.rest;
                let mut out = std::mem::take(&mut self.document.text);
                let outcome = self.reference(&mut out);
                self.document.text = out;
                match outcome? {
                    None => Ok(()),
                    Some(entity) => self.include(&entity).inspect_err(|_| self.rest = before),
                }
            }
            _ => {
                let end = memchr2(b'<', b'&', self.rest).unwrap_or(self.rest.len());
                let (text, tail) = self.rest.split_at(end);
                if let Some(at) = memmem::find(text, b"]]>") {
                    self.rest = self.rest.get(at..).unwrap_or_default();
                    return Err(XmlFault::CdataEndInText);
                }
                self.rest = tail;
                push_text(&mut self.document.text, check(text, &mut self.rest)?);
                Ok(())
            }
        }
    }

    /// Reads what an entity stands for as content: whole elements and texts.
    fn include(&mut self, entity: &[u8]) -> Outcome {
        if self.inside >= xml_entity::DEPTH {
            return Err(XmlFault::EntityLimit);
        }
        let depth = self.open.len();
        let mut inner = Parser {
            rest: entity,
            limits: self.limits,
            document: std::mem::take(&mut self.document),
            open: std::mem::take(&mut self.open),
            scopes: std::mem::take(&mut self.scopes),
            pending: self.pending,
            root_seen: self.root_seen,
            sorted: std::mem::take(&mut self.sorted),
            entities: std::mem::take(&mut self.entities),
            inside: self.inside + 1,
        };
        let outcome = inner.balanced(depth);
        self.document = inner.document;
        self.open = inner.open;
        self.scopes = inner.scopes;
        self.pending = inner.pending;
        self.sorted = inner.sorted;
        self.entities = inner.entities;
        outcome
    }

    /// Content that closes what it opens and nothing else.
    fn balanced(&mut self, depth: usize) -> Outcome {
        while !self.rest.is_empty() {
            if self.open.len() <= depth && self.rest.starts_with(b"</") {
                return Err(XmlFault::TagMismatch);
            }
            self.content()?;
        }
        if self.open.len() == depth { Ok(()) } else { Err(XmlFault::Truncated) }
    }

    /// Section 4.4.5: in an attribute an entity is text in which quotes mean nothing.
    fn include_in_attribute(&mut self, entity: &[u8], out: &mut Vec<u8>) -> Outcome {
        if self.inside >= xml_entity::DEPTH {
            return Err(XmlFault::EntityLimit);
        }
        let mut inner = Parser::new(entity, self.limits);
        inner.document.doctype_seen = true;
        inner.entities = std::mem::take(&mut self.entities);
        inner.inside = self.inside + 1;
        let outcome = inner.attribute_text(out);
        self.document.entity_references += inner.document.entity_references;
        self.entities = inner.entities;
        outcome
    }

    fn attribute_text(&mut self, out: &mut Vec<u8>) -> Outcome {
        while !self.rest.is_empty() {
            let end = memchr2(b'<', b'&', self.rest).unwrap_or(self.rest.len());
            let (plain, tail) = self.rest.split_at(end);
            self.rest = tail;
            push_attribute(out, check(plain, &mut self.rest)?);
            match self.rest {
                [b'<', ..] => return Err(XmlFault::InvalidAttribute),
                [b'&', ..] => {
                    if let Some(entity) = self.reference(out)? {
                        self.include_in_attribute(&entity, out)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn skip_space(&mut self) {
        let width = self.rest.iter().take_while(|byte| is_space(**byte)).count();
        self.rest = self.rest.get(width..).unwrap_or_default();
    }

    /// What stands before `end`; both are taken.
    fn take_until(&mut self, end: &[u8]) -> Outcome<&'a [u8]> {
        let at = memmem::find(self.rest, end).ok_or(XmlFault::Truncated)?;
        let (data, tail) = self.rest.split_at(at);
        self.rest = tail.get(end.len()..).unwrap_or_default();
        Ok(data)
    }

    fn skip_past(&mut self, end: &[u8]) -> Outcome {
        self.take_until(end).map(drop)
    }

    fn name(&mut self) -> Outcome<&'a [u8]> {
        let width = self.rest.iter().take_while(|byte| is_name(**byte)).count();
        let (name, tail) = self.rest.split_at(width);
        match name.first() {
            None | Some(b'0'..=b'9' | b'-' | b'.') => Err(XmlFault::ExpectedName),
            Some(_) => {
                self.rest = tail;
                Ok(name)
            }
        }
    }

    fn comment(&mut self) -> Outcome {
        self.rest = self.rest.get(4..).unwrap_or_default();
        let text = self.take_until(b"--")?;
        check(text, &mut self.rest)?;
        self.rest = self.rest.strip_prefix(b">").ok_or(XmlFault::InvalidComment)?;
        Ok(())
    }

    fn instruction(&mut self) -> Outcome {
        self.rest = self.rest.get(2..).unwrap_or_default();
        let target = self.name()?;
        if target.eq_ignore_ascii_case(b"xml") {
            return Err(XmlFault::InvalidInstruction);
        }
        let data = self.take_until(b"?>")?;
        check(data, &mut self.rest)?;
        if data.first().is_some_and(|byte| !is_space(*byte)) {
            return Err(XmlFault::InvalidInstruction);
        }
        Ok(())
    }

    /// Reads over a `DOCTYPE` and notes the entities of its internal subset.
    fn doctype(&mut self) -> Outcome {
        self.rest = self.rest.strip_prefix(b"<!DOCTYPE").ok_or(XmlFault::InvalidDoctype)?;
        self.document.doctype_seen = true;
        if !self.rest.first().copied().is_some_and(is_space) {
            return Err(XmlFault::InvalidDoctype);
        }
        self.skip_space();
        self.name()?;
        let mut subset = false;
        let mut declaration = false;
        let mut entity = false;
        loop {
            match self.rest {
                [] => return Err(XmlFault::Truncated),
                [b'<', b'!', b'-', b'-', ..] if subset && !declaration => self.comment()?,
                [b'<', b'?', ..] if subset && !declaration => self.instruction()?,
                [b'<', b'!', ..] if subset && !declaration => {
                    (declaration, entity) = (true, self.rest.starts_with(b"<!ENTITY"));
                    self.entities.declare(self.rest)?;
                    self.rest = self.rest.get(2..).unwrap_or_default();
                }
                [b'<', ..] => return Err(XmlFault::InvalidDoctype),
                [quote @ (b'"' | b'\''), tail @ ..] if declaration || !subset => {
                    self.rest = tail;
                    let value = self.take_until(&[*quote])?;
                    self.entities.outside |= !subset;
                    if entity {
                        let value = self.keep(value)?;
                        self.document.entities.push(value);
                        entity = false;
                    }
                }
                [b'[', tail @ ..] if !subset => (subset, self.rest) = (true, tail),
                [b']', tail @ ..] if subset && !declaration => {
                    self.rest = tail;
                    self.skip_space();
                    self.rest = self.rest.strip_prefix(b">").ok_or(XmlFault::InvalidDoctype)?;
                    return Ok(());
                }
                [b'%', tail @ ..] if subset && !declaration => {
                    self.entities.hidden = true;
                    self.rest = tail;
                }
                [b'>', tail @ ..] if declaration => (declaration, self.rest) = (false, tail),
                [b'>', tail @ ..] if !subset => {
                    self.rest = tail;
                    return Ok(());
                }
                [byte, tail @ ..] => {
                    if *byte < 0x20 && !is_space(*byte) {
                        return Err(XmlFault::InvalidCharacter);
                    }
                    self.rest = tail;
                }
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) -> Outcome<Range<usize>> {
        self.count_node()?;
        let start = self.document.strings.len();
        self.document.strings.extend_from_slice(bytes);
        Ok(start..self.document.strings.len())
    }

    fn count_node(&self) -> Outcome {
        let document = &self.document;
        let nodes = document.nodes.len() + document.attributes.len() + document.entities.len();
        if nodes > self.limits.nodes { Err(XmlFault::TooManyNodes) } else { Ok(()) }
    }

    fn start_tag(&mut self) -> Outcome {
        self.rest = self.rest.get(1..).unwrap_or_default();
        self.end_text(false);
        if self.open.len() > self.limits.depth {
            return Err(XmlFault::TooDeep);
        }
        let name = self.name()?;
        let name = self.keep(name)?;
        let first = self.document.attributes.len();
        let scopes = self.scopes.len();
        let empty = loop {
            let spaced = self.rest.first().copied().is_some_and(is_space);
            self.skip_space();
            match self.rest {
                [] => return Err(XmlFault::Truncated),
                [b'>', tail @ ..] => {
                    self.rest = tail;
                    break false;
                }
                [b'/', b'>', tail @ ..] => {
                    self.rest = tail;
                    break true;
                }
                _ if !spaced => return Err(XmlFault::InvalidTag),
                _ => self.attribute()?,
            }
        };
        self.reject_duplicates(first, scopes)?;
        let namespace = self.namespace_of(&name, true);
        for at in first..self.document.attributes.len() {
            let Some(name) = self.document.attributes.get(at).map(|a| a.name.clone()) else {
                break;
            };
            let namespace = self.namespace_of(&name, false);
            if let Some(attribute) = self.document.attributes.get_mut(at) {
                attribute.namespace = namespace;
            }
        }
        let text = self.document.text.len();
        let place = self.document.nodes.len();
        self.document.nodes.push(Node {
            kind: Kind::Element,
            name,
            namespace,
            attributes: first..self.document.attributes.len(),
            text: text..text,
            end: place + 1,
        });
        self.open.push(place);
        if empty {
            self.open.pop();
            self.end_element(place);
        }
        Ok(())
    }

    fn attribute(&mut self) -> Outcome {
        let name = self.name()?;
        self.skip_space();
        self.rest = self.rest.strip_prefix(b"=").ok_or(XmlFault::InvalidAttribute)?;
        self.skip_space();
        let (quote, tail) = match self.rest {
            [quote @ (b'"' | b'\''), tail @ ..] => (*quote, tail),
            [] => return Err(XmlFault::Truncated),
            _ => return Err(XmlFault::InvalidAttribute),
        };
        self.rest = tail;
        let name_range = self.keep(name)?;
        let start = self.document.strings.len();
        loop {
            let stop = |byte: &u8| *byte == quote || matches!(byte, b'<' | b'&');
            let end = self.rest.iter().position(stop).ok_or(XmlFault::Truncated)?;
            let (plain, tail) = self.rest.split_at(end);
            self.rest = tail;
            push_attribute(&mut self.document.strings, check(plain, &mut self.rest)?);
            match self.rest {
                [b'&', ..] => {
                    let before = self.rest;
                    let mut out = std::mem::take(&mut self.document.strings);
                    let outcome = self.reference(&mut out).and_then(|entity| match entity {
                        None => Ok(()),
                        Some(entity) => self.include_in_attribute(&entity, &mut out),
                    });
                    self.document.strings = out;
                    outcome.inspect_err(|_| self.rest = before)?;
                }
                [byte, tail @ ..] if *byte == quote => {
                    self.rest = tail;
                    break;
                }
                _ => return Err(XmlFault::InvalidAttribute),
            }
        }
        let value = start..self.document.strings.len();
        let prefix = match name.strip_prefix(b"xmlns") {
            Some(b"") => Some(name_range.end..name_range.end),
            Some([b':', ..]) => Some(name_range.start + 6..name_range.end),
            _ => None,
        };
        if let Some(prefix) = prefix {
            if self.scopes.len() >= self.limits.namespaces {
                return Err(XmlFault::TooManyNamespaces);
            }
            self.scopes.push((prefix, value, self.open.len()));
        } else {
            let attribute = Attribute { name: name_range, namespace: 0..0, value };
            self.document.attributes.push(attribute);
        }
        Ok(())
    }

    fn reject_duplicates(&mut self, first: usize, scopes: usize) -> Outcome {
        let document = &self.document;
        let attributes = document.attributes.get(first..).unwrap_or_default();
        let declared = self.scopes.get(scopes..).unwrap_or_default();
        let twice = |sorted: &mut Vec<Range<usize>>| {
            sorted.sort_unstable_by(|a, b| document.string(a).cmp(document.string(b)));
            sorted.windows(2).any(|pair| match pair {
                [a, b] => document.string(a) == document.string(b),
                _ => false,
            })
        };
        self.sorted.clear();
        self.sorted.extend(attributes.iter().map(|attribute| attribute.name.clone()));
        let mut found = twice(&mut self.sorted);
        self.sorted.clear();
        self.sorted.extend(declared.iter().map(|scope| scope.0.clone()));
        found |= twice(&mut self.sorted);
        if found { Err(XmlFault::DuplicateAttribute) } else { Ok(()) }
    }

    /// The address that a name's prefix is bound to; an unbound prefix has none.
    fn namespace_of(&self, name: &Range<usize>, element: bool) -> Range<usize> {
        let written = self.document.string(name);
        let prefix = match memchr(b':', written) {
            Some(at) => written.get(..at).unwrap_or_default(),
            None if element => b"",
            None => return 0..0,
        };
        let bound = self.scopes.iter().rev().find(|scope| self.document.string(&scope.0) == prefix);
        bound.map_or(0..0, |scope| scope.1.clone())
    }

    fn end_tag(&mut self) -> Outcome {
        self.rest = self.rest.get(2..).unwrap_or_default();
        let name = self.name()?;
        self.skip_space();
        match self.rest {
            [b'>', tail @ ..] => self.rest = tail,
            [] => return Err(XmlFault::Truncated),
            _ => return Err(XmlFault::InvalidTag),
        }
        let element = self.open.last().copied().unwrap_or_default();
        let opened = self.document.nodes.get(element).map(|node| self.document.string(&node.name));
        if opened != Some(name) {
            return Err(XmlFault::TagMismatch);
        }
        self.end_text(false);
        self.open.pop();
        self.end_element(element);
        Ok(())
    }

    fn end_element(&mut self, element: usize) {
        let (end, text) = (self.document.nodes.len(), self.document.text.len());
        if let Some(node) = self.document.nodes.get_mut(element) {
            node.end = end;
            node.text.end = text;
        }
        let depth = self.open.len();
        while self.scopes.pop_if(|scope| scope.2 >= depth).is_some() {}
    }

    /// Makes a node of the text read since the last tag; a limit is left to the next element.
    fn end_text(&mut self, last: bool) {
        let end = self.document.text.len();
        let start = std::mem::replace(&mut self.pending, end);
        if start < end && (last || self.open.len() > 1) {
            let place = self.document.nodes.len();
            self.document.nodes.push(Node {
                kind: Kind::Text,
                name: 0..0,
                namespace: 0..0,
                attributes: 0..0,
                text: start..end,
                end: place + 1,
            });
        }
    }

    /// Takes a reference. What stands for it is in `out` afterwards, or is an entity's text to be read.
    fn reference(&mut self, out: &mut Vec<u8>) -> Outcome<Option<Rc<[u8]>>> {
        const LONGEST: usize = 128;
        let window = self.rest.get(..LONGEST).unwrap_or(self.rest);
        let end = memchr(b';', window).ok_or(XmlFault::InvalidReference)?;
        let (whole, tail) = self.rest.split_at(end + 1);
        let inner = whole.get(1..end).unwrap_or_default();
        match inner {
            b"lt" => out.push(b'<'),
            b"gt" => out.push(b'>'),
            b"amp" => out.push(b'&'),
            b"apos" => out.push(b'\''),
            b"quot" => out.push(b'"'),
            [b'#', number @ ..] => {
                let character = character(number).ok_or(XmlFault::InvalidReference)?;
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            _ if inner.is_empty() || !inner.iter().copied().all(is_name) => {
                return Err(XmlFault::InvalidReference);
            }
            _ if !self.document.doctype_seen => return Err(XmlFault::UndeclaredEntity),
            name => {
                let entity = self.entities.resolve(name, self.limits.bytes)?;
                if entity.is_none() {
                    self.document.entity_references += 1;
                    out.extend_from_slice(whole);
                }
                self.rest = tail;
                return Ok(entity);
            }
        }
        self.rest = tail;
        Ok(None)
    }
}

pub(super) fn character(number: &[u8]) -> Option<char> {
    let (digits, radix) = match number {
        [b'x', digits @ ..] => (digits, 16),
        digits => (digits, 10),
    };
    let value = digits.iter().try_fold(0_u32, |value, digit| {
        let digit = char::from(*digit).to_digit(radix)?;
        value.checked_mul(radix)?.checked_add(digit)
    })?;
    let allowed = matches!(value, 0x9 | 0xa | 0xd | 0x20..=0xd7ff | 0xe000..=0xfffd | 0x1_0000..);
    char::from_u32(value).filter(|_| allowed && !digits.is_empty())
}

/// Passes `text` on if XML allows all its characters; otherwise `rest` is set to the first.
fn check<'a>(text: &'a [u8], rest: &mut &'a [u8]) -> Outcome<&'a [u8]> {
    let control = text.iter().position(|byte| *byte < 0x20 && !is_space(*byte));
    let forbidden = control.or_else(|| {
        memmem::find_iter(text, b"\xef\xbf")
            .find(|at| matches!(text.get(at + 2), Some(0xbe | 0xbf)))
    });
    match forbidden {
        None => Ok(text),
        Some(at) => {
            *rest = text.get(at..).unwrap_or_default();
            Err(XmlFault::InvalidCharacter)
        }
    }
}

/// Section 2.11: every line end becomes one line feed.
fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while let Some((plain, tail)) = memchr(b'\r', rest).and_then(|at| rest.split_at_checked(at)) {
        out.extend_from_slice(plain);
        out.push(b'\n');
        rest = tail.strip_prefix(b"\r\n").or(tail.strip_prefix(b"\r")).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

/// Section 3.3.3: white space in an attribute becomes blanks, a line end one of them.
fn push_attribute(out: &mut Vec<u8>, text: &[u8]) {
    let joined: Cow<'_, [u8]> = if memchr(b'\r', text).is_some() {
        let mut joined = Vec::with_capacity(text.len());
        push_text(&mut joined, text);
        joined.into()
    } else {
        text.into()
    };
    out.extend(joined.iter().map(|byte| if is_space(*byte) { b' ' } else { *byte }));
}

#[cfg(test)]
#[path = "xml_tests.rs"]
mod tests;
