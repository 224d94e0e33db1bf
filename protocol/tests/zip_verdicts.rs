//! Our verdict on a hundred thousand mutated zips against that of golang.org/x/mod.
//!
//! Plain `cargo test` compares with recorded verdicts and needs no Go. With `MODMESH_JUDGE=1` the judge itself (tests/judge,
//! built with the `go` on the path) is asked about every mutant, and a missing `go` or x/mod is a failure; with
//! `MODMESH_JUDGE=record` its verdicts are recorded anew. The recording holds one bit per mutant and, for those accepted,
//! 64 bits of a hash over h1 and unpacked contents. `MODMESH_JUDGE_FROM=N` together with `MODMESH_JUDGE=1` judges the
//! hundred thousand mutants from number N on.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    unreachable_pub
)]

mod mutants;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use modmesh_protocol::digest::{Hasher, hex};
use modmesh_protocol::module::ModuleVersion;
use modmesh_protocol::zip::{Grammar, check, list};
use mutants::{COUNT, Nursery};

/// What somebody makes of one mutant: nothing when refused, else what [`digest`] gives.
type Answer = Option<u64>;

/// Our answers, with the SHA-256 of every mutant's bytes and whether it is canonical.
struct Ours {
    answer: Answer,
    canonical: bool,
    bytes: [u8; 32],
}

/// 64 bits over the h1 and the hash of the unpacked files.
fn digest(h1: &[u8], contents: &[u8]) -> u64 {
    let sum = Hasher::digest(&[h1, contents].concat());
    u64::from_le_bytes(sum[..8].try_into().unwrap())
}

fn judge_one(nursery: &Nursery, number: usize) -> Ours {
    let mutant = nursery.mutant(number);
    let of = ModuleVersion::parse(&mutant.of).unwrap();
    let upstream = list(&mutant.bytes, &of, Grammar::Upstream, 1).ok();
    let canonical = check(&mutant.bytes, &of, Grammar::Canonical, 1).ok();
    assert_eq!(
        upstream
            .as_ref()
            .map(|listing| &listing.verdict)
            .filter(|verdict| verdict.canonical),
        canonical.as_ref(),
        "mutant {number}: the canonical grammar is exactly what the upstream grammar calls canonical"
    );
    let answer = upstream.map(|listing| {
        let mut lines: Vec<_> = listing
            .entries
            .iter()
            .filter(|(name, _)| !name.ends_with('/'))
            .map(|(name, sum)| (&name[mutant.of.len() + 1..], sum))
            .collect();
        lines.sort_unstable();
        let text: String = lines
            .iter()
            .map(|(name, sum)| format!("{}  {name}\n", hex(*sum)))
            .collect();
        digest(&listing.verdict.h1.0, &Hasher::digest(text.as_bytes()))
    });
    Ours {
        answer,
        canonical: canonical.is_some(),
        bytes: Hasher::digest(&mutant.bytes),
    }
}

/// The number of the first mutant to judge.
fn first() -> usize {
    let from = std::env::var("MODMESH_JUDGE_FROM").ok();
    from.map_or(0, |from| {
        from.parse().expect("MODMESH_JUDGE_FROM is a number")
    })
}

/// Our answers to all mutants, worked out on all cores.
fn judge_all(nursery: &Nursery) -> Vec<Ours> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let mut all: Vec<(usize, Ours)> = thread::scope(|scope| {
        let work = || {
            let mut part = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= COUNT {
                    return part;
                }
                part.push((number, judge_one(nursery, first() + number)));
            }
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    all.sort_unstable_by_key(|(number, _)| *number);
    all.into_iter().map(|(_, ours)| ours).collect()
}

fn fingerprint(ours: &[Ours]) -> [u8; 32] {
    let mut all = Hasher::new();
    ours.iter().for_each(|ours| all.update(&ours.bytes));
    all.finish()
}

fn recording() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/zip_verdicts.z")
}

fn record(answers: &[Answer], fingerprint: &[u8; 32]) {
    let mut bits = vec![0u8; answers.len().div_ceil(8)];
    let mut sums = Vec::new();
    for (number, answer) in answers.iter().enumerate() {
        if let Some(sum) = answer {
            bits[number / 8] |= 1 << (number % 8);
            sums.extend(sum.to_le_bytes());
        }
    }
    let mut out = ZlibEncoder::new(Vec::new(), Compression::best());
    for part in [&fingerprint[..], &bits, &sums] {
        out.write_all(part).unwrap();
    }
    std::fs::create_dir_all(recording().parent().unwrap()).unwrap();
    std::fs::write(recording(), out.finish().unwrap()).unwrap();
}

fn recorded() -> ([u8; 32], Vec<Answer>) {
    let packed = std::fs::read(recording()).unwrap();
    let mut bytes = Vec::new();
    ZlibDecoder::new(&packed[..])
        .read_to_end(&mut bytes)
        .unwrap();
    let (fingerprint, rest) = bytes.split_at(32);
    let (bits, sums) = rest.split_at(COUNT.div_ceil(8));
    let mut sums = sums
        .chunks_exact(8)
        .map(|sum| u64::from_le_bytes(sum.try_into().unwrap()));
    let answers = (0..COUNT)
        .map(|number| (bits[number / 8] >> (number % 8) & 1 == 1).then(|| sums.next().unwrap()))
        .collect();
    assert_eq!(sums.next(), None);
    (fingerprint.try_into().unwrap(), answers)
}

/// Asks Go's own code about every mutant.
fn ask_go(nursery: &Nursery) -> Vec<Answer> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/judge");
    let mut judge = Command::new("go")
        .args(["run", "."])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the judge needs the go command on the path");
    let mut input = judge.stdin.take().unwrap();
    let mut output = judge.stdout.take().unwrap();
    let mut answers = Vec::new();
    thread::scope(|scope| {
        scope.spawn(move || {
            for number in 0..COUNT {
                let mutant = nursery.mutant(first() + number);
                for field in [mutant.of.as_bytes(), &mutant.bytes] {
                    // When the judge ended early, the answers that are missing say so.
                    let _ = input.write_all(&(field.len() as u32).to_le_bytes());
                    let _ = input.write_all(field);
                }
            }
        });
        let mut answer = [0; 65];
        while output.read_exact(&mut answer).is_ok() {
            answers.push((answer[0] == 1).then(|| digest(&answer[1..33], &answer[33..])));
        }
    });
    assert!(
        judge.wait().unwrap().success(),
        "the judge failed; it needs go and golang.org/x/mod"
    );
    assert_eq!(answers.len(), COUNT, "the judge answered for every mutant");
    answers
}

#[test]
fn our_verdict_on_every_mutant_is_that_of_go() {
    let nursery = Nursery::new();
    let ours = judge_all(&nursery);
    let fingerprint = fingerprint(&ours);
    let theirs = match std::env::var("MODMESH_JUDGE").as_deref() {
        Ok("1") => ask_go(&nursery),
        Ok("record") => {
            let answers = ask_go(&nursery);
            record(&answers, &fingerprint);
            answers
        }
        _ => {
            let (of, answers) = recorded();
            assert_eq!(
                of, fingerprint,
                "the recording is of other mutants: MODMESH_JUDGE=record"
            );
            answers
        }
    };
    let wrong: Vec<_> = (0..COUNT)
        .filter(|at| ours[*at].answer != theirs[*at])
        .collect();
    let accepted = theirs.iter().flatten().count();
    let canonical = ours.iter().filter(|ours| ours.canonical).count();
    println!(
        "{COUNT} mutants: Go accepts {accepted}, {canonical} of them are canonical ({:.1} %); we differ in {}",
        canonical as f64 * 100.0 / accepted as f64,
        wrong.len()
    );
    for number in wrong.iter().take(20) {
        let mutant = nursery.mutant(first() + *number);
        let of = ModuleVersion::parse(&mutant.of).unwrap();
        println!(
            "mutant {number}: ours {:?}, Go's {:?}; {:?}",
            ours[*number].answer,
            theirs[*number],
            check(&mutant.bytes, &of, Grammar::Upstream, 1)
        );
    }
    assert!(
        wrong.is_empty(),
        "we differ from Go in {} mutants",
        wrong.len()
    );
    assert!(
        ours.iter()
            .zip(&theirs)
            .all(|(ours, theirs)| !ours.canonical || theirs.is_some()),
        "nothing canonical is refused by Go"
    );
    assert!(
        accepted > COUNT / 5,
        "the mutants are no test when Go refuses nearly all of them"
    );
}
