//! `modmesh peers`: the neighbours, one line each, what went wrong with them below it; or the daemon's own JSON.

use std::process::ExitCode;

use modmesh_protocol::control::{PeerStatus, Status, UnreachedPeer};

use super::Failure;
use crate::arguments::AskArguments;
use crate::output::{self, bytes, plain};

/// Shows the neighbours.
pub(crate) async fn peers(arguments: AskArguments) -> Result<ExitCode, Failure> {
    let client = super::client(&arguments.where_to).await?;
    let body = client.get("/api/v1/peers").await?;
    if arguments.json {
        output::say(body.trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    let peers: Vec<PeerStatus> = client.read(&body)?;
    let status: Status = client.read(&client.get("/api/v1/status").await?)?;
    output::say(&text(&peers, &status.unreached_peers));
    Ok(ExitCode::SUCCESS)
}

/// The neighbours, and the addresses of `--peer` at which nobody is.
fn text(peers: &[PeerStatus], unreached: &[UnreachedPeer]) -> String {
    let mut lines: Vec<String> = Vec::new();
    if !peers.is_empty() || unreached.is_empty() {
        lines.push(neighbours(peers));
    }
    lines.extend(unreached.iter().map(super::unreached));
    lines.join("\n")
}

fn neighbours(peers: &[PeerStatus]) -> String {
    if peers.is_empty() {
        return "no neighbours yet: start `modmesh up` on another host of this network, or name one with --peer"
            .to_owned();
    }
    let has_sites = peers.iter().any(|peer| peer.across || peer.site.is_some());
    let head = [
        "NAME",
        "STATE",
        "FOUND BY",
        "ROUND TRIP",
        "RECEIVED",
        "SENT",
        "SITE",
        "ADDRESS",
    ];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(peers.iter().map(row));
    // The troubles of a neighbour stand below its line, so that they do not widen the columns.
    let table = match has_sites {
        true => output::table(&rows),
        false => output::table(&rows.into_iter().map(without_site).collect::<Vec<_>>()),
    };
    let mut lines = table.lines();
    let mut text: Vec<String> = lines.by_ref().take(1).map(str::to_owned).collect();
    for (peer, line) in peers.iter().zip(lines) {
        text.push(line.to_owned());
        text.extend(troubles(peer));
    }
    text.join("\n")
}

fn row(peer: &PeerStatus) -> [String; 8] {
    let state = match (&peer.banned_until, peer.connected) {
        _ if peer.distrusted => "distrusted",
        (Some(_), _) => "banned",
        (None, true) => "connected",
        (None, false) if peer.on_errand => "on an errand",
        (None, false) => "gone",
    };
    let member = if peer.member { ", member" } else { "" };
    let round_trip = peer.rtt_ms.map(|ms| format!("{ms:.1} ms"));
    [
        peer.peer_id.to_string(),
        format!("{state}{member}"),
        peer.found_by.as_str().to_owned(),
        round_trip.unwrap_or_else(|| "-".to_owned()),
        bytes(peer.received_bytes),
        bytes(peer.sent_bytes),
        site(peer),
        plain(peer.addrs.first().map_or("-", String::as_str)),
    ]
}

fn without_site(row: [String; 8]) -> [String; 7] {
    let [
        name,
        state,
        found_by,
        round_trip,
        received,
        sent,
        _,
        address,
    ] = row;
    [name, state, found_by, round_trip, received, sent, address]
}

/// The name of its site, and whether that is another one than this host's.
fn site(peer: &PeerStatus) -> String {
    let name = peer.site.as_deref().map(plain);
    match (name, peer.across) {
        (Some(name), true) => format!("{name}, across"),
        (Some(name), false) => name,
        (None, true) => "across".to_owned(),
        (None, false) => "-".to_owned(),
    }
}

fn troubles(peer: &PeerStatus) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(until) = peer.banned_until.as_ref().filter(|_| !peer.distrusted) {
        lines.push(format!("  not spoken to until {}", plain(until)));
    }
    for lie in &peer.evidence {
        let file = lie.file.as_deref().unwrap_or("not kept");
        let (at, what) = (plain(&lie.at), plain(&lie.what));
        lines.push(format!(
            "  lied at {at}: {what} (evidence: {})",
            plain(file)
        ));
    }
    if let Some(passed_over) = &peer.passed_over {
        let (until, reason) = (plain(&passed_over.until), plain(&passed_over.reason));
        lines.push(format!(
            "  not asked until {until} who fetches what several hosts want: it {reason}"
        ));
    }
    if let Some(error) = &peer.last_error {
        lines.push(format!("  last error: {}", plain(error)));
    }
    lines
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_liar_is_shown_with_what_it_did() {
        let peers: Vec<PeerStatus> =
            serde_json::from_str(include_str!("peers/example.json")).unwrap();
        assert_eq!(
            text(&peers, &[]),
            include_str!("peers/example.txt").trim_end()
        );
    }

    #[test]
    fn sites_are_shown_where_there_are_any() {
        let mut peers: Vec<PeerStatus> =
            serde_json::from_str(include_str!("peers/example.json")).unwrap();
        assert!(!text(&peers, &[]).contains("SITE"));
        peers[0].site = Some("berlin".to_owned());
        peers[1].across = true;
        let shown = text(&peers, &[]);
        assert!(shown.contains("  SITE    ADDRESS"), "{shown}");
        assert!(shown.contains("  berlin  /ip4/10.0.0.7"), "{shown}");
        assert!(shown.contains("  across  /ip4/10.0.0.9"), "{shown}");
        assert!(shown.contains("  0 B    -       -"), "{shown}");
    }

    #[test]
    fn a_host_alone_is_told_what_to_do() {
        assert!(text(&[], &[]).contains("modmesh up"));
    }

    #[test]
    fn an_address_at_which_nobody_is_is_named_with_the_reason() {
        let unreached = UnreachedPeer {
            address: "/ip4/127.0.0.1/tcp/9".to_owned(),
            reason: "connection refused".to_owned(),
        };
        assert_eq!(
            text(&[], &[unreached]),
            "/ip4/127.0.0.1/tcp/9 (--peer) cannot be reached: connection refused; is modmesh up there?"
        );
    }
}
