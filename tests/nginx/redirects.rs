//! What nginx makes of a request inside: redirects, error pages, decoys, subrequests, upgrades.

use crate::harness::{Backend, connect};
use crate::{body, module_or_return, server};
use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

#[test]
fn internal_redirects_keep_their_transaction() {
    module_or_return!();
    let nginx = server(
        "root ROOT; error_page 404 /fallback; error_page 403 /blocked.html; \
        location = /fallback { return 200 fallback; } \
        location = /blocked.html { internal; } \
        location /named { try_files /none @named; } location @named { return 200 named; } \
        location /rewritten { rewrite ^ /target last; } location /target { return 200 target; } \
        location /unguarded { smesec off; rewrite ^ /target last; } \
        location / { index index.html; }",
    );
    nginx.write("html/index.html", b"the index");
    nginx.write("html/blocked.html", b"our own page");
    assert_eq!(nginx.get("/"), (200, "the index".to_owned()));
    assert_eq!(nginx.get("/nothing"), (404, "fallback".to_owned()));
    assert_eq!(nginx.get("/?q=evil"), (403, "our own page".to_owned()));
    assert_eq!(nginx.get("/named"), (200, "named".to_owned()));
    assert_eq!(nginx.get("/named?q=evil").0, 403);
    assert_eq!(nginx.get("/rewritten"), (200, "target".to_owned()));
    assert_eq!(nginx.get("/unguarded?q=evil").0, 403, "the second location is guarded");
    let events = nginx.settled("events.json", 3);
    assert_eq!(events.lines().count(), 3, "one event for each that was stopped: {events}");
}

#[test]
fn error_pages_answer_at_once_and_lead_past_nothing() {
    module_or_return!();
    let backend = Backend::start(|request, stream| {
        let text = format!("app {}", request.body.len());
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
    });
    let nginx = server(&format!(
        "root ROOT; client_max_body_size 20k; client_body_timeout 1s; client_body_buffer_size 1k; \
        error_page 400 408 413 /sorry; location = /sorry {{ return 200 sorry; }} location / {{ return 200 hello; }} \
        location /page {{ smesec off; error_page 404 = @app; }} location /file.html {{ smesec off; }} \
        location @app {{ proxy_pass http://127.0.0.1:{}; }}",
        backend.port
    ));
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    let began = Instant::now();
    let large = format!("{head}Transfer-Encoding: chunked\r\n\r\n8000\r\n{}", "x".repeat(0x8000));
    assert_eq!(nginx.ask(large.as_bytes()).status, 413);
    let broken = format!("{head}Transfer-Encoding: chunked\r\n\r\n4\r\nnote\r\nzz\r\n");
    assert_eq!(nginx.ask(broken.as_bytes()).status, 400);
    let attack = format!("{head}Transfer-Encoding: chunked\r\n\r\n9\r\nnote=evil\r\nzz\r\n");
    let status = nginx.ask(attack.as_bytes()).status;
    assert!(status == 400 || status == 406, "{status}");
    let late = format!("{head}Content-Length: 100\r\n\r\nnote=");
    let status = nginx.ask(late.as_bytes()).status;
    assert!(status == 408 || status == 0, "{status}");
    assert_eq!(nginx.ask(b"GARBAGE\r\n\r\n").status, 400);
    assert_eq!(nginx.post("/", &vec![b'x'; 30_000]).0, 413);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());

    // A location that is not guarded leads to one that is.
    assert_eq!(nginx.get("/page"), (200, "app 0".to_owned()));
    assert_eq!(nginx.get("/page?q=evil").0, 403);
    nginx.no_worker_died();
}

#[test]
fn a_websocket_is_untouched_after_its_handshake() {
    module_or_return!();
    let backend = Backend::start(|_, stream| {
        let _ = stream.write_all(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        );
        let mut piece = [0; 64];
        while let Ok(n @ 1..) = stream.read(&mut piece) {
            let _ = stream.write_all(&piece[..n]);
        }
    });
    let nginx = server(&format!(
        "location / {{ proxy_pass http://127.0.0.1:{}; proxy_http_version 1.1; \
        proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }}",
        backend.port
    ));
    let upgrade = |target: &str| {
        format!(
            "GET {target} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
        )
    };
    assert_eq!(nginx.ask(upgrade("/?q=evil").as_bytes()).status, 403);
    let mut stream = connect(nginx.port);
    stream.write_all(upgrade("/").as_bytes()).unwrap();
    let mut got = Vec::new();
    while !got.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        got.push(byte[0]);
    }
    assert!(got.starts_with(b"HTTP/1.1 101"));
    for word in ["evil", "secret", "anything"] {
        stream.write_all(word.as_bytes()).unwrap();
        let mut echo = vec![0; word.len()];
        stream.read_exact(&mut echo).unwrap();
        assert_eq!(echo, word.as_bytes());
    }
}

#[test]
fn subrequests_are_nginx_own() {
    module_or_return!();
    let nginx = server(
        "root ROOT; location / { ssi on; index page.html; } \
        location /part { return 200 'part with evil'; } \
        location /checked { auth_request /auth; return 200 'never'; } \
        location /checked-file { auth_request /auth; alias ROOT/page.html; } \
        location = /auth { internal; return 204; } \
        location /mirrored { mirror /auth; alias ROOT/page.html; }",
    );
    nginx.write("html/page.html", b"<!--# include virtual=\"/part?q=evil\" -->!");
    assert_eq!(nginx.get("/page.html"), (200, "part with evil!".to_owned()));
    assert_eq!(nginx.get("/page.html?q=evil").0, 403);
    assert_eq!(nginx.get("/checked-file").0, 200);
    assert_eq!(nginx.get("/checked-file?q=evil").0, 403);
    assert_eq!(
        nginx.post("/mirrored", b"note=good").0,
        405,
        "nginx's own answer to POST on a file"
    );
    assert_eq!(nginx.post("/mirrored", b"note=evil").0, 406);
    assert_eq!(nginx.get("/mirrored").0, 200);
    nginx.no_worker_died();
}

#[test]
fn a_block_leads_to_the_decoy_where_there_is_one() {
    module_or_return!();
    let backend = Backend::start(|request, stream| {
        let text = format!("bait {} {}", request.method, request.body.len());
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
    });
    let nginx = server(&format!(
        "smesec_decoy @bait; location @bait {{ proxy_pass http://127.0.0.1:{}; }} \
        location / {{ return 200 real; }} \
        location /uri {{ smesec_decoy /trap?x=1; return 200 real; }} location /trap {{ return 200 'trap $args'; }} \
        location /plain {{ smesec_decoy off; return 200 real; }}",
        backend.port
    ));
    assert_eq!(nginx.get("/?q=good"), (200, "real".to_owned()));
    assert_eq!(nginx.get("/?q=evil"), (200, "bait GET 0".to_owned()));
    assert_eq!(nginx.post("/", b"note=evil"), (200, "bait POST 9".to_owned()));
    assert_eq!(nginx.post("/", &body(300_000, 200_000)), (200, "bait POST 300000".to_owned()));
    assert_eq!(nginx.get("/uri?q=evil"), (200, "trap x=1".to_owned()));
    assert_eq!(nginx.get("/plain?q=evil").0, 403);
    assert_eq!(nginx.get("/?next=away").0, 302, "a rule's redirect stays one");
    nginx.no_worker_died();
}
