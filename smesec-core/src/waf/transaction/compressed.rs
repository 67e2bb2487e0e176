//! Compressed bodies, read before they are taken apart (`SmesecDecompressBodies`).

use super::State;
use crate::decode::body::compress::{DecompressError, DecompressLimits, Decompressor, Encoding};
use crate::waf::compile::program::Program;
use crate::waf::variable::Storage as S;

/// Codings one after another: servers apply one, and more than two only hide something.
const MAX_CODINGS: usize = 2;

impl State {
    /// The request's body as the application sees it. Where it cannot be read, the error variables say
    /// so, and what came is inspected as it is.
    pub(super) fn decompressed_request(&mut self, program: &Program, body: Vec<u8>) -> Vec<u8> {
        if !program.settings.decompress || body.is_empty() {
            return body;
        }
        let (body, fault) = self.decompressed(S::RequestHeaders, body, self.request_limit);
        if let Some(fault) = fault {
            let why = format!("Content-Encoding: {fault}");
            self.body_error(&why);
            if fault.is_limit() {
                self.store.set(S::InboundDataError, b"1");
                self.limit(
                    "the request body grows beyond the limits on decompression; only its beginning was inspected",
                    413,
                    self.on_limit,
                );
            }
        }
        body
    }

    /// The response's body as the client sees it.
    pub(super) fn decompressed_response(&mut self, program: &Program, body: Vec<u8>) -> Vec<u8> {
        if !program.settings.decompress || body.is_empty() {
            return body;
        }
        // A body cut at the limit ends too early by our own doing, which has been told already.
        let cut = self.store.scalar(S::OutboundDataError) == b"1";
        let (body, fault) = self.decompressed(S::ResponseHeaders, body, self.response_limit);
        match fault {
            None => {}
            Some(Fault::Data(DecompressError::Truncated)) if cut => {}
            Some(fault) => {
                self.store.set(S::ResBodyError, b"1");
                let why = format!("Content-Encoding: {fault}");
                self.store.set(S::ResBodyErrorMsg, why.as_bytes());
                if fault.is_limit() {
                    let policy = self.over_limit(program.settings.reject_over_response_limit);
                    self.store.set(S::OutboundDataError, b"1");
                    self.limit(
                        "the response body grows beyond the limits on decompression; only its beginning was inspected",
                        500,
                        policy,
                    );
                }
            }
        }
        body
    }

    fn decompressed(&self, headers: S, body: Vec<u8>, max_output: u64) -> (Vec<u8>, Option<Fault>) {
        let mut codings = Vec::new();
        for member in self.store.members(headers.id()) {
            if !self.store.bytes(member.name).eq_ignore_ascii_case(b"content-encoding") {
                continue;
            }
            for coding in self.store.bytes(member.value).split(|b| *b == b',') {
                let coding = coding.trim_ascii();
                if coding.is_empty() || coding.eq_ignore_ascii_case(b"identity") {
                    continue;
                }
                let Some(known) = Encoding::from_content_coding(coding) else {
                    let name = coding.get(..40).unwrap_or(coding);
                    return (body, Some(Fault::Unknown(String::from_utf8_lossy(name).into())));
                };
                codings.push(known);
            }
        }
        if codings.len() > MAX_CODINGS {
            return (body, Some(Fault::TooMany));
        }
        let limits = DecompressLimits { max_output, ..DecompressLimits::default() };
        let mut body = body;
        // The last one named was applied last.
        for coding in codings.into_iter().rev() {
            let mut out = Vec::new();
            let mut decompressor = Decompressor::new(coding, limits);
            let read = decompressor.feed(&body, &mut out).and_then(|()| decompressor.finish());
            match read {
                Ok(()) => body = out,
                // An application that does not know the header sees the bytes as they are.
                Err(error) if out.is_empty() => return (body, Some(Fault::Data(error))),
                Err(error) => return (out, Some(Fault::Data(error))),
            }
        }
        (body, None)
    }
}

/// Why a body was not read whole.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("`{0}` is no coding that can be read")]
    Unknown(String),
    #[error("more codings than are read one after another")]
    TooMany,
    #[error(transparent)]
    Data(#[from] DecompressError),
}

impl Fault {
    fn is_limit(&self) -> bool {
        match self {
            Self::Data(error) => error.is_limit(),
            Self::TooMany => true,
            Self::Unknown(_) => false,
        }
    }
}
