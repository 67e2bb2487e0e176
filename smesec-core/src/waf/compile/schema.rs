//! `@validateSchema` over JSON: a value against a JSON Schema, compiled at load.
//!
//! The assertions of the draft 2020-12 and of draft 7 are offered, references within the document included.
//! Annotations are passed over, `format` too, as both drafts say. A keyword that is not known makes the rule a
//! refused one: what is not checked may not look checked.

use super::pattern::Pattern;
use serde_json::{Map, Number, Value};
use std::collections::HashMap;

/// A compiled schema.
#[derive(Debug)]
pub(crate) struct Schema {
    nodes: Vec<Node>,
}

/// One schema of the document.
#[derive(Debug, Default)]
struct Node {
    /// `false` as a schema: nothing fits.
    never: bool,
    reference: Option<usize>,
    types: Option<Vec<Type>>,
    any_of_values: Option<Vec<Value>>,
    properties: HashMap<String, usize>,
    patterns: Vec<(Pattern, usize)>,
    additional: Option<usize>,
    names: Option<usize>,
    required: Vec<String>,
    dependent: Vec<(String, Vec<String>)>,
    prefix: Vec<usize>,
    items: Option<usize>,
    contains: Option<usize>,
    unique: bool,
    pattern: Option<Pattern>,
    /// Least and most of properties, items and characters.
    properties_count: Range,
    items_count: Range,
    contains_count: Range,
    length: Range,
    minimum: Option<f64>,
    maximum: Option<f64>,
    above: Option<f64>,
    below: Option<f64>,
    multiple_of: Option<f64>,
    all_of: Vec<usize>,
    any_of: Vec<usize>,
    one_of: Vec<usize>,
    not: Option<usize>,
    condition: Option<usize>,
    then: Option<usize>,
    otherwise: Option<usize>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Range {
    least: Option<u64>,
    most: Option<u64>,
}

impl Range {
    fn holds(self, count: usize) -> bool {
        let count = count as u64;
        self.least.is_none_or(|least| count >= least) && self.most.is_none_or(|most| count <= most)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Null,
    Boolean,
    Object,
    Array,
    Number,
    Integer,
    String,
}

/// Schemas of one document, and how deep they may stand in one another.
const MAX_NODES: usize = 20_000;
const MAX_DEPTH: usize = 100;
/// How deep a value and the references on its way may lead; JSON is read to a depth of 127.
const MAX_WAY: usize = 300;
/// Schemas that one value may be held against: `anyOf` in `anyOf` multiplies.
const MAX_STEPS: usize = 200_000;

impl Schema {
    /// Reads a schema.
    ///
    /// # Errors
    /// What in it is no JSON, no schema, or not offered, with its JSON pointer.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, String> {
        let document: Value =
            serde_json::from_slice(text).map_err(|e| format!("the schema is no JSON: {e}"))?;
        let mut reader = Reader { document: &document, nodes: Vec::new(), known: HashMap::new() };
        reader.schema("", &document, 0)?;
        Ok(Self { nodes: reader.nodes })
    }

    /// Whether these bytes are JSON that the schema allows. What is too deep or too much work is not.
    pub(crate) fn fits(&self, text: &[u8]) -> bool {
        let Ok(value) = serde_json::from_slice::<Value>(text) else { return false };
        let mut check = Check { nodes: &self.nodes, steps: MAX_STEPS };
        // Who ran out fits nothing, whatever a negation on the way made of it.
        check.fits(0, &value, 0) && check.steps > 0
    }
}

struct Reader<'d> {
    document: &'d Value,
    nodes: Vec<Node>,
    /// Schemas that were met, by their pointer.
    known: HashMap<String, usize>,
}

impl Reader<'_> {
    fn schema(&mut self, at: &str, value: &Value, depth: usize) -> Result<usize, String> {
        if let Some(known) = self.known.get(at) {
            return Ok(*known);
        }
        if depth > MAX_DEPTH || self.nodes.len() >= MAX_NODES {
            return Err(format!("the schema at `#{at}` is too deep or one too many"));
        }
        let place = self.nodes.len();
        self.nodes.push(Node::default());
        self.known.insert(at.to_owned(), place);
        let node = match value {
            Value::Bool(fits) => Node { never: !fits, ..Node::default() },
            Value::Object(keywords) => self.keywords(at, keywords, depth)?,
            _ => return Err(format!("`#{at}` is no schema; write an object, true or false")),
        };
        if let Some(slot) = self.nodes.get_mut(place) {
            *slot = node;
        }
        Ok(place)
    }

    fn keywords(
        &mut self,
        at: &str,
        keywords: &Map<String, Value>,
        depth: usize,
    ) -> Result<Node, String> {
        let mut node = Node::default();
        for (keyword, value) in keywords {
            let here = format!("{at}/{}", escaped(keyword));
            let wrong = |what: &str| format!("`#{here}` is not {what}");
            let count = || value.as_u64().ok_or_else(|| wrong("a whole number"));
            let number = || value.as_f64().ok_or_else(|| wrong("a number"));
            match keyword.as_str() {
                "$ref" => node.reference = Some(self.reference(&here, value, depth)?),
                "type" => node.types = Some(types(value).ok_or_else(|| wrong("a type"))?),
                "enum" => {
                    let all = value.as_array().ok_or_else(|| wrong("a list"))?;
                    node.any_of_values = Some(all.clone());
                }
                "const" => node.any_of_values = Some(vec![value.clone()]),
                "properties" => {
                    for (name, place) in self.members(&here, value, depth)? {
                        node.properties.insert(name, place);
                    }
                }
                "patternProperties" => {
                    for (name, place) in self.members(&here, value, depth)? {
                        let pattern = Pattern::new(&name, false)
                            .map_err(|why| format!("`#{here}`: {why}"))?;
                        node.patterns.push((pattern, place));
                    }
                }
                "additionalProperties" => {
                    node.additional = Some(self.schema(&here, value, depth + 1)?);
                }
                "propertyNames" => node.names = Some(self.schema(&here, value, depth + 1)?),
                "required" => {
                    node.required = texts(value).ok_or_else(|| wrong("a list of names"))?;
                }
                "dependentRequired" => {
                    let all = value.as_object().ok_or_else(|| wrong("an object"))?;
                    for (name, needs) in all {
                        let needs = texts(needs).ok_or_else(|| wrong("of lists of names"))?;
                        node.dependent.push((name.clone(), needs));
                    }
                }
                "items" if value.is_array() => node.prefix = self.list(&here, value, depth)?,
                "prefixItems" => node.prefix = self.list(&here, value, depth)?,
                "items" | "additionalItems" => {
                    node.items = Some(self.schema(&here, value, depth + 1)?);
                }
                "contains" => node.contains = Some(self.schema(&here, value, depth + 1)?),
                "uniqueItems" => {
                    node.unique = value.as_bool().ok_or_else(|| wrong("true or false"))?;
                }
                "pattern" => {
                    let text = value.as_str().ok_or_else(|| wrong("a text"))?;
                    let pattern =
                        Pattern::new(text, false).map_err(|why| format!("`#{here}`: {why}"))?;
                    node.pattern = Some(pattern);
                }
                "minProperties" => node.properties_count.least = Some(count()?),
                "maxProperties" => node.properties_count.most = Some(count()?),
                "minItems" => node.items_count.least = Some(count()?),
                "maxItems" => node.items_count.most = Some(count()?),
                "minContains" => node.contains_count.least = Some(count()?),
                "maxContains" => node.contains_count.most = Some(count()?),
                "minLength" => node.length.least = Some(count()?),
                "maxLength" => node.length.most = Some(count()?),
                "minimum" => node.minimum = Some(number()?),
                "maximum" => node.maximum = Some(number()?),
                "exclusiveMinimum" => node.above = Some(number()?),
                "exclusiveMaximum" => node.below = Some(number()?),
                "multipleOf" => {
                    let step = number()?;
                    if step <= 0.0 {
                        return Err(wrong("above 0"));
                    }
                    node.multiple_of = Some(step);
                }
                "allOf" => node.all_of = self.list(&here, value, depth)?,
                "anyOf" => node.any_of = self.list(&here, value, depth)?,
                "oneOf" => node.one_of = self.list(&here, value, depth)?,
                "not" => node.not = Some(self.schema(&here, value, depth + 1)?),
                "if" => node.condition = Some(self.schema(&here, value, depth + 1)?),
                "then" => node.then = Some(self.schema(&here, value, depth + 1)?),
                "else" => node.otherwise = Some(self.schema(&here, value, depth + 1)?),
                "$defs" | "definitions" => {
                    self.members(&here, value, depth)?;
                }
                "$schema" | "$id" | "id" | "$comment" | "title" | "description" | "default"
                | "examples" | "format" | "deprecated" | "readOnly" | "writeOnly"
                | "contentEncoding" | "contentMediaType" => {}
                _ => {
                    return Err(format!(
                        "`#{here}`: the keyword `{keyword}` is not offered; say it with others or remove it"
                    ));
                }
            }
        }
        Ok(node)
    }

    fn members(
        &mut self,
        at: &str,
        value: &Value,
        depth: usize,
    ) -> Result<Vec<(String, usize)>, String> {
        let all = value.as_object().ok_or_else(|| format!("`#{at}` is not an object"))?;
        all.iter()
            .map(|(name, value)| {
                let place = self.schema(&format!("{at}/{}", escaped(name)), value, depth + 1)?;
                Ok((name.clone(), place))
            })
            .collect()
    }

    fn list(&mut self, at: &str, value: &Value, depth: usize) -> Result<Vec<usize>, String> {
        let all = value.as_array().ok_or_else(|| format!("`#{at}` is not a list"))?;
        let places = all.iter().enumerate();
        places.map(|(n, value)| self.schema(&format!("{at}/{n}"), value, depth + 1)).collect()
    }

    fn reference(&mut self, at: &str, value: &Value, depth: usize) -> Result<usize, String> {
        let text = value.as_str().unwrap_or_default();
        let pointer = text.strip_prefix('#').filter(|p| p.is_empty() || p.starts_with('/'));
        let pointer = pointer.ok_or_else(|| {
            format!("`#{at}`: `{text}` leads out of the document; write a pointer such as `#/$defs/name`")
        })?;
        let document = self.document;
        let target = document
            .pointer(pointer)
            .ok_or_else(|| format!("`#{at}`: there is nothing at `{text}`"))?;
        self.schema(pointer, target, depth + 1)
    }
}

/// A name as a JSON pointer spells it.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn types(value: &Value) -> Option<Vec<Type>> {
    let one = |value: &Value| {
        Some(match value.as_str()? {
            "null" => Type::Null,
            "boolean" => Type::Boolean,
            "object" => Type::Object,
            "array" => Type::Array,
            "number" => Type::Number,
            "integer" => Type::Integer,
            "string" => Type::String,
            _ => return None,
        })
    };
    match value {
        Value::Array(all) => all.iter().map(one).collect(),
        _ => Some(vec![one(value)?]),
    }
}

fn texts(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|name| name.as_str().map(str::to_owned)).collect()
}

/// A value on its way through the schemas.
struct Check<'s> {
    nodes: &'s [Node],
    steps: usize,
}

impl Check<'_> {
    fn fits(&mut self, place: usize, value: &Value, depth: usize) -> bool {
        self.steps = if depth > MAX_WAY { 0 } else { self.steps.saturating_sub(1) };
        let nodes = self.nodes;
        let Some(node) = nodes.get(place).filter(|node| !node.never && self.steps > 0) else {
            return false;
        };
        let depth = depth + 1;
        let all = node.reference.iter().chain(&node.all_of);
        if !all.copied().collect::<Vec<_>>().into_iter().all(|place| self.fits(place, value, depth))
        {
            return false;
        }
        node.types.as_ref().is_none_or(|types| types.iter().any(|kind| is(*kind, value)))
            && node.any_of_values.as_ref().is_none_or(|all| all.iter().any(|one| same(one, value)))
            && self.fits_branches(node, value, depth)
            && match value {
                Value::Object(members) => self.fits_object(node, members, depth),
                Value::Array(items) => self.fits_array(node, items, depth),
                Value::String(text) => {
                    node.length.holds(text.chars().count())
                        && node.pattern.as_ref().is_none_or(|p| p.is_match(text.as_bytes()))
                }
                Value::Number(number) => fits_number(node, number),
                Value::Null | Value::Bool(_) => true,
            }
    }

    fn fits_branches(&mut self, node: &Node, value: &Value, depth: usize) -> bool {
        if !node.any_of.is_empty()
            && !node.any_of.iter().any(|place| self.fits(*place, value, depth))
        {
            return false;
        }
        if !node.one_of.is_empty()
            && node.one_of.iter().filter(|place| self.fits(**place, value, depth)).take(2).count()
                != 1
        {
            return false;
        }
        if node.not.is_some_and(|place| self.fits(place, value, depth)) {
            return false;
        }
        let Some(condition) = node.condition else { return true };
        let next = if self.fits(condition, value, depth) { node.then } else { node.otherwise };
        next.is_none_or(|place| self.fits(place, value, depth))
    }

    fn fits_object(&mut self, node: &Node, members: &Map<String, Value>, depth: usize) -> bool {
        if !node.properties_count.holds(members.len())
            || !node.required.iter().all(|name| members.contains_key(name))
            || node.dependent.iter().any(|(name, needs)| {
                members.contains_key(name) && !needs.iter().all(|need| members.contains_key(need))
            })
        {
            return false;
        }
        for (name, value) in members {
            if node
                .names
                .is_some_and(|place| !self.fits(place, &Value::String(name.clone()), depth))
            {
                return false;
            }
            let mut described = false;
            if let Some(place) = node.properties.get(name) {
                described = true;
                if !self.fits(*place, value, depth) {
                    return false;
                }
            }
            for (pattern, place) in &node.patterns {
                if pattern.is_match(name.as_bytes()) {
                    described = true;
                    if !self.fits(*place, value, depth) {
                        return false;
                    }
                }
            }
            if !described && node.additional.is_some_and(|place| !self.fits(place, value, depth)) {
                return false;
            }
        }
        true
    }

    fn fits_array(&mut self, node: &Node, items: &[Value], depth: usize) -> bool {
        if !node.items_count.holds(items.len()) {
            return false;
        }
        for (n, item) in items.iter().enumerate() {
            let place = node.prefix.get(n).copied().or(node.items);
            if place.is_some_and(|place| !self.fits(place, item, depth)) {
                return false;
            }
        }
        if let Some(place) = node.contains {
            let found = items.iter().filter(|item| self.fits(place, item, depth)).count();
            let least = node.contains_count.least.unwrap_or(1);
            if !(Range { least: Some(least), most: node.contains_count.most }).holds(found) {
                return false;
            }
        }
        if node.unique {
            for (n, item) in items.iter().enumerate() {
                let Some(steps) = self.steps.checked_sub(n) else { return false };
                self.steps = steps;
                if items.iter().take(n).any(|other| same(other, item)) {
                    return false;
                }
            }
        }
        true
    }
}

fn is(kind: Type, value: &Value) -> bool {
    match (kind, value) {
        (Type::Null, Value::Null)
        | (Type::Boolean, Value::Bool(_))
        | (Type::Object, Value::Object(_))
        | (Type::Array, Value::Array(_))
        | (Type::Number, Value::Number(_))
        | (Type::String, Value::String(_)) => true,
        // 1.0 is an integer too.
        (Type::Integer, Value::Number(number)) => {
            number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|n| n.fract() == 0.0)
        }
        _ => false,
    }
}

/// Equal as JSON Schema says: 1 and 1.0 are.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            one == other || one.as_f64() == other.as_f64()
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(name, one)| other.get(name).is_some_and(|other| same(one, other)))
        }
        _ => one == other,
    }
}

fn fits_number(node: &Node, number: &Number) -> bool {
    let Some(n) = number.as_f64() else { return false };
    node.minimum.is_none_or(|least| n >= least)
        && node.maximum.is_none_or(|most| n <= most)
        && node.above.is_none_or(|least| n > least)
        && node.below.is_none_or(|most| n < most)
        && node.multiple_of.is_none_or(|step| {
            let times = n / step;
            (times - times.round()).abs() < 1e-9
        })
}

#[cfg(test)]
mod tests {
    use super::Schema;

    fn fits(schema: &str, value: &str) -> bool {
        Schema::parse(schema.as_bytes()).unwrap().fits(value.as_bytes())
    }

    #[test]
    fn an_order_is_held_to_its_schema() {
        let schema = r##"{"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
            "required": ["id", "items"], "additionalProperties": false,
            "properties": {"id": {"type": "integer", "minimum": 1},
                "note": {"type": ["string", "null"], "maxLength": 3, "pattern": "^[a-zé]*$"},
                "items": {"type": "array", "minItems": 1, "maxItems": 2, "uniqueItems": true,
                    "items": {"$ref": "#/$defs/item"}}},
            "$defs": {"item": {"type": "object", "properties": {"sku": {"enum": ["a", "b"]},
                "parts": {"type": "array", "items": {"$ref": "#/$defs/item"}}}, "required": ["sku"]}}}"##;
        for good in [
            r#"{"id": 1, "items": [{"sku": "a"}]}"#,
            r#"{"id": 1.0, "items": [{"sku": "a"}, {"sku": "b", "parts": [{"sku": "a"}]}], "note": null}"#,
            r#"{"id": 7, "items": [{"sku": "a"}], "note": "aéb"}"#,
        ] {
            assert!(fits(schema, good), "{good}");
        }
        for bad in [
            "",
            "[]",
            r#"{"id": 0, "items": [{"sku": "a"}]}"#,
            r#"{"id": 1.5, "items": [{"sku": "a"}]}"#,
            r#"{"id": 1}"#,
            r#"{"id": 1, "items": []}"#,
            r#"{"id": 1, "items": [{"sku": "c"}]}"#,
            r#"{"id": 1, "items": [{"sku": "a"}, {"sku": "a"}]}"#,
            r#"{"id": 1, "items": [{"sku": "a", "parts": [{}]}]}"#,
            r#"{"id": 1, "items": [{"sku": "a"}], "note": "abcd"}"#,
            r#"{"id": 1, "items": [{"sku": "a"}], "note": "A"}"#,
            r#"{"id": 1, "items": [{"sku": "a"}], "admin": true}"#,
        ] {
            assert!(!fits(schema, bad), "{bad}");
        }
    }

    #[test]
    fn branches_numbers_and_names() {
        assert!(fits(r#"{"oneOf": [{"multipleOf": 3}, {"multipleOf": 5}]}"#, "9"));
        assert!(!fits(r#"{"oneOf": [{"multipleOf": 3}, {"multipleOf": 5}]}"#, "15"));
        assert!(fits(r#"{"anyOf": [{"type": "null"}, {"exclusiveMinimum": 2}]}"#, "3"));
        assert!(!fits(r#"{"not": {"type": "string"}}"#, "\"x\""));
        let conditional = r#"{"if": {"properties": {"a": {"const": 1}}}, "then": {"required": ["b"]},
            "else": {"maxProperties": 1}}"#;
        assert!(!fits(conditional, r#"{"a": 1}"#) && fits(conditional, r#"{"a": 1, "b": 2}"#));
        assert!(fits(conditional, r#"{"a": 2}"#) && !fits(conditional, r#"{"a": 2, "b": 2}"#));
        let named = r#"{"propertyNames": {"pattern": "^[a-z]+$"}, "patternProperties": {"^n": {"type": "number"}},
            "additionalProperties": {"type": "string"}, "dependentRequired": {"a": ["b"]}}"#;
        assert!(fits(named, r#"{"n": 1, "b": "x"}"#) && !fits(named, r#"{"n": "x"}"#));
        assert!(
            !fits(named, r#"{"a": "x"}"#)
                && !fits(named, r#"{"A": "x"}"#)
                && !fits(named, r#"{"b": 1}"#)
        );
        let tuple =
            r#"{"prefixItems": [{"type": "string"}], "items": false, "contains": {"const": "x"}}"#;
        assert!(fits(tuple, r#"["x"]"#) && !fits(tuple, r#"["x", 1]"#) && !fits(tuple, r#"["y"]"#));
    }

    #[test]
    fn what_is_not_offered_is_refused_and_what_is_endless_ends() {
        let why = |schema: &str| Schema::parse(schema.as_bytes()).unwrap_err();
        assert!(
            why(r#"{"properties": {"a/b": {"typo": 1}}}"#).contains("`#/properties/a~1b/typo`")
        );
        assert!(why(r#"{"$ref": "http://example.com/x"}"#).contains("leads out of the document"));
        assert!(why(r##"{"$ref": "#/$defs/none"}"##).contains("there is nothing"));
        assert!(why(r#"{"type": "text"}"#).contains("`#/type` is not a type"));
        assert!(why("{").contains("no JSON"));
        assert!(why(&(r#"{"not":"#.repeat(120) + "true" + &"}".repeat(120))).contains("too deep"));
        // It leads to itself without taking anything off the value.
        assert!(!fits(r##"{"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}"##, "1"));
        assert!(!fits(r##"{"not": {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}}"##, "1"));
        let tree = r##"{"properties": {"a": {"$ref": "#"}}}"##;
        assert!(fits(tree, &(r#"{"a":"#.repeat(60) + "1" + &"}".repeat(60))));
    }
}
