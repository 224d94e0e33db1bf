//! Warm, against nginx: the same files served by a web server that does nothing else.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use harness::Unheard;
use tempfile::TempDir;

/// An nginx of one worker that serves a folder on a free port of loopback.
pub(crate) struct Nginx {
    child: Child,
    address: SocketAddr,
    /// Keeps the port for it.
    _unheard: Unheard,
    _folder: TempDir,
}

impl Nginx {
    /// Serves `root`. Nothing where there is no nginx.
    pub(crate) fn serving(root: &Path) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let unheard = Unheard::new();
        let address = unheard.address();
        let (here, root) = (folder.path().display(), root.display());
        let configuration = format!(
            "daemon off; worker_processes 2; pid {here}/pid; error_log stderr;\n\
             events {{ worker_connections 1024; }}\n\
             http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000;\n\
             client_body_temp_path {here}/body; proxy_temp_path {here}/proxy; fastcgi_temp_path {here}/fastcgi;\n\
             uwsgi_temp_path {here}/uwsgi; scgi_temp_path {here}/scgi;\n\
             server {{ listen {address}; root {root}; }} }}\n"
        );
        let file = folder.path().join("nginx.conf");
        fs::write(&file, configuration).expect("its configuration");
        let mut command = Command::new("nginx");
        command.args(["-p", "/", "-e", "stderr", "-c"]).arg(&file);
        if rustix::process::geteuid().is_root() {
            command.args(["-g", "user root;"]);
        }
        let child = command.stderr(Stdio::null()).spawn().ok()?;
        let nginx = Self {
            child,
            address,
            _unheard: unheard,
            _folder: folder,
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(&nginx.address).is_err() {
            assert!(Instant::now() < deadline, "nginx does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(nginx)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// CPU seconds of its workers.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let tasks = format!("/proc/{0}/task/{0}/children", self.child.id());
        let children = fs::read_to_string(tasks).unwrap_or_default();
        children.split_whitespace().filter_map(cpu_seconds).sum()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        harness::process::signal(&self.child, rustix::process::Signal::QUIT);
        let _ = self.child.wait();
    }
}

/// From `/proc/PID/stat`: user and system time, fields 14 and 15.
fn cpu_seconds(pid: &str) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks = fields.split_whitespace().skip(11).take(2);
    Some(
        ticks
            .filter_map(|ticks| ticks.parse::<f64>().ok())
            .sum::<f64>()
            / 100.0,
    )
}
