//! Heads taken apart into variables.

use super::State;
use super::store::Slice;
use crate::decode::body::cookie::{CookieFormat, parse_cookies};
use crate::decode::body::form::{parse_form, percent_decode};
use crate::decode::transform::Transform;
use crate::filter::Outcome;
use crate::http::{Connection, Header, RequestHead, ResponseHead};
use crate::waf::compile::program::{Processor, Program};
use crate::waf::variable::Storage as S;

impl State {
    pub(super) fn connection(&mut self, connection: &Connection) {
        let client = self.store.put_display(connection.client.ip().to_canonical());
        self.store.set_slice(S::RemoteAddr, client);
        self.store.set_slice(S::RemoteHost, client);
        self.store.set_number(S::RemotePort, u64::from(connection.client.port()));
        let server = self.store.put_display(connection.server.ip().to_canonical());
        self.store.set_slice(S::ServerAddr, server);
        self.store.set_number(S::ServerPort, u64::from(connection.server.port()));
        let id = self.store.put_display(self.id);
        self.store.set_slice(S::UniqueId, id);
        let none = self.store.put(b"0");
        for zero in [
            S::ReqbodyError,
            S::ReqbodyProcessorError,
            S::MultipartBoundaryQuoted,
            S::MultipartBoundaryWhitespace,
            S::MultipartCrlfLfLines,
            S::MultipartDataAfter,
            S::MultipartDataBefore,
            S::MultipartFileLimitExceeded,
            S::MultipartHeaderFolding,
            S::MultipartInvalidHeaderFolding,
            S::MultipartInvalidPart,
            S::MultipartInvalidQuoting,
            S::MultipartLfLine,
            S::MultipartMissingSemicolon,
            S::MultipartStrictError,
            S::MultipartUnmatchedBoundary,
            S::UrlencodedError,
            S::InboundDataError,
            S::OutboundDataError,
            S::ResBodyError,
            S::MscPcreError,
            S::MscPcreLimitsExceeded,
            S::FilesCombinedSize,
            S::ArgsCombinedSize,
            S::RequestBodyLength,
            S::Duration,
        ] {
            self.store.set_slice(zero, none);
        }
        self.store.set(S::HighestSeverity, b"255");
    }

    pub(super) fn tell_time(&mut self) {
        let civil = self.now.civil();
        let number = |n: i64| u64::try_from(n).unwrap_or(0);
        self.store.set_number(S::TimeEpoch, number(self.now.unix_seconds()));
        self.store.set_number(S::TimeYear, number(civil.year));
        self.store.set_number(S::TimeMon, number(civil.month));
        self.store.set_number(S::TimeDay, number(civil.day));
        self.store.set_number(S::TimeHour, number(civil.hour));
        self.store.set_number(S::TimeMin, number(civil.minute));
        self.store.set_number(S::TimeSec, number(civil.second));
        self.store.set_number(S::TimeWday, number(civil.weekday));
        let mark = self.store.mark();
        for (n, part) in [civil.hour, civil.minute, civil.second].into_iter().enumerate() {
            self.store.append(if n > 0 { b":" } else { b"" });
            self.store.append(if part < 10 { b"0" } else { b"" });
            self.store.append_number(part);
        }
        let clock = self.store.since(mark);
        self.store.set_slice(S::Time, clock);
    }

    pub(super) fn request_head(&mut self, program: &Program, head: &RequestHead<'_>) {
        let settings = &program.settings;
        self.store.set(S::WebappId, settings.webapp.as_bytes());
        self.request_line(head);
        if program.full_request {
            self.full_request(head);
        }
        for header in head.headers {
            self.header(S::RequestHeaders, S::RequestHeadersNames, header);
            self.special_header(program, header);
        }
        let query = self.store.scalar(S::QueryString).to_vec();
        self.arguments(program, &query, S::ArgsGet, S::ArgsGetNames);
        self.head_views(program);
        self.combined_size();
    }

    fn request_line(&mut self, head: &RequestHead<'_>) {
        let method = self.store.put(head.method);
        self.store.set_slice(S::RequestMethod, method);
        self.store.set(S::RequestProtocol, head.version);
        let mark = self.store.mark();
        for (n, part) in [head.method, head.target, head.version].iter().enumerate() {
            if n > 0 && !part.is_empty() {
                self.store.append(b" ");
            }
            self.store.append(part);
        }
        let line = self.store.since(mark);
        self.store.set_slice(S::RequestLine, line);
        let raw = self.store.put(head.target);
        self.store.set_slice(S::RequestUriRaw, raw);
        let from = origin_form(head.target);
        let uri = super::store::Store::part(raw, from, head.target.len());
        self.store.set_slice(S::RequestUri, uri);
        let target = head.target.get(from..).unwrap_or_default();
        let mut halves = target.splitn(2, |b| *b == b'?');
        let path = halves.next().unwrap_or_default();
        self.store.set(S::QueryString, halves.next().unwrap_or_default());
        let mut decoded = Vec::new();
        let path = if percent_decode(path, &mut decoded) { decoded.as_slice() } else { path };
        let filename = self.store.put(path);
        self.store.set_slice(S::RequestFilename, filename);
        self.store.set_slice(S::PathInfo, filename);
        let base = path.iter().rposition(|b| matches!(b, b'/' | b'\\')).map_or(0, |at| at + 1);
        let base = super::store::Store::part(filename, base, path.len());
        self.store.set_slice(S::RequestBasename, base);
    }

    /// The request as one text. Its body is added when it has come.
    fn full_request(&mut self, head: &RequestHead<'_>) {
        let line = self.store.scalar(S::RequestLine).to_vec();
        let mark = self.store.mark();
        self.store.append(&line);
        self.store.append(b"\r\n");
        for header in head.headers {
            for part in [header.name, b": ", header.value, b"\r\n"] {
                self.store.append(part);
            }
        }
        self.store.append(b"\r\n");
        let text = self.store.since(mark);
        self.store.set_slice(S::FullRequest, text);
        self.store.set_number(S::FullRequestLength, text.len() as u64);
    }

    fn header(&mut self, values: S, names: S, header: &Header<'_>) {
        let name = self.store.put(header.name);
        let value = self.store.put(header.value);
        self.store.add(values.id(), name, value);
        self.store.add(names.id(), name, name);
    }

    fn special_header(&mut self, program: &Program, header: &Header<'_>) {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name.as_bytes());
        if is("host") {
            let mut host = header.value;
            if let Some(at) = host.iter().rposition(|b| *b == b':')
                && host.get(at + 1..).is_some_and(|port| port.iter().all(u8::is_ascii_digit))
            {
                host = host.get(..at).unwrap_or(host);
            }
            self.store.set(S::ServerName, host);
        } else if is("content-type") {
            let kind = header.value.to_ascii_lowercase();
            if kind.starts_with(b"application/x-www-form-urlencoded") {
                self.set_processor(Processor::UrlEncoded);
            } else if kind.starts_with(b"multipart/form-data") {
                self.set_processor(Processor::Multipart);
            }
        } else if is("cookie") {
            let format = if program.settings.cookie_version == 1 {
                CookieFormat::Version1
            } else {
                CookieFormat::Netscape
            };
            let store = &mut self.store;
            parse_cookies(header.value, format, &mut |name, value| {
                let (name, value) = (store.put(name), store.put(value));
                store.add(S::RequestCookies.id(), name, value);
                store.add(S::RequestCookiesNames.id(), name, name);
            });
        } else if is("authorization") {
            let scheme = header.value.split(|b| *b == b' ').next().unwrap_or_default();
            self.store.set(S::AuthType, scheme);
            if scheme.eq_ignore_ascii_case(b"basic") {
                // RFC 7617: the name ends at the first colon. The password is kept nowhere.
                let coded = header.value.get(scheme.len()..).unwrap_or_default().trim_ascii();
                let mut plain = Vec::new();
                Transform::Base64Decode.apply(coded, &mut plain);
                let user = plain.iter().position(|b| *b == b':').and_then(|at| plain.get(..at));
                if let Some(user) = user.filter(|user| !user.is_empty()) {
                    self.store.clear(S::RemoteUser.id());
                    let user = self.store.put(user);
                    self.store.add(S::RemoteUser.id(), Slice::EMPTY, user);
                }
            }
        }
    }

    /// A query string or a form body; false when its encoding is broken.
    pub(super) fn arguments(&mut self, program: &Program, input: &[u8], values: S, names: S) {
        let mut scratch = Vec::new();
        let mut broken = false;
        let limit = program.settings.arguments;
        let mut count = 0usize;
        let store = &mut self.store;
        parse_form(
            input,
            program.settings.separator,
            &mut scratch,
            &mut |name, value, _, flags| {
                broken |= flags.invalid_encoding;
                count += 1;
                if count <= limit {
                    let (name, value) = (store.put(name), store.put(value));
                    store.add(values.id(), name, value);
                    store.add(names.id(), name, name);
                }
            },
        );
        if broken {
            self.store.set(S::UrlencodedError, b"1");
        }
        if count > limit {
            self.body_error("more arguments than `SecArgumentsLimit` allows");
        }
    }

    pub(super) fn combined_size(&mut self) {
        let mut sum = 0u64;
        for storage in [S::ArgsGet, S::ArgsPost] {
            for member in self.store.members(storage.id()) {
                sum += (member.name.len() + member.value.len()) as u64;
            }
        }
        self.store.set_number(S::ArgsCombinedSize, sum);
    }

    pub(super) fn response_head(&mut self, program: &Program, head: &ResponseHead<'_>) {
        self.store.set_number(S::ResponseStatus, u64::from(head.status));
        self.store.set(S::ResponseProtocol, head.version);
        let line = [head.version, b" ", head.status.to_string().as_bytes()].concat();
        self.store.set(S::StatusLine, &line);
        for header in head.headers {
            self.header(S::ResponseHeaders, S::ResponseHeadersNames, header);
            if header.name.eq_ignore_ascii_case(b"content-type") {
                self.store.set(S::ResponseContentType, header.value);
                let kind = header.value.split(|b| *b == b';').next().unwrap_or_default();
                let kind = kind.trim_ascii().to_ascii_lowercase();
                let types = &program.settings.response_types;
                self.response_wanted = types.iter().any(|known| known.as_bytes() == kind);
            } else if header.name.eq_ignore_ascii_case(b"content-length") {
                self.store.set(S::ResponseContentLength, header.value);
            }
        }
    }

    pub(super) fn ended(&mut self, outcome: Outcome) {
        let micros = outcome.now.unix_nanos().saturating_sub(self.begun.unix_nanos()) / 1_000;
        self.store.set_number(S::Duration, u64::try_from(micros).unwrap_or(0));
        if self.store.scalar(S::ResponseStatus).is_empty() {
            self.store.set_number(S::ResponseStatus, u64::from(outcome.status));
        }
    }
}

/// Where the path of a request target begins: after scheme and authority of the absolute form.
fn origin_form(target: &[u8]) -> usize {
    if target.first() == Some(&b'/') {
        return 0;
    }
    let Some(at) = memchr::memmem::find(target, b"://") else { return 0 };
    if !target.get(..at).is_some_and(|scheme| scheme.iter().all(u8::is_ascii_alphanumeric)) {
        return 0;
    }
    let rest = target.get(at + 3..).unwrap_or_default();
    rest.iter().position(|b| *b == b'/').map_or(0, |slash| at + 3 + slash)
}
