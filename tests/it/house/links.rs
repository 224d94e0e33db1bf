//! Links of the documents: what they point at inside the repository exists.

use std::path::{Component, Path, PathBuf};

use crate::{assert_none, files, read, root};

#[test]
fn every_relative_link_leads_to_a_file() {
    let mut findings = Vec::new();
    for file in files("", "md") {
        let text = read(&file);
        for (line, target) in links(&text) {
            if !leads_somewhere(&file, &text, target) {
                findings.push(format!("{file}:{line}: {target} does not exist"));
            }
        }
    }
    assert_none(&findings);
}

#[test]
fn links_are_found_outside_of_code() {
    let text = "see [a](x.md) and `[b](no.md)`\n```\n[c](no.md)\n```\n![d](y.png \"title\") [e](z.md#part)\n[f]: w.md\n";
    let found: Vec<_> = links(text).collect();
    assert_eq!(
        found,
        [(1, "x.md"), (5, "y.png"), (5, "z.md#part"), (6, "w.md")]
    );
    assert!(leads_somewhere(
        "README.md",
        "## Two words: here\n",
        "#two-words-here"
    ));
    assert!(!leads_somewhere("README.md", "# One\n", "#two"));
    assert!(!leads_somewhere("README.md", "", "../outside.md"));
}

/// Targets of links, with their lines.
fn links(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    text.lines().enumerate().flat_map(move |(index, line)| {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        let mut found = Vec::new();
        if in_code {
            return found;
        }
        if let Some((_, target)) = line
            .strip_prefix('[')
            .and_then(|rest| rest.split_once("]: "))
        {
            found.push((index + 1, target.trim()));
        }
        // Every second part of a line stands between backticks.
        for part in line.split('`').step_by(2) {
            for after in part.split("](").skip(1) {
                let target = after.split([')', ' ']).next().unwrap_or("");
                found.push((index + 1, target));
            }
        }
        found
    })
}

fn leads_somewhere(file: &str, text: &str, target: &str) -> bool {
    if target.contains("://") || target.starts_with("mailto:") {
        return true;
    }
    let (path, part) = target.split_once('#').unwrap_or((target, ""));
    if path.is_empty() {
        return has_heading(text, part);
    }
    let Some(path) = resolve(file, path) else {
        return false;
    };
    let there = root().join(&path);
    there.exists()
        && (part.is_empty()
            || path.extension().is_none_or(|extension| extension != "md")
            || has_heading(&read(path.to_str().unwrap()), part))
}

/// The path from the root; nothing when it leads out of the repository.
fn resolve(file: &str, target: &str) -> Option<PathBuf> {
    let mut resolved = Path::new(file).parent()?.to_owned();
    for part in Path::new(target).components() {
        match part {
            Component::ParentDir => {
                if !resolved.pop() {
                    return None;
                }
            }
            Component::Normal(name) => resolved.push(name),
            _ => {}
        }
    }
    Some(resolved)
}

/// Whether a heading has this anchor: lower case, spaces as hyphens, no other signs.
fn has_heading(text: &str, anchor: &str) -> bool {
    text.lines()
        .filter(|line| line.starts_with('#'))
        .any(|line| {
            let made: String = line
                .trim_start_matches('#')
                .trim()
                .to_lowercase()
                .chars()
                .filter_map(|letter| match letter {
                    ' ' => Some('-'),
                    letter if letter.is_alphanumeric() || matches!(letter, '-' | '_') => {
                        Some(letter)
                    }
                    _ => None,
                })
                .collect();
            made == anchor
        })
}
