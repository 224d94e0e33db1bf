//! Modules for tests, built into the very bytes that a Go proxy serves.
//!
//! A [`Module`] gives its `.zip` in the canonical form (what `zip.Create` of golang.org/x/mod writes), its `.mod`, its
//! `.info` and the two hashes of its record. The same module always gives the same bytes. [`ZipLie`] names the deliberate
//! wrongs: zips as a lying neighbour would send them.

mod archive;

use std::collections::BTreeMap;
use std::fmt::Write;

use modmesh_protocol::digest::{H1, Hasher};
use modmesh_protocol::h1;

use archive::{Archive, Form};

/// One version of one module.
#[derive(Debug, Clone)]
pub struct Module {
    path: String,
    version: String,
    time: String,
    files: BTreeMap<String, Vec<u8>>,
    requires: Vec<(String, String)>,
    go_mod: GoMod,
}

#[derive(Debug, Clone)]
enum GoMod {
    Written,
    Given(String),
    Missing,
}

/// The ways in which a zip can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ZipLie {
    /// One byte of a compressed file is another one.
    FlippedByte,
    /// A faultless zip of the right names whose last file says something else: only h1 tells.
    Tampered,
    /// The last third is missing.
    Truncated,
    /// The CRC-32 of one file is wrong, in descriptor and directory alike. The h1 is the true one, and Go refuses it.
    WrongChecksum,
    /// A faultless zip of another module.
    OtherModule,
}

impl ZipLie {
    /// Every lie, for tests that go through all of them.
    pub const ALL: [ZipLie; 5] = [
        ZipLie::FlippedByte,
        ZipLie::Tampered,
        ZipLie::Truncated,
        ZipLie::WrongChecksum,
        ZipLie::OtherModule,
    ];
}

impl Module {
    /// A module without files yet, with a go.mod of two lines.
    pub fn new(path: &str, version: &str) -> Self {
        Self {
            path: path.to_owned(),
            version: version.to_owned(),
            time: "2024-05-06T07:08:09Z".to_owned(),
            files: BTreeMap::new(),
            requires: Vec::new(),
            go_mod: GoMod::Written,
        }
    }

    /// A module whose one package is named after the last element of its path and holds `pub`lic function `Name`, which
    /// returns `path@version`: enough for `go build` and `go run` to mean something.
    pub fn package(path: &str, version: &str) -> Self {
        let name: String = path
            .rsplit('/')
            .find(|element| !element.starts_with('v') || element.parse::<u32>().is_ok())
            .unwrap_or("m")
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect::<String>()
            .to_lowercase();
        let source = format!(
            "// Package {name} tells its own name.\npackage {name}\n\n// Name is the module's path and version.\nfunc Name() string {{ return \"{path}@{version}\" }}\n"
        );
        Self::new(path, version).file(&format!("{name}.go"), source)
    }

    /// Adds a file; `name` is relative to the module's root.
    #[must_use]
    pub fn file(mut self, name: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.insert(name.to_owned(), content.into());
        self
    }

    /// Adds a file of `bytes` bytes that no compression makes smaller, so that the zip is about as large.
    #[must_use]
    pub fn bulk(self, name: &str, bytes: usize) -> Self {
        let content = noise(&format!("{}@{}/{name}", self.path, self.version), bytes);
        self.file(name, content)
    }

    /// Adds a requirement to the go.mod.
    #[must_use]
    pub fn requires(mut self, path: &str, version: &str) -> Self {
        self.requires.push((path.to_owned(), version.to_owned()));
        self
    }

    /// Gives the go.mod literally.
    #[must_use]
    pub fn with_go_mod(mut self, text: &str) -> Self {
        self.go_mod = GoMod::Given(text.to_owned());
        self
    }

    /// Leaves the go.mod out of the zip, as modules from before 2018 do; the `.mod` is then one line.
    #[must_use]
    pub fn without_go_mod(mut self) -> Self {
        self.go_mod = GoMod::Missing;
        self
    }

    /// The time in `.info`, in RFC 3339.
    #[must_use]
    pub fn at(mut self, time: &str) -> Self {
        self.time = time.to_owned();
        self
    }

    /// The module path, unescaped.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// `path@version`, as the go command takes it.
    pub fn name(&self) -> String {
        format!("{}@{}", self.path, self.version)
    }

    /// The path of one of its files on a proxy, without leading slash: `escaped path/@v/version.extension`.
    pub fn url_path(&self, extension: &str) -> String {
        format!(
            "{}/@v/{}.{extension}",
            escape(&self.path),
            escape(&self.version)
        )
    }

    /// The `.mod` file.
    pub fn go_mod(&self) -> Vec<u8> {
        match &self.go_mod {
            GoMod::Given(text) => text.clone().into_bytes(),
            GoMod::Missing => format!("module {}\n", self.path).into_bytes(),
            GoMod::Written => {
                let mut text = format!("module {}\n\ngo 1.21\n", self.path);
                for (path, version) in &self.requires {
                    let _ = write!(text, "\nrequire {path} {version}\n");
                }
                text.into_bytes()
            }
        }
    }

    /// The `.info` file.
    pub fn info(&self) -> Vec<u8> {
        format!(r#"{{"Version":"{}","Time":"{}"}}"#, self.version, self.time).into_bytes()
    }

    /// The `.zip` file in canonical form.
    pub fn zip(&self) -> Vec<u8> {
        self.archive(&Form::default()).bytes
    }

    /// Other bytes with the same contents and h1, canonical too: the files are compressed with another effort.
    /// Not a lie, and no neighbour may be blamed for it.
    pub fn zip_compressed_otherwise(&self) -> Vec<u8> {
        self.archive(&Form {
            level: 1,
            ..Form::default()
        })
        .bytes
    }

    /// A zip that Go accepts, with the true h1, that is not canonical: the archive carries a comment.
    pub fn zip_with_comment(&self) -> Vec<u8> {
        self.archive(&Form {
            comment: b"hidden words".to_vec(),
            ..Form::default()
        })
        .bytes
    }

    /// A zip that is wrong in the given way.
    pub fn lying_zip(&self, lie: ZipLie) -> Vec<u8> {
        match lie {
            ZipLie::FlippedByte => {
                let Archive { mut bytes, data } = self.archive(&Form::default());
                let longest = data.iter().max_by_key(|range| range.len()).unwrap();
                bytes[longest.start + longest.len() / 2] ^= 0x10;
                bytes
            }
            ZipLie::Tampered => {
                let mut other = self.clone();
                match other.files.values_mut().next_back() {
                    Some(content) => content.extend_from_slice(b"\n// tampered\n"),
                    None => other = other.file("tampered.txt", "tampered"),
                }
                other.zip()
            }
            ZipLie::Truncated => {
                let mut bytes = self.zip();
                bytes.truncate(bytes.len() / 3 * 2);
                bytes
            }
            ZipLie::WrongChecksum => {
                self.archive(&Form {
                    checksum_mask: 0x0100_0001,
                    ..Form::default()
                })
                .bytes
            }
            ZipLie::OtherModule => Module::package("example.com/other", "v9.9.9").zip(),
        }
    }

    /// The h1 of the zip, as a go.sum line carries it.
    pub fn h1(&self) -> H1 {
        let entries: Vec<(String, [u8; 32])> = self
            .entries()
            .into_iter()
            .map(|(name, content)| (name, Hasher::digest(&content)))
            .collect();
        h1::of_entries(entries.iter().map(|(name, sum)| (name.as_str(), *sum)))
    }

    /// The h1 of the go.mod, as a go.sum line carries it.
    pub fn go_mod_h1(&self) -> H1 {
        h1::of_go_mod(&self.go_mod())
    }

    /// The two lines of its go.sum, which are also its record in the checksum database.
    pub fn sum_lines(&self) -> String {
        format!(
            "{p} {v} {}\n{p} {v}/go.mod {}\n",
            self.h1(),
            self.go_mod_h1(),
            p = self.path,
            v = self.version
        )
    }

    fn entries(&self) -> Vec<(String, Vec<u8>)> {
        let prefix = format!("{}@{}/", self.path, self.version);
        let mut files = self.files.clone();
        if !matches!(self.go_mod, GoMod::Missing) {
            files.insert("go.mod".to_owned(), self.go_mod());
        }
        files
            .into_iter()
            .map(|(name, content)| (format!("{prefix}{name}"), content))
            .collect()
    }

    fn archive(&self, form: &Form) -> Archive {
        archive::write(&self.entries(), form)
    }
}

/// Escapes a path or version for a proxy's URL: each upper-case letter becomes `!` and its lower case
/// (`module.EscapePath` in golang.org/x/mod).
pub fn escape(text: &str) -> String {
    text.chars().fold(String::new(), |mut escaped, c| {
        if c.is_ascii_uppercase() {
            escaped.push('!');
        }
        escaped.push(c.to_ascii_lowercase());
        escaped
    })
}

/// `bytes` bytes that look random and are the same for the same seed (xorshift64*).
pub fn noise(seed: &str, bytes: usize) -> Vec<u8> {
    let digest = Hasher::digest(seed.as_bytes());
    let mut state = u64::from_le_bytes(digest[..8].try_into().unwrap()) | 1;
    let mut content = Vec::with_capacity(bytes + 8);
    while content.len() < bytes {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        content.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    content.truncate(bytes);
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_module_gives_the_same_bytes_and_every_lie_gives_others() {
        let module = Module::package("example.com/hello", "v1.0.0").bulk("data.bin", 10_000);
        assert_eq!(module.zip(), module.zip());
        for lie in ZipLie::ALL {
            assert_ne!(module.lying_zip(lie), module.zip(), "{lie:?}");
        }
    }

    #[test]
    fn upper_case_letters_travel_as_exclamation_marks() {
        let module = Module::new("github.com/Azure/azure", "v1.0.0-RC1");
        assert_eq!(
            module.url_path("zip"),
            "github.com/!azure/azure/@v/v1.0.0-!r!c1.zip"
        );
    }
}
