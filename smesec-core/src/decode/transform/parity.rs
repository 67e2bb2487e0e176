//! Parity in the top bit of each byte.
//!
//! As in v3 the parity is taken over all eight bits, the top one included.

use crate::decode::byteset::ByteSet;

pub(super) const EVEN_CHANGES: ByteSet = changes(1);
pub(super) const ODD_CHANGES: ByteSet = changes(0);

/// The byte with its top bit set if the count of its bits, modulo two, is `set_on`, else cleared.
const fn with_parity(byte: u8, set_on: u32) -> u8 {
    if byte.count_ones() % 2 == set_on { byte | 0x80 } else { byte & 0x7F }
}

const fn changes(set_on: u32) -> ByteSet {
    let mut set = ByteSet::EMPTY;
    let mut byte = 0_u8;
    loop {
        if with_parity(byte, set_on) != byte {
            set = set.with(byte);
        }
        if byte == u8::MAX {
            return set;
        }
        byte += 1;
    }
}

pub(super) fn even(input: &[u8], out: &mut Vec<u8>) -> bool {
    out.extend(input.iter().map(|&byte| with_parity(byte, 1)));
    true
}

pub(super) fn odd(input: &[u8], out: &mut Vec<u8>) -> bool {
    out.extend(input.iter().map(|&byte| with_parity(byte, 0)));
    true
}

pub(super) fn zero(input: &[u8], out: &mut Vec<u8>) -> bool {
    out.extend(input.iter().map(|&byte| byte & 0x7F));
    true
}
