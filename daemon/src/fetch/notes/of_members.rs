//! Notes of members. They are for the daemon's own user, and none of them is kept: so there is nothing to take back.

use std::time::Duration;

use super::words::{check, info_of, newest, version_in, versions_in, with_versions};
use super::{Fetcher, NoteAnswer, NoteKey};
use crate::metrics::Source;
use crate::peers::Haste;
use crate::policy::Asker;

impl Fetcher {
    /// The `.info` of a version as a member had it from its upstream: it never changes, so that ours need not be asked. One that a
    /// member derived from the version alone, for it holds the files and never asked for this, lacks the time and is for when
    /// upstream is gone.
    pub(super) async fn info_of_member(&self, key: &NoteKey, asker: Asker) -> Option<NoteAnswer> {
        let derived = info_of(&key.version()?.version);
        let notes = self.ask_members_for(key, asker, Haste::OthersWait).await;
        let mut said = notes.into_iter().filter(|(bytes, _)| *bytes != derived);
        said.next().map(|(bytes, _)| NoteAnswer {
            bytes: bytes.into(),
            source: Source::Peer,
            stale: None,
            newer: None,
        })
    }

    /// What members know of a note while upstream is gone: the youngest answer; of versions, those that can be had of all that they
    /// and this host know.
    pub(super) async fn note_of_members(&self, key: &NoteKey, asker: Asker) -> Option<NoteAnswer> {
        let mut notes = self.ask_members_for(key, asker, Haste::NobodyElse).await;
        notes.sort_by_key(|(_, age)| *age);
        let (youngest, age) = notes.first().cloned()?;
        let mut answer = NoteAnswer {
            bytes: youngest.into(),
            source: Source::Peer,
            stale: key.version().is_none().then_some(age),
            newer: None,
        };
        let (NoteKey::List(module) | NoteKey::Latest(module)) = key else {
            return Some(answer);
        };
        let mut known = self.held(module, asker);
        if let Some(kept) = self.kept_note(key, asker).await {
            notes.push((kept.bytes, kept.age));
        }
        for (bytes, _) in &notes {
            match key {
                NoteKey::List(_) => known.extend(versions_in(bytes)),
                _ => known.extend(version_in(bytes)),
            }
        }
        known.sort();
        known.dedup();
        let spoken = self.spoken_of(module, known, asker).await;
        match key {
            NoteKey::List(_) => answer.bytes = with_versions(b"", &spoken.versions),
            _ => {
                let said = version_in(&answer.bytes);
                if said.is_none_or(|said| !spoken.versions.contains(&said)) {
                    answer.bytes = info_of(&newest(&spoken.versions)?);
                }
            }
        }
        answer.newer = spoken.newer;
        Some(answer)
    }

    async fn ask_members_for(
        &self,
        key: &NoteKey,
        asker: Asker,
        haste: Haste,
    ) -> Vec<(Vec<u8>, Duration)> {
        let peers = &self.inner.peers;
        if asker != Asker::Owner || !peers.is_closed() || peers.connected() == 0 {
            return Vec::new();
        }
        let notes = peers.notes(&key.url_path(), haste).await.into_iter();
        let sound = notes.filter(|note| check(key, &note.bytes).is_ok());
        sound.map(|note| (note.bytes, note.age)).collect()
    }
}
