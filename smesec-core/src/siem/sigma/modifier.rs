//! Modifiers: what `field|contains|all` makes of its values.

use super::pattern::{Pattern, Piece};
use super::rule::{Item, Literal};
use crate::decode::transform::Transform;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Values for `%name%` under the modifier `expand`, as pipelines and files give them.
pub type Placeholders = BTreeMap<String, Vec<String>>;

/// How many patterns the placeholders of one value may make. 10,000: a list of host names of a
/// company fits; two such lists in one value do not.
const EXPANSIONS: usize = 10_000;

macro_rules! modifiers {
    ($($name:ident $($word:literal)|+ $doc:literal)*) => {
        /// A modifier.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[non_exhaustive]
        pub enum Modifier { $(#[doc = $doc] $name,)* }

        impl Modifier {
            /// The modifier of a name.
            pub fn of(word: &str) -> Option<Self> {
                match word { $($($word)|+ => Some(Self::$name),)* _ => None }
            }

            /// The name as rules write it.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => { const WORDS: &[&str] = &[$($word),+]; first(WORDS) })* }
            }
        }

        const WORDS: &[&str] = &[$($($word),+),*];
    };
}

const fn first(words: &[&'static str]) -> &'static str {
    match words {
        [first, ..] => first,
        [] => "",
    }
}

modifiers! {
    Contains "contains" "The value stands somewhere in the field."
    StartsWith "startswith" "The field begins with the value."
    EndsWith "endswith" "The field ends with the value."
    All "all" "All values, not one."
    WinDash "windash" "A dash that begins an option is any dash or slash."
    Base64 "base64" "The value in Base64."
    Base64Offset "base64offset" "The value in Base64 at each of the three offsets."
    Wide "wide" | "utf16le" "The value in UTF-16, low byte first."
    Utf16 "utf16" "The value in UTF-16, low byte first, after a byte order mark."
    Utf16Be "utf16be" "The value in UTF-16, high byte first."
    Re "re" "The value is a regular expression."
    IgnoreCase "i" | "ignorecase" "The expression ignores case."
    MultiLine "m" | "multiline" "`^` and `$` mean lines."
    DotAll "s" | "dotall" "`.` means a line's end too."
    Cidr "cidr" "The field is an address of the network."
    FieldRef "fieldref" "The value is the name of another field."
    Expand "expand" "`%name%` stands for the values given for it."
    Exists "exists" "Whether the field is there."
    Cased "cased" "Case matters."
    Neq "neq" "None of the values."
    Gt "gt" "The field is a number above the value."
    Gte "gte" "The field is a number not below the value."
    Lt "lt" "The field is a number below the value."
    Lte "lte" "The field is a number not above the value."
    Minute "minute" "The minute of the field's time."
    Hour "hour" "The hour of the field's time."
    Day "day" "The day of the month of the field's time."
    Week "week" "The ISO week of the field's time."
    Month "month" "The month of the field's time."
    Year "year" "The year of the field's time."
}

/// What is said of a word that is no modifier.
pub(super) fn unknown(word: &str) -> String {
    let near = WORDS.iter().find(|known| known.eq_ignore_ascii_case(word)).or_else(|| {
        WORDS
            .iter()
            .find(|known| known.len() > 3 && (known.starts_with(word) || word.starts_with(**known)))
    });
    match near {
        Some(near) => format!("unknown modifier `{word}`; did you mean `{near}`"),
        None => format!("unknown modifier `{word}`; write one of {}", WORDS.join(", ")),
    }
}

/// How numbers compare.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(clippy::exhaustive_enums, reason = "the comparisons of Sigma")]
pub enum Comparison {
    /// Equal.
    Equal,
    /// Above.
    Above,
    /// Not below.
    AtLeast,
    /// Below.
    Below,
    /// Not above.
    AtMost,
}

/// A part of a time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(clippy::exhaustive_enums, reason = "the parts of Sigma")]
pub enum TimePart {
    /// 0 to 59.
    Minute,
    /// 0 to 23.
    Hour,
    /// Of the month, from 1.
    Day,
    /// By ISO 8601, from 1.
    Week,
    /// From 1.
    Month,
    /// Such as 2026.
    Year,
}

/// Where a value stands in a field.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(clippy::exhaustive_enums, reason = "the places of Sigma")]
pub enum Anchor {
    /// It is the whole field.
    Whole,
    /// It begins it.
    Start,
    /// It ends it.
    End,
    /// Anywhere.
    Anywhere,
}

/// An address range.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(clippy::exhaustive_structs, reason = "an address and a length")]
pub struct Network {
    /// The first address.
    pub address: IpAddr,
    /// How many bits are fixed.
    pub bits: u8,
}

/// What one value of a line asks of a field.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Test {
    /// The text fits the pattern.
    Text {
        /// The pattern.
        pattern: Pattern,
        /// Whether case matters.
        cased: bool,
    },
    /// A regular expression matches somewhere.
    Regex {
        /// The expression, its flags in front.
        expression: String,
    },
    /// It is an address of a network.
    Cidr(Network),
    /// It is a number that compares so.
    Number(Comparison, f64),
    /// A part of the time that it tells compares so.
    Time(TimePart, Comparison, f64),
    /// It relates so to another field.
    Field {
        /// The other field.
        name: String,
        /// How.
        anchor: Anchor,
        /// Whether case matters.
        cased: bool,
    },
    /// It is there, or is not.
    Exists(bool),
    /// It is not there, or is nothing.
    Null,
}

/// What a line asks.
#[derive(Clone, PartialEq, Debug)]
#[allow(clippy::exhaustive_structs, reason = "what a line asks")]
pub struct Ask {
    /// The tests, one a value; in the order of the values.
    pub tests: Vec<Test>,
    /// Whether all must hold, not one.
    pub all: bool,
    /// Whether it is meant the other way round.
    pub not: bool,
}

/// Applies an item's modifiers to its values.
///
/// # Errors
/// Why the modifiers and values do not go together, and what to do.
pub fn ask(item: &Item, placeholders: &Placeholders) -> Result<Ask, String> {
    use Modifier as M;
    let has = |modifier| item.modifiers.contains(&modifier);
    check(item)?;
    let mut ask = Ask { tests: Vec::new(), all: has(M::All), not: has(M::Neq) };
    for value in &item.values {
        if has(M::Exists) {
            let Literal::Bool(there) = value else {
                return Err(format!("`exists` with `{value}`; write `true` or `false`"));
            };
            ask.tests.push(Test::Exists(*there));
        } else if has(M::Re) {
            ask.tests.push(Test::Regex { expression: expression(item, value)? });
        } else if has(M::Cidr) {
            ask.tests.push(Test::Cidr(network(&value.to_string())?));
        } else if has(M::FieldRef) {
            let name = text(value, "fieldref")?.to_owned();
            ask.tests.push(Test::Field { name, anchor: anchor(item), cased: has(M::Cased) });
        } else if let Some((part, comparison)) = numeric(item) {
            let number = number(value).ok_or_else(|| {
                format!("`{}` compares numbers, and `{value}` is none; write a number", item.key())
            })?;
            ask.tests.push(match part {
                Some(part) => Test::Time(part, comparison, number),
                None => Test::Number(comparison, number),
            });
        } else if *value == Literal::Null {
            if item.modifiers.iter().any(|m| !matches!(m, M::All | M::Neq | M::Cased)) {
                return Err(format!(
                    "`{}` with `null`; leave the modifiers out, or quote it",
                    item.key()
                ));
            }
            ask.tests.push(Test::Null);
        } else {
            for pattern in patterns(item, value, placeholders)? {
                ask.tests.push(Test::Text { pattern, cased: has(M::Cased) });
            }
        }
    }
    Ok(ask)
}

/// Refuses what does not go together, so that no line means less than it says.
fn check(item: &Item) -> Result<(), String> {
    use Modifier as M;
    let has = |modifier| item.modifiers.contains(&modifier);
    let kinds = [M::Re, M::Cidr, M::FieldRef, M::Exists];
    let compares = [M::Gt, M::Gte, M::Lt, M::Lte];
    let times = [M::Minute, M::Hour, M::Day, M::Week, M::Month, M::Year];
    let places = [M::Contains, M::StartsWith, M::EndsWith];
    let encodings = [M::Base64, M::Base64Offset, M::Wide, M::Utf16, M::Utf16Be, M::WinDash];
    let count = |of: &[M]| item.modifiers.iter().filter(|m| of.contains(m)).count();
    let groups = [
        count(&kinds),
        count(&compares),
        usize::from(count(&kinds) + count(&compares) == 0) * count(&times),
    ];
    let refuse = |why: &str| Err(format!("`{}`: {why}", item.key()));
    if groups.iter().sum::<usize>() > 1 {
        return refuse("these modifiers exclude one another; keep one");
    }
    if count(&times) > 1 {
        return refuse("two parts of a time; keep one");
    }
    let special = groups.iter().sum::<usize>() > 0;
    if special && count(&encodings) > 0 {
        return refuse("encodings go with text only; leave one of them out");
    }
    if special && has(M::Expand) {
        return refuse("`expand` goes with text only; leave it out");
    }
    if count(&times) > 0 && (count(&kinds) > 0 || count(&places) > 0) {
        return refuse("a part of a time compares with numbers; leave the others out");
    }
    if count(&places) > 1 && !(count(&places) == 2 && has(M::StartsWith) && has(M::EndsWith)) {
        return refuse("these places exclude one another; keep one");
    }
    if count(&places) > 0 && special && !has(M::FieldRef) {
        return refuse("`contains`, `startswith` and `endswith` go with text; leave them out");
    }
    if count(&[M::IgnoreCase, M::MultiLine, M::DotAll]) > 0 && !has(M::Re) {
        return refuse("`i`, `m` and `s` are flags of `re`; write `re` before them");
    }
    if has(M::Cased) && special && !has(M::FieldRef) {
        return refuse("`cased` goes with text; leave it out");
    }
    if has(M::All) && (has(M::Exists) || count(&times) > 0) {
        return refuse("`all` has no meaning here; leave it out");
    }
    if count(&[M::Base64, M::Base64Offset]) > 1 {
        return refuse("`base64` twice; keep one");
    }
    if count(&[M::Wide, M::Utf16, M::Utf16Be]) > 1 {
        return refuse("two encodings; keep one");
    }
    let at = |of: &[M]| item.modifiers.iter().position(|m| of.contains(m));
    let base64 = at(&[M::Base64, M::Base64Offset]);
    if let (Some(base64), Some(wide)) = (base64, at(&[M::Wide, M::Utf16, M::Utf16Be]))
        && wide > base64
    {
        return refuse("UTF-16 comes before Base64; change their order");
    }
    if let (Some(base64), Some(place)) = (base64, at(&places))
        && place < base64
    {
        return refuse("a place comes after Base64; change their order");
    }
    if item.field.is_none() && (special || has(M::Neq) || count(&times) > 0) && !has(M::Re) {
        return refuse("keywords are text or `re`; name a field");
    }
    Ok(())
}

fn anchor(item: &Item) -> Anchor {
    let has = |modifier| item.modifiers.contains(&modifier);
    if has(Modifier::Contains) {
        Anchor::Anywhere
    } else if has(Modifier::StartsWith) {
        Anchor::Start
    } else if has(Modifier::EndsWith) {
        Anchor::End
    } else {
        Anchor::Whole
    }
}

fn numeric(item: &Item) -> Option<(Option<TimePart>, Comparison)> {
    let part = item.modifiers.iter().find_map(|modifier| {
        Some(match modifier {
            Modifier::Minute => TimePart::Minute,
            Modifier::Hour => TimePart::Hour,
            Modifier::Day => TimePart::Day,
            Modifier::Week => TimePart::Week,
            Modifier::Month => TimePart::Month,
            Modifier::Year => TimePart::Year,
            _ => return None,
        })
    });
    let comparison = item.modifiers.iter().find_map(|modifier| {
        Some(match modifier {
            Modifier::Gt => Comparison::Above,
            Modifier::Gte => Comparison::AtLeast,
            Modifier::Lt => Comparison::Below,
            Modifier::Lte => Comparison::AtMost,
            _ => return None,
        })
    });
    match (part, comparison) {
        (None, None) => None,
        (part, comparison) => Some((part, comparison.unwrap_or(Comparison::Equal))),
    }
}

fn number(value: &Literal) -> Option<f64> {
    match value {
        Literal::Int(value) => Some(*value as f64),
        Literal::Float(value) | Literal::Written { value, .. } => Some(*value),
        Literal::Text(text) => text.trim().parse().ok(),
        Literal::Null | Literal::Bool(_) => None,
    }
}

fn text<'v>(value: &'v Literal, modifier: &str) -> Result<&'v str, String> {
    match value {
        Literal::Text(text) => Ok(text),
        other => Err(format!("`{modifier}` with `{other}`; write text in quotes")),
    }
}

fn expression(item: &Item, value: &Literal) -> Result<String, String> {
    let mut flags = String::new();
    for (modifier, flag) in
        [(Modifier::IgnoreCase, 'i'), (Modifier::MultiLine, 'm'), (Modifier::DotAll, 's')]
    {
        if item.modifiers.contains(&modifier) {
            flags.push(flag);
        }
    }
    let expression = value.to_string();
    Ok(if flags.is_empty() { expression } else { format!("(?{flags}){expression}") })
}

fn network(written: &str) -> Result<Network, String> {
    let wrong = || format!("`{written}` is no network; write it as `10.0.0.0/8` or `fe80::/10`");
    let (address, bits) = match written.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (written, None),
    };
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = match bits {
        Some(bits) => bits.parse().ok().filter(|bits| *bits <= most).ok_or_else(wrong)?,
        None => most,
    };
    Ok(Network { address, bits })
}

impl Network {
    /// Whether an address lies in it. An IPv4 address in IPv6's clothes counts as what it is.
    pub fn holds(&self, address: IpAddr) -> bool {
        let shift = |most: u32| most - u32::from(self.bits).min(most);
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differs = u32::from(network) ^ u32::from(address);
                differs.checked_shr(shift(32)).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differs = u128::from(network) ^ u128::from(address);
                differs.checked_shr(shift(128)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

fn patterns(
    item: &Item,
    value: &Literal,
    placeholders: &Placeholders,
) -> Result<Vec<Pattern>, String> {
    let written = value.to_string();
    let plain = matches!(value, Literal::Text(_));
    let mut patterns = if item.modifiers.contains(&Modifier::Expand) && plain {
        expand(&written, placeholders)?
    } else if plain {
        vec![Pattern::parse(&written)]
    } else if let Literal::Written { value, .. } = value
        && !item.modifiers.contains(&Modifier::All)
    {
        vec![Pattern::literal(&written), Pattern::literal(&value.to_string())]
    } else {
        vec![Pattern::literal(&written)]
    };
    for modifier in &item.modifiers {
        match modifier {
            Modifier::Contains => {
                for pattern in &mut patterns {
                    pattern.open_start();
                    pattern.open_end();
                }
            }
            Modifier::StartsWith => patterns.iter_mut().for_each(Pattern::open_end),
            Modifier::EndsWith => patterns.iter_mut().for_each(Pattern::open_start),
            Modifier::WinDash => patterns.iter_mut().for_each(|p| *p = p.with_dashes()),
            Modifier::Base64 | Modifier::Base64Offset => {
                let offset = *modifier == Modifier::Base64Offset;
                let mut encoded = Vec::new();
                for pattern in &patterns {
                    let bytes = bytes_of(pattern, item, &written)?;
                    encoded.extend(if offset {
                        base64_offsets(&bytes)
                    } else {
                        vec![base64(&bytes)]
                    });
                }
                patterns = encoded.iter().map(|text| Pattern::literal(text)).collect();
            }
            _ => {}
        }
    }
    if item.field.is_none() {
        // A keyword is looked for in the whole record.
        for pattern in &mut patterns {
            pattern.open_start();
            pattern.open_end();
        }
    }
    let wide = |m: &Modifier| matches!(m, Modifier::Wide | Modifier::Utf16 | Modifier::Utf16Be);
    if item.modifiers.iter().any(wide)
        && !item.modifiers.iter().any(|m| matches!(m, Modifier::Base64 | Modifier::Base64Offset))
    {
        for pattern in &mut patterns {
            for piece in &mut pattern.pieces {
                if let Piece::Text(text) = piece {
                    *text = String::from_utf8(utf16(text, item)).map_err(|_| {
                        format!(
                            "`{written}` in UTF-16 is no text; write `base64` or `base64offset` after it"
                        )
                    })?;
                }
            }
        }
    }
    Ok(patterns)
}

/// The bytes that Base64 encodes.
fn bytes_of(pattern: &Pattern, item: &Item, written: &str) -> Result<Vec<u8>, String> {
    let text = pattern.as_literal().ok_or_else(|| {
        format!("`{written}` has a wildcard, which cannot stand in Base64; escape it with `\\`")
    })?;
    Ok(utf16(text, item))
}

/// A text in the encoding that the modifiers name, else UTF-8.
fn utf16(text: &str, item: &Item) -> Vec<u8> {
    let has = |modifier| item.modifiers.contains(&modifier);
    if has(Modifier::Utf16Be) {
        text.encode_utf16().flat_map(u16::to_be_bytes).collect()
    } else if has(Modifier::Wide) {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    } else if has(Modifier::Utf16) {
        [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect()
    } else {
        text.as_bytes().to_vec()
    }
}

fn base64(bytes: &[u8]) -> String {
    let mut digits = Vec::new();
    Transform::Base64Encode.apply(bytes, &mut digits);
    // All of them are ASCII.
    String::from_utf8(digits).unwrap_or_default()
}

/// The digits that do not hang on what stands before or after, for each of the three offsets at
/// which the bytes may begin within a group of three.
fn base64_offsets(bytes: &[u8]) -> Vec<String> {
    let offset = |before: usize| {
        let padded: Vec<u8> =
            std::iter::repeat_n(b' ', before).chain(bytes.iter().copied()).collect();
        let encoded = base64(&padded);
        let start = [0, 2, 3].get(before).copied().unwrap_or(0);
        let cut = [0, 3, 2].get(padded.len() % 3).copied().unwrap_or(0);
        encoded.get(start..encoded.len().saturating_sub(cut)).unwrap_or_default().to_owned()
    };
    (0..3).map(offset).filter(|text| !text.is_empty()).collect()
}

/// The patterns that the placeholders of a value make.
fn expand(written: &str, placeholders: &Placeholders) -> Result<Vec<Pattern>, String> {
    let mut patterns = vec![Pattern::default()];
    let mut rest = written;
    while let Some((before, after)) = rest.split_once('%') {
        let Some((name, behind)) = after.split_once('%') else { break };
        let values = placeholders.get(name).ok_or_else(|| {
            format!("no values for the placeholder `%{name}%`; give them in a file of placeholders")
        })?;
        if patterns.len().saturating_mul(values.len()) > EXPANSIONS {
            return Err(format!(
                "`{written}` expands to more than {EXPANSIONS} values; cut it in parts"
            ));
        }
        let before = Pattern::parse(before);
        let values: Vec<Pattern> = values.iter().map(|value| Pattern::parse(value)).collect();
        patterns = patterns
            .iter()
            .flat_map(|start| {
                values.iter().map(|value| {
                    let mut pattern = start.clone();
                    pattern.append(&before);
                    pattern.append(value);
                    pattern
                })
            })
            .collect();
        rest = behind;
    }
    let last = Pattern::parse(rest);
    for pattern in &mut patterns {
        pattern.append(&last);
    }
    if patterns.is_empty() {
        return Err(format!("the placeholder in `{written}` has no value; give at least one"));
    }
    Ok(patterns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(key: &str, value: Literal) -> Result<Ask, String> {
        let mut words = key.split('|');
        let field = words.next().filter(|f| !f.is_empty()).map(str::to_owned);
        let modifiers = words.map(|word| Modifier::of(word).ok_or_else(|| unknown(word)));
        let item = Item {
            field,
            modifiers: modifiers.collect::<Result<_, _>>()?,
            values: vec![value],
            place: crate::decode::yaml::Place::default(),
        };
        let names = vec!["ann".to_owned(), "b*".to_owned()];
        ask(&item, &Placeholders::from([("admins".to_owned(), names)]))
    }

    fn shown(key: &str, value: &str) -> Vec<String> {
        let asked = asked(key, Literal::Text(value.to_owned()));
        let tests = asked.unwrap_or_else(|why| unreachable!("{why}")).tests;
        let show = |test: &Test| match test {
            Test::Text { pattern, .. } => pattern.to_string(),
            other => format!("{other:?}"),
        };
        tests.iter().map(show).collect()
    }

    #[test]
    fn places_and_encodings() {
        assert_eq!(shown("f|contains", "a"), ["*a*"]);
        assert_eq!(shown("f|startswith", "a"), ["a*"]);
        assert_eq!(shown("f|endswith", "*a"), ["*a"]);
        assert_eq!(shown("f|base64", "foobar"), ["Zm9vYmFy"]);
        assert_eq!(shown("f|wide|base64", "ab"), ["YQBiAA=="]);
        assert_eq!(shown("f|utf16|base64", "a"), ["//5hAA=="]);
        assert_eq!(shown("f|utf16be|base64", "a"), ["AGE="]);
        // Three offsets of `http://`, by hand: 68747470 3a2f2f.
        let offsets = shown("f|base64offset|contains", "http://");
        assert_eq!(offsets, ["*aHR0cDovL*", "*h0dHA6Ly*", "*odHRwOi8v*"]);
        assert_eq!(shown("", "key"), ["*key*"]);
        assert_eq!(shown("f|expand", "x%admins%"), ["xann", "xb*"]);
        assert_eq!(shown("f", "%admins%"), ["%admins%"]);
        assert_eq!(shown("f|wide", "ab"), ["a\0b\0"]);
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let text = |text: &str| Literal::Text(text.to_owned());
        for (key, value, says) in [
            ("f|contians", text("a"), "unknown modifier `contians`"),
            ("f|Contains", text("a"), "did you mean `contains`"),
            ("f|re|cidr", text("a"), "exclude one another"),
            ("f|i", text("a"), "flags of `re`"),
            ("f|contains|re", text("a"), "leave them out"),
            ("f|exists", text("yes"), "write `true` or `false`"),
            ("f|cidr", text("10.0.0.0/33"), "is no network"),
            ("f|gt", text("a"), "compares numbers"),
            ("f|base64", text("a*"), "wildcard"),
            ("f|expand", text("%none%"), "no values for the placeholder `%none%`"),
            ("f|contains", Literal::Null, "with `null`"),
            ("f|contains|endswith", text("a"), "exclude one another"),
            ("f|base64|wide", text("a"), "before Base64"),
            ("|gt", Literal::Int(1), "name a field"),
            ("f|hour|minute", Literal::Int(1), "exclude one another"),
            ("f|utf16", text("a"), "no text"),
        ] {
            let why = asked(key, value).err().unwrap_or_default();
            assert!(why.contains(says), "{key}: {why}");
        }
        assert!(asked("f|hour|gte", Literal::Int(22)).is_ok());
        assert!(asked("f|neq", Literal::Int(22)).is_ok_and(|ask| ask.not));
    }

    #[test]
    fn networks_hold_their_addresses() {
        let holds = |network: &str, address: &str| {
            network_of(network).holds(address.parse().unwrap_or(IpAddr::from([0, 0, 0, 0])))
        };
        fn network_of(text: &str) -> Network {
            network(text).unwrap_or_else(|why| unreachable!("{why}"))
        }
        assert!(holds("10.0.0.0/8", "10.255.0.1"));
        assert!(!holds("10.0.0.0/8", "11.0.0.1"));
        assert!(holds("0.0.0.0/0", "1.2.3.4"));
        assert!(holds("192.0.2.1", "192.0.2.1"));
        assert!(holds("10.0.0.0/8", "::ffff:10.1.1.1"));
        assert!(holds("fe80::/10", "fe80::1"));
        assert!(holds("::/0", "2001:db8::1"));
        assert!(!holds("fe80::/10", "2001:db8::1"));
    }
}
