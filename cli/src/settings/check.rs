//! From texts in layers to checked values: a pure function, so that its table of cases is its test.
//!
//! Every refusal says which setting it is, where the text was written and what would be valid. Texts are repeated in
//! a refusal except those of `upstream`, which may carry a password and is shown by its own redacting type.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use modmesh_protocol::goproxy::ProxyList;
use modmesh_protocol::limits::NEIGHBOURS_MAX;
use modmesh_protocol::log::{DatabaseSpec, SumdbSetting};
use modmesh_protocol::module::Patterns;

use super::manners::{
    Limited, Sending, parse_budget, parse_connections, parse_limit, parse_neighbours, parse_site,
};
use super::value::{Given, Layer, Name, Source, Value, parse_size, parse_switch, winner};
use super::{Settings, SettingsError};
use crate::addresses::base_url;
use crate::logging;
use modmesh_daemon::{check_peer_address, check_peer_name};

/// The port `go` is served on.
const LISTEN_PORT: u16 = 8484;
/// The port neighbours come to.
const PEER_PORT: u16 = 8485;
/// The largest store that is taken without being asked for.
const STORE_LIMIT_BYTES_MAX: u64 = 20 << 30;
/// The share of the disk that is taken without being asked for: one part of so many.
const STORE_LIMIT_SHARE: u64 = 5;

/// What the built-in values follow from.
#[derive(Debug)]
pub(super) struct BuiltIn {
    pub(super) state_dir: Option<PathBuf>,
    pub(super) home: Option<PathBuf>,
    /// The bytes of the disk a path lies on, when that can be known.
    pub(super) disk_bytes: fn(&Path) -> Option<u64>,
    pub(super) go_is_missing: bool,
    pub(super) remembered: FromSetup,
}

/// The upstream that `modmesh setup` remembered, and where.
#[derive(Debug)]
pub(super) struct FromSetup {
    pub(super) path: PathBuf,
    pub(super) upstream: io::Result<Option<String>>,
}

impl Default for FromSetup {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            upstream: Ok(None),
        }
    }
}

/// Chooses and checks every setting. `layers` begins with the strongest.
pub(super) fn settings(layers: &[Layer], built_in: &BuiltIn) -> Result<Settings, SettingsError> {
    let listen = listen(layers)?;
    let state_dir = state_dir(layers, built_in)?;
    let offline = switch(layers, Name::Offline)?;
    Ok(Settings {
        store_limit_bytes: store_limit(layers, built_in, &state_dir.value)?,
        upstream: upstream(layers, built_in, &listen.value, offline.value)?,
        allow_hosts: list(layers, Name::AllowHost, Vec::new, host_name)?,
        databases: databases(layers, &listen.value)?,
        go_sums: list(layers, Name::GoSum, Vec::new, |text| path(text, built_in))?,
        private: private(layers)?,
        peer_listen: addresses(layers, Name::PeerListen, || {
            vec![
                SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), PEER_PORT),
                SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), PEER_PORT),
            ]
        })?,
        peers: list(layers, Name::Peer, Vec::new, |text| {
            check_peer_address(text)
                .map(|()| text.to_owned())
                .map_err(|fault| format!("{text:?}: {fault}"))
        })?,
        mesh_secret_file: one(
            layers,
            Name::MeshSecretFile,
            || None,
            |text| {
                if text.trim().is_empty() {
                    return Err("the path of a file is expected".to_owned());
                }
                path(text, built_in).map(Some)
            },
        )?,
        members: list(layers, Name::Member, Vec::new, |text| {
            check_peer_name(text).map_err(|fault| format!("{text:?}: {fault}"))
        })?,
        no_mdns: switch(layers, Name::NoMdns)?,
        neighbours_max: one(
            layers,
            Name::Neighbours,
            || NEIGHBOURS_MAX,
            parse_neighbours,
        )?,
        limit_upload: one(layers, Name::LimitUpload, Limited::default, parse_limit)?,
        limit_download: one(layers, Name::LimitDownload, Limited::default, parse_limit)?,
        limit_upstream: one(layers, Name::LimitUpstream, Limited::default, parse_limit)?,
        site: one(layers, Name::Site, || None, parse_site)?,
        limit_site: one(layers, Name::LimitSite, Limited::default, parse_limit)?,
        site_budget_bytes: one(layers, Name::SiteBudget, || None, parse_budget)?,
        site_connections: one(layers, Name::SiteConnections, || None, parse_connections)?,
        on_battery: one(layers, Name::OnBattery, Default::default, Sending::parse)?,
        on_metered: one(layers, Name::OnMetered, Default::default, Sending::parse)?,
        log: one(layers, Name::Log, logging::built_in, logging::parse_filter)?,
        log_format: one(layers, Name::LogFormat, Default::default, str::parse)?,
        listen,
        state_dir,
        offline,
        client_sumdb_dirs: Vec::new(),
        goproxy: None,
    })
}

/// Where `go` is served.
pub(super) fn listen(layers: &[Layer]) -> Result<Value<Vec<SocketAddr>>, SettingsError> {
    addresses(layers, Name::Listen, || vec![default_listen()])
}

/// Where `go` is served when nothing else is said.
pub(crate) fn default_listen() -> SocketAddr {
    SocketAddr::new(Ipv4Addr::LOCALHOST.into(), LISTEN_PORT)
}

/// The state folder, made absolute.
pub(super) fn state_dir(
    layers: &[Layer],
    built_in: &BuiltIn,
) -> Result<Value<PathBuf>, SettingsError> {
    let Some(given) = winner(layers, Name::State) else {
        let value = built_in.state_dir.clone();
        return Ok(Value {
            value: value.ok_or(SettingsError::NoStateFolder)?,
            source: Source::BuiltIn,
        });
    };
    checked(Name::State, given, |texts| {
        let text = only(texts)?;
        if text.trim().is_empty() {
            return Err("the path of a folder is expected".to_owned());
        }
        path(text, built_in)
    })
}

/// A path, made absolute.
fn path(text: &str, built_in: &BuiltIn) -> Result<PathBuf, String> {
    // No shell expands the file's `~/`.
    let path = match (text.strip_prefix("~/"), &built_in.home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(text),
    };
    std::path::absolute(path).map_err(|error| format!("{text:?}: {error}"))
}

fn store_limit(
    layers: &[Layer],
    built_in: &BuiltIn,
    state_dir: &Path,
) -> Result<Value<u64>, SettingsError> {
    let share_of_disk = || {
        (built_in.disk_bytes)(state_dir)
            .map(|bytes| bytes / STORE_LIMIT_SHARE)
            .filter(|share| *share > 0)
            .map_or(STORE_LIMIT_BYTES_MAX, |share| {
                share.min(STORE_LIMIT_BYTES_MAX)
            })
    };
    one(layers, Name::StoreLimit, share_of_disk, |text| {
        parse_size(text).filter(|bytes| *bytes > 0).ok_or_else(|| {
            format!(
                "{text:?}: a size above zero is expected; write 20GiB, 500MB or a number of bytes"
            )
        })
    })
}

/// The upstream without ourselves: whoever asked himself would wait for himself.
fn upstream(
    layers: &[Layer],
    built_in: &BuiltIn,
    listen: &[SocketAddr],
    offline: bool,
) -> Result<Value<ProxyList>, SettingsError> {
    let name = Name::Upstream;
    let Some(given) = winner(layers, name) else {
        let why = match built_in.go_is_missing {
            true => "there is no go command on PATH that could tell GOPROXY",
            false => "go env tells no GOPROXY",
        };
        return match ProxyList::parse("off") {
            Ok(value) if offline => Ok(Value {
                value,
                source: Source::BuiltIn,
            }),
            _ => Err(SettingsError::NoUpstream { why }),
        };
    };
    let list = checked(name, given, |texts| {
        ProxyList::parse(only(texts)?).map_err(|error| error.to_string())
    })?;
    let without_us = list.value.without(listen);
    let is_only_us = without_us.entries().next().is_none();
    if is_only_us
        && matches!(list.source, Source::GoEnv(_))
        && let Some(remembered) = upstream_before_setup(&built_in.remembered, listen)?
    {
        return Ok(remembered);
    }
    if is_only_us && !offline {
        let us = listen.first().map(base_url).unwrap_or_default();
        return Err(SettingsError::OnlyUs(list.source, us));
    }
    Ok(Value {
        value: without_us,
        source: list.source,
    })
}

/// Whom `go` asked before `modmesh setup` put us in everybody's place.
fn upstream_before_setup(
    remembered: &FromSetup,
    listen: &[SocketAddr],
) -> Result<Option<Value<ProxyList>>, SettingsError> {
    let text = match &remembered.upstream {
        Ok(Some(text)) => text,
        Ok(None) => return Ok(None),
        Err(error) => {
            return Err(SettingsError::Remembered {
                path: remembered.path.clone(),
                error: io::Error::new(error.kind(), error.to_string()),
            });
        }
    };
    let given = Given {
        texts: vec![text.clone()],
        source: Source::Setup(remembered.path.clone()),
    };
    let list = checked(Name::Upstream, &given, |texts| {
        ProxyList::parse(only(texts)?).map_err(|error| error.to_string())
    })?;
    let value = list.value.without(listen);
    let names_somebody = value.entries().next().is_some();
    let source = list.source;
    Ok(names_somebody.then_some(Value { value, source }))
}

/// The databases. One that is to be asked at our own address is asked where it would be without: we would wait for ourselves.
fn databases(
    layers: &[Layer],
    listen: &[SocketAddr],
) -> Result<Value<Vec<SumdbSetting>>, SettingsError> {
    let name = Name::Sumdb;
    let built_in = || vec![SumdbSetting::Database(DatabaseSpec::sum_golang_org())];
    let mut databases = list(layers, name, built_in, |text| {
        SumdbSetting::parse(text).map_err(|error| error.to_string())
    })?;
    let is_us = |url: &String| {
        ProxyList::parse(url).is_ok_and(|list| list.without(listen).entries().next().is_none())
    };
    for setting in &mut databases.value {
        if let SumdbSetting::Database(spec) = setting {
            spec.url = spec.url.take().filter(|url| !is_us(url));
        }
    }
    // The first judges modules, and may be nobody; the others are mirrored, and nobody cannot be.
    let fault = match databases.value.as_slice() {
        [] => "at least one database is expected, or `off`".to_owned(),
        [_, mirrored @ ..] if mirrored.contains(&SumdbSetting::Off) => {
            "`off` can be only first".to_owned()
        }
        all => match named_twice(all) {
            Some(fault) => fault,
            None => return Ok(databases),
        },
    };
    Err(unusable(name, &databases.source, fault))
}

/// What is wrong when two databases share a name, and so a folder and a place in URLs. The built-in one is there for
/// toolchains where `off` is first.
fn named_twice(databases: &[SumdbSetting]) -> Option<String> {
    let built_in = DatabaseSpec::sum_golang_org();
    let is_off = databases.first() == Some(&SumdbSetting::Off);
    let mut seen: Vec<&DatabaseSpec> = Vec::new();
    for setting in databases {
        let SumdbSetting::Database(spec) = setting else {
            continue;
        };
        if is_off && spec.name() == built_in.name() && spec.key != built_in.key {
            let name = spec.name();
            return Some(format!(
                "{name} is given with another key than its own, by which toolchains are judged while `off` is first"
            ));
        }
        let twice = seen.iter().find(|other| other.name() == spec.name());
        if let Some(other) = twice {
            let name = spec.name();
            return Some(match other.key == spec.key {
                true => format!("{name} is named twice"),
                false => format!("{name} is given with two different keys"),
            });
        }
        seen.push(spec);
    }
    None
}

fn private(layers: &[Layer]) -> Result<Value<Patterns>, SettingsError> {
    let nothing = Given {
        texts: Vec::new(),
        source: Source::BuiltIn,
    };
    let given = winner(layers, Name::Private).unwrap_or(&nothing);
    checked(Name::Private, given, |texts| {
        Patterns::parse(&texts.join(",")).map_err(|error| error.to_string())
    })
}

fn addresses(
    layers: &[Layer],
    name: Name,
    built_in: impl FnOnce() -> Vec<SocketAddr>,
) -> Result<Value<Vec<SocketAddr>>, SettingsError> {
    let mut addresses = list(layers, name, built_in, |text| {
        text.trim().parse::<SocketAddr>().map_err(|_| {
            format!("{text:?} is no IP:PORT; write it like 127.0.0.1:8484 or [::1]:8484")
        })
    })?;
    if addresses.value.is_empty() {
        let fault = "at least one IP:PORT is expected".to_owned();
        return Err(unusable(name, &addresses.source, fault));
    }
    // Twice the same address would be told to be in use by somebody else.
    let mut seen = Vec::new();
    addresses.value.retain(|address| {
        let is_new = address.port() == 0 || !seen.contains(address);
        seen.push(*address);
        is_new
    });
    Ok(addresses)
}

/// A name that may stand in a request's Host: letters, digits, dots and hyphens, lower-cased.
fn host_name(text: &str) -> Result<String, String> {
    let is_host = !text.is_empty()
        && text.len() <= 253
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    match is_host {
        true => Ok(text.to_ascii_lowercase()),
        false => Err(format!(
            "{text:?} is no host name; write the name alone, without scheme and port"
        )),
    }
}

fn switch(layers: &[Layer], name: Name) -> Result<Value<bool>, SettingsError> {
    one(
        layers,
        name,
        || false,
        |text| parse_switch(text).ok_or_else(|| format!("{text:?} is neither true nor false")),
    )
}

/// A setting with one value.
fn one<T>(
    layers: &[Layer],
    name: Name,
    built_in: impl FnOnce() -> T,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Value<T>, SettingsError> {
    match winner(layers, name) {
        Some(given) => checked(name, given, |texts| parse(only(texts)?)),
        None => Ok(Value {
            value: built_in(),
            source: Source::BuiltIn,
        }),
    }
}

/// A setting with any number of values.
fn list<T>(
    layers: &[Layer],
    name: Name,
    built_in: impl FnOnce() -> Vec<T>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Value<Vec<T>>, SettingsError> {
    match winner(layers, name) {
        Some(given) => checked(name, given, |texts| {
            texts.iter().map(|text| parse(text)).collect()
        }),
        None => Ok(Value {
            value: built_in(),
            source: Source::BuiltIn,
        }),
    }
}

fn checked<T>(
    name: Name,
    given: &Given,
    parse: impl FnOnce(&[String]) -> Result<T, String>,
) -> Result<Value<T>, SettingsError> {
    match parse(&given.texts) {
        Ok(value) => Ok(Value {
            value,
            source: given.source.clone(),
        }),
        Err(fault) => Err(unusable(name, &given.source, fault)),
    }
}

fn only(texts: &[String]) -> Result<&str, String> {
    match texts {
        [text] => Ok(text),
        _ => Err("exactly one value is expected".to_owned()),
    }
}

fn unusable(name: Name, source: &Source, fault: String) -> SettingsError {
    SettingsError::Unusable {
        name,
        source_of_value: source.clone(),
        fault,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
