//! Neighbours of earlier runs: a small file in the state folder, so that a host finds them where multicast does not.
//!
//! What is in it proves nothing and is worth nothing to others; a file that cannot be read is no file. A neighbour is
//! remembered for a month, with the addresses at which it listened, and those that were given with `--peer` are not, for
//! they are given again.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use libp2p::PeerId;
use libp2p::core::Multiaddr;
use modmesh_protocol::limits::NEIGHBOURS_MAX;
use serde::{Deserialize, Serialize};

use crate::state::write_whole;

/// How long a neighbour is remembered.
const KEPT: Duration = Duration::from_secs(30 * 86_400);
/// Addresses of one neighbour that are kept.
const ADDRESSES_MAX: usize = 4;
/// Bytes of the file: four times what so many neighbours take.
const FILE_BYTES_MAX: u64 = 256 * 1024;
/// How long after a change it is written, so that a LAN that starts in the morning is one write.
const WRITE_AFTER: Duration = Duration::from_secs(30);

/// The neighbours that are remembered.
#[derive(Debug)]
pub(super) struct Remembered {
    file: PathBuf,
    hosts: Vec<Host>,
    due: Option<Instant>,
}

/// The file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Contents {
    hosts: Vec<Host>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Host {
    peer: String,
    addresses: Vec<String>,
    /// When it was connected last, in seconds since 1970 by this host's clock.
    seen: u64,
}

impl Remembered {
    /// Reads the file.
    pub(super) fn load(file: PathBuf) -> Self {
        let mut hosts = read(&file).unwrap_or_default().hosts;
        hosts.truncate(NEIGHBOURS_MAX);
        let due = None;
        Self { file, hosts, due }
    }

    /// Whom to call, with addresses, those seen last first.
    pub(super) fn hosts(&self) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let oldest = unix_seconds().saturating_sub(KEPT.as_secs());
        let kept = self.hosts.iter().filter(|host| host.seen >= oldest);
        let hosts = kept.filter_map(|host| {
            let peer = host.peer.parse().ok()?;
            let addresses = host.addresses.iter().take(ADDRESSES_MAX);
            let addresses: Vec<_> = addresses.filter_map(|a| a.parse().ok()).collect();
            (!addresses.is_empty()).then_some((peer, addresses))
        });
        hosts.collect()
    }

    /// Neighbours came or went.
    pub(super) fn changed(&mut self, now: Instant) {
        self.due.get_or_insert(now + WRITE_AFTER);
    }

    /// When [`Remembered::update`] is to be called.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Takes in who is connected now; what is to be written then, and where.
    pub(super) fn update(
        &mut self,
        present: Vec<(PeerId, Vec<Multiaddr>)>,
    ) -> Option<(PathBuf, Vec<u8>)> {
        self.due = None;
        let seen = unix_seconds();
        let texts = |addresses: Vec<Multiaddr>| {
            let texts = addresses
                .iter()
                .take(ADDRESSES_MAX)
                .map(Multiaddr::to_string);
            texts.collect()
        };
        let present = present.into_iter().map(|(peer, addresses)| Host {
            peer: peer.to_string(),
            addresses: texts(addresses),
            seen,
        });
        let mut hosts: Vec<Host> = present.collect();
        let others = std::mem::take(&mut self.hosts);
        for other in others {
            let oldest = seen.saturating_sub(KEPT.as_secs());
            if other.seen >= oldest && hosts.iter().all(|host| host.peer != other.peer) {
                hosts.push(other);
            }
        }
        hosts.sort_by_key(|host| std::cmp::Reverse(host.seen));
        hosts.truncate(NEIGHBOURS_MAX);
        self.hosts = hosts;
        let hosts = self.hosts.clone();
        let bytes = serde_json::to_vec(&Contents { hosts }).ok()?;
        Some((self.file.clone(), bytes))
    }
}

/// Writes the file. Blocks.
pub(super) fn write(file: &Path, bytes: &[u8]) {
    if let Err(error) = write_whole(file, bytes) {
        tracing::debug!(%error, file = %file.display(), "the neighbours of this run are not remembered");
    }
}

fn read(file: &Path) -> Option<Contents> {
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).ok()?;
    opened.take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn unix_seconds() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn address(number: usize) -> Vec<Multiaddr> {
        vec![format!("/ip4/10.0.0.1/tcp/{}", number + 1).parse().unwrap()]
    }

    #[test]
    fn what_is_written_is_read_and_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("neighbours");
        let mut remembered = Remembered::load(file.clone());
        assert!(remembered.hosts().is_empty());
        let first: Vec<_> = (0..100).map(|n| (PeerId::random(), address(n))).collect();
        let (at, bytes) = remembered.update(first).unwrap();
        write(&at, &bytes);
        let mut again = Remembered::load(file);
        assert_eq!(again.hosts(), remembered.hosts());
        assert_eq!(again.hosts().len(), 100);
        let second: Vec<_> = (0..100).map(|n| (PeerId::random(), address(n))).collect();
        again.hosts.iter_mut().for_each(|host| host.seen -= 1);
        again.update(second.clone()).unwrap();
        assert_eq!(again.hosts().len(), NEIGHBOURS_MAX);
        assert_eq!(again.hosts()[..100], second[..]);
        // Who comes back is there once.
        again.update(second[..1].to_vec()).unwrap();
        let peers = again.hosts();
        let same = peers.iter().filter(|(peer, _)| *peer == second[0].0);
        assert_eq!(same.count(), 1);
    }

    #[test]
    fn whom_nobody_saw_for_a_month_is_forgotten_and_a_damaged_file_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("neighbours");
        let mut remembered = Remembered::load(file.clone());
        remembered.update(vec![(PeerId::random(), address(1))]);
        remembered.hosts[0].seen -= KEPT.as_secs() + 10;
        assert!(remembered.hosts().is_empty());
        remembered.update(Vec::new());
        assert!(remembered.hosts.is_empty());
        for damaged in ["", "{}", "{\"hosts\":[{}]}", "\0\0", "[]"] {
            std::fs::write(&file, damaged).unwrap();
            assert!(Remembered::load(file.clone()).hosts().is_empty());
        }
    }

    #[test]
    fn a_change_is_written_half_a_minute_later() {
        let mut remembered = Remembered::load("/nowhere".into());
        let now = Instant::now();
        remembered.changed(now);
        remembered.changed(now + Duration::from_secs(20));
        assert_eq!(remembered.due(), Some(now + WRITE_AFTER));
        remembered.update(Vec::new());
        assert_eq!(remembered.due(), None);
    }
}
