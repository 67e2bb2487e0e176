//! `smesec taas`: test files and audits against an application.

mod audit;
mod reports;
mod run;

pub(super) use audit::{draft, run as audit};
pub(super) use run::{environment, run};
