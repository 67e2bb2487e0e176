//! Regular expressions of test files: Python's syntax as far as it runs in linear time.

use regex_automata::meta::Regex;
use regex_automata::util::{captures::Captures, syntax};
use regex_automata::{Anchored, Input};
use std::fmt;
use std::sync::Arc;

use super::value::Reach;

/// A compiled pattern.
#[derive(Clone)]
pub struct Pattern {
    text: Arc<str>,
    regex: Arc<Regex>,
    whole: Arc<Regex>,
}

/// Bytes of a compiled pattern. Such files hold patterns of a line; 1 MiB is a thousand times that.
const SIZE: usize = 1 << 20;

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// Says what the pattern has that cannot be read or run, look-around among it.
    pub fn new(text: &str) -> Result<Self, String> {
        let compiled = |pattern: &str| {
            compile(pattern).map_err(|why| {
                format!("`{text}` is no pattern that can be run: {why}; write it otherwise")
            })
        };
        let whole = format!(r"\A(?:{text})\z");
        let (regex, whole) = (compiled(text)?, compiled(&whole)?);
        Ok(Self { text: text.into(), regex: Arc::new(regex), whole: Arc::new(whole) })
    }

    /// Whether it matches.
    pub fn is_match(&self, reach: Reach, text: &[u8]) -> bool {
        match reach {
            Reach::Match => self.regex.is_match(Input::new(text).anchored(Anchored::Yes)),
            Reach::FullMatch => self.whole.is_match(text),
            Reach::Search => self.regex.is_match(text),
        }
    }

    /// The named groups of the first match anywhere; `None` where there is no match.
    pub fn named_groups(&self, text: &[u8]) -> Option<Vec<(String, Option<String>)>> {
        let mut captures: Captures = self.regex.create_captures();
        self.regex.captures(text, &mut captures);
        captures.is_match().then(|| {
            let names = self.regex.group_info().pattern_names(regex_automata::PatternID::ZERO);
            names
                .enumerate()
                .filter_map(|(n, name)| {
                    let span = captures.get_group(n);
                    let part = span.and_then(|span| text.get(span.range()));
                    let part = part.map(|part| String::from_utf8_lossy(part).into_owned());
                    name.map(|name| (name.to_owned(), part))
                })
                .collect()
        })
    }
}

/// Patterns see characters; where one names a class whose tables are not built in (`\w`), bytes.
fn compile(text: &str) -> Result<Regex, String> {
    let build = |unicode| {
        Regex::builder()
            .configure(Regex::config().nfa_size_limit(Some(SIZE)).utf8_empty(false))
            .syntax(syntax::Config::new().unicode(unicode).utf8(false))
            .build(text)
            .map_err(|e| {
                let why = e.syntax_error().map_or_else(|| e.to_string(), ToString::to_string);
                why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
            })
    };
    build(true).or_else(|_| build(false))
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_reaches_differ() {
        let pattern = Pattern::new("a+|b").unwrap();
        let at = |reach, text: &str| pattern.is_match(reach, text.as_bytes());
        assert!(at(Reach::Match, "aab") && !at(Reach::Match, "xa"));
        assert!(at(Reach::FullMatch, "aa") && !at(Reach::FullMatch, "aab"));
        assert!(at(Reach::Search, "xxb") && !at(Reach::Search, "xx"));
    }

    #[test]
    fn classes_and_groups_work_as_in_python() {
        let pattern = Pattern::new(r"(?P<year>\d{4})-(?P<none>x)?").unwrap();
        let groups = pattern.named_groups(b"in 2024-").unwrap();
        assert_eq!(
            groups,
            [("year".to_owned(), Some("2024".to_owned())), ("none".to_owned(), None)]
        );
        assert!(Pattern::new("^.$").unwrap().is_match(Reach::Search, "é".as_bytes()));
        assert!(Pattern::new("a(?=b)").unwrap_err().contains("look-around"));
    }
}
