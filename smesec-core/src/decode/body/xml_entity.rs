//! The general entities that a `DOCTYPE` declares, and what they stand for.
//!
//! Parsers expand internal entities, so that an attack may be written in one and only named in the
//! content. Nothing outside of the document is read.
//!
//! Sources: XML 1.0 (fifth edition), sections 4.2 to 4.5.

use super::xml::{XmlFault, character, is_name, is_space};
use memchr::memchr;
use std::collections::HashMap;
use std::rc::Rc;

/// Entities inside of entities. Documents need one or two.
pub(super) const DEPTH: usize = 8;

/// Bytes that the references of one document may stand for together: a bomb of some hundred bytes
/// would otherwise fill the whole limit of a body, and every rule would look at it.
pub(super) const EXPANDED: usize = 1 << 20;

/// What is known of the entities of one document.
#[derive(Debug, Default)]
pub(super) struct Entities {
    declared: HashMap<Box<[u8]>, Option<Rc<[u8]>>>,
    /// An external subset may declare more.
    pub(super) outside: bool,
    /// A parameter entity was used, which may declare anything, and earlier than the document itself.
    pub(super) hidden: bool,
    expanded: usize,
}

impl Entities {
    /// Takes a declaration that begins at `rest`; the first one of a name holds.
    pub(super) fn declare(&mut self, rest: &[u8]) -> Result<(), XmlFault> {
        let Some((name, value)) = general(rest) else { return Ok(()) };
        if !self.declared.contains_key(name) {
            let value = value.map(replacement).transpose()?;
            self.declared.insert(name.into(), value);
        }
        Ok(())
    }

    /// What a reference stands for; `None` where that lies outside of the document.
    pub(super) fn resolve(
        &mut self,
        name: &[u8],
        most: usize,
    ) -> Result<Option<Rc<[u8]>>, XmlFault> {
        if self.hidden {
            return Err(XmlFault::UndeclaredEntity);
        }
        let text = match self.declared.get(name) {
            Some(Some(text)) => Rc::clone(text),
            Some(None) => return Ok(None),
            None if self.outside => return Ok(None),
            None => return Err(XmlFault::UndeclaredEntity),
        };
        self.expanded = self.expanded.saturating_add(text.len());
        if self.expanded > most.min(EXPANDED) {
            return Err(XmlFault::EntityLimit);
        }
        Ok(Some(text))
    }
}

/// The name of a general entity and its literal value, unless it is an external one.
fn general(rest: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let rest = rest.strip_prefix(b"<!ENTITY")?;
    if !rest.first().copied().is_some_and(is_space) {
        return None;
    }
    let rest = rest.trim_ascii_start();
    let width = rest.iter().take_while(|byte| is_name(**byte)).count();
    let (name, rest) = rest.split_at(width);
    if name.is_empty() {
        return None;
    }
    match rest.trim_ascii_start() {
        [quote @ (b'"' | b'\''), tail @ ..] => {
            let value = memchr(*quote, tail).and_then(|end| tail.get(..end))?;
            Some((name, Some(value)))
        }
        _ => Some((name, None)),
    }
}

/// Section 4.5: references to characters are replaced where the entity is declared, all others where
/// it is used. One to a parameter entity may not stand in an internal subset.
fn replacement(value: &[u8]) -> Result<Rc<[u8]>, XmlFault> {
    if memchr(b'%', value).is_some() {
        return Err(XmlFault::InvalidReference);
    }
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((plain, tail)) = memchr(b'&', rest).and_then(|at| rest.split_at_checked(at)) {
        out.extend_from_slice(plain);
        rest = if let Some(number) = tail.strip_prefix(b"&#") {
            let end = memchr(b';', number).ok_or(XmlFault::InvalidReference)?;
            let (number, tail) = number.split_at(end);
            let character = character(number).ok_or(XmlFault::InvalidReference)?;
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            tail.get(1..).unwrap_or_default()
        } else {
            out.push(b'&');
            tail.get(1..).unwrap_or_default()
        };
    }
    out.extend_from_slice(rest);
    Ok(out.into())
}
