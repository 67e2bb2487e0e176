//! Shell command lines.

use super::rewrite;
use crate::decode::byteset::ByteSet;

/// Bytes that may have a change in them: a lone blank has none, but the first of a run or the one
/// before a slash has.
pub(super) const TRIGGERS: ByteSet = ByteSet::of_bytes(b"\"'\\^ ,;\t\r\n").with_range(b'A', b'Z');

/// Removes `"`, `'`, `\` and `^`; turns runs of blanks, tabs, line ends, commas and semicolons into
/// one blank, and into none before `/` and `(`; lower-cases ASCII letters.
pub(super) fn cmd_line(input: &[u8], out: &mut Vec<u8>) -> bool {
    let find = |rest: &[u8]| rest.iter().position(|&byte| TRIGGERS.contains(byte));
    rewrite(input, out, find, |tail, out| {
        let mut blank = false;
        let mut used = 0;
        for &byte in tail {
            match byte {
                b'"' | b'\'' | b'\\' | b'^' => {}
                b' ' | b',' | b';' | b'\t' | b'\r' | b'\n' => blank = true,
                _ => {
                    if blank && byte != b'/' && byte != b'(' {
                        out.push(b' ');
                    }
                    out.push(byte.to_ascii_lowercase());
                    return used + 1;
                }
            }
            used += 1;
        }
        if blank {
            out.push(b' ');
        }
        used
    })
}
