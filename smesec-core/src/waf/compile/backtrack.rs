//! Patterns with look-around or back-references: no automaton runs them, so a backtracking engine
//! does, under a limit of steps (feature `backtrack`).

use super::pattern::Pattern;
use super::requirement::Requirement;

/// Backtracks of one search unless the host says otherwise.
pub(crate) const LIMIT: usize = 100_000;

/// Byte ranges of the value: the whole match and its groups, or with `@rxGlobal` all matches.
pub(crate) type Spans = Vec<Option<(usize, usize)>>;

/// How many captures rules can read.
#[cfg(feature = "backtrack")]
const MAX_CAPTURES: usize = 10;

/// The search took more steps than the limit allows; whether it matches is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OverLimit;

/// A pattern beyond linear time.
#[cfg(feature = "backtrack")]
#[derive(Debug)]
pub(crate) struct Backtrack {
    /// Ends after a hundredth of the limit, which is enough for most values: a search that takes more
    /// is charged to the transaction, since the engine does not tell its steps.
    quick: fancy_regex::Regex,
    whole: fancy_regex::Regex,
    /// The pattern without what needs backtracking: it matches wherever the pattern does, in linear
    /// time, so that the other engine runs on few values.
    relaxed: Option<Pattern>,
    global: bool,
    limit: usize,
}

/// Without the feature there is none.
#[cfg(not(feature = "backtrack"))]
#[derive(Debug)]
pub(crate) enum Backtrack {}

#[cfg(not(feature = "backtrack"))]
impl Backtrack {
    /// # Errors
    /// Always: what needs the feature, and its name.
    pub(crate) fn new(text: &str, _global: bool, _limit: usize) -> Result<Self, String> {
        let why = Pattern::new(text, false).err();
        let why = why.unwrap_or_else(|| "the pattern needs backtracking".to_owned());
        Err(format!("{why}, or build with the feature `backtrack`"))
    }

    pub(crate) const fn take_requirement(&mut self) -> Requirement {
        match *self {}
    }

    pub(crate) const fn limit(&self) -> usize {
        match *self {}
    }

    pub(crate) const fn search(
        &self,
        _value: &[u8],
        _capture: bool,
    ) -> Result<Option<Spans>, OverLimit> {
        match *self {}
    }

    pub(crate) const fn search_on(
        &self,
        _value: &[u8],
        _capture: bool,
    ) -> Result<Option<Spans>, OverLimit> {
        match *self {}
    }
}

#[cfg(feature = "backtrack")]
impl Backtrack {
    /// Compiles.
    ///
    /// # Errors
    /// What is wrong with the pattern.
    pub(crate) fn new(text: &str, global: bool, limit: usize) -> Result<Self, String> {
        let rewritten = super::pattern::rewrite(text, false)?;
        let build = |limit: usize| {
            fancy_regex::RegexBuilder::new(&rewritten)
                .bytes_mode(fancy_regex::BytesMode::Ascii)
                .dot_matches_new_line(true)
                .backtrack_limit(limit)
                // A pattern is some kilobytes; what grows beyond is refused as the linear engine does.
                .max_prog_size(100_000)
                .delegate_size_limit(16 << 20)
                .delegate_dfa_size_limit(1 << 20)
                .build()
                .map_err(|e| format!("{e}; correct the pattern"))
        };
        let (quick, whole) = (build(limit.div_ceil(100))?, build(limit)?);
        let relaxed = relax(text).and_then(|text| Pattern::new(&text, false).ok());
        Ok(Self { quick, whole, relaxed, global, limit })
    }

    /// What a value must contain.
    pub(crate) fn take_requirement(&mut self) -> Requirement {
        self.relaxed.as_mut().map_or_else(Requirement::default, Pattern::take_requirement)
    }

    /// What a long search costs of the transaction's budget.
    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }

    /// Searches a value for as long as costs nothing.
    ///
    /// # Errors
    /// When that was not long enough.
    pub(crate) fn search(&self, value: &[u8], capture: bool) -> Result<Option<Spans>, OverLimit> {
        if self.relaxed.as_ref().is_some_and(|pattern| !pattern.is_match(value)) {
            return Ok(None);
        }
        self.run(&self.quick, value, capture)
    }

    /// Searches a value up to the limit.
    ///
    /// # Errors
    /// When the limit ends the search.
    pub(crate) fn search_on(
        &self,
        value: &[u8],
        capture: bool,
    ) -> Result<Option<Spans>, OverLimit> {
        self.run(&self.whole, value, capture)
    }

    fn run(
        &self,
        regex: &fancy_regex::Regex,
        value: &[u8],
        capture: bool,
    ) -> Result<Option<Spans>, OverLimit> {
        if self.global {
            let mut spans = Vec::new();
            for found in regex.find_iter(value).take(MAX_CAPTURES) {
                let found = found.map_err(|_| OverLimit)?;
                spans.push(Some((found.start(), found.end())));
            }
            return Ok((!spans.is_empty()).then_some(spans));
        }
        if !capture {
            let found = regex.find(value).map_err(|_| OverLimit)?;
            return Ok(found.map(|found| vec![Some((found.start(), found.end()))]));
        }
        let found = regex.captures(value).map_err(|_| OverLimit)?;
        Ok(found.map(|groups| {
            groups
                .iter()
                .take(MAX_CAPTURES)
                .map(|group| group.map(|span| (span.start(), span.end())))
                .collect()
        }))
    }
}

/// A piece of a pattern as far as this file tells them apart.
enum Piece {
    /// Look-around up to its end.
    Look,
    /// A back-reference.
    Reference,
    /// A condition, a subroutine: what cannot be relaxed.
    Other,
    /// Anything else.
    Plain,
}

/// Whether the pattern holds what the linear-time engine cannot run.
pub(crate) fn is_needed(text: &str) -> bool {
    let mut found = false;
    walk(text, &mut |piece, _| found |= !matches!(piece, Piece::Plain));
    found
}

/// The pattern with look-around left out and anything in place of back-references; `None` where
/// that is not known to match more.
#[cfg(feature = "backtrack")]
fn relax(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    // In extended mode brackets may stand in comments.
    let mut can = !is_extended(text);
    walk(text, &mut |piece, text| match piece {
        Piece::Look => out.push_str("(?:)"),
        Piece::Reference => out.push_str("(?s:.*)"),
        Piece::Other => can = false,
        Piece::Plain => out.push_str(text),
    });
    can.then_some(out)
}

/// Whether a group of flags turns comments and blanks on.
#[cfg(feature = "backtrack")]
fn is_extended(text: &str) -> bool {
    text.split("(?").skip(1).any(|group| {
        let flags = group.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
        flags.contains('x')
    })
}

fn walk(text: &str, each: &mut dyn FnMut(Piece, &str)) {
    let mut rest = text;
    let mut in_class = false;
    while let Some(first) = rest.chars().next() {
        let (piece, length) = match first {
            '\\' => escape(rest, in_class),
            '[' if !in_class => {
                in_class = true;
                // A bracket that comes first is a member of the class.
                let open = ["[^]", "[]", "[^"].iter().find(|open| rest.starts_with(**open));
                (Piece::Plain, open.map_or(1, |open| open.len()))
            }
            '[' if rest.starts_with("[:") => {
                (Piece::Plain, rest.find(":]").map_or(2, |end| end + 2))
            }
            ']' if in_class => {
                in_class = false;
                (Piece::Plain, 1)
            }
            '(' if !in_class => group(rest),
            other => (Piece::Plain, other.len_utf8()),
        };
        let (piece_text, tail) = rest.split_at_checked(length).unwrap_or((rest, ""));
        each(piece, piece_text);
        rest = tail;
    }
}

fn escape(rest: &str, in_class: bool) -> (Piece, usize) {
    let mut chars = rest.chars().skip(1);
    let Some(second) = chars.next() else { return (Piece::Plain, 1) };
    let pair = 1 + second.len_utf8();
    if in_class {
        return (Piece::Plain, pair);
    }
    match second {
        '1'..='9' => (Piece::Reference, 1 + digits(rest.get(1..).unwrap_or_default())),
        'k' | 'g' => {
            let close = match chars.next() {
                Some('{') => '}',
                Some('<') => '>',
                Some('\'') => '\'',
                _ => return (Piece::Other, pair),
            };
            let end = rest.get(3..).and_then(|inside| inside.find(close));
            end.map_or((Piece::Other, pair), |end| (Piece::Reference, end + 4))
        }
        'K' | 'G' => (Piece::Other, pair),
        _ => (Piece::Plain, pair),
    }
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

fn group(rest: &str) -> (Piece, usize) {
    if ["(?=", "(?!", "(?<=", "(?<!"].iter().any(|open| rest.starts_with(open)) {
        return (Piece::Look, extent(rest));
    }
    if rest.starts_with("(?P=") {
        return (Piece::Reference, extent(rest));
    }
    let other = ["(?(", "(?R", "(?&", "(?P>", "(?+", "(?-1", "(*"];
    if other.iter().any(|open| rest.starts_with(open))
        || rest.strip_prefix("(?").is_some_and(|r| r.starts_with(|c: char| c.is_ascii_digit()))
    {
        return (Piece::Other, 1);
    }
    (Piece::Plain, 1)
}

/// How long the group is that begins here.
fn extent(text: &str) -> usize {
    let (mut depth, mut in_class, mut escaped) = (0usize, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' if !in_class => in_class = true,
            // `[]…]` and `[^]…]` hold the bracket that comes first.
            ']' if in_class => {
                let before = text.get(..at).unwrap_or_default();
                in_class = before.ends_with('[') || before.ends_with("[^");
            }
            '(' if !in_class => depth += 1,
            ')' if !in_class => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_backtracking_is_told_apart() {
        for text in [r"a(?=b)", r"(a)\1", r"(?<!x)y", r"(?<n>a)\k<n>", r"(?(1)a|b)", r"(?<=a)b"] {
            assert!(is_needed(text), "{text}");
        }
        for text in
            [r"a(?:b)", r"[(?=]", r"\(?=", r"[\1]", r"(?i)a", r"(?<name>a)", r"\\1", "[]()?=]"]
        {
            assert!(!is_needed(text), "{text}");
        }
    }

    #[cfg(feature = "backtrack")]
    #[test]
    fn relaxed_patterns_leave_out_what_is_around() {
        for (text, relaxed) in [
            (r"a(?=b[)]\))c", "a(?:)c"),
            (r"(x)\12y", "(x)(?s:.*)y"),
            (r"(?<n>a)\k<n>b", "(?<n>a)(?s:.*)b"),
            (r"(?!(?:a|(?=b)))z", "(?:)z"),
        ] {
            assert_eq!(relax(text).as_deref(), Some(relaxed));
        }
        assert_eq!(relax(r"(a)?(?(1)b|c)"), None);
        assert_eq!(relax("(?ix) a (?=b) # (\n c"), None);
    }

    #[cfg(feature = "backtrack")]
    #[test]
    fn spelling_of_pcre_is_understood() {
        for (pattern, yes, no) in [
            (r"(?=a)\x{61}b", &b"ab"[..], &b"cb"[..]),
            (r"^(\w+)-\1$", b"ab-ab", b"ab-ac"),
            (r"(?<!\\)\x22", b"a\"", b"\\\""),
            (r"(?!x)[[:alpha:]][a[&]\/", b"a[/", b"x[/"),
            (r"(?<=\xff)a", b"\xffa", b"\xc3\xbfxa"),
            ("(?=.)é", "é".as_bytes(), b"\xe9"),
            (r"(?=a)a.b$", b"a\nb", b"a\nb\n"),
            (r"(?i)(?=A)a", b"A", b"b"),
            (r"(?=b)(?>b+)b", b"\0", b"bbb"),
            (r"(?!\d)\-\:\'\#\@\<\ \%\,x", b"-:'#@< %,x", b"y"),
        ] {
            let pattern_ = Backtrack::new(pattern, false, LIMIT).unwrap();
            if yes != b"\0" {
                assert!(pattern_.search(yes, false).unwrap().is_some(), "{pattern}");
            }
            assert_eq!(pattern_.search(no, true), Ok(None), "{pattern}");
        }
        assert!(Backtrack::new("(?=a", false, LIMIT).is_err());
    }

    /// What the relaxed pattern rules out the whole one must not match, whatever is put together.
    #[cfg(feature = "backtrack")]
    #[test]
    fn relaxed_patterns_match_wherever_the_whole_ones_do() {
        const PIECES: &[&str] = &[
            "a", "b", "x", ".", "[^a]", "[)(]", "\\)", "(", "(?:", "(?=", "(?!", "(?<=", "(?<!",
            "(?>", ")", ")+", ")?", "|", "*", "+?", "{1,2}", "\\1", "\\2", "^", "$", "\\b", "(?i)",
            "(?<n>", "\\k<n>",
        ];
        const BYTES: &[u8] = b"abxA)(\n\xff";
        let mut seed = 0x9e37_79b9_7f4a_7c15u64;
        let mut below = |bound: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            usize::try_from(seed >> 33).unwrap() % bound
        };
        let (mut compiled, mut found) = (0, 0);
        for _ in 0..60_000 {
            let mut text: String = (0..=below(9)).map(|_| PIECES[below(PIECES.len())]).collect();
            let open = text.matches('(').count().saturating_sub(text.matches(')').count());
            text.push_str(&")".repeat(open));
            if !is_needed(&text) {
                continue;
            }
            let Ok(pattern) = Backtrack::new(&text, false, 2_000) else { continue };
            compiled += 1;
            for _ in 0..8 {
                let value: Vec<u8> = (0..below(8)).map(|_| BYTES[below(BYTES.len())]).collect();
                let Ok(Some(_)) = pattern.search_on(&value, true) else { continue };
                found += 1;
                if let Some(relaxed) = &pattern.relaxed {
                    assert!(relaxed.is_match(&value), "{text} over {value:?}");
                }
            }
        }
        assert!(compiled > 500 && found > 500, "{compiled} patterns, {found} matches");
    }

    /// The patterns of our own pack need no backtracking, so both engines must agree on them.
    #[cfg(feature = "backtrack")]
    #[test]
    fn both_engines_agree_where_both_can_run() {
        use crate::waf::seclang::{DirectiveKind, Memory, parse_text};
        let cases = include_str!("../../../rules/waf/tests/attacks.jsonl");
        let mut values: Vec<Vec<u8>> = cases
            .split(['"', '&', '=', '?'])
            .filter(|value| value.len() > 3)
            .map(|value| value.as_bytes().to_vec())
            .collect();
        values.extend([b"\xff\xfe\xc3\x28'\"\0".to_vec(), b"line\nbreak\r\n".to_vec(), Vec::new()]);
        let (mut patterns, mut matches) = (0, 0);
        for (name, text) in crate::waf::builtin::FILES {
            for directive in parse_text(name, text.as_bytes(), &Memory::default()).directives {
                let DirectiveKind::Rule(rule) = directive.kind else { continue };
                if rule.operator.name != "rx" {
                    continue;
                }
                let text = rule.operator.argument;
                let linear = Pattern::new(&text, false).unwrap();
                let other = Backtrack::new(&text, false, LIMIT).unwrap();
                patterns += 1;
                for value in &values {
                    let expected =
                        linear.regex().unwrap().find(value).map(|m| (m.start(), m.end()));
                    let Ok(found) = other.search_on(value, false) else { continue };
                    let found = found.and_then(|spans| spans[0]);
                    assert_eq!(found, expected, "{text} over {}", String::from_utf8_lossy(value));
                    matches += u32::from(found.is_some());
                }
            }
        }
        assert!(patterns > 50 && matches > 100, "{patterns} patterns, {matches} matches");
    }

    #[cfg(feature = "backtrack")]
    #[test]
    fn matches_and_groups_are_told() {
        let one = Backtrack::new(r"(a)(?=b)(c)?", false, LIMIT).unwrap();
        assert_eq!(one.search(b"xab", true), Ok(Some(vec![Some((1, 2)), Some((1, 2)), None])));
        let all = Backtrack::new(r"a(?=b)", true, LIMIT).unwrap();
        assert_eq!(all.search(b"abab", true), Ok(Some(vec![Some((0, 1)), Some((2, 3))])));
    }

    #[cfg(feature = "backtrack")]
    #[test]
    fn a_search_ends_at_the_limit() {
        let doubling = r"^(?:(?=a)a|aa)+(?=(x))\1$";
        let value = [[b'a'; 40].as_slice(), b"xx"].concat();
        for limit in [1_000, LIMIT] {
            let pattern = Backtrack::new(doubling, false, limit).unwrap();
            assert_eq!(pattern.search(&value, false), Err(OverLimit));
            assert_eq!(pattern.search_on(&value, false), Err(OverLimit));
            assert_eq!(pattern.search(b"aaax", false).map(|spans| spans.is_some()), Ok(true));
        }
    }
}
