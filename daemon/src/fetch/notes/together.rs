//! Members that want the same note at the same moment: one asks its upstream, and the others take its word.
//!
//! A word counts where both would ask the same list of proxies, and it lasts for half a minute, which is less than this host's own
//! answers last: so nobody hears anything older than what it might have from itself. That there is no such thing counts as well, with
//! its reason. Nothing of it is kept. Of a file a no is heard as well, and stops no neighbour that has it proven.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::control::Did;
use modmesh_protocol::lease::{Fetched, Road};
use modmesh_protocol::limits::NO_PROGRESS_MAX;
use modmesh_protocol::peer_name::PeerName;
use tokio::time::timeout;

use super::super::Landed;
use super::super::outside::NotGiven;
use super::super::sayings::{SAID_FOR, Said};
use super::super::sources::Want;
use super::super::story::Story;
use super::words::check;
use super::{FetchError, Fetcher, NoteAnswer, NoteKey};
use crate::metrics::Source;
use crate::peers::{About, SayingOfMember, SoFar, Talk, Turn};
use crate::policy::Asker;
use crate::store::NOTE_BYTES_MAX;
use crate::upstream::{Answer, ErrorAnswer, UpstreamError};

/// How long upstream is taken to need for a note, of which nothing was measured: a proxy that asks the repository itself.
const NOTE_ASSUMED: Duration = Duration::from_secs(4);
/// Members that are asked for one word of an owner.
const MEMBERS_MAX: usize = 2;

/// What a member's upstream said where there is no such thing.
#[derive(Debug)]
pub(crate) struct SaidToMember {
    /// 404 or 410.
    pub status: u16,
    /// The reason, as that upstream gave it.
    pub text: String,
    /// Who was told.
    pub member: PeerName,
    /// How long ago.
    pub age: Duration,
}

/// The conversation about one note.
pub(super) struct Consultation {
    talk: Talk,
    key: KeyHash,
    so_far: Arc<SoFar>,
    asked: Instant,
}

impl Fetcher {
    /// A conversation about `key` with the owners of its module, where there are members that may ask the same upstream.
    pub(super) fn consult(&self, key: &NoteKey, asker: Asker) -> Option<Consultation> {
        let peers = &self.inner.peers;
        if asker != Asker::Owner || !peers.is_closed() || peers.connected() == 0 {
            return None;
        }
        let upstream = self.upstream_for(asker).filter(|one| !one.is_down())?;
        let saying = KeyHash::of_saying(upstream.name_among_members()?, &key.url_path());
        let so_far = Arc::new(SoFar::default());
        let about = About {
            key: saying,
            place: KeyHash::of_place(key.module()),
            bytes_max: NOTE_BYTES_MAX,
            can_fetch: true,
            so_far: Arc::clone(&so_far),
        };
        let fetcher = self.clone();
        let road = move || Road {
            pace: None,
            first_byte: Some(fetcher.inner.notes_took.get().unwrap_or(NOTE_ASSUMED)),
        };
        Some(Consultation {
            talk: peers.talk(about, road)?,
            key: saying,
            so_far,
            asked: Instant::now(),
        })
    }

    /// What a member was told, if one asks or has just asked; nothing when the upstream is to be asked.
    pub(super) async fn told_to_member(
        &self,
        consultation: &mut Consultation,
        key: &NoteKey,
        story: Option<&Story>,
    ) -> Option<Result<NoteAnswer, FetchError>> {
        loop {
            let began = Instant::now();
            let told_to_wait = |fetches| {
                if let Some(story) = story {
                    story.tell(began, Did::ToldToWait { fetches });
                }
            };
            let turn = consultation.talk.next_with(told_to_wait).await;
            if let Some(story) = story {
                story.tell_turn(began, &turn, consultation.talk.waited_for());
            }
            let Turn::Take(members) = turn else {
                break;
            };
            for member in members.into_iter().take(MEMBERS_MAX) {
                let asking = self.inner.peers.said(&member, consultation.key);
                if let Ok(Ok(Some(said))) = timeout(NO_PROGRESS_MAX, asking).await
                    && let Some(told) = judged(key, said)
                {
                    // It is not kept here, so this host is not said to have it.
                    return Some(told);
                }
            }
            consultation.talk.taken(false).await;
        }
        consultation.asked = Instant::now();
        None
    }

    /// Holds what upstream said for those who wait for it, and tells the owners how asking it ended.
    pub(super) async fn tell_members(
        &self,
        consultation: Consultation,
        asked: &Result<Result<Answer, FetchError>, UpstreamError>,
    ) {
        let said = match asked {
            Ok(Ok(answer)) => Some(Said {
                status: 200,
                bytes: answer.body.clone(),
                at: SystemTime::now(),
            }),
            Err(error @ UpstreamError::NotFound(answer)) => Some(no_as_said(error, answer)),
            Ok(Err(_)) | Err(_) => None,
        };
        let is_answered = said.is_some();
        let is_told = said.is_some_and(|said| self.inner.sayings.put(consultation.key, said));
        if is_answered {
            let took = consultation.asked.elapsed();
            self.inner.notes_took.measured(took);
            consultation.so_far.came(1);
        }
        let how = match asked {
            _ if is_told => Fetched::Here,
            _ if is_answered => Fetched::ForItself,
            // Each finds out for itself whether upstream is gone, and all at once: one after the other would be as many silences.
            Err(UpstreamError::Unreachable { .. }) => Fetched::ForItself,
            Err(error) => Fetched::Failed {
                status: error.answer().map_or(502, |answer| answer.status),
            },
            Ok(_) => Fetched::Failed { status: 502 },
        };
        consultation.talk.end(how).await;
    }
}

/// Of files, it is heard alone that there is none, from whom one has waited for.
impl Fetcher {
    /// The no of the upstream that this host would ask too, which a member heard for whom it waited.
    pub(in crate::fetch) async fn no_of_one_waited_for(
        &self,
        talk: &Talk,
        want: &Want,
    ) -> Option<FetchError> {
        let key = self.saying_of_file(want)?;
        for member in talk.waited_for() {
            let asking = self.inner.peers.said(&member, key);
            if let Ok(Ok(Some(said))) = timeout(NO_PROGRESS_MAX, asking).await
                && let Some(no) = no_of(said)
            {
                return Some(no);
            }
        }
        None
    }

    /// Holds the no of upstream for members that wait.
    pub(in crate::fetch) fn tell_members_no(&self, want: &Want, asked: &Result<Landed, NotGiven>) {
        let Err(NotGiven {
            error: FetchError::Upstream(error),
            ..
        }) = asked
        else {
            return;
        };
        if let (UpstreamError::NotFound(answer), Some(key)) = (&**error, self.saying_of_file(want))
        {
            self.inner.sayings.put(key, no_as_said(error, answer));
        }
    }

    /// What is asked of the upstream, as members name it; nothing where another would hear something else.
    fn saying_of_file(&self, want: &Want) -> Option<KeyHash> {
        let upstream = self.upstream_for(want.asker)?;
        // For anybody the list ends before `direct`, which may have it for a member's own user.
        let is_whole_list = want.asker == Asker::Owner || !upstream.has_direct();
        if !is_whole_list || !self.inner.peers.is_closed() {
            return None;
        }
        let list = upstream.name_among_members()?;
        Some(KeyHash::of_saying(list, &want.key.url_path()))
    }
}

fn no_as_said(error: &UpstreamError, answer: &ErrorAnswer) -> Said {
    let text = answer.text.clone().unwrap_or_else(|| error.to_string());
    Said {
        status: answer.status,
        bytes: text.into(),
        at: SystemTime::now(),
    }
}

/// A member's word that there is none, where it counts.
fn no_of(said: SayingOfMember) -> Option<FetchError> {
    if said.age >= SAID_FOR || said.status == 200 {
        return None;
    }
    Some(FetchError::SaidToMember(Arc::new(SaidToMember {
        status: said.status,
        text: String::from_utf8(said.bytes).ok()?,
        member: said.member,
        age: said.age,
    })))
}

/// What a member's word means here, where it counts.
fn judged(key: &NoteKey, said: SayingOfMember) -> Option<Result<NoteAnswer, FetchError>> {
    if said.age >= SAID_FOR {
        return None;
    }
    if said.status == 200 {
        check(key, &said.bytes).ok()?;
        return Some(Ok(NoteAnswer {
            bytes: said.bytes.into(),
            source: Source::Peer,
            stale: None,
            newer: None,
        }));
    }
    no_of(said).map(Err)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use modmesh_protocol::module::{ModulePath, Revision};

    use super::*;

    fn said(status: u16, bytes: &[u8], age: Duration) -> SayingOfMember {
        SayingOfMember {
            member: PeerName::nameless(),
            status,
            bytes: bytes.to_vec(),
            age,
        }
    }

    #[test]
    fn a_members_word_counts_while_it_is_young_and_makes_sense() {
        let module = ModulePath::parse("example.com/m").unwrap();
        let list = NoteKey::List(module.clone());
        let info = NoteKey::Info(module, Revision::parse("v1.0.0").unwrap());
        let now = Duration::ZERO;
        let answer = judged(&list, said(200, b"v1.0.0\n", now)).unwrap().unwrap();
        assert_eq!(answer.bytes, &b"v1.0.0\n"[..]);
        assert!(judged(&list, said(200, b"v1.0.0\n", SAID_FOR)).is_none());
        assert!(judged(&list, said(200, b"<html>", now)).is_none());
        assert!(judged(&info, said(200, br#"{"Version":"v1.0.1"}"#, now)).is_none());
        for status in [404, 410] {
            let no = judged(&info, said(status, b"not found: gone", now));
            match no.unwrap().unwrap_err() {
                FetchError::SaidToMember(no) => assert_eq!(no.status, status),
                other => panic!("{other}"),
            }
        }
        assert!(judged(&info, said(404, b"\xff", now)).is_none());
        assert!(judged(&info, said(404, b"", SAID_FOR)).is_none());
    }
}
