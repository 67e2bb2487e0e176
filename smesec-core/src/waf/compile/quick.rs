//! Rules that only compare a TX variable with a number, and what rules read of earlier matches.

use super::operator::Operator;
use super::program::{
    Assign, Assignment, Disruption, Effect, Piece, Place, Quick, Rule, Select, Target, Text,
};
use crate::waf::checks;
use crate::waf::variable::{Storage, StorageId};

/// The comparison that a rule is, if it is no more.
pub(super) fn quick(rule: &Rule) -> Option<Quick> {
    let Operator::Compare(comparison, number) = &rule.operator else { return None };
    let [Target { select: Select::Tx(slot), count, storages, .. }] = rule.targets.as_slice() else {
        return None;
    };
    if **storages != [Storage::Tx.id()] || !rule.excluded.is_empty() || *rule.nodes != [0] {
        return None;
    }
    let silent = !count
        && rule.chained.is_none()
        && !rule.capture
        && !rule.logs
        && !rule.audits
        && rule.severity.is_none()
        && rule.effects.is_empty()
        && rule.disruption == Disruption::Pass;
    Some(Quick {
        slot: *slot,
        count: *count,
        comparison: *comparison,
        number: checks::number(number.literal()?),
        negated: rule.negated,
        silent,
        jump: rule.jump,
    })
}

/// Whether a link may read `MATCHED_VAR` and its like before it sets them itself.
pub(super) fn reads_matched(rule: &Rule) -> bool {
    let texts = [&rule.message, &rule.logdata, &rule.redirect];
    let mut texts = texts.into_iter().flatten();
    // Without targets nothing is set before the texts are filled in, and masks look at the name.
    if rule.targets.is_empty() && texts.clone().any(|text| text.literal().is_none()) {
        return true;
    }
    rule.targets.iter().chain(&rule.excluded).any(|t| t.storages.iter().any(|s| is_matched(*s)))
        || texts.any(reads)
        || operator_reads(&rule.operator)
        || rule.effects.iter().any(effect_reads)
}

fn is_matched(storage: StorageId) -> bool {
    (Storage::MatchedVar.id()..=Storage::MatchedVarsNames.id()).contains(&storage)
}

fn reads(text: &Text) -> bool {
    text.0.iter().any(|piece| match piece {
        Piece::Literal(_) | Piece::Tx(_) | Piece::Rule(_) => false,
        Piece::Member { storages, .. } => storages.iter().any(|s| is_matched(*s)),
    })
}

fn operator_reads(operator: &Operator) -> bool {
    match operator {
        Operator::Rx(_)
        | Operator::Everything
        | Operator::Pm(_)
        | Operator::DetectSqli
        | Operator::DetectXss => false,
        Operator::Compare(_, text)
        | Operator::Contains(text)
        | Operator::StrEq(text)
        | Operator::Within(text)
        | Operator::BeginsWith(text)
        | Operator::EndsWith(text) => reads(text),
        Operator::ByteRange(_) | Operator::Always | Operator::IpMatch(_) => false,
        _ => true,
    }
}

fn effect_reads(effect: &Effect) -> bool {
    match effect {
        Effect::Assign(Assignment { place, change }) => {
            let place = match place {
                Place::Tx(_) => false,
                Place::TxNamed(text) | Place::Member(_, text) => reads(text),
            };
            place
                || match change {
                    Assign::Set(text) | Assign::Add(text) | Assign::Subtract(text) => reads(text),
                    Assign::Unset => false,
                }
        }
        Effect::EngineOff
        | Effect::BodyProcessor(_)
        | Effect::ForceBodyVariable(_)
        | Effect::AuditEngine(_)
        | Effect::RemoveRules(_)
        | Effect::RemoveTargets(..) => false,
        _ => true,
    }
}
