//! The Sigma matcher over records as they come from a fleet's machines, with rules made up here.
//! `cargo bench --bench siem`; peers are measured by `benches/peers/`.
#![expect(clippy::unwrap_used, reason = "a bench: a panic is the verdict")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use smesec_core::siem::record::{Field, LogSource, Record, Value};
use smesec_core::siem::{Matcher, RuleSet};
use std::fmt::Write as _;
use std::sync::Arc;

/// A thousand rules of the shape that most real ones have.
fn rules() -> String {
    let mut text = String::new();
    for n in 0..1_000 {
        let _ = write!(
            text,
            "---\ntitle: rule {n}\nid: made-up-{n}\nlogsource: {{product: windows, category: process_creation}}\n\
             detection:\n  image:\n    - Image|endswith: ['\\tool{n}.exe', '\\powershell.exe']\n    - OriginalFileName: tool{n}.exe\n  \
             line:\n    CommandLine|contains|all: [' -option{n}', 'value{}']\n  filter:\n    ParentImage|startswith: 'C:\\Program Files\\Vendor{n}'\n  \
             condition: image and line and not filter\n",
            n * 7
        );
    }
    text
}

fn matching(criterion: &mut Criterion) {
    let mut builder = RuleSet::builder();
    builder.text("made_up.yml", &rules());
    let rules = Arc::new(builder.build().unwrap());
    let log_source =
        LogSource { product: "windows", category: "process_creation", service: "sysmon" };
    let lines: Vec<String> = (0..256)
        .map(|n| {
            format!(
                "powershell.exe -NoProfile -File C:\\Scripts\\{n:x}.ps1 -option{n} value{}",
                n * 5
            )
        })
        .collect();
    let mut group = criterion.benchmark_group("siem");
    group.throughput(Throughput::Elements(lines.len() as u64));
    let mut matcher = Matcher::new(Arc::clone(&rules));
    group.bench_function("process_creation", |bencher| {
        bencher.iter(|| {
            let mut matched = 0;
            for line in &lines {
                let text = |name, text| Field { name, value: Value::text(text) };
                let fields = [
                    text("Image", "C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\powershell.exe"),
                    text("CommandLine", line.as_str()),
                    text("ParentImage", "C:\\Windows\\explorer.exe"),
                    text("User", "CORP\\ann"),
                    text("OriginalFileName", "PowerShell.EXE"),
                ];
                matched += matcher
                    .matches(&Record { fields: &fields, log_source, ..Record::default() })
                    .len();
            }
            matched
        });
    });
    group.finish();
}

fn load(criterion: &mut Criterion) {
    let text = rules();
    criterion.bench_function("siem/load_1000", |bencher| {
        bencher.iter(|| {
            let mut builder = RuleSet::builder();
            builder.text("made_up.yml", &text);
            builder.build().unwrap()
        });
    });
}

criterion_group!(benches, matching, load);
criterion_main!(benches);
