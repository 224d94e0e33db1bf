//! Whose daemon is it? Any user of this machine can take a free port of loopback, so what answers there is judged by the
//! owner of the listening socket before anything is believed, and above all before `run` sends a `go` command to it.
//!
//! The choice, with its reasons, is docs/decisions/0008-whose-daemon.md: one's own daemon always; a service of root or of a
//! system user for looking, and for `run` when it is root's or was named; another person's never; where the system does
//! not tell the owner (another platform, a socket in another network namespace) only what was named.

use std::net::SocketAddr;
use std::ops::RangeInclusive;

use modmesh_daemon::{listener_owner, own_user};

const ROOT: u32 = 0;
/// Users of the system: those below the first person of login.defs(5), and those that systemd makes for a service that
/// runs (`DynamicUser=`, systemd.exec(5)). Only root can start something as one of them.
const SYSTEM_USERS: [RangeInclusive<u32>; 2] = [1..=999, 61_184..=65_519];

/// What a daemon is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To be looked at.
    Look,
    /// To have a `go` command sent to it.
    SendGo,
}

/// How the daemon at an address is to be judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judge {
    pub(crate) purpose: Purpose,
    /// Whether the address was named (a flag, a variable, the file) and is not the built-in one.
    pub(crate) is_named: bool,
}

/// Why the daemon is not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotOurs {
    #[error("another user's daemon (user id {0})")]
    AnotherUsers(u32),
    #[error("a daemon of the system (user id {0})")]
    Unnamed(u32),
    #[error("a daemon whose owner this system does not tell")]
    Unknown,
}

impl Judge {
    /// Judges whoever listens at `address`.
    pub(crate) fn admit(self, address: SocketAddr) -> Result<(), NotOurs> {
        self.judge(listener_owner(address), own_user())
    }

    fn judge(self, owner: Option<u32>, us: u32) -> Result<(), NotOurs> {
        let Some(owner) = owner else {
            return match self.is_named {
                true => Ok(()),
                false => Err(NotOurs::Unknown),
            };
        };
        let is_of_system = SYSTEM_USERS.iter().any(|users| users.contains(&owner));
        let looks = self.purpose == Purpose::Look;
        match owner {
            ROOT => Ok(()),
            owner if owner == us => Ok(()),
            // Root may look at everybody's.
            _ if us == ROOT && looks => Ok(()),
            owner if !is_of_system => Err(NotOurs::AnotherUsers(owner)),
            _ if looks || self.is_named => Ok(()),
            owner => Err(NotOurs::Unnamed(owner)),
        }
    }
}

impl NotOurs {
    /// What to do about it, for the daemon at `address`.
    pub(crate) fn remedy(self, address: SocketAddr) -> String {
        match self {
            Self::AnotherUsers(_) => {
                "run your own on another port: `modmesh up --listen 127.0.0.1:PORT`, and give --listen to this command too"
                    .to_owned()
            }
            Self::Unnamed(_) | Self::Unknown => {
                format!("if you mean it, name it: --listen {address}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANNA: u32 = 1000;
    const BOB: u32 = 1001;
    const SERVICE: u32 = 61_300;
    const OVERFLOW: u32 = 65_534;

    #[test]
    fn the_table_of_owners_holds() {
        use Purpose::{Look, SendGo};
        let rows = [
            // Owner, asker: look, look named, run, run named.
            (Some(ANNA), ANNA, [true, true, true, true]),
            (Some(ROOT), ANNA, [true, true, true, true]),
            (Some(SERVICE), ANNA, [true, true, false, true]),
            (Some(33), ANNA, [true, true, false, true]),
            (Some(BOB), ANNA, [false, false, false, false]),
            (Some(OVERFLOW), ANNA, [false, false, false, false]),
            (Some(BOB), ROOT, [true, true, false, false]),
            (Some(SERVICE), ROOT, [true, true, false, true]),
            (None, ANNA, [false, true, false, true]),
        ];
        for (owner, us, expected) in rows {
            let judged = [(Look, false), (Look, true), (SendGo, false), (SendGo, true)]
                .map(|(purpose, is_named)| Judge { purpose, is_named }.judge(owner, us).is_ok());
            assert_eq!(judged, expected, "{owner:?} asked by {us}");
        }
    }
}
