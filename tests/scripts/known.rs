//! What is known to fail, read from the tables of `docs/conformance.md`.

use std::collections::BTreeMap;
use std::path::Path;

/// Entries that the list of what no proxy can pass may have.
const CANNOT_PASS_MAX: usize = 5;

/// The document's lists.
#[derive(Debug)]
pub(crate) struct Known {
    /// Through the daemon, with everything there.
    pub(crate) cannot_pass: Listed,
    /// With the origin gone.
    pub(crate) without_origin: Listed,
    /// On a host that has a neighbour and nothing else.
    pub(crate) neighbour_only: Listed,
}

/// Scripts that fail, each with the word for the reason.
#[derive(Debug, Default)]
pub(crate) struct Listed(BTreeMap<String, Entry>);

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The class of the failure; for what no proxy can pass, the whole reason.
    pub(crate) class: String,
    /// It fails every time. The others depend on the order in which scripts run.
    pub(crate) always: bool,
}

impl Known {
    /// Reads the document.
    ///
    /// # Panics
    /// When it is not there or lacks a table.
    pub(crate) fn read() -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/conformance.md");
        let text = std::fs::read_to_string(&file)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        Self {
            cannot_pass: Listed::by_script(&text, "## What no proxy can pass"),
            without_origin: Listed::by_class(&text, "## With the origin gone"),
            neighbour_only: Listed::by_class(&text, "## With nothing but a neighbour"),
        }
    }

    /// What is wrong with the lists themselves.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let listed = self.cannot_pass.0.len();
        if listed <= CANNOT_PASS_MAX {
            return Vec::new();
        }
        vec![format!(
            "docs/conformance.md lists {listed} scripts that no proxy can pass; at most {CANNOT_PASS_MAX} may be listed"
        )]
    }
}

impl Listed {
    pub(crate) fn get(&self, script: &str) -> Option<&Entry> {
        self.0.get(script)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.0.iter().map(|(script, entry)| (&**script, entry))
    }

    /// A table with one script a row, and the reason beside it.
    fn by_script(text: &str, heading: &str) -> Self {
        let entry = |[script, reason]: [String; 2]| {
            let class = reason;
            (
                script,
                Entry {
                    class,
                    always: true,
                },
            )
        };
        Self(table(text, heading).into_iter().map(entry).collect())
    }

    /// A table with one class a row, what it means, and its scripts; those with a `?` do not fail every time.
    fn by_class(text: &str, heading: &str) -> Self {
        let mut listed = BTreeMap::new();
        for [class, _, scripts] in table(text, heading) {
            for script in scripts.split([',', ' ']).filter(|name| !name.is_empty()) {
                let always = !script.ends_with('?');
                let class = class.clone();
                let name = script.trim_end_matches('?').to_owned();
                listed.insert(name, Entry { class, always });
            }
        }
        Self(listed)
    }
}

/// The rows of the first table below a heading, without the head; backticks are left out.
fn table<const CELLS: usize>(text: &str, heading: &str) -> Vec<[String; CELLS]> {
    let mut lines = text.lines().skip_while(|line| *line != heading).skip(1);
    let of_section = lines.by_ref().take_while(|line| !line.starts_with("## "));
    let rows = of_section.filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
    let rows: Vec<[String; CELLS]> = rows
        .skip(2)
        .map(|row| {
            let cells = row.split('|').map(|cell| cell.trim().replace('`', ""));
            let cells: Vec<String> = cells.collect();
            cells.try_into().unwrap_or_else(|cells: Vec<String>| {
                panic!("below `{heading}` a row has {} cells: {row}", cells.len())
            })
        })
        .collect();
    assert!(
        text.contains(heading),
        "docs/conformance.md lacks `{heading}`"
    );
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_read_from_tables_below_their_headings() {
        let text = "# T\n| a | b |\n## One\ntext\n\n| script | reason |\n|---|---|\n| `mod_a` | so it is |\n\n## Two\n\n\
            | class | meaning | scripts |\n|---|---|---|\n| list | none | mod_b, mod_c? |\n| gone | too | mod_d |\n";
        let one = Listed::by_script(text, "## One");
        let entry = |class: &str, always| Entry {
            class: class.to_owned(),
            always,
        };
        assert_eq!(one.0.len(), 1);
        assert_eq!(one.get("mod_a"), Some(&entry("so it is", true)));
        let two = Listed::by_class(text, "## Two");
        assert_eq!(two.get("mod_b"), Some(&entry("list", true)));
        assert_eq!(two.get("mod_c"), Some(&entry("list", false)));
        assert_eq!(two.get("mod_d"), Some(&entry("gone", true)));
    }

    #[test]
    fn the_document_is_read_and_keeps_its_bound() {
        let known = Known::read();
        assert!(known.complaints().is_empty(), "{:?}", known.complaints());
        assert!(known.neighbour_only.iter().next().is_some());
    }
}
