//! JSON lines as records: nested names joined by dots, Windows events flattened as their reader
//! would.

use crate::siem::record::{Field, Kind, LogSource, Record, Value};
use crate::time::Timestamp;

/// How deep values may nest. 64: cloud records reach 12.
const DEPTH: usize = 64;
/// How many fields a record may have. 100,000 is far above any log's, far below what would fill
/// memory.
const FIELDS: usize = 100_000;

/// A reader of lines; what it lends lives until the next one.
#[derive(Debug, Default)]
pub(super) struct JsonLines {
    leaves: Vec<Leaf>,
    /// Unescaped texts and joined names.
    arena: String,
    /// The keys that lead to the value in hand.
    path: Vec<Text>,
    fields: Vec<Field<'static>>,
}

#[derive(Clone, Copy, Debug)]
struct Leaf {
    name: Text,
    value: Text,
    kind: Kind,
}

/// A text in the line, or in the arena.
#[derive(Clone, Copy, Debug)]
struct Text {
    from: usize,
    to: usize,
    in_arena: bool,
}

impl JsonLines {
    /// The record of a line, and the fields' vector that it borrows.
    pub(super) fn read<'l>(
        &'l mut self,
        line: &'l str,
        origin: &'l str,
        number: u64,
    ) -> Result<Lent<'l>, String> {
        self.leaves.clear();
        self.arena.clear();
        self.path.clear();
        let mut scan = Scan { line, at: 0, of: self };
        scan.blanks();
        if scan.peek() != Some(b'{') {
            return Err(scan.wrong("a record is an object; write `{`"));
        }
        scan.value(0)?;
        scan.blanks();
        if scan.at < line.len() {
            return Err(scan.wrong("more than one value on the line; write one"));
        }
        let mut lent = Lent {
            fields: recycled(std::mem::take(&mut self.fields)),
            log_source: LogSource::default(),
            time: Timestamp::default(),
            number,
            origin,
        };
        for leaf in &self.leaves {
            let text = |text: &Text| {
                let from = if text.in_arena { self.arena.as_str() } else { line };
                from.get(text.from..text.to).unwrap_or_default()
            };
            let (name, value) = (text(&leaf.name), text(&leaf.value));
            lent.learn(name, value);
            lent.fields.push(Field { name, value: Value { text: value, kind: leaf.kind } });
        }
        Ok(lent)
    }

    /// Takes a vector back, so that its memory serves the next record.
    pub(super) fn give_back(&mut self, fields: Vec<Field<'_>>) {
        self.fields = recycled(fields);
    }
}

/// The same memory for fields of another lifetime.
fn recycled<'b>(mut fields: Vec<Field<'_>>) -> Vec<Field<'b>> {
    fields.clear();
    fields.into_iter().map(|_| Field { name: "", value: Value::text("") }).collect()
}

/// What is lent of a line.
#[derive(Debug)]
pub(super) struct Lent<'l> {
    pub(super) fields: Vec<Field<'l>>,
    log_source: LogSource<'l>,
    time: Timestamp,
    number: u64,
    origin: &'l str,
}

impl<'l> Lent<'l> {
    /// The record; what the line does not say of its log source is as the host says.
    pub(super) fn record<'s>(&'s self, said: LogSource<'s>) -> Record<'s> {
        let or = |own: &'s str, said: &'s str| if own.is_empty() { said } else { own };
        let own = self.log_source;
        Record {
            fields: &self.fields,
            log_source: LogSource {
                product: or(own.product, said.product),
                category: or(own.category, said.category),
                service: or(own.service, said.service),
            },
            time: self.time,
            arrival: self.time,
            origin: self.origin,
            number: self.number,
            raw: "",
        }
    }

    fn learn(&mut self, name: &str, value: &'l str) {
        match name {
            "product" => self.log_source.product = value,
            "category" => self.log_source.category = value,
            "service" => self.log_source.service = value,
            "EventRecordID" => self.number = value.parse().unwrap_or(self.number),
            "ts" | "@timestamp" | "timestamp" | "TimeCreated_SystemTime" => {
                if let Some(time) = time(value) {
                    self.time = time;
                }
            }
            _ => {}
        }
    }
}

/// `2026-03-02T06:00:00.123456789Z`, as nearly all that write JSON write it.
pub(super) fn time(text: &str) -> Option<Timestamp> {
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let days = Timestamp::days_from_civil(number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let seconds = days * 86_400 + number(11, 13)? * 3_600 + number(14, 16)? * 60 + number(17, 19)?;
    let mut nanos = 0;
    if text.as_bytes().get(19) == Some(&b'.') {
        let digits = text.bytes().skip(20).take_while(u8::is_ascii_digit).take(9);
        let mut unit = 100_000_000;
        for digit in digits {
            nanos += i64::from(digit - b'0') * unit;
            unit /= 10;
        }
    }
    Some(Timestamp::from_unix_nanos(seconds.checked_mul(1_000_000_000)?.checked_add(nanos)?))
}

struct Scan<'s> {
    line: &'s str,
    at: usize,
    of: &'s mut JsonLines,
}

impl Scan<'_> {
    fn wrong(&self, why: &str) -> String {
        format!("column {}: {why}", self.at + 1)
    }

    fn peek(&self) -> Option<u8> {
        self.line.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        self.blanks();
        let is = self.peek() == Some(byte);
        self.at += usize::from(is);
        is
    }

    fn value(&mut self, depth: usize) -> Result<(), String> {
        if depth > DEPTH {
            return Err(self.wrong("values nest deeper than 64; flatten them"));
        }
        self.blanks();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => {
                self.at += 1;
                if self.take(b']') {
                    return Ok(());
                }
                loop {
                    self.value(depth + 1)?;
                    if self.take(b']') {
                        return Ok(());
                    }
                    if !self.take(b',') {
                        return Err(self.wrong("a list goes on with `,` or ends with `]`"));
                    }
                }
            }
            Some(b'"') => {
                let value = self.text()?;
                self.leaf(value, Kind::Text)
            }
            Some(b't') => self.word("true", Kind::Bool),
            Some(b'f') => self.word("false", Kind::Bool),
            Some(b'n') => self.word("null", Kind::Null),
            Some(b'-' | b'0'..=b'9') => {
                let from = self.at;
                while matches!(self.peek(), Some(b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')) {
                    self.at += 1;
                }
                self.leaf(Text { from, to: self.at, in_arena: false }, Kind::Number)
            }
            _ => Err(self.wrong("a value is expected here")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), String> {
        self.at += 1;
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            self.blanks();
            if self.peek() != Some(b'"') {
                return Err(self.wrong("a name in quotes is expected here"));
            }
            let name = self.text()?;
            if !self.take(b':') {
                return Err(self.wrong("`:` is expected after a name"));
            }
            self.of.path.push(name);
            self.value(depth + 1)?;
            self.of.path.pop();
            if self.take(b'}') {
                return Ok(());
            }
            if !self.take(b',') {
                return Err(self.wrong("an object goes on with `,` or ends with `}`"));
            }
        }
    }

    fn word(&mut self, word: &str, kind: Kind) -> Result<(), String> {
        let from = self.at;
        if !self.line.get(from..).unwrap_or_default().starts_with(word) {
            return Err(self.wrong("a value is expected here"));
        }
        self.at += word.len();
        let to = if kind == Kind::Null { from } else { self.at };
        self.leaf(Text { from, to, in_arena: false }, kind)
    }

    fn text(&mut self) -> Result<Text, String> {
        self.at += 1;
        let from = self.at;
        let rest = self.line.as_bytes().get(from..).unwrap_or_default();
        let open = "a text is not closed; write `\"`";
        let stop = memchr::memchr2(b'"', b'\\', rest).ok_or_else(|| self.wrong(open))?;
        if rest.get(stop) == Some(&b'"') {
            self.at = from + stop + 1;
            return Ok(Text { from, to: from + stop, in_arena: false });
        }
        let start = self.of.arena.len();
        loop {
            let rest = self.line.get(self.at..).unwrap_or_default();
            let stop =
                memchr::memchr2(b'"', b'\\', rest.as_bytes()).ok_or_else(|| self.wrong(open))?;
            self.of.arena.push_str(rest.get(..stop).unwrap_or_default());
            self.at += stop + 1;
            if rest.as_bytes().get(stop) == Some(&b'"') {
                return Ok(Text { from: start, to: self.of.arena.len(), in_arena: true });
            }
            let escape = self.peek();
            self.at += 1;
            let c = match escape {
                Some(c @ (b'"' | b'\\' | b'/')) => char::from(c),
                Some(b'n') => '\n',
                Some(b't') => '\t',
                Some(b'r') => '\r',
                Some(b'b') => '\u{8}',
                Some(b'f') => '\u{c}',
                Some(b'u') => self.unicode()?,
                _ => return Err(self.wrong("an escape is unknown; write `\\\\` for a backslash")),
            };
            self.of.arena.push(c);
        }
    }

    fn unicode(&mut self) -> Result<char, String> {
        let four = |scan: &mut Self| {
            let digits = scan.line.get(scan.at..scan.at + 4);
            let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
            scan.at += 4;
            code.ok_or_else(|| scan.wrong("four hexadecimal digits are expected after `\\u`"))
        };
        let first = four(self)?;
        if (0xd800..0xdc00).contains(&first)
            && self.line.get(self.at..).unwrap_or_default().starts_with("\\u")
        {
            let before = self.at;
            self.at += 2;
            let second = four(self)?;
            if (0xdc00..0xe000).contains(&second) {
                let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = before;
        }
        // Half of a pair is no character; other readers keep the record as well.
        Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn str(&self, text: Text) -> &str {
        let from = if text.in_arena { self.of.arena.as_str() } else { self.line };
        from.get(text.from..text.to).unwrap_or_default()
    }

    fn leaf(&mut self, value: Text, kind: Kind) -> Result<(), String> {
        if self.of.leaves.len() >= FIELDS {
            return Err(self.wrong("more than 100,000 fields; cut the record in parts"));
        }
        let name = match self.of.path.as_slice() {
            [name] if memchr::memchr(b' ', self.str(*name).as_bytes()).is_none() => *name,
            _ => self.joined(),
        };
        self.of.leaves.push(Leaf { name, value, kind });
        Ok(())
    }

    /// The name of a nested value: its keys joined by dots; for Windows events what their reader
    /// would call it.
    fn joined(&mut self) -> Text {
        let from = self.of.arena.len();
        let first = self.of.path.first().copied();
        let windows = first.is_some_and(|first| self.str(first) == "Event");
        let mut skip = 0;
        if windows {
            let second = self.of.path.get(1).map_or("", |second| self.str(*second));
            skip = match second {
                "System" | "EventData" => 2,
                "UserData" => 3,
                _ => 1,
            };
        }
        let mut joiner = ".";
        for at in skip..self.of.path.len() {
            let Some(key) = self.of.path.get(at).copied() else { break };
            let key = match self.str(key) {
                "#attributes" if windows => {
                    joiner = "_";
                    continue;
                }
                "#text" if windows => continue,
                key => key.replace(' ', ""),
            };
            if self.of.arena.len() > from {
                self.of.arena.push_str(joiner);
            }
            self.of.arena.push_str(&key);
            joiner = ".";
        }
        Text { from, to: self.of.arena.len(), in_arena: true }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test: a panic is the verdict")]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Vec<(String, String, Kind)>, String> {
        let mut reader = JsonLines::default();
        let lent = reader.read(line, "t", 0)?;
        let owned = |f: &Field<'_>| (f.name.to_owned(), f.value.text.to_owned(), f.value.kind);
        Ok(lent.fields.iter().map(owned).collect())
    }

    #[test]
    fn values_are_flattened() {
        let line = r#"{"a": 1, "b c": {"d": ["x", true, null]}, "e": "q\"\u00e9\ud83d\ude00"}"#;
        let text = |name: &str, value: &str, kind| (name.to_owned(), value.to_owned(), kind);
        assert_eq!(
            read(line).unwrap(),
            [
                text("a", "1", Kind::Number),
                text("bc.d", "x", Kind::Text),
                text("bc.d", "true", Kind::Bool),
                text("bc.d", "", Kind::Null),
                text("e", "q\"é😀", Kind::Text),
            ]
        );
    }

    #[test]
    fn windows_events_have_plain_names() {
        let line = r##"{"Event":{"System":{"Provider":{"#attributes":{"Name":"P"}},
            "EventID":{"#attributes":{"Qualifiers":1},"#text":7},"EventRecordID":9,
            "TimeCreated":{"#attributes":{"SystemTime":"2026-01-01T00:00:01.5Z"}}},
            "EventData":{"Threat Name":"T","Data":["a","b"]}}}"##;
        let mut reader = JsonLines::default();
        let lent = reader.read(line, "t", 0).unwrap();
        let record = lent.record(LogSource::default());
        assert_eq!(record.first("Provider_Name").unwrap().text, "P");
        assert_eq!(record.first("EventID").unwrap().text, "7");
        assert_eq!(record.first("ThreatName").unwrap().text, "T");
        assert_eq!(record.fields.iter().filter(|field| field.name == "Data").count(), 2);
        assert_eq!(record.number, 9);
        assert_eq!(record.time.unix_nanos() % 1_000_000_000, 500_000_000);
    }

    #[test]
    fn what_is_no_record_is_told() {
        for line in
            ["", "[1]", "{", "{\"a\":}", "{\"a\":1}x", "{\"a\":\"", "{\"a\":\"\\u00\"}", "{1:2}"]
        {
            assert!(read(line).unwrap_err().starts_with("column "), "{line}");
        }
        let deep = format!("{{\"a\":{}1", "[".repeat(100));
        assert!(read(&deep).unwrap_err().contains("deeper"));
    }
}
