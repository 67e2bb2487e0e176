//! Regular expressions: how they are built, and the literals without which they cannot match.

use super::fold::fold_char;
use regex_automata::meta::Regex;
use regex_automata::util::syntax;
use regex_syntax::hir::{Class, Hir, HirKind};

/// Bytes a compiled expression may take. 10 MiB: Unicode's `\w{1,64}`, which real rules ask for, takes 3.
const SIZE: usize = 10 << 20;
/// Bytes that a search may keep of its automaton, as far as it needs them. 1 MiB: with less, Unicode's
/// `\\w` fits no automaton, and what runs instead is ten times slower.
const CACHE: usize = 1 << 20;
/// How many literals may stand for an expression; more would find it in every value.
const LITERALS: usize = 32;

/// Builds an expression.
///
/// # Errors
/// Why it is none, and what to do.
pub(super) fn build(expression: &str) -> Result<(Regex, Option<Vec<String>>), String> {
    let hir = syntax::parse(expression).map_err(|error| {
        let error = error.to_string();
        let why = error.lines().last().unwrap_or_default().trim().trim_start_matches("error: ");
        format!(
            "`{expression}` is no regular expression: {why}; look-around and back-references are not offered"
        )
    })?;
    let config =
        Regex::config().nfa_size_limit(Some(SIZE)).hybrid_cache_capacity(CACHE).onepass(false);
    let regex = Regex::builder().configure(config).build_from_hir(&hir).map_err(|error| {
        let why = match error.size_limit() {
            Some(_) => format!("takes more than {} MiB; repeat less in it", SIZE >> 20),
            None => format!("cannot be built: {error}; write it in another way"),
        };
        format!("`{expression}` {why}")
    })?;
    let literals = required(&hir, 0).filter(|literals| {
        literals.len() <= LITERALS && literals.iter().all(|literal| literal.len() >= 2)
    });
    Ok((regex, literals))
}

/// Folded literals of which at least one stands in whatever matches; `None` where none is known.
fn required(hir: &Hir, depth: usize) -> Option<Vec<String>> {
    if depth > 64 {
        return None;
    }
    match hir.kind() {
        HirKind::Literal(_) | HirKind::Class(_) => Some(vec![single(hir)?]),
        HirKind::Capture(capture) => required(&capture.sub, depth + 1),
        HirKind::Repetition(repetition) if repetition.min > 0 => {
            required(&repetition.sub, depth + 1)
        }
        HirKind::Concat(parts) => {
            let mut best: Option<Vec<String>> = None;
            let mut run = String::new();
            let mut offer = |literals: Vec<String>| {
                let worth = |of: &[String]| {
                    let shortest = of.iter().map(String::len).min().unwrap_or(0).min(8);
                    (shortest * 4).saturating_sub(of.len())
                };
                let usable = literals.len() <= LITERALS && literals.iter().all(|l| !l.is_empty());
                if usable && best.as_ref().is_none_or(|known| worth(known) < worth(&literals)) {
                    best = Some(literals);
                }
            };
            for part in parts {
                if let Some(text) = single(part) {
                    run.push_str(&text);
                    continue;
                }
                offer(vec![std::mem::take(&mut run)]);
                if let Some(literals) = required(part, depth + 1) {
                    offer(literals);
                }
            }
            offer(vec![run]);
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

/// The folded text of an expression that matches one text, up to case.
fn single(hir: &Hir) -> Option<String> {
    match hir.kind() {
        HirKind::Literal(literal) => {
            Some(std::str::from_utf8(&literal.0).ok()?.chars().map(fold_char).collect())
        }
        HirKind::Class(Class::Unicode(class)) => {
            let mut folded = None;
            for range in class.ranges() {
                if range.end() as u32 - range.start() as u32 > 3 {
                    return None;
                }
                for c in range.start()..=range.end() {
                    match folded {
                        None => folded = Some(fold_char(c)),
                        Some(known) if known == fold_char(c) => {}
                        Some(_) => return None,
                    }
                }
            }
            folded.map(String::from)
        }
        HirKind::Capture(capture) => single(&capture.sub),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_tells_what_it_needs() {
        let needs = |expression: &str| build(expression).unwrap().1;
        assert_eq!(needs("Foo[0-9]+"), Some(vec!["foo".to_owned()]));
        assert_eq!(needs("(?i)abc"), Some(vec!["abc".to_owned()]));
        assert_eq!(needs("(ab|cde)+x?"), Some(vec!["ab".to_owned(), "cde".to_owned()]));
        assert_eq!(needs("[0-9]+"), None);
        assert_eq!(needs("x?y*"), None);
        assert!(build(r"-k\s\w{1,64}(?:\s?(?:-p|-s))?").is_ok(), "a real rule's");
        assert!(build(r"\w{1,1000}").unwrap_err().contains("takes more than 10 MiB"));
        assert!(build("(?=a)").unwrap_err().contains("look-around"));
        assert!(build("(").unwrap_err().starts_with("`(` is no regular expression"));
        // `k` has a third form, the Kelvin sign, which folds to it too; `s` has one that does not.
        assert_eq!(needs("(?i)kk"), Some(vec!["kk".to_owned()]));
    }
}
