//! What a reload swaps: hosts, their filters and their upstreams.

use super::address::{AddressList, Network};
use super::config::{Config, Rules, Timeouts};
use super::rate::RateLimit;
use super::tls;
use super::upstream::{self, Pool, Upstreams};
use crate::collection::{CollectionStore, MemoryStore};
use crate::error::{ConfigError, Error};
use crate::filter::{Chain, Filter};
use crate::waf::{Mode, RuleSet, Waf};
use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What outlives a reload: a client that was counted stays counted.
pub(super) struct Kept {
    pub(super) store: Arc<dyn CollectionStore>,
    pub(super) rate: Mutex<Option<Arc<RateLimit>>>,
    /// Connections to upstreams, and how long one may take to open.
    pool: Mutex<(Duration, Pool)>,
    /// The gateway's own; the firewall counts under the next one.
    pub(super) seed: u64,
    /// Filters of the host's own, before the firewall.
    pub(super) filters: Vec<Arc<dyn Filter>>,
}

impl Kept {
    pub(super) fn new(timeouts: &Timeouts, seed: u64, filters: Vec<Arc<dyn Filter>>) -> Self {
        Self {
            store: Arc::new(MemoryStore::default()),
            rate: Mutex::new(None),
            pool: Mutex::new((timeouts.connect, upstream::pool(timeouts))),
            seed,
            filters,
        }
    }

    /// The pool, a new one where the time to connect has changed.
    fn pool(&self, timeouts: &Timeouts) -> Pool {
        let mut current = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if current.0 != timeouts.connect {
            *current = (timeouts.connect, upstream::pool(timeouts));
        }
        current.1.clone()
    }
}

pub(super) struct Site {
    hosts: HashMap<String, Arc<Host>>,
    /// Suffixes with their dot, the longest first.
    below: Vec<(String, Arc<Host>)>,
    all: Option<Arc<Host>>,
    first: Option<Arc<Host>>,
    addresses: AddressList,
    pub(super) trusted: Vec<Network>,
    pub(super) timeouts: Timeouts,
    pub(super) proxy_protocol: bool,
    pub(super) tls: Option<Arc<rustls::ServerConfig>>,
    pub(super) rules: usize,
    pub(super) rule_set: Option<Arc<RuleSet>>,
    /// Rules that are not in force although a file names them.
    pub(super) refused: usize,
}

pub(super) struct Host {
    /// The first of its names.
    pub(super) name: Arc<str>,
    pub(super) filter: Option<Arc<dyn Filter>>,
    pub(super) upstreams: Upstreams,
}

impl Site {
    /// Builds what a configuration asks for; also what its author should know (rules refused).
    pub(super) fn build(config: &Config, kept: &Kept) -> Result<(Self, Vec<String>), Error> {
        let mut notices = config.notices.clone();
        let mut refused = 0;
        let mode_of = |host: &super::config::Host| host.mode.unwrap_or(config.mode);
        let waf = if config.hosts.iter().all(|host| mode_of(host) == Mode::Off) {
            None
        } else {
            let rules = rules(config)?;
            let report = rules.report();
            refused = report.refused.len();
            notices.extend(report.refused.iter().map(ToString::to_string));
            let waf = Waf::builder(rules)
                .mode(config.mode)
                .on_limit(config.on_limit)
                .store(Arc::clone(&kept.store))
                .id_seed(kept.seed.wrapping_add(1))
                .record_headers(config.audit_log.is_some())
                .build();
            super::warm::warm(&waf);
            Some(waf)
        };
        let addresses = AddressList::new(config.allow.clone(), config.deny.clone());
        let mut common = kept.filters.clone();
        if !config.deny.is_empty() {
            common.push(Arc::new(addresses.clone()));
        }
        if let Some(limit) = rate_limit(config, kept) {
            common.push(limit);
        }
        let mut site = Self {
            hosts: HashMap::new(),
            below: Vec::new(),
            all: None,
            first: None,
            addresses,
            trusted: config.trusted.clone(),
            timeouts: config.timeouts,
            proxy_protocol: config.proxy_protocol,
            tls: config
                .tls
                .as_ref()
                .map(|tls| tls::server_config(&config.origin, tls))
                .transpose()?,
            rules: waf.as_ref().map_or(0, |waf| waf.rules().len()),
            rule_set: waf.as_ref().map(Waf::rules),
            refused,
        };
        let pool = kept.pool(&config.timeouts);
        for host in &config.hosts {
            let mut filters = common.clone();
            if let Some(waf) = waf.as_ref().filter(|_| mode_of(host) != Mode::Off) {
                let mut own = waf.clone();
                if let Some(mode) = host.mode {
                    own = own.with_mode(mode);
                }
                if !host.exceptions.is_empty() {
                    own = own.with_exceptions(host.exceptions.clone());
                }
                filters.push(Arc::new(own));
            }
            let filter = match filters.len() {
                0 => None,
                1 => filters.pop(),
                _ => Some(Arc::new(Chain::new(filters)) as Arc<dyn Filter>),
            };
            let name = host.names.first().map_or("", String::as_str).into();
            let upstreams = Upstreams::new(&host.upstreams, pool.clone(), config.timeouts.upstream);
            let built = Arc::new(Host { name, filter, upstreams });
            site.add(&host.names, &built);
            site.first.get_or_insert(built);
        }
        Ok((site, notices))
    }

    fn add(&mut self, names: &[String], host: &Arc<Host>) {
        for name in names {
            let host = Arc::clone(host);
            if name == "*" {
                self.all = Some(host);
            } else if let Some(suffix) = name.strip_prefix('*') {
                self.below.push((suffix.to_owned(), host));
                self.below.sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
            } else {
                self.hosts.insert(name.clone(), host);
            }
        }
    }

    pub(super) fn host(&self, name: &str) -> Option<&Arc<Host>> {
        self.hosts
            .get(name)
            .or_else(|| self.below.iter().find(|(s, _)| name.ends_with(s)).map(|(_, host)| host))
            .or(self.all.as_ref())
    }

    /// A host whose filter may look at what is meant for none.
    pub(super) fn any_host(&self) -> Option<&Arc<Host>> {
        self.all.as_ref().or(self.first.as_ref())
    }

    /// Whether no filter looks at what this client sends.
    pub(super) fn is_exempt(&self, client: IpAddr) -> bool {
        self.addresses.allows(client)
    }

    pub(super) fn trusts(&self, hop: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(hop))
    }
}

/// Builds a site and lets it go.
pub(super) fn check(config: &Config) -> Result<Vec<String>, Error> {
    let kept = Kept::new(&config.timeouts, 0, Vec::new());
    for log in [&config.access_log, &config.event_log, &config.audit_log].into_iter().flatten() {
        log.check(&config.origin)?;
    }
    Site::build(config, &kept).map(|(_, notices)| notices)
}

fn rules(config: &Config) -> Result<Arc<RuleSet>, Error> {
    let mut builder = RuleSet::builder();
    if config.rules.is_empty() {
        builder.builtin();
    }
    if let Some(level) = config.paranoia {
        builder.paranoia(level);
    }
    for source in &config.rules {
        match source {
            Rules::Builtin => builder.builtin(),
            Rules::File(path, at) => {
                builder.path(rule_file(path).map_err(|why| {
                    at.wrong(&config.origin, format!("`{}`: {why}", path.display()))
                })?)
            }
        };
    }
    let rules = builder.build()?;
    if rules.is_empty() {
        let first = rules.report().refused.first().map(|refused| format!(": {refused}"));
        let why =
            format!("no rule was loaded; check `rules` under `[waf]`{}", first.unwrap_or_default());
        let at = config.rules.iter().find_map(|source| match source {
            Rules::File(_, at) => Some(at),
            Rules::Builtin => None,
        });
        return Err(match at {
            Some(at) => at.wrong(&config.origin, why),
            None => ConfigError::new(format!("{}: {why}", config.origin)).into(),
        });
    }
    Ok(Arc::new(rules))
}

/// A file without which the others would serve alone is an error, not a rule that is refused.
fn rule_file(path: &Path) -> Result<&str, String> {
    let file = std::fs::File::open(path).and_then(|file| file.metadata());
    match file {
        Ok(file) if file.is_dir() => Err("it is a folder; name the files in it".to_owned()),
        Ok(_) => path.to_str().ok_or_else(|| "it is not UTF-8; rename it".to_owned()),
        Err(e) => Err(format!("{e}; check that it exists and may be read")),
    }
}

/// The limit in force, kept over reloads that do not change it.
fn rate_limit(config: &Config, kept: &Kept) -> Option<Arc<RateLimit>> {
    let mut current = kept.rate.lock().unwrap_or_else(PoisonError::into_inner);
    let wanted = config.rate;
    if current.as_ref().map(|limit| limit.rate()) != wanted {
        *current = wanted.map(|rate| Arc::new(RateLimit::new(rate)));
    }
    current.clone()
}
