//! Where a setting may be written, which place wins, and what is said about a value that cannot be used.

use serde_json::{Value, json};

use crate::host::Host;
use crate::unheard::Unheard;

#[test]
fn a_value_that_cannot_be_used_names_the_place_it_was_written_in() {
    let host = Host::new();
    let bad = [
        ("listen", "nowhere", "127.0.0.1:8484"),
        ("allow-host", "http://box", "name alone"),
        ("store-limit", "20 apples", "20GiB"),
        ("upstream", "gopher://a.example", "scheme"),
        ("sumdb", "sum.example", "name+hash+key"),
        ("private", "[a", "[a"),
        ("peer-listen", "8485", "IP:PORT"),
        ("peer", "10.0.0.1:8485", "10.0.0.1:8485"),
        ("mesh-secret-file", " ", "path of a file"),
        ("member", "builder-3", "12D3KooW"),
        ("log", "louder", "info"),
        ("log-format", "xml", "json"),
    ];
    for (word, text, remedy) in bad {
        let flag = format!("--{word}");
        host.modmesh(&["up", &flag, text])
            .refused(2, &[&flag, word, remedy]);

        let variable = format!("MODMESH_{}", word.to_uppercase().replace('-', "_"));
        host.modmesh_with(&[(&variable, text)], &["up"])
            .refused(2, &[&variable, remedy]);

        let file = host.file("bad.toml", &format!("{word} = '{text}'"));
        let file = file.to_str().unwrap();
        host.modmesh(&["up", "--config", file])
            .refused(2, &[file, word, remedy]);
    }
}

#[test]
fn what_go_says_is_named_as_what_go_says() {
    let says = |variable: &str, value: &str| {
        Host::with_go(&format!(r#"echo '{{"{variable}":"{value}"}}'"#)).modmesh(&["up"])
    };
    says("GOPROXY", "gopher://a.example").refused(2, &["upstream", "go env GOPROXY"]);
    says("GOPROXY", "http://localhost:8484").refused(
        2,
        &["go env GOPROXY", "nobody but this daemon", "--upstream"],
    );
    says("GOPRIVATE", "").refused(2, &["upstream", "GOPROXY", "--upstream"]);

    let text = r#"echo '{"GOPROXY":"off","GOSUMDB":"sum.example"}'"#;
    Host::with_go(text)
        .modmesh(&["up"])
        .refused(2, &["sumdb", "go env GOSUMDB"]);
}

#[test]
fn a_go_that_fails_is_refused_and_not_ignored() {
    let host = Host::with_go("echo 'go: the disk is on fire' >&2; exit 1");
    host.modmesh(&["up"])
        .refused(2, &["the disk is on fire", "private"]);
    Host::with_go("echo nonsense")
        .modmesh(&["up"])
        .refused(2, &["no JSON"]);
    Host::without_go()
        .modmesh(&["up"])
        .refused(2, &["no go command", "--upstream"]);
}

#[test]
fn go_is_asked_without_what_could_lead_it_astray() {
    let host = Host::with_go(
        r#"echo "{\"GOPROXY\":\"https://$GOTOOLCHAIN.example/flags${GOFLAGS}in$PWD\"}""#,
    );
    let shown = host.modmesh_with(&[("GOFLAGS", "-x"), ("GOTOOLCHAIN", "go9.9")], &["config"]);
    assert!(
        shown.stdout.contains("https://local.example/flagsin"),
        "{shown:?}"
    );
}

#[test]
fn go_is_not_asked_when_nothing_is_left_to_ask() {
    let host = Host::with_go("exit 1");
    let flags = [
        "--upstream",
        "off",
        "--sumdb",
        "off",
        "--private",
        "a.example",
    ];
    let shown = host.modmesh(&[&["config"], &flags[..]].concat());
    assert_eq!(shown.code, Some(0), "{shown:?}");
}

#[test]
fn flags_come_before_variables_before_the_file_before_go() {
    let host = Host::new();
    let state = |ended: crate::host::Ended| {
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let shown: Value = serde_json::from_str(&ended.stdout).unwrap();
        let upstream = &shown["upstream"];
        (
            upstream["value"].clone(),
            upstream["source"].clone(),
            upstream["place"].clone(),
        )
    };
    let config = &["config", "--json"];
    let go = state(host.modmesh(config));
    assert_eq!(
        go,
        (
            json!("https://proxy.example,direct"),
            json!("go env"),
            json!("GOPROXY")
        )
    );

    let usual = host.file(
        ".config/modmesh/config.toml",
        "upstream = 'https://file.example'",
    );
    let file = state(host.modmesh(config));
    assert_eq!(
        file,
        (json!("https://file.example"), json!("file"), json!(usual))
    );

    let other = host.file("other.toml", "upstream = 'https://other.example'");
    let named = state(host.modmesh_with(&[("MODMESH_CONFIG", other.to_str().unwrap())], config));
    assert_eq!(
        named,
        (json!("https://other.example"), json!("file"), json!(other))
    );

    let variables = [("MODMESH_UPSTREAM", "https://variable.example")];
    let variable = state(host.modmesh_with(&variables, config));
    let place = json!("MODMESH_UPSTREAM");
    assert_eq!(
        variable,
        (
            json!("https://variable.example"),
            json!("environment"),
            place
        )
    );

    let flags = ["config", "--json", "--upstream", "https://flag.example"];
    let flag = state(host.modmesh_with(&variables, &flags));
    assert_eq!(
        flag,
        (
            json!("https://flag.example"),
            json!("flag"),
            json!("--upstream")
        )
    );
}

#[test]
fn every_setting_is_shown_with_its_value_and_place() {
    let host = Host::new();
    let arguments = [
        "config",
        "--json",
        "--store-limit",
        "2KiB",
        "--listen",
        "127.0.0.1:1",
    ];
    let variables = [("MODMESH_PEER", "/ip4/10.0.0.1/tcp/1,/ip4/10.0.0.2/tcp/1")];
    let ended = host.modmesh_with(&variables, &arguments);
    let shown: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(
        shown["store-limit"],
        json!({"value": 2048, "source": "flag", "place": "--store-limit"})
    );
    assert_eq!(shown["listen"]["value"], json!(["127.0.0.1:1"]));
    assert_eq!(
        shown["peer"]["value"],
        json!(["/ip4/10.0.0.1/tcp/1", "/ip4/10.0.0.2/tcp/1"])
    );
    assert_eq!(
        shown["sumdb"],
        json!({"value": ["sum.golang.org"], "source": "go env", "place": "GOSUMDB"})
    );
    assert_eq!(
        shown["state"]["value"],
        json!(host.path(".local/state/modmesh"))
    );
    assert_eq!(
        shown["offline"],
        json!({"value": false, "source": "built-in", "place": null})
    );
    assert_eq!(shown["log-format"]["value"], "text");

    let text = host.modmesh(&["config", "--store-limit", "2KiB"]).stdout;
    let line = text
        .lines()
        .find(|line| line.starts_with("store-limit"))
        .unwrap();
    assert!(
        line.contains("2 KiB") && line.ends_with("(--store-limit)"),
        "{line}"
    );
}

#[test]
fn a_password_is_never_shown() {
    let host = Host::new();
    let arguments = ["config", "--upstream", "https://anna:hunter2@proxy.example"];
    let shown = host.modmesh(&arguments);
    assert!(shown.stdout.contains("proxy.example"), "{shown:?}");
    assert!(!shown.stdout.contains("hunter2"), "{shown:?}");
}

#[test]
fn a_misspelt_variable_is_told_by_every_command_that_reads_settings() {
    let host = Host::new();
    let variables = [("MODMESH_OFFLIEN", "1"), ("MODMESH_JUDGE", "1")];
    for command in ["config", "doctor"] {
        let shown = host.modmesh_with(&variables, &[command]);
        let told = "MODMESH_OFFLIEN is not known and does nothing: did you mean MODMESH_OFFLINE?";
        assert_eq!(shown.stderr.matches(told).count(), 1, "{shown:?}");
        assert!(!shown.stderr.contains("MODMESH_JUDGE"), "{shown:?}");
    }
}

#[test]
fn a_size_below_zero_is_refused_as_a_size() {
    let host = Host::new();
    host.modmesh(&["up", "--store-limit", "-5GB"])
        .refused(2, &["--store-limit", "above zero is expected"]);
}

#[test]
fn limits_are_shown_as_rates_with_their_sources() {
    let host = Host::new();
    let written =
        "limit-upload = '20Mbit/s'\non-battery = 'share'\non-metered = 'Share'\nsite = 'Berlin'";
    let file = host.file("c.toml", written);
    let arguments = [
        "config",
        "--config",
        file.to_str().unwrap(),
        "--limit-upstream",
        "2MiB",
        "--site-budget",
        "3GiB",
    ];
    let text = host.modmesh(&arguments).stdout;
    for (word, value, source) in [
        ("limit-upload", "2.4 MiB/s", "(key limit-upload in "),
        ("limit-upstream", "2 MiB/s", "(--limit-upstream)"),
        ("limit-download", "none", "(built-in)"),
        ("on-battery", "share", "(key on-battery in "),
        ("on-metered", "share", "(key on-metered in "),
        ("site ", "berlin", "(key site in "),
        ("limit-site", "none", "(built-in)"),
        ("site-budget", "3 GiB", "(--site-budget)"),
    ] {
        let mut lines = text.lines();
        let line = lines.find(|line| line.starts_with(word)).unwrap();
        let told = line.strip_prefix(word).unwrap().trim_start();
        let told = told.strip_prefix(value).unwrap_or_default().trim_start();
        assert!(told.starts_with(source), "{line}");
    }
}

#[test]
fn a_limit_by_the_hour_is_one_value_wherever_it_is_written() {
    let host = Host::new();
    let text = |rate: &str| format!("none, {rate} mon-fri 08:00-18:00, none sat sun 09:00-10:00");
    let written = format!("limit-upload = '{}'", text("1MiB/s"));
    let file = host.file("c.toml", &written);
    let variable = text("2MiB/s");
    let flag = text("20Mbit/s");
    let arguments = [
        "config",
        "--json",
        "--config",
        file.to_str().unwrap(),
        "--limit-site",
        &flag,
    ];
    let shown = host.modmesh_with(&[("MODMESH_LIMIT_DOWNLOAD", &variable)], &arguments);
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    for (name, rate, source) in [
        ("limit-upload", "1MiB/s", "file"),
        ("limit-download", "2MiB/s", "environment"),
        ("limit-site", "20Mbit/s", "flag"),
    ] {
        assert_eq!(shown[name]["value"], text(rate), "{shown:#}");
        assert_eq!(shown[name]["source"], source, "{shown:#}");
    }
    assert_eq!(shown["limit-upstream"]["value"], Value::Null);
}

#[test]
fn what_is_no_limit_is_refused_with_what_would_be_one() {
    let host = Host::new();
    for (value, word) in [
        ("20Mb/s", "bits or bytes"),
        ("fast", "a rate is expected, such as"),
        ("-1MB/s", "a rate is expected, such as"),
        ("0", "none for no limit"),
        ("20Mbit/s 08:00-18:00", "comes first"),
        ("none, 20Mbit/s", "then hours: 5Mbit/s mon-fri 08:00-18:00"),
        ("none, 20Mbit/s mond 08:00-18:00", "mon, tue, wed"),
        ("none, 20Mbit/s 8-18", "08:00-18:00"),
    ] {
        host.modmesh(&["up", "--limit-upload", value])
            .refused(2, &["limit-upload", "--limit-upload", word]);
    }
    for name in ["on-battery", "on-metered"] {
        host.modmesh(&["up", &format!("--{name}"), "maybe"])
            .refused(2, &[name, "neither share nor pause"]);
    }
}

#[test]
fn a_file_that_cannot_be_used_is_refused() {
    let host = Host::new();
    let up = |file: &str| host.modmesh(&["up", "--config", file]);
    up("/not/there.toml").refused(2, &["/not/there.toml", "cannot be read", "--config FILE"]);
    let file = host.file("c.toml", "offline = 'maybe'");
    let place = format!("key offline in {}", file.display());
    up(file.to_str().unwrap()).refused(2, &[&place, "true or false"]);
    let file = host.file("a.toml", "offline = true\nlisten = [");
    up(file.to_str().unwrap()).refused(2, &["a.toml", "line 2"]);
    let file = host.file("b.toml", "stor-limit = '1GiB'");
    up(file.to_str().unwrap()).refused(2, &["stor-limit", "did you mean `store-limit`"]);
}

#[test]
fn a_database_that_go_asks_past_modmesh_is_said_with_its_remedy() {
    let go_env = |sumdb: &str| {
        format!(
            r#"{{"GOPROXY":"https://proxy.example","GOSUMDB":"{sumdb}","GOENV":"'"$HOME"'/goenv"}}"#
        )
    };
    let go = |sumdb: &str| {
        let answer = go_env(sumdb);
        format!(r#"case "$2" in -w) echo "$3" > "$HOME/goenv";; *) echo '{answer}';; esac"#)
    };
    let unheard = Unheard::new();
    let address = unheard.address().to_string();
    let ours = format!("sum.golang.org http://{address}/sumdb/sum.golang.org");
    for (sumdb, past) in [
        ("sum.golang.org", None),
        (ours.as_str(), None),
        ("sum.golang.google.cn", Some("https://sum.golang.google.cn")),
        (
            "sum.golang.org https://sums.corp.example",
            Some("https://sums.corp.example"),
        ),
    ] {
        let host = Host::with_go(&go(sumdb));
        let doctor = host.modmesh(&["doctor", "--listen", &address]);
        let setup = host.modmesh(&["setup", "--listen", &address]);
        assert_eq!(setup.code, Some(0), "{setup:?}");
        for said in [&doctor.stdout, &setup.stdout] {
            let lines: Vec<&str> = said
                .lines()
                .filter(|line| line.contains("past modmesh"))
                .collect();
            let Some(url) = past else {
                assert!(lines.is_empty(), "{sumdb}: {said}");
                continue;
            };
            assert_eq!(lines.len(), 1, "{sumdb}: {said}");
            for words in [
                url,
                "go env -w GOSUMDB='sum.golang.org'",
                "--sumdb 'sum.golang.org https://",
            ] {
                assert!(said.contains(words), "{sumdb}: {words} in {said}");
            }
        }
        // What the environment says is to be mended there.
        let of_environment =
            host.modmesh_with(&[("GOSUMDB", sumdb)], &["doctor", "--listen", &address]);
        let there = of_environment
            .stdout
            .contains("GOSUMDB in the environment leads go");
        assert_eq!(there, past.is_some(), "{of_environment:?}");
    }
}

#[test]
fn a_file_of_go_sum_is_named_in_every_layer() {
    let host = Host::new();
    let shown = host.modmesh(&[
        "config",
        "--go-sum",
        "one/go.sum",
        "--go-sum",
        "/two/go.sum",
    ]);
    let one = host.path("one/go.sum");
    let both = format!("{}, /two/go.sum", one.display());
    assert!(shown.stdout.contains(&both), "{shown:?}");
    let shown = host.modmesh_with(&[("MODMESH_GO_SUM", "/a/go.sum,/b/go.sum")], &["config"]);
    assert!(shown.stdout.contains("/a/go.sum, /b/go.sum"), "{shown:?}");
    let file = host.file("modmesh.toml", "go-sum = ['~/c/go.sum']");
    let shown = host.modmesh(&["config", "--config", file.to_str().unwrap()]);
    let c = host.path("c/go.sum");
    assert!(shown.stdout.contains(&c.display().to_string()), "{shown:?}");
}
