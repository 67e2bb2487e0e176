//! Guessing: how often a door may be tried.

use super::super::wire::{Sound, Stop, Trail};
use super::super::work::{Judged, Outcome, Proof, WRONG, Work, with_password};
use super::enumeration::unknown_user;
use std::time::Duration;

/// Answers that come this much later than the first are held back on purpose.
const HELD_BACK: Duration = Duration::from_millis(800);

/// What a row of wrong sign-ins showed.
struct Row {
    trail: Trail,
    /// Why the next try is not as free as the first; `None` where it is.
    slowed: Option<String>,
    sent: u32,
}

pub(in super::super) fn lockout(work: &mut Work<'_>) -> Outcome {
    let chosen = work.description.brute.user.as_deref();
    let user = chosen.and_then(|id| work.description.user(id)).or(work.description.users.last());
    let Some(user) = user else { return Err(Stop::Skip("no user is described".to_owned())) };
    let mut trail = Trail::new();
    work.fresh(user, &[], &mut trail)?;
    let attempts = work.description.brute.attempts;
    let fill = with_password(user, WRONG);
    let row = impatient(work, |work| {
        knock(work, attempts, |work, n, trail| {
            let purpose = format!("wrong password {n} for {}", user.id);
            let sound = Sound::Refuse;
            Ok(work.attempt(&user.id, &fill, &[], &purpose, sound, trail)?.response)
        })
    })?;
    if let Some(why) = row.slowed {
        return Ok(noted(format!("after {} wrong passwords {why}", row.sent)));
    }
    trail.extend(row.trail);
    let sound = work.signed_in_answer()?;
    let purpose = format!("{} with the right password after {attempts} wrong ones", user.id);
    let right = super::super::work::fill_of(user);
    let attempt = impatient(work, |work| {
        work.attempt(&user.id, &right, &[], &purpose, sound.clone(), &mut trail)
    })?;
    // A cookie alone is no sign-in: many set one with every answer.
    let let_in = match &attempt.credential {
        Some(credential) => work.lets_in(credential, &mut trail)?,
        None => false,
    };
    work.forget(user);
    if !let_in {
        return Ok(noted(format!("after {attempts} wrong passwords the right one is refused")));
    }
    let evidence = format!(
        "{attempts} wrong passwords in a row changed nothing, and the right one was let in at once"
    );
    Ok(Judged::from_proof(Some(Proof::new(format!("sign-in of {}", user.id), evidence, trail))))
}

pub(in super::super) fn rate_limit(work: &mut Work<'_>) -> Outcome {
    let user = work.first_user()?;
    let burst = work.description.brute.burst;
    let row = impatient(work, |work| {
        knock(work, burst, |work, n, trail| {
            let fill = unknown_user(work, user, 10_000 + n);
            let purpose = format!("sign-in {n} of an unknown user");
            Ok(work.attempt("nobody", &fill, &[], &purpose, Sound::Refuse, trail)?.response)
        })
    })?;
    if let Some(why) = row.slowed {
        return Ok(noted(format!("after {} sign-ins {why}", row.sent)));
    }
    let evidence =
        format!("{burst} failing sign-ins in a row were each answered as freely as the first");
    Ok(Judged::from_proof(Some(Proof::new("sign-in", evidence, row.trail))))
}

/// Tries until an answer says that it is enough. The trail keeps the first and the last.
fn knock(
    work: &mut Work<'_>,
    times: u32,
    mut once: impl FnMut(&mut Work<'_>, u32, &mut Trail) -> Result<crate::runner::Response, Stop>,
) -> Result<Row, Stop> {
    let mut row = Row { trail: Trail::new(), slowed: None, sent: 0 };
    let mut first: Option<(u16, Duration)> = None;
    let mut late = 0;
    for n in 1..=times {
        let mut step = Trail::new();
        let answered = once(work, n, &mut step);
        row.sent = n;
        let response = match (answered, &first) {
            (Ok(response), _) => response,
            // A target that no longer talks to us has had enough.
            (Err(Stop::Refuse(why)), Some(_)) if step.iter().any(|s| !s.failures.is_empty()) => {
                row.slowed = Some(format!("there was no answer ({why})"));
                return Ok(row);
            }
            (Err(stop), _) => return Err(stop),
        };
        let elapsed =
            step.last().and_then(|s| s.exchanges.last()).map_or(Duration::ZERO, |e| e.elapsed);
        if row.trail.len() > 1 {
            row.trail.pop();
        }
        row.trail.extend(step);
        // Also of the first: what came before may have spent all that was free.
        let told = response.header("retry-after").is_some();
        if told || matches!(response.status, 423 | 429 | 503) {
            let after = if told { " with a `Retry-After`" } else { "" };
            row.slowed = Some(format!("the answer is {}{after}", response.status));
            return Ok(row);
        }
        let Some((status, quick)) = first else {
            first = Some((response.status, elapsed));
            continue;
        };
        if response.status != status {
            row.slowed = Some(format!("the answer is {} instead of {status}", response.status));
            return Ok(row);
        }
        // One late answer is a busy machine; three in a row are a policy.
        late = if elapsed > quick + HELD_BACK { late + 1 } else { 0 };
        if late == 3 {
            row.slowed = Some(format!("answers are held back by {} ms", elapsed.as_millis()));
            return Ok(row);
        }
    }
    Ok(row)
}

/// Takes every answer as it comes: a `Retry-After` is what is looked for here.
fn impatient<T>(
    work: &mut Work<'_>,
    act: impl FnOnce(&mut Work<'_>) -> Result<T, Stop>,
) -> Result<T, Stop> {
    work.wire.patient = false;
    let outcome = act(work);
    work.wire.patient = true;
    outcome
}

fn noted(note: String) -> Judged {
    Judged { notes: vec![note], ..Judged::default() }
}
