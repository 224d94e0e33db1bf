//! The zips that mutants are made from: small, and between them all that module zips have.

use super::model::{Entry, Zip};
use super::random::Random;
use super::stream::PERIOD;

const TIMESTAMP: &[u8] = b"UT\x05\0\x01\x80\x43\x6d\x38";

/// All seeds. Each is accepted by Go; all but the last two are canonical.
pub fn all() -> Vec<Zip> {
    let mut random = Random::new(0);
    let random = &mut random;
    vec![
        plain(random),
        toolchain(random),
        letters(random),
        long(random),
        single(random),
        folders(random),
        prefixed(random),
    ]
}

fn zip(random: &mut Random, of: &str, files: &[(&str, &[u8])]) -> Zip {
    let entries = files
        .iter()
        .map(|(name, content)| Entry::file(random, &format!("{of}/{name}"), content))
        .collect();
    Zip::new(of, entries)
}

/// As `go` makes them from a repository.
fn plain(random: &mut Random) -> Zip {
    zip(
        random,
        "example.com/m@v1.0.0",
        &[
            (
                "LICENSE",
                b"Permission is hereby granted, free of charge, free of care.\n",
            ),
            ("go.mod", b"module example.com/m\n\ngo 1.26\n"),
            ("m.go", b"package m\n\nfunc M() int { return 1 }\n"),
            (
                "internal/n/n.go",
                b"package n\n\nfunc N() int { return 1 }\n",
            ),
        ],
    )
}

/// As toolchains are: dates, timestamps, and no descriptors.
fn toolchain(random: &mut Random) -> Zip {
    let mut zip = zip(
        random,
        "golang.org/toolchain@v0.0.1-go1.26.8.linux-amd64",
        &[
            ("bin/go", b"\x7fELF\0\0\0\0\0\0\0\0\0\0\0\0"),
            ("VERSION", b"go1.26.8\n"),
            ("lib/empty", b""),
        ],
    );
    for entry in &mut zip.entries {
        entry.central.extra = TIMESTAMP.to_vec();
        (entry.central.date, entry.central.time) = (0x5a21, 0x6c32);
        entry.set_descriptor(false);
    }
    zip.entries[0].store();
    zip
}

/// Upper case, letters beyond ASCII and the flag for them.
fn letters(random: &mut Random) -> Zip {
    let mut zip = zip(
        random,
        "github.com/Azure/x/v2@v2.1.1-0.20260102030405-0123456789ab",
        &[
            ("go.mod", b"module github.com/Azure/x/v2\n"),
            (
                "docs/stra\u{df}e/\u{442}\u{435}\u{441}\u{442}.md",
                b"# test\n",
            ),
            ("docs/K.txt", b"k"),
            ("docs/s p a c e.txt", b"spaces and spaces and spaces\n"),
        ],
    );
    for entry in &mut zip.entries {
        entry.central.flags |= 0x800;
        entry.describe();
    }
    zip
}

/// A file longer than the window of 32 KiB.
fn long(random: &mut Random) -> Zip {
    let line = random.bytes(PERIOD);
    let content = line.repeat(49);
    zip(
        random,
        "gopkg.in/long.v1@v1.2.3-rc.1",
        &[("long", &content), ("short", b"short")],
    )
}

fn single(random: &mut Random) -> Zip {
    zip(
        random,
        "example.com/q@v3.0.0+incompatible",
        &[("q.go", b"package q\n")],
    )
}

/// Entries for folders, which Go's own code never writes.
fn folders(random: &mut Random) -> Zip {
    let mut zip = zip(
        random,
        "example.com/f@v0.1.0",
        &[
            ("", b""),
            ("a/", b""),
            ("a/b", b"bbbbbbbbbbbbbbbb"),
            ("c/", b""),
        ],
    );
    for entry in &mut zip.entries {
        if entry.central.name.ends_with(b"/") {
            entry.set_descriptor(false);
            entry.store();
        }
    }
    zip
}

/// Bytes before the archive, a gap and a comment.
fn prefixed(random: &mut Random) -> Zip {
    let mut zip = plain(random);
    zip.prefix = b"#!/bin/sh\nexit 0\n".to_vec();
    zip.offsets_with_prefix = false;
    zip.entries[1].gap = b"gap".to_vec();
    zip.comment = b"a comment".to_vec();
    zip
}
