//! A stream's bytes cut into events, whatever pieces they come in.

use super::Format;
use super::draft::Fault;
use super::items::Items;
use memchr::{memchr, memchr2, memmem};
use std::ops::Range;

/// The header of an EVTX file, then one chunk after another.
const EVTX_HEADER: usize = 4_096;
pub(super) const EVTX_CHUNK: usize = 65_536;

/// How events are told apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Framing {
    /// By newlines.
    Lines,
    /// By newlines outside quotes.
    Csv,
    /// By `</Event>`.
    Xml,
    /// By blank lines, where binary fields tell their length.
    Journal,
    /// By the brackets of JSON.
    Items,
    /// By fixed sizes.
    Evtx,
}

impl Framing {
    pub(super) const fn of(format: Format) -> Self {
        match format {
            Format::Csv => Self::Csv,
            Format::EventXml => Self::Xml,
            Format::JournalExport => Self::Journal,
            Format::Evtx => Self::Evtx,
            _ => Self::Lines,
        }
    }

    /// What ends an event that is passed over.
    const fn end(self) -> &'static [u8] {
        match self {
            Self::Xml => b"</Event>",
            Self::Journal => b"\n\n",
            Self::Items => b"",
            _ => b"\n",
        }
    }
}

/// What the next bytes are.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Cut {
    /// An event within these bytes, and how many are done with.
    Event { content: Range<usize>, used: usize },
    /// Nothing, and how many bytes are done with.
    Nothing { used: usize },
    /// An event beyond the limit begins, and how many bytes of it are done with.
    TooLong { used: usize },
    /// More bytes are needed.
    More,
}

/// What an EVTX file's header promises.
#[derive(Clone, Copy, Default, Debug)]
struct Evtx {
    /// How many chunks follow, where the header is sure of it.
    chunks: u64,
    seen: u64,
    /// The file ended within its header.
    cut: bool,
}

impl Evtx {
    /// By a file's header: at byte 42 the number of chunks; bit 0 of the flags at byte 120 marks a log that
    /// is being written, whose header lags behind.
    fn of(header: &[u8]) -> Self {
        let at = |at: usize| header.get(at..).and_then(|rest| rest.first_chunk::<2>());
        let number = |bytes: Option<&[u8; 2]>| bytes.map_or(0, |two| u16::from_le_bytes(*two));
        let dirty = number(at(120)) & 1 == 1;
        let chunks = if dirty { 0 } else { u64::from(number(at(42))) };
        Self { chunks, seen: 0, cut: header.len() < EVTX_HEADER }
    }
}

/// Where in the next event the search has come to, so that no byte is looked at once a piece.
#[derive(Debug)]
pub(super) struct Frames {
    pub(super) framing: Framing,
    limit: usize,
    scanned: usize,
    quoted: bool,
    skipping: bool,
    header_seen: bool,
    evtx: Evtx,
    /// Bytes in which quotes do not count: one that never closed was met there.
    plain: usize,
    items: Items,
}

impl Frames {
    pub(super) fn new(framing: Framing, limit: usize) -> Self {
        let (quoted, skipping, header_seen) = (false, false, false);
        let (items, evtx) = (Items::default(), Evtx::default());
        Self { framing, limit, scanned: 0, quoted, skipping, header_seen, evtx, plain: 0, items }
    }

    /// Whether an event has begun in bytes that no event was cut from.
    pub(super) fn begins(&self, bytes: &[u8]) -> bool {
        match self.framing {
            Framing::Xml => begins_event(bytes),
            Framing::Evtx => !bytes.is_empty(),
            _ => !bytes.trim_ascii().is_empty(),
        }
    }

    /// What an EVTX file that ends here lacks.
    pub(super) fn missing(&self) -> Option<Fault> {
        let Evtx { chunks, seen, cut } = self.evtx;
        if cut {
            return Some("the event log is cut off within its header; copy the file again".into());
        }
        (seen < chunks).then(|| {
            format!(
                "the event log is cut off: its header counts {chunks} chunks, and {seen} are there; copy the \
                 file again"
            )
            .into()
        })
    }

    /// Whether what follows can be cut without what came before.
    pub(super) fn is_fresh(&self) -> bool {
        !self.skipping && matches!(self.framing, Framing::Lines | Framing::Xml | Framing::Journal)
    }

    /// How many of `next` to add to the `held` bytes of an event that has begun, so that little
    /// more than its end is copied.
    pub(super) fn wanted(&self, held: usize, next: &[u8]) -> usize {
        const PIECE: usize = 64 << 10;
        let wanted = match self.framing {
            Framing::Lines => memchr(b'\n', next).map_or(next.len(), |at| at + 1),
            Framing::Evtx => {
                let whole = if self.header_seen { EVTX_CHUNK } else { EVTX_HEADER };
                whole.saturating_sub(held).max(1)
            }
            _ => PIECE,
        };
        wanted.min(next.len())
    }

    /// Looks at the bytes from where the last event ended. `ended`: no more will come.
    pub(super) fn next(&mut self, bytes: &[u8], ended: bool) -> Cut {
        if bytes.is_empty() {
            return Cut::More;
        }
        if self.skipping {
            return self.skip(bytes, ended);
        }
        // However the bytes come, only so many are looked at before an event is given up.
        let most = bytes.len().min(self.limit.saturating_add(self.framing.end().len()));
        let within = bytes.get(..most).unwrap_or_default();
        let found = match self.framing {
            Framing::Csv if self.plain > 0 => self.plain_line(within),
            Framing::Lines => line(within, self.scanned),
            Framing::Csv => self.csv(within),
            Framing::Xml => xml(within, self.scanned),
            Framing::Journal => self.journal(within),
            Framing::Items => self.items.next(within, &mut self.scanned),
            Framing::Evtx => return self.evtx(bytes, ended),
        };
        if let Some(cut) = found {
            self.begin();
            return cut;
        }
        let over = bytes.len() > self.limit;
        if (over || ended) && self.quoted && self.plain == 0 {
            // A stray quote must not take the lines that follow with it. They are cut at newlines
            // alone from here to where the quote was given up, so that each byte is looked at twice
            // at most, whatever quotes there are.
            self.begin();
            self.plain = bytes.len().min(self.limit);
            return self.next(bytes, ended);
        }
        if over {
            self.begin();
            self.plain = 0;
            self.skipping = true;
            return Cut::TooLong { used: self.limit };
        }
        if ended {
            self.begin();
            let last = Cut::Event { content: 0..bytes.len(), used: bytes.len() };
            return if self.framing == Framing::Xml && !begins_event(bytes) {
                Cut::Nothing { used: bytes.len() }
            } else {
                last
            };
        }
        if self.plain > 0
            || !matches!(self.framing, Framing::Csv | Framing::Journal | Framing::Items)
        {
            self.scanned = bytes.len().saturating_sub(self.framing.end().len() - 1);
        }
        Cut::More
    }

    fn plain_line(&mut self, bytes: &[u8]) -> Option<Cut> {
        let cut = line(bytes, self.scanned)?;
        if let Cut::Event { used, .. } = cut {
            self.plain = self.plain.saturating_sub(used);
        }
        Some(cut)
    }

    fn begin(&mut self) {
        self.scanned = 0;
        self.quoted = false;
    }

    fn skip(&mut self, bytes: &[u8], ended: bool) -> Cut {
        if self.framing == Framing::Items {
            let (used, ended) = self.items.skip(bytes);
            self.skipping = !ended;
            return Cut::Nothing { used };
        }
        let end = self.framing.end();
        if let Some(at) = memmem::find(bytes, end) {
            self.skipping = false;
            return Cut::Nothing { used: at + end.len() };
        }
        let used = if ended { bytes.len() } else { bytes.len().saturating_sub(end.len() - 1) };
        if used == 0 { Cut::More } else { Cut::Nothing { used } }
    }

    /// A quote counts where a value begins, and ends with the next one that is not doubled.
    fn csv(&mut self, bytes: &[u8]) -> Option<Cut> {
        loop {
            let rest = bytes.get(self.scanned..)?;
            let found = if self.quoted { memchr(b'"', rest) } else { memchr2(b'"', b'\n', rest) };
            let Some(found) = found else {
                self.scanned = bytes.len();
                return None;
            };
            let at = self.scanned + found;
            self.scanned = at + 1;
            if self.quoted {
                self.quoted = false;
            } else if bytes.get(at) == Some(&b'\n') {
                return Some(Cut::Event { content: 0..at, used: at + 1 });
            } else {
                // The second of a doubled quote follows the first, which closed.
                let before = at.checked_sub(1).and_then(|at| bytes.get(at));
                self.quoted = matches!(before, None | Some(b',' | b';' | b'\t' | b'"'));
            }
        }
    }

    /// `NAME=value` lines, or `NAME`, a length of eight bytes, and as many bytes; up to a blank line.
    fn journal(&mut self, bytes: &[u8]) -> Option<Cut> {
        let mut at = self.scanned;
        loop {
            let rest = bytes.get(at..)?;
            let end = memchr(b'\n', rest)?;
            if end == 0 {
                return Some(if at == 0 {
                    Cut::Nothing { used: 1 }
                } else {
                    Cut::Event { content: 0..at, used: at + 1 }
                });
            }
            at += end + 1;
            if memchr(b'=', rest.get(..end)?).is_none() {
                let length = bytes.get(at..)?.first_chunk::<8>()?;
                let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
                at = at.saturating_add(9).saturating_add(length);
                bytes.get(..at)?;
            }
            self.scanned = at;
        }
    }

    fn evtx(&mut self, bytes: &[u8], ended: bool) -> Cut {
        let size = if self.header_seen { EVTX_CHUNK } else { EVTX_HEADER };
        if bytes.len() < size && !ended {
            return Cut::More;
        }
        let used = size.min(bytes.len());
        if self.header_seen {
            // A part of a chunk is told where it is read.
            self.evtx.seen += 1;
            return Cut::Event { content: 0..used, used };
        }
        self.header_seen = true;
        self.evtx = Evtx::of(bytes.get(..used).unwrap_or_default());
        Cut::Nothing { used }
    }
}

fn line(bytes: &[u8], scanned: usize) -> Option<Cut> {
    let at = scanned + memchr(b'\n', bytes.get(scanned..)?)?;
    Some(Cut::Event { content: 0..at, used: at + 1 })
}

fn xml(bytes: &[u8], scanned: usize) -> Option<Cut> {
    const END: &[u8] = b"</Event>";
    let at = scanned + memmem::find(bytes.get(scanned..)?, END)? + END.len();
    Some(Cut::Event { content: 0..at, used: at })
}

/// Whether an event begins in bytes at the end of a stream, or only its list ends.
fn begins_event(bytes: &[u8]) -> bool {
    memmem::find_iter(bytes, b"<Event").any(|at| bytes.get(at + 6) != Some(&b's'))
}
