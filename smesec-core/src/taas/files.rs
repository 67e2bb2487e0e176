//! Where files come from that tests name: includes, uploads, bodies.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Bytes of one file. Test files upload pictures and documents; 64 MiB is a hundred of them.
const LARGEST: u64 = 64 << 20;

/// Reads the files that tests name.
pub trait Files: Send + Sync {
    /// The file that `from` calls `name`: what it is known by (errors say it), and its bytes.
    ///
    /// # Errors
    /// Why there is none.
    fn read(&self, name: &str, from: &str) -> Result<(String, Vec<u8>), String>;
}

/// The file system: names are relative to the file that names them, else to the working directory.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "it holds nothing; hosts write it as a value")]
pub struct Folder;

impl Files for Folder {
    fn read(&self, name: &str, from: &str) -> Result<(String, Vec<u8>), String> {
        let beside = Path::new(from).parent().map(|folder| folder.join(name));
        let places: [Option<PathBuf>; 2] = [beside, Some(PathBuf::from(name))];
        let found = places.into_iter().flatten().find(|path| path.is_file());
        let path = found.ok_or_else(|| {
            if from.is_empty() {
                return format!("`{name}` is no file; check the name");
            }
            format!(
                "`{name}` is no file beside `{from}` nor in the working directory; check the name"
            )
        })?;
        let known_as = path.to_string_lossy().into_owned();
        let mut bytes = Vec::new();
        let read = std::fs::File::open(&path)
            .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes));
        match read {
            Ok(_) if bytes.len() as u64 > LARGEST => {
                Err(format!("`{known_as}` is longer than {LARGEST} bytes; shorten it"))
            }
            Ok(_) => Ok((known_as, bytes)),
            Err(e) => Err(format!("`{known_as}`: {e}; check that it may be read")),
        }
    }
}

/// Files in memory, by their exact names.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    files: BTreeMap<String, Vec<u8>>,
}

impl Memory {
    /// With one more file.
    pub fn file(mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.insert(name.into(), bytes.into());
        self
    }
}

impl Files for Memory {
    fn read(&self, name: &str, _from: &str) -> Result<(String, Vec<u8>), String> {
        let bytes = self.files.get(name);
        let bytes = bytes.ok_or_else(|| format!("there is no file `{name}`; check the name"))?;
        Ok((name.to_owned(), bytes.clone()))
    }
}
