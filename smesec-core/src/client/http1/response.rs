//! Answers from bytes that come in any pieces.

use super::request::tokens;
use crate::runner::{ExchangeError, Response};
use memchr::memchr;
use std::mem::MaybeUninit;

/// How much an answer may hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_structs, reason = "callers name what they change and take the rest")]
pub struct Limits {
    /// Bytes of a head, and of the trailers. 64 KiB: servers send some hundred bytes, and those
    /// that set many cookies reach 16 KiB.
    pub head: usize,
    /// Bytes of a body. 16 MiB: more than a test compares, little enough for many sessions beside
    /// one another.
    pub body: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head: 64 * 1024, body: 16 * 1024 * 1024 }
    }
}

/// Headers of one head; servers send some tens.
const MAX_HEADERS: usize = 256;
/// Heads with a status from 100 to 199 before the answer; real servers send one or two.
const MAX_INTERIM: usize = 16;
/// A chunk's size with its extensions, which nobody uses.
const MAX_CHUNK_LINE: usize = 4 * 1024;
/// What an answer's beginning must be.
const VERSION: &[u8] = b"HTTP/1.";

/// Reads one answer from bytes that are pushed as they come.
///
/// ```
/// use smesec_core::client::http1::{Limits, ResponseParser};
/// let mut parser = ResponseParser::new("GET", Limits::default());
/// let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
/// assert_eq!(parser.push(bytes)?, bytes.len());
/// assert!(parser.is_complete());
/// assert_eq!(parser.into_response().body, b"hi");
/// # Ok::<(), smesec_core::runner::ExchangeError>(())
/// ```
#[derive(Debug)]
pub struct ResponseParser {
    limits: Limits,
    method_is_head: bool,
    method_is_connect: bool,
    state: State,
    /// The head, the chunk's line or the trailers under way.
    pending: Vec<u8>,
    response: Response,
    interim: usize,
    keeps_alive: bool,
    begun: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Head,
    Length {
        left: usize,
    },
    ChunkSize,
    Chunk {
        left: usize,
    },
    /// The line break behind a chunk, of which so many bytes were seen.
    ChunkEnd {
        seen: usize,
    },
    Trailers,
    UntilClose,
    Complete,
}

impl ResponseParser {
    /// For the answer to a request of `method`, which says whether a body follows.
    pub fn new(method: &str, limits: Limits) -> Self {
        Self {
            limits,
            method_is_head: method == "HEAD",
            method_is_connect: method == "CONNECT",
            state: State::Head,
            pending: Vec::new(),
            response: Response::default(),
            interim: 0,
            keeps_alive: false,
            begun: false,
        }
    }

    /// Takes the next bytes; how many of them belong to this answer.
    ///
    /// # Errors
    /// When they are no HTTP/1 answer or exceed a limit; nothing can be pushed after that.
    pub fn push(&mut self, bytes: &[u8]) -> Result<usize, ExchangeError> {
        self.begun |= !bytes.is_empty();
        let mut rest = bytes;
        while !rest.is_empty() && self.state != State::Complete {
            let taken = match self.state {
                State::Head => self.head(rest)?,
                State::Length { left } => {
                    let taken = self.body(rest, left)?;
                    self.state = match left - taken {
                        0 => State::Complete,
                        left => State::Length { left },
                    };
                    taken
                }
                State::ChunkSize => self.chunk_size(rest)?,
                State::Chunk { left } => {
                    let taken = self.body(rest, left)?;
                    self.state = match left - taken {
                        0 => State::ChunkEnd { seen: 0 },
                        left => State::Chunk { left },
                    };
                    taken
                }
                State::ChunkEnd { seen } => self.chunk_end(rest, seen)?,
                State::Trailers => self.trailers(rest)?,
                State::UntilClose => self.body(rest, usize::MAX)?,
                State::Complete => 0,
            };
            rest = rest.get(taken..).unwrap_or_default();
        }
        Ok(bytes.len() - rest.len())
    }

    /// Tells that the server has closed the connection.
    ///
    /// # Errors
    /// When the answer was not whole.
    pub fn end(&mut self) -> Result<(), ExchangeError> {
        let got = self.response.body.len();
        let told = match self.state {
            State::Complete => return Ok(()),
            State::UntilClose => {
                self.state = State::Complete;
                return Ok(());
            }
            State::Head if !self.begun => {
                let why = "the server closed the connection without an answer";
                return Err(ExchangeError::Connection(why.to_owned()));
            }
            State::Head => {
                let got = self.pending.len();
                format!(
                    "it ended within its head, after {got} bytes: {}",
                    status_line(&self.pending)
                )
            }
            State::Length { left } => {
                let promised = got.saturating_add(left);
                format!("it ended after {got} of the {promised} bytes that Content-Length promised")
            }
            State::ChunkSize | State::Chunk { .. } | State::ChunkEnd { .. } => {
                format!("it ended after {got} bytes of a chunked body, before its last chunk")
            }
            State::Trailers => "it ended within its trailers".to_owned(),
        };
        Err(ExchangeError::Malformed(told))
    }

    /// Whether the answer is whole.
    pub const fn is_complete(&self) -> bool {
        matches!(self.state, State::Complete)
    }

    /// Whether a byte of an answer has come.
    pub const fn has_begun(&self) -> bool {
        self.begun
    }

    /// Whether a status below 200 has come, such as the 100 that asks for the body.
    pub const fn is_past_interim(&self) -> bool {
        self.interim > 0
    }

    /// Whether the head of the answer itself has come.
    pub const fn has_head(&self) -> bool {
        !matches!(self.state, State::Head)
    }

    /// Whether the connection may serve another request; meaningful once the answer is whole.
    pub const fn keeps_alive(&self) -> bool {
        self.keeps_alive
    }

    /// The answer as far as it was read.
    pub fn into_response(self) -> Response {
        self.response
    }

    /// Gathers a head and reads it once it is whole.
    fn head(&mut self, bytes: &[u8]) -> Result<usize, ExchangeError> {
        let begins_well = |seen: &[u8]| {
            let n = seen.len().min(VERSION.len());
            seen.get(..n) == VERSION.get(..n)
        };
        // An answer mostly comes in one piece, and is read where it lies.
        if self.pending.is_empty() {
            if !begins_well(bytes) {
                return Err(no_http(bytes));
            }
            if let Some(end) = head_end(bytes, 0).filter(|end| *end <= self.limits.head) {
                self.read_head(bytes.get(..end).unwrap_or_default())?;
                return Ok(end);
            }
        }
        let before = self.pending.len();
        let room = self.limits.head.saturating_add(1).saturating_sub(before);
        let taken = bytes.len().min(room);
        self.pending.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        if !begins_well(&self.pending) {
            return Err(no_http(&self.pending));
        }
        // The blank line may have begun up to two bytes before.
        match head_end(&self.pending, before.saturating_sub(2)) {
            Some(end) if end <= self.limits.head => {
                let pending = std::mem::take(&mut self.pending);
                self.read_head(pending.get(..end).unwrap_or_default())?;
                Ok(end.saturating_sub(before))
            }
            None if self.pending.len() <= self.limits.head => Ok(taken),
            _ => Err(too_large(self.limits.head)),
        }
    }

    fn read_head(&mut self, head: &[u8]) -> Result<(), ExchangeError> {
        let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
        let mut answer = httparse::Response::new(&mut []);
        let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut answer,
            head,
            &mut headers,
        );
        match parsed {
            Ok(httparse::Status::Complete(end)) if end == head.len() => {}
            Ok(_) => return Err(malformed("its head has no end", head)),
            Err(e) => return Err(bad_head(e, head)),
        }
        let status = answer.code.unwrap_or_default();
        if !(100..=999).contains(&status) {
            return Err(malformed("its status is no number from 100 to 999", head));
        }
        if (100..200).contains(&status) && status != 101 {
            self.interim += 1;
            if self.interim > MAX_INTERIM {
                let told = format!("more than {MAX_INTERIM} answers of a status below 200");
                return Err(ExchangeError::Malformed(told));
            }
            return Ok(());
        }
        self.response.status = status;
        answer.reason.unwrap_or_default().clone_into(&mut self.response.reason);
        self.response.headers = answer
            .headers
            .iter()
            .map(|header| (header.name.to_owned(), header.value.to_vec()))
            .collect();
        self.frame(answer.version == Some(1), head)
    }

    /// How the body ends (RFC 9112, section 6.3), and whether the connection goes on after it.
    fn frame(&mut self, is_1_1: bool, head: &[u8]) -> Result<(), ExchangeError> {
        let (mut close, mut keep) = (false, false);
        let (mut length, mut codings) = (None, Vec::new());
        for (name, value) in &self.response.headers {
            if name.eq_ignore_ascii_case("connection") {
                close |= tokens(value).any(|token| token.eq_ignore_ascii_case(b"close"));
                keep |= tokens(value).any(|token| token.eq_ignore_ascii_case(b"keep-alive"));
            } else if name.eq_ignore_ascii_case("content-length") {
                let this = number(value).ok_or_else(|| {
                    let told = format!("its Content-Length `{}` is no number", shown(value));
                    ExchangeError::Malformed(told)
                })?;
                if length.is_some_and(|before| before != this) {
                    return Err(malformed("it has two lengths that differ", head));
                }
                length = Some(this);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                codings.extend(tokens(value));
            }
        }
        self.keeps_alive = !close && (is_1_1 || keep);
        if !codings.is_empty() {
            // Two readers would end the body at two places, which is how answers are smuggled.
            if length.is_some() {
                let why = "it has both Transfer-Encoding and Content-Length";
                return Err(malformed(why, head));
            }
            if !is_1_1 {
                return Err(malformed("it has a Transfer-Encoding under HTTP/1.0", head));
            }
            if codings.len() != 1
                || !codings.first().is_some_and(|c| c.eq_ignore_ascii_case(b"chunked"))
            {
                let told = shown(&codings.join(&b", "[..]));
                let told = format!("its Transfer-Encoding is `{told}`, only `chunked` is read");
                return Err(ExchangeError::Malformed(told));
            }
        }
        let status = self.response.status;
        let tunnel = self.method_is_connect && (200..300).contains(&status);
        self.state = if self.method_is_head || tunnel || matches!(status, 101 | 204 | 304) {
            // After 101 the connection speaks another protocol.
            self.keeps_alive &= status != 101;
            State::Complete
        } else if !codings.is_empty() {
            State::ChunkSize
        } else if let Some(length) = length {
            match usize::try_from(length) {
                Ok(0) => State::Complete,
                Ok(left) if left <= self.limits.body => State::Length { left },
                _ => return Err(too_large(self.limits.body)),
            }
        } else {
            self.keeps_alive = false;
            State::UntilClose
        };
        Ok(())
    }

    /// What lies within a body may be a secret that nobody knows as one yet, so it is told by its length
    /// and place alone.
    fn bad_body(&self, why: &str, seen: usize) -> ExchangeError {
        let at = self.response.body.len();
        ExchangeError::Malformed(format!("{why}: {seen} bytes, behind {at} bytes of the body"))
    }

    /// Takes at most `left` bytes of a body.
    fn body(&mut self, bytes: &[u8], left: usize) -> Result<usize, ExchangeError> {
        let taken = bytes.len().min(left);
        if taken > self.limits.body.saturating_sub(self.response.body.len()) {
            return Err(too_large(self.limits.body));
        }
        self.response.body.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        Ok(taken)
    }

    fn chunk_size(&mut self, bytes: &[u8]) -> Result<usize, ExchangeError> {
        let end = memchr(b'\n', bytes);
        let taken = end.map_or(bytes.len(), |at| at + 1);
        if taken > MAX_CHUNK_LINE - self.pending.len().min(MAX_CHUNK_LINE) {
            return Err(self.bad_body("a chunk's size is longer than 4096 bytes", taken));
        }
        self.pending.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        if end.is_none() {
            return Ok(taken);
        }
        let line = std::mem::take(&mut self.pending);
        let bad = || self.bad_body("a chunk has no size", line.len());
        let text = line.strip_suffix(b"\r\n").ok_or_else(bad)?;
        let size = text.split(|b| *b == b';').next().unwrap_or_default().trim_ascii_end();
        if size.is_empty() || size.len() > 16 {
            return Err(bad());
        }
        let size = size
            .iter()
            .try_fold(0u64, |sum, digit| {
                char::from(*digit).to_digit(16).map(|digit| (sum << 4) | u64::from(digit))
            })
            .ok_or_else(bad)?;
        let room = self.limits.body.saturating_sub(self.response.body.len());
        self.state = match usize::try_from(size) {
            Ok(0) => State::Trailers,
            Ok(left) if left <= room => State::Chunk { left },
            _ => return Err(too_large(self.limits.body)),
        };
        Ok(taken)
    }

    fn chunk_end(&mut self, bytes: &[u8], seen: usize) -> Result<usize, ExchangeError> {
        if bytes.first() != b"\r\n".get(seen) {
            return Err(self.bad_body("a chunk is longer than its size", bytes.len()));
        }
        self.state = if seen == 1 { State::ChunkSize } else { State::ChunkEnd { seen: 1 } };
        Ok(1)
    }

    /// Trailers are read and left out: merging them into the headers is what RFC 9110, section
    /// 6.5.1, warns of.
    fn trailers(&mut self, bytes: &[u8]) -> Result<usize, ExchangeError> {
        let end = memchr(b'\n', bytes);
        let taken = end.map_or(bytes.len(), |at| at + 1);
        if taken > self.limits.head.saturating_sub(self.pending.len()) {
            return Err(too_large(self.limits.head));
        }
        self.pending.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        let ends =
            |end: &[u8]| self.pending == end || self.pending.ends_with(&[b"\n", end].concat());
        if end.is_none() || !(ends(b"\r\n") || ends(b"\n")) {
            return Ok(taken);
        }
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        match httparse::parse_headers(&self.pending, &mut headers) {
            Ok(httparse::Status::Complete(_)) => {}
            _ => return Err(self.bad_body("its trailers are no headers", self.pending.len())),
        }
        self.pending.clear();
        self.state = State::Complete;
        Ok(taken)
    }
}

/// Where a head ends: behind its blank line. `from` is where to begin looking.
fn head_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(found) = memchr(b'\n', bytes.get(at..)?) {
        at += found + 1;
        match bytes.get(at..)? {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
    None
}

/// Digits alone: a sign or a blank is read differently by others.
fn number(value: &[u8]) -> Option<u64> {
    let value = value.trim_ascii();
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // More digits than 64 bits hold are a number all the same, and too large.
    Some(std::str::from_utf8(value).ok()?.parse().unwrap_or(u64::MAX))
}

fn too_large(limit: usize) -> ExchangeError {
    ExchangeError::TooLarge(u64::try_from(limit).unwrap_or(u64::MAX))
}

/// Of a head only its first line is shown: the others set cookies and carry tokens.
fn malformed(why: &str, head: &[u8]) -> ExchangeError {
    ExchangeError::Malformed(format!("{why}: {}", status_line(head)))
}

fn status_line(head: &[u8]) -> String {
    let line = head.split(|b| *b == b'\n').next().unwrap_or_default();
    format!("`{}`", shown(line.trim_ascii_end()))
}

fn no_http(seen: &[u8]) -> ExchangeError {
    let why = match seen {
        [0x15, 3, ..] => "the server speaks TLS; write `https://`",
        [_, _, _, 4, ..] => "the server speaks HTTP/2; ask for that",
        _ => "it does not begin with `HTTP/1.`",
    };
    malformed(why, seen)
}

/// Names the header that no head may hold; its value is left out.
fn bad_head(error: httparse::Error, head: &[u8]) -> ExchangeError {
    let why = match error {
        httparse::Error::TooManyHeaders => {
            return ExchangeError::Malformed(format!("it has more than {MAX_HEADERS} headers"));
        }
        httparse::Error::HeaderName => "a header's name is none",
        httparse::Error::HeaderValue => "a header's value holds what none may",
        httparse::Error::NewLine => "a line does not end as it must",
        httparse::Error::Status => "its status is none",
        httparse::Error::Version => "its version is neither HTTP/1.0 nor HTTP/1.1",
        httparse::Error::Token => "it holds what no head may",
    };
    let lines = || head.split_inclusive(|b| *b == b'\n');
    let is_header = |line: &[u8]| {
        let mut one = [httparse::EMPTY_HEADER; 1];
        httparse::parse_headers(&[line, b"\r\n"].concat(), &mut one).is_ok()
    };
    let of_status = !matches!(error, httparse::Error::HeaderName | httparse::Error::HeaderValue);
    let bad = if of_status { None } else { lines().skip(1).find(|line| !is_header(line)) };
    match bad {
        Some(line) if error == httparse::Error::HeaderName => {
            // A line without a colon is no name; what it is nobody knows.
            let name = line.split(|b| *b == b':').next().filter(|name| name.len() < line.len());
            let name = name.map_or_else(String::new, |name| format!(": `{}`", shown(name)));
            let n = lines().take_while(|one| *one != line).count();
            ExchangeError::Malformed(format!("{why}, in line {}{name}", n + 1))
        }
        Some(line) => {
            let name = line.split(|b| *b == b':').next().unwrap_or_default();
            ExchangeError::Malformed(format!("{why}: `{}`", shown(name)))
        }
        None => malformed(why, head),
    }
}

/// The first bytes, printable.
fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 64;
    let mut text = bytes.get(..MOST).unwrap_or(bytes).escape_ascii().to_string();
    if bytes.len() > MOST {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests;
