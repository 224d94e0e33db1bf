//! The walk along the list for one file: who is asked next, and whose error is told in the end.

use super::town::{Body, Question};
use super::{Downloaded, Inner, Sink, Stop, UpstreamError};
use modmesh_protocol::goproxy::Step;

/// What the user reads when `direct` would have been next.
const DIRECT_NOTE: &str =
    "the upstream list goes on with `direct`, which is not supported yet by this release";

impl Inner {
    /// Asks entry after entry until one has the file or the list ends.
    ///
    /// As in Go's `TryProxies` the error told is the last one that is not "not found", else the last one. `off` and
    /// `direct` add nothing to what an entry before them said, but `direct` is mentioned.
    pub(super) async fn walk(
        &self,
        path: &str,
        bytes_max: u64,
        sink: &mut dyn Sink,
    ) -> Result<Downloaded, UpstreamError> {
        let question = Question::new(path, bytes_max)?;
        let mut body = Body::new(sink);
        let mut told: Option<UpstreamError> = None;
        let mut index = 0;
        loop {
            let entry = match self.stops.get(index) {
                Some(Stop::Entry(entry)) => entry,
                Some(Stop::Direct) => return Err(self.direct(told)),
                Some(Stop::Off) | None => return Err(told.unwrap_or(UpstreamError::Off)),
            };
            body.clean().await?;
            let error = match entry.ask(&self.town, question, &mut body).await {
                Ok(downloaded) => return Ok(downloaded),
                // Our own disk does not get better by asking somebody else.
                Err(error @ UpstreamError::Sink(_)) => return Err(error),
                Err(error) => error,
            };
            body.missed(&error);
            let step = self.list.next_after(index, error.outcome());
            told = Some(more_helpful(told, error));
            match step {
                Step::Try(next) => index = next,
                Step::Stop => return Err(told.unwrap_or(UpstreamError::Off)),
            }
        }
    }

    fn direct(&self, told: Option<UpstreamError>) -> UpstreamError {
        match told {
            Some(error) => error.with_note(DIRECT_NOTE),
            None => UpstreamError::DirectOnly {
                list: self.list.to_string(),
            },
        }
    }
}

/// Which of two errors in a row is told.
fn more_helpful(earlier: Option<UpstreamError>, later: UpstreamError) -> UpstreamError {
    match (earlier, &later) {
        (Some(earlier), UpstreamError::NotFound(_))
            if !matches!(earlier, UpstreamError::NotFound(_)) =>
        {
            earlier
        }
        _ => later,
    }
}
