//! What an upstream says of its answer's length and of its headers, and what of it goes on.

use crate::stage::{Answer, Stage, upstream};
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
