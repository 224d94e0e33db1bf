//! The command as a person meets it: the real binary, with an environment of its own for each story.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

mod asking;
mod host;
mod secret;
mod settings;
mod starting;
#[path = "../../../tests/harness/unheard.rs"]
mod unheard;
mod words;
