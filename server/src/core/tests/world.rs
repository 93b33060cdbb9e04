//! The world around the cores.

use crate::auth::{LinkId, Now};
use crate::config::Policy;
use crate::core::{
    Action, CoreConfig, Event, Launch, Level, RequestId, ServerCore, StoreAnswer, StoreOperation,
};
use crate::group::{GroupConfig, Present};
use crate::store::SessionRow;
use crate::store::model::StoreModel;
use afterglow_wire::control::{
    Attach, Cause, Challenge, ChallengeAnswer, Insert, Redirect, Refused, Remove, ServerNames,
    Showing, ToDtu, ToServer,
};
use afterglow_wire::group::Interface;
use afterglow_wire::guard::Guards;
use afterglow_wire::ids::{DtuId, Epoch, ServerName, SessionId, Size, Token};
use afterglow_wire::local::{CommandLine, Status, ToKeeper};
use afterglow_wire::service::{ServiceName, ServiceSpec, ServiceState, ServiceStatus};
use afterglow_wire::ticket::SealedTicket;
use afterglow_wire::trust::GroupKey;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};

pub fn name(text: &str) -> ServerName {
    text.parse().expect("a name")
}

pub fn ada() -> Token {
    "soft.ada".parse().expect("a token")
}

fn key() -> GroupKey {
    GroupKey::from_file_content(&[7; 32]).expect("32 bytes")
}

/// One server.
pub struct Server {
    pub core: ServerCore,
    address: SocketAddrV4,
    /// False: it neither hears nor speaks.
    pub alive: bool,
    /// What its DTUs were told.
    pub told: BTreeMap<LinkId, Vec<ToDtu>>,
    /// What it wanted done about sessions, in order.
    pub prepared: Vec<(SessionId, Epoch)>,
    pub discarded: Vec<(SessionId, Epoch)>,
    pub started: Vec<Launch>,
    pub keepers_told: Vec<(SessionId, Epoch, ToKeeper)>,
    pub answers: Vec<(u64, Result<String, String>)>,
    pub adopted: Vec<(SessionId, Epoch, SessionId)>,
    /// What it asked of the store, done or not.
    pub asked: Vec<StoreOperation>,
    pub log: Vec<(Level, String)>,
}

/// Servers `mud`, `host05`, `host21` …, in this order.
pub struct World {
    pub now_ms: u64,
    pub servers: Vec<Server>,
    pub store: StoreModel,
    pub store_up: bool,
    /// True if what it has of a token cannot be read.
    pub store_corrupt: bool,
    /// True: the store does what it is asked, and its answers are lost.
    pub answers_lost: bool,
    /// True: what the store is asked waits, done or not.
    pub hold_answers: bool,
    held: Vec<(usize, RequestId, StoreOperation)>,
    /// True: the store does what it is asked, and its answers wait.
    pub keep_answers: bool,
    kept: Vec<(usize, RequestId, StoreAnswer)>,
    /// Endpoints that answer probes.
    pub endpoints: BTreeSet<SocketAddrV4>,
    /// Starts that are not answered yet, with their server.
    pub starting: VecDeque<(usize, SessionId, Epoch)>,
    /// True: starts succeed at once.
    pub starts_at_once: bool,
    next_link: LinkId,
    catalogue: Catalogue,
    boots: u64,
}

/// Names of services, and which of them start with a session.
pub type Catalogue = &'static [(&'static str, bool)];

const NAMES: [&str; 3] = ["mud", "host05", "host21"];

impl World {
    /// So many servers, which have heard each other.
    pub fn new(count: usize) -> Self {
        World::with_services(count, &[])
    }

    /// The same, with a catalogue.
    pub fn with_services(count: usize, catalogue: Catalogue) -> Self {
        let mut world = World {
            now_ms: 1_000,
            servers: (0..count).map(|index| server(index, catalogue, 1)).collect(),
            store: StoreModel::default(),
            store_up: true,
            store_corrupt: false,
            answers_lost: false,
            hold_answers: false,
            held: Vec::new(),
            keep_answers: false,
            kept: Vec::new(),
            endpoints: BTreeSet::new(),
            starting: VecDeque::new(),
            starts_at_once: true,
            next_link: 1,
            catalogue,
            boots: 1,
        };
        for index in 0..count {
            world.present(index);
        }
        world.run_ms(5_000);
        world
    }

    fn present(&mut self, index: usize) {
        let ip = Ipv4Addr::new(10, 0, 0, 1 + index as u8);
        let mask = Ipv4Addr::new(255, 255, 255, 0);
        let bcast = Ipv4Addr::new(10, 0, 0, 255);
        let interfaces = vec![Interface { name: "eth0".into(), ip, mask, bcast }];
        let (cpus, clock_mhz, memory_mib) = (4, 3000, 8192);
        let present = Present { interfaces, cpus, clock_mhz, memory_mib, ..Present::default() };
        self.tell(index, Event::Present(present));
    }

    pub fn tell(&mut self, index: usize, event: Event) {
        let mut waiting = VecDeque::from([(index, event)]);
        while let Some((index, event)) = waiting.pop_front() {
            if !self.servers[index].alive {
                continue;
            }
            let now = Now { steady_ms: self.now_ms, wall_ms: 1_700_000_000_000 + self.now_ms };
            for action in self.servers[index].core.handle(now, event) {
                waiting.extend(self.perform(index, action));
            }
        }
    }

    fn perform(&mut self, index: usize, action: Action) -> Vec<(usize, Event)> {
        let back = |event| vec![(index, event)];
        match action {
            Action::SendLink { link, message } => {
                self.servers[index].told.entry(link).or_default().push(message);
            }
            Action::SendDatagram(transmit) => {
                let from = self.servers[index].address;
                let reaches = |(_, other): &(usize, &Server)| {
                    let to = *transmit.to.ip();
                    other.address != from && (to == *other.address.ip() || to.octets()[3] == 255)
                };
                let heard = self.servers.iter().enumerate().filter(reaches);
                return heard
                    .map(|(to, _)| {
                        let bytes = transmit.datagram.clone();
                        (to, Event::Datagram { from, bytes })
                    })
                    .collect();
            }
            Action::Store { request, operation } => {
                self.servers[index].asked.push(operation.clone());
                if self.hold_answers {
                    self.held.push((index, request, operation));
                    return Vec::new();
                }
                let answer = self.stored(&operation);
                if self.keep_answers {
                    self.kept.push((index, request, answer));
                    return Vec::new();
                }
                return back(Event::Stored { request, answer });
            }
            Action::Probe { request, endpoint, session, epoch } => {
                let said = self.endpoints.contains(&endpoint).then_some((session, epoch));
                return back(Event::Probed { request, said });
            }
            Action::Prepare(launch) => {
                self.servers[index].prepared.push((launch.row.id, launch.row.epoch));
            }
            Action::Discard { session, epoch } => {
                self.servers[index].discarded.push((session, epoch));
            }
            Action::Start(launch) => {
                let (session, epoch) = (launch.row.id, launch.row.epoch);
                self.servers[index].started.push(*launch);
                self.starting.push_back((index, session, epoch));
                if self.starts_at_once {
                    return self.next_start(Ok(7100));
                }
            }
            Action::TellKeeper { session, epoch, message } => {
                self.servers[index].keepers_told.push((session, epoch, message));
            }
            Action::Adopt { session, epoch, becomes } => {
                self.servers[index].adopted.push((session, epoch, becomes));
            }
            Action::Answer { answer, result } => {
                self.servers[index].answers.push((answer, result));
            }
            Action::Log(level, text) => self.servers[index].log.push((level, text)),
            Action::CloseLink { .. } => {}
        }
        Vec::new()
    }

    fn next_start(&mut self, result: Result<u16, String>) -> Vec<(usize, Event)> {
        let Some((index, session, epoch)) = self.starting.pop_front() else { return Vec::new() };
        let started = (index, Event::Started { session, epoch, result: result.clone() });
        let Ok(port) = result else { return vec![started] };
        vec![(index, Event::KeeperStatus(Status { port, ..status(session, epoch) })), started]
    }

    /// The oldest start that waits comes to its end.
    pub fn finish_start(&mut self, result: Result<u16, String>) {
        for (index, event) in self.next_start(result) {
            self.tell(index, event);
        }
    }

    fn stored(&mut self, operation: &StoreOperation) -> StoreAnswer {
        if !self.store_up {
            return StoreAnswer::Down;
        }
        if self.store_corrupt && matches!(operation, StoreOperation::TokenSession { .. }) {
            return StoreAnswer::Corrupt("session 03: its size is not valid; mend that row".into());
        }
        let answer = self.store.perform(operation, self.now_ms);
        if self.answers_lost { StoreAnswer::Down } else { answer }
    }

    /// The store does what it was asked meanwhile, and answers.
    pub fn let_answers_go(&mut self) {
        self.let_answers_go_as(|_| true);
    }

    /// The store does only these of the things that it was asked, then and
    /// for what follows from their answers; of the others it says that they
    /// changed nothing.
    pub fn let_answers_go_as(&mut self, does: impl Fn(&StoreOperation) -> bool) {
        while !self.held.is_empty() {
            for (index, request, operation) in std::mem::take(&mut self.held) {
                let answer = match does(&operation) {
                    true => self.stored(&operation),
                    false => StoreAnswer::Done(false),
                };
                self.tell(index, Event::Stored { request, answer });
            }
        }
        self.hold_answers = false;
    }

    /// The answers that waited arrive.
    pub fn give_answers(&mut self) {
        self.keep_answers = false;
        for (index, request, answer) in std::mem::take(&mut self.kept) {
            self.tell(index, Event::Stored { request, answer });
        }
    }

    /// The store answers the questions that wait, and no writes; what follows
    /// from the answers waits in turn.
    pub fn answer_read(&mut self) {
        for (index, request, operation) in std::mem::take(&mut self.held) {
            let answer = self.stored(&operation);
            self.tell(index, Event::Stored { request, answer });
        }
    }

    /// A server's process is a new one, which knows nothing. What was open at
    /// the old one is gone.
    pub fn restart(&mut self, index: usize) {
        self.boots += 1;
        self.servers[index] = server(index, self.catalogue, self.boots);
        self.present(index);
    }

    /// What a server told a copy's keeper, in order.
    pub fn told_keeper(&self, index: usize, copy: (SessionId, Epoch)) -> Vec<ToKeeper> {
        let told = self.servers[index].keepers_told.iter();
        let of_copy = told.filter(|(session, epoch, _)| (*session, *epoch) == copy);
        of_copy.map(|(_, _, message)| message.clone()).collect()
    }

    /// The lines of a server's log that have this in them.
    pub fn logged(&self, index: usize, part: &str) -> Vec<(Level, String)> {
        let lines = self.servers[index].log.iter().filter(|(_, text)| text.contains(part));
        lines.cloned().collect()
    }

    /// What a server asked of the store that is like this.
    pub fn asked(&self, index: usize, like: impl Fn(&StoreOperation) -> bool) -> usize {
        self.servers[index].asked.iter().filter(|operation| like(operation)).count()
    }

    /// The only session that the store knows.
    pub fn only_row(&self) -> SessionRow {
        assert_eq!(self.store.sessions.len(), 1);
        self.store.sessions.values().next().expect("a row").clone()
    }

    /// Lets time pass, with all ticks in it.
    pub fn run_ms(&mut self, ms: u64) {
        let end_ms = self.now_ms + ms;
        loop {
            let wakes = self.servers.iter().filter(|server| server.alive);
            let next_ms = wakes.filter_map(|server| server.core.wake_ms()).min();
            let Some(at_ms) = next_ms.filter(|at_ms| *at_ms <= end_ms) else { break };
            self.now_ms = self.now_ms.max(at_ms);
            for index in 0..self.servers.len() {
                if self.servers[index].core.wake_ms().is_some_and(|at| at <= self.now_ms) {
                    self.tell(index, Event::Tick);
                }
            }
        }
        self.now_ms = end_ms;
    }

    /// A DTU's link to a server.
    pub fn connect(&mut self, index: usize, dtu: u8) -> LinkId {
        let link = self.next_link;
        self.next_link += 1;
        let (dtu, address) = (DtuId([dtu; 32]), Ipv4Addr::new(10, 0, 0, 100 + dtu));
        self.tell(index, Event::LinkOpened { link, dtu, address, dtu_name: "desk".into() });
        link
    }

    pub fn say(&mut self, index: usize, link: LinkId, message: impl Into<ToServer>) {
        self.tell(index, Event::Link { link, message: message.into() });
    }

    /// Inserts, and answers the challenge.
    pub fn insert(&mut self, index: usize, link: LinkId, insert: Insert) {
        let (number, token) = (insert.insert, insert.token.clone());
        self.say(index, link, insert);
        let challenge = self.last(index, link, |message| match message {
            ToDtu::Challenge(Challenge { insert, nonce }) if *insert == number => Some(*nonce),
            _ => None,
        });
        if let Some(nonce) = challenge {
            self.say(index, link, ChallengeAnswer { insert: number, nonce, token });
        }
    }

    pub fn remove(&mut self, index: usize, link: LinkId, insert: u64) {
        self.say(index, link, Remove { insert });
    }

    /// The last message of a kind.
    pub fn last<T>(
        &self,
        index: usize,
        link: LinkId,
        wanted: impl Fn(&ToDtu) -> Option<T>,
    ) -> Option<T> {
        self.servers[index].told.get(&link)?.iter().rev().find_map(wanted)
    }
}

/// What a keeper says of a copy of ada's that nobody looks at.
pub fn status(session: SessionId, epoch: Epoch) -> Status {
    Status {
        session,
        epoch,
        token: ada(),
        port: 7100,
        shown_on: None,
        connection: 0,
        services: Default::default(),
        frozen: false,
        trouble: String::new(),
    }
}

pub fn service(text: &str) -> ServiceName {
    text.parse().expect("a service")
}

/// How a service stands that runs, or was stopped.
pub fn stands(text: &str, runs: bool) -> ServiceStatus {
    let state = if runs { ServiceState::Running } else { ServiceState::Stopped };
    let (name, text) = (service(text), String::new());
    ServiceStatus { name, state, required: false, host: String::new(), text }
}

fn offered((name, start): &(&str, bool)) -> ServiceSpec {
    let nothing = || CommandLine(Vec::new());
    ServiceSpec {
        name: service(name),
        command: CommandLine(vec![(*name).to_owned()]),
        required: false,
        start: *start,
        host: String::new(),
        on_connect: nothing(),
        on_disconnect: nothing(),
    }
}

fn server(index: usize, catalogue: Catalogue, boot: u64) -> Server {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ (index as u64 + 1) ^ (boot << 8);
    let random = move |buffer: &mut [u8]| {
        for byte in buffer {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (state >> 56) as u8;
        }
    };
    let advertise = Ipv4Addr::new(10, 0, 0, 1 + index as u8);
    let group = GroupConfig {
        name: name(NAMES[index]),
        key: key().message_key(),
        advertise,
        control_port: 7010,
        group_port: 7009,
        peers: Vec::new(),
        networks: Vec::new(),
        multicast: false,
        host_every_ms: 2_000,
        down_after_ms: 7_000,
        boot,
        flags: 0,
        guards: Guards::ALL,
    };
    let config = CoreConfig {
        group,
        key: key(),
        policy: Policy::Open,
        sessions_max: 8,
        home_root: "/homes".into(),
        services: catalogue.iter().map(offered).collect(),
        desktop: vec!["xterm".into()],
        guards: Guards::ALL,
    };
    Server {
        core: ServerCore::new(config, Box::new(random)),
        address: SocketAddrV4::new(advertise, 7009),
        alive: true,
        told: BTreeMap::new(),
        prepared: Vec::new(),
        discarded: Vec::new(),
        started: Vec::new(),
        keepers_told: Vec::new(),
        answers: Vec::new(),
        adopted: Vec::new(),
        asked: Vec::new(),
        log: Vec::new(),
    }
}

/// The attachment that a message tells of, if it is one.
pub fn attach(message: &ToDtu) -> Option<Attach> {
    match message {
        ToDtu::Attach(attach) => Some(attach.clone()),
        _ => None,
    }
}

/// The redirect that a message tells of, if it is one.
pub fn redirect(message: &ToDtu) -> Option<Redirect> {
    match message {
        ToDtu::Redirect(redirect) => Some(redirect.clone()),
        _ => None,
    }
}

/// A plain insert of ada's token.
pub fn insert(number: u64) -> Insert {
    Insert {
        insert: number,
        token: ada(),
        want: afterglow_wire::sessions::Want::Last,
        cause: Cause::Insert,
        ticket: None,
        unreachable: ServerNames::default(),
        redirects: 0,
        showing: None,
        screen: Size::new(800, 600).expect("a size"),
        keymap: Default::default(),
    }
}

/// What a DTU sends that lost its server.
pub fn failover(
    number: u64,
    lost: &str,
    showing: Option<Showing>,
    resume: Option<&SealedTicket>,
) -> Insert {
    let unreachable = [name(lost)].into_iter().collect();
    let ticket = resume.cloned();
    Insert { cause: Cause::Failover, unreachable, showing, ticket, ..insert(number) }
}

/// What a message tells that is wrong, if it is a refusal.
pub fn refusal(message: &ToDtu) -> Option<Refused> {
    match message {
        ToDtu::Refused(refused) => Some(refused.clone()),
        _ => None,
    }
}
