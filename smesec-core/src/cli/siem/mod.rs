//! `smesec siem`: logs through Sigma rules and their correlations.

mod options;
mod run;
mod tell;

pub(super) use run::run;
