//! A record under the program's eyes: its fields by slot, its values folded once.

use super::moment;
use crate::siem::compile::{
    ANYWHERE, Asks, Atom, Fields, LiteralSet, NONE, Program, Slot, TextTest, fold_into, hash,
};
use crate::siem::names::same;
use crate::siem::record::{Kind, Record};
use crate::siem::sigma::{Anchor, Comparison};
use std::net::IpAddr;

/// No field.
const END: u32 = u32::MAX;

/// Places of the memory of names. Records of a source have the same names at the same places.
const REMEMBERED: usize = 512;
/// Longer names are looked up each time.
const NAME: usize = 29;

/// What is known of the record in hand; kept from record to record for its memory.
#[derive(Debug)]
pub(super) struct View {
    /// By slot: the number of the record that was last seen with it, its first and last field.
    heads: Vec<Head>,
    /// By field: the next field of the same slot, where its folded text lies.
    fields: Vec<FieldView>,
    /// The fields that rules know, with their slots.
    known: Vec<(usize, Slot)>,
    folded: String,
    raw_folded: Option<(usize, usize)>,
    number: u32,
    names: Vec<Remembered>,
}

/// A name that was met, where it is compared without a further look at memory.
#[derive(Clone, Copy, Debug)]
struct Remembered {
    slot: Slot,
    length: u8,
    name: [u8; NAME],
}

#[derive(Clone, Copy, Debug, Default)]
struct Head {
    number: u32,
    first: u32,
    last: u32,
}

#[derive(Clone, Copy, Debug)]
struct FieldView {
    next: u32,
    folded: (u32, u32),
}

impl View {
    pub(super) fn new(slots: usize) -> Self {
        Self {
            heads: vec![Head::default(); slots],
            fields: Vec::new(),
            known: Vec::new(),
            folded: String::new(),
            raw_folded: None,
            number: 0,
            names: vec![Remembered { slot: NONE, length: 0, name: [0; NAME] }; REMEMBERED],
        }
    }

    /// Takes the next record in hand.
    pub(super) fn take(&mut self, record: &Record<'_>, fields: &Fields) {
        self.number = self.number.wrapping_add(1);
        if self.number == 0 {
            self.heads.fill(Head::default());
            self.number = 1;
        }
        self.fields.clear();
        self.known.clear();
        self.folded.clear();
        self.raw_folded = None;
        self.fields.resize(record.fields.len(), FieldView { next: END, folded: (END, 0) });
        for (at, field) in record.fields.iter().enumerate() {
            if !fields.may_know(field.name) {
                continue;
            }
            let slot = self.slot(at, field.name, fields);
            if slot != NONE {
                self.known.push((at, slot));
                self.chain(slot, u32::try_from(at).unwrap_or(END));
            }
        }
    }

    /// The slot of a name, by memory of its place where that serves.
    fn slot(&mut self, at: usize, name: &str, fields: &Fields) -> Slot {
        let bytes = name.as_bytes();
        let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return NONE };
        let place = at * 7 + name.len() + usize::from(*first) * 31 + usize::from(*last) * 17;
        let Some(known) = self.names.get_mut(place % REMEMBERED) else { return NONE };
        if known.name.get(..usize::from(known.length)).is_some_and(|known| same(known, bytes)) {
            return known.slot;
        }
        let slot = fields.slot(name).unwrap_or(NONE);
        if let (Some(room), Ok(length)) =
            (known.name.get_mut(..bytes.len()), u8::try_from(bytes.len()))
        {
            room.copy_from_slice(bytes);
            known.length = length;
            known.slot = slot;
        }
        slot
    }

    fn chain(&mut self, slot: Slot, field: u32) {
        let Some(head) = self.heads.get_mut(usize::from(slot)) else { return };
        if head.number == self.number {
            let last = std::mem::replace(&mut head.last, field);
            if let Some(before) = self.fields.get_mut(last as usize) {
                before.next = field;
            }
        } else {
            *head = Head { number: self.number, first: field, last: field };
        }
    }

    /// Lets a field of the rules mean one of the record's, unless the record has it itself.
    pub(super) fn alias(&mut self, of_rule: Slot, of_record: Slot) {
        let Some(head) = self.heads.get(usize::from(of_record)).copied() else { return };
        if head.number == self.number
            && let Some(to) = self.heads.get_mut(usize::from(of_rule))
            && to.number != self.number
        {
            *to = head;
        }
    }

    /// The slots that the record has through aliases only.
    pub(super) fn first(&self, slot: Slot) -> Option<usize> {
        let head = self.heads.get(usize::from(slot))?;
        (head.number == self.number).then_some(head.first as usize)
    }

    pub(super) fn next(&self, field: usize) -> Option<usize> {
        let next = self.fields.get(field)?.next;
        (next != END).then_some(next as usize)
    }

    /// One after another, the fields that rules know, with their slots.
    pub(super) fn known(&self, at: usize) -> Option<(usize, Slot)> {
        self.known.get(at).copied()
    }

    /// A field's text, folded.
    pub(super) fn folded(&mut self, field: usize, record: &Record<'_>) -> &str {
        let Some(view) = self.fields.get_mut(field) else { return "" };
        if view.folded.0 == END {
            let text = record.fields.get(field).map_or("", |field| field.value.text);
            let from = self.folded.len();
            fold_into(text, &mut self.folded);
            let place = |at: usize| u32::try_from(at).unwrap_or(END - 1);
            view.folded = (place(from), place(self.folded.len()));
        }
        let (from, to) = view.folded;
        self.folded.get(from as usize..to as usize).unwrap_or_default()
    }

    /// The raw line, folded.
    pub(super) fn raw(&mut self, record: &Record<'_>) -> &str {
        let (from, to) = if let Some(place) = self.raw_folded {
            place
        } else {
            let from = self.folded.len();
            fold_into(record.raw, &mut self.folded);
            self.raw_folded = Some((from, self.folded.len()));
            (from, self.folded.len())
        };
        self.folded.get(from..to).unwrap_or_default()
    }

    /// A field's folded text, or the raw line's behind the last field.
    pub(super) fn folded_or_raw(&mut self, value: usize, record: &Record<'_>) -> &str {
        if value < record.fields.len() { self.folded(value, record) } else { self.raw(record) }
    }

    /// Asks an atom of the record.
    pub(super) fn ask(&mut self, atom: &Atom, record: &Record<'_>) -> bool {
        match &atom.asks {
            Asks::Exists => return self.first(atom.slot).is_some(),
            Asks::Null => {
                let mut field = self.first(atom.slot);
                if field.is_none() {
                    return true;
                }
                while let Some(at) = field {
                    if record.fields.get(at).is_some_and(|f| f.value.kind == Kind::Null) {
                        return true;
                    }
                    field = self.next(at);
                }
                return false;
            }
            _ => {}
        }
        if atom.slot == ANYWHERE {
            let fields = 0..record.fields.len();
            return fields.into_iter().any(|field| self.ask_value(atom, field, record))
                || self.ask_raw(&atom.asks, record);
        }
        let mut field = self.first(atom.slot);
        while let Some(at) = field {
            if self.ask_value(atom, at, record) {
                return true;
            }
            field = self.next(at);
        }
        false
    }

    fn ask_value(&mut self, atom: &Atom, field: usize, record: &Record<'_>) -> bool {
        let Some(value) = record.fields.get(field).map(|field| field.value) else { return false };
        if value.kind == Kind::Null {
            return false;
        }
        match &atom.asks {
            Asks::Field { other, anchor, cased } => {
                self.relates(field, *other, *anchor, *cased, record)
            }
            asks => match value_fits(asks, value.text) {
                Some(fits) => fits,
                None => folded_fits(asks, self.folded(field, record)),
            },
        }
    }

    fn ask_raw(&mut self, asks: &Asks, record: &Record<'_>) -> bool {
        if record.raw.is_empty() {
            return false;
        }
        match value_fits(asks, record.raw) {
            Some(fits) => fits,
            None => folded_fits(asks, self.raw(record)),
        }
    }

    fn relates(
        &mut self,
        field: usize,
        other: Slot,
        anchor: Anchor,
        cased: bool,
        record: &Record<'_>,
    ) -> bool {
        let text = |field: usize| record.fields.get(field).map_or("", |field| field.value.text);
        let stands = |value: &str, wanted: &str| match anchor {
            Anchor::Whole => value == wanted,
            Anchor::Start => value.starts_with(wanted),
            Anchor::End => value.ends_with(wanted),
            Anchor::Anywhere => memchr::memmem::find(value.as_bytes(), wanted.as_bytes()).is_some(),
        };
        let mut next = self.first(other);
        while let Some(at) = next {
            let there = record.fields.get(at).is_some_and(|f| f.value.kind != Kind::Null);
            let holds = there
                && if cased {
                    stands(text(field), text(at))
                } else if anchor == Anchor::Whole && text(field).is_ascii() && text(at).is_ascii() {
                    text(field).eq_ignore_ascii_case(text(at))
                } else {
                    // Rare enough that two copies are cheaper than keeping both borrowed.
                    let wanted = self.folded(at, record).to_owned();
                    stands(self.folded(field, record), &wanted)
                };
            if holds {
                return true;
            }
            next = self.next(at);
        }
        false
    }
}

/// Whether a value fits what is asked of it as it stands; `None` where it has to be folded first.
pub(in crate::siem) fn value_fits(asks: &Asks, text: &str) -> Option<bool> {
    Some(match asks {
        Asks::Text(TextTest::Any) => true,
        Asks::Text(_) | Asks::Set(_) => return None,
        Asks::Cased(test) => test.fits(text),
        Asks::Regex(regex) => regex.is_match(text),
        Asks::Cidr(network) => {
            text.trim().parse::<IpAddr>().is_ok_and(|address| network.holds(address))
        }
        Asks::Number(comparison, wanted) => {
            text.trim().parse::<f64>().is_ok_and(|number| compares(number, *comparison, *wanted))
        }
        Asks::Time(part, comparison, wanted) => moment::part(text, *part)
            .is_some_and(|number| compares(number as f64, *comparison, *wanted)),
        Asks::Field { .. } | Asks::Exists | Asks::Null => false,
    })
}

/// Whether a folded value fits.
pub(in crate::siem) fn folded_fits(asks: &Asks, folded: &str) -> bool {
    match asks {
        Asks::Text(test) => test.fits(folded),
        Asks::Set(set) => set_fits(set, folded),
        _ => false,
    }
}

fn set_fits(set: &LiteralSet, folded: &str) -> bool {
    let mut fits = false;
    let mut last = END;
    let mut look = |number: u32| {
        if !fits && number != last {
            last = number;
            fits = set.tests.get(number as usize).is_some_and(|test| test.fits(folded));
        }
    };
    set.index.present.iter().for_each(|number| look(*number));
    set.index.candidates(folded.as_bytes(), &mut look);
    fits
}

#[expect(clippy::float_cmp, reason = "a rule that says equal means equal")]
fn compares(number: f64, comparison: Comparison, wanted: f64) -> bool {
    match comparison {
        Comparison::Equal => number == wanted,
        Comparison::Above => number > wanted,
        Comparison::AtLeast => number >= wanted,
        Comparison::Below => number < wanted,
        Comparison::AtMost => number <= wanted,
    }
}

/// Bytes that name what decides about a record's log sources, for the memory of lanes.
pub(super) fn origin_of(view: &View, record: &Record<'_>, program: &Program, key: &mut Vec<u8>) {
    key.clear();
    let source = &record.log_source;
    for word in [source.product, source.category, source.service] {
        key.extend_from_slice(word.as_bytes());
        key.push(0);
    }
    for looked_at in &program.looked_at {
        let Some(field) = view.first(looked_at.slot) else {
            key.push(1);
            continue;
        };
        let text = record.fields.get(field).map_or("", |field| field.value.text);
        // No row asks for a longer value; that it is there is all that counts.
        if looked_at.value && text.len() <= 200 {
            key.extend_from_slice(text.as_bytes());
        }
        key.push(2);
    }
}

/// A hash that also hangs on a number.
pub(super) fn hash_with(bytes: &[u8], number: u32) -> u64 {
    hash(bytes) ^ u64::from(number).wrapping_mul(0xa076_1d64_78bd_642f)
}
