//! Lines to a file or to standard output, written by a thread of its own so that no request waits
//! for a disk.

use super::config::Target;
use crate::error::IoError;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Lines that may wait: a second of a busy site's, some megabytes.
const WAITING: usize = 16_384;
/// Bytes that are written at once: some hundred lines for each call of the system.
const AT_ONCE: usize = 1 << 16;

/// How long what waits is written on when the gateway stops: a disk takes it in far less, a pipe that nobody reads
/// never does.
const GRACE: Duration = Duration::from_secs(3);

enum Order {
    Line(String),
    /// Goes on in another file, for log rotation.
    Reopened(File),
    Stop,
}

/// The writing end; dropping it writes what waits, for some seconds at most.
pub(super) struct Journal {
    orders: SyncSender<Order>,
    path: Option<PathBuf>,
    lost: Arc<AtomicU64>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").field("lost", &self.lost).finish_non_exhaustive()
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

impl Journal {
    pub(super) fn open(target: &Target) -> std::io::Result<Self> {
        match target {
            Target::StandardOutput => Self::with(None, Box::new(std::io::stdout())),
            Target::File(path) => Self::with(Some(path.clone()), Box::new(open(path)?)),
        }
    }

    fn with(path: Option<PathBuf>, to: Box<dyn Write + Send>) -> std::io::Result<Self> {
        let (orders, inbox) = sync_channel(WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        let mut out = Out { to, waiting: Vec::new(), torn: false, lost: Arc::clone(&lost) };
        let thread = std::thread::Builder::new()
            .name("smesec-journal".to_owned())
            .spawn(move || out.take_orders(&inbox))?;
        Ok(Self { orders, path, lost, thread: Mutex::new(Some(thread)) })
    }

    /// Writes a line (without its end); it is counted as lost when too many wait.
    pub(super) fn line(&self, line: String) {
        if self.orders.try_send(Order::Line(line)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Opens the file anew, for log rotation.
    ///
    /// # Errors
    /// Where that cannot be; lines go on to the file that was open.
    pub(super) fn reopen(&self) -> Result<(), IoError> {
        let Some(path) = &self.path else { return Ok(()) };
        let failed = |error| IoError::new(path.display().to_string(), error);
        let file = open(path).map_err(failed)?;
        let busy = |_| failed(std::io::Error::new(ErrorKind::WouldBlock, "too many lines wait"));
        self.orders.try_send(Order::Reopened(file)).map_err(busy)
    }

    /// Lines that were not written: the queue or the disk was full.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        let until = Instant::now() + GRACE;
        let waits = || {
            std::thread::sleep(Duration::from_millis(1));
            Instant::now() < until
        };
        while let Err(TrySendError::Full(_)) = self.orders.try_send(Order::Stop)
            && waits()
        {}
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            while !thread.is_finished() && waits() {}
        }
    }
}

/// The thread's end. It buffers by itself, since it has to know which lines a full disk took.
struct Out {
    to: Box<dyn Write + Send>,
    /// Whole lines, each with its end.
    waiting: Vec<u8>,
    /// The file ends within a line that could not be written to its end.
    torn: bool,
    lost: Arc<AtomicU64>,
}

impl Out {
    fn take_orders(&mut self, inbox: &Receiver<Order>) {
        loop {
            let order = match inbox.try_recv() {
                Ok(order) => order,
                Err(TryRecvError::Empty) => {
                    self.settle();
                    match inbox.recv() {
                        Ok(order) => order,
                        Err(_) => return,
                    }
                }
                Err(TryRecvError::Disconnected) => Order::Stop,
            };
            match order {
                Order::Line(line) => self.line(&line),
                Order::Reopened(file) => {
                    self.settle();
                    self.to = Box::new(file);
                    self.torn = false;
                }
                Order::Stop => return self.settle(),
            }
        }
    }

    fn line(&mut self, line: &str) {
        self.waiting.extend_from_slice(line.as_bytes());
        self.waiting.push(b'\n');
        if self.waiting.len() >= AT_ONCE {
            self.settle();
        }
    }

    /// Writes what waits. What could not be written is let go; a disk that has room again gets the next
    /// lines, the first of them on a line of its own.
    fn settle(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        if self.torn && self.to.write_all(b"\n").is_ok() {
            self.torn = false;
        }
        let written = if self.torn { 0 } else { write(&mut self.to, &self.waiting) };
        if let Some((done, rest)) = self.waiting.split_at_checked(written) {
            let lines = memchr::memchr_iter(b'\n', rest).count();
            self.lost.fetch_add(lines as u64, Ordering::Relaxed);
            self.torn |= done.last().is_some_and(|last| *last != b'\n');
        }
        self.waiting.clear();
        self.waiting.shrink_to(2 * AT_ONCE);
    }
}

/// Writes as much as goes; how many bytes went.
fn write(to: &mut dyn Write, bytes: &[u8]) -> usize {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match to.write(rest) {
            Ok(0) => break,
            Ok(more) => written += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    // Standard output keeps what its last line lacks; a file keeps nothing.
    let _ = to.flush();
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_survive_a_rotation_and_the_end() {
        let folder = std::env::temp_dir().join(format!("smesec-journal-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("a.log");
        let journal = Journal::open(&Target::File(path.clone())).unwrap();
        journal.line("one".to_owned());
        std::fs::rename(&path, folder.join("a.log.1")).unwrap();
        journal.reopen().unwrap();
        for n in 0..1_000 {
            journal.line(n.to_string());
        }
        drop(journal);
        assert_eq!(std::fs::read_to_string(folder.join("a.log.1")).unwrap(), "one\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1_000);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_full_disk_is_counted_and_the_rest_goes_on() {
        if !Path::new("/dev/full").exists() {
            eprintln!("SKIPPED: a full disk, since there is no /dev/full");
            return;
        }
        let journal = Journal::open(&Target::File("/dev/full".into())).unwrap();
        let lost = Arc::clone(&journal.lost);
        for _ in 0..10 {
            journal.line("x".repeat(100));
            journal.line("y".repeat(70_000));
        }
        drop(journal);
        assert_eq!(lost.load(Ordering::Relaxed), 20);
    }

    /// A pipe that nobody reads.
    struct Stuck;

    impl Write for Stuck {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            loop {
                std::thread::park();
            }
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn who_reads_no_lines_does_not_keep_the_gateway_from_its_end() {
        let journal = Journal::with(None, Box::new(Stuck)).unwrap();
        for _ in 0..=2 * WAITING {
            journal.line("x".repeat(10));
        }
        assert!(journal.lost() > 0, "the queue is full");
        let began = Instant::now();
        drop(journal);
        assert!(began.elapsed() >= GRACE, "what waits had its time");
    }

    /// A disk with room for so many bytes.
    #[derive(Clone)]
    struct Disk(Arc<Mutex<(usize, Vec<u8>)>>);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let mut disk = self.0.lock().unwrap();
            let most = bytes.len().min(disk.0);
            if most == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            disk.0 -= most;
            disk.1.extend_from_slice(&bytes[..most]);
            Ok(most)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn half_a_line_does_not_spoil_the_next() {
        let disk = Disk(Arc::new(Mutex::new((10, Vec::new()))));
        let lost = Arc::default();
        let mut out = Out {
            to: Box::new(disk.clone()),
            waiting: Vec::new(),
            torn: false,
            lost: Arc::clone(&lost),
        };
        for line in ["first", "second", "third"] {
            out.line(line);
        }
        out.settle();
        assert_eq!(lost.load(Ordering::Relaxed), 2, "what went to the disk whole is not lost");
        out.line("fourth");
        out.settle();
        assert_eq!(lost.load(Ordering::Relaxed), 3);
        disk.0.lock().unwrap().0 = 1_000;
        out.line(&"x".repeat(70));
        out.settle();
        let text = String::from_utf8(disk.0.lock().unwrap().1.clone()).unwrap();
        assert_eq!(text, format!("first\nseco\n{}\n", "x".repeat(70)));
        assert_eq!(lost.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn a_file_that_cannot_be_opened_anew_is_told_and_the_old_one_stays() {
        let folder = std::env::temp_dir().join(format!("smesec-reopen-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (path, rotated) = (folder.join("a.log"), folder.join("a.log.1"));
        let journal = Journal::open(&Target::File(path.clone())).unwrap();
        std::fs::rename(&path, &rotated).unwrap();
        std::fs::create_dir(&path).unwrap();
        let why = journal.reopen().unwrap_err().to_string();
        assert!(why.contains("a.log"), "{why}");
        journal.line("one".to_owned());
        drop(journal);
        assert_eq!(std::fs::read_to_string(&rotated).unwrap(), "one\n");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
