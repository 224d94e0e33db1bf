//! From results to answers. The one table that turns an error into a status is [`status_of`].

use http::header::{
    ACCEPT_RANGES, AGE, ALLOW, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    IF_RANGE, RANGE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use modmesh_protocol::artifact::FileKind;
use modmesh_protocol::log::TileCoordinate;

use super::body::{Content, FileBody};
use super::gate::TurnedAway;
use super::route::RouteError;
use crate::fetch::{FetchError, Fetched, Fetcher, NoteAnswer, NoteKey, UpstreamError};
use crate::log::{Finding, Trouble};
use crate::metrics::Source;

/// An answer before it is sent, with the source it is counted under.
#[derive(Debug)]
pub(crate) struct Answer {
    pub response: Response<Content>,
    pub source: Source,
}

impl Answer {
    /// Its status.
    pub(crate) fn code(&self) -> u16 {
        self.response.status().as_u16()
    }
}

const SOURCE: HeaderName = HeaderName::from_static("x-modmesh-source");
/// The version of a module that is newer than what is answered, and cannot be had while no upstream answers.
const NEWER: HeaderName = HeaderName::from_static("x-modmesh-newer");
const TEXT: &str = "text/plain; charset=UTF-8";
const JSON: &str = "application/json";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// One line of ours, for a person or a probe.
pub(crate) fn line(status: StatusCode, text: impl Into<String>) -> Answer {
    let mut text = text.into();
    if !text.is_empty() {
        text.push('\n');
    }
    plain(status, TEXT, text, Source::None)
}

pub(crate) fn json(value: &impl serde::Serialize) -> Answer {
    match serde_json::to_string(value) {
        Ok(body) => plain(StatusCode::OK, JSON, body, Source::None),
        Err(error) => line(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

pub(crate) fn metrics(body: String) -> Answer {
    plain(StatusCode::OK, OPEN_METRICS, body, Source::None)
}

/// A record or head of the checksum database.
pub(crate) fn sumdb_text(body: String, source: Source) -> Answer {
    plain(StatusCode::OK, TEXT, body, source)
}

pub(crate) fn sumdb_tile(body: Vec<u8>, source: Source) -> Answer {
    plain(StatusCode::OK, "application/octet-stream", body, source)
}

/// An answer that no hash covers.
pub(crate) fn note(key: &NoteKey, answer: NoteAnswer) -> Answer {
    let content_type = match key {
        NoteKey::Info(..) | NoteKey::Latest(_) => JSON,
        NoteKey::List(_) => TEXT,
    };
    let mut made = plain(StatusCode::OK, content_type, answer.bytes, answer.source);
    if let Some(age) = answer.stale {
        set(&mut made.response, AGE, &age.as_secs().to_string());
    }
    if let Some(newer) = answer.newer {
        set(&mut made.response, NEWER, newer.as_str());
    }
    made
}

/// A file of the store, whole or the part that was asked for.
pub(crate) fn file(
    fetched: Fetched,
    kind: FileKind,
    request: &HeaderMap,
    fetcher: &Fetcher,
) -> Answer {
    let Fetched { stored, source } = fetched;
    let measured = stored.entry.proof.measured();
    let (length, etag) = (measured.length, format!("\"{}\"", measured.blob));
    let mut response = Response::new(Content::empty());
    set(&mut response, ETAG, &etag);
    set(&mut response, ACCEPT_RANGES, "bytes");
    if names(request, &IF_NONE_MATCH, &etag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return finish(response, source);
    }
    let Ok(range) = requested_range(request, &etag, length) else {
        *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
        set(&mut response, CONTENT_RANGE, &format!("bytes */{length}"));
        return finish(response, source);
    };
    if let Some((start, end)) = range {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let part = format!("bytes {start}-{}/{length}", end.saturating_sub(1));
        set(&mut response, CONTENT_RANGE, &part);
    }
    let (start, end) = range.unwrap_or((0, length));
    let content_type = match kind {
        FileKind::Zip => "application/zip",
        FileKind::Mod | FileKind::Info => TEXT,
    };
    set(&mut response, CONTENT_TYPE, content_type);
    set(&mut response, CONTENT_LENGTH, &(end - start).to_string());
    let (fetcher, entry) = (fetcher.clone(), stored.entry);
    let body = FileBody::new(
        stored.file,
        (start, end),
        Box::new(move |error| fetcher.quarantine(&entry, &error.to_string())),
    );
    *response.body_mut() = Content::File(Box::new(body));
    finish(response, source)
}

/// All places for connections are taken.
pub(crate) fn no_place() -> Answer {
    let text = "this modmesh daemon has as many connections as it takes; close some of them, or try again in a moment";
    line(StatusCode::SERVICE_UNAVAILABLE, text)
}

/// A request that got nothing, as `go` will show it.
pub(crate) fn failure(error: &FetchError) -> Answer {
    let status = status_of(error);
    if let FetchError::Upstream(upstream) = error
        && let Some(answer) = upstream.answer()
    {
        // Upstream's text passes unchanged; where it was none that a person could read, ours says who answered what.
        let text = match &answer.text {
            Some(theirs) => theirs.clone(),
            None => format!("{upstream}\n"),
        };
        return plain(status, TEXT, text, Source::Upstream);
    }
    let mut made = line(status, error.to_string());
    if let FetchError::SaidBefore(refusal) = error {
        let age = refusal.age.as_secs().to_string();
        set(&mut made.response, AGE, &age);
    }
    made
}

/// What `go` is told, by the kind of the error. 404 lets `go` pass on to the next proxy of a comma list, so it is said
/// only where something is known to be nowhere.
fn status_of(error: &FetchError) -> StatusCode {
    match error {
        FetchError::Upstream(upstream) => match upstream.as_ref() {
            UpstreamError::NotFound(answer)
            | UpstreamError::Refused(answer)
            | UpstreamError::Failed(answer)
            | UpstreamError::DirectRefused(answer) => StatusCode::from_u16(answer.status)
                .ok()
                // A status that is no error would make a failure look like an answer.
                .filter(|status| status.is_client_error() || status.is_server_error())
                .unwrap_or(StatusCode::BAD_GATEWAY),
            UpstreamError::Off => StatusCode::NOT_FOUND,
            UpstreamError::DirectNotYours => StatusCode::FORBIDDEN,
            UpstreamError::Unreachable { .. } | UpstreamError::DirectFailed { .. } => {
                StatusCode::GATEWAY_TIMEOUT
            }
            UpstreamError::TooLarge { .. } => StatusCode::BAD_GATEWAY,
            UpstreamError::Sink(_) => StatusCode::INSUFFICIENT_STORAGE,
        },
        FetchError::SaidBefore(refusal) => {
            StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::NOT_FOUND)
        }
        FetchError::SaidToMember(no) => {
            StatusCode::from_u16(no.status).unwrap_or(StatusCode::NOT_FOUND)
        }
        FetchError::Offline(_) | FetchError::InsideHeld(_) => StatusCode::NOT_FOUND,
        FetchError::Unreachable { .. } => StatusCode::GATEWAY_TIMEOUT,
        FetchError::Untrue(_)
        | FetchError::Nonsense { .. }
        | FetchError::Neighbour { .. }
        | FetchError::OverBudget { .. } => StatusCode::BAD_GATEWAY,
        FetchError::Refused(_) => StatusCode::FORBIDDEN,
        FetchError::Store(error) if error.is_shortage() => StatusCode::SERVICE_UNAVAILABLE,
        FetchError::Store(_) => StatusCode::INSUFFICIENT_STORAGE,
        FetchError::GivenUp | FetchError::Lost { .. } => StatusCode::SERVICE_UNAVAILABLE,
        FetchError::Crashed => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A lookup that found no record.
pub(crate) fn no_record(finding: &Finding, offline: bool) -> Answer {
    match finding {
        Finding::Unlisted => line(
            StatusCode::NOT_FOUND,
            "not found: the checksum database has no record of this version",
        ),
        Finding::Unreachable(trouble) if offline => line(
            StatusCode::NOT_FOUND,
            format!(
                "neither this host nor a neighbour has the checksum database's record: {}",
                trouble.reason
            ),
        ),
        Finding::Unreachable(trouble) => line(
            status_in(trouble),
            format!("the checksum database cannot be asked: {}", trouble.reason),
        ),
        Finding::Listed(record) => line(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("record {} has no tree head to go with it", record.id),
        ),
    }
}

/// Theirs, if somebody answered with one.
fn status_in(trouble: &Trouble) -> StatusCode {
    let status = trouble.status;
    status
        .and_then(|status| StatusCode::from_u16(status).ok())
        .unwrap_or(StatusCode::GATEWAY_TIMEOUT)
}

/// A tile that nobody gave and that may exist.
pub(crate) fn unknown_tile(trouble: &Trouble) -> Answer {
    line(status_in(trouble), trouble.reason.to_string())
}

/// A tile that exists and that nobody gave.
pub(crate) fn no_tile(tile: TileCoordinate, reason: &str, offline: bool) -> Answer {
    let status = if offline {
        StatusCode::NOT_FOUND
    } else {
        StatusCode::GATEWAY_TIMEOUT
    };
    let path = tile.path();
    line(status, format!("{path} of the checksum database: {reason}"))
}

pub(crate) fn misrouted(error: &RouteError) -> Answer {
    let status = match error {
        RouteError::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
        RouteError::Path(_) => StatusCode::BAD_REQUEST,
        RouteError::Unknown(_) => StatusCode::NOT_FOUND,
    };
    let mut answer = line(status, error.to_string());
    if status == StatusCode::METHOD_NOT_ALLOWED {
        set(&mut answer.response, ALLOW, "GET, HEAD");
    }
    answer
}

pub(crate) fn turned_away(reason: &TurnedAway) -> Answer {
    let status = match reason {
        TurnedAway::ForeignHost(_) | TurnedAway::NoHost => StatusCode::MISDIRECTED_REQUEST,
        TurnedAway::WebPage => StatusCode::FORBIDDEN,
    };
    line(status, reason.to_string())
}

fn plain(
    status: StatusCode,
    content_type: &str,
    body: impl Into<bytes::Bytes>,
    source: Source,
) -> Answer {
    let body = body.into();
    let mut response = Response::new(Content::empty());
    *response.status_mut() = status;
    set(&mut response, CONTENT_TYPE, content_type);
    set(&mut response, CONTENT_LENGTH, &body.len().to_string());
    if !body.is_empty() {
        *response.body_mut() = Content::bytes(body);
    }
    finish(response, source)
}

fn finish(mut response: Response<Content>, source: Source) -> Answer {
    set(&mut response, SOURCE, source.as_str());
    set(&mut response, X_CONTENT_TYPE_OPTIONS, "nosniff");
    Answer { response, source }
}

fn set(response: &mut Response<Content>, name: HeaderName, value: &str) {
    // Every value is made of printable ASCII; one that is not would be left out.
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// Whether a list of entity tags names `etag` (RFC 9110, section 13.1.2; weak tags compare by their opaque part).
fn names(request: &HeaderMap, header: &HeaderName, etag: &str) -> bool {
    request
        .get_all(header)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

#[derive(Debug, PartialEq, Eq)]
struct Unsatisfiable;

/// The part that is asked for, as start and end; nothing for the whole. Several ranges, other units and malformed ranges
/// are answered with the whole, as RFC 9110, section 14.2 allows.
fn requested_range(
    request: &HeaderMap,
    etag: &str,
    length: u64,
) -> Result<Option<(u64, u64)>, Unsatisfiable> {
    let value = request.get(RANGE).and_then(|value| value.to_str().ok());
    let Some((first, last)) = value
        .and_then(|value| value.strip_prefix("bytes="))
        .and_then(|range| range.trim().split_once('-'))
    else {
        return Ok(None);
    };
    if request.contains_key(IF_RANGE) && !names(request, &IF_RANGE, etag) {
        return Ok(None);
    }
    let (start, end) = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => (first, last.saturating_add(1).min(length)),
        (Ok(first), Err(_)) if last.is_empty() => (first, length),
        (Err(_), Ok(suffix)) if first.is_empty() => (length.saturating_sub(suffix), length),
        _ => return Ok(None),
    };
    if start >= end {
        return Err(Unsatisfiable);
    }
    Ok(Some((start, end)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn range(value: &str, length: u64) -> Result<Option<(u64, u64)>, Unsatisfiable> {
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, value.parse().unwrap());
        requested_range(&headers, "\"tag\"", length)
    }

    #[test]
    fn ranges_are_read_as_rfc_9110_says() {
        assert_eq!(range("bytes=0-0", 10), Ok(Some((0, 1))));
        assert_eq!(range("bytes=2-", 10), Ok(Some((2, 10))));
        assert_eq!(range("bytes=-3", 10), Ok(Some((7, 10))));
        assert_eq!(range("bytes=-30", 10), Ok(Some((0, 10))));
        assert_eq!(range("bytes=5-100", 10), Ok(Some((5, 10))));
        assert_eq!(range("bytes=10-", 10), Err(Unsatisfiable));
        assert_eq!(range("bytes=-0", 10), Err(Unsatisfiable));
        for whole in [
            "bytes=5-2",
            "bytes=a-b",
            "bytes=0-1,3-4",
            "lines=0-1",
            "bytes=-",
            "bytes=5",
        ] {
            assert_eq!(range(whole, 10), Ok(None), "{whole}");
        }
    }

    #[test]
    fn a_range_of_another_form_of_the_file_is_not_given() {
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, "bytes=0-0".parse().unwrap());
        headers.insert(IF_RANGE, "\"other\"".parse().unwrap());
        assert_eq!(requested_range(&headers, "\"tag\"", 10), Ok(None));
        headers.insert(IF_RANGE, "\"tag\"".parse().unwrap());
        assert_eq!(requested_range(&headers, "\"tag\"", 10), Ok(Some((0, 1))));
    }
}
