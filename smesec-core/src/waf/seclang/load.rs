//! Where rule files come from.
use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::path::Path;

/// Reads rule files for `Include`.
pub trait Loader {
    /// The whole content of a file.
    ///
    /// # Errors
    /// What the source says, `NotFound` for a missing file.
    fn read(&self, path: &str) -> Result<Vec<u8>, Error>;
    /// The files a pattern with `*`, `?` and `[..]` names, sorted; empty when there are none.
    ///
    /// # Errors
    /// When a folder exists but cannot be listed.
    fn glob(&self, pattern: &str) -> Result<Vec<String>, Error>;
}

/// The file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Files;

/// Files held in memory, by path.
#[derive(Clone, Debug, Default)]
pub struct Memory(pub BTreeMap<String, Vec<u8>>);

impl Loader for Memory {
    fn read(&self, path: &str) -> Result<Vec<u8>, Error> {
        self.0.get(path).cloned().ok_or_else(|| Error::from(ErrorKind::NotFound))
    }
    fn glob(&self, pattern: &str) -> Result<Vec<String>, Error> {
        let parts: Vec<&str> = pattern.split('/').collect();
        let fits = |path: &&String| {
            let names: Vec<&str> = path.split('/').collect();
            names.len() == parts.len() && parts.iter().zip(names).all(|(p, n)| matches(p, n))
        };
        Ok(self.0.keys().filter(fits).cloned().collect())
    }
}

impl Loader for Files {
    fn read(&self, path: &str) -> Result<Vec<u8>, Error> {
        std::fs::read(path)
    }
    fn glob(&self, pattern: &str) -> Result<Vec<String>, Error> {
        let mut found = vec![String::from(if pattern.starts_with('/') { "/" } else { "" })];
        for part in pattern.split('/').filter(|part| !part.is_empty()) {
            let mut next = Vec::new();
            for base in found {
                if is_pattern(part) {
                    let folder = if base.is_empty() { "." } else { base.as_str() };
                    let entries = match std::fs::read_dir(folder) {
                        Ok(entries) => entries,
                        Err(e)
                            if matches!(
                                e.kind(),
                                ErrorKind::NotFound | ErrorKind::NotADirectory
                            ) =>
                        {
                            continue;
                        }
                        Err(e) => return Err(e),
                    };
                    for entry in entries {
                        if let Ok(name) = entry?.file_name().into_string()
                            && matches(part, &name)
                        {
                            next.push(join(&base, &name));
                        }
                    }
                } else {
                    next.push(join(&base, part));
                }
            }
            found = next;
        }
        found.retain(|path| Path::new(path).is_file());
        found.sort();
        Ok(found)
    }
}

pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

pub(super) fn join(base: &str, name: &str) -> String {
    if base.is_empty() || name.starts_with('/') {
        name.to_owned()
    } else if base.ends_with('/') {
        format!("{base}{name}")
    } else {
        format!("{base}/{name}")
    }
}

/// Whether one path component fits; a leading dot must be written out. Backs up to the last `*`
/// only, so the time is at most the product of the lengths.
fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let (mut p, mut n) = (pattern, name);
    let mut star: Option<(&str, &str)> = None;
    loop {
        if let Some(rest) = p.strip_prefix('*') {
            star = Some((rest, n));
            p = rest;
            continue;
        }
        let mut tail = n.chars();
        let Some(c) = tail.next() else { return p.is_empty() };
        if let Some(rest) = one(p, c) {
            (p, n) = (rest, tail.as_str());
        } else if let Some((after, from)) = star {
            let mut from = from.chars();
            from.next();
            star = Some((after, from.as_str()));
            (p, n) = (after, from.as_str());
        } else {
            return false;
        }
    }
}

fn one(pattern: &str, c: char) -> Option<&str> {
    if let Some(rest) = pattern.strip_prefix('?') {
        return Some(rest);
    }
    if let Some((set, rest)) = pattern.strip_prefix('[').and_then(|p| p.split_once(']')) {
        let plain = set.strip_prefix(['!', '^']);
        let members: Vec<char> = plain.unwrap_or(set).chars().collect();
        let mut left = members.as_slice();
        let mut inside = false;
        while let Some((&low, rest)) = left.split_first() {
            if let ['-', high, after @ ..] = rest {
                inside |= (low..=*high).contains(&c);
                left = after;
            } else {
                inside |= low == c;
                left = rest;
            }
        }
        return (inside != plain.is_some()).then_some(rest);
    }
    pattern.strip_prefix(c)
}
