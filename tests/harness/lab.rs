//! A local network inside this machine: hosts that are network namespaces, on one switch.
//!
//! Host `i` has the address `10.77.0.(i + 1)` on `eth0` and no route to anywhere else, so it can reach its neighbours and
//! nothing more. A lab may have an upstream: one more host behind a second switch, `10.78.0.1`, which only the hosts that
//! are named can reach, on `eth1`. Cutting a host off takes its port from the switch: its link stays up and its packets
//! vanish, as they do when a line is broken further away.
//!
//! Root is needed, or a system that lets users make user namespaces ([`become_able`]). What the system forbids is a value,
//! [`Forbidden`], not a failure. Everything vanishes with the lab, and with the process that made it, however it ends:
//! each namespace is held by a child that reads from a pipe of ours and ends when the pipe does.

use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use crate::place::{Namespace, Place};

/// Hosts on a switch.
#[derive(Debug)]
pub struct Lab {
    hosts: Vec<LabHost>,
    upstream: Option<LabHost>,
    switch: Holder,
}

/// One host: a network namespace with an address.
#[derive(Debug)]
pub struct LabHost {
    place: Place,
    address: Ipv4Addr,
    port: String,
    holder: Holder,
}

/// Why there can be no lab here.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct Forbidden(pub String);

/// A child process that holds a network namespace open.
#[derive(Debug)]
struct Holder {
    child: Child,
    place: Place,
}

/// Makes this process able to build a lab, where the system lets users do that: a process without root starts itself again
/// as the root of a new user namespace. Call it first thing in `main`; where it cannot help it returns, and [`Lab::new`]
/// will say why.
pub fn become_able() {
    const MARK: &str = "MODMESH_LAB_NESTED";
    if rustix::process::geteuid().is_root() || std::env::var_os(MARK).is_some() {
        return;
    }
    let unshare = ["--user", "--map-root-user"];
    let possible = Command::new("unshare")
        .args(unshare)
        .args(["--", "true"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if let (true, Ok(this)) = (possible, std::env::current_exe()) {
        let _ = Command::new("unshare")
            .args(unshare)
            .arg("--")
            .arg(this)
            .args(std::env::args_os().skip(1))
            .env(MARK, "1")
            .exec();
    }
}

impl Lab {
    /// Hosts that reach each other and nothing else.
    ///
    /// # Errors
    /// When this system does not let us make network namespaces.
    pub fn new(hosts: u8) -> Result<Self, Forbidden> {
        Self::build(hosts, None)
    }

    /// Hosts, and an upstream that only the hosts with the given numbers can reach.
    ///
    /// # Errors
    /// As [`Lab::new`].
    pub fn with_upstream(hosts: u8, reached_by: &[u8]) -> Result<Self, Forbidden> {
        Self::build(hosts, Some(reached_by))
    }

    /// Host `number`, counted from 0.
    pub fn host(&self, number: usize) -> &LabHost {
        &self.hosts[number]
    }

    /// The host behind the second switch.
    ///
    /// # Panics
    /// When the lab was made without one.
    pub fn upstream(&self) -> &LabHost {
        self.upstream.as_ref().expect("a lab with an upstream")
    }

    /// Tells every host the hardware addresses of all others. The system keeps one table of them for all namespaces together,
    /// of 1024 entries, and beyond about thirty hosts that all talk to each other packets are lost for want of room; what is
    /// entered by hand does not count. Real hosts have a table each.
    ///
    /// # Errors
    /// As [`Lab::new`].
    pub fn introduce_hosts(&self) -> Result<(), Forbidden> {
        for host in &self.hosts {
            let others = self
                .hosts
                .iter()
                .filter(|other| other.address != host.address);
            let entries = others.map(|other| {
                let (address, mac) = (other.address, mac(other.address));
                format!("neigh replace {address} lladdr {mac} dev eth0 nud permanent\n")
            });
            host.holder.ip(&entries.collect::<String>())?;
        }
        Ok(())
    }

    /// From now on every packet from and to the host vanishes. Nothing is refused, and no link goes down.
    pub fn cut(&self, host: &LabHost) {
        self.switch
            .ip(&format!("link set {} nomaster", host.port))
            .expect("the port of the host");
    }

    /// Puts the host back on its switch.
    pub fn mend(&self, host: &LabHost) {
        let switch = if host.port == "uplink" { "br1" } else { "br0" };
        self.switch
            .ip(&format!("link set {} master {switch}", host.port))
            .expect("the port of the host");
    }

    /// Moves the hosts with these numbers to a switch of their own: they hear each other and the upstream still, and the others not.
    ///
    /// # Panics
    /// When the system refuses; that is no matter of rights, since there is a lab.
    pub fn part(&self, numbers: &[usize]) {
        // It may be there from the last time.
        let _ = self
            .switch
            .ip("link add br2 type bridge mcast_snooping 0\n");
        self.plug_all(numbers, "link set br2 up\n", "br2");
    }

    /// Puts those back that were parted.
    ///
    /// # Panics
    /// As [`Lab::part`].
    pub fn heal(&self, numbers: &[usize]) {
        self.plug_all(numbers, "", "br0");
    }

    fn plug_all(&self, numbers: &[usize], before: &str, bridge: &str) {
        let ports = numbers.iter().map(|number| &self.hosts[*number].port);
        let moves = ports.map(|port| format!("link set {port} master {bridge}\n"));
        let script = format!("{before}{}", moves.collect::<String>());
        self.switch.ip(&script).expect("the ports of the hosts");
    }

    /// Makes `router`, which stands on both switches, carry packets between `host` and the upstream's link.
    ///
    /// # Panics
    /// When the system refuses; that is no matter of rights, since there is a lab.
    pub fn route_through(&self, router: &LabHost, host: &LabHost) {
        let [.., number] = router.address.octets();
        let forwarding = "echo 1 > /proc/sys/net/ipv4/ip_forward";
        let forwards = router.command("sh", &["-c", forwarding]).status();
        assert!(
            forwards.is_ok_and(|status| status.success()),
            "{forwarding}"
        );
        let there = format!("route add 10.78.0.0/24 via {}\n", router.address);
        host.holder.ip(&there).expect("a route to the upstream");
        let back = format!("route add 10.77.0.0/24 via 10.78.0.{}\n", number + 1);
        let upstream = self.upstream();
        upstream
            .holder
            .ip(&back)
            .expect("a route from the upstream");
    }

    fn build(count: u8, reached_by: Option<&[u8]>) -> Result<Self, Forbidden> {
        let switch = Holder::start()?;
        switch.ip(
            "link add br0 type bridge mcast_snooping 0\nlink set br0 up\n\
             link add br1 type bridge mcast_snooping 0\nlink set br1 up\n",
        )?;
        let mut hosts = Vec::new();
        for number in 1..=count {
            let host = LabHost::start(Ipv4Addr::new(10, 77, 0, number), format!("h{number}"))?;
            host.plug(&switch, "eth0", &host.port, "br0", host.address)?;
            host.holder.ip("route add 224.0.0.0/4 dev eth0\n")?;
            hosts.push(host);
        }
        let upstream = match reached_by {
            None => None,
            Some(numbers) => {
                let upstream = LabHost::start(Ipv4Addr::new(10, 78, 0, 1), "uplink".to_owned())?;
                upstream.plug(&switch, "eth0", "uplink", "br1", upstream.address)?;
                for number in numbers {
                    let address = Ipv4Addr::new(10, 78, 0, number + 2);
                    let host = &hosts[usize::from(*number)];
                    host.plug(&switch, "eth1", &format!("u{number}"), "br1", address)?;
                    // A silent line, not "no route to host": the neighbour table never asks.
                    host.holder.ip(&format!(
                        "neigh replace {} lladdr {} dev eth1 nud permanent\n",
                        upstream.address,
                        mac(upstream.address)
                    ))?;
                }
                Some(upstream)
            }
        };
        Ok(Self {
            hosts,
            upstream,
            switch,
        })
    }
}

impl LabHost {
    /// Its address on the switch.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// The place to start servers, clients and processes in.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// A command that runs on this host.
    pub fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = self.place.command(program);
        command.args(arguments);
        command
    }

    fn start(address: Ipv4Addr, port: String) -> Result<Self, Forbidden> {
        let holder = Holder::start()?;
        holder.ip("link set lo up\n")?;
        Ok(Self {
            place: holder.place.clone(),
            address,
            port,
            holder,
        })
    }

    /// Gives the host a network card whose other end is a port of a switch.
    fn plug(
        &self,
        switch: &Holder,
        card: &str,
        port: &str,
        bridge: &str,
        address: Ipv4Addr,
    ) -> Result<(), Forbidden> {
        switch.ip(&format!(
            "link add {port} type veth peer name {card} address {} netns {}\n\
             link set {port} master {bridge}\nlink set {port} up\n",
            mac(address),
            self.holder.child.id(),
        ))?;
        self.holder.ip(&format!(
            "addr add {address}/24 broadcast + dev {card}\nlink set {card} up\n"
        ))
    }
}

impl Holder {
    fn start() -> Result<Self, Forbidden> {
        let mut child = Command::new("unshare")
            .args(["--net", "--", "sh", "-c", "echo here; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| Forbidden(format!("unshare (util-linux) cannot be run: {error}")))?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.as_mut() {
            let _ = BufReader::new(stdout).read_line(&mut line);
        }
        if line != "here\n" {
            let output = child.wait_with_output();
            let reason = output.map_or_else(
                |error| error.to_string(),
                |output| String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            );
            return Err(Forbidden(format!(
                "no network namespace can be made here: {reason}"
            )));
        }
        match Namespace::of_process(child.id()) {
            Ok(namespace) => Ok(Self {
                place: Place::Namespace(Arc::new(namespace)),
                child,
            }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(Forbidden(format!(
                    "the new network namespace cannot be opened: {error}"
                )))
            }
        }
    }

    /// Runs a script of `ip` inside the namespace.
    fn ip(&self, script: &str) -> Result<(), Forbidden> {
        let forbidden = |reason: &str| {
            Forbidden(format!(
                "`ip` (iproute2) cannot set up a network namespace: {reason}"
            ))
        };
        let mut ip = self
            .place
            .command("ip")
            .args(["-batch", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| forbidden(&error.to_string()))?;
        if let Some(mut stdin) = ip.stdin.take() {
            let _ = stdin.write_all(script.as_bytes());
        }
        let output = ip
            .wait_with_output()
            .map_err(|error| forbidden(&error.to_string()))?;
        if output.status.success() {
            Ok(())
        } else {
            let reason = String::from_utf8_lossy(&output.stderr);
            Err(forbidden(&format!("{} in: {script}", reason.trim())))
        }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The hardware address that a card with this address has: locally administered, never on a real network.
fn mac(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("02:4d:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}
