//! Patterns made ready to run over folded or raw text.

use super::fold::fold;
use crate::siem::sigma::{DASHES, Pattern, Piece};
use memchr::memmem::Finder;

/// A pattern made ready.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "a box would be one more wait for memory per value")]
pub(in crate::siem) enum TextTest {
    /// Anything.
    Any,
    Exact(Box<str>),
    Prefix(Box<str>),
    Suffix(Box<str>),
    Contains(Finder<'static>),
    Glob(Box<Glob>),
}

/// A pattern with inner wildcards.
#[derive(Debug)]
pub(in crate::siem) struct Glob {
    /// The pieces between the `*`.
    segments: Vec<Vec<Piece>>,
    open_start: bool,
    open_end: bool,
    /// The longest text of it: without that there is no need to look further.
    needs: Option<Finder<'static>>,
}

impl TextTest {
    /// Makes a pattern ready; without `cased` it is folded, and so must be what it runs over.
    pub(in crate::siem) fn new(pattern: &Pattern, cased: bool) -> Self {
        let text = |text: &str| if cased { text.to_owned() } else { fold(text) };
        match pattern.pieces.as_slice() {
            [] => Self::Exact("".into()),
            [Piece::Many] => Self::Any,
            [Piece::Text(t)] => Self::Exact(text(t).into()),
            [Piece::Text(t), Piece::Many] => Self::Prefix(text(t).into()),
            [Piece::Many, Piece::Text(t)] => Self::Suffix(text(t).into()),
            [Piece::Many, Piece::Text(t), Piece::Many] => {
                Self::Contains(Finder::new(text(t).as_bytes()).into_owned())
            }
            pieces => {
                let folded: Vec<Piece> = pieces
                    .iter()
                    .map(|piece| match piece {
                        Piece::Text(t) => Piece::Text(text(t)),
                        other => other.clone(),
                    })
                    .collect();
                Self::Glob(Box::new(Glob::new(&folded)))
            }
        }
    }

    /// Whether the text fits.
    pub(in crate::siem) fn fits(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(wanted) => **wanted == *text,
            Self::Prefix(wanted) => text.starts_with(&**wanted),
            Self::Suffix(wanted) => text.ends_with(&**wanted),
            Self::Contains(finder) => finder.find(text.as_bytes()).is_some(),
            Self::Glob(glob) => glob.fits(text),
        }
    }

    /// What a run costs, in the cost of a comparison.
    pub(super) const fn cost(&self) -> u32 {
        match self {
            Self::Any | Self::Exact(_) => 1,
            Self::Prefix(_) | Self::Suffix(_) => 2,
            Self::Contains(_) => 10,
            Self::Glob(_) => 25,
        }
    }
}

impl Glob {
    fn new(pieces: &[Piece]) -> Self {
        let longest = pieces.iter().filter_map(|piece| match piece {
            Piece::Text(text) => Some(text),
            _ => None,
        });
        let needs = longest.max_by_key(|text| text.len());
        let mut segments: Vec<Vec<Piece>> =
            pieces.split(|piece| *piece == Piece::Many).map(<[Piece]>::to_vec).collect();
        let open_start = segments.first().is_some_and(Vec::is_empty);
        let open_end = segments.last().is_some_and(Vec::is_empty);
        segments.retain(|segment| !segment.is_empty());
        Self {
            segments,
            open_start,
            open_end,
            needs: needs.map(|text| Finder::new(text.as_bytes()).into_owned()),
        }
    }

    fn fits(&self, text: &str) -> bool {
        if self.needs.as_ref().is_some_and(|needs| needs.find(text.as_bytes()).is_none()) {
            return false;
        }
        let mut rest = text;
        let mut segments = self.segments.as_slice();
        if !self.open_start {
            let Some((first, others)) = segments.split_first() else { return rest.is_empty() };
            let Some(after) = begin(first, rest) else { return false };
            (rest, segments) = (after, others);
            if segments.is_empty() && !self.open_end {
                return rest.is_empty();
            }
        }
        if !self.open_end {
            let Some((last, others)) = segments.split_last() else { return rest.is_empty() };
            let Some(before) = end(last, rest) else { return false };
            (rest, segments) = (before, others);
        }
        for segment in segments {
            let Some(after) = find(segment, rest) else { return false };
            rest = after;
        }
        true
    }
}

/// What follows the pieces at the beginning of a text.
fn begin<'t>(pieces: &[Piece], text: &'t str) -> Option<&'t str> {
    pieces.iter().try_fold(text, |rest, piece| match piece {
        Piece::Text(wanted) => rest.strip_prefix(wanted.as_str()),
        Piece::One => rest.strip_prefix(|_: char| true),
        Piece::Dash => rest.strip_prefix(DASHES),
        Piece::Many => Some(rest),
    })
}

/// What stands before the pieces at the end of a text.
fn end<'t>(pieces: &[Piece], text: &'t str) -> Option<&'t str> {
    pieces.iter().rev().try_fold(text, |rest, piece| match piece {
        Piece::Text(wanted) => rest.strip_suffix(wanted.as_str()),
        Piece::One => rest.strip_suffix(|_: char| true),
        Piece::Dash => rest.strip_suffix(DASHES),
        Piece::Many => Some(rest),
    })
}

/// What follows the first place where the pieces stand. They are of a fixed number of characters,
/// so the first place is the best for what comes after.
fn find<'t>(pieces: &[Piece], text: &'t str) -> Option<&'t str> {
    let mut rest = text;
    loop {
        let skip = match pieces.first()? {
            Piece::Text(wanted) => rest.find(wanted.as_str())?,
            Piece::Dash => rest.find(DASHES)?,
            Piece::One | Piece::Many => 0,
        };
        rest = rest.get(skip..)?;
        if let Some(after) = begin(pieces, rest) {
            return Some(after);
        }
        rest = rest.strip_prefix(|_: char| true)?;
    }
}

/// The texts that stand in whatever fits, folded: at least one of the pattern's.
pub(super) fn texts(pattern: &Pattern) -> impl Iterator<Item = String> {
    pattern.pieces.iter().filter_map(|piece| match piece {
        Piece::Text(text) => Some(fold(text)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, text: &str) -> bool {
        TextTest::new(&Pattern::parse(pattern), false).fits(&fold(text))
    }

    #[test]
    fn wildcards_stand_for_what_they_say() {
        for (pattern, yes, no) in [
            ("a*c", "aBc", "acb"),
            ("a?c", "abc", "ac"),
            ("a?c", "aéc", "abbc"),
            ("*a*b*", "xaxbx", "bxa"),
            ("a*a", "aa", "a"),
            ("*.exe", "X.EXE", "x.exe1"),
            ("?*", "x", ""),
            ("a*b*c", "abbc", "acb"),
            ("a*bc", "abcbc", "abcb"),
            ("*?b", "ab", "b"),
            ("*", "", "\0"),
            ("a*b?", "abab!", "ab"),
        ] {
            assert!(fits(pattern, yes), "{pattern} {yes}");
            assert!(pattern == "*" || !fits(pattern, no), "{pattern} {no}");
        }
    }

    #[test]
    fn dashes_are_any_of_five() {
        let mut pattern = Pattern::parse(" -enc").with_dashes();
        pattern.open_start();
        pattern.open_end();
        let test = TextTest::new(&pattern, false);
        for dash in DASHES {
            assert!(test.fits(&format!("powershell {dash}enc x")), "{dash}");
        }
        assert!(!test.fits("powershell +enc x"));
    }
}
