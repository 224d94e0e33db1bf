//! Warm: a new client on a host that has everything, against the same client that takes everything from files.
//!
//! The files are the download cache of another client, with the checksum database's answers that it asked for: a complete
//! file:// GOPROXY, and the fastest thing that `go` knows.

use std::fs;
use std::path::Path;

use harness::{GoHome, HostOptions, Project, Replay, TestHost};

use crate::Common;
use crate::nginx::Nginx;
use crate::pairs::{self, Run};
use crate::peak::Peak;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,
    /// Hold it against an nginx that serves the same files, instead of against the files themselves.
    #[arg(long)]
    nginx: bool,
    /// Start the daemon anew with `--offline` once it has everything.
    #[arg(long)]
    offline: bool,
}

pub(crate) fn measure(options: &Options) {
    let Options {
        common,
        nginx,
        offline,
    } = options;
    let project = common.project();
    let replay = Replay::play(project.recording());
    let mut host = HostOptions::new("A")
        .upstream(&replay.url())
        .sumdb(project.sumdb())
        .start();
    let files = fill(&project, &host);
    if *offline {
        host.stop();
        host.restart_with(|options| options.argument("--offline"));
    }
    let asked = replay.requests();
    let download = |proxy: &str| {
        let go = project.home(proxy);
        let copy = project.copy_into(&go, !common.without_sums);
        let output = go.run_in(&copy, &["mod", "download"]).expect_success();
        output.wall.as_secs_f64()
    };
    let nginx = nginx.then(|| Nginx::serving(&files.cache()).expect("an nginx on PATH"));
    let (reference, proxy) = match &nginx {
        Some(nginx) => ("nginx", nginx.url()),
        None => ("file://", format!("file://{}", files.cache().display())),
    };
    let from_files = || {
        let cpu = nginx.as_ref().map(Nginx::cpu_seconds);
        let wall_seconds = download(&proxy);
        let more = match (&nginx, cpu) {
            (Some(nginx), Some(cpu)) => vec![("CPU of it", "s", nginx.cpu_seconds() - cpu)],
            _ => Vec::new(),
        };
        Run { wall_seconds, more }
    };
    let from_the_daemon = || {
        let cpu = host.cpu_seconds();
        let peak = Peak::of(&host);
        let wall_seconds = download(&host.url());
        Run {
            wall_seconds,
            more: vec![
                ("CPU of the daemon", "s", host.cpu_seconds() - cpu),
                ("most memory of the daemon", "MB", peak.megabytes()),
            ],
        }
    };
    pairs::measure(
        common,
        "warm",
        (reference, from_files),
        ("modmesh", from_the_daemon),
    );
    let more = replay.requests() - asked;
    println!("questions to upstream after the store was full: {more}");
}

/// A client's home whose cache is a GOPROXY.
struct Files(GoHome);

impl Files {
    fn cache(&self) -> std::path::PathBuf {
        self.0.module_cache().join("cache/download")
    }
}

/// Has the host and one client fetch everything, once with and once without go.sum.
fn fill(project: &Project, host: &TestHost) -> Files {
    let go = project.home(&host.url());
    for with_sums in [false, true] {
        let copy = project.copy_into(&go, with_sums);
        go.run_in(&copy, &["mod", "download"]).expect_success();
    }
    let files = Files(go);
    let name = project.sumdb().split('+').next().unwrap_or_default();
    let database = files.cache().join("sumdb").join(name);
    // The empty file by which a proxy says that it answers for the database.
    fs::create_dir_all(&database).expect("the database's folder");
    write_empty(&database.join("supported"));
    files
}

fn write_empty(file: &Path) {
    fs::write(file, "").expect("an empty file");
}
