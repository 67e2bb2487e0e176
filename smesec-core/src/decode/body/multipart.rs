//! `multipart/form-data` bodies (RFC 7578, RFC 2046), read as they arrive.
//!
//! A body that two parsers may read in two ways is how uploads pass a filter unseen, so whatever
//! is unusual raises a flag, named after `ModSecurity`'s `MULTIPART_*` variables, and a fault
//! does not end the reading: the parts after it are reported as a lenient application sees them.
//!
//! ```
//! use smesec_core::decode::body::multipart::{Multipart, MultipartLimits, PartEvent};
//!
//! let body = b"--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nhello\r\n--B--\r\n";
//! let mut value = Vec::new();
//! let mut each = |event: PartEvent<'_>| {
//!     if let PartEvent::Data(bytes) = event {
//!         value.extend_from_slice(bytes);
//!     }
//! };
//! let content_type = b"multipart/form-data; boundary=B";
//! let mut multipart = Multipart::new(content_type, MultipartLimits::default())?;
//! for chunk in body.chunks(7) {
//!     multipart.feed(chunk, &mut each);
//! }
//! multipart.finish(&mut each);
//! assert_eq!(value, b"hello");
//! assert!(!multipart.flags().strict_error());
//! # Ok::<(), smesec_core::decode::body::multipart::MultipartError>(())
//! ```

use super::multipart_header::{boundary, disposition};
use memchr::{memchr, memmem};

/// What a multipart body may cost; see [`Default`] for the values and their reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MultipartLimits {
    /// Parts with a file name before [`MultipartFlags::file_limit_exceeded`] is raised.
    pub files: usize,
    /// Parts of all kinds; the reading ends when there are more.
    pub parts: usize,
    /// Bytes of one header line of a part.
    pub part_header_line_bytes: usize,
    /// Bytes of all headers of one part.
    pub part_header_bytes: usize,
}

impl Default for MultipartLimits {
    fn default() -> Self {
        Self {
            // The default of `SecUploadFileLimit`.
            files: 100,
            // As many as `ModSecurity` recommends for arguments: each part is one.
            parts: 1000,
            // A longer line is refused by `ModSecurity` too; browsers send a tenth of it.
            part_header_line_bytes: 4096,
            // Four such lines: a part has two or three headers.
            part_header_bytes: 16 << 10,
        }
    }
}

/// Why a multipart body cannot be read with certainty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MultipartError {
    /// The content type is another one.
    #[error("the content type is not multipart/form-data")]
    NotMultipart,
    /// The content type names no boundary.
    #[error("the content type has no boundary")]
    BoundaryMissing,
    /// The word `boundary` stands in the content type more than once.
    #[error("the content type has more than one boundary")]
    BoundaryRepeated,
    /// The word `boundary` is not in lower case.
    #[error("the boundary parameter is not in lower case")]
    BoundaryCase,
    /// The parameters before the boundary cannot be read.
    #[error("the boundary parameter is malformed")]
    BoundaryMalformed,
    /// The boundary has a quote too many or too few.
    #[error("the boundary is not quoted properly")]
    BoundaryQuote,
    /// The boundary has a character that RFC 2046 does not allow.
    #[error("the boundary has an invalid character")]
    BoundaryCharacters,
    /// The boundary is longer than the 70 characters of RFC 2046.
    #[error("the boundary is longer than 70 characters")]
    BoundaryTooLong,
    /// The body has no boundary.
    #[error("no boundary was found in the body")]
    NoBoundaryInBody,
    /// The body ends before the final boundary.
    #[error("the final boundary is missing")]
    FinalBoundaryMissing,
    /// A line begins with the boundary but is not a delimiter.
    #[error("a boundary is followed by other data on its line")]
    BoundaryLine,
    /// A header line has no colon.
    #[error("a part header has no colon")]
    HeaderColonMissing,
    /// A header line begins with a colon.
    #[error("a part header has no name")]
    HeaderNameMissing,
    /// A NUL or a carriage return stands inside a header line.
    #[error("a part header holds a control byte")]
    HeaderControl,
    /// A continuation line has no header before it.
    #[error("a part header begins with a continuation line")]
    HeaderFolding,
    /// [`MultipartLimits::part_header_line_bytes`] or
    /// [`MultipartLimits::part_header_bytes`] was reached.
    #[error("the headers of a part are longer than the limit")]
    HeaderTooLong,
    /// [`MultipartLimits::parts`] was reached.
    #[error("the body has more parts than the limit")]
    TooManyParts,
}

/// What is unusual about a multipart body: `ModSecurity`'s `MULTIPART_*` variables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MultipartFlags {
    /// `MULTIPART_BOUNDARY_QUOTED`: the boundary is given in quotes.
    pub boundary_quoted: bool,
    /// `MULTIPART_BOUNDARY_WHITESPACE`: white space surrounds the `=` of the boundary.
    pub boundary_whitespace: bool,
    /// `MULTIPART_DATA_BEFORE`: something precedes the first boundary.
    pub data_before: bool,
    /// `MULTIPART_DATA_AFTER`: something follows the final boundary.
    pub data_after: bool,
    /// `MULTIPART_HEADER_FOLDING`: a part header is continued on a second line.
    pub header_folding: bool,
    /// `MULTIPART_INVALID_HEADER_FOLDING`: ... by other white space than a blank or a tab.
    pub invalid_header_folding: bool,
    /// `MULTIPART_LF_LINE`: a line ends in LF alone.
    pub lf_line: bool,
    /// `MULTIPART_CRLF_LF_LINES`: some lines end in CRLF, some in LF.
    pub crlf_lf_lines: bool,
    /// `MULTIPART_MISSING_SEMICOLON`: no `;` stands before the boundary parameter.
    pub missing_semicolon: bool,
    /// `MULTIPART_INVALID_QUOTING`: a parameter of a part is quoted in single quotes or badly.
    pub invalid_quoting: bool,
    /// `MULTIPART_INVALID_PART`: a part has no proper `Content-Disposition` of its own.
    pub invalid_part: bool,
    /// `MULTIPART_UNMATCHED_BOUNDARY` = 1: a line begins with `--` and is no boundary, and the
    /// body lacks its first or its final boundary.
    pub unmatched_boundary: bool,
    /// `MULTIPART_UNMATCHED_BOUNDARY` = 2: such a line stands in an otherwise complete body.
    pub boundary_like_line: bool,
    /// `MULTIPART_FILE_LIMIT_EXCEEDED`: there are more files than [`MultipartLimits::files`].
    pub file_limit_exceeded: bool,
    /// There is a [`MultipartError`]: `REQBODY_PROCESSOR_ERROR`.
    pub malformed: bool,
}

impl MultipartFlags {
    /// `MULTIPART_STRICT_ERROR`: any of the conditions that the manual lists for it, which are all
    /// but those of `MULTIPART_UNMATCHED_BOUNDARY`.
    pub fn strict_error(&self) -> bool {
        self.malformed
            || self.boundary_quoted
            || self.boundary_whitespace
            || self.data_before
            || self.data_after
            || self.header_folding
            || self.invalid_header_folding
            || self.lf_line
            || self.crlf_lf_lines
            || self.missing_semicolon
            || self.invalid_quoting
            || self.invalid_part
            || self.file_limit_exceeded
    }
}

/// One header line of a part, without its line end; a continued line is joined by one blank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartHeader {
    line: Vec<u8>,
    colon: usize,
}

impl PartHeader {
    /// The whole line, which is what `MULTIPART_PART_HEADERS` holds.
    pub fn line(&self) -> &[u8] {
        &self.line
    }

    /// What stands before the colon.
    pub fn name(&self) -> &[u8] {
        self.line.get(..self.colon).unwrap_or_default()
    }

    /// What stands after the colon, without the white space around it.
    pub fn value(&self) -> &[u8] {
        self.line.get(self.colon + 1..).unwrap_or_default().trim_ascii()
    }
}

/// What a [`Multipart`] reports, in the order of the body.
#[derive(Clone, Copy, Debug)]
pub enum PartEvent<'a> {
    /// The headers of a part are complete.
    Begin {
        /// The `name` of its `Content-Disposition`, empty if there is none.
        name: &'a [u8],
        /// The file name, from `filename` or else from `filename*`; an empty one counts as none,
        /// because it is what browsers send when no file was chosen.
        filename: Option<&'a [u8]>,
        /// All headers of the part.
        headers: &'a [PartHeader],
        /// The value of the first `Content-Type`.
        content_type: Option<&'a [u8]>,
    },
    /// Some bytes of the part that began last. How they are cut follows the chunks of the input.
    Data(&'a [u8]),
    /// The part has ended.
    End {
        /// A boundary ended it, and not the end of the body.
        complete: bool,
    },
}

/// A multipart body that arrives in chunks.
///
/// Memory is one line and the headers of one part; the data of parts is handed on as it comes,
/// without the line end that belongs to the boundary.
#[derive(Debug)]
pub struct Multipart {
    limits: MultipartLimits,
    flags: MultipartFlags,
    error: Option<MultipartError>,
    delimiter: Vec<u8>,
    state: State,
    newline: Newline,
    line: Vec<u8>,
    headers: Vec<PartHeader>,
    header_bytes: usize,
    parts: usize,
    files: usize,
    seen_crlf: bool,
    seen_like: bool,
    seen_final: bool,
    any_byte: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At the start of a line of data (or of the preamble), comparing it with the delimiter.
    Probe {
        part: bool,
    },
    /// Inside a line of data.
    Inside {
        part: bool,
    },
    /// The delimiter was seen; reading the rest of its line.
    Delimiter {
        part: bool,
    },
    Headers,
    Epilogue,
    Stopped,
}

/// The line end before the place of reading, which is data unless a boundary follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Newline {
    None,
    /// A carriage return whose line feed has not come yet.
    Cr,
    Lf,
    CrLf,
}

impl Newline {
    fn bytes(self) -> &'static [u8] {
        match self {
            Self::None => b"",
            Self::Cr => b"\r",
            Self::Lf => b"\n",
            Self::CrLf => b"\r\n",
        }
    }
}

/// White space that may pad a delimiter's line; more is no padding but an evasion.
const MAX_PADDING: usize = 256;

type Each<'e> = &'e mut dyn FnMut(PartEvent<'_>);

impl Multipart {
    /// A parser for the body whose `Content-Type` is given.
    ///
    /// # Errors
    /// [`MultipartError`] when the type is another one, or its boundary is missing or invalid.
    pub fn new(content_type: &[u8], limits: MultipartLimits) -> Result<Self, MultipartError> {
        let mut flags = MultipartFlags::default();
        let boundary = boundary(content_type, &mut flags)?;
        Ok(Self {
            limits,
            flags,
            error: None,
            delimiter: [b"--", boundary.as_slice()].concat(),
            state: State::Probe { part: false },
            newline: Newline::None,
            line: Vec::new(),
            headers: Vec::new(),
            header_bytes: 0,
            parts: 0,
            files: 0,
            seen_crlf: false,
            seen_like: false,
            seen_final: false,
            any_byte: false,
        })
    }

    /// Reads one chunk and reports what it completes.
    pub fn feed(&mut self, chunk: &[u8], each: Each<'_>) {
        self.any_byte |= !chunk.is_empty();
        let mut rest = chunk;
        while !rest.is_empty() {
            rest = match self.state {
                State::Probe { part } => self.probe(rest, part, each),
                State::Inside { part } => self.inside(rest, part, each),
                State::Delimiter { part } => self.delimiter_line(rest, part, each),
                State::Headers => self.header_bytes(rest, each),
                State::Epilogue => {
                    self.flags.data_after = true;
                    &[]
                }
                State::Stopped => &[],
            };
        }
    }

    /// Says that the body is complete. A body of no bytes at all is no error.
    pub fn finish(&mut self, each: Each<'_>) {
        match self.state {
            State::Delimiter { part } if self.line_is_final() => {
                self.end_delimiter(part, false, each);
            }
            State::Probe { part } | State::Inside { part } | State::Delimiter { part } => {
                self.give(part, &[], each);
                if part {
                    each(PartEvent::End { complete: false });
                }
            }
            State::Headers => {
                // The part never came to its data; what stands in its headers is still shown.
                if self.line.last() == Some(&b'\r') {
                    self.line.pop();
                }
                if !self.line.is_empty() {
                    self.end_header_line();
                }
                if !self.headers.is_empty() {
                    self.begin_part(each);
                    each(PartEvent::End { complete: false });
                }
            }
            State::Epilogue | State::Stopped => {}
        }
        if self.state != State::Stopped && self.any_byte && !self.seen_final {
            self.fault(if self.parts == 0 && self.state != State::Headers {
                MultipartError::NoBoundaryInBody
            } else {
                MultipartError::FinalBoundaryMissing
            });
        }
        let complete = self.seen_final && self.parts > 0;
        self.flags.unmatched_boundary = self.seen_like && !complete;
        self.flags.boundary_like_line = self.seen_like && complete;
        self.state = State::Stopped;
    }

    /// As [`finish`](Self::finish) for a body that its reader cut at a limit: what is missing is no fault of the
    /// sender's.
    pub fn finish_cut(&mut self, each: Each<'_>) {
        let (flags, error) = (self.flags, self.error);
        self.finish(each);
        (self.flags, self.error) = (flags, error);
    }

    /// What was unusual so far; the two flags of unmatched boundaries are set by
    /// [`finish`](Self::finish).
    pub fn flags(&self) -> MultipartFlags {
        self.flags
    }

    /// The first fault.
    pub fn error(&self) -> Option<&MultipartError> {
        self.error.as_ref()
    }

    fn fault(&mut self, error: MultipartError) {
        self.error.get_or_insert(error);
        self.flags.malformed = true;
    }

    /// Gives out the pending line end, the pending line and then `data`: they are no boundary.
    fn give(&mut self, part: bool, data: &[u8], each: Each<'_>) {
        if part {
            for piece in [self.newline.bytes(), &self.line, data] {
                if !piece.is_empty() {
                    each(PartEvent::Data(piece));
                }
            }
        } else if self.newline != Newline::None || !self.line.is_empty() || !data.is_empty() {
            self.flags.data_before = true;
        }
        self.newline = Newline::None;
        self.line.clear();
    }

    fn probe<'a>(&mut self, input: &'a [u8], part: bool, each: Each<'_>) -> &'a [u8] {
        let mut rest = input;
        while let Some((byte, tail)) = rest.split_first() {
            match self.delimiter.get(self.line.len()) {
                Some(wanted) if wanted == byte => {
                    self.line.push(*byte);
                    rest = tail;
                }
                Some(_) => {
                    self.seen_like |= self.line.len() >= 2;
                    self.give(part, &[], each);
                    self.state = State::Inside { part };
                    return rest;
                }
                None => {
                    self.state = State::Delimiter { part };
                    return rest;
                }
            }
        }
        if self.line.len() == self.delimiter.len() {
            self.state = State::Delimiter { part };
        }
        rest
    }

    fn inside<'a>(&mut self, input: &'a [u8], part: bool, each: Each<'_>) -> &'a [u8] {
        if self.newline == Newline::Cr {
            if let Some(tail) = input.strip_prefix(b"\n") {
                self.newline = Newline::CrLf;
                self.state = State::Probe { part };
                return tail;
            }
            self.give(part, &[], each);
        }
        // A line that begins with `--`, or else the last line end if the chunk stops too early
        // after it to tell.
        let end = memmem::find(input, b"\n--").or_else(|| {
            [1, 2].iter().find_map(|width| {
                let at = input.len().checked_sub(*width)?;
                let line_end = input.get(at..)?;
                (line_end == b"\n" || line_end == b"\n-").then_some(at)
            })
        });
        let Some((data, tail)) = end.and_then(|at| input.split_at_checked(at)) else {
            let (data, cr) = match input.split_last() {
                Some((b'\r', data)) => (data, true),
                _ => (input, false),
            };
            self.give(part, data, each);
            if cr {
                self.newline = Newline::Cr;
            }
            return &[];
        };
        let (data, newline) = match data.split_last() {
            Some((b'\r', data)) => (data, Newline::CrLf),
            _ => (data, Newline::Lf),
        };
        self.give(part, data, each);
        self.newline = newline;
        self.state = State::Probe { part };
        tail.split_first().map_or(&[], |(_, tail)| tail)
    }

    /// The rest of a delimiter's line: `--` for the last one, padding, and the line end.
    fn delimiter_line<'a>(&mut self, input: &'a [u8], part: bool, each: Each<'_>) -> &'a [u8] {
        let mut rest = input;
        while let Some((byte, tail)) = rest.split_first() {
            let after = self.line.get(self.delimiter.len()..).unwrap_or_default();
            let fits = match byte {
                b'\n' => !matches!(after, [b'-'] | [b'-', b'\r', ..]),
                _ if after.ends_with(b"\r") => false,
                b'-' => after.is_empty() || after == b"-",
                b' ' | b'\t' => after != b"-" && after.len() < MAX_PADDING,
                b'\r' => after != b"-",
                _ => false,
            };
            if !fits {
                self.fault(MultipartError::BoundaryLine);
                self.give(part, &[], each);
                self.state = State::Inside { part };
                return rest;
            }
            rest = tail;
            if *byte == b'\n' {
                self.end_delimiter(part, true, each);
                return rest;
            }
            self.line.push(*byte);
        }
        rest
    }

    fn line_is_final(&self) -> bool {
        self.line.get(self.delimiter.len()..).unwrap_or_default().starts_with(b"--")
    }

    /// `ended` says that a line feed ends the delimiter's line, and not the body.
    fn end_delimiter(&mut self, part: bool, ended: bool, each: Each<'_>) {
        let last = self.line_is_final();
        let after = self.line.get(self.delimiter.len()..).unwrap_or_default();
        let padded = after.iter().any(|byte| matches!(byte, b' ' | b'\t'));
        if ended {
            let crlf = after.ends_with(b"\r");
            self.end_line(if crlf { Newline::CrLf } else { Newline::Lf });
        }
        self.end_line(self.newline);
        if padded {
            self.fault(MultipartError::BoundaryLine);
        }
        // The line end before a boundary belongs to it: an empty part has one, and so has an empty preamble (RFC
        // 2046, section 5.1.1), which Python's Werkzeug writes.
        self.flags.invalid_part |= part && self.newline == Newline::None;
        self.newline = Newline::None;
        self.line.clear();
        if part {
            each(PartEvent::End { complete: true });
        }
        if last {
            self.seen_final = true;
            self.state = State::Epilogue;
        } else {
            self.headers.clear();
            self.header_bytes = 0;
            self.state = State::Headers;
        }
    }

    fn end_line(&mut self, newline: Newline) {
        match newline {
            Newline::CrLf => self.seen_crlf = true,
            Newline::Lf => self.flags.lf_line = true,
            Newline::None | Newline::Cr => {}
        }
        self.flags.crlf_lf_lines = self.seen_crlf && self.flags.lf_line;
    }

    fn header_bytes<'a>(&mut self, input: &'a [u8], each: Each<'_>) -> &'a [u8] {
        let end = memchr(b'\n', input);
        let (line, tail) = input.split_at(end.unwrap_or(input.len()));
        let room = self.limits.part_header_line_bytes.saturating_sub(self.line.len());
        if line.len() > room || self.header_bytes + line.len() > self.limits.part_header_bytes {
            self.fault(MultipartError::HeaderTooLong);
        }
        let kept = room.min(self.limits.part_header_bytes.saturating_sub(self.header_bytes));
        let kept = line.get(..kept).unwrap_or(line);
        self.line.extend_from_slice(kept);
        self.header_bytes += kept.len();
        let Some((_, tail)) = tail.split_first() else { return tail };
        if self.line.starts_with(&self.delimiter) {
            // A boundary where headers should go on: the part has no data.
            let line = std::mem::take(&mut self.line);
            self.enter_part(each);
            self.feed(&line, each);
            self.feed(b"\n", each);
            return tail;
        }
        if self.line.last() == Some(&b'\r') {
            self.line.pop();
            self.end_line(Newline::CrLf);
        } else {
            self.end_line(Newline::Lf);
        }
        if self.line.is_empty() {
            self.enter_part(each);
        } else {
            self.end_header_line();
        }
        tail
    }

    fn enter_part(&mut self, each: Each<'_>) {
        self.state = State::Probe { part: true };
        self.begin_part(each);
    }

    fn end_header_line(&mut self) {
        let mut line = std::mem::take(&mut self.line);
        if memchr::memchr2(0, b'\r', &line).is_some() {
            self.fault(MultipartError::HeaderControl);
        }
        if line.first().is_some_and(|byte| matches!(byte, b' ' | b'\t' | 0x0b | 0x0c)) {
            self.flags.header_folding = true;
            self.flags.invalid_header_folding |= matches!(line.first(), Some(0x0b | 0x0c));
            let Some(header) = self.headers.last_mut() else {
                return self.fault(MultipartError::HeaderFolding);
            };
            let visible = |byte: &u8| !matches!(byte, b' ' | b'\t' | 0x0b | 0x0c);
            let start = line.iter().position(visible).unwrap_or(line.len());
            header.line.push(b' ');
            header.line.extend(line.drain(start..));
            return;
        }
        let colon = memchr(b':', &line);
        if colon.is_none() {
            self.fault(MultipartError::HeaderColonMissing);
        } else if colon == Some(0) {
            self.fault(MultipartError::HeaderNameMissing);
        }
        let colon = colon.unwrap_or(line.len());
        self.headers.push(PartHeader { line, colon });
    }

    fn begin_part(&mut self, each: Each<'_>) {
        self.parts += 1;
        if self.parts > self.limits.parts {
            self.fault(MultipartError::TooManyParts);
            self.state = State::Stopped;
            return;
        }
        let named = |name: &'static [u8]| {
            self.headers
                .iter()
                .filter(move |header| header.name().trim_ascii().eq_ignore_ascii_case(name))
        };
        let mut dispositions = named(b"content-disposition");
        let first = dispositions.next();
        let read = disposition(first.map_or(&[], PartHeader::value));
        let loose = first.is_some_and(|header| header.name() != header.name().trim_ascii());
        self.flags.invalid_part |= read.invalid_part || loose || dispositions.next().is_some();
        self.flags.invalid_quoting |= read.invalid_quoting;
        let content_type = named(b"content-type").next().map(PartHeader::value);
        if read.filename.is_some() {
            self.files += 1;
            self.flags.file_limit_exceeded |= self.files > self.limits.files;
        }
        each(PartEvent::Begin {
            name: read.name.as_deref().unwrap_or_default(),
            filename: read.filename.as_deref(),
            headers: &self.headers,
            content_type,
        });
    }
}

#[cfg(test)]
#[path = "multipart_tests.rs"]
mod tests;
