//! The log readers on public event logs, beside what another reader makes of the same files.
#![cfg(feature = "siem")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a test: a panic is the verdict, and a skipped run has to be seen"
)]

use smesec_core::siem::record::Record;
use smesec_core::siem::sources::{BadLine, Format, ReaderOptions, Statistics, records_of};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A record's fields by name; `Data Name` forms and blanks are gone on both sides.
type Fields = BTreeMap<String, Vec<String>>;

fn corpus(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("SMESEC_CORPORA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora"),
        PathBuf::from,
    );
    let folder = root.join(name);
    if !folder.is_dir() {
        println!("SKIPPED: nothing at {}; set SMESEC_CORPORA", folder.display());
        return None;
    }
    Some(folder)
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn read(format: Format, bytes: &[u8]) -> (Vec<(u64, Fields)>, Vec<BadLine>, Statistics) {
    let (mut records, mut bad) = (Vec::new(), Vec::new());
    let statistics =
        records_of(format, "test", bytes, ReaderOptions::default(), &mut |line| match line {
            Ok(record) => records.push((record.number, fields(&record))),
            Err(line) => bad.push(line),
        });
    (records, bad, statistics)
}

/// The fields in a form that hangs on no rendering: empty ones dropped, GUIDs bare, times to the
/// microsecond without trailing zeros.
fn fields(record: &Record<'_>) -> Fields {
    let mut fields = Fields::new();
    for field in record.fields {
        let text = field.value.text;
        let guid = (36..=38).contains(&text.len())
            && text.bytes().filter(|byte| *byte == b'-').count() == 4
            && text.bytes().all(|byte| byte.is_ascii_hexdigit() || b"{-}".contains(&byte));
        let mut text = if guid {
            text.trim_matches(['{', '}']).to_ascii_lowercase()
        } else {
            text.trim().to_owned()
        };
        let time = text.len() > 20 && text.as_bytes()[10] == b'T' && text.ends_with('Z');
        if time {
            let (day, decimals) = text.trim_end_matches('Z').split_once('.').unwrap_or((&text, ""));
            let decimals = decimals.get(..decimals.len().min(6)).unwrap().trim_end_matches('0');
            text = format!("{}.{decimals}", day.trim_end_matches('Z'));
        }
        if !text.is_empty() {
            fields.entry(field.name.to_owned()).or_default().push(text);
        }
    }
    fields
}

#[test]
fn event_logs_read_as_another_reader_reads_them() {
    let mut paths = Vec::new();
    for name in ["evtx/files", "sigma/regression"] {
        paths.extend(corpus(name).map(|folder| files(&folder, ".evtx")).unwrap_or_default());
    }
    let (mut events, mut same, mut told) = (0, 0, 0);
    for path in &paths {
        let bytes = std::fs::read(path).unwrap();
        let (ours, bad, _) = read(Format::Auto, &bytes);
        assert!(bad.is_empty(), "{}: {bad:?}", path.display());
        for as_json in [true, false] {
            let mut parser = evtx::EvtxParser::from_buffer(bytes.clone()).unwrap();
            let theirs: Vec<String> = if as_json {
                parser.records_json().map(|record| record.unwrap().data).collect()
            } else {
                parser.records().map(|record| record.unwrap().data).collect()
            };
            assert_eq!(ours.len(), theirs.len(), "{}", path.display());
            for ((number, ours), theirs) in ours.iter().zip(&theirs) {
                let theirs: String = if as_json {
                    theirs.lines().collect::<Vec<_>>().join(" ")
                } else {
                    theirs.clone()
                };
                let format = if as_json { Format::Json } else { Format::EventXml };
                let (mut rendered, bad, _) = read(format, theirs.as_bytes());
                assert!(bad.is_empty() && rendered.len() == 1, "{bad:?}\n{theirs}");
                let (rendered_number, rendered) = rendered.remove(0);
                assert_eq!(*number, rendered_number, "{theirs}");
                events += 1;
                if *ours == rendered {
                    same += 1;
                } else {
                    told += 1;
                    if told < 40 {
                        println!("{} {number}", path.display());
                        for name in ours.keys().chain(rendered.keys()) {
                            if ours.get(name) != rendered.get(name) {
                                println!(
                                    "  {name}: {:?} / {:?}",
                                    ours.get(name),
                                    rendered.get(name)
                                );
                            }
                        }
                    }
                }
            }
        }
    }
    println!("{} files, {events} renderings compared, {same} the same", paths.len());
    assert_eq!(same, events);
}

/// The repository of the rules renders the same logs as JSON; some of its renderings have other
/// records than its logs, so those are compared that have the same number.
#[test]
fn event_logs_read_as_their_published_renderings() {
    let Some(folder) = corpus("sigma/regression") else { return };
    let (mut compared, mut missing, mut different, mut events) = (0, 0, 0, 0);
    for path in files(&folder, ".evtx") {
        let (ours, bad, _) = read(Format::Auto, &std::fs::read(&path).unwrap());
        assert!(bad.is_empty(), "{bad:?}");
        let rendered = std::fs::read(path.with_extension("jsonl")).unwrap();
        let (theirs, bad, _) = read(Format::Auto, &rendered);
        assert!(bad.is_empty(), "{}: {bad:?}", path.display());
        for (number, theirs) in theirs {
            events += 1;
            let Some((_, ours)) = ours.iter().find(|(ours, _)| *ours == number) else {
                missing += 1;
                continue;
            };
            compared += 1;
            if *ours != theirs {
                for name in ours.keys().chain(theirs.keys()) {
                    if ours.get(name) != theirs.get(name) {
                        println!("{number} {name}: {:?} / {:?}", ours.get(name), theirs.get(name));
                    }
                }
                different += 1;
            }
        }
    }
    println!(
        "{events} published renderings: {compared} compared, {different} differ, {missing} not in \
         their logs"
    );
    // One rendering has another spelling of the same path than its log.
    assert!(compared * 10 >= events * 9 && different <= 1);
}

/// A log cut all over, and with single bytes changed all over it: no panic, and what is whole is read.
/// (Every single byte is the fuzzer's corpus's, which is small.)
#[test]
fn damaged_event_logs_keep_what_is_whole() {
    let Some(folder) = corpus("evtx/files") else { return };
    let mut paths = files(&folder, ".evtx");
    paths.sort_by_key(|path| std::fs::metadata(path).unwrap().len());
    for path in paths.iter().take(4) {
        let bytes = std::fs::read(path).unwrap();
        let (all, _, _) = read(Format::Evtx, &bytes);
        let mut before = 0;
        for end in (0..bytes.len()).step_by(61) {
            let (some, bad, _) = read(Format::Evtx, &bytes[..end]);
            assert!(
                some.len() >= before && all.starts_with(&some),
                "{} cut at {end}",
                path.display()
            );
            assert!(bad.len() <= 1, "{bad:?}");
            before = some.len();
        }
        for at in (4_096..bytes.len()).step_by(53) {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            let (some, bad, _) = read(Format::Evtx, &changed);
            // Within a chunk's header lies where its events end; within a template, what all its
            // events need. Each event that is lost to that is told.
            let header = (at - 4_096) % 65_536 < 512;
            let told = some.len() + bad.len() + 1 >= all.len();
            assert!(header || told, "{} byte {at}", path.display());
        }
    }
}

/// A log made by hand: each type of value that carries an event, an array, an element that Windows
/// leaves out, a template used twice.
#[test]
fn an_event_log_of_two_events() {
    let chunk = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/log_evtx/two");
    let mut file = vec![0; 4_096];
    file[..8].copy_from_slice(b"ElfFile\0");
    file.extend(std::fs::read(chunk).unwrap());
    file.resize(4_096 + 65_536, 0);
    let mut told = Vec::new();
    let statistics =
        records_of(Format::Auto, "two.evtx", &file, ReaderOptions::default(), &mut |line| {
            let record = line.unwrap();
            let pairs =
                record.fields.iter().map(|field| format!("{}={}", field.name, field.value.text));
            told.push(format!(
                "{} {} {}",
                record.number,
                record.time,
                pairs.collect::<Vec<_>>().join("|")
            ));
        });
    assert_eq!(statistics.bad, 0);
    assert_eq!(
        told,
        [
            "42 2026-03-02T00:00:00.123456700Z Provider_Name=Maker|Provider_Guid={03020100-0504-0706-0809-0a0b0c0d0e0f}|EventID=7036|TimeCreated_SystemTime=2026-03-02T00:00:00.1234567Z|EventRecordID=42|Channel=System|param1=a é|Data=x|Data=y|sid=S-1-5-32-544",
            "43 2026-03-02T00:00:00.123456700Z Provider_Name=Maker|Provider_Guid={03020100-0504-0706-0809-0a0b0c0d0e0f}|EventID=7036|TimeCreated_SystemTime=2026-03-02T00:00:00.1234567Z|EventRecordID=43|Channel=System|Data=",
        ]
    );
}

/// A copy that was broken off says so once, whatever place it was cut at.
#[test]
fn a_log_that_is_cut_off_says_so() {
    let chunk = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/log_evtx/two");
    let mut chunk = std::fs::read(chunk).unwrap();
    chunk.resize(65_536, 0);
    let file = |chunks: u8, flags: u8| {
        let mut file = vec![0; 4_096];
        file[..8].copy_from_slice(b"ElfFile\0");
        (file[42], file[120]) = (chunks, flags);
        file.extend(&chunk);
        file.extend(&chunk);
        file
    };
    let told = |bytes: &[u8]| {
        let (records, bad, _) = read(Format::Auto, bytes);
        assert!(bad.len() < 2, "{bad:?}");
        (records.len(), bad.first().map(ToString::to_string).unwrap_or_default())
    };
    let (clean, dirty) = (file(2, 0), file(2, 1));
    let border = 4_096 + 65_536;
    assert_eq!(told(&clean), (4, String::new()));
    assert_eq!(told(&file(1, 0)), (4, String::new()), "more than the header counts are read");
    let within = "test:1: the event log is cut off within its header; copy the file again";
    assert_eq!(told(&clean[..100]), (0, within.to_owned()));
    let short = "the event log is cut off: its header counts 2 chunks, and 1 are there; copy the file again";
    assert_eq!(told(&clean[..border]), (2, format!("test:3: {short}")));
    assert_eq!(told(&clean[..4_096]).0, 0);
    assert!(told(&clean[..4_096]).1.contains("counts 2 chunks, and 0 are there"));
    // A log that is being written has as many as it has.
    assert_eq!(told(&dirty[..border]), (2, String::new()));
    let inside = "the event log is cut off within a chunk; copy the file again";
    assert_eq!(told(&dirty[..border + 60_000]), (4, format!("test:5: {inside}")));
    assert_eq!(told(&clean[..border + 60_000]), (4, format!("test:5: {inside}")));
    assert_eq!(told(&clean[..border + 600]).0, 2);
    assert!(!told(&clean[..border + 600]).1.is_empty());
}
