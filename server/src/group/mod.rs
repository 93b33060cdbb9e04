//! Group manager: who is there, and who has a token's session. No I/O: time,
//! randomness and datagrams come in, datagrams and news go out.

pub mod question;
pub mod rate;
pub mod topology;

use crate::config::Network;
use afterglow_wire::control::Server;
use afterglow_wire::group::{
    GroupMessage, GroupMessageError, HostMessage, Interface, ServerR, TokenQ, TokenR, TokenSession,
};
use afterglow_wire::ids::ServerName;
use afterglow_wire::limits::{GROUP_DATAGRAM_BYTES_MAX, INTERFACES_MAX, SERVERS_MAX};
use afterglow_wire::trust::MessageKey;
use question::{Answers, Question};
use rate::Rate;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use topology::{Heard, Host, Topology};

/// How long a tokenQ waits for answers.
pub const QUESTION_MS: u64 = 300;
/// The most questions under way.
const QUESTIONS_MAX: usize = 4096;
/// How many serverQs and tokenQs are answered a second, at most.
const ANSWERS_PER_S: u64 = 500;
/// How many host messages a second greet servers that were just heard.
const GREETINGS_PER_S: u64 = 10;
/// The most bytes that interfaces may take in one host message.
const INTERFACES_PER_PART: usize = 12;

/// What does not change while the server runs.
#[derive(Debug, Clone)]
pub struct GroupConfig {
    /// Our name.
    pub name: ServerName,
    /// Signs and checks messages.
    pub key: MessageKey,
    /// Our main address.
    pub advertise: Ipv4Addr,
    /// Where we take DTUs.
    pub control_port: u16,
    /// Where the group listens.
    pub group_port: u16,
    /// Servers that broadcasts do not reach.
    pub peers: Vec<SocketAddrV4>,
    /// Networks beyond our own whose DTUs are answered.
    pub networks: Vec<Network>,
    /// How often we speak.
    pub host_every_ms: u64,
    /// After which silence a server counts as down.
    pub down_after_ms: u64,
    /// Our boot number.
    pub boot: u64,
    /// See [`afterglow_wire::group::flags`].
    pub flags: u32,
}

/// What a host message tells about this host, and changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Present {
    /// The interfaces that we speak on.
    pub interfaces: Vec<Interface>,
    /// Processors.
    pub cpus: u32,
    /// Their clock in MHz.
    pub clock_mhz: u32,
    /// The load average times 100.
    pub load_percent: u32,
    /// How many sessions run here.
    pub sessions: u32,
}

/// A datagram to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// To whom; may be a broadcast address.
    pub to: SocketAddrV4,
    /// What.
    pub datagram: Vec<u8>,
}

/// What the group manager has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send this.
    Send(Transmit),
    /// A server is up that was not before, or that started again.
    Up(ServerName),
    /// A server was heard.
    Heard(ServerName),
    /// A server was silent for too long.
    Down(ServerName),
    /// The question with this nonce is over.
    Answered(u64, Answers),
    /// Something that an administrator should read.
    Report(String),
}

/// Who is asked, and who is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// All servers that are up; those named here are not waited for.
    Group {
        /// Servers that a DTU could not reach.
        except: BTreeSet<ServerName>,
    },
    /// This server, up or not, wherever it may be.
    Server(ServerName),
}

/// The group manager.
#[derive(Debug)]
pub struct GroupManager {
    config: GroupConfig,
    present: Present,
    topology: Topology,
    questions: BTreeMap<u64, Question>,
    seq: u64,
    next_host_ms: u64,
    answers: Rate,
    greetings: Rate,
    reports: Rate,
}

impl GroupManager {
    /// Knows nobody yet.
    pub fn new(config: GroupConfig) -> Self {
        GroupManager {
            config,
            present: Present::default(),
            topology: Topology::default(),
            questions: BTreeMap::new(),
            seq: 0,
            next_host_ms: 0,
            answers: Rate::new(ANSWERS_PER_S, ANSWERS_PER_S),
            greetings: Rate::new(GREETINGS_PER_S, GREETINGS_PER_S),
            reports: Rate::new(1, 5),
        }
    }

    /// Who was heard.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Tells how this host is now.
    pub fn set_present(&mut self, present: Present) {
        self.present = present;
        self.present.interfaces.truncate(INTERFACES_MAX);
    }

    /// Tells where the listed servers are now.
    pub fn set_peers(&mut self, peers: Vec<SocketAddrV4>) {
        self.config.peers = peers;
    }

    /// The servers that are up, ourselves first, and where a DTU at this
    /// address reaches them.
    pub fn servers_for(&self, dtu: Ipv4Addr) -> Vec<Server> {
        let own = Server {
            name: self.config.name.clone(),
            address: SocketAddrV4::new(self.own_address(dtu), self.config.control_port),
        };
        std::iter::once(own).chain(self.topology.servers_for(dtu)).take(SERVERS_MAX).collect()
    }

    /// When [`GroupManager::tick`] is to be called next.
    pub fn next_tick_ms(&self) -> u64 {
        let question = self.questions.values().map(|q| q.deadline_ms).min();
        question.unwrap_or(u64::MAX).min(self.next_host_ms)
    }

    /// Does what is due at this time.
    pub fn tick(&mut self, now_ms: u64, wall_ms: u64) -> Vec<Output> {
        let mut out = Vec::new();
        let over: Vec<u64> = self
            .questions
            .iter()
            .filter(|(_, question)| question.deadline_ms <= now_ms)
            .map(|(nonce, _)| *nonce)
            .collect();
        out.extend(over.into_iter().filter_map(|nonce| self.close(nonce)));
        if now_ms >= self.next_host_ms {
            self.next_host_ms = now_ms + self.config.host_every_ms;
            for to in self.everywhere() {
                self.say_host(to, wall_ms, &mut out);
            }
            let down = self.topology.silence(now_ms, self.config.down_after_ms);
            out.extend(down.into_iter().map(Output::Down));
        }
        out
    }

    /// Asks for a token's session. The nonce must be fresh randomness; the
    /// answer comes as [`Output::Answered`] with it, and may come at once.
    pub fn ask(&mut self, ask: &Ask, hash: [u8; 32], nonce: u64, now_ms: u64) -> Vec<Output> {
        if self.questions.len() >= QUESTIONS_MAX {
            return vec![Output::Answered(nonce, Answers::default())];
        }
        let (to, waits_for) = self.asked(ask);
        let host = self.config.name.clone();
        let question = GroupMessage::TokenQ(TokenQ { nonce, host, hash });
        let datagram = question.to_datagram(&self.config.key);
        self.questions.insert(nonce, Question::new(waits_for, now_ms + QUESTION_MS));
        let mut out: Vec<_> = to
            .into_iter()
            .map(|to| Output::Send(Transmit { to, datagram: datagram.clone() }))
            .collect();
        if self.questions.get(&nonce).is_some_and(Question::complete) {
            out.extend(self.close(nonce));
        }
        out
    }

    /// Takes a datagram. `lookup` gives the session that runs here for the
    /// token with this hash.
    pub fn datagram(
        &mut self,
        datagram: &[u8],
        from: SocketAddrV4,
        now_ms: u64,
        wall_ms: u64,
        lookup: impl FnOnce(&[u8; 32]) -> Option<TokenSession>,
    ) -> Vec<Output> {
        let received = match GroupMessage::parse(datagram, Some(&self.config.key)) {
            Ok(received) => received,
            Err(e) => return self.report(now_ms, || bad_datagram(from, &e)),
        };
        match (received.message, received.trusted) {
            (GroupMessage::Host(host), trusted) => self.host(host, trusted, from, now_ms, wall_ms),
            (GroupMessage::ServerQ(q), _) => self.server_q(q.nonce, from, now_ms),
            (GroupMessage::TokenQ(q), true) if q.host != self.config.name => {
                if !self.is_near(*from.ip()) || !self.answers.take(now_ms) {
                    return Vec::new();
                }
                let answer = GroupMessage::TokenR(TokenR {
                    nonce: q.nonce,
                    host: self.config.name.clone(),
                    session: lookup(&q.hash),
                });
                let datagram = answer.to_datagram(&self.config.key);
                vec![Output::Send(Transmit { to: from, datagram })]
            }
            (GroupMessage::TokenR(r), true) => {
                let Some(question) = self.questions.get_mut(&r.nonce) else { return Vec::new() };
                match question.answer(r.host, r.session) {
                    true => self.close(r.nonce).into_iter().collect(),
                    false => Vec::new(),
                }
            }
            (GroupMessage::TokenQ(_) | GroupMessage::TokenR(_), false) => self
                .report(now_ms, || {
                    format!("a question or an answer from {from} without the group's signature")
                }),
            // An own question by way of a broadcast, or an answer that is for
            // DTUs.
            (GroupMessage::TokenQ(_) | GroupMessage::ServerR(_), _) => Vec::new(),
        }
    }

    fn host(
        &mut self,
        message: HostMessage,
        trusted: bool,
        from: SocketAddrV4,
        now_ms: u64,
        wall_ms: u64,
    ) -> Vec<Output> {
        let name = message.host.clone();
        if !trusted {
            let new = self.topology.untrusted(name.clone(), from, now_ms);
            return match new {
                true => self.report(now_ms, || {
                    format!("host {name} at {from} speaks without this group's key")
                }),
                false => Vec::new(),
            };
        }
        if name == self.config.name {
            return match message.boot == self.config.boot {
                true => Vec::new(),
                false => self.report(now_ms, || {
                    format!("another server at {from} of this group is called {name}, as we are")
                }),
            };
        }
        match self.topology.trusted(message, from, now_ms, wall_ms) {
            Heard::Nothing => Vec::new(),
            Heard::Still => vec![Output::Heard(name)],
            Heard::Up => {
                let mut out = vec![Output::Up(name)];
                // It may just have started: it should not have to wait for
                // our next round to know us.
                if self.greetings.take(now_ms) {
                    self.say_host(from, wall_ms, &mut out);
                }
                out
            }
        }
    }

    fn server_q(&mut self, nonce: u64, from: SocketAddrV4, now_ms: u64) -> Vec<Output> {
        if !self.is_near(*from.ip()) || !self.answers.take(now_ms) {
            return Vec::new();
        }
        let answer = GroupMessage::ServerR(ServerR {
            nonce,
            host: self.config.name.clone(),
            addr: self.own_address(*from.ip()),
            port: self.config.control_port,
        });
        let datagram = answer.to_datagram(&self.config.key);
        vec![Output::Send(Transmit { to: from, datagram })]
    }

    /// True if an address may be answered that has proven nothing: it is on
    /// one of our networks, or listed.
    fn is_near(&self, address: Ipv4Addr) -> bool {
        let interfaces = &self.present.interfaces;
        address.is_loopback()
            || interfaces.iter().any(|interface| interface.contains(address))
            || self.config.networks.iter().any(|network| network.contains(address))
            || self.config.peers.iter().any(|peer| *peer.ip() == address)
            || self.topology.hosts().any(|host| *host.address.ip() == address)
    }

    /// Our address as the host with this address sees it.
    fn own_address(&self, seen_from: Ipv4Addr) -> Ipv4Addr {
        if seen_from.is_loopback() {
            return Ipv4Addr::LOCALHOST;
        }
        let near = self.present.interfaces.iter().find(|known| known.contains(seen_from));
        near.map_or(self.config.advertise, |interface| interface.ip)
    }

    /// Where host messages go: a broadcast on every interface that has one,
    /// and the listed servers.
    fn everywhere(&self) -> BTreeSet<SocketAddrV4> {
        let broadcasts = self
            .present
            .interfaces
            .iter()
            .filter(|interface| !interface.ip.is_loopback() && interface.bcast != interface.ip)
            .map(|interface| SocketAddrV4::new(interface.bcast, self.config.group_port));
        broadcasts.chain(self.config.peers.iter().copied()).collect()
    }

    fn asked(&self, ask: &Ask) -> (BTreeSet<SocketAddrV4>, BTreeSet<ServerName>) {
        match ask {
            Ask::Group { except } => {
                let name = |host: &Host| host.message.host.clone();
                let to = self.topology.up().map(|host| host.address).collect();
                let all = self.topology.up().map(name);
                (to, all.filter(|name| !except.contains(name)).collect())
            }
            Ask::Server(name) => {
                // Its last address may be wrong by now, or not known to us.
                let mut to = self.everywhere();
                to.extend(self.topology.host(name).map(|host| host.address));
                (to, BTreeSet::from([name.clone()]))
            }
        }
    }

    fn close(&mut self, nonce: u64) -> Option<Output> {
        let question = self.questions.remove(&nonce)?;
        Some(Output::Answered(nonce, question.into_answers()))
    }

    /// One host message, in as many datagrams as its interfaces need.
    fn say_host(&mut self, to: SocketAddrV4, wall_ms: u64, out: &mut Vec<Output>) {
        self.seq += 1;
        let mut parts: Vec<Vec<Interface>> =
            self.present.interfaces.chunks(INTERFACES_PER_PART).map(<[_]>::to_vec).collect();
        if parts.is_empty() {
            parts.push(Vec::new());
        }
        let count = parts.len() as u8;
        for (part, interfaces) in (1u8..).zip(parts) {
            let message = GroupMessage::Host(HostMessage {
                host: self.config.name.clone(),
                addr: self.config.advertise,
                time_ms: wall_ms,
                flags: self.config.flags,
                cpus: self.present.cpus,
                clock_mhz: self.present.clock_mhz,
                boot: self.config.boot,
                seq: self.seq,
                port: self.config.control_port,
                load_percent: self.present.load_percent,
                sessions: self.present.sessions,
                version: env!("CARGO_PKG_VERSION").into(),
                part: (part, count),
                interfaces,
            });
            let datagram = message.to_datagram(&self.config.key);
            debug_assert!(datagram.len() <= GROUP_DATAGRAM_BYTES_MAX);
            out.push(Output::Send(Transmit { to, datagram }));
        }
    }

    fn report(&mut self, now_ms: u64, text: impl FnOnce() -> String) -> Vec<Output> {
        if self.reports.take(now_ms) { vec![Output::Report(text())] } else { Vec::new() }
    }
}

fn bad_datagram(from: SocketAddrV4, error: &GroupMessageError) -> String {
    format!("a datagram from {from} is no group message: {error}")
}

#[cfg(test)]
mod tests;
