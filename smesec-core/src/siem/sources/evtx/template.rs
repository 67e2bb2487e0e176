//! Templates: binary XML compiled into lists of named fields, and events read through them.

use super::super::draft::{Draft, Fault};
use super::super::windows;
use super::bytes::Bytes;
use super::value::{Slot, push_utf16};
use std::collections::HashMap;
use std::ops::Range;

/// Elements open at once, and events within values within events.
const DEPTH: usize = 32;
/// What the templates of one chunk may hold; a chunk of 64 KiB cannot hold more honest ones.
const PIECES: usize = 16_384;
/// Bytes of their names and texts; a name is told in four bytes and read in 64 KiB, so that this is
/// looked at after each.
const TEXT: usize = PIECES * 64;
/// Tokens compiled for one chunk: each takes a byte of it at least, and templates that overlap
/// would be read again at every offset.
const TOKENS: usize = 65_536;
/// What reading one event may cost in pieces, parts and blocks of [`BLOCK`] bytes of its values:
/// templates within values name templates again, and each such level multiplies the pieces.
const STEPS: usize = PIECES;
const BLOCK: usize = 64;

const CUT: Fault = Fault::Borrowed("an event whose XML is cut off");
const DEEP: Fault = Fault::Borrowed("an event nested deeper than 32");
const MANY: Fault = Fault::Borrowed("an event log with templates beyond any real one's");
const LONG: Fault =
    Fault::Borrowed("an event whose templates name one another more often than any real one's");

/// All templates of a chunk, and the event that is being read.
#[derive(Debug, Default)]
pub(super) struct Templates {
    /// By the offset of their first token.
    known: HashMap<usize, Option<Range<usize>>>,
    pieces: Vec<Piece>,
    parts: Vec<Part>,
    text: String,
    /// Tokens compiled so far.
    tokens: usize,
    slots: Vec<Slot>,
    calls: Vec<Call>,
}

/// One field of a template: an attribute, or an element's text.
#[derive(Debug, Clone)]
struct Piece {
    name: Name,
    parts: Range<usize>,
    /// The value without which Windows leaves the element out.
    needs: Option<u16>,
}

#[derive(Debug, Clone)]
enum Name {
    /// A slice of the templates' text.
    Told(Range<usize>),
    /// The value of a hole: `<Data Name="%3">`.
    Hole(u16),
}

#[derive(Debug, Clone)]
enum Part {
    /// A slice of the templates' text.
    Text(Range<usize>),
    /// A hole, by the number of its value.
    Hole(u16),
}

/// A template with its values.
#[derive(Debug, Clone)]
struct Call {
    pieces: Range<usize>,
    slots: Range<usize>,
}

/// An element that is open while a template is compiled.
struct Element {
    name: Range<usize>,
    /// Another name by its `Name` attribute.
    data: Option<Name>,
    needs: Option<u16>,
    parts: Vec<Part>,
}

impl Templates {
    /// Begins a chunk.
    pub(super) fn clear(&mut self) {
        self.known.clear();
        self.pieces.clear();
        self.parts.clear();
        self.text.clear();
        self.tokens = 0;
    }

    /// Finds the values of the event at `at` and compiles the templates that it uses.
    pub(super) fn prepare(&mut self, chunk: Bytes<'_>, at: usize, end: usize) -> Result<(), Fault> {
        self.slots.clear();
        self.calls.clear();
        self.fragment(chunk, at, end, 0).map(|_| ())
    }

    /// A fragment: a template with values, or an element as it stands. Gives the number of its call.
    fn fragment(
        &mut self,
        chunk: Bytes<'_>,
        at: usize,
        end: usize,
        depth: usize,
    ) -> Result<Option<usize>, Fault> {
        if depth >= DEPTH {
            return Err(DEEP);
        }
        let mut at = at;
        while at < end && chunk.u8(at) == Some(0x0f) {
            at += 4;
        }
        if at >= end {
            return Ok(None);
        }
        match chunk.u8(at).ok_or(CUT)? {
            0x0c => self.instance(chunk, at + 1, end, depth).map(Some),
            0x01 | 0x41 => {
                let pieces = self.template(chunk, at, end, depth == 0)?;
                self.calls.push(Call { pieces, slots: 0..0 });
                Ok(Some(self.calls.len() - 1))
            }
            _ => Ok(None),
        }
    }

    fn instance(
        &mut self,
        chunk: Bytes<'_>,
        at: usize,
        end: usize,
        depth: usize,
    ) -> Result<usize, Fault> {
        let definition = chunk.offset(at + 5).ok_or(CUT)?;
        let mut values = at + 9;
        let size = chunk.offset(definition.saturating_add(20)).ok_or(CUT)?;
        let start = definition.saturating_add(24);
        // The first event that uses a template carries it.
        if definition == values {
            values = start.saturating_add(size);
        }
        let pieces = self.template(chunk, start, start.saturating_add(size), true)?;

        let count = chunk.offset(values).ok_or(CUT)?;
        let mut at = values.saturating_add(4).saturating_add(count.saturating_mul(4));
        if at > end {
            return Err(CUT);
        }
        let first = self.slots.len();
        for n in 0..count {
            let descriptor = values + 4 + n * 4;
            let size = chunk.u16(descriptor).ok_or(CUT)?;
            let kind = chunk.u8(descriptor + 2).ok_or(CUT)?;
            self.slots.push(Slot { at, size, kind, call: None });
            at = at.saturating_add(usize::from(size));
            if at > end {
                return Err(CUT);
            }
        }
        let slots = first..self.slots.len();
        self.calls.push(Call { pieces, slots: slots.clone() });
        let call = self.calls.len() - 1;
        for n in slots {
            let Some(slot) = self.slots.get(n).copied().filter(|slot| slot.kind == 0x21) else {
                continue;
            };
            let end = slot.at + usize::from(slot.size);
            let inner = self.fragment(chunk, slot.at, end, depth + 1)?;
            if let Some(slot) = self.slots.get_mut(n) {
                slot.call = inner;
            }
        }
        Ok(call)
    }

    /// The pieces of the template whose tokens lie from `at`, compiled at its first use.
    fn template(
        &mut self,
        chunk: Bytes<'_>,
        at: usize,
        end: usize,
        dependencies: bool,
    ) -> Result<Range<usize>, Fault> {
        if let Some(known) = self.known.get(&at) {
            return known.clone().ok_or(CUT);
        }
        let (first, parts, text) = (self.pieces.len(), self.parts.len(), self.text.len());
        let done = self.compile(chunk, at, end.min(chunk.0.len()), dependencies);
        let pieces = done.is_ok().then_some(first..self.pieces.len());
        if pieces.is_none() {
            // One broken template takes no room from the others of its chunk.
            self.pieces.truncate(first);
            self.parts.truncate(parts);
            self.text.truncate(text);
        }
        // A broken template is looked at once, however many events name it.
        self.known.insert(at, pieces.clone());
        done?;
        pieces.ok_or(CUT)
    }

    fn compile(
        &mut self,
        chunk: Bytes<'_>,
        at: usize,
        end: usize,
        dependencies: bool,
    ) -> Result<(), Fault> {
        let mut at = at;
        let mut open: Vec<Element> = Vec::new();
        // The attribute whose value is being read: its name, and its parts.
        let mut attribute: Option<(Range<usize>, Vec<Part>)> = None;
        while at < end {
            let token = chunk.u8(at).ok_or(CUT)?;
            at += 1;
            self.tokens += 1;
            if self.tokens > TOKENS {
                return Err(MANY);
            }
            let plain = token & 0x3f;
            if matches!(plain, 0x01..=0x04 | 0x06)
                && let Some((name, parts)) = attribute.take()
            {
                self.attribute(open.last_mut().ok_or(CUT)?, name, parts)?;
            }
            match plain {
                0x00 => break,
                0x01 => {
                    if open.len() >= DEPTH {
                        return Err(DEEP);
                    }
                    let mut needs = open.last().and_then(|parent| parent.needs);
                    if dependencies {
                        let told = chunk.u16(at).ok_or(CUT)?;
                        needs = if told == u16::MAX { needs } else { Some(told) };
                        at += 2;
                    }
                    // The size of the element, which its end token tells as well.
                    at += 4;
                    let name = self.name(chunk, &mut at)?;
                    if token & 0x40 != 0 {
                        at += 4;
                    }
                    open.push(Element { name, data: None, needs, parts: Vec::new() });
                }
                0x02 => {}
                0x03 | 0x04 => {
                    let element = open.pop().ok_or(CUT)?;
                    self.close(element)?;
                    if open.is_empty() {
                        break;
                    }
                }
                0x06 => {
                    let name = self.name(chunk, &mut at)?;
                    attribute = Some((name, Vec::new()));
                }
                0x05 | 0x07 | 0x08 | 0x09 | 0x0d | 0x0e => {
                    let part = self.part(chunk, plain, &mut at)?;
                    match (&mut attribute, open.last_mut()) {
                        (Some((_, parts)), _) => parts.push(part),
                        (None, Some(element)) => element.parts.push(part),
                        (None, None) => return Err(CUT),
                    }
                }
                // A processing instruction's target, then its text: neither is a field.
                0x0a => {
                    let _target = self.name(chunk, &mut at)?;
                }
                0x0b => {
                    at += 2 + usize::from(chunk.u16(at).ok_or(CUT)?) * 2;
                }
                0x0f => at += 3,
                _ => return Err("an event with an unknown token in its XML".into()),
            }
        }
        // A template that ends early still has the fields that came before.
        while let Some(element) = open.pop() {
            self.close(element)?;
        }
        Ok(())
    }

    /// A piece of text or a hole.
    fn part(&mut self, chunk: Bytes<'_>, token: u8, at: &mut usize) -> Result<Part, Fault> {
        let from = self.text.len();
        match token {
            0x05 | 0x07 => {
                // A text has a type before its length, which can only be that of strings.
                *at += usize::from(token == 0x05);
                let size = usize::from(chunk.u16(*at).ok_or(CUT)?) * 2;
                push_utf16(&mut self.text, chunk.slice(*at + 2, size).ok_or(CUT)?);
                *at += 2 + size;
            }
            0x08 => {
                let unit = u32::from(chunk.u16(*at).ok_or(CUT)?);
                self.text.push(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER));
                *at += 2;
            }
            0x09 => {
                let name = self.name(chunk, at)?;
                let character = match self.text.get(name).unwrap_or_default() {
                    "amp" => "&",
                    "lt" => "<",
                    "gt" => ">",
                    "quot" => "\"",
                    "apos" => "'",
                    _ => "",
                };
                self.text.truncate(from);
                self.text.push_str(character);
            }
            _ => {
                let hole = chunk.u16(*at).ok_or(CUT)?;
                *at += 3;
                return Ok(Part::Hole(hole));
            }
        }
        self.fits()?;
        Ok(Part::Text(from..self.text.len()))
    }

    fn fits(&self) -> Result<(), Fault> {
        if self.text.len() > TEXT { Err(MANY) } else { Ok(()) }
    }

    /// A name by its offset; where that is the place itself, the name stands here and is passed over.
    fn name(&mut self, chunk: Bytes<'_>, at: &mut usize) -> Result<Range<usize>, Fault> {
        let offset = chunk.offset(*at).ok_or(CUT)?;
        *at += 4;
        let (units, size) = chunk.name(offset).ok_or(CUT)?;
        if offset == *at {
            *at += size;
        }
        let from = self.text.len();
        push_utf16(&mut self.text, units);
        self.fits()?;
        Ok(from..self.text.len())
    }

    fn attribute(
        &mut self,
        element: &mut Element,
        name: Range<usize>,
        parts: Vec<Part>,
    ) -> Result<(), Fault> {
        let told = self.text.get(name.clone()).unwrap_or_default();
        let own = self.text.get(element.name.clone()).unwrap_or_default();
        if told.starts_with("xmlns") || matches!(own, "Event" | "EventData" | "UserData") {
            return Ok(());
        }
        if told == "Name" && matches!(own, "Data" | "ComplexData") {
            element.data = match parts.as_slice() {
                [Part::Hole(hole)] => Some(Name::Hole(*hole)),
                [Part::Text(text)] => {
                    let from = self.text.len();
                    let told = self.text.get(text.clone()).unwrap_or_default();
                    let bare: String = told.split_ascii_whitespace().collect();
                    self.text.push_str(&bare);
                    Some(Name::Told(from..self.text.len()))
                }
                _ => None,
            };
            return Ok(());
        }
        let joined = format!("{own}_{told}");
        let from = self.text.len();
        self.text.push_str(&joined);
        self.piece(Name::Told(from..self.text.len()), parts, element.needs)
    }

    fn close(&mut self, element: Element) -> Result<(), Fault> {
        if element.parts.is_empty() {
            return Ok(());
        }
        let name = element.data.unwrap_or(Name::Told(element.name));
        self.piece(name, element.parts, element.needs)
    }

    fn piece(&mut self, name: Name, parts: Vec<Part>, needs: Option<u16>) -> Result<(), Fault> {
        // They grow by what the file says, so they are bounded; the parts are by the tokens.
        if self.pieces.len() >= PIECES {
            return Err(MANY);
        }
        self.fits()?;
        let from = self.parts.len();
        self.parts.extend(parts);
        self.pieces.push(Piece { name, parts: from..self.parts.len(), needs });
        Ok(())
    }

    /// Adds the fields of the event that was prepared.
    pub(super) fn emit<'l>(&'l self, chunk: Bytes<'l>, draft: &mut Draft<'l>) -> Result<(), Fault> {
        let mut steps = STEPS;
        match self.calls.first() {
            Some(call) => self.call(chunk, call, draft, 0, &mut steps),
            None => Err("an event without content".into()),
        }
    }

    fn call<'l>(
        &'l self,
        chunk: Bytes<'l>,
        call: &'l Call,
        draft: &mut Draft<'l>,
        depth: usize,
        steps: &mut usize,
    ) -> Result<(), Fault> {
        if depth >= DEPTH {
            return Err(DEEP);
        }
        let slots = self.slots.get(call.slots.clone()).unwrap_or_default();
        let slot = |hole: u16| slots.get(usize::from(hole)).filter(|slot| slot.kind != 0);
        for piece in self.pieces.get(call.pieces.clone()).unwrap_or_default() {
            spend(steps, 1 + piece.parts.len())?;
            if piece.needs.is_some_and(|needs| slot(needs).is_none()) {
                continue;
            }
            let name = match &piece.name {
                Name::Told(range) => self.text.get(range.clone()).unwrap_or_default(),
                Name::Hole(hole) => match slot(*hole) {
                    Some(slot) => {
                        spend(steps, usize::from(slot.size) / BLOCK)?;
                        let name = slot.text(chunk, draft)?;
                        draft.name(name)?
                    }
                    None => "Data",
                },
            };
            match self.parts.get(piece.parts.clone()).unwrap_or_default() {
                [Part::Hole(hole)] => {
                    let Some(slot) = slot(*hole) else { continue };
                    if let Some(inner) = slot.call.and_then(|inner| self.calls.get(inner)) {
                        self.call(chunk, inner, draft, depth + 1, steps)?;
                    } else if slot.kind != 0x21 {
                        spend(steps, usize::from(slot.size) / BLOCK)?;
                        slot.field(name, chunk, draft)?;
                        if name == windows::TIME && draft.time.is_none() {
                            draft.time = slot.time(chunk);
                        }
                    }
                }
                [Part::Text(text)] => {
                    draft.text(name, self.text.get(text.clone()).unwrap_or_default())?;
                }
                parts => {
                    let mut texts = Vec::with_capacity(parts.len());
                    for part in parts {
                        texts.push(match part {
                            Part::Text(text) => self.text.get(text.clone()).unwrap_or_default(),
                            Part::Hole(hole) => match slot(*hole) {
                                Some(slot) => {
                                    spend(steps, usize::from(slot.size) / BLOCK)?;
                                    slot.text(chunk, draft)?
                                }
                                None => "",
                            },
                        });
                    }
                    let mut out = draft.arena.writer();
                    for text in texts {
                        out.push(text);
                    }
                    let text = out.finish()?;
                    draft.text(name, text)?;
                }
            }
        }
        Ok(())
    }
}

fn spend(steps: &mut usize, cost: usize) -> Result<(), Fault> {
    *steps = steps.checked_sub(cost).ok_or(LONG)?;
    Ok(())
}
