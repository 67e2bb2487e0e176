//! Lines to a file or to standard output, written by a thread of its own so that no request waits
//! for a disk.

use super::config::Target;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Lines that may wait: a second of a busy site's, some megabytes.
const WAITING: usize = 16_384;

enum Order {
    Line(String),
    /// Opens the file anew, for log rotation.
    Reopen,
    Stop,
}

/// The writing end; dropping it writes what waits.
pub(super) struct Journal {
    orders: SyncSender<Order>,
    lost: Arc<AtomicU64>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").field("lost", &self.lost).finish_non_exhaustive()
    }
}

fn open(path: &PathBuf) -> std::io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

impl Journal {
    pub(super) fn open(target: &Target) -> std::io::Result<Self> {
        let (orders, inbox) = sync_channel(WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&lost);
        let (path, out): (Option<PathBuf>, Box<dyn Write + Send>) = match target {
            Target::StandardOutput => (None, Box::new(std::io::stdout())),
            Target::File(path) => (Some(path.clone()), Box::new(open(path)?)),
        };
        let thread = std::thread::Builder::new()
            .name("smesec-journal".to_owned())
            .spawn(move || write(&inbox, path.as_ref(), out, &counter))?;
        Ok(Self { orders, lost, thread: Mutex::new(Some(thread)) })
    }

    /// Writes a line (without its end); it is counted as lost when too many wait.
    pub(super) fn line(&self, line: String) {
        if self.orders.try_send(Order::Line(line)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn reopen(&self) {
        // A full queue keeps the old file; the next reload asks again.
        let _ = self.orders.try_send(Order::Reopen);
    }

    /// Lines that were not written: the queue or the disk was full.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // The thread takes orders until it stops, so that this waits for the disk at most.
        let _ = self.orders.send(Order::Stop);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

fn write(
    inbox: &Receiver<Order>,
    path: Option<&PathBuf>,
    out: Box<dyn Write + Send>,
    lost: &AtomicU64,
) {
    let mut out = BufWriter::with_capacity(1 << 16, out);
    let mut unwritten = 0;
    let settle = |out: &mut BufWriter<Box<dyn Write + Send>>, unwritten: &mut u64| {
        if out.flush().is_err() {
            lost.fetch_add(*unwritten, Ordering::Relaxed);
            // What could not be written is let go; a disk that has room again gets the next lines.
            let inner = std::mem::replace(out, BufWriter::new(Box::new(std::io::sink())));
            let (inner, _) = inner.into_parts();
            *out = BufWriter::with_capacity(1 << 16, inner);
        }
        *unwritten = 0;
    };
    loop {
        let order = match inbox.try_recv() {
            Ok(order) => order,
            Err(TryRecvError::Empty) => {
                settle(&mut out, &mut unwritten);
                match inbox.recv() {
                    Ok(order) => order,
                    Err(_) => return,
                }
            }
            Err(TryRecvError::Disconnected) => Order::Stop,
        };
        match order {
            Order::Line(line) => {
                if out.buffer().len() + line.len() + 1 > out.capacity() {
                    settle(&mut out, &mut unwritten);
                }
                unwritten += 1;
                if out.write_all(line.as_bytes()).and_then(|()| out.write_all(b"\n")).is_err() {
                    settle(&mut out, &mut unwritten);
                }
            }
            Order::Reopen => {
                settle(&mut out, &mut unwritten);
                if let Some(Ok(file)) = path.map(open) {
                    out = BufWriter::with_capacity(1 << 16, Box::new(file));
                }
            }
            Order::Stop => {
                settle(&mut out, &mut unwritten);
                return;
            }
        }
    }
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
        std::thread::sleep(std::time::Duration::from_millis(50));
        std::fs::rename(&path, folder.join("a.log.1")).unwrap();
        journal.reopen();
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
        if !std::path::Path::new("/dev/full").exists() {
            return;
        }
        let journal = Journal::open(&Target::File("/dev/full".into())).unwrap();
        let lost = Arc::clone(&journal.lost);
        for _ in 0..10 {
            journal.line("x".repeat(100));
        }
        drop(journal);
        assert_eq!(lost.load(Ordering::Relaxed), 10);
    }
}
