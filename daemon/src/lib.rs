//! The modmesh daemon as a library: every host runs one, and it is that host's GOPROXY.
//!
//! This file names the rooms; `start` wires them and is the only place that does. A request comes in by `proxy`, walks the
//! corridor `fetch`, which asks the `store`, the neighbours in [`peers`] and the road to town in [`upstream`], and passes
//! the gate in `trust`, which believes the checksum database mirrored in `log` and nobody else. The map with the reasons
//! is `docs/architecture.md`; the life of one request is `docs/request.md`.

pub mod config;
mod control;
mod fetch;
mod flight;
mod lately;
mod log;
mod manners;
mod metrics;
mod os;
pub mod peers;
mod policy;
mod proxy;
mod seldom;
mod shutdown;
mod start;
mod state;
mod store;
mod trust;
pub mod upstream;
mod wiring;

pub use config::Config;
pub use os::{can_listen, listener_owner, own_user};
pub use peers::{check_peer_address, check_peer_name};
pub use start::{Daemon, Event, Running, StartError};
pub use state::StateError;
