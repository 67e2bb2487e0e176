use super::*;
use crate::collection::MemoryStore;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds)
}

/// A small generator, so that a failure can be repeated.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

#[test]
fn it_answers_as_memory_does() {
    let (shared, memory) = (SharedStore::anonymous(4 << 20).unwrap(), MemoryStore::default());
    let mut state = 7;
    for n in 0..20_000 {
        let now = at(n / 10);
        let key = format!("key{}", random(&mut state) % 50);
        let name = format!("name{}", random(&mut state) % 6);
        let change = match random(&mut state) % 8 {
            0 => Change::Unset,
            1 => Change::ExpireAt(at(n / 10 + 30)),
            2 => Change::Set(vec![b'x'; usize::try_from(random(&mut state) % 5_000).unwrap()]),
            3 => Change::Set(random(&mut state).to_string().into_bytes()),
            _ => Change::Add(i64::try_from(random(&mut state) % 9).unwrap() - 3),
        };
        let collection = if random(&mut state).is_multiple_of(2) { "IP" } else { "SESSION" };
        let apply = |store: &dyn CollectionStore| {
            store.apply(collection, key.as_bytes(), name.as_bytes(), change.clone(), now)
        };
        assert_eq!(apply(&shared), apply(&memory));
        let load = |store: &dyn CollectionStore| store.load(collection, key.as_bytes(), now);
        assert_eq!(load(&shared), load(&memory));
    }
}

#[test]
fn threads_lose_no_addition() {
    let store = SharedStore::anonymous(1 << 20).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for n in 0..5_000_u32 {
                    let key = [n.to_le_bytes()[0] % 7];
                    assert!(store.apply("IP", &key, b"n", Change::Add(1), at(0)));
                }
            });
        }
    });
    let sum: usize = (0..7)
        .map(|n| store.load("IP", &[n], at(0)))
        .map(|found| String::from_utf8_lossy(&found[0].1).parse::<usize>().unwrap())
        .sum();
    assert_eq!(sum, 20_000);
}

#[test]
fn a_flood_of_keys_evicts_the_longest_unchanged() {
    let store = SharedStore::anonymous(LEAST_BYTES).unwrap();
    for n in 0..20_000 {
        assert!(store.apply("IP", b"hot", b"n", Change::Add(1), at(n / 50)));
        let key = format!("192.0.{n}");
        assert!(store.apply("IP", key.as_bytes(), b"n", Change::Add(1), at(n / 50)));
    }
    assert_eq!(store.load("IP", b"hot", at(400)), vec![(b"n".to_vec(), b"20000".to_vec())]);
    assert!(store.load("IP", b"192.0.1", at(400)).is_empty());
}

#[test]
fn a_record_has_its_bounds() {
    let store = SharedStore::anonymous(LEAST_BYTES).unwrap();
    assert!(!store.apply("IP", b"k", b"v", Change::Set(vec![0; 5_000]), at(0)));
    let longest = vec![b'k'; 70_000];
    assert!(!store.apply("IP", &longest, b"v", Change::Add(1), at(0)));
    let mut taken = 0;
    for n in 0..64 {
        let name = format!("v{n}");
        taken += usize::from(store.apply(
            "IP",
            b"k",
            name.as_bytes(),
            Change::Set(vec![1; 4_000]),
            at(0),
        ));
    }
    assert!((1..64).contains(&taken), "a quarter of a shard, {taken}");
    assert_eq!(store.load("IP", b"k", at(0)).len(), taken);
    assert!(SharedStore::anonymous(1_000).is_err());
}

#[test]
fn who_dies_while_writing_costs_one_shard() {
    let store = SharedStore::anonymous(LEAST_BYTES).unwrap();
    assert!(store.apply("IP", b"k", b"n", Change::Add(1), at(0)));
    let shard = store.locked(store.hash("IP", b"k")).unwrap();
    let words = shard.shard.words;
    shard.shard.store(WRITING, 1);
    std::mem::forget(shard);
    // The greatest process id of Linux is 4,194,304.
    words[LOCK].store(5_000_000 << 32, Ordering::Relaxed);
    assert!(store.load("IP", b"k", at(0)).is_empty());
    assert!(store.apply("IP", b"k", b"n", Change::Add(1), at(0)));
    assert_eq!(store.load("IP", b"k", at(0)).len(), 1);
}

#[test]
fn damage_gives_wrong_counts_and_nothing_worse() {
    let mut state = 11;
    for round in 0..60 {
        let store = SharedStore::anonymous(LEAST_BYTES).unwrap();
        for n in 0..300 {
            let key = format!("k{}", n % 40);
            store.apply("IP", key.as_bytes(), b"n", Change::Set(vec![b'x'; n]), at(0));
        }
        let words = store.region.words();
        for _ in 0..=round {
            let n = usize::try_from(random(&mut state)).unwrap() % words.len();
            let value = random(&mut state) << 33 | random(&mut state);
            // A lock that looks held is passed over, which takes its second.
            if n >= HEADER && (n - HEADER) % store.layout.shard_words() != LOCK {
                words[n].store(value % (1 << (round + 4)), Ordering::Relaxed);
            }
        }
        for n in 0..200 {
            let key = format!("k{}", n % 60);
            store.apply(
                "IP",
                key.as_bytes(),
                b"n",
                Change::Set(vec![b'y'; n]),
                at(4_000 * i64::try_from(n).unwrap()),
            );
            store.load("IP", key.as_bytes(), at(0));
        }
    }
}

#[test]
fn what_is_not_a_store_is_refused() {
    let path = std::env::temp_dir().join(format!("smesec-shared-{}", std::process::id()));
    std::fs::write(&path, vec![7; LEAST_BYTES]).unwrap();
    assert!(
        SharedStore::file(&path, LEAST_BYTES).unwrap_err().to_string().contains("something else")
    );
    assert!(
        SharedStore::file(&path, 2 * LEAST_BYTES).unwrap_err().to_string().contains("65536 bytes")
    );
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn two_at_once_have_the_same_file() {
    let path = std::env::temp_dir().join(format!("smesec-shared-two-{}", std::process::id()));
    let first = SharedStore::file(&path, LEAST_BYTES).unwrap();
    let (opened, wait) = std::sync::mpsc::channel();
    let again = path.clone();
    std::thread::spawn(move || opened.send(SharedStore::file(&again, LEAST_BYTES).unwrap()));
    let second = wait.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(first.apply("IP", b"k", b"n", Change::Add(2), at(0)));
    assert_eq!(second.load("IP", b"k", at(0)), vec![(b"n".to_vec(), b"2".to_vec())]);
    std::fs::remove_file(&path).unwrap();
}
