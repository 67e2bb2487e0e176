//! Values of test files and of answers: JSON's, bytes, and tokens that stand for a value.
//!
//! They compare, print and convert as Python's do, because the files were written for a runner in Python:
//! `1 == 1.0 == true`, and `"{flag}"` gives `True`.

use super::pattern::Pattern;
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::{self, Write as _};

/// One value.
#[derive(Clone, Debug, Default)]
#[allow(clippy::exhaustive_enums, reason = "JSON's kinds, bytes, and tokens")]
pub enum Value {
    /// `null`.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// Another number.
    Float(f64),
    /// Text.
    Text(String),
    /// Bytes, from `!!binary`.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Value>),
    /// A mapping, in its order.
    Map(Vec<(String, Value)>),
    /// What stands for a value until it is compared or formatted.
    Token(Box<Token>),
}

/// What stands for a value.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Token {
    /// `!anything`, `!anyint` and their like: any value of a kind.
    Any(Kind),
    /// `!re_match`, `!re_fullmatch`, `!re_search`: text of a form.
    Form(Reach, Pattern),
    /// `!approx`: a number within a millionth.
    Approx(f64),
    /// `!int`, `!float`, `!bool`: the formatted text, converted.
    Convert(Kind, String),
    /// `!raw` and `!include_raw`: text whose braces mean nothing.
    Raw(String),
    /// `!force_original_structure` and `!force_format_include`: the variable itself, not its text.
    Whole(String),
}

/// A kind of value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Kind {
    /// Whatever there is.
    Anything,
    /// A whole number; booleans are, in Python.
    Int,
    /// A number with a fraction.
    Float,
    /// Either number.
    Number,
    /// Text.
    Text,
    /// A boolean.
    Bool,
    /// A list.
    List,
    /// A mapping.
    Map,
    /// Bytes.
    Bytes,
}

/// Where a pattern has to match.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "Python's three functions")]
pub enum Reach {
    /// From the beginning on.
    Match,
    /// From the beginning to the end.
    FullMatch,
    /// Anywhere.
    Search,
}

impl Value {
    /// A text value.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// What JSON text means.
    ///
    /// # Errors
    /// Says where the text is no JSON, or that it nests deeper than 128.
    ///
    /// ```
    /// use smesec_core::taas::Value;
    /// let value = Value::from_json(br#"{"b": [1, 2.5], "a": null}"#).unwrap();
    /// assert_eq!(value.to_json().unwrap(), r#"{"b": [1, 2.5], "a": null}"#);
    /// ```
    pub fn from_json(text: &[u8]) -> Result<Self, String> {
        // Servers of some makers put a mark of UTF-8 before it.
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let big = RefCell::new(big_integers(text));
        let mut from = serde_json::Deserializer::from_slice(text);
        let value = Any { big: &big }.deserialize(&mut from);
        value.and_then(|value| from.end().map(|()| value)).map_err(|e| e.to_string())
    }

    /// The value as JSON, spaced as Python's `json.dumps` does, so that lengths agree.
    ///
    /// # Errors
    /// Names what has no JSON form: bytes, tokens, numbers that are not finite.
    pub fn to_json(&self) -> Result<String, String> {
        let mut out = String::new();
        self.write_json(&mut out)?;
        Ok(out)
    }

    fn write_json(&self, out: &mut String) -> Result<(), String> {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
            Self::Int(number) => {
                let _ = write!(out, "{number}");
            }
            Self::Float(number) if number.is_finite() => out.push_str(&float_text(*number)),
            Self::Float(number) => {
                return Err(format!("`{number}` has no JSON form; write a number"));
            }
            Self::Text(text) => write_json_text(text, out),
            Self::List(items) => {
                out.push('[');
                for (n, item) in items.iter().enumerate() {
                    if n > 0 {
                        out.push_str(", ");
                    }
                    item.write_json(out)?;
                }
                out.push(']');
            }
            Self::Map(entries) => {
                out.push('{');
                for (n, (key, item)) in entries.iter().enumerate() {
                    if n > 0 {
                        out.push_str(", ");
                    }
                    write_json_text(key, out);
                    out.push_str(": ");
                    item.write_json(out)?;
                }
                out.push('}');
            }
            Self::Bytes(_) => return Err("bytes have no JSON form; send them as `data`".to_owned()),
            Self::Token(token) => {
                return Err(format!("`{token}` matches answers and cannot be sent; write a value"));
            }
        }
        Ok(())
    }

    /// The value under a key of a mapping.
    pub fn key(&self, name: &str) -> Option<&Self> {
        self.entries()?.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The entries of a mapping.
    pub fn entries(&self) -> Option<&[(String, Self)]> {
        match self {
            Self::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The items of a list.
    pub fn items(&self) -> Option<&[Self]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    /// Its text, where it is text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Token(token) => match token.as_ref() {
                Token::Raw(text) => Some(text),
                _ => None,
            },
            _ => None,
        }
    }

    /// It as a number, where it is one; booleans are not.
    pub fn number(&self) -> Option<f64> {
        match self {
            #[expect(
                clippy::cast_precision_loss,
                reason = "as Python's own comparison with floats"
            )]
            Self::Int(number) => Some(*number as f64),
            Self::Float(number) => Some(*number),
            _ => None,
        }
    }

    /// What Python takes for true.
    pub fn truth(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Bool(flag) => *flag,
            Self::Int(number) => *number != 0,
            Self::Float(number) => *number != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::Bytes(bytes) => !bytes.is_empty(),
            Self::List(items) => !items.is_empty(),
            Self::Map(entries) => !entries.is_empty(),
            Self::Token(_) => true,
        }
    }

    /// The name of its type, as Python calls it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "NoneType",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Text(_) => "str",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "list",
            Self::Map(_) => "dict",
            Self::Token(_) => "token",
        }
    }

    /// Whether it is of a kind, as Python's `isinstance` says.
    pub fn is_a(&self, kind: Kind) -> bool {
        match kind {
            Kind::Anything => true,
            Kind::Int => matches!(self, Self::Int(_) | Self::Bool(_)),
            Kind::Float => matches!(self, Self::Float(_)),
            Kind::Number => matches!(self, Self::Int(_) | Self::Float(_)),
            Kind::Text => matches!(self, Self::Text(_)),
            Kind::Bool => matches!(self, Self::Bool(_)),
            Kind::List => matches!(self, Self::List(_)),
            Kind::Map => matches!(self, Self::Map(_)),
            Kind::Bytes => matches!(self, Self::Bytes(_)),
        }
    }

    /// It as a program would write it: Python's `repr`.
    pub fn repr(&self) -> String {
        let mut out = String::new();
        self.write_repr(&mut out);
        out
    }

    fn write_repr(&self, out: &mut String) {
        match self {
            Self::Text(text) => write_repr_text(text, out),
            Self::List(items) => {
                out.push('[');
                for (n, item) in items.iter().enumerate() {
                    if n > 0 {
                        out.push_str(", ");
                    }
                    item.write_repr(out);
                }
                out.push(']');
            }
            Self::Map(entries) => {
                out.push('{');
                for (n, (key, item)) in entries.iter().enumerate() {
                    if n > 0 {
                        out.push_str(", ");
                    }
                    write_repr_text(key, out);
                    out.push_str(": ");
                    item.write_repr(out);
                }
                out.push('}');
            }
            other => {
                let _ = write!(out, "{other}");
            }
        }
    }
}

/// As Python's `str` writes it.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("None"),
            Self::Bool(flag) => f.write_str(if *flag { "True" } else { "False" }),
            Self::Int(number) => write!(f, "{number}"),
            Self::Float(number) => f.write_str(&float_text(*number)),
            Self::Text(text) => f.write_str(text),
            Self::Bytes(bytes) => write!(f, "b'{}'", bytes.escape_ascii()),
            Self::List(_) | Self::Map(_) => f.write_str(&self.repr()),
            Self::Token(token) => write!(f, "{token}"),
        }
    }
}

/// As the file writes it.
impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any(kind) => f.write_str(match kind {
                Kind::Anything => "!anything",
                Kind::Int => "!anyint",
                Kind::Float => "!anyfloat",
                Kind::Number => "!anynumber",
                Kind::Text => "!anystr",
                Kind::Bool => "!anybool",
                Kind::List => "!anylist",
                Kind::Map => "!anydict",
                Kind::Bytes => "!anybytes",
            }),
            Self::Form(reach, pattern) => {
                let tag = match reach {
                    Reach::Match => "!re_match",
                    Reach::FullMatch => "!re_fullmatch",
                    Reach::Search => "!re_search",
                };
                write!(f, "{tag} {pattern}")
            }
            Self::Approx(number) => write!(f, "!approx {number}"),
            Self::Convert(Kind::Int, text) => write!(f, "!int {text}"),
            Self::Convert(Kind::Float, text) => write!(f, "!float {text}"),
            Self::Convert(_, text) => write!(f, "!bool {text}"),
            Self::Raw(text) => f.write_str(text),
            Self::Whole(text) => write!(f, "!force_original_structure {text}"),
        }
    }
}

/// Python's equality: numbers by value, booleans among them, mappings in any order.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::List(a), Self::List(b)) => a == b,
            (Self::Map(a), Self::Map(b)) => {
                a.len() == b.len() && a.iter().all(|(key, value)| other.key(key) == Some(value))
            }
            (Self::Token(token), _) | (_, Self::Token(token)) => {
                match (token.as_ref(), self, other) {
                    (Token::Raw(text), Self::Text(b), _) | (Token::Raw(text), _, Self::Text(b)) => {
                        text == b
                    }
                    _ => false,
                }
            }
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Bool(a), Self::Int(b)) | (Self::Int(b), Self::Bool(a)) => i128::from(*a) == *b,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Float(f), Self::Bool(b)) | (Self::Bool(b), Self::Float(f)) => {
                (f - f64::from(u8::from(*b))).abs() == 0.0
            }
            (a, b) => match (a.number(), b.number()) {
                (Some(a), Some(b)) => a.partial_cmp(&b) == Some(std::cmp::Ordering::Equal),
                _ => false,
            },
        }
    }
}

/// The shortest text that reads back as the number, as Python's `repr` gives it.
pub(super) fn float_text(number: f64) -> String {
    if !number.is_finite() {
        return if number.is_nan() {
            "nan"
        } else if number > 0.0 {
            "inf"
        } else {
            "-inf"
        }
        .to_owned();
    }
    let size = number.abs();
    if size != 0.0 && !(1e-4..1e16).contains(&size) {
        let text = format!("{number:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = match exponent.strip_prefix('-') {
            Some(rest) => ('-', rest),
            None => ('+', exponent),
        };
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    let text = number.to_string();
    if text.contains('.') { text } else { text + ".0" }
}

fn write_json_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
}

fn write_repr_text(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push(quote);
}

impl<'de> serde::Deserialize<'de> for Value {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Any { big: &RefCell::default() })
    }
}

/// Reads any JSON.
#[derive(Clone, Copy)]
struct Any<'b> {
    /// What [`big_integers`] found and is not read yet.
    big: &'b RefCell<VecDeque<Option<i128>>>,
}

/// What each number is of which the JSON reader makes a `f64`, in the order of the text: `None` for a fraction, else
/// the whole number beyond 64 bits. Empty where a text has none of the latter.
fn big_integers(text: &[u8]) -> VecDeque<Option<i128>> {
    /// Digits of the least number beyond 64 bits.
    const DIGITS: usize = 19;
    let mut out = VecDeque::new();
    if !text.split(|c| !c.is_ascii_digit()).any(|run| run.len() >= DIGITS) {
        return out;
    }
    let mut rest = text;
    while let Some(first) = rest.first() {
        let after = rest.get(1..).unwrap_or_default();
        if *first == b'"' {
            let mut escaped = false;
            let end = after.iter().position(|c| {
                let ends = *c == b'"' && !escaped;
                escaped = *c == b'\\' && !escaped;
                ends
            });
            rest = end.and_then(|end| after.get(end + 1..)).unwrap_or_default();
            continue;
        }
        if !first.is_ascii_digit() && *first != b'-' {
            rest = after;
            continue;
        }
        let is_part = |c: &u8| c.is_ascii_digit() || b"+-.eE".contains(c);
        let length = rest.iter().position(|c| !is_part(c)).unwrap_or(rest.len());
        let number =
            rest.get(..length).and_then(|n| std::str::from_utf8(n).ok()).unwrap_or_default();
        rest = rest.get(length..).unwrap_or_default();
        if number.parse::<i64>().is_ok_and(|n| n != 0 || number == "0")
            || number.parse::<u64>().is_ok()
        {
            continue;
        }
        // `-0` is a fraction to the reader.
        out.push_back(number.parse().ok().filter(|n| *n != 0));
    }
    out
}

impl<'de> DeserializeSeed<'de> for Any<'_> {
    type Value = Value;
    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Any<'_> {
    type Value = Value;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }
    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Int(number.into()))
    }
    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Int(number.into()))
    }
    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        let whole = self.big.borrow_mut().pop_front().flatten();
        Ok(whole.map_or(Value::Float(number), Value::Int))
    }
    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::text(text))
    }
    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Value::List(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries: Vec<(String, Value)> = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            entries.push((key, map.next_value_seed(self)?));
        }
        // Of a repeated key the last counts; looked for only where mappings are short, since
        // an answer may hold a million keys.
        if entries.len() <= 64 {
            let mut n = 0;
            while n < entries.len() {
                let (seen, rest) = entries.split_at(n + 1);
                if seen.last().is_some_and(|(key, _)| rest.iter().any(|(k, _)| k == key)) {
                    entries.remove(n);
                } else {
                    n += 1;
                }
            }
        }
        Ok(Value::Map(entries))
    }
}

impl serde::Serialize for Value {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => to.serialize_unit(),
            Self::Bool(flag) => to.serialize_bool(*flag),
            Self::Int(number) => match (i64::try_from(*number), u64::try_from(*number)) {
                (Ok(number), _) => to.serialize_i64(number),
                (_, Ok(number)) => to.serialize_u64(number),
                _ => to.serialize_str(&number.to_string()),
            },
            Self::Float(number) => to.serialize_f64(*number),
            Self::Text(text) => to.serialize_str(text),
            Self::List(items) => to.collect_seq(items),
            Self::Map(entries) => to.collect_map(entries.iter().map(|(key, value)| (key, value))),
            Self::Bytes(_) | Self::Token(_) => to.collect_str(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Value {
        Value::from_json(text.as_bytes()).unwrap()
    }

    #[test]
    fn values_compare_as_in_python() {
        assert_eq!(Value::Int(1), Value::Float(1.0));
        assert_eq!(Value::Bool(true), Value::Int(1));
        assert_ne!(Value::Int(1), Value::text("1"));
        assert_ne!(Value::Null, Value::Bool(false));
        assert_eq!(json(r#"{"a": 1, "b": [2]}"#), json(r#"{"b": [2.0], "a": 1}"#));
    }

    #[test]
    fn values_print_as_in_python() {
        let value = json(r#"{"a": [1, true, null, 1e20, 0.5, "it's", "\u00e9\n"]}"#);
        assert_eq!(value.to_string(), r#"{'a': [1, True, None, 1e+20, 0.5, "it's", 'é\n']}"#);
        assert_eq!(
            value.to_json().unwrap(),
            r#"{"a": [1, true, null, 1e+20, 0.5, "it's", "\u00e9\n"]}"#
        );
        assert!(Value::Bytes(vec![1]).to_json().is_err());
    }

    #[test]
    fn whole_numbers_beyond_64_bits_stay_whole() {
        let text = r#"{"a": [18446744073709551616, -9223372036854775809, 1.5, -0, "18446744073709551617\\\""],
            "b": 18446744073709551615, "c": 1e30, "d": 170141183460469231731687303715884105727}"#;
        assert_eq!(
            json(text).to_json().unwrap(),
            r#"{"a": [18446744073709551616, -9223372036854775809, 1.5, -0.0, "18446744073709551617\\\""], "b": 18446744073709551615, "c": 1e+30, "d": 170141183460469231731687303715884105727}"#
        );
        assert_eq!(json("1").to_string(), "1");
        assert!(Value::from_json(b"18446744073709551616 1").is_err());
        // Beyond what is counted here it is a fraction, as before.
        assert!(matches!(json(&"9".repeat(40)), Value::Float(_)));
    }

    #[test]
    fn answers_that_nest_for_ever_are_no_json() {
        assert!(Value::from_json("[".repeat(10_000).as_bytes()).is_err());
    }
}
