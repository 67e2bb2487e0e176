//! Sigma 2.1 (rules, correlations, filters): YAML to a syntax tree with spans.
//!
//! | file | what |
//! | --- | --- |
//! | `load` | a text to its documents |
//! | `rule` `condition` | detection rules |
//! | `modifier` `pattern` | what a line of a search asks of a field |
//! | [`correlation`] | correlations over rules |
//! | `filter` | conditions added to other rules |
//! | `pipeline` | changes to rules, as data |
//! | `rename` | the same for the fields of correlations |
//! | `syntax` | what all documents share, and the tree of correlations |

mod condition;
pub mod correlation;
mod filter;
mod load;
mod modifier;
mod pattern;
mod pipeline;
pub(crate) mod rename;
mod rule;
mod syntax;

pub use condition::Condition;
pub use filter::Filter;
pub use load::{Sigma, load};
pub use modifier::{Anchor, Ask, Comparison, Modifier, Network, Placeholders, Test, TimePart, ask};
pub use pattern::{DASHES, Pattern, Piece};
pub use pipeline::Pipeline;
pub(crate) use pipeline::Traced;
pub use rule::{Body, Item, Literal, Rule, RuleSource, Search};
pub use syntax::{Correlation, CorrelationKind, Criterion, Meta, Reference, Threshold};
pub(crate) use syntax::{severity, techniques};
