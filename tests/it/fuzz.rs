//! Generated requests and frames, some thousands of each with a seed of the clock; `lab fuzz-http` and `lab fuzz-peer` send as
//! many as one likes, with any seed.

use harness::fuzz::{Dice, World, attack_http, attack_peer};

#[path = "../lab/peak.rs"]
mod peak;

use peak::Peak;

/// The bound that the figures of the documents are held against.
const PEAK_MEGABYTES_MAX: f64 = 128.0;

// The seed is what makes a finding one that can be had again.
#[allow(clippy::print_stderr)]
fn seed() -> u64 {
    let seed = std::env::var("MODMESH_SEED").ok();
    let seed = seed.and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(Dice::seed_of_the_clock);
    eprintln!("the seed is {seed}; MODMESH_SEED={seed} has it again");
    seed
}

#[test]
fn twenty_thousand_generated_requests_harm_nothing() {
    let world = World::new();
    let aftermath = world.aftermath();
    let peak = Peak::of(&world.host);
    let report = attack_http::attack(&world, 20_000, 16, seed());
    assert_eq!(report.requests, 20_000);
    for status in [200, 206, 400, 403, 404, 405, 421] {
        assert!(report.statuses.contains_key(&status), "{report:?}");
    }
    aftermath.expect_unharmed(&world);
    let megabytes = peak.megabytes();
    assert!(megabytes < PEAK_MEGABYTES_MAX, "{megabytes} MB");
}

#[test]
fn twenty_thousand_generated_frames_harm_nothing() {
    let world = World::new();
    world.fill();
    let aftermath = world.aftermath();
    let peak = Peak::of(&world.host);
    let report = attack_peer::attack(&world, 20_000, 3, seed());
    assert!(report.answered > 1000, "{report:?}");
    assert!(report.refused > 1000, "{report:?}");
    assert!(report.gossip > 0 && report.bare > 0, "{report:?}");
    aftermath.expect_unharmed(&world);
    let megabytes = peak.megabytes();
    assert!(megabytes < PEAK_MEGABYTES_MAX, "{megabytes} MB");
}
