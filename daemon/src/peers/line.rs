//! The line of this site for the upstream: this host as a guest in it, and as the one that keeps it. Besides, what members say
//! about an upstream that wants to rest.
//!
//! What to do is decided by [`Guest`] and [`Gatekeeper`]; here are their clock, their streams, and those that wait. Only a host that has a
//! cap ever asks. Who is asked is the first owner of the line that answers; one that is silent is passed over for a while, and where
//! nobody answers this host keeps to its share of the cap. A request waits no longer than [`Class::wait_max`] while this host is given no place.

mod asking;
mod standing;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::StreamExt;
use libp2p::PeerId;
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::control::LineStatus;
use modmesh_protocol::lease::MemberId;
use modmesh_protocol::line::{
    Class, Gatekeeper, Guest, LineQuestion, PlacesAsked, PlacesTold, REST_HEARD_MAX, Standing,
};
use tokio::sync::Notify;
use tokio::time::sleep_until;

pub(super) use asking::keep;
pub(super) use standing::{answer, look};

use super::{Peers, Shared, lock, name_of, peer_id_of};
use asking::ask_about;

/// For how long one is not asked that had this host wait in vain, or that does not know the question.
const IN_VAIN: Duration = Duration::from_secs(600);
/// The pause after one that is busy.
const BUSY: Duration = Duration::from_millis(100);
/// Hosts that are passed over at the same time; of more the one is forgotten that would be asked again first.
const PASSED_OVER_MAX: usize = 256;
/// Members that are told of a rest at the same time.
const TOLD_AT_ONCE_MAX: usize = 16;

/// Both sides of the line, as far as this host has to do with it.
#[derive(Debug)]
pub(super) struct Line {
    /// Nothing where this host has no cap.
    guest: Option<Mutex<Guest>>,
    gatekeeper: Mutex<Gatekeeper>,
    /// Keeps this host to its share while nobody answers.
    by_share: Mutex<Gatekeeper>,
    first: Mutex<Option<First>>,
    /// Until when somebody is not asked, this host included, and for how long that was.
    passed_over: Mutex<HashMap<PeerId, (Instant, Duration)>>,
    kept_by: Mutex<KeptBy>,
    /// There is something to ask.
    to_ask: Notify,
    /// There may be a place.
    freed: Notify,
    /// Held by the first request of each class that waits; fair, so that the others come in their order.
    heads: [tokio::sync::Mutex<()>; 2],
    began: Instant,
}

/// The first owner of the line, as it was seen last, and since when.
#[derive(Debug, Clone, Copy)]
struct First {
    id: MemberId,
    since: Duration,
    /// Whether it was somebody else before.
    follows: bool,
    /// Whether this host knew nobody else yet.
    is_alone: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum KeptBy {
    /// It was not needed yet.
    #[default]
    Unknown,
    Neighbour(PeerId),
    ThisHost,
    /// Nobody answers: each goes by its share.
    Nobody,
}

/// A place among the requests that the hosts of this site have under way. It is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct UpstreamPlace {
    shared: Arc<Shared>,
    class: Class,
    /// For how long it was waited for.
    pub(crate) waited: Duration,
    /// Whether it was waited for in vain, and the request goes ahead all the same.
    pub(crate) in_vain: bool,
}

/// One that waits; not any more when this is dropped.
struct Waiting<'a> {
    line: &'a Line,
    guest: &'a Mutex<Guest>,
    class: Class,
}

impl Line {
    /// `most` is the cap; nothing for none.
    pub(super) fn new(most: Option<u16>, ours: MemberId) -> Self {
        let serial = SystemTime::now().duration_since(UNIX_EPOCH);
        // Larger than before the last start: nobody asks a thousand times a millisecond.
        let serial = serial
            .map_or(0, |since| since.as_millis() as u64)
            .wrapping_mul(1000);
        Self {
            guest: most.map(|most| Mutex::new(Guest::new(most, serial))),
            gatekeeper: Mutex::default(),
            by_share: Mutex::default(),
            // Who looks all the time was alone when it began.
            first: Mutex::new(most.map(|_| First {
                id: ours,
                since: Duration::ZERO,
                follows: false,
                is_alone: true,
            })),
            passed_over: Mutex::default(),
            kept_by: Mutex::default(),
            to_ask: Notify::new(),
            freed: Notify::new(),
            heads: [tokio::sync::Mutex::new(()), tokio::sync::Mutex::new(())],
            began: Instant::now(),
        }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Does not ask `peer` for so long, or for twice as long as the last time.
    fn pass_over(&self, peer: PeerId, pause: Duration) {
        let mut passed_over = lock(&self.passed_over);
        let now = Instant::now();
        let again = passed_over.get(&peer).map_or(pause, |(_, last)| *last * 2);
        let pause = again.clamp(pause, IN_VAIN);
        passed_over.retain(|_, (until, _)| now < *until + IN_VAIN);
        if passed_over.len() >= PASSED_OVER_MAX && !passed_over.contains_key(&peer) {
            let first = passed_over.iter().min_by_key(|(_, (until, _))| *until);
            if let Some(first) = first.map(|(peer, _)| *peer) {
                passed_over.remove(&first);
            }
        }
        passed_over.insert(peer, (now + pause, pause));
    }

    /// It answered.
    fn trust(&self, peer: &PeerId) {
        lock(&self.passed_over).remove(peer);
    }

    fn is_passed_over(&self, peer: &PeerId) -> bool {
        let passed_over = lock(&self.passed_over);
        let until = passed_over.get(peer).map(|(until, _)| *until);
        until.is_some_and(|until| Instant::now() < until)
    }

    /// Asks this host as the one that keeps the line.
    fn ask_here(
        &self,
        who: MemberId,
        asked: &PlacesAsked,
        standing: Standing,
    ) -> Option<PlacesTold> {
        lock(&self.gatekeeper).ask(self.now(), who, asked, standing)
    }

    /// A place for a request of this class.
    async fn place(&self, guest: &Mutex<Guest>, class: Class) -> bool {
        lock(guest).wait(self.now(), class);
        let _waiting = Waiting {
            line: self,
            guest,
            class,
        };
        let head = match class {
            Class::Small => &self.heads[0],
            Class::Zip => &self.heads[1],
        };
        let _head = head.lock().await;
        loop {
            // Registered before the look, so that a change right after it is not missed.
            let mut freed = std::pin::pin!(self.freed.notified());
            freed.as_mut().enable();
            let now = self.now();
            let in_vain_at = {
                let mut guest = lock(guest);
                if guest.begin(now, class) {
                    return false;
                }
                if guest.begin_in_vain(now, class) {
                    return true;
                }
                guest.in_vain_at(class)
            };
            self.to_ask.notify_one();
            let in_vain = sleep_until(tokio::time::Instant::from_std(
                self.began + in_vain_at.unwrap_or(now + class.wait_max()),
            ));
            tokio::select! {
                () = freed => {}
                () = in_vain => {}
            }
        }
    }

    fn status(&self) -> Option<LineStatus> {
        let (now, guest) = (self.now(), lock(self.guest.as_ref()?));
        let (using, waiting, _) = guest.load(now);
        let (promised, hosts) = lock(&self.gatekeeper).counts(now);
        let kept_by = *lock(&self.kept_by);
        Some(LineStatus {
            most: guest.most().into(),
            effective: guest.effective().unwrap_or(guest.most()).into(),
            used: using.sum().into(),
            waiting: waiting.sum().into(),
            kept_by: match kept_by {
                KeptBy::Neighbour(peer) => Some(name_of(&peer)),
                _ => None,
            },
            kept_here: kept_by == KeptBy::ThisHost,
            by_share: kept_by == KeptBy::Nobody,
            promised: promised as u64,
            hosts: hosts as u64,
        })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        lock(self.guest).wait_no_more(self.class);
        self.line.to_ask.notify_one();
    }
}

impl Drop for UpstreamPlace {
    fn drop(&mut self) {
        let line = &self.shared.line;
        if let Some(guest) = &line.guest {
            lock(guest).end(line.now(), self.class);
        }
        line.freed.notify_waiters();
        line.to_ask.notify_one();
    }
}

/// The upstream of this host and of others.
impl Peers {
    /// A place among the requests that the hosts of this site have under way to their upstream. Nothing, at once, where there is no
    /// cap. Waits no longer than [`Class::wait_max`] while this host is given no place of the class.
    pub(crate) async fn upstream_place(&self, class: Class) -> Option<UpstreamPlace> {
        let line = &self.shared.line;
        let guest = line.guest.as_ref()?;
        let began = Instant::now();
        let in_vain = line.place(guest, class).await;
        let place = UpstreamPlace {
            shared: Arc::clone(&self.shared),
            class,
            waited: began.elapsed(),
            in_vain,
        };
        let kept_by = *lock(&line.kept_by);
        let keeper = match kept_by {
            KeptBy::Neighbour(peer) => Some(peer),
            // One that says to hold all places must not hold up this host because it keeps the line itself.
            KeptBy::ThisHost => peer_id_of(&self.shared.name),
            KeptBy::Unknown | KeptBy::Nobody => None,
        };
        if in_vain && let Some(peer) = keeper {
            tracing::info!(%peer, "the one that keeps the line for the upstream had this host wait in vain; it is not asked for a while");
            line.pass_over(peer, IN_VAIN);
        }
        Some(place)
    }

    /// The line for the upstream; nothing where this host has no cap.
    pub fn line(&self) -> Option<LineStatus> {
        self.shared.line.status()
    }

    /// Tells the members of this site that an entry of the upstream, by the name of its URL, wants to be left alone for so long; no
    /// time where it answers again. An open host tells nobody.
    pub(crate) fn tell_rest(&self, entry: KeyHash, rest: Duration) {
        if !self.shared.members.is_closed() {
            return;
        }
        let rest = rest.min(REST_HEARD_MAX).as_millis();
        let question = LineQuestion::Rest {
            entry: entry.0,
            rest_ms: u32::try_from(rest).unwrap_or(u32::MAX),
        };
        let shared = Arc::clone(&self.shared);
        let members = shared.roster.usable_here();
        let members: Vec<PeerId> = members.iter().filter_map(peer_id_of).collect();
        // It ends by the deadlines of its questions.
        tokio::spawn(async move {
            let told = futures::stream::iter(members).for_each_concurrent(
                TOLD_AT_ONCE_MAX,
                async |peer| {
                    if let Err(error) = ask_about(&shared, &peer, question).await {
                        tracing::debug!(%peer, %error, "a member was not told of an upstream that rests");
                    }
                },
            );
            told.await;
        });
    }
}
