//! The layering and every check, as a table of small cases.

use super::*;

const LIST: &str = "https://proxy.example,direct";
/// A database that has the public one's name and not its key.
const OTHER_KEY: &str = "sum.golang.org+4aa17ce2+AddamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea";

fn layer(source: fn(Name) -> Source, texts: &[(Name, &[&str])]) -> Layer {
    texts
        .iter()
        .map(|(name, texts)| {
            let texts = texts.iter().map(|text| (*text).to_owned()).collect();
            let source = source(*name);
            (*name, Given { texts, source })
        })
        .collect()
}

fn flags(texts: &[(Name, &[&str])]) -> Layer {
    layer(Source::Flag, texts)
}

fn built_in() -> BuiltIn {
    BuiltIn {
        state_dir: Some("/home/anna/.local/state/modmesh".into()),
        home: Some("/home/anna".into()),
        disk_bytes: |_| Some(50 << 30),
        go_is_missing: false,
        remembered: FromSetup::default(),
    }
}

fn settings_of(texts: &[(Name, &[&str])]) -> Result<Settings, String> {
    let upstream = layer(|_| Source::GoEnv("GOPROXY"), &[(Name::Upstream, &[LIST])]);
    settings(&[flags(texts), upstream], &built_in()).map_err(|error| error.to_string())
}

#[test]
fn the_strongest_layer_that_names_a_setting_gives_all_of_it() {
    let path = || PathBuf::from("/c.toml");
    let sources: [fn(Name) -> Source; 4] = [
        Source::Flag,
        |name| Source::Variable(name.variable()),
        |name| Source::File("/c.toml".into(), name),
        |_| Source::GoEnv("GOPROXY"),
    ];
    let expected = [
        Source::Flag(Name::Upstream),
        Source::Variable("MODMESH_UPSTREAM".into()),
        Source::File(path(), Name::Upstream),
        Source::GoEnv("GOPROXY"),
    ];
    for (strongest, expected) in expected.iter().enumerate() {
        let layers: Vec<Layer> = sources
            .iter()
            .enumerate()
            .skip(strongest)
            .map(|(index, source)| {
                let text = format!("https://proxy{index}.example");
                layer(*source, &[(Name::Upstream, &[&text])])
            })
            .collect();
        let settings = settings(&layers, &built_in()).unwrap();
        assert_eq!(&settings.upstream.source, expected);
        assert_eq!(
            settings.upstream.value.to_string(),
            format!("https://proxy{strongest}.example")
        );
    }
}

#[test]
fn what_nobody_names_is_built_in() {
    let settings = settings_of(&[]).unwrap();
    assert_eq!(settings.listen.value, ["127.0.0.1:8484".parse().unwrap()]);
    assert_eq!(settings.listen.source, Source::BuiltIn);
    assert_eq!(settings.peer_listen.value.len(), 2);
    assert_eq!(settings.store_limit_bytes.value, 10 << 30);
    assert_eq!(
        settings.databases.value,
        [SumdbSetting::Database(DatabaseSpec::sum_golang_org())]
    );
    assert!(settings.private.value.is_empty());
    assert!(!settings.offline.value && !settings.no_mdns.value);
    let config = settings.to_config(None);
    assert!(config.mdns && !config.peer_listen_asked);
}

#[test]
fn a_large_disk_gives_at_most_twenty_gibibytes() {
    let large = BuiltIn {
        disk_bytes: |_| Some(1 << 50),
        ..built_in()
    };
    let layers = [flags(&[(Name::Upstream, &[LIST])])];
    let settings = settings(&layers, &large).unwrap();
    assert_eq!(settings.store_limit_bytes.value, 20 << 30);
}

#[test]
fn our_own_address_is_taken_out_of_the_upstream_in_any_spelling() {
    for us in [
        "http://127.0.0.1:8484",
        "http://localhost:8484/",
        "http://LOCALHOST:8484",
    ] {
        let list = format!("{us}|{LIST}");
        let settings = settings_of(&[(Name::Upstream, &[&list])]).unwrap();
        assert_eq!(settings.upstream.value.to_string(), LIST, "{us}");
    }
}

#[test]
fn an_upstream_that_is_only_us_is_refused_unless_offline() {
    let us: &[&str] = &["http://127.0.0.1:8484"];
    let refusal = settings_of(&[(Name::Upstream, us)]).unwrap_err();
    assert!(refusal.contains("nobody but this daemon"), "{refusal}");
    assert!(refusal.contains("--upstream LIST"), "{refusal}");
    let offline: &[&str] = &["true"];
    let settings = settings_of(&[(Name::Upstream, us), (Name::Offline, offline)]).unwrap();
    assert!(settings.upstream.value.is_off());
}

#[test]
fn without_go_the_upstream_must_be_named() {
    let no_go = BuiltIn {
        go_is_missing: true,
        ..built_in()
    };
    let refusal = settings(&[], &no_go).unwrap_err().to_string();
    assert!(refusal.contains("no go command"), "{refusal}");
    assert!(settings(&[flags(&[(Name::Upstream, &["off"])])], &no_go).is_ok());
    assert!(settings(&[flags(&[(Name::Offline, &["true"])])], &no_go).is_ok());
}

#[test]
fn a_value_that_cannot_be_used_is_refused_with_name_source_and_remedy() {
    let cases: &[(Name, &[&str], &str)] = &[
        (Name::Listen, &["8484"], "127.0.0.1:8484"),
        (Name::Listen, &[], "at least one"),
        (Name::AllowHost, &["http://box"], "name alone"),
        (Name::State, &[""], "path of a folder"),
        (Name::StoreLimit, &["20 apples"], "20GiB"),
        (Name::StoreLimit, &["0"], "above zero"),
        (Name::Upstream, &["gopher://a.example"], "scheme"),
        (Name::Sumdb, &["sum.example"], "name+hash+key"),
        (Name::Sumdb, &["sum.golang.org", "off"], "only first"),
        (
            Name::Sumdb,
            &["sum.golang.org", "sum.golang.google.cn"],
            "sum.golang.org is named twice",
        ),
        (
            Name::Sumdb,
            &["sum.golang.org", OTHER_KEY],
            "two different keys",
        ),
        (Name::Sumdb, &["off", OTHER_KEY], "another key than its own"),
        (Name::Private, &["[a"], "[a"),
        (Name::PeerListen, &["nowhere"], "IP:PORT"),
        (Name::Peer, &["10.0.0.1:8485"], "multiaddr"),
        (Name::NoMdns, &["maybe"], "true"),
        (Name::Offline, &["2"], "true"),
        (Name::Log, &["modmesh=louder"], "info"),
        (Name::LogFormat, &["xml"], "text or json"),
    ];
    for (name, texts, remedy) in cases {
        let refusal = settings_of(&[(*name, texts)]).unwrap_err();
        let flag = format!("--{}", name.word());
        assert!(refusal.starts_with(name.word()), "{refusal}");
        assert!(refusal.contains(&flag), "{refusal}");
        assert!(refusal.contains(remedy), "{refusal} should say {remedy}");
    }
}

#[test]
fn a_password_in_the_upstream_is_not_repeated() {
    let text: &[&str] = &["https://anna:secret@"];
    let refusal = settings_of(&[(Name::Upstream, text)]).unwrap_err();
    assert!(!refusal.contains("secret"), "{refusal}");
}

#[test]
fn what_is_no_name_of_a_site_is_refused_with_what_would_be_one() {
    let settings = settings_of(&[(Name::Site, &["Hall-3"])]).unwrap();
    assert_eq!(settings.site.value.unwrap().as_str(), "hall-3");
    let refusal = settings_of(&[(Name::Site, &["hall 3"])]).unwrap_err();
    assert!(refusal.contains("letters, digits"), "{refusal}");
    let refusal = settings_of(&[(Name::Site, &[""])]).unwrap_err();
    assert!(refusal.contains("a name is expected"), "{refusal}");
}

#[test]
fn a_tilde_in_the_state_folder_is_the_home() {
    let settings = settings_of(&[(Name::State, &["~/cache"])]).unwrap();
    assert_eq!(settings.state_dir.value, Path::new("/home/anna/cache"));
}

#[test]
fn twice_the_same_address_is_one() {
    let texts: &[&str] = &["127.0.0.1:1", "127.0.0.1:1", "127.0.0.1:0", "127.0.0.1:0"];
    let settings = settings_of(&[(Name::Listen, texts)]).unwrap();
    assert_eq!(settings.listen.value.len(), 3);
}

#[test]
fn an_upstream_that_is_only_us_is_what_setup_remembered() {
    let go = |list: &str| {
        layer(
            |_| Source::GoEnv("GOPROXY"),
            &[(Name::Upstream, &[list] as &[&str])],
        )
    };
    let remembered = |upstream: io::Result<Option<String>>| BuiltIn {
        remembered: FromSetup {
            path: "/state/setup.json".into(),
            upstream,
        },
        ..built_in()
    };
    let us = "http://127.0.0.1:8484";
    let before = || Ok(Some(format!("{us}|{LIST}")));
    let found = settings(&[go(us)], &remembered(before())).unwrap().upstream;
    assert_eq!(found.value.to_string(), LIST);
    assert_eq!(found.source, Source::Setup("/state/setup.json".into()));
    // go's own word comes before it, and so does a flag: which then must name somebody.
    let found = settings(&[go("https://a.example")], &remembered(before())).unwrap();
    assert_eq!(found.upstream.value.to_string(), "https://a.example");
    let flag = flags(&[(Name::Upstream, &[us])]);
    let refusal = settings(&[flag, go(us)], &remembered(before())).unwrap_err();
    assert!(refusal.to_string().contains("nobody but"), "{refusal}");
    let refusal = settings(&[go(us)], &remembered(Ok(None))).unwrap_err();
    assert!(refusal.to_string().contains("nobody but"), "{refusal}");
    let refusal = settings(&[go(us)], &remembered(Err(io::Error::other("broken")))).unwrap_err();
    assert!(
        refusal.to_string().contains("/state/setup.json"),
        "{refusal}"
    );
}

#[test]
fn a_database_that_is_to_be_asked_at_our_own_address_is_asked_where_it_is_at_home() {
    for us in [
        "http://127.0.0.1:8484",
        "http://localhost:8484/sumdb/sum.golang.org",
    ] {
        let text = format!("sum.golang.org {us}");
        let settings = settings_of(&[(Name::Sumdb, &[&text])]).unwrap();
        let built_in = SumdbSetting::Database(DatabaseSpec::sum_golang_org());
        assert_eq!(settings.databases.value, [built_in], "{us}");
    }
    let elsewhere = "sum.golang.org http://127.0.0.1:9/sumdb/sum.golang.org";
    let settings = settings_of(&[(Name::Sumdb, &[elsewhere])]).unwrap();
    assert_eq!(settings.databases.value[0].to_string(), elsewhere);
}
