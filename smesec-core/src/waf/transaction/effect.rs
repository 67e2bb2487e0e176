//! What a matching rule does to the transaction.

use super::State;
use super::store::Slice;
use crate::collection::{Change, CollectionStore};
use crate::waf::checks;
use crate::waf::compile::program::{
    Assign, Assignment, Effect, Engine, Place, Processor, Program, Rule,
};
use crate::waf::variable::{Storage, StorageId};
use std::sync::Arc;

impl State {
    pub(super) fn effect(&mut self, program: &Program, rule: &Rule, effect: &Effect) {
        match effect {
            Effect::Assign(assignment) => self.assign(program, rule, assignment),
            Effect::Expire { storage, name, seconds } => {
                let name = self.expanded(program, rule, name);
                let seconds = self.number_of(program, rule, seconds);
                let at = self.now.plus_seconds(seconds);
                self.persist(*storage, &name, Change::ExpireAt(at));
            }
            Effect::InitCollection { storage, key } => {
                let key = self.expanded(program, rule, key);
                self.open_collection(*storage, key);
            }
            Effect::SetIdentity { storage, collection, key } => {
                let value = self.expand(program, rule, key);
                let key = self.store.bytes(value).to_vec();
                for scalar in [Storage::SessionId, Storage::UserId, Storage::WebappId] {
                    if scalar.id() == *storage {
                        self.store.set_slice(scalar, value);
                    }
                }
                self.open_collection(*collection, key);
            }
            Effect::SetEnv { name, value } => {
                let value = self.expand(program, rule, value);
                let name = self.store.put(name);
                self.store.assign(Storage::Env.id(), name, Some(value));
            }
            Effect::EngineOff => self.engine = Engine::Off,
            Effect::EngineDetect => self.engine = self.engine_at_most(Engine::Detect),
            Effect::EngineOn => self.engine = self.engine_at_most(Engine::On),
            Effect::BodyProcessor(processor) => self.set_processor(*processor),
            Effect::ForceBodyVariable(on) => self.force_body = *on,
            Effect::RequestBodyAccess(on) => self.request_body_on = *on,
            Effect::ResponseBodyAccess(on) => self.response_body_on = *on,
            Effect::RequestBodyLimit(limit) => self.request_limit = *limit,
            Effect::ResponseBodyLimit(limit) => self.response_limit = *limit,
            Effect::AuditEngine(on) => self.audit = *on,
            Effect::XmlIntoArgs(on) => self.xml_into_args = *on,
            Effect::RemoveRules(rules) => self.removed_rules.push(Arc::clone(rules)),
            Effect::RemoveTargets(rules, targets) => {
                self.removed_targets.push((Arc::clone(rules), Arc::clone(targets)));
            }
        }
    }

    pub(super) fn set_processor(&mut self, processor: Processor) {
        self.processor = processor;
        self.store.set(Storage::ReqbodyProcessor, processor.name().as_bytes());
    }

    fn assign(&mut self, program: &Program, rule: &Rule, assignment: &Assignment) {
        match &assignment.place {
            Place::Tx(slot) => {
                let old = self.store.tx(*slot);
                let value = self.changed(program, rule, &assignment.change, old);
                self.store.set_tx(*slot, value);
            }
            Place::TxNamed(name) => {
                let name = self.expand(program, rule, name);
                let old = match &assignment.change {
                    Assign::Set(_) | Assign::Unset => None,
                    Assign::Add(_) | Assign::Subtract(_) => {
                        let lower = self.store.lower(name);
                        self.store.tx_named(program, self.store.bytes(lower))
                    }
                };
                let value = self.changed(program, rule, &assignment.change, old);
                self.store.set_tx_named(program, name, value);
            }
            Place::Member(storage, name) => {
                let text = self.expand(program, rule, name);
                let name = self.store.bytes(text).to_vec();
                let old = self.store.named(*storage, &name);
                let mut value = self.changed(program, rule, &assignment.change, old);
                let delta = match &assignment.change {
                    Assign::Add(text) => Some(self.number_of(program, rule, text)),
                    Assign::Subtract(text) => {
                        Some(self.number_of(program, rule, text).saturating_neg())
                    }
                    Assign::Set(_) | Assign::Unset => None,
                };
                match (delta, value) {
                    // What the record is now, with what other transactions added since it was loaded.
                    (Some(delta), _) => {
                        if let Some(sum) = self.persist_sum(*storage, &name, delta) {
                            let mark = self.store.mark();
                            self.store.append_number(sum);
                            value = Some(self.store.since(mark));
                        }
                    }
                    (None, Some(value)) => {
                        let value = self.store.bytes(value).to_vec();
                        self.persist(*storage, &name, Change::Set(value));
                    }
                    (None, None) => self.persist(*storage, &name, Change::Unset),
                }
                self.store.assign(*storage, text, value);
            }
        }
    }

    fn changed(
        &mut self,
        program: &Program,
        rule: &Rule,
        change: &Assign,
        old: Option<Slice>,
    ) -> Option<Slice> {
        let (amount, sign) = match change {
            Assign::Unset => return None,
            Assign::Set(text) => {
                return Some(self.expand(program, rule, text));
            }
            Assign::Add(text) => (self.number_of(program, rule, text), 1i64),
            Assign::Subtract(text) => (self.number_of(program, rule, text), -1),
        };
        let old = old.map_or(0, |value| checks::number(self.store.bytes(value)));
        let mark = self.store.mark();
        self.store.append_number(old.saturating_add(amount.saturating_mul(sign)));
        Some(self.store.since(mark))
    }

    /// Loads a persistent collection's record.
    fn open_collection(&mut self, storage: StorageId, key: Vec<u8>) {
        let Some(name) = Storage::persistent(storage) else { return };
        self.store.clear(storage);
        if let Some(store) = &self.collections {
            for (name, value) in store.load(name, &key, self.now) {
                let (name, value) = (self.store.put(&name), self.store.put(&value));
                self.store.add(storage, name, value);
            }
        }
        self.keys.retain(|(known, _)| *known != storage);
        self.keys.push((storage, key));
    }

    /// A record's place in the host's store, if it was opened.
    fn place_of(
        &self,
        storage: StorageId,
    ) -> Option<(&Arc<dyn CollectionStore>, &'static str, &[u8])> {
        let collection = Storage::persistent(storage)?;
        let key = self.keys.iter().find(|(known, _)| *known == storage).map(|(_, key)| key)?;
        Some((self.collections.as_ref()?, collection, key))
    }

    /// Adds in the host's store; the sum there.
    fn persist_sum(&mut self, storage: StorageId, name: &[u8], delta: i64) -> Option<i64> {
        let (store, collection, key) = self.place_of(storage)?;
        let sum = store.add(collection, key, name, delta, self.now);
        self.refused_changes += u32::from(sum.is_none());
        sum
    }

    fn persist(&mut self, storage: StorageId, name: &[u8], change: Change) {
        let Some((store, collection, key)) = self.place_of(storage) else { return };
        let done = store.apply(collection, key, name, change, self.now);
        self.refused_changes += u32::from(!done);
    }
}
