//! Questions about the format that the public files do not ask, with the answers that Tavern 3.7.1 gave.

use crate::server::Server;
use crate::wire::Wire;
use smesec_core::runner::TestRunner;
use smesec_core::taas::{Runner, Suite};
use std::collections::BTreeMap;
use std::path::Path;

/// Where we answer otherwise on purpose, and why.
const OTHERWISE: &[(&str, &str)] = &[
    ("intkey", "keys of JSON are text, so a key that is a number in the file is its text"),
    ("date", "a plain date is its text, not a value that no JSON holds"),
    ("sexa", "`1:30` is a time or a place, not 90"),
    ("save-hdr", "a header's name with a hyphen is found without quotes around it"),
    ("jmes-match", "the function is given the answer's JSON; there it never finds anything"),
    ("jmes-match3", "as above"),
    ("exc", "it looks into Python's classes, so it is skipped and says so"),
    ("cert", "this test's wire speaks no TLS"),
];

#[test]
fn questions_about_the_format_have_the_answers_that_were_measured() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/taas/probes");
    let at = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let suite = Suite::builder()
        .global(at("global.yaml"))
        .env([("HOME".to_owned(), "/home".to_owned())])
        .file(at("probes.tavern.yaml"))
        .build();
    let server = Server::start(0);
    let report = Runner::new(&suite).run(&Wire { address: server.address }, &mut crate::Nobody);
    let mut given: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for result in &report.results {
        given.entry(result.name.as_str()).or_default().push(&result.verdict);
    }
    let answers = std::fs::read_to_string(at("verdicts.csv")).unwrap();
    let (mut told, mut agreed, mut of) = (Vec::new(), 0, 0);
    for line in answers.lines().skip(1) {
        let (test, wanted) = line.rsplit_once(',').unwrap();
        let test = match test.strip_prefix('"').and_then(|t| t.strip_suffix('"')) {
            Some(quoted) => quoted.replace("\"\"", "\""),
            None => test.to_owned(),
        };
        let found =
            given.get_mut(test.as_str()).filter(|left| !left.is_empty()).map(|left| left.remove(0));
        let word = found.map_or("no such test", crate::word);
        // What fails there while it runs may be refused here before anything is sent; never the reverse.
        let agrees = word == wanted || (wanted == "failed" && word == "refused");
        of += 1;
        agreed += usize::from(agrees);
        let otherwise = OTHERWISE.iter().any(|(name, _)| *name == test);
        if agrees == otherwise {
            let why = found.map(crate::why).unwrap_or_default();
            told.push(format!("{test}: measured {wanted}, here {word} {why}"));
        }
    }
    println!(
        "taas: {agreed} of {of} questions answered as measured, {} otherwise on purpose",
        OTHERWISE.len()
    );
    assert!(told.is_empty(), "{}", told.join("\n"));
}
