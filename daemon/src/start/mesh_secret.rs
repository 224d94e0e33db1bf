//! The file of the mesh secrets: read at the start, and again when it has changed.
//!
//! One that cannot be used at the start is refused there, for without it the host would be open. One that cannot be used
//! later leaves the secrets that were read before, and is told of: taking the file away opens no mesh.

use std::fs::{File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use modmesh_protocol::membership::{SECRET_FILE_BYTES_MAX, Secrets};

use super::StartError;
use crate::peers::Peers;

/// How often it is looked whether the file has changed: soon enough for somebody who watches, and one call of the system.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The file, where a setting names one.
#[derive(Debug)]
pub(super) struct MeshSecret(Option<Named>);

#[derive(Debug)]
struct Named {
    path: PathBuf,
    look: Look,
    secrets: Secrets,
}

/// By what it is seen that the file has changed: its length, when it was written, and when its owner or mode was changed.
type Look = Option<(u64, SystemTime, i64)>;

impl MeshSecret {
    /// Reads the file; no file has no secrets.
    ///
    /// # Errors
    /// [`StartError::MeshSecret`] when it cannot be used.
    pub(super) async fn read(path: Option<PathBuf>) -> Result<(Self, Secrets), StartError> {
        let Some(path) = path else {
            return Ok((Self(None), Secrets::default()));
        };
        let (path, look, read) = look_and_read(path).await;
        let secrets = read.map_err(|reason| StartError::MeshSecret {
            path: path.clone(),
            reason,
        })?;
        let named = Named {
            path,
            look,
            secrets: secrets.clone(),
        };
        Ok((Self(Some(named)), secrets))
    }

    /// Gives the neighbours' room what changes, for as long as it is polled.
    pub(super) async fn watch(self, peers: Peers) {
        let Some(mut file) = self.0 else { return };
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if look(&file.path) == file.look {
                continue;
            }
            let (path, look, read) = look_and_read(file.path).await;
            (file.path, file.look) = (path, look);
            let shown = file.path.display();
            match read {
                Ok(secrets) => {
                    peers.tell_secret_trouble(None);
                    if secrets == file.secrets {
                        continue;
                    }
                    tracing::info!(file = %shown, secrets = secrets.len(), "the mesh secrets have changed");
                    file.secrets = secrets.clone();
                    // The room is gone only when the daemon ends.
                    let _ending = peers.take_secrets(secrets).await;
                }
                Err(reason) => {
                    tracing::warn!(file = %shown, reason, "the mesh secrets have changed and cannot be used; those read before hold");
                    let trouble = format!(
                        "the mesh secret in {shown} has changed and cannot be used ({reason}); what it held before holds until the daemon ends"
                    );
                    peers.tell_secret_trouble(Some(trouble));
                }
            }
        }
    }
}

async fn look_and_read(path: PathBuf) -> (PathBuf, Look, Result<Secrets, String>) {
    let kept = path.clone();
    // Looked at before it is read: what changes while it is read is seen at the next look.
    let work = tokio::task::spawn_blocking(move || (look(&path), read(&path)));
    match work.await {
        Ok((look, read)) => (kept, look, read),
        Err(error) => (kept, None, Err(error.to_string())),
    }
}

fn read(path: &Path) -> Result<Secrets, String> {
    let file = File::open(path)
        .map_err(|error| format!("{error}; `modmesh secret new FILE` makes one"))?;
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is no file; name the file with the secret".to_owned());
    }
    if let Some(fault) = exposed(&metadata) {
        return Err(format!("{fault}: chmod 600 {}", path.display()));
    }
    let mut text = String::new();
    // One byte more than it may have, so that it is seen to be too large.
    let most = SECRET_FILE_BYTES_MAX as u64 + 1;
    file.take(most)
        .read_to_string(&mut text)
        .map_err(|error| error.to_string())?;
    if text.len() > SECRET_FILE_BYTES_MAX {
        return Err(format!(
            "it has more than {SECRET_FILE_BYTES_MAX} bytes; name the file with the secret"
        ));
    }
    Secrets::parse(&text).map_err(|error| error.to_string())
}

/// Who else could know or change the secret. A file of root may be readable by its group, as service managers hand out
/// secrets to services that run as another user.
#[cfg(unix)]
fn exposed(metadata: &Metadata) -> Option<&'static str> {
    use std::os::unix::fs::MetadataExt;
    let (owner, us) = (metadata.uid(), crate::os::own_user());
    if owner != us && owner != 0 {
        return Some("it belongs to another user, who can read and change it");
    }
    let hidden = if owner == us { 0o077 } else { 0o027 };
    (metadata.mode() & hidden != 0).then_some("other users of this machine can read it")
}

#[cfg(not(unix))]
fn exposed(_metadata: &Metadata) -> Option<&'static str> {
    None
}

fn look(path: &Path) -> Look {
    let metadata = std::fs::metadata(path).ok()?;
    let modified = metadata.modified().ok()?;
    Some((metadata.len(), modified, changed(&metadata)))
}

#[cfg(unix)]
fn changed(metadata: &Metadata) -> i64 {
    use std::os::unix::fs::MetadataExt;
    metadata
        .ctime()
        .wrapping_mul(1_000_000_000)
        .wrapping_add(metadata.ctime_nsec())
}

#[cfg(not(unix))]
fn changed(_metadata: &Metadata) -> i64 {
    0
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use modmesh_protocol::membership::Secret;

    use super::*;

    #[test]
    fn a_file_that_others_could_read_or_that_holds_no_secret_is_refused_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mesh-secret");
        let refusal = || read(&path).unwrap_err();
        assert!(refusal().contains("modmesh secret new"), "{}", refusal());
        let write = |text: &str, mode| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        };
        let good = Secret::new([7; 32]).to_line();
        for mode in [0o604, 0o640, 0o620, 0o644] {
            write(&good, mode);
            let told = refusal();
            let remedy = format!("chmod 600 {}", path.display());
            assert!(told.contains(&remedy), "{told}");
            assert!(!told.contains(&good), "{told}");
        }
        for (text, word) in [
            (String::new(), "no secret"),
            ("hunter2".into(), "line 1 is no secret"),
            ("#".repeat(SECRET_FILE_BYTES_MAX + 1), "more than"),
        ] {
            write(&text, 0o600);
            assert!(refusal().contains(word), "{}", refusal());
        }
        for mode in [0o600, 0o400] {
            write(&good, mode);
            assert_eq!(read(&path).unwrap().len(), 1);
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        }
        assert!(read(folder.path()).unwrap_err().contains("no file"));
    }
}
