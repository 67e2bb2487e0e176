//! URL encoding: `%HH`, `+`, and `%uHHHH`.
//!
//! Escapes that are not whole stay as they are.

use memchr::memchr2;

use super::{UnicodeMap, hex_digits, hex_pair, narrow, rewrite};
use crate::decode::byteset::ByteSet;

/// What `urlEncode` does not leave as it is.
pub(super) const ENCODED: ByteSet = ByteSet::EMPTY
    .with_range(0, b'*' - 1)
    .with_range(b'*' + 1, b'0' - 1)
    .with_range(b'9' + 1, b'A' - 1)
    .with_range(b'Z' + 1, b'a' - 1)
    .with_range(b'z' + 1, 0xFF);

pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    rewrite(input, out, |rest| memchr2(b'%', b'+', rest), percent)
}

pub(super) fn decode_uni(input: &[u8], out: &mut Vec<u8>, map: Option<&UnicodeMap>) -> bool {
    rewrite(
        input,
        out,
        |rest| memchr2(b'%', b'+', rest),
        |tail, out| {
            if let [b'%', b'u' | b'U', a, b, c, d, ..] = *tail
                && let (Some(high), Some(low)) = (hex_pair(a, b), hex_pair(c, d))
            {
                let unit = u16::from_be_bytes([high, low]);
                let mapped = map.and_then(|map| map.byte(unit));
                out.push(mapped.unwrap_or_else(|| narrow(high, low)));
                return 6;
            }
            percent(tail, out)
        },
    )
}

fn percent(tail: &[u8], out: &mut Vec<u8>) -> usize {
    match *tail {
        [b'+', ..] => out.push(b' '),
        [b'%', a, b, ..] => {
            if let Some(byte) = hex_pair(a, b) {
                out.push(byte);
                return 3;
            }
            out.push(b'%');
        }
        _ => out.push(b'%'),
    }
    1
}

pub(super) fn encode(input: &[u8], out: &mut Vec<u8>) -> bool {
    let find = |rest: &[u8]| rest.iter().position(|&byte| ENCODED.contains(byte));
    rewrite(input, out, find, |tail, out| {
        match *tail {
            [b' ', ..] => out.push(b'+'),
            [byte, ..] => {
                let [high, low] = hex_digits(byte);
                out.extend_from_slice(&[b'%', high, low]);
            }
            [] => {}
        }
        1
    })
}
