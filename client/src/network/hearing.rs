//! What the local network says: answers to our question, and the servers' own
//! host messages (patent, figure 9a, step 907).
//!
//! A DTU has no group key, so anybody could have said it; TLS proves the
//! server later. What floods in is dropped by the kernel while a listener
//! rests, and by the queue to the connection logic while that is full.

use super::interfaces::Interface;
use crate::connection::{Event, Via};
use afterglow_wire::group::{GroupMessage, HostMessage, MULTICAST};
use afterglow_wire::limits::GROUP_DATAGRAM_BYTES_MAX;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

/// So many datagrams are read without a rest.
const BURST: u32 = 64;
/// The rest.
const REST: Duration = Duration::from_millis(20);

/// Takes answers to the question with this nonce.
pub(super) async fn hear_answers(socket: Arc<UdpSocket>, nonce: u64, events: mpsc::Sender<Event>) {
    hear(&socket, &events, |message| match message {
        GroupMessage::ServerR(answer) if answer.nonce == nonce => {
            let address = SocketAddrV4::new(answer.addr, answer.port);
            usable(address).then_some(Event::ServerFound {
                address,
                server: Some(answer.host),
                via: Via::Answer,
            })
        }
        _ => None,
    })
    .await;
}

/// Takes host messages.
pub(super) async fn hear_hosts(
    socket: UdpSocket,
    ours: Arc<Vec<Interface>>,
    events: mpsc::Sender<Event>,
) {
    hear(&socket, &events, |message| match message {
        GroupMessage::Host(host) => {
            let address = address_of(&host, &ours)?;
            Some(Event::ServerFound { address, server: Some(host.host), via: Via::Heard })
        }
        _ => None,
    })
    .await;
}

async fn hear(
    socket: &UdpSocket,
    events: &mpsc::Sender<Event>,
    meaning: impl Fn(GroupMessage) -> Option<Event>,
) {
    let mut buffer = [0; GROUP_DATAGRAM_BYTES_MAX + 1];
    let mut heard = 0;
    loop {
        heard += 1;
        if heard % BURST == 0 {
            tokio::time::sleep(REST).await;
        }
        let Ok((len, _)) = socket.recv_from(&mut buffer).await else {
            // An error of an earlier datagram to nobody; not this socket's end.
            tokio::time::sleep(REST).await;
            continue;
        };
        let Ok(received) = GroupMessage::parse(&buffer[..len], None) else { continue };
        if let Some(event) = meaning(received.message) {
            // A full queue means that enough is known.
            let _ = events.try_send(event);
        }
    }
}

/// Where a host takes this DTU: at its interface on a network of ours if it
/// has one, else at its primary address.
fn address_of(host: &HostMessage, ours: &[Interface]) -> Option<SocketAddrV4> {
    let near = |ip: &Ipv4Addr| ours.iter().any(|interface| interface.contains(*ip));
    let on_ours = host.interfaces.iter().map(|interface| interface.ip).find(near);
    let address = SocketAddrV4::new(on_ours.unwrap_or(host.addr), host.port);
    usable(address).then_some(address)
}

/// True if a server can be at this address, seen from the network.
fn usable(address: SocketAddrV4) -> bool {
    let ip = address.ip();
    let wrong = ip.is_unspecified() || ip.is_broadcast() || ip.is_multicast() || ip.is_loopback();
    !wrong && address.port() != 0
}

/// The sockets on which host messages come: one for the multicast group, on
/// all interfaces, and one for each broadcast address.
///
/// Each is bound to the address that the messages are sent to, and not to all,
/// so that on a machine that is also a server nothing that is sent to that
/// server comes here instead. Where another program has the port for itself
/// there are fewer sockets, or none.
pub(super) fn sockets(port: u16, ours: &[Interface]) -> Vec<UdpSocket> {
    let broadcasts = ours.iter().filter_map(|interface| interface.broadcast);
    let broadcasts: BTreeSet<Ipv4Addr> = broadcasts.chain([Ipv4Addr::BROADCAST]).collect();
    let open = |address: Ipv4Addr| {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SockAddr::from(SocketAddrV4::new(address, port)))?;
        if address.is_multicast() {
            for interface in ours {
                // One interface that cannot must not spoil the others.
                let _ = socket.join_multicast_v4(&address, &interface.ip);
            }
        }
        UdpSocket::from_std(socket.into())
    };
    let addresses = std::iter::once(MULTICAST).chain(broadcasts);
    let opened = addresses.filter_map(|address| match open(address) {
        Ok(socket) => Some(socket),
        Err(error) => {
            tracing::debug!("host messages to {address}:{port} are not heard: {error}");
            None
        }
    });
    opened.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use afterglow_wire::group::Interface as HostInterface;
    use afterglow_wire::trust::GroupKey;

    fn ours() -> Vec<Interface> {
        vec![Interface {
            ip: [192, 168, 7, 5].into(),
            mask: [255, 255, 255, 0].into(),
            broadcast: Some([192, 168, 7, 255].into()),
        }]
    }

    fn host(addr: [u8; 4], interfaces: &[[u8; 4]]) -> HostMessage {
        let interface = |ip: &[u8; 4]| HostInterface {
            name: "eth0".into(),
            ip: (*ip).into(),
            mask: [255, 255, 255, 0].into(),
            bcast: [ip[0], ip[1], ip[2], 255].into(),
        };
        HostMessage {
            host: "mud".parse().unwrap(),
            addr: addr.into(),
            time_ms: 1,
            flags: 0,
            cpus: 1,
            clock_mhz: 1,
            memory_mib: 0,
            boot: 1,
            seq: 1,
            port: 7010,
            load_percent: 0,
            sessions: 0,
            version: "0".into(),
            home: None,
            part: (1, 1),
            interfaces: interfaces.iter().map(interface).collect(),
        }
    }

    #[test]
    fn a_host_is_met_on_our_own_network_if_it_is_there() {
        let near = host([10, 0, 0, 1], &[[10, 0, 0, 1], [192, 168, 7, 9]]);
        assert_eq!(address_of(&near, &ours()), Some("192.168.7.9:7010".parse().unwrap()));
        let far = host([10, 0, 0, 1], &[[10, 0, 0, 1]]);
        assert_eq!(address_of(&far, &ours()), Some("10.0.0.1:7010".parse().unwrap()));
        for addr in [[127, 0, 0, 1], [0; 4], [255; 4], [239, 1, 1, 1]] {
            assert_eq!(address_of(&host(addr, &[]), &ours()), None);
        }
    }

    #[tokio::test]
    async fn answers_to_other_questions_are_not_heard() {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let (events, mut heard) = mpsc::channel(4);
        tokio::spawn(hear_answers(socket.clone(), 7, events));
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let to = socket.local_addr().unwrap();
        for answer in [
            "garbage",
            "serverR=0000000000000006 host=evil addr=0a000001 port=1",
            "serverR=0000000000000007 host=evil addr=ffffffff port=1",
            "serverR=0000000000000007 host=evil addr=0a000001 port=0",
            "serverR=0000000000000007 host=mud addr=0a000002 port=7010",
        ] {
            server.send_to(answer.as_bytes(), to).await.unwrap();
        }
        let Some(Event::ServerFound { address, server, via: Via::Answer }) = heard.recv().await
        else {
            panic!("no server found");
        };
        assert_eq!(address, "10.0.0.2:7010".parse().unwrap());
        assert_eq!(server.unwrap().as_str(), "mud");
    }

    #[tokio::test]
    async fn a_host_message_is_heard_without_a_key() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let to = socket.local_addr().unwrap();
        let (events, mut heard) = mpsc::channel(4);
        tokio::spawn(hear_hosts(socket, Arc::new(ours()), events));
        let key = GroupKey::from_file_content(&[3; 32]).unwrap();
        let message = GroupMessage::Host(host([10, 0, 0, 1], &[[192, 168, 7, 9]]));
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        server.send_to(&message.to_datagram(&key.message_key()), to).await.unwrap();
        let Some(Event::ServerFound { address, via: Via::Heard, .. }) = heard.recv().await else {
            panic!("no server heard");
        };
        assert_eq!(address, "192.168.7.9:7010".parse().unwrap());
    }

    #[tokio::test]
    async fn a_server_on_this_machine_keeps_what_is_sent_to_it() {
        let server = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        server.set_reuse_address(true).unwrap();
        let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        server.bind(&SockAddr::from(any)).unwrap();
        server.set_nonblocking(true).unwrap();
        let server = UdpSocket::from_std(server.into()).unwrap();
        let port = server.local_addr().unwrap().port();
        let listening = sockets(port, &[]);
        assert_eq!(listening.len(), 2, "beside the server");
        let dtu = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        dtu.send_to(b"to the server", (Ipv4Addr::LOCALHOST, port)).await.unwrap();
        let mut buffer = [0; 32];
        let heard = tokio::time::timeout(Duration::from_secs(5), server.recv(&mut buffer)).await;
        assert_eq!(heard.unwrap().unwrap(), 13);
    }
}
