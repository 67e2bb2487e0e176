//! Every example runs and says what it is said to say.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test: a panic is the verdict")]

use std::path::Path;
use std::process::Command;

/// A whole `cargo test` builds the examples before it runs this test; a run of this test alone does not.
fn told(name: &str) -> String {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().and_then(Path::parent).unwrap().join("examples").join(name);
    if !program.exists() {
        let built = Command::new(env!("CARGO"))
            .args(["build", "--offline", "--example", name])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(built.unwrap().success(), "{name} does not build");
    }
    let output =
        Command::new(&program).output().unwrap_or_else(|e| panic!("{}: {e}", program.display()));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn own_filter() {
    assert_eq!(
        told("own_filter"),
        "/?page=boots -> 200\n\
         /?page=../../etc/passwd -> 403\n\
         /?page=boots -> 429\n\
         event: [\"1\"] deny\n\
         event: [\"address-list\"] deny\n"
    );
}

#[test]
fn async_host() {
    assert_eq!(
        told("async_host"),
        "[192, 0, 2, 1] -> 200\n[203, 0, 113, 9] -> 403\n[192, 0, 2, 3] -> 200\nmeanwhile: the loop went on\n"
    );
}

#[test]
fn upload_scanner() {
    let told = told("upload_scanner");
    assert!(told.contains("a photo:\n  scanning\na photo -> Pass\n"), "{told}");
    assert!(
        told.contains("the sample:\n  scanning\nthe sample -> Deny { status: 403 }\n"),
        "{told}"
    );
    assert!(told.contains("more than may be spooled -> Deny { status: 403 }\n"), "{told}");
    assert!(told.contains("event: EICAR test file (FILES:boots.jpg)\n"), "{told}");
    assert!(told.contains("larger than the spool limit"), "{told}");
}

#[test]
fn correlate() {
    assert_eq!(
        told("correlate"),
        "blocked: 6\nalarm: 203.0.113.9 was blocked 3 times, risk Some(7), generation 1\ndropped: 0\n"
    );
}

#[test]
fn the_index_names_every_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let index = std::fs::read_to_string(root.join("examples/README.md")).unwrap();
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    for entry in std::fs::read_dir(root.join("examples/rust")).unwrap() {
        let name = entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
        assert!(
            index.contains(&format!("--example {name}`")),
            "{name} is not in examples/README.md"
        );
        assert!(
            manifest.contains(&format!("examples/rust/{name}.rs")),
            "{name} is not in Cargo.toml"
        );
    }
}
