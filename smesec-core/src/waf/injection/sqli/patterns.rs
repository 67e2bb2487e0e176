//! The table of fingerprints that are attacks.
//!
//! `patterns.txt` holds one fingerprint a line, letters in upper case (so `t` and `T` are one), sorted. Its
//! twenty characters get the codes 1 to 20; the first two pick a bucket, the rest make a number to search in it.
#![expect(
    clippy::indexing_slicing,
    reason = "the table is built at compile time; codes are below 21"
)]

const COUNT: usize = 8367;
const SYMBOLS: &[u8; 20] = b"&(),1:;ABCEFKNOSTUVX";
const BASE: u16 = 21;
const BUCKETS: usize = BASE as usize * BASE as usize;

static LINES: &[u8] = include_bytes!("patterns.txt");
static CODES: [u8; 256] = codes();
static TABLE: Table = build(LINES);

struct Table {
    /// Where each bucket's numbers start, and behind the last bucket the end.
    starts: [u16; BUCKETS + 1],
    rests: [u16; COUNT],
}

/// Whether a fingerprint is in the table.
pub(super) fn is_known(symbols: &[u8]) -> bool {
    let mut codes = [0; 5];
    if symbols.is_empty() || symbols.len() > codes.len() {
        return false;
    }
    for (code, &symbol) in codes.iter_mut().zip(symbols) {
        *code = CODES[usize::from(symbol)];
        if *code == 0 {
            return false;
        }
    }
    let (bucket, rest) = split(codes);
    let (start, end) = (TABLE.starts[bucket], TABLE.starts[bucket + 1]);
    TABLE
        .rests
        .get(usize::from(start)..usize::from(end))
        .is_some_and(|rests| rests.binary_search(&rest).is_ok())
}

const fn split(codes: [u8; 5]) -> (usize, u16) {
    let [first, second, a, b, c] = codes;
    (
        first as usize * BASE as usize + second as usize,
        (a as u16 * BASE + b as u16) * BASE + c as u16,
    )
}

const fn codes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut code: u8 = 0;
    while (code as usize) < SYMBOLS.len() {
        let symbol = SYMBOLS[code as usize];
        code += 1;
        table[symbol as usize] = code;
        table[symbol.to_ascii_lowercase() as usize] = code;
    }
    table
}

#[expect(clippy::large_stack_arrays, reason = "built at compile time")]
const fn build(lines: &[u8]) -> Table {
    let codes = codes();
    let mut table = Table { starts: [0; BUCKETS + 1], rests: [0; COUNT] };
    let mut at = 0;
    let mut count: u16 = 0;
    let mut previous = (0, 0);
    while at < lines.len() {
        let mut row = [0; 5];
        let mut len = 0;
        while lines[at] != b'\n' {
            row[len] = codes[lines[at] as usize];
            assert!(row[len] != 0);
            len += 1;
            at += 1;
        }
        at += 1;
        let (bucket, rest) = split(row);
        assert!(count == 0 || bucket > previous.0 || (bucket == previous.0 && rest > previous.1));
        let mut empty = if count == 0 { 0 } else { previous.0 + 1 };
        while empty <= bucket {
            table.starts[empty] = count;
            empty += 1;
        }
        table.rests[count as usize] = rest;
        count += 1;
        previous = (bucket, rest);
    }
    assert!(count as usize == COUNT);
    let mut empty = previous.0 + 1;
    while empty <= BUCKETS {
        table.starts[empty] = count;
        empty += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds_its_lines_and_nothing_else() {
        let text = core::str::from_utf8(LINES).unwrap();
        let known: std::collections::HashSet<&[u8]> = text.lines().map(str::as_bytes).collect();
        assert_eq!(known.len(), COUNT);
        let mut symbols: Vec<u8> = SYMBOLS.to_vec();
        symbols.push(b'?');
        let mut found = 0;
        for len in 1..=5 {
            let mut digits = vec![0; len];
            loop {
                let row: Vec<u8> = digits.iter().map(|&digit: &usize| symbols[digit]).collect();
                assert_eq!(is_known(&row), known.contains(row.as_slice()), "{row:?}");
                found += usize::from(is_known(&row));
                let Some(place) = digits.iter().rposition(|&digit| digit + 1 < symbols.len())
                else {
                    break;
                };
                digits[place] += 1;
                digits[place + 1..].fill(0);
            }
        }
        assert_eq!(found, COUNT);
        assert!(is_known(b"s&sos") && !is_known(b"") && !is_known(b"s&soss"));
    }
}
