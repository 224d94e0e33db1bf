//! `modmesh setup`: makes `go` use modmesh, says what it changes, and takes it back with `--undo`.
//!
//! It changes one thing, GOPROXY in the file of `go env -w`, and has `go env` do it. What was there before is remembered
//! first, so that an end at any moment loses nothing. It asks no questions: what it does is printed, can be seen before
//! with `--dry-run`, and can be taken back. Which change is right is decided in `plan`, which does no I/O.

mod plan;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::Failure;
use super::database_url::PastUs;
use crate::addresses::base_url;
use crate::arguments::SetupArguments;
use crate::client::ClientError;
use crate::ours::Purpose;
use crate::output;
use crate::settings::go_env::{self, Change, GoEnv, GoEnvError};
use crate::settings::{Gathered, Remembered};
pub(crate) use plan::Hindrance;
use plan::{Facts, Plan, shown};

/// Why setup failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetupError {
    #[error("{0}; setup changes what `go env` says: put the go command on PATH")]
    Go(#[from] GoEnvError),
    #[error(transparent)]
    Hindrance(#[from] Hindrance),
    #[error("cannot keep or read what GOPROXY was before, {}: {error}; nothing was changed", .path.display())]
    Memory { path: PathBuf, error: io::Error },
    #[error("cannot read go's settings, {}: {error}", .path.display())]
    GoFile { path: PathBuf, error: io::Error },
    #[error("go env still says GOPROXY={0} after the change; look at `go env -changed`")]
    NotChanged(String),
}

/// Sets up, or takes it back.
pub(crate) async fn setup(arguments: SetupArguments) -> Result<ExitCode, Failure> {
    let where_to = &arguments.where_to;
    let gathered = Gathered::under(where_to.layer(), where_to.config.as_deref())?;
    let address = super::address_to_ask(&gathered)?;
    let state_dir = gathered.state_dir()?.value;
    let answer = go_env::ask(go_env::DEADLINE)
        .await
        .map_err(SetupError::from)?;
    let facts = Facts {
        listen: gathered.listen()?.value,
        us: base_url(&address),
        in_environment: gathered.variable("GOPROXY")?,
        in_file: in_file(&answer)?,
        told: answer.goproxy.clone(),
        goenv: answer.file().unwrap_or_default(),
        remembered: remembered(&state_dir)?,
        memory: Remembered::path(&state_dir),
    };
    let plan = match arguments.undo {
        true => plan::undo(&facts),
        false => plan::set_up(&facts, arguments.strict),
    };
    let plan = plan.map_err(SetupError::from)?;
    if answer.file().is_none() && matches!(plan, Plan::SetUp { .. } | Plan::TakeBack(_)) {
        let list = plan::to_type(&facts, &facts.told, arguments.strict, "$(go env GOPROXY)");
        return Err(SetupError::from(Hindrance::NoFile(list)).into());
    }
    let client = super::client_for(&gathered, Purpose::SendGo)?;
    let alive = match client.is_alive().await {
        // go is not sent to a stranger, nor to another user's daemon.
        Err(error @ (ClientError::Stranger(_) | ClientError::NotOurs(..)))
            if matches!(plan, Plan::SetUp { .. }) =>
        {
            return Err(error.into());
        }
        alive => alive,
    };
    for line in announcement(&facts, &plan) {
        output::say(&line);
    }
    if arguments.dry_run {
        output::say("nothing was changed (--dry-run)");
        return Ok(ExitCode::SUCCESS);
    }
    carry_out(&plan, &state_dir).await?;
    if !arguments.undo {
        let in_environment = gathered.variable("GOSUMDB")?;
        let past_us = PastUs::of(&answer.gosumdb, in_environment.as_deref(), &facts.listen);
        if let Some(past_us) = past_us {
            let (text, remedy) = (past_us.text(), past_us.remedy());
            output::say(&format!("note: {text}: {remedy}"));
        }
        tell_what_follows(&gathered, &answer, &plan, client.base_url(), alive);
    } else if facts.in_environment.is_some() {
        output::say("note: GOPROXY is also set in the environment, which comes first for go");
    }
    Ok(ExitCode::SUCCESS)
}

/// What is going to be changed, in the words of `go env`.
fn announcement(facts: &Facts, plan: &Plan) -> Vec<String> {
    let old = match &facts.in_file {
        Some(list) => shown(list),
        None => format!("not set (go's default: {})", shown(&facts.told)),
    };
    let change = match plan {
        Plan::Nothing(why) => return vec![why.clone()],
        Plan::Forget => return vec!["GOPROXY is already what it was before setup".to_owned()],
        Plan::SetUp { list, .. } => Change::Write(list.clone()),
        Plan::TakeBack(change) => change.clone(),
    };
    let new = match &change {
        Change::Write(list) => shown(list),
        Change::Unset => "not set".to_owned(),
    };
    let by = match &change {
        Change::Write(list) if shown(list) != *list => "go env -w GOPROXY=...".to_owned(),
        change => plan::command(change, &facts.memory),
    };
    vec![
        format!("GOPROXY in {}", facts.goenv.display()),
        format!("  old value  {old}"),
        format!("  new value  {new}"),
        format!("  by         {by}"),
    ]
}

async fn carry_out(plan: &Plan, state_dir: &Path) -> Result<(), SetupError> {
    let memory = |error| SetupError::Memory {
        path: Remembered::path(state_dir),
        error,
    };
    let expected = match plan {
        Plan::Nothing(_) => return Ok(()),
        Plan::Forget => return Remembered::forget(state_dir).map_err(memory),
        Plan::SetUp { list, remember } => {
            // First remembered, then changed.
            remember.save(state_dir).map_err(memory)?;
            go_env::change(&Change::Write(list.clone()), go_env::DEADLINE).await?;
            Some(list.clone())
        }
        Plan::TakeBack(change) => {
            go_env::change(change, go_env::DEADLINE).await?;
            match change {
                Change::Write(list) => Some(list.clone()),
                Change::Unset => None,
            }
        }
    };
    let answer = go_env::ask(go_env::DEADLINE).await?;
    if in_file(&answer)? != expected {
        return Err(SetupError::NotChanged(shown(&answer.goproxy)));
    }
    match plan {
        Plan::TakeBack(_) => Remembered::forget(state_dir).map_err(memory),
        _ => Ok(()),
    }
}

/// What a person should know after it.
fn tell_what_follows(
    gathered: &Gathered,
    answer: &GoEnv,
    plan: &Plan,
    us: &str,
    alive: Result<bool, ClientError>,
) {
    if let Some(bypassed) = answer.bypassed() {
        output::say(&format!(
            "note: go asks for what matches GONOPROXY itself and not through modmesh: {bypassed}"
        ));
    }
    let is_strict = match plan {
        Plan::SetUp { list, remember } => {
            if remember.upstream.is_none() && !gathered.names_upstream() {
                output::say(
                    "note: GOPROXY named nobody else, so the daemon must be told whom to ask: modmesh up --upstream LIST",
                );
            }
            list == us
        }
        _ => false,
    };
    match alive {
        Ok(true) => {}
        Ok(false) => {
            let alone = if is_strict {
                ", and go asks nobody else"
            } else {
                ""
            };
            output::say(&format!(
                "note: no daemon answers at {us} yet{alone}: start it with `modmesh up`"
            ));
        }
        Err(error) => output::say(&format!("note: {error}")),
    }
    if matches!(plan, Plan::SetUp { .. }) {
        output::say(
            "`modmesh setup --undo` takes it back; `modmesh doctor` tells whether it works",
        );
    }
}

fn remembered(state_dir: &Path) -> Result<Option<Remembered>, SetupError> {
    Remembered::load(state_dir).map_err(|error| SetupError::Memory {
        path: Remembered::path(state_dir),
        error,
    })
}

/// GOPROXY in go's own file.
fn in_file(answer: &GoEnv) -> Result<Option<String>, SetupError> {
    let Some(path) = answer.file() else {
        return Ok(None);
    };
    match std::fs::read(&path) {
        Ok(text) => Ok(plan::value_in(&String::from_utf8_lossy(&text))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(SetupError::GoFile { path, error }),
    }
}
