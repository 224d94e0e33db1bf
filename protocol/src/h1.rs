//! The h1 hash of a module's contents.
//!
//! The rule is `dirhash.Hash1` of golang.org/x/mod/sumdb/dirhash: for every file, in byte order of the names, the line
//! `hex(SHA-256 of the content)`, two spaces, name, newline; the h1 is the SHA-256 of those lines. Compression, order in
//! the archive, times and CRC-32 do not enter it. Nothing is opened or read here.

use crate::digest::{H1, Hasher, hex};

/// The h1 of a set of named files, given as name and SHA-256 of the content, in any order.
///
/// Duplicate names enter as often as they come, as they do in Go. Names must not hold a newline; the zip grammars refuse
/// those before they reach this function.
pub fn of_entries<'a>(entries: impl IntoIterator<Item = (&'a str, [u8; 32])>) -> H1 {
    let mut entries: Vec<_> = entries.into_iter().collect();
    entries.sort();
    let mut lines = Hasher::new();
    for (name, sum) in entries {
        lines.update(hex(&sum).as_bytes());
        lines.update(b"  ");
        lines.update(name.as_bytes());
        lines.update(b"\n");
    }
    H1(lines.finish())
}

/// The h1 that a `P V/go.mod` line carries: the hash over the single name `go.mod` (`modfetch.goModSum` in Go).
pub fn of_go_mod(bytes: &[u8]) -> H1 {
    of_entries([("go.mod", Hasher::digest(bytes))])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_go_mod_of_every_toolchain_has_the_hash_the_checksum_database_lists() {
        // From the record of golang.org/toolchain@v0.0.1-go1.26.8.linux-amd64.
        assert_eq!(
            of_go_mod(b"module golang.org/toolchain\n").to_string(),
            "h1:8wlg68NqwW7eMnI1aABk/C2pDYXj8mrMY4TyRfiLeS0="
        );
    }

    #[test]
    fn the_order_of_the_files_does_not_matter() {
        let (a, b) = (("m@v1/a", [1; 32]), ("m@v1/b", [2; 32]));
        assert_eq!(of_entries([a, b]), of_entries([b, a]));
    }
}
