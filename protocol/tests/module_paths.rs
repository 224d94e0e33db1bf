//! The tables of golang.org/x/mod/module/module_test.go about paths and versions, restated as facts.

#![allow(clippy::unwrap_used)]

use modmesh_protocol::module::{
    ELEMENT_BYTES_MAX, MODULE_PATH_BYTES_MAX, ModuleError, ModulePath, ModuleVersion, PathFault,
    Revision, VERSION_BYTES_MAX, Version, check_file_path,
};
use proptest::prelude::*;

/// Good as a module path and as a file path.
const MODULES: &[&str] = &[
    "x.y/z",
    "x.y",
    "x..y/z",
    "x.y/z/v2",
    "x.y-/z",
    "x.y/z-",
    "x.y/z.t",
    "x.y/z/t",
    "x.y/z_",
    "x.y/z~",
    "x.y/x.foo",
    "x.y/prn2",
    "x.y/com",
    "x.y/calm1",
    "x.y/z09",
    "x.y/z09~",
    "x.y/z09~09z",
    "ascii.com/abcdefghijklmnopqrstuvwxyz.-/~_0123456789",
    "github.com/GoogleCloudPlatform/omega",
    "gopkg.in/yaml.v0",
    "gopkg.in/yaml.v1",
    "gopkg.in/yaml.v3",
    "gopkg.in/yaml.v2-unstable",
    "gopkg.in/yaml.v-unstable",
];

/// Good as a file path only.
const FILES: &[&str] = &[
    ".x/z",
    "-x/z",
    "x.y/z/v0",
    "x.y/z/v1",
    "x.y/z/v02",
    "x.y/z/v2.0",
    "X.y/z",
    "_x.y/z",
    "!x.y/z",
    "x.y_/z",
    "x.y~/z",
    "x.y/z++",
    "x.y/z~0",
    "x.y/z~09",
    "x.y/z09~09z~09",
    "github.com/!123/logrus",
    "github.com/user/unicode/испытание",
    ".gitignore",
    ".github/ISSUE_TEMPLATE",
    "x.y/a b",
    "gopkg.in/yaml",
    "gopkg.in/yaml.v02",
    "gopkg.in/yaml/v2",
    "gopkg.in/yaml.v0-unstable",
    "nodot/z",
];

/// No path at all.
const NEITHER: &[&str] = &[
    "",
    "/",
    "/x.y/z",
    "x./z",
    "x.y/z/../../w",
    "x.y//z",
    "x.y/z//w",
    "x.y/z/",
    "x.y./zt",
    "x.y/aux.foo",
    "x.y/prn",
    "x.y/com1",
    "x.y/CoM1.txt",
    "x.y/lpt9",
    "../x",
    "./y",
    "x:y",
    r"\temp\foo",
    "x☺y",
    "x.y/\u{345}",
    "x.y/\0",
    "x.y/a\nb",
    "go.mod.",
];

#[test]
fn paths_are_judged_as_go_judges_them() {
    for path in MODULES {
        assert!(ModulePath::parse(path).is_ok(), "{path:?}");
        assert!(check_file_path(path).is_ok(), "{path:?}");
    }
    for path in FILES {
        assert!(ModulePath::parse(path).is_err(), "{path:?}");
        assert!(check_file_path(path).is_ok(), "{path:?}");
    }
    for path in NEITHER {
        assert!(ModulePath::parse(path).is_err(), "{path:?}");
        assert!(check_file_path(path).is_err(), "{path:?}");
    }
}

#[test]
fn punctuation_that_a_shell_or_file_system_reads_is_refused_in_files_and_most_else_in_modules() {
    for c in "\"'*:;<>?\\`|".chars() {
        for path in [format!("x.y{c}/z"), format!("x.y/z{c}")] {
            assert!(ModulePath::parse(&path).is_err(), "{path:?}");
            assert!(check_file_path(&path).is_err(), "{path:?}");
        }
    }
    for c in "!#$%&()+,=@[]^{} ".chars() {
        for path in [format!("x.y{c}/z"), format!("x.y/z{c}")] {
            assert!(ModulePath::parse(&path).is_err(), "{path:?}");
            assert!(check_file_path(&path).is_ok(), "{path:?}");
        }
    }
}

#[test]
fn a_refusal_names_the_fault() {
    let fault = |path: &str| match ModulePath::parse(path) {
        Err(ModuleError::Path { fault, .. }) => fault,
        other => panic!("{path:?}: {other:?}"),
    };
    assert_eq!(fault("x.y/../z"), PathFault::Dots);
    assert_eq!(fault("x.y/z/v1"), PathFault::Major);
    assert_eq!(fault("std"), PathFault::NoDomain);
    assert_eq!(fault("X.y/z"), PathFault::DomainCharacter('X'));
    assert_eq!(fault("x.y/a+b"), PathFault::Character('+'));
    assert_eq!(fault("x.y/NUL"), PathFault::WindowsDevice);
    assert_eq!(fault("x.y/.git"), PathFault::LeadingDot);
}

#[test]
fn names_are_bounded() {
    let element = "a".repeat(ELEMENT_BYTES_MAX);
    assert!(ModulePath::parse(&format!("x.y/{element}")).is_ok());
    assert!(ModulePath::parse(&format!("x.y/{element}a")).is_err());
    // An upper-case letter is two bytes on disk.
    assert!(ModulePath::parse(&format!("x.y/{}A", "a".repeat(ELEMENT_BYTES_MAX - 1))).is_err());
    let long = format!("x.y{}", "/abc".repeat(MODULE_PATH_BYTES_MAX / 4));
    assert!(ModulePath::parse(&long).is_err());
    assert!(ModulePath::parse(&long[..MODULE_PATH_BYTES_MAX - 1]).is_ok());
    let version = format!("v1.0.0-{}", "a".repeat(VERSION_BYTES_MAX - 7));
    assert!(Version::parse(&version).is_ok());
    assert!(Version::parse(&format!("{version}a")).is_err());
    assert!(Revision::parse(&version).is_ok());
    assert!(Revision::parse(&format!("{version}a")).is_err());
    assert!(Revision::from_escaped(&"a".repeat(1 << 20)).is_err());
    let told = ModulePath::parse(&"\u{e9}".repeat(1 << 20)).unwrap_err();
    assert!(told.to_string().len() < 500);
}

#[test]
fn an_upper_case_letter_is_escaped_by_a_bang() {
    for (plain, escaped) in [
        (
            "ascii.com/abcdefghijklmnopqrstuvwxyz.-/~_0123456789",
            "ascii.com/abcdefghijklmnopqrstuvwxyz.-/~_0123456789",
        ),
        (
            "github.com/GoogleCloudPlatform/omega",
            "github.com/!google!cloud!platform/omega",
        ),
    ] {
        let path = ModulePath::parse(plain).unwrap();
        assert_eq!(path.escaped(), escaped);
        assert_eq!(ModulePath::from_escaped(escaped), Ok(path));
    }
    let version = Version::parse("v1.0.0-RC1").unwrap();
    assert_eq!(version.escaped(), "v1.0.0-!r!c1");
    assert_eq!(Version::from_escaped("v1.0.0-!r!c1"), Ok(version));
    assert!(Version::from_escaped("v1.0.0-RC1").is_err());
    assert_eq!(
        Revision::from_escaped("!main").unwrap(),
        Revision::parse("Main").unwrap()
    );
}

#[test]
fn what_is_no_escaped_form_is_refused() {
    for escaped in [
        "github.com/GoogleCloudPlatform/omega",
        "github.com/!google!cloud!platform!/omega",
        "github.com/!0google!cloud!platform/omega",
        "github.com/!_google!cloud!platform/omega",
        "github.com/!!google!cloud!platform/omega",
        "github.com/google!",
        "github.com/!\u{e9}",
        "",
    ] {
        assert!(ModulePath::from_escaped(escaped).is_err(), "{escaped:?}");
    }
    for path in FILES.iter().chain(NEITHER) {
        assert!(ModulePath::from_escaped(path).is_err(), "{path:?}");
    }
}

#[test]
fn a_version_belongs_to_a_path_of_its_major() {
    let fits = |path: &str, version: &str| {
        let module = ModulePath::parse(path).unwrap();
        ModuleVersion::new(module, Version::parse(version).unwrap()).is_ok()
    };
    for (path, good, bad) in [
        (
            "github.com/go-yaml/yaml",
            &["v0.8.0", "v1.0.0", "v2.0.0+incompatible"][..],
            &["v2.0.0", "v2.1.5", "v3.0.0"][..],
        ),
        (
            "github.com/go-yaml/yaml/v2",
            &["v2.0.0", "v2.1.5", "v2.0.0+incompatible"],
            &["v0.0.0", "v1.0.0", "v3.0.0", "v20.0.0"],
        ),
        (
            "gopkg.in/yaml.v0",
            &["v0.0.0", "v0.8.0"],
            &["v1.0.0", "v2.0.0", "v2.1.5", "v3.0.0"],
        ),
        (
            "gopkg.in/yaml.v1",
            &["v1.0.0", "v0.0.0-20190510104115-cbcb75029529"],
            &["v0.8.0", "v2.0.0", "v2.1.5", "v3.0.0"],
        ),
        (
            "gopkg.in/check.v1",
            &["v0.0.0-20160102150405-abcdef123456"],
            &["v0.0.0"],
        ),
        ("gopkg.in/yaml.v1-unstable", &["v1.0.0"], &["v2.0.0"]),
        (
            "gopkg.in/yaml.v2",
            &["v2.0.0", "v2.1.5"],
            &["v1.0.0", "v3.0.0"],
        ),
        (
            "gopkg.in/yaml.v-unstable",
            &[],
            &["v0.0.0", "v1.0.0", "v2.0.0"],
        ),
        ("rsc.io/quote", &["v17.0.0+incompatible"], &["v17.0.0"]),
    ] {
        for version in good {
            assert!(fits(path, version), "{path}@{version}");
        }
        for version in bad {
            assert!(!fits(path, version), "{path}@{version}");
        }
    }
    assert!(ModuleVersion::parse("rsc.io/quote@0.1.0").is_err());
    assert!(ModuleVersion::parse("rsc io/quote@v1.0.0").is_err());
    assert!(ModuleVersion::parse("rsc.io/quote").is_err());
    let wrong = ModuleVersion::parse("rsc.io/quote@v2.0.0").unwrap_err();
    assert_eq!(
        wrong.to_string(),
        "rsc.io/quote@v2.0.0: the version should be v0 or v1"
    );
}

#[test]
fn names_cross_serde_as_checked_text() {
    let read = |json: &str| serde::Deserialize::deserialize(text_deserializer(json));
    let path: ModulePath = read("github.com/Azure/a").unwrap();
    assert_eq!(path.as_str(), "github.com/Azure/a");
    assert!(ModulePath::parse("nodot").is_err());
    let refused: Result<ModulePath, _> = read("nodot");
    assert!(refused.is_err());
    let version: Result<Version, _> = serde::Deserialize::deserialize(text_deserializer("v1.2"));
    assert!(version.is_err());
}

fn text_deserializer(text: &str) -> serde::de::value::StrDeserializer<'_, serde::de::value::Error> {
    serde::de::IntoDeserializer::into_deserializer(text)
}

proptest! {
    #[test]
    fn paths_survive_escaping(path in "[a-z]{1,8}\\.[a-z]{2,3}(/[A-Za-z0-9_~-]{1,12}){0,4}") {
        if let Ok(path) = ModulePath::parse(&path) {
            let escaped = path.escaped();
            prop_assert!(!escaped.contains(|c: char| c.is_ascii_uppercase()));
            prop_assert_eq!(ModulePath::from_escaped(&escaped), Ok(path));
        }
    }

    #[test]
    fn revisions_survive_escaping(text in "[ -~]{1,40}") {
        if let Ok(revision) = Revision::parse(&text) {
            prop_assert_eq!(Revision::from_escaped(&revision.escaped()), Ok(revision));
        }
    }

    #[test]
    fn two_names_never_share_an_escaped_form(left in "x\\.y/[A-Ca-c]{1,4}", right in "x\\.y/[A-Ca-c]{1,4}") {
        let (left, right) = (ModulePath::parse(&left).unwrap(), ModulePath::parse(&right).unwrap());
        prop_assert_eq!(left == right, left.escaped() == right.escaped());
    }

    #[test]
    fn what_is_good_in_a_module_path_is_good_in_a_file_path(path in "[!-~]{1,30}") {
        if ModulePath::parse(&path).is_ok() {
            prop_assert!(check_file_path(&path).is_ok());
        }
    }
}
