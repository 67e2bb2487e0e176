//! Detection over logs: Sigma rules on single records, and correlation of what they find.
//!
//! | room | what happens there |
//! | --- | --- |
//! | [`sigma`] | YAML to a syntax tree with spans |
//! | [`record`] | what a log line looks like to a rule: native fields, borrowed |
//! | [`envelope`] | the same columns over every source, by a table |
//! | [`sources`] | readers of log formats: bytes to records |

pub mod envelope;
pub mod record;
pub mod sigma;
pub mod sources;
