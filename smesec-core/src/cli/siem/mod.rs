//! `smesec siem`: logs through Sigma rules and their correlations; one rule over one record.

mod explain;
mod inputs;
mod options;
mod progress;
mod run;
mod state;
mod tell;

pub(super) use explain::explain;
pub(super) use run::run;
