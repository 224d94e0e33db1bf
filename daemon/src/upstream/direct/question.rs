//! From a path of the GOPROXY protocol to a `go` command, and from what it printed to the answer.
//!
//! Looked at with go 1.26: `go list -m` writes `.info` and `.mod` and makes no zip; `go mod download` also makes the zip.
//! Of the JSON that `go` prints only versions and the error are read; where the files lie is known beforehand.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::Path;

use modmesh_protocol::artifact::FileKind;
use modmesh_protocol::module::{ModulePath, Revision, Version};
use serde::Deserialize;

use super::run::Said;
use super::{Found, module_cache};
use crate::upstream::error::{ERROR_TEXT_BYTES_MAX, plain_text};

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    module: ModulePath,
    what: What,
}

#[derive(Debug, PartialEq, Eq)]
enum What {
    List,
    Latest,
    Info(Revision),
    Mod(Version),
    Zip(Version),
}

/// What `go` had to say.
#[derive(Debug)]
pub(super) enum Answered<T> {
    Found(T),
    /// It ran, and there is no such thing: its own text.
    No(String),
}

/// What is read of `go list -m -json` and `go mod download -json`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Printed {
    version: String,
    versions: Vec<String>,
    error: String,
}

impl Wanted {
    /// Reads an escaped path such as `github.com/x/y/@v/v1.2.3.zip`.
    pub(super) fn parse(path: &str) -> Option<Self> {
        if let Some(module) = path.strip_suffix("/@latest") {
            return Self::of(module, What::Latest);
        }
        let (module, file) = path.split_once("/@v/")?;
        if file == "list" {
            return Self::of(module, What::List);
        }
        let (revision, extension) = file.rsplit_once('.')?;
        let revision = Revision::from_escaped(revision).ok()?;
        let what = match FileKind::from_extension(extension)? {
            FileKind::Info => What::Info(revision),
            FileKind::Mod => What::Mod(revision.canonical()?),
            FileKind::Zip => What::Zip(revision.canonical()?),
        };
        Self::of(module, what)
    }

    fn of(module: &str, what: What) -> Option<Self> {
        let module = ModulePath::from_escaped(module).ok()?;
        Some(Self { module, what })
    }

    /// What `go` is called with. A module path does not begin with `-`, and flags end before it anyway.
    pub(super) fn arguments(&self) -> Vec<OsString> {
        let list = ["list", "-m", "-json"];
        // Proxies list what is retracted too; `go` decides for itself what it makes of it.
        let versions = ["list", "-m", "-json", "-versions", "-retracted"];
        let (command, version): (&[&str], Option<&str>) = match &self.what {
            What::List => (&versions, None),
            What::Latest => (&list, Some("latest")),
            What::Info(revision) => (&list, Some(revision.as_str())),
            What::Mod(version) => (&list, Some(version.as_str())),
            What::Zip(version) => (&["mod", "download", "-json"], Some(version.as_str())),
        };
        let subject = match version {
            Some(version) => format!("{}@{version}", self.module),
            None => self.module.to_string(),
        };
        let words = command.iter().copied().chain(["--", &subject]);
        words.map(OsString::from).collect()
    }

    /// The answer that lies in `said` and `folder`.
    ///
    /// # Errors
    /// A file that `go` says is there cannot be opened.
    pub(super) fn read(&self, said: &Said, folder: &Path) -> io::Result<Answered<Found>> {
        let printed: Printed = serde_json::from_slice(&said.stdout).unwrap_or_default();
        if !said.is_success {
            let theirs = if printed.error.is_empty() {
                String::from_utf8_lossy(&said.stderr).into_owned()
            } else {
                printed.error
            };
            return Ok(Answered::No(readable(&theirs, folder)));
        }
        if self.what == What::List {
            let mut text = printed.versions.join("\n");
            if !text.is_empty() {
                text.push('\n');
            }
            return Ok(Answered::Found(Found::Text(text)));
        }
        let Ok(version) = Version::parse(&printed.version) else {
            let text = format!("go found no version of {} for this", self.module);
            return Ok(Answered::No(text));
        };
        if let Some(asked) = self.version()
            && asked != version
        {
            let text = format!("{0}@{asked} is called {0}@{version}", self.module);
            return Ok(Answered::No(text));
        }
        let file = format!(
            "cache/download/{}/@v/{}.{}",
            self.module.escaped(),
            version.escaped(),
            self.extension()
        );
        let file = File::open(module_cache(folder).join(file))?;
        Ok(Answered::Found(Found::File(file)))
    }

    /// The version whose file is wanted, where that is no question any more.
    fn version(&self) -> Option<Version> {
        match &self.what {
            What::List | What::Latest => None,
            What::Info(revision) => revision.canonical(),
            What::Mod(version) | What::Zip(version) => Some(version.clone()),
        }
    }

    fn extension(&self) -> &'static str {
        match self.what {
            What::List | What::Latest | What::Info(_) => "info",
            What::Mod(_) => "mod",
            What::Zip(_) => "zip",
        }
    }
}

/// `text` of `go` as plain text of bounded length, without the name of the folder, which tells nobody anything.
fn readable(text: &str, folder: &Path) -> String {
    let text = text.replace(&folder.display().to_string(), "$TMPDIR");
    let is_text = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    let text: String = text.chars().filter(is_text).collect();
    let bytes = text.as_bytes();
    let bounded = bytes.get(..ERROR_TEXT_BYTES_MAX).unwrap_or(bytes);
    plain_text(Some("text/plain"), bounded)
        .unwrap_or_else(|| "go failed and gave no reason\n".to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn command(path: &str) -> String {
        let words = Wanted::parse(path).unwrap().arguments();
        words.join(std::ffi::OsStr::new(" ")).into_string().unwrap()
    }

    #[test]
    fn each_question_is_one_command() {
        for (path, expected) in [
            (
                "example.com/!big/m/@v/list",
                "list -m -json -versions -retracted -- example.com/Big/m",
            ),
            (
                "example.com/m/@latest",
                "list -m -json -- example.com/m@latest",
            ),
            (
                "example.com/m/@v/master.info",
                "list -m -json -- example.com/m@master",
            ),
            (
                "example.com/m/@v/v1.0.0.mod",
                "list -m -json -- example.com/m@v1.0.0",
            ),
            (
                "example.com/m/@v/v1.0.0.zip",
                "mod download -json -- example.com/m@v1.0.0",
            ),
        ] {
            assert_eq!(command(path), expected);
        }
        for none in [
            "sumdb/sum.golang.org/supported",
            "example.com/m/@v/master.zip",
            "example.com/m/@v/v1.0.0.tar",
            "-json.example.com/m/@v/list",
        ] {
            assert_eq!(Wanted::parse(none), None, "{none}");
        }
    }

    #[test]
    fn what_go_says_is_bounded_plain_text_that_names_no_folder() {
        let folder = Path::new("/state/direct/1-2");
        let text = format!(
            "go: in /state/direct/1-2/modules:\n\tfatal\u{1b}[0m {}",
            "é".repeat(9000)
        );
        let readable = readable(&text, folder);
        assert!(
            readable.starts_with("go: in $TMPDIR/modules:\n\tfatal[0m é"),
            "{readable}"
        );
        assert!(readable.len() <= ERROR_TEXT_BYTES_MAX);
    }

    #[test]
    fn an_answer_about_another_version_is_none() {
        let said = Said {
            is_success: true,
            stdout: br#"{"Version":"v2.0.0+incompatible"}"#.to_vec(),
            stderr: Vec::new(),
        };
        let wanted = Wanted::parse("example.com/m/@v/v2.0.0.info").unwrap();
        let answered = wanted.read(&said, Path::new("/nowhere")).unwrap();
        assert!(matches!(answered, Answered::No(text) if text.contains("+incompatible")));
    }
}
