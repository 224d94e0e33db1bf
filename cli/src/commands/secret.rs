//! `modmesh secret new`: a mesh secret in a file that nobody else can read.
//!
//! The secret itself is written into the file and nowhere else: not to the terminal, where others look on and logs are kept.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use modmesh_protocol::membership::{SECRET_BYTES, Secret};

use super::Failure;
use crate::arguments::{SecretAction, SecretArguments};
use crate::output;
use crate::settings::usual_secret_file;

/// Why there is no new secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    #[error(
        "{} is there already and is left as it is; name another file, whose line you then put into this one (see `modmesh secret --help`)",
        .0.display()
    )]
    Exists(PathBuf),
    #[error("cannot write the secret into {}: {error}; name a file of yours", .path.display())]
    Write { path: PathBuf, error: io::Error },
    #[error("this system gives no random bytes: {0}")]
    Random(getrandom::Error),
    #[error("there is no home folder to put the secret in: name the file")]
    NoHome,
}

/// Makes a secret.
pub(crate) fn secret(arguments: SecretArguments) -> Result<ExitCode, Failure> {
    let SecretAction::New { file } = arguments.action;
    let path = match file {
        Some(path) => {
            std::path::absolute(&path).map_err(|error| SecretError::Write { path, error })?
        }
        None => usual_place()?,
    };
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(SecretError::Random)?;
    write(&path, &Secret::new(bytes))?;
    let shown = path.display();
    output::say(&format!(
        "a new mesh secret is in {shown}\n\
         copy the file to every host of the mesh, with mode 0600; who has it is a member\n\
         start each with: modmesh up --mesh-secret-file {shown}\n\
         (or the line mesh-secret-file = \"{shown}\" in its configuration file)"
    ));
    Ok(ExitCode::SUCCESS)
}

/// The file beside the configuration file, whose folder is made where it is missing.
fn usual_place() -> Result<PathBuf, SecretError> {
    let path = usual_secret_file().ok_or(SecretError::NoHome)?;
    if let Some(folder) = path.parent() {
        let made = std::fs::create_dir_all(folder);
        made.map_err(|error| SecretError::Write {
            path: path.clone(),
            error,
        })?;
    }
    Ok(path)
}

fn write(path: &Path, secret: &Secret) -> Result<(), SecretError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => SecretError::Exists(path.to_owned()),
        _ => SecretError::Write {
            path: path.to_owned(),
            error,
        },
    };
    let mut file = options.open(path).map_err(failed)?;
    let text = format!("{}\n", secret.to_line());
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all());
    written.map_err(|error| {
        // Half a secret is of no use, and would be in the way of a whole one.
        let _left = std::fs::remove_file(path);
        failed(error)
    })
}
