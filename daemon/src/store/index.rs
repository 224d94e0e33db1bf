//! The order of requests, kept across restarts. The only file that knows sled.
//!
//! It holds one small record a body: when it was last asked for. Losing it costs the order of eviction and nothing else,
//! so damage is answered by starting a new one. sled panics on a damaged file instead of returning an error; everything
//! that touches it runs on one thread of its own behind `catch_unwind`, and nobody waits for that thread longer than
//! [`ANSWER_DEADLINE`], or [`END_DEADLINE`] at the end.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use modmesh_protocol::artifact::KeyHash;

use crate::os;

/// How long a caller waits for the index at start.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);
/// Pauses after which an index that cannot be opened is tried again before it counts as damaged: sled's own threads let go of
/// its lock a moment after the last handle on it is gone, so one that was closed just now may still be locked.
const OPENED_AGAIN_AFTER: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(200)];
/// How long it is waited for at the end, which is to be over in ten seconds with everything else.
const END_DEADLINE: Duration = Duration::from_secs(2);
/// Requests that may be waiting to be written; more are dropped, which costs a little of the order.
const QUEUE_MAX: usize = 4096;
/// How often what was written is made durable.
const FLUSH_EVERY: Duration = Duration::from_secs(2);
/// Memory that sled may use for its page cache.
const CACHE_BYTES: u64 = 4 << 20;

/// A handle on the index's thread.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    orders: SyncSender<Order>,
}

#[derive(Debug)]
enum Order {
    Touch(KeyHash, u64),
    Forget(KeyHash),
    End(SyncSender<()>),
}

impl Index {
    /// Opens the index in `folder` and reads what it remembers. An index that cannot be read is put aside and begun anew;
    /// one that does not open in time is done without until the next start.
    pub(crate) fn open(folder: &Path) -> (Self, HashMap<KeyHash, u64>) {
        let (orders, inbox) = sync_channel(QUEUE_MAX);
        let (answer, remembered) = sync_channel(1);
        let folder = folder.to_owned();
        let spawned = std::thread::Builder::new()
            .name("index".to_owned())
            .spawn(move || keep(&folder, &answer, &inbox));
        if let Err(error) = spawned {
            tracing::warn!(%error, "the index has no thread; the order of requests is not kept");
        }
        let remembered = remembered
            .recv_timeout(ANSWER_DEADLINE)
            .unwrap_or_else(|_| {
                tracing::warn!(
                    "the index did not open in time; the order of earlier requests is not known"
                );
                HashMap::new()
            });
        (Self { orders }, remembered)
    }

    /// Notes that a body was asked for at `at_ms` (Unix time, milliseconds). Never waits.
    pub(crate) fn touch(&self, hash: KeyHash, at_ms: u64) {
        let _dropped_when_full = self.orders.try_send(Order::Touch(hash, at_ms));
    }

    /// Notes that a body is gone. Never waits.
    pub(crate) fn forget(&self, hash: KeyHash) {
        let _dropped_when_full = self.orders.try_send(Order::Forget(hash));
    }

    /// Makes what is known durable and ends the thread.
    pub(crate) fn end(&self) {
        let (done, ended) = sync_channel(1);
        if self.orders.try_send(Order::End(done)).is_ok() {
            let _ended_or_late = ended.recv_timeout(END_DEADLINE);
        }
    }
}

fn keep(folder: &Path, answer: &SyncSender<HashMap<KeyHash, u64>>, inbox: &Receiver<Order>) {
    let opened = open_or_begin_anew(folder);
    let remembered = opened.as_ref().map(read_all).unwrap_or_default();
    let _nobody_waits_any_more = answer.send(remembered);
    let Some(order) = opened else {
        // Orders are still taken, so that nobody's queue fills.
        while let Ok(order) = inbox.recv() {
            if let Order::End(done) = order {
                let _asker_gone = done.send(());
                return;
            }
        }
        return;
    };
    match catch_unwind(AssertUnwindSafe(|| write_all(&order, inbox))) {
        Ok(done) => {
            // The answer comes after the files are closed, so that whoever waited for it can open them again.
            drop(order);
            if let Some(done) = done {
                let _asker_gone = done.send(());
            }
        }
        Err(_) => tracing::warn!(
            "the index failed while writing; the order of requests is not kept from here on"
        ),
    }
}

/// Writes orders until the end is asked for, and returns who asked.
fn write_all(tree: &sled::Db, inbox: &Receiver<Order>) -> Option<SyncSender<()>> {
    let mut unflushed = false;
    loop {
        let written = match inbox.recv_timeout(FLUSH_EVERY) {
            Ok(Order::Touch(hash, at_ms)) => {
                unflushed = true;
                tree.insert(hash.0, &encode(at_ms)).map(drop)
            }
            Ok(Order::Forget(hash)) => {
                unflushed = true;
                tree.remove(hash.0).map(drop)
            }
            Ok(Order::End(done)) => {
                report(tree.flush().map(drop));
                return Some(done);
            }
            Err(RecvTimeoutError::Timeout) if unflushed => {
                unflushed = false;
                tree.flush().map(drop)
            }
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => return None,
        };
        report(written);
    }
}

fn report(result: sled::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(%error, "the index could not be written");
    }
}

fn open_or_begin_anew(folder: &Path) -> Option<sled::Db> {
    let again = OPENED_AGAIN_AFTER.into_iter().map(Some).chain([None]);
    for pause in again {
        match open_caught(folder) {
            Ok(tree) => return Some(tree),
            Err(Unopened::NoRoom) => {
                tracing::warn!(
                    "the disk is full, so the index is not opened; the order of requests is not kept until the next start"
                );
                return None;
            }
            Err(Unopened::Damaged) => pause.map_or((), std::thread::sleep),
        }
    }
    let aside = aside(folder);
    tracing::warn!(
        index = %folder.display(),
        "the index cannot be read and is begun anew; only the order of earlier requests is lost"
    );
    let _there_was_none = std::fs::remove_dir_all(&aside);
    std::fs::rename(folder, &aside)
        .or_else(|_| std::fs::remove_dir_all(folder).or_else(|_| std::fs::remove_file(folder)))
        .ok()?;
    open_caught(folder).ok()
}

/// Why there is no index.
enum Unopened {
    /// The disk is full; what is there may be whole.
    NoRoom,
    Damaged,
}

fn open_caught(folder: &Path) -> Result<sled::Db, Unopened> {
    let open = || {
        let tree = sled::Config::new()
            .path(folder)
            .cache_capacity(CACHE_BYTES)
            .mode(sled::Mode::LowSpace)
            .flush_every_ms(None)
            .open()?;
        // A damaged page may show only when it is read.
        for record in tree.iter() {
            record?;
        }
        Ok::<_, sled::Error>(tree)
    };
    match catch_unwind(AssertUnwindSafe(open)) {
        Ok(Ok(tree)) => Ok(tree),
        Ok(Err(sled::Error::Io(error))) if os::is_full_disk(&error) => Err(Unopened::NoRoom),
        _ => Err(Unopened::Damaged),
    }
}

fn read_all(tree: &sled::Db) -> HashMap<KeyHash, u64> {
    tree.iter()
        .filter_map(Result::ok)
        .filter_map(|(key, value)| Some((KeyHash(key.as_ref().try_into().ok()?), decode(&value)?)))
        .collect()
}

fn aside(folder: &Path) -> PathBuf {
    folder.with_extension("unreadable")
}

const RECORD_FORM: u8 = 1;

/// Form byte, time, and a check byte over both: sled returns damaged values as they are.
fn encode(at_ms: u64) -> [u8; 10] {
    let mut record = [0; 10];
    record[0] = RECORD_FORM;
    record[1..9].copy_from_slice(&at_ms.to_be_bytes());
    record[9] = check(&record[..9]);
    record
}

fn decode(record: &[u8]) -> Option<u64> {
    let (body, sum) = record.split_at_checked(9)?;
    if body[0] != RECORD_FORM || sum != [check(body)] {
        return None;
    }
    Some(u64::from_be_bytes(body[1..].try_into().ok()?))
}

fn check(bytes: &[u8]) -> u8 {
    bytes
        .iter()
        .fold(0x5a, |sum: u8, byte| sum.rotate_left(3) ^ byte)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_order_survives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index");
        let (index, remembered) = Index::open(&path);
        assert!(remembered.is_empty());
        index.touch(KeyHash([1; 32]), 10);
        index.touch(KeyHash([2; 32]), 20);
        index.touch(KeyHash([1; 32]), 30);
        index.forget(KeyHash([2; 32]));
        index.end();
        drop(index);
        let (_index, remembered) = Index::open(&path);
        assert_eq!(remembered, HashMap::from([(KeyHash([1; 32]), 30)]));
    }

    #[test]
    fn a_damaged_index_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index");
        let (index, _) = Index::open(&path);
        for number in 0..200u8 {
            index.touch(KeyHash([number; 32]), 1);
        }
        index.end();
        drop(index);
        for file in std::fs::read_dir(&path).unwrap() {
            let file = file.unwrap().path();
            if file.is_file() {
                let length = std::fs::metadata(&file).unwrap().len() as usize;
                std::fs::write(&file, vec![0x55; length]).unwrap();
            }
        }
        let (index, remembered) = Index::open(&path);
        assert!(remembered.is_empty());
        index.touch(KeyHash([9; 32]), 5);
        index.end();
        drop(index);
        assert_eq!(Index::open(&path).1.len(), 1);
    }

    #[test]
    fn a_file_in_the_place_of_the_index_is_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index");
        std::fs::write(&path, "not a folder").unwrap();
        let (index, _) = Index::open(&path);
        index.touch(KeyHash([9; 32]), 5);
        index.end();
        drop(index);
        assert_eq!(Index::open(&path).1.len(), 1);
    }
}
