//! All decisions of a server in one state machine without I/O.
//!
//! Time, randomness, messages and answers come in as [`Event`]s; messages,
//! questions and orders go out as [`Action`]s, which are done in order. The
//! server's shell and the simulation drive the same core.
//!
//! | module | what it decides |
//! | --- | --- |
//! | `event`, `action` | nothing: they are what comes in and what goes out |
//! | `link` | what becomes of a DTU's messages, and what it is told |
//! | `course` | asks what a [placement](crate::session::placement) wants to know |
//! | `start` | the start of a session, which outlives the insert that wanted it |
//! | `copies` | the sessions on this host, and what the store hears of them |
//! | `ask` | who waits for which answer of the store |
//! | `care` | the way back to a server that was silent |
//! | `services` | which services a session gets, and what the store hears of them |
//! | `older` | what becomes of a copy whose session was taken over |
//! | `panel` | what a user is told of the token's sessions, and wants of them |
//! | `moving` | a session that goes to another server on purpose |
//! | `orders` | what administrators want |

mod action;
mod ask;
mod care;
mod copies;
mod course;
mod event;
mod link;
mod moving;
mod older;
mod orders;
mod panel;
mod services;
mod start;
#[cfg(test)]
mod tests;

pub use action::{Action, Launch, Level, LinkClose, Screen, StoreOperation};
pub use event::{AdminOrder, Event, RequestId, StoreAnswer};
pub use link::ALIVE_EVERY_MS;

use crate::auth::{Authentication, LinkId, Now};
use crate::config::Policy;
use crate::group::{GroupConfig, GroupManager, Output, Whose};
use crate::session::care::Care;
use crate::session::table::Table;
use afterglow_wire::group::TokenQ;
use afterglow_wire::guard::Guards;
use afterglow_wire::ids::{Epoch, ServerName, SessionId};
use afterglow_wire::service::{ServiceName, ServiceSpec};
use afterglow_wire::trust::{GroupKey, TicketSigner};
use ask::Asker;
use course::{Course, CourseId};
use link::Link;
use start::Start;
use std::collections::{BTreeMap, BTreeSet};

/// Fills a buffer with fresh randomness.
pub type Random = Box<dyn FnMut(&mut [u8]) + Send>;

/// What does not change while the server runs.
pub struct CoreConfig {
    /// The group manager's part, the server's name and address among it.
    pub group: GroupConfig,
    /// Hashes tokens and signs tickets.
    pub key: GroupKey,
    /// Which tokens are accepted.
    pub policy: Policy,
    /// The most sessions on this host.
    pub sessions_max: usize,
    /// The directory of the users' home directories.
    pub home_root: String,
    /// A new session's desktop.
    pub desktop: Vec<String>,
    /// The catalogue of services.
    pub services: Vec<ServiceSpec>,
    /// Which checks are made; all, but in a simulation that has to notice.
    pub guards: Guards,
}

/// What waits for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// A course's round of probes, or its pause, is over.
    Course(CourseId),
    /// A start does not wait for the store any longer.
    Start(SessionId, Epoch),
    /// The store is to be told again where a copy is.
    Endpoint(SessionId, Epoch),
    /// What was made ready is given up, if nobody wants it.
    Discard(SessionId, Epoch),
    /// The store is to be asked again whether a copy is still the session.
    Check(SessionId, Epoch),
    /// The store is to be told again which of a copy's services run.
    Services(SessionId, Epoch),
    /// The store is to be asked what is wanted of earlier copies here.
    Copies,
    /// A user has had his time for an answer.
    Consent(u64),
    /// The store is to be asked whether it took what a copy becomes.
    Adopt(SessionId),
    /// The store is to be told again that a session is over.
    End(SessionId, Epoch),
    /// The store is to be asked again about a session of which it knew less
    /// than we.
    Behind(SessionId),
}

/// One copy of a session.
type CopyId = (SessionId, Epoch);

/// A server's decisions.
pub struct ServerCore {
    config: CoreConfig,
    signer: TicketSigner,
    random: Random,
    /// When the event that is being handled happened.
    now: Now,
    /// What is to be done about it, so far.
    actions: Vec<Action>,
    group: GroupManager,
    auth: Authentication,
    table: Table,
    care: Care,
    draining: bool,
    links: BTreeMap<LinkId, Link>,
    next_alive_ms: u64,
    /// At most one for each link.
    courses: BTreeMap<CourseId, Course>,
    next_course: CourseId,
    starts: BTreeMap<CopyId, Start>,
    /// What was made ready for a take-over, and for which course; for none
    /// since that ended, and then only for a moment.
    prepared: BTreeMap<CopyId, Option<CourseId>>,
    /// Questions to the store and to endpoints that are under way.
    asked: BTreeMap<RequestId, Asker>,
    next_request: RequestId,
    /// Questions to the group that are under way, by their nonce.
    questions: BTreeMap<u64, GroupAsker>,
    due: BTreeSet<(u64, Due)>,
    /// The running services that the store was told of, of each copy here.
    services_told: BTreeMap<CopyId, Vec<ServiceName>>,
    /// The earlier copies that are about to go on, by what they become.
    adopting: BTreeMap<SessionId, older::Adopting>,
    /// Earlier copies of which the log says that they cannot go on.
    held_back: BTreeSet<CopyId>,
    /// Moves that wait for their users, by the question's number.
    consents: BTreeMap<u64, moving::Asked>,
    next_question: u64,
    /// The sessions of which the store knows less than we: its epoch, and
    /// ours. As long as there are some it lost data, and nothing is taken
    /// over on its word.
    store_behind: BTreeMap<SessionId, (Epoch, Epoch)>,
}

/// Who asked the group.
#[derive(Debug, Clone, PartialEq, Eq)]
enum GroupAsker {
    /// An insert's course that looks for the token's session.
    Course(CourseId),
    /// An insert's course that probes a silent server.
    Probe(CourseId, ServerName),
    /// We ourselves, on behalf of the DTUs that we care for.
    Care(ServerName, afterglow_wire::ids::Token),
}

impl ServerCore {
    /// A server that knows nobody yet.
    pub fn new(config: CoreConfig, random: Random) -> Self {
        let signer = config.key.ticket_signer();
        let name = config.group.name.clone();
        ServerCore {
            auth: Authentication::new(name, config.policy, config.guards, signer.verifier()),
            group: GroupManager::new(config.group.clone()),
            table: Table::new(config.sessions_max, config.guards),
            care: Care::default(),
            signer,
            random,
            now: Now { steady_ms: 0, wall_ms: 0 },
            actions: Vec::new(),
            draining: false,
            links: BTreeMap::new(),
            next_alive_ms: 0,
            courses: BTreeMap::new(),
            next_course: 1,
            starts: BTreeMap::new(),
            prepared: BTreeMap::new(),
            asked: BTreeMap::new(),
            next_request: 1,
            questions: BTreeMap::new(),
            due: BTreeSet::from([(older::LOOK_MS, Due::Copies)]),
            services_told: BTreeMap::new(),
            adopting: BTreeMap::new(),
            held_back: BTreeSet::new(),
            consents: BTreeMap::new(),
            next_question: 1,
            store_behind: BTreeMap::new(),
            config,
        }
    }

    /// Takes an event and gives what is to be done, in order.
    pub fn handle(&mut self, now: Now, event: Event) -> Vec<Action> {
        self.now = now;
        match event {
            Event::LinkOpened { link, dtu, address, dtu_name } => {
                self.link_opened(link, dtu, address, &dtu_name);
            }
            Event::Link { link, message } => self.link_message(link, message),
            Event::LinkClosed { link } => self.link_closed(link),
            Event::Datagram { from, bytes } => self.datagram(from, &bytes),
            Event::Stored { request, answer } => self.stored(request, answer),
            Event::Probed { request, said } => self.endpoint_probed(request, said),
            Event::Started { session, epoch, result } => self.started((session, epoch), result),
            Event::KeeperFound(status) => self.keeper_found(&status),
            Event::KeeperStatus(status) => self.keeper_status(&status),
            Event::KeeperEnded { session, epoch, text, by_itself } => {
                self.copy_ended((session, epoch), &text, by_itself);
            }
            Event::Present(present) => {
                let sessions = self.table.len() as u32;
                self.group.set_present(crate::group::Present { sessions, ..present });
            }
            Event::Address(address) => self.moved_to(address),
            Event::Peers(peers) => self.group.set_peers(peers),
            Event::Homes(homes) => self.group.set_homes(homes),
            Event::Drain(on) => self.drain(on),
            Event::Order { order, answer } => self.order(order, answer),
            Event::Tick => {}
        }
        self.on_time();
        std::mem::take(&mut self.actions)
    }

    /// When [`Event::Tick`] is due, on the steady clock; other events may come
    /// before.
    pub fn wake_ms(&self) -> Option<u64> {
        let due_ms = self.due.first().map(|(at_ms, _)| *at_ms);
        let alive_ms = (!self.links.is_empty()).then_some(self.next_alive_ms);
        [Some(self.group.next_tick_ms()), due_ms, alive_ms].into_iter().flatten().min()
    }

    /// The servers that were heard.
    pub fn group(&self) -> &GroupManager {
        &self.group
    }

    /// The sessions on this host.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// True once the store was asked about every session that was found
    /// running.
    pub fn has_judged_found(&self) -> bool {
        !self.asked.values().any(|asker| matches!(asker, Asker::Found(_)))
    }

    /// What is wrong with what the store says, for administrators and users:
    /// it knows less of a session than we, so it lost data.
    pub fn store_trouble(&self) -> Option<String> {
        let (session, (stored, known)) = self.store_behind.first_key_value()?;
        Some(format!(
            "the store knows epoch {stored} of session {session}, and there was an epoch {known}: \
             it lost data, and until it has it again no session is taken over"
        ))
    }

    /// True if it takes no new sessions.
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// How many entries the core's tables hold: links, courses, starts,
    /// questions to the store and to the group, timers. For those who check
    /// that they are bounded.
    pub fn table_sizes(&self) -> [usize; 6] {
        [
            self.links.len(),
            self.courses.len(),
            self.starts.len(),
            self.asked.len(),
            self.questions.len(),
            self.due.len(),
        ]
    }

    fn on_time(&mut self) {
        let now_ms = self.now.steady_ms;
        if self.group.next_tick_ms() <= now_ms {
            let outputs = self.group.tick(now_ms, self.now.wall_ms);
            self.group_says(outputs);
        }
        while let Some((at_ms, due)) = self.due.first().copied()
            && at_ms <= now_ms
        {
            self.due.remove(&(at_ms, due));
            match due {
                Due::Course(course) => self.course_is_due(course, at_ms),
                Due::Start(session, epoch) => self.start_is_due((session, epoch)),
                Due::Endpoint(session, epoch) => self.note_endpoint((session, epoch)),
                Due::Discard(session, epoch) => self.discard_unwanted((session, epoch)),
                Due::Check(session, epoch) => self.check_copy((session, epoch)),
                Due::Services(session, epoch) => self.note_services((session, epoch)),
                Due::Copies => self.look_at_copies(),
                Due::Consent(question) => self.consent_is_due(question),
                Due::Adopt(becomes) => self.adopt_is_due(becomes),
                Due::End(session, epoch) => self.end_row((session, epoch)),
                Due::Behind(session) => self.look_behind(session),
            }
        }
        if self.next_alive_ms <= now_ms && !self.links.is_empty() {
            self.next_alive_ms = now_ms + ALIVE_EVERY_MS;
            self.say_alive();
        }
    }

    fn datagram(&mut self, from: std::net::SocketAddrV4, bytes: &[u8]) {
        let table = &self.table;
        let lookup = |q: &TokenQ| table.of_hash(&q.hash, q.session);
        let Now { steady_ms, wall_ms } = self.now;
        let outputs = self.group.datagram(bytes, from, steady_ms, wall_ms, lookup);
        self.group_says(outputs);
    }

    fn group_says(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Send(transmit) => self.actions.push(Action::SendDatagram(transmit)),
                Output::Up(name) => {
                    self.log(Level::Info, || format!("server {name} is up"));
                    self.owner_heard(&name);
                }
                Output::Heard(name) => self.owner_heard(&name),
                Output::Down(name) => {
                    self.log(Level::Warn, || format!("server {name} is silent: it counts as down"));
                }
                Output::Answered(nonce, answers) => match self.questions.remove(&nonce) {
                    Some(GroupAsker::Course(course)) => self.group_answered(course, answers),
                    Some(GroupAsker::Probe(course, server)) => {
                        self.server_probed(course, &server, &answers);
                    }
                    Some(GroupAsker::Care(owner, token)) => {
                        self.owner_answered(&owner, &token, &answers);
                    }
                    None => {}
                },
                Output::Report(text) => self.log(Level::Warn, || format!("group: {text}")),
            }
        }
    }

    /// Asks the group for a token's session; for this one, if one is named.
    fn ask_group(
        &mut self,
        ask: &crate::group::Ask,
        token: &afterglow_wire::ids::Token,
        session: Option<SessionId>,
        asker: GroupAsker,
    ) {
        let nonce = u64::from_ne_bytes(self.random());
        let hash = self.config.key.token_hash(token);
        self.questions.insert(nonce, asker);
        let whose = Whose { hash, session };
        let outputs = self.group.ask(ask, whose, nonce, self.now.steady_ms);
        self.group_says(outputs);
    }

    fn drain(&mut self, on: bool) {
        if self.draining == on {
            return;
        }
        self.draining = on;
        self.group.set_draining(on);
        self.log(Level::Info, || match on {
            true => "taking leave: no new sessions come here".into(),
            false => "back in service".into(),
        });
    }

    fn at(&mut self, at_ms: u64, due: Due) {
        self.due.insert((at_ms, due));
    }

    fn log(&mut self, level: Level, text: impl FnOnce() -> String) {
        self.actions.push(Action::Log(level, text()));
    }

    fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.random)(&mut bytes);
        bytes
    }

    fn me(&self) -> &ServerName {
        &self.config.group.name
    }
}
