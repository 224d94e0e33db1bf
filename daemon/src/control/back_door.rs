//! The socket `control.sock` in the state folder: HTTP/1.1 for the daemon's own user.
//!
//! The state folder is locked while its daemon runs, so a socket found at the start belongs to nobody any more. Its mode
//! is 0600, and whoever comes is asked for by the system's own word (`SO_PEERCRED`) as well: this user and root, nobody
//! else. Browsers and other hosts cannot reach it at all, so there is no judging of headers here. A daemon that cannot
//! have the socket warns and works without: `go` does not need it.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use modmesh_protocol::control::{SOCKET_NAME, SOCKET_PATH_BYTES_MAX};
use modmesh_protocol::go_sum::{GO_SUM_BYTES_MAX, GoSumError};
use serde::Serialize;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::Control;
use super::question::{self, Question, QuestionError};
use crate::os;
use crate::seldom::Seldom;
use crate::shutdown::{END_DEADLINE, Shutdown};

/// Connections at a time; one person asks one question.
const CONNECTIONS_MAX: usize = 16;
/// How long a client may take to send a request's head.
const HEAD_DEADLINE: Duration = Duration::from_secs(5);
/// How long one question and its answer may take, the neighbours' two seconds included.
const CONVERSATION_DEADLINE: Duration = Duration::from_secs(30);
/// Largest head of a request.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// How long accepting rests after it failed, which it does when descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Files of go.sum that are read and judged at a time, each of up to 16 MiB.
static GO_SUMS: Semaphore = Semaphore::const_new(2);
static UNACCEPTED: Seldom = Seldom::new();

type Answer = Response<Full<Bytes>>;

/// The bound socket.
#[derive(Debug)]
pub(crate) struct BackDoor {
    socket: UnixListener,
    file: SocketFile,
}

/// The socket's name in the state folder; taken away with this value, unless it is another's by then.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl BackDoor {
    /// Binds the socket in the locked state folder `state`; nothing, and a warning, where that cannot be.
    pub(crate) fn open(state: &Path) -> Option<Self> {
        let path = state.join(SOCKET_NAME);
        let bytes = path.as_os_str().len();
        if bytes > SOCKET_PATH_BYTES_MAX {
            tracing::warn!(
                "the path of the control socket, {}, has {bytes} bytes and may have {SOCKET_PATH_BYTES_MAX}: `modmesh explain` and `modmesh sumdb` will not work; choose a shorter folder with --state for it",
                path.display()
            );
            return None;
        }
        match Self::bind(&path) {
            Ok(door) => Some(door),
            Err(error) => {
                tracing::warn!(
                    "the control socket {} cannot be had: {error}; `modmesh explain` and `modmesh sumdb` will not work, everything else will",
                    path.display()
                );
                None
            }
        }
    }

    fn bind(path: &Path) -> io::Result<Self> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = UnixListener::bind(path)?;
        // Who came before the mode was set is asked who he is like everybody else.
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        Ok(Self {
            socket,
            file: SocketFile {
                path: path.to_owned(),
                inode: fs::symlink_metadata(path)?.ino(),
            },
        })
    }

    /// Serves until the end is requested, then lets answers under way finish until the deadline.
    pub(crate) async fn serve(self, control: Arc<Control>, shutdown: Shutdown) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let graceful = GracefulShutdown::new();
        loop {
            let accepting = async {
                let place = places.clone().acquire_owned().await;
                let (stream, _) = self.socket.accept().await?;
                Ok::<_, io::Error>((stream, place))
            };
            let accepted = tokio::select! {
                () = shutdown.requested() => break,
                accepted = accepting => accepted,
            };
            match accepted {
                Ok((stream, place)) if is_ours(&stream) => {
                    let conversation = converse(stream, control.clone(), graceful.watcher());
                    shutdown.spawn("control connection", async move {
                        conversation.await;
                        drop(place);
                    });
                }
                Ok(_) => {
                    tracing::warn!("another user came to the control socket and was sent away")
                }
                Err(error) => {
                    if let Some(left_out) = UNACCEPTED.turn() {
                        tracing::warn!(%error, left_out, "a connection to the control socket could not be accepted");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop((self.socket, self.file));
        // What is not done by then is cut with everything else.
        let _in_time = tokio::time::timeout(END_DEADLINE, graceful.shutdown()).await;
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let there = fs::symlink_metadata(&self.path);
        if there.is_ok_and(|there| there.ino() == self.inode) {
            let _gone_with_its_folder = fs::remove_file(&self.path);
        }
    }
}

/// Whether a process of this user or of root is at the other end.
fn is_ours(stream: &UnixStream) -> bool {
    const ROOT: u32 = 0;
    stream
        .peer_cred()
        .is_ok_and(|who| [os::own_user(), ROOT].contains(&who.uid()))
}

async fn converse(stream: UnixStream, control: Arc<Control>, watcher: Watcher) {
    let service = service_fn(|request| {
        let control = control.clone();
        async move { Ok::<_, Infallible>(answer(request, &control).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    let ended = tokio::time::timeout(CONVERSATION_DEADLINE, watcher.watch(connection)).await;
    if !matches!(ended, Ok(Ok(()))) {
        tracing::debug!("a connection to the control socket ended early");
    }
}

async fn answer<B>(request: Request<B>, control: &Arc<Control>) -> Answer
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let question = question::parse(request.method(), request.uri());
    // No other question has a body, so that none is ever read. What is no question is told so, with a body and without.
    let may_have_body = matches!(question, Ok(Question::GoSum(_)) | Err(_));
    if !may_have_body && !request.body().is_end_stream() {
        return line(StatusCode::PAYLOAD_TOO_LARGE, "a question here has no body");
    }
    match question {
        Ok(Question::Explain(of)) => json(&control.explain(&of).await),
        Ok(Question::GoSum(name)) => go_sum(control, name, request.into_body()).await,
        Ok(Question::Databases) => json(&control.known_databases()),
        Ok(Question::BeginAnew { name, instead, yes }) => {
            match control.begin_anew(&name, instead, yes).await {
                Ok(begun) => json(&begun),
                Err(error) => line(error.status(), &error.to_string()),
            }
        }
        Ok(Question::Distrust { peer, undo }) => match control.distrust(peer, undo).await {
            Ok(taken_back) => json(&taken_back),
            Err(error) => line(error.status(), &error.to_string()),
        },
        Ok(Question::Stop) => {
            control.shutdown.wish();
            line(StatusCode::ACCEPTED, "ending")
        }
        Err(error) => refusal(&error),
    }
}

/// Takes a go.sum. So many at a time are read, whoever sends how many.
async fn go_sum<B>(control: &Control, name: String, body: B) -> Answer
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let too_large = || {
        let why = GoSumError::TooLarge.to_string();
        line(StatusCode::PAYLOAD_TOO_LARGE, &why)
    };
    if body.size_hint().lower() > GO_SUM_BYTES_MAX as u64 {
        return too_large();
    }
    let Ok(_turn) = GO_SUMS.acquire().await else {
        return line(StatusCode::SERVICE_UNAVAILABLE, "this daemon is ending");
    };
    let text = match Limited::new(body, GO_SUM_BYTES_MAX).collect().await {
        Ok(text) => text.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => return too_large(),
        Err(_) => return line(StatusCode::BAD_REQUEST, "the body broke off"),
    };
    match control.take_go_sum(name, text).await {
        Ok(taken) => json(&taken),
        Err(refusal) => line(StatusCode::PAYLOAD_TOO_LARGE, &refusal),
    }
}

fn refusal(error: &QuestionError) -> Answer {
    let status = match error {
        QuestionError::Unknown => StatusCode::NOT_FOUND,
        QuestionError::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
        QuestionError::Query(_) => StatusCode::BAD_REQUEST,
    };
    let mut answer = line(status, &error.to_string());
    if let QuestionError::Method(allowed) = error
        && let Ok(allowed) = HeaderValue::from_str(allowed.as_str())
    {
        answer.headers_mut().insert(ALLOW, allowed);
    }
    answer
}

fn json<T: Serialize>(value: &T) -> Answer {
    match serde_json::to_string_pretty(value) {
        Ok(text) => whole(StatusCode::OK, "application/json", text),
        Err(error) => line(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn line(status: StatusCode, text: &str) -> Answer {
    whole(status, "text/plain; charset=UTF-8", format!("{text}\n"))
}

fn whole(status: StatusCode, content_type: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    // By this a client knows that modmesh answers.
    headers.insert("x-modmesh-source", HeaderValue::from_static("none"));
    answer
}
