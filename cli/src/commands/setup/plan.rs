//! What setup is going to do: pure functions from what is there to a plan, so that their table of cases is their test.
//!
//! GOPROXY has three places: the environment, go's own file (`go env -w`) and the default that `go` brings. The
//! environment comes first and cannot be changed for other processes. A value in the file that setup did not write is
//! somebody's own: it is what `--undo` brings back, and never what `--undo` writes over.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use modmesh_protocol::goproxy::ProxyList;

use crate::commands::goes_through_us;
use crate::settings::Remembered;
use crate::settings::go_env::Change;

/// Values that setup wrote and still knows as its own.
const WRITTEN_MAX: usize = 4;

/// What is there.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    /// Where the daemon serves `go`.
    pub(super) listen: Vec<SocketAddr>,
    /// Its address as `go` is told it.
    pub(super) us: String,
    /// GOPROXY in the environment.
    pub(super) in_environment: Option<String>,
    /// GOPROXY in go's own file.
    pub(super) in_file: Option<String>,
    /// GOPROXY as `go env` tells it.
    pub(super) told: String,
    /// go's own file.
    pub(super) goenv: PathBuf,
    /// What an earlier setup remembered.
    pub(super) remembered: Option<Remembered>,
    /// Where that lies.
    pub(super) memory: PathBuf,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Plan {
    /// Nothing, and why.
    Nothing(String),
    /// Remember, then write this list.
    SetUp { list: String, remember: Remembered },
    /// Put back what was before, then forget.
    TakeBack(Change),
    /// It is as before already: only forget.
    Forget,
}

/// Why setup can do nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Hindrance {
    #[error(
        "GOPROXY is set in the environment, which comes before `go env -w`, so setup cannot help: where it is set, write \
         export GOPROXY=\"{0}\" (or unset it and run setup again)"
    )]
    Environment(String),
    #[error(
        "go keeps no settings file (GOENV is off, or there is no home folder), so `go env -w` cannot write: unset GOENV, \
         or put into the environment: export GOPROXY=\"{0}\""
    )]
    NoFile(String),
    #[error("GOPROXY as go env tells it cannot be used: {0}; repair it with `go env -w` first")]
    Unusable(String),
    #[error(
        "GOPROXY was changed after setup and is left as it is, {now}; to have what was before setup, type: {command}"
    )]
    ChangedSince { now: String, command: String },
    #[error(
        "setup changed {}, but go uses {} now, and only one is remembered; undo that first: GOENV={} modmesh setup --undo",
        .then.display(), .now.display(), .then.display()
    )]
    OtherFile { then: PathBuf, now: PathBuf },
    #[error(
        "setup remembers no change here, yet GOPROXY in {} leads to modmesh: {now}; to take it out, {what_to_do}",
        .file.display()
    )]
    NotRemembered {
        file: PathBuf,
        now: String,
        what_to_do: String,
    },
}

/// What `setup` does.
pub(super) fn set_up(facts: &Facts, strict: bool) -> Result<Plan, Hindrance> {
    if let Some(list) = &facts.in_environment {
        return match goes_through_us(list, &facts.listen) {
            true => Ok(Plan::Nothing(
                "go uses modmesh already: GOPROXY in the environment begins with it".to_owned(),
            )),
            false => Err(Hindrance::Environment(to_type(
                facts, list, strict, "$GOPROXY",
            ))),
        };
    }
    if let Err(error) = ProxyList::parse(&facts.told)
        && !facts.told.is_empty()
    {
        return Err(Hindrance::Unusable(error.to_string()));
    }
    if let Some(remembered) = &facts.remembered {
        is_of_this_file(remembered, facts)?;
    }
    let ours = facts.remembered.as_ref().filter(|remembered| {
        let of_setup = |list| remembered.written.contains(list);
        facts.in_file.as_ref().is_some_and(of_setup)
    });
    let (before, upstream) = match ours {
        Some(remembered) => (remembered.before.clone(), remembered.upstream.clone()),
        None => {
            let rest = without_us(&facts.told, &facts.listen);
            (facts.in_file.clone(), (!rest.is_empty()).then_some(rest))
        }
    };
    let list = match (&upstream, strict) {
        (Some(rest), false) => format!("{}|{rest}", facts.us),
        _ => facts.us.clone(),
    };
    let is_there = facts.told == list;
    let by_hand = ours.is_none() && !strict && goes_through_us(&facts.told, &facts.listen);
    if is_there || by_hand {
        return Ok(Plan::Nothing(format!(
            "go uses modmesh already: GOPROXY is {}",
            shown(&facts.told)
        )));
    }
    let earlier = ours.map(|remembered| remembered.written.as_slice());
    let mut written = vec![list.clone()];
    written.extend(earlier.unwrap_or_default().iter().cloned());
    written.truncate(WRITTEN_MAX);
    let goenv = facts.goenv.clone();
    let remember = Remembered {
        goenv,
        before,
        written,
        upstream,
    };
    Ok(Plan::SetUp { list, remember })
}

/// What `setup --undo` does.
pub(super) fn undo(facts: &Facts) -> Result<Plan, Hindrance> {
    let Some(remembered) = &facts.remembered else {
        return undo_by_hand(facts);
    };
    is_of_this_file(remembered, facts)?;
    if facts.in_file == remembered.before {
        return Ok(Plan::Forget);
    }
    let back = match &remembered.before {
        Some(list) => Change::Write(list.clone()),
        None => Change::Unset,
    };
    match &facts.in_file {
        Some(list) if remembered.written.contains(list) => Ok(Plan::TakeBack(back)),
        now => Err(Hindrance::ChangedSince {
            now: now.as_deref().map_or("not set".to_owned(), shown),
            command: command(&back, &facts.memory),
        }),
    }
}

/// What was before in one file must not be forgotten for what was in another.
fn is_of_this_file(remembered: &Remembered, facts: &Facts) -> Result<(), Hindrance> {
    if remembered.goenv == facts.goenv {
        return Ok(());
    }
    Err(Hindrance::OtherFile {
        then: remembered.goenv.clone(),
        now: facts.goenv.clone(),
    })
}

/// Nothing is remembered. Where the file leads here all the same, a person must say what is to be there instead.
fn undo_by_hand(facts: &Facts) -> Result<Plan, Hindrance> {
    let in_file = facts.in_file.as_deref();
    let Some(list) = in_file.filter(|list| goes_through_us(list, &facts.listen)) else {
        return Ok(Plan::Nothing(
            "setup has changed nothing here that is left to take back".to_owned(),
        ));
    };
    let rest = without_us(list, &facts.listen);
    let what_to_do = if rest.is_empty() {
        format!("type: {}", command(&Change::Unset, &facts.goenv))
    } else if shown(&rest) == rest {
        format!("type: {}", command(&Change::Write(rest), &facts.goenv))
    } else {
        format!("take its first entry out in {}", facts.goenv.display())
    };
    Err(Hindrance::NotRemembered {
        file: facts.goenv.clone(),
        now: shown(list),
        what_to_do,
    })
}

/// The value of an `export` with which `go` would come to us. A password in `list` is not shown: then the line that is
/// typed says where the list stands, `place`.
pub(super) fn to_type(facts: &Facts, list: &str, strict: bool, place: &str) -> String {
    let wanted = wanted(facts, list, strict);
    match shown(&wanted) == wanted {
        true => wanted,
        false => format!("{}|{place}", facts.us),
    }
}

/// The list with which `go` would come to us, told to somebody who must write it himself.
fn wanted(facts: &Facts, list: &str, strict: bool) -> String {
    match (strict, without_us(list, &facts.listen)) {
        (false, rest) if !rest.is_empty() => format!("{}|{rest}", facts.us),
        _ => facts.us.clone(),
    }
}

/// What a person would type for a change. A password is not shown: then it is said where the value stands, `place`.
pub(super) fn command(change: &Change, place: &Path) -> String {
    match change {
        Change::Write(list) if shown(list) == *list => format!("go env -w GOPROXY=\"{list}\""),
        Change::Write(_) => format!(
            "go env -w GOPROXY=\"...\" with the value of `before` in {}, which holds a password",
            place.display()
        ),
        Change::Unset => "go env -u GOPROXY".to_owned(),
    }
}

/// A list as it may be printed: without passwords.
pub(super) fn shown(list: &str) -> String {
    if !list.contains('@') {
        return list.to_owned();
    }
    match ProxyList::parse(list) {
        Ok(list) => list.to_string(),
        Err(_) => "(a list that cannot be read)".to_owned(),
    }
}

/// The value of GOPROXY in the text of go's own file, as cmd/go reads it: the last line that begins with the name.
pub(super) fn value_in(file: &str) -> Option<String> {
    let lines = file.split('\n').rev();
    let mut values = lines.filter_map(|line| line.strip_prefix("GOPROXY="));
    values.next().map(str::to_owned)
}

/// The text of a list without the entries that are us. The text and not the parsed list: passwords must survive.
fn without_us(list: &str, listen: &[SocketAddr]) -> String {
    let is_us = |entry: &str| {
        ProxyList::parse(entry).is_ok_and(|entry| entry.without(listen).entries().next().is_none())
    };
    let kept: String = list
        .split_inclusive([',', '|'])
        .filter(|entry| !is_us(entry.trim_end_matches([',', '|'])))
        .collect();
    kept.trim_end_matches([',', '|']).to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
