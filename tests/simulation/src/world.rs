//! The world: its machines, its clock, and what happens next.
//!
//! Everything that happens comes from one queue, one thing at a time. What a
//! process does about it is decided by the real cores; the world only carries
//! bytes, answers and time between them, and judges ([`crate::invariants`]).

use crate::dtu::Dtu;
use crate::fault::{Counts, Fault};
use crate::invariants::{Oracle, Violation};
use crate::network::{Network, server_ip};
use crate::plan::{MS_US, Plan, SECOND_US};
use crate::queue::{Due, Process, Queue, UserAct, WorldAct};
use crate::random::Rng;
use crate::rogue::Rogue;
use crate::server::Server;
use crate::session::Copy;
use crate::store::Store;
use crate::stream::{Acceptor, Opener, Streams};
use crate::trace::Trace;
use afterglow_wire::ids::GroupId;
use afterglow_wire::trust::{GroupKey, MessageKey, TicketVerifier};
use std::collections::BTreeMap;

/// What time of day it is when the world begins, in milliseconds since 1970.
pub const WALL_MS: u64 = 1_790_000_000_000;
/// The group, as desktop units know it.
pub const GROUP: GroupId = GroupId([7; 32]);
/// The secret of the group.
pub const GROUP_SECRET: [u8; 32] = [0x42; 32];

/// The group's key, made anew for each that needs it.
pub fn group_key() -> GroupKey {
    GroupKey::from_file_content(&GROUP_SECRET)
        .unwrap_or_else(|_| unreachable!("a key has 32 bytes"))
}

/// A process that is slow, or stands still.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stall {
    /// It stands still since then.
    pub since_us: u64,
    /// Until then.
    pub until_us: u64,
    /// How long it takes for every event.
    pub slow_us: u64,
}

/// The world.
pub struct World {
    /// What it was made from.
    pub plan: Plan,
    /// The time since it began.
    pub now_us: u64,
    /// What is going to happen.
    pub queue: Queue,
    /// Chance, for what has no generator of its own.
    pub rng: Rng,
    /// What happened.
    pub trace: Trace,
    /// Which faults happened.
    pub counts: Counts,
    /// Who reaches whom.
    pub network: Network,
    /// All control and display links.
    pub streams: Streams,
    /// The number of the next stream.
    pub next_stream: u64,
    /// The store.
    pub store: Store,
    /// From which servers the store cannot be reached, and until when.
    pub store_out: BTreeMap<usize, u64>,
    /// The servers.
    pub servers: Vec<Server>,
    /// All copies of sessions that ever ran.
    pub copies: Vec<Copy>,
    /// The desktop units.
    pub dtus: Vec<Dtu>,
    /// Desktop units that keep to no rule.
    pub rogues: Vec<Rogue>,
    /// Processes that do not keep up.
    pub stalls: BTreeMap<Process, Stall>,
    /// Until when a process did not keep up.
    pub stalled_us: BTreeMap<Process, u64>,
    /// The judge.
    pub oracle: Oracle,
    /// Opens tickets, as a session does.
    pub verifier: TicketVerifier,
    /// Signs and checks the group's messages.
    pub message_key: MessageKey,
    /// True once faults have ended.
    pub calm: bool,
}

impl World {
    /// The world of a plan, at its beginning.
    pub fn new(plan: Plan) -> Self {
        let key = group_key();
        let rng = Rng::of(plan.seed, "world", 0);
        let network = Network::new(plan.noise, plan.servers, Rng::of(plan.seed, "network", 0));
        let mut world = World {
            now_us: 0,
            queue: Queue::default(),
            rng,
            trace: Trace::default(),
            counts: Counts::default(),
            network,
            streams: Streams::new(),
            next_stream: 1,
            store: Store::default(),
            store_out: BTreeMap::new(),
            servers: Vec::new(),
            copies: Vec::new(),
            dtus: Vec::new(),
            rogues: Vec::new(),
            stalls: BTreeMap::new(),
            stalled_us: BTreeMap::new(),
            oracle: Oracle::default(),
            verifier: key.ticket_signer().verifier(),
            message_key: key.message_key(),
            calm: false,
            plan,
        };
        world.network.listened = [Fault::Replay, Fault::ForgedAnswer, Fault::Rogue]
            .iter()
            .any(|fault| world.plan.meets(*fault));
        world.begin();
        world
    }

    fn begin(&mut self) {
        let together = self.plan.meets(Fault::SimultaneousBoot);
        for server in 0..self.plan.servers {
            self.servers.push(Server::new(server, &self.plan));
            let at_us = self.rng.below(if together { 10 * MS_US } else { 2 * SECOND_US });
            self.queue.push(at_us, Due::World(WorldAct::StartServer(server)));
        }
        if together {
            self.counts.add(Fault::SimultaneousBoot);
        }
        let at_once = self.plan.meets(Fault::PowerOn);
        for dtu in 0..self.plan.dtus {
            self.dtus.push(Dtu::new(dtu, &self.plan));
            let at_us = self.rng.below(if at_once { 20 * MS_US } else { 4 * SECOND_US });
            let at_us = self.plan.first_on_us + at_us;
            self.queue.push(at_us, Due::User(dtu, UserAct::PowerOn));
        }
        if at_once {
            self.counts.add(Fault::PowerOn);
        }
        self.schedule_faults();
    }

    /// Lets everything happen that happens until then, or until something is
    /// wrong.
    pub fn run_until(&mut self, until_us: u64) {
        while self.oracle.violation.is_none()
            && let Some((at_us, due)) = self.queue.pop(until_us)
        {
            self.now_us = at_us;
            self.happen(due);
        }
        if self.oracle.violation.is_none() {
            self.now_us = until_us;
        }
    }

    /// Something is wrong.
    pub fn violated(&mut self, invariant: u8, text: impl FnOnce() -> String) {
        if self.oracle.violation.is_none() {
            let text = text();
            self.trace.say(self.now_us, || format!("VIOLATED {invariant}: {text}"));
            self.oracle.violation = Some(Violation { invariant, text, at_us: self.now_us });
        }
    }

    /// Something is going to happen after this long.
    pub fn after(&mut self, us: u64, due: Due) {
        self.queue.push(self.now_us + us, due);
    }

    fn happen(&mut self, due: Due) {
        let due = match self.held_up(due) {
            Some(due) => due,
            None => return,
        };
        match due {
            Due::Datagram(parcel) => self.datagram_arrives(*parcel),
            Due::Dial { stream, attempt } => self.dial(stream, attempt),
            Due::Knock { stream } => self.knock(stream),
            Due::Accepted { stream } => self.accepted(stream),
            Due::Unanswered { stream } => self.unanswered(stream),
            Due::Message { stream, up, generation } => self.piece_arrives(stream, up, generation),
            Due::Silence { stream, opener } => self.silence(stream, opener),
            Due::Tick(Process::Server(server)) => self.server_tick(server),
            Due::Tick(Process::Dtu(dtu)) => self.dtu_tick(dtu),
            Due::Tick(Process::Copy(copy)) => self.copy_tick(copy),
            Due::Tick(Process::World) => {}
            Due::StoreDoes(life, request, operation) => {
                self.store_does(life, request, &operation);
            }
            Due::StoreSaid(life, request, answer) => self.store_said(life, request, *answer),
            Due::ProbeArrives(life, request, endpoint, session, epoch) => {
                self.probe_arrives(life, request, endpoint, (session, epoch));
            }
            Due::ProbeSaid(life, request, said) => self.probe_said(life, request, said),
            Due::Launched { by, host_life, launch } => self.launched(by, host_life, *launch),
            Due::LaunchFailed { by, session, epoch } => self.launch_failed(by, session, epoch),
            Due::KeeperStands { to, copy } => self.keeper_stands(to, copy),
            Due::KeeperHears { copy, message } => self.keeper_hears(copy, *message),
            Due::KeeperBecomes { copy, becomes } => self.keeper_becomes(copy, becomes),
            Due::Look(life) => self.look(life),
            Due::Draw { copy, attachment } => self.draw(copy, attachment),
            Due::Typed { copy, attachment, seq } => self.typed(copy, attachment, seq),
            Due::FrameShown { dtu, life, number } => self.frame_shown(dtu, life, number),
            Due::Token { dtu, life, event } => self.token_event(dtu, life, event),
            Due::ReadToken { dtu, life } => self.read_token(dtu, life),
            Due::Resolved { dtu, life } => self.resolved(dtu, life),
            Due::User(dtu, act) => self.user_acts(dtu, act),
            Due::World(act) => self.world_acts(act),
        }
    }

    /// What it happens to may stand still or be slow: then it happens later.
    fn held_up(&mut self, due: Due) -> Option<Due> {
        if self.stalls.is_empty() {
            return Some(due);
        }
        let process = self.process_of(&due);
        let now_us = self.now_us;
        let Some(stall) = self.stalls.get_mut(&process) else { return Some(due) };
        if stall.until_us > now_us {
            let until_us = stall.until_us;
            self.queue.push(until_us, due);
            return None;
        }
        if stall.slow_us > 0 {
            stall.until_us = now_us + stall.slow_us;
        } else {
            self.stalls.remove(&process);
        }
        Some(due)
    }

    fn process_of(&self, due: &Due) -> Process {
        match due {
            Due::Datagram(parcel) => self.process_at(parcel.to),
            Due::Message { stream, up, .. } => match self.streams.get(stream) {
                Some(found) if *up => match found.acceptor {
                    Acceptor::Server(life) => Process::Server(life.server),
                    Acceptor::Worker { copy, .. } => Process::Copy(copy),
                    Acceptor::Nobody => Process::World,
                },
                Some(found) => opener_process(found.opener),
                None => Process::World,
            },
            Due::Knock { stream } => match self.streams.get(stream) {
                Some(found) => self.process_behind(found),
                None => Process::World,
            },
            Due::Accepted { stream } | Due::Unanswered { stream } => self
                .streams
                .get(stream)
                .map_or(Process::World, |found| opener_process(found.opener)),
            Due::Silence { .. } | Due::Dial { .. } => Process::World,
            Due::Tick(process) => *process,
            Due::StoreSaid(life, ..) | Due::ProbeSaid(life, ..) | Due::Look(life) => {
                Process::Server(life.server)
            }
            Due::KeeperStands { to, .. } => Process::Server(to.server),
            Due::LaunchFailed { by, .. } => Process::Server(by.server),
            Due::ProbeArrives(_, _, endpoint, ..) => {
                self.copy_at(*endpoint).map_or(Process::World, Process::Copy)
            }
            Due::KeeperHears { copy, .. }
            | Due::KeeperBecomes { copy, .. }
            | Due::Draw { copy, .. }
            | Due::Typed { copy, .. } => Process::Copy(*copy),
            Due::FrameShown { dtu, .. }
            | Due::Token { dtu, .. }
            | Due::ReadToken { dtu, .. }
            | Due::Resolved { dtu, .. } => Process::Dtu(*dtu),
            Due::StoreDoes(..) | Due::Launched { .. } | Due::User(..) | Due::World(_) => {
                Process::World
            }
        }
    }

    /// A process stands still for so long.
    pub fn pause(&mut self, process: Process, us: u64) {
        let until_us = self.now_us + us;
        let stall = self.stalls.entry(process).or_default();
        if stall.until_us <= self.now_us {
            stall.since_us = self.now_us;
        }
        stall.until_us = stall.until_us.max(until_us);
        self.did_not_keep_up(process, until_us);
        self.expect_silence(|stream| {
            opener_process(stream.opener) == process || acceptor_process(stream.acceptor) == process
        });
    }

    /// A process did not keep up, until then.
    pub fn did_not_keep_up(&mut self, process: Process, until_us: u64) {
        let last = self.stalled_us.entry(process).or_default();
        *last = (*last).max(until_us);
    }

    /// Since when a process stands still, if it does.
    pub fn paused_since(&self, process: Process) -> Option<u64> {
        let stall = self.stalls.get(&process)?;
        (stall.until_us > self.now_us && stall.slow_us == 0).then_some(stall.since_us)
    }

    /// When the process last did not keep up.
    pub fn last_stalled_us(&self, process: Process) -> u64 {
        self.stalled_us.get(&process).copied().unwrap_or(0)
    }

    /// A host's calendar, in milliseconds since 1970.
    pub fn wall_ms(&self, offset_ms: i64) -> u64 {
        (WALL_MS + self.now_us / MS_US).saturating_add_signed(offset_ms)
    }

    /// The main address of a server.
    pub fn address_of(&self, server: usize) -> std::net::Ipv4Addr {
        server_ip(server, 0)
    }
}

/// The process of who opened a stream.
pub fn opener_process(opener: Opener) -> Process {
    match opener {
        Opener::Dtu { dtu, .. } => Process::Dtu(dtu),
        Opener::Rogue(_) => Process::World,
    }
}

/// The process of who took a stream.
pub fn acceptor_process(acceptor: Acceptor) -> Process {
    match acceptor {
        Acceptor::Server(life) => Process::Server(life.server),
        Acceptor::Worker { copy, .. } => Process::Copy(copy),
        Acceptor::Nobody => Process::World,
    }
}
