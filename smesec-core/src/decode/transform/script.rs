//! Backslash escapes: JavaScript, CSS and ANSI C.

use memchr::memchr;

use super::{hex_digit, hex_pair, narrow, rewrite};

/// `\uHHHH` (full-width forms to ASCII, otherwise the low byte), `\xHH`, octal of up to three
/// digits and one byte, the control letters; before any other byte the backslash goes. A
/// backslash at the end stays.
pub(super) fn js_decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    rewrite(
        input,
        out,
        |rest| memchr(b'\\', rest),
        |tail, out| {
            if let [_, b'u', a, b, c, d, ..] = *tail
                && let (Some(high), Some(low)) = (hex_pair(a, b), hex_pair(c, d))
            {
                out.push(narrow(high, low));
                return 6;
            }
            if let [_, b'x', a, b, ..] = *tail
                && let Some(byte) = hex_pair(a, b)
            {
                out.push(byte);
                return 4;
            }
            match tail.get(1) {
                Some(b'0'..=b'7') => {
                    // A third digit that would not fit a byte is text.
                    let most = if matches!(tail.get(1), Some(b'0'..=b'3')) { 3 } else { 2 };
                    let (byte, digits) = octal(tail, most);
                    out.push(byte);
                    1 + digits
                }
                Some(&letter) => {
                    out.push(control(letter).unwrap_or(letter));
                    2
                }
                None => {
                    out.push(b'\\');
                    1
                }
            }
        },
    )
}

/// As v3: `\xHH` and `\XHH`, octal of up to three digits (the low byte), the control letters; before
/// any other byte the backslash goes. A backslash at the end stays.
pub(super) fn escape_seq_decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    rewrite(
        input,
        out,
        |rest| memchr(b'\\', rest),
        |tail, out| {
            if let [_, b'x' | b'X', a, b, ..] = *tail
                && let Some(byte) = hex_pair(a, b)
            {
                out.push(byte);
                return 4;
            }
            match tail.get(1) {
                Some(b'0'..=b'7') => {
                    let (byte, digits) = octal(tail, 3);
                    out.push(byte);
                    1 + digits
                }
                Some(&letter) => {
                    out.push(control(letter).unwrap_or(letter));
                    2
                }
                None => {
                    out.push(b'\\');
                    1
                }
            }
        },
    )
}

/// One to six hexadecimal digits (CSS 2, section 4.1.3) give their low byte, and one white space
/// after them goes; a four-digit full-width form, zeros before it or not, gives ASCII. A backslash
/// before a newline goes with it, one at the end goes, and any other byte stands for itself.
pub(super) fn css_decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    rewrite(
        input,
        out,
        |rest| memchr(b'\\', rest),
        |tail, out| {
            let rest = tail.get(1..).unwrap_or_default();
            let (mut value, mut digits) = (0_u32, 0);
            for digit in rest.iter().take(6).map_while(|&byte| hex_digit(byte)) {
                value = (value << 4) | u32::from(digit);
                digits += 1;
            }
            if digits == 0 {
                out.extend(rest.first().filter(|&&byte| byte != b'\n'));
                return 2;
            }
            let [beyond, top, high, low] = value.to_be_bytes();
            out.push(if beyond == 0 && top == 0 { narrow(high, low) } else { low });
            let space = rest.get(digits).is_some_and(|&byte| matches!(byte, b'\t'..=b'\r' | b' '));
            1 + digits + usize::from(space)
        },
    )
}

/// The low byte of up to `most` octal digits after the backslash, and their count.
fn octal(tail: &[u8], most: usize) -> (u8, usize) {
    let digits = tail.iter().skip(1).take(most).take_while(|byte| matches!(byte, b'0'..=b'7'));
    digits.fold((0, 0), |(value, count), digit| ((value << 3) | (digit & 7), count + 1))
}

const fn control(letter: u8) -> Option<u8> {
    match letter {
        b'a' => Some(0x07),
        b'b' => Some(0x08),
        b'f' => Some(0x0C),
        b'n' => Some(b'\n'),
        b'r' => Some(b'\r'),
        b't' => Some(b'\t'),
        b'v' => Some(0x0B),
        _ => None,
    }
}
