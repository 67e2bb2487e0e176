//! The C face of smesec.
//!
//! Nothing is decided here: each function checks its pointers, calls [`smesec_core`] behind a panic
//! boundary and turns the answer into C's types. `include/smesec.h` is made from these files and is
//! the manual; its head says who owns what and which thread may do what.
//!
//! | file | what |
//! | --- | --- |
//! | `border` | status, last error, panic boundary, bytes in and out |
//! | `rules` | rule sets and their builder |
//! | `waf` | the firewall |
//! | `transaction` | the steps of one HTTP transaction |

#![allow(
    clippy::missing_safety_doc,
    reason = "one contract holds for all functions; it stands once, at the top of the header"
)]
#![allow(
    clippy::doc_markdown,
    reason = "the comments are the header's, and C knows no back quotes"
)]

mod border;
mod rules;
mod transaction;
mod waf;

pub use border::{Bytes, Status, TextFn};
pub use rules::{RuleSet, RuleSetBuilder};
pub use transaction::{
    Action, Connection, Header, Outcome, Phase, RequestHead, ResponseHead, Transaction, Verdict,
};
pub use waf::{Mode, OnBlock, OnLimit, Waf, WafOptions};

pub use border::{smesec_abi_version, smesec_last_error, smesec_status_text, smesec_version};
pub use rules::{
    smesec_ruleset_builder_build, smesec_ruleset_builder_builtin, smesec_ruleset_builder_free,
    smesec_ruleset_builder_new, smesec_ruleset_builder_paranoia, smesec_ruleset_builder_path,
    smesec_ruleset_builder_strict, smesec_ruleset_builder_text, smesec_ruleset_free,
    smesec_ruleset_len, smesec_ruleset_report,
};
pub use transaction::{
    smesec_transaction_begin, smesec_transaction_finding_count, smesec_transaction_findings_json,
    smesec_transaction_finish, smesec_transaction_free, smesec_transaction_location,
    smesec_transaction_request_body, smesec_transaction_request_head,
    smesec_transaction_response_body, smesec_transaction_response_head, smesec_transaction_wants,
};
pub use waf::{smesec_waf_free, smesec_waf_new, smesec_waf_reload};
