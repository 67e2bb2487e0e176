//! Detection rules: what they say of themselves, their searches, their conditions.

use super::condition::{self, Condition};
use super::modifier::Modifier;
use super::syntax::Meta;
use crate::decode::yaml::{Document, Node, Place, Scalar};
use crate::error::RuleError;

/// A detection rule.
#[derive(Clone, PartialEq, Debug)]
#[allow(clippy::exhaustive_structs, reason = "pipelines and filters change it in place")]
pub struct Rule {
    /// What it says of itself.
    pub meta: Meta,
    /// Where it looks.
    pub log_source: RuleSource,
    /// Its searches, in their order.
    pub searches: Vec<Search>,
    /// Its condition; a list of conditions is one of which any will do.
    pub condition: Condition,
}

/// `logsource`; what is not said is empty.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "Sigma's three words")]
pub struct RuleSource {
    /// Such as `windows`.
    pub product: String,
    /// Such as `process_creation`.
    pub category: String,
    /// Such as `sysmon`.
    pub service: String,
}

/// A named search.
#[derive(Clone, PartialEq, Debug)]
#[allow(clippy::exhaustive_structs, reason = "pipelines and filters change it in place")]
pub struct Search {
    /// The name by which conditions call it.
    pub name: String,
    /// Where it stands.
    pub place: Place,
    /// What it asks.
    pub body: Body,
}

/// What a search asks: the entries of a mapping all, those of a list any.
#[derive(Clone, PartialEq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "mappings and lists are all that YAML has")]
pub enum Body {
    /// All must hold.
    All(Vec<Body>),
    /// One must hold.
    Any(Vec<Body>),
    /// One line.
    Item(Item),
}

/// One line of a search: a field, modifiers, values.
#[derive(Clone, PartialEq, Debug)]
#[allow(clippy::exhaustive_structs, reason = "pipelines and filters change it in place")]
pub struct Item {
    /// The field; `None` for keywords, which are looked for everywhere.
    pub field: Option<String>,
    /// The modifiers in their order.
    pub modifiers: Vec<Modifier>,
    /// The values; one will do, unless `all` is among the modifiers.
    pub values: Vec<Literal>,
    /// Where it stands.
    pub place: Place,
}

/// A value as YAML reads it.
#[derive(Clone, PartialEq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "the scalars of YAML")]
pub enum Literal {
    /// Nothing.
    Null,
    /// A boolean.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Another number.
    Float(f64),
    /// A number that is written otherwise than its value is: `1.0`, `0x1F`, `007`. Tests of text
    /// ask for both.
    Written {
        /// As the rule has it.
        text: String,
        /// What YAML reads in it.
        value: f64,
    },
    /// Text, with wildcards and escapes as written.
    Text(String),
}

impl Literal {
    /// A scalar; `None` for lists and mappings.
    pub(super) fn of(node: &Node) -> Option<Self> {
        let text = node.as_str()?;
        let (plain, value) = match node.scalar()? {
            Scalar::Null => return Some(Self::Null),
            Scalar::Bool(value) => return Some(Self::Bool(value)),
            Scalar::Text(text) => return Some(Self::Text(text.to_owned())),
            Scalar::Int(value) => (Self::Int(value), value as f64),
            Scalar::Float(value) => (Self::Float(value), value),
        };
        let same = plain.to_string() == text;
        Some(if same { plain } else { Self::Written { text: text.to_owned(), value } })
    }
}

impl Item {
    /// The key as a rule would write it.
    pub fn key(&self) -> String {
        let mut key = self.field.clone().unwrap_or_default();
        for modifier in &self.modifiers {
            key.push('|');
            key.push_str(modifier.word());
        }
        key
    }
}

impl std::fmt::Display for Literal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value}"),
            Self::Written { text, .. } | Self::Text(text) => f.write_str(text),
        }
    }
}

/// What every document says of itself; `id` and the like stay empty where they are not text.
pub(super) fn meta(root: &Node, file: &str) -> Meta {
    let text = |key: &str| root.key(key).and_then(Node::as_str).unwrap_or_default().to_owned();
    let tags = root.key("tags").and_then(Node::list).unwrap_or_default();
    Meta {
        file: file.to_owned(),
        place: root.place,
        id: text("id"),
        name: text("name"),
        title: text("title"),
        author: root.key("author").and_then(Node::as_str).map(str::to_owned),
        level: text("level"),
        status: text("status"),
        tags: tags.iter().filter_map(Node::as_str).map(str::to_owned).collect(),
    }
}

/// Refuses a level that is none: the rule would count as medium.
pub(super) fn level(root: &Node, file: &str) -> Result<(), RuleError> {
    const LEVELS: [&str; 5] = ["informational", "low", "medium", "high", "critical"];
    let Some(node) = root.key("level") else { return Ok(()) };
    let level = node.as_str().unwrap_or_default();
    let none = node.scalar() == Some(Scalar::Null) || level.is_empty() && node.as_str().is_some();
    if none || LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level)) {
        return Ok(());
    }
    let why = match node.as_str() {
        Some(level) => format!("unknown level `{level}`; known are {}", LEVELS.join(", ")),
        None => format!("`level` is {}; write one of {}", node.kind(), LEVELS.join(", ")),
    };
    Err(error(file, node.place, why))
}

/// Reads a rule.
///
/// # Errors
/// `file:line:column` of what is missing, unknown or not offered.
pub(super) fn parse(document: &Document, file: &str) -> Result<Rule, RuleError> {
    let root = &document.root;
    if let Some(twice) = document.duplicates.first() {
        let why = format!(
            "the key `{}` stands already in line {}; write it once, with a list of values",
            twice.key, twice.first.line
        );
        return Err(error(file, twice.again, why));
    }
    let detection = root.key("detection").ok_or_else(|| {
        error(file, root.place, "a rule without `detection`; say what it looks for".to_owned())
    })?;
    let (searches, condition) = detection_of(detection, file, "detection")?;
    level(root, file)?;
    Ok(Rule { meta: meta(root, file), log_source: source(root, file)?, searches, condition })
}

/// Reads `logsource`.
pub(super) fn source(root: &Node, file: &str) -> Result<RuleSource, RuleError> {
    let Some(node) = root.key("logsource") else {
        let why = "no `logsource`; name a product, a category or a service".to_owned();
        return Err(error(file, root.place, why));
    };
    for (key, _) in node.map().unwrap_or_default() {
        // `definition` is for people, and `x-` marks what others add; a misspelt word would widen the rule.
        let name = key.as_str().unwrap_or_default();
        let known = ["product", "category", "service", "definition"].contains(&name);
        if !known && !name.starts_with("x-") {
            let why = format!(
                "unknown key `{name}` of `logsource`; known are product, category, service and definition"
            );
            return Err(error(file, key.place, why));
        }
    }
    let part = |key: &str| match node.key(key) {
        None => Ok(String::new()),
        Some(value) => match value.scalar() {
            Some(Scalar::Null) => Ok(String::new()),
            Some(_) => Ok(value.as_str().unwrap_or_default().to_lowercase()),
            None => {
                let why = format!("`{key}` is {}; write one word", value.kind());
                Err(error(file, value.place, why))
            }
        },
    };
    Ok(RuleSource {
        product: part("product")?,
        category: part("category")?,
        service: part("service")?,
    })
}

/// Reads `detection`, or a filter's mapping of the same shape: the searches and the condition.
pub(super) fn detection_of(
    node: &Node,
    file: &str,
    called: &str,
) -> Result<(Vec<Search>, Condition), RuleError> {
    let entries = node.map().ok_or_else(|| {
        let why = format!("`{called}` is {}; write a mapping of searches", node.kind());
        error(file, node.place, why)
    })?;
    let mut searches = Vec::new();
    for (key, value) in entries {
        let name = key.as_str().unwrap_or_default();
        match name {
            "condition" => {}
            // A filter's rules; in a detection it is a search like others.
            "rules" if called == "filter" => {}
            "timeframe" => {
                let why = "`timeframe` belongs to the old aggregations; write a correlation with `timespan`";
                return Err(error(file, key.place, why.to_owned()));
            }
            _ => searches.push(Search {
                name: name.to_owned(),
                place: key.place,
                body: body(value, file, name)?,
            }),
        }
    }
    let Some(written) = node.key("condition") else {
        let why = format!("no `condition` in `{called}`; say which searches have to match");
        return Err(error(file, node.place, why));
    };
    let one = |node: &Node| match node.as_str() {
        Some(text) => condition::parse(text, &searches)
            .map_err(|(at, why)| error(file, place_in(node.place, at), why)),
        None => Err(error(
            file,
            node.place,
            format!("the condition is {}; write text or a list of texts", node.kind()),
        )),
    };
    let condition = match written.list() {
        None => one(written)?,
        Some([]) => {
            return Err(error(file, written.place, "no condition in the list; write one".into()));
        }
        Some([_, more @ ..]) if more.len() >= MOST_CONDITIONS => {
            let why = format!("more than {MOST_CONDITIONS} conditions; join them with `or`");
            return Err(error(file, written.place, why));
        }
        Some(list) => Condition::Any(list.iter().map(one).collect::<Result<_, _>>()?),
    };
    Ok((searches, condition))
}

/// Each of them looks through the searches.
const MOST_CONDITIONS: usize = 64;

/// A place some characters on; in a folded or quoted text it is near, not exact.
fn place_in(start: Place, characters: usize) -> Place {
    let more = u32::try_from(characters).unwrap_or(u32::MAX);
    Place { line: start.line, column: start.column.saturating_add(more) }
}

fn body(node: &Node, file: &str, name: &str) -> Result<Body, RuleError> {
    if let Some(entries) = node.map() {
        if entries.is_empty() {
            let why = format!("the search `{name}` is empty; write fields and values");
            return Err(error(file, node.place, why));
        }
        let items = entries.iter().map(|(key, value)| item(key, value, file).map(Body::Item));
        return Ok(Body::All(items.collect::<Result<_, _>>()?));
    }
    let keyword = |node: &Node| {
        let value = literal(node, file)?;
        if matches!(value, Literal::Null) {
            let why = format!("a keyword of `{name}` is null; write text, or take it out");
            return Err(error(file, node.place, why));
        }
        Ok(Body::Item(Item {
            field: None,
            modifiers: Vec::new(),
            values: vec![value],
            place: node.place,
        }))
    };
    match node.list() {
        Some([]) => {
            let why = format!("the search `{name}` is empty; write fields and values");
            Err(error(file, node.place, why))
        }
        Some(list) => {
            let entry = |node: &Node| match (node.map(), node.list()) {
                (Some(_), _) => body(node, file, name),
                (None, Some(_)) => Err(error(
                    file,
                    node.place,
                    "a list in a list; write its values into the outer one".to_owned(),
                )),
                (None, None) => keyword(node),
            };
            Ok(Body::Any(list.iter().map(entry).collect::<Result<_, _>>()?))
        }
        None => keyword(node),
    }
}

fn item(key: &Node, value: &Node, file: &str) -> Result<Item, RuleError> {
    let Some(written) = key.as_str() else {
        return Err(error(file, key.place, format!("a key is {}; write a field", key.kind())));
    };
    let mut words = written.split('|');
    let field = words.next().unwrap_or_default();
    let mut modifiers = Vec::new();
    for word in words {
        let Some(modifier) = Modifier::of(word) else {
            return Err(error(file, key.place, super::modifier::unknown(word)));
        };
        modifiers.push(modifier);
    }
    let values = match value.list() {
        Some([]) => {
            let why = format!("`{written}` has an empty list; write values, or leave the line out");
            return Err(error(file, value.place, why));
        }
        Some(list) => list.iter().map(|node| literal(node, file)).collect::<Result<_, _>>()?,
        None => vec![literal(value, file)?],
    };
    let field = (!field.is_empty()).then(|| field.to_owned());
    Ok(Item { field, modifiers, values, place: key.place })
}

fn literal(node: &Node, file: &str) -> Result<Literal, RuleError> {
    Literal::of(node).ok_or_else(|| {
        let why = format!("a value is {}; write text, a number or a boolean", node.kind());
        error(file, node.place, why)
    })
}

pub(super) fn error(file: &str, place: Place, why: String) -> RuleError {
    RuleError::new(file, place.line, place.column, why)
}
