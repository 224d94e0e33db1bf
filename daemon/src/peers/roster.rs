//! What this host knows of its neighbours: the one shared table, behind one short lock.
//!
//! A neighbour is *usable* when it is connected, said hello and is not banned. History (bytes, errors, lies, whether it ever
//! delivered something proven) outlives the connection, bounded by forgetting those that left longest ago. Bans count on the
//! monotonic clock and do not survive a restart: a liar that lies again is caught again.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use libp2p::PeerId;
use modmesh_protocol::control::{Evidence, FoundBy, PassedOver, PeerStatus, rfc3339};
use modmesh_protocol::lease::{Member, MemberId};
use modmesh_protocol::limits::{
    ADDRESSES_PER_PEER_MAX, ANNOUNCEMENTS_BURST_MAX, ANNOUNCEMENTS_PER_SECOND_MAX, BAN,
    REMEMBERED_PEERS_MAX,
};
use modmesh_protocol::peer_name::PeerName;
use modmesh_protocol::site::{Site, is_across};
use modmesh_protocol::wire::GIVES_INLINE;

use super::crossing::Place;
use super::members::Said;
use super::{lock, name_of, peer_id_of};

/// How long a neighbour that was silent for two seconds is asked last, or not at all where somebody else can be asked; and
/// how long one comes after others that said it has a file and did not give it.
const SLOW: Duration = Duration::from_secs(30);
/// How long one is left alone whom this host's user distrusts: longer than any daemon runs.
const FOR_GOOD: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
/// Lies that are listed per neighbour; the files of older ones stay in the ring.
const LISTED_LIES_MAX: usize = 16;

/// The table.
#[derive(Debug, Default)]
pub(super) struct Roster(Mutex<HashMap<PeerId, Neighbour>>);

/// How much the word of a neighbour counts that says it has something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Proven,
    Stranger,
    Doubtful,
}

/// One that can be asked as an owner.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settled {
    pub(super) peer: PeerId,
    pub(super) member: Member,
}

#[derive(Debug)]
struct Neighbour {
    name: PeerName,
    found_by: FoundBy,
    addresses: Vec<String>,
    connections: usize,
    /// Whether one of them came over a link of this host.
    on_link: bool,
    /// By its own word.
    site: Option<Site>,
    /// Whether that makes it one of another site.
    across: bool,
    greeted: bool,
    /// By what it showed on a connection that still stands that it is a member.
    member: Option<Said>,
    proven: bool,
    round_trip: Option<Duration>,
    received_bytes: u64,
    sent_bytes: u64,
    last_error: Option<String>,
    /// For how long it had been up at a moment, by its own word.
    up_before: (Instant, Duration),
    /// Until when it is not asked as an owner, and for whom it had this host wait.
    vain_until: Option<(Instant, String)>,
    slow_until: Option<Instant>,
    doubted_until: Option<Instant>,
    /// Whether it answers questions for small files with their proofs, by its own word.
    gives_inline: bool,
    /// Until when it is not asked so all the same.
    plain_until: Option<Instant>,
    banned_until: Option<Instant>,
    lies: Vec<(SystemTime, String, Option<PathBuf>)>,
    seen_at: Instant,
    announcements: Allowance,
}

/// A token bucket for announcements.
#[derive(Debug)]
struct Allowance {
    left: f64,
    counted_at: Instant,
}

impl Roster {
    /// A connection to `peer` was made.
    pub(super) fn connected(&self, peer: &PeerId, address: String, found_by: FoundBy) {
        self.change(peer, |n| {
            if n.connections == 0 {
                n.member = None;
            }
            n.connections += 1;
            n.found_by = better(n.found_by, found_by);
            n.addresses.retain(|known| *known != address);
            n.addresses.insert(0, address);
            n.addresses.truncate(ADDRESSES_PER_PEER_MAX);
        });
    }

    /// The connection to `peer` that was just made is `on_link`, or came over a router; `home` is this host's site.
    pub(super) fn stands(&self, peer: &PeerId, on_link: bool, home: Option<&Site>) {
        self.change(peer, |n| {
            if n.connections <= 1 {
                (n.on_link, n.site) = (false, None);
            }
            n.on_link |= on_link;
            n.across = is_across(home, n.site.as_ref(), n.on_link);
        });
    }

    /// `peer` says of which site it is; `home` is this host's.
    pub(super) fn is_of(&self, peer: &PeerId, site: Option<Site>, home: Option<&Site>) {
        self.change(peer, |n| {
            n.across = is_across(home, site.as_ref(), n.on_link);
            n.site = site;
        });
    }

    /// Whether it is of another site.
    pub(super) fn is_across(&self, peer: &PeerId) -> bool {
        lock(&self.0).get(peer).is_some_and(|n| n.across)
    }

    /// Its site, where that is another one.
    pub(super) fn place_of(&self, peer: &PeerId) -> Option<Place> {
        let peers = lock(&self.0);
        peers.get(peer)?.place()
    }

    /// Those of other sites that can be asked now.
    pub(super) fn across(&self) -> Vec<(PeerName, Place)> {
        let now = Instant::now();
        let peers = lock(&self.0);
        let across = peers.values().filter(|n| n.is_usable(now));
        let across = across.filter_map(|n| Some((n.name.clone(), n.place()?)));
        across.collect()
    }

    /// A connection ended; `remaining` others are left. Whether a usable neighbour went with it.
    pub(super) fn disconnected(&self, peer: &PeerId, remaining: usize) -> bool {
        self.change(peer, |n| {
            n.connections = remaining;
            let went = remaining == 0 && n.greeted;
            if remaining == 0 {
                n.greeted = false;
                n.member = None;
                n.round_trip = None;
            }
            went
        })
    }

    /// `peer` said hello, and that it has been `up` for so long. How it was found, when it became a neighbour by that.
    pub(super) fn greeted(&self, peer: &PeerId, up: Duration) -> Option<FoundBy> {
        self.change(peer, |n| {
            let came = n.connections > 0 && !n.greeted;
            n.up_before = (Instant::now(), up);
            n.greeted |= came;
            came.then_some(n.found_by)
        })
    }

    /// `peer` said in its hello what it can do.
    pub(super) fn can_do(&self, peer: &PeerId, capabilities: u64) {
        self.change(peer, |n| {
            n.gives_inline = capabilities & GIVES_INLINE != 0;
            n.plain_until = None;
        });
    }

    /// In which order those are asked for a small file with its proof that can be: who delivered before comes first, then the nearest.
    /// Nothing for one that is not asked so.
    pub(super) fn inline_rank(&self, peer: &PeerName) -> Option<(Rank, Duration)> {
        let now = Instant::now();
        let able = |n: &mut Neighbour| {
            let is_plain = n.plain_until.is_some_and(|until| now < until);
            let far = n.round_trip.unwrap_or(Duration::MAX);
            (n.gives_inline && !is_plain).then_some(far)
        };
        let far = self.named(peer, able).flatten()?;
        match self.rank(peer) {
            Rank::Doubtful => None,
            rank => Some((rank, far)),
        }
    }

    /// `peer` gave such an answer too slowly: it is not asked so for a while.
    pub(super) fn is_slow_inline(&self, peer: &PeerId) {
        self.change(peer, |n| n.plain_until = Some(Instant::now() + SLOW));
    }

    /// `peer` did not understand such a question: it is not asked so before it says hello again.
    pub(super) fn gives_no_inline(&self, peer: &PeerId) {
        self.change(peer, |n| n.gives_inline = false);
    }

    /// `peer` is a member by what it `said`.
    pub(super) fn is_a_member_by(&self, peer: &PeerId, said: Said) {
        self.change(peer, |n| n.member = Some(said));
    }

    /// Whether it showed, on a connection that still stands, that it is a member.
    pub(super) fn is_member(&self, peer: &PeerId) -> bool {
        let peers = lock(&self.0);
        peers.get(peer).is_some_and(Neighbour::is_member)
    }

    /// All that are members now, with what they said.
    pub(super) fn members(&self) -> Vec<(PeerId, Said)> {
        let peers = lock(&self.0);
        let said = |(peer, n): (&PeerId, &Neighbour)| {
            let said = n.member.clone().filter(|_| n.is_member())?;
            Some((*peer, said))
        };
        peers.iter().filter_map(said).collect()
    }

    /// Number of those that can be asked now and are members.
    pub(super) fn member_count(&self) -> usize {
        let now = Instant::now();
        let peers = lock(&self.0);
        let members = peers.values().filter(|n| n.is_usable(now) && n.is_member());
        members.count()
    }

    /// A better way to find a neighbour that is known already: who called us is also heard by multicast, perhaps.
    pub(super) fn also_found(&self, peer: &PeerId, by: FoundBy) {
        if let Some(n) = lock(&self.0).get_mut(peer) {
            n.found_by = better(n.found_by, by);
        }
    }

    /// Whether it said hello on a connection that still stands.
    pub(super) fn is_greeted(&self, peer: &PeerId) -> bool {
        lock(&self.0).get(peer).is_some_and(|n| n.greeted)
    }

    /// Whether it can be asked now.
    pub(super) fn is_usable(&self, peer: &PeerId) -> bool {
        let now = Instant::now();
        lock(&self.0).get(peer).is_some_and(|n| n.is_usable(now))
    }

    /// All that can be asked now.
    pub(super) fn usable(&self) -> Vec<PeerName> {
        let now = Instant::now();
        let peers = lock(&self.0);
        let usable = peers.values().filter(|n| n.is_usable(now));
        usable.map(|n| n.name.clone()).collect()
    }

    /// All of this host's site that can be asked now.
    pub(super) fn usable_here(&self) -> Vec<PeerName> {
        let now = Instant::now();
        let peers = lock(&self.0);
        let usable = peers.values().filter(|n| n.is_usable(now) && !n.across);
        usable.map(|n| n.name.clone()).collect()
    }

    /// Number of those that can be asked now.
    pub(super) fn usable_count(&self) -> usize {
        let now = Instant::now();
        let peers = lock(&self.0);
        peers.values().filter(|n| n.is_usable(now)).count()
    }

    /// How many are connected, those who have not said hello yet among them.
    pub(super) fn connected_count(&self) -> usize {
        let peers = lock(&self.0);
        peers.values().filter(|n| n.connections > 0).count()
    }

    /// Whether it is left alone for a lie.
    pub(super) fn is_banned(&self, peer: &PeerId) -> bool {
        let now = Instant::now();
        lock(&self.0).get(peer).is_some_and(|n| n.is_banned(now))
    }

    /// Leaves `peer` alone for an hour, and remembers the lie with the file that keeps its bytes.
    pub(super) fn ban(&self, peer: &PeerId, what: &str, file: Option<PathBuf>) {
        self.change(peer, |n| {
            n.banned_until = Some(Instant::now() + BAN);
            n.last_error = Some(what.to_owned());
            n.lies.push((SystemTime::now(), what.to_owned(), file));
            if n.lies.len() > LISTED_LIES_MAX {
                n.lies.remove(0);
            }
        });
    }

    /// Leaves `peer` alone until it is pardoned. That is no lie of its own.
    pub(super) fn leave_alone(&self, peer: &PeerId, why: &str) {
        self.change(peer, |n| {
            n.banned_until = Some(Instant::now() + FOR_GOOD);
            n.last_error = Some(why.to_owned());
        });
    }

    /// Speaks to `peer` again.
    pub(super) fn pardon(&self, peer: &PeerId) {
        self.change(peer, |n| {
            n.banned_until = None;
            n.last_error = None;
        });
    }

    /// `peer` delivered bytes that were proven.
    pub(super) fn proven(&self, peer: &PeerId) {
        self.change(peer, |n| n.proven = true);
    }

    /// Whether it ever delivered bytes that were proven.
    pub(super) fn is_proven(&self, peer: &PeerId) -> bool {
        lock(&self.0).get(peer).is_some_and(|n| n.proven)
    }

    /// Notes what went wrong last.
    pub(super) fn failed(&self, peer: &PeerId, error: String) {
        self.change(peer, |n| n.last_error = Some(error));
    }

    /// `peer` was silent for as long as anybody may be.
    pub(super) fn was_slow(&self, peer: &PeerName) {
        self.named(peer, |n| n.slow_until = Some(Instant::now() + SLOW));
    }

    /// Whether it was silent lately.
    pub(super) fn is_slow(&self, peer: &PeerName) -> bool {
        let now = Instant::now();
        let slow = |n: &mut Neighbour| n.slow_until.is_some_and(|until| now < until);
        self.named(peer, slow).unwrap_or_default()
    }

    /// `peer` said that it has a file and did not give it.
    pub(super) fn broke_its_word(&self, peer: &PeerId) {
        self.change(peer, |n| n.doubted_until = Some(Instant::now() + SLOW));
    }

    /// In which order those that say they have something are believed: who delivered before comes first, strangers next,
    /// and last who lately was silent or did not give what it said it has.
    pub(super) fn rank(&self, peer: &PeerName) -> Rank {
        let now = Instant::now();
        let lately = |until: Option<Instant>| until.is_some_and(|until| now < until);
        let rank = |n: &mut Neighbour| match n.proven {
            _ if lately(n.slow_until) || lately(n.doubted_until) => Rank::Doubtful,
            true => Rank::Proven,
            false => Rank::Stranger,
        };
        self.named(peer, rank).unwrap_or(Rank::Stranger)
    }

    /// Those that can be asked as owners now: of this site, so that each site has its own.
    pub(super) fn settled(&self) -> Vec<Settled> {
        let now = Instant::now();
        let peers = lock(&self.0);
        let able = peers
            .iter()
            .filter(|(_, n)| n.is_usable(now) && !n.across && n.vain(now).is_none());
        let settled = able.map(|(peer, n)| {
            let (at, up) = n.up_before;
            let member = Member {
                id: MemberId::of(&n.name),
                up: up.saturating_add(now.saturating_duration_since(at)),
            };
            Settled {
                peer: *peer,
                member,
            }
        });
        settled.collect()
    }

    /// `peer`, as an owner, said to wait for `holder`, in vain.
    pub(super) fn waited_in_vain(&self, peer: &PeerId, holder: &str) {
        self.change(peer, |n| {
            n.vain_until = Some((Instant::now() + BAN, holder.to_owned()));
        });
    }

    /// Notes a measured round trip.
    pub(super) fn round_trip(&self, peer: &PeerId, time: Duration) {
        self.change(peer, |n| n.round_trip = Some(time));
    }

    /// Counts bytes received from it; whether they came from another site.
    pub(super) fn received(&self, peer: &PeerId, bytes: u64) -> bool {
        self.change(peer, |n| {
            n.received_bytes += bytes;
            n.across
        })
    }

    /// Counts bytes sent to it; whether they went to another site.
    pub(super) fn sent(&self, peer: &PeerId, bytes: u64) -> bool {
        self.change(peer, |n| {
            n.sent_bytes += bytes;
            n.across
        })
    }

    /// Whether one more announcement of it may be taken now.
    pub(super) fn may_announce(&self, peer: &PeerId) -> bool {
        let now = Instant::now();
        let mut peers = lock(&self.0);
        let usable = peers.get_mut(peer).filter(|n| n.is_usable(now));
        usable.is_some_and(|n| n.announcements.take(now))
    }

    /// All neighbours for people to see, usable ones first, then by name.
    pub(super) fn snapshot(&self) -> Vec<PeerStatus> {
        let now = Instant::now();
        let peers = lock(&self.0);
        let mut list: Vec<_> = peers.values().map(|n| n.status(now)).collect();
        drop(peers);
        list.sort_by(|a, b| (!a.connected, &a.peer_id).cmp(&(!b.connected, &b.peer_id)));
        for lie in list.iter_mut().flat_map(|peer| &mut peer.evidence) {
            // The ring drops the oldest files without asking anybody.
            lie.file = lie.file.take().filter(|file| Path::new(file).exists());
        }
        list
    }

    fn named<T>(&self, peer: &PeerName, work: impl FnOnce(&mut Neighbour) -> T) -> Option<T> {
        let peer = peer_id_of(peer)?;
        lock(&self.0).get_mut(&peer).map(work)
    }

    fn change<T>(&self, peer: &PeerId, change: impl FnOnce(&mut Neighbour) -> T) -> T {
        let mut peers = lock(&self.0);
        if !peers.contains_key(peer) && peers.len() >= REMEMBERED_PEERS_MAX {
            forget_one(&mut peers);
        }
        let neighbour = peers.entry(*peer);
        let neighbour = neighbour.or_insert_with(|| Neighbour::new(name_of(peer)));
        neighbour.seen_at = Instant::now();
        change(neighbour)
    }
}

/// Forgets one that is not connected: not banned before banned, unproven before proven, longest unseen first.
fn forget_one(peers: &mut HashMap<PeerId, Neighbour>) {
    let now = Instant::now();
    let away = peers.iter().filter(|(_, n)| n.connections == 0);
    let least = away.min_by_key(|(_, n)| (n.is_banned(now), n.proven, n.seen_at));
    if let Some(least) = least.map(|(peer, _)| *peer) {
        peers.remove(&least);
    }
}

/// The better known of two ways: a person's word, the link's, what was true before, another neighbour's word, its own.
fn better(a: FoundBy, b: FoundBy) -> FoundBy {
    let rank = |by| match by {
        FoundBy::Static => 4,
        FoundBy::Mdns => 3,
        FoundBy::Remembered => 2,
        FoundBy::Neighbour => 1,
        FoundBy::Inbound => 0,
    };
    if rank(b) > rank(a) { b } else { a }
}

impl Neighbour {
    fn new(name: PeerName) -> Self {
        let now = Instant::now();
        Self {
            name,
            found_by: FoundBy::Inbound,
            addresses: Vec::new(),
            connections: 0,
            on_link: true,
            site: None,
            across: false,
            greeted: false,
            member: None,
            proven: false,
            round_trip: None,
            received_bytes: 0,
            sent_bytes: 0,
            last_error: None,
            up_before: (now, Duration::ZERO),
            vain_until: None,
            slow_until: None,
            doubted_until: None,
            gives_inline: false,
            plain_until: None,
            banned_until: None,
            lies: Vec::new(),
            seen_at: now,
            announcements: Allowance {
                left: ANNOUNCEMENTS_BURST_MAX.into(),
                counted_at: now,
            },
        }
    }

    fn is_banned(&self, now: Instant) -> bool {
        self.banned_until.is_some_and(|until| now < until)
    }

    /// For how long it is still not asked as an owner, and for whom it had this host wait.
    fn vain(&self, now: Instant) -> Option<(Duration, &str)> {
        let (until, holder) = self.vain_until.as_ref()?;
        let left = until.saturating_duration_since(now);
        (!left.is_zero()).then_some((left, holder))
    }

    fn is_usable(&self, now: Instant) -> bool {
        self.connections > 0 && self.greeted && !self.is_banned(now)
    }

    fn place(&self) -> Option<Place> {
        let place = || Place::of(&self.name, self.site.as_ref());
        self.across.then(place)
    }

    fn is_member(&self) -> bool {
        self.connections > 0 && self.member.is_some()
    }

    fn status(&self, now: Instant) -> PeerStatus {
        let left = self.banned_until.map(|t| t.saturating_duration_since(now));
        let left = left.filter(|left| !left.is_zero());
        let evidence = |(at, what, file): &(SystemTime, String, Option<PathBuf>)| Evidence {
            at: text_of(*at),
            what: what.clone(),
            file: file.as_ref().map(|file| file.display().to_string()),
        };
        PeerStatus {
            peer_id: self.name.clone(),
            addrs: self.addresses.clone(),
            connected: self.is_usable(now),
            found_by: self.found_by,
            member: self.is_member(),
            site: self.site.as_ref().map(Site::to_string),
            across: self.across,
            rtt_ms: self.round_trip.map(|time| time.as_secs_f64() * 1000.0),
            received_bytes: self.received_bytes,
            sent_bytes: self.sent_bytes,
            last_error: self.last_error.clone(),
            banned_until: left.map(|left| text_of(SystemTime::now() + left)),
            evidence: self.lies.iter().map(evidence).collect(),
            up_seconds: self.is_usable(now).then(|| {
                let (at, up) = self.up_before;
                up.saturating_add(now.saturating_duration_since(at))
                    .as_secs()
            }),
            passed_over: self.vain(now).map(|(left, holder)| PassedOver {
                until: text_of(SystemTime::now() + left),
                reason: format!("had this host wait for {holder}, in vain"),
            }),
            distrusted: left.is_some_and(|left| left > FOR_GOOD / 2),
        }
    }
}

impl Allowance {
    fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.counted_at);
        let grown = self.left + passed.as_secs_f64() * f64::from(ANNOUNCEMENTS_PER_SECOND_MAX);
        self.left = grown.min(ANNOUNCEMENTS_BURST_MAX.into());
        self.counted_at = now;
        let enough = self.left >= 1.0;
        if enough {
            self.left -= 1.0;
        }
        enough
    }
}

fn text_of(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    rfc3339(since.as_secs())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_neighbour_is_usable_between_its_hello_and_its_end_or_lie() {
        let roster = Roster::default();
        let peer = PeerId::random();
        assert_eq!(roster.greeted(&peer, Duration::ZERO), None);
        roster.connected(&peer, "/ip4/127.0.0.1/tcp/1".into(), FoundBy::Mdns);
        assert!(!roster.is_usable(&peer));
        assert_eq!(roster.greeted(&peer, Duration::ZERO), Some(FoundBy::Mdns));
        assert_eq!(roster.greeted(&peer, Duration::ZERO), None);
        assert_eq!(roster.usable(), [name_of(&peer)]);
        assert!(!roster.disconnected(&peer, 1));
        assert!(roster.disconnected(&peer, 0));
        assert_eq!(roster.usable_count(), 0);
        roster.connected(&peer, "/ip4/127.0.0.1/tcp/2".into(), FoundBy::Inbound);
        roster.greeted(&peer, Duration::ZERO);
        roster.ban(&peer, "a flipped byte", None);
        assert!(!roster.is_usable(&peer) && roster.is_banned(&peer));
        let status = roster.snapshot().remove(0);
        assert_eq!(status.found_by, FoundBy::Mdns);
        assert_eq!(status.addrs.len(), 2);
        assert!(status.banned_until.is_some() && !status.connected);
        assert_eq!(status.evidence[0].what, "a flipped byte");
    }

    #[test]
    fn the_memory_of_those_who_left_is_bounded_and_liars_are_kept() {
        let roster = Roster::default();
        let (liar, proven) = (PeerId::random(), PeerId::random());
        roster.ban(&liar, "a flipped byte", None);
        roster.proven(&proven);
        for _ in 0..REMEMBERED_PEERS_MAX + 100 {
            roster.failed(&PeerId::random(), "unreachable".into());
        }
        assert_eq!(lock(&roster.0).len(), REMEMBERED_PEERS_MAX);
        assert!(roster.is_banned(&liar) && roster.is_proven(&proven));
    }

    #[test]
    fn who_delivered_comes_first_and_who_broke_its_word_last() {
        let roster = Roster::default();
        let [proven, stranger, liar] = [(); 3].map(|()| PeerId::random());
        roster.proven(&proven);
        roster.failed(&stranger, "a reset".into());
        roster.proven(&liar);
        roster.broke_its_word(&liar);
        let mut names = [&liar, &stranger, &proven].map(name_of);
        names.sort_by_key(|name| roster.rank(name));
        assert_eq!(names, [&proven, &stranger, &liar].map(name_of));
    }

    #[test]
    fn a_neighbour_is_of_another_site_by_its_link_or_its_name_and_then_no_owner() {
        let (roster, peer) = (Roster::default(), PeerId::random());
        let site = |name: &str| Some(name.parse::<Site>().unwrap());
        let home = site("berlin");
        let comes = |on_link: bool| {
            roster.disconnected(&peer, 0);
            roster.connected(&peer, "/ip4/10.0.0.1/tcp/1".into(), FoundBy::Static);
            roster.stands(&peer, on_link, home.as_ref());
            roster.greeted(&peer, Duration::ZERO);
        };
        comes(true);
        assert!(!roster.is_across(&peer));
        assert_eq!((roster.settled().len(), roster.across().len()), (1, 0));
        roster.is_of(&peer, site("tokyo"), home.as_ref());
        assert!(roster.is_across(&peer));
        assert_eq!((roster.settled().len(), roster.across().len()), (0, 1));
        assert!(roster.usable_here().is_empty() && roster.usable_count() == 1);
        assert_eq!(
            roster.place_of(&peer),
            Some(Place::Named(site("tokyo").unwrap()))
        );
        assert!(roster.received(&peer, 1) && roster.sent(&peer, 1));
        // The next connection is judged anew, and by its link until it says more.
        comes(false);
        assert_eq!(roster.place_of(&peer), Some(Place::Of(name_of(&peer))));
        roster.is_of(&peer, site("berlin"), home.as_ref());
        assert!(!roster.is_across(&peer));
        let status = roster.snapshot().remove(0);
        assert_eq!(
            (status.site.as_deref(), status.across),
            (Some("berlin"), false)
        );
        assert!(!roster.received(&peer, 1));
    }

    #[test]
    fn announcements_are_taken_at_a_bounded_rate() {
        let start = Instant::now();
        let mut allowance = Allowance {
            left: ANNOUNCEMENTS_BURST_MAX.into(),
            counted_at: start,
        };
        let taken = |a: &mut Allowance, at| (0..1000).filter(|_| a.take(at)).count();
        assert_eq!(taken(&mut allowance, start), 64);
        assert_eq!(taken(&mut allowance, start + Duration::from_secs(1)), 16);
        assert_eq!(taken(&mut allowance, start + Duration::from_secs(999)), 64);
    }
}
