//! What the store does, as a plain state machine: one operation at a time, no
//! I/O.
//!
//! The simulation and the core's tests run on it; the databases are proven
//! equal to it by a property test. What a store that answers badly does (late,
//! not at all, or without having done it) is for whoever drives it.

use super::{CopyRow, SessionRow, UserRow};
use crate::core::{StoreAnswer, StoreOperation};
use afterglow_wire::ids::{Epoch, ServerName, SessionId, Token};
use afterglow_wire::limits::SESSIONS_MAX;
use std::collections::BTreeMap;

/// A store in memory.
#[derive(Debug, Clone, Default)]
pub struct StoreModel {
    /// All sessions, over or not.
    pub sessions: BTreeMap<SessionId, SessionRow>,
    /// How many connections each token had.
    pub connections: BTreeMap<Token, u64>,
    /// Earlier copies.
    pub copies: BTreeMap<(SessionId, Epoch), CopyRow>,
    /// Whose each token is.
    pub users: BTreeMap<Token, UserRow>,
}

impl StoreModel {
    /// A token's live sessions, the last connected first.
    pub fn live_of(&self, token: &Token) -> Vec<&SessionRow> {
        let of_token = |row: &&SessionRow| row.token == *token && !row.ended;
        let mut rows: Vec<_> = self.sessions.values().filter(of_token).collect();
        rows.sort_by_key(|row| (std::cmp::Reverse(row.connection), row.id));
        rows
    }

    /// Does one thing.
    pub fn perform(&mut self, operation: &StoreOperation, now_ms: u64) -> StoreAnswer {
        match operation {
            StoreOperation::TokenSession { token, session } => {
                let live = self.live_of(token);
                let wanted = |row: &&&SessionRow| session.is_none_or(|id| row.id == id);
                let row = live.iter().find(wanted).map(|row| Box::new((*row).clone()));
                StoreAnswer::Token { row, user: self.users.get(token).cloned().map(Box::new) }
            }
            StoreOperation::SessionsOf(token) => {
                let rows = self.live_of(token).into_iter().take(SESSIONS_MAX).cloned().collect();
                let of_token = |copy: &&CopyRow| copy.token == *token;
                let copies = self.copies.values().filter(of_token).take(SESSIONS_MAX);
                StoreAnswer::Sessions { rows, copies: copies.cloned().collect() }
            }
            StoreOperation::Session(id) => {
                StoreAnswer::Row(self.sessions.get(id).cloned().map(Box::new))
            }
            StoreOperation::Connect { session, epoch } => {
                let token = self.live(*session, *epoch).map(|row| row.token.clone());
                StoreAnswer::Count(token.map(|token| self.connect(*session, &token)))
            }
            StoreOperation::Create { row, only } => StoreAnswer::Count(self.create(row, *only)),
            StoreOperation::TakeOver { session, from, owner, count } => {
                StoreAnswer::Count(self.take_over((*session, *from), owner, *count, now_ms))
            }
            StoreOperation::SetEndpoint { session, epoch, owner, endpoint } => {
                self.write((*session, *epoch), owner, now_ms, |row| row.endpoint = *endpoint)
            }
            StoreOperation::SetServices { session, epoch, owner, services } => {
                let services = services.clone();
                self.write((*session, *epoch), owner, now_ms, |row| row.services = services)
            }
            StoreOperation::Rename { session, epoch, name } => {
                let row = self.live(*session, *epoch);
                StoreAnswer::Done(row.map(|row| row.name.clone_from(name)).is_some())
            }
            StoreOperation::Wish { session, epoch, wish } => {
                let row = self.live(*session, *epoch);
                StoreAnswer::Done(row.map(|row| row.wish.clone_from(wish)).is_some())
            }
            StoreOperation::HandOver { session, epoch, owner, to } => {
                self.write((*session, *epoch), owner, now_ms, |row| {
                    row.epoch = row.epoch.next();
                    (row.owner, row.endpoint, row.wish) = (to.clone(), None, None);
                })
            }
            StoreOperation::End { session, epoch, owner } => {
                self.write((*session, *epoch), owner, now_ms, |row| {
                    (row.ended, row.endpoint, row.wish) = (true, None, None);
                })
            }
            StoreOperation::NoteCopy(_)
            | StoreOperation::CopiesAt(_)
            | StoreOperation::WishCopy { .. }
            | StoreOperation::ForgetCopy { .. } => self.perform_copy(operation),
        }
    }

    fn perform_copy(&mut self, operation: &StoreOperation) -> StoreAnswer {
        match operation {
            StoreOperation::NoteCopy(copy) => {
                let newer = |row: &SessionRow| row.epoch > copy.epoch;
                let known = self.copies.contains_key(&(copy.session, copy.epoch));
                let noted = !known && self.sessions.get(&copy.session).is_some_and(newer);
                if noted {
                    let copy = CopyRow { wish: None, ..(**copy).clone() };
                    self.copies.insert((copy.session, copy.epoch), copy);
                }
                StoreAnswer::Done(noted)
            }
            StoreOperation::CopiesAt(owner) => {
                let there = self.copies.values().filter(|copy| copy.owner == *owner);
                StoreAnswer::Copies(there.cloned().collect())
            }
            StoreOperation::WishCopy { session, epoch, wish } => {
                let copy = self.copies.get_mut(&(*session, *epoch));
                StoreAnswer::Done(copy.map(|copy| copy.wish = Some(wish.clone())).is_some())
            }
            StoreOperation::ForgetCopy { session, epoch, owner } => {
                let key = (*session, *epoch);
                let theirs = self.copies.get(&key).is_some_and(|copy| copy.owner == *owner);
                StoreAnswer::Done(theirs && self.copies.remove(&key).is_some())
            }
            _ => StoreAnswer::Done(false),
        }
    }

    fn live(&mut self, id: SessionId, epoch: Epoch) -> Option<&mut SessionRow> {
        self.sessions.get_mut(&id).filter(|row| row.epoch == epoch && !row.ended)
    }

    /// A write that only the session's owner may make.
    fn write(
        &mut self,
        (id, epoch): (SessionId, Epoch),
        owner: &ServerName,
        now_ms: u64,
        change: impl FnOnce(&mut SessionRow),
    ) -> StoreAnswer {
        let row = self.live(id, epoch).filter(|row| row.owner == *owner);
        StoreAnswer::Done(row.map(|row| (change(row), row.changed_ms = now_ms)).is_some())
    }

    /// One more connection of the token, to this session.
    fn connect(&mut self, id: SessionId, token: &Token) -> u64 {
        let count = self.connections.entry(token.clone()).or_default();
        *count += 1;
        if let Some(row) = self.sessions.get_mut(&id) {
            row.connection = *count;
        }
        *count
    }

    fn create(&mut self, row: &SessionRow, only: bool) -> Option<u64> {
        let live = self.live_of(&row.token).len();
        if live >= SESSIONS_MAX || only && live > 0 || self.sessions.contains_key(&row.id) {
            return None;
        }
        let new = SessionRow { endpoint: None, wish: None, ended: false, ..row.clone() };
        let (id, token) = (new.id, new.token.clone());
        self.sessions.insert(id, new);
        Some(self.connect(id, &token))
    }

    fn take_over(
        &mut self,
        (id, from): (SessionId, Epoch),
        owner: &ServerName,
        count: bool,
        now_ms: u64,
    ) -> Option<u64> {
        let row = self.live(id, from)?;
        row.epoch = row.epoch.next();
        (row.owner, row.endpoint, row.wish) = (owner.clone(), None, None);
        row.changed_ms = now_ms;
        let (token, connection) = (row.token.clone(), row.connection);
        Some(if count { self.connect(id, &token) } else { connection })
    }
}
