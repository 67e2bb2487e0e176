//! Expected against actual: tokens, strictness, and where they part.

use crate::taas::tavern::Setting;
use crate::taas::value::{Token, Value};

/// Differences that are told of one comparison; more would bury the first.
const TOLD: usize = 20;

/// Compares, and tells each difference with its path, such as `json.user.roles[0]`.
pub(super) fn compare(
    expected: &Value,
    actual: &Value,
    setting: Setting,
    path: &str,
    told: &mut Vec<String>,
) {
    if told.len() >= TOLD {
        return;
    }
    match (expected, actual) {
        (Value::Token(token), _) => {
            if !fits(token, actual) {
                told.push(format!("`{path}` is {}, expected {token}", shown(actual)));
            }
        }
        (Value::Map(wanted), Value::Map(found)) => {
            for (key, value) in wanted {
                let inner = format!("{path}.{key}");
                match found.iter().rev().find(|(name, _)| name == key) {
                    Some((_, found)) => compare(value, found, setting, &inner, told),
                    None => told.push(format!("`{inner}` is missing, expected {}", shown(value))),
                }
            }
            if setting == Setting::On {
                let extra: Vec<&str> = found
                    .iter()
                    .map(|(key, _)| key.as_str())
                    .filter(|key| !wanted.iter().any(|(name, _)| name == key))
                    .take(TOLD)
                    .collect();
                if !extra.is_empty() {
                    told.push(format!(
                        "`{path}` has more than expected: `{}`; name them, or set `strict: [json:off]`",
                        extra.join("`, `")
                    ));
                }
            }
        }
        (Value::List(wanted), Value::List(found)) => {
            lists(wanted, found, setting, path, told);
        }
        (wanted, found) if wanted == found => {}
        (wanted, found) => {
            let kinds = if wanted.type_name() == found.type_name() {
                String::new()
            } else {
                format!(" ({} instead of {})", found.type_name(), wanted.type_name())
            };
            told.push(format!("`{path}` is {}, expected {}{kinds}", shown(found), shown(wanted)));
        }
    }
}

fn lists(wanted: &[Value], found: &[Value], setting: Setting, path: &str, told: &mut Vec<String>) {
    match setting {
        Setting::On => {
            if wanted.len() != found.len() {
                told.push(format!(
                    "`{path}` has {} items, expected {}; to look for some alone set `strict: [json:off]`",
                    found.len(),
                    wanted.len()
                ));
                return;
            }
            for (n, (wanted, found)) in wanted.iter().zip(found).enumerate() {
                compare(wanted, found, setting, &format!("{path}[{n}]"), told);
            }
        }
        Setting::Off => {
            let mut rest = found.iter();
            for (n, item) in wanted.iter().enumerate() {
                if !rest.any(|found| is_same(item, found, setting)) {
                    told.push(format!(
                        "`{path}` holds no {} where item {n} is expected, in this order",
                        shown(item)
                    ));
                    return;
                }
            }
        }
        Setting::AnyOrder => {
            let mut left: Vec<&Value> = found.iter().collect();
            for item in wanted {
                match left.iter().position(|found| is_same(item, found, setting)) {
                    Some(at) => {
                        left.remove(at);
                    }
                    None => told.push(format!("`{path}` holds no {}", shown(item))),
                }
            }
        }
    }
}

fn is_same(expected: &Value, actual: &Value, setting: Setting) -> bool {
    let mut told = Vec::new();
    compare(expected, actual, setting, "", &mut told);
    told.is_empty()
}

/// Whether a value is what a token stands for.
fn fits(token: &Token, actual: &Value) -> bool {
    match token {
        // In Python a boolean is a number; the format says that it is not.
        Token::Any(kind) => actual.is_a(*kind) && !is_bool_as_int(*kind, actual),
        Token::Form(reach, pattern) => {
            actual.as_text().is_some_and(|text| pattern.is_match(*reach, text.as_bytes()))
        }
        // Python's `math.isclose`, a millionth of the greater or of one.
        Token::Approx(wanted) => actual
            .number()
            .is_some_and(|found| (found - wanted).abs() <= (1e-6 * wanted.abs()).max(1e-12)),
        Token::Raw(text) => actual.as_text() == Some(text),
        // What is not formatted yet fits nothing.
        Token::Convert(..) | Token::Whole(_) => false,
    }
}

fn is_bool_as_int(kind: crate::taas::value::Kind, actual: &Value) -> bool {
    kind == crate::taas::value::Kind::Int && matches!(actual, Value::Bool(_))
}

/// A value for a message, cut where it is long.
pub(super) fn shown(value: &Value) -> String {
    const LONGEST: usize = 200;
    let text = match value {
        Value::Text(text) => format!("\"{text}\""),
        Value::List(_) | Value::Map(_) => value.to_json().unwrap_or_else(|_| value.repr()),
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        other => other.to_string(),
    };
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::taas::pattern::Pattern;
    use crate::taas::value::{Kind, Reach};

    fn told(expected: &str, actual: &str, setting: Setting) -> Vec<String> {
        let value = |text: &str| Value::from_json(text.as_bytes()).unwrap();
        let mut told = Vec::new();
        compare(&value(expected), &value(actual), setting, "json", &mut told);
        told
    }

    #[test]
    fn strictness_decides_on_more_and_order() {
        use Setting::{AnyOrder, Off, On};
        for (expected, actual, setting, same) in [
            ("[3,1,2]", "[1,2,3]", AnyOrder, true),
            ("[3,1]", "[1,2,3]", AnyOrder, true),
            ("[1,1]", "[1,2]", AnyOrder, false),
            (r#"[{"a":1}]"#, r#"[{"a":1,"b":2}]"#, AnyOrder, true),
            ("[3,1]", "[1,2,3]", Off, false),
            ("[1,3]", "[1,2,3]", Off, true),
            ("[1,3]", "[1,2,3]", On, false),
            ("{}", r#"{"a":1}"#, On, false),
            ("{}", r#"{"a":1}"#, Off, true),
            ("{}", "[]", Off, false),
            (r#"{"a":null}"#, "{}", Off, false),
            ("1", "1.0", On, true),
            ("1", "true", On, true),
            ("1", "\"1\"", On, false),
        ] {
            assert_eq!(told(expected, actual, setting).is_empty(), same, "{expected} {actual}");
        }
    }

    #[test]
    fn differences_have_a_path() {
        let told = told(r#"{"a":{"b":[1,2]}}"#, r#"{"a":{"b":[1,3]},"c":0}"#, Setting::On);
        assert_eq!(told.len(), 2);
        assert_eq!(told.first().unwrap(), "`json.a.b[1]` is 3, expected 2");
        assert!(told.last().unwrap().contains("`c`"));
    }

    #[test]
    fn tokens_match_by_kind_form_and_nearness() {
        let any = |kind, value: Value| fits(&Token::Any(kind), &value);
        assert!(any(Kind::Int, Value::Int(1)) && !any(Kind::Int, Value::Bool(true)));
        assert!(!any(Kind::Int, Value::Float(1.0)) && !any(Kind::Float, Value::Int(1)));
        assert!(any(Kind::Number, Value::Float(1.5)) && !any(Kind::Number, Value::Bool(true)));
        assert!(any(Kind::Anything, Value::Null));
        let form = Token::Form(Reach::Search, Pattern::new("b+").unwrap());
        assert!(fits(&form, &Value::text("abc")) && !fits(&form, &Value::Int(5)));
        let pi = Token::Approx(std::f64::consts::PI + 1e-7);
        assert!(fits(&pi, &Value::Float(std::f64::consts::PI)) && !fits(&pi, &Value::Float(3.15)));
    }
}
