//! Puts generated frames to a host as its neighbours: true connections, greeted as neighbours greet, and then bytes without
//! manners on their streams, in gossip, and on the bare port before any handshake.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use modmesh_daemon::peers::{Membership, PeerError, Peers, PeersConfig, RawProtocol, Shelf};
use modmesh_protocol::limits::NEIGHBOURS_MAX;
use modmesh_protocol::peer_name::PeerName;
use modmesh_protocol::wire::{Answer, FRAME_HEAD_BYTES, FileAnswer, FrameHead, decode};
use tempfile::TempDir;

use crate::liar::{Deaf, ForgingShelf};
use crate::{PeerLie, TestLog};

use super::frames::{End, Frames, Sent};
use super::{Dice, World};

/// Time for each step of a stream. The host itself gives up after two seconds.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// Streams of one neighbour at the same time: sixteen are served, the others are told to come later.
const STREAMS_OF_ONE: u64 = 20;
/// One in so many frames is told by gossip, and one in so many is garbage before the handshake.
const GOSSIP_EVERY: u64 = 200;
const GARBAGE_EVERY: u64 = 500;

/// What an attack saw.
#[derive(Debug, Default)]
pub struct Report {
    /// Frames sent.
    pub frames: u64,
    /// Of them by gossip.
    pub gossip: u64,
    /// Of them on a bare connection.
    pub bare: u64,
    /// Good questions that were answered with what they asked for.
    pub answered: u64,
    /// That were told to come later.
    pub busy: u64,
    /// That were refused in so many words.
    pub refused: u64,
    /// That got nothing: most are half frames.
    pub silence: u64,
    /// Streams that could not be opened at once.
    pub not_opened: u64,
    /// From the first to the last.
    pub wall: Duration,
}

#[derive(Debug, Default)]
struct Counts {
    left: AtomicU64,
    gossip: AtomicU64,
    bare: AtomicU64,
    answered: AtomicU64,
    busy: AtomicU64,
    refused: AtomicU64,
    silence: AtomicU64,
    not_opened: AtomicU64,
}

/// What all tasks share.
struct Attack {
    frames: Frames,
    zips: Vec<Vec<u8>>,
    host: PeerName,
    port: SocketAddr,
    counts: Counts,
}

/// Sends `frames` frames as `neighbours` neighbours.
///
/// # Panics
/// When a good question gets another answer than it should, or nothing in time.
pub fn attack(world: &World, frames: u64, neighbours: u64, seed: u64) -> Report {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime for the neighbours");
    let address = world.host.peer_address();
    let key = world.upstream.sumdb();
    let attack = Arc::new(Attack {
        frames: Frames::new(&world.modules, &key),
        zips: world.modules.iter().map(crate::Module::zip).collect(),
        host: world.host.peer_id().parse().expect("the host's name"),
        port: bare_address(&address),
        counts: Counts::default(),
    });
    attack.counts.left.store(frames, Ordering::Relaxed);
    let began = Instant::now();
    let dice = Dice::new(seed);
    runtime.block_on(async {
        let mut strangers = Vec::new();
        for _ in 0..neighbours {
            strangers.push(Stranger::start(&address).await);
        }
        let mut tasks = tokio::task::JoinSet::new();
        for (number, stranger) in strangers.iter().enumerate() {
            for stream in 0..STREAMS_OF_ONE {
                let (attack, peers) = (Arc::clone(&attack), stranger.peers.clone());
                let dice = dice.child(number as u64 * STREAMS_OF_ONE + stream);
                tasks.spawn(async move { attack.run(peers, dice).await });
            }
        }
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                std::panic::resume_unwind(error.into_panic());
            }
        }
        for stranger in strangers {
            stranger.peers.stop(Duration::from_secs(1)).await;
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
    let counts = &attack.counts;
    let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
    Report {
        frames,
        gossip: of(&counts.gossip),
        bare: of(&counts.bare),
        answered: of(&counts.answered),
        busy: of(&counts.busy),
        refused: of(&counts.refused),
        silence: of(&counts.silence),
        not_opened: of(&counts.not_opened),
        wall: began.elapsed(),
    }
}

/// A neighbour that has nothing.
struct Stranger {
    peers: Peers,
    _folder: TempDir,
}

impl Stranger {
    async fn start(host: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the neighbour");
        let log = TestLog::new("sumdb.example.test");
        let shelf: Arc<dyn Shelf> = Arc::new(ForgingShelf::new(&folder, &[], &log, PeerLie::None));
        let config = PeersConfig {
            identity_file: folder.path().join("identity"),
            evidence_dir: folder.path().join("evidence"),
            distrusted_file: folder.path().join("distrusted"),
            machine_id: None,
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
            listen_asked: true,
            peers: vec![host.to_owned()],
            membership: Membership::default(),
            mdns: false,
            release: "stranger".to_owned(),
            can_fetch: false,
            limit_upload: Default::default(),
            limit_download: Default::default(),
            minute: Default::default(),
            crossing: Default::default(),
            neighbours_max: NEIGHBOURS_MAX,
            site_connections: None,
        };
        let peers = Peers::start(config, shelf, Arc::new(Deaf), Arc::new(())).await;
        let peers = peers.expect("a neighbour that listens");
        let there = peers.somebody_by(Instant::now() + PATIENCE).await;
        assert!(there, "the host is not to be reached");
        Self {
            peers,
            _folder: folder,
        }
    }
}

impl Attack {
    async fn run(&self, peers: Peers, mut dice: Dice) {
        let take = |left: u64| left.checked_sub(1);
        let counts = &self.counts;
        while let Ok(left) = counts
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
        {
            if left.is_multiple_of(GOSSIP_EVERY) {
                counts.gossip.fetch_add(1, Ordering::Relaxed);
                peers.gossip_raw(self.frames.gossip(&mut dice)).await;
            } else if left.is_multiple_of(GARBAGE_EVERY) {
                counts.bare.fetch_add(1, Ordering::Relaxed);
                let (port, garbage, wait) = (self.port, garbage(&mut dice), dice.in_thousand(500));
                let sent = tokio::task::spawn_blocking(move || knock(port, &garbage, wait));
                sent.await.expect("a bare connection");
            } else {
                self.put(&peers, self.frames.make(&mut dice)).await;
            }
        }
    }

    async fn put(&self, peers: &Peers, sent: Sent) {
        let counts = &self.counts;
        let add = |count: &AtomicU64| count.fetch_add(1, Ordering::Relaxed);
        let began = Instant::now();
        let mut stream = loop {
            match peers.open_raw(&self.host, sent.protocol).await {
                Ok(stream) => break stream,
                Err(PeerError::Gone | PeerError::Busy { .. } | PeerError::Stalled) => {
                    assert!(
                        began.elapsed() < PATIENCE,
                        "no stream can be opened any more"
                    );
                    add(&counts.not_opened);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(error) => panic!("no stream can be opened: {error}"),
            }
        };
        // It may be told to come later while we still speak.
        let _reset = stream.send(&sent.bytes, PATIENCE).await;
        match sent.end {
            End::Reset => return,
            End::Closed => {
                let _reset = stream.send_no_more(PATIENCE).await;
            }
            End::Open => {}
        }
        let answer = stream.read_to_the_end(ANSWER_BYTES_MAX, PATIENCE).await;
        let answer = answer.unwrap_or_else(|_| panic!("a stream that never ends: {sent:?}"));
        self.judge(&sent, &answer);
    }

    fn judge(&self, sent: &Sent, answer: &[u8]) {
        let add = |count: &AtomicU64| count.fetch_add(1, Ordering::Relaxed);
        let counts = &self.counts;
        if answer.is_empty() {
            // Only a reset beyond all bounds may leave a good question without a word.
            add(&counts.silence);
            return;
        }
        let (frame, rest) = first_frame(answer);
        match sent.protocol {
            RawProtocol::Hello => add(&counts.answered),
            RawProtocol::Query => match decode::<Answer>(frame).expect("an answer that is one") {
                Answer::Busy { .. } => add(&counts.busy),
                Answer::Refused => {
                    assert!(!sent.is_good, "refused: {sent:?}");
                    add(&counts.refused)
                }
                _ => add(&counts.answered),
            },
            RawProtocol::File => {
                match decode::<FileAnswer>(frame).expect("an answer that is one") {
                    FileAnswer::Busy { .. } => add(&counts.busy),
                    FileAnswer::Refused => {
                        assert!(!sent.is_good, "refused: {sent:?}");
                        add(&counts.refused)
                    }
                    FileAnswer::NotHere => {
                        assert!(sent.file.is_none(), "not here: {sent:?}");
                        add(&counts.answered)
                    }
                    FileAnswer::Here { .. } => {
                        if let Some(number) = sent.file {
                            assert!(rest == self.zips[number], "other bytes: {sent:?}");
                        }
                        add(&counts.answered)
                    }
                }
            }
        };
    }
}

fn first_frame(bytes: &[u8]) -> (&[u8], &[u8]) {
    let head = bytes.first_chunk().expect("the head of a frame");
    let head = FrameHead::parse(*head).expect("the head of a frame");
    bytes.split_at(FRAME_HEAD_BYTES + head.payload_bytes)
}

/// Bytes that are no handshake, or the beginning of one.
fn garbage(dice: &mut Dice) -> Vec<u8> {
    let begin: &[u8] = [
        &b""[..],
        b"\x13/multistream/1.0.0\n",
        b"\x13/multistream/1.0.0\n\x0b/tls/1.0.0\n",
        b"\x13/multistream/1.0.0\n\x07/noise\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"SSH-2.0-OpenSSH_9.6\r\n",
    ][dice.below(8)];
    let more = dice.below(3000);
    [begin, &dice.bytes(more)].concat()
}

/// Sends garbage to the bare port; some wait for what comes back.
fn knock(port: SocketAddr, garbage: &[u8], wait: bool) {
    let Ok(mut stream) = TcpStream::connect(port) else {
        return;
    };
    let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
    let _ = stream.write_all(garbage);
    if wait {
        let _ = stream.read(&mut [0; 1000]);
    }
}

/// `IP:PORT` of `/ip4/IP/tcp/PORT/...`.
fn bare_address(multiaddr: &str) -> SocketAddr {
    let parts: Vec<&str> = multiaddr.split('/').collect();
    let address = format!("{}:{}", parts[2], parts[4]);
    address.parse().expect("an address of TCP")
}
