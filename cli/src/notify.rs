//! What `modmesh up` tells the service manager that started it (sd_notify(3)): it serves, it is alive, it ends.
//!
//! The manager names a datagram socket in NOTIFY_SOCKET: a path, or an abstract name after `@`. Each message is one
//! datagram of lines. Without the variable nothing is said to anybody. Nothing here ever fails the daemon: a manager that
//! cannot be reached is a line in the log.

use std::time::Duration;

/// The variables by which a manager names itself; they are for the process it started, and for no other.
pub(crate) const VARIABLES: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];
/// Pings come so many times as often as the manager asks for, as sd_watchdog_enabled(3) advises.
const PINGS_IN_INTERVAL: u32 = 2;
/// No manager means to be pinged more often.
const PING_EVERY_MIN: Duration = Duration::from_millis(10);

/// The way to the service manager; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Manager {
    line: Option<std::sync::Arc<line::Line>>,
    ping_every: Option<Duration>,
}

impl Manager {
    /// The one that the environment names, if any.
    pub(crate) fn of_environment() -> Self {
        let text = |name: &str| std::env::var(name).ok();
        let line = std::env::var_os("NOTIFY_SOCKET").and_then(|name| match line::Line::to(&name) {
            Ok(line) => Some(std::sync::Arc::new(line)),
            Err(error) => {
                tracing::warn!(socket = %name.display(), %error, "the service manager cannot be told anything");
                None
            }
        });
        let interval = interval(
            text("WATCHDOG_USEC").as_deref(),
            text("WATCHDOG_PID").as_deref(),
            std::process::id(),
        );
        Self {
            ping_every: line.as_ref().and(interval),
            line,
        }
    }

    /// It serves from now on. `status` is for people, one line.
    pub(crate) fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={}", crate::output::plain(status)));
    }

    /// It ends.
    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=ending");
    }

    /// Tells of life as often as the manager asked for; a runtime that is stuck does not.
    pub(crate) async fn keep_telling(self) {
        let Some(every) = self.ping_every else {
            return;
        };
        loop {
            self.tell("WATCHDOG=1");
            tokio::time::sleep(every).await;
        }
    }

    fn tell(&self, message: &str) {
        let Some(line) = &self.line else { return };
        if let Err(error) = line.send(message) {
            tracing::warn!(%error, "the service manager was not told: {message}");
        }
    }
}

/// How often to ping, when this process is the one that is to.
fn interval(microseconds: Option<&str>, pid: Option<&str>, own_pid: u32) -> Option<Duration> {
    let is_for_us = pid.is_none_or(|pid| pid.trim().parse() == Ok(own_pid));
    let asked = Duration::from_micros(microseconds?.trim().parse().ok()?);
    let every = (asked / PINGS_IN_INTERVAL).max(PING_EVERY_MIN);
    (is_for_us && !asked.is_zero()).then_some(every)
}

#[cfg(unix)]
mod line {
    //! The datagram socket.

    use std::ffi::OsStr;
    use std::io;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    #[derive(Debug)]
    pub(super) struct Line {
        socket: UnixDatagram,
        manager: SocketAddr,
    }

    impl Line {
        /// A line to the socket with this name. Nothing is sent yet.
        pub(super) fn to(name: &OsStr) -> io::Result<Self> {
            let manager = match name.as_bytes() {
                [b'@', name @ ..] => abstract_address(name)?,
                [b'/', ..] => SocketAddr::from_pathname(name)?,
                _ => return Err(unknown()),
            };
            let socket = UnixDatagram::unbound()?;
            // A manager that does not read must not hold the daemon.
            socket.set_nonblocking(true)?;
            Ok(Self { socket, manager })
        }

        pub(super) fn send(&self, message: &str) -> io::Result<()> {
            let sent = self.socket.send_to_addr(message.as_bytes(), &self.manager);
            sent.map(|_| ())
        }
    }

    #[cfg(target_os = "linux")]
    fn abstract_address(name: &[u8]) -> io::Result<SocketAddr> {
        use std::os::linux::net::SocketAddrExt as _;
        SocketAddr::from_abstract_name(name)
    }

    #[cfg(not(target_os = "linux"))]
    fn abstract_address(_name: &[u8]) -> io::Result<SocketAddr> {
        Err(unknown())
    }

    fn unknown() -> io::Error {
        let reason = "neither a path nor the name of an abstract socket";
        io::Error::new(io::ErrorKind::Unsupported, reason)
    }
}

#[cfg(not(unix))]
mod line {
    //! No manager speaks this here.

    use std::ffi::OsStr;
    use std::io;

    #[derive(Debug)]
    pub(super) struct Line;

    impl Line {
        pub(super) fn to(_name: &OsStr) -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(super) fn send(&self, _message: &str) -> io::Result<()> {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watchdog_is_pinged_twice_in_its_interval_by_the_process_it_means() {
        let ms = Duration::from_millis;
        for (microseconds, pid, every) in [
            (Some("30000000"), Some("7"), Some(ms(15_000))),
            (Some("30000000"), None, Some(ms(15_000))),
            (Some("1"), None, Some(ms(10))),
            (Some("30000000"), Some("8"), None),
            (Some("30000000"), Some("x"), None),
            (Some("0"), None, None),
            (Some("-1"), None, None),
            (Some("18446744073709551616"), None, None),
            (None, None, None),
        ] {
            assert_eq!(
                interval(microseconds, pid, 7),
                every,
                "{microseconds:?} {pid:?}"
            );
        }
    }
}
