//! All values of a record as one text, for keywords: they look at every field and the raw line, and one
//! pass over a long text is cheaper than one over each of many short ones.

use super::view::View;
use crate::siem::record::{Kind, Record};

/// Memory that is kept from one record to the next.
const KEPT: usize = 1 << 20;

/// Stands after each value; no UTF-8 has it, so nothing is found across two values.
const BORDER: u8 = 0xff;

#[derive(Debug, Default)]
pub(super) struct Everywhere {
    text: Vec<u8>,
    /// Where each value ends, the raw line last.
    ends: Vec<usize>,
}

impl Everywhere {
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.text.shrink_to(KEPT);
        self.ends.clear();
    }

    /// The text, and where each value ends in it, counted as fields are and the raw line last; made for
    /// the first who asks. ASCII is as it stands, since the filters are blind to its case; the rest is folded.
    pub(super) fn text(&mut self, record: &Record<'_>, view: &mut View) -> (&[u8], &[usize]) {
        if self.ends.is_empty() {
            for (at, field) in record.fields.iter().enumerate() {
                let value = field.value;
                if value.kind != Kind::Null {
                    let text =
                        if value.text.is_ascii() { value.text } else { view.folded(at, record) };
                    self.text.extend_from_slice(text.as_bytes());
                }
                self.text.push(BORDER);
                self.ends.push(self.text.len());
            }
            let raw = if record.raw.is_ascii() { record.raw } else { view.raw(record) };
            self.text.extend_from_slice(raw.as_bytes());
            self.ends.push(self.text.len());
        }
        (&self.text, &self.ends)
    }
}
