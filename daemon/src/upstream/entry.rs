//! One entry of the list, asked: over HTTP or in a directory, within the limits that all entries share.
//!
//! The outcome is always one of `UpstreamError`'s kinds or a body that came whole. What fails in passing is tried again
//! after a pause, a body that was cut is taken up where it broke off (`receive.rs`), what was refused is not asked again
//! for a while. Whoever waits here holds at most a place in the queue; it is given back with the future.

mod attempt;
mod receive;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use modmesh_protocol::goproxy::{ProxyUrl, Scheme};

use super::file_url::Directory;
use super::health::{Health, Ticket};
use super::http::{Ask, HttpError};
use super::probe::{self, Scout};
use super::refusals::Refusals;
use super::town::{Body, Question, Town};
use super::{ErrorAnswer, RequestKind, RoadState, StartError, UpstreamError, site};
use attempt::Again;

/// The longest that a request itself waits because the entry says so; beyond it the entry is left alone by everybody.
const RETRY_AFTER_WAITED_MAX: Duration = Duration::from_secs(5);
/// What the scout asks of a proxy: `go` asks it first, too. Of the database itself: a record that it has.
const SCOUT_ASKS_PROXY: &str = "/sumdb/sum.golang.org/supported";
const SCOUT_ASKS_DATABASE: &str = "/lookup/golang.org/x/text@v0.3.0";

/// A proxy of the list, or a checksum database.
pub(super) struct Entry {
    url: ProxyUrl,
    /// Whether this is a checksum database itself and no proxy.
    is_database: bool,
    road: Road,
    health: Health,
    refusals: Refusals,
    scout: Mutex<Option<Scout>>,
}

/// A body that came whole.
pub(super) struct Received {
    pub(super) bytes: u64,
    pub(super) content_type: Option<String>,
    /// Who answered, for people.
    pub(super) url: String,
    /// Whether it was put together from several answers.
    pub(super) resumed: bool,
}

enum Road {
    Http,
    File(Directory),
}

impl Entry {
    pub(super) fn new(url: ProxyUrl) -> Result<Self, StartError> {
        let is_in_the_clear = url.scheme() == Scheme::Http && !url.is_loopback();
        if is_in_the_clear && url.credentials().is_some() {
            return Err(StartError::InsecureCredentials {
                url: url.to_string(),
            });
        }
        let road = match url.scheme() {
            Scheme::Http | Scheme::Https => Road::Http,
            Scheme::File => Road::File(Directory::of(&url)),
        };
        Ok(Self {
            url,
            is_database: false,
            road,
            health: Health::default(),
            refusals: Refusals::default(),
            scout: Mutex::default(),
        })
    }

    /// A checksum database at its own address.
    pub(super) fn database(url: ProxyUrl) -> Result<Self, StartError> {
        Ok(Self {
            is_database: true,
            ..Self::new(url)?
        })
    }

    pub(super) fn url(&self) -> &ProxyUrl {
        &self.url
    }

    pub(super) fn state(&self) -> RoadState {
        match (self.health.state(), self.refusals.resting()) {
            (RoadState::Untried | RoadState::Up, Some((left, answer, heard_from))) => {
                RoadState::Resting {
                    left,
                    reason: answer.in_words(),
                    heard_from,
                }
            }
            (state, _) => state,
        }
    }

    pub(super) fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    pub(super) fn health(&self) -> &Health {
        &self.health
    }

    /// Asks, and writes the body of a 200 into `body`. What fails in passing is asked again as often as the question
    /// allows.
    pub(super) async fn ask(
        self: &Arc<Self>,
        town: &Arc<Town>,
        question: Question<'_>,
        body: &mut Body<'_>,
    ) -> Result<Received, UpstreamError> {
        if let Some(answer) = self.refusals.of(question.path) {
            return Err(UpstreamError::of_status(answer));
        }
        let mut attempts = 0;
        loop {
            let is_last = attempts >= question.retries;
            let trouble = match self.try_once(town, question, is_last, body).await {
                Ok(received) => return Ok(received),
                Err(trouble) => trouble,
            };
            let pause = match trouble.again {
                Again::Never => None,
                Again::Soon => Some(town.options.retry_pause * 4_u32.pow(attempts.min(3))),
                Again::After(pause) if pause > RETRY_AFTER_WAITED_MAX => {
                    if let Some(answer) = trouble.error.answer() {
                        // Many may be told at the same time.
                        if self.refusals.rest(pause, answer.clone()) {
                            self.tell_rest(town, pause);
                        }
                    }
                    None
                }
                Again::After(pause) => Some(pause),
            };
            match pause.filter(|_| !is_last) {
                Some(pause) => {
                    tracing::debug!(error = %trouble.error, ?pause, "upstream is asked again");
                    tokio::time::sleep(pause).await;
                    body.clean().await?;
                    attempts += 1;
                }
                None => {
                    // Looking into a directory is cheap.
                    if matches!(self.road, Road::Http) {
                        self.refusals.remember(question.path, &trouble.error);
                    }
                    return Err(trouble.error);
                }
            }
        }
    }

    /// Whether it answers anything at all: for the scout.
    pub(super) async fn answers(&self, town: &Town) -> Result<(), String> {
        let path = if self.is_database {
            SCOUT_ASKS_DATABASE
        } else {
            SCOUT_ASKS_PROXY
        };
        let ask = Ask {
            entry: &self.url,
            path,
            rest: None,
        };
        town.client.answers(ask).await.map_err(HttpError::text)
    }

    /// Has the scout look now, unless it did lately. True when it goes.
    pub(super) fn knock(&self, town: &Town) -> bool {
        self.health.knock(town.pauses)
    }

    /// Permission to ask. When the entry is down, the scout is sent early and waited for a moment, so that who comes
    /// right after the network does is served.
    ///
    /// # Errors
    /// Why it is down.
    async fn admitted(&self, town: &Town) -> Result<Ticket<'_>, String> {
        let down = match self.health.admit().await {
            Ok(ticket) => return Ok(ticket),
            Err(reason) => reason,
        };
        if self.knock(town) && self.health.back_after_knock().await {
            return self.health.admit().await;
        }
        Err(down)
    }

    /// Tells the members of this site.
    fn tell_rest(&self, town: &Town, rest: Duration) {
        if let (Some(line), Some(name)) = (town.line.get(), site::name_of(&self.url)) {
            line.rests(name, rest);
        }
    }

    fn send_scout(self: &Arc<Self>, town: &Arc<Town>) {
        let scout = probe::send(self, town);
        *self.scout.lock().unwrap_or_else(PoisonError::into_inner) = Some(scout);
    }

    fn kind_of(&self, question: Question<'_>) -> RequestKind {
        if self.is_database {
            RequestKind::Sumdb
        } else {
            RequestKind::of(question.path)
        }
    }

    /// The path as `go` puts it on the wire: `!` is encoded, except in questions to a checksum database when the entry
    /// has no base path. A server that compares texts instead of decoding them knows these forms.
    fn encoded(&self, path: &str) -> String {
        let is_sumdb = self.is_database || path.starts_with("sumdb/");
        let keeps_bang = is_sumdb && self.url.path().is_empty();
        let mut encoded = String::with_capacity(path.len() + 8);
        encoded.push('/');
        for byte in path.bytes() {
            let is_plain = byte.is_ascii_alphanumeric() || b"-._~$&+:=@/".contains(&byte);
            if is_plain || keeps_bang && byte == b'!' {
                encoded.push(char::from(byte));
            } else {
                encoded.push_str(&format!("%{byte:02X}"));
            }
        }
        encoded
    }

    /// The URL for people.
    fn shown(&self, path: &str) -> String {
        format!("{}/{path}", self.url.to_string().trim_end_matches('/'))
    }

    fn answer(&self, path: &str, status: u16, text: Option<String>) -> ErrorAnswer {
        ErrorAnswer {
            status,
            text,
            url: self.shown(path),
            retry_after: None,
        }
    }

    fn unreachable(&self, path: &str, reason: String) -> UpstreamError {
        UpstreamError::Unreachable {
            url: self.shown(path),
            reason,
        }
    }
}
