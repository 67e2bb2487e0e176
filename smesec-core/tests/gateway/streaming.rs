//! Bodies that are longer than memory should hold, and answers that come bit by bit.

use crate::stage::{
    Answer, HEAD, LISTEN, PATIENCE, Stage, page, read_body, read_head, server, site, upstream,
};
use std::io::{BufReader, Read, Write};
use std::sync::mpsc::channel;

/// Bytes that this process holds at its peak, as the system counts.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
}

/// A server that answers with the size of what it got and a sum over it, holding nothing.
fn summing() -> std::net::SocketAddr {
    server(|stream| {
        let mut writing = stream.try_clone().unwrap();
        let mut reading = BufReader::new(stream);
        while let Some(head) = read_head(&mut reading) {
            let length: u64 =
                crate::stage::header(&head, "content-length").unwrap().parse().unwrap();
            let (mut sum, mut left) = (0u64, length);
            let mut buffer = vec![0; 1 << 16];
            while left > 0 {
                let most = usize::try_from(left.min(1 << 16)).unwrap();
                let read = reading.read(&mut buffer[..most]).unwrap();
                if read == 0 {
                    return;
                }
                sum = buffer[..read]
                    .iter()
                    .fold(sum, |sum, byte| sum.wrapping_mul(31).wrapping_add((*byte).into()));
                left -= read as u64;
            }
            let _ = writing.write_all(&page(
                200,
                "Content-Type: text/plain\r\n",
                format!("{length} {sum}").as_bytes(),
            ));
        }
    })
}

fn upload(stage: &Stage, megabytes: u64, kind: &str) -> (Answer, u64) {
    let mut stream = stage.connect();
    write!(
        stream,
        "POST /upload HTTP/1.1\r\n{HEAD}Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        megabytes << 20
    )
    .unwrap();
    let mut sum = 0u64;
    for n in 0..megabytes * 16 {
        let piece: Vec<u8> = (0..1u64 << 16).map(|at| (at * 7 + n).to_le_bytes()[0]).collect();
        sum = piece.iter().fold(sum, |sum, byte| sum.wrapping_mul(31).wrapping_add((*byte).into()));
        if stream.write_all(&piece).is_err() {
            break;
        }
    }
    (Answer::read(&mut stream), sum)
}

fn constant_memory(megabytes: u64) {
    let at = summing();
    let rules = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("gateway-partial.conf");
    std::fs::write(&rules, "SecRuleEngine On\nSecRequestBodyAccess On\nSecRequestBodyLimit 131072\nSecRequestBodyLimitAction ProcessPartial\nSecRule REQUEST_BODY \"@contains nothing-of-this\" \"id:1,phase:2,deny\"\n").unwrap();
    for (what, config) in [
        ("off", format!("{}[waf]\nmode = \"off\"\n", site(at))),
        ("partial", format!("{}[waf]\nrules = [{rules:?}]\non_limit = \"open\"\n", site(at))),
        (
            "watched",
            format!(
                "{}[waf]\nrules = [{rules:?}]\nmode = \"detect\"\non_limit = \"open\"\n",
                site(at)
            ),
        ),
    ] {
        let stage = Stage::new(&config);
        let before = peak();
        let (answer, sum) = upload(&stage, megabytes, "application/octet-stream");
        assert_eq!(
            (answer.status, answer.text()),
            (200, format!("{} {sum}", megabytes << 20)),
            "{what}"
        );
        let grown = peak().saturating_sub(before) >> 20;
        assert!(grown < 40, "{what}: {grown} MiB more for {megabytes} MiB");
        assert!(stage.end());
    }
}

#[test]
fn an_upload_needs_no_memory_for_its_length() {
    // In a process of its own: the tests beside take memory too.
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args([
        "streaming::a_hundred_megabytes_need_no_memory_for_their_length",
        "--exact",
        "--ignored",
    ]);
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}

#[test]
#[ignore = "run by the one above in a process of its own"]
fn a_hundred_megabytes_need_no_memory_for_their_length() {
    constant_memory(100);
}

#[test]
#[ignore = "a gigabyte three times takes half a minute; run it when bodies change"]
fn a_gigabyte_needs_no_memory_for_its_length() {
    constant_memory(1_024);
}

#[test]
fn what_is_larger_than_a_rule_allows_is_refused_before_it_is_whole() {
    let rules = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("gateway-limit.conf");
    std::fs::write(&rules, "SecRuleEngine On\nSecRequestBodyAccess On\nSecRequestBodyLimit 131072\nSecRequestBodyLimitAction Reject\nSecAction \"id:1,phase:1,pass,nolog\"\n").unwrap();
    let stage = Stage::new(&format!("{}[waf]\nrules = [{rules:?}]\n", site(summing())));
    let (answer, _) = upload(&stage, 20, "application/octet-stream");
    // A client that still writes may lose the answer with the connection.
    assert!([0, 413].contains(&answer.status), "{answer:?}");
    stage.event(|event| event.findings.iter().any(|finding| finding.rule.id == "smesec-limit"));
}

#[test]
fn events_go_on_at_once() {
    let (go, wait) = channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let at = server(move |mut stream| {
        let mut reading = BufReader::new(stream.try_clone().unwrap());
        read_head(&mut reading).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").unwrap();
        for n in 0..3 {
            stream.write_all(format!("data: {n}\n\n").as_bytes()).unwrap();
            // The next one only after the client has this one: nothing may be held back.
            wait.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        }
    });
    let stage = Stage::before(at);
    let mut stream = stage.connect();
    write!(
        stream,
        "GET /events HTTP/1.1\r\nHost: a\r\nUser-Agent: x/1\r\nAccept: text/event-stream\r\n\r\n"
    )
    .unwrap();
    let mut reading = BufReader::new(stream);
    let head = read_head(&mut reading).unwrap();
    assert!(head.contains("text/event-stream"), "{head}");
    for n in 0..3 {
        let expected = format!("a\r\ndata: {n}\n\n");
        let mut event = vec![0; expected.len() - 2];
        // One chunk: its size, the event, the end of line.
        let mut size = [0; 3];
        reading.read_exact(&mut size).unwrap();
        event.truncate(9);
        reading.read_exact(&mut event).unwrap();
        assert_eq!(String::from_utf8_lossy(&event), format!("data: {n}\n\n"));
        let mut end = [0; 2];
        reading.read_exact(&mut end).unwrap();
        go.send(()).unwrap();
    }
}

#[test]
fn a_client_that_waits_for_100_is_told_to_go_on() {
    let stage = Stage::before(crate::stage::echo());
    let mut stream = stage.connect();
    write!(stream, "POST / HTTP/1.1\r\n{HEAD}Expect: 100-continue\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\n").unwrap();
    let mut reading = BufReader::new(stream.try_clone().unwrap());
    assert!(read_head(&mut reading).unwrap().starts_with("HTTP/1.1 100 "));
    stream.write_all(b"abc").unwrap();
    let answer = Answer::read_to("POST", &mut reading);
    assert!(answer.status == 200 && answer.text().ends_with("abc"), "{answer:?}");
    assert!(!answer.text().to_lowercase().contains("expect:"));

    // The built-in pack decides with the body; a rule that decides before it spares the client the body.
    let rules = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("gateway-expect.conf");
    std::fs::write(
        &rules,
        "SecRuleEngine On\nSecRule ARGS \"@contains <script\" \"id:1,phase:1,deny\"\n",
    )
    .unwrap();
    let stage = Stage::new(&format!("{}[waf]\nrules = [{rules:?}]\n", site(crate::stage::echo())));
    let mut stream = stage.connect();
    write!(
        stream,
        "POST /?q=%3Cscript%3E HTTP/1.1\r\n{HEAD}Expect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    )
    .unwrap();
    assert_eq!(Answer::read(&mut stream).status, 403, "nobody asked for the body of an attack");
}

#[test]
fn a_download_is_passed_on_while_it_comes() {
    let at =
        upstream(|_, _| page(200, "Content-Type: application/octet-stream\r\n", &vec![7; 8 << 20]));
    let stage = Stage::before(at);
    let answer = stage.get("/file");
    assert!(answer.whole && answer.body.len() == 8 << 20);
    assert!(answer.body.iter().all(|byte| *byte == 7));
}

#[test]
fn answers_are_inspected_where_the_rules_ask_for_it() {
    let rules = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("gateway-answers.conf");
    std::fs::write(&rules, "SecRuleEngine On\nSecResponseBodyAccess On\nSecResponseBodyMimeType text/html\nSecResponseBodyLimit 1000000\nSecRule RESPONSE_BODY \"@contains ORA-00933\" \"id:1,phase:4,deny,status:500\"\nSecRule RESPONSE_HEADERS:X-Leak \"@rx .\" \"id:2,phase:3,deny,status:502\"\n").unwrap();
    let at = upstream(|head, _| match head.split(' ').nth(1).unwrap() {
        "/leak" => page(200, "X-Leak: 1\r\nContent-Type: text/plain\r\n", b"x"),
        "/error" => page(
            200,
            "Content-Type: text/html\r\n",
            b"<p>ORA-00933: SQL command not properly ended",
        ),
        "/text" => page(200, "Content-Type: text/plain\r\n", b"ORA-00933"),
        _ => page(200, "Content-Type: text/html\r\n", b"<p>fine"),
    });
    let stage =
        Stage::new(&format!("{LISTEN}{}[waf]\nrules = [{rules:?}]\n", crate::stage::host(at)));
    assert_eq!(stage.get("/leak").status, 502);
    let error = stage.get("/error");
    assert!(error.status == 500 && !error.text().contains("ORA"), "{error:?}");
    assert_eq!(stage.get("/text").text(), "ORA-00933");
    assert_eq!(stage.get("/").text(), "<p>fine");
}

#[test]
fn a_body_that_is_read_by_nobody_does_not_hang_the_next_request() {
    // The server answers without having read the body.
    let at = server(|mut stream| {
        let mut reading = BufReader::new(stream.try_clone().unwrap());
        let head = read_head(&mut reading).unwrap();
        stream.write_all(&page(413, "Connection: close\r\n", b"no")).unwrap();
        let _ = read_body(&head, &mut reading, false);
    });
    let stage = Stage::new(&format!("{}[waf]\nmode = \"off\"\n", site(at)));
    let (answer, _) = upload(&stage, 1, "application/octet-stream");
    assert!([0, 413, 502].contains(&answer.status), "{answer:?}");
    assert!([413, 502].contains(&stage.get("/").status));
}
