//! What a daemon is started with: checked values. Where they come from is the command line's business.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use modmesh_protocol::goproxy::ProxyList;
use modmesh_protocol::log::SumdbSetting;
use modmesh_protocol::module::Patterns;
use modmesh_protocol::peer_name::PeerName;
use modmesh_protocol::rate::{Limit, Minute};
use modmesh_protocol::site::Site;

/// The settings of one daemon.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where `go` is served. Port 0 takes any free one.
    pub listen: Vec<SocketAddr>,
    /// Names, besides addresses, under which requests are accepted.
    pub allow_hosts: Vec<String>,
    /// The state folder.
    pub state_dir: PathBuf,
    /// Size above which the bodies that were asked for longest ago are evicted, in bytes.
    pub store_limit_bytes: u64,
    /// Where modules come from when no neighbour has them; this daemon's own addresses are not in it.
    pub upstream: ProxyList,
    /// The checksum databases: the first judges modules, the others are mirrored. `off` as the first: nothing is judged
    /// but toolchains.
    pub databases: Vec<SumdbSetting>,
    /// Where clients of this host keep the tree heads that they hold: `GOPATH/pkg/sumdb`.
    pub client_sumdb_dirs: Vec<PathBuf>,
    /// Files of go.sum that vouch, on this host alone, for what the database says nothing of. Read at the start and when they
    /// change.
    pub go_sums: Vec<PathBuf>,
    /// Modules whose names neither the database nor any neighbour may hear.
    pub private: Patterns,
    /// Where neighbours are listened for.
    pub peer_listen: Vec<SocketAddr>,
    /// Whether those addresses were asked for: then a busy one is an error and not a reason to take another.
    pub peer_listen_asked: bool,
    /// Multiaddresses of neighbours to call.
    pub peers: Vec<String>,
    /// The file with the mesh secrets: with it, members alone are dealt with. Read at the start and when it changes.
    pub mesh_secret_file: Option<PathBuf>,
    /// Neighbours that are members without a secret: with any, members alone are dealt with.
    pub members: Vec<PeerName>,
    /// Whether neighbours are looked for by multicast.
    pub mdns: bool,
    /// The name of this host's site; nothing where the site is its link.
    pub site: Option<Site>,
    /// Whether upstream is never asked.
    pub offline: bool,
    /// What this host sends to its neighbours, all together, at most.
    pub limit_upload: Limit,
    /// What this host takes from its neighbours, all together, at most.
    pub limit_download: Limit,
    /// What goes between this host and other sites, at most, in each direction.
    pub limit_site: Limit,
    /// Tells which minute of the week it is, for limits by the hour; nothing for the clock and the time zone of this machine.
    pub local_minute: Option<fn() -> Minute>,
    /// Bytes that go between this host and other sites in 24 hours, at most, both ways together; nothing for no limit.
    pub site_budget_bytes: Option<u64>,
    /// Most neighbours that are connected at the same time, from
    /// [`NEIGHBOURS_MIN`](modmesh_protocol::limits::NEIGHBOURS_MIN) to [`NEIGHBOURS_MAX`](modmesh_protocol::limits::NEIGHBOURS_MAX).
    pub neighbours_max: usize,
    /// The most requests to the upstream that the hosts of this site have under way together, at least one; nothing for no cap.
    pub site_connections: Option<u16>,
    /// Where the power supplies of this machine are told of, when no large file is to be sent to neighbours while it runs on
    /// battery: `/sys/class/power_supply`.
    pub pause_on_battery: Option<PathBuf>,
    /// The command of NetworkManager, when no large file is to be sent to neighbours while a line of this machine is metered:
    /// `nmcli`. A name alone is looked for on the PATH; what is not there says of no line that it is metered.
    pub pause_on_metered: Option<PathBuf>,
    /// Ends the daemon after so long without a request.
    pub idle_exit: Option<Duration>,
    /// Deadlines and bounds of the road to upstream.
    pub road: crate::upstream::Options,
}
