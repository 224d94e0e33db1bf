//! Roads, walked in no time.

use super::hints::{REMEMBERED_WAIT, SPREAD, STRANGERS_MAX};
use super::*;
use modmesh_protocol::limits::CALLED_NEIGHBOURS_MAX;

fn room() -> Capacity {
    Capacity::new(NEIGHBOURS_MAX)
}

fn address(port: u16) -> Multiaddr {
    format!("/ip4/10.0.0.1/tcp/{port}").parse().unwrap()
}

fn two_names() -> (PeerId, PeerId) {
    let (a, b) = (PeerId::random(), PeerId::random());
    if a < b { (a, b) } else { (b, a) }
}

fn walk(roads: &mut Roads, now: Instant, id: usize) -> Option<ConnectionId> {
    let call = roads.due(now, 0, |_| false).pop()?;
    let id = ConnectionId::new_unchecked(id);
    roads.calling(&call, id);
    Some(id)
}

#[test]
fn a_given_peer_is_called_for_ever_with_growing_pauses() {
    let (ours, _) = two_names();
    let mut now = Instant::now();
    let mut roads = Roads::new(ours, [Given::At(address(1), None)], room(), now);
    let mut pauses = Vec::new();
    for attempt in 0..20 {
        let id = walk(&mut roads, now, attempt).unwrap();
        assert_eq!(roads.next_due(), None);
        assert!(roads.failed(id, "refused".into(), now));
        let due = roads.next_due().unwrap();
        assert!(
            roads
                .due(due - Duration::from_millis(1), 0, |_| false)
                .is_empty()
        );
        pauses.push((due - now).as_millis());
        now = due;
    }
    assert_eq!(pauses[..7], [500, 1000, 2000, 4000, 8000, 16000, 30000]);
    assert_eq!(pauses[19], 30000);
}

#[test]
fn pauses_begin_anew_only_after_a_good_connection() {
    let (ours, peer) = two_names();
    let now = Instant::now();
    let mut roads = Roads::new(ours, [Given::At(address(1), None)], room(), now);
    let id = walk(&mut roads, now, 1).unwrap();
    assert_eq!(roads.arrived(id, peer), Some(FoundBy::Static));
    assert_eq!(roads.found_by(&peer), Some(FoundBy::Static));
    assert_eq!(roads.next_due(), None);
    for (was_good, pause) in [(false, 500), (false, 1000), (true, 500), (false, 1000)] {
        roads.lost(&peer, was_good, now);
        assert_eq!(roads.next_due(), Some(now + Duration::from_millis(pause)));
    }
}

#[test]
fn the_smaller_name_calls_first() {
    let (small, large) = two_names();
    let now = Instant::now();
    let mut roads = Roads::new(small, [], room(), now);
    roads.discovered(large, address(1), now);
    roads.discovered(small, address(1), now);
    assert_eq!(roads.due(now + SPREAD, 0, |_| false).len(), 1);
    // Unless it has hardly a neighbour.
    let mut roads = Roads::new(large, [], room(), now);
    roads.discovered(small, address(1), now);
    assert_eq!(roads.due(now + SPREAD, 2, |_| false).len(), 1);
    let mut roads = Roads::new(large, [], room(), now);
    roads.due(now, 3, |_| false);
    roads.discovered(small, address(1), now);
    assert!(roads.due(now + COURTESY / 2, 0, |_| false).is_empty());
    let later = now + COURTESY + SPREAD;
    assert_eq!(roads.due(later, 0, |_| false).len(), 1);
    assert!(roads.due(later, 0, |_| true).is_empty());
    assert_eq!(roads.next_due(), None);
}

#[test]
fn those_that_hear_one_host_call_it_at_different_moments() {
    let now = Instant::now();
    let heard = PeerId::random();
    let waits =
        (0..100).map(|_| Roads::new(PeerId::random(), [], room(), now).wait_before_calling(&heard));
    let mut waits: Vec<Duration> = waits.collect();
    waits.sort_unstable();
    assert!(waits[99] - waits[0] > SPREAD / 2, "{waits:?}");
    let most = waits.windows(20).map(|some| some[19] - some[0]).min();
    assert!(most > Some(SPREAD / 20), "{waits:?}");
}

#[test]
fn what_is_heard_is_bounded() {
    let (ours, peer) = two_names();
    let now = Instant::now();
    let mut roads = Roads::new(ours, [], room(), now);
    for port in 1..100 {
        roads.discovered(peer, address(port), now);
    }
    let call = roads.due(now + SPREAD, 0, |_| false).pop().unwrap();
    assert_eq!(call.addresses.len(), ADDRESSES_PER_PEER_MAX);
    assert_eq!(call.addresses[0], address(99));
    for _ in 0..2 * DISCOVERED_PEERS_MAX {
        roads.discovered(PeerId::random(), address(1), now);
    }
    assert_eq!(roads.roads.len(), DISCOVERED_PEERS_MAX);
    let later = now + COURTESY + SPREAD;
    assert_eq!(roads.due(later, 0, |_| false).len(), CALLS_MAX);
}

#[test]
fn a_host_that_is_heard_again_is_called_soon_and_not_at_each_packet() {
    let (ours, peer) = two_names();
    let mut now = Instant::now();
    let mut roads = Roads::new(ours, [], room(), now);
    roads.discovered(peer, address(1), now);
    for attempt in 0..12 {
        now = roads.next_due().unwrap();
        let id = walk(&mut roads, now, attempt).unwrap();
        roads.failed(id, "refused".into(), now);
    }
    assert_eq!(roads.next_due(), Some(now + DISCOVERED_PAUSE_MAX));
    for _ in 0..10 {
        roads.discovered(peer, address(1), now);
    }
    assert_eq!(roads.next_due(), Some(now + PAUSE_MIN));
    // Not while it is being called, or connected.
    walk(&mut roads, now + PAUSE_MIN, 20).unwrap();
    roads.discovered(peer, address(1), now);
    assert_eq!(roads.next_due(), None);
}

#[test]
fn a_host_with_many_neighbours_calls_only_those_it_was_told_to() {
    let (ours, peer) = two_names();
    let now = Instant::now();
    let mut roads = Roads::new(ours, [Given::At(address(1), None)], room(), now);
    roads.discovered(peer, address(2), now);
    let later = now + SPREAD;
    let calls = roads.due(later, CALLED_NEIGHBOURS_MAX, |_| false);
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].peer, None);
    roads.calling(&calls[0], ConnectionId::new_unchecked(1));
    assert_eq!(roads.next_due(), Some(later + FULL_PAUSE));
}

#[test]
fn a_road_home_is_not_walked_again() {
    let (ours, _) = two_names();
    let now = Instant::now();
    let mut roads = Roads::new(ours, [Given::At(address(1), None)], room(), now);
    let id = walk(&mut roads, now, 1).unwrap();
    roads.led_home(id);
    assert_eq!(roads.next_due(), None);
}

#[test]
fn a_name_has_a_road_for_each_address_that_it_has_now() {
    let (ours, _) = two_names();
    let now = Instant::now();
    let Ok(seed) = super::super::named::parse("/dns4/seeds.example/tcp/8485") else {
        panic!("a name");
    };
    let mut roads = Roads::new(ours, [seed], room(), now);
    assert_eq!(roads.seeds().count(), 1);
    assert_eq!(roads.next_due(), None);
    let ip = |last| IpAddr::from([203, 0, 113, last]);
    let called = |roads: &Roads| -> Vec<String> {
        let addresses = roads.roads.iter().flat_map(|r| &r.addresses);
        addresses.map(ToString::to_string).collect()
    };
    roads.looked_up(0, Err("no such name".into()), now);
    assert_eq!(roads.unreached()[0].address, "/dns4/seeds.example/tcp/8485");
    roads.looked_up(0, Ok(vec![ip(1), ip(2)]), now);
    assert!(roads.unreached().is_empty());
    assert_eq!(roads.due(now, 0, |_| false).len(), 2);
    roads.looked_up(0, Ok(vec![ip(2), ip(3)]), now);
    let two_and_three = ["/ip4/203.0.113.2/tcp/8485", "/ip4/203.0.113.3/tcp/8485"];
    assert_eq!(called(&roads), two_and_three);
    // A name that cannot be looked up for a while does not lose its hosts.
    roads.looked_up(0, Err("no answer".into()), now);
    assert_eq!(called(&roads), two_and_three);
    roads.looked_up(7, Ok(vec![ip(9)]), now);
    assert_eq!(called(&roads).len(), 2);
}

#[test]
fn a_neighbour_of_an_earlier_run_is_called_six_times() {
    let (ours, peer) = two_names();
    let start = Instant::now();
    let mut roads = Roads::new(ours, [], room(), start);
    roads.remembered(peer, vec![address(1), address(2)], start);
    roads.remembered(ours, vec![address(3)], start);
    let mut now = roads.next_due().unwrap();
    assert!(now >= start + REMEMBERED_WAIT);
    for attempt in 0..6 {
        now = roads.next_due().unwrap();
        let id = walk(&mut roads, now, attempt).unwrap();
        roads.failed(id, "no route".into(), now);
    }
    assert_eq!(roads.next_due(), None);
    // Who is heard as well is no memory.
    roads.remembered(peer, vec![address(1)], now);
    roads.discovered(peer, address(1), now);
    assert_eq!(roads.found_by(&peer), Some(FoundBy::Mdns));
    assert_eq!(roads.leading_to(|_| true), [(peer, vec![address(1)])]);
}

#[test]
fn what_a_neighbour_tells_of_is_tried_and_a_liar_is_not_heard_for_long() {
    let (ours, liar) = two_names();
    let mut now = Instant::now();
    let mut roads = Roads::new(ours, [], room(), now);
    let (heard, told) = (PeerId::random(), PeerId::random());
    roads.discovered(heard, address(1), now);
    roads.named(heard, liar, address(666), now);
    roads.named(ours, liar, address(666), now);
    assert_eq!(
        roads.addresses_of(&heard).collect::<Vec<_>>(),
        [&address(1)]
    );
    assert_eq!(roads.roads.len(), 1);
    roads.roads.clear();
    // Who is there is a neighbour like others, and no stranger.
    roads.named(told, liar, address(2), now);
    now = roads.next_due().unwrap();
    let id = walk(&mut roads, now, 1).unwrap();
    assert_eq!(roads.arrived(id, told), Some(FoundBy::Neighbour));
    for _ in 0..NEIGHBOURS_MAX + 50 {
        roads.named(PeerId::random(), liar, address(3), now);
    }
    assert_eq!(roads.roads.len(), NEIGHBOURS_MAX + 1);
    let mut calls = 0;
    while let Some(due) = roads.next_due() {
        now = due.max(now);
        let id = walk(&mut roads, now, 10 + calls).unwrap();
        roads.failed(id, "refused".into(), now);
        calls += 1;
    }
    assert!(
        calls <= 2 * NEIGHBOURS_MAX + 3 * usize::from(STRANGERS_MAX),
        "{calls}"
    );
    roads.named(PeerId::random(), liar, address(3), now);
    assert_eq!(roads.next_due(), None);
    roads.named(PeerId::random(), told, address(3), now);
    assert!(roads.next_due().is_some());
}
