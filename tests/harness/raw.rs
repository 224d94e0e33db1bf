//! Bytes on a connection to a host, and the answers that come back: for requests that no client would put together.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long the other side may be silent.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of a body that are taken.
const BODY_BYTES_MAX: usize = 64 << 20;

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawAnswer {
    /// The status.
    pub status: u16,
    /// The lines of the head behind the first, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, as its Content-Length says.
    pub body: Vec<u8>,
}

/// A connection.
#[derive(Debug)]
pub struct RawConnection {
    stream: TcpStream,
    came: Vec<u8>,
}

impl RawConnection {
    /// Connects to `IP:PORT`.
    ///
    /// # Panics
    /// When nobody listens there.
    #[track_caller]
    pub fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("somebody who listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a deadline");
        stream
            .set_write_timeout(Some(PATIENCE))
            .expect("a deadline");
        Self {
            stream,
            came: Vec::new(),
        }
    }

    /// Sends bytes; that the other side has closed already is found out by reading.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = self.stream.write_all(bytes.as_ref());
        self
    }

    /// The next answer of a request that was not HEAD; nothing when the other side closes before its head is whole.
    ///
    /// # Panics
    /// When nothing comes for ten seconds, or what comes is no HTTP/1.
    #[track_caller]
    pub fn answer(&mut self) -> Option<RawAnswer> {
        self.answer_to(false)
    }

    /// Says that nothing more is sent; what comes can still be read.
    pub fn send_no_more(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }

    /// As [`RawConnection::answer`], of a request whose method was HEAD or not.
    ///
    /// # Panics
    /// As [`RawConnection::answer`].
    #[track_caller]
    pub fn answer_to(&mut self, is_head: bool) -> Option<RawAnswer> {
        let end = loop {
            if let Some(end) = self.came.windows(4).position(|at| at == b"\r\n\r\n") {
                break end;
            }
            if !self.more() {
                return None;
            }
        };
        let head = String::from_utf8(self.came[..end].to_vec()).expect("a head of text");
        self.came.drain(..end + 4);
        let (first, rest) = head.split_once("\r\n").unwrap_or((&head, ""));
        let status = first.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status in `{first}`"));
        let headers: Vec<(String, String)> = rest
            .lines()
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length = headers
            .iter()
            .find(|(name, _)| name == "content-length")
            .map_or(0, |(_, length)| length.parse().expect("a length"));
        let has_body = !is_head && status >= 200 && status != 204 && status != 304;
        let length: usize = if has_body { length } else { 0 };
        assert!(length <= BODY_BYTES_MAX, "a body of {length} bytes");
        while self.came.len() < length && self.more() {}
        let body = self.came.drain(..length.min(self.came.len())).collect();
        Some(RawAnswer {
            status,
            headers,
            body,
        })
    }

    /// All answers until the other side closes.
    ///
    /// # Panics
    /// When it does not within ten seconds.
    #[track_caller]
    pub fn answers_to_the_end(&mut self) -> Vec<RawAnswer> {
        std::iter::from_fn(|| self.answer()).collect()
    }

    /// Everything that comes until the other side closes.
    ///
    /// # Panics
    /// When it does not within ten seconds.
    #[track_caller]
    pub fn all_to_the_end(&mut self) -> &[u8] {
        while self.more() {}
        &self.came
    }

    /// Reads once; false at the end.
    #[track_caller]
    fn more(&mut self) -> bool {
        let mut piece = [0; 65_536];
        match self.stream.read(&mut piece) {
            Ok(0) => false,
            Ok(read) => {
                self.came.extend_from_slice(&piece[..read]);
                true
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("neither an answer nor an end within {PATIENCE:?}")
            }
            Err(_) => false,
        }
    }
}

impl RawAnswer {
    /// A header's value, or the empty text.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(have, _)| have == name);
        found.map_or("", |(_, value)| value)
    }

    /// The body as text; bytes that are no UTF-8 are replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
