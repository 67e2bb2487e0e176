//! YAML as the rule languages need it: trees with places, duplicate keys told, aliases bounded.
//!
//! Scalars keep their text; [`Node::scalar`] reads a plain one by YAML 1.1's rules, since the files
//! that reach us were written for `PyYAML`. The scanner below is `saphyr-parser`; what is ours is the
//! tree, anchors that may live across documents, and the bounds.

use crate::error::RuleError;
use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};
use std::collections::HashMap;

/// A place in a file, both counted from 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "a place is a line and a column for good")]
pub struct Place {
    /// The line.
    pub line: u32,
    /// The column, in characters.
    pub column: u32,
}

/// One value with its place.
#[derive(Clone, PartialEq, Debug)]
#[allow(clippy::exhaustive_structs, reason = "readers of rules build defaults in place")]
pub struct Node {
    /// What it holds.
    pub value: Value,
    /// Where it begins.
    pub place: Place,
    /// Its tag as written, such as `!anything` or `!!binary`; `None` for those of the core schema that
    /// its kind says already, and for none.
    pub tag: Option<String>,
}

/// What a node holds.
#[derive(Clone, PartialEq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "YAML has these three kinds")]
pub enum Value {
    /// A scalar's text.
    Scalar {
        /// The text, escapes resolved.
        text: String,
        /// Whether it stood without quotes, so that it may mean a number, a boolean or null.
        plain: bool,
    },
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in its order; a repeated key keeps its last value.
    Map(Vec<(Node, Node)>),
}

/// A plain scalar as YAML 1.1 reads it.
#[derive(Clone, Copy, PartialEq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "the kinds of YAML 1.1's core scalars")]
pub enum Scalar<'a> {
    /// `null`, `~` or nothing.
    Null,
    /// `true`, `yes`, `on` and their opposites.
    Bool(bool),
    /// A whole number that fits 64 bits.
    Int(i64),
    /// Another number.
    Float(f64),
    /// Text.
    Text(&'a str),
}

/// A key that a mapping holds twice.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Duplicate {
    /// The key.
    pub key: String,
    /// Where it stood first.
    pub first: Place,
    /// Where it stands again.
    pub again: Place,
}

/// One document of a stream.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Document {
    /// Its root.
    pub root: Node,
    /// Keys that stand twice in one mapping.
    pub duplicates: Vec<Duplicate>,
}

/// How much a stream may hold.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "callers name what they change and take the rest")]
pub struct Limits {
    /// How deep values may nest. 64: real rules reach 12.
    pub depth: usize,
    /// How many nodes a document may have, aliases expanded and what anchors name counted twice. 200,000: the largest real rule file
    /// has some thousands; "billion laughs" is cut here.
    pub nodes: usize,
    /// Whether an alias may name an anchor of an earlier document, as Tavern's loader allows.
    /// Off: YAML says no.
    pub anchors_live_on: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 64, nodes: 200_000, anchors_live_on: false }
    }
}

/// The documents of a text, one after another; after an error there are no more.
///
/// ```
/// use smesec_core::decode::yaml::{documents, Limits, Scalar};
/// let text = "a: &x [1, two]\nb: *x\n";
/// let document = documents(text, "rules.yml", Limits::default()).next().unwrap().unwrap();
/// let b = document.root.key("b").unwrap();
/// assert_eq!(b.list().unwrap()[0].scalar(), Some(Scalar::Int(1)));
///
/// let broken = documents("a: [1\n", "rules.yml", Limits::default()).next().unwrap();
/// assert!(broken.unwrap_err().to_string().starts_with("rules.yml:2:1: "));
/// ```
///
/// # Errors
/// Each item fails with `file:line:column` where the text is no YAML or goes beyond `limits`.
pub fn documents<'a>(
    text: &'a str,
    file: &'a str,
    limits: Limits,
) -> impl Iterator<Item = Result<Document, RuleError>> + 'a {
    let mut loader = Loader {
        parser: Parser::new_from_str(text),
        file,
        limits,
        anchors: HashMap::new(),
        ended: false,
    };
    std::iter::from_fn(move || loader.document().transpose())
}

impl Node {
    /// A text node without a place, for defaults.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            value: Value::Scalar { text: text.into(), plain: false },
            place: Place::default(),
            tag: None,
        }
    }

    /// The value under a key of a mapping.
    pub fn key(&self, name: &str) -> Option<&Self> {
        self.map()?.iter().find(|(key, _)| key.as_str() == Some(name)).map(|(_, value)| value)
    }

    /// The items of a sequence.
    pub fn list(&self) -> Option<&[Self]> {
        match &self.value {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// The entries of a mapping.
    pub fn map(&self) -> Option<&[(Self, Self)]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// A scalar's text, whatever it means.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// What a scalar means by YAML 1.1; quoted ones are text.
    pub fn scalar(&self) -> Option<Scalar<'_>> {
        match &self.value {
            Value::Scalar { text, plain: true } => Some(read_plain(text)),
            Value::Scalar { text, plain: false } => Some(Scalar::Text(text)),
            _ => None,
        }
    }

    /// A plain scalar as a whole number, also where it goes beyond [`Scalar::Int`].
    pub fn integer(&self) -> Option<i128> {
        match &self.value {
            Value::Scalar { text, plain: true } => whole(text),
            _ => None,
        }
    }

    /// What kind of value it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self.scalar() {
            Some(Scalar::Null) => "nothing",
            Some(Scalar::Bool(_)) => "a boolean",
            Some(Scalar::Int(_) | Scalar::Float(_)) => "a number",
            Some(Scalar::Text(_)) if self.integer().is_some() => "a number",
            Some(Scalar::Text(_)) => "text",
            None if self.list().is_some() => "a list",
            None => "a mapping",
        }
    }
}

struct Loader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    file: &'a str,
    limits: Limits,
    anchors: HashMap<usize, Node>,
    ended: bool,
}

/// A collection that is still open.
struct Open {
    node: Node,
    anchor: usize,
    /// The places of keys, in a mapping that has many: they are not looked through one by one.
    keys: HashMap<String, usize>,
    /// The key that waits for its value, in a mapping.
    key: Option<Node>,
}

impl<'a> Loader<'a> {
    fn document(&mut self) -> Result<Option<Document>, RuleError> {
        let mut stack: Vec<Open> = Vec::new();
        let mut duplicates = Vec::new();
        let mut nodes = 0_usize;
        let mut root = None;
        while !self.ended {
            let Some((event, place)) = self.next()? else { break };
            let node = match event {
                Event::DocumentStart(_) => {
                    if !self.limits.anchors_live_on {
                        self.anchors.clear();
                    }
                    continue;
                }
                Event::DocumentEnd => match root.take() {
                    Some(root) => return Ok(Some(Document { root, duplicates })),
                    None => continue,
                },
                Event::Scalar(text, style, anchor, tag) => {
                    nodes += 1;
                    let plain = style == ScalarStyle::Plain
                        && tag.as_ref().is_none_or(|t| t.suffix != "str");
                    let value = Value::Scalar { text: text.into_owned(), plain };
                    let node = Node { value, place, tag: own_tag(tag.as_deref()) };
                    self.keep(anchor, &node, &mut nodes)?;
                    node
                }
                Event::SequenceStart(anchor, tag) => {
                    nodes += 1;
                    self.open(&mut stack, Value::List(Vec::new()), anchor, tag.as_deref(), place)?;
                    continue;
                }
                Event::MappingStart(anchor, tag) => {
                    nodes += 1;
                    self.open(&mut stack, Value::Map(Vec::new()), anchor, tag.as_deref(), place)?;
                    continue;
                }
                Event::SequenceEnd | Event::MappingEnd => {
                    let Some(open) = stack.pop() else { continue };
                    let node = merged(open.node, &mut nodes);
                    self.keep(open.anchor, &node, &mut nodes)?;
                    node
                }
                Event::Alias(anchor) => {
                    let Some(node) = self.anchors.get(&anchor) else {
                        return Err(self.error(
                            place,
                            "the alias names an anchor that is not closed yet, or of another document; \
                             write the value out",
                        ));
                    };
                    nodes += weight(node);
                    if nodes > self.limits.nodes {
                        return Err(self.too_many(place));
                    }
                    if stack.len() + depth(node) > self.limits.depth {
                        return Err(self.too_deep(place));
                    }
                    // It keeps the place where it is written: that is what one mends, and what tells
                    // two names of one value from two values.
                    node.clone()
                }
                Event::Nothing | Event::StreamStart | Event::StreamEnd => continue,
            };
            if nodes > self.limits.nodes {
                return Err(self.too_many(place));
            }
            match stack.last_mut() {
                None => root = Some(node),
                Some(Open { node: Node { value: Value::List(items), .. }, .. }) => items.push(node),
                Some(Open { node: Node { value: Value::Map(entries), .. }, key, keys, .. }) => {
                    match key.take() {
                        None => *key = Some(node),
                        Some(key) => insert(entries, keys, key, node, &mut duplicates),
                    }
                }
                Some(_) => {}
            }
        }
        Ok(root.map(|root| Document { root, duplicates }))
    }

    fn next(&mut self) -> Result<Option<(Event<'a>, Place)>, RuleError> {
        match self.parser.next_event() {
            None | Some(Ok((Event::StreamEnd, _))) => {
                self.ended = true;
                Ok(None)
            }
            Some(Ok((event, span))) => Ok(Some((event, start(&span)))),
            Some(Err(broken)) => {
                let place = start(&Span::empty(*broken.marker()));
                Err(self.error(place, &format!("not YAML: {}", broken.info())))
            }
        }
    }

    fn open(
        &mut self,
        stack: &mut Vec<Open>,
        value: Value,
        anchor: usize,
        tag: Option<&saphyr_parser::Tag>,
        place: Place,
    ) -> Result<(), RuleError> {
        if stack.len() >= self.limits.depth {
            return Err(self.too_deep(place));
        }
        stack.push(Open {
            node: Node { value, place, tag: own_tag(tag) },
            anchor,
            keys: HashMap::new(),
            key: None,
        });
        Ok(())
    }

    /// Keeps what an anchor names. The copy counts: anchors within anchors would copy the rest of a
    /// file at each depth.
    fn keep(&mut self, anchor: usize, node: &Node, nodes: &mut usize) -> Result<(), RuleError> {
        // The scanner numbers anchors from 1; 0 says that there is none.
        if anchor > 0 {
            *nodes += weight(node);
            if *nodes > self.limits.nodes {
                return Err(self.too_many(node.place));
            }
            self.anchors.insert(anchor, node.clone());
        }
        Ok(())
    }

    fn too_deep(&mut self, place: Place) -> RuleError {
        let why = format!("values nest deeper than {}; flatten them", self.limits.depth);
        self.error(place, &why)
    }

    fn too_many(&mut self, place: Place) -> RuleError {
        let why = format!(
            "the document has more than {} values once its aliases are expanded; cut it in parts",
            self.limits.nodes
        );
        self.error(place, &why)
    }

    fn error(&mut self, place: Place, why: &str) -> RuleError {
        self.ended = true;
        RuleError::new(self.file, place.line, place.column, why)
    }
}

fn start(span: &Span) -> Place {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Place { line: number(span.start.line()), column: number(span.start.col()).saturating_add(1) }
}

/// The tag, unless it says what the value is anyhow. `!!binary` and its like stay.
fn own_tag(tag: Option<&saphyr_parser::Tag>) -> Option<String> {
    let tag = tag?;
    if !tag.is_yaml_core_schema() {
        return Some(tag.to_string());
    }
    let plain =
        ["str", "int", "float", "bool", "null", "seq", "map"].contains(&tag.suffix.as_str());
    (!plain).then(|| format!("!!{}", tag.suffix))
}

/// From how many keys on a mapping has a table of them.
const MANY: usize = 16;

/// The place of a key, if it stands in a mapping already.
fn place_of(
    entries: &[(Node, Node)],
    keys: &mut HashMap<String, usize>,
    key: &str,
) -> Option<usize> {
    if entries.len() < MANY {
        return entries.iter().position(|(known, _)| known.as_str() == Some(key));
    }
    // Entries are only ever added, so the table knows a beginning of them.
    if keys.is_empty() {
        for (at, (known, _)) in entries.iter().enumerate() {
            if let Some(known) = known.as_str() {
                keys.entry(known.to_owned()).or_insert(at);
            }
        }
    }
    keys.get(key).copied()
}

fn insert(
    entries: &mut Vec<(Node, Node)>,
    keys: &mut HashMap<String, usize>,
    key: Node,
    value: Node,
    duplicates: &mut Vec<Duplicate>,
) {
    let text = key.as_str().filter(|text| *text != "<<");
    if let Some((known, old)) =
        text.and_then(|text| place_of(entries, keys, text)).and_then(|at| entries.get_mut(at))
    {
        duplicates.push(Duplicate {
            key: key.as_str().unwrap_or_default().to_owned(),
            first: known.place,
            again: key.place,
        });
        *old = value;
        return;
    }
    if let Some(text) = text.filter(|_| !keys.is_empty()) {
        keys.insert(text.to_owned(), entries.len());
    }
    entries.push((key, value));
}

/// A mapping with its `<<` keys merged in: what it says itself goes before what it merges, and of
/// several merged mappings the first to have a key wins (YAML 1.1, "merge").
fn merged(mut node: Node, nodes: &mut usize) -> Node {
    let Value::Map(entries) = &mut node.value else { return node };
    let is_merge =
        |key: &Node| matches!(&key.value, Value::Scalar { text, plain: true } if text == "<<");
    if !entries.iter().any(|(key, _)| is_merge(key)) {
        return node;
    }
    let (merges, mut own): (Vec<_>, Vec<_>) =
        std::mem::take(entries).into_iter().partition(|(key, _)| is_merge(key));
    let mut keys = HashMap::new();
    for (_, source) in merges {
        let maps = match source.value {
            Value::List(items) => items,
            _ => vec![source],
        };
        for (key, value) in maps
            .into_iter()
            .filter_map(|map| match map.value {
                Value::Map(entries) => Some(entries),
                _ => None,
            })
            .flatten()
        {
            let Some(text) = key.as_str() else {
                if !own.iter().any(|(known, _)| known.as_str().is_none()) {
                    *nodes += 1;
                    own.push((key, value));
                }
                continue;
            };
            if place_of(&own, &mut keys, text).is_none() {
                *nodes += 1;
                if !keys.is_empty() {
                    keys.insert(text.to_owned(), own.len());
                }
                own.push((key, value));
            }
        }
    }
    *entries = own;
    node
}

/// How many nodes a tree has.
fn weight(node: &Node) -> usize {
    1 + match &node.value {
        Value::Scalar { .. } => 0,
        Value::List(items) => items.iter().map(weight).sum(),
        Value::Map(entries) => entries.iter().map(|(key, value)| weight(key) + weight(value)).sum(),
    }
}

/// How deep a tree's collections nest.
fn depth(node: &Node) -> usize {
    match &node.value {
        Value::Scalar { .. } => 0,
        Value::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Map(entries) => {
            1 + entries.iter().map(|(key, value)| depth(key).max(depth(value))).max().unwrap_or(0)
        }
    }
}

/// YAML 1.1's plain scalars (yaml.org/type: null, bool, int, float), without its base-60 numbers,
/// which nobody means.
fn read_plain(text: &str) -> Scalar<'_> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Scalar::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => {
            return Scalar::Bool(true);
        }
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            return Scalar::Bool(false);
        }
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return Scalar::Float(f64::INFINITY);
        }
        "-.inf" | "-.Inf" | "-.INF" => return Scalar::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Scalar::Float(f64::NAN),
        _ => {}
    }
    let int = whole(text).and_then(|number| i64::try_from(number).ok()).map(Scalar::Int);
    int.or_else(|| broken(text)).unwrap_or(Scalar::Text(text))
}

fn whole(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let digits = digits.replace('_', "");
    let (digits, radix) = if let Some(hex) = digits.strip_prefix("0x") {
        (hex, 16)
    } else if let Some(binary) = digits.strip_prefix("0b") {
        (binary, 2)
    } else if let Some(octal) = digits.strip_prefix("0o") {
        (octal, 8)
    } else if digits.len() > 1 && digits.starts_with('0') {
        (digits.strip_prefix('0')?, 8)
    } else {
        (digits.as_str(), 10)
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let sign = if negative { "-" } else { "" };
    i128::from_str_radix(&format!("{sign}{digits}"), radix).ok()
}

/// A number with a fraction: `[-+]?([0-9][0-9_]*)?\.[0-9_]*([eE][-+]?[0-9]+)?`. An exponent alone makes none:
/// `12e4` is the beginning of a hash far more often than a number.
fn broken(text: &str) -> Option<Scalar<'_>> {
    let looks = text.bytes().all(|c| c.is_ascii_digit() || b"+-._eE".contains(&c))
        && text.bytes().any(|c| c.is_ascii_digit())
        && text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c))
        && text.contains('.');
    if !looks {
        return None;
    }
    text.replace('_', "").parse().ok().map(Scalar::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Document {
        documents(text, "t.yml", Limits::default()).next().unwrap().unwrap()
    }

    #[test]
    fn plain_scalars_mean_what_yaml_1_1_says() {
        for (text, means) in [
            ("~", Scalar::Null),
            ("yes", Scalar::Bool(true)),
            ("Off", Scalar::Bool(false)),
            ("-12", Scalar::Int(-12)),
            ("0x1F", Scalar::Int(31)),
            ("0o17", Scalar::Int(15)),
            ("017", Scalar::Int(15)),
            ("1_000", Scalar::Int(1_000)),
            ("9223372036854775808", Scalar::Text("9223372036854775808")),
            ("1.5", Scalar::Float(1.5)),
            (".5", Scalar::Float(0.5)),
            ("1.0e3", Scalar::Float(1_000.0)),
            ("1e3", Scalar::Text("1e3")),
            ("089", Scalar::Text("089")),
            ("1.2.3", Scalar::Text("1.2.3")),
            ("-", Scalar::Text("-")),
            ("e5", Scalar::Text("e5")),
            ("0x", Scalar::Text("0x")),
            ("0x-1", Scalar::Text("0x-1")),
        ] {
            assert_eq!(read_plain(text), means, "{text}");
        }
        assert_eq!(one("'12'").root.scalar(), Some(Scalar::Text("12")));
        assert_eq!(one("!!str 12").root.scalar(), Some(Scalar::Text("12")));
    }

    #[test]
    fn merges_keep_what_a_mapping_says_itself() {
        let root = one("base: &b {x: 1, y: 2}\nmine:\n  <<: *b\n  y: 3\n").root;
        let mine = root.key("mine").unwrap();
        assert_eq!(mine.key("x").unwrap().scalar(), Some(Scalar::Int(1)));
        assert_eq!(mine.key("y").unwrap().scalar(), Some(Scalar::Int(3)));
        assert!(mine.key("<<").is_none());
    }

    #[test]
    fn a_repeated_key_is_told_with_both_places() {
        let document = one("a: 1\nb: 2\na: 3\n");
        let [twice] = document.duplicates.as_slice() else { unreachable!() };
        assert_eq!((twice.key.as_str(), twice.first.line, twice.again.line), ("a", 1, 3));
        assert_eq!(document.root.key("a").unwrap().scalar(), Some(Scalar::Int(3)));
    }

    #[test]
    fn anchors_live_on_only_where_they_are_allowed_to() {
        let text = "a: &x 1\n---\nb: *x\n";
        let last = |limits| documents(text, "t.yml", limits).last().unwrap();
        assert!(last(Limits::default()).unwrap_err().to_string().starts_with("t.yml:3:4: "));
        let limits = Limits { anchors_live_on: true, ..Limits::default() };
        assert_eq!(last(limits).unwrap().root.key("b").unwrap().scalar(), Some(Scalar::Int(1)));
    }

    #[test]
    fn bombs_and_towers_are_refused() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..12 {
            let before = n - 1;
            let nine = vec![format!("*a{before}"); 9].join(", ");
            bomb.extend([format!("a{n}: &a{n} [{nine}]\n")]);
        }
        let told = documents(&bomb, "t.yml", Limits::default()).next().unwrap().unwrap_err();
        assert!(told.to_string().contains("more than 200000 values"), "{told}");
        let tower = "[".repeat(100);
        let told = documents(&tower, "t.yml", Limits::default()).next().unwrap().unwrap_err();
        assert!(told.to_string().contains("nest deeper than 64"), "{told}");
        let itself = documents("a: &a [*a]", "t.yml", Limits::default()).next().unwrap();
        assert!(itself.unwrap_err().to_string().contains("not closed yet"));
    }

    #[test]
    fn tags_stay_and_errors_have_a_place() {
        assert_eq!(one("a: !anyint\n").root.key("a").unwrap().tag.as_deref(), Some("!anyint"));
        let told = documents("a: b: c\n", "t.yml", Limits::default()).next().unwrap();
        assert!(told.unwrap_err().to_string().starts_with("t.yml:1:"));
        assert!(documents("", "t.yml", Limits::default()).next().is_none());
    }

    #[test]
    fn text_cut_anywhere_never_panics() {
        let text = "a: &x {b: [1, 'two', \"th\\u0072ee\"], c: |\n  text\n }\n---\n- *x\n- !t é\n";
        for (at, _) in text.char_indices() {
            let _ = documents(text.get(..at).unwrap(), "t.yml", Limits::default()).count();
        }
    }
}
