//! `target.yaml`, from text to a [`Description`]; every error with its place and what to write.

use super::description::{
    Base, Body, Brute, Carrier, Csrf, CsrfSource, Description, Jwt, Limits, MassAssignment, NOBODY,
    Object, Route, SignIn, Template, User,
};
use crate::decode::yaml::{self, Node, Scalar};
use crate::error::RuleError;
use crate::runner::Trust;
use serde_json::Value as Json;
use std::path::Path;
use std::time::Duration;

/// Where a secret of the file comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SecretSource<'a> {
    /// A variable of the environment.
    Environment(&'a str),
    /// A file, as written; relative ones count from the description's folder.
    File(&'a Path),
}

type Resolve<'a> = &'a dyn Fn(SecretSource<'_>) -> Option<String>;

pub(super) fn description(
    text: &str,
    file: &str,
    resolve: Resolve<'_>,
) -> Result<Description, RuleError> {
    let mut documents = yaml::documents(text, file, yaml::Limits::default());
    let Some(document) = documents.next().transpose()? else {
        let why =
            "nothing is described; `smesec taas audit --example` prints a target to start from";
        return Err(RuleError::new(file, 1, 1, why));
    };
    let mut reader =
        Reader { file, resolve, hosts: Vec::new(), warnings: Vec::new(), secrets: Vec::new() };
    if let Some(twice) = document.duplicates.first() {
        return Err(RuleError::new(
            file,
            twice.again.line,
            twice.again.column,
            format!(
                "`{}` stands twice in one mapping, first in line {}; keep one of them",
                twice.key, twice.first.line
            ),
        ));
    }
    if let Some(more) = documents.next().transpose()? {
        return Err(reader.error(&more.root, "a second document; one file describes one target"));
    }
    let description = reader.description(&document.root)?;
    super::verify::names(&description, &document.root, file)?;
    Ok(description)
}

struct Reader<'a> {
    file: &'a str,
    resolve: Resolve<'a>,
    /// Hosts besides the base's, which requests may name.
    hosts: Vec<(String, Option<u16>)>,
    warnings: Vec<String>,
    secrets: Vec<String>,
}

type Read<T> = Result<T, RuleError>;

const METHODS: &[&str] = &["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"];

/// The most wrong sign-ins or pairs that a file may ask for in a row.
const MOST_TRIES: u32 = 1_000;

impl Reader<'_> {
    fn error(&self, node: &Node, why: impl Into<String>) -> RuleError {
        RuleError::new(self.file, node.place.line, node.place.column, why)
    }

    fn description(&mut self, root: &Node) -> Read<Description> {
        self.keys(
            root,
            "the target",
            &[
                "base",
                "tls",
                "hosts",
                "public",
                "limits",
                "denied",
                "users",
                "signin",
                "signout",
                "routes",
                "objects",
                "jwt",
                "sign_in_checks",
                "mass_assignment",
                "redirects",
            ],
        )?;
        let Some(base) = root.key("base") else {
            return Err(self.error(
                root,
                "`base` is missing; write the API's address, as in `base: http://127.0.0.1:8080`",
            ));
        };
        let mut base = self.base(base)?;
        base.trust = self.optional(root, "tls", Self::trust)?.unwrap_or_default();
        let hosts = self.each(root.key("hosts"), "`hosts`", Self::host)?;
        self.hosts.clone_from(&hosts);
        let public = self.optional(root, "public", Self::boolean)?.unwrap_or(false);
        let limits = self.optional(root, "limits", Self::limits)?.unwrap_or_default();
        let denied = self.each(root.key("denied"), "`denied`", Self::text)?;
        let users = match root.key("users") {
            Some(node) => self.users(node)?,
            None => Vec::new(),
        };
        let sign_in = self.optional(root, "signin", Self::sign_in)?;
        let sign_out = self.optional(root, "signout", Self::template)?;
        let routes = self.each(root.key("routes"), "`routes`", Self::route)?;
        if routes.is_empty() {
            let why = "`routes` is missing; list at least one, as in \
                       `- {method: GET, path: /api/profile, allow: [user]}`";
            return Err(self.error(root, why));
        }
        let objects = match root.key("objects") {
            Some(node) => self.objects(node)?,
            None => Vec::new(),
        };
        let jwt = self.optional(root, "jwt", Self::jwt)?.unwrap_or_default();
        let brute = self.optional(root, "sign_in_checks", Self::brute)?.unwrap_or_default();
        let mass = self.optional(root, "mass_assignment", Self::mass)?;
        let redirects = self.each(root.key("redirects"), "`redirects`", Self::redirect)?;
        Ok(Description {
            file: self.file.to_owned(),
            base,
            hosts,
            public,
            limits,
            denied,
            users,
            sign_in,
            sign_out,
            routes,
            objects,
            jwt,
            brute,
            mass,
            redirects,
            warnings: std::mem::take(&mut self.warnings),
            secrets: std::mem::take(&mut self.secrets),
        })
    }

    fn base(&mut self, node: &Node) -> Read<Base> {
        let text = self.text(node)?;
        let wrong = |why: &str| {
            self.error(node, format!("`{text}` {why}; write it as `http://127.0.0.1:8080/api`"))
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("has no scheme"))?;
        if !matches!(scheme, "http" | "https") {
            return Err(wrong("is neither http nor https"));
        }
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        if authority.contains('@') {
            return Err(wrong("carries a name; users stand under `users`"));
        }
        if path.contains(['?', '#', '{']) {
            return Err(wrong("goes beyond a path"));
        }
        let (host, port) = authority_parts(authority).ok_or_else(|| wrong("has no valid host"))?;
        Ok(Base {
            scheme: scheme.to_owned(),
            host,
            port,
            prefix: path.trim_end_matches('/').to_owned(),
            trust: Trust::System,
        })
    }

    /// Whom to believe over TLS: the system's authorities, those of a file, or anybody.
    fn trust(&mut self, node: &Node) -> Read<Trust> {
        self.keys(node, "`tls`", &["ca", "verify"])?;
        let authority = self.optional(node, "ca", Self::text)?;
        let verify = self.optional(node, "verify", Self::boolean)?;
        match (authority, verify) {
            (Some(_), Some(false)) => {
                Err(self.error(node, "`ca` is of no use with `verify: false`; keep one of them"))
            }
            (Some(path), _) => {
                let folder = Path::new(self.file).parent().unwrap_or(Path::new(""));
                Ok(Trust::File(folder.join(path)))
            }
            (None, Some(false)) => {
                self.warnings.push(format!(
                    "{}:{}:{}: whoever answers is believed, and is sent the passwords; write `tls: {{ca: path}}` for a private authority",
                    self.file, node.place.line, node.place.column
                ));
                Ok(Trust::Anybody)
            }
            (None, _) => Ok(Trust::System),
        }
    }

    fn host(&mut self, node: &Node) -> Read<(String, Option<u16>)> {
        let text = self.text(node)?;
        authority_parts(&text).ok_or_else(|| {
            self.error(node, format!("`{text}` is no host; write `name` or `name:port`"))
        })
    }

    fn limits(&mut self, node: &Node) -> Read<Limits> {
        self.keys(node, "`limits`", &["requests", "per_second", "seconds", "patience"])?;
        let mut limits = Limits::default();
        if let Some(n) = self.optional(node, "requests", Self::count)? {
            limits.requests = u64::from(n);
        }
        if let Some(n) = self.optional(node, "per_second", Self::count)? {
            limits.per_second = n.max(1);
        }
        if let Some(n) = self.optional(node, "seconds", Self::count)? {
            limits.deadline = Duration::from_secs(u64::from(n.max(1)));
        }
        if let Some(n) = self.optional(node, "patience", Self::count)? {
            limits.patience = Duration::from_secs(u64::from(n));
        }
        Ok(limits)
    }

    fn users(&mut self, node: &Node) -> Read<Vec<User>> {
        let mut users = Vec::new();
        for (key, value) in self.mapping(node, "`users`")? {
            let id = self.text(key)?;
            if id == NOBODY {
                return Err(self.error(
                    key,
                    "`nobody` means whoever has not signed in; name the user otherwise",
                ));
            }
            let Some(role) = value.key("role") else {
                let why = format!("the user `{id}` has no role; write `role: user`");
                return Err(self.error(key, why));
            };
            let role_name = self.text(role)?;
            if role_name == NOBODY {
                return Err(
                    self.error(role, "`nobody` is the role without a sign-in; write another")
                );
            }
            let mut fields = Vec::new();
            for (name, value) in self.mapping(value, "a user")? {
                let name = self.text(name)?;
                if name != "role" {
                    let value = self.secret(value, &name)?;
                    fields.push((name, value));
                }
            }
            if !fields.iter().any(|(name, _)| name == "name") {
                fields.push(("name".to_owned(), id.clone()));
            }
            users.push(User { id, role: role_name, fields });
        }
        Ok(users)
    }

    /// A value that may be a secret: as text, or from where it is kept.
    fn secret(&mut self, node: &Node, name: &str) -> Read<String> {
        if node.list().is_some() {
            let why = format!(
                "`{name}` is a list, which is how YAML reads a bracketed placeholder; \
                 write `{{env: VARIABLE}}` or `{{file: path}}`"
            );
            return Err(self.error(node, why));
        }
        if node.map().is_none() {
            let value = self.text(node)?;
            if crate::mask::is_secret_name(name.as_bytes()) {
                self.warnings.push(format!(
                    "{}:{}:{}: the secret `{name}` stands in the file; write `{{env: VARIABLE}}` or `{{file: path}}`",
                    self.file, node.place.line, node.place.column
                ));
                self.secrets.push(value.clone());
            }
            return Ok(value);
        }
        self.keys(node, "a secret", &["env", "file"])?;
        let value = match (node.key("env"), node.key("file")) {
            (Some(variable), None) => {
                let variable_name = self.text(variable)?;
                (self.resolve)(SecretSource::Environment(&variable_name)).ok_or_else(|| {
                    let why = format!("the variable `{variable_name}` is not set; export it first");
                    self.error(variable, why)
                })?
            }
            (None, Some(path)) => {
                let path_text = self.text(path)?;
                let value = (self.resolve)(SecretSource::File(Path::new(&path_text)));
                value.ok_or_else(|| {
                    self.error(path, format!("`{path_text}` cannot be read; check the path"))
                })?
            }
            _ => return Err(self.error(node, "write either `{env: VARIABLE}` or `{file: path}`")),
        };
        // A key keeps its lines; what an editor adds at the end of a password is not of it.
        let value = value.trim_end_matches(['\r', '\n']).to_owned();
        self.secrets.push(value.clone());
        Ok(value)
    }

    fn sign_in(&mut self, node: &Node) -> Read<SignIn> {
        self.keys(
            node,
            "`signin`",
            &["method", "path", "headers", "json", "form", "token", "csrf"],
        )?;
        let request = self.request(node, "POST")?;
        let Some(token) = node.key("token") else {
            let why = "`token` is missing: how does what proves the sign-in travel? Write \
                       `token: {cookie: NAME}` or `token: {bearer: FIELD}`";
            return Err(self.error(node, why));
        };
        let carrier = self.carrier(token)?;
        let csrf = self.optional(node, "csrf", Self::csrf)?;
        Ok(SignIn { request, token: carrier, csrf })
    }

    fn carrier(&mut self, node: &Node) -> Read<Carrier> {
        self.keys(node, "`token`", &["cookie", "bearer", "json", "header"])?;
        let text = |reader: &mut Self, key| reader.optional(node, key, Self::text);
        let (cookie, bearer) = (text(self, "cookie")?, text(self, "bearer")?);
        let (field, header) = (text(self, "json")?, text(self, "header")?);
        match (cookie, bearer, field, header) {
            (Some(name), None, None, None) => Ok(Carrier::Cookie(name)),
            (None, Some(field), None, None) => Ok(Carrier::Header {
                field,
                header: "Authorization".to_owned(),
                prefix: "Bearer ".to_owned(),
            }),
            (None, None, Some(field), Some(header)) => {
                Ok(Carrier::Header { field, header, prefix: String::new() })
            }
            _ => Err(self.error(
                node,
                "write one of `{cookie: NAME}`, `{bearer: FIELD}` and `{json: FIELD, header: NAME}`",
            )),
        }
    }

    fn csrf(&mut self, node: &Node) -> Read<Csrf> {
        self.keys(node, "`csrf`", &["header", "cookie", "json"])?;
        let header = self.optional(node, "header", Self::text)?;
        let cookie = self.optional(node, "cookie", Self::text)?;
        let field = self.optional(node, "json", Self::text)?;
        match (header, cookie, field) {
            (Some(header), Some(name), None) => Ok(Csrf { header, from: CsrfSource::Cookie(name) }),
            (Some(header), None, Some(name)) => Ok(Csrf { header, from: CsrfSource::Field(name) }),
            _ => Err(self.error(
                node,
                "write `{header: NAME, cookie: NAME}` or `{header: NAME, json: FIELD}`",
            )),
        }
    }

    /// `GET /path`, or a mapping.
    fn template(&mut self, node: &Node) -> Read<Template> {
        if node.map().is_some() {
            self.keys(node, "a request", &["method", "path", "headers", "json", "form", "admits"])?;
            return self.request(node, "GET");
        }
        let text = self.text(node)?;
        let (method, path) = text.split_once(' ').unwrap_or(("GET", &text));
        Ok(Template {
            method: self.method(node, method)?,
            path: self.path(node, path.trim())?,
            headers: Vec::new(),
            body: Body::None,
            admits: Vec::new(),
            line: node.place.line,
        })
    }

    fn request(&mut self, node: &Node, method: &str) -> Read<Template> {
        let method = match node.key("method") {
            Some(node) => {
                let text = self.text(node)?;
                self.method(node, &text)?
            }
            None => method.to_owned(),
        };
        let Some(path) = node.key("path") else {
            return Err(self.error(
                node,
                "`path` is missing; write it below `base`, as in `path: /api/profile`",
            ));
        };
        let path_text = self.text(path)?;
        let path = self.path(path, &path_text)?;
        let mut headers = Vec::new();
        if let Some(node) = node.key("headers") {
            for (name, value) in self.mapping(node, "`headers`")? {
                headers.push((self.text(name)?, self.text(value)?));
            }
        }
        let body = match (node.key("json"), node.key("form")) {
            (Some(_), Some(form)) => {
                return Err(self.error(form, "a body is either `json` or `form`; keep one"));
            }
            (Some(json), None) => Body::Json(json_of(json)),
            (None, Some(form)) => {
                let mut fields = Vec::new();
                for (name, value) in self.mapping(form, "`form`")? {
                    fields.push((self.text(name)?, self.text(value)?));
                }
                Body::Form(fields)
            }
            (None, None) => Body::None,
        };
        let admits = self.each(node.key("admits"), "`admits`", Self::status)?;
        Ok(Template { method, path, headers, body, admits, line: node.place.line })
    }

    fn status(&mut self, node: &Node) -> Read<u16> {
        let count = self.count(node)?;
        let status = u16::try_from(count).ok().filter(|status| (200..400).contains(status));
        status.ok_or_else(|| {
            self.error(node, format!("`{count}` is no status of success; write one such as 302"))
        })
    }

    fn method(&self, node: &Node, text: &str) -> Read<String> {
        let method = text.to_ascii_uppercase();
        if METHODS.contains(&method.as_str()) {
            return Ok(method);
        }
        Err(self.error(node, format!("`{text}` is no method; write one of {}", METHODS.join(", "))))
    }

    fn path(&self, node: &Node, text: &str) -> Read<String> {
        let elsewhere = ["http://", "https://"].iter().any(|scheme| text.starts_with(scheme));
        if elsewhere && !super::wire::names(&self.hosts, text) {
            let why =
                format!("`{text}` leads to a host that the file does not name; add it to `hosts`");
            return Err(self.error(node, why));
        }
        if !elsewhere && (!text.starts_with('/') || text.starts_with("//")) {
            let why = format!("`{text}` is no path below `base`; begin it with one slash");
            return Err(self.error(node, why));
        }
        if text.bytes().any(|b| b <= b' ' || b == 0x7f) {
            let why = format!(
                "`{}` holds a blank or a control character; write `%20`",
                text.escape_debug()
            );
            return Err(self.error(node, why));
        }
        Ok(text.to_owned())
    }

    fn route(&mut self, node: &Node) -> Read<Route> {
        self.keys(
            node,
            "a route",
            &["method", "path", "headers", "json", "form", "admits", "allow", "destructive"],
        )?;
        let request = self.request(node, "GET")?;
        let Some(allow) = node.key("allow") else {
            let why = "`allow` is missing: who may do this? Write `allow: [user, admin]`, or `allow: anybody`";
            return Err(self.error(node, why));
        };
        let allow = if allow.list().is_some() {
            self.each(Some(allow), "`allow`", Self::text)?
        } else {
            match self.text(allow)?.as_str() {
                "anybody" => vec!["anybody".to_owned()],
                role => vec![role.to_owned()],
            }
        };
        let safe = matches!(request.method.as_str(), "GET" | "HEAD" | "OPTIONS");
        let destructive = self.optional(node, "destructive", Self::boolean)?.unwrap_or(!safe);
        Ok(Route { request, allow, destructive })
    }

    fn objects(&mut self, node: &Node) -> Read<Vec<Object>> {
        let mut objects = Vec::new();
        for (kind, value) in self.mapping(node, "`objects`")? {
            self.keys(value, "an object", &["read", "write", "shared_with", "owned"])?;
            let read = self.optional(value, "read", Self::template)?;
            let write = self.optional(value, "write", Self::template)?;
            for (name, template) in [("read", &read), ("write", &write)] {
                if let Some(template) = template
                    && !mentions(template, "{id}")
                {
                    let at = value.key(name).unwrap_or(value);
                    let why =
                        format!("`{name}` has no `{{id}}`; put it where the object's id goes");
                    return Err(self.error(at, why));
                }
            }
            if read.is_none() && write.is_none() {
                let why =
                    "the object has neither `read` nor `write`; add `read: GET /api/things/{id}`";
                return Err(self.error(kind, why));
            }
            let shared_with = self.each(value.key("shared_with"), "`shared_with`", Self::text)?;
            let Some(owned_node) = value.key("owned") else {
                let why =
                    "`owned` is missing: whose is what? Write `owned: {alice: [1], bob: [2]}`";
                return Err(self.error(kind, why));
            };
            let mut owned = Vec::new();
            for (owner, ids) in self.mapping(owned_node, "`owned`")? {
                owned.push((self.text(owner)?, self.each(Some(ids), "the ids", Self::text)?));
            }
            objects.push(Object { kind: self.text(kind)?, read, write, shared_with, owned });
        }
        Ok(objects)
    }

    fn jwt(&mut self, node: &Node) -> Read<Jwt> {
        self.keys(node, "`jwt`", &["public_key", "jwks", "secret", "words", "wait"])?;
        let public_key = match node.key("public_key") {
            Some(key) => {
                let pem = self.secret(key, "public_key")?;
                // It is public: reports may show it, and the key it is compared with too.
                self.secrets.retain(|secret| *secret != pem);
                if !pem.contains("-----BEGIN ") {
                    let why =
                        "the public key is not PEM; it begins with `-----BEGIN PUBLIC KEY-----`";
                    return Err(self.error(key, why));
                }
                Some(pem)
            }
            None => None,
        };
        let secret = match node.key("secret") {
            Some(secret) => Some(self.secret(secret, "secret")?),
            None => None,
        };
        Ok(Jwt {
            public_key,
            jwks: self.optional(node, "jwks", Self::template)?,
            secret,
            words: self.each(node.key("words"), "`words`", Self::text)?,
            wait: Duration::from_secs(
                self.optional(node, "wait", Self::count)?.unwrap_or_default().into(),
            ),
        })
    }

    fn brute(&mut self, node: &Node) -> Read<Brute> {
        self.keys(node, "`sign_in_checks`", &["attempts", "burst", "user", "pairs"])?;
        let mut brute =
            Brute { user: self.optional(node, "user", Self::text)?, ..Brute::default() };
        for (name, least, place) in [
            ("attempts", 3, &mut brute.attempts),
            ("burst", 5, &mut brute.burst),
            ("pairs", 30, &mut brute.pairs),
        ] {
            if let Some(number) = node.key(name) {
                *place = self.count(number)?;
                if !(least..=MOST_TRIES).contains(place) {
                    let why = format!(
                        "`{name}` is from {least} to {MOST_TRIES}; write a number between them"
                    );
                    return Err(self.error(number, why));
                }
            }
        }
        Ok(brute)
    }

    fn mass(&mut self, node: &Node) -> Read<MassAssignment> {
        self.keys(node, "`mass_assignment`", &["as", "write", "read", "fields"])?;
        let part = |key: &str| {
            node.key(key).ok_or_else(|| {
                let why = format!("`{key}` is missing; write `as`, `write`, `read` and `fields`");
                self.error(node, why)
            })
        };
        let (user, write, read) = (part("as")?, part("write")?, part("read")?);
        let fields = part("fields")?;
        let user = self.text(user)?;
        let write_template = self.template(write)?;
        if !matches!(write_template.body, Body::Json(Json::Object(_))) {
            let why = "the write has no JSON object to add fields to; write `json: {…}`";
            return Err(self.error(write, why));
        }
        let read = self.template(read)?;
        let mut wanted = Vec::new();
        for (name, value) in self.mapping(fields, "`fields`")? {
            wanted.push((self.text(name)?, json_of(value)));
        }
        if wanted.is_empty() {
            let why = "`fields` is empty; name what a user must not set, as in `{role: admin}`";
            return Err(self.error(fields, why));
        }
        Ok(MassAssignment { user, write: write_template, read, fields: wanted })
    }

    fn redirect(&mut self, node: &Node) -> Read<Template> {
        let template = self.template(node)?;
        if !mentions(&template, "{url}") {
            let why =
                "there is no `{url}`; put it where the destination goes, as in `/go?next={url}`";
            return Err(self.error(node, why));
        }
        Ok(template)
    }

    fn keys(&self, node: &Node, what: &str, known: &[&str]) -> Read<()> {
        for (key, _) in self.mapping(node, what)? {
            let name = key.as_str().unwrap_or_default();
            if known.contains(&name) {
                continue;
            }
            let near = known.iter().find(|k| near(k, name));
            let fix = match near {
                Some(near) => format!("did you mean `{near}`"),
                None => format!("write one of {}", known.join(", ")),
            };
            return Err(self.error(key, format!("{what} has no key `{name}`; {fix}")));
        }
        Ok(())
    }

    fn mapping<'n>(&self, node: &'n Node, what: &str) -> Read<&'n [(Node, Node)]> {
        node.map().ok_or_else(|| {
            self.error(
                node,
                format!("{what} is {}; write a mapping, as in `key: value`", node.kind()),
            )
        })
    }

    fn each<T>(
        &mut self,
        node: Option<&Node>,
        what: &str,
        read: impl Fn(&mut Self, &Node) -> Read<T>,
    ) -> Read<Vec<T>> {
        let Some(node) = node else { return Ok(Vec::new()) };
        let Some(items) = node.list() else {
            let why = format!("{what} is {}; write a list, as in `[a, b]`", node.kind());
            return Err(self.error(node, why));
        };
        items.iter().map(|item| read(self, item)).collect()
    }

    fn optional<T>(
        &mut self,
        node: &Node,
        key: &str,
        read: impl FnOnce(&mut Self, &Node) -> Read<T>,
    ) -> Read<Option<T>> {
        node.key(key).map(|value| read(self, value)).transpose()
    }

    fn text(&mut self, node: &Node) -> Read<String> {
        match (node.as_str(), node.scalar()) {
            (Some(_), Some(Scalar::Null)) | (None, _) => {
                let why = format!("{} where text is expected; write a value", node.kind());
                Err(self.error(node, why))
            }
            (Some(text), _) => Ok(text.to_owned()),
        }
    }

    fn boolean(&mut self, node: &Node) -> Read<bool> {
        match node.scalar() {
            Some(Scalar::Bool(value)) => Ok(value),
            _ => Err(self.error(
                node,
                format!("{} where a yes or no is expected; write `true` or `false`", node.kind()),
            )),
        }
    }

    fn count(&mut self, node: &Node) -> Read<u32> {
        match node.scalar() {
            Some(Scalar::Int(n)) if u32::try_from(n).is_ok() => {
                Ok(u32::try_from(n).unwrap_or_default())
            }
            _ => Err(self.error(
                node,
                format!(
                    "`{}` is no whole number from 0; write one",
                    node.as_str().unwrap_or_else(|| node.kind())
                ),
            )),
        }
    }
}

/// Whether a word is one slip away from a known one: a letter more, less or other.
fn near(known: &str, word: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (known.chars().collect(), word.chars().collect());
    if a.len().abs_diff(b.len()) > 1 {
        return false;
    }
    let same_start = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let same_end = a.iter().rev().zip(b.iter().rev()).take_while(|(x, y)| x == y).count();
    same_start + same_end + 1 >= a.len().max(b.len())
}

fn mentions(template: &Template, word: &str) -> bool {
    let body = match &template.body {
        Body::None => false,
        Body::Json(json) => json.to_string().contains(word),
        Body::Form(fields) => fields.iter().any(|(_, value)| value.contains(word)),
    };
    body || template.path.contains(word)
        || template.headers.iter().any(|(_, value)| value.contains(word))
}

/// Host and port of an authority; the host in lower case, an IPv6 address in its brackets.
fn authority_parts(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (format!("[{address}]"), after.strip_prefix(':'))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host.to_owned(), Some(port)),
            None => (text.to_owned(), None),
        },
    };
    let named = host.starts_with('[')
        || (!host.is_empty()
            && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')));
    let port = port.map(|port| port.parse::<u16>().ok().filter(|p| *p > 0).ok_or(())).transpose();
    named.then_some((host.to_ascii_lowercase(), port.ok()?))
}

fn json_of(node: &Node) -> Json {
    if let Some(items) = node.list() {
        return items.iter().map(json_of).collect();
    }
    if let Some(entries) = node.map() {
        let entry = |(key, value): &(Node, Node)| {
            (key.as_str().unwrap_or_default().to_owned(), json_of(value))
        };
        return Json::Object(entries.iter().map(entry).collect());
    }
    match node.scalar() {
        None | Some(Scalar::Null) => Json::Null,
        Some(Scalar::Bool(value)) => value.into(),
        Some(Scalar::Int(value)) => value.into(),
        Some(Scalar::Float(value)) => value.into(),
        Some(Scalar::Text(text)) => {
            let number = node.integer().and_then(serde_json::Number::from_i128);
            number.map_or_else(|| text.into(), Json::Number)
        }
    }
}
