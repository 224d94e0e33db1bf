//! Asking many neighbours at once: who has it?
//!
//! A few are all asked. Of many, those are asked first that announced it; where there is nobody else to ask, the others
//! follow, sixteen at a time, until somebody has it.

use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::digest::BlobId;
use modmesh_protocol::limits::{ASKED_AT_ONCE_MAX, INLINE_FILE_BYTES_MAX, NO_PROGRESS_MAX};
use modmesh_protocol::log::DatabaseId;
use modmesh_protocol::peer_name::PeerName;
use modmesh_protocol::wire::{
    Answer, FileSummary, InlineQuestion, Query, RecordAnswer, RecordQuestion,
};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::ask::query_patiently;
use super::inline::{self, Likeliest};
use super::{
    Found, Haste, Located, NoteOfMember, PeerError, Shared, ShownVersions, Statements, Survey,
    WantedProof, lock, peer_id_of, statements,
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
    /// What the one is asked in its place that is likeliest to have it.
    inline: Option<InlineQuestion>,
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
        inline: None,
    };
    let answers = ask_many(shared, &question, |peer, answer| match answer {
        Answer::Located { file: has, record } => located(shared, peer, file, has, record),
        _ => None,
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

/// What `peer` has of what it was asked for.
fn located(
    shared: &Shared,
    peer: &PeerName,
    file: Option<KeyHash>,
    has: Option<FileSummary>,
    record: Option<RecordAnswer>,
) -> Option<Located> {
    if let (Some(key), None) = (file, has) {
        lock(&shared.directory).missed(peer, &key);
    }
    (has.is_some() || record.is_some()).then(|| Located {
        peer: peer.clone(),
        file: has.map(|summary| (BlobId(summary.blob), summary.length)),
        record,
    })
}

/// See [`super::Peers::find`].
pub(super) async fn find(
    shared: &Shared,
    file: KeyHash,
    proof: Option<WantedProof>,
    haste: Haste,
) -> Found {
    // Where our own limit is used up, files come one part after the other.
    let may_come = shared.down.has_room_for(INLINE_FILE_BYTES_MAX as u64);
    let question = Question {
        query: Query::Locate {
            file: Some(file.0),
            record: None,
        },
        turn: Some(file),
        akin: &[file],
        haste,
        reach: Reach::OwnSite,
        among: None,
        inline: may_come.then(|| inline::question(file, proof)),
    };
    let answers = ask_many(shared, &question, |peer, answer| match answer {
        Answer::Located { file: has, .. } => {
            Some((located(shared, peer, Some(file), has, None)?, None))
        }
        Answer::Inline(answer) => {
            let (has, given) = inline::sift(peer, answer);
            let is_whole = given.as_ref().is_some_and(|given| given.file.is_some());
            let asked = (!is_whole).then_some(file);
            let located = located(shared, peer, asked, has, None);
            // Who gave it is named, and nothing more is to be had of that one.
            let gave = || Located {
                peer: peer.clone(),
                file: None,
                record: None,
            };
            let located = located.or_else(|| given.is_some().then(gave));
            Some((located?, given))
        }
        _ => None,
    })
    .await;
    let mut given = None;
    let found = answers.found.into_iter().map(|(_, (located, gave))| {
        given = gave.or(given.take());
        located
    });
    let survey = Survey {
        asked: answers.asked,
        silent: answers.silent,
        found: found.collect(),
    };
    Found { survey, given }
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

/// See [`super::Peers::survey_everybody`].
pub(super) async fn locate_everybody(shared: &Shared, file: KeyHash) -> Option<Survey> {
    let mut everybody = shared.roster.usable_here();
    if everybody.len() <= ASKED_AT_ONCE_MAX {
        return None;
    }
    everybody.retain(|peer| !shared.roster.is_slow(peer));
    let whom = Err(everybody.as_slice());
    let survey = locate_by(shared, Some(file), None, &[], Haste::OthersWait, whom).await;
    // Its record is looked for at those who have the file.
    let mut directory = lock(&shared.directory);
    for located in &survey.found {
        directory.announce(&located.peer, [file]);
    }
    drop(directory);
    Some(survey)
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
        inline: None,
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
            inline: None,
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
        inline: None,
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
        Haste::OthersWait if question.among.is_none() => 1,
        Haste::OthersWait | Haste::NobodyElse => usize::MAX,
    };
    let mut rounds = candidates.chunks(ASKED_AT_ONCE_MAX).take(rounds_max);
    let likeliest = question.inline.as_ref().and_then(|asked| {
        let first = candidates.get(..first_round).unwrap_or_default();
        Likeliest::of(shared, first, asked)
    });
    let likeliest = likeliest.as_ref();
    let is_coming = || likeliest.is_some_and(Likeliest::is_answering);
    let ask = |peer: &PeerName| {
        let (query, peer) = (&question.query, peer.clone());
        let likeliest = likeliest.filter(|likeliest| likeliest.peer == peer);
        async move {
            let answer = match (peer_id_of(&peer), likeliest) {
                (Some(id), Some(likeliest)) => likeliest.ask(shared, &id, haste, query).await,
                (Some(id), None) => query_patiently(shared, &id, query).await,
                (None, _) => Err(PeerError::Gone),
            };
            (peer, answer)
        }
    };
    let deadline = match (haste, question.reach) {
        (Haste::OthersWait, Reach::OtherSites) => ACROSS_WAIT,
        _ => haste.deadline(),
    };
    let deadline = Instant::now() + deadline;
    let (mut waited_for, mut found, mut all) = (Vec::new(), Vec::new(), 0);
    let mut gather = Box::pin(async {
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
                () = until(next_round_at), if may_ask_more => None,
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
            let is_here = answer.as_ref().is_ok_and(inline::is_whole);
            if let Some(has) = answer.ok().and_then(|answer| sift(&peer, answer)) {
                found.push((peer, has));
            }
            if is_here {
                // Nobody else was given the time to answer.
                waited_for.clear();
                break;
            }
            if Instant::now() >= deadline && !is_coming() {
                break;
            }
            // Who was silent lately is not waited for when others have it.
            if !found.is_empty() && waited_for.iter().all(|peer| shared.roster.is_slow(peer)) {
                break;
            }
        }
    });
    // At the deadline those that did not answer are left; what came so far counts, and an answer that is on its way.
    let mut in_time = timeout_at(deadline, &mut gather).await.is_ok();
    if !in_time && is_coming() {
        // A frame is four pieces that count as progress.
        let more = match haste {
            Haste::OthersWait => NO_PROGRESS_MAX,
            Haste::NobodyElse => NO_PROGRESS_MAX * 4,
        };
        in_time = timeout(more, &mut gather).await.is_ok();
    }
    drop(gather);
    if !in_time {
        let silent = waited_for.iter();
        silent.for_each(|peer| shared.suspect_named(peer));
    }
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

/// Waits until then. The timer's least time is a millisecond, in which a neighbour could have answered: a moment that has come is not
/// waited for at all.
async fn until(moment: Instant) {
    if Instant::now() < moment {
        sleep_until(moment).await;
    }
}

/// Whom to ask, in this order: those that announced it, others by chance, and last those that were silent lately, who are
/// left out where somebody else can be asked.
fn candidates(shared: &Shared, question: &Question<'_>) -> Vec<PeerName> {
    let roster = &shared.roster;
    if let Some(among) = question.among {
        let is_there = |peer: &&PeerName| {
            let id = peer_id_of(peer);
            id.is_some_and(|id| roster.is_usable(&id))
        };
        return among.iter().filter(is_there).cloned().collect();
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
