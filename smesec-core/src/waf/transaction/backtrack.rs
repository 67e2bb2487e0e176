//! Patterns beyond linear time: their searches cost budget, and one that is cut short is a limit.

use super::State;
use super::store::Slice;
use crate::waf::compile::backtrack::{Backtrack, Spans};
use crate::waf::compile::program::{Program, Rule};
use crate::waf::variable::Storage;

impl State {
    /// Where the pattern matches the value.
    pub(super) fn backtrack(
        &mut self,
        program: &Program,
        rule: &Rule,
        pattern: &Backtrack,
        value: Slice,
    ) -> Option<Spans> {
        if let Ok(found) = pattern.search(self.store.bytes(value), rule.capture) {
            return found;
        }
        // Many long searches take the whole budget.
        self.spend(u64::try_from(pattern.limit()).unwrap_or(u64::MAX));
        if let Ok(found) = pattern.search_on(self.store.bytes(value), rule.capture) {
            return found;
        }
        self.gave_up = true;
        if self.store.scalar(Storage::MscPcreLimitsExceeded) != b"1" {
            self.store.set(Storage::MscPcreLimitsExceeded, b"1");
            self.store.set(Storage::MscPcreError, b"1");
            // ModSecurity 2 tells it here, and its recommended rules look at `TX:/^MSC_/`.
            let (name, one) = (self.store.put(b"MSC_PCRE_LIMITS_EXCEEDED"), self.store.put(b"1"));
            self.store.set_tx_named(program, name, Some(one));
            let why = format!(
                "the pattern of rule `{}` took more backtracks than the limit allows; simplify it or raise `backtrack_limit`",
                rule.id
            );
            self.limit(&why, 403, self.on_limit);
            self.halted = self.verdict.is_decisive();
        }
        None
    }
}
