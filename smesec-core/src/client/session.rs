//! One test's connections.

use super::allowed::{Admitted, Allowed};
use super::connection::{Answer, Ask, Broken, Connection, Deadline, Timed, Wire};
use super::http1::{Form, RequestHead};
use super::http2::{self, Chosen, Http2};
use super::mqtt::MqttSession;
use super::network::Shared;
use super::proxy::Proxy;

use super::tls;
use super::url::Url;
use crate::runner::{ConnectionOptions, ExchangeError, MessageOptions, Request, Response, Session};
use crate::time::Timestamp;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Connections kept for a later request of the same test; tests speak with one or two servers.
const IDLE: usize = 4;

/// A session over connections of its own.
#[derive(Debug)]
pub(super) struct HttpSession {
    network: Arc<Shared>,
    idle: Vec<Idle>,
    on_the_wire: Option<Duration>,
}

#[derive(Debug)]
struct Idle {
    tls: bool,
    host: String,
    port: u16,
    options: ConnectionOptions,
    line: Line,
}

/// A connection, by what it speaks.
#[derive(Debug)]
enum Line {
    Http1(Connection),
    Http2(http2::Connection),
}

impl Line {
    fn is_stale(&mut self) -> bool {
        match self {
            Self::Http1(connection) => connection.is_stale(),
            Self::Http2(connection) => connection.is_stale(),
        }
    }

    fn exchange(
        &mut self,
        url: &Url,
        request: &Request,
        ask: Ask<'_>,
        deadline: Deadline,
    ) -> Result<Answer, Broken> {
        match self {
            Self::Http1(connection) => connection.exchange(ask, deadline),
            Self::Http2(connection) => connection.exchange(url, request, ask, deadline),
        }
    }
}

impl Idle {
    /// Whether it leads where the URL says, as the same client and with the same trust.
    fn fits(&self, url: &Url, options: &ConnectionOptions) -> bool {
        self.port == url.port
            && self.tls == url.tls
            && self.host == url.host
            && (!self.tls
                || (self.options.trust == options.trust
                    && self.options.client_certificate == options.client_certificate))
    }
}

impl HttpSession {
    pub(super) const fn new(network: Arc<Shared>) -> Self {
        Self { network, idle: Vec::new(), on_the_wire: None }
    }

    fn connect(
        &self,
        route: Route<'_>,
        options: &ConnectionOptions,
        deadline: Deadline,
    ) -> Result<Line, ExchangeError> {
        let deadline = options.connect_deadline.map_or(deadline, |most| deadline.within(most));
        let url = route.url;
        let allowed = &self.network.allowed;
        let timed = match route.proxy {
            None => {
                let addresses = allowed.addresses(url, route.admitted)?;
                connect(&url.host_and_port(), &addresses, deadline)?
            }
            Some(proxy) => {
                let at = allowed.look_up(&proxy.host)?;
                let at: Vec<_> = at.into_iter().map(|ip| SocketAddr::new(ip, proxy.port)).collect();
                let timed =
                    connect(&format!("proxy {}:{}", proxy.host, proxy.port), &at, deadline)?;
                if url.tls { proxy.tunnel(timed, url, deadline)? } else { timed }
            }
        };
        self.greet(route, timed, options, deadline)
    }

    /// TLS, and which HTTP is spoken.
    fn greet(
        &self,
        route: Route<'_>,
        timed: Timed,
        options: &ConnectionOptions,
        deadline: Deadline,
    ) -> Result<Line, ExchangeError> {
        let (network, url) = (&self.network, route.url);
        let wanted = match network.http2 {
            Http2::Never => false,
            Http2::Offered => url.tls,
            // A proxy that is asked in the plain speaks for itself.
            Http2::Always => url.tls || route.proxy.is_none(),
        };
        if !wanted {
            let wire = if url.tls {
                secure(&network.tls, &url.host, timed, options, deadline)?
            } else {
                Wire::Plain(timed)
            };
            return Ok(Line::Http1(Connection::new(wire)));
        }
        let tls =
            if url.tls { Some((network.tls.of(options)?, server_name(&url.host)?)) } else { None };
        match http2::begin(timed, tls, network.limits.head, deadline)? {
            Chosen::Http2(connection) => Ok(Line::Http2(connection)),
            Chosen::Http1(wire) if network.http2 == Http2::Offered => {
                Ok(Line::Http1(Connection::new(wire)))
            }
            Chosen::Http1(_) => Err(ExchangeError::Connection(format!(
                "`{}` does not speak HTTP/2",
                url.host_and_port()
            ))),
        }
    }

    fn take_idle(&mut self, url: &Url, options: &ConnectionOptions) -> Option<Line> {
        let at = self.idle.iter().position(|idle| idle.fits(url, options))?;
        let mut line = self.idle.swap_remove(at).line;
        (!line.is_stale()).then_some(line)
    }

    fn keep(&mut self, url: &Url, options: &ConnectionOptions, line: Line) {
        if self.idle.len() >= IDLE {
            self.idle.remove(0);
        }
        self.idle.push(Idle {
            tls: url.tls,
            host: url.host.clone(),
            port: url.port,
            options: options.clone(),
            line,
        });
    }

    fn ask(
        &mut self,
        route: Route<'_>,
        head: &RequestHead,
        request: &Request,
        deadline: Deadline,
    ) -> Result<Response, ExchangeError> {
        let (url, options) = (route.url, &request.connection);
        let ask =
            Ask { head, body: &request.body, method: &request.method, limits: self.network.limits };
        if let Some(mut line) = self.take_idle(url, options) {
            let mut sent = true;
            match line.exchange(url, request, ask, deadline) {
                Ok(answer) => return Ok(self.finish(url, options, line, answer)),
                Err(Broken { unsent: true, error: ExchangeError::Connection(_), .. }) => {
                    sent = false
                }
                // The server hung up while the request was on its way. Only what changes nothing is
                // sent again, since the server may have read it.
                Err(Broken { error: ExchangeError::Connection(_), answered: false, .. })
                    if is_safe(&request.method) => {}
                Err(broken) => return Err(broken.error),
            }
            if sent {
                self.network.count(request)?;
                self.network.keep_pace();
            }
        }
        let mut line = self.connect(route, options, deadline)?;
        let answer = line.exchange(url, request, ask, deadline).map_err(|broken| broken.error)?;
        Ok(self.finish(url, options, line, answer))
    }

    fn finish(
        &mut self,
        url: &Url,
        options: &ConnectionOptions,
        line: Line,
        answer: Answer,
    ) -> Response {
        if answer.reusable {
            self.keep(url, options, line);
        }
        answer.response
    }
}

/// Where a request goes.
#[derive(Clone, Copy, Debug)]
struct Route<'a> {
    url: &'a Url,
    admitted: Admitted,
    proxy: Option<&'a Proxy>,
}

/// The first address that answers; each is given its share of the time.
fn connect(
    what: &str,
    addresses: &[SocketAddr],
    deadline: Deadline,
) -> Result<Timed, ExchangeError> {
    let mut failed = None;
    for (n, address) in addresses.iter().enumerate() {
        let Some(left) = deadline.left() else { break };
        let others = u32::try_from(addresses.len() - n).unwrap_or(u32::MAX);
        match Timed::connect(*address, deadline.within(left / others.max(1))) {
            Ok(timed) => return Ok(timed),
            Err(e) => failed = Some((address, e)),
        }
    }
    Err(match failed {
        Some((address, e)) => deadline.failed(&format!("`{what}` at {address}"), &e),
        None => deadline.passed(),
    })
}

fn server_name(host: &str) -> Result<ServerName<'static>, ExchangeError> {
    ServerName::try_from(host.to_owned())
        .map_err(|_| ExchangeError::Request(format!("`{host}` is no name that TLS knows")))
}

/// Shakes hands over TLS.
fn secure(
    settings: &tls::Settings,
    host: &str,
    mut timed: Timed,
    options: &ConnectionOptions,
    deadline: Deadline,
) -> Result<Wire, ExchangeError> {
    let (config, name) = (settings.of(options)?, server_name(host)?);
    let mut tls = ClientConnection::new(config, name)
        .map_err(|e| ExchangeError::Connection(format!("TLS: {e}")))?;
    while tls.is_handshaking() {
        tls.complete_io(&mut timed)
            .map_err(|e| deadline.failed(&format!("TLS with `{host}`"), &e))?;
    }
    Ok(Wire::Tls(Box::new(StreamOwned::new(tls, timed))))
}

/// A connection to a message broker; the rule on hosts, the cap and the rate hold for it too.
pub(super) fn broker(
    network: &Shared,
    options: &MessageOptions,
    patience: Duration,
) -> Result<MqttSession, ExchangeError> {
    let host = if options.host.contains(':') && !options.host.starts_with('[') {
        format!("[{}]", options.host)
    } else {
        options.host.clone()
    };
    // What holds for the hosts of URLs holds here; the scheme only says which port is the usual.
    let url = Url::parse(&format!("http://{host}:{}/", options.port))?;
    let admitted = network.allowed.admit(&url)?;
    network.count(&Request {
        method: "CONNECT".to_owned(),
        url: format!("mqtt://{}", url.host_and_port()),
        ..Request::default()
    })?;
    network.keep_pace();
    let deadline = Deadline::after(patience);
    let addresses = network.allowed.addresses(&url, admitted)?;
    let timed = connect(&url.host_and_port(), &addresses, deadline)?;
    let wire = match &options.tls {
        None => Wire::Plain(timed),
        Some(trust) => {
            let over = ConnectionOptions {
                trust: trust.clone(),
                client_certificate: options.client_certificate.clone(),
                ..ConnectionOptions::default()
            };
            secure(&network.tls_of_brokers, &url.host, timed, &over, deadline)?
        }
    };
    MqttSession::begin(wire, options, deadline)
}

/// Whether the method changes nothing (RFC 9110, section 9.2.1).
fn is_safe(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE")
}

impl Session for HttpSession {
    fn exchange(
        &mut self,
        request: &Request,
        deadline: Duration,
    ) -> Result<Response, ExchangeError> {
        let url = Url::parse(&request.url)?;
        // The session outlives no borrow of what it shares.
        let network = Arc::clone(&self.network);
        let admitted = network.allowed.admit(&url)?;
        let proxy = network.proxies.of(&url);
        let (form, extra) = match proxy {
            Some(proxy) if !url.tls => (Form::Absolute, proxy.headers()),
            _ => (Form::Origin, Vec::new()),
        };
        if proxy.is_some() {
            Allowed::admit_through_proxy(admitted, &url)?;
        }
        let head = RequestHead::new(request, &url, form, &extra)?;
        network.count(request)?;
        network.keep_pace();
        let began = Instant::now();
        let route = Route { url: &url, admitted, proxy };
        let answer = self.ask(route, &head, request, Deadline::after(deadline));
        self.on_the_wire = Some(began.elapsed());
        answer
    }

    fn wait(&mut self, pause: Duration) {
        std::thread::sleep(pause);
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_system_clock()
    }

    fn on_the_wire(&self) -> Option<Duration> {
        self.on_the_wire
    }
}
