//! Neighbours that are true and of no use: files that come to a halt, and a line that drips.
//!
//! What stops stays stopped until the neighbour ends; then all threads that stand at the tap are let go.

use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::line::{Line, Quality};

/// What holds files back.
#[derive(Debug, Clone, Default)]
pub(super) struct Tap(Arc<(Mutex<bool>, Condvar)>);

impl Tap {
    /// Returns when the neighbour ends.
    pub(super) fn wait(&self) {
        let (gone, changed) = &*self.0;
        let gone = gone.lock().expect("the tap");
        drop(changed.wait_while(gone, |gone| !*gone));
    }

    /// Lets everybody go who waits, now and later.
    pub(super) fn let_go(&self) {
        let (gone, changed) = &*self.0;
        *gone.lock().expect("the tap") = true;
        changed.notify_all();
    }

    /// Something that reads like the first half of the file, and then gives nothing and does not end.
    pub(super) fn half_of(&self, path: &Path) -> io::Result<File> {
        let bytes = std::fs::read(path)?;
        let (reader, mut writer) = io::pipe()?;
        let tap = self.clone();
        std::thread::spawn(move || {
            // It fails when the asker left early.
            let _ = writer.write_all(&bytes[..bytes.len() / 2]);
            tap.wait();
        });
        Ok(File::from(OwnedFd::from(reader)))
    }
}

/// Opens a line to the neighbour with this address by `open`, and gives the address of its near end.
pub(super) fn line_to(address: &str, open: impl FnOnce(SocketAddr) -> Line) -> (Line, String) {
    let parts: Vec<&str> = address.split('/').collect();
    let [_, _, host, _, port, ..] = parts.as_slice() else {
        panic!("`{address}` is no address of TCP");
    };
    let line = open(format!("{host}:{port}").parse().expect("an address of TCP"));
    let near = address.replacen(port, &line.address().port().to_string(), 1);
    (line, near)
}

/// The line of a neighbour whose answers come at once and whose files drip: 20 kB/s, which is more than the mesh calls no
/// progress.
pub(super) fn dripping(server: SocketAddr) -> Line {
    let quality = Quality {
        bits_per_second: 20_000 * 8,
        round_trip: Duration::ZERO,
    };
    Line::start_with_credit(server, quality, Duration::from_secs(1))
}
