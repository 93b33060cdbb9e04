//! The shell of a server's process: what the real one does with sockets, files
//! and keepers, this one does with the world.

use crate::fault::Fault;
use crate::network::{Machine, machine_of};
use crate::plan::{MS_US, Plan, SECOND_US};
use crate::queue::{Due, Origin, Parcel, Process, ServerLife};
use crate::random::Rng;
use crate::stream::{Acceptor, Opener, Piece};
use crate::world::{World, group_key};
use afterglow_server::auth::Now;
use afterglow_server::config::Policy;
use afterglow_server::core::{Action, CoreConfig, Event, ServerCore};
use afterglow_server::group::{GroupConfig, Present};
use afterglow_wire::codec::Message;
use afterglow_wire::control::{Hello, ToServer, VERSION};
use afterglow_wire::ids::ServerName;
use bytes::Bytes;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// How often a server looks at its host.
const LOOK_US: u64 = 5 * SECOND_US;
/// How wrong the clock of a server is that nobody set.
const HOUR_MS: i64 = 3_600_000;

/// A server: its process, and what its machine keeps for it.
pub struct Server {
    /// Its name.
    pub name: ServerName,
    /// Its decisions, while the process runs.
    pub core: Option<ServerCore>,
    /// Counts its processes.
    pub life: u32,
    /// When this process started.
    pub started_us: u64,
    /// True while its machine runs.
    pub host_up: bool,
    /// Counts its machine's lives.
    pub host_life: u32,
    /// By how much its calendar is ahead.
    pub offset_ms: i64,
    /// Since when it is being taken out of service.
    pub draining_us: Option<u64>,
    /// The copies whose keeper this process has spoken with.
    pub known: BTreeSet<usize>,
    /// Which processor it has: shares of it differ between hosts.
    pub cpus: u32,
    /// The next display port on its machine.
    pub next_port: u16,
    /// When its timer is set.
    pub tick_us: Option<u64>,
    /// True if its machine stays dead.
    pub lost: bool,
    /// How many messages and datagrams it has sent.
    pub sent: u64,
    /// How many it has taken.
    pub heard: u64,
}

impl Server {
    /// A server whose process does not run yet.
    pub fn new(index: usize, plan: &Plan) -> Self {
        let mut rng = Rng::of(plan.seed, "server", index as u64);
        let skewed = plan.meets(Fault::ClockJump);
        Server {
            name: format!("s{index:02}").parse().unwrap_or_else(|_| unreachable!("a name")),
            core: None,
            life: 0,
            started_us: 0,
            host_up: true,
            host_life: 0,
            offset_ms: if skewed { offset_ms(index, plan) } else { 0 },
            draining_us: None,
            known: BTreeSet::new(),
            cpus: if plan.meets(Fault::Slow) { rng.range(1, 9) as u32 } else { 4 },
            next_port: 7100,
            tick_us: None,
            lost: false,
            sent: 0,
            heard: 0,
        }
    }

    /// This life of it.
    pub fn life_of(&self, server: usize) -> ServerLife {
        ServerLife { server, life: self.life }
    }
}

impl World {
    /// True if this life of the server is its present one.
    pub fn lives(&self, life: ServerLife) -> bool {
        let server = &self.servers[life.server];
        server.core.is_some() && server.life == life.life
    }

    /// The server's process at an address, if it runs.
    pub fn server_life_at(&self, ip: Ipv4Addr) -> Option<Acceptor> {
        let Machine::Server(server) = machine_of(ip, self.plan.servers) else { return None };
        let found = &self.servers[server];
        // It takes nobody before it knows which of the sessions here count.
        let core = found.core.as_ref().filter(|core| core.has_judged_found());
        core.map(|_| Acceptor::Server(found.life_of(server)))
    }

    /// A server's process starts, as `afterglow-server run` does.
    pub fn start_server(&mut self, server: usize) {
        let host_up = self.servers[server].host_up;
        if !host_up || self.servers[server].core.is_some() {
            return;
        }
        if self.store_out.contains_key(&server) {
            // It cannot open its store and ends; who started it tries again.
            return self.after(SECOND_US, Due::World(crate::queue::WorldAct::StartServer(server)));
        }
        let (name, offset_ms) = (self.servers[server].name.clone(), self.servers[server].offset_ms);
        let boot = self.store.next_boot(&name, self.wall_ms(offset_ms));
        let config = self.core_config(server, boot);
        let found = &mut self.servers[server];
        found.life += 1;
        let mut rng = Rng::of(self.plan.seed, name.as_str(), u64::from(found.life));
        found.core = Some(ServerCore::new(config, Box::new(move |buffer| rng.fill(buffer))));
        found.started_us = self.now_us;
        found.known.clear();
        found.tick_us = None;
        found.draining_us = None;
        let life = found.life_of(server);
        self.trace.say(self.now_us, || format!("{name} starts, boot {boot}"));
        self.oracle.server_started(server);
        self.look(life);
        self.server_wakes(server);
    }

    fn core_config(&self, server: usize, boot: u64) -> CoreConfig {
        let key = group_key();
        CoreConfig {
            group: GroupConfig {
                name: self.servers[server].name.clone(),
                key: key.message_key(),
                advertise: self.address_of(server),
                control_port: crate::links::CONTROL_PORT,
                group_port: afterglow_wire::group::PORT,
                peers: Vec::new(),
                networks: Vec::new(),
                multicast: self.plan.multicast,
                host_every_ms: self.plan.host_every_ms,
                down_after_ms: self.plan.down_after_ms,
                boot,
                flags: 0,
                guards: self.plan.guards,
            },
            key,
            policy: Policy::Open,
            sessions_max: self.plan.sessions_max,
            home_root: "/home/afterglow".into(),
            desktop: vec!["desktop".into()],
            services: Vec::new(),
            guards: self.plan.guards,
        }
    }

    /// A server's process ends, without a word to anybody.
    pub fn stop_server(&mut self, server: usize) {
        if self.servers[server].core.take().is_none() {
            return;
        }
        let life = self.servers[server].life_of(server);
        self.trace.say(self.now_us, || format!("s{server:02} ends"));
        self.stalls.remove(&Process::Server(server));
        self.ends_vanish(false, |stream| stream.acceptor == Acceptor::Server(life));
    }

    /// A server looks at its host: interfaces, load, sessions that it does
    /// not know.
    pub fn look(&mut self, life: ServerLife) {
        if !self.lives(life) {
            return;
        }
        let server = life.server;
        let sessions = self.copies.iter().filter(|c| c.host == server && c.alive).count() as u32;
        let present = Present {
            interfaces: self.network.interfaces(server, self.plan.networks),
            cpus: self.servers[server].cpus,
            clock_mhz: 2_000,
            load_percent: 10 * sessions,
            sessions,
            memory_mib: 0,
        };
        self.tell_server(server, Event::Present(present));
        let unknown: Vec<usize> = (0..self.copies.len())
            .filter(|copy| {
                let found = &self.copies[*copy];
                found.host == server && found.alive && !self.servers[server].known.contains(copy)
            })
            .collect();
        for copy in unknown {
            self.servers[server].known.insert(copy);
            let status = self.copies[copy].status();
            self.tell_server(server, Event::KeeperFound(status));
        }
        self.after(LOOK_US, Due::Look(life));
    }

    fn now_of(&self, server: usize) -> Now {
        let found = &self.servers[server];
        Now {
            steady_ms: (self.now_us - found.started_us) / MS_US,
            wall_ms: self.wall_ms(found.offset_ms),
        }
    }

    /// Tells a server what happened, and does what it decides.
    pub fn tell_server(&mut self, server: usize, event: Event) {
        let now = self.now_of(server);
        let quiet = matches!(event, Event::Tick | Event::Datagram { .. });
        if !quiet {
            self.trace.say(self.now_us, || format!("s{server:02} <- {}", short(&event)));
        }
        let Some(core) = self.servers[server].core.as_mut() else { return };
        let actions = core.handle(now, event);
        for action in actions {
            self.server_does(server, action);
        }
        self.server_wakes(server);
    }

    fn server_wakes(&mut self, server: usize) {
        let found = &mut self.servers[server];
        let Some(wake_ms) = found.core.as_ref().and_then(ServerCore::wake_ms) else { return };
        let at_us = found.started_us.saturating_add(wake_ms.saturating_mul(MS_US));
        let at_us = at_us.max(self.now_us + MS_US / 2);
        if found.tick_us.is_none_or(|set_us| at_us < set_us) {
            found.tick_us = Some(at_us);
            self.queue.push(at_us, Due::Tick(Process::Server(server)));
        }
    }

    /// A server's timer.
    pub fn server_tick(&mut self, server: usize) {
        let found = &mut self.servers[server];
        if found.tick_us.is_none_or(|set_us| set_us > self.now_us) {
            return;
        }
        found.tick_us = None;
        let now_ms = (self.now_us - found.started_us.min(self.now_us)) / MS_US;
        let due = found.core.as_ref().and_then(ServerCore::wake_ms);
        if due.is_some_and(|wake_ms| wake_ms <= now_ms) {
            self.trace.note(self.now_us, "tick", server as u64, &[]);
            self.tell_server(server, Event::Tick);
        }
        self.server_wakes(server);
    }

    /// A datagram is at a server's machine.
    pub fn server_hears(&mut self, server: usize, parcel: Parcel) {
        let Some(core) = &self.servers[server].core else { return };
        if !core.has_judged_found() {
            // It waits in the socket.
            return self.after(20 * MS_US, Due::Datagram(Box::new(parcel)));
        }
        self.servers[server].heard += 1;
        if parcel.origin != Origin::Genuine {
            // What is due anyway is not done because of it.
            self.tell_server(server, Event::Tick);
        }
        let before = self.before_datagram(server, &parcel);
        let now = self.now_of(server);
        let event = Event::Datagram { from: parcel.from, bytes: parcel.bytes.clone() };
        let Some(core) = self.servers[server].core.as_mut() else { return };
        let actions = core.handle(now, event);
        self.after_datagram(server, &parcel, before, &actions);
        for action in actions {
            self.server_does(server, action);
        }
        self.server_wakes(server);
    }

    /// A message is at a server's end of a control link.
    pub fn server_hears_link(&mut self, life: ServerLife, number: u64, body: Bytes) {
        if !self.lives(life) {
            return;
        }
        let server = life.server;
        self.servers[server].heard += 1;
        let Ok(message) = ToServer::decode(body) else {
            return self.server_closes(server, number);
        };
        let Some(stream) = self.streams.get_mut(&number) else { return };
        if !stream.greeted {
            return match message {
                ToServer::Hello(hello) if hello.version == VERSION => {
                    stream.greeted = true;
                    self.greet(server, number, hello);
                }
                ToServer::Unknown(_) => {}
                _ => self.acceptor_closes(number),
            };
        }
        self.note_to_server(number, &message);
        self.tell_server(server, Event::Link { link: number, message });
    }

    fn greet(&mut self, server: usize, number: u64, hello: Hello) {
        let Some(stream) = self.streams.get(&number) else { return };
        let dtu = match stream.opener {
            Opener::Dtu { dtu, .. } => self.dtus[dtu].id,
            Opener::Rogue(rogue) => self.rogues[rogue].id,
        };
        let event = Event::LinkOpened {
            link: number,
            dtu,
            address: stream.opener_ip,
            dtu_name: hello.dtu_name,
        };
        self.tell_server(server, event);
    }

    fn server_closes(&mut self, server: usize, number: u64) {
        self.tell_server(server, Event::LinkClosed { link: number });
        self.acceptor_closes(number);
    }

    /// A control link is gone at a server's end.
    pub fn server_link_closed(&mut self, life: ServerLife, number: u64) {
        if self.lives(life) {
            self.tell_server(life.server, Event::LinkClosed { link: number });
        }
    }

    fn server_does(&mut self, server: usize, action: Action) {
        let life = self.servers[server].life_of(server);
        self.judge_server(server, &action);
        match action {
            Action::SendLink { link, message } => {
                self.servers[server].sent += 1;
                self.send_piece(link, false, Piece::Message(message.encode_framed()));
            }
            Action::CloseLink { link, .. } => self.acceptor_closes(link),
            Action::SendDatagram(transmit) => {
                self.servers[server].sent += 1;
                self.send_from_server(server, &transmit);
            }
            Action::Store { request, operation } => self.ask_store(life, request, operation),
            Action::Probe { request, endpoint, session, epoch } => {
                self.send_probe(life, request, endpoint, (session, epoch));
            }
            Action::Prepare(launch) => {
                let key = (server, launch.row.id, launch.row.epoch);
                self.oracle.prepared.insert(key);
            }
            Action::Discard { session, epoch } => {
                self.oracle.prepared.remove(&(server, session, epoch));
            }
            Action::Start(launch) => self.launch(life, launch),
            Action::Adopt { session, epoch, becomes } => {
                let here = |copy: &crate::session::Copy| copy.host == server && copy.alive;
                let mut copies = self.copies.iter();
                if let Some(copy) = copies.position(|copy| here(copy) && copy.is(session, epoch)) {
                    self.after(200, Due::KeeperBecomes { copy, becomes });
                }
            }
            Action::Answer { .. } => {}
            Action::TellKeeper { session, epoch, message } => {
                let copy = self
                    .copies
                    .iter()
                    .position(|copy| copy.host == server && copy.alive && copy.is(session, epoch));
                if let Some(copy) = copy {
                    self.after(200, Due::KeeperHears { copy, message: Box::new(message) });
                }
            }
            Action::Log(level, text) => {
                self.trace.say(self.now_us, || format!("s{server:02} {level:?}: {text}"));
            }
        }
    }
}

/// By how much the clock of a server is ahead: most are within 10 s of the true
/// time, and one in four is an hour off.
fn offset_ms(index: usize, plan: &Plan) -> i64 {
    let mut rng = Rng::of(plan.seed, "clock", index as u64);
    let near_ms = rng.below(20_000) as i64 - 10_000;
    match rng.below(8) {
        0 => near_ms + HOUR_MS,
        1 => near_ms - HOUR_MS,
        _ => near_ms,
    }
}

fn short(event: &Event) -> String {
    let text = format!("{event:?}");
    text.chars().take(260).collect()
}
