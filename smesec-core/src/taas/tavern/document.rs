//! The documents of a test file, with what they include put in.

use crate::decode::yaml::{self, Duplicate, Limits, Node, Place};
use crate::error::RuleError;
use crate::taas::files::Files;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// How deep files may include files; real ones reach two.
const DEPTH: usize = 16;

/// Values that all includes of one file may come to; files of thousands of tests stay below a tenth.
const NODES: usize = 2_000_000;

/// Something to say about a place.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Told {
    pub(super) place: Place,
    pub(super) why: String,
}

impl Told {
    pub(super) fn new(place: Place, why: impl Into<String>) -> Self {
        Self { place, why: why.into() }
    }

    pub(super) fn in_file(self, file: &str) -> RuleError {
        RuleError::new(file, self.place.line, self.place.column, self.why)
    }
}

/// A document as the tests see it.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) root: Node,
    pub(super) duplicates: Vec<Duplicate>,
}

/// Reads documents and remembers the files that they include.
pub(super) struct Reading<'f> {
    files: &'f dyn Files,
    seed: u64,
    /// Where includes are looked for that do not lie beside the file that names them.
    folders: Vec<String>,
    /// Inclusions so far, and the one that is under way: each makes identifiers of its own.
    inclusions: u64,
    inclusion: u64,
    /// Identifiers made.
    made: u64,
    included: HashMap<String, Node>,
    /// The files that are being included, the outermost first.
    open: Vec<String>,
    nodes: usize,
}

impl<'f> Reading<'f> {
    /// `folders` is what `TAVERN_INCLUDE` says: folders with colons between them.
    pub(super) fn new(files: &'f dyn Files, seed: u64, folders: Option<&String>) -> Self {
        let folders = folders.into_iter().flat_map(|all| all.split(':'));
        Self {
            files,
            seed,
            folders: folders.filter(|one| !one.is_empty()).map(str::to_owned).collect(),
            inclusions: 0,
            inclusion: 0,
            made: 0,
            included: HashMap::new(),
            open: Vec::new(),
            nodes: 0,
        }
    }

    /// A file that another names: beside it, else in one of the folders.
    fn read(&self, name: &str, from: &str) -> Result<(String, Vec<u8>), String> {
        self.files.read(name, from).or_else(|why| {
            let mut places = self.folders.iter().map(|folder| format!("{folder}/{name}"));
            places.find_map(|place| self.files.read(&place, "").ok()).ok_or(why)
        })
    }

    /// The documents of a text.
    ///
    /// # Errors
    /// With the place: the text is no YAML, or an include is missing, cyclic or too large.
    pub(super) fn documents(&mut self, file: &str, text: &str) -> Result<Vec<Document>, RuleError> {
        let limits = Limits { anchors_live_on: true, ..Limits::default() };
        let mut out = Vec::new();
        self.nodes = 0;
        self.open = vec![file.to_owned()];
        for document in yaml::documents(text, file, limits) {
            let document = document?;
            let root = self.complete(document.root, file)?;
            out.push(Document { root, duplicates: document.duplicates });
        }
        Ok(out)
    }

    /// The node with its includes put in and its identifiers made.
    fn complete(&mut self, mut node: Node, file: &str) -> Result<Node, RuleError> {
        self.nodes += 1;
        let place = node.place;
        let wrong = |why: String| Told::new(place, why).in_file(file);
        if self.nodes > NODES {
            return Err(wrong(format!(
                "the file has more than {NODES} values with what it includes"
            )));
        }
        let name = || node.as_str().map(str::trim).filter(|name| !name.is_empty());
        match node.tag.as_deref() {
            Some("!include") => {
                let name = name().ok_or_else(|| {
                    wrong("`!include` names no file; write its name behind it".to_owned())
                })?;
                return self.include(name, file, place);
            }
            Some("!include_raw") => {
                let name = name().unwrap_or_default();
                let (known_as, bytes) = self.read(name, file).map_err(wrong)?;
                let text = String::from_utf8(bytes)
                    .map_err(|_| wrong(format!("`{known_as}` is not UTF-8; convert it")))?;
                return Ok(Node { place, ..Node::text(text) });
            }
            Some("!uuid") => {
                self.made += 1;
                return Ok(Node { place, ..Node::text(self.uuid(file, place)) });
            }
            _ => {}
        }
        match &mut node.value {
            yaml::Value::Scalar { .. } => {}
            yaml::Value::List(items) => {
                for item in items {
                    let whole = std::mem::replace(item, Node::text(""));
                    *item = self.complete(whole, file)?;
                }
            }
            yaml::Value::Map(entries) => {
                for (_, item) in entries {
                    let whole = std::mem::replace(item, Node::text(""));
                    *item = self.complete(whole, file)?;
                }
            }
        }
        Ok(node)
    }

    fn include(&mut self, name: &str, from: &str, place: Place) -> Result<Node, RuleError> {
        let wrong = |why: String| Told::new(place, why).in_file(from);
        let (known_as, bytes) = self.read(name, from).map_err(wrong)?;
        if self.open.contains(&known_as) {
            let way = self.open.join("` includes `");
            return Err(wrong(format!("`{way}` includes `{known_as}` again; break the circle")));
        }
        if self.open.len() >= DEPTH {
            return Err(wrong(format!("files include files deeper than {DEPTH}; flatten them")));
        }
        let mut node = if let Some(node) = self.included.get(&known_as) {
            node.clone()
        } else {
            let text = String::from_utf8(bytes)
                .map_err(|_| wrong(format!("`{known_as}` is not UTF-8; convert it")))?;
            let document = include(&text, &known_as).map_err(|e| match e {
                Some(wrong) => wrong,
                None => wrong(format!("`{known_as}` is empty; write what shall be included")),
            })?;
            self.open.push(known_as.clone());
            let (outer, made) = (self.inclusion, self.made);
            self.inclusions += 1;
            self.inclusion = self.inclusions;
            let node = self.complete(document.root, &known_as)?;
            self.inclusion = outer;
            self.open.pop();
            // What makes identifiers makes others the next time.
            if self.made == made {
                self.included.insert(known_as, node.clone());
            }
            node
        };
        self.nodes += put_at(&mut node, place);
        Ok(node)
    }

    /// A version 4 UUID that hangs on the run's seed, the inclusion and the place, so that an alias of it is the same one.
    fn uuid(&self, file: &str, place: Place) -> String {
        let half = |salt: u8| {
            let mut hasher = DefaultHasher::new();
            (self.seed, salt, file, place, self.inclusion).hash(&mut hasher);
            hasher.finish()
        };
        let whole = u128::from(half(0)) << 64 | u128::from(half(1));
        let marked = whole & !(0xf << 76) & !(0x3 << 62) | 4 << 76 | 2 << 62;
        let hex = format!("{marked:032x}");
        let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
        format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
    }
}

/// The one document of an include; `None` in the place of an error where there is none.
fn include(text: &str, file: &str) -> Result<yaml::Document, Option<RuleError>> {
    let mut documents = yaml::documents(text, file, Limits::default());
    let document = documents.next().ok_or(None)??;
    match documents.next().transpose()? {
        None => Ok(document),
        Some(second) => {
            let why =
                "an include is one document, and here begins a second; put it in a file of its own";
            Err(Some(Told::new(second.root.place, why).in_file(file)))
        }
    }
}

/// Moves a whole tree to the place that includes it, and counts it: errors are told where one can mend them.
fn put_at(node: &mut Node, place: Place) -> usize {
    node.place = place;
    1 + match &mut node.value {
        yaml::Value::Scalar { .. } => 0,
        yaml::Value::List(items) => items.iter_mut().map(|item| put_at(item, place)).sum(),
        yaml::Value::Map(entries) => {
            let each = entries.iter_mut().map(|(k, v)| put_at(k, place) + put_at(v, place));
            each.sum()
        }
    }
}

/// A document over defaults: what it says itself goes before, mapping by mapping.
pub(super) fn over(defaults: &Node, own: Node) -> Node {
    let Node { value: yaml::Value::Map(base), .. } = defaults else { return own };
    let Node { value: yaml::Value::Map(mut entries), place, tag } = own else { return own };
    for (key, below) in base {
        if key.as_str() == Some("is_defaults") {
            continue;
        }
        match entries.iter_mut().find(|(known, _)| known.as_str() == key.as_str()) {
            Some((_, above)) => {
                let whole = std::mem::replace(above, Node::text(""));
                *above = over(below, whole);
            }
            None => entries.push((key.clone(), below.clone())),
        }
    }
    Node { value: yaml::Value::Map(entries), place, tag }
}

/// Lifts a `response` that stands inside its `request` up to the stage, as prints of test files have it, and
/// warns; where the stage has one too, refuses.
pub(super) fn hoist(root: &mut Node, told: &mut Vec<Told>, warned: &mut Vec<Told>) {
    let yaml::Value::Map(entries) = &mut root.value else { return };
    for (_, list) in entries.iter_mut().filter(|(key, _)| key.as_str() == Some("includes")) {
        let yaml::Value::List(items) = &mut list.value else { continue };
        for item in items.iter_mut().filter(|item| item.key("includes").is_none()) {
            hoist(item, told, warned);
        }
    }
    let lists =
        entries.iter_mut().filter(|(k, _)| matches!(k.as_str(), Some("stages" | "finally")));
    for (_, list) in lists {
        let yaml::Value::List(stages) = &mut list.value else { continue };
        for stage in stages {
            let yaml::Value::Map(stage) = &mut stage.value else { continue };
            let has = stage.iter().any(|(key, _)| key.as_str() == Some("response"));
            let request = stage.iter_mut().find(|(key, _)| key.as_str() == Some("request"));
            let Some((_, Node { value: yaml::Value::Map(request), .. })) = request else {
                continue;
            };
            let Some(at) = request.iter().position(|(key, _)| key.as_str() == Some("response"))
            else {
                continue;
            };
            let place = request.get(at).map(|(key, _)| key.place).unwrap_or_default();
            if has {
                told.push(Told::new(
                    place,
                    "`response` stands in `request` and beside it; keep the one beside it",
                ));
                continue;
            }
            let inner = request.remove(at);
            stage.push(inner);
            warned.push(Told::new(
                place,
                "`response` stands inside `request` and is read as the stage's; indent it as `request` is",
            ));
        }
    }
}
