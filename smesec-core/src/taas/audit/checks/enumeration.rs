//! Whether a stranger can tell which users exist: by status, by text, by time.

use super::super::description::User;
use super::super::rank::{self, FALSE_ALARM, QUICKEST_OF, Timing};
use super::super::request::Fill;
use super::super::verify::placeholders;
use super::super::wire::{Sound, Stop, Trail};
use super::super::work::{Judged, Outcome, Proof, WRONG, Work, replace, with_password};
use crate::runner::Response;
use std::time::Duration;

/// Pairs that statuses and texts are compared over.
const PAIRS: u32 = 3;
/// Differences below this many milliseconds cannot be told over a network with less than
/// thousands of tries.
const FLOOR: f64 = 0.3;
/// Pairs that come before the first that counts: the connection, caches, just-in-time compilers.
const WARM_UP: usize = 3;

/// The sign-in of somebody who does not exist, of the same shape as `like`'s.
pub(super) fn unknown_user(work: &Work<'_>, like: &User, n: u32) -> Fill {
    let mut fill = with_password(like, WRONG);
    let asked = work.description.sign_in.as_ref().map(|s| placeholders(&s.request));
    for name in asked.unwrap_or_default().iter().filter(|name| *name != "password") {
        let known = if name == "user" { like.id.as_str() } else { like.field(name) };
        let unknown = match known.split_once('@') {
            Some((_, domain)) => format!("smesec-nobody-{n:05}@{domain}"),
            None => format!("smesec-nobody-{n:05}"),
        };
        replace(&mut fill, name, unknown.into());
    }
    fill
}

/// One wrong sign-in of a known and of an unknown user each, and a right one that sets the known
/// user's count of wrong ones back, so that nobody is locked out.
struct Pair {
    known: Response,
    unknown: Response,
    /// Milliseconds.
    known_took: f64,
    unknown_took: f64,
    trail: Trail,
}

fn pair(work: &mut Work<'_>, user: &User, n: u32) -> Result<Pair, Stop> {
    let mut trail = Trail::new();
    let known = with_password(user, WRONG);
    let unknown = unknown_user(work, user, n);
    let (mut first, mut second) = ((true, known), (false, unknown));
    // Whoever comes first alternates, so that coming first or second makes no difference.
    if n % 2 == 1 {
        std::mem::swap(&mut first, &mut second);
    }
    let mut answers = [None, None];
    for (is_known, fill) in [first, second] {
        let (who, purpose) = if is_known {
            (user.id.as_str(), "a wrong password for a user who exists")
        } else {
            ("nobody", "a wrong password for a user who does not exist")
        };
        let attempt = work.attempt(who, &fill, &[], purpose, Sound::Refuse, &mut trail)?;
        let elapsed = trail.last().and_then(|step| step.exchanges.last()).map(|e| e.elapsed);
        if matches!(attempt.response.status, 423 | 429 | 503) {
            return Err(Stop::Skip(format!(
                "the target answers {} to so many wrong sign-ins, so it cannot be told from them",
                attempt.response.status
            )));
        }
        let [a, b] = &mut answers;
        *(if is_known { a } else { b }) = Some((attempt.response, elapsed.unwrap_or_default()));
    }
    work.fresh(user, &[], &mut Trail::new())?;
    let [Some((known, known_took)), Some((unknown, unknown_took))] = answers else {
        return Err(Stop::Refuse("a sign-in had no answer".to_owned()));
    };
    let millis = |took: Duration| took.as_secs_f64() * 1e3;
    let (known_took, unknown_took) = (millis(known_took), millis(unknown_took));
    Ok(Pair { known, unknown, known_took, unknown_took, trail })
}

pub(in super::super) fn status(work: &mut Work<'_>) -> Outcome {
    let (user, pairs) = few(work)?;
    let of = |take: fn(&Pair) -> u16| pairs.iter().map(take).collect::<Vec<_>>();
    let (known, unknown) = (of(|p| p.known.status), of(|p| p.unknown.status));
    let steady = |all: &[u16]| all.iter().all(|status| Some(status) == all.first());
    if !steady(&known) || !steady(&unknown) {
        return Err(Stop::Refuse(format!(
            "the statuses vary by themselves: {known:?}, {unknown:?}"
        )));
    }
    let Some(last) = pairs.into_iter().next_back() else { return Ok(Judged::default()) };
    if last.known.status == last.unknown.status {
        return Ok(Judged::default());
    }
    let evidence = format!(
        "{} for a user who exists, {} for one who does not, {PAIRS} times of {PAIRS}",
        last.known.status, last.unknown.status
    );
    Ok(Judged::from_proof(Some(Proof::new(
        format!("sign-in of {}", user.id),
        evidence,
        last.trail,
    ))))
}

pub(in super::super) fn message(work: &mut Work<'_>) -> Outcome {
    let (user, pairs) = few(work)?;
    let mut known = Vec::new();
    let mut unknown = Vec::new();
    for (n, pair) in pairs.iter().enumerate() {
        let n = u32::try_from(n).unwrap_or_default();
        known.push(said(&pair.known, &with_password(user, WRONG)));
        unknown.push(said(&pair.unknown, &unknown_user(work, user, n)));
    }
    let steady = |all: &[String]| all.iter().all(|text| Some(text) == all.first());
    if !steady(&known) || !steady(&unknown) {
        // Where a redirect leads may hold what is made anew each time; the text counts then.
        let body = |text: &String| text.split(LEADS_TO).next().unwrap_or_default().to_owned();
        known = known.iter().map(body).collect();
        unknown = unknown.iter().map(body).collect();
    }
    if !steady(&known) || !steady(&unknown) {
        return Err(Stop::Refuse(
            "the answers vary by themselves, so that no difference can be told".to_owned(),
        ));
    }
    let Some(last) = pairs.into_iter().next_back() else { return Ok(Judged::default()) };
    let (Some(known), Some(unknown)) = (known.pop(), unknown.pop()) else {
        return Ok(Judged::default());
    };
    if known == unknown {
        return Ok(Judged::default());
    }
    // The end is kept: that is where an answer leads.
    let short = |text: &str| {
        let (head, tail) = text.split_once(LEADS_TO).map_or((text, None), |(h, t)| (h, Some(t)));
        let cut = |text: &str| text.chars().take(80).collect::<String>();
        tail.map_or_else(|| cut(head), |tail| format!("{}{LEADS_TO}{}", cut(head), cut(tail)))
    };
    let evidence = format!(
        "`{}` for a user who exists, `{}` for one who does not",
        short(&known),
        short(&unknown)
    );
    Ok(Judged::from_proof(Some(Proof::new(
        format!("sign-in of {}", user.id),
        evidence,
        last.trail,
    ))))
}

/// Between a text and where the answer leads.
const LEADS_TO: &str = " -> ";

/// What an answer says: its text, and where it leads.
fn said(response: &Response, fill: &Fill) -> String {
    let mut text = shape(&response.body, fill).replace(LEADS_TO, " - ");
    if let Some(location) = response.header("location") {
        let mut plain = Vec::new();
        crate::decode::body::form::url_decode(location, &mut plain);
        text.push_str(LEADS_TO);
        text.push_str(&shape(&plain, fill));
    }
    text
}

/// A text without what differs from answer to answer: the name, numbers, identities.
fn shape(body: &[u8], fill: &Fill) -> String {
    let mut text = String::from_utf8_lossy(body).into_owned();
    for (_, value) in fill {
        if let Some(value) = value.as_str().filter(|value| value.len() > 2) {
            text = text.replace(value, "{}");
        }
    }
    let mut out = String::with_capacity(text.len());
    for word in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let bare = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let numeric = bare.bytes().any(|b| b.is_ascii_digit());
        let varies = numeric && (bare.len() >= 16 || bare.bytes().all(|b| b.is_ascii_hexdigit()));
        if varies {
            out.push('#');
            out.push_str(word.strip_prefix(bare).unwrap_or_default());
        } else {
            out.push_str(word);
        }
    }
    out
}

fn few<'a>(work: &mut Work<'a>) -> Result<(&'a User, Vec<Pair>), Stop> {
    let user = work.first_user()?;
    work.refuses_wrong_password(user, &mut Trail::new())?;
    work.fresh(user, &[], &mut Trail::new())?;
    let pairs = (0..PAIRS).map(|n| pair(work, user, n)).collect::<Result<_, _>>()?;
    Ok((user, pairs))
}

pub(in super::super) fn timing(work: &mut Work<'_>) -> Outcome {
    let user = work.first_user()?;
    work.refuses_wrong_password(user, &mut Trail::new())?;
    work.fresh(user, &[], &mut Trail::new())?;
    let mut n = 100;
    let mut trail = Trail::new();
    let mut cold = WARM_UP;
    let pairs = usize::try_from(work.description.brute.pairs).unwrap_or(usize::MAX);
    let sample = |count: usize| {
        let mut differences = Vec::with_capacity(count);
        while cold > 0 {
            pair(work, user, n)?;
            n += 1;
            cold -= 1;
        }
        for _ in 0..count {
            let (mut known, mut unknown) = (f64::INFINITY, f64::INFINITY);
            for _ in 0..QUICKEST_OF {
                let pair = pair(work, user, n)?;
                n += 1;
                known = known.min(pair.known_took);
                unknown = unknown.min(pair.unknown_took);
                trail = pair.trail;
            }
            differences.push(known - unknown);
        }
        Ok(differences)
    };
    let told = rank::test(pairs, FLOOR, sample)?;
    Ok(match told {
        Timing::Differs { first, again, pairs } => {
            let slower = if first.median > 0.0 { "exists" } else { "does not exist" };
            let evidence = format!(
                "the answer for a user who {slower} takes {:.2} ms longer (median over {pairs} pairs, each the quickest of {QUICKEST_OF}; \
                 p = {:.2e}, found again with p = {:.2e}; confidence {:.3} %)",
                first.median.abs(),
                first.p,
                again.p,
                (1.0 - first.p.max(FALSE_ALARM)) * 100.0,
            );
            let part = format!("sign-in of {}", user.id);
            Judged::from_proof(Some(Proof::new(part, evidence, trail)))
        }
        Timing::Same { last, pairs } => Judged {
            notes: vec![format!(
                "no difference over {pairs} pairs (p = {:.3}, median {:.2} ms; an alarm by chance: less than {FALSE_ALARM:.0e})",
                last.p, last.median
            )],
            ..Judged::default()
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_compared_without_what_varies_anyway() {
        let fill = |name: &str| vec![("name".to_owned(), name.into())];
        let one = shape(
            b"{\"error\":\"no luck, alice\",\"at\":1732,\"trace\":\"9f3c2b1d4e5f60718293\"}",
            &fill("alice"),
        );
        let two = shape(
            b"{\"error\":\"no luck, mallory\",\"at\":1899,\"trace\":\"00aa12bc4e5f60718293\"}",
            &fill("mallory"),
        );
        assert_eq!(one, two);
        let other = shape(b"{\"error\":\"unknown user mallory\",\"at\":1}", &fill("mallory"));
        assert!(one != other && other.contains("unknown user"), "{other}");
    }
}
