//! Servers that do what a test wants, on threads of their own.

use smesec_core::client::Network;
use smesec_core::runner::{ExchangeError, Request, Response, Session};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// Longer than anything here takes, also on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Serves each connection with `serve`, told which one it is, from 0.
pub(crate) fn server(
    serve: impl Fn(usize, TcpStream) + Send + Sync + Clone + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for (n, socket) in listener.incoming().enumerate() {
            let (serve, socket) = (serve.clone(), socket.unwrap());
            std::thread::spawn(move || serve(n, socket));
        }
    });
    address
}

/// Says `answer` to every request, as long as the client asks.
pub(crate) fn says(answer: impl Into<Vec<u8>>) -> SocketAddr {
    let answer = answer.into();
    server(move |_, mut socket| {
        while read_request(&socket).is_some() {
            if socket.write_all(&answer).is_err() {
                return;
            }
        }
    })
}

/// A request's head and body; `None` when the client has hung up.
pub(crate) fn read_request(socket: &TcpStream) -> Option<(String, Vec<u8>)> {
    // One byte at a time, so that nothing of the next request is taken.
    let mut reader = BufReader::with_capacity(1, socket);
    let (mut head, mut line) = (String::new(), String::new());
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        head.push_str(&line);
        if line == "\r\n" {
            break;
        }
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().unwrap())
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}

pub(crate) fn network() -> Network {
    Network::builder().allow_private_hosts().build()
}

pub(crate) fn request(method: &str, address: SocketAddr, path: &str) -> Request {
    let url = format!("http://{address}{path}");
    Request { method: method.into(), url, ..Request::default() }
}

pub(crate) fn get(
    session: &mut dyn Session,
    address: SocketAddr,
) -> Result<Response, ExchangeError> {
    session.exchange(&request("GET", address, "/"), PATIENCE)
}
