//! Case folding: Unicode's simple lower case, one character for one.

/// The lower case of a character. The one that has two (`İ`) becomes its first.
pub(in crate::siem) fn fold_char(c: char) -> char {
    c.to_lowercase().next().unwrap_or(c)
}

/// Appends the folded text.
pub(in crate::siem) fn fold_into(text: &str, out: &mut String) {
    if text.is_ascii() {
        let from = out.len();
        out.push_str(text);
        if let Some(added) = out.get_mut(from..) {
            added.make_ascii_lowercase();
        }
    } else {
        out.extend(text.chars().map(fold_char));
    }
}

/// The folded text.
pub(in crate::siem) fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    fold_into(text, &mut out);
    out
}
