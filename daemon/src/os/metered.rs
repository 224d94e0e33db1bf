//! Whether a line of this machine is metered, from what NetworkManager says: by its own command, since Linux has no file for it.
//!
//! A device says `yes` or `no` where its connection was told so, `yes (guessed)` or `no (guessed)` where NetworkManager went by what
//! the device is or what the other end of the line said (a telephone says it by DHCP), and `unknown` where it is not connected
//! (`NMMetered`). One device that says yes is enough: which line a neighbour is reached by is not known here.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::time::timeout;

use super::command_on_path;

/// NetworkManager answers in some tens of milliseconds; a bus on which nobody answers would hold the command up for longer.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// What is read of an answer, which has a few bytes for each device.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// One word for each device (nmcli(1)).
const QUESTION: [&str; 7] = [
    "-t",
    "-m",
    "tabular",
    "-f",
    "GENERAL.METERED",
    "device",
    "show",
];

/// Whether `command`, which is NetworkManager's `nmcli`, says of a device that it is metered. At most 2 s.
/// A name alone is looked for on the PATH. What cannot be asked, or does not answer by then, says so of none.
pub(crate) async fn is_metered(command: &Path) -> bool {
    let found = match command.is_absolute() {
        true => Some(command.to_owned()),
        false => command.to_str().and_then(command_on_path),
    };
    let Some(command) = found else { return false };
    match timeout(ASK_TIMEOUT, answer(&command)).await {
        Ok(Ok(answer)) => says_metered(&answer),
        Ok(Err(_not_there)) => false,
        Err(_too_late) => false,
    }
}

/// The command is killed when nobody waits for this any more.
async fn answer(command: &Path) -> io::Result<String> {
    let mut child = Command::new(command)
        .args(QUESTION)
        // The words differ by language.
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let mut answer = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        let mut stdout = stdout.take(ANSWER_BYTES_MAX);
        stdout.read_to_end(&mut answer).await?;
    }
    match child.wait().await?.success() {
        true => Ok(String::from_utf8_lossy(&answer).into_owned()),
        false => Err(io::Error::other("the command failed")),
    }
}

fn says_metered(answer: &str) -> bool {
    let mut words = answer.lines().map(|line| line.split_whitespace().next());
    words.any(|word| word == Some("yes"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_metered_where_one_device_says_so_or_it_is_guessed() {
        for (answer, is_metered) in [
            ("yes\n", true),
            ("yes (guessed)\n", true),
            ("no\n\nunknown\n\nyes (guessed)\n", true),
            ("no\n", false),
            ("no (guessed)\n\nunknown\n", false),
            ("unknown\n", false),
            ("yesterday\n", false),
            ("Error: NetworkManager is not running.\n", false),
            ("", false),
        ] {
            assert_eq!(says_metered(answer), is_metered, "{answer:?}");
        }
    }

    #[tokio::test]
    async fn a_command_that_is_not_there_or_fails_says_nothing() {
        assert!(!is_metered(Path::new("/nowhere/at/all/nmcli")).await);
        assert!(!is_metered(Path::new("false")).await);
    }
}
