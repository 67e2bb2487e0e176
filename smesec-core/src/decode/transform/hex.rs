//! Hexadecimal.

use memchr::memchr;

use super::{hex_digits, hex_pair, rewrite};

pub(super) fn encode(input: &[u8], out: &mut Vec<u8>) -> bool {
    out.reserve(input.len() * 2);
    for &byte in input {
        out.extend_from_slice(&hex_digits(byte));
    }
    true
}

/// Bytes that are no digits count by the arithmetic that v3 applies to them, so that pairs after
/// them keep their place; a last byte without a partner is dropped.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    let value = |byte: u8| {
        if byte >= b'A' { (byte & 0xDF).wrapping_sub(b'A' - 10) } else { byte.wrapping_sub(b'0') }
    };
    let (pairs, _) = input.as_chunks::<2>();
    out.extend(pairs.iter().map(|&[high, low]| (value(high) << 4).wrapping_add(value(low))));
    true
}

/// Differs from v3 on purpose: the last byte and what follows a NUL are kept, and a literal that
/// follows another at once is decoded too.
pub(super) fn sql_decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    rewrite(
        input,
        out,
        |rest| memchr(b'0', rest),
        |tail, out| {
            let start = out.len();
            if let [_, b'x' | b'X', digits @ ..] = tail {
                let (pairs, _) = digits.as_chunks::<2>();
                out.extend(pairs.iter().map_while(|&[high, low]| hex_pair(high, low)));
            }
            let decoded = out.len() - start;
            if decoded == 0 {
                out.push(b'0');
                return 1;
            }
            2 + decoded * 2
        },
    )
}
