//! Does `go` itself verify what it downloads? Where it is told not to, that is said, with the way back.

use super::finding::Finding;
use super::go::matches_everything;
use crate::settings::go_env::GoEnv;

const CHECK: &str = "go";

/// One finding for each setting by which `go` verifies nothing.
pub(super) fn judge(answer: &GoEnv) -> Vec<Finding> {
    let unverified = [
        (
            answer.gosumdb.trim() == "off",
            "GOSUMDB=off, so go checks no new module against a checksum database",
            "go env -u GOSUMDB (or unset it, if it comes from the environment)",
        ),
        (
            matches_everything(&answer.gonosumdb),
            "GONOSUMDB (by default GOPRIVATE) matches every module, so go checks none against the checksum database",
            "name private modules alone in it (or unset it, if it comes from the environment)",
        ),
        (
            matches_everything(&answer.goinsecure),
            "GOINSECURE matches every module, so what go fetches itself may come over plain HTTP, or from whoever has any certificate",
            "go env -u GOINSECURE (or unset it, if it comes from the environment)",
        ),
    ];
    let told = unverified.into_iter().filter(|(holds, ..)| *holds);
    told.map(|(_, text, remedy)| Finding::warning(CHECK, text, remedy))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_of_verifying_nothing_is_one_warning() {
        let go = |gosumdb: &str, gonosumdb: &str, goinsecure: &str| {
            let answer = GoEnv {
                gosumdb: gosumdb.into(),
                gonosumdb: gonosumdb.into(),
                goinsecure: goinsecure.into(),
                ..GoEnv::default()
            };
            judge(&answer)
        };
        assert_eq!(go("sum.golang.org", "corp.example/*", "corp.example"), []);
        for (found, word) in [
            (go("off", "", ""), "GOSUMDB=off"),
            (go("", "corp.example,*", ""), "GONOSUMDB"),
            (go("", "", "*"), "GOINSECURE"),
        ] {
            assert_eq!(found.len(), 1);
            assert!(found.iter().all(|one| one.text.starts_with(word)));
        }
    }
}
