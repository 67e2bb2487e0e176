//! HTML's character references.
//!
//! Only the five names that `ModSecurity` knows are decoded. Of a number the low byte is kept; one
//! beyond 63 bits gives 0xFF.

use memchr::memchr;

use super::rewrite;

const NAMED: [(&[u8], u8); 5] =
    [(b"quot", b'"'), (b"amp", b'&'), (b"lt", b'<'), (b"gt", b'>'), (b"nbsp", 0xA0)];

pub(super) fn entity_decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    rewrite(
        input,
        out,
        |rest| memchr(b'&', rest),
        |tail, out| {
            let Some((byte, used)) = reference(tail) else {
                out.push(b'&');
                return 1;
            };
            out.push(byte);
            used + usize::from(tail.get(used) == Some(&b';'))
        },
    )
}

/// The byte a reference stands for and its length without the semicolon.
fn reference(tail: &[u8]) -> Option<(u8, usize)> {
    match tail {
        [b'&', b'#', b'x' | b'X', digits @ ..] => number(digits, 16, 3),
        [b'&', b'#', digits @ ..] => number(digits, 10, 2),
        [b'&', rest @ ..] => {
            let len = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
            let name = rest.get(..len)?;
            let (_, byte) = NAMED.iter().find(|(known, _)| name.eq_ignore_ascii_case(known))?;
            Some((*byte, 1 + len))
        }
        _ => None,
    }
}

fn number(digits: &[u8], radix: u32, prefix: usize) -> Option<(u8, usize)> {
    let mut value = 0_i64;
    let mut len = 0;
    for digit in digits.iter().map_while(|&byte| char::from(byte).to_digit(radix)) {
        value = value.saturating_mul(i64::from(radix)).saturating_add(i64::from(digit));
        len += 1;
    }
    let [low, ..] = value.to_le_bytes();
    (len > 0).then_some((low, prefix + len))
}
