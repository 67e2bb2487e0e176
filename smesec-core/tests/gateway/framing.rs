//! What an upstream says of its answer's length and of its headers, and what of it goes on.

use crate::stage::{Answer, Stage, read_head, server, upstream};
use std::fmt::Write as _;
use std::io::{BufReader, Write};

#[test]
fn a_length_beside_chunks_does_not_go_on() {
    // RFC 9112, section 6.3: chunks override the length, and the length is removed before it is forwarded.
    let at = upstream(|_, _| {
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\nContent-Type: application/octet-stream\r\n\r\n14\r\nAAAAAAAAAAAAAAAAAAAA\r\n0\r\n\r\n".to_vec()
    });
    let stage = Stage::before(at);
    let mut stream = stage.connect();
    let mut reading = BufReader::new(stream.try_clone().unwrap());
    // Twice over one connection: what is left of the first body would stand before the second answer.
    for _ in 0..2 {
        stream
            .write_all(
                b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: Mozilla/5.0 (X11)\r\nAccept: */*\r\n\r\n",
            )
            .unwrap();
        let answer = Answer::read_to("GET", &mut reading);
        assert_eq!((answer.status, answer.text().len()), (200, 20), "{answer:?}");
        assert_eq!(answer.header("content-length"), None);
        assert!(answer.whole);
    }
}

#[test]
fn an_answer_may_have_as_many_headers_as_a_request() {
    let at = server(|mut stream| {
        let mut reading = BufReader::new(stream.try_clone().unwrap());
        let Some(head) = read_head(&mut reading) else { return };
        let many: usize = head.split(['/', ' ']).nth(2).unwrap().parse().unwrap();
        let lines = (3..=many).fold(String::new(), |mut lines, n| {
            let _ = write!(lines, "Link: </{n}.css>\r\n");
            lines
        });
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Last: yes\r\n{lines}\r\n");
        let _ = stream.write_all(head.as_bytes());
    });
    let stage = Stage::before(at);
    let most = stage.get("/128");
    assert_eq!((most.status, most.head.matches("link: ").count()), (200, 126));
    assert_eq!(stage.get("/129").status, 502, "bounded all the same");
}
