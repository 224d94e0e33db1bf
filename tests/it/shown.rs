//! What a release shows, the next ones read: the documents of `modmesh status --json`, `peers --json` and `explain --json` in
//! `fixtures/control`, whole and with fields that nobody knows.
//!
//! These files are never edited. A release that adds a field adds its name to the lists here, and a document of its own where the old one
//! says too little.

use std::path::Path;

use modmesh_protocol::control::{Did, Explanation, FoundBy, Outcome, PeerStatus, Status};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A field that no release knows.
const LATER: &str = "of_a_later_release";

/// What carries a default in the status: older daemons do not say it. What lies within another stands before it.
const ADDED_TO_STATUS: &[&str] = &[
    "listen_addrs",
    "upstream.reason",
    "upstream.down_seconds",
    "upstream.rest_seconds",
    "upstream.rest_heard_from",
    "sumdb.head_age_seconds",
    "sumdb.missing_tiles",
    "go_sum",
    "peers.beyond",
    "leases",
    "membership",
    "site",
    "limits.rates.until",
    "limits.rates.held_ms",
    "limits.rates",
    "limits.caps",
    "limits.uploads_paused",
    "limits.line",
    "limits",
    "unreached_peers",
    "peer_port_in_use",
    "notices",
];
/// And of a neighbour.
const ADDED_TO_PEERS: &[&str] = &[
    "on_errand",
    "site",
    "across",
    "up_seconds",
    "passed_over",
    "distrusted",
];
/// And of an explanation; what was added to a step is looked for among all of them.
const ADDED_TO_EXPLANATION: &[&str] = &[
    "among_members",
    "owners",
    "files.here.go_sum",
    "files.put_aside",
    "files.last_fetch.steps.may_fetch",
    "files.last_fetch.steps.waited_for",
    "files.would_ask.upstream.reason",
    "files.would_ask.upstream.down_seconds",
    "files.would_ask.upstream.rest_seconds",
    "files.would_ask.upstream.rest_heard_from",
    "files.last_fetch.steps.across",
];

fn document(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/control");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

/// The document as this release reads it.
#[track_caller]
fn read<T: DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

/// Expects that what this release has read is what the document says, with the fields that it does not know left out.
#[track_caller]
fn assert_understood<T: DeserializeOwned + Serialize>(document: &Value) {
    let understood = serde_json::to_value(read::<T>(&document.to_string())).unwrap();
    assert_holds(&understood, document, "");
}

/// Expects everything of `document` in `understood`; `at` is where in the document this is.
#[track_caller]
fn assert_holds(understood: &Value, document: &Value, at: &str) {
    match (understood, document) {
        (Value::Object(understood), Value::Object(document)) => {
            for (name, value) in document.iter().filter(|(name, _)| *name != LATER) {
                let at = format!("{at}.{name}");
                let found = understood.get(name);
                let found = found.unwrap_or_else(|| panic!("{at} is not understood"));
                assert_holds(found, value, &at);
            }
        }
        (Value::Array(understood), Value::Array(document)) => {
            assert_eq!(understood.len(), document.len(), "{at}");
            for (number, (understood, value)) in understood.iter().zip(document).enumerate() {
                assert_holds(understood, value, &format!("{at}[{number}]"));
            }
        }
        (understood, document) => assert_eq!(understood, document, "{at}"),
    }
}

/// Takes the field out of the document, of every element where there are several; how many there were. Other sites are a part of
/// the step `way` itself.
fn take_out(document: &mut Value, path: &str) -> usize {
    match document {
        Value::Array(all) => all.iter_mut().map(|one| take_out(one, path)).sum(),
        Value::Object(fields) if fields.get("step").is_some_and(|step| step == "way") => 0,
        Value::Object(fields) => match path.split_once('.') {
            Some((name, rest)) => fields
                .get_mut(name)
                .map_or(0, |inner| take_out(inner, rest)),
            None => usize::from(fields.remove(path).is_some()),
        },
        _ => 0,
    }
}

/// Expects that the document is understood, and that it is after one field after the other was taken out that came later.
#[track_caller]
fn assert_understood_without<T: DeserializeOwned + Serialize>(name: &str, added: &[&str]) {
    let mut document: Value = read(&document(name));
    assert_understood::<T>(&document);
    for path in added {
        assert!(take_out(&mut document, path) > 0, "no {path} in {name}");
        assert_understood::<T>(&document);
    }
}

/// The document is never edited: it is what release 0.1.0 shows.
#[test]
fn the_status_of_the_first_release_is_understood_whole_and_without_what_was_added() {
    let status: Status = read(&document("status-0.1.0.json"));
    assert_eq!(status.version, "0.1.0");
    assert_eq!(status.upstream[1].rest_seconds, Some(17));
    assert_eq!(status.limits.line.map(|line| line.effective), Some(6));
    assert_eq!(status.membership.map(|known| known.secrets), Some(2));
    assert_understood_without::<Status>("status-0.1.0.json", ADDED_TO_STATUS);
}

/// The document is never edited: it is what release 0.1.0 shows.
#[test]
fn the_neighbours_of_the_first_release_are_understood_whole_and_without_what_was_added() {
    let peers: Vec<PeerStatus> = read(&document("peers-0.1.0.json"));
    let found_by = [
        FoundBy::Mdns,
        FoundBy::Neighbour,
        FoundBy::Inbound,
        FoundBy::Static,
        FoundBy::Remembered,
    ];
    assert_eq!(
        peers.iter().map(|peer| peer.found_by).collect::<Vec<_>>(),
        found_by
    );
    assert!(peers[2].on_errand && !peers[2].connected);
    assert_eq!(peers[3].evidence.len(), 2);
    assert_understood_without::<Vec<PeerStatus>>("peers-0.1.0.json", ADDED_TO_PEERS);
}

/// The document is never edited: it is what release 0.1.0 shows.
#[test]
fn an_explanation_of_the_first_release_is_understood_whole_and_without_what_was_added() {
    let explanation: Explanation = read(&document("explain-0.1.0.json"));
    let stories = explanation.files.iter().flat_map(|file| &file.last_fetch);
    let mut steps = stories.clone().flat_map(|story| &story.steps);
    assert_eq!(steps.clone().count(), 13);
    // A step that is not known any more would be passed over in silence.
    assert!(steps.all(|step| step.did != Did::Other));
    let outcomes: Vec<_> = stories.map(|story| story.outcome.clone()).collect();
    assert!(matches!(
        outcomes.as_slice(),
        [
            None,
            Some(Outcome::Kept { .. }),
            Some(Outcome::Failed { .. })
        ]
    ));
    assert_understood_without::<Explanation>("explain-0.1.0.json", ADDED_TO_EXPLANATION);
}
