//! A GOSUMDB with a URL: `go` asks that URL itself and no proxy, whatever GOPROXY is (`dbDial` of
//! cmd/go/internal/modfetch/sumdb.go), and so does it with `sum.golang.google.cn`, which stands for a URL. Then this host's mirror
//! of the database is no use to it.

use std::net::SocketAddr;

use modmesh_protocol::goproxy::ProxyList;
use modmesh_protocol::log::{DatabaseSpec, SumdbSetting};

/// A database that `go` asks past this daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PastUs {
    /// The database with its URL.
    spec: DatabaseSpec,
    /// Where `go` has it from.
    place: &'static str,
}

impl PastUs {
    /// The one of `gosumdb`, as `go env` tells it; `in_environment` is the variable, which comes before go's own file. Nothing
    /// where there is no URL, or it is one of this daemon's.
    pub(super) fn of(
        gosumdb: &str,
        in_environment: Option<&str>,
        listen: &[SocketAddr],
    ) -> Option<Self> {
        let Ok(SumdbSetting::Database(spec)) = SumdbSetting::parse(gosumdb) else {
            return None;
        };
        let url = spec.url.as_deref()?;
        let is_us =
            ProxyList::parse(url).is_ok_and(|list| list.without(listen).entries().next().is_none());
        let place = match in_environment {
            Some(text) if !text.trim().is_empty() => "GOSUMDB in the environment",
            _ => "GOSUMDB",
        };
        (!is_us).then_some(Self { spec, place })
    }

    /// What is wrong.
    pub(super) fn text(&self) -> String {
        let url = self.url();
        format!(
            "{} leads go to {url} itself, past modmesh and every proxy, so what it checks there fails where that cannot be reached",
            self.place
        )
    }

    /// What to do: the name alone for `go`, and the URL for the daemon.
    pub(super) fn remedy(&self) -> String {
        let alone = DatabaseSpec {
            url: None,
            ..self.spec.clone()
        };
        let first = match self.place {
            "GOSUMDB" => format!("go env -w GOSUMDB='{alone}'"),
            _ => format!("set GOSUMDB='{alone}' there"),
        };
        let url = self.url();
        format!(
            "{first}, and have the daemon ask that URL: modmesh up --sumdb '{alone} {url}' (or the key sumdb in its file)"
        )
    }

    /// The URL without a password.
    fn url(&self) -> String {
        let url = self.spec.url.as_deref().unwrap_or_default();
        ProxyList::parse(url).map_or_else(|_| "a URL".to_owned(), |list| list.to_string())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn of(gosumdb: &str) -> Option<PastUs> {
        PastUs::of(gosumdb, None, &["127.0.0.1:8484".parse().unwrap()])
    }

    #[test]
    fn a_database_with_a_url_that_is_not_ours_is_asked_past_us() {
        for gosumdb in [
            "",
            "off",
            "sum.golang.org",
            "nonsense",
            "sum.golang.org http://127.0.0.1:8484/sumdb/sum.golang.org",
            "sum.golang.org http://localhost:8484/sumdb/sum.golang.org/",
        ] {
            assert_eq!(of(gosumdb), None, "{gosumdb}");
        }
        for (gosumdb, url) in [
            ("sum.golang.google.cn", "https://sum.golang.google.cn"),
            ("sum.golang.org https://a.example/x", "https://a.example/x"),
            ("sum.golang.org http://127.0.0.1:9", "http://127.0.0.1:9"),
        ] {
            let past = of(gosumdb).unwrap();
            assert!(past.text().contains(url), "{}", past.text());
            let remedy = past.remedy();
            assert!(
                remedy.starts_with("go env -w GOSUMDB='sum.golang.org',"),
                "{remedy}"
            );
            let daemon = format!("--sumdb 'sum.golang.org {url}'");
            assert!(remedy.contains(&daemon), "{remedy}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let past = of("sum.golang.org https://anna:secret@a.example").unwrap();
        assert!(!past.text().contains("secret"), "{}", past.text());
        assert!(!past.remedy().contains("secret"), "{}", past.remedy());
    }

    #[test]
    fn what_the_environment_says_is_mended_there() {
        let alias = "sum.golang.google.cn";
        let past = PastUs::of(alias, Some(alias), &[]).unwrap();
        assert!(past.text().starts_with("GOSUMDB in the environment leads"));
        assert!(
            past.remedy()
                .starts_with("set GOSUMDB='sum.golang.org' there")
        );
        assert_eq!(PastUs::of(alias, Some(""), &[]), of(alias));
    }
}
