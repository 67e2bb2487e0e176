//! Detection over logs: Sigma rules on single records, and correlation of what they find.
//!
//! | room | what happens there |
//! | --- | --- |
//! | [`sigma`] | YAML to a syntax tree with spans |
//! | [`record`] | what a log line looks like to a rule: native fields, borrowed |
//! | [`correlation`] | what several hits mean together: windows, orders, absences, alarms |
//! | [`directive`] | trees of levels that make an alarm more reliable, as OSSIM has them |
//! | [`policy`], [`risk`] | what is done with an event before, and how much an alarm matters |

pub mod correlation;
pub mod directive;
pub mod policy;
pub mod record;
pub mod risk;
pub mod sigma;
