//! Workers: many of them, reloads, raw requests, long work.

use crate::harness::{Answer, Nginx, ask, connect, post, with_sanitizer};
use crate::{RULES, body, module_or_return, server};
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

#[test]
fn four_workers_count_one_visitor_once() {
    module_or_return!();
    let count = "SecRuleEngine On\n\
        SecAction \"id:1,phase:1,pass,nolog,initcol:ip=%{REMOTE_ADDR},setvar:ip.n=+1\"\n\
        SecRule IP:n \"@gt 100\" \"id:2,phase:1,deny,status:429\"\n";
    let http = "smesec on; smesec_zone smesec:1m; smesec_rules count.conf; \
        server { listen 127.0.0.1:PORT reuseport; location / { return 200 $pid; } }";
    let nginx = Nginx::start_with(4, http, &[("count.conf", count.as_bytes())]);
    let mut workers = std::collections::BTreeSet::new();
    let mut passed = 0;
    for _ in 0..160 {
        let (status, pid) = nginx.get("/");
        if status == 200 {
            passed += 1;
            workers.insert(pid);
        }
    }
    assert!(workers.len() > 1, "one worker served all: {workers:?}");
    assert_eq!(passed, 100);
    nginx.reload();
    assert_eq!(nginx.get("/").0, 429, "the counter outlives a reload");
    nginx.kill_a_worker();
    for _ in 0..20 {
        assert_eq!(nginx.get("/").0, 429, "and a worker that was killed");
    }
}

#[test]
fn a_reload_with_broken_rules_changes_nothing_and_a_reopen_moves_the_log() {
    module_or_return!();
    let nginx = server("location / { return 200 hello; }");
    nginx.write("rules.conf", b"SecRule ARGS \"@nonsense x\" \"id:1,phase:1\"\n");
    for _ in 0..3 {
        nginx.signal("reload");
    }
    let log = nginx.settled("error.log", 3);
    assert!(log.contains("rules.conf:1:"), "{log}");
    assert_eq!(nginx.get("/?q=evil").0, 403, "the old rules are in force");
    nginx.write("rules.conf", (RULES.to_owned() + "SecRuleRemoveById 1\n").as_bytes());
    nginx.reload();
    assert_eq!(nginx.get("/?q=evil").0, 200, "the new ones are");

    assert_eq!(nginx.post("/", b"note=evil").0, 406);
    let before = nginx.settled("events.json", 2);
    assert_eq!(before.lines().count(), 2, "{before}");
    nginx.rename("events.json", "events.1");
    nginx.signal("reopen");
    nginx.settled("events.json", 0);
    assert_eq!(nginx.post("/", b"note=evil").0, 406);
    assert_eq!(nginx.settled("events.json", 1).lines().count(), 1);
    assert_eq!(nginx.file("events.1"), before);
}

#[test]
fn reloads_under_load_lose_nothing_and_leak_nothing() {
    module_or_return!();
    let nginx = server("location / { return 200 hello; }");
    let stop = std::sync::atomic::AtomicBool::new(false);
    let (mut right, mut wrong) = (0_u32, Vec::new());
    let sizes = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let (mut right, mut wrong) = (0_u32, Vec::new());
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                for (answer, want) in [
                    (ask(nginx.port, b"GET /?q=good HTTP/1.0\r\nHost: a\r\n\r\n"), 200),
                    (ask(nginx.port, b"GET /?q=evil HTTP/1.0\r\nHost: a\r\n\r\n"), 403),
                    (post(nginx.port, "/", &body(100_000, 90_000)), 406),
                ] {
                    if answer.status == want {
                        right += 1;
                    } else {
                        wrong.push((answer.status, want));
                    }
                }
            }
            (right, wrong)
        });
        let mut sizes = Vec::new();
        for n in 0..40 {
            nginx.reload();
            if n % 10 == 9 {
                sizes.push(nginx.master_kilobytes());
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        (right, wrong) = load.join().unwrap();
        sizes
    });
    assert!(wrong.is_empty() && right > 100, "{right} right, {wrong:?}");
    // The sanitizer keeps what was freed for a while.
    assert!(with_sanitizer() || sizes[3] < sizes[0] + 1_000, "the master grows: {sizes:?} kB");
    nginx.no_worker_died();
}

/// A small generator, so that a run can be repeated.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(n).unwrap()).unwrap()
    }
}

#[test]
fn no_worker_dies_of_raw_requests() {
    module_or_return!();
    let nginx = Nginx::start(
        "smesec on; smesec_rules builtin; smesec_log events.json; client_body_buffer_size 1k; default_type text/html; \
        smesec_rules_inline 'SecResponseBodyAccess On\nSecResponseBodyMimeType text/html text/plain\nSecRule RESPONSE_BODY \"@contains secret\" \"id:1,phase:4,deny\"'; \
        client_max_body_size 1m; client_header_timeout 2s; client_body_timeout 2s; smesec_thread_pool default 2k; \
        server { listen 127.0.0.1:PORT; location / { return 200 hello; } \
          location = /status { smesec off; stub_status; } \
          location /decoy { smesec_decoy @bait; return 200 real; } location @bait { return 200 bait; } \
          location /page { smesec_thread_pool default 1; error_page 400 403 404 405 413 /index.html; root ROOT; } }",
        &[],
    );
    nginx.write("html/index.html", b"index");
    nginx.write("html/page/big.html", "page ".repeat(60_000).as_bytes());
    nginx.write("html/page/bad.html", ("page ".repeat(20_000) + "secret").as_bytes());
    let seeds: &[&[u8]] = &[
        b"GET /?q=1'+union+select+2-- HTTP/1.1\r\nHost: a\r\nCookie: a=b; c=<script>\r\n\r\n",
        b"POST /decoy HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 20\r\n\r\nq=1'+or+1=1--&a=%00b",
        b"POST /page HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 90\r\n\r\n--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"../a.php\"\r\n\r\n<?php\r\n--b--\r\n12345678",
        b"POST /page/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n9\r\n{\"a\":[1,2\r\n3\r\n,3]\r\n1\r\n}\r\n0\r\n\r\n",
        b"PROPFIND /page/%2e%2e/%c0%af HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1,3-4\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
        b"GET /page/big.html HTTP/1.1\r\nHost: a\r\n\r\nGET /page/bad.html HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET http://a/page/../x?a[]=1&a=2 HTTP/1.0\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n",
    ];
    let mut numbers = Numbers(0x5eed_0f12_3456_789a);
    let seconds =
        std::env::var("SMESEC_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(6);
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut sent = 0;
    while Instant::now() < until {
        let mut request = seeds[numbers.below(seeds.len())].to_vec();
        for _ in 0..numbers.below(6) {
            let at = numbers.below(request.len());
            match numbers.below(5) {
                0 => request[at] = u8::try_from(numbers.below(256)).unwrap(),
                1 => request.truncate(at.max(1)),
                2 => request.insert(at, b"\r\n\0%<'\"&=;:"[numbers.below(11)]),
                3 => {
                    let piece = request[at..].to_vec();
                    request.extend_from_slice(&piece);
                }
                _ => {
                    let filler = vec![b'a'; numbers.below(20_000)];
                    request.splice(at..at, filler);
                }
            }
        }
        let mut stream = connect(nginx.port);
        stream.set_read_timeout(Some(Duration::from_millis(3))).unwrap();
        let cut = numbers.below(request.len() + 1);
        let _ = stream.write_all(&request[..cut]);
        let _ = stream.write_all(&request[cut..]);
        let _ = stream.read(&mut [0; 512]);
        sent += 1;
    }
    println!("{sent} requests");
    assert!(sent > 300, "{sent}");
    nginx.no_worker_died();
    assert_eq!(nginx.get("/").0, 200);
    // No request hangs: all but the one that asks are over when nginx's time-outs have passed.
    let until = Instant::now() + Duration::from_secs(15);
    loop {
        let status = nginx.get("/status").1;
        if status.starts_with("Active connections: 1 ") {
            break;
        }
        assert!(Instant::now() < until, "{status}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_long_inspection_does_not_hold_up_the_others() {
    module_or_return!();
    // Many rules over a long value: some hundreds of milliseconds for one body.
    let mut rules = String::from(
        "SecRuleEngine On\nSecRequestBodyAccess On\nSecRequestBodyLimit 8000000\n\
        SecRequestBodyNoFilesLimit 8000000\n",
    );
    for n in 1..=60 {
        let _ = writeln!(
            rules,
            "SecRule ARGS_POST \"@rx (?i)[a-z]+{n}x[0-9]+y\" \"id:{n},phase:2,deny,t:urlDecodeUni,t:lowercase\""
        );
    }
    let http = "smesec on; smesec_rules slow.conf; client_max_body_size 8m; \
        server { listen 127.0.0.1:PORT; location / { return 200 hello; } }";
    let nginx = Nginx::start(http, &[("slow.conf", rules.as_bytes())]);
    let body = format!("note={}", "ab1c2d3e".repeat(500_000));
    let (long, worst) = std::thread::scope(|scope| {
        let long = scope.spawn(|| {
            let began = Instant::now();
            let answer: Answer = post(nginx.port, "/", body.as_bytes());
            (answer.status, began.elapsed())
        });
        let mut worst = Duration::ZERO;
        while !long.is_finished() {
            let began = Instant::now();
            assert_eq!(nginx.get("/?q=quick").0, 200);
            worst = worst.max(began.elapsed());
        }
        (long.join().unwrap(), worst)
    });
    println!("the long one took {:?}, the slowest beside it {worst:?}", long.1);
    assert_eq!(long.0, 200);
    assert!(worst < long.1 / 3 + Duration::from_millis(100), "{worst:?} beside {:?}", long.1);
}
