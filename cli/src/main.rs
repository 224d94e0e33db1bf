//! The `modmesh` command: `up` and `run` start the daemon library, everything else asks a daemon that runs.
//!
//! This file only reads the arguments, runs one command and turns its end into an exit code: 0 done, 1 failed, 2 wrong
//! usage. A failure is one line on stderr that begins with `modmesh:`; `run` ends with the code of its command.

mod addresses;
mod arguments;
mod client;
mod commands;
mod logging;
mod notify;
mod ours;
mod output;
mod settings;

use std::process::ExitCode;

use arguments::Command;
use commands::Failure;

fn main() -> ExitCode {
    let command = match arguments::read() {
        Ok(command) => command,
        Err(code) => return code,
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&Failure::Runtime(error)),
    };
    let ended = runtime.block_on(async {
        match command {
            Command::Up(arguments) => commands::up::up(arguments).await,
            Command::Run(arguments) => commands::run::run(arguments).await,
            Command::Status(arguments) => commands::status::status(arguments).await,
            Command::Peers(arguments) => commands::peers::peers(arguments).await,
            Command::Explain(arguments) => commands::explain::explain(arguments).await,
            Command::Sumdb(arguments) => commands::sumdb::sumdb(arguments).await,
            Command::Distrust(arguments) => commands::distrust::distrust(arguments).await,
            Command::Secret(arguments) => commands::secret::secret(arguments),
            Command::Config(arguments) => commands::config::config(arguments).await,
            Command::Setup(arguments) => commands::setup::setup(arguments).await,
            Command::Doctor(arguments) => commands::doctor::doctor(arguments).await,
            Command::Other(words) => Err(commands::not_a_command(&words)),
        }
    });
    // What still runs in the background (a `go env` past its deadline) must not hold the process.
    runtime.shutdown_background();
    match ended {
        Ok(code) => code,
        Err(failure) => failed(&failure),
    }
}

fn failed(failure: &Failure) -> ExitCode {
    output::complain(&failure.to_string());
    ExitCode::from(failure.code())
}
