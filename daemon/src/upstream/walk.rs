//! The walk along the list for one file: who is asked next, and whose error is told in the end.

use super::entry::Received;
use super::town::{Body, Question};
use super::{Begin, Downloaded, Inner, Sink, Stop, UpstreamError};
use modmesh_protocol::goproxy::{EntryOutcome, Step};

/// What the user reads when `direct` would have been next, and is not for whoever asks.
pub(super) const NOT_YOURS_NOTE: &str = "the upstream list goes on with `direct`, which works with the keys and passwords of the user who runs the modmesh daemon, so only that user may have it asked; run a daemon of your own with `modmesh up`";

/// What the walk brought.
pub(super) struct Walked {
    pub(super) downloaded: Downloaded,
    /// It came by `direct`, with what this user alone may have access to.
    pub(super) by_direct: bool,
}

impl Inner {
    /// Asks entry after entry until one has the file or the list ends.
    ///
    /// As in Go's `TryProxies` the error told is the last one that is not "not found", else the last one. `off` adds
    /// nothing to what an entry before it said. `direct` is asked only with `may_go_direct`, else it is mentioned.
    pub(super) async fn walk(
        &self,
        begin: Begin,
        path: &str,
        bytes_max: u64,
        sink: &mut dyn Sink,
        may_go_direct: bool,
    ) -> Result<Walked, UpstreamError> {
        let mut body = Body::new(sink);
        let mut told: Option<UpstreamError> = None;
        let mut index = match begin {
            Begin::First => 0,
            Begin::Again(index) => index,
            Begin::After(index) => match self.list.next_after(index, EntryOutcome::OtherError) {
                Step::Try(next) => next,
                Step::Stop => return Err(UpstreamError::Off),
            },
        };
        loop {
            let entry = match self.stops.get(index) {
                Some(Stop::Entry(entry)) => entry,
                Some(Stop::Direct(_)) if !may_go_direct => return Err(not_yours(told)),
                Some(Stop::Direct(direct)) => {
                    body.clean().await?;
                    let question = Question::new(path, bytes_max, 0)?;
                    let received = direct.ask(&self.town, question, &mut body).await;
                    return received
                        .map(|received| Walked::by_direct(index, received))
                        .map_err(|error| {
                            body.missed(&error);
                            beside(told, error)
                        });
                }
                Some(Stop::Off) | None => return Err(told.unwrap_or(UpstreamError::Off)),
            };
            body.clean().await?;
            let question = Question::new(path, bytes_max, self.retries_at(index))?;
            let error = match entry.ask(&self.town, question, &mut body).await {
                Ok(received) => return Ok(Walked::by_proxy(index, received)),
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

    /// Where the list goes on after a failure, the next entry is the better retry.
    pub(super) fn retries_at(&self, index: usize) -> u32 {
        let next = match self.list.next_after(index, EntryOutcome::OtherError) {
            Step::Try(next) => self.stops.get(next),
            Step::Stop => None,
        };
        match next {
            Some(Stop::Entry(_)) => 0,
            Some(Stop::Direct(_) | Stop::Off) | None => self.town.options.retries,
        }
    }
}

impl Walked {
    fn by_proxy(entry: usize, received: Received) -> Self {
        Self {
            downloaded: Downloaded {
                bytes: received.bytes,
                content_type: received.content_type,
                url: received.url,
                entry,
                resumed: received.resumed,
            },
            by_direct: false,
        }
    }

    fn by_direct(entry: usize, received: Received) -> Self {
        Self {
            by_direct: true,
            ..Self::by_proxy(entry, received)
        }
    }
}

fn not_yours(told: Option<UpstreamError>) -> UpstreamError {
    match told {
        Some(error) => error.with_note(NOT_YOURS_NOTE),
        None => UpstreamError::DirectNotYours,
    }
}

/// What is told when `direct` failed after other entries had. That `go` said no is a "not found" among errors, but its
/// text is the one that helps.
fn beside(told: Option<UpstreamError>, direct: UpstreamError) -> UpstreamError {
    match told {
        Some(error) if !matches!(error, UpstreamError::NotFound(_)) => {
            error.with_note(&format!("then `direct` was tried: {}", text_of(&direct)))
        }
        _ => direct,
    }
}

fn text_of(error: &UpstreamError) -> String {
    match error.answer().and_then(|answer| answer.text.as_deref()) {
        Some(text) => text.trim_end().to_owned(),
        None => error.to_string(),
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
