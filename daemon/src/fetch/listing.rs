//! Where in upstream's list one file is asked for, after what came from there did not pass the gate.

use super::FetchError;
use crate::upstream::{Begin, Downloaded};

/// Where upstream's list is asked for one file.
pub(super) struct Listing {
    pub begin: Begin,
    /// Why what it gave first was refused.
    pub refused: Option<FetchError>,
}

impl Default for Listing {
    fn default() -> Self {
        Self {
            begin: Begin::First,
            refused: None,
        }
    }
}

impl Listing {
    /// What came `from` there did not pass the gate: it is fetched again in one piece if it was put together, else from
    /// where the list goes on.
    pub(super) fn gave_false(&mut self, from: &Downloaded, error: FetchError) {
        self.begin = match self.begin {
            Begin::Again(_) => Begin::After(from.entry),
            _ if from.resumed => Begin::Again(from.entry),
            _ => Begin::After(from.entry),
        };
        self.refused.get_or_insert(error);
    }
}
