//! Why a call failed, as a lowercase fragment for a person.
//!
//! The network library wraps the system's errors in others of its own, some of which say nothing; what is told is the text
//! nearest to the cause.

use std::error::Error;
use std::io;

use libp2p::core::transport::TransportError;
use libp2p::swarm::DialError;

/// The reason alone; of several addresses the last one's is enough.
pub(super) fn of(error: &DialError) -> String {
    match error {
        DialError::Transport(tried) => match tried.last() {
            Some((_, error)) => innermost(error),
            None => "no address could be tried".to_owned(),
        },
        DialError::WrongPeerId { obtained, .. } => {
            format!("another host answers there: {obtained}")
        }
        other => other.to_string().to_lowercase(),
    }
}

/// The reason, with the address where it happened.
pub(super) fn with_address(error: &DialError) -> String {
    let address = match error {
        DialError::Transport(tried) => tried.last().map(|(address, _)| address),
        DialError::WrongPeerId { address, .. } => Some(address),
        _ => None,
    };
    match address {
        Some(address) => format!("cannot connect to {address}: {}", of(error)),
        None => of(error),
    }
}

fn innermost(error: &TransportError<io::Error>) -> String {
    let mut cause: Option<&dyn Error> = match error {
        TransportError::Other(error) => Some(error),
        TransportError::MultiaddrNotSupported(_) => Some(error),
    };
    let mut text = String::new();
    while let Some(error) = cause {
        let said = error.to_string();
        if !said.is_empty() {
            text = said;
        }
        cause = next(error);
    }
    // The number of the system's error is of no use to a person.
    match text.split(" (os error").next() {
        None | Some("") => "no reason was told".to_owned(),
        Some(text) => text.to_lowercase(),
    }
}

/// What `error` wraps. An error of the system that wraps another one speaks as that one, and skips it as its source.
fn next<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let wrapped = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    match wrapped {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_told_through_all_wrappings() {
        let refused = io::Error::from_raw_os_error(rustix::io::Errno::CONNREFUSED.raw_os_error());
        let wrapped = io::Error::other(TransportError::Other(io::Error::other(refused)));
        let address = "/ip4/127.0.0.1/tcp/9";
        let error = DialError::Transport(vec![(
            address.parse().unwrap(),
            TransportError::Other(wrapped),
        )]);
        assert_eq!(of(&error), "connection refused");
        let expected = format!("cannot connect to {address}: connection refused");
        assert_eq!(with_address(&error), expected);
    }
}
