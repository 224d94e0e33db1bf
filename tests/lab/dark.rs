//! An upstream whose packets are dropped: a download of everything that the store has, against the same while upstream is
//! there.

use std::net::SocketAddr;
use std::time::Instant;

use harness::lab::{Forbidden, Lab};
use harness::{HostOptions, Replay};

use crate::Common;
use crate::pairs::{self, Run};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,
}

pub(crate) fn measure(options: &Options) -> Result<(), Forbidden> {
    let common = &options.common;
    let project = common.project();
    let lab = Lab::with_upstream(1, &[0])?;
    let listen = SocketAddr::from((lab.upstream().address(), 80));
    let upstream = Replay::play_in(project.recording(), lab.upstream().place(), listen);
    let host = HostOptions::new("A")
        .in_place(lab.host(0).place())
        .sumdb(project.sumdb())
        .upstream(&upstream.url())
        .start();
    let timed = || {
        let go = project.home(&host.url()).in_place(host.place());
        let copy = project.copy_into(&go, !common.without_sums);
        let output = go.run_in(&copy, &["mod", "download"]).expect_success();
        output.wall.as_secs_f64()
    };
    timed();
    lab.cut(lab.upstream());
    // Nobody has it, so that this one waits for upstream; and a list that was seen is served as it was.
    let started = Instant::now();
    let status = host.get("example.com/absent/@v/v1.0.0.mod").status;
    println!(
        "first question after the line was cut, which the store cannot answer: {status} after {:.2?}",
        started.elapsed()
    );
    lab.mend(lab.upstream());
    host.wait_until("upstream is back", |host| {
        host.status()["upstream"][0]["state"] == "up"
    });
    let (healthy, dark) = (
        || Run {
            wall_seconds: timed(),
            more: Vec::new(),
        },
        || {
            lab.cut(lab.upstream());
            let wall_seconds = timed();
            lab.mend(lab.upstream());
            Run {
                wall_seconds,
                more: Vec::new(),
            }
        },
    );
    pairs::measure(
        common,
        "upstream gone dark",
        ("upstream there", healthy),
        ("upstream dark", dark),
    );
    Ok(())
}
