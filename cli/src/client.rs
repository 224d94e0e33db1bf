//! Asks a daemon that runs: plain HTTP on its listen address.
//!
//! Every answer of modmesh carries `X-Modmesh-Source`; what answers without it is somebody else, and is told apart
//! before anything is believed or sent there. A daemon that is not to be asked by this user (`ours`) hears `/healthz` and
//! nothing else. Every question has a deadline and every answer a bound.

mod socket;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;

use crate::addresses::{base_url, reachable};
use crate::ours::{Judge, NotOurs};
pub(crate) use socket::{SocketClient, SocketError};

/// How long one answer may take.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);
/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The header that every answer of modmesh carries.
const OUR_HEADER: &str = "x-modmesh-source";

/// A way to one daemon.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    base_url: String,
    address: SocketAddr,
    judge: Judge,
    http: hyper_util::client::legacy::Client<HttpConnector, Empty<Bytes>>,
}

/// Why a daemon gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// Nothing listens there.
    #[error(
        "no daemon answers at {0}: start one with `modmesh up`, or name its address with --listen IP:PORT"
    )]
    NoDaemon(String),
    /// Something listens there, and it is not modmesh.
    #[error("what answers at {0} is not modmesh: name the daemon's address with --listen IP:PORT")]
    Stranger(String),
    /// It is modmesh, and whose it is forbids to ask it.
    #[error("what answers at {0} is {1}, and is not asked: {remedy}", remedy = .1.remedy(*.2))]
    NotOurs(String, NotOurs, SocketAddr),
    #[error("{0} gave no answer within {secs} s", secs = ANSWER_DEADLINE.as_secs())]
    TimedOut(String),
    #[error("{0} answered with status {1}: {2}")]
    Status(String, u16, String),
    #[error("the answer of {0} cannot be understood: {1} (is the daemon of another release?)")]
    Json(String, #[source] serde_json::Error),
}

impl Client {
    /// A client of the daemon that listens on `address`. Nothing is sent yet.
    pub(crate) fn new(address: &SocketAddr, judge: Judge) -> Self {
        let connector = HttpConnector::new();
        Self {
            base_url: base_url(address),
            address: reachable(*address),
            judge,
            http: hyper_util::client::legacy::Client::builder(TokioExecutor::new())
                .build(connector),
        }
    }

    /// The daemon's address as a URL without a slash at its end.
    pub(crate) fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The body of the answer for `path`, which must be 200.
    pub(crate) async fn get(&self, path: &str) -> Result<String, ClientError> {
        let (status, body) = self.ask(path).await?;
        let url = format!("{}{path}", self.base_url);
        match status {
            200 => Ok(body),
            status => {
                let reason = body.lines().next().unwrap_or_default();
                Err(ClientError::Status(
                    url,
                    status,
                    crate::output::plain(reason),
                ))
            }
        }
    }

    /// The answer for `path` as the type it is of.
    pub(crate) fn read<T: DeserializeOwned>(&self, body: &str) -> Result<T, ClientError> {
        serde_json::from_str(body).map_err(|error| ClientError::Json(self.base_url.clone(), error))
    }

    /// Whether a daemon is there.
    pub(crate) async fn is_alive(&self) -> Result<bool, ClientError> {
        match self.ask("/healthz").await {
            Ok((200, _)) => Ok(true),
            Ok((status, body)) => Err(ClientError::Status(self.base_url.clone(), status, body)),
            Err(ClientError::NoDaemon(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether the daemon serves requests. Not being there, or not yet, is no.
    pub(crate) async fn is_ready(&self) -> bool {
        matches!(self.ask("/readyz").await, Ok((200, _)))
    }

    async fn ask(&self, path: &str) -> Result<(u16, String), ClientError> {
        match self.judge.admit(self.address) {
            Ok(()) => self.exchange(path).await,
            // Nobody there, and somebody who is not modmesh, are told as such.
            Err(not_ours) => {
                self.exchange("/healthz").await?;
                let url = self.base_url.clone();
                Err(ClientError::NotOurs(url, not_ours, self.address))
            }
        }
    }

    async fn exchange(&self, path: &str) -> Result<(u16, String), ClientError> {
        let whole = async {
            let url = format!("{}{path}", self.base_url);
            let Ok(uri) = url.parse() else {
                return Err(ClientError::NoDaemon(self.base_url.clone()));
            };
            let answer = self.http.get(uri).await.map_err(|error| {
                // Who takes the connection and speaks no HTTP is there, but is not modmesh.
                match error.is_connect() {
                    true => ClientError::NoDaemon(self.base_url.clone()),
                    false => ClientError::Stranger(self.base_url.clone()),
                }
            })?;
            if !answer.headers().contains_key(OUR_HEADER) {
                return Err(ClientError::Stranger(self.base_url.clone()));
            }
            let status = answer.status().as_u16();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX)
                .collect()
                .await
                .map_err(|_| ClientError::Stranger(self.base_url.clone()))?;
            let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
            Ok((status, text))
        };
        tokio::time::timeout(ANSWER_DEADLINE, whole)
            .await
            .unwrap_or_else(|_| Err(ClientError::TimedOut(self.base_url.clone())))
    }
}
