//! From a request line to what is asked for. Pure, and the only place where a path is taken apart.
//!
//! The path is percent-decoded exactly once: `go` writes `!` as `%21` in module paths and raw in lookups. Encoded
//! slashes, and elements that are empty or only dots, name nothing.

use std::fmt::Display;

use http::Method;
use modmesh_protocol::artifact::{ArtifactKey, FileKind};
use modmesh_protocol::log::TileCoordinate;
use modmesh_protocol::module::{ModulePath, ModuleVersion, Revision, Version};

use crate::fetch::NoteKey;

/// Longest request path that is looked at: a module path, a version and their escapes fit many times.
const PATH_BYTES_MAX: usize = 8 << 10;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// A `.mod` or `.zip`.
    File(ArtifactKey),
    /// A `.info`, `list` or `@latest`.
    Note(NoteKey),
    /// Something of the checksum database of this name.
    Sumdb(String, SumdbRoute),
    /// Alive.
    Healthz,
    /// Ready.
    Readyz,
    /// Prometheus text.
    Metrics,
    /// `/api/v1/status`
    Status,
    /// `/api/v1/peers`
    Peers,
    /// `/`
    Root,
}

/// What is asked of a checksum database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SumdbRoute {
    Supported,
    Latest,
    Lookup(ModuleVersion),
    Tile(TileCoordinate),
}

/// Why a request asks for nothing that there could be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RouteError {
    #[error("method {0} is not allowed here; this proxy is read-only: use GET or HEAD")]
    Method(Method),
    #[error("bad request path: {0}")]
    Path(&'static str),
    #[error("not found: {0}")]
    Unknown(String),
}

impl RouteError {
    fn unknown(reason: impl Display) -> Self {
        Self::Unknown(reason.to_string())
    }
}

impl Route {
    /// The label under which requests for it are counted.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::File(key) => key.kind.as_str(),
            Self::Note(NoteKey::Info(..)) => "info",
            Self::Note(NoteKey::List(_)) => "list",
            Self::Note(NoteKey::Latest(_)) => "latest",
            Self::Sumdb(..) => "sumdb",
            _ => "other",
        }
    }
}

/// Takes a request line apart.
pub(crate) fn parse(method: &Method, path: &str) -> Result<Route, RouteError> {
    if method != Method::GET && method != Method::HEAD {
        return Err(RouteError::Method(method.clone()));
    }
    if path.len() > PATH_BYTES_MAX {
        return Err(RouteError::Path("it is too long"));
    }
    let path = decode(path)?;
    let path = path
        .strip_prefix('/')
        .ok_or(RouteError::Path("it does not begin with a slash"))?;
    match path {
        "" => return Ok(Route::Root),
        "healthz" => return Ok(Route::Healthz),
        "readyz" => return Ok(Route::Readyz),
        "metrics" => return Ok(Route::Metrics),
        "api/v1/status" => return Ok(Route::Status),
        "api/v1/peers" => return Ok(Route::Peers),
        _ => {}
    }
    if path
        .split('/')
        .any(|element| matches!(element, "" | "." | ".."))
    {
        return Err(RouteError::Path("an element of it is empty or only dots"));
    }
    match path.strip_prefix("sumdb/") {
        Some(rest) => sumdb(rest),
        None => module(path),
    }
}

/// `M/@latest`, `M/@v/list`, `M/@v/VERSION.EXTENSION`
fn module(path: &str) -> Result<Route, RouteError> {
    if let Some(module) = path.strip_suffix("/@latest") {
        let module = ModulePath::from_escaped(module).map_err(RouteError::unknown)?;
        return Ok(Route::Note(NoteKey::Latest(module)));
    }
    let (module, file) = path.rsplit_once("/@v/").ok_or_else(|| {
        RouteError::unknown("modules are at /MODULE/@v/... as in the GOPROXY protocol")
    })?;
    let module = ModulePath::from_escaped(module).map_err(RouteError::unknown)?;
    if file == "list" {
        return Ok(Route::Note(NoteKey::List(module)));
    }
    let (version, extension) = file.rsplit_once('.').unwrap_or((file, ""));
    match FileKind::from_extension(extension) {
        Some(FileKind::Info) => {
            let revision = Revision::from_escaped(version).map_err(RouteError::unknown)?;
            Ok(Route::Note(NoteKey::Info(module, revision)))
        }
        Some(kind) => {
            let version = Version::from_escaped(version).map_err(RouteError::unknown)?;
            let of = ModuleVersion::new(module, version).map_err(RouteError::unknown)?;
            Ok(Route::File(ArtifactKey { of, kind }))
        }
        None => Err(RouteError::unknown("only list, .info, .mod and .zip exist")),
    }
}

/// `NAME/supported`, `NAME/latest`, `NAME/lookup/M@V`, `NAME/tile/...`; the name may hold slashes.
fn sumdb(path: &str) -> Result<Route, RouteError> {
    let (name, wanted) = if let Some((name, wanted)) = path.split_once("/lookup/") {
        let (module, version) = wanted
            .rsplit_once('@')
            .ok_or_else(|| RouteError::unknown("a lookup has the form MODULE@VERSION"))?;
        let module = ModulePath::from_escaped(module).map_err(RouteError::unknown)?;
        let version = Version::from_escaped(version).map_err(RouteError::unknown)?;
        let of = ModuleVersion::new(module, version).map_err(RouteError::unknown)?;
        (name, SumdbRoute::Lookup(of))
    } else if let Some((name, tile)) = path.split_once("/tile/") {
        let tile =
            TileCoordinate::parse_path(&format!("tile/{tile}")).map_err(RouteError::unknown)?;
        (name, SumdbRoute::Tile(tile))
    } else if let Some(name) = path.strip_suffix("/supported") {
        (name, SumdbRoute::Supported)
    } else if let Some(name) = path.strip_suffix("/latest") {
        (name, SumdbRoute::Latest)
    } else {
        return Err(RouteError::unknown(
            "of a checksum database there are supported, latest, lookup and tile",
        ));
    };
    Ok(Route::Sumdb(name.to_owned(), wanted))
}

/// Undoes percent-encoding, and refuses what would name something else than it seems to.
fn decode(path: &str) -> Result<String, RouteError> {
    if path.contains("%2f") || path.contains("%2F") {
        return Err(RouteError::Path("a slash in it is encoded"));
    }
    let path = percent_decoded(path).ok_or(RouteError::Path("its percent-encoding is broken"))?;
    if path.contains(|character: char| character.is_control() || character == '\\') {
        return Err(RouteError::Path("a character in it cannot stand in a path"));
    }
    Ok(path)
}

/// Undoes percent-encoding once; nothing where it is broken or what comes of it is not UTF-8. A `+` stays one: versions have
/// it.
pub(crate) fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first != b'%' {
            bytes.push(*first);
            rest = after;
            continue;
        }
        let (digits, after) = after.split_at_checked(2)?;
        let value = |digit: u8| char::from(digit).to_digit(16);
        let [high, low] = digits else { return None };
        bytes.push(u8::try_from(value(*high)? * 16 + value(*low)?).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn get(path: &str) -> Result<Route, RouteError> {
        parse(&Method::GET, path)
    }

    fn of(text: &str) -> ModuleVersion {
        ModuleVersion::parse(text).unwrap()
    }

    fn file(of: ModuleVersion, kind: FileKind) -> Route {
        Route::File(ArtifactKey { of, kind })
    }

    /// Pieces of paths, good ones and others.
    const PIECES: [&str; 24] = [
        "/",
        "//",
        "..",
        ".",
        "%2e",
        "%2F",
        "%5c",
        "%00",
        "%zz",
        "%",
        "\\",
        "@v",
        "@latest",
        "list",
        "v1.0.0",
        ".zip",
        ".mod",
        ".info",
        "example.com",
        "!a",
        "%21a",
        "A",
        "sumdb/sum.golang.org/tile/8/0/000",
        "\u{e9}",
    ];

    proptest! {
        /// Whatever is asked: it is refused, or it names a file below a module, once decoded and never above the root.
        #[test]
        fn no_path_leads_out_of_the_tree_and_what_is_understood_is_understood_again(
            inserted in proptest::collection::vec((0..PIECES.len(), 0..40_usize), 0..3),
            noise in "\\PC{0,2}",
        ) {
            let mut path: Vec<char> = "/example.com/m/v2/@v/v2.0.0-rc.1.zip".chars().collect();
            for (piece, at) in inserted {
                let at = at.min(path.len());
                path.splice(at..at, PIECES[piece].chars());
            }
            let path = path.into_iter().collect::<String>() + &noise;
            if let Ok(Route::File(key)) = get(&path) {
                let url = key.url_path();
                prop_assert!(!url.starts_with('/'), "{url}");
                prop_assert!(url.split('/').all(|element| !matches!(element, "" | "." | "..")), "{url}");
                prop_assert_eq!(get(&format!("/{url}")).unwrap(), Route::File(key));
            }
        }
    }

    #[test]
    fn what_go_asks_is_understood_however_it_encodes_the_bang() {
        for path in [
            "/github.com/!burnt!sushi/toml/@v/v0.3.1.zip",
            "/github.com/%21burnt%21sushi/toml/@v/v0.3.1.zip",
        ] {
            let expected = file(of("github.com/BurntSushi/toml@v0.3.1"), FileKind::Zip);
            assert_eq!(get(path).unwrap(), expected);
        }
        assert_eq!(
            get("/rsc.io/quote/@v/v2.0.0+incompatible.mod").unwrap(),
            file(of("rsc.io/quote@v2.0.0+incompatible"), FileKind::Mod)
        );
        let module = ModulePath::parse("rsc.io/quote").unwrap();
        let branch = Revision::parse("master").unwrap();
        for (path, key) in [
            ("/rsc.io/quote/@v/list", NoteKey::List(module.clone())),
            ("/rsc.io/quote/@latest", NoteKey::Latest(module.clone())),
            (
                "/rsc.io/quote/@v/master.info",
                NoteKey::Info(module, branch),
            ),
        ] {
            assert_eq!(get(path).unwrap(), Route::Note(key));
        }
    }

    #[test]
    fn a_database_may_have_slashes_in_its_name() {
        let tile = TileCoordinate::parse_path("tile/8/0/x041/949").unwrap();
        let lookup = SumdbRoute::Lookup(of("github.com/BurntSushi/toml@v0.3.1"));
        for (path, name, wanted) in [
            (
                "/sumdb/sum.golang.org/supported",
                "sum.golang.org",
                SumdbRoute::Supported,
            ),
            (
                "/sumdb/sum.golang.org/latest",
                "sum.golang.org",
                SumdbRoute::Latest,
            ),
            (
                "/sumdb/sum.golang.org/tile/8/0/x041/949",
                "sum.golang.org",
                SumdbRoute::Tile(tile),
            ),
            (
                "/sumdb/localhost.example/sumdb/lookup/github.com/!burnt!sushi/toml@v0.3.1",
                "localhost.example/sumdb",
                lookup,
            ),
        ] {
            assert_eq!(get(path).unwrap(), Route::Sumdb(name.to_owned(), wanted));
        }
    }

    #[test]
    fn nothing_leads_out_of_the_tree() {
        for path in [
            "/../etc/passwd",
            "/github.com/a/../../b/@v/list",
            "/github.com/a%2f..%2f..%2fb/@v/list",
            "/github.com/a/@v/..%2f..%2fx.mod",
            "/github.com/a/@v/v1.0.0%00.mod",
            "/github.com//a/@v/list",
            "/github.com/a%zz/@v/list",
            "/github.com/a%+1/@v/list",
            "/github.com/a%/@v/list",
            "/github.com/a%252e/@v/list",
            "/github.com\\a/@v/list",
            "github.com/a/@v/list",
            "/github.com/A/@v/list",
            "/github.com/a!/@v/list",
            "/github.com/a/@v/v1.0.0.exe",
            "/github.com/a/@v/v1.mod",
            "/github.com/a/@v/.info",
            "/github.com/a/@v/",
            "/sumdb/",
            "/sumdb/x/tile/8/0/000.p/0",
            "/sumdb/x/lookup/github.com/a",
        ] {
            assert!(get(path).is_err(), "{path}");
        }
        assert_eq!(
            parse(&Method::POST, "/healthz"),
            Err(RouteError::Method(Method::POST))
        );
    }
}
