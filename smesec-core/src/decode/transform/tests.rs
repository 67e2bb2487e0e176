use super::*;

fn run(transform: Transform, input: &[u8]) -> Vec<u8> {
    let mut out = b"left over".to_vec();
    if transform.apply(input, &mut out) {
        assert_ne!(out, input, "{transform:?} claims a change");
        out
    } else {
        input.to_vec()
    }
}

#[track_caller]
fn check(name: &str, cases: &[(&[u8], &[u8])]) {
    let transform = Transform::from_name(name).unwrap();
    for (input, expected) in cases {
        let result = run(transform, input);
        assert_eq!(
            result.escape_ascii().to_string(),
            expected.escape_ascii().to_string(),
            "{name} of {}",
            input.escape_ascii()
        );
    }
}

#[test]
fn names_are_found_whatever_their_case_and_none_is_no_transformation() {
    for &transform in Transform::ALL {
        assert_eq!(Transform::from_name(transform.name()), Some(transform));
        assert_eq!(Transform::from_name(&transform.name().to_uppercase()), Some(transform));
    }
    assert_eq!(Transform::from_name("normalisePath"), Some(Transform::NormalizePath));
    assert_eq!(Transform::from_name("NORMALISEPATHWIN"), Some(Transform::NormalizePathWin));
    assert_eq!(Transform::ALL.len(), 35);
    assert_eq!(Transform::from_name("none"), None);
    assert_eq!(Transform::from_name(""), None);
}

#[test]
fn url() {
    check(
        "urlDecode",
        &[
            (b"a+b%20c%3Cd%3e", b"a b c<d>"),
            (b"%zz%4%41%", b"%zz%4A%"),
            (b"%u0041", b"%u0041"),
            (b"%00", b"\0"),
            (b"%%41", b"%A"),
        ],
    );
    check(
        "urlDecodeUni",
        &[
            (b"%uff1cscript%UFF1E", b"<script>"),
            (b"%u0041%u4e2d+%3c", b"A- <"),
            (b"%uff00%uff5f", b"\0\x5f"),
            (b"%u12g4%u123%u%41", b"%u12g4%u123%uA"),
        ],
    );
    check("urlEncode", &[(b"a b*Z9/\xff", b"a+b*Z9%2f%ff"), (b"abc", b"abc")]);
}

#[test]
fn a_unicode_map_goes_before_the_low_byte() {
    let map = UnicodeMap::parse("20127 (US-ASCII)\nff1c:28 2032:27\n", 20127).unwrap();
    let mut out = Vec::new();
    assert!(Transform::UrlDecodeUni.apply_with(b"%uff1c%u2032%uff1e%u0042", &mut out, Some(&map)));
    assert_eq!(out, b"('>B");
}

#[test]
fn html() {
    check(
        "htmlEntityDecode",
        &[
            (b"&lt;a&GT;&quot&amp;&nbsp;", b"<a>\"&\xa0"),
            (b"&#60;&#x3C;&#X3c&#060x", b"<<<<x"),
            (b"&#316;", b"<"),
            (b"&#99999999999999999999;&#xffffffffffffffffffff;", b"\xff\xff"),
            (b"&;&#;&#x;&unknown;&ltx;&", b"&;&#;&#x;&unknown;&ltx;&"),
            (b"&&lt;", b"&<"),
        ],
    );
}

#[test]
fn backslash_escapes() {
    check(
        "jsDecode",
        &[
            (br"\u003c\uFF1e\x41\101\n\t\a\'\\", b"<>AA\n\t\x07'\\"),
            (br"\477\1\18\0", b"\x277\x01\x018\0"),
            (br"\u00g1\xg1\", br"u00g1xg1\"),
            (br"\X41", b"X41"),
        ],
    );
    check(
        "escapeSeqDecode",
        &[
            (br"\x41\X42\103\a\b\f\n\r\t\v\?\'\q", b"ABC\x07\x08\x0c\n\r\t\x0b?'q"),
            (br"\777\xzz\", b"\xffxzz\\"),
        ],
    );
    check(
        "cssDecode",
        &[
            (br"\6a avascript\3a", b"javascript:"),
            (br"\00006a\0000 6a", b"j\x006a"),
            (br"\ff1c\0ff1e\00ff1c\10ff1c", b"<>\x3c\x1c"),
            (b"a\\\nb\\zc\\", b"abzc"),
            (b"\\41  b", b"A b"),
            (br"\1\12\123", b"\x01\x12\x23"),
        ],
    );
}

#[test]
fn base64_and_hex() {
    for (plain, coded) in
        [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
    {
        check("base64Encode", &[(plain.as_bytes(), coded.as_bytes())]);
        check("base64Decode", &[(coded.as_bytes(), plain.as_bytes())]);
        check("base64DecodeExt", &[(coded.as_bytes(), plain.as_bytes())]);
    }
    check(
        "base64Decode",
        &[(b"Zm9v!YmFy", b"foo"), (b"Zm9vYg", b"foob"), (b"Zm9\r\nv", b"foo"), (b"!", b"")],
    );
    check(
        "base64DecodeExt",
        &[(b"Z m.9!v", b"foo"), (b"-_-_", b"\xfb\xff\xbf"), (b"Zm9vY=YmFy", b"")],
    );
    check("hexEncode", &[(b"\0a\xff", b"0061ff")]);
    check("hexDecode", &[(b"0061fF4", b"\0a\xff"), (b"", b"")]);
    check(
        "sqlHexDecode",
        &[
            (b"select 0x414243 or 0X41", b"select ABC or A"),
            (b"0x4 0xg 00x41420x431", b"0x4 0xg 0ABC1"),
        ],
    );
}

#[test]
fn paths() {
    let both: &[(&[u8], &[u8])] = &[
        (b"/a/./b/../c//d", b"/a/c/d"),
        (b"/../../etc/passwd", b"/etc/passwd"),
        (b"../../a", b"../../a"),
        (b"a/../../b", b"../b"),
        (b"a/b/", b"a/b/"),
        (b"./a", b"a"),
        (b"/", b"/"),
        (b"/a/b/../", b"/a/"),
        (b"/a/..", b""),
        (b"x/name../b", b"x/name../b"),
        (b"/...", b"/..."),
    ];
    check("normalizePath", both);
    check("normalizePathWin", both);
    check("normalizePath", &[(br"a\..\b", br"a\..\b")]);
    check("normalizePathWin", &[(br"a\..\b", b"b"), (br"\x\y/.\z\", b"/x/y/z/")]);
}

#[test]
fn comments() {
    check(
        "replaceComments",
        &[
            (b"a/*b*/c/**/d", b"a c d"),
            (b"a/*b", b"a "),
            (b"a*/b/c*d", b"a*/b/c*d"),
            (b"/*/x", b" "),
        ],
    );
    check(
        "removeComments",
        &[
            (b"a/*b*/c<!--d-->e", b"ace"),
            (b"a/*b*/", b"a"),
            (b"a-b<c--d", b"a-b<c"),
            (b"a#b", b"a"),
            (b"a<!--b", b"a "),
            (b"a/*b*/#c", b"a"),
        ],
    );
    check(
        "removeCommentsChar",
        &[(b"a/*b*/c<!--d-->e--f#g", b"abcdefg"), (b"a/b*c-d<!-e", b"a/b*c-d<!-e")],
    );
}

#[test]
fn white_space_nulls_and_case() {
    check("compressWhitespace", &[(b" a\t\r\n\x0b\x0c b\xa0c", b" a b\xa0c")]);
    check("removeWhitespace", &[(b" a\tb\xa0c\n\xc2\xa0", b"abc")]);
    check("removeNulls", &[(b"\0a\0\0b", b"ab")]);
    check("replaceNulls", &[(b"\0a\0\0b", b" a  b")]);
    check("trim", &[(b" \ta b\n", b"a b"), (b"  ", b"")]);
    check("trimLeft", &[(b" a ", b"a ")]);
    check("trimRight", &[(b" a ", b" a")]);
    check("lowercase", &[(b"AbC\xc4", b"abc\xc4")]);
    check("uppercase", &[(b"aBc\xe4", b"ABC\xe4")]);
    check("length", &[(b"", b"0"), (b"0123456789", b"10")]);
}

#[test]
fn command_lines() {
    check(
        "cmdLine",
        &[
            (b"C^md.\"eXe\" '/C' ;; d\\ir", b"cmd.exe/c dir"),
            (b"a ,;\t\r\nb", b"a b"),
            (b"nc  -e\t /bin/sh (x)", b"nc -e/bin/sh(x)"),
            (b" a ", b" a "),
            (b"a \"/b", b"a/b"),
            (b"a\x0bb", b"a\x0bb"),
        ],
    );
}

#[test]
fn utf8_sequences() {
    check(
        "utf8toUnicode",
        &[
            ("é中😀a".as_bytes(), b"%u00e9%u4e2d%u1f600a"),
            (b"\xc0\xaf\xed\xa0\x80", b"%u002f\xc0%ud800\xed"),
            (b"\xc3A\xe4\xb8", b"A\xb8"),
            (b"\x80\xff", b"\x80\xff"),
            (b"\xf4\x90\x80\x80", b"%u110000"),
        ],
    );
}

#[test]
fn parity_over_all_eight_bits() {
    check("parityEven7bit", &[(b"\x01\x03\x81", b"\x81\x03\x01")]);
    check("parityOdd7bit", &[(b"\x01\x03\x81", b"\x01\x83\x81")]);
    check("parityZero7bit", &[(b"\xc1A", b"AA")]);
}

#[test]
fn digests_of_the_rfcs() {
    let hex = |transform, input: &[u8]| {
        String::from_utf8(run(Transform::HexEncode, &run(transform, input))).unwrap()
    };
    assert_eq!(hex(Transform::Md5, b""), "d41d8cd98f00b204e9800998ecf8427e");
    assert_eq!(hex(Transform::Md5, b"abc"), "900150983cd24fb0d6963f7d28e17f72");
    assert_eq!(hex(Transform::Md5, &b"1234567890".repeat(8)), "57edf4a22be3c955ac49da2e2107b67a");
    assert_eq!(hex(Transform::Sha1, b""), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    assert_eq!(hex(Transform::Sha1, b"abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
    let long = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    assert_eq!(hex(Transform::Sha1, long), "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
}

/// A small generator (xorshift64) of inputs made of what the transformations look for.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound).unwrap()
    }

    fn input(&mut self) -> Vec<u8> {
        const PARTS: [&[u8]; 40] = [
            b"%",
            b"%u",
            b"%4",
            b"+",
            b"&",
            b"&#",
            b"&#x",
            b"lt",
            b";",
            b"\\",
            b"\\u",
            b"\\x",
            b"ff",
            b"FF1c",
            b"0",
            b"0x",
            b"41",
            b"777",
            b"/",
            b"/*",
            b"*/",
            b"<!--",
            b"-->",
            b"--",
            b"#",
            b".",
            b"..",
            b"../",
            b" ",
            b"\t",
            b"\r\n",
            b"\0",
            b"\xa0",
            b"\xc3",
            b"\xe4\xb8\xad",
            b"\xf0\x9f",
            b"=",
            b"QUJD",
            b"'\"^",
            b"a",
        ];
        let mut input = Vec::new();
        for _ in 0..self.below(12) {
            if self.below(8) == 0 {
                input.push(u8::try_from(self.below(256)).unwrap());
            } else {
                input.extend_from_slice(PARTS[self.below(40)]);
            }
        }
        input
    }
}

#[test]
fn no_change_without_a_trigger_and_none_claimed_that_is_not() {
    let mut random = Random(0x5EED);
    let mut changes = 0;
    for _ in 0..60_000 {
        let input = random.input();
        let set = ByteSet::scan(&input);
        for &transform in Transform::ALL {
            let mut out = Vec::new();
            if transform.apply(&input, &mut out) {
                changes += 1;
                assert_ne!(out, input, "{transform:?}");
                let triggers = transform.triggers();
                assert!(
                    triggers == ByteSet::FULL || set.intersects(triggers),
                    "{transform:?} changes {}",
                    input.escape_ascii()
                );
                assert!(
                    out.len() <= (input.len() * 4).max(20),
                    "{transform:?} grows {}",
                    input.escape_ascii()
                );
            }
        }
    }
    assert!(changes > 500_000, "the inputs reach the transformations: {changes}");
}

#[test]
fn single_bytes_change_only_by_their_trigger() {
    for byte in 0..=u8::MAX {
        for &transform in Transform::ALL {
            if run(transform, &[byte]) != [byte] {
                assert!(transform.triggers().contains(byte), "{transform:?} of {byte:#x}");
            }
        }
    }
}

#[test]
fn a_second_run_changes_nothing() {
    let settled = [
        "compressWhitespace",
        "lowercase",
        "uppercase",
        "trim",
        "trimLeft",
        "trimRight",
        "removeNulls",
        "replaceNulls",
        "removeWhitespace",
        "normalizePath",
        "normalizePathWin",
        "parityZero7bit",
        "cmdLine",
    ];
    let mut random = Random(0xBEEF);
    for _ in 0..30_000 {
        let input = random.input();
        for name in settled {
            let transform = Transform::from_name(name).unwrap();
            let once = run(transform, &input);
            assert_eq!(run(transform, &once), once, "{name} of {}", input.escape_ascii());
        }
    }
}

#[test]
fn encoders_are_undone_by_their_decoders() {
    let mut random = Random(0xCAFE);
    for _ in 0..10_000 {
        let input = random.input();
        for (encode, decode) in [
            (Transform::UrlEncode, Transform::UrlDecode),
            (Transform::UrlEncode, Transform::UrlDecodeUni),
            (Transform::HexEncode, Transform::HexDecode),
            (Transform::Base64Encode, Transform::Base64Decode),
            (Transform::Base64Encode, Transform::Base64DecodeExt),
        ] {
            assert_eq!(run(decode, &run(encode, &input)), input, "{encode:?}");
        }
    }
}

#[test]
fn every_prefix_of_nasty_text_is_taken() {
    let nasty = b"%u00%uff1c&#x3&nbsp&#99;\\u00\\x4\\77\\ff1c 0x41/*<!----><!--*/--#/../..\\.\xf0\x9f\x98\xe4\xb8QUI=\0\t ";
    for end in 0..=nasty.len() {
        for start in 0..end {
            for &transform in Transform::ALL {
                run(transform, &nasty[start..end]);
            }
        }
    }
}

#[test]
fn cost_is_linear_on_repeated_signs() {
    let started = std::time::Instant::now();
    let signs: [&[u8]; 14] = [
        b"<",
        b"-a",
        b"*",
        b"/",
        b"/*",
        b"&",
        b"&#",
        b"%",
        b"\\",
        b"0x",
        b"a/../",
        b"../",
        b"=",
        b"\xe4\xb8",
    ];
    for sign in signs {
        let input = sign.repeat(200_000);
        for &transform in Transform::ALL {
            run(transform, &input);
        }
    }
    // A quadratic loop takes minutes here; a linear one well under a second a sign.
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}

#[test]
fn what_never_grows_does_not() {
    let nasty =
        b"QUJD-_+=a/../b\\..//x \t^\"';,( /*c*/<!-- --> # \0 41424aG &amp; %41 \xff\xc3\xa9";
    for end in 0..=nasty.len() {
        for start in 0..end {
            let input = &nasty[start..end];
            for transform in Transform::ALL.iter().filter(|t| t.never_grows()) {
                assert!(run(*transform, input).len() <= input.len(), "{}", transform.name());
            }
        }
    }
}
