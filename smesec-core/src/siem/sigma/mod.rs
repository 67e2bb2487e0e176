//! Sigma 2.1 (rules, correlations, filters): YAML to a syntax tree with spans.

pub mod correlation;
mod syntax;

pub use syntax::{Correlation, CorrelationKind, Criterion, Meta, Reference, Threshold};
