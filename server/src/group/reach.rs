//! Which servers a DTU can reach, and by which of their addresses (patent,
//! Table A: "a server can determine the subset of servers to which the DTU is
//! able to connect").
//!
//! A server has several networks, and private networks at different places
//! have the same numbers. What tells them apart is who is heard: an interface
//! that has our network's numbers, and that we never hear, is on another
//! network. The rules, the first that fits:
//!
//! 1. A DTU on our own host (loopback) reaches a server whose primary address
//!    is a loopback one by that; any other as we do: by an interface that we
//!    hear, else by its primary address.
//! 2. A server with an interface on the DTU's network, on which we have one
//!    too, is reached by it if we hear it through it. An interface that fell
//!    silent, or that was never heard, is not used.
//! 3. A DTU on a routed network, that is on none of ours or on one that the
//!    configuration lists under `networks`, reaches a server by its primary
//!    address; if that belongs to an interface which rule 2 would not use, by
//!    another interface that we hear.
//! 4. A DTU on a network of ours reaches a server elsewhere if there is a
//!    router: we hear the server from its primary address, which is on no
//!    network of ours; or that address is none of its interfaces', so that
//!    somebody configured it to be reached by.
//! 5. Else it does not reach the server.

use super::topology::{HeardInterface, Host};
use crate::config::Network;
use afterglow_wire::group::Interface;
use std::net::Ipv4Addr;

/// Where we are.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Our interfaces.
    pub interfaces: &'a [Interface],
    /// Networks beyond a router whose DTUs we answer.
    pub routed: &'a [Network],
}

impl Place<'_> {
    /// True if the address is on a network of ours.
    pub fn is_near(&self, address: Ipv4Addr) -> bool {
        self.interfaces.iter().any(|ours| ours.contains(address))
    }

    fn is_routed(&self, dtu: Ipv4Addr) -> bool {
        !self.is_near(dtu) || self.routed.iter().any(|network| network.contains(dtu))
    }

    /// True if we have an interface with this one's network numbers.
    fn shares(&self, theirs: &Interface) -> bool {
        self.interfaces.iter().any(|ours| ours.contains(theirs.ip) && theirs.contains(ours.ip))
    }

    /// The server's address for a DTU at this address; `None` if it does not
    /// reach it.
    pub fn way_to(&self, host: &Host, dtu: Ipv4Addr) -> Option<Ipv4Addr> {
        let primary = host.message.addr;
        if dtu.is_loopback() {
            return match primary.is_loopback() {
                true => Some(primary),
                false => Some(heard(host).map_or(primary, |known| known.interface.ip)),
            };
        }
        let shared = |known: &&HeardInterface| {
            known.interface.contains(dtu) && known.works() && self.shares(&known.interface)
        };
        if let Some(known) = host.interfaces.iter().find(shared) {
            return Some(known.interface.ip);
        }
        let of_primary = host.interfaces.iter().find(|known| known.interface.ip == primary);
        if self.is_routed(dtu) {
            let broken =
                of_primary.is_some_and(|known| !known.works() && self.shares(&known.interface));
            if !broken && !primary.is_loopback() {
                return Some(primary);
            }
            return heard(host).map(|known| known.interface.ip);
        }
        let beyond_a_router = !self.is_near(primary) && !primary.is_loopback();
        let proven = of_primary.is_none_or(HeardInterface::works);
        (beyond_a_router && proven).then_some(primary)
    }
}

/// An interface that others reach the server by, and we hear.
fn heard(host: &Host) -> Option<&HeardInterface> {
    host.interfaces.iter().find(|known| known.works() && !known.interface.ip.is_loopback())
}
