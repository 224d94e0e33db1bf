//! `file://` entries: a directory in the layout of a module proxy, for example a copy of `$GOMODCACHE/cache/download`.
//!
//! Answers as `go` does (`getFile` in cmd/go/internal/web/http.go): a missing file is a 404, a forbidden one a 403.
//! What is no regular file counts as missing. Links are followed: the tree belongs to this host.

use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use modmesh_protocol::goproxy::ProxyUrl;
use tokio::fs::File;
use tokio::io::AsyncReadExt;

/// Bytes per read.
const PIECE_BYTES: usize = 256 << 10;

/// The root of the tree.
pub(super) struct Directory(PathBuf);

/// A file that can be read.
pub(super) struct OpenFile(File);

/// Why there is none.
#[derive(Debug)]
pub(super) enum Absence {
    Missing,
    Refused,
    Broken(io::Error),
}

impl Directory {
    pub(super) fn of(url: &ProxyUrl) -> Self {
        Self(path_of(url.directory()))
    }

    /// Opens a file by its path below the root. The caller has refused `..`.
    pub(super) async fn open(&self, path: &str) -> Result<OpenFile, Absence> {
        let path = self.0.join(path);
        // Looked at before it is opened, since opening a pipe would wait for its other end.
        let metadata = tokio::fs::metadata(&path).await.map_err(Absence::of)?;
        if !metadata.is_file() {
            return Err(Absence::Missing);
        }
        File::open(&path).await.map(OpenFile).map_err(Absence::of)
    }
}

impl OpenFile {
    /// A file that is open already.
    pub(super) fn of(file: std::fs::File) -> Self {
        Self(File::from_std(file))
    }

    /// The next bytes, nothing at the end.
    pub(super) async fn piece(&mut self) -> io::Result<Option<Bytes>> {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        let read = self.0.read_buf(&mut piece).await?;
        Ok((read > 0).then(|| piece.into()))
    }
}

impl Absence {
    fn of(error: io::Error) -> Self {
        match error.kind() {
            // A file where a directory should be: `a/@v/list` below a file `a`.
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::Missing,
            io::ErrorKind::PermissionDenied => Self::Refused,
            _ => Self::Broken(error),
        }
    }
}

#[cfg(unix)]
fn path_of(bytes: Vec<u8>) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    std::ffi::OsString::from_vec(bytes).into()
}

/// `file:///C:/tree` has a slash before the drive that a path must not have.
#[cfg(not(unix))]
fn path_of(bytes: Vec<u8>) -> PathBuf {
    let text = String::from_utf8_lossy(&bytes).into_owned();
    text.strip_prefix('/').unwrap_or(&text).into()
}
