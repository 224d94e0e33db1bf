//! The walk along the list for one file: who is asked next, and whose error is told in the end.

use super::town::{Body, Question};
use super::{Downloaded, Inner, Sink, Stop, UpstreamError};
use modmesh_protocol::goproxy::Step;

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
        path: &str,
        bytes_max: u64,
        sink: &mut dyn Sink,
        may_go_direct: bool,
    ) -> Result<Walked, UpstreamError> {
        let question = Question::new(path, bytes_max)?;
        let mut body = Body::new(sink);
        let mut told: Option<UpstreamError> = None;
        let mut index = 0;
        loop {
            let entry = match self.stops.get(index) {
                Some(Stop::Entry(entry)) => entry,
                Some(Stop::Direct(_)) if !may_go_direct => return Err(not_yours(told)),
                Some(Stop::Direct(direct)) => {
                    body.clean().await?;
                    let asked = direct.ask(&self.town, question, &mut body).await;
                    return asked
                        .map(Walked::by_direct)
                        .map_err(|error| beside(told, error));
                }
                Some(Stop::Off) | None => return Err(told.unwrap_or(UpstreamError::Off)),
            };
            body.clean().await?;
            let error = match entry.ask(&self.town, question, &mut body).await {
                Ok(downloaded) => return Ok(Walked::by_proxy(downloaded)),
                // Our own disk does not get better by asking somebody else.
                Err(error @ UpstreamError::Sink(_)) => return Err(error),
                Err(error) => error,
            };
            let step = self.list.next_after(index, error.outcome());
            told = Some(more_helpful(told, error));
            match step {
                Step::Try(next) => index = next,
                Step::Stop => return Err(told.unwrap_or(UpstreamError::Off)),
            }
        }
    }
}

impl Walked {
    fn by_proxy(downloaded: Downloaded) -> Self {
        Self {
            downloaded,
            by_direct: false,
        }
    }

    fn by_direct(downloaded: Downloaded) -> Self {
        Self {
            downloaded,
            by_direct: true,
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
