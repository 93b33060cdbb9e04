//! The users' homes: files of the store host, served by a real sshd with
//! throw-away keys, and mounted on each server host with sshfs.
//!
//! Mounts are seen by their host alone, at the path that all hosts have in
//! their configuration. A host that is cut off gets errors, and its mount is
//! well again once the network is.

use crate::host::Host;
use crate::netns::lan::Node;
use crate::process::Process;
use crate::unpacked::Unpacked;
use crate::wait;
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

const PORT: u16 = 2022;
const SSHD: &str = "usr/sbin/sshd";
const SSHFS: &str = "usr/bin/sshfs";
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
/// What a mount is told: nothing is remembered on a host, so that what one has
/// written the other sees; who is not answered finds out in seconds; and all
/// files are those of who mounts, who is root in there whoever it is outside.
const MOUNT_OPTIONS: &[&str] = &[
    "reconnect",
    "dir_cache=no",
    "attr_timeout=0",
    "entry_timeout=0",
    "negative_timeout=0",
    "uid=0",
    "gid=0",
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "ConnectTimeout=1",
    "ServerAliveInterval=1",
    "ServerAliveCountMax=2",
];

/// The homes, and the sshd that serves them; it ends when this is dropped.
pub struct Homes {
    programs: Unpacked,
    /// The files themselves, the keys, and the logs.
    directory: PathBuf,
    /// Where server hosts have them.
    mount_point: PathBuf,
    address: Ipv4Addr,
    user: String,
    /// What each host has mounted them with.
    mounts: BTreeMap<String, Process>,
    _server: Process,
}

impl Homes {
    /// Serves them on this host, with all files in `directory`; `mount_point`
    /// is there already, and empty.
    pub fn serve(node: &Arc<Node>, directory: PathBuf, mount_point: PathBuf) -> Result<Self> {
        let programs = Unpacked::find("sshfs", &[SSHD, SSHFS, SSH, KEYGEN])?;
        ensure!(
            Path::new("/dev/fuse").exists(),
            "this kernel has no FUSE (/dev/fuse), by which homes are mounted: 'modprobe fuse'"
        );
        let address = node.first().address;
        crate::dtu::private(&directory.join("home"))?;
        for key in ["host_key", "user_key"] {
            let mut keygen = programs.command(KEYGEN);
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", key, "-f"]);
            run(keygen.arg(directory.join(key)))?;
        }
        let host_key = std::fs::read_to_string(directory.join("host_key.pub"))?;
        std::fs::write(directory.join("known_hosts"), format!("[{address}]:{PORT} {host_key}"))?;
        std::fs::copy(directory.join("user_key.pub"), directory.join("authorized_keys"))?;
        std::fs::write(
            directory.join("sshd_config"),
            configuration(&programs, &directory, address),
        )?;
        let user = run(Command::new("id").arg("-un"))?.trim().to_owned();
        let mut command = node.namespace().inside(&daemon(&programs, &directory)?);
        let mut server = Process::spawn("sshd", &mut command, &directory.join("sshd.log"))?;
        let listens = || tcp_port_is_bound(server.pid(), PORT);
        wait::until_true("sshd listens", || Ok(listens().unwrap_or(false)))
            .with_context(|| server.log_text())?;
        server.check()?;
        Ok(Homes {
            programs,
            directory,
            mount_point,
            address,
            user,
            mounts: BTreeMap::new(),
            _server: server,
        })
    }

    /// The files, on the host that has them.
    pub fn root(&self) -> PathBuf {
        self.directory.join("home")
    }

    /// Mounts them on a host that has just booted.
    pub fn mount(&mut self, host: &Host) -> Result<()> {
        let namespace = host.node()?.namespace();
        // What was mounted before it died is there still, and dead.
        let mut umount = Command::new("umount");
        umount.arg("-l").arg(&self.mount_point);
        while mounted(namespace.pid(), &self.mount_point)? {
            run(&mut namespace.inside_as_root(&umount))?;
        }
        let file = |name: &str| self.directory.join(name).display().to_string();
        let mut command = self.programs.command(SSHFS);
        command.arg(format!("{}@{}:{}", self.user, self.address, self.root().display()));
        command.arg(&self.mount_point).arg("-f").args(["-p", &PORT.to_string()]);
        command.args(["-F", "/dev/null"]);
        let own = [
            format!("IdentityFile={}", file("user_key")),
            format!("UserKnownHostsFile={}", file("known_hosts")),
            format!("ssh_command={}", self.programs.path(SSH).display()),
        ];
        let all = MOUNT_OPTIONS.iter().map(|option| (*option).to_owned()).chain(own);
        for option in all {
            command.args(["-o", &option]);
        }
        let log = self.directory.join(format!("sshfs-{}.log", host.name()));
        let mut process = host.spawn_as_root("sshfs", &command, &log)?;
        // It may be mounted a moment before it finds that nobody lets it in.
        let mut list = Command::new("ls");
        list.arg(&self.mount_point);
        wait::until_true(&format!("{} has the homes", host.name()), || {
            process.check()?;
            let mounted = mounted(namespace.pid(), &self.mount_point)?;
            Ok(mounted && namespace.inside(&list).output()?.status.success())
        })?;
        self.mounts.insert(host.name().to_owned(), process);
        Ok(())
    }

    /// Tries to write as a program on this host would; the error that it gets,
    /// if it gets one.
    pub fn try_write(&self, host: &Host) -> Result<Option<String>> {
        let mut command = Command::new("sh");
        command.args(["-c", ": > \"$1\"", "sh"]).arg(self.mount_point.join(".try"));
        let output = host.node()?.namespace().inside(&command).output()?;
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Ok((!output.status.success()).then_some(said))
    }

    /// A file of this name in somebody's home.
    pub fn file(&self, name: &str) -> Result<Option<PathBuf>> {
        let homes = std::fs::read_dir(self.root())?.flatten();
        Ok(homes.map(|home| home.path().join(name)).find(|path| path.exists()))
    }
}

fn configuration(programs: &Unpacked, directory: &Path, address: Ipv4Addr) -> String {
    let directory = directory.display();
    let mut text = format!(
        "ListenAddress {address}\nPort {PORT}\nHostKey {directory}/host_key\n\
         AuthorizedKeysFile {directory}/authorized_keys\nPidFile none\nStrictModes no\nUsePAM no\n\
         PermitRootLogin prohibit-password\nPasswordAuthentication no\n\
         KbdInteractiveAuthentication no\nUseDNS no\nSubsystem sftp internal-sftp\n\
         ClientAliveInterval 1\nClientAliveCountMax 3\n"
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

/// True if something is mounted there, for this process.
fn mounted(pid: u32, path: &Path) -> Result<bool> {
    let mounts = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).context("procfs")?;
    let path = path.to_string_lossy();
    Ok(mounts.lines().any(|line| line.split(' ').nth(4) == Some(&*path)))
}

/// True if somebody in this process's network listens at this TCP port.
fn tcp_port_is_bound(pid: u32, port: u16) -> Result<bool> {
    let sockets = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")).context("procfs")?;
    let wanted = format!(":{port:04X}");
    let locals = sockets.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1));
    Ok(locals.into_iter().any(|local| local.ends_with(&wanted)))
}

/// Runs it to its end; gives what it said.
fn run(command: &mut Command) -> Result<String> {
    let output = command.output();
    let output = output.with_context(|| format!("cannot run {:?}", command.get_program()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?} failed ({}): {}", output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
