//! SQL injection: tokens, folding, fingerprint, verdict.
mod fold;
mod lexer;
mod patterns;
mod token;
mod verdict;
mod words;

use crate::decode::byteset::ByteSet;
use core::fmt;

use fold::Row;
use lexer::{Context, Dialect, Lexer};
use token::is_plain;

/// The kinds of an attack's folded SQL tokens, one character each, at most five.
///
/// The characters are libinjection's: `s` string, `1` number, `n` bare word, `k` keyword, `f` function,
/// `o` operator, `&` logical operator, `U` union, `E` expression, `c` comment and so on; `X` alone stands for
/// input that no two databases would read alike, such as nested comments.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Fingerprint {
    symbols: [u8; 8],
    len: u8,
}

impl Fingerprint {
    /// The fingerprint as text, such as `s&sos`.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(self.symbols()).unwrap_or_default()
    }

    fn symbols(&self) -> &[u8] {
        self.symbols.get(..usize::from(self.len)).unwrap_or_default()
    }

    fn push(&mut self, symbol: u8) {
        if let Some(place) = self.symbols.get_mut(usize::from(self.len)) {
            *place = symbol;
            self.len += 1;
        }
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Fingerprint").field(&self.as_str()).finish()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Tells whether `input`, put into an SQL statement, would change the statement.
///
/// The value is read bare, then as if it stood inside single quotes, then inside double quotes (each only
/// where such a quote occurs in it), first as ANSI SQL and, where a comment is read differently there, as
/// `MySQL`. The first context that gives a known attack decides.
pub fn detect_sqli(input: &[u8]) -> Option<Fingerprint> {
    if input.iter().copied().all(is_plain) {
        return None;
    }
    detect_in_contexts(input)
}

/// The bytes without which nothing is detected.
pub(crate) fn sqli_bytes() -> ByteSet {
    let telling = (0..=u8::MAX).filter(|byte| !is_plain(*byte));
    telling.fold(ByteSet::EMPTY, ByteSet::with)
}

/// The whole detection, without the gate for inputs of word characters only.
fn detect_in_contexts(input: &[u8]) -> Option<Fingerprint> {
    if let Some(found) = detect_in_dialects(input, Context::Bare) {
        return Some(found);
    }
    if memchr::memchr(b'\'', input).is_some()
        && let Some(found) = detect_in_dialects(input, Context::Inside(b'\''))
    {
        return Some(found);
    }
    // ANSI SQL has identifiers in double quotes; only MySQL takes them for strings.
    if memchr::memchr(b'"', input).is_some() {
        return examine(input, Context::Inside(b'"'), Dialect::MySql).attack;
    }
    None
}

fn detect_in_dialects(input: &[u8], context: Context) -> Option<Fingerprint> {
    let ansi = examine(input, context, Dialect::Ansi);
    if ansi.attack.is_some() || !ansi.dialects_differ {
        return ansi.attack;
    }
    examine(input, context, Dialect::MySql).attack
}

struct Examined {
    attack: Option<Fingerprint>,
    dialects_differ: bool,
}

fn examine(input: &[u8], context: Context, dialect: Dialect) -> Examined {
    let mut lexer = Lexer::new(input, context, dialect);
    let mut row = Row::EMPTY;
    row.fold(&mut lexer);
    let fingerprint = row.fingerprint();
    let attack = patterns::is_known(fingerprint.symbols())
        && verdict::is_attack(input, &fingerprint, row.tokens(), lexer.produced());
    Examined { attack: attack.then_some(fingerprint), dialects_differ: lexer.dialects_differ() }
}

#[cfg(test)]
mod tests {
    use super::token::Kind;
    use super::*;

    fn fingerprint(input: &str) -> Option<String> {
        detect_sqli(input.as_bytes()).map(|found| found.as_str().to_owned())
    }

    #[test]
    fn known_attacks_have_their_fingerprints() {
        for (input, expected) in [
            ("1' OR '1'='1", "s&sos"),
            ("1 OR 1=1", "1&1"),
            ("1 UNION SELECT 1,2,3 FROM users", "1UE1k"),
            ("' UNION SELECT password FROM users--", "sUEnk"),
            ("1; DROP TABLE users", "1;Tnn"),
            ("1' AND SLEEP(5)-- ", "s&f(1"),
            ("\" OR \"\"=\"", "s&sos"),
            ("1 /*! UNION */ SELECT", "X"),
            ("1 OR 1=1#", "1&1c"),
            ("1/**/UNION/**/SELECT/**/1", "1UE1"),
        ] {
            assert_eq!(fingerprint(input).as_deref(), Some(expected), "{input}");
        }
    }

    #[test]
    fn plain_text_is_no_attack() {
        for input in [
            "",
            "hello world",
            "O'Reilly",
            "rock 'n' roll",
            "2024-01-31T10:20:30Z",
            "select",
            "a union of states",
            "one -- two",
            "user@example.org",
            "https://example.org/a/b?c=d&e=f",
            "1 union",
            "{\"a\":[1,2,3]}",
        ] {
            assert_eq!(fingerprint(input), None, "{input}");
        }
    }

    #[test]
    fn word_characters_alone_never_make_an_attack() {
        // Of plain characters only digits start anything but a word, and a word swallows the rest. Numbers and
        // what looks like one (`0x`, `1e`) are followed by a digit only behind `0b`, so that at most two of them
        // come first. No rule folds such rows, and none of them may be in the table.
        let kinds = (0u8..=255).filter_map(Kind::of_symbol);
        for last in kinds {
            let last = last.symbol();
            for row in [
                vec![last],
                vec![b'n', last],
                vec![b'1', b'1', last],
                vec![b'1', b'n', last],
                vec![b'n', b'1', last],
                vec![b'n', b'n', last],
            ] {
                if last != b'X' && last != b'c' {
                    assert!(!patterns::is_known(&row), "{row:?}");
                }
            }
            // A number and a word: known only with UNION, which two tokens alone do not make an attack.
            assert_eq!(patterns::is_known(&[b'1', last]), matches!(last, b'U' | b'c'));
        }
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        let alphabet: Vec<u8> = (0..=255).filter(|&byte| is_plain(byte)).collect();
        let starts: &[&[u8]] =
            &[b"", b"0x", b"0b", b"0b01", b"1e", b"1f", b"0XFF", b"12", b"_", b"n", b"q"];
        let ends: &[&[u8]] =
            &[b"", b"union", b"SELECT", b"or", b"current_user", b"if", b"int", b"sleep"];
        for _ in 0..200_000 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let mut input =
                starts[usize::try_from(random & 0xffff).unwrap() % starts.len()].to_vec();
            for shift in 0..(random >> 8 & 7) {
                let pick = usize::try_from(random >> (16 + 5 * shift) & 0xff).unwrap();
                input.push(alphabet[pick % alphabet.len()]);
            }
            input.extend_from_slice(ends[usize::try_from(random >> 56).unwrap() % ends.len()]);
            assert_eq!(detect_in_contexts(&input), None, "{:?}", String::from_utf8_lossy(&input));
        }
    }

    #[test]
    fn any_byte_in_any_place_is_harmless() {
        for first in 0..=255u8 {
            for second in 0..=255u8 {
                let _ = detect_sqli(&[first, second]);
                let _ = detect_sqli(&[b'\'', first, second, b'1']);
                let _ = detect_sqli(&[b'1', first, second]);
            }
        }
    }

    #[test]
    fn time_is_linear_in_the_length() {
        let shapes: &[&[u8]] = &[
            b"\\", b"\\'", b"'", b"''", b"$a", b"$a$", b"/*", b"-- ", b"1+", b"(", b"{a", b"a.",
            b"`", b"[", b"q'(", b"@", b"1,", b"a b ", b"union ", b"not ", b"--\n", b"#\n",
            b"\"\\\"",
        ];
        for shape in shapes {
            let small = duration(&shape.repeat(40_000 / shape.len()));
            let large = duration(&shape.repeat(640_000 / shape.len()));
            // Sixteen times the input; a quadratic path would take 256 times as long.
            assert!(
                large < small * 100 + core::time::Duration::from_millis(20),
                "{:?}: {small:?} then {large:?}",
                String::from_utf8_lossy(shape)
            );
        }
    }

    fn duration(input: &[u8]) -> core::time::Duration {
        (0..3)
            .map(|_| {
                let start = std::time::Instant::now();
                let _ = core::hint::black_box(detect_sqli(core::hint::black_box(input)));
                start.elapsed()
            })
            .min()
            .unwrap()
    }
}
