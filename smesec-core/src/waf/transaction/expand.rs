//! Macros.

use super::store::{Slice, Store};
use crate::mask;
use crate::waf::compile::program::{Piece, Program, Rule, Text};
use crate::waf::variable::{self, Storage, StorageId};

/// A text with its macros filled in; with `masked` the secrets in it are starred out.
pub(super) fn expand(
    store: &mut Store,
    program: &Program,
    rule: &Rule,
    text: &Text,
    masked: bool,
) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in &text.0 {
        match piece {
            Piece::Literal(bytes) => out.extend_from_slice(bytes),
            Piece::Tx(slot) => {
                if let Some(value) = store.tx(*slot) {
                    push(store, &mut out, Slice::EMPTY, value, masked && *slot < 10);
                }
            }
            Piece::Rule(property) => match &**property {
                "id" => out.extend_from_slice(rule.info.id.as_bytes()),
                "msg" => out.extend_from_slice(rule.info.name.as_bytes()),
                "severity" => out.extend(rule.severity.map(|s| b'0' + s)),
                _ => {}
            },
            Piece::Member { storages, name } => {
                let tx = storages.first() == Some(&Storage::Tx.id());
                let found = match name {
                    Some(name) if tx => {
                        store.tx_named(program, name).map(|value| (Slice::EMPTY, value))
                    }
                    Some(name) => storages.iter().find_map(|s| member(store, *s, Some(name))),
                    None => storages.iter().find_map(|s| member(store, *s, None)),
                };
                if let Some((name, value)) = found {
                    let matched = storages.first() == Some(&Storage::MatchedVar.id());
                    let secret = matched
                        || storages.iter().any(|s| {
                            variable::NAMES
                                .get(usize::from(*s))
                                .is_some_and(|n| mask::is_secret_collection(n))
                        });
                    if masked && storages.first() == Some(&Storage::FullRequest.id()) {
                        let shown = mask::masked(b"FULL_REQUEST", store.bytes(value));
                        out.extend_from_slice(shown.as_bytes());
                        continue;
                    }
                    push(store, &mut out, name, value, masked && secret);
                }
            }
        }
    }
    out
}

fn member(store: &Store, storage: StorageId, name: Option<&[u8]>) -> Option<(Slice, Slice)> {
    let mut members = store.members(storage).iter();
    let found = match name {
        Some(name) => members.find(|m| store.bytes(m.name).eq_ignore_ascii_case(name)),
        None => members.next(),
    };
    found.map(|m| (m.name, m.value))
}

/// Appends a value; where it may be a secret, by the name it was matched under.
fn push(store: &Store, out: &mut Vec<u8>, name: Slice, value: Slice, masked: bool) {
    let bytes = store.bytes(value);
    if masked {
        let matched = store.members(Storage::MatchedVarName.id()).first().map(|m| m.value);
        let under = if name.len() > 0 { name } else { matched.unwrap_or(Slice::EMPTY) };
        out.extend_from_slice(mask::masked(store.bytes(under), bytes).as_bytes());
    } else {
        out.extend_from_slice(bytes);
    }
}
