//! Files and servers that mean harm: a clear error or a failed verdict, in bounded time, and no secret told.

use crate::wire::Wire;
use smesec_core::runner::{TestRunner, TestVerdict};
use smesec_core::taas::{Memory, Runner, Suite};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

fn told(files: Memory, text: &str) -> String {
    let suite = Suite::builder().files(files).text("t.yaml", text).build();
    assert!(suite.tests().iter().all(|test| !test.name().is_empty()));
    suite.report().to_string()
}

#[test]
fn broken_files_are_told_with_their_place() {
    let test =
        "test_name: x\nstages:\n  - name: s\n    request: {url: 'http://h'}\n    response: {}\n";
    for (text, place) in [
        ("a: [1\n".to_owned(), "t.yaml:2:1: not YAML"),
        ("- a\n- b\n".to_owned(), "t.yaml:1:1: a test needs"),
        (
            format!("{test}includes:\n  - !include nowhere.yaml\n"),
            "t.yaml:7:5: there is no file `nowhere.yaml`",
        ),
        (
            format!("{test}includes:\n  - !include circle.yaml\n"),
            "circle.yaml:1:4: `t.yaml` includes `circle.yaml`",
        ),
        (format!("{test}more: 1\n"), "t.yaml:6:1: rule `x`: a test has no key `more`"),
        (test.replace("response: {}", "response: {status: 200}"), "t.yaml:5:16: "),
        (test.replace("{}", "{json: {a: !anyting }}"), "t.yaml:5:"),
        (test.replace("{}", "{json: {a: !re_search '(' }}"), "t.yaml:5:"),
    ] {
        let files = Memory::default().file("circle.yaml", "a: !include circle.yaml\n");
        let suite = Suite::builder().files(files.clone()).text("t.yaml", text.as_str()).build();
        let refused: Vec<String> = suite.report().refused.iter().map(ToString::to_string).collect();
        let failed = Runner::new(&suite)
            .run(&Wire { address: ([127, 0, 0, 1], 1).into() }, &mut crate::Nobody);
        let verdicts: Vec<String> = failed.results.iter().map(|r| crate::why(&r.verdict)).collect();
        let all = format!("{}\n{}", refused.join("\n"), verdicts.join("\n"));
        assert!(all.contains(place), "{text}\n{all}");
    }
}

#[test]
fn bombs_are_cut() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        let nine = vec![format!("*a{}", n - 1); 9].join(", ");
        bomb.extend([format!("a{n}: &a{n} [{nine}]\n")]);
    }
    assert!(told(Memory::default(), &bomb).contains("more than 200000 values"));
    // Files that include files, ten each, seven deep.
    let mut files = Memory::default().file("f0.yaml", b"- x\n".repeat(1_000));
    for n in 1..8 {
        let text = format!("- !include f{}.yaml\n", n - 1).repeat(10);
        files = files.file(format!("f{n}.yaml"), text);
    }
    let begun = Instant::now();
    let told = told(files, "test_name: !include f7.yaml\nstages: []\n");
    assert!(told.contains("more than 2000000 values"), "{told}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn what_is_forgiven_elsewhere_in_silence_is_told() {
    let text = "test_name: x\nstages:\n  - name: s\n    request: {url: 'http://h'}\n  - name: t\n    request: {url: 'http://h'}\n    response:\n      status_code: 200\n      status_code: 403\n";
    let told = told(Memory::default(), text);
    assert!(told.contains("t.yaml:3:5: rule `x`: the stage asserts nothing"), "{told}");
    assert!(
        told.contains("t.yaml:9:7: rule `x`: `status_code` stands in line 8 already"),
        "{told}"
    );
}

/// A server that answers every connection with the same bytes, and then does as told.
fn saying(bytes: &'static [u8], then: fn(&mut std::net::TcpStream)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(bytes);
                then(&mut stream);
            });
        }
    });
    address
}

#[test]
fn servers_that_hang_lie_or_stream_for_ever_fail_the_test_in_time() {
    let text = "test_name: x\nstages:\n  - name: s\n    request:\n      url: http://h/\n      method: POST\n      timeout: 1\n      json: {username: bob, password: 'hunter2!'}\n    response: {json: {a: 1}}\n";
    let suite = Suite::builder().files(Memory::default()).text("t.yaml", text).build();
    assert!(suite.report().refused.is_empty(), "{}", suite.report());
    let hang: fn(&mut std::net::TcpStream) = |_| std::thread::sleep(Duration::from_secs(30));
    let end: fn(&mut std::net::TcpStream) = |_| {};
    let flood: fn(&mut std::net::TcpStream) =
        |stream| while stream.write_all(&[b'x'; 16_384]).is_ok() {};
    for (bytes, then) in [
        (&b""[..], hang),
        (b"", end),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", end),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", hang),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", end),
        (b"HTTP/1.1 200 OK\r\n\r\n", flood),
        (b"HTTP/1.1 200 OK\r\nX: ", flood),
        (b"no http\r\n", end),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", end),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n[[[[", end),
        (b"HTTP/1.1 400 No\r\nContent-Length: 30\r\n\r\nwrong password hunter2! for bob", end),
    ] {
        let begun = Instant::now();
        let report =
            Runner::new(&suite).run(&Wire { address: saying(bytes, then) }, &mut crate::Nobody);
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        let result = &report.results[0];
        let TestVerdict::Failed(finding) = &result.verdict else { unreachable!("{bytes:?}") };
        let all =
            format!("{} {} {:?}", finding.message, finding.evidence, result.steps[0].failures);
        assert!(finding.message.starts_with("t.yaml:3:5: stage `s`: "), "{all}");
        assert!(!all.contains("hunter2"), "{all}");
    }
}
