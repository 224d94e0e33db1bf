//! One entry of the list, asked: over HTTP or in a directory, within the limits that all entries share.
//!
//! The outcome is always one of `UpstreamError`'s kinds or a body that came whole. Whoever waits here holds at most a
//! place in the queue; it is given back with the future.

use std::sync::Arc;

use modmesh_protocol::goproxy::{ProxyUrl, Scheme};
use tokio::io::AsyncWriteExt;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::file_url::{self, Directory};
use super::health::{Failure, Health, Pauses, Ticket};
use super::http::{HttpClient, HttpError, Reply};
use super::{
    Downloaded, ErrorAnswer, Options, RequestKind, RoadState, Sink, StartError, UpstreamError,
    Watch, leaks_credentials,
};

/// The longest text of an error answer that is passed on.
const ERROR_TEXT_BYTES_MAX: usize = 8 << 10;

/// A proxy of the list, or a checksum database.
pub(super) struct Entry {
    url: ProxyUrl,
    /// Whether this is a checksum database itself and no proxy.
    is_database: bool,
    road: Road,
    health: Health,
}

/// What all entries share.
pub(super) struct Town {
    client: HttpClient,
    watch: Arc<dyn Watch>,
    all: Semaphore,
    zips: Semaphore,
    pauses: Pauses,
    pub(super) options: Options,
}

/// A question for an entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    /// Relative and escaped as module paths are, checked by [`Question::new`].
    path: &'a str,
    pub(super) bytes_max: u64,
}

/// Where the body goes, and whether something of a failed one is in it.
pub(super) struct Body<'a> {
    sink: &'a mut dyn Sink,
    is_dirty: bool,
}

enum Road {
    Http,
    File(Directory),
}

impl<'a> Question<'a> {
    /// # Errors
    /// 400 for a path with an empty, `.` or `..` element: no module has one, and they would leave the entry's base.
    pub(super) fn new(path: &'a str, bytes_max: u64) -> Result<Self, UpstreamError> {
        let is_bad = |element: &str| matches!(element, "" | "." | "..");
        if path.split('/').any(is_bad) || path.contains(['\\', '\0']) {
            return Err(UpstreamError::Refused(ErrorAnswer {
                status: 400,
                text: Some("no path of a module proxy looks like this".to_owned()),
                url: "this host".to_owned(),
            }));
        }
        Ok(Self { path, bytes_max })
    }
}

impl<'a> Body<'a> {
    pub(super) fn new(sink: &'a mut dyn Sink) -> Self {
        Self {
            sink,
            is_dirty: false,
        }
    }

    /// Makes the sink ready for the body of another entry.
    pub(super) async fn clean(&mut self) -> Result<(), UpstreamError> {
        if self.is_dirty {
            self.sink.restart().await.map_err(UpstreamError::Sink)?;
            self.is_dirty = false;
        }
        Ok(())
    }

    pub(super) async fn write(&mut self, piece: &[u8]) -> Result<(), UpstreamError> {
        self.is_dirty = true;
        self.sink
            .write_all(piece)
            .await
            .map_err(UpstreamError::Sink)
    }

    pub(super) async fn finish(&mut self) -> Result<(), UpstreamError> {
        self.sink.flush().await.map_err(UpstreamError::Sink)
    }
}

impl Town {
    pub(super) fn new(
        options: Options,
        needs_tls: bool,
        watch: Arc<dyn Watch>,
    ) -> Result<Self, StartError> {
        let places = options.concurrency_max.clamp(1, Semaphore::MAX_PERMITS);
        Ok(Self {
            client: HttpClient::new(&options, needs_tls)?,
            watch,
            all: Semaphore::new(places),
            zips: Semaphore::new((places - places / 4).max(1)),
            pauses: Pauses {
                first: options.pause,
                max: options.pause_max,
            },
            options,
        })
    }

    /// A place among the requests that run. Zips stand in a queue of their own first, so that they never take the
    /// places that small files need.
    async fn place(
        &self,
        kind: RequestKind,
    ) -> (Option<SemaphorePermit<'_>>, Option<SemaphorePermit<'_>>) {
        // The semaphores are never closed, so there is always a permit in the end.
        let zip = match kind {
            RequestKind::Zip => self.zips.acquire().await.ok(),
            _ => None,
        };
        (self.all.acquire().await.ok(), zip)
    }
}

impl Entry {
    pub(super) fn new(url: ProxyUrl) -> Result<Self, StartError> {
        if leaks_credentials(&url) {
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
                self.ask_file(town, kind, directory, question, body, ticket)
                    .await
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
            return self.receive(town, question, reply, body).await;
        }
        Err(self.refusal(town, question.path, reply).await)
    }

    /// Reads the body of a 200.
    async fn receive(
        &self,
        town: &Town,
        question: Question<'_>,
        mut reply: Reply,
        body: &mut Body<'_>,
    ) -> Result<Downloaded, UpstreamError> {
        let too_large = || UpstreamError::TooLarge {
            url: self.shown(question.path),
            bytes_max: question.bytes_max,
        };
        if reply
            .content_length
            .is_some_and(|length| length > question.bytes_max)
        {
            return Err(too_large());
        }
        let cut = |error: HttpError| self.unreachable(question.path, error.text());
        let mut bytes = 0;
        while let Some(piece) = reply.piece().await.map_err(cut)? {
            town.watch.received_bytes(piece.len() as u64);
            bytes += piece.len() as u64;
            if bytes > question.bytes_max {
                return Err(too_large());
            }
            body.write(&piece).await?;
        }
        if reply.content_length.is_some_and(|length| length != bytes) {
            let reason = "the body is not as long as announced".to_owned();
            return Err(self.unreachable(question.path, reason));
        }
        body.finish().await?;
        Ok(Downloaded {
            bytes,
            content_type: reply.content_type,
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

    async fn ask_file(
        &self,
        town: &Town,
        kind: RequestKind,
        directory: &Directory,
        question: Question<'_>,
        body: &mut Body<'_>,
        ticket: Ticket<'_>,
    ) -> Result<Downloaded, UpstreamError> {
        use file_url::Absence;
        let mut file = match directory.open(question.path).await {
            Ok(file) => file,
            Err(absence) => {
                let status = absence.status();
                town.watch.request(kind, status.unwrap_or(0));
                ticket.answered();
                return Err(match (status, absence) {
                    (Some(status), _) => {
                        UpstreamError::of_status(self.answer(question.path, status, None))
                    }
                    (None, Absence::Broken(error) | Absence::Refused(error)) => {
                        self.unreachable(question.path, error.to_string())
                    }
                    (None, Absence::Missing) => {
                        self.unreachable(question.path, "missing".to_owned())
                    }
                });
            }
        };
        town.watch.request(kind, 200);
        ticket.answered();
        let mut bytes = 0;
        loop {
            let piece = file
                .piece()
                .await
                .map_err(|error| self.unreachable(question.path, error.to_string()))?;
            if piece.is_empty() {
                break;
            }
            town.watch.received_bytes(piece.len() as u64);
            bytes += piece.len() as u64;
            if bytes > question.bytes_max {
                return Err(UpstreamError::TooLarge {
                    url: self.shown(question.path),
                    bytes_max: question.bytes_max,
                });
            }
            body.write(&piece).await?;
        }
        body.finish().await?;
        Ok(Downloaded {
            bytes,
            content_type: None,
            url: self.shown(question.path),
        })
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

/// The text of an error answer, where it is meant for people: declared as plain text in UTF-8 (or a subset of it), as
/// in cmd/go/internal/web, and without control characters.
fn plain_text(content_type: Option<&str>, body: &[u8]) -> Option<String> {
    let mut parameters = content_type?.split(';').map(str::trim);
    if !parameters.next()?.eq_ignore_ascii_case("text/plain") {
        return None;
    }
    let charset = parameters.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let is_charset = name.trim().eq_ignore_ascii_case("charset");
        is_charset.then(|| value.trim().trim_matches('"').to_ascii_lowercase())
    });
    if !matches!(charset.as_deref(), None | Some("utf-8" | "us-ascii")) {
        return None;
    }
    let text = match std::str::from_utf8(body) {
        Ok(text) => text,
        // Only a character that the cut at the bound halved.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(body.get(..error.valid_up_to())?).ok()?
        }
        Err(_) => return None,
    };
    let is_binary = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    (!text.trim().is_empty() && !text.contains(is_binary)).then(|| text.to_owned())
}
