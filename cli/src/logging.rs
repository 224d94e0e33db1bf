//! Logs by `tracing`, on stderr, as text or as one JSON object a line.
//!
//! The filter has the usual words, `info` or `modmesh_daemon=debug,warn`. It is checked more strictly than its library
//! does: there a misspelt level alone is taken for the name of a target, and silences everything.

pub(crate) mod background;

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Mutex;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How a log line is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For a person.
    #[default]
    Text,
    /// For a machine.
    Json,
}

/// Begins to log, within bounds where stderr is the background's log in `state_dir`. Only the first call has an effect.
pub(crate) fn start(filter: &Targets, format: LogFormat, state_dir: &Path) {
    let writer = match background::BackgroundLog::of_stderr(state_dir) {
        Some(log) => BoxMakeWriter::new(Mutex::new(log)),
        None => BoxMakeWriter::new(std::io::stderr),
    };
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    let layer = match format {
        LogFormat::Text => {
            let to_a_person = std::io::IsTerminal::is_terminal(&std::io::stderr());
            layer.with_ansi(to_a_person).boxed()
        }
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    let _ = tracing_subscriber::registry()
        .with(layer.with_filter(filter.clone()))
        .try_init();
}

/// What is logged when nobody says otherwise: warnings. What a person wants to see, `up` prints on stdout.
pub(crate) fn built_in() -> Targets {
    Targets::new().with_default(LevelFilter::WARN)
}

/// Reads a filter: levels and `target=level`, with commas.
pub(crate) fn parse_filter(text: &str) -> Result<Targets, String> {
    let fault = |part: &str| {
        format!(
            "{part:?} is no filter; write off, error, warn, info, debug or trace, or TARGET=LEVEL, with commas between"
        )
    };
    for part in text.split(',').map(str::trim) {
        let level = part.rsplit_once('=').map_or(part, |(_, level)| level);
        if level.parse::<LevelFilter>().is_err() || level.is_empty() {
            return Err(fault(part));
        }
    }
    text.split(',')
        .map(str::trim)
        .collect::<Vec<_>>()
        .join(",")
        .parse()
        .map_err(|_| fault(text))
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("{text:?} is no log format; write text or json")),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_level_is_no_filter() {
        for text in ["info", "off", "modmesh=debug,warn", "warn, libp2p=error"] {
            assert!(parse_filter(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "louder",
            "modmesh",
            "modmesh=",
            "modmesh=louder",
            "info,,",
        ] {
            assert!(parse_filter(text).is_err(), "{text}");
        }
    }
}
