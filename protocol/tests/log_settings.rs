//! Values of GOSUMDB: what the go command accepts is accepted, and what is refused says what would be valid.
#![allow(clippy::unwrap_used)]

use modmesh_protocol::log::{
    DatabaseSpec, SUM_GOLANG_ORG, SettingError, SumdbSetting, VerifierKey,
};

#[test]
fn the_public_database_is_known_by_its_name_its_alias_and_its_key() {
    for (text, url, direct, printed) in [
        (
            "sum.golang.org",
            None,
            "https://sum.golang.org",
            "sum.golang.org",
        ),
        (
            SUM_GOLANG_ORG,
            None,
            "https://sum.golang.org",
            "sum.golang.org",
        ),
        (
            "sum.golang.google.cn",
            Some("https://sum.golang.google.cn"),
            "https://sum.golang.google.cn",
            "sum.golang.org https://sum.golang.google.cn",
        ),
        (
            "sum.golang.org https://mirror.example/sum/",
            Some("https://mirror.example/sum"),
            "https://mirror.example/sum",
            "sum.golang.org https://mirror.example/sum",
        ),
        (
            "sum.golang.google.cn http://127.0.0.1:8080",
            Some("http://127.0.0.1:8080"),
            "http://127.0.0.1:8080",
            "sum.golang.org http://127.0.0.1:8080",
        ),
    ] {
        let setting = SumdbSetting::parse(text).unwrap();
        let SumdbSetting::Database(spec) = &setting else {
            panic!("{text} is off");
        };
        assert_eq!(spec.key, VerifierKey::sum_golang_org());
        assert_eq!(spec.name(), "sum.golang.org");
        assert_eq!(spec.url.as_deref(), url, "{text}");
        assert_eq!(spec.direct_url(), direct);
        assert_eq!(setting.to_string(), printed);
        assert_eq!(printed.parse(), Ok(setting));
    }
    assert_eq!(
        SumdbSetting::parse("sum.golang.org"),
        Ok(SumdbSetting::Database(DatabaseSpec::sum_golang_org()))
    );
}

#[test]
fn a_database_of_ones_own_is_given_by_its_key() {
    for name in ["sum.example", "sum.example/team/go", "localhost:8443"] {
        let key = key(name);
        let setting = SumdbSetting::parse(&format!("\t{key}   file:///srv/sum ")).unwrap();
        let url = Some("file:///srv/sum".to_owned());
        assert_eq!(setting, SumdbSetting::Database(DatabaseSpec { key, url }));
        assert_eq!(setting.to_string().parse(), Ok(setting));
    }
}

#[test]
fn off_is_off() {
    for text in ["off", " off\n"] {
        assert_eq!(SumdbSetting::parse(text), Ok(SumdbSetting::Off));
    }
    assert_eq!(SumdbSetting::Off.to_string(), "off");
}

#[test]
fn values_that_cannot_be_used_are_refused() {
    for text in ["", " ", "\n"] {
        assert_eq!(SumdbSetting::parse(text), Err(SettingError::Missing));
    }
    for text in [
        "off https://sum.example",
        "sum.golang.org https://a https://b",
    ] {
        assert_eq!(SumdbSetting::parse(text), Err(SettingError::TooManyWords));
    }
    for text in ["sum.example", "OFF", "https://sum.golang.org", "on"] {
        let unknown = SettingError::UnknownName(text.to_owned());
        assert_eq!(SumdbSetting::parse(text), Err(unknown));
    }
    for text in [
        "a+b",
        "sum.golang.org+033de0ae+",
        "sum.golang.org+033de0ae+AAAA",
    ] {
        let parsed = SumdbSetting::parse(text);
        assert!(matches!(parsed, Err(SettingError::Key(_))), "{text}");
    }
    for url in [
        "sum.example",
        "ftp://sum.example",
        "https://",
        "https:///",
        "http://a?b",
        "http://a#b",
    ] {
        let parsed = SumdbSetting::parse(&format!("sum.golang.org {url}"));
        assert_eq!(parsed, Err(SettingError::Url(url.to_owned())));
    }
}

#[test]
fn a_name_that_is_unsafe_in_a_url_or_a_file_name_is_refused() {
    for name in [
        "/",
        "/sum",
        "sum/",
        "sum//go",
        "..",
        "sum/..",
        "sum/./go",
        "sum?go",
        "sum#go",
        "user@sum",
        "sum%2fgo",
        "sum%20go",
        "sum:port",
        "sum:",
        "sum:65536",
        "sum:1:2",
        "https://sum",
        "sum\\go",
        "s\u{fc}m",
    ] {
        let refused = SettingError::Name(name.to_owned());
        let parsed = SumdbSetting::parse(key(name).as_str());
        assert_eq!(parsed, Err(refused), "{name}");
    }
}

/// A key for a database of this name. The point is that of the public database; only the name matters here.
fn key(name: &str) -> VerifierKey {
    let point = VerifierKey::parse(SUM_GOLANG_ORG).unwrap();
    VerifierKey::of_ed25519(name, point.point()).unwrap()
}
