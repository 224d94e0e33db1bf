//! What can be asked at the back door: a request line becomes a [`Question`] here, and nobody behind it looks at the text
//! again. Names may come in their plain or their escaped form.

use http::{Method, Uri};
use modmesh_protocol::control::GO_SUM_NAME_BYTES_MAX;
use modmesh_protocol::module::ModuleVersion;
use modmesh_protocol::peer_name::PeerName;

use crate::log::Instead;
use crate::proxy::percent_decoded;

/// Longest query that is looked at: a module path and a version, every byte of them percent-encoded.
const QUERY_BYTES_MAX: usize = 8 << 10;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Question {
    /// `GET /v1/explain?module=M&version=V`
    Explain(ModuleVersion),
    /// `POST /v1/gosum?name=NAME`, and the file as its body
    GoSum(String),
    /// `POST /v1/distrust?peer=NAME`, with `undo=1` to take it back.
    Distrust { peer: PeerName, undo: bool },
    /// `POST /v1/stop`
    Stop,
    /// `GET /v1/sumdb`
    Databases,
    /// `POST /v1/sumdb/forget?name=N` and `/v1/sumdb/accept?name=N`, with `head=SIZE.ROOT` and `yes=1` where they are given.
    BeginAnew {
        name: String,
        instead: Instead,
        /// Whether the person means it, whatever there is to lose.
        yes: bool,
    },
}

/// Why a request asks for nothing that there could be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum QuestionError {
    #[error(
        "not found: there are GET /v1/explain?module=..&version=.., GET /v1/sumdb, POST /v1/sumdb/accept?name=.., POST /v1/sumdb/forget?name=.., POST /v1/gosum?name=.., POST /v1/distrust?peer=.. and POST /v1/stop"
    )]
    Unknown,
    #[error("method not allowed here: use {0}")]
    Method(Method),
    #[error("bad question: {0}")]
    Query(String),
}

/// Takes a request line apart.
pub(super) fn parse(method: &Method, uri: &Uri) -> Result<Question, QuestionError> {
    let only = |allowed: Method| {
        (*method == allowed)
            .then_some(())
            .ok_or(QuestionError::Method(allowed))
    };
    match uri.path() {
        "/v1/explain" => {
            only(Method::GET)?;
            module_version(uri.query().unwrap_or_default()).map(Question::Explain)
        }
        "/v1/gosum" => {
            only(Method::POST)?;
            let name = name(uri.query().unwrap_or_default())?;
            Ok(Question::GoSum(name))
        }
        "/v1/distrust" => {
            only(Method::POST)?;
            let [peer, undo] = values(uri.query().unwrap_or_default(), ["peer", "undo"])?;
            let peer = peer.ok_or_else(|| bad("peer is needed"))?;
            let peer = peer.parse().map_err(|_| bad("peer is no peer id"))?;
            let undo = undo.is_some_and(|undo| undo == "1");
            Ok(Question::Distrust { peer, undo })
        }
        "/v1/stop" => {
            only(Method::POST)?;
            Ok(Question::Stop)
        }
        "/v1/sumdb" => {
            only(Method::GET)?;
            Ok(Question::Databases)
        }
        path @ ("/v1/sumdb/forget" | "/v1/sumdb/accept") => {
            only(Method::POST)?;
            let query = uri.query().unwrap_or_default();
            let [name, head, yes] = values(query, ["name", "head", "yes"])?;
            let is_head = |head: &String| is_head_name(head);
            if !head.as_ref().is_none_or(is_head) {
                return Err(bad(
                    "a head is named SIZE.ROOT, as `modmesh sumdb show` names it: 12345.0badcafe",
                ));
            }
            Ok(Question::BeginAnew {
                name: name.ok_or_else(|| bad("name is needed"))?,
                instead: match path.ends_with("accept") {
                    true => Instead::Refused(head),
                    false => Instead::Any,
                },
                yes: yes.is_some_and(|yes| yes == "1"),
            })
        }
        _ => Err(QuestionError::Unknown),
    }
}

fn module_version(query: &str) -> Result<ModuleVersion, QuestionError> {
    let [module, version] = values(query, ["module", "version"])?;
    let (Some(module), Some(version)) = (module, version) else {
        return Err(bad("module and version are needed"));
    };
    ModuleVersion::of_either(&module, &version)
        .map_err(|error| QuestionError::Query(error.to_string()))
}

/// The name of a go.sum, which is shown to people.
fn name(query: &str) -> Result<String, QuestionError> {
    let [name] = values(query, ["name"])?;
    let name = name.ok_or_else(|| bad("name is needed"))?;
    let is_good = (1..=GO_SUM_NAME_BYTES_MAX).contains(&name.len());
    if !is_good || name.chars().any(char::is_control) {
        return Err(bad("name is empty, too long, or has a control character"));
    }
    Ok(name)
}

/// The values of these names in a query.
fn values<const N: usize>(
    query: &str,
    names: [&str; N],
) -> Result<[Option<String>; N], QuestionError> {
    if query.len() > QUERY_BYTES_MAX {
        return Err(bad("it is too long"));
    }
    let mut values = [const { None }; N];
    for part in query.split('&') {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let mut places = names.iter().zip(&mut values);
        let Some((_, place)) = places.find(|(wanted, _)| **wanted == name) else {
            continue;
        };
        let value = percent_decoded(value).ok_or_else(|| bad("its percent-encoding is broken"))?;
        if place.replace(value).is_some() {
            return Err(bad("a name stands in it twice"));
        }
    }
    Ok(values)
}

/// Whether this may be the name of a tree head: its size, and the first four bytes of its root.
fn is_head_name(text: &str) -> bool {
    text.split_once('.').is_some_and(|(size, root)| {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        size.parse::<u64>().is_ok() && root.len() == 8 && root.bytes().all(is_hex)
    })
}

fn bad(reason: &str) -> QuestionError {
    QuestionError::Query(reason.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn ask(method: Method, uri: &str) -> Result<Question, QuestionError> {
        parse(&method, &uri.parse().unwrap())
    }

    #[test]
    fn a_module_is_named_in_every_form() {
        let expected =
            Question::Explain(ModuleVersion::parse("github.com/BurntSushi/toml@v0.3.1").unwrap());
        for query in [
            "module=github.com/BurntSushi/toml&version=v0.3.1",
            "version=v0.3.1&module=github.com/!burnt!sushi/toml&more=1",
            "module=github.com%2F%21burnt%21sushi%2ftoml&version=v0%2E3.1",
        ] {
            let asked = ask(Method::GET, &format!("/v1/explain?{query}"));
            assert_eq!(asked.as_ref(), Ok(&expected), "{query}");
        }
        let quote = ModuleVersion::parse("rsc.io/quote@v2.0.0+incompatible").unwrap();
        let asked = ask(
            Method::GET,
            "/v1/explain?module=rsc.io/quote&version=v2.0.0+incompatible",
        );
        assert_eq!(asked, Ok(Question::Explain(quote)));
        assert_eq!(ask(Method::POST, "/v1/stop"), Ok(Question::Stop));
    }

    #[test]
    fn a_go_sum_has_a_name_that_can_be_shown() {
        let asked = ask(Method::POST, "/v1/gosum?name=/home/a%20b/go.sum");
        let name = "/home/a b/go.sum".to_owned();
        assert_eq!(asked, Ok(Question::GoSum(name)));
        let longest = "a".repeat(GO_SUM_NAME_BYTES_MAX);
        let asked = ask(Method::POST, &format!("/v1/gosum?name={longest}"));
        assert_eq!(asked, Ok(Question::GoSum(longest.clone())));
        let longer = format!("name={longest}a");
        for query in [
            "",
            "name=",
            "name=%0a",
            "name=%1b[m",
            "name=a&name=b",
            "name=%zz",
            &longer,
        ] {
            let asked = ask(Method::POST, &format!("/v1/gosum?{query}"));
            assert!(matches!(asked, Err(QuestionError::Query(_))), "{query}");
        }
        let asked = ask(Method::GET, "/v1/gosum?name=a");
        assert_eq!(asked, Err(QuestionError::Method(Method::POST)));
    }

    #[test]
    fn a_log_is_given_up_by_its_databases_name() {
        let begin = |instead, yes| Question::BeginAnew {
            name: "sum.example/internal".to_owned(),
            instead,
            yes,
        };
        let rows = [
            (
                "forget?name=sum.example/internal",
                begin(Instead::Any, false),
            ),
            (
                "accept?name=sum.example%2finternal&yes=1",
                begin(Instead::Refused(None), true),
            ),
            (
                "accept?name=sum.example/internal&head=300.0badcafe&yes=0",
                begin(Instead::Refused(Some("300.0badcafe".to_owned())), false),
            ),
        ];
        for (asked, expected) in rows {
            let uri = format!("/v1/sumdb/{asked}");
            assert_eq!(ask(Method::POST, &uri), Ok(expected), "{uri}");
            let got = ask(Method::GET, &uri);
            assert_eq!(got, Err(QuestionError::Method(Method::POST)));
        }
        assert_eq!(ask(Method::GET, "/v1/sumdb"), Ok(Question::Databases));
        let nameless = ask(Method::POST, "/v1/sumdb/forget?yes=1");
        assert!(matches!(nameless, Err(QuestionError::Query(_))));
    }

    #[test]
    fn a_neighbour_is_distrusted_by_its_name() {
        let text = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";
        for (query, undo) in [("", false), ("&undo=1", true), ("&undo=0", false)] {
            let uri = format!("/v1/distrust?peer={text}{query}");
            let peer = text.parse().unwrap();
            assert_eq!(
                ask(Method::POST, &uri),
                Ok(Question::Distrust { peer, undo })
            );
            let got = ask(Method::GET, &uri);
            assert_eq!(got, Err(QuestionError::Method(Method::POST)));
        }
        for query in ["", "undo=1", "peer=", "peer=a/b", "peer=x&peer=y"] {
            let asked = ask(Method::POST, &format!("/v1/distrust?{query}"));
            assert!(matches!(asked, Err(QuestionError::Query(_))), "{query}");
        }
    }

    #[test]
    fn what_is_no_question_is_refused() {
        for query in [
            "",
            "module=example.com/m",
            "version=v1.0.0",
            "module=example.com/m&version=latest",
            "module=example.com/m&version=v2.0.0",
            "module=../../etc&version=v1.0.0",
            "module=example.com/m&module=example.com/n&version=v1.0.0",
            "module=example.com/%zz&version=v1.0.0",
            "module=example.com/%&version=v1.0.0",
            "module=example.com/%ff&version=v1.0.0",
            "module=github.com/!Burnt&version=v1.0.0",
        ] {
            let asked = ask(Method::GET, &format!("/v1/explain?{query}"));
            assert!(matches!(asked, Err(QuestionError::Query(_))), "{query}");
        }
        let long = "a".repeat(QUERY_BYTES_MAX);
        let asked = ask(Method::GET, &format!("/v1/explain?module={long}"));
        assert!(matches!(asked, Err(QuestionError::Query(_))));
        assert_eq!(
            ask(Method::GET, "/v1/stop"),
            Err(QuestionError::Method(Method::POST))
        );
        assert_eq!(
            ask(Method::POST, "/v1/explain"),
            Err(QuestionError::Method(Method::GET))
        );
        for path in ["/", "/v1", "/v1/explain/", "/api/v1/status", "/v2/stop"] {
            assert_eq!(
                ask(Method::GET, path),
                Err(QuestionError::Unknown),
                "{path}"
            );
        }
    }
}
