//! Attacks by generated input, as long as one likes: how fast, how much memory, which answers.

use std::time::Duration;

use harness::fuzz::{Dice, World, attack_http, attack_peer};

use crate::peak::Peak;

#[derive(Debug, clap::Args)]
pub(crate) struct HttpOptions {
    /// How many requests.
    #[arg(long, default_value_t = 1_000_000)]
    requests: u64,
    /// Connections at the same time.
    #[arg(long, default_value_t = 32)]
    connections: u64,
    /// The seed; of the clock without it.
    #[arg(long)]
    seed: Option<u64>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PeerOptions {
    /// How many frames.
    #[arg(long, default_value_t = 1_000_000)]
    frames: u64,
    /// Neighbours at the same time.
    #[arg(long, default_value_t = 4)]
    neighbours: u64,
    /// The seed; of the clock without it.
    #[arg(long)]
    seed: Option<u64>,
}

pub(crate) fn http(options: &HttpOptions) {
    let seed = options.seed.unwrap_or_else(Dice::seed_of_the_clock);
    println!("the seed is {seed}");
    let world = World::new();
    let aftermath = world.aftermath();
    let (peak, cpu) = (Peak::of(&world.host), world.host.cpu_seconds());
    let report = attack_http::attack(&world, options.requests, options.connections, seed);
    aftermath.expect_unharmed(&world);
    let connections = report.connections;
    told(report.requests, "requests", report.wall);
    println!("on {connections} connections, answered with (status: times)");
    for (status, times) in report.statuses {
        println!("    {status}: {times}");
    }
    println!("CPU of the daemon: {:.1} s", world.host.cpu_seconds() - cpu);
    println!("most anonymous memory: {:.1} MB", peak.megabytes());
}

pub(crate) fn peer(options: &PeerOptions) {
    let seed = options.seed.unwrap_or_else(Dice::seed_of_the_clock);
    println!("the seed is {seed}");
    let world = World::new();
    world.fill();
    let aftermath = world.aftermath();
    let (peak, cpu) = (Peak::of(&world.host), world.host.cpu_seconds());
    let report = attack_peer::attack(&world, options.frames, options.neighbours, seed);
    aftermath.expect_unharmed(&world);
    told(report.frames, "frames", report.wall);
    println!("{report:#?}");
    println!("CPU of the daemon: {:.1} s", world.host.cpu_seconds() - cpu);
    println!("most anonymous memory: {:.1} MB", peak.megabytes());
}

fn told(count: u64, what: &str, wall: Duration) {
    let seconds = wall.as_secs_f64();
    println!(
        "{count} {what} in {seconds:.1} s: {:.0} a second",
        count as f64 / seconds
    );
}
