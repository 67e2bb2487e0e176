//! A target over plain sockets, for the tests: HTTP/1.1, keep-alive, one place for every host's name.

use smesec_core::runner::{ExchangeError, Request, Response, Session, Target};
use smesec_core::time::Timestamp;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Sends every request to one address, whatever host it names.
pub struct Wire {
    pub address: SocketAddr,
}

impl Target for Wire {
    fn session(&self) -> Box<dyn Session> {
        Box::new(WireSession { address: self.address, open: None })
    }
}

struct WireSession {
    address: SocketAddr,
    open: Option<BufReader<TcpStream>>,
}

/// Bytes of an answer.
const LARGEST: u64 = 8 << 20;

impl Session for WireSession {
    fn exchange(
        &mut self,
        request: &Request,
        deadline: Duration,
    ) -> Result<Response, ExchangeError> {
        let end = Instant::now() + deadline;
        let outcome = self.once(request, end);
        if outcome.is_err() {
            self.open = None;
        }
        outcome.map_err(|e| match e {
            Fault::Io(e)
                if matches!(
                    e.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) =>
            {
                ExchangeError::Timeout(deadline)
            }
            Fault::Io(e) => ExchangeError::Connection(e.to_string()),
            Fault::Malformed(why) => ExchangeError::Malformed(why.to_owned()),
            Fault::TooLarge => ExchangeError::TooLarge(LARGEST),
        })
    }

    fn wait(&mut self, pause: Duration) {
        std::thread::sleep(pause);
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_system_clock()
    }
}

enum Fault {
    Io(std::io::Error),
    Malformed(&'static str),
    TooLarge,
}

impl From<std::io::Error> for Fault {
    fn from(e: std::io::Error) -> Self {
        Self::Io(e)
    }
}

impl WireSession {
    fn once(&mut self, request: &Request, end: Instant) -> Result<Response, Fault> {
        let mut stream = if let Some(stream) = self.open.take() {
            stream
        } else {
            let stream = TcpStream::connect_timeout(&self.address, left(end)?)?;
            stream.set_nodelay(true)?;
            BufReader::new(stream)
        };
        stream.get_ref().set_write_timeout(Some(left(end)?))?;
        stream.get_ref().write_all(&written(request))?;
        let response = read(&mut stream, request.method == "HEAD", end)?;
        let closes =
            response.header("connection").is_some_and(|v| v.eq_ignore_ascii_case(b"close"));
        if !closes {
            self.open = Some(stream);
        }
        Ok(response)
    }
}

fn left(end: Instant) -> Result<Duration, Fault> {
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() {
        Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into())
    } else {
        Ok(left)
    }
}

fn written(request: &Request) -> Vec<u8> {
    let rest = request.url.split_once("://").map_or("", |(_, rest)| rest);
    let (host, path) = match rest.find(['/', '?']) {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let mut out = format!("{} {path} HTTP/1.1\r\nHost: {host}\r\n", request.method).into_bytes();
    for (name, value) in &request.headers {
        out.extend_from_slice(format!("{name}: ").as_bytes());
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    if !request.body.is_empty() || !matches!(request.method.as_str(), "GET" | "HEAD") {
        out.extend_from_slice(format!("Content-Length: {}\r\n", request.body.len()).as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(&request.body);
    out
}

fn line(stream: &mut BufReader<TcpStream>, end: Instant) -> Result<String, Fault> {
    stream.get_ref().set_read_timeout(Some(left(end)?))?;
    let mut line = Vec::new();
    let read = stream.by_ref().take(64 << 10).read_until(b'\n', &mut line)?;
    if read == 0 {
        return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
    }
    if line.last() != Some(&b'\n') {
        return Err(Fault::Malformed("a line without an end"));
    }
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}

fn read(stream: &mut BufReader<TcpStream>, no_body: bool, end: Instant) -> Result<Response, Fault> {
    let first = line(stream, end)?;
    let mut words = first.splitn(3, ' ');
    if !words.next().is_some_and(|version| version.starts_with("HTTP/1.")) {
        return Err(Fault::Malformed("no status line"));
    }
    let status = words.next().and_then(|status| status.parse().ok());
    let status = status.ok_or(Fault::Malformed("no status"))?;
    let mut response = Response { status, ..Response::default() };
    words.next().unwrap_or_default().clone_into(&mut response.reason);
    loop {
        let field = line(stream, end)?;
        if field.is_empty() {
            break;
        }
        let (name, value) =
            field.split_once(':').ok_or(Fault::Malformed("a header without `:`"))?;
        response.headers.push((name.to_owned(), value.trim().as_bytes().to_vec()));
        if response.headers.len() > 1_000 {
            return Err(Fault::TooLarge);
        }
    }
    if no_body || matches!(status, 204 | 304) {
        return Ok(response);
    }
    let number = |value: &[u8]| std::str::from_utf8(value).ok()?.trim().parse::<u64>().ok();
    if response.header("transfer-encoding").is_some() {
        loop {
            let size = line(stream, end)?;
            let size = u64::from_str_radix(size.trim(), 16);
            let size = size.map_err(|_| Fault::Malformed("no size of a chunk"))?;
            take(stream, size, &mut response.body, end)?;
            line(stream, end)?;
            if size == 0 {
                return Ok(response);
            }
        }
    }
    if let Some(length) = response.header("content-length") {
        let length = number(length).ok_or(Fault::Malformed("no length"))?;
        take(stream, length, &mut response.body, end)?;
        return Ok(response);
    }
    // Until the connection ends.
    loop {
        stream.get_ref().set_read_timeout(Some(left(end)?))?;
        let mut piece = [0; 4096];
        let n = stream.read(&mut piece)?;
        if n == 0 {
            return Ok(response);
        }
        response.body.extend_from_slice(&piece[..n]);
        if response.body.len() as u64 > LARGEST {
            return Err(Fault::TooLarge);
        }
    }
}

fn take(
    stream: &mut BufReader<TcpStream>,
    length: u64,
    out: &mut Vec<u8>,
    end: Instant,
) -> Result<(), Fault> {
    if out.len() as u64 + length > LARGEST {
        return Err(Fault::TooLarge);
    }
    let mut missing = length;
    while missing > 0 {
        stream.get_ref().set_read_timeout(Some(left(end)?))?;
        let piece = stream.fill_buf()?;
        if piece.is_empty() {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
        }
        let n = piece.len().min(usize::try_from(missing).unwrap_or(usize::MAX));
        out.extend_from_slice(&piece[..n]);
        stream.consume(n);
        missing -= n as u64;
    }
    Ok(())
}
