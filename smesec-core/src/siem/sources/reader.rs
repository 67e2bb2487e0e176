//! The reader: pieces in, records and bad lines out.

use super::draft::{Draft, Fault, Memory, Spent};
use super::frame::{Cut, Frames, Framing};
use super::kinds::Kinds;
use super::{BadLine, Context, Format, ReaderOptions, Statistics};
use super::{access, auditd, auto, cef, csv, error_log, event_xml, evtx, journal, json, syslog};
use crate::siem::record::Record;
use crate::time::Timestamp;
use std::sync::Arc;

/// Where records and bad lines go.
type Each<'a> = dyn FnMut(Result<Record<'_>, BadLine>) + 'a;

/// Reads one stream. Its memory is bounded by the longest event that the options allow.
#[derive(Debug)]
pub struct Reader {
    stream: Stream,
    /// The beginning of an event whose end has not come.
    pub(super) held: Vec<u8>,
}

/// Everything but the bytes.
#[derive(Debug)]
struct Stream {
    format: Format,
    /// Whether the format of the stream as a whole is settled.
    settled: bool,
    frames: Frames,
    /// Lines (or events of EVTX) that are done with.
    lines: u64,
    origin: Arc<str>,
    options: ReaderOptions,
    context: Context,
    memory: Memory,
    statistics: Statistics,
    audit: auditd::Pending,
    columns: csv::Columns,
    log: evtx::Log,
    kinds: Kinds,
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
            settled: format != Format::Auto,
            frames: Frames::new(Framing::of(format), options.event_bytes),
            lines: 0,
            origin: origin.into(),
            context,
            memory: Memory::default(),
            statistics: Statistics::default(),
            audit: auditd::Pending::default(),
            columns: csv::Columns::default(),
            log: evtx::Log::default(),
            kinds: Kinds::builtin(),
            options,
        };
        Self { stream, held: Vec::new() }
    }

    /// Hands in the next bytes and shows each event that is complete with them.
    pub fn feed(&mut self, bytes: &[u8], each: &mut impl FnMut(Result<Record<'_>, BadLine>)) {
        self.take(bytes, each);
    }

    /// Tells that no more bytes come, and shows what was waiting for its end.
    pub fn finish(&mut self, each: &mut impl FnMut(Result<Record<'_>, BadLine>)) {
        let held = std::mem::take(&mut self.held);
        self.stream.run(&held, true, each);
        self.stream.flush(each);
    }

    /// Tells the time; see [`ReaderOptions::now`].
    pub fn tell(&mut self, now: Timestamp) {
        self.stream.options.now = now;
        self.stream.context.now = now;
    }

    /// What has been met so far.
    pub fn statistics(&self) -> Statistics {
        self.stream.statistics
    }

    /// The format, once it is settled; [`Format::Auto`] stays for streams whose lines are looked at
    /// one by one.
    pub fn format(&self) -> Format {
        self.stream.format
    }

    fn take(&mut self, bytes: &[u8], each: &mut Each<'_>) {
        self.stream.statistics.bytes += bytes.len() as u64;
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
            let mark = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
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
            let Some(format) = auto::of_stream(bytes, ended, &self.context) else { return at };
            self.settled = true;
            self.format = format;
            self.frames = Frames::new(Framing::of(format), self.options.event_bytes);
        }
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let used = match self.frames.next(rest, ended) {
                Cut::More => return at,
                Cut::Nothing { used } => used,
                Cut::Event { content, used } => {
                    self.event(rest.get(content).unwrap_or_default(), each);
                    used
                }
                Cut::TooLong { used } => {
                    let most = self.options.event_bytes;
                    let why = format!(
                        "longer than {most} bytes, passed over; raise `event_bytes` to read it"
                    );
                    self.edge(each).bad(why.into());
                    used
                }
            };
            self.count(rest.get(..used).unwrap_or_default());
            at += used;
        }
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
        let spent = Edge {
            origin: &self.origin,
            line: event.line,
            arrival: self.context.now,
            statistics: &mut self.statistics,
            each,
        }
        .tell(done, draft);
        self.memory.keep(spent);
        self.audit.recycle(event);
    }

    /// A chunk of EVTX.
    fn chunk(&mut self, bytes: &[u8], each: &mut Each<'_>) {
        let mut events = self.log.open(bytes);
        while let Some(event) = events.next(bytes) {
            let ready = self.log.prepare(bytes, &event);
            let mut draft = self.memory.draft(event.size(), self.options.fields);
            let done = ready.and_then(|()| self.log.read(bytes, &event, &mut draft));
            let spent = Edge {
                origin: &self.origin,
                line: self.lines,
                arrival: self.context.now,
                statistics: &mut self.statistics,
                each,
            }
            .tell(done, draft);
            self.memory.keep(spent);
            self.lines += 1;
        }
    }

    fn edge<'s, 'e>(&'s mut self, each: &'s mut Each<'e>) -> Edge<'s, 'e> {
        Edge {
            origin: &self.origin,
            line: self.lines,
            arrival: self.context.now,
            statistics: &mut self.statistics,
            each,
        }
    }

    fn count(&mut self, done: &[u8]) {
        self.lines += match self.frames.framing {
            Framing::Evtx => 0,
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
            let spent = Edge {
                origin: &self.origin,
                line: self.lines,
                arrival: self.context.now,
                statistics: &mut self.statistics,
                each,
            }
            .tell(done, draft);
            return self.memory.keep(spent);
        }
        if let Ok(text) = std::str::from_utf8(bytes) {
            self.text(text, each);
        } else {
            self.statistics.replaced += 1;
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
            (Some(Format::Json), _) => json::parse(text, &context, &self.kinds, &mut draft),
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
        let spent = Edge {
            origin: &self.origin,
            line: self.lines,
            arrival: context.now,
            statistics: &mut self.statistics,
            each,
        }
        .tell(done, draft);
        self.memory.keep(spent);
    }
}

/// Where one event leaves the reader.
struct Edge<'s, 'e> {
    origin: &'s Arc<str>,
    /// From 0.
    line: u64,
    arrival: Timestamp,
    statistics: &'s mut Statistics,
    each: &'s mut Each<'e>,
}

impl Edge<'_, '_> {
    /// Shows what came of an event, and gives back what its draft was written in.
    fn tell(&mut self, done: Result<(), Fault>, draft: Draft<'_>) -> Spent {
        match done {
            Ok(()) => {
                self.statistics.records += 1;
                (self.each)(Ok(draft.record(self.origin, self.line, self.arrival)));
            }
            Err(why) => self.bad(why),
        }
        draft.spent()
    }

    fn bad(&mut self, why: Fault) {
        self.statistics.bad += 1;
        let origin = Arc::clone(self.origin);
        (self.each)(Err(BadLine { origin, line: self.line + 1, why }));
    }
}
