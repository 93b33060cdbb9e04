//! The world around the cores.

use crate::auth::{LinkId, Now};
use crate::config::Policy;
use crate::core::{Action, CoreConfig, Event, Launch, ServerCore, StoreAnswer, StoreOperation};
use crate::group::{GroupConfig, Present};
use crate::store::SessionRow;
use crate::store::model::StoreModel;
use afterglow_wire::control::{
    Attach, Cause, Challenge, ChallengeAnswer, Insert, Redirect, Remove, ServerNames, Showing,
    ToDtu, ToServer,
};
use afterglow_wire::group::Interface;
use afterglow_wire::guard::Guards;
use afterglow_wire::ids::{DtuId, Epoch, ServerName, SessionId, Size, Token};
use afterglow_wire::local::{Status, ToKeeper};
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
    pub keepers_told: Vec<ToKeeper>,
    pub answers: Vec<(u64, Result<String, String>)>,
    pub adopted: Vec<(SessionId, Epoch, SessionId)>,
}

/// Servers `mud`, `host05`, `host21` …, in this order.
pub struct World {
    pub now_ms: u64,
    pub servers: Vec<Server>,
    pub store: StoreModel,
    pub store_up: bool,
    /// Endpoints that answer probes.
    pub endpoints: BTreeSet<SocketAddrV4>,
    /// Starts that are not answered yet, with their server.
    pub starting: VecDeque<(usize, SessionId, Epoch)>,
    /// True: starts succeed at once.
    pub starts_at_once: bool,
    next_link: LinkId,
}

const NAMES: [&str; 3] = ["mud", "host05", "host21"];

impl World {
    /// So many servers, which have heard each other.
    pub fn new(count: usize) -> Self {
        let mut world = World {
            now_ms: 1_000,
            servers: (0..count).map(server).collect(),
            store: StoreModel::default(),
            store_up: true,
            endpoints: BTreeSet::new(),
            starting: VecDeque::new(),
            starts_at_once: true,
            next_link: 1,
        };
        for index in 0..count {
            let ip = Ipv4Addr::new(10, 0, 0, 1 + index as u8);
            let mask = Ipv4Addr::new(255, 255, 255, 0);
            let bcast = Ipv4Addr::new(10, 0, 0, 255);
            let interfaces = vec![Interface { name: "eth0".into(), ip, mask, bcast }];
            let (cpus, clock_mhz, memory_mib) = (4, 3000, 8192);
            let present = Present { interfaces, cpus, clock_mhz, memory_mib, ..Present::default() };
            world.tell(index, Event::Present(present));
        }
        world.run_ms(5_000);
        world
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
                let answer = self.stored(&operation);
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
            Action::TellKeeper { message, .. } => self.servers[index].keepers_told.push(message),
            Action::Adopt { session, epoch, becomes } => {
                self.servers[index].adopted.push((session, epoch, becomes));
            }
            Action::Answer { answer, result } => {
                self.servers[index].answers.push((answer, result));
            }
            Action::CloseLink { .. } | Action::Log(..) => {}
        }
        Vec::new()
    }

    fn next_start(&mut self, result: Result<u16, String>) -> Vec<(usize, Event)> {
        let Some((index, session, epoch)) = self.starting.pop_front() else { return Vec::new() };
        let started = (index, Event::Started { session, epoch, result: result.clone() });
        let Ok(port) = result else { return vec![started] };
        let (token, shown_on, connection) = (ada(), None, 0);
        let status = Status {
            session,
            epoch,
            token,
            port,
            shown_on,
            connection,
            services: Default::default(),
            frozen: false,
            trouble: String::new(),
        };
        vec![(index, Event::KeeperStatus(status)), started]
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
        self.store.perform(operation, self.now_ms)
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

fn server(index: usize) -> Server {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ (index as u64 + 1);
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
        boot: 1,
        flags: 0,
        guards: Guards::ALL,
    };
    let config = CoreConfig {
        group,
        key: key(),
        policy: Policy::Open,
        sessions_max: 8,
        home_root: "/homes".into(),
        services: Vec::new(),
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
