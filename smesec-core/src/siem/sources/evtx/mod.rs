//! EVTX, Windows' binary event log: chunks of 64 KiB, each readable by itself.
//!
//! An event is a template (elements and attributes with holes) and the values for its holes. Templates
//! are compiled once a chunk into flat lists of named fields, so that reading an event is going
//! through its values. Every offset is taken from the file and none is trusted.
//!
//! Source: the EVTX format as documented by the libevtx project, and MS-EVEN6 (binary XML).

mod bytes;
mod template;
mod value;

#[cfg(test)]
mod tests;

use super::draft::{Draft, Fault};
use super::{stamp, windows};
use bytes::Bytes;
use memchr::memmem;
use template::Templates;

/// What is known of the chunk that is being read.
#[derive(Debug, Default)]
pub(super) struct Log {
    templates: Templates,
}

/// The way through a chunk.
#[derive(Debug)]
pub(super) struct Events {
    at: usize,
    end: usize,
    damaged: Option<Fault>,
}

/// One event within its chunk, or what is broken in its place.
#[derive(Debug)]
pub(super) struct Event {
    at: usize,
    size: usize,
    broken: Option<Fault>,
}

impl Event {
    pub(super) fn size(&self) -> usize {
        self.size
    }
}

/// Whether nothing stands here. Most of a log is often chunks that were never written, so this goes
/// by blocks.
fn blank(bytes: &[u8]) -> bool {
    let (blocks, rest) = bytes.as_chunks::<64>();
    blocks.iter().all(|block| *block == [0; 64]) && rest.iter().all(|byte| *byte == 0)
}

/// The chunk's own header, with the tables of names and templates.
const CHUNK_HEADER: usize = 512;
/// An event's header: magic, size, number, time.
const EVENT_HEADER: usize = 24;
const MAGIC: &[u8] = b"**\0\0";

impl Events {
    /// The next event of the chunk. A gap of damaged bytes is told once, and what follows is found by
    /// its magic.
    pub(super) fn next(&mut self, chunk: &[u8]) -> Option<Event> {
        let broken = |at: usize, why: Fault| Some(Event { at, size: 0, broken: Some(why) });
        if let Some(why) = self.damaged.take() {
            return broken(0, why);
        }
        let at = self.at;
        // Unused space at the end of a chunk is zeros or what was there before.
        if at + EVENT_HEADER > self.end {
            return None;
        }
        let bytes = Bytes(chunk);
        let size =
            bytes.u32(at + 4).and_then(|size| usize::try_from(size).ok()).unwrap_or_default();
        let whole = bytes.slice(at, 4) == Some(MAGIC)
            && size > EVENT_HEADER + 4
            && bytes.u32((at + size).saturating_sub(4)) == bytes.u32(at + 4);
        if whole {
            self.at = at + size;
            return Some(Event { at, size, broken: None });
        }
        let rest = chunk.get(at + 4..self.end).unwrap_or_default();
        if let Some(next) = memmem::find(rest, MAGIC) {
            self.at = at + 4 + next;
            return broken(at, "damaged bytes in place of an event".into());
        }
        let left = chunk.get(at..self.end).unwrap_or_default();
        self.at = self.end;
        if blank(left) { None } else { broken(at, "an event that is cut off".into()) }
    }
}

impl Log {
    /// Begins a chunk.
    pub(super) fn open(&mut self, chunk: &[u8]) -> Events {
        self.templates.clear();
        let chunk = Bytes(chunk);
        let free = chunk.u32(48).and_then(|free| usize::try_from(free).ok());
        let end = free.filter(|free| (CHUNK_HEADER..=chunk.0.len()).contains(free));
        let mut damaged = None;
        if !chunk.0.starts_with(b"ElfChnk\0") && !blank(chunk.0) {
            damaged = Some("a chunk of the event log is damaged; what can be read of it is".into());
        }
        Events { at: CHUNK_HEADER, end: end.unwrap_or(chunk.0.len()), damaged }
    }

    /// Prepares and reads one event.
    pub(super) fn prepare(&mut self, chunk: &[u8], event: &Event) -> Result<(), Fault> {
        if let Some(why) = &event.broken {
            return Err(why.clone());
        }
        self.templates.prepare(Bytes(chunk), event.at + EVENT_HEADER, event.at + event.size - 4)
    }

    /// Reads one event that has been prepared.
    pub(super) fn read<'l>(
        &'l self,
        chunk: &'l [u8],
        event: &Event,
        draft: &mut Draft<'l>,
    ) -> Result<(), Fault> {
        self.templates.emit(Bytes(chunk), draft)?;
        windows::conclude(draft);
        if draft.time.is_none() {
            draft.time = Bytes(chunk).u64(event.at + 16).and_then(stamp::filetime);
        }
        if draft.fields.is_empty() {
            return Err("an event without any element".into());
        }
        Ok(())
    }
}
