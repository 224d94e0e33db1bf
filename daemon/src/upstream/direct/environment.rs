//! What `go` and the tools that it starts may know of the daemon's environment: what is named here and nothing else.
//!
//! Kept is what finds programs, identities, certificates and proxies, and Go's own words on what may be run and trusted
//! for which path (GOVCS and the patterns it rests on, GOINSECURE, GOAUTH). What is fixed is said by name even where it
//! is go's default, since `go env -w` can have changed the default; variables come before that file.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::module_cache;
use crate::os;

/// Names that pass from the daemon's environment.
const KEPT: [&str; 40] = [
    // Programs and people.
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
    // Go's settings. GOENV names the file with the user's own; what is fixed below comes before it.
    "GOROOT",
    "GOENV",
    "GOVCS",
    "GOPRIVATE",
    "GONOPROXY",
    "GOINSECURE",
    "GOAUTH",
    "NETRC",
    // How git and ssh find their identities.
    "SSH_AUTH_SOCK",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_EXEC_PATH",
    "GIT_ALLOW_PROTOCOL",
    "KRB5CCNAME",
    // Certificates.
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "GIT_SSL_NO_VERIFY",
    "GIT_SSL_CERT",
    "GIT_SSL_KEY",
    // Proxies.
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "GIT_HTTP_PROXY_AUTHMETHOD",
    "GIT_PROXY_COMMAND",
];

/// What is said whatever the daemon's environment or `go env` say.
const FIXED: [(&str, &str); 22] = [
    ("GOPROXY", "direct"),
    // The gate judges afterwards, with the host's own mirror of the database.
    ("GOSUMDB", "off"),
    ("GONOSUMDB", "*"),
    ("GOTOOLCHAIN", "local"),
    ("GO111MODULE", "on"),
    ("GOWORK", "off"),
    // An empty value would let `go env -w GOFLAGS` through.
    ("GOFLAGS", "-modcacherw"),
    ("LC_ALL", "C"),
    // Nobody is there to be asked. An empty GIT_ASKPASS comes before core.askPass and SSH_ASKPASS.
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_ASKPASS", ""),
    ("SSH_ASKPASS", ""),
    ("SSH_ASKPASS_REQUIRE", "never"),
    ("GCM_INTERACTIVE", "never"),
    ("GIT_PAGER", "cat"),
    ("GIT_OPTIONAL_LOCKS", "0"),
    // Housekeeping would go on in the background, outside the process group, in a folder that is removed.
    ("GIT_CONFIG_COUNT", "3"),
    ("GIT_CONFIG_KEY_0", "gc.auto"),
    ("GIT_CONFIG_VALUE_0", "0"),
    ("GIT_CONFIG_KEY_1", "maintenance.auto"),
    ("GIT_CONFIG_VALUE_1", "false"),
    ("GIT_CONFIG_KEY_2", "gc.autoDetach"),
    ("GIT_CONFIG_VALUE_2", "false"),
];

/// The variables of `environment` that pass.
pub(super) fn kept(environment: &[(OsString, OsString)]) -> Vec<(OsString, OsString)> {
    environment
        .iter()
        .filter(|(name, _)| KEPT.iter().any(|kept| name == *kept))
        .cloned()
        .collect()
}

/// The variables that are always set, for a run in `folder`.
pub(super) fn fixed(folder: &Path) -> Vec<(OsString, OsString)> {
    let below = |name: &str| folder.join(name).into_os_string();
    let mut variables: Vec<(OsString, OsString)> = FIXED
        .iter()
        .map(|(name, value)| (OsString::from(name), OsString::from(value)))
        .collect();
    variables.extend([
        ("GOMODCACHE".into(), module_cache(folder).into_os_string()),
        ("GOPATH".into(), below("gopath")),
        ("GOCACHE".into(), below("cache")),
        ("GOTMPDIR".into(), below("tmp")),
        ("TMPDIR".into(), below("tmp")),
    ]);
    variables
}

/// The `go` command on this process's PATH, by its whole path.
pub(super) fn go_on_path() -> Option<PathBuf> {
    os::command_on_path("go")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_passes_and_nothing_is_named_twice() {
        let given: Vec<(OsString, OsString)> = [
            ("HOME", "/home/anna"),
            ("GOVCS", "*:git"),
            ("GOFLAGS", "-mod=vendor"),
            ("GOPROXY", "https://a.example"),
            ("LD_PRELOAD", "/evil.so"),
            ("GIT_DIR", "/elsewhere"),
            ("GIT_CONFIG_PARAMETERS", "'a.b=c'"),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .to_vec();
        let names: Vec<_> = kept(&given).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["HOME", "GOVCS"]);
        let mut all: Vec<OsString> = fixed(Path::new("/f")).into_iter().map(|v| v.0).collect();
        all.extend(KEPT.map(OsString::from));
        let many = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), many);
    }
}
