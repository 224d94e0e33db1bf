//! Finding a record: neighbours that have it, the upstream, and the database behind a proxy that talks nonsense.

use std::sync::{Arc, PoisonError};

use modmesh_protocol::module::ModuleVersion;

use super::super::ask::{Advice, AskError, LogSource, LookupAnswer};
use super::super::finding::{Finding, ListedRecord, Offer, Told, Trouble};
use super::super::prove::ProveError;
use super::super::sources::Sources;
use super::Mirror;
use super::patience::neighbours_first;

/// Neighbours whose record is looked at: names cost nothing, and each may take two seconds.
const GIVERS_MAX: usize = 4;

/// Why one source gave no proved record.
#[derive(Debug)]
enum Unanswered {
    Asked(AskError),
    Prove(ProveError),
}

impl Mirror {
    pub(super) async fn ask(self, of: ModuleVersion, offer: Option<Arc<Offer>>) -> Told {
        let told = self.ask_all(&of, offer.as_deref()).await;
        let trouble = match &told.finding {
            Finding::Unreachable(trouble) => {
                Some((tokio::time::Instant::now(), Arc::clone(&trouble.reason)))
            }
            Finding::Listed(_) | Finding::Unlisted => None,
        };
        *self
            .inner
            .trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = trouble;
        told
    }

    /// Asks until one answer proves itself.
    async fn ask_all(&self, of: &ModuleVersion, offer: Option<&Offer>) -> Told {
        if let Some(record) = self.kept(of) {
            return Told::kept(record);
        }
        let surroundings = &self.inner.surroundings;
        let upstream = surroundings.upstream();
        let is_there = upstream.is_some() || surroundings.is_across_first().is_some();
        let from_outside = is_there.then(|| self.ask_outside(of, upstream));
        neighbours_first(self.ask_neighbours(of, offer), from_outside)
            .await
            .unwrap_or_else(Told::by_nobody)
    }

    async fn ask_neighbours(
        &self,
        of: &ModuleVersion,
        offer: Option<&Offer>,
    ) -> Result<Told, Trouble> {
        let mut reason: Arc<str> = "no neighbour has the record, and there is no upstream".into();
        if let Some(giver) = offer.and_then(|offer| self.inner.surroundings.offering(offer)) {
            match self.ask_one(of, &giver).await {
                Ok(record) => return Ok(Told::by(&*giver, Finding::Listed(record))),
                Err(why) => {
                    tracing::debug!(%of, giver = giver.name(), %why, "an offered record is of no use")
                }
            }
        }
        let givers = self.inner.surroundings.neighbours_with(of).await;
        for giver in givers.into_iter().take(GIVERS_MAX) {
            match self.ask_one(of, &giver).await {
                Ok(record) => return Ok(Told::by(&*giver, Finding::Listed(record))),
                Err(why) => reason = why.to_string().into(),
            }
        }
        Err(Trouble::silence(reason))
    }

    /// Asks the upstream or other sites, unless a neighbour does so already: then what that one found is taken.
    async fn ask_outside(
        &self,
        of: &ModuleVersion,
        upstream: Option<Arc<dyn LogSource>>,
    ) -> Result<Told, Trouble> {
        let Some(mut council) = self.inner.surroundings.council(of) else {
            return self.ask_out(of, upstream).await;
        };
        while let Advice::Take(givers) = council.next().await {
            let taken = self.take_from(of, givers).await;
            council.taken(taken.is_some()).await;
            if let Some(told) = taken {
                return Ok(told);
            }
        }
        let told = self.ask_out(of, upstream).await;
        let finding = told.as_ref().map(|told| &told.finding);
        let is_here = matches!(finding, Ok(Finding::Listed(_)));
        council.end(is_here).await;
        told
    }

    /// Asks the upstream and other sites, in the order that their cost suggests. What the database itself says of a record that it
    /// does not have is its word; whatever else comes to nothing, the other one may know.
    async fn ask_out(
        &self,
        of: &ModuleVersion,
        upstream: Option<Arc<dyn LogSource>>,
    ) -> Result<Told, Trouble> {
        let surroundings = &self.inner.surroundings;
        let is_across_first = surroundings.is_across_first();
        if is_across_first == Some(true)
            && let Some(told) = self.ask_across(of).await
        {
            return Ok(told);
        }
        let Some(upstream) = upstream else {
            let reason =
                "no neighbour has the record, at this site and others, and there is no upstream";
            return Err(Trouble::silence(reason));
        };
        let trouble = match self.ask_upstream(of, upstream).await {
            Ok(told) => return Ok(told),
            Err(trouble) => trouble,
        };
        match is_across_first {
            Some(false) => self.ask_across(of).await.ok_or(trouble),
            Some(true) | None => Err(trouble),
        }
    }

    async fn ask_across(&self, of: &ModuleVersion) -> Option<Told> {
        let givers = self.inner.surroundings.across_with(of).await;
        self.take_from(of, givers).await
    }

    async fn take_from(&self, of: &ModuleVersion, givers: Vec<Arc<dyn LogSource>>) -> Option<Told> {
        for giver in givers.into_iter().take(GIVERS_MAX) {
            match self.ask_one(of, &giver).await {
                Ok(record) => return Some(Told::by(&*giver, Finding::Listed(record))),
                Err(why) => tracing::debug!(%of, giver = giver.name(), %why, "no record"),
            }
        }
        None
    }

    /// Asks through the proxies, and when what they say is no answer or false, once more the database itself. When they
    /// cannot be reached it is not asked: behind a firewall that would be a second wait for nothing.
    async fn ask_upstream(
        &self,
        of: &ModuleVersion,
        upstream: Arc<dyn LogSource>,
    ) -> Result<Told, Trouble> {
        let mut source = upstream;
        let (mut reasons, mut status) = (Vec::new(), None);
        loop {
            let why = match self.ask_one(of, &source).await {
                Ok(record) => return Ok(Told::by(&*source, Finding::Listed(record))),
                Err(Unanswered::Asked(AskError::NotListed)) => {
                    self.remember_unlisted(of);
                    return Ok(Told::by(&*source, Finding::Unlisted));
                }
                Err(why) => why,
            };
            reasons.push(why.to_string());
            match &why {
                Unanswered::Asked(AskError::NoAnswer { status: theirs, .. }) => status = *theirs,
                // Nobody answered after that.
                Unanswered::Asked(_) => {}
                Unanswered::Prove(_) => status = None,
            }
            match source.behind() {
                Some(behind) if why.is_no_answer() => {
                    tracing::debug!(%of, source = source.name(), %why, "the database itself is asked");
                    source = behind;
                }
                _ => {
                    let reason = reasons.join("; the database itself: ").into();
                    return Err(Trouble { reason, status });
                }
            }
        }
    }

    async fn ask_one(
        &self,
        of: &ModuleVersion,
        source: &Arc<dyn LogSource>,
    ) -> Result<Arc<ListedRecord>, Unanswered> {
        let answer = source.lookup(of).await.map_err(Unanswered::Asked)?;
        let proved = self.prove(of, answer, source).await;
        proved.map_err(Unanswered::Prove)
    }

    /// Proves the `answer` that `source` gave, and keeps its record.
    pub(super) async fn prove(
        &self,
        of: &ModuleVersion,
        answer: LookupAnswer,
        source: &Arc<dyn LogSource>,
    ) -> Result<Arc<ListedRecord>, ProveError> {
        let sources = self.sources_behind(source);
        match self.inner.prover.prove(of, answer, sources).await {
            Ok(record) => {
                let recorded = self.inner.records.write();
                recorded
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(self.name(), of);
                Ok(record)
            }
            Err(error) => {
                tracing::debug!(%of, source = source.name(), %error, "a record was not proved");
                Err(error)
            }
        }
    }

    /// The source that gave the record gives the tiles; where it lacks one, the upstream is asked, then other neighbours.
    pub(super) fn sources_behind(&self, giver: &Arc<dyn LogSource>) -> Sources {
        let surroundings = &self.inner.surroundings;
        let upstream = surroundings.upstream();
        // Whoever is asked in the place of the upstream knows what it would say.
        let upstream = upstream.filter(|upstream| {
            let behind = upstream.behind();
            behind.is_none_or(|behind| behind.name() != giver.name())
        });
        let others = upstream.into_iter().chain(surroundings.neighbours());
        let others = others.filter(|other| other.name() != giver.name());
        let sources = Sources::new([Arc::clone(giver)].into_iter().chain(others));
        sources.with(surroundings.together())
    }
}

impl Unanswered {
    /// Whether the source was reached and what it said, the tiles included, is of no use.
    fn is_no_answer(&self) -> bool {
        match self {
            Self::Asked(error) => matches!(error, AskError::Missing | AskError::NoAnswer { .. }),
            // Who stands behind it was asked for missing tiles too.
            Self::Prove(error) => !matches!(error, ProveError::MissingTile(_)),
        }
    }
}

impl std::fmt::Display for Unanswered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Asked(error) => error.fmt(f),
            Self::Prove(error) => error.fmt(f),
        }
    }
}
