//! Two daemons in one program: the first has an upstream, the second has none and gets everything from the first.
//!
//! ```sh
//! cargo run --example two_hosts -- /tmp/modmesh-example
//! ```
//!
//! Then download something through the first, and the same through the second.

use std::error::Error;
use std::path::PathBuf;
use std::process::Command;

use modmesh_daemon::{Config, Daemon};
use modmesh_protocol::goproxy::ProxyList;
use modmesh_protocol::limits::NEIGHBOURS_MAX;
use modmesh_protocol::log::{DatabaseSpec, SumdbSetting};
use modmesh_protocol::module::Patterns;

fn config(state_dir: PathBuf, upstream: &str) -> Result<Config, Box<dyn Error>> {
    Ok(Config {
        listen: vec!["127.0.0.1:0".parse()?],
        allow_hosts: Vec::new(),
        state_dir,
        store_limit_bytes: 1 << 30,
        upstream: ProxyList::parse(upstream)?,
        databases: vec![SumdbSetting::Database(DatabaseSpec::sum_golang_org())],
        client_sumdb_dirs: Vec::new(),
        go_sums: Vec::new(),
        private: Patterns::parse("")?,
        peer_listen: vec!["127.0.0.1:0".parse()?],
        peer_listen_asked: true,
        peers: Vec::new(),
        // Loopback carries no multicast; the second host is told where the first is.
        mesh_secret_file: None,
        members: Vec::new(),
        mdns: false,
        site: None,
        offline: false,
        limit_upload: Default::default(),
        limit_download: Default::default(),
        limit_site: Default::default(),
        local_minute: None,
        neighbours_max: NEIGHBOURS_MAX,
        site_connections: None,
        site_budget_bytes: None,
        pause_on_battery: None,
        pause_on_metered: None,
        idle_exit: None,
        road: modmesh_daemon::upstream::Options::default(),
    })
}

#[tokio::main]
#[allow(clippy::print_stdout)]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("give a state folder")?);
    let upstream = Command::new("go").args(["env", "GOPROXY"]).output()?.stdout;
    let upstream = String::from_utf8(upstream)?;

    let first = Daemon::start(config(folder.join("first"), upstream.trim())?).await?;
    let mut second = config(folder.join("second"), "off")?;
    second.peers = first.peer_addresses();
    let second = Daemon::start(second).await?;

    let mut neighbours = second.events();
    println!(
        "the first, with an upstream:  GOPROXY=http://{}",
        first.listen()[0]
    );
    println!(
        "the second, without one:      GOPROXY=http://{}",
        second.listen()[0]
    );
    println!("{:?}", neighbours.recv().await?);
    let _ended_early_on_error = tokio::signal::ctrl_c().await;
    second.wait(async {}).await;
    first.wait(async {}).await;
    Ok(())
}
