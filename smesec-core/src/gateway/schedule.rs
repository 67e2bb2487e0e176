//! `[[schedule]]` of `smesec.toml`: what the host runs beside the gateway, and when.

use std::path::PathBuf;
use std::time::Duration;

/// Tests, or an audit, to be run again and again. The gateway runs none itself: it reads them for its host,
/// which has the engines for them, and takes the events that come of it ([`Handle`](super::Handle) is a
/// [`Sink`](crate::sink::Sink)).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Schedule {
    /// What is run.
    pub work: ScheduledWork,
    /// From the begin of one run to that of the next: a second to a day. A run that takes longer delays the next.
    pub every: Duration,
    /// Whether hosts with public addresses are asked too; off, as tests belong to one's own network.
    pub allow_public: bool,
    /// The line of the configuration where it stands, for messages.
    pub line: u32,
}

/// What a [`Schedule`] runs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScheduledWork {
    /// Test files in Tavern's format.
    Tests(Vec<PathBuf>),
    /// The description of an API, whose doors are tried; what would change its data is left out.
    Audit(PathBuf),
}
