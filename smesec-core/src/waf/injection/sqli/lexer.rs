//! The lexer: bytes to SQL tokens, tolerant of every dialect at once.

use memchr::{memchr, memmem};

use super::token::{
    Kind, Start, Token, ends_variable, ends_word, is_binary, is_decimal, is_hex, is_money,
    is_space, is_tag_letter, splits_word, start,
};
use super::words::look_up;

/// Where the input stands in the statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Context {
    Bare,
    /// Behind an opening quote.
    Inside(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `--` always starts a comment, `#` is an operator.
    Ansi,
    /// `--` starts a comment before white space only, `#` does always.
    MySql,
}

#[derive(Debug)]
pub(super) struct Lexer<'a> {
    rest: &'a [u8],
    /// Set until the text before the closing quote of the context has been given.
    inside: Option<u8>,
    dialect: Dialect,
    dialects_differ: bool,
    produced: usize,
}

/// A token and the number of bytes it takes.
type Lexed<'a> = (Token<'a>, usize);

impl<'a> Lexer<'a> {
    pub(super) fn new(input: &'a [u8], context: Context, dialect: Dialect) -> Self {
        let inside = match context {
            Context::Bare => None,
            Context::Inside(quote) => Some(quote),
        };
        Self { rest: input, inside, dialect, dialects_differ: false, produced: 0 }
    }

    /// How many tokens have been given.
    pub(super) fn produced(&self) -> usize {
        self.produced
    }

    /// Whether a comment was met that the other dialect may read otherwise.
    pub(super) fn dialects_differ(&self) -> bool {
        self.dialects_differ
    }

    pub(super) fn next_token(&mut self) -> Option<Token<'a>> {
        let (token, taken) = match self.inside.take() {
            Some(quote) => {
                let (mut token, taken) = quoted(self.rest, 0, quote);
                token.open = 0;
                (token, taken)
            }
            None => self.lex()?,
        };
        self.rest = self.rest.get(taken..).unwrap_or_default();
        self.produced += 1;
        Some(token)
    }

    fn lex(&mut self) -> Option<Lexed<'a>> {
        while let [first, tail @ ..] = self.rest {
            match start(*first) {
                Start::Space => self.rest = tail,
                kind => return Some(self.lex_from(kind, *first)),
            }
        }
        None
    }

    fn lex_from(&mut self, start: Start, first: u8) -> Lexed<'a> {
        let rest = self.rest;
        match start {
            Start::Word | Start::Space => word(rest),
            Start::Single(kind) => single(kind, rest),
            Start::Pair => pair(rest),
            Start::Dash => self.dash(),
            Start::Hash => self.hash(),
            Start::Slash => slash(rest),
            Start::Backslash => match rest {
                [_, b'N', ..] => of_length(Kind::Number, rest, 2),
                _ => single(Kind::Backslash, rest),
            },
            Start::Quote => quoted(rest, 1, first),
            Start::Tick => tick(rest),
            Start::Money => money(rest),
            Start::At => variable(rest),
            Start::Digit => number(rest),
            Start::Bracket => match memchr(b']', rest) {
                Some(end) => of_length(Kind::Bareword, rest, end + 1),
                None => of_length(Kind::Bareword, rest, rest.len()),
            },
            Start::BinaryText => digits_in_quotes(rest, is_binary),
            Start::HexText => digits_in_quotes(rest, is_hex),
            Start::EscapedText => escaped_text(rest),
            Start::NationalText => match rest {
                [_, b'\'', _, ..] => escaped_text(rest),
                _ => oracle_text(rest, 1),
            },
            Start::OracleText => oracle_text(rest, 0),
            Start::UnicodeText => unicode_text(rest),
        }
    }

    fn dash(&mut self) -> Lexed<'a> {
        match self.rest {
            [_, b'-'] => line_comment(self.rest),
            [_, b'-', next, ..] if is_space(*next) => line_comment(self.rest),
            [_, b'-', ..] if self.dialect == Dialect::Ansi => {
                self.dialects_differ = true;
                line_comment(self.rest)
            }
            _ => single(Kind::Operator, self.rest),
        }
    }

    fn hash(&mut self) -> Lexed<'a> {
        self.dialects_differ = true;
        match self.dialect {
            Dialect::Ansi => single(Kind::Operator, self.rest),
            Dialect::MySql => line_comment(self.rest),
        }
    }
}

fn of_length(kind: Kind, rest: &[u8], len: usize) -> Lexed<'_> {
    (Token::new(kind, rest.get(..len).unwrap_or(rest)), len)
}

fn single(kind: Kind, rest: &[u8]) -> Lexed<'_> {
    of_length(kind, rest, 1)
}

fn from(rest: &[u8], at: usize) -> &[u8] {
    rest.get(at..).unwrap_or_default()
}

fn span(rest: &[u8], belongs: fn(u8) -> bool) -> usize {
    rest.iter().position(|&byte| !belongs(byte)).unwrap_or(rest.len())
}

fn line_comment(rest: &[u8]) -> Lexed<'_> {
    match memchr(b'\n', rest) {
        Some(end) => (Token::new(Kind::Comment, rest.get(..end).unwrap_or_default()), end + 1),
        None => of_length(Kind::Comment, rest, rest.len()),
    }
}

fn slash(rest: &[u8]) -> Lexed<'_> {
    let [_, b'*', body @ ..] = rest else {
        return single(Kind::Operator, rest);
    };
    let end = memmem::find(body, b"*/");
    // PostgreSQL nests comments and MySQL runs the inside of `/*!`: no reading is safe.
    let nested =
        end.is_some_and(|end| memmem::find(body.get(..=end).unwrap_or_default(), b"/*").is_some());
    let kind = if nested || body.first() == Some(&b'!') { Kind::Evil } else { Kind::Comment };
    of_length(kind, rest, end.map_or(rest.len(), |end| end + 4))
}

fn pair(rest: &[u8]) -> Lexed<'_> {
    match rest {
        [b'<', b'=', b'>', ..] => return of_length(Kind::Operator, rest, 3),
        [a, b, ..] => {
            if let Some((kind, _)) = look_up(&[*a, *b]) {
                return of_length(kind, rest, 2);
            }
            if *a == b':' {
                return single(Kind::Colon, rest);
            }
        }
        _ => {}
    }
    single(Kind::Operator, rest)
}

/// A text of which the first `skip` bytes open it and `quote` closes it; a backslash or doubling escapes.
fn quoted(rest: &[u8], skip: usize, quote: u8) -> Lexed<'_> {
    let body = from(rest, skip);
    let mut at = 0;
    while let Some(found) = memchr(quote, from(body, at)) {
        let end = at + found;
        let backslashes = body
            .get(..end)
            .unwrap_or_default()
            .iter()
            .rev()
            .take_while(|&&byte| byte == b'\\')
            .count();
        if backslashes % 2 == 1 {
            at = end + 1;
        } else if body.get(end + 1) == Some(&quote) {
            at = end + 2;
        } else {
            let text = body.get(..end).unwrap_or_default();
            let token = Token { open: quote, close: quote, ..Token::new(Kind::Text, text) };
            return (token, skip + end + 1);
        }
    }
    (Token { open: quote, ..Token::new(Kind::Text, body) }, rest.len())
}

/// A quoted identifier of `MySQL`.
fn tick(rest: &[u8]) -> Lexed<'_> {
    let (mut token, taken) = quoted(rest, 1, b'`');
    token.kind = match look_up(token.text) {
        Some((Kind::Function, _)) => Kind::Function,
        _ => Kind::Bareword,
    };
    (token, taken)
}

fn escaped_text(rest: &[u8]) -> Lexed<'_> {
    match rest {
        [_, b'\'', _, ..] => quoted(rest, 2, b'\''),
        _ => word(rest),
    }
}

fn unicode_text(rest: &[u8]) -> Lexed<'_> {
    let [_, b'&', b'\'', ..] = rest else {
        return word(rest);
    };
    let (mut token, taken) = quoted(rest, 3, b'\'');
    token.open = b'u';
    if token.close == b'\'' {
        token.close = b'u';
    }
    (token, taken)
}

/// Oracle's `q'[..]'`, with `skip` bytes before the `q`.
fn oracle_text(rest: &[u8], skip: usize) -> Lexed<'_> {
    let [b'q' | b'Q', b'\'', delimiter @ b'!'..=0x7f, body @ ..] = from(rest, skip) else {
        return word(rest);
    };
    let closing = match delimiter {
        b'(' => b')',
        b'[' => b']',
        b'{' => b'}',
        b'<' => b'>',
        other => *other,
    };
    bracketed(rest, skip + 3, body, &[closing, b'\''], b'q')
}

/// A text up to `closing`, or to the end of the input; `quote` marks its sort.
fn bracketed<'a>(
    rest: &'a [u8],
    skip: usize,
    body: &'a [u8],
    closing: &[u8],
    quote: u8,
) -> Lexed<'a> {
    match memmem::find(body, closing) {
        Some(end) => {
            let text = body.get(..end).unwrap_or_default();
            let token = Token { open: quote, close: quote, ..Token::new(Kind::Text, text) };
            (token, skip + end + closing.len())
        }
        None => (Token { open: quote, ..Token::new(Kind::Text, body) }, rest.len()),
    }
}

/// A number such as `x'1f'`.
fn digits_in_quotes(rest: &[u8], belongs: fn(u8) -> bool) -> Lexed<'_> {
    if let [_, b'\'', body @ ..] = rest {
        let len = span(body, belongs);
        if body.get(len) == Some(&b'\'') {
            return of_length(Kind::Number, rest, len + 3);
        }
    }
    word(rest)
}

fn word(rest: &[u8]) -> Lexed<'_> {
    let len = rest.iter().position(|&byte| ends_word(byte)).unwrap_or(rest.len());
    let (mut token, len) = of_length(Kind::Bareword, rest, len);
    // `SELECT.1` and SELECT`a` are a keyword and something else, `a.select` is a name.
    let splits = token.text.iter().enumerate().filter(|&(_, &byte)| splits_word(byte));
    for (at, _) in splits {
        let start = token.text.get(..at).unwrap_or_default();
        if let Some((kind, _)) = look_up(start)
            && kind != Kind::Bareword
        {
            return of_length(kind, rest, at);
        }
    }
    if token.text.len() == len
        && let Some((kind, _)) = look_up(token.text)
    {
        token.kind = kind;
    }
    (token, len)
}

fn variable(rest: &[u8]) -> Lexed<'_> {
    let skip = if let [_, b'@', ..] = rest { 2 } else { 1 };
    let name = from(rest, skip);
    let (mut token, taken) = match name.first() {
        Some(b'`') => tick(name),
        Some(&quote @ (b'\'' | b'"')) => quoted(name, 1, quote),
        _ => of_length(
            Kind::Variable,
            name,
            name.iter().position(|&byte| ends_variable(byte)).unwrap_or(name.len()),
        ),
    };
    token.kind = Kind::Variable;
    (token, skip + taken)
}

/// An amount such as `$1,000.00`, or a text such as `$$text$$` and `$tag$text$tag$`.
fn money(rest: &[u8]) -> Lexed<'_> {
    let tail = from(rest, 1);
    let amount = span(tail, is_money);
    if amount == 1 && tail.first() == Some(&b'.') {
        return word(rest);
    }
    if amount > 0 {
        return of_length(Kind::Number, rest, amount + 1);
    }
    let letters = span(tail, is_tag_letter);
    if tail.get(letters) != Some(&b'$') {
        return single(Kind::Bareword, rest);
    }
    let tag = letters + 2;
    bracketed(rest, tag, from(rest, tag), rest.get(..tag).unwrap_or_default(), b'$')
}

fn number(rest: &[u8]) -> Lexed<'_> {
    let radix: Option<fn(u8) -> bool> = match rest {
        [b'0', b'x' | b'X', ..] => Some(is_hex),
        [b'0', b'b' | b'B', ..] => Some(is_binary),
        _ => None,
    };
    if let Some(belongs) = radix {
        let digits = span(from(rest, 2), belongs);
        let kind = if digits == 0 { Kind::Bareword } else { Kind::Number };
        return of_length(kind, rest, digits + 2);
    }
    let mut len = span(rest, is_decimal);
    if rest.get(len) == Some(&b'.') {
        len += 1;
        len += span(from(rest, len), is_decimal);
        if len == 1 {
            return single(Kind::Dot, rest);
        }
    }
    let mut exponent_missing = false;
    if let [b'e' | b'E', tail @ ..] = from(rest, len) {
        let sign = usize::from(matches!(tail, [b'+' | b'-', ..]));
        let digits = span(from(tail, sign), is_decimal);
        exponent_missing = digits == 0;
        len += 1 + sign + digits;
    }
    // Oracle's suffix for floats; `1fUNION` is a number and a keyword, `1from` is not.
    match from(rest, len) {
        [b'd' | b'D' | b'f' | b'F'] => len += 1,
        [b'd' | b'D' | b'f' | b'F', next, ..]
            if is_space(*next) || matches!(next, b';' | b'u' | b'U') =>
        {
            len += 1;
        }
        _ => {}
    }
    let kind = if exponent_missing { Kind::Bareword } else { Kind::Number };
    of_length(kind, rest, len)
}
