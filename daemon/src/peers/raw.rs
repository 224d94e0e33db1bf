//! Bytes without manners on the streams that neighbours answer, and words of an owner that no desk would say: what a host does
//! with them.
//!
//! For those who attack a host to see that it holds (`tests/harness/fuzz`, `tests/harness/liar`); the daemon itself uses nothing of
//! it. What is sent here reaches the other side as it is; connections and greetings are the true ones.

use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::PeerId;
use libp2p::swarm::Stream;
use modmesh_protocol::peer_name::PeerName;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::streams::Purpose;
use super::{Command, PeerError, Peers, ask, name_of};

/// Conversations that wait for whoever takes them in the owner's place; more are reset.
const CONVERSATIONS_WAITING_MAX: usize = 256;

/// Which protocol a raw stream speaks, or would speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RawProtocol {
    /// Greetings.
    Hello,
    /// Small questions.
    Query,
    /// Files.
    File,
}

/// A stream to a neighbour. Dropped, it is reset.
#[derive(Debug)]
pub struct RawStream(Stream);

impl Peers {
    /// Opens a stream to a neighbour.
    ///
    /// # Errors
    /// When the neighbour is gone or at its bounds.
    pub async fn open_raw(
        &self,
        peer: &PeerName,
        protocol: RawProtocol,
    ) -> Result<RawStream, PeerError> {
        let purpose = match protocol {
            RawProtocol::Hello => Purpose::Hello,
            RawProtocol::Query => Purpose::Query,
            RawProtocol::File => Purpose::File,
        };
        let id = self.usable(peer)?;
        ask::open(&self.shared, &id, purpose).await.map(RawStream)
    }

    /// From now on this host decides nothing as an owner: who asks it, and the stream on which it is asked, come out here. Only the
    /// first call has any.
    pub fn take_conversations(&self) -> mpsc::Receiver<(PeerName, RawStream)> {
        let (door, conversations) = mpsc::channel(CONVERSATIONS_WAITING_MAX);
        let _already_taken = self.shared.raw_door.0.set(door);
        conversations
    }

    /// Tells all neighbours these bytes where an announcement should be.
    pub async fn gossip_raw(&self, bytes: Vec<u8>) {
        let _gone = self.shared.commands.send(Command::Gossip(bytes)).await;
    }
}

/// Where conversations go that somebody takes in the owner's place.
#[derive(Debug, Default)]
pub(super) struct RawDoor(OnceLock<mpsc::Sender<(PeerName, RawStream)>>);

impl RawDoor {
    /// Lets the stream through, or gives it back where nobody waits for such.
    pub(super) fn pass(&self, peer: &PeerId, stream: Stream) -> Option<Stream> {
        let Some(door) = self.0.get() else {
            return Some(stream);
        };
        let _full = door.try_send((name_of(peer), RawStream(stream)));
        None
    }
}

impl RawStream {
    /// Sends bytes.
    ///
    /// # Errors
    /// When the other side has closed or reset the stream, or takes nothing within `within`.
    pub async fn send(&mut self, bytes: &[u8], within: Duration) -> io::Result<()> {
        let sending = async {
            self.0.write_all(bytes).await?;
            self.0.flush().await
        };
        timeout(within, sending).await?
    }

    /// Says that nothing more is sent.
    ///
    /// # Errors
    /// As [`RawStream::send`].
    pub async fn send_no_more(&mut self, within: Duration) -> io::Result<()> {
        timeout(within, self.0.close()).await?
    }

    /// Exactly so many bytes of what the other side sends.
    ///
    /// # Errors
    /// When it ends before, or they have not come within `within`.
    pub async fn read_exactly(&mut self, bytes: usize, within: Duration) -> io::Result<Vec<u8>> {
        let mut read = vec![0; bytes];
        timeout(within, self.0.read_exact(&mut read)).await??;
        Ok(read)
    }

    /// What the other side sends until it closes or resets the stream, at most `bytes_max` bytes of it.
    ///
    /// # Errors
    /// When it does neither within `within`.
    pub async fn read_to_the_end(
        &mut self,
        bytes_max: u64,
        within: Duration,
    ) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut stream = (&mut self.0).take(bytes_max);
        // A reset is an end like any other.
        let _reset = timeout(within, stream.read_to_end(&mut bytes)).await?;
        Ok(bytes)
    }
}
