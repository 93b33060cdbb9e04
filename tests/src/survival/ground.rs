//! Three server hosts, a host with the store and the homes, and the program
//! that is typed into.

use super::home::Homes;
use super::notes::Notes;
use super::store::Store;
use crate::netns::Displays;
use crate::netns::lan::{Lan, Segment};
use crate::process::{processes_like, runs};
use crate::scratch::Scratch;
use crate::site::Site;
use crate::{programs, wait};
use anyhow::{Context, Result};
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// The server hosts.
pub const SERVERS: [&str; 3] = ["s1", "s2", "s3"];
/// Where all of them are.
pub const LAN: [Segment; 1] = [Segment::Bridge(0)];
/// The store host's address, and the store's port.
const STORE: (Ipv4Addr, u16) = (Ipv4Addr::new(10, 79, 0, 200), 5432);
/// The program that is typed into.
const NOTEBOOK: &str = "afterglow-test-notebook";

/// The hosts and what they share.
pub struct Ground {
    /// The server hosts.
    pub site: Site,
    /// The store, on a host of its own.
    pub store: Store,
    /// The users' homes, on the same host.
    pub homes: Homes,
    notes: PathBuf,
}

impl Ground {
    /// Everything runs, and the servers have heard each other.
    pub fn new(test: &str) -> Result<Self> {
        let scratch = Scratch::new(test)?;
        let mut lan = Lan::new(1)?;
        let node = lan.plug(&[(LAN[0], STORE.0)], Displays::Own)?;
        let store = Store::new(scratch.path(), &node, STORE)?;
        let url = store.url();
        let more = format!("store = \"{url}\"\nhost_every_ms = 300\ndown_after_ms = 3000\n");
        let notes = scratch.private_directory("notes")?;
        let served = scratch.private_directory("store-host")?;
        let notebook = programs::path(NOTEBOOK)?;
        let desktop = [&*notebook.to_string_lossy(), &*notes.to_string_lossy()];
        let mut site = Site::prepare_apart(scratch, lan, &SERVERS, &LAN, &desktop, &more)?;
        let mut homes = Homes::serve(&node, served, site.home_root())?;
        for host in &mut site.hosts {
            homes.mount(host)?;
            host.start_server()?;
        }
        site.wait_acquainted()?;
        Ok(Ground { site, store, homes, notes })
    }

    /// A host that died boots: its network is well, nothing of before runs,
    /// and all servers hear each other again.
    pub fn boot(&mut self, name: &str) -> Result<()> {
        let host = self.site.host(name)?;
        host.kill()?;
        let node = host.node()?.clone();
        self.site.lan()?.mend(node.first())?;
        self.homes.mount(self.site.host(name)?)?;
        self.start_server(name)
    }

    /// Starts a server again, and waits until the others have heard it.
    pub fn start_server(&mut self, name: &str) -> Result<()> {
        let marks: Vec<usize> =
            self.site.hosts.iter().map(|host| host.server_log().len()).collect();
        self.site.host(name)?.start_server()?;
        let words = format!("server {name} is up");
        for (host, mark) in self.site.hosts.iter_mut().zip(marks) {
            if host.name() == name || !host.server_runs()? {
                continue;
            }
            wait::until_true(&format!("{} hears {name}", host.name()), || {
                Ok(host.server_log()[mark..].contains(&words))
            })?;
        }
        Ok(())
    }

    /// What this notebook noted.
    pub fn notes(&self, instance: u64) -> Result<Notes> {
        Notes::read(&self.notes, instance)
    }

    /// What the notebooks put into the user's home, as the store host has it.
    pub fn journal(&self) -> Result<String> {
        let path = self.homes.file(super::notebook::JOURNAL)?;
        path.map_or(Ok(String::new()), |path| std::fs::read_to_string(path).context("the journal"))
    }

    /// How many notebooks go on, on all hosts; those that are frozen do not.
    pub fn active_copies(&self) -> Result<usize> {
        let mut active = 0;
        for host in &self.site.hosts {
            let pids = processes_like(host, NOTEBOOK)?.into_iter();
            // The bus that a desktop runs in has the same words.
            active += pids.filter(|pid| runs(*pid, NOTEBOOK) && !stands_still(*pid)).count();
        }
        Ok(active)
    }
}

/// True if the process is there, and frozen: stopped, or in a cgroup that is
/// frozen.
pub fn stands_still(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    let cgroup = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::"));
    let frozen = path.is_some_and(|path| {
        let file = format!("/sys/fs/cgroup{path}/cgroup.freeze");
        std::fs::read_to_string(file).is_ok_and(|text| text.trim() == "1")
    });
    matches!(state, Some('T' | 't')) || (frozen && state.is_some_and(|state| state != 'Z'))
}
