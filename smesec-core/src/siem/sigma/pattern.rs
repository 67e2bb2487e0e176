//! Values with wildcards, Sigma's escapes resolved.

/// One piece of a pattern.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[allow(clippy::exhaustive_enums, reason = "the pieces that Sigma knows")]
pub enum Piece {
    /// Text as it stands.
    Text(String),
    /// `?`: any one character.
    One,
    /// `*`: anything, also nothing.
    Many,
    /// Any of the dashes that Windows takes before an option (`windash`).
    Dash,
}

/// What Windows programs take for the dash of an option: hyphen, slash, en dash, em dash,
/// horizontal bar.
pub const DASHES: [char; 5] = ['-', '/', '\u{2013}', '\u{2014}', '\u{2015}'];

/// A value with wildcards.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "a sequence of pieces")]
pub struct Pattern {
    /// The pieces; two texts never follow one another.
    pub pieces: Vec<Piece>,
}

impl Pattern {
    /// Reads a value: `*` and `?` are wildcards, a backslash takes a wildcard's or a backslash's
    /// meaning away and stands for itself before anything else.
    pub fn parse(written: &str) -> Self {
        let mut pattern = Self::default();
        let mut text = String::new();
        let mut escaped = false;
        for c in written.chars() {
            match c {
                '*' | '?' | '\\' if escaped => text.push(c),
                _ if escaped => text.extend(['\\', c]),
                '\\' => {
                    escaped = true;
                    continue;
                }
                '*' | '?' => {
                    pattern.push_text(&text);
                    text.clear();
                    pattern.pieces.push(if c == '*' { Piece::Many } else { Piece::One });
                }
                _ => text.push(c),
            }
            escaped = false;
        }
        if escaped {
            text.push('\\');
        }
        pattern.push_text(&text);
        pattern
    }

    /// A text without wildcards.
    pub fn literal(text: &str) -> Self {
        let mut pattern = Self::default();
        pattern.push_text(text);
        pattern
    }

    /// The text, where there is no wildcard.
    pub fn as_literal(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Lets it begin anywhere.
    pub fn open_start(&mut self) {
        if self.pieces.first() != Some(&Piece::Many) {
            self.pieces.insert(0, Piece::Many);
        }
    }

    /// Lets it end anywhere.
    pub fn open_end(&mut self) {
        if self.pieces.last() != Some(&Piece::Many) {
            self.pieces.push(Piece::Many);
        }
    }

    /// Takes every hyphen or slash that begins an option, between something that is no word and a
    /// word, for any of [`DASHES`].
    pub fn with_dashes(&self) -> Self {
        let mut changed = Self::default();
        for piece in &self.pieces {
            let Piece::Text(text) = piece else {
                changed.pieces.push(piece.clone());
                continue;
            };
            let word = |c: char| c.is_alphanumeric() || c == '_';
            let mut before = None;
            let mut run = String::new();
            let mut characters = text.chars().peekable();
            while let Some(c) = characters.next() {
                let begins = matches!(c, '-' | '/')
                    && !before.is_some_and(word)
                    && characters.peek().is_some_and(|next| word(*next));
                if begins {
                    changed.push_text(&run);
                    run.clear();
                    changed.pieces.push(Piece::Dash);
                } else {
                    run.push(c);
                }
                before = Some(c);
            }
            changed.push_text(&run);
        }
        changed
    }

    /// Adds another's pieces.
    pub fn append(&mut self, other: &Self) {
        for piece in &other.pieces {
            match piece {
                Piece::Text(text) => self.push_text(text),
                Piece::Many if self.pieces.last() == Some(&Piece::Many) => {}
                other => self.pieces.push(other.clone()),
            }
        }
    }

    fn push_text(&mut self, text: &str) {
        match self.pieces.last_mut() {
            _ if text.is_empty() => {}
            Some(Piece::Text(before)) => before.push_str(text),
            _ => self.pieces.push(Piece::Text(text.to_owned())),
        }
    }
}

/// As a rule would write it.
impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => f.write_str(text)?,
                Piece::One => f.write_str("?")?,
                Piece::Many => f.write_str("*")?,
                Piece::Dash => f.write_str("-")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Piece {
        Piece::Text(text.to_owned())
    }

    #[test]
    fn wildcards_and_escapes() {
        for (written, means) in [
            ("a*b?c", vec![text("a"), Piece::Many, text("b"), Piece::One, text("c")]),
            (r"\*a\?", vec![text("*a?")]),
            (r"C:\Windows", vec![text(r"C:\Windows")]),
            (r"\\server", vec![text(r"\server")]),
            (r"\\*", vec![text(r"\"), Piece::Many]),
            (r"a\", vec![text(r"a\")]),
            (r"\\\*", vec![text(r"\*")]),
            ("", vec![]),
        ] {
            assert_eq!(Pattern::parse(written).pieces, means, "{written}");
        }
        assert_eq!(Pattern::parse("").as_literal(), Some(""));
        assert_eq!(Pattern::parse("a*").as_literal(), None);
    }

    #[test]
    fn only_a_dash_that_begins_an_option_is_any_dash() {
        let dashes = |written: &str| Pattern::parse(written).with_dashes().pieces;
        assert_eq!(dashes(" -enc"), [text(" "), Piece::Dash, text("enc")]);
        assert_eq!(dashes("/enc"), [Piece::Dash, text("enc")]);
        assert_eq!(dashes("a-b"), [text("a-b")]);
        assert_eq!(dashes(" - "), [text(" - ")]);
        assert_eq!(dashes("--force"), [text("-"), Piece::Dash, text("force")]);
    }
}
