//! Plain HTTP/1.1 over one socket, for `smesec taas audit` where nothing more is at hand.

use crate::runner::{ExchangeError, Request, Response, Session, Target};
use crate::time::Timestamp;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// Bytes of an answer's head and of its body that are taken in.
const MAX_HEAD: u64 = 64 << 10;
const MAX_BODY: u64 = 8 << 20;

/// Private and loopback hosts, and public ones if that is allowed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plain {
    /// Whether addresses of the public network may be connected to.
    pub(super) public: bool,
}

impl Target for Plain {
    fn session(&self) -> Box<dyn Session> {
        Box::new(Socket { public: self.public, open: None, took: None })
    }
}

struct Socket {
    public: bool,
    open: Option<(String, BufReader<TcpStream>)>,
    took: Option<Duration>,
}

impl Session for Socket {
    fn exchange(
        &mut self,
        request: &Request,
        deadline: Duration,
    ) -> Result<Response, ExchangeError> {
        self.took = None;
        let rest = request.url.strip_prefix("http://").ok_or_else(|| {
            ExchangeError::Request(
                "only http is spoken here; audit over the network's client".into(),
            )
        })?;
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let mut head =
            format!("{} {path} HTTP/1.1\r\nHost: {authority}\r\n", request.method).into_bytes();
        for (name, value) in &request.headers {
            head.extend_from_slice(name.as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value);
            head.extend_from_slice(b"\r\n");
        }
        if !request.body.is_empty() || !matches!(request.method.as_str(), "GET" | "HEAD") {
            head.extend_from_slice(
                format!("Content-Length: {}\r\n", request.body.len()).as_bytes(),
            );
        }
        head.extend_from_slice(b"\r\n");
        head.extend_from_slice(&request.body);
        // A kept connection may have been closed meanwhile; then a fresh one is tried once.
        let kept = self.open.take().filter(|(host, _)| host == authority);
        for socket in [kept.map(|(_, socket)| socket), None] {
            let fresh = socket.is_none();
            let mut socket = match socket {
                Some(socket) => socket,
                None => self.connect(authority, deadline)?,
            };
            let begun = Instant::now();
            let answer = send(&mut socket, &head, request.method == "HEAD", deadline);
            self.took = Some(begun.elapsed());
            match answer {
                Ok((response, keep)) => {
                    self.open = keep.then(|| (authority.to_owned(), socket));
                    return Ok(response);
                }
                Err(_) if !fresh && begun.elapsed() < deadline => {}
                Err(e) => return Err(e),
            }
        }
        Err(ExchangeError::Connection("closed".into()))
    }

    fn wait(&mut self, pause: Duration) {
        std::thread::sleep(pause);
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_system_clock()
    }

    fn on_the_wire(&self) -> Option<Duration> {
        self.took
    }
}

impl Socket {
    fn connect(
        &self,
        authority: &str,
        deadline: Duration,
    ) -> Result<BufReader<TcpStream>, ExchangeError> {
        let broken = |e: std::io::Error| ExchangeError::Connection(e.to_string());
        let with_port = if authority.rsplit(']').next().is_some_and(|end| end.contains(':')) {
            authority.to_owned()
        } else {
            format!("{authority}:80")
        };
        let mut addresses = with_port.to_socket_addrs().map_err(broken)?;
        let address =
            addresses.next().ok_or_else(|| ExchangeError::Connection("no address".into()))?;
        let near = match address.ip() {
            IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
            IpAddr::V6(ip) => {
                ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local()
            }
        };
        if !near && !self.public {
            return Err(ExchangeError::Public {
                host: authority.to_owned(),
                address: address.ip(),
            });
        }
        let stream = TcpStream::connect_timeout(&address, deadline).map_err(broken)?;
        stream.set_nodelay(true).map_err(broken)?;
        Ok(BufReader::new(stream))
    }
}

/// Sends and reads one answer; whether the connection may be kept.
fn send(
    socket: &mut BufReader<TcpStream>,
    bytes: &[u8],
    head_only: bool,
    deadline: Duration,
) -> Result<(Response, bool), ExchangeError> {
    let broken = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => {
            ExchangeError::Timeout(deadline)
        }
        _ => ExchangeError::Connection(e.to_string()),
    };
    socket.get_ref().set_read_timeout(Some(deadline)).map_err(broken)?;
    socket.get_mut().write_all(bytes).map_err(broken)?;
    let mut response = Response::default();
    let mut left = MAX_HEAD;
    let mut line = |socket: &mut BufReader<TcpStream>| {
        let mut line = Vec::new();
        let read = socket.take(left).read_until(b'\n', &mut line).map_err(broken)?;
        left -= read as u64;
        if read == 0 {
            return Err(ExchangeError::Connection("closed before the answer's end".into()));
        }
        Ok(line.trim_ascii_end().to_vec())
    };
    let status = String::from_utf8_lossy(&line(socket)?).into_owned();
    let mut words = status.splitn(3, ' ');
    let version = words.next().unwrap_or_default().to_owned();
    response.status = words
        .next()
        .and_then(|w| w.parse().ok())
        .ok_or_else(|| ExchangeError::Malformed("the first line has no status".to_owned()))?;
    words.next().unwrap_or_default().clone_into(&mut response.reason);
    loop {
        let line = line(socket)?;
        if line.is_empty() {
            break;
        }
        let at = line.iter().position(|b| *b == b':');
        let at =
            at.ok_or_else(|| ExchangeError::Malformed("a header without a colon".to_owned()))?;
        let (name, value) = line.split_at(at);
        let value = value.get(1..).unwrap_or_default().trim_ascii().to_vec();
        response.headers.push((String::from_utf8_lossy(name).into_owned(), value));
    }
    let text = |response: &Response, name| {
        response.header(name).map(|v| String::from_utf8_lossy(v).to_ascii_lowercase())
    };
    let mut keep =
        version == "HTTP/1.1" && text(&response, "connection").as_deref() != Some("close");
    if head_only || matches!(response.status, 100..200 | 204 | 304) {
        return Ok((response, keep));
    }
    if text(&response, "transfer-encoding").is_some() {
        return Err(ExchangeError::Malformed(
            "chunked answers want the network's client".to_owned(),
        ));
    }
    let length = text(&response, "content-length").and_then(|text| text.parse::<u64>().ok());
    keep &= length.is_some();
    let length = length.unwrap_or(MAX_BODY + 1);
    let mut body = Vec::new();
    socket.take(length.min(MAX_BODY + 1)).read_to_end(&mut body).map_err(broken)?;
    if body.len() as u64 > MAX_BODY {
        return Err(ExchangeError::TooLarge(MAX_BODY));
    }
    response.body = body;
    Ok((response, keep))
}
