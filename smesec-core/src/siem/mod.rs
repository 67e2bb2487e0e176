//! Detection over logs: Sigma rules on single records, and correlation of what they find.
//!
//! | room | what happens there |
//! | --- | --- |
//! | [`sigma`] | YAML to a syntax tree with spans |
//! | `compile` | the syntax tree to flat tables |
//! | [`RuleSet`] | the compiled rules, and what the report says of them |
//! | [`builtin`] | the rules that come with the library |
//! | [`sources`] | readers of log formats: bytes to records |
//! | [`record`] | what a log line looks like to a rule: native fields, borrowed |
//! | [`own`] | our own engines' events as records |
//! | [`envelope`] | the same columns over every source, by a table |
//! | `log_sources` | which records belong to which of Sigma's log sources |
//! | `matcher` | which rules match a record |
//! | `names` | names of fields compared |
//! | `degrade`, `explain` | which rules can never match; why one matches a record, or does not |
//! | [`correlation`] | what several hits mean together: windows, orders, absences, alarms |
//! | [`directive`] | trees of levels that make an alarm more reliable, as OSSIM has them |
//! | [`policy`], [`risk`] | what is done with an event before, and how much an alarm matters |
//! | [`Engine`] | all of these as one |
//! | [`Site`] | the files of one site beside its rules, and the engine over both |
//! | `detector` | events of other engines before correlations and directives |
//! | `snapshot` | their state as bytes |

pub mod builtin;
mod compile;
pub mod correlation;
mod degrade;
mod detector;
pub mod directive;
mod engine;
pub mod envelope;
mod explain;
mod log_sources;
mod matcher;
mod names;
pub mod own;
pub mod policy;
pub mod record;
pub mod risk;
mod ruleset;
pub mod sigma;
mod site;
pub(crate) mod snapshot;
pub mod sources;

#[cfg(test)]
mod tests;

pub use engine::{Engine, EngineBuilder, Told};
pub use explain::{Explanation, LineTold, SearchTold};
pub use matcher::Matcher;
pub use ruleset::{RuleSet, RuleSetBuilder};
pub use site::Site;
