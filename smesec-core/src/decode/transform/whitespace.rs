//! White space (the six bytes of C's `isspace`) and NUL bytes.

use memchr::memchr;

use super::rewrite;
use crate::decode::byteset::ByteSet;

pub(super) const SPACES: ByteSet = ByteSet::EMPTY.with_range(b'\t', b'\r').with(b' ');
/// What `removeWhitespace` removes: as in v3 also both bytes of UTF-8's no-break space, each by
/// itself, so that Latin-1's goes too.
pub(super) const REMOVED: ByteSet = SPACES.with(0xC2).with(0xA0);

const fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ')
}

fn next_space(rest: &[u8]) -> Option<usize> {
    rest.iter().position(|&byte| is_space(byte))
}

fn run(tail: &[u8]) -> usize {
    tail.iter().take_while(|&&byte| is_space(byte)).count()
}

pub(super) fn compress(input: &[u8], out: &mut Vec<u8>) -> bool {
    rewrite(input, out, next_space, |tail, out| {
        out.push(b' ');
        run(tail)
    })
}

pub(super) fn remove(input: &[u8], out: &mut Vec<u8>) -> bool {
    let find = |rest: &[u8]| rest.iter().position(|&byte| REMOVED.contains(byte));
    rewrite(input, out, find, |_, _| 1)
}

pub(super) fn remove_nulls(input: &[u8], out: &mut Vec<u8>) -> bool {
    rewrite(input, out, |rest| memchr(0, rest), |_, _| 1)
}

pub(super) fn replace_nulls(input: &[u8], out: &mut Vec<u8>) -> bool {
    rewrite(
        input,
        out,
        |rest| memchr(0, rest),
        |_, out| {
            out.push(b' ');
            1
        },
    )
}

pub(super) fn trim(input: &[u8], out: &mut Vec<u8>, left: bool, right: bool) -> bool {
    let mut kept = input;
    while let [first, rest @ ..] = kept
        && left
        && is_space(*first)
    {
        kept = rest;
    }
    while let [rest @ .., last] = kept
        && right
        && is_space(*last)
    {
        kept = rest;
    }
    if kept.len() == input.len() {
        return false;
    }
    out.extend_from_slice(kept);
    true
}
