//! What every test needs: an upstream, the gateway before it, and a client that speaks raw bytes.

use smesec_core::event::Event;
use smesec_core::filter::Filter;
use smesec_core::gateway::{Config, Gateway, Handle};
use smesec_core::sink::Queue;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

/// No step of a test may take longer; a gateway that hangs fails here.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Stage {
    pub(crate) address: SocketAddr,
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) handle: Handle,
    pub(crate) events: Arc<Queue>,
    running: Option<JoinHandle<bool>>,
    runtime: Runtime,
}

impl Stage {
    /// The built-in pack before this upstream.
    pub(crate) fn before(upstream: SocketAddr) -> Self {
        Self::new(&site(upstream))
    }

    pub(crate) fn new(config: &str) -> Self {
        Self::with_filters(config, Vec::new())
    }

    pub(crate) fn with_filters(config: &str, filters: Vec<Arc<dyn Filter>>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let events = Arc::new(Queue::new(10_000));
        let config = Config::parse("test.toml", config).unwrap_or_else(|e| panic!("{e}"));
        let bound = Gateway::bind_with(config, Arc::<Queue>::clone(&events), filters);
        let gateway = runtime.block_on(bound).unwrap_or_else(|e| panic!("{e}"));
        let addresses = gateway.addresses();
        let handle = gateway.handle();
        let running = Some(runtime.spawn(gateway.run()));
        Self { address: addresses[0], addresses, handle, events, running, runtime }
    }

    /// Drains the gateway; whether nothing was cut off.
    pub(crate) fn end(mut self) -> bool {
        self.handle.drain();
        self.runtime.block_on(self.running.take().unwrap()).unwrap()
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.as_ref().is_some_and(|running| !running.is_finished())
    }

    /// The next event for which `is` holds; others are let go.
    pub(crate) fn event(&self, is: impl Fn(&Event) -> bool) -> Event {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(event) = self.events.drain().into_iter().find(&is) {
                return event;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("the event did not come")
    }

    /// Waits until a counter of the metrics has this value.
    pub(crate) fn counted(&self, name: &str, value: u64) {
        let line = format!("{name} {value}");
        let deadline = Instant::now() + PATIENCE;
        while !self.handle.metrics().lines().any(|l| l == line) {
            assert!(Instant::now() < deadline, "no `{line}` in\n{}", self.handle.metrics());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        connect(self.address)
    }

    /// Sends bytes over a connection of their own and reads to its end.
    pub(crate) fn send(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut stream = self.connect();
        stream.write_all(request.as_ref()).unwrap();
        Answer::read(&mut stream)
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        self.send(format!("GET {target} HTTP/1.1\r\n{HEAD}\r\n"))
    }
}

/// What a browser sends and the rules want, and an end of the connection.
pub(crate) const HEAD: &str =
    "Host: shop.example\r\nUser-Agent: Mozilla/5.0 (X11)\r\nAccept: */*\r\nConnection: close\r\n";

pub(crate) fn site(upstream: SocketAddr) -> String {
    format!("{}{}", LISTEN, host(upstream))
}

pub(crate) const LISTEN: &str = "[gateway]\nlisten = [\"127.0.0.1:0\"]\n";

pub(crate) fn host(upstream: SocketAddr) -> String {
    format!("[[gateway.host]]\nnames = [\"*\"]\nupstream = \"http://{upstream}\"\n")
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// Whether the body was as long as its head said.
    pub(crate) whole: bool,
}

impl Answer {
    /// Reads one answer; an empty one (status 0) where the connection ended without.
    pub(crate) fn read(stream: &mut TcpStream) -> Self {
        Self::read_to("GET", &mut BufReader::new(stream))
    }

    pub(crate) fn read_to(method: &str, stream: &mut impl BufRead) -> Self {
        let Some(head) = read_head(stream) else {
            return Self { status: 0, head: String::new(), body: Vec::new(), whole: false };
        };
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let without = method == "HEAD" || status == 204 || status == 304 || status / 100 == 1;
        let (body, whole) =
            if without { (Vec::new(), true) } else { read_body(&head, stream, true) };
        Self { status, head, body, whole }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// The incident's number on a page of the gateway.
    pub(crate) fn incident(&self) -> String {
        let text = self.text();
        let (_, rest) =
            text.split_once("<code>").unwrap_or_else(|| panic!("no incident in {text}"));
        rest.split_once("</code>").unwrap().0.to_owned()
    }
}

pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

/// The first line and the headers, or nothing where the stream ends before.
pub(crate) fn read_head(stream: &mut impl BufRead) -> Option<String> {
    let mut head = String::new();
    loop {
        let mut line = Vec::new();
        match stream.read_until(b'\n', &mut line) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::ConnectionReset => return None,
            Err(e) => panic!("{e} after {head:?}"),
        }
        if line == b"\r\n" {
            return Some(head);
        }
        head.push_str(&String::from_utf8_lossy(&line));
    }
}

/// A body by its head's framing, and whether it came whole. Without framing an answer reaches to the
/// connection's end, a request has none.
pub(crate) fn read_body(head: &str, stream: &mut impl BufRead, answer: bool) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    if header(head, "transfer-encoding").is_some() {
        loop {
            let mut size = String::new();
            if stream.read_line(&mut size).unwrap_or(0) == 0 {
                return (body, false);
            }
            let size = usize::from_str_radix(size.trim(), 16).unwrap();
            let mut chunk = vec![0; size + 2];
            if stream.read_exact(&mut chunk).is_err() {
                return (body, false);
            }
            body.extend_from_slice(&chunk[..size]);
            if size == 0 {
                return (body, true);
            }
        }
    }
    match header(head, "content-length") {
        Some(length) => {
            let length = length.parse().unwrap();
            let _ = stream.take(length).read_to_end(&mut body);
            let whole = body.len() as u64 == length;
            (body, whole)
        }
        None if answer => {
            let whole = stream.read_to_end(&mut body).is_ok();
            (body, whole)
        }
        None => (body, true),
    }
}

/// A server that hands each of its connections to `serve`, in a thread of its own.
pub(crate) fn server(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, serve) = (stream.unwrap(), Arc::clone(&serve));
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.set_nodelay(true).unwrap();
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

/// A server that answers each request through `answer(head, body)`, over connections that stay.
pub(crate) fn upstream(
    answer: impl Fn(&str, &[u8]) -> Vec<u8> + Send + Sync + 'static,
) -> SocketAddr {
    server(move |stream| {
        let mut writing = stream.try_clone().unwrap();
        let mut reading = BufReader::new(stream);
        while let Some(head) = read_head(&mut reading) {
            let (body, whole) = read_body(&head, &mut reading, false);
            if !whole || writing.write_all(&answer(&head, &body)).is_err() {
                return;
            }
        }
    })
}

/// A server that repeats what it got as plain text.
pub(crate) fn echo() -> SocketAddr {
    upstream(|head, body| {
        let mut text = head.as_bytes().to_vec();
        text.extend_from_slice(b"\n");
        text.extend_from_slice(body);
        page(200, "Content-Type: text/plain\r\nX-Upstream: yes\r\n", &text)
    })
}

pub(crate) fn page(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut page =
        format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {}\r\n\r\n", body.len())
            .into_bytes();
    page.extend_from_slice(body);
    page
}
