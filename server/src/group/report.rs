//! The group as one server sees it, as data for people and programs: what
//! `afterglowctl topology` shows (patent, Table A).

use super::homes::Sharing;
use super::topology::{HeardInterface, Host};
use super::{GroupManager, speak};
use afterglow_wire::group::{HostMessage, Interface, flags};
use afterglow_wire::ids::ServerName;
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddrV4};

/// All that is known of the group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TopologyReport {
    /// The server that reports, and then the TRUSTED others by their names.
    pub hosts: Vec<HostReport>,
    /// What is wrong with the store, as far as the server knows; else empty.
    #[serde(default)]
    pub store: String,
    /// Hosts that speak without the group's signature.
    pub untrusted: Vec<UntrustedReport>,
}

impl TopologyReport {
    /// Why this server gets no session that is moved, for an administrator.
    pub fn cannot_take(&self, server: &ServerName) -> Option<String> {
        match self.hosts.iter().find(|host| host.name == server.as_str()) {
            None => Some(format!("{server} is no server of the group that was ever heard")),
            Some(host) if !host.up => {
                Some(format!("{server} is silent; sessions cannot move to it"))
            }
            Some(host) if host.draining => {
                Some(format!("{server} takes leave (`drain`), and gets no sessions"))
            }
            Some(_) => None,
        }
    }

    /// True if this server was heard once, and is no longer.
    pub fn is_silent(&self, server: &ServerName) -> bool {
        self.hosts.iter().any(|host| host.name == server.as_str() && !host.up)
    }
}

/// A server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostReport {
    /// Its name.
    pub name: String,
    /// True if its messages have the group's signature (TRUSTED).
    pub trusted: bool,
    /// False if it was silent for too long.
    pub up: bool,
    /// True if it takes leave, and gets no new sessions.
    pub draining: bool,
    /// Its primary address.
    pub addr: Ipv4Addr,
    /// Where its group messages come from.
    pub from: SocketAddrV4,
    /// How long ago it was heard, or for ourselves spoke, in milliseconds; −1
    /// if it did not yet.
    pub lastseen_ms: i64,
    /// By how much its clock is ahead of the reporting server's, in
    /// milliseconds.
    pub timeoff_ms: i64,
    /// Grows with each of its starts.
    pub boot: u64,
    /// Grows with each of its messages.
    pub seq: u64,
    /// Its software's.
    pub version: String,
    /// Its processors.
    pub cpus: u32,
    /// Their clock, in MHz.
    pub clock_mhz: u32,
    /// Its load average times 100.
    pub load_percent: u32,
    /// How many sessions it hosts.
    pub sessions: u32,
    /// Its free memory in MiB; 0 if it is not known.
    pub memory_mib: u32,
    /// See [`flags`].
    pub flags: u32,
    /// Where it takes DTUs.
    pub control_port: u16,
    /// Its interfaces.
    pub interfaces: Vec<InterfaceReport>,
    /// Whether its home folders are those of the server that reports; of
    /// itself it says nothing.
    #[serde(default)]
    pub homes: Option<HomesReport>,
}

/// Whether two servers have the same home folders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HomesReport {
    /// True if it is proven that they have, false that they have not; nothing
    /// if neither is.
    pub shared: Option<bool>,
    /// Why it is not proven that they have; else empty.
    pub text: String,
}

/// An interface of a server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InterfaceReport {
    /// Its name.
    pub name: String,
    /// Its address.
    pub ip: Ipv4Addr,
    /// Its netmask.
    pub mask: Ipv4Addr,
    /// Its broadcast address.
    pub bcast: Ipv4Addr,
    /// How long ago the server was heard through it, or for ourselves spoke
    /// through it, in milliseconds; −1 if never.
    pub lastpkt_ms: i64,
    /// False if the server is not heard through it, or not any more.
    pub up: bool,
}

/// A host that spoke without the group's signature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UntrustedReport {
    /// The name that it gave.
    pub name: String,
    /// Where it spoke from last.
    pub from: SocketAddrV4,
    /// How long ago, in milliseconds.
    pub lastseen_ms: i64,
    /// How often it was heard.
    pub count: u64,
}

impl GroupManager {
    /// The group as we see it now.
    pub fn report(&self, now_ms: u64) -> TopologyReport {
        let others = self.topology.hosts().map(|host| {
            let homes = Some(self.homes_report(&host.message.host));
            HostReport { homes, ..other(host, now_ms) }
        });
        let untrusted = self.topology.untrusted_hosts().map(|host| UntrustedReport {
            name: host.host.to_string(),
            from: host.address,
            lastseen_ms: ago_ms(now_ms, host.heard_ms),
            count: host.count,
        });
        TopologyReport {
            hosts: std::iter::once(self.own_report(now_ms)).chain(others).collect(),
            store: String::new(),
            untrusted: untrusted.collect(),
        }
    }

    fn homes_report(&self, server: &ServerName) -> HomesReport {
        let (shared, text) = match self.homes.others.get(server) {
            None => (None, "nobody has looked yet"),
            Some(Sharing::Shared) => (Some(true), ""),
            Some(Sharing::NotShared(text)) => (Some(false), text.as_str()),
            Some(Sharing::Unknown(text)) => (None, text.as_str()),
        };
        HomesReport { shared, text: text.to_owned() }
    }

    fn own_report(&self, now_ms: u64) -> HostReport {
        let lastseen_ms = self.spoke_ms.map_or(-1, |ms| ago_ms(now_ms, ms));
        let message = self.host_message(0, (1, 1), Vec::new());
        let from = SocketAddrV4::new(self.config.advertise, self.config.group_port);
        let interfaces = self.present.interfaces.iter().map(|own| {
            let speaks = speak::has_broadcast(own) || self.config.multicast;
            interface(own, if speaks { lastseen_ms } else { -1 }, speaks && lastseen_ms >= 0)
        });
        host(&message, from, (true, lastseen_ms, 0), interfaces.collect())
    }
}

fn other(known: &Host, now_ms: u64) -> HostReport {
    let lastpkt_ms = |known: &HeardInterface| known.heard_ms.map_or(-1, |ms| ago_ms(now_ms, ms));
    let interfaces = known
        .interfaces
        .iter()
        .map(|known| interface(&known.interface, lastpkt_ms(known), known.works()));
    let seen = (known.up, ago_ms(now_ms, known.heard_ms), known.ahead_ms);
    host(&known.message, known.address, seen, interfaces.collect())
}

fn host(
    message: &HostMessage,
    from: SocketAddrV4,
    (up, lastseen_ms, timeoff_ms): (bool, i64, i64),
    interfaces: Vec<InterfaceReport>,
) -> HostReport {
    HostReport {
        name: message.host.to_string(),
        trusted: true,
        up,
        draining: message.flags & flags::DRAINING != 0,
        addr: message.addr,
        from,
        lastseen_ms,
        timeoff_ms,
        boot: message.boot,
        seq: message.seq,
        version: message.version.clone(),
        cpus: message.cpus,
        clock_mhz: message.clock_mhz,
        load_percent: message.load_percent,
        sessions: message.sessions,
        memory_mib: message.memory_mib,
        flags: message.flags,
        control_port: message.port,
        interfaces,
        homes: None,
    }
}

fn interface(known: &Interface, lastpkt_ms: i64, up: bool) -> InterfaceReport {
    InterfaceReport {
        name: known.name.clone(),
        ip: known.ip,
        mask: known.mask,
        bcast: known.bcast,
        lastpkt_ms,
        up,
    }
}

fn ago_ms(now_ms: u64, then_ms: u64) -> i64 {
    i64::try_from(now_ms.saturating_sub(then_ms)).unwrap_or(i64::MAX)
}
