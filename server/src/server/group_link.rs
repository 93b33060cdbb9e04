//! The group's UDP socket around the group manager.

use super::group_socket::GroupSocket;
use super::{Shared, clock, hand_back, host};
use crate::config::PeerAddress;
use crate::group::question::Answers;
use crate::group::{Ask, GroupManager, Output};
use afterglow_wire::ids::Token;
use std::collections::HashMap;
use std::net::{SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// How often the host's interfaces and load are looked at again.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often listed servers' names are looked up again.
const RESOLVE_EVERY: Duration = Duration::from_secs(30);

/// The group manager and its socket.
pub struct GroupLink {
    /// The decisions.
    pub manager: Mutex<GroupManager>,
    socket: GroupSocket,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Answers>>>,
    /// A question came that has a deadline of its own.
    deadline_changed: Notify,
}

/// The addresses of listed servers; those that cannot be found are logged.
pub async fn resolve(peers: &[PeerAddress]) -> Vec<SocketAddrV4> {
    let mut found = Vec::new();
    for peer in peers {
        match tokio::net::lookup_host((peer.host.as_str(), peer.port)).await {
            Ok(addresses) => found.extend(addresses.filter_map(|address| match address {
                SocketAddr::V4(address) => Some(address),
                SocketAddr::V6(_) => None,
            })),
            Err(e) => tracing::warn!("peer {}:{} is not found: {e}", peer.host, peer.port),
        }
    }
    found
}

impl GroupLink {
    /// Around this manager and socket.
    pub fn new(manager: GroupManager, socket: GroupSocket) -> Self {
        GroupLink {
            manager: Mutex::new(manager),
            socket,
            waiting: Mutex::new(HashMap::new()),
            deadline_changed: Notify::new(),
        }
    }
}

/// Asks the group for a token's session.
pub async fn ask(shared: &Arc<Shared>, ask: &Ask, token: &Token) -> Answers {
    let nonce = u64::from_ne_bytes(clock::random());
    let (sender, receiver) = oneshot::channel();
    let link = &shared.group;
    super::lock(&link.waiting).insert(nonce, sender);
    let hash = shared.group_key.token_hash(token);
    let now_ms = shared.clock.now().steady_ms;
    let outputs = super::lock(&link.manager).ask(ask, hash, nonce, now_ms);
    perform(shared, outputs);
    link.deadline_changed.notify_one();
    receiver.await.unwrap_or_default()
}

/// Hears the group and speaks to it, for as long as the server runs.
pub async fn run(shared: Arc<Shared>) {
    let mut buffer = vec![0; 2048];
    let mut look = tokio::time::interval(LOOK_EVERY);
    let mut resolve_again = tokio::time::interval(RESOLVE_EVERY);
    resolve_again.reset();
    loop {
        let now = shared.clock.now();
        let link = &shared.group;
        let outputs = super::lock(&link.manager).tick(now.steady_ms, now.wall_ms);
        perform(&shared, outputs);
        let next_ms = super::lock(&link.manager).next_tick_ms();
        let wait = Duration::from_millis(next_ms.saturating_sub(now.steady_ms).max(1));
        tokio::select! {
            received = link.socket.recv(&mut buffer) => match received {
                Ok((len, from)) => take(&shared, &buffer[..len], from),
                Err(e) => {
                    // An unreachable peer's ICMP message, mostly.
                    tracing::debug!("group socket: {e}");
                }
            },
            () = link.deadline_changed.notified() => {}
            () = tokio::time::sleep(wait) => {}
            _ = look.tick() => {
                let sessions = super::lock(&shared.table).len();
                let present = host::present(&shared.config, sessions);
                link.socket.follow(&present.interfaces);
                super::lock(&link.manager).set_present(present);
            }
            _ = resolve_again.tick() => {
                let shared = shared.clone();
                tokio::spawn(async move {
                    let peers = resolve(&shared.config.peers).await;
                    super::lock(&shared.group.manager).set_peers(peers);
                });
            }
        }
    }
}

fn take(shared: &Arc<Shared>, datagram: &[u8], from: SocketAddrV4) {
    let now = shared.clock.now();
    let lookup = |hash: &[u8; 32]| super::lock(&shared.table).of_hash(hash);
    let outputs = super::lock(&shared.group.manager).datagram(
        datagram,
        from,
        now.steady_ms,
        now.wall_ms,
        lookup,
    );
    perform(shared, outputs);
}

fn perform(shared: &Arc<Shared>, outputs: Vec<Output>) {
    for output in outputs {
        match output {
            Output::Send(transmit) => {
                // A full socket buffer loses a datagram, as the network may.
                if let Err(e) = shared.group.socket.send(&transmit) {
                    tracing::debug!("group message to {}: {e}", transmit.to);
                }
            }
            Output::Up(name) => {
                tracing::info!("server {name} is up");
                tokio::spawn(hand_back::owner_heard(shared.clone(), name));
            }
            Output::Heard(name) => {
                tokio::spawn(hand_back::owner_heard(shared.clone(), name));
            }
            Output::Down(name) => tracing::warn!("server {name} is silent: it counts as down"),
            Output::Answered(nonce, answers) => {
                if let Some(waiting) = super::lock(&shared.group.waiting).remove(&nonce) {
                    // Nobody waits any more if the token went meanwhile.
                    let _ = waiting.send(answers);
                }
            }
            Output::Report(text) => tracing::warn!("group: {text}"),
        }
    }
}
