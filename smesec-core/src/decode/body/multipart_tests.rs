use super::super::testing::{Xorshift, chunkings};
use super::*;

#[derive(Debug, Default, PartialEq, Eq)]
struct Part {
    name: String,
    filename: Option<String>,
    headers: Vec<String>,
    content_type: Option<String>,
    data: Vec<u8>,
    complete: Option<bool>,
}

type Seen = (Vec<Part>, MultipartFlags, Option<MultipartError>);

fn parse(chunks: &[&[u8]], limits: MultipartLimits) -> Seen {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut parts: Vec<Part> = Vec::new();
    let mut each = |event: PartEvent<'_>| match event {
        PartEvent::Begin { name, filename, headers, content_type } => {
            assert!(parts.last().is_none_or(|part| part.complete.is_some()));
            parts.push(Part {
                name: text(name),
                filename: filename.map(text),
                headers: headers.iter().map(|header| text(header.line())).collect(),
                content_type: content_type.map(text),
                ..Part::default()
            });
        }
        PartEvent::Data(data) => {
            let part = parts.last_mut().unwrap();
            assert!(part.complete.is_none() && !data.is_empty());
            part.data.extend_from_slice(data);
        }
        PartEvent::End { complete } => {
            let before = parts.last_mut().unwrap().complete.replace(complete);
            assert_eq!(before, None);
        }
    };
    let mut multipart = Multipart::new(b"multipart/form-data; boundary=B", limits).unwrap();
    for chunk in chunks {
        multipart.feed(chunk, &mut each);
    }
    multipart.finish(&mut each);
    assert!(parts.iter().all(|part| part.complete.is_some()));
    (parts, multipart.flags(), multipart.error().copied())
}

fn whole(body: &str) -> Seen {
    parse(&[body.as_bytes()], MultipartLimits::default())
}

const NAME: &str = "Content-Disposition: form-data; name=\"a\"";

fn body(head: &str, headers: &str, data: &str, tail: &str) -> String {
    format!("{head}{headers}\r\n\r\n{data}{tail}")
}

fn usual(headers: &str, data: &str) -> String {
    body("--B\r\n", headers, data, "\r\n--B--\r\n")
}

fn data(seen: &Seen) -> Vec<String> {
    seen.0.iter().map(|part| String::from_utf8_lossy(&part.data).into_owned()).collect()
}

#[test]
fn reports_parts_headers_and_data() {
    let (parts, flags, error) = whole(&format!(
        "--B\r\n{NAME}\r\n\r\n1\r\n2\r\n--B\r\ncontent-disposition:form-data; name=f; filename=\"x\"\r\nContent-Type: a/b\r\nX-Y:  z \r\n\r\n\r\n--B--\r\n"
    ));
    assert_eq!((flags, error), (MultipartFlags::default(), None));
    assert_eq!(
        parts,
        [
            Part {
                name: "a".to_owned(),
                headers: vec![NAME.to_owned()],
                data: b"1\r\n2".to_vec(),
                complete: Some(true),
                ..Part::default()
            },
            Part {
                name: "f".to_owned(),
                filename: Some("x".to_owned()),
                headers: [
                    "content-disposition:form-data; name=f; filename=\"x\"",
                    "Content-Type: a/b",
                    "X-Y:  z "
                ]
                .map(str::to_owned)
                .to_vec(),
                content_type: Some("a/b".to_owned()),
                complete: Some(true),
                ..Part::default()
            },
        ]
    );
}

#[test]
fn keeps_data_that_only_looks_like_a_boundary() {
    for text in ["x--B--y", "x\ry\nz\r", "\r\n\r\n", "\n", "-\n-\r\n-", "\r\r\n\r", "x\r--B\r\ny"] {
        let seen = whole(&usual(NAME, text));
        assert_eq!(data(&seen), [text]);
        assert_eq!((seen.1, seen.2), (MultipartFlags::default(), None), "{text:?}");
    }
    for text in ["x\r\n--y", "--y", "x\n--", "--\r\n"] {
        let seen = whole(&usual(NAME, text));
        assert_eq!(data(&seen), [text]);
        let flags = MultipartFlags { boundary_like_line: true, ..MultipartFlags::default() };
        assert_eq!((seen.1, seen.2), (flags, None), "{text:?}");
    }
    for text in ["x\r\n--BB", "--B x", "x\r\n--B-", "x\n--B--x", "--B\rx", "--B---"] {
        let seen = whole(&usual(NAME, text));
        assert_eq!(data(&seen), [text]);
        assert_eq!(seen.2, Some(MultipartError::BoundaryLine), "{text:?}");
        assert!(seen.1.strict_error());
    }
}

#[test]
fn raises_the_flag_that_the_peer_raises() {
    let none = MultipartFlags::default();
    let cases = [
        (usual(NAME, "v"), none),
        (usual(NAME, ""), none),
        (body("--B\r\n", NAME, "v", "\r\n--B--"), none),
        (usual(NAME, "v").replace("\r\n", "\n"), MultipartFlags { lf_line: true, ..none }),
        (
            body("--B\r\n", NAME, "v", "\n--B--\r\n"),
            MultipartFlags { lf_line: true, crlf_lf_lines: true, ..none },
        ),
        (
            format!("--B\r\n{NAME}\nX: y\r\n\r\nv\r\n--B--\r\n"),
            MultipartFlags { lf_line: true, crlf_lf_lines: true, ..none },
        ),
        (format!("pre\r\n{}", usual(NAME, "v")), MultipartFlags { data_before: true, ..none }),
        (format!("\r\n{}", usual(NAME, "v")), none),
        (format!("\r\n\r\n{}", usual(NAME, "v")), MultipartFlags { data_before: true, ..none }),
        (usual(NAME, "v") + "after\r\n", MultipartFlags { data_after: true, ..none }),
        (usual(NAME, "v") + "\r\n", MultipartFlags { data_after: true, ..none }),
        (usual(NAME, "v") + &usual(NAME, "w"), MultipartFlags { data_after: true, ..none }),
        (
            format!("--C\r\n{}", usual(NAME, "v")),
            MultipartFlags { data_before: true, boundary_like_line: true, ..none },
        ),
        (
            usual("Content-Disposition: form-data;\r\n name=\"a\"", "v"),
            MultipartFlags { header_folding: true, ..none },
        ),
        (
            usual(&format!("{NAME}\r\nX: a\r\n\x0bb"), "v"),
            MultipartFlags { header_folding: true, invalid_header_folding: true, ..none },
        ),
        (
            usual("Content-Disposition: form-data; name='a'", "v"),
            MultipartFlags { invalid_quoting: true, ..none },
        ),
        (usual("Content-Type: text/plain", "v"), MultipartFlags { invalid_part: true, ..none }),
        ("--B\r\n\r\nv\r\n--B--\r\n".to_owned(), MultipartFlags { invalid_part: true, ..none }),
        (usual(&NAME.replace(':', " :"), "v"), MultipartFlags { invalid_part: true, ..none }),
        (format!("--B\r\n{NAME}\r\n\r\n--B--\r\n"), MultipartFlags { invalid_part: true, ..none }),
        (format!("--B\r\n{NAME}\r\n--B--\r\n"), MultipartFlags { invalid_part: true, ..none }),
        (usual(&format!("{NAME}\r\n{NAME}"), "v"), MultipartFlags { invalid_part: true, ..none }),
    ];
    for (body, flags) in cases {
        let seen = whole(&body);
        assert_eq!((seen.1, seen.2), (flags, None), "{body:?}");
        assert_eq!(seen.1.strict_error(), flags != none, "{body:?}");
        assert_eq!(seen.0[0].complete, Some(true));
    }
    let only_final = whole("--B--\r\n");
    assert_eq!((only_final.0.len(), only_final.1, only_final.2), (0, none, None));
    assert_eq!(whole("").2, None);
}

#[test]
fn goes_on_after_a_fault() {
    for (text, error, parts) in [
        (body("--B\r\n", NAME, "v", "\r\n"), MultipartError::FinalBoundaryMissing, 1),
        (body("--B\r\n", NAME, "v", ""), MultipartError::FinalBoundaryMissing, 1),
        (format!("--B\r\n{NAME}\r\n"), MultipartError::FinalBoundaryMissing, 1),
        (usual(NAME, "v").replace("--B", "--b"), MultipartError::NoBoundaryInBody, 0),
        (body("--B \r\n", NAME, "v", "\r\n--B--\r\n"), MultipartError::BoundaryLine, 1),
        (body("--B\r\n", NAME, "v", "\r\n--B-- \r\n"), MultipartError::BoundaryLine, 1),
        (usual(&format!("{NAME}\r\nfoo"), "v"), MultipartError::HeaderColonMissing, 1),
        (usual(&format!("{NAME}\r\n: foo"), "v"), MultipartError::HeaderNameMissing, 1),
        (usual(&format!("{NAME}\r\nX: a\0b"), "v"), MultipartError::HeaderControl, 1),
        (usual(&format!("{NAME}\rX: ab"), "v"), MultipartError::HeaderControl, 1),
        (usual(&format!(" folded\r\n{NAME}"), "v"), MultipartError::HeaderFolding, 1),
        (
            usual(&format!("{NAME}\r\nX: {}", "a".repeat(5000)), "v"),
            MultipartError::HeaderTooLong,
            1,
        ),
    ] {
        let seen = whole(&text);
        assert_eq!((seen.2, seen.0.len()), (Some(error), parts), "{text:?}");
        assert!(seen.1.malformed && seen.1.strict_error());
        if let Some(part) = seen.0.first() {
            assert_eq!(part.name, "a", "{text:?}");
        }
    }
    assert!(whole(&usual(NAME, "v").replace("--B", "--b")).1.unmatched_boundary);
    let seen = whole(&format!(
        "--B\r\n{NAME}\r\n\r\n1\r\n--B\r\nX\r\n\r\n2\r\n--B\r\n{NAME}\r\n\r\n3\r\n--B--\r\n"
    ));
    assert_eq!(data(&seen), ["1", "2", "3"]);
}

#[test]
fn joins_continued_headers_by_one_blank() {
    let seen = whole(&usual(&format!("{NAME}\r\nX: a\r\n \t b"), "v"));
    assert_eq!(seen.0[0].headers[1], "X: a b");
}

#[test]
fn holds_its_limits() {
    let tight = MultipartLimits { files: 1, parts: 3, ..MultipartLimits::default() };
    let file = format!("{NAME}; filename=\"f\"");
    let one = body("--B\r\n", &file, "v", "\r\n");
    let (parts, flags, error) = parse(&[(one.repeat(3) + "--B--").as_bytes()], tight);
    assert_eq!((parts.len(), error), (3, None));
    assert!(flags.file_limit_exceeded && flags.strict_error());
    let (parts, flags, error) = parse(&[(one.repeat(5) + "--B--").as_bytes()], tight);
    assert_eq!((parts.len(), error), (3, Some(MultipartError::TooManyParts)));
    assert!(flags.malformed);
    let endless = format!("--B\r\n{NAME}\r\n{}", "X: y\r\n".repeat(20_000));
    let seen = whole(&endless);
    assert_eq!(seen.2, Some(MultipartError::HeaderTooLong));
    assert!(seen.0[0].headers.iter().map(String::len).sum::<usize>() <= 16 << 10);
}

fn corpus() -> Vec<String> {
    let file = format!("{NAME}; filename=\"x\"\r\nContent-Type: t/p\r\n\tz");
    vec![
        usual(NAME, "x\r\n--y\r\n-\r\r\n\n--B-\r\n--BB\n"),
        format!("pre\r\n--\r\n--B \r\n{file}\r\n\r\n\r\n--B\n{NAME}\n\n1\n--B--\r\nepi"),
        format!("--B\r\n{NAME}\r\n--B\r\n{NAME}\r\n\r\n--B\r\n\r\n\r\r\n--B--"),
        format!("--B\r\n{NAME}\r\n\r\n1\r\n--B--\r"),
        format!("--B\r\n{NAME}\r\n\r\n1\r\n--B\r"),
    ]
}

#[test]
fn gives_the_same_however_it_is_cut() {
    let tight = MultipartLimits {
        part_header_line_bytes: 60,
        part_header_bytes: 80,
        ..MultipartLimits::default()
    };
    for text in corpus() {
        for limits in [MultipartLimits::default(), tight] {
            let wanted = parse(&[text.as_bytes()], limits);
            for chunks in chunkings(text.as_bytes()) {
                assert_eq!(parse(&chunks, limits), wanted, "{text:?} {chunks:?}");
            }
        }
    }
}

#[test]
fn gives_the_same_for_mutations_however_they_are_cut() {
    let mut random = Xorshift::new(5);
    for text in corpus() {
        for _ in 0..6000 {
            let input = random.mutate(text.as_bytes(), b"\r\n-B:; \"=\0a\t\x0b");
            let wanted = parse(&[&input], MultipartLimits::default());
            let chunks = random.chunks(&input);
            assert_eq!(parse(&chunks, MultipartLimits::default()), wanted, "{chunks:?}");
            let total: usize = wanted.0.iter().map(|part| part.data.len()).sum();
            assert!(total <= input.len());
        }
    }
}
