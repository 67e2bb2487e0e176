//! Secrets in events, logs and reports: passwords, tokens, cookies and card numbers are starred out.

/// Bytes of a value that an event keeps: enough to see the attack, too few to carry a body off.
pub const MAX_EVIDENCE: usize = 256;

/// A value as an event may show it. `name` is what it was matched under, such as
/// `REQUEST_COOKIES:session`.
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
    let head_shown = without_card_numbers(head);
    let mut text = match String::from_utf8(head_shown) {
        Ok(text) => text,
        Err(e) => String::from_utf8_lossy(e.as_bytes()).into_owned(),
    };
    if head.len() < value.len() {
        text.push('…');
    }
    text
}

/// Whether values of that name are secrets.
pub fn is_secret_name(name: &[u8]) -> bool {
    let name = name.to_ascii_lowercase();
    // Credentials stand in it under no name of their own.
    if name.starts_with(b"full_request") && !name.starts_with(b"full_request_length") {
        return true;
    }
    if name.starts_with(b"request_cookies:") || name.starts_with(b"cookie") {
        return true;
    }
    const WORDS: &[&[u8]] = &[
        b"passw",
        b"passphrase",
        b"pwd",
        b"secret",
        b"token",
        b"authorization",
        b"api_key",
        b"apikey",
        b"api-key",
        b"credential",
        b"session",
        b":cookie",
        b"set-cookie",
        b"cardnumber",
        b"card_number",
        b"cvv",
        b"cvc",
        b"private_key",
        b"privatekey",
        b"access_key",
        b"accesskey",
        b"pwhash",
        b":pin",
        b":otp",
        b"jwt",
    ];
    // Names are short: a look at each place is quicker than a search for each word.
    let mut rest = name.as_slice();
    while let Some((first, after)) = rest.split_first() {
        if WORDS.iter().any(|word| word.first() == Some(first) && rest.starts_with(word)) {
            return true;
        }
        rest = after;
    }
    false
}

/// Whether a collection holds secrets whatever the name.
pub fn is_secret_collection(name: &str) -> bool {
    name.starts_with("REQUEST_COOKIES") || name.starts_with("ARGS") || name.ends_with("HEADERS")
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
        if (13..=19).contains(&digits) && luhn(rest.get(..run).unwrap_or_default()) {
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
    (13..=19).contains(&digits().count()) && sum.is_multiple_of(10) && digits().any(|d| d != 0)
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
}
