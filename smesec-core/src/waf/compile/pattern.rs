//! Regular expressions: PCRE's spelling brought to the linear-time engine.

use super::requirement::Requirement;
use regex_automata::meta;
use regex_syntax::hir::{Hir, HirKind};
use std::sync::OnceLock;

/// A compiled pattern. The automata are built at the first use: a rule above the site's paranoia
/// level then costs its text only.
pub(crate) struct Pattern {
    /// The rewritten text: a parsed pattern is some hundred times larger, and most are never built.
    text: Box<str>,
    case_insensitive: bool,
    requirement: Requirement,
    /// What the pattern is when it only asks how a value begins: rules name variables so.
    prefix: Option<Box<[u8]>>,
    regex: OnceLock<Option<meta::Regex>>,
}

impl std::fmt::Debug for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pattern").field("text", &self.text).finish_non_exhaustive()
    }
}

/// The same for a pattern that is put together while a rule runs, from what a visitor may have sent.
const MAX_STATES_AT_RUN: u64 = 5_000;

/// Repetitions of repetitions blow an automaton up; beyond this many states a pattern is refused.
/// The largest of the public rule sets needs about 30,000.
const MAX_STATES: u64 = 400_000;

impl Pattern {
    /// Parses `text` as SecLang means it: bytes, a dot that matches line feeds, `$` at the end only.
    ///
    /// # Errors
    /// What in the pattern cannot run in linear time, or is not a pattern.
    pub(crate) fn new(text: &str, case_insensitive: bool) -> Result<Self, String> {
        Self::within(text, case_insensitive, MAX_STATES)
    }

    /// The same for a text that is known only when a rule runs.
    pub(crate) fn at_run(text: &str) -> Option<Self> {
        Self::within(text, false, MAX_STATES_AT_RUN).ok()
    }

    fn within(text: &str, case_insensitive: bool, most: u64) -> Result<Self, String> {
        let prefix = prefix(text).map(|prefix| prefix.as_bytes().into());
        let text = rewrite(text, true)?.into_boxed_str();
        let hir = parse(&text, case_insensitive)?;
        if states(&hir, 0) > most {
            return Err("the pattern's counted repetitions multiply to too large an automaton; \
                        lower the counts"
                .to_owned());
        }
        let requirement = Requirement::of_pattern(&hir);
        Ok(Self { text, case_insensitive, requirement, prefix, regex: OnceLock::new() })
    }

    pub(crate) fn regex(&self) -> Option<&meta::Regex> {
        if let Some(built) = self.regex.get() {
            return built.as_ref();
        }
        // Not inside `get_or_init`: a process may be forked while another thread builds, and its child would wait
        // for that thread for ever. Two that build at once build in vain once.
        let _lost = self.regex.set(self.build());
        self.regex.get()?.as_ref()
    }

    fn build(&self) -> Option<meta::Regex> {
        let config = meta::Config::new()
            .utf8_empty(false)
            .nfa_size_limit(None)
            // Small caches: some hundred patterns live in one worker.
            .hybrid_cache_capacity(1 << 20)
            .onepass_size_limit(Some(64 << 10));
        let hir = parse(&self.text, self.case_insensitive).ok()?;
        meta::Builder::new().configure(config).build_from_hir(&hir).ok()
    }

    /// Whether the pattern matches.
    pub(crate) fn is_match(&self, value: &[u8]) -> bool {
        if let Some(prefix) = &self.prefix {
            let start = value.get(..prefix.len());
            return start.is_some_and(|start| {
                start == &**prefix || self.case_insensitive && start.eq_ignore_ascii_case(prefix)
            });
        }
        self.regex().is_some_and(|regex| regex.is_match(value))
    }

    /// What every match contains; asked once, while rules are compiled.
    pub(crate) fn take_requirement(&mut self) -> Requirement {
        std::mem::take(&mut self.requirement)
    }

    #[cfg(test)]
    pub(crate) const fn requirement(&self) -> &Requirement {
        &self.requirement
    }
}

/// The plain text that a pattern asks a value to begin with, if that is all.
fn prefix(text: &str) -> Option<&str> {
    let prefix = text.strip_prefix('^')?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    prefix.bytes().all(plain).then_some(prefix)
}

fn parse(text: &str, case_insensitive: bool) -> Result<Hir, String> {
    let mut parser = regex_syntax::ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .dot_matches_new_line(true)
        .case_insensitive(case_insensitive)
        .nest_limit(250)
        .build();
    parser.parse(text).map_err(|e| explain(&e))
}

fn explain(error: &regex_syntax::Error) -> String {
    let kind = match error {
        regex_syntax::Error::Parse(e) => e.kind().to_string(),
        regex_syntax::Error::Translate(e) => e.kind().to_string(),
        _ => "not a pattern".to_owned(),
    };
    if kind.contains("look-around") {
        return format!("{kind}; patterns run in linear time, so rewrite without it");
    }
    format!("{kind}; mend the pattern")
}

/// An upper bound of the automaton's states.
fn states(hir: &Hir, depth: u32) -> u64 {
    if depth > 250 {
        return u64::MAX;
    }
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => literal.0.len() as u64,
        HirKind::Class(_) => 2,
        HirKind::Repetition(rep) => {
            let times = u64::from(rep.max.unwrap_or(rep.min).max(1));
            states(&rep.sub, depth + 1).saturating_mul(times)
        }
        HirKind::Capture(capture) => states(&capture.sub, depth + 1).saturating_add(2),
        HirKind::Concat(subs) | HirKind::Alternation(subs) => {
            subs.iter().fold(1, |n, sub| n.saturating_add(states(sub, depth + 1)))
        }
    }
}

/// Brings PCRE's spelling to the parser's: bytes for `\x{HH}` and for characters beyond ASCII, `\<` and
/// `\>` as the characters they are in PCRE, octal escapes, a bare `[` inside a class, atomic groups.
/// Unless `linear`, what only a backtracking engine can run stays.
pub(super) fn rewrite(text: &str, linear: bool) -> Result<String, String> {
    let mut out = String::with_capacity(text.len() + 16);
    let mut chars = text.chars().peekable();
    let mut in_class = false;
    let mut class_start = false;
    let mut groups = None;
    // Behind `\w` or `[:alpha:]` in a class a dash is a dash.
    let mut behind_set = false;
    while let Some(c) = chars.next() {
        let at_start = std::mem::take(&mut class_start);
        let after_set = std::mem::take(&mut behind_set);
        match c {
            '-' if in_class && after_set => out.push_str("\\-"),
            '\\' if chars.peek() == Some(&'Q') => {
                chars.next();
                quoted(&mut chars, &mut out);
            }
            '\\' => {
                let set = chars.peek().is_some_and(|c| "dDsSwWhHvVN".contains(*c));
                let groups = || *groups.get_or_insert_with(|| group_count(text));
                escape(&mut chars, &mut out, in_class, linear, groups)?;
                behind_set = in_class && set;
            }
            '[' if !in_class => {
                in_class = true;
                class_start = true;
                out.push('[');
                if chars.peek() == Some(&'^') {
                    chars.next();
                    out.push('^');
                }
            }
            '[' => {
                if chars.peek() == Some(&':') {
                    out.push('[');
                    // A POSIX class: copied up to its end.
                    for inner in chars.by_ref() {
                        out.push(inner);
                        if inner == ']' {
                            break;
                        }
                    }
                    behind_set = true;
                } else {
                    out.push_str("\\[");
                }
            }
            ']' if in_class && at_start => out.push_str("\\]"),
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            '&' | '~' if in_class => {
                out.push('\\');
                out.push(c);
            }
            '(' if !in_class && chars.peek() == Some(&'?') => {
                chars.next();
                if chars.peek() == Some(&'#') {
                    // A comment.
                    chars.by_ref().find(|c| *c == ')');
                } else if linear && chars.peek() == Some(&'>') {
                    chars.next();
                    // In a linear-time engine an atomic group is a group: it can only match more.
                    out.push_str("(?:");
                } else {
                    out.push_str("(?");
                }
            }
            // PCRE takes a brace that begins no counted repetition for itself.
            '{' if !in_class && !is_count(chars.clone()) => out.push_str("\\{"),
            '*' | '+' | '?' | '}' if linear && !in_class && chars.peek() == Some(&'+') => {
                chars.next();
                out.push(c);
            }
            c if c.is_ascii() => out.push(c),
            c => {
                let mut buffer = [0; 4];
                let bytes = c.encode_utf8(&mut buffer).as_bytes();
                if !in_class {
                    out.push_str("(?:");
                }
                for byte in bytes {
                    push_byte(&mut out, u32::from(*byte));
                }
                if !in_class {
                    out.push(')');
                }
            }
        }
    }
    Ok(out)
}

/// A byte as the parser reads it.
fn push_byte(out: &mut String, byte: u32) {
    use std::fmt::Write;
    // Writing into memory cannot fail.
    let _ = write!(out, "\\x{byte:02x}");
}

/// Whether what follows a brace is `3}`, `3,}` or `3,5}`.
fn is_count(mut rest: Chars<'_>) -> bool {
    let mut digits = 0;
    let mut commas = 0;
    loop {
        match rest.next() {
            Some(c) if c.is_ascii_digit() => digits += 1,
            Some(',') if digits > 0 && commas == 0 => commas += 1,
            Some('}') => return digits > 0,
            _ => return false,
        }
    }
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// The characters between `\Q` and `\E`, each as it is.
fn quoted(chars: &mut Chars<'_>, out: &mut String) {
    while let Some(c) = chars.next() {
        if c == '\\' && chars.peek() == Some(&'E') {
            chars.next();
            return;
        }
        let mut buffer = [0; 4];
        for byte in c.encode_utf8(&mut buffer).bytes() {
            push_byte(out, u32::from(byte));
        }
    }
}

/// Groups that capture, about: whether `\12` is a back-reference hangs on them.
fn group_count(text: &str) -> usize {
    let mut chars = text.chars().peekable();
    let (mut count, mut in_class) = (0, false);
    while let Some(c) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            '[' => in_class = true,
            ']' => in_class = false,
            '(' if !in_class && chars.peek() != Some(&'?') => count += 1,
            _ => {}
        }
    }
    count
}

/// Up to so many more digits to that base.
fn number(chars: &mut Chars<'_>, mut value: u32, base: u32, most: usize) -> u32 {
    for _ in 0..most {
        let Some(digit) = chars.peek().and_then(|c| c.to_digit(base)) else { break };
        value = value * base + digit;
        chars.next();
    }
    value
}

/// Whether `\12` is a character: a back-reference has one digit, or as many groups before it.
fn is_octal(first: char, rest: Chars<'_>, groups: impl FnOnce() -> usize) -> bool {
    let digits: String =
        std::iter::once(first).chain(rest.take_while(char::is_ascii_digit)).collect();
    digits.len() > 1 && digits.parse::<usize>().is_ok_and(|number| number > groups())
}

/// What stands in braces behind `\x` or `\o`.
fn braced(chars: &mut Chars<'_>, letter: char, base: u32) -> Result<u32, String> {
    chars.next();
    let digits: String = chars.by_ref().take_while(|c| *c != '}').collect();
    let code = u32::from_str_radix(&digits, base).ok().and_then(|n| u8::try_from(n).ok());
    code.map(u32::from).ok_or_else(|| {
        format!("`\\{letter}{{{digits}}}` is not a byte; values are matched as bytes, so write its UTF-8 bytes")
    })
}

/// One escape, as pcre2pattern(3) has it for patterns over bytes.
fn escape(
    chars: &mut Chars<'_>,
    out: &mut String,
    in_class: bool,
    linear: bool,
    groups: impl FnOnce() -> usize,
) -> Result<(), String> {
    const HORIZONTAL: &str = "\\t \\xa0";
    const VERTICAL: &str = "\\n\\x0b\\f\\r\\x85";
    const NOT_HORIZONTAL: &str = "\\x00-\\x08\\x0a-\\x1f\\x21-\\x9f\\xa1-\\xff";
    const NOT_VERTICAL: &str = "\\x00-\\x09\\x0e-\\x84\\x86-\\xff";
    let next = chars.next();
    let set = match next {
        Some('h') => HORIZONTAL,
        Some('v') => VERTICAL,
        Some('H') => NOT_HORIZONTAL,
        Some('V') => NOT_VERTICAL,
        _ => "",
    };
    match next {
        Some(_) if !set.is_empty() && in_class => out.push_str(set),
        Some(_) if !set.is_empty() => out.extend(["[", set, "]"]),
        Some('N') if !in_class => out.push_str("[^\\n]"),
        Some('R') if !in_class => out.extend(["(?:\\r\\n|[", VERTICAL, "])"]),
        Some('X') if !in_class => out.push_str("(?:\\r\\n|[\\x00-\\xff])"),
        Some('C') if !in_class => out.push_str("[\\x00-\\xff]"),
        Some(letter @ ('x' | 'o')) if chars.peek() == Some(&'{') => {
            let base = if letter == 'x' { 16 } else { 8 };
            let byte = braced(chars, letter, base)?;
            push_byte(out, byte);
        }
        // PCRE takes zero to two digits.
        Some('x') => {
            let byte = number(chars, 0, 16, 2);
            push_byte(out, byte);
        }
        Some('0') => {
            let byte = number(chars, 0, 8, 2);
            push_byte(out, byte);
        }
        Some('c') => match chars.next() {
            Some(c) if c.is_ascii_graphic() || c == ' ' => {
                push_byte(out, u32::from(c.to_ascii_uppercase()) ^ 0x40);
            }
            _ => {
                return Err(
                    "`\\c` stands before no character; write the one it controls".to_owned()
                );
            }
        },
        Some('e') => out.push_str("\\x1b"),
        Some('E') => {}
        Some('Z') => out.push_str("\\z"),
        Some('b') if in_class => out.push_str("\\x08"),
        Some(c @ ('<' | '>')) => out.push(c),
        Some(c @ '1'..='7') if in_class || is_octal(c, chars.clone(), groups) => {
            let byte = number(chars, u32::from(c) - u32::from('0'), 8, 2);
            push_byte(out, byte & 0xff);
        }
        Some(c) if !linear && !in_class && (c.is_ascii_digit() || "kKgG".contains(c)) => {
            out.push('\\');
            out.push(c);
        }
        Some(c) if c.is_ascii_digit() || "kKgG".contains(c) => {
            return Err(format!(
                "back-reference `\\{c}` cannot run in linear time; rewrite without it"
            ));
        }
        Some(c @ ('p' | 'P')) => {
            return Err(format!(
                "`\\{c}` asks for a property of characters, and values are matched as bytes; write the bytes or `[[:alpha:]]`"
            ));
        }
        Some(c) if "lLuUNRXC".contains(c) => {
            return Err(format!("`\\{c}` is no escape here; write what it should mean, or `{c}`"));
        }
        // The parser refuses escapes of letters that mean nothing; PCRE takes the letter.
        Some(c) if c.is_ascii_alphabetic() && !"aftnrdDsSwWbBAz".contains(c) => out.push(c),
        Some(c) if c.is_ascii() => {
            out.push('\\');
            out.push(c);
        }
        Some(c) => out.push(c),
        None => return Err("the pattern ends in a backslash; double it".to_owned()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_of_pcre_is_understood() {
        for (pattern, yes, no) in [
            (r"\x{5c}\<", &b"\\<"[..], &b"x"[..]),
            ("[[:alpha:]]\\x5c", b"a\\", b"1\\"),
            ("[a[&]b", b"[b", b"cb"),
            ("é", "é".as_bytes(), b"e"),
            (r"a\0b", b"a\0b", b"ab"),
            ("(?>ab)c++", b"abcc", b"ab"),
            ("^a$", b"a", b"a\n"),
            ("a:{i{1}", b"a:{i", b"a:i"),
            ("a.b", b"a\nb", b"ab"),
            (r"^a\vb", b"a\nb", b"a b"),
            (r"^[^\v]$", b"a", b"\n"),
            (r"^\N+$", b"abc", b"a\n"),
            (r"\cM\cA", b"\r\x01", b"cMcA"),
            (r"^\H\h$", b"a\xa0", b" a"),
            (r"^\V\R$", b"a\x85", b"\na"),
            (r"^\X\C$", b"ab", b"X"),
            (r"^\o{101}\101[\101]$", b"AAA", b"o101"),
            (r"^[\w-.]+$", b"a-.", b"a+"),
            (r"^[[:alpha:]-.]+$", b"a-.", b"a+"),
            (r"^\Qa.b\E.$", b"a.bc", b"axbc"),
            (r"^a(?# of no use)b$", b"ab", b"a"),
            (r"^[a-c]$", b"b", b"-"),
        ] {
            let pattern_ = Pattern::new(pattern, false).unwrap();
            assert!(pattern_.is_match(yes), "{pattern}");
            assert!(!pattern_.is_match(no), "{pattern}");
        }
        assert!(Pattern::new(r"(a)\1", false).unwrap_err().contains("back-reference"));
        assert!(Pattern::new(r"\K", false).unwrap_err().contains("back-reference"));
        assert!(Pattern::new("(?=a)", false).unwrap_err().contains("look-around"));
        for (pattern, why) in
            [(r"\p{L}", "property"), (r"\u", "no escape"), ("[z-a]", "mend the pattern")]
        {
            let error = Pattern::new(pattern, false).unwrap_err();
            assert!(error.contains(why) && !error.contains("look-around"), "{pattern}: {error}");
        }
        assert!(Pattern::new("((a{1000}){1000}){1000}", false).is_err());
    }
}
