//! Separated values below a line of names.

use super::draft::{Draft, Fault};
use super::{Context, stamp};
use crate::siem::record::Kind;

/// The names in the first line.
#[derive(Debug, Default)]
pub(super) struct Columns {
    names: Vec<String>,
    separator: u8,
}

/// Columns of a table; the widest that real exports have are some hundreds.
const MOST: usize = 4_096;

impl Columns {
    /// Takes the first line as the names; `None` where that is done.
    pub(super) fn header(&mut self, line: &str) -> Option<Result<(), Fault>> {
        if !self.names.is_empty() {
            return None;
        }
        self.separator = separator(line);
        let mut rest = Some(line);
        while let Some(text) = rest {
            let (name, after) = match cell(text, self.separator) {
                Ok(cell) => cell,
                Err(why) => return Some(Err(why)),
            };
            let name: String = name.replace("\"\"", "\"");
            self.names.push(name.split_ascii_whitespace().collect());
            if self.names.len() > MOST {
                self.names.truncate(1);
                return Some(Err("more than 4096 columns".into()));
            }
            rest = after;
        }
        Some(Ok(()))
    }

    /// Reads one line of values.
    pub(super) fn parse<'l>(
        &'l self,
        line: &'l str,
        context: &Context,
        draft: &mut Draft<'l>,
    ) -> Result<(), Fault> {
        draft.raw = line;
        let mut rest = Some(line);
        let mut count = 0;
        for name in &self.names {
            let Some(text) = rest else { break };
            let (value, after) = cell(text, self.separator)?;
            rest = after;
            count += 1;
            let value = undoubled(value, draft)?;
            let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
            draft.push(name, value, if digits { Kind::Number } else { Kind::Text })?;
        }
        if rest.is_some() || count < self.names.len() {
            let names = self.names.len();
            let met = if rest.is_some() { "more".to_owned() } else { count.to_string() };
            return Err(format!(
                "{names} values are expected, as the first line says; {met} are here"
            )
            .into());
        }
        draft.time = TIMES.iter().find_map(|name| {
            let text = draft.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name));
            let text = text?.value.text;
            stamp::iso(text, context.zone).map(|(time, _)| time).or_else(|| stamp::epoch(text))
        });
        let told = |name: &str| draft.first(name).unwrap_or_default();
        let source = (told("product"), told("category"), told("service"));
        if !source.0.is_empty() || !source.1.is_empty() {
            (draft.log_source.product, draft.log_source.category, draft.log_source.service) =
                source;
        }
        Ok(())
    }
}

/// Columns that tell the time, the surest first.
const TIMES: [&str; 9] = [
    "@timestamp",
    "timestamp",
    "time",
    "ts",
    "datetime",
    "date",
    "TimeCreated",
    "TimeGenerated",
    "_time",
];

/// Whether a line can be a table's names: several, each begun by a letter and none with what
/// sentences and values have.
pub(super) fn recognises(line: &str) -> bool {
    let separator = separator(line);
    let mut count = 0;
    let mut rest = Some(line);
    while let Some(text) = rest {
        let Ok((name, after)) = cell(text, separator) else { return false };
        let begins =
            name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b"_@".contains(&b));
        let word = |b: u8| b.is_ascii_alphanumeric() || b"_-.@ /()#%".contains(&b) || b >= 0x80;
        if !begins || !name.bytes().all(word) || name.len() > 64 {
            return false;
        }
        count += 1;
        rest = after;
    }
    count >= 3
}

/// The separator that a line has most of.
fn separator(line: &str) -> u8 {
    let count = |byte: u8| line.bytes().filter(|b| *b == byte).count();
    let (comma, semicolon, tab) = (count(b','), count(b';'), count(b'\t'));
    if tab > comma && tab > semicolon {
        b'\t'
    } else if semicolon > comma {
        b';'
    } else {
        b','
    }
}

/// The first cell, quotes taken off but doubled ones left, and what follows its separator.
fn cell(text: &str, separator: u8) -> Result<(&str, Option<&str>), Fault> {
    const OPEN: Fault = Fault::Borrowed("a quoted value does not end");
    const AFTER: Fault = Fault::Borrowed("something follows a value's closing quote");
    let bytes = text.as_bytes();
    let Some(inner) = text.strip_prefix('"') else {
        return Ok(match memchr::memchr(separator, bytes) {
            Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..)),
            None => (text, None),
        });
    };
    let mut at = 0;
    loop {
        at += memchr::memchr(b'"', inner.as_bytes().get(at..).unwrap_or_default()).ok_or(OPEN)?;
        match inner.as_bytes().get(at + 1) {
            Some(b'"') => at += 2,
            Some(next) if *next == separator => {
                return Ok((inner.get(..at).unwrap_or_default(), inner.get(at + 2..)));
            }
            None => return Ok((inner.get(..at).unwrap_or_default(), None)),
            Some(_) => return Err(AFTER),
        }
    }
}

fn undoubled<'l>(value: &'l str, draft: &mut Draft<'l>) -> Result<&'l str, Fault> {
    if !value.contains("\"\"") {
        return Ok(value);
    }
    let mut out = draft.arena.writer();
    for (n, piece) in value.split("\"\"").enumerate() {
        if n > 0 {
            out.push("\"");
        }
        out.push(piece);
    }
    out.finish()
}
