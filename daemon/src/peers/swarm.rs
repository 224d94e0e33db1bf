//! What the swarm is made of: transports and behaviours with their settings.
//!
//! TCP with TLS 1.3 (noise second) and yamux. Identify, a DHT, relays and QUIC are deliberately absent: the hello, on-link
//! hosts and plain TCP do without, and blobs move more slowly over QUIC. Neighbours are found in `multicast`.

use std::sync::Arc;
use std::time::Duration;

use libp2p::core::upgrade::Version;
use libp2p::gossipsub::{self, IdentTopic, MessageAuthenticity};
use libp2p::identity::Keypair;
use libp2p::swarm::NetworkBehaviour;
use libp2p::{Swarm, SwarmBuilder, noise, tcp, tls, yamux};
use modmesh_protocol::digest::Hasher;
use modmesh_protocol::limits::{GOSSIP_BYTES_MAX, INBOUND_BACKLOG_MAX};
use modmesh_protocol::wire::ANNOUNCE_TOPIC;

use super::PeersError;
use super::capacity::Capacity;
use super::door::Door;
use super::earshot::Earshot;
use super::onlink::OnLink;
use super::pings::Pings;
use super::roster::Roster;
use super::streams::Streams;

/// How long a handshake may take.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(5);
/// Streams of one connection whose protocol is still being agreed upon.
const NEGOTIATING_MAX: usize = 256;

/// What the swarm is made of; the door is asked first.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    pub(super) door: Door,
    pub(super) streams: Streams,
    pings: Pings,
    pub(super) gossip: Earshot,
}

/// A swarm for `key` that talks to what `links` allow.
pub(super) fn build(
    key: Keypair,
    links: OnLink,
    roster: Arc<Roster>,
    capacity: Capacity,
) -> Result<Swarm<Behaviour>, PeersError> {
    let setup = |error: &dyn std::fmt::Display| PeersError::Setup(error.to_string());
    let behaviour = Behaviour {
        door: Door::new(links, Arc::clone(&roster), capacity),
        streams: Streams::default(),
        pings: Pings::default(),
        gossip: Earshot::new(gossip(&key)?, roster),
    };
    let swarm = SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_tcp(
            tcp::Config::default(),
            (tls::Config::new, noise::Config::new),
            yamux::Config::default,
        )
        .map_err(|error| setup(&error))?
        .with_behaviour(|_| behaviour)
        .map_err(|error| setup(&error))?
        .with_swarm_config(|config| {
            config
                .with_max_negotiating_inbound_streams(NEGOTIATING_MAX)
                // Who opens a stream names its one protocol and goes on to the question without waiting for the other side's
                // nod: one round trip less for each. The bytes are the same.
                .with_substream_upgrade_protocol_override(Version::V1Lazy)
        })
        .with_connection_timeout(HANDSHAKE_WAIT)
        .build();
    const { assert!(NEGOTIATING_MAX <= INBOUND_BACKLOG_MAX) };
    Ok(swarm)
}

fn gossip(key: &Keypair) -> Result<gossipsub::Behaviour, PeersError> {
    let setup = |text: &str| PeersError::Setup(text.to_owned());
    // The author is part of the name: two hosts that have the same file say the same words, and both count.
    let name = |message: &gossipsub::Message| {
        let mut hasher = Hasher::new();
        if let Some(author) = message.source {
            hasher.update(&author.to_bytes());
        }
        hasher.update(&message.data);
        gossipsub::MessageId::new(&hasher.finish())
    };
    let config = gossipsub::ConfigBuilder::default()
        .max_transmit_size(GOSSIP_BYTES_MAX)
        .validation_mode(gossipsub::ValidationMode::Strict)
        .validate_messages()
        .message_id_fn(name)
        .build()
        .map_err(|error| setup(&error.to_string()))?;
    let mut gossip = gossipsub::Behaviour::new(MessageAuthenticity::Signed(key.clone()), config)
        .map_err(setup)?;
    gossip
        .subscribe(&topic())
        .map_err(|error| setup(&error.to_string()))?;
    Ok(gossip)
}

/// The topic of announcements.
pub(super) fn topic() -> IdentTopic {
    IdentTopic::new(ANNOUNCE_TOPIC)
}
