//! A slow line: a relay for TCP whose bytes come late and no faster than the line allows.
//!
//! The rate is shared by all connections, one budget for each direction, and the delay is the same for every byte. It
//! stands in for a network emulator, which not every kernel has. Opening a connection costs one round trip, as it does on
//! a real line; losses and reordering are absent.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::place::Place;

/// Bytes that travel as one piece.
const PIECE_BYTES: usize = 8 * 1024;
/// Pieces that one connection has on the line at most: more than fit on 1 Gbit/s with 50 ms.
const PIECES_ON_LINE: usize = 1024;

/// What a line can do.
#[derive(Debug, Clone, Copy)]
pub struct Quality {
    /// Bits in a second for each direction; 0 means as many as come.
    pub bits_per_second: u64,
    /// From a question to the first byte of its answer, when the other end takes no time.
    pub round_trip: Duration,
}

/// A relay from a port of its own to another server.
#[derive(Debug)]
pub struct Line {
    address: SocketAddr,
    passed: Arc<[Way; 2]>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

/// One direction.
#[derive(Debug)]
struct Way {
    quality: Quality,
    /// How long ago a line that was idle counts as free: what it could have carried since then, it carries at once.
    credit: Duration,
    free_at: Mutex<Instant>,
    bytes: AtomicU64,
}

impl Line {
    /// Opens a line from a free port of 127.0.0.1 to `server`.
    pub fn start(server: SocketAddr, quality: Quality) -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::start_in(&Place::Here, listen, server, quality)
    }

    /// Opens a line that saves up to `credit` of its capacity while it is idle: what is short passes at once, and what is
    /// long drips.
    pub fn start_with_credit(server: SocketAddr, quality: Quality, credit: Duration) -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::open(&Place::Here, listen, server, quality, credit)
    }

    /// Opens a line in a place; the server is reached from the same place.
    ///
    /// # Panics
    /// When the address cannot be listened on.
    pub fn start_in(
        place: &Place,
        listen: SocketAddr,
        server: SocketAddr,
        quality: Quality,
    ) -> Self {
        Self::open(place, listen, server, quality, Duration::ZERO)
    }

    fn open(
        place: &Place,
        listen: SocketAddr,
        server: SocketAddr,
        quality: Quality,
        credit: Duration,
    ) -> Self {
        let way = || Way::new(quality, credit);
        let passed = Arc::new([way(), way()]);
        let stop = CancellationToken::new();
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let (ways, stopped) = (Arc::clone(&passed), stop.clone());
        let thread =
            place.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime for the line");
                runtime.block_on(async {
                    let listener = TcpListener::bind(listen).await;
                    let _ =
                        tell.send(listener.as_ref().map_err(io::Error::kind).and_then(
                            |listener| listener.local_addr().map_err(|error| error.kind()),
                        ));
                    if let Ok(listener) = listener {
                        tokio::select! {
                            () = stopped.cancelled() => {}
                            () = serve(listener, server, ways) => {}
                        }
                    }
                });
            });
        let address = told
            .recv()
            .expect("the line ended before it listened")
            .unwrap_or_else(|error| panic!("the line cannot listen on {listen}: {error}"));
        Self {
            address,
            passed,
            stop,
            thread: Some(thread),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Bytes that came from the server.
    pub fn bytes_down(&self) -> u64 {
        self.passed[1].bytes.load(Ordering::Relaxed)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(listener: TcpListener, server: SocketAddr, ways: Arc<[Way; 2]>) {
    loop {
        if let Ok((client, _)) = listener.accept().await {
            let ways = Arc::clone(&ways);
            tokio::spawn(async move {
                tokio::time::sleep(ways[0].quality.round_trip).await;
                let Ok(server) = TcpStream::connect(server).await else {
                    return;
                };
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::join!(
                    ways[0].carry(from_client, to_server),
                    ways[1].carry(from_server, to_client),
                );
            });
        }
    }
}

impl Way {
    fn new(quality: Quality, credit: Duration) -> Self {
        Self {
            quality,
            credit,
            free_at: Mutex::new(Instant::now()),
            bytes: AtomicU64::new(0),
        }
    }

    /// Carries everything that comes until the end of it.
    async fn carry(&self, mut from: OwnedReadHalf, to: OwnedWriteHalf) {
        let (line, arriving) = mpsc::channel(PIECES_ON_LINE);
        let delivery = deliver(arriving, to);
        let sending = async move {
            loop {
                let mut piece = vec![0; PIECE_BYTES];
                match from.read(&mut piece).await {
                    Ok(0) | Err(_) => return,
                    Ok(bytes) => piece.truncate(bytes),
                }
                let sent_at = self.reserve(piece.len());
                sleep_until(sent_at).await;
                self.bytes.fetch_add(piece.len() as u64, Ordering::Relaxed);
                let arrives_at = sent_at + self.quality.round_trip / 2;
                if line.send((arrives_at, piece)).await.is_err() {
                    return;
                }
            }
        };
        tokio::join!(sending, delivery);
    }

    /// Takes the line for so many bytes; they have left when the given time has come.
    fn reserve(&self, bytes: usize) -> Instant {
        let now = Instant::now();
        if self.quality.bits_per_second == 0 {
            return now;
        }
        let time = bytes as f64 * 8.0 / self.quality.bits_per_second as f64;
        let mut free_at = self.free_at.lock().expect("the line");
        let earliest = now.checked_sub(self.credit).unwrap_or(now);
        *free_at = (*free_at).max(earliest) + Duration::from_secs_f64(time);
        *free_at
    }
}

async fn deliver(mut arriving: mpsc::Receiver<(Instant, Vec<u8>)>, mut to: OwnedWriteHalf) {
    while let Some((arrives_at, piece)) = arriving.recv().await {
        sleep_until(arrives_at).await;
        if to.write_all(&piece).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Request;
    use crate::{FakeUpstream, Module};

    #[test]
    fn a_line_takes_the_time_that_its_quality_says() {
        let module = Module::new("example.com/large", "v1.0.0").bulk("noise.bin", 500_000);
        let upstream = FakeUpstream::start([module.clone()]);
        let quality = Quality {
            bits_per_second: 10_000_000,
            round_trip: Duration::from_millis(60),
        };
        let line = Line::start(upstream.address(), quality);
        let started = std::time::Instant::now();
        let url = format!("{}/{}", line.url(), module.url_path("zip"));
        assert_eq!(
            Request::get(&url).send().unwrap().expect_body(),
            module.zip()
        );
        // 0.5 MB at 10 Mbit/s is 0.4 s; connecting and asking are 60 ms each. No upper bound: machines can be busy.
        assert!(started.elapsed() >= Duration::from_millis(520));
        assert!(line.bytes_down() >= 500_000);
    }
}
