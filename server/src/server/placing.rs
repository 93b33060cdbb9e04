//! One insert's course: asks what the placement wants to know.

use super::start::{self, Begun};
use super::{Shared, group_link, lock, probe};
use crate::auth::Admitted;
use crate::group::Ask;
use crate::session::act::{Act, Answer, Confirmed, Down, LocalCopy, Probed, Step};
use crate::session::placement::{Placement, ROUND_MS};
use crate::store::{SessionRow, StoreError};
use afterglow_wire::control::Stage;
use afterglow_wire::ids::{Epoch, Keymap, ServerName, SessionId, Size, Token};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// What a link hears of an insert's course.
#[derive(Debug)]
pub enum News {
    /// For the user.
    Progress(Stage, Option<ServerName>),
    /// It is over, with one of the acts that end a placement.
    Done {
        /// The token that was authenticated.
        token: Token,
        /// How it ended.
        act: Act,
    },
}

/// What a start needs to know of the insert.
#[derive(Debug, Clone)]
pub struct Screen {
    /// The DTU's window.
    pub size: Size,
    /// Its keyboard layout.
    pub keymap: Keymap,
}

/// Runs an insert's course to its end, or until it is aborted.
pub async fn run(
    shared: Arc<Shared>,
    admitted: Admitted,
    dtu: Ipv4Addr,
    news: mpsc::Sender<(u64, News)>,
) {
    let insert = admitted.insert.insert;
    let screen = Screen { size: admitted.insert.screen, keymap: admitted.insert.keymap.clone() };
    let mut placement = Placement::new(shared.config.name.clone(), &admitted);
    let mut step = placement.begin();
    let mut told = None;
    let mut outcome = None;
    loop {
        let Step { progress, seen, act } = step;
        if let Some((session, epoch)) = seen {
            note_seen(&shared, session, epoch);
        }
        if progress.is_some() && progress != told {
            told.clone_from(&progress);
            if let Some((stage, host)) = progress {
                // A link that takes no news is about to end.
                let _ = news.send((insert, News::Progress(stage, host))).await;
            }
        }
        let answer = match act {
            Act::Attach(_) | Act::Redirect { .. } | Act::Refuse { .. } => {
                let token = placement.token().clone();
                let _ = news.send((insert, News::Done { token, act })).await;
                return;
            }
            Act::Create { id } => {
                let token = placement.token().clone();
                let begun = start::create(shared.clone(), token, id, screen.clone()).await;
                begun_answer(begun, &mut placement, &mut outcome, |made| {
                    Answer::Created(made.map(|made| made.is_some()))
                })
            }
            Act::TakeOver { row, count } => {
                let begun = start::take_over(shared.clone(), *row, count, screen.clone()).await;
                begun_answer(begun, &mut placement, &mut outcome, Answer::TookOver)
            }
            Act::Start => Answer::Started(start::wait(outcome.take()).await),
            act => perform(&shared, act, placement.token(), dtu).await,
        };
        step = placement.answer(answer);
    }
}

fn begun_answer(
    begun: Result<Option<Begun>, Down>,
    placement: &mut Placement,
    outcome: &mut Option<start::Outcome>,
    answer: impl FnOnce(Result<Option<u64>, Down>) -> Answer,
) -> Answer {
    answer(begun.map(|begun| {
        begun.map(|begun| {
            placement.starts(begun.session, begun.epoch);
            *outcome = Some(begun.outcome);
            begun.connection
        })
    }))
}

async fn perform(shared: &Arc<Shared>, act: Act, token: &Token, dtu: Ipv4Addr) -> Answer {
    match act {
        Act::LookHere => look_here(shared, token),
        Act::AwaitStart { session, epoch } => {
            let outcome = lock(&shared.starts).get(&(session, epoch)).cloned();
            Answer::Started(start::wait(outcome).await)
        }
        Act::Confirm { session, epoch, count } => {
            Answer::Confirmed(confirm(shared, session, epoch, count).await)
        }
        Act::AskGroup { except } => {
            Answer::Group(group_link::ask(shared, &Ask::Group { dtu, except }, token).await)
        }
        Act::ReadStore => Answer::Row(down(shared.store.session_of(token).await)),
        Act::Probe { server, endpoint, session, epoch } => {
            Answer::Probed(probe_host(shared, token, server, endpoint, (session, epoch)).await)
        }
        Act::Wait { ms } => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            Answer::Waited
        }
        // These end the course or are begun above.
        Act::Create { .. }
        | Act::TakeOver { .. }
        | Act::Start
        | Act::Attach(_)
        | Act::Redirect { .. }
        | Act::Refuse { .. } => Answer::Waited,
    }
}

/// A store that does not answer is logged here, and nowhere else.
pub fn down<T>(result: Result<T, StoreError>) -> Result<T, Down> {
    result.map_err(|e| {
        tracing::warn!("{e}");
        Down
    })
}

fn look_here(shared: &Shared, token: &Token) -> Answer {
    let table = lock(&shared.table);
    let copy = table.of_token(token).map(|session| LocalCopy {
        session: session.id,
        epoch: session.epoch,
        connection: session.connection,
        endpoint: session.endpoint,
        verified: session.verified,
    });
    Answer::Here { copy, room: table.has_room() }
}

/// Lower copies of the session on this host are stale.
pub fn note_seen(shared: &Shared, session: SessionId, epoch: Epoch) {
    for stale in lock(&shared.table).known_elsewhere(session, epoch) {
        tracing::warn!(
            "session {session:?} was taken over as epoch {epoch}: the copy here, epoch {}, is \
             stale; it goes on running and nobody is attached to it",
            stale.epoch
        );
    }
}

/// Asks the store whether a copy is the session.
pub async fn confirm(
    shared: &Shared,
    session: SessionId,
    epoch: Epoch,
    count: bool,
) -> Result<Confirmed, Down> {
    let now_ms = shared.clock.now().wall_ms;
    if count && let Some(connection) = down(shared.store.connect(session, epoch, now_ms).await)? {
        lock(&shared.table).counted(session, epoch, connection);
        return Ok(Confirmed::Right(connection));
    }
    let row = down(shared.store.session(session).await)?;
    let confirmed = judge(row.as_ref(), epoch);
    if let Confirmed::Right(connection) = confirmed {
        lock(&shared.table).counted(session, epoch, connection);
    }
    Ok(confirmed)
}

fn judge(row: Option<&SessionRow>, epoch: Epoch) -> Confirmed {
    match row {
        Some(row) if row.epoch > epoch => Confirmed::Superseded(row.epoch),
        Some(row) if row.epoch == epoch && !row.ended => Confirmed::Right(row.connection),
        _ => Confirmed::Unknown,
    }
}

/// One round of questions to a host that was silent: over as soon as anybody
/// speaks for the session.
async fn probe_host(
    shared: &Arc<Shared>,
    token: &Token,
    server: Option<ServerName>,
    endpoint: Option<SocketAddrV4>,
    (session, epoch): (SessionId, Epoch),
) -> Probed {
    let ask = async {
        let server = server?;
        let answers = group_link::ask(shared, &Ask::Server(server.clone()), token).await;
        answers.spoke.get(&server).copied()
    };
    let knock = async { probe::probe(shared, endpoint?, session, epoch).await };
    let round = tokio::time::sleep(Duration::from_millis(ROUND_MS));
    tokio::pin!(ask, knock, round);
    let mut probed = Probed::default();
    let (mut asked, mut knocked) = (false, false);
    loop {
        tokio::select! {
            said = &mut ask, if !asked => {
                asked = true;
                probed.server = said;
                if matches!(said, Some(Some(_))) {
                    return probed;
                }
            }
            said = &mut knock, if !knocked => {
                knocked = true;
                probed.endpoint = said;
                if said.is_some() {
                    return probed;
                }
            }
            () = &mut round => return probed,
        }
    }
}
