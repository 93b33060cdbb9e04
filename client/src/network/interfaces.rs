//! This machine's IPv4 interfaces, as far as servers can be found on them.

use getifaddrs::{Address, InterfaceFilter, InterfaceFlags};
use std::net::{IpAddr, Ipv4Addr};

/// The most interfaces that are used.
const INTERFACES_MAX: usize = 32;

/// An interface that is up and leads somewhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) ip: Ipv4Addr,
    pub(super) mask: Ipv4Addr,
    /// Its broadcast address, if it has one.
    pub(super) broadcast: Option<Ipv4Addr>,
}

impl Interface {
    /// True if the address lies in this interface's network.
    pub(super) fn contains(&self, address: Ipv4Addr) -> bool {
        self.ip.to_bits() & self.mask.to_bits() == address.to_bits() & self.mask.to_bits()
    }
}

/// The interfaces of now, without loopback.
pub(super) fn interfaces() -> Vec<Interface> {
    let all = InterfaceFilter::new().v4().get().into_iter().flatten();
    let ours = all.filter_map(|interface| {
        let flags = interface.flags;
        if !flags.contains(InterfaceFlags::UP) || flags.contains(InterfaceFlags::LOOPBACK) {
            return None;
        }
        let Address::V4(address) = &interface.address else { return None };
        let broadcast = match interface.address.associated_address() {
            Some(IpAddr::V4(broadcast))
                if flags.contains(InterfaceFlags::BROADCAST) && broadcast != address.address =>
            {
                Some(broadcast)
            }
            _ => None,
        };
        let mask = address.netmask.unwrap_or(Ipv4Addr::BROADCAST);
        Some(Interface { ip: address.address, mask, broadcast })
    });
    ours.take(INTERFACES_MAX).collect()
}

/// True if an interface is up that leads somewhere else; also if the system
/// does not say.
pub(super) fn any_is_up() -> bool {
    let Ok(interfaces) = InterfaceFilter::new().v4().get() else { return true };
    let wanted = InterfaceFlags::UP | InterfaceFlags::RUNNING;
    interfaces.into_iter().any(|interface| {
        interface.flags.contains(wanted) && !interface.flags.contains(InterfaceFlags::LOOPBACK)
    })
}
