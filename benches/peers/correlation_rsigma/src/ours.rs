use crate::{Asked, cpu, peak, write_alarms};
use smesec_core::siem::correlation::{Alarm, Change, Correlator, Settings};
use smesec_core::siem::record::Record;
use smesec_core::siem::sources::{Format, Reader, ReaderOptions};
use smesec_core::siem::{Engine, RuleSet};
use std::io::Read;
use std::sync::Arc;

/// The stream through our reader, as a host hands a file in.
pub fn records(stream: &str, mut each: impl FnMut(&Record<'_>)) {
    let mut file = std::fs::File::open(stream).expect("the stream");
    let mut reader = Reader::new(Format::Json, "stream", ReaderOptions::default());
    let mut each = |line: Result<Record<'_>, _>| match line {
        Ok(record) => each(&record),
        Err(bad) => panic!("{bad}"),
    };
    let mut piece = vec![0; 1 << 20];
    loop {
        match file.read(&mut piece).expect("the stream") {
            0 => break,
            read => reader.feed(&piece[..read], &mut each),
        }
    }
    reader.finish(&mut each);
}

pub fn run(asked: &Asked) {
    let mut builder = RuleSet::builder();
    builder.path(&asked.rules).strict(true);
    let rules = Arc::new(builder.build().expect("the rules"));
    let settings = |owned: std::ops::Range<u16>| Settings {
        lateness: asked.lateness * 1_000_000_000,
        buckets: asked.buckets,
        owned,
        ..Settings::default()
    };
    // One engine for each bucket, as if each were a process of its own.
    let mut shards: Vec<Engine> = (0..asked.buckets)
        .map(|bucket| Engine::new(Arc::clone(&rules), settings(bucket..bucket + 1)))
        .collect();
    let mut opened: Vec<Alarm> = Vec::new();
    let mut keep = |alarms: &[Alarm]| {
        opened.extend(alarms.iter().filter(|alarm| alarm.change == Change::Opened).cloned());
    };
    let (begin, mut events, mut detections, mut newest, mut bytes) = (cpu(), 0_usize, 0, None, 0);
    records(&asked.stream, |record| {
        events += 1;
        newest = newest.max(Some(record.time));
        for shard in &mut shards {
            keep(shard.see(record).alarms);
        }
        detections += shards[0].matcher().matched().len();
        if events % asked.batch == 0 {
            for shard in &mut shards {
                keep(shard.tell(newest.expect("a time")));
            }
        }
        if asked.snapshot > 0 && events % asked.snapshot == 0 {
            for (bucket, shard) in (0..).zip(&mut shards) {
                let mut next = Correlator::new(Arc::clone(rules.plan()), settings(bucket..bucket + 1));
                next.restore(&shard.correlator().snapshot(bucket)).expect("a good snapshot");
                *shard.correlator_mut() = next;
            }
        }
        if events % 50_000 == 0 {
            bytes = bytes.max(shards.iter().map(|shard| shard.correlator().bytes()).sum());
        }
    });
    for shard in &mut shards {
        keep(shard.finish());
    }
    let spent = cpu() - begin;
    let lines: Vec<String> = opened
        .iter()
        .map(|alarm| {
            let group: serde_json::Map<String, serde_json::Value> = alarm
                .group
                .iter()
                .map(|(name, value)| (name.to_string(), value.clone().into()))
                .collect();
            let ts = alarm.time.to_string();
            serde_json::json!({
                "id": alarm.id.to_string(), "correlation": alarm.rule.name, "group": group, "ts": ts,
            })
            .to_string()
        })
        .collect();
    write_alarms(asked, &lines);
    let groups: usize = shards.iter().map(|shard| shard.correlator().groups()).sum();
    println!(
        "ours: {events} events, {detections} detections, {} alarms opened, {spent:.2} s CPU, state {:.1} MB at \
         most, {groups} groups at the end, peak {:.0} MB\n{:?}",
        opened.len(),
        bytes as f64 / 1e6,
        peak(),
        shards[0].correlator().statistics()
    );
}
