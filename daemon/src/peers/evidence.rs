//! What liars said, kept for people to look at.
//!
//! One file per lie in one folder: three lines (when, who, what) and an empty one, then the bytes. The folder is a ring:
//! when it grows beyond its bound the oldest files go. Nothing is ever read back to decide anything, so a failing disk costs
//! the evidence and not the ban.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use modmesh_protocol::control::rfc3339;
use modmesh_protocol::limits::{EVIDENCE_BYTES_MAX, EVIDENCE_RING_BYTES_MAX};
use modmesh_protocol::peer_name::PeerName;

use super::lock;

/// The ending of evidence files; other files in the folder are not touched.
const ENDING: &str = ".lie";

/// The folder of evidence.
#[derive(Debug)]
pub(super) struct EvidenceRing {
    folder: PathBuf,
    bytes_max: u64,
    sequence: AtomicU64,
    /// One writer at a time, so that the bound holds.
    writing: Mutex<()>,
}

impl EvidenceRing {
    /// A ring in `folder`, which is made when the first lie is caught.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self::with_bound(folder, EVIDENCE_RING_BYTES_MAX)
    }

    fn with_bound(folder: PathBuf, bytes_max: u64) -> Self {
        Self {
            folder,
            bytes_max,
            sequence: AtomicU64::new(0),
            writing: Mutex::new(()),
        }
    }

    /// The path for a lie that was caught at `at`; names sort by age.
    pub(super) fn path_for(&self, at: SystemTime, who: &PeerName) -> PathBuf {
        let milliseconds = at
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_millis();
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
        let name = format!("{milliseconds:015}-{sequence:06}-{}{ENDING}", who.short());
        self.folder.join(name)
    }

    /// Drops the oldest files until there is room, then writes one. Blocks on the disk.
    pub(super) fn write(
        &self,
        path: &Path,
        who: &PeerName,
        what: &str,
        bytes: &[u8],
    ) -> io::Result<()> {
        let _one_at_a_time = lock(&self.writing);
        // Alone: a state folder that was removed under a running daemon is not laid anew piece by piece.
        match fs::create_dir(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let at = rfc3339(now.unwrap_or_default().as_secs());
        let what = what.replace(['\n', '\r'], " ");
        let mut text = format!("at {at}\npeer {who}\nwhat {what}\n\n").into_bytes();
        text.extend_from_slice(&bytes[..bytes.len().min(EVIDENCE_BYTES_MAX)]);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        self.make_room(text.len() as u64)?;
        options.open(path)?.write_all(&text)
    }

    fn make_room(&self, for_bytes: u64) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let path = entry.path();
            if path.to_string_lossy().ends_with(ENDING) {
                files.push((path, entry.metadata()?.len()));
            }
        }
        files.sort();
        let mut bytes: u64 = files.iter().map(|(_, length)| length).sum();
        for (path, length) in files {
            if bytes + for_bytes <= self.bytes_max {
                break;
            }
            fs::remove_file(path)?;
            bytes -= length;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_keeps_the_newest_lies_within_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        let bound = 300 * 1024;
        let ring = EvidenceRing::with_bound(folder.path().join("evidence"), bound);
        let who: PeerName = "12D3KooWLiar".parse().unwrap();
        let mut last = PathBuf::new();
        for lie in 0..20 {
            last = ring.path_for(SystemTime::now(), &who);
            let bytes = vec![lie; EVIDENCE_BYTES_MAX * 2];
            ring.write(&last, &who, "a flipped\nbyte", &bytes).unwrap();
        }
        let files: Vec<_> = fs::read_dir(&ring.folder).unwrap().flatten().collect();
        let bytes: u64 = files.iter().map(|f| f.metadata().unwrap().len()).sum();
        assert!(bytes <= bound && files.len() == 4, "{bytes} in {files:?}");
        let text = fs::read(last).unwrap();
        let head = String::from_utf8_lossy(&text[..90]).into_owned();
        assert!(
            head.contains("peer 12D3KooWLiar\nwhat a flipped byte\n\n"),
            "{head}"
        );
        assert!(text.ends_with(&[19; 64]));
    }
}
