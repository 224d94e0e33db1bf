//! `modmesh status`: what the daemon has and does, for a person, or its own JSON as it came.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use modmesh_protocol::control::{
    CapStatus, Leases, LineStatus, MembershipStatus, RateStatus, SiteStatus, Status, UpstreamStatus,
};

use super::Failure;
use crate::addresses::told;
use crate::arguments::AskArguments;
use crate::output::{self, bytes, count, number, plain};

/// Shows the daemon's status.
pub(crate) async fn status(arguments: AskArguments) -> Result<ExitCode, Failure> {
    let client = super::client(&arguments.where_to).await?;
    let body = client.get("/api/v1/status").await?;
    if arguments.json {
        output::say(body.trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    let status: Status = client.read(&body)?;
    output::say(&text(&status));
    // What the notices say to type would ask another daemon.
    let is_named = arguments.where_to.listen.is_some();
    if is_named
        && status
            .notices
            .iter()
            .any(|one| one.contains("modmesh sumdb"))
    {
        output::say(&format!(
            "note: `modmesh sumdb` asks this daemon with --state '{}'",
            plain(&status.state_dir)
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn text(status: &Status) -> String {
    let up = output::span(Duration::from_secs(status.uptime_seconds));
    let offline = if status.offline { ", offline" } else { "" };
    let version = plain(&status.version);
    let mut lines = vec![format!("modmesh {version}, up {up}{offline}")];
    let rows: Vec<[String; 2]> = rows(status)
        .into_iter()
        .map(|(what, value)| [format!("  {what}"), plain(&value)])
        .collect();
    lines.push(output::table(&rows));
    let notices = status.notices.iter();
    lines.extend(notices.map(|notice| format!("note: {}", plain(notice))));
    lines.join("\n")
}

fn rows(status: &Status) -> Vec<(&'static str, String)> {
    let mut rows = vec![("listens on", listen(status))];
    match status.upstream.as_slice() {
        [] => rows.push(("upstream", "off".to_owned())),
        several => rows.extend(several.iter().map(|entry| ("upstream", upstream(entry)))),
    }
    match status.sumdb.as_slice() {
        [] => rows.push(("database", "off".to_owned())),
        several => rows.extend(several.iter().map(|database| {
            let records = count(database.records, "record");
            let tree = number(database.tree_size);
            let value = format!("{}, {records} here of a tree of {tree}", database.name);
            ("database", value)
        })),
    }
    let go_sum = &status.go_sum;
    if go_sum.files > 0 {
        let (lines, files) = (count(go_sum.lines, "line"), count(go_sum.files, "file"));
        rows.push(("go.sum", format!("{lines} of {files}, for this host alone")));
    }
    let (store, traffic, peers) = (&status.store, &status.traffic, &status.peers);
    rows.extend([
        ("state", status.state_dir.clone()),
        (
            "store",
            format!(
                "{} of {}: {} of {}",
                bytes(store.bytes),
                bytes(store.limit_bytes),
                count(store.blobs, "file"),
                count(store.module_versions, "module version"),
            ),
        ),
        (
            "go was given",
            format!(
                "{} from the store, {} from neighbours, {} from upstream",
                bytes(traffic.from_store_bytes),
                bytes(traffic.from_peers_bytes),
                bytes(traffic.from_upstream_bytes),
            ),
        ),
        (
            "sent",
            format!("{} to neighbours", bytes(traffic.to_peers_bytes)),
        ),
        (
            "neighbours",
            format!(
                "{} connected, {}{}",
                peers.connected,
                count(peers.members, "member"),
                beyond(peers.beyond),
            ),
        ),
    ]);
    rows.extend(site(&status.site).map(|text| ("site", text)));
    rows.extend(leases(&status.leases).map(|text| ("together", text)));
    let rates = status.limits.rates.iter();
    rows.extend(rates.filter_map(rate).map(|text| ("rate", text)));
    let caps: Vec<_> = status.limits.caps.iter().filter_map(cap).collect();
    if !caps.is_empty() {
        rows.push(("at once", caps.join(", ")));
    }
    rows.extend(status.limits.line.as_ref().map(|of| ("line", line(of))));
    rows.extend(status.membership.map(|by| ("members", members(by))));
    rows.push(("name", status.peer_id.to_string()));
    let addresses = status.peer_addrs.iter();
    rows.extend(addresses.map(|address| ("address", address.clone())));
    let unreached = status.unreached_peers.iter();
    rows.extend(unreached.map(|peer| ("unreached", super::unreached(peer))));
    rows
}

/// Nothing where all hosts can be neighbours.
fn beyond(hosts: u64) -> String {
    match hosts {
        0 => String::new(),
        more => format!("; {} beyond them", count(more, "host")),
    }
}

/// Nothing where there is no other site, and nothing set for one.
fn site(site: &SiteStatus) -> Option<String> {
    let is_idle = site.neighbours_across + site.received_bytes + site.sent_bytes == 0;
    if is_idle && site.name.is_none() && site.budget_bytes.is_none() {
        return None;
    }
    let name = site.name.as_deref().unwrap_or("this link");
    let across = count(site.neighbours_across, "neighbour");
    let (received, sent) = (bytes(site.received_bytes), bytes(site.sent_bytes));
    let budget = match (site.budget_left_bytes, site.budget_bytes) {
        (Some(left), Some(all)) => {
            format!("; {} of {} a day left", bytes(left), bytes(all))
        }
        _ => String::new(),
    };
    Some(format!(
        "{name}; {across} of other sites: {received} from there, {sent} to there{budget}"
    ))
}

/// Nothing where nobody wants anything at this moment.
fn leases(leases: &Leases) -> Option<String> {
    let Leases {
        granted,
        waiting,
        fetching,
        waits,
    } = *leases;
    (granted + waiting + fetching + waits > 0).then(|| {
        format!(
            "fetches {fetching} for all, waits for {waits}; as owner: {} granted, {waiting} told to wait",
            count(granted, "lease")
        )
    })
}

/// By what members are known.
fn members(by: MembershipStatus) -> String {
    let known = match (by.secrets, by.listed) {
        (secrets, 0) => count(secrets, "secret"),
        (0, listed) => count(listed, "name"),
        (secrets, listed) => format!("{} and {}", count(secrets, "secret"), count(listed, "name")),
    };
    format!("known by {known}; nobody else is dealt with")
}

/// Nothing of a class that is never limited while nothing goes through.
fn rate(rate: &RateStatus) -> Option<String> {
    let what = match (rate.class.as_str(), rate.direction.as_str()) {
        ("link", "up") => "to neighbours",
        ("link", "down") => "from neighbours",
        ("site", "up") => "to other sites",
        ("site", "down") => "from other sites",
        ("upstream", "down") => "from upstream",
        _ => return None,
    };
    let now = output::rate(rate.bytes_per_second);
    match (rate.limit_bytes_per_second.map(output::rate), &rate.until) {
        (Some(limit), None) => Some(format!("{what} {now} of at most {limit}")),
        (Some(limit), Some(until)) => {
            Some(format!("{what} {now} of at most {limit} until {until}"))
        }
        (None, Some(until)) => Some(format!("{what} {now}, not limited until {until}")),
        (None, None) => (rate.bytes_per_second > 0).then(|| format!("{what} {now}")),
    }
}

/// Nothing of errands while there are none, as in a network in which all can be neighbours.
fn cap(cap: &CapStatus) -> Option<String> {
    let what = match cap.what.as_str() {
        "neighbours" => "neighbours",
        "errands" if cap.used > 0 => "on errands",
        "streams" => "streams served",
        "uploads" => "files sent",
        "downloads" => "files fetched from neighbours",
        "site_uploads" => "files sent to other sites",
        "site_downloads" => "files fetched from other sites",
        "upstream" => "upstream requests",
        "upstream_zips" => "zips among them",
        _ => return None,
    };
    Some(format!("{} of {} {what}", cap.used, cap.most))
}

/// The cap of the site on requests to the upstream.
fn line(line: &LineStatus) -> String {
    let keeper = match (&line.kept_by, line.kept_here, line.by_share) {
        (Some(peer), ..) => format!("kept by {peer}"),
        (None, true, _) => format!("kept here for {}", count(line.hosts, "host")),
        (None, false, true) => "nobody keeps it, so by this host's share".to_owned(),
        (None, false, false) => "not needed yet".to_owned(),
    };
    let set = match line.effective == line.most {
        true => String::new(),
        false => format!(" ({} set here)", line.most),
    };
    format!(
        "{} requests of this site at once{set}: {} of this host, {} waiting, {keeper}",
        line.effective, line.used, line.waiting
    )
}

fn upstream(entry: &UpstreamStatus) -> String {
    let left = entry.rest_seconds.map(Duration::from_secs);
    let left = left.map_or(String::new(), |left| {
        format!(" for another {}", output::span(left))
    });
    match &entry.reason {
        Some(reason) => format!("{} ({}{left}: {reason})", entry.url, entry.state),
        None => format!("{} ({}{left})", entry.url, entry.state),
    }
}

fn listen(status: &Status) -> String {
    let told = |text: &String| match text.parse::<SocketAddr>() {
        Ok(address) if !address.ip().is_loopback() => told(&address),
        _ => text.clone(),
    };
    match status.listen_addrs.as_slice() {
        [] => told(&status.listen),
        several => several.iter().map(told).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_shown_in_words() {
        let status: Status = serde_json::from_str(include_str!("status/example.json")).unwrap();
        assert_eq!(text(&status), include_str!("status/example.txt").trim_end());
    }

    #[test]
    fn a_site_is_shown_where_there_are_others_or_it_has_a_name() {
        let mut of = SiteStatus::default();
        assert_eq!(site(&of), None);
        of.name = Some("berlin".to_owned());
        (of.neighbours_across, of.received_bytes) = (2, 1024);
        (of.budget_bytes, of.budget_left_bytes) = (Some(4096), Some(3072));
        assert_eq!(
            site(&of).unwrap(),
            "berlin; 2 neighbours of other sites: 1 KiB from there, 0 B to there; 3 KiB of 4 KiB a day left"
        );
    }

    #[test]
    fn caps_are_shown_where_they_are_used_or_a_limit_holds() {
        let told = |what, used, most| cap(&CapStatus::new(what, used, most));
        let shown = |text: &str| Some(text.to_owned());
        assert_eq!(told("errands", 0, 768), None);
        assert_eq!(told("errands", 3, 768), shown("3 of 768 on errands"));
        assert_eq!(
            told("downloads", 0, 15),
            shown("0 of 15 files fetched from neighbours")
        );
        assert_eq!(
            told("site_uploads", 1, 2),
            shown("1 of 2 files sent to other sites")
        );
        assert_eq!(
            told("site_downloads", 2, 2),
            shown("2 of 2 files fetched from other sites")
        );
        assert_eq!(told("of a later release", 1, 2), None);
    }

    #[test]
    fn members_are_shown_by_what_they_are_known() {
        let told = |secrets, listed| members(MembershipStatus { secrets, listed });
        assert_eq!(told(1, 0), "known by 1 secret; nobody else is dealt with");
        assert_eq!(told(0, 2), "known by 2 names; nobody else is dealt with");
        assert!(told(2, 1).starts_with("known by 2 secrets and 1 name;"));
    }

    #[test]
    fn an_upstream_that_rests_says_why_and_for_how_long() {
        let json = r#"{"url":"https://a.example","state":"resting","reason":"answered 429: too many","rest_seconds":61}"#;
        assert_eq!(
            upstream(&serde_json::from_str(json).unwrap()),
            "https://a.example (resting for another 1 min 1 s: answered 429: too many)"
        );
    }
}
