//! A neighbour or the upstream at work on a file, as the file's [`Story`] tells it.
//!
//! An attempt that is given up (its future dropped because somebody else was quicker) tells so by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use modmesh_protocol::control::Did;
use modmesh_protocol::peer_name::PeerName;

use super::sources::Miss;
use super::story::{Story, cut};
use crate::upstream::UpstreamError;

/// One who was asked to send it.
#[derive(Debug)]
pub(super) struct Attempt {
    story: Story,
    began: Instant,
    /// `None` for the upstream.
    peer: Option<PeerName>,
    /// Whether that is one of another site.
    across: bool,
    received: Arc<AtomicU64>,
    is_told: bool,
}

impl Story {
    /// `peer`, which may be `across`, begins to send the file; `received` counts the bytes.
    pub(super) fn transfer(
        &self,
        peer: &PeerName,
        across: bool,
        received: Arc<AtomicU64>,
    ) -> Attempt {
        let mut attempt = Attempt::begin(self, Some(peer.clone()), received);
        attempt.across = across;
        attempt
    }

    /// The upstream is asked; `received` counts the bytes.
    pub(super) fn upstream(&self, received: Arc<AtomicU64>) -> Attempt {
        Attempt::begin(self, None, received)
    }
}

impl Attempt {
    fn begin(story: &Story, peer: Option<PeerName>, received: Arc<AtomicU64>) -> Self {
        Self {
            story: story.clone(),
            began: Instant::now(),
            peer,
            across: false,
            received,
            is_told: false,
        }
    }

    /// The file came whole; `url` is who answered, when that was the upstream.
    pub(super) fn brought_it(self, url: Option<&str>) {
        let status = url.map(|_| 200);
        self.ended(url.map(str::to_owned), status, None);
    }

    /// It came to nothing.
    pub(super) fn missed(self, miss: &Miss) {
        match miss {
            Miss::Upstream(error) => self.refused(error),
            Miss::Peer(_) | Miss::Store(_) | Miss::Unproved(_) => {
                self.ended(None, None, Some(miss.to_string()));
            }
        }
    }

    /// The upstream did not give it.
    pub(super) fn refused(self, error: &UpstreamError) {
        let (url, status) = asked(error);
        self.ended(url, status, Some(error.to_string()));
    }

    /// Nobody was asked.
    pub(super) fn never_was(mut self) {
        self.is_told = true;
    }

    fn ended(mut self, url: Option<String>, status: Option<u16>, failed: Option<String>) {
        self.tell(url, status, failed);
    }

    fn tell(&mut self, url: Option<String>, status: Option<u16>, failed: Option<String>) {
        self.is_told = true;
        let (url, failed) = (url.as_deref().map(cut), failed.as_deref().map(cut));
        let bytes = self.received.load(Ordering::Relaxed);
        let did = match self.peer.take() {
            Some(peer) => Did::Transfer {
                peer,
                across: self.across,
                bytes,
                failed,
            },
            None => Did::Upstream {
                url,
                status,
                bytes,
                failed,
            },
        };
        self.story.tell(self.began, did);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.is_told {
            self.tell(None, None, Some("left for somebody quicker".to_owned()));
        }
    }
}

/// Who was asked and what status it answered, as far as the error knows.
fn asked(error: &UpstreamError) -> (Option<String>, Option<u16>) {
    match (error.answer(), error) {
        (Some(answer), _) => (Some(answer.url.clone()), Some(answer.status)),
        (None, UpstreamError::Unreachable { url, .. } | UpstreamError::TooLarge { url, .. }) => {
            (Some(url.clone()), None)
        }
        _ => (None, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_that_is_given_up_tells_so() {
        let story = Story::begin(Arc::default());
        drop(story.upstream(Arc::new(AtomicU64::new(7))));
        let steps = story.shown().steps;
        assert!(
            matches!(&steps[0].did, Did::Upstream { bytes: 7, failed: Some(why), .. } if why.contains("quicker"))
        );
    }
}
