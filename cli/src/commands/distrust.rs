//! `modmesh distrust`: takes back what rests on the word of one neighbour.

use std::process::ExitCode;

use modmesh_daemon::check_peer_name;
use modmesh_protocol::control::TakenBack;

use super::Failure;
use crate::arguments::DistrustArguments;
use crate::client::SocketClient;
use crate::output::{self, count, plain};
use crate::settings::Gathered;

/// Asks the daemon to distrust a neighbour, or to trust it again.
pub(crate) async fn distrust(arguments: DistrustArguments) -> Result<ExitCode, Failure> {
    let name = check_peer_name(&arguments.peer)
        .map_err(|fault| Failure::NoPeer(arguments.peer.clone(), fault))?;
    let gathered = Gathered::under(arguments.layer(), arguments.config.as_deref())?;
    let client = SocketClient::new(&gathered.state_dir()?.value);
    let undo = if arguments.undo { "&undo=1" } else { "" };
    let body = client
        .change(&format!("/v1/distrust?peer={name}{undo}"))
        .await?;
    output::say(&match arguments.json {
        true => body.trim_end().to_owned(),
        false => text(&client.read(&body)?),
    });
    Ok(ExitCode::SUCCESS)
}

fn text(taken: &TakenBack) -> String {
    let name = plain(taken.peer_id.as_str());
    if !taken.is_distrusted {
        return format!("{name} is spoken to again");
    }
    let files = match taken.files {
        0 => "no file here rested on its word".to_owned(),
        files => format!("{} that rested on its word dropped", count(files, "file")),
    };
    format!("{name} is left alone until --undo; {files}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_was_dropped_is_told() {
        let taken = |is_distrusted, files| TakenBack {
            peer_id: "12D3KooWLiar".parse().unwrap(),
            is_distrusted,
            files,
            memories: 3,
        };
        assert_eq!(
            text(&taken(true, 2)),
            "12D3KooWLiar is left alone until --undo; 2 files that rested on its word dropped"
        );
        assert!(text(&taken(true, 0)).ends_with("no file here rested on its word"));
        assert_eq!(text(&taken(false, 0)), "12D3KooWLiar is spoken to again");
    }
}
