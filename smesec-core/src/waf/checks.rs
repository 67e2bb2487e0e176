//! Small checks that operators share: numbers, words, check digits.

use super::compile::pattern::Pattern;

/// The number at the start of a value as C's `atoi` reads it, saturating; 0 where there is none.
pub(super) fn number(value: &[u8]) -> i64 {
    let value = value.trim_ascii_start();
    let (negative, digits) = match value.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, value),
    };
    let mut number = 0i64;
    for digit in digits.iter().take_while(|b| b.is_ascii_digit()) {
        number = number.saturating_mul(10).saturating_add(i64::from(digit - b'0'));
    }
    if negative { -number } else { number }
}

/// Up to this length a value is searched without preparation, which would cost more than the search.
const SHORT: usize = 512;

/// Whether `text` occurs.
pub(super) fn contains(value: &[u8], text: &[u8]) -> bool {
    let Some((first, rest)) = text.split_first() else { return true };
    if value.len() > SHORT {
        return memchr::memmem::find(value, text).is_some();
    }
    memchr::memchr_iter(*first, value)
        .any(|at| value.get(at + 1..).is_some_and(|value| value.starts_with(rest)))
}

/// Whether `word` occurs with no letter, digit or underscore beside it.
pub(super) fn contains_word(value: &[u8], word: &[u8]) -> bool {
    if word.is_empty() {
        return true;
    }
    let is_word = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    memchr::memmem::find_iter(value, word).any(|at| {
        let before = at.checked_sub(1).and_then(|i| value.get(i));
        !is_word(before) && !is_word(value.get(at + word.len()))
    })
}

/// Whether a match of `pattern` passes `check`.
pub(super) fn verified<H: Default>(
    pattern: &Pattern,
    value: &[u8],
    check: fn(&[u8]) -> bool,
) -> Option<H> {
    let regex = pattern.regex()?;
    let mut matches = regex.find_iter(value);
    matches.any(|m| value.get(m.range()).is_some_and(check)).then(H::default)
}

fn digits(text: &[u8]) -> Vec<u32> {
    text.iter().filter(|b| b.is_ascii_digit()).map(|b| u32::from(b - b'0')).collect()
}

/// Check digits of Brazil's CPF: two, each modulo 11.
pub(super) fn cpf(text: &[u8]) -> bool {
    let digits = digits(text);
    if digits.len() != 11 || digits.windows(2).all(|pair| pair.first() == pair.last()) {
        return false;
    }
    let check = |count: u32| {
        let sum: u32 = digits.iter().zip((2..=count + 1).rev()).map(|(d, w)| d * w).sum();
        match sum * 10 % 11 {
            10 => 0,
            rest => rest,
        }
    };
    digits.get(9) == Some(&check(9)) && digits.get(10) == Some(&check(10))
}

/// Form of a US social security number: area not 000, 666 or 900 and above, group and serial not zero.
pub(super) fn ssn(text: &[u8]) -> bool {
    let digits = digits(text);
    let part = |from: usize, to: usize| {
        digits.get(from..to).unwrap_or_default().iter().fold(0, |n, d| n * 10 + d)
    };
    let area = part(0, 3);
    digits.len() == 9
        && area != 0
        && area != 666
        && area < 900
        && part(3, 5) != 0
        && part(5, 9) != 0
}

/// Check digit of Chile's RUT: modulo 11, with K for ten.
pub(super) fn rut(text: &[u8]) -> bool {
    let wanted = |b: &&u8| b.is_ascii_digit() || matches!(b, b'k' | b'K');
    let mut from_the_end = text.iter().rev().filter(wanted);
    let Some(check) = from_the_end.next() else { return false };
    let body: Vec<u8> = from_the_end.copied().collect();
    if !(6..=9).contains(&body.len()) || !body.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let weights = (2..=7).cycle();
    let sum: u32 = body.iter().zip(weights).map(|(b, weight)| u32::from(b - b'0') * weight).sum();
    match 11 - sum % 11 {
        11 => *check == b'0',
        10 => check.eq_ignore_ascii_case(&b'K'),
        digit => u32::from(check.wrapping_sub(b'0')) == digit,
    }
}

/// Check digit of Austria's insurance number: the fourth of ten digits, weighted modulo 11.
pub(super) fn svnr(text: &[u8]) -> bool {
    let digits = digits(text);
    const WEIGHTS: [u32; 10] = [3, 7, 9, 0, 5, 8, 4, 2, 1, 6];
    let sum: u32 = digits.iter().zip(WEIGHTS).map(|(d, w)| d * w).sum();
    digits.len() == 10 && digits.get(3) == Some(&(sum % 11))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_wherever_it_stands() {
        for length in [0, 1, 7, SHORT, SHORT + 1, SHORT * 2] {
            let value: Vec<u8> = b"abcab ".iter().copied().cycle().take(length).collect();
            for text in [&b""[..], b"a", b"cab", b"abcab ab", b" ", b"abcabc", b"z"] {
                let naive = text.is_empty() || value.windows(text.len()).any(|part| part == text);
                assert_eq!(contains(&value, text), naive, "{length} {text:?}");
            }
            assert!(contains(&value, &value));
        }
    }

    #[test]
    fn numbers_are_read_as_c_reads_them() {
        for (text, value) in
            [("12abc", 12), (" -3", -3), ("x", 0), ("", 0), ("99999999999999999999", i64::MAX)]
        {
            assert_eq!(number(text.as_bytes()), value, "{text}");
        }
    }

    #[test]
    fn check_digits() {
        assert!(cpf(b"529.982.247-25") && !cpf(b"529.982.247-24") && !cpf(b"111.111.111-11"));
        assert!(ssn(b"078-05-1120") && !ssn(b"000-12-3456"));
        assert!(rut(b"12.345.678-5") && rut(b"10000013-K") && !rut(b"12.345.678-4") && !rut(b"5"));
        assert!(svnr(b"1237010180") && !svnr(b"1238010180"));
        assert!(contains_word(b"a drop b", b"drop") && !contains_word(b"dropped", b"drop"));
    }
}
