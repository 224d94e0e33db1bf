//! A listener on a switch of the lab that hears the multicast packets by which hosts find each other.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use modmesh_protocol::discovery::{GROUP_V4, PORT, Packet};

use crate::lab::LabHost;

/// Hears packets until it is stopped.
#[derive(Debug)]
pub struct MulticastCounter {
    end: Arc<AtomicBool>,
    heard: JoinHandle<Vec<f64>>,
}

impl MulticastCounter {
    /// Listens on a host of the lab.
    ///
    /// # Panics
    /// When the port or the group cannot be had there.
    pub fn start(on: &LabHost) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let (address, ended) = (on.address(), Arc::clone(&end));
        let socket = on.place().run(move || {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)).expect("the port");
            let joined = socket.join_multicast_v4(&GROUP_V4, &address);
            joined.expect("the group");
            let wait = Some(Duration::from_millis(100));
            socket.set_read_timeout(wait).expect("a socket");
            socket
        });
        let heard = std::thread::spawn(move || {
            let mut heard = Vec::new();
            let mut bytes = [0; 1500];
            while !ended.load(Ordering::Relaxed) {
                let Ok((length, _)) = socket.recv_from(&mut bytes) else {
                    continue;
                };
                if Packet::decode(&bytes[..length]).is_some() {
                    heard.push(seconds_of_now());
                }
            }
            heard
        });
        Self { end, heard }
    }

    /// When packets came, as [`seconds_of_now`].
    pub fn stop(self) -> Vec<f64> {
        self.end.store(true, Ordering::Relaxed);
        self.heard.join().expect("the counter")
    }
}

/// Seconds since midnight, UTC.
pub fn seconds_of_now() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0.0, |now| now.as_secs_f64() % 86_400.0)
}

/// The most of these moments, sorted, within one second, wherever it begins.
pub fn most_in_a_second(moments: &[f64]) -> usize {
    let from = |first: usize| {
        let later = moments.iter().skip(first);
        let start = moments.get(first).copied().unwrap_or_default();
        later.take_while(|at| **at < start + 1.0).count()
    };
    (0..moments.len()).map(from).max().unwrap_or_default()
}
