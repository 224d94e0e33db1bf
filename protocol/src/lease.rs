//! One download per network: of those that want the same thing at the same time, one is to fetch it from outside, and the
//! others are to wait for it.
//!
//! Each module has a few *owners*, the members that rank highest for it ([`owners`]); nobody elects them, and who sees the same
//! members names the same owners. Who wants a file that no neighbour is known to have asks the first owner, whose [`Desk`] grants one *lease* and
//! tells the others to wait; who holds the lease shows it to the second owner too, so that the death of the first is no
//! reason to begin anew. An owner decides and does not fetch: it needs neither disk, nor keys, nor a good line, and no bytes pass through it.
//!
//! All of it is advice. A lease gives no right and a refusal takes none: who is told to wait by somebody who lies, or by
//! one that has died, leaves and fetches for itself ([`Asker`]), at a bounded cost. Files are proved as ever.
//!
//! Pure: no clock and no network. Moments are durations since a start that the caller chooses. `tests/harness/simulation.rs`
//! runs both machines on thousands of hosts with loss, delay, partitions, crashes and liars.

mod asker;
mod desk;
mod rank;
mod words;

pub use asker::{Act, Asker, Circumstances, Fetched, Road};
pub use desk::{Desk, Said, Ticket};
pub use rank::{Member, MemberId, OWNERS, SETTLED, owners};
pub use words::{Ask, Claim, Progress, Word};
