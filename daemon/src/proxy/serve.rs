//! Listening, accepting, ending: HTTP/1.1 connections under a permit each.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::handle::{Ends, FrontDoor};
use crate::seldom::Seldom;
use crate::shutdown::{END_DEADLINE, Shutdown};

/// Connections at a time; `go` keeps at most a few dozen open.
const CONNECTIONS_MAX: usize = 1024;
/// How long a client may take to send a request's head.
const HEAD_DEADLINE: Duration = Duration::from_secs(30);
/// How long accepting rests after it failed, which it does when descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

static UNACCEPTED: Seldom = Seldom::new();

/// A bound socket of the front door.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Binds `address`; port 0 takes any free one.
    pub(crate) async fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the end is requested, then lets answers under way finish until the deadline.
    pub(crate) async fn serve(self, door: FrontDoor, shutdown: Shutdown) {
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let graceful = GracefulShutdown::new();
        loop {
            let accepted = tokio::select! {
                () = shutdown.requested() => break,
                accepted = self.accept(&permits) => accepted,
            };
            match accepted {
                Ok((stream, client, permit)) => {
                    let server = stream.local_addr().unwrap_or(self.address);
                    let ends = Ends::new(client, server);
                    let connection = converse(stream, ends, door.clone(), graceful.watcher());
                    shutdown.spawn("connection", async move {
                        connection.await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    if let Some(left_out) = UNACCEPTED.turn() {
                        tracing::warn!(%error, left_out, "a connection could not be accepted");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.socket);
        if tokio::time::timeout(END_DEADLINE, graceful.shutdown())
            .await
            .is_err()
        {
            tracing::warn!("some answers were still being sent and are cut");
        }
    }

    async fn accept(
        &self,
        permits: &Arc<Semaphore>,
    ) -> io::Result<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
        let permit = permits
            .clone()
            .acquire_owned()
            .await
            .map_err(io::Error::other)?;
        let (stream, client) = self.socket.accept().await?;
        stream.set_nodelay(true)?;
        Ok((stream, client, permit))
    }
}

async fn converse(stream: TcpStream, ends: Ends, door: FrontDoor, watcher: Watcher) {
    let (client, ends) = (ends.client, Arc::new(ends));
    let service = service_fn(|request| {
        let (door, ends) = (door.clone(), Arc::clone(&ends));
        async move { Ok::<_, std::convert::Infallible>(door.handle(request, &ends).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%client, %error, "a connection ended early");
    }
}
