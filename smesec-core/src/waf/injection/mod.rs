//! Detection of SQL injection and cross-site scripting by tokenising (the libinjection algorithm).
//!
//! Instead of patterns of text, both detectors read a value as the attacked interpreter would:
//!
//! * [`detect_sqli`] splits the value into SQL tokens, folds them to at most five, and looks the row of their
//!   kinds (the [`Fingerprint`]) up in a table of known attacks. It does so for each quote context in which a
//!   value may land: bare, inside single quotes, inside double quotes.
//! * [`detect_xss`] reads the value as HTML in five contexts (text, and an attribute's value unquoted, single,
//!   double and back-quoted) and reports names that run script: elements, attributes, addresses.
//!
//! ```
//! use smesec_core::waf::injection::{detect_sqli, detect_xss};
//!
//! let found = detect_sqli(b"1' OR '1'='1").expect("an attack");
//! assert_eq!(found.as_str(), "s&sos");
//! assert!(detect_sqli(b"O'Reilly").is_none());
//!
//! assert!(detect_xss(b"<svg/onload=alert(1)>"));
//! assert!(!detect_xss(b"a < b and c > d"));
//! ```
//!
//! Neither allocates, and both take time linear in the value's length.
//! Source: the algorithm of libinjection 3.9.2 (Nick Galbreath, BSD-3-Clause), whose keyword and fingerprint
//! tables are carried as data; see `THIRD-PARTY.md`.
mod sqli;
mod xss;

pub(crate) use sqli::sqli_bytes;
pub use sqli::{Fingerprint, detect_sqli};
pub use xss::detect_xss;
