//! Asks a daemon over the socket in its state folder: for what names modules, and so is told to its own user alone,
//! and for what changes something.
//!
//! The folder is its user's own and so is the socket, which is why nobody else can stand in for the daemon there. The
//! same bound holds as over TCP, and for questions the same deadline.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::Method;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use modmesh_protocol::control::{SOCKET_NAME, SOCKET_PATH_BYTES_MAX};
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::{ANSWER_BYTES_MAX, ANSWER_DEADLINE};

/// How long the answer to a wish may take: the daemon waits for neighbours and files, and ends the conversation after 30 s.
const CHANGE_DEADLINE: Duration = Duration::from_secs(32);

/// A way to the daemon of one state folder.
#[derive(Debug, Clone)]
pub(crate) struct SocketClient {
    path: PathBuf,
}

/// Why it gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SocketError {
    #[error(
        "no daemon runs on the state folder {}: start one with `modmesh up`, or name the folder of the one that runs with --state DIR (`modmesh status` shows it)",
        .0.display()
    )]
    NoDaemon(PathBuf),
    #[error(
        "the daemon at {} cannot be asked: it belongs to another user; ask as that user, or run one of your own with `modmesh up`",
        .0.display()
    )]
    NotYours(PathBuf),
    #[error(
        "a daemon with the state folder {} cannot be asked: the path of a socket in it would have more than {SOCKET_PATH_BYTES_MAX} bytes; give it a shorter one with --state",
        .0.display()
    )]
    TooLong(PathBuf),
    #[error("the daemon at {} cannot be asked: {}", .0.display(), .1)]
    Connect(PathBuf, #[source] io::Error),
    #[error("the daemon at {} broke off its answer: {}; its log may say why", .0.display(), .1)]
    Broken(PathBuf, String),
    #[error("the daemon at {} gave no answer within {} s", .0.display(), .1)]
    TimedOut(PathBuf, u64),
    #[error("the daemon at {} answered with status {}: {}", .0.display(), .1, .2)]
    Status(PathBuf, u16, String),
    /// The daemon's own reason, which says what to do.
    #[error("{0}")]
    Refused(String),
    #[error("the answer of the daemon at {} cannot be understood: {} (is it of another release?)", .0.display(), .1)]
    Json(PathBuf, #[source] serde_json::Error),
}

impl SocketClient {
    /// A client of the daemon that runs on this state folder. Nothing is sent yet.
    pub(crate) fn new(state_dir: &Path) -> Self {
        Self {
            path: state_dir.join(SOCKET_NAME),
        }
    }

    /// The body of the answer for `path_and_query`, which must be 200.
    pub(crate) async fn get(&self, path_and_query: &str) -> Result<String, SocketError> {
        self.told(Method::GET, path_and_query, Bytes::new()).await
    }

    /// The body of the answer to `body`, which must be 200.
    pub(crate) async fn post(
        &self,
        path_and_query: &str,
        body: Vec<u8>,
    ) -> Result<String, SocketError> {
        self.told(Method::POST, path_and_query, body.into()).await
    }

    async fn told(
        &self,
        method: Method,
        path_and_query: &str,
        body: Bytes,
    ) -> Result<String, SocketError> {
        let (status, body) = self
            .ask_within(method, path_and_query, body, ANSWER_DEADLINE)
            .await?;
        match status {
            200 => Ok(body),
            status => Err(SocketError::Status(
                self.path.clone(),
                status,
                reason(&body),
            )),
        }
    }

    /// The body of the answer to a wish that changes something and may take a while, which must be 200.
    pub(crate) async fn change(&self, path_and_query: &str) -> Result<String, SocketError> {
        let (status, body) = self
            .ask_within(Method::POST, path_and_query, Bytes::new(), CHANGE_DEADLINE)
            .await?;
        match status {
            200 => Ok(body),
            _ => Err(SocketError::Refused(reason(&body))),
        }
    }

    /// The answer as the type it is of.
    pub(crate) fn read<T: DeserializeOwned>(&self, body: &str) -> Result<T, SocketError> {
        serde_json::from_str(body).map_err(|error| SocketError::Json(self.path.clone(), error))
    }

    async fn ask_within(
        &self,
        method: Method,
        path_and_query: &str,
        body: Bytes,
        deadline: Duration,
    ) -> Result<(u16, String), SocketError> {
        let late = |_| SocketError::TimedOut(self.path.clone(), deadline.as_secs());
        let asking = self.ask(method, path_and_query, body);
        let answered = tokio::time::timeout(deadline, asking).await;
        answered.map_err(late)?
    }

    async fn ask(
        &self,
        method: Method,
        path_and_query: &str,
        body: Bytes,
    ) -> Result<(u16, String), SocketError> {
        let broken = |error: &dyn std::fmt::Display| {
            SocketError::Broken(self.path.clone(), error.to_string())
        };
        let stream = self.connect().await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broken(&error))?;
        // It ends with the answer; what goes wrong in it is seen there.
        tokio::spawn(connection);
        let request = hyper::Request::builder()
            .method(method)
            .uri(path_and_query)
            .header("host", "modmesh")
            .body(Full::new(body))
            .map_err(|error| broken(&error))?;
        let answer = sender
            .send_request(request)
            .await
            .map_err(|error| broken(&error))?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| broken(&error))?;
        let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        Ok((status, text))
    }

    async fn connect(&self) -> Result<UnixStream, SocketError> {
        let folder = || self.path.parent().unwrap_or(&self.path).to_owned();
        if self.path.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
            return Err(SocketError::TooLong(folder()));
        }
        UnixStream::connect(&self.path)
            .await
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                    SocketError::NoDaemon(folder())
                }
                io::ErrorKind::PermissionDenied => SocketError::NotYours(self.path.clone()),
                _ => SocketError::Connect(self.path.clone(), error),
            })
    }
}

/// The one line of a refusal.
fn reason(body: &str) -> String {
    crate::output::plain(body.lines().next().unwrap_or_default())
}
