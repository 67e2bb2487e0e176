//! Directives that set something.

use super::program::{Engine, Settings, Views};
use crate::waf::seclang::Spanned;

/// What came of a directive.
pub(super) enum Outcome {
    Set,
    /// The file and the code page.
    UnicodeMap(String, u32),
    /// The file.
    GeoDatabase(String),
    /// The name and the text.
    Dataset(String, Vec<u8>),
    /// Accepted, but does nothing here: why.
    Inert(String),
    Refused(String),
}

/// Applies one directive.
pub(super) fn apply(settings: &mut Settings, name: &str, arguments: &[Spanned<String>]) -> Outcome {
    let mut words = arguments.iter().map(|a| a.value.as_str());
    let first = words.next().unwrap_or_default();
    let lower = name.to_ascii_lowercase();
    let result = match lower.as_str() {
        "secruleengine" => match first.to_ascii_lowercase().as_str() {
            "on" => {
                settings.engine = Engine::On;
                Ok(())
            }
            "off" => {
                settings.engine = Engine::Off;
                Ok(())
            }
            "detectiononly" => {
                settings.engine = Engine::Detect;
                Ok(())
            }
            _ => Err(format!("`{first}` is no engine state; write On, Off or DetectionOnly")),
        },
        "secrequestbodyaccess" => switch(first).map(|on| settings.request_body = on),
        "secresponsebodyaccess" => switch(first).map(|on| settings.response_body = on),
        "secrequestbodylimit" => number(first).map(|n| settings.request_body_limit = n),
        "secrequestbodynofileslimit" => {
            number(first).map(|n| settings.request_body_no_files_limit = n)
        }
        "secresponsebodylimit" => number(first).map(|n| settings.response_body_limit = n),
        "secrequestbodylimitaction" => {
            rejects(first).map(|reject| settings.reject_over_request_limit = reject)
        }
        "secresponsebodylimitaction" => {
            rejects(first).map(|reject| settings.reject_over_response_limit = reject)
        }
        "secresponsebodymimetype" => {
            let types = arguments.iter().flat_map(|a| a.value.split_ascii_whitespace());
            settings.response_types = types.map(str::to_ascii_lowercase).collect();
            Ok(())
        }
        "secresponsebodymimetypesclear" => {
            settings.response_types.clear();
            Ok(())
        }
        "secrequestbodyjsondepthlimit" => size(first).map(|n| settings.json_depth = n),
        "secargumentslimit" => size(first).map(|n| settings.arguments = n),
        "secuploadfilelimit" => size(first).map(|n| settings.upload_files = n),
        "secargumentseparator" => match first.as_bytes() {
            [byte] => {
                settings.separator = *byte;
                Ok(())
            }
            _ => Err(format!("`{first}` is no separator; write one character")),
        },
        "seccookieformat" => match first {
            "0" => {
                settings.cookie_version = 0;
                Ok(())
            }
            "1" => {
                settings.cookie_version = 1;
                Ok(())
            }
            _ => Err(format!("`{first}` is no cookie format; write 0 or 1")),
        },
        "secunicodemapfile" => {
            let page = words.next().and_then(|page| page.parse().ok());
            match page {
                Some(page) => return Outcome::UnicodeMap(first.to_owned(), page),
                None => Err("`SecUnicodeMapFile` needs a file and a code page, such as `unicode.mapping 20127`".to_owned()),
            }
        }
        "secgeolookupdb" => return Outcome::GeoDatabase(first.to_owned()),
        "secdataset" => match words.next() {
            Some(text) => return Outcome::Dataset(first.to_owned(), text.as_bytes().to_vec()),
            None => Err("`SecDataset` needs a name and a list between backticks".to_owned()),
        },
        "secunicodecodepage" => {
            return Outcome::Inert(
                "`SecUnicodeCodePage` does nothing by itself; name the page in `SecUnicodeMapFile`"
                    .to_owned(),
            );
        }
        "secwebappid" => {
            first.clone_into(&mut settings.webapp);
            Ok(())
        }
        "smesecdecompressbodies" => switch(first).map(|on| settings.decompress = on),
        "smesecdecodedviews" => views(arguments).map(|views| settings.views = views),
        "sechttpblkey" => {
            settings.block_list_key = Some(first.to_ascii_lowercase());
            Ok(())
        }
        "seccomponentsignature" => {
            settings.components.push(first.to_owned());
            Ok(())
        }
        "secserversignature" => Ok(()),
        _ => return other(name, &lower),
    };
    match result {
        Ok(()) => Outcome::Set,
        Err(why) => Outcome::Refused(why),
    }
}

fn other(name: &str, lower: &str) -> Outcome {
    let files = "the library writes no files; the host decides where events go";
    let old = "deprecated in ModSecurity itself; remove it";
    let why = match lower {
        "secauditlog"
        | "secauditlog2"
        | "secauditlogstoragedir"
        | "secauditlogdirmode"
        | "secauditlogfilemode"
        | "secauditlogtype"
        | "secauditlogformat"
        | "secauditlogprefix"
        | "secauditengine"
        | "secauditlogparts"
        | "secauditlogrelevantstatus"
        | "secdebuglog"
        | "secdebugloglevel"
        | "secdatadir"
        | "sectmpdir"
        | "secuploaddir"
        | "secuploadkeepfiles"
        | "secuploadfilemode"
        | "sectmpsaveuploadedfiles" => files,
        "secpcrematchlimit" | "secpcrematchlimitrecursion" => {
            "patterns run in linear time; for those that cannot, the host sets `backtrack_limit`"
        }
        "secrequestbodyinmemorylimit" => {
            "bodies are parsed as they stream; there is no spill to disk"
        }
        "seccollectiontimeout" => {
            "the collection store that the host hands in has its own time-out"
        }
        "secstatusengine" => "the library never calls home",
        "secxmlexternalentity" => "external entities are never loaded",
        "secinterceptonerror" => "the policy on limits and errors decides (`on_limit`)",
        "secdisablebackendcompression" => {
            "`SmesecDecompressBodies On` reads compressed responses instead"
        }
        "secrulesinherit" | "secruleinheritance" => {
            "rule sets are merged by loading their files together"
        }
        "secconnengine" | "secconnreadstatelimit" | "secconnwritestatelimit" => {
            "slow clients are the server's matter; the gateway has time-outs"
        }
        "secrxprefilter" => "the prefilter is always on",
        "secignorerulecompilationerrors" => {
            "refused rules are named in the report and the rest is loaded"
        }
        "seccontentinjection" | "secstreaminbodyinspection" | "secstreamoutbodyinspection" => {
            "bodies are not rewritten"
        }
        "secruleperftime"
        | "secreadstatelimit"
        | "secwritestatelimit"
        | "secguardianlog"
        | "secchrootdir"
        | "seccookiev0separator"
        | "secsensorid" => old,
        "secremoterules" | "secremoterulesfailaction" => {
            return refused(
                name,
                "would load rules over the network; fetch them yourself and check them",
            );
        }
        "secrulescript" => {
            return refused(name, "runs Lua; write the check as a filter of your own");
        }
        "secgsblookupdb" => {
            return refused(name, "needs the retired Google Safe Browsing files; remove it");
        }
        "sechashengine" | "sechashkey" | "sechashparam" | "sechashmethodrx" | "sechashmethodpm" => {
            return refused(name, "belongs to link hashing, which is not offered");
        }
        _ => return Outcome::Refused(format!("unknown directive `{name}`; check its spelling")),
    };
    Outcome::Inert(format!("`{name}` does nothing here: {why}"))
}

fn refused(name: &str, why: &str) -> Outcome {
    Outcome::Refused(format!("`{name}` {why}"))
}

/// `On` alone means all of them.
fn views(arguments: &[Spanned<String>]) -> Result<Views, String> {
    let words = arguments.iter().flat_map(|a| a.value.split([' ', ',']));
    let mut words = words.filter(|word| !word.is_empty());
    let mut views = Views::default();
    let on = switch(words.next().unwrap_or_default())?;
    let mut named = false;
    for word in words {
        named = true;
        *match word.to_ascii_lowercase().as_str() {
            "base64" => &mut views.base64,
            "url2" => &mut views.url2,
            "json" => &mut views.json,
            "graphql" => &mut views.graphql,
            "headers" => &mut views.headers,
            "path" => &mut views.path,
            _ => {
                return Err(format!(
                    "`{word}` is no decoded view; write base64, url2, json, graphql, headers or path"
                ));
            }
        } = on;
    }
    if on && !named {
        let (json, graphql) = (true, true);
        views = Views { base64: true, url2: true, json, graphql, headers: true, path: true };
    }
    Ok(views)
}

fn switch(word: &str) -> Result<bool, String> {
    match word.to_ascii_lowercase().as_str() {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("`{word}` is no switch; write On or Off")),
    }
}

fn rejects(word: &str) -> Result<bool, String> {
    match word.to_ascii_lowercase().as_str() {
        "reject" => Ok(true),
        "processpartial" => Ok(false),
        _ => Err(format!("`{word}` is no limit action; write Reject or ProcessPartial")),
    }
}

fn number(word: &str) -> Result<u64, String> {
    word.parse().map_err(|_| format!("`{word}` is no number; write bytes as a whole number"))
}

fn size(word: &str) -> Result<usize, String> {
    word.parse().map_err(|_| format!("`{word}` is no number; write a whole number"))
}
