//! What holds for all formats: `auto` finds them, pieces of any size give the same records, and a cut
//! or changed byte breaks nothing.

use super::{BadLine, Format, Reader, ReaderOptions, Statistics, records_of};
use crate::siem::record::Record;
use crate::time::Timestamp;
use std::fmt::Write as _;

/// One of each format; several events each.
const SAMPLES: &[(Format, &str, &[u8])] = &[
    (
        Format::Json,
        "json",
        b"{\"ts\":\"2026-03-02T06:00:00.123Z\",\"product\":\"linux\",\"service\":\"sshd\",\"user\":\"a\\u00e9\\ud83d\\ude00\"}\n\
          {\"a\":{\"b\":{\"c d\":[1,2.50,true,null,\"x\"]}},\"n\":-1e5}\r\n",
    ),
    (
        Format::Json,
        "list",
        b"\xef\xbb\xbf [ {\"a\": {\"b\": [\"}]\", \"\\\"{\"]}},\r\n{\"a\": 2}\n,{\"c\":\n[]} ]\n[{\"d\": 1}]{\"e\": 2}",
    ),
    (
        Format::Json,
        "cloudtrail",
        b"{ \"Records\" : [{\"eventVersion\":\"1\",\"eventSource\":\"iam\"},{\"eventVersion\":\"2\"}], \"more\": [{\"}\": \"]}\"}]}\n{\"Records\":[{\"a\":1}]}\n{\"b\": 2}",
    ),
    (Format::Json, "over lines", b"{\n  \"a\": 1,\n  \"b\": {\n  }\n}\n{\n  \"a\": 2\n}\n"),
    (
        Format::Json,
        "suricata",
        b"{\"timestamp\":\"2026-03-02T06:00:00.123456+0100\",\"flow_id\":1,\"event_type\":\"alert\",\"src_ip\":\"192.0.2.7\",\"alert\":{\"signature\":\"x\",\"signature_id\":2010935}}\n",
    ),
    (
        Format::Json,
        "windows",
        b"{\"Event\":{\"#attributes\":{\"xmlns\":\"u\"},\"System\":{\"Provider\":{\"#attributes\":{\"Name\":\"P\"}},\"EventID\":{\"#attributes\":{\"Qualifiers\":0},\"#text\":7036},\"TimeCreated\":{\"#attributes\":{\"SystemTime\":\"2026-03-02T06:00:00.1Z\"}},\"EventRecordID\":42,\"Channel\":\"System\"},\"EventData\":{\"Threat Name\":\"x\",\"Data\":{\"#attributes\":{\"Name\":\"param 1\"},\"#text\":\"v\"}}}}\n",
    ),
    (
        Format::Json,
        "journal",
        b"{\"__REALTIME_TIMESTAMP\":\"1772431200123456\",\"_HOSTNAME\":\"web01\",\"SYSLOG_IDENTIFIER\":\"sshd\",\"MESSAGE\":\"Failed password for root from 192.0.2.7 port 4022 ssh2\"}\n",
    ),
    (
        Format::Syslog,
        "syslog",
        b"<34>Oct 11 22:14:15 mymachine su[12]: 'su root' failed\n\
          <165>1 2026-03-02T06:00:00.003Z host evntslog 812 ID47 [ex@32473 iut=\"3\" t=\"a\\\"\\]b\"][e2] \xef\xbb\xbfAn event\n\
          Mar  2 06:00:00 web01 sshd[812]: Failed password for invalid user x from 192.0.2.7 port 4022 ssh2\n\
          2026-03-02T06:00:00.123456+01:00 web01 sudo:    bob : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/sh\n\
          <13>Mar  2 06:00:00 fw CEF:0|Sec|IDS|1|100|worm|10|src=10.0.0.1\n",
    ),
    (Format::Cef, "cef", b"CEF:0|Sec|IDS|1.0|100|worm \\| x|10|src=10.0.0.1 msg=a b cs1Label=L M cs1=v\n"),
    (Format::Leef, "leef", b"LEEF:2.0|V|P|4.0|15345|^|src=192.0.2.0^usrName=x y\n"),
    (
        Format::Auditd,
        "auditd",
        b"type=SYSCALL msg=audit(1772431200.123:42): arch=c000003e syscall=59 success=yes a0=55d1 ppid=1 pid=2 uid=0 comm=\"cat\" exe=\"/usr/bin/cat\" key=(null)\x1dARCH=x86_64 SYSCALL=execve UID=\"root\"\n\
          type=EXECVE msg=audit(1772431200.123:42): argc=3 a0=\"cat\" a1=2F746D702F6120622E747874 a2=\"x\"\n\
          type=USER_LOGIN msg=audit(1772431200.124:43): pid=3 uid=0 msg='op=login acct=\"root\" exe=\"/usr/sbin/sshd\" hostname=? addr=192.0.2.7 terminal=ssh res=failed'\n\
          type=CWD msg=audit(1772431200.123:42): cwd=\"/root\"\n\
          type=PROCTITLE msg=audit(1772431200.123:42): proctitle=636174002F746D70\n",
    ),
    (
        Format::JournalExport,
        "journal export",
        b"__CURSOR=s=1\n__REALTIME_TIMESTAMP=1772431200123456\n_COMM=sshd\nMESSAGE\n\x0a\0\0\0\0\0\0\0one\n\ntwo=3\n_PID=812\n\n__CURSOR=s=2\nMESSAGE=x\n\n",
    ),
    (
        Format::Access,
        "access",
        b"192.0.2.7 - alice b [02/Mar/2026:06:00:00 +0100] \"GET /a/b?x=1&y=%27 HTTP/1.1\" 404 153 \"-\" \"curl/8 \\\"x\\\" \\x22\"\n\
          shop.example:443 2001:db8::7 - - [02/Mar/2026:06:00:00 +0000] \"POST / HTTP/2.0\" 200 -\n\
          192.0.2.7 - - [02/Mar/2026:06:00:00 +0000] \"\\x16\\x03\\x01\" 400 150 \"-\" \"-\"\n",
    ),
    (
        Format::ErrorLog,
        "error log",
        b"2026/03/02 06:00:00 [error] 12#13: *9 open() \"/x\" failed (2: No such file), client: 192.0.2.7, server: shop, request: \"GET /x HTTP/1.1\", host: \"shop.example\"\n\
          [Mon Mar 02 06:00:00.123456 2026] [core:error] [pid 9:tid 8] [client 192.0.2.7:5022] AH00126: Invalid URI, referer: http://x/\n",
    ),
    (
        Format::Csv,
        "csv",
        b"\"timestamp\",src ip,user,note\n2026-03-02 06:00:00,192.0.2.7,alice,\"a, \"\"b\"\"\nc\"\n2026-03-02 06:00:01,192.0.2.8,,\n",
    ),
    (
        Format::EventXml,
        "event xml",
        b"<?xml version=\"1.0\"?>\n<Events>\n<Event xmlns='u'><System><Provider Name='P' Guid='{x}'/><EventID Qualifiers='0'>1102</EventID><TimeCreated SystemTime='2026-03-02T06:00:00.1234567Z'/><EventRecordID>7</EventRecordID><Channel>Security</Channel></System>\n\
          <UserData><LogFileCleared xmlns='v'><SubjectUserName>a &amp; b</SubjectUserName></LogFileCleared></UserData></Event>\n\
          <Event><System><EventID>1</EventID></System><EventData><Data Name='Threat Name'>x<![CDATA[<y>]]></Data><Data>z</Data></EventData></Event>\n</Events>\n",
    ),
];

fn options() -> ReaderOptions {
    ReaderOptions { now: Timestamp::from_unix_seconds(1_772_500_000), ..ReaderOptions::default() }
}

fn tell(line: Result<Record<'_>, BadLine>, out: &mut String) {
    match line {
        Ok(record) => {
            let source = record.log_source;
            let _ = write!(
                out,
                "{} {} {}/{}/{}",
                record.number, record.time, source.product, source.category, source.service
            );
            for field in record.fields {
                let _ =
                    write!(out, " {}={:?}:{:?}", field.name, field.value.text, field.value.kind);
            }
            let _ = writeln!(out, " | {}", record.raw);
        }
        Err(bad) => {
            let _ = writeln!(out, "{bad}");
        }
    }
}

/// All that a reader tells, as text.
fn told(format: Format, bytes: &[u8], size: usize) -> (String, Statistics, Format) {
    let mut out = String::new();
    let mut each = |line: Result<Record<'_>, BadLine>| tell(line, &mut out);
    let mut reader = Reader::new(format, "x", options());
    for chunk in bytes.chunks(size) {
        reader.feed(chunk, &mut each);
    }
    reader.finish(&mut each);
    let (statistics, format) = (reader.statistics(), reader.format());
    (out, statistics, format)
}

fn whole(format: Format, bytes: &[u8]) -> String {
    told(format, bytes, bytes.len().max(1)).0
}

#[test]
fn auto_reads_every_format_as_its_name_does() {
    for (format, name, bytes) in SAMPLES {
        let named = whole(*format, bytes);
        assert_eq!(whole(Format::Auto, bytes), named, "{name}");
        assert!(!named.contains("x:"), "{name}: {named}");
    }
    // Formats by line may follow one another.
    let lines = ["json", "syslog", "cef", "leef", "access", "error log"];
    let sample = |name: &&str| SAMPLES.iter().find(|sample| sample.1 == *name).unwrap().2;
    let mixed: Vec<u8> = lines.iter().flat_map(sample).copied().collect();
    let (_, statistics, _) = told(Format::Auto, &mixed, 7);
    assert_eq!((statistics.records, statistics.bad), (14, 0));
}

#[test]
fn pieces_of_any_size_give_the_same() {
    for (_, name, bytes) in SAMPLES {
        for format in [Format::Auto, SAMPLES.iter().find(|s| s.1 == *name).unwrap().0] {
            let once = told(format, bytes, bytes.len());
            for size in 1..40 {
                assert_eq!(told(format, bytes, size), once, "{name} in pieces of {size}");
            }
        }
    }
}

#[test]
fn utf_16_is_read_as_utf_8_is() {
    for (format, name, bytes) in SAMPLES {
        let text = std::str::from_utf8(bytes).unwrap();
        let expected = whole(*format, bytes);
        let units = || std::iter::once(0xfeff).chain(text.encode_utf16());
        let little: Vec<u8> = units().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = units().flat_map(u16::to_be_bytes).collect();
        for written in [little, big] {
            for size in [1, 2, 3, 7, written.len()] {
                for format in [Format::Auto, *format] {
                    assert_eq!(told(format, &written, size).0, expected, "{name} by {size}");
                }
            }
        }
    }
    // Halves of pairs, and half a unit at the end.
    let broken = b"\xff\xfe{\0\"\0a\0\"\0:\0\"\0\x00\xd8x\0\x00\xdc\"\0}\0\n\0x";
    for size in 1..9 {
        let (out, statistics, _) = told(Format::Json, broken, size);
        assert!(out.contains(" a=\"\u{fffd}x\u{fffd}\":Text"), "{out}");
        assert_eq!((statistics.bytes, statistics.records), (broken.len() as u64, 1));
        assert!(statistics.replaced >= 2);
    }
}

#[test]
fn another_reader_goes_on_where_one_came_to() {
    for (format, name, bytes) in SAMPLES {
        let expected = whole(*format, bytes);
        let mut points = 0;
        for cut in 0..bytes.len() {
            for format in [Format::Auto, *format] {
                let mut out = String::new();
                let mut reader = Reader::new(format, "x", options());
                reader.feed(&bytes[..cut], &mut |line| tell(line, &mut out));
                let Some(point) = reader.point() else { continue };
                points += 1;
                let rest = &bytes[usize::try_from(point.offset).unwrap()..];
                let mut next = Reader::at(point, "x", options());
                next.feed(rest, &mut |line| tell(line, &mut out));
                next.finish(&mut |line| tell(line, &mut out));
                assert_eq!(out, expected, "{name} cut at {cut}, {point:?}");
            }
        }
        let whole_only = ["list", "cloudtrail", "over lines", "csv"].contains(name);
        assert_eq!(points == 0, whole_only, "{name}");
    }
}

#[test]
fn a_list_survives_what_is_no_object_in_it() {
    let text = b"[1, \"a\", {\"b\": \"no end},\n{\"c\": 1}, [2], null]\n{\"d\": 1}";
    let (out, statistics, _) = told(Format::Json, text, 3);
    assert!(out.contains("c=\"1\"") && out.contains("d=\"1\""), "{out}");
    assert!(out.starts_with("x:1: no valid JSON at byte 0"), "{out}");
    assert!(statistics.bad >= 4, "{out}");
    let apache = b"[Mon Mar 02 06:00:00 2026] [error] [client 192.0.2.7] x\n";
    assert!(whole(Format::Auto, apache).contains("/webserver/apache"));
}

#[test]
fn a_cut_or_changed_byte_breaks_nothing() {
    for (format, name, bytes) in SAMPLES {
        for at in 0..bytes.len() {
            for format in [Format::Auto, *format] {
                let cut = &bytes[..at];
                assert_eq!(whole(format, cut), told(format, cut, 3).0, "{name} cut at {at}");
                let mut changed = bytes.to_vec();
                for byte in [b'"', b'\n', 0xff, changed[at] ^ 1] {
                    changed[at] = byte;
                    let once = whole(format, &changed);
                    assert_eq!(once, told(format, &changed, 5).0, "{name} changed at {at}");
                }
            }
        }
    }
    // Any reader over any other's input.
    for (_, format) in Format::ALL {
        for (_, name, bytes) in SAMPLES {
            assert_eq!(whole(format, bytes), told(format, bytes, 4).0, "{name} as {format}");
        }
    }
}

#[test]
fn what_the_samples_become() {
    let of = |name: &str| {
        let (format, _, bytes) = SAMPLES.iter().find(|sample| sample.1 == name).unwrap();
        whole(*format, bytes)
    };
    let has = |name: &str, parts: &[&str]| {
        let text = of(name);
        for part in parts {
            assert!(text.contains(part), "{name}: no {part} in\n{text}");
        }
    };
    has(
        "json",
        &[
            "0 2026-03-02T06:00:00.123000000Z linux//sshd ",
            " user=\"aé😀\":Text",
            " a.b.cd=\"1\":Number a.b.cd=\"2.50\":Number a.b.cd=\"true\":Bool a.b.cd=\"\":Null a.b.cd=\"x\":Text n=\"-1e5\":Number",
        ],
    );
    has(
        "suricata",
        &[
            "2026-03-02T05:00:00.123456000Z suricata//eve ",
            " alert.signature_id=\"2010935\":Number",
        ],
    );
    has(
        "windows",
        &[
            "42 2026-03-02T06:00:00.100000000Z windows// Provider_Name=\"P\":Text EventID_Qualifiers=\"0\":Number EventID=\"7036\":Number",
            " ThreatName=\"x\":Text param1=\"v\":Text",
        ],
    );
    has("journal", &["0 2026-03-02T06:00:00.123456000Z linux//sshd", " src_ip=\"192.0.2.7\""]);
    has(
        "syslog",
        &[
            "0 2025-10-11T22:14:15.000000000Z linux//auth facility=\"auth\":Text severity=\"crit\":Text host=\"mymachine\":Text program=\"su\":Text pid=\"12\":Number",
            " msgid=\"ID47\":Text ex@32473.iut=\"3\":Text ex@32473.t=\"a\\\"]b\":Text program=\"evntslog\":Text pid=\"812\":Number message=\"An event\":Text",
            "2 2026-03-02T06:00:00.000000000Z linux//sshd",
            "3 2026-03-02T05:00:00.123456000Z linux//sudo",
            "4 2026-03-02T06:00:00.000000000Z sec//ids",
        ],
    );
    has(
        "auditd",
        &[
            "2 2026-03-02T06:00:00.124000000Z linux//auditd serial=\"43\":Number type=\"USER_LOGIN\":Text",
            " addr=\"192.0.2.7\":Text terminal=\"ssh\":Text res=\"failed\":Text",
            "0 2026-03-02T06:00:00.123000000Z linux/process_creation/auditd serial=\"42\":Number",
            " a1=\"/tmp/a b.txt\":Text a2=\"x\":Text CommandLine=\"cat /tmp/a b.txt x\":Text",
            " proctitle=\"cat /tmp\":Text Image=\"/usr/bin/cat\":Text CurrentDirectory=\"/root\":Text",
            " SYSCALL=\"execve\":Text",
        ],
    );
    has("journal export", &[" MESSAGE=\"one\\n\\ntwo=3\":Text _PID=\"812\":Number", "\n10 "]);
    has(
        "access",
        &[
            "0 2026-03-02T05:00:00.000000000Z /webserver/ c-ip=\"192.0.2.7\":Text cs-username=\"alice b\":Text cs-method=\"GET\":Text cs-uri=\"/a/b?x=1&y=%27\":Text cs-uri-stem=\"/a/b\":Text cs-uri-query=\"x=1&y=%27\":Text cs-version=\"HTTP/1.1\":Text sc-status=\"404\":Number sc-bytes=\"153\":Number cs-user-agent=\"curl/8 \\\"x\\\" \\\"\":Text",
            " cs-host=\"shop.example\":Text s-port=\"443\":Number c-ip=\"2001:db8::7\":Text",
            " cs-uri=\"\\u{16}\\u{3}\\u{1}\":Text",
        ],
    );
    has(
        "error log",
        &[
            "/webserver/nginx level=\"error\":Text pid=\"12\":Number tid=\"13\":Number connection=\"9\":Number",
            " c-ip=\"192.0.2.7\":Text server=\"shop\":Text request=\"GET /x HTTP/1.1\":Text cs-method=\"GET\":Text cs-uri=\"/x\":Text cs-host=\"shop.example\":Text",
            "1 2026-03-02T06:00:00.123456000Z /webserver/apache module=\"core\":Text level=\"error\":Text pid=\"9\":Number tid=\"8\":Number c-ip=\"192.0.2.7\":Text c-port=\"5022\":Number",
        ],
    );
    has(
        "csv",
        &[
            "1 2026-03-02T06:00:00.000000000Z // timestamp=\"2026-03-02 06:00:00\":Text srcip=\"192.0.2.7\":Text user=\"alice\":Text note=\"a, \\\"b\\\"\\nc\":Text",
            "\n3 2026-03-02T06:00:01",
        ],
    );
    has(
        "event xml",
        &[
            "7 2026-03-02T06:00:00.123456700Z windows// Provider_Name=\"P\":Text Provider_Guid=\"{x}\":Text EventID_Qualifiers=\"0\":Number EventID=\"1102\":Number",
            " SubjectUserName=\"a & b\":Text",
            " ThreatName=\"x<y>\":Text Data=\"z\":Text",
        ],
    );
}

#[test]
fn broken_lines_are_told_with_their_place() {
    let text = b"{\"a\":1}\nnothing known\n\n{\"a\":}\n{\"b\":\"\xff\"}\n";
    let (out, statistics, _) = told(Format::Auto, text, 5);
    assert!(out.contains("x:2: no format is known for this line"), "{out}");
    assert!(out.contains("x:4: no valid JSON at byte 5: a value is expected\n"), "{out}");
    assert!(out.contains("4 2026") && out.contains("b=\"\u{fffd}\":Text"), "{out}");
    assert_eq!((statistics.records, statistics.bad, statistics.replaced), (2, 2, 1));
    for (json, why) in [
        ("{\"a\":1} x", "byte 8: something after the object"),
        ("{\"a\":01}", "byte 5: a value"),
        ("{\"a\" 1}", "byte 5: `:`"),
        ("{\"a\":1,}", "byte 7: a key"),
        ("{\"a\":\"\\x\"}", "byte 8: an unknown escape"),
        ("{\"a\":\"\\ud8\"}", "byte 8: `\\u` without"),
        ("{\"a\":\"\u{1}\"}", "byte 6: a control character"),
        ("{\"a\":\"", "byte 6: the line ends in a string"),
        ("{\"a\":[1,2", "byte 9: `,` or the end"),
        ("[1]", "byte 0: an object"),
    ] {
        let out = whole(Format::Json, json.as_bytes());
        assert!(out.contains(why), "{json}: {out}");
    }
    let deep = "{\"a\":".repeat(100_000);
    assert!(whole(Format::Json, deep.as_bytes()).contains("nested deeper than 64"));
    let deep = format!("{{\"a\":{}", "[".repeat(100_000));
    assert!(whole(Format::Json, deep.as_bytes()).contains("nested deeper than 64"));
    let deep = "<Event>".repeat(100_000) + "</Event>";
    assert!(whole(Format::EventXml, deep.as_bytes()).contains("nested deeper than 32"));
}

#[test]
fn an_event_of_any_length_costs_what_the_limit_says() {
    let mut options = options();
    options.event_bytes = 1_000;
    for (format, start, end) in [
        (Format::Json, "{\"a\":\"", "\"}\n{\"b\":1}\n"),
        (Format::Json, "[{\"a\":\"", "\"},{\"b\":1}]\n"),
        (Format::Syslog, "<1>Mar  2 06:00:00 h x: ", "\n<1>Mar  2 06:00:00 h x: y\n"),
        (Format::Csv, "a,b,c\n1,2,\"", "\"\n1,2,3\n"),
        (
            Format::EventXml,
            "<Event><System><A>",
            "</A></System></Event><Event><System><EventID>1</EventID></System></Event>",
        ),
        (Format::JournalExport, "A=", "\n\nMESSAGE=x\n\n"),
    ] {
        let mut reader = Reader::new(format, "x", options.clone());
        let mut bad = Vec::new();
        let mut each = |line: Result<Record<'_>, BadLine>| {
            bad.extend(line.err().map(|bad| bad.to_string()));
        };
        reader.feed(start.as_bytes(), &mut each);
        let piece = vec![b'x'; 100_000];
        for _ in 0..1_000 {
            reader.feed(&piece, &mut each);
            assert!(reader.held.capacity() < 1 << 20);
        }
        reader.feed(end.as_bytes(), &mut each);
        reader.finish(&mut each);
        assert_eq!(reader.statistics().records, 1, "{format}: {bad:?}");
        assert_eq!(bad.len(), 1, "{format}: {bad:?}");
        assert!(bad[0].contains("longer than 1000 bytes"), "{bad:?}");
        // The same in one piece.
        let text = format!("{start}{}{end}", "x".repeat(5_000));
        let statistics = records_of(format, "x", text.as_bytes(), options.clone(), &mut |_| {});
        assert_eq!((statistics.records, statistics.bad), (1, 1), "{format}");
    }
    let many =
        format!("{{{}}}", (0..5_000).map(|n| format!("\"k{n}\":1")).collect::<Vec<_>>().join(","));
    assert!(whole(Format::Json, many.as_bytes()).contains("more fields than the limit"));
    // Joined names may not multiply the input.
    let name = "n".repeat(100_000);
    let inner = (0..4_000).map(|n| format!("\"{n}\":1")).collect::<Vec<_>>().join(",");
    let text = format!("{{\"{name}\":{{{inner}}}}}");
    assert!(whole(Format::Json, text.as_bytes()).contains("many times longer"));
}

#[test]
fn objects_of_known_services_have_their_log_source() {
    let source = |json: &str| {
        let out = whole(Format::Json, json.as_bytes());
        out.split(' ').nth(2).unwrap_or_default().to_owned()
    };
    assert_eq!(
        source("{\"eventVersion\":\"1\",\"eventSource\":\"s3\",\"awsRegion\":\"eu\"}"),
        "aws//cloudtrail"
    );
    assert_eq!(
        source("{\"protoPayload\":{\"serviceName\":\"x\",\"methodName\":\"y\"}}"),
        "gcp//gcp.audit"
    );
    assert_eq!(
        source("{\"_path\":\"conn\",\"ts\":1772431200.5,\"id.orig_h\":\"x\"}"),
        "zeek//conn"
    );
    assert_eq!(source("{\"a\":1}"), "//");
}

#[test]
fn events_of_the_audit_daemon_that_never_end_still_come() {
    let mut text = String::new();
    for serial in 0..1_000 {
        let _ = writeln!(text, "type=PATH msg=audit(1772431200.000:{serial}): item=0 name=\"/x\"");
    }
    let mut numbers = Vec::new();
    let statistics = records_of(Format::Auditd, "x", text.as_bytes(), options(), &mut |line| {
        numbers.push(line.unwrap().number);
    });
    assert_eq!(statistics.records, 1_000);
    assert_eq!(numbers, (0..1_000).collect::<Vec<_>>());
}

#[test]
fn blank_lines_before_the_first_event_are_not_held() {
    for start in ["\n", "\u{feff}\r\n \t\n"] {
        let mut reader = Reader::new(Format::Auto, "x", options());
        let mut bad = Vec::new();
        let mut each = |line: Result<Record<'_>, BadLine>| {
            bad.extend(line.err().map(|line| line.line));
        };
        reader.feed(start.as_bytes(), &mut each);
        for _ in 0..1_000 {
            reader.feed("\n".repeat(1_000).as_bytes(), &mut each);
            assert!(reader.held.is_empty());
        }
        reader.feed(b"{\"a\":1}\n{\n", &mut each);
        reader.finish(&mut each);
        assert_eq!(reader.statistics().records, 1);
        let blank = start.matches('\n').count() as u64 + 1_000_000;
        assert_eq!(bad, [blank + 2], "lines are counted all the same");
    }
}

#[test]
fn a_stray_quote_in_a_table_costs_its_line_alone() {
    let rows = (0..1_000).map(|n| format!("{n},x\n")).collect::<Vec<_>>().concat();
    let table = format!("a,b\n1,\"x\n{rows}");
    let read = |limit: usize, piece: usize| {
        let options = ReaderOptions { event_bytes: limit, ..options() };
        let mut reader = Reader::new(Format::Csv, "x", options);
        let mut bad = Vec::new();
        let mut each = |line: Result<Record<'_>, BadLine>| {
            bad.extend(line.err().map(|line| line.line));
        };
        for piece in table.as_bytes().chunks(piece) {
            reader.feed(piece, &mut each);
        }
        reader.finish(&mut each);
        (reader.statistics().records, bad)
    };
    for limit in [200, 1 << 20] {
        for piece in [1, 7, 1_000, table.len()] {
            assert_eq!(read(limit, piece), (1_000, vec![2]), "{limit} {piece}");
        }
    }
    // Lines each of which begins a value that never ends are still looked at twice only.
    let text = format!("a,b\n{}", "\"x\",\"\n".repeat(300_000));
    let statistics = records_of(Format::Csv, "x", text.as_bytes(), options(), &mut |_| {});
    assert_eq!(statistics.records + statistics.bad, 300_000);
}

#[test]
fn a_long_list_below_a_long_path_is_kept() {
    let items = vec!["{\"name\":1,\"deep\":{\"id\":2}}"; 800].join(",");
    let path = ["properties", "additionalDetails", "targetResources", "modifiedProperties"];
    let open = path.map(|name| format!("{{\"{name}\":")).concat();
    let line = format!("{open}[{items}]{}", "}".repeat(path.len()));
    let mut names = Vec::new();
    let statistics = records_of(Format::Json, "x", line.as_bytes(), options(), &mut |record| {
        names.extend(record.unwrap().fields.iter().map(|field| field.name.to_owned()));
    });
    assert_eq!((statistics.records, names.len()), (1, 1_600));
    let long = path.join(".");
    for (at, name) in names.iter().enumerate() {
        let own = if at % 2 == 0 { "name" } else { "deep.id" };
        assert_eq!(*name, format!("{long}.{own}"));
    }
}

#[test]
fn an_event_may_break_the_line_within_its_tag() {
    for blank in [" ", "\n", "\r\n  ", "\t"] {
        let text = format!(
            "<Events><Event{blank}xmlns='u'><System><EventID>7</EventID></System></Event></Events>"
        );
        let out = whole(Format::EventXml, text.as_bytes());
        assert!(out.contains("EventID=\"7\"") && !out.contains("is expected"), "{blank:?}: {out}");
    }
}
