//! The start of a session: its place in the table, its row in the store, its
//! processes.
//!
//! A start that has begun goes on when the DTU that wanted it goes: the next
//! insert finds it.

use super::ask::Asker;
use super::course::{Course, CourseId};
use super::{Action, CopyId, Due, Level, Screen, ServerCore, StoreAnswer, StoreOperation};
use crate::session::act::{Answer, Down};
use crate::store::{SessionRow, UserRow};
use afterglow_wire::guard::Guard;
use afterglow_wire::ids::{Epoch, SessionId, hex};
use std::net::SocketAddrV4;

/// How long the store may take to note where a session is before its DTU is
/// attached all the same, in milliseconds.
const NOTE_MS: u64 = 500;

/// A start that is under way.
#[derive(Debug)]
pub(super) struct Start {
    row: SessionRow,
    /// Whose it is, if its token has a user.
    user: Option<Box<UserRow>>,
    screen: Screen,
    phase: Phase,
    /// The courses that wait for it.
    waiting: Vec<CourseId>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// The store is told, and the course that began it hears of it.
    Noting(CourseId),
    /// Its processes start.
    Starting,
    /// It runs, and the store is told where.
    Placing(SocketAddrV4),
}

impl ServerCore {
    /// Notes a new session for the course's token and begins to start it.
    pub(super) fn create(&mut self, course: CourseId, id: Option<SessionId>, only: bool) {
        let Some((token, screen)) = self.courses.get(&course).map(Course::wants) else { return };
        let user = self.user_of(course);
        let user = user.as_deref();
        let hash = self.config.key.token_hash(&token);
        let own = |path: &String| path.clone();
        let mut row = SessionRow {
            id: id.unwrap_or_else(|| SessionId(self.random())),
            // A hash, so that a listing of the homes gives no token away.
            home: user
                .and_then(|user| user.home.as_ref())
                .map_or_else(|| format!("{}/{}", self.config.home_root, hex(&hash[..16])), own),
            owner: self.me().clone(),
            endpoint: None,
            epoch: Epoch::FIRST,
            connection: 1,
            desktop: user
                .and_then(|user| user.desktop.clone())
                .unwrap_or_else(|| self.config.desktop.clone()),
            size: user.and_then(|user| user.size).unwrap_or(screen.size),
            name: String::new(),
            services: Vec::new(),
            wish: None,
            created_ms: self.now.wall_ms,
            changed_ms: self.now.wall_ms,
            ended: false,
            token,
        };
        let catalogue = self.catalogue_of(user).into_iter();
        let starts = catalogue.filter(|service| service.start || service.required);
        row.services = starts.map(|service| service.name).collect();
        let operation = StoreOperation::Create { row: Box::new(row.clone()), only };
        if !self.begin(course, (row, only), screen, operation) {
            self.answer_course(course, Answer::Created(Ok(false)));
        }
    }

    /// The row as it will be once we have taken the session over.
    pub(super) fn taken_over(&self, row: SessionRow) -> SessionRow {
        let (owner, epoch) = (self.me().clone(), row.epoch.next());
        SessionRow { owner, epoch, endpoint: None, ..row }
    }

    /// Takes a session over in the store and begins to start it here.
    pub(super) fn take_over(&mut self, course: CourseId, old: SessionRow, count: bool) {
        let Some((_, screen)) = self.courses.get(&course).map(Course::wants) else { return };
        if let Some(text) = self.store_trouble() {
            return self.answer_course(course, Answer::Distrusted(text));
        }
        // Another insert had it started here since the store was read.
        if self.table.get(old.id, old.epoch).is_some_and(|known| !known.stale) {
            return self.answer_course(course, Answer::TookOver(Ok(None)));
        }
        // An earlier copy goes on as it: nothing has to be started.
        if self.is_adopted(old.id) {
            return self.answer_course(course, Answer::TookOver(Err(Down)));
        }
        let (session, from, owner) = (old.id, old.epoch, self.me().clone());
        let operation = StoreOperation::TakeOver { session, from, owner, count };
        let row = self.taken_over(old);
        if !self.begin(course, (row, false), screen, operation) {
            self.answer_course(course, Answer::TookOver(Ok(None)));
        }
    }

    /// Takes a place for the session before the store is told, so that no
    /// server hears "not here" from us about a session that the store says is
    /// ours. False if there is no place.
    fn begin(
        &mut self,
        course: CourseId,
        (row, only): (SessionRow, bool),
        screen: Screen,
        operation: StoreOperation,
    ) -> bool {
        let copy = (row.id, row.epoch);
        let hash = self.config.key.token_hash(&row.token);
        let token = row.token.clone();
        if self.table.reserve(row.id, row.epoch, token, hash, row.connection, only).is_err() {
            return false;
        }
        if let Some(course) = self.courses.get_mut(&course) {
            course.starts(row.id, row.epoch);
        }
        // What was made ready for it is kept for it, whoever wanted it made
        // ready.
        self.prepared.remove(&copy);
        let (phase, waiting) = (Phase::Noting(course), Vec::new());
        let user = self.user_of(course);
        self.starts.insert(copy, Start { row, user, screen, phase, waiting });
        self.ask_store(Asker::Begin(copy), operation);
        true
    }

    /// The store answered about a new session or a take-over.
    pub(super) fn start_noted(&mut self, copy: CopyId, answer: StoreAnswer) {
        let Some(start) = self.starts.get_mut(&copy) else { return };
        let Phase::Noting(course) = start.phase else { return };
        let is_new = copy.1 == Epoch::FIRST;
        let noted = match answer {
            StoreAnswer::Count(None) if !self.config.guards.make(Guard::CompareAndSet) => {
                Ok(Some(start.row.connection + 1))
            }
            StoreAnswer::Count(count) => Ok(count),
            _ => Err(Down),
        };
        if let Ok(Some(connection)) = noted {
            start.row.connection = connection;
            start.phase = Phase::Starting;
            let (row, screen) = (start.row.clone(), start.screen.clone());
            let user = start.user.clone();
            self.note_seen(copy.0, copy.1);
            self.table.counted(copy.0, copy.1, connection);
            let me = self.me().clone();
            self.group.note_sent(&me);
            let launch = self.launch(row, screen, user.as_deref());
            self.actions.push(Action::Start(Box::new(launch)));
        } else {
            self.table.remove(copy.0, copy.1);
            self.actions.push(Action::Discard { session: copy.0, epoch: copy.1 });
            self.fail_start(copy, "the session's start came to nothing; insert again");
        }
        let answer = match is_new {
            true => Answer::Created(noted.map(|noted| noted.is_some())),
            false => Answer::TookOver(noted),
        };
        self.answer_course(course, answer);
    }

    /// Waits for a start that somebody else wanted.
    pub(super) fn await_start(&mut self, course: CourseId, copy: CopyId) {
        match self.starts.get_mut(&copy) {
            Some(start) => start.waiting.push(course),
            // It ended between the look at the table and now.
            None => {
                let text = "the session's start came to nothing; insert again".to_owned();
                self.answer_course(course, Answer::Started(Err(text)));
            }
        }
    }

    /// Waits for the start that this course began.
    pub(super) fn await_begun(&mut self, course: CourseId) {
        let begun = self.courses.get(&course).and_then(|course| course.begun());
        match begun {
            Some(copy) => self.await_start(course, copy),
            None => {
                let text = "no session was started; insert again".to_owned();
                self.answer_course(course, Answer::Started(Err(text)));
            }
        }
    }

    /// The processes are up, or could not be brought up.
    pub(super) fn started(&mut self, copy: CopyId, result: Result<u16, String>) {
        let (session, epoch) = copy;
        // What was made ready may fail before it is wanted; then the order to
        // start it begins anew.
        let starting = |start: &&mut Start| start.phase == Phase::Starting;
        let Some(start) = self.starts.get_mut(&copy).filter(starting) else { return };
        match result {
            Ok(port) => {
                let endpoint = SocketAddrV4::new(self.config.group.advertise, port);
                start.phase = Phase::Placing(endpoint);
                self.table.verify(session, epoch);
                self.check_later(copy);
                self.log(Level::Info, || {
                    format!("session {session:?} epoch {epoch} runs at {endpoint}")
                });
                self.at(self.now.steady_ms + NOTE_MS, Due::Start(session, epoch));
                // Before a DTU is told, so that another server can care for
                // it from its first moment on.
                let owner = self.me().clone();
                let endpoint = Some(endpoint);
                let operation = StoreOperation::SetEndpoint { session, epoch, owner, endpoint };
                self.ask_store(Asker::Ready(copy), operation);
            }
            Err(text) => {
                self.log(Level::Error, || {
                    format!("session {session:?} epoch {epoch} did not start: {text}")
                });
                self.table.remove(session, epoch);
                // What was never there is over. What was taken over is lost,
                // and the next insert tries again.
                if epoch == Epoch::FIRST {
                    self.end_row(copy);
                }
                self.fail_start(copy, &text);
            }
        }
    }

    fn fail_start(&mut self, copy: CopyId, text: &str) {
        let Some(start) = self.starts.remove(&copy) else { return };
        for course in start.waiting {
            self.answer_course(course, Answer::Started(Err(text.to_owned())));
        }
    }

    /// The store does not keep the DTU waiting any longer.
    pub(super) fn start_is_due(&mut self, copy: CopyId) {
        self.start_is_ready(copy);
    }

    /// Whoever waits for a start that has come so far may go on.
    pub(super) fn start_is_ready(&mut self, copy: CopyId) {
        let placed = self.starts.get(&copy).map(|start| start.phase.clone());
        let Some(Phase::Placing(endpoint)) = placed else { return };
        let waiting = self.starts.remove(&copy).map(|start| start.waiting).unwrap_or_default();
        let stale = self.table.get(copy.0, copy.1).is_none_or(|known| known.stale);
        for course in waiting {
            match stale {
                // It was taken over, moved or ended while it started.
                true => self.restart_course(course),
                false => self.answer_course(course, Answer::Started(Ok(endpoint))),
            }
        }
    }
}
