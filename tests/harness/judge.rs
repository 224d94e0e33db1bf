//! Go's own client of the checksum database as a judge: golang.org/x/mod's `sumdb.Client`, over HTTP, from any state in
//! which a client can be (`tests/judge/sumdb`).
//!
//! It needs `go` and golang.org/x/mod, which it gets as `go` is set up to get modules; so it is asked only where
//! `MODMESH_JUDGE` is set.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

/// The program, built.
#[derive(Debug)]
pub struct Judge {
    folder: TempDir,
}

/// A client, or many that begin alike, and what they look up.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SumdbClient {
    /// Where the database is: GOPROXY/sumdb/NAME.
    pub url: String,
    /// The verifier key.
    pub key: String,
    /// The signed tree head that it holds at first; empty for a fresh client.
    pub latest: String,
    /// The folder with its tiles and records; nothing for one that has lost them.
    pub cache: PathBuf,
    /// Whether each lookup is made by a client of its own, which begins in the state above and whose end is forgotten. Else
    /// one client makes all of them, in their order, and keeps what it learns in `cache`.
    pub each: bool,
    /// What is looked up: `path@version`.
    pub lookups: Vec<String>,
}

/// What a client made of one lookup.
#[derive(Debug, Clone, Deserialize)]
pub struct Judgement {
    /// The lines of go.sum that it took from the answer.
    #[serde(deserialize_with = "or_none")]
    pub lines: Vec<String>,
    /// Empty when it was content.
    pub error: String,
    /// The signed tree head that it holds afterwards.
    pub latest: String,
}

impl Judge {
    /// The client as it is; nothing where `MODMESH_JUDGE` is not set.
    ///
    /// # Panics
    /// When it is set and the program cannot be built.
    pub fn asked_for() -> Option<Self> {
        Self::built_with("go.mod")
    }

    /// The client as it was before CVE-2026-56864 and CVE-2026-56865 were mended; nothing where `MODMESH_JUDGE` is not
    /// set.
    ///
    /// # Panics
    /// When it is set and the program cannot be built.
    pub fn vulnerable() -> Option<Self> {
        Self::built_with("vulnerable.mod")
    }

    // The one way of a test to say that it did not run.
    #[allow(clippy::print_stderr)]
    fn built_with(mod_file: &str) -> Option<Self> {
        if std::env::var_os("MODMESH_JUDGE").is_none() {
            eprintln!("not run: MODMESH_JUDGE is not set");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder for the judge");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("judge/sumdb");
        let built = Command::new("go")
            .args(["build", "-buildvcs=false", "-modfile", mod_file, "-o"])
            .arg(folder.path().join("sumdb"))
            .arg(".")
            .current_dir(source)
            .status()
            .expect("the judge needs the go command on the path");
        assert!(built.success(), "the judge cannot be built");
        Some(Self { folder })
    }

    /// What each of the clients makes of its lookups, in their order.
    ///
    /// # Panics
    /// When the program fails.
    pub fn judge(&self, clients: &[SumdbClient]) -> Vec<Vec<Judgement>> {
        let mut program = Command::new(self.folder.path().join("sumdb"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the judge");
        let mut input = program.stdin.take().expect("its input");
        let jobs = clients.to_vec();
        let feeding = std::thread::spawn(move || {
            for job in jobs {
                // When the judge ended early, the judgements that are missing say so.
                let _ = serde_json::to_writer(&mut input, &job);
            }
        });
        let output = program.wait_with_output().expect("the end of the judge");
        feeding.join().expect("the jobs");
        let judgements: Vec<Vec<Judgement>> = serde_json::Deserializer::from_slice(&output.stdout)
            .into_iter()
            .map(|judgement| judgement.expect("a judgement"))
            .collect();
        assert!(output.status.success(), "the judge failed");
        assert_eq!(judgements.len(), clients.len(), "judgements are missing");
        judgements
    }

    /// The lookups with which one of these clients was not content, each with the client's number and what it said.
    pub fn discontent(&self, clients: &[SumdbClient]) -> BTreeMap<(usize, String), String> {
        let mut discontent = BTreeMap::new();
        for (number, (client, judged)) in clients.iter().zip(self.judge(clients)).enumerate() {
            assert_eq!(judged.len(), client.lookups.len());
            for (of, judgement) in client.lookups.iter().zip(judged) {
                if !judgement.error.is_empty() || judgement.lines.len() != 2 {
                    let what = format!("{}: {:?}", judgement.error, judgement.lines);
                    discontent.insert((number, of.clone()), what);
                }
            }
        }
        discontent
    }
}

/// Go writes an empty slice as null.
fn or_none<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}
