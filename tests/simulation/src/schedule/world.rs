//! The clock, what happens next, and the shell of each server: what the real
//! one does with sockets and files, this one does with the world.

use super::Plan;
use super::desk::{Desk, DeskAct};
use super::faults::{Act, Fault};
use super::keeper::Copy;
use super::store::Store;
use crate::random::Rng;
use crate::trace::Trace;
use crate::world::group_key;
use afterglow_server::auth::{LinkId, Now};
use afterglow_server::config::Policy;
use afterglow_server::core::{
    Action, CoreConfig, Event, Launch, RequestId, ServerCore, StoreAnswer, StoreOperation,
};
use afterglow_server::group::{GroupConfig, Present, Transmit};
use afterglow_wire::control::ToDtu;
use afterglow_wire::group::Interface;
use afterglow_wire::ids::{Epoch, ServerName, SessionId};
use afterglow_wire::local::{CommandLine, ToKeeper};
use afterglow_wire::service::ServiceSpec;
use afterglow_wire::trust::TicketVerifier;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};

/// What time of day it is when the world begins, in milliseconds since 1970.
pub const WALL_MS: u64 = 1_790_000_000_000;
/// How long a datagram, a probe's answer or a message is on its way.
const WAY_MS: u64 = 2;
/// After which time a probe has failed.
const PROBE_MS: u64 = 500;

/// A server's process, or one that it had: what was meant for that is lost.
pub type Life = (usize, u32);

/// What is going to happen.
#[derive(Debug)]
pub enum Due {
    /// A server's timer.
    Tick(usize),
    /// A datagram is at a server.
    Datagram(usize, SocketAddrV4, Vec<u8>),
    /// The store does something, and answers this life of a server.
    StoreDoes(Life, RequestId, Box<StoreOperation>),
    /// The store's answer is at a server.
    StoreSaid(Life, RequestId, Box<StoreAnswer>),
    /// A probe is over.
    Probed(Life, RequestId, Option<(SessionId, Epoch)>),
    /// A keeper has brought its session up, or could not.
    Launched(Life, u32, Box<Launch>, bool),
    /// A server's word is at a copy's keeper.
    KeeperHears(usize, Box<ToKeeper>),
    /// A copy is to go on as this session.
    KeeperBecomes(usize, SessionId),
    /// A copy's word is at its server.
    KeeperStands(Life, usize),
    /// A server looks for keepers that it does not know.
    Look(Life),
    /// A message is at a desktop unit.
    ToDesk(LinkId, Box<ToDtu>),
    /// Something happens to a desktop unit, unless it has gone on since.
    Desk(usize, u64, DeskAct),
    /// The world changes.
    World(Act),
}

/// A server.
pub struct Server {
    /// Its name.
    pub name: ServerName,
    /// Its decisions, while its process runs.
    pub core: Option<ServerCore>,
    /// Counts its processes.
    pub life: u32,
    started_ms: u64,
    /// True while its host runs.
    pub host_up: bool,
    /// Counts its host's lives.
    pub host_life: u32,
    /// The copies that this process knows the keeper of.
    pub known: BTreeSet<usize>,
    tick_ms: Option<u64>,
    boot: u64,
}

/// The world.
pub struct World {
    /// What it was made from.
    pub plan: Plan,
    /// The time since it began.
    pub now_ms: u64,
    queue: BTreeMap<(u64, u64), Due>,
    queued: u64,
    /// Chance.
    pub rng: Rng,
    /// What happened.
    pub trace: Trace,
    /// How often each thing that matters happened.
    pub counts: BTreeMap<&'static str, u64>,
    /// The first thing that was wrong.
    pub violation: Option<(u64, String)>,
    /// The servers.
    pub servers: Vec<Server>,
    /// All copies that ever ran.
    pub copies: Vec<Copy>,
    /// The store.
    pub store: Store,
    /// The desktop units.
    pub desks: Vec<Desk>,
    /// Whose each open link is, and which process of a server has it.
    pub links: BTreeMap<LinkId, (usize, Life)>,
    next_link: LinkId,
    /// Servers that do not hear each other.
    pub cut: BTreeSet<(usize, usize)>,
    /// Servers that nobody hears, nor they anybody.
    pub isolated: BTreeSet<usize>,
    /// When a way between two servers, or a server, was last not as it should
    /// be.
    pub bad_ms: BTreeMap<(usize, usize), u64>,
    /// What the judge knows.
    pub judge: super::judge::Judge,
    /// Opens tickets, as a session does.
    pub verifier: TicketVerifier,
    /// True once faults have ended.
    pub calm: bool,
    /// The number of the next administrator's order.
    pub next_order: u64,
}

impl World {
    /// The world of a plan, at its beginning.
    pub fn new(plan: Plan, print: bool) -> Self {
        let mut world = World {
            now_ms: 0,
            queue: BTreeMap::new(),
            queued: 0,
            rng: Rng::of(plan.seed, "schedule's world", 0),
            trace: Trace::default(),
            counts: BTreeMap::new(),
            violation: None,
            servers: Vec::new(),
            copies: Vec::new(),
            store: Store::default(),
            desks: (0..plan.desks).map(Desk::new).collect(),
            links: BTreeMap::new(),
            next_link: 1,
            cut: BTreeSet::new(),
            isolated: BTreeSet::new(),
            bad_ms: BTreeMap::new(),
            judge: super::judge::Judge::default(),
            verifier: group_key().ticket_signer().verifier(),
            calm: false,
            next_order: 1,
            plan,
        };
        world.trace.print = print;
        for index in 0..world.plan.servers {
            world.servers.push(Server {
                name: format!("s{index}").parse().unwrap_or_else(|_| unreachable!("a name")),
                core: None,
                life: 0,
                started_ms: 0,
                host_up: true,
                host_life: 0,
                known: BTreeSet::new(),
                tick_ms: None,
                boot: 0,
            });
            world.start_server(index);
        }
        for desk in 0..world.plan.desks {
            let at_ms = 2_500 + world.rng.below(2_000);
            world.after(at_ms, Due::Desk(desk, 0, DeskAct::Insert));
            world.after(at_ms + 2_000, Due::Desk(desk, 0, DeskAct::Think));
        }
        world.schedule_faults();
        world
    }

    /// Something is going to happen after this long.
    pub fn after(&mut self, ms: u64, due: Due) {
        self.queued += 1;
        self.queue.insert((self.now_ms + ms, self.queued), due);
    }

    /// Lets everything happen until then, or until something is wrong.
    pub fn run_until(&mut self, until_ms: u64) {
        while self.violation.is_none()
            && let Some(entry) = self.queue.first_entry()
            && entry.key().0 <= until_ms
        {
            let ((at_ms, _), due) = entry.remove_entry();
            self.now_ms = self.now_ms.max(at_ms);
            self.happen(due);
        }
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Tick(server) => self.tick(server),
            Due::Datagram(server, from, bytes) => {
                self.tell(server, Event::Datagram { from, bytes });
            }
            Due::StoreDoes(life, request, operation) => self.store_does(life, request, &operation),
            Due::StoreSaid(life, request, answer) => self.store_said(life, request, *answer),
            Due::Probed(life, request, said) if self.lives(life) => {
                self.tell(life.0, Event::Probed { request, said });
            }
            Due::Probed(..) => {}
            Due::Launched(life, host_life, launch, works) => {
                self.launched(life, host_life, *launch, works);
            }
            Due::KeeperHears(copy, message) => self.keeper_hears(copy, *message),
            Due::KeeperBecomes(copy, becomes) => self.keeper_becomes(copy, becomes),
            Due::KeeperStands(life, copy) => self.keeper_stands(life, copy),
            Due::Look(life) => self.look(life),
            Due::ToDesk(link, message) => self.desk_hears(link, *message),
            Due::Desk(desk, turn, act) => self.desk_acts(desk, turn, act),
            Due::World(act) => self.world_acts(act),
        }
    }

    /// Prints a line, if the trace is printed.
    pub fn say(&self, line: impl FnOnce() -> String) {
        self.trace.say(self.now_ms * 1_000, line);
    }

    /// Counts something.
    pub fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// Something is wrong.
    pub fn violated(&mut self, text: impl FnOnce() -> String) {
        if self.violation.is_none() {
            let text = text();
            self.say(|| format!("VIOLATED: {text}"));
            self.violation = Some((self.now_ms, text));
        }
    }

    /// The address of a server.
    pub fn address(index: usize) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, 0, 1 + index as u8)
    }

    /// The server with this name.
    pub fn named(&self, name: &ServerName) -> Option<usize> {
        self.servers.iter().position(|server| server.name == *name)
    }

    /// True if this process of a server runs.
    pub fn lives(&self, (server, life): Life) -> bool {
        self.servers[server].core.is_some() && self.servers[server].life == life
    }

    /// True if two servers' hosts reach each other.
    pub fn reach(&self, a: usize, b: usize) -> bool {
        let alone = |server| a != b && self.isolated.contains(&server);
        !(alone(a) || alone(b) || self.cut.contains(&(a.min(b), a.max(b))))
    }

    /// A server's process starts, and finds the keepers on its host.
    pub fn start_server(&mut self, index: usize) {
        if !self.servers[index].host_up || self.servers[index].core.is_some() {
            return;
        }
        let server = &mut self.servers[index];
        server.life += 1;
        server.boot = (WALL_MS + self.now_ms).max(server.boot + 1);
        let boot = server.boot;
        let mut rng = Rng::of(self.plan.seed, server.name.as_str(), u64::from(server.life));
        let config = self.core_config(index, boot);
        let server = &mut self.servers[index];
        server.core = Some(ServerCore::new(config, Box::new(move |buffer| rng.fill(buffer))));
        (server.started_ms, server.tick_ms) = (self.now_ms, None);
        server.known.clear();
        self.judge.learnt.retain(|(of, _), _| *of != index);
        self.judge.behind.retain(|(of, _), _| *of != index);
        let (ip, mask) = (World::address(index), Ipv4Addr::new(255, 255, 255, 0));
        let bcast = Ipv4Addr::new(10, 0, 0, 255);
        let interfaces = vec![Interface { name: "eth0".into(), ip, mask, bcast }];
        let (cpus, clock_mhz, memory_mib) = (4, 3_000, 8_192);
        let present = Present { interfaces, cpus, clock_mhz, memory_mib, ..Present::default() };
        self.say(|| format!("s{index} starts"));
        self.tell(index, Event::Present(present));
        self.look((index, self.servers[index].life));
    }

    fn core_config(&self, index: usize, boot: u64) -> CoreConfig {
        let key = group_key();
        let guards = self.plan.guards;
        CoreConfig {
            group: GroupConfig {
                name: self.servers[index].name.clone(),
                key: key.message_key(),
                advertise: World::address(index),
                control_port: 7010,
                group_port: afterglow_wire::group::PORT,
                peers: Vec::new(),
                networks: Vec::new(),
                multicast: false,
                host_every_ms: 1_000,
                down_after_ms: 3_000,
                boot,
                flags: 0,
                guards,
            },
            key,
            policy: Policy::Open,
            sessions_max: 64,
            home_root: "/home".into(),
            desktop: vec!["desktop".into()],
            services: ["mail", "music"].iter().map(|name| offered(name)).collect(),
            guards,
        }
    }

    /// A server's process ends, without a word to anybody.
    pub fn stop_server(&mut self, index: usize) {
        if self.servers[index].core.take().is_none() {
            return;
        }
        self.say(|| format!("s{index} ends"));
        let of_server = self.links.iter().filter(|(_, (_, life))| life.0 == index);
        for link in of_server.map(|(link, _)| *link).collect::<Vec<_>>() {
            self.link_breaks(link);
        }
    }

    /// A link is gone, at both ends.
    pub fn link_breaks(&mut self, link: LinkId) {
        let Some((desk, life)) = self.links.remove(&link) else { return };
        if self.lives(life) {
            self.tell(life.0, Event::LinkClosed { link });
        }
        self.desk_lost_server(desk, link);
    }

    /// A desktop unit opens a link to a server, if that can be reached.
    pub fn open_link(&mut self, desk: usize, server: usize) -> Option<LinkId> {
        if self.servers[server].core.is_none() || self.isolated.contains(&server) {
            return None;
        }
        let link = self.next_link;
        self.next_link += 1;
        self.links.insert(link, (desk, (server, self.servers[server].life)));
        let (dtu, address) = (self.desks[desk].id, Ipv4Addr::new(10, 0, 0, 100 + desk as u8));
        let dtu_name = format!("desk{desk}");
        self.tell(server, Event::LinkOpened { link, dtu, address, dtu_name });
        Some(link)
    }

    fn now_of(&self, index: usize) -> Now {
        let steady_ms = self.now_ms - self.servers[index].started_ms;
        Now { steady_ms, wall_ms: WALL_MS + self.now_ms }
    }

    /// Tells a server what happened, and does what it decides.
    pub fn tell(&mut self, index: usize, event: Event) {
        let now = self.now_of(index);
        if !matches!(event, Event::Tick | Event::Datagram { .. }) {
            self.say(|| format!("s{index} <- {}", shortened(&event)));
        }
        let Some(core) = self.servers[index].core.as_mut() else { return };
        for action in core.handle(now, event) {
            self.does(index, action);
        }
        self.set_timer(index);
    }

    fn set_timer(&mut self, index: usize) {
        let server = &mut self.servers[index];
        let Some(wake_ms) = server.core.as_ref().and_then(ServerCore::wake_ms) else { return };
        let at_ms = (server.started_ms + wake_ms).max(self.now_ms + 1);
        if server.tick_ms.is_none_or(|set_ms| at_ms < set_ms) {
            server.tick_ms = Some(at_ms);
            self.after(at_ms - self.now_ms, Due::Tick(index));
        }
    }

    fn tick(&mut self, index: usize) {
        let server = &mut self.servers[index];
        if server.tick_ms.is_some_and(|set_ms| set_ms <= self.now_ms) {
            server.tick_ms = None;
            self.tell(index, Event::Tick);
        }
    }

    fn does(&mut self, index: usize, action: Action) {
        let life = (index, self.servers[index].life);
        self.judge_action(index, &action);
        match action {
            Action::SendLink { link, message } => {
                self.after(WAY_MS, Due::ToDesk(link, Box::new(message)));
            }
            Action::CloseLink { link, .. } => {
                if let Some((desk, _)) = self.links.remove(&link) {
                    self.desk_lost_server(desk, link);
                }
            }
            Action::SendDatagram(transmit) => self.send_datagram(index, &transmit),
            Action::Store { request, operation } => self.ask_store(life, request, operation),
            Action::Probe { request, endpoint, session, epoch } => {
                let found = self.answers_probe(index, endpoint, (session, epoch));
                let ms = if found { 3 * WAY_MS } else { PROBE_MS };
                let said = found.then_some((session, epoch));
                self.after(ms, Due::Probed(life, request, said));
            }
            Action::Start(launch) => {
                let ms = self.rng.range(30, 400);
                let fails = self.strikes(Fault::StartFails, 150_000);
                let host_life = self.servers[index].host_life;
                self.after(ms, Due::Launched(life, host_life, launch, !fails));
            }
            Action::TellKeeper { session, epoch, message } => {
                if let Some(copy) = self.heard_by(index, (session, epoch)) {
                    self.after(WAY_MS, Due::KeeperHears(copy, Box::new(message)));
                }
            }
            Action::Adopt { session, epoch, becomes } => {
                if let Some(copy) = self.heard_by(index, (session, epoch)) {
                    self.after(WAY_MS, Due::KeeperBecomes(copy, becomes));
                }
            }
            Action::Log(level, text) => {
                self.trace.note(self.now_ms, "log", index as u64, text.as_bytes());
                self.say(|| format!("s{index} {level:?}: {text}"));
            }
            Action::Prepare(_) | Action::Discard { .. } | Action::Answer { .. } => {}
        }
    }

    fn send_datagram(&mut self, index: usize, transmit: &Transmit) {
        let from = SocketAddrV4::new(World::address(index), afterglow_wire::group::PORT);
        for other in (0..self.servers.len()).filter(|other| *other != index) {
            let to = *transmit.to.ip();
            let meant = to == World::address(other) || to.octets()[3] == 255;
            if meant && self.reach(index, other) {
                let bytes = transmit.datagram.clone();
                self.after(WAY_MS, Due::Datagram(other, from, bytes));
            }
        }
    }
}

fn offered(name: &str) -> ServiceSpec {
    let command = CommandLine(vec![name.to_owned()]);
    let nothing = CommandLine(Vec::new());
    ServiceSpec {
        name: name.parse().unwrap_or_else(|_| unreachable!("a name")),
        command,
        required: false,
        start: name == "mail",
        host: String::new(),
        on_connect: nothing.clone(),
        on_disconnect: nothing,
    }
}

fn shortened(event: &Event) -> String {
    format!("{event:?}").chars().take(260).collect()
}
