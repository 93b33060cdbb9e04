//! Which server to try next, and when to look for more.
//!
//! Servers that failed least come first, and among them those that the user
//! listed. One that failed waits, longer each time, so that many DTUs do not
//! come back all at once.

use super::control::{Control, Target};
use super::{Action, Connection, Logged};
use afterglow_wire::control::Server;
use afterglow_wire::guard::Guard;
use afterglow_wire::ids::ServerName;
use afterglow_wire::limits::SERVERS_MAX;
use std::net::SocketAddrV4;

/// The most servers that are known at a time.
const CANDIDATES_MAX: usize = 2 * SERVERS_MAX;
/// How long a server that failed often waits at most.
const RETRY_MS_MAX: u64 = 3_000;
/// How long to wait at most until the network is asked again.
const QUESTION_MS_MAX: u64 = 4_000;

/// How a server is known; the earlier, the sooner it is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Via {
    /// The user listed it.
    Listed,
    /// A server of the group told of it.
    Group,
    /// It answered a question to the network.
    Answer,
    /// It was up in an earlier run.
    Remembered,
}

impl Via {
    fn as_str(self) -> &'static str {
        match self {
            Via::Listed => "listed",
            Via::Group => "group",
            Via::Answer => "answer",
            Via::Remembered => "remembered",
        }
    }
}

#[derive(Debug)]
struct Candidate {
    address: SocketAddrV4,
    server: Option<ServerName>,
    via: Via,
    failures: u32,
    not_before_ms: u64,
    /// Its group is unknown or refused: not to be tried until the user agrees.
    held: bool,
}

/// The servers that are known, and the search for more.
#[derive(Debug, Default)]
pub(super) struct Search {
    candidates: Vec<Candidate>,
    /// Since when there is no control link.
    pub(super) since_ms: u64,
    /// Why the last attempt failed.
    pub(super) trouble: Option<String>,
    questions: u32,
    next_question_ms: u64,
}

impl Search {
    /// Starts anew: everybody may be tried at once.
    pub(super) fn begin(&mut self, now_ms: u64) {
        self.since_ms = now_ms;
        self.questions = 0;
        self.next_question_ms = now_ms;
        for candidate in &mut self.candidates {
            candidate.not_before_ms = candidate.not_before_ms.min(now_ms + 250);
            candidate.held = false;
        }
    }

    /// Knows a server; true if it is new, or better known than before.
    pub(super) fn found(
        &mut self,
        address: SocketAddrV4,
        server: Option<ServerName>,
        via: Via,
    ) -> bool {
        if let Some(known) = self.candidates.iter_mut().find(|known| known.address == address) {
            let better = via < known.via || (server.is_some() && known.server != server);
            known.via = known.via.min(via);
            known.server = server.or(known.server.take());
            return better;
        }
        if self.candidates.len() >= CANDIDATES_MAX {
            // What is listed stays; of the others the worst makes room.
            let worst = self.candidates.iter().enumerate().max_by_key(|(_, c)| (c.via, c.failures));
            match worst {
                Some((index, worst))
                    if worst.via != Via::Listed && (worst.via > via || worst.failures > 0) =>
                {
                    self.candidates.remove(index);
                }
                _ => return false,
            }
        }
        let candidate =
            Candidate { address, server, via, failures: 0, not_before_ms: 0, held: false };
        self.candidates.push(candidate);
        true
    }

    fn of(&mut self, address: SocketAddrV4) -> Option<&mut Candidate> {
        self.candidates.iter_mut().find(|candidate| candidate.address == address)
    }

    /// It could not be reached; to be tried again from `not_before_ms`.
    pub(super) fn failed(&mut self, address: SocketAddrV4, not_before_ms: u64) {
        if let Some(candidate) = self.of(address) {
            candidate.failures = candidate.failures.saturating_add(1);
            candidate.not_before_ms = not_before_ms;
        }
    }

    /// How often it failed since it was last reached.
    pub(super) fn failures(&self, address: SocketAddrV4) -> u32 {
        let of = self.candidates.iter().find(|candidate| candidate.address == address);
        of.map_or(0, |candidate| candidate.failures)
    }

    /// It was reached.
    pub(super) fn reached(&mut self, address: SocketAddrV4) {
        if let Some(candidate) = self.of(address) {
            candidate.failures = 0;
            candidate.not_before_ms = 0;
        }
    }

    /// It is not to be tried until [`Search::release`].
    pub(super) fn hold(&mut self, address: SocketAddrV4) {
        if let Some(candidate) = self.of(address) {
            candidate.held = true;
        }
    }

    /// Everybody may be tried, this one first.
    pub(super) fn release(&mut self, first: Option<SocketAddrV4>) {
        for candidate in &mut self.candidates {
            candidate.held = false;
            if Some(candidate.address) == first {
                candidate.failures = 0;
                candidate.not_before_ms = 0;
            }
        }
    }

    /// Who is to be tried now.
    fn pick(&self, now_ms: u64) -> Option<Target> {
        let due = |c: &&Candidate| !c.held && c.not_before_ms <= now_ms;
        let best = self.candidates.iter().filter(due).min_by_key(|c| (c.failures, c.via))?;
        Some(Target { address: best.address, server: best.server.clone() })
    }

    /// True if no listed server is worth waiting for.
    fn listed_failed(&self) -> bool {
        self.candidates
            .iter()
            .filter(|candidate| candidate.via == Via::Listed)
            .all(|candidate| candidate.failures > 0 || candidate.held)
    }
}

impl Connection {
    pub(super) fn server_found(
        &mut self,
        address: SocketAddrV4,
        server: Option<ServerName>,
        via: Via,
    ) {
        if self.search.found(address, server.clone(), via) {
            self.log(Logged::ServerFound {
                server: server.map(|name| name.to_string()),
                address: address.to_string(),
                via: via.as_str(),
            });
        }
    }

    /// The group tells which of its servers are up.
    pub(super) fn servers_told(&mut self, servers: Vec<Server>) {
        for server in &servers {
            self.server_found(server.address, Some(server.name.clone()), Via::Group);
        }
        if !servers.is_empty() && servers != self.servers_remembered {
            self.servers_remembered.clone_from(&servers);
            self.act(Action::RememberServers(servers));
        }
    }

    /// Opens the next link, or looks for servers, if there is no link.
    pub(super) fn search_on(&mut self) {
        if !matches!(self.control, Control::Down) || !self.network_up {
            return;
        }
        if let Some(target) = self.redirect_target().or_else(|| self.search.pick(self.now_ms)) {
            self.open_control(target);
        }
        self.look_for_servers();
    }

    fn look_for_servers(&mut self) {
        if self.now_ms < self.search.next_question_ms {
            return;
        }
        self.search.questions += 1;
        let wait_ms = self.backoff_ms(self.search.questions + 1, QUESTION_MS_MAX);
        self.search.next_question_ms = self.now_ms + wait_ms;
        if self.config.servers_listed {
            self.act(Action::Resolve);
        }
        // The first question waits for what the list yields.
        let listed_open = self.config.servers_listed
            && (self.search.questions == 1 || !self.search.listed_failed());
        if !listed_open {
            self.act(Action::SendServerQ);
        }
    }

    pub(super) fn attempt_failed(&mut self, target: &Target) {
        let failures = self.search.failures(target.address) + 1;
        let wait_ms = match self.config.guards.make(Guard::SearchGoesOn) {
            true => self.backoff_ms(failures, RETRY_MS_MAX),
            false => u64::from(u32::MAX),
        };
        self.search.failed(target.address, self.now_ms + wait_ms);
    }

    pub(super) fn search_deadline_ms(&self) -> Option<u64> {
        if !self.network_up {
            return None;
        }
        match self.control {
            Control::Down => {
                let candidates = self.search.candidates.iter().filter(|c| !c.held);
                let next = candidates.map(|candidate| candidate.not_before_ms).min();
                Some(next.unwrap_or(u64::MAX).min(self.search.next_question_ms))
            }
            Control::Opening { .. } | Control::Greeting { .. } | Control::Up(_) => None,
        }
    }
}
