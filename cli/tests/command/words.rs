//! Which words the command knows, and what it says to others.

use crate::host::Host;

#[test]
fn help_is_short_and_has_examples() {
    let host = Host::new();
    let help = host.modmesh(&["--help"]);
    assert_eq!(help.code, Some(0), "{help:?}");
    assert!(help.stdout.contains("modmesh run -- go build ./..."));
    for command in [
        "up", "run", "status", "peers", "explain", "sumdb", "distrust", "secret", "config",
        "setup", "doctor",
    ] {
        let help = host.modmesh(&[command, "--help"]);
        assert_eq!(help.code, Some(0), "{help:?}");
        assert!(help.stdout.contains("Examples:"), "{help:?}");
    }
    let version = host.modmesh(&["--version"]);
    assert_eq!(
        version.stdout.trim(),
        concat!("modmesh ", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn a_wrong_word_is_wrong_usage() {
    let host = Host::new();
    host.modmesh(&["up", "--listne", "127.0.0.1:1"])
        .refused(2, &["--listne", "--listen"]);
    host.modmesh(&["stauts"]).refused(2, &["stauts", "status"]);
    host.modmesh(&["up", "--state"]).refused(2, &["--state"]);
    host.modmesh(&["run"]).refused(2, &["COMMAND"]);
    host.modmesh(&["status", "--offline"])
        .refused(2, &["--offline"]);
    host.modmesh(&["status", "extra"])
        .refused(2, &["extra", "`modmesh status --help`"]);
    assert_eq!(host.modmesh(&[]).code, Some(2));
}

#[test]
fn another_log_is_followed_for_a_name_and_by_a_daemon_only() {
    let host = Host::new();
    host.modmesh(&["sumdb", "forget"]).refused(2, &["NAME"]);
    host.modmesh(&["sumdb", "accept", "--yes"])
        .refused(2, &["NAME"]);
    host.modmesh(&["sumdb", "acept", "sum.example"])
        .refused(2, &["acept"]);
    host.modmesh(&["sumdb", "show", "--yes"])
        .refused(2, &["--yes"]);
    for asked in [
        &["sumdb"][..],
        &["sumdb", "show", "sum.example"],
        &["sumdb", "accept", "sum.example", "--head", "3.0badcafe"],
        &["sumdb", "forget", "sum.example", "--yes"],
    ] {
        host.modmesh(asked)
            .refused(1, &["no daemon runs", "modmesh up", "--state"]);
    }
    for action in ["show", "accept", "forget"] {
        let help = host.modmesh(&["sumdb", action, "--help"]);
        assert_eq!(help.code, Some(0), "{help:?}");
        assert!(help.stdout.contains("modmesh sumdb accept"), "{help:?}");
    }
}

#[test]
fn a_neighbour_is_distrusted_by_its_name_and_by_a_daemon_only() {
    let host = Host::new();
    host.modmesh(&["distrust"]).refused(2, &["PEER-ID"]);
    host.modmesh(&["distrust", "builder-3"])
        .refused(2, &["builder-3", "12D3KooW"]);
    let name = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";
    for more in [&[][..], &["--undo"], &["--json"]] {
        let asked = [&["distrust", name], more].concat();
        host.modmesh(&asked).refused(1, &["no daemon runs"]);
    }
}

#[test]
fn what_is_to_come_says_so() {
    let host = Host::new();
    for command in ["warm", "export", "import", "verify", "gc", "pin", "unpin"] {
        host.modmesh(&[command, "--undo", "a.example/m@v1.0.0"])
            .refused(2, &[command, "not in this release yet"]);
    }
}

#[test]
fn a_site_that_is_no_name_is_refused() {
    let host = Host::new();
    host.modmesh(&["up", "--site", "hall 3"])
        .refused(2, &["--site", "letters, digits"]);
    host.modmesh_with(&[("MODMESH_SITE", "-x")], &["up"])
        .refused(2, &["MODMESH_SITE", "begins with a letter"]);
    host.modmesh(&["up", "--site-budget", "2GiB/day"])
        .refused(2, &["--site-budget", "for 24 hours"]);
    host.modmesh(&["up", "--limit-site", "fast"])
        .refused(2, &["--limit-site", "a rate is expected"]);
}
