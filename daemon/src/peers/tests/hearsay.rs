//! What neighbours say of one that is silent: told on, looked at, and not believed.

use modmesh_protocol::wire::{Announcement, encode};

use super::super::{Command, name_of};
use super::host::{Host, until};
use super::rogue::{Rogue, after_hello};

/// A machine that has halted after its hello.
async fn halted() -> Rogue {
    Rogue::start(after_hello(|_, stream| async move {
        let _held = stream;
        std::future::pending::<()>().await;
    }))
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_finds_a_neighbour_gone_tells_and_the_others_look_for_themselves() {
    let rogue = halted().await;
    let mut a = Host::start(std::slice::from_ref(&rogue.address)).await;
    a.came().await;
    let both = [rogue.address.clone(), a.peers.addresses().remove(0)];
    let mut b = Host::start(&both).await;
    b.came().await;
    b.came().await;
    a.came().await;
    b.peers.shared.suspect(&rogue.id);
    assert_eq!(b.went().await, name_of(&rogue.id));
    assert_eq!(a.went().await, name_of(&rogue.id));
    assert_eq!(a.peers.neighbours(), [b.peers.name()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_there_stays_whatever_is_said_of_it() {
    let rogue = halted().await;
    let mut a = Host::start(std::slice::from_ref(&rogue.address)).await;
    a.came().await;
    let b = Host::start(&a.peers.addresses()).await;
    let c = Host::start(&a.peers.addresses()).await;
    a.came().await;
    a.came().await;
    let peers = [c.peers.name(), name_of(&rogue.id)];
    let peers = peers.iter().map(ToString::to_string).collect();
    let frame = encode(&Announcement::Silent { peers }).unwrap();
    // Twice the same words are heard once; the first ones may go to nobody.
    until("they are heard", || {
        let words = Command::Gossip(frame.clone());
        let _ = b.peers.shared.commands.try_send(words);
        let seen = a.peers.snapshot();
        seen.iter().any(|peer| peer.passed_over.is_some())
    })
    .await;
    assert_eq!(a.went().await, name_of(&rogue.id));
    let left = a.peers.neighbours();
    assert!(left.contains(&b.peers.name()) && left.contains(&c.peers.name()));
}
