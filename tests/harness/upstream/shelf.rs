//! What an upstream has, and the true answer to each path.

use std::collections::{BTreeMap, HashMap};

use hyper::body::Bytes;

use crate::log::{HeadPolicy, TestLog};
use crate::module::{Module, escape};

/// Files by their path, and a log.
#[derive(Debug)]
pub(super) struct Shelf {
    pub(super) log: TestLog,
    pub(super) heads: HeadPolicy,
    pub(super) only_full_tiles: bool,
    pub(super) offers_sumdb: bool,
    pub(super) offers_ranges: bool,
    files: HashMap<String, Bytes>,
    versions: BTreeMap<String, Vec<String>>,
}

/// An answer before any fault has met it.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: String,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            content_type: content_type.to_owned(),
            body: body.into(),
        }
    }

    /// Becomes what follows the first `from` bytes, where ranges are offered; gives its `Content-Range`.
    pub(super) fn rest(&mut self, from: usize, offered: bool) -> Option<String> {
        let length = self.body.len();
        if !offered || self.status != 200 || from >= length {
            return None;
        }
        self.status = 206;
        self.body = self.body.split_off(from);
        Some(format!("bytes {from}-{}/{length}", length - 1))
    }

    fn not_found(text: String) -> Self {
        Self::new(404, TEXT, format!("not found: {text}"))
    }
}

const TEXT: &str = "text/plain; charset=utf-8";
const BYTES: &str = "application/octet-stream";

impl Shelf {
    pub(super) fn new(log: TestLog) -> Self {
        Self {
            log,
            heads: HeadPolicy::Current,
            only_full_tiles: false,
            offers_sumdb: true,
            offers_ranges: false,
            files: HashMap::new(),
            versions: BTreeMap::new(),
        }
    }

    pub(super) fn add(&mut self, module: &Module) {
        self.put(&module.url_path("info"), module.info());
        self.put(&module.url_path("mod"), module.go_mod());
        self.put(&module.url_path("zip"), module.zip());
        let versions = self.versions.entry(escape(module.path())).or_default();
        if !versions.iter().any(|version| version == module.version()) {
            versions.push(module.version().to_owned());
        }
    }

    pub(super) fn put(&mut self, path: &str, bytes: Vec<u8>) {
        self.files.insert(path.to_owned(), bytes.into());
    }

    /// The true answer to a path that was percent-decoded and has no leading slash.
    pub(super) fn answer(&self, path: &str) -> Answer {
        if let Some(rest) = path.strip_prefix("sumdb/") {
            let own = rest
                .strip_prefix(self.log.name())
                .and_then(|rest| rest.strip_prefix('/'))
                .filter(|_| self.offers_sumdb);
            return match own {
                Some(question) => self.database(question),
                None => Answer::not_found("no such checksum database".to_owned()),
            };
        }
        if let Some(bytes) = self.files.get(path) {
            return Answer::new(200, content_type(path), bytes.clone());
        }
        if let Some(module) = path.strip_suffix("/@v/list")
            && let Some(versions) = self.versions.get(module)
        {
            let tagged: Vec<&str> = versions
                .iter()
                .map(String::as_str)
                .filter(|version| !is_pseudo(version))
                .collect();
            return Answer::new(200, TEXT, tagged.join("\n"));
        }
        if let Some(module) = path.strip_suffix("/@latest")
            && let Some(version) = self.versions.get(module).and_then(|all| all.last())
        {
            let path = format!("{module}/@v/{}.info", escape(version));
            return self.answer(&path);
        }
        Answer::not_found(path.to_owned())
    }

    fn database(&self, question: &str) -> Answer {
        if question == "supported" {
            return Answer::new(200, TEXT, "");
        }
        let answer = if let Some(module) = question.strip_prefix("lookup/") {
            self.lookup(module).map(|body| (TEXT, Bytes::from(body)))
        } else if let Some(tile) = question.strip_prefix("tile/8/") {
            self.tile(tile).map(|body| (BYTES, Bytes::from(body)))
        } else {
            None
        };
        match answer {
            Some((content_type, body)) => Answer::new(200, content_type, body),
            None => Answer::not_found(question.to_owned()),
        }
    }

    fn lookup(&self, module: &str) -> Option<String> {
        let (path, version) = module.split_once('@')?;
        let (path, version) = (unescape(path)?, unescape(version)?);
        let id = self.log.id(&path, &version)?;
        let head_size = self.log.head_size(id, self.heads);
        self.log.lookup(&path, &version, head_size)
    }

    /// The tile of `LEVEL/NNN[.p/WIDTH]`.
    fn tile(&self, path: &str) -> Option<Vec<u8>> {
        let (level, rest) = path.split_once('/')?;
        let level: u8 = level.parse().ok()?;
        let (digits, width) = match rest.split_once(".p/") {
            Some((digits, width)) => (digits, width.parse().ok()?),
            None => (rest, 256),
        };
        let mut index: u64 = 0;
        for group in digits.split('/') {
            let group: u64 = group.strip_prefix('x').unwrap_or(group).parse().ok()?;
            index = index.checked_mul(1000)?.checked_add(group)?;
        }
        if self.only_full_tiles && width < 256 && self.log.tile(level, index, 256).is_some() {
            return None;
        }
        self.log.tile(level, index, width)
    }
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("info") => "application/json",
        Some("mod") => TEXT,
        Some("zip") => "application/zip",
        _ => BYTES,
    }
}

/// The opposite of [`escape`].
fn unescape(text: &str) -> Option<String> {
    let mut plain = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        plain.push(match letter {
            '!' => letters.next()?.to_ascii_uppercase(),
            letter => letter,
        });
    }
    Some(plain)
}

/// Whether a version ends as pseudo-versions do: 14 digits of time, a dash, 12 digits of a commit.
fn is_pseudo(version: &str) -> bool {
    let mut parts = version.rsplit('-');
    let (commit, time) = (parts.next(), parts.next());
    commit.is_some_and(|commit| commit.len() == 12)
        && time.is_some_and(|time| {
            let digits = time.rsplit('.').next().unwrap_or_default();
            digits.len() == 14 && digits.bytes().all(|b| b.is_ascii_digit())
        })
}
