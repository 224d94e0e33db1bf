//! Is the port ours, and what does the daemon say of its upstream and its checksum database?

use std::time::Duration;

use modmesh_protocol::control::{
    NOTICE_OF_A_PROBLEM, NOTICE_OF_SECURITY, PeerStatus, Status, UpstreamStatus,
};

use super::finding::{Finding, Level};
use crate::client::{Client, ClientError};
use crate::output::{count, number, span};

/// What a daemon told of itself.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) status: Status,
    pub(super) peers: Vec<PeerStatus>,
}

/// Asks the daemon.
pub(super) async fn ask(client: &Client) -> Result<Told, ClientError> {
    let status = client.read(&client.get("/api/v1/status").await?)?;
    let peers = client.read(&client.get("/api/v1/peers").await?)?;
    Ok(Told { status, peers })
}

/// Who answers on the port; `release` is this command's.
pub(super) fn judge_port(answer: &Result<Told, ClientError>, us: &str, release: &str) -> Finding {
    const CHECK: &str = "daemon";
    let error = match answer {
        Ok(Told { status, .. }) if status.version == release => {
            let up = span(Duration::from_secs(status.uptime_seconds));
            return Finding::ok(CHECK, format!("modmesh {release} serves at {us}, up {up}"));
        }
        Ok(Told { status, .. }) => {
            return Finding::warning(
                CHECK,
                format!(
                    "the daemon at {us} is of release {} and this command of {release}",
                    status.version
                ),
                "end the daemon and start it again",
            );
        }
        Err(error) => error,
    };
    match error {
        ClientError::NoDaemon(_) => Finding::problem(
            CHECK,
            format!("no daemon answers at {us}"),
            "start one with `modmesh up`, or as a service (examples/systemd)",
        ),
        ClientError::Stranger(_) => Finding::problem(
            CHECK,
            format!("what answers at {us} is not modmesh"),
            "stop it, or give `modmesh up` and `modmesh setup` another port with --listen",
        ),
        ClientError::NotOurs(_, whose, address) => Finding::problem(
            CHECK,
            format!("what answers at {us} is {whose}"),
            &whose.remedy(*address),
        ),
        ClientError::TimedOut(_) => Finding::problem(
            CHECK,
            error.to_string(),
            "its log may say why; end it and start it again",
        ),
        ClientError::Status(..) | ClientError::Json(..) => Finding::problem(
            CHECK,
            error.to_string(),
            "end the daemon and start this release",
        ),
    }
}

/// Can the upstream be reached, as far as the daemon knows? Nothing is sent there to find out.
pub(super) fn judge_upstream(status: &Status) -> Finding {
    const CHECK: &str = "upstream";
    const REMEDY: &str =
        "look at this host's network, HTTPS_PROXY and clock; neighbours are asked all the same";
    const REST_REMEDY: &str =
        "wait: it is asked again then; if that happens often, put another proxy behind it with `|`";
    if status.offline {
        return Finding::ok(CHECK, "not asked (offline)");
    }
    let troubled: Vec<String> = status.upstream.iter().filter_map(trouble).collect();
    let first = status.upstream.first();
    let Some(first) = first.filter(|first| first.url != "off") else {
        return Finding::ok(CHECK, "off: only neighbours are asked");
    };
    if troubled.is_empty() {
        let state = match first.state.as_str() {
            "untried" => "was not asked for one yet",
            _ => "answers",
        };
        let text = format!("{}, where modules come from, {state}", first.url);
        return Finding::ok(CHECK, text);
    }
    let text = troubled.join("; ");
    let is_down = |entry: &UpstreamStatus| entry.state == "down";
    let remedy = match status.upstream.iter().any(is_down) {
        true => REMEDY,
        false => REST_REMEDY,
    };
    let is_left = |entry: &UpstreamStatus| trouble(entry).is_none() && entry.url != "direct";
    match status.upstream.iter().any(is_left) {
        true => Finding::warning(CHECK, text, remedy),
        false => Finding::problem(CHECK, text, remedy),
    }
}

/// Why the entry is of no use now.
fn trouble(entry: &UpstreamStatus) -> Option<String> {
    if entry.state == "resting" {
        let left = span(Duration::from_secs(entry.rest_seconds.unwrap_or_default()));
        let reason = entry.reason.as_deref().unwrap_or("no reason told");
        return Some(format!(
            "{} wants to be left alone for another {left} ({reason})",
            entry.url
        ));
    }
    if entry.state != "down" {
        return None;
    }
    let since = entry.down_seconds.map(Duration::from_secs);
    let since = since.map_or(String::new(), |since| format!(" for {}", span(since)));
    let reason = entry.reason.as_deref().unwrap_or("no reason told");
    Some(format!("{} is down{since} ({reason})", entry.url))
}

/// What the daemon notices itself: lines with their remedies. Those that begin with a word in capitals are more than a
/// shortcoming.
pub(super) fn judge_notices(status: &Status) -> Vec<Finding> {
    const CHECK: &str = "notice";
    let notices = status.notices.iter();
    notices
        .map(|notice| match notice.split_once(": ") {
            Some((NOTICE_OF_SECURITY, _)) => Finding::told(CHECK, Level::Problem, notice),
            Some((NOTICE_OF_A_PROBLEM, text)) => Finding::told(CHECK, Level::Problem, text),
            _ => Finding::told(CHECK, Level::Warning, notice),
        })
        .collect()
}

/// Does the database answer, how old is its head, is there anything to share?
pub(super) fn judge_database(status: &Status) -> Vec<Finding> {
    const CHECK: &str = "database";
    let mut findings = Vec::new();
    match status.sumdb.first() {
        None if status.membership.is_some() => findings.push(Finding::ok(
            CHECK,
            "off: what members give each other rests on their word alone",
        )),
        None if status.notices.is_empty() => findings.push(off()),
        None => {}
        Some(database) if database.tree_size == 0 => findings.push(Finding::ok(
            CHECK,
            format!("{} was not asked for checksums yet", database.name),
        )),
        Some(database) => {
            let age = database.head_age_seconds.map(Duration::from_secs);
            let age = age.map_or(String::new(), |age| format!(", got {} ago", span(age)));
            if database.missing_tiles > 0 {
                findings.push(Finding::warning(
                    CHECK,
                    format!(
                        "{} of the log that go may need are not here: without the internet some checks would fail",
                        count(database.missing_tiles, "tile")
                    ),
                    "let this host reach the internet or a neighbour that has them; it asks by itself about every quarter of an hour, and at each start",
                ));
            }
            findings.push(Finding::ok(
                CHECK,
                format!(
                    "{}: {} of checksums here, under its tree head of {}{age}",
                    database.name,
                    count(database.records, "record"),
                    number(database.tree_size),
                ),
            ));
        }
    }
    findings
}

/// Without a database nothing is shared.
pub(super) fn off() -> Finding {
    Finding::warning(
        "database",
        "the checksum database is off, so nothing but toolchains can be shared with neighbours that are no members",
        "set GOSUMDB, or --sumdb sum.golang.org; or make the hosts members of one mesh (modmesh secret new)",
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    fn told() -> Told {
        Told {
            status: serde_json::from_str(include_str!("../status/example.json")).unwrap(),
            peers: Vec::new(),
        }
    }

    #[test]
    fn every_answer_of_the_port_is_told_apart() {
        use crate::ours::NotOurs;
        let us = "http://127.0.0.1:8484";
        let judged = |answer: Result<Told, ClientError>| judge_port(&answer, us, "0.1.0");
        assert_eq!(judged(Ok(told())).level, Level::Ok);
        let mut older = told();
        older.status.version = "0.0.9".to_owned();
        assert_eq!(judged(Ok(older)).level, Level::Warning);
        let address = ([127, 0, 0, 1], 8484).into();
        for (error, word) in [
            (ClientError::NoDaemon(us.into()), "no daemon"),
            (ClientError::Stranger(us.into()), "not modmesh"),
            (
                ClientError::NotOurs(us.into(), NotOurs::AnotherUsers(1001), address),
                "user id 1001",
            ),
            (ClientError::TimedOut(us.into()), "no answer"),
        ] {
            let found = judged(Err(error));
            assert_eq!(found.level, Level::Problem);
            assert!(found.text.contains(word), "{found:?}");
            assert!(found.remedy.is_some());
        }
    }

    #[test]
    fn an_upstream_that_is_down_is_a_problem_when_nobody_else_is_left() {
        let mut status = told().status;
        assert_eq!(judge_upstream(&status).level, Level::Ok);
        status.upstream[0].state = "down".to_owned();
        status.upstream[0].reason = Some("no route\x1b to host".to_owned());
        status.upstream[0].down_seconds = Some(61);
        let found = judge_upstream(&status);
        assert_eq!(found.level, Level::Problem);
        let expected = "https://goproxy.example is down for 1 min 1 s (no route  to host)";
        assert_eq!(found.text, expected);
        status.upstream[0].state = "resting".to_owned();
        status.upstream[0].rest_seconds = Some(61);
        let found = judge_upstream(&status);
        assert_eq!(found.level, Level::Problem);
        assert!(
            found.text.contains("left alone for another 1 min 1 s"),
            "{found:?}"
        );
        assert!(found.remedy.as_deref().unwrap().contains("wait"));
        status.upstream[1].url = "https://other.example".to_owned();
        assert_eq!(judge_upstream(&status).level, Level::Warning);
        status.offline = true;
        assert_eq!(judge_upstream(&status).level, Level::Ok);
        status.offline = false;
        status.upstream.clear();
        assert!(judge_upstream(&status).text.starts_with("off"));
    }

    #[test]
    fn a_database_that_is_off_is_said_once() {
        let mut status = told().status;
        status.notices.clear();
        let found = judge_database(&status);
        assert_eq!((found.len(), found[0].level), (1, Level::Ok));
        assert!(found[0].text.contains("54,321,987"));
        status.sumdb.clear();
        assert_eq!(judge_database(&status), [off()]);
        status.notices = vec!["the checksum database is off, ...".to_owned()];
        assert_eq!(judge_database(&status), []);
        assert_eq!(judge_notices(&status).len(), 1);
    }

    #[test]
    fn a_notice_is_as_grave_as_its_first_word() {
        let mut status = told().status;
        let judged = |status: &mut Status, notice: &str| {
            status.notices = vec![notice.to_owned()];
            let found = judge_notices(status);
            (found[0].level, found[0].text.clone())
        };
        let (level, text) = judged(&mut status, "SECURITY: two heads; show them");
        assert_eq!(level, Level::Problem);
        assert!(text.starts_with("SECURITY"), "{text}");
        let (level, text) = judged(&mut status, "PROBLEM: the folder is gone: restart");
        assert_eq!(level, Level::Problem);
        assert_eq!(text, "the folder is gone: restart");
        let (level, _) = judged(&mut status, "the database: could not be asked");
        assert_eq!(level, Level::Warning);
    }
}
