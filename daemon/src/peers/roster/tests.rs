//! Who is usable, who is believed, and who is forgotten.

use modmesh_protocol::lease::MemberId;

use super::*;

#[test]
fn a_neighbour_is_usable_between_its_hello_and_its_end_or_lie() {
    let roster = Roster::default();
    let peer = PeerId::random();
    assert_eq!(roster.greeted(&peer, Duration::ZERO), None);
    roster.connected(&peer, "/ip4/127.0.0.1/tcp/1".into(), FoundBy::Mdns);
    assert!(!roster.is_usable(&peer));
    assert_eq!(roster.greeted(&peer, Duration::ZERO), Some(FoundBy::Mdns));
    assert_eq!(roster.greeted(&peer, Duration::ZERO), None);
    assert_eq!(roster.usable(), [name_of(&peer)]);
    assert_eq!(roster.disconnected(&peer, 1), None);
    assert_eq!(roster.disconnected(&peer, 0), Some(Gone::Neighbour));
    assert_eq!(roster.disconnected(&peer, 0), Some(Gone::Nobody));
    assert_eq!(roster.usable_count(), 0);
    roster.connected(&peer, "/ip4/127.0.0.1/tcp/2".into(), FoundBy::Inbound);
    roster.greeted(&peer, Duration::ZERO);
    roster.ban(&peer, "a flipped byte", None);
    assert!(!roster.is_usable(&peer) && roster.is_banned(&peer));
    let status = roster.snapshot().remove(0);
    assert_eq!(status.found_by, FoundBy::Mdns);
    assert_eq!(status.addrs.len(), 2);
    assert!(status.banned_until.is_some() && !status.connected);
    assert_eq!(status.evidence[0].what, "a flipped byte");
}

#[test]
fn the_memory_of_those_who_left_is_bounded_and_liars_are_kept() {
    let roster = Roster::default();
    let (liar, proven) = (PeerId::random(), PeerId::random());
    roster.ban(&liar, "a flipped byte", None);
    roster.proven(&proven);
    for _ in 0..REMEMBERED_PEERS_MAX + 100 {
        roster.failed(&PeerId::random(), "unreachable".into());
    }
    assert_eq!(lock(&roster.0).len(), REMEMBERED_PEERS_MAX);
    assert!(roster.is_banned(&liar) && roster.is_proven(&proven));
}

#[test]
fn who_delivered_comes_first_and_who_broke_its_word_last() {
    let roster = Roster::default();
    let [proven, stranger, liar] = [(); 3].map(|()| PeerId::random());
    roster.proven(&proven);
    roster.failed(&stranger, "a reset".into());
    roster.proven(&liar);
    roster.broke_its_word(&liar);
    let mut names = [&liar, &stranger, &proven].map(name_of);
    names.sort_by_key(|name| roster.rank(name));
    assert_eq!(names, [&proven, &stranger, &liar].map(name_of));
}

#[test]
fn a_silence_ends_with_a_new_connection_but_not_again_and_again() {
    let (roster, peer) = (Roster::default(), PeerId::random());
    let name = name_of(&peer);
    let comes = || {
        roster.disconnected(&peer, 0);
        roster.connected(&peer, "/ip4/127.0.0.1/tcp/1".into(), FoundBy::Mdns);
        roster.greeted(&peer, Duration::ZERO);
    };
    comes();
    roster.was_slow(&name);
    // Another greeting on the same connection.
    roster.greeted(&peer, Duration::ZERO);
    assert!(roster.is_slow(&name));
    comes();
    assert!(!roster.is_slow(&name));
    roster.was_slow(&name);
    comes();
    assert!(roster.is_slow(&name));
}

#[test]
fn an_owner_that_named_one_that_is_gone_is_excused_a_few_times_an_hour() {
    let roster = Roster::default();
    let [owner, holder, stranger] = [(); 3].map(|()| PeerId::random());
    let id = |peer| MemberId::of(&name_of(peer));
    let comes = |peer| {
        roster.connected(peer, "/ip4/127.0.0.1/tcp/1".into(), FoundBy::Mdns);
        roster.greeted(peer, Duration::ZERO);
    };
    let is_asked = || roster.settled().iter().any(|one| one.peer == owner);
    comes(&owner);
    assert!(is_asked());
    // It had gone before the owner was blamed.
    comes(&holder);
    roster.disconnected(&holder, 0);
    roster.waited_in_vain(&owner, id(&holder));
    assert!(is_asked());
    // It is found to be gone afterwards: silent to a probe, or by its connection.
    comes(&holder);
    roster.waited_in_vain(&owner, id(&holder));
    assert!(!is_asked());
    assert!(roster.suspect(&holder));
    roster.is_mute(&holder);
    assert!(is_asked());
    roster.answered_the_probe(&holder);
    roster.waited_in_vain(&owner, id(&holder));
    assert!(!is_asked());
    roster.disconnected(&holder, 0);
    assert!(is_asked());
    // Too often.
    roster.waited_in_vain(&owner, id(&holder));
    assert!(!is_asked());
    // And nobody is excused for one that never was there.
    comes(&holder);
    roster.waited_in_vain(&holder, id(&stranger));
    assert!(roster.settled().is_empty());
}

#[test]
fn a_neighbour_is_of_another_site_by_its_link_or_its_name_and_then_no_owner() {
    let (roster, peer) = (Roster::default(), PeerId::random());
    let site = |name: &str| Some(name.parse::<Site>().unwrap());
    let home = site("berlin");
    let comes = |on_link: bool| {
        roster.disconnected(&peer, 0);
        roster.connected(&peer, "/ip4/10.0.0.1/tcp/1".into(), FoundBy::Static);
        roster.stands(&peer, on_link, home.as_ref());
        roster.greeted(&peer, Duration::ZERO);
    };
    comes(true);
    assert!(!roster.is_across(&peer));
    assert_eq!((roster.settled().len(), roster.across().len()), (1, 0));
    roster.is_of(&peer, site("tokyo"), home.as_ref());
    assert!(roster.is_across(&peer));
    assert_eq!((roster.settled().len(), roster.across().len()), (0, 1));
    assert!(roster.usable_here().is_empty() && roster.usable_count() == 1);
    assert_eq!(
        roster.other_site_of(&peer),
        Some(OtherSite::Named(site("tokyo").unwrap()))
    );
    assert!(roster.received(&peer, 1) && roster.sent(&peer, 1));
    // The next connection is judged anew, and by its link until it says more.
    comes(false);
    assert_eq!(
        roster.other_site_of(&peer),
        Some(OtherSite::Of(name_of(&peer)))
    );
    roster.is_of(&peer, site("berlin"), home.as_ref());
    assert!(!roster.is_across(&peer));
    let status = roster.snapshot().remove(0);
    assert_eq!(
        (status.site.as_deref(), status.across),
        (Some("berlin"), false)
    );
    assert!(!roster.received(&peer, 1));
}
