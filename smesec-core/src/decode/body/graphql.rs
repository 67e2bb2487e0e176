//! GraphQL documents: the names and literals that rules inspect, and the shape that limits bound.
//!
//! The reader follows the tokens of an executable document and keeps a stack of open brackets; it
//! does not validate against a schema. What is reported is what a client may choose freely.
//!
//! ```
//! use smesec_core::decode::body::graphql::{GraphqlLimits, GraphqlPart, parse_graphql};
//!
//! let query = br#"query Q($id: ID!) { first: user(id: $id, note: "a\"b") { name } }"#;
//! let mut literals = Vec::new();
//! let shape = parse_graphql(query, GraphqlLimits::default(), &mut |part| {
//!     if let GraphqlPart::String(text) = part {
//!         literals.push(text.to_vec());
//!     }
//! })?;
//! assert_eq!(literals, [b"a\"b".to_vec()]);
//! assert_eq!((shape.depth, shape.aliases, shape.fields), (2, 1, 2));
//! # Ok::<(), smesec_core::decode::body::graphql::GraphqlError>(())
//! ```
//!
//! Source: the GraphQL specification of October 2021, sections 2 and B.

use memchr::{memchr3, memmem};
use std::fmt;

/// What a GraphQL document may cost; see [`Default`] for the values and their reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GraphqlLimits {
    /// Bytes of the document.
    pub bytes: usize,
    /// Tokens of the document.
    pub tokens: usize,
    /// Brackets open at once.
    pub depth: usize,
}

impl Default for GraphqlLimits {
    fn default() -> Self {
        Self {
            // The largest queries that code generators write have some 100 KiB.
            bytes: 1 << 20,
            // Servers that limit tokens stop at 15,000; ours must not be the smaller number.
            tokens: 20_000,
            // Introspection needs 13; servers that limit depth allow less than 50.
            depth: 200,
        }
    }
}

/// A piece of a document, in the order of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GraphqlPart<'a> {
    /// A string, unescaped. The indentation of a block string is kept.
    String(&'a [u8]),
    /// A number as written.
    Number(&'a [u8]),
    /// The name of an enum value.
    Enum(&'a [u8]),
    /// The name of a field.
    Field(&'a [u8]),
    /// The alias before a field.
    Alias(&'a [u8]),
    /// The name of an argument, or of a field of an input object.
    Argument(&'a [u8]),
    /// The name of a directive, without the `@`.
    Directive(&'a [u8]),
    /// The name of a variable, without the `$`.
    Variable(&'a [u8]),
    /// The name of an operation.
    Operation(&'a [u8]),
    /// The name of a fragment, defined or spread.
    Fragment(&'a [u8]),
    /// The name of a type.
    Type(&'a [u8]),
}

/// What a document amounts to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GraphqlShape {
    /// Selection sets open at once, at most.
    pub depth: usize,
    /// Fields selected.
    pub fields: usize,
    /// Aliases given.
    pub aliases: usize,
    /// Directives applied.
    pub directives: usize,
    /// Operations defined.
    pub operations: usize,
    /// Fragments defined.
    pub fragments: usize,
    /// Fragments spread.
    pub spreads: usize,
    /// Tokens read.
    pub tokens: usize,
}

/// Why a document was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GraphqlFault {
    /// A byte that begins no token.
    UnexpectedByte,
    /// A token where the grammar has none of its kind.
    UnexpectedToken,
    /// A bracket closes another one than is open.
    UnbalancedBracket,
    /// A string has no end, or a line end inside.
    UnterminatedString,
    /// A backslash in a string is followed by something that the grammar does not name.
    InvalidEscape,
    /// A number is malformed.
    InvalidNumber,
    /// The document ends inside brackets, or is empty.
    Truncated,
    /// [`GraphqlLimits::bytes`] was reached.
    TooLong,
    /// [`GraphqlLimits::tokens`] was reached.
    TooManyTokens,
    /// [`GraphqlLimits::depth`] was reached.
    TooDeep,
}

impl GraphqlFault {
    /// True when the document may be well formed but goes beyond a limit.
    pub fn is_limit(self) -> bool {
        matches!(self, Self::TooLong | Self::TooManyTokens | Self::TooDeep)
    }
}

impl fmt::Display for GraphqlFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnexpectedByte => "unexpected byte",
            Self::UnexpectedToken => "unexpected token",
            Self::UnbalancedBracket => "unbalanced bracket",
            Self::UnterminatedString => "unterminated string",
            Self::InvalidEscape => "invalid escape in a string",
            Self::InvalidNumber => "malformed number",
            Self::Truncated => "the document ends too early",
            Self::TooLong => "longer than the limit",
            Self::TooManyTokens => "more tokens than the limit",
            Self::TooDeep => "nested deeper than the limit",
        })
    }
}

/// Where and why a document was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid GraphQL at byte {offset}: {what}")]
pub struct GraphqlError {
    /// The byte at which the token with the fault begins.
    pub offset: usize,
    /// The fault.
    pub what: GraphqlFault,
}

/// Reads a whole document and calls `each` for every part.
///
/// The work is linear in the document, and memory is one string and one entry for each bracket.
///
/// # Errors
/// The first fault; what precedes it was reported.
pub fn parse_graphql(
    document: &[u8],
    limits: GraphqlLimits,
    each: &mut dyn FnMut(GraphqlPart<'_>),
) -> Result<GraphqlShape, GraphqlError> {
    if document.len() > limits.bytes {
        return Err(GraphqlError { offset: limits.bytes, what: GraphqlFault::TooLong });
    }
    let mut lexer = Lexer { rest: document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document) };
    let mut reader = Reader {
        limits,
        shape: GraphqlShape::default(),
        open: Vec::new(),
        selections: 0,
        role: Role::Start,
        text: Vec::new(),
    };
    let fail = |rest: &[u8], what| GraphqlError { offset: document.len() - rest.len(), what };
    lexer.skip_ignored();
    let mut place = lexer.rest;
    let mut token = lexer.next().map_err(|what| fail(place, what))?;
    while token != Token::End {
        lexer.skip_ignored();
        let next_place = lexer.rest;
        // A fault in the next token must not hide this one.
        let next = lexer.next();
        let peeked = next.unwrap_or(Token::End);
        reader.take(token, peeked, each).map_err(|what| fail(place, what))?;
        token = next.map_err(|what| fail(next_place, what))?;
        place = next_place;
    }
    if reader.open.is_empty() && reader.shape.operations + reader.shape.fragments > 0 {
        Ok(reader.shape)
    } else {
        Err(fail(place, GraphqlFault::Truncated))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Name(&'a [u8]),
    Number(&'a [u8]),
    /// The raw content, and whether a backslash is in it.
    String(&'a [u8], bool),
    Block(&'a [u8]),
    Spread,
    Mark(u8),
    End,
}

struct Lexer<'a> {
    rest: &'a [u8],
}

impl<'a> Lexer<'a> {
    fn skip_ignored(&mut self) {
        loop {
            match self.rest {
                [b' ' | b'\t' | b'\r' | b'\n' | b',', tail @ ..] => self.rest = tail,
                [b'#', tail @ ..] => {
                    let end = memchr::memchr2(b'\n', b'\r', tail).unwrap_or(tail.len());
                    self.rest = tail.get(end..).unwrap_or_default();
                }
                _ => return,
            }
        }
    }

    fn next(&mut self) -> Result<Token<'a>, GraphqlFault> {
        let Some((byte, tail)) = self.rest.split_first() else { return Ok(Token::End) };
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'_' => {
                let name = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_';
                Ok(Token::Name(self.split(self.rest.iter().take_while(name).count())))
            }
            b'0'..=b'9' | b'-' => self.number(),
            b'"' => match tail.strip_prefix(b"\"\"") {
                Some(inside) => self.block(inside),
                None => self.string(tail),
            },
            b'.' => {
                self.rest = tail.strip_prefix(b"..").ok_or(GraphqlFault::UnexpectedByte)?;
                Ok(Token::Spread)
            }
            b'!' | b'$' | b'&' | b'(' | b')' | b':' | b'=' | b'@' | b'[' | b']' | b'{' | b'|'
            | b'}' => {
                self.rest = tail;
                Ok(Token::Mark(*byte))
            }
            _ => Err(GraphqlFault::UnexpectedByte),
        }
    }

    fn split(&mut self, width: usize) -> &'a [u8] {
        let (head, tail) = self.rest.split_at_checked(width).unwrap_or((self.rest, &[]));
        self.rest = tail;
        head
    }

    fn number(&mut self) -> Result<Token<'a>, GraphqlFault> {
        let part = |byte: &&u8| {
            byte.is_ascii_alphanumeric() || matches!(**byte, b'.' | b'+' | b'-' | b'_')
        };
        let width = self.rest.iter().take_while(part).count();
        let word = self.rest.get(..width).unwrap_or_default();
        if !super::json::is_number(word) {
            return Err(GraphqlFault::InvalidNumber);
        }
        Ok(Token::Number(self.split(width)))
    }

    fn string(&mut self, inside: &'a [u8]) -> Result<Token<'a>, GraphqlFault> {
        let mut at = 0;
        let mut escaped = false;
        loop {
            let rest = inside.get(at..).unwrap_or_default();
            let end = memchr3(b'"', b'\\', b'\n', rest).ok_or(GraphqlFault::UnterminatedString)?;
            match rest.get(end) {
                Some(b'"') => {
                    let (text, tail) = inside.split_at(at + end);
                    self.rest = tail.get(1..).unwrap_or_default();
                    return Ok(Token::String(text, escaped));
                }
                Some(b'\\') => (escaped, at) = (true, at + end + 2),
                _ => return Err(GraphqlFault::UnterminatedString),
            }
        }
    }

    fn block(&mut self, inside: &'a [u8]) -> Result<Token<'a>, GraphqlFault> {
        let mut from = 0;
        loop {
            let rest = inside.get(from..).unwrap_or_default();
            let at = memmem::find(rest, b"\"\"\"").ok_or(GraphqlFault::UnterminatedString)?;
            let (text, tail) = inside.split_at(from + at);
            if text.ends_with(b"\\") && at > 0 {
                from += at + 3;
                continue;
            }
            self.rest = tail.get(3..).unwrap_or_default();
            return Ok(Token::Block(text));
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Selection,
    Arguments,
    Variables,
    Object,
    List,
    /// A list type, as in `[ID!]`.
    TypeList,
}

/// What the next name or bracket is, where the bracket that is open does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// A definition begins.
    Start,
    /// Inside a definition, before its selection set.
    Header,
    Operation,
    FragmentName,
    /// After `...`.
    Spread,
    TypeCondition,
    Type,
    Directive,
    /// After a directive's name: `(` opens its arguments.
    AfterDirective,
    /// A variable's definition, from its `$` to its `:`.
    Variable,
    /// After a `$`.
    VariableName,
    /// A selection or the name of an argument.
    Key,
    /// The field after an alias, or the value of an argument.
    Value,
}

struct Reader {
    limits: GraphqlLimits,
    shape: GraphqlShape,
    open: Vec<Open>,
    selections: usize,
    role: Role,
    text: Vec<u8>,
}

impl Reader {
    fn take(
        &mut self,
        token: Token<'_>,
        next: Token<'_>,
        each: &mut dyn FnMut(GraphqlPart<'_>),
    ) -> Result<(), GraphqlFault> {
        self.shape.tokens += 1;
        if self.shape.tokens > self.limits.tokens {
            return Err(GraphqlFault::TooManyTokens);
        }
        match token {
            Token::Name(name) => self.name(name, next, each),
            Token::Number(number) => {
                each(GraphqlPart::Number(number));
                self.value()
            }
            Token::String(raw, false) => {
                each(GraphqlPart::String(raw));
                self.value()
            }
            Token::String(raw, true) => {
                self.text.clear();
                unescape(raw, &mut self.text)?;
                each(GraphqlPart::String(&self.text));
                self.value()
            }
            Token::Block(raw) => {
                self.text.clear();
                let mut rest = raw;
                while let Some(at) = memmem::find(rest, b"\\\"\"\"") {
                    self.text.extend_from_slice(rest.get(..at).unwrap_or_default());
                    self.text.extend_from_slice(b"\"\"\"");
                    rest = rest.get(at + 4..).unwrap_or_default();
                }
                self.text.extend_from_slice(rest);
                each(GraphqlPart::String(&self.text));
                self.value()
            }
            Token::Spread => {
                if self.open.last() != Some(&Open::Selection) {
                    return Err(GraphqlFault::UnexpectedToken);
                }
                self.role = Role::Spread;
                Ok(())
            }
            Token::Mark(mark) => self.mark(mark),
            Token::End => Ok(()),
        }
    }

    /// After a value: what may follow depends on the bracket that is open.
    fn value(&mut self) -> Result<(), GraphqlFault> {
        match self.open.last() {
            Some(Open::List) => Ok(()),
            Some(Open::Arguments | Open::Object) if self.role == Role::Value => {
                self.role = Role::Key;
                Ok(())
            }
            Some(Open::Variables) if self.role == Role::Value => {
                self.role = Role::Variable;
                Ok(())
            }
            // The description of a definition, in documents that hold type definitions too.
            None if self.role == Role::Start => Ok(()),
            _ => Err(GraphqlFault::UnexpectedToken),
        }
    }

    fn name(
        &mut self,
        name: &[u8],
        next: Token<'_>,
        each: &mut dyn FnMut(GraphqlPart<'_>),
    ) -> Result<(), GraphqlFault> {
        let named = matches!(next, Token::Name(_));
        match (self.role, self.open.last()) {
            (Role::Start, None) => {
                self.role = Role::Header;
                match name {
                    b"query" | b"mutation" | b"subscription" => {
                        self.shape.operations += 1;
                        if named {
                            self.role = Role::Operation;
                        }
                    }
                    b"fragment" => {
                        self.shape.fragments += 1;
                        self.role = Role::FragmentName;
                    }
                    _ => return Err(GraphqlFault::UnexpectedToken),
                }
            }
            (Role::Operation, _) => {
                each(GraphqlPart::Operation(name));
                self.role = Role::Header;
            }
            (Role::FragmentName, _) => {
                each(GraphqlPart::Fragment(name));
                self.role = Role::Header;
            }
            (Role::Header, None) if name == b"on" => self.role = Role::TypeCondition,
            (Role::Spread, _) if name == b"on" && named => self.role = Role::TypeCondition,
            (Role::Spread, _) => {
                self.shape.spreads += 1;
                each(GraphqlPart::Fragment(name));
                self.role = Role::Key;
            }
            (Role::TypeCondition, open) => {
                each(GraphqlPart::Type(name));
                self.role = if open.is_some() { Role::Key } else { Role::Header };
            }
            (Role::Directive, _) => {
                self.shape.directives += 1;
                each(GraphqlPart::Directive(name));
                self.role = Role::AfterDirective;
            }
            (Role::VariableName, open) => {
                each(GraphqlPart::Variable(name));
                self.role = match open {
                    Some(Open::Variables) => Role::Variable,
                    Some(Open::List) => Role::Value,
                    _ => Role::Key,
                };
            }
            (Role::Variable, Some(Open::Variables)) => return Err(GraphqlFault::UnexpectedToken),
            (_, Some(Open::List)) => Self::enum_value(name, each),
            (_, Some(Open::TypeList)) | (Role::Type, _) => {
                each(GraphqlPart::Type(name));
                if self.open.last() == Some(&Open::Variables) {
                    self.role = Role::Variable;
                }
            }
            (role, Some(Open::Selection)) => {
                if role != Role::Value && next == Token::Mark(b':') {
                    self.shape.aliases += 1;
                    each(GraphqlPart::Alias(name));
                } else {
                    self.shape.fields += 1;
                    each(GraphqlPart::Field(name));
                    self.role = Role::Key;
                }
            }
            (Role::Key, Some(Open::Arguments | Open::Object)) => {
                if next != Token::Mark(b':') {
                    return Err(GraphqlFault::UnexpectedToken);
                }
                each(GraphqlPart::Argument(name));
            }
            (Role::Value, Some(_)) => {
                Self::enum_value(name, each);
                return self.value();
            }
            _ => return Err(GraphqlFault::UnexpectedToken),
        }
        Ok(())
    }

    fn enum_value(name: &[u8], each: &mut dyn FnMut(GraphqlPart<'_>)) {
        if !matches!(name, b"true" | b"false" | b"null") {
            each(GraphqlPart::Enum(name));
        }
    }

    fn mark(&mut self, mark: u8) -> Result<(), GraphqlFault> {
        let open = self.open.last().copied();
        match (mark, open) {
            (b'{', None)
                if matches!(self.role, Role::Start | Role::Header | Role::AfterDirective) =>
            {
                if self.role == Role::Start {
                    self.shape.operations += 1;
                }
                self.push(Open::Selection, Role::Key)
            }
            (b'{', Some(Open::Selection)) => self.push(Open::Selection, Role::Key),
            (b'{', Some(Open::List)) => self.push(Open::Object, Role::Key),
            (b'{', Some(_)) if self.role == Role::Value => self.push(Open::Object, Role::Key),
            (b'(', _) if self.role == Role::AfterDirective => self.push(Open::Arguments, Role::Key),
            (b'(', None) if self.role == Role::Header => self.push(Open::Variables, Role::Variable),
            (b'(', Some(Open::Selection)) => self.push(Open::Arguments, Role::Key),
            (b'[', Some(Open::Variables)) if self.role == Role::Type => {
                self.push(Open::TypeList, Role::Type)
            }
            (b'[', Some(Open::TypeList)) => self.push(Open::TypeList, Role::Type),
            (b'[', Some(Open::List)) => self.push(Open::List, Role::Value),
            (b'[', Some(_)) if self.role == Role::Value => self.push(Open::List, Role::Value),
            (b'}', Some(Open::Selection | Open::Object))
            | (b')', Some(Open::Arguments | Open::Variables))
            | (b']', Some(Open::List | Open::TypeList)) => {
                self.pop();
                Ok(())
            }
            (b'}' | b')' | b']', _) => Err(GraphqlFault::UnbalancedBracket),
            (b':', Some(Open::Variables)) => self.expect(Role::Type),
            (b':', Some(Open::Selection | Open::Arguments | Open::Object)) => {
                self.expect(Role::Value)
            }
            (b'=', Some(Open::Variables)) => self.expect(Role::Value),
            (b'!', Some(Open::Variables | Open::TypeList)) => Ok(()),
            (b'@', None) if self.role != Role::Start => self.expect(Role::Directive),
            (b'@', Some(Open::Selection | Open::Variables)) => self.expect(Role::Directive),
            (b'$', Some(Open::Variables | Open::List)) => self.expect(Role::VariableName),
            (b'$', Some(_)) if self.role == Role::Value => self.expect(Role::VariableName),
            _ => Err(GraphqlFault::UnexpectedToken),
        }
    }

    fn expect(&mut self, role: Role) -> Result<(), GraphqlFault> {
        self.role = role;
        Ok(())
    }

    fn push(&mut self, open: Open, role: Role) -> Result<(), GraphqlFault> {
        if self.open.len() >= self.limits.depth {
            return Err(GraphqlFault::TooDeep);
        }
        self.open.push(open);
        self.role = role;
        if open == Open::Selection {
            self.selections += 1;
            self.shape.depth = self.shape.depth.max(self.selections);
        }
        Ok(())
    }

    fn pop(&mut self) {
        let closed = self.open.pop();
        if closed == Some(Open::Selection) {
            self.selections -= 1;
        }
        self.role = match (closed, self.open.last()) {
            (Some(Open::Selection), None) => Role::Start,
            (_, None) => Role::Header,
            (_, Some(Open::Variables)) => Role::Variable,
            (_, Some(Open::List)) => Role::Value,
            (_, Some(Open::TypeList)) => Role::Type,
            _ => Role::Key,
        };
    }
}

/// Section 2.9.4; the later drafts' `\u{...}` is read too.
fn unescape(raw: &[u8], out: &mut Vec<u8>) -> Result<(), GraphqlFault> {
    let mut rest = raw;
    let mut high: Option<u16> = None;
    while let Some((byte, tail)) = rest.split_first() {
        let mut plain = [*byte];
        let mut decoded: &[u8] = &plain;
        let mut utf8 = [0; 4];
        rest = tail;
        if *byte == b'\\' {
            let (kind, tail) = rest.split_first().ok_or(GraphqlFault::InvalidEscape)?;
            rest = tail;
            if *kind == b'u' {
                let (digits, tail) = match rest.strip_prefix(b"{") {
                    Some(inside) => {
                        let end = memchr::memchr(b'}', inside).unwrap_or(inside.len());
                        (inside.get(..end), inside.get(end + 1..))
                    }
                    None => (rest.get(..4), rest.get(4..)),
                };
                let value = digits.and_then(hex).ok_or(GraphqlFault::InvalidEscape)?;
                rest = tail.ok_or(GraphqlFault::InvalidEscape)?;
                let unit = u16::try_from(value).ok();
                match (high.take(), unit) {
                    (Some(first), Some(second)) if (0xdc00..0xe000).contains(&second) => {
                        out.extend(char::decode_utf16([first, second]).flatten().flat_map(utf8_of));
                        continue;
                    }
                    (Some(_), _) => out.extend(utf8_of(char::REPLACEMENT_CHARACTER)),
                    (None, _) => {}
                }
                if let Some(unit) = unit.filter(|unit| (0xd800..0xdc00).contains(unit)) {
                    high = Some(unit);
                    continue;
                }
                let character = char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER);
                decoded = character.encode_utf8(&mut utf8).as_bytes();
            } else {
                plain = [match kind {
                    b'"' | b'\\' | b'/' => *kind,
                    b'b' => 8,
                    b'f' => 12,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    _ => return Err(GraphqlFault::InvalidEscape),
                }];
                decoded = &plain;
            }
        }
        if high.take().is_some() {
            out.extend(utf8_of(char::REPLACEMENT_CHARACTER));
        }
        out.extend_from_slice(decoded);
    }
    if high.is_some() {
        out.extend(utf8_of(char::REPLACEMENT_CHARACTER));
    }
    Ok(())
}

fn utf8_of(character: char) -> impl Iterator<Item = u8> {
    let mut utf8 = [0; 4];
    let width = character.encode_utf8(&mut utf8).len();
    utf8.into_iter().take(width)
}

fn hex(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    digits.iter().try_fold(0_u32, |value, digit| {
        Some(value.wrapping_shl(4) | char::from(*digit).to_digit(16)?)
    })
}

#[cfg(test)]
#[path = "graphql_tests.rs"]
mod tests;
