//! The road to town: asks the module proxies of a GOPROXY list, and checksum databases through them or directly.
//!
//! What always holds: at most [`Options::concurrency_max`] requests run at a time, and zips leave a quarter of that to
//! small files; every wait has a deadline; a body counts as read only when it came whole; secrets of a URL are in no
//! error and no log line. An entry that cannot be reached is not waited for again: a scout looks when it is back.
//!
//! What fails in passing is tried again, a file that breaks off is taken up again, what was refused is remembered for a
//! short while, and `Retry-After` is honoured (`entry.rs`).
//!
//! Deliberately absent: judging what was fetched (the gate does that) and keeping it (the store does).

mod direct;
mod entry;
mod error;
mod file_url;
mod health;
mod http;
mod probe;
mod refusals;
mod site;
mod sumdb;
mod town;
mod walk;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::future::BoxFuture;
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::control::{CapStatus, RateStatus};
use modmesh_protocol::goproxy::{EntryOutcome, ProxyEntry, ProxyList, Scheme, Step};
use modmesh_protocol::peer_name::PeerName;
use modmesh_protocol::rate::{Limit, Minute};
use tokio::io::AsyncWrite;

use self::direct::Direct;
pub use self::direct::DirectOptions;
pub(crate) use self::direct::sweep as sweep_direct;
use self::entry::Entry;
pub use self::error::{ErrorAnswer, StartError, UpstreamError};
pub use self::http::ProxySettings;
pub use self::site::{SiteLine, SitePlace};
use self::town::Town;

/// The upstream of this host. Clones share connections, memory and limits.
///
/// A handle does not go as far as `direct` unless it was made by [`Upstream::with_direct`].
#[derive(Clone, Debug)]
pub struct Upstream {
    inner: Arc<Inner>,
    may_go_direct: bool,
}

/// Who watches the traffic: counted by `metrics`.
pub trait Watch: Send + Sync {
    /// A question was put to an entry and answered with the status `code`; 0 when no answer came.
    fn request(&self, kind: RequestKind, code: u16);
    /// `bytes` of a body came in, whatever became of them.
    fn received_bytes(&self, bytes: u64);
}

/// Where the body of a download goes.
///
/// When an entry fails in the middle of a body and the list goes on, the next entry begins anew.
pub trait Sink: AsyncWrite + Unpin + Send {
    /// Forgets everything that was written so far: the next byte written is the first.
    fn restart(&mut self) -> BoxFuture<'_, io::Result<()>>;

    /// An entry was asked and did not give the body; for whoever tells how one came. What was written is still there.
    fn missed(&mut self, _error: &UpstreamError) {}

    /// A place among the requests of the site was waited for; `in_vain` when none came, and the request went ahead all the same.
    fn stood_in_line(&mut self, _waited: Duration, _in_vain: bool) {}

    /// The body that comes now has so many bytes, as its sender says.
    fn announced(&mut self, _bytes: u64) {}
}

/// What a question is about, as the metrics name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestKind {
    /// `.info` of a version, branch or commit.
    Info,
    /// `.mod`.
    Mod,
    /// `.zip`.
    Zip,
    /// `/@v/list`.
    List,
    /// `/@latest`.
    Latest,
    /// Anything of a checksum database.
    Sumdb,
    /// Anything else.
    Other,
}

/// Deadlines and bounds.
#[derive(Clone, Debug)]
pub struct Options {
    /// For name lookup, TCP, a proxy's tunnel and TLS together.
    pub connect_timeout: Duration,
    /// From an established connection to the answer's header.
    pub header_timeout: Duration,
    /// A body fails when less than 16 KiB came in this time (and it did not end either).
    pub idle_timeout: Duration,
    /// For the whole of a small answer (everything but `.mod` and `.zip`) once it is asked for: a trickle is progress, and
    /// would hold one of few places for as long as it likes. The longest list of the public Go proxy comes in this time at
    /// 8 KiB a second.
    pub answer_timeout: Duration,
    /// Requests at a time, over all entries. The others queue.
    pub concurrency_max: usize,
    /// What may come from module proxies, all together. Zips wait for it, the small answers are counted and
    /// go ahead; `file://` and what `go` fetches for `direct` are not among it.
    pub limit: Limit,
    /// How long an entry is left alone after it could not be reached; doubled for each time in a row.
    pub pause: Duration,
    /// The longest such pause.
    pub pause_max: Duration,
    /// How often the last entry that can be asked is asked again when it fails in passing: a connection that breaks, a
    /// 5xx, a 429. An entry with another one behind it is not.
    pub retries: u32,
    /// The pause before the first such retry; four times as long before the second.
    pub retry_pause: Duration,
    /// How long it is remembered who answers for a checksum database.
    pub sumdb_way_lifetime: Duration,
    /// Certificate authorities besides those of the system, in PEM form.
    pub extra_roots: Vec<Vec<u8>>,
    /// The HTTP proxies between this host and the world.
    pub proxies: ProxySettings,
    /// How `direct` is done.
    pub direct: DirectOptions,
}

/// A small answer with status 200.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The whole body.
    pub body: Bytes,
    /// The `Content-Type` as it came.
    pub content_type: Option<String>,
    /// Who answered, without userinfo.
    pub url: String,
    /// Which entry of the list that is.
    pub entry: usize,
    /// It came by `direct`: with the access of the user who runs this, and not everybody may have that.
    pub by_direct: bool,
}

/// A body that came whole.
#[derive(Clone, Debug)]
pub struct Downloaded {
    /// Its length.
    pub bytes: u64,
    /// The `Content-Type` as it came.
    pub content_type: Option<String>,
    /// Who answered, without userinfo.
    pub url: String,
    /// Which entry of the list that is: where the walk may go on when the body is not what it should be.
    pub entry: usize,
    /// Whether it was put together from several answers.
    pub resumed: bool,
}

/// Where a walk along the list begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// At the first entry.
    First,
    /// At this entry once more.
    Again(usize),
    /// Where the list goes on after this entry gave something that is of no use.
    After(usize),
}

/// A checksum database and where it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SumdbAddress {
    /// The name in its verifier key, for example `sum.golang.org`.
    pub name: String,
    /// The URL of the database itself: `https://NAME`, or what GOSUMDB says.
    pub direct_base: String,
    /// GOSUMDB names a URL: `go` asks only there, never through a proxy.
    pub bypass_proxies: bool,
}

/// A checksum database's answer with status 200.
#[derive(Clone, Debug)]
pub struct SumdbAnswer {
    /// The whole body.
    pub body: Bytes,
    /// Whether it came from the database's own address and not through a module proxy.
    pub from_database_itself: bool,
    /// Who answered, for people: the entry of the list, without userinfo, or the database's own address.
    pub url: String,
}

/// One entry of the list as `status` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryState {
    /// The entry, without userinfo; or `direct` or `off`.
    pub url: String,
    /// What the last attempt to reach it said.
    pub state: RoadState,
}

/// What is known about the way to an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoadState {
    /// It was not asked yet.
    Untried,
    /// It was reached when it was asked last.
    Up,
    /// It could not be reached.
    Down {
        /// When that was noticed first.
        since: SystemTime,
        /// Why.
        reason: String,
    },
    /// It was reached, and asked to be left alone.
    Resting {
        /// For how long it still is.
        left: Duration,
        /// What it answered.
        reason: String,
        /// The member that said so; nothing where the entry told this host itself.
        heard_from: Option<PeerName>,
    },
}

struct Inner {
    list: ProxyList,
    /// One stop for each entry of `list`, under the same index.
    stops: Vec<Stop>,
    databases: Mutex<HashMap<SumdbAddress, Arc<sumdb::Database>>>,
    town: Arc<Town>,
}

/// An entry of the list, ready to be asked.
enum Stop {
    Entry(Arc<Entry>),
    Direct(Box<Direct>),
    Off,
}

impl Upstream {
    /// Prepares the road; nothing is asked yet.
    ///
    /// # Errors
    /// A URL, proxy setting or certificate that could never work.
    pub fn new(
        list: ProxyList,
        options: Options,
        watch: Arc<dyn Watch>,
    ) -> Result<Self, StartError> {
        let stops = list
            .entries()
            .map(|entry| Stop::new(entry, &options))
            .collect::<Result<_, _>>()?;
        let needs_tls = list
            .entries()
            .any(|entry| matches!(entry, ProxyEntry::Url(url) if url.scheme() == Scheme::Https));
        let town = Arc::new(Town::new(options, needs_tls, watch)?);
        Ok(Self {
            inner: Arc::new(Inner {
                list,
                stops,
                databases: Mutex::default(),
                town,
            }),
            may_go_direct: false,
        })
    }

    /// A handle that goes as far as `direct`, for what the user who runs this asks for himself: `direct` works with his
    /// keys and passwords.
    #[must_use]
    pub fn with_direct(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            may_go_direct: true,
        }
    }

    /// The name of the list among members, where each of them would hear the same from it: [`ProxyList::is_alike`].
    pub(crate) fn name_among_members(&self) -> Option<KeyHash> {
        let list = &self.inner.list;
        list.is_alike().then(|| KeyHash::of_list(&list.to_string()))
    }

    /// Whether the list has `direct` in it.
    pub fn has_direct(&self) -> bool {
        let is_direct = |stop: &Stop| matches!(stop, Stop::Direct(_));
        self.inner.stops.iter().any(is_direct)
    }

    /// Ends what runs for `direct`, and returns when nothing of it is left or some seconds have passed.
    pub async fn end(&self) {
        for stop in &self.inner.stops {
            if let Stop::Direct(direct) = stop {
                direct.end().await;
            }
        }
    }

    /// The entries in the order in which they are asked, and what is known about the way to each.
    pub fn entries(&self) -> Vec<EntryState> {
        let state = |stop: &Stop| match stop {
            Stop::Entry(entry) => EntryState {
                url: entry.url().to_string(),
                state: entry.state(),
            },
            Stop::Direct(direct) => EntryState {
                url: "direct".to_owned(),
                state: direct.state(),
            },
            Stop::Off => EntryState::untried("off"),
        };
        self.inner.stops.iter().map(state).collect()
    }

    /// It is this minute of the week: a limit by the hour is that of it from now on. Until this is said it is midnight before Monday.
    pub fn it_is(&self, minute: Minute) {
        self.inner.town.it_is(minute);
    }

    /// What came of late beside its limit, and how many requests there are beside how many there can be.
    pub fn limits(&self) -> (RateStatus, Vec<CapStatus>) {
        self.inner.town.limits()
    }

    /// Whether every entry that this handle could ask was found unreachable when it was asked last. `direct` is many
    /// places, so one that cannot be reached says nothing about the next.
    pub fn is_down(&self) -> bool {
        self.would_all(|entry| matches!(entry.state(), RoadState::Down { .. }))
    }

    /// Whether every entry that could be asked is down, or owes an answer for longer than it should: who has something to
    /// fall back on need not wait. Asking hurries the look whether one is back.
    pub fn is_in_doubt(&self) -> bool {
        self.would_all(|entry| {
            entry.knock(&self.inner.town);
            entry.health().is_in_doubt()
        })
    }

    /// Whether `fails` holds for every entry that a walk would come to if it held: behind a comma it does not get.
    fn would_all(&self, fails: impl Fn(&Entry) -> bool) -> bool {
        let mut index = 0;
        loop {
            match self.inner.stops.get(index) {
                Some(Stop::Entry(entry)) if !fails(entry) => return false,
                Some(Stop::Entry(_)) => {}
                Some(Stop::Direct(direct)) => {
                    return !(self.may_go_direct && direct.is_usable());
                }
                Some(Stop::Off) | None => return true,
            }
            match self.inner.list.next_after(index, EntryOutcome::OtherError) {
                Step::Try(next) => index = next,
                Step::Stop => return true,
            }
        }
    }

    /// The list that is walked. Its `Display` is fit for people.
    pub fn list(&self) -> &ProxyList {
        &self.inner.list
    }

    /// Fetches a small file: `.info`, `.mod`, `list` or `@latest`.
    ///
    /// `path` is escaped and relative, like `github.com/x/y/@v/list`. The entries are asked in the order and under the
    /// conditions of the list; only status 200 is `Ok`. When several entries failed, the error is the one that Go
    /// would show: the last that is not "not found", else the last.
    pub async fn get(&self, path: &str, bytes_max: u64) -> Result<Answer, UpstreamError> {
        self.get_from(Begin::First, path, bytes_max).await
    }

    /// As [`Upstream::get`], from some entry on.
    pub async fn get_from(
        &self,
        begin: Begin,
        path: &str,
        bytes_max: u64,
    ) -> Result<Answer, UpstreamError> {
        let mut body = Vec::new();
        let direct = self.may_go_direct;
        let walked = self.inner.walk(begin, path, bytes_max, &mut body, direct);
        let walked = walked.await?;
        Ok(Answer {
            body: body.into(),
            content_type: walked.downloaded.content_type,
            url: walked.downloaded.url,
            entry: walked.downloaded.entry,
            by_direct: walked.by_direct,
        })
    }

    /// Fetches a file into `sink`, as [`Upstream::get_from`] does, and returns when it is whole. After an error the sink
    /// may hold a part of a body. A `.mod` or `.zip` that breaks off is taken up again where the entry can give the rest.
    ///
    /// Whole means: as long as its `Content-Length`, or ended as HTTP ends a body of unknown length.
    pub async fn download(
        &self,
        begin: Begin,
        path: &str,
        bytes_max: u64,
        sink: &mut dyn Sink,
    ) -> Result<Downloaded, UpstreamError> {
        let direct = self.may_go_direct;
        let walked = self.inner.walk(begin, path, bytes_max, sink, direct);
        Ok(walked.await?.downloaded)
    }

    /// Asks a checksum database for `lookup/..`, `tile/..` or `latest`, through the proxies where they offer it.
    ///
    /// As in Go (`dbClient.initBase` in cmd/go/internal/modfetch/sumdb.go) the first entry whose
    /// `/sumdb/NAME/supported` answers 200 is asked for everything; where the list passes on, the next is tried, and
    /// where nobody is left, the database itself. That choice is remembered for [`Options::sumdb_way_lifetime`].
    pub async fn sumdb(
        &self,
        database: &SumdbAddress,
        path: &str,
        bytes_max: u64,
    ) -> Result<SumdbAnswer, UpstreamError> {
        self.inner.sumdb(database, path, bytes_max).await
    }

    /// Puts the same question to the database itself, whatever the proxies offer.
    pub async fn sumdb_itself(
        &self,
        database: &SumdbAddress,
        path: &str,
        bytes_max: u64,
    ) -> Result<SumdbAnswer, UpstreamError> {
        self.inner.sumdb_itself(database, path, bytes_max).await
    }
}

impl Stop {
    fn new(entry: &ProxyEntry, options: &Options) -> Result<Self, StartError> {
        Ok(match entry {
            ProxyEntry::Url(url) => Self::Entry(Arc::new(Entry::new(url.clone())?)),
            ProxyEntry::Direct => Self::Direct(Box::new(Direct::new(&options.direct))),
            ProxyEntry::Off => Self::Off,
        })
    }
}

impl Default for Options {
    /// 5 s to connect, 30 s to the header, 20 s between pieces, a minute for small answers, 64 requests, and proxies and
    /// `go` as the environment has them.
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            header_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(20),
            answer_timeout: Duration::from_secs(60),
            concurrency_max: 64,
            limit: Limit::default(),
            pause: Duration::from_secs(5),
            pause_max: Duration::from_secs(60),
            retries: 2,
            retry_pause: Duration::from_millis(250),
            sumdb_way_lifetime: Duration::from_secs(600),
            extra_roots: Vec::new(),
            proxies: ProxySettings::from_environment(),
            direct: DirectOptions::default(),
        }
    }
}

impl RequestKind {
    /// The kind of the file that a path below a proxy's base names.
    pub fn of(path: &str) -> Self {
        let file = path.rsplit('/').next().unwrap_or(path);
        if path.starts_with("sumdb/") {
            Self::Sumdb
        } else if file == "@latest" {
            Self::Latest
        } else if path.ends_with("/@v/list") {
            Self::List
        } else if file.ends_with(".info") {
            Self::Info
        } else if file.ends_with(".mod") {
            Self::Mod
        } else if file.ends_with(".zip") {
            Self::Zip
        } else {
            Self::Other
        }
    }

    /// The name in the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Mod => "mod",
            Self::Zip => "zip",
            Self::List => "list",
            Self::Latest => "latest",
            Self::Sumdb => "sumdb",
            Self::Other => "other",
        }
    }
}

impl RoadState {
    /// The word for it in `status`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Untried => "untried",
            Self::Up => "up",
            Self::Down { .. } => "down",
            Self::Resting { .. } => "resting",
        }
    }
}

impl EntryState {
    fn untried(word: &str) -> Self {
        Self {
            url: word.to_owned(),
            state: RoadState::Untried,
        }
    }
}

impl Sink for Vec<u8> {
    fn restart(&mut self) -> BoxFuture<'_, io::Result<()>> {
        self.clear();
        Box::pin(std::future::ready(Ok(())))
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner")
            .field("list", &self.list)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
