//! One entry of the list, asked: over HTTP or in a directory, within the limits that all entries share.
//!
//! The outcome is always one of `UpstreamError`'s kinds or a body that came whole. Whoever waits here holds at most a
//! place in the queue; it is given back with the future.

use bytes::Bytes;
use modmesh_protocol::goproxy::{ProxyUrl, Scheme};

use super::error::{ERROR_TEXT_BYTES_MAX, plain_text};
use super::file_url::{Absence, Directory, OpenFile};
use super::health::{Failure, Health, Ticket};
use super::http::{HttpError, Reply};
use super::town::{Body, Question, Town};
use super::{Downloaded, ErrorAnswer, RequestKind, RoadState, StartError, UpstreamError};

/// A proxy of the list, or a checksum database.
pub(super) struct Entry {
    url: ProxyUrl,
    /// Whether this is a checksum database itself and no proxy.
    is_database: bool,
    road: Road,
    health: Health,
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
        self.health.state()
    }

    /// Asks, and writes the body of a 200 into `body`.
    pub(super) async fn ask(
        &self,
        town: &Town,
        question: Question<'_>,
        body: &mut Body<'_>,
    ) -> Result<Downloaded, UpstreamError> {
        let kind = if self.is_database {
            RequestKind::Sumdb
        } else {
            RequestKind::of(question.path)
        };
        let place = town.place(kind).await;
        let ticket = match self.health.admit().await {
            Ok(ticket) => ticket,
            Err(reason) => return Err(self.unreachable(question.path, reason)),
        };
        let outcome = match &self.road {
            Road::Http => self.ask_http(town, kind, question, body, ticket).await,
            Road::File(directory) => {
                // A directory is never left alone: looking is cheap.
                ticket.answered();
                self.ask_file(town, kind, directory, question, body).await
            }
        };
        drop(place);
        outcome
    }

    async fn ask_http(
        &self,
        town: &Town,
        kind: RequestKind,
        question: Question<'_>,
        body: &mut Body<'_>,
        mut ticket: Ticket<'_>,
    ) -> Result<Downloaded, UpstreamError> {
        let path = self.encoded(question.path);
        let reply = town
            .client
            .get(&self.url, &path, || ticket.connected())
            .await;
        let reply = match reply {
            Ok(reply) => {
                town.watch.request(kind, reply.status);
                ticket.answered();
                reply
            }
            Err(HttpError::Redirect(status, text)) => {
                town.watch.request(kind, status);
                ticket.answered();
                return Err(UpstreamError::Failed(self.answer(
                    question.path,
                    status,
                    Some(text),
                )));
            }
            Err(error) => {
                town.watch.request(kind, 0);
                let failure = match error {
                    HttpError::Connect(_) => Failure::Connect,
                    _ => Failure::Silence,
                };
                let reason = error.text();
                ticket.failed(failure, &reason, town.pauses);
                return Err(self.unreachable(question.path, reason));
            }
        };
        if reply.status == 200 && !reply.is_encoded {
            return self
                .receive(town, question, Source::Reply(reply), body)
                .await;
        }
        Err(self.refusal(town, question.path, reply).await)
    }

    async fn ask_file(
        &self,
        town: &Town,
        kind: RequestKind,
        directory: &Directory,
        question: Question<'_>,
        body: &mut Body<'_>,
    ) -> Result<Downloaded, UpstreamError> {
        let (status, found) = match directory.open(question.path).await {
            Ok(file) => (200, Ok(file)),
            Err(Absence::Missing) => (404, Err(None)),
            Err(Absence::Refused) => (403, Err(None)),
            Err(Absence::Broken(error)) => (0, Err(Some(error))),
        };
        town.watch.request(kind, status);
        match found {
            Ok(file) => self.receive(town, question, Source::File(file), body).await,
            Err(Some(error)) => Err(self.unreachable(question.path, error.to_string())),
            Err(None) => Err(UpstreamError::of_status(self.answer(
                question.path,
                status,
                None,
            ))),
        }
    }

    /// Reads the body of a 200.
    async fn receive(
        &self,
        town: &Town,
        question: Question<'_>,
        mut source: Source,
        body: &mut Body<'_>,
    ) -> Result<Downloaded, UpstreamError> {
        let too_large = || UpstreamError::TooLarge {
            url: self.shown(question.path),
            bytes_max: question.bytes_max,
        };
        let announced = source.length();
        if announced.is_some_and(|length| length > question.bytes_max) {
            return Err(too_large());
        }
        let cut = |reason| self.unreachable(question.path, reason);
        let mut bytes = 0;
        while let Some(piece) = source.piece().await.map_err(cut)? {
            town.watch.received_bytes(piece.len() as u64);
            bytes += piece.len() as u64;
            if bytes > question.bytes_max {
                return Err(too_large());
            }
            body.write(&piece).await?;
        }
        if announced.is_some_and(|length| length != bytes) {
            return Err(cut("the body is not as long as announced".to_owned()));
        }
        body.finish().await?;
        Ok(Downloaded {
            bytes,
            content_type: source.content_type(),
            url: self.shown(question.path),
        })
    }

    /// The error for an answer that is no plain 200.
    async fn refusal(&self, town: &Town, path: &str, mut reply: Reply) -> UpstreamError {
        if reply.is_encoded && reply.status == 200 {
            let text = "the answer is compressed although that was not asked for".to_owned();
            return UpstreamError::Failed(self.answer(path, 200, Some(text)));
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
        UpstreamError::of_status(self.answer(path, reply.status, text))
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
        }
    }

    fn unreachable(&self, path: &str, reason: String) -> UpstreamError {
        UpstreamError::Unreachable {
            url: self.shown(path),
            reason,
        }
    }
}

/// Where the bytes of a body come from.
enum Source {
    Reply(Reply),
    File(OpenFile),
}

impl Source {
    /// The length that is known beforehand.
    fn length(&self) -> Option<u64> {
        match self {
            Self::Reply(reply) => reply.content_length,
            // A file may grow while it is read: its end is where reading ends.
            Self::File(_) => None,
        }
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, String> {
        match self {
            Self::Reply(reply) => reply.piece().await.map_err(HttpError::text),
            Self::File(file) => file.piece().await.map_err(|error| error.to_string()),
        }
    }

    fn content_type(self) -> Option<String> {
        match self {
            Self::Reply(reply) => reply.content_type,
            Self::File(_) => None,
        }
    }
}
