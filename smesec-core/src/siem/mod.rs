//! Detection over logs: Sigma rules on single records, and correlation of what they find.
//!
//! | room | what happens there |
//! | --- | --- |
//! | [`sigma`] | YAML to a syntax tree with spans |
//! | `compile` | the syntax tree to flat tables |
//! | `ruleset` | the compiled rules and what the report says of them |
//! | `matcher` | which rules match a record |
//! | `degrade` | which rules can never match |
//! | `explain` | why a rule matches a record, or does not |
//! | `log_sources` | which records belong to which of Sigma's log sources |
//! | [`record`] | what a log line looks like to a rule: native fields, borrowed |

mod compile;
mod degrade;
mod explain;
mod log_sources;
mod matcher;
pub mod record;
mod ruleset;
pub mod sigma;

pub use explain::{Explanation, LineTold, SearchTold};
pub use matcher::Matcher;
pub use ruleset::{RuleSet, RuleSetBuilder};
