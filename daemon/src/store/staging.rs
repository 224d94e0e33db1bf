//! Bytes on their way in. A [`Staging`] takes them and measures them as they come; closed, it is a [`Staged`] file that
//! the gate can judge. Either one deletes its file when it is dropped; only the store's `commit` takes it out.

use std::fs::File;
use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use modmesh_protocol::digest::{BlobId, Hasher};
use tokio::io::{AsyncSeekExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::OwnedSemaphorePermit;

use crate::trust::MeasuredFile;

static SERIAL: AtomicU64 = AtomicU64::new(0);

/// A file that is being written and measured.
#[derive(Debug)]
pub(crate) struct Staging {
    file: tokio::fs::File,
    path: DeleteOnDrop,
    hasher: Hasher,
    length: Arc<AtomicU64>,
    room: Option<Room>,
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

impl Staging {
    /// A new empty file in `folder`. Who is dropped while it waits for this leaves no file behind.
    pub(super) async fn create(folder: &Path) -> io::Result<Self> {
        let folder = folder.to_owned();
        let created = tokio::task::spawn_blocking(move || {
            let path = new_path(&folder, "");
            let mut options = std::fs::OpenOptions::new();
            options.read(true).write(true).create_new(true);
            let file = match options.open(&path) {
                // Somebody swept the state folder under a running daemon.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    std::fs::create_dir(&folder)?;
                    options.open(&path)?
                }
                opened => opened?,
            };
            // When nobody waits for it any more, this is dropped where it is made.
            Ok::<_, io::Error>((file, DeleteOnDrop(Some(path))))
        });
        let (file, path) = created.await.map_err(io::Error::other)??;
        Ok(Self {
            file: tokio::fs::File::from_std(file),
            path,
            hasher: Hasher::new(),
            length: Arc::default(),
            room: None,
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
        self.file.flush().await?;
        Ok(Staged {
            path: self.path,
            measured: MeasuredFile {
                blob: BlobId(self.hasher.finish()),
                length: self.length.load(Ordering::Relaxed),
            },
            _room: self.room,
        })
    }

    /// Forgets what was written, to begin again from another source.
    pub(crate) async fn rewind(&mut self) -> io::Result<()> {
        self.file.flush().await?;
        self.file.set_len(0).await?;
        self.file.seek(SeekFrom::Start(0)).await?;
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
        let written = std::task::ready!(Pin::new(&mut self.file).poll_write(context, bytes))?;
        self.hasher.update(&bytes[..written]);
        self.length.fetch_add(written as u64, Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.file).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.file).poll_shutdown(context)
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
