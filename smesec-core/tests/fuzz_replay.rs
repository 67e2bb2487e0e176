//! The fuzzer's committed corpus, whole, cut off at every byte and with single bytes changed, through the
//! fuzzer's own targets.
#![cfg(all(unix, feature = "client", feature = "gateway", feature = "shared", feature = "siem"))]
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::default_trait_access,
    unreachable_pub,
    reason = "a test: a panic is the verdict; the targets are the fuzzer's"
)]

#[path = "../fuzz/src/targets.rs"]
mod targets;

use std::path::Path;

#[test]
fn the_corpus_and_its_neighbours_break_nothing() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, target) in targets::TARGETS {
        let folder = std::fs::read_dir(corpus.join(name));
        let folder = folder.unwrap_or_else(|e| unreachable!("no corpus for `{name}`: {e}"));
        let mut count = 0;
        for file in folder {
            let data = std::fs::read(file.unwrap().path()).unwrap();
            target(&data);
            // The long ones are for the fuzzer; here every neighbour of the short ones is tried.
            let step = data.len() / 400 + 1;
            for at in (0..data.len()).step_by(step) {
                target(&data[..at]);
                let mut changed = data.clone();
                changed[at] ^= 1 << (at % 8);
                target(&changed);
            }
            count += 1;
        }
        assert!(count > 0, "no corpus for `{name}`");
    }
}
