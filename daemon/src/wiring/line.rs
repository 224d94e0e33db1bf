//! The others of this site, as the upstream needs them.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::line::Class;

use crate::metrics::Metrics;
use crate::peers::Peers;
use crate::upstream::{SiteLine, SitePlace};

/// Asks the neighbours for places, and tells members of rests.
#[derive(Debug)]
pub(crate) struct LineOfSite {
    pub peers: Peers,
    pub metrics: Metrics,
}

impl SiteLine for LineOfSite {
    fn place(&self, is_zip: bool) -> BoxFuture<'_, Option<SitePlace>> {
        let class = match is_zip {
            true => Class::Zip,
            false => Class::Small,
        };
        let place = async move {
            let place = self.peers.upstream_place(class).await?;
            self.metrics.stood_in_line(place.waited, place.in_vain);
            Some(SitePlace {
                waited: place.waited,
                in_vain: place.in_vain,
                held: Box::new(place),
            })
        };
        place.boxed()
    }

    fn rests(&self, entry: KeyHash, rest: Duration) {
        self.metrics.upstream_rest(match rest.is_zero() {
            true => "overruled",
            false => "told",
        });
        self.peers.tell_rest(entry, rest);
    }
}
