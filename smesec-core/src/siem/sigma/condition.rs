//! Conditions: `selection and not 1 of filter_*`.

use super::rule::Search;

/// How deep parentheses and `not` may nest. 64: real rules reach 4.
const DEPTH: usize = 64;

/// A condition over a rule's searches, which it names by their index.
#[derive(Clone, PartialEq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "the forms of Sigma's conditions")]
pub enum Condition {
    /// The search matches.
    Search(usize),
    /// It does not hold.
    Not(Box<Condition>),
    /// All hold.
    All(Vec<Condition>),
    /// One holds.
    Any(Vec<Condition>),
    /// At least so many of these searches match.
    Count(usize, Vec<usize>),
}

/// Reads a condition. An error comes with the character where it was noticed.
pub(super) fn parse(text: &str, searches: &[Search]) -> Result<Condition, (usize, String)> {
    let mut parser =
        Parser { tokens: tokens(text)?, next: 0, end: text.chars().count(), searches, looked: 0 };
    let condition = parser.any(0)?;
    match parser.peek() {
        None => Ok(condition),
        Some(word) => {
            let why = format!("`{word}` is not expected here; join searches with `and` or `or`");
            Err((parser.at(), why))
        }
    }
}

struct Parser<'t> {
    tokens: Vec<(usize, &'t str)>,
    next: usize,
    end: usize,
    searches: &'t [Search],
    /// Searches looked at so far for those that the condition mentions.
    looked: usize,
}

/// A thousand mentions among a thousand searches; real rules have a dozen of each.
const MOST_LOOKED: usize = 1_000_000;

fn tokens(text: &str) -> Result<Vec<(usize, &str)>, (usize, String)> {
    let mut tokens = Vec::new();
    let mut start = None;
    for (column, (at, c)) in text.char_indices().enumerate() {
        let single = matches!(c, '(' | ')');
        if c == '|' {
            let why = "`|` begins an aggregation such as `count()`, which Sigma has given up; write a correlation";
            return Err((column, why.to_owned()));
        }
        if (c.is_whitespace() || single)
            && let Some((column, from)) = start.take()
        {
            tokens.push((column, text.get(from..at).unwrap_or_default()));
        }
        if single {
            tokens.push((column, text.get(at..at + 1).unwrap_or_default()));
        } else if !c.is_whitespace() && start.is_none() {
            start = Some((column, at));
        }
    }
    if let Some((column, from)) = start {
        tokens.push((column, text.get(from..).unwrap_or_default()));
    }
    Ok(tokens)
}

type Parsed = Result<Condition, (usize, String)>;

impl Parser<'_> {
    fn peek(&self) -> Option<&str> {
        self.tokens.get(self.next).map(|(_, word)| *word)
    }

    fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(self.end, |(at, _)| *at)
    }

    fn take(&mut self, word: &str) -> bool {
        let is = self.peek().is_some_and(|next| next.eq_ignore_ascii_case(word));
        self.next += usize::from(is);
        is
    }

    fn any(&mut self, depth: usize) -> Parsed {
        let mut parts = vec![self.all(depth)?];
        while self.take("or") {
            parts.push(self.all(depth)?);
        }
        Ok(one_or(parts, Condition::Any))
    }

    fn all(&mut self, depth: usize) -> Parsed {
        let mut parts = vec![self.not(depth)?];
        while self.take("and") {
            parts.push(self.not(depth)?);
        }
        Ok(one_or(parts, Condition::All))
    }

    fn not(&mut self, depth: usize) -> Parsed {
        if depth > DEPTH {
            let why = format!("the condition nests deeper than {DEPTH}; flatten it");
            return Err((self.at(), why));
        }
        if self.take("not") {
            return Ok(Condition::Not(Box::new(self.not(depth + 1)?)));
        }
        let at = self.at();
        if self.take("(") {
            let inner = self.any(depth + 1)?;
            if !self.take(")") {
                return Err((self.at(), "a parenthesis is not closed; write `)`".to_owned()));
            }
            return Ok(inner);
        }
        let Some(word) = self.peek().map(str::to_owned) else {
            return Err((at, "the condition ends too early; name a search".to_owned()));
        };
        self.next += 1;
        self.looked += self.searches.len();
        if self.looked > MOST_LOOKED {
            let why = "the condition mentions too many searches; put their values into lists";
            return Err((at, why.to_owned()));
        }
        if self.take("of") {
            return self.of(&word, at);
        }
        self.search(&word, at).map(Condition::Search)
    }

    fn search(&self, name: &str, at: usize) -> Result<usize, (usize, String)> {
        self.searches.iter().position(|search| search.name == name).ok_or_else(|| {
            let known: Vec<&str> = self.searches.iter().map(|s| s.name.as_str()).collect();
            (at, format!("no search `{name}`; there are {}", listed(&known)))
        })
    }

    fn of(&mut self, count: &str, at: usize) -> Parsed {
        let place = self.at();
        let Some(pattern) = self.peek().map(str::to_owned) else {
            return Err((place, "`of` names nothing; write `them` or a name with `*`".to_owned()));
        };
        self.next += 1;
        let named = self.searches.iter().enumerate().filter(|(_, search)| {
            if pattern.eq_ignore_ascii_case("them") {
                !search.name.starts_with('_')
            } else {
                glob(&pattern, &search.name)
            }
        });
        let named: Vec<usize> = named.map(|(index, _)| index).collect();
        if named.is_empty() {
            return Err((place, format!("no search fits `{pattern}`; check the names")));
        }
        let searches = || named.iter().copied().map(Condition::Search).collect();
        match count.to_ascii_lowercase().as_str() {
            "all" => Ok(Condition::All(searches())),
            "any" | "1" => Ok(Condition::Any(searches())),
            number => match number.parse::<usize>() {
                Ok(least) if (1..=named.len()).contains(&least) => {
                    Ok(Condition::Count(least, named))
                }
                Ok(least) => Err((
                    at,
                    format!(
                        "`{least} of {pattern}`, but {} searches fit; write 1 to {0}",
                        named.len()
                    ),
                )),
                Err(_) => {
                    Err((at, format!("`{count} of`: write a number, `all` or `any` before `of`")))
                }
            },
        }
    }
}

fn one_or(mut parts: Vec<Condition>, many: fn(Vec<Condition>) -> Condition) -> Condition {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            many(parts)
        }
        None => many(parts),
    }
}

fn listed(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Whether a name fits a pattern whose `*` stands for anything.
fn glob(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    if !pattern.contains('*') {
        return rest.is_empty();
    }
    let mut parts: Vec<&str> = parts.collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::super::rule::Body;
    use super::*;
    use Condition::{All, Any, Count, Not, Search as S};

    fn searches(names: &[&str]) -> Vec<Search> {
        let search = |name: &&str| Search {
            name: (*name).to_owned(),
            place: crate::decode::yaml::Place::default(),
            body: Body::All(Vec::new()),
        };
        names.iter().map(search).collect()
    }

    fn read(text: &str) -> Parsed {
        parse(text, &searches(&["a", "b1", "b2", "b3", "_c"]))
    }

    #[test]
    fn every_form_is_read() {
        let not = |condition| Not(Box::new(condition));
        for (text, means) in [
            ("a", S(0)),
            ("not a", not(S(0))),
            ("a and b1 or b2", Any(vec![All(vec![S(0), S(1)]), S(2)])),
            ("a or b1 and not b2", Any(vec![S(0), All(vec![S(1), not(S(2))])])),
            ("(a or b1)and(b2)", All(vec![Any(vec![S(0), S(1)]), S(2)])),
            ("1 of b*", Any(vec![S(1), S(2), S(3)])),
            ("any of b*", Any(vec![S(1), S(2), S(3)])),
            ("all of b*", All(vec![S(1), S(2), S(3)])),
            ("2 of b*", Count(2, vec![1, 2, 3])),
            ("1 of them", Any(vec![S(0), S(1), S(2), S(3)])),
            ("all of _*", All(vec![S(4)])),
            ("a AND NOT b1", All(vec![S(0), not(S(1))])),
            ("1 of *2", Any(vec![S(2)])),
            ("not not a", not(not(S(0)))),
        ] {
            assert_eq!(read(text).unwrap(), means, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (text, at, says) in [
            ("a and x", 6, "no search `x`"),
            ("a b1", 2, "not expected"),
            ("a and", 5, "ends too early"),
            ("(a", 2, "not closed"),
            ("1 of x*", 5, "no search fits"),
            ("4 of b*", 0, "write 1 to 3"),
            ("0 of b*", 0, "write 1 to 3"),
            ("some of b*", 0, "write a number"),
            ("a | count() > 5", 2, "correlation"),
            ("", 0, "ends too early"),
        ] {
            let (column, why) = read(text).unwrap_err();
            assert!(why.contains(says), "{text}: {why}");
            assert_eq!(column, at, "{text}");
        }
        let deep = "(".repeat(100_000);
        assert!(read(&deep).unwrap_err().1.contains("deeper than 64"));
        let deep = "not ".repeat(100_000);
        assert!(read(&deep).unwrap_err().1.contains("deeper than 64"));
    }
}
