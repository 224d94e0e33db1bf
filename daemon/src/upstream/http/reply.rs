//! An answer: what its head says, and its body piece by piece under a deadline.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, HeaderValue,
    LAST_MODIFIED, RETRY_AFTER,
};
use http::{Response, Uri};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout};

use super::{HttpError, reason};

/// What counts as progress of a body: less than this within the idle deadline is a trickle that would hold its place
/// for ever.
const PROGRESS_BYTES: u64 = 16 << 10;

/// An answer whose body is still to be read.
#[derive(Debug)]
pub(in crate::upstream) struct Reply {
    pub(in crate::upstream) status: u16,
    pub(in crate::upstream) content_type: Option<String>,
    /// What the header promises, where it does.
    pub(in crate::upstream) content_length: Option<u64>,
    /// Of a 206: the first byte of this body in the file, and the length of the file.
    pub(in crate::upstream) content_range: Option<(u64, u64)>,
    /// How long to wait before asking again, where it says.
    pub(in crate::upstream) retry_after: Option<Duration>,
    /// Whether the body is coded (gzip, for example) although that was not asked for.
    pub(in crate::upstream) is_encoded: bool,
    /// Which version of which file this is.
    pub(in crate::upstream) version: Version,
    body: Incoming,
    idle_timeout: Duration,
    /// Time spent waiting, and bytes seen, since there was progress last.
    waited: Duration,
    bytes_since: u64,
}

/// Where a body came from in the end, and what its server calls its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::upstream) struct Version {
    uri: Uri,
    etag: Option<HeaderValue>,
    modified: Option<HeaderValue>,
}

impl Version {
    /// What `If-Range` takes: a strong entity tag, else a date (RFC 9110, section 13.1.5).
    pub(super) fn validator(&self) -> Option<&HeaderValue> {
        self.etag
            .as_ref()
            .filter(|etag| !etag.as_bytes().starts_with(b"W/"))
            .or(self.modified.as_ref())
    }
}

impl Version {
    /// Whether `self` may stand for a part of the file that `whole` is: the same place, and no word that it changed.
    pub(in crate::upstream) fn is_of_the_same_file(&self, whole: &Self) -> bool {
        let agree = |part: &Option<HeaderValue>, whole: &Option<HeaderValue>| {
            part.is_none() || whole.is_none() || part == whole
        };
        self.uri == whole.uri
            && agree(&self.etag, &whole.etag)
            && agree(&self.modified, &whole.modified)
    }
}

impl Reply {
    pub(super) fn new(response: Response<Incoming>, uri: Uri, idle_timeout: Duration) -> Self {
        let (head, body) = response.into_parts();
        let value = |name: HeaderName| head.headers.get(name).cloned();
        let text = |name: HeaderName| Some(head.headers.get(name)?.to_str().ok()?.to_owned());
        let encoding = text(CONTENT_ENCODING).unwrap_or_default();
        Self {
            status: head.status.as_u16(),
            content_type: text(CONTENT_TYPE),
            content_length: text(CONTENT_LENGTH).and_then(|length| length.parse().ok()),
            content_range: text(CONTENT_RANGE).and_then(|range| to_the_end(&range)),
            retry_after: text(RETRY_AFTER).and_then(|after| pause(&after, SystemTime::now())),
            is_encoded: !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity"),
            version: Version {
                uri,
                etag: value(ETAG),
                modified: value(LAST_MODIFIED),
            },
            body,
            idle_timeout,
            waited: Duration::ZERO,
            bytes_since: 0,
        }
    }

    /// The next piece of the body, or nothing at its end. Only waiting counts for the deadline, not what the caller
    /// does between the calls.
    pub(in crate::upstream) async fn piece(&mut self) -> Result<Option<Bytes>, HttpError> {
        loop {
            let began = Instant::now();
            let left = self.idle_timeout.saturating_sub(self.waited);
            let frame = timeout(left, self.body.frame())
                .await
                .map_err(|_| HttpError::Cut(self.stalled()))?;
            self.waited += began.elapsed();
            let Some(frame) = frame else {
                return Ok(None);
            };
            let frame = frame.map_err(|error| HttpError::Cut(reason::of_body(&error)))?;
            // Trailers are of no interest.
            if let Ok(piece) = frame.into_data() {
                self.bytes_since += piece.len() as u64;
                if self.bytes_since >= PROGRESS_BYTES {
                    (self.waited, self.bytes_since) = (Duration::ZERO, 0);
                }
                return Ok(Some(piece));
            }
        }
    }

    fn stalled(&self) -> String {
        format!(
            "the body stalled: {} bytes came within {:?}",
            self.bytes_since, self.idle_timeout
        )
    }
}

/// `bytes FIRST-LAST/LENGTH` that reaches to the end, as first byte and length; nothing else is of use.
fn to_the_end(range: &str) -> Option<(u64, u64)> {
    let (range, length) = range.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last, length): (u64, u64, u64) = (
        first.parse().ok()?,
        last.parse().ok()?,
        length.parse().ok()?,
    );
    (first <= last && last.checked_add(1)? == length).then_some((first, length))
}

/// Seconds, or a date (RFC 9110, section 10.2.3).
fn pause(after: &str, now: SystemTime) -> Option<Duration> {
    let after = after.trim();
    if let Ok(seconds) = after.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(after).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_content_range_counts_only_when_it_reaches_to_the_end() {
        for (range, expected) in [
            ("bytes 5-9/10", Some((5, 10))),
            ("bytes 0-0/1", Some((0, 1))),
            ("bytes 5-8/10", None),
            ("bytes 9-5/10", None),
            ("bytes 5-9/*", None),
            ("bytes */10", None),
            ("items 5-9/10", None),
            ("bytes 0-18446744073709551615/0", None),
        ] {
            assert_eq!(to_the_end(range), expected, "{range}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Wed, 21 Oct 2026 07:28:00 GMT").unwrap();
        let seconds = Duration::from_secs;
        for (after, expected) in [
            ("120", Some(seconds(120))),
            (" 0 ", Some(seconds(0))),
            ("Wed, 21 Oct 2026 07:28:30 GMT", Some(seconds(30))),
            ("Wed, 21 Oct 2026 07:00:00 GMT", Some(seconds(0))),
            ("soon", None),
            ("-1", None),
        ] {
            assert_eq!(pause(after, now), expected, "{after}");
        }
    }
}
