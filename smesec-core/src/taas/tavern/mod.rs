//! The test language: Tavern's YAML to a suite of tests.
//!
//! `document` reads a file's documents and what they include; `schema` refuses what is not in the format
//! before anything is sent, and warns of what it forgives in silence; `marks` makes several tests of one;
//! `load` puts it together.

mod document;
mod load;
mod marks;
mod placeholder;
mod schema;
mod select;
mod stage;
mod value;

pub use load::{Outline, Suite, SuiteBuilder, Test};
pub(super) use load::{Plan, Script};
pub(super) use marks::Expected;
pub(super) use stage::{Action, Section, Setting, Stage, Strict};
