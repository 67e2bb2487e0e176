//! Secrets of a run: known values and what looks like one are starred out of every text that leaves.

use crate::mask;
use std::borrow::Cow;

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
    /// The longest first, so that one that holds another goes whole.
    values: Vec<String>,
}

impl Secrets {
    /// Takes a value in. Blank ones and those shorter than four bytes are left out: starring them
    /// would hide all text and no secret.
    pub fn add(&mut self, value: impl Into<String>) {
        let value = value.into();
        if value.trim().len() < SHORTEST || self.values.contains(&value) {
            return;
        }
        let at = self.values.partition_point(|known| known.len() >= value.len());
        self.values.insert(at, value);
    }

    /// Takes in what another run knows.
    pub fn extend(&mut self, other: &Self) {
        for value in &other.values {
            self.add(value.as_str());
        }
    }

    /// A text without secrets: the known values, values under names like `password` or `token`,
    /// credentials in headers, and card numbers.
    pub fn masked<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for value in &self.values {
            if text.contains(value.as_str()) {
                text = Cow::Owned(text.replace(value.as_str(), STARS));
            }
        }
        if let Some(starred) = without_named(&text) {
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

/// The text with values under secret names starred out: `"token": "…"`, `password=…`, `Cookie: …`;
/// `None` where nothing was.
fn without_named(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut kept = 0;
    let mut at = 0;
    while let Some(offset) = text.get(at..).and_then(|rest| rest.find([':', '='])) {
        let mark = at + offset;
        at = mark + 1;
        let name = name_before(text.get(..mark).unwrap_or_default());
        if name.is_empty() || !is_secret(name) {
            continue;
        }
        let Some((from, to)) = value_after(text, mark, name) else { continue };
        if from < kept || text.get(from..to).is_none_or(|value| value.is_empty() || value == STARS)
        {
            continue;
        }
        out.push_str(text.get(kept..from).unwrap_or_default());
        out.push_str(STARS);
        kept = to;
        at = to.max(at);
    }
    (kept > 0).then(|| out + text.get(kept..).unwrap_or_default())
}

/// Header fields of several words whose whole value is secret.
fn is_header(name: &str) -> bool {
    ["cookie", "set-cookie", "authorization", "proxy-authorization"]
        .iter()
        .any(|header| name.eq_ignore_ascii_case(header))
}

fn is_secret(name: &str) -> bool {
    // `cookies:` heads a list of names in such files.
    !name.eq_ignore_ascii_case("cookies") && mask::is_secret_name(name.as_bytes())
}

/// The word that ends before a `:` or `=`, quotes taken off.
fn name_before(text: &str) -> &str {
    let text = text.trim_end_matches([' ', '"', '\'']);
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let start = text.rfind(|c| !is_word(c)).map_or(0, |at| {
        at + text.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8)
    });
    text.get(start..).unwrap_or_default()
}

/// Where the value after a mark begins and ends.
fn value_after(text: &str, mark: usize, name: &str) -> Option<(usize, usize)> {
    let after = text.get(mark + 1..)?;
    let blanks = after.len() - after.trim_start_matches(' ').len();
    let from = mark + 1 + blanks;
    let rest = text.get(from..)?;
    if rest.trim_start_matches(['"', '\'']).starts_with(STARS) {
        return None;
    }
    if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) {
        let inner = rest.get(1..)?;
        let mut escaped = false;
        let end = inner.find(|c| {
            let ends = c == quote && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        return Some((from + 1, from + 1 + end.unwrap_or(inner.len())));
    }
    let end = if is_header(name) {
        rest.find(['\r', '\n', '"']).unwrap_or(rest.len())
    } else {
        rest.find([' ', ',', ';', '&', '}', ']', ')', '"', '\'', '`', '\r', '\n'])
            .unwrap_or(rest.len())
    };
    Some((from, from + end))
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
    fn text_cut_anywhere_never_panics() {
        let text = "é\"passwörd\": \"tokén\\\"\" token='é cookie:é password=";
        for (at, _) in text.char_indices() {
            let _ = Secrets::default().masked(text.get(..at).unwrap_or_default());
        }
    }
}
