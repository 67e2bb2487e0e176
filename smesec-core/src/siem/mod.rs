//! Detection over logs: Sigma rules on single records, and correlation of what they find.
//!
//! | room | what happens there |
//! | --- | --- |
//! | [`sigma`] | YAML to a syntax tree with spans |
//! | [`builtin`] | the rules that come with the library |
//! | [`record`] | what a log line looks like to a rule: native fields, borrowed |
//! | [`own`] | our own engines' events as records |
//! | [`correlation`] | what several hits mean together: windows, orders, absences, alarms |
//! | [`directive`] | trees of levels that make an alarm more reliable, as OSSIM has them |
//! | [`policy`], [`risk`] | what is done with an event before, and how much an alarm matters |

pub mod builtin;
pub mod correlation;
pub mod directive;
pub mod own;
pub mod policy;
pub mod record;
pub mod risk;
pub mod sigma;
