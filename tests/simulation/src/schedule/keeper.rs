//! The copies of sessions and their keepers, as scripts: a copy is shown,
//! frozen, goes on as another session, or is over.

use super::faults::Fault;
use super::world::{Due, Life, World};
use afterglow_server::core::{Event, Launch};
use afterglow_wire::ids::{DtuId, Epoch, SessionId, Token};
use afterglow_wire::local::{Status, ToKeeper};
use afterglow_wire::service::{ServiceAct, ServiceName, ServiceOrder, ServiceState, ServiceStatus};
use std::net::SocketAddrV4;

/// How long a word is on its way.
const WAY_MS: u64 = 2;

/// A copy of a session.
#[derive(Debug)]
pub struct Copy {
    /// The session that it is now.
    pub session: SessionId,
    /// Its epoch.
    pub epoch: Epoch,
    /// Whose it is.
    pub token: Token,
    /// On whose host it runs.
    pub host: usize,
    /// Its display link's port.
    pub port: u16,
    /// When it came up.
    pub born_ms: u64,
    /// False once it is over.
    pub alive: bool,
    /// True while its programs stand still.
    pub frozen: bool,
    /// True while its server cannot speak with its keeper.
    pub away: bool,
    /// True if that ever was so: then its server may have forgotten what it
    /// knew of it.
    pub was_away: bool,
    /// The desktop unit that shows it, and in which insert.
    pub shown_on: Option<(usize, DtuId, u64)>,
    /// The count of connections of the last attachment.
    pub connection: u64,
    services: Vec<(ServiceName, bool)>,
}

impl Copy {
    /// True if it is this copy.
    pub fn is(&self, copy: (SessionId, Epoch)) -> bool {
        (self.session, self.epoch) == copy
    }

    /// What its keeper says.
    pub fn status(&self) -> Status {
        let services = self.services.iter().map(|(name, runs)| ServiceStatus {
            name: name.clone(),
            state: if *runs { ServiceState::Running } else { ServiceState::Stopped },
            required: false,
            host: String::new(),
            text: String::new(),
        });
        Status {
            session: self.session,
            epoch: self.epoch,
            token: self.token.clone(),
            port: self.port,
            shown_on: self.shown_on.map(|(_, dtu, _)| dtu),
            connection: self.connection,
            services: services.collect(),
            frozen: self.frozen,
            trouble: String::new(),
        }
    }
}

impl World {
    /// The copy whose keeper hears what a server says to it.
    pub fn heard_by(&self, host: usize, copy: (SessionId, Epoch)) -> Option<usize> {
        let hears = |found: &Copy| found.host == host && found.alive && !found.away;
        self.copies.iter().position(|found| hears(found) && found.is(copy))
    }

    /// The copy that listens at an address.
    pub fn copy_at(&self, endpoint: SocketAddrV4) -> Option<usize> {
        let there = |copy: &Copy| {
            let address = SocketAddrV4::new(World::address(copy.host), copy.port);
            copy.alive && !copy.frozen && address == endpoint
        };
        self.copies.iter().position(there)
    }

    /// True if a probe of a server's is answered.
    pub fn answers_probe(
        &self,
        by: usize,
        endpoint: SocketAddrV4,
        copy: (SessionId, Epoch),
    ) -> bool {
        let found = self.copy_at(endpoint).map(|index| &self.copies[index]);
        found.is_some_and(|found| found.is(copy) && self.reach(by, found.host))
    }

    /// A keeper has brought its session up, or could not.
    pub fn launched(&mut self, by: Life, host_life: u32, launch: Launch, works: bool) {
        let host = by.0;
        if !self.servers[host].host_up || self.servers[host].host_life != host_life {
            return;
        }
        let (session, epoch) = (launch.row.id, launch.row.epoch);
        if !works {
            if self.lives(by) {
                let result = Err("the X server did not start".to_owned());
                self.tell(host, Event::Started { session, epoch, result });
            }
            return;
        }
        let port = 7100 + self.copies.len() as u16;
        let services = launch.services.iter().map(|spec| (spec.name.clone(), spec.start));
        let services = services.collect();
        let index = self.copies.len();
        self.judge_launched(index, (session, epoch));
        self.copies.push(Copy {
            session,
            epoch,
            token: launch.row.token,
            host,
            port,
            born_ms: self.now_ms,
            alive: true,
            frozen: false,
            away: false,
            was_away: false,
            shown_on: None,
            connection: 0,
            services,
        });
        self.say(|| format!("copy {index} is {session:?} epoch {epoch} on s{host}"));
        self.trace.note(self.now_ms, "launched", index as u64, &session.0);
        if self.lives(by) {
            self.servers[host].known.insert(index);
            self.tell(host, Event::KeeperStatus(self.copies[index].status()));
            self.tell(host, Event::Started { session, epoch, result: Ok(port) });
        }
    }

    /// A server finds the keepers that it does not know.
    pub fn look(&mut self, life: Life) {
        if !self.lives(life) {
            return;
        }
        for copy in 0..self.copies.len() {
            let found = &self.copies[copy];
            let here = found.host == life.0 && found.alive && !found.away;
            if here && self.servers[life.0].known.insert(copy) {
                self.tell(life.0, Event::KeeperFound(self.copies[copy].status()));
            }
        }
        self.after(2_000, Due::Look(life));
    }

    fn tell_status(&mut self, copy: usize) {
        let host = self.copies[copy].host;
        let life = (host, self.servers[host].life);
        self.after(WAY_MS, Due::KeeperStands(life, copy));
    }

    /// A copy's word is at its server.
    pub fn keeper_stands(&mut self, life: Life, copy: usize) {
        let found = &self.copies[copy];
        if self.lives(life) && found.alive && self.servers[life.0].known.contains(&copy) {
            let status = found.status();
            self.tell(life.0, Event::KeeperStatus(status));
        }
    }

    /// A server's word is at a keeper.
    pub fn keeper_hears(&mut self, copy: usize, message: ToKeeper) {
        if !self.copies[copy].alive || self.copies[copy].away {
            return;
        }
        self.say(|| format!("copy {copy} <- {message:?}"));
        match message {
            ToKeeper::Detach(detach) => {
                let shown = self.copies[copy].shown_on;
                let theirs = |(_, dtu, insert): &(usize, DtuId, u64)| {
                    *dtu == detach.dtu && *insert <= detach.insert
                };
                if shown.filter(theirs).is_some() {
                    self.detach(copy);
                }
            }
            ToKeeper::End(_) => {
                self.judge_told_to_end(copy);
                self.end_copy(copy);
            }
            ToKeeper::Freeze(_) => {
                self.judge_frozen(copy);
                if !self.copies[copy].frozen {
                    self.count("frozen");
                    self.copies[copy].frozen = true;
                    self.detach(copy);
                    self.tell_status(copy);
                }
            }
            ToKeeper::Service(ServiceOrder { name, act }) => {
                let services = self.copies[copy].services.iter_mut();
                services
                    .filter(|(own, _)| *own == name)
                    .for_each(|(_, runs)| *runs = act != ServiceAct::Stop);
                self.tell_status(copy);
            }
            ToKeeper::Become(_) | ToKeeper::Clocks(_) | ToKeeper::Unknown(_) => {}
        }
    }

    /// A copy goes on as a session of its own.
    pub fn keeper_becomes(&mut self, copy: usize, becomes: SessionId) {
        let found = &self.copies[copy];
        if !found.alive || found.away || found.session == becomes {
            return;
        }
        self.judge_becomes(copy, becomes);
        self.count("continued");
        let found = &mut self.copies[copy];
        (found.session, found.epoch, found.frozen) = (becomes, Epoch::FIRST, false);
        found.connection = 0;
        self.say(|| format!("copy {copy} goes on as {becomes:?}"));
        self.detach(copy);
        self.tell_status(copy);
    }

    /// Whoever shows a copy does not any more.
    pub fn detach(&mut self, copy: usize) {
        if let Some((desk, ..)) = self.copies[copy].shown_on.take() {
            self.desk_lost_display(desk, copy);
            self.tell_status(copy);
        }
    }

    /// A desktop unit shows a copy: no other does any more.
    pub fn show(&mut self, copy: usize, desk: usize, insert: u64, connection: u64) {
        let id = self.desks[desk].id;
        let before = self.copies[copy].shown_on.replace((desk, id, insert));
        if let Some((other, ..)) = before.filter(|(other, ..)| *other != desk) {
            self.desk_displaced(other);
        }
        self.copies[copy].connection = connection;
        self.tell_status(copy);
    }

    /// A copy is over.
    pub fn end_copy(&mut self, copy: usize) {
        let found = &mut self.copies[copy];
        let (host, session, epoch) = (found.host, found.session, found.epoch);
        found.alive = false;
        self.judge.may_end.insert((session, epoch));
        self.detach(copy);
        if self.servers[host].known.remove(&copy) && self.servers[host].core.is_some() {
            let text = "The session ended.".to_owned();
            self.tell(host, Event::KeeperEnded { session, epoch, text, by_itself: true });
        }
    }

    /// A server loses a keeper from sight; it runs on, and is found again.
    pub fn lose_keeper(&mut self, copy: usize) {
        let found = &mut self.copies[copy];
        let (host, session, epoch) = (found.host, found.session, found.epoch);
        if found.away || !self.servers[host].known.remove(&copy) {
            return;
        }
        (self.copies[copy].away, self.copies[copy].was_away) = (true, true);
        self.count(Fault::KeeperAway.word());
        let text = "The session's keeper is lost.".to_owned();
        self.tell(host, Event::KeeperEnded { session, epoch, text, by_itself: false });
    }
}
