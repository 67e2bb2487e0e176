//! Several processes over one file of collections, some of them killed.
#![cfg(all(unix, feature = "shared"))]
#![expect(clippy::unwrap_used, reason = "a test: a panic is the verdict")]

use smesec_core::collection::{Change, CollectionStore, SharedStore};
use smesec_core::time::Timestamp;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

const BYTES: usize = 1 << 20;
const PATH: &str = "SMESEC_TEST_SHARED";

fn store(path: &str) -> SharedStore {
    SharedStore::file(path, BYTES).unwrap()
}

/// A process that runs the test of that name over the file.
fn process(name: &str, path: &std::path::Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([name, "--exact", "--ignored", "--test-threads=1"]);
    command.env(PATH, path).stdout(std::process::Stdio::null()).spawn().unwrap()
}

fn hits(store: &SharedStore, key: &[u8]) -> i64 {
    let found = store.load("IP", key, Timestamp::default());
    found.first().map_or(0, |(_, value)| String::from_utf8_lossy(value).parse().unwrap())
}

#[test]
#[ignore = "run by the others in a process of its own"]
fn adds_ten_thousand() {
    let store = store(&std::env::var(PATH).unwrap());
    for n in 0..10_000_u32 {
        let key = (n % 5).to_le_bytes();
        assert!(store.apply("IP", &key, b"hits", Change::Add(1), Timestamp::default()));
    }
}

#[test]
#[ignore = "run by the others in a process of its own"]
fn adds_until_it_is_killed() {
    let store = store(&std::env::var(PATH).unwrap());
    for n in 0_u32.. {
        let value = Change::Set(vec![b'x'; (n % 900) as usize]);
        store.apply("IP", &(n % 300).to_le_bytes(), b"value", value, Timestamp::default());
    }
}

#[test]
fn four_processes_lose_no_addition_and_the_file_keeps_it() {
    let folder = std::env::temp_dir().join(format!("smesec-shared-four-{}", std::process::id()));
    let children: Vec<Child> = (0..4).map(|_| process("adds_ten_thousand", &folder)).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let store = store(folder.to_str().unwrap());
    let counts: Vec<i64> = (0..5_u32).map(|n| hits(&store, &n.to_le_bytes())).collect();
    assert_eq!(counts, [8_000; 5]);
    std::fs::remove_file(&folder).unwrap();
}

#[test]
fn a_killed_process_leaves_a_store_that_works() {
    let path = std::env::temp_dir().join(format!("smesec-shared-kill-{}", std::process::id()));
    let store = store(path.to_str().unwrap());
    for round in 0..20_u64 {
        let mut child = process("adds_until_it_is_killed", &path);
        std::thread::sleep(Duration::from_millis(40 + round * 3));
        child.kill().unwrap();
        child.wait().unwrap();
        let began = Instant::now();
        for n in 0..300_u32 {
            let key = n.to_le_bytes();
            assert!(store.apply("IP", &key, b"hits", Change::Add(1), Timestamp::default()));
            assert!(
                store
                    .load("IP", &key, Timestamp::default())
                    .iter()
                    .any(|(name, _)| name == b"hits")
            );
        }
        assert!(began.elapsed() < Duration::from_secs(5), "a dead process is not waited for");
    }
    std::fs::remove_file(&path).unwrap();
}
