//! Secrets of a run: known values and what looks like one are starred out of every text that leaves.

use super::url::{form_encoded, quoted};
use crate::mask;
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;

/// What a secret is shown as.
const STARS: &str = "[masked]";

/// Values shorter than this are not searched for: a password of `1` would star out every number.
const SHORTEST: usize = 4;

/// The secret values that a run knows: given ones, and those it was answered with.
///
/// ```
/// use smesec_core::taas::Secrets;
/// let mut secrets = Secrets::default();
/// secrets.add("hunter2");
/// assert_eq!(secrets.masked("login of alice with hunter2"), "login of alice with [masked]");
/// assert_eq!(secrets.masked(r#"{"token": "abc"}"#), r#"{"token": "[masked]"}"#);
/// assert_eq!(secrets.masked("status 403"), "status 403");
/// ```
#[derive(Clone, Default)]
pub struct Secrets {
    /// As they came.
    values: Vec<Arc<str>>,
    /// They and the forms in which they travel, the longest first, so that one that holds another
    /// goes whole.
    sought: Vec<Arc<str>>,
    known: HashSet<Arc<str>>,
}

impl Secrets {
    /// Takes a value in. Blank ones and those shorter than four bytes are left out: starring them
    /// would hide all text and no secret.
    pub fn add(&mut self, value: impl Into<String>) {
        let value: Arc<str> = value.into().into();
        if value.trim().len() < SHORTEST || self.known.contains(&value) {
            return;
        }
        for form in forms(&value) {
            self.seek(form.into());
        }
        self.seek(Arc::clone(&value));
        self.values.push(value);
    }

    fn seek(&mut self, form: Arc<str>) {
        if self.known.insert(Arc::clone(&form)) {
            let at = self.sought.partition_point(|known| known.len() >= form.len());
            self.sought.insert(at, form);
        }
    }

    /// Takes in what another run knows.
    pub fn extend(&mut self, other: &Self) {
        for value in &other.values {
            self.add(value.as_ref());
        }
    }

    /// How many values it knows.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether it knows none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The values that came after the first `known`: what a run of many tests has to pass on.
    pub fn since(&self, known: usize) -> &[Arc<str>] {
        self.values.get(known..).unwrap_or_default()
    }

    /// A text without secrets: the known values, values under names like `password` or `token`,
    /// credentials in headers, and card numbers.
    pub fn masked<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for value in &self.sought {
            if text.contains(value.as_ref()) {
                text = Cow::Owned(text.replace(value.as_ref(), STARS));
            }
        }
        if let Some(starred) = mask::without_named(&text, |_, out| out.push_str(STARS)) {
            text = Cow::Owned(starred);
        }
        if text.bytes().filter(u8::is_ascii_digit).count() >= 13 {
            let starred = mask::without_card_numbers(text.as_bytes());
            if starred != text.as_bytes() {
                text = Cow::Owned(String::from_utf8_lossy(&starred).into_owned());
            }
        }
        text
    }
}

/// Its values are not for logs.
impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({} values)", self.values.len())
    }
}

/// A value as URLs, forms and JSON have it, where that differs from itself.
fn forms(value: &str) -> Vec<String> {
    let form = form_encoded(value);
    // Some writers of JSON keep to ASCII, and some escape slashes too.
    let escaped = |ascii: bool, slash: bool| {
        let mut out = String::with_capacity(value.len());
        for c in value.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '/' if slash => out.push_str("\\/"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                c if c.is_control() || (ascii && !c.is_ascii()) => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        let _ = write!(out, "\\u{unit:04x}");
                    }
                }
                c => out.push(c),
            }
        }
        out
    };
    let mut all = vec![
        form.clone(),
        form.replace('+', "%20"),
        form_encoded(&form),
        quoted(value),
        escaped(false, false),
        escaped(true, false),
        escaped(false, true),
        escaped(true, true),
    ];
    // Servers and clients disagree on the case of the digits.
    let small: Vec<String> = all.iter().take(4).map(|form| lower_escapes(form)).collect();
    all.extend(small);
    all.retain(|form| form != value);
    all
}

/// `%C3%A9` as `%c3%a9`.
fn lower_escapes(text: &str) -> String {
    let mut left = 0;
    let lowered = text.chars().map(|c| {
        let is_digit = left > 0;
        left = if c == '%' {
            2
        } else if is_digit {
            left - 1
        } else {
            0
        };
        if is_digit { c.to_ascii_lowercase() } else { c }
    });
    lowered.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_values_are_starred_in_every_notation() {
        let secrets = Secrets::default();
        for (text, shown) in [
            (
                r#"{"password": "a\"b", "user": "bob"}"#,
                r#"{"password": "[masked]", "user": "bob"}"#,
            ),
            ("{'token': 'xyz', 'n': 1}", "{'token': '[masked]', 'n': 1}"),
            ("user=bob&password=secret1&x=2", "user=bob&password=[masked]&x=2"),
            ("Authorization: Bearer a.b.c\nX: y", "Authorization: [masked]\nX: y"),
            ("Set-Cookie: sid=abc; Path=/\n", "Set-Cookie: [masked]\n"),
            ("card 4111 1111 1111 1111", "card **** **** **** ****"),
            (
                r#"{"log":"{\"password\":\"a\\\"b\",\"n\":1}"}"#,
                r#"{"log":"{\"password\":\"[masked]\",\"n\":1}"}"#,
            ),
            (r#"{\"pin\": 1234, \"n\": 1}"#, r#"{\"pin\": [masked], \"n\": 1}"#),
            (r#"{"token":{"value":"ab}c","n":[1]},"m":2}"#, r#"{"token":[masked],"m":2}"#),
            (r#"{"password": ["x", "y"], "m": 2}"#, r#"{"password": [masked], "m": 2}"#),
            ("'secret': {'a': 'b", "'secret': [masked]"),
            (
                r#"{"accessKey": "AK1", "pwHash": "x"}"#,
                r#"{"accessKey": "[masked]", "pwHash": "[masked]"}"#,
            ),
            ("expected the token to be there", "expected the token to be there"),
            ("http://localhost:5003/echo", "http://localhost:5003/echo"),
        ] {
            assert_eq!(secrets.masked(text), shown, "{text}");
        }
    }

    #[test]
    fn known_values_are_starred_wherever_they_stand() {
        let mut secrets = Secrets::default();
        secrets.add("s3cret");
        secrets.add("s3cret-and-more");
        secrets.add("1");
        assert_eq!(secrets.masked("x/s3cret-and-more?1"), "x/[masked]?1");
        assert_eq!(secrets.masked("/a?token=s3cret&b"), "/a?token=[masked]&b");
        assert_eq!(format!("{secrets:?}"), "Secrets(2 values)");
    }

    #[test]
    fn values_are_known_in_the_forms_in_which_they_travel() {
        let mut secrets = Secrets::default();
        secrets.add("a b/\"é&%");
        for text in [
            "/x?p=a%20b%2F%22%C3%A9%26%25&q=1",
            "/x?p=a+b%2f%22%c3%a9%26%25&q=1",
            "/x?p=a%20b/%22%C3%A9&%25&q=1",
            "{'code': 'a b/\"é&%'}",
            r#"{"code": "a b/\"é&%"}"#,
            r#"{"code": "a b/\"\u00e9&%"}"#,
            "/x?p=a%2Bb%252F%2522%25C3%25A9%2526%2525",
        ] {
            let shown = secrets.masked(text);
            assert!(
                shown.contains(STARS) && !shown.contains("b/") && !shown.contains("2F"),
                "{shown}"
            );
        }
        assert_eq!(secrets.len(), 1);
        secrets.add("other");
        assert_eq!(secrets.since(1).len(), 1);
        assert!(secrets.since(7).is_empty());
    }
}
