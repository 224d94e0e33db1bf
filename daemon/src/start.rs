//! Starting and ending: opens the rooms in the order in which they need each other, and closes them in the other order.

mod databases;
mod error;
mod go_sums;
mod hours;
mod mesh_secret;
mod pause;
mod running;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use modmesh_protocol::limits::ASKED_AT_ONCE_MAX;
use modmesh_protocol::log::DatabaseId;
use modmesh_protocol::membership::Secrets;
use tokio::sync::broadcast;

pub use error::StartError;
pub use running::{Event, Running};

use crate::config::Config;
use crate::control::{BackDoor, Control};
use crate::fetch::{Fetcher, Judges, Parts, Sayings};
use crate::log::{Database, Mirrors, Opening};
use crate::metrics::Metrics;
use crate::os;
use crate::peers::{CrossingLimits, Membership, Peers, PeersConfig};
use crate::policy::Policy;
use crate::proxy::{DoorKeeper, FrontDoor, Listener};
use crate::shutdown::Shutdown;
use crate::state::{State, StateError};
use crate::store::{Store, StoreError};
use crate::trust::Authority;
use crate::upstream::{self, SumdbAddress, Upstream};
use crate::wiring::{
    AroundUs, Counting, LineOfSite, NeighbourNews, OpenShelf, SharedTiles, UpstreamLog, Way,
};
use databases::Databases;
use go_sums::GoSumFiles;
use hours::{Hours, HoursWatch};
use mesh_secret::MeshSecret;
use pause::PauseWatch;

/// Events that a listener may fall behind by before it loses the oldest.
const EVENTS_MAX: usize = 256;
/// How often files that could not be judged yet are judged again.
const JUDGE_AGAIN_EVERY: Duration = Duration::from_secs(30);
/// How long after its start a host without a working upstream waits for a first neighbour before it says that it does not
/// have something: multicast finds one within a fraction of that.
const SETTLE: Duration = Duration::from_secs(3);
/// How long after all files were announced they are not announced again, whoever comes: in a mesh of a hundred hosts with
/// ten thousand files each, this keeps such announcements below a megabyte per second and host.
const TELL_AGAIN_AFTER: Duration = Duration::from_secs(5 * 60);

/// A modmesh daemon.
#[derive(Debug, Clone, Copy)]
pub struct Daemon;

impl Daemon {
    /// Starts a daemon; it serves when this returns.
    ///
    /// # Errors
    /// A [`StartError`] names what cannot be used and what to do about it.
    pub async fn start(config: Config) -> Result<Running, StartError> {
        let began = Instant::now();
        os::raise_descriptor_limit();
        let databases = Databases::of(&config)?;
        let mut go_sums = GoSumFiles::read(&config.go_sums).await?;
        let (mesh_secret, secrets) = MeshSecret::read(config.mesh_secret_file.clone()).await?;
        let listeners = listen(&config.listen).await?;
        let state = open_state(&config).await?;
        let back_door = BackDoor::open(state.root());
        let (shutdown, metrics) = (Shutdown::new(), Metrics::new());
        let hours = Hours::of(&config).await;
        let upstream = open_upstream(&config, &state, &metrics).await?;
        if let Some(upstream) = &upstream {
            upstream.it_is(hours.minute);
        }
        let store = open_store(&config, &state, &databases).await?;
        begin_session(&state, &store).await?;
        let peers_slot = Arc::new(OnceLock::new());
        let (mirrors, around) = open_mirrors(
            &config,
            databases,
            &state,
            upstream.as_ref(),
            &peers_slot,
            &metrics,
            &shutdown,
            began,
        )?;
        let (events, _) = broadcast::channel(EVENTS_MAX);
        let sayings = Arc::new(Sayings::default());
        let shelf = OpenShelf {
            store: store.clone(),
            mirrors: mirrors.clone(),
            around: around.clone(),
            sayings: Arc::clone(&sayings),
        };
        let news = NeighbourNews {
            mirrors: mirrors.clone(),
            around,
            events: events.clone(),
            upstream: upstream.clone(),
            metrics: metrics.clone(),
        };
        if config.mesh_secret_file.is_some() || !config.members.is_empty() {
            store.show_to_members();
        }
        let peers = Peers::start(
            peers_config(&config, &state, hours, upstream.is_some(), secrets),
            Arc::new(shelf),
            Arc::new(news),
            Arc::new(Counting(metrics.clone())),
        )
        .await?;
        // Set once, here; nobody else holds the slot before this line.
        let _first = peers_slot.set(peers.clone());
        if let Some(upstream) = &upstream {
            let line = LineOfSite {
                peers: peers.clone(),
                metrics: metrics.clone(),
            };
            upstream.stand_in(Box::new(line));
        }
        let judges_modules = mirrors.judge().is_some();
        let fetcher = Fetcher::new(
            Parts {
                sayings,
                store: store.clone(),
                judges: judges(&mirrors),
                policy: Policy::new(config.private.clone(), judges_modules),
                go_sums: Default::default(),
                peers: peers.clone(),
                upstream: upstream.clone(),
                metrics: metrics.clone(),
                settled_at: began + SETTLE,
            },
            &shutdown,
        );
        go_sums.give(&fetcher).await;
        let watching = until_the_end(shutdown.clone(), go_sums.watch(fetcher.clone()));
        shutdown.spawn("go.sum files", watching);
        let watching = until_the_end(shutdown.clone(), mesh_secret.watch(peers.clone()));
        shutdown.spawn("mesh secret", watching);
        if config.pause_on_battery.is_some() || config.pause_on_metered.is_some() {
            let watch = PauseWatch {
                supplies: config.pause_on_battery.clone(),
                network_manager: config.pause_on_metered.clone(),
                upstream: upstream.clone(),
                peers: peers.clone(),
                store: store.clone(),
            };
            shutdown.spawn(
                "pause",
                until_the_end(shutdown.clone(), watch.keep_looking()),
            );
        }
        if hours.matter() {
            let watch = HoursWatch {
                hours,
                upstream: upstream.clone(),
                peers: peers.clone(),
            };
            let watching = until_the_end(shutdown.clone(), watch.keep_looking());
            shutdown.spawn("hours of limits", watching);
        }
        let control = Arc::new(Control {
            began,
            listen: listeners.iter().map(Listener::address).collect(),
            state_dir: config.state_dir.clone(),
            offline: config.offline,
            all_is_private: config.private.matches_everything(),
            upstream,
            mirrors: mirrors.clone(),
            store: store.clone(),
            peers: peers.clone(),
            metrics: metrics.clone(),
            fetcher: fetcher.clone(),
            shutdown: shutdown.clone(),
        });
        if let Some(back_door) = back_door {
            let serving = back_door.serve(control.clone(), shutdown.clone());
            shutdown.spawn("back door", serving);
        }
        let door = FrontDoor {
            fetcher: fetcher.clone(),
            mirrors,
            showing: control.clone(),
            keeper: DoorKeeper::new(&config.allow_hosts),
            metrics: metrics.clone(),
            ready: Arc::new(AtomicBool::new(false)),
            offline: config.offline || config.upstream.is_off(),
        };
        let ready = door.ready.clone();
        for listener in listeners {
            shutdown.spawn("listener", listener.serve(door.clone(), shutdown.clone()));
        }
        ready.store(true, Ordering::Release);
        keep_house(&shutdown, fetcher, store.clone());
        let newcomers = tell_newcomers(events.subscribe(), peers.clone(), store.clone());
        shutdown.spawn("newcomers", until_the_end(shutdown.clone(), newcomers));
        Ok(Running {
            listen: control.listen.clone(),
            control,
            events,
            peers,
            store,
            state,
            shutdown,
            idle_exit: config.idle_exit,
            metrics,
        })
    }
}

async fn listen(addresses: &[SocketAddr]) -> Result<Vec<Listener>, StartError> {
    let mut listeners = Vec::new();
    for address in addresses {
        let listener = Listener::bind(*address)
            .await
            .map_err(|error| StartError::Listen {
                address: *address,
                error,
            })?;
        listeners.push(listener);
    }
    Ok(listeners)
}

async fn open_state(config: &Config) -> Result<State, StartError> {
    let folder = config.state_dir.clone();
    let opened = tokio::task::spawn_blocking(move || State::open(&folder)).await;
    match opened {
        Ok(state) => Ok(state?),
        Err(error) => Err(store_error(config, &error)),
    }
}

async fn open_store(
    config: &Config,
    state: &State,
    databases: &Databases,
) -> Result<Store, StartError> {
    let (root, limit) = (state.root().to_owned(), config.store_limit_bytes);
    let suspicious = state.is_after_unclean_boot();
    let logs = databases.logs(state.root());
    let opened =
        tokio::task::spawn_blocking(move || Store::open(&root, limit, suspicious, logs)).await;
    match opened {
        Ok(store) => store.map_err(|error: StoreError| store_error(config, &error)),
        Err(error) => Err(store_error(config, &error)),
    }
}

/// Where the disk has not even room for the mark of a session, the store makes some.
async fn begin_session(state: &State, store: &Store) -> Result<(), StateError> {
    let Err(error) = state.begin_session() else {
        return Ok(());
    };
    let store = store.clone();
    let made_room = error.is_full_disk()
        && tokio::task::spawn_blocking(move || store.make_room())
            .await
            .unwrap_or(false);
    match made_room {
        true => state.begin_session(),
        false => Err(error),
    }
}

fn store_error(config: &Config, error: &dyn std::fmt::Display) -> StartError {
    StartError::Store {
        folder: config.state_dir.display().to_string(),
        reason: error.to_string(),
    }
}

async fn open_upstream(
    config: &Config,
    state: &State,
    metrics: &Metrics,
) -> Result<Option<Upstream>, StartError> {
    let folder = state.root().join("direct");
    let mut road = config.road.clone();
    road.direct.folder = Some(folder.clone());
    let swept = tokio::task::spawn_blocking(move || upstream::sweep_direct(&folder)).await;
    swept.map_err(|error| store_error(config, &error))?;
    if config.offline {
        return Ok(None);
    }
    let counting = Arc::new(Counting(metrics.clone()));
    let upstream = Upstream::new(config.upstream.clone(), road, counting)?;
    Ok((!config.upstream.is_off()).then_some(upstream))
}

type Around = HashMap<DatabaseId, Arc<AroundUs>>;

#[allow(
    clippy::too_many_arguments,
    reason = "all that a mirror's surroundings are made of"
)]
fn open_mirrors(
    config: &Config,
    databases: Databases,
    state: &State,
    upstream: Option<&Upstream>,
    peers: &Arc<OnceLock<Peers>>,
    metrics: &Metrics,
    shutdown: &Shutdown,
    began: Instant,
) -> Result<(Mirrors, Around), StartError> {
    let (mut mirrors, mut around) = (Vec::new(), Around::new());
    for spec in databases.specs {
        let database = spec.key.database_id();
        let surroundings = Arc::new(AroundUs {
            name: spec.name().to_owned(),
            database,
            peers: peers.clone(),
            upstream: upstream.map(|upstream| {
                Arc::new(UpstreamLog {
                    upstream: upstream.clone(),
                    address: SumdbAddress {
                        name: spec.name().to_owned(),
                        direct_base: spec.direct_url(),
                        bypass_proxies: spec.url.is_some(),
                    },
                    metrics: metrics.clone(),
                    way: match spec.url {
                        Some(_) => Way::Straight,
                        None => Way::Proxies,
                    },
                    last_note: Arc::default(),
                    givers: Arc::default(),
                })
            }),
            metrics: metrics.clone(),
            settled_at: began + SETTLE,
            lookups_took: Arc::default(),
            tiles: Arc::new(SharedTiles::new(shutdown)),
        });
        around.insert(database, surroundings.clone());
        let opened = Database::open(Opening {
            state: state.root().to_owned(),
            key: spec.key,
            client_folders: config.client_sumdb_dirs.clone(),
            surroundings,
            shutdown: shutdown.clone(),
        });
        let mirror = opened.map_err(|error| store_error(config, &error))?;
        let upkeep = until_the_end(shutdown.clone(), mirror.clone().keep_whole());
        shutdown.spawn("upkeep of the checksum database", upkeep);
        mirrors.push(mirror);
    }
    Ok((Mirrors::new(mirrors, databases.first), around))
}

fn judges(mirrors: &Mirrors) -> Judges {
    let authority = |database: &Database| -> Arc<dyn Authority> { Arc::new(database.clone()) };
    Judges {
        modules: mirrors.judge().map(authority),
        toolchains: mirrors.toolchain_judge().map(authority),
    }
}

fn peers_config(
    config: &Config,
    state: &State,
    hours: Hours,
    can_fetch: bool,
    secrets: Secrets,
) -> PeersConfig {
    PeersConfig {
        identity_file: state.root().join("identity"),
        evidence_dir: state.root().join("evidence"),
        distrusted_file: state.root().join("distrusted"),
        machine_id: os::machine_id(),
        listen: config.peer_listen.clone(),
        listen_asked: config.peer_listen_asked,
        peers: config.peers.clone(),
        membership: Membership {
            secrets,
            list: config.members.clone(),
        },
        mdns: config.mdns,
        release: env!("CARGO_PKG_VERSION").to_owned(),
        can_fetch,
        limit_upload: config.limit_upload.clone(),
        limit_download: config.limit_download.clone(),
        minute: hours.minute,
        crossing: CrossingLimits {
            site: config.site.clone(),
            rate: config.limit_site.clone(),
            bytes_a_day: config.site_budget_bytes,
        },
        neighbours_max: config.neighbours_max,
        site_connections: config.site_connections,
    }
}

async fn until_the_end(shutdown: Shutdown, work: impl Future<Output = ()>) {
    tokio::select! {
        () = shutdown.requested() => {}
        () = work => {}
    }
}

/// Announces all that this host has when neighbours came, for newcomers heard none of what was told before. A mesh in which
/// everybody is asked needs no announcements.
async fn tell_newcomers(mut events: broadcast::Receiver<Event>, peers: Peers, store: Store) {
    loop {
        match events.recv().await {
            Ok(Event::NeighbourCame { .. }) if peers.connected() > ASKED_AT_ONCE_MAX => {}
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => continue,
            Err(broadcast::error::RecvError::Closed) => return,
        }
        // Others come at the same time, and gossip needs a moment to know them.
        tokio::time::sleep(SETTLE).await;
        peers.announce(store.shareable());
        tokio::time::sleep(TELL_AGAIN_AFTER).await;
    }
}

/// The daemon's own recurring work.
fn keep_house(shutdown: &Shutdown, fetcher: Fetcher, store: Store) {
    let ending = shutdown.clone();
    shutdown.spawn("scrub", async move {
        let scrubbed =
            tokio::task::spawn_blocking(move || store.scrub_suspects(|| ending.is_requested()));
        if scrubbed.await.is_err() {
            tracing::warn!(
                "the check of the store failed; it will be tried again at the next start"
            );
        }
    });
    let ending = shutdown.clone();
    shutdown.spawn("pending", async move {
        loop {
            tokio::select! {
                () = ending.requested() => return,
                () = tokio::time::sleep(JUDGE_AGAIN_EVERY) => {}
            }
            tokio::select! {
                () = ending.requested() => return,
                () = fetcher.judge_unsettled() => {}
            }
        }
    });
}
