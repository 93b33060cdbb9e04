//! What administrators ask: of the core, of the store, or of both.

use super::driver::Query;
use super::{Shared, clock, lock};
use crate::admin::protocol::{Request, Response};
use crate::admin::sessions::{Order, SessionInfo, SessionsReport, UserInfo};
use crate::core::{Event, StoreAnswer, StoreOperation};
use crate::session::table::LocalSession;
use crate::store::{StoreError, Wish};
use afterglow_wire::ids::{Epoch, SessionId};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Answers one request.
pub async fn administer(shared: Arc<Shared>, request: Request) -> Response {
    let answer = match request {
        Request::Topology => topology(&shared).await,
        Request::Drain { on } => {
            shared.tell(Event::Drain(on)).await;
            Ok(Response::Done)
        }
        Request::Sessions => sessions(&shared).await.map(Response::Sessions),
        Request::Order { session, order } => order_session(&shared, &session, order).await,
        Request::Users => users(&shared).await.map(|users| Response::Users { users }),
        Request::SetUser { user } => set_user(&shared, &user).await,
        Request::RemoveUser { name } => {
            let removed = shared.store.remove_user(&name).await.map_err(|e| e.to_string());
            done_if(removed, &format!("there is no user {name:?}"))
        }
        Request::BindToken { token, user } => bind(&shared, &token, user.as_deref()).await,
    };
    answer.unwrap_or_else(Response::error)
}

async fn topology(shared: &Shared) -> Result<Response, String> {
    let mut report = ask(shared, Query::Topology).await?;
    let away = shared.store.health();
    report.store = away.map_or(report.store, |away| {
        let seconds = clock::wall_ms().saturating_sub(away.since_ms) / 1_000;
        format!("away for {seconds} s: {}", away.why)
    });
    Ok(Response::Topology(report))
}

/// Asks the core. It fails only while the server ends.
async fn ask<T>(
    shared: &Shared,
    query: impl FnOnce(oneshot::Sender<T>) -> Query,
) -> Result<T, String> {
    let (to, answer) = oneshot::channel();
    let _ = shared.queries.send(query(to)).await;
    answer.await.map_err(|_| "the server is being stopped".to_owned())
}

async fn sessions(shared: &Shared) -> Result<SessionsReport, String> {
    let here = ask(shared, Query::Sessions).await?;
    let server = shared.config.name.to_string();
    let stored = async {
        Ok::<_, StoreError>((shared.store.all_sessions().await?, shared.store.all_copies().await?))
    };
    let (rows, copies) = match stored.await {
        Ok(stored) => stored,
        Err(e) => {
            let sessions = here.iter().map(|known| SessionInfo::of_local(known, &server));
            let trouble = format!("only those on this host are listed: {e}");
            return Ok(SessionsReport { sessions: sessions.collect(), server, trouble });
        }
    };
    let wall_ms = clock::wall_ms();
    let local = |id: SessionId, epoch: Epoch| {
        here.iter().find(|known| (known.id, known.epoch) == (id, epoch))
    };
    let live = rows.iter().map(|row| SessionInfo::of_row(row, local(row.id, row.epoch), wall_ms));
    let older = copies.iter().map(|copy| SessionInfo::of_copy(copy, wall_ms));
    // What the store does not know runs all the same.
    let is_stored = |known: &&LocalSession| {
        rows.iter().any(|row| (row.id, row.epoch) == (known.id, known.epoch))
            || copies.iter().any(|copy| (copy.session, copy.epoch) == (known.id, known.epoch))
    };
    let more = here.iter().filter(|known| !is_stored(known));
    let more = more.map(|known| SessionInfo::of_local(known, &server));
    let sessions = live.chain(older).chain(more).collect();
    Ok(SessionsReport { sessions, server, trouble: String::new() })
}

/// Here it is done, or refused; elsewhere its server reads it in the store.
async fn order_session(shared: &Shared, id: &str, order: Order) -> Result<Response, String> {
    let session: SessionId = id.parse().map_err(|e| format!("{e}"))?;
    let wanted = order.for_core(session).map_err(|e| e.to_string())?;
    let here = ask(shared, Query::Sessions).await?;
    let epoch = match &order {
        Order::End { epoch } => epoch.map(Epoch),
        Order::Continue { epoch } => Some(Epoch(*epoch)),
        _ => None,
    };
    let is_here = here.iter().any(|known| match epoch {
        Some(epoch) => (known.id, known.epoch) == (session, epoch),
        None => known.id == session && !known.stale,
    });
    if !is_here {
        return elsewhere(shared, session, epoch, order).await;
    }
    let (to, answer) = oneshot::channel();
    let number = shared.next_answer();
    lock(&shared.answers).insert(number, to);
    shared.tell(Event::Order { order: wanted, answer: number }).await;
    let said = answer.await.map_err(|_| "the server is being stopped".to_owned())?;
    said.map(|text| Response::Said { text })
}

async fn elsewhere(
    shared: &Shared,
    session: SessionId,
    epoch: Option<Epoch>,
    order: Order,
) -> Result<Response, String> {
    let row = shared.store.session(session).await.map_err(|e| e.to_string())?;
    let row = row.filter(|row| !row.ended).ok_or(format!("there is no session {session}"))?;
    let copy = epoch.filter(|epoch| *epoch != row.epoch);
    let owner = row.owner.clone();
    let group = ask(shared, Query::Topology).await?;
    let wish = |wish| StoreOperation::Wish { session, epoch: row.epoch, wish: Some(wish) };
    let operation = match (order, copy) {
        (Order::End { .. }, Some(epoch)) => {
            StoreOperation::WishCopy { session, epoch, wish: Wish::End }
        }
        (Order::Continue { .. }, Some(epoch)) => {
            StoreOperation::WishCopy { session, epoch, wish: Wish::Continue }
        }
        // Nothing of it runs that would have to be ended.
        (Order::End { .. }, None) if row.endpoint.is_none() => {
            StoreOperation::End { session, epoch: row.epoch, owner: owner.clone() }
        }
        (Order::End { .. }, None) => wish(Wish::End),
        (Order::Move { to, force: true }, _) => {
            let to = to.parse().map_err(|e| format!("{e}"))?;
            match group.cannot_take(&to) {
                _ if to == owner => return Err(format!("the session is on {to} already")),
                Some(problem) => return Err(problem),
                None => wish(Wish::Move(to)),
            }
        }
        (Order::Move { force: false, .. }, _) => {
            return Err(format!(
                "only {owner}, on whose host the session is, can ask its user: run this there, or \
                 use --force"
            ));
        }
        (Order::Continue { .. }, None) => {
            return Err(format!("epoch {} is the session itself, not an earlier copy", row.epoch));
        }
        (Order::Disconnect | Order::Service { .. }, _) => {
            return Err(format!("the session is on {owner}: run this there"));
        }
    };
    match shared.store.perform(&operation, clock::wall_ms()).await {
        Ok(StoreAnswer::Done(true)) if group.is_silent(&owner) => {
            Ok(Response::Said { text: format!("{owner} is silent, and does it once it is back") })
        }
        Ok(StoreAnswer::Done(true)) => {
            Ok(Response::Said { text: format!("{owner} is told, and does it within seconds") })
        }
        Ok(_) => Err("the session changed meanwhile; look at the list, and try again".into()),
        Err(e) => Err(e.to_string()),
    }
}

async fn users(shared: &Shared) -> Result<Vec<UserInfo>, String> {
    let rows = shared.store.users().await.map_err(|e| e.to_string())?;
    let mut users = Vec::new();
    for row in rows {
        let tokens = shared.store.tokens_of(&row.name).await.map_err(|e| e.to_string())?;
        let tokens = tokens.iter().map(|token| token.as_str().to_owned()).collect();
        users.push(UserInfo::of_row(&row, tokens));
    }
    Ok(users)
}

async fn set_user(shared: &Shared, user: &UserInfo) -> Result<Response, String> {
    let row = user.to_row().map_err(|e| e.to_string())?;
    shared.store.set_user(&row).await.map_err(|e| e.to_string())?;
    Ok(Response::Done)
}

async fn bind(shared: &Shared, token: &str, user: Option<&str>) -> Result<Response, String> {
    let token = token.parse().map_err(|e| format!("{e}"))?;
    let bound = shared.store.bind_token(&token, user).await.map_err(|e| e.to_string());
    done_if(bound, "there is no such user")
}

fn done_if(done: Result<bool, String>, otherwise: &str) -> Result<Response, String> {
    match done {
        Ok(true) => Ok(Response::Done),
        Ok(false) => Err(otherwise.to_owned()),
        Err(text) => Err(text),
    }
}
