//! The loop around the core: gives it what happened, does what it decides.
//!
//! The core has a task of its own and is never waited for by what it has
//! done: sockets are written without waiting, and what takes time (the store,
//! a probe, a start) runs beside and comes back as an event.

use super::group_socket::GroupSocket;
use super::peers::Peers;
use super::{Shared, close, dtu_link::ToLink, host, keepers, lock, probe, start, stored};
use crate::core::{Action, Event, Level, LinkClose, ServerCore};
use crate::group::homes::Teller;
use crate::group::report::TopologyReport;
use crate::session::table::LocalSession;
use afterglow_wire::ids::ServerName;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// How often the host's interfaces and load are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often listed servers' names are looked up again.
const RESOLVE_EVERY: Duration = Duration::from_secs(30);
/// The longest datagram that is read; a group message is shorter.
const DATAGRAM_BYTES_MAX: usize = 2048;

/// What others want to know of the core.
#[derive(Debug)]
pub enum Query {
    /// The servers that were heard.
    Topology(oneshot::Sender<TopologyReport>),
    /// The sessions on this host.
    Sessions(oneshot::Sender<Vec<LocalSession>>),
    /// What the other servers tell of their home folders.
    Homes(oneshot::Sender<HeardHomes>),
}

/// What the other servers tell of their home folders.
#[derive(Debug)]
pub struct HeardHomes {
    /// All servers that are known, up or not.
    pub known: BTreeSet<ServerName>,
    /// What those say that are up.
    pub up: Vec<Teller>,
}

/// What comes to the core.
pub struct Inbox {
    /// What happened.
    pub events: mpsc::Receiver<Event>,
    /// What administrators ask.
    pub queries: mpsc::Receiver<Query>,
    /// Resolves once the sessions on this host are found.
    pub found: oneshot::Receiver<()>,
    /// Told once it is also known which of them count: only then others may
    /// ask for them.
    pub judged: oneshot::Sender<()>,
}

/// Drives the core for as long as the server runs.
pub async fn run(shared: Arc<Shared>, mut core: ServerCore, socket: GroupSocket, inbox: Inbox) {
    let Inbox { mut events, mut queries, mut found, judged } = inbox;
    let (mut all_found, mut judged) = (false, Some(judged));
    let mut waiting = VecDeque::new();
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        if judged.is_some() && all_found && core.has_judged_found() {
            judged.take().map(|judged| judged.send(()));
        }
        let hears = judged.is_none();
        let now = shared.clock.now();
        let wait_ms = core.wake_ms().map_or(u64::MAX, |at| at.saturating_sub(now.steady_ms));
        let wake = tokio::time::sleep(Duration::from_millis(wait_ms.min(60_000)));
        let event = tokio::select! {
            biased;
            Some(event) = async { waiting.pop_front() }, if !waiting.is_empty() => event,
            Some(event) = events.recv() => event,
            received = socket.recv(&mut buffer), if hears => match received {
                Ok((len, from)) => Event::Datagram { from, bytes: buffer[..len].to_vec() },
                Err(e) => {
                    // An unreachable peer's ICMP message, mostly.
                    tracing::debug!("group socket: {e}");
                    continue;
                }
            },
            Some(query) = queries.recv() => {
                answer(&core, query, now.steady_ms);
                continue;
            }
            _ = look.tick() => {
                let present = host::present(&shared.config, 0);
                socket.follow(&present.interfaces);
                if !present.interfaces.is_empty() {
                    let address = host::advertise(&shared.config, &present.interfaces);
                    waiting.push_back(Event::Address(address));
                }
                Event::Present(present)
            }
            _ = &mut found, if !all_found => {
                all_found = true;
                continue;
            }
            () = wake => Event::Tick,
        };
        let actions = core.handle(shared.clock.now(), event);
        for action in actions {
            perform(&shared, &socket, action);
        }
    }
}

fn answer(core: &ServerCore, query: Query, now_ms: u64) {
    match query {
        Query::Sessions(to) => {
            let _ = to.send(core.table().all().cloned().collect());
        }
        Query::Homes(to) => {
            let (known, up) = core.group().tellers();
            let _ = to.send(HeardHomes { known, up });
        }
        // Whoever asked may have gone meanwhile.
        Query::Topology(to) => {
            let store = core.store_trouble().unwrap_or_default();
            let _ = to.send(TopologyReport { store, ..core.group().report(now_ms) });
        }
    }
}

/// Finds the listed servers, again and again, since their addresses may change.
pub async fn keep_finding_peers(shared: Arc<Shared>) {
    let mut peers = Peers::default();
    while !shared.config.peers.is_empty() {
        let found = peers.look_up(&shared.config.peers).await;
        shared.tell(Event::Peers(found)).await;
        tokio::time::sleep(RESOLVE_EVERY).await;
    }
}

fn perform(shared: &Arc<Shared>, socket: &GroupSocket, action: Action) {
    match action {
        Action::SendLink { link, message } => {
            let mut links = lock(&shared.links);
            if let Some(sender) = links.get(&link)
                && sender.try_send(ToLink::Tell(message)).is_err()
            {
                // Its queue's end tells the link that it takes too little.
                links.remove(&link);
            }
        }
        Action::CloseLink { link, why } => {
            let why = match why {
                LinkClose::Protocol => close::PROTOCOL,
                LinkClose::Replaced => close::REPLACED,
                LinkClose::TooOften => close::TOO_OFTEN,
            };
            if let Some(sender) = lock(&shared.links).remove(&link) {
                let _ = sender.try_send(ToLink::Close(why));
            }
        }
        Action::SendDatagram(transmit) => {
            // A full socket buffer loses a datagram, as the network may.
            if let Err(e) = socket.send(&transmit) {
                tracing::debug!("group message to {}: {e}", transmit.to);
            }
        }
        Action::Store { request, operation } => {
            let shared = shared.clone();
            tokio::spawn(async move {
                let answer = stored::perform(&shared.store, operation).await;
                shared.tell(Event::Stored { request, answer }).await;
            });
        }
        Action::Probe { request, endpoint, session, epoch } => {
            let shared = shared.clone();
            tokio::spawn(async move {
                let said = probe::probe(&shared, endpoint, session, epoch).await;
                shared.tell(Event::Probed { request, said }).await;
            });
        }
        Action::Prepare(launch) => start::prepare(shared, *launch),
        Action::Discard { session, epoch } => start::discard(shared, (session, epoch)),
        Action::Start(launch) => start::start(shared, *launch),
        Action::Adopt { session, epoch, becomes } => {
            start::adopt(shared, (session, epoch), becomes);
        }
        Action::Answer { answer, result } => {
            if let Some(to) = lock(&shared.answers).remove(&answer) {
                // Whoever asked may have gone meanwhile.
                let _ = to.send(result);
            }
        }
        Action::TellKeeper { session, epoch, message } => {
            keepers::tell(shared, (session, epoch), message);
        }
        Action::Log(level, text) => match level {
            Level::Debug => tracing::debug!("{text}"),
            Level::Info => tracing::info!("{text}"),
            Level::Warn => tracing::warn!("{text}"),
            Level::Error => tracing::error!("{text}"),
        },
    }
}
