//! Where a part of a test stands: in the network of the test itself, or in the namespace of a host of the lab.
//!
//! A process is put into a namespace with `nsenter`; a thread moves there by itself and stays for good, which is why
//! [`Place::enter`] belongs at the head of a thread that was made for it.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network to stand in.
#[derive(Debug, Clone, Default)]
pub enum Place {
    /// The network that the test runs in.
    #[default]
    Here,
    /// The network of another process.
    Namespace(Arc<Namespace>),
}

/// A network namespace, kept open.
#[derive(Debug)]
pub struct Namespace {
    path: String,
    handle: File,
}

impl Namespace {
    /// The network namespace of a process.
    ///
    /// # Errors
    /// When there is no such process, or its namespace cannot be opened.
    pub fn of_process(pid: u32) -> io::Result<Self> {
        let path = format!("/proc/{pid}/ns/net");
        let handle = File::open(&path)?;
        Ok(Self { path, handle })
    }
}

impl Place {
    /// A command that will run in this place.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        match self {
            Place::Here => Command::new(program),
            Place::Namespace(namespace) => {
                let mut command = Command::new("nsenter");
                command.arg(format!("--net={}", namespace.path));
                command.arg("--").arg(program);
                command
            }
        }
    }

    /// Moves the calling thread into this place, for the rest of its life.
    ///
    /// # Errors
    /// When the system does not allow it.
    pub fn enter(&self) -> io::Result<()> {
        match self {
            Place::Here => Ok(()),
            Place::Namespace(namespace) => move_into_link_name_space(
                namespace.handle.as_fd(),
                Some(LinkNameSpaceType::Network),
            )
            .map_err(io::Error::from),
        }
    }

    /// Runs `work` on a thread that stands in this place.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let place = self.clone();
        std::thread::spawn(move || {
            place
                .enter()
                .expect("the thread cannot enter its namespace");
            work()
        })
    }

    /// Runs `work` in this place and waits for it; a panic inside goes on outside.
    pub fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        match self.spawn(work).join() {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}
