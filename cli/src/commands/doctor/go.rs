//! Is `go` set up to come here?

use std::net::SocketAddr;

use modmesh_protocol::module::Patterns;

use super::finding::Finding;
use super::unverified;
use crate::addresses::nearest_to_go;
use crate::commands::database_url::PastUs;
use crate::commands::{goes_through_us, setup_line};
use crate::settings::go_env::{GoEnv, GoEnvError};

const CHECK: &str = "go";

/// What was seen.
#[derive(Debug)]
pub(super) struct Facts {
    /// What `go env` says.
    pub(super) answer: Result<GoEnv, GoEnvError>,
    /// GOPROXY in the environment.
    pub(super) in_environment: Option<String>,
    /// GOFLAGS in the environment, with which `go env` is not asked.
    pub(super) flags_in_environment: Option<String>,
    /// GOSUMDB in the environment.
    pub(super) database_in_environment: Option<String>,
    /// Where the daemon serves `go`.
    pub(super) listen: Vec<SocketAddr>,
}

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let answer = match &facts.answer {
        Ok(answer) => answer,
        Err(GoEnvError::Missing) => {
            return vec![Finding::problem(
                CHECK,
                "there is no go command on PATH",
                "install Go, or add its folder to PATH",
            )];
        }
        Err(error) => {
            return vec![Finding::problem(
                CHECK,
                error.to_string(),
                "find out with `go env` why",
            )];
        }
    };
    let mut findings = vec![comes_here(answer, facts)];
    // An empty variable says nothing, and then go's own file counts.
    let in_environment = facts.flags_in_environment.as_deref();
    let in_environment = in_environment.filter(|flags| !flags.is_empty());
    let (flags, place, remedy) = match in_environment {
        Some(flags) => (flags, "GOFLAGS in the environment", "unset GOFLAGS"),
        None => (answer.goflags.as_str(), "GOFLAGS", "go env -u GOFLAGS"),
    };
    if flags.split_whitespace().any(|flag| flag == "-mod=vendor") {
        findings.push(Finding::warning(
            CHECK,
            format!("{place} has -mod=vendor, with which go downloads nothing"),
            &format!("take it out if that is not meant: {remedy}"),
        ));
    }
    let in_environment = facts.database_in_environment.as_deref();
    if let Some(past_us) = PastUs::of(&answer.gosumdb, in_environment, &facts.listen) {
        findings.push(Finding::warning(CHECK, past_us.text(), &past_us.remedy()));
    }
    findings.extend(unverified::judge(answer));
    findings.extend(goes_past_us(answer));
    findings
}

/// What `go` asks for itself; that is meant for private modules, and not for all.
fn goes_past_us(answer: &GoEnv) -> Option<Finding> {
    let bypassed = answer.bypassed()?;
    let text = format!("asks itself, and not modmesh, for what matches GONOPROXY: {bypassed}");
    Some(match matches_everything(&bypassed) {
        true => Finding::warning(
            CHECK,
            format!("{text}, which is every module"),
            "name private modules alone in GOPRIVATE and GONOPROXY, or `go env -w GONOPROXY=none`",
        ),
        false => Finding::ok(CHECK, text),
    })
}

/// Whether these patterns of `go` match every module.
pub(super) fn matches_everything(patterns: &str) -> bool {
    Patterns::parse(patterns).is_ok_and(|patterns| patterns.matches_everything())
}

fn comes_here(answer: &GoEnv, facts: &Facts) -> Finding {
    let place = match facts.in_environment {
        Some(_) => "GOPROXY in the environment",
        None => "GOPROXY",
    };
    if goes_through_us(&answer.goproxy, &facts.listen) {
        return Finding::ok(CHECK, format!("{place} begins with modmesh"));
    }
    let text = format!("{place} does not begin with modmesh, so go does not come here");
    match facts.in_environment {
        None => {
            let setup = nearest_to_go(&facts.listen).map_or("modmesh setup".to_owned(), setup_line);
            let remedy = format!("type `{setup}` (or use `modmesh run`)");
            Finding::problem(CHECK, text, &remedy)
        }
        Some(_) => Finding::problem(
            CHECK,
            text,
            "unset it, or put the line there that `modmesh setup` tells",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    fn judged(answer: Result<GoEnv, GoEnvError>, in_environment: Option<&str>) -> Vec<Finding> {
        judge(&Facts {
            answer,
            in_environment: in_environment.map(str::to_owned),
            flags_in_environment: None,
            database_in_environment: None,
            listen: vec![([127, 0, 0, 1], 8484).into()],
        })
    }

    fn go(proxy: &str) -> GoEnv {
        GoEnv {
            goproxy: proxy.to_owned(),
            ..GoEnv::default()
        }
    }

    #[test]
    fn a_go_that_comes_here_is_well_and_every_other_has_a_remedy() {
        let us = "http://127.0.0.1:8484|direct";
        assert_eq!(judged(Ok(go(us)), None)[0].level, Level::Ok);
        assert_eq!(judged(Ok(go(us)), Some(us))[0].level, Level::Ok);
        for (found, remedy) in [
            (judged(Ok(go("direct")), None), "modmesh setup"),
            (judged(Ok(go("direct")), Some("direct")), "unset it"),
            (judged(Err(GoEnvError::Missing), None), "install Go"),
            (judged(Err(GoEnvError::Failed("x".into())), None), "go env"),
        ] {
            assert_eq!(found[0].level, Level::Problem);
            assert!(
                found[0]
                    .remedy
                    .as_ref()
                    .is_some_and(|text| text.contains(remedy))
            );
        }
    }

    #[test]
    fn another_address_than_the_usual_one_is_to_be_named_at_setup() {
        let remedy = |port: u16| {
            let found = judge(&Facts {
                answer: Ok(go("direct")),
                in_environment: None,
                flags_in_environment: None,
                database_in_environment: None,
                listen: vec![([0, 0, 0, 0], port).into()],
            });
            found.first().and_then(|one| one.remedy.clone())
        };
        let type_it = |line: &str| Some(format!("type `{line}` (or use `modmesh run`)"));
        assert_eq!(remedy(8484), type_it("modmesh setup"));
        let line = "modmesh setup --listen 127.0.0.1:8486";
        assert_eq!(remedy(8486), type_it(line));
    }

    #[test]
    fn what_keeps_go_away_from_here_is_named() {
        let answer = GoEnv {
            goflags: "-x -mod=vendor".to_owned(),
            goprivate: "corp.example".to_owned(),
            ..go("http://127.0.0.1:8484")
        };
        let found = judged(Ok(answer), None);
        assert_eq!(found[1].level, Level::Warning);
        assert!(found[2].text.contains("corp.example"));
    }

    #[test]
    fn patterns_for_no_module_and_for_all_are_told_from_others() {
        let judged = |gonoproxy: &str| {
            let answer = GoEnv {
                gonoproxy: gonoproxy.to_owned(),
                goprivate: "corp.example".to_owned(),
                ..go("http://127.0.0.1:8484")
            };
            let mut found = judged(Ok(answer), None);
            found.drain(1..).map(|one| one.level).collect::<Vec<_>>()
        };
        assert_eq!(judged("none"), []);
        assert_eq!(judged("corp.example"), [Level::Ok]);
        assert_eq!(judged("*"), [Level::Warning]);
    }

    #[test]
    fn flags_of_the_environment_come_before_those_of_the_file() {
        let us = "http://127.0.0.1:8484";
        let remedy = |in_file: &str, in_environment: Option<&str>| {
            let answer = GoEnv {
                goflags: in_file.to_owned(),
                ..go(us)
            };
            let found = judge(&Facts {
                answer: Ok(answer),
                in_environment: None,
                flags_in_environment: in_environment.map(str::to_owned),
                database_in_environment: None,
                listen: vec![([127, 0, 0, 1], 8484).into()],
            });
            found.get(1).and_then(|finding| finding.remedy.clone())
        };
        let unset = "take it out if that is not meant: unset GOFLAGS";
        assert_eq!(remedy("", Some("-mod=vendor")).as_deref(), Some(unset));
        assert_eq!(remedy("-mod=vendor", Some("-x")), None);
        let in_file = remedy("-mod=vendor", Some(""));
        assert!(in_file.is_some_and(|text| text.ends_with("go env -u GOFLAGS")));
    }
}
