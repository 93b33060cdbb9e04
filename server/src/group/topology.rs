//! The group as one server sees it (patent, Table A).
//!
//! Only a message with the group's signature and a newer (boot, seq) than the
//! one before changes it. Others are listed apart, boundedly, to be looked at.
//!
//! | what happens | what comes of it |
//! | --- | --- |
//! | a replay: no newer (boot, seq), or a datagram that came already | nothing changes |
//! | a datagram that was overtaken on its way by a newer one | the interface that it came from was heard (`lastpkt`); nothing else |
//! | a clock that is ahead or behind | `timeoff` says by how much; nothing else depends on it |
//! | a clock that was set | `timeoff` follows with the next message |
//! | another address, signed and newer | followed: that is where the server is asked from now on |
//! | a second server with the same name | the one with the higher boot is the server; the other is reported |
//! | a server of a group with another key | listed as untrusted; never asked, never told by unicast |
//! | an interface is silent, others of its server speak | the interface is silent: nobody is sent to it |
//! | all of a server is silent | the server is down |
//! | a new server with the key | is in the table with its first message, up to [`SERVERS_MAX`] |

use super::offsets::Offsets;
use afterglow_wire::group::{HostMessage, Interface};
use afterglow_wire::guard::{Guard, Guards};
use afterglow_wire::ids::ServerName;
use afterglow_wire::limits::{INTERFACES_MAX, SERVERS_MAX};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

/// The most names in the list of untrusted hosts.
pub const UNTRUSTED_MAX: usize = 64;
/// The most parts that one host message comes in.
const PARTS_MAX: u8 = 8;
/// How many numbers a datagram may come late by.
const LATE_SEQS: u64 = 32;
/// How old a late datagram may be, by its sender's clock.
const LATE_MS: u64 = 1_000;

/// An interface of a server, and when it was heard through it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeardInterface {
    /// The interface.
    pub interface: Interface,
    /// When a message came from its address (`lastpkt`); `None` if never.
    pub heard_ms: Option<u64>,
    /// True once it was heard and then was silent for too long.
    pub silent: bool,
    /// Which part of the host message told of it.
    part: u8,
}

impl HeardInterface {
    /// True if the server is heard through it.
    pub fn works(&self) -> bool {
        self.heard_ms.is_some() && !self.silent
    }
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
    /// What its messages say of its clock and the way to it.
    pub offsets: Offsets,
    /// How many sessions we sent there since its last message.
    pub sent: u32,
    /// Which parts of the last message came.
    parts_heard: u8,
    /// Which of the numbers before the last message's came, the next lower
    /// one in the lowest bit.
    seqs_heard: u64,
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
    /// Nothing: a replay, or a message that came late.
    Nothing,
    /// Nothing: as many names are known as there may be. None is forgotten
    /// while we run, or its old messages could be replayed.
    Full,
    /// Nothing: somebody else speaks by this name, and the server at this
    /// address counts.
    Twin(SocketAddrV4),
    /// The server is up, as before.
    Still,
    /// The server is up, and was not before, or started again.
    Up,
}

/// Who fell silent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Silent {
    /// Servers that count as down now.
    pub servers: Vec<ServerName>,
    /// Interfaces of servers that are up.
    pub interfaces: Vec<(ServerName, Interface)>,
}

/// The servers of the group, ourselves not among them.
#[derive(Debug, Default)]
pub struct Topology {
    guards: Guards,
    hosts: BTreeMap<ServerName, Host>,
    untrusted: BTreeMap<ServerName, Untrusted>,
}

impl Topology {
    /// Knows nobody yet.
    pub fn new(guards: Guards) -> Self {
        Topology { guards, ..Topology::default() }
    }

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
        let full = self.hosts.len() >= SERVERS_MAX - 1;
        match self.hosts.get_mut(&message.host) {
            Some(host) => {
                let replay = self.guards.make(Guard::Replay);
                host.take(message, from, now_ms, wall_ms, replay)
            }
            None if full => Heard::Full,
            None => {
                let name = message.host.clone();
                self.hosts.insert(name, Host::new(message, from, now_ms, wall_ms));
                Heard::Up
            }
        }
    }

    /// Lists a message without a right signature; true if its name is new.
    pub fn untrusted(&mut self, host: ServerName, from: SocketAddrV4, now_ms: u64) -> bool {
        if let Some(known) = self.untrusted.get_mut(&host) {
            (known.address, known.heard_ms) = (from, now_ms);
            known.count = known.count.saturating_add(1);
            return false;
        }
        let bounded = self.guards.make(Guard::UntrustedBound);
        if bounded && self.untrusted.len() >= UNTRUSTED_MAX {
            let oldest = self.untrusted.values().min_by_key(|known| known.heard_ms);
            if let Some(name) = oldest.map(|known| known.host.clone()) {
                self.untrusted.remove(&name);
            }
        }
        let entry = Untrusted { host: host.clone(), address: from, heard_ms: now_ms, count: 1 };
        self.untrusted.insert(host, entry);
        true
    }

    /// Marks servers and interfaces that were silent for longer than
    /// `down_after_ms`, and names them.
    pub fn silence(&mut self, now_ms: u64, down_after_ms: u64) -> Silent {
        let mut silent = Silent::default();
        if !self.guards.make(Guard::SilenceIsDown) {
            return silent;
        }
        let over = |heard_ms: u64| now_ms.saturating_sub(heard_ms) > down_after_ms;
        for (name, host) in self.hosts.iter_mut().filter(|(_, host)| host.up) {
            host.up = !over(host.heard_ms);
            if !host.up {
                silent.servers.push(name.clone());
            }
            for known in host.interfaces.iter_mut().filter(|known| known.works()) {
                known.silent = known.heard_ms.is_some_and(over);
                if known.silent && host.up {
                    silent.interfaces.push((name.clone(), known.interface.clone()));
                }
            }
        }
        silent
    }

    /// When the next server or interface is silent for too long if it stays
    /// silent.
    pub fn next_silence_ms(&self, down_after_ms: u64) -> Option<u64> {
        if !self.guards.make(Guard::SilenceIsDown) {
            return None;
        }
        let interfaces = |host: &Host| {
            let working = host.interfaces.iter().filter(|known| known.works());
            working.filter_map(|known| known.heard_ms).min()
        };
        let oldest = self.up().map(|host| interfaces(host).unwrap_or(u64::MAX).min(host.heard_ms));
        oldest.min().map(|ms| ms.saturating_add(down_after_ms).saturating_add(1))
    }

    /// A server, up or down.
    pub fn host(&self, name: &ServerName) -> Option<&Host> {
        self.hosts.get(name)
    }

    /// Counts a session that was sent to a server.
    pub fn note_sent(&mut self, to: &ServerName) {
        if let Some(host) = self.hosts.get_mut(to) {
            host.sent = host.sent.saturating_add(1);
        }
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
}

impl Host {
    fn new(message: HostMessage, from: SocketAddrV4, now_ms: u64, wall_ms: u64) -> Self {
        let mut host = Host {
            interfaces: Vec::new(),
            heard_ms: now_ms,
            ahead_ms: 0,
            address: from,
            up: true,
            offsets: Offsets::default(),
            sent: 0,
            parts_heard: part_bit(&message),
            seqs_heard: 0,
            message: HostMessage { interfaces: Vec::new(), ..message.clone() },
        };
        host.note_clock(message.time_ms, wall_ms);
        host.take_interfaces(message.interfaces, message.part);
        host.note_packet(*from.ip(), now_ms);
        host
    }

    /// Takes a message that its signature proves to be this server's. With
    /// `replay` off it counts whatever its number.
    fn take(
        &mut self,
        message: HostMessage,
        from: SocketAddrV4,
        now_ms: u64,
        wall_ms: u64,
        replay: bool,
    ) -> Heard {
        let (order, last) = ((message.boot, message.seq), (self.message.boot, self.message.seq));
        let another_part = order == last && self.parts_heard & part_bit(&message) == 0;
        if replay && order <= last && !another_part {
            return self.take_older(&message, from, now_ms);
        }
        let restarted = message.boot != self.message.boot;
        let was_down = !self.up || restarted;
        if restarted {
            self.offsets = Offsets::default();
        }
        if another_part {
            self.parts_heard |= part_bit(&message);
        } else {
            self.parts_heard = part_bit(&message);
            self.seqs_heard = match (restarted, message.seq.checked_sub(self.message.seq)) {
                // What the window had moves on, and the last number with it.
                (false, Some(by @ 1..=LATE_SEQS)) => (self.seqs_heard << by) | (1 << (by - 1)),
                _ => 0,
            };
            self.note_clock(message.time_ms, wall_ms);
            self.sent = 0;
        }
        self.take_interfaces(message.interfaces.clone(), message.part);
        self.message = HostMessage { interfaces: Vec::new(), ..message };
        (self.heard_ms, self.address, self.up) = (now_ms, from, true);
        self.note_packet(*from.ip(), now_ms);
        if was_down { Heard::Up } else { Heard::Still }
    }

    /// A message that is not newer. A server speaks on all its interfaces at
    /// once, and the datagrams may overtake each other: one that never came
    /// before and is hardly late still proves that its interface works.
    fn take_older(&mut self, message: &HostMessage, from: SocketAddrV4, now_ms: u64) -> Heard {
        if message.boot < self.message.boot {
            // A replay from before the last start is older than the start. So
            // this is somebody who speaks now.
            let speaks_now = message.time_ms > self.message.time_ms;
            return if speaks_now { Heard::Twin(self.address) } else { Heard::Nothing };
        }
        let by = self.message.seq - message.seq;
        // It was sent before the last one, so its clock is not ahead either;
        // it can be if the clock went back since, and then it is a replay.
        let fresh = message.time_ms.saturating_add(LATE_MS) >= self.message.time_ms
            && message.time_ms <= self.message.time_ms;
        if (1..=LATE_SEQS).contains(&by) && message.part.0 == 1 && fresh {
            let bit = 1u64 << (by - 1);
            if self.seqs_heard & bit == 0 {
                self.seqs_heard |= bit;
                self.note_packet(*from.ip(), now_ms);
            }
        }
        Heard::Nothing
    }

    fn note_clock(&mut self, sent_ms: u64, wall_ms: u64) {
        self.offsets.note(sent_ms, wall_ms);
        self.ahead_ms = self.offsets.ahead_ms();
    }

    /// Replaces what this part of the message told before, and keeps when
    /// each interface was heard.
    fn take_interfaces(&mut self, interfaces: Vec<Interface>, (part, parts): (u8, u8)) {
        let before = self.interfaces.clone();
        self.interfaces.retain(|known| known.part != part && known.part <= parts);
        for interface in interfaces {
            let known = before.iter().find(|known| known.interface == interface);
            let (heard_ms, silent) = known.map_or((None, false), |k| (k.heard_ms, k.silent));
            self.interfaces.push(HeardInterface { interface, heard_ms, silent, part });
        }
        self.interfaces.sort_by_key(|known| known.part);
        self.interfaces.truncate(INTERFACES_MAX);
    }

    fn note_packet(&mut self, from: Ipv4Addr, now_ms: u64) {
        for known in self.interfaces.iter_mut().filter(|known| known.interface.ip == from) {
            (known.heard_ms, known.silent) = (Some(now_ms), false);
        }
    }
}

fn part_bit(message: &HostMessage) -> u8 {
    1 << (message.part.0 - 1)
}
