//! `modmesh secret new`: a secret that only its owner can read, once.

use std::os::unix::fs::PermissionsExt;

use crate::host::Host;

#[test]
fn a_new_secret_is_private_and_is_never_written_over() {
    let host = Host::new();
    let made = host.modmesh(&["secret", "new"]);
    assert_eq!(made.code, Some(0), "{made:?}");
    let file = host.path(".config/modmesh/mesh-secret");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(
        text.starts_with("modmesh-secret-1:") && text.len() == 61,
        "{text:?}"
    );
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // It says where, and how to go on, and never the secret.
    let shown = file.to_str().unwrap();
    assert!(
        made.stdout.contains(&format!("--mesh-secret-file {shown}")),
        "{made:?}"
    );
    assert!(!made.stdout.contains(text.trim()) && made.stderr.is_empty());

    host.modmesh(&["secret", "new"])
        .refused(1, &[shown, "left as it is"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    let other = host.path("other");
    let made = host.modmesh(&["secret", "new", other.to_str().unwrap()]);
    assert_eq!(made.code, Some(0), "{made:?}");
    assert_ne!(std::fs::read_to_string(other).unwrap(), text);
    host.modmesh(&["secret", "new", "no/such/folder/secret"])
        .refused(1, &["no/such/folder/secret"]);
    assert_eq!(host.modmesh(&["secret"]).code, Some(2));
}

#[test]
fn config_shows_where_the_secret_is_and_not_the_secret() {
    let host = Host::new();
    assert_eq!(host.modmesh(&["secret", "new"]).code, Some(0));
    let file = host.path(".config/modmesh/mesh-secret");
    let secret = std::fs::read_to_string(&file).unwrap();
    let shown = file.to_str().unwrap();
    let config = |variables: &[(&str, &str)]| {
        let config = host.modmesh_with(variables, &["config"]);
        assert_eq!(config.code, Some(0), "{config:?}");
        assert!(!config.stdout.contains(secret.trim()));
        config.stdout
    };
    // No file is taken without being named.
    assert!(!config(&[]).contains(shown));
    let named = config(&[("MODMESH_MESH_SECRET_FILE", shown)]);
    assert!(
        named.contains(shown) && named.contains("(MODMESH_MESH_SECRET_FILE)"),
        "{named}"
    );
    let name = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";
    assert!(config(&[("MODMESH_MEMBER", name)]).contains(name));
}
