//! Snapshots: the same alarms with any number of them in between, and damaged bytes.

use super::oracle::{Random, every_kind, stream};
use super::*;
use std::collections::BTreeSet;

fn ids(alarms: &[Alarm]) -> BTreeSet<(String, &'static str)> {
    alarms.iter().map(|alarm| (alarm.id.to_string(), alarm.change.word())).collect()
}

fn settings(buckets: u16) -> Settings {
    Settings { lateness: 20 * SECOND, buckets, ..Settings::default() }
}

#[test]
fn batches_snapshots_and_shards_change_nothing() {
    for seed in 0..12 {
        let mut random = Random(seed);
        let plan = plan(&every_kind());
        let hits = stream(&mut random, 600, 20 * SECOND);
        let hit = |correlator: &mut Correlator, at: usize, out: &mut Vec<Alarm>| {
            let (rule, time, row) = &hits[at];
            correlator.hit(*rule, Timestamp::from_unix_nanos(*time), "s", row, out);
        };
        let mut whole = Correlator::new(Arc::clone(&plan), settings(1));
        let mut expected = Vec::new();
        for at in 0..hits.len() {
            hit(&mut whole, at, &mut expected);
        }
        whole.flush(&mut expected);
        assert!(!expected.is_empty());
        for batch in [1, 7, 100] {
            // Cut into batches, each bucket snapshot and restored after each.
            let mut correlator = Correlator::new(Arc::clone(&plan), settings(4));
            let mut out = Vec::new();
            let mut newest = i64::MIN;
            for (at, (_, time, _)) in hits.iter().enumerate() {
                hit(&mut correlator, at, &mut out);
                newest = newest.max(*time);
                if (at + 1) % batch == 0 {
                    correlator.advance(Timestamp::from_unix_nanos(newest), &mut out);
                    let mut next = Correlator::new(Arc::clone(&plan), settings(4));
                    let mut groups = 0;
                    for bucket in 0..4 {
                        let restored = next.restore(&correlator.snapshot(bucket)).unwrap();
                        assert_eq!(restored.skipped, 0);
                        groups += restored.groups;
                    }
                    assert_eq!(groups, correlator.groups());
                    correlator = next;
                }
            }
            correlator.flush(&mut out);
            assert_eq!(ids(&out), ids(&expected), "seed {seed}, batches of {batch}");
        }
        let mut out = Vec::new();
        for bucket in 0..16 {
            let settings = Settings { owned: bucket..bucket + 1, ..settings(16) };
            let mut shard = Correlator::new(Arc::clone(&plan), settings);
            for at in 0..hits.len() {
                hit(&mut shard, at, &mut out);
            }
            shard.flush(&mut out);
        }
        let (really, defined) = (ids(&out), ids(&expected));
        let apart: Vec<_> = really
            .symmetric_difference(&defined)
            .map(|(id, change)| {
                let mut both = out.iter().chain(&expected);
                let alarm = both.find(|a| a.id.to_string() == *id && a.change.word() == *change);
                (really.contains(&(id.clone(), *change)), alarm)
            })
            .collect();
        assert!(apart.is_empty(), "seed {seed}, sharded: {apart:#?}");
        assert_eq!(out.len(), expected.len(), "seed {seed}: nothing twice");
    }
}

#[test]
fn damaged_snapshots_are_errors() {
    let plan = plan(&every_kind());
    let mut correlator = Correlator::new(Arc::clone(&plan), settings(1));
    let mut out = Vec::new();
    for (rule, time, row) in stream(&mut Random(1), 200, 0) {
        correlator.hit(rule, Timestamp::from_unix_nanos(time), "s", &row, &mut out);
    }
    let good = correlator.snapshot(0);
    let restore = |bytes: &[u8]| {
        Correlator::new(Arc::clone(&plan), settings(1)).restore(bytes).map_err(|e| e.to_string())
    };
    assert!(restore(&good).unwrap().groups > 0);
    for at in 0..good.len() {
        assert!(restore(&good[..at]).is_err(), "cut at {at}");
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert!(restore(&bad).is_err(), "byte {at}");
    }
    assert!(restore(b"").unwrap_err().contains("is none"));
    let mut newer = good.clone();
    newer[8] = 9;
    assert!(restore(&newer).unwrap_err().contains("version 9"));
    // With a right checksum over nonsense, nothing panics either.
    let mut random = Random(5);
    for _ in 0..20_000 {
        let mut bad = good.clone();
        for _ in 0..=random.below(3) {
            let at = 26 + usize::try_from(random.below((bad.len() - 26) as u64)).unwrap();
            bad[at] = u8::try_from(random.below(256)).unwrap();
        }
        let sum = super::super::hash::sip128(8, &bad[26..]).to_le_bytes();
        bad[10..26].copy_from_slice(&sum);
        let mut taken = Correlator::new(Arc::clone(&plan), settings(1));
        if taken.restore(&bad).is_ok() {
            let mut out = Vec::new();
            taken.hit(0, Timestamp::from_unix_seconds(1_000), "s", &row("g=1 v=1"), &mut out);
            taken.flush(&mut out);
        }
    }
}

#[test]
fn a_rule_that_changed_starts_anew_and_the_others_go_on() {
    let text = |threshold: u32| {
        format!(
            "title: x\ncorrelation: {{type: event_count, rules: [a], group-by: [g], timespan: 60s, \
             condition: {{gte: {threshold}}}}}\n---\ntitle: y\ncorrelation: {{type: event_count, \
             rules: [a], group-by: [g], timespan: 60s, condition: {{gte: 2}}}}\n"
        )
    };
    let mut before = Correlator::new(plan(&text(3)), Settings::default());
    feed(&mut before, &[("a", SECOND, "g=1")]);
    let mut after = Correlator::new(plan(&text(2)), Settings::default());
    let restored = after.restore(&before.snapshot(0)).unwrap();
    assert_eq!((restored.groups, restored.waiting, restored.skipped), (1, 1, 1));
    let mut out = feed(&mut after, &[("a", 2 * SECOND, "g=1")]);
    after.flush(&mut out);
    assert_eq!(opened(&out), ["y 2000000000 1"]);
}
