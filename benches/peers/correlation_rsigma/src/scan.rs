//! A JSON line as borrowed fields: what a reader of records does, as small as this stream needs it.
//! Nested objects are one level deep and without arrays; escapes stay as they are written.

use smesec_core::siem::record::Fields;
use smesec_core::time::Timestamp;
use std::borrow::Cow;

/// A line's fields: the object around, the name, the value as text.
#[derive(Default)]
pub struct Line<'l>(Vec<(&'l str, &'l str, &'l str)>);

impl<'l> Line<'l> {
    pub fn read(&mut self, line: &'l str) {
        self.0.clear();
        let bytes = line.as_bytes();
        let (mut at, mut around) = (1, "");
        while at < bytes.len() {
            match bytes[at] {
                b'"' => {
                    let key = string(line, at);
                    at += key.len() + 3;
                    match bytes[at] {
                        b'{' => {
                            around = key;
                            at += 1;
                        }
                        b'"' => {
                            let value = string(line, at);
                            self.0.push((around, key, value));
                            at += value.len() + 2;
                        }
                        _ => {
                            let end = at
                                + bytes[at..]
                                    .iter()
                                    .position(|byte| matches!(byte, b',' | b'}'))
                                    .unwrap_or(bytes.len() - at);
                            self.0.push((around, key, &line[at..end]));
                            at = end;
                        }
                    }
                }
                b'}' => {
                    around = "";
                    at += 1;
                }
                _ => at += 1,
            }
        }
    }

    fn get(&self, around: &str, name: &str) -> Option<&'l str> {
        self.0.iter().find(|(a, n, _)| *n == name && *a == around).map(|(.., value)| *value)
    }

    pub fn source(&self) -> &'l str {
        self.get("", "service").or(self.get("", "category")).unwrap_or_default()
    }

    pub fn time(&self) -> Timestamp {
        crate::front::time(self.get("", "ts").expect("a time"))
    }

    /// The base rule that matches, in the order of the rules' file.
    pub fn rule(&self) -> Option<u32> {
        let is = |name: &str, value: &str| self.get("", name) == Some(value);
        match self.source() {
            "sshd" if is("outcome", "failure") => Some(0),
            "sshd" if is("outcome", "success") => Some(1),
            "eve" if is("event_type", "alert") => match self.get("alert", "signature_id")? {
                "2009582" => Some(2),
                "2034647" => Some(3),
                "2030000" => Some(4),
                _ => None,
            },
            "security" if is("EventID", "4624") && is("LogonType", "3") => Some(5),
            "webserver" if is("sc-status", "404") => Some(6),
            "webserver"
                if is("cs-method", "POST")
                    && is("sc-status", "200")
                    && self.get("", "cs-uri-stem").is_some_and(|path| path.starts_with("/uploads/")) =>
            {
                Some(7)
            }
            "crs" if is("severity", "CRITICAL") => Some(8),
            "yara" if is("action", "quarantined") => Some(9),
            _ => None,
        }
    }
}

impl Fields for Line<'_> {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        self.get("", name).map(Into::into)
    }
}

/// The text between quotes that begins at `at`.
fn string(line: &str, at: usize) -> &str {
    let bytes = line.as_bytes();
    let mut end = at + 1;
    loop {
        end += memchr::memchr2(b'"', b'\\', &bytes[end..]).expect("a closing quote");
        if bytes[end] == b'"' {
            return &line[at + 1..end];
        }
        end += 2;
    }
}
