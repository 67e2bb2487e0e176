//! The reader: pieces in, records and bad lines out.

use super::draft::{Draft, Fault, Memory, Spent};
use super::frame::{Cut, EVTX_CHUNK, Frames, Framing};
use super::keys::Keys;
use super::kinds::Kinds;
use super::utf16::Utf16;
use super::{BadLine, Context, Format, ReaderOptions, Statistics};
use super::{access, auditd, auto, cef, csv, error_log, event_xml, evtx, journal, json, syslog};
use crate::siem::record::{Field, Record};
use crate::time::Timestamp;
use std::sync::Arc;

/// Where records and bad lines go.
type Each<'a> = dyn FnMut(Result<Record<'_>, BadLine>) + 'a;

/// Reads one stream. Its memory is bounded by the longest event that the options allow.
#[derive(Debug)]
pub struct Reader {
    stream: Stream,
    encoding: Encoding,
    /// Where in the source this reader began.
    begun: u64,
    /// The beginning of an event whose end has not come.
    pub(super) held: Vec<u8>,
}

/// How a stream's text is written.
#[derive(Debug)]
enum Encoding {
    /// Not found out: the first byte has not come, or only that.
    Unknown(Option<u8>),
    /// UTF-8, or something that is no text.
    Utf8,
    Utf16(Utf16),
}

/// A place in a source from which another reader can go on: between two events, with nothing pending.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Point {
    /// Bytes before it.
    pub offset: u64,
    /// Lines before it.
    pub line: u64,
    /// What the source has turned out to be.
    pub format: Format,
}

impl Point {
    /// A point.
    pub const fn new(offset: u64, line: u64, format: Format) -> Self {
        Self { offset, line, format }
    }
}

/// Everything but the bytes.
#[derive(Debug)]
struct Stream {
    format: Format,
    /// Whether the format of the stream as a whole is settled.
    settled: bool,
    frames: Frames,
    /// Lines (or events of EVTX and of JSON that is not one a line) that are done with.
    lines: u64,
    options: ReaderOptions,
    context: Context,
    memory: Memory,
    outlet: Outlet,
    audit: auditd::Pending,
    columns: csv::Columns,
    log: evtx::Log,
    kinds: Kinds,
    keys: Keys,
}

/// Reads a whole buffer; nothing of it is copied.
///
/// ```
/// use smesec_core::siem::sources::{Format, ReaderOptions, records_of};
/// let text = b"{\"user\": \"alice\", \"from\": {\"ip\": \"192.0.2.7\"}}\n{\"user\": \n";
/// let mut names = Vec::new();
/// let statistics = records_of(Format::Json, "app.log", text, ReaderOptions::default(), &mut |line| {
///     match line {
///         Ok(record) => names.push(record.fields[1].name.to_owned()),
///         Err(bad) => assert_eq!(bad.to_string(), "app.log:2: no valid JSON at byte 9: a value is expected"),
///     }
/// });
/// assert_eq!(names, ["from.ip"]);
/// assert_eq!((statistics.records, statistics.bad), (1, 1));
/// ```
pub fn records_of(
    format: Format,
    origin: impl Into<Arc<str>>,
    bytes: &[u8],
    options: ReaderOptions,
    each: &mut impl FnMut(Result<Record<'_>, BadLine>),
) -> Statistics {
    let mut reader = Reader::new(format, origin, options);
    reader.feed(bytes, each);
    reader.finish(each);
    reader.statistics()
}

impl Reader {
    /// A reader of one stream. `origin` is the name that its records and bad lines carry.
    pub fn new(format: Format, origin: impl Into<Arc<str>>, options: ReaderOptions) -> Self {
        let context = Context { now: options.now, zone: i64::from(options.zone) };
        let stream = Stream {
            format,
            settled: !matches!(format, Format::Auto | Format::Json),
            frames: Frames::new(Framing::of(format), options.event_bytes),
            lines: 0,
            context,
            memory: Memory::default(),
            outlet: Outlet { origin: origin.into(), statistics: Statistics::default() },
            audit: auditd::Pending::default(),
            columns: csv::Columns::default(),
            log: evtx::Log::default(),
            kinds: Kinds::builtin(),
            keys: Keys::default(),
            options,
        };
        Self { stream, encoding: Encoding::Unknown(None), begun: 0, held: Vec::new() }
    }

    /// A reader that goes on at a point another one told ([`Reader::point`]); it is fed what follows.
    pub fn at(point: Point, origin: impl Into<Arc<str>>, options: ReaderOptions) -> Self {
        let mut reader = Self::new(point.format, origin, options);
        if point.offset > 0 {
            reader.stream.settled = true;
            reader.encoding = Encoding::Utf8;
        }
        reader.stream.lines = point.line;
        reader.begun = point.offset;
        reader
    }

    /// The last place from which another reader could go on, so that a host that starts anew need not
    /// read everything again. `None` while there is none: before the format is found out, within
    /// an audit event of several lines, and for sources in which what follows cannot be read without
    /// their beginning (EVTX, CSV, JSON that is not one object a line, UTF-16).
    ///
    /// ```
    /// use smesec_core::siem::sources::{Format, Reader, ReaderOptions};
    /// let mut reader = Reader::new(Format::Auto, "app.log", ReaderOptions::default());
    /// reader.feed(b"{\"n\": 1}\n{\"n\": 2}\n{\"n\"", &mut |_| {});
    /// let point = reader.point().unwrap();
    /// assert_eq!((point.offset, point.line), (18, 2));
    /// let mut next = Reader::at(point, "app.log", ReaderOptions::default());
    /// next.feed(b"{\"n\": 3}\n", &mut |line| assert_eq!(line.unwrap().number, 2));
    /// ```
    pub fn point(&self) -> Option<Point> {
        let fresh = self.stream.settled
            && self.stream.frames.is_fresh()
            && self.stream.audit.is_empty()
            && matches!(self.encoding, Encoding::Utf8);
        let done = self.stream.outlet.statistics.bytes.saturating_sub(self.held.len() as u64);
        let (offset, line) = (self.begun.saturating_add(done), self.stream.lines);
        fresh.then_some(Point { offset, line, format: self.stream.format })
    }

    /// Whether what was handed in ends within an event, so that its rest may still come: a host that goes
    /// on another time leaves such an event for then instead of calling [`Reader::finish`].
    ///
    /// ```
    /// use smesec_core::siem::sources::{Format, Reader, ReaderOptions};
    /// let mut reader = Reader::new(Format::Auto, "app.log", ReaderOptions::default());
    /// reader.feed(b"{\"n\": 1}\n{\"n\"", &mut |_| {});
    /// assert!(reader.is_within_event());
    /// reader.feed(b": 2}\n", &mut |_| {});
    /// assert!(!reader.is_within_event());
    /// ```
    pub fn is_within_event(&self) -> bool {
        self.stream.frames.begins(&self.held)
            || !self.stream.audit.is_empty()
            || self.stream.frames.missing().is_some()
            || matches!(self.encoding, Encoding::Unknown(Some(_)))
    }

    /// Hands in the next bytes and shows each event that is complete with them.
    pub fn feed(&mut self, bytes: &[u8], each: &mut impl FnMut(Result<Record<'_>, BadLine>)) {
        self.decode(bytes, each);
    }

    /// Shows an event whose fields are known already, such as a row of a table: its log source and its time are found in
    /// them as in a JSON object of the same fields, nested names joined by dots.
    ///
    /// ```
    /// use smesec_core::siem::record::{Field, Value};
    /// use smesec_core::siem::sources::{Format, Reader, ReaderOptions};
    ///
    /// let field = |name, text| Field { name, value: Value::text(text) };
    /// let row = [field("product", "shop"), field("ts", "2026-03-02T06:00:00Z")];
    /// let mut reader = Reader::new(Format::Json, "table", ReaderOptions::default());
    /// reader.row(&row, &mut |row| {
    ///     let record = row.unwrap();
    ///     assert_eq!(record.log_source.product, "shop");
    ///     assert_eq!(record.time.unix_seconds(), 1_772_431_200);
    /// });
    /// ```
    pub fn row(
        &mut self,
        fields: &[Field<'_>],
        each: &mut impl FnMut(Result<Record<'_>, BadLine>),
    ) {
        self.stream.row(fields, each);
    }

    /// Tells that no more bytes come, and shows what was waiting for its end.
    pub fn finish(&mut self, each: &mut impl FnMut(Result<Record<'_>, BadLine>)) {
        match std::mem::replace(&mut self.encoding, Encoding::Utf8) {
            Encoding::Unknown(Some(only)) => self.take(&[only], each),
            Encoding::Utf16(mut utf16) => self.take(utf16.rest().as_bytes(), each),
            _ => {}
        }
        let held = std::mem::take(&mut self.held);
        self.stream.run(&held, true, each);
        self.stream.flush(each);
        if let Some(why) = self.stream.frames.missing() {
            self.stream.edge(each).bad(why);
        }
    }

    /// Tells the time; see [`ReaderOptions::now`].
    pub fn tell(&mut self, now: Timestamp) {
        self.stream.options.now = now;
        self.stream.context.now = now;
    }

    /// What has been met so far.
    pub fn statistics(&self) -> Statistics {
        self.stream.outlet.statistics
    }

    /// The format, once it is settled; [`Format::Auto`] stays for streams whose lines are looked at
    /// one by one.
    pub fn format(&self) -> Format {
        self.stream.format
    }

    /// Brings bytes into UTF-8, where they are not.
    fn decode(&mut self, bytes: &[u8], each: &mut Each<'_>) {
        /// At a time, so that little memory is needed for it.
        const PIECE: usize = 64 << 10;
        self.stream.outlet.statistics.bytes += bytes.len() as u64;
        match &mut self.encoding {
            Encoding::Utf8 => self.take(bytes, each),
            Encoding::Utf16(_) => {
                let Encoding::Utf16(mut utf16) =
                    std::mem::replace(&mut self.encoding, Encoding::Utf8)
                else {
                    return;
                };
                for piece in bytes.chunks(PIECE) {
                    let before = utf16.replaced;
                    self.take(utf16.text(piece).as_bytes(), each);
                    self.stream.outlet.statistics.replaced += utf16.replaced - before;
                }
                self.encoding = Encoding::Utf16(utf16);
            }
            Encoding::Unknown(held) => {
                let start: Vec<u8> = held.iter().chain(bytes).copied().take(2).collect();
                if start.len() < 2 {
                    *held = start.first().copied();
                    return;
                }
                let first = held.take();
                if let Some(utf16) = Utf16::of(&start) {
                    self.encoding = Encoding::Utf16(utf16);
                    let mark = 2 - usize::from(first.is_some());
                    let rest = bytes.get(mark..).unwrap_or_default();
                    self.stream.outlet.statistics.bytes -= rest.len() as u64;
                    return self.decode(rest, each);
                }
                self.encoding = Encoding::Utf8;
                if let Some(first) = first {
                    self.take(&[first], each);
                }
                self.take(bytes, each);
            }
        }
    }

    fn take(&mut self, bytes: &[u8], each: &mut Each<'_>) {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.held.is_empty() {
                let used = self.stream.run(rest, false, each);
                self.held.extend_from_slice(rest.get(used..).unwrap_or_default());
                return;
            }
            let wanted = self.stream.frames.wanted(self.held.len(), rest);
            let (piece, after) = rest.split_at_checked(wanted.max(1)).unwrap_or((rest, &[]));
            self.held.extend_from_slice(piece);
            rest = after;
            let mut held = std::mem::take(&mut self.held);
            let used = self.stream.run(&held, false, each);
            held.drain(..used);
            // One huge event does not keep its memory.
            held.shrink_to(256 << 10);
            self.held = held;
        }
    }
}

impl Stream {
    /// Reads the events at the start of `bytes`; gives how many bytes are done with.
    fn run(&mut self, bytes: &[u8], ended: bool, each: &mut Each<'_>) -> usize {
        let mut at = 0;
        if !self.settled {
            // Blanks before the first event are done with at once: a stream of nothing else would be
            // held, and looked at again with each piece.
            // A mark of byte order stands at the start or is none.
            let mark = match self.lines {
                0 => bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes),
                _ => bytes,
            };
            let rest = mark.trim_ascii_start();
            if rest.len() < mark.len() {
                at = bytes.len() - rest.len();
                self.lines +=
                    memchr::memchr_iter(b'\n', bytes.get(..at).unwrap_or_default()).count() as u64;
            }
            if rest.is_empty() {
                return at;
            }
            let bytes = bytes.get(at..).unwrap_or_default();
            let found = auto::of_stream(self.format, bytes, ended, &self.context);
            let Some((format, framing)) = found else { return at };
            self.settled = true;
            self.format = format;
            self.frames = Frames::new(framing, self.options.event_bytes);
        }
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let used = match self.frames.next(rest, ended) {
                Cut::More => return at,
                Cut::Nothing { used } => used,
                Cut::Event { content, used } => {
                    self.event(rest.get(content).unwrap_or_default(), each);
                    self.lines += u64::from(self.frames.framing == Framing::Items);
                    used
                }
                Cut::TooLong { used } => {
                    let most = self.options.event_bytes;
                    let why = format!(
                        "longer than {most} bytes, passed over; raise `event_bytes` to read it"
                    );
                    self.edge(each).bad(why.into());
                    self.lines += u64::from(self.frames.framing == Framing::Items);
                    used
                }
            };
            self.count(rest.get(..used).unwrap_or_default());
            at += used;
        }
    }

    /// A row, which counts as a line.
    fn row(&mut self, fields: &[Field<'_>], each: &mut Each<'_>) {
        let context = self.context;
        let mut draft = self.memory.draft(0, self.options.fields);
        let done = json::row(fields, &context, &self.kinds, &mut draft);
        let spent = self.outlet.edge(self.lines, self.context.now, each).tell(done, draft);
        self.memory.keep(spent);
        self.lines += 1;
    }

    /// What waits for more lines of its event.
    fn flush(&mut self, each: &mut Each<'_>) {
        while let Some(event) = self.audit.pop(true) {
            self.audit_event(event, each);
        }
    }

    /// A line of the audit daemon's; its event is shown once it is complete.
    fn audited(&mut self, text: &str, each: &mut Each<'_>) {
        if let Err(why) = self.audit.push(text, self.lines, self.options.event_bytes) {
            self.edge(each).bad(why);
        }
        while let Some(event) = self.audit.pop(false) {
            self.audit_event(event, each);
        }
    }

    fn audit_event(&mut self, event: auditd::Event, each: &mut Each<'_>) {
        let mut draft = self.memory.draft(event.text.len(), self.options.fields);
        let done = auditd::parse(&event.text, &mut draft);
        let spent = self.outlet.edge(event.line, self.context.now, each).tell(done, draft);
        self.memory.keep(spent);
        self.audit.recycle(event);
    }

    /// A chunk of EVTX.
    fn chunk(&mut self, bytes: &[u8], each: &mut Each<'_>) {
        let told = self.outlet.statistics.bad;
        let mut events = self.log.open(bytes);
        while let Some(event) = events.next(bytes) {
            let ready = self.log.prepare(bytes, &event);
            let mut draft = self.memory.draft(event.size(), self.options.fields);
            let done = ready.and_then(|()| self.log.read(bytes, &event, &mut draft));
            let spent = self.outlet.edge(self.lines, self.context.now, each).tell(done, draft);
            self.memory.keep(spent);
            self.lines += 1;
        }
        // Once: mostly it is an event that the cut went through.
        if bytes.len() < EVTX_CHUNK && self.outlet.statistics.bad == told {
            let why = "the event log is cut off within a chunk; copy the file again";
            self.edge(each).bad(why.into());
        }
    }

    fn edge<'s, 'e>(&'s mut self, each: &'s mut Each<'e>) -> Edge<'s, 'e> {
        self.outlet.edge(self.lines, self.context.now, each)
    }

    fn count(&mut self, done: &[u8]) {
        self.lines += match self.frames.framing {
            Framing::Evtx | Framing::Items => 0,
            Framing::Lines => u64::from(done.last() == Some(&b'\n')),
            _ => memchr::memchr_iter(b'\n', done).count() as u64,
        };
    }

    fn event(&mut self, bytes: &[u8], each: &mut Each<'_>) {
        if self.format == Format::Evtx {
            return self.chunk(bytes, each);
        }
        let bytes = match self.lines {
            0 => bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes),
            _ => bytes,
        };
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        if bytes.trim_ascii().is_empty() {
            return;
        }
        if self.format == Format::JournalExport {
            let mut draft = self.memory.draft(bytes.len(), self.options.fields);
            let done = journal::parse_export(bytes, &self.context, &mut draft);
            let spent = self.outlet.edge(self.lines, self.context.now, each).tell(done, draft);
            return self.memory.keep(spent);
        }
        if let Ok(text) = std::str::from_utf8(bytes) {
            self.text(text, each);
        } else {
            self.outlet.statistics.replaced += 1;
            self.text(&String::from_utf8_lossy(bytes), each);
        }
    }

    /// An event that is text.
    fn text(&mut self, text: &str, each: &mut Each<'_>) {
        let context = self.context;
        let patterns = self.options.patterns.clone();
        let pattern = match self.format {
            Format::Auto | Format::Pattern => patterns.as_ref().and_then(|all| all.find(text)),
            _ => None,
        };
        let format = match self.format {
            _ if pattern.is_some() => Some(Format::Pattern),
            Format::Auto => auto::of_line(text, &context),
            Format::Pattern => None,
            told => Some(told),
        };
        match format {
            Some(Format::Csv) => match self.columns.header(text) {
                None => {}
                Some(Ok(())) => return,
                Some(Err(why)) => return self.edge(each).bad(why),
            },
            Some(Format::Auditd) => return self.audited(text, each),
            _ => {}
        }
        let mut draft = self.memory.draft(text.len(), self.options.fields);
        let done = match (format, pattern) {
            (Some(Format::Json), _) => {
                json::parse(text, &context, &self.kinds, &mut self.keys, &mut draft)
            }
            (Some(Format::Syslog), _) => syslog::parse(text, &context, &mut draft),
            (Some(Format::Access), _) => access::parse(text, &context, &mut draft),
            (Some(Format::ErrorLog), _) => error_log::parse(text, &context, &mut draft),
            (Some(Format::Cef), _) => cef::parse_cef(text, &context, &mut draft),
            (Some(Format::Leef), _) => cef::parse_leef(text, &context, &mut draft),
            (Some(Format::EventXml), _) => event_xml::parse(text, &mut draft),
            (Some(Format::Csv), _) => self.columns.parse(text, &context, &mut draft),
            (Some(Format::Text), _) => {
                draft.raw = text;
                draft.text("message", text)
            }
            (_, Some(pattern)) => pattern.read(text, &context, &mut draft),
            _ => Err("no format is known for this line; name the source's format, or describe it \
                      as a pattern"
                .into()),
        };
        let spent = self.outlet.edge(self.lines, self.context.now, each).tell(done, draft);
        self.memory.keep(spent);
    }
}

/// Where events leave the reader. Apart from the rest of the stream, out of which drafts may borrow.
#[derive(Debug)]
struct Outlet {
    origin: Arc<str>,
    statistics: Statistics,
}

impl Outlet {
    fn edge<'s, 'e>(
        &'s mut self,
        line: u64,
        arrival: Timestamp,
        each: &'s mut Each<'e>,
    ) -> Edge<'s, 'e> {
        Edge { outlet: self, line, arrival, each }
    }
}

/// Where one event leaves it.
struct Edge<'s, 'e> {
    outlet: &'s mut Outlet,
    /// From 0.
    line: u64,
    arrival: Timestamp,
    each: &'s mut Each<'e>,
}

impl Edge<'_, '_> {
    /// Shows what came of an event, and gives back what its draft was written in.
    fn tell(&mut self, done: Result<(), Fault>, draft: Draft<'_>) -> Spent {
        match done {
            Ok(()) => {
                self.outlet.statistics.records += 1;
                (self.each)(Ok(draft.record(&self.outlet.origin, self.line, self.arrival)));
            }
            Err(why) => self.bad(why),
        }
        draft.spent()
    }

    fn bad(&mut self, why: Fault) {
        self.outlet.statistics.bad += 1;
        let origin = Arc::clone(&self.outlet.origin);
        (self.each)(Err(BadLine { origin, line: self.line + 1, why }));
    }
}
