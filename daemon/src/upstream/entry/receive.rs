//! Receiving a body, and taking it up again where it broke off.
//!
//! A resume asks the same entry for the rest of the very file that the first part came from: the same final URL, the
//! same version where the server names one, the same length in all, beginning at the byte that is missing. It is done
//! only for files that a hash will judge (`.mod`, `.zip`); the caller is told, so that a file which then proves false can
//! be fetched again in one piece.
//!
//! A zip is taken no faster than the limit of the town allows. The time for which it is held up counts against nobody: the deadlines
//! of a body run while its next piece is waited for.

use std::sync::Arc;

use bytes::Bytes;

use super::attempt::Trouble;
use super::{Entry, Received};
use crate::upstream::file_url::OpenFile;
use crate::upstream::http::{HttpError, Reply, Version};
use crate::upstream::town::{Body, Question, Town};
use crate::upstream::{RequestKind, UpstreamError};

/// How often one body is taken up again.
const RESUMES_MAX: u32 = 8;
/// A part below this is not worth a question for the rest, in bytes.
const PART_BYTES_MIN: u64 = 16 << 10;

/// A body on its way.
pub(super) struct Reception<'a> {
    entry: &'a Arc<Entry>,
    town: &'a Arc<Town>,
    kind: RequestKind,
    question: Question<'a>,
    /// Bytes of the file that are here, and of those what was here when it was taken up last.
    bytes: u64,
    bytes_at_resume: u64,
    resumes: u32,
}

/// Where the bytes of a body come from.
pub(super) enum Incoming {
    Reply(Box<Reply>),
    File(OpenFile),
}

impl<'a> Reception<'a> {
    pub(super) fn new(
        entry: &'a Arc<Entry>,
        town: &'a Arc<Town>,
        kind: RequestKind,
        question: Question<'a>,
    ) -> Self {
        Self {
            entry,
            town,
            kind,
            question,
            bytes: 0,
            bytes_at_resume: 0,
            resumes: 0,
        }
    }

    /// Reads the whole body of `incoming` into `body`.
    pub(super) async fn take(
        mut self,
        mut incoming: Incoming,
        body: &mut Body<'_>,
    ) -> Result<Received, Trouble> {
        let announced = incoming.length();
        if announced.is_some_and(|length| length > self.question.bytes_max) {
            return Err(self.too_large());
        }
        if let Some(length) = announced {
            body.announced(length);
        }
        let whole = incoming.version();
        loop {
            let reason = match self.take_until_cut(&mut incoming, announced, body).await? {
                None => break,
                Some(reason) => reason,
            };
            match self.resume(announced, whole.as_ref(), &reason).await {
                Some(rest) => incoming = Incoming::Reply(Box::new(rest)),
                None => {
                    let error = self.entry.unreachable(self.question.path, reason);
                    return Err(Trouble::soon(error));
                }
            }
        }
        body.finish().await?;
        Ok(Received {
            bytes: self.bytes,
            content_type: incoming.content_type(),
            url: self.entry.shown(self.question.path),
            resumed: self.resumes > 0,
        })
    }

    /// Reads on. Nothing when the body came whole, else why it broke off.
    async fn take_until_cut(
        &mut self,
        incoming: &mut Incoming,
        announced: Option<u64>,
        body: &mut Body<'_>,
    ) -> Result<Option<String>, Trouble> {
        loop {
            let piece = match incoming.piece().await {
                Ok(Some(piece)) => piece,
                Ok(None) if announced.is_some_and(|length| length != self.bytes) => {
                    return Ok(Some("the body is not as long as announced".to_owned()));
                }
                Ok(None) => return Ok(None),
                Err(reason) => return Ok(Some(reason)),
            };
            self.town.watch.received_bytes(piece.len() as u64);
            self.bytes += piece.len() as u64;
            if self.bytes > self.question.bytes_max {
                return Err(self.too_large());
            }
            self.keep(&piece, matches!(incoming, Incoming::Reply(_)), body)
                .await?;
        }
    }

    /// Writes a piece. Of a zip it goes part by part, each when the limit allows it; what is smaller is only counted.
    async fn keep(
        &self,
        piece: &[u8],
        is_from_afar: bool,
        body: &mut Body<'_>,
    ) -> Result<(), Trouble> {
        let throttle = &self.town.throttle;
        if !is_from_afar || self.kind != RequestKind::Zip {
            if is_from_afar {
                throttle.charge(piece.len() as u64);
            }
            return Ok(body.write(piece).await?);
        }
        let mut came = throttle.came(piece.len() as u64);
        for part in piece.chunks(throttle.part_bytes()) {
            came.pass(part.len() as u64).await;
            body.write(part).await?;
        }
        Ok(())
    }

    /// The rest of the file, if it can be had from where it broke off.
    async fn resume(
        &mut self,
        announced: Option<u64>,
        whole: Option<&Version>,
        reason: &str,
    ) -> Option<Reply> {
        let (length, version) = (announced?, whole?);
        let is_judged = matches!(self.kind, RequestKind::Mod | RequestKind::Zip);
        let has_progressed = self.bytes >= self.bytes_at_resume + PART_BYTES_MIN;
        if !is_judged || !has_progressed || self.bytes >= length || self.resumes >= RESUMES_MAX {
            return None;
        }
        self.resumes += 1;
        self.bytes_at_resume = self.bytes;
        tracing::debug!(
            path = self.question.path,
            at = self.bytes,
            reason,
            "a body is taken up again"
        );
        tokio::time::sleep(self.town.options.retry_pause).await;
        let from = Some((self.bytes, version));
        let asked = self
            .entry
            .reply(self.town, self.kind, self.question, from, false);
        let rest = asked.await.ok()?;
        let fits = rest.status == 206
            && !rest.is_encoded
            && rest.content_range == Some((self.bytes, length))
            && rest.version.is_of_the_same_file(version);
        fits.then_some(rest)
    }

    fn too_large(&self) -> Trouble {
        let error = UpstreamError::TooLarge {
            url: self.entry.shown(self.question.path),
            bytes_max: self.question.bytes_max,
        };
        error.into()
    }
}

impl Incoming {
    /// The length that is known beforehand.
    fn length(&self) -> Option<u64> {
        match self {
            Self::Reply(reply) => reply.content_length,
            // A file may grow while it is read: its end is where reading ends.
            Self::File(_) => None,
        }
    }

    fn version(&self) -> Option<Version> {
        match self {
            Self::Reply(reply) => Some(reply.version.clone()),
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
