//! Paths: `.`, `..` and repeated slashes.
//!
//! An absolute path does not leave its root; a relative one keeps the `..` that lead above its
//! start. A slash at the end stays if there was one. Differs from v3 on purpose: only a segment
//! that is `..` as a whole is a back-reference (v3 takes `name..` for one), and slashes mixed with
//! backslashes give one slash whatever their order.

/// With `windows` backslashes are slashes, and come out as such.
pub(super) fn normalize(input: &[u8], out: &mut Vec<u8>, windows: bool) -> bool {
    let separator = |&byte: &u8| byte == b'/' || (windows && byte == b'\\');
    let (Some(first), Some(last)) = (input.first(), input.last()) else {
        return false;
    };
    // One segment stays as it is, but for `.`.
    if input != b"." && !input.iter().any(separator) {
        return false;
    }
    let absolute = separator(first);
    out.reserve(input.len() + 1);
    if absolute {
        out.push(b'/');
    }
    // Where the part begins that `..` may take away.
    let mut floor = out.len();
    for segment in input.split(separator) {
        match segment {
            b"" | b"." => {}
            b".." if out.len() > floor => {
                // Every segment is written with a slash after it.
                out.pop();
                let kept = memchr::memrchr(b'/', out).map_or(0, |at| at + 1);
                out.truncate(kept.max(floor));
            }
            b".." if absolute => {}
            _ => {
                out.extend_from_slice(segment);
                out.push(b'/');
                if segment == b".." {
                    floor = out.len();
                }
            }
        }
    }
    if !separator(last) && out.last() == Some(&b'/') {
        out.pop();
    }
    true
}
