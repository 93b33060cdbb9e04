//! Who waits for which answer of the store, or of an endpoint.

use super::course::CourseId;
use super::{Action, CopyId, Due, Level, ServerCore, StoreAnswer, StoreOperation};
use crate::auth::LinkId;
use crate::session::act::{Answer, Confirmed, Down};
use crate::store::SessionRow;
use afterglow_wire::ids::{Epoch, ServerName, SessionId};
use afterglow_wire::sessions::Manage;

/// How often a store that knew less than we is asked whether it knows as much
/// again, in milliseconds.
const BEHIND_MS: u64 = 5_000;

/// Who asked, and what for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asker {
    /// A course: to count a connection to this copy.
    Count(CourseId, CopyId),
    /// A course: whether this copy is the session.
    Confirm(CourseId, CopyId),
    /// A course: the token's session.
    Row(CourseId),
    /// A course: an endpoint.
    Probe(CourseId),
    /// A start: a new session, or a take-over.
    Begin(CopyId),
    /// A start: where its copy is.
    Ready(CopyId),
    /// We ourselves: where a copy is.
    Endpoint(CopyId),
    /// We ourselves: whether a copy that was found is the session.
    Found(CopyId),
    /// We ourselves: which epoch of this copy's session counts.
    Seen(CopyId),
    /// Nobody waits: that a copy is over.
    Over,
    /// A course that is to create a session: whose token it is.
    User(CourseId, Option<SessionId>, bool),
    /// We ourselves: which services of a copy run.
    Services(CopyId),
    /// We ourselves: the earlier copies here.
    Copies,
    /// An earlier copy that is to go on as this: the session that it was.
    Continue(SessionId),
    /// An earlier copy that is to go on: what it becomes.
    Adopt(SessionId),
    /// An earlier copy that is to go on: whether what it becomes was stored.
    Adopted(SessionId),
    /// We ourselves: that a session is over.
    End(CopyId),
    /// We ourselves: whether it still knows less of a session than we.
    Behind(SessionId),
    /// A link's session panel, in this insert.
    List(LinkId, u64),
    /// A link's session panel: what is to be done, and to what.
    Manage(LinkId, Box<Manage>),
    /// A link's session panel: that it was noted.
    Managed(LinkId, u64),
    /// A move to this server, and who waits for its outcome.
    HandOver(CopyId, ServerName, Option<u64>),
}

impl ServerCore {
    pub(super) fn ask_store(&mut self, asker: Asker, operation: StoreOperation) {
        let request = self.new_request(asker);
        self.actions.push(Action::Store { request, operation });
    }

    pub(super) fn new_request(&mut self, asker: Asker) -> super::RequestId {
        let request = self.next_request;
        self.next_request += 1;
        self.asked.insert(request, asker);
        request
    }

    pub(super) fn stored(&mut self, request: super::RequestId, answer: StoreAnswer) {
        let Some(asker) = self.asked.remove(&request) else { return };
        let answer = match (answer, &asker) {
            // Whoever else asks knows no more than if it were away.
            (StoreAnswer::Corrupt(_), asker) if !matches!(asker, Asker::Row(_)) => {
                StoreAnswer::Down
            }
            (answer, _) => answer,
        };
        match asker {
            Asker::Count(course, copy) => self.connection_counted(course, copy, answer),
            Asker::Confirm(course, copy) => {
                let confirmed = self.judged(copy, answer);
                self.answer_confirmed(course, copy, confirmed);
            }
            Asker::Row(course) => {
                if let StoreAnswer::Corrupt(text) = answer {
                    let text = format!("{text}; your administrator can do that");
                    return self.answer_course(course, Answer::Corrupt(text));
                }
                self.note_user(course, &answer);
                let row = row_of(answer).map(|row| row.map(|row| *row));
                let live = row.map(|row| row.filter(|row| !row.ended));
                self.answer_course(course, Answer::Row(live));
            }
            Asker::Begin(copy) => self.start_noted(copy, answer),
            Asker::Ready(copy) => {
                self.start_is_ready(copy);
                self.endpoint_noted(copy, answer);
            }
            Asker::Endpoint(copy) => self.endpoint_noted(copy, answer),
            Asker::Seen(copy) => self.seen_in_store(copy, answer),
            Asker::Found(copy) => self.found_is_judged(copy, answer),
            Asker::User(course, id, only) => {
                self.note_user(course, &answer);
                match answer {
                    StoreAnswer::Down => self.answer_course(course, Answer::Created(Err(Down))),
                    _ => self.create(course, id, only),
                }
            }
            Asker::Services(copy) => self.services_noted(copy, &answer),
            Asker::Copies => self.copies_read(answer),
            Asker::Continue(becomes) => self.continue_with(becomes, answer),
            Asker::Adopt(becomes) => self.adopt(becomes, &answer),
            Asker::Adopted(becomes) => self.adopt_is_read(becomes, &answer),
            Asker::End(copy) => self.end_noted(copy, &answer),
            Asker::Behind(session) => self.behind_is_read(session, answer),
            Asker::List(link, insert) => self.listed(link, insert, answer),
            Asker::Manage(link, manage) => self.manage_stored(link, *manage, answer),
            Asker::Managed(link, insert) => self.managed(link, insert, &answer),
            Asker::HandOver(copy, to, waits) => self.handed_over(copy, to, waits, &answer),
            Asker::Probe(_) | Asker::Over => {}
        }
    }

    /// Asks the store whether a copy is the session, and counts the connection
    /// if that is wanted.
    pub(super) fn confirm(&mut self, course: CourseId, copy: CopyId, count: bool) {
        match count {
            true => {
                let operation = StoreOperation::Connect { session: copy.0, epoch: copy.1 };
                self.ask_store(Asker::Count(course, copy), operation);
            }
            false => {
                self.ask_store(Asker::Confirm(course, copy), StoreOperation::Session(copy.0));
            }
        }
    }

    fn connection_counted(&mut self, course: CourseId, copy: CopyId, answer: StoreAnswer) {
        match answer {
            StoreAnswer::Count(Some(connection)) => {
                self.table.counted(copy.0, copy.1, connection);
                self.answer_confirmed(course, copy, Ok(Confirmed::Right(connection)));
            }
            StoreAnswer::Down => {
                let confirmed = self.unanswered(copy);
                self.answer_confirmed(course, copy, confirmed);
            }
            _ => self.ask_store(Asker::Confirm(course, copy), StoreOperation::Session(copy.0)),
        }
    }

    /// The store's word about a copy. Meanwhile one of this host may have
    /// ended, moved, or become stale, whatever the store said then.
    fn answer_confirmed(
        &mut self,
        course: CourseId,
        (session, epoch): CopyId,
        confirmed: Result<Confirmed, Down>,
    ) {
        let own = self.courses.get(&course).is_some_and(|course| course.confirms_own());
        let good = self.table.get(session, epoch).is_some_and(|known| !known.stale);
        let confirmed = match (own && !good, confirmed) {
            (true, Ok(Confirmed::Right(_) | Confirmed::Unknown) | Err(Down)) => {
                Ok(Confirmed::Superseded(epoch.next()))
            }
            (_, confirmed) => confirmed,
        };
        self.answer_course(course, Answer::Confirmed(confirmed));
    }

    /// What the session's row says about a copy.
    pub(super) fn judged(&mut self, copy: CopyId, answer: StoreAnswer) -> Result<Confirmed, Down> {
        let Ok(row) = row_of(answer) else { return self.unanswered(copy) };
        self.compare_epochs(copy, row.as_deref());
        let here = self.table.get(copy.0, copy.1).is_some();
        if here && row.as_ref().is_some_and(|row| row.ended && row.epoch == copy.1) {
            self.end_copy(copy, "This session was ended.");
        }
        let confirmed = judge(row.as_deref(), copy.1);
        match confirmed {
            Confirmed::Right(connection) => {
                self.table.counted(copy.0, copy.1, connection);
                if let Some(wish) = row.and_then(|row| row.wish) {
                    self.grant(copy, &wish);
                }
            }
            // Whoever asked may have gone; what was learnt counts all the same.
            Confirmed::Superseded(newer) => self.note_seen(copy.0, newer),
            Confirmed::Unknown => {}
        }
        Ok(confirmed)
    }

    /// A store that knows less than a copy that runs here has lost data; once
    /// it knows as much again it is trusted again.
    fn compare_epochs(&mut self, (session, epoch): CopyId, row: Option<&SessionRow>) {
        let Some(row) = row else { return };
        if row.epoch >= epoch {
            if self.store_behind.get(&session).is_some_and(|(_, known)| row.epoch >= *known) {
                self.store_behind.remove(&session);
            }
            return;
        }
        let before = self.store_behind.get(&session).copied();
        let known = before.map_or(epoch, |(_, known)| known.max(epoch));
        self.store_behind.insert(session, (row.epoch, known));
        if before.is_none() {
            self.at(self.now.steady_ms + BEHIND_MS, Due::Behind(session));
            if let Some(trouble) = self.store_trouble() {
                self.log(Level::Error, || trouble);
            }
        }
    }

    /// Asks again about a session of which the store knew less than we,
    /// whether its copy here still runs or not.
    pub(super) fn look_behind(&mut self, session: SessionId) {
        if self.store_behind.contains_key(&session) {
            self.ask_store(Asker::Behind(session), StoreOperation::Session(session));
        }
    }

    fn behind_is_read(&mut self, session: SessionId, answer: StoreAnswer) {
        let Some((_, known)) = self.store_behind.get(&session).copied() else { return };
        if let Ok(row) = row_of(answer) {
            self.compare_epochs((session, known), row.as_deref());
        }
        if self.store_behind.contains_key(&session) {
            self.at(self.now.steady_ms + BEHIND_MS, Due::Behind(session));
        }
    }

    /// The store did not answer about a copy. Meanwhile it may have been
    /// learnt otherwise that the copy is older than the session.
    fn unanswered(&self, copy: CopyId) -> Result<Confirmed, Down> {
        let known = self.table.get(copy.0, copy.1);
        match known.is_some_and(|known| known.stale) {
            true => Ok(Confirmed::Superseded(copy.1.next())),
            false => Err(Down),
        }
    }

    /// Lower copies of the session on this host are stale. A DTU that still
    /// shows one asks again, and is led to the newer.
    pub(super) fn note_seen(&mut self, session: SessionId, epoch: Epoch) {
        for stale in self.table.known_elsewhere(session, epoch) {
            self.log(Level::Warn, || {
                format!(
                    "session {session:?} was taken over as epoch {epoch}: the copy here, epoch \
                     {}, is frozen, until its user decides",
                    stale.epoch
                )
            });
            self.set_aside((session, stale.epoch), epoch);
        }
    }
}

fn row_of(answer: StoreAnswer) -> Result<Option<Box<SessionRow>>, Down> {
    match answer {
        StoreAnswer::Row(row) | StoreAnswer::Token { row, .. } => Ok(row),
        _ => Err(Down),
    }
}

fn judge(row: Option<&SessionRow>, epoch: Epoch) -> Confirmed {
    match row {
        Some(row) if row.epoch > epoch => Confirmed::Superseded(row.epoch),
        Some(row) if row.epoch == epoch && !row.ended => Confirmed::Right(row.connection),
        _ => Confirmed::Unknown,
    }
}
