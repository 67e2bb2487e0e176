//! Case folding: Unicode's simple lower case, one character for one.

/// The lower case of a character. The one that has two (`İ`) becomes its first.
pub(in crate::siem) fn fold_char(c: char) -> char {
    c.to_lowercase().next().unwrap_or(c)
}

/// Appends the folded text.
pub(in crate::siem) fn fold_into(text: &str, out: &mut String) {
    if text.is_ascii() {
        return fold_ascii(text, out);
    }
    let mut rest = text;
    while !rest.is_empty() {
        // Most of what is not ASCII stands in ASCII: a sign, a name's letter.
        let plain = rest.bytes().position(|byte| !byte.is_ascii()).unwrap_or(rest.len());
        let (ascii, after) = rest.split_at_checked(plain).unwrap_or((rest, ""));
        fold_ascii(ascii, out);
        let mut others = after.chars();
        out.extend(others.next().map(fold_char));
        rest = others.as_str();
    }
}

fn fold_ascii(text: &str, out: &mut String) {
    let from = out.len();
    out.push_str(text);
    if let Some(added) = out.get_mut(from..) {
        added.make_ascii_lowercase();
    }
}

/// The folded text.
pub(in crate::siem) fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    fold_into(text, &mut out);
    out
}
