//! Asking many neighbours at once: who has it?
//!
//! A few are all asked. Of many, those are asked first that announced it; where there is nobody else to ask, the others
//! follow, sixteen at a time, until somebody has it.

use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::digest::BlobId;
use modmesh_protocol::limits::ASKED_AT_ONCE_MAX;
use modmesh_protocol::log::DatabaseId;
use modmesh_protocol::peer_name::PeerName;
use modmesh_protocol::wire::{Answer, Query, RecordQuestion};
use tokio::time::{Instant, sleep_until, timeout};

use super::ask::query_patiently;
use super::{
    Haste, Located, NoteOfMember, PeerError, Shared, ShownVersions, Statements, Survey, lock,
    peer_id_of, statements,
};

/// How long a round of sixteen is waited for before the next sixteen are asked as well: all of the most neighbours a host
/// can have are asked within the two seconds that such a question may take.
const ROUND: Duration = Duration::from_millis(100);
/// Members said to have a file that nothing proves that are waited for: each may be silent for two seconds.
const STATERS_NAMED_MAX: usize = 2;

/// Neighbours of other sites get this long where somebody else waits: they are further away.
const ACROSS_WAIT: Duration = Duration::from_secs(1);

/// Whose neighbours are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Those of this host's site.
    OwnSite,
    /// Those of other sites.
    OtherSites,
    /// All; while the budget lasts.
    Everybody,
}

impl Reach {
    /// Of what is small and not worth choosing: within the site where somebody else can be asked, or everywhere.
    fn by(haste: Haste) -> Self {
        match haste {
            Haste::OthersWait => Self::OwnSite,
            Haste::NobodyElse => Self::Everybody,
        }
    }
}

/// A question to many.
struct Question<'a> {
    query: Query,
    /// What is asked about; it spreads the questions.
    turn: Option<KeyHash>,
    /// Files whose holders are likely to have what is looked for.
    akin: &'a [KeyHash],
    haste: Haste,
    reach: Reach,
    /// The only ones to be asked, where not everybody is.
    among: Option<&'a [PeerName]>,
}

/// What came of asking many.
struct Answers<T> {
    asked: usize,
    silent: usize,
    found: Vec<(PeerName, T)>,
}

impl<T> Answers<T> {
    fn none() -> Self {
        Self {
            asked: 0,
            silent: 0,
            found: Vec::new(),
        }
    }
}

/// See [`super::Peers::locate`]; `akin` are files whose holders are likely to have what is looked for.
pub(super) async fn locate(
    shared: &Shared,
    file: Option<KeyHash>,
    record: Option<(DatabaseId, KeyHash)>,
    akin: &[KeyHash],
    haste: Haste,
    reach: Reach,
) -> Survey {
    locate_by(shared, file, record, akin, haste, Ok(reach)).await
}

async fn locate_by(
    shared: &Shared,
    file: Option<KeyHash>,
    record: Option<(DatabaseId, KeyHash)>,
    akin: &[KeyHash],
    haste: Haste,
    whom: Result<Reach, &[PeerName]>,
) -> Survey {
    let query = Query::Locate {
        file: file.map(|key| key.0),
        record: record.map(|(database, key)| RecordQuestion {
            database: database.0,
            key: key.0,
        }),
    };
    let question = Question {
        query,
        turn: file.or(record.map(|(_, key)| key)),
        akin,
        haste,
        reach: whom.unwrap_or(Reach::Everybody),
        among: whom.err(),
    };
    let answers = ask_many(shared, &question, |peer, answer| {
        let Answer::Located { file: has, record } = answer else {
            return None;
        };
        if let (Some(key), None) = (file, has) {
            lock(&shared.directory).missed(peer, &key);
        }
        (has.is_some() || record.is_some()).then(|| Located {
            peer: peer.clone(),
            file: has.map(|summary| (BlobId(summary.blob), summary.length)),
            record,
        })
    })
    .await;
    Survey {
        asked: answers.asked,
        silent: answers.silent,
        found: answers
            .found
            .into_iter()
            .map(|(_, located)| located)
            .collect(),
    }
}

/// See [`super::Peers::locate_among`].
pub(super) async fn locate_among(
    shared: &Shared,
    peers: &[PeerName],
    file: Option<KeyHash>,
    record: Option<(DatabaseId, KeyHash)>,
) -> Survey {
    locate_by(shared, file, record, &[], Haste::NobodyElse, Err(peers)).await
}

/// See [`super::Peers::versions`].
pub(super) async fn versions(
    shared: &Shared,
    database: DatabaseId,
    key: KeyHash,
    haste: Haste,
) -> Vec<ShownVersions> {
    let query = Query::Versions {
        database: database.0,
        key: key.0,
    };
    let question = Question {
        query,
        turn: Some(key),
        akin: &[],
        haste,
        reach: Reach::by(haste),
        among: None,
    };
    let answers = ask_many(shared, &question, |peer, answer| {
        let Answer::Versions { head, records } = answer else {
            return None;
        };
        (!records.is_empty()).then(|| ShownVersions {
            peer: peer.clone(),
            head,
            records,
        })
    });
    let found = answers.await.found.into_iter();
    found.map(|(_, shown)| shown).collect()
}

/// See [`super::Peers::stated`].
pub(super) async fn stated(
    shared: &Shared,
    file: KeyHash,
    haste: Haste,
    named: &[PeerName],
) -> Statements {
    let named = &named[..named.len().min(STATERS_NAMED_MAX)];
    let ask = |haste, among| async move {
        let query = Query::Stated { file: file.0 };
        let question = Question {
            query,
            among,
            turn: Some(file),
            akin: &[file],
            haste,
            reach: Reach::by(haste),
        };
        let sift = |peer: &PeerName, answer| match answer {
            Answer::Stated(Some(stated)) => statements::checked(peer, file, stated),
            _ => None,
        };
        ask_many(shared, &question, sift).await
    };
    // All are asked, for members may contradict each other.
    let of_all = ask(haste, None);
    let (mut answers, all) = match named.is_empty() {
        true => (Answers::none(), of_all.await),
        false => tokio::join!(ask(Haste::NobodyElse, Some(named)), of_all),
    };
    let of_others = all.found.into_iter();
    let of_others = of_others.filter(|(peer, _)| !named.contains(peer));
    answers.found.extend(of_others);
    Statements {
        asked: answers.asked.max(all.asked),
        silent: answers.silent.max(all.silent),
        found: answers
            .found
            .into_iter()
            .map(|(_, stated)| stated)
            .collect(),
    }
}

/// See [`super::Peers::notes`].
pub(super) async fn notes(shared: &Shared, path: &str, haste: Haste) -> Vec<NoteOfMember> {
    let path = path.to_owned();
    let question = Question {
        query: Query::Note { path },
        among: None,
        turn: None,
        akin: &[],
        haste,
        reach: Reach::by(haste),
    };
    let answers = ask_many(shared, &question, |peer, answer| {
        let Answer::Note(Some(note)) = answer else {
            return None;
        };
        Some(NoteOfMember {
            giver: peer.clone(),
            bytes: note.bytes,
            age: Duration::from_secs(note.age_seconds),
        })
    });
    let found = answers.await.found.into_iter();
    found.map(|(_, note)| note).collect()
}

/// Asks all that are to be asked. `sift` takes from an answer what was looked for, if it is there. Those that have it come in
/// the order in which they are to be preferred.
async fn ask_many<T>(
    shared: &Shared,
    question: &Question<'_>,
    sift: impl Fn(&PeerName, Answer) -> Option<T>,
) -> Answers<T> {
    let haste = question.haste;
    let candidates = candidates(shared, question);
    let first_round = candidates.len().min(ASKED_AT_ONCE_MAX);
    let rounds_max = match haste {
        Haste::OthersWait => 1,
        Haste::NobodyElse => usize::MAX,
    };
    let mut rounds = candidates.chunks(ASKED_AT_ONCE_MAX).take(rounds_max);
    let ask = |peer: &PeerName| {
        let (query, peer) = (&question.query, peer.clone());
        async move {
            let answer = match peer_id_of(&peer) {
                Some(id) => query_patiently(shared, &id, query).await,
                None => Err(PeerError::Gone),
            };
            (peer, answer)
        }
    };
    let (mut waited_for, mut found, mut all) = (Vec::new(), Vec::new(), 0);
    let gather = async {
        let mut asked = FuturesUnordered::new();
        let mut next_round_at = Instant::now();
        loop {
            // Who lists some versions may not know the others, and members may contradict each other.
            let wants_all = matches!(
                question.query,
                Query::Versions { .. } | Query::Stated { .. } | Query::Note { .. }
            );
            let is_enough = !found.is_empty() && !wants_all;
            let may_ask_more = !is_enough && rounds.len() > 0;
            let answer = tokio::select! {
                biased;
                answer = asked.next(), if !asked.is_empty() => answer,
                () = sleep_until(next_round_at), if may_ask_more => None,
                else => break,
            };
            let Some((peer, answer)) = answer else {
                let round = rounds.next().unwrap_or_default();
                waited_for.extend(round.iter().cloned());
                all += round.len();
                asked.extend(round.iter().map(ask));
                next_round_at = Instant::now() + ROUND;
                continue;
            };
            waited_for.retain(|other| *other != peer);
            if asked.is_empty() {
                next_round_at = Instant::now();
            }
            if let Some(has) = answer.ok().and_then(|answer| sift(&peer, answer)) {
                found.push((peer, has));
            }
            // Who was silent lately is not waited for when others have it.
            if !found.is_empty() && waited_for.iter().all(|peer| shared.roster.is_slow(peer)) {
                break;
            }
        }
    };
    // At the deadline those that did not answer are left; what came so far counts.
    let deadline = match (haste, question.reach) {
        (Haste::OthersWait, Reach::OtherSites) => ACROSS_WAIT,
        _ => haste.deadline(),
    };
    let in_time = timeout(deadline, gather).await.is_ok();
    if !in_time && haste == Haste::NobodyElse {
        // Those of later rounds had less than the two seconds.
        let silent = candidates.iter().take(first_round);
        silent
            .filter(|peer| waited_for.contains(peer))
            .for_each(|peer| shared.roster.was_slow(peer));
    }
    found.sort_by_key(|(peer, _): &(PeerName, T)| shared.roster.rank(peer));
    Answers {
        asked: all,
        silent: waited_for.len(),
        found,
    }
}

/// Whom to ask, in this order: those that announced it, others by chance, and last those that were silent lately, who are
/// left out where somebody else can be asked.
fn candidates(shared: &Shared, question: &Question<'_>) -> Vec<PeerName> {
    let roster = &shared.roster;
    if let Some(among) = question.among {
        let mut usable = roster.usable();
        usable.retain(|peer| among.contains(peer));
        return usable;
    }
    let may_cross = !shared.crossing.is_used_up();
    let mut usable = match question.reach {
        Reach::Everybody if may_cross => roster.usable(),
        Reach::OwnSite | Reach::Everybody => roster.usable_here(),
        Reach::OtherSites if may_cross => {
            roster.across().into_iter().map(|(peer, _)| peer).collect()
        }
        Reach::OtherSites => Vec::new(),
    };
    if question.haste == Haste::OthersWait {
        usable.retain(|peer| !shared.roster.is_slow(peer));
    }
    if usable.len() <= ASKED_AT_ONCE_MAX {
        return usable;
    }
    let announced: Vec<_> = {
        let directory = lock(&shared.directory);
        question
            .akin
            .iter()
            .flat_map(|key| directory.holders(key))
            .collect()
    };
    // The table's order differs from run to run and from host to host, which is chance enough to spread the questions;
    // turning it by the question spreads them within a run.
    let turn = question.turn.map_or(0, |key| usize::from(key.0[0])) % usable.len();
    usable.rotate_left(turn);
    usable.sort_by_cached_key(|peer| (shared.roster.is_slow(peer), !announced.contains(peer)));
    usable
}
