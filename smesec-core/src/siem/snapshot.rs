//! Snapshots: state as bytes, and back.
//!
//! ```text
//! magic | version | checksum | body
//! ```
//!
//! All numbers are little-endian. The checksum keeps accidents out; a body is read as if it were hostile
//! all the same.

use super::correlation::sip128;
use crate::error::{ConfigError, Error};

pub(crate) type Magic = [u8; 8];

/// A snapshot of a body.
pub(crate) fn seal(magic: &Magic, version: u16, body: &Writer) -> Vec<u8> {
    let mut bytes = magic.to_vec();
    bytes.extend(version.to_le_bytes());
    bytes.extend(sip128(8, &body.0).to_le_bytes());
    bytes.extend(&body.0);
    bytes
}

/// The body of a snapshot.
///
/// # Errors
/// Bytes that are no snapshot of this kind, of another version, damaged or cut.
pub(crate) fn open<'b>(magic: &Magic, version: u16, bytes: &'b [u8]) -> Result<Reader<'b>, Error> {
    let body =
        bytes.strip_prefix(magic).ok_or_else(|| wrong("is none; hand in what `snapshot` gave"))?;
    let (told, body) =
        body.split_first_chunk::<2>().ok_or_else(|| wrong("is cut; take it again"))?;
    let told = u16::from_le_bytes(*told);
    if told != version {
        return Err(wrong(&format!("has version {told}, and {version} is read; start anew")));
    }
    let (checksum, body) =
        body.split_first_chunk::<16>().ok_or_else(|| wrong("is cut; take it again"))?;
    if u128::from_le_bytes(*checksum) != sip128(8, body) {
        return Err(wrong("is damaged: its checksum differs; take an older one"));
    }
    Ok(Reader(body))
}

/// The error for a body that is whole and yet none that was written here.
pub(crate) fn unsound() -> Error {
    wrong("does not add up; take an older one")
}

fn wrong(why: &str) -> Error {
    ConfigError::new(format!("the snapshot {why}")).into()
}

#[derive(Debug, Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn u8(&mut self, number: u8) {
        self.0.push(number);
    }

    pub(crate) fn u32(&mut self, number: u32) {
        self.0.extend(number.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, number: u64) {
        self.0.extend(number.to_le_bytes());
    }

    pub(crate) fn i64(&mut self, number: i64) {
        self.0.extend(number.to_le_bytes());
    }

    pub(crate) fn u128(&mut self, number: u128) {
        self.0.extend(number.to_le_bytes());
    }

    pub(crate) fn count(&mut self, count: usize) {
        self.u32(u32::try_from(count).unwrap_or(u32::MAX));
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.extend(bytes);
    }

    /// A text that may be missing.
    pub(crate) fn option(&mut self, text: Option<&str>) {
        self.u8(u8::from(text.is_some()));
        if let Some(text) = text {
            self.bytes(text.as_bytes());
        }
    }
}

#[derive(Debug)]
pub(crate) struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*array)
    }

    /// Whether everything has been read.
    pub(crate) fn is_done(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn starts_with(&self, bytes: &[u8]) -> bool {
        self.0.starts_with(bytes)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    pub(crate) fn u128(&mut self) -> Option<u128> {
        self.array().map(u128::from_le_bytes)
    }

    pub(crate) fn bytes(&mut self) -> Option<&'b [u8]> {
        let count = self.u32()? as usize;
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(crate) fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    #[expect(
        clippy::option_option,
        reason = "a text that may be missing, in bytes that may be cut"
    )]
    pub(crate) fn option(&mut self) -> Option<Option<String>> {
        match self.u8()? {
            0 => Some(None),
            _ => self.text().map(Some),
        }
    }

    /// A counted list; `least` bytes an item bound what a number can make us allocate.
    pub(crate) fn several<T>(
        &mut self,
        least: usize,
        mut one: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let count = self.u32()? as usize;
        if count > self.0.len() / least.max(1) {
            return None;
        }
        (0..count).map(|_| one(self)).collect()
    }
}
