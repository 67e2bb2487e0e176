//! `JMESPath`: what `save` and the checks look into answers with.

use crate::taas::value::Value;
use jmespath::Variable;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Bytes of an expression. They are a line in real files; the parser recurses over them.
const LONGEST: usize = 1_024;

/// How deep an expression may nest.
const DEPTH: usize = 32;

/// What an expression finds; `null` where it finds nothing.
///
/// # Errors
/// Says what is wrong with the expression, or that it is used on what it does not fit.
pub(super) fn search(expression: &str, value: &Value) -> Result<Value, String> {
    // The plain name is what nearly every `save` says, and needs no compiler.
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !expression.is_empty()
        && expression.chars().all(is_name)
        && !expression.starts_with(|c: char| c.is_ascii_digit())
    {
        return Ok(value.key(expression).cloned().unwrap_or_default());
    }
    if expression.len() > LONGEST || depth(expression) > DEPTH {
        return Err(format!(
            "the path `{}…` is longer than {LONGEST} bytes or nests deeper than {DEPTH}; shorten it",
            expression.chars().take(40).collect::<String>()
        ));
    }
    let told = |e: jmespath::JmespathError| {
        let why = e.to_string();
        let why = why.lines().next().unwrap_or_default().to_owned();
        format!("the path `{expression}` cannot be followed: {why}")
    };
    let compiled = jmespath::compile(expression).map_err(told)?;
    let found = compiled.search(Rc::new(variable(value))).map_err(told)?;
    Ok(back(&found))
}

/// How deep brackets nest, and signs that the parser recurses over.
fn depth(expression: &str) -> usize {
    let (mut open, mut deepest) = (0_usize, 0);
    for byte in expression.bytes() {
        match byte {
            b'(' | b'[' | b'{' | b'!' => {
                open += 1;
                deepest = deepest.max(open);
            }
            b')' | b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn variable(value: &Value) -> Variable {
    match value {
        Value::Null => Variable::Null,
        Value::Bool(flag) => Variable::Bool(*flag),
        Value::Int(number) => match (i64::try_from(*number), u64::try_from(*number)) {
            (Ok(number), _) => Variable::Number(number.into()),
            (_, Ok(number)) => Variable::Number(number.into()),
            _ => Variable::String(number.to_string()),
        },
        Value::Float(number) => {
            serde_json::Number::from_f64(*number).map_or(Variable::Null, Variable::Number)
        }
        Value::List(items) => {
            Variable::Array(items.iter().map(|item| Rc::new(variable(item))).collect())
        }
        Value::Map(entries) => {
            let each = entries.iter().map(|(key, item)| (key.clone(), Rc::new(variable(item))));
            Variable::Object(each.collect::<BTreeMap<_, _>>())
        }
        other => Variable::String(other.to_string()),
    }
}

fn back(found: &Variable) -> Value {
    match found {
        Variable::Null | Variable::Expref(_) => Value::Null,
        Variable::Bool(flag) => Value::Bool(*flag),
        Variable::String(text) => Value::text(text),
        Variable::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), ..) => Value::Int(number.into()),
            (_, Some(number), _) => Value::Int(number.into()),
            (.., Some(number)) => Value::Float(number),
            _ => Value::Null,
        },
        Variable::Array(items) => Value::List(items.iter().map(|item| back(item)).collect()),
        Variable::Object(entries) => {
            Value::Map(entries.iter().map(|(key, item)| (key.clone(), back(item))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_find_values() {
        let value = Value::from_json(br#"{"a": [1, {"b.c": 2.0}], "d": "x"}"#).unwrap();
        for (path, found) in [
            ("d", Value::text("x")),
            ("a[0]", Value::Int(1)),
            ("a[1].\"b.c\"", Value::Float(2.0)),
            ("length(a)", Value::Int(2)),
            ("nothing", Value::Null),
            ("a[?@==`9`]", Value::List(Vec::new())),
            ("@.d", Value::text("x")),
        ] {
            assert_eq!(search(path, &value).unwrap(), found, "{path}");
        }
        assert!(matches!(search("a[1].\"b.c\"", &value).unwrap(), Value::Float(_)));
    }

    #[test]
    fn broken_and_deep_paths_are_refused() {
        for path in ["a-b", "a[", "", "foo(a)"] {
            assert!(search(path, &Value::Null).is_err(), "{path}");
        }
        assert!(search(&"[".repeat(500), &Value::Null).unwrap_err().contains("deeper"));
        assert!(search(&"!".repeat(500), &Value::Null).is_err());
        let _ = search(&"a.".repeat(500), &Value::Null);
        let _ = search(&"a|".repeat(500), &Value::Null);
        let _ = search(&"&a".repeat(500), &Value::Null);
    }
}
