//! `multipart/form-data` (RFC 7578), and what a file's name says of its type.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};

/// One part.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) field: String,
    pub(super) file: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) coding: Option<String>,
    pub(super) bytes: Vec<u8>,
}

impl Part {
    /// A field without a file.
    pub(super) fn field(name: &str, bytes: Vec<u8>) -> Self {
        Self { field: name.to_owned(), file: None, content_type: None, coding: None, bytes }
    }
}

/// The boundary and the body.
pub(super) fn write(parts: &[Part]) -> (String, Vec<u8>) {
    let boundary = boundary(parts);
    let mut out = Vec::new();
    for part in parts {
        let mut head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"",
            quoted(&part.field)
        );
        if let Some(file) = &part.file {
            let _ = write!(head, "; filename=\"{}\"", quoted(file));
        }
        for (name, value) in
            [("Content-Type", &part.content_type), ("Content-Encoding", &part.coding)]
        {
            if let Some(value) = value {
                let _ = write!(head, "\r\n{name}: {}", value.replace(['\r', '\n'], " "));
            }
        }
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(b"\r\n\r\n");
        out.extend_from_slice(&part.bytes);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    (boundary, out)
}

/// A boundary that no part holds.
fn boundary(parts: &[Part]) -> String {
    let mut salt = 0_u64;
    loop {
        let half = |side: u8| {
            let mut hasher = DefaultHasher::new();
            (salt, side, parts.len()).hash(&mut hasher);
            for part in parts {
                part.bytes.hash(&mut hasher);
            }
            hasher.finish()
        };
        let boundary = format!("{:016x}{:016x}", half(0), half(1));
        let finder = memchr::memmem::Finder::new(boundary.as_bytes());
        if parts.iter().all(|part| finder.find(&part.bytes).is_none()) {
            return boundary;
        }
        salt += 1;
    }
}

/// A name between quotes, as browsers escape it (WHATWG).
fn quoted(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

/// The media type and the coding that a name's endings say.
pub(super) fn guess(name: &str) -> (Option<&'static str>, Option<&'static str>) {
    let lower = name.to_ascii_lowercase();
    let lower = match lower.strip_suffix(".tgz") {
        Some(stem) => format!("{stem}.tar.gz"),
        None => lower,
    };
    let (stem, coding) =
        [(".gz", "gzip"), (".bz2", "bzip2"), (".xz", "xz"), (".z", "compress"), (".br", "br")]
            .iter()
            .find_map(|(ending, coding)| Some((lower.strip_suffix(ending)?, Some(*coding))))
            .unwrap_or((&lower, None));
    const TYPES: &[(&str, &str)] = &[
        ("txt", "text/plain"),
        ("log", "text/plain"),
        ("c", "text/plain"),
        ("h", "text/plain"),
        ("html", "text/html"),
        ("htm", "text/html"),
        ("css", "text/css"),
        ("csv", "text/csv"),
        ("md", "text/markdown"),
        ("py", "text/x-python"),
        ("tsv", "text/tab-separated-values"),
        ("js", "text/javascript"),
        ("mjs", "text/javascript"),
        ("xml", "text/xml"),
        ("json", "application/json"),
        ("pdf", "application/pdf"),
        ("zip", "application/zip"),
        ("tar", "application/x-tar"),
        ("doc", "application/msword"),
        ("bin", "application/octet-stream"),
        ("xls", "application/vnd.ms-excel"),
        ("ps", "application/postscript"),
        ("wasm", "application/wasm"),
        ("rtf", "application/rtf"),
        ("sh", "application/x-sh"),
        ("png", "image/png"),
        ("jpg", "image/jpeg"),
        ("jpeg", "image/jpeg"),
        ("gif", "image/gif"),
        ("bmp", "image/bmp"),
        ("svg", "image/svg+xml"),
        ("tiff", "image/tiff"),
        ("ico", "image/vnd.microsoft.icon"),
        ("webp", "image/webp"),
        ("mp3", "audio/mpeg"),
        ("wav", "audio/x-wav"),
        ("mp4", "video/mp4"),
        ("mpeg", "video/mpeg"),
        ("webm", "video/webm"),
        ("mov", "video/quicktime"),
    ];
    let ending = stem.rsplit_once('.').map_or("", |(_, ending)| ending);
    (TYPES.iter().find(|(known, _)| *known == ending).map(|(_, kind)| *kind), coding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_types_and_codings() {
        assert_eq!(guess("dir/OK.json.gz"), (Some("application/json"), Some("gzip")));
        assert_eq!(guess("a.TXT"), (Some("text/plain"), None));
        assert_eq!(guess("x.tavern.yaml"), (None, None));
        assert_eq!(guess("a.tgz"), (Some("application/x-tar"), Some("gzip")));
    }

    #[test]
    fn parts_keep_their_order_and_cannot_break_out() {
        let file = Part {
            field: "f\"\r\n".to_owned(),
            file: Some("a.txt".to_owned()),
            content_type: Some("text/plain".to_owned()),
            coding: None,
            bytes: b"hi".to_vec(),
        };
        let (boundary, body) = write(&[Part::field("k", b"v".to_vec()), file]);
        let body = String::from_utf8_lossy(&body).into_owned();
        assert_eq!(
            body,
            format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"k\"\r\n\r\nv\r\n--{boundary}\r\nContent-Disposition: form-data; name=\"f%22%0D%0A\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\nhi\r\n--{boundary}--\r\n"
            )
        );
    }
}
