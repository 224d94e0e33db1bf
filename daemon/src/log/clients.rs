//! The heads that clients of this host hold: `go` keeps the newest one that it has seen in
//! `GOPATH/pkg/sumdb/NAME/latest` (`cmd/go/internal/modfetch/sumdb.go`), wherever it got it.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// A signed tree head is far smaller than this.
const NOTE_BYTES_MAX: u64 = 64 << 10;

/// The files in which clients keep the head of one database.
#[derive(Debug)]
pub(super) struct ClientHeads {
    files: Vec<PathBuf>,
    /// When each was written that was read last, and how long it was.
    seen: Mutex<Vec<Option<(SystemTime, u64)>>>,
}

impl ClientHeads {
    /// Of the database `name`, below these folders (`GOPATH/pkg/sumdb`).
    pub(super) fn new(folders: &[PathBuf], name: &str) -> Self {
        let files: Vec<_> = folders
            .iter()
            .map(|folder| folder.join(name).join("latest"))
            .collect();
        let seen = Mutex::new(vec![None; files.len()]);
        Self { files, seen }
    }

    /// The notes that were written since the last time. Blocks shortly.
    pub(super) fn changed(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = Vec::new();
        for (path, seen) in self.files.iter().zip(seen.iter_mut()) {
            let Ok(file) = File::open(path) else { continue };
            let now = file
                .metadata()
                .and_then(|found| Ok((found.modified()?, found.len())))
                .ok();
            if now.is_none() || now == *seen {
                continue;
            }
            let mut note = Vec::new();
            if file.take(NOTE_BYTES_MAX).read_to_end(&mut note).is_ok() {
                *seen = now;
                // A client that has seen no head yet has an empty file.
                if !note.is_empty() {
                    changed.push((path.clone(), note));
                }
            }
        }
        changed
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_told_of_once_and_again_when_it_changes() {
        let gopath = tempfile::tempdir().unwrap();
        let folder = gopath.path().join("pkg/sumdb");
        let heads = ClientHeads::new(std::slice::from_ref(&folder), "sum.example/with/a/path");
        assert_eq!(heads.changed(), []);
        let file = folder.join("sum.example/with/a/path/latest");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "").unwrap();
        assert_eq!(heads.changed(), []);
        std::fs::write(&file, "first").unwrap();
        assert_eq!(heads.changed(), [(file.clone(), b"first".to_vec())]);
        assert_eq!(heads.changed(), []);
        std::fs::write(&file, "the second").unwrap();
        assert_eq!(heads.changed().len(), 1);
        std::fs::remove_file(&file).unwrap();
        assert_eq!(heads.changed(), []);
    }
}
