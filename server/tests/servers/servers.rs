//! A group of servers in a directory of their own, each a process.

use std::net::{SocketAddrV4, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// The group, and what they share. What runs is killed when it goes.
pub struct Group {
    dir: tempfile::TempDir,
    pub fingerprint: afterglow_wire::ids::GroupId,
}

/// One server: its configuration, and its process while it runs.
pub struct Server {
    pub name: &'static str,
    pub control: SocketAddrV4,
    dir: PathBuf,
    pub runtime_dir: PathBuf,
    process: Option<(Child, Lines<BufReader<ChildStdout>>)>,
}

pub fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_afterglow-server"))
}

pub fn free_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.local_addr().expect("its address").port()
}

impl Group {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("group.key"), [7; 32]).expect("written");
        let mode = PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(dir.path().join("group.key"), mode).expect("changed");
        let key = afterglow_wire::trust::GroupKey::from_file_content(&[7; 32]).expect("a key");
        let fingerprint = afterglow_server::init::group_of(&key).expect("a group");
        Group { dir, fingerprint }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Servers that know each other, and run.
    pub async fn start(&self, names: &[&'static str], more: &str) -> Vec<Server> {
        let ports: Vec<u16> = names.iter().map(|_| free_port()).collect();
        let mut servers = Vec::new();
        for (i, name) in names.iter().enumerate() {
            let dir = self.path().join(name);
            std::fs::create_dir(&dir).expect("made");
            let (group_port, control_port) = (ports[i], free_port());
            let others: Vec<String> = ports
                .iter()
                .filter(|port| **port != group_port)
                .map(|port| format!("\"127.0.0.1:{port}\""))
                .collect();
            let first = free_port().min(65_000);
            let text = format!(
                "name = \"{name}\"\ninterfaces = [\"lo\"]\ngroup_port = {group_port}\n\
                 control_port = {control_port}\npeers = [{}]\n\
                 session_ports = \"{first}-{}\"\ngroup_key = \"../group.key\"\n\
                 store = \"sqlite://../store.db\"\nhome_root = \"../homes\"\n\
                 session_program = {:?}\n{}host_every_ms = 200\n{}\n",
                others.join(", "),
                first + 400,
                std::env::current_exe().expect("a program"),
                // No test waits for an X server that it does not ask for.
                if more.contains("warm_x_servers") { "" } else { "warm_x_servers = 0\n" },
                if more.is_empty() { "desktop = [\"stay\"]" } else { more },
            );
            std::fs::write(dir.join("afterglow.toml"), text).expect("written");
            let mut server = Server {
                name,
                control: SocketAddrV4::new([127, 0, 0, 1].into(), control_port),
                runtime_dir: dir.join("run"),
                dir,
                process: None,
            };
            server.start().await;
            servers.push(server);
        }
        servers
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let Ok(servers) = std::fs::read_dir(self.dir.path()) else { return };
        for server in servers.flatten() {
            for pid in keeper_pids(&server.path().join("run")) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
}

fn keeper_pids(runtime_dir: &Path) -> Vec<rustix::process::Pid> {
    let Ok(sessions) = std::fs::read_dir(runtime_dir.join("sessions")) else { return Vec::new() };
    sessions
        .flatten()
        .filter_map(|session| {
            let text = std::fs::read_to_string(session.path().join("pid")).ok()?;
            rustix::process::Pid::from_raw(text.trim().parse().ok()?)
        })
        .collect()
}

impl Server {
    pub async fn start(&mut self) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_path())
            .expect("a log");
        let mut child = program()
            .args(["run", "--log", "debug", "--config"])
            .arg(self.dir.join("afterglow.toml"))
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("it runs");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let ready = lines.next_line().await.expect("a line");
        let ready = ready.unwrap_or_else(|| panic!("not ready:\n{}", self.log()));
        assert!(ready.starts_with(&format!("ready name={} ", self.name)), "{ready}");
        assert!(ready.contains(&format!(" control={} ", self.control)), "{ready}");
        self.process = Some((child, lines));
    }

    fn log_path(&self) -> PathBuf {
        self.dir.join("log")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    pub async fn signal(&mut self, signal: rustix::process::Signal) -> std::process::ExitStatus {
        let (mut child, _) = self.process.take().expect("it runs");
        let pid = child.id().expect("it runs") as i32;
        let pid = rustix::process::Pid::from_raw(pid).expect("a process");
        rustix::process::kill_process(pid, signal).expect("sent");
        child.wait().await.expect("it ends")
    }

    /// SIGKILL to the server process alone.
    pub async fn kill(&mut self) {
        self.signal(rustix::process::Signal::KILL).await;
    }

    /// A signal to each of its sessions.
    pub fn signal_sessions(&self, signal: rustix::process::Signal) {
        for pid in self.keepers() {
            rustix::process::kill_process(pid, signal).expect("sent");
        }
    }

    pub fn keepers(&self) -> Vec<rustix::process::Pid> {
        keeper_pids(&self.runtime_dir)
    }
}
