//! HTTP/1.1 with servers that behave and servers that do not.

use crate::stage::{PATIENCE, get, network, read_request, request, says, server};
use smesec_core::client::Network;
use smesec_core::client::http1::Limits;
use smesec_core::runner::{ExchangeError, Target};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const FINE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

#[test]
fn one_connection_serves_a_session() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let address = server(move |_, mut socket| {
        counted.fetch_add(1, Ordering::SeqCst);
        while let Some((head, body)) = read_request(&socket) {
            let mut seen = head.into_bytes();
            seen.extend(body);
            write!(socket, "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nContent-Length: {}\r\n\r\n", seen.len()).unwrap();
            socket.write_all(&seen).unwrap();
        }
    });
    let network = network();
    let mut session = network.session();
    for n in 0..5 {
        let mut request = request("POST", address, &format!("/{n}"));
        request.headers = vec![("X-b".into(), b"1".to_vec()), ("x-A".into(), b"2".to_vec())];
        request.body = b"body".to_vec();
        let answer = session.exchange(&request, PATIENCE).unwrap();
        let seen = String::from_utf8(answer.body.clone()).unwrap();
        assert_eq!(
            seen,
            format!(
                "POST /{n} HTTP/1.1\r\nHost: {address}\r\nX-b: 1\r\nx-A: 2\r\nContent-Length: 4\r\n\r\nbody"
            )
        );
        let cookies =
            answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
        assert_eq!(cookies.count(), 2);
        assert!(session.on_the_wire().unwrap() > Duration::ZERO);
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    get(&mut *network.session(), address).unwrap();
    assert_eq!(connections.load(Ordering::SeqCst), 2, "each session has its own");
}

#[test]
fn a_connection_that_went_stale_is_made_anew_whatever_the_method() {
    // Each connection serves one request and is then closed without a word.
    let address = server(|_, mut socket| {
        read_request(&socket).unwrap();
        socket.write_all(FINE).unwrap();
    });
    let network = network();
    let mut session = network.session();
    for method in ["GET", "POST", "DELETE", "GET"] {
        let answer = session.exchange(&request(method, address, "/"), PATIENCE).unwrap();
        assert_eq!(answer.body, b"hi");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn only_what_changes_nothing_is_sent_again() {
    // The second request of a connection is read, and then the connection is closed.
    let address = server(|_, mut socket| {
        read_request(&socket).unwrap();
        socket.write_all(FINE).unwrap();
        read_request(&socket);
    });
    let network = network();
    let mut session = network.session();
    get(&mut *session, address).unwrap();
    assert_eq!(get(&mut *session, address).unwrap().body, b"hi");
    assert_eq!(network.sent(), 3, "what is sent again counts again");
    let told = session.exchange(&request("POST", address, "/"), PATIENCE).unwrap_err();
    assert!(matches!(told, ExchangeError::Connection(_)), "{told}");
}

#[test]
fn the_deadline_holds_against_slow_drips() {
    let patience = Duration::from_millis(300);
    let drip = |head: &'static [u8]| {
        server(move |_, mut socket| {
            read_request(&socket).unwrap();
            socket.write_all(head).unwrap();
            while socket.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        })
    };
    for head in [
        &b""[..],
        b"HTTP/1.1 200 OK\r\nA: ",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n",
    ] {
        let address = drip(head);
        let began = Instant::now();
        let told = network().session().exchange(&request("GET", address, "/"), patience);
        if head.is_empty() {
            assert!(matches!(told, Err(ExchangeError::Malformed(_))), "{told:?}");
            continue;
        }
        assert_eq!(told, Err(ExchangeError::Timeout(patience)));
        assert!(began.elapsed() >= patience && began.elapsed() < PATIENCE);
    }
    let silent = server(|_, socket| {
        read_request(&socket).unwrap();
        std::thread::sleep(PATIENCE);
    });
    let told = network().session().exchange(&request("GET", silent, "/"), patience);
    assert_eq!(told, Err(ExchangeError::Timeout(patience)));
}

#[test]
fn a_server_that_reads_nothing_is_not_waited_for() {
    let address = server(|_, socket| {
        std::thread::sleep(PATIENCE);
        drop(socket);
    });
    let mut request = request("POST", address, "/");
    request.body = vec![b'x'; 32 << 20];
    let patience = Duration::from_millis(300);
    let told = network().session().exchange(&request, patience);
    assert_eq!(told, Err(ExchangeError::Timeout(patience)));
}

#[test]
fn broken_answers_are_told() {
    let close = |bytes: &'static [u8]| {
        server(move |_, mut socket| {
            read_request(&socket).unwrap();
            socket.write_all(bytes).unwrap();
        })
    };
    let told = |bytes| get(&mut *network().session(), close(bytes)).unwrap_err().to_string();
    assert!(told(b"").contains("without an answer"));
    assert!(told(b"hello\r\n").contains("malformed answer: it does not begin"));
    assert!(
        told(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort").contains("after 5 of the 9")
    );
    assert!(
        told(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe")
            .contains("last chunk")
    );
}

#[test]
fn endless_answers_are_cut_off() {
    let address = server(|_, mut socket| {
        read_request(&socket).unwrap();
        let _ = socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while socket.write_all(&[b'x'; 4096]).is_ok() {}
    });
    let limits = Limits { body: 1 << 20, ..Limits::default() };
    let network = Network::builder().allow_private_hosts().limits(limits).build();
    let told = get(&mut *network.session(), address);
    assert_eq!(told, Err(ExchangeError::TooLarge(1 << 20)));
}

#[test]
fn a_reset_is_a_broken_connection() {
    let address = server(|_, socket| {
        // Unread bytes make the system reset instead of close.
        let mut one = [0];
        (&socket).read_exact(&mut one).unwrap();
    });
    let told = get(&mut *network().session(), address).unwrap_err();
    assert!(matches!(told, ExchangeError::Connection(_)), "{told}");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let told = get(&mut *network().session(), nobody).unwrap_err().to_string();
    assert!(told.contains("refused") && told.contains(&nobody.to_string()), "{told}");
}

#[test]
fn an_early_refusal_of_a_large_body_is_the_answer() {
    let address = server(|_, mut socket| {
        let mut some = [0; 1000];
        socket.read_exact(&mut some).unwrap();
        let answer =
            b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        socket.write_all(answer).unwrap();
        socket.shutdown(Shutdown::Write).unwrap();
        std::thread::sleep(Duration::from_millis(100));
    });
    let mut request = request("POST", address, "/");
    request.body = vec![b'x'; 32 << 20];
    let answer = network().session().exchange(&request, PATIENCE).unwrap();
    assert_eq!(answer.status, 413);
}

#[test]
fn a_body_waits_for_the_word_to_continue() {
    let address = server(|n, mut socket| {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut one = [0];
            socket.read_exact(&mut one).unwrap();
            head.push(one[0]);
        }
        if n == 0 {
            socket.write_all(b"HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n").unwrap();
            // The body must not come: the next read sees the end.
            assert_eq!(socket.read(&mut [0; 16]).unwrap(), 0);
            return;
        }
        if n == 1 {
            socket.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
        }
        let mut body = [0; 4];
        socket.read_exact(&mut body).unwrap();
        assert_eq!(&body, b"body");
        socket.write_all(FINE).unwrap();
    });
    let network = network();
    for status in [417, 200, 200] {
        let mut request = request("POST", address, "/");
        request.headers.push(("Expect".into(), b"100-continue".to_vec()));
        request.body = b"body".to_vec();
        let answer = network.session().exchange(&request, PATIENCE).unwrap();
        assert_eq!(answer.status, status);
    }
}

#[test]
fn answers_that_nobody_asked_for_are_not_taken_for_the_next() {
    let address = says([FINE, &b"HTTP/1.1 500 Smuggled\r\nContent-Length: 0\r\n\r\n"[..]].concat());
    let network = network();
    let mut session = network.session();
    for _ in 0..3 {
        assert_eq!(get(&mut *session, address).unwrap().status, 200);
    }
}
