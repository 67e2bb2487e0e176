//! Which rules have to tell what each group of their pattern matched: what nobody reads as `TX.1` to
//! `TX.9` costs a slower search for nothing.

use super::operator::Operator;
use super::program::{Assign, Assignment, Effect, Piece, Place, Rule, Select, Target, Text};
use crate::waf::variable::Storage;

/// Sets [`Rule::groups`]. A chain's own captures serve its own readers; once a chain reads groups that it
/// did not capture, every rule has to tell them.
pub(super) fn resolve(rules: &mut [Rule]) {
    let mut is_link = vec![false; rules.len()];
    for rule in rules.iter() {
        if let Some(place) = rule.chained.and_then(|n| is_link.get_mut(n as usize)) {
            *place = true;
        }
    }
    let mut needed = vec![false; rules.len()];
    for head in (0..rules.len()).filter(|n| is_link.get(*n) == Some(&false)) {
        let (mut capturing, mut read, mut read_first) = (Vec::new(), false, false);
        let mut at = Some(head);
        while let Some((n, rule)) = at.and_then(|n| rules.get(n).map(|rule| (n, rule))) {
            if reads_before(rule) {
                read = true;
                read_first |= capturing.is_empty();
            }
            if rule.capture {
                capturing.push(n);
            }
            if reads_after(rule) {
                read = true;
            }
            at = rule.chained.map(|n| n as usize);
        }
        if read && (read_first || capturing.is_empty()) {
            needed.fill(true);
            break;
        }
        for place in capturing.into_iter().filter(|_| read) {
            if let Some(place) = needed.get_mut(place) {
                *place = true;
            }
        }
    }
    for (rule, groups) in rules.iter_mut().zip(needed) {
        rule.groups = groups;
    }
}

/// What is read before the rule captures.
fn reads_before(rule: &Rule) -> bool {
    let text = match &rule.operator {
        Operator::Contains(text)
        | Operator::ContainsWord(text)
        | Operator::BeginsWith(text)
        | Operator::EndsWith(text)
        | Operator::StrEq(text)
        | Operator::Within(text)
        | Operator::Compare(_, text) => reads(text),
        Operator::RxMacro(pattern) => reads(&pattern.text),
        _ => false,
    };
    text || rule.targets.iter().chain(&rule.excluded).any(reads_target)
}

/// What is read after it captured, be it at the end of the chain.
fn reads_after(rule: &Rule) -> bool {
    let texts = [&rule.message, &rule.logdata, &rule.redirect];
    texts.into_iter().flatten().any(reads) || rule.effects.iter().any(reads_effect)
}

fn reads_target(target: &Target) -> bool {
    target.storages.contains(&Storage::Tx.id())
        && match &target.select {
            Select::Tx(slot) => (1..10).contains(slot),
            Select::Pattern(pattern) => (b'1'..=b'9').any(|digit| pattern.is_match(&[digit])),
            Select::All => true,
            Select::Name(_) => false,
        }
}

fn reads(text: &Text) -> bool {
    text.0.iter().any(|piece| match piece {
        Piece::Tx(slot) => (1..10).contains(slot),
        Piece::Member { storages, .. } => storages.contains(&Storage::Tx.id()),
        Piece::Literal(_) | Piece::Rule(_) => false,
    })
}

fn reads_effect(effect: &Effect) -> bool {
    match effect {
        Effect::Assign(Assignment { place, change }) => {
            let place = match place {
                // `setvar:tx.1=+1` reads what it changes.
                Place::Tx(slot) => (1..10).contains(slot),
                Place::TxNamed(text) | Place::Member(_, text) => reads(text),
            };
            place
                || match change {
                    Assign::Set(text) | Assign::Add(text) | Assign::Subtract(text) => reads(text),
                    Assign::Unset => false,
                }
        }
        Effect::Expire { name, seconds, .. } => reads(name) || reads(seconds),
        Effect::InitCollection { key, .. } | Effect::SetIdentity { key, .. } => reads(key),
        Effect::SetEnv { value, .. } => reads(value),
        _ => false,
    }
}
