//! OSSIM's directive files.

use super::fields::{Name, Wanted};
use super::{Directive, Level, MOST_LEVELS, MOST_OCCURRENCES, Reliability, TIME_OUT};
use crate::decode::body::xml::{Element, XmlDocument, XmlLimits};
use crate::decode::yaml::Place;
use crate::error::RuleError;
use crate::ruleset::{LoadReport, Refused};

/// Reads a file of OSSIM directives; what cannot run is named in the report, the rest is returned.
///
/// External and declared entities are not expanded.
///
/// ```
/// use smesec_core::ruleset::LoadReport;
/// use smesec_core::siem::directive::parse_xml;
/// let text = br#"<directives><directive id="20" name="guessing against DST_IP" priority="4">
///   <rule type="detector" name="failure" reliability="3" occurrence="1" from="ANY" to="ANY"
///         port_from="ANY" port_to="ANY" plugin_id="4003" plugin_sid="1,2">
///     <rules><rule type="detector" name="three more" reliability="+1" occurrence="3" from="1:SRC_IP"
///         to="ANY" time_out="15" plugin_id="4003" plugin_sid="1,2"/></rules>
///   </rule></directive></directives>"#;
/// let mut report = LoadReport::default();
/// let directives = parse_xml(text, "directives.xml", &mut report)?;
/// assert_eq!((directives.len(), report.refused.len()), (1, 0));
/// # Ok::<(), smesec_core::error::RuleError>(())
/// ```
///
/// # Errors
/// Text that is no XML.
pub fn parse_xml(
    text: &[u8],
    file: &str,
    report: &mut LoadReport,
) -> Result<Vec<Directive>, RuleError> {
    let document = XmlDocument::parse(text, XmlLimits::default()).map_err(|broken| {
        let place = place(text, broken.offset);
        RuleError::new(file, place.line, place.column, format!("not XML: {}", broken.what))
    })?;
    let elements: Vec<Element<'_>> = document.elements().collect();
    let mut starts = Starts::new(text);
    let mut directives = Vec::new();
    let mut at = 0;
    while let Some(element) = elements.get(at) {
        if element.name() != "directive" {
            at += 1;
            continue;
        }
        let rest = elements.get(at + 1..).unwrap_or_default();
        let inside = rest.iter().take_while(|inner| inner.depth > element.depth).count();
        let id = element.attribute("id").unwrap_or_default();
        // Not found in UTF-16, which is read all the same.
        let place = starts.next().unwrap_or(Place { line: 1, column: 1 });
        let inner = rest.get(..inside).unwrap_or_default();
        for _ in inner.iter().filter(|inner| inner.name() == "directive") {
            starts.next();
        }
        match directive(element, inner, file, place) {
            Ok((directive, degraded)) => {
                report.degraded.extend(degraded);
                directives.push(directive);
            }
            Err(why) => report.refused.push(Refused {
                file: file.to_owned(),
                line: place.line,
                column: place.column,
                rule: Some(id.to_owned()).filter(|id| !id.is_empty()),
                why,
            }),
        }
        at += 1 + inside;
    }
    Ok(directives)
}

fn directive(
    element: &Element<'_>,
    inside: &[Element<'_>],
    file: &str,
    place: Place,
) -> Result<(Directive, Vec<Refused>), String> {
    let id = element.attribute("id").unwrap_or_default();
    if id.is_empty() {
        return Err("the directive has no `id`; add one".to_owned());
    }
    let priority = match element.attribute("priority").map(|text| text.trim().parse::<u8>()) {
        Some(Ok(priority)) if priority <= 5 => priority,
        Some(_) => return Err("the `priority` is no number from 0 to 5; correct it".to_owned()),
        None => return Err("the directive has no `priority`; add one from 0 to 5".to_owned()),
    };
    // Levels are built on a stack: the depth of the file is not the depth of this function.
    let mut open: Vec<(usize, Level)> = Vec::new();
    let mut first = None;
    let mut degraded = Vec::new();
    let close = |open: &mut Vec<(usize, Level)>, first: &mut Option<Level>| {
        let Some((_, level)) = open.pop() else { return Ok(()) };
        match open.last_mut() {
            Some((_, parent)) => parent.next.push(level),
            None if first.is_some() => {
                return Err(
                    "the directive has several first rules; make them directives".to_owned()
                );
            }
            None => *first = Some(level),
        }
        Ok(())
    };
    for inner in inside {
        while open.last().is_some_and(|(depth, _)| *depth >= inner.depth) {
            close(&mut open, &mut first)?;
        }
        if inner.name() != "rule" {
            continue;
        }
        if open.len() >= MOST_LEVELS {
            return Err(format!("nested deeper than {MOST_LEVELS} levels; flatten it"));
        }
        let (read, ignored) = level(inner, open.len() + 1)?;
        if !ignored.is_empty() {
            degraded.push(Refused {
                file: file.to_owned(),
                line: place.line,
                column: place.column,
                rule: Some(id.to_owned()),
                why: format!("rule `{}`: `{}` is not looked at", read.name, ignored.join("`, `")),
            });
        }
        open.push((inner.depth, read));
    }
    while !open.is_empty() {
        close(&mut open, &mut first)?;
    }
    let directive = Directive {
        file: file.to_owned(),
        place,
        id: id.to_owned(),
        name: element.attribute("name").unwrap_or(id).to_owned(),
        author: None,
        priority,
        first: first.ok_or("the directive has no rule; add one")?,
    };
    Ok((directive, degraded))
}

/// Attributes that change nothing here, so that leaving them out is no loss.
const NOTED: &[&str] = &["type", "name", "rel_abs"];

fn level<'d>(element: &Element<'d>, depth: usize) -> Result<(Level, Vec<&'d str>), String> {
    let name = element.attribute("name").unwrap_or_default().to_owned();
    let wrong = |why: String| format!("rule `{name}`: {why}");
    if element.attribute("type") == Some("monitor") {
        return Err(wrong(
            "monitors are asked by the server and are no events; use a detector".to_owned(),
        ));
    }
    let mut level = Level {
        name: name.clone(),
        reliability: Reliability::Plus(0),
        occurrence: 1,
        time_out: (depth > 1).then_some(TIME_OUT),
        sticky: true,
        sticky_different: None,
        rules: Vec::new(),
        wanted: Vec::new(),
        next: Vec::new(),
    };
    let mut ignored = Vec::new();
    for (attribute, value) in element.attributes() {
        match attribute {
            "reliability" => {
                level.reliability = Reliability::parse(value).ok_or_else(|| {
                    wrong(format!("reliability `{value}` is neither 0 to 10 nor such as `+2`"))
                })?;
            }
            "occurrence" => {
                let count = value.trim().parse().ok();
                level.occurrence =
                    count.filter(|n| (1..=MOST_OCCURRENCES).contains(n)).ok_or_else(|| {
                        wrong(format!("occurrence `{value}` is not from 1 to {MOST_OCCURRENCES}"))
                    })?;
            }
            "time_out" if value.trim().eq_ignore_ascii_case("none") => {
                if depth > 1 {
                    return Err(wrong(
                        "only the first rule may wait for ever; write seconds".into(),
                    ));
                }
            }
            "time_out" => {
                let seconds: Option<i64> = value.trim().parse().ok().filter(|n| *n >= 0);
                let nanos = seconds.and_then(|n| n.checked_mul(1_000_000_000));
                let nanos = nanos
                    .ok_or_else(|| wrong(format!("time_out `{value}` is no number of seconds")))?;
                // OSSIM's first level does not expire, whatever it says.
                level.time_out = (depth > 1).then_some(if nanos == 0 { TIME_OUT } else { nanos });
            }
            "sticky" => level.sticky = !value.trim().eq_ignore_ascii_case("false"),
            "sticky_different" if value.trim().is_empty() || value == "NONE" => {}
            "sticky_different" => {
                level.sticky_different = Some(Name::of(value.trim()).ok_or_else(|| {
                    wrong(format!(
                        "sticky_different `{value}` names no field; use such as `DST_PORT`"
                    ))
                })?);
            }
            _ => match Name::of_attribute(attribute) {
                Some(name) => {
                    let wanted = Wanted::parse(name, value, depth).map_err(wrong)?;
                    level.wanted.extend(wanted.map(|wanted| (name, wanted)));
                }
                None if NOTED.contains(&attribute) || value.is_empty() => {}
                None => ignored.push(attribute),
            },
        }
    }
    if depth == 1 && level.wanted.iter().all(|(_, wanted)| wanted.looks_back()) {
        return Err(wrong("it matches every event; name a plugin_id".to_owned()));
    }
    Ok((level, ignored))
}

/// Where directives begin, in one pass over the file.
struct Starts<'t> {
    text: &'t [u8],
    at: usize,
    /// Up to here lines are counted.
    counted: usize,
    line: usize,
    line_start: usize,
}

impl<'t> Starts<'t> {
    const fn new(text: &'t [u8]) -> Self {
        Self { text, at: 0, counted: 0, line: 1, line_start: 0 }
    }

    fn place(&mut self, at: usize) -> Place {
        let passed = self.text.get(self.counted..at).unwrap_or_default();
        self.line += memchr::memchr_iter(b'\n', passed).count();
        if let Some(last) = memchr::memrchr(b'\n', passed) {
            self.line_start = self.counted + last + 1;
        }
        self.counted = at;
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Place { line: number(self.line), column: number(at - self.line_start + 1) }
    }
}

impl Iterator for Starts<'_> {
    type Item = Place;

    fn next(&mut self) -> Option<Place> {
        loop {
            let start = self.at + memchr::memchr(b'<', self.text.get(self.at..)?)?;
            let markup = self.text.get(start..)?;
            self.at = start + length(markup);
            let name = markup.get(1..).unwrap_or_default();
            let ends = name.iter().position(|byte| b"/> \t\r\n".contains(byte));
            let name = name.get(..ends.unwrap_or(name.len())).unwrap_or_default();
            let local = memchr::memrchr(b':', name).map_or(0, |colon| colon + 1);
            if name.get(local..) == Some(b"directive") {
                return Some(self.place(start));
            }
        }
    }
}

/// The length of a tag, comment, section or declaration, in text that is known to be XML.
fn length(markup: &[u8]) -> usize {
    let to =
        |ends: &[u8]| memchr::memmem::find(markup, ends).map_or(markup.len(), |at| at + ends.len());
    if markup.starts_with(b"<!--") {
        return to(b"-->");
    }
    if markup.starts_with(b"<![CDATA[") {
        return to(b"]]>");
    }
    if markup.starts_with(b"<?") {
        return to(b"?>");
    }
    let (mut at, mut brackets) = (0, 0_usize);
    while let Some(byte) = markup.get(at) {
        let rest = markup.get(at + 1..).unwrap_or_default();
        at += 1;
        match byte {
            b'"' | b'\'' => at += memchr::memchr(*byte, rest).map_or(rest.len(), |n| n + 1),
            b'[' => brackets += 1,
            b']' => brackets = brackets.saturating_sub(1),
            // Within a document type; an apostrophe in it is no quote.
            b'<' if rest.starts_with(b"!--") => {
                at += memchr::memmem::find(rest, b"-->").map_or(rest.len(), |n| n + 3);
            }
            b'>' if brackets == 0 => return at,
            _ => {}
        }
    }
    markup.len()
}

fn place(text: &[u8], offset: usize) -> Place {
    let before = text.get(..offset.min(text.len())).unwrap_or_default();
    let line = memchr::memchr_iter(b'\n', before).count() + 1;
    let column = before.len() - memchr::memrchr(b'\n', before).map_or(0, |at| at + 1) + 1;
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Place { line: number(line), column: number(column) }
}
