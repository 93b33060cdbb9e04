//! The table of servers that were heard (patent, Table A).
//!
//! Only a message with the group's signature and a newer (boot, seq) than the
//! one before changes it. Others are listed apart, boundedly, to be looked at.

use afterglow_wire::control::Server;
use afterglow_wire::group::{HostMessage, Interface};
use afterglow_wire::ids::ServerName;
use afterglow_wire::limits::SERVERS_MAX;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

/// The most names in the list of untrusted hosts.
pub const UNTRUSTED_MAX: usize = 64;
/// The most parts that one host message comes in.
const PARTS_MAX: u8 = 8;

/// An interface of a server, and when it was heard through it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeardInterface {
    /// The interface.
    pub interface: Interface,
    /// When a message came from its address (`lastpkt`); `None` if never.
    pub heard_ms: Option<u64>,
}

/// What is known of a TRUSTED server.
#[derive(Debug, Clone)]
pub struct Host {
    /// Its last message, without the interfaces.
    pub message: HostMessage,
    /// Its interfaces.
    pub interfaces: Vec<HeardInterface>,
    /// When it was heard last (`lastseen`).
    pub heard_ms: u64,
    /// By how much its clock is ahead of ours (`timeoff`).
    pub ahead_ms: i64,
    /// Where its messages come from: its group port.
    pub address: SocketAddrV4,
    /// False once it was silent for too long.
    pub up: bool,
    /// Which parts of the last message came.
    parts_heard: u8,
}

impl Host {
    /// Where a DTU or server at this address reaches the server's control
    /// links: by the interface that is on its network, else by its main one.
    pub fn control_address(&self, from: Ipv4Addr) -> SocketAddrV4 {
        let near = self.interfaces.iter().find(|known| known.interface.contains(from));
        let ip = near.map_or(self.message.addr, |known| known.interface.ip);
        SocketAddrV4::new(ip, self.message.port)
    }
}

/// A host message without a right signature: listed, and nothing more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untrusted {
    /// The name that it gave.
    pub host: ServerName,
    /// Where it came from.
    pub address: SocketAddrV4,
    /// When it came last.
    pub heard_ms: u64,
    /// How many came.
    pub count: u64,
}

/// What a host message changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Nothing: a replay, or a table that is full.
    Nothing,
    /// The server is up, as before.
    Still,
    /// The server is up, and was not before, or started again.
    Up,
}

/// The servers of the group, ourselves not among them.
#[derive(Debug, Default)]
pub struct Topology {
    hosts: BTreeMap<ServerName, Host>,
    untrusted: BTreeMap<ServerName, Untrusted>,
}

impl Topology {
    /// Notes a message with the group's signature.
    pub fn trusted(
        &mut self,
        message: HostMessage,
        from: SocketAddrV4,
        now_ms: u64,
        wall_ms: u64,
    ) -> Heard {
        if message.part.1 > PARTS_MAX {
            return Heard::Nothing;
        }
        let part_bit = 1u8 << (message.part.0 - 1);
        let full = self.hosts.len() >= SERVERS_MAX;
        let known = self.hosts.get_mut(&message.host);
        if known.is_none() && full {
            return Heard::Nothing;
        }
        let order = (message.boot, message.seq);
        let ahead_ms = message.time_ms as i64 - wall_ms as i64;
        let Some(host) = known else {
            let name = message.host.clone();
            let mut host = Host {
                interfaces: Vec::new(),
                heard_ms: now_ms,
                ahead_ms,
                address: from,
                up: true,
                parts_heard: part_bit,
                message: HostMessage { interfaces: Vec::new(), ..message.clone() },
            };
            host.take_interfaces(message.interfaces, true);
            host.note_packet(*from.ip(), now_ms);
            self.hosts.insert(name, host);
            return Heard::Up;
        };
        let last = (host.message.boot, host.message.seq);
        let another_part = order == last && host.parts_heard & part_bit == 0;
        if order <= last && !another_part {
            return Heard::Nothing;
        }
        let was_down = !host.up || message.boot != host.message.boot;
        host.parts_heard = if another_part { host.parts_heard | part_bit } else { part_bit };
        // The first part that comes of a newer message replaces what was
        // known; the parts after it add to it.
        host.take_interfaces(message.interfaces.clone(), !another_part);
        host.message = HostMessage { interfaces: Vec::new(), ..message };
        (host.heard_ms, host.ahead_ms, host.address, host.up) = (now_ms, ahead_ms, from, true);
        host.note_packet(*from.ip(), now_ms);
        if was_down { Heard::Up } else { Heard::Still }
    }

    /// Lists a message without a right signature; true if its name is new.
    pub fn untrusted(&mut self, host: ServerName, from: SocketAddrV4, now_ms: u64) -> bool {
        if let Some(known) = self.untrusted.get_mut(&host) {
            (known.address, known.heard_ms, known.count) = (from, now_ms, known.count + 1);
            return false;
        }
        if self.untrusted.len() >= UNTRUSTED_MAX {
            let oldest = self.untrusted.values().min_by_key(|known| known.heard_ms);
            if let Some(name) = oldest.map(|known| known.host.clone()) {
                self.untrusted.remove(&name);
            }
        }
        let entry = Untrusted { host: host.clone(), address: from, heard_ms: now_ms, count: 1 };
        self.untrusted.insert(host, entry);
        true
    }

    /// Marks servers down that were silent for longer than `down_after_ms`,
    /// and names them.
    pub fn silence(&mut self, now_ms: u64, down_after_ms: u64) -> Vec<ServerName> {
        let silent =
            |host: &&mut Host| host.up && now_ms.saturating_sub(host.heard_ms) > down_after_ms;
        let newly_down = self.hosts.values_mut().filter(silent);
        newly_down
            .map(|host| {
                host.up = false;
                host.message.host.clone()
            })
            .collect()
    }

    /// A server, up or down.
    pub fn host(&self, name: &ServerName) -> Option<&Host> {
        self.hosts.get(name)
    }

    /// All servers that were ever heard.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.hosts.values()
    }

    /// The servers that are up.
    pub fn up(&self) -> impl Iterator<Item = &Host> {
        self.hosts.values().filter(|host| host.up)
    }

    /// The hosts that spoke without the group's signature.
    pub fn untrusted_hosts(&self) -> impl Iterator<Item = &Untrusted> {
        self.untrusted.values()
    }

    /// The servers that are up, and where a DTU at this address reaches them.
    pub fn servers_for(&self, dtu: Ipv4Addr) -> Vec<Server> {
        self.up()
            .map(|host| Server {
                name: host.message.host.clone(),
                address: host.control_address(dtu),
            })
            .collect()
    }
}

impl Host {
    fn take_interfaces(&mut self, interfaces: Vec<Interface>, replace: bool) {
        let before = std::mem::take(&mut self.interfaces);
        let heard_ms = |interface: &Interface| {
            before.iter().find(|known| known.interface == *interface).and_then(|k| k.heard_ms)
        };
        let new: Vec<_> = interfaces
            .into_iter()
            .map(|interface| HeardInterface { heard_ms: heard_ms(&interface), interface })
            .collect();
        self.interfaces = if replace { new } else { before.into_iter().chain(new).collect() };
    }

    fn note_packet(&mut self, from: Ipv4Addr, now_ms: u64) {
        for known in &mut self.interfaces {
            if known.interface.ip == from {
                known.heard_ms = Some(now_ms);
            }
        }
    }
}
