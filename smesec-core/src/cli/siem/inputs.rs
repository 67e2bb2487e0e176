//! What is read: files, folders, standard input.

use std::path::{Path, PathBuf};

/// The name of standard input.
pub(super) const STANDARD: &str = "-";

/// The input files below each path, in the order of their names.
pub(super) fn files(paths: &[String]) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for path in paths {
        below(Path::new(path), 0, &mut files)?;
    }
    Ok(files)
}

/// Of a folder, what readers know by its ending; a file that is named is read whatever its name.
fn below(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), String> {
    const ENDINGS: &[&str] = &["csv", "evtx", "json", "jsonl", "log", "txt", "xml"];
    /// A link that leads back is cut here; trees of logs are far flatter.
    const DEEPEST: usize = 32;
    if path == Path::new(STANDARD) || !path.is_dir() {
        files.push(path.to_owned());
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
        let ending = entry.extension().and_then(|e| e.to_str()).unwrap_or_default();
        if ENDINGS.contains(&ending.to_ascii_lowercase().as_str()) || entry.is_dir() {
            below(&entry, depth + 1, files)?;
        }
    }
    Ok(())
}
