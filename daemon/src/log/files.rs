//! The mirror's files: `sumdb/NAME/{key,head/SIZE,record/..,tile/..,contradiction/..}` in the state folder; of a log that was
//! begun anew all but the key one folder deeper (`begun.rs`).
//!
//! Every file but those that people are to read begins with the SHA-256 of what follows, so that damage of any kind reads as absence. A tile is kept in its
//! widest form only. Files are written whole and renamed into place; none is synced: what is lost is asked for again.

mod begun;
mod whose;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use modmesh_protocol::digest::Hasher;
use modmesh_protocol::log::{Record, Tile, TileCoordinate, VerifierKey};
use modmesh_protocol::module::ModuleVersion;

use crate::state::rename_over;

pub(crate) use begun::log_number;
pub(super) use begun::{Begun, Head, Memory, aside_of, folder_aside};

static SERIAL: AtomicU64 = AtomicU64::new(0);

const DIGEST_BYTES: usize = 32;
/// Heads that are kept: the current one, and those that clients may hold. A client with an older one is still served, as
/// long as nothing on the disk is lost.
const HEADS_MAX: usize = 1024;
/// Contradictions that are kept. One is enough to convict a database, so the first ones stay.
const CONTRADICTIONS_MAX: usize = 16;
/// Two signed notes are far smaller than this.
const EVIDENCE_BYTES_MAX: u64 = 256 << 10;

/// The files of one database.
#[derive(Debug)]
pub(super) struct Files {
    /// The folder with the database's name.
    base: PathBuf,
    /// Where the parts of its log lie.
    root: PathBuf,
    begun: Begun,
    /// Held while a tile is written: proofs under several heads come at once, and none may put a narrower form of a tile
    /// over the wider one that the current head rests on.
    tiles: Mutex<()>,
}

impl Files {
    /// Files of the database of `key`, whose name may hold slashes. What was proved by another key of this name is moved
    /// aside first.
    pub(super) fn open(state: &Path, key: &VerifierKey) -> io::Result<Self> {
        let base = begun::base(state, key);
        let begun = begun::read(state, key);
        let files = Self {
            root: begun::root(&base, begun.number),
            base,
            begun,
            tiles: Mutex::default(),
        };
        begun::sweep(&files, state, key);
        let is_unmarked = whose::make_way(&files, state, key)?;
        make_folders(&files.root)?;
        for leftover in fs::read_dir(files.root.join("new"))?.filter_map(Result::ok) {
            let _gone = fs::remove_file(leftover.path());
        }
        if is_unmarked
            && let Err(error) = files.write(&whose::mark(&files), key.as_str().as_bytes())
        {
            // Without it, its heads will tell the next start.
            tracing::warn!(database = key.name(), %error, "it cannot be written down by which key this database is proved");
        }
        Ok(files)
    }

    /// The kept heads, largest first; each is read when its turn comes.
    pub(super) fn heads(&self) -> impl Iterator<Item = String> {
        self.heads_below(&self.root)
    }

    /// The kept heads of the log in the folder `log`, in the same way.
    fn heads_below(&self, log: &Path) -> impl Iterator<Item = String> {
        head_files(log)
            .into_iter()
            .filter_map(|(_, path)| String::from_utf8(self.read(&path)?).ok())
    }

    /// Keeps a head that is to be current, or that a client holds. Of very many the smallest go.
    pub(super) fn write_head(&self, size: u64, note: &str) -> io::Result<()> {
        self.write(
            &self.root.join("head").join(size.to_string()),
            note.as_bytes(),
        )?;
        for (_, path) in head_files(&self.root).into_iter().skip(HEADS_MAX) {
            let _gone = fs::remove_file(path);
        }
        Ok(())
    }

    /// When the head of this size was written.
    pub(super) fn head_written(&self, size: u64) -> Option<SystemTime> {
        let head = fs::metadata(self.root.join("head").join(size.to_string()));
        head.ok()?.modified().ok()
    }

    /// Removes a head that nobody holds.
    pub(super) fn forget_head(&self, size: u64) {
        let _gone = fs::remove_file(self.root.join("head").join(size.to_string()));
    }

    /// Keeps two signed heads that contradict each other, as they are.
    pub(super) fn write_contradiction(&self, name: &str, text: &str) -> io::Result<()> {
        let path = self.contradictions_folder().join(name);
        if path.exists() || self.contradictions() >= CONTRADICTIONS_MAX {
            return Ok(());
        }
        self.write_bytes(&path, text.as_bytes())
    }

    /// The contradictions that are kept: when each was written, where, and what was written.
    pub(super) fn read_contradictions(&self) -> Vec<(Option<SystemTime>, PathBuf, String)> {
        let entries = fs::read_dir(self.contradictions_folder())
            .into_iter()
            .flatten();
        let mut found: Vec<_> = entries
            .flatten()
            .take(CONTRADICTIONS_MAX)
            .filter_map(|entry| {
                let file = File::open(entry.path()).ok()?;
                let written = file.metadata().ok()?.modified().ok();
                let mut text = String::new();
                file.take(EVIDENCE_BYTES_MAX)
                    .read_to_string(&mut text)
                    .ok()?;
                Some((written, entry.path(), text))
            })
            .collect();
        found.sort();
        found
    }

    /// How many contradictions are kept.
    pub(super) fn contradictions(&self) -> usize {
        fs::read_dir(self.contradictions_folder()).map_or(0, Iterator::count)
    }

    /// Where contradictions are kept.
    pub(super) fn contradictions_folder(&self) -> PathBuf {
        self.root.join("contradiction")
    }

    pub(super) fn record(&self, of: &ModuleVersion) -> Option<Record> {
        let text = String::from_utf8(self.read(&self.record_path(of))?).ok()?;
        let (id, text) = text.split_once('\n')?;
        Some(Record {
            id: id.parse().ok()?,
            text: text.to_owned(),
        })
    }

    pub(super) fn write_record(&self, of: &ModuleVersion, record: &Record) -> io::Result<()> {
        let text = format!("{}\n{}", record.id, record.text);
        self.write(&self.record_path(of), text.as_bytes())
    }

    /// The widest form kept of the tile at `level` and `index`.
    pub(super) fn tile(&self, level: u8, index: u64) -> Option<Tile> {
        let bytes = self.read(&self.tile_path(level, index))?;
        let width = u16::try_from(bytes.len() / 32).ok()?;
        let coordinate = TileCoordinate {
            level,
            index,
            width,
        };
        Tile::new(coordinate, bytes).ok()
    }

    /// Keeps `tile` unless a wider form is kept already.
    pub(super) fn write_tile(&self, tile: &Tile) -> io::Result<()> {
        let at = tile.coordinate();
        let _turn = self.tiles.lock().unwrap_or_else(PoisonError::into_inner);
        if self
            .tile(at.level, at.index)
            .is_some_and(|kept| kept.coordinate().width >= at.width)
        {
            return Ok(());
        }
        self.write(&self.tile_path(at.level, at.index), tile.bytes())
    }

    /// Removes a record that does not stand in the log.
    pub(super) fn forget_record(&self, of: &ModuleVersion) {
        let _gone = fs::remove_file(self.record_path(of));
    }

    pub(super) fn forget_tile(&self, level: u8, index: u64) {
        let _turn = self.tiles.lock().unwrap_or_else(PoisonError::into_inner);
        let _gone = fs::remove_file(self.tile_path(level, index));
    }

    /// Module versions whose records are kept.
    pub(super) fn recorded(&self) -> Vec<ModuleVersion> {
        let root = self.root.join("record");
        let mut found = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for file in fs::read_dir(&folder)
                .into_iter()
                .flatten()
                .filter_map(Result::ok)
            {
                let path = file.path();
                if file.file_type().is_ok_and(|kind| kind.is_dir()) {
                    folders.push(path);
                } else if let Some(of) = recorded_at(&root, &path) {
                    found.push(of);
                }
            }
        }
        found
    }

    fn record_path(&self, of: &ModuleVersion) -> PathBuf {
        self.root
            .join("record")
            .join(format!("{}@{}", of.module.escaped(), of.version.escaped()))
    }

    fn tile_path(&self, level: u8, index: u64) -> PathBuf {
        let full = TileCoordinate {
            level,
            index,
            width: 256,
        };
        self.root.join(full.path())
    }

    fn read(&self, path: &Path) -> Option<Vec<u8>> {
        read_whole(path)
    }

    fn write(&self, path: &Path, body: &[u8]) -> io::Result<()> {
        self.write_bytes(path, &with_digest(body))
    }

    fn write_bytes(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let written = self
            .root
            .join("new")
            .join(format!("{}-{serial}", std::process::id()));
        // A state folder that was removed under a running daemon is not laid anew piece by piece.
        if !self.root.is_dir() {
            return Err(io::ErrorKind::NotFound.into());
        }
        for folder in [written.parent(), path.parent()].into_iter().flatten() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&written, bytes)
            .and_then(|()| rename_over(&written, path))
            .inspect_err(|_| {
                let _gone = fs::remove_file(&written);
            })
    }
}

/// The files of the heads in the folder of one log, the largest first.
fn head_files(log: &Path) -> Vec<(u64, PathBuf)> {
    let mut found: Vec<(u64, PathBuf)> = fs::read_dir(log.join("head"))
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter_map(|file| Some((file.file_name().to_str()?.parse().ok()?, file.path())))
        .collect();
    found.sort_by(|one, other| other.cmp(one));
    found
}

fn make_folders(root: &Path) -> io::Result<()> {
    let mut folders = ["head", "record", "tile", "new"].into_iter();
    folders.try_for_each(|folder| fs::create_dir_all(root.join(folder)))
}

fn read_whole(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = fs::read(path).ok()?;
    let body = bytes.split_off_checked(DIGEST_BYTES)?;
    if Hasher::digest(&body) != *bytes {
        tracing::warn!(file = %path.display(), "a kept part of the checksum database is damaged; it is asked for anew");
        let _gone = fs::remove_file(path);
        return None;
    }
    Some(body)
}

/// `body` as it is written: behind its SHA-256.
fn with_digest(body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(DIGEST_BYTES + body.len());
    bytes.extend_from_slice(&Hasher::digest(body));
    bytes.extend_from_slice(body);
    bytes
}

fn recorded_at(root: &Path, path: &Path) -> Option<ModuleVersion> {
    let (module, version) = path.strip_prefix(root).ok()?.to_str()?.rsplit_once('@')?;
    ModuleVersion::new(
        modmesh_protocol::module::ModulePath::from_escaped(module).ok()?,
        modmesh_protocol::module::Version::from_escaped(version).ok()?,
    )
    .ok()
}

/// `Vec::split_off` that does not panic on a short vector.
trait SplitOffChecked: Sized {
    fn split_off_checked(&mut self, at: usize) -> Option<Self>;
}

impl SplitOffChecked for Vec<u8> {
    fn split_off_checked(&mut self, at: usize) -> Option<Self> {
        (self.len() >= at).then(|| self.split_off(at))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn of_forms_of_a_tile_that_are_kept_at_once_the_widest_stays() {
        let state = tempfile::tempdir().unwrap();
        let key = VerifierKey::sum_golang_org();
        let files = Files::open(state.path(), &key).unwrap();
        for index in 0..200 {
            let together = Barrier::new(4);
            std::thread::scope(|scope| {
                for width in [10, 245, 100, 244] {
                    let (files, together) = (&files, &together);
                    scope.spawn(move || {
                        let level = 2;
                        let at = TileCoordinate {
                            level,
                            index,
                            width,
                        };
                        let tile = Tile::new(at, vec![7; usize::from(width) * 32]).unwrap();
                        together.wait();
                        files.write_tile(&tile).unwrap();
                    });
                }
            });
            assert_eq!(files.tile(2, index).unwrap().coordinate().width, 245);
        }
    }
}
