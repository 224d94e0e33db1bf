//! Streams to and from neighbours, as a behaviour of the swarm.
//!
//! It opens streams for whoever asks and hands every inbound stream on; it reads nothing and decides nothing. No stream is
//! dropped in silence: an inbound one waits in a queue until it is taken, an outbound one answers its asker with a stream, a
//! failure, or (when the connection goes) a closed channel. Bounded by the multiplexer's number of streams on one side and
//! by a count of pending opens per neighbour on the other.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use libp2p::PeerId;
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::{InboundUpgrade, ReadyUpgrade, UpgradeInfo};
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm,
    NetworkBehaviour, NotifyHandler, Stream, StreamProtocol, StreamUpgradeError, SubstreamProtocol,
    THandler, THandlerInEvent, ToSwarm,
};
use modmesh_protocol::limits::{INBOUND_BACKLOG_MAX, NO_PROGRESS_MAX, PENDING_OPENS_PER_PEER_MAX};
use modmesh_protocol::wire::{FILE_PROTOCOL, HELLO_PROTOCOL, LEASE_PROTOCOL, QUERY_PROTOCOL};
use tokio::sync::oneshot;

/// What a stream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Purpose {
    /// The greeting of a connection.
    Hello,
    /// One question and its answer.
    Query,
    /// One file.
    File,
    /// The conversation of an owner and one that wants something.
    Lease,
}

/// Why a stream did not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OpenError {
    /// There is no connection, or it ended meanwhile.
    Gone,
    /// Too many streams to this neighbour wait to be opened.
    TooMany,
    /// The neighbour took too long.
    Late,
    /// The neighbour does not speak this protocol.
    Unsupported,
}

/// Where an opened stream is sent.
pub(super) type Reply = oneshot::Sender<Result<Stream, OpenError>>;

/// A stream that a neighbour opened.
#[derive(Debug)]
pub(super) struct Inbound {
    /// Who opened it.
    pub(super) peer: PeerId,
    /// What for.
    pub(super) purpose: Purpose,
    /// The stream itself.
    pub(super) stream: Stream,
}

/// The behaviour.
#[derive(Debug, Default)]
pub(super) struct Streams {
    peers: HashMap<PeerId, Roads>,
    events: VecDeque<ToSwarm<Inbound, Open>>,
}

/// The connections to one neighbour, oldest first, and its streams that wait to be opened.
#[derive(Debug, Default)]
struct Roads {
    connections: Vec<ConnectionId>,
    pending: Arc<AtomicUsize>,
}

impl Streams {
    /// Opens a stream to `peer` on its newest connection; the outcome goes to `reply`.
    pub(super) fn open(&mut self, peer: PeerId, purpose: Purpose, reply: Reply) {
        let roads = self.peers.get(&peer);
        let Some((roads, connection)) = roads.and_then(|r| Some((r, *r.connections.last()?)))
        else {
            let _ = reply.send(Err(OpenError::Gone));
            return;
        };
        let Some(pending) = Pending::enter(&roads.pending) else {
            let _ = reply.send(Err(OpenError::TooMany));
            return;
        };
        self.events.push_back(ToSwarm::NotifyHandler {
            peer_id: peer,
            handler: NotifyHandler::One(connection),
            event: Open {
                purpose,
                reply,
                _pending: pending,
            },
        });
    }
}

impl NetworkBehaviour for Streams {
    type ConnectionHandler = Handler;
    type ToSwarm = Inbound;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::default())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::default())
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(up) => {
                let roads = self.peers.entry(up.peer_id).or_default();
                roads.connections.push(up.connection_id);
            }
            FromSwarm::ConnectionClosed(down) => {
                if let Some(roads) = self.peers.get_mut(&down.peer_id) {
                    roads.connections.retain(|id| *id != down.connection_id);
                    if roads.connections.is_empty() {
                        self.peers.remove(&down.peer_id);
                    }
                }
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        _: ConnectionId,
        (purpose, stream): (Purpose, Stream),
    ) {
        self.events.push_back(ToSwarm::GenerateEvent(Inbound {
            peer,
            purpose,
            stream,
        }));
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Inbound, THandlerInEvent<Self>>> {
        // No waker is kept: events are added only by the swarm's own task, which polls again after each call.
        self.events.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

/// A stream to be opened.
#[derive(Debug)]
pub(super) struct Open {
    purpose: Purpose,
    reply: Reply,
    _pending: Pending,
}

/// Counts one pending open for as long as it lives.
#[derive(Debug)]
struct Pending(Arc<AtomicUsize>);

impl Pending {
    fn enter(count: &Arc<AtomicUsize>) -> Option<Self> {
        let most = PENDING_OPENS_PER_PEER_MAX;
        let one_more = |now| (now < most).then_some(now + 1);
        let entered = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        entered.ok().map(|_| Self(Arc::clone(count)))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The part of the behaviour that lives with one connection.
#[derive(Debug, Default)]
pub(super) struct Handler {
    opening: VecDeque<Open>,
    came: VecDeque<(Purpose, Stream)>,
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Open;
    type ToBehaviour = (Purpose, Stream);
    type InboundProtocol = AnyPurpose;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Open;

    fn listen_protocol(&self) -> SubstreamProtocol<AnyPurpose, ()> {
        SubstreamProtocol::new(AnyPurpose, ()).with_timeout(NO_PROGRESS_MAX)
    }

    /// Neighbours stay connected; the number of connections is bounded at the door.
    fn connection_keep_alive(&self) -> bool {
        true
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, Open, (Purpose, Stream)>> {
        if let Some(came) = self.came.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(came));
        }
        while let Some(open) = self.opening.pop_front() {
            // Nobody waits any more, for example after the deadline of a question.
            if open.reply.is_closed() {
                continue;
            }
            let upgrade = ReadyUpgrade::new(open.purpose.protocol());
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: SubstreamProtocol::new(upgrade, open).with_timeout(NO_PROGRESS_MAX),
            });
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, open: Open) {
        self.opening.push_back(open);
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, AnyPurpose, Self::OutboundProtocol, (), Open>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol, ..
                // The multiplexer allows no more than this many streams, so nothing honest is lost here.
            }) if self.came.len() < INBOUND_BACKLOG_MAX => self.came.push_back(protocol),
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol,
                info,
            }) => {
                let _ = info.reply.send(Ok(protocol));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => {
                let why = match error {
                    StreamUpgradeError::Timeout => OpenError::Late,
                    StreamUpgradeError::NegotiationFailed => OpenError::Unsupported,
                    StreamUpgradeError::Io(_) | StreamUpgradeError::Apply(_) => OpenError::Gone,
                };
                let _ = info.reply.send(Err(why));
            }
            _ => {}
        }
    }
}

/// Accepts a stream of any purpose and says which.
#[derive(Debug, Clone, Copy)]
pub(super) struct AnyPurpose;

impl UpgradeInfo for AnyPurpose {
    type Info = Purpose;
    type InfoIter = [Purpose; 4];

    fn protocol_info(&self) -> [Purpose; 4] {
        [
            Purpose::Query,
            Purpose::File,
            Purpose::Lease,
            Purpose::Hello,
        ]
    }
}

impl InboundUpgrade<Stream> for AnyPurpose {
    type Output = (Purpose, Stream);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, purpose: Purpose) -> Self::Future {
        ready(Ok((purpose, stream)))
    }
}

impl Purpose {
    fn protocol(self) -> StreamProtocol {
        StreamProtocol::new(self.id())
    }

    fn id(self) -> &'static str {
        match self {
            Self::Hello => HELLO_PROTOCOL,
            Self::Query => QUERY_PROTOCOL,
            Self::File => FILE_PROTOCOL,
            Self::Lease => LEASE_PROTOCOL,
        }
    }
}

impl AsRef<str> for Purpose {
    fn as_ref(&self) -> &str {
        self.id()
    }
}
