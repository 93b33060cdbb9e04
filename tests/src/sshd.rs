//! A real sshd on a host of its own, with throw-away keys and no user's files.

use crate::netns::lan::Node;
use crate::process::Process;
use crate::unpacked::Unpacked;
use crate::wait;
use anyhow::{Context, Result, bail};
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// Where it listens.
pub const PORT: u16 = 2022;
const SSHD: &str = "usr/sbin/sshd";
const SSH: &str = "usr/bin/ssh";
const KEYGEN: &str = "usr/bin/ssh-keygen";
/// What sshd runs for each connection, in versions that have such programs,
/// and the setting that tells where it is.
const HELPERS: [(&str, &str); 2] = [
    ("SshdSessionPath", "usr/lib/openssh/sshd-session"),
    ("SshdAuthPath", "usr/lib/openssh/sshd-auth"),
];
/// The user that sshd has for what needs no power; Debian's package makes it.
const SSHD_USER: &str = "sshd";

/// The daemon; it ends when this is dropped.
pub struct Sshd {
    programs: Unpacked,
    directory: PathBuf,
    address: Ipv4Addr,
    user: String,
    server: Process,
}

impl Sshd {
    /// Starts it on this host, with its keys and its log in `directory`, which
    /// is there already.
    pub fn start(node: &Arc<Node>, directory: PathBuf) -> Result<Self> {
        let programs = Unpacked::find("sshfs", &[SSHD, SSH, KEYGEN])?;
        let address = node.first().address;
        for key in ["host_key", "user_key"] {
            let mut keygen = programs.command(KEYGEN);
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", key, "-f"]);
            run(keygen.arg(directory.join(key)))?;
        }
        let host_key = std::fs::read_to_string(directory.join("host_key.pub"))?;
        std::fs::write(directory.join("known_hosts"), format!("[{address}]:{PORT} {host_key}"))?;
        std::fs::copy(directory.join("user_key.pub"), directory.join("authorized_keys"))?;
        let configuration = configuration(&programs, &directory, address);
        std::fs::write(directory.join("sshd_config"), configuration)?;
        let user = run(Command::new("id").arg("-un"))?.trim().to_owned();
        let mut command = node.namespace().inside(&daemon(&programs, &directory)?);
        let mut server = Process::spawn("sshd", &mut command, &directory.join("sshd.log"))?;
        let listens = || tcp_port_is_bound(server.pid(), PORT);
        wait::until_true("sshd listens", || Ok(listens().unwrap_or(false)))
            .with_context(|| server.log_text())?;
        server.check()?;
        Ok(Sshd { programs, directory, address, user, server })
    }

    /// Whom it lets in, and where: `user@address`.
    pub fn destination(&self) -> String {
        format!("{}@{}", self.user, self.address)
    }

    /// The user's private key.
    pub fn user_key(&self) -> PathBuf {
        self.directory.join("user_key")
    }

    /// What tells a client that this is the right host.
    pub fn known_hosts(&self) -> PathBuf {
        self.directory.join("known_hosts")
    }

    /// The client that belongs to it.
    pub fn client(&self) -> PathBuf {
        self.programs.path(SSH)
    }

    /// A directory in which `ssh` is, for who finds programs by their names.
    pub fn client_directory(&self) -> Result<PathBuf> {
        let directory = self.directory.join("bin");
        std::fs::create_dir(&directory)?;
        let client = self.programs.command(SSH);
        let mut script = "#!/bin/sh\n".to_owned();
        for (name, value) in client.get_envs().filter_map(|(name, value)| Some((name, value?))) {
            writeln!(script, "export {}='{}'", name.display(), value.display())?;
        }
        writeln!(script, "exec {} \"$@\"", client.get_program().display())?;
        let path = directory.join("ssh");
        std::fs::write(&path, script)?;
        run(Command::new("chmod").arg("755").arg(&path))?;
        Ok(directory)
    }

    /// What it said.
    pub fn log_text(&self) -> String {
        self.server.log_text()
    }
}

fn configuration(programs: &Unpacked, directory: &Path, address: Ipv4Addr) -> String {
    let directory = directory.display();
    // What it notes of a forwarded display goes into no real user's home.
    let mut text = format!(
        "ListenAddress {address}\nPort {PORT}\nHostKey {directory}/host_key\n\
         AuthorizedKeysFile {directory}/authorized_keys\nPidFile none\nStrictModes no\nUsePAM no\n\
         PermitRootLogin prohibit-password\nPasswordAuthentication no\n\
         KbdInteractiveAuthentication no\nUseDNS no\nSubsystem sftp internal-sftp\n\
         ClientAliveInterval 1\nClientAliveCountMax 3\n\
         X11Forwarding yes\nSetEnv XAUTHORITY={directory}/Xauthority\n"
    );
    for (setting, file) in HELPERS {
        let path = programs.path(file);
        if path.exists() && programs.is_unpacked(file) {
            let _ = writeln!(text, "{setting} {}", path.display());
        }
    }
    text
}

/// sshd. As root it wants a directory and a user of its own; these it gets in
/// its mount namespace alone.
fn daemon(programs: &Unpacked, directory: &Path) -> Result<Command> {
    let sshd = programs.command(SSHD);
    let configuration = directory.join("sshd_config");
    let mut command = match rustix::process::geteuid().is_root() {
        false => Command::new(sshd.get_program()),
        true => {
            let users = std::fs::read_to_string("/etc/passwd").context("the users")?;
            let known = users.lines().any(|line| line.split(':').next() == Some(SSHD_USER));
            let own = directory.join("passwd");
            let more = format!("{SSHD_USER}:x:65533:65534::/run/sshd:/usr/sbin/nologin\n");
            std::fs::write(&own, if known { users } else { users + &more })?;
            let script = "mount -t tmpfs tmpfs /run && mkdir -p -m 0755 /run/sshd && \
                          mount --bind \"$1\" /etc/passwd && shift && exec \"$@\"";
            let mut command = Command::new("sh");
            command.args(["-c", script, "sh"]).arg(own).arg(sshd.get_program());
            command
        }
    };
    command.args(["-D", "-e", "-f"]).arg(configuration);
    command.envs(sshd.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Ok(command)
}

/// True if somebody in this process's network listens at this TCP port.
fn tcp_port_is_bound(pid: u32, port: u16) -> Result<bool> {
    let sockets = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")).context("procfs")?;
    let wanted = format!(":{port:04X}");
    let locals = sockets.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1));
    Ok(locals.into_iter().any(|local| local.ends_with(&wanted)))
}

/// Runs it to its end; gives what it said.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command.output();
    let output = output.with_context(|| format!("cannot run {:?}", command.get_program()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?} failed ({}): {}", output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
