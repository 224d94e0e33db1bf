//! What this host does with others that ask the same upstream: the places that the hosts of its site share, and that an entry
//! wants to rest.
//!
//! This room knows no neighbours: it waits for a place where it is given somebody to ask ([`SiteLine`]), and tells and hears of rests by the
//! names of entries. Of an entry with userinfo, or of a folder, nothing is told: what it says to one it may not say to another.

use std::any::Any;
use std::time::Duration;

use futures::future::BoxFuture;
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::goproxy::{ProxyUrl, Scheme};
use modmesh_protocol::peer_name::PeerName;

use super::{Inner, Stop, Upstream};

/// The others of this site, as this room needs them.
pub trait SiteLine: Send + Sync {
    /// A place among the requests that the hosts of the site have under way; nothing, at once, where there is no cap. It is waited for
    /// no longer than is documented there.
    fn place(&self, is_zip: bool) -> BoxFuture<'_, Option<SitePlace>>;
    /// An entry of this name told this host to leave it alone for so long; no time where it answered, and members had said otherwise.
    fn rests(&self, entry: KeyHash, rest: Duration);
}

/// A place; free again when this is dropped.
pub struct SitePlace {
    /// What keeps it.
    pub held: Box<dyn Any + Send>,
    /// For how long it was waited for.
    pub waited: Duration,
    /// Whether that was in vain, and the request goes ahead all the same.
    pub in_vain: bool,
}

impl std::fmt::Debug for SitePlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SitePlace").finish_non_exhaustive()
    }
}

/// The name of an entry among members; nothing where it may say something else to each of them.
pub(super) fn name_of(url: &ProxyUrl) -> Option<KeyHash> {
    let is_alike = url.scheme() != Scheme::File && !url.has_userinfo();
    is_alike.then(|| KeyHash::of_list(&url.to_string()))
}

impl Upstream {
    /// From now on places are asked for there, and rests told. Only the first call counts.
    pub fn stand_in(&self, line: Box<dyn SiteLine>) {
        let _second = self.inner.town.line.set(line);
    }

    /// The member `from` says that the entry of this name wants to be left alone for so long; no time where it answers again.
    /// True when an entry is left alone because of that. One that this host does not have is none of its business.
    pub fn heard_rest(&self, from: &PeerName, entry: KeyHash, rest: Duration) -> bool {
        let mut is_followed = false;
        for known in self.inner.entries_named(entry) {
            let refusals = known.refusals();
            match rest.is_zero() {
                true => refusals.heard_answer(),
                false => is_followed |= refusals.heard_rest(rest, from, &known.url().to_string()),
            }
        }
        is_followed
    }
}

impl Inner {
    fn entries_named(&self, name: KeyHash) -> Vec<std::sync::Arc<super::Entry>> {
        let listed = self.stops.iter().filter_map(|stop| match stop {
            Stop::Entry(entry) => Some(std::sync::Arc::clone(entry)),
            Stop::Direct(_) | Stop::Off => None,
        });
        let all = listed.chain(self.databases_themselves());
        all.filter(|entry| name_of(entry.url()) == Some(name))
            .collect()
    }
}
