//! `smesec taas`: test files and audits against an application.

mod audit;
mod reports;
mod run;
mod way;

pub(super) use audit::{draft, run as audit};
pub(super) use run::{environment, run};

/// A text of whatever origin as a terminal may show it: what would act on it is written out, and a line
/// that it breaks goes on indented, so that none passes for ours.
fn shown(text: &str) -> String {
    crate::taas::report::printable(text).replace('\n', "\n             ")
}
