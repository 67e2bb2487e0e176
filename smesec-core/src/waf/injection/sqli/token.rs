//! What the lexer gives: kinds, tokens, and the classes of bytes it decides by.
#![expect(clippy::indexing_slicing, reason = "tables of 256 entries indexed by a byte")]

/// The longest part of a token that is kept; no keyword is longer.
pub(super) const KEPT: usize = 31;

/// What a token is to the parser; its number is its character in a fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Keyword = b'k',
    Union = b'U',
    Group = b'B',
    Expression = b'E',
    SqlType = b't',
    Function = b'f',
    Bareword = b'n',
    Number = b'1',
    Variable = b'v',
    Text = b's',
    Operator = b'o',
    Logic = b'&',
    Comment = b'c',
    Collate = b'A',
    LeftParen = b'(',
    RightParen = b')',
    LeftBrace = b'{',
    RightBrace = b'}',
    Dot = b'.',
    Comma = b',',
    Colon = b':',
    Semicolon = b';',
    Tsql = b'T',
    Unknown = b'?',
    /// Databases disagree on how to read it, so nobody writes it innocently.
    Evil = b'X',
    Backslash = b'\\',
}

impl Kind {
    pub(super) const fn symbol(self) -> u8 {
        self as u8
    }

    pub(super) const fn of_symbol(symbol: u8) -> Option<Self> {
        Some(match symbol {
            b'k' => Self::Keyword,
            b'U' => Self::Union,
            b'B' => Self::Group,
            b'E' => Self::Expression,
            b't' => Self::SqlType,
            b'f' => Self::Function,
            b'n' => Self::Bareword,
            b'1' => Self::Number,
            b'v' => Self::Variable,
            b's' => Self::Text,
            b'o' => Self::Operator,
            b'&' => Self::Logic,
            b'c' => Self::Comment,
            b'A' => Self::Collate,
            b'(' => Self::LeftParen,
            b')' => Self::RightParen,
            b'{' => Self::LeftBrace,
            b'}' => Self::RightBrace,
            b'.' => Self::Dot,
            b',' => Self::Comma,
            b':' => Self::Colon,
            b';' => Self::Semicolon,
            b'T' => Self::Tsql,
            b'?' => Self::Unknown,
            b'X' => Self::Evil,
            b'\\' => Self::Backslash,
            _ => return None,
        })
    }
}

/// One token; `text` is the start of it in the input, or a merged phrase of the word table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    /// The opening quote, or 0 where the text began inside one.
    pub(super) open: u8,
    /// The closing quote, or 0 where the input ended first.
    pub(super) close: u8,
    pub(super) text: &'a [u8],
}

impl<'a> Token<'a> {
    pub(super) const NONE: Self = Self { kind: Kind::Unknown, open: 0, close: 0, text: &[] };

    pub(super) fn new(kind: Kind, text: &'a [u8]) -> Self {
        Self { kind, open: 0, close: 0, text: text.get(..KEPT).unwrap_or(text) }
    }

    /// The first byte kept, or 0 of an empty token.
    pub(super) fn first(&self) -> u8 {
        self.text.first().copied().unwrap_or(0)
    }

    pub(super) fn is_unary(&self) -> bool {
        self.kind == Kind::Operator
            && match *self.text {
                [sign] => matches!(sign, b'+' | b'-' | b'!' | b'~'),
                [b'!', b'!'] => true,
                [_, _, _] => self.text.eq_ignore_ascii_case(b"NOT"),
                _ => false,
            }
    }

    pub(super) fn is_arithmetic(&self) -> bool {
        self.kind == Kind::Operator && matches!(*self.text, [b'*' | b'/' | b'-' | b'+' | b'%'])
    }

    pub(super) fn is_word(&self, upper: &[u8]) -> bool {
        self.text.eq_ignore_ascii_case(upper)
    }
}

/// How a token starts, by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    Space,
    /// A kind of its own, one byte long.
    Single(Kind),
    /// May pair with the next byte.
    Pair,
    Dash,
    Hash,
    Slash,
    Backslash,
    Quote,
    Tick,
    Money,
    At,
    Digit,
    Bracket,
    Word,
    /// A word unless a quote follows: `b'01'`, `x'ff'`, `e'..'`, `n'..'`, `q'(..)'`, `u&'..'`.
    BinaryText,
    HexText,
    EscapedText,
    NationalText,
    OracleText,
    UnicodeText,
}

/// The starts of all bytes.
pub(super) static STARTS: [Start; 256] = {
    let mut table = [Start::Word; 256];
    let mut byte: u8 = 255;
    loop {
        table[byte as usize] = match byte {
            0..=b' ' | 0x7f | 0xa0 => Start::Space,
            b'!' | b'&' | b'*' | b':' | b'<'..=b'>' | b'|' => Start::Pair,
            b'%' | b'+' | b'^' | b'~' => Start::Single(Kind::Operator),
            b'?' | b']' => Start::Single(Kind::Unknown),
            b'(' => Start::Single(Kind::LeftParen),
            b')' => Start::Single(Kind::RightParen),
            b'{' => Start::Single(Kind::LeftBrace),
            b'}' => Start::Single(Kind::RightBrace),
            b',' => Start::Single(Kind::Comma),
            b';' => Start::Single(Kind::Semicolon),
            b'-' => Start::Dash,
            b'#' => Start::Hash,
            b'/' => Start::Slash,
            b'\\' => Start::Backslash,
            b'"' | b'\'' => Start::Quote,
            b'`' => Start::Tick,
            b'$' => Start::Money,
            b'@' => Start::At,
            b'.' | b'0'..=b'9' => Start::Digit,
            b'[' => Start::Bracket,
            b'b' | b'B' => Start::BinaryText,
            b'x' | b'X' => Start::HexText,
            b'e' | b'E' => Start::EscapedText,
            b'n' | b'N' => Start::NationalText,
            b'q' | b'Q' => Start::OracleText,
            b'u' | b'U' => Start::UnicodeText,
            _ => Start::Word,
        };
        if byte == 0 {
            break;
        }
        byte -= 1;
    }
    table
};

const WORD_END: u8 = 1;
const WORD_SPLIT: u8 = 1 << 1;
const VARIABLE_END: u8 = 1 << 2;
const SPACE: u8 = 1 << 3;
const PLAIN: u8 = 1 << 4;
const DECIMAL: u8 = 1 << 5;
const MONEY: u8 = 1 << 6;
const HEX: u8 = 1 << 7;

/// NUL belongs to every digit class: the reference implementation's search in a C string finds its terminator.
static CLASSES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte: u8 = 255;
    loop {
        let mut class = 0;
        if matches!(
            byte,
            b' ' | b'['
                | b']'
                | b'{'
                | b'}'
                | b'<'
                | b'>'
                | b':'
                | b'\\'
                | b'?'
                | b'='
                | b'@'
                | b'!'
                | b'#'
                | b'~'
                | b'+'
                | b'-'
                | b'*'
                | b'/'
                | b'&'
                | b'|'
                | b'^'
                | b'%'
                | b'('
                | b')'
                | b','
                | b'\''
                | b';'
                | b'\t'..=b'\r' | b'"' | 0xa0 | 0
        ) {
            class |= WORD_END;
        }
        if matches!(byte, b'.' | b'`') {
            class |= WORD_SPLIT;
        }
        if matches!(
            byte,
            b' ' | b'<'
                | b'>'
                | b':'
                | b'\\'
                | b'?'
                | b'='
                | b'@'
                | b'!'
                | b'#'
                | b'~'
                | b'+'
                | b'-'
                | b'*'
                | b'/'
                | b'&'
                | b'|'
                | b'^'
                | b'%'
                | b'('
                | b')'
                | b','
                | b'\''
                | b';'
                | b'\t'..=b'\r' | b'`' | b'"' | 0
        ) {
            class |= VARIABLE_END;
        }
        if matches!(byte, b' ' | b'\t'..=b'\r' | 0xa0 | 0) {
            class |= SPACE;
        }
        if byte.is_ascii_alphanumeric() || byte == b'_' || (byte >= 0x80 && byte != 0xa0) {
            class |= PLAIN;
        }
        if byte.is_ascii_digit() {
            class |= DECIMAL;
        }
        if byte.is_ascii_digit() || matches!(byte, b'.' | b',' | 0) {
            class |= MONEY;
        }
        if byte.is_ascii_hexdigit() || byte == 0 {
            class |= HEX;
        }
        table[byte as usize] = class;
        if byte == 0 {
            break;
        }
        byte -= 1;
    }
    table
};

const fn is(byte: u8, class: u8) -> bool {
    CLASSES[byte as usize] & class != 0
}

pub(super) fn start(byte: u8) -> Start {
    STARTS[usize::from(byte)]
}

/// A byte that can neither end a word nor start anything but a word or a number.
pub(super) fn is_plain(byte: u8) -> bool {
    is(byte, PLAIN)
}

pub(super) fn is_space(byte: u8) -> bool {
    is(byte, SPACE)
}

pub(super) fn ends_word(byte: u8) -> bool {
    is(byte, WORD_END)
}

pub(super) fn splits_word(byte: u8) -> bool {
    is(byte, WORD_SPLIT)
}

pub(super) fn ends_variable(byte: u8) -> bool {
    is(byte, VARIABLE_END)
}

pub(super) fn is_decimal(byte: u8) -> bool {
    is(byte, DECIMAL)
}

pub(super) fn is_money(byte: u8) -> bool {
    is(byte, MONEY)
}

pub(super) fn is_hex(byte: u8) -> bool {
    is(byte, HEX)
}

pub(super) fn is_binary(byte: u8) -> bool {
    matches!(byte, b'0' | b'1' | 0)
}

pub(super) fn is_tag_letter(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == 0
}
