//! `smesec taas`: test files and audits against an application.

mod audit;
mod reports;
mod run;
mod way;

use crate::client::Network;
use crate::runner::ExchangeError;

pub(super) use audit::{draft, run as audit};
pub(super) use run::{environment, run};

/// A text of whatever origin as a terminal may show it: what would act on it is written out, and a line
/// that it breaks goes on indented, so that none passes for ours.
fn shown(text: &str) -> String {
    crate::taas::report::printable(text).replace('\n', "\n             ")
}

/// Why the real run would send nothing to a host, for a dry run; `allow` is what allows public hosts.
fn refusal(
    network: &Network,
    (host, port): &(String, Option<u16>),
    public: bool,
    allow: &str,
) -> Option<String> {
    let why = network.admits(host, *port).err()?;
    let fix = match why {
        ExchangeError::Public { .. } | ExchangeError::NotAllowed(_) if !public => {
            format!(" (`{allow}`)")
        }
        _ => String::new(),
    };
    Some(shown(&format!("would not connect to {}: {why}{fix}", place(host, *port))))
}

fn place(host: &str, port: Option<u16>) -> String {
    port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}
