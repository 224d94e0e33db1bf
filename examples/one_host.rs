//! One daemon inside another program: the upstream is whatever `go env GOPROXY` says, the state is a folder given as the
//! only argument.
//!
//! ```sh
//! cargo run --example one_host -- /tmp/modmesh-example
//! ```

use std::error::Error;
use std::path::PathBuf;
use std::process::Command;

use modmesh_daemon::{Config, Daemon};
use modmesh_protocol::goproxy::ProxyList;
use modmesh_protocol::limits::NEIGHBOURS_MAX;
use modmesh_protocol::log::{DatabaseSpec, SumdbSetting};
use modmesh_protocol::module::Patterns;

#[tokio::main]
#[allow(clippy::print_stdout)]
async fn main() -> Result<(), Box<dyn Error>> {
    let state_dir = std::env::args().nth(1).ok_or("give a state folder")?;
    let upstream = Command::new("go").args(["env", "GOPROXY"]).output()?.stdout;
    let daemon = Daemon::start(Config {
        listen: vec!["127.0.0.1:0".parse()?],
        allow_hosts: Vec::new(),
        state_dir: PathBuf::from(state_dir),
        store_limit_bytes: 1 << 30,
        upstream: ProxyList::parse(String::from_utf8(upstream)?.trim())?,
        databases: vec![SumdbSetting::Database(DatabaseSpec::sum_golang_org())],
        client_sumdb_dirs: Vec::new(),
        go_sums: Vec::new(),
        private: Patterns::parse("")?,
        peer_listen: vec!["0.0.0.0:0".parse()?],
        peer_listen_asked: false,
        peers: Vec::new(),
        mesh_secret_file: None,
        members: Vec::new(),
        mdns: true,
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
    .await?;
    println!("GOPROXY=http://{}", daemon.listen()[0]);
    println!("neighbours reach it at {:?}", daemon.peer_addresses());
    daemon
        .wait(async {
            let _ended_early_on_error = tokio::signal::ctrl_c().await;
        })
        .await;
    Ok(())
}
