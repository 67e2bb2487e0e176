//! `--state DIR`: what a run needs to go on after it was killed, at whatever moment.
//!
//! | file | what |
//! | --- | --- |
//! | `state` | how far each input was taken, and the engine's snapshot of that very moment |
//! | `stdin-S-N` | what has come of standard input since its byte N; the S-th that was read |
//! | `lock` | held while a run uses the folder |
//!
//! `state` is only ever replaced as a whole, by a rename, and after all that was found up to there has
//! been written out. A run that is killed goes on from the last one: what it had found since is
//! found, and told, again, with the same ids. Files are read again from their positions; standard
//! input cannot be, so it is written down before it is looked at.

use super::inputs::STANDARD;
use crate::siem::Engine;
use crate::siem::correlation::sip128;
use crate::siem::snapshot::{Magic, Reader as SnapshotReader, Writer, open, seal, unsound};
use crate::siem::sources::{Format, Point};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const MAGIC: &Magic = b"smessirn";
const VERSION: u16 = 1;

/// So much input at least lies between two states: less than a second of work that is done again.
const PAUSE: u64 = 4 << 20;
/// And so many times the size of the last one, so that writing them stays cheap beside the work.
const PAUSE_SNAPSHOTS: u64 = 4;

/// By so many first bytes a file is known again.
const HEAD: u64 = 4_096;

pub(super) struct State {
    folder: PathBuf,
    /// Held until the run ends; the system lets go of it however that happens.
    _lock: File,
    /// INVARIANT: none is taken out or moved before the run ends, since a run holds their numbers.
    places: Vec<Place>,
    /// Which standard input it is: one that has ended is never taken for the next.
    stream: u64,
    spool: Option<Spool>,
    /// Bytes read since the last state was written.
    since: u64,
    pause: u64,
}

/// How far an input was taken.
#[derive(Clone, Debug)]
pub(super) struct Place {
    name: String,
    head: (u64, u128),
    pub(super) point: Point,
    /// Events behind the point that were taken, too.
    pub(super) skip: u64,
}

/// What has come of standard input and may be needed again.
struct Spool {
    file: File,
    path: PathBuf,
    /// Where in standard input it begins.
    base: u64,
    length: u64,
}

impl State {
    /// Takes the folder, makes it where it is not there, and brings the engine to where it was.
    pub(super) fn open(
        folder: &str,
        engine: &mut Engine,
        stderr: &mut dyn Write,
    ) -> Result<Self, String> {
        let folder = PathBuf::from(folder);
        let wrong = |e: std::io::Error| format!("`{}`: {e}", folder.display());
        std::fs::create_dir_all(&folder).map_err(wrong)?;
        let lock = File::create(folder.join("lock")).map_err(wrong)?;
        lock.try_lock().map_err(|_| {
            format!(
                "`{}` is used by another run; wait for it, or name another folder",
                folder.display()
            )
        })?;
        let (places, stream, pause) = (Vec::new(), 0, PAUSE);
        let mut state = Self { folder, _lock: lock, places, stream, spool: None, since: 0, pause };
        let path = state.folder.join("state");
        match std::fs::read(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(format!("`{}`: {e}", path.display())),
            Ok(bytes) => {
                let skipped = state.take_up(&bytes, engine).map_err(|e| {
                    format!("`{}`: {e}, or remove the file to start anew", path.display())
                })?;
                if skipped > 0 {
                    let why = "belong to rules that are gone or have changed, and begin anew";
                    writeln!(stderr, "smesec: {skipped} groups of the state {why}")
                        .map_err(|e| e.to_string())?;
                }
            }
        }
        Ok(state)
    }

    fn take_up(&mut self, bytes: &[u8], engine: &mut Engine) -> Result<usize, crate::Error> {
        let mut from = open(MAGIC, VERSION, bytes)?;
        let (stream, places, snapshot) = Self::read(&mut from).ok_or_else(unsound)?;
        let restored = engine.restore(snapshot)?;
        (self.stream, self.places) = (stream, places);
        Ok(restored.skipped)
    }

    /// Which standard input it is, how far the inputs are taken, and the engine's snapshot.
    fn read<'b>(from: &mut SnapshotReader<'b>) -> Option<(u64, Vec<Place>, &'b [u8])> {
        let (stream, places) = (from.u64()?, from.several(56, Place::read)?);
        let snapshot = from.bytes()?;
        from.is_done().then_some((stream, places, snapshot))
    }

    /// Where a file has to be read on from, and its number for [`Self::reached`]; the file is set there.
    pub(super) fn file(
        &mut self,
        name: &str,
        file: &mut File,
        format: Format,
        stderr: &mut dyn Write,
    ) -> Result<(usize, Place), String> {
        let wrong = |e: std::io::Error| format!("`{name}`: {e}");
        let about = file.metadata().map_err(wrong)?;
        if !about.is_file() {
            return Err(format!(
                "`{name}` is no file that can be read twice; with `--state` hand it in as standard input"
            ));
        }
        let mut head = Vec::new();
        Read::by_ref(file).take(HEAD).read_to_end(&mut head).map_err(wrong)?;
        let known = self.places.iter().position(|place| place.name == name);
        let same = known.and_then(|at| self.places.get(at)).is_some_and(|place| {
            let start = usize::try_from(place.head.0).ok().and_then(|length| head.get(..length));
            start.is_some_and(|start| sip128(12, start) == place.head.1)
                && about.len() >= place.point.offset
        });
        if known.is_some() && !same {
            writeln!(stderr, "smesec: `{name}` is not the file it was; it is read from its start")
                .map_err(|e| e.to_string())?;
        }
        let head = (head.len() as u64, sip128(12, &head));
        let at = self.place(name, format);
        let place = self.places.get_mut(at).ok_or("the state has lost an input")?;
        place.head = head;
        if !same {
            (place.point, place.skip) = (Point::new(0, 0, format), 0);
        }
        file.seek(SeekFrom::Start(place.point.offset)).map_err(wrong)?;
        Ok((at, place.clone()))
    }

    /// The same of standard input, and what was written down of it.
    pub(super) fn standard(&mut self, format: Format) -> Result<(usize, Place, File), String> {
        let at = self.place(STANDARD, format);
        let place = self.places.get(at).cloned().ok_or("the state has lost an input")?;
        let path = self.spool_path(place.point.offset);
        let wrong = |e: std::io::Error| format!("`{}`: {e}", path.display());
        for entry in std::fs::read_dir(&self.folder).map_err(wrong)? {
            let other = entry.map_err(wrong)?.path();
            let name = other.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if other != path && name.starts_with("stdin-") {
                std::fs::remove_file(&other).map_err(wrong)?;
            }
        }
        let options = || OpenOptions::new();
        let file = options().create(true).append(true).read(true).open(&path).map_err(wrong)?;
        let written = options().read(true).open(&path).map_err(wrong)?;
        let length = file.metadata().map_err(wrong)?.len();
        self.spool = Some(Spool { file, path: path.clone(), base: place.point.offset, length });
        Ok((at, place, written))
    }

    /// Up to which byte standard input is taken, or written down.
    pub(super) fn accepted(&self) -> u64 {
        self.spool.as_ref().map_or(0, |spool| spool.base + spool.length)
    }

    /// Writes down what has come of standard input, before anything is made of it.
    pub(super) fn accept(&mut self, piece: &[u8]) -> Result<(), String> {
        let Some(spool) = &mut self.spool else { return Ok(()) };
        spool.file.write_all(piece).map_err(|e| format!("`{}`: {e}", spool.path.display()))?;
        spool.length += piece.len() as u64;
        Ok(())
    }

    /// An input was taken so far. True where it is time to write the state.
    pub(super) fn reached(&mut self, at: usize, point: Point, skip: u64, read: usize) -> bool {
        if let Some(place) = self.places.get_mut(at) {
            (place.point, place.skip) = (point, skip);
        }
        self.since += read as u64;
        self.since >= self.pause
    }

    /// Writes the state. All that was found so far has to be written out.
    pub(super) fn write(&mut self, snapshot: &[u8]) -> Result<(), String> {
        let spool = self.next_spool()?;
        self.replace(snapshot)?;
        if let Some(next) = spool
            && let Some(last) = self.spool.replace(next)
        {
            let _ = std::fs::remove_file(last.path);
        }
        self.since = 0;
        self.pause = PAUSE.max((snapshot.len() as u64).saturating_mul(PAUSE_SNAPSHOTS));
        Ok(())
    }

    /// Writes the last state of a run whose inputs have been read to their ends: what follows on
    /// standard input another time is another stream.
    pub(super) fn end(mut self, snapshot: &[u8]) -> Result<(), String> {
        let spool = self.spool.take();
        if spool.is_some() {
            self.places.retain(|place| place.name != STANDARD);
            self.stream += 1;
        }
        self.replace(snapshot)?;
        if let Some(spool) = spool {
            let _ = std::fs::remove_file(spool.path);
        }
        Ok(())
    }

    fn place(&mut self, name: &str, format: Format) -> usize {
        let known = self.places.iter().position(|place| place.name == name);
        known.unwrap_or_else(|| {
            let point = Point::new(0, 0, format);
            self.places.push(Place { name: name.to_owned(), head: (0, 0), point, skip: 0 });
            self.places.len() - 1
        })
    }

    fn spool_path(&self, base: u64) -> PathBuf {
        self.folder.join(format!("stdin-{}-{base}", self.stream))
    }

    /// A spool that begins where standard input would be read on from, if that has moved.
    fn next_spool(&mut self) -> Result<Option<Spool>, String> {
        let base = self.places.iter().find(|place| place.name == STANDARD);
        let base = base.map_or(0, |place| place.point.offset);
        let next = self.spool_path(base);
        let Some(spool) = &mut self.spool else { return Ok(None) };
        let Some(passed) = base.checked_sub(spool.base).filter(|passed| *passed > 0) else {
            return Ok(None);
        };
        let wrong = |e: std::io::Error| format!("`{}`: {e}", next.display());
        let mut rest = Vec::new();
        spool.file.seek(SeekFrom::Start(passed)).map_err(wrong)?;
        spool.file.read_to_end(&mut rest).map_err(wrong)?;
        let mut file =
            OpenOptions::new().create(true).append(true).read(true).open(&next).map_err(wrong)?;
        file.set_len(0).map_err(wrong)?;
        file.write_all(&rest).map_err(wrong)?;
        file.sync_data().map_err(wrong)?;
        Ok(Some(Spool { file, path: next, base, length: rest.len() as u64 }))
    }

    fn replace(&mut self, snapshot: &[u8]) -> Result<(), String> {
        // Of files that have gone nothing is kept. Their places stay where they are while the run lasts:
        // it knows the others by number.
        let there = |place: &&Place| place.name == STANDARD || Path::new(&place.name).exists();
        let places: Vec<&Place> = self.places.iter().filter(there).collect();
        let mut body = Writer::default();
        body.u64(self.stream);
        body.count(places.len());
        for place in places {
            place.write(&mut body);
        }
        body.bytes(snapshot);
        let bytes = seal(MAGIC, VERSION, &body);
        let (path, new) = (self.folder.join("state"), self.folder.join("state.new"));
        let wrong = |e: std::io::Error| format!("`{}`: {e}", path.display());
        let mut file = File::create(&new).map_err(wrong)?;
        file.write_all(&bytes).map_err(wrong)?;
        file.sync_all().map_err(wrong)?;
        std::fs::rename(&new, &path).map_err(wrong)?;
        // The rename itself is on the disk once the folder is.
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(wrong)
    }
}

impl Place {
    fn write(&self, into: &mut Writer) {
        into.bytes(self.name.as_bytes());
        into.u64(self.head.0);
        into.u128(self.head.1);
        into.u64(self.point.offset);
        into.u64(self.point.line);
        into.bytes(self.point.format.to_string().as_bytes());
        into.u64(self.skip);
    }

    fn read(from: &mut SnapshotReader<'_>) -> Option<Self> {
        let name = from.text()?;
        let head = (from.u64()?, from.u128()?);
        let (offset, line) = (from.u64()?, from.u64()?);
        let format = Format::named(&from.text()?)?;
        Some(Self { name, head, point: Point::new(offset, line, format), skip: from.u64()? })
    }
}
