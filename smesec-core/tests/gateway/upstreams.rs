//! Servers that are gone, slow, or die.

use crate::stage::{HEAD, LISTEN, Stage, echo, page, read_body, read_head, server, site, upstream};
use std::io::{BufReader, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A port below those that the system hands out, so that no test beside takes it, and where nobody listens.
fn nowhere() -> SocketAddr {
    let mut ports = (1..1_024).map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    ports.find(|at| std::net::TcpStream::connect(at).is_err()).unwrap()
}

#[test]
fn a_dead_upstream_is_a_502_with_an_incident_and_an_event() {
    let stage = Stage::before(nowhere());
    let answer = stage.get("/");
    assert_eq!(answer.status, 502);
    let event = stage.event(|event| event.extra["incident"] == answer.incident().as_str());
    assert!(event.message.contains("could not be reached"), "{}", event.message);
    assert!(!answer.text().contains("127.0.0.1"), "nothing of the inside is told");
    stage.counted("smesec_upstream_failures_total", 1);
}

#[test]
fn a_silent_upstream_is_a_504() {
    let at = server(|mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let stage =
        Stage::new(&site(at).replace(
            "[[gateway.host]]",
            "[gateway.timeouts]\nupstream = \"200ms\"\n[[gateway.host]]",
        ));
    let answer = stage.get("/");
    assert_eq!(answer.status, 504);
    stage.event(|event| event.message.contains("did not answer in time"));

    let text = site(at)
        .replace("[[gateway.host]]", "[gateway.timeouts]\nupstream = \"200ms\"\n[[gateway.host]]");
    let off = Stage::new(&format!("{text}[waf]\nmode = \"off\"\n"));
    let sent = off.send(format!(
        "POST / HTTP/1.1\r\n{HEAD}Content-Type: text/plain\r\nContent-Length: 3\r\n\r\nabc"
    ));
    assert_eq!(sent.status, 504, "the body has gone, so that the upstream is waited for");
}

#[test]
fn an_upstream_that_dies_in_the_middle_is_never_a_clean_end() {
    let at = server(|mut stream| {
        let mut reading = BufReader::new(stream.try_clone().unwrap());
        let head = read_head(&mut reading).unwrap();
        let framing = if head.starts_with("GET /chunks") {
            "Transfer-Encoding: chunked\r\n\r\n5\r\n"
        } else {
            "Content-Length: 100\r\n\r\n"
        };
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n{framing}abc")
            .unwrap();
    });
    let stage = Stage::before(at);
    for target in ["/length", "/chunks"] {
        let answer = stage.get(target);
        assert!(!answer.whole, "{answer:?}");
        stage.event(|event| event.message.contains("broke off"));
    }
    stage.counted("smesec_aborted_total", 2);
    stage.counted("smesec_upstream_failures_total", 2);
}

#[test]
fn an_answer_that_is_no_http_is_a_502() {
    let at = server(|mut stream| {
        let mut reading = BufReader::new(stream.try_clone().unwrap());
        let _ = read_head(&mut reading);
        let _ = stream.write_all(b"SSH-2.0-x\r\n\r\n");
    });
    assert_eq!(Stage::before(at).get("/").status, 502);
}

#[test]
fn of_two_servers_one_may_be_dead() {
    let alive = echo();
    let stage = Stage::new(&format!(
        "{LISTEN}[[gateway.host]]\nnames = [\"*\"]\nupstream = [\"http://{}\", \"http://{alive}\"]\n",
        nowhere()
    ));
    for n in 0..10 {
        assert_eq!(stage.get(&format!("/{n}")).status, 200);
        let body = stage.send(format!(
            "POST / HTTP/1.1\r\n{HEAD}Content-Type: text/plain\r\nContent-Length: 3\r\n\r\nabc"
        ));
        assert_eq!(body.status, 200);
    }
    stage.counted("smesec_upstream_failures_total", 0);
}

#[test]
fn turns_are_taken() {
    let (first, second) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let counting = |count: &Arc<AtomicU32>| {
        let count = Arc::clone(count);
        upstream(move |_, _| {
            count.fetch_add(1, Ordering::SeqCst);
            page(200, "", b"")
        })
    };
    let stage = Stage::new(&format!(
        "{LISTEN}[[gateway.host]]\nnames = [\"*\"]\nupstream = [\"http://{}\", \"http://{}\"]\n",
        counting(&first),
        counting(&second)
    ));
    for _ in 0..10 {
        assert_eq!(stage.get("/").status, 200);
    }
    assert_eq!((first.load(Ordering::SeqCst), second.load(Ordering::SeqCst)), (5, 5));
}

#[test]
fn a_connection_that_the_server_closed_meanwhile_is_no_failure() {
    // Each connection serves one request and is closed without a word.
    let at = server(|mut stream| {
        let mut reading = BufReader::new(stream.try_clone().unwrap());
        let Some(head) = read_head(&mut reading) else { return };
        let (body, _) = read_body(&head, &mut reading, false);
        let _ = stream.write_all(&page(200, "", &body));
    });
    let stage = Stage::before(at);
    for n in 0..50 {
        assert_eq!(stage.get(&format!("/{n}")).status, 200);
        let put = format!(
            "PUT /{n} HTTP/1.1\r\n{HEAD}Content-Type: text/plain\r\nContent-Length: 3\r\n\r\nabc"
        );
        let answer = stage.send(put);
        assert_eq!((answer.status, answer.text().as_str()), (200, "abc"));
    }
}
