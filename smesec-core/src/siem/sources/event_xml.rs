//! Windows events as XML: what the event viewer and `wevtutil` export, and what forwarders send.

use super::draft::{Draft, Fault};
use super::{stamp, windows};
use crate::siem::record::Kind;

/// Elements open at once. Real events have four.
const DEPTH: usize = 32;

/// An element that is open.
struct Element<'l> {
    tag: &'l str,
    /// The name of its text: its own, or its `Name` attribute.
    name: &'l str,
    text: Option<&'l str>,
    has_children: bool,
}

/// Reads one `<Event>…</Event>`; what precedes it (a declaration, `<Events>`) is passed over.
pub(super) fn parse<'l>(text: &'l str, draft: &mut Draft<'l>) -> Result<(), Fault> {
    // `<Event` and a blank of any kind: exports break the line before its name space.
    let start = memchr::memmem::find_iter(text.as_bytes(), "<Event").find(|at| {
        let next = text.as_bytes().get(at + "<Event".len());
        next.is_some_and(|byte| *byte == b'>' || byte.is_ascii_whitespace())
    });
    let mut rest =
        text.get(start.ok_or("no Windows event: `<Event` is expected")?..).unwrap_or_default();
    let mut open: Vec<Element<'l>> = Vec::with_capacity(8);
    loop {
        let Some(at) = memchr::memchr(b'<', rest.as_bytes()) else { return Err(CUT) };
        let (before, tag) = rest.split_at_checked(at).unwrap_or((rest, ""));
        if let Some(element) = open.last_mut()
            && !before.is_empty()
        {
            add(element, unescaped(before, draft)?, draft)?;
        }
        if let Some(inner) = tag.strip_prefix("<![CDATA[") {
            let (value, after) = inner.split_once("]]>").ok_or(CUT)?;
            if let Some(element) = open.last_mut() {
                add(element, value, draft)?;
            }
            rest = after;
        } else if let Some(comment) = tag.strip_prefix("<!--") {
            rest = comment.split_once("-->").ok_or(CUT)?.1;
        } else if let Some(instruction) = tag.strip_prefix("<?") {
            rest = instruction.split_once("?>").ok_or(CUT)?.1;
        } else if let Some(end) = tag.strip_prefix("</") {
            let (name, after) = end.split_once('>').ok_or(CUT)?;
            rest = after;
            let element = open.pop().ok_or(CUT)?;
            if local(name.trim_end()) != element.tag {
                return Err("no well-formed XML: an end tag does not match its start".into());
            }
            close(&element, draft)?;
            if open.is_empty() {
                break;
            }
        } else {
            let tag = tag.strip_prefix('<').ok_or(CUT)?;
            if open.len() >= DEPTH {
                return Err("XML nested deeper than 32".into());
            }
            if let Some(parent) = open.last_mut() {
                parent.has_children = true;
            }
            let (element, after, closed) = start_tag(tag, draft)?;
            rest = after;
            if closed {
                close(&element, draft)?;
            } else {
                open.push(element);
            }
            if open.is_empty() {
                break;
            }
        }
    }
    windows::conclude(draft);
    draft.time =
        draft.first(windows::TIME).and_then(|text| stamp::iso(text, 0)).map(|(time, _)| time);
    Ok(())
}

const CUT: Fault = Fault::Borrowed("an event whose XML is cut off");

/// A name without its prefix.
fn local(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}

/// After `<`: name, attributes, `>` or `/>`.
fn start_tag<'l>(
    tag: &'l str,
    draft: &mut Draft<'l>,
) -> Result<(Element<'l>, &'l str, bool), Fault> {
    let end = tag.find([' ', '\t', '\r', '\n', '/', '>']).ok_or(CUT)?;
    let (name, mut rest) = tag.split_at_checked(end).unwrap_or((tag, ""));
    let name = local(name);
    if name.is_empty() {
        return Err("no well-formed XML: a name is expected after `<`".into());
    }
    let mut element = Element { tag: name, name, text: None, has_children: false };
    loop {
        rest = rest.trim_ascii_start();
        if let Some(after) = rest.strip_prefix("/>") {
            return Ok((element, after, true));
        }
        if let Some(after) = rest.strip_prefix('>') {
            return Ok((element, after, false));
        }
        let (key, after) = rest.split_once('=').ok_or(CUT)?;
        let key = key.trim_end();
        if key.is_empty() || key.contains(['<', '>', '/']) {
            return Err("no well-formed XML: an attribute is expected".into());
        }
        let after = after.trim_ascii_start();
        let quote = after.chars().next().filter(|quote| matches!(quote, '"' | '\''));
        let (value, after) = quote
            .and_then(|quote| after.get(1..)?.split_once(quote))
            .ok_or("no well-formed XML: an attribute's value is expected in quotes")?;
        rest = after;
        if key.starts_with("xmlns") || matches!(name, "Event" | "EventData" | "UserData") {
            continue;
        }
        let value = unescaped(value, draft)?;
        if key == "Name" && matches!(name, "Data" | "ComplexData") {
            element.name = draft.name(value)?;
        } else {
            let joined = draft.joined(name, "_", key)?;
            push(joined, value, draft)?;
        }
    }
}

fn add<'l>(element: &mut Element<'l>, text: &'l str, draft: &mut Draft<'l>) -> Result<(), Fault> {
    element.text = Some(match element.text {
        Some(before) => draft.joined(before, "", text)?,
        None => text,
    });
    Ok(())
}

fn close<'l>(element: &Element<'l>, draft: &mut Draft<'l>) -> Result<(), Fault> {
    let text = element.text.unwrap_or_default();
    if element.has_children && text.trim_ascii().is_empty() {
        return Ok(());
    }
    if text.is_empty() && !matches!(element.tag, "Data" | "ComplexData") {
        return Ok(());
    }
    push(element.name, text, draft)
}

fn push<'l>(name: &'l str, text: &'l str, draft: &mut Draft<'l>) -> Result<(), Fault> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    draft.push(name, text, if digits { Kind::Number } else { Kind::Text })
}

/// References undone; what is none of XML's own stays as it stands.
fn unescaped<'l>(text: &'l str, draft: &mut Draft<'l>) -> Result<&'l str, Fault> {
    if !text.contains('&') {
        return Ok(text);
    }
    let mut out = draft.arena.writer();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push(before);
        let near = after.get(..after.floor_char_boundary(12)).unwrap_or_default();
        let reference = near.split_once(';');
        let character = reference.and_then(|(name, _)| match name {
            "amp" => Some('&'),
            "lt" => Some('<'),
            "gt" => Some('>'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            _ => {
                let number = name.strip_prefix('#')?;
                let code = match number.strip_prefix(['x', 'X']) {
                    Some(digits) => u32::from_str_radix(digits, 16),
                    None => number.parse(),
                };
                code.ok().and_then(char::from_u32)
            }
        });
        if let (Some(character), Some((name, _))) = (character, reference) {
            out.char(character);
            rest = after.get(name.len() + 1..).unwrap_or_default();
        } else {
            out.push("&");
            rest = after;
        }
    }
    out.push(rest);
    out.finish()
}
