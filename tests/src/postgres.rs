//! A PostgreSQL of the test's own: Debian's, on a port of its own, with a
//! random password, as a user of its own.
//!
//! The programs are installed, or unpacked under `target/postgres` by the
//! set-up; nothing of a PostgreSQL that runs on the machine is touched.
//! PostgreSQL refuses to be root. Where we are, it runs in a user namespace in
//! which we are `nobody`, so that its files stay ours and may lie anywhere;
//! where there is no such thing, as the real `nobody`.

use crate::ports::Ports;
use crate::process::Process;
use crate::{programs, wait};
use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The database's administrator.
const USER: &str = "afterglow";
/// Debian's `nobody` and `nogroup`.
const NOBODY: u32 = 65_534;
/// How long an orderly end may take.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);

/// A PostgreSQL; it ends when this is dropped, its files stay.
#[derive(Debug)]
pub struct Postgres {
    /// What it knows, its settings, and its log.
    directory: PathBuf,
    /// The addresses at which it listens, as PostgreSQL writes them.
    listen: String,
    port: u16,
    password: String,
    runner: Runner,
    process: Option<Process>,
    /// What kept its port for it, if it chose one.
    _ports: Option<Ports>,
}

/// How a program comes to be somebody who is not root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Runner {
    /// We are not root.
    Ourselves,
    /// In a user namespace.
    Namespace,
    /// By changing the user.
    Nobody,
}

impl Postgres {
    /// Starts a new one on this host's loopback, with its files in
    /// `directory/postgres`.
    pub fn start(directory: &Path) -> Result<Self> {
        let ports = Ports::take()?;
        let mut postgres = Postgres::prepare(directory, "127.0.0.1", ports.group())?;
        postgres._ports = Some(ports);
        postgres.start_again()?;
        Ok(postgres)
    }

    /// Makes a new one that is not started, to listen at these addresses
    /// (`*`: at all). Who has a place of its own to run it in takes
    /// [`Self::command`]; it is ready when [`Self::ready_command`] succeeds.
    pub fn prepare(directory: &Path, listen: &str, port: u16) -> Result<Self> {
        let postgres = Postgres::at(directory, "postgres", listen, port, random_password()?)?;
        let password = postgres.directory.join("password");
        std::fs::write(&password, &postgres.password)?;
        postgres.give_away(&password)?;
        let mut initdb = postgres.program("initdb")?;
        initdb
            .args(["--username", USER, "--auth", "scram-sha-256", "--pwfile"])
            .arg(&password)
            .args(["--encoding", "UTF8", "--locale", "C", "--no-sync", "-D"])
            .arg(postgres.data());
        run(&mut initdb)?;
        // Servers and standbys may come from other addresses.
        let rules = "host all all all scram-sha-256\nhost replication all all scram-sha-256\n";
        let path = postgres.data().join("pg_hba.conf");
        let text = std::fs::read_to_string(&path).context("what initdb wrote")?;
        std::fs::write(&path, text + rules)?;
        Ok(postgres)
    }

    /// A standby of this one, which runs, with its files in `directory/NAME`
    /// and a port of its own. It is started, and follows.
    pub fn standby(&self, directory: &Path, name: &str) -> Result<Self> {
        let ports = Ports::take()?;
        let (mut standby, mut backup) = self.prepare_standby(directory, name, ports.group())?;
        standby._ports = Some(ports);
        run(&mut backup)?;
        standby.start_again()?;
        Ok(standby)
    }

    /// Likewise, but not started. It begins with what the command copies from
    /// this one.
    pub fn prepare_standby(
        &self,
        directory: &Path,
        name: &str,
        port: u16,
    ) -> Result<(Self, Command)> {
        let standby = Postgres::at(directory, name, &self.listen, port, self.password.clone())?;
        let mut backup = self.client("pg_basebackup")?;
        backup.args(["--checkpoint", "fast", "--no-sync", "-R", "-X", "stream", "-D"]);
        backup.arg(standby.data());
        Ok((standby, backup))
    }

    /// From its next start on it listens where another did.
    pub fn take_port_of(&mut self, other: &Postgres) {
        self.port = other.port;
    }

    fn at(directory: &Path, name: &str, listen: &str, port: u16, password: String) -> Result<Self> {
        let runner = Runner::choose()?;
        let own = directory.join(name);
        std::fs::create_dir_all(&own).with_context(|| format!("cannot make {}", own.display()))?;
        let postgres = Postgres {
            directory: own,
            listen: listen.to_owned(),
            port,
            password,
            runner,
            process: None,
            _ports: None,
        };
        postgres.give_away(&postgres.directory)?;
        if runner == Runner::Nobody {
            // It has to get there.
            std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o711))?;
        }
        Ok(postgres)
    }

    /// Where servers find it, on its first address.
    pub fn url(&self) -> String {
        self.url_at(self.first_address(), self.port)
    }

    /// Where servers find it by way of another address and port.
    pub fn url_at(&self, host: &str, port: u16) -> String {
        format!("postgres://{USER}:{}@{host}:{port}/postgres", self.password)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What runs it, in the foreground; for who runs it elsewhere, such as in
    /// a network namespace.
    pub fn command(&self) -> Result<Command> {
        let mut command = self.program("postgres")?;
        command.arg("-D").arg(self.data());
        for setting in [
            format!("port={}", self.port),
            format!("listen_addresses={}", self.listen),
            "unix_socket_directories=".into(),
            // Processes are killed here, never machines.
            "fsync=off".into(),
            "shared_buffers=16MB".into(),
            "max_connections=80".into(),
            "wal_sender_timeout=3s".into(),
            "jit=off".into(),
        ] {
            command.arg("-c").arg(setting);
        }
        Ok(command)
    }

    /// What succeeds once it answers.
    pub fn ready_command(&self) -> Result<Command> {
        let mut command = self.client("pg_isready")?;
        command.args(["-q", "-t", "1"]);
        Ok(command)
    }

    /// What asks it this; its output has a line for each row.
    pub fn ask_command(&self, sql: &str) -> Result<Command> {
        let mut command = self.client("psql")?;
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", "postgres"]);
        command.args(["-c", sql]);
        Ok(command)
    }

    /// Asks it this, as its administrator.
    pub fn ask(&self, sql: &str) -> Result<String> {
        run(&mut self.ask_command(sql)?)
    }

    /// Sets what its configuration says; it takes a moment to be heeded.
    pub fn set(&self, setting: &str, value: &str) -> Result<()> {
        self.ask(&format!("ALTER SYSTEM SET {setting} = {value}"))?;
        self.ask("SELECT pg_reload_conf()").map(|_| ())
    }

    /// Starts it, where it was, and waits until it answers.
    pub fn start_again(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "this PostgreSQL runs already");
        let log = self.directory.join("log");
        let mut process = Process::spawn("postgres", &mut self.command()?, &log)?;
        wait::until_true("PostgreSQL answers", || {
            process.check()?;
            Ok(self.ready_command()?.status().context("cannot run pg_isready")?.success())
        })?;
        self.process = Some(process);
        Ok(())
    }

    /// Ends it in an orderly way: connections are cut, what was acknowledged
    /// is written.
    pub fn stop(&mut self) -> Result<()> {
        self.end(Signal::INT)
    }

    /// Kills it at once, all of its processes, as a power cut would.
    pub fn kill(&mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        // While it is stopped it has no new ones.
        process.signal(Signal::STOP)?;
        let children = children_of(process.pid())?;
        for child in &children {
            // It may be gone already.
            let _ = kill_process(*child, Signal::KILL);
        }
        process.kill();
        wait::until_true("PostgreSQL's processes are gone", || {
            Ok(children.iter().all(|child| !is_there(*child)))
        })
    }

    /// Makes a standby the one that may be written to.
    pub fn promote(&self) -> Result<()> {
        let done = self.ask("SELECT pg_promote(true, 15)")?;
        ensure!(done.trim() == "t", "the standby was not promoted in time");
        Ok(())
    }

    /// All that it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    fn end(&mut self, signal: Signal) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        process.signal(signal)?;
        process.wait_end(STOP_TIMEOUT)?;
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn first_address(&self) -> &str {
        let first = self.listen.split(',').next().unwrap_or_default();
        if first == "*" { "127.0.0.1" } else { first }
    }

    /// One of its programs, run by whoever it is that may.
    fn program(&self, name: &str) -> Result<Command> {
        let programs = directory_of_programs()?;
        let mut command = match self.runner {
            Runner::Ourselves => programs::secluded(programs.join(name)),
            Runner::Namespace => {
                let mut command = namespace();
                command.arg(programs.join(name));
                command
            }
            Runner::Nobody => {
                let mut command = programs::secluded("setpriv");
                command.arg(format!("--reuid={NOBODY}")).arg(format!("--regid={NOBODY}"));
                command.args(["--clear-groups", "--"]).arg(programs.join(name));
                command
            }
        };
        // It may not stand in a directory that is closed to it.
        command.current_dir("/");
        if let Some(libraries) = unpacked_libraries()? {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command.env("LC_ALL", "C");
        Ok(command)
    }

    /// One of its programs, told where it is and who we are.
    fn client(&self, name: &str) -> Result<Command> {
        let mut command = self.program(name)?;
        command.args(["-h", self.first_address(), "-p", &self.port.to_string(), "-U", USER]);
        command.env("PGPASSWORD", &self.password).env("PGCONNECT_TIMEOUT", "5");
        Ok(command)
    }

    fn give_away(&self, path: &Path) -> Result<()> {
        if self.runner == Runner::Nobody {
            chown(path, Some(NOBODY), Some(NOBODY))
                .with_context(|| format!("cannot give {} away", path.display()))?;
        }
        Ok(())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // At once, but so that nothing of it stays in the kernel. What does
        // not obey is killed with its process's owner.
        let _ = self.end(Signal::QUIT);
    }
}

impl Runner {
    fn choose() -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Runner::Ourselves);
        }
        let tried = namespace().arg("true").output().context("cannot run 'unshare'")?;
        Ok(if tried.status.success() { Runner::Namespace } else { Runner::Nobody })
    }
}

/// A user namespace in which we are nobody; what it keeps in shared memory
/// goes with it.
fn namespace() -> Command {
    let mut command = programs::secluded("unshare");
    command.args(["--user", "--ipc"]);
    command.arg(format!("--map-user={NOBODY}")).arg(format!("--map-group={NOBODY}"));
    command.arg("--");
    command
}

/// Where the set-up unpacks Debian's packages if they are not installed.
fn unpacked() -> Result<PathBuf> {
    Ok(programs::target()?.join("postgres"))
}

/// The newest installed PostgreSQL's programs, or the unpacked one's.
fn directory_of_programs() -> Result<PathBuf> {
    for root in [PathBuf::from("/"), unpacked()?] {
        let versions = std::fs::read_dir(root.join("usr/lib/postgresql"));
        let mut found: Vec<(u32, PathBuf)> = versions
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
            .map(|(version, path)| (version, path.join("bin")))
            .filter(|(_, path)| path.join("postgres").exists() && path.join("initdb").exists())
            .collect();
        found.sort();
        if let Some((_, path)) = found.pop() {
            return Ok(path);
        }
    }
    bail!(
        "there is no PostgreSQL: 'tests/setup.sh test' unpacks one under target/postgres, or \
         install Debian's postgresql"
    )
}

/// Where the unpacked one's libraries are, if it is that one.
fn unpacked_libraries() -> Result<Option<PathBuf>> {
    let root = unpacked()?;
    if !directory_of_programs()?.starts_with(&root) {
        return Ok(None);
    }
    let entries = std::fs::read_dir(root.join("usr/lib")).context("what the set-up unpacked")?;
    let paths = entries.flatten().map(|entry| entry.path());
    Ok(paths.into_iter().find(|path| path.to_string_lossy().ends_with("-linux-gnu")))
}

fn random_password() -> Result<String> {
    let mut bytes = [0_u8; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte:02x}")?;
    }
    Ok(text)
}

/// Runs it to its end; gives what it said.
fn run(command: &mut Command) -> Result<String> {
    let name = command.get_args().map(OsStr::to_string_lossy).find(|word| word.contains("/bin/"));
    let name = name.map_or_else(|| "PostgreSQL".into(), std::borrow::Cow::into_owned);
    let output = command.output().with_context(|| format!("cannot run {name}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name} failed ({}): {}", output.status, said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn is_there(pid: Pid) -> bool {
    Path::new("/proc").join(pid.as_raw_nonzero().to_string()).exists()
}

/// The processes whose parent is this one.
fn children_of(parent: u32) -> Result<Vec<Pid>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").context("procfs")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // A process that ends meanwhile is no child.
        let Ok(status) = std::fs::read_to_string(entry.path().join("status")) else { continue };
        let line = status.lines().find_map(|line| line.strip_prefix("PPid:"));
        if line.is_some_and(|text| text.trim() == parent.to_string()) {
            found.extend(Pid::from_raw(pid));
        }
    }
    Ok(found)
}
