//! Bodies taken apart into variables.

use super::State;
use super::store::Store;
use crate::decode::body::json::{Json, JsonFault, JsonLimits};
use crate::decode::body::multipart::{Multipart, MultipartFlags, MultipartLimits, PartEvent};
use crate::decode::body::xml::{XmlDocument, XmlLimits};
use crate::filter::Work;
use crate::intake::{Intake, ObjectId, ObjectMeta};
use crate::waf::compile::program::{Engine, Processor, Program};
use crate::waf::variable::Storage as S;
use std::collections::VecDeque;

impl State {
    /// The request's body is complete.
    pub(super) fn request_body_done(
        &mut self,
        program: &Program,
        intake: Option<&mut (dyn Intake + 'static)>,
        work: &mut VecDeque<Work>,
    ) {
        if self.engine == Engine::Off || !self.request_body_on {
            return;
        }
        let body = std::mem::take(&mut self.request_body);
        let body = self.decompressed_request(program, body);
        self.store.set_number(S::RequestBodyLength, body.len() as u64);
        if self.processor != Processor::Multipart {
            let limit = program.settings.request_body_no_files_limit;
            if body.len() as u64 > limit && program.settings.reject_over_request_limit {
                let why = "the request body without its files is larger than `SecRequestBodyNoFilesLimit`";
                self.inbound_over(why, self.on_limit);
            }
        }
        let guessed = self.processor == Processor::Guess;
        if guessed {
            self.set_processor(guess(program, &body));
        }
        match self.processor {
            Processor::UrlEncoded => {
                self.arguments(program, &body, S::ArgsPost, S::ArgsPostNames);
                self.store.set(S::RequestBody, &body);
            }
            Processor::Multipart if !body.is_empty() => {
                self.multipart(program, &body, intake, work);
            }
            Processor::Json if !body.is_empty() => {
                self.json(program, &body, S::ArgsPost, Some(S::ArgsPostNames));
            }
            Processor::Xml if !body.is_empty() => self.xml(program, &body, false),
            Processor::Raw => self.store.set(S::RequestBody, &body),
            Processor::None if self.force_body => {
                // What ModSecurity does when a body is forced into a variable: it is read as a form.
                self.set_processor(Processor::UrlEncoded);
                self.arguments(program, &body, S::ArgsPost, S::ArgsPostNames);
                self.store.set(S::RequestBody, &body);
            }
            _ => {}
        }
        // Multipart and XML bodies have no raw form in a variable, as in ModSecurity 2: rules meant for
        // their parts would match their markup. XML that no head announces keeps it: its document type stands
        // nowhere else, and no rule could ask for it by the head.
        let raw = match self.processor {
            Processor::Json => true,
            Processor::Xml => guessed || self.force_body,
            _ => self.force_body,
        };
        if raw && self.store.scalar(S::RequestBody).is_empty() {
            self.store.set(S::RequestBody, &body);
        }
        self.body_views(program, &body);
        if program.full_request {
            let whole = [self.store.scalar(S::FullRequest), &body].concat();
            self.store.set(S::FullRequest, &whole);
            self.store.set_number(S::FullRequestLength, whole.len() as u64);
        }
        self.request_body = body;
        self.combined_size();
    }

    pub(super) fn body_error(&mut self, why: &str) {
        self.store.set(S::ReqbodyError, b"1");
        self.store.set(S::ReqbodyErrorMsg, why.as_bytes());
        self.store.set(S::ReqbodyProcessorError, b"1");
        self.store.set(S::ReqbodyProcessorErrorMsg, why.as_bytes());
    }

    fn json(&mut self, program: &Program, body: &[u8], values: S, names: Option<S>) {
        let mut json = Json::new(json_limits(program, body.len()));
        let store = &mut self.store;
        let mut each = |path: &[u8], value: &[u8]| {
            let (name, value) = (store.put(path), store.put(value));
            store.add(values.id(), name, value);
            if let Some(names) = names {
                store.add(names.id(), name, name);
            }
        };
        let outcome = json.feed(body, &mut each).and_then(|()| json.finish(&mut each));
        match outcome {
            Ok(()) => {}
            Err(error) if names.is_some() => {
                if !self.cut || error.what != JsonFault::Truncated {
                    self.body_error(&format!("JSON: {error}"));
                }
            }
            Err(error) => {
                self.store.set(S::ResBodyError, b"1");
                self.store.set(S::ResBodyErrorMsg, format!("JSON: {error}").as_bytes());
            }
        }
    }

    fn xml(&mut self, program: &Program, body: &[u8], response: bool) {
        match XmlDocument::parse(body, XmlLimits::default()) {
            Ok(document) => {
                let store = &mut self.store;
                for (storage, _, xpath) in
                    program.xpaths.iter().filter(|(_, of_response, _)| *of_response == response)
                {
                    document.select(xpath, &mut |value: &[u8]| {
                        let value = store.put(value);
                        store.add(*storage, super::store::Slice::EMPTY, value);
                    });
                }
                if self.xml_into_args && !response {
                    let most = program.settings.arguments;
                    let mut count = 0;
                    document.leaves(&mut |path, value| {
                        count += 1;
                        if count <= most {
                            // Deep documents have long paths, again for each of their texts.
                            let path = path.get(..1_024).unwrap_or(path);
                            let (name, value) = (store.put(path), store.put(value));
                            store.add(S::ArgsPost.id(), name, value);
                            store.add(S::ArgsPostNames.id(), name, name);
                        }
                    });
                    if count > most {
                        self.body_error("more arguments than `SecArgumentsLimit` allows");
                    }
                }
            }
            Err(error) if response => {
                self.store.set(S::ResBodyError, b"1");
                self.store.set(S::ResBodyErrorMsg, format!("XML: {error}").as_bytes());
            }
            // Half a document is none.
            Err(_) if self.cut => {}
            Err(error) => self.body_error(&format!("XML: {error}")),
        }
    }

    fn multipart(
        &mut self,
        program: &Program,
        body: &[u8],
        intake: Option<&mut (dyn Intake + 'static)>,
        work: &mut VecDeque<Work>,
    ) {
        let content_type = self.store.named(S::RequestHeaders.id(), b"content-type");
        let content_type = content_type.map_or(Vec::new(), |v| self.store.bytes(v).to_vec());
        let limits = MultipartLimits {
            files: program.settings.upload_files,
            parts: program.settings.arguments.max(1_000),
            ..MultipartLimits::default()
        };
        let mut multipart = match Multipart::new(&content_type, limits) {
            Ok(multipart) => multipart,
            Err(error) => {
                self.store.set(S::MultipartStrictError, b"1");
                self.body_error(&format!("multipart: {error}"));
                return;
            }
        };
        let mut parts = Parts {
            store: &mut self.store,
            intake,
            work,
            file_contents: program.file_contents,
            open: None,
            files_size: 0,
        };
        multipart.feed(body, &mut |event| parts.event(event));
        if self.cut {
            multipart.finish_cut(&mut |event| parts.event(event));
        } else {
            multipart.finish(&mut |event| parts.event(event));
        }
        let size = parts.files_size;
        self.store.set_number(S::FilesCombinedSize, size);
        self.multipart_flags(multipart.flags());
        if let Some(error) = multipart.error() {
            self.body_error(&format!("multipart: {error}"));
        }
    }

    fn multipart_flags(&mut self, flags: MultipartFlags) {
        for (storage, set) in [
            (S::MultipartBoundaryQuoted, flags.boundary_quoted),
            (S::MultipartBoundaryWhitespace, flags.boundary_whitespace),
            (S::MultipartDataBefore, flags.data_before),
            (S::MultipartDataAfter, flags.data_after),
            (S::MultipartHeaderFolding, flags.header_folding),
            (S::MultipartInvalidHeaderFolding, flags.invalid_header_folding),
            (S::MultipartLfLine, flags.lf_line),
            (S::MultipartCrlfLfLines, flags.crlf_lf_lines),
            (S::MultipartMissingSemicolon, flags.missing_semicolon),
            (S::MultipartInvalidQuoting, flags.invalid_quoting),
            (S::MultipartInvalidPart, flags.invalid_part),
            (S::MultipartUnmatchedBoundary, flags.unmatched_boundary),
            (S::MultipartFileLimitExceeded, flags.file_limit_exceeded),
            (S::MultipartStrictError, flags.strict_error()),
        ] {
            if set {
                self.store.set(storage, b"1");
            }
        }
    }

    /// The response's body is complete, or as much of it as the limit allows.
    pub(super) fn response_body_done(&mut self, program: &Program) {
        if self.engine == Engine::Off || !self.response_body_on || !self.response_wanted {
            return;
        }
        let body = std::mem::take(&mut self.response_body);
        let body = self.decompressed_response(program, body);
        self.store.set(S::ResponseBody, &body);
        if self.store.scalar(S::ResponseContentLength).is_empty() {
            self.store.set_number(S::ResponseContentLength, body.len() as u64);
        }
        let kind = self.store.scalar(S::ResponseContentType).to_ascii_lowercase();
        let kind = kind.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
        if kind == b"application/json" || kind.ends_with(b"+json") {
            self.json(program, &body, S::ResponseArgs, None);
        } else if kind.ends_with(b"/xml") || kind.ends_with(b"+xml") {
            self.xml(program, &body, true);
        }
        self.response_body = body;
    }
}

/// Sorts the parts of a multipart body into variables and objects.
struct Parts<'a> {
    store: &'a mut Store,
    intake: Option<&'a mut (dyn Intake + 'static)>,
    work: &'a mut VecDeque<Work>,
    file_contents: bool,
    open: Option<Part>,
    files_size: u64,
}

struct Part {
    name: Vec<u8>,
    filename: Option<Vec<u8>>,
    size: u64,
    data: Vec<u8>,
    object: Option<ObjectId>,
}

impl Parts<'_> {
    fn event(&mut self, event: PartEvent<'_>) {
        match event {
            PartEvent::Begin { name, filename, headers, content_type } => {
                let of = self.store.put(name);
                for header in headers {
                    let line = self.store.put(header.line());
                    self.store.add(S::MultipartPartHeaders.id(), of, line);
                }
                self.store.add(S::MultipartName.id(), of, of);
                let mut object = None;
                if let Some(filename) = filename {
                    let file = self.store.put(filename);
                    self.store.add(S::Files.id(), of, file);
                    self.store.add(S::FilesNames.id(), of, of);
                    self.store.add(S::MultipartFilename.id(), of, file);
                    if let Some(intake) = &mut self.intake {
                        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                        object = Some(intake.open(&ObjectMeta {
                            name: text(filename),
                            field: text(name),
                            content_type: content_type.map(text).unwrap_or_default(),
                        }));
                    }
                }
                let filename = filename.map(<[u8]>::to_vec);
                self.open =
                    Some(Part { name: name.to_vec(), filename, size: 0, data: Vec::new(), object });
            }
            PartEvent::Data(bytes) => {
                let Some(part) = &mut self.open else { return };
                part.size += bytes.len() as u64;
                if part.filename.is_none() || self.file_contents {
                    part.data.extend_from_slice(bytes);
                }
                if let (Some(object), Some(intake)) = (part.object, &mut self.intake) {
                    intake.data(object, bytes);
                }
            }
            PartEvent::End { complete } => {
                let Some(part) = self.open.take() else { return };
                let name = self.store.put(&part.name);
                if part.filename.is_some() {
                    self.files_size += part.size;
                    let mark = self.store.mark();
                    self.store.append_number(i64::try_from(part.size).unwrap_or(i64::MAX));
                    let size = self.store.since(mark);
                    self.store.add(S::FilesSizes.id(), name, size);
                    let content = self.store.put(&part.data);
                    self.store.add(S::FilesTmpContent.id(), name, content);
                    if let (Some(object), Some(intake)) = (part.object, &mut self.intake) {
                        self.work.extend(intake.close(object, complete));
                    }
                } else {
                    let value = self.store.put(&part.data);
                    self.store.add(S::ArgsPost.id(), name, value);
                    self.store.add(S::ArgsPostNames.id(), name, name);
                }
            }
        }
    }
}

/// A long key above many small values makes a name for each, so that the names of a small body could take the
/// rules half a second. Four bytes of names for each of the body is more than applications need.
fn json_limits(program: &Program, body_bytes: usize) -> JsonLimits {
    const NAMES: usize = 1 << 20;
    JsonLimits {
        depth: program.settings.json_depth,
        arguments: program.settings.arguments,
        total_path_bytes: body_bytes.saturating_mul(4).max(NAMES),
        ..JsonLimits::default()
    }
}

/// What a body is that its head calls nothing known. Applications read JSON under any name, and a form under none.
fn guess(program: &Program, body: &[u8]) -> Processor {
    /// What tells text from an image or an archive.
    const BEGINNING: usize = 4_096;
    let beginning = body.get(..BEGINNING).unwrap_or(body);
    let trimmed = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start();
    match trimmed.first() {
        None => Processor::None,
        Some(b'{' | b'[') if is_json(program, trimmed) => Processor::Json,
        Some(b'<') if XmlDocument::parse(trimmed, XmlLimits::default()).is_ok() => Processor::Xml,
        Some(_) if beginning.starts_with(b"%PDF-") || !super::views::is_text(beginning) => {
            Processor::None
        }
        Some(_) => Processor::UrlEncoded,
    }
}

fn is_json(program: &Program, body: &[u8]) -> bool {
    let mut json = Json::new(json_limits(program, body.len()));
    let mut each = |_: &[u8], _: &[u8]| {};
    json.feed(body, &mut each).and_then(|()| json.finish(&mut each)).is_ok()
}
