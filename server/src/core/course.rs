//! One insert's course: asks what its placement wants to know.
//!
//! A course belongs to a link and ends with it, with a newer insert, or with
//! the token's removal. What it began to start goes on.

use super::ask::Asker;
use super::{
    Action, CopyId, Due, GroupAsker, Launch, Screen, ServerCore, StoreAnswer, StoreOperation,
};
use crate::auth::{Admitted, LinkId};
use crate::group::Ask;
use crate::group::question::Answers;
use crate::session::act::{Act, Answer, LocalCopy, Probed, Step};
use crate::session::placement::{Placement, ROUNDS};
use crate::store::{SessionRow, UserRow};
use afterglow_wire::control::{Insert, Progress, Stage};
use afterglow_wire::ids::{Epoch, ServerName, SessionId, Token};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};

/// A course's number; none is used twice.
pub(super) type CourseId = u64;

/// No round of probes lasts longer, in milliseconds.
const ROUND_MS_MAX: u64 = 400;
/// How long what was made ready waits for an insert that wants it, in
/// milliseconds.
const UNWANTED_MS: u64 = 1_000;
/// The most sessions that are made ready at a time without being wanted yet.
const PREPARED_MAX: usize = 16;

/// An insert's course.
#[derive(Debug)]
pub(super) struct Course {
    pub(super) link: LinkId,
    insert: u64,
    address: Ipv4Addr,
    placement: Placement,
    pub(super) screen: Screen,
    /// What the user was told last.
    told: Option<(Stage, Option<ServerName>)>,
    begun: Option<(SessionId, Epoch)>,
    /// Whose token it is, once the store was asked.
    pub(super) user: Option<Option<Box<UserRow>>>,
    /// When it began.
    began_ms: u64,
    /// The round of probes that is under way.
    round: Option<Round>,
    /// When it waits for a time: that time.
    due_ms: u64,
}

/// A round of probes.
#[derive(Debug, Default)]
struct Round {
    probed: Probed,
    /// The copy that is asked for.
    copy: Option<(SessionId, Epoch)>,
}

impl Course {
    /// Notes which copy it is about to start.
    pub(super) fn starts(&mut self, session: SessionId, epoch: Epoch) {
        self.placement.starts(session, epoch);
        self.begun = Some((session, epoch));
    }

    /// Whose session is wanted, and for which window.
    pub(super) fn wants(&self) -> (Token, Screen) {
        (self.placement.token().clone(), self.screen.clone())
    }

    /// True while it waits for the store's word about a copy of this host.
    pub(super) fn confirms_own(&self) -> bool {
        self.placement.confirms_own()
    }

    /// The copy that it began to start.
    pub(super) fn begun(&self) -> Option<(SessionId, Epoch)> {
        self.begun
    }
}

impl ServerCore {
    pub(super) fn begin_course(&mut self, link: LinkId, admitted: &Admitted) {
        let Some(address) = self.links.get(&link).map(|known| known.address) else { return };
        self.drop_course_of(link);
        let mut admitted = admitted.clone();
        self.note_unreachable(&mut admitted.insert, link);
        let insert = &admitted.insert;
        let screen = Screen { size: insert.screen, keymap: insert.keymap.clone() };
        let mut placement = Placement::new(self.me().clone(), self.config.guards, &admitted);
        let step = placement.begin();
        let id = self.next_course;
        self.next_course += 1;
        let course = Course {
            link,
            insert: insert.insert,
            address,
            placement,
            screen,
            told: None,
            begun: None,
            user: None,
            began_ms: self.now.steady_ms,
            round: None,
            due_ms: 0,
        };
        self.courses.insert(id, course);
        self.go_on(id, step);
    }

    /// What the DTU did not find out by itself: which servers that are up it
    /// cannot reach from where it is.
    fn note_unreachable(&self, insert: &mut Insert, link: LinkId) {
        let names = self.group.topology().up().map(|host| &host.message.host);
        let out_of_reach = names.filter(|name| self.way_to(name, link).is_none());
        let known = insert.unreachable.iter().chain(out_of_reach);
        insert.unreachable = known.cloned().collect::<BTreeSet<_>>().into_iter().collect();
    }

    /// True while a link's insert has not come to its end.
    pub(super) fn is_under_way(&self, link: LinkId) -> bool {
        self.courses.values().any(|course| course.link == link)
    }

    /// Ends the course of a link, if there is one.
    pub(super) fn drop_course_of(&mut self, link: LinkId) {
        let of_link = self.courses.iter().find(|(_, course)| course.link == link);
        if let Some(id) = of_link.map(|(id, _)| *id) {
            self.end_course(id);
        }
    }

    fn end_course(&mut self, id: CourseId) -> Option<Course> {
        let course = self.courses.remove(&id)?;
        self.due.remove(&(course.due_ms, Due::Course(id)));
        self.release_prepared(id);
        Some(course)
    }

    pub(super) fn answer_course(&mut self, id: CourseId, answer: Answer) {
        let Some(course) = self.courses.get_mut(&id) else { return };
        let step = course.placement.answer(answer);
        self.go_on(id, step);
    }

    /// What it waited for is not what it wants any more: it looks anew.
    pub(super) fn restart_course(&mut self, id: CourseId) {
        let Some(course) = self.courses.get_mut(&id) else { return };
        let step = course.placement.begin();
        self.go_on(id, step);
    }

    /// Tells what a step has to tell, and does what it wants done.
    fn go_on(&mut self, id: CourseId, step: Step) {
        let Step { progress, seen, act } = step;
        if let Some((session, epoch)) = seen {
            self.note_seen(session, epoch);
        }
        let Some(course) = self.courses.get_mut(&id) else { return };
        if progress.is_some() && progress != course.told {
            course.told.clone_from(&progress);
            let (link, insert) = (course.link, course.insert);
            if let Some((stage, host)) = progress {
                self.tell(link, Progress { insert, stage, host });
            }
        }
        self.perform(id, act);
    }

    fn perform(&mut self, id: CourseId, act: Act) {
        let Some(course) = self.courses.get(&id) else { return };
        let (token, address) = (course.placement.token().clone(), course.address);
        let wanted = course.placement.wanted();
        match act {
            Act::LookHere => {
                let here = self.look_here(&token, wanted);
                self.answer_course(id, here);
            }
            Act::AwaitStart { session, epoch } => self.await_start(id, (session, epoch)),
            Act::Confirm { session, epoch, count } => self.confirm(id, (session, epoch), count),
            Act::AskGroup { except } => {
                let dtu = self.addresses_of(course.link);
                let ask = Ask::Group { dtu, except };
                self.ask_group(&ask, &token, wanted, GroupAsker::Course(id));
            }
            Act::ReadStore => {
                let operation = StoreOperation::TokenSession { token, session: wanted };
                self.ask_store(Asker::Row(id), operation);
            }
            Act::Choose { except, room } => {
                let chance = u64::from_ne_bytes(self.random());
                let now_ms = self.now.steady_ms;
                let server = self.group.lightest(now_ms, address, &except, room, chance);
                let fresh = SessionId(self.random());
                self.answer_course(id, Answer::Chosen { server, fresh });
            }
            Act::Probe { round, server, endpoint, session, epoch } => {
                self.probe(id, round, (server, endpoint), (session, epoch));
            }
            Act::Create { id: named, only } => {
                let operation = StoreOperation::TokenSession { token, session: None };
                match course.user {
                    Some(_) => self.create(id, named, only),
                    None => self.ask_store(Asker::User(id, named, only), operation),
                }
            }
            Act::TakeOver { row, count } => self.take_over(id, *row, count),
            Act::Start => self.await_begun(id),
            Act::Wait { ms } => self.course_waits(id, ms),
            end @ (Act::Attach(_) | Act::Redirect { .. } | Act::Refuse { .. }) => {
                if let Some(course) = self.end_course(id) {
                    self.conclude(course.link, &token, end);
                }
            }
        }
    }

    fn look_here(&self, token: &Token, wanted: Option<SessionId>) -> Answer {
        let copy = self.table.wanted(token, wanted).map(|session| LocalCopy {
            session: session.id,
            epoch: session.epoch,
            connection: session.connection,
            endpoint: session.endpoint,
            verified: session.verified,
        });
        Answer::Here { copy, room: self.has_room() }
    }

    /// True if one more session may be started here.
    fn has_room(&self) -> bool {
        let guarded = self.config.guards.make(afterglow_wire::guard::Guard::Draining);
        self.table.has_room() && !(self.draining && guarded)
    }

    pub(super) fn group_answered(&mut self, id: CourseId, answers: Answers) {
        self.answer_course(id, Answer::Group(answers));
    }

    fn course_waits(&mut self, id: CourseId, ms: u64) {
        let due_ms = self.now.steady_ms + ms;
        if let Some(course) = self.courses.get_mut(&id) {
            course.due_ms = due_ms;
            self.at(due_ms, Due::Course(id));
        }
    }

    /// A pause or a round of probes is over.
    pub(super) fn course_is_due(&mut self, id: CourseId, at_ms: u64) {
        let Some(course) = self.courses.get_mut(&id) else { return };
        if course.due_ms != at_ms {
            return;
        }
        let answer = match course.round.take() {
            Some(round) => {
                let (owner, began_ms) = (course.placement.owner().cloned(), course.began_ms);
                let down = owner.is_some_and(|owner| self.is_down(&owner, began_ms));
                Answer::Probed(Probed { down, ..round.probed })
            }
            None => Answer::Waited,
        };
        self.answer_course(id, answer);
    }

    /// True if a server was silent for so long that it counts as down; one
    /// that was never heard, since the insert that asked for it.
    fn is_down(&self, server: &ServerName, began_ms: u64) -> bool {
        let heard_ms = self.group.topology().host(server).map_or(began_ms, |host| host.heard_ms);
        self.now.steady_ms.saturating_sub(heard_ms) >= self.config.group.down_after_ms
    }

    /// Asks a host that was silent: its server, and the session's endpoint.
    /// Meanwhile a copy is made ready, in case that nobody answers.
    fn probe(
        &mut self,
        id: CourseId,
        round: u32,
        (server, endpoint): (Option<ServerName>, Option<SocketAddrV4>),
        copy: (SessionId, Epoch),
    ) {
        let Some(course) = self.courses.get_mut(&id) else { return };
        course.round = Some(Round { probed: Probed::default(), copy: Some(copy) });
        let token = course.placement.token().clone();
        let owner = course.placement.owner().cloned();
        let wanted = course.placement.probing().cloned();
        // The first rounds are quick where the network is; who waits for the
        // down time asks no more often than it has to.
        let known_ms = owner.as_ref().map(|owner| self.group.probe_round_ms(owner));
        let round_ms = known_ms.filter(|_| round <= ROUNDS).unwrap_or(ROUND_MS_MAX);
        self.course_waits(id, round_ms.min(ROUND_MS_MAX));
        if let Some(row) = wanted {
            self.prepare(id, &row);
        }
        if let Some(endpoint) = endpoint {
            let request = self.new_request(Asker::Probe(id));
            let (session, epoch) = copy;
            self.actions.push(Action::Probe { request, endpoint, session, epoch });
        }
        if let Some(server) = server {
            let asker = GroupAsker::Probe(id, server.clone());
            self.ask_group(&Ask::Server(server), &token, Some(copy.0), asker);
        }
    }

    /// A silent host's server spoke, in this round or late.
    pub(super) fn server_probed(&mut self, id: CourseId, server: &ServerName, answers: &Answers) {
        let Some(said) = answers.spoke.get(server).copied() else { return };
        let Some(round) = self.courses.get_mut(&id).and_then(|c| c.round.as_mut()) else { return };
        round.probed.server = Some(said);
        if said.is_some() {
            self.end_round(id);
        }
    }

    /// An endpoint spoke, in this round or late, or its connection failed.
    pub(super) fn endpoint_probed(
        &mut self,
        request: super::RequestId,
        said: Option<(SessionId, Epoch)>,
    ) {
        let Some(Asker::Probe(id)) = self.asked.remove(&request) else { return };
        let Some(round) = self.courses.get_mut(&id).and_then(|c| c.round.as_mut()) else { return };
        if said.is_some() && said == round.copy {
            round.probed.endpoint = said;
            self.end_round(id);
        }
    }

    /// Somebody speaks for the session: the round need not last any longer.
    fn end_round(&mut self, id: CourseId) {
        if let Some(course) = self.courses.get_mut(&id)
            && let Some(round) = course.round.take()
        {
            let due_ms = std::mem::take(&mut course.due_ms);
            self.due.remove(&(due_ms, Due::Course(id)));
            self.answer_course(id, Answer::Probed(round.probed));
        }
    }

    fn prepare(&mut self, id: CourseId, row: &SessionRow) {
        let copy = (row.id, row.epoch.next());
        if let Some(owner) = self.prepared.get_mut(&copy) {
            // What the insert before this one had made ready is as good.
            owner.get_or_insert(id);
            return;
        }
        // Another insert's course may have started it already.
        if self.prepared.len() >= PREPARED_MAX || self.table.get(copy.0, copy.1).is_some() {
            return;
        }
        let Some(screen) = self.courses.get(&id).map(|course| course.screen.clone()) else {
            return;
        };
        self.prepared.insert(copy, Some(id));
        let user = self.user_of(id);
        let launch = self.launch(self.taken_over(row.clone()), screen, user.as_deref());
        self.actions.push(Action::Prepare(Box::new(launch)));
    }

    /// What was made ready for a course that ended waits a moment for the
    /// DTU's next insert, which often wants the same.
    fn release_prepared(&mut self, id: CourseId) {
        let of_course = self.prepared.iter_mut().filter(|(_, owner)| **owner == Some(id));
        let copies: Vec<_> = of_course
            .map(|(copy, owner)| {
                *owner = None;
                *copy
            })
            .collect();
        for (session, epoch) in copies {
            self.at(self.now.steady_ms + UNWANTED_MS, Due::Discard(session, epoch));
        }
    }

    /// Gives up what was made ready and is wanted by nobody.
    pub(super) fn discard_unwanted(&mut self, copy: CopyId) {
        if self.prepared.get(&copy) == Some(&None) {
            self.prepared.remove(&copy);
            let (session, epoch) = copy;
            self.actions.push(Action::Discard { session, epoch });
        }
    }

    /// What the store said about a course's user.
    pub(super) fn note_user(&mut self, id: CourseId, answer: &StoreAnswer) {
        if let StoreAnswer::Token { user, .. } = answer
            && let Some(course) = self.courses.get_mut(&id)
        {
            course.user = Some(user.clone());
        }
    }

    /// A course's user, if the token has one.
    pub(super) fn user_of(&self, id: CourseId) -> Option<Box<UserRow>> {
        self.courses.get(&id).and_then(|course| course.user.clone().flatten())
    }

    pub(super) fn launch(&self, row: SessionRow, screen: Screen, user: Option<&UserRow>) -> Launch {
        use afterglow_wire::local::{ClockAhead, Clocks};
        let ahead = self
            .group
            .topology()
            .hosts()
            .map(|host| ClockAhead { server: host.message.host.clone(), ahead_ms: host.ahead_ms });
        let services = self.catalogue_of(user);
        Launch { row, screen, services, clocks: Clocks { ahead: ahead.collect() } }
    }
}
