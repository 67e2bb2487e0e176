use crate::front::lines;
use crate::scan::Line;
use crate::{Asked, cpu, peak, write_alarms};
use smesec_core::decode::yaml::{Limits, documents};
use smesec_core::ruleset::LoadReport;
use smesec_core::siem::correlation::{Alarm, Change, Correlator, Plan, Settings};
use smesec_core::siem::sigma::{Meta, correlation};
use std::sync::Arc;

fn plan(asked: &Asked) -> Arc<Plan> {
    let text = std::fs::read_to_string(&asked.rules).expect("the rules");
    let (mut known, mut correlations) = (Vec::new(), Vec::new());
    for document in documents(&text, &asked.rules, Limits::default()) {
        let root = document.expect("YAML").root;
        let text = |key: &str| root.key(key).and_then(|n| n.as_str()).unwrap_or_default().to_owned();
        if root.key("correlation").is_some() {
            correlations.push(correlation::parse(&root, &asked.rules).expect("a correlation"));
        } else {
            known.push(Meta { id: text("id"), name: text("name"), ..Meta::default() });
        }
    }
    let mut report = LoadReport::default();
    let plan = Plan::build(correlations, &known, &mut report);
    assert!(report.refused.is_empty(), "{report}");
    Arc::new(plan)
}

pub fn run(asked: &Asked) {
    let plan = plan(asked);
    let settings = |owned: std::ops::Range<u16>| Settings {
        lateness: asked.lateness * 1_000_000_000,
        buckets: asked.buckets,
        owned,
        ..Settings::default()
    };
    // One correlator for each bucket, as if each were a process of its own.
    let mut shards: Vec<Correlator> = (0..asked.buckets)
        .map(|bucket| Correlator::new(Arc::clone(&plan), settings(bucket..bucket + 1)))
        .collect();
    let mut alarms: Vec<Alarm> = Vec::new();
    let (begin, mut events, mut newest, mut bytes) = (cpu(), 0_usize, None, 0);
    for line in lines(&asked.stream) {
        let mut fields = Line::default();
        fields.read(&line);
        events += 1;
        let time = fields.time();
        newest = newest.max(Some(time));
        let rule = fields.rule();
        for shard in &mut shards {
            match rule {
                Some(rule) => shard.hit(rule, time, fields.source(), &fields, &mut alarms),
                None => shard.saw(time, fields.source(), &mut alarms),
            }
        }
        if events % asked.batch == 0 {
            for shard in &mut shards {
                shard.advance(newest.expect("a time"), &mut alarms);
            }
        }
        if asked.snapshot > 0 && events % asked.snapshot == 0 {
            for (bucket, shard) in (0..).zip(&mut shards) {
                let mut next = Correlator::new(Arc::clone(&plan), settings(bucket..bucket + 1));
                next.restore(&shard.snapshot(bucket)).expect("a good snapshot");
                *shard = next;
            }
        }
        if events % 50_000 == 0 {
            bytes = bytes.max(shards.iter().map(Correlator::bytes).sum());
        }
    }
    for shard in &mut shards {
        shard.flush(&mut alarms);
    }
    let spent = cpu() - begin;
    let opened: Vec<&Alarm> = alarms.iter().filter(|alarm| alarm.change == Change::Opened).collect();
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
    let groups: usize = shards.iter().map(Correlator::groups).sum();
    println!(
        "ours: {events} events, {} alarms opened, {spent:.2} s CPU, state {:.1} MB at most, {groups} groups \
         at the end, peak {:.0} MB\n{:?}",
        opened.len(),
        bytes as f64 / 1e6,
        peak(),
        shards.first().map(Correlator::statistics)
    );
}
