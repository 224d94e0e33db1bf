//! One request, from its head to its answer.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use modmesh_protocol::control::{PeerStatus, Status};

use super::body::{AnswerBody, Content};
use super::gate::{DoorKeeper, TurnedAway};
use super::respond::{self, Answer};
use super::route::{self, Route, SumdbRoute};
use super::serve::Answering;
use crate::fetch::{Client, Fetcher};
use crate::log::{Mirror, Mirrors, OVER, TileAnswer};
use crate::metrics::{Metrics, Source};
use crate::os;

/// What the control room shows over HTTP; implemented there, handed in by `start`.
pub(crate) trait Showing: Send + Sync {
    /// The value of `/api/v1/status`.
    fn status(&self) -> Status;
    /// The value of `/api/v1/peers`.
    fn peers(&self) -> Vec<PeerStatus>;
    /// Prometheus text.
    fn metrics(&self) -> String;
}

/// Everything that an answer can need; clones share it.
#[derive(Clone)]
pub(crate) struct FrontDoor {
    pub fetcher: Fetcher,
    pub mirrors: Mirrors,
    pub showing: Arc<dyn Showing>,
    pub keeper: DoorKeeper,
    pub metrics: Metrics,
    /// Set once requests are served.
    pub ready: Arc<AtomicBool>,
    /// Whether this host asks no upstream by its settings.
    pub offline: bool,
}

/// The two ends of a connection.
#[derive(Debug)]
pub(crate) struct Ends {
    pub client: SocketAddr,
    pub server: SocketAddr,
    /// Who made the connection, once that was found out: the system's table is long on a busy machine.
    owner: OnceLock<u32>,
}

impl Ends {
    pub(crate) fn new(client: SocketAddr, server: SocketAddr) -> Self {
        Self {
            client,
            server,
            owner: OnceLock::new(),
        }
    }
}

impl Client for Ends {
    fn is_own_user(&self) -> bool {
        let found = || os::socket_owner(self.client, self.server);
        let owner = self.owner.get().copied().or_else(found);
        // Unknown may become known with the next request.
        owner.is_some_and(|owner| *self.owner.get_or_init(|| owner) == os::own_user())
    }
}

impl Answering for FrontDoor {
    async fn answer(&self, request: Request<Incoming>, ends: Arc<Ends>) -> Response<AnswerBody> {
        self.handle(&request, &ends).await
    }

    fn no_place(&self) -> Response<AnswerBody> {
        let (answer, under_way) = (respond::no_place(), self.metrics.begin());
        under_way.answered("other", answer.source, answer.code(), Duration::ZERO);
        let source = answer.source;
        answer
            .response
            .map(|content| AnswerBody::new(content, source, under_way))
    }
}

impl FrontDoor {
    /// Answers one request.
    async fn handle<B>(&self, request: &Request<B>, ends: &Ends) -> Response<AnswerBody> {
        let (began, under_way) = (Instant::now(), self.metrics.begin());
        let (kind, answer) = match self.judge(request, ends) {
            Err(reason) => ("other", respond::turned_away(&reason)),
            Ok(()) => match route::parse(request.method(), request.uri().path()) {
                Err(error) => ("other", respond::misrouted(&error)),
                Ok(route) => (route.kind(), self.answer_to(route, request, ends).await),
            },
        };
        let (code, source) = (answer.code(), answer.source);
        under_way.answered(kind, source, code, began.elapsed());
        tracing::debug!(
            path = request.uri().path(),
            code,
            source = source.as_str(),
            ms = began.elapsed().as_millis() as u64,
            "answered"
        );
        let mut response = answer.response;
        if request.method() == Method::HEAD {
            *response.body_mut() = Content::empty();
        }
        if announces_body(request.headers()) {
            // It is not read, so nobody can tell where it ends and the next request begins.
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        response.map(|content| AnswerBody::new(content, source, under_way))
    }

    fn judge<B>(&self, request: &Request<B>, ends: &Ends) -> Result<(), TurnedAway> {
        self.keeper
            .admit(request.uri(), request.headers(), ends.server)
    }

    async fn answer_to<B>(&self, route: Route, request: &Request<B>, ends: &Ends) -> Answer {
        match route {
            Route::File(key) => match self.fetcher.file(&key, ends).await {
                Ok(fetched) => {
                    let headers = request.headers();
                    respond::file(fetched, key.kind, headers, &self.fetcher)
                }
                Err(error) => respond::failure(&error),
            },
            Route::Note(key) => match self.fetcher.note(&key, ends).await {
                Ok(answer) => respond::note(&key, answer),
                Err(error) => respond::failure(&error),
            },
            Route::Sumdb(name, wanted) => match self.mirrors.served(&name) {
                Some(mirror) => self.sumdb(&mirror, wanted).await,
                None => respond::line(
                    StatusCode::NOT_FOUND,
                    format!("this host does not mirror the checksum database {name}; see --sumdb"),
                ),
            },
            Route::Healthz => respond::line(StatusCode::OK, "alive"),
            Route::Readyz if self.ready.load(Ordering::Acquire) => {
                respond::line(StatusCode::OK, "ready")
            }
            Route::Readyz => respond::line(StatusCode::SERVICE_UNAVAILABLE, "starting"),
            Route::Metrics => respond::metrics(self.showing.metrics()),
            Route::Status => respond::json(&self.showing.status()),
            Route::Peers => respond::json(&self.showing.peers()),
            Route::Root => respond::line(
                StatusCode::OK,
                "modmesh: a GOPROXY whose modules come from the neighbours; see `modmesh status`",
            ),
        }
    }

    async fn sumdb(&self, mirror: &Mirror, wanted: SumdbRoute) -> Answer {
        match wanted {
            SumdbRoute::Supported => {
                // go asks this first, in each run: the head that it holds is looked at before it needs it.
                mirror.serve_holders_soon();
                respond::line(StatusCode::OK, "")
            }
            SumdbRoute::Latest => match mirror.head() {
                Some(head) => respond::sumdb_text(head.note().to_owned(), Source::Store),
                // There is one; whoever asks must not take it for a database that does not tell.
                None if mirror.is_between_logs() => {
                    respond::line(StatusCode::SERVICE_UNAVAILABLE, OVER)
                }
                None => respond::line(
                    StatusCode::NOT_FOUND,
                    "no tree head is known here yet; it comes with the first lookup",
                ),
            },
            // The database would hear the name, and the neighbours its hash.
            SumdbRoute::Lookup(of) if self.fetcher.is_private(&of.module) => respond::line(
                StatusCode::NOT_FOUND,
                format!(
                    "{of} matches a private pattern of this host, so the checksum database is not asked for it; go needs it in GONOSUMDB or GOPRIVATE too"
                ),
            ),
            SumdbRoute::Lookup(of) => match mirror.lookup(&of).await {
                Ok((body, source)) => respond::sumdb_text(body, source),
                Err(finding) => respond::no_record(&finding, self.offline),
            },
            SumdbRoute::Tile(coordinate) => match mirror.tile(coordinate).await {
                TileAnswer::Here(bytes, source) => respond::sumdb_tile(bytes, source),
                TileAnswer::Passed(bytes) => {
                    self.metrics.tile_passed();
                    respond::sumdb_tile(bytes, Source::Upstream)
                }
                TileAnswer::Beyond(reason) => respond::line(StatusCode::NOT_FOUND, reason),
                TileAnswer::Unknown(trouble) => respond::unknown_tile(&trouble),
                TileAnswer::NotToBeHad(reason) => {
                    respond::no_tile(coordinate, &reason, self.offline)
                }
            },
        }
    }
}

/// Whether bytes of a body follow the head.
fn announces_body(headers: &HeaderMap) -> bool {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    headers.contains_key(TRANSFER_ENCODING) || lengths.any(|length| length != "0")
}
