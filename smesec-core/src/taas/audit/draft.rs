//! The first draft of a description from an `OpenAPI` 3 document.

use crate::decode::yaml::{self, Limits, Node, Value};
use crate::error::{Error, RuleError};
use std::fmt::Write as _;

/// Why a path with parameters is no route of a draft.
const UNFILLED: &str = "the document gives no example for each of its parameters";

/// Deeper `$ref`s than this lead in circles.
const DEEPEST_REFERENCE: usize = 16;

/// Writes the first draft of a target's description from an `OpenAPI` 3 document, YAML or JSON.
///
/// What the document does not tell (users, owners, which role may do what) stands in it as a
/// guess to go through, marked `CHECK`; the draft reads back without an error once the secrets that
/// it names are set.
///
/// ```
/// let document = "openapi: 3.0.3\npaths:\n  /health:\n    get: {security: []}\n";
/// let draft = smesec_core::taas::audit::draft(document, "openapi.yaml").unwrap();
/// assert!(draft.contains("- {method: GET, path: \"/health\", allow: anybody}"), "{draft}");
/// ```
///
/// # Errors
/// [`Error::Rule`] with `file:line:column` where the text is no `OpenAPI` 3.
pub fn draft(text: &str, file: &str) -> Result<String, Error> {
    // Tabs are blanks in JSON and errors in YAML.
    let untabbed;
    let text = if text.trim_start().starts_with('{') {
        untabbed = text.replace('\t', " ");
        &untabbed
    } else {
        text
    };
    let wrong = |place: yaml::Place, why: &str| {
        Error::from(RuleError::new(file, place.line.max(1), place.column.max(1), why))
    };
    let Some(document) = yaml::documents(text, file, Limits::default()).next().transpose()? else {
        return Err(wrong(yaml::Place::default(), "the file is empty; give an OpenAPI 3 document"));
    };
    let root = &document.root;
    let version = root.key("openapi").and_then(Node::as_str).unwrap_or_default();
    if !version.starts_with("3.") {
        let (place, why) = match root.key("swagger").or(root.key("openapi")) {
            Some(node) => (node.place, "only OpenAPI 3 is read; convert the document first"),
            None => (root.place, "there is no `openapi: 3…`; give an OpenAPI 3 document"),
        };
        return Err(wrong(place, why));
    }
    let Some(paths) = root.key("paths").and_then(Node::map) else {
        return Err(wrong(root.place, "there are no `paths`; there is nothing to audit"));
    };
    Ok(Draft { root, paths }.write())
}

struct Draft<'n> {
    root: &'n Node,
    paths: &'n [(Node, Node)],
}

struct Operation<'n> {
    method: String,
    path: &'n str,
    node: &'n Node,
    /// Parameters of the path item and of the operation.
    parameters: Vec<&'n Node>,
}

impl<'n> Operation<'n> {
    /// Its parameters in one place, with their names.
    fn of(&self, place: &str) -> impl Iterator<Item = (&'n str, &'n Node)> {
        self.parameters.iter().filter_map(move |parameter| {
            let text = |key| parameter.key(key).and_then(Node::as_str);
            (text("in") == Some(place)).then(|| text("name")).flatten().map(|n| (n, *parameter))
        })
    }

    /// The path before its one parameter at the end: what may belong to somebody.
    fn object(&self) -> Option<&'n str> {
        let (before, parameter) = self.path.rsplit_once("/{")?;
        let simple = parameter.strip_suffix('}').is_some_and(|name| !name.contains(['/', '}']));
        (simple && !before.contains('{')).then_some(before)
    }

    fn left_out(&self, why: &str) -> String {
        format!("{} {}: {why}", self.method, self.path)
    }
}

fn required(parameter: &Node) -> bool {
    parameter.key("required").and_then(Node::as_str) == Some("true")
}

impl<'n> Draft<'n> {
    fn write(&self) -> String {
        let mut left_out = Vec::new();
        let operations = self.operations(&mut left_out);
        let sign_in = operations.iter().find(|o| self.is_sign_in(o));
        let sign_out = operations.iter().find(|o| {
            let path = o.path.to_ascii_lowercase();
            ["signout", "sign-out", "logout", "log-out"].iter().any(|word| path.contains(word))
        });
        let mut out = String::from(
            "# A first draft. Go through every line marked CHECK: the document does not tell it.\n",
        );
        let base = self.base();
        let _ = writeln!(out, "base: {}   # CHECK", quoted(&base));
        if let Some(sign_in) = sign_in {
            out.push_str(
                "\nusers:   # CHECK: one of each role, two of the most common one\n  \
                 alice: {role: user, name: alice, password: {env: ALICE_PASSWORD}}\n  \
                 bob: {role: user, name: bob, password: {env: BOB_PASSWORD}}\n  \
                 root: {role: admin, name: root, password: {env: ROOT_PASSWORD}}\n",
            );
            self.write_sign_in(&mut out, sign_in);
            if let Some(sign_out) = sign_out {
                let _ = writeln!(out, "\nsignout: {}", self.template(sign_out, sign_out.path, ""));
            }
        }
        out.push_str("\nroutes:\n");
        let mut kept = Vec::new();
        for operation in &operations {
            let is = |other: Option<&Operation<'_>>| {
                other.is_some_and(|o| o.path == operation.path && o.method == operation.method)
            };
            if is(sign_in) || is(sign_out) {
                continue;
            }
            let object = sign_in.is_some() && operation.object().is_some();
            match self.filled(operation) {
                Some(path) if !object => {
                    self.write_route(&mut out, operation, &path, sign_in.is_some());
                }
                _ => kept.push(operation),
            }
        }
        if out.ends_with("routes:\n") {
            // A description needs one route; the base itself will do.
            out.push_str("  - {method: GET, path: \"/\", allow: anybody}   # CHECK\n");
        }
        if sign_in.is_some() {
            self.write_objects(&mut out, &kept, &mut left_out);
        } else {
            left_out.extend(kept.iter().map(|operation| operation.left_out(UNFILLED)));
        }
        if !left_out.is_empty() {
            out.push_str("\n# Left out; what is missing at `routes` is written there by hand:\n");
            for line in left_out {
                let _ = writeln!(out, "#   {}", one_line(&line));
            }
        }
        out
    }

    fn operations(&self, left_out: &mut Vec<String>) -> Vec<Operation<'n>> {
        let mut operations = Vec::new();
        for (path, item) in self.paths {
            let (path, item) = (path.as_str().unwrap_or_default(), self.resolved(item));
            let usable = path.starts_with('/')
                && !path.starts_with("//")
                && path.bytes().all(|b| b > b' ' && b != 0x7f);
            // Extensions are no paths.
            if path.starts_with("x-") {
                continue;
            }
            let why = match item.map() {
                _ if !usable => "is no path: it begins with one slash and holds no blank",
                Some(entries) if !entries.is_empty() => "",
                _ => "has no methods",
            };
            if !why.is_empty() {
                left_out.push(format!("{path}: {why}"));
                continue;
            }
            if let Some(elsewhere) = item.key("$ref").and_then(Node::as_str) {
                left_out.push(format!("{path}: stands at `{elsewhere}`, which was not found here"));
                continue;
            }
            let shared = item.key("parameters").and_then(Node::list).unwrap_or_default();
            for (method, node) in item.map().unwrap_or_default() {
                let method = method.as_str().unwrap_or_default().to_ascii_uppercase();
                match method.as_str() {
                    "GET" | "POST" | "PUT" | "PATCH" | "DELETE" | "HEAD" | "OPTIONS" => {}
                    "TRACE" | "QUERY" | "CONNECT" => {
                        left_out.push(format!("{method} {path}: the audit does not send {method}"));
                        continue;
                    }
                    // What else stands here describes the path.
                    _ => continue,
                }
                let own = node.key("parameters").and_then(Node::list).unwrap_or_default();
                let mut parameters: Vec<&Node> = own.iter().map(|p| self.resolved(p)).collect();
                let about = |p: &'n Node| {
                    let text = |key| p.key(key).and_then(Node::as_str);
                    (text("in"), text("name"))
                };
                for parameter in shared.iter().map(|p| self.resolved(p)) {
                    // An operation's own parameter goes before the path's.
                    if !parameters.iter().any(|own| about(own) == about(parameter)) {
                        parameters.push(parameter);
                    }
                }
                operations.push(Operation { method, path, node, parameters });
            }
        }
        operations
    }

    /// The path with its parameters filled in from their examples; `None` where one has none.
    fn filled(&self, operation: &Operation<'n>) -> Option<String> {
        let mut path = String::new();
        let mut rest = operation.path;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}')?;
            let mut all = operation.of("path");
            let value = self.value(all.find(|(known, _)| *known == name)?.1)?;
            path.push_str(before);
            path.push_str(&super::request::percent(&value));
            rest = after;
        }
        path.push_str(rest);
        Some(path)
    }

    /// What the document gives for a parameter, as text.
    fn value(&self, parameter: &'n Node) -> Option<String> {
        let schema = parameter.key("schema").map(|schema| self.resolved(schema));
        let of_schema = |key| schema.and_then(|schema| schema.key(key));
        let first = |node: &'n Node| node.list().and_then(<[_]>::first);
        let examples = parameter.key("examples").and_then(Node::map).and_then(<[_]>::first);
        let all = [
            parameter.key("example"),
            examples.and_then(|(_, example)| self.resolved(example).key("value")),
            of_schema("example"),
            of_schema("examples").and_then(first),
            of_schema("default"),
            of_schema("const"),
            of_schema("enum").and_then(first),
        ];
        all.into_iter().flatten().find_map(Node::as_str).map(str::to_owned)
    }

    /// A path with the parameters in its query that have to be there.
    fn with_query(&self, operation: &Operation<'n>, path: &str) -> String {
        let mut path = path.to_owned();
        let mut separator = if path.contains('?') { '&' } else { '?' };
        for (name, parameter) in operation.of("query").filter(|(_, p)| required(p)) {
            let value = self.value(parameter).unwrap_or_else(|| "1".to_owned());
            let (name, value) = (super::request::percent(name), super::request::percent(&value));
            let _ = write!(path, "{separator}{name}={value}");
            separator = '&';
        }
        path
    }

    /// `, headers: {…}` with the headers that have to be there; the second is what to look at.
    fn headers(&self, operation: &Operation<'n>) -> (String, String) {
        let mut pairs = Vec::new();
        let mut notes = Vec::new();
        for (name, parameter) in operation.of("header").filter(|(_, p)| required(p)) {
            let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
            // These three are described elsewhere (OpenAPI, "Parameter Object"), and set by the audit.
            let elsewhere = ["accept", "content-type", "authorization"];
            if elsewhere.iter().any(|known| name.eq_ignore_ascii_case(known)) {
                continue;
            }
            if name.is_empty() || !name.bytes().all(is_token) {
                notes.push(format!("`{name}` is no name of a header"));
                continue;
            }
            let schema = parameter.key("schema").map(|schema| self.resolved(schema));
            let value = self.value(parameter).unwrap_or_else(|| {
                notes.push(format!("the document gives no value for `{name}`"));
                let number = schema.and_then(|s| s.key("type")).and_then(Node::as_str);
                if matches!(number, Some("integer" | "number")) { "1" } else { "smesec" }.to_owned()
            });
            pairs.push(format!("{}: {}", quoted(name), quoted(&value)));
        }
        for (name, _) in operation.of("cookie").filter(|(_, p)| required(p)) {
            notes.push(format!("the cookie `{name}` is left out"));
        }
        let headers = if pairs.is_empty() {
            String::new()
        } else {
            format!(", headers: {{{}}}", pairs.join(", "))
        };
        (headers, notes.join("; "))
    }

    /// A request as `METHOD /path` or, where it has more than that, as a mapping.
    fn template(&self, operation: &Operation<'n>, path: &str, body: &str) -> String {
        let path = self.with_query(operation, path);
        let (headers, note) = self.headers(operation);
        let note = if note.is_empty() && body.is_empty() {
            String::new()
        } else if note.is_empty() {
            "   # CHECK".to_owned()
        } else {
            format!("   # CHECK: {}", one_line(&note))
        };
        if headers.is_empty() && body.is_empty() {
            return quoted(&format!("{} {path}", operation.method)) + &note;
        }
        format!("{{method: {}, path: {}{headers}{body}}}{note}", operation.method, quoted(&path))
    }

    fn base(&self) -> String {
        let servers = self.root.key("servers").and_then(Node::list).unwrap_or_default();
        let first = servers.first();
        let url = first.and_then(|server| server.key("url")).and_then(Node::as_str).unwrap_or("");
        let mut url = url.to_owned();
        let variables = first.and_then(|server| server.key("variables")).and_then(Node::map);
        for (name, variable) in variables.unwrap_or_default() {
            let value = variable.key("default").and_then(Node::as_str).unwrap_or_default();
            url = url.replace(&format!("{{{}}}", name.as_str().unwrap_or_default()), value);
        }
        let url = url.split(['?', '#']).next().unwrap_or_default();
        let valid = super::read::description(
            &format!("base: {}\nroutes: [{{path: /, allow: anybody}}]\n", quoted(url)),
            "",
            &|_| None,
        );
        if valid.is_ok() {
            return url.to_owned();
        }
        let path =
            if url.starts_with('/') && !url.contains('{') { url.trim_end_matches('/') } else { "" };
        let local = format!("http://127.0.0.1:8080{path}");
        if path.bytes().all(|b| b > b' ' && b != 0x7f) {
            local
        } else {
            "http://127.0.0.1:8080".to_owned()
        }
    }

    /// A POST with a password in its body, at a path that says so.
    fn is_sign_in(&self, operation: &Operation<'n>) -> bool {
        let path = operation.path.to_ascii_lowercase();
        let named = ["signin", "sign-in", "login", "log-in", "token", "session", "auth"];
        operation.method == "POST"
            && !operation.path.contains('{')
            && named.iter().any(|word| path.contains(word))
            && self.fields(operation).is_some_and(|(_, fields)| {
                fields.iter().any(|(name, _)| name.to_ascii_lowercase().contains("passw"))
            })
    }

    /// The fields of a request's body with their schemas; whether it is a form.
    fn fields(&self, operation: &Operation<'n>) -> Option<(bool, Vec<(&'n str, &'n Node)>)> {
        let content = self.resolved(operation.node.key("requestBody")?).key("content")?.map()?;
        let kind = |wanted: &str| {
            content.iter().find(|(name, _)| name.as_str().is_some_and(|n| n.starts_with(wanted)))
        };
        let (form, (_, media)) = match kind("application/json") {
            Some(media) => (false, media),
            None => (true, kind("application/x-www-form-urlencoded")?),
        };
        let schema = self.resolved(media.key("schema")?);
        let mut fields = Vec::new();
        let parts = schema.key("allOf").and_then(Node::list).unwrap_or_default();
        for part in std::iter::once(schema).chain(parts.iter().map(|part| self.resolved(part))) {
            for (name, field) in part.key("properties").and_then(Node::map).unwrap_or_default() {
                // Of a field that several parts have, the first is written.
                if let Some(name) = name.as_str()
                    && !fields.iter().any(|(known, _)| *known == name)
                {
                    fields.push((name, self.resolved(field)));
                }
            }
        }
        Some((form, fields))
    }

    fn write_sign_in(&self, out: &mut String, operation: &Operation<'n>) {
        let (form, fields) = self.fields(operation).unwrap_or_default();
        let mut named = false;
        let mut pairs = Vec::new();
        for (name, _) in fields {
            let lower = name.to_ascii_lowercase();
            let value = if lower.contains("passw") {
                "{password}"
            } else if !named
                && ["user", "name", "mail", "login", "id"].iter().any(|w| lower.contains(w))
            {
                named = true;
                "{name}"
            } else if lower == "grant_type" {
                "password"
            } else {
                continue;
            };
            pairs.push(format!("{}: {}", quoted(name), quoted(value)));
        }
        let kind = if form { "form" } else { "json" };
        let (headers, note) = self.headers(operation);
        let headers = headers.strip_prefix(", ").map_or_else(String::new, |h| format!("  {h}\n"));
        let note = if note.is_empty() { note } else { format!(": {}", one_line(&note)) };
        let _ = write!(
            out,
            "\nsignin:\n  method: POST\n  path: {}\n{headers}  {kind}: {{{}}}\n  token: {}   # CHECK{note}\n",
            quoted(&self.with_query(operation, operation.path)),
            pairs.join(", "),
            self.carrier(),
        );
    }

    /// How the token travels, as the security schemes tell.
    fn carrier(&self) -> String {
        let schemes = self.root.key("components").and_then(|c| c.key("securitySchemes"));
        for (_, scheme) in schemes.and_then(Node::map).unwrap_or_default() {
            let scheme = self.resolved(scheme);
            let text = |key| scheme.key(key).and_then(Node::as_str).unwrap_or_default();
            match (text("type"), text("in")) {
                ("apiKey", "cookie") => return format!("{{cookie: {}}}", quoted(text("name"))),
                ("apiKey", "header") => {
                    return format!("{{json: token, header: {}}}", quoted(text("name")));
                }
                ("http", _) if text("scheme").eq_ignore_ascii_case("bearer") => {
                    return "{bearer: token}".to_owned();
                }
                ("oauth2", _) => return "{bearer: access_token}".to_owned(),
                _ => {}
            }
        }
        "{bearer: token}".to_owned()
    }

    fn write_route(
        &self,
        out: &mut String,
        operation: &Operation<'n>,
        path: &str,
        has_users: bool,
    ) {
        let security = operation.node.key("security").or_else(|| self.root.key("security"));
        let open = security.and_then(Node::list).is_none_or(|all| {
            all.iter().any(|one| one.map().is_some_and(<[_]>::is_empty)) || all.is_empty()
        });
        let lower = operation.path.to_ascii_lowercase();
        let (allow, note) = match (open, has_users) {
            (true, _) | (_, false) => {
                ("anybody", if open && security.is_some() { "" } else { "   # CHECK" })
            }
            (false, true) if lower.contains("admin") => ("[admin]", "   # CHECK"),
            (false, true) => ("[user, admin]", "   # CHECK"),
        };
        let path = self.with_query(operation, path);
        let (headers, mut look) = self.headers(operation);
        let body = match self.fields(operation) {
            Some((form, fields)) if operation.method != "GET" => {
                let kind = if form { "form" } else { "json" };
                let pairs: Vec<String> = fields
                    .iter()
                    .map(|(name, field)| format!("{}: {}", quoted(name), sample(field, form)))
                    .collect();
                format!(", {kind}: {{{}}}", pairs.join(", "))
            }
            _ => String::new(),
        };
        if body.is_empty()
            && let Some(kind) = self.other_body(operation)
        {
            let kind = format!("its body of `{kind}` is left out");
            look = if look.is_empty() { kind } else { format!("{look}; {kind}") };
        }
        let note = if look.is_empty() {
            note.to_owned()
        } else {
            format!("   # CHECK: {}", one_line(&look))
        };
        let _ = writeln!(
            out,
            "  - {{method: {}, path: {}{headers}{body}, allow: {allow}}}{note}",
            operation.method,
            quoted(&path),
        );
    }

    /// The media type of a body that is neither JSON nor a form.
    fn other_body(&self, operation: &Operation<'n>) -> Option<&'n str> {
        let content = self.resolved(operation.node.key("requestBody")?).key("content")?.map()?;
        content.first()?.0.as_str().filter(|_| operation.method != "GET")
    }

    /// Paths that end in one parameter are objects that may belong to somebody.
    fn write_objects(
        &self,
        out: &mut String,
        operations: &[&Operation<'n>],
        left_out: &mut Vec<String>,
    ) {
        let mut kinds: Vec<&str> = Vec::new();
        for operation in operations {
            if operation.object().is_none() {
                left_out.push(operation.left_out(UNFILLED));
            } else if !kinds.contains(&operation.path) {
                kinds.push(operation.path);
            }
        }
        let mut written = Vec::new();
        let mut text = String::new();
        for path in kinds {
            let all = || operations.iter().filter(|o| o.path == path);
            let by = |method: &str| all().find(|o| o.method == method);
            let (read, write) = (by("GET"), by("PATCH").or(by("PUT")));
            for operation in all() {
                let is = |other: Option<&&Operation<'_>>| {
                    other.is_some_and(|o| o.method == operation.method)
                };
                if !is(read) && !is(write) {
                    let why = "an object has one `read` and one `write`, by PATCH or PUT";
                    left_out.push(operation.left_out(why));
                }
            }
            let Some(before) = read.or(write).and_then(|operation| operation.object()) else {
                continue;
            };
            let filled = format!("{before}/{{id}}");
            let mut kind = before.rsplit('/').next().unwrap_or("object").to_owned();
            while written.contains(&kind) {
                kind.push('2');
            }
            let _ = writeln!(text, "  {}:", quoted(&kind));
            if let Some(read) = read {
                let _ = writeln!(text, "    read: {}", self.template(read, &filled, ""));
            }
            if let Some(write) = write {
                let fields = self.fields(write).map(|(_, fields)| fields).unwrap_or_default();
                let mut texts = fields.iter().filter(|(_, field)| {
                    field.key("type").and_then(Node::as_str) == Some("string")
                        && field.key("enum").is_none()
                });
                let marked = texts.next().map_or_else(String::new, |(name, _)| {
                    format!("{}: \"{{marker}}\"", quoted(name))
                });
                let body = format!(", json: {{{marked}}}");
                let _ = writeln!(text, "    write: {}", self.template(write, &filled, &body));
            }
            text.push_str(
                "    shared_with: [admin]   # CHECK\n    owned: {alice: [1], bob: [2]}   # CHECK\n",
            );
            written.push(kind);
        }
        if !text.is_empty() {
            let _ = write!(out, "\nobjects:\n{text}");
        }
    }

    /// What a local `$ref` points at; the node itself where there is none.
    fn resolved(&self, node: &'n Node) -> &'n Node {
        let mut at = node;
        for _ in 0..DEEPEST_REFERENCE {
            let Some(reference) = at.key("$ref").and_then(Node::as_str) else { return at };
            let Some(pointer) = reference.strip_prefix("#/") else { return at };
            let mut parts = pointer.split('/');
            let found = parts.try_fold(self.root, |at, part| {
                at.key(&part.replace("~1", "/").replace("~0", "~"))
            });
            let Some(found) = found else { return at };
            at = found;
        }
        at
    }
}

/// A value of a field's type.
fn sample(field: &Node, form: bool) -> String {
    if let Some(example) =
        field.key("example").or(field.key("default")).filter(|e| e.as_str().is_some())
    {
        let text = example.as_str().unwrap_or_default();
        return match &example.value {
            Value::Scalar { plain: true, .. }
                if !form && !matches!(example.kind(), "text" | "nothing") =>
            {
                text.to_owned()
            }
            _ => quoted(text),
        };
    }
    let choices = field.key("enum").and_then(Node::list).and_then(<[_]>::first);
    if let Some(choice) = choices.and_then(Node::as_str) {
        return quoted(choice);
    }
    match field.key("type").and_then(Node::as_str) {
        Some("integer" | "number") if !form => "1".to_owned(),
        Some("integer" | "number") => "\"1\"".to_owned(),
        Some("boolean") if !form => "false".to_owned(),
        Some("array") if !form => "[]".to_owned(),
        Some("object") if !form => "{}".to_owned(),
        _ => "\"smesec\"".to_owned(),
    }
}

/// A text in YAML's double quotes.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            // YAML takes more characters for line ends and marks than JSON does.
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::taas::audit::Audit;

    const DOCUMENT: &str = r##"
openapi: 3.1.0
servers: [{url: "http://{host}:8080/v1", variables: {host: {default: 10.0.0.7}}}]
security: [{bearer: []}]
components:
  securitySchemes:
    bearer: {type: http, scheme: bearer}
  schemas:
    Login: {type: object, properties: {email: {type: string}, password: {type: string}, remember: {type: boolean}}}
    Meter: {type: object, properties: {size: {type: integer}, label: {type: string}}}
paths:
  /login:
    post:
      security: []
      requestBody: {content: {application/json: {schema: {$ref: "#/components/schemas/Login"}}}}
  /logout: {post: {}}
  /health: {get: {security: []}}
  /bills: {get: {parameters: [{name: year, in: query, required: true, schema: {type: integer, example: 2026}}]}}
  /admin/users: {get: {}}
  /meters:
    post: {requestBody: {content: {application/json: {schema: {$ref: "#/components/schemas/Meter"}}}}}
  /meters/{meterId}:
    get: {}
    patch: {requestBody: {content: {application/json: {schema: {$ref: "#/components/schemas/Meter"}}}}}
  /meters/{meterId}/values/{n}: {get: {}}
  "bad path": {get: {}}
"##;

    const MORE: &str = r##"
openapi: 3.0.3
security: [{bearer: []}]
components:
  parameters:
    tenant: {name: X-Tenant, in: header, required: true, schema: {type: string, default: acme}}
paths:
  /login:
    parameters: [{$ref: "#/components/parameters/tenant"}]
    post:
      security: []
      requestBody: {content: {application/json: {schema: {properties: {name: {type: string}, password: {type: string}}}}}}
  /bills:
    parameters: [{$ref: "#/components/parameters/tenant"}]
    get:
      parameters:
        - {name: X-Tenant, in: header, required: true, example: own}
        - {name: X-Trace, in: header, required: true, schema: {type: string}}
        - {name: X-Level, in: header, required: true, schema: {type: integer, enum: [3, 4]}}
        - {name: X-Maybe, in: header, schema: {type: string}}
        - {name: Authorization, in: header, required: true}
        - {name: theme, in: cookie, required: true}
    trace: {}
  /files: {post: {requestBody: {content: {multipart/form-data: {}}}}}
  /meters/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: integer, example: 7}}, {$ref: "#/components/parameters/tenant"}]
    get: {}
    put: {requestBody: {content: {application/json: {schema: {properties: {label: {type: string}}}}}}}
    patch: {}
    delete: {}
  /meters/{id}/values/{n}:
    get: {parameters: [{name: id, in: path, example: 7}, {name: n, in: path, examples: {one: {value: a b}}}]}
    delete: {parameters: [{name: id, in: path, example: 7}]}
  /v-{version}: {get: {}}
  /gone/{id}: {delete: {}}
  /away: {$ref: "other.yaml#/paths/x"}
  /empty: {}
  x-note: {get: {}}
  nowhere: {get: {}}
"##;

    #[test]
    fn required_headers_are_written_and_nothing_is_left_out_in_silence() {
        let text = draft(MORE, "api.yaml").unwrap();
        for line in [
            "  path: \"/login\"\n  headers: {\"X-Tenant\": \"acme\"}\n  json:",
            "- {method: GET, path: \"/bills\", headers: {\"X-Tenant\": \"own\", \"X-Trace\": \"smesec\", \"X-Level\": \"3\"}, allow: [user, admin]}   # CHECK: the document gives no value for `X-Trace`; the cookie `theme` is left out\n",
            "- {method: POST, path: \"/files\", allow: [user, admin]}   # CHECK: its body of `multipart/form-data` is left out\n",
            "- {method: GET, path: \"/meters/7/values/a%20b\", allow: [user, admin]}   # CHECK\n",
            "    read: {method: GET, path: \"/meters/{id}\", headers: {\"X-Tenant\": \"acme\"}}\n",
            "    write: {method: PATCH, path: \"/meters/{id}\", headers: {\"X-Tenant\": \"acme\"}, json: {}}   # CHECK\n",
        ] {
            assert!(text.contains(line), "no `{line}` in\n{text}");
        }
        let (_, left_out) = text.split_once("# Left out").unwrap();
        let left_out: Vec<&str> = left_out.lines().skip(1).collect();
        let object = "an object has one `read` and one `write`, by PATCH or PUT";
        assert_eq!(
            left_out,
            [
                "#   TRACE /bills: the audit does not send TRACE".to_owned(),
                "#   /away: stands at `other.yaml#/paths/x`, which was not found here".to_owned(),
                "#   /empty: has no methods".to_owned(),
                "#   nowhere: is no path: it begins with one slash and holds no blank".to_owned(),
                format!("#   DELETE /meters/{{id}}/values/{{n}}: {UNFILLED}"),
                format!("#   GET /v-{{version}}: {UNFILLED}"),
                format!("#   PUT /meters/{{id}}: {object}"),
                format!("#   DELETE /meters/{{id}}: {object}"),
                format!("#   DELETE /gone/{{id}}: {object}"),
            ]
        );
        Audit::load_with(&text, "draft.yaml", &|_| Some("a password".into())).unwrap();
    }

    #[test]
    fn a_draft_says_what_the_document_says_and_reads_back() {
        let text = draft(DOCUMENT, "api.yaml").unwrap();
        for line in [
            "base: \"http://10.0.0.7:8080/v1\"",
            "  path: \"/login\"\n  json: {\"email\": \"{name}\", \"password\": \"{password}\"}",
            "token: {bearer: token}",
            "signout: \"POST /logout\"",
            "- {method: GET, path: \"/health\", allow: anybody}",
            "- {method: GET, path: \"/bills?year=2026\", allow: [user, admin]}",
            "- {method: GET, path: \"/admin/users\", allow: [admin]}",
            "- {method: POST, path: \"/meters\", json: {\"size\": 1, \"label\": \"smesec\"}, allow: [user, admin]}",
            "    read: \"GET /meters/{id}\"",
            "json: {\"label\": \"{marker}\"}",
            "#   GET /meters/{meterId}/values/{n}",
        ] {
            assert!(text.contains(line), "no `{line}` in\n{text}");
        }
        let audit = Audit::load_with(&text, "draft.yaml", &|_| Some("a password".into())).unwrap();
        assert_eq!(audit.hosts(), [("10.0.0.7".to_owned(), Some(8080))]);
    }

    #[test]
    fn json_is_read_and_others_are_refused_with_the_place() {
        let json = "{\n\t\"openapi\": \"3.0.0\",\n\t\"paths\": {\"/x\": {\"get\": {}}}\n}";
        let text = draft(json, "api.json").unwrap();
        assert!(text.contains("path: \"/x\", allow: anybody}   # CHECK"), "{text}");
        let told = |text: &str| draft(text, "a.yaml").unwrap_err().to_string();
        assert_eq!(
            told("swagger: '2.0'\n"),
            "a.yaml:1:10: only OpenAPI 3 is read; convert the document first"
        );
        assert!(told("").starts_with("a.yaml:1:1: the file is empty"));
        assert!(told("openapi: 3.0.0\n").contains("no `paths`"));
        let circle =
            "openapi: 3.0.0\npaths: {/a: {$ref: '#/paths/~1b'}, /b: {$ref: '#/paths/~1a'}}\n";
        assert!(draft(circle, "a.yaml").is_ok());
    }
}
