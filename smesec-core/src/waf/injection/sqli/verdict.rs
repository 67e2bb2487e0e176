//! Second thoughts about known fingerprints: short ones are innocent unless something gives them away.

use super::Fingerprint;
use super::token::{Kind, Token};

/// Whether a known fingerprint is an attack after all. `produced` counts the tokens before folding.
pub(super) fn is_attack(
    input: &[u8],
    fingerprint: &Fingerprint,
    tokens: &[Token<'_>],
    produced: usize,
) -> bool {
    let symbols = fingerprint.symbols();
    // SQL Server keeps statements with this word out of its audit log.
    if let [_, .., b'c'] = symbols
        && memchr::memmem::find(input, b"sp_password").is_some()
    {
        return true;
    }
    match (symbols, tokens) {
        ([_, _], [first, second, ..]) => is_pair_attack(input, first, second, produced),
        ([_, _, _], [first, second, third, ..]) => {
            is_triple_attack(symbols, [first, second, third], produced)
        }
        _ => true,
    }
}

fn is_pair_attack(input: &[u8], first: &Token<'_>, second: &Token<'_>, produced: usize) -> bool {
    if second.kind == Kind::Union {
        // `1 union` is plain text unless a comment or folding hid something.
        return produced != 2;
    }
    let block_comment = second.first() == b'/';
    match (first.kind, second.kind) {
        _ if second.first() == b'#' => false,
        (Kind::Bareword, Kind::Comment) if !block_comment => false,
        (Kind::Number, Kind::Comment) => {
            block_comment || produced > 2 || breaks_off_after(input, first.text.len())
        }
        // Dashes are common in text; only a comment of nothing but `--` looks like a probe.
        _ => !(second.text.len() > 2 && second.first() == b'-'),
    }
}

/// Whether the input goes on at `len`, the length of its leading number, with white space or a comment:
/// `1234--` is a probe, `1234-ABCD--` an identifier.
fn breaks_off_after(input: &[u8], len: usize) -> bool {
    match input.get(len..).unwrap_or_default() {
        // Bytes above ASCII count as white space too.
        [next, ..] if *next <= b' ' || !next.is_ascii() => true,
        [b'/', b'*', ..] | [b'-', b'-', ..] => true,
        _ => false,
    }
}

fn is_triple_attack(symbols: &[u8], tokens: [&Token<'_>; 3], produced: usize) -> bool {
    let [first, second, third] = tokens;
    match symbols {
        // Only where the value closes one string and opens the next: `foo" + "bar`.
        b"sos" | b"s&s" => first.open == 0 && third.close == 0 && first.close == third.open,
        b"s&n" | b"n&1" | b"1&1" | b"1&v" | b"1&s" => produced != 3,
        _ if second.kind == Kind::Keyword => {
            // INTO OUTFILE and INTO DUMPFILE write files; other keywords occur in text.
            second.text.len() >= 5
                && second.text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"INTO"))
        }
        _ => true,
    }
}
