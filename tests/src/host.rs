//! One host: its server, its sessions, and how it dies.

use crate::events::now_us;
use crate::netns::lan::Node;
use crate::ports::Ports;
use crate::process::{HOST_MARK, Process, kill, kill_marked, processes_like, signal_marked};
use crate::session::{SessionDesktop, identity};
use crate::{programs, wait};
use afterglow_wire::ids::{Epoch, SessionId};
use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The ports of a host on a network of its own.
const CONTROL_PORT: u16 = 7010;
const GROUP_PORT: u16 = 7009;

/// Where a host is.
pub enum Place {
    /// On this machine's loopback interface, at ports of its own; all of its
    /// group are listed in its configuration.
    Loopback(Ports),
    /// On networks of its own, at the usual ports; it finds its group itself.
    Network(Arc<Node>),
}

/// One host; every process of it ends when this is dropped.
pub struct Host {
    name: String,
    directory: PathBuf,
    place: Place,
    mark: String,
    server: Option<Process>,
    search_path: Option<OsString>,
}

impl Host {
    /// A host whose server is not started yet.
    pub fn new(name: &str, directory: PathBuf, place: Place) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let mark = format!("{name}-{}-{number}", std::process::id());
        Host { name: name.to_owned(), directory, place, mark, server: None, search_path: None }
    }

    /// Lets its server and sessions find programs in these directories only,
    /// as PATH has them.
    pub fn set_search_path(&mut self, directories: impl Into<OsString>) {
        self.search_path = Some(directories.into());
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it takes DTUs.
    pub fn control_address(&self) -> SocketAddrV4 {
        let port = match &self.place {
            Place::Loopback(ports) => ports.control(),
            Place::Network(_) => CONTROL_PORT,
        };
        SocketAddrV4::new(self.address(), port)
    }

    /// Where it hears the group.
    pub fn group_address(&self) -> SocketAddrV4 {
        let port = match &self.place {
            Place::Loopback(ports) => ports.group(),
            Place::Network(_) => GROUP_PORT,
        };
        SocketAddrV4::new(self.address(), port)
    }

    /// Its first address.
    pub fn address(&self) -> Ipv4Addr {
        match &self.place {
            Place::Loopback(_) => Ipv4Addr::LOCALHOST,
            Place::Network(node) => node.first().address,
        }
    }

    /// Its place in the network, if it has one of its own.
    pub fn node(&self) -> Result<&Arc<Node>> {
        match &self.place {
            Place::Loopback(_) => bail!("{} is on the loopback interface", self.name),
            Place::Network(node) => Ok(node),
        }
    }

    /// The command, run where the host is.
    fn at_place(&self, command: Command) -> Command {
        match &self.place {
            Place::Loopback(_) => command,
            Place::Network(node) => node.namespace().inside(&command),
        }
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.directory.join("afterglow.toml")
    }

    /// Writes its configuration. On loopback its peers are listed; on a
    /// network of its own only the key and the store are told.
    pub fn write_config(
        &self,
        shared: &Path,
        peers: &[u16],
        desktop: &[&str],
        more: &str,
    ) -> Result<()> {
        let quoted = |words: Vec<String>| {
            words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ")
        };
        let shared = shared.display();
        let mut text = String::new();
        writeln!(text, "name = {:?}", self.name)?;
        if let Place::Loopback(ports) = &self.place {
            let peers = peers.iter().filter(|port| **port != ports.group());
            let peers = peers.map(|port| format!("127.0.0.1:{port}")).collect();
            writeln!(text, "listen = \"127.0.0.1\"")?;
            writeln!(text, "advertise = \"127.0.0.1\"")?;
            writeln!(text, "interfaces = [\"lo\"]")?;
            writeln!(text, "control_port = {}", ports.control())?;
            writeln!(text, "group_port = {}", ports.group())?;
            writeln!(text, "session_ports = {:?}", ports.sessions())?;
            writeln!(text, "peers = [{}]", quoted(peers))?;
        }
        writeln!(text, "group_key = \"{shared}/group.key\"")?;
        if !more.contains("store = ") {
            writeln!(text, "store = \"sqlite://{shared}/store.db\"")?;
        }
        writeln!(text, "home_root = \"{shared}/home\"")?;
        writeln!(text, "runtime_dir = \"{}/run\"", self.directory.display())?;
        let desktop = desktop.iter().map(|word| (*word).to_owned()).collect();
        writeln!(text, "desktop = [{}]", quoted(desktop))?;
        text.push_str(more);
        std::fs::write(self.config(), text).context("the configuration")
    }

    /// Starts its server, and waits until it takes DTUs.
    pub fn start_server(&mut self) -> Result<()> {
        let mut command = programs::secluded(programs::path("afterglow-server")?);
        command.arg("run").arg("--config").arg(self.config());
        command.env(HOST_MARK, &self.mark).env("HOME", &self.directory);
        if std::env::var_os("RUST_LOG").is_none() {
            command.env("RUST_LOG", "info");
        }
        if let Some(directories) = &self.search_path {
            command.env("PATH", directories);
        }
        let log = self.directory.join("server.log");
        let mut command = self.at_place(command);
        let mut server = Process::spawn("afterglow-server", &mut command, &log)?;
        let (pid, port) = (server.pid(), self.control_address().port());
        wait::until_true(&format!("{}'s server listens", self.name), || {
            server.check()?;
            udp_port_is_bound(pid, port)
        })?;
        self.server = Some(server);
        Ok(())
    }

    /// Starts a program of the host's own system, which may mount and which
    /// ends with the host; the host has a network of its own.
    pub fn spawn_as_root(&self, name: &str, command: &Command, log: &Path) -> Result<Process> {
        let mut command = self.node()?.namespace().inside_as_root(command);
        command.env(HOST_MARK, &self.mark);
        Process::spawn(name, &mut command, log)
    }

    /// True if its server runs.
    pub fn server_runs(&mut self) -> Result<bool> {
        Ok(match &mut self.server {
            None => false,
            Some(server) => server.ended()?.is_none(),
        })
    }

    /// Kills its server, and nothing else (SIGKILL).
    pub fn kill_server(&mut self) -> Result<()> {
        let mut server = self.server.take().context("its server runs")?;
        server.kill();
        Ok(())
    }

    /// Ends its server in good order (SIGTERM).
    pub fn stop_server(&mut self) -> Result<()> {
        let mut server = self.server.take().context("its server runs")?;
        server.signal(Signal::TERM)?;
        let status = server.wait_end(wait::PATIENCE)?;
        if !status.success() {
            bail!("the server ended with {status}:\n{}", server.log_text());
        }
        Ok(())
    }

    /// What its server wrote to its log so far.
    pub fn server_log(&self) -> String {
        let bytes = std::fs::read(self.directory.join("server.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until its server has logged these words.
    pub fn wait_log(&self, words: &str) -> Result<()> {
        let what = format!("{}'s server says {words:?}", self.name);
        wait::until_true(&what, || Ok(self.server_log().contains(words)))
            .with_context(|| format!("it said:\n{}", self.server_log()))
    }

    /// The group as its server sees it: `afterglowctl topology --json`.
    pub fn topology(&self) -> Result<serde_json::Value> {
        Ok(serde_json::from_slice(&self.administer(&["topology", "--json"])?)?)
    }

    /// What `afterglowctl` answers its administrator.
    pub fn administer(&self, words: &[&str]) -> Result<Vec<u8>> {
        let mut command = programs::secluded(programs::path("afterglowctl")?);
        command.arg("--config").arg(self.config()).args(words);
        let output = command.output().context("afterglowctl")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "afterglowctl failed: {said}");
        Ok(output.stdout)
    }

    /// Its server's process id.
    pub fn server_pid(&self) -> Result<u32> {
        Ok(self.server.as_ref().context("its server runs")?.pid())
    }

    /// A power cut: SIGKILL to everything of this host, sessions and all.
    pub fn kill(&mut self) -> Result<usize> {
        let killed = kill_marked(&self.mark)?;
        self.server = None;
        Ok(killed)
    }

    /// Likewise, within a millisecond or so; gives when, by CLOCK_MONOTONIC,
    /// just before the first signal.
    pub fn kill_at_once(&mut self) -> Result<u64> {
        let pids = self.processes()?.into_iter();
        let pids: Vec<_> = pids.filter_map(|(pid, _)| Pid::from_raw(pid as i32)).collect();
        let killed_us = now_us();
        for pid in pids {
            // It may have ended meanwhile.
            let _ = kill_process(pid, Signal::KILL);
        }
        // Whatever was started meanwhile, and what is known of it here.
        self.kill()?;
        Ok(killed_us)
    }

    /// Kills what sends pictures: its session's worker, and that of an X server
    /// that waits for one.
    pub fn kill_workers(&self) -> Result<()> {
        let workers = processes_like(self, "afterglow-session worker")?;
        if workers.is_empty() {
            bail!("{} has no worker", self.name);
        }
        workers.into_iter().try_for_each(kill)
    }

    /// Everything of this host stands still: nobody hears of it any more.
    pub fn stall(&self) -> Result<usize> {
        signal_marked(&self.mark, Signal::STOP)
    }

    /// It goes on, and knows nothing of the time in between.
    pub fn go_on(&self) -> Result<usize> {
        signal_marked(&self.mark, Signal::CONT)
    }

    /// Every process of this host: its id and its command line.
    pub fn processes(&self) -> Result<Vec<(u32, String)>> {
        let processes = crate::process::marked(&self.mark)?.into_iter();
        Ok(processes.map(|(pid, line)| (pid.as_raw_nonzero().get() as u32, line)).collect())
    }

    /// The directories of its sessions; what waits for a session is none.
    pub fn session_directories(&self) -> Result<Vec<PathBuf>> {
        let sessions = self.directory.join("run/sessions");
        if !sessions.exists() {
            return Ok(Vec::new());
        }
        let all = std::fs::read_dir(sessions)?.flatten().map(|entry| entry.path());
        Ok(all.filter(|directory| identity(directory).is_some()).collect())
    }

    /// The directory of this copy of a session, if it runs here.
    pub fn directory_of(&self, copy: (SessionId, Epoch)) -> Result<Option<PathBuf>> {
        let mut all = self.session_directories()?.into_iter();
        Ok(all.find(|directory| identity(directory) == Some(copy)))
    }

    /// The X server of its only session, as soon as it is there.
    pub fn only_session(&self) -> Result<SessionDesktop> {
        let what = format!("{} hosts a session", self.name);
        let root = match &self.place {
            Place::Loopback(_) => PathBuf::from("/"),
            Place::Network(node) => node.namespace().root(),
        };
        wait::until(&what, wait::PATIENCE, || {
            let directories = self.session_directories()?;
            match directories.iter().find(|directory| directory.join("display").exists()) {
                Some(directory) => Ok(SessionDesktop::open(&root, directory).ok()),
                None => Ok(None),
            }
        })
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Nothing can be done about a process that cannot be killed.
        let _ = self.kill();
    }
}

/// True if somebody in this process's network has bound this UDP port (of any
/// address).
fn udp_port_is_bound(pid: u32, port: u16) -> Result<bool> {
    let sockets = std::fs::read_to_string(format!("/proc/{pid}/net/udp")).context("procfs")?;
    let wanted = format!(":{port:04X}");
    Ok(sockets
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().nth(1))
        .any(|local| local.ends_with(&wanted)))
}
