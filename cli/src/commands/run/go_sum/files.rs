//! Which files of sums `go` would read in a folder, and what is there under their names.
//!
//! They are found as `go` finds them, without asking it: the go.sum of the module that the folder lies in; of a workspace
//! go.work.sum and the go.sum of each of its modules.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use modmesh_protocol::go_sum::{GO_SUM_BYTES_MAX, GoSumError};

/// Files that are given; a workspace may have more modules.
const FILES_MAX: usize = 32;
/// Largest go.work that is read.
const GO_WORK_BYTES_MAX: u64 = 256 << 10;

/// What is there under a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum There {
    Text(Vec<u8>),
    Nothing,
    /// Something that is no go.sum, and why: a lowercase fragment.
    Unusable(String),
}

/// The files that `go` would read in `folder` with this GOWORK, whether they are there or not: each by the true path of its folder.
pub(super) fn named(folder: &Path, go_work: Option<&OsStr>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let above = |name: &str| {
        let mut paths = folder.ancestors().map(|folder| folder.join(name));
        paths.find(|path| path.is_file())
    };
    files.extend(above("go.mod").map(|path| path.with_file_name("go.sum")));
    let go_work = match go_work {
        Some(off) if off == "off" => None,
        Some(path) if !path.is_empty() => Some(folder.join(path)),
        _ => above("go.work"),
    };
    if let Some(go_work) = go_work {
        let mut sums = go_work.clone().into_os_string();
        sums.push(".sum");
        files.push(sums.into());
        let text = read(&go_work, GO_WORK_BYTES_MAX).ok().flatten();
        let text = String::from_utf8_lossy(&text.unwrap_or_default()).into_owned();
        let root = go_work.parent().unwrap_or(folder);
        files.extend(used(&text).map(|module| root.join(module).join("go.sum")));
    }
    let mut named = Vec::new();
    for file in files {
        let file = in_true_folder(&file).unwrap_or(file);
        if !named.contains(&file) && named.len() < FILES_MAX {
            named.push(file);
        }
    }
    named
}

/// The path of a file by the true path of its folder, under which it is known also when it is gone.
fn in_true_folder(file: &Path) -> Option<PathBuf> {
    let folder = std::fs::canonicalize(file.parent()?).ok()?;
    Some(folder.join(file.file_name()?))
}

/// Looks without opening what might never end.
pub(super) fn look(file: &Path) -> There {
    let unusable = |why: &str| There::Unusable(why.to_owned());
    match std::fs::metadata(file) {
        Ok(there) if there.is_file() => match read(file, GO_SUM_BYTES_MAX as u64) {
            Ok(Some(text)) => There::Text(text),
            Ok(None) => unusable(&GoSumError::TooLarge.to_string()),
            Err(error) => unusable(&error.to_string()),
        },
        Ok(there) if there.is_dir() => unusable("it is a folder"),
        Ok(_) => unusable("it is no regular file"),
        Err(error) if error.kind() != io::ErrorKind::NotFound => unusable(&error.to_string()),
        Err(_) if std::fs::symlink_metadata(file).is_ok() => unusable("it is a link to nothing"),
        Err(_) => There::Nothing,
    }
}

/// The folders that the `use` lines of a go.work name. What is written in a way that `go work use` does not write is passed
/// over: then that module's file is not given.
fn used(go_work: &str) -> impl Iterator<Item = &str> {
    let mut in_block = false;
    go_work.lines().filter_map(move |line| {
        let line = line.split("//").next().unwrap_or_default().trim();
        let folder = match (in_block, line) {
            (true, ")") => {
                in_block = false;
                return None;
            }
            (true, folder) => folder,
            (false, line) => {
                let rest = line.strip_prefix("use")?;
                let ends = |c: char| c.is_whitespace() || c == '(';
                let rest = rest.starts_with(ends).then(|| rest.trim())?;
                if rest == "(" {
                    in_block = true;
                    return None;
                }
                rest
            }
        };
        let folder = folder.trim_matches(['"', '`']);
        (!folder.is_empty()).then_some(folder)
    })
}

/// The bytes of a file; nothing when it has more than `bytes_max`.
fn read(path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(bytes_max + 1)
        .read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= bytes_max).then_some(bytes))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn write(root: &Path, names: &[&str]) {
        for name in names {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
    }

    #[test]
    fn the_files_are_those_that_go_reads() {
        let root = tempfile::tempdir().unwrap();
        let root = std::fs::canonicalize(root.path()).unwrap();
        let found = |folder: &str, go_work: Option<&str>| -> Vec<String> {
            let files = named(&root.join(folder), go_work.map(OsStr::new));
            let name = |path: PathBuf| path.strip_prefix(&root).unwrap().display().to_string();
            files.into_iter().map(name).collect()
        };
        write(
            &root,
            &[
                "a/go.mod",
                "a/go.sum",
                "a/deep/er/x.go",
                "b/go.mod",
                "c/go.mod",
                "c/go.sum",
            ],
        );
        assert_eq!(found("a/deep/er", None), ["a/go.sum"]);
        // It is not there, and what it said before is to be forgotten.
        assert_eq!(found("b", None), ["b/go.sum"]);
        assert!(matches!(look(&root.join("b/go.sum")), There::Nothing));
        assert!(found(".", None).is_empty());
        write(&root, &["go.work.sum", "other/my.work.sum"]);
        std::fs::write(
            root.join("go.work"),
            "go 1.21\n\nuse (\n\t./a // first\n\t\"./c\"\n)\nuse ./b\n",
        )
        .unwrap();
        std::fs::write(root.join("other/my.work"), "use ../c").unwrap();
        assert_eq!(
            found("a", None),
            ["a/go.sum", "go.work.sum", "c/go.sum", "b/go.sum"]
        );
        assert_eq!(found("a", Some("off")), ["a/go.sum"]);
        assert_eq!(
            found("b", Some("../other/my.work")),
            ["b/go.sum", "other/my.work.sum", "c/go.sum"]
        );
    }

    #[test]
    fn the_folders_of_a_workspace_are_read_as_go_writes_them() {
        let text = "go 1.21\nuse ./one\nuse (\n\t./two\n\n\t`./three` // why\n)\nuses ./no\nuse./no\nreplace x => ./no\n";
        assert_eq!(
            used(text).collect::<Vec<_>>(),
            ["./one", "./two", "./three"]
        );
        assert_eq!(used("use(\n./a\n)").collect::<Vec<_>>(), ["./a"]);
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_not_read() {
        use std::os::unix::fs::symlink;
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        std::fs::create_dir(at("folder")).unwrap();
        symlink("/dev/zero", at("endless")).unwrap();
        symlink("nowhere", at("dangling")).unwrap();
        let made = std::process::Command::new("mkfifo")
            .arg(at("fifo"))
            .status();
        assert!(made.unwrap().success());
        for (name, why) in [
            ("folder", "it is a folder"),
            ("endless", "it is no regular file"),
            ("fifo", "it is no regular file"),
            ("dangling", "it is a link to nothing"),
        ] {
            assert_eq!(look(&at(name)), There::Unusable(why.to_owned()), "{name}");
        }
        std::fs::write(at("file"), "text").unwrap();
        symlink("file", at("link")).unwrap();
        assert_eq!(look(&at("link")), There::Text(b"text".to_vec()));
    }
}
