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
        let guid = text.len() == 38 && text.starts_with('{') && text.as_bytes()[9] == b'-';
        let mut text = if guid { text[1..37].to_ascii_lowercase() } else { text.trim().to_owned() };
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
