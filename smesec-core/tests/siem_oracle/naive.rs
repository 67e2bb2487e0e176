//! The naive evaluator: every value becomes tokens or a comparison, by the manual.

use super::events::{Event, Value};
use smesec_core::siem::sigma::{Body, Condition, Item, Literal, Modifier, Rule};
use std::collections::HashMap;

/// Evaluates rules one by one; keeps only the expressions that it has built.
#[derive(Default)]
pub(crate) struct Oracle {
    built: HashMap<String, regex_automata::meta::Regex>,
}

impl Oracle {
    /// Whether a rule's condition holds of an event.
    pub(crate) fn matches(&mut self, number: u32, rule: &Rule, event: &Event) -> bool {
        let _ = number;
        let searches: Vec<bool> =
            rule.searches.iter().map(|search| self.body(&search.body, event)).collect();
        condition(&rule.condition, &searches)
    }

    fn body(&mut self, body: &Body, event: &Event) -> bool {
        match body {
            Body::All(parts) => parts.iter().all(|part| self.body(part, event)),
            Body::Any(parts) => parts.iter().any(|part| self.body(part, event)),
            Body::Item(item) => self.item(item, event),
        }
    }

    fn item(&mut self, item: &Item, event: &Event) -> bool {
        let has = |modifier| item.modifiers.contains(&modifier);
        let mut each = item.values.iter().map(|value| self.value(item, value, event));
        let holds = if has(Modifier::All) { each.all(|yes| yes) } else { each.any(|yes| yes) };
        holds != has(Modifier::Neq)
    }

    fn value(&mut self, item: &Item, wanted: &Literal, event: &Event) -> bool {
        let has = |modifier| item.modifiers.contains(&modifier);
        let values: Vec<&Value> = event
            .values
            .iter()
            .filter(|(name, _)| item.field.as_ref().is_none_or(|field| field == name))
            .map(|(_, value)| value)
            .collect();
        let texts: Vec<&str> = values.iter().filter_map(|value| value.text()).collect();
        if has(Modifier::Exists) {
            return values.is_empty() != (*wanted == Literal::Bool(true));
        }
        if has(Modifier::FieldRef) {
            let other = wanted.to_string();
            let lower = |text: &str| {
                if has(Modifier::Cased) { text.to_owned() } else { lower(text) }
            };
            let others = event.values.iter().filter(|(name, _)| *name == other);
            let others: Vec<String> = others.filter_map(|(_, v)| v.text()).map(lower).collect();
            return texts.iter().any(|text| {
                let text = lower(text);
                others.iter().any(|other| {
                    if has(Modifier::Contains) {
                        text.contains(other)
                    } else if has(Modifier::StartsWith) {
                        text.starts_with(other)
                    } else if has(Modifier::EndsWith) {
                        text.ends_with(other)
                    } else {
                        text == *other
                    }
                })
            });
        }
        for (modifier, holds) in [
            (Modifier::Gt, (|a, b| a > b) as fn(f64, f64) -> bool),
            (Modifier::Gte, |a, b| a >= b),
            (Modifier::Lt, |a, b| a < b),
            (Modifier::Lte, |a, b| a <= b),
        ] {
            if has(modifier) {
                let wanted: f64 = wanted.to_string().parse().unwrap();
                let number = |text: &&str| text.trim().parse::<f64>().ok();
                return texts.iter().filter_map(number).any(|number| holds(number, wanted));
            }
        }
        if has(Modifier::Cidr) {
            return texts.iter().any(|text| in_network(text, &wanted.to_string()));
        }
        if *wanted == Literal::Null {
            return values.is_empty() || values.iter().any(|value| **value == Value::Null);
        }
        let cased = has(Modifier::Cased);
        if has(Modifier::Re) {
            let mut flags = String::new();
            for (modifier, flag) in
                [(Modifier::IgnoreCase, "i"), (Modifier::MultiLine, "m"), (Modifier::DotAll, "s")]
            {
                if has(modifier) {
                    flags += flag;
                }
            }
            let flags = if flags.is_empty() { String::new() } else { format!("(?{flags})") };
            let expression = format!("{flags}{wanted}");
            let regex = self.built.entry(expression.clone()).or_insert_with(|| {
                regex_automata::meta::Regex::new(&expression)
                    .unwrap_or_else(|e| panic!("{expression}: {e}"))
            });
            return texts.iter().any(|text| regex.is_match(*text));
        }
        tokens(item, wanted).iter().any(|tokens| {
            texts.iter().any(|text| {
                let text: Vec<char> =
                    if cased { text.chars().collect() } else { lower(text).chars().collect() };
                fits(tokens, &text)
            })
        })
    }
}

/// Lower case, one character for one.
fn lower(text: &str) -> String {
    text.chars().map(|c| c.to_lowercase().next().unwrap()).collect()
}

fn condition(of: &Condition, searches: &[bool]) -> bool {
    match of {
        Condition::Search(index) => searches[*index],
        Condition::Not(inner) => !condition(inner, searches),
        Condition::All(parts) => parts.iter().all(|part| condition(part, searches)),
        Condition::Any(parts) => parts.iter().any(|part| condition(part, searches)),
        Condition::Count(least, of) => {
            of.iter().filter(|index| searches[**index]).count() >= *least
        }
    }
}

/// What one place of a text may be.
#[derive(Clone, Copy, PartialEq)]
enum Token {
    Char(char),
    One,
    Many,
    Dash,
}

/// Whether a text fits: the textbook's way, back to the last `*` whenever something does not fit.
fn fits(tokens: &[Token], text: &[char]) -> bool {
    let (mut token, mut at) = (0, 0);
    let mut last: Option<(usize, usize)> = None;
    while at < text.len() {
        let one = match tokens.get(token) {
            Some(Token::Many) => {
                last = Some((token, at));
                token += 1;
                continue;
            }
            Some(Token::One) => true,
            Some(Token::Char(c)) => *c == text[at],
            Some(Token::Dash) => "-/\u{2013}\u{2014}\u{2015}".contains(text[at]),
            None => false,
        };
        if one {
            token += 1;
            at += 1;
        } else if let Some((star, from)) = last {
            last = Some((star, from + 1));
            token = star + 1;
            at = from + 1;
        } else {
            return false;
        }
    }
    tokens[token..].iter().all(|token| *token == Token::Many)
}

/// The tokens of a value: wildcards and escapes by the manual, modifiers in their order.
fn tokens(item: &Item, wanted: &Literal) -> Vec<Vec<Token>> {
    let has = |modifier| item.modifiers.contains(&modifier);
    let written = wanted.to_string();
    let keyword = item.field.is_none();
    let open_start = keyword || has(Modifier::Contains) || has(Modifier::EndsWith);
    let open_end = keyword || has(Modifier::Contains) || has(Modifier::StartsWith);
    let plain = |text: &str| text.chars().map(Token::Char).collect::<Vec<_>>();
    let bodies = if has(Modifier::Base64) || has(Modifier::Base64Offset) {
        let bytes: Vec<u8> = if has(Modifier::Wide) {
            unescaped(&written).encode_utf16().flat_map(u16::to_le_bytes).collect()
        } else {
            unescaped(&written).into_bytes()
        };
        if has(Modifier::Base64Offset) {
            (0..3)
                .map(|offset| base64_at(&bytes, offset))
                .filter(|text| !text.is_empty())
                .map(|text| plain(&text))
                .collect()
        } else {
            vec![plain(&base64(&bytes))]
        }
    } else if matches!(wanted, Literal::Text(_)) {
        vec![pattern(&written, has(Modifier::WinDash))]
    } else {
        vec![plain(&written)]
    };
    let finish = |body: Vec<Token>| {
        let mut tokens = Vec::new();
        if open_start {
            tokens.push(Token::Many);
        }
        for token in body {
            match token {
                Token::Char(c) if !has(Modifier::Cased) => {
                    tokens.extend(lower(&c.to_string()).chars().map(Token::Char));
                }
                other => tokens.push(other),
            }
        }
        if open_end {
            tokens.push(Token::Many);
        }
        tokens
    };
    bodies.into_iter().map(finish).collect()
}

fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match (c, characters.peek()) {
            ('\\', Some(next @ ('*' | '?' | '\\'))) => {
                out.push(*next);
                characters.next();
            }
            _ => out.push(c),
        }
    }
    out
}

fn pattern(text: &str, dashes: bool) -> Vec<Token> {
    let characters: Vec<char> = text.chars().collect();
    let mut out = Vec::new();
    let mut at = 0;
    // What stood before, unless a wildcard did.
    let mut before: Option<char> = None;
    let word = |c: char| c.is_alphanumeric() || c == '_';
    while at < characters.len() {
        let c = characters[at];
        let next = characters.get(at + 1).copied();
        at += 1;
        let (token, stood) = match c {
            '\\' if matches!(next, Some('*' | '?' | '\\')) => {
                at += 1;
                (Token::Char(next.unwrap()), next)
            }
            '*' => (Token::Many, None),
            '?' => (Token::One, None),
            '-' | '/' if dashes && !before.is_some_and(word) && next.is_some_and(word) => {
                (Token::Dash, Some(c))
            }
            _ => (Token::Char(c), Some(c)),
        };
        out.push(token);
        before = stood;
    }
    out
}

const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Base64 over bits, the slow way.
fn base64(bytes: &[u8]) -> String {
    let bits: Vec<u8> = bytes.iter().flat_map(|b| (0..8).rev().map(move |n| b >> n & 1)).collect();
    let mut out: String = bits
        .chunks(6)
        .map(|six| {
            let mut index = 0;
            for n in 0..6 {
                index = index << 1 | usize::from(six.get(n).copied().unwrap_or(0));
            }
            char::from(DIGITS[index])
        })
        .collect();
    while !out.len().is_multiple_of(4) {
        out.push('=');
    }
    out
}

/// The digits whose six bits all come from the bytes, which begin `offset` bytes into a group.
fn base64_at(bytes: &[u8], offset: usize) -> String {
    let padded: Vec<u8> = std::iter::repeat_n(0, offset).chain(bytes.iter().copied()).collect();
    let whole = base64(&padded);
    let (from, to) = ((offset * 8).div_ceil(6), padded.len() * 8 / 6);
    whole[from.min(to)..to].to_owned()
}

fn in_network(text: &str, network: &str) -> bool {
    let (address, bits) = network.split_once('/').unwrap_or((network, ""));
    let bytes = |text: &str| -> Option<Vec<u8>> {
        Some(match text.trim().parse::<std::net::IpAddr>().ok()?.to_canonical() {
            std::net::IpAddr::V4(v4) => v4.octets().to_vec(),
            std::net::IpAddr::V6(v6) => v6.octets().to_vec(),
        })
    };
    let (Some(value), Some(network)) = (bytes(text), bytes(address)) else { return false };
    let bits: usize = bits.parse().unwrap_or(network.len() * 8);
    let bit = |of: &[u8], n: usize| of[n / 8] >> (7 - n % 8) & 1;
    value.len() == network.len() && (0..bits).all(|n| bit(&value, n) == bit(&network, n))
}
