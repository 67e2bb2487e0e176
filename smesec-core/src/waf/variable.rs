//! The variables of SecLang: which storages of a transaction a name reads.

/// Where the members of one or several variables live in a transaction.
///
/// `ARGS` reads two storages and copies nothing; a scalar such as `REMOTE_ADDR` is a storage with one
/// member without a name.
pub(crate) type StorageId = u16;

macro_rules! storages {
    ($($name:ident = $text:literal),* $(,)?) => {
        /// The fixed storages; those of XPath expressions follow after [`COUNT`].
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u16)]
        pub(crate) enum Storage { $($name),* }

        /// The name that findings and `MATCHED_VAR_NAME` use.
        pub(crate) const NAMES: &[&str] = &[$($text),*];

        /// How many fixed storages there are.
        pub(crate) const COUNT: usize = NAMES.len();

        const ALL: &[Storage] = &[$(Storage::$name),*];
    };
}

storages! {
    ArgsGet = "ARGS_GET", ArgsPost = "ARGS_POST", ArgsPath = "ARGS_PATH",
    ArgsDecoded = "ARGS_DECODED",
    ArgsGetNames = "ARGS_GET_NAMES", ArgsPostNames = "ARGS_POST_NAMES",
    RequestHeaders = "REQUEST_HEADERS", RequestHeadersNames = "REQUEST_HEADERS_NAMES",
    RequestCookies = "REQUEST_COOKIES", RequestCookiesNames = "REQUEST_COOKIES_NAMES",
    ResponseHeaders = "RESPONSE_HEADERS", ResponseHeadersNames = "RESPONSE_HEADERS_NAMES",
    ResponseArgs = "RESPONSE_ARGS",
    Files = "FILES", FilesNames = "FILES_NAMES", FilesSizes = "FILES_SIZES",
    FilesTmpContent = "FILES_TMP_CONTENT", FilesTmpNames = "FILES_TMPNAMES",
    MultipartName = "MULTIPART_NAME", MultipartFilename = "MULTIPART_FILENAME",
    MultipartPartHeaders = "MULTIPART_PART_HEADERS",
    // Nobody's name is not an empty one: `&REMOTE_USER` asks whether somebody logged in.
    RemoteUser = "REMOTE_USER",
    Tx = "TX", Ip = "IP", Global = "GLOBAL", Session = "SESSION", User = "USER", Resource = "RESOURCE",
    Env = "ENV", Geo = "GEO", Rule = "RULE",
    MatchedVar = "MATCHED_VAR", MatchedVarName = "MATCHED_VAR_NAME",
    MatchedVars = "MATCHED_VARS", MatchedVarsNames = "MATCHED_VARS_NAMES",
    ArgsCombinedSize = "ARGS_COMBINED_SIZE", AuthType = "AUTH_TYPE", Duration = "DURATION",
    FullRequest = "FULL_REQUEST", FullRequestLength = "FULL_REQUEST_LENGTH",
    FilesCombinedSize = "FILES_COMBINED_SIZE", HighestSeverity = "HIGHEST_SEVERITY",
    InboundDataError = "INBOUND_DATA_ERROR", OutboundDataError = "OUTBOUND_DATA_ERROR",
    MscPcreError = "MSC_PCRE_ERROR", MscPcreLimitsExceeded = "MSC_PCRE_LIMITS_EXCEEDED",
    MultipartBoundaryQuoted = "MULTIPART_BOUNDARY_QUOTED",
    MultipartBoundaryWhitespace = "MULTIPART_BOUNDARY_WHITESPACE",
    MultipartCrlfLfLines = "MULTIPART_CRLF_LF_LINES", MultipartDataAfter = "MULTIPART_DATA_AFTER",
    MultipartDataBefore = "MULTIPART_DATA_BEFORE",
    MultipartFileLimitExceeded = "MULTIPART_FILE_LIMIT_EXCEEDED",
    MultipartHeaderFolding = "MULTIPART_HEADER_FOLDING",
    MultipartInvalidHeaderFolding = "MULTIPART_INVALID_HEADER_FOLDING",
    MultipartInvalidPart = "MULTIPART_INVALID_PART",
    MultipartInvalidQuoting = "MULTIPART_INVALID_QUOTING", MultipartLfLine = "MULTIPART_LF_LINE",
    MultipartMissingSemicolon = "MULTIPART_MISSING_SEMICOLON",
    MultipartStrictError = "MULTIPART_STRICT_ERROR",
    MultipartUnmatchedBoundary = "MULTIPART_UNMATCHED_BOUNDARY",
    PathInfo = "PATH_INFO", QueryString = "QUERY_STRING", RemoteAddr = "REMOTE_ADDR",
    RemoteHost = "REMOTE_HOST", RemotePort = "REMOTE_PORT",
    ReqbodyError = "REQBODY_ERROR", ReqbodyErrorMsg = "REQBODY_ERROR_MSG",
    ReqbodyProcessor = "REQBODY_PROCESSOR",
    ReqbodyProcessorError = "REQBODY_PROCESSOR_ERROR",
    ReqbodyProcessorErrorMsg = "REQBODY_PROCESSOR_ERROR_MSG",
    RequestBasename = "REQUEST_BASENAME", RequestBody = "REQUEST_BODY",
    RequestBodyLength = "REQUEST_BODY_LENGTH", RequestFilename = "REQUEST_FILENAME",
    RequestLine = "REQUEST_LINE", RequestMethod = "REQUEST_METHOD",
    RequestProtocol = "REQUEST_PROTOCOL", RequestUri = "REQUEST_URI",
    RequestUriRaw = "REQUEST_URI_RAW",
    ResBodyError = "RES_BODY_ERROR", ResBodyErrorMsg = "RES_BODY_ERROR_MSG",
    ResBodyProcessor = "RES_BODY_PROCESSOR",
    ResponseBody = "RESPONSE_BODY", ResponseContentLength = "RESPONSE_CONTENT_LENGTH",
    ResponseContentType = "RESPONSE_CONTENT_TYPE", ResponseProtocol = "RESPONSE_PROTOCOL",
    ResponseStatus = "RESPONSE_STATUS",
    ServerAddr = "SERVER_ADDR", ServerName = "SERVER_NAME", ServerPort = "SERVER_PORT",
    SessionId = "SESSIONID", UserId = "USERID", WebappId = "WEBAPPID",
    StatusLine = "STATUS_LINE", Time = "TIME", TimeDay = "TIME_DAY", TimeEpoch = "TIME_EPOCH",
    TimeHour = "TIME_HOUR", TimeMin = "TIME_MIN", TimeMon = "TIME_MON", TimeSec = "TIME_SEC",
    TimeWday = "TIME_WDAY", TimeYear = "TIME_YEAR", UniqueId = "UNIQUE_ID",
    UrlencodedError = "URLENCODED_ERROR",
}

impl Storage {
    pub(crate) const fn id(self) -> StorageId {
        self as StorageId
    }

    /// Whether it always has exactly one member, without a name.
    pub(crate) const fn is_scalar(self) -> bool {
        self.id() >= Self::ArgsCombinedSize.id()
    }

    /// Whether rules change it while a phase runs, so that nothing about it can be prepared.
    pub(crate) const fn is_dynamic(self) -> bool {
        let id = self.id();
        (id >= Self::Tx.id() && id <= Self::MatchedVarsNames.id())
            || matches!(self, Self::HighestSeverity | Self::Duration)
    }

    /// Whether its values come from a request's body or are as various. What a site answers is its own,
    /// and comes again.
    pub(crate) const fn is_of_body(self) -> bool {
        matches!(
            self,
            Self::ArgsPost
                | Self::ArgsDecoded
                | Self::ResponseArgs
                | Self::Files
                | Self::FilesTmpContent
                | Self::MultipartFilename
                | Self::MultipartPartHeaders
                | Self::FullRequest
                | Self::RequestBody
        )
    }

    /// One of the persistent collections.
    pub(crate) const fn persistent(id: StorageId) -> Option<&'static str> {
        match id {
            id if id == Self::Ip.id() => Some("IP"),
            id if id == Self::Global.id() => Some("GLOBAL"),
            id if id == Self::Session.id() => Some("SESSION"),
            id if id == Self::User.id() => Some("USER"),
            id if id == Self::Resource.id() => Some("RESOURCE"),
            _ => None,
        }
    }
}

/// Whether a storage is one of the fixed ones that change while rules run.
pub(crate) fn is_dynamic(id: StorageId) -> bool {
    ALL.get(usize::from(id)).is_some_and(|storage| storage.is_dynamic())
}

/// Whether a storage's values are worth a look before the rules run. They must hold still; and a number
/// that each transaction gets anew is known to nobody, while most rules on it are jumped over.
pub(crate) fn pays_ahead(id: StorageId) -> bool {
    !is_dynamic(id) && id != Storage::UniqueId.id()
}

/// Whether a storage's values come from a body; those of XPath expressions do.
pub(crate) fn is_of_body(id: StorageId) -> bool {
    ALL.get(usize::from(id)).is_none_or(|storage| storage.is_of_body())
}

/// Whether a storage is a scalar.
pub(crate) fn is_scalar(id: StorageId) -> bool {
    ALL.get(usize::from(id)).is_some_and(|storage| storage.is_scalar())
}

/// The storages that a variable's upper-case name reads; `None` for an unknown name.
pub(crate) fn resolve(name: &str) -> Option<&'static [Storage]> {
    use Storage as S;
    Some(match name {
        "ARGS" => &[S::ArgsGet, S::ArgsPost, S::ArgsPath, S::ArgsDecoded],
        "ARGS_NAMES" => &[S::ArgsGetNames, S::ArgsPostNames],
        "REQBODY_PROCESSOR_ERROR_MSG" => &[S::ReqbodyProcessorErrorMsg],
        "USERAGENT_IP" | "REMOTE_ADDR" => &[S::RemoteAddr],
        "STATUS" => &[S::ResponseStatus],
        "RES_BODY_PROCESSOR_ERROR" => &[S::ResBodyError],
        "RES_BODY_PROCESSOR_ERROR_MSG" => &[S::ResBodyErrorMsg],
        "MULTIPART_FILENAME" => &[S::MultipartFilename],
        _ => {
            let at = NAMES.iter().position(|known| *known == name)?;
            return ALL.get(at).map(std::slice::from_ref);
        }
    })
}

/// What to tell of a name that [`resolve`] does not know.
pub(crate) fn why_unknown(name: &str) -> String {
    match refusal(name) {
        Some(why) => format!("variable `{name}` is not offered: {why}"),
        None => format!("unknown variable `{name}`; check its spelling"),
    }
}

/// Variables that are known but not offered, with the reason.
fn refusal(name: &str) -> Option<&'static str> {
    Some(match name {
        "PERF_ALL" | "PERF_COMBINED" | "PERF_GC" | "PERF_LOGGING" | "PERF_PHASE1"
        | "PERF_PHASE2" | "PERF_PHASE3" | "PERF_PHASE4" | "PERF_PHASE5" | "PERF_RULES"
        | "PERF_SREAD" | "PERF_SWRITE" => {
            "the engine's own timing is in the event, not in variables; remove the target"
        }
        "WEBSERVER_ERROR_LOG" => {
            "there is no web server's log inside the library; remove the target"
        }
        "STREAM_INPUT_BODY" | "STREAM_OUTPUT_BODY" => {
            "bodies are not rewritten; use REQUEST_BODY or RESPONSE_BODY"
        }
        "MODSEC_BUILD" => "this is not ModSecurity; remove the rule",
        "SCRIPT_BASENAME" | "SCRIPT_FILENAME" | "SCRIPT_GID" | "SCRIPT_GROUPNAME"
        | "SCRIPT_MODE" | "SCRIPT_UID" | "SCRIPT_USERNAME" => {
            "the library does not see the script's file; remove the target"
        }
        "SDBM_DELETE_ERROR" => "there is no SDBM file; remove the target",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_storage_resolves_by_its_own_name() {
        for (n, name) in NAMES.iter().enumerate() {
            let storages = resolve(name).unwrap();
            assert!(storages.iter().any(|s| usize::from(s.id()) == n), "{name}");
        }
        assert!(resolve("NO_SUCH").is_none());
        assert!(is_scalar(Storage::RemoteAddr.id()) && !is_scalar(Storage::Tx.id()));
    }
}
