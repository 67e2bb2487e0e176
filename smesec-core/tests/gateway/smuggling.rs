//! Requests that two servers could read differently: refused, or sent on in one form only.

use crate::stage::{Answer, HEAD, Stage, echo, site};
use std::io::{BufReader, Read, Write};

/// Sends raw bytes, shuts the sending side, and gives all that came back.
fn raw(stage: &Stage, request: &str) -> String {
    let mut stream = stage.connect();
    let _ = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn ambiguous_framing_is_refused() {
    let stage = Stage::before(echo());
    let long = "a".repeat(70_000);
    for (what, request) in [
        (
            "two lengths",
            format!(
                "POST / HTTP/1.1\r\n{HEAD}Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"
            ),
        ),
        (
            "a list of lengths",
            format!("POST / HTTP/1.1\r\n{HEAD}Content-Length: 5, 6\r\n\r\nabcdef"),
        ),
        ("a sign", format!("POST / HTTP/1.1\r\n{HEAD}Content-Length: +5\r\n\r\nabcde")),
        (
            "a hexadecimal length",
            format!("POST / HTTP/1.1\r\n{HEAD}Content-Length: 0x5\r\n\r\nabcde"),
        ),
        (
            "an unknown coding",
            format!("POST / HTTP/1.1\r\n{HEAD}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            "a coding before chunked",
            format!("POST / HTTP/1.1\r\n{HEAD}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            "two codings",
            format!(
                "POST / HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n"
            ),
        ),
        (
            "a blank before the colon",
            format!("POST / HTTP/1.1\r\n{HEAD}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            "a folded line",
            format!("POST / HTTP/1.1\r\n{HEAD}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            "a bare carriage return",
            format!("POST / HTTP/1.1\r\n{HEAD}X: a\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            "no host",
            "GET / HTTP/1.1\r\nUser-Agent: x/1\r\nAccept: */*\r\nConnection: close\r\n\r\n"
                .to_owned(),
        ),
        ("two hosts", format!("GET / HTTP/1.1\r\n{HEAD}Host: other.example\r\n\r\n")),
        (
            "chunked in 1.0",
            format!("POST / HTTP/1.0\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ),
        ("a nul", format!("GET / HTTP/1.1\r\n{HEAD}X: a\0b\r\n\r\n")),
        ("a head without end", format!("GET / HTTP/1.1\r\n{HEAD}X: {long}\r\n\r\n")),
        ("a tunnel", format!("CONNECT shop.example:443 HTTP/1.1\r\n{HEAD}\r\n")),
        (
            "a broken chunk size",
            format!(
                "POST / HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n5g\r\nabcde\r\n0\r\n\r\n"
            ),
        ),
        (
            "a chunk longer than its size",
            format!(
                "POST / HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n"
            ),
        ),
    ] {
        let answer = raw(&stage, &request);
        let status = answer.split(' ').nth(1).unwrap_or("none").to_owned();
        assert!(status.starts_with('4') || status == "none", "{what} was answered with {answer}");
        assert!(!answer.contains("smuggled"), "{what}: {answer}");
    }
}

#[test]
fn what_goes_on_has_one_framing() {
    let stage = Stage::before(echo());
    for framing in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
    ] {
        let rest = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
        let both = raw(
            &stage,
            &format!(
                "POST /both HTTP/1.1\r\n{HEAD}Content-Type: text/plain\r\n{framing}\r\n\r\n{rest}"
            ),
        );
        assert!(!both.contains("smuggled"), "{both}");
        let seen = both.to_lowercase();
        let (_, seen) = seen.split_once("\r\n\r\n").unwrap();
        let refused = both.starts_with("HTTP/1.1 400");
        assert!(
            refused || !seen.contains("transfer-encoding") && !seen.contains("content-length: 5"),
            "{both}"
        );
    }
    let chunked = raw(
        &stage,
        &format!(
            "POST / HTTP/1.1\r\n{HEAD}Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nX-Trailer: 1\r\n\r\n"
        ),
    );
    let lower = chunked.to_lowercase();
    let (_, seen) = lower.split_once("\r\n\r\n").unwrap();
    assert!(
        seen.contains("content-length: 3\r\n") ^ seen.contains("transfer-encoding: chunked\r\n"),
        "{seen}"
    );
    assert!(seen.ends_with("abc") && !seen.contains("x-trailer"), "{seen}");

    let same = raw(
        &stage,
        &format!(
            "POST / HTTP/1.1\r\n{HEAD}Content-Type: text/plain\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc"
        ),
    );
    let count = same.to_lowercase().matches("content-length: 3\r\n").count();
    assert!(same.starts_with("HTTP/1.1 4") || count == 1, "{same}");
}

#[test]
fn words_between_hops_stay_between_them() {
    let stage = Stage::before(echo());
    let text = raw(&stage, "GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: x/1\r\nAccept: */*\r\nConnection: close, X-Hop, Cookie\r\nX-Hop: 1\r\nCookie: a=b\r\n\
Keep-Alive: 5\r\nProxy-Connection: close\r\nTE: trailers\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\
X_Forwarded_For: 9.9.9.9\r\nX-Forwarded-For: 8.8.8.8\r\nForwarded: for=7.7.7.7\r\nX-Forwarded-Host: evil.example\r\n\r\n").to_lowercase();
    let (_, seen) = text.split_once("\r\n\r\n").unwrap();
    for word in [
        "x-hop",
        "keep-alive",
        "proxy-connection",
        "\nte:",
        "upgrade",
        "9.9.9.9",
        "8.8.8.8",
        "7.7.7.7",
        "evil.example",
    ] {
        assert!(!seen.contains(word), "`{word}` went on: {seen}");
    }
    assert!(seen.contains("cookie: a=b"), "what was inspected is what goes on: {seen}");
}

#[test]
fn a_request_after_a_refused_one_is_not_read_from_its_body() {
    let text = site(echo())
        .replace("[[gateway.host]]", "[gateway.timeouts]\nheader = \"300ms\"\n[[gateway.host]]");
    let stage = Stage::new(&text);
    let mut stream = stage.connect();
    let hidden = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";
    write!(stream, "POST /?q=%3Cscript%3E HTTP/1.1\r\nHost: a\r\nUser-Agent: x/1\r\nAccept: */*\r\nContent-Length: {}\r\n\r\n{hidden}", hidden.len()).unwrap();
    let mut reading = BufReader::new(stream);
    assert_eq!(Answer::read_to("GET", &mut reading).status, 403);
    let mut rest = String::new();
    let _ = reading.read_to_string(&mut rest);
    assert!(!rest.contains("hidden"), "{rest}");
}

#[test]
fn a_chunk_without_a_length_is_answered_and_told() {
    for mode in ["block", "off"] {
        let stage = Stage::new(&format!("{}mode = \"{mode}\"\n", site(echo())));
        for (n, chunk) in [(1, "zz\r\n"), (2, "0x3\r\nabc\r\n0\r\n\r\n")] {
            let mut stream = stage.connect();
            write!(stream, "POST /?n={n} HTTP/1.1\r\nHost: a\r\nUser-Agent: x/1\r\nAccept: */*\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n{chunk}").unwrap();
            assert_eq!(Answer::read_to("POST", &mut BufReader::new(stream)).status, 400);
            let event = stage.event(|event| event.message.contains("body is not well formed"));
            assert_eq!(event.extra["status"], 400);
        }
    }
}

#[test]
fn a_host_header_with_markup_reaches_no_site() {
    let stage = Stage::new(&format!("{}mode = \"off\"\n", site(echo())));
    for host in ["a\"><script>", "user@a", "a:80:90", "[::1", "a/b"] {
        let mut stream = stage.connect();
        write!(stream, "GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
        assert_eq!(Answer::read_to("GET", &mut BufReader::new(stream)).status, 400, "{host}");
        stage.event(|event| event.message.contains("`Host`"));
    }
}

#[test]
fn what_could_not_be_read_is_told_too() {
    let stage = Stage::before(echo());
    assert_eq!(stage.get("/\"><script>").status, 400);
    let event = stage.event(|event| event.message.contains("not well formed"));
    assert_eq!(event.extra["status"], 400);
    // It may close before all of it is written.
    let mut stream = stage.connect();
    let _ = write!(stream, "GET / HTTP/1.1\r\nHost: a\r\nX-Long: {}\r\n\r\n", "a".repeat(70_000));
    stage.event(|event| event.extra.get("status") == Some(&431.into()));
    stage.counted("smesec_unreadable_total", 2);
}
