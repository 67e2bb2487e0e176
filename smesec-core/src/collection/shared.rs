//! Collections that several processes share: the workers of one nginx, of one gunicorn.
//!
//! The region is cut into shards, each with a lock, a table of buckets and blocks of 128 bytes. A record is
//! a chain of blocks. A shard whose process died while it wrote is emptied by the next one who comes: its
//! counters begin anew, the others stay.

use super::record::{Record, Slot};
use super::region::Region;
use super::{Change, CollectionStore, Variable};
use crate::error::{ConfigError, Error};
use crate::time::Timestamp;
use std::hash::{BuildHasher, Hasher};
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Collections in memory that processes share, bounded by its size.
///
/// The bounds of a record are those of [`super::MemoryStore`]: 64 variables, 4 KiB a value, and
/// 3,600 s of life after the last change; besides, one record takes at most a quarter of a shard (a 64th
/// of the memory, less in a small one). A record of an address with a counter or two takes 128 bytes. When
/// the memory is full, expired records go first, then those longest unchanged.
///
/// A process that dies (`kill -9`) while it changes a record costs the records of its shard; one that is stopped
/// in that moment is waited for one second, then treated alike. What is damaged from outside reads as
/// empty or as wrong counts, never as a fault. The shared processes have to see each other's process ids.
///
/// ```
/// use smesec_core::collection::{Change, CollectionStore, SharedStore};
/// use smesec_core::time::Timestamp;
/// let store = SharedStore::anonymous(1 << 20)?; // then fork
/// let now = Timestamp::from_unix_seconds(0);
/// assert!(store.apply("IP", b"192.0.2.1", b"hits", Change::Add(2), now));
/// assert_eq!(store.load("IP", b"192.0.2.1", now), vec![(b"hits".to_vec(), b"2".to_vec())]);
/// # Ok::<(), smesec_core::Error>(())
/// ```
#[derive(Debug)]
pub struct SharedStore {
    region: Region,
    layout: Layout,
    seed: u64,
    timeout_seconds: i64,
}

/// Where things stand in a region of some size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Layout {
    shards: usize,
    /// A power of two.
    buckets: usize,
    blocks: usize,
}

/// Changes whenever the layout does, so that a file of another version is seen.
const MAGIC: u64 = u64::from_le_bytes(*b"smesec\x01\x00");
/// The words before the first shard: magic, words, seed.
const HEADER: usize = 8;
const SHARDS: usize = 64;
/// Lock, whether somebody writes, first free block, free blocks.
const SHARD_HEADER: usize = 4;
const BLOCK: usize = 16;
/// The words of a record's first block before its bytes: links, hash, time of change, length.
const FIRST: usize = 4;
/// The words of another block before its bytes: its link.
const NEXT: usize = 1;
const LEAST_BYTES: usize = 64 << 10;
/// The half of a block's first word that links its record's blocks; the other links records.
const LOW: u64 = 0xffff_ffff;

/// How often a lock is tried at once, and after letting others run.
const SPINS: u32 = 100;
const YIELDS: u32 = 200;
/// Naps of a tenth of a millisecond with one holder before it is asked whether it lives, and before it is
/// passed over.
const NAP: Duration = Duration::from_micros(100);
const ASK: u32 = 20;
const PASS_OVER: u32 = 10_000;

impl SharedStore {
    /// Memory of this process and of its children: make it before the fork.
    ///
    /// # Errors
    /// When `bytes` is under 64 KiB, or the system has no such memory.
    pub fn anonymous(bytes: usize) -> Result<Self, Error> {
        let bytes = whole(bytes)?;
        Self::over(Region::anonymous(bytes)?, Self::prepare)
    }

    /// The memory of a file, for any process that opens the same one with the same size; it is made, readable by
    /// its owner only, where there is none. Counters outlive the processes. Nobody may shorten the file while it
    /// is in use.
    ///
    /// # Errors
    /// When `bytes` is under 64 KiB or not what the file has, the file is another program's, or the disk is full.
    pub fn file(path: impl AsRef<Path>, bytes: usize) -> Result<Self, Error> {
        let (path, bytes) = (path.as_ref(), whole(bytes)?);
        let region = Region::file(path, bytes, |region| Self::prepare(region).map(|_| ()));
        Self::over(region?, Self::prepare)
    }

    /// Memory that the host shares by its own means, such as a zone of nginx. It has to be all zero at first,
    /// and the first call has to be over before another process makes one.
    ///
    /// # Safety
    /// `start` points at `bytes` bytes that stay readable and writable until the store is dropped, and
    /// this process touches them through stores only.
    ///
    /// # Errors
    /// When `bytes` is under 64 KiB, `start` is no multiple of 8, or something else stands there.
    #[expect(unsafe_code, reason = "the host vouches for its memory")]
    pub unsafe fn in_region(start: NonNull<u8>, bytes: usize) -> Result<Self, Error> {
        let bytes = whole(bytes)?;
        // SAFETY: as this function asks.
        Self::over(unsafe { Region::borrowed(start, bytes) }?, Self::prepare)
    }

    /// Seconds that a record lives after its last change; 3,600 by default. Give it alike in every process.
    pub const fn timeout_seconds(mut self, seconds: i64) -> Self {
        self.timeout_seconds = seconds;
        self
    }

    fn over(
        region: Region,
        prepare: fn(&Region) -> Result<(Layout, u64), Error>,
    ) -> Result<Self, Error> {
        let (layout, seed) = prepare(&region)?;
        Ok(Self { region, layout, seed, timeout_seconds: 3_600 })
    }

    /// Writes the tables into fresh memory; checks those of used memory.
    fn prepare(region: &Region) -> Result<(Layout, u64), Error> {
        let words = region.words();
        let layout = Layout::of(words.len());
        let [magic, size, seed, ..] = words else {
            return Err(ConfigError::new("the shared region is too small").into());
        };
        let len = words.len() as u64;
        match magic.load(Ordering::Acquire) {
            0 => {
                // Keys come from visitors: who knew the hash could fill one bucket.
                let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
                seed.store(random, Ordering::Relaxed);
                size.store(len, Ordering::Relaxed);
                for n in 0..layout.shards {
                    Shard { words: layout.shard(words, n), layout }.clear();
                }
                magic.store(MAGIC, Ordering::Release);
                Ok((layout, random))
            }
            MAGIC if size.load(Ordering::Relaxed) == len => {
                Ok((layout, seed.load(Ordering::Relaxed)))
            }
            _ => Err(ConfigError::new(
                "the shared region holds something else, or another version's tables; give it fresh memory",
            )
            .into()),
        }
    }

    fn hash(&self, collection: &str, key: &[u8]) -> u64 {
        let mut hasher = std::hash::DefaultHasher::new();
        hasher.write_u64(self.seed);
        hasher.write(collection.as_bytes());
        hasher.write_u8(0);
        hasher.write(key);
        hasher.finish()
    }

    /// The shard of a hash, locked; `None` when it could not be had in some seconds.
    fn locked(&self, hash: u64) -> Option<Locked<'_>> {
        let n = usize::try_from(hash >> 48).unwrap_or(0) & (self.layout.shards - 1);
        Locked::take(Shard {
            words: self.layout.shard(self.region.words(), n),
            layout: self.layout,
        })
    }
}

/// The part of `bytes` that is whole words.
fn whole(bytes: usize) -> Result<usize, Error> {
    if bytes < LEAST_BYTES {
        let text =
            format!("{bytes} bytes of shared memory are too few; give at least {LEAST_BYTES}");
        return Err(ConfigError::new(text).into());
    }
    Ok(bytes & !7)
}

impl CollectionStore for SharedStore {
    fn load(&self, collection: &str, key: &[u8], now: Timestamp) -> Vec<Variable> {
        let hash = self.hash(collection, key);
        let Some(shard) = self.locked(hash) else { return Vec::new() };
        let found = shard.find(hash, collection, key);
        drop(shard);
        let fresh = found.filter(|at| now.seconds_since(at.record.changed) < self.timeout_seconds);
        fresh.map_or_else(Vec::new, |at| at.record.alive(now))
    }

    fn apply(
        &self,
        collection: &str,
        key: &[u8],
        name: &[u8],
        change: Change,
        now: Timestamp,
    ) -> bool {
        self.change(collection, key, name, change, now).is_some()
    }

    fn add(
        &self,
        collection: &str,
        key: &[u8],
        name: &[u8],
        delta: i64,
        now: Timestamp,
    ) -> Option<i64> {
        self.change(collection, key, name, Change::Add(delta), now)
    }
}

impl SharedStore {
    /// Changes a variable and tells the number that it is then.
    fn change(
        &self,
        collection: &str,
        key: &[u8],
        name: &[u8],
        change: Change,
        now: Timestamp,
    ) -> Option<i64> {
        let hash = self.hash(collection, key);
        let shard = self.locked(hash)?;
        let found = shard.find(hash, collection, key);
        let place = found.as_ref().map(|at| (at.before, at.block));
        let mut record = found.map_or_else(Record::default, |at| at.record);
        if now.seconds_since(record.changed) >= self.timeout_seconds {
            record.variables.clear();
        }
        if !record.apply(name, change, now) {
            return None;
        }
        let bytes = encode(collection, key, &record)?;
        if needs(bytes.len()) > self.layout.blocks / 4 {
            return None;
        }
        let written = shard.write(|shard| {
            if let Some((before, block)) = place {
                shard.remove(hash, before, block);
            }
            shard.make_room(needs(bytes.len()), now, self.timeout_seconds);
            shard.insert(hash, now, &bytes)
        });
        written.then(|| record.number(name))
    }
}

impl Layout {
    fn of(words: usize) -> Self {
        let mut shards = SHARDS;
        while shards > 1 && (words - HEADER) / shards < 240 * (BLOCK + 1) {
            shards /= 2;
        }
        let share = words.saturating_sub(HEADER) / shards;
        // A bucket for two blocks or so.
        let buckets = (share / BLOCK / 2).max(1).next_power_of_two();
        let blocks = share.saturating_sub(SHARD_HEADER + buckets) / BLOCK;
        Self { shards, buckets, blocks }
    }

    const fn shard_words(self) -> usize {
        SHARD_HEADER + self.buckets + self.blocks * BLOCK
    }

    fn shard(self, words: &[AtomicU64], n: usize) -> &[AtomicU64] {
        let from = HEADER + n * self.shard_words();
        words.get(from..from + self.shard_words()).unwrap_or_default()
    }
}

/// One shard's words. Blocks are counted from 1; 0 is none.
#[derive(Clone, Copy, Debug)]
struct Shard<'a> {
    words: &'a [AtomicU64],
    layout: Layout,
}

/// A shard that this thread holds.
#[derive(Debug)]
struct Locked<'a> {
    shard: Shard<'a>,
    mine: u64,
}

/// A record and where it stands.
#[derive(Debug)]
struct At {
    /// The record before it in its bucket, 0 for none.
    before: u64,
    block: u64,
    record: Record,
}

const LOCK: usize = 0;
const WRITING: usize = 1;
const FREE: usize = 2;
const FREE_COUNT: usize = 3;

impl Shard<'_> {
    fn read(self, at: usize) -> u64 {
        self.words.get(at).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    fn store(self, at: usize, value: u64) {
        if let Some(word) = self.words.get(at) {
            word.store(value, Ordering::Relaxed);
        }
    }

    fn bucket(self, hash: u64) -> usize {
        SHARD_HEADER + (usize::try_from(hash & LOW).unwrap_or(0) & (self.layout.buckets - 1))
    }

    /// The first word of a block; out of the shard for a number that is none.
    fn block(self, block: u64) -> usize {
        let n = usize::try_from(block).unwrap_or(0);
        if n == 0 || n > self.layout.blocks {
            return usize::MAX - BLOCK;
        }
        SHARD_HEADER + self.layout.buckets + (n - 1) * BLOCK
    }

    /// The next block of the same record.
    fn next(self, block: u64) -> u64 {
        self.read(self.block(block)) & LOW
    }

    /// The next record of the same bucket.
    fn follower(self, block: u64) -> u64 {
        self.read(self.block(block)) >> 32
    }

    /// Everything free.
    fn clear(self) {
        for bucket in 0..self.layout.buckets {
            self.store(SHARD_HEADER + bucket, 0);
        }
        let blocks = self.layout.blocks as u64;
        for block in 1..=blocks {
            self.store(self.block(block), if block < blocks { block + 1 } else { 0 });
        }
        self.store(FREE, u64::from(blocks > 0));
        self.store(FREE_COUNT, blocks);
    }

    fn find(self, hash: u64, collection: &str, key: &[u8]) -> Option<At> {
        let (mut before, mut block) = (0, self.read(self.bucket(hash)));
        // A damaged chain may run in a circle.
        for _ in 0..self.layout.blocks {
            if block == 0 {
                return None;
            }
            if self.read(self.block(block) + 1) == hash
                && let Some(variables) = decode(&self.bytes(block), collection, key)
            {
                let changed = Timestamp::from_unix_nanos(signed(self.read(self.block(block) + 2)));
                return Some(At { before, block, record: Record { variables, changed } });
            }
            (before, block) = (block, self.follower(block));
        }
        None
    }

    /// The bytes of a record.
    fn bytes(self, first: u64) -> Vec<u8> {
        let len = usize::try_from(self.read(self.block(first) + 3)).unwrap_or(0);
        let len = len.min(self.layout.blocks * BLOCK * 8);
        let mut bytes = Vec::with_capacity(len + 8);
        let (mut block, mut head) = (first, FIRST);
        while bytes.len() < len && block != 0 {
            let at = self.block(block);
            for word in at + head..at + BLOCK {
                bytes.extend_from_slice(&self.read(word).to_le_bytes());
            }
            (block, head) = (self.next(block), NEXT);
        }
        bytes.truncate(len);
        bytes
    }

    /// Takes a record out of its bucket and frees its blocks.
    fn remove(self, hash: u64, before: u64, block: u64) {
        let follower = self.follower(block);
        if before == 0 {
            self.store(self.bucket(hash), follower);
        } else {
            self.store(self.block(before), self.next(before) | follower << 32);
        }
        let mut block = block;
        for _ in 0..self.layout.blocks {
            if block == 0 {
                break;
            }
            let next = self.next(block);
            self.store(self.block(block), self.read(FREE));
            self.store(FREE, block);
            self.store(FREE_COUNT, self.read(FREE_COUNT).saturating_add(1));
            block = next;
        }
    }

    /// Sees to it that so many blocks are free: expired records go, then those longest unchanged. A pass
    /// frees a sixteenth, so that a flood of new keys does not pay it every time.
    fn make_room(self, needed: usize, now: Timestamp, timeout_seconds: i64) {
        if self.read(FREE_COUNT) >= needed as u64 {
            return;
        }
        let mut records = Vec::new();
        for bucket in 0..self.layout.buckets {
            let mut block = self.read(SHARD_HEADER + bucket);
            while block != 0 && records.len() < self.layout.blocks {
                let at = self.block(block);
                records.push((signed(self.read(at + 2)), self.read(at + 1), block));
                block = self.follower(block);
            }
        }
        records.sort_unstable();
        let enough = needed.max(self.layout.blocks / 16) as u64;
        for (changed, hash, block) in records {
            let age = now.seconds_since(Timestamp::from_unix_nanos(changed));
            if age < timeout_seconds && self.read(FREE_COUNT) >= enough {
                break;
            }
            let (mut before, mut other) = (0, self.read(self.bucket(hash)));
            for _ in 0..self.layout.blocks {
                if other == block || other == 0 {
                    break;
                }
                (before, other) = (other, self.follower(other));
            }
            if other == block {
                self.remove(hash, before, block);
            }
        }
    }

    /// False when there is no room.
    fn insert(self, hash: u64, now: Timestamp, bytes: &[u8]) -> bool {
        let needed = needs(bytes.len());
        if self.read(FREE_COUNT) < needed as u64 {
            return false;
        }
        let first = self.read(FREE);
        let (mut block, mut head, mut rest) = (first, FIRST, bytes);
        let mut last = 0;
        for _ in 0..needed {
            let at = self.block(block);
            for word in at + head..at + BLOCK {
                let (part, left) = rest.split_at(rest.len().min(8));
                let mut bytes = [0; 8];
                bytes.iter_mut().zip(part).for_each(|(to, from)| *to = *from);
                self.store(word, u64::from_le_bytes(bytes));
                rest = left;
            }
            (last, block, head) = (block, self.next(block), NEXT);
        }
        self.store(FREE, block);
        self.store(FREE_COUNT, self.read(FREE_COUNT).saturating_sub(needed as u64));
        self.store(self.block(last), 0);
        let (at, bucket) = (self.block(first), self.bucket(hash));
        self.store(at, self.next(first) | self.read(bucket) << 32);
        self.store(at + 1, hash);
        self.store(at + 2, u64::from_ne_bytes(now.unix_nanos().to_ne_bytes()));
        self.store(at + 3, bytes.len() as u64);
        self.store(bucket, first);
        true
    }
}

impl<'a> Locked<'a> {
    fn take(shard: Shard<'a>) -> Option<Self> {
        /// Tells the threads of a process apart.
        static TURN: AtomicU32 = AtomicU32::new(0);
        let turn = TURN.fetch_add(1, Ordering::Relaxed);
        let mine = u64::from(std::process::id()) << 32 | u64::from(turn);
        let lock = shard.words.get(LOCK)?;
        let (mut holder, mut naps) = (0, 0);
        for tries in 0..SPINS + YIELDS + 3 * PASS_OVER {
            match lock.compare_exchange_weak(0, mine, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Some(Self::entered(shard, mine)),
                Err(0) => {}
                Err(_) if tries < SPINS => std::hint::spin_loop(),
                Err(_) if tries < SPINS + YIELDS => std::thread::yield_now(),
                Err(other) => {
                    naps = if other == holder { naps + 1 } else { 0 };
                    holder = other;
                    let gone = naps >= ASK && naps % ASK == 0 && !lives(other);
                    if gone || naps >= PASS_OVER {
                        let taken = lock.compare_exchange(
                            other,
                            mine,
                            Ordering::Acquire,
                            Ordering::Relaxed,
                        );
                        if taken.is_ok() {
                            return Some(Self::entered(shard, mine));
                        }
                    } else {
                        std::thread::sleep(NAP);
                    }
                }
            }
        }
        None
    }

    fn entered(shard: Shard<'a>, mine: u64) -> Self {
        if shard.read(WRITING) != 0 {
            shard.clear();
            shard.store(WRITING, 0);
        }
        Self { shard, mine }
    }

    fn find(&self, hash: u64, collection: &str, key: &[u8]) -> Option<At> {
        self.shard.find(hash, collection, key)
    }

    /// Changes the shard; who comes after a death in between finds the mark.
    fn write(&self, change: impl FnOnce(Shard<'_>) -> bool) -> bool {
        self.shard.store(WRITING, 1);
        std::sync::atomic::fence(Ordering::Release);
        let done = change(self.shard);
        std::sync::atomic::fence(Ordering::Release);
        self.shard.store(WRITING, 0);
        done
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // Not ours any more where we were passed over.
        if let Some(lock) = self.shard.words.get(LOCK) {
            let _ = lock.compare_exchange(self.mine, 0, Ordering::Release, Ordering::Relaxed);
        }
    }
}

/// Whether the process of a lock's holder is there; yes when it cannot be told.
fn lives(holder: u64) -> bool {
    let pid = i32::try_from(holder >> 32).ok().and_then(rustix::process::Pid::from_raw);
    pid.is_none_or(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

/// The blocks of a record of so many bytes.
const fn needs(bytes: usize) -> usize {
    1 + bytes.saturating_sub((BLOCK - FIRST) * 8).div_ceil((BLOCK - NEXT) * 8)
}

const fn signed(word: u64) -> i64 {
    i64::from_ne_bytes(word.to_ne_bytes())
}

/// A record's bytes: the key, then each variable, lengths in two bytes. `None` when a name is too long.
fn encode(collection: &str, key: &[u8], record: &Record) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(128);
    put(&mut bytes, collection.as_bytes())?;
    put(&mut bytes, key)?;
    for slot in &record.variables {
        put(&mut bytes, &slot.name)?;
        put(&mut bytes, &slot.value)?;
        let expires = slot.expires.map_or(i64::MAX, Timestamp::unix_nanos);
        bytes.extend_from_slice(&expires.to_le_bytes());
    }
    Some(bytes)
}

fn put(bytes: &mut Vec<u8>, part: &[u8]) -> Option<()> {
    bytes.extend_from_slice(&u16::try_from(part.len()).ok()?.to_le_bytes());
    bytes.extend_from_slice(part);
    Some(())
}

/// The variables, when these are the bytes of that record.
fn decode(mut bytes: &[u8], collection: &str, key: &[u8]) -> Option<Vec<Slot>> {
    if take(&mut bytes)? != collection.as_bytes() || take(&mut bytes)? != key {
        return None;
    }
    let mut slots = Vec::new();
    while !bytes.is_empty() {
        let (name, value) = (take(&mut bytes)?.to_vec(), take(&mut bytes)?.to_vec());
        let (expires, rest) = bytes.split_first_chunk()?;
        bytes = rest;
        let expires = i64::from_le_bytes(*expires);
        let expires = (expires != i64::MAX).then(|| Timestamp::from_unix_nanos(expires));
        slots.push(Slot { name, value, expires });
    }
    Some(slots)
}

fn take<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, rest) = bytes.split_first_chunk()?;
    let (part, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
    *bytes = rest;
    Some(part)
}

#[cfg(test)]
#[path = "shared_tests.rs"]
mod tests;
