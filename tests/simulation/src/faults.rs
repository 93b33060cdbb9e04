//! When faults come, what they do, and how they end.

use crate::fault::Fault;
use crate::network::{Machine, dtu_ip, server_ip};
use crate::plan::{MS_US, SECOND_US};
use crate::queue::{Due, Process, UserAct, WorldAct};
use crate::stream::Acceptor;
use crate::world::World;
use afterglow_server::core::{Event, StoreOperation};
use afterglow_server::store::Wish;
use std::net::Ipv4Addr;

/// Faults that come at a moment; the others last as long as faults do.
const MOMENTARY: &[Fault] = &[
    Fault::OneWay,
    Fault::Partition,
    Fault::Isolation,
    Fault::Interface,
    Fault::ServerCrash,
    Fault::LostDisk,
    Fault::HostCrash,
    Fault::WorkerCrash,
    Fault::Slow,
    Fault::Pause,
    Fault::ClockJump,
    Fault::Forged,
    Fault::ForgedAnswer,
    Fault::Replay,
    Fault::Flood,
    Fault::Rogue,
    Fault::PowerCycle,
    Fault::StoreOutage,
    Fault::Drain,
    Fault::CardRace,
    Fault::SharedToken,
    Fault::LogOut,
    Fault::StaleHost,
];

impl World {
    /// Puts the plan's faults on the calendar.
    pub fn schedule_faults(&mut self) {
        let window_us = self.plan.calm_us.saturating_sub(2 * SECOND_US);
        let expected = self.plan.faults_per_min * self.plan.calm_us / (60 * SECOND_US);
        for fault in MOMENTARY.iter().copied().filter(|fault| self.plan.meets(*fault)) {
            let often =
                matches!(fault, Fault::Forged | Fault::ForgedAnswer | Fault::Replay | Fault::Rogue);
            let count = (1 + self.rng.below(expected + 1)) * if often { 6 } else { 1 };
            for _ in 0..count {
                let at_us = 2 * SECOND_US + self.rng.below(window_us);
                self.queue.push(at_us, Due::World(WorldAct::Fault(fault)));
            }
        }
        self.queue.push(self.plan.calm_us, Due::World(WorldAct::Calm));
    }

    /// The world changes.
    pub fn world_acts(&mut self, act: WorldAct) {
        let text = format!("{act:?}");
        self.trace.note(self.now_us, "world", 0, text.as_bytes());
        self.trace.say(self.now_us, || format!("-- {text}"));
        match act {
            WorldAct::Fault(fault) if !self.calm => self.strike(fault),
            WorldAct::Fault(_) => {}
            WorldAct::Heal(a, b) => {
                let (a, b) = (self.machine(a), self.machine(b));
                self.network.mend(a, b, self.now_us);
                self.unstall();
            }
            WorldAct::InterfaceUp(server, network) => {
                self.network.set_interface(server, network, true, self.now_us);
                self.unstall();
            }
            WorldAct::StartServer(server) => self.start_server(server),
            WorldAct::CrashServer(server) if !self.calm => {
                self.stop_server(server);
                self.after(4 * SECOND_US, Due::World(WorldAct::StartServer(server)));
            }
            WorldAct::CrashServer(_) => {}
            WorldAct::StartHost(server) => {
                if !self.servers[server].lost {
                    self.servers[server].host_up = true;
                    self.start_server(server);
                }
            }
            WorldAct::StartWorker(copy) => self.start_worker(copy),
            WorldAct::Quick(process) => {
                self.did_not_keep_up(process, self.now_us);
                if let Some(stall) = self.stalls.get_mut(&process) {
                    stall.slow_us = 0;
                }
            }
            WorldAct::StoreBack(server) => {
                self.store_out.remove(&server);
                self.oracle.store_back_us.insert(server, self.now_us);
            }
            WorldAct::RogueFollows(rogue) => self.rogue_follows(rogue),
            WorldAct::Undrain(server) => self.drain(server, false),
            WorldAct::DecideOlder => self.decide_older(),
            WorldAct::Calm => self.calm_down(),
        }
    }

    fn machine(&self, ip: Ipv4Addr) -> Machine {
        crate::network::machine_of(ip, self.plan.servers)
    }

    fn any_server(&mut self) -> usize {
        self.rng.below(self.plan.servers as u64) as usize
    }

    fn any_dtu(&mut self) -> usize {
        self.rng.below(self.plan.dtus as u64) as usize
    }

    fn any_machine(&mut self) -> Ipv4Addr {
        let all = (self.plan.servers + self.plan.dtus) as u64;
        let number = self.rng.below(all) as usize;
        match number.checked_sub(self.plan.servers) {
            None => server_ip(number, 0),
            Some(dtu) => dtu_ip(dtu, self.plan.networks),
        }
    }

    fn any_process(&mut self) -> Process {
        match self.rng.below(3) {
            0 => Process::Dtu(self.any_dtu()),
            1 if !self.copies.is_empty() => {
                Process::Copy(self.rng.below(self.copies.len() as u64) as usize)
            }
            _ => Process::Server(self.any_server()),
        }
    }

    fn strike(&mut self, fault: Fault) {
        match fault {
            Fault::OneWay | Fault::Partition => self.part(fault),
            Fault::Isolation => self.isolate(),
            Fault::Interface => self.interface_fails(),
            Fault::ServerCrash | Fault::LostDisk => self.server_crashes(fault),
            Fault::HostCrash => self.host_crashes(),
            Fault::WorkerCrash => self.worker_crashes(),
            Fault::Slow => self.process_slows(),
            Fault::Pause => {
                let (process, us) = (self.any_process(), self.rng.range(300, 1_600) * MS_US);
                self.counts.add(fault);
                self.pause(process, us);
            }
            Fault::ClockJump => self.clock_jumps(),
            Fault::Forged => self.forge_message(),
            Fault::ForgedAnswer => self.forge_answer(),
            Fault::Replay => self.replay(),
            Fault::Flood => self.flood(),
            Fault::Rogue => self.rogue_comes(),
            Fault::PowerCycle => {
                let dtu = self.any_dtu();
                self.counts.add(fault);
                self.power_off(dtu);
                let wait_us = self.rng.range(200 * MS_US, 4 * SECOND_US);
                self.after(wait_us, Due::User(dtu, UserAct::PowerOn));
            }
            Fault::StoreOutage => self.store_fails(),
            Fault::Drain => {
                let server = self.any_server();
                self.drain(server, true);
                let wait_us = self.rng.range(2, 20) * SECOND_US;
                self.after(wait_us, Due::World(WorldAct::Undrain(server)));
            }
            Fault::CardRace => {
                let dtu = self.any_dtu();
                self.counts.add(fault);
                self.race_card(dtu);
            }
            Fault::SharedToken => self.cards_alike(),
            Fault::LogOut => {
                let working: Vec<usize> =
                    (0..self.copies.len()).filter(|copy| self.copies[*copy].working).collect();
                if let Some(copy) = self.rng.pick(&working) {
                    self.counts.add(fault);
                    self.log_out(copy);
                }
            }
            Fault::StaleHost => self.stale_host(),
            // These last as long as faults do, or come at the beginning.
            _ => {}
        }
    }

    fn cut(&mut self, from: Ipv4Addr, to: Ipv4Addr, us: u64) {
        let (a, b) = (self.machine(from), self.machine(to));
        if a == b {
            return;
        }
        self.network.cut(a, b, self.now_us);
        self.after(us, Due::World(WorldAct::Heal(from, to)));
        let servers = self.plan.servers;
        self.expect_silence(|stream| {
            let (x, y) = stream.way(true);
            let ends = [x, y].map(|ip| crate::network::machine_of(ip, servers));
            ends == [a, b] || ends == [b, a]
        });
    }

    fn part(&mut self, fault: Fault) {
        let (a, b) = (self.any_machine(), server_ip(self.any_server(), 0));
        let us = self.rng.range(200, 9_000) * MS_US;
        self.counts.add(fault);
        match (fault, self.rng.chance(500_000)) {
            (Fault::OneWay, true) => self.cut(b, a, us),
            (Fault::OneWay, false) => self.cut(a, b, us),
            _ => {
                self.cut(a, b, us);
                self.cut(b, a, us);
            }
        }
    }

    fn isolate(&mut self) {
        let server = self.any_server();
        let us = self.rng.range(1_000, 12_000) * MS_US;
        self.counts.add(Fault::Isolation);
        self.cut_off(server, us);
    }

    fn stale_host(&mut self) {
        let stale = self.any_server();
        self.counts.add(Fault::StaleHost);
        self.cut_off(stale, 5 * SECOND_US);
        self.store_out.insert(stale, self.now_us + 20 * SECOND_US);
        self.after(20 * SECOND_US, Due::World(WorldAct::StoreBack(stale)));
        for server in (0..self.plan.servers).filter(|server| *server != stale) {
            self.after(7 * SECOND_US, Due::World(WorldAct::CrashServer(server)));
        }
        for dtu in 0..self.plan.dtus {
            let at_us = 7 * SECOND_US + self.rng.below(SECOND_US);
            self.after(at_us, Due::User(dtu, UserAct::Remove));
            self.after(at_us + 100 * MS_US, Due::User(dtu, UserAct::Insert(dtu)));
        }
    }

    /// Two desktop units get the same card at the same moment.
    fn cards_alike(&mut self) {
        let card = self.any_dtu();
        for _ in 0..2 {
            let dtu = self.any_dtu();
            let wait_us = self.rng.below(40 * MS_US);
            self.after(wait_us, Due::User(dtu, UserAct::Remove));
            self.after(wait_us, Due::User(dtu, UserAct::Insert(card)));
        }
    }

    fn cut_off(&mut self, server: usize, us: u64) {
        let a = server_ip(server, 0);
        let servers = (0..self.plan.servers).map(|server| server_ip(server, 0));
        let dtus = (0..self.plan.dtus).map(|dtu| dtu_ip(dtu, self.plan.networks));
        let all: Vec<Ipv4Addr> = servers.chain(dtus).collect();
        for b in all {
            self.cut(a, b, us);
            self.cut(b, a, us);
        }
    }

    fn interface_fails(&mut self) {
        if self.plan.networks < 2 {
            return;
        }
        let server = self.any_server();
        let network = self.rng.below(u64::from(self.plan.networks)) as u8;
        self.counts.add(Fault::Interface);
        self.network.set_interface(server, network, false, self.now_us);
        let us = self.rng.range(1_000, 10_000) * MS_US;
        self.after(us, Due::World(WorldAct::InterfaceUp(server, network)));
        let ip = server_ip(server, network);
        self.expect_silence(|stream| *stream.address.ip() == ip);
    }

    fn server_crashes(&mut self, fault: Fault) {
        let server = self.any_server();
        if self.servers[server].core.is_none() {
            return;
        }
        self.counts.add(fault);
        let life = self.servers[server].life_of(server);
        let served = self.streams.values().any(|stream| {
            stream.acceptor == Acceptor::Server(life)
                && matches!(stream.opener, crate::stream::Opener::Dtu { dtu, .. }
                    if self.dtus[dtu].is_attached())
        });
        if served {
            self.counts.add(Fault::ControlLost);
        }
        self.stop_server(server);
        if fault == Fault::LostDisk {
            let name = self.servers[server].name.clone();
            self.store.forget_boot(&name);
        }
        let wait_us = self.rng.range(100, 8_000) * MS_US;
        self.after(wait_us, Due::World(WorldAct::StartServer(server)));
    }

    /// A server's machine dies.
    pub fn kill_host(&mut self, server: usize) {
        self.stop_server(server);
        let found = &mut self.servers[server];
        found.host_up = false;
        found.host_life += 1;
        let here: Vec<bool> = self.copies.iter().map(|copy| copy.host == server).collect();
        self.ends_vanish(
            false,
            |stream| matches!(stream.acceptor, Acceptor::Worker { copy, .. } if here[copy]),
        );
        for copy in self.copies.iter_mut().filter(|copy| copy.host == server) {
            (copy.alive, copy.working) = (false, false);
        }
    }

    fn host_crashes(&mut self) {
        let server = self.any_server();
        if !self.servers[server].host_up {
            return;
        }
        self.counts.add(Fault::HostCrash);
        self.kill_host(server);
        let left = self.servers.iter().filter(|server| !server.lost).count();
        if left > 1 && self.rng.chance(300_000) {
            self.servers[server].lost = true;
        }
        let wait_us = self.rng.range(2_000, 15_000) * MS_US;
        self.after(wait_us, Due::World(WorldAct::StartHost(server)));
    }

    fn worker_crashes(&mut self) {
        let running: Vec<usize> =
            (0..self.copies.len()).filter(|copy| self.copies[*copy].working).collect();
        if let Some(copy) = self.rng.pick(&running) {
            self.counts.add(Fault::WorkerCrash);
            self.crash_worker(copy);
        }
    }

    fn process_slows(&mut self) {
        let process = self.any_process();
        let us = self.rng.range(2, 9) * SECOND_US;
        let slow_us = self.rng.range(MS_US, 15 * MS_US);
        self.counts.add(Fault::Slow);
        let stall = self.stalls.entry(process).or_default();
        stall.slow_us = slow_us;
        self.did_not_keep_up(process, self.now_us + us);
        self.after(us, Due::World(WorldAct::Quick(process)));
    }

    fn clock_jumps(&mut self) {
        let server = self.any_server();
        // A server without what it remembers of its boots, whose clock goes
        // back as well, is a stated limit.
        let low = if self.plan.meets(Fault::LostDisk) { 0 } else { -60_000 };
        let by_ms = low + self.rng.below((90_000 - low) as u64) as i64;
        self.counts.add(Fault::ClockJump);
        self.servers[server].offset_ms += by_ms;
    }

    fn store_fails(&mut self) {
        self.counts.add(Fault::StoreOutage);
        let us = self.rng.range(500, 12_000) * MS_US;
        let everybody = self.rng.chance(500_000);
        let one = self.any_server();
        for server in (0..self.plan.servers).filter(|server| everybody || *server == one) {
            self.store_out.insert(server, self.now_us + us);
            self.after(us, Due::World(WorldAct::StoreBack(server)));
        }
    }

    fn drain(&mut self, server: usize, leave: bool) {
        if self.servers[server].core.is_none() {
            return;
        }
        // Somebody must be left to take sessions.
        let others = (0..self.plan.servers).filter(|other| {
            *other != server
                && self.servers[*other].core.is_some()
                && self.servers[*other].draining_us.is_none()
        });
        if leave && others.count() == 0 {
            return;
        }
        if leave {
            self.counts.add(Fault::Drain);
        }
        self.servers[server].draining_us = leave.then_some(self.now_us);
        self.tell_server(server, Event::Drain(leave));
    }

    /// No more faults, and what they broke is mended.
    pub fn calm_down(&mut self) {
        self.calm = true;
        self.network.calm(self.now_us);
        self.unstall();
        for stall in self.stalls.values_mut() {
            stall.slow_us = 0;
        }
        self.store_out.clear();
        for server in 0..self.plan.servers {
            self.oracle.store_back_us.insert(server, self.now_us);
            if self.servers[server].draining_us.is_some() {
                self.drain(server, false);
            }
            let wait_us = self.rng.below(SECOND_US);
            self.after(wait_us, Due::World(WorldAct::StartHost(server)));
        }
        for copy in 0..self.copies.len() {
            self.start_worker(copy);
        }
        self.users_settle();
        self.after(12 * SECOND_US, Due::World(WorldAct::DecideOlder));
    }

    /// Users look at their earlier copies: one goes on, one ends, one stays
    /// as it is.
    fn decide_older(&mut self) {
        let older: Vec<_> = self.store.model.copies.keys().copied().collect();
        for (session, epoch) in older {
            let wish = match self.rng.below(3) {
                0 => Wish::Continue,
                1 => Wish::End,
                _ => continue,
            };
            self.oracle.decided.insert((session, epoch), wish.clone());
            let operation = StoreOperation::WishCopy { session, epoch, wish };
            self.store.model.perform(&operation, self.now_us / MS_US);
        }
    }
}
