//! The key that is this host in the mesh.
//!
//! One Ed25519 key in one file, kept over restarts, readable by its owner alone and replaced only by rename. The file also
//! carries a hash of the machine id: a golden image that was copied with its state would otherwise put the same neighbour on
//! the LAN many times over, so a file from another machine is replaced by a new identity. Losing the file costs nothing
//! but the name. Not encrypted: whoever reads this user's files can be this host anyway.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use libp2p::identity::Keypair;
use modmesh_protocol::digest::{Hasher, hex};

/// First line of the file; another one means another release wrote it.
const HEADING: &str = "modmesh identity 1";
/// Most bytes of the file that are read; a real one has 220.
const FILE_BYTES_MAX: u64 = 4096;

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file could not be read or written.
    #[error("cannot use the identity file {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not an identity of this release.
    #[error(
        "{0} is damaged or of another release: remove it and the host gets a new name in the mesh"
    )]
    Damaged(PathBuf),
}

/// The identity kept in `path`, or a new one when there is none or it belongs to another machine.
///
/// `machine_id` is the text that tells machines apart; nothing when the system has none, and then the file is believed.
pub(super) fn load(path: &Path, machine_id: Option<&str>) -> Result<Keypair, IdentityError> {
    let file = |source| IdentityError::File {
        path: path.to_owned(),
        source,
    };
    let machine = machine_id.map(machine_hash);
    let Some(text) = read(path).map_err(file)? else {
        return create(path, machine.as_deref());
    };
    let damaged = || IdentityError::Damaged(path.to_owned());
    let (key, made_on) = parse(&text).ok_or_else(damaged)?;
    let (Some(ours), Some(theirs)) = (&machine, made_on) else {
        return Ok(key);
    };
    if *ours == theirs {
        return Ok(key);
    }
    tracing::warn!(
        file = %path.display(),
        "the identity was made on another machine (a copied image?); this host takes a new one"
    );
    create(path, machine.as_deref())
}

fn create(path: &Path, machine: Option<&str>) -> Result<Keypair, IdentityError> {
    let damaged = |_| IdentityError::Damaged(path.to_owned());
    let key = Keypair::generate_ed25519();
    let encoded = STANDARD.encode(key.to_protobuf_encoding().map_err(damaged)?);
    let machine = machine.unwrap_or("-");
    let text = format!("{HEADING}\nmachine {machine}\nkey {encoded}\n");
    write(path, &text).map_err(|source| IdentityError::File {
        path: path.to_owned(),
        source,
    })?;
    Ok(key)
}

/// The key and the hash of the machine it was made on.
fn parse(text: &str) -> Option<(Keypair, Option<String>)> {
    let mut lines = text.lines();
    if lines.next()? != HEADING {
        return None;
    }
    let machine = lines.next()?.strip_prefix("machine ")?;
    let encoded = lines.next()?.strip_prefix("key ")?;
    let key = Keypair::from_protobuf_encoding(&STANDARD.decode(encoded).ok()?).ok()?;
    Some((key, (machine != "-").then(|| machine.to_owned())))
}

/// The machine id itself stays private to the machine (machine-id(5) asks for that), so a hash is kept.
fn machine_hash(machine_id: &str) -> String {
    let mut hasher = Hasher::new();
    hasher.update(b"modmesh/machine\0");
    hasher.update(machine_id.trim().as_bytes());
    hex(&hasher.finish())
}

fn read(path: &Path) -> io::Result<Option<String>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    keep_private(&file)?;
    let mut text = String::new();
    match file.take(FILE_BYTES_MAX).read_to_string(&mut text) {
        Ok(_) => Ok(Some(text)),
        // Not even text: an empty one is as damaged.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(Some(String::new())),
        Err(error) => Err(error),
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    if let Some(folder) = folder {
        fs::create_dir_all(folder)?;
    }
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    // A leftover of a crash may have other permissions; it is never reused.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)
}

/// Takes the key out of other users' sight, should somebody have shown it to them.
#[cfg(unix)]
fn keep_private(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = file.metadata()?;
    // A folder in its place is refused when it is read.
    if metadata.is_dir() || metadata.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    tracing::warn!("the identity file was readable by other users; its mode is set to 0600");
    file.set_permissions(fs::Permissions::from_mode(0o600))
}

#[cfg(not(unix))]
fn keep_private(_: &File) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn name(key: &Keypair) -> String {
        key.public().to_peer_id().to_base58()
    }

    #[test]
    fn an_identity_is_kept_over_restarts_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/identity");
        let first = load(&path, Some("machine-a\n")).unwrap();
        let again = load(&path, Some("machine-a")).unwrap();
        assert_eq!(name(&first), name(&again));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&path), 0o600);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
            load(&path, Some("machine-a")).unwrap();
            assert_eq!(mode(&path), 0o600);
        }
    }

    #[test]
    fn another_machine_gets_another_identity() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity");
        let first = load(&path, Some("machine-a")).unwrap();
        let other = load(&path, Some("machine-b")).unwrap();
        assert_ne!(name(&first), name(&other));
        assert_eq!(name(&other), name(&load(&path, Some("machine-b")).unwrap()));
        // A system that cannot say which machine it is keeps what is there.
        assert_eq!(name(&other), name(&load(&path, None).unwrap()));
    }

    #[test]
    fn a_damaged_file_is_named_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity");
        let garbled = format!("{HEADING}\nmachine -\nkey AAAA\n");
        for text in [
            &b""[..],
            b"\xff\xfe",
            b"modmesh identity 9\n",
            garbled.as_bytes(),
        ] {
            fs::write(&path, text).unwrap();
            let error = load(&path, None).unwrap_err();
            assert!(matches!(error, IdentityError::Damaged(_)), "{error}");
            assert_eq!(fs::read(&path).unwrap(), text);
        }
    }
}
