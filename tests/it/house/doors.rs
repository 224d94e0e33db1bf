//! Which file may know which dependency: each has one door, so that replacing it is the work of one file or room.

use crate::source::mentions;
use crate::{assert_none, files, read};

/// A dependency, or a part of one, and the files and folders that may name it. Tests of rooms may too.
struct Door {
    /// Paths that lead in, as written in Rust.
    paths: &'static [&'static str],
    /// Beginnings of file paths.
    behind: &'static [&'static str],
}

const DOORS: [Door; 13] = [
    Door {
        paths: &["libp2p"],
        behind: &["daemon/src/peers.rs", "daemon/src/peers/"],
    },
    Door {
        paths: &["sled"],
        behind: &["daemon/src/store/index.rs"],
    },
    Door {
        paths: &["bincode"],
        behind: &["protocol/src/wire/codec.rs"],
    },
    Door {
        paths: &["hyper::server", "hyper::service", "hyper_util::server"],
        behind: &["daemon/src/proxy/", "daemon/src/control"],
    },
    Door {
        paths: &[
            "hyper::client",
            "hyper::upgrade",
            "hyper_util::client",
            "hyper_rustls",
            "rustls",
            "rustls_native_certs",
            "httpdate",
        ],
        behind: &[
            "daemon/src/upstream/http.rs",
            "daemon/src/upstream/http/",
            "cli/src/client.rs",
            "cli/src/client/",
        ],
    },
    Door {
        paths: &["prometheus_client"],
        behind: &["daemon/src/metrics.rs"],
    },
    Door {
        paths: &["if_addrs"],
        behind: &["daemon/src/peers/onlink.rs"],
    },
    Door {
        paths: &["jiff"],
        behind: &["daemon/src/os/local_time.rs"],
    },
    Door {
        paths: &["hmac"],
        behind: &["protocol/src/membership/proof.rs"],
    },
    Door {
        paths: &["getrandom"],
        behind: &["cli/src/commands/secret.rs"],
    },
    Door {
        paths: &["socket2"],
        behind: &["daemon/src/peers/multicast/sockets.rs"],
    },
    Door {
        paths: &["clap"],
        behind: &["cli/src/arguments.rs"],
    },
    Door {
        paths: &["toml"],
        behind: &["cli/src/settings/file.rs"],
    },
];

/// What the language of the house may rest on; nothing in it does I/O or is asynchronous.
const PROTOCOL_DEPENDENCIES: [&str; 10] = [
    "base64",
    "bincode",
    "crc32fast",
    "ed25519-dalek",
    "flate2",
    "hmac",
    "serde",
    "sha2",
    "thiserror",
    "unicode-normalization",
];

#[test]
fn every_dependency_is_used_behind_its_door_only() {
    let mut findings = Vec::new();
    for file in product_sources() {
        for (path, line) in strangers(&file, &read(&file)) {
            findings.push(format!("{file}:{line}: {path} has its door elsewhere"));
        }
    }
    assert_none(&findings);
}

#[test]
fn the_protocol_does_no_input_or_output() {
    let manifest = read("protocol/Cargo.toml");
    let dependencies = manifest
        .lines()
        .skip_while(|line| *line != "[dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| !name.is_empty());
    let mut findings: Vec<_> = dependencies
        .filter(|name| !PROTOCOL_DEPENDENCIES.contains(name))
        .map(|name| format!("protocol/Cargo.toml: {name} is not among the allowed dependencies"))
        .collect();
    for file in files("protocol/src", "rs") {
        // Files are read at one place, through the trait that the reader of zips defines.
        if file.ends_with("zip/read_at.rs") {
            continue;
        }
        for mention in mentions(&read(&file)) {
            let names: Vec<_> = mention.names.iter().map(String::as_str).collect();
            let is_pure_net = matches!(
                names.as_slice(),
                [
                    "std",
                    "net",
                    "IpAddr" | "Ipv4Addr" | "Ipv6Addr" | "SocketAddr"
                ]
            );
            let does_io = matches!(
                names.as_slice(),
                ["std", "fs" | "net" | "process" | "env", ..]
            );
            if does_io && !is_pure_net {
                findings.push(format!(
                    "{file}:{}: {}",
                    mention.line,
                    mention.names.join("::")
                ));
            }
        }
    }
    assert_none(&findings);
}

#[test]
fn a_dependency_beside_its_door_is_seen_however_it_is_written() {
    for breach in [
        "use sled::Db;",
        "use sled as tree;",
        "fn f() -> sled::Result<()> { Ok(()) }",
        "extern crate sled;",
        "use {libp2p::PeerId, std::io};",
        "use hyper_util::{rt::TokioIo, client::legacy::Client};",
        "use hyper_util as tools;",
        "use hyper::*;",
        "fn f() { ::hyper_util::client::legacy::Client::builder(e) }",
    ] {
        assert!(
            !strangers("daemon/src/fetch.rs", breach).is_empty(),
            "{breach}"
        );
    }
    for fine in [
        "use hyper_util::rt::TokioIo;",
        "use hyper::body::Bytes;",
        "use tokio_rustls::TlsAcceptor;",
        "let name = \"sled\"; // sled::Db",
    ] {
        assert!(strangers("daemon/src/fetch.rs", fine).is_empty(), "{fine}");
    }
    assert!(strangers("daemon/src/store/index.rs", "use sled::Db;").is_empty());
}

/// Dependencies that `file` names although their doors are elsewhere.
fn strangers(file: &str, text: &str) -> Vec<(String, usize)> {
    let closed: Vec<_> = DOORS
        .iter()
        .filter(|door| !door.behind.iter().any(|behind| file.starts_with(behind)))
        .flat_map(|door| door.paths)
        .collect();
    let mut found = Vec::new();
    for mention in mentions(text) {
        let names: Vec<_> = mention.names.iter().map(String::as_str).collect();
        if closed.iter().any(|path| leads_in(&names, path)) {
            found.push((names.join("::"), mention.line));
        }
    }
    found
}

/// Whether a path goes through `door`, or could: a whole crate taken under another name, or all of it at once.
fn leads_in(names: &[&str], door: &str) -> bool {
    let door: Vec<_> = door.split("::").collect();
    let open = names.iter().position(|name| matches!(*name, "*" | "self"));
    match open {
        Some(end) if end < door.len() => end > 0 && names[..end] == door[..end],
        _ => names.starts_with(&door),
    }
}

/// What is shipped: the crates without the tests that stand beside the rooms.
fn product_sources() -> Vec<String> {
    ["protocol/src", "daemon/src", "cli/src"]
        .into_iter()
        .flat_map(|folder| files(folder, "rs"))
        .filter(|file| !file.contains("/tests/") && !file.ends_with("/tests.rs"))
        .collect()
}
