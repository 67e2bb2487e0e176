//! The web application firewall: SecLang rules over HTTP transactions.
//!
//! A [`RuleSet`] is compiled once; a [`Waf`] is a [`crate::filter::Filter`] over it.
//!
//! | room | what happens there |
//! | --- | --- |
//! | [`seclang`] | text to a syntax tree with spans |
//! | `compile` | syntax tree to flat tables, with a [`crate::ruleset::LoadReport`] |
//! | [`RuleSet`] | the tables, shared by all |
//! | `transaction` | the run-time, along the path of the data |
//! | [`audit`] | a transaction's record in ModSecurity's form |
//! | [`injection`] | SQL injection and cross-site scripting by tokenising |

pub mod audit;
mod bits;
mod builtin;
mod checks;
mod compile;
mod engine;
pub mod injection;
mod resolver;
mod ruleset;
pub mod seclang;
mod transaction;
mod variable;

pub use engine::{Mode, Waf, WafBuilder, check_target};
pub use resolver::Resolver;
pub use ruleset::{RuleSet, RuleSetBuilder};
