//! What we tell the group about ourselves, and whom: the host message
//! (patent, figure 7, "Self Discovery").
//!
//! It goes to the broadcast address of every interface, to the multicast
//! group through every interface, to the listed servers, and to servers that
//! are up and that none of these reaches.

use super::{GroupManager, Output, Transmit};
use afterglow_wire::group::{GroupMessage, HostMessage, Interface, MULTICAST, flags};
use afterglow_wire::limits::GROUP_DATAGRAM_BYTES_MAX;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};

/// The most interfaces in one host message, so that it fits a datagram.
const INTERFACES_PER_PART: usize = 11;

/// Where a datagram goes, and for multicast through which interface.
pub(super) type To = (SocketAddrV4, Option<Ipv4Addr>);

/// True if the interface is on a network that hears broadcasts.
pub(super) fn has_broadcast(interface: &Interface) -> bool {
    !interface.ip.is_loopback() && interface.bcast != interface.ip
}

impl GroupManager {
    /// Where host messages go.
    pub(super) fn everywhere(&self) -> BTreeSet<To> {
        let port = self.config.group_port;
        let interfaces = &self.present.interfaces;
        let multicast = interfaces
            .iter()
            .filter(|interface| self.config.multicast && !interface.ip.is_loopback())
            .map(|interface| (SocketAddrV4::new(MULTICAST, port), Some(interface.ip)));
        multicast.chain(self.by_unicast_and_broadcast().into_iter().map(|to| (to, None))).collect()
    }

    /// As [`GroupManager::everywhere`], without multicast.
    pub(super) fn by_unicast_and_broadcast(&self) -> BTreeSet<SocketAddrV4> {
        let broadcasting = self.present.interfaces.iter().filter(|own| has_broadcast(own));
        let broadcasts: Vec<_> = broadcasting.collect();
        let by_broadcast = |address: &SocketAddrV4| {
            address.port() == self.config.group_port
                && broadcasts.iter().any(|own| own.contains(*address.ip()))
        };
        // It may have listed us, and we not it.
        let others = self.topology.up().map(|host| host.address);
        broadcasts
            .iter()
            .map(|own| SocketAddrV4::new(own.bcast, self.config.group_port))
            .chain(others.filter(|address| !by_broadcast(address)))
            .chain(self.config.peers.iter().copied())
            .collect()
    }

    /// Tells everybody how we are.
    pub(super) fn speak(&mut self, now_ms: u64, wall_ms: u64, out: &mut Vec<Output>) {
        self.next_host_ms = now_ms.saturating_add(self.config.host_every_ms);
        self.spoke_ms = Some(now_ms);
        // From now on the others see us as we are.
        self.said_sessions = self.present.sessions;
        self.kept = 0;
        for to in self.everywhere() {
            self.say_host(to, wall_ms, out);
        }
    }

    /// One host message, in as many datagrams as its interfaces need.
    pub(super) fn say_host(&mut self, (to, via): To, wall_ms: u64, out: &mut Vec<Output>) {
        self.seq += 1;
        let mut parts: Vec<Vec<Interface>> =
            self.present.interfaces.chunks(INTERFACES_PER_PART).map(<[_]>::to_vec).collect();
        if parts.is_empty() {
            parts.push(Vec::new());
        }
        let count = parts.len() as u8;
        for (part, interfaces) in (1u8..).zip(parts) {
            let message = self.host_message(wall_ms, (part, count), interfaces);
            let datagram = GroupMessage::Host(message).to_datagram(&self.config.key);
            debug_assert!(datagram.len() <= GROUP_DATAGRAM_BYTES_MAX);
            out.push(Output::Send(Transmit { to, datagram, via }));
        }
    }

    pub(super) fn host_message(
        &self,
        wall_ms: u64,
        part: (u8, u8),
        interfaces: Vec<Interface>,
    ) -> HostMessage {
        let draining = if self.draining { flags::DRAINING } else { 0 };
        HostMessage {
            host: self.config.name.clone(),
            addr: self.config.advertise,
            time_ms: wall_ms,
            flags: self.config.flags | draining,
            cpus: self.present.cpus,
            clock_mhz: self.present.clock_mhz,
            boot: self.config.boot,
            seq: self.seq,
            port: self.config.control_port,
            load_percent: self.present.load_percent,
            sessions: self.present.sessions,
            memory_mib: self.present.memory_mib,
            version: env!("CARGO_PKG_VERSION").into(),
            home: self.homes.own,
            part,
            interfaces,
        }
    }
}
