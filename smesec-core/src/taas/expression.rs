//! Conditions of `skipif` and `skip`: the expressions of Python that decide there, and nothing that acts.

use super::value::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// How deep an expression may nest; conditions of a line reach three.
const DEPTH: usize = 32;

/// Bytes of a condition.
const LONGEST: usize = 4_096;

/// What an expression gives with variables that stand in it by their names.
///
/// # Errors
/// Names what is not part of the language.
pub(super) fn evaluate_with(text: &str, known: &Known<'_>) -> Result<Value, String> {
    let (arguments, _) = arguments_of(text, false, known)?;
    match <[Value; 1]>::try_from(arguments) {
        Ok([value]) => Ok(value),
        Err(_) => Err(format!("`{text}` is no condition; write one comparison")),
    }
}

/// The value of a variable.
pub(super) type Known<'k> = dyn Fn(&str) -> Option<Value> + 'k;

/// What `sys` and `os` of Python tell in a `skipif`: the platform, and the environment that the host told of. There
/// is no Python, so nothing tells of its version.
pub(super) fn of_the_run(name: &str, env: &BTreeMap<String, String>) -> Option<Value> {
    let entry = |name: &str, value| (name.to_owned(), value);
    let system = std::env::consts::OS;
    match name {
        "sys" => {
            let platform = match system {
                "macos" => "darwin",
                "windows" => "win32",
                other => other,
            };
            Some(Value::Map(vec![entry("platform", Value::text(platform))]))
        }
        "os" => {
            let name = if system == "windows" { "nt" } else { "posix" };
            let environ = env.iter().map(|(name, value)| entry(name, Value::text(value)));
            let environ = Value::Map(environ.collect());
            Some(Value::Map(vec![entry("name", Value::text(name)), entry("environ", environ)]))
        }
        _ => None,
    }
}

/// Arguments by position, and by name.
type Arguments = (Vec<Value>, Vec<(String, Value)>);

/// The arguments between the parentheses of a call: `True, reason='why'`.
///
/// # Errors
/// As [`evaluate_with`].
pub(super) fn call_arguments(text: &str) -> Result<Arguments, String> {
    arguments_of(text, true, &|_| None)
}

fn arguments_of(text: &str, named: bool, known: &Known<'_>) -> Result<Arguments, String> {
    if text.len() > LONGEST {
        return Err(format!("a condition is longer than {LONGEST} bytes; shorten it"));
    }
    let mut reader = Reader { words: words(text)?, at: 0, depth: 0, passed_over: 0, known };
    let (mut plain, mut by_name) = (Vec::new(), Vec::new());
    while reader.at < reader.words.len() {
        if named
            && let (Some(Word::Name(name)), Some(Word::Mark("="))) =
                (reader.words.get(reader.at).cloned(), reader.words.get(reader.at + 1))
        {
            reader.at += 2;
            by_name.push((name, reader.any()?));
        } else {
            plain.push(reader.any()?);
        }
        if reader.at < reader.words.len() && !(named && reader.take(",")) {
            return Err(format!("`{text}`: `{}` is not expected here", reader.rest()));
        }
    }
    Ok((plain, by_name))
}

#[derive(Clone, Debug, PartialEq)]
enum Word {
    Literal(Value),
    Name(String),
    Mark(&'static str),
}

const MARKS: &[&str] = &[
    "==", "!=", "<=", ">=", "//", "**", "<", ">", "(", ")", "[", "]", ",", "+", "-", "*", "/", "%",
    ".", "=",
];

fn words(text: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let used;
        if first == '\'' || first == '"' {
            let (literal, length) = quoted(rest, first)
                .ok_or_else(|| format!("`{text}`: a text is not closed; add the quote"))?;
            words.push(Word::Literal(Value::Text(literal)));
            used = length;
        } else if first.is_ascii_digit() {
            let is_part = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '_';
            used = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            let digits = rest.get(..used).unwrap_or_default().replace('_', "");
            let number =
                digits.parse().map(Value::Int).or_else(|_| digits.parse().map(Value::Float));
            words.push(Word::Literal(number.map_err(|_| format!("`{digits}` is no number"))?));
        } else if first.is_alphabetic() || first == '_' {
            used = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let name = rest.get(..used).unwrap_or_default();
            words.push(match name {
                "True" => Word::Literal(Value::Bool(true)),
                "False" => Word::Literal(Value::Bool(false)),
                "None" => Word::Literal(Value::Null),
                name => Word::Name(name.to_owned()),
            });
        } else {
            let mark = MARKS.iter().find(|mark| rest.starts_with(**mark));
            let mark =
                mark.ok_or_else(|| format!("`{text}`: `{first}` is not part of a condition"))?;
            words.push(Word::Mark(mark));
            used = mark.len();
        }
        rest = rest.get(used..).unwrap_or_default().trim_start();
    }
    Ok(words)
}

/// A text in quotes and how many bytes it takes.
fn quoted(text: &str, quote: char) -> Option<(String, usize)> {
    let mut out = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if c == quote {
            return Some((out, at + 1));
        }
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next()?.1 {
            'n' => out.push('\n'),
            't' => out.push('\t'),
            'r' => out.push('\r'),
            c @ ('\\' | '\'' | '"') => out.push(c),
            other => out.extend(['\\', other]),
        }
    }
    None
}

struct Reader<'k> {
    words: Vec<Word>,
    at: usize,
    depth: usize,
    /// Above 0 within what no longer decides: it is read, and what it gives does not count.
    passed_over: usize,
    known: &'k Known<'k>,
}

type Given = Result<Value, String>;

impl Reader<'_> {
    fn take(&mut self, mark: &str) -> bool {
        let found = matches!(self.words.get(self.at), Some(Word::Mark(m)) if *m == mark);
        self.at += usize::from(found);
        found
    }

    fn take_name(&mut self, name: &str) -> bool {
        let found = matches!(self.words.get(self.at), Some(Word::Name(n)) if n == name);
        self.at += usize::from(found);
        found
    }

    fn rest(&self) -> String {
        match self.words.get(self.at) {
            Some(Word::Literal(value)) => value.repr(),
            Some(Word::Name(name)) => name.clone(),
            Some(Word::Mark(mark)) => (*mark).to_owned(),
            None => "the end".to_owned(),
        }
    }

    /// Reads a part that does not decide any more where `decided`.
    fn unless(&mut self, decided: bool, read: fn(&mut Self) -> Given) -> Given {
        self.passed_over += usize::from(decided);
        let value = read(self);
        self.passed_over -= usize::from(decided);
        value
    }

    /// What an operation gives; nothing where it does not decide.
    fn counted(&self, given: Given) -> Given {
        if self.passed_over > 0 { Ok(given.unwrap_or_default()) } else { given }
    }

    /// `or`, the loosest.
    fn any(&mut self) -> Given {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(format!("a condition nests deeper than {DEPTH}; flatten it"));
        }
        let mut value = self.all()?;
        while self.take_name("or") {
            let other = self.unless(value.truth(), Self::all)?;
            value = if value.truth() { value } else { other };
        }
        self.depth -= 1;
        Ok(value)
    }

    fn all(&mut self) -> Given {
        let mut value = self.not()?;
        while self.take_name("and") {
            let other = self.unless(!value.truth(), Self::not)?;
            value = if value.truth() { other } else { value };
        }
        Ok(value)
    }

    fn not(&mut self) -> Given {
        let mut turns = 0_u32;
        while self.take_name("not") {
            turns += 1;
        }
        let value = self.comparison()?;
        Ok(if turns == 0 { value } else { Value::Bool(value.truth() == turns.is_multiple_of(2)) })
    }

    /// A chain: `1 < x < 3`.
    fn comparison(&mut self) -> Given {
        let mut left = self.sum()?;
        let mut holds = None;
        loop {
            let before = self.at;
            let operator = if let Some(Word::Mark(mark)) = self.words.get(self.at) {
                let mark = *mark;
                self.at += 1;
                mark
            } else if self.take_name("in") {
                "in"
            } else if self.take_name("is") {
                if self.take_name("not") { "!=" } else { "==" }
            } else if self.take_name("not") && self.take_name("in") {
                "not in"
            } else {
                self.at = before;
                break;
            };
            if !["==", "!=", "<", "<=", ">", ">=", "in", "not in"].contains(&operator) {
                self.at = before;
                break;
            }
            let right = self.unless(holds == Some(false), Self::sum)?;
            if holds != Some(false) {
                let given = compare(&left, operator, &right).map(Value::Bool);
                holds = Some(self.counted(given)?.truth());
            }
            left = right;
        }
        Ok(holds.map_or(left, Value::Bool))
    }

    fn sum(&mut self) -> Given {
        let mut left = self.product()?;
        loop {
            if self.take("+") {
                let right = self.product()?;
                left = self.counted(calculate(&left, '+', &right))?;
            } else if self.take("-") {
                let right = self.product()?;
                left = self.counted(calculate(&left, '-', &right))?;
            } else {
                return Ok(left);
            }
        }
    }

    fn product(&mut self) -> Given {
        let mut left = self.unary()?;
        loop {
            let operator = match self.words.get(self.at) {
                Some(Word::Mark("*")) => '*',
                Some(Word::Mark("/")) => '/',
                Some(Word::Mark("//")) => 'f',
                Some(Word::Mark("%")) => '%',
                _ => return Ok(left),
            };
            self.at += 1;
            let right = self.unary()?;
            left = self.counted(calculate(&left, operator, &right))?;
        }
    }

    fn unary(&mut self) -> Given {
        let mut negative = false;
        loop {
            if self.take("-") {
                negative = !negative;
            } else if !self.take("+") {
                break;
            }
        }
        let value = self.primary()?;
        if !negative {
            return Ok(value);
        }
        self.counted(calculate(&Value::Int(0), '-', &value))
    }

    fn primary(&mut self) -> Given {
        let word = self.words.get(self.at).cloned();
        self.at += 1;
        let mut path = match &word {
            Some(Word::Name(name)) => name.clone(),
            _ => String::new(),
        };
        let mut value = match word {
            Some(Word::Literal(value)) => value,
            Some(Word::Mark("(")) => {
                let items = self.items(")")?;
                match <[Value; 1]>::try_from(items) {
                    Ok([value]) => value,
                    Err(items) => Value::List(items),
                }
            }
            Some(Word::Mark("[")) => Value::List(self.items("]")?),
            Some(Word::Name(name)) if self.take("(") => {
                let arguments = self.items(")")?;
                self.counted(function(&name, &arguments))?
            }
            Some(Word::Name(_)) if self.passed_over > 0 => Value::Null,
            Some(Word::Name(name)) => (self.known)(&name).ok_or_else(|| unknown(&name))?,
            _ => {
                self.at -= 1;
                return Err(format!("a value is missing before `{}`", self.rest()));
            }
        };
        loop {
            if self.take(".") {
                let Some(Word::Name(name)) = self.words.get(self.at).cloned() else {
                    return Err("a name is missing after `.`".to_owned());
                };
                self.at += 1;
                if !self.take("(") {
                    let part = value.key(&name).cloned();
                    path.extend([".", &name]);
                    value = self.counted(part.ok_or_else(|| unknown(&path)))?;
                    continue;
                }
                let arguments = self.items(")")?;
                path.extend([".", &name]);
                value = self.counted(method(&value, &path, &name, &arguments))?;
            } else if self.take("[") {
                let items = self.items("]")?;
                let found = match items.as_slice() {
                    [Value::Int(index)] => {
                        usize::try_from(*index).ok().and_then(|n| value.items()?.get(n))
                    }
                    [Value::Text(key)] => value.key(key),
                    _ => None,
                };
                let found = found.cloned();
                let found = found.ok_or_else(|| "an index leads outside its list".to_owned());
                value = self.counted(found)?;
            } else {
                return Ok(value);
            }
        }
    }

    fn items(&mut self, end: &str) -> Result<Vec<Value>, String> {
        let mut items = Vec::new();
        while !self.take(end) {
            if self.at >= self.words.len() {
                return Err(format!("`{end}` is missing"));
            }
            items.push(self.any()?);
            if !self.take(",")
                && !matches!(self.words.get(self.at), Some(Word::Mark(m)) if *m == end)
            {
                return Err(format!("`{end}` is missing before `{}`", self.rest()));
            }
        }
        Ok(items)
    }
}

fn unknown(path: &str) -> String {
    match path.split(['.', '[']).next().unwrap_or_default() {
        "sys" | "os" | "platform" | "config" => format!(
            "`{path}` is not known in conditions; known in `skipif` are `sys.platform`, `os.name`, `os.environ` and `os.getenv('NAME')`"
        ),
        name if name == path && !name.is_empty() => format!(
            "`{path}` is not known in conditions; compare values, such as `'{{{path}}}' == 'x'`"
        ),
        _ => format!("`{path}` is not known in conditions"),
    }
}

/// A value for an error: a mapping may be the whole environment.
fn told(value: &Value) -> Cow<'static, str> {
    match value {
        Value::Map(_) => Cow::Borrowed("a mapping"),
        other => Cow::Owned(other.repr()),
    }
}

fn compare(left: &Value, operator: &str, right: &Value) -> Result<bool, String> {
    let order = match (left, right) {
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        _ => match (left.number(), right.number()) {
            (Some(a), Some(b)) => a.partial_cmp(&b),
            _ => None,
        },
    };
    let ordered =
        || order.ok_or_else(|| format!("{} and {} have no order", told(left), told(right)));
    let holds = || match (left, right) {
        (Value::Text(part), Value::Text(whole)) => Ok(whole.contains(part.as_str())),
        (item, Value::List(items)) => Ok(items.contains(item)),
        (Value::Text(key), Value::Map(_)) => Ok(right.key(key).is_some()),
        _ => Err(format!("nothing can be `in` {}", told(right))),
    };
    Ok(match operator {
        "==" => left == right,
        "!=" => left != right,
        "<" => ordered()?.is_lt(),
        "<=" => ordered()?.is_le(),
        ">" => ordered()?.is_gt(),
        ">=" => ordered()?.is_ge(),
        "in" => holds()?,
        _ => !holds()?,
    })
}

fn calculate(left: &Value, operator: char, right: &Value) -> Given {
    let wrong = || format!("{} and {} cannot be combined so", told(left), told(right));
    if let (Value::Int(a), Value::Int(b)) = (left, right) {
        let whole = match operator {
            '+' => a.checked_add(*b),
            '-' => a.checked_sub(*b),
            '*' => a.checked_mul(*b),
            'f' => floored(*a, *b).map(|(whole, _)| whole),
            '%' => floored(*a, *b).map(|(_, rest)| rest),
            _ => None,
        };
        if let Some(number) = whole {
            return Ok(Value::Int(number));
        }
    }
    if let (Value::Text(a), '+', Value::Text(b)) = (left, operator, right) {
        return Ok(Value::Text(format!("{a}{b}")));
    }
    let (a, b) = left.number().zip(right.number()).ok_or_else(wrong)?;
    match operator {
        '+' => Ok(Value::Float(a + b)),
        '-' => Ok(Value::Float(a - b)),
        '*' => Ok(Value::Float(a * b)),
        _ if b == 0.0 => Err("a condition divides by zero".to_owned()),
        '/' => Ok(Value::Float(a / b)),
        'f' => Ok(Value::Float((a / b).floor())),
        _ => {
            let rest = a % b;
            let other_sign = rest != 0.0 && (rest < 0.0) != (b < 0.0);
            Ok(Value::Float(if other_sign { rest + b } else { rest }))
        }
    }
}

/// Quotient and rest as Python has them: the quotient rounds down, the rest has the divisor's sign.
fn floored(a: i128, b: i128) -> Option<(i128, i128)> {
    let (whole, rest) = (a.checked_div(b)?, a.checked_rem(b)?);
    if rest != 0 && (rest < 0) != (b < 0) {
        return Some((whole.checked_sub(1)?, rest.checked_add(b)?));
    }
    Some((whole, rest))
}

fn function(name: &str, arguments: &[Value]) -> Given {
    let unknown =
        || Err(format!("`{name}({})` is not known in conditions; compare values", arguments.len()));
    let [value] = arguments else { return unknown() };
    match (name, value) {
        ("len", Value::Text(text)) => Ok(int(text.chars().count())),
        ("len", Value::List(items)) => Ok(int(items.len())),
        ("str", value) => Ok(Value::Text(value.to_string())),
        ("bool", value) => Ok(Value::Bool(value.truth())),
        ("int", Value::Int(_)) => Ok(value.clone()),
        ("int", Value::Text(text)) => {
            text.trim().parse().map(Value::Int).map_err(|_| format!("`{text}` is no whole number"))
        }
        ("float", Value::Text(text)) => {
            text.trim().parse().map(Value::Float).map_err(|_| format!("`{text}` is no number"))
        }
        ("float", value) => value.number().map(Value::Float).ok_or_else(|| "no number".to_owned()),
        _ => unknown(),
    }
}

/// `path` is how the condition writes it.
fn method(value: &Value, path: &str, name: &str, arguments: &[Value]) -> Given {
    match (value, name, arguments) {
        (Value::Map(_), "get", [Value::Text(key)]) => {
            Ok(value.key(key).cloned().unwrap_or_default())
        }
        (Value::Map(_), "get", [Value::Text(key), other]) => {
            Ok(value.key(key).unwrap_or(other).clone())
        }
        (Value::Map(_), "getenv", arguments) if path == "os.getenv" => {
            let environ = value.key("environ").cloned().unwrap_or_default();
            method(&environ, path, "get", arguments)
        }
        (Value::Text(text), "startswith", [Value::Text(part)]) => {
            Ok(Value::Bool(text.starts_with(part)))
        }
        (Value::Text(text), "endswith", [Value::Text(part)]) => {
            Ok(Value::Bool(text.ends_with(part)))
        }
        (Value::Text(text), "lower", []) => Ok(Value::Text(text.to_lowercase())),
        (Value::Text(text), "upper", []) => Ok(Value::Text(text.to_uppercase())),
        (Value::Text(text), "strip", []) => Ok(Value::text(text.trim())),
        (Value::Text(text), "isdigit", []) => {
            Ok(Value::Bool(!text.is_empty() && text.bytes().all(|c| c.is_ascii_digit())))
        }
        (Value::Map(_), ..) => Err(unknown(path)),
        _ => Err(format!("`.{name}()` is not known in conditions")),
    }
}

fn int(number: usize) -> Value {
    Value::Int(i128::try_from(number).unwrap_or(i128::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluate(text: &str) -> Result<Value, String> {
        evaluate_with(text, &|_| None)
    }

    #[test]
    fn the_platform_and_the_environment_are_known_and_nothing_else_of_python() {
        let env = [("CI", "yes"), ("EMPTY", ""), ("TOKEN", "hunter22")];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let known = |name: &str| of_the_run(name, &env);
        for (text, holds) in [
            ("sys.platform in ('linux', 'darwin', 'win32', 'freebsd')", true),
            ("sys.platform.startswith('win')", cfg!(windows)),
            ("os.name == 'nt'", cfg!(windows)),
            ("'CI' in os.environ and 'NO' not in os.environ", true),
            ("os.environ.get('CI') == 'yes' and os.environ.get('NO') is None", true),
            ("not os.environ.get('EMPTY') and os.environ.get('NO', 'x') == 'x'", true),
            ("os.environ['CI'].upper() == 'YES'", true),
            ("os.getenv('CI') == os.getenv('NO', 'yes')", true),
            ("False and sys.version_info < (3, 8)", false),
        ] {
            assert_eq!(evaluate_with(text, &known).unwrap().truth(), holds, "{text}");
        }
        for (text, named) in [
            ("sys.version_info < (3, 8)", "`sys.version_info`"),
            ("sys.version_info.major == 2", "`sys.version_info`"),
            ("sys.exit()", "`sys.exit`"),
            ("os.system('true')", "`os.system`"),
            ("os.path.exists('/')", "`os.path`"),
            ("os.environ.pop('CI')", "`os.environ.pop`"),
            ("platform.system() == 'Linux'", "`platform`"),
            ("config.option.x", "`config`"),
            ("os.environ['NO']", "outside"),
            ("os.environ < 3", "a mapping"),
            ("3 in os.environ", "a mapping"),
            ("os.environ + ''", "a mapping"),
        ] {
            let told = evaluate_with(text, &known).unwrap_err();
            assert!(told.contains(named) && !told.contains("hunter22"), "{text}: {told}");
        }
    }

    #[test]
    fn conditions_decide_as_in_python() {
        for (text, holds) in [
            ("2 > 1", true),
            ("123 > 50 and not 1 == 2", true),
            ("'https' in 'http://localhost'", false),
            ("'https' not in 'http://localhost'", true),
            ("1 < 2 < 3 <= 3", true),
            ("not not 1", true),
            ("'a' == \"a\" or False", true),
            ("(1 + 2) * 3 == 9 and 7 // 2 == 3 and -7 % 3 == 2", true),
            ("'v1.2'.startswith('v1') and len('abc') == 3", true),
            ("'x' in ['x', 'y'] and 2 not in (1, 3)", true),
            ("None is None and True is not False", true),
            ("7 // -2 == -4 and -7 // 2 == -4 and 7 % -3 == -2 and 7.5 % -2 == -0.5", true),
            ("False and int('x') > 3", false),
            ("True or nothing.here[3] < 'a'", true),
            ("1 > 2 < 1 / 0", false),
            ("False and (1 < 2 and nobody)", false),
            ("'1' == 1", false),
            ("True", true),
            ("0", false),
        ] {
            assert_eq!(evaluate(text).unwrap().truth(), holds, "{text}");
        }
    }

    #[test]
    fn what_acts_or_is_broken_is_refused_by_name() {
        for (text, named) in [
            ("__import__('os')", "__import__"),
            ("sys.platform == 'linux'", "sys"),
            ("1 +", "the end"),
            ("'a", "not closed"),
            ("1 2", "`2`"),
            ("1 ; 2", "`;`"),
            ("1 / 0", "zero"),
            ("True and 1 / 0", "zero"),
            ("False or nobody", "nobody"),
            ("False and (1", "`)`"),
            ("", "condition"),
        ] {
            let told = evaluate(text).unwrap_err();
            assert!(told.contains(named), "{text}: {told}");
        }
        assert!(evaluate(&"(".repeat(4_000)).unwrap_err().contains("deeper"));
        assert!(evaluate(&"-".repeat(4_000)).is_err());
    }

    #[test]
    fn variables_stand_by_their_names() {
        let v = Value::from_json(br#"{"n": 5, "user": {"role": "admin", "ids": [7]}}"#).unwrap();
        let known = |name: &str| v.key(name).cloned();
        for (text, holds) in [
            ("n == 5", true),
            ("n > 5 or user.role == 'admin' and user['ids'][0] == 7", true),
            ("user.role in ['guest']", false),
        ] {
            assert_eq!(evaluate_with(text, &known).unwrap().truth(), holds, "{text}");
        }
        assert!(evaluate_with("m == 5", &known).unwrap_err().contains("`m`"));
        assert!(evaluate_with("user.name", &known).unwrap_err().contains("`user.name`"));
    }

    #[test]
    fn calls_have_plain_and_named_arguments() {
        let (plain, named) = call_arguments("True, reason='it is so'").unwrap();
        assert_eq!(plain, [Value::Bool(true)]);
        assert_eq!(named, [("reason".to_owned(), Value::text("it is so"))]);
        assert!(call_arguments("bad mark'").is_err());
    }
}
