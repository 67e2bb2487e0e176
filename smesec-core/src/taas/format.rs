//! `{variables}` in text: Python's `str.format`, the part that test files use.

use super::scope::Scope;
use super::value::{Kind, Token, Value, float_text};
use std::borrow::Cow;

/// Bytes of one formatted text: ten times the largest body that a test sends. Variables made of
/// variables made of variables would fill the memory without it.
const LONGEST: usize = 16 << 20;

/// Columns that a format may pad to; tables of texts need a hundred.
const WIDEST: usize = 10_000;

/// A value with every text in it formatted and every converter applied; what matches answers stays.
///
/// # Errors
/// Names the variable that is missing, or the format or conversion that does not fit.
pub(super) fn format(value: &Value, scope: &Scope) -> Result<Value, String> {
    Ok(match value {
        Value::Text(text) => Value::Text(format_text(text, scope)?.into_owned()),
        Value::List(items) => {
            Value::List(items.iter().map(|item| format(item, scope)).collect::<Result<_, _>>()?)
        }
        Value::Map(entries) => {
            let each = entries.iter().map(|(key, item)| Ok((key.clone(), format(item, scope)?)));
            Value::Map(each.collect::<Result<_, String>>()?)
        }
        Value::Token(token) => match token.as_ref() {
            Token::Raw(text) => Value::text(text),
            Token::Convert(kind, text) => convert(*kind, &format_text(text, scope)?)?,
            Token::Whole(text) => whole(text, scope)?,
            Token::Any(_) | Token::Form(..) | Token::Approx(_) => value.clone(),
        },
        plain => plain.clone(),
    })
}

/// A text with its variables put in.
///
/// # Errors
/// As [`format`].
pub(super) fn format_text<'t>(text: &'t str, scope: &Scope) -> Result<Cow<'t, str>, String> {
    if !text.contains(['{', '}']) {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(rest.get(..at).unwrap_or_default());
        let from = rest.get(at..).unwrap_or_default();
        if let Some(after) = from.strip_prefix("{{") {
            out.push('{');
            rest = after;
        } else if let Some(after) = from.strip_prefix("}}") {
            out.push('}');
            rest = after;
        } else if let Some(after) = from.strip_prefix('{') {
            let end = closing(after).ok_or_else(|| {
                format!(
                    "`{}` opens a variable and does not close it; write `{{{{` for a brace",
                    shown(text)
                )
            })?;
            field(after.get(..end).unwrap_or_default(), scope, &mut out)?;
            rest = after.get(end + 1..).unwrap_or_default();
        } else {
            return Err(format!("`{}` closes a brace that is not open; write `}}}}`", shown(text)));
        }
        if out.len() > LONGEST {
            return Err(format!(
                "a text grows beyond {LONGEST} bytes once its variables are put in"
            ));
        }
    }
    out.push_str(rest);
    Ok(Cow::Owned(out))
}

/// Where a field ends: at its `}`, those of a variable inside its format skipped.
fn closing(text: &str) -> Option<usize> {
    let mut open = 0_u32;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => open += 1,
            b'}' if open == 0 => return Some(at),
            b'}' => open -= 1,
            _ => {}
        }
    }
    None
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

/// `name.key[0]!r:>10` between its braces.
fn field(field: &str, scope: &Scope, out: &mut String) -> Result<(), String> {
    // A key in brackets may hold a colon or an exclamation mark.
    let mut in_brackets = false;
    let end = field
        .find(|c| {
            in_brackets = (in_brackets || c == '[') && c != ']';
            !in_brackets && (c == '!' || c == ':')
        })
        .unwrap_or(field.len());
    let path = field.get(..end).unwrap_or_default();
    let after = field.get(end..).unwrap_or_default();
    let (conversion, after) = match after.strip_prefix('!') {
        Some(rest) => {
            let end = rest.find(':').unwrap_or(rest.len());
            (rest.get(..end).unwrap_or_default(), rest.get(end..).unwrap_or_default())
        }
        None => ("", after),
    };
    let spec = after.strip_prefix(':').unwrap_or_default();
    let value = scope.resolve(path)?;
    let value: Cow<'_, Value> = match conversion {
        "" => value,
        "s" => Cow::Owned(Value::text(value.to_string())),
        "r" | "a" => Cow::Owned(Value::text(value.repr())),
        other => return Err(format!("`!{other}` is no conversion; write `!r`, `!s` or `!a`")),
    };
    if spec.is_empty() {
        match value.as_ref() {
            Value::Text(text) => out.push_str(text),
            other => out.push_str(&other.to_string()),
        }
        return Ok(());
    }
    // A format may hold variables of its own, one deep.
    let spec = if spec.contains('{') && !spec.contains("{{") && spec.matches('{').count() <= 4 {
        nested(spec, scope)?
    } else {
        Cow::Borrowed(spec)
    };
    out.push_str(&Spec::parse(&spec)?.apply(&value, &spec)?);
    Ok(())
}

fn nested<'s>(spec: &'s str, scope: &Scope) -> Result<Cow<'s, str>, String> {
    let mut out = String::new();
    let mut rest = spec;
    while let Some((before, after)) = rest.split_once('{') {
        let (path, after) = after.split_once('}').unwrap_or((after, ""));
        out.push_str(before);
        out.push_str(&scope.resolve(path)?.to_string());
        rest = after;
    }
    Ok(Cow::Owned(out + rest))
}

/// `[[fill]align][sign][#][0][width][grouping][.precision][type]`.
#[derive(Default)]
struct Spec {
    fill: Option<char>,
    align: Option<char>,
    sign: Option<char>,
    alternate: bool,
    zero: bool,
    width: usize,
    grouping: Option<char>,
    precision: Option<usize>,
    kind: Option<char>,
}

impl Spec {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no format; see Python's format specification");
        let mut spec = Self::default();
        let mut chars: Vec<char> = text.chars().rev().collect();
        let is_align = |c: Option<&char>| c.is_some_and(|c| "<>=^".contains(*c));
        if chars.len() >= 2 && is_align(chars.get(chars.len() - 2)) {
            spec.fill = chars.pop();
            spec.align = chars.pop();
        } else if is_align(chars.last()) {
            spec.align = chars.pop();
        }
        if chars.last().is_some_and(|c| "+- ".contains(*c)) {
            spec.sign = chars.pop();
        }
        if chars.last() == Some(&'#') {
            spec.alternate = chars.pop().is_some();
        }
        if chars.last() == Some(&'0') {
            spec.zero = chars.pop().is_some();
        }
        let number = |chars: &mut Vec<char>| -> Result<Option<usize>, String> {
            let mut digits = String::new();
            while let Some(c) = chars.pop_if(|c| c.is_ascii_digit()) {
                digits.push(c);
            }
            if digits.is_empty() {
                return Ok(None);
            }
            let number = digits.parse().ok().filter(|n| *n <= WIDEST);
            number.map(Some).ok_or_else(|| format!("`{text}` pads beyond {WIDEST} columns"))
        };
        spec.width = number(&mut chars)?.unwrap_or(0);
        spec.grouping = chars.pop_if(|c| *c == ',' || *c == '_');
        if chars.pop_if(|c| *c == '.').is_some() {
            spec.precision = Some(number(&mut chars)?.ok_or_else(wrong)?);
        }
        spec.kind = chars.pop();
        if chars.is_empty() { Ok(spec) } else { Err(wrong()) }
    }

    fn apply(&self, value: &Value, text: &str) -> Result<String, String> {
        let misfit =
            || format!("the format `{text}` does not fit a value of type {}", value.type_name());
        match value {
            Value::Text(_) if matches!(self.kind, None | Some('s')) => {
                let whole = value.to_string();
                let cut = match self.precision {
                    Some(most) => whole.chars().take(most).collect(),
                    None => whole,
                };
                Ok(self.pad("", &cut, '<'))
            }
            Value::Bool(_) if self.kind.is_none() => Ok(self.pad("", &value.to_string(), '<')),
            Value::Bool(flag) => self.int(i128::from(*flag)).ok_or_else(misfit),
            Value::Int(number) => self.int(*number).ok_or_else(misfit),
            Value::Float(number) => self.float(*number).ok_or_else(misfit),
            _ => Err(misfit()),
        }
    }

    fn int(&self, number: i128) -> Option<String> {
        let size = number.unsigned_abs();
        let (prefix, digits) = match self.kind {
            None | Some('d' | 'n') => ("", size.to_string()),
            Some('b') => ("0b", format!("{size:b}")),
            Some('o') => ("0o", format!("{size:o}")),
            Some('x') => ("0x", format!("{size:x}")),
            Some('X') => ("0X", format!("{size:X}")),
            Some('c') => ("", char::from_u32(u32::try_from(size).ok()?)?.to_string()),
            #[expect(
                clippy::cast_precision_loss,
                reason = "as Python formats whole numbers with `f`"
            )]
            _ => return self.float(number as f64),
        };
        let prefix = if self.alternate { prefix } else { "" };
        let sign = format!("{}{prefix}", self.sign_of(number < 0));
        Some(self.pad(&sign, &self.grouped(&digits), '>'))
    }

    fn float(&self, number: f64) -> Option<String> {
        let size = number.abs();
        let precision = self.precision.unwrap_or(6);
        let digits = match self.kind {
            Some('f' | 'F') => format!("{size:.precision$}"),
            Some('e') => exponent(size, precision),
            Some('E') => exponent(size, precision).to_uppercase(),
            Some('g' | 'G' | 'n') => general(size, precision.max(1)),
            Some('%') => format!("{:.precision$}%", size * 100.0),
            None if self.precision.is_some() => general(size, precision.max(1)),
            None => float_text(size),
            _ => return None,
        };
        Some(self.pad(self.sign_of(number.is_sign_negative()), &self.grouped(&digits), '>'))
    }

    fn sign_of(&self, negative: bool) -> &'static str {
        match (negative, self.sign) {
            (true, _) => "-",
            (false, Some('+')) => "+",
            (false, Some(' ')) => " ",
            _ => "",
        }
    }

    fn grouped(&self, digits: &str) -> String {
        let Some(mark) = self.grouping else { return digits.to_owned() };
        let end = digits.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(digits.len());
        let (whole, rest) = digits.split_at_checked(end).unwrap_or((digits, ""));
        let mut out = String::new();
        for (n, c) in whole.chars().enumerate() {
            if n > 0 && (whole.len() - n).is_multiple_of(3) {
                out.push(mark);
            }
            out.push(c);
        }
        out + rest
    }

    fn pad(&self, sign: &str, text: &str, default: char) -> String {
        let zeros = self.zero && self.align.is_none() && default == '>';
        let align = if zeros { '=' } else { self.align.unwrap_or(default) };
        let fill = self.fill.unwrap_or(if self.zero { '0' } else { ' ' });
        let missing = self.width.saturating_sub(sign.chars().count() + text.chars().count());
        let run = |n: usize| std::iter::repeat_n(fill, n).collect::<String>();
        match align {
            '<' => format!("{sign}{text}{}", run(missing)),
            '^' => format!("{}{sign}{text}{}", run(missing / 2), run(missing - missing / 2)),
            '=' => format!("{sign}{}{text}", run(missing)),
            _ => format!("{}{sign}{text}", run(missing)),
        }
    }
}

fn exponent(number: f64, precision: usize) -> String {
    let text = format!("{number:.precision$e}");
    let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, power) = power.strip_prefix('-').map_or(('+', power), |power| ('-', power));
    format!("{digits}e{sign}{power:0>2}")
}

fn general(number: f64, precision: usize) -> String {
    let scientific = exponent(number, precision - 1);
    let power: i64 = scientific.split_once('e').and_then(|(_, p)| p.parse().ok()).unwrap_or(0);
    let trim = |text: &str| {
        let cut = if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.')
        } else {
            text
        };
        cut.to_owned()
    };
    let most = i64::try_from(precision).unwrap_or(i64::MAX);
    if power < -4 || power >= most {
        let (digits, power) = scientific.split_once('e').unwrap_or((&scientific, "+00"));
        return format!("{}e{power}", trim(digits));
    }
    let places = usize::try_from(most - 1 - power).unwrap_or(0);
    trim(&format!("{number:.places$}"))
}

/// The value that a text names as a whole, `"{name}"` alone.
fn whole(text: &str, scope: &Scope) -> Result<Value, String> {
    let path = text.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    match path.filter(|path| !path.contains(['{', '}'])) {
        Some(path) => Ok(scope.resolve(path)?.into_owned()),
        None => Err(format!(
            "`{text}` is not one variable; write it as `\"{{name}}\"` and nothing else"
        )),
    }
}

/// `!int`, `!float` and `!bool` of a text.
fn convert(kind: Kind, text: &str) -> Result<Value, String> {
    let trimmed = text.trim();
    let found = match kind {
        Kind::Int => trimmed.replace('_', "").parse().ok().map(Value::Int),
        Kind::Float => trimmed.replace('_', "").parse().ok().map(Value::Float),
        _ => match trimmed.to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "on" | "1" => Some(Value::Bool(true)),
            "false" | "f" | "no" | "n" | "off" | "0" => Some(Value::Bool(false)),
            _ => None,
        },
    };
    found.ok_or_else(|| {
        let what = match kind {
            Kind::Int => "a whole number",
            Kind::Float => "a number",
            _ => "true or false",
        };
        format!("`{}` is not {what}", shown(text))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope() -> Scope {
        let mut scope = Scope::default();
        scope.set("n", Value::Int(42));
        scope.set("pi", Value::Float(std::f64::consts::PI));
        scope.set("s", Value::text("abc"));
        scope.set("d", Value::from_json(br#"{"a": {"b": [10, {"c": "x"}]}, "k-y": 1}"#).unwrap());
        scope
    }

    fn done(text: &str) -> String {
        format_text(text, &scope()).map_or_else(|e| format!("! {e}"), Cow::into_owned)
    }

    #[test]
    fn fields_reach_into_values() {
        assert_eq!(done("x{s}y{n}"), "xabcy42");
        assert_eq!(done("{d.a.b[0]} {d[a][b][1].c} {d[k-y]}"), "10 x 1");
        assert_eq!(done("{d.a}"), "{'b': [10, {'c': 'x'}]}");
        assert_eq!(done("{{s}} {s!r}"), "{s} 'abc'");
        assert!(done("{nothing}").contains("`nothing`"));
        assert!(done("{d.x}").contains("`x`"));
        assert!(
            done("{s").starts_with("! ")
                && done("s}").starts_with("! ")
                && done("{}").starts_with("! ")
        );
    }

    #[test]
    fn formats_are_pythons() {
        for (text, gives) in [
            ("{n:05d}", "00042"),
            ("{n:+}", "+42"),
            ("{n:x}", "2a"),
            ("{n:#b}", "0b101010"),
            ("{n:>6}|{n:<6}|{n:^6}", "    42|42    |  42  "),
            ("{n:*^6}", "**42**"),
            ("{n:.2f}", "42.00"),
            ("{pi:.2f}", "3.14"),
            ("{pi:08.3f}", "0003.142"),
            ("{pi:.3g}", "3.14"),
            ("{pi:e}", "3.141593e+00"),
            ("{pi:.1%}", "314.2%"),
            ("{s:>5}{s:.1}", "  abca"),
            ("{s:{n}.1}|", "a                                         |"),
        ] {
            assert_eq!(done(text), gives, "{text}");
        }
        assert_eq!(
            Spec::parse(",").unwrap().apply(&Value::Int(1_234_567), ",").unwrap(),
            "1,234,567"
        );
        assert!(done("{s:d}").starts_with("! ") && done("{n:>99999999}").starts_with("! "));
    }

    #[test]
    fn variables_of_variables_stay_bounded() {
        let mut scope = Scope::default();
        scope.set("v", Value::text("x".repeat(1 << 20)));
        assert!(format_text(&"{v}".repeat(20), &scope).unwrap_err().contains("grows beyond"));
    }

    #[test]
    fn converters_give_values() {
        let token = |token| format(&Value::Token(Box::new(token)), &scope());
        assert_eq!(token(Token::Convert(Kind::Int, "{n}".into())).unwrap(), Value::Int(42));
        assert!(token(Token::Convert(Kind::Int, "4.5".into())).is_err());
        assert_eq!(token(Token::Convert(Kind::Float, "{n}".into())).unwrap(), Value::Float(42.0));
        assert_eq!(token(Token::Convert(Kind::Bool, "False".into())).unwrap(), Value::Bool(false));
        assert_eq!(token(Token::Whole("{d.a.b}".into())).unwrap().items().unwrap().len(), 2);
        assert!(token(Token::Whole("{d} x".into())).is_err());
        assert_eq!(token(Token::Raw("{n}".into())).unwrap(), Value::text("{n}"));
    }
}
