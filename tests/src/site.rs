//! A group of hosts on this machine: one key, one store, one home folder; on
//! loopback only, or on networks of their own.

use crate::dtu::{Dtu, DtuOptions};
use crate::host::{Host, Place};
use crate::netns::Displays;
use crate::netns::capture::Capture;
use crate::netns::lan::{Lan, Node, Segment};
use crate::ports::Ports;
use crate::process::Process;
use crate::scratch::Scratch;
use crate::screen::Screen;
use crate::{programs, wait};
use afterglow_link::certificates::Authority;
use afterglow_wire::ids::GroupId;
use afterglow_wire::trust::GroupKey;
use anyhow::{Context, Result, ensure};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A desktop that is one terminal, as large as the screen, and nothing else:
/// what is typed is all that changes.
pub const TERMINAL: &[&str] = &["xterm", "-geometry", "100x35+0+0", "-e", "env", "PS1=$ ", "sh"];

/// The last numbers of the addresses of servers and of DTUs.
const FIRST_SERVER: u8 = 1;
const FIRST_DESK: u8 = 101;

/// The address of a host of this number on each segment. Bridges have networks
/// of their own; what is loose is all one.
fn interfaces(segments: &[Segment], number: u8) -> Vec<(Segment, Ipv4Addr)> {
    let network = |segment: &Segment| match segment {
        Segment::Bridge(bridge) => *bridge as u8,
        Segment::Loose => 0,
    };
    let on = |segment: &Segment| (*segment, Ipv4Addr::new(10, 79, network(segment), number));
    segments.iter().map(on).collect()
}

/// The hosts, and all that they share.
pub struct Site {
    /// Its hosts.
    pub hosts: Vec<Host>,
    lan: Option<Lan>,
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
        let ports: Vec<Ports> = names.iter().map(|_| Ports::take()).collect::<Result<_>>()?;
        let peers: Vec<u16> = ports.iter().map(Ports::group).collect();
        let places = ports.into_iter().map(Place::Loopback).collect();
        Site::furnish(scratch, names, places, &peers, desktop, "")
    }

    /// Makes hosts of these names on networks of their own, one interface
    /// (`eth0`, `eth1`...) on each of the segments, without their servers. Each
    /// knows the key, and nobody else. `more` are further lines of each
    /// configuration.
    pub fn prepare_apart(
        scratch: Scratch,
        mut lan: Lan,
        names: &[&str],
        segments: &[Segment],
        desktop: &[&str],
        more: &str,
    ) -> Result<Self> {
        let mut places = Vec::new();
        for number in 0..names.len() {
            let interfaces = interfaces(segments, FIRST_SERVER + number as u8);
            places.push(Place::Network(lan.plug(&interfaces, Displays::Own)?));
        }
        let mut site = Site::furnish(scratch, names, places, &[], desktop, more)?;
        site.lan = Some(lan);
        Ok(site)
    }

    /// Makes hosts of these names on the first `networks` of a switch's
    /// `bridges`, and starts their servers; they have heard each other then.
    /// What they said is in the capture.
    pub fn start_apart(
        test: &str,
        names: &[&str],
        (networks, bridges): (usize, usize),
        desktop: &[&str],
    ) -> Result<(Self, Capture)> {
        let lan = Lan::new(bridges)?;
        let scratch = Scratch::new(test)?;
        let capture = lan.capture(&scratch.path().join("group.jsonl"))?;
        let segments: Vec<_> = (0..networks).map(Segment::Bridge).collect();
        let mut site = Site::prepare_apart(scratch, lan, names, &segments, desktop, "")?;
        for host in &mut site.hosts {
            host.start_server()?;
        }
        site.wait_acquainted()?;
        Ok((site, capture))
    }

    /// Waits until every server has heard every other.
    pub fn wait_acquainted(&self) -> Result<()> {
        for host in &self.hosts {
            for other in self.hosts.iter().filter(|other| other.name() != host.name()) {
                host.wait_log(&format!("server {} is up", other.name()))?;
            }
        }
        Ok(())
    }

    fn furnish(
        scratch: Scratch,
        names: &[&str],
        places: Vec<Place>,
        peers: &[u16],
        desktop: &[&str],
        more: &str,
    ) -> Result<Self> {
        let shared = scratch.private_directory("shared")?;
        let group_key = initialize(&shared)?;
        let key = GroupKey::from_file_content(&std::fs::read(&group_key)?)?;
        let group = Authority::of_group(&key)?.group_id()?;
        scratch.private_directory("shared/home")?;
        let mut hosts = Vec::new();
        for (name, place) in names.iter().zip(places) {
            let directory = scratch.private_directory(name)?;
            let host = Host::new(name, directory, place);
            host.write_config(&shared, peers, desktop, more)?;
            hosts.push(host);
        }
        Ok(Site { hosts, lan: None, group_key, group, scratch })
    }

    /// What connects the hosts, if they are on networks of their own.
    pub fn lan(&self) -> Result<&Lan> {
        self.lan.as_ref().context("these hosts are on the loopback interface")
    }

    /// A place for a DTU on these segments; each number is one place.
    pub fn desk(&mut self, number: u8, segments: &[Segment]) -> Result<Arc<Node>> {
        let lan = self.lan.as_mut().context("these hosts are on the loopback interface")?;
        lan.plug(&interfaces(segments, FIRST_DESK + number), Displays::Shared)
    }

    /// The files of this site.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// The test has passed: its files go. The last words of a test. No DTU may
    /// have found its picture at rest wrong meanwhile.
    pub fn passed(&self) -> Result<()> {
        crate::dtu::expect_true_pictures(self.scratch.path())?;
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
        let namespace = self.lan.as_ref().map(Lan::switch);
        Screen::start_in(namespace, self.scratch.path(), width_px, height_px)
    }

    /// Opens a DTU that knows this group and nothing else, at a place of its
    /// own: it has to find the servers.
    pub fn dtu_at<'a>(
        &self,
        desk: &Arc<Node>,
        screen: &'a Screen,
        mut options: DtuOptions,
    ) -> Result<Dtu<'a>> {
        options.desk = Some(desk.clone());
        Dtu::open(screen, self.scratch.path(), &[], self.group, options)
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
