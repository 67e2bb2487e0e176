//! Operators: parsed once, run on bytes.

use super::Options;
use super::backtrack::Backtrack;
use super::pattern::Pattern;
use super::program::{Piece, Text};
use super::requirement::Requirement;
use super::schema::Schema;
use crate::decode::byteset::ByteSet;
use aho_corasick::{AhoCorasick, AhoCorasickBuilder, AhoCorasickKind, MatchKind};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// A compiled operator.
#[derive(Debug)]
pub(crate) enum Operator {
    Rx(Pattern),
    /// A pattern that fits every value as a whole.
    Everything,
    /// All matches are captured, not just the first.
    RxGlobal(Pattern),
    /// A pattern that is known when the rule runs.
    RxMacro(Box<MacroPattern>),
    /// A pattern beyond linear time.
    Backtrack(Box<Backtrack>),
    Pm(Box<Phrases>),
    DetectSqli,
    DetectXss,
    Contains(Text),
    ContainsWord(Text),
    BeginsWith(Text),
    EndsWith(Text),
    StrEq(Text),
    Within(Text),
    Compare(Comparison, Text),
    IpMatch(Vec<Network>),
    /// The block list's domain.
    Rbl(Box<str>),
    /// Fills GEO from the database of the program.
    GeoLookup,
    ByteRange(ByteSet),
    UrlEncoding,
    Utf8,
    CardNumber(Pattern),
    Cpf(Pattern),
    Ssn(Pattern),
    Svnr(Pattern),
    Rut(Pattern),
    RestPath(Box<RestPath>),
    /// Matches what the schema does not allow.
    JsonSchema(Box<Schema>),
    Always,
    Never,
}

impl Operator {
    /// Whether it reads the value and nothing else, so that it says the same of an equal one.
    pub(crate) fn reads_value_only(&self) -> bool {
        match self {
            Self::Rx(_)
            | Self::Everything
            | Self::RxGlobal(_)
            | Self::Pm(_)
            | Self::DetectSqli
            | Self::DetectXss
            | Self::ByteRange(_)
            | Self::UrlEncoding
            | Self::Utf8
            | Self::CardNumber(_)
            | Self::Cpf(_)
            | Self::Ssn(_)
            | Self::Svnr(_)
            | Self::JsonSchema(_)
            | Self::Rut(_) => true,
            Self::Contains(text)
            | Self::ContainsWord(text)
            | Self::BeginsWith(text)
            | Self::EndsWith(text)
            | Self::StrEq(text)
            | Self::Within(text) => text.literal().is_some(),
            // A search that gives up at its limit tells so each time.
            Self::Backtrack(_)
            | Self::RxMacro(_)
            | Self::Compare(..)
            | Self::IpMatch(_)
            | Self::Rbl(_)
            | Self::GeoLookup
            | Self::RestPath(_)
            | Self::Always
            | Self::Never => false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Eq,
    Ge,
    Gt,
    Le,
    Lt,
}

impl Comparison {
    pub(crate) const fn holds(self, number: i64, with: i64) -> bool {
        match self {
            Self::Eq => number == with,
            Self::Ge => number >= with,
            Self::Gt => number > with,
            Self::Le => number <= with,
            Self::Lt => number < with,
        }
    }
}

/// Phrases of `@pm`, matched without case. The shared prefilter decides; this small automaton tells
/// which phrase it was, and is built only where it is asked.
pub(crate) struct Phrases {
    pub(crate) list: Vec<Vec<u8>>,
    own: std::sync::OnceLock<Option<AhoCorasick>>,
}

impl std::fmt::Debug for Phrases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Phrases({})", self.list.len())
    }
}

impl Phrases {
    pub(crate) fn new(list: Vec<Vec<u8>>) -> Self {
        Self { list, own: std::sync::OnceLock::new() }
    }

    pub(crate) fn find(&self, value: &[u8]) -> Option<(usize, usize)> {
        let own = self.own.get_or_init(|| {
            AhoCorasickBuilder::new()
                .ascii_case_insensitive(true)
                .match_kind(MatchKind::LeftmostLongest)
                // A list of a hundred words is a megabyte as a table and some kilobytes so; the prefilter
                // lets few values come here.
                .kind(Some(AhoCorasickKind::ContiguousNFA))
                .build(&self.list)
                .ok()
        });
        own.as_ref()?.find(value).map(|found| (found.start(), found.end()))
    }
}

/// A pattern with macros. As in ModSecurity, what they stand for is part of the pattern.
#[derive(Debug)]
pub(crate) struct MacroPattern {
    pub(crate) text: Text,
    /// All matches are captured.
    pub(crate) global: bool,
    /// The last one: most macros stand for a setting, which is always the same.
    last: Mutex<Option<Built>>,
}

/// A text with its macros filled in, and the pattern that it is.
#[derive(Debug)]
struct Built {
    text: Box<[u8]>,
    pattern: Option<Arc<Pattern>>,
}

impl MacroPattern {
    /// The longest pattern that is put together.
    const LONGEST: usize = 4_096;

    /// `None` where no macro of a known variable stands in the text, which then means itself.
    fn new(
        argument: &str,
        global: bool,
        text: &mut dyn FnMut(&str) -> Result<Text, String>,
    ) -> Result<Option<Self>, String> {
        if !argument.contains("%{") {
            return Ok(None);
        }
        let Ok(text) = text(argument) else { return Ok(None) };
        if text.literal().is_some() {
            return Ok(None);
        }
        // What can be no pattern whatever the macros stand for is refused here.
        let example = text.0.iter().map(|piece| match piece {
            Piece::Literal(bytes) => String::from_utf8_lossy(bytes),
            _ => "1".into(),
        });
        Pattern::new(&example.collect::<String>(), false)?;
        Ok(Some(Self { text, global, last: Mutex::new(None) }))
    }

    /// The pattern that a text is; `None` where it is none, or too large a one.
    pub(crate) fn pattern(&self, text: &[u8]) -> Option<Arc<Pattern>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(built) = &*last
            && *built.text == *text
        {
            return built.pattern.clone();
        }
        let written = std::str::from_utf8(text).ok().filter(|_| text.len() <= Self::LONGEST);
        let pattern = written.and_then(Pattern::at_run).map(Arc::new);
        *last = Some(Built { text: text.into(), pattern: pattern.clone() });
        pattern
    }
}

/// An address with its prefix length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    address: u128,
    mask: u128,
}

impl Network {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u32>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let bits = match address {
            IpAddr::V4(_) => match bits.unwrap_or(32) {
                bits @ 0..=32 => bits + 96,
                _ => return None,
            },
            IpAddr::V6(_) => bits.filter(|bits| *bits <= 128).or(bits.is_none().then_some(128))?,
        };
        let mask = if bits == 0 { 0 } else { u128::MAX << (128 - bits) };
        Some(Self { address: widen(address) & mask, mask })
    }

    pub(crate) fn contains(self, address: IpAddr) -> bool {
        widen(address) & self.mask == self.address
    }
}

fn widen(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_ipv6_mapped()),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

/// A path with named pieces, `/users/{id}/posts/{post}`.
#[derive(Debug)]
pub(crate) struct RestPath {
    pieces: Vec<(bool, Vec<u8>)>,
}

impl RestPath {
    fn new(text: &str) -> Self {
        let pieces = text.trim_matches('/').split('/').map(|piece| {
            match piece.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
                Some(name) => (true, name.as_bytes().to_vec()),
                None => (false, piece.as_bytes().to_vec()),
            }
        });
        Self { pieces: pieces.collect() }
    }

    /// The named pieces and their values where the path fits.
    pub(crate) fn fit<'v>(&self, path: &'v [u8]) -> Option<Vec<(&[u8], &'v [u8])>> {
        let path = path.split(|b| *b == b'?').next().unwrap_or_default();
        let path = path.strip_prefix(b"/").unwrap_or(path);
        let path = path.strip_suffix(b"/").unwrap_or(path);
        let mut named = Vec::new();
        let mut pieces = self.pieces.iter();
        for value in path.split(|b| *b == b'/') {
            match pieces.next()? {
                (true, name) => named.push((name.as_slice(), value)),
                (false, text) if text == value => {}
                (false, _) => return None,
            }
        }
        pieces.next().is_none().then_some(named)
    }
}

impl Operator {
    /// What a value must contain for the operator to match; a pattern's is handed out once.
    pub(crate) fn take_requirement(&mut self) -> Requirement {
        match self {
            Self::Rx(pattern)
            | Self::RxGlobal(pattern)
            | Self::CardNumber(pattern)
            | Self::Cpf(pattern)
            | Self::Ssn(pattern)
            | Self::Svnr(pattern) => pattern.take_requirement(),
            Self::Backtrack(pattern) => pattern.take_requirement(),
            Self::Pm(phrases) => Requirement::texts(phrases.list.iter().map(Vec::as_slice)),
            Self::Contains(text) | Self::BeginsWith(text) | Self::EndsWith(text) => {
                Requirement::texts(text.literal().into_iter())
            }
            Self::ByteRange(allowed) => Requirement::bytes(allowed.complement()),
            Self::Utf8 => Requirement::bytes(ByteSet::EMPTY.with_range(0x80, 0xFF)),
            Self::UrlEncoding => Requirement::bytes(ByteSet::of_bytes(b"%")),
            // The detector itself asks for one of these first.
            Self::DetectSqli => Requirement::bytes(crate::waf::injection::sqli_bytes()),
            Self::DetectXss => Requirement::bytes(ByteSet::of_bytes(b"<=")),
            _ => Requirement::default(),
        }
    }
}

/// What the arguments of operators name.
pub(crate) struct Sources<'a> {
    /// Reads a file.
    pub(crate) read: &'a dyn Fn(&str) -> Result<Vec<u8>, String>,
    /// The text of a `SecDataset`.
    pub(crate) dataset: &'a dyn Fn(&str) -> Result<Vec<u8>, String>,
    pub(crate) options: Options,
}

/// Compiles an operator by its lower-case name.
///
/// # Errors
/// Why it cannot run, and what to do.
pub(crate) fn compile(
    name: &str,
    argument: &str,
    text: &mut dyn FnMut(&str) -> Result<Text, String>,
    sources: &Sources<'_>,
) -> Result<Operator, String> {
    let read = sources.read;
    let beyond = |global| Backtrack::new(argument, global, sources.options.backtrack_limit);
    if matches!(name, "rx" | "rxglobal")
        && let Some(pattern) = MacroPattern::new(argument, name == "rxglobal", text)?
    {
        return Ok(Operator::RxMacro(Box::new(pattern)));
    }
    Ok(match name {
        "rx" if super::backtrack::is_needed(argument) => {
            Operator::Backtrack(Box::new(beyond(false)?))
        }
        "rxglobal" if super::backtrack::is_needed(argument) => {
            Operator::Backtrack(Box::new(beyond(true)?))
        }
        "rx" if matches!(argument, "^.*$" | "^.*" | ".*" | ".*$") => Operator::Everything,
        "rx" => Operator::Rx(Pattern::new(argument, false)?),
        "rxglobal" => Operator::RxGlobal(Pattern::new(argument, false)?),
        "pm" => Operator::Pm(Box::new(Phrases::new(phrases(argument)?))),
        "pmfromfile" | "pmf" => {
            let mut list = Vec::new();
            for file in argument.split_whitespace() {
                list.extend(lines(&read(file)?));
            }
            Operator::Pm(Box::new(Phrases::new(non_empty(list)?)))
        }
        "pmfromdataset" => {
            let list = lines(&(sources.dataset)(argument)?);
            Operator::Pm(Box::new(Phrases::new(non_empty(list)?)))
        }
        "rbl" => Operator::Rbl(argument.trim().trim_matches('.').to_ascii_lowercase().into()),
        "geolookup" if cfg!(feature = "geo") => Operator::GeoLookup,
        "detectsqli" => Operator::DetectSqli,
        "detectxss" => Operator::DetectXss,
        "contains" | "strmatch" => Operator::Contains(text(argument)?),
        "containsword" => Operator::ContainsWord(text(argument)?),
        "beginswith" => Operator::BeginsWith(text(argument)?),
        "endswith" => Operator::EndsWith(text(argument)?),
        "streq" => Operator::StrEq(text(argument)?),
        "within" => Operator::Within(text(argument)?),
        "eq" => Operator::Compare(Comparison::Eq, text(argument)?),
        "ge" => Operator::Compare(Comparison::Ge, text(argument)?),
        "gt" => Operator::Compare(Comparison::Gt, text(argument)?),
        "le" => Operator::Compare(Comparison::Le, text(argument)?),
        "lt" => Operator::Compare(Comparison::Lt, text(argument)?),
        "ipmatch" => Operator::IpMatch(networks(argument.split([',', ' ']))?),
        "ipmatchfromfile" | "ipmatchf" | "ipmatchfromdataset" => {
            let of_file = name != "ipmatchfromdataset";
            let content = if of_file { read(argument) } else { (sources.dataset)(argument) }?;
            let content = String::from_utf8_lossy(&content);
            let lines = content.lines().map(|line| line.split('#').next().unwrap_or_default());
            Operator::IpMatch(networks(lines)?)
        }
        "validatebyterange" => Operator::ByteRange(byte_range(argument)?),
        "validateurlencoding" => Operator::UrlEncoding,
        "validateutf8encoding" => Operator::Utf8,
        "verifycc" => Operator::CardNumber(Pattern::new(argument, false)?),
        "verifycpf" => Operator::Cpf(Pattern::new(argument, false)?),
        "verifyssn" => Operator::Ssn(Pattern::new(argument, false)?),
        "validatenid" => {
            let (country, form) = argument.split_once(' ').unwrap_or((argument, ""));
            let form = Pattern::new(form.trim(), false)?;
            match country {
                "cl" => Operator::Rut(form),
                "us" => Operator::Ssn(form),
                _ => {
                    return Err(format!(
                        "`{country}` has no national number that is known; write `cl` or `us` and a pattern"
                    ));
                }
            }
        }
        "verifysvnr" => Operator::Svnr(Pattern::new(argument, false)?),
        "restpath" => Operator::RestPath(Box::new(RestPath::new(argument))),
        "validateschema" if argument.trim().to_ascii_lowercase().ends_with(".json") => {
            let text = read(argument.trim())?;
            let schema =
                Schema::parse(&text).map_err(|why| format!("`{}`: {why}", argument.trim()))?;
            Operator::JsonSchema(Box::new(schema))
        }
        "unconditionalmatch" => Operator::Always,
        "nomatch" => Operator::Never,
        _ => return Err(refusal(name)),
    })
}

fn refusal(name: &str) -> String {
    let why = match name {
        "geolookup" => "needs the feature `geo`; build with it",
        "inspectfile" => "runs a program; hand uploads to a scanner through an intake instead",
        "fuzzyhash" => "needs ssdeep; use the antivirus scanner instead",
        "gsblookup" => "needs the retired Google Safe Browsing files; remove the rule",
        "rsub" => "would rewrite bodies; bodies are never changed",
        "validatedtd" | "validateschema" => {
            "reads JSON Schema (a file `….json`) only; check the form of XML with `XML:` paths"
        }
        "validatehash" => "belongs to ModSecurity's link hashing, which is not offered",
        _ => return format!("unknown operator `@{name}`; check its spelling"),
    };
    format!("operator `@{name}` {why}")
}

/// The lines of a list without blanks around them, empty ones and comments.
fn lines(text: &[u8]) -> Vec<Vec<u8>> {
    let lines = text.split(|b| *b == b'\n').map(<[u8]>::trim_ascii);
    lines.filter(|line| !line.is_empty() && !line.starts_with(b"#")).map(<[u8]>::to_vec).collect()
}

fn non_empty(list: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, String> {
    if list.is_empty() { Err("no phrase to match; give at least one".to_owned()) } else { Ok(list) }
}

/// Phrases parted by blanks; `|41 42|` gives bytes in hexadecimal, as in Snort's content.
fn phrases(argument: &str) -> Result<Vec<Vec<u8>>, String> {
    let mut list = Vec::new();
    for phrase in argument.split_ascii_whitespace() {
        list.push(phrase.as_bytes().to_vec());
    }
    non_empty(list)
}

fn networks<'a>(list: impl Iterator<Item = &'a str>) -> Result<Vec<Network>, String> {
    let mut networks = Vec::new();
    for text in list.map(str::trim).filter(|text| !text.is_empty()) {
        networks.push(Network::parse(text).ok_or_else(|| {
            format!("`{text}` is no address or network; write `192.0.2.1` or `192.0.2.0/24`")
        })?);
    }
    Ok(networks)
}

fn byte_range(argument: &str) -> Result<ByteSet, String> {
    let mut set = ByteSet::EMPTY;
    let bad = |text: &str| format!("`{text}` is no byte range; write numbers as `9,10,32-126`");
    for part in argument.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        let low: u8 = low.trim().parse().map_err(|_| bad(part))?;
        let high: u8 = high.trim().parse().map_err(|_| bad(part))?;
        if low > high {
            return Err(bad(part));
        }
        set = set.with_range(low, high);
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_addresses() {
        let net = Network::parse("192.0.2.0/24").unwrap();
        assert!(net.contains("192.0.2.200".parse().unwrap()));
        assert!(net.contains("::ffff:192.0.2.1".parse().unwrap()));
        assert!(!net.contains("192.0.3.1".parse().unwrap()));
        assert!(Network::parse("::1").unwrap().contains("::1".parse().unwrap()));
        assert!(Network::parse("192.0.2.0/33").is_none() && Network::parse("x").is_none());
    }

    #[test]
    fn rest_paths_name_their_pieces() {
        let path = RestPath::new("/users/{id}/posts");
        assert_eq!(path.fit(b"/users/7/posts?x=1"), Some(vec![(&b"id"[..], &b"7"[..])]));
        assert_eq!(path.fit(b"/users/7"), None);
        assert_eq!(path.fit(b"/users/7/posts/9"), None);
    }

    #[test]
    fn byte_ranges_are_checked() {
        assert!(byte_range("9,10,32-126").unwrap().contains(b'a'));
        assert!(byte_range("40-30").is_err() && byte_range("256").is_err());
    }
}
