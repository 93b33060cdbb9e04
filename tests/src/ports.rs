//! Ports that no other test on this machine has.

use anyhow::{Result, bail};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

/// How many ports one host gets: group, control, and the rest for sessions.
const BLOCK: u16 = 40;
/// Below the ports that the kernel hands out by itself.
const FIRST: u16 = 21_000;
const LAST: u16 = 32_000;

/// A block of ports, taken until it is dropped.
#[derive(Debug)]
pub struct Ports {
    first: u16,
    /// Tells the other tests that the block is taken; a name without a file,
    /// which goes with this process however it ends.
    _taken: UnixListener,
}

impl Ports {
    /// A free block.
    pub fn take() -> Result<Self> {
        for first in (FIRST..LAST).step_by(usize::from(BLOCK)) {
            let name = SocketAddr::from_abstract_name(format!("afterglow-tests-ports-{first}"))?;
            let Ok(taken) = UnixListener::bind_addr(&name) else { continue };
            let free = |port| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok();
            if (first..first + BLOCK).all(free) {
                return Ok(Ports { first, _taken: taken });
            }
        }
        bail!("no {BLOCK} UDP ports in a row are free between {FIRST} and {LAST}")
    }

    /// The group's messages.
    pub fn group(&self) -> u16 {
        self.first
    }

    /// Control links.
    pub fn control(&self) -> u16 {
        self.first + 1
    }

    /// Display links, as the configuration writes them.
    pub fn sessions(&self) -> String {
        format!("{}-{}", self.first + 2, self.first + BLOCK - 1)
    }
}
