//! Answers whole, cut anywhere, and broken.

use super::*;

fn read(
    method: &str,
    bytes: &[u8],
    piece: usize,
) -> Result<(Response, usize, bool), ExchangeError> {
    let mut parser = ResponseParser::new(method, Limits { head: 1500, body: 1500 });
    let mut taken = 0;
    for chunk in bytes.chunks(piece) {
        taken += parser.push(chunk)?;
        if parser.is_complete() {
            break;
        }
    }
    parser.end()?;
    let keeps_alive = parser.keeps_alive();
    Ok((parser.into_response(), taken, keeps_alive))
}

const ANSWERS: &[(&str, &str)] = &[
    (
        "GET",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\n\r\nhello",
    ),
    (
        "GET",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n5;x=y\r\nhello\r\n00A\r\n0123456789\r\n0\r\nX-End: 1\r\n\r\n",
    ),
    (
        "GET",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    ),
    ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n"),
    ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
    ("GET", "HTTP/1.0 200 OK\r\n\r\nuntil the end"),
    ("GET", "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n"),
    (
        "GET",
        "HTTP/1.1 200\r\nConnection: x,close\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
    ),
    ("GET", "HTTP/1.1 200 OK\nContent-Length: 1\n\nx"),
    ("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
];

#[test]
fn any_chunking_gives_the_same_answer() {
    for (method, text) in ANSWERS {
        let whole = read(method, text.as_bytes(), usize::MAX).unwrap();
        assert_eq!(whole.1, text.len(), "{text}");
        for piece in 1..text.len() {
            assert_eq!(read(method, text.as_bytes(), piece).unwrap(), whole, "{piece}: {text}");
        }
    }
}

#[test]
fn answers_say_what_was_sent() {
    let answer = |n: usize| {
        let (method, text) = ANSWERS.get(n).unwrap();
        read(method, text.as_bytes(), usize::MAX).unwrap()
    };
    let (first, _, keeps_alive) = answer(0);
    let names: Vec<_> = first.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Content-Length", "Set-Cookie", "set-cookie"]);
    assert_eq!((first.status, first.reason.as_str(), keeps_alive), (200, "OK", true));
    let (chunked, ..) = answer(1);
    assert_eq!(chunked.body, b"hello0123456789");
    assert_eq!(chunked.headers.len(), 1, "trailers are no headers");
    assert_eq!(answer(2).0.status, 204);
    assert_eq!(answer(5).0.body, b"until the end");
    let kept: Vec<_> = (0..ANSWERS.len()).map(|n| answer(n).2).collect();
    assert_eq!(kept, [true, true, true, true, true, false, true, false, true, true]);
}

#[test]
fn what_follows_an_answer_is_left() {
    let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 500 Late\r\n\r\n";
    let mut parser = ResponseParser::new("GET", Limits::default());
    assert_eq!(parser.push(bytes).unwrap(), 39);
    assert!(parser.is_complete());
}

#[test]
fn malformed_answers_are_told_with_what_was_seen() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let with = |headers: &str| format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\nabc");
    for (text, why) in [
        ("SSH-2.0-OpenSSH\r\n".to_owned(), "does not begin with `HTTP/1.`: `SSH-2.0-OpenSSH"),
        ("\r\n\r\nHTTP/1.1 200 OK\r\n\r\n".to_owned(), "does not begin"),
        ("\x15\x03\x01\x00\x02".to_owned(), "write `https://`"),
        ("\0\0\x12\x04\0".to_owned(), "HTTP/2"),
        ("HTTP/1.7 200 OK\r\n\r\n".to_owned(), "version"),
        ("HTTP/1.1 2x0 OK\r\n\r\n".to_owned(), "status is none: `HTTP/1.1 2x0 OK`"),
        ("HTTP/1.1 099 OK\r\n\r\n".to_owned(), "from 100"),
        (with("A: 1\r\nbad name: x"), "name is none, in line 3: `bad name`"),
        (with("A: b\x01c"), "value holds what none may: `A`"),
        (with("A: b\r\n folded"), "name is none, in line 3"),
        (with("Content-Length: -1"), "`-1` is no number"),
        (with("Content-Length: 1\r\nContent-Length: 2"), "two lengths"),
        (with("Content-Length: 3\r\nTransfer-Encoding: chunked"), "both"),
        (with("Transfer-Encoding: gzip, chunked"), "`gzip, chunked`"),
        (with("Transfer-Encoding: identity"), "`identity`"),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), "under HTTP/1.0"),
        (with("Content-Length: 5"), "after 3 of the 5 bytes"),
        ("HTTP/1.1 200 OK\r\nA".to_owned(), "within its head, after 18 bytes: `HTTP/1.1 200 OK`"),
        (format!("{chunked}x\r\n"), "no size: 3 bytes, behind 0 bytes"),
        (format!("{chunked}\r\n"), "no size"),
        (format!("{chunked}-1\r\n"), "no size"),
        (format!("{chunked}11111111111111111\r\n"), "no size"),
        (format!("{chunked}1\nx"), "no size"),
        (format!("{chunked}1\r\nxyz"), "longer than its size: 2 bytes, behind 1 bytes"),
        (format!("{chunked}1\r\nx\r\n"), "before its last chunk"),
        (format!("{chunked}0\r\nX-A: 1\r\n"), "within its trailers"),
        (format!("{chunked}0\r\nno trailer\r\n\r\n"), "trailers are no headers"),
        (format!("{chunked}1;{}", "x".repeat(5000)), "longer than 4096"),
        ("HTTP/1.1 100 Continue\r\n\r\n".repeat(20), "more than 16"),
        (with(&vec!["A:"; 300].join("\r\n")), "more than 256 headers"),
    ] {
        for piece in [usize::MAX, 1, 3] {
            let told = read("GET", text.as_bytes(), piece).unwrap_err();
            let told = match told {
                ExchangeError::Malformed(told) => told,
                other => unreachable!("{text}: {other}"),
            };
            // What was seen hangs on the pieces, as it does where a server stops.
            assert!(piece != usize::MAX || told.contains(why), "{text}: {told}");
            assert!(told.len() < 200, "{told}");
        }
    }
}

#[test]
fn what_a_broken_answer_carried_is_not_told() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for text in [
        format!("{chunked}hunter2=1\r\n"),
        format!("{chunked}1\r\nxhunter2"),
        format!("{chunked}0\r\nhunter2\r\n\r\n"),
        format!("{chunked}1;{}hunter2", "x".repeat(5_000)),
        "HTTP/1.1 200 OK\r\nSet-Cookie: hunter2\x01\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nhunter2\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nA: hunter2\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"
            .to_owned(),
        "HTTP/1.1 200 OK\r\nSet-Cookie: hunter2".to_owned(),
    ] {
        for piece in [usize::MAX, 1, 7] {
            let told = read("GET", text.as_bytes(), piece).unwrap_err().to_string();
            assert!(!told.contains("hunter2"), "{told}");
        }
    }
}

#[test]
fn endless_answers_are_cut_off() {
    let limit = Err(ExchangeError::TooLarge(1500));
    for text in [
        format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(2000)),
        format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(2000)),
        "HTTP/1.1 200 OK\r\nContent-Length: 1501\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n".to_owned(),
        format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}",
            "1\r\nx\r\n".repeat(2000)
        ),
        format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: {}",
            "x".repeat(2000)
        ),
    ] {
        for piece in [usize::MAX, 1, 7] {
            assert_eq!(read("GET", text.as_bytes(), piece), limit, "{text}");
        }
    }
}

#[test]
fn a_connection_that_closes_at_once_is_no_malformed_answer() {
    assert!(matches!(read("GET", b"", 1), Err(ExchangeError::Connection(_))));
}
