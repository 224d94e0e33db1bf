//! Bytes on their way in. A [`Staging`] takes them and measures them as they come; closed, it is a [`Staged`] file that
//! the gate can judge. Either one deletes its file when it is dropped; only the store's `commit` takes it out.
//!
//! The file is made when the first bytes come, so that whoever still waits for them holds no descriptor.

use std::fs::File;
use std::future::{Future, poll_fn};
use std::io::{self, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use modmesh_protocol::digest::{BlobId, Hasher};
use tokio::io::{AsyncSeekExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use crate::trust::MeasuredFile;

static SERIAL: AtomicU64 = AtomicU64::new(0);

/// A file that is being written and measured.
#[derive(Debug)]
pub(crate) struct Staging {
    folder: PathBuf,
    file: Laid,
    hasher: Hasher,
    length: Arc<AtomicU64>,
    room: Option<Room>,
}

/// Whether there is a file yet.
#[derive(Debug)]
enum Laid {
    NotYet,
    /// On a thread that may wait for the disk. When nobody waits for it any more, what it made goes where it was made.
    Making(JoinHandle<io::Result<(File, DeleteOnDrop)>>),
    Open(tokio::fs::File, DeleteOnDrop),
}

/// A whole file in staging, measured, not judged.
#[derive(Debug)]
pub(crate) struct Staged {
    path: DeleteOnDrop,
    measured: MeasuredFile,
    _room: Option<Room>,
}

/// Space that was taken for bytes before they come; free again when they are kept or gone.
#[derive(Debug)]
pub(crate) struct Room(
    #[allow(dead_code, reason = "held, not read")] pub(super) Option<OwnedSemaphorePermit>,
);

/// A name in the staging folder that nobody else has in this process.
pub(super) fn new_path(folder: &Path, kind: &str) -> PathBuf {
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    folder.join(format!("{kind}{}-{serial}", std::process::id()))
}

/// A new empty file in `folder`.
fn make(folder: &Path) -> io::Result<(File, DeleteOnDrop)> {
    let path = new_path(folder, "");
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create_new(true);
    let file = match options.open(&path) {
        // Somebody swept the state folder under a running daemon.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            std::fs::create_dir(folder)?;
            options.open(&path)?
        }
        opened => opened?,
    };
    Ok((file, DeleteOnDrop(Some(path))))
}

impl Staging {
    /// Bytes for a file in `folder`, which is made when they come.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            file: Laid::NotYet,
            hasher: Hasher::new(),
            length: Arc::default(),
            room: None,
        }
    }

    /// Makes the file if there is none yet. Who is dropped while it waits for this leaves no file behind.
    fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<io::Result<&mut tokio::fs::File>> {
        if let Laid::NotYet = self.file {
            let folder = self.folder.clone();
            self.file = Laid::Making(tokio::task::spawn_blocking(move || make(&folder)));
        }
        if let Laid::Making(making) = &mut self.file {
            let made = ready!(Pin::new(making).poll(context));
            self.file = Laid::NotYet;
            let (file, path) = made.map_err(io::Error::other)??;
            self.file = Laid::Open(tokio::fs::File::from_std(file), path);
        }
        Poll::Ready(match &mut self.file {
            Laid::Open(file, _) => Ok(file),
            Laid::NotYet | Laid::Making(_) => Err(io::ErrorKind::NotFound.into()),
        })
    }

    /// How many bytes have come, for whoever watches the pace.
    pub(crate) fn received(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.length)
    }

    /// Keeps `room` until what is staged here is kept or gone.
    pub(crate) fn take_room(&mut self, room: Room) {
        self.room = Some(room);
    }

    /// Ends the writing.
    pub(crate) async fn close(mut self) -> io::Result<Staged> {
        poll_fn(|context| self.poll_open(context).map_ok(drop)).await?;
        let Laid::Open(mut file, path) = self.file else {
            return Err(io::ErrorKind::NotFound.into());
        };
        file.flush().await?;
        Ok(Staged {
            path,
            measured: MeasuredFile {
                blob: BlobId(self.hasher.finish()),
                length: self.length.load(Ordering::Relaxed),
            },
            _room: self.room,
        })
    }

    /// Takes all of a file at once. Blocks on the disk.
    pub(crate) fn fill(mut self, bytes: &[u8]) -> io::Result<Staged> {
        let (mut file, path) = make(&self.folder)?;
        file.write_all(bytes)?;
        self.hasher.update(bytes);
        let length = bytes.len() as u64;
        self.length.store(length, Ordering::Relaxed);
        Ok(Staged {
            path,
            measured: MeasuredFile {
                blob: BlobId(self.hasher.finish()),
                length,
            },
            _room: self.room,
        })
    }

    /// Forgets what was written, to begin again from another source.
    pub(crate) async fn rewind(&mut self) -> io::Result<()> {
        if let Laid::Open(file, _) = &mut self.file {
            file.flush().await?;
            file.set_len(0).await?;
            file.seek(SeekFrom::Start(0)).await?;
        }
        self.hasher = Hasher::new();
        self.length.store(0, Ordering::Relaxed);
        Ok(())
    }
}

impl AsyncWrite for Staging {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let file = ready!(self.poll_open(context))?;
        let written = ready!(Pin::new(file).poll_write(context, bytes))?;
        self.hasher.update(&bytes[..written]);
        self.length.fetch_add(written as u64, Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.file {
            Laid::Open(file, _) => Pin::new(file).poll_flush(context),
            Laid::NotYet | Laid::Making(_) => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.file {
            Laid::Open(file, _) => Pin::new(file).poll_shutdown(context),
            Laid::NotYet | Laid::Making(_) => Poll::Ready(Ok(())),
        }
    }
}

impl Staged {
    pub(crate) fn measured(&self) -> MeasuredFile {
        self.measured
    }

    /// Opens the file for the gate to read.
    pub(crate) fn open(&self) -> io::Result<File> {
        File::open(self.path.get())
    }

    /// Where the file lies.
    pub(super) fn path(&self) -> &Path {
        self.path.get()
    }

    /// The file was renamed into place; there is nothing left to delete.
    pub(super) fn taken(mut self) {
        self.path.0 = None;
    }
}

/// A path whose file goes when this does.
#[derive(Debug)]
struct DeleteOnDrop(Option<PathBuf>);

impl DeleteOnDrop {
    fn get(&self) -> &Path {
        self.0.as_deref().unwrap_or(Path::new(""))
    }
}

impl Drop for DeleteOnDrop {
    fn drop(&mut self) {
        if let Some(path) = &self.0
            && let Err(error) = std::fs::remove_file(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::debug!(path = %path.display(), %error, "a staged file could not be deleted");
        }
    }
}
