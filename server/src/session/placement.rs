//! What becomes of one insert.
//!
//! A placement asks one question at a time ([`Act`]), gets its answer
//! ([`Answer`]), and ends with an attachment, a redirect or a refusal. The
//! order: what runs here; what a server of the group has; what the store says,
//! and whether the host that it names still answers; and only if nobody does, a
//! take-over, or a new session on the lightest server.
//!
//! What must hold on every way through:
//! - Nobody is attached to an epoch that is lower than one that the store, a
//!   server or the DTU itself knows.
//! - A session is taken over only if neither its server nor its endpoint
//!   answered in [`ROUNDS`] rounds, the DTU does not show it, and the store's
//!   compare-and-set succeeds. A DTU that had it vouches for the loss; for one
//!   that comes anew the server has to be silent until it counts as down.
//! - A redirect ticket's plan is followed or refused; it never selects again.

use super::act::{Act, Answer, Attachment, Confirmed, Down, LocalCopy, Probed, Step};
use super::notice::Notice;
use crate::auth::{Admitted, Proof};
use crate::group::question::Answers;
use crate::store::SessionRow;
use afterglow_wire::control::{Cause, Origin, RefusalCode, Showing, Stage};
use afterglow_wire::group::TokenSession;
use afterglow_wire::guard::{Guard, Guards};
use afterglow_wire::ids::{Epoch, ServerName, SessionId, Token};
use afterglow_wire::limits::{REDIRECTS_MAX, SESSIONS_MAX};
use afterglow_wire::sessions::Want;
use afterglow_wire::ticket::{Permit, Plan};
use std::collections::BTreeSet;
use std::net::SocketAddrV4;

/// How many rounds of questions a silent host gets before it counts as lost.
pub const ROUNDS: u32 = 3;
/// How long to wait before the store is tried again, in milliseconds.
pub const STORE_RETRY_MS: u64 = 1_000;
/// How often a placement starts over because somebody was faster.
const ATTEMPTS_MAX: u32 = 5;

/// What a placement waits for.
#[derive(Debug, Clone)]
enum State {
    /// To know what is here.
    Here,
    /// To know whether another of the token's sessions was connected later
    /// than the one that is here.
    Comparing(LocalCopy),
    /// To know what is here, now that the store does not answer.
    HereAlone,
    /// For a session that starts here on somebody else's behalf.
    Awaiting(LocalCopy),
    /// For the store's word about an attachment; `None` where the copy is not
    /// good without it.
    Confirming { attachment: Attachment, unconfirmed: Option<u64> },
    /// For the group.
    Asking,
    /// For the store.
    Reading(Answers),
    /// For a silent host.
    Probing { row: Box<SessionRow>, round: u32, server_spoke: bool },
    /// To know who is to start a session anew, or to take this one over.
    Choosing(Option<Box<SessionRow>>),
    /// For the store's word about a new session.
    Creating,
    /// For the store's word about a take-over.
    TakingOver(Box<SessionRow>),
    /// For a start.
    Starting { origin: Origin, connection: u64, lost: Option<Box<SessionRow>> },
    /// For the store to come back.
    Waiting,
    /// For nothing any more.
    Done,
}

/// The course of one insert.
#[derive(Debug)]
pub struct Placement {
    me: ServerName,
    guards: Guards,
    token: Token,
    cause: Cause,
    redirects: u8,
    unreachable: BTreeSet<ServerName>,
    showing: Option<Showing>,
    /// What the user chose.
    want: Want,
    /// The session, if a certain one of the token's is wanted.
    wanted: Option<SessionId>,
    /// True once the store may have taken one more session without saying so:
    /// that is then the one that is wanted, if it is there.
    maybe_made: bool,
    /// Who signed the ticket.
    signer: Option<ServerName>,
    /// The server that signed for the session that the DTU had, once that
    /// session turns out to be gone.
    gone: Option<ServerName>,
    /// True if the DTU had the session, or another server made sure of its
    /// loss: the ticket says so.
    had_it: bool,
    /// The plan of a redirect, and the session that it names.
    plan: Option<(Plan, SessionId, Epoch)>,
    /// The connection that the insert is already counted as.
    counted: Option<u64>,
    /// The highest epoch that the DTU can show to exist, or says that it sees.
    at_least: Option<(SessionId, Epoch)>,
    /// The epoch that its ticket names: a server signed it.
    ticketed: Option<(SessionId, Epoch)>,
    room: bool,
    attempts: u32,
    /// The session and epoch that we are about to start.
    starting: Option<(SessionId, Epoch)>,
    state: State,
}

impl Placement {
    /// Begins the course of an insert that was let in.
    pub fn new(me: ServerName, guards: Guards, admitted: &Admitted) -> Self {
        let insert = &admitted.insert;
        let ticket = match &admitted.proof {
            Proof::Challenge | Proof::Link => None,
            Proof::Redirect(ticket) | Proof::Resume(ticket) => Some(ticket),
        };
        let plan = ticket.and_then(|ticket| match ticket.permit {
            Permit::Redirect { plan, .. } => Some((plan, ticket.session, ticket.epoch)),
            Permit::Attach | Permit::Resume => None,
        });
        let shown = insert.showing.map(|showing| (showing.session, showing.epoch));
        let ticketed = ticket.map(|ticket| (ticket.session, ticket.epoch));
        let at_least = match (shown, ticketed) {
            (Some(shown), Some(ticketed)) if shown.0 == ticketed.0 => Some(shown.max(ticketed)),
            (shown, ticketed) => ticketed.or(shown),
        };
        let wanted = match (plan, ticketed, insert.want) {
            // The id is that of a session that nobody has yet.
            (Some((Plan::New, ..)), _, want) if want != Want::New => None,
            (_, Some((session, _)), _) | (_, None, Want::Session(session)) => Some(session),
            (_, None, Want::Last | Want::New) => None,
        };
        Placement {
            me,
            guards,
            token: insert.token.clone(),
            cause: insert.cause,
            redirects: insert.redirects,
            unreachable: insert.unreachable.iter().cloned().collect(),
            showing: insert.showing,
            want: insert.want,
            wanted,
            maybe_made: false,
            signer: ticket.map(|ticket| ticket.issuer.clone()),
            gone: None,
            had_it: ticket.is_some(),
            plan,
            counted: ticket.map(|ticket| ticket.connection).filter(|count| *count > 0),
            at_least,
            ticketed,
            room: false,
            attempts: 0,
            starting: None,
            state: State::Here,
        }
    }

    /// Whose session is wanted.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// The session, if a certain one of the token's is wanted.
    pub fn wanted(&self) -> Option<SessionId> {
        self.wanted
    }

    /// The first question.
    pub fn begin(&mut self) -> Step {
        self.state = State::Here;
        Act::LookHere.into()
    }

    /// The session that is being probed: it may come to a take-over, for which
    /// something can be made ready meanwhile.
    pub fn probing(&self) -> Option<&SessionRow> {
        match &self.state {
            State::Probing { row, .. } if self.room => Some(row),
            _ => None,
        }
    }

    /// Whose host is being probed.
    pub fn owner(&self) -> Option<&ServerName> {
        match &self.state {
            State::Probing { row, .. } => Some(&row.owner),
            _ => None,
        }
    }

    /// Notes which session a successful [`Act::Create`] or [`Act::TakeOver`]
    /// is about to start.
    pub fn starts(&mut self, session: SessionId, epoch: Epoch) {
        self.starting = Some((session, epoch));
    }

    /// Takes an answer and gives the next question. An answer to another
    /// question than the last is a mistake of the caller's, and ends the
    /// placement with a refusal.
    pub fn answer(&mut self, answer: Answer) -> Step {
        match (std::mem::replace(&mut self.state, State::Done), answer) {
            (State::Here, Answer::Here { copy, room }) => {
                self.room = room;
                self.here(copy)
            }
            (State::Comparing(copy), Answer::Row(row)) => self.compared(copy, row),
            (State::HereAlone, Answer::Here { copy, .. }) => self.here_alone(copy),
            (State::Awaiting(copy), Answer::Started(Ok(endpoint))) => {
                self.confirm_own(LocalCopy { endpoint: Some(endpoint), ..copy }, endpoint)
            }
            (State::Awaiting(_), Answer::Started(Err(text))) => {
                refuse(RefusalCode::SessionFailed, text)
            }
            (State::Confirming { attachment, unconfirmed }, Answer::Confirmed(said)) => {
                self.confirmed(attachment, unconfirmed, said)
            }
            (State::Asking, Answer::Group(answers)) => {
                self.state = State::Reading(answers);
                Act::ReadStore.into()
            }
            (State::Reading(answers), Answer::Row(row)) => self.decide(&answers, row),
            (State::Probing { row, round, server_spoke }, Answer::Probed(probed)) => {
                self.probed(row, round, server_spoke, probed)
            }
            (State::Choosing(row), Answer::Chosen { server, fresh }) => {
                self.chosen(row, server, fresh)
            }
            (State::Creating, Answer::Created(Ok(true))) => {
                self.state = State::Starting { origin: Origin::New, connection: 1, lost: None };
                Step::on(Stage::Starting, Some(self.me.clone()), Act::Start)
            }
            (State::TakingOver(row), Answer::TookOver(Ok(Some(connection)))) => {
                self.state = State::Starting {
                    origin: Origin::TakenOver,
                    connection: self.counted.unwrap_or(connection),
                    lost: Some(row),
                };
                Step::on(Stage::Restarting, Some(self.me.clone()), Act::Start)
            }
            (State::TakingOver(_), Answer::Distrusted(text)) => {
                refuse(RefusalCode::StoreUnavailable, text)
            }
            (State::Creating, Answer::Created(Ok(false))) if self.want == Want::New => refuse(
                RefusalCode::Full,
                format!("you have {SESSIONS_MAX} sessions, and no more are possible; end one"),
            ),
            // A redirect's plan is not made anew here: its DTU asks again.
            (State::Creating, Answer::Created(Ok(false))) if self.plan.is_some() => self.not_here(),
            (State::Creating, Answer::Created(Ok(false)))
            | (State::TakingOver(_), Answer::TookOver(Ok(None))) => self.start_over(),
            (State::Creating, Answer::Created(Err(Down))) if self.want == Want::New => {
                self.maybe_made = true;
                self.wanted = self.starting.map(|(session, _)| session).or(self.wanted);
                self.wait_for_store()
            }
            (State::Creating, Answer::Created(Err(Down)))
            | (State::TakingOver(_), Answer::TookOver(Err(Down))) => self.wait_for_store(),
            (State::Starting { origin, connection, lost }, Answer::Started(started)) => {
                self.started(origin, connection, lost, started)
            }
            (State::Waiting, Answer::Waited) => self.begin(),
            _ => refuse(RefusalCode::SessionFailed, "the server lost its way; insert again".into()),
        }
    }

    /// What runs here comes first.
    fn here(&mut self, copy: Option<LocalCopy>) -> Step {
        let superseded = |copy: &LocalCopy| {
            self.guards.make(Guard::ConfirmEpoch)
                && self.at_least.is_some_and(|(id, epoch)| id == copy.session && epoch > copy.epoch)
        };
        let (copy, seen) = match copy {
            // A copy becomes stale by a server's word, not by a DTU's.
            Some(copy) if superseded(&copy) => (None, self.ticketed),
            copy => (copy, None),
        };
        if let Some((Plan::Existing, session, _)) = self.plan
            && copy.as_ref().is_none_or(|copy| copy.session != session)
            && self.guards.make(Guard::ExistingStaysExisting)
        {
            return Step { seen, ..self.not_here() };
        }
        if let Some(copy) = copy.filter(|_| self.wanted.is_some() || self.want != Want::New) {
            if self.wanted.is_none() && self.plan.is_none() {
                self.state = State::Comparing(copy);
                return Step { seen, ..Act::ReadStore.into() };
            }
            return self.take(copy);
        }
        if let Some((Plan::New, id, _)) = self.plan.filter(|_| !self.maybe_made) {
            return Step { seen, ..self.create(Some(id)) };
        }
        if self.wanted.is_none() && self.want == Want::New {
            return self.choose(None);
        }
        Step { seen, ..self.ask_group() }
    }

    /// The session is the one that was connected last. What runs here gives
    /// way only to what the store knows to be later.
    fn compared(&mut self, copy: LocalCopy, row: Result<Option<SessionRow>, Down>) -> Step {
        match row {
            Ok(Some(row)) if row.id != copy.session && row.connection > copy.connection => {
                self.wanted = Some(row.id);
                self.begin()
            }
            // The store was asked already, and does not answer.
            // It may have become stale meanwhile.
            Err(Down) => {
                self.state = State::HereAlone;
                Act::LookHere.into()
            }
            Ok(_) => self.take(copy),
        }
    }

    /// The store was asked already, and does not answer: what runs here goes
    /// on without it.
    fn here_alone(&mut self, copy: Option<LocalCopy>) -> Step {
        let runs = copy.as_ref().filter(|copy| copy.verified).and_then(|copy| copy.endpoint);
        match (copy, runs) {
            (Some(copy), Some(endpoint)) => {
                let connection = copy.connection + u64::from(self.counted.is_none());
                Act::Attach(self.own(&copy, endpoint, connection)).into()
            }
            (Some(copy), None) => self.take(copy),
            (None, _) => self.ask_group(),
        }
    }

    /// Goes to what runs here, once it does.
    fn take(&mut self, copy: LocalCopy) -> Step {
        match copy.endpoint {
            Some(endpoint) => self.confirm_own(copy, endpoint),
            None => {
                let (session, epoch) = (copy.session, copy.epoch);
                self.state = State::Awaiting(copy);
                let act = Act::AwaitStart { session, epoch };
                Step::on(Stage::Starting, Some(self.me.clone()), act)
            }
        }
    }

    fn ask_group(&mut self) -> Step {
        self.state = State::Asking;
        let except = self.unreachable.clone();
        Step::on(Stage::Looking, None, Act::AskGroup { except })
    }

    fn confirm_own(&mut self, copy: LocalCopy, endpoint: SocketAddrV4) -> Step {
        // What the store counts is not less than what we know: it may have
        // been away while we counted.
        let connection = copy.connection + u64::from(self.counted.is_none());
        let attachment = self.own(&copy, endpoint, connection);
        // Without the store a copy of our own is good if we know that it was
        // not taken over; the count then goes on from what we know.
        let unconfirmed = copy.verified.then_some(attachment.connection);
        self.confirm(attachment, unconfirmed)
    }

    fn own(&self, copy: &LocalCopy, endpoint: SocketAddrV4, connection: u64) -> Attachment {
        Attachment {
            session: copy.session,
            epoch: copy.epoch,
            host: self.me.clone(),
            endpoint,
            connection,
            origin: Origin::Existing,
            notice: match &self.gone {
                None => Notice::None,
                Some(by) => Notice::Replaced { by: by.clone(), new: false },
            },
        }
    }

    fn confirm(&mut self, attachment: Attachment, unconfirmed: Option<u64>) -> Step {
        let (session, epoch) = (attachment.session, attachment.epoch);
        let count = self.counted.is_none();
        self.state = State::Confirming { attachment, unconfirmed };
        Act::Confirm { session, epoch, count }.into()
    }

    fn confirmed(
        &mut self,
        mut attachment: Attachment,
        unconfirmed: Option<u64>,
        said: Result<Confirmed, Down>,
    ) -> Step {
        let own = attachment.host == self.me && attachment.origin == Origin::Existing;
        let said = match said {
            Ok(Confirmed::Superseded(_)) if !self.guards.make(Guard::ConfirmEpoch) => {
                Ok(Confirmed::Right(unconfirmed.unwrap_or(1)))
            }
            said => said,
        };
        let connection = match (said, unconfirmed) {
            (Ok(Confirmed::Right(connection)), _) => connection,
            (Ok(Confirmed::Superseded(epoch)), _) => {
                let seen = Some((attachment.session, epoch));
                let next = match self.plan {
                    Some((Plan::Existing, ..)) => self.not_here(),
                    _ if own => self.ask_group(),
                    _ => self.start_over(),
                };
                return Step { seen, ..next };
            }
            (Ok(Confirmed::Unknown), Some(connection)) => connection,
            // A copy that was found running and that the store never heard
            // of cannot have been taken over through this store.
            (Ok(Confirmed::Unknown), None) if own => 1,
            (Ok(Confirmed::Unknown), None) => return self.start_over(),
            (Err(Down), Some(connection)) => connection,
            (Err(Down), None) => return self.wait_for_store(),
        };
        attachment.connection = self.counted.unwrap_or(connection.max(attachment.connection));
        Act::Attach(attachment).into()
    }

    /// All is known that can be known without waiting for the silent.
    fn decide(&mut self, answers: &Answers, row: Result<Option<SessionRow>, Down>) -> Step {
        let stored = row.as_ref().ok().and_then(Option::as_ref);
        let last = |found: &TokenSession| {
            stored.is_none_or(|row| row.id == found.session || row.connection <= found.connection)
        };
        if let Some((server, found)) = self.best(answers, stored).filter(|(_, found)| last(found)) {
            return self.go_to(server, found, stored.cloned());
        }
        match row {
            Err(Down) => self.wait_for_store(),
            Ok(None) if self.maybe_made => {
                self.maybe_made = false;
                self.create(self.wanted)
            }
            Ok(None) if self.showing.is_some() && self.continues() => refuse(
                RefusalCode::Unresolved,
                "nobody here knows the session that this screen shows; it goes on, but without a \
                 server"
                    .into(),
            ),
            // A session that was to be taken over here is over.
            Ok(None) if self.plan.is_some() && self.guards.make(Guard::ExistingStaysExisting) => {
                self.not_here()
            }
            Ok(None) if self.wanted.is_some() => self.wanted_is_gone(),
            Ok(None) => self.choose(None),
            Ok(Some(row)) => self.stored(row),
        }
    }

    /// True if the DTU is on its way with a session that it has.
    fn continues(&self) -> bool {
        matches!(self.cause, Cause::Redirect | Cause::Failover)
    }

    /// Nobody knows the session that is wanted. A DTU that had it gets another
    /// of the token's, and is told; what a user chose is not replaced.
    fn wanted_is_gone(&mut self) -> Step {
        self.wanted = None;
        match self.signer.take() {
            Some(signer) => {
                self.gone = Some(signer);
                self.begin()
            }
            None => refuse(
                RefusalCode::NotHere,
                "the session that you chose is over; choose another, or start a new one".into(),
            ),
        }
    }

    /// Asks who is to start a new session, or to take over what this host has
    /// no room for. A plan of another server's is not questioned.
    fn choose(&mut self, row: Option<Box<SessionRow>>) -> Step {
        let except = match self.guards.make(Guard::Unreachable) {
            true => self.unreachable.clone(),
            false => BTreeSet::new(),
        };
        self.state = State::Choosing(row);
        Act::Choose { except, room: self.room }.into()
    }

    fn chosen(
        &mut self,
        row: Option<Box<SessionRow>>,
        server: Option<ServerName>,
        fresh: SessionId,
    ) -> Step {
        match (server, row) {
            (Some(to), row) if to != self.me && self.may_redirect() => {
                let (plan, session, epoch) = match row {
                    Some(row) => (Plan::Takeover, row.id, row.epoch),
                    None => (Plan::New, fresh, Epoch::FIRST),
                };
                let found = TokenSession { session, epoch, connection: 0 };
                Act::Redirect { to, plan, found, connection: self.counted }.into()
            }
            (Some(_), None) if self.room => self.create(None),
            (Some(_), Some(row)) if self.room => self.take_over(row),
            _ => self.full(),
        }
    }

    fn may_redirect(&self) -> bool {
        self.redirects < REDIRECTS_MAX || !self.guards.make(Guard::RedirectLimit)
    }

    /// The session that a live server has, if there is one: never one that is
    /// older than what is known of it, and of several the last connected.
    fn best(
        &self,
        answers: &Answers,
        row: Option<&SessionRow>,
    ) -> Option<(ServerName, TokenSession)> {
        let all = || answers.spoke.iter().filter_map(|(name, said)| Some((name, (*said)?)));
        let newest = |session: SessionId| {
            let stored = row.filter(|row| row.id == session).map(|row| row.epoch);
            let shown = self.at_least.filter(|(id, _)| *id == session).map(|(_, epoch)| epoch);
            let said = all().filter(|(_, s)| s.session == session).map(|(_, s)| s.epoch).max();
            stored.max(shown).max(said)
        };
        let confirm = self.guards.make(Guard::ConfirmEpoch);
        let is_newest =
            |found: &TokenSession| !confirm || Some(found.epoch) >= newest(found.session);
        all()
            .filter(|(name, found)| **name != self.me && is_newest(found))
            .max_by_key(|(_, found)| (found.connection, found.epoch))
            .map(|(name, found)| (name.clone(), found))
    }

    /// A live server has the session.
    fn go_to(&mut self, to: ServerName, found: TokenSession, row: Option<SessionRow>) -> Step {
        if self.plan.is_some() {
            return self.not_here();
        }
        if !self.unreachable.contains(&to) || !self.guards.make(Guard::Unreachable) {
            if !self.may_redirect() {
                return refuse(
                    RefusalCode::TooManyRedirects,
                    format!("the servers sent this screen on {REDIRECTS_MAX} times; insert again"),
                );
            }
            let (plan, connection) = (Plan::Existing, self.counted);
            return Act::Redirect { to, plan, found, connection }.into();
        }
        // The DTU cannot reach the server, but perhaps the session.
        let endpoint = row
            .filter(|row| (row.id, row.epoch) == (found.session, found.epoch))
            .and_then(|row| row.endpoint);
        match endpoint {
            Some(endpoint) => self.caretake(found.session, found.epoch, to, endpoint),
            None => refuse(
                RefusalCode::Unresolved,
                format!("your session runs on {to}, which this screen cannot reach"),
            ),
        }
    }

    /// No live server has the session, but the store knows one.
    fn stored(&mut self, row: SessionRow) -> Step {
        if let Some((id, epoch)) = self.at_least
            && id == row.id
            && epoch > row.epoch
        {
            return refuse(
                RefusalCode::Unresolved,
                format!(
                    "the store knows epoch {} of the session, but there is an epoch {epoch}: the \
                     store lost data; tell the administrator",
                    row.epoch
                ),
            );
        }
        let shown = Showing { session: row.id, epoch: row.epoch };
        if self.showing == Some(shown) && self.guards.make(Guard::ShownIsAlive) {
            // It lives, by the word of the DTU that shows it.
            return match row.endpoint {
                Some(endpoint) => self.caretake(row.id, row.epoch, row.owner, endpoint),
                None => refuse(
                    RefusalCode::Unresolved,
                    format!("{} does not say where your session is; it goes on", row.owner),
                ),
            };
        }
        self.probe(Box::new(row), 1, false)
    }

    fn caretake(
        &mut self,
        session: SessionId,
        epoch: Epoch,
        host: ServerName,
        endpoint: SocketAddrV4,
    ) -> Step {
        let attachment = Attachment {
            session,
            epoch,
            host,
            endpoint,
            connection: 0,
            origin: Origin::Caretaken,
            notice: Notice::None,
        };
        self.confirm(attachment, None)
    }

    fn probe(&mut self, row: Box<SessionRow>, round: u32, server_spoke: bool) -> Step {
        let server = (row.owner != self.me && !server_spoke).then(|| row.owner.clone());
        if server.is_none() && row.endpoint.is_none()
            || !self.guards.make(Guard::ProbeBeforeTakeover)
        {
            return self.take_over(row);
        }
        let host = row.owner.clone();
        let (endpoint, session, epoch) = (row.endpoint, row.id, row.epoch);
        let act = Act::Probe { round, server, endpoint, session, epoch };
        self.state = State::Probing { row, round, server_spoke };
        Step::on(Stage::Probing, Some(host), act)
    }

    fn probed(
        &mut self,
        row: Box<SessionRow>,
        round: u32,
        server_spoke: bool,
        probed: Probed,
    ) -> Step {
        if let Some(Some(found)) = probed.server
            && (found.session != row.id || found.epoch >= row.epoch)
        {
            return self.go_to(row.owner.clone(), found, Some(*row));
        }
        if let (Some(said), Some(endpoint)) = (probed.endpoint, row.endpoint)
            && said == (row.id, row.epoch)
        {
            return self.caretake(row.id, row.epoch, row.owner, endpoint);
        }
        // Its server says that it has no such session: no need to ask again.
        let server_spoke = server_spoke || probed.server.is_some();
        let lost = self.had_it || probed.down || server_spoke || row.owner == self.me;
        if round < ROUNDS || !lost {
            return self.probe(row, round.saturating_add(1), server_spoke);
        }
        self.take_over(row)
    }

    fn take_over(&mut self, row: Box<SessionRow>) -> Step {
        if !self.room {
            return match self.plan {
                Some(_) => self.full(),
                None => self.choose(Some(row)),
            };
        }
        let count = self.counted.is_none();
        self.state = State::TakingOver(row.clone());
        Step::on(Stage::Restarting, Some(self.me.clone()), Act::TakeOver { row, count })
    }

    fn create(&mut self, id: Option<SessionId>) -> Step {
        if !self.room {
            return self.full();
        }
        self.state = State::Creating;
        let only = self.want != Want::New;
        Step::on(Stage::Starting, Some(self.me.clone()), Act::Create { id, only })
    }

    fn started(
        &mut self,
        origin: Origin,
        connection: u64,
        lost: Option<Box<SessionRow>>,
        started: Result<SocketAddrV4, String>,
    ) -> Step {
        let (endpoint, (session, epoch)) = match (started, self.starting) {
            (Ok(endpoint), Some(starting)) => (endpoint, starting),
            (Err(text), _) => return refuse(RefusalCode::SessionFailed, text),
            (Ok(_), None) => {
                return refuse(RefusalCode::SessionFailed, "no session was started".into());
            }
        };
        let notice = match (lost, self.gone.take()) {
            (Some(row), _) => Notice::Restarted(row),
            (None, Some(by)) => Notice::Replaced { by, new: true },
            (None, None) => Notice::None,
        };
        let host = self.me.clone();
        Act::Attach(Attachment { session, epoch, host, endpoint, connection, origin, notice })
            .into()
    }

    /// Somebody was faster, so there is something new to find.
    fn start_over(&mut self) -> Step {
        self.attempts += 1;
        if self.attempts >= ATTEMPTS_MAX {
            return refuse(
                RefusalCode::Unresolved,
                "the session changes its place faster than it can be found; insert again".into(),
            );
        }
        self.begin()
    }

    fn wait_for_store(&mut self) -> Step {
        self.state = State::Waiting;
        Step::on(Stage::WaitingForStore, None, Act::Wait { ms: STORE_RETRY_MS })
    }

    fn not_here(&self) -> Step {
        refuse(
            RefusalCode::NotHere,
            format!("the session that should be on {} is not there; insert again", self.me),
        )
    }

    fn full(&self) -> Step {
        refuse(
            RefusalCode::Full,
            format!(
                "{} takes no more sessions, and no other server that does can be reached from \
                 here; end a session, or tell the administrator",
                self.me
            ),
        )
    }
}

fn refuse(code: RefusalCode, text: String) -> Step {
    Act::Refuse { code, text }.into()
}

#[cfg(test)]
mod tests;
