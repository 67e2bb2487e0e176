//! `tavern.helpers`: the functions that are part of the format.

use super::compare::shown;
use super::{jmes, jwt, kwalify};
use crate::runner::Response;
use crate::taas::extension::{Call, Extension};
use crate::taas::pattern::Pattern;
use crate::taas::value::{Reach, Value};
use crate::time::Timestamp;
use std::cmp::Ordering;

const BUILT_IN: &[&str] = &[
    "validate_regex",
    "validate_jwt",
    "validate_content",
    "check_jmespath_match",
    "validate_pykwalify",
];

/// Functions of the format that look into Python's own classes.
const PYTHON: &[&str] = &["validate_pydantic", "check_exception_raised"];

fn short(function: &str) -> Option<&str> {
    function.strip_prefix("tavern.helpers:")
}

/// Whether a function is built in.
pub(crate) fn is_built_in(function: &str) -> bool {
    short(function).is_some_and(|name| BUILT_IN.contains(&name))
}

/// Whether it is one of the format's that only Python can run.
pub(crate) fn needs_python(function: &str) -> bool {
    short(function).is_some_and(|name| PYTHON.contains(&name))
}

/// Calls the function that a mapping of `function`, `extra_args` and `extra_kwargs` names, with an answer.
///
/// # Errors
/// What does not hold, or that there is no such function.
pub(super) fn call(
    named: &Value,
    response: &Response,
    body: &[u8],
    extension: Option<&dyn Extension>,
    now: Timestamp,
) -> Result<Value, String> {
    let function = named.key("function").and_then(Value::as_text).unwrap_or_default();
    let args = named.key("extra_args").and_then(Value::items).unwrap_or_default();
    let kwargs = named.key("extra_kwargs").and_then(Value::entries).unwrap_or_default();
    if !is_built_in(function) {
        let extension = extension
            .filter(|extension| extension.offers(function))
            .ok_or_else(|| format!("the function `{function}` is not offered"))?;
        let decoded;
        let seen = if body == response.body {
            response
        } else {
            decoded = Response { body: body.to_vec(), ..response.clone() };
            &decoded
        };
        return extension.call(&Call { function, response: Some(seen), args, kwargs });
    }
    let check = Check { response, body, args, kwargs };
    match short(function).unwrap_or_default() {
        "validate_regex" => check.regex(),
        "validate_jwt" => {
            let key = check.text("jwt_key", 0)?;
            let json = check.json()?;
            let token = json.key(&key).and_then(Value::as_text);
            let token = token.ok_or_else(|| format!("the body has no token under `{key}`"))?;
            let claims = jwt::check(token, kwargs, now)?;
            Ok(Value::Map(vec![("jwt".to_owned(), claims)]))
        }
        "validate_content" => check.content(),
        "check_jmespath_match" => {
            let query = check.text("query", 0)?;
            let found = jmes::search(&query, &check.json()?)?;
            match check.argument("expected", 1) {
                None | Some(Value::Null) if matches!(found, Value::Null) => {
                    Err(format!("the body has nothing at `{query}`"))
                }
                None | Some(Value::Null) => Ok(found),
                Some(expected) if *expected == found => Ok(found),
                Some(expected) => Err(format!(
                    "the body has {} at `{query}`, expected {}",
                    shown(&found),
                    shown(expected)
                )),
            }
        }
        _ => {
            let schema =
                check.argument("schema", 0).ok_or("`validate_pykwalify` needs a `schema`")?;
            let mut told = Vec::new();
            kwalify::check(schema, &check.json()?, &mut told)?;
            if told.is_empty() { Ok(Value::Null) } else { Err(told.join("; ")) }
        }
    }
}

struct Check<'c> {
    response: &'c Response,
    body: &'c [u8],
    args: &'c [Value],
    kwargs: &'c [(String, Value)],
}

impl Check<'_> {
    fn argument(&self, name: &str, at: usize) -> Option<&Value> {
        let named = self.kwargs.iter().find(|(key, _)| key == name).map(|(_, value)| value);
        named.or_else(|| self.args.get(at))
    }

    fn text(&self, name: &str, at: usize) -> Result<String, String> {
        self.argument(name, at)
            .map(ToString::to_string)
            .ok_or_else(|| format!("`{name}` is missing"))
    }

    fn json(&self) -> Result<Value, String> {
        Value::from_json(self.body).map_err(|e| format!("the body is no JSON: {e}"))
    }

    /// The named groups of a pattern, under `regex`.
    fn regex(&self) -> Result<Value, String> {
        let expression = self.text("expression", 0)?;
        let pattern = Pattern::new(&expression)?;
        let found;
        let (what, seen): (String, &[u8]) = if let Some(header) = self.argument("header", 1) {
            let name = header.to_string();
            let value = self.response.header(&name);
            (
                format!("the header `{name}`"),
                value.ok_or_else(|| format!("there is no header `{name}`"))?,
            )
        } else if let Some(path) = self.argument("in_jmespath", 2) {
            let path = path.to_string();
            let value = jmes::search(&path, &self.json()?)?;
            if matches!(value, Value::Null) {
                return Err(format!("the body has nothing at `{path}`"));
            }
            found = match value {
                Value::Text(text) => text,
                other => {
                    return Err(format!(
                        "`{path}` is {}, no text; compare it with `validate_content`",
                        shown(&other)
                    ));
                }
            };
            (format!("`{path}`"), found.as_bytes())
        } else {
            ("the body".to_owned(), self.body)
        };
        let groups = pattern.named_groups(seen);
        let groups = groups.ok_or_else(|| format!("{what} does not match `{expression}`"))?;
        let boxed =
            groups.into_iter().map(|(name, text)| (name, text.map_or(Value::Null, Value::Text)));
        Ok(Value::Map(vec![("regex".to_owned(), Value::Map(boxed.collect()))]))
    }

    /// Comparisons of what paths find.
    fn content(&self) -> Result<Value, String> {
        let comparisons =
            self.argument("comparisons", 0).and_then(Value::items).unwrap_or_default();
        let json = self.json()?;
        for one in comparisons {
            let part = |name: &str| {
                one.key(name).ok_or_else(|| format!("a comparison needs `jmespath`, `operator` and `expected`; `{name}` is missing"))
            };
            let (path, operator) = (part("jmespath")?.to_string(), part("operator")?.to_string());
            let (expected, found) = (part("expected")?, jmes::search(&path, &json)?);
            if !holds(&found, &operator, expected)? {
                return Err(format!(
                    "`{path}` is {}, which is not `{operator}` {}",
                    shown(&found),
                    shown(expected)
                ));
            }
        }
        Ok(Value::Null)
    }
}

fn holds(found: &Value, operator: &str, expected: &Value) -> Result<bool, String> {
    let order = || -> Result<Ordering, String> {
        let order = match (found, expected) {
            (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
            _ => found.number().zip(expected.number()).and_then(|(a, b)| a.partial_cmp(&b)),
        };
        order.ok_or_else(|| format!("{} and {} have no order", shown(found), shown(expected)))
    };
    let count = |value: &Value| match value {
        Value::Text(text) => Some(text.chars().count()),
        Value::List(items) => Some(items.len()),
        Value::Map(entries) => Some(entries.len()),
        _ => None,
    };
    let contains = |whole: &Value, part: &Value| match (whole, part) {
        (Value::Text(whole), Value::Text(part)) => whole.contains(part.as_str()),
        (Value::List(items), part) => items.contains(part),
        (Value::Map(_), Value::Text(key)) => whole.key(key).is_some(),
        _ => false,
    };
    Ok(match operator {
        "eq" | "equals" => found == expected,
        "ne" | "not_equals" => found != expected,
        "str_eq" => found.to_string() == expected.to_string(),
        "lt" | "less_than" => order()?.is_lt(),
        "gt" | "greater_than" => order()?.is_gt(),
        "contains" => contains(found, expected),
        "contained_by" => contains(expected, found),
        "count_eq" => {
            let wanted = expected.number();
            count(found).and_then(|n| u32::try_from(n).ok()).map(f64::from) == wanted
                && wanted.is_some()
        }
        "type" => is_of(found, &expected.to_string())?,
        "regex" => Pattern::new(&expected.to_string())?
            .is_match(Reach::Search, found.to_string().as_bytes()),
        other => {
            return Err(format!(
                "`{other}` is no operator; known are eq, ne, str_eq, lt, gt, contains, contained_by, count_eq, type, regex"
            ));
        }
    })
}

/// Whether a value is of a type by the names that the format has for them; a boolean is a number, as in
/// Python.
fn is_of(value: &Value, name: &str) -> Result<bool, String> {
    Ok(match name.to_ascii_lowercase().as_str() {
        "none" => matches!(value, Value::Null),
        "number" => matches!(value, Value::Int(_) | Value::Float(_) | Value::Bool(_)),
        "int" => matches!(value, Value::Int(_) | Value::Bool(_)),
        "float" => matches!(value, Value::Float(_)),
        "bool" => matches!(value, Value::Bool(_)),
        "str" => matches!(value, Value::Text(_)),
        "list" => matches!(value, Value::List(_)),
        "dict" => matches!(value, Value::Map(_)),
        _ => {
            return Err(format!(
                "`{name}` is no type; known are none, number, int, float, bool, str, list, dict"
            ));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_hold_as_in_the_format() {
        let json = |text: &str| Value::from_json(text.as_bytes()).unwrap();
        for (found, operator, expected, holds_so) in [
            ("1", "eq", "1.0", true),
            ("1", "ne", "2", true),
            ("5", "str_eq", "\"5\"", true),
            ("1", "lt", "2", true),
            ("\"b\"", "greater_than", "\"a\"", true),
            ("[1, 2]", "contains", "2", true),
            ("\"o\"", "contained_by", "\"foo\"", true),
            ("\"foo\"", "count_eq", "3", true),
            ("true", "type", "\"bool\"", true),
            ("null", "type", "\"none\"", true),
            ("true", "type", "\"int\"", true),
            ("1", "type", "\"Number\"", true),
            ("1", "type", "\"float\"", false),
            ("{}", "type", "\"dict\"", true),
            ("[]", "type", "\"dict\"", false),
            ("\"foo\"", "regex", "\"o+$\"", true),
            ("[1]", "count_eq", "2", false),
        ] {
            let held = holds(&json(found), operator, &json(expected)).unwrap();
            assert_eq!(held, holds_so, "{found} {operator} {expected}");
        }
        assert!(holds(&json("1"), "lt", &json("\"a\"")).is_err());
        assert!(holds(&json("null"), "type", &json("\"NoneType\"")).unwrap_err().contains("dict"));
        assert!(holds(&json("1"), "almost", &json("1")).unwrap_err().contains("`almost`"));
    }
}
