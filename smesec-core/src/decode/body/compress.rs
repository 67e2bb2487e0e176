//! Compressed bodies: `Content-Encoding` gzip, deflate and br, decompressed as they arrive.
//!
//! ```
//! use smesec_core::decode::body::compress::{Decompressor, DecompressLimits, Encoding};
//!
//! // A deflate body that holds `abc` as it is (RFC 1951, stored block).
//! let body = b"\x01\x03\x00\xfc\xffabc";
//! let mut out = Vec::new();
//! let mut decompressor = Decompressor::new(Encoding::Deflate, DecompressLimits::default());
//! for chunk in body.chunks(2) {
//!     decompressor.feed(chunk, &mut out)?;
//! }
//! decompressor.finish()?;
//! assert_eq!(out, b"abc");
//! # Ok::<(), smesec_core::decode::body::compress::DecompressError>(())
//! ```

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::{Decompress, FlushDecompress, Status};
use std::fmt;

/// The codings of RFC 9110, section 8.4.1, and RFC 7932 that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// RFC 1952; a body of several members is read to its end.
    Gzip,
    /// RFC 1950, or the bare RFC 1951 that some clients send under this name.
    Deflate,
    /// RFC 7932; windows beyond its 16 MiB are refused.
    Brotli,
}

impl Encoding {
    /// The coding that a `Content-Encoding` element names, in any case of letters.
    pub fn from_content_coding(name: &[u8]) -> Option<Self> {
        let is = |names: &[&str]| names.iter().any(|n| name.eq_ignore_ascii_case(n.as_bytes()));
        if is(&["gzip", "x-gzip"]) {
            Some(Self::Gzip)
        } else if is(&["deflate"]) {
            Some(Self::Deflate)
        } else if is(&["br"]) {
            Some(Self::Brotli)
        } else {
            None
        }
    }
}

/// What decompressing a body may cost; see [`Default`] for the values and their reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecompressLimits {
    /// Bytes given out in all.
    pub max_output: u64,
    /// Bytes given out for each byte read, once [`ratio_after`](Self::ratio_after) is passed.
    pub max_ratio: u64,
    /// Bytes given out before the ratio counts.
    pub ratio_after: u64,
}

impl Default for DecompressLimits {
    fn default() -> Self {
        Self {
            // As much as the usual request limit lets through uncompressed.
            max_output: 16 << 20,
            // Text and JSON shrink to a tenth, repetitive logs to a fiftieth; bombs to a thousandth.
            max_ratio: 100,
            // A short body of one repeated byte is no attack, and costs next to nothing.
            ratio_after: 64 << 10,
        }
    }
}

/// Why a body was not decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecompressError {
    /// The bytes are not of the coding, or a checksum is wrong.
    #[error("the compressed data is corrupt")]
    Corrupt,
    /// The body ends before its compressed data does.
    #[error("the compressed data ends too early")]
    Truncated,
    /// Something follows the compressed data.
    #[error("unexpected data after the compressed data")]
    TrailingData,
    /// [`DecompressLimits::max_output`] was reached.
    #[error("the decompressed data is longer than the limit")]
    TooLong,
    /// [`DecompressLimits::max_ratio`] was reached.
    #[error("the data is compressed more than the limit allows")]
    RatioExceeded,
}

impl DecompressError {
    /// True when the body may be valid but goes beyond a limit.
    pub fn is_limit(self) -> bool {
        matches!(self, Self::TooLong | Self::RatioExceeded)
    }
}

/// A compressed body that arrives in chunks.
///
/// Memory is the window of the coding (32 KiB, for Brotli up to 16 MiB as the stream asks) and
/// one block of output.
pub struct Decompressor {
    limits: DecompressLimits,
    engine: Engine,
    block: Vec<u8>,
    read: u64,
    written: u64,
    error: Option<DecompressError>,
}

type Brotli = BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>;

enum Engine {
    /// Deflate of which not both bytes that tell its kind have come.
    Undecided(Option<u8>),
    Inflate(Decompress),
    Gzip(Decompress),
    Brotli(Box<Brotli>),
    /// The gzip member is complete; another may follow.
    BetweenMembers,
    Ended,
}

/// One turn of an engine: bytes read, bytes written, and whether the data has ended.
struct Turn {
    read: usize,
    written: usize,
    ended: bool,
}

const BLOCK: usize = 16 << 10;

impl fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decompressor")
            .field("limits", &self.limits)
            .field("read", &self.read)
            .field("written", &self.written)
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

impl Decompressor {
    /// A decompressor at the start of a body.
    pub fn new(encoding: Encoding, limits: DecompressLimits) -> Self {
        let engine = match encoding {
            Encoding::Gzip => Engine::Gzip(Decompress::new_gzip(15)),
            Encoding::Deflate => Engine::Undecided(None),
            Encoding::Brotli => {
                let alloc = StandardAlloc::default;
                // Strict: the plain constructor would accept windows of up to 1 GiB.
                let state = BrotliState::new_strict(alloc(), alloc(), alloc());
                Engine::Brotli(Box::new(state))
            }
        };
        Self { limits, engine, block: vec![0; BLOCK], read: 0, written: 0, error: None }
    }

    /// Reads one chunk and appends what it holds to `out`.
    ///
    /// # Errors
    /// The first fault or limit; what precedes it was appended. Every later call returns it too.
    pub fn feed(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), DecompressError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        self.run(chunk, out).inspect_err(|error| self.error = Some(*error))
    }

    /// Says that the body is complete. A body of no bytes at all is no error.
    ///
    /// # Errors
    /// [`DecompressError::Truncated`] when the data has not ended, or the fault seen before.
    pub fn finish(&mut self) -> Result<(), DecompressError> {
        let ended = matches!(self.engine, Engine::Ended | Engine::BetweenMembers);
        match self.error {
            Some(error) => Err(error),
            None if ended || self.read == 0 => Ok(()),
            None => Err(*self.error.insert(DecompressError::Truncated)),
        }
    }

    fn run(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), DecompressError> {
        let mut rest = chunk;
        loop {
            let turn = match &mut self.engine {
                Engine::Undecided(first) => {
                    let Some((byte, tail)) = rest.split_first() else { return Ok(()) };
                    let Some(first) = *first else {
                        (*first, rest) = (Some(*byte), tail);
                        self.read = 1;
                        continue;
                    };
                    // RFC 1950, section 2.2: the method, and a checksum over both bytes.
                    let zlib = first & 0x0f == 8 && u16::from_be_bytes([first, *byte]) % 31 == 0;
                    self.read = 0;
                    self.engine = Engine::Inflate(Decompress::new(zlib));
                    self.run(&[first], out)?;
                    continue;
                }
                Engine::BetweenMembers => {
                    if rest.is_empty() {
                        return Ok(());
                    }
                    if rest.first() != Some(&0x1f) {
                        return Err(DecompressError::TrailingData);
                    }
                    self.engine = Engine::Gzip(Decompress::new_gzip(15));
                    continue;
                }
                Engine::Ended if rest.is_empty() => return Ok(()),
                Engine::Ended => return Err(DecompressError::TrailingData),
                Engine::Inflate(inflate) | Engine::Gzip(inflate) => {
                    inflate_turn(inflate, rest, &mut self.block)?
                }
                Engine::Brotli(state) => brotli_turn(state, rest, &mut self.block)?,
            };
            self.read = self.read.saturating_add(to_u64(turn.read));
            rest = rest.get(turn.read..).unwrap_or_default();
            self.give(turn.written, out)?;
            if turn.ended {
                self.engine = match self.engine {
                    Engine::Gzip(_) => Engine::BetweenMembers,
                    _ => Engine::Ended,
                };
            } else if rest.is_empty() && turn.written < BLOCK {
                return Ok(());
            } else if turn.read + turn.written == 0 {
                return if rest.is_empty() { Ok(()) } else { Err(DecompressError::Corrupt) };
            }
        }
    }

    fn give(&mut self, width: usize, out: &mut Vec<u8>) -> Result<(), DecompressError> {
        let room = self.limits.max_output.saturating_sub(self.written);
        let kept = width.min(usize::try_from(room).unwrap_or(usize::MAX));
        out.extend_from_slice(self.block.get(..kept).unwrap_or_default());
        self.written = self.written.saturating_add(to_u64(kept));
        if kept < width {
            return Err(DecompressError::TooLong);
        }
        let allowed = self.read.saturating_mul(self.limits.max_ratio);
        if self.written > self.limits.ratio_after.max(allowed) {
            return Err(DecompressError::RatioExceeded);
        }
        Ok(())
    }
}

fn to_u64(width: usize) -> u64 {
    u64::try_from(width).unwrap_or(u64::MAX)
}

fn inflate_turn(
    inflate: &mut Decompress,
    input: &[u8],
    block: &mut [u8],
) -> Result<Turn, DecompressError> {
    let (read, written) = (inflate.total_in(), inflate.total_out());
    let status = inflate
        .decompress(input, block, FlushDecompress::None)
        .map_err(|_| DecompressError::Corrupt)?;
    Ok(Turn {
        read: usize::try_from(inflate.total_in() - read).unwrap_or_default(),
        written: usize::try_from(inflate.total_out() - written).unwrap_or_default(),
        ended: status == Status::StreamEnd,
    })
}

fn brotli_turn(
    state: &mut Brotli,
    input: &[u8],
    block: &mut [u8],
) -> Result<Turn, DecompressError> {
    let (mut available_in, mut read) = (input.len(), 0);
    let (mut available_out, mut written) = (block.len(), 0);
    let result = BrotliDecompressStream(
        &mut available_in,
        &mut read,
        input,
        &mut available_out,
        &mut written,
        block,
        &mut 0,
        state,
    );
    match result {
        BrotliResult::ResultFailure => Err(DecompressError::Corrupt),
        BrotliResult::ResultSuccess => Ok(Turn { read, written, ended: true }),
        _ => Ok(Turn { read, written, ended: false }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Xorshift, chunkings};
    use super::*;
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use std::io::Write;

    type Seen = (Vec<u8>, Result<(), DecompressError>);

    fn decompress(encoding: Encoding, chunks: &[&[u8]], limits: DecompressLimits) -> Seen {
        let mut out = Vec::new();
        let mut decompressor = Decompressor::new(encoding, limits);
        for chunk in chunks {
            if let Err(error) = decompressor.feed(chunk, &mut out) {
                assert_eq!(decompressor.finish(), Err(error));
                return (out, Err(error));
            }
        }
        let end = decompressor.finish();
        (out, end)
    }

    fn whole(encoding: Encoding, body: &[u8]) -> Seen {
        decompress(encoding, &[body], DecompressLimits::default())
    }

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(data: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn raw(data: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    const TEXT: &[u8] =
        br#"{"name":"smesec","text":"the quick brown fox jumps over the lazy dog, the quick brown fox"}"#;
    const BROTLI: &[u8] = b"\x1b\x5a\x00\x00\x8c\xd4\x4e\x77\x73\x48\xaa\xb7\x3d\xf8\xfc\x1d\xe9\xbd\xcf\x03\x9a\xe9\x5a\x25\xd1\x05\x49\x4e\x39\x60\x6e\x6d\xcd\x0b\xf2\xdb\x45\xcf\x78\xb7\xb1\x21\x38\xa6\x2a\x9d\x66\xe4\x64\xbc\x24\x3e\xed\x2e\x02\x19\x90\xbb\x4f\x11\x71\x61\xce\xf4\x34\x60\xad\x7a\x7d\xb2\xba\x1a\x56\xf0\x36\x98\x0f";
    /// Ten MiB of zeros.
    const BROTLI_BOMB: &[u8] = b"\xcb\xff\xff\x3f\xf8\x27\x00\xe2\xb1\x40\x20\xf7\xfe\x2f\xff\xff\x3f\xf0\x4f\x00\xc4\x61\x11\x80\xee\xfd\x07";

    fn bodies() -> Vec<(Encoding, Vec<u8>)> {
        vec![
            (Encoding::Gzip, gzip(TEXT)),
            (Encoding::Deflate, zlib(TEXT)),
            (Encoding::Deflate, raw(TEXT)),
            (Encoding::Brotli, BROTLI.to_vec()),
        ]
    }

    #[test]
    fn reads_every_coding_however_it_is_cut() {
        for (encoding, body) in bodies() {
            for chunks in chunkings(&body) {
                let seen = decompress(encoding, &chunks, DecompressLimits::default());
                assert_eq!(seen, (TEXT.to_vec(), Ok(())), "{encoding:?}");
            }
            assert_eq!(whole(encoding, b""), (Vec::new(), Ok(())));
        }
    }

    #[test]
    fn reads_data_longer_than_a_block() {
        let mut random = Xorshift::new(23);
        let letters = b"abcdefghijklmnop";
        let data: Vec<u8> = (0..500_000).map(|_| letters[random.below(16)]).collect();
        for (encoding, body) in [
            (Encoding::Gzip, gzip(&data)),
            (Encoding::Deflate, zlib(&data)),
            (Encoding::Deflate, raw(&data)),
        ] {
            assert_eq!(whole(encoding, &body), (data.clone(), Ok(())));
        }
    }

    #[test]
    fn reads_several_gzip_members() {
        let body = [gzip(b"one "), gzip(b"two")].concat();
        for chunks in chunkings(&body) {
            let seen = decompress(Encoding::Gzip, &chunks, DecompressLimits::default());
            assert_eq!(seen, (b"one two".to_vec(), Ok(())));
        }
    }

    #[test]
    fn tells_what_is_wrong() {
        for (encoding, body) in bodies() {
            let cut = whole(encoding, &body[..body.len() - 1]);
            assert_eq!(cut.1, Err(DecompressError::Truncated), "{encoding:?}");
            let more = whole(encoding, &[&body[..], b"x"].concat());
            assert_eq!(more, (TEXT.to_vec(), Err(DecompressError::TrailingData)), "{encoding:?}");
        }
        assert_eq!(whole(Encoding::Gzip, TEXT).1, Err(DecompressError::Corrupt));
        assert_eq!(whole(Encoding::Deflate, b"\xff\xff\xff\xff").1, Err(DecompressError::Corrupt));
        assert_eq!(whole(Encoding::Brotli, &[0xff; 40]).1, Err(DecompressError::Corrupt));
        let mut broken = gzip(TEXT);
        let checksum = broken.len() - 8;
        broken[checksum] ^= 1;
        assert_eq!(whole(Encoding::Gzip, &broken).1, Err(DecompressError::Corrupt));
        assert_eq!(whole(Encoding::Deflate, b"x").1, Err(DecompressError::Truncated));
    }

    #[test]
    fn stops_bombs_early() {
        let zeros = vec![0; 10 << 20];
        for (encoding, body) in [
            (Encoding::Gzip, gzip(&zeros)),
            (Encoding::Deflate, zlib(&zeros)),
            (Encoding::Brotli, BROTLI_BOMB.to_vec()),
        ] {
            let limits = DecompressLimits::default();
            for width in [1, 7, body.len()] {
                let chunks: Vec<&[u8]> = body.chunks(width).collect();
                let (out, end) = decompress(encoding, &chunks, limits);
                assert_eq!(end, Err(DecompressError::RatioExceeded), "{encoding:?}");
                assert!(out.len() < 256 << 10, "{encoding:?} {}", out.len());
            }
            let free = DecompressLimits { max_ratio: u64::MAX, ..limits };
            assert_eq!(decompress(encoding, &[&body], free), (zeros.clone(), Ok(())));
            let short = DecompressLimits { max_output: 1000, ..limits };
            let seen = decompress(encoding, &[&body], short);
            assert_eq!(seen, (vec![0; 1000], Err(DecompressError::TooLong)));
        }
    }

    #[test]
    fn refuses_windows_beyond_the_standard() {
        // The large-window header of a private extension to Brotli: 30 bits of window.
        assert_eq!(
            whole(Encoding::Brotli, b"\x11\x1e\x00\x00\x00").1,
            Err(DecompressError::Corrupt)
        );
    }

    #[test]
    fn knows_the_names() {
        assert_eq!(Encoding::from_content_coding(b"GZip"), Some(Encoding::Gzip));
        assert_eq!(Encoding::from_content_coding(b"x-gzip"), Some(Encoding::Gzip));
        assert_eq!(Encoding::from_content_coding(b"deflate"), Some(Encoding::Deflate));
        assert_eq!(Encoding::from_content_coding(b"br"), Some(Encoding::Brotli));
        assert_eq!(Encoding::from_content_coding(b"zstd"), None);
    }

    #[test]
    fn survives_mutations() {
        let mut random = Xorshift::new(29);
        let alphabet: Vec<u8> = (0..=255).collect();
        for (encoding, body) in bodies() {
            for _ in 0..3000 {
                let input = random.mutate(&body, &alphabet);
                let (out, end) = whole(encoding, &input);
                let chunks = random.chunks(&input);
                let cut = decompress(encoding, &chunks, DecompressLimits::default());
                assert_eq!(cut.1.is_ok(), end.is_ok(), "{encoding:?} {input:?}");
                if end.is_ok() {
                    assert_eq!(cut.0, out);
                }
            }
        }
    }
}
