//! `JMESPath`: what `save` and the checks look into answers with.

use crate::taas::value::Value;
use jmespath::Variable;
use serde::de::IgnoredAny;
use std::borrow::Cow;
use std::collections::HashMap;
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
    let expression = with_whole_literals(expression);
    let compiled = jmespath::compile(&expression).map_err(told)?;
    let mut own = Own::new();
    let root = variable(value, &mut own);
    // `Expression::search` would follow the path through a copy.
    let mut context = jmespath::Context::new(&expression, &jmespath::DEFAULT_RUNTIME);
    let found = jmespath::interpret(&root, compiled.as_ast(), &mut context).map_err(told)?;
    // INVARIANT: `root` keeps every place of `own` taken until here.
    Ok(back(&found, &own))
}

/// Objects of the searched value by where their copies lie. What a path leads to is such a copy as a rule, and is
/// given back as it was: with its keys in their order, which the library sorts.
type Own<'v> = HashMap<*const Variable, &'v Value>;

/// The expression with `` `text` `` as `` `"text"` ``: a literal that is no JSON is a text, as in the first grammar of
/// the language and in the Python library still.
fn with_whole_literals(expression: &str) -> Cow<'_, str> {
    if !expression.contains('`') {
        return Cow::Borrowed(expression);
    }
    let mut out = String::with_capacity(expression.len() + 2);
    let mut rest = expression;
    while let Some(at) = rest.find(['`', '\'', '"']) {
        let (before, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
        out.push_str(before);
        let mut chars = from.char_indices();
        let quote = chars.next().map(|(_, c)| c);
        let mut end = None;
        while let Some((at, c)) = chars.next() {
            if c == '\\' {
                chars.next();
            } else if Some(c) == quote {
                end = Some(at);
                break;
            }
        }
        // What is not closed is for the compiler to refuse.
        let Some((whole, after)) = end.and_then(|end| from.split_at_checked(end + 1)) else {
            out.push_str(from);
            return Cow::Owned(out);
        };
        rest = after;
        let literal = whole.strip_prefix('`').and_then(|inner| inner.strip_suffix('`'));
        let is_json = |text: &str| serde_json::from_str::<IgnoredAny>(text).is_ok();
        match literal {
            Some(inner) if !is_json(&inner.replace("\\`", "`")) => {
                let text = format!("\"{}\"", inner.trim_start());
                let fits = is_json(&text.replace("\\`", "`"));
                out.extend(["`", if fits { &text } else { inner }, "`"]);
            }
            _ => out.push_str(whole),
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
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

fn variable<'v>(value: &'v Value, own: &mut Own<'v>) -> Rc<Variable> {
    let made = match value {
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
            Variable::Array(items.iter().map(|item| variable(item, own)).collect())
        }
        Value::Map(entries) => {
            let each = entries.iter().map(|(key, item)| (key.clone(), variable(item, own)));
            Variable::Object(each.collect())
        }
        other => Variable::String(other.to_string()),
    };
    let made = Rc::new(made);
    if matches!(value, Value::Map(_)) {
        own.insert(Rc::as_ptr(&made), value);
    }
    made
}

fn back(found: &Rc<Variable>, own: &Own<'_>) -> Value {
    match found.as_ref() {
        Variable::Null | Variable::Expref(_) => Value::Null,
        Variable::Bool(flag) => Value::Bool(*flag),
        Variable::String(text) => Value::text(text),
        Variable::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), ..) => Value::Int(number.into()),
            (_, Some(number), _) => Value::Int(number.into()),
            (.., Some(number)) => Value::Float(number),
            _ => Value::Null,
        },
        Variable::Array(items) => Value::List(items.iter().map(|item| back(item, own)).collect()),
        Variable::Object(entries) => match own.get(&Rc::as_ptr(found)) {
            Some(whole) => (*whole).clone(),
            None => Value::Map(
                entries.iter().map(|(key, item)| (key.clone(), back(item, own))).collect(),
            ),
        },
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
    fn literals_are_json_or_texts() {
        let json = br#"{"a": [{"k": "text", "n": 1}, {"k": "we`ird", "n": 2.0, "b": true}, {"k": "a b\"", "n": 3}]}"#;
        let value = Value::from_json(json).unwrap();
        for (path, found) in [
            (r#"a[?k==`"text"`].n | [0]"#, 1),
            ("a[?k==`text`].n | [0]", 1),
            ("a[?k==` text`].n | [0]", 1),
            ("a[?k=='text' && n==`1`].n | [0]", 1),
            ("a[?n>`1.5` && b==`true`].n | [0]", 2),
            ("a[?n==`2`].n | [0]", 2),
            (r#"a[?k==`"we\`ird"`].n | [0]"#, 2),
            (r"a[?k==`we\`ird`].n | [0]", 2),
            (r#"a[?k==`a b\"`].n | [0]"#, 3),
            ("length(`[1, 2]`)", 2),
            ("length('`x`')", 3),
            (r#"length("a")"#, 3),
            ("length(`true`  || `long`)", 4),
        ] {
            let told = search(path, &value);
            if path.starts_with("length(`true") {
                assert!(told.is_err(), "a bare `true` is no text");
                continue;
            }
            let found = Value::Int(found);
            assert!(told.clone().unwrap().number() == found.number(), "{path}: {told:?}");
        }
        for broken in [r#"a[?k==`"x`]"#, "a[?k==`{\"x]", "`a\"`"] {
            assert!(search(broken, &value).is_err(), "{broken}");
        }
    }

    #[test]
    fn objects_keep_the_order_of_their_keys() {
        let value = Value::from_json(
            br#"{"z": {"y": 1, "b": {"d": 1, "c": 2}, "a": 3}, "l": [{"q": 1, "p": {"s": 1, "r": 2}}]}"#,
        )
        .unwrap();
        for (path, shown) in [
            ("z", r#"{"y":1,"b":{"d":1,"c":2},"a":3}"#),
            ("@.z", r#"{"y":1,"b":{"d":1,"c":2},"a":3}"#),
            ("l[?q==`1`] | [0]", r#"{"q":1,"p":{"s":1,"r":2}}"#),
            ("l[*].p | [0]", r#"{"s":1,"r":2}"#),
            ("{one: z.b, l: l}", r#"{"l":[{"q":1,"p":{"s":1,"r":2}}],"one":{"d":1,"c":2}}"#),
        ] {
            let found = search(path, &value).unwrap();
            assert_eq!(found.to_json().unwrap().replace(' ', ""), shown, "{path}");
        }
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
