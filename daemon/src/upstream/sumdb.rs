//! The way to a checksum database: through the first proxy that offers it, else straight.
//!
//! The rule is `dbClient.initBase` of cmd/go/internal/modfetch/sumdb.go and its comment: each proxy is asked for
//! `/sumdb/NAME/supported`, the first 200 decides for everything, and there is no falling back afterwards. Go decides
//! once per process, the daemon again every ten minutes. That nobody could say is remembered for some seconds, so that
//! the lookups of one build do not find it out one after the other.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use modmesh_protocol::goproxy::{EntryOutcome, ProxyUrl, Step};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::entry::Entry;
use super::town::{Body, Question};
use super::{Inner, Stop, SumdbAddress, SumdbAnswer, UpstreamError};

/// Databases come from the configuration; more than this is a mistake of the caller that must not grow.
const DATABASES_MAX: usize = 64;

/// How long it is remembered that the proxies could not say whether they offer a database. Longer than the three tries that
/// find it out, and so short that nobody notices when they can again.
const FAILURE_LIFETIME: Duration = Duration::from_secs(5);

/// The answer to `supported` has no meaning beyond its status.
const SUPPORTED_BYTES_MAX: u64 = 64 << 10;

/// A checksum database as this host reaches it.
pub(super) struct Database {
    itself: Arc<Entry>,
    /// Held while `supported` is asked, so that it is asked once.
    way: Mutex<Option<(Instant, Result<Way, UpstreamError>)>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Through the entry with this index.
    Through(usize),
    Straight,
}

impl Inner {
    /// The databases that were asked so far, at their own addresses.
    pub(super) fn databases_themselves(&self) -> Vec<Arc<Entry>> {
        let databases = self.databases.lock();
        let databases = databases.unwrap_or_else(PoisonError::into_inner);
        let entries = databases.values().map(|one| Arc::clone(&one.itself));
        entries.collect()
    }

    pub(super) async fn sumdb(
        &self,
        address: &SumdbAddress,
        path: &str,
        bytes_max: u64,
    ) -> Result<SumdbAnswer, UpstreamError> {
        let database = self.database(address)?;
        match self.way(address, &database).await? {
            Way::Through(index) => {
                let path = format!("sumdb/{}/{path}", address.name);
                self.ask_through(index, &path, bytes_max).await
            }
            Way::Straight => self.ask_itself(&database, path, bytes_max).await,
        }
    }

    /// Asks the chosen proxy, and those after it where the list goes on and it failed: `go` asks nobody else, but what
    /// comes here proves itself. Only the chosen one's "not found" counts.
    async fn ask_through(
        &self,
        chosen: usize,
        path: &str,
        bytes_max: u64,
    ) -> Result<SumdbAnswer, UpstreamError> {
        let (mut index, mut failed) = (chosen, None);
        while let Some(Stop::Entry(entry)) = self.stops.get(index) {
            let error = match self.fetch(entry, path, bytes_max).await {
                Ok(body) => {
                    return Ok(SumdbAnswer {
                        body: body.into(),
                        from_database_itself: false,
                        url: entry.url().to_string(),
                    });
                }
                Err(error) => error,
            };
            let is_word = index == chosen && error.outcome() == EntryOutcome::NotFound;
            failed = failed.or(Some(error));
            match self.list.next_after(index, EntryOutcome::OtherError) {
                Step::Try(next) if !is_word => index = next,
                _ => break,
            }
        }
        Err(failed.unwrap_or(UpstreamError::Off))
    }

    pub(super) async fn sumdb_itself(
        &self,
        address: &SumdbAddress,
        path: &str,
        bytes_max: u64,
    ) -> Result<SumdbAnswer, UpstreamError> {
        let database = self.database(address)?;
        self.ask_itself(&database, path, bytes_max).await
    }

    async fn ask_itself(
        &self,
        database: &Database,
        path: &str,
        bytes_max: u64,
    ) -> Result<SumdbAnswer, UpstreamError> {
        let body = self.fetch(&database.itself, path, bytes_max).await?;
        Ok(SumdbAnswer {
            body: body.into(),
            from_database_itself: true,
            url: database.itself.url().to_string(),
        })
    }

    async fn way(&self, address: &SumdbAddress, database: &Database) -> Result<Way, UpstreamError> {
        if address.bypass_proxies {
            return Ok(Way::Straight);
        }
        let mut known = database.way.lock().await;
        let lifetime = self.town.options.sumdb_way_lifetime;
        match &*known {
            Some((since, Ok(way))) if since.elapsed() < lifetime => return Ok(*way),
            Some((since, Err(error))) if since.elapsed() < lifetime.min(FAILURE_LIFETIME) => {
                return Err(error.repeated());
            }
            _ => {}
        }
        let way = self.find_way(address).await;
        // An entry that is down is known to be by itself, and asked when it is back.
        let is_down = matches!(way, Err(UpstreamError::Unreachable { .. })) && self.has_down();
        *known = match &way {
            Err(_) if is_down => None,
            Err(error) => Some((Instant::now(), Err(error.repeated()))),
            Ok(way) => Some((Instant::now(), Ok(*way))),
        };
        way
    }

    /// Whether an entry of the list is down.
    fn has_down(&self) -> bool {
        let is_down =
            |stop: &Stop| matches!(stop, Stop::Entry(entry) if entry.health().down().is_some());
        self.stops.iter().any(is_down)
    }

    /// Asks the proxies in turn. Where Go's code and its comment differ (an error before `|`, then nobody left), the
    /// comment is followed: the database itself is asked.
    async fn find_way(&self, address: &SumdbAddress) -> Result<Way, UpstreamError> {
        let path = format!("sumdb/{}/supported", address.name);
        let mut index = 0;
        while let Some(Stop::Entry(entry)) = self.stops.get(index) {
            let error = match self.fetch(entry, &path, SUPPORTED_BYTES_MAX).await {
                Ok(_) => return Ok(Way::Through(index)),
                Err(error) => error,
            };
            let outcome = error.outcome();
            match self.list.next_after(index, outcome) {
                Step::Try(next) => index = next,
                Step::Stop if outcome == EntryOutcome::NotFound => break,
                Step::Stop => return Err(error),
            }
        }
        Ok(Way::Straight)
    }

    async fn fetch(
        &self,
        entry: &Arc<Entry>,
        path: &str,
        bytes_max: u64,
    ) -> Result<Vec<u8>, UpstreamError> {
        let question = Question::new(path, bytes_max, self.town.options.retries)?;
        let mut body = Vec::new();
        entry
            .ask(&self.town, question, &mut Body::new(&mut body))
            .await?;
        Ok(body)
    }

    fn database(&self, address: &SumdbAddress) -> Result<Arc<Database>, UpstreamError> {
        // `off` means that nothing outside is asked, whatever GOSUMDB says.
        if self.list.is_off() {
            return Err(UpstreamError::Off);
        }
        let mut databases = self
            .databases
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = databases.get(address) {
            return Ok(Arc::clone(database));
        }
        let database = Arc::new(Database::new(address)?);
        if databases.len() >= DATABASES_MAX {
            databases.clear();
        }
        databases.insert(address.clone(), Arc::clone(&database));
        Ok(database)
    }
}

impl Database {
    fn new(address: &SumdbAddress) -> Result<Self, UpstreamError> {
        let unusable = |reason: String| UpstreamError::Unreachable {
            url: address.name.clone(),
            reason,
        };
        let url = ProxyUrl::parse(&address.direct_base)
            .map_err(|fault| unusable(format!("the URL of the checksum database: {fault}")))?;
        let itself = Entry::database(url).map_err(|error| unusable(error.to_string()))?;
        Ok(Self {
            itself: Arc::new(itself),
            way: Mutex::new(None),
        })
    }
}
