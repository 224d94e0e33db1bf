//! Which neighbours stand on this host's links, and where they listen: what is told to others of them.
//!
//! A neighbour that called is at the address that it called from, but at another port; it tells that one when it asks for
//! acquaintances, or by multicast. Neighbours off the links and those on loopback are told of to nobody.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use libp2p::PeerId;
use modmesh_protocol::limits::ACQUAINTANCES_MAX;
use modmesh_protocol::wire::{Acquaintance, Answer, Query};
use tokio::sync::Notify;

use super::{lock, name_of, peer_id_of};

/// Neighbours that were met and wait to be asked; one more is left out, for what it knows others know.
const MET_MAX: usize = 8;

/// Neighbours that are asked for one that was heard: of two thousand hosts one in sixteen knows it.
const MISSED_QUESTIONS: u32 = 24;

/// How long it is not asked once more for the same one: who speaks again and again and cannot be reached is one question's worth.
const MISSED_REMEMBERED: Duration = Duration::from_secs(3600);
/// Hosts that are missed and remembered; while there are so many nobody asks for one more.
const MISSED_MAX: usize = 256;

/// The table.
#[derive(Debug, Default)]
pub(super) struct Company {
    table: Mutex<Table>,
    /// Somebody was met, or is missed.
    pub(super) somebody_met: Notify,
    /// Questions for somebody who was heard and of whom no neighbour has told.
    questions: AtomicU32,
}

#[derive(Debug, Default)]
struct Table {
    neighbours: HashMap<PeerId, Address>,
    met: VecDeque<PeerId>,
    /// For whom neighbours were asked, and since when.
    missed: HashMap<PeerId, Instant>,
    /// The ports at which this host can be called over IPv4 and IPv6; 0 where it cannot.
    ports: (u16, u16),
}

#[derive(Debug, Clone, Copy)]
struct Address {
    ip: IpAddr,
    /// 0 when it is not known.
    port: u16,
}

impl Company {
    /// A neighbour on a link of ours is connected; it listens at `port` of `ip` if that is not 0.
    pub(super) fn came(&self, peer: PeerId, ip: IpAddr, port: u16) {
        let mut table = lock(&self.table);
        let address = table.neighbours.entry(peer).or_insert(Address { ip, port });
        if port != 0 {
            *address = Address { ip, port };
        }
    }

    /// It was heard to listen there; that counts where it is connected from the same address, and its port is not known.
    pub(super) fn listens(&self, peer: &PeerId, socket: SocketAddr) {
        let mut table = lock(&self.table);
        let address = table.neighbours.get_mut(peer);
        let is_it = |one: &&mut Address| one.ip == socket.ip() && one.port == 0;
        if let Some(address) = address.filter(is_it) {
            address.port = socket.port();
        }
    }

    /// It is gone.
    pub(super) fn went(&self, peer: &PeerId) {
        lock(&self.table).neighbours.remove(peer);
    }

    /// `peer` was heard, and no neighbour has told of it: some of them are to be asked.
    pub(super) fn misses(&self, peer: PeerId, now: Instant) {
        {
            let missed = &mut lock(&self.table).missed;
            missed.retain(|_, since| now < *since + MISSED_REMEMBERED);
            if missed.len() >= MISSED_MAX || missed.contains_key(&peer) {
                return;
            }
            missed.insert(peer, now);
        }
        self.questions.store(MISSED_QUESTIONS, Ordering::Relaxed);
        self.somebody_met.notify_one();
    }

    /// Whether a neighbour is to be asked for somebody who is missed.
    pub(super) fn is_missing_somebody(&self) -> bool {
        self.questions.load(Ordering::Relaxed) > 0
    }

    /// A neighbour is asked for somebody who is missed.
    pub(super) fn asks_for_the_missing(&self) {
        let one_less = |left: u32| left.checked_sub(1);
        let _ = self
            .questions
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
    }

    /// Where a neighbour on a link of ours is.
    pub(super) fn ip_of(&self, peer: &PeerId) -> Option<IpAddr> {
        lock(&self.table).neighbours.get(peer).map(|place| place.ip)
    }

    /// It greeted, and can be asked.
    pub(super) fn met(&self, peer: PeerId) {
        let mut table = lock(&self.table);
        if table.met.len() < MET_MAX {
            table.met.push_back(peer);
            self.somebody_met.notify_one();
        }
    }

    /// Those that were met and not asked yet.
    pub(super) fn take_met(&self) -> Vec<PeerId> {
        lock(&self.table).met.drain(..).collect()
    }

    /// Where this host can be called.
    pub(super) fn listens_at(&self, sockets: &[SocketAddr]) {
        let port = |is_wanted: fn(&IpAddr) -> bool| {
            let mut sockets = sockets.iter().filter(|socket| !socket.ip().is_loopback());
            let socket = sockets.find(|socket| is_wanted(&socket.ip()));
            socket.map_or(0, SocketAddr::port)
        };
        lock(&self.table).ports = (port(IpAddr::is_ipv4), port(IpAddr::is_ipv6));
    }

    /// What this host asks a neighbour.
    pub(super) fn question(&self) -> Query {
        let (v4, v6) = lock(&self.table).ports;
        Query::Acquaint { v4, v6 }
    }

    /// What `peer` is answered, which listens at one of these ports: those of whom `may_be_told` holds.
    pub(super) fn answer(
        &self,
        peer: &PeerId,
        (v4, v6): (u16, u16),
        may_be_told: impl Fn(&PeerId) -> bool,
    ) -> Answer {
        let mut table = lock(&self.table);
        let Some(place) = table.neighbours.get_mut(peer) else {
            return Answer::Acquaintances(Vec::new());
        };
        place.port = match place.ip {
            IpAddr::V4(_) if v4 != 0 => v4,
            IpAddr::V6(_) if v6 != 0 => v6,
            _ => place.port,
        };
        let others = table.neighbours.iter();
        let others =
            others.filter(|(other, place)| *other != peer && place.port != 0 && may_be_told(other));
        let told = others.map(|(other, place)| Acquaintance {
            peer: name_of(other).to_string(),
            address: match place.ip {
                IpAddr::V4(ip) => ip.octets().to_vec(),
                IpAddr::V6(ip) => ip.octets().to_vec(),
            },
            port: place.port,
        });
        Answer::Acquaintances(told.take(ACQUAINTANCES_MAX).collect())
    }
}

/// Whom and where an acquaintance names, when it names anybody.
pub(super) fn read(one: &Acquaintance) -> Option<(PeerId, SocketAddr)> {
    let ip: IpAddr = match one.address.as_slice() {
        bytes @ [_, _, _, _] => <[u8; 4]>::try_from(bytes).ok()?.into(),
        bytes => <[u8; 16]>::try_from(bytes).ok()?.into(),
    };
    let peer = peer_id_of(&one.peer.parse().ok()?)?;
    let ip = ip.to_canonical();
    (one.port != 0).then_some((peer, SocketAddr::new(ip, one.port)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn told(answer: &Answer) -> Vec<(PeerId, SocketAddr)> {
        let Answer::Acquaintances(told) = answer else {
            panic!("{answer:?}");
        };
        told.iter().map(|one| read(one).unwrap()).collect()
    }

    #[test]
    fn who_asks_is_told_of_others_and_others_of_who_asked() {
        let company = Company::default();
        let [a, b, c] = [(); 3].map(|()| PeerId::random());
        company.came(a, ip(1), 0);
        company.came(b, ip(2), 0);
        company.came(c, ip(3), 33);
        let only_c = company.answer(&a, (11, 0), |_| true);
        assert_eq!(told(&only_c), [(c, SocketAddr::new(ip(3), 33))]);
        let mut both = told(&company.answer(&b, (22, 99), |_| true));
        both.sort_by_key(|(_, at)| at.port());
        let a_at = SocketAddr::new(ip(1), 11);
        assert_eq!(both, [(a, a_at), (c, SocketAddr::new(ip(3), 33))]);
        // Not those that may not be, nor those that went; and nothing to who is not on a link of ours.
        assert!(told(&company.answer(&b, (22, 0), |peer| *peer == b)).is_empty());
        company.went(&c);
        assert_eq!(told(&company.answer(&b, (22, 0), |_| true)), [(a, a_at)]);
        assert!(told(&company.answer(&c, (33, 0), |_| true)).is_empty());
    }

    #[test]
    fn the_answer_is_bounded() {
        let company = Company::default();
        for _ in 0..2 * ACQUAINTANCES_MAX {
            company.came(PeerId::random(), ip(7), 7);
        }
        let asker = PeerId::random();
        company.came(asker, ip(8), 8);
        let answer = company.answer(&asker, (8, 0), |_| true);
        assert_eq!(told(&answer).len(), ACQUAINTANCES_MAX);
        assert!(modmesh_protocol::wire::encode(&answer).is_ok());
        (0..100).for_each(|_| company.met(PeerId::random()));
        assert_eq!(company.take_met().len(), MET_MAX);
    }

    #[test]
    fn what_names_nobody_is_not_read() {
        let right = Acquaintance {
            peer: PeerId::random().to_string(),
            address: vec![10, 0, 0, 1],
            port: 1,
        };
        assert!(read(&right).is_some());
        for (peer, address, port) in [
            ("nobody", vec![10, 0, 0, 1], 1),
            (right.peer.as_str(), vec![10, 0, 0], 1),
            (right.peer.as_str(), Vec::new(), 1),
            (right.peer.as_str(), vec![10, 0, 0, 1], 0),
        ] {
            let peer = peer.to_owned();
            let wrong = Acquaintance {
                peer,
                address,
                port,
            };
            assert!(read(&wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn the_ports_of_this_host_are_those_that_others_can_call() {
        let company = Company::default();
        let sockets = ["127.0.0.1:1", "10.0.0.1:2", "[::1]:3", "10.0.0.2:4"];
        company.listens_at(&sockets.map(|text| text.parse().unwrap()));
        assert_eq!(company.question(), Query::Acquaint { v4: 2, v6: 0 });
    }

    #[test]
    fn for_one_that_speaks_again_and_again_neighbours_are_asked_once_an_hour() {
        let (company, now) = (Company::default(), Instant::now());
        let asked = |company: &Company| {
            let mut asked = 0;
            while company.is_missing_somebody() {
                company.asks_for_the_missing();
                asked += 1;
            }
            asked
        };
        let peer = PeerId::random();
        company.misses(peer, now);
        assert_eq!(asked(&company), MISSED_QUESTIONS);
        company.misses(peer, now);
        assert_eq!(asked(&company), 0);
        company.misses(PeerId::random(), now);
        assert_eq!(asked(&company), MISSED_QUESTIONS);
        for _ in 0..2 * MISSED_MAX {
            company.misses(PeerId::random(), now);
        }
        assert!(asked(&company) > 0);
        company.misses(PeerId::random(), now);
        assert_eq!(asked(&company), 0);
        company.misses(peer, now + MISSED_REMEMBERED);
        assert_eq!(asked(&company), MISSED_QUESTIONS);
    }
}
