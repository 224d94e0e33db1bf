//! The ways in which an upstream fails, and which requests they meet.

use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::watch;

/// What happens to a request instead of, or on the way of, its true answer.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Another answer.
    Answer {
        /// Its status.
        status: u16,
        /// Its Content-Type.
        content_type: String,
        /// Its body.
        body: Vec<u8>,
    },
    /// A status with `Retry-After`.
    Later {
        /// The status.
        status: u16,
        /// After how many seconds.
        seconds: u64,
    },
    /// The request is accepted and never answered.
    Hang,
    /// The answer begins only after this time.
    Late(Duration),
    /// The body comes at this many bytes in a second.
    Trickle(u32),
    /// The head and this many bytes of the body come, then nothing more.
    Stall(usize),
    /// The head with the full length and this many bytes of the body come, then the connection is cut.
    Cut(usize),
    /// The head declares this length, whatever the body's; a body that is longer ends there, a shorter one is cut.
    Length(u64),
    /// 302 to another URL.
    Redirect(String),
    /// The connection is cut before any answer.
    Drop,
    #[doc(hidden)]
    Hold(watch::Receiver<bool>),
}

impl Fault {
    /// A status with a line of plain text.
    pub fn status(status: u16, text: &str) -> Self {
        Self::Answer {
            status,
            content_type: "text/plain; charset=utf-8".to_owned(),
            body: text.as_bytes().to_vec(),
        }
    }

    /// A page of HTML with status 200, as captive portals send it.
    pub fn html() -> Self {
        Self::Answer {
            status: 200,
            content_type: "text/html".to_owned(),
            body: b"<!doctype html><title>Welcome</title><p>Please log in.".to_vec(),
        }
    }

    /// Status 200 with another body: a lie.
    pub fn body(bytes: impl Into<Vec<u8>>) -> Self {
        Self::Answer {
            status: 200,
            content_type: "application/octet-stream".to_owned(),
            body: bytes.into(),
        }
    }
}

/// Requests that are held back. They go on when this is dropped.
#[derive(Debug)]
pub struct Held(watch::Sender<bool>);

impl Held {
    /// Lets them go on, now and in the future.
    pub fn release(&self) {
        self.0.send_replace(true);
    }
}

#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<Vec<Entry>>);

#[derive(Debug)]
struct Entry {
    pattern: String,
    fault: Fault,
    left: Option<u32>,
}

impl Faults {
    pub(super) fn put(&self, pattern: &str, fault: Fault, left: Option<u32>) {
        self.0.lock().expect("the faults").push(Entry {
            pattern: pattern.to_owned(),
            fault,
            left,
        });
    }

    pub(super) fn hold(&self, pattern: &str) -> Held {
        let (sender, receiver) = watch::channel(false);
        self.put(pattern, Fault::Hold(receiver), None);
        Held(sender)
    }

    pub(super) fn clear(&self) {
        self.0.lock().expect("the faults").clear();
    }

    /// The fault that a request for `path` meets, counted as met.
    pub(super) fn meet(&self, path: &str) -> Option<Fault> {
        let mut entries = self.0.lock().expect("the faults");
        let entry = entries
            .iter_mut()
            .rev()
            .find(|entry| entry.left != Some(0) && matches(&entry.pattern, path))?;
        if let Some(left) = &mut entry.left {
            *left -= 1;
        }
        Some(entry.fault.clone())
    }
}

/// Whether `path` matches `pattern`, in which `*` stands for any text, also an empty one.
pub(super) fn matches(pattern: &str, path: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == path,
        Some((head, rest)) => path.strip_prefix(head).is_some_and(|tail| {
            (0..=tail.len())
                .filter(|at| tail.is_char_boundary(*at))
                .any(|at| matches(rest, &tail[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_any_text() {
        assert!(matches("*.zip", "example.com/a/@v/v1.0.0.zip"));
        assert!(matches("sumdb/*/tile/*", "sumdb/name/tile/8/0/000"));
        assert!(matches("*", ""));
        assert!(!matches("*.zip", "example.com/a/@v/v1.0.0.mod"));
        assert!(!matches("a", "ab"));
    }
}
