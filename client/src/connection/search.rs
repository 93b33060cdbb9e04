//! The search for a server: who is tried next, how many at a time, and when to
//! look for more.
//!
//! Attempts race (RFC 8305): one that has no answer after [`RACE_AFTER_MS`]
//! goes on, and another one is started beside it, up to [`ATTEMPTS_MAX`]. The
//! first server that greets is taken and the others are closed. So a dead
//! server at the head of the list costs 150 ms and not the 1.5 s after which
//! it is given up. The way to a redirect's target is alone, because its ticket
//! is for that server only.
//!
//! Where servers come from, in this order: the user's list; the site's DNS
//! record and DHCP lease; after a moment the local network, by questions and
//! by listening. What was up in an earlier run is known from the start, but
//! comes after all that except what is only heard. The order is that of
//! [`Via`]; nobody waits for a slower source when a faster one has a server.

use super::candidates::{Candidates, Via};
use super::control::Target;
use super::jitter::Jitter;
use super::{Action, Connection, Logged};
use afterglow_wire::control::Server;
use afterglow_wire::guard::Guard;
use afterglow_wire::ids::ServerName;
use std::net::SocketAddrV4;

/// The most servers that are tried at a time.
pub(super) const ATTEMPTS_MAX: usize = 4;
/// How long the latest attempt has before another one is started beside it.
pub(super) const RACE_AFTER_MS: u64 = 150;
/// How long a server that failed often waits at most.
const RETRY_MS_MAX: u64 = 3_000;
/// How long to wait at most until the network is asked again.
const QUESTION_MS_MAX: u64 = 4_000;
/// What the site says has this head start over what the network answers.
const SITE_FIRST_MS: u64 = 100;
/// While servers are known that were not tried yet, questions wait this long,
/// and up to as long again: all DTUs of a lost server would ask at once.
const KNOWN_FIRST_MS: u64 = 500;

/// The search.
#[derive(Debug, Default)]
pub(super) struct Search {
    pub(super) candidates: Candidates,
    /// Since when there is no control link.
    pub(super) since_ms: u64,
    /// Why the last attempt failed.
    pub(super) trouble: Option<String>,
    questions: u32,
    next_question_ms: u64,
    /// The site was asked; the network is next.
    site_asked: bool,
}

impl Search {
    /// Starts anew.
    pub(super) fn begin(&mut self, now_ms: u64, jitter: &mut Jitter) {
        self.since_ms = now_ms;
        self.questions = 0;
        self.site_asked = false;
        self.next_question_ms = match self.candidates.has_untried() {
            true => now_ms + KNOWN_FIRST_MS + jitter.below(KNOWN_FIRST_MS),
            false => now_ms,
        };
        self.candidates.begin(now_ms, jitter);
    }
}

impl Connection {
    pub(super) fn server_found(
        &mut self,
        address: SocketAddrV4,
        server: Option<ServerName>,
        via: Via,
    ) {
        let chance = (self.now_ms, &mut self.jitter);
        if self.search.candidates.found(address, server.clone(), via, chance) {
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
        let addresses: Vec<SocketAddrV4> = servers.iter().map(|server| server.address).collect();
        self.search.candidates.told_up(&addresses);
        if !servers.is_empty() && servers != self.servers_remembered {
            self.servers_remembered.clone_from(&servers);
            self.act(Action::RememberServers(servers));
        }
    }

    /// A link is wanted: none is in use, or the one in use is silent.
    fn searches(&self) -> bool {
        self.network_up && self.up().is_none()
    }

    /// Opens the next link and looks for servers, while a link is wanted.
    pub(super) fn search_on(&mut self) {
        if !self.searches() {
            return;
        }
        match self.redirect_target() {
            Some(target) if self.control.attempts.is_empty() => self.open_control(target),
            Some(_) => {}
            None => self.race(),
        }
        self.look_for_servers();
    }

    /// Starts another attempt if it is time for one.
    fn race(&mut self) {
        if self.race_from_ms().is_none_or(|from_ms| self.now_ms < from_ms) {
            return;
        }
        let tried = self.control.tried();
        if let Some(target) = self.search.candidates.pick(self.now_ms, &tried) {
            self.open_control(target);
        }
    }

    /// From when on another attempt may be started.
    fn race_from_ms(&self) -> Option<u64> {
        let attempts = &self.control.attempts;
        let latest_ms = attempts.iter().map(|attempt| attempt.started_ms).max();
        let from_ms = latest_ms.map_or(0, |latest_ms| latest_ms + RACE_AFTER_MS);
        (attempts.len() < ATTEMPTS_MAX).then_some(from_ms)
    }

    fn look_for_servers(&mut self) {
        if self.now_ms < self.search.next_question_ms {
            return;
        }
        if self.config.servers_listed && !self.search.site_asked {
            self.act(Action::Resolve);
        }
        // The first question waits for what the list yields.
        let first = self.search.questions == 0;
        let list_is_enough =
            self.config.servers_listed && (first || !self.search.candidates.listed_failed());
        if !list_is_enough && !self.search.site_asked {
            self.search.site_asked = true;
            self.search.next_question_ms = self.now_ms + SITE_FIRST_MS;
            return self.act(Action::AskSite);
        }
        if !list_is_enough {
            self.act(Action::SendServerQ);
        }
        self.search.site_asked = false;
        self.search.questions += 1;
        let wait_ms = self.jitter.steady_wait_ms(self.search.questions + 1, QUESTION_MS_MAX);
        self.search.next_question_ms = self.now_ms + wait_ms;
    }

    pub(super) fn attempt_failed(&mut self, target: &Target) {
        let failures = self.search.candidates.failures(target.address) + 1;
        let wait_ms = match self.config.guards.make(Guard::SearchGoesOn) {
            true => self.jitter.spread_wait_ms(failures, RETRY_MS_MAX),
            false => u64::from(u32::MAX),
        };
        self.search.candidates.failed(target.address, self.now_ms + wait_ms);
    }

    pub(super) fn search_deadline_ms(&self) -> Option<u64> {
        if !self.searches() {
            return None;
        }
        let attempt_ms = match self.redirect_target() {
            Some(_) => None,
            None => self.race_from_ms().and_then(|from_ms| {
                Some(self.search.candidates.next_ms(&self.control.tried())?.max(from_ms))
            }),
        };
        [attempt_ms, Some(self.search.next_question_ms)].into_iter().flatten().min()
    }
}
