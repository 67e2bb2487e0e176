//! Comments of C, HTML and SQL.
//!
//! `removeComments` differs from v3 on purpose in one thing: the byte after a comment is looked at
//! like any other, and nothing is added for a comment that ends the value.

use super::rewrite;

/// Each `/* ... */` gives one blank, one without an end too.
pub(super) fn replace(input: &[u8], out: &mut Vec<u8>) -> bool {
    let open = |rest: &[u8]| find_open(rest);
    rewrite(input, out, open, |tail, out| {
        out.push(b' ');
        let inner = tail.get(2..).unwrap_or_default();
        find_close(inner).map_or(tail.len(), |at| at + 4)
    })
}

fn find_open(rest: &[u8]) -> Option<usize> {
    memchr::memmem::find(rest, b"/*")
}

fn find_close(rest: &[u8]) -> Option<usize> {
    memchr::memmem::find(rest, b"*/")
}

/// `/* ... */` and `<!-- ... -->` go (either end closes either), `--` and `#` end the value; a
/// comment without an end gives one blank.
pub(super) fn remove(input: &[u8], out: &mut Vec<u8>) -> bool {
    let find = |rest: &[u8]| rest.iter().position(|byte| b"/<-#".contains(byte));
    rewrite(input, out, find, |tail, out| match tail {
        [b'/', b'*', inner @ ..] => 2 + close(inner, out),
        [b'<', b'!', b'-', b'-', inner @ ..] => 4 + close(inner, out),
        [b'-', b'-', ..] | [b'#', ..] => tail.len(),
        _ => {
            out.extend(tail.first());
            1
        }
    })
}

/// The length of a comment's inside with its end, and a blank if it has none.
fn close(inner: &[u8], out: &mut Vec<u8>) -> usize {
    let mut from = 0;
    while let Some(rest) = inner.get(from..)
        && let Some(at) = memchr::memchr2(b'*', b'-', rest)
    {
        match rest.get(at..) {
            Some([b'*', b'/', ..]) => return from + at + 2,
            Some([b'-', b'-', b'>', ..]) => return from + at + 3,
            _ => from += at + 1,
        }
    }
    out.push(b' ');
    inner.len()
}

/// `/*`, `*/`, `<!--`, `-->`, `--` and `#` go.
pub(super) fn remove_signs(input: &[u8], out: &mut Vec<u8>) -> bool {
    let find = |rest: &[u8]| rest.iter().position(|byte| b"/*<-#".contains(byte));
    rewrite(input, out, find, |tail, out| match tail {
        [b'<', b'!', b'-', b'-', ..] => 4,
        [b'-', b'-', b'>', ..] => 3,
        [b'/', b'*', ..] | [b'*', b'/', ..] | [b'-', b'-', ..] => 2,
        [b'#', ..] => 1,
        _ => {
            out.extend(tail.first());
            1
        }
    })
}
