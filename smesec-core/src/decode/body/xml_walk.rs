//! The elements of a document one after another, for readers of configuration.

use super::xml::{Kind, XmlDocument};

/// An element and how deep it stands.
#[derive(Clone, Copy, Debug)]
pub struct Element<'d> {
    document: &'d XmlDocument,
    at: usize,
    /// The root element has depth 0.
    pub depth: usize,
}

impl XmlDocument {
    /// All elements in document order, each before what it holds.
    ///
    /// ```
    /// use smesec_core::decode::body::xml::{XmlDocument, XmlLimits};
    /// let document = XmlDocument::parse(b"<a><b c='1'/><b/></a>", XmlLimits::default())?;
    /// let seen: Vec<_> = document.elements().map(|e| (e.name(), e.depth, e.attribute("c"))).collect();
    /// assert_eq!(seen, [("a", 0, None), ("b", 1, Some("1")), ("b", 1, None)]);
    /// # Ok::<(), smesec_core::decode::body::xml::XmlError>(())
    /// ```
    pub fn elements(&self) -> impl Iterator<Item = Element<'_>> {
        let mut open: Vec<usize> = Vec::new();
        self.nodes.iter().enumerate().filter_map(move |(at, node)| {
            while open.last().is_some_and(|end| *end <= at) {
                open.pop();
            }
            if node.kind != Kind::Element {
                return None;
            }
            let depth = open.len();
            open.push(node.end);
            Some(Element { document: self, at, depth })
        })
    }
}

#[cfg(feature = "waf")]
impl XmlDocument {
    /// Attributes and texts, each with the path of its element such as `xml.order.item`, under which rules
    /// on arguments see them.
    pub(crate) fn leaves(&self, each: &mut dyn FnMut(&[u8], &[u8])) {
        let mut path = b"xml".to_vec();
        // The end of each open element, and the length of the path without it.
        let mut open: Vec<(usize, usize)> = Vec::new();
        for (at, node) in self.nodes.iter().enumerate() {
            while let Some((_, length)) = open.pop_if(|(end, _)| *end <= at) {
                path.truncate(length);
            }
            match node.kind {
                Kind::Root => continue,
                Kind::Text => {
                    each(&path, self.text(&node.text));
                    continue;
                }
                Kind::Element => {}
            }
            open.push((node.end, path.len()));
            path.push(b'.');
            path.extend_from_slice(self.string(&node.name));
            for attribute in self.attributes.get(node.attributes.clone()).unwrap_or_default() {
                let length = path.len();
                path.push(b'.');
                path.extend_from_slice(self.string(&attribute.name));
                each(&path, self.string(&attribute.value));
                path.truncate(length);
            }
        }
    }
}

impl<'d> Element<'d> {
    /// The name without its prefix; empty where it is not UTF-8.
    pub fn name(&self) -> &'d str {
        let node = self.document.nodes.get(self.at);
        node.and_then(|node| std::str::from_utf8(self.document.string(&node.name)).ok())
            .unwrap_or_default()
    }

    /// The value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&'d str> {
        self.attributes().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// All attributes with their values.
    pub fn attributes(&self) -> impl Iterator<Item = (&'d str, &'d str)> {
        let document = self.document;
        let range = document.nodes.get(self.at).map(|node| node.attributes.clone());
        let attributes = range.and_then(|range| document.attributes.get(range)).unwrap_or_default();
        attributes.iter().filter_map(|attribute| {
            let text = |range| std::str::from_utf8(document.string(range)).ok();
            Some((text(&attribute.name)?, text(&attribute.value)?))
        })
    }
}
