//! The names of files among neighbours, held against fixed values: hosts of all releases must agree on them.

#![allow(clippy::unwrap_used)]

use modmesh_protocol::artifact::{ArtifactKey, FileKind, KeyHash};
use modmesh_protocol::module::{ModulePath, ModuleVersion};

fn key(of: &str, kind: FileKind) -> ArtifactKey {
    ArtifactKey {
        of: ModuleVersion::parse(of).unwrap(),
        kind,
    }
}

#[test]
fn the_layout_below_a_key_hash_is_for_good() {
    // Computed by another program over `modmesh/1`, kind, escaped path and plain version with zero bytes between.
    let azure = "github.com/Azure/go-autorest@v14.2.0+incompatible";
    for (of, kind, hash) in [
        (
            azure,
            FileKind::Info,
            "b4fe3b09d40778a9cc44d29fb682f6def9f5c09533325e7361c03fd0f5af451c",
        ),
        (
            azure,
            FileKind::Mod,
            "9151b187b61eb7e972218832d2d75671ef7e08a383ca0cbb49de4c8c37d63d55",
        ),
        (
            azure,
            FileKind::Zip,
            "88cad517548ec90b960088f8168028a842638b2359f7f6571a28b2b2a1617cb8",
        ),
        (
            "example.com/m@v1.0.0-RC1",
            FileKind::Zip,
            "214f07e1f08507a37ce32a55800b723d9f6d6f20ba4938abad2c77c562a983b9",
        ),
    ] {
        assert_eq!(
            KeyHash::of_file(&key(of, kind)).to_string(),
            hash,
            "{of} {kind}"
        );
    }
    assert_eq!(
        KeyHash::of_record("sum.golang.org", &ModuleVersion::parse(azure).unwrap()).to_string(),
        "6ac8fbab7974a63093580418c840a7d0a0b6212acc1b958d4267b2aa8687b761"
    );
    // The same with no version behind the last zero byte.
    let module = ModulePath::parse("github.com/Azure/go-autorest").unwrap();
    assert_eq!(
        KeyHash::of_versions("sum.golang.org", &module).to_string(),
        "41bb8256cd3695eb95f8f97b82f828e7465df7d86f45b6ea89f0e1f2ad599a3e"
    );
}

#[test]
fn a_key_is_a_path_in_the_layout_of_a_go_proxy() {
    assert_eq!(
        key("github.com/Azure/a@v1.0.0-RC1", FileKind::Zip).url_path(),
        "github.com/!azure/a/@v/v1.0.0-!r!c1.zip"
    );
    assert_eq!(
        key("x.y/z/v2@v2.0.0", FileKind::Info).url_path(),
        "x.y/z/v2/@v/v2.0.0.info"
    );
}

#[test]
fn a_kind_is_known_by_its_extension() {
    for kind in FileKind::ALL {
        assert_eq!(FileKind::from_extension(kind.extension()), Some(kind));
    }
    assert_eq!(FileKind::from_extension("ziphash"), None);
    assert_eq!(FileKind::from_extension("ZIP"), None);
}
