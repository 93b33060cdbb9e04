//! The users' homes: files of the store host, served by a real sshd, and
//! mounted on each server host with sshfs.
//!
//! Mounts are seen by their host alone, at the path that all hosts have in
//! their configuration. A host that is cut off gets errors, and its mount is
//! well again once the network is.

use crate::host::Host;
use crate::netns::lan::Node;
use crate::process::Process;
use crate::sshd::{self, Sshd, run};
use crate::unpacked::Unpacked;
use crate::wait;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

const SSHFS: &str = "usr/bin/sshfs";
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
    /// What each host has mounted them with.
    mounts: BTreeMap<String, Process>,
    sshd: Sshd,
}

impl Homes {
    /// Serves them on this host, with all files in `directory`; `mount_point`
    /// is there already, and empty.
    pub fn serve(node: &Arc<Node>, directory: PathBuf, mount_point: PathBuf) -> Result<Self> {
        let programs = Unpacked::find("sshfs", &[SSHFS])?;
        ensure!(
            Path::new("/dev/fuse").exists(),
            "this kernel has no FUSE (/dev/fuse), by which homes are mounted: 'modprobe fuse'"
        );
        crate::dtu::private(&directory.join("home"))?;
        let sshd = Sshd::start(node, directory.clone())?;
        Ok(Homes { programs, directory, mount_point, mounts: BTreeMap::new(), sshd })
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
        let mut command = self.programs.command(SSHFS);
        command.arg(format!("{}:{}", self.sshd.destination(), self.root().display()));
        command.arg(&self.mount_point).arg("-f").args(["-p", &sshd::PORT.to_string()]);
        command.args(["-F", "/dev/null"]);
        let own = [
            format!("IdentityFile={}", self.sshd.user_key().display()),
            format!("UserKnownHostsFile={}", self.sshd.known_hosts().display()),
            format!("ssh_command={}", self.sshd.client().display()),
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

/// True if something is mounted there, for this process.
fn mounted(pid: u32, path: &Path) -> Result<bool> {
    let mounts = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).context("procfs")?;
    let path = path.to_string_lossy();
    Ok(mounts.lines().any(|line| line.split(' ').nth(4) == Some(&*path)))
}
