//! Finding neighbours by multicast: one task for each link of this host, and one that watches which links there are.
//!
//! When to speak and what is said is [`modmesh_protocol::discovery`]; here are the sockets, the clock and what was heard.
//! What is heard proves nothing: it is a hint whom to call, at the address that the packet came from, and only where that
//! address is on the link. Who answers there has to prove the name. That somebody is not heard any more means nothing.
//!
//! Where the system does not let us, that is said once, and tried again; `--peer` works all the same.

mod heard;
mod sockets;

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use libp2p::core::Multiaddr;
use libp2p::multiaddr::Protocol;
use modmesh_protocol::discovery::{Announcement, Company, Pace, Packet, Speech};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, sleep_until};

use super::onlink::{self, Link, Prefix};
use super::tips::Tip;
use super::{Shared, lock, peer_id_of};
use crate::seldom::Seldom;
use heard::{HeardHosts, Word};
use sockets::{Heard, Sockets};

/// How often it is looked which links there are; a change of the addresses that this host listens on is told at once.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// How often a link's task looks how many neighbours there are.
const TICK: Duration = Duration::from_secs(2);
/// Links that are spoken on; machines with many containers have hundreds that lead nowhere else.
const LINKS_MAX: usize = 16;
/// Addresses of one link that are spoken from in turn.
const VOICES_MAX: usize = 4;
/// Packets that are taken in before it is looked whether to speak, so that a flood does not silence this task.
const HEARD_AT_ONCE_MAX: usize = 256;

/// An address of this host to speak from, and the port at which it can be called there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Voice {
    address: IpAddr,
    port: u16,
}

/// A link that is spoken on.
#[derive(Debug)]
struct Spoken {
    link: Link,
    voices: Vec<Voice>,
    task: JoinHandle<io::Result<()>>,
}

impl Drop for Spoken {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Looks for neighbours on all links until the receiver of `tips` is gone. `listening` are the addresses that this host can be
/// called at.
pub(super) async fn run(
    shared: Arc<Shared>,
    mut listening: watch::Receiver<Vec<SocketAddr>>,
    tips: mpsc::Sender<Tip>,
) {
    let run = RandomState::new().hash_one(());
    let mut spoken: Vec<Spoken> = Vec::new();
    let mut warned = false;
    loop {
        let addresses = listening.borrow_and_update().clone();
        let links = match onlink::links() {
            Ok(links) => wanted(links, &addresses),
            Err(error) => {
                warn_once(&mut warned, &error);
                Vec::new()
            }
        };
        for one in spoken.iter_mut().filter(|one| one.task.is_finished()) {
            if let Ok(Err(error)) = (&mut one.task).await {
                warn_once(&mut warned, &error);
            }
        }
        spoken.retain(|one| {
            let wanted = |(link, voices): &(Link, _)| one.link == *link && one.voices == *voices;
            !one.task.is_finished() && links.iter().any(wanted)
        });
        for (link, voices) in links {
            if spoken.iter().all(|one| one.link != link) {
                let host = Host {
                    shared: Arc::clone(&shared),
                    run,
                    prefixes: link.prefixes.clone(),
                    voices: voices.clone(),
                    tips: tips.clone(),
                };
                let index = link.index;
                let task = tokio::spawn(host.speak_and_hear(index));
                spoken.push(Spoken { link, voices, task });
            }
        }
        tokio::select! {
            () = tips.closed() => return,
            () = sleep(LOOK_AGAIN) => {}
            changed = listening.changed() => if changed.is_err() { return },
        }
    }
}

/// The links to speak on, with the addresses to speak from: those on which this host listens.
fn wanted(links: Vec<Link>, listening: &[SocketAddr]) -> Vec<(Link, Vec<Voice>)> {
    let voices = |link: &Link| {
        let mut voices: Vec<Voice> = Vec::new();
        for Prefix { address, .. } in &link.prefixes {
            // Who hears it could not call a link-local address: a multiaddress does not say on which link it is.
            let is_link_local = matches!(address, IpAddr::V6(ip) if ip.is_unicast_link_local());
            let socket = listening.iter().find(|socket| socket.ip() == *address);
            if let (Some(socket), false) = (socket, is_link_local) {
                let (address, port) = (*address, socket.port());
                voices.push(Voice { address, port });
            }
        }
        voices.sort_by_key(|voice| voice.address);
        voices.truncate(VOICES_MAX);
        voices
    };
    let with_voices = links.into_iter().map(|link| {
        let voices = voices(&link);
        (link, voices)
    });
    let mut wanted: Vec<_> = with_voices.filter(|(_, v)| !v.is_empty()).collect();
    wanted.sort_by_key(|(link, _)| link.index);
    if wanted.len() > LINKS_MAX {
        static MANY: Seldom = Seldom::new();
        if MANY.turn().is_some() {
            let links = wanted.len();
            tracing::info!(
                links,
                most = LINKS_MAX,
                "neighbours are not looked for on all links"
            );
        }
        wanted.truncate(LINKS_MAX);
    }
    wanted
}

fn warn_once(warned: &mut bool, error: &io::Error) {
    if *warned {
        tracing::debug!(%error, "multicast");
    } else {
        *warned = true;
        tracing::warn!(%error, "cannot look for neighbours by multicast on one link; it is tried again, and they can be named with --peer");
    }
}

/// What the task of one link works with.
struct Host {
    shared: Arc<Shared>,
    run: u64,
    prefixes: Vec<Prefix>,
    voices: Vec<Voice>,
    tips: mpsc::Sender<Tip>,
}

impl Host {
    /// Ends with an error of the sockets.
    async fn speak_and_hear(self, index: u32) -> io::Result<()> {
        let sockets = Sockets::open(index, &self.voices)?;
        let began = Instant::now();
        let mut pace = Pace::new(Duration::ZERO, RandomState::new().hash_one(index));
        let mut hosts = HeardHosts::default();
        let mut packet = Heard::new();
        let mut turn = 0;
        loop {
            let at = began + pace.next();
            let tick = Instant::now() + TICK;
            tokio::select! {
                heard = sockets.hear(&mut packet) => {
                    heard?;
                    self.take_in(&packet, began, &mut pace, &mut hosts);
                }
                () = sleep_until(at.min(tick).into()) => {}
            }
            // What has come meanwhile counts before it is decided whether to speak: a busy machine does not hear late.
            for _ in 0..HEARD_AT_ONCE_MAX {
                if !sockets.hear_at_once(&mut packet)? {
                    break;
                }
                self.take_in(&packet, began, &mut pace, &mut hosts);
            }
            let now = began.elapsed();
            let neighbours = self.shared.roster.usable_count();
            let heard = hosts.count(Instant::now());
            pace.company(now, Company { neighbours, heard });
            if let Some(speech) = pace.speak(now) {
                if let Err(error) = self.say(&sockets, speech, turn).await {
                    // It can still be heard who else is there.
                    static SAID: Seldom = Seldom::new();
                    if SAID.turn().is_some() {
                        tracing::warn!(%error, "neighbours cannot be told of this host by multicast; a firewall may forbid it");
                    }
                }
                turn = turn.wrapping_add(1);
            }
        }
    }

    fn take_in(&self, heard: &Heard, began: Instant, pace: &mut Pace, hosts: &mut HeardHosts) {
        let now = Instant::now();
        let from = heard.from.ip().to_canonical();
        let is_here = self.prefixes.iter().any(|prefix| prefix.contains(from));
        if !is_here || !hosts.may_speak(from, now) {
            return;
        }
        let Some(packet) = Packet::decode(heard.packet()) else {
            return;
        };
        let said = match packet {
            Packet::Question => return pace.hear(began.elapsed(), true),
            Packet::Announcement(said) => said,
        };
        if said.peer == self.shared.name && said.run == self.run {
            return;
        }
        pace.hear(began.elapsed(), said.asks);
        if said.peer == self.shared.name {
            self.found_a_twin(from);
            return;
        }
        let Some(peer) = peer_id_of(&said.peer) else {
            return;
        };
        self.shared
            .has_heard_somebody
            .store(true, Ordering::Relaxed);
        if hosts.heard(peer, said.run, now) == Word::OfTwo {
            let text = format!("two machines use this name, one of them at {from}");
            self.shared.roster.failed(&peer, text);
        }
        let address = Multiaddr::from(from).with(Protocol::Tcp(said.port));
        if self.tips.try_send(Tip::Heard { peer, address }).is_err() {
            tracing::debug!("too many hosts were heard at once; one is left out");
        }
    }

    /// The same identity on two machines: neighbours take them for one, and they never meet.
    fn found_a_twin(&self, at: IpAddr) {
        static SAID: Seldom = Seldom::new();
        if SAID.turn().is_some() {
            tracing::warn!(%at, "another machine has this host's identity; remove the file `identity` in the state folder of one of them and restart it");
        }
        *lock(&self.shared.twin) = Some((at, Instant::now()));
    }

    async fn say(&self, sockets: &Sockets, speech: Speech, turn: usize) -> io::Result<()> {
        // Those that have IPv4 hear each other by it, so the other family is for those that have none.
        let v4: Vec<_> = self.voices.iter().filter(|v| v.address.is_ipv4()).collect();
        let voices = if v4.is_empty() {
            self.voices.iter().collect()
        } else {
            v4
        };
        let Some(voice) = voices.get(turn % voices.len().max(1)) else {
            return Ok(());
        };
        let words = Announcement {
            peer: self.shared.name.clone(),
            port: voice.port,
            run: self.run,
            mesh: None,
            asks: speech == Speech::Ask,
        };
        let Some(packet) = words.encode() else {
            return Ok(());
        };
        sockets.say(voice, &packet).await
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn link(index: u32, addresses: &[&str]) -> Link {
        let prefix = |text: &&str| Prefix {
            address: text.parse().unwrap(),
            bits: 24,
        };
        let prefixes = addresses.iter().map(prefix).collect();
        Link { index, prefixes }
    }

    #[test]
    fn a_link_is_spoken_on_from_the_addresses_at_which_this_host_can_be_called_there() {
        let links = vec![
            link(4, &["fe80::4", "10.0.4.1", "fd00::4"]),
            link(3, &["10.0.3.1"]),
            link(2, &["fe80::2"]),
        ];
        let listening = ["10.0.4.1:1", "[fd00::4]:2", "[fe80::2]:2", "[fe80::4]:2"];
        let listening = listening.map(|text| text.parse().unwrap());
        let wanted = wanted(links, &listening);
        let voice = |address: &str, port| Voice {
            address: address.parse().unwrap(),
            port,
        };
        let voices = vec![voice("10.0.4.1", 1), voice("fd00::4", 2)];
        let indices: Vec<u32> = wanted.iter().map(|(link, _)| link.index).collect();
        assert_eq!((indices, &wanted[0].1), (vec![4], &voices));
    }

    #[test]
    fn links_and_voices_are_bounded() {
        let many: Vec<String> = (1..=20).map(|n| format!("10.0.0.{n}")).collect();
        let texts: Vec<&str> = many.iter().map(String::as_str).collect();
        let links = (0..100).map(|index| link(index, &texts)).collect();
        let listening: Vec<SocketAddr> = texts
            .iter()
            .map(|text| SocketAddr::new(text.parse().unwrap(), 1))
            .collect();
        let wanted = wanted(links, &listening);
        assert_eq!(wanted.len(), LINKS_MAX);
        assert!(wanted.iter().all(|(_, voices)| voices.len() == VOICES_MAX));
    }
}
