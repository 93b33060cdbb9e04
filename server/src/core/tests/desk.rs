//! A user before a screen: ada's session on the first server, and what she
//! does with it.

use super::world::{World, attach, failover, insert};
use crate::auth::LinkId;
use crate::core::{AdminOrder, Event};
use afterglow_wire::control::{Attach, Cause, Insert, ToDtu};
use afterglow_wire::ids::{Epoch, SessionId};
use afterglow_wire::sessions::{
    ListSessions, Manage, Notice, Question, SessionEntry, SessionOrder, Sessions, Want,
};
use afterglow_wire::ticket::SealedTicket;

/// The first epoch, which most copies here have.
pub const FIRST: Epoch = Epoch::FIRST;

/// Ada's desk.
pub struct Desk {
    pub world: World,
    /// Her link to the first server.
    pub link: LinkId,
    pub session: SessionId,
    pub resume: SealedTicket,
}

/// Ada's desk in a world of so many servers; her session is on the first.
pub fn at_desk(servers: usize) -> Desk {
    sit_down(World::new(servers), servers)
}

/// The same, in this world.
pub fn sit_down(mut world: World, servers: usize) -> Desk {
    (1..servers).for_each(|other| world.tell(other, Event::Drain(true)));
    let link = world.connect(0, 1);
    world.insert(0, link, insert(5));
    (1..servers).for_each(|other| world.tell(other, Event::Drain(false)));
    let Attach { session, endpoint, resume, .. } = world.last(0, link, attach).expect("attached");
    world.endpoints.insert(endpoint);
    world.run_ms(3_000);
    Desk { world, link, session, resume }
}

/// The first server's host was cut off, and the second took the session over;
/// then the first is heard again, and has not looked into the store yet.
pub fn healed() -> Desk {
    let mut desk = at_desk(2);
    let world = &mut desk.world;
    let endpoints = std::mem::take(&mut world.endpoints);
    world.servers[0].alive = false;
    let link = world.connect(1, 1);
    world.insert(1, link, failover(5, "mud", None, Some(&desk.resume)));
    world.run_ms(2_000);
    assert_eq!(world.last(1, link, attach).expect("taken over").epoch, Epoch(2));
    world.servers[0].alive = true;
    world.endpoints = endpoints;
    desk
}

/// As [`healed`], and the first server has learnt of it and frozen its copy.
pub fn set_aside() -> Desk {
    let mut desk = healed();
    desk.world.run_ms(6_000);
    let copy = desk.world.servers[0].core.table().get(desk.session, FIRST).cloned();
    assert!(copy.is_some_and(|copy| copy.stale));
    desk
}

impl Desk {
    /// Asks for the list, and gives it.
    pub fn list(&mut self, index: usize, link: LinkId, insert: u64) -> Option<Sessions> {
        self.world.servers[index].told.remove(&link);
        self.world.say(index, link, ListSessions { insert });
        self.world.last(index, link, sessions)
    }

    /// The list's entry of a copy.
    pub fn entry(&mut self, copy: (SessionId, Epoch)) -> Option<SessionEntry> {
        let list = self.list(0, self.link, 5)?;
        list.sessions.iter().find(|entry| (entry.session, entry.epoch) == copy).cloned()
    }

    /// Wants something of a session, by the first server.
    pub fn manage(&mut self, (session, epoch): (SessionId, Epoch), order: SessionOrder) {
        self.world.say(0, self.link, Manage { insert: 5, session, epoch, order });
    }

    /// What she was told last, in words.
    pub fn notice(&self, index: usize, link: LinkId) -> Option<String> {
        self.world.last(index, link, notice)
    }

    /// An administrator wants something of the first server.
    pub fn order(&mut self, order: AdminOrder) {
        let answer = 70 + self.world.servers[0].answers.len() as u64;
        self.world.tell(0, Event::Order { order, answer });
    }

    /// What the administrator was answered last.
    pub fn answer(&self) -> Option<Result<String, String>> {
        self.world.servers[0].answers.last().map(|(_, result)| result.clone())
    }

    /// She starts one more session, here if there is room, in insert 6.
    pub fn start_another(&mut self) -> Attach {
        self.world.say(0, self.link, switch(6, Want::New));
        self.world.last(0, self.link, attach).expect("attached")
    }
}

/// What a DTU sends whose user chose another session.
pub fn switch(number: u64, want: Want) -> Insert {
    Insert { want, cause: Cause::Switch, ..insert(number) }
}

/// The list that a message tells of, if it is one.
pub fn sessions(message: &ToDtu) -> Option<Sessions> {
    match message {
        ToDtu::Sessions(sessions) => Some(sessions.clone()),
        _ => None,
    }
}

/// The notice that a message is, if it is one.
pub fn notice(message: &ToDtu) -> Option<String> {
    match message {
        ToDtu::Notice(Notice { text, .. }) => Some(text.clone()),
        _ => None,
    }
}

/// The question that a message is, if it is one.
pub fn question(message: &ToDtu) -> Option<Question> {
    match message {
        ToDtu::Question(question) => Some(question.clone()),
        _ => None,
    }
}
