//! The store, as `afterglow_server::store` describes it: one step at a time,
//! and every write about a session names the epoch that it believes in.

use afterglow_server::core::{StoreAnswer, StoreOperation};
use afterglow_server::store::SessionRow;
use afterglow_wire::ids::{Epoch, ServerName, SessionId, Token};
use std::collections::BTreeMap;

/// The rows, and what the invariants want to know of their past.
#[derive(Debug, Default)]
pub struct Store {
    sessions: BTreeMap<SessionId, SessionRow>,
    live: BTreeMap<Token, SessionId>,
    boots: BTreeMap<ServerName, u64>,
    /// Who was made the owner of each copy, and when.
    pub owners: BTreeMap<(SessionId, Epoch), (ServerName, u64)>,
    /// Since when a session's endpoint is as it is.
    pub endpoint_us: BTreeMap<SessionId, u64>,
}

/// What a step changed that the invariants are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Nothing of that kind.
    None,
    /// A session is new.
    Created(SessionId),
    /// A session was taken over; the row as it was.
    TakenOver(Box<SessionRow>),
}

impl Store {
    /// A boot number: higher than those before, and not below the clock.
    pub fn next_boot(&mut self, server: &ServerName, wall_ms: u64) -> u64 {
        let last = self.boots.get(server).copied();
        let boot = last.map_or(wall_ms, |last| wall_ms.max(last + 1));
        self.boots.insert(server.clone(), boot);
        boot
    }

    /// What it remembers of a server's boots is lost.
    pub fn forget_boot(&mut self, server: &ServerName) {
        self.boots.remove(server);
    }

    /// A session.
    pub fn session(&self, id: SessionId) -> Option<&SessionRow> {
        self.sessions.get(&id)
    }

    /// The token's live session.
    pub fn session_of(&self, token: &Token) -> Option<&SessionRow> {
        self.sessions.get(self.live.get(token)?)
    }

    /// Does one thing.
    pub fn perform(&mut self, operation: &StoreOperation, now_us: u64) -> (StoreAnswer, Change) {
        let row = |row: Option<&SessionRow>| StoreAnswer::Row(row.cloned().map(Box::new));
        match operation {
            StoreOperation::SessionOf(token) => (row(self.session_of(token)), Change::None),
            StoreOperation::Session(id) => (row(self.session(*id)), Change::None),
            StoreOperation::Connect { session, epoch } => {
                let count = self.live_at(*session, *epoch).map(|row| {
                    row.connection += 1;
                    row.connection
                });
                (StoreAnswer::Count(count), Change::None)
            }
            StoreOperation::Create(row) => self.create(row, now_us),
            StoreOperation::TakeOver { session, from, owner, count } => {
                self.take_over(*session, *from, owner, *count, now_us)
            }
            StoreOperation::SetEndpoint { session, epoch, owner, endpoint } => {
                let found = self.live_at(*session, *epoch).filter(|row| row.owner == *owner);
                let Some(row) = found else { return (StoreAnswer::Done(false), Change::None) };
                if row.endpoint != *endpoint {
                    row.endpoint = *endpoint;
                    self.endpoint_us.insert(*session, now_us);
                }
                (StoreAnswer::Done(true), Change::None)
            }
            StoreOperation::End { session, epoch, owner } => {
                let found = self.live_at(*session, *epoch).filter(|row| row.owner == *owner);
                let Some(row) = found else { return (StoreAnswer::Done(false), Change::None) };
                (row.ended, row.endpoint) = (true, None);
                let token = row.token.clone();
                self.live.remove(&token);
                (StoreAnswer::Done(true), Change::None)
            }
        }
    }

    fn live_at(&mut self, id: SessionId, epoch: Epoch) -> Option<&mut SessionRow> {
        self.sessions.get_mut(&id).filter(|row| row.epoch == epoch && !row.ended)
    }

    fn create(&mut self, row: &SessionRow, now_us: u64) -> (StoreAnswer, Change) {
        if self.live.contains_key(&row.token) {
            return (StoreAnswer::Done(false), Change::None);
        }
        if self.sessions.contains_key(&row.id) {
            // `StoreError::Corrupt`: the id is that of a session that ended.
            return (StoreAnswer::Down, Change::None);
        }
        let row = SessionRow { endpoint: None, ended: false, ..row.clone() };
        self.owners.insert((row.id, row.epoch), (row.owner.clone(), now_us));
        self.live.insert(row.token.clone(), row.id);
        let id = row.id;
        self.sessions.insert(id, row);
        (StoreAnswer::Done(true), Change::Created(id))
    }

    fn take_over(
        &mut self,
        id: SessionId,
        from: Epoch,
        owner: &ServerName,
        count: bool,
        now_us: u64,
    ) -> (StoreAnswer, Change) {
        let Some(row) = self.live_at(id, from) else {
            return (StoreAnswer::Count(None), Change::None);
        };
        let before = Box::new(row.clone());
        row.epoch = row.epoch.next();
        row.owner = owner.clone();
        row.endpoint = None;
        row.connection += u64::from(count);
        let (epoch, connection) = (row.epoch, row.connection);
        self.owners.insert((id, epoch), (owner.clone(), now_us));
        self.endpoint_us.insert(id, now_us);
        (StoreAnswer::Count(Some(connection)), Change::TakenOver(before))
    }
}
