//! What must hold, judged from what the world knows and the programs do not.
//!
//! | module | always true (ARCHITECTURE.md) |
//! | --- | --- |
//! | `copies` | 1 and 2: one session, its highest epoch, and nothing for an older one |
//! | `tokens` | 3: authenticated, and gone when removed |
//! | `messages` | 4 and 7: forged and replayed messages; bounds |
//! | `takeover` | 5: nothing that runs is destroyed or replaced |
//! | `redirects` | 6: redirects end |
//! | `liveness` | 8 to 11: true again once faults have stopped |

mod copies;
mod liveness;
mod messages;
mod redirects;
mod takeover;
mod tokens;

use crate::queue::ServerLife;
use crate::world::World;
use afterglow_server::core::{Action, RequestId};
use afterglow_server::store::Wish;
use afterglow_wire::control::{Cause, RedirectPlan, ToDtu, ToServer};
use afterglow_wire::display::ToSession;
use afterglow_wire::ids::{DtuId, Epoch, ServerName, SessionId, Token};
use afterglow_wire::ticket::SealedTicket;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;

pub use messages::Before;

/// Something that must hold did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Its number in the design's list.
    pub invariant: u8,
    /// What happened.
    pub text: String,
    /// When.
    pub at_us: u64,
}

/// A host message: its boot, its number and its part.
type Number = (u64, u64, (u8, u8));

/// What the judges remember.
#[derive(Debug, Default)]
pub struct Oracle {
    /// The first thing that was wrong.
    pub violation: Option<Violation>,
    /// The copy behind each port of each host.
    pub by_port: BTreeMap<(usize, u16), usize>,
    /// What servers made ready and did not start yet.
    pub prepared: BTreeSet<(usize, SessionId, Epoch)>,
    /// When a server could reach the store again.
    pub store_back_us: BTreeMap<usize, u64>,
    /// Tickets that somebody saw, with the cause and number of an insert that
    /// they would go with.
    pub tickets: VecDeque<(SealedTicket, Cause, u64)>,
    /// The inserts whose token was proved.
    proved: BTreeSet<(DtuId, u64, Token)>,
    /// The ticket and the plan of an insert's last redirect.
    plans: BTreeMap<(DtuId, u64), (SealedTicket, RedirectPlan)>,
    /// How many redirects in a row an insert followed.
    followed: BTreeMap<(usize, u64), u32>,
    /// The highest epoch of a session that a server's process was told.
    learnt: BTreeMap<(usize, SessionId), Epoch>,
    /// The host messages that a server got of each other: boot and number,
    /// and the part.
    heard: BTreeSet<(usize, ServerName, Number)>,
    /// How many answers a server gave an address in the present second.
    answers: BTreeMap<(usize, Ipv4Addr), (u64, u64)>,
    /// Questions to the store about a session by its id.
    pub reads: BTreeSet<(usize, u32, RequestId)>,
    /// Probes that were answered already.
    probed: BTreeSet<(usize, u32, RequestId)>,
    /// What users typed.
    typing: Vec<copies::Typing>,
    /// The copies of which each (session, epoch) was launched.
    launched: BTreeMap<(SessionId, Epoch), usize>,
    /// What users want of their earlier copies.
    pub decided: BTreeMap<(SessionId, Epoch), Wish>,
    /// How many copies were frozen, and how many went on.
    pub older: (u64, u64),
    /// When workers were started again.
    pub workers: BTreeMap<usize, u64>,
    /// How many sessions were taken over.
    pub take_overs: u64,
    /// How many redirects were sent.
    pub redirects: u64,
    /// How many attachments were made.
    pub attachments: u64,
}

impl Oracle {
    /// A server's process is new: it has been told nothing.
    pub fn server_started(&mut self, server: usize) {
        self.learnt.retain(|(of, _), _| *of != server);
        self.heard.retain(|(of, ..)| *of != server);
    }

    /// A server was told of an epoch of a session.
    pub fn learns(&mut self, server: usize, session: SessionId, epoch: Epoch) {
        let known = self.learnt.entry((server, session)).or_insert(epoch);
        *known = (*known).max(epoch);
    }

    /// When the worker of a copy was started again last; 0 if it never was.
    pub fn worker_us(&self, copy: usize) -> u64 {
        self.workers.get(&copy).copied().unwrap_or(0)
    }

    /// True if a server knows that its copy is older than the session.
    pub fn is_stale(&self, server: usize, session: SessionId, epoch: Epoch) -> bool {
        self.learnt.get(&(server, session)).is_some_and(|learnt| epoch < *learnt)
    }

    /// True the first time that a probe is answered.
    pub fn first_answer(&mut self, life: ServerLife, request: RequestId) -> bool {
        self.probed.insert((life.server, life.life, request))
    }
}

impl World {
    /// A message is at a server's end of a link.
    pub fn note_to_server(&mut self, number: u64, message: &ToServer) {
        match message {
            ToServer::Insert(insert) => self.note_insert(number, insert),
            ToServer::ChallengeAnswer(answer) => self.note_answer(number, answer),
            ToServer::Remove(remove) => {
                if let Some(stream) = self.streams.get_mut(&number) {
                    stream.facts.removed = stream.facts.removed.max(remove.insert);
                }
            }
            ToServer::Hello(_)
            | ToServer::Addresses(_)
            | ToServer::ListSessions(_)
            | ToServer::Manage(_)
            | ToServer::Consent(_)
            | ToServer::Unknown(_) => {}
        }
    }

    /// A server is about to do something.
    pub fn judge_server(&mut self, server: usize, action: &Action) {
        match action {
            Action::SendLink { link, message } => match message {
                ToDtu::Challenge(challenge) => {
                    if let Some(stream) = self.streams.get_mut(link) {
                        stream.facts.challenges.push((challenge.insert, challenge.nonce));
                    }
                }
                ToDtu::Attach(attach) => {
                    self.oracle.attachments += 1;
                    self.judge_attach_proved(server, *link, attach);
                    self.judge_attach_epoch(server, *link, attach);
                    self.judge_attach_plan(*link, attach);
                    self.keep_ticket(*link, attach.insert, &attach.resume, Cause::Failover);
                }
                ToDtu::Redirect(redirect) => {
                    self.oracle.redirects += 1;
                    self.judge_redirect(server, *link, redirect);
                    self.keep_ticket(*link, redirect.insert, &redirect.ticket, Cause::Redirect);
                }
                _ => {}
            },
            Action::SendDatagram(transmit) => self.judge_datagram(server, transmit),
            Action::Start(launch) => self.judge_start(server, launch),
            Action::Discard { session, epoch } => self.judge_discard(server, *session, *epoch),
            Action::TellKeeper { session, epoch, message } => {
                self.judge_tells_keeper(server, (*session, *epoch), message);
            }
            Action::CloseLink { .. }
            | Action::Store { .. }
            | Action::Probe { .. }
            | Action::Prepare(_)
            | Action::Adopt { .. }
            | Action::Answer { .. }
            | Action::Log(..) => {}
        }
    }

    fn keep_ticket(&mut self, link: u64, insert: u64, ticket: &SealedTicket, cause: Cause) {
        if !self.network.listened || !self.streams.contains_key(&link) {
            return;
        }
        if self.oracle.tickets.len() >= 32 {
            self.oracle.tickets.pop_front();
        }
        self.oracle.tickets.push_back((ticket.clone(), cause, insert));
    }

    /// A message is at a session's end of a link.
    pub fn note_to_copy(&mut self, copy: usize, number: u64, message: &ToSession) {
        if let ToSession::Attach(attach) = message
            && let Some(bearer) = self.id_behind(number)
            && self.plan.busy_users
        {
            let host_ms = self.servers[self.copies[copy].host].offset_ms;
            let ahead_ms = |issuer: &ServerName| {
                let server = self.servers.iter().find(|server| server.name == *issuer);
                server.map_or(0, |server| server.offset_ms - host_ms)
            };
            let now_ms = self.wall_ms(host_ms);
            let ticket = attach.ticket.open(&self.verifier, bearer, now_ms, ahead_ms);
            self.copies[copy].ticket = ticket.ok();
        }
        if let ToSession::Remove(remove) = message
            && let Some(stream) = self.streams.get(&number)
            && let crate::stream::Opener::Dtu { dtu, .. } = stream.opener
        {
            let id = self.dtus[dtu].id;
            let shows = self.copies[copy].last.is_some_and(|last| last.dtu == id);
            if shows {
                self.note_removed(copy, id, remove.insert);
            }
        }
    }

    /// A message is at a desktop unit.
    pub fn note_to_dtu(&mut self, dtu: usize, message: &ToDtu) {
        if let ToDtu::Attach(attach) = message {
            self.oracle.followed.remove(&(dtu, attach.insert));
        }
    }
}
