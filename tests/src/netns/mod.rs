//! Hosts with networks of their own on this machine: network namespaces, and
//! what is between them.
//!
//! | module | what it holds |
//! | --- | --- |
//! | this | a namespace, and running programs in it |
//! | [`lan`] | hosts with interfaces on bridges; cutting, splitting, healing |
//! | [`capture`] | the group's datagrams, as they pass by |
//! | [`relay`] | a bad network: a wire that loses, delays and reorders |
//! | [`inside`] | what runs inside a namespace on the tests' behalf |
//!
//! X servers choose their display by a name that each network has for itself,
//! and then put a socket where all networks see it. So a host has a directory
//! of its own for these sockets, in a mount namespace; the DTUs have the
//! switch's, where their screen is.
//!
//! As root, or without it in a user namespace. A helper of ours holds each
//! namespace open for as long as its standard input is; then it ends all that
//! runs in there, and with the last process the kernel takes the namespace
//! away, its interfaces too. So nothing is left, however a test ends.

use crate::programs;
use anyhow::{Context, Result, bail, ensure};
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

pub mod capture;
pub mod inside;
pub mod lan;
pub mod relay;

/// Where `ip`, `bridge`, `tc`, `nsenter` and `unshare` are, whatever the user's PATH.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// A network namespace, with a mount namespace; all that runs in it ends when
/// this is dropped.
pub struct Namespace {
    holder: Helper,
    /// True if it is in a user namespace, where we are root.
    in_user_namespace: bool,
}

/// Whose X servers' sockets a namespace sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Displays {
    /// Its own.
    Own,
    /// Those of the namespace that it is made beside.
    Shared,
}

impl Namespace {
    /// A new one, in a user namespace of its own where we are not root.
    pub fn first() -> Result<Self> {
        let root = rustix::process::geteuid().is_root();
        let flags = if root { "-mn" } else { "-Urmn" };
        let tried = tool("unshare").args([flags, "true"]).output();
        let tried = tried.context("cannot run 'unshare' (Debian's util-linux)")?;
        if !tried.status.success() {
            bail!(
                "this machine lets nobody make network namespaces ('unshare {flags} true' says: \
                 {}). Run this as root, or allow user namespaces: \
                 'sysctl -w user.max_user_namespaces=10000', and where they are there \
                 'sysctl -w kernel.unprivileged_userns_clone=1' and \
                 'sysctl -w kernel.apparmor_restrict_unprivileged_userns=0'",
                String::from_utf8_lossy(&tried.stderr).trim()
            );
        }
        let mut command = tool("unshare");
        command.args([flags, "--"]);
        Ok(Namespace { holder: hold(command, Displays::Own)?, in_user_namespace: !root })
    }

    /// Another one beside it, in the same user namespace.
    pub fn beside(&self, displays: Displays) -> Result<Self> {
        let mut command = match self.in_user_namespace {
            true => self.enter(&["-U", "--preserve-credentials", "-m"]),
            false => self.enter(&["-m"]),
        };
        let flags = match displays {
            Displays::Own => "-mn",
            Displays::Shared => "-n",
        };
        command.args(["unshare", flags, "--"]);
        let holder = hold(command, displays)?;
        Ok(Namespace { holder, in_user_namespace: self.in_user_namespace })
    }

    /// The process that holds it.
    pub fn pid(&self) -> u32 {
        self.holder.child.id()
    }

    /// Its root directory, as seen from here.
    pub fn root(&self) -> PathBuf {
        format!("/proc/{}/root", self.pid()).into()
    }

    fn enter(&self, flags: &[&str]) -> Command {
        let mut command = tool("nsenter");
        command.arg("--target").arg(self.pid().to_string()).args(flags).arg("--");
        command
    }

    /// The same command, run in here. Its process id will be its own: what
    /// leads in becomes it.
    pub fn inside(&self, command: &Command) -> Command {
        self.lead(command, false)
    }

    /// Likewise, with power over the network and the mounts in here.
    pub fn inside_as_root(&self, command: &Command) -> Command {
        self.lead(command, true)
    }

    fn lead(&self, command: &Command, as_root: bool) -> Command {
        let mut inside = match self.in_user_namespace {
            true => self.enter(&["-U", "--preserve-credentials", "-m", "-n"]),
            false => self.enter(&["-m", "-n"]),
        };
        if self.in_user_namespace && !as_root {
            // Who is root here is not root enough for programs that make use
            // of it, such as xterm: back to being a user.
            let user = rustix::process::getuid().as_raw();
            let group = rustix::process::getgid().as_raw();
            inside.args(["unshare", "-U", &format!("--map-user={user}")]);
            inside.args([&format!("--map-group={group}"), "--"]);
        }
        // Entering a mount namespace leads to its root directory.
        let directory = command.get_current_dir().map(Path::to_owned);
        let directory = directory.or_else(|| std::env::current_dir().ok());
        if let Some(directory) = directory {
            inside.arg("env").arg("-C").arg(directory).arg("--");
        }
        inside.arg(command.get_program()).args(command.get_args());
        inside.env_remove("PATH");
        if let Some(path) = std::env::var_os("PATH") {
            inside.env("PATH", path);
        }
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        inside
    }

    /// Runs lines of `ip` in here.
    pub fn ip(&self, lines: &str) -> Result<()> {
        self.batch("ip", lines)
    }

    /// Runs lines of `bridge` in here.
    pub fn bridge(&self, lines: &str) -> Result<()> {
        self.batch("bridge", lines)
    }

    /// Runs lines of `tc` in here.
    pub fn tc(&self, lines: &str) -> Result<()> {
        self.batch("tc", lines)
    }

    fn batch(&self, program: &str, lines: &str) -> Result<()> {
        let mut command = self.inside_as_root(tool(program).args(["-batch", "-"]));
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot run '{program}' (Debian's iproute2)"))?;
        let mut input = child.stdin.take().context("its standard input is a pipe")?;
        input.write_all(lines.as_bytes())?;
        drop(input);
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "'{program}' refuses: {said}\nThe lines were:\n{lines}");
        Ok(())
    }

    /// Starts the helper in here with these words.
    pub fn helper(&self, words: Vec<OsString>) -> Result<Helper> {
        let mut command = Command::new(programs::path(HELPER)?);
        command.args(words);
        Helper::start(self.inside_as_root(&command))
    }
}

impl Displays {
    fn word(self) -> &'static str {
        match self {
            Displays::Own => "own-displays",
            Displays::Shared => "shared-displays",
        }
    }
}

/// The program that runs inside.
const HELPER: &str = "afterglow-test-hosts";

/// Starts the holder by way of a command that makes the namespace.
fn hold(mut command: Command, displays: Displays) -> Result<Helper> {
    let own = std::fs::read_link("/proc/self/ns/net").context("procfs")?;
    command.arg(programs::path(HELPER)?).arg("hold").arg(own).arg(displays.word());
    Helper::start(command)
}

fn tool(name: &str) -> Command {
    let directories = PATH.split(':').map(|directory| Path::new(directory).join(name));
    let found = directories.into_iter().find(|path| path.exists());
    Command::new(found.unwrap_or_else(|| name.into()))
}

/// A helper of ours in a namespace. It ends when this is dropped, or when this
/// process does, however that comes.
pub struct Helper {
    child: Child,
    words: Option<ChildStdin>,
}

impl Helper {
    /// Starts it, and waits for its word that it is ready.
    fn start(mut command: Command) -> Result<Self> {
        command.env("PATH", PATH);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        let words = child.stdin.take();
        let output = child.stdout.take().context("its standard output is a pipe")?;
        let mut errors = child.stderr.take().context("its standard error is a pipe")?;
        let mut helper = Helper { child, words };
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        if line.trim() != "ready" {
            helper.end();
            let mut why = String::new();
            errors.read_to_string(&mut why)?;
            bail!("the helper in a network namespace did not start: {}", why.trim());
        }
        Ok(helper)
    }

    /// Says a line to it.
    pub fn say(&mut self, line: &str) -> Result<()> {
        let words = self.words.as_mut().context("it listens")?;
        writeln!(words, "{line}").context("the helper in a network namespace has ended")
    }

    fn end(&mut self) {
        self.words = None;
        // It ends by itself as soon as its standard input does.
        let _ = self.child.wait();
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.end();
    }
}
