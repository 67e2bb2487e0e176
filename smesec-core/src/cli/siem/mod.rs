//! `smesec siem`: logs through Sigma rules and their correlations; one rule over one record.

mod explain;
mod options;
mod run;
mod tell;

pub(super) use explain::explain;
pub(super) use run::run;
