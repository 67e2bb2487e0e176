//! One record: named values that expire each on its own.

use super::{Change, Variable};
use crate::time::Timestamp;

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Record {
    pub(super) variables: Vec<Slot>,
    pub(super) changed: Timestamp,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Slot {
    pub(super) name: Vec<u8>,
    pub(super) value: Vec<u8>,
    pub(super) expires: Option<Timestamp>,
}

const VARIABLES_PER_RECORD: usize = 64;
const BYTES_PER_VALUE: usize = 4 << 10;

impl Record {
    pub(super) fn alive(&self, now: Timestamp) -> Vec<Variable> {
        let alive = self.variables.iter().filter(|slot| slot.is_alive(now));
        alive.map(|slot| (slot.name.clone(), slot.value.clone())).collect()
    }

    /// The number that a variable is.
    pub(super) fn number(&self, name: &[u8]) -> i64 {
        let found = self.variables.iter().find(|slot| slot.name.eq_ignore_ascii_case(name));
        found.map_or(0, |slot| number(&slot.value))
    }

    /// False when a limit stood against the change.
    pub(super) fn apply(&mut self, name: &[u8], change: Change, now: Timestamp) -> bool {
        self.changed = now;
        self.variables.retain(|slot| slot.is_alive(now));
        let found = self.variables.iter().position(|slot| slot.name.eq_ignore_ascii_case(name));
        let (value, expires) = match change {
            Change::Unset => {
                if let Some(n) = found {
                    self.variables.swap_remove(n);
                }
                return true;
            }
            Change::ExpireAt(at) => {
                if let Some(slot) = found.and_then(|n| self.variables.get_mut(n)) {
                    slot.expires = Some(at);
                }
                return true;
            }
            Change::Set(value) => (value, None),
            Change::Add(delta) => {
                let slot = found.and_then(|n| self.variables.get(n));
                let old = slot.map_or(0, |slot| number(&slot.value));
                let value = old.saturating_add(delta).to_string().into_bytes();
                (value, slot.and_then(|slot| slot.expires))
            }
        };
        if value.len() > BYTES_PER_VALUE {
            return false;
        }
        if let Some(slot) = found.and_then(|n| self.variables.get_mut(n)) {
            slot.value = value;
            slot.expires = expires;
        } else if self.variables.len() < VARIABLES_PER_RECORD {
            self.variables.push(Slot { name: name.to_vec(), value, expires });
        } else {
            return false;
        }
        true
    }
}

impl Slot {
    fn is_alive(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|at| now < at)
    }
}

/// The number that a value is, 0 where it is none.
pub(super) fn number(value: &[u8]) -> i64 {
    std::str::from_utf8(value).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}
