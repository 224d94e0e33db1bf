//! What lies on a neighbour's shelf: the true files and records of its modules, or forgeries of them made as well as they
//! can be.

use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use modmesh_daemon::peers::{Shelf, Shelved, ShelvedStatement};
use modmesh_protocol::artifact::{ArtifactKey, FileKind, KeyHash};
use modmesh_protocol::digest::{BlobId, H1};
use modmesh_protocol::log::{DatabaseId, VerifierKey};
use modmesh_protocol::module::{ModulePath, ModuleVersion, Version};
use modmesh_protocol::wire::RecordAnswer;
use tempfile::TempDir;

use super::PeerLie;
use super::slow::Tap;
use crate::log::{TestLog, forged_record};
use crate::module::Module;

/// A zip that no disk of a test holds.
const VAST_BYTES: usize = 48 << 20;

/// What a neighbour was asked for, over all who asked.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) files: AtomicU64,
    pub(super) records: AtomicU64,
    pub(super) versions: AtomicU64,
    pub(super) tiles: AtomicU64,
}

#[derive(Debug)]
pub(crate) struct ForgingShelf {
    database: DatabaseId,
    files: HashMap<KeyHash, Laid>,
    stated: HashMap<KeyHash, H1>,
    records: HashMap<KeyHash, (u64, String)>,
    versions: HashMap<KeyHash, Vec<(u64, String)>>,
    log: TestLog,
    /// The log that the tiles of the lowest levels come from, and how many levels.
    forged: Option<(TestLog, u8)>,
    head: String,
    pub(super) lie: PeerLie,
    pub(super) tap: Tap,
    pub(super) asked: Asked,
    /// When it said last that it has no tile.
    said_nothing: Mutex<Option<Instant>>,
}

/// How long [`PeerLie::LateAboutTiles`] takes for an answer. Neighbours are silent after two seconds.
const LATE: Duration = Duration::from_millis(1700);

/// A file as it lies on the shelf.
#[derive(Debug)]
struct Laid {
    path: PathBuf,
    kind: FileKind,
    blob: BlobId,
    length: u64,
}

impl ForgingShelf {
    /// The tiles of one question are looked for one after the other; the first of them takes the time.
    fn say_nothing_late(&self) {
        let mut said = self.said_nothing.lock().expect("nobody panics with it");
        let is_first = said.is_none_or(|at| at.elapsed() > Duration::from_millis(20));
        if is_first {
            std::thread::sleep(LATE);
        }
        *said = Some(Instant::now());
    }

    pub(crate) fn new(folder: &TempDir, modules: &[Module], log: &TestLog, lie: PeerLie) -> Self {
        let key = VerifierKey::parse(&log.verifier_key()).expect("the log's key");
        let mut shelf = Self {
            database: key.database_id(),
            files: HashMap::new(),
            stated: HashMap::new(),
            records: HashMap::new(),
            versions: HashMap::new(),
            log: log.clone(),
            forged: None,
            head: log.current_head(),
            lie,
            tap: Tap::default(),
            said_nothing: Mutex::default(),
            asked: Asked::default(),
        };
        let forges_records = matches!(
            lie,
            PeerLie::Record | PeerLie::Tile | PeerLie::Head | PeerLie::TileWidth
        );
        let shows_another = matches!(lie, PeerLie::OtherRecord | PeerLie::Lines);
        let mut lines = String::new();
        let mut forged_log = log.clone();
        for (number, module) in modules.iter().enumerate() {
            let evil = module
                .clone()
                .file("evil.go", "package evil\n")
                .requires("example.com/evil", "v1.0.0");
            let of = identity(module);
            let lies_about_log = forges_records || shows_another;
            let shown = match lie {
                PeerLie::OtherFile => &modules[(number + 1) % modules.len()],
                _ if lies_about_log => &evil,
                _ => module,
            };
            let zip = match lie {
                PeerLie::Zip(lie) => module.lying_zip(lie),
                PeerLie::Vast => vec![0; VAST_BYTES],
                _ => shown.zip(),
            };
            let go_mod = match lie {
                PeerLie::GoMod => evil.go_mod(),
                _ => shown.go_mod(),
            };
            shelf.lay(folder, number, &of, FileKind::Zip, &zip);
            shelf.lay(folder, number, &of, FileKind::Mod, &go_mod);
            for (kind, h1) in [
                (FileKind::Zip, shown.h1()),
                (FileKind::Mod, shown.go_mod_h1()),
            ] {
                let key = ArtifactKey {
                    of: of.clone(),
                    kind,
                };
                shelf.stated.insert(KeyHash::of_file(&key), h1);
            }
            let Some(id) = log.id(module.path(), module.version()) else {
                continue;
            };
            let (mut id, mut record) = (id, log.record(id).to_owned());
            if forges_records {
                record = forged_record(module, &evil);
                forged_log = forged_log.with_record_replaced(id, &record);
            } else if shows_another {
                // Not one of these modules.
                (id, record) = (0, log.record(0).to_owned());
                lines.push_str(&forged_record(module, &evil));
            }
            let hash = KeyHash::of_versions(log.name(), &of.module);
            let versions = shelf.versions.entry(hash).or_default();
            versions.push((id, record.clone()));
            let hash = KeyHash::of_record(log.name(), &of);
            shelf.records.insert(hash, (id, record));
        }
        match lie {
            PeerLie::Tile => shelf.forged = Some((forged_log, 1)),
            PeerLie::Head => {
                shelf.head = forged_log.forged_head(log.size());
                shelf.forged = Some((forged_log, u8::MAX));
            }
            PeerLie::Lines => shelf.head = log.head_with_forged_lines(log.size(), &lines),
            PeerLie::HeadOfTrueTree => shelf.head = log.forged_head(log.size()),
            _ => {}
        }
        shelf
    }

    /// The hashes of its files.
    pub(super) fn keys(&self) -> Vec<KeyHash> {
        self.files.keys().copied().collect()
    }

    fn lay(
        &mut self,
        folder: &TempDir,
        number: usize,
        of: &ModuleVersion,
        kind: FileKind,
        bytes: &[u8],
    ) {
        let path = folder.path().join(format!("{number}.{}", kind.extension()));
        std::fs::write(&path, bytes).expect("a file on the shelf");
        let key = ArtifactKey {
            of: of.clone(),
            kind,
        };
        let laid = Laid {
            path,
            kind,
            blob: BlobId::of(bytes),
            length: bytes.len() as u64,
        };
        self.files.insert(KeyHash::of_file(&key), laid);
    }
}

impl Shelf for ForgingShelf {
    fn file(&self, key: KeyHash) -> Option<Shelved> {
        let laid = self.files.get(&key)?;
        self.asked.files.fetch_add(1, Ordering::Relaxed);
        let file = match (self.lie, laid.kind) {
            (PeerLie::Empty, _) => return None,
            (PeerLie::Silent, _) => {
                self.tap.wait();
                return None;
            }
            (PeerLie::Half, FileKind::Zip) => self.tap.half_of(&laid.path),
            _ => File::open(&laid.path),
        };
        Some(Shelved {
            file: file.ok()?,
            blob: laid.blob,
            length: laid.length,
        })
    }

    fn summary(&self, key: KeyHash) -> Option<(BlobId, u64)> {
        let laid = self.files.get(&key)?;
        match self.lie {
            PeerLie::DripOfOneByte => Some((laid.blob, 1)),
            _ => Some((laid.blob, laid.length)),
        }
    }

    fn statement(&self, key: KeyHash) -> Option<ShelvedStatement> {
        let laid = self.files.get(&key)?;
        Some(ShelvedStatement {
            h1: *self.stated.get(&key)?,
            blob: laid.blob,
            length: laid.length,
            by: None,
        })
    }

    fn record(&self, database: DatabaseId, key: KeyHash) -> Option<RecordAnswer> {
        let record = self
            .records
            .get(&key)
            .filter(|_| database == self.database)?;
        let before = self.asked.records.fetch_add(1, Ordering::Relaxed);
        match self.lie {
            PeerLie::RecordAfter(times) if before < times => None,
            _ => {
                let (id, text) = record.clone();
                let head = self.head.clone();
                Some(RecordAnswer { id, text, head })
            }
        }
    }

    fn versions(&self, database: DatabaseId, key: KeyHash) -> Option<(String, Vec<(u64, String)>)> {
        let versions = self.versions.get(&key);
        let versions = versions.filter(|_| database == self.database)?;
        self.asked.versions.fetch_add(1, Ordering::Relaxed);
        Some((self.head.clone(), versions.clone()))
    }

    fn tile(
        &self,
        database: DatabaseId,
        level: u8,
        index: u64,
        width_min: u16,
    ) -> Option<(u16, Vec<u8>)> {
        self.asked.tiles.fetch_add(1, Ordering::Relaxed);
        if self.lie == PeerLie::SilentAboutTiles {
            self.tap.wait();
            return None;
        }
        if self.lie == PeerLie::LateAboutTiles {
            self.say_nothing_late();
            return None;
        }
        let log = match &self.forged {
            Some((forged, levels)) if level < *levels => forged,
            _ => &self.log,
        };
        let width = TestLog::tile_width(level, index, log.size());
        if database != self.database || width < width_min {
            return None;
        }
        let shorter = u16::from(self.lie == PeerLie::TileWidth);
        Some((width, log.tile(level, index, width - shorter)?))
    }

    fn head(&self, database: DatabaseId) -> Option<String> {
        (database == self.database).then(|| self.head.clone())
    }

    fn heads(&self) -> Vec<(DatabaseId, u64)> {
        vec![(self.database, self.log.size())]
    }
}

pub(super) fn identity(module: &Module) -> ModuleVersion {
    let path = ModulePath::parse(module.path()).expect("a module path");
    let version = Version::parse(module.version()).expect("a version");
    ModuleVersion::new(path, version).expect("a module and its version")
}
