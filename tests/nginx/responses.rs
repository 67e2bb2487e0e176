//! Responses that are held, and those that stream.

use crate::harness::{Backend, connect, read_answer};
use crate::{module_or_return, server};
use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

#[test]
fn responses_are_held_until_their_verdict() {
    module_or_return!();
    let backend = Backend::start(|request, stream| {
        let chunk = |stream: &mut std::net::TcpStream, text: &str| {
            let _ = write!(stream, "{:x}\r\n{text}\r\n", text.len());
            std::thread::sleep(Duration::from_millis(30));
        };
        let head = |stream: &mut std::net::TcpStream, more: &str| {
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n{more}\r\n"
            );
        };
        match request.target.as_str() {
            "/split" => {
                head(stream, "");
                chunk(stream, "<p>the sec");
                chunk(stream, "ret</p>");
            }
            "/early" => {
                head(stream, "");
                chunk(stream, "secret");
                for _ in 0..30 {
                    let _ = write!(stream, "{:x}\r\n{}\r\n", 10_000, "y".repeat(10_000));
                }
            }
            "/long" | "/late" => {
                head(stream, "");
                for _ in 0..30 {
                    let _ = write!(stream, "{:x}\r\n{}\r\n", 10_000, "y".repeat(10_000));
                }
                chunk(stream, if request.target == "/late" { "secret" } else { "end" });
            }
            "/leak" => head(stream, "X-Leak: yes\r\n"),
            _ => {
                head(stream, "");
                chunk(stream, "<p>all ");
                chunk(stream, "well</p>");
            }
        }
        let _ = stream.write_all(b"0\r\n\r\n");
    });
    for more in [
        "",
        "gzip on; gzip_types *; gzip_min_length 1;",
        "proxy_buffering off;",
        "smesec_thread_pool off;",
        "smesec_thread_pool default 1;",
        "smesec_thread_pool default 1; proxy_buffering off;",
        "smesec_thread_pool default 1; proxy_buffers 4 4k; proxy_busy_buffers_size 8k; proxy_max_temp_file_size 0;",
        "error_page 502 /sorry;",
    ] {
        let nginx = server(&format!(
            "{more} location / {{ proxy_pass http://127.0.0.1:{}; proxy_http_version 1.1; }} \
            location /watched/ {{ smesec detect; proxy_pass http://127.0.0.1:{}/; }} \
            location /static {{ root ROOT; default_type text/html; }} location /sorry {{ return 200 sorry; }}",
            backend.port, backend.port
        ));
        assert_eq!(nginx.get("/well"), (200, "<p>all well</p>".to_owned()), "{more}");
        let (status, text) = nginx.get("/split");
        assert!(status == 502 && !text.contains("the sec"), "{more}: {status} {text}");
        assert_eq!(nginx.get("/leak").0, 500);
        let (status, text) = nginx.get("/long");
        assert!(
            status == 200 && text.len() == 300_003 && text.ends_with("yend"),
            "{status} {}",
            text.len()
        );
        assert_eq!(nginx.get("/late").0, 200, "beyond the limit: ProcessPartial");
        let (status, text) = nginx.get("/early");
        assert!(status == 502 && text.len() < 1_000, "{more}: {status} {}", text.len());
        assert_eq!(nginx.get("/watched/split"), (200, "<p>the secret</p>".to_owned()));
        // A static file, which nginx would send without looking at it.
        nginx.write("html/static/good.html", "good ".repeat(10_000).as_bytes());
        nginx.write("html/static/bad.html", ("bad ".repeat(10_000) + "secret").as_bytes());
        assert_eq!(nginx.get("/static/good.html").1.len(), 50_000);
        let (status, text) = nginx.get("/static/bad.html");
        assert!(status == 502 && !text.contains("bad bad"), "{status}");
        assert_eq!(nginx.ask(b"HEAD /static/good.html HTTP/1.0\r\nHost: a\r\n\r\n").status, 200);
        assert_eq!(nginx.get("/static/none.html").0, 404);
        let compressed =
            nginx.ask(b"GET /well HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
        assert_eq!(compressed.header("content-encoding").is_some(), more.starts_with("gzip"));
        nginx.no_worker_died();
    }
}

#[test]
fn what_is_not_held_streams() {
    module_or_return!();
    let backend = Backend::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\nfirst");
        std::thread::sleep(Duration::from_secs(2));
        let _ = stream.write_all(b"second");
    });
    let nginx = server(&format!(
        "smesec detect; proxy_buffering off; location / {{ proxy_pass http://127.0.0.1:{}; }}",
        backend.port
    ));
    let began = Instant::now();
    let mut stream = connect(nginx.port);
    stream.write_all(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n").unwrap();
    let mut got = Vec::new();
    let mut piece = [0; 4096];
    while !String::from_utf8_lossy(&got).contains("first") {
        let n = stream.read(&mut piece).unwrap();
        assert!(n > 0);
        got.extend_from_slice(&piece[..n]);
    }
    assert!(
        began.elapsed() < Duration::from_millis(1_500),
        "the first piece waited for the second"
    );
    stream.read_to_end(&mut got).unwrap();
    assert!(String::from_utf8_lossy(&got).ends_with("firstsecond"));
}

#[test]
fn parts_of_a_held_file_are_the_whole_of_it() {
    module_or_return!();
    for more in ["", "smesec_thread_pool default 1;"] {
        let nginx = server(&format!("{more} location / {{ root ROOT; default_type text/plain; }}"));
        nginx.write("html/good.txt", "0123456789".repeat(20_000).as_bytes());
        for range in ["bytes=80-87", "bytes=0-1,5-6", "bytes=900000-"] {
            let mut stream = connect(nginx.port);
            for n in 0..2 {
                write!(stream, "GET /good.txt HTTP/1.1\r\nHost: a\r\nRange: {range}\r\n\r\n")
                    .unwrap();
                let answer = read_answer(&mut stream);
                assert_eq!((answer.status, answer.text().len()), (200, 200_000), "{range} {n}");
            }
        }
        nginx.no_worker_died();
    }
}

#[test]
fn slices_of_a_response_are_pieces_of_it() {
    module_or_return!();
    let nginx = server(
        "slice 4k; location / { proxy_set_header Range $slice_range; proxy_http_version 1.1; \
        proxy_pass http://127.0.0.1:PORT/files/; } \
        location /files/ { smesec off; root ROOT; default_type text/plain; slice 0; }",
    );
    nginx.write("html/files/good.txt", "0123456789".repeat(2_000).as_bytes());
    nginx.write("html/files/bad.txt", ("0123456789".repeat(1_000) + "secret").as_bytes());
    assert_eq!(nginx.get("/good.txt"), (200, "0123456789".repeat(2_000)));
    let part = nginx.ask(b"GET /good.txt HTTP/1.1\r\nHost: a\r\nRange: bytes=5000-5004\r\n\r\n");
    assert_eq!((part.status, part.text().as_str()), (206, "01234"));
    assert_eq!(nginx.get("/bad.txt").0, 200, "the head is gone before the slices come");
    let event = nginx.settled("events.json", 1);
    assert!(event.contains("\"id\":\"3\""), "but it is told: {event}");
    nginx.no_worker_died();
}

#[test]
fn an_answer_that_its_body_stopped_ends_its_connection_and_says_so() {
    module_or_return!();
    let nginx = server("location / { root ROOT; default_type text/html; }");
    nginx.write("html/bad.html", b"the secret");
    let answer = nginx.ask(b"GET /bad.html HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((answer.status, answer.header("connection")), (502, Some("close")));
}

#[test]
fn an_upstream_that_breaks_off_is_cut_off_here_too() {
    module_or_return!();
    let backend = Backend::start(|request, stream| {
        let text = if request.target == "/bad" { "the secret" } else { "the part" };
        let _ = write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 1000\r\n\r\n{text}"
        );
    });
    for more in ["", "proxy_buffering off;", "smesec_thread_pool default 1;"] {
        let nginx = server(&format!(
            "{more} location / {{ proxy_pass http://127.0.0.1:{}; }}",
            backend.port
        ));
        let answer = nginx.ask(b"GET /part HTTP/1.0\r\nHost: a\r\n\r\n");
        assert_eq!((answer.status, answer.text().as_str()), (200, "the part"), "{more}");
        assert!(!nginx.ask(b"GET /bad HTTP/1.0\r\nHost: a\r\n\r\n").text().contains("secret"));
        nginx.no_worker_died();
    }
}
