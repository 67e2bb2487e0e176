//! Expected against actual: tokens, strictness, and where they part.

use crate::taas::tavern::Setting;
use crate::taas::value::{Token, Value};
use std::collections::{HashMap, VecDeque};

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
            for item in unpaired(wanted, found, setting) {
                told.push(format!("`{path}` holds no {}", shown(item)));
            }
        }
    }
}

/// Looks at pairs in a search for an assignment. Lists of a thousand items that differ need no more; beyond it an item
/// takes what is free or nothing.
const LOOKS: usize = 1 << 24;

/// Pairs whose comparison is kept: a thousand items in any order.
const KEPT: usize = 1 << 20;

/// The items that are left over where each is given one of the answer's that it fits, as many as can be: `!anything`
/// makes way for what fits one item alone (augmenting paths).
fn unpaired<'v>(wanted: &'v [Value], found: &[Value], setting: Setting) -> Vec<&'v Value> {
    let mut pairs = Pairs {
        wanted,
        found,
        setting,
        fits: HashMap::new(),
        holder: vec![None; found.len()],
        held: vec![None; wanted.len()],
        looks: 0,
    };
    let each = wanted.iter().enumerate();
    each.filter(|(at, _)| !pairs.place(*at)).map(|(_, item)| item).collect()
}

struct Pairs<'v> {
    wanted: &'v [Value],
    found: &'v [Value],
    setting: Setting,
    /// Pairs that were compared.
    fits: HashMap<(usize, usize), bool>,
    /// Which wanted item holds an item of the answer, and the other way round.
    holder: Vec<Option<usize>>,
    held: Vec<Option<usize>>,
    looks: usize,
}

impl Pairs<'_> {
    fn fit(&mut self, wanted: usize, found: usize) -> bool {
        self.looks += 1;
        if let Some(known) = self.fits.get(&(wanted, found)) {
            return *known;
        }
        let pair = self.wanted.get(wanted).zip(self.found.get(found));
        let fits = pair.is_some_and(|(wanted, found)| is_same(wanted, found, self.setting));
        // What is compared again costs time, what is kept costs memory.
        if self.fits.len() < KEPT {
            self.fits.insert((wanted, found), fits);
        }
        fits
    }

    fn is_free(&self, found: usize) -> bool {
        self.holder.get(found).is_some_and(Option::is_none)
    }

    /// Gives an item its place, where others can move if it has to be; false where it has none.
    fn place(&mut self, item: usize) -> bool {
        if let Some(free) =
            (0..self.found.len()).find(|at| self.is_free(*at) && self.fit(item, *at))
        {
            self.hold(item, free);
            return true;
        }
        let mut through: Vec<Option<usize>> = vec![None; self.found.len()];
        let mut queue = VecDeque::from([item]);
        while let Some(next) = queue.pop_front() {
            for at in 0..self.found.len() {
                if self.looks > LOOKS {
                    return false;
                }
                if through.get(at).is_none_or(Option::is_some) || !self.fit(next, at) {
                    continue;
                }
                if let Some(reached) = through.get_mut(at) {
                    *reached = Some(next);
                }
                let Some(holder) = self.holder.get(at).copied().flatten() else {
                    self.shift(at, &through);
                    return true;
                };
                queue.push_back(holder);
            }
        }
        false
    }

    /// Moves each item on the way to a free place by one.
    fn shift(&mut self, free: usize, through: &[Option<usize>]) {
        let mut at = Some(free);
        while let Some(to) = at {
            let Some(item) = through.get(to).copied().flatten() else { return };
            at = self.held.get(item).copied().flatten();
            self.hold(item, to);
        }
    }

    fn hold(&mut self, item: usize, at: usize) {
        if let (Some(held), Some(holder)) = (self.held.get_mut(item), self.holder.get_mut(at)) {
            (*held, *holder) = (Some(at), Some(item));
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
            (r#"[{},{"a":1},{"a":1,"b":1}]"#, r#"[{"a":1,"b":1},{"a":1},{"c":0}]"#, AnyOrder, true),
            (r#"[{},{"a":1},{"a":1}]"#, r#"[{"a":1,"b":1},{"c":1},{"c":0}]"#, AnyOrder, false),
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
    fn many_items_in_any_order_end() {
        let list = |item: &str, times| format!("[{}]", vec![item; times].join(","));
        let told = told(&list("{}", 300), &list(r#"{"a":1}"#, 299), Setting::AnyOrder);
        assert_eq!(told.len(), 1);
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
