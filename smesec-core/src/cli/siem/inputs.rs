//! What is read: files, folders, standard input.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The name of standard input.
pub(super) const STANDARD: &str = "-";

/// What a run reads, and what of its folders it does not.
#[derive(Default)]
pub(super) struct Inputs {
    pub(super) files: Vec<PathBuf>,
    /// Each with the reason, so that no log is missed in silence.
    pub(super) passed: Vec<(PathBuf, String)>,
}

impl Inputs {
    /// The input files below each path, in the order of their names.
    pub(super) fn below(paths: &[String]) -> Result<Self, String> {
        let mut inputs = Self::default();
        for path in paths {
            inputs.add(Path::new(path), 0)?;
        }
        Ok(inputs)
    }

    /// Whether they can be read to an end that is known: files, no pipes.
    pub(super) fn are_files(&self) -> bool {
        self.files.iter().all(|file| file != Path::new(STANDARD) && file.is_file())
    }

    /// Of a folder, what readers know by its name; a file that is named is read whatever its name.
    fn add(&mut self, path: &Path, depth: usize) -> Result<(), String> {
        /// A link that leads back is cut here; trees of logs are far flatter.
        const DEEPEST: usize = 32;
        if path == Path::new(STANDARD) || !path.is_dir() {
            self.files.push(path.to_owned());
            return Ok(());
        }
        let wrong = |e: std::io::Error| format!("`{}`: {e}; check the path", path.display());
        if depth > DEEPEST {
            return Err(format!("`{}`: folders nest deeper than {DEEPEST}", path.display()));
        }
        let mut entries: Vec<PathBuf> = std::fs::read_dir(path)
            .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
            .map_err(wrong)?;
        entries.sort();
        for entry in entries {
            if entry.is_dir() {
                self.add(&entry, depth + 1)?;
                continue;
            }
            match passed(&entry) {
                Some(why) => self.passed.push((entry, why)),
                None => self.files.push(entry),
            }
        }
        Ok(())
    }
}

const ENDINGS: &[&str] = &["csv", "evtx", "export", "json", "jsonl", "log", "txt", "xml"];
const COMPRESSED: &[&str] =
    &["7z", "bz2", "gz", "lz4", "lzma", "rar", "tar", "tbz2", "tgz", "txz", "xz", "zip", "zst"];

/// Why a folder's file is not read; `None` for one that is.
fn passed(file: &Path) -> Option<String> {
    let name = file.file_name().map(|name| name.to_string_lossy().to_lowercase());
    let name = name.unwrap_or_default();
    if !file.is_file() {
        return Some("it is no regular file; name it to read it".to_owned());
    }
    if name.starts_with('.') {
        return Some("its name begins with a dot; name it to read it".to_owned());
    }
    let ending = ending(&name);
    if COMPRESSED.contains(&ending) {
        return Some("it is compressed; unpack it, or hand it in through `zcat … |`".to_owned());
    }
    if ENDINGS.contains(&ending) {
        return None;
    }
    if !ending.is_empty() {
        return Some(format!("`.{ending}` is no ending that logs have; name it to read it"));
    }
    // A name without ending may be a log's as well as a database's.
    let mut start = [0; 512];
    let read = File::open(file).and_then(|mut file| file.read(&mut start)).unwrap_or_default();
    let start = start.get(..read).unwrap_or_default();
    let text = !start.contains(&0)
        || start.starts_with(b"ElfFile\0")
        || start.starts_with(b"\xff\xfe")
        || start.starts_with(b"\xfe\xff");
    (!text).then(|| "it is no text; name it to read it".to_owned())
}

/// The ending of a log's name, without what a rotation adds: `log` for `auth.log.1` and
/// `auth.log-20260302`, nothing for `syslog.1`.
fn ending(name: &str) -> &str {
    let mut name = name;
    loop {
        let Some((stem, last)) = name.rsplit_once(['.', '-']) else { return "" };
        let number = !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit());
        if number || matches!(last, "old" | "bak") {
            name = stem;
            continue;
        }
        return match name.rsplit_once('.') {
            Some((stem, ending)) if !stem.is_empty() => ending,
            _ => "",
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotated_name_has_the_ending_that_it_had() {
        for (name, expected) in [
            ("auth.log", "log"),
            ("auth.log.1", "log"),
            ("auth.log-20260302", "log"),
            ("auth.log.2.gz", "gz"),
            ("syslog", ""),
            ("syslog.1", ""),
            ("messages-20260302", ""),
            ("web-01.access.log", "log"),
            ("xorg.0.log.old", "log"),
            ("my-messages", ""),
        ] {
            assert_eq!(ending(name), expected, "{name}");
        }
    }
}
