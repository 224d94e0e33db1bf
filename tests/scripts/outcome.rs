//! What a pass of the suite says: each script's verdict, and of a failure what `go` had said before.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::multiplexer::Counts;

/// How a script ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    Skip,
    Fail,
}

/// All scripts of a pass by their names.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    scripts: BTreeMap<String, (Verdict, Vec<String>)>,
    wall: Duration,
}

/// Why a script failed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Evidence {
    /// The last command of `go` before the failure.
    command: String,
    /// The lines of its output that tell of requests and checksums.
    said: Vec<String>,
    /// What the script did not like.
    failure: String,
}

impl Outcome {
    /// Reads the output of a Go test program that ran with `-test.v` for the time `wall`.
    pub(crate) fn read(text: &str, wall: Duration) -> Self {
        let mut logs: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        let mut verdicts = Vec::new();
        let mut current = "";
        for line in text.lines() {
            if let Some(name) = speaker(line) {
                current = name;
            } else if let Some((verdict, test)) = ending(line) {
                verdicts.extend(script(test).map(|name| (name, verdict)));
            } else {
                logs.entry(current).or_default().push(line.to_owned());
            }
        }
        let scripts = verdicts.into_iter().map(|(name, verdict)| {
            let log = logs.remove(name).unwrap_or_default();
            (name.to_owned(), (verdict, log))
        });
        Self {
            scripts: scripts.collect(),
            wall,
        }
    }

    /// How one script ended; nothing of one that did not run.
    pub(crate) fn of(&self, script: &str) -> Option<Verdict> {
        self.scripts.get(script).map(|(verdict, _)| *verdict)
    }

    /// The scripts that ended so, in order.
    pub(crate) fn names(&self, verdict: Verdict) -> impl Iterator<Item = &str> {
        let fits = move |(_, (found, _)): &(&String, &(Verdict, _))| *found == verdict;
        self.scripts.iter().filter(fits).map(|(name, _)| &**name)
    }

    pub(crate) fn count(&self, verdict: Verdict) -> usize {
        self.names(verdict).count()
    }

    /// What a script said before it failed.
    pub(crate) fn evidence(&self, script: &str) -> Evidence {
        self.scripts
            .get(script)
            .map_or_else(Evidence::default, |(_, log)| Evidence::in_log(log))
    }

    pub(crate) fn print(&self, pass: &str, requests: Option<&Counts>) {
        let [passed, skipped, failed] =
            [Verdict::Pass, Verdict::Skip, Verdict::Fail].map(|verdict| self.count(verdict));
        println!(
            "{pass}: {passed} pass, {skipped} skip, {failed} fail; {} s",
            self.wall.as_secs()
        );
        if let Some(requests) = requests {
            println!("    {requests}");
        }
    }
}

impl Evidence {
    /// The last command of a script's log, and what came after it.
    fn in_log(log: &[String]) -> Self {
        let Some(end) = log
            .iter()
            .rposition(|line| line.contains("FAIL: testdata/"))
        else {
            return Self::default();
        };
        let lines = &log[..end];
        let is_command = |line: &String| line.trim().starts_with('>') && line.contains(" go ");
        let begin = lines.iter().rposition(is_command).unwrap_or(0);
        let tells = |line: &&str| {
            let words = [
                "reading ",
                "server response",
                "verifying ",
                "SECURITY",
                "checksum",
                "EOF",
            ];
            // What the script itself compares is no word of go's.
            !line.starts_with('>') && words.iter().any(|word| line.contains(word))
        };
        let said = lines[begin..].iter().map(|line| line.trim()).filter(tells);
        let failure = log[end].split_once("testdata/script/");
        Self {
            command: lines.get(begin).map_or("", |line| line.trim()).to_owned(),
            said: said.map(str::to_owned).collect(),
            failure: failure.map_or(&*log[end], |(_, rest)| rest).to_owned(),
        }
    }

    /// Whether `go` could not check a sum, or found that it does not fit.
    pub(crate) fn is_about_sums(&self) -> bool {
        let words = ["verifying ", "SECURITY ERROR", "checksum mismatch"];
        let matched = |line: &String| line.starts_with("matched:");
        let mut said = self.said.iter().filter(|line| !matched(line));
        said.any(|line| words.iter().any(|word| line.contains(word)))
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LINES_SHOWN_MAX: usize = 4;
        const CHARS_SHOWN_MAX: usize = 240;
        let short = |line: &str| line.chars().take(CHARS_SHOWN_MAX).collect::<String>();
        writeln!(f, "    {}", short(&self.command))?;
        for line in self.said.iter().take(LINES_SHOWN_MAX) {
            writeln!(f, "        {}", short(line))?;
        }
        write!(f, "    {}", short(&self.failure))
    }
}

/// The script's name in that of its test.
fn script(test: &str) -> Option<&str> {
    test.strip_prefix("TestScript/")
}

/// Of a line that says whose output follows, the script; the empty name for other tests.
fn speaker(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("=== ")?;
    let (_, test) = rest.split_once(' ')?;
    Some(script(test.trim()).unwrap_or_default())
}

/// Of a line that says how a test ended, the verdict and the test.
fn ending(line: &str) -> Option<(Verdict, &str)> {
    let rest = line.trim_start().strip_prefix("--- ")?;
    let (verdict, rest) = rest.split_once(": ")?;
    let (test, _) = rest.split_once(" (")?;
    let verdict = match verdict {
        "PASS" => Verdict::Pass,
        "SKIP" => Verdict::Skip,
        "FAIL" => Verdict::Fail,
        _ => return None,
    };
    Some((verdict, test))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "\
=== RUN   TestScript
=== RUN   TestScript/mod_a
=== PAUSE TestScript/mod_a
=== RUN   TestScript/mod_b
=== CONT  TestScript/mod_b
    script_test.go:143: 2026-11-28T00:00:00Z
=== CONT  TestScript/mod_a
        > go get a.test
        go: a.test: reading http://x/a.test/@v/list: 404 Not Found
        > ! go get b.test
        [stderr]
        go: b.test@v1.0.0: verifying module: b.test@v1.0.0: reading http://x: 504 Gateway Timeout
        \tserver response: gone
        > stderr 'SECURITY ERROR'
    script_test.go:165: FAIL: testdata/script/mod_a.txt:5: stderr: no match
=== NAME  TestScript/mod_b
    script_test.go:165: skip
--- FAIL: TestScript (2.50s)
    --- FAIL: TestScript/mod_a (0.02s)
    --- SKIP: TestScript/mod_b (0.00s)
    --- PASS: TestScript/mod_c+incompatible (1.00s)
FAIL
";

    #[test]
    fn verdicts_and_what_was_said_are_read_from_the_output_of_a_test() {
        let outcome = Outcome::read(SAID, Duration::ZERO);
        assert_eq!(outcome.of("mod_a"), Some(Verdict::Fail));
        assert_eq!(outcome.of("mod_b"), Some(Verdict::Skip));
        assert_eq!(outcome.of("mod_c+incompatible"), Some(Verdict::Pass));
        assert_eq!(outcome.of("mod_d"), None);
        let evidence = outcome.evidence("mod_a");
        assert_eq!(evidence.command, "> ! go get b.test");
        assert_eq!(evidence.failure, "mod_a.txt:5: stderr: no match");
        assert_eq!(evidence.said.len(), 2, "{evidence}");
        assert!(evidence.is_about_sums());
    }

    #[test]
    fn what_a_script_looks_for_is_nothing_that_go_said() {
        let outcome = Outcome::read(&SAID.replace("verifying module: ", ""), Duration::ZERO);
        assert!(!outcome.evidence("mod_a").is_about_sums());
    }
}
