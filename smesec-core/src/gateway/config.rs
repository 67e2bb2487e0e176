//! `smesec.toml`: read, checked, and every error with its line.

use super::address::Network;
use super::rate::Rate;
use super::schedule::{Schedule, ScheduledWork};
use super::values::{
    address, duration, exception_target, host_name, mode, moment, network, paranoia, rule_range,
    upstream,
};
use super::words;
use crate::error::{ConfigError, Error, IoError};
use crate::limits::OnLimit;
use crate::policy::Exception;
use crate::waf::Mode;
use hyper::http::uri::Authority;
use serde::Deserialize;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;

/// A whole configuration with every setting, its default and its reason.
pub const EXAMPLE: &str = include_str!("example.toml");

/// The word among `rules` for our own pack; a file of this name is `./builtin`.
const BUILTIN: &str = "builtin";

/// A checked configuration.
///
/// ```
/// use smesec_core::gateway::Config;
/// let why = Config::parse("smesec.toml", "[gateway]\nlisten = [\"localhost\"]\n").unwrap_err();
/// assert_eq!(why.to_string(),
///     "smesec.toml:2:11: `localhost` is no address to listen on; write it as `0.0.0.0:8080` or `[::]:8080`");
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    pub(super) origin: String,
    pub(super) listen: Vec<SocketAddr>,
    pub(super) tls: Option<Tls>,
    pub(super) metrics: Option<SocketAddr>,
    pub(super) access_log: Option<Log>,
    pub(super) event_log: Option<Log>,
    pub(super) audit_log: Option<Log>,
    /// As written: the number of cores may change while a gateway runs.
    pub(super) threads: Option<usize>,
    pub(super) trusted: Vec<Network>,
    pub(super) proxy_protocol: bool,
    pub(super) max_connections: usize,
    pub(super) timeouts: Timeouts,
    pub(super) allow: Vec<Network>,
    pub(super) deny: Vec<Network>,
    pub(super) rate: Option<Rate>,
    pub(super) hosts: Vec<Host>,
    /// In their order; none: the built-in pack.
    pub(super) rules: Vec<Rules>,
    pub(super) paranoia: Option<u8>,
    pub(super) mode: Mode,
    pub(super) on_limit: OnLimit,
    pub(super) schedules: Vec<Schedule>,
    /// What its author should know although it is no error.
    pub(super) notices: Vec<String>,
}

/// Where something is written in the file, both counted from 1, for errors found when it is used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    line: u32,
    column: u32,
}

impl Place {
    pub(super) fn wrong(self, origin: &str, why: impl Into<String>) -> Error {
        ConfigError::at(origin, self.line, why).at_column(self.column).into()
    }
}

/// A source of rules.
#[derive(Clone, Debug)]
pub(super) enum Rules {
    Builtin,
    File(PathBuf, Place),
}

#[derive(Clone, Debug)]
pub(super) struct Tls {
    pub(super) listen: Vec<SocketAddr>,
    pub(super) certificates: Vec<Certificate>,
}

#[derive(Clone, Debug)]
pub(super) struct Certificate {
    pub(super) names: Vec<String>,
    pub(super) chain: PathBuf,
    pub(super) key: PathBuf,
    pub(super) chain_at: Place,
    pub(super) key_at: Place,
}

/// A log and where it is named.
#[derive(Clone, Debug)]
pub(super) struct Log {
    pub(super) to: Target,
    at: Place,
}

impl Log {
    /// Whether it could be opened; nothing is written.
    pub(super) fn check(&self, origin: &str) -> Result<(), Error> {
        let Target::File(path) = &self.to else { return Ok(()) };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let opened = match std::fs::metadata(path) {
            // To open a pipe would wait for who reads it.
            Ok(known) if !known.is_file() && !known.is_dir() => Ok(()),
            Ok(_) => std::fs::OpenOptions::new().append(true).open(path).map(drop),
            Err(_) => std::fs::read_dir(folder.unwrap_or(Path::new("."))).map(drop),
        };
        opened.map_err(|e| self.refused(origin, &e))
    }

    pub(super) fn refused(&self, origin: &str, error: &std::io::Error) -> Error {
        let name = match &self.to {
            Target::StandardOutput => "standard output".into(),
            Target::File(path) => path.to_string_lossy(),
        };
        let why =
            format!("`{name}`: {error}; name a file in a folder that exists and may be written");
        self.at.wrong(origin, why)
    }
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    StandardOutput,
    File(PathBuf),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timeouts {
    pub(super) header: Duration,
    pub(super) body: Duration,
    pub(super) connect: Duration,
    pub(super) upstream: Duration,
    pub(super) idle: Duration,
    pub(super) drain: Duration,
}

#[derive(Clone, Debug)]
pub(super) struct Host {
    /// Lower case; `*.name` for all below a name, `*` for all.
    pub(super) names: Vec<String>,
    pub(super) upstreams: Vec<Authority>,
    pub(super) mode: Option<Mode>,
    pub(super) exceptions: Vec<Exception>,
}

impl Config {
    /// Reads a configuration from text. `origin` names it in errors; paths in it stand as they are.
    ///
    /// # Errors
    /// [`Error::Config`] with the line and what to write instead.
    pub fn parse(origin: &str, text: &str) -> Result<Self, Error> {
        Reading { origin, text, folder: Path::new("") }.config()
    }

    /// Reads a file; relative paths in it count from its own folder.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read, [`Error::Config`] as in [`Config::parse`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let origin = path.to_string_lossy();
        let text = std::fs::read_to_string(path).map_err(|e| IoError::new(origin.clone(), e))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Reading { origin: &origin, text: &text, folder }.config()
    }

    /// Reads what the configuration names (rules, certificates) without serving; what its author
    /// should know comes back.
    ///
    /// # Errors
    /// As [`crate::gateway::Gateway::bind`], but for the sockets, which are not taken.
    pub fn check(&self) -> Result<Vec<String>, Error> {
        super::site::check(self)
    }

    /// Threads that the host should give the gateway; the number of cores by default.
    pub fn threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        self.threads.unwrap_or_else(cores)
    }

    /// What the host is to run beside the gateway.
    pub fn schedules(&self) -> &[Schedule] {
        &self.schedules
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    gateway: RawGateway,
    #[serde(default)]
    waf: RawWaf,
    #[serde(default)]
    schedule: Vec<Spanned<RawSchedule>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSchedule {
    #[serde(default)]
    tests: Vec<String>,
    audit: Option<String>,
    every: Spanned<String>,
    #[serde(default)]
    allow_public: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGateway {
    #[serde(default)]
    listen: Vec<Spanned<String>>,
    tls: Option<RawTls>,
    metrics: Option<Spanned<String>>,
    access_log: Option<Spanned<String>>,
    event_log: Option<Spanned<String>>,
    audit_log: Option<Spanned<String>>,
    threads: Option<Spanned<usize>>,
    #[serde(default)]
    trusted_proxies: Vec<Spanned<String>>,
    proxy_protocol: Option<Spanned<bool>>,
    max_connections: Option<Spanned<usize>>,
    #[serde(default)]
    timeouts: RawTimeouts,
    #[serde(default)]
    addresses: RawAddresses,
    rate: Option<RawRate>,
    #[serde(default)]
    host: Vec<Spanned<RawHost>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTls {
    listen: Vec<Spanned<String>>,
    certificate: Vec<RawCertificate>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCertificate {
    #[serde(default)]
    names: Vec<Spanned<String>>,
    chain: Spanned<String>,
    key: Spanned<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawTimeouts {
    header: Option<Spanned<String>>,
    body: Option<Spanned<String>>,
    connect: Option<Spanned<String>>,
    upstream: Option<Spanned<String>>,
    idle: Option<Spanned<String>>,
    drain: Option<Spanned<String>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawAddresses {
    #[serde(default)]
    allow: Vec<Spanned<String>>,
    #[serde(default)]
    deny: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRate {
    requests_per_second: Spanned<f64>,
    burst: Option<Spanned<u32>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHost {
    names: Vec<Spanned<String>>,
    upstream: Spanned<OneOrMany>,
    mode: Option<Spanned<String>>,
    #[serde(default)]
    exception: Vec<RawException>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "write `\"http://127.0.0.1:3000\"` or a list of such")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawException {
    #[serde(default)]
    rules: Vec<Spanned<String>>,
    tag: Option<String>,
    target: Option<Spanned<String>>,
    #[serde(default)]
    path: String,
    expires: Option<Spanned<toml::value::Datetime>>,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawWaf {
    #[serde(default)]
    rules: Vec<Spanned<String>>,
    paranoia: Option<Spanned<u8>>,
    mode: Option<Spanned<String>>,
    on_limit: Option<OnLimit>,
}

/// A file on its way to a configuration.
struct Reading<'a> {
    origin: &'a str,
    text: &'a str,
    folder: &'a Path,
}

impl Reading<'_> {
    fn config(&self) -> Result<Config, Error> {
        let raw: RawFile = toml::from_str(self.text)
            .map_err(|e| self.wrong(e.span().unwrap_or(0..0), words::of(e.message())))?;
        let gateway = raw.gateway;
        let listen = self.all(&gateway.listen, |text| address(text))?;
        let tls = gateway.tls.map(|tls| self.tls(tls)).transpose()?;
        if listen.is_empty() && tls.is_none() {
            return Err(ConfigError::new(format!(
                "{}: nothing to listen on; write `listen = [\"0.0.0.0:8080\"]` under `[gateway]`",
                self.origin
            ))
            .into());
        }
        let rules = self.rules(raw.waf.rules)?;
        let pack_alone = rules.iter().all(|one| matches!(one, Rules::Builtin));
        let default_mode = if pack_alone { Mode::Block } else { Mode::Rules };
        let mut notices = Vec::new();
        let proxy_protocol = gateway.proxy_protocol.filter(|on| *on.get_ref());
        if let Some(on) = &proxy_protocol
            && gateway.trusted_proxies.is_empty()
        {
            let why = "`proxy_protocol` without `trusted_proxies` reads no header; name the hops that send one there";
            notices.push(self.wrong(on.span(), why).to_string());
        }
        let t = &gateway.timeouts;
        Ok(Config {
            origin: self.origin.to_owned(),
            listen,
            tls,
            metrics: gateway
                .metrics
                .as_ref()
                .map(|m| self.one(m, |text| address(text)))
                .transpose()?,
            access_log: gateway.access_log.map(|to| self.log(&to)),
            event_log: gateway.event_log.map(|to| self.log(&to)),
            audit_log: gateway.audit_log.map(|to| self.log(&to)),
            threads: gateway
                .threads
                .map(|threads| self.positive(Some(threads), "threads", 1))
                .transpose()?,
            trusted: self.all(&gateway.trusted_proxies, |text| network(text))?,
            proxy_protocol: proxy_protocol.is_some(),
            max_connections: self.positive(gateway.max_connections, "max_connections", 10_000)?,
            timeouts: Timeouts {
                header: self.duration(t.header.as_ref(), 15_000)?,
                body: self.duration(t.body.as_ref(), 30_000)?,
                connect: self.duration(t.connect.as_ref(), 5_000)?,
                upstream: self.duration(t.upstream.as_ref(), 60_000)?,
                idle: self.duration(t.idle.as_ref(), 300_000)?,
                drain: self.duration(t.drain.as_ref(), 30_000)?,
            },
            allow: self.all(&gateway.addresses.allow, |text| network(text))?,
            deny: self.all(&gateway.addresses.deny, |text| network(text))?,
            rate: gateway.rate.map(|rate| self.rate(&rate)).transpose()?,
            hosts: self.hosts(gateway.host)?,
            rules,
            paranoia: raw.waf.paranoia.map(|level| self.one(&level, paranoia)).transpose()?,
            mode: raw.waf.mode.map_or(Ok(default_mode), |m| self.one(&m, |text| mode(text)))?,
            on_limit: raw.waf.on_limit.unwrap_or_default(),
            schedules: raw
                .schedule
                .into_iter()
                .map(|one| self.schedule(one))
                .collect::<Result<_, _>>()?,
            notices,
        })
    }

    fn wrong(&self, span: Range<usize>, why: impl Into<String>) -> Error {
        self.place(&span).wrong(self.origin, why)
    }

    fn place(&self, span: &Range<usize>) -> Place {
        let before = self.text.get(..span.start).unwrap_or_default();
        let count = |n: usize| u32::try_from(n + 1).unwrap_or(u32::MAX);
        Place {
            line: count(memchr::memchr_iter(b'\n', before.as_bytes()).count()),
            column: count(before.chars().rev().take_while(|c| *c != '\n').count()),
        }
    }

    fn one<T, U>(
        &self,
        raw: &Spanned<T>,
        read: impl Fn(&T) -> Result<U, String>,
    ) -> Result<U, Error> {
        read(raw.get_ref()).map_err(|why| self.wrong(raw.span(), why))
    }

    fn all<T, U>(
        &self,
        raw: &[Spanned<T>],
        read: impl Fn(&T) -> Result<U, String>,
    ) -> Result<Vec<U>, Error> {
        raw.iter().map(|one| self.one(one, &read)).collect()
    }

    fn log(&self, to: &Spanned<String>) -> Log {
        let at = self.place(&to.span());
        let to = to.get_ref();
        let to =
            if to == "-" { Target::StandardOutput } else { Target::File(self.folder.join(to)) };
        Log { to, at }
    }

    fn rules(&self, raw: Vec<Spanned<String>>) -> Result<Vec<Rules>, Error> {
        let mut builtin = false;
        let read = |one: Spanned<String>| {
            let span = one.span();
            if one.get_ref() != BUILTIN {
                return Ok(Rules::File(self.folder.join(one.into_inner()), self.place(&span)));
            }
            if std::mem::replace(&mut builtin, true) {
                return Err(self.wrong(span, format!("`{BUILTIN}` stands twice; write it once")));
            }
            Ok(Rules::Builtin)
        };
        raw.into_iter().map(read).collect()
    }

    fn positive(
        &self,
        raw: Option<Spanned<usize>>,
        name: &str,
        default: usize,
    ) -> Result<usize, Error> {
        match raw {
            Some(raw) if *raw.get_ref() == 0 || *raw.get_ref() > 1 << 24 => Err(self.wrong(
                raw.span(),
                format!("`{name}` of {} is out of range; write 1 to 16777216", raw.get_ref()),
            )),
            Some(raw) => Ok(raw.into_inner()),
            None => Ok(default),
        }
    }

    fn duration(&self, raw: Option<&Spanned<String>>, default_ms: u64) -> Result<Duration, Error> {
        raw.map_or(Ok(Duration::from_millis(default_ms)), |raw| {
            self.one(raw, |text| duration(text))
        })
    }

    fn tls(&self, raw: RawTls) -> Result<Tls, Error> {
        let certificates = raw
            .certificate
            .into_iter()
            .map(|one| {
                Ok::<_, Error>(Certificate {
                    names: self.all(&one.names, |text| host_name(text))?,
                    chain_at: self.place(&one.chain.span()),
                    chain: self.folder.join(one.chain.into_inner()),
                    key_at: self.place(&one.key.span()),
                    key: self.folder.join(one.key.into_inner()),
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Tls { listen: self.all(&raw.listen, |text| address(text))?, certificates })
    }

    fn rate(&self, raw: &RawRate) -> Result<Rate, Error> {
        let burst = raw.burst.as_ref().map(|burst| *burst.get_ref());
        Rate::new(*raw.requests_per_second.get_ref(), burst).map_err(|why| {
            let empty = raw.burst.as_ref().filter(|burst| *burst.get_ref() == 0);
            let at = empty.map_or_else(|| raw.requests_per_second.span(), Spanned::span);
            self.wrong(at, why.to_string())
        })
    }

    fn hosts(&self, raw: Vec<Spanned<RawHost>>) -> Result<Vec<Host>, Error> {
        if raw.is_empty() {
            return Err(ConfigError::new(format!(
                "{}: no site to protect; add `[[gateway.host]]` with `names` and `upstream`",
                self.origin
            ))
            .into());
        }
        let mut met = HashSet::new();
        let mut hosts = Vec::with_capacity(raw.len());
        for host in raw {
            let span = host.span();
            let host = host.into_inner();
            let names = self.all(&host.names, |text| host_name(text))?;
            if names.is_empty() {
                return Err(
                    self.wrong(span, "a host without `names`; write `names = [\"*\"]` for all")
                );
            }
            for (name, raw) in names.iter().zip(&host.names) {
                if !met.insert(name.clone()) {
                    return Err(self.wrong(
                        raw.span(),
                        format!("`{name}` already belongs to an earlier host; name it once"),
                    ));
                }
            }
            let upstreams = self.one(&host.upstream, |given| match given {
                OneOrMany::One(one) => Ok(vec![upstream(one)?]),
                OneOrMany::Many(many) => many.iter().map(|one| upstream(one)).collect(),
            })?;
            if upstreams.is_empty() {
                return Err(
                    self.wrong(span, "a host without `upstream`; write `http://127.0.0.1:3000`")
                );
            }
            hosts.push(Host {
                names,
                upstreams,
                mode: host.mode.as_ref().map(|m| self.one(m, |text| mode(text))).transpose()?,
                exceptions: host
                    .exception
                    .into_iter()
                    .map(|one| self.exception(one))
                    .collect::<Result<_, _>>()?,
            });
        }
        Ok(hosts)
    }

    fn schedule(&self, raw: Spanned<RawSchedule>) -> Result<Schedule, Error> {
        let span = raw.span();
        let raw = raw.into_inner();
        let work = match (raw.tests.as_slice(), &raw.audit) {
            ([_, ..], None) => {
                ScheduledWork::Tests(raw.tests.iter().map(|path| self.folder.join(path)).collect())
            }
            ([], Some(file)) => ScheduledWork::Audit(self.folder.join(file)),
            _ => {
                let why = "a schedule runs either `tests = [\"shop.tavern.yaml\"]` or `audit = \"shop.yaml\"`; write one of them";
                return Err(self.wrong(span, why));
            }
        };
        let every = self.one(&raw.every, |text| duration(text))?;
        if every < Duration::from_secs(1) {
            let why = "a schedule of less than a second leaves no time for anything else; write `1s` or more";
            return Err(self.wrong(raw.every.span(), why));
        }
        let Place { line, .. } = self.place(&span);
        Ok(Schedule { work, every, allow_public: raw.allow_public, line })
    }

    fn exception(&self, raw: RawException) -> Result<Exception, Error> {
        Ok(Exception {
            rules: self.all(&raw.rules, |text| rule_range(text))?,
            tag: raw.tag,
            target: raw
                .target
                .map(|target| self.one(&target, |text| exception_target(text)))
                .transpose()?,
            path_prefix: raw.path,
            expires: raw.expires.map(|at| self.one(&at, moment)).transpose()?,
            reason: raw.reason,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "[gateway]\nlisten = [\"127.0.0.1:0\"]\n[[gateway.host]]\nnames = [\"*\"]\nupstream = \"http://127.0.0.1:1\"\n";

    #[test]
    fn the_example_is_a_good_configuration() {
        let config = Config::parse("example.toml", EXAMPLE).unwrap();
        assert_eq!(config.hosts.len(), 2);
        assert!(config.tls.is_none(), "the example must start without certificates");
    }

    #[test]
    fn the_least_configuration_blocks_with_the_built_in_pack() {
        let config = Config::parse("c", LEAST).unwrap();
        assert_eq!((config.mode, config.on_limit), (Mode::Block, OnLimit::Closed));
        assert!(config.rules.is_empty());
        let own = Config::parse("c", &format!("{LEAST}[waf]\nrules = [\"a.conf\"]")).unwrap();
        assert_eq!(own.mode, Mode::Rules);
    }

    #[test]
    fn every_error_names_the_place_and_what_to_write() {
        let told = |text: &str| Config::parse("c", text).unwrap_err().to_string();
        for (more, expected) in [
            (
                "[waf]\nmode = \"blok\"",
                "c:7:8: `blok` is no mode; write `rules`, `block`, `detect` or `off`",
            ),
            ("[waf]\nparanoia = 5", "c:7:12: `paranoia` of 5 is out of range"),
            ("[waf]\nrule = []", "c:7:1: unknown field `rule`, expected one of"),
            ("[gateway.timeouts]\nbody = \"10\"", "c:7:8: `10` is no time; write `500ms`"),
            ("[gateway.addresses]\ndeny = [\"10.0.0.0/33\"]", "c:7:9: `10.0.0.0/33` is no network"),
            ("[gateway.rate]\nrequests_per_second = 0", "c:7:23: "),
            (
                "[[gateway.host]]\nnames = [\"*\"]\nupstream = \"http://a\"",
                "c:7:10: `*` already belongs",
            ),
            (
                "[[gateway.host]]\nnames = [\"b\"]\nupstream = \"https://a\"",
                "c:8:12: `https://a`: upstreams over TLS",
            ),
            ("[[gateway.host]]\nnames = [\"b\"]\nupstream = [\"a\"]", "c:8:12: `a` is no upstream"),
            (
                "[[gateway.host]]\nnames = [\"b\"]\nupstream = \"http://a\"\n[[gateway.host.exception]]\nrules = [\"x\"]",
                "c:10:10: `x` names no rules",
            ),
            ("[waf]\nmode = \"block", "c:7:14: "),
            ("[[schedule]]\nevery = \"1h\"", "c:6:1: a schedule runs either `tests"),
            (
                "[[schedule]]\nevery = \"1h\"\ntests = [\"a\"]\naudit = \"b\"",
                "c:6:1: a schedule runs either `tests",
            ),
            (
                "[[schedule]]\ntests = [\"a\"]\nevery = \"10ms\"",
                "c:8:9: a schedule of less than a second",
            ),
            ("[waf]\nrules = [\"builtin\", \"builtin\"]", "c:7:21: `builtin` stands twice"),
            ("[waf]\nrules = \"a.conf\"", "c:7:9: `\"a.conf\"` does not fit here; write a list"),
            ("[waf]\nparanoia = \"1\"", "c:7:12: `\"1\"` does not fit here; write a whole number"),
            ("[waf]\nparanoia = -1", "c:7:12: `-1` does not fit here; write a whole number"),
            ("[waf]\nparanoia = 1.5", "c:7:12: `1.5` does not fit here; write a whole number"),
            ("[waf]\nmode = true", "c:7:8: `true` does not fit here; write a text in quotes"),
            ("[gateway]\nlisten = []", "c:6:"),
            ("[gateway.rate]\nburst = 2", "c:6:1: `requests_per_second` is missing here; write it"),
            (
                "[gateway.rate]\nrequests_per_second = \"9\"",
                "c:7:23: `\"9\"` does not fit here; write a number",
            ),
            (
                "[gateway.timeouts]\nbody = [\"1s\"]",
                "c:7:8: a list does not fit here; write a text",
            ),
            (
                "[[gateway.host]]\nnames = [\"b\"]\nupstream = 1",
                "c:8:12: write `\"http://127.0.0.1:3000\"` or",
            ),
            ("[[waf]]", "c:6:"),
        ] {
            let text = format!("{LEAST}{more}\n");
            assert!(told(&text).starts_with(expected), "{} instead of {expected}", told(&text));
        }
        assert!(told("[gateway]\n").contains("nothing to listen on"));
        assert!(told("[gateway]\nlisten = [\"0.0.0.0:1\"]\n").contains("no site to protect"));
    }

    #[test]
    fn schedules_are_read_for_the_host() {
        let text = format!(
            "{LEAST}[[schedule]]\ntests = [\"a.tavern.yaml\", \"b\"]\nevery = \"5m\"\n[[schedule]]\naudit = \"api.yaml\"\nevery = \"24h\"\nallow_public = true\n"
        );
        let config = Config::parse("c", &text).unwrap();
        let [tests, audit] = config.schedules() else { panic!("two were written") };
        assert_eq!(tests.work, ScheduledWork::Tests(vec!["a.tavern.yaml".into(), "b".into()]));
        assert_eq!(
            (tests.every, tests.allow_public, tests.line),
            (Duration::from_mins(5), false, 6)
        );
        assert_eq!(audit.work, ScheduledWork::Audit("api.yaml".into()));
        assert!(audit.allow_public);
    }

    #[test]
    fn an_exception_expires_at_its_date() {
        let text = format!(
            "{LEAST}[[gateway.host.exception]]\nrules = [\"942100-942999\"]\nexpires = 2030-01-31\n"
        );
        let config = Config::parse("c", &text).unwrap();
        let exception = &config.hosts[0].exceptions[0];
        assert_eq!(exception.rules, [(942_100, 942_999)]);
        assert_eq!(exception.expires.unwrap().to_string(), "2030-01-31T00:00:00.000000000Z");
    }
}
