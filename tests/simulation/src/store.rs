//! The store: `afterglow_server::store::model`, and what the invariants want
//! to know of its past.

use afterglow_server::core::{StoreAnswer, StoreOperation};
use afterglow_server::store::SessionRow;
use afterglow_server::store::model::StoreModel;
use afterglow_wire::ids::{Epoch, ServerName, SessionId, Token};
use std::collections::BTreeMap;

/// The store and its past.
#[derive(Debug, Default)]
pub struct Store {
    /// What it does.
    pub model: StoreModel,
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
        self.model.sessions.get(&id)
    }

    /// The token's live session that was connected last.
    pub fn session_of(&self, token: &Token) -> Option<&SessionRow> {
        self.model.live_of(token).first().copied()
    }

    /// Does one thing.
    pub fn perform(&mut self, operation: &StoreOperation, now_us: u64) -> (StoreAnswer, Change) {
        let about = match operation {
            StoreOperation::Create { row, .. } => Some(row.id),
            StoreOperation::TakeOver { session, .. }
            | StoreOperation::HandOver { session, .. }
            | StoreOperation::SetEndpoint { session, .. } => Some(*session),
            _ => None,
        };
        let before = about.and_then(|id| self.session(id).cloned());
        let answer = self.model.perform(operation, now_us / 1_000);
        let change = match about.and_then(|id| self.session(id).cloned()) {
            Some(after) => self.changed(before, &after, now_us),
            None => Change::None,
        };
        (answer, change)
    }

    fn changed(&mut self, before: Option<SessionRow>, after: &SessionRow, now_us: u64) -> Change {
        let owner = (after.owner.clone(), now_us);
        let Some(before) = before else {
            self.owners.insert((after.id, after.epoch), owner);
            return Change::Created(after.id);
        };
        if after.endpoint != before.endpoint || after.epoch != before.epoch {
            self.endpoint_us.insert(after.id, now_us);
        }
        if after.epoch == before.epoch {
            return Change::None;
        }
        self.owners.insert((after.id, after.epoch), owner);
        Change::TakenOver(Box::new(before))
    }
}
