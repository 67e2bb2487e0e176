//! Correlation: what several hits mean together, decided exactly by event time.
//!
//! # What "exactly" means
//!
//! Every decision is a function of the hits in the order of (event time, arrival), and of nothing
//! else. A hit therefore waits until the **watermark** has passed it: the earliest, over all sources
//! that are not silent, of the source's newest event time less its lateness. Only then can no
//! earlier one come any more, and it is judged. So a late hit within the lateness is judged as if
//! it had been on time; alarms come later by the lateness, and are never taken back. How hits are
//! cut into batches cannot matter, because a batch is nothing to a correlator; nor can a snapshot,
//! because it holds what waits; nor sharding, because groups of different buckets share nothing.
//!
//! A hit that lies before the watermark when it comes is counted and told, and not correlated.
//!
//! # What holds, and when
//!
//! - A **window** slides: at a hit at time *t* it is all hits from *t - timespan* to *t*, both ends
//!   included. Hits of equal time are taken in the order of their arrival.
//! - A condition is judged **at each hit**. It *opens* an alarm when it holds and did not at the hit
//!   before, or when the window holds none of the hits before; it *updates* the same alarm while it
//!   holds; it *closes* it, and may open another, once it does not.
//! - A record that **several rules** of a correlation match is one event: it counts once, in whatever
//!   order the rules stand. For rules in any order it is there for each of them; of an order it takes
//!   one step, since nothing comes after itself.
//! - An **order** holds if the window has hits of all steps one after another. For each step the latest
//!   start is kept of a chain that has reached it: one pass, a number a step.
//! - An **absence** (`a and not b`) is decided when the watermark passes its deadline, which is the
//!   timespan after the first of the hits that had to come. In any order, what is barred must be
//!   absent from every window that holds those hits; in an order, it must be absent where it stands:
//!   between two steps, or within the timespan after the last.
//! - A correlation that **builds on another** sees a step at each hit at which the other holds if it
//!   asks for presence or order, and one hit for each alarm if it counts.
//! - A percentile is the nearest rank; a median of an even number is the middle between two.
//!
//! | file | what |
//! | --- | --- |
//! | `plan`, `resolve`, `expression`, `shard` | documents to flat tables: references, chains, buckets |
//! | `clock` | watermarks |
//! | `correlator` | hits in, alarms out |
//! | `table`, `state`, `values`, `hash`, `heap` | groups, what each keeps, how it is found, and when it goes |
//! | `alarm`, `health` | what comes out |
//! | `snapshot` | a bucket's state as bytes, and back |

mod alarm;
mod clock;
mod correlator;
mod expression;
mod hash;
mod health;
mod heap;
mod plan;
mod resolve;
mod settings;
mod shard;
mod snapshot;
mod state;
mod table;
mod values;

#[cfg(test)]
mod tests;

pub(crate) use clock::Clock;
pub(crate) use hash::sip128;
pub(crate) use health::{Health, Trouble};
pub(crate) use snapshot::{CorrelatorState, ReadClock};
pub(crate) use values::canonical;

pub use alarm::{Alarm, AlarmId, AlarmKind, Change};
pub use correlator::{Correlator, Statistics};
pub use plan::Plan;
pub use settings::Settings;
pub use snapshot::Restored;
