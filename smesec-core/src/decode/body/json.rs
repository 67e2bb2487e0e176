//! JSON bodies (RFC 8259), read as they arrive.
//!
//! Every scalar is reported under the name that `ModSecurity` 3 gives it: `json`, then `.key` for
//! the member of an object and `.array_N` for the element of an array. An empty key is written
//! `empty-key`, `null` has an empty value, and empty containers report nothing.
//!
//! ```
//! use smesec_core::decode::body::json::{Json, JsonLimits};
//!
//! let mut seen = Vec::new();
//! let mut keep = |path: &[u8], value: &[u8]| {
//!     seen.push(format!("{}={}", String::from_utf8_lossy(path), String::from_utf8_lossy(value)));
//! };
//! let mut json = Json::new(JsonLimits::default());
//! json.feed(br#"{"a": [{"b": "x\u00"#, &mut keep)?;
//! json.feed(br#"e9"}, 1.50], "c": null}"#, &mut keep)?;
//! json.finish(&mut keep)?;
//! assert_eq!(seen, ["json.a.array_0.b=xé", "json.a.array_1=1.50", "json.c="]);
//! # Ok::<(), smesec_core::decode::body::json::JsonError>(())
//! ```

use std::fmt;

/// What a JSON body may cost; see [`Default`] for the values and their reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonLimits {
    /// Containers open at once.
    pub depth: usize,
    /// Scalars reported.
    pub arguments: usize,
    /// Bytes of one string, number or word, decoded, that spans chunks or holds escapes.
    pub string_bytes: usize,
    /// Bytes of one path.
    pub path_bytes: usize,
    /// Bytes of all paths reported together.
    pub total_path_bytes: usize,
}

impl Default for JsonLimits {
    fn default() -> Self {
        Self {
            // Far above what applications nest; the published attacks nested tens of thousands.
            depth: 512,
            // An export of some thousand records passes; a body made of commas does not.
            arguments: 100_000,
            // A file of 12 MiB in Base64: as much as the usual request limit lets through.
            string_bytes: 16 << 20,
            // Keys are words; only an attack on what stores the names is longer.
            path_bytes: 16 << 10,
            // One long key above many small scalars would otherwise multiply the body's size.
            total_path_bytes: 64 << 20,
        }
    }
}

/// Why a JSON body was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JsonFault {
    /// A byte that cannot begin a value stands where a value should.
    ExpectedValue,
    /// A byte other than `"` stands where a key should.
    ExpectedKey,
    /// A byte other than `:` follows a key.
    ExpectedColon,
    /// A byte other than `,` or the closing bracket follows a value.
    ExpectedCommaOrEnd,
    /// Something follows the document.
    TrailingData,
    /// An unquoted word is neither a number nor `true`, `false` or `null`.
    InvalidWord,
    /// A backslash is followed by something that the standard does not name.
    InvalidEscape,
    /// A byte below 0x20 stands in a string as it is.
    ControlInString,
    /// A string is not UTF-8.
    InvalidUtf8,
    /// The body ends inside the document.
    Truncated,
    /// [`JsonLimits::depth`] was reached.
    TooDeep,
    /// [`JsonLimits::arguments`] was reached.
    TooManyArguments,
    /// [`JsonLimits::string_bytes`] was reached.
    StringTooLong,
    /// [`JsonLimits::path_bytes`] or [`JsonLimits::total_path_bytes`] was reached.
    PathTooLong,
}

impl JsonFault {
    /// True when the body may be well formed but goes beyond a limit.
    pub fn is_limit(self) -> bool {
        matches!(
            self,
            Self::TooDeep | Self::TooManyArguments | Self::StringTooLong | Self::PathTooLong
        )
    }
}

impl fmt::Display for JsonFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ExpectedValue => "expected a value",
            Self::ExpectedKey => "expected a key in double quotes",
            Self::ExpectedColon => "expected `:` after a key",
            Self::ExpectedCommaOrEnd => "expected `,` or the end of the container",
            Self::TrailingData => "unexpected data after the document",
            Self::InvalidWord => "a word is neither a number nor `true`, `false` or `null`",
            Self::InvalidEscape => "invalid escape in a string",
            Self::ControlInString => "control character in a string",
            Self::InvalidUtf8 => "a string is not valid UTF-8",
            Self::Truncated => "the document ends too early",
            Self::TooDeep => "nested deeper than the limit",
            Self::TooManyArguments => "more values than the limit",
            Self::StringTooLong => "a value is longer than the limit",
            Self::PathTooLong => "the names are longer than the limit",
        })
    }
}

/// Where and why a JSON body was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid JSON at byte {offset}: {what}")]
pub struct JsonError {
    /// The byte at which the fault was seen, counted from the start of the body.
    pub offset: u64,
    /// The fault.
    pub what: JsonFault,
}

/// A JSON document that arrives in chunks.
///
/// Work is linear in the input, and memory is one string, one path and one entry for each open
/// container. What was reported before a fault stays reported; after one, every call returns it.
#[derive(Debug)]
pub struct Json {
    limits: JsonLimits,
    expect: Expect,
    token: Token,
    stack: Vec<Frame>,
    path: Vec<u8>,
    text: Vec<u8>,
    non_ascii: bool,
    high: Option<u16>,
    arguments: usize,
    path_bytes: usize,
    offset: u64,
    error: Option<JsonError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    CommaOrEnd,
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    None,
    String,
    Escape,
    Hex { digits: u8, unit: u16 },
    Word,
}

#[derive(Debug)]
struct Frame {
    base: usize,
    next: Option<usize>,
}

const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

type Each<'e> = &'e mut dyn FnMut(&[u8], &[u8]);

impl Json {
    /// A parser at the start of a document.
    pub fn new(limits: JsonLimits) -> Self {
        Self {
            limits,
            expect: Expect::Value,
            token: Token::None,
            stack: Vec::new(),
            path: b"json".to_vec(),
            text: Vec::new(),
            non_ascii: false,
            high: None,
            arguments: 0,
            path_bytes: 0,
            offset: 0,
            error: None,
        }
    }

    /// Reads one chunk and calls `each(path, value)` for every scalar that it completes.
    ///
    /// # Errors
    /// The first fault, with its offset; see [`JsonFault`].
    pub fn feed(&mut self, chunk: &[u8], each: Each<'_>) -> Result<(), JsonError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let mut rest = chunk;
        let outcome = self.run(&mut rest, each);
        let consumed = chunk.len() - if outcome.is_ok() { 0 } else { rest.len() };
        self.offset = self.offset.saturating_add(u64::try_from(consumed).unwrap_or(u64::MAX));
        outcome.map_err(|what| self.refuse(what))
    }

    /// Says that the body is complete. A body of no bytes at all is accepted, as `ModSecurity` does.
    ///
    /// # Errors
    /// [`JsonFault::Truncated`] when the document is not complete, or the fault seen before.
    pub fn finish(&mut self, each: Each<'_>) -> Result<(), JsonError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        if self.token == Token::Word {
            self.end_word(each).map_err(|what| self.refuse(what))?;
        }
        let complete = self.token == Token::None && self.expect == Expect::Nothing;
        if complete || self.offset == 0 { Ok(()) } else { Err(self.refuse(JsonFault::Truncated)) }
    }

    fn refuse(&mut self, what: JsonFault) -> JsonError {
        *self.error.insert(JsonError { offset: self.offset, what })
    }

    fn run(&mut self, rest: &mut &[u8], each: Each<'_>) -> Result<(), JsonFault> {
        loop {
            match self.token {
                Token::None => {
                    let Some((byte, tail)) = rest.split_first() else { return Ok(()) };
                    if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                        *rest = tail;
                        continue;
                    }
                    self.begin(*byte, tail, rest, each)?;
                }
                Token::String => {
                    let (run, non_ascii) = plain_run(rest);
                    let Some((plain, tail)) = rest.split_at_checked(run) else { return Ok(()) };
                    let stop = tail.split_first();
                    if self.high.is_some() && (run > 0 || stop.is_some_and(|(b, _)| *b != b'\\')) {
                        self.high = None;
                        self.text.extend_from_slice(REPLACEMENT);
                    }
                    self.non_ascii |= non_ascii;
                    self.append_run(plain, tail, rest)?;
                    let Some((byte, tail)) = stop else { return Ok(()) };
                    match byte {
                        b'"' => {
                            self.token = Token::None;
                            *rest = tail;
                            let text = std::mem::take(&mut self.text);
                            let outcome = self.end_string(&text, self.non_ascii, each);
                            self.text = text;
                            outcome?;
                        }
                        b'\\' => {
                            self.token = Token::Escape;
                            *rest = tail;
                        }
                        _ => return Err(JsonFault::ControlInString),
                    }
                }
                Token::Escape => {
                    let Some((byte, tail)) = rest.split_first() else { return Ok(()) };
                    let plain = match byte {
                        b'"' | b'\\' | b'/' => *byte,
                        b'b' => 8,
                        b'f' => 12,
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        b'u' => {
                            *rest = tail;
                            self.token = Token::Hex { digits: 0, unit: 0 };
                            continue;
                        }
                        _ => return Err(JsonFault::InvalidEscape),
                    };
                    if self.high.take().is_some() {
                        self.text.extend_from_slice(REPLACEMENT);
                    }
                    self.append(&[plain])?;
                    *rest = tail;
                    self.token = Token::String;
                }
                Token::Hex { digits, unit } => {
                    let Some((byte, tail)) = rest.split_first() else { return Ok(()) };
                    let digit = char::from(*byte).to_digit(16).and_then(|d| u16::try_from(d).ok());
                    let unit = unit << 4 | digit.ok_or(JsonFault::InvalidEscape)?;
                    *rest = tail;
                    self.token = Token::Hex { digits: digits + 1, unit };
                    if digits == 3 {
                        self.append_unit(unit)?;
                        self.token = Token::String;
                    }
                }
                Token::Word => {
                    let width = word_width(rest);
                    let Some((word, tail)) = rest.split_at_checked(width) else { return Ok(()) };
                    self.append_run(word, tail, rest)?;
                    if tail.is_empty() {
                        return Ok(());
                    }
                    self.end_word(each)?;
                }
            }
        }
    }

    /// Takes the byte that begins a token and, where the chunk holds it whole, the token.
    fn begin<'c>(
        &mut self,
        byte: u8,
        tail: &'c [u8],
        rest: &mut &'c [u8],
        each: Each<'_>,
    ) -> Result<(), JsonFault> {
        let value = match (self.expect, byte) {
            (Expect::Key | Expect::KeyOrEnd, b'"') => false,
            (Expect::KeyOrEnd, b'}') | (Expect::ValueOrEnd, b']') => {
                *rest = tail;
                return self.close();
            }
            (Expect::Key | Expect::KeyOrEnd, _) => return Err(JsonFault::ExpectedKey),
            (Expect::Colon, b':') => {
                *rest = tail;
                self.expect = Expect::Value;
                return Ok(());
            }
            (Expect::Colon, _) => return Err(JsonFault::ExpectedColon),
            (Expect::CommaOrEnd, _) => {
                let array = self.stack.last().is_some_and(|frame| frame.next.is_some());
                match (byte, array) {
                    (b',', true) => self.expect = Expect::Value,
                    (b',', false) => self.expect = Expect::Key,
                    (b']', true) | (b'}', false) => self.close()?,
                    _ => return Err(JsonFault::ExpectedCommaOrEnd),
                }
                *rest = tail;
                return Ok(());
            }
            (Expect::Nothing, _) => return Err(JsonFault::TrailingData),
            (Expect::Value | Expect::ValueOrEnd, _) => true,
        };
        if value {
            if !matches!(byte, b'"' | b'{' | b'[') && !is_word(byte) {
                return Err(JsonFault::ExpectedValue);
            }
            self.name_element()?;
        }
        match byte {
            b'"' => {
                *rest = tail;
                let (run, non_ascii) = plain_run(tail);
                match tail.split_at_checked(run) {
                    Some((plain, [b'"', after @ ..])) if run <= self.limits.string_bytes => {
                        *rest = after;
                        self.end_string(plain, non_ascii, each)
                    }
                    _ => {
                        self.token = Token::String;
                        self.text.clear();
                        (self.non_ascii, self.high) = (false, None);
                        Ok(())
                    }
                }
            }
            b'{' | b'[' => {
                *rest = tail;
                if self.stack.len() >= self.limits.depth {
                    return Err(JsonFault::TooDeep);
                }
                let array = byte == b'[';
                self.stack.push(Frame { base: self.path.len(), next: array.then_some(0) });
                self.expect = if array { Expect::ValueOrEnd } else { Expect::KeyOrEnd };
                Ok(())
            }
            _ => {
                let width = word_width(rest);
                match rest.split_at_checked(width) {
                    Some((word, after))
                        if !after.is_empty() && width <= self.limits.string_bytes =>
                    {
                        *rest = after;
                        self.report(word_value(word)?, each)
                    }
                    _ => {
                        self.token = Token::Word;
                        self.text.clear();
                        Ok(())
                    }
                }
            }
        }
    }

    /// Appends what stands before `tail`; a fault is laid at the first byte too many, so that it
    /// does not depend on how the input was cut.
    fn append_run<'c>(
        &mut self,
        run: &'c [u8],
        tail: &'c [u8],
        rest: &mut &'c [u8],
    ) -> Result<(), JsonFault> {
        let room = self.limits.string_bytes.saturating_sub(self.text.len());
        *rest = if run.len() > room { rest.get(room..).unwrap_or_default() } else { tail };
        self.append(run)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), JsonFault> {
        if self.text.len() + bytes.len() > self.limits.string_bytes {
            return Err(JsonFault::StringTooLong);
        }
        self.text.extend_from_slice(bytes);
        Ok(())
    }

    /// Appends one UTF-16 unit; halves of a pair that have no partner become U+FFFD.
    fn append_unit(&mut self, unit: u16) -> Result<(), JsonFault> {
        let before = self.high.take();
        if before.is_none() && (0xd800..0xdc00).contains(&unit) {
            self.high = Some(unit);
            return Ok(());
        }
        let units = before.into_iter().chain([unit]);
        for decoded in char::decode_utf16(units) {
            match decoded {
                Ok(character) => {
                    self.append(character.encode_utf8(&mut [0; 4]).as_bytes())?;
                }
                Err(lone) if lone.unpaired_surrogate() == unit && unit < 0xdc00 => {
                    self.high = Some(unit);
                }
                Err(_) => self.append(REPLACEMENT)?,
            }
        }
        Ok(())
    }

    fn end_string(
        &mut self,
        text: &[u8],
        non_ascii: bool,
        each: Each<'_>,
    ) -> Result<(), JsonFault> {
        if non_ascii && std::str::from_utf8(text).is_err() {
            return Err(JsonFault::InvalidUtf8);
        }
        if !matches!(self.expect, Expect::Key | Expect::KeyOrEnd) {
            return self.report(text, each);
        }
        let base = self.stack.last().map_or(0, |frame| frame.base);
        let key = if text.is_empty() { b"empty-key" } else { text };
        self.path.truncate(base);
        self.path.push(b'.');
        self.path.extend_from_slice(key);
        self.expect = Expect::Colon;
        if self.path.len() > self.limits.path_bytes {
            return Err(JsonFault::PathTooLong);
        }
        Ok(())
    }

    fn end_word(&mut self, each: Each<'_>) -> Result<(), JsonFault> {
        self.token = Token::None;
        let text = std::mem::take(&mut self.text);
        let outcome = word_value(&text).and_then(|value| self.report(value, each));
        self.text = text;
        outcome
    }

    fn name_element(&mut self) -> Result<(), JsonFault> {
        let Some(Frame { base, next: Some(index) }) = self.stack.last_mut() else { return Ok(()) };
        self.path.truncate(*base);
        self.path.extend_from_slice(b".array_");
        let start = self.path.len();
        let mut digits = *index;
        while {
            self.path.push(b'0' | u8::try_from(digits % 10).unwrap_or_default());
            digits /= 10;
            digits > 0
        } {}
        self.path.get_mut(start..).unwrap_or_default().reverse();
        *index += 1;
        if self.path.len() > self.limits.path_bytes {
            return Err(JsonFault::PathTooLong);
        }
        Ok(())
    }

    fn report(&mut self, value: &[u8], each: Each<'_>) -> Result<(), JsonFault> {
        self.arguments += 1;
        if self.arguments > self.limits.arguments {
            return Err(JsonFault::TooManyArguments);
        }
        self.path_bytes = self.path_bytes.saturating_add(self.path.len());
        if self.path_bytes > self.limits.total_path_bytes {
            return Err(JsonFault::PathTooLong);
        }
        each(&self.path, value);
        self.end_value();
        Ok(())
    }

    fn close(&mut self) -> Result<(), JsonFault> {
        self.stack.pop();
        self.end_value();
        Ok(())
    }

    fn end_value(&mut self) {
        self.expect = if self.stack.is_empty() { Expect::Nothing } else { Expect::CommaOrEnd };
    }
}

fn is_word(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'a'..=b'z' | b'A'..=b'Z')
}

fn word_width(input: &[u8]) -> usize {
    input.iter().position(|byte| !is_word(*byte)).unwrap_or(input.len())
}

fn word_value(word: &[u8]) -> Result<&[u8], JsonFault> {
    match word {
        b"true" | b"false" => Ok(word),
        b"null" => Ok(&[]),
        _ if is_number(word) => Ok(word),
        _ => Err(JsonFault::InvalidWord),
    }
}

/// RFC 8259, section 6.
pub(crate) fn is_number(word: &[u8]) -> bool {
    let digits = |input: &[u8]| input.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut rest = word.strip_prefix(b"-").unwrap_or(word);
    let integer = digits(rest);
    if integer == 0 || (integer > 1 && rest.first() == Some(&b'0')) {
        return false;
    }
    rest = rest.get(integer..).unwrap_or_default();
    if let Some(fraction) = rest.strip_prefix(b".") {
        let width = digits(fraction);
        if width == 0 {
            return false;
        }
        rest = fraction.get(width..).unwrap_or_default();
    }
    match rest {
        [] => true,
        [b'e' | b'E', b'+' | b'-', exponent @ ..] | [b'e' | b'E', exponent @ ..] => {
            !exponent.is_empty() && digits(exponent) == exponent.len()
        }
        _ => false,
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Marks the bytes of a word that end a run of plain ones: quotes, backslashes, control characters.
/// The lowest mark is exact, those above it may not be.
pub(crate) const fn stops(word: u64) -> u64 {
    const fn zero(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word & HIGHS
    }
    let control = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
    zero(word ^ (ONES * b'"' as u64)) | zero(word ^ (ONES * b'\\' as u64)) | control
}

/// How many bytes lie before the first quote, backslash or control character, and whether one of
/// them is not ASCII. Eight bytes at a time: only the lowest mark of each test is read.
#[inline]
pub(crate) fn plain_run(input: &[u8]) -> (usize, bool) {
    let mut at = 0;
    let mut rest = input;
    let mut high = 0;
    while let Some((block, tail)) = rest.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*block);
        let marks = stops(word);
        if marks != 0 {
            let below = (marks & marks.wrapping_neg()).wrapping_sub(1);
            high |= word & HIGHS & below;
            at += usize::try_from(marks.trailing_zeros() / 8).unwrap_or_default();
            return (at, high != 0);
        }
        high |= word & HIGHS;
        at += 8;
        rest = tail;
    }
    for byte in rest {
        if matches!(byte, b'"' | b'\\' | 0..0x20) {
            break;
        }
        high |= u64::from(byte & 0x80);
        at += 1;
    }
    (at, high != 0)
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
