//! Looking for neighbours that have a file by now, while the upstream is at work on it.
//!
//! Who fetches from upstream may be slow at it for minutes: its line is shared, or it is one of many that gave up waiting in a bad moment.
//! Meanwhile others have the file, or have time to give it. So it is looked for again, seldom and ever more seldom, and whoever has it
//! sends it beside the upstream; the first that is whole counts.

use std::time::{Duration, Instant};

use tokio::time::sleep_until;

use super::search::Search;
use super::sources::{Holder, Want};
use super::{Fetcher, Landed};
use crate::peers::{Haste, Survey};
use crate::policy::Treatment;

/// How long the upstream is left alone with it first; most files are here by then.
const FIRST: Duration = Duration::from_secs(4);
/// The longest pause; each is twice as long as the one before.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// When it is looked for next.
#[derive(Debug)]
pub(super) struct Again {
    at: Instant,
    pause: Duration,
}

impl Again {
    pub(super) fn new() -> Self {
        Self {
            at: Instant::now() + FIRST,
            pause: FIRST,
        }
    }

    /// Neighbours that say to have it, as soon as there are some. May be dropped and called again.
    pub(super) async fn holders(&mut self, fetcher: &Fetcher, want: &Want) -> Vec<Holder> {
        loop {
            sleep_until(self.at.into()).await;
            self.pause = (self.pause * 2).min(PAUSE_MAX);
            self.at = Instant::now() + self.pause;
            let holders = fetcher.holders_by_now(want).await;
            if !holders.is_empty() {
                return holders;
            }
        }
    }
}

impl Fetcher {
    /// Of many looks in vain nobody wants to read.
    async fn holders_by_now(&self, want: &Want) -> Vec<Holder> {
        let is_told = |survey: &Survey| survey.found.iter().any(|located| located.file.is_some());
        self.holders_told(want, Haste::OthersWait, is_told).await
    }

    /// The file from a neighbour that has it by now, while the upstream is asked by the caller; waits for as long as there is none.
    pub(super) async fn taken_meanwhile(&self, want: &Want, treatment: Treatment) -> Landed {
        let mut again = Again::new();
        loop {
            let holders = again.holders(self, want).await;
            let mut search = Search::default();
            let taken = self.take_beside(want, treatment, holders, &mut search);
            // What goes wrong here is no concern of the upstream's.
            if let Ok(Some(landed)) = taken.await {
                return landed;
            }
        }
    }
}
