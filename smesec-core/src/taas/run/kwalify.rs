//! Schemas of `validate_pykwalify`: types, mappings, sequences, patterns, enumerations and ranges.

use crate::taas::pattern::Pattern;
use crate::taas::value::{Reach, Value};

/// How deep a schema may nest; values are no deeper than their parser allows.
const DEPTH: usize = 32;

/// Failures that are told; nobody reads more, and a list of a million has as many.
const MOST_TOLD: usize = 20;

/// Checks a value, and tells what does not fit with its path.
///
/// # Errors
/// Names what the schema has that is not offered.
pub(super) fn check(schema: &Value, value: &Value, told: &mut Vec<String>) -> Result<(), String> {
    rule(schema, value, "", 0, told)
}

fn rule(
    schema: &Value,
    value: &Value,
    path: &str,
    depth: usize,
    told: &mut Vec<String>,
) -> Result<(), String> {
    if depth > DEPTH {
        return Err(format!("the schema nests deeper than {DEPTH}; flatten it"));
    }
    if told.len() >= MOST_TOLD {
        return Ok(());
    }
    let entries = schema.entries().ok_or("a schema is a mapping; begin with `type:`")?;
    const KNOWN: &[&str] = &[
        "type",
        "mapping",
        "map",
        "sequence",
        "seq",
        "required",
        "req",
        "pattern",
        "enum",
        "range",
        "name",
        "desc",
        "nullable",
        "nul",
        "allowempty",
        "matching",
        "unique",
        "length",
        "example",
        "version",
        "default",
        "date",
        "ident",
    ];
    for (key, _) in entries {
        if !KNOWN.contains(&key.as_str()) {
            return Err(format!(
                "the schema's `{key}` is not offered; known are type, mapping, sequence, required, pattern, enum, range"
            ));
        }
    }
    let field = |names: &[&str]| names.iter().find_map(|name| schema.key(name));
    let named = field(&["type"]).map(ToString::to_string);
    let kind = match &named {
        Some(kind) => kind.as_str(),
        None if field(&["mapping", "map"]).is_some() => "map",
        None if field(&["sequence", "seq"]).is_some() => "seq",
        None => "str",
    };
    if matches!(value, Value::Null) && kind != "none" {
        if field(&["required", "req"]).is_some_and(Value::truth)
            || !field(&["nullable", "nul"]).is_none_or(Value::truth)
        {
            told.push(format!("`{path}/` is null"));
        }
        return Ok(());
    }
    let fits = match kind {
        "any" => true,
        "str" => matches!(value, Value::Text(_)),
        "int" => matches!(value, Value::Int(_)),
        "float" => matches!(value, Value::Float(_) | Value::Int(_)),
        "number" => value.number().is_some(),
        "bool" => matches!(value, Value::Bool(_)),
        "text" => matches!(value, Value::Text(_)) || value.number().is_some(),
        "scalar" => !matches!(value, Value::List(_) | Value::Map(_)),
        "none" => matches!(value, Value::Null),
        "map" => matches!(value, Value::Map(_)),
        "seq" => matches!(value, Value::List(_)),
        other => return Err(format!("the schema's type `{other}` is not offered")),
    };
    if !fits {
        told.push(format!("`{path}/` is {}, expected {kind}", value.type_name()));
        return Ok(());
    }
    if let Some(allowed) = field(&["enum"]).and_then(Value::items)
        && !allowed.contains(value)
    {
        told.push(format!("`{path}/` is {}, which is none of those allowed", value.repr()));
    }
    if let Some(pattern) = field(&["pattern"]) {
        let pattern = Pattern::new(&pattern.to_string())?;
        if !pattern.is_match(Reach::Match, value.to_string().as_bytes()) {
            told.push(format!("`{path}/` does not match `{pattern}`"));
        }
    }
    for (name, size) in [("range", value.number().or_else(|| size(value))), ("length", size(value))]
    {
        if let (Some(range), Some(size)) = (field(&[name]), size)
            && !within(range, size)
        {
            told.push(format!("`{path}/` is outside its {name}"));
        }
    }
    match value {
        Value::Map(found) => {
            let known = field(&["mapping", "map"]).and_then(Value::entries).unwrap_or_default();
            let open = known.is_empty() || field(&["allowempty"]).is_some_and(Value::truth);
            for (key, inner) in known {
                match value.key(key) {
                    Some(value) => rule(inner, value, &format!("{path}/{key}"), depth + 1, told)?,
                    None if ["required", "req"]
                        .iter()
                        .any(|r| inner.key(r).is_some_and(Value::truth)) =>
                    {
                        told.push(format!("`{path}/{key}` is missing"));
                    }
                    None => {}
                }
            }
            for (key, _) in found {
                if told.len() >= MOST_TOLD {
                    break;
                }
                if !open && !known.iter().any(|(name, _)| name == key) {
                    told.push(format!("`{path}/{key}` is not in the schema"));
                }
            }
        }
        Value::List(items) => {
            let rules = field(&["sequence", "seq"]).and_then(Value::items).unwrap_or_default();
            for (n, item) in items.iter().enumerate().filter(|_| !rules.is_empty()) {
                if told.len() >= MOST_TOLD {
                    break;
                }
                // One of several rules is enough, unless `matching` says all.
                let mut least: Option<Vec<String>> = None;
                for inner in rules {
                    let mut own = Vec::new();
                    rule(inner, item, &format!("{path}/{n}"), depth + 1, &mut own)?;
                    if least.as_ref().is_none_or(|least| own.len() < least.len()) {
                        least = Some(own);
                    }
                }
                told.extend(least.unwrap_or_default());
            }
        }
        _ => {}
    }
    Ok(())
}

fn size(value: &Value) -> Option<f64> {
    let count = match value {
        Value::Text(text) => text.chars().count(),
        Value::List(items) => items.len(),
        Value::Map(entries) => entries.len(),
        _ => return None,
    };
    u32::try_from(count).ok().map(f64::from)
}

fn within(range: &Value, size: f64) -> bool {
    let bound = |name: &str| range.key(name).and_then(Value::number);
    bound("min").is_none_or(|least| size >= least)
        && bound("max").is_none_or(|most| size <= most)
        && bound("min-ex").is_none_or(|least| size > least)
        && bound("max-ex").is_none_or(|most| size < most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(schema: &str, value: &str) -> Result<Vec<String>, String> {
        let json = |text: &str| Value::from_json(text.as_bytes()).unwrap();
        let mut told = Vec::new();
        check(&json(schema), &json(value), &mut told).map(|()| told)
    }

    #[test]
    fn of_a_long_list_the_first_failures_are_told() {
        let value = format!("[{}1]", "1, ".repeat(100_000));
        let schema = r#"{"type": "seq", "sequence": [{"type": "str"}]}"#;
        assert_eq!(told(schema, &value).unwrap().len(), MOST_TOLD);
    }

    #[test]
    fn schemas_hold_values_to_types_and_bounds() {
        let schema = r#"{"type": "map", "mapping": {"id": {"type": "int", "required": true, "range": {"min": 1}}, "tags": {"type": "seq", "sequence": [{"type": "str", "enum": ["a", "b"]}]}, "name": {"type": "str", "pattern": "[a-z]+"}}}"#;
        for (value, faults) in [
            (r#"{"id": 5, "tags": ["a"], "name": "bob"}"#, 0),
            (r#"{"id": 0}"#, 1),
            (r#"{"tags": []}"#, 1),
            (r#"{"id": 1, "tags": ["c", 5]}"#, 2),
            (r#"{"id": 1, "name": "9"}"#, 1),
            (r#"{"id": 1, "more": 1}"#, 1),
            ("[]", 1),
        ] {
            assert_eq!(told(schema, value).unwrap().len(), faults, "{value}");
        }
        assert!(told(r#"{"type": "map", "func": "f"}"#, "{}").unwrap_err().contains("`func`"));
        let deep =
            "{\"type\":\"seq\",\"sequence\":[".repeat(60) + "{\"type\":\"int\"}" + &"]}".repeat(60);
        let value = "[".repeat(60) + "1" + &"]".repeat(60);
        assert!(told(&deep, &value).unwrap_err().contains("deeper"));
    }
}
