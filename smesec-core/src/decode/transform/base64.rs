//! Base64 (RFC 4648).
//!
//! `base64Decode` differs from v3 on purpose: v3 gives up on the whole value at the first foreign
//! byte and drops an unpadded last group, which hides a payload behind one stray character. Here,
//! as in v2, what stands before that byte is decoded, the last group too. Valid input gives
//! the same in all of them.
#![expect(
    clippy::indexing_slicing,
    reason = "tables of 256 or 64 entries indexed by a byte or six bits"
)]

const ALPHABET: [u8; 64] = *b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const FOREIGN: u8 = 0xFF;

const STRICT: [u8; 256] = {
    let mut table = [FOREIGN; 256];
    let mut value = 0_u8;
    while value < 64 {
        table[ALPHABET[value as usize] as usize] = value;
        value += 1;
    }
    table
};

const BOTH: [u8; 256] = {
    let mut table = STRICT;
    table[b'-' as usize] = 62;
    table[b'_' as usize] = 63;
    table
};

/// Line breaks within the text are passed over.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    let sextets = input.iter().filter(|&&byte| byte != b'\r' && byte != b'\n');
    let sextets = sextets.map(|&byte| STRICT[usize::from(byte)]);
    pack(sextets.take_while(|&value| value != FOREIGN), input.len(), out);
    true
}

/// Padding after one character of a group makes the result empty, as in v3.
pub(super) fn decode_ext(input: &[u8], out: &mut Vec<u8>) -> bool {
    if padded_too_early(input) {
        return true;
    }
    let sextets = input.iter().map(|&byte| BOTH[usize::from(byte)]);
    pack(sextets.filter(|&value| value != FOREIGN), input.len(), out);
    true
}

fn padded_too_early(input: &[u8]) -> bool {
    let mut count = 0_usize;
    let mut bytes = input.iter().peekable();
    while let Some(&byte) = bytes.next() {
        if byte == b'=' {
            if count % 4 == 1 && bytes.peek() != Some(&&b'=') {
                return true;
            }
        } else if BOTH[usize::from(byte)] != FOREIGN {
            count += 1;
        }
    }
    false
}

/// Three bytes from four sextets; of a last group what is whole.
fn pack(sextets: impl Iterator<Item = u8>, len: usize, out: &mut Vec<u8>) {
    out.reserve(len / 4 * 3 + 3);
    let (mut bits, mut held) = (0_u32, 0_u32);
    for value in sextets {
        bits = (bits << 6) | u32::from(value);
        held += 1;
        if held == 4 {
            let [_, a, b, c] = bits.to_be_bytes();
            out.extend_from_slice(&[a, b, c]);
            (bits, held) = (0, 0);
        }
    }
    if held > 1 {
        let [_, a, b, _] = (bits << (6 * (4 - held))).to_be_bytes();
        out.push(a);
        if held > 2 {
            out.push(b);
        }
    }
}

pub(super) fn encode(input: &[u8], out: &mut Vec<u8>) -> bool {
    out.reserve(input.len().div_ceil(3) * 4);
    let sextet = |bits: u32, shift: u32| ALPHABET[((bits >> shift) & 63) as usize];
    let (groups, last) = input.as_chunks::<3>();
    for &[a, b, c] in groups {
        let bits = u32::from_be_bytes([0, a, b, c]);
        out.extend_from_slice(&[18, 12, 6, 0].map(|shift| sextet(bits, shift)));
    }
    match *last {
        [a] => {
            let bits = u32::from_be_bytes([0, a, 0, 0]);
            out.extend_from_slice(&[sextet(bits, 18), sextet(bits, 12), b'=', b'=']);
        }
        [a, b] => {
            let bits = u32::from_be_bytes([0, a, b, 0]);
            out.extend_from_slice(&[sextet(bits, 18), sextet(bits, 12), sextet(bits, 6), b'=']);
        }
        _ => {}
    }
    true
}
