//! The daemons of a pass: one for each upstream that the scripts know.
//!
//! The origin misbehaves below certain paths: `$GOPROXY/403/...` is always refused, `$GOPROXY/redirect/9/...` goes round
//! nine times. A daemon has one upstream, so each of these paths gets a daemon whose upstream it is.

use harness::{HostOptions, TestHost};

use crate::suite::Origin;

/// The paths below the origin, as scripts append them to `$GOPROXY`; the first is the origin as it should be.
const WAYS: [&str; 11] = [
    "",
    "403",
    "404",
    "410",
    "500",
    "invalid",
    "redirect/9",
    "redirect/11",
    "sumdb-404",
    "sumdb-503",
    "sumdb-504",
];

/// Running daemons, each with the path it stands for.
#[derive(Debug)]
pub(crate) struct Hosts {
    hosts: Vec<(&'static str, TestHost)>,
    /// The origin's GOPROXY.
    origin: String,
}

impl Hosts {
    /// Daemons whose upstream is the origin.
    pub(crate) fn with_upstream(origin: &Origin, key: &str) -> Self {
        let origin = origin.url();
        let start = |way: &'static str| {
            let upstream = format!("{origin}/{way}");
            let host = HostOptions::new(&format!("first/{way}"))
                .upstream(upstream.trim_end_matches('/'))
                .sumdb(&database(&origin, key, way));
            (way, host.start())
        };
        Self {
            hosts: WAYS.map(start).into(),
            origin,
        }
    }

    /// Daemons without upstream, each with one of the others as its only neighbour.
    pub(crate) fn with_neighbour(others: &Self, key: &str) -> Self {
        let start = |(way, other): &(&'static str, TestHost)| {
            let host = HostOptions::new(&format!("second/{way}"))
                .peer(&other.peer_address())
                .sumdb(&database(&others.origin, key, way))
                .start();
            host.wait_for_neighbours(1);
            (*way, host)
        };
        Self {
            hosts: others.hosts.iter().map(start).collect(),
            origin: others.origin.clone(),
        }
    }

    /// Ends each in good order and starts it again.
    pub(crate) fn restart(&mut self) {
        for (_, host) in &mut self.hosts {
            host.stop();
            host.restart();
        }
    }

    /// The paths, each with the URL of its daemon.
    pub(crate) fn ways(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.hosts.iter().map(|(way, host)| (*way, host.url()))
    }
}

/// The suite's checksum database as a daemon is told of it: the key, and where the database itself answers.
///
/// The real database answers everybody, also who uses a proxy; so does the suite's, below `sumdb-direct`. Without an
/// address a daemon could not tell "the database has no such record" from "the proxy says so". Where a script's proxy
/// fails for the database alone (`sumdb-503`), the database itself fails in the same way: else a daemon would ask it in
/// the proxy's place, and the failure that the script is about would never be seen.
fn database(origin: &str, key: &str, way: &str) -> String {
    let place = way.strip_prefix("sumdb-").unwrap_or("sumdb-direct");
    format!("{key} {origin}/{place}")
}
