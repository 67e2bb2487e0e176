//! Clients that dawdle, leave, or are too many.

use crate::stage::{Answer, HEAD, Stage, echo, read_head, server, site};
use std::io::{BufReader, Read, Write};
use std::time::Instant;

fn hasty(upstream: std::net::SocketAddr) -> String {
    site(upstream).replace(
        "[[gateway.host]]",
        "[gateway.timeouts]\nheader = \"300ms\"\nbody = \"300ms\"\n[[gateway.host]]",
    )
}

#[test]
fn a_head_that_trickles_is_cut_off() {
    let stage = Stage::new(&hasty(echo()));
    let mut stream = stage.connect();
    let began = Instant::now();
    for byte in "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ".bytes().chain(std::iter::repeat(b'a')) {
        if stream.write_all(&[byte]).is_err() || began.elapsed() > crate::stage::PATIENCE {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(began.elapsed() < crate::stage::PATIENCE, "the head was waited for without end");
}

#[test]
fn a_body_that_pauses_is_a_408_or_a_close() {
    let stage = Stage::new(&hasty(echo()));
    let mut stream = stage.connect();
    write!(
        stream,
        "POST / HTTP/1.1\r\n{HEAD}Content-Type: text/plain\r\nContent-Length: 10\r\n\r\nabc"
    )
    .unwrap();
    assert_eq!(Answer::read(&mut stream).status, 408);
    stage.event(|event| event.message.contains("paused"));

    let off = Stage::new(&format!("{}[waf]\nmode = \"off\"\n", hasty(echo())));
    let mut stream = off.connect();
    write!(
        stream,
        "POST / HTTP/1.1\r\n{HEAD}Content-Type: text/plain\r\nContent-Length: 10\r\n\r\nabc"
    )
    .unwrap();
    assert!([0, 408].contains(&Answer::read(&mut stream).status));
}

#[test]
fn a_client_that_leaves_is_recorded_as_aborted() {
    let stage = Stage::before(echo());
    let mut stream = stage.connect();
    write!(stream, "POST /?note=1 HTTP/1.1\r\n{HEAD}Content-Length: 10\r\n\r\nabc").unwrap();
    drop(stream);
    stage.counted("smesec_aborted_total", 1);

    // In the middle of an answer.
    let at = server(|mut stream| {
        let mut reading = BufReader::new(stream.try_clone().unwrap());
        read_head(&mut reading).unwrap();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 1000000000\r\n\r\n");
        while stream.write_all(&vec![0; 1 << 16]).is_ok() {}
    });
    let stage = Stage::before(at);
    let mut stream = stage.connect();
    write!(stream, "GET / HTTP/1.1\r\n{HEAD}\r\n").unwrap();
    stream.read_exact(&mut vec![0; 1 << 16]).unwrap();
    drop(stream);
    stage.counted("smesec_aborted_total", 1);
}

#[test]
fn who_does_not_read_its_answer_loses_its_place() {
    let at = server(|mut stream| {
        let mut reading = BufReader::new(stream.try_clone().unwrap());
        read_head(&mut reading).unwrap();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 1000000000\r\n\r\n");
        while stream.write_all(&vec![0; 1 << 16]).is_ok() {}
    });
    let text = site(at).replace(
        "[[gateway.host]]",
        "max_connections = 1\n[gateway.timeouts]\nidle = \"300ms\"\n[[gateway.host]]",
    );
    let stage = Stage::new(&text);
    let mut stream = stage.connect();
    write!(stream, "GET / HTTP/1.1\r\n{HEAD}\r\n").unwrap();
    stream.read_exact(&mut [0; 100]).unwrap();
    stage.counted("smesec_connections_open", 0);
    let mut other = stage.connect();
    write!(other, "GET / HTTP/1.1\r\n{HEAD}\r\n").unwrap();
    other.read_exact(&mut [0; 100]).unwrap();
}

#[test]
fn a_connection_of_http_2_that_asks_for_nothing_is_closed() {
    const PING: u8 = 6;
    let stage = Stage::new(&hasty(echo()));
    let mut stream = stage.connect();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    let began = Instant::now();
    let mut head = [0; 9];
    // It answers every PING (RFC 9113, section 6.7), so that it is alive.
    while began.elapsed() < crate::stage::PATIENCE && stream.read_exact(&mut head).is_ok() {
        let length = usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).unwrap();
        if head[3] == PING && head[4] & 1 == 0 {
            head[4] = 1;
            let _ = stream.write_all(&[&head[..], &payload].concat());
        }
    }
    assert!(began.elapsed() < crate::stage::PATIENCE, "it kept its place");
    stage.counted("smesec_connections_open", 0);
}

#[test]
fn too_many_wait_for_their_turn() {
    let stage = Stage::new(
        &site(echo()).replace("[[gateway.host]]", "max_connections = 2\n[[gateway.host]]"),
    );
    let open: Vec<_> = (0..2).map(|_| stage.connect()).collect();
    for mut stream in &open {
        write!(stream, "GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: x/1\r\nAccept: */*\r\n\r\n")
            .unwrap();
        assert_eq!(Answer::read(&mut stream.try_clone().unwrap()).status, 200);
    }
    let mut third = stage.connect();
    write!(third, "GET /third HTTP/1.1\r\n{HEAD}\r\n").unwrap();
    stage.counted("smesec_connections_total", 2);
    drop(open);
    assert!(Answer::read(&mut third).text().starts_with("GET /third "));
}

#[test]
fn the_proxy_protocol_tells_the_client_s_address() {
    let text = site(echo()).replace(
        "[[gateway.host]]",
        "trusted_proxies = [\"127.0.0.1\"]\nproxy_protocol = true\n[[gateway.host]]",
    );
    let stage = Stage::new(&text);
    let request = format!("GET / HTTP/1.1\r\n{HEAD}\r\n");
    let first = stage.send(format!("PROXY TCP4 203.0.113.5 192.0.2.1 4711 80\r\n{request}"));
    assert!(first.text().contains("x-real-ip: 203.0.113.5"), "{first:?}");

    let mut second = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
    second.extend_from_slice(&[203, 0, 113, 6, 192, 0, 2, 1, 0x12, 0x67, 0, 80]);
    second.extend_from_slice(request.as_bytes());
    assert!(stage.send(second).text().contains("x-real-ip: 203.0.113.6"));

    assert_eq!(stage.send(&request).status, 0, "who speaks it must speak it always");
    stage.counted("smesec_connections_refused_total", 1);
}

#[test]
fn a_websocket_is_passed_through_and_its_handshake_is_inspected() {
    let at = server(|mut stream| {
        let mut reading = BufReader::new(stream.try_clone().unwrap());
        let head = read_head(&mut reading).unwrap().to_lowercase();
        assert!(
            head.contains("upgrade: websocket") && head.contains("sec-websocket-key: x"),
            "{head}"
        );
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: y\r\n\r\n").unwrap();
        let mut frame = [0; 5];
        while reading.read_exact(&mut frame).is_ok() {
            frame.reverse();
            stream.write_all(&frame).unwrap();
        }
    });
    let text = site(at)
        .replace("[[gateway.host]]", "[gateway.timeouts]\nidle = \"400ms\"\n[[gateway.host]]");
    let stage = Stage::new(&text);
    let handshake = |target: &str| {
        format!(
            "GET {target} HTTP/1.1\r\nHost: a\r\nUser-Agent: x/1\r\nAccept: */*\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
    };
    let mut stream = stage.connect();
    stream.write_all(handshake("/chat").as_bytes()).unwrap();
    let mut reading = BufReader::new(stream.try_clone().unwrap());
    let head = read_head(&mut reading).unwrap().to_lowercase();
    assert!(head.starts_with("http/1.1 101") && head.contains("sec-websocket-accept: y"), "{head}");
    for word in ["hello", "world"] {
        stream.write_all(word.as_bytes()).unwrap();
        let mut back = [0; 5];
        reading.read_exact(&mut back).unwrap();
        back.reverse();
        assert_eq!(back, word.as_bytes());
    }
    // Nobody says anything: the tunnel ends.
    assert_eq!(reading.read_to_end(&mut Vec::new()).unwrap(), 0);
    let mut stream = stage.connect();
    stream.write_all(handshake("/chat?q=%3Cscript%3E").as_bytes()).unwrap();
    assert_eq!(Answer::read(&mut stream).status, 403);
}

#[test]
fn who_says_nothing_or_half_a_word_is_let_go() {
    let stage = Stage::new(&hasty(echo()));
    for begun in ["", "P", "PRI * HTTP/2.0\r\n\r\nSM", "GET / HTT", "GET / HTTP/1.1\r\nHost: a\r\n"]
    {
        let mut stream = stage.connect();
        stream.write_all(begun.as_bytes()).unwrap();
        // An answer such as 408 or none, but an end.
        let _ = stream.read_to_end(&mut Vec::new());
    }
    stage.counted("smesec_connections_open", 0);
}

#[test]
fn one_side_of_a_tunnel_may_end_before_the_other() {
    let at = server(|mut stream| {
        let mut reading = BufReader::new(stream.try_clone().unwrap());
        read_head(&mut reading).unwrap();
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n").unwrap();
        let mut told = String::new();
        reading.read_to_string(&mut told).unwrap();
        stream.write_all(told.to_uppercase().as_bytes()).unwrap();
    });
    let stage = Stage::before(at);
    let mut stream = stage.connect();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: x/1\r\nAccept: */*\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n").unwrap();
    let mut reading = BufReader::new(stream.try_clone().unwrap());
    assert!(read_head(&mut reading).unwrap().starts_with("HTTP/1.1 101"));
    stream.write_all(b"the last words").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut back = String::new();
    reading.read_to_string(&mut back).unwrap();
    assert_eq!(back, "THE LAST WORDS");
}
