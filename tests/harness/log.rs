//! A checksum database of our own: a key, records, a Merkle tree, signed heads, tiles, and the forgeries of each.
//!
//! The formats are those of golang.org/x/mod/sumdb (note, tlog) and RFC 6962. The tree keeps the hash of every complete
//! subtree, so heads and tiles of any earlier size can be given at any time. Nothing is verified here; the lies are
//! functions with `forged` in their name, and forks are other logs with the same key.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer, SigningKey};
use modmesh_protocol::digest::{Hasher, hex};

use crate::module::Module;

/// Hash of a leaf, a subtree or a root.
pub type Hash = [u8; 32];

/// A checksum database that lives in memory.
#[derive(Clone)]
pub struct TestLog {
    name: String,
    key: SigningKey,
    records: Vec<String>,
    ids: HashMap<(String, String), u64>,
    /// `subtrees[k][i]` is the hash over the records `i * 2^k .. (i + 1) * 2^k`.
    subtrees: Vec<Vec<Hash>>,
}

/// Which signed head goes with a lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadPolicy {
    /// The head of the whole log.
    Current,
    /// The head of the first size that is a multiple of the given number and covers the record, as a server whose answers
    /// were cached at different times would send.
    Cached(u64),
}

impl TestLog {
    /// An empty log; its key follows from its name.
    pub fn new(name: &str) -> Self {
        Self::with_seed(name, &format!("key of {name}"))
    }

    /// An empty log whose key follows from `seed`.
    pub fn with_seed(name: &str, seed: &str) -> Self {
        let seed = Hasher::digest(seed.as_bytes());
        Self {
            name: name.to_owned(),
            key: SigningKey::from_bytes(&seed),
            records: Vec::new(),
            ids: HashMap::new(),
            subtrees: Vec::new(),
        }
    }

    /// Its name, as it stands in `/sumdb/NAME/`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The verifier key, as GOSUMDB takes it.
    pub fn verifier_key(&self) -> String {
        let hash = hex(&self.key_hash());
        format!(
            "{}+{hash}+{}",
            self.name,
            STANDARD.encode(self.public_key())
        )
    }

    /// Adds the record of a module and returns its id; a module that is there already keeps its id.
    pub fn append(&mut self, module: &Module) -> u64 {
        self.append_lines(module.path(), module.version(), module.sum_lines())
    }

    /// Adds a record of any text under a module's name.
    pub fn append_lines(&mut self, path: &str, version: &str, lines: String) -> u64 {
        let name = (path.to_owned(), version.to_owned());
        if let Some(id) = self.ids.get(&name) {
            return *id;
        }
        let id = self.size();
        self.ids.insert(name, id);
        self.push_hash(leaf_hash(&lines));
        self.records.push(lines);
        id
    }

    /// Adds records that nobody asks for until the log has `size` records.
    pub fn pad_to(&mut self, size: u64) {
        while self.size() < size {
            let path = format!("filler.example/m{}", self.size());
            let sum = STANDARD.encode(Hasher::digest(path.as_bytes()));
            let lines = format!("{path} v1.0.0 h1:{sum}\n{path} v1.0.0/go.mod h1:{sum}\n");
            self.append_lines(&path, "v1.0.0", lines);
        }
    }

    /// Number of records.
    pub fn size(&self) -> u64 {
        self.records.len() as u64
    }

    /// The id of a module's record.
    pub fn id(&self, path: &str, version: &str) -> Option<u64> {
        self.ids
            .get(&(path.to_owned(), version.to_owned()))
            .copied()
    }

    /// The text of a record.
    pub fn record(&self, id: u64) -> &str {
        &self.records[position(id)]
    }

    /// The root over the first `size` records.
    pub fn root(&self, size: u64) -> Hash {
        assert!(size <= self.size(), "the log has {} records", self.size());
        let (mut parts, mut start) = (Vec::new(), 0);
        for level in (0..u64::BITS).rev() {
            if size >> level & 1 == 1 {
                parts.push(self.subtrees[level as usize][position(start >> level)]);
                start += 1 << level;
            }
        }
        let Some(last) = parts.pop() else {
            return Hasher::digest(b"");
        };
        parts
            .iter()
            .rev()
            .fold(last, |right, left| node_hash(left, &right))
    }

    /// The signed head of the first `size` records.
    pub fn head(&self, size: u64) -> String {
        self.sign(size, &self.root(size), "", &self.key)
    }

    /// The signed head of all records.
    pub fn current_head(&self) -> String {
        self.head(self.size())
    }

    /// The size of the head that a policy sends with a record.
    pub fn head_size(&self, id: u64, policy: HeadPolicy) -> u64 {
        match policy {
            HeadPolicy::Current => self.size(),
            HeadPolicy::Cached(step) => ((id / step + 1) * step).min(self.size()),
        }
    }

    /// The body of a lookup with the head of the given size, or nothing where the log has no such record.
    pub fn lookup(&self, path: &str, version: &str, head_size: u64) -> Option<String> {
        let id = self.id(path, version)?;
        Some(lookup_body(id, self.record(id), &self.head(head_size)))
    }

    /// The tile of the given level, index and width, or nothing where the log has no such hashes.
    pub fn tile(&self, level: u8, index: u64, width: u16) -> Option<Vec<u8>> {
        let hashes = self.subtrees.get(usize::from(level) * 8)?;
        let start = position(index.checked_mul(256)?);
        let hashes = hashes.get(start..start.checked_add(usize::from(width))?)?;
        Some(hashes.concat())
    }

    /// The width that a tile has in the head of the given size: 0 where it has none, 256 where it is full.
    pub fn tile_width(level: u8, index: u64, size: u64) -> u16 {
        let hashes = size.checked_shr(u32::from(level) * 8).unwrap_or(0);
        let width = hashes.saturating_sub(index.saturating_mul(256)).min(256);
        u16::try_from(width).unwrap()
    }
}

/// The lies.
impl TestLog {
    /// A head of the true tree, signed by a key that is not the log's but claims its name and key hash.
    pub fn forged_head(&self, size: u64) -> String {
        let stranger = SigningKey::from_bytes(&Hasher::digest(b"a stranger"));
        self.sign(size, &self.root(size), "", &stranger)
    }

    /// A head of the true tree with further lines in its text, signed by the log's own key. With lines of go.sum it is the
    /// forgery of CVE-2026-56864.
    pub fn head_with_forged_lines(&self, size: u64, lines: &str) -> String {
        self.sign(size, &self.root(size), lines, &self.key)
    }

    /// A lookup of the module with a record that lists the sums of `forgery` instead; id and head are the true ones.
    pub fn forged_lookup(&self, module: &Module, forgery: &Module, head_size: u64) -> String {
        let id = self.id(module.path(), module.version()).unwrap();
        lookup_body(id, &forged_record(module, forgery), &self.head(head_size))
    }

    /// The tile with one of its hashes replaced.
    pub fn forged_tile(&self, level: u8, index: u64, width: u16, hash: usize) -> Option<Vec<u8>> {
        let mut tile = self.tile(level, index, width)?;
        *tile.get_mut(hash * 32)? ^= 0x80;
        Some(tile)
    }

    /// A log with the same key whose record `id` is another one, so that every tile above it and every head that covers
    /// it differ. Its tiles beside true heads are the forgery of CVE-2026-56865; its heads are a fork, signed by the true
    /// key.
    pub fn with_record_replaced(&self, id: u64, lines: &str) -> TestLog {
        let mut other = self.clone();
        other.subtrees.clear();
        other.records[position(id)] = lines.to_owned();
        for hash in 0..other.records.len() {
            other.push_hash(leaf_hash(&other.records[hash]));
        }
        other
    }

    /// A log with the same key that agrees with this one in the first `size` records and knows no others.
    pub fn fork_at(&self, size: u64) -> TestLog {
        let mut fork = TestLog::new(&self.name);
        fork.key = self.key.clone();
        for id in 0..size {
            fork.push_hash(self.subtrees[0][position(id)]);
        }
        fork.records = self.records[..position(size)].to_vec();
        fork.ids = self.ids.clone();
        fork.ids.retain(|_, id| *id < size);
        fork
    }
}

impl TestLog {
    fn push_hash(&mut self, hash: Hash) {
        let mut hash = hash;
        for level in 0.. {
            if self.subtrees.len() == level {
                self.subtrees.push(Vec::new());
            }
            let row = &mut self.subtrees[level];
            row.push(hash);
            if row.len() % 2 == 1 {
                return;
            }
            hash = node_hash(&row[row.len() - 2], &row[row.len() - 1]);
        }
    }

    fn public_key(&self) -> Vec<u8> {
        let mut key = vec![1]; // the algorithm: Ed25519
        key.extend_from_slice(self.key.verifying_key().as_bytes());
        key
    }

    fn key_hash(&self) -> [u8; 4] {
        let mut text = format!("{}\n", self.name).into_bytes();
        text.extend_from_slice(&self.public_key());
        Hasher::digest(&text)[..4].try_into().unwrap()
    }

    fn sign(&self, size: u64, root: &Hash, lines: &str, key: &SigningKey) -> String {
        let root = STANDARD.encode(root);
        let text = format!("go.sum database tree\n{size}\n{root}\n{lines}");
        let mut signature = self.key_hash().to_vec();
        signature.extend_from_slice(&key.sign(text.as_bytes()).to_bytes());
        format!(
            "{text}\n\u{2014} {} {}\n",
            self.name,
            STANDARD.encode(signature)
        )
    }
}

impl std::fmt::Debug for TestLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TestLog({}, {} records)", self.name, self.size())
    }
}

/// A record in the name of `module` that lists the sums of `forgery`.
pub fn forged_record(module: &Module, forgery: &Module) -> String {
    format!(
        "{p} {v} {}\n{p} {v}/go.mod {}\n",
        forgery.h1(),
        forgery.go_mod_h1(),
        p = module.path(),
        v = module.version()
    )
}

/// The body of an answer to a lookup.
pub fn lookup_body(id: u64, record: &str, head: &str) -> String {
    format!("{id}\n{record}\n{head}")
}

/// The hash of a record as a leaf of the tree (RFC 6962 section 2.1).
pub fn leaf_hash(record: &str) -> Hash {
    let mut hasher = Hasher::new();
    hasher.update(&[0]);
    hasher.update(record.as_bytes());
    hasher.finish()
}

fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut hasher = Hasher::new();
    hasher.update(&[1]);
    hasher.update(left);
    hasher.update(right);
    hasher.finish()
}

fn position(id: u64) -> usize {
    usize::try_from(id).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_over_three_records_is_the_one_of_rfc_6962() {
        let mut log = TestLog::new("sumdb.example.test");
        log.pad_to(3);
        let leaf = |id| leaf_hash(log.record(id));
        let left = node_hash(&leaf(0), &leaf(1));
        assert_eq!(log.root(3), node_hash(&left, &leaf(2)));
        assert_eq!(log.root(0), Hasher::digest(b""));
    }

    #[test]
    fn a_full_tile_hashes_to_the_entry_of_its_parent() {
        let mut log = TestLog::new("sumdb.example.test");
        log.pad_to(600);
        let tile = log.tile(0, 1, 256).unwrap();
        let mut row: Vec<Hash> = tile.chunks(32).map(|c| c.try_into().unwrap()).collect();
        while row.len() > 1 {
            row = row.chunks(2).map(|c| node_hash(&c[0], &c[1])).collect();
        }
        assert_eq!(log.tile(1, 0, 2).unwrap()[32..], row[0]);
        assert_eq!(TestLog::tile_width(0, 2, 600), 88);
        assert_eq!(log.tile(0, 2, 89), None);
    }

    #[test]
    fn a_fork_agrees_up_to_its_point_and_no_further() {
        let mut log = TestLog::new("sumdb.example.test");
        log.pad_to(300);
        let mut fork = log.fork_at(100);
        fork.append(&Module::new("example.com/fork", "v1.0.0"));
        fork.pad_to(300);
        assert_eq!(log.root(100), fork.root(100));
        assert_ne!(log.root(101), fork.root(101));
        assert_eq!(log.verifier_key(), fork.verifier_key());
        let other = log.with_record_replaced(10, "other\n");
        assert_eq!(log.root(10), other.root(10));
        assert_ne!(log.root(11), other.root(11));
    }
}
