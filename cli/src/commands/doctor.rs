//! `modmesh doctor`: does it work, and why not? One line for each finding, with its remedy.
//!
//! Each group of checks is a file with a part that looks and a pure part that judges what was seen. It is made for the
//! host on which nothing works, so nothing that is missing stops it, everything that could hang has a deadline, and the
//! whole takes ten seconds at most. It asks `go env`, the daemon, the system and the link; the upstream is not asked.

mod clock;
mod daemon;
mod disk;
mod finding;
mod go;
mod multicast;
mod neighbours;
mod unverified;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use modmesh_daemon::own_user;
use modmesh_protocol::control::Status;
use modmesh_protocol::log::SumdbSetting;
use serde_json::json;

use super::Failure;
use crate::arguments::DoctorArguments;
use crate::client::ClientError;
use crate::ours::Purpose;
use crate::output;
use crate::settings::{Gathered, Settings, SettingsError, go_env};
use daemon::Told;
use finding::{Finding, Level};

/// How long `go` and the daemon may take; they are asked at the same time.
const ASK_DEADLINE: Duration = Duration::from_secs(5);
/// How long disk, ports and multicast may take; they are looked at together, after that.
const LOOK_DEADLINE: Duration = Duration::from_secs(3);

/// Looks at everything and reports.
pub(crate) async fn doctor(arguments: DoctorArguments) -> Result<ExitCode, Failure> {
    let where_to = &arguments.where_to;
    let gathered = super::gather(where_to, Purpose::Look).await?;
    let findings = examine(&gathered).await?;
    let is_well = findings
        .iter()
        .all(|finding| finding.level != Level::Problem);
    if arguments.json {
        let report = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "ok": is_well,
            "findings": findings,
        });
        output::say(&serde_json::to_string_pretty(&report)?);
    } else {
        let rows: Vec<[String; 3]> = findings.iter().map(Finding::row).collect();
        output::say(&output::table(&rows));
    }
    Ok(match is_well {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(1),
    })
}

async fn examine(gathered: &Gathered) -> Result<Vec<Finding>, Failure> {
    let address = super::address_to_ask(gathered)?;
    // Looked at only: for `run`, a system user's daemon would have to be named.
    let client = super::client_for(gathered, Purpose::Look)?;
    let (settings, go, answer) = tokio::join!(
        within(ASK_DEADLINE, gathered.clone().settings()),
        go_env::ask(ASK_DEADLINE),
        within(ASK_DEADLINE, daemon::ask(&client)),
    );
    let us = client.base_url().to_owned();
    let answer = answer.unwrap_or_else(|| Err(ClientError::TimedOut(us.clone())));
    let release = env!("CARGO_PKG_VERSION");
    let mut findings = go::judge(&go::Facts {
        answer: go,
        in_environment: gathered.variable("GOPROXY")?,
        flags_in_environment: gathered.variable("GOFLAGS")?,
        database_in_environment: gathered.variable("GOSUMDB")?,
        listen: match &answer {
            Ok(told) => listened(&told.status, gathered.listen()?.value),
            Err(_) => gathered.listen()?.value,
        },
    });
    findings.push(daemon::judge_port(&answer, &us, release));
    let settings = match settings {
        Some(Ok(settings)) => Some(settings),
        Some(Err(error)) => {
            findings.push(judge_settings(&error, answer.is_ok()));
            None
        }
        // go env hangs, which was said already.
        None => None,
    };
    match (&answer, &settings) {
        (Ok(told), _) => {
            findings.extend(daemon::judge_notices(&told.status));
            findings.push(daemon::judge_upstream(&told.status));
            findings.extend(daemon::judge_database(&told.status));
            let unreached = &told.status.unreached_peers;
            findings.extend(neighbours::judge_peers(&told.peers, unreached));
        }
        (Err(_), Some(settings)) => {
            if settings.databases.value.first() == Some(&SumdbSetting::Off) {
                findings.push(daemon::off());
            }
        }
        (Err(_), None) => {}
    }
    let owner = modmesh_daemon::listener_owner(address).filter(|_| answer.is_ok());
    let elsewhere = owner.filter(|owner| *owner != own_user());
    findings.extend(look_around(gathered, settings.as_ref(), answer.ok(), elsewhere).await);
    Ok(findings)
}

/// Settings that cannot be used. That they tell no upstream is made good by a flag, as it was for a daemon that runs.
fn judge_settings(error: &SettingsError, daemon_answers: bool) -> Finding {
    const CHECK: &str = "settings";
    let lacks_upstream = matches!(
        error,
        SettingsError::OnlyUs(..) | SettingsError::NoUpstream { .. }
    );
    match (lacks_upstream, daemon_answers) {
        (true, true) => Finding::ok(
            CHECK,
            "they tell no upstream but this daemon; it was given one when it was started, or --offline, and will need that again",
        ),
        (true, false) => Finding::problem(
            CHECK,
            error.to_string(),
            "`modmesh up` starts with --upstream LIST or --offline",
        ),
        (false, _) => Finding::problem(
            CHECK,
            error.to_string(),
            "`modmesh up` will not start with them",
        ),
    }
}

/// What the daemon listens on, and what it was expected to: `go` may know it by either.
fn listened(status: &Status, expected: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let told = status.listen_addrs.iter();
    let told = told.filter_map(|address| address.parse().ok());
    told.chain(expected).collect()
}

/// Ports, multicast, disk and clock. `told` is what a daemon said, and `other_user` who owns it when that is not this user:
/// then its folder is not ours to look into.
async fn look_around(
    gathered: &Gathered,
    settings: Option<&Settings>,
    told: Option<Told>,
    other_user: Option<u32>,
) -> Vec<Finding> {
    let no_mdns = settings.is_some_and(|settings| settings.no_mdns.value);
    let peers_are_named = settings.is_some_and(|settings| !settings.peers.value.is_empty());
    let multicast = async {
        match no_mdns {
            true => None,
            false => Some(blocking(multicast::listen).await.and_then(|heard| heard)),
        }
    };
    let wanted: Vec<SocketAddr> =
        settings.map_or(Vec::new(), |settings| settings.peer_listen.value.clone());
    let served = told.as_ref().map(|told| {
        let status = &told.status;
        (status.peer_addrs.clone(), status.peer_port_in_use)
    });
    let port = blocking(move || match served {
        Some((addresses, in_use)) => Some(neighbours::look_at_served(&addresses, in_use)),
        None => neighbours::look_for_room(&wanted),
    });
    let state_dir = match &told {
        _ if other_user.is_some() => None,
        Some(told) => Some(PathBuf::from(&told.status.state_dir)),
        None => gathered.state_dir().ok().map(|folder| folder.value),
    };
    let store = match (&told, settings) {
        (Some(told), _) => {
            let store = &told.status.store;
            disk::Store {
                bytes: store.bytes,
                may_grow_bytes: store.limit_bytes.saturating_sub(store.bytes),
            }
        }
        (None, Some(settings)) => disk::Store {
            bytes: 0,
            may_grow_bytes: settings.store_limit_bytes.value,
        },
        (None, None) => disk::Store::default(),
    };
    let daemon_runs = told.is_some();
    let disk = blocking(move || {
        state_dir.map(|folder| {
            let written = clock::last_written(&folder);
            (disk::look(&folder, own_user(), daemon_runs, store), written)
        })
    });
    let (multicast, port, disk) = tokio::join!(multicast, port, disk);
    let mut findings = Vec::new();
    if let Some(heard) = multicast {
        findings.push(neighbours::judge_multicast(&heard, peers_are_named));
    }
    if let Ok(Some(port)) = port {
        findings.push(neighbours::judge_port(&port));
    }
    let mut written = None;
    match disk {
        Ok(Some((facts, last_written))) => {
            written = last_written;
            findings.extend(disk::judge(&facts));
        }
        Ok(None) if other_user.is_some() => findings.push(Finding::ok(
            "state",
            "the daemon is another user's, and its folder is not looked into",
        )),
        Ok(None) => findings.push(Finding::problem(
            "state",
            "there is no home folder to keep the state in",
            "set MODMESH_STATE to a folder for it",
        )),
        Err(error) => findings.push(Finding::problem(
            "disk",
            format!("the state folder cannot be looked at: {error}"),
            "look at the disk it lies on",
        )),
    }
    findings.push(clock::judge(SystemTime::now(), written));
    findings
}

/// The result, if it comes in time.
async fn within<T>(deadline: Duration, work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(deadline, work).await.ok()
}

/// Looks on a thread that may wait, and gives up on it when it waits too long.
async fn blocking<T: Send + 'static>(look: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    match within(LOOK_DEADLINE, tokio::task::spawn_blocking(look)).await {
        Some(Ok(seen)) => Ok(seen),
        Some(Err(error)) => Err(io::Error::other(error)),
        None => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no answer within {} s", LOOK_DEADLINE.as_secs()),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_without_an_upstream_are_no_problem_of_a_daemon_that_runs() {
        let lacking = SettingsError::NoUpstream {
            why: "go env tells no GOPROXY",
        };
        assert_eq!(judge_settings(&lacking, true).level, Level::Ok);
        let found = judge_settings(&lacking, false);
        assert_eq!(found.level, Level::Problem);
        assert!(
            found
                .remedy
                .is_some_and(|remedy| remedy.contains("--offline"))
        );
        let broken = SettingsError::NoStateFolder;
        assert_eq!(judge_settings(&broken, true).level, Level::Problem);
    }
}
