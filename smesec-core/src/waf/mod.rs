//! The web application firewall: SecLang rules over HTTP transactions.
pub mod injection;
pub mod seclang;
