//! What others say: host messages, searches of DTUs, questions and answers of
//! servers.
//!
//! | what comes | what is done |
//! | --- | --- |
//! | no group message: not text, truncated, overlong, doubled keys, absurd numbers | reported, at a bounded rate |
//! | a host message without a right signature | listed as untrusted, and reported if its name is new there |
//! | a tokenQ or tokenR without one | reported, and dropped |
//! | a host message of a server that is called as we are | reported; we go on, and so does it: the group keeps the one with the higher boot |
//! | a serverQ or tokenQ | answered if it comes from near, and from no source too often |
//!
//! An address is **near** if it is on a network of ours or one that the
//! configuration lists, a listed peer's, or a TRUSTED server's: only there can
//! an answer go that nobody asked for.

use super::rate::Limits;
use super::topology::Heard;
use super::{GroupManager, Output, Transmit};
use afterglow_wire::group::{
    GroupMessage, GroupMessageError, HostMessage, ServerR, TokenQ, TokenR, TokenSession,
};
use afterglow_wire::guard::Guard;
use afterglow_wire::limits::SERVERS_MAX;
use std::net::{Ipv4Addr, SocketAddrV4};

/// How many serverQs are answered: a DTU that searches sends a few a second by
/// several ways, and anybody may send one by anybody's name.
pub const SERVER_Q_LIMITS: Limits =
    Limits { address_per_s: 20, network_per_s: 500, all_per_s: 2_000 };
/// How many tokenQs are answered. They are signed, so only a replay is
/// unwanted; a group of 10,000 DTUs that are switched on at once is not.
pub const TOKEN_Q_LIMITS: Limits =
    Limits { address_per_s: 4_000, network_per_s: 20_000, all_per_s: 20_000 };

impl GroupManager {
    /// Takes a datagram. `lookup` gives the session that runs here and is
    /// asked for.
    pub fn datagram(
        &mut self,
        datagram: &[u8],
        from: SocketAddrV4,
        now_ms: u64,
        wall_ms: u64,
        lookup: impl FnOnce(&TokenQ) -> Option<TokenSession>,
    ) -> Vec<Output> {
        let received = match GroupMessage::parse(datagram, Some(&self.config.key)) {
            Ok(received) => received,
            Err(e) => return self.say(now_ms, || bad_datagram(from, &e)),
        };
        let trusted = received.trusted || !self.config.guards.make(Guard::Signature);
        match received.message {
            GroupMessage::Host(host) if trusted => self.host(host, from, now_ms, wall_ms),
            GroupMessage::Host(host) => self.untrusted(host, from, now_ms),
            GroupMessage::ServerQ(q) => self.server_q(q.nonce, from, now_ms),
            GroupMessage::TokenQ(q) if trusted => self.token_q(&q, from, now_ms, lookup),
            GroupMessage::TokenR(r) if trusted => self.token_r(r),
            GroupMessage::TokenQ(_) | GroupMessage::TokenR(_) => self.say(now_ms, || {
                format!("a question or an answer from {from} has not the group's signature")
            }),
            // It is for DTUs.
            GroupMessage::ServerR(_) => Vec::new(),
        }
    }

    fn untrusted(&mut self, message: HostMessage, from: SocketAddrV4, now_ms: u64) -> Vec<Output> {
        let name = message.host;
        match self.topology.untrusted(name.clone(), from, now_ms) {
            true => self
                .say(now_ms, || format!("host {name} at {from} speaks without this group's key")),
            false => Vec::new(),
        }
    }

    fn host(
        &mut self,
        message: HostMessage,
        from: SocketAddrV4,
        now_ms: u64,
        wall_ms: u64,
    ) -> Vec<Output> {
        let name = message.host.clone();
        if name == self.config.name {
            return match message.boot == self.config.boot {
                // Our own broadcast.
                true => Vec::new(),
                false => self.say(now_ms, || {
                    format!(
                        "another server at {from} of this group is called {name}, as we are; \
                         give one of them another name"
                    )
                }),
            };
        }
        match self.topology.trusted(message, from, now_ms, wall_ms) {
            Heard::Nothing => Vec::new(),
            Heard::Full => self.say(now_ms, || {
                format!(
                    "server {name} at {from} is not taken in: {SERVERS_MAX} names were heard, and \
                     a group may have no more; if some of them are gone for good, restart this \
                     server"
                )
            }),
            Heard::Twin(known) => self.say(now_ms, || {
                format!(
                    "two servers of this group are called {name}, one at {known} and one at \
                     {from}; the group keeps the one that started last. Give the other another \
                     name, or start it again if its clock was wrong"
                )
            }),
            Heard::Still => vec![Output::Heard(name)],
            Heard::Up => {
                let mut out = vec![Output::Up(name)];
                // It may just have started: it should not have to wait for
                // our next round to know us.
                if self.greetings.take(now_ms) {
                    self.say_host((from, None), wall_ms, &mut out);
                }
                out
            }
        }
    }

    fn server_q(&mut self, nonce: u64, from: SocketAddrV4, now_ms: u64) -> Vec<Output> {
        if !self.is_near(*from.ip()) || !self.may_answer(false, *from.ip(), now_ms) {
            return Vec::new();
        }
        let (host, port) = (self.config.name.clone(), self.config.control_port);
        let addr = self.own_address(*from.ip());
        self.answer(from, &GroupMessage::ServerR(ServerR { nonce, host, addr, port }))
    }

    fn token_q(
        &mut self,
        q: &TokenQ,
        from: SocketAddrV4,
        now_ms: u64,
        lookup: impl FnOnce(&TokenQ) -> Option<TokenSession>,
    ) -> Vec<Output> {
        let ours = q.host == self.config.name;
        if ours || !self.is_near(*from.ip()) || !self.may_answer(true, *from.ip(), now_ms) {
            return Vec::new();
        }
        let (host, session) = (self.config.name.clone(), lookup(q));
        self.answer(from, &GroupMessage::TokenR(TokenR { nonce: q.nonce, host, session }))
    }

    fn token_r(&mut self, r: TokenR) -> Vec<Output> {
        if r.host == self.config.name {
            return Vec::new();
        }
        let over = self.questions.answer(r.nonce, r.host, r.session);
        over.map(|answers| Output::Answered(r.nonce, answers)).into_iter().collect()
    }

    fn answer(&self, to: SocketAddrV4, message: &GroupMessage) -> Vec<Output> {
        let datagram = message.to_datagram(&self.config.key);
        vec![Output::Send(Transmit { to, datagram, via: None })]
    }

    fn may_answer(&mut self, token_q: bool, from: Ipv4Addr, now_ms: u64) -> bool {
        let bounded = self.config.guards.make(Guard::AnswerRate);
        let answers = if token_q { &mut self.token_answers } else { &mut self.server_answers };
        !bounded || answers.take(from, now_ms)
    }

    /// True if an address may be answered that has proven nothing.
    fn is_near(&self, address: Ipv4Addr) -> bool {
        address.is_loopback()
            || self.place().is_near(address)
            || self.config.networks.iter().any(|network| network.contains(address))
            || self.config.peers.iter().any(|peer| *peer.ip() == address)
            || self.topology.hosts().any(|host| *host.address.ip() == address)
    }

    /// Reports something, unless too much was reported.
    pub(super) fn say(&mut self, now_ms: u64, text: impl FnOnce() -> String) -> Vec<Output> {
        if self.reports.take(now_ms) { vec![Output::Report(text())] } else { Vec::new() }
    }
}

fn bad_datagram(from: SocketAddrV4, error: &GroupMessageError) -> String {
    format!("a datagram from {from} is no group message: {error}")
}
