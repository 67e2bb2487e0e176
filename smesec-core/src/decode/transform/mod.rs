//! Byte transformations: URL, HTML, JavaScript, CSS, Base64 and the like.
//!
//! They are the `t:` actions of SecLang. Results follow `ModSecurity` v3; where that is lossy by
//! accident (bytes dropped or appended, results cut at a NUL) the module of the transformation
//! says what is done instead. A NUL byte is a byte like any other in all of them.

mod base64;
mod case;
mod command;
mod comment;
mod digest;
mod hex;
mod html;
mod parity;
mod path;
mod script;
mod unicode;
mod url;
mod whitespace;

pub use unicode::UnicodeMap;

use super::byteset::ByteSet;

macro_rules! transforms {
    ($($(#[$doc:meta])* $variant:ident = $name:literal $(| $alias:literal)*;)*) => {
        /// One transformation of a value before it is matched.
        ///
        /// SecLang's `none` is not among them: it empties the list of transformations and changes
        /// no value.
        ///
        /// ```
        /// use smesec_core::decode::transform::Transform;
        ///
        /// let decode = Transform::from_name("urlDecodeUni").unwrap();
        /// let mut out = Vec::new();
        /// assert!(decode.apply(b"%3Cscript%u003e", &mut out));
        /// assert_eq!(out, b"<script>");
        /// assert!(!decode.apply(b"nothing to do", &mut out));
        /// ```
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[non_exhaustive]
        pub enum Transform {
            $($(#[$doc])* $variant,)*
        }

        impl Transform {
            /// All transformations, in the order of their names.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The transformation that SecLang calls `name`, whatever its case; `None` for an
            /// unknown name and for `none`.
            pub fn from_name(name: &str) -> Option<Self> {
                $(
                    if name.eq_ignore_ascii_case($name) $(|| name.eq_ignore_ascii_case($alias))* {
                        return Some(Self::$variant);
                    }
                )*
                None
            }

            /// The name in SecLang.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

transforms! {
    /// Decodes Base64 (RFC 4648, section 4) up to the first byte that is not of it.
    Base64Decode = "base64Decode";
    /// Decodes Base64 of either alphabet, passing over bytes that are not of it.
    Base64DecodeExt = "base64DecodeExt";
    /// Encodes as Base64 with padding (RFC 4648, section 4).
    Base64Encode = "base64Encode";
    /// Undoes the obfuscation of shell commands: quotes, carets, blanks and letter case.
    CmdLine = "cmdLine";
    /// Turns each run of white space into one blank.
    CompressWhitespace = "compressWhitespace";
    /// Decodes the backslash escapes of CSS.
    CssDecode = "cssDecode";
    /// Decodes the backslash escapes of ANSI C.
    EscapeSeqDecode = "escapeSeqDecode";
    /// Decodes pairs of hexadecimal digits.
    HexDecode = "hexDecode";
    /// Encodes each byte as two lower-case hexadecimal digits.
    HexEncode = "hexEncode";
    /// Decodes numeric character references and `quot`, `amp`, `lt`, `gt`, `nbsp`.
    HtmlEntityDecode = "htmlEntityDecode";
    /// Decodes the backslash escapes of JavaScript.
    JsDecode = "jsDecode";
    /// The length in bytes, in decimal.
    Length = "length";
    /// ASCII letters to lower case.
    Lowercase = "lowercase";
    /// The MD5 digest (RFC 1321), 16 raw bytes.
    Md5 = "md5";
    /// Resolves `.`, `..` and repeated slashes in a path.
    NormalizePath = "normalizePath" | "normalisePath";
    /// As `normalizePath`, with backslashes taken as slashes.
    NormalizePathWin = "normalizePathWin" | "normalisePathWin";
    /// Sets the top bit of each byte for even parity.
    ParityEven7bit = "parityEven7bit";
    /// Sets the top bit of each byte for odd parity.
    ParityOdd7bit = "parityOdd7bit";
    /// Clears the top bit of each byte.
    ParityZero7bit = "parityZero7bit";
    /// Removes comments of C, HTML and SQL with what they hold.
    RemoveComments = "removeComments";
    /// Removes the signs that open and close comments, and keeps what they hold.
    RemoveCommentsChar = "removeCommentsChar";
    /// Removes NUL bytes.
    RemoveNulls = "removeNulls";
    /// Removes white space.
    RemoveWhitespace = "removeWhitespace";
    /// Turns each C comment into one blank.
    ReplaceComments = "replaceComments";
    /// Turns each NUL byte into a blank.
    ReplaceNulls = "replaceNulls";
    /// The SHA-1 digest (RFC 3174), 20 raw bytes.
    Sha1 = "sha1";
    /// Decodes SQL's hexadecimal strings (`0x414243`).
    SqlHexDecode = "sqlHexDecode";
    /// Removes white space at both ends.
    Trim = "trim";
    /// Removes white space at the start.
    TrimLeft = "trimLeft";
    /// Removes white space at the end.
    TrimRight = "trimRight";
    /// ASCII letters to upper case.
    Uppercase = "uppercase";
    /// Decodes `%HH` and `+`.
    UrlDecode = "urlDecode";
    /// Decodes `%HH`, `+` and the `%uHHHH` of Microsoft's servers.
    UrlDecodeUni = "urlDecodeUni";
    /// Encodes all but letters, digits and `*` as `%hh`, and the blank as `+`.
    UrlEncode = "urlEncode";
    /// Writes each UTF-8 sequence of two bytes or more as `%uhhhh`.
    Utf8ToUnicode = "utf8toUnicode";
}

impl Transform {
    /// Writes the result into `out` (cleared first) and returns true if it differs from `input`.
    ///
    /// On false the result is `input` itself and what `out` holds is unspecified. The result of
    /// every transformation but `urlEncode` and `utf8toUnicode` (at most four times the input) and
    /// the digests (20 bytes) is at most twice as long as the input.
    pub fn apply(self, input: &[u8], out: &mut Vec<u8>) -> bool {
        self.apply_with(input, out, None)
    }

    /// As [`apply`](Self::apply), with the code page by which `urlDecodeUni` maps `%uHHHH`.
    ///
    /// Without a map, or for a code point that it lacks, the low byte is kept.
    pub fn apply_with(self, input: &[u8], out: &mut Vec<u8>, map: Option<&UnicodeMap>) -> bool {
        out.clear();
        let ran = match self {
            Self::Base64Decode => base64::decode(input, out),
            Self::Base64DecodeExt => base64::decode_ext(input, out),
            Self::Base64Encode => base64::encode(input, out),
            Self::CmdLine => command::cmd_line(input, out),
            Self::CompressWhitespace => whitespace::compress(input, out),
            Self::CssDecode => script::css_decode(input, out),
            Self::EscapeSeqDecode => script::escape_seq_decode(input, out),
            Self::HexDecode => hex::decode(input, out),
            Self::HexEncode => hex::encode(input, out),
            Self::HtmlEntityDecode => html::entity_decode(input, out),
            Self::JsDecode => script::js_decode(input, out),
            Self::Length => {
                out.extend_from_slice(input.len().to_string().as_bytes());
                true
            }
            Self::Lowercase => case::lower(input, out),
            Self::Md5 => digest::md5(input, out),
            Self::NormalizePath => path::normalize(input, out, false),
            Self::NormalizePathWin => path::normalize(input, out, true),
            Self::ParityEven7bit => parity::even(input, out),
            Self::ParityOdd7bit => parity::odd(input, out),
            Self::ParityZero7bit => parity::zero(input, out),
            Self::RemoveComments => comment::remove(input, out),
            Self::RemoveCommentsChar => comment::remove_signs(input, out),
            Self::RemoveNulls => whitespace::remove_nulls(input, out),
            Self::RemoveWhitespace => whitespace::remove(input, out),
            Self::ReplaceComments => comment::replace(input, out),
            Self::ReplaceNulls => whitespace::replace_nulls(input, out),
            Self::Sha1 => digest::sha1(input, out),
            Self::SqlHexDecode => hex::sql_decode(input, out),
            Self::Trim => whitespace::trim(input, out, true, true),
            Self::TrimLeft => whitespace::trim(input, out, true, false),
            Self::TrimRight => whitespace::trim(input, out, false, true),
            Self::Uppercase => case::upper(input, out),
            Self::UrlDecode => url::decode(input, out),
            Self::UrlDecodeUni => url::decode_uni(input, out, map),
            Self::UrlEncode => url::encode(input, out),
            Self::Utf8ToUnicode => unicode::utf8_to_unicode(input, out),
        };
        ran && out.as_slice() != input
    }

    /// Whether the result is never longer than the input.
    pub const fn never_grows(self) -> bool {
        matches!(
            self,
            Self::Base64Decode
                | Self::CmdLine
                | Self::CompressWhitespace
                | Self::HexDecode
                | Self::HtmlEntityDecode
                | Self::JsDecode
                | Self::Lowercase
                | Self::NormalizePath
                | Self::NormalizePathWin
                | Self::RemoveComments
                | Self::RemoveCommentsChar
                | Self::RemoveNulls
                | Self::RemoveWhitespace
                | Self::ReplaceComments
                | Self::Trim
                | Self::TrimLeft
                | Self::TrimRight
                | Self::Uppercase
                | Self::UrlDecode
                | Self::UrlDecodeUni
        )
    }

    /// The bytes of which one must occur in the input for [`apply`](Self::apply) to change
    /// anything, so that a caller who knows the input's [`ByteSet`] can skip the call.
    ///
    /// [`ByteSet::FULL`] means that any input may change, the empty one included.
    pub const fn triggers(self) -> ByteSet {
        match self {
            Self::Base64Decode
            | Self::Base64DecodeExt
            | Self::Base64Encode
            | Self::HexDecode
            | Self::HexEncode
            | Self::Length
            | Self::Md5
            | Self::Sha1 => ByteSet::FULL,
            Self::CmdLine => command::TRIGGERS,
            Self::CompressWhitespace | Self::Trim | Self::TrimLeft | Self::TrimRight => {
                whitespace::SPACES
            }
            Self::RemoveWhitespace => whitespace::REMOVED,
            Self::CssDecode | Self::EscapeSeqDecode | Self::JsDecode => ByteSet::of_bytes(b"\\"),
            Self::HtmlEntityDecode => ByteSet::of_bytes(b"&"),
            Self::Lowercase => ByteSet::EMPTY.with_range(b'A', b'Z'),
            Self::Uppercase => ByteSet::EMPTY.with_range(b'a', b'z'),
            Self::NormalizePath => ByteSet::of_bytes(b"./"),
            Self::NormalizePathWin => ByteSet::of_bytes(b"./\\"),
            Self::ParityEven7bit => parity::EVEN_CHANGES,
            Self::ParityOdd7bit => parity::ODD_CHANGES,
            Self::ParityZero7bit | Self::Utf8ToUnicode => ByteSet::EMPTY.with_range(0x80, 0xFF),
            // Every sign of a comment has an asterisk, a hyphen or a hash in it.
            Self::RemoveComments | Self::RemoveCommentsChar => ByteSet::of_bytes(b"*-#"),
            Self::ReplaceComments => ByteSet::of_bytes(b"*"),
            Self::RemoveNulls | Self::ReplaceNulls => ByteSet::of_bytes(b"\0"),
            Self::SqlHexDecode => ByteSet::of_bytes(b"xX"),
            Self::UrlDecode | Self::UrlDecodeUni => ByteSet::of_bytes(b"%+"),
            Self::UrlEncode => url::ENCODED,
        }
    }
}

/// Copies `input` to `out` in runs: `find` gives the next place of interest, `step` writes what
/// stands for the bytes there and says how many it used. False if there is no such place.
fn rewrite(
    input: &[u8],
    out: &mut Vec<u8>,
    find: impl Fn(&[u8]) -> Option<usize>,
    mut step: impl FnMut(&[u8], &mut Vec<u8>) -> usize,
) -> bool {
    let mut next = find(input);
    if next.is_none() {
        return false;
    }
    out.reserve(input.len());
    let mut rest = input;
    while let Some((run, tail)) = next.and_then(|at| rest.split_at_checked(at)) {
        out.extend_from_slice(run);
        let used = step(tail, out).max(1);
        rest = tail.get(used..).unwrap_or_default();
        next = find(rest);
    }
    out.extend_from_slice(rest);
    true
}

/// The value of a hexadecimal digit.
const fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// The byte that two hexadecimal digits stand for.
const fn hex_pair(high: u8, low: u8) -> Option<u8> {
    match (hex_digit(high), hex_digit(low)) {
        (Some(high), Some(low)) => Some((high << 4) | low),
        _ => None,
    }
}

/// The byte that stands for a 16-bit code unit: ASCII for its full-width form (U+FF01 to U+FF5E),
/// otherwise the low byte.
const fn narrow(high: u8, low: u8) -> u8 {
    if high == 0xFF && low > 0 && low < 0x5F { low + 0x20 } else { low }
}

/// The two lower-case hexadecimal digits of `byte`.
fn hex_digits(byte: u8) -> [u8; 2] {
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    [digit(byte >> 4), digit(byte & 15)]
}

#[cfg(test)]
mod tests;
