//! What goes wrong, when, and how it ends; and what administrators do.

use super::desk::DeskAct;
use super::world::{Due, World};
use afterglow_server::core::{AdminOrder, Event};
use afterglow_wire::ids::{Epoch, SessionId};
use afterglow_wire::service::{ServiceAct, ServiceOrder};
use std::collections::BTreeSet;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// A kind of fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault { $($(#[$doc])* $name,)* }
        impl Fault {
            /// Every kind.
            pub const EVERY: [Fault; [$(Fault::$name),*].len()] = [$(Fault::$name),*];
            /// Its name in reports.
            pub fn word(self) -> &'static str {
                match self { $(Fault::$name => $word,)* }
            }
        }
    };
}

faults! {
    /// The store did it, and its answer is lost.
    LostAnswer = "lost answer",
    /// The store never got it.
    LostRequest = "lost request",
    /// The store does it after its server gave it up.
    DoneLate = "done late",
    /// The store, and its answers, take their time and overtake each other.
    Slow = "slow store",
    /// An answer comes again later, when it is not true any more.
    AnsweredTwice = "answered twice",
    /// A server cannot reach the store.
    StoreAway = "store away",
    /// The store loses its last writes, and gets them back.
    StoreGoesBack = "store goes back",
    /// A server's process dies and starts again.
    ServerRestart = "server restart",
    /// A host dies, with all that runs on it.
    HostCrash = "host crash",
    /// Two servers do not hear each other.
    Partition = "partition",
    /// A host is cut off from everybody, and from the store.
    Isolation = "isolation",
    /// A server loses a keeper from sight.
    KeeperAway = "keeper away",
    /// A session's user logs out.
    LogOut = "log-out",
    /// A session cannot be started.
    StartFails = "start fails",
    /// Two desktop units hold the same token.
    SharedToken = "shared token",
}

/// What changes in the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// A fault of this kind begins somewhere.
    Strike(Fault),
    /// A server's process starts.
    StartServer(usize),
    /// A host starts.
    StartHost(usize),
    /// Two servers hear each other again.
    Mend(usize, usize),
    /// A host is in the network again.
    Join(usize),
    /// A server reaches the store again.
    StoreBack(usize),
    /// The store has its last writes again.
    StoreWhole,
    /// The store is as it may be again later.
    Remember,
    /// A server may find a keeper again.
    KeeperBack(usize),
    /// An administrator does something.
    Administer,
    /// Faults end.
    Calm,
}

impl World {
    /// True if this fault strikes now, so many times in a million.
    pub fn strikes(&mut self, fault: Fault, ppm: u64) -> bool {
        let strikes = !self.calm && self.plan.has(fault) && self.rng.chance(ppm);
        if strikes {
            self.count(fault.word());
        }
        strikes
    }

    /// Puts the plan's faults on the calendar.
    pub fn schedule_faults(&mut self) {
        const MOMENTARY: [Fault; 8] = [
            Fault::StoreAway,
            Fault::StoreGoesBack,
            Fault::ServerRestart,
            Fault::HostCrash,
            Fault::Partition,
            Fault::Isolation,
            Fault::KeeperAway,
            Fault::LogOut,
        ];
        let calm_ms = self.plan.calm_ms;
        for fault in MOMENTARY {
            if !self.plan.has(fault) {
                continue;
            }
            for _ in 0..self.rng.range(1, 5) {
                let at_ms = 5_000 + self.rng.below(calm_ms - 6_000);
                self.after(at_ms, Due::World(Act::Strike(fault)));
            }
        }
        for second in (4..calm_ms / 1_000).step_by(4) {
            self.after(second * 1_000, Due::World(Act::Remember));
            let ms = self.rng.below(4_000);
            self.after(second * 1_000 + ms, Due::World(Act::Administer));
        }
        self.after(calm_ms, Due::World(Act::Calm));
    }

    /// The world changes.
    pub fn world_acts(&mut self, act: Act) {
        self.trace.note(self.now_ms, "world", 0, format!("{act:?}").as_bytes());
        self.say(|| format!("-- {act:?}"));
        match act {
            Act::Strike(fault) if !self.calm => self.strike(fault),
            Act::Strike(_) => {}
            Act::StartServer(server) => self.start_server(server),
            Act::StartHost(server) => {
                self.servers[server].host_up = true;
                self.start_server(server);
            }
            Act::Mend(a, b) => {
                self.cut.remove(&(a, b));
                self.bad_ms.insert((a, b), self.now_ms);
            }
            Act::Join(server) => {
                self.isolated.remove(&server);
                self.bad_ms.insert((server, server), self.now_ms);
            }
            Act::StoreBack(server) => {
                self.store.away.remove(&server);
            }
            Act::StoreWhole => {
                if let Some(whole) = self.store.whole.take() {
                    self.store.model = whole;
                }
            }
            Act::Remember => {
                if self.store.whole.is_none() {
                    self.store.before = Some(self.store.model.clone());
                }
            }
            Act::KeeperBack(copy) => self.copies[copy].away = false,
            Act::Administer if !self.calm => self.administer(),
            Act::Administer => {}
            Act::Calm => self.calm_down(),
        }
    }

    fn any_server(&mut self) -> usize {
        self.rng.below(self.plan.servers as u64) as usize
    }

    fn any_copy(&mut self) -> Option<usize> {
        let running: Vec<usize> = (0..self.copies.len())
            .filter(|copy| self.copies[*copy].alive && !self.copies[*copy].frozen)
            .collect();
        self.rng.pick(&running)
    }

    fn strike(&mut self, fault: Fault) {
        let server = self.any_server();
        let ms = self.rng.range(500, 12_000);
        match fault {
            Fault::StoreAway => {
                self.count(fault.word());
                let everybody = self.rng.chance(400_000);
                for server in (0..self.plan.servers).filter(|one| everybody || *one == server) {
                    self.store.away.insert(server);
                    self.after(ms, Due::World(Act::StoreBack(server)));
                }
            }
            Fault::StoreGoesBack => {
                if let Some(before) = self.store.before.clone()
                    && self.store.whole.is_none()
                {
                    self.count(fault.word());
                    self.store.whole = Some(std::mem::replace(&mut self.store.model, before));
                    self.after(ms, Due::World(Act::StoreWhole));
                }
            }
            Fault::ServerRestart => {
                self.count(fault.word());
                self.stop_server(server);
                self.after(ms / 3, Due::World(Act::StartServer(server)));
            }
            Fault::HostCrash => self.crash_host(server, ms),
            Fault::Partition => {
                let other = self.any_server();
                let (a, b) = (server.min(other), server.max(other));
                if a != b && self.cut.insert((a, b)) {
                    self.count(fault.word());
                    self.bad_ms.insert((a, b), self.now_ms);
                    self.after(ms, Due::World(Act::Mend(a, b)));
                }
            }
            Fault::Isolation => self.isolate(server, ms),
            Fault::KeeperAway => {
                if let Some(copy) = self.any_copy() {
                    self.lose_keeper(copy);
                    self.after(ms, Due::World(Act::KeeperBack(copy)));
                }
            }
            Fault::LogOut => {
                if let Some(copy) = self.any_copy() {
                    self.count(fault.word());
                    self.end_copy(copy);
                }
            }
            _ => {}
        }
    }

    fn crash_host(&mut self, server: usize, ms: u64) {
        if !self.servers[server].host_up {
            return;
        }
        self.count(Fault::HostCrash.word());
        self.stop_server(server);
        self.servers[server].host_up = false;
        self.servers[server].host_life += 1;
        for copy in 0..self.copies.len() {
            if self.copies[copy].host == server && self.copies[copy].alive {
                self.copies[copy].alive = false;
                self.detach(copy);
            }
        }
        self.after(ms, Due::World(Act::StartHost(server)));
        if self.plan.has(Fault::SharedToken) {
            self.all_want_one();
        }
    }

    /// The same card goes into all desktop units at once.
    fn all_want_one(&mut self) {
        let card = self.rng.below(self.plan.desks as u64) as usize;
        for desk in 0..self.plan.desks {
            let ms = self.rng.range(200, 260);
            self.after(ms, Due::Desk(desk, 0, DeskAct::InsertThat(card)));
        }
    }

    fn isolate(&mut self, server: usize, ms: u64) {
        if !self.isolated.insert(server) {
            return;
        }
        self.count(Fault::Isolation.word());
        self.bad_ms.insert((server, server), self.now_ms);
        let of_server = self.links.iter().filter(|(_, (_, life))| life.0 == server);
        for link in of_server.map(|(link, _)| *link).collect::<Vec<_>>() {
            self.link_breaks(link);
        }
        for copy in 0..self.copies.len() {
            if self.copies[copy].host == server {
                self.detach(copy);
            }
        }
        self.after(ms, Due::World(Act::Join(server)));
    }

    /// An administrator does something to a session that the store knows.
    fn administer(&mut self) {
        let live = self.store.model.sessions.values().filter(|row| !row.ended);
        let rows: Vec<_> = live.map(|row| (row.id, row.epoch, row.owner.clone())).collect();
        let number = self.rng.below(rows.len() as u64) as usize;
        let Some((session, _, owner)) = rows.get(number).cloned() else { return };
        let Some(server) = self.named(&owner) else { return };
        let order = match self.rng.below(8) {
            0..4 => {
                let to = self.any_server();
                let (to, force) = (self.servers[to].name.clone(), self.rng.chance(500_000));
                self.judge.may_move.insert(session);
                AdminOrder::Move { session, to, force }
            }
            4 => AdminOrder::Disconnect { session },
            5 => {
                let name = "music".parse().unwrap_or_else(|_| unreachable!("a name"));
                let order = ServiceOrder { name, act: ServiceAct::Start };
                AdminOrder::Service { session, order }
            }
            6 if self.rng.chance(300_000) => {
                self.judge.may_end_any.insert(session);
                AdminOrder::End { session, epoch: None }
            }
            _ => match self.any_older(server) {
                Some((session, epoch)) => {
                    self.judge.may_continue.insert((session, epoch));
                    self.allow_more(session);
                    AdminOrder::Continue { session, epoch }
                }
                None => return,
            },
        };
        let answer = self.next_order;
        self.next_order += 1;
        self.tell(server, Event::Order { order, answer });
    }

    fn any_older(&mut self, server: usize) -> Option<(SessionId, Epoch)> {
        let name = self.servers[server].name.clone();
        let rows = self.store.model.copies.values().filter(|row| row.owner == name);
        let older: Vec<_> = rows.map(|row| (row.session, row.epoch)).collect();
        self.rng.pick(&older)
    }

    /// No more faults, and what they broke is mended; each user holds a card
    /// of his own, and looks at his earlier copies once things have settled.
    fn calm_down(&mut self) {
        self.calm = true;
        for (a, b) in std::mem::take(&mut self.cut) {
            self.bad_ms.insert((a, b), self.now_ms);
        }
        for server in std::mem::take(&mut self.isolated) {
            self.bad_ms.insert((server, server), self.now_ms);
        }
        self.store.away = BTreeSet::new();
        self.world_acts(Act::StoreWhole);
        for copy in &mut self.copies {
            copy.away = false;
        }
        for server in 0..self.plan.servers {
            self.world_acts(Act::StartHost(server));
        }
        for desk in 0..self.plan.desks {
            self.settle(desk);
            self.after(18_000, Due::Desk(desk, 0, DeskAct::List));
            self.after(20_000, Due::Desk(desk, 0, DeskAct::DecideOlder));
        }
    }
}
