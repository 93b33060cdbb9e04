//! Hosts with interfaces on bridges: a switch that can be told to let a cable
//! go dead, to split, and to mend.
//!
//! The bridges are in a namespace of their own, so that a cut is silent: the
//! host's interface stays up and hears nothing.

use super::capture::Capture;
use super::relay::{Relay, Weather};
use super::{Displays, Namespace};
use anyhow::{Result, ensure};
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

/// What connects the hosts.
pub struct Lan {
    switch: Namespace,
    ports: usize,
}

/// A host's place: a namespace with an interface on each of its segments.
pub struct Node {
    namespace: Namespace,
    interfaces: Vec<Interface>,
}

/// One interface of a host: `eth0`, `eth1` in there.
#[derive(Debug, Clone)]
pub struct Interface {
    /// Its name in there.
    pub name: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// The switch's end of the cable.
    port: String,
}

/// Where a cable ends: one of the bridges, or at a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segment {
    /// The bridge of this number.
    Bridge(usize),
    /// No bridge: whoever starts a relay carries its frames.
    Loose,
}

impl Lan {
    /// A switch with this many bridges.
    pub fn new(bridges: usize) -> Result<Self> {
        let switch = Namespace::first()?;
        let mut lines = "link set lo up\n".to_owned();
        for number in 0..bridges {
            writeln!(lines, "link add br{number} type bridge mcast_snooping 0")?;
            writeln!(lines, "link set br{number} up")?;
        }
        switch.ip(&lines)?;
        Ok(Lan { switch, ports: 0 })
    }

    /// A host with these interfaces, each in a /24 of its address.
    pub fn plug(
        &mut self,
        interfaces: &[(Segment, Ipv4Addr)],
        displays: Displays,
    ) -> Result<Arc<Node>> {
        ensure!(!interfaces.is_empty(), "a host has an interface");
        let namespace = self.switch.beside(displays)?;
        let (mut outside, mut inside) = (String::new(), "link set lo up\n".to_owned());
        let mut made = Vec::new();
        for (number, (segment, address)) in interfaces.iter().enumerate() {
            let (name, port) = (format!("eth{number}"), format!("port{}", self.ports));
            self.ports += 1;
            let pid = namespace.pid();
            writeln!(outside, "link add {port} type veth peer name {name} netns {pid}")?;
            if let Segment::Bridge(bridge) = segment {
                writeln!(outside, "link set {port} master br{bridge}")?;
            }
            writeln!(outside, "link set {port} up")?;
            // An address tells its station, so that a neighbour can be known
            // before it was asked.
            writeln!(inside, "link set {name} address {}", station(*address))?;
            writeln!(inside, "addr add {address}/24 brd + dev {name}")?;
            if *segment == Segment::Loose {
                // A relay in user space takes frames as they are on a wire.
                writeln!(inside, "link set {name} gso_max_segs 1")?;
            }
            writeln!(inside, "link set {name} up")?;
            made.push(Interface { name, address: *address, port });
        }
        inside.push_str("route add default dev eth0\n");
        self.switch.ip(&outside)?;
        namespace.ip(&inside)?;
        Ok(Arc::new(Node { namespace, interfaces: made }))
    }

    /// Cuts a cable, silently: its ends stay up.
    pub fn cut(&self, interface: &Interface) -> Result<()> {
        self.switch.bridge(&format!("link set dev {} state 0\n", interface.port))
    }

    /// Mends a cable that was cut.
    pub fn mend(&self, interface: &Interface) -> Result<()> {
        self.switch.bridge(&format!("link set dev {} state 3\n", interface.port))
    }

    /// Moves a cable's end to another bridge.
    pub fn move_to(&self, interface: &Interface, bridge: usize) -> Result<()> {
        self.switch.ip(&format!("link set {} master br{bridge}\n", interface.port))
    }

    /// From now on this interface hears no broadcasts, or hears them again.
    pub fn set_deaf(&self, interface: &Interface, deaf: bool) -> Result<()> {
        let flood = if deaf { "off" } else { "on" };
        let port = &interface.port;
        self.switch.bridge(&format!(
            "link set dev {port} bcast_flood {flood}\nlink set dev {port} mcast_flood {flood}\n"
        ))
    }

    /// Notes the group's datagrams from now on, in a file.
    pub fn capture(&self, file: &Path) -> Result<Capture> {
        Capture::start(&self.switch, file)
    }

    /// Carries frames between all loose cables, through this weather.
    pub fn relay(&self, nodes: &[&Node], weather: Weather) -> Result<Relay> {
        let ports = nodes.iter().flat_map(|node| &node.interfaces);
        Relay::start(&self.switch, ports.map(|interface| interface.port.as_str()), weather)
    }

    /// Where the screens of the DTUs run, so that they end with everything.
    pub fn switch(&self) -> &Namespace {
        &self.switch
    }
}

/// The hardware address of an interface with this address.
fn station(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("02:00:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

impl Node {
    /// Where its programs run.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Its interfaces.
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// Knows the other's stations without asking for them.
    pub fn know(&self, other: &Node) -> Result<()> {
        let mut lines = String::new();
        for (own, other) in self.interfaces.iter().zip(&other.interfaces) {
            let (address, station) = (other.address, station(other.address));
            writeln!(lines, "neigh replace {address} lladdr {station} dev {}", own.name)?;
        }
        self.namespace.ip(&lines)
    }

    /// From now on it sends no more than this through its first interface, as
    /// a slow line with a short queue does: what waits longer than 50 ms there
    /// is lost.
    pub fn limit_sending(&self, mbit_per_s: u32) -> Result<()> {
        let name = &self.first().name;
        let rate = format!("tbf rate {mbit_per_s}mbit burst 16kb latency 50ms");
        self.namespace.tc(&format!("qdisc replace dev {name} root {rate}\n"))
    }

    /// Its first interface.
    pub fn first(&self) -> &Interface {
        &self.interfaces[0]
    }
}
