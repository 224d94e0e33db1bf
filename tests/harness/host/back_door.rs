//! A host asked at its back door: the socket in its state folder, by the command and byte by byte.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::{PATIENCE, TestHost, modmesh_binary};
use crate::process;

impl TestHost {
    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.state.join("control.sock")
    }

    /// `modmesh explain OF`, to be changed and run.
    pub fn explain_command(&self, of: &str) -> Command {
        let mut command = self.options.place.command(modmesh_binary());
        command.env_clear().env("HOME", self.home.path());
        command.current_dir(self.home.path());
        command.args(["explain", of, "--state"]).arg(&self.state);
        command
    }

    /// What `modmesh explain OF` says to a person, or how it fails.
    pub fn explained(&self, of: &str) -> process::Output {
        process::run(&mut self.explain_command(of), PATIENCE)
    }

    /// `modmesh explain OF --json`
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn explain(&self, of: &str) -> Value {
        let mut command = self.explain_command(of);
        let output = process::run(command.arg("--json"), PATIENCE).expect_success();
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"))
    }

    /// `modmesh sumdb ..`, to be changed and run.
    pub fn sumdb_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.options.place.command(modmesh_binary());
        command.env_clear().env("HOME", self.home.path());
        command.current_dir(self.home.path());
        command.arg("sumdb").args(arguments);
        command.arg("--state").arg(&self.state);
        command
    }

    /// What `modmesh distrust ..` says, or how it fails.
    pub fn distrust(&self, arguments: &[&str]) -> process::Output {
        let mut command = self.options.place.command(modmesh_binary());
        command.env_clear().env("HOME", self.home.path());
        command.arg("distrust").args(arguments);
        command.arg("--state").arg(&self.state);
        process::run(command.current_dir(self.home.path()), PATIENCE)
    }

    /// What `modmesh sumdb ..` says, or how it fails.
    pub fn sumdb(&self, arguments: &[&str]) -> process::Output {
        process::run(&mut self.sumdb_command(arguments), PATIENCE)
    }

    /// What it knows of one file of a module version.
    ///
    /// # Panics
    /// As [`TestHost::explain`].
    #[track_caller]
    pub fn explain_file(&self, of: &str, kind: &str) -> Value {
        let explanation = self.explain(of);
        let files = explanation["files"].as_array().cloned().unwrap_or_default();
        let file = files.into_iter().find(|file| file["kind"] == kind);
        file.unwrap_or_else(|| panic!("no {kind} in {explanation:#}"))
    }

    /// Sends these bytes to the socket and reads until it is closed.
    ///
    /// # Panics
    /// When nobody listens there, or it is not closed within 30 s.
    #[track_caller]
    pub fn at_back_door(&self, request: &str) -> String {
        let mut stream = UnixStream::connect(self.socket()).expect("the socket of the host");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        // What was sent and not read makes the end a reset; what came before it counts.
        if let Err(error) = stream.read_to_end(&mut answer) {
            let is_cut = error.kind() == std::io::ErrorKind::ConnectionReset;
            assert!(is_cut, "the socket of the host: {error}");
        }
        String::from_utf8_lossy(&answer).into_owned()
    }
}
