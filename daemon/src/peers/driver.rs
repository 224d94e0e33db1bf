//! The task that owns the swarm.
//!
//! It waits for nothing but its own `select!`: commands, the outbox, the next call that is due and what the swarm has to
//! say. Work with neighbours is done in tasks of its own; what this one tells others goes through queues that never make it
//! wait. It keeps the table of neighbours in step with the connections, and hears announcements.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use libp2p::core::Multiaddr;
use libp2p::core::transport::ListenerId;
use libp2p::gossipsub::{self, MessageAcceptance};
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{ConnectionId, DialError, SwarmEvent};
use libp2p::{PeerId, Swarm, ping};
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::control::FoundBy;
use modmesh_protocol::hearsay::Hearsay;
use modmesh_protocol::limits::{ANNOUNCE_BATCH, HELLO_WAIT_MAX};
use modmesh_protocol::log::DatabaseId;
use modmesh_protocol::wire::{Announcement, decode, encode};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep_until;

use super::onlink::socket_of;
use super::remembered::Remembered;
use super::roads::Roads;
use super::roster::Gone;
use super::streams::Inbound;
use super::swarm::{Behaviour, BehaviourEvent, topic};
use super::tips::Tip;
use super::{
    Command, NeighbourEvent, Shared, Tiding, greeting, lock, members, name_of, probes, reason,
};

/// How long connections that are being closed may take at the end.
const CLOSING_WAIT: Duration = Duration::from_secs(1);

/// The task that owns the swarm.
pub(super) struct Driver {
    pub(super) swarm: Swarm<Behaviour>,
    pub(super) shared: Arc<Shared>,
    pub(super) commands: mpsc::Receiver<Command>,
    /// Hints whom to call.
    pub(super) tips: mpsc::Receiver<Tip>,
    /// Neighbours of earlier runs, where they are remembered.
    pub(super) remembered: Option<Remembered>,
    /// The addresses at which others on a link can call this host.
    pub(super) called_at: watch::Sender<Vec<SocketAddr>>,
    pub(super) roads: Roads,
    /// Listeners that are open, with the addresses each has so far.
    pub(super) listening: HashMap<ListenerId, Vec<Multiaddr>>,
    /// Raised when every listener has an address.
    pub(super) ready: watch::Sender<bool>,
    /// Peers that still have to say hello, and until when.
    pub(super) silent: Vec<(Instant, PeerId)>,
    /// When the outbox is to be announced.
    pub(super) batch_due: Option<Instant>,
    /// What neighbours say of silent ones.
    pub(super) hearsay: Hearsay<PeerId>,
}

impl Driver {
    /// Runs until told to stop. Handles may all be gone before: neighbours are served all the same.
    pub(super) async fn run(mut self) {
        loop {
            let wake = self.next_wake();
            let timer = async {
                match wake {
                    Some(at) => sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(Command::Open { peer, purpose, reply }) => {
                        self.swarm.behaviour_mut().streams.open(peer, purpose, reply);
                    }
                    Some(Command::CallOn { peer, at }) => self.call_on(peer, at),
                    Some(Command::Gossip(bytes)) => self.gossip(bytes),
                    Some(Command::CallAgain) => self.roads.call_again(Instant::now()),
                    Some(Command::Stop) | None => break,
                },
                () = self.shared.outbox.filled.notified() => self.empty_outbox(),
                event = self.swarm.select_next_some() => self.on_event(event),
                Some(tip) = self.tips.recv() => self.on_tip(tip),
                () = timer => {}
            }
            self.on_time(Instant::now());
        }
        self.close().await;
    }

    fn next_wake(&self) -> Option<Instant> {
        let hello = self.silent.iter().map(|(until, _)| *until).min();
        let remembered = self.remembered.as_ref().and_then(Remembered::due);
        let errands = self.shared.errands.due();
        let due = [
            hello,
            self.batch_due,
            self.roads.next_due(),
            remembered,
            errands,
        ];
        due.into_iter().flatten().min()
    }

    fn on_time(&mut self, now: Instant) {
        if self.batch_due.is_some_and(|due| due <= now) {
            self.announce(now);
        }
        self.put_out_the_silent(now);
        self.end_errands(now);
        self.make_calls(now);
        let remembered = self.remembered.as_ref().and_then(Remembered::due);
        if remembered.is_some_and(|due| due <= now) {
            drop(self.remember());
        }
    }

    fn make_calls(&mut self, now: Instant) {
        let swarm = &mut self.swarm;
        let connected = self.shared.roster.connected_count();
        // A full house lets no neighbour in and ends all connections to one that calls as such, that of an errand with it.
        let errands = &self.shared.errands;
        let is_connected = |peer: &PeerId| swarm.is_connected(peer) || errands.is_calling(peer);
        let calls = self.roads.due(now, connected, is_connected);
        for call in calls {
            // Ports are not shared between listening and calling: two hosts that call each other at the same moment would
            // meet in one TCP connection that both believe to have opened.
            let options = match (call.peer, call.addresses.first()) {
                (Some(peer), _) => DialOpts::peer_id(peer)
                    .addresses(call.addresses.clone())
                    .allocate_new_port()
                    .build(),
                (None, Some(address)) => DialOpts::unknown_peer_id()
                    .address(address.clone())
                    .allocate_new_port()
                    .build(),
                (None, None) => continue,
            };
            let id = options.connection_id();
            // A call that fails at once is also reported as an event, so its road must know the number before.
            self.roads.calling(&call, id);
            if let Err(error) = swarm.dial(options) {
                tracing::debug!(%error, "a neighbour was not called");
                self.roads.not_called(&call, now);
            }
        }
    }

    fn put_out_the_silent(&mut self, now: Instant) {
        let (swarm, roster) = (&mut self.swarm, &self.shared.roster);
        self.silent.retain(|(until, peer)| {
            if *until > now {
                return !roster.is_greeted(peer);
            }
            if !roster.is_greeted(peer) && swarm.disconnect_peer_id(*peer).is_ok() {
                roster.failed(peer, "no hello in time".into());
            }
            false
        });
    }

    fn empty_outbox(&mut self) {
        for peer in self.shared.outbox.take_disconnects() {
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        for peer in self.shared.outbox.take_suspects() {
            tokio::spawn(probes::probe(Arc::clone(&self.shared), peer));
        }
        self.tell_of_the_gone();
        if self.batch_due.is_none() && self.shared.outbox.has_words() {
            self.batch_due = Some(Instant::now() + ANNOUNCE_BATCH);
        }
    }

    /// Sends one batch; what is left over waits for the next.
    fn announce(&mut self, now: Instant) {
        let (files, heads, more) = self.shared.outbox.take_batch();
        self.batch_due = more.then(|| now + ANNOUNCE_BATCH);
        let files = files.into_iter().map(|key: KeyHash| key.0).collect();
        let heads = heads.into_iter();
        let heads = heads.map(|(id, note): (DatabaseId, String)| (id.0, note));
        let words = Announcement::Have {
            files,
            heads: heads.collect(),
        };
        match encode(&words) {
            Ok(frame) => self.gossip(frame),
            Err(error) => tracing::warn!(%error, "an announcement breaks the bounds of the wire"),
        }
    }

    pub(super) fn gossip(&mut self, words: Vec<u8>) {
        let gossip = &mut self.swarm.behaviour_mut().gossip;
        // A lone host, the same words twice within a minute, full queues: announcements are hints and may be lost.
        if let Err(error) = gossip.publish(topic(), words) {
            tracing::trace!(%error, "an announcement went to nobody");
        }
    }

    fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour(event),
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            } => {
                let address = endpoint.get_remote_address();
                self.on_connected(peer_id, connection_id, address, endpoint.is_dialer());
            }
            SwarmEvent::ConnectionClosed {
                peer_id,
                num_established,
                ..
            } => self.on_closed(&peer_id, num_established as usize),
            SwarmEvent::OutgoingConnectionError {
                connection_id,
                peer_id,
                error,
            } => self.on_call_failed(connection_id, peer_id, &error),
            SwarmEvent::IncomingConnectionError {
                send_back_addr,
                error,
                ..
            } => tracing::debug!(from = %send_back_addr, %error, "a connection was not made"),
            SwarmEvent::NewListenAddr {
                listener_id,
                address,
            } => {
                self.listening.entry(listener_id).or_default().push(address);
                self.publish_addresses();
            }
            SwarmEvent::ExpiredListenAddr {
                listener_id,
                address,
            } => {
                let of_listener = self.listening.entry(listener_id).or_default();
                of_listener.retain(|known| *known != address);
                self.publish_addresses();
                self.forget_off_link();
            }
            SwarmEvent::ListenerClosed {
                listener_id,
                reason,
                ..
            } => {
                if let Err(error) = reason {
                    tracing::warn!(%error, "no longer listening for neighbours on one address");
                }
                self.listening.remove(&listener_id);
                self.publish_addresses();
            }
            SwarmEvent::ListenerError { error, .. } => {
                tracing::debug!(%error, "listening for neighbours");
            }
            _ => {}
        }
    }

    fn on_connected(&mut self, peer: PeerId, id: ConnectionId, at: &Multiaddr, called: bool) {
        let on_link = self.note_place(&peer, at, called);
        let is_errand = self.swarm.behaviour_mut().door.was_errand(id);
        let road = self.roads.arrived(id, peer);
        let road = road.or(is_errand.then_some(FoundBy::Neighbour));
        self.publish_unreached();
        let found_by = road.or_else(|| self.roads.found_by(&peer));
        let found_by = found_by.unwrap_or(FoundBy::Inbound);
        self.shared
            .roster
            .connected(&peer, at.to_string(), found_by);
        let home = self.shared.crossing.home.as_ref();
        self.shared.roster.stands(&peer, on_link, home);
        if is_errand {
            self.shared.errands.called(&peer, Instant::now());
            self.shared.roster.is_on_an_errand(&peer);
        } else if called && !self.shared.roster.admit(&peer, self.shared.capacity) {
            // Others came while it was called.
            self.swarm.close_connection(id);
            return;
        }
        if called {
            let ours = Arc::clone(&self.shared);
            tokio::spawn(greeting::speak(ours, peer, is_errand));
        }
        if let (Some(remembered), false) = (&mut self.remembered, is_errand) {
            remembered.changed(Instant::now());
        }
        if self.silent.iter().all(|(_, silent)| *silent != peer) {
            self.silent.push((Instant::now() + HELLO_WAIT_MAX, peer));
        }
    }

    fn on_closed(&mut self, peer: &PeerId, remaining: usize) {
        let roster = &self.shared.roster;
        let Some(gone) = roster.disconnected(peer, remaining) else {
            return;
        };
        self.roads.lost(peer, gone != Gone::Nobody, Instant::now());
        self.shared.company.went(peer);
        let name = name_of(peer);
        self.shared.lanes.forget(peer);
        self.silent.retain(|(_, silent)| silent != peer);
        self.errand_ended(peer);
        // What one has that was on an errand it has still, and can be called for it again.
        if gone == Gone::Neighbour {
            lock(&self.shared.directory).forget(&name);
            lock(&self.shared.acquaintances).forget(peer);
            tracing::info!(neighbour = %name, "a neighbour went");
            let shared = &self.shared;
            shared.watch.neighbours(shared.roster.usable_count());
            shared.tell(Tiding::Neighbour(NeighbourEvent::Went { peer: name }));
        }
    }

    fn on_call_failed(&mut self, id: ConnectionId, peer: Option<PeerId>, error: &DialError) {
        if self.errand_failed(id, peer, error) {
            return;
        }
        if matches!(error, DialError::LocalPeerId { .. }) {
            self.roads.led_home(id);
            return;
        }
        if !self.roads.failed(id, reason::of(error), Instant::now()) {
            return;
        }
        self.publish_unreached();
        tracing::debug!(
            ?peer,
            why = reason::with_address(error),
            "a neighbour could not be reached"
        );
        // A refusal of our own is not its fault, and must not hide what it was put out for.
        if let (Some(peer), false) = (peer, matches!(error, DialError::Denied { .. })) {
            let why = reason::with_address(error);
            self.shared.roster.failed(&peer, why);
        }
    }

    fn on_behaviour(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Streams(inbound) => self.on_stream(inbound),
            BehaviourEvent::Pings(event) => match event.result {
                Ok(time) => self.shared.roster.round_trip(&event.peer, time),
                Err(ping::Failure::Unsupported) => {}
                Err(error) => {
                    let roster = &self.shared.roster;
                    roster.failed(&event.peer, error.to_string().to_lowercase());
                    self.swarm.close_connection(event.connection);
                    if matches!(error, ping::Failure::Timeout) {
                        self.shared.outbox.gone(event.peer);
                    }
                }
            },
            BehaviourEvent::Gossip(gossipsub::Event::Message {
                propagation_source,
                message_id,
                message,
            }) => {
                let acceptance = self.hear(&message);
                let gossip = &mut self.swarm.behaviour_mut().gossip;
                gossip.report_message_validation_result(
                    &message_id,
                    &propagation_source,
                    acceptance,
                );
            }
            BehaviourEvent::Gossip(_) => {}
            BehaviourEvent::Door(never) => match never {},
        }
    }

    fn on_stream(&mut self, inbound: Inbound) {
        self.shared.errands.asks(&inbound.peer, Instant::now());
        if !self.shared.roster.is_banned(&inbound.peer) {
            members::let_in(&self.shared, inbound);
        }
    }

    /// Takes in the announcement of a neighbour. Words of others are neither heard nor passed on: names cost nothing.
    fn hear(&mut self, message: &gossipsub::Message) -> MessageAcceptance {
        let shared = Arc::clone(&self.shared);
        let Some(author) = message.source.filter(|a| shared.roster.may_announce(a)) else {
            return MessageAcceptance::Ignore;
        };
        let (files, heads) = match decode(&message.data) {
            Ok(Announcement::Have { files, heads }) => (files, heads),
            Ok(Announcement::Silent { peers }) => {
                self.hear_of_silent(author, &peers);
                return MessageAcceptance::Accept;
            }
            Err(_) => return MessageAcceptance::Reject,
        };
        let name = name_of(&author);
        lock(&shared.directory).announce(&name, files.into_iter().map(KeyHash));
        for (database, note) in heads {
            shared.tell(Tiding::Head(name.clone(), DatabaseId(database), note));
        }
        MessageAcceptance::Accept
    }

    fn publish_addresses(&self) {
        let name = self.shared.name.as_str();
        let mut addresses: Vec<&Multiaddr> = self.listening.values().flatten().collect();
        // A person wants to copy an address that works from another host, so loopback comes last.
        addresses.sort_by_key(|a| (super::is_loopback(a), a.to_string()));
        let texts = addresses.iter().map(|a| format!("{a}/p2p/{name}"));
        *lock(&self.shared.addresses) = texts.collect();
        let sockets: Vec<_> = addresses.into_iter().filter_map(socket_of).collect();
        self.shared.company.listens_at(&sockets);
        self.called_at.send_if_modified(|known| {
            let changed = *known != sockets;
            *known = sockets;
            changed
        });
        let all = self.listening.values().all(|of_one| !of_one.is_empty());
        self.ready.send_replace(all);
    }

    pub(super) fn publish_unreached(&self) {
        *lock(&self.shared.unreached) = self.roads.unreached();
    }

    /// Ends all connections properly, as far as that is quickly done.
    async fn close(mut self) {
        if let Some(writing) = self.remember() {
            let _ = tokio::time::timeout(CLOSING_WAIT, writing).await;
        }
        let peers: Vec<_> = self.swarm.connected_peers().copied().collect();
        for peer in peers {
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        let closing = async {
            while self.swarm.connected_peers().next().is_some() {
                let event = self.swarm.select_next_some().await;
                if let SwarmEvent::ConnectionClosed { peer_id, .. } = event {
                    self.shared.roster.disconnected(&peer_id, 0);
                }
            }
        };
        let _ = tokio::time::timeout(CLOSING_WAIT, closing).await;
    }
}
