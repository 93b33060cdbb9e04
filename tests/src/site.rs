//! A group of hosts on this machine: one key, one store, one home folder,
//! loopback only.

use crate::dtu::{Dtu, DtuOptions};
use crate::host::Host;
use crate::ports::Ports;
use crate::process::Process;
use crate::scratch::Scratch;
use crate::screen::Screen;
use crate::{programs, wait};
use afterglow_link::certificates::Authority;
use afterglow_wire::ids::GroupId;
use afterglow_wire::trust::GroupKey;
use anyhow::{Context, Result, ensure};
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};

/// A desktop that is one terminal, as large as the screen, and nothing else:
/// what is typed is all that changes.
pub const TERMINAL: &[&str] = &["xterm", "-geometry", "100x35+0+0", "-e", "env", "PS1=$ ", "sh"];

/// The hosts, and all that they share.
pub struct Site {
    /// Its hosts.
    pub hosts: Vec<Host>,
    group_key: PathBuf,
    group: GroupId,
    scratch: Scratch,
}

impl Site {
    /// Makes the hosts of these names, and starts their servers.
    pub fn start(test: &str, names: &[&str], desktop: &[&str]) -> Result<Self> {
        let mut site = Site::prepare(test, names, desktop)?;
        for host in &mut site.hosts {
            host.start_server()?;
        }
        Ok(site)
    }

    /// Makes the hosts of these names, without their servers.
    pub fn prepare(test: &str, names: &[&str], desktop: &[&str]) -> Result<Self> {
        Site::prepare_in(Scratch::new(test)?, names, desktop)
    }

    /// Likewise, in a directory of the caller's.
    pub fn prepare_in(scratch: Scratch, names: &[&str], desktop: &[&str]) -> Result<Self> {
        let shared = scratch.private_directory("shared")?;
        let group_key = initialize(&shared)?;
        let key = GroupKey::from_file_content(&std::fs::read(&group_key)?)?;
        let group = Authority::of_group(&key)?.group_id()?;
        scratch.private_directory("shared/home")?;
        let ports: Vec<Ports> = names.iter().map(|_| Ports::take()).collect::<Result<_>>()?;
        let peers: Vec<u16> = ports.iter().map(Ports::group).collect();
        let mut hosts = Vec::new();
        for (name, ports) in names.iter().zip(ports) {
            let directory = scratch.private_directory(name)?;
            let host = Host::new(name, directory, ports);
            host.write_config(&shared, &peers, desktop, "")?;
            hosts.push(host);
        }
        Ok(Site { hosts, group_key, group, scratch })
    }

    /// The files of this site.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// The test has passed: its files go. The last words of a test.
    pub fn passed(&self) -> Result<()> {
        self.scratch.passed()
    }

    /// The group's secret.
    pub fn group_key(&self) -> Result<GroupKey> {
        Ok(GroupKey::from_file_content(&std::fs::read(&self.group_key)?)?)
    }

    /// The group's fingerprint.
    pub fn group(&self) -> GroupId {
        self.group
    }

    /// What the hosts share: the key, the store, the home folder.
    pub fn shared(&self) -> PathBuf {
        self.scratch.path().join("shared")
    }

    /// The home folders of all users.
    pub fn home_root(&self) -> PathBuf {
        self.shared().join("home")
    }

    /// A file of this name in somebody's home folder.
    pub fn home_file(&self, name: &str) -> Result<Option<PathBuf>> {
        for home in std::fs::read_dir(self.home_root())?.flatten() {
            let path = home.path().join(name);
            if path.exists() {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// The host of this name.
    pub fn host(&mut self, name: &str) -> Result<&mut Host> {
        let host = self.hosts.iter_mut().find(|host| host.name() == name);
        host.with_context(|| format!("there is no host {name}"))
    }

    /// Where its hosts take DTUs.
    pub fn control_addresses(&self) -> Vec<SocketAddrV4> {
        self.hosts.iter().map(Host::control_address).collect()
    }

    /// A private screen for DTUs.
    pub fn screen(&self, width_px: u16, height_px: u16) -> Result<Screen> {
        Screen::start(self.scratch.path(), width_px, height_px)
    }

    /// Opens a DTU that knows this group and all of its hosts.
    pub fn dtu<'a>(&self, screen: &'a Screen, options: DtuOptions) -> Result<Dtu<'a>> {
        Dtu::open(screen, self.scratch.path(), &self.control_addresses(), self.group, options)
    }
}

/// `afterglow-server init`: gives the group key's path.
fn initialize(directory: &Path) -> Result<PathBuf> {
    let mut command = programs::secluded(programs::path("afterglow-server")?);
    command.arg("init").arg(directory);
    let log = directory.join("init.log");
    let mut init = Process::spawn("afterglow-server init", &mut command, &log)?;
    let status = init.wait_end(wait::PATIENCE)?;
    ensure!(status.success(), "init failed ({status}):\n{}", init.log_text());
    let key = directory.join("group.key");
    ensure!(key.exists(), "init made no {}", key.display());
    Ok(key)
}
