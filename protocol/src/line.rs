//! A cap that the hosts of a site keep together on the requests that they have under way to their upstream, with no server.
//!
//! One host keeps the line: the first [owner](crate::lease::owners) of [`place_of_the_line`]. It is a [`Gatekeeper`] and remembers who
//! has how many places. Each host that has a cap is a [`Guest`]: it says how many requests it has under way and how many wait, and
//! hears how many it may have. A promise lasts [`LEASE`] and is renewed while it is used, so that the places of one that has died come
//! back by themselves. A gatekeeper begins with nothing: the guests tell it what they hold.
//!
//! All of it is advice between hosts that want to keep to it. Nobody waits for ever: a guest that was given no place for
//! [`Class::wait_max`] goes ahead, and whoever had it wait is passed over by it. What always holds is that of the guests which hear one gatekeeper,
//! and keep to this, no more than the cap have a place at the same time, whatever becomes of messages.
//!
//! Pure: no clock and no network. Moments are durations since a start that the caller chooses.

mod gatekeeper;
mod guest;
mod words;

use std::time::Duration;

pub use gatekeeper::{Gatekeeper, Standing};
pub use guest::Guest;
pub use words::{LineAnswer, LineQuestion, Load, PlacesAsked, PlacesTold};

use crate::artifact::KeyHash;
use crate::digest::Hasher;

/// The largest cap: 64 requests of each of 128 hosts.
pub const PLACES_MAX: u16 = 8192;
/// How long what a gatekeeper promised lasts, and how long it remembers a host that it has promised something.
pub const LEASE: Duration = Duration::from_secs(3);
/// How often a guest that holds places says so: three times while a promise lasts.
pub const RENEW_EVERY: Duration = Duration::from_secs(1);
/// How long an answer of a gatekeeper is waited for: a machine that builds with all its cores needs some of it.
pub const SILENT_AFTER: Duration = Duration::from_secs(1);
/// For how long somebody who follows another gatekeeper gives nothing new: until all who hold places from that one have noticed and told it.
pub const SETTLE: Duration = Duration::from_millis(2500);
/// How long a host may begin one request after the other in its places before it is the turn of those that wait.
pub const TURN: Duration = Duration::from_secs(1);
/// How long a host keeps a place that it does not use: the next request of a build mostly follows the last.
pub const LINGER: Duration = Duration::from_millis(50);
/// The longest that is told of a rest of an upstream, and the longest that such word of a member is followed.
pub const REST_HEARD_MAX: Duration = Duration::from_secs(60);

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Anything but a zip.
    Small,
    /// A zip: it may take minutes, and never takes the last place of two or more, so that small answers need not wait for it.
    Zip,
}

impl Class {
    /// Both, the small one first.
    pub const ALL: [Self; 2] = [Self::Small, Self::Zip];

    /// How long a host waits, while it is given no place of this class at all, until it goes ahead without one.
    pub const fn wait_max(self) -> Duration {
        match self {
            Self::Small => Duration::from_secs(10),
            Self::Zip => Duration::from_secs(30),
        }
    }
}

/// Where the line stands among the places that hosts own.
pub fn place_of_the_line() -> KeyHash {
    let mut hasher = Hasher::new();
    hasher.update(b"modmesh/1\0line");
    KeyHash(hasher.finish())
}

/// Of so many places those that zips may take: all but a quarter, and where there are two or more all but one.
pub fn zips_of(places: u16) -> u16 {
    match places {
        0 | 1 => places,
        several => several - (several / 4).max(1),
    }
}

/// The cap that a host keeps to by itself where nobody answers who keeps the line: its share, at least one place.
pub fn share_of(places: u16, hosts: usize) -> u16 {
    let hosts = u16::try_from(hosts).unwrap_or(u16::MAX).max(1);
    (places / hosts).max(1)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
