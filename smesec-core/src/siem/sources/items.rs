//! JSON values that are not one a line: in one list, in `CloudTrail`'s `{"Records": […]}`, or spread over
//! several lines.
//!
//! Only brackets and quotes are looked at, each byte once; whether a value is JSON is for
//! [`super::json`] to say. A line feed within a text ends the value, since JSON has none there: so one
//! quote that is missing does not swallow what follows.

use super::frame::Cut;
use memchr::memchr3;

/// Where the search has come to.
#[derive(Debug, Default)]
pub(super) struct Items {
    place: Place,
    /// Within a value; else between two.
    open: bool,
    depth: u32,
    quoted: bool,
    escaped: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Place {
    /// Between values, or in one that stands alone.
    #[default]
    Top,
    /// In a list.
    List,
    /// In the list of an object that is nothing but its wrapper.
    Records,
    /// Behind that list, up to the wrapper's end.
    Behind,
}

/// Whether a stream that begins so is not one JSON value a line; `None` until enough has come.
/// `json`: it is said to be JSON, so that a bracket can be nothing else.
pub(super) fn recognises(start: &[u8], ended: bool, json: bool) -> Option<bool> {
    match start.first() {
        Some(b'[') if json => Some(true),
        // Error logs begin with a bracket too, but not with one around an object.
        Some(b'[') => match start.get(1..).unwrap_or_default().trim_ascii_start().first() {
            Some(first) => Some(matches!(first, b'{' | b']')),
            None if ended => Some(false),
            None => None,
        },
        Some(b'{') => match wrapper(start) {
            Wrapper::Yes(_) => Some(true),
            Wrapper::More if !ended => None,
            _ => {
                let mut rest =
                    start.iter().skip(1).skip_while(|b| matches!(b, b' ' | b'\t' | b'\r'));
                Some(rest.next() == Some(&b'\n'))
            }
        },
        _ => Some(false),
    }
}

enum Wrapper {
    /// And so many bytes are its beginning.
    Yes(usize),
    No,
    More,
}

/// `{"Records": [`, with blanks anywhere.
fn wrapper(bytes: &[u8]) -> Wrapper {
    let mut rest = bytes;
    for token in [&b"{"[..], b"\"Records\"", b":", b"["] {
        rest = rest.trim_ascii_start();
        if let Some(after) = rest.strip_prefix(token) {
            rest = after;
        } else if token.starts_with(rest) {
            return Wrapper::More;
        } else {
            return Wrapper::No;
        }
    }
    Wrapper::Yes(bytes.len() - rest.len())
}

/// What stands between two values.
enum Between {
    /// So many bytes of it are done with.
    Passed(usize),
    /// Nothing any more: a value begins.
    Value,
    /// That cannot be told yet.
    More,
}

impl Items {
    /// Looks at the bytes from where the last value ended; `scanned` of them have been looked at.
    pub(super) fn next(&mut self, bytes: &[u8], scanned: &mut usize) -> Option<Cut> {
        if !self.open {
            match self.between(bytes) {
                Between::Passed(used) => return Some(Cut::Nothing { used }),
                Between::More => return None,
                Between::Value => {}
            }
            (self.open, self.depth, self.quoted, self.escaped) = (true, 0, false, false);
        }
        let (content, used) = self.scan(bytes, scanned)?;
        self.open = false;
        Some(Cut::Event { content: 0..content, used })
    }

    /// Passes over the rest of a value that is too long; gives how many bytes are done with.
    /// Whether its end has come is in the answer, too.
    pub(super) fn skip(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut scanned = 0;
        match self.scan(bytes, &mut scanned) {
            Some((_, used)) => {
                self.open = false;
                (used, true)
            }
            None => (bytes.len(), false),
        }
    }

    fn between(&mut self, bytes: &[u8]) -> Between {
        if self.place == Place::Behind {
            return Between::Passed(self.behind(bytes));
        }
        let blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',');
        let blanks = bytes.iter().take_while(blank).count();
        if blanks > 0 {
            return Between::Passed(blanks);
        }
        let Some(first) = bytes.first() else { return Between::More };
        match (self.place, first) {
            (Place::Top, 0xef) if b"\xef\xbb\xbf".starts_with(bytes) => Between::More,
            (Place::Top, 0xef) if bytes.starts_with(b"\xef\xbb\xbf") => Between::Passed(3),
            (Place::Top, b'[') => {
                self.place = Place::List;
                Between::Passed(1)
            }
            (Place::Top, b'{') => match wrapper(bytes) {
                Wrapper::Yes(used) => {
                    self.place = Place::Records;
                    Between::Passed(used)
                }
                Wrapper::No => Between::Value,
                Wrapper::More => Between::More,
            },
            (Place::List, b']') => {
                self.place = Place::Top;
                Between::Passed(1)
            }
            (Place::Records, b']') => {
                self.place = Place::Behind;
                (self.depth, self.quoted, self.escaped) = (0, false, false);
                Between::Passed(1)
            }
            _ => Between::Value,
        }
    }

    /// What else the wrapper has, up to its end.
    fn behind(&mut self, bytes: &[u8]) -> usize {
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                _ if std::mem::take(&mut self.escaped) => {}
                b'\\' => self.escaped = self.quoted,
                b'"' => self.quoted = !self.quoted,
                _ if self.quoted => {}
                b'{' | b'[' => self.depth = self.depth.saturating_add(1),
                b'}' if self.depth == 0 => {
                    self.place = Place::Top;
                    return at + 1;
                }
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
        bytes.len()
    }

    /// The end of the value's content, and of what is done with.
    fn scan(&mut self, bytes: &[u8], scanned: &mut usize) -> Option<(usize, usize)> {
        loop {
            let rest = bytes.get(*scanned..)?;
            if rest.is_empty() {
                return None;
            }
            if std::mem::take(&mut self.escaped) {
                *scanned += 1;
                continue;
            }
            if self.quoted {
                let Some(found) = memchr3(b'"', b'\\', b'\n', rest) else {
                    *scanned = bytes.len();
                    return None;
                };
                let byte = rest.get(found);
                self.escaped = byte == Some(&b'\\');
                self.quoted = self.escaped;
                *scanned += found + 1;
                if byte == Some(&b'\n') {
                    return Some((*scanned - 1, *scanned));
                }
                continue;
            }
            let Some((at, byte)) = rest.iter().enumerate().find(|(_, byte)| {
                matches!(byte, b'"' | b'{' | b'[' | b'}' | b']')
                    || (self.depth == 0 && matches!(byte, b',' | b'\n'))
            }) else {
                *scanned = bytes.len();
                return None;
            };
            let at = *scanned + at;
            *scanned = at + 1;
            match byte {
                b'"' => self.quoted = true,
                b'{' | b'[' => self.depth = self.depth.saturating_add(1),
                b'}' | b']' if self.depth > 1 => self.depth -= 1,
                b'}' | b']' if self.depth == 1 => return Some((at + 1, at + 1)),
                // No object: up to where the next value may begin. A bracket is the list's end, unless
                // no list is open; then it is a value of its own, so that there is progress.
                b'}' => return Some((at + 1, at + 1)),
                _ => return Some((at.max(1), at.max(1))),
            }
        }
    }
}
