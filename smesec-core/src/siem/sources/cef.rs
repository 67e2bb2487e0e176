//! `ArcSight`'s Common Event Format and IBM's Log Event Extended Format, bare or within syslog.

use super::draft::{Draft, Fault};
use super::{Context, stamp};
use crate::siem::record::Kind;

/// Reads `CEF:version|vendor|product|version|id|name|severity|key=value …`.
pub(super) fn parse_cef<'l>(
    text: &'l str,
    context: &Context,
    draft: &mut Draft<'l>,
) -> Result<(), Fault> {
    const NAMES: [&str; 7] = [
        "CEFVersion",
        "DeviceVendor",
        "DeviceProduct",
        "DeviceVersion",
        "SignatureID",
        "Name",
        "Severity",
    ];
    if draft.raw.is_empty() {
        draft.raw = text;
    }
    let mut rest =
        text.strip_prefix("CEF:").ok_or(Fault::Borrowed("no CEF: `CEF:` is expected"))?;
    for (n, name) in NAMES.into_iter().enumerate() {
        let end = unescaped(rest, b'|');
        // A message without an extension may end without the seventh bar.
        if end.is_none() && n + 1 < NAMES.len() {
            return Err("no CEF: seven `|` are expected in its header".into());
        }
        let (value, after) = end.and_then(|end| rest.split_at_checked(end)).unwrap_or((rest, ""));
        let value = plain(value, draft)?;
        draft.text(name, value)?;
        rest = after.strip_prefix('|').unwrap_or(after);
    }
    let first = draft.fields.len();
    extension(rest, draft)?;
    labels(first, draft)?;
    draft.time = ["rt", "end", "start"]
        .iter()
        .find_map(|name| draft.first(name).and_then(|text| time(text, context)))
        .or(draft.time);
    source(draft, "DeviceVendor", "DeviceProduct");
    Ok(())
}

/// Reads `LEEF:1.0|vendor|product|version|id|` with tabs, or `LEEF:2.0|…|delimiter|`.
pub(super) fn parse_leef<'l>(
    text: &'l str,
    context: &Context,
    draft: &mut Draft<'l>,
) -> Result<(), Fault> {
    const SHORT: Fault = Fault::Borrowed("no LEEF: five `|` are expected in its header");
    if draft.raw.is_empty() {
        draft.raw = text;
    }
    let rest = text.strip_prefix("LEEF:").ok_or(Fault::Borrowed("no LEEF: `LEEF:` is expected"))?;
    let (version, mut rest) = rest.split_once('|').ok_or(SHORT)?;
    draft.text("LEEFVersion", version)?;
    for name in ["Vendor", "Product", "Version", "EventID"] {
        let (value, after) = rest.split_once('|').ok_or(SHORT)?;
        draft.text(name, value)?;
        rest = after;
    }
    let mut delimiter = '\t';
    if version.starts_with('2')
        && let Some((told, after)) = rest.split_once('|')
        && let Some(told) = delimiter_of(told)
    {
        delimiter = told;
        rest = after;
    }
    for pair in rest.split(delimiter) {
        let Some((key, value)) = pair.split_once('=') else { continue };
        let key = draft.name(key.trim())?;
        push(draft, key, value)?;
    }
    // `devTimeFormat` may say anything of SimpleDateFormat; what is not plain stays a field.
    draft.time = draft.first("devTime").and_then(|text| time(text, context)).or(draft.time);
    source(draft, "Vendor", "Product");
    Ok(())
}

/// One character, or its number as `x09` or `0x09`; empty is the tab.
fn delimiter_of(text: &str) -> Option<char> {
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (None, _) => Some('\t'),
        (Some(one), None) => Some(one),
        _ => {
            let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix('x'))?;
            char::from_u32(u32::from_str_radix(digits, 16).ok()?)
        }
    }
}

/// `key=value key=value`: values have blanks in them and end before the next key.
fn extension<'l>(text: &'l str, draft: &mut Draft<'l>) -> Result<(), Fault> {
    let mut rest = text.trim_start_matches(' ');
    let Some(mut equals) = unescaped(rest, b'=') else {
        return if rest.trim().is_empty() {
            Ok(())
        } else {
            Err("no CEF: its extension has no `key=value`".into())
        };
    };
    loop {
        let (key, after) = rest.split_at_checked(equals).unwrap_or((rest, ""));
        let value = after.strip_prefix('=').unwrap_or(after);
        let (value, next_key) = match next_key(value) {
            Some((end, start, length)) => {
                (value.get(..end).unwrap_or_default(), Some((start, length)))
            }
            None => (value, None),
        };
        let value = plain(value.trim_end_matches(' '), draft)?;
        push(draft, key.trim(), value)?;
        let Some((start, length)) = next_key else { return Ok(()) };
        rest = after.get(1 + start..).unwrap_or_default();
        equals = length;
    }
}

/// Where a value ends and the next key begins, and the key's length: the word before the next `=`
/// that has one. An `=` that the sender forgot to escape has none, and must not hide what follows.
fn next_key(value: &str) -> Option<(usize, usize, usize)> {
    let mut from = 0;
    loop {
        let at = from + unescaped(value.get(from..)?, b'=')?;
        if let Some((before, key)) = value.get(from..at)?.rsplit_once(' ')
            && is_key(key)
        {
            return Some((from + before.len(), at - key.len(), key.len()));
        }
        from = at + 1;
    }
}

/// Keys are words; what links and expressions have before an `=` is none.
fn is_key(key: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || "_.-[]:".contains(c);
    !key.is_empty() && key.chars().all(part)
}

/// `cs1Label=Rule` and `cs1=x` also give `Rule=x`, the name without blanks.
fn labels(first: usize, draft: &mut Draft<'_>) -> Result<(), Fault> {
    for at in first..draft.fields.len() {
        let Some(field) = draft.fields.get(at).copied() else { break };
        let Some(base) = field.name.strip_suffix("Label").filter(|base| !base.is_empty()) else {
            continue;
        };
        let value = draft.fields.get(first..).unwrap_or_default().iter();
        let value = value.clone().find(|field| field.name == base).map(|field| field.value);
        if let Some(value) = value
            && !field.value.text.is_empty()
        {
            let name = draft.name(field.value.text)?;
            draft.push(name, value.text, value.kind)?;
        }
    }
    Ok(())
}

fn push<'l>(draft: &mut Draft<'l>, name: &'l str, value: &'l str) -> Result<(), Fault> {
    let number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    draft.push(name, value, if number { Kind::Number } else { Kind::Text })
}

/// Where `byte` stands first without a backslash before it.
fn unescaped(text: &str, byte: u8) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        at += memchr::memchr2(byte, b'\\', bytes.get(at..)?)?;
        if bytes.get(at) == Some(&byte) {
            return Some(at);
        }
        at += 2;
    }
}

/// `\|`, `\=`, `\\`, `\n` and `\r` undone.
fn plain<'l>(text: &'l str, draft: &mut Draft<'l>) -> Result<&'l str, Fault> {
    if !text.contains('\\') {
        return Ok(text);
    }
    let mut out = draft.arena.writer();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            out.char(character);
            continue;
        }
        match characters.next() {
            Some('n') => out.char('\n'),
            Some('r') => out.char('\r'),
            Some(escaped @ ('\\' | '|' | '=')) => out.char(escaped),
            Some(other) => {
                out.char('\\');
                out.char(other);
            }
            None => out.char('\\'),
        }
    }
    out.finish()
}

/// Milliseconds since the epoch, `Mar 02 2026 06:00:00`, or ISO.
fn time(text: &str, context: &Context) -> Option<crate::time::Timestamp> {
    stamp::epoch(text)
        .or_else(|| stamp::bsd(text, context.now, context.zone).map(|(time, _)| time))
        .or_else(|| stamp::iso(text, context.zone).map(|(time, _)| time))
}

/// The vendor and the product are the log source, in lower case as rules write them.
fn source<'l>(draft: &mut Draft<'l>, vendor: &str, product: &str) {
    let lower = |text: &'l str, draft: &mut Draft<'l>| {
        if text.bytes().any(|byte| byte.is_ascii_uppercase() || byte == b' ') {
            let mut out = draft.arena.writer();
            for character in text.chars() {
                out.char(if character == ' ' { '_' } else { character.to_ascii_lowercase() });
            }
            out.finish().unwrap_or(text)
        } else {
            text
        }
    };
    let (vendor, product) =
        (draft.first(vendor).unwrap_or_default(), draft.first(product).unwrap_or_default());
    draft.log_source.product = lower(vendor, draft);
    draft.log_source.service = lower(product, draft);
    draft.log_source.category = "";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::siem::sources::draft::Memory;

    fn fields(line: &str) -> Result<String, Fault> {
        let mut memory = Memory::default();
        let mut draft = memory.draft(line.len(), 100);
        let context = Context::default();
        if line.starts_with("CEF") {
            parse_cef(line, &context, &mut draft)?;
        } else {
            parse_leef(line, &context, &mut draft)?;
        }
        let pairs = draft.fields.iter().map(|field| format!("{}={}", field.name, field.value.text));
        let time = draft.time.map(crate::time::Timestamp::unix_nanos);
        Ok(format!("{time:?} {}", pairs.skip(5).collect::<Vec<_>>().join("|")))
    }

    #[test]
    fn headers_and_extensions_of_cef() {
        assert_eq!(
            fields(r"CEF:0|Sec|IDS|1.0|100|worm \| stopped \\ twice|10|src=10.0.0.1 act=blocked a \| spt=1232").unwrap(),
            r"None Name=worm | stopped \ twice|Severity=10|src=10.0.0.1|act=blocked a ||spt=1232"
        );
        assert_eq!(
            fields(r"CEF:0|S|I|1|9|n|5|rt=1364481363243 msg=a \= b\nc cs1Label=Rule Name cs1=x y request=http://h/?q=1").unwrap(),
            "Some(1364481363243000000) Name=n|Severity=5|rt=1364481363243|msg=a = b\nc|cs1Label=Rule Name|cs1=x y|request=http://h/?q=1|RuleName=x y"
        );
        // What a sender forgot to escape hides nothing that follows.
        assert_eq!(
            fields("CEF:0|S|I|1|9|n|5|msg=a=b=c act=blocked u=http://h/?a b/c=d=e src=10.0.0.1")
                .unwrap(),
            "None Name=n|Severity=5|msg=a=b=c|act=blocked|u=http://h/?a b/c=d=e|src=10.0.0.1"
        );
        let many = format!("CEF:0|S|I|1|9|n|5|msg={} act=x", "=".repeat(1_000_000));
        assert!(fields(&many).unwrap().ends_with("|act=x"));
        assert_eq!(fields("CEF:0|S|I|1|9|n|5").unwrap(), "None Name=n|Severity=5");
        assert_eq!(fields("CEF:0|S|I|1|9|n|5|").unwrap(), "None Name=n|Severity=5");
        assert!(fields("CEF:0|S|I|1|9").is_err());
        assert!(fields("CEF:0|S|I|1|9|n|5|what").is_err());
    }

    #[test]
    fn both_versions_of_leef() {
        assert_eq!(
            fields("LEEF:1.0|V|P|4.0|15345|src=192.0.2.0\tdst=172.50.123.1\tmsg=a b=c").unwrap(),
            "None src=192.0.2.0|dst=172.50.123.1|msg=a b=c"
        );
        assert_eq!(
            fields("LEEF:2.0|V|P|4.0|15345|^|src=192.0.2.0^usr name=x").unwrap(),
            "None src=192.0.2.0|usrname=x"
        );
        assert_eq!(fields("LEEF:2.0|V|P|4.0|15345|x7C|a=1|b=2").unwrap(), "None a=1|b=2");
        assert_eq!(fields("LEEF:2.0|V|P|4.0|15345||a=1\tb=2").unwrap(), "None a=1|b=2");
        assert!(fields("LEEF:1.0|V|P").is_err());
    }
}
