//! The text of a go.sum or go.work.sum: hashes that a person's project was built with before.
//!
//! A line is a module path, a version or `VERSION/go.mod`, and a hash, with spaces between them: `readGoSum` of
//! cmd/go/internal/modfetch. A file that is too large is refused as a whole; a line that cannot be read is passed over and
//! told by its number; hashes of other kinds than h1, and the one hash that `go` itself drops, say nothing. Two lines that
//! give one file two hashes vouch for neither. What a line is worth is not decided here.

use std::collections::HashMap;

use crate::artifact::{ArtifactKey, FileKind};
use crate::digest::H1;
use crate::module::{ModulePath, ModuleVersion, Version};

/// Largest file, in bytes; that of a project with 5,000 modules has 1 MB.
pub const GO_SUM_BYTES_MAX: usize = 16 << 20;
/// Most lines of a file, blank ones included: two for each of 100,000 modules.
pub const GO_SUM_LINES_MAX: usize = 200_000;
/// Lines that cannot be read and are told by number; of more, the count alone.
pub const FAULTS_TOLD_MAX: usize = 16;

/// The hash of an empty go.mod, which an old fault of `go` wrote for what is no module (`emptyGoModHash` there).
const EMPTY_GO_MOD: &str = "h1:G7mAYYxgmS0lVkHyy2hEOLQCFB0DlQFTMLWggykrydY=";

/// What a go.sum says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GoSum {
    /// The hash of each file that it names, once.
    pub sums: HashMap<ArtifactKey, H1>,
    /// Files to which it gives two different hashes, sorted; they are not in [`Self::sums`].
    pub contradictory: Vec<ArtifactKey>,
    /// How many lines could not be read.
    pub faults: u64,
    /// The first [`FAULTS_TOLD_MAX`] of them.
    pub faults_told: Vec<LineFault>,
}

/// A line that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineFault {
    /// Its number, from 1.
    pub line: u64,
    /// What is wrong with it: a lowercase fragment that repeats nothing of a line that is longer than an error.
    pub reason: String,
}

/// Why a text is no go.sum at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GoSumError {
    /// Longer than [`GO_SUM_BYTES_MAX`].
    #[error("it is larger than {} MiB", GO_SUM_BYTES_MAX >> 20)]
    TooLarge,
    /// More than [`GO_SUM_LINES_MAX`] lines.
    #[error("it has more than {GO_SUM_LINES_MAX} lines")]
    TooManyLines,
}

impl GoSum {
    /// Reads the text of a go.sum.
    ///
    /// # Errors
    /// When it is larger than any go.sum needs to be. Lines are never an error: see [`Self::faults`].
    pub fn parse(text: &[u8]) -> Result<Self, GoSumError> {
        if text.len() > GO_SUM_BYTES_MAX {
            return Err(GoSumError::TooLarge);
        }
        let mut read = Self::default();
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
            if index >= GO_SUM_LINES_MAX {
                return Err(GoSumError::TooManyLines);
            }
            match parse_line(line) {
                Ok(Some((key, sum))) => read.add(key, sum),
                Ok(None) => {}
                Err(reason) => {
                    read.faults += 1;
                    if read.faults_told.len() < FAULTS_TOLD_MAX {
                        let line = index as u64 + 1;
                        read.faults_told.push(LineFault { line, reason });
                    }
                }
            }
        }
        read.contradictory.sort();
        read.contradictory.dedup();
        for key in &read.contradictory {
            read.sums.remove(key);
        }
        Ok(read)
    }

    fn add(&mut self, key: ArtifactKey, sum: H1) {
        if self.sums.get(&key).is_some_and(|earlier| *earlier != sum) {
            self.contradictory.push(key);
        } else {
            self.sums.insert(key, sum);
        }
    }
}

/// What one line says; nothing when it is blank or says nothing here.
fn parse_line(line: &[u8]) -> Result<Option<(ArtifactKey, H1)>, String> {
    let line = std::str::from_utf8(line).map_err(|_| "it is not UTF-8".to_owned())?;
    let mut fields = line.split_whitespace();
    let (module, version, hash) = match (fields.next(), fields.next(), fields.next(), fields.next())
    {
        (None, ..) => return Ok(None),
        (Some(module), Some(version), Some(hash), None) => (module, version, hash),
        _ => return Err("a module, a version and a hash are expected".to_owned()),
    };
    if !hash.starts_with("h1:") || hash == EMPTY_GO_MOD {
        return Ok(None);
    }
    let (version, kind) = match version.strip_suffix("/go.mod") {
        Some(version) => (version, FileKind::Mod),
        None => (version, FileKind::Zip),
    };
    let of = ModulePath::parse(module)
        .and_then(|module| ModuleVersion::new(module, Version::parse(version)?))
        .map_err(|error| error.to_string())?;
    let sum = hash
        .parse()
        .map_err(|error: crate::digest::DigestError| error.to_string())?;
    Ok(Some((ArtifactKey { of, kind }, sum)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ZIP: &str = "h1:w5fcysjrx7yqtD/aO+QwRjYZOKnaM9Uh2b40tElTs3Y=";
    const MOD: &str = "h1:oIVLrDGHiiR7i1z4r8nDPoJXoiHvhnUqfy3LDBQ7XBw=";

    fn key(of: &str, kind: FileKind) -> ArtifactKey {
        let of = ModuleVersion::parse(of).unwrap();
        ArtifactKey { of, kind }
    }

    #[test]
    fn both_hashes_of_a_module_are_read() {
        let text = format!(
            "rsc.io/quote v1.5.2 {ZIP}\nrsc.io/quote v1.5.2/go.mod {MOD}\n\n  rsc.io/quote\tv1.5.2 {ZIP}\r\n"
        );
        let read = GoSum::parse(text.as_bytes()).unwrap();
        let of = "rsc.io/quote@v1.5.2";
        assert_eq!(read.sums.len(), 2);
        assert_eq!(read.sums[&key(of, FileKind::Zip)].to_string(), ZIP);
        assert_eq!(read.sums[&key(of, FileKind::Mod)].to_string(), MOD);
        assert_eq!((read.faults, read.contradictory.len()), (0, 0));
        // The last line may be without its end.
        assert_eq!(GoSum::parse(text.trim_end().as_bytes()).unwrap(), read);
        assert_eq!(GoSum::parse(b"").unwrap(), GoSum::default());
    }

    #[test]
    fn what_cannot_be_read_is_told_by_its_number_and_costs_nothing_else() {
        let text = format!(
            "rsc.io/quote v1.5.2\nrsc.io/quote v1.5.2 {ZIP}\n../evil v1.0.0 {ZIP}\nexample.com/m v2.0.0 {ZIP}\n\
             example.com/m latest {ZIP}\nexample.com/m v1.0.0 h1:short\nexample.com/m v1.0.0 {ZIP} more\n\
             example.com/m v1.0.0/go.sum {ZIP}\n"
        );
        let bytes = [text.as_bytes(), b"\xff v1.0.0 h1:x\n"].concat();
        let read = GoSum::parse(&bytes).unwrap();
        assert_eq!(read.sums.len(), 1);
        let lines: Vec<u64> = read.faults_told.iter().map(|fault| fault.line).collect();
        assert_eq!(lines, [1, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(read.faults, 8);
    }

    #[test]
    fn hashes_that_say_nothing_are_passed_over() {
        let text = format!(
            "example.com/m v1.0.0 h2:abc\nexample.com/m v1.0.0/go.mod {EMPTY_GO_MOD}\nexample.com/m v1.0.0 sha256:x\n"
        );
        assert_eq!(GoSum::parse(text.as_bytes()).unwrap(), GoSum::default());
    }

    #[test]
    fn two_hashes_of_one_file_vouch_for_neither() {
        let text = format!(
            "example.com/m v1.0.0 {ZIP}\nexample.com/m v1.0.0 {MOD}\nexample.com/m v1.0.0 {ZIP}\nexample.com/n v1.0.0 {ZIP}\n"
        );
        let read = GoSum::parse(text.as_bytes()).unwrap();
        assert_eq!(
            read.contradictory,
            [key("example.com/m@v1.0.0", FileKind::Zip)]
        );
        let named: Vec<_> = read.sums.keys().collect();
        assert_eq!(named, [&key("example.com/n@v1.0.0", FileKind::Zip)]);
    }

    #[test]
    fn what_is_larger_than_any_go_sum_is_refused() {
        let lines = "\n".repeat(GO_SUM_LINES_MAX + 1);
        assert_eq!(
            GoSum::parse(lines.as_bytes()),
            Err(GoSumError::TooManyLines)
        );
        assert!(GoSum::parse(&lines.as_bytes()[2..]).is_ok());
        let large = vec![b' '; GO_SUM_BYTES_MAX + 1];
        assert_eq!(GoSum::parse(&large), Err(GoSumError::TooLarge));
        let faulty = GoSum::parse("x\n".repeat(100).as_bytes()).unwrap();
        assert_eq!(
            (faulty.faults, faulty.faults_told.len()),
            (100, FAULTS_TOLD_MAX)
        );
    }
}
