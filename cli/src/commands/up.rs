//! `modmesh up`: starts the daemon in this process and tells a person what to do next.
//!
//! Stdout has the few lines a person wants: where it listens, whom it asks, where the state is, its neighbours as they
//! come and go, and the one line to type. Everything else is a log line on stderr. A service manager that asked for it is
//! told when it serves, that it lives and when it ends (`notify`). The first SIGTERM or ctrl-c ends
//! cleanly, as `POST /v1/stop` and a daemon without work do; a signal after that, or ten seconds, ends at once.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::oneshot;

use super::Failure;
use crate::addresses::{base_url, nearest_to_go, told};
use crate::arguments::UpArguments;
use crate::notify::Manager;
use crate::settings::{Gathered, Settings, go_env};
use crate::{logging, output};
use modmesh_daemon::{Daemon, Event, Running};

/// How long a clean end may take before the process ends without it.
const END_DEADLINE: Duration = Duration::from_secs(10);
/// How long the hint on GOPROXY may wait for `go env` when it was not asked before.
const HINT_DEADLINE: Duration = Duration::from_secs(2);

/// Serves until it is told to end.
pub(crate) async fn up(arguments: UpArguments) -> Result<ExitCode, Failure> {
    let file = arguments.settings.config.as_deref();
    let gathered = Gathered::under(arguments.settings.layer(), file)?;
    let settings = gathered.settings().await?;
    logging::start(
        &settings.log.value,
        settings.log_format.value,
        &settings.state_dir.value,
    );

    let idle_exit = arguments
        .idle_exit_minutes
        .map(|minutes| Duration::from_secs(u64::from(minutes) * 60));
    let signals = signals::Signals::new().map_err(Failure::Runtime)?;
    let manager = Manager::of_environment();
    let (tell, mut told) = oneshot::channel();
    let (begin_end, end_begins) = oneshot::channel();
    tokio::spawn(end_in_time(signals, manager.clone(), tell, end_begins));
    let running = tokio::select! {
        started = Daemon::start(settings.to_config(idle_exit)) => started?,
        _ = &mut told => return Ok(ExitCode::SUCCESS),
    };
    let ending = running.ending();
    tokio::spawn(async move {
        ending.await;
        // It watches already when it was a signal that ended the daemon.
        let _watched = begin_end.send(());
    });
    let events = running.events();
    for line in greeting(&settings, &running) {
        output::say(&line);
    }
    let open = running.listen().iter().find(|at| !at.ip().is_loopback());
    if let Some(address) = open {
        tracing::warn!(
            "go is served on {address}, which every host that reaches this one can use; for this host alone give --listen 127.0.0.1:{}",
            address.port()
        );
    }
    let listen: Vec<String> = running.listen().iter().map(base_url).collect();
    manager.ready(&format!("serves go on {}", listen.join(", ")));
    tokio::spawn(manager.clone().keep_telling());
    tokio::spawn(tell_what_to_type(
        settings.goproxy.clone(),
        running.listen().to_vec(),
    ));
    tokio::spawn(tell_of_neighbours(events));
    running
        .wait(async {
            // Whoever tells lives as long as the process.
            let _told = told.await;
        })
        .await;
    Ok(ExitCode::SUCCESS)
}

fn greeting(settings: &Settings, running: &Running) -> Vec<String> {
    let line = |what: &str, value: String| format!("  {what:<11} {value}");
    let listen: Vec<String> = running.listen().iter().map(told).collect();
    let limit = output::bytes(settings.store_limit_bytes.value);
    let mut lines = vec![
        format!("modmesh {} is up", env!("CARGO_PKG_VERSION")),
        line("listens on", listen.join(", ")),
        line("upstream", upstream(settings)),
        line(
            "state",
            format!("{} (at most {limit})", settings.state_dir.value.display()),
        ),
        line("neighbours", neighbours(settings)),
        line("name", running.peer_name().to_string()),
    ];
    let notices = running.notices();
    lines.extend(notices.iter().map(|notice| format!("note: {notice}")));
    lines
}

/// Whom the daemon asks for what no neighbour has, and who says so.
fn upstream(settings: &Settings) -> String {
    let upstream = &settings.upstream;
    match settings.offline.value {
        true => format!("not asked (offline, from {})", settings.offline.source),
        false => format!("{} (from {})", upstream.value, upstream.source),
    }
}

/// How neighbours are met, and which.
fn neighbours(settings: &Settings) -> String {
    let met = met(settings);
    let secret = settings.mesh_secret_file.value.as_ref();
    let secret = secret.map(|file| format!("who knows the secret in {}", file.display()));
    let listed = match settings.members.value.len() {
        0 => None,
        1 => Some("1 that is named".to_owned()),
        several => Some(format!("{several} that are named")),
    };
    let members: Vec<String> = secret.into_iter().chain(listed).collect();
    match members.is_empty() {
        true => met,
        false => format!("{met}; members alone: {}", members.join(", ")),
    }
}

fn met(settings: &Settings) -> String {
    let called = match settings.peers.value.len() {
        0 => None,
        1 => Some("called at 1 address".to_owned()),
        several => Some(format!("called at {several} addresses")),
    };
    match (settings.no_mdns.value, called) {
        (false, None) => "looked for on this link".to_owned(),
        (false, Some(called)) => format!("looked for on this link, and {called}"),
        (true, Some(called)) => called,
        (true, None) => {
            "not looked for (no-mdns is set and no --peer given); they may call".to_owned()
        }
    }
}

/// Prints the one line to type next, unless `go` comes here already.
async fn tell_what_to_type(goproxy: Option<String>, listen: Vec<SocketAddr>) {
    let goproxy = match goproxy {
        Some(goproxy) => goproxy,
        None => go_env::ask(HINT_DEADLINE)
            .await
            .map(|answer| answer.goproxy)
            .unwrap_or_default(),
    };
    let Some(address) = nearest_to_go(&listen) else {
        return;
    };
    let us = base_url(&address);
    if super::goes_through_us(&goproxy, &listen) {
        output::say("go uses it already (go env GOPROXY begins with it)");
    } else {
        let setup = super::setup_line(address);
        output::say(&format!(
            "To make go use it, type `{setup}` (--undo takes it back), or:"
        ));
        output::say(&format!("  go env -w GOPROXY=\"{us}|$(go env GOPROXY)\""));
    }
}

/// Prints neighbours as they come and go.
async fn tell_of_neighbours(mut events: Receiver<Event>) {
    loop {
        match events.recv().await {
            Ok(Event::NeighbourCame { name, found_by }) => {
                output::say(&format!("neighbour came: {name} ({})", found_by.as_str()));
            }
            Ok(Event::NeighbourWent { name }) => output::say(&format!("neighbour went: {name}")),
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

/// Passes the first signal on as `tell`. From when the end begins, by a signal or otherwise, sees to it that the process
/// does end: a signal more, or the deadline, ends it at once.
async fn end_in_time(
    mut signals: signals::Signals,
    manager: Manager,
    tell: oneshot::Sender<()>,
    end_begins: oneshot::Receiver<()>,
) {
    tokio::select! {
        () = signals.told_to_end() => {
            output::say("ending; once more ends at once");
            // Nobody hears it when the daemon did not start, and then the process ends anyway.
            let _ending_anyway = tell.send(());
        }
        // Not when it is dropped: then the daemon did not start.
        Ok(()) = end_begins => {}
    }
    manager.stopping();
    let in_time = tokio::time::timeout(END_DEADLINE, signals.told_to_end()).await;
    if in_time.is_err() {
        output::complain("the end took too long; what was under way is cut");
    }
    std::process::exit(1);
}

#[cfg(unix)]
mod signals {
    //! SIGTERM and SIGINT.

    use std::io;
    use tokio::signal::unix::{Signal, SignalKind, signal};

    pub(super) struct Signals {
        interrupt: Signal,
        terminate: Signal,
    }

    impl Signals {
        pub(super) fn new() -> io::Result<Self> {
            Ok(Self {
                interrupt: signal(SignalKind::interrupt())?,
                terminate: signal(SignalKind::terminate())?,
            })
        }

        pub(super) async fn told_to_end(&mut self) {
            tokio::select! {
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {}
            }
        }
    }
}

#[cfg(not(unix))]
mod signals {
    //! Ctrl-c alone.

    pub(super) struct Signals;

    impl Signals {
        pub(super) fn new() -> std::io::Result<Self> {
            Ok(Self)
        }

        pub(super) async fn told_to_end(&mut self) {
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending().await
            }
        }
    }
}
