//! The group's UDP socket: unicast, broadcast, and the multicast group through
//! every interface, as interfaces come and go.
//!
//! Limits, by the kernel's rules: a socket that is bound to one address hears
//! neither broadcast nor multicast, so this one is bound to none, whatever
//! `listen` says; but for loopback. A server that listens on loopback neither
//! joins nor broadcasts, so that what is tried out on one machine announces
//! nothing to its network. Elsewhere the port is shared (SO_REUSEADDR), so
//! that a DTU on the same host can hear the group, too. It must bind the
//! multicast group's address for that, because unicast goes to whoever bound
//! the port last; a program that binds it otherwise can silence the group's
//! answers to this server, and can forge none.

use crate::group::Transmit;
use afterglow_link::quic::LinkError;
use afterglow_wire::group::{Interface, MULTICAST};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Mutex, PoisonError};
use tokio::net::UdpSocket;

/// Multicasts do not leave the networks that they are sent to: no router
/// passes on what has no hop left.
const MULTICAST_TTL: u32 = 1;

/// The group's socket.
#[derive(Debug)]
pub struct GroupSocket {
    socket: UdpSocket,
    /// True if it stays on this machine.
    loopback: bool,
    /// The interfaces' addresses by which the multicast group is joined. Also
    /// held while a multicast is sent, which needs two calls.
    joined: Mutex<BTreeSet<Ipv4Addr>>,
}

impl GroupSocket {
    /// Binds the group's port, for a server that listens on this address.
    pub fn bind(listen: Ipv4Addr, port: u16) -> Result<Self, LinkError> {
        let loopback = listen.is_loopback();
        let ip = if loopback { listen } else { Ipv4Addr::UNSPECIFIED };
        let address = SocketAddrV4::new(ip, port);
        let bind = || {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
            socket.set_reuse_address(!loopback)?;
            socket.set_broadcast(!loopback)?;
            socket.set_multicast_ttl_v4(MULTICAST_TTL)?;
            socket.bind(&SocketAddr::V4(address).into())?;
            socket.set_nonblocking(true)?;
            UdpSocket::from_std(socket.into())
        };
        let socket = bind().map_err(|source| LinkError::Bind { address, source })?;
        Ok(GroupSocket { socket, loopback, joined: Mutex::default() })
    }

    /// Joins the multicast group by each of these interfaces, and leaves it by
    /// those that are gone. To be called again whenever the interfaces were
    /// looked at, changed or not: the kernel forgets a membership with its
    /// interface, which may be back with the same address.
    pub fn follow(&self, interfaces: &[Interface]) {
        if self.loopback {
            return;
        }
        let wanted = interfaces.iter().map(|interface| interface.ip);
        let wanted: BTreeSet<_> = wanted.filter(|ip| !ip.is_loopback()).collect();
        let mut joined = self.joined.lock().unwrap_or_else(PoisonError::into_inner);
        let socket = SockRef::from(&self.socket);
        for gone in joined.difference(&wanted) {
            // With its interface the membership is gone already.
            let _ = socket.leave_multicast_v4(&MULTICAST, gone);
        }
        joined.retain(|ip| wanted.contains(ip));
        for ip in wanted {
            match socket.join_multicast_v4(&MULTICAST, &ip) {
                Ok(()) => {
                    joined.insert(ip);
                }
                Err(e) if e.kind() == io::ErrorKind::AddrInUse => {
                    // Still a member.
                    joined.insert(ip);
                }
                Err(e) => {
                    let was = joined.remove(&ip);
                    tracing::debug!(was, "multicast cannot be heard by {ip}: {e}");
                }
            }
        }
    }

    /// Sends a datagram now. A full buffer loses it, as the network may.
    pub fn send(&self, transmit: &Transmit) -> io::Result<()> {
        // Not by tokio, which takes a socket for busy until its first event
        // and would swallow our first word.
        let socket = SockRef::from(&self.socket);
        let to = SocketAddr::V4(transmit.to).into();
        let Some(via) = transmit.via else {
            return socket.send_to(&transmit.datagram, &to).map(|_| ());
        };
        if self.loopback {
            return Err(io::Error::other("a server that listens on loopback sends no multicast"));
        }
        let _one_at_a_time = self.joined.lock().unwrap_or_else(PoisonError::into_inner);
        socket.set_multicast_if_v4(&via)?;
        socket.send_to(&transmit.datagram, &to).map(|_| ())
    }

    /// Waits for a datagram and gives its length and where it came from. An
    /// error is about an earlier datagram, mostly, such as a peer that nobody
    /// listens at; the socket goes on.
    pub async fn recv(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddrV4)> {
        loop {
            if let (len, SocketAddr::V4(from)) = self.socket.recv_from(buffer).await? {
                return Ok((len, from));
            }
        }
    }

    /// Where it is bound.
    pub fn local_address(&self) -> io::Result<SocketAddrV4> {
        match self.socket.local_addr()? {
            SocketAddr::V4(address) => Ok(address),
            SocketAddr::V6(_) => Err(io::Error::other("the group's socket is not an IPv4 one")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn transmit(to: SocketAddrV4, via: Option<Ipv4Addr>) -> Transmit {
        Transmit { to, datagram: b"hello".to_vec(), via }
    }

    fn interface(ip: Ipv4Addr) -> Interface {
        Interface { name: "it".into(), ip, mask: Ipv4Addr::new(255, 255, 255, 0), bcast: ip }
    }

    #[tokio::test]
    async fn unicast_comes_and_goes() {
        let here = GroupSocket::bind(Ipv4Addr::LOCALHOST, 0).expect("bound");
        let there = GroupSocket::bind(Ipv4Addr::LOCALHOST, 0).expect("bound");
        here.send(&transmit(there.local_address().expect("bound"), None)).expect("sent");
        let mut buffer = [0; 100];
        let heard = tokio::time::timeout(Duration::from_secs(10), there.recv(&mut buffer)).await;
        let (len, from) = heard.expect("in time").expect("heard");
        assert_eq!((&buffer[..len], from), (&b"hello"[..], here.local_address().expect("bound")));
    }

    #[tokio::test]
    async fn a_server_on_loopback_neither_joins_nor_broadcasts() {
        let here = GroupSocket::bind(Ipv4Addr::LOCALHOST, 0).expect("bound");
        here.follow(&[interface(Ipv4Addr::new(192, 0, 2, 1))]);
        assert!(here.joined.lock().expect("no panic").is_empty());
        let all = SocketAddrV4::new(Ipv4Addr::BROADCAST, 9);
        here.send(&transmit(all, None)).expect_err("no broadcast");
        let group = SocketAddrV4::new(MULTICAST, 9);
        here.send(&transmit(group, Some(Ipv4Addr::LOCALHOST))).expect_err("no multicast");
    }

    #[tokio::test]
    async fn interfaces_that_are_not_there_are_no_trouble() {
        let here = GroupSocket::bind(Ipv4Addr::UNSPECIFIED, 0).expect("bound");
        // A test network that no host is on (RFC 5737), and loopback.
        let interfaces = [interface(Ipv4Addr::new(192, 0, 2, 1)), interface(Ipv4Addr::LOCALHOST)];
        here.follow(&interfaces);
        here.follow(&[]);
        assert!(here.joined.lock().expect("no panic").is_empty());
    }
}
