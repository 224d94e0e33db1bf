//! The suite itself: cmd/go's test program, compiled with one line changed, and its test proxy as the origin.
//!
//! The line says which GOPROXY the scripts begin with; `go` reads it through an overlay, the distribution stays as it is.
//! The environment is empty but for what is set here.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use harness::process::{self, Output};
use tempfile::TempDir;

/// The release whose scripts `docs/conformance.md` speaks of.
const RELEASE: &str = "go1.27.3";
/// Which scripts; the others do not deal with modules.
const SCRIPTS: &str = "^(mod|gotoolchain|install|work|get|list)_";
/// The line of proxy_test.go that says where the scripts find their proxy.
const ANCHOR: &str = "\t\tproxyURL = \"http://\" + *proxyAddr + \"/mod\"\n";
/// What comes after it.
const CHANGE: &str = "\t\tif through := os.Getenv(\"MODMESH_SCRIPTS_GOPROXY\"); through != \"\" {\n\t\t\tproxyURL = through\n\t\t}\n";
/// What stands before the key of the suite's checksum database.
const KEY_ANCHOR: &str = "testSumDBVerifierKey = \"";
/// What the origin says once it listens.
const ORIGIN_ANCHOR: &str = "go test proxy running at GOPROXY=";

/// Time to compile the suite on a slow machine.
const COMPILE_MAX: Duration = Duration::from_secs(900);
/// Time of one pass on a slow machine.
const PASS_MAX: Duration = Duration::from_secs(1200);

/// The compiled suite.
#[derive(Debug)]
pub(crate) struct Suite {
    root: PathBuf,
    program: PathBuf,
    build_cache: PathBuf,
    home: TempDir,
    key: String,
}

/// cmd/go's test proxy with its checksum database; gone when dropped.
#[derive(Debug)]
pub(crate) struct Origin {
    child: Child,
    url: String,
}

impl Suite {
    /// Compiles it with the distribution's own `go`.
    ///
    /// # Panics
    /// When the distribution is another release, the lines to change are not as expected, or it does not compile.
    pub(crate) fn build(go: &Path, work: &Path) -> Self {
        let root = go.canonicalize().unwrap_or_else(|error| {
            panic!("{} is no Go distribution: {error}", go.display());
        });
        let version = read(&root.join("VERSION"));
        assert!(
            version.lines().next() == Some(RELEASE),
            "{} holds {version:?}, and the lists are about {RELEASE}",
            root.display()
        );
        fs::create_dir_all(work).expect("a folder for the compiled suite");
        let work = work.canonicalize().expect("that folder");
        let original = root.join("src/cmd/go/proxy_test.go");
        let source = read(&original);
        let changed = work.join("proxy_test.go");
        fs::write(&changed, change(&source)).expect("the changed file");
        let overlay = work.join("overlay.json");
        let replace = serde_json::json!({ "Replace": { original.to_str().unwrap(): changed } });
        fs::write(&overlay, replace.to_string()).expect("the overlay");
        let suite = Self {
            program: work.join("cmdgo.test"),
            build_cache: work.join("build"),
            home: tempfile::tempdir().expect("a home for go"),
            key: key(&source),
            root,
        };
        let mut compile = suite.command(&suite.root.join("bin/go"));
        compile.args(["test", "-c", "-overlay"]).arg(overlay);
        compile.arg("-o").arg(&suite.program).arg(".");
        process::run(&mut compile, COMPILE_MAX).expect_success();
        suite
    }

    /// The verifier key of the origin's checksum database.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Starts the origin.
    ///
    /// # Panics
    /// When it does not say where it listens.
    pub(crate) fn origin(&self) -> Origin {
        let mut command = self.command(&self.program);
        command.arg("-proxy=127.0.0.1:0").stderr(Stdio::piped());
        let mut child = command.spawn().expect("the origin");
        let mut said = BufReader::new(child.stderr.take().expect("its standard error"));
        let mut line = String::new();
        while !line.contains(ORIGIN_ANCHOR) {
            line.clear();
            let read = said.read_line(&mut line).expect("what the origin says");
            assert!(read > 0, "the origin ends without saying where it listens");
        }
        // What it goes on to say is about modules that scripts ask for in vain.
        thread::spawn(move || said.read_to_end(&mut Vec::new()));
        let (_, url) = line.split_once(ORIGIN_ANCHOR).unwrap();
        let url = url.trim().to_owned();
        Origin { child, url }
    }

    /// Runs the scripts against a GOPROXY; what the suite says on standard output.
    ///
    /// # Panics
    /// When the suite does not come to its end.
    pub(crate) fn run(&self, proxy: &str, parallel: usize, only: Option<&str>) -> Output {
        let mut command = self.command(&self.program);
        command.arg(format!("-test.run=TestScript/{}", only.unwrap_or(SCRIPTS)));
        command.arg(format!("-test.parallel={parallel}"));
        command.args(["-test.v", "-test.timeout=19m"]);
        command.env("MODMESH_SCRIPTS_GOPROXY", proxy);
        let output = process::run(&mut command, PASS_MAX);
        let ended = output.stdout.lines().last();
        let whole = matches!(ended, Some("PASS" | "FAIL"));
        assert!(
            whole && !output.timed_out,
            "the suite was broken off: {output}"
        );
        output
    }

    fn command(&self, program: &Path) -> Command {
        let tools = self.root.join("bin");
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new(program);
        command
            .current_dir(self.root.join("src/cmd/go"))
            .env_clear();
        command
            .env("PATH", format!("{}:{path}", tools.display()))
            .env("HOME", self.home.path())
            .env("GOROOT", &self.root)
            .env("GOCACHE", &self.build_cache)
            .env("GOENV", "off")
            .env("GOTOOLCHAIN", "local");
        if let Some(folder) = std::env::var_os("TMPDIR") {
            command.env("TMPDIR", folder);
        }
        command
    }
}

impl Origin {
    /// Its GOPROXY.
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// `IP:PORT`
    pub(crate) fn address(&self) -> &str {
        let rest = self.url.strip_prefix("http://").unwrap();
        rest.split('/').next().unwrap()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn change(source: &str) -> String {
    assert!(
        source.matches(ANCHOR).count() == 1,
        "proxy_test.go does not have the line {ANCHOR:?} once: the overlay must be made anew"
    );
    source.replace(ANCHOR, &format!("{ANCHOR}{CHANGE}"))
}

fn key(source: &str) -> String {
    let rest = source.split_once(KEY_ANCHOR).map(|(_, rest)| rest);
    let key = rest.and_then(|rest| rest.split('"').next());
    key.expect("the key of the checksum database in proxy_test.go")
        .to_owned()
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
