//! Who of the upstream's list gave what.
//!
//! The list is asked as one source, so whoever finds a part of a database false knows only that the upstream gave it. What
//! must be said to a person is which entry of the list it was, and that no other one is accused.

use std::collections::HashMap;

/// Parts whose giver is remembered: some hundred bytes each. The proof of one record needs ten parts at most.
const GIVERS_MAX: usize = 1024;

/// Which entry of the list gave which part of a database lately, by the part's path.
#[derive(Debug, Default)]
pub(crate) struct Givers(HashMap<String, String>);

impl Givers {
    /// The part at `path` came from the entry `url`.
    pub(crate) fn note(&mut self, path: &str, url: String) {
        if self.0.len() >= GIVERS_MAX {
            self.0.clear();
        }
        // A tile is one part, in whatever width it came.
        let (path, _) = path.split_once(".p/").unwrap_or((path, ""));
        self.0.insert(path.to_owned(), url);
    }

    /// Who gave the parts at these paths, each once; the upstream as a whole where that is not known any more.
    pub(crate) fn of(&self, paths: &[String]) -> String {
        let mut urls: Vec<&str> = paths
            .iter()
            .filter_map(|path| Some(self.0.get(path)?.as_str()))
            .collect();
        urls.sort_unstable();
        urls.dedup();
        match urls.is_empty() {
            true => "upstream".to_owned(),
            false => urls.join(", "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_are_named_who_gave_the_part() {
        let mut givers = Givers::default();
        givers.note("lookup/example.com/m@v1.0.0", "https://a".to_owned());
        givers.note("tile/8/0/000.p/7", "https://b".to_owned());
        givers.note("tile/8/1/000", "https://a".to_owned());
        let of = |paths: &[&str]| {
            let paths: Vec<_> = paths.iter().map(|path| (*path).to_owned()).collect();
            givers.of(&paths)
        };
        assert_eq!(of(&["lookup/example.com/m@v1.0.0"]), "https://a");
        assert_eq!(of(&["tile/8/0/000"]), "https://b");
        let both = of(&["tile/8/1/000", "tile/8/0/000"]);
        assert_eq!(both, "https://a, https://b");
        assert_eq!(of(&["latest"]), "upstream");
    }
}
