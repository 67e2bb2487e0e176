//! The run's one door to the network.

use super::allowed::{Allowed, Resolver};
use super::http1::Limits;
use super::http2::Http2;
use super::pace::Pace;
use super::proxy::Proxies;
use super::session::{self, HttpSession};
use super::tls;
use super::url::Url;
use crate::runner::{ExchangeError, MessageOptions, MessageSession, Request, Session, Target};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a run may reach and how much it may send; gives each test a session of its own.
///
/// By default nothing may be asked: each host has to be named, and only private and loopback
/// addresses are connected to unless the host is named as a public one.
///
/// ```
/// use smesec_core::client::Network;
/// use smesec_core::runner::{Request, Target};
/// use std::io::{Read, Write};
/// use std::time::Duration;
///
/// let server = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let port = server.local_addr()?.port();
/// let serving = std::thread::spawn(move || {
///     let (mut socket, _) = server.accept().unwrap();
///     socket.read(&mut [0; 1024]).unwrap();
///     socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").unwrap();
/// });
/// let network = Network::builder().allow_host("127.0.0.1", Some(port)).build();
/// let url = format!("http://127.0.0.1:{port}/");
/// let request = Request { method: "GET".into(), url, ..Request::default() };
/// let answer = network.session().exchange(&request, Duration::from_secs(5)).unwrap();
/// assert_eq!((answer.status, answer.body.as_slice()), (200, &b"hi"[..]));
/// assert_eq!(network.sent(), 1);
/// # serving.join().unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Network {
    pub(super) shared: Arc<Shared>,
}

/// What all sessions of a run share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) allowed: Allowed,
    pub(super) limits: Limits,
    pub(super) http2: Http2,
    pub(super) tls: tls::Settings,
    /// Without a protocol of HTTP on offer, which some brokers refuse.
    pub(super) tls_of_brokers: tls::Settings,
    pub(super) proxies: Proxies,
    pace: Pace,
    sent: AtomicU64,
    at_most: u64,
    /// What a dry run would have sent.
    noted: Option<Mutex<Vec<Request>>>,
}

impl Network {
    /// A network that may reach nothing yet.
    pub fn builder() -> NetworkBuilder {
        NetworkBuilder::default()
    }

    /// What a request to the host would be refused for before anything is sent; the port that none names is
    /// 80. A name is looked up, as the request itself would do.
    ///
    /// ```
    /// use smesec_core::client::Network;
    /// let network = Network::builder().allow_host("127.0.0.1", Some(8080)).build();
    /// assert!(network.admits("127.0.0.1", Some(8080)).is_ok());
    /// assert!(network.admits("203.0.113.7", None).is_err(), "nobody allowed it");
    /// ```
    ///
    /// # Errors
    /// The refusal, or why the name could not be looked up.
    pub fn admits(&self, host: &str, port: Option<u16>) -> Result<(), ExchangeError> {
        let shared = &self.shared;
        let port = port.unwrap_or(80);
        // A broker's address may stand without the brackets that a URL needs.
        let open = if host.contains(':') && !host.starts_with('[') { ("[", "]") } else { ("", "") };
        let scheme = if port == 443 { "https" } else { "http" };
        let url = Url::parse(&format!("{scheme}://{}{host}{}:{port}/", open.0, open.1))?;
        let admitted = shared.allowed.admit(&url)?;
        if shared.proxies.of(&url).is_some() {
            return Allowed::admit_through_proxy(admitted, &url);
        }
        shared.allowed.addresses(&url, admitted).map(drop)
    }

    /// How many requests were sent; in a dry run, how many would have been.
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed).min(self.shared.at_most)
    }

    /// What a dry run would have sent, in order; empty where it is none.
    pub fn noted(&self) -> Vec<Request> {
        let noted = self.shared.noted.as_ref();
        noted.map(|n| n.lock().unwrap_or_else(PoisonError::into_inner).clone()).unwrap_or_default()
    }
}

impl Target for Network {
    fn session(&self) -> Box<dyn Session> {
        Box::new(HttpSession::new(Arc::clone(&self.shared)))
    }

    fn messages(
        &self,
        options: &MessageOptions,
        deadline: Duration,
    ) -> Result<Box<dyn MessageSession>, ExchangeError> {
        Ok(Box::new(session::broker(&self.shared, options, deadline)?))
    }
}

impl Shared {
    /// Counts a request; an error where it may not or, in a dry run, shall not be sent.
    pub(super) fn count(&self, request: &Request) -> Result<(), ExchangeError> {
        if self.sent.fetch_add(1, Ordering::Relaxed) >= self.at_most {
            return Err(ExchangeError::Spent(self.at_most));
        }
        if let Some(noted) = &self.noted {
            noted.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
            return Err(ExchangeError::NotSent);
        }
        Ok(())
    }

    /// Waits for the request's turn.
    pub(super) fn keep_pace(&self) {
        let wait = self.pace.take(Instant::now());
        if !wait.is_zero() {
            std::thread::sleep(wait);
        }
    }
}

/// Settings of a [`Network`].
#[derive(Debug)]
pub struct NetworkBuilder {
    allowed: Allowed,
    limits: Limits,
    proxies: Proxies,
    http2: Http2,
    at_most: u64,
    per_second: u32,
    dry_run: bool,
}

impl Default for NetworkBuilder {
    fn default() -> Self {
        Self {
            allowed: Allowed::default(),
            limits: Limits::default(),
            proxies: Proxies::default(),
            http2: Http2::default(),
            at_most: 10_000,
            per_second: 500,
            dry_run: false,
        }
    }
}

impl NetworkBuilder {
    /// Allows a host, on one port or on all, as long as it lies at a private or loopback address.
    pub fn allow_host(mut self, host: &str, port: Option<u16>) -> Self {
        self.allowed.add(host, port, false);
        self
    }

    /// Allows a host wherever it lies.
    pub fn allow_public_host(mut self, host: &str, port: Option<u16>) -> Self {
        self.allowed.add(host, port, true);
        self
    }

    /// Allows the hosts that files or a description name: wherever they lie if `public`, else only at private and
    /// loopback addresses.
    pub fn allow_hosts(
        mut self,
        hosts: impl IntoIterator<Item = (String, Option<u16>)>,
        public: bool,
    ) -> Self {
        for (host, port) in hosts {
            self.allowed.add(&host, port, public);
        }
        self
    }

    /// Allows every host that lies at a private or loopback address, named or not.
    pub fn allow_private_hosts(mut self) -> Self {
        self.allowed.any_private();
        self
    }

    /// Looks names up with this instead of the operating system.
    pub fn resolver(mut self, resolver: Arc<dyn Resolver>) -> Self {
        self.allowed.resolve_with(resolver);
        self
    }

    /// How many requests a run may send; 10,000: an audit of a hundred routes with five roles sends
    /// some three thousand.
    pub fn at_most(mut self, requests: u64) -> Self {
        self.at_most = requests;
        self
    }

    /// Requests a second over all sessions, 0 for no bound; 500: what a small company's server carries. A
    /// second's worth may go at once, so short runs never wait.
    pub fn per_second(mut self, requests: u32) -> Self {
        self.per_second = requests;
        self
    }

    /// Sends requests through proxies.
    pub fn proxies(mut self, proxies: Proxies) -> Self {
        self.proxies = proxies;
        self
    }

    /// Whether HTTP/2 is spoken; [`Http2::Never`] unless it is asked for, since raw headers are what
    /// tests look at.
    pub fn http2(mut self, http2: Http2) -> Self {
        self.http2 = http2;
        self
    }

    /// How much an answer may hold.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Notes what would be sent and sends nothing; see [`Network::noted`].
    pub fn dry_run(mut self, dry: bool) -> Self {
        self.dry_run = dry;
        self
    }

    /// The network.
    pub fn build(self) -> Network {
        Network {
            shared: Arc::new(Shared {
                allowed: self.allowed,
                limits: self.limits,
                http2: self.http2,
                tls: tls::Settings::new(self.http2.protocols()),
                tls_of_brokers: tls::Settings::new(&[]),
                proxies: self.proxies,
                pace: Pace::new(self.per_second),
                sent: AtomicU64::new(0),
                at_most: self.at_most,
                noted: self.dry_run.then(Mutex::default),
            }),
        }
    }
}
