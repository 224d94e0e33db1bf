//! Members and everybody else: secrets that fit and do not, stolen words, and what a stranger gets.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt, FutureExt};
use libp2p::swarm::Stream;
use modmesh_protocol::artifact::KeyHash;
use modmesh_protocol::digest::{BlobId, H1};
use modmesh_protocol::membership::{Role, Secret, Secrets, Verdict, Words};
use modmesh_protocol::peer_name::PeerName;
use modmesh_protocol::wire::{Answer, FileRequest, Hello, Message, Query, decode_payload, encode};
use tokio::time::timeout;

use super::super::streams::Purpose;
use super::super::{Haste, Membership, ShelvedStatement, lock, name_of};
use super::host::{Cupboard, DATABASE, Heard, Host, SOON, config, until};
use super::rogue::{Rogue, after_hello, read_frame};

/// Secrets of one byte each, the first line first.
fn secrets(bytes: &[u8]) -> Secrets {
    let line = |byte: &u8| Secret::new([*byte; 32]).to_line() + "\n";
    Secrets::parse(&bytes.iter().map(line).collect::<String>()).unwrap_or_default()
}

async fn member(bytes: &[u8], peers: &[String]) -> Host {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&folder, peers);
    config.membership.secrets = secrets(bytes);
    Host::start_with(folder, config).await.unwrap()
}

/// Waits until `host` says this of the one neighbour that it knows.
async fn says(host: &Host, words: &str) {
    until(words, || {
        let known = host.peers.snapshot();
        let said = known.iter().filter_map(|peer| peer.last_error.as_ref());
        said.into_iter().any(|said| said.contains(words))
    })
    .await;
    let status = host.peers.snapshot().remove(0);
    assert!(!status.connected && !status.member, "{status:?}");
    assert!(status.banned_until.is_none() && status.evidence.is_empty());
    assert_eq!((host.peers.connected(), host.peers.members()), (0, 0));
}

fn hello(membership: Option<Vec<u8>>) -> Vec<u8> {
    let hello = Hello {
        release: "rogue".into(),
        capabilities: 0,
        membership,
        heads: vec![],
        up_ms: 0,
    };
    encode(&hello).unwrap()
}

async fn read_hello(stream: &mut Stream) -> Hello {
    decode_payload(&read_frame(stream).await).unwrap()
}

/// What comes back on a stream for `message`; nothing when it is reset.
async fn ask(rogue: &Rogue, host: &Host, purpose: Purpose, message: &impl Message) -> Vec<u8> {
    let id = host.peers.name().as_str().parse().unwrap();
    let Ok(mut stream) = rogue.open(id, purpose).await else {
        return Vec::new();
    };
    let _ = stream.write_all(&encode(message).unwrap()).await;
    let mut answer = Vec::new();
    let _ = timeout(SOON, stream.read_to_end(&mut answer)).await;
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn who_knows_the_secret_is_a_member_while_it_is_exchanged_too() {
    let mut old = member(&[1], &[]).await;
    let both = member(&[2, 1], &old.peers.addresses()).await;
    assert_eq!(old.came().await, both.peers.name());
    assert!(old.peers.snapshot()[0].member && old.peers.members() == 1);
    let (key, _) = old.put(1, b"a file");
    let mut bytes = Vec::new();
    until("both are members", || both.peers.members() == 1).await;
    let holder = old.peers.name();
    let fetched = both
        .peers
        .fetch(&holder, key, 100, Haste::NobodyElse, &mut bytes);
    fetched.await.unwrap();
    assert_eq!(bytes, b"a file");
    let (back, _) = both.put(2, b"another");
    let found = old.peers.locate(Some(back), None, Haste::NobodyElse).await;
    assert_eq!(found.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_secret_and_none_are_told_on_both_sides_and_nobody_is_banned() {
    let ours = member(&[1], &[]).await;
    let other = member(&[2], &ours.peers.addresses()).await;
    says(&other, "its mesh secret is another").await;
    says(&ours, "its mesh secret is another").await;

    let closed = member(&[1], &[]).await;
    let open = Host::start(&closed.peers.addresses()).await;
    says(&open, "it is a member of a mesh with a secret").await;
    says(&closed, "it has no mesh secret").await;

    let open = Host::start(&[]).await;
    let closed = member(&[1], &open.peers.addresses()).await;
    says(&open, "it is a member of a mesh with a secret").await;
    says(&closed, "it has no mesh secret").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_makes_members_of_those_who_list_each_other() {
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    // Their names are known when they were up once.
    let mut names = Vec::new();
    for folder in &folders {
        let host = super::super::identity::load(&config(folder, &[]).identity_file, Some("a test"));
        names.push(name_of(&host.unwrap().public().to_peer_id()));
    }
    let [first, second] = folders;
    let mut listing = config(&first, &[]);
    listing.membership.list = vec![names[1].clone()];
    let mut one = Host::start_with(first, listing).await.unwrap();
    let mut listing = config(&second, &one.peers.addresses());
    listing.membership.list = vec![names[0].clone()];
    let two = Host::start_with(second, listing).await.unwrap();
    assert_eq!(one.came().await, names[1]);
    until("both are members", || two.peers.members() == 1).await;

    let folder = tempfile::tempdir().unwrap();
    let mut listing = config(&folder, &one.peers.addresses());
    listing.membership.list = vec![names[0].clone()];
    let third = Host::start_with(folder, listing).await.unwrap();
    says(&third, "does not take this host for a member").await;
    let name = third.peers.name();
    until("the stranger is on record", || {
        let known = one.peers.snapshot().into_iter();
        let said = known.filter(|peer| peer.peer_id == name);
        said.into_iter().any(|peer| {
            let said = peer.last_error.unwrap_or_default();
            said.contains("not on this host's list")
        })
    })
    .await;
    let wrong = Membership {
        list: vec!["12D3KooWNobody".parse().unwrap()],
        ..Membership::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let mut listing = config(&folder, &[]);
    listing.membership = wrong;
    let refused = Host::start_with(folder, listing).await.err().unwrap();
    assert!(refused.to_string().contains("--member 12D3KooWNobody"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_given_nothing_before_and_after_its_hello() {
    let host = member(&[1], &[]).await;
    let (key, _) = host.put(1, b"a file");
    *lock(&host.shelf.head) = Some((7, "head".into()));
    let id = host.peers.name().as_str().parse().unwrap();
    // What an honest member says, to this very host.
    let honest = member(&[1], &host.peers.addresses()).await;
    until("the honest one is a member", || honest.peers.members() == 1).await;
    let words = secrets(&[1]);
    let stolen = Words {
        verdict: Verdict::Open,
        has_secret: true,
        proofs: words.proofs(Role::Dials, &honest.peers.name(), &host.peers.name()),
    };
    for membership in [None, Some(vec![7; 256]), Some(stolen.encode())] {
        let rogue = Rogue::start(after_hello(|_, stream| async move { drop(stream) })).await;
        rogue.call(&host.peers.addresses()[0]).await;
        let question = Query::Locate {
            file: Some(key.0),
            record: None,
        };
        let file = FileRequest::Whole { file: key.0 };
        assert_eq!(ask(&rogue, &host, Purpose::Query, &question).await, b"");
        assert_eq!(ask(&rogue, &host, Purpose::File, &file).await, b"");
        let mut stream = rogue.open(id, Purpose::Hello).await.unwrap();
        stream.write_all(&hello(membership.clone())).await.unwrap();
        let answer = read_hello(&mut stream).await;
        // It hears that it is no member, by no proof, and nothing of the mirrors.
        assert_eq!(answer.membership, Some(vec![1, 2, 1]));
        assert_eq!(answer.heads, []);
        assert_eq!(ask(&rogue, &host, Purpose::Query, &question).await, b"");
        assert_eq!(ask(&rogue, &host, Purpose::File, &file).await, b"");
        drop(stream);
        let name = name_of(&rogue.id);
        until("it was put out", || {
            let known = host.peers.snapshot().into_iter();
            let mut rogues = known.filter(|peer| peer.peer_id == name);
            rogues.any(|peer| peer.last_error.is_some() && !peer.connected)
        })
        .await;
        assert_eq!(host.peers.members(), 1);
    }
    // The honest one is told how far the mirrors reach.
    assert_eq!(honest.peers.members(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_name_without_the_secret_is_no_member() {
    let mut host = member(&[1], &[]).await;
    let honest = member(&[1], &host.peers.addresses()).await;
    let name = host.came().await;
    assert_eq!(name, honest.peers.name());
    honest.peers.stop(Duration::from_secs(1)).await;
    assert_eq!(host.went().await, name);
    // Its key was copied; what it proved on the connection before counts for no other.
    let folder = tempfile::tempdir().unwrap();
    let key = honest.folder.path().join("identity");
    let mut config = config(&folder, &host.peers.addresses());
    std::fs::copy(key, &config.identity_file).unwrap();
    config.membership.secrets = secrets(&[2]);
    let thief = Host::start_with(folder, config).await.unwrap();
    assert_eq!(thief.peers.name(), name);
    says(&thief, "its mesh secret is another").await;
    says(&host, "its mesh secret is another").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn words_sent_back_or_kept_from_another_connection_make_no_member() {
    // It answers with the dialler's own words, with and without the verdict that an answer needs.
    for (changed, verdict) in [(false, 0), (true, 1)] {
        let rogue = Rogue::start(Arc::new(move |purpose, mut stream| {
            async move {
                if purpose != Purpose::Hello {
                    return;
                }
                let theirs = read_hello(&mut stream).await;
                assert_eq!(theirs.heads, [], "heads are for members");
                let mut words = theirs.membership.unwrap();
                if changed {
                    words[1] = verdict;
                }
                stream.write_all(&hello(Some(words))).await.unwrap();
                let _ = stream.close().await;
            }
            .boxed()
        }))
        .await;
        let host = member(&[1], std::slice::from_ref(&rogue.address)).await;
        *lock(&host.shelf.head) = Some((7, "head".into()));
        let expected = match changed {
            true => "its mesh secret is another",
            false => "not understood",
        };
        says(&host, expected).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn announcements_are_heard_by_members_alone() {
    let silent = || Rogue::start(after_hello(|_, stream| async move { drop(stream) }));
    let heads = |heard: &Rogue| heard.heard.load(Ordering::Relaxed);
    for is_closed in [false, true] {
        let bytes: &[u8] = if is_closed { &[1] } else { &[] };
        let rogue = silent().await;
        // One that greets is a neighbour of an open host; of a closed one it could not be, and calls without a word.
        let host = match is_closed {
            false => member(bytes, std::slice::from_ref(&rogue.address)).await,
            true => member(bytes, &[]).await,
        };
        if is_closed {
            rogue.call(&host.peers.addresses()[0]).await;
        }
        until("it listens", || rogue.listens()).await;
        let mut hearer = member(bytes, &host.peers.addresses()).await;
        hearer.came().await;
        let mut said = 0;
        // Gossip needs a moment to know who listens, and the same words are said once: so others each time.
        let heard = async {
            loop {
                said += 1;
                host.peers.announce_head(DATABASE, format!("head {said}"));
                let next = timeout(Duration::from_millis(200), hearer.heard.recv()).await;
                if matches!(next, Ok(Some(Heard::Head(..)))) {
                    return;
                }
            }
        };
        timeout(SOON, heard).await.unwrap();
        match is_closed {
            false => until("the rogue hears it too", || heads(&rogue) > 0).await,
            true => assert_eq!(heads(&rogue), 0),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_dialled_is_asked_for_its_heads() {
    let mut host = member(&[1], &[]).await;
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&folder, &host.peers.addresses());
    config.membership.secrets = secrets(&[1]);
    let shelf = Arc::new(Cupboard::default());
    *lock(&shelf.head) = Some((9, "larger head".into()));
    let dialler = Host::start_on(folder, config, shelf).await.unwrap();
    let name = host.came().await;
    let heard = Heard::Head(name, DATABASE, "larger head".into());
    assert_eq!(host.next().await, heard);
    assert_eq!(dialler.peers.members(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_exchanged_under_a_running_mesh() {
    let mut first = member(&[1], &[]).await;
    let second = member(&[1], &first.peers.addresses()).await;
    assert_eq!(first.came().await, second.peers.name());
    until("both are members", || second.peers.members() == 1).await;
    // One after the other takes the new secret beside the old one: nobody goes.
    first.peers.take_secrets(secrets(&[2, 1])).await.unwrap();
    second.peers.take_secrets(secrets(&[2, 1])).await.unwrap();
    assert_eq!((first.peers.members(), second.peers.members()), (1, 1));
    // The old one is taken out: they have shown the new one to each other, or show it now.
    first.peers.take_secrets(secrets(&[2])).await.unwrap();
    second.peers.take_secrets(secrets(&[2])).await.unwrap();
    until("both are members by the new secret", || {
        (first.peers.members(), second.peers.members()) == (1, 1)
    })
    .await;
    // Who is left behind goes, and comes back with the new secret, at once and not after its pause.
    first.peers.take_secrets(secrets(&[3])).await.unwrap();
    until("the other is put out", || first.peers.members() == 0).await;
    says(&second, "its mesh secret is another").await;
    second.peers.take_secrets(secrets(&[3])).await.unwrap();
    until("it is back", || first.peers.members() == 1).await;
}

const UNPROVEN: KeyHash = KeyHash([3; 32]);
const LIST: &str = "example.com/m/@v/list";

/// Puts on the shelf what members alone may have.
fn fill(shelf: &Cupboard) {
    *lock(&shelf.for_members) = Some(ShelvedStatement {
        h1: H1([1; 32]),
        blob: BlobId([2; 32]),
        length: 3,
        by: None,
    });
}

/// How many statements, notes and sayings `host` hears when it asks for them; for the last `named`.
async fn heard_of(host: &Host, named: &PeerName) -> [usize; 3] {
    let haste = Haste::NobodyElse;
    let stated = host
        .peers
        .stated(UNPROVEN, haste, std::slice::from_ref(named));
    let (stated, notes) = (
        stated.await.found.len(),
        host.peers.notes(LIST, haste).await.len(),
    );
    let said = host.peers.said(named, UNPROVEN).await.unwrap();
    [stated, notes, usize::from(said.is_some())]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rests_on_a_members_word_is_asked_of_members() {
    let mut first = member(&[1], &[]).await;
    fill(&first.shelf);
    let second = member(&[1], &first.peers.addresses()).await;
    assert_eq!(first.came().await, second.peers.name());
    until("both are members", || second.peers.members() == 1).await;
    assert_eq!(heard_of(&second, &first.peers.name()).await, [1, 1, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_host_asks_no_neighbour_for_what_rests_on_a_members_word_and_gives_none() {
    let asked = Arc::<AtomicUsize>::default();
    let counting = Arc::clone(&asked);
    let rogue = Rogue::start(after_hello(move |purpose, mut stream| {
        let counting = Arc::clone(&counting);
        async move {
            if purpose != Purpose::Query {
                return;
            }
            let query: Query = decode_payload(&read_frame(&mut stream).await).unwrap();
            if matches!(
                query,
                Query::Stated { .. } | Query::Note { .. } | Query::Said { .. }
            ) {
                counting.fetch_add(1, Ordering::Relaxed);
            }
        }
    }))
    .await;
    let mut host = Host::start(std::slice::from_ref(&rogue.address)).await;
    fill(&host.shelf);
    let name = host.came().await;
    assert_eq!(heard_of(&host, &name).await, [0, 0, 0]);
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    // It has all three, and gives none of them.
    for (question, nothing) in [
        (Query::Stated { file: UNPROVEN.0 }, Answer::Stated(None)),
        (Query::Note { path: LIST.into() }, Answer::Note(None)),
        (Query::Said { key: UNPROVEN.0 }, Answer::Said(None)),
    ] {
        let answer = ask(&rogue, &host, Purpose::Query, &question).await;
        assert_eq!(answer, encode(&nothing).unwrap(), "{question:?}");
    }
}
