//! Which room of the daemon may import which.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Mention, mentions};
use crate::{assert_none, files, read};

/// Rooms that every other may import: they have nobody above them. See docs/decisions/0002-leaves.md.
const LEAVES: [&str; 9] = [
    "config", "metrics", "shutdown", "flight", "os", "state", "seldom", "lately", "manners",
];

/// What each room may import besides the leaves. A leaf may import only what stands here, leaves included.
const TABLE: [(&str, &[&str]); 18] = [
    ("proxy", &["fetch", "log"]),
    ("fetch", &["policy", "store", "trust", "peers", "upstream"]),
    ("trust", &["log"]),
    ("store", &["trust"]),
    ("log", &[]),
    ("peers", &[]),
    ("upstream", &[]),
    ("policy", &[]),
    // It shows the others' handles, and implements the trait through which the front door asks for them.
    (
        "control",
        &["proxy", "fetch", "log", "peers", "store", "upstream"],
    ),
    // The one setting that another room defines: deadlines and bounds of the road to town.
    ("config", &["upstream"]),
    ("metrics", &[]),
    ("seldom", &[]),
    ("lately", &[]),
    ("manners", &[]),
    ("shutdown", &[]),
    ("flight", &["shutdown"]),
    ("os", &[]),
    ("state", &["os"]),
];

/// lib.rs names the rooms; these two wire them and may import any.
const WIRING: [&str; 3] = ["lib", "start", "wiring"];

const SOURCES: &str = "daemon/src/";

#[test]
fn no_room_imports_what_the_table_does_not_allow() {
    let items = items_of_lib();
    let mut findings = Vec::new();
    for file in files(SOURCES, "rs") {
        for (room, line) in imports(&file, &read(&file), &items) {
            if !is_allowed(room_of(&file), &room) {
                findings.push(format!(
                    "{file}:{line}: {} may not import {room}",
                    room_of(&file)
                ));
            }
        }
    }
    assert_none(&findings);
}

#[test]
fn every_room_has_a_row_in_the_table_and_every_row_a_room() {
    let rooms: BTreeSet<_> = files(SOURCES, "rs")
        .iter()
        .map(|file| room_of(file).to_owned())
        .filter(|room| !WIRING.contains(&room.as_str()))
        .collect();
    let rows: BTreeSet<_> = TABLE.iter().map(|(room, _)| (*room).to_owned()).collect();
    assert_eq!(rooms, rows);
    assert!(LEAVES.iter().all(|leaf| rows.contains(*leaf)));
}

#[test]
fn the_table_has_no_circles() {
    let mut left: BTreeMap<_, _> = TABLE.into_iter().collect();
    while !left.is_empty() {
        let free: Vec<_> = left
            .iter()
            .filter(|(_, imports)| !imports.iter().any(|room| left.contains_key(room)))
            .map(|(room, _)| *room)
            .collect();
        assert!(!free.is_empty(), "a circle among {:?}", left.keys());
        left.retain(|room, _| !free.contains(room));
    }
}

#[test]
fn a_breach_is_seen_however_it_is_written() {
    let items = BTreeMap::from([("Peers".to_owned(), "peers".to_owned())]);
    let file = "daemon/src/store/index.rs";
    for breach in [
        "use crate::peers::Peers;",
        "use crate::{trust::Proof, peers as neighbours};",
        "fn f() { crate::peers::ask() }",
        "use crate::Peers;",
        "use super::super::peers;",
        "mod tests { use super::super::super::peers; }",
        "use crate::*;",
        "use crate as house;",
    ] {
        let seen = imports(file, breach, &items);
        let breaches = seen.iter().any(|(room, _)| !is_allowed("store", room));
        assert!(breaches, "{breach}");
    }
    for fine in [
        "use crate::trust::Proof;",
        "use crate::os;",
        "use super::super::trust::Scope;",
        "use super::layout;",
        "// crate::peers",
        "pub(crate) fn f() { let text = \"crate::peers\"; }",
        "mod tests { use super::super::layout; }",
    ] {
        let seen = imports(file, fine, &items);
        let allowed = seen.iter().all(|(room, _)| is_allowed("store", room));
        assert!(allowed, "{fine}");
    }
}

fn is_allowed(from: &str, to: &str) -> bool {
    let row = TABLE.iter().find(|(room, _)| *room == from);
    let is_listed = row.is_some_and(|(_, imports)| imports.contains(&to));
    let is_open = LEAVES.contains(&to) && !LEAVES.contains(&from);
    WIRING.contains(&from) || from == to || is_listed || is_open
}

/// `daemon/src/store/index.rs` and `daemon/src/store.rs` belong to the room `store`.
fn room_of(file: &str) -> &str {
    let below = file.strip_prefix(SOURCES).unwrap();
    below.split(['/', '.']).next().unwrap()
}

/// The rooms that a file names, with lines.
fn imports(file: &str, text: &str, items: &BTreeMap<String, String>) -> Vec<(String, usize)> {
    let below = file.strip_prefix(SOURCES).unwrap().trim_end_matches(".rs");
    let depth = below.split('/').filter(|part| *part != "lib").count();
    mentions(text)
        .into_iter()
        .filter_map(|mention| {
            let line = mention.line;
            let first = behind_root(mention, depth)?;
            Some((items.get(&first).cloned().unwrap_or(first), line))
        })
        .collect()
}

/// The name behind the crate's root, if the path begins there.
fn behind_root(mention: Mention, depth: usize) -> Option<String> {
    let mut names = mention.names.into_iter().peekable();
    match names.peek()?.as_str() {
        "crate" => {
            names.next();
            // Nothing follows in `pub(crate)`.
            names.next()
        }
        "self" | "super" => {
            let mut up = 0;
            while let Some(name) = names.next_if(|name| name == "super" || name == "self") {
                up += usize::from(name == "super");
            }
            (up == depth + mention.inline_modules)
                .then(|| names.next())
                .flatten()
        }
        _ => None,
    }
}

/// What lib.rs gives out under its own name, and the room it comes from.
fn items_of_lib() -> BTreeMap<String, String> {
    mentions(&read("daemon/src/lib.rs"))
        .into_iter()
        .filter(|mention| mention.names.len() > 1)
        .filter_map(|mention| {
            let room = mention.names.first()?.clone();
            Some((mention.names.last()?.clone(), room))
        })
        .collect()
}
