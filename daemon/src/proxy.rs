//! The front door: the GOPROXY protocol and the checksum database for this host's `go`, over HTTP/1.1 on loopback.
//!
//! What always holds: a request is parsed once, in [`route`], into a [`route::Route`]; nobody behind it looks at a path string
//! again. Every answer says where its body came from (`X-Modmesh-Source`), every refusal is one text/plain line that `go`
//! shows to the user. A browser page is not a local user: foreign hosts, origins and fetch sites are turned away before
//! anything is looked up. A body that fails while it is sent is cut, never completed wrongly.

mod body;
mod gate;
mod handle;
mod outgoing;
mod respond;
mod route;
mod serve;

pub(crate) use gate::DoorKeeper;
pub(crate) use handle::{FrontDoor, Showing};
pub(crate) use route::{Route, parse as parse_route, percent_decoded};
pub(crate) use serve::Listener;
