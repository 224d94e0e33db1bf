//! The bounds of the wire and the mesh: each with its unit and the reason for its size.
//!
//! A host that meets a bound says so (an explicit "busy", a refusal) instead of growing. Bounds that are part of what two
//! hosts must agree on (sizes of frames and lists) can only be raised by a new protocol id; the others are this host's own
//! affair. Timing and sizes of single rooms (store, upstream, front door) are not here: they stand in those rooms.

use std::time::Duration;

// What two hosts must agree on.

/// Bytes of the payload of one frame. One frame holds seven tiles of 8 KiB with room to spare, and is small enough that a
/// host may hold one per stream without thinking.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;
/// Bytes of the release text in a hello: a version number, not an essay.
pub const RELEASE_BYTES_MAX: usize = 64;
/// Bytes of the membership field of a hello: four proofs and what goes with them take 131, the rest is room for later forms.
pub const MEMBERSHIP_BYTES_MAX: usize = 256;
/// Databases that one hello or one announcement speaks of: hosts mirror one or two.
pub const HELLO_HEADS_MAX: usize = 8;
/// Tiles in one query, so that the answer (8 KiB each) fits one frame.
pub const TILES_PER_QUERY_MAX: usize = 7;
/// Bytes of one tile: 256 hashes of 32 bytes (C2SP tlog-tiles).
pub const TILE_BYTES_MAX: usize = 256 * 32;
/// Bytes of a file that is given with its proof in one answer: a go.mod, a small zip. What a frame has left takes record and head.
pub const INLINE_FILE_BYTES_MAX: usize = 60 * 1024;
/// Bytes of all that such an answer carries together, so that with what describes it it fits one frame.
pub const INLINE_ANSWER_BYTES_MAX: usize = FRAME_BYTES_MAX - 1024;
/// Tiles in such an answer: what somebody needs who has nothing of a log of seventy million records.
pub const INLINE_TILES_MAX: usize = 7;
/// Hosts that one answer names: all neighbours of a host.
pub const ACQUAINTANCES_MAX: usize = NEIGHBOURS_MAX;
/// Bytes of the text of a record: two go.sum lines take 400, a record with many lines stays far below.
pub const RECORD_TEXT_BYTES_MAX: usize = 16 * 1024;
/// Records of one module in one answer: the versions of most modules that a LAN works with, and at 250 bytes each a quarter
/// of a frame.
pub const VERSIONS_RECORDS_MAX: usize = 64;
/// Bytes of the texts of these records together: twice what so many take, and with a head half a frame is left.
pub const VERSIONS_TEXT_BYTES_MAX: usize = 32 * 1024;
/// Bytes of the name of a statement's author: as many as a peer id may have.
pub const AUTHOR_BYTES_MAX: usize = 64;
/// Bytes of the name of a site: a word that people read in a table.
pub const SITE_NAME_BYTES_MAX: usize = 32;
/// Bytes of the path of a note: twice the longest module path and version that anybody has seen, with their escapes.
pub const NOTE_PATH_BYTES_MAX: usize = 1024;
/// Bytes of a note that members give each other: three quarters of a frame. The longest lists of public modules are below it.
pub const SHARED_NOTE_BYTES_MAX: usize = 48 * 1024;
/// Bytes of a signed head that answers a question: 200 bytes and one line per further signature.
pub const NOTE_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a signed head inside an announcement: lower than [`NOTE_BYTES_MAX`] because two of them travel with a thousand
/// hashes in one gossip message.
pub const ANNOUNCED_NOTE_BYTES_MAX: usize = 8 * 1024;
/// Signed heads in one announcement.
pub const ANNOUNCED_HEADS_MAX: usize = 2;
/// Key hashes in one announcement: 32 KiB, half a gossip message.
pub const ANNOUNCED_FILES_MAX: usize = 1024;
/// Bytes of one gossip message, the signature and envelope of gossipsub included.
pub const GOSSIP_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a file that one host offers another: Go refuses module zips above 500 MB; toolchains are smaller than this.
pub const FILE_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;

// What a host serves.

/// Streams that one host serves at the same time, all neighbours together.
pub const SERVED_STREAMS_MAX: usize = 64;
/// Streams that one host serves to one neighbour at the same time: a quarter, so that one neighbour cannot shut out the others.
pub const SERVED_STREAMS_PER_PEER_MAX: usize = 16;
/// Files that one host sends at the same time: each holds a thread and half a megabyte.
pub const UPLOADS_MAX: usize = 32;
/// Streams that are being told "busy" at the same time; beyond it a stream is reset, which costs nothing.
pub const REFUSALS_MAX: usize = 256;
/// Inbound streams of one connection that wait to be looked at: as many as the multiplexer lets a neighbour open.
pub const INBOUND_BACKLOG_MAX: usize = 512;
/// What "busy" asks the neighbour to wait, in milliseconds: a small file is sent in less.
pub const RETRY_AFTER_MS: u32 = 30;

// What a host asks.

/// Streams to one neighbour that are asked for and not yet open.
pub const PENDING_OPENS_PER_PEER_MAX: usize = 64;
/// Files that are fetched from one neighbour at the same time; more wait here. Together with
/// [`ASKED_QUERIES_PER_PEER_MAX`] below [`SERVED_STREAMS_PER_PEER_MAX`], so that one asker alone is never told "busy".
pub const ASKED_FILES_PER_PEER_MAX: usize = 8;
/// Questions to one neighbour at the same time; more wait here.
pub const ASKED_QUERIES_PER_PEER_MAX: usize = 6;
/// Neighbours that are asked all at once "who has it"; above, those that announced it and some others.
pub const ASKED_AT_ONCE_MAX: usize = 16;
/// How long a neighbour may give no byte of an answer or of a file before it is left.
pub const NO_PROGRESS_MAX: Duration = Duration::from_secs(2);
/// Bytes of a file that count as progress within [`NO_PROGRESS_MAX`]: 8 kB/s. Whether a
/// faster neighbour is fast enough, the corridor decides by what the upstream would take.
pub const PROGRESS_BYTES_MIN: u64 = 16 * 1024;
/// How long a host waits on a neighbour that takes none of what it asked for: slow disks and paused virtual machines are
/// given more than a failing neighbour, since nobody here waits for it. The multiplexer tells that a receiver takes more
/// only for every 128 KiB it took, for which one at the least pace that counts as progress needs 16 s.
pub const SEND_STALL_MAX: Duration = Duration::from_secs(20);

// Whom a host knows.

/// Established connections to one neighbour: two hosts that dial each other at the same moment make two.
pub const CONNECTIONS_PER_PEER_MAX: usize = 2;
/// Neighbours that are connected at the same time: a full mesh of a large LAN. The connections to a neighbour are kept warm,
/// each with a ping as often as [`PINGS`] says.
pub const NEIGHBOURS_MAX: usize = 128;
/// How often a connection is pinged, and how many connections are so, the quickest first: a new connection is of the first of these
/// that has room. Over 128 connections, with the pings of the other side, they take 18 MB a day; every five seconds on each of
/// them took 283. Who has no more than four neighbours notices within 18 s that one lost its power; of a hundred the slowest
/// is noticed after 368 s if nobody asks it anything, and if somebody does, by [`PROBE_MAX`].
pub const PINGS: [(Duration, usize); 3] = [
    (Duration::from_secs(5), 4),
    (Duration::from_secs(60), 12),
    (Duration::from_secs(180), usize::MAX),
];
/// Bytes of a ping, and of what answers it (libp2p's ping).
pub const PING_BYTES: usize = 32;
/// How long a ping may take. The first one in a row that took longer is forgiven.
pub const PING_WAIT_MAX: Duration = Duration::from_secs(4);
/// How long a neighbour that was silent to a question may be silent to the probe that follows at once until its connection is
/// closed: two tries of two seconds, in which this host itself was running.
pub const PROBE_MAX: Duration = Duration::from_secs(4);
/// How long it may be until it is no owner for as long as it is silent. Hosts that all begin at once take a quarter of a second to
/// answer, and whom some pass over and others do not, of that one there are two leases.
pub const PROBE_GRACE: Duration = Duration::from_millis(500);
/// How long a neighbour that answered a probe is not probed again: one that is slow and alive is not asked everything twice.
pub const PROBE_REST: Duration = Duration::from_secs(1);
/// How long a neighbour that somebody says is silent is not looked at again for such a word, and not told of again: longer than it takes
/// until all have heard of it and looked.
pub const HEARSAY_REST: Duration = Duration::from_secs(30);
/// Looks at others that one neighbour can cause at once after silence: a shelf of machines that lost its power.
pub const HEARSAY_LOOKS_BURST_MAX: u32 = 8;
/// And one more each time that has passed: a handful of questions of a hundred bytes in a minute for a liar.
pub const HEARSAY_LOOK_EVERY: Duration = Duration::from_secs(10);
/// Neighbours whose word that another is silent is enough, so that who finds the same need not say so.
pub const HEARSAY_TELLERS_ENOUGH: usize = 3;
/// Silent neighbours in one announcement. Who misses more of them in the same moment is more likely cut off itself.
pub const ANNOUNCED_SILENT_MAX: usize = 8;
/// Neighbours from which on a host calls no other that it only heard of, of [`NEIGHBOURS_MAX`]: the rest is room for those that
/// call, so that somebody has room for a newcomer however many hosts there are. Smaller rooms are divided alike.
pub const CALLED_NEIGHBOURS_MAX: usize = 104;
/// The least number of neighbours that a host can be limited to.
pub const NEIGHBOURS_MIN: usize = 4;
/// Inbound connections whose handshake is not done, all sources together: each costs signatures.
pub const PENDING_INBOUND_MAX: usize = 64;
/// Neighbours from one source address that never delivered anything proven: keys are free, addresses are not. Loopback is
/// exempt.
pub const UNPROVEN_PER_ADDRESS_MAX: usize = 16;
/// Neighbours whose history (bytes, errors, bans) is kept after they left; the longest gone are forgotten first.
pub const REMEMBERED_PEERS_MAX: usize = 1024;
/// Bytes of a multicast packet that is looked at: twice what an announcement takes.
pub const DISCOVERY_PACKET_BYTES_MAX: usize = 512;
/// Hosts whose announcements on one link are remembered: 300 kB. The packets prove nothing.
pub const HEARD_HOSTS_MAX: usize = 4096;
/// Peers that were heard by multicast and are remembered to dial; those not heard for longest are forgotten first.
pub const DISCOVERED_PEERS_MAX: usize = 512;
/// Addresses that are remembered for one peer.
pub const ADDRESSES_PER_PEER_MAX: usize = 8;
/// Hosts that one is not connected to and knows of by its neighbours: twice the largest network that was simulated, 1 MB.
pub const ACQUAINTANCES_KNOWN_MAX: usize = 4096;
/// How long one is known of whom nobody tells: a neighbour is asked every ten minutes, and of two thousand hosts any one is
/// known to one neighbour in sixteen, so one that is there is told of nine times in this time.
pub const ACQUAINTANCE_KEPT: Duration = Duration::from_secs(24 * 3600);
/// How long one that was called in vain is not called again, the first time.
pub const ACQUAINTANCE_RESTS: Duration = Duration::from_secs(60);
/// And at most.
pub const ACQUAINTANCE_RESTS_MAX: Duration = Duration::from_secs(3600);
/// Hosts that one neighbour told of and that were not there, more than of others that were, after which it is not listened to: a
/// shelf of machines that lost its power.
pub const ACQUAINTANCES_MISSED_MAX: u32 = 8;
/// For how long it is not.
pub const TELLER_RESTS: Duration = Duration::from_secs(3600);
/// Hosts that one has called on errands, and as many that have called it on errands, for each neighbour that it may have: with the
/// neighbours seven times 128, each with a connection or two, a quarter of the descriptors that the daemon asks to be allowed.
pub const ERRANDS_PER_NEIGHBOUR_MAX: usize = 3;
/// How long a connection is kept after an errand by the one that called: the next module of the same build may lie with the same
/// host. The other side ends it after three times as long.
pub const ERRAND_IDLE: Duration = Duration::from_secs(30);
/// How long a connected peer may take to say hello.
pub const HELLO_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long a liar is left alone (monotonic clock).
pub const BAN: Duration = Duration::from_secs(3600);
/// Bytes of evidence that one lie leaves behind.
pub const EVIDENCE_BYTES_MAX: usize = 64 * 1024;
/// Bytes of all evidence on disk; the oldest is dropped first.
pub const EVIDENCE_RING_BYTES_MAX: u64 = 16 * 1024 * 1024;

// Leases.

/// For how long a host can have been up, in milliseconds: ten years.
pub const UP_MS_MAX: u64 = 10 * 365 * 24 * 3600 * 1000;

/// Holders that an owner names in one word: more sources than anybody uses.
pub const HOLDERS_NAMED_MAX: usize = 8;
/// Things about which a host decides as their owner at the same time: two of each of the 512 hosts that there may be.
pub const OWNED_THINGS_MAX: usize = 1024;
/// Things among them that one neighbour alone asked for: as many as it may ask for at the same time, and a quarter, so that
/// what is remembered of one neighbour's questions cannot shut out the others.
pub const OWNED_THINGS_PER_PEER_MAX: usize = 256;
/// Askers that one owner has at the same time, for all things together: a stream and 200 bytes each.
pub const OWNED_ASKERS_MAX: usize = 4096;
/// Askers among them that are one neighbour: what `go` has under way at the same time on a machine of many cores, and a
/// sixteenth of all.
pub const OWNED_ASKERS_PER_PEER_MAX: usize = 256;
/// Askers that an owner sends to one holder at the same time. Each that is done is a holder for others: with one at a time
/// a file reaches most hosts soonest, with two one that is slow holds up few.
pub const HANDED_AT_ONCE_MAX: usize = 2;
/// How long an asker waits for a holder with a free place, while no place becomes free, before it is sent to one without.
pub const PLACE_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long a lease lasts without progress: bytes that grow, or, before the first of them, the holder's word that it is at it.
pub const LEASE: Duration = Duration::from_secs(3);
/// How long a holder's word that it is at it counts as progress before the first byte: an upstream that fetches a module for
/// the first time itself takes as long.
pub const FIRST_BYTE_MAX: Duration = Duration::from_secs(30);
/// How often a holder tells how far it is, and an owner tells those who wait.
pub const PROGRESS_EVERY: Duration = Duration::from_millis(200);
/// How long an owner waits before it gives a lease to somebody whom the owner before it did not answer in time: that one may
/// have answered somebody else, who shows the lease to this one then.
pub const SILENT_GRACE: Duration = Duration::from_millis(300);
/// How long a second owner waits for a holder that others name, before it gives the lease to another.
pub const CLAIM_GRACE: Duration = Duration::from_millis(1500);

// The directory of who has what.

/// Keys that the directory remembers: ten large module caches, 20 MB of memory.
pub const DIRECTORY_KEYS_MAX: usize = 200_000;
/// Holders that are remembered for one key: more sources than anybody asks.
pub const DIRECTORY_HOLDERS_MAX: usize = 16;
/// Keys that one neighbour can have in the directory: a quarter of it, so that one talker cannot push out the others.
pub const DIRECTORY_KEYS_PER_PEER_MAX: usize = 50_000;
/// Neighbours the directory knows.
pub const DIRECTORY_PEERS_MAX: usize = 1024;
/// Announcements of one neighbour that are taken at once after silence.
pub const ANNOUNCEMENTS_BURST_MAX: u32 = 64;
/// Announcements of one neighbour that are taken per second in the long run: hosts batch for 100 ms, so 10 are honest.
pub const ANNOUNCEMENTS_PER_SECOND_MAX: u32 = 16;
/// Key hashes waiting to be announced; the oldest are dropped first (announcements are hints).
pub const UNANNOUNCED_FILES_MAX: usize = 65_536;
/// How long hashes are gathered before they are announced together.
pub const ANNOUNCE_BATCH: Duration = Duration::from_millis(100);
