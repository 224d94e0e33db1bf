//! Reading all entries of a zip, on several cores when that pays.
//!
//! Threads take the next entry from one counter, so a few large files do not leave the others idle. Threads live no longer
//! than the call. What is refused does not depend on the number of threads: of several faults the one in the first entry
//! is reported.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;

use super::body::{Body, BodyReader};
use super::directory::Directory;
use super::names::Names;
use super::read_at::ReadAt;
use super::{NotCanonical, ZipError};
use crate::digest::Hasher;

/// Below this many unpacked bytes a second thread costs more than it saves.
const PARALLEL_BYTES_MIN: u64 = 1 << 20;

/// What the entries hold.
#[derive(Debug)]
pub(super) struct Bodies {
    /// The SHA-256 of each entry's content, in the order of the directory.
    pub(super) sha256: Vec<[u8; 32]>,
    /// The first thing in any entry that is not canonical.
    pub(super) canonical: Result<(), NotCanonical>,
}

/// Reads every entry that Go would open, with up to `threads` threads.
pub(super) fn read_all(
    bytes: &dyn ReadAt,
    directory: &Directory,
    names: &Names<'_>,
    threads: usize,
) -> Result<Bodies, ZipError> {
    let job = Job {
        bytes,
        directory,
        names,
        next: AtomicUsize::new(0),
        stop: AtomicBool::new(false),
        work_bytes: AtomicU64::new(0),
    };
    let threads = if names.unpacked_bytes < PARALLEL_BYTES_MIN {
        1
    } else {
        threads.clamp(1, names.opened.len().max(1))
    };
    let parts: Vec<Part> = thread::scope(|scope| {
        // A thread that cannot be started is done without: this one alone would do all the work.
        let others: Vec<_> = (1..threads)
            .filter_map(|_| {
                thread::Builder::new()
                    .spawn_scoped(scope, || job.run())
                    .ok()
            })
            .collect();
        let mut parts = vec![job.run()];
        for other in others {
            match other.join() {
                Ok(part) => parts.push(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        parts
    });
    merge(parts, names.full.len())
}

/// What all threads share.
struct Job<'a> {
    bytes: &'a dyn ReadAt,
    directory: &'a Directory,
    names: &'a Names<'a>,
    next: AtomicUsize,
    stop: AtomicBool,
    work_bytes: AtomicU64,
}

/// What one thread found: entries by number, and the fault it stopped at.
#[derive(Default)]
struct Part {
    bodies: Vec<(u32, Body)>,
    fault: Option<(u32, ZipError)>,
}

impl Job<'_> {
    fn run(&self) -> Part {
        let mut part = Part::default();
        let mut reader = BodyReader::new(self.bytes, &self.work_bytes);
        while !self.stop.load(Ordering::Relaxed) {
            let at = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(&number) = self.names.opened.get(at) else {
                break;
            };
            match self.read(&mut reader, number as usize) {
                Ok(body) => part.bodies.push((number, body)),
                Err(error) => {
                    part.fault = Some((number, error));
                    self.stop.store(true, Ordering::Relaxed);
                }
            }
        }
        part
    }

    fn read(&self, reader: &mut BodyReader<'_>, number: usize) -> Result<Body, ZipError> {
        let (Some(entry), Some(name)) = (
            self.directory.entries.get(number),
            self.names.full.get(number),
        ) else {
            return Err(ZipError::Format("an entry is missing"));
        };
        if self.names.is_folder(number) {
            reader.folder(entry)
        } else {
            reader.file(entry, name)
        }
    }
}

fn merge(parts: Vec<Part>, entries: usize) -> Result<Bodies, ZipError> {
    // Folders that are listed again later are not opened; they have no content either way.
    let mut sha256 = vec![Hasher::new().finish(); entries];
    let mut first_fault: Option<(u32, ZipError)> = None;
    let mut canonical: Option<(u32, NotCanonical)> = None;
    for part in parts {
        for (number, body) in part.bodies {
            if let Some(sum) = sha256.get_mut(number as usize) {
                *sum = body.sha256;
            }
            if let Err(reason) = body.canonical
                && canonical.is_none_or(|(first, _)| number < first)
            {
                canonical = Some((number, reason));
            }
        }
        if let Some((number, error)) = part.fault
            && first_fault
                .as_ref()
                .is_none_or(|(first, _)| number < *first)
        {
            first_fault = Some((number, error));
        }
    }
    match first_fault {
        Some((_, error)) => Err(error),
        None => Ok(Bodies {
            sha256,
            canonical: canonical.map_or(Ok(()), |(_, reason)| Err(reason)),
        }),
    }
}
