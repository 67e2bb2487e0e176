//! Physical lines to directives, directives to arguments.
use super::syntax::Span;

/// One directive's text with the way back to where it stands in the file.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) text: String,
    file: u32,
    /// Offset in the text, line and column there, ascending.
    marks: Vec<(usize, u32, u32)>,
    /// A backslash with blanks behind it, although the directive goes on.
    pub(super) gap: Option<Span>,
    quote: Option<char>,
    escaped: bool,
    blank: bool,
}

impl Line {
    /// Where an offset of the text stands.
    pub(super) fn span(&self, offset: usize) -> Span {
        let before = self.marks.partition_point(|mark| mark.0 <= offset);
        let mark = before.checked_sub(1).and_then(|last| self.marks.get(last));
        let &(start, line, column) = mark.unwrap_or(&(0, 1, 1));
        let by = u32::try_from(offset.saturating_sub(start)).unwrap_or(u32::MAX);
        Span { file: self.file, line, column: column.saturating_add(by) }
    }

    fn push(&mut self, bytes: &[u8], number: u32) {
        let mut column = 1_u32;
        for chunk in bytes.utf8_chunks() {
            self.marks.push((self.text.len(), number, column));
            let from = self.text.len();
            self.text.push_str(chunk.valid());
            self.follow(from);
            let valid = u32::try_from(chunk.valid().len()).unwrap_or(u32::MAX);
            column = column.saturating_add(valid);
            for byte in chunk.invalid() {
                self.marks.push((self.text.len(), number, column));
                let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16);
                self.text.push_str("\\x");
                self.text.extend(digit(byte >> 4));
                self.text.extend(digit(byte & 15));
                (self.escaped, self.blank) = (false, false);
                column = column.saturating_add(1);
            }
        }
    }

    /// Keeps account of open quotes, which open behind a blank only.
    fn follow(&mut self, from: usize) {
        for c in self.text.get(from..).unwrap_or_default().chars() {
            match self.quote {
                _ if self.escaped => self.escaped = false,
                Some(_) if c == '\\' => self.escaped = true,
                Some(open) if c == open => self.quote = None,
                None if self.blank && matches!(c, '"' | '\'') => self.quote = Some(c),
                _ => {}
            }
            self.blank = c.is_ascii_whitespace();
        }
    }
}

/// Whether a line can only be the start of something new.
pub(super) fn opens(line: &[u8]) -> bool {
    let line = line.trim_ascii_start();
    let starts = |word: &[u8]| line.get(..word.len()).is_some_and(|w| w.eq_ignore_ascii_case(word));
    line.is_empty()
        || line.starts_with(b"#")
        || line.starts_with(b"<")
        || starts(b"Sec")
        || starts(b"Include")
}

/// Joins continued lines and drops comments.
///
/// A comment that holds a directive goes on behind its trailing backslash, until a line that opens
/// something new: half a rule commented out is not left over as rubbish, and no live rule is lost.
pub(super) fn lines(text: &[u8], file: u32) -> Vec<Line> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut list = Vec::new();
    let mut open: Option<Line> = None;
    let mut comment = false;
    let mut block: Option<Line> = None;
    let mut rest = text.split(|&b| b == b'\n').zip(1_u32..).peekable();
    while let Some((raw, number)) = rest.next() {
        let line = raw.strip_suffix(b"\r").unwrap_or(raw);
        let trimmed = line.trim_ascii();
        if let Some(mut current) = block.take() {
            current.push(b"\n", number);
            current.push(line, number);
            if line.contains(&b'`') {
                list.push(current);
            } else {
                block = Some(current);
            }
            continue;
        }
        if comment && !opens(line) {
            comment = trimmed.ends_with(b"\\");
            continue;
        }
        comment = false;
        if trimmed.starts_with(b"#") && open.as_ref().is_none_or(|line| line.quote.is_none()) {
            if open.is_none() {
                let inside = trimmed.trim_ascii_start().strip_prefix(b"#").unwrap_or_default();
                let inside = inside.trim_ascii_start();
                comment = trimmed.ends_with(b"\\")
                    && inside.get(..3).is_some_and(|w| w.eq_ignore_ascii_case(b"sec"));
            }
            continue;
        }
        let mut current = match open.take() {
            Some(line) => line,
            None if trimmed.is_empty() => continue,
            None => Line { file, ..Line::default() },
        };
        if is_dataset(line) && memchr::memchr_iter(b'`', line).count() == 1 {
            current.push(line, number);
            block = Some(current);
        } else if let Some(body) = line.strip_suffix(b"\\") {
            current.push(body, number);
            open = Some(current);
        } else if let Some(body) = line.trim_ascii_end().strip_suffix(b"\\") {
            current.push(body, number);
            if rest.peek().is_none_or(|(next, _)| opens(next)) {
                list.push(current);
            } else {
                let column = u32::try_from(body.len()).unwrap_or(u32::MAX).saturating_add(1);
                current.gap.get_or_insert(Span { file, line: number, column });
                open = Some(current);
            }
        } else {
            current.push(line, number);
            list.push(current);
        }
    }
    list.extend(open);
    list.extend(block);
    list
}

/// The one directive whose list stands between backticks, over several lines.
fn is_dataset(line: &[u8]) -> bool {
    const NAME: &[u8] = b"SecDataset";
    line.trim_ascii_start().get(..NAME.len()).is_some_and(|word| word.eq_ignore_ascii_case(NAME))
}

/// One argument as it stands in the text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word {
    /// Behind the opening quote, if there is one.
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) quote: Option<char>,
}

/// Splits at blanks outside quotes; an open quote is told by its offset.
pub(super) fn words(text: &str) -> Result<Vec<Word>, usize> {
    let mut list = Vec::new();
    let mut rest = text.char_indices().peekable();
    while let Some((at, first)) = rest.next() {
        if first.is_ascii_whitespace() {
            continue;
        }
        if matches!(first, '"' | '\'') || (first == '`' && is_dataset(text.as_bytes())) {
            let mut closed = None;
            while let Some((offset, c)) = rest.next() {
                if c == '\\' {
                    rest.next();
                } else if c == first {
                    closed = Some(offset);
                    break;
                }
            }
            list.push(Word { start: at + 1, end: closed.ok_or(at)?, quote: Some(first) });
            continue;
        }
        // A selector may be quoted: `TX:'/a b/'`.
        let (mut before, mut inside) = (first, false);
        let mut end = text.len();
        while let Some(&(offset, c)) = rest.peek() {
            if c.is_ascii_whitespace() && !inside {
                end = offset;
                break;
            }
            if c == '\'' && before != '\\' && (inside || before == ':') {
                inside = !inside;
            }
            before = c;
            rest.next();
        }
        if inside {
            return Err(at);
        }
        list.push(Word { start: at, end, quote: None });
    }
    Ok(list)
}

/// An argument with `\"` resolved, and where the backslashes were.
#[derive(Debug)]
pub(super) struct Cooked {
    pub(super) text: String,
    start: usize,
    holes: Vec<usize>,
}

impl Cooked {
    pub(super) fn new(line: &Line, word: Word) -> Self {
        let raw = line.text.get(word.start..word.end).unwrap_or_default();
        let mut cooked =
            Self { text: String::with_capacity(raw.len()), start: word.start, holes: Vec::new() };
        let mut rest = raw.chars().peekable();
        while let Some(c) = rest.next() {
            if c != '\\' || word.quote.is_none() {
                cooked.text.push(c);
            } else if rest.peek().copied() == word.quote {
                cooked.holes.push(cooked.text.len());
                cooked.text.extend(rest.next());
            } else {
                cooked.text.push(c);
                cooked.text.extend(rest.next());
            }
        }
        cooked
    }

    pub(super) fn span(&self, line: &Line, offset: usize) -> Span {
        line.span(self.start + offset + self.holes.partition_point(|&hole| hole <= offset))
    }
}
