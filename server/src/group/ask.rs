//! Whom we ask for a token's session, and where a new one goes (patent,
//! figure 9b, steps 916 to 920).

use super::load::{Candidate, choose};
use super::question::{Due, Question};
use super::topology::Host;
use super::{GroupManager, Output, Transmit};
use afterglow_wire::group::{GroupMessage, HostMessage, TokenQ, flags};
use afterglow_wire::guard::Guard;
use afterglow_wire::ids::{ServerName, SessionId};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Who is asked, and who is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// All servers that are up and that the DTU can reach.
    Group {
        /// The DTU's addresses.
        dtu: Vec<Ipv4Addr>,
        /// Servers that the DTU could not reach. They are asked if they are
        /// up, and not waited for.
        except: BTreeSet<ServerName>,
    },
    /// This server, up or not, wherever it may be.
    Server(ServerName),
}

/// Whose session is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whose {
    /// The keyed hash that stands for the token.
    pub hash: [u8; 32],
    /// The session, if a certain one of the token's is meant.
    pub session: Option<SessionId>,
}

impl GroupManager {
    /// Asks for a token's session. The nonce must be fresh randomness; the
    /// answer comes as [`Output::Answered`] with it, and may come at once.
    pub fn ask(&mut self, ask: &Ask, whose: Whose, nonce: u64, now_ms: u64) -> Vec<Output> {
        let host = self.config.name.clone();
        let Whose { hash, session } = whose;
        let message = GroupMessage::TokenQ(TokenQ { nonce, host, hash, session });
        let datagram = message.to_datagram(&self.config.key);
        let (to, waits_for) = self.asked(ask);
        let question = Question::new(ask.clone(), datagram.clone(), waits_for, now_ms);
        let over = self.questions.insert(nonce, question);
        let mut out = sends(to, &datagram);
        out.extend(over.map(|answers| Output::Answered(nonce, answers)));
        out
    }

    /// Sends questions again that are due, and gives up those whose time is
    /// over.
    pub(super) fn tick_questions(&mut self, now_ms: u64, out: &mut Vec<Output>) {
        while let Some(due) = self.questions.take_due(now_ms) {
            match due {
                Due::Over(nonce, answers) => out.push(Output::Answered(nonce, answers)),
                Due::Repeat(nonce) => {
                    if let Some(question) = self.questions.get(nonce) {
                        out.extend(sends(self.asked_again(question), &question.datagram));
                    }
                }
            }
        }
    }

    fn asked(&self, ask: &Ask) -> (BTreeSet<SocketAddrV4>, BTreeSet<ServerName>) {
        match ask {
            Ask::Group { dtu, except } => {
                let name = |host: &Host| host.message.host.clone();
                let is_excepted = |host: &&Host| except.contains(&host.message.host);
                let reached =
                    |host: &&Host| dtu.iter().any(|dtu| self.place().way_to(host, *dtu).is_some());
                let up = || self.topology.up();
                let asked = up().filter(|host| is_excepted(host) || reached(host));
                let waits_for = up().filter(|host| !is_excepted(host) && reached(host));
                (asked.map(|host| host.address).collect(), waits_for.map(name).collect())
            }
            Ask::Server(name) => {
                // Its last address may be wrong by now, or not known to us.
                let mut to = self.by_unicast_and_broadcast();
                to.extend(self.topology.host(name).map(|host| host.address));
                (to, BTreeSet::from([name.clone()]))
            }
        }
    }

    /// Where a question goes that was not answered: to all addresses by which
    /// we hear those that are waited for.
    fn asked_again(&self, question: &Question) -> BTreeSet<SocketAddrV4> {
        let mut to = match &question.ask {
            Ask::Group { .. } => BTreeSet::new(),
            Ask::Server(_) => self.by_unicast_and_broadcast(),
        };
        for host in question.silent().iter().filter_map(|name| self.topology.host(name)) {
            let port = host.address.port();
            let heard = host.interfaces.iter().filter(|known| known.works());
            to.insert(host.address);
            to.extend(heard.map(|known| SocketAddrV4::new(known.interface.ip, port)));
        }
        to
    }

    /// Where a new session of a DTU at this address should go: to us if there
    /// is `room_here`, or to a TRUSTED server that is up, takes no leave, can
    /// be reached by the DTU and is not in `except`. The formula is that of
    /// [`super::load`]. `None` if nobody may take it.
    pub fn lightest(
        &mut self,
        now_ms: u64,
        dtu: Ipv4Addr,
        except: &BTreeSet<ServerName>,
        room_here: bool,
        random: u64,
    ) -> Option<ServerName> {
        let stays = |message: &HostMessage| {
            message.flags & flags::DRAINING == 0 || !self.config.guards.make(Guard::Draining)
        };
        let heard = |host: &&Host| {
            let silent_ms = now_ms.saturating_sub(host.heard_ms);
            silent_ms <= self.config.down_after_ms || !self.config.guards.make(Guard::SilenceIsDown)
        };
        let others = self.topology.up().filter(|host| {
            heard(host)
                && stays(&host.message)
                && !except.contains(&host.message.host)
                && self.place().way_to(host, dtu).is_some()
        });
        let servers = self.topology.up().count() as u64 + 1;
        let mut candidates: Vec<_> =
            others.map(|host| candidate(&host.message, host.sent, servers)).collect();
        let ours = self.host_message(0, (1, 1), Vec::new());
        if room_here && stays(&ours) && !except.contains(&self.config.name) {
            let ours = HostMessage { sessions: self.said_sessions, ..ours };
            candidates.push(candidate(&ours, self.kept, servers));
        }
        choose(&candidates, &self.config.name, random).map(|chosen| chosen.name.clone())
    }

    /// Counts a session that was sent to this server or, if it is us, started
    /// here.
    pub fn note_sent(&mut self, to: &ServerName) {
        if *to == self.config.name {
            self.kept = self.kept.saturating_add(1);
        } else {
            self.topology.note_sent(to);
        }
    }

    /// How long one round of probes to a silent server should wait: from 50 ms
    /// on a quiet network to 400 ms on one whose delays differ much, or if
    /// little is known of it. See [`super::offsets`].
    pub fn probe_round_ms(&self, server: &ServerName) -> u64 {
        let unknown = super::offsets::PROBE_ROUND_MS_MAX;
        self.topology.host(server).map_or(unknown, |host| host.offsets.probe_round_ms())
    }
}

fn candidate(message: &HostMessage, sent: u32, servers: u64) -> Candidate {
    Candidate {
        name: message.host.clone(),
        cpus: message.cpus,
        clock_mhz: message.clock_mhz,
        load_percent: message.load_percent,
        sessions: message.sessions,
        memory_mib: message.memory_mib,
        arriving: u64::from(sent) * servers,
    }
}

fn sends(to: BTreeSet<SocketAddrV4>, datagram: &[u8]) -> Vec<Output> {
    let send = |to| Output::Send(Transmit { to, datagram: datagram.to_vec(), via: None });
    to.into_iter().map(send).collect()
}
