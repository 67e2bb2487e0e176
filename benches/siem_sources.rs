//! Readers of logs, bytes a second. `cargo bench --bench siem_sources`.
//!
//! `json/serde_json::Value` and `evtx/crate` are what a host would otherwise parse with.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench: a panic is the verdict, and what it skips is said"
)]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use smesec_core::siem::envelope::{Envelope, Mapping};
use smesec_core::siem::sources::{Format, ReaderOptions, records_of};
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::{Path, PathBuf};

const EVENTS: usize = 2_000;

/// Process creations as forwarders send them, about 1.2 kB each.
fn sysmon() -> String {
    let mut text = String::new();
    for n in 0..EVENTS {
        let _ = writeln!(
            text,
            r#"{{"ts":"2026-03-02T06:{:02}:{:02}.{:03}Z","product":"windows","category":"process_creation","host":"win{n:03}","Channel":"Microsoft-Windows-Sysmon/Operational","Provider_Name":"Microsoft-Windows-Sysmon","EventID":1,"RuleName":"-","UtcTime":"2026-03-02 06:00:00.000","ProcessGuid":"{{5AA13A44-D4F6-68FC-F430-0000{n:08}}}","ProcessId":{n},"Image":"C:\\Windows\\System32\\svchost.exe","FileVersion":"10.0.20348.2849 (WinBuild.160101.0800)","Description":"Host Process for Windows Services","Product":"Microsoft® Windows® Operating System","Company":"Microsoft Corporation","OriginalFileName":"svchost.exe","CommandLine":"C:\\Windows\\system32\\svchost.exe -k netsvcs -p -s Schedule{n}","CurrentDirectory":"C:\\Windows\\system32\\","User":"NT AUTHORITY\\SYSTEM","LogonId":"0x3e7","TerminalSessionId":0,"IntegrityLevel":"System","Hashes":"SHA1=0AABFEC24BA5FC8806492DCCE89094743219EDE4,MD5=0B1CB657FF6BF807D830A5B970ECC041,SHA256=1B1EC450CE9B4559C6A2AE8ED5D8715F5135BE20257DC84ED11EBB814F29A1F2","ParentProcessId":{n},"ParentImage":"C:\\Windows\\System32\\services.exe","ParentCommandLine":"C:\\Windows\\system32\\services.exe","ParentUser":"NT AUTHORITY\\SYSTEM"}}"#,
            n / 60 % 60,
            n % 60,
            n % 1_000
        );
    }
    text
}

/// Suricata's alerts: short values, three levels deep.
fn eve() -> String {
    let mut text = String::new();
    for n in 0..EVENTS {
        let _ = writeln!(
            text,
            r#"{{"timestamp":"2026-03-02T06:00:00.{n:06}+0000","flow_id":1234567{n},"in_iface":"eth0","event_type":"alert","src_ip":"192.0.2.7","src_port":{n},"dest_ip":"198.51.100.9","dest_port":80,"proto":"TCP","tx_id":0,"alert":{{"action":"allowed","gid":1,"signature_id":2010935,"rev":3,"signature":"ET INFO Suspicious inbound to MSSQL port 1433","category":"Potentially Bad Traffic","severity":2,"metadata":{{"created_at":["2010_07_30"],"updated_at":["2019_07_26"]}}}},"http":{{"hostname":"shop.example","url":"/a/b?c={n}","http_user_agent":"curl/8.5.0","http_method":"GET","protocol":"HTTP/1.1","status":200,"length":1234}},"app_proto":"http","flow":{{"pkts_toserver":5,"pkts_toclient":4,"bytes_toserver":543,"bytes_toclient":1234,"start":"2026-03-02T06:00:00.000000+0000"}}}}"#
        );
    }
    text
}

fn sshd() -> String {
    let line = |n| {
        format!(
            "Mar  2 06:00:{:02} web01 sshd[{n}]: Failed password for invalid user admin{n} from 192.0.2.7 port {n} ssh2\n",
            n % 60
        )
    };
    (0..EVENTS).map(line).collect()
}

fn access() -> String {
    let line = |n| {
        format!(
            "192.0.2.7 - - [02/Mar/2026:06:00:{:02} +0000] \"GET /shop/item?id={n}&q=shoes HTTP/1.1\" 200 5123 \"https://shop.example/\" \"Mozilla/5.0 (X11; Linux x86_64; rv:139.0) Gecko/20100101 Firefox/139.0\"\n",
            n % 60
        )
    };
    (0..EVENTS).map(line).collect()
}

fn cef() -> String {
    let line = |n| {
        format!(
            "CEF:0|Security|threatmanager|1.0|100|worm successfully stopped|10|src=10.0.0.1 dst=2.1.2.2 spt={n} act=blocked a file cs1Label=Rule Name cs1=outbound {n} request=http://x/y\\=1\n"
        )
    };
    (0..EVENTS).map(line).collect()
}

fn auditd() -> String {
    let line = |n| {
        format!(
            "type=SYSCALL msg=audit(1772431200.123:{n}): arch=c000003e syscall=59 success=yes exit=0 a0=55d1 a1=55d2 a2=55d3 a3=8 items=2 ppid=1 pid={n} auid=1000 uid=0 gid=0 euid=0 tty=pts0 ses=1 comm=\"cat\" exe=\"/usr/bin/cat\" key=\"exec\"\ntype=EXECVE msg=audit(1772431200.123:{n}): argc=2 a0=\"cat\" a1=2F746D702F6120622E747874\ntype=CWD msg=audit(1772431200.123:{n}): cwd=\"/root\"\ntype=PROCTITLE msg=audit(1772431200.123:{n}): proctitle=636174002F746D70\n"
        )
    };
    (0..EVENTS).map(line).collect()
}

fn lines(c: &mut Criterion) {
    let samples = [
        ("json", Format::Json, sysmon()),
        ("eve", Format::Json, eve()),
        ("sshd", Format::Syslog, sshd()),
        ("access", Format::Access, access()),
        ("cef", Format::Cef, cef()),
        ("auditd", Format::Auditd, auditd()),
    ];
    for (name, format, text) in &samples {
        let mut group = c.benchmark_group(*name);
        for (unit, throughput) in [
            ("bytes", Throughput::Bytes(text.len() as u64)),
            ("events", Throughput::Elements(EVENTS as u64)),
        ] {
            group.throughput(throughput);
            group.bench_function(unit, |b| b.iter(|| run(*format, text.as_bytes())));
        }
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function("auto", |b| b.iter(|| run(Format::Auto, text.as_bytes())));
        if *format == Format::Json {
            group.bench_function("serde_json::Value", |b| {
                b.iter(|| {
                    for line in text.lines() {
                        black_box(serde_json::from_str::<serde_json::Value>(line).is_ok());
                    }
                });
            });
        }
    }
}

fn run(format: Format, bytes: &[u8]) -> u64 {
    let mut fields = 0;
    let statistics = records_of(format, "bench", bytes, ReaderOptions::default(), &mut |line| {
        fields += line.map_or(0, |record| black_box(record.fields).len());
    });
    assert_eq!((statistics.bad, statistics.records), (0, EVENTS as u64));
    statistics.records
}

/// All columns of one event, which only hits pay.
fn envelope(c: &mut Criterion) {
    let text = sysmon();
    let line = text.lines().next().unwrap_or_default();
    let mapping = Mapping::builtin();
    c.bench_function("envelope", |b| {
        records_of(Format::Json, "x", line.as_bytes(), ReaderOptions::default(), &mut |line| {
            let record = line.expect("one event");
            b.iter(|| Envelope::new(&record, &mapping).columns().count());
        });
    });
}

/// All logs of the public set, where there is one.
fn evtx(c: &mut Criterion) {
    let root = std::env::var_os("SMESEC_CORPORA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpora"),
        PathBuf::from,
    );
    let mut folders = vec![root.join("evtx/files")];
    let mut logs = Vec::new();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            println!("SKIPPED: nothing at {}; set SMESEC_CORPORA", folder.display());
            return;
        };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "evtx") {
                logs.extend(std::fs::read(path));
            }
        }
    }
    let bytes: usize = logs.iter().map(Vec::len).sum();
    let mut group = c.benchmark_group("evtx");
    group.sample_size(20).throughput(Throughput::Bytes(bytes as u64));
    group.bench_function("ours", |b| {
        b.iter(|| {
            let count = |log: &Vec<u8>| {
                let options = ReaderOptions::default();
                records_of(Format::Evtx, "x", log, options, &mut |line| {
                    black_box(line.is_ok());
                })
                .records
            };
            logs.iter().map(count).sum::<u64>()
        });
    });
    group.bench_function("crate", |b| {
        b.iter_batched(
            || logs.clone(),
            |logs| {
                for log in logs {
                    let mut parser = evtx::EvtxParser::from_buffer(log).expect("a log");
                    black_box(parser.records_json().flatten().count());
                }
            },
            BatchSize::LargeInput,
        );
    });
}

criterion_group!(benches, lines, envelope, evtx);
criterion_main!(benches);
