//! The indexed matcher beside a naive evaluator that knows nothing of it: no slots, no index, no shared
//! questions, each rule asked for each record, straight over the syntax tree.
#![cfg(feature = "siem")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test: a panic is the verdict, and a skip is told aloud"
)]

mod events;
mod naive;

use events::Event;
use smesec_core::siem::{Matcher, RuleSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One of the corpora's folders, where it is there.
fn corpus(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("SMESEC_CORPORA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora"),
        PathBuf::from,
    );
    let corpus = folder.join(name);
    if !corpus.is_dir() {
        eprintln!("##### SKIPPED: no corpus `{name}` (set SMESEC_CORPORA) #####");
    }
    corpus.is_dir().then_some(corpus)
}

fn rules(sigma: &Path) -> Arc<RuleSet> {
    let mut builder = RuleSet::builder();
    for folder in ["rules", "rules-emerging-threats", "rules-threat-hunting", "rules-compliance"] {
        builder.path(sigma.join(folder));
    }
    Arc::new(builder.build().unwrap())
}

/// Compares on one event, twice, since the second time values are remembered. Returns the matches.
fn compare(
    set: &RuleSet,
    matcher: &mut Matcher,
    oracle: &mut naive::Oracle,
    event: &Event,
) -> usize {
    let fields = event.fields();
    let record = event.record(&fields);
    let concerned = matcher.concerned(&record);
    let expected: Vec<u32> = concerned
        .into_iter()
        .filter(|rule| oracle.matches(*rule, set.rule(*rule).unwrap(), event))
        .collect();
    for time in 0..3 {
        let found = matcher.matches(&record);
        if found != expected {
            let name = |rule: &u32| set.meta(*rule).unwrap().file.clone();
            let only = |a: &[u32], b: &[u32]| -> Vec<String> {
                a.iter().filter(|rule| !b.contains(rule)).map(name).collect()
            };
            let (ours, theirs) = (only(found, &expected), only(&expected, found));
            panic!("time {time}: only indexed {ours:?}, only naive {theirs:?}\n{event:?}");
        }
    }
    expected.len()
}

#[test]
fn every_event_of_the_corpus_and_its_mutations_match_alike() {
    let Some(sigma) = corpus("sigma") else { return };
    let set = rules(&sigma);
    let mut matcher = Matcher::new(Arc::clone(&set));
    let mut oracle = naive::Oracle::default();
    let corpus = events::corpus(&sigma);
    assert!(corpus.len() > 100, "{}", corpus.len());
    let mut random = events::Random(0x5eed);
    let (mut events, mut matches) = (0, 0);
    for event in &corpus {
        matches += compare(&set, &mut matcher, &mut oracle, event);
        events += 1;
    }
    assert!(matches > 150, "{matches}");
    // Mutations put what rules look for into events, whole and damaged.
    for n in 0..800 {
        let base = &corpus[n % corpus.len()];
        let mutated = events::mutated(base, &set, &mut matcher, &mut random);
        matches += compare(&set, &mut matcher, &mut oracle, &mutated);
        events += 1;
    }
    eprintln!("{events} events, {matches} matches, no difference over {} rules", set.len());
    assert!(matches > 800, "the mutations hit too little: {matches}");
}

#[test]
fn every_event_of_the_evtx_samples_matches_alike() {
    let (Some(sigma), Some(evtx)) = (corpus("sigma"), corpus("evtx")) else { return };
    let set = rules(&sigma);
    let mut matcher = Matcher::new(Arc::clone(&set));
    let mut oracle = naive::Oracle::default();
    let events = events::evtx(&evtx.join("files"));
    assert!(events.len() > 3_000, "{}", events.len());
    let matches: usize =
        events.iter().map(|event| compare(&set, &mut matcher, &mut oracle, event)).sum();
    eprintln!("{} events, {matches} matches, no difference over {} rules", events.len(), set.len());
    assert!(matches > 700, "the samples are hit too little: {matches}");
}

#[test]
fn made_up_rules_over_made_up_events_match_alike() {
    let mut random = events::Random(7);
    let mut matches = 0;
    for round in 0..40 {
        let text = events::rules(&mut random, 30);
        let mut builder = RuleSet::builder();
        builder.text("made_up.yml", &text);
        let set = Arc::new(builder.build().unwrap());
        assert!(set.report().refused.is_empty(), "round {round}: {}", set.report());
        let mut matcher = Matcher::new(Arc::clone(&set));
        let mut oracle = naive::Oracle::default();
        for _ in 0..60 {
            let event = events::made_up(&mut random);
            matches += compare(&set, &mut matcher, &mut oracle, &event);
        }
    }
    assert!(matches > 2_000, "{matches}");
}
