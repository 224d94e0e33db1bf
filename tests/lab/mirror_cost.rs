//! What the mirror of the checksum database costs: on disk, and in questions to the upstream, next to what `go` itself needs.
//!
//! The same modules are fetched without go.sum by `go` straight from the upstream, and by `go` through a daemon that has
//! nothing. Larger numbers are a model: records at random places of the tree, and the tiles that the daemon's own rule
//! names for them ([`tiles_needed`]). The model is printed for the measured number too, so that it can be held against it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::fuzz::Dice;
use harness::replay::real_upstream;
use harness::{GoHome, HostOptions, Replay};
use modmesh_protocol::log::{Goals, tiles_needed};
use serde::Serialize;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many modules are fetched, those of go.sum from the first on.
    #[arg(long, default_value_t = 150)]
    modules: usize,
    /// A folder with the go.sum that names them.
    #[arg(long, default_value = "tests/workloads/250-modules")]
    project: PathBuf,
    /// Where the upstream's answers are kept; what is missing is asked of the real upstream of `go env GOPROXY`.
    #[arg(long, default_value = "target/lab-recording-250")]
    recording: PathBuf,
    /// Writes all figures to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

const SUMDB: &str = "sum.golang.org";
/// Time for all downloads of one reader.
const PATIENCE: Duration = Duration::from_secs(600);
/// Numbers of modules for which the model is printed beside the measured one.
const MODELLED: [usize; 2] = [1_000, 10_000];
/// Trees drawn for each number of the model.
const DRAWS: u64 = 5;

/// What one reader of the log needed.
#[derive(Debug, Default, Serialize)]
struct Cost {
    lookups: u64,
    tiles: u64,
    other: u64,
    files: u64,
    bytes: u64,
    /// What the file system gives it: whole blocks.
    blocks_bytes: u64,
}

/// The same as the model sees it, for a number of records.
#[derive(Debug, Serialize)]
struct Modelled {
    records: usize,
    tiles: u64,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct Report {
    modules: usize,
    tree_size: u64,
    heads_adopted: u64,
    /// Tiles on the right edge of that tree: what a larger head needs before it is served, where nothing of it is known.
    right_edge_tiles: usize,
    go: Cost,
    daemon: Cost,
    model: Vec<Modelled>,
}

pub(crate) fn measure(options: &Options) {
    let modules = modules_of(&options.project.join("go.sum"), options.modules);
    assert!(!modules.is_empty(), "a go.sum that names modules");
    let upstream = match real_upstream() {
        Some(real) => Replay::record(&options.recording, &real),
        None => Replay::play(&options.recording),
    };

    let alone = GoHome::new(&upstream.url(), SUMDB).within(PATIENCE);
    download(&alone, &modules);
    let database = alone
        .module_cache()
        .join("cache/download/sumdb")
        .join(SUMDB);
    let go = cost(&upstream, &database);

    let asked = upstream.questions();
    let host = HostOptions::new("A")
        .upstream(&upstream.url())
        .sumdb(SUMDB)
        .start();
    let through = GoHome::new(&host.url(), SUMDB).within(PATIENCE);
    download(&through, &modules);
    let mirror = host.state().join("sumdb").join(SUMDB);
    let mut daemon = cost(&upstream, &mirror);
    daemon.lookups -= asked.lookups;
    daemon.tiles -= asked.tiles;
    daemon.other -= asked.other_of_databases;

    let status = host.status();
    let tree_size = status["sumdb"][0]["tree_size"].as_u64().expect("a tree");
    let record_bytes = bytes_below(&mirror.join("record")).1 / daemon.lookups.max(1);
    let numbers = std::iter::once(modules.len()).chain(MODELLED);
    let report = Report {
        modules: modules.len(),
        tree_size,
        right_edge_tiles: tiles_needed(tree_size, &Goals::default()).map_or(0, |tiles| tiles.len()),
        heads_adopted: bytes_below(&mirror.join("head")).0,
        model: numbers
            .map(|records| model(tree_size, records, record_bytes))
            .collect(),
        go,
        daemon,
    };
    print(&report);
    if let Some(file) = &options.json {
        let json = serde_json::to_vec_pretty(&report).expect("a report");
        fs::write(file, json).expect("the file of the report");
    }
}

/// The first `count` modules of a go.sum whose zips it names, as `go mod download` takes them.
fn modules_of(go_sum: &Path, count: usize) -> Vec<String> {
    let text = fs::read_to_string(go_sum).expect("a go.sum");
    let named = text.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (module, version) = (words.next()?, words.next()?);
        (!version.ends_with("/go.mod")).then(|| format!("{module}@{version}"))
    });
    named.take(count).collect()
}

fn download(go: &GoHome, modules: &[String]) {
    let mut words = vec!["mod", "download"];
    words.extend(modules.iter().map(String::as_str));
    go.run(&words).expect_success();
}

/// What the upstream has been asked so far, and what lies in `folder`.
fn cost(upstream: &Replay, folder: &Path) -> Cost {
    let questions = upstream.questions();
    let (files, bytes, blocks_bytes) = bytes_below(folder);
    Cost {
        lookups: questions.lookups,
        tiles: questions.tiles,
        other: questions.other_of_databases,
        files,
        bytes,
        blocks_bytes,
    }
}

/// Files below a folder, their bytes, and the bytes of the blocks that hold them.
fn bytes_below(folder: &Path) -> (u64, u64, u64) {
    let (mut files, mut bytes, mut blocks) = (0, 0, 0);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let metadata = entry.metadata().expect("a file of the database");
        if metadata.is_dir() {
            let (more_files, more_bytes, more_blocks) = bytes_below(&entry.path());
            files += more_files;
            bytes += more_bytes;
            blocks += more_blocks;
        } else {
            files += 1;
            bytes += metadata.len();
            blocks += metadata.blocks() * 512;
        }
    }
    (files, bytes, blocks)
}

/// Tiles, and bytes with records of this size, for so many records at random places: the mean of some draws.
fn model(tree_size: u64, records: usize, record_bytes: u64) -> Modelled {
    let (mut tiles, mut bytes) = (0, 0);
    for seed in 0..DRAWS {
        let mut dice = Dice::new(seed);
        let goals = Goals {
            records: (0..records).map(|_| dice.bits() % tree_size).collect(),
            heads: Vec::new(),
        };
        let needed = tiles_needed(tree_size, &goals).expect("records of the tree");
        tiles += needed.len() as u64;
        bytes += needed.iter().map(|tile| tile.bytes() as u64).sum::<u64>();
    }
    Modelled {
        records,
        tiles: tiles / DRAWS,
        bytes: bytes / DRAWS + record_bytes * records as u64,
    }
}

fn print(report: &Report) {
    println!(
        "{} modules, a tree of {} records, {} heads adopted on the way, {} tiles on the right edge of each at most",
        report.modules, report.tree_size, report.heads_adopted, report.right_edge_tiles
    );
    println!(
        "{:<20}{:>10}{:>10}{:>10}{:>10}{:>12}{:>14}",
        "", "lookups", "tiles", "other", "files", "bytes", "in blocks"
    );
    for (name, cost) in [("go itself", &report.go), ("the daemon", &report.daemon)] {
        println!(
            "{name:<20}{:>10}{:>10}{:>10}{:>10}{:>12}{:>14}",
            cost.lookups, cost.tiles, cost.other, cost.files, cost.bytes, cost.blocks_bytes
        );
    }
    for model in &report.model {
        println!(
            "model, {:>6} modules{:>10}{:>10}{:>10}{:>10}{:>12}",
            model.records, model.records, model.tiles, "", "", model.bytes
        );
    }
}
