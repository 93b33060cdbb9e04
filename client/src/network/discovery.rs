//! How servers are found. The sources, in the order in which what they yield
//! is tried:
//!
//! 1. the servers given with `--server`;
//! 2. the site's DNS: SRV records `_afterglow._udp.DOMAIN` for each search
//!    domain of `/etc/resolv.conf` and the host's own domain ([`super::srv`]);
//! 3. the DHCP lease's option 224, where the system's DHCP client leaves it
//!    ([`super::lease`]);
//! 4. what a server of the group has told of the others;
//! 5. answers to a serverQ, sent by broadcast and by multicast on each
//!    interface;
//! 6. the servers of an earlier run;
//! 7. servers whose host messages are heard on the group's port
//!    ([`super::hearing`]).
//!
//! Once a server of the group was met, those that it said are up come before
//! all others. Where servers are listed, the rest is asked only once none of
//! the list can be reached; where all listed servers are on this machine, the
//! network is left alone.

use super::hearing::{hear_answers, hear_hosts, sockets};
use super::interfaces::{any_is_up, interfaces};
use super::server_list::host_and_port;
use super::{lease, srv};
use crate::connection::{Event, Via};
use afterglow_wire::group::{MULTICAST, ServerQ};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UdpSocket, lookup_host};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

/// How long host messages are listened for after a question. Servers say them
/// every few seconds, and questions go on as long as nobody is found.
const LISTENING: Duration = Duration::from_secs(12);

/// Looks for servers, off the connection logic's path.
pub(super) struct Discovery {
    /// The user's list: host and port.
    listed: Vec<(String, u16)>,
    nonce: u64,
    group_port: u16,
    socket: Option<Arc<UdpSocket>>,
    /// The listed servers' names are being looked up.
    lookups: Option<JoinHandle<()>>,
    /// The site is being asked.
    site: Option<JoinHandle<()>>,
    /// Host messages are being listened for.
    hosts: Option<JoinHandle<()>>,
    /// What the user and the site say; it waits for its turn.
    events: mpsc::Sender<Event>,
    /// What anybody on the network says; it is dropped if too much waits.
    heard: mpsc::Sender<Event>,
}

impl Discovery {
    pub(super) fn new(
        servers: &[String],
        nonce: u64,
        group_port: u16,
        events: mpsc::Sender<Event>,
        heard: mpsc::Sender<Event>,
    ) -> Self {
        let listed = servers.iter().map(|server| host_and_port(server)).collect();
        Discovery {
            listed,
            nonce,
            group_port,
            socket: None,
            lookups: None,
            site: None,
            hosts: None,
            events,
            heard,
        }
    }

    /// Finds the addresses of the listed servers, unless that is under way.
    pub(super) fn resolve(&mut self) {
        if self.lookups.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let mut lookups = JoinSet::new();
        for (host, port) in self.listed.clone() {
            let events = self.events.clone();
            lookups.spawn(async move {
                for event in look_up(&host, port, "given with --server", Via::Listed).await {
                    let _ = events.send(event).await;
                }
            });
        }
        self.lookups =
            Some(tokio::spawn(async move { while lookups.join_next().await.is_some() {} }));
    }

    /// True if only this machine is meant: then the network is left alone.
    fn stays_here(&self) -> bool {
        !self.listed.is_empty() && self.listed.iter().all(|(host, _)| is_loopback(host))
    }

    /// Asks the site's DNS and reads the DHCP lease, unless that is under way.
    pub(super) fn ask_site(&mut self) {
        let under_way = self.site.as_ref().is_some_and(|task| !task.is_finished());
        if !self.stays_here() && !under_way {
            self.site = Some(tokio::spawn(ask_site(self.nonce, self.events.clone())));
        }
    }

    /// Asks every network that this machine is on, and listens for a while.
    pub(super) async fn ask(&mut self) {
        if self.stays_here() {
            return;
        }
        self.listen();
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
        let mut broadcasts = BTreeSet::from([Ipv4Addr::BROADCAST]);
        // One interface that is just going down must not spoil the others.
        for interface in interfaces() {
            broadcasts.extend(interface.broadcast);
            let by = socket2::SockRef::from(&*socket).set_multicast_if_v4(&interface.ip);
            if by.is_ok() {
                let _ = socket.send_to(&question, (MULTICAST, self.group_port)).await;
            }
        }
        for address in broadcasts {
            let _ = socket.send_to(&question, (address, self.group_port)).await;
        }
    }

    async fn open_socket(&mut self) -> std::io::Result<Arc<UdpSocket>> {
        let socket = Arc::new(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?);
        socket.set_broadcast(true)?;
        socket.set_multicast_ttl_v4(1)?;
        tokio::spawn(hear_answers(socket.clone(), self.nonce, self.heard.clone()));
        self.socket = Some(socket.clone());
        Ok(socket)
    }

    /// Listens for host messages, unless that is under way.
    fn listen(&mut self) {
        if self.hosts.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let ours = Arc::new(interfaces());
        let mut listeners = JoinSet::new();
        for socket in sockets(self.group_port, &ours) {
            listeners.spawn(hear_hosts(socket, ours.clone(), self.heard.clone()));
        }
        self.hosts = Some(tokio::spawn(async move {
            let all = async { while listeners.join_next().await.is_some() {} };
            let _ = tokio::time::timeout(LISTENING, all).await;
        }));
    }

    /// The addresses at which this machine is on some network.
    pub(super) fn addresses(&self) -> Vec<Ipv4Addr> {
        match self.stays_here() {
            true => Vec::new(),
            false => interfaces().into_iter().map(|interface| interface.ip).collect(),
        }
    }

    /// True if there is a network that servers could be on.
    pub(super) fn network_is_up(&self) -> bool {
        self.listed.iter().any(|(host, _)| is_loopback(host)) || any_is_up()
    }
}

/// The site's DNS and the DHCP lease, at the same time.
async fn ask_site(seed: u64, events: mpsc::Sender<Event>) {
    let mut state = seed | 1;
    let random_below = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) % below.max(1)
    };
    let dns = async {
        for (place, record) in (0..).zip(srv::look_up(random_below).await) {
            let via = Via::Dns { place };
            tell(&record.target, record.port, "named by the site's DNS", via, &events).await;
        }
    };
    let dhcp = async {
        let servers = tokio::task::spawn_blocking(lease::servers).await.unwrap_or_default();
        for (host, port) in servers {
            tell(&host, port, "named by the DHCP lease", Via::Dhcp, &events).await;
        }
    };
    tokio::join!(dns, dhcp);
}

async fn tell(host: &str, port: u16, source: &str, via: Via, events: &mpsc::Sender<Event>) {
    for event in look_up(host, port, source, via).await {
        let _ = events.send(event).await;
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

async fn look_up(host: &str, port: u16, source: &str, via: Via) -> Vec<Event> {
    let failed =
        |why: &str| vec![Event::LookupFailed { text: format!("{host} ({source}): {why}") }];
    let addresses = match lookup_host((host, port)).await {
        Ok(addresses) => addresses,
        Err(error) => return failed(&error.to_string()),
    };
    let found: Vec<Event> = addresses
        .filter_map(|address| match address {
            SocketAddr::V4(address) => Some(Event::ServerFound { address, server: None, via }),
            SocketAddr::V6(_) => None,
        })
        .collect();
    if found.is_empty() { failed("it has no IPv4 address") } else { found }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn discovery(servers: &[&str]) -> Discovery {
        let servers: Vec<String> = servers.iter().map(|server| (*server).to_owned()).collect();
        let (events, _) = mpsc::channel(1);
        Discovery::new(&servers, 1, 7009, events.clone(), events)
    }

    #[tokio::test]
    async fn a_list_on_this_machine_leaves_the_network_alone() {
        let mut here = discovery(&["127.0.0.1:7110", "localhost"]);
        assert!(here.stays_here() && here.network_is_up());
        here.ask().await;
        here.ask_site();
        assert!(here.socket.is_none() && here.site.is_none() && here.hosts.is_none());
        assert!(!discovery(&["127.0.0.1", "mud"]).stays_here());
        assert!(!discovery(&[]).stays_here());
    }

    #[tokio::test]
    async fn a_listed_address_is_found_and_a_wrong_name_is_told() {
        let source = "given with --server";
        let found = look_up("127.0.0.1", 7110, source, Via::Listed).await;
        assert!(matches!(
            found[..],
            [Event::ServerFound { address, server: None, via: Via::Listed }]
                if address == "127.0.0.1:7110".parse().unwrap()
        ));
        let failed = look_up("no such host", 1, source, Via::Listed).await;
        assert!(matches!(
            &failed[..],
            [Event::LookupFailed { text }]
                if text.contains("no such host") && text.contains("--server")
        ));
    }
}
