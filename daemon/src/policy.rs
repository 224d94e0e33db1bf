//! Who may have what. One pure function, asked before anything is looked up.
//!
//! Private patterns and the toolchain rule are here now; freezing, cooling down, allowing and denying come later.

use modmesh_protocol::module::{ModulePath, Patterns};

/// The module of Go's own toolchains; `go` insists on the checksum database for it whatever its settings.
const TOOLCHAIN_MODULE: &str = "golang.org/toolchain";

/// Whoever asks. Finding out who it is costs something, so it is asked only where it matters.
pub(crate) trait Client: Sync {
    /// Whether it is a process of the daemon's own user on this machine; false when nobody can tell.
    fn is_own_user(&self) -> bool;
}

/// For whom work is done. What is got with the owner's own access is the owner's alone, so nobody else's request starts
/// or shares such work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Asker {
    /// The user who runs the daemon.
    Owner,
    /// Anybody who came through the door.
    Anybody,
}

impl Asker {
    /// Who `client` is.
    pub(crate) fn of(client: &dyn Client) -> Self {
        if client.is_own_user() {
            Self::Owner
        } else {
            Self::Anybody
        }
    }
}

/// How a module is to be treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Treatment {
    /// The checksum database judges it; neighbours may be asked for it.
    Judged,
    /// A Go toolchain: the checksum database judges it even where it is off for modules.
    Toolchain,
    /// Matches a private pattern: neither the database nor any neighbour hears its name.
    Private,
    /// The checksum database is off.
    Unjudged,
}

impl Treatment {
    /// Whether neighbours may be asked: what the database judges can be proved, and is no secret.
    pub(crate) fn asks_neighbours(self) -> bool {
        matches!(self, Self::Judged | Self::Toolchain)
    }
}

/// Why a client may not have something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// Unlisted and pending content belongs to the daemon's own user.
    #[error(
        "this module is not in the checksum database, so only the user who runs the modmesh daemon may have it; run a daemon of your own with `modmesh up`"
    )]
    Unlisted,
    /// The same, where the settings say that nothing is judged.
    #[error(
        "the checksum database is off at this modmesh daemon, so nothing is proved, and only the user who runs the modmesh daemon may have it; run a daemon of your own with `modmesh up`"
    )]
    Unjudged,
    /// The same, where a private pattern matches.
    #[error(
        "this module matches a private pattern of this modmesh daemon, so only the user who runs the modmesh daemon may have it; run a daemon of your own with `modmesh up`"
    )]
    Private,
    /// The same, while nobody can tell whether it is listed.
    #[error(
        "the checksum database could not be asked about this module, and until then only the user who runs the modmesh daemon may have it; try again, or run a daemon of your own with `modmesh up`"
    )]
    Pending,
}

/// The rules of this host.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    private: Patterns,
    database_judges: bool,
}

impl Policy {
    /// Rules with these private patterns; `database_judges` is false when the checksum database is `off`.
    pub(crate) fn new(private: Patterns, database_judges: bool) -> Self {
        Self {
            private,
            database_judges,
        }
    }

    /// How `module` is to be treated.
    pub(crate) fn treatment(&self, module: &ModulePath) -> Treatment {
        if module.as_str() == TOOLCHAIN_MODULE {
            Treatment::Toolchain
        } else if self.private.matches(module) {
            Treatment::Private
        } else if self.database_judges {
            Treatment::Judged
        } else {
            Treatment::Unjudged
        }
    }

    /// Whether `client` may have content of a module that is treated so, for which the checksum database does not vouch.
    pub(crate) fn may_have_unproven(
        &self,
        client: &dyn Client,
        treatment: Treatment,
    ) -> Result<(), Refusal> {
        if client.is_own_user() {
            return Ok(());
        }
        Err(match treatment {
            Treatment::Judged | Treatment::Toolchain => Refusal::Unlisted,
            Treatment::Unjudged => Refusal::Unjudged,
            Treatment::Private => Refusal::Private,
        })
    }

    /// Whether `client` may have content that the checksum database could not be asked about.
    pub(crate) fn may_have_pending(&self, client: &dyn Client) -> Result<(), Refusal> {
        match client.is_own_user() {
            true => Ok(()),
            false => Err(Refusal::Pending),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    struct Somebody {
        is_own_user: bool,
    }

    impl Client for Somebody {
        fn is_own_user(&self) -> bool {
            self.is_own_user
        }
    }

    #[test]
    fn another_user_is_told_the_true_reason() {
        let policy = Policy::new(Patterns::parse("").unwrap(), true);
        let [own, other] = [true, false].map(|is_own_user| Somebody { is_own_user });
        for (treatment, word) in [
            (Treatment::Judged, "is not in the checksum database"),
            (Treatment::Toolchain, "is not in the checksum database"),
            (Treatment::Unjudged, "database is off"),
            (Treatment::Private, "private pattern"),
        ] {
            assert_eq!(policy.may_have_unproven(&own, treatment), Ok(()));
            let refusal = policy.may_have_unproven(&other, treatment).unwrap_err();
            assert!(refusal.to_string().contains(word), "{refusal}");
        }
    }

    #[test]
    fn a_module_is_treated_by_its_path_and_the_settings() {
        let path = |text| ModulePath::parse(text).unwrap();
        let private = Patterns::parse("*.corp.example,golang.org").unwrap();
        for (database_judges, module, treatment) in [
            (true, "github.com/a/b", Treatment::Judged),
            (false, "github.com/a/b", Treatment::Unjudged),
            (true, "git.corp.example/x", Treatment::Private),
            (false, "git.corp.example/x", Treatment::Private),
            (true, "golang.org/x/text", Treatment::Private),
            (true, "golang.org/toolchain", Treatment::Toolchain),
            (false, "golang.org/toolchain", Treatment::Toolchain),
        ] {
            let policy = Policy::new(private.clone(), database_judges);
            assert_eq!(policy.treatment(&path(module)), treatment, "{module}");
        }
    }
}
