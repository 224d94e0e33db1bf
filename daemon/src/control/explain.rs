//! What this host knows of one module version. Nothing is fetched and nothing moves for it; only the neighbours are asked
//! who has it, by hashes as always, and not even they where the module is private or nothing could prove it.

use std::time::{SystemTime, UNIX_EPOCH};

use modmesh_protocol::artifact::{ArtifactKey, FileKind, KeyHash};
use modmesh_protocol::control::{
    self, Explanation, FileExplanation, FileHere, Neighbours, RecordName, WouldAsk, rfc3339,
};
use modmesh_protocol::module::ModuleVersion;

use super::Control;
use crate::fetch::Treatment;
use crate::peers::Haste;
use crate::store::{Note, Seen};

impl Control {
    /// Everything about `of`. Takes as long as the neighbours may think, two seconds.
    pub(super) async fn explain(&self, of: &ModuleVersion) -> Explanation {
        let treatment = self.fetcher.treatment(&of.module);
        let key = |kind| ArtifactKey {
            of: of.clone(),
            kind,
        };
        let file = |kind| self.explain_file(key(kind), treatment);
        let (info, go_mod, zip) = tokio::join!(
            file(FileKind::Info),
            file(FileKind::Mod),
            file(FileKind::Zip)
        );
        Explanation {
            module: of.module.as_str().to_owned(),
            version: of.version.as_str().to_owned(),
            treatment: match treatment {
                Treatment::Judged => control::Treatment::Judged,
                Treatment::Toolchain => control::Treatment::Toolchain,
                Treatment::Private => control::Treatment::Private,
                Treatment::Unjudged => control::Treatment::Unjudged,
            },
            files: vec![info, go_mod, zip],
            among_members: self.peers.is_closed(),
            owners: match self.fetcher.may_ask_owners(&key(FileKind::Zip)) {
                true => self.peers.owners(&KeyHash::of_place(&of.module)),
                false => Vec::new(),
            },
        }
    }

    async fn explain_file(&self, key: ArtifactKey, treatment: Treatment) -> FileExplanation {
        let neighbours = self.ask_neighbours(&key, treatment).await;
        let (store, looked_for) = (self.store.clone(), key.clone());
        let looked = tokio::task::spawn_blocking(move || match looked_for.kind {
            FileKind::Info => {
                let note = store.read_note(&looked_for.url_path(), true);
                (note.map(note_here), None)
            }
            FileKind::Mod | FileKind::Zip => match store.look(&looked_for).map(body_here) {
                Some(here) => (Some(here), None),
                None => (None, Some(store.was_put_aside(&looked_for))),
            },
        });
        let (here, put_aside) = looked.await.unwrap_or_default();
        let would_ask = here.is_none().then(|| WouldAsk {
            neighbours: match self.why_not(&key, treatment) {
                Some(_) if !self.peers.is_closed() => 0,
                Some(_) | None => count(self.peers.connected()),
            },
            upstream: self.upstreams(),
        });
        FileExplanation {
            kind: key.kind,
            here,
            put_aside,
            last_fetch: self.fetcher.last_fetch(&key),
            neighbours,
            would_ask,
        }
    }

    async fn ask_neighbours(&self, key: &ArtifactKey, treatment: Treatment) -> Neighbours {
        let nobody = |why: &str| Neighbours {
            not_asked: Some(why.to_owned()),
            ..Neighbours::default()
        };
        if let Some(why) = self.why_not(key, treatment) {
            return nobody(why);
        }
        if self.peers.connected() == 0 {
            return nobody("there is none");
        }
        let hash = KeyHash::of_file(key);
        let survey = self.peers.survey_everywhere(hash, Haste::NobodyElse).await;
        Neighbours {
            asked: count(survey.asked),
            silent: count(survey.silent),
            have_it: survey.found.into_iter().map(|found| found.peer).collect(),
            not_asked: None,
        }
    }

    /// Why neighbours are never asked for such a file.
    fn why_not(&self, key: &ArtifactKey, treatment: Treatment) -> Option<&'static str> {
        let among_members = self.peers.is_closed();
        match (key.kind, treatment) {
            (FileKind::Info, _) if among_members => Some(
                "no hash covers .info, so members are asked for it when go asks, and then upstream",
            ),
            (_, Treatment::Private) if among_members => Some(
                "the module matches a private pattern, so members alone hear of it, and when go asks",
            ),
            (_, Treatment::Unjudged) if among_members => Some(
                "the checksum database is off, so members are asked for what they have on their word, when go asks",
            ),
            (_, Treatment::Private) => {
                Some("the module matches a private pattern, so nobody hears of it")
            }
            (FileKind::Info, _) => Some("no hash covers .info, so it comes from upstream alone"),
            (_, Treatment::Unjudged) if !self.fetcher.may_ask_neighbours(key) => Some(
                "the checksum database is off and no go.sum given here names it, so nothing of theirs could be proved",
            ),
            (_, Treatment::Judged | Treatment::Toolchain | Treatment::Unjudged) => None,
        }
    }
}

fn note_here(note: Note) -> FileHere {
    let since = SystemTime::now().checked_sub(note.age);
    FileHere {
        scope: None,
        go_sum: None,
        note: note
            .provisional
            .then(|| "made here from the version, until upstream gives its own".to_owned()),
        record: None,
        h1: None,
        sha256: None,
        length: note.bytes.len() as u64,
        canonical: None,
        shareable: false,
        since: since.filter(|_| !note.provisional).map(time),
    }
}

fn body_here(seen: Seen) -> FileHere {
    let proof = &seen.entry.proof;
    let unproved = match (proof.record(), proof.unlisted()) {
        (Some(_), _) => None,
        (None, Some(why)) => Some(why.to_string()),
        (None, None) => Some("the checksum database could not be asked yet".to_owned()),
    };
    let unproved = match (proof.go_sum(), unproved) {
        (Some(name), Some(why)) => Some(format!("{name} vouches for it, and {why}")),
        (_, unproved) => unproved,
    };
    let word = proof.by_member().map(|by| match by.author == by.giver {
        true => format!("on the word of {}", by.giver),
        false => format!("on the word of {}, given by {}", by.author, by.giver),
    });
    let doubt = seen.doubt.map(str::to_owned);
    let notes: Vec<String> = unproved.into_iter().chain(word).chain(doubt).collect();
    FileHere {
        scope: Some(proof.scope().to_string()),
        go_sum: proof.go_sum().map(str::to_owned),
        note: (!notes.is_empty()).then(|| notes.join("; ")),
        record: proof.record().map(|record| RecordName {
            database: record.database.clone(),
            id: record.id,
        }),
        h1: Some(proof.h1()),
        sha256: Some(proof.measured().blob),
        length: proof.measured().length,
        canonical: Some(proof.is_canonical()),
        shareable: proof.is_shareable(),
        since: seen.since.map(time),
    }
}

fn time(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    rfc3339(since.as_secs())
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
