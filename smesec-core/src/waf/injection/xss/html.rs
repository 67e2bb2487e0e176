//! The HTML tokenizer: section 13.2.5 of the HTML standard, bent to what old browsers did.
//!
//! It gives only the pieces the detection looks at: no text, no end tags.

use memchr::{memchr, memmem};

/// Where the input stands in the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Context {
    Text,
    /// Where the value of an attribute without quotes ended.
    Unquoted,
    /// In the value of an attribute, behind the quote given.
    Quoted(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Doctype,
    /// The name in a start tag.
    Element(&'a [u8]),
    /// The name of an attribute.
    Name(&'a [u8]),
    /// The value of the attribute whose name came last.
    Value(&'a [u8]),
    /// The inside of a comment or of what browsers skip like one.
    Comment(&'a [u8]),
}

#[derive(Clone, Copy, Debug)]
enum State {
    Text,
    TagOpen,
    TagName,
    BeforeName,
    Name,
    AfterName,
    BeforeValue,
    Quoted(u8),
    Unquoted,
    AfterQuoted,
    AfterSlash,
    End,
}

#[derive(Debug)]
pub(super) struct Html<'a> {
    rest: &'a [u8],
    state: State,
    /// In an end tag; stays set where the tag was left in an unusual way, as in the reference implementation.
    closing: bool,
}

impl<'a> Html<'a> {
    pub(super) fn new(input: &'a [u8], context: Context) -> Self {
        let state = match context {
            Context::Text => State::Text,
            Context::Unquoted => State::BeforeName,
            Context::Quoted(quote) => State::Quoted(quote),
        };
        Self { rest: input, state, closing: false }
    }

    /// Gives the first `len` bytes and skips `delimiter` bytes behind them.
    fn take(&mut self, len: usize, delimiter: usize) -> &'a [u8] {
        let taken = self.rest.get(..len).unwrap_or(self.rest);
        self.skip(len + delimiter);
        taken
    }

    fn skip(&mut self, len: usize) {
        self.rest = self.rest.get(len..).unwrap_or_default();
    }

    fn go(&mut self, skip: usize, state: State) -> Option<Piece<'a>> {
        self.skip(skip);
        self.state = state;
        None
    }

    /// Everything that is left, as the last piece.
    fn take_all(&mut self) -> &'a [u8] {
        self.state = State::End;
        self.take(self.rest.len(), 0)
    }

    fn skip_space(&mut self) -> Option<u8> {
        let space = self.rest.iter().position(|&byte| !is_space(byte)).unwrap_or(self.rest.len());
        self.skip(space);
        self.rest.first().copied()
    }

    fn step(&mut self) -> Option<Piece<'a>> {
        match self.state {
            State::Text => match memchr(b'<', self.rest) {
                Some(at) => self.go(at + 1, State::TagOpen),
                None => self.go(0, State::End),
            },
            State::TagOpen => self.tag_open(),
            State::TagName => self.tag_name(),
            State::BeforeName => match self.skip_space() {
                None => self.go(0, State::End),
                Some(b'/') => self.go(1, State::AfterSlash),
                Some(b'>') => self.go(1, State::Text),
                Some(_) => self.go(0, State::Name),
            },
            State::Name => Some(self.name()),
            State::AfterName => match self.skip_space() {
                None => self.go(0, State::End),
                Some(b'/') => self.go(1, State::AfterSlash),
                Some(b'=') => self.go(1, State::BeforeValue),
                Some(b'>') => self.close_tag(),
                Some(_) => self.go(0, State::Name),
            },
            State::BeforeValue => match self.skip_space() {
                None => self.go(0, State::End),
                Some(quote @ (b'"' | b'\'' | b'`')) => self.go(1, State::Quoted(quote)),
                Some(_) => self.go(0, State::Unquoted),
            },
            State::Quoted(quote) => Some(Piece::Value(match memchr(quote, self.rest) {
                Some(end) => {
                    self.state = State::AfterQuoted;
                    self.take(end, 1)
                }
                None => self.take_all(),
            })),
            State::Unquoted => Some(Piece::Value(self.unquoted())),
            State::AfterQuoted => match self.rest.first() {
                None => self.go(0, State::End),
                Some(b'/') => self.go(1, State::AfterSlash),
                Some(b'>') => self.go(1, State::Text),
                Some(_) => self.go(0, State::BeforeName),
            },
            State::AfterSlash => match self.rest.first() {
                None => self.go(0, State::End),
                Some(b'>') => self.go(1, State::Text),
                Some(_) => self.go(0, State::BeforeName),
            },
            State::End => None,
        }
    }

    fn tag_open(&mut self) -> Option<Piece<'a>> {
        match self.rest {
            [] => self.go(0, State::End),
            [b'!', ..] => {
                self.skip(1);
                self.declaration()
            }
            [b'/'] => self.go(1, State::End),
            [b'/', b'>', ..] => {
                self.closing = true;
                self.go(2, State::Text)
            }
            [b'/', letter, ..] if letter.is_ascii_alphabetic() => {
                self.closing = true;
                self.go(1, State::TagName)
            }
            [b'/', ..] => {
                self.closing = false;
                self.skip(1);
                Some(self.comment_to(b">"))
            }
            [b'?', ..] => {
                self.skip(1);
                Some(self.comment_to(b">"))
            }
            // A comment to old browsers.
            [b'%', ..] => {
                self.skip(1);
                Some(self.comment_to(b"%>"))
            }
            // Old browsers skip NUL in names.
            [first, ..] if first.is_ascii_alphabetic() || *first == 0 => self.go(0, State::TagName),
            _ => self.go(0, State::Text),
        }
    }

    fn tag_name(&mut self) -> Option<Piece<'a>> {
        let end = self
            .rest
            .iter()
            .position(|&byte| matches!(byte, b'/' | b'>') || (is_space(byte) && byte != 0));
        let Some((end, &delimiter)) = end.and_then(|end| Some((end, self.rest.get(end)?))) else {
            return Some(Piece::Element(self.take_all()));
        };
        let name = self.take(end, 1);
        match delimiter {
            b'>' => {
                self.state = State::Text;
                if core::mem::take(&mut self.closing) {
                    return None;
                }
            }
            b'/' => self.state = State::AfterSlash,
            _ => self.state = State::BeforeName,
        }
        Some(Piece::Element(name))
    }

    fn close_tag(&mut self) -> Option<Piece<'a>> {
        self.closing = false;
        self.go(1, State::Text)
    }

    fn name(&mut self) -> Piece<'a> {
        // Whatever its first byte is, it belongs to the name.
        let mut bytes = self.rest.iter().enumerate().skip(1);
        let end = bytes.find(|&(_, &byte)| matches!(byte, b'/' | b'=' | b'>') || is_space(byte));
        let Some((end, delimiter)) = end else {
            return Piece::Name(self.take_all());
        };
        let (skip, state) = match delimiter {
            b'/' => (1, State::AfterSlash),
            b'=' => (1, State::BeforeValue),
            b'>' => (0, State::AfterName),
            _ => (1, State::AfterName),
        };
        self.state = state;
        Piece::Name(self.take(end, skip))
    }

    fn unquoted(&mut self) -> &'a [u8] {
        let end = self.rest.iter().position(|&byte| byte == b'>' || is_space(byte));
        let Some(end) = end else {
            return self.take_all();
        };
        if self.rest.get(end) == Some(&b'>') {
            self.closing = false;
            self.state = State::Text;
        } else {
            self.state = State::BeforeName;
        }
        self.take(end, 1)
    }

    fn declaration(&mut self) -> Option<Piece<'a>> {
        match self.rest {
            [b'-', b'-', ..] => {
                self.skip(2);
                Some(self.comment())
            }
            [b'[', b'C', b'D', b'A', b'T', b'A', b'[', ..] => {
                self.skip(7);
                match memmem::find(self.rest, b"]]>") {
                    Some(end) => self.go(end + 3, State::Text),
                    None => self.go(0, State::End),
                }
            }
            _ if self.rest.get(..7).is_some_and(|start| start.eq_ignore_ascii_case(b"DOCTYPE")) => {
                Some(Piece::Doctype)
            }
            _ => Some(self.comment_to(b">")),
        }
    }

    fn comment_to(&mut self, end: &[u8]) -> Piece<'a> {
        Piece::Comment(match memmem::find(self.rest, end) {
            Some(at) => {
                self.state = State::Text;
                self.take(at, end.len())
            }
            None => self.take_all(),
        })
    }

    /// A comment that ends in `-->` or `-!>`, with NULs allowed behind the first dash.
    fn comment(&mut self) -> Piece<'a> {
        let mut at = 0;
        while let Some(found) = memchr(b'-', self.rest.get(at..).unwrap_or_default()) {
            let dash = at + found;
            let behind = self.rest.get(dash + 1..).unwrap_or_default();
            let nuls = behind.iter().take_while(|&&byte| byte == 0).count();
            if let [b'-' | b'!', b'>', ..] = behind.get(nuls..).unwrap_or_default() {
                self.state = State::Text;
                return Piece::Comment(self.take(dash, nuls + 3));
            }
            at = dash + 1;
        }
        Piece::Comment(self.take_all())
    }
}

impl<'a> Iterator for Html<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        loop {
            if let State::End = self.state {
                return None;
            }
            if let Some(piece) = self.step() {
                return Some(piece);
            }
        }
    }
}

/// White space, to which old browsers count vertical tabs and NULs.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r' | 0)
}
