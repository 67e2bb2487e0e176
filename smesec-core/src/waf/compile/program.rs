//! The compiled form: flat tables that a transaction only reads.

use super::operator::{Comparison, Operator};
use super::pattern::Pattern;
use crate::decode::byteset::ByteSet;
use crate::decode::transform::Transform;
use crate::event::RuleInfo;
use crate::verdict::Severity;
use crate::waf::bits::Bits;
use crate::waf::seclang::Span;
use crate::waf::variable::StorageId;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

/// Index of a rule in [`Program::rules`].
pub(crate) type RuleIndex = u32;
/// Index of a node in [`Program::nodes`].
pub(crate) type NodeIndex = u16;
/// Index of an interned name of `TX`.
pub(crate) type TxSlot = u32;

/// A text with macros.
#[derive(Debug, Clone)]
pub(crate) struct Text(pub(crate) Vec<Piece>);

/// A part of a [`Text`].
#[derive(Debug, Clone)]
pub(crate) enum Piece {
    Literal(Box<[u8]>),
    Tx(TxSlot),
    /// A storage and the member's name in lower case; the first member without one.
    Member {
        storages: Box<[StorageId]>,
        name: Option<Box<[u8]>>,
    },
    /// A property of the rule itself.
    Rule(Box<str>),
}

impl Text {
    /// The literal that it is, if it holds no macro.
    pub(crate) fn literal(&self) -> Option<&[u8]> {
        match self.0.as_slice() {
            [] => Some(b""),
            [Piece::Literal(bytes)] => Some(bytes),
            _ => None,
        }
    }
}

/// Which members of a storage a target names.
#[derive(Debug, Clone)]
pub(crate) enum Select {
    All,
    /// The name, in lower case.
    Name(Box<[u8]>),
    Pattern(Arc<Pattern>),
    Tx(TxSlot),
}

/// One target of a rule.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) storages: Box<[StorageId]>,
    pub(crate) select: Select,
    pub(crate) count: bool,
    /// The variable's name, for findings (`ARGS`, not the storage).
    pub(crate) label: Box<str>,
    /// The names of TX in the program that a pattern selects, or all; known when all rules are.
    pub(crate) slots: Box<[TxSlot]>,
}

/// A step of transformation chains that share their beginnings.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) parent: NodeIndex,
    /// `None` for the root.
    pub(crate) transform: Option<Transform>,
    pub(crate) triggers: ByteSet,
}

/// How a rule's operator can be ruled out without running it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    Run,
    /// The rule's bit of the prefilter.
    Bit(u16),
    /// A bit that is always set: it serves to remember the values that the rule ran over in vain.
    Always(u16),
    /// The bit of what a negated operator looks for: without it the rule matches.
    Unless(u16),
}

impl Gate {
    /// The bit without which the rule cannot match.
    pub(crate) const fn bit(self) -> Option<u16> {
        match self {
            Self::Bit(bit) | Self::Always(bit) => Some(bit),
            Self::Run | Self::Unless(_) => None,
        }
    }
}

/// What a rule does to the transaction when it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Disruption {
    #[default]
    Pass,
    /// As the default action of the phase says; resolved at load.
    Deny,
    Drop,
    Redirect,
    Allow,
    AllowPhase,
    AllowRequest,
}

/// A change of a variable.
#[derive(Debug)]
pub(crate) struct Assignment {
    pub(crate) place: Place,
    pub(crate) change: Assign,
}

#[derive(Debug)]
pub(crate) enum Place {
    Tx(TxSlot),
    /// A name that holds macros.
    TxNamed(Text),
    /// A persistent collection, or ENV.
    Member(StorageId, Text),
}

#[derive(Debug)]
pub(crate) enum Assign {
    Set(Text),
    Add(Text),
    Subtract(Text),
    Unset,
}

/// Which rules a `ctl` or an exception means.
#[derive(Debug, Clone)]
pub(crate) enum Rules {
    Ids(Vec<(u64, u64)>),
    Tag(Meant),
    Message(Meant),
}

/// The tag or message that rules are meant by.
#[derive(Debug, Clone)]
pub(crate) struct Meant {
    exact: Box<str>,
    /// Where the text may be a pattern: it is searched for.
    pattern: Option<Arc<Pattern>>,
}

impl Meant {
    /// This text and no other: one that only contains it may belong to quite different rules.
    pub(crate) fn exact(text: &str) -> Self {
        Self { exact: text.into(), pattern: None }
    }

    /// This text, or what fits the pattern that it is.
    ///
    /// # Errors
    /// Why the pattern is none.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        // A dot stands in plain tags too.
        let special = |c| {
            matches!(
                c,
                '\\' | '^' | '$' | '|' | '?' | '*' | '+' | '(' | ')' | '[' | ']' | '{' | '}'
            )
        };
        let mut meant = Self::exact(text);
        if text.contains(special) {
            let pattern = Pattern::new(text, false).map_err(|why| format!("`{text}`: {why}"))?;
            meant.pattern = Some(Arc::new(pattern));
        }
        Ok(meant)
    }

    pub(crate) fn covers(&self, text: &str) -> bool {
        *self.exact == *text
            || self.pattern.as_ref().is_some_and(|pattern| pattern.is_match(text.as_bytes()))
    }
}

/// What a matching rule does besides.
#[derive(Debug)]
pub(crate) enum Effect {
    Assign(Assignment),
    Expire { storage: StorageId, name: Text, seconds: Text },
    InitCollection { storage: StorageId, key: Text },
    SetIdentity { storage: StorageId, collection: StorageId, key: Text },
    SetEnv { name: Box<[u8]>, value: Text },
    EngineOff,
    EngineDetect,
    EngineOn,
    BodyProcessor(Processor),
    ForceBodyVariable(bool),
    RequestBodyAccess(bool),
    ResponseBodyAccess(bool),
    RequestBodyLimit(u64),
    ResponseBodyLimit(u64),
    AuditEngine(bool),
    XmlIntoArgs(bool),
    RemoveRules(Arc<Bits>),
    RemoveTargets(Arc<Bits>, Arc<[Target]>),
}

/// How a body is taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Processor {
    #[default]
    None,
    UrlEncoded,
    Multipart,
    Json,
    Xml,
    Raw,
    /// What the body itself looks like: the other side may read it so, whatever the head says.
    Guess,
}

impl Processor {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::UrlEncoded => "URLENCODED",
            Self::Multipart => "MULTIPART",
            Self::Json => "JSON",
            Self::Xml => "XML",
            Self::Raw => "RAW",
            Self::Guess => "GUESS",
        }
    }
}

/// A comparison of one TX variable, or of whether it is there, with a number: what paranoia levels
/// and defaults are made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quick {
    pub(crate) slot: TxSlot,
    pub(crate) count: bool,
    pub(crate) comparison: Comparison,
    pub(crate) number: i64,
    pub(crate) negated: bool,
    /// A match does nothing but jump.
    pub(crate) silent: bool,
    /// Where to, as [`Rule::jump`] says.
    pub(crate) jump: Option<u32>,
}

/// What the walk over a phase needs of a rule before it looks at the rule: 16 bytes, since it goes over
/// all of a phase's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    pub(crate) rule: RuleIndex,
    pub(crate) gate: Gate,
    pub(crate) level: u8,
    /// Its comparison in [`Program::quicks`].
    pub(crate) quick: Option<u16>,
}

/// One compiled rule.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) id: u64,
    pub(crate) span: Span,
    /// 0 to 4.
    pub(crate) phase: u8,
    pub(crate) targets: Vec<Target>,
    pub(crate) excluded: Vec<Target>,
    pub(crate) operator: Operator,
    pub(crate) negated: bool,
    /// The nodes whose contents are looked at: the chain's end, or with `multiMatch` every step.
    pub(crate) nodes: Vec<NodeIndex>,
    pub(crate) gate: Gate,
    /// Which level gate stands before it; 0 none.
    pub(crate) level: u8,
    /// Whether only storages are looked at that hold still during a phase, and whose values come again.
    pub(crate) steady: bool,
    pub(crate) capture: bool,
    pub(crate) logs: bool,
    /// Whether a match stands in the audit log.
    pub(crate) audits: bool,
    pub(crate) disruption: Disruption,
    pub(crate) status: Option<u16>,
    pub(crate) redirect: Option<Text>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) message: Option<Text>,
    pub(crate) logdata: Option<Text>,
    pub(crate) severity: Option<u8>,
    pub(crate) info: Arc<RuleInfo>,
    /// The next link of the chain.
    pub(crate) chained: Option<RuleIndex>,
    /// Where the phase goes on after a match, as an index into the phase's list.
    pub(crate) jump: Option<u32>,
    /// Whether it may read what an earlier rule matched.
    pub(crate) reads_matched: bool,
    /// Whether its operator reads nothing but the value: it says the same of the same value always.
    pub(crate) reads_value_only: bool,
    /// Whether somebody reads what the groups of its pattern matched.
    pub(crate) groups: bool,
}

/// ModSecurity's severities 0 (emergency) to 7 (debug) on the scale of events.
pub(crate) const fn severity(level: u8) -> Severity {
    match level {
        0..=2 => Severity::Critical,
        3 => Severity::High,
        4 => Severity::Medium,
        5 => Severity::Low,
        _ => Severity::Info,
    }
}

/// What the engine does with matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Engine {
    #[default]
    Off,
    Detect,
    On,
}

/// Which decoded views of values rules on `ARGS` see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Views {
    pub(crate) base64: bool,
    pub(crate) url2: bool,
    pub(crate) json: bool,
    pub(crate) graphql: bool,
    pub(crate) headers: bool,
    pub(crate) path: bool,
}

/// The directives' settings.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) engine: Engine,
    pub(crate) request_body: bool,
    pub(crate) response_body: bool,
    pub(crate) request_body_limit: u64,
    pub(crate) request_body_no_files_limit: u64,
    pub(crate) reject_over_request_limit: bool,
    pub(crate) response_body_limit: u64,
    pub(crate) reject_over_response_limit: bool,
    pub(crate) response_types: Vec<String>,
    pub(crate) json_depth: usize,
    pub(crate) arguments: usize,
    pub(crate) separator: u8,
    pub(crate) cookie_version: u8,
    pub(crate) upload_files: usize,
    /// Whether bodies are decompressed before they are inspected.
    pub(crate) decompress: bool,
    pub(crate) views: Views,
    /// The rule sets that name themselves.
    pub(crate) components: Vec<String>,
    pub(crate) webapp: String,
    /// The key of Project Honey Pot's list, which goes before the address.
    pub(crate) block_list_key: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            engine: Engine::Off,
            request_body: false,
            response_body: false,
            // ModSecurity's own defaults: 128 MiB of request, 1 MiB without files, 512 KiB of response.
            request_body_limit: 134_217_728,
            request_body_no_files_limit: 1_048_576,
            reject_over_request_limit: true,
            response_body_limit: 524_288,
            reject_over_response_limit: false,
            response_types: vec!["text/plain".into(), "text/html".into()],
            json_depth: 512,
            arguments: 1_000,
            separator: b'&',
            cookie_version: 0,
            upload_files: 100,
            decompress: false,
            views: Views::default(),
            components: Vec::new(),
            webapp: "default".into(),
            block_list_key: None,
        }
    }
}

/// A level gate: rules behind it are skipped while the variable is below the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Level {
    pub(crate) slot: TxSlot,
    pub(crate) at_least: i64,
}

/// Everything a transaction reads.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) settings: Settings,
    pub(crate) rules: Vec<Rule>,
    /// The names of the files that spans point into.
    pub(crate) files: Vec<String>,
    /// The heads of each phase, in order.
    pub(crate) phases: [Vec<Head>; 5],
    pub(crate) quicks: Vec<Quick>,
    pub(crate) nodes: Vec<Node>,
    /// For each byte the nodes that it may make differ from the value itself.
    pub(crate) changed_by: Box<[u128; 256]>,
    /// The nodes that a dot changes in a path of several segments, or as the whole value.
    pub(crate) changed_by_dot: u128,
    /// The nodes that may differ whatever the bytes.
    pub(crate) changed_always: u128,
    /// Interned names of TX, in lower case.
    pub(crate) tx_names: Vec<Box<[u8]>>,
    pub(crate) tx_index: TxIndex,
    pub(crate) levels: Vec<Level>,
    /// The names of TX that hold an anomaly score, with their slots.
    pub(crate) scores: Vec<(&'static str, Option<TxSlot>)>,
    /// The same for a pack that keeps one score for each kind of attack.
    pub(crate) kind_scores: Vec<(&'static str, Option<TxSlot>)>,
    pub(crate) prefilter: super::prefilter::Prefilter,
    /// Different for each program of the process.
    pub(crate) serial: u64,
    /// XPath expressions, each with its storage and whether it reads the response.
    pub(crate) xpaths: Vec<(StorageId, bool, crate::decode::body::xpath::XPath)>,
    pub(crate) storages: usize,
    /// Whether a rule reads `FULL_REQUEST`.
    pub(crate) full_request: bool,
    /// Whether a rule reads what uploaded files hold: no copy of them is made for none.
    pub(crate) file_contents: bool,
    pub(crate) geo: Option<super::geo::Database>,
    pub(crate) unicode_map: Option<crate::decode::transform::UnicodeMap>,
}

/// The TX variables that a rule set names. Its keys are the rules' own, so that a plain hash is safe from
/// visitors.
pub(crate) type TxIndex = HashMap<Box<[u8]>, TxSlot, BuildHasherDefault<NameHasher>>;

/// A quick hash for short names.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct NameHasher(u64);

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.0 = (self.0 ^ u64::from_le_bytes(*word)).wrapping_mul(ODD).rotate_left(29);
        }
        let rest = rest.iter().fold(1, |rest, byte| rest << 8 | u64::from(*byte));
        self.0 = (self.0 ^ rest).wrapping_mul(ODD).rotate_left(29);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Program {
    /// The slot of a TX variable by its name in lower case.
    pub(crate) fn tx_slot(&self, name: &[u8]) -> Option<TxSlot> {
        self.tx_index.get(name).copied()
    }

    /// The transformations on the way to a node, the last one first.
    pub(crate) fn path(&self, node: usize) -> impl Iterator<Item = Transform> {
        let mut at = node;
        std::iter::from_fn(move || {
            let Node { parent, transform, .. } = self.nodes.get(at)?;
            at = usize::from(*parent);
            *transform
        })
    }
}
