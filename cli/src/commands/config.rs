//! `modmesh config`: every setting of `modmesh up` and where it comes from. Nothing is started or asked but `go env`.

use std::fmt::Display;
use std::process::ExitCode;

use modmesh_protocol::rate::{Minute, Rate};
use serde_json::{Value as Json, json};

use super::Failure;
use crate::arguments::ConfigArguments;
use crate::output;
use crate::settings::{Gathered, Limited, Name, Settings, Source, Value};

/// Shows the settings.
pub(crate) async fn config(arguments: ConfigArguments) -> Result<ExitCode, Failure> {
    let file = arguments.settings.config.as_deref();
    let settings = Gathered::under(arguments.settings.layer(), file)?
        .settings()
        .await?;
    let rows = rows(&settings);
    if arguments.json {
        let object: serde_json::Map<String, Json> = rows.iter().map(Row::to_json).collect();
        output::say(&serde_json::to_string_pretty(&object)?);
    } else {
        let rows: Vec<[String; 3]> = rows.iter().map(Row::to_text).collect();
        output::say(&output::table(&rows));
    }
    Ok(ExitCode::SUCCESS)
}

/// One setting as it is shown.
struct Row {
    name: Name,
    json: Json,
    source: Source,
}

impl Row {
    fn is_limit(&self) -> bool {
        matches!(
            self.name,
            Name::LimitUpload | Name::LimitDownload | Name::LimitUpstream | Name::LimitSite
        )
    }

    fn to_json(&self) -> (String, Json) {
        let about = json!({
            "value": self.json,
            "source": self.source.kind(),
            "place": self.source.place(),
        });
        (self.name.word().to_owned(), about)
    }

    fn to_text(&self) -> [String; 3] {
        let value = match &self.json {
            Json::String(text) => text.clone(),
            Json::Number(bytes) if matches!(self.name, Name::StoreLimit | Name::SiteBudget) => {
                output::bytes(bytes.as_u64().unwrap_or_default())
            }
            Json::Number(bytes) if self.is_limit() => {
                output::rate(bytes.as_u64().unwrap_or_default())
            }
            Json::Null if self.is_limit() || self.name == Name::SiteBudget => "none".to_owned(),
            Json::Null if self.name == Name::SiteConnections => "none".to_owned(),
            Json::Null if self.name == Name::Site => "the link".to_owned(),
            Json::Array(items) => items
                .iter()
                .map(|item| item.as_str().unwrap_or_default())
                .collect::<Vec<_>>()
                .join(", "),
            Json::Null => String::new(),
            other => other.to_string(),
        };
        let value = match value.is_empty() {
            true => "-".to_owned(),
            false => value,
        };
        let place = &self.source;
        [self.name.word().to_owned(), value, format!("({place})")]
    }
}

fn rows(settings: &Settings) -> Vec<Row> {
    Name::ALL
        .into_iter()
        .map(|name| {
            let (json, source) = shown(settings, name);
            Row { name, json, source }
        })
        .collect()
}

fn shown(settings: &Settings, name: Name) -> (Json, Source) {
    match name {
        Name::Listen => list(&settings.listen),
        Name::AllowHost => list(&settings.allow_hosts),
        Name::State => {
            let state = &settings.state_dir;
            (json!(state.value.to_string_lossy()), state.source.clone())
        }
        Name::StoreLimit => {
            let limit = &settings.store_limit_bytes;
            (json!(limit.value), limit.source.clone())
        }
        Name::Upstream => text(&settings.upstream),
        Name::Sumdb => list(&settings.databases),
        Name::GoSum => {
            let paths = settings
                .go_sums
                .value
                .iter()
                .map(|path| path.to_string_lossy());
            (
                json!(paths.collect::<Vec<_>>()),
                settings.go_sums.source.clone(),
            )
        }
        Name::Private => text(&settings.private),
        Name::PeerListen => list(&settings.peer_listen),
        Name::Peer => list(&settings.peers),
        Name::NoMdns => switch(&settings.no_mdns),
        Name::Offline => switch(&settings.offline),
        Name::LimitUpload => limit(&settings.limit_upload),
        Name::LimitDownload => limit(&settings.limit_download),
        Name::LimitUpstream => limit(&settings.limit_upstream),
        Name::OnBattery => text(&settings.on_battery),
        Name::OnMetered => text(&settings.on_metered),
        Name::Log => text(&settings.log),
        Name::LogFormat => text(&settings.log_format),
        // The place of the secret; the secret itself is shown nowhere.
        Name::MeshSecretFile => {
            let file = &settings.mesh_secret_file;
            let path = file.value.as_ref().map(|path| path.to_string_lossy());
            (json!(path), file.source.clone())
        }
        Name::Member => list(&settings.members),
        Name::Site => {
            let site = &settings.site;
            let name = site.value.as_ref().map(ToString::to_string);
            (json!(name), site.source.clone())
        }
        Name::LimitSite => limit(&settings.limit_site),
        Name::Neighbours => {
            let most = &settings.neighbours_max;
            (json!(most.value), most.source.clone())
        }
        Name::SiteConnections => {
            let cap = &settings.site_connections;
            (json!(cap.value), cap.source.clone())
        }
        Name::SiteBudget => {
            let budget = &settings.site_budget_bytes;
            (json!(budget.value), budget.source.clone())
        }
    }
}

fn text<T: Display>(value: &Value<T>) -> (Json, Source) {
    (json!(value.value.to_string()), value.source.clone())
}

fn list<T: Display>(value: &Value<Vec<T>>) -> (Json, Source) {
    let texts: Vec<String> = value.value.iter().map(T::to_string).collect();
    (json!(texts), value.source.clone())
}

/// Bytes a second, or null; where it depends on the hour, the text as it was given.
fn limit(value: &Value<Limited>) -> (Json, Source) {
    let Limited { limit, text } = &value.value;
    let json = match limit.is_by_hours() {
        true => json!(text),
        false => json!(limit.at(Minute::default()).map(Rate::bytes_per_second)),
    };
    (json, value.source.clone())
}

fn switch(value: &Value<bool>) -> (Json, Source) {
    (json!(value.value), value.source.clone())
}
