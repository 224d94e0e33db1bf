//! PLACEHOLDER, only on this branch: stands for `modmesh_daemon::{Daemon, Event, Running, StartError,
//! check_peer_address}` until they are there, in the same shape. To join: delete this file and use those names.
#![allow(dead_code)]

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use modmesh_daemon::config::Config;
use modmesh_protocol::control::FoundBy;
use modmesh_protocol::peer_name::PeerName;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;

pub(crate) fn check_peer_address(text: &str) -> Result<(), String> {
    match text.starts_with('/') {
        true => Ok(()),
        false => Err("not a multiaddr; write it like /ip4/10.0.0.7/tcp/8485".to_owned()),
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Daemon;

#[derive(Debug)]
pub(crate) struct Running {
    listen: Vec<SocketAddr>,
    events: broadcast::Sender<Event>,
    idle_exit: Option<Duration>,
    notices: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    NeighbourCame { name: PeerName, found_by: FoundBy },
    NeighbourWent { name: PeerName },
}

#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {0}: {1}; give a free address with --listen")]
pub(crate) struct StartError(SocketAddr, io::Error);

impl Daemon {
    pub(crate) async fn start(config: Config) -> Result<Running, StartError> {
        let mut listen = Vec::new();
        for address in config.listen {
            let failed = |error| StartError(address, error);
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            listen.push(listener.local_addr().map_err(failed)?);
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(answer(stream));
                }
            });
        }
        Ok(Running {
            listen,
            events: broadcast::channel(1).0,
            idle_exit: config.idle_exit,
            notices: vec!["this is a placeholder of the daemon".to_owned()],
        })
    }
}

async fn answer(stream: TcpStream) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    loop {
        let mut first = String::new();
        if stream.read_line(&mut first).await? == 0 {
            return Ok(());
        }
        line.clear();
        while line != "\r\n" {
            line.clear();
            stream.read_line(&mut line).await?;
        }
        let body = if first.contains("/api/v1/peers") {
            "[]"
        } else {
            "ok"
        };
        let head = "HTTP/1.1 200 OK\r\nX-Modmesh-Source: none\r\nContent-Length:";
        stream
            .write_all(format!("{head} {}\r\n\r\n{body}", body.len()).as_bytes())
            .await?;
    }
}

impl Running {
    pub(crate) fn listen(&self) -> &[SocketAddr] {
        &self.listen
    }

    pub(crate) fn peer_name(&self) -> &'static str {
        "12D3KooWPlaceholder"
    }

    pub(crate) fn notices(&self) -> &[String] {
        &self.notices
    }

    pub(crate) fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    pub(crate) async fn wait(self, shutdown: impl Future<Output = ()>) {
        let began = Instant::now();
        let idle = async {
            match self.idle_exit {
                Some(limit) => tokio::time::sleep(limit.saturating_sub(began.elapsed())).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! { () = shutdown => {}, () = idle => {} }
    }
}
