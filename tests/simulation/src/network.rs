//! Who can reach whom, and what becomes of a packet on the way.
//!
//! Server `i` is `10.NET.0.(i+1)` on each of its networks; desktop units and
//! others have one address. Networks are joined by a router, so that only a
//! cut or an interface that is down keeps two machines apart.

use crate::fault::{Counts, Fault};
use crate::plan::{MS_US, Noise};
use crate::queue::Parcel;
use crate::random::Rng;
use afterglow_wire::group::{Interface, MULTICAST};
use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;

/// A packet that took longer than this did not come in time.
const LATE_US: u64 = 60 * MS_US;
/// The most datagrams that somebody has listened in on.
const CAPTURED_MAX: usize = 128;

/// A machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Machine {
    /// A server and the sessions on it.
    Server(usize),
    /// A desktop unit.
    Dtu(usize),
    /// A desktop unit that keeps to no rule.
    Rogue(usize),
    /// An address at which nobody is.
    Nobody,
}

/// A server's address on a network.
pub fn server_ip(server: usize, network: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, network, 0, server as u8 + 1)
}

/// A desktop unit's address.
pub fn dtu_ip(dtu: usize, networks: u8) -> Ipv4Addr {
    let network = (dtu % usize::from(networks)) as u8;
    Ipv4Addr::new(10, network, 4 + (dtu / 250) as u8, 1 + (dtu % 250) as u8)
}

/// The address of a desktop unit that keeps to no rule.
pub fn rogue_ip(rogue: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 201, rogue as u8 + 1)
}

/// An address of nobody, from which forged datagrams seem to come.
pub fn nobody_ip(number: u64) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 202, (number % 250) as u8 + 1)
}

/// Whose address it is, among so many servers.
pub fn machine_of(ip: Ipv4Addr, servers: usize) -> Machine {
    let [_, network, third, last] = ip.octets();
    let is_dtu = (4..200).contains(&third);
    match third {
        0 if last >= 1 && usize::from(last) <= servers && network < 2 => {
            Machine::Server(usize::from(last) - 1)
        }
        201 => Machine::Rogue(usize::from(last) - 1),
        _ if is_dtu => Machine::Dtu(usize::from(third - 4) * 250 + usize::from(last) - 1),
        _ => Machine::Nobody,
    }
}

/// The network that an address is on.
pub fn network_of(ip: Ipv4Addr) -> u8 {
    ip.octets()[1]
}

/// A server's interface on a network.
pub fn interface(server: usize, network: u8) -> Interface {
    Interface {
        name: format!("eth{network}"),
        ip: server_ip(server, network),
        mask: Ipv4Addr::new(255, 255, 0, 0),
        bcast: Ipv4Addr::new(10, network, 255, 255),
    }
}

/// Every address that a datagram to this one reaches.
pub fn reached(to: Ipv4Addr, sender: Ipv4Addr, servers: usize, networks: u8) -> Vec<Ipv4Addr> {
    let others = |network: u8| {
        (0..servers).map(move |server| server_ip(server, network)).filter(move |ip| *ip != sender)
    };
    if to == MULTICAST || to == Ipv4Addr::BROADCAST {
        return others(network_of(sender)).collect();
    }
    if to.octets()[2..] == [255, 255] {
        let network = network_of(to);
        return if network < networks { others(network).collect() } else { Vec::new() };
    }
    vec![to]
}

/// The network.
pub struct Network {
    noise: Noise,
    servers: usize,
    cuts: BTreeMap<(Machine, Machine), u64>,
    down: BTreeMap<(usize, u8), u64>,
    /// When a packet from one to the other last did not come in time.
    bad_us: BTreeMap<(Machine, Machine), u64>,
    /// When an interface of a server last went down or came up.
    changed_us: BTreeMap<usize, u64>,
    rng: Rng,
    /// What somebody listened in on.
    pub captured: VecDeque<Parcel>,
    /// True if anybody listens.
    pub listened: bool,
}

impl Network {
    /// A network among so many servers.
    pub fn new(noise: Noise, servers: usize, rng: Rng) -> Self {
        Network {
            noise,
            servers,
            cuts: BTreeMap::new(),
            down: BTreeMap::new(),
            bad_us: BTreeMap::new(),
            changed_us: BTreeMap::new(),
            rng,
            captured: VecDeque::new(),
            listened: false,
        }
    }

    /// No more faults.
    pub fn calm(&mut self, now_us: u64) {
        self.noise = Noise { delay_us_min: 100, delay_us_max: 400, ..Noise::QUIET };
        for ends in self.cuts.keys() {
            self.bad_us.insert(*ends, now_us);
        }
        self.cuts.clear();
        self.down.clear();
    }

    /// Cuts one direction.
    pub fn cut(&mut self, from: Machine, to: Machine, now_us: u64) {
        self.cuts.entry((from, to)).or_insert(now_us);
    }

    /// Mends one direction.
    pub fn mend(&mut self, from: Machine, to: Machine, now_us: u64) {
        if self.cuts.remove(&(from, to)).is_some() {
            self.bad_us.insert((from, to), now_us);
        }
    }

    /// Takes an interface down, or up again.
    pub fn set_interface(&mut self, server: usize, network: u8, up: bool, now_us: u64) {
        match up {
            true => self.down.remove(&(server, network)),
            false => self.down.insert((server, network), now_us),
        };
        self.changed_us.insert(server, now_us);
    }

    /// The networks on which a server's interface is up.
    pub fn interfaces(&self, server: usize, networks: u8) -> Vec<Interface> {
        let up = |network: &u8| !self.down.contains_key(&(server, *network));
        (0..networks).filter(up).map(|network| interface(server, network)).collect()
    }

    /// Since when nothing goes from one address to the other, if so.
    pub fn cut_since(&self, from: Ipv4Addr, to: Ipv4Addr) -> Option<u64> {
        if self.cuts.is_empty() && self.down.is_empty() {
            return None;
        }
        let (a, b) = (machine_of(from, self.servers), machine_of(to, self.servers));
        if a == b {
            return None;
        }
        let interface = |ip: Ipv4Addr| match machine_of(ip, self.servers) {
            Machine::Server(server) => self.down.get(&(server, network_of(ip))).copied(),
            _ => None,
        };
        [self.cuts.get(&(a, b)).copied(), interface(from), interface(to)]
            .into_iter()
            .flatten()
            .min()
    }

    /// When a packet between two machines last did not come in time.
    pub fn last_bad_us(&self, from: Ipv4Addr, to: Ipv4Addr, now_us: u64) -> u64 {
        if self.cut_since(from, to).is_some() {
            return now_us;
        }
        let ends = (machine_of(from, self.servers), machine_of(to, self.servers));
        let changed_us = |machine| match machine {
            Machine::Server(server) => self.changed_us.get(&server).copied(),
            _ => None,
        };
        let bad_us = [self.bad_us.get(&ends).copied(), changed_us(ends.0), changed_us(ends.1)];
        bad_us.into_iter().flatten().max().unwrap_or(0)
    }

    fn bad(&mut self, from: Ipv4Addr, to: Ipv4Addr, now_us: u64) {
        let ends = (machine_of(from, self.servers), machine_of(to, self.servers));
        self.bad_us.insert(ends, now_us);
    }

    fn delay_us(&mut self, from: Ipv4Addr, to: Ipv4Addr, now_us: u64, counts: &mut Counts) -> u64 {
        let noise = self.noise;
        let mut delay_us = self.rng.range(noise.delay_us_min, noise.delay_us_max);
        if noise.delay_us_max > MS_US && self.rng.chance(1_000) {
            counts.add(Fault::Delay);
        }
        if self.rng.chance(noise.late_ppm) {
            delay_us += self.rng.below(noise.late_us_max);
            counts.add(Fault::Reordering);
        }
        if delay_us > LATE_US {
            self.bad(from, to, now_us + delay_us);
        }
        delay_us
    }

    fn is_lost(&mut self, from: Ipv4Addr, to: Ipv4Addr, now_us: u64, counts: &mut Counts) -> bool {
        if self.cut_since(from, to).is_some() {
            return true;
        }
        if !self.rng.chance(self.noise.loss_ppm) {
            return false;
        }
        counts.add(Fault::Loss);
        self.bad(from, to, now_us);
        true
    }

    fn is_local(&self, from: Ipv4Addr, to: Ipv4Addr) -> bool {
        machine_of(from, self.servers) == machine_of(to, self.servers)
    }

    /// How long a datagram takes, for each time that it arrives.
    pub fn datagram(
        &mut self,
        from: Ipv4Addr,
        to: Ipv4Addr,
        now_us: u64,
        counts: &mut Counts,
    ) -> [Option<u64>; 2] {
        if self.is_local(from, to) {
            return [Some(30), None];
        }
        if self.is_lost(from, to, now_us, counts) {
            return [None, None];
        }
        let first = self.delay_us(from, to, now_us, counts);
        if !self.rng.chance(self.noise.duplicate_ppm) {
            return [Some(first), None];
        }
        counts.add(Fault::Duplication);
        [Some(first), Some(self.delay_us(from, to, now_us, counts))]
    }

    /// How long a part of a stream takes, which is sent again when it is
    /// lost; `None` while the way is cut.
    pub fn piece(
        &mut self,
        from: Ipv4Addr,
        to: Ipv4Addr,
        now_us: u64,
        counts: &mut Counts,
    ) -> Option<u64> {
        if self.is_local(from, to) {
            return Some(30);
        }
        if self.cut_since(from, to).is_some() {
            return None;
        }
        let mut wait_us = 0;
        let mut pause_us = 20 * MS_US;
        for _ in 0..6 {
            if !self.is_lost(from, to, now_us, counts) {
                break;
            }
            wait_us += pause_us + self.rng.below(pause_us);
            pause_us *= 2;
        }
        Some(wait_us + self.delay_us(from, to, now_us, counts))
    }

    /// Somebody listens in.
    pub fn listen(&mut self, parcel: &Parcel) {
        if !self.listened {
            return;
        }
        if self.captured.len() >= CAPTURED_MAX {
            let at = self.rng.below(CAPTURED_MAX as u64) as usize;
            self.captured.remove(at);
        }
        self.captured.push_back(parcel.clone());
    }
}
