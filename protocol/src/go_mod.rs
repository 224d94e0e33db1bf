//! The one thing that is read out of a go.mod here: which versions of its own module it retracts.
//!
//! `go` reads this in the go.mod of a module's latest version, and passes over what it finds there. The form is that of
//! <https://go.dev/ref/mod#go-mod-file-retract>: a version or an interval, in a line or a block. What cannot be read is passed over;
//! whether a go.mod is one is for `go` to say.

use crate::module::Version;

/// Retractions of one go.mod that are read; those that there are have a few.
pub const RETRACTIONS_MAX: usize = 4096;

/// The versions that a go.mod retracts: intervals with both ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retractions(Vec<(Version, Version)>);

impl Retractions {
    /// Reads the text of a go.mod; at most [`RETRACTIONS_MAX`] of them.
    pub fn of(go_mod: &[u8]) -> Self {
        let text = String::from_utf8_lossy(go_mod);
        let (mut intervals, mut in_block) = (Vec::new(), None);
        for line in text.lines() {
            let line = line.split("//").next().unwrap_or_default().trim();
            let interval = match in_block {
                Some(_) if line == ")" => {
                    in_block = None;
                    continue;
                }
                Some(is_retract) => line_in(is_retract, line),
                None => match line.strip_suffix('(') {
                    Some(verb) => {
                        in_block = Some(verb.trim() == "retract");
                        continue;
                    }
                    None => line_in(true, rest_of(line)),
                },
            };
            if intervals.len() < RETRACTIONS_MAX {
                intervals.extend(interval);
            }
        }
        Self(intervals)
    }

    /// Whether `version` is retracted.
    pub fn contain(&self, version: &Version) -> bool {
        let holds = |(low, high): &(Version, Version)| low <= version && version <= high;
        self.0.iter().any(holds)
    }
}

/// What stands behind `retract` in a line; nothing that could be read where it is another directive.
fn rest_of(line: &str) -> &str {
    let rest = line.strip_prefix("retract").unwrap_or_default();
    match rest.starts_with(|c: char| c.is_whitespace() || c == '[') {
        true => rest,
        false => "",
    }
}

fn line_in(is_retract: bool, line: &str) -> Option<(Version, Version)> {
    let line = line.trim();
    if !is_retract || line.is_empty() {
        return None;
    }
    let version = |text: &str| Version::parse(text.trim().trim_matches(['"', '`'])).ok();
    let Some(interval) = line
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    else {
        let only = version(line)?;
        return Some((only.clone(), only));
    };
    let (low, high) = interval.split_once(',')?;
    Some((version(low)?, version(high)?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn retracted(go_mod: &str, version: &str) -> bool {
        let retractions = Retractions::of(go_mod.as_bytes());
        retractions.contain(&Version::parse(version).unwrap())
    }

    #[test]
    fn versions_and_intervals_are_read_in_lines_and_blocks() {
        let go_mod = "module example.com/m // retract v9.0.0\n\ngo 1.21\n\nrequire (\n\texample.com/n v1.5.0\n)\n\nretract v1.0.0 // why\n\
            retract [v1.2.0, v1.4.0]\nretract (\n\t// a reason\n\tv1.9.0\n\t\"v1.9.1\"\r\n\t[ v2.0.0 , v2.1.0 ]\n)\nretract(\nv3.0.0\n)\n";
        for version in [
            "v1.0.0",
            "v1.2.0",
            "v1.3.7-rc.1",
            "v1.4.0",
            "v1.9.0",
            "v1.9.1",
            "v2.0.5",
            "v3.0.0",
        ] {
            assert!(retracted(go_mod, version), "{version}");
        }
        for version in ["v9.0.0", "v1.5.0", "v1.0.1", "v1.4.1", "v2.1.1", "v1.9.2"] {
            assert!(!retracted(go_mod, version), "{version}");
        }
    }

    #[test]
    fn what_cannot_be_read_retracts_nothing() {
        for go_mod in [
            "",
            "retract",
            "retract v1",
            "retract [v1.0.0]",
            "retract [v1.0.0, v2.0.0",
            "retracted v1.0.0",
            "exclude (\nv1.0.0\n)",
            "retract (\n)\nv1.0.0",
        ] {
            assert!(!retracted(go_mod, "v1.0.0"), "{go_mod}");
        }
        let many = "retract v1.0.0\n".repeat(2 * RETRACTIONS_MAX);
        assert_eq!(Retractions::of(many.as_bytes()).0.len(), RETRACTIONS_MAX);
    }
}
