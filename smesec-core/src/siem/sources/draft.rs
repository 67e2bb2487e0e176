//! What a reader writes a record into: fields borrowed from the line, and an arena for what had to
//! be changed.

use crate::decode::body::json::{plain_run, stops};
use crate::siem::record::{Field, Kind, LogSource, Record, Value};
use crate::time::Timestamp;
use std::borrow::Cow;

/// Why a line is no record.
pub(super) type Fault = Cow<'static, str>;

/// A record in the making. It lives as long as its line; the memory behind it lives in [`Memory`].
pub(super) struct Draft<'l> {
    pub(super) fields: Vec<Field<'l>>,
    pub(super) arena: Arena<'l>,
    pub(super) log_source: LogSource<'l>,
    pub(super) time: Option<Timestamp>,
    pub(super) number: Option<u64>,
    pub(super) raw: &'l str,
    /// How many equal events it stands for.
    pub(super) times: u32,
    most: usize,
}

/// Memory that is used again for every record.
#[derive(Debug, Default)]
pub(super) struct Memory {
    slab: Vec<u8>,
    fields: Vec<Field<'static>>,
}

/// The emptied vector of a draft that is done with.
pub(super) struct Spent(Vec<Field<'static>>);

/// Text that does not stand in the line as it is meant: unescaped, joined, decoded.
pub(super) struct Arena<'l> {
    free: &'l mut [u8],
    /// When less than this is free, names that were joined before are looked for.
    scarce: usize,
}

/// A piece of the arena that is being written.
pub(super) struct Writer<'a, 'l> {
    arena: &'a mut Arena<'l>,
    at: usize,
    full: bool,
}

pub(super) const TOO_MANY_FIELDS: Fault =
    Cow::Borrowed("more fields than the limit; raise `fields` or split the event");
pub(super) const ARENA_FULL: Fault =
    Cow::Borrowed("its decoded text is many times longer than the event; it is not kept");

impl Memory {
    /// A draft over this memory for an event of `bytes` bytes; hand what is
    /// spent of it back to [`Memory::keep`].
    pub(super) fn draft(&mut self, bytes: usize, most: usize) -> Draft<'_> {
        // Three times the event holds any unescaping (a UTF-16 unit becomes three bytes at most);
        // the rest is for joined names. What still does not fit is refused, so an event cannot ask
        // for more memory than this.
        let size = bytes.saturating_mul(4).saturating_add(16 << 10);
        if self.slab.len() < size {
            self.slab.resize(size, 0);
        }
        Draft {
            fields: recycled(std::mem::take(&mut self.fields)),
            arena: Arena { free: &mut self.slab, scarce: size / 2 },
            log_source: LogSource::default(),
            time: None,
            number: None,
            raw: "",
            times: 1,
            most,
        }
    }

    /// Takes the vector back, and gives up what one huge event made it grow to.
    pub(super) fn keep(&mut self, spent: Spent) {
        const KEPT: usize = 1 << 20;
        self.fields = spent.0;
        self.fields.shrink_to(1 << 12);
        if self.slab.len() > KEPT {
            self.slab = Vec::new();
        }
    }
}

/// The same allocation for another lifetime: collecting an emptied vector's iterator into a vector
/// of the same layout keeps its memory.
fn recycled<'b>(mut fields: Vec<Field<'_>>) -> Vec<Field<'b>> {
    fields.clear();
    fields.into_iter().map(|_| Field { name: "", value: Value::text("") }).collect()
}

impl<'l> Draft<'l> {
    /// Adds a text field.
    pub(super) fn text(&mut self, name: &'l str, text: &'l str) -> Result<(), Fault> {
        self.push(name, text, Kind::Text)
    }

    /// Adds a text field unless its text is empty or the dash that logs write for nothing.
    pub(super) fn text_if_any(&mut self, name: &'l str, text: &'l str) -> Result<(), Fault> {
        if text.is_empty() || text == "-" { Ok(()) } else { self.text(name, text) }
    }

    /// Adds a field whose text is a number if it consists of digits.
    pub(super) fn number(&mut self, name: &'l str, text: &'l str) -> Result<(), Fault> {
        if text.is_empty() || text == "-" {
            return Ok(());
        }
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        self.push(name, text, if digits { Kind::Number } else { Kind::Text })
    }

    /// Adds a field.
    #[inline]
    pub(super) fn push(&mut self, name: &'l str, text: &'l str, kind: Kind) -> Result<(), Fault> {
        if self.fields.len() >= self.most {
            return Err(TOO_MANY_FIELDS);
        }
        self.fields.push(Field { name, value: Value { text, kind } });
        Ok(())
    }

    /// The first text under a name, so far.
    pub(super) fn first(&self, name: &str) -> Option<&'l str> {
        self.fields.iter().find(|field| field.name == name).map(|field| field.value.text)
    }

    /// A name as rules write it: without blanks.
    pub(super) fn name(&mut self, name: &'l str) -> Result<&'l str, Fault> {
        if !name.bytes().any(|byte| byte.is_ascii_whitespace()) {
            return Ok(name);
        }
        let mut out = self.arena.writer();
        for piece in name.split_ascii_whitespace() {
            out.push(piece);
        }
        out.finish()
    }

    /// `first`, a separator and `second` as one text.
    pub(super) fn joined(
        &mut self,
        first: &str,
        separator: &str,
        second: &str,
    ) -> Result<&'l str, Fault> {
        // A long list of objects below a long path has the same names again and again.
        if self.arena.free.len() < self.arena.scarce
            && let Some(known) = self.known(first, separator, second)
        {
            return Ok(known);
        }
        let mut out = self.arena.writer();
        out.push(first);
        out.push(separator);
        out.push(second);
        out.finish()
    }

    /// The beginning of an earlier field's name that is this text.
    #[cold]
    fn known(&self, first: &str, separator: &str, second: &str) -> Option<&'l str> {
        let length = first.len() + separator.len() + second.len();
        let names = self.fields.iter().rev().map(|field| field.name);
        names.filter_map(|name| name.get(..length)).find(|name| {
            name.strip_prefix(first).and_then(|rest| rest.strip_prefix(separator)) == Some(second)
        })
    }

    /// What to hand to [`Memory::keep`].
    pub(super) fn spent(self) -> Spent {
        Spent(recycled(self.fields))
    }

    /// The record, with what only the reader knows.
    pub(super) fn record<'r>(
        &'r self,
        origin: &'r str,
        number: u64,
        arrival: Timestamp,
    ) -> Record<'r>
    where
        'l: 'r,
    {
        Record {
            fields: &self.fields,
            log_source: self.log_source,
            time: self.time.unwrap_or(arrival),
            undated: self.time.is_none(),
            arrival,
            origin,
            number: self.number.unwrap_or(number),
            raw: self.raw,
            times: self.times,
        }
    }
}

impl<'l> Arena<'l> {
    pub(super) fn writer(&mut self) -> Writer<'_, 'l> {
        Writer { arena: self, at: 0, full: false }
    }
}

impl<'l> Writer<'_, 'l> {
    pub(super) fn push(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(super) fn char(&mut self, character: char) {
        let mut bytes = [0; 4];
        match character.encode_utf8(&mut bytes).as_bytes() {
            [only] => match self.arena.free.get_mut(self.at) {
                Some(room) => {
                    *room = *only;
                    self.at += 1;
                }
                None => self.full = true,
            },
            many => self.bytes(many),
        }
    }

    /// Copies what stands before the next quote, backslash or control character of a JSON string, and
    /// tells how much that was. Looked at and copied in one: the pieces of a path are short.
    pub(super) fn plain(&mut self, input: &[u8]) -> usize {
        let mut rest = input;
        while let Some((block, tail)) = rest.split_first_chunk::<8>()
            && let Some((_, free)) = self.arena.free.split_at_mut_checked(self.at)
            && let Some(room) = free.first_chunk_mut::<8>()
        {
            *room = *block;
            let marks = stops(u64::from_le_bytes(*block));
            if marks != 0 {
                let before = usize::try_from(marks.trailing_zeros() / 8).unwrap_or_default();
                self.at += before;
                return input.len() - rest.len() + before;
            }
            self.at += 8;
            rest = tail;
        }
        let (run, _) = plain_run(rest);
        self.bytes(rest.get(..run).unwrap_or_default());
        input.len() - rest.len() + run
    }

    /// Bytes that are UTF-8 together with their neighbours; else they are replaced at the end.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        let end = self.at.saturating_add(bytes.len());
        match self.arena.free.get_mut(self.at..end) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.at = end;
            }
            None => self.full = true,
        }
    }

    /// UTF-16 of the byte order of Windows; halves of pairs become U+FFFD.
    pub(super) fn utf16(&mut self, bytes: &[u8]) {
        let units = bytes.as_chunks::<2>().0;
        let room = self.arena.free.get_mut(self.at..).unwrap_or_default();
        let mut ascii = 0;
        for (unit, slot) in units.iter().zip(room) {
            if unit[1] != 0 || unit[0] >= 0x80 {
                break;
            }
            *slot = unit[0];
            ascii += 1;
        }
        self.at += ascii;
        let rest = units.get(ascii..).unwrap_or_default();
        for unit in char::decode_utf16(rest.iter().map(|unit| u16::from_le_bytes(*unit))) {
            self.char(unit.unwrap_or(char::REPLACEMENT_CHARACTER));
        }
    }

    /// A number's digits.
    pub(super) fn decimal(&mut self, number: u64) {
        let mut digits = [0; 20];
        let mut rest = number;
        let mut count = 0;
        for slot in digits.iter_mut().rev() {
            *slot = b'0' + u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
            count += 1;
            if rest == 0 {
                break;
            }
        }
        self.bytes(digits.get(20 - count..).unwrap_or_default());
    }

    /// Cuts trailing bytes that `drop` names.
    pub(super) fn trim_end(&mut self, drop: impl Fn(u8) -> bool) {
        while let Some(last) = self.at.checked_sub(1)
            && self.arena.free.get(last).is_some_and(|byte| drop(*byte))
        {
            self.at = last;
        }
    }

    /// The text written, which stays as long as the line.
    pub(super) fn finish(self) -> Result<&'l str, Fault> {
        if self.full {
            return Err(ARENA_FULL);
        }
        let Some((done, free)) = std::mem::take(&mut self.arena.free).split_at_mut_checked(self.at)
        else {
            return Err(ARENA_FULL);
        };
        self.arena.free = free;
        let done: &'l [u8] = done;
        // Hex and octal escapes may spell bytes that are no text.
        match std::str::from_utf8(done) {
            Ok(text) => Ok(text),
            Err(_) => self.arena.replaced(done),
        }
    }
}

impl std::fmt::Write for Writer<'_, '_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.push(text);
        Ok(())
    }
}

impl<'l> Arena<'l> {
    /// A copy in which each fault is U+FFFD.
    fn replaced(&mut self, bytes: &[u8]) -> Result<&'l str, Fault> {
        let mut out = self.writer();
        for chunk in bytes.utf8_chunks() {
            out.push(chunk.valid());
            if !chunk.invalid().is_empty() {
                out.char(char::REPLACEMENT_CHARACTER);
            }
        }
        out.finish()
    }
}
