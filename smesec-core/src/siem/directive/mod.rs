//! Directives: trees of levels over events, each of which makes an alarm more reliable.
//!
//! The model is OSSIM's. What it means was read in the public documentation of USM Appliance
//! ("Correlation Rules", "Global Properties", "Alarms List — Fields"): indented rules are an AND, parallel
//! ones an OR; a level has to come within its time-out (300 s where none is written, none for the
//! first); several event types mean any of them; `ANY`, `HOME_NET` and the addresses and ports of
//! earlier levels stand for values; events count once for each different value of a sticky-different
//! field. `1:SRC_IP` (the source of level 1) and `+2` (added to the reliability so far: 3, then `+1` is 4,
//! then `+2` is 6) are not defined there; they are in public directives, such as the SSH example in
//! B. E. Lavender's "OSSIM" report (2008), whose text tells those sums.
//!
//! Decided here, since nothing public says it:
//!
//! - Levels are matched in the order of event time, behind the same watermark as correlations.
//! - A directive runs once for each hit of its first level. A hit that a running one takes up begins
//!   no other of the same directive, unless the level says `sticky="false"`.
//! - The time-out of a level runs from the completion of the level before it.
//! - The alarm opens at the first level at which its risk is 1 or more, is updated at each further one,
//!   and closes when the last level is complete or none can be completed any more.
//! - A hit without a field that is compared does not match.

mod fields;
mod loaded;
mod run;
mod running;
mod snapshot;
mod table;
mod xml;
mod yaml;

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;

pub(crate) use snapshot::DirectivesState;

pub use run::Directives;
pub use xml::parse_xml;
pub use yaml::parse_yaml;

use crate::decode::yaml::Place;
use fields::{Name, Wanted};

/// One directive.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Directive {
    /// The file it stands in.
    pub file: String,
    /// Where.
    pub place: Place,
    /// Its id.
    pub id: String,
    /// Its name; `SRC_IP`, `DST_IP`, `SRC_PORT` and `DST_PORT` in it stand for the first level's.
    pub name: String,
    /// Who wrote it.
    pub author: Option<String>,
    /// Its priority, 0 to 5.
    pub priority: u8,
    /// Its first level.
    pub(crate) first: Level,
}

/// One level: what has to come, how often and within what time, and what may follow.
#[derive(Clone, PartialEq, Hash, Debug)]
pub(crate) struct Level {
    pub(crate) name: String,
    pub(crate) reliability: Reliability,
    pub(crate) occurrence: u32,
    /// Nanoseconds; `None` waits for ever, as only the first level may.
    pub(crate) time_out: Option<i64>,
    pub(crate) sticky: bool,
    pub(crate) sticky_different: Option<Name>,
    /// Sigma rules of which one has to have matched; empty asks for none.
    pub(crate) rules: Vec<String>,
    pub(crate) wanted: Vec<(Name, Wanted)>,
    /// What may come next: one of these.
    pub(crate) next: Vec<Level>,
}

/// A level's part in the reliability, 0 to 10.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Reliability {
    Absolute(u8),
    Plus(u8),
}

impl Reliability {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (plus, digits) = match text.strip_prefix('+') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let plain = digits.bytes().all(|digit| digit.is_ascii_digit());
        let number = digits.parse::<u8>().ok().filter(|number| plain && *number <= 10)?;
        Some(if plus { Self::Plus(number) } else { Self::Absolute(number) })
    }

    fn after(self, before: u8) -> u8 {
        match self {
            Self::Absolute(value) => value,
            Self::Plus(more) => before.saturating_add(more).min(10),
        }
    }
}

/// Levels nest no deeper than this; the deepest public directives have nine.
const MOST_LEVELS: usize = 32;
/// The time-out of a level that names none.
const TIME_OUT: i64 = 300 * 1_000_000_000;
/// More occurrences than this are refused.
const MOST_OCCURRENCES: u32 = 1_000_000;
