//! The injection detectors against the C library whose algorithm they implement.
//!
//! The C library is the one inside libmodsecurity; where it or a C compiler is missing, the test says so and
//! compares nothing.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "in a test a panic is the verdict, and figures are for whoever asks for its output"
)]
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use smesec_core::waf::injection::{detect_sqli, detect_xss};

const SHARED_OBJECTS: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/libmodsecurity.so.3",
    "/usr/lib/aarch64-linux-gnu/libmodsecurity.so.3",
    "/usr/lib64/libmodsecurity.so.3",
];

#[derive(Debug, PartialEq, Eq)]
struct Answer {
    sqli: Option<String>,
    xss: bool,
}

fn ours(input: &[u8]) -> Answer {
    Answer {
        sqli: detect_sqli(input).map(|found| found.as_str().to_owned()),
        xss: detect_xss(input),
    }
}

struct Oracle {
    program: PathBuf,
    object: &'static str,
}

impl Oracle {
    fn build() -> Result<Self, String> {
        let object = SHARED_OBJECTS
            .into_iter()
            .find(|path| Path::new(path).exists())
            .ok_or("libmodsecurity.so.3 is not installed")?;
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("injection_oracle");
        let source =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/injection_oracle.c");
        let built = Command::new("cc")
            .args(["-O2", "-o"])
            .args([&program, &source])
            .arg("-ldl")
            .status()
            .map_err(|error| format!("no C compiler: {error}"))?;
        if !built.success() {
            return Err(format!("the C compiler refused {}", source.display()));
        }
        let oracle = Self { program, object };
        // A library that cannot be loaded is a missing one; wrong answers of one that can are not.
        oracle.run(&[]).map(|_| oracle)
    }

    fn run(&self, inputs: &[Vec<u8>]) -> Result<Vec<Answer>, String> {
        let mut child = Command::new(&self.program)
            .arg(self.object)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let mut stdin = child.stdin.take().unwrap();
        let mut stream = Vec::new();
        for input in inputs {
            stream.extend_from_slice(&u32::try_from(input.len()).unwrap().to_le_bytes());
            stream.extend_from_slice(input);
        }
        let writer = std::thread::spawn(move || stdin.write_all(&stream));
        let output = child.wait_with_output().map_err(|error| error.to_string())?;
        let written = writer.join().unwrap();
        if !output.status.success() {
            return Err(format!("the oracle ended with {}", output.status));
        }
        written.map_err(|error| error.to_string())?;
        Ok(output
            .stdout
            .chunks_exact(9)
            .map(|answer| Answer {
                sqli: (answer[0] & 1 != 0).then(|| {
                    let text: Vec<u8> =
                        answer[1..].iter().copied().take_while(|&byte| byte != 0).collect();
                    String::from_utf8_lossy(&text).into_owned()
                }),
                xss: answer[0] & 2 != 0,
            })
            .collect())
    }
}

/// Excuses for answers that differ from the C library's: a reason, and the input changed so that the reason is
/// gone and the C library must answer as we do for the input as it was.
fn excuse(input: &[u8], ours: &Answer, theirs: &Answer) -> Option<(&'static str, Vec<u8>)> {
    if input.contains(&0xff) && ours.xss && !theirs.xss && ours.sqli == theirs.sqli {
        let reason = "C takes byte 0xff for the end of the input where `char` is signed, and misses what follows";
        return Some((
            reason,
            input.iter().map(|&byte| if byte == 0xff { 0xfe } else { byte }).collect(),
        ));
    }
    None
}

fn compare(oracle: &Oracle, name: &str, inputs: &[Vec<u8>]) {
    let theirs = oracle.run(inputs).unwrap();
    assert_eq!(theirs.len(), inputs.len());
    let (mut sqli, mut xss) = (0_usize, 0_usize);
    let mut excused = Vec::new();
    let mut faults = Vec::new();
    for (input, theirs) in inputs.iter().zip(theirs) {
        sqli += usize::from(theirs.sqli.is_some());
        xss += usize::from(theirs.xss);
        let ours = ours(input);
        if ours != theirs {
            match excuse(input, &ours, &theirs) {
                Some((reason, changed)) => excused.push((reason, changed, input, ours)),
                None => faults.push((input.escape_ascii().to_string(), ours, theirs)),
            }
        }
    }
    let changed: Vec<_> = excused.iter().map(|(_, changed, ..)| changed.clone()).collect();
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for ((reason, _, input, ours), theirs) in excused.into_iter().zip(oracle.run(&changed).unwrap())
    {
        *reasons.entry(reason).or_default() += 1;
        if ours != theirs {
            faults.push((input.escape_ascii().to_string(), ours, theirs));
        }
    }
    println!("{name}: {} inputs, {sqli} SQLi, {xss} XSS, excused {reasons:?}", inputs.len());
    assert!(sqli > 0 && xss > 0, "{name}: no attacks in the inputs");
    faults.sort_by_key(|(input, ..)| input.len());
    for (input, ours, theirs) in faults.iter().take(40) {
        println!("b\"{input}\"\n    ours   {ours:?}\n    theirs {theirs:?}");
    }
    assert!(faults.is_empty(), "{name}: {} of {} answers differ", faults.len(), inputs.len());
}

fn oracle_or_skip(test: &str) -> Option<&'static Oracle> {
    static ORACLE: OnceLock<Result<Oracle, String>> = OnceLock::new();
    match ORACLE.get_or_init(Oracle::build) {
        Ok(oracle) => Some(oracle),
        Err(reason) => {
            skip(&format!("{test}: {reason}"));
            None
        }
    }
}

/// Past the capture of the test's output, so that nobody takes silence for success.
fn skip(reason: &str) {
    std::io::stderr().write_all(format!("SKIPPED: {reason}\n").as_bytes()).unwrap();
}

/// xorshift64*: the same inputs in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let wide = u128::from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d));
        usize::try_from((wide * limit as u128) >> 64).unwrap()
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

const SQL: &[&[u8]] = &[
    b"'",
    b"'",
    b"'",
    b"\"",
    b"\"",
    b"`",
    b" ",
    b" ",
    b" ",
    b" ",
    b" ",
    b"\t",
    b"\n",
    b"\0",
    b"\xa0",
    b"--",
    b"-- ",
    b"--x",
    b"#",
    b"/*",
    b"*/",
    b"/**/",
    b"/*!",
    b"/*!50000",
    b"1",
    b"0",
    b"42",
    b"1.5",
    b".5",
    b"1.",
    b"1e5",
    b"1.e",
    b"1e",
    b"1e+",
    b"0x1f",
    b"0x",
    b"0b01",
    b"0b",
    b"1f",
    b"1d;",
    b"1fu",
    b"12345678901234567890123456789012345",
    b"\\N",
    b"\\",
    b"\\'",
    b"\\\\'",
    b"''",
    b"\"\"",
    b"(",
    b")",
    b"((",
    b"))",
    b",",
    b";",
    b";;",
    b"=",
    b"!=",
    b"<>",
    b"<=>",
    b"<",
    b">",
    b":=",
    b"::",
    b":",
    b"+",
    b"-",
    b"*",
    b"/",
    b"%",
    b"&&",
    b"||",
    b"|",
    b"&",
    b"^",
    b"~",
    b"!",
    b"!!",
    b".",
    b"..",
    b"@",
    b"@@",
    b"@a",
    b"@@version",
    b"@`a`",
    b"@'a'",
    b"{",
    b"}",
    b"{a ",
    b"{``",
    b"[",
    b"]",
    b"[a]",
    b"$",
    b"$1,000.00",
    b"$$a$$",
    b"$a$b$a$",
    b"$a$",
    b"$.",
    b"?",
    b"b'01'",
    b"B'0",
    b"x'1f'",
    b"X'g'",
    b"e'a'",
    b"E'",
    b"n'a'",
    b"N'",
    b"nq'(a)'",
    b"q'[a]'",
    b"Q'!a!'",
    b"q'",
    b"u&'a'",
    b"U&'",
    b"union",
    b"UNION",
    b"UnIoN",
    b"select",
    b"SELECT",
    b"select.1",
    b"select`a`",
    b"a.select",
    b"all",
    b"distinct",
    b"from",
    b"where",
    b"and",
    b"AND",
    b"or",
    b"OR",
    b"xor",
    b"not",
    b"NOT",
    b"in",
    b"is",
    b"null",
    b"like",
    b"LIKE",
    b"not like",
    b"between",
    b"having",
    b"group",
    b"by",
    b"order",
    b"limit",
    b"insert",
    b"into",
    b"outfile",
    b"dumpfile",
    b"delete",
    b"drop",
    b"table",
    b"update",
    b"set",
    b"values",
    b"exec",
    b"execute",
    b"declare",
    b"if",
    b"IF",
    b"case",
    b"when",
    b"then",
    b"end",
    b"sleep",
    b"benchmark",
    b"user",
    b"user(",
    b"USER_ID",
    b"database",
    b"password",
    b"current_user",
    b"current_date",
    b"localtime",
    b"waitfor",
    b"delay",
    b"sp_password",
    b"char",
    b"int",
    b"varchar",
    b"binary",
    b"collate",
    b"latin1_bin",
    b"utf8",
    b"_utf8",
    b"natural",
    b"left",
    b"outer",
    b"join",
    b"mod",
    b"div",
    b"regexp",
    b"sounds",
    b"foo",
    b"bar",
    b"a",
    b"id",
    b"admin",
    b"information_schema.tables",
    b"caf\xc3\xa9",
    b"\xff",
    b"\x80",
    b"\xe2\x80\x99",
    b"\x7f",
    b"for",
    b"lock",
    b"mode",
    b"boolean",
    b"load_file",
    b"concat",
    b"sum",
    b"true",
    b"`a`",
    b"`sleep`",
    b"`",
    b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];

const HTML: &[&[u8]] = &[
    b"<",
    b"<",
    b"<",
    b">",
    b">",
    b"/",
    b"=",
    b"=",
    b"=",
    b" ",
    b" ",
    b"\t",
    b"\n",
    b"\x0b",
    b"\0",
    b"'",
    b"\"",
    b"`",
    b"!",
    b"-",
    b"--",
    b"->",
    b"<!--",
    b"-->",
    b"-!>",
    b"-\0->",
    b"<![CDATA[",
    b"]]>",
    b"]",
    b"<!DOCTYPE",
    b"<!doctype x",
    b"<?",
    b"<?import",
    b"<?xml",
    b"<%",
    b"%>",
    b"%",
    b"<!ENTITY",
    b"[if",
    b"</",
    b"</>",
    b"</a",
    b"<a",
    b"<b",
    b"<p",
    b"<img",
    b"<script",
    b"<SCRIPT",
    b"scr\0ipt",
    b"<svg",
    b"<xsl:x",
    b"<xml",
    b"<xss",
    b"<x",
    b"<iframe",
    b"<object",
    b"<base",
    b"<link",
    b"<meta",
    b"<style",
    b"<form",
    b"<video",
    b"<\0script",
    b"<\0",
    b"src",
    b"href",
    b"HREF",
    b"hr\0ef",
    b"xlink:href",
    b"xmlns",
    b"xmlns:a",
    b"XLINK",
    b"style",
    b"filter",
    b"onload",
    b"onerror",
    b"ONCLICK",
    b"on",
    b"onx",
    b"onab",
    b"onabc",
    b"o\0nload",
    b"action",
    b"formaction",
    b"by",
    b"to",
    b"from",
    b"values",
    b"attributename",
    b"folder",
    b"background",
    b"dynsrc",
    b"lowsrc",
    b"poster",
    b"datasrc",
    b"dataformatas",
    b"handler",
    b"id",
    b"class",
    b"a",
    b"x=y",
    b"javascript:",
    b"JaVaScRiPt:",
    b"java",
    b"jav\nascript",
    b"j\0ava",
    b"data:",
    b"vbscript:",
    b"view-source:",
    b"view",
    b"&#106;ava",
    b"&#x6A;ava",
    b"&#x6aava",
    b"&#0000106;ava",
    b"&#x144;ata",
    b"&#32;",
    b"&#10;",
    b"&#x0;",
    b"&#",
    b"&#x",
    b"&#xg",
    b"&",
    b"&amp;",
    b"&#99999999;",
    b"&#x1000ff;",
    b"https://x/",
    b"\x01",
    b"\x80",
    b"\xc2\xa0",
    b"alert(1)",
    b";",
];

fn generate(random: &mut Random, parts: &[&[u8]], longest: usize) -> Vec<u8> {
    let mut input = Vec::new();
    let spaced = random.chance(40);
    for _ in 0..=random.below(longest) {
        input.extend_from_slice(random.pick(parts));
        if spaced && random.chance(70) {
            input.push(b' ');
        }
    }
    while random.chance(25) && !input.is_empty() {
        let at = random.below(input.len());
        match random.below(4) {
            0 => drop(input.remove(at)),
            1 => input[at] = u8::try_from(random.below(256)).unwrap(),
            2 => input.insert(at, input[random.below(input.len())]),
            _ => input.truncate(at),
        }
    }
    input
}

#[test]
fn generated_values_are_answered_as_by_the_c_library() {
    let Some(oracle) = oracle_or_skip("generated values") else { return };
    let mut random = Random(0x5eed_0001);
    for (name, parts) in [("generated SQL", SQL), ("generated HTML", HTML)] {
        let inputs: Vec<_> =
            (0..120_000).map(|round| generate(&mut random, parts, 2 + round % 12)).collect();
        compare(oracle, name, &inputs);
    }
    let both = [SQL, HTML].concat();
    let inputs: Vec<_> = (0..60_000).map(|_| generate(&mut random, &both, 16)).collect();
    compare(oracle, "generated SQL and HTML", &inputs);
}

#[test]
fn short_values_are_answered_as_by_the_c_library() {
    let Some(oracle) = oracle_or_skip("short values") else { return };
    let mut inputs = Vec::new();
    // Every pair of bytes, in places where the lexers branch.
    for first in 0..=255 {
        for second in 0..=255 {
            inputs.push(vec![first, second]);
            inputs.push([b"1 or ", &[first, second][..], b"1"].concat());
            inputs.push([b"<a ", &[first, second][..], b"onload=1>"].concat());
            inputs.push([&[b'1', first, second][..], b"' or 1--"].concat());
        }
    }
    // Every row of pieces that can stand for a kind of token.
    let kinds: [&[u8]; 22] = [
        b"1",
        b"a",
        b"'s'",
        b"@v",
        b"=",
        b"and",
        b"union",
        b"select",
        b"(",
        b")",
        b",",
        b";",
        b"sleep",
        b"from",
        b"-",
        b"/**/",
        b"--",
        b"order by",
        b"int",
        b"exec",
        b"collate",
        b"{",
    ];
    for a in kinds {
        for b in kinds {
            for c in kinds {
                inputs.push([a, b, c].join(&b' '));
                for d in kinds {
                    inputs.push([a, b, c, d].join(&b' '));
                }
            }
        }
    }
    compare(oracle, "short values", &inputs);
}

#[test]
fn values_of_the_corpus_are_answered_as_by_the_c_library() {
    let Some(oracle) = oracle_or_skip("values of the corpus") else { return };
    let corpora = std::env::var_os("SMESEC_CORPORA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpora"),
        PathBuf::from,
    );
    let mut files = Vec::new();
    collect(&corpora.join("crs/tests/regression/tests"), &mut files);
    if files.is_empty() {
        skip(&format!(
            "values of the corpus: no tests of the Core Rule Set in {}",
            corpora.display()
        ));
        return;
    }
    let mut inputs = Vec::new();
    for file in files {
        for line in std::fs::read(file).unwrap().split(|&byte| byte == b'\n') {
            let value = line.split(|&byte| byte == b':').skip(1).collect::<Vec<_>>().join(&b':');
            for text in [line, value.trim_ascii()] {
                inputs.push(text.to_vec());
                inputs.push(decode(text));
            }
            for argument in line.split(|byte| b"&?= ".contains(byte)) {
                inputs.push(argument.to_vec());
                inputs.push(decode(argument));
            }
        }
    }
    inputs.sort();
    inputs.dedup();
    compare(oracle, "values of the corpus", &inputs);
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            collect(&entry, files);
        } else if entry.extension().is_some_and(|extension| extension == "yaml") {
            files.push(entry);
        }
    }
}

/// The URL-decoded form of a value.
fn decode(value: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(value.len());
    let mut rest = value;
    while let [first, tail @ ..] = rest {
        rest = tail;
        let digit =
            |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        decoded.push(match (first, tail) {
            (b'+', _) => b' ',
            (b'%', [high, low, behind @ ..]) if digit(*high).is_some() && digit(*low).is_some() => {
                rest = behind;
                digit(*high).unwrap_or(0) << 4 | digit(*low).unwrap_or(0)
            }
            _ => *first,
        });
    }
    decoded
}
