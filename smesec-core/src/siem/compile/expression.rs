//! Regular expressions: when they are built, and the literals without which they cannot match.

use super::fold::fold_char;
use regex_automata::meta::Regex;
use regex_automata::util::syntax;
use regex_syntax::hir::{Class, Hir, HirKind};
use regex_syntax::utf8::Utf8Sequences;
use std::sync::OnceLock;

/// Bytes a compiled expression may take. 10 MiB: Unicode's `\w{1,64}`, which real rules ask for, takes 3.
const SIZE: usize = 10 << 20;
/// Bytes that a search may keep of its automaton, as far as it needs them. 1 MiB: with less, Unicode's
/// `\\w` fits no automaton, and what runs instead is ten times slower.
const CACHE: usize = 1 << 20;
/// How many literals may stand for an expression; more would find it in every value.
const LITERALS: usize = 32;
/// How many texts one run of literals and small classes may be; more say little more than fewer.
const RUNS: usize = 8;

/// An expression. It is built when it is first asked: of some hundred that a rule set has, a stream
/// asks a few dozen, and building takes as long as all else that loading does.
#[derive(Debug)]
pub(in crate::siem) struct Expression {
    text: Box<str>,
    /// No shorter text matches.
    shortest: usize,
    built: OnceLock<Option<Regex>>,
}

impl Expression {
    /// Whether it matches somewhere in a text.
    pub(in crate::siem) fn is_match(&self, text: &str) -> bool {
        text.len() >= self.shortest
            // INVARIANT: `checked` has built whatever could be too large, and the rest can be built.
            && self.built.get_or_init(|| build(&syntax::parse(&self.text).ok()?).ok())
                .as_ref()
                .is_some_and(|regex| regex.is_match(text))
    }
}

/// Reads an expression and finds out whether it can be built.
///
/// # Errors
/// Why it is none, and what to do.
pub(super) fn checked(expression: &str) -> Result<(Expression, Option<Vec<String>>), String> {
    let hir = syntax::parse(expression).map_err(|error| {
        let error = error.to_string();
        let why = error.lines().last().unwrap_or_default().trim().trim_start_matches("error: ");
        format!(
            "`{expression}` is no regular expression: {why}; look-around and back-references are not offered"
        )
    })?;
    let built = OnceLock::new();
    if most(&hir) > SIZE {
        let regex = build(&hir).map_err(|why| format!("`{expression}` {why}"))?;
        built.get_or_init(|| Some(regex));
    }
    let literals = required(&hir, 0).filter(|literals| {
        literals.len() <= LITERALS && literals.iter().all(|literal| distinct(literal))
    });
    let shortest = hir.properties().minimum_len().unwrap_or(0);
    Ok((Expression { text: expression.into(), shortest, built }, literals))
}

fn build(hir: &Hir) -> Result<Regex, String> {
    let config =
        Regex::config().nfa_size_limit(Some(SIZE)).hybrid_cache_capacity(CACHE).onepass(false);
    Regex::builder().configure(config).build_from_hir(hir).map_err(|error| {
        match error.size_limit() {
            Some(_) => format!("takes more than {} MiB; repeat less in it", SIZE >> 20),
            None => format!("cannot be built: {error}; write it in another way"),
        }
    })
}

/// The most bytes that an expression can take once built, from above: each byte of each sequence that
/// a class is made of as a state of its own, which the compiler shares.
fn most(hir: &Hir) -> usize {
    const STATE: usize = 96;
    let sum = |parts: &[Hir]| {
        parts
            .iter()
            .fold(STATE, |sum: usize, part| sum.saturating_add(most(part)).saturating_add(STATE))
    };
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => STATE,
        HirKind::Literal(literal) => literal.0.len().saturating_mul(STATE),
        HirKind::Class(Class::Bytes(class)) => {
            class.ranges().len().saturating_add(1).saturating_mul(STATE)
        }
        HirKind::Class(Class::Unicode(class)) => {
            let states = |range: &regex_syntax::hir::ClassUnicodeRange| match range.end() {
                '\0'..='\x7f' => 1,
                _ => Utf8Sequences::new(range.start(), range.end())
                    .map(|sequence| sequence.len())
                    .sum::<usize>(),
            };
            class.ranges().iter().map(states).sum::<usize>().saturating_add(2).saturating_mul(STATE)
        }
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min).max(1);
            let times = usize::try_from(times).unwrap_or(usize::MAX).saturating_add(1);
            most(&repetition.sub).saturating_add(STATE).saturating_mul(times)
        }
        HirKind::Capture(capture) => most(&capture.sub).saturating_add(2 * STATE),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => sum(parts),
    }
}

/// Whether a literal is worth being looked for: two bytes, or a rare one.
fn distinct(literal: &str) -> bool {
    match literal.as_bytes() {
        [] => false,
        [only] => rare(*only),
        _ => true,
    }
}

/// How much a byte tells.
const fn weight(byte: u8) -> usize {
    match byte {
        _ if rare(byte) => 10,
        b' ' | b'"' | b'\'' | b'\\' | b'/' | b'.' | b':' | b'-' | b',' | b'_' | b'=' | b'('
        | b')' => 3,
        _ => 4,
    }
}

/// Whether command lines and messages seldom have a byte.
pub(super) const fn rare(byte: u8) -> bool {
    matches!(
        byte,
        b'`' | b'{'
            | b'}'
            | b'$'
            | b'^'
            | b'~'
            | b'#'
            | b'<'
            | b'>'
            | b'|'
            | b'!'
            | b';'
            | b'['
            | b']'
    )
}

/// Folded literals of which at least one stands in whatever matches; `None` where none is known.
fn required(hir: &Hir, depth: usize) -> Option<Vec<String>> {
    if depth > 64 {
        return None;
    }
    match hir.kind() {
        HirKind::Literal(_) | HirKind::Class(_) => few(hir),
        HirKind::Capture(capture) => required(&capture.sub, depth + 1),
        HirKind::Repetition(repetition) if repetition.min > 0 => {
            required(&repetition.sub, depth + 1)
        }
        HirKind::Concat(parts) => {
            let mut best: Option<Vec<String>> = None;
            let mut offer = |literals: Vec<String>| {
                let usable = literals.len() <= LITERALS && literals.iter().all(|l| !l.is_empty());
                if usable && best.as_ref().is_none_or(|known| worth(known) < worth(&literals)) {
                    best = Some(literals);
                }
            };
            // Texts of which one stands here, whichever way the small classes so far are taken.
            let mut run = vec![String::new()];
            for part in parts {
                if let Some(texts) = few(part) {
                    if run.len() * texts.len() > RUNS {
                        offer(std::mem::replace(&mut run, vec![String::new()]));
                    } else if texts.len() > 1 {
                        // What a class adds in length it may take in number.
                        offer(run.clone());
                    }
                    run = run
                        .iter()
                        .flat_map(|r| texts.iter().map(move |t| format!("{r}{t}")))
                        .collect();
                    continue;
                }
                offer(std::mem::replace(&mut run, vec![String::new()]));
                if let Some(literals) = required(part, depth + 1) {
                    offer(literals);
                }
            }
            offer(run);
            best
        }
        HirKind::Alternation(parts) => {
            let mut all = Vec::new();
            for part in parts {
                all.extend(required(part, depth + 1)?);
                if all.len() > LITERALS {
                    return None;
                }
            }
            Some(all)
        }
        _ => None,
    }
}

/// How much a choice of literals tells: as much as the one that tells least, less for each.
fn worth(literals: &[String]) -> usize {
    let told = |literal: &String| literal.bytes().map(weight).sum::<usize>().min(32);
    literals.iter().map(told).min().unwrap_or(0).saturating_sub(literals.len())
}

/// The few folded texts that an expression without repetition matches.
fn few(hir: &Hir) -> Option<Vec<String>> {
    match hir.kind() {
        HirKind::Literal(literal) => {
            Some(vec![std::str::from_utf8(&literal.0).ok()?.chars().map(fold_char).collect()])
        }
        HirKind::Class(Class::Unicode(class)) => {
            let mut folded: Vec<char> = Vec::new();
            for range in class.ranges() {
                if range.end() as u32 - range.start() as u32 > 3 {
                    return None;
                }
                for c in range.start()..=range.end() {
                    if !folded.contains(&fold_char(c)) {
                        folded.push(fold_char(c));
                    }
                }
                if folded.len() > 4 {
                    return None;
                }
            }
            (!folded.is_empty()).then(|| folded.into_iter().map(String::from).collect())
        }
        HirKind::Capture(capture) => few(&capture.sub),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_tells_what_it_needs() {
        let needs = |expression: &str| checked(expression).unwrap().1;
        assert_eq!(needs("Foo[0-9]+"), Some(vec!["foo".to_owned()]));
        assert_eq!(needs("(?i)abc"), Some(vec!["abc".to_owned()]));
        assert_eq!(needs("(ab|cde)+x?"), Some(vec!["ab".to_owned(), "cde".to_owned()]));
        assert_eq!(needs("[0-9]+"), None);
        assert_eq!(needs("x?y*"), None);
        assert_eq!(needs("[ab]xyz"), Some(vec!["axyz".to_owned(), "bxyz".to_owned()]));
        assert_eq!(needs(r"\d\.[ ']x?"), Some(vec![". ".to_owned(), ".'".to_owned()]));
        assert_eq!(needs(r"\w+`\w+`"), Some(vec!["`".to_owned()]));
        assert_eq!(needs("a[0-9]b"), None, "one letter is everywhere");
        assert!(checked(r"-k\s\w{1,64}(?:\s?(?:-p|-s))?").is_ok(), "a real rule's");
        assert!(checked(r"\w{1,1000}").unwrap_err().contains("takes more than 10 MiB"));
        assert!(checked("(?=a)").unwrap_err().contains("look-around"));
        assert!(checked("(").unwrap_err().starts_with("`(` is no regular expression"));
        // `k` has a third form, the Kelvin sign, which folds to it too; `s` has one that does not.
        assert_eq!(needs("(?i)kk"), Some(vec!["kk".to_owned()]));
    }
}
