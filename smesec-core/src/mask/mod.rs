//! Secrets in events, logs and reports: passwords, tokens, cookies and card numbers are starred out.

mod pairs;

pub(crate) use pairs::without_named;

use std::fmt::Write as _;

/// Bytes of a value that an event keeps: enough to see the attack, too few to carry a body off.
pub const MAX_EVIDENCE: usize = 256;

/// A value as an event may show it. `name` is what it was matched under, such as
/// `REQUEST_COOKIES:session`. Of a variable that holds names and values itself, such as `REQUEST_BODY`, those
/// under secret names are starred out.
///
/// ```
/// use smesec_core::mask::masked;
/// assert_eq!(masked(b"ARGS:password", b"hunter2"), "[masked, 7 bytes]");
/// assert_eq!(masked(b"ARGS:note", b"card 4111 1111 1111 1111"), "card **** **** **** ****");
/// ```
pub fn masked(name: &[u8], value: &[u8]) -> String {
    if is_secret_name(name) {
        return format!("[masked, {} bytes]", value.len());
    }
    let head = value.get(..MAX_EVIDENCE).unwrap_or(value);
    let mut text = if could_hold_card_number(head) {
        String::from_utf8_lossy(&without_card_numbers(head)).into_owned()
    } else {
        String::from_utf8_lossy(head).into_owned()
    };
    // An argument is one value; what holds several names them.
    if !begins(name, b"args") && !begins(name, b"xml") {
        text = without_secret_pairs(text);
    }
    if head.len() < value.len() {
        text.push('…');
    }
    text
}

/// A request target or another URL with the values of its secret arguments starred out, and card numbers.
///
/// ```
/// use smesec_core::mask::masked_target;
/// assert_eq!(masked_target("/in?user=ann&p%61ss=hunter2"), "/in?user=ann&p%61ss=[masked, 7 bytes]");
/// ```
pub fn masked_target(target: &str) -> String {
    let Some((path, query)) = target.split_once('?') else { return target.to_owned() };
    let query = without_secret_pairs(query.to_owned());
    if !could_hold_card_number(query.as_bytes()) {
        return format!("{path}?{query}");
    }
    format!("{path}?{}", String::from_utf8_lossy(&without_card_numbers(query.as_bytes())))
}

/// Without the values of secret names; how long each was helps who looks into an attack.
fn without_secret_pairs(text: String) -> String {
    without_named(&text, |value, out| {
        let _ = write!(out, "[masked, {} bytes]", value.len());
    })
    .unwrap_or(text)
}

/// Whether values of that name are secrets. Cases of letters do not matter.
pub fn is_secret_name(name: &[u8]) -> bool {
    // Credentials stand in it under no name of their own.
    if begins(name, b"full_request") && !begins(name, b"full_request_length") {
        return true;
    }
    if begins(name, b"request_cookies:") || begins(name, b"cookie") {
        return true;
    }
    // Too short to be told from other words by their beginning.
    let last = name.rsplit(|byte| !byte.is_ascii_alphanumeric()).find(|part| !part.is_empty());
    let is = |word: &[u8]| last.is_some_and(|last| last.eq_ignore_ascii_case(word));
    if is(b"pass") || is(b"pin") || is(b"otp") {
        return true;
    }
    let mut rest = name;
    while let [first, after @ ..] = rest {
        if secret_words(*first).iter().any(|word| begins(rest, word)) {
            return true;
        }
        rest = after;
    }
    false
}

/// The words with that first letter whose presence in a name tells a secret. Every value of an event is asked
/// for its name: a look at each place by its letter is quicker than a search for each word.
fn secret_words(first: u8) -> &'static [&'static [u8]] {
    match first.to_ascii_lowercase() {
        b'a' => &[
            b"authorization",
            b"api_key",
            b"apikey",
            b"api-key",
            b"access_key",
            b"accesskey",
            b"auth_key",
            b"authkey",
            b"auth-key",
        ],
        b'c' => &[b"credential", b"cardnumber", b"card_number", b"cvv", b"cvc"],
        b'j' => &[b"jwt"],
        b'p' => &[b"passw", b"passphrase", b"pwd", b"private_key", b"privatekey", b"pwhash"],
        b's' => &[b"secret", b"session", b"set-cookie"],
        b't' => &[b"token"],
        b':' => &[b":cookie"],
        _ => &[],
    }
}

fn begins(text: &[u8], with: &[u8]) -> bool {
    text.get(..with.len()).is_some_and(|head| head.eq_ignore_ascii_case(with))
}

/// Whether a collection holds secrets whatever the name.
pub fn is_secret_collection(name: &str) -> bool {
    name.starts_with("REQUEST_COOKIES") || name.starts_with("ARGS") || name.ends_with("HEADERS")
}

/// The fewest digits of a card number.
const MIN_CARD_DIGITS: usize = 13;

fn could_hold_card_number(value: &[u8]) -> bool {
    value.iter().filter(|b| b.is_ascii_digit()).count() >= MIN_CARD_DIGITS
}

/// Runs of 13 to 19 digits, parted by blanks or hyphens, that pass Luhn's check.
pub(crate) fn without_card_numbers(value: &[u8]) -> Vec<u8> {
    let mut out = value.to_vec();
    let mut start = 0;
    while let Some(offset) =
        value.get(start..).and_then(|rest| rest.iter().position(u8::is_ascii_digit))
    {
        let from = start + offset;
        let rest = value.get(from..).unwrap_or_default();
        let run =
            rest.iter().take_while(|b| b.is_ascii_digit() || matches!(b, b' ' | b'-')).count();
        let digits = rest.iter().take(run).filter(|b| b.is_ascii_digit()).count();
        if (MIN_CARD_DIGITS..=19).contains(&digits) && luhn(rest.get(..run).unwrap_or_default()) {
            for byte in out.iter_mut().skip(from).take(run).filter(|b| b.is_ascii_digit()) {
                *byte = b'*';
            }
        }
        start = from + run.max(1);
    }
    out
}

/// Luhn's check of payment card numbers (ISO/IEC 7812-1), 13 to 19 digits.
pub fn luhn(text: &[u8]) -> bool {
    let digits = || text.iter().filter(|b| b.is_ascii_digit()).map(|b| u32::from(b - b'0'));
    let sum: u32 = digits()
        .rev()
        .enumerate()
        .map(|(n, d)| if n % 2 == 1 { d * 2 - if d > 4 { 9 } else { 0 } } else { d })
        .sum();
    (MIN_CARD_DIGITS..=19).contains(&digits().count())
        && sum.is_multiple_of(10)
        && digits().any(|d| d != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn card_numbers_have_a_check_digit() {
        assert!(luhn(b"4111 1111 1111 1111") && !luhn(b"4111 1111 1111 1112"));
        assert!(!luhn(b"0000 0000 0000 0000") && !luhn(b"42"));
    }

    #[test]
    fn secrets_do_not_leave() {
        assert_eq!(masked(b"ARGS:password", b"hunter2"), "[masked, 7 bytes]");
        assert_eq!(masked(b"REQUEST_COOKIES:sid", b"abc"), "[masked, 3 bytes]");
        assert_eq!(
            masked(b"ARGS:note", b"card 4111 1111 1111 1111 ok"),
            "card **** **** **** **** ok"
        );
        assert_eq!(masked(b"ARGS:n", b"1234567890123456"), "1234567890123456");
        assert_eq!(masked(b"ARGS:q", b"' or 1=1"), "' or 1=1");
    }

    #[test]
    fn what_holds_pairs_shows_none_of_their_secrets() {
        for (shown, text) in [
            ("/a?b=c", "/a?b=c"),
            ("/a", "/a"),
            ("/in?user=ann&password=[masked, 7 bytes]&x", "/in?user=ann&password=hunter2&x"),
            ("/in?p%61ssword=[masked, 7 bytes]", "/in?p%61ssword=hunter2"),
            ("/in?user[password]=[masked, 7 bytes]", "/in?user[password]=hunter2"),
            ("/in?pwd[$ne]=[masked, 1 bytes]&q=(a", "/in?pwd[$ne]=x&q=(a"),
            ("/in?password=[masked, 9 bytes]&b", "/in?password=it's(o)k!&b"),
            ("/in?pin=[masked, 4 bytes];pass=&n=1", "/in?pin=1234;pass=&n=1"),
            ("/in?card=****************", "/in?card=4111111111111111"),
            ("/in?token=[masked, 1 bytes]&token=[masked, 2 bytes]", "/in?token=a&token=bc"),
        ] {
            assert_eq!(masked_target(text), shown);
        }
        for (name, shown, text) in [
            ("REQUEST_BODY", "user=ann&password=[masked, 7 bytes]", "user=ann&password=hunter2"),
            (
                "REQUEST_BODY",
                r#"{"a": 1, "password" : "[masked, 9 bytes]", "n":"x"}"#,
                r#"{"a": 1, "password" : "hun\"ter2", "n":"x"}"#,
            ),
            (
                "REQUEST_HEADERS:Referer",
                "https://a.example/?token=[masked, 3 bytes]",
                "https://a.example/?token=abc",
            ),
            ("REQUEST_LINE", "GET /?jwt=[masked, 3 bytes] HTTP/1.1", "GET /?jwt=abc HTTP/1.1"),
            ("REQUEST_LINE", "GET /?ÄÖ=1&secret=[masked, 4 bytes]", "GET /?ÄÖ=1&secret=ßß"),
            ("ARGS:q", "' or password='x", "' or password='x"),
        ] {
            assert_eq!(masked(name.as_bytes(), text.as_bytes()), shown);
        }
    }

    #[test]
    fn names_of_secrets_are_known_in_any_case_and_place() {
        for name in [
            "ARGS:userPassWord",
            "x-API-Key",
            "REQUEST_HEADERS:Set-Cookie2",
            "Cookie",
            "ARGS:json.Pin",
            "ARGS:pin",
            "FULL_REQUEST",
            "id_token",
            "JWT",
        ] {
            assert!(is_secret_name(name.as_bytes()), "{name}");
        }
        for name in [
            "",
            ":",
            "ARGS:opinion",
            "ARGS:pinned",
            "ARGS:passage",
            "FULL_REQUEST_LENGTH",
            "ARGS:pas",
            "ARGS:q",
        ] {
            assert!(!is_secret_name(name.as_bytes()), "{name}");
        }
    }
}
