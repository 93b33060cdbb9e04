//! Group manager: who is there, and who has a token's session. No I/O: time,
//! randomness and datagrams come in, datagrams and news go out.
//!
//! | module | what it decides |
//! | --- | --- |
//! | [`speak`] | what we tell the group, and whom |
//! | [`hear`] | what comes of what others say |
//! | [`topology`], [`offsets`] | what is known of the others |
//! | [`reach`] | which servers a DTU can reach, and how |
//! | [`ask`], [`question`] | who is asked for a token's session |
//! | [`load`] | where a new session goes |
//! | [`rate`] | how often something is answered or reported |
//! | [`homes`] | whether the home folders are shared with the others |
//! | [`report`] | the group as data for people |

pub mod ask;
pub mod hear;
pub mod homes;
pub mod load;
pub mod offsets;
pub mod question;
pub mod rate;
pub mod reach;
pub mod report;
pub mod speak;
pub mod topology;

use crate::config::Network;
use afterglow_wire::control::Server;
use afterglow_wire::group::{HostMessage, Interface};
use afterglow_wire::guard::Guards;
use afterglow_wire::ids::ServerName;
use afterglow_wire::limits::{INTERFACES_MAX, SERVERS_MAX};
use afterglow_wire::trust::MessageKey;
pub use ask::{Ask, Whose};
use hear::{SERVER_Q_LIMITS, TOKEN_Q_LIMITS};
use homes::{KnownHomes, Sharing, Teller};
pub use question::QUESTION_MS;
use question::{Answers, Questions};
use rate::{Rate, Sources};
use reach::Place;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};
use topology::Topology;

/// How many host messages a second greet servers that were just heard, after
/// the first 64: a whole group may start at once.
const GREETINGS_PER_S: u64 = 10;

/// What does not change while the server runs.
#[derive(Debug, Clone)]
pub struct GroupConfig {
    /// Our name.
    pub name: ServerName,
    /// Signs and checks messages.
    pub key: MessageKey,
    /// Our main address.
    pub advertise: Ipv4Addr,
    /// Where we take DTUs.
    pub control_port: u16,
    /// Where the group listens.
    pub group_port: u16,
    /// Servers that broadcasts do not reach.
    pub peers: Vec<SocketAddrV4>,
    /// Networks beyond our own whose DTUs are answered.
    pub networks: Vec<Network>,
    /// True if host messages go to the multicast group, too.
    pub multicast: bool,
    /// How often we speak.
    pub host_every_ms: u64,
    /// After which silence a server counts as down.
    pub down_after_ms: u64,
    /// Our boot number.
    pub boot: u64,
    /// See [`afterglow_wire::group::flags`].
    pub flags: u32,
    /// Which checks are made; all, but in a simulation that has to notice.
    pub guards: Guards,
}

/// What a host message tells about this host, and changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Present {
    /// The interfaces that we speak on.
    pub interfaces: Vec<Interface>,
    /// Processors.
    pub cpus: u32,
    /// Their clock in MHz.
    pub clock_mhz: u32,
    /// The load average times 100.
    pub load_percent: u32,
    /// How many sessions run here.
    pub sessions: u32,
    /// How much memory is free for programs, in MiB; 0 if it is not known.
    pub memory_mib: u32,
}

/// A datagram to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// To whom; may be a broadcast or a multicast address.
    pub to: SocketAddrV4,
    /// What.
    pub datagram: Vec<u8>,
    /// For a multicast: the address of our interface that it leaves by.
    pub via: Option<Ipv4Addr>,
}

/// What the group manager has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send this.
    Send(Transmit),
    /// A server is up that was not before, or that started again.
    Up(ServerName),
    /// A server was heard.
    Heard(ServerName),
    /// A server was silent for too long.
    Down(ServerName),
    /// The question with this nonce is over.
    Answered(u64, Answers),
    /// Something that an administrator should read.
    Report(String),
}

/// The group manager.
#[derive(Debug)]
pub struct GroupManager {
    config: GroupConfig,
    present: Present,
    draining: bool,
    homes: KnownHomes,
    topology: Topology,
    questions: Questions,
    /// The number of our last host message.
    seq: u64,
    next_host_ms: u64,
    /// No server or interface is silent for too long before this.
    next_silence_ms: u64,
    spoke_ms: Option<u64>,
    /// How many sessions we said that we have.
    said_sessions: u32,
    /// How many we have kept here since.
    kept: u32,
    server_answers: Sources,
    token_answers: Sources,
    greetings: Rate,
    reports: Rate,
}

impl GroupManager {
    /// Knows nobody yet.
    pub fn new(config: GroupConfig) -> Self {
        GroupManager {
            topology: Topology::new(config.guards),
            config,
            present: Present::default(),
            draining: false,
            homes: KnownHomes::default(),
            questions: Questions::default(),
            seq: 0,
            next_host_ms: 0,
            next_silence_ms: 0,
            spoke_ms: None,
            said_sessions: 0,
            kept: 0,
            server_answers: Sources::new(SERVER_Q_LIMITS),
            token_answers: Sources::new(TOKEN_Q_LIMITS),
            greetings: Rate::new(GREETINGS_PER_S, SERVERS_MAX as u64),
            reports: Rate::new(1, 5),
        }
    }

    /// Who was heard.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Tells how this host is now. Changed interfaces are announced with the
    /// next [`GroupManager::tick`], which is then due at once.
    pub fn set_present(&mut self, present: Present) {
        let before = std::mem::replace(&mut self.present, present);
        self.present.interfaces.truncate(INTERFACES_MAX);
        if self.present.interfaces != before.interfaces {
            self.next_host_ms = 0;
        }
    }

    /// Tells where the listed servers are now.
    pub fn set_peers(&mut self, peers: Vec<SocketAddrV4>) {
        if peers.iter().any(|peer| !self.config.peers.contains(peer)) {
            self.next_host_ms = 0;
        }
        self.config.peers = peers;
    }

    /// Tells our main address, which may change with the interfaces.
    pub fn set_advertise(&mut self, advertise: Ipv4Addr) {
        if self.config.advertise != advertise {
            self.config.advertise = advertise;
            self.next_host_ms = 0;
        }
    }

    /// Takes us out of service, or back: a server that takes leave gets no new
    /// sessions. A change is announced with the next [`GroupManager::tick`],
    /// which is then due at once.
    pub fn set_draining(&mut self, draining: bool) {
        if self.draining != draining {
            self.draining = draining;
            self.next_host_ms = 0;
        }
    }

    /// Tells what is known of the home folders. What we wrote into ours is
    /// announced with the next [`GroupManager::tick`], which is then due at
    /// once.
    pub fn set_homes(&mut self, homes: KnownHomes) {
        if self.homes.own != homes.own {
            self.next_host_ms = 0;
        }
        self.homes = homes;
    }

    /// All servers that are known, and what those say of their home folders
    /// that are up.
    pub fn tellers(&self) -> (BTreeSet<ServerName>, Vec<Teller>) {
        let known = self.topology.hosts().map(|host| host.message.host.clone()).collect();
        let teller = |host: &topology::Host| {
            let HostMessage { host: name, boot, home: mark, .. } = &host.message;
            Teller { name: name.clone(), boot: *boot, mark: *mark }
        };
        (known, self.topology.up().map(teller).collect())
    }

    /// True if a server's home folders are ours, too, false if they are not:
    /// then a session that is taken over from there finds none of its user's
    /// files. `None` if that is not known.
    pub fn homes_shared(&self, server: &ServerName) -> Option<bool> {
        match self.homes.others.get(server)? {
            Sharing::Shared => Some(true),
            Sharing::NotShared(_) => Some(false),
            Sharing::Unknown(_) => None,
        }
    }

    /// The servers that are up and that a DTU at this address can reach,
    /// ourselves first, and where it reaches them.
    pub fn servers_for(&self, dtu: Ipv4Addr) -> Vec<Server> {
        let others = self.topology.up().map(|host| &host.message.host);
        std::iter::once(&self.config.name)
            .chain(others)
            .filter_map(|name| {
                Some(Server { name: name.clone(), address: self.reaches(name, dtu)? })
            })
            .take(SERVERS_MAX)
            .collect()
    }

    /// The control address by which a DTU at this address reaches a server, up
    /// or down, or us; `None` if it cannot, or if the server is not known. The
    /// rules are those of [`reach`].
    pub fn reaches(&self, server: &ServerName, dtu: Ipv4Addr) -> Option<SocketAddrV4> {
        if *server == self.config.name {
            return Some(SocketAddrV4::new(self.own_address(dtu), self.config.control_port));
        }
        let host = self.topology.host(server)?;
        let ip = self.place().way_to(host, dtu)?;
        Some(SocketAddrV4::new(ip, host.message.port))
    }

    /// When [`GroupManager::tick`] is to be called next.
    pub fn next_tick_ms(&self) -> u64 {
        let question_ms = self.questions.next_ms().unwrap_or(u64::MAX);
        question_ms.min(self.next_host_ms).min(self.next_silence_ms)
    }

    /// Does what is due at this time.
    pub fn tick(&mut self, now_ms: u64, wall_ms: u64) -> Vec<Output> {
        let mut out = Vec::new();
        self.tick_questions(now_ms, &mut out);
        if now_ms >= self.next_silence_ms {
            self.tick_silence(now_ms, &mut out);
        }
        if now_ms >= self.next_host_ms {
            self.speak(now_ms, wall_ms, &mut out);
        }
        out
    }

    fn tick_silence(&mut self, now_ms: u64, out: &mut Vec<Output>) {
        let silent = self.topology.silence(now_ms, self.config.down_after_ms);
        out.extend(silent.servers.into_iter().map(Output::Down));
        for (name, interface) in silent.interfaces {
            out.extend(self.say(now_ms, || {
                let Interface { name: interface, ip, .. } = interface;
                format!("server {name} is up, but not heard any more through {interface} ({ip})")
            }));
        }
        // Whoever is heard meanwhile, be it for the first time, is silent for
        // too long only after this.
        let soonest_ms = now_ms.saturating_add(self.config.down_after_ms).saturating_add(1);
        let next_ms = self.topology.next_silence_ms(self.config.down_after_ms);
        self.next_silence_ms = next_ms.unwrap_or(soonest_ms).min(soonest_ms);
    }

    fn place(&self) -> Place<'_> {
        Place { interfaces: &self.present.interfaces, routed: &self.config.networks }
    }

    /// Our address as the host with this address sees it.
    pub fn own_address(&self, seen_from: Ipv4Addr) -> Ipv4Addr {
        if seen_from.is_loopback() {
            let advertise = self.config.advertise;
            return if advertise.is_loopback() { advertise } else { Ipv4Addr::LOCALHOST };
        }
        let near = self.present.interfaces.iter().find(|known| known.contains(seen_from));
        near.map_or(self.config.advertise, |interface| interface.ip)
    }
}

#[cfg(test)]
mod tests;
