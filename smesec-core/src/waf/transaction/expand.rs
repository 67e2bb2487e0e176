//! Macros.

use super::store::{Slice, Store};
use crate::mask;
use crate::waf::compile::program::{Piece, Program, Rule, Text};
use crate::waf::variable::{self, Storage, StorageId};

/// What a piece of a text stands for.
enum Part<'a> {
    Bytes(&'a [u8]),
    Digit(u8),
    Value {
        name: Slice,
        value: Slice,
        storages: &'a [StorageId],
    },
    /// What matched a group of a pattern, or another TX variable.
    Tx {
        value: Slice,
        group: bool,
    },
    Nothing,
}

/// A text with its macros filled in, in the arena.
pub(super) fn expand(store: &mut Store, program: &Program, rule: &Rule, text: &Text) -> Slice {
    // The variable's value is there already.
    if let [Piece::Tx(slot)] = text.0.as_slice() {
        return store.tx(*slot).unwrap_or(Slice::EMPTY);
    }
    let mark = store.mark();
    for piece in &text.0 {
        match part(store, program, rule, piece) {
            Part::Bytes(bytes) => store.append(bytes),
            Part::Digit(digit) => store.append(&[digit]),
            Part::Value { value, .. } | Part::Tx { value, .. } => store.append_slice(value),
            Part::Nothing => {}
        }
    }
    store.since(mark)
}

/// A text with its macros filled in, the secrets in it starred out.
pub(super) fn masked(store: &Store, program: &Program, rule: &Rule, text: &Text) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in &text.0 {
        match part(store, program, rule, piece) {
            Part::Bytes(bytes) => out.extend_from_slice(bytes),
            Part::Digit(digit) => out.push(digit),
            Part::Tx { value, group: true } => push_masked(store, &mut out, Slice::EMPTY, value),
            Part::Tx { value, group: false } => out.extend_from_slice(store.bytes(value)),
            Part::Value { value, storages: [first, ..], .. } if holds_pairs(*first) => {
                let name = variable::NAMES.get(usize::from(*first)).copied().unwrap_or_default();
                out.extend_from_slice(mask::masked(name.as_bytes(), store.bytes(value)).as_bytes());
            }
            Part::Value { name, value, storages } => {
                let matched = storages.first() == Some(&Storage::MatchedVar.id());
                let secret = |s: &StorageId| {
                    let name = variable::NAMES.get(usize::from(*s));
                    name.is_some_and(|name| mask::is_secret_collection(name))
                };
                if matched || storages.iter().any(secret) {
                    push_masked(store, &mut out, name, value);
                } else {
                    out.extend_from_slice(store.bytes(value));
                }
            }
            Part::Nothing => {}
        }
    }
    out
}

/// Whether a variable is a text with the names and values of others in it.
fn holds_pairs(storage: StorageId) -> bool {
    [
        Storage::FullRequest,
        Storage::QueryString,
        Storage::RequestBody,
        Storage::RequestLine,
        Storage::RequestUri,
        Storage::RequestUriRaw,
    ]
    .iter()
    .any(|of_pairs| of_pairs.id() == storage)
}

fn part<'a>(store: &Store, program: &Program, rule: &'a Rule, piece: &'a Piece) -> Part<'a> {
    match piece {
        Piece::Literal(bytes) => Part::Bytes(bytes),
        Piece::Tx(slot) => {
            store.tx(*slot).map_or(Part::Nothing, |value| Part::Tx { value, group: *slot < 10 })
        }
        Piece::Rule(property) => match &**property {
            "id" => Part::Bytes(rule.info.id.as_bytes()),
            "msg" => Part::Bytes(rule.info.name.as_bytes()),
            "severity" => rule.severity.map_or(Part::Nothing, |s| Part::Digit(b'0' + s)),
            _ => Part::Nothing,
        },
        Piece::Member { storages, name } => {
            let found = match name.as_deref() {
                Some(name) if storages.first() == Some(&Storage::Tx.id()) => {
                    store.tx_named(program, name).map(|value| (Slice::EMPTY, value))
                }
                name => storages.iter().find_map(|s| member(store, *s, name)),
            };
            found.map_or(Part::Nothing, |(name, value)| Part::Value { name, value, storages })
        }
    }
}

fn member(store: &Store, storage: StorageId, name: Option<&[u8]>) -> Option<(Slice, Slice)> {
    let mut members = store.members(storage).iter();
    let found = match name {
        Some(name) => members.find(|m| store.bytes(m.name).eq_ignore_ascii_case(name)),
        None => members.next(),
    };
    found.map(|m| (m.name, m.value))
}

/// Appends a value that may be a secret, by the name it was matched under.
fn push_masked(store: &Store, out: &mut Vec<u8>, name: Slice, value: Slice) {
    let matched = store.members(Storage::MatchedVarName.id()).first().map(|m| m.value);
    let under = if name.len() > 0 { name } else { matched.unwrap_or(Slice::EMPTY) };
    out.extend_from_slice(mask::masked(store.bytes(under), store.bytes(value)).as_bytes());
}
