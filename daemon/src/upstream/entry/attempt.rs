//! One attempt: from the permission to ask to a whole body, or to why not and whether trying again may help.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use super::receive::{Incoming, Reception};
use super::{Entry, Received, Road};
use crate::upstream::error::{ERROR_TEXT_BYTES_MAX, plain_text};
use crate::upstream::file_url::{Absence, Directory};
use crate::upstream::health::{Failure, Ticket};
use crate::upstream::http::{Ask, HttpError, Reply, Sign, Version};
use crate::upstream::town::{Body, Question, Town};
use crate::upstream::{ErrorAnswer, RequestKind, SitePlace, UpstreamError};

/// How long an answer may be owed before the scout looks whether the entry is still there.
const OWED_MAX: Duration = Duration::from_millis(700);
/// A connection that fails later than this did not fail in passing: somebody drops packets.
const QUICK_FAILURE_MAX: Duration = Duration::from_secs(1);

/// Why an attempt failed.
pub(super) struct Trouble {
    pub(super) error: UpstreamError,
    pub(super) again: Again,
}

/// Whether asking the same again may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    Never,
    /// After a short pause.
    Soon,
    /// After the pause that the entry named.
    After(Duration),
}

impl Trouble {
    pub(super) fn soon(error: UpstreamError) -> Self {
        Self {
            error,
            again: Again::Soon,
        }
    }
}

impl From<UpstreamError> for Trouble {
    fn from(error: UpstreamError) -> Self {
        Self {
            error,
            again: Again::Never,
        }
    }
}

impl Entry {
    pub(super) async fn try_once(
        self: &Arc<Self>,
        town: &Arc<Town>,
        question: Question<'_>,
        is_last: bool,
        body: &mut Body<'_>,
    ) -> Result<Received, Trouble> {
        let kind = self.kind_of(question);
        match &self.road {
            Road::File(directory) => {
                let _place = town.place(kind).await;
                self.ask_file(town, kind, directory, question, body).await
            }
            Road::Http => {
                // Before a place is taken: who is refused anyway must not stand behind those who wait for answers.
                if self.health.down().is_some() {
                    self.admitted(town)
                        .await
                        .map_err(|reason| self.unreachable(question.path, reason))?;
                }
                let _place = town.place(kind).await;
                let _shared = self.place_of_site(town, kind, body).await?;
                let asked = self.ask_http(town, kind, question, is_last, body);
                if matches!(kind, RequestKind::Mod | RequestKind::Zip) {
                    // Whoever asks for files has a deadline of his own.
                    return asked.await;
                }
                let within = town.options.answer_timeout;
                timeout(within, asked).await.unwrap_or_else(|_| {
                    let reason = format!("the answer was not whole after {within:?}");
                    Err(self.unreachable(question.path, reason).into())
                })
            }
        }
    }

    /// A place among the requests of the site, after one among those of this host. Meanwhile the entry may have asked for a rest.
    async fn place_of_site(
        &self,
        town: &Town,
        kind: RequestKind,
        body: &mut Body<'_>,
    ) -> Result<Option<SitePlace>, Trouble> {
        let place = match town.line.get() {
            Some(line) => line.place(kind == RequestKind::Zip).await,
            None => None,
        };
        if let Some(place) = &place {
            body.stood_in_line(place.waited, place.in_vain);
        }
        match self.refusals.resting() {
            Some((left, answer, _)) => {
                let retry_after = Some(left);
                let answer = ErrorAnswer {
                    retry_after,
                    ..answer
                };
                Err(UpstreamError::of_status(answer).into())
            }
            None => Ok(place),
        }
    }

    async fn ask_http(
        self: &Arc<Self>,
        town: &Arc<Town>,
        kind: RequestKind,
        question: Question<'_>,
        is_last: bool,
        body: &mut Body<'_>,
    ) -> Result<Received, Trouble> {
        let reply = self.reply(town, kind, question, None, is_last).await?;
        if reply.status == 200 && !reply.is_encoded {
            let reception = Reception::new(self, town, kind, question);
            return reception.take(Incoming::Reply(Box::new(reply)), body).await;
        }
        Err(self.refusal(town, question.path, reply).await)
    }

    /// The answer over HTTP, with its body still to come. `rest` asks for what follows a part that is here; a failure in
    /// passing is no word about the entry unless this `is_last`.
    pub(super) async fn reply(
        self: &Arc<Self>,
        town: &Arc<Town>,
        kind: RequestKind,
        question: Question<'_>,
        rest: Option<(u64, &Version)>,
        is_last: bool,
    ) -> Result<Reply, Trouble> {
        let mut ticket = self
            .admitted(town)
            .await
            .map_err(|reason| self.unreachable(question.path, reason))?;
        let (began, path) = (ticket.started(), self.encoded(question.path));
        let ask = Ask {
            entry: self.url(),
            path: &path,
            rest,
        };
        let asked = {
            let reply = town.client.get(ask, |sign| match sign {
                Sign::Connected => ticket.connected(),
                Sign::Redirected => ticket.redirected(),
            });
            tokio::select! {
                reply = reply => reply,
                reason = self.given_up(town, began) => Err(HttpError::Silence(reason)),
            }
        };
        let error = match asked {
            Ok(reply) => {
                town.watch.request(kind, reply.status);
                ticket.answered();
                if self.refusals.answered(matches!(reply.status, 200 | 206)) {
                    self.tell_rest(town, Duration::ZERO);
                }
                return Ok(reply);
            }
            Err(HttpError::Redirect(status, text)) => {
                town.watch.request(kind, status);
                ticket.answered();
                let answer = self.answer(question.path, status, Some(text));
                return Err(UpstreamError::Failed(answer).into());
            }
            Err(error) => error,
        };
        town.watch.request(kind, 0);
        Err(self.no_answer(town, question, ticket, error, is_last))
    }

    /// No answer came: takes note of it, unless it is to be tried again at once.
    fn no_answer(
        self: &Arc<Self>,
        town: &Arc<Town>,
        question: Question<'_>,
        ticket: Ticket<'_>,
        error: HttpError,
        is_last: bool,
    ) -> Trouble {
        let (kind, is_beyond) = match &error {
            HttpError::Beyond(_, inner) => (inner.as_ref(), true),
            error => (error, false),
        };
        let (failure, in_passing) = match kind {
            HttpError::Connect(_) => {
                let is_quick = ticket.started().elapsed() < QUICK_FAILURE_MAX;
                (Failure::Connect, is_quick)
            }
            HttpError::Broken(_) => (Failure::Silence, true),
            _ => (Failure::Silence, false),
        };
        let reason = error.text();
        // An entry that sent us elsewhere did answer, and that was noted then.
        if is_beyond || in_passing && !is_last {
            drop(ticket);
        } else if ticket.failed(failure, &reason, town.pauses) {
            self.send_scout(town);
        }
        let again = if in_passing {
            Again::Soon
        } else {
            Again::Never
        };
        Trouble {
            error: self.unreachable(question.path, reason),
            again,
        }
    }

    /// Completes when the scout found the entry down while an answer is owed. The scout is sent when it is owed for long.
    async fn given_up(self: &Arc<Self>, town: &Arc<Town>, began: Instant) -> String {
        sleep_until(began + OWED_MAX).await;
        if self.health.owes_an_answer(began) {
            self.send_scout(town);
        }
        self.health.downfall().await
    }

    async fn ask_file(
        self: &Arc<Self>,
        town: &Arc<Town>,
        kind: RequestKind,
        directory: &Directory,
        question: Question<'_>,
        body: &mut Body<'_>,
    ) -> Result<Received, Trouble> {
        let (status, found) = match directory.open(question.path).await {
            Ok(file) => (200, Ok(file)),
            Err(Absence::Missing) => (404, Err(None)),
            Err(Absence::Refused) => (403, Err(None)),
            Err(Absence::Broken(error)) => (0, Err(Some(error))),
        };
        town.watch.request(kind, status);
        // A directory is never left alone.
        self.health.looked(Instant::now(), Ok(()), town.pauses);
        match found {
            Ok(file) => {
                let reception = Reception::new(self, town, kind, question);
                reception.take(Incoming::File(file), body).await
            }
            Err(Some(error)) => Err(self.unreachable(question.path, error.to_string()).into()),
            Err(None) => {
                let answer = self.answer(question.path, status, None);
                Err(UpstreamError::of_status(answer).into())
            }
        }
    }

    /// The error for an answer that is no plain 200.
    async fn refusal(&self, town: &Town, path: &str, mut reply: Reply) -> Trouble {
        if reply.is_encoded && reply.status == 200 {
            let text = "the answer is compressed although that was not asked for".to_owned();
            return UpstreamError::Failed(self.answer(path, 200, Some(text))).into();
        }
        // The body is read even when its text is of no use: the connection can then be used again.
        let mut body = Vec::new();
        while body.len() < ERROR_TEXT_BYTES_MAX {
            match reply.piece().await {
                Ok(Some(piece)) => body.extend_from_slice(&piece),
                Ok(None) | Err(_) => break,
            }
        }
        town.watch.received_bytes(body.len() as u64);
        body.truncate(ERROR_TEXT_BYTES_MAX);
        let text = if reply.is_encoded {
            None
        } else {
            plain_text(reply.content_type.as_deref(), &body)
        };
        let mut answer = self.answer(path, reply.status, text);
        answer.retry_after = reply.retry_after;
        let again = match (reply.status, reply.retry_after) {
            (429 | 503, Some(pause)) => Again::After(pause),
            (408 | 425 | 429 | 500 | 502 | 503 | 504, _) => Again::Soon,
            _ => Again::Never,
        };
        Trouble {
            error: UpstreamError::of_status(answer),
            again,
        }
    }
}
