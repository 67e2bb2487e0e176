//! Hosts that may be asked, and the addresses they may lie at.

use super::url::{self, Url};
use crate::runner::ExchangeError;
use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};

/// Names to addresses; the operating system's own unless the host hands one in.
///
/// The system's cannot be interrupted: a dead name server may take it longer than an exchange's
/// deadline, which is then told when it returns.
pub trait Resolver: Send + Sync {
    /// The addresses of `host`, best first.
    ///
    /// # Errors
    /// When the name is not known or could not be asked for.
    fn addresses(&self, host: &str) -> std::io::Result<Vec<IpAddr>>;
}

struct System;

impl Resolver for System {
    fn addresses(&self, host: &str) -> std::io::Result<Vec<IpAddr>> {
        Ok((host, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
    }
}

#[derive(Clone, Debug)]
struct Host {
    name: String,
    port: Option<u16>,
    public: bool,
}

/// The run's rule on where requests may go.
///
/// A name is looked up once a run and connected to at the address that was checked, so an answer
/// that changes between the check and the connection (DNS rebinding) changes nothing.
#[derive(Clone)]
pub(super) struct Allowed {
    hosts: Vec<Host>,
    any_private: bool,
    resolver: Arc<dyn Resolver>,
    known: Arc<Mutex<HashMap<String, Vec<IpAddr>>>>,
}

impl Default for Allowed {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            any_private: false,
            resolver: Arc::new(System),
            known: Arc::default(),
        }
    }
}

impl fmt::Debug for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Allowed")
            .field("hosts", &self.hosts)
            .field("any_private", &self.any_private)
            .finish_non_exhaustive()
    }
}

/// A host that passed, and what may be connected to for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Admitted {
    public: bool,
}

impl Allowed {
    pub(super) fn add(&mut self, name: &str, port: Option<u16>, public: bool) {
        self.hosts.push(Host { name: normal(name), port, public });
    }

    pub(super) const fn any_private(&mut self) {
        self.any_private = true;
    }

    pub(super) fn resolve_with(&mut self, resolver: Arc<dyn Resolver>) {
        self.resolver = resolver;
    }

    /// Whether the host and port may be asked at all.
    pub(super) fn admit(&self, url: &Url) -> Result<Admitted, ExchangeError> {
        let name = normal(&url.host);
        let mut named = self
            .hosts
            .iter()
            .filter(|host| host.name == name && host.port.is_none_or(|port| port == url.port))
            .peekable();
        if named.peek().is_none() && !self.any_private {
            return Err(ExchangeError::NotAllowed(url.host_and_port()));
        }
        let admitted = Admitted { public: named.any(|host| host.public) };
        // A literal address needs no look-up, so it is judged before anything is counted or sent.
        if let Some(address) = url::literal(&url.host)
            && !admitted.public
            && !is_private(address)
        {
            return Err(ExchangeError::Public { host: url.host.clone(), address });
        }
        Ok(admitted)
    }

    /// Whether a proxy may be asked for the host: what it lies at is seen by the proxy alone, so the
    /// host must be allowed as a public one or be a literal address that passed.
    pub(super) fn admit_through_proxy(admitted: Admitted, url: &Url) -> Result<(), ExchangeError> {
        if admitted.public || url::literal(&url.host).is_some() {
            return Ok(());
        }
        Err(ExchangeError::NotAllowed(format!(
            "{} (through a proxy, which alone sees its address: allow it as a public host)",
            url.host_and_port()
        )))
    }

    /// The addresses that may be connected to, at least one.
    pub(super) fn addresses(
        &self,
        url: &Url,
        admitted: Admitted,
    ) -> Result<Vec<SocketAddr>, ExchangeError> {
        let found = self.look_up(&url.host)?;
        let fits = |address: &&IpAddr| admitted.public || is_private(**address);
        let usable: Vec<_> =
            found.iter().filter(fits).map(|address| SocketAddr::new(*address, url.port)).collect();
        match found.first() {
            Some(address) if usable.is_empty() => {
                Err(ExchangeError::Public { host: url.host.clone(), address: *address })
            }
            Some(_) => Ok(usable),
            None => Err(ExchangeError::Connection(format!("`{}` has no address", url.host))),
        }
    }

    /// Addresses without any check, for a proxy that the options name.
    pub(super) fn look_up(&self, host: &str) -> Result<Vec<IpAddr>, ExchangeError> {
        if let Some(address) = url::literal(host) {
            return Ok(vec![address]);
        }
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known().get(host) {
            return Ok(found.clone());
        }
        let found = self.resolver.addresses(host).map_err(|e| {
            ExchangeError::Connection(format!("`{host}` could not be looked up: {e}"))
        })?;
        // What was told first stands, also among sessions that asked at the same time.
        Ok(known().entry(host.to_owned()).or_insert(found).clone())
    }
}

fn normal(name: &str) -> String {
    let bare = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name);
    if let Ok(address) = bare.parse::<Ipv6Addr>() {
        return address.to_string();
    }
    bare.strip_suffix('.').unwrap_or(bare).to_ascii_lowercase()
}

/// Loopback and the private ranges (RFC 1918, RFC 4193). Link-local addresses are not among them:
/// clouds answer there with credentials.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_private_v4(v4),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_private_v4(v4),
            None => v6.is_loopback() || v6.is_unspecified() || v6.is_unique_local(),
        },
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    // The unspecified address leads to the machine itself.
    address.is_loopback() || address.is_private() || address.is_unspecified()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    struct Changing(AtomicUsize);

    impl Resolver for Changing {
        fn addresses(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
            let asked = self.0.fetch_add(1, Ordering::Relaxed);
            let address = if asked == 0 { "10.0.0.7" } else { "203.0.113.7" };
            Ok(vec![address.parse().unwrap()])
        }
    }

    #[test]
    fn only_named_hosts_and_ports_pass() {
        let mut allowed = Allowed::default();
        allowed.add("Shop.Example.", None, false);
        allowed.add("[::1]", Some(8080), false);
        allowed.add("203.0.113.7", None, true);
        for fine in [
            "http://shop.example/",
            "https://SHOP.example:8443/",
            "http://shop.example./",
            "http://[0::1]:8080/",
            "http://203.0.113.7/",
        ] {
            allowed.admit(&url(fine)).unwrap();
        }
        for (text, told) in [
            ("http://[::1]/", "[::1]:80"),
            ("http://evil.shop.example/", "evil.shop.example:80"),
            ("http://shop.example.evil/", "shop.example.evil:80"),
            ("http://127.0.0.1/", "127.0.0.1:80"),
        ] {
            let why = allowed.admit(&url(text)).unwrap_err();
            assert_eq!(why, ExchangeError::NotAllowed(told.to_owned()));
        }
    }

    #[test]
    fn public_addresses_need_a_word_of_their_own() {
        let mut allowed = Allowed::default();
        allowed.any_private();
        allowed.add("203.0.113.9", None, false);
        for private in
            ["127.0.0.1", "10.1.2.3", "172.31.0.1", "192.168.0.1", "[fd00::1]", "0.0.0.0"]
        {
            allowed.admit(&url(&format!("http://{private}/"))).unwrap();
        }
        for public in
            ["203.0.113.9", "169.254.169.254", "[fe80::1]", "[2001:db8::1]", "[::ffff:8.8.8.8]"]
        {
            let why = allowed.admit(&url(&format!("http://{public}/"))).unwrap_err();
            assert!(matches!(why, ExchangeError::Public { .. }), "{public}: {why}");
        }
    }

    #[test]
    fn a_name_that_moves_is_asked_for_once() {
        let mut allowed = Allowed::default();
        allowed.add("meter.example", None, false);
        allowed.resolve_with(Arc::new(Changing(AtomicUsize::new(0))));
        let url = url("http://meter.example/");
        let admitted = allowed.admit(&url).unwrap();
        for _ in 0..3 {
            let found = allowed.addresses(&url, admitted).unwrap();
            assert_eq!(found, ["10.0.0.7:80".parse().unwrap()]);
        }
    }

    #[test]
    fn a_name_at_a_public_address_is_refused() {
        let mut allowed = Allowed::default();
        allowed.add("meter.example", None, false);
        allowed.resolve_with(Arc::new(Changing(AtomicUsize::new(1))));
        let url = url("http://meter.example/");
        let admitted = allowed.admit(&url).unwrap();
        let why = allowed.addresses(&url, admitted).unwrap_err();
        assert!(why.to_string().contains("203.0.113.7"), "{why}");
    }
}
