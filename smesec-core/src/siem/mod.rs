//! Detection over logs: Sigma rules on single records, and correlation of what they find.
//!
//! | room | what happens there |
//! | --- | --- |
//! | [`sigma`] | YAML to a syntax tree with spans |
//! | `compile` | the syntax tree to flat tables |
//! | `ruleset` | the compiled rules and what the report says of them |
//! | `matcher` | which rules match a record |
//! | `log_sources` | which records belong to which of Sigma's log sources |
//! | [`record`] | what a log line looks like to a rule: native fields, borrowed |
//! | [`envelope`] | the same columns over every source, by a table |
//! | [`sources`] | readers of log formats: bytes to records |
//! | [`correlation`] | what several hits mean together: windows, orders, absences, alarms |
//! | [`Engine`] | matcher and correlator as one |

mod compile;
pub mod correlation;
mod engine;
pub mod envelope;
mod log_sources;
mod matcher;
pub mod record;
mod ruleset;
pub mod sigma;
pub mod sources;

pub use engine::{Engine, Told};
pub use matcher::Matcher;
pub use ruleset::{RuleSet, RuleSetBuilder};
