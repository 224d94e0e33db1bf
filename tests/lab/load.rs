//! Load: many large cold zips at once, and the memory that the daemon takes for them.

use std::thread;
use std::time::Instant;

use harness::{FakeUpstream, HostOptions, Module};

use crate::peak::Peak;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Zips at a time.
    #[arg(long, default_value_t = 64)]
    zips: usize,
    /// Megabytes of each.
    #[arg(long, default_value_t = 50)]
    megabytes: usize,
}

pub(crate) fn measure(options: &Options) {
    let module = |number: usize| {
        Module::package(&format!("example.com/large{number}"), "v1.0.0")
            .bulk("noise.bin", options.megabytes * 1_000_000)
    };
    let upstream = FakeUpstream::start((0..options.zips).map(module));
    let host = HostOptions::new("A")
        .upstream(&upstream.url())
        .sumdb(&upstream.sumdb())
        .start();
    let (cpu, peak, started) = (host.cpu_seconds(), Peak::of(&host), Instant::now());
    let downloads: Vec<_> = (0..options.zips)
        .map(|number| {
            let path = format!("example.com/large{number}/@v/v1.0.0.zip");
            let request = host.request(&path);
            thread::spawn(move || request.send().expect("an answer").expect_body().len())
        })
        .collect();
    let bytes: usize = downloads
        .into_iter()
        .map(|download| download.join().expect("a download"))
        .sum();
    println!(
        "{} zips of {} MB at once: {:.1} s, {:.0} MB in all, {:.2} CPU seconds, most anonymous memory {:.1} MB",
        options.zips,
        options.megabytes,
        started.elapsed().as_secs_f64(),
        bytes as f64 / 1e6,
        host.cpu_seconds() - cpu,
        peak.megabytes()
    );
}
