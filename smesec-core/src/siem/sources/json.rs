//! JSON, one object a line: any application's, Suricata's EVE, the journal's, Windows events
//! rendered as JSON.
//!
//! Nested objects become names joined by dots, lists the same name again, numbers keep their text.
//! `{"Event": {"System": …}}` is flattened as the event itself is (see [`super::windows`]).

use super::draft::{Draft, Fault};
use super::keys::{Keys, Mark, Role};
use super::kinds::Kinds;
use super::{Context, journal, stamp, windows};
use crate::decode::body::json::{is_number, plain_run};
use crate::siem::record::{Field, Kind};
use crate::time::Timestamp;
use memchr::memmem;

/// Objects and lists open at once. The deepest that real sources nest is about a dozen.
const DEPTH: u32 = 64;

/// How far into a Windows event its `System` begins at most: after its name spaces.
const EVENT_START: usize = 256;

/// Reads one line.
pub(super) fn parse<'l>(
    line: &'l str,
    context: &Context,
    kinds: &'l Kinds,
    keys: &mut Keys,
    draft: &mut Draft<'l>,
) -> Result<(), Fault> {
    keys.begin();
    let mut scanner = Scanner { text: line, at: 0, marks: Marks::default(), keys };
    scanner.blank();
    scanner.expect(b'{')?;
    scanner.object(draft, Place::Top, DEPTH)?;
    scanner.blank();
    if scanner.at < line.len() {
        return Err(scanner.fault("something after the object; one object a line is expected"));
    }
    conclude(&scanner.marks, context, kinds, draft)
}

/// Takes in a row whose fields are known already; nulls are left out by the host.
pub(super) fn row<'l>(
    fields: &[Field<'l>],
    context: &Context,
    kinds: &'l Kinds,
    draft: &mut Draft<'l>,
) -> Result<(), Fault> {
    let mut marks = Marks::default();
    for Field { name, value } in fields {
        let name = draft.name(name)?;
        // Of a list the first value counts, as in an object.
        if draft.fields.last().is_none_or(|last| last.name != name) {
            marks.see(Role::of(name), value.text);
        }
        draft.push(name, value.text, value.kind)?;
    }
    conclude(&marks, context, kinds, draft)
}

/// Whose record it is, and of what time.
fn conclude<'l>(
    marks: &Marks<'l>,
    context: &Context,
    kinds: &Kinds,
    draft: &mut Draft<'l>,
) -> Result<(), Fault> {
    // What stands below an object, as Google's `id.time` does, is looked for only where nothing else is.
    let told = marks.time.and_then(|(_, text)| time(text, context));
    draft.time = told.or_else(|| any_time(draft, context));
    // A category alone is a word that many services write; with a product it is Sigma's.
    if !marks.product.is_empty() {
        draft.log_source.product = marks.product;
        draft.log_source.category = marks.category;
        draft.log_source.service = marks.service;
    } else if marks.windows {
        windows::conclude(draft);
    } else if marks.journal {
        journal::conclude(draft, context)?;
    } else if marks.eve {
        draft.log_source.product = "suricata";
        draft.log_source.service = "eve";
    } else if !marks.path.is_empty() {
        draft.log_source.product = "zeek";
        draft.log_source.service = marks.path;
    } else if let Some(kind) = kinds.of(draft) {
        draft.log_source = kind;
    } else {
        draft.log_source.category = marks.category;
    }
    Ok(())
}

fn time(text: &str, context: &Context) -> Option<Timestamp> {
    stamp::iso(text, context.zone)
        .map(|(time, _)| time)
        .or_else(|| stamp::epoch(text))
        .or_else(|| stamp::date(text))
        .or_else(|| stamp::common_log(text, context.zone).map(|(time, _)| time))
}

/// The best field that can be read as a time, where the best one cannot.
#[cold]
fn any_time(draft: &Draft<'_>, context: &Context) -> Option<Timestamp> {
    let ranked = draft.fields.iter().filter_map(|field| {
        let rank = Role::of(field.name).time;
        if rank == 0 {
            return None;
        }
        Some((rank, time(field.value.text, context)?))
    });
    ranked.min_by_key(|(rank, _)| *rank).map(|(_, time)| time)
}

/// What the keys of the outermost object say of the whole.
#[derive(Default)]
struct Marks<'l> {
    time: Option<(u8, &'l str)>,
    product: &'l str,
    category: &'l str,
    service: &'l str,
    /// Zeek's `_path`.
    path: &'l str,
    windows: bool,
    journal: bool,
    eve: bool,
}

impl<'l> Marks<'l> {
    fn see(&mut self, role: Role, value: &'l str) {
        match role.mark {
            Mark::None | Mark::Event => {}
            Mark::Product => self.product = value,
            Mark::Category => self.category = value,
            Mark::Service => self.service = value,
            Mark::Path => self.path = value,
            Mark::Eve => self.eve = true,
            Mark::Journal => self.journal = true,
            Mark::Windows => self.windows = true,
        }
        if role.time > 0 && self.time.is_none_or(|(best, _)| role.time < best) {
            self.time = Some((role.time, value));
        }
    }
}

/// Where a value stands; it decides its name.
#[derive(Clone, Copy)]
enum Place<'l> {
    Top,
    /// Below a field of this name.
    Below(&'l str),
    /// Within a Windows event, below an element of this name.
    Element(&'l str),
    /// The attributes of such an element.
    Attributes(&'l str),
}

struct Scanner<'l, 'k> {
    text: &'l str,
    at: usize,
    marks: Marks<'l>,
    keys: &'k mut Keys,
}

impl<'l> Scanner<'l, '_> {
    fn object(&mut self, draft: &mut Draft<'l>, place: Place<'l>, depth: u32) -> Result<(), Fault> {
        let depth = self.deeper(depth)?;
        let mut place = place;
        self.blank();
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            self.blank();
            if let Place::Top = place {
                let (name, role) = self.name(draft)?;
                self.blank();
                if role == Role::default() && self.take(b'"') {
                    let text = self.string(draft)?;
                    draft.push(name, text, Kind::Text)?;
                } else {
                    self.outermost(draft, name, role, depth)?;
                }
            } else {
                let key = self.key(draft)?;
                self.blank();
                self.member(draft, &mut place, key, depth)?;
            }
            // Most sources write no blanks.
            if self.next() == Some(b',') {
                self.at += 1;
                continue;
            }
            self.blank();
            if self.take(b'}') {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    /// A key and the colon.
    fn key(&mut self, draft: &mut Draft<'l>) -> Result<&'l str, Fault> {
        self.expect(b'"')?;
        let key = self.string(draft)?;
        self.blank();
        self.expect(b':')?;
        Ok(key)
    }

    /// A key of the outermost object as rules write it, and what it says.
    fn name(&mut self, draft: &mut Draft<'l>) -> Result<(&'l str, Role), Fault> {
        if let Some((length, role)) = self.keys.foreseen(self.rest())
            && let Some(name) = self.text.get(self.at + 1..self.at + 1 + length)
        {
            // With its quotes and the colon.
            self.at += length + 3;
            return Ok((name, role));
        }
        let start = self.at;
        let key = self.key(draft)?;
        let name = draft.name(key)?;
        let role = Role::of(name);
        self.keys.learn(self.text.get(start..self.at).unwrap_or_default(), name, role);
        Ok((name, role))
    }

    /// A value of the outermost object.
    fn outermost(
        &mut self,
        draft: &mut Draft<'l>,
        name: &'l str,
        role: Role,
        depth: u32,
    ) -> Result<(), Fault> {
        if role.mark == Mark::Event {
            // Another application's `Event` does not begin with what Windows begins with.
            let start = self.rest().get(..EVENT_START.min(self.rest().len()));
            if memmem::find(start.unwrap_or_default(), b"\"System\"").is_some() {
                return self.value(draft, name, Place::Element(""), depth);
            }
        }
        let first = draft.fields.len();
        self.value(draft, name, Place::Below(name), depth)?;
        if role != Role::default()
            && let Some(field) = draft.fields.get(first)
            // The very same text: a nested field has a joined name.
            && std::ptr::eq(field.name, name)
        {
            self.marks.see(role, field.value.text);
        }
        Ok(())
    }

    /// One key and its value.
    fn member(
        &mut self,
        draft: &mut Draft<'l>,
        place: &mut Place<'l>,
        key: &'l str,
        depth: u32,
    ) -> Result<(), Fault> {
        match *place {
            Place::Top => {
                let name = draft.name(key)?;
                self.outermost(draft, name, Role::of(name), depth)
            }
            Place::Below(above) => {
                let key = draft.name(key)?;
                let name = draft.joined(above, ".", key)?;
                self.value(draft, name, Place::Below(name), depth)
            }
            Place::Element(own) => match key {
                "#text" => self.value(draft, own, Place::Element(own), depth),
                "#attributes" => {
                    self.value(draft, own, Place::Attributes(own), depth)?;
                    // `<Data Name="x">`: the text that follows goes by that name.
                    if let Some(name) =
                        draft.fields.pop_if(|field| field.name == windows::DATA_NAME)
                    {
                        *place = Place::Element(draft.name(name.value.text)?);
                    }
                    Ok(())
                }
                _ => {
                    self.marks.windows = true;
                    let name = draft.name(key)?;
                    self.value(draft, name, Place::Element(name), depth)
                }
            },
            Place::Attributes(own) => {
                let outer = matches!(own, "" | "EventData" | "UserData");
                if outer || key.starts_with("xmlns") {
                    let kept = draft.fields.len();
                    self.value(draft, key, Place::Below(key), depth)?;
                    draft.fields.truncate(kept);
                    return Ok(());
                }
                let name = if own == "Data" && key == "Name" {
                    windows::DATA_NAME
                } else {
                    draft.joined(own, "_", key)?
                };
                self.value(draft, name, Place::Below(name), depth)?;
                if let Some(last) = draft.fields.last().filter(|last| last.name == windows::TIME) {
                    self.marks.time = Some((0, last.value.text));
                }
                Ok(())
            }
        }
    }

    fn value(
        &mut self,
        draft: &mut Draft<'l>,
        name: &'l str,
        inner: Place<'l>,
        depth: u32,
    ) -> Result<(), Fault> {
        match self.next() {
            Some(b'"') => {
                self.at += 1;
                let text = self.string(draft)?;
                draft.push(name, text, Kind::Text)
            }
            Some(b'{') => {
                self.at += 1;
                self.object(draft, inner, depth)
            }
            Some(b'[') => {
                self.at += 1;
                self.list(draft, name, inner, depth)
            }
            _ => {
                let (word, kind) = self.word()?;
                draft.push(name, word, kind)
            }
        }
    }

    fn list(
        &mut self,
        draft: &mut Draft<'l>,
        name: &'l str,
        inner: Place<'l>,
        depth: u32,
    ) -> Result<(), Fault> {
        let depth = self.deeper(depth)?;
        self.blank();
        if self.take(b']') {
            return Ok(());
        }
        loop {
            self.blank();
            self.value(draft, name, inner, depth)?;
            self.blank();
            if self.take(b']') {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    /// The text after an opening quote; the closing one is taken.
    #[inline]
    fn string(&mut self, draft: &mut Draft<'l>) -> Result<&'l str, Fault> {
        let start = self.at;
        self.at += plain_run(self.rest()).0;
        if self.next() == Some(b'"') {
            let text = self.text.get(start..self.at).unwrap_or_default();
            self.at += 1;
            return Ok(text);
        }
        self.escaped(start, draft)
    }

    /// The text from `start`, of which what stands before the place in hand is plain.
    #[inline(never)]
    fn escaped(&mut self, start: usize, draft: &mut Draft<'l>) -> Result<&'l str, Fault> {
        let mut out = draft.arena.writer();
        out.push(self.text.get(start..self.at).unwrap_or_default());
        loop {
            match self.next() {
                Some(b'"') => {
                    self.at += 1;
                    return out.finish();
                }
                Some(b'\\') => {
                    self.at += 1;
                    out.char(self.escape()?);
                }
                Some(_) => return Err(self.fault("a control character in a string")),
                None => return Err(self.fault("the line ends in a string")),
            }
            self.at += out.plain(self.rest());
        }
    }

    /// What stands after a backslash. Half a surrogate pair is U+FFFD.
    fn escape(&mut self) -> Result<char, Fault> {
        let Some(byte) = self.next() else { return Err(self.fault("the line ends in a string")) };
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'u' => {
                let unit = self.hex()?;
                let second = self.rest();
                if (0xD800..0xDC00).contains(&unit) && second.starts_with(b"\\u") {
                    let back = self.at;
                    self.at += 2;
                    let low = self.hex()?;
                    if (0xDC00..0xE000).contains(&low) {
                        let code = 0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
                        return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                    }
                    self.at = back;
                }
                char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => return Err(self.fault("an unknown escape")),
        })
    }

    fn hex(&mut self) -> Result<u32, Fault> {
        let digits = self.text.get(self.at..self.at.saturating_add(4));
        let all = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let Some(unit) = all.and_then(|digits| u32::from_str_radix(digits, 16).ok()) else {
            return Err(self.fault("`\\u` without four hexadecimal digits"));
        };
        self.at += 4;
        Ok(unit)
    }

    fn word(&mut self) -> Result<(&'l str, Kind), Fault> {
        let part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        let rest = self.rest();
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let plain = digits == 1 || digits > 1 && rest.first() != Some(&b'0');
        if plain && !rest.get(digits).is_some_and(part) {
            let number = self.text.get(self.at..self.at + digits).unwrap_or_default();
            self.at += digits;
            return Ok((number, Kind::Number));
        }
        let length = rest.iter().take_while(|byte| part(byte)).count();
        let end = self.at + length;
        let word = self.text.get(self.at..end).unwrap_or_default();
        let kind = match word {
            "true" | "false" => Kind::Bool,
            "null" => Kind::Null,
            _ if is_number(word.as_bytes()) => Kind::Number,
            _ => return Err(self.fault("a value is expected")),
        };
        self.at = end;
        Ok((if kind == Kind::Null { "" } else { word }, kind))
    }

    fn deeper(&self, depth: u32) -> Result<u32, Fault> {
        depth.checked_sub(1).ok_or_else(|| self.fault("nested deeper than 64"))
    }

    fn rest(&self) -> &'l [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn next(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.next() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        if self.take(byte) {
            return Ok(());
        }
        Err(self.fault(match byte {
            b'{' => "an object is expected",
            b'"' => "a key in quotes is expected",
            b':' => "`:` is expected",
            _ => "`,` or the end of an object or list is expected",
        }))
    }

    #[inline]
    fn blank(&mut self) {
        // One comparison where there are none, which is most often.
        while let Some(byte) = self.next()
            && byte <= b' '
            && matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
        {
            self.at += 1;
        }
    }

    #[cold]
    fn fault(&self, what: &str) -> Fault {
        format!("no valid JSON at byte {}: {what}", self.at).into()
    }
}
