//! What all entries share: the client, the places in the queue, and the question with the body that answers it.
//!
//! At most so many requests run at a time as there are places; zips may take three quarters of them, since a `.mod`
//! never waits for a `.zip`. What they bring keeps to one limit; a small one is shared by fewer zips, so that each keeps moving.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use modmesh_protocol::control::{CapStatus, RateStatus};
use modmesh_protocol::rate::Minute;
use tokio::io::AsyncWriteExt;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::health::Pauses;
use super::http::HttpClient;
use super::{ErrorAnswer, Options, RequestKind, Sink, SiteLine, StartError, UpstreamError, Watch};
use crate::manners::{Class, Direction, Place, Places, Throttle};

/// What all entries share.
pub(super) struct Town {
    pub(super) client: HttpClient,
    pub(super) watch: Arc<dyn Watch>,
    all: Semaphore,
    zips: Places,
    all_max: usize,
    /// Places for zips where no limit makes them fewer.
    zips_max: usize,
    pub(super) throttle: Throttle,
    /// The others of this site, once they are known.
    pub(super) line: OnceLock<Box<dyn SiteLine>>,
    pub(super) pauses: Pauses,
    pub(super) options: Options,
}

/// A question for an entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    /// Relative and escaped as module paths are, checked by [`Question::new`].
    pub(super) path: &'a str,
    pub(super) bytes_max: u64,
    /// How often the same entry is asked again when it fails in passing.
    pub(super) retries: u32,
}

/// Where the body goes, and whether something of a failed one is in it.
pub(super) struct Body<'a> {
    sink: &'a mut dyn Sink,
    is_dirty: bool,
}

impl<'a> Question<'a> {
    /// # Errors
    /// 400 for a path with an empty, `.` or `..` element: no module has one, and they would leave the entry's base.
    pub(super) fn new(path: &'a str, bytes_max: u64, retries: u32) -> Result<Self, UpstreamError> {
        let is_bad = |element: &str| matches!(element, "" | "." | "..");
        if path.split('/').any(is_bad) || path.contains(['\\', '\0']) {
            return Err(UpstreamError::Refused(ErrorAnswer {
                status: 400,
                text: Some("no path of a module proxy looks like this".to_owned()),
                url: "this host".to_owned(),
                retry_after: None,
            }));
        }
        Ok(Self {
            path,
            bytes_max,
            retries,
        })
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

    /// An entry did not give the body.
    pub(super) fn missed(&mut self, error: &UpstreamError) {
        self.sink.missed(error);
    }

    /// A place of the site was waited for.
    pub(super) fn stood_in_line(&mut self, waited: Duration, in_vain: bool) {
        self.sink.stood_in_line(waited, in_vain);
    }

    /// Its sender says how long it is.
    pub(super) fn announced(&mut self, bytes: u64) {
        self.sink.announced(bytes);
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
        let zips = (places - places / 4).max(1);
        let (class, limit) = (Class::Upstream, options.limit.clone());
        let throttle = Throttle::new(class, Direction::Down, limit, Minute::default(), zips);
        Ok(Self {
            client: HttpClient::new(&options, needs_tls)?,
            watch,
            all: Semaphore::new(places),
            zips: Places::new(throttle.shares(zips)),
            all_max: places,
            zips_max: zips,
            throttle,
            line: OnceLock::new(),
            pauses: Pauses {
                first: options.pause,
                max: options.pause_max,
            },
            options,
        })
    }

    /// It is this minute of the week; see [`super::Upstream::it_is`].
    pub(super) fn it_is(&self, minute: Minute) {
        self.throttle.it_is(minute);
        self.zips.set_most(self.throttle.shares(self.zips_max));
    }

    /// For people to see.
    pub(super) fn limits(&self) -> (RateStatus, Vec<CapStatus>) {
        let all = self.all_max.saturating_sub(self.all.available_permits());
        let caps = vec![
            CapStatus::new("upstream", all, self.all_max),
            CapStatus::new("upstream_zips", self.zips.taken(), self.zips.most()),
        ];
        (self.throttle.status(), caps)
    }

    /// A place among the requests that run. Zips stand in a queue of their own first, so that they never take the
    /// places that small files need.
    pub(super) async fn place(
        &self,
        kind: RequestKind,
    ) -> (Option<SemaphorePermit<'_>>, Option<Place>) {
        let zip = match kind {
            RequestKind::Zip => Some(self.zips.take().await),
            _ => None,
        };
        // The semaphore is never closed, so there is always a permit in the end.
        (self.all.acquire().await.ok(), zip)
    }
}
