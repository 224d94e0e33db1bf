//! A peer that does not keep to the rules: the same swarm, but each stream is answered by the test.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::BoxFuture;
use futures::{AsyncReadExt, AsyncWriteExt, FutureExt, StreamExt};
use libp2p::identity::Keypair;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{Stream, SwarmEvent};
use libp2p::{Multiaddr, PeerId, gossipsub};
use modmesh_protocol::limits::NEIGHBOURS_MAX;
use modmesh_protocol::wire::{Hello, encode};
use tokio::sync::{mpsc, oneshot};

use super::super::capacity::Capacity;
use super::super::onlink::OnLink;
use super::super::roster::Roster;
use super::super::streams::{OpenError, Purpose};
use super::super::swarm::{BehaviourEvent, build};

/// How a rogue answers a stream.
pub(super) type Manners = Arc<dyn Fn(Purpose, Stream) -> BoxFuture<'static, ()> + Send + Sync>;

/// A running rogue.
pub(super) struct Rogue {
    pub(super) id: PeerId,
    pub(super) address: String,
    /// Announcements that it has heard.
    pub(super) heard: Arc<AtomicUsize>,
    /// Those of whom it knows that they listen to announcements.
    listeners: Arc<AtomicUsize>,
    orders: mpsc::Sender<Order>,
}

enum Order {
    Open(PeerId, Purpose, oneshot::Sender<Result<Stream, OpenError>>),
    Call(Multiaddr, oneshot::Sender<bool>),
}

impl Rogue {
    pub(super) async fn start(manners: Manners) -> Self {
        let key = Keypair::generate_ed25519();
        let id = key.public().to_peer_id();
        let capacity = Capacity::new(NEIGHBOURS_MAX);
        let mut swarm = build(key, OnLink::new([]), Arc::new(Roster::default()), capacity).unwrap();
        swarm.behaviour_mut().gossip.for_everybody();
        swarm
            .listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap())
            .unwrap();
        let (orders, mut orders_in) = mpsc::channel(512);
        let (listening, address) = oneshot::channel();
        let (heard, listeners) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (hears, listens) = (Arc::clone(&heard), Arc::clone(&listeners));
        tokio::spawn(async move {
            let mut listening = Some(listening);
            let mut call: Option<oneshot::Sender<bool>> = None;
            loop {
                tokio::select! {
                    order = orders_in.recv() => match order {
                        Some(Order::Open(peer, purpose, reply)) => {
                            swarm.behaviour_mut().streams.open(peer, purpose, reply);
                        }
                        Some(Order::Call(address, outcome)) => {
                            call = Some(outcome);
                            let options = DialOpts::unknown_peer_id().address(address);
                            swarm.dial(options.allocate_new_port().build()).unwrap();
                        }
                        None => return,
                    },
                    event = swarm.select_next_some() => match event {
                        SwarmEvent::Behaviour(BehaviourEvent::Streams(inbound)) => {
                            tokio::spawn(manners(inbound.purpose, inbound.stream));
                        }
                        SwarmEvent::Behaviour(BehaviourEvent::Gossip(event)) => match event {
                            gossipsub::Event::Message { .. } => {
                                hears.fetch_add(1, Ordering::Relaxed);
                            }
                            gossipsub::Event::Subscribed { .. } => {
                                listens.fetch_add(1, Ordering::Relaxed);
                            }
                            _ => {}
                        },
                        SwarmEvent::NewListenAddr { address, .. } => {
                            listening.take().map(|l| l.send(address.to_string()));
                        }
                        SwarmEvent::ConnectionClosed { .. }
                        | SwarmEvent::OutgoingConnectionError { .. } => {
                            call.take().map(|outcome| outcome.send(false));
                        }
                        _ => {}
                    },
                }
            }
        });
        let address = format!("{}/p2p/{id}", address.await.unwrap());
        Self {
            id,
            address,
            heard,
            listeners,
            orders,
        }
    }

    /// Opens a stream to a host that is connected.
    pub(super) async fn open(&self, peer: PeerId, purpose: Purpose) -> Result<Stream, OpenError> {
        let (reply, stream) = oneshot::channel();
        let order = Order::Open(peer, purpose, reply);
        self.orders.send(order).await.ok().unwrap();
        stream.await.unwrap_or(Err(OpenError::Gone))
    }

    /// Whether it knows of somebody who listens to announcements.
    pub(super) fn listens(&self) -> bool {
        self.listeners.load(Ordering::Relaxed) > 0
    }

    /// Calls a host and waits until it is connected.
    pub(super) async fn call(&self, address: &str) {
        let (outcome, _ended) = oneshot::channel();
        let (bare, peer) = address.split_once("/p2p/").unwrap();
        let order = Order::Call(bare.parse().unwrap(), outcome);
        self.orders.send(order).await.ok().unwrap();
        let peer = peer.parse().unwrap();
        while self.open(peer, Purpose::Query).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// Calls a host and returns when the call failed or its connection ended again.
    pub(super) async fn call_until_refused(&self, address: &str) {
        let (outcome, refused) = oneshot::channel();
        let bare = address.split("/p2p/").next().unwrap();
        let order = Order::Call(bare.parse().unwrap(), outcome);
        self.orders.send(order).await.ok().unwrap();
        assert_eq!(refused.await, Ok(false));
    }
}

/// A rogue that greets like everybody else and answers files and queries by `answer`.
pub(super) fn after_hello<F, Fut>(answer: F) -> Manners
where
    F: Fn(Purpose, Stream) -> Fut + Send + Sync + Clone + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    after_hello_of(u64::MAX, answer)
}

/// One that says it can do this and no more.
pub(super) fn after_hello_of<F, Fut>(capabilities: u64, answer: F) -> Manners
where
    F: Fn(Purpose, Stream) -> Fut + Send + Sync + Clone + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    Arc::new(move |purpose, mut stream| {
        let answer = answer.clone();
        async move {
            if purpose != Purpose::Hello {
                return answer(purpose, stream).await;
            }
            read_frame(&mut stream).await;
            let hello = Hello {
                release: "rogue".into(),
                capabilities,
                membership: None,
                heads: vec![],
                up_ms: 0,
            };
            stream.write_all(&encode(&hello).unwrap()).await.unwrap();
            let _ = stream.close().await;
        }
        .boxed()
    })
}

/// Reads a frame without looking at it.
pub(super) async fn read_frame(stream: &mut Stream) -> Vec<u8> {
    let mut head = [0; 5];
    stream.read_exact(&mut head).await.unwrap();
    let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload).await.unwrap();
    payload
}
