//! Folding: the row of tokens to at most five that keep what matters.
//!
//! The row is worked on from left to right with a look at two, then at three tokens; each rule drops or
//! changes some, and most then start over from the left.

use super::Fingerprint;
use super::lexer::Lexer;
use super::token::{Kind, Token};
use super::words::look_up_phrase;

/// The length of a full fingerprint.
const FULL: usize = 5;
/// One token more is read to learn what the fifth is; the rest rounds up to a mask.
const SLOTS: usize = 8;

/// Names that are functions where a parenthesis follows, else columns or variables.
const CALLABLE: [&[u8]; 11] = [
    b"USER_ID",
    b"USER_NAME",
    b"DATABASE",
    b"PASSWORD",
    b"USER",
    b"CURRENT_USER",
    b"CURRENT_DATE",
    b"CURRENT_TIME",
    b"CURRENT_TIMESTAMP",
    b"LOCALTIME",
    b"LOCALTIMESTAMP",
];

/// The row of tokens, folded by [`Row::fold`].
#[derive(Debug)]
pub(super) struct Row<'a> {
    slots: [Token<'a>; SLOTS],
    /// Tokens held.
    end: usize,
    /// Where the rules look; what lies before is settled for now.
    base: usize,
    /// The last comment, if no token has followed it.
    trailing_comment: Option<Token<'a>>,
    exhausted: bool,
}

/// The first token that is not a comment, parenthesis, type or sign.
fn first_of_weight<'a>(lexer: &mut Lexer<'a>) -> Option<Token<'a>> {
    loop {
        let token = lexer.next_token()?;
        if !matches!(token.kind, Kind::Comment | Kind::LeftParen | Kind::SqlType)
            && !token.is_unary()
        {
            return Some(token);
        }
    }
}

/// What a rule did.
enum Step {
    /// Look again.
    Again,
    /// Nothing for two tokens; try three.
    Further,
    /// The row is final as it stands.
    Final,
}

impl<'a> Row<'a> {
    pub(super) const EMPTY: Self = Self {
        slots: [Token::NONE; SLOTS],
        end: 0,
        base: 0,
        trailing_comment: None,
        exhausted: false,
    };

    pub(super) fn tokens(&self) -> &[Token<'a>] {
        self.slots.get(..self.end).unwrap_or_default()
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        let mut fingerprint = Fingerprint::default();
        for token in self.tokens() {
            if token.kind == Kind::Evil {
                let mut evil = Fingerprint::default();
                evil.push(Kind::Evil.symbol());
                return evil;
            }
            fingerprint.push(token.kind.symbol());
        }
        fingerprint
    }

    /// Reads `lexer` as far as needed and folds what it gives.
    pub(super) fn fold(&mut self, lexer: &mut Lexer<'a>) {
        let Some(first) = first_of_weight(lexer) else { return };
        self.push(first);
        self.run(lexer);
        // An empty, unclosed back quote at the end hides the rest of a MySQL statement like a comment.
        if self.end > 2
            && let Some(last) = self.slots.get_mut(self.end - 1)
            && last.kind == Kind::Bareword
            && (last.open, last.close) == (b'`', 0)
            && last.text.is_empty()
        {
            last.kind = Kind::Comment;
        }
    }

    fn run(&mut self, lexer: &mut Lexer<'a>) {
        loop {
            if self.end >= FULL && self.is_tedious() {
                if self.end > FULL {
                    self.set(1, self.at(FULL));
                    self.end = 2;
                } else {
                    self.end = 1;
                }
                self.base = 0;
            }
            if self.exhausted || self.base >= FULL {
                break;
            }
            if !self.fill(lexer, 2) {
                continue;
            }
            match self.fold_two() {
                Step::Again => continue,
                Step::Further => {}
                Step::Final => return,
            }
            if self.fill(lexer, 3) && !self.fold_three() {
                self.base += 1;
            }
        }
        if self.end < FULL
            && let Some(comment) = self.trailing_comment
        {
            self.push(comment);
        }
        self.end = self.end.min(FULL);
    }

    /// Reads until `wanted` tokens stand at the base; where that fails, the base moves to the end.
    fn fill(&mut self, lexer: &mut Lexer<'a>, wanted: usize) -> bool {
        while !self.exhausted && self.end <= FULL && self.end - self.base < wanted {
            match lexer.next_token() {
                Some(comment) if comment.kind == Kind::Comment => {
                    self.trailing_comment = Some(comment);
                }
                Some(token) => {
                    self.trailing_comment = None;
                    self.push(token);
                }
                None => self.exhausted = true,
            }
        }
        let enough = self.end - self.base >= wanted;
        if !enough {
            self.base = self.end;
        }
        enough
    }

    /// Whether the five tokens are arithmetic or a list that tells nothing, such as `1,(1)`.
    fn is_tedious(&self) -> bool {
        use Kind::{Bareword, Comma, LeftParen, Number, Operator, RightParen};
        let [first, second, third, fourth, fifth, ..] = &self.slots;
        match (first.kind, second.kind) {
            (Number, Operator | Comma) => {
                (third.kind, fourth.kind, fifth.kind) == (LeftParen, Number, RightParen)
            }
            (Bareword, Operator) => {
                matches!(
                    (third.kind, fourth.kind, fifth.kind),
                    (LeftParen, Bareword | Number, RightParen)
                )
            }
            (Number, RightParen) => {
                (third.kind, fourth.kind, fifth.kind) == (Comma, LeftParen, Number)
            }
            (Bareword, RightParen) => {
                (third.kind, fourth.kind, fifth.kind) == (Operator, LeftParen, Bareword)
            }
            _ => false,
        }
    }

    fn fold_two(&mut self) -> Step {
        use Kind::{
            Bareword, Collate, Function, Keyword, LeftBrace, LeftParen, Logic, Number, Operator,
            RightBrace, RightParen, Semicolon, SqlType, Text, Tsql, Variable,
        };
        let (a, b) = (self.at(self.base), self.at(self.base + 1));
        match (a.kind, b.kind) {
            (Text, Text) | (Semicolon, Semicolon) => self.drop_last(1, self.base),
            (Operator | Logic, _) if b.kind == SqlType || b.is_unary() => self.drop_last(1, 0),
            (LeftParen, _) if b.is_unary() => self.drop_last(1, self.base.saturating_sub(1)),
            (_, _) if let Some(phrase) = merged(&a, &b) => {
                self.set(self.base, phrase);
                self.drop_last(1, self.base.saturating_sub(1))
            }
            // A statement of Transact-SQL here, else a function.
            (Semicolon, Function) if matches!(b.text, [b'i' | b'I', b'f' | b'F', ..]) => {
                self.change(self.base + 1, Tsql)
            }
            (Bareword | Variable, LeftParen) if CALLABLE.iter().any(|name| a.is_word(name)) => {
                self.change(self.base, Function)
            }
            (Keyword, _) if a.is_word(b"IN") || a.is_word(b"NOT IN") => {
                self.change(self.base, if b.kind == LeftParen { Operator } else { Bareword })
            }
            (Operator, _) if a.is_word(b"LIKE") || a.is_word(b"NOT LIKE") => {
                if b.kind == LeftParen {
                    self.change(self.base, Function);
                }
                Step::Further
            }
            (SqlType, Bareword | Number | SqlType | LeftParen | Function | Variable | Text) => {
                self.set(self.base, b);
                self.drop_last(1, 0)
            }
            // There are too many collations to list; an underscore tells one.
            (Collate, Bareword) => {
                let name = b.text.split(|&byte| byte == 0).next().unwrap_or_default();
                if name.contains(&b'_') {
                    self.change(self.base + 1, SqlType);
                    self.base = 0;
                }
                Step::Further
            }
            // Transact-SQL reads `\%1` as `0 % 1` and `\1` as `1`.
            (Kind::Backslash, _) if b.is_arithmetic() => {
                self.change(self.base, Number);
                self.base = 0;
                Step::Again
            }
            (Kind::Backslash, _) => {
                self.set(self.base, b);
                self.drop_last(1, 0)
            }
            (LeftParen, LeftParen) | (RightParen, RightParen) => self.drop_last(1, 0),
            // MySQL takes {``.``.a}; nobody writes it.
            (LeftBrace, Bareword) if b.text.is_empty() => {
                self.change(self.base + 1, Kind::Evil);
                self.end = self.base + 2;
                Step::Final
            }
            // ODBC's {name expression} is the expression.
            (LeftBrace, Bareword) => self.drop_last(2, 0),
            (_, RightBrace) => self.drop_last(1, 0),
            _ => Step::Further,
        }
    }

    /// Whether a rule for three tokens did something.
    fn fold_three(&mut self) -> bool {
        use Kind::{
            Bareword, Comma, Dot, Expression, Function, Group, Keyword, LeftParen, Logic, Number,
            Operator, RightParen, SqlType, Text, Variable,
        };
        let [a, b, c] = [0, 1, 2].map(|ahead| self.at(self.base + ahead));
        match (a.kind, b.kind, c.kind) {
            (Number, Operator, Number)
            | (Logic, _, Logic)
            | (Variable, Operator, Variable | Number | Bareword)
            | (Bareword | Number, Operator, Number | Bareword)
            | (Bareword | Number | Text | Variable, Comma, Number | Bareword | Text | Variable)
            | (Bareword, Dot, Bareword) => {
                self.drop_last(2, 0);
            }
            (Operator, _, Operator) if b.kind != LeftParen => {
                self.drop_last(2, 0);
            }
            (Bareword | Number | Variable | Text, Operator, SqlType) if b.text == b"::" => {
                self.drop_last(2, 0);
            }
            (Expression | Group | Comma, _, LeftParen)
            | (Keyword | Expression | Group, _, Number | Bareword | Variable | Text | Function)
            | (Comma, _, Function)
                if b.is_unary() =>
            {
                self.set(self.base + 1, c);
                self.drop_last(1, 0);
            }
            // `1,-1` is a list once the sign is gone: step back so that it folds.
            (Comma, _, Number | Bareword | Variable | Text) if b.is_unary() => {
                self.set(self.base + 1, c);
                self.drop_last(3, 0);
            }
            (Expression, Dot, Bareword) => {
                self.set(self.base + 1, c);
                self.drop_last(1, 0);
            }
            // USER() takes no argument; USER(x) is something else.
            (Function, LeftParen, _) if c.kind != RightParen && a.is_word(b"USER") => {
                self.change(self.base, Bareword);
                return false;
            }
            _ => return false,
        }
        true
    }

    #[expect(clippy::indexing_slicing, reason = "index masked to the eight slots")]
    fn at(&self, index: usize) -> Token<'a> {
        self.slots[index & (SLOTS - 1)]
    }

    fn set(&mut self, index: usize, token: Token<'a>) {
        if let Some(slot) = self.slots.get_mut(index) {
            *slot = token;
        }
    }

    fn change(&mut self, index: usize, kind: Kind) -> Step {
        if let Some(slot) = self.slots.get_mut(index) {
            slot.kind = kind;
        }
        Step::Again
    }

    fn push(&mut self, token: Token<'a>) {
        self.set(self.end, token);
        self.end += 1;
    }

    fn drop_last(&mut self, count: usize, base: usize) -> Step {
        self.end = self.end.saturating_sub(count);
        self.base = base;
        Step::Again
    }
}

/// Two words that make a phrase, such as UNION and ALL.
fn merged<'a>(a: &Token<'a>, b: &Token<'a>) -> Option<Token<'a>> {
    use Kind::{Bareword, Expression, Function, Keyword, Logic, Operator, SqlType, Tsql, Union};
    let first = matches!(
        a.kind,
        Keyword | Bareword | Operator | Union | Function | Expression | Tsql | SqlType
    );
    let second = matches!(
        b.kind,
        Keyword | Bareword | Operator | Union | Function | Expression | Tsql | SqlType | Logic
    );
    if !first || !second {
        return None;
    }
    let (kind, text) = look_up_phrase(a.text, b.text)?;
    Some(Token { kind, text, ..*a })
}
