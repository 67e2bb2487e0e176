use super::super::testing::{Xorshift, chunkings};
use super::*;

type Seen = (Vec<(Vec<u8>, Vec<u8>)>, Result<(), JsonError>);

fn parse(chunks: &[&[u8]], limits: JsonLimits) -> Seen {
    let mut out = Vec::new();
    let mut json = Json::new(limits);
    let mut each = |path: &[u8], value: &[u8]| out.push((path.to_vec(), value.to_vec()));
    for chunk in chunks {
        if let Err(error) = json.feed(chunk, &mut each) {
            assert_eq!(json.feed(b"1", &mut each), Err(error));
            assert_eq!(json.finish(&mut each), Err(error));
            return (out, Err(error));
        }
    }
    let end = json.finish(&mut each);
    (out, end)
}

fn text(input: &[u8]) -> Vec<String> {
    let (seen, end) = parse(&[input], JsonLimits::default());
    assert_eq!(end, Ok(()), "{}", String::from_utf8_lossy(input));
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    seen.iter().map(|(path, value)| lossy(path) + "=" + &lossy(value)).collect()
}

fn fault(input: &[u8]) -> (u64, JsonFault) {
    let error = parse(&[input], JsonLimits::default()).1.unwrap_err();
    (error.offset, error.what)
}

#[test]
fn names_scalars_as_the_peer_does() {
    assert_eq!(
        text(br#"{"a":[1,null,true,"x\u00e9",[],{},{"b":1.50e3}],"":2,"c":{},"d":[]}"#),
        [
            "json.a.array_0=1",
            "json.a.array_1=",
            "json.a.array_2=true",
            "json.a.array_3=xé",
            "json.a.array_6.b=1.50e3",
            "json.empty-key=2",
        ]
    );
    assert_eq!(
        text(b"[[1,2],[3]]"),
        ["json.array_0.array_0=1", "json.array_0.array_1=2", "json.array_1.array_0=3"]
    );
    assert_eq!(
        text(br#"[{"a":1},{"a":2},3]"#),
        ["json.array_0.a=1", "json.array_1.a=2", "json.array_2=3"]
    );
    assert_eq!(text(br#" "s" "#), ["json=s"]);
    assert_eq!(text(b"12"), ["json=12"]);
    assert_eq!(text(b"null"), ["json="]);
    assert_eq!(text(br#"{"a.b":1,"a":{"b":2}}"#), ["json.a.b=1", "json.a.b=2"]);
    assert!(text(b"[]").is_empty() && text(b"{ }").is_empty() && text(b"").is_empty());
}

#[test]
fn names_the_elements_of_a_long_array() {
    let input = format!("[{}0]", "0,".repeat(1234));
    assert_eq!(text(input.as_bytes()).last().unwrap(), "json.array_1234=0");
}

#[test]
fn decodes_escapes_and_pairs() {
    assert_eq!(
            text(br#"["\"\\\/\b\f\n\r\t","\ud83d\ude00","\ud800x","\ude00","\ud800\ud83d\ude00","\ud800\n","\u0000z","\ud800"]"#),
            [
                "json.array_0=\"\\/\u{8}\u{c}\n\r\t",
                "json.array_1=😀",
                "json.array_2=\u{fffd}x",
                "json.array_3=\u{fffd}",
                "json.array_4=\u{fffd}😀",
                "json.array_5=\u{fffd}\n",
                "json.array_6=\0z",
                "json.array_7=\u{fffd}",
            ]
        );
    assert_eq!(text(br#"{"\u0061b":1}"#), ["json.ab=1"]);
}

#[test]
fn tells_faults_and_their_place() {
    for (input, wanted) in [
        (&b"[1] 2"[..], (4, JsonFault::TrailingData)),
        (br#"{"a":1"#, (6, JsonFault::Truncated)),
        (b"  ", (2, JsonFault::Truncated)),
        (br#"{"a":1,}"#, (7, JsonFault::ExpectedKey)),
        (b"[1,]", (3, JsonFault::ExpectedValue)),
        (b"[1}", (2, JsonFault::ExpectedCommaOrEnd)),
        (br#"{"a" 1}"#, (5, JsonFault::ExpectedColon)),
        (b"{\"a\":\"\xff\xfe\"}", (9, JsonFault::InvalidUtf8)),
        (b"/* c */ 1", (0, JsonFault::ExpectedValue)),
        (b"\"x\ny\"", (2, JsonFault::ControlInString)),
        (b"\xef\xbb\xbf1", (0, JsonFault::ExpectedValue)),
        (b"[\"\\x\"]", (3, JsonFault::InvalidEscape)),
        (b"[\"\\u12g4\"]", (6, JsonFault::InvalidEscape)),
    ] {
        assert_eq!(fault(input), wanted, "{}", String::from_utf8_lossy(input));
    }
    for word in ["01", "-", "1.", ".5", "+1", "1e", "1e+", "NaN", "True", "nul", "0x1", "1-2"] {
        let array = format!("[{word}]");
        assert_eq!(fault(array.as_bytes()).1, JsonFault::InvalidWord, "{word}");
    }
    for word in ["0", "-0", "10", "1.0", "-1.5e-10", "1E5", "0e0"] {
        assert_eq!(text(word.as_bytes()), [format!("json={word}")]);
    }
    let error = parse(&[b"[1}"], JsonLimits::default()).1.unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid JSON at byte 2: expected `,` or the end of the container"
    );
}

#[test]
fn holds_its_limits() {
    let tight = JsonLimits {
        depth: 3,
        arguments: 4,
        string_bytes: 8,
        path_bytes: 24,
        total_path_bytes: 100,
    };
    let what = |input: &[u8]| parse(&[input], tight).1.map_err(|error| error.what);
    assert_eq!(what(b"{\"a\":[[1]]}"), Ok(()));
    assert_eq!(what(b"{\"a\":[[[1]]]}"), Err(JsonFault::TooDeep));
    assert_eq!(what(b"[1,2,3,4]"), Ok(()));
    assert_eq!(what(b"[1,2,3,4,5]"), Err(JsonFault::TooManyArguments));
    assert_eq!(what(b"\"12345678\""), Ok(()));
    assert_eq!(what(b"\"123456789\""), Err(JsonFault::StringTooLong));
    assert_eq!(what(b"\"1234567\\n9\""), Err(JsonFault::StringTooLong));
    assert_eq!(what(b"{\"a\":{\"1234567\":{\"12345678\":1}}}"), Ok(()));
    assert_eq!(what(b"{\"12345678\":{\"12345678\":{\"1\":1}}}"), Ok(()));
    assert_eq!(what(b"{\"12345678\":{\"12345678\":{\"12\":1}}}"), Err(JsonFault::PathTooLong));
    assert_eq!(what(b"{\"12345678\":{\"12345678\":[[],2,3,4]}}"), Err(JsonFault::PathTooLong));
    let deep = vec![b'['; 1 << 20];
    assert_eq!(fault(&deep), (513, JsonFault::TooDeep));
}

#[test]
fn gives_the_same_however_it_is_cut() {
    let corpus: [&[u8]; 8] = [
            br#" {"a" : [1, -2.5e+3,null ,true,"x\u00e9\ud83d\ude00\ud800z", []] , "longer key \n":"long enough value, plain"} "#,
            "{\"clé\":\"naïve 😀 texte\"}".as_bytes(),
            b"12345",
            b"\"\\ud83d",
            b"[1,2}",
            b"\"\xc3\\u00e9\"",
            b"[true,fals]",
            b"[\"a\tb\"]",
        ];
    for input in corpus {
        let whole = parse(&[input], JsonLimits::default());
        for chunks in chunkings(input) {
            assert_eq!(parse(&chunks, JsonLimits::default()), whole, "{chunks:?}");
        }
    }
}

#[test]
fn agrees_with_another_parser_on_mutations() {
    let seed = r#"{"a":[1,-2.5e3,null,true,"x\u00e9\ud83d\ude00 é",[],{}],"b":{"c":"d\n"}}"#;
    let alphabet = b"{}[]\",:\\u0e1-+. \xc3\xa9dtrfn\n\x01";
    let mut random = Xorshift::new(11);
    let mut good = 0;
    for _ in 0..60_000 {
        let input = random.mutate(seed.as_bytes(), alphabet);
        let (seen, end) = parse(&[&input], JsonLimits::default());
        let cut = random.chunks(&input);
        assert_eq!(parse(&cut, JsonLimits::default()), (seen, end));
        let other = serde_json::from_slice::<serde_json::Value>(&input);
        let Err(reason) = other else {
            assert_eq!(end, Ok(()), "{}", String::from_utf8_lossy(&input));
            good += 1;
            continue;
        };
        if end.is_ok() && !input.is_empty() {
            // The other parser refuses lone surrogates and numbers beyond its range.
            let reason = reason.to_string();
            let known = ["surrogate", "number out of range", "hex escape"];
            assert!(known.iter().any(|word| reason.contains(word)), "{reason}");
        }
    }
    assert!(good > 1000, "{good}");
}

#[test]
fn finds_the_end_of_a_run_at_every_place() {
    for width in 0..40 {
        for stop in [&b"\""[..], b"\\", b"\x1f", b"\0", b""] {
            let input = [&vec![b'a'; width], stop, b"\xff\"zzzzzzzz"].concat();
            let wanted = if stop.is_empty() { (width + 1, true) } else { (width, false) };
            assert_eq!(plain_run(&input), wanted);
        }
    }
}
