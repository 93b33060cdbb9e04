//! How servers are found: the user's list, and questions to the network.

use crate::connection::{Event, Via};
use afterglow_wire::group::{GroupMessage, ServerQ};
use afterglow_wire::limits::GROUP_DATAGRAM_BYTES_MAX;
use getifaddrs::{Address, InterfaceFilter, InterfaceFlags};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use tokio::net::{UdpSocket, lookup_host};
use tokio::sync::mpsc;

/// Where servers take DTUs unless the user says otherwise.
pub const CONTROL_PORT: u16 = 7010;
/// Where servers hear the group's messages, and a DTU's questions.
const GROUP_PORT: u16 = 7009;
/// The most broadcast addresses that are asked.
const BROADCASTS_MAX: usize = 32;

/// Looks for servers, off the connection logic's path.
pub(super) struct Discovery {
    /// The user's list: host and port.
    listed: Vec<(String, u16)>,
    nonce: u64,
    socket: Option<Arc<UdpSocket>>,
    events: mpsc::Sender<Event>,
}

impl Discovery {
    pub(super) fn new(servers: &[String], nonce: u64, events: mpsc::Sender<Event>) -> Self {
        let listed = servers.iter().map(|server| host_and_port(server)).collect();
        Discovery { listed, nonce, socket: None, events }
    }

    /// Finds the addresses of the listed servers.
    pub(super) fn resolve(&self) {
        for (host, port) in self.listed.clone() {
            let events = self.events.clone();
            tokio::spawn(async move {
                for event in look_up(&host, port).await {
                    // A full queue means that the answer is not waited for.
                    let _ = events.try_send(event);
                }
            });
        }
    }

    /// True if only this machine is meant: then the network is left alone.
    fn stays_here(&self) -> bool {
        !self.listed.is_empty() && self.listed.iter().all(|(host, _)| is_loopback(host))
    }

    /// Asks every network that this machine is on.
    pub(super) async fn ask(&mut self) {
        if self.stays_here() {
            return;
        }
        let socket = match &self.socket {
            Some(socket) => socket.clone(),
            None => match self.open_socket().await {
                Ok(socket) => socket,
                Err(error) => {
                    let text = format!("cannot ask the network for servers: {error}");
                    let _ = self.events.try_send(Event::LookupFailed { text });
                    return;
                }
            },
        };
        let question = ServerQ { nonce: self.nonce }.to_datagram();
        for address in broadcasts() {
            // One interface that is just going down must not spoil the others.
            let _ = socket.send_to(&question, (address, GROUP_PORT)).await;
        }
    }

    async fn open_socket(&mut self) -> std::io::Result<Arc<UdpSocket>> {
        let socket = Arc::new(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?);
        socket.set_broadcast(true)?;
        tokio::spawn(hear_answers(socket.clone(), self.nonce, self.events.clone()));
        self.socket = Some(socket.clone());
        Ok(socket)
    }

    /// True if there is a network that servers could be on.
    pub(super) fn network_is_up(&self) -> bool {
        if self.listed.iter().any(|(host, _)| is_loopback(host)) {
            return true;
        }
        let Ok(interfaces) = InterfaceFilter::new().v4().get() else { return true };
        let wanted = InterfaceFlags::UP | InterfaceFlags::RUNNING;
        interfaces.into_iter().any(|interface| {
            interface.flags.contains(wanted) && !interface.flags.contains(InterfaceFlags::LOOPBACK)
        })
    }
}

/// Splits `HOST[:PORT]`.
fn host_and_port(server: &str) -> (String, u16) {
    match server.rsplit_once(':') {
        Some((host, port)) if let Ok(port) = port.parse() => (host.to_owned(), port),
        _ => (server.to_owned(), CONTROL_PORT),
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

async fn look_up(host: &str, port: u16) -> Vec<Event> {
    let failed = |why: &str| {
        vec![Event::LookupFailed { text: format!("{host} (given with --server): {why}") }]
    };
    let addresses = match lookup_host((host, port)).await {
        Ok(addresses) => addresses,
        Err(error) => return failed(&error.to_string()),
    };
    let found: Vec<Event> = addresses
        .filter_map(|address| match address {
            SocketAddr::V4(address) => {
                Some(Event::ServerFound { address, server: None, via: Via::Listed })
            }
            SocketAddr::V6(_) => None,
        })
        .collect();
    if found.is_empty() { failed("it has no IPv4 address") } else { found }
}

/// Every interface's broadcast address, and the one that means all.
fn broadcasts() -> impl Iterator<Item = Ipv4Addr> {
    let mut addresses = BTreeSet::from([Ipv4Addr::BROADCAST]);
    for interface in InterfaceFilter::new().v4().get().into_iter().flatten() {
        let flags = InterfaceFlags::UP | InterfaceFlags::BROADCAST;
        if interface.flags.contains(flags)
            && let Address::V4(address) = &interface.address
            && let Some(IpAddr::V4(broadcast)) = interface.address.associated_address()
            && broadcast != address.address
        {
            addresses.insert(broadcast);
        }
    }
    addresses.into_iter().take(BROADCASTS_MAX)
}

/// Takes answers to our question; who they come from is proven later, by TLS.
async fn hear_answers(socket: Arc<UdpSocket>, nonce: u64, events: mpsc::Sender<Event>) {
    let mut buffer = [0; GROUP_DATAGRAM_BYTES_MAX + 1];
    loop {
        let Ok((len, _)) = socket.recv_from(&mut buffer).await else {
            // An error of an earlier datagram to nobody; not this socket's end.
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            continue;
        };
        let Ok(received) = GroupMessage::parse(&buffer[..len], None) else { continue };
        if let GroupMessage::ServerR(answer) = received.message
            && answer.nonce == nonce
        {
            let address = SocketAddrV4::new(answer.addr, answer.port);
            let event = Event::ServerFound { address, server: Some(answer.host), via: Via::Answer };
            let _ = events.try_send(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_host_and_port() {
        assert_eq!(host_and_port("mud"), ("mud".into(), 7010));
        assert_eq!(host_and_port("10.0.0.1:7110"), ("10.0.0.1".into(), 7110));
        assert_eq!(host_and_port("mud:x"), ("mud:x".into(), 7010));
    }

    #[tokio::test]
    async fn a_list_on_this_machine_leaves_the_network_alone() {
        let (events, _waiting) = mpsc::channel(1);
        let listed = ["127.0.0.1:7110".to_owned(), "localhost".to_owned()];
        let mut here = Discovery::new(&listed, 1, events.clone());
        assert!(here.stays_here() && here.network_is_up());
        here.ask().await;
        assert!(here.socket.is_none());
        let listed = ["127.0.0.1".to_owned(), "mud".to_owned()];
        assert!(!Discovery::new(&listed, 1, events.clone()).stays_here());
        assert!(!Discovery::new(&[], 1, events).stays_here());
    }

    #[tokio::test]
    async fn a_listed_address_is_found_and_a_wrong_name_is_told() {
        let found = look_up("127.0.0.1", 7110).await;
        assert!(matches!(
            found[..],
            [Event::ServerFound { address, server: None, via: Via::Listed }]
                if address == "127.0.0.1:7110".parse().unwrap()
        ));
        let failed = look_up("no such host", 1).await;
        assert!(
            matches!(&failed[..], [Event::LookupFailed { text }] if text.contains("no such host"))
        );
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
}
