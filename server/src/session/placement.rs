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

mod anew;
mod found;
mod here;

use super::act::{Act, Answer, Attachment, Down, LocalCopy, Step};
use crate::auth::{Admitted, Proof};
use crate::group::question::Answers;
use crate::store::SessionRow;
use afterglow_wire::control::{Cause, Origin, RefusalCode, Showing, Stage};
use afterglow_wire::guard::Guards;
use afterglow_wire::ids::{Epoch, ServerName, SessionId, Token};
use afterglow_wire::limits::SESSIONS_MAX;
use afterglow_wire::sessions::Want;
use afterglow_wire::ticket::{Permit, Plan};
use std::collections::BTreeSet;

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
    /// To know whether the store says still what it said before a host was
    /// probed for so long that much may have happened.
    Rereading { row: Box<SessionRow>, server_spoke: bool },
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
            (State::Comparing(copy), Answer::Corrupt(_)) => self.compared(copy, Err(Down)),
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
            // Nothing that runs needs the store to be found.
            (State::Reading(answers), Answer::Corrupt(text)) => {
                let step = self.decide(&answers, Err(Down));
                match self.state {
                    State::Waiting => refuse(RefusalCode::StoreUnavailable, text),
                    _ => step,
                }
            }
            (State::Rereading { .. }, Answer::Corrupt(text)) => {
                refuse(RefusalCode::StoreUnavailable, text)
            }
            (State::Probing { row, round, server_spoke }, Answer::Probed(probed)) => {
                self.probed(row, round, server_spoke, probed)
            }
            (State::Rereading { row, server_spoke }, Answer::Row(again)) => {
                self.read_again(row, server_spoke, again)
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
