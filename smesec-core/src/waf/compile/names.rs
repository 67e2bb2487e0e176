//! Variables, selectors and macros resolved to storages and slots.

use super::pattern::Pattern;
use super::program::{Piece, Select, Target, Text, TxIndex, TxSlot};
use crate::decode::body::xpath::XPath;
use crate::waf::seclang::{Part, Selector, TargetSyntax, Template};
use crate::waf::variable::{self, Storage, StorageId};
use std::collections::HashMap;
use std::sync::Arc;

/// Interned names. The slots 0 to 9 are `TX.0` to `TX.9`, where captures go.
pub(super) struct Names {
    pub(super) tx: Vec<Box<[u8]>>,
    pub(super) tx_index: TxIndex,
    pub(super) xpaths: Vec<(StorageId, bool, XPath)>,
    xpath_index: HashMap<String, StorageId>,
    patterns: HashMap<String, Arc<Pattern>>,
    /// Whether a rule reads the request as one text, which is put together for it only.
    pub(super) full_request: bool,
    pub(super) file_contents: bool,
}

impl Default for Names {
    fn default() -> Self {
        let mut names = Self {
            tx: Vec::new(),
            tx_index: TxIndex::default(),
            xpaths: Vec::new(),
            xpath_index: HashMap::new(),
            patterns: HashMap::new(),
            full_request: false,
            file_contents: false,
        };
        for digit in 0..10 {
            names.tx_slot(&digit.to_string());
        }
        names
    }
}

impl Names {
    /// How many storages a transaction has.
    pub(super) fn storages(&self) -> usize {
        variable::COUNT + self.xpaths.len()
    }

    /// The slot of a TX name, in any case.
    pub(super) fn tx_slot(&mut self, name: &str) -> TxSlot {
        let name: Box<[u8]> = name.to_ascii_lowercase().into_bytes().into();
        if let Some(slot) = self.tx_index.get(&name) {
            return *slot;
        }
        let slot = TxSlot::try_from(self.tx.len()).unwrap_or(TxSlot::MAX);
        self.tx.push(name.clone());
        self.tx_index.insert(name, slot);
        slot
    }

    pub(super) fn target(&mut self, syntax: &TargetSyntax) -> Result<Target, String> {
        self.target_in(syntax, &[])
    }

    /// A target in whose XPath the given prefixes stand for namespaces.
    pub(super) fn target_in(
        &mut self,
        syntax: &TargetSyntax,
        namespaces: &[(&str, &str)],
    ) -> Result<Target, String> {
        let name = syntax.collection.as_str();
        let label: Box<str> = name.into();
        if matches!(name, "XML" | "REQUEST_XML" | "RESPONSE_XML") {
            return self.xml_target(syntax, label, namespaces);
        }
        let mut storages = self.resolve(name)?;
        if syntax.count && name == "ARGS" {
            // Decoded views are no arguments that a client sent.
            storages = storages.into_iter().filter(|s| *s != Storage::ArgsDecoded.id()).collect();
        }
        let is_tx = storages.first() == Some(&Storage::Tx.id());
        let select = match &syntax.selector {
            None => Select::All,
            Some(Selector::Name(name)) if is_tx => Select::Tx(self.tx_slot(name)),
            Some(Selector::Name(name)) => {
                Select::Name(name.to_ascii_lowercase().into_bytes().into())
            }
            Some(Selector::Regex(text) | Selector::XPath(text)) => {
                Select::Pattern(self.pattern(text)?)
            }
        };
        Ok(Target { storages, select, count: syntax.count, label, slots: Box::default() })
    }

    /// The names of TX in the rules that a target selects by a pattern, or all.
    pub(super) fn slots(&self, target: &Target) -> Box<[TxSlot]> {
        if !target.storages.contains(&Storage::Tx.id()) {
            return Box::default();
        }
        let selects = |name: &[u8]| match &target.select {
            Select::All => true,
            Select::Pattern(pattern) => pattern.is_match(name),
            Select::Name(_) | Select::Tx(_) => false,
        };
        (0..).zip(&self.tx).filter(|(_, name)| selects(name)).map(|(slot, _)| slot).collect()
    }

    fn resolve(&mut self, name: &str) -> Result<Box<[StorageId]>, String> {
        if let Some(storages) = variable::resolve(name) {
            self.full_request |= name.starts_with("FULL_REQUEST");
            self.file_contents |= storages.contains(&Storage::FilesTmpContent);
            return Ok(storages.iter().map(|s| s.id()).collect());
        }
        Err(variable::why_unknown(name))
    }

    fn pattern(&mut self, text: &str) -> Result<Arc<Pattern>, String> {
        if let Some(known) = self.patterns.get(text) {
            return Ok(Arc::clone(known));
        }
        // Selectors compare names, and names are compared without case.
        let pattern = Arc::new(Pattern::new(text, true)?);
        self.patterns.insert(text.to_owned(), Arc::clone(&pattern));
        Ok(pattern)
    }

    /// Each XPath expression is a storage of its own, filled when the body has been parsed.
    fn xml_target(
        &mut self,
        syntax: &TargetSyntax,
        label: Box<str>,
        namespaces: &[(&str, &str)],
    ) -> Result<Target, String> {
        let path = match &syntax.selector {
            None => "/*",
            Some(Selector::XPath(text) | Selector::Name(text) | Selector::Regex(text)) => text,
        };
        let response = syntax.collection == "RESPONSE_XML";
        let of = if response { "response:" } else { "" };
        let key = format!("{of}{path}{namespaces:?}");
        let storage = if let Some(known) = self.xpath_index.get(&key) {
            *known
        } else {
            let xpath = XPath::compile_with(path, namespaces).map_err(|e| e.to_string())?;
            let id = StorageId::try_from(self.storages())
                .map_err(|_| "too many XPath expressions".to_owned())?;
            self.xpaths.push((id, response, xpath));
            self.xpath_index.insert(key, id);
            id
        };
        Ok(Target {
            storages: Box::new([storage]),
            select: Select::All,
            count: syntax.count,
            label,
            slots: Box::default(),
        })
    }

    /// A text with its macros resolved.
    pub(super) fn text(&mut self, text: &str) -> Result<Text, String> {
        let template = Template::parse(text);
        self.template(&template)
    }

    pub(super) fn template(&mut self, template: &Template) -> Result<Text, String> {
        let mut pieces = Vec::new();
        for part in &template.parts {
            pieces.push(match part {
                Part::Text(text) => Piece::Literal(text.as_bytes().into()),
                Part::Variable { collection, selector } => match (collection.as_str(), selector) {
                    ("TX", Some(name)) => Piece::Tx(self.tx_slot(name)),
                    ("RULE", Some(name)) => Piece::Rule(name.to_ascii_lowercase().into()),
                    (name, selector) => {
                        let name_of =
                            selector.as_ref().map(|s| s.to_ascii_lowercase().into_bytes().into());
                        Piece::Member { storages: self.resolve(name)?, name: name_of }
                    }
                },
            });
        }
        Ok(Text(pieces))
    }
}
