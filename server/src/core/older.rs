//! Earlier copies: what becomes of a copy on this host whose session was taken
//! over elsewhere.
//!
//! It is frozen and never killed, and listed in the store, where its user
//! finds it. The user lets it go on, as a session of its own, or ends it.

use super::ask::Asker;
use super::{Action, CopyId, Due, Level, ServerCore, StoreAnswer, StoreOperation};
use crate::store::{CopyRow, SessionRow, Wish};
use afterglow_wire::ids::{Epoch, SessionId};
use afterglow_wire::limits::SESSION_NAME_CHARS_MAX;
use afterglow_wire::local::{End, Freeze, ToKeeper};

/// How often the store is asked what users want of the copies here, in
/// milliseconds.
pub(super) const LOOK_MS: u64 = 2_000;

/// An earlier copy that is about to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Adopting {
    copy: CopyId,
    /// True once the store has what it becomes.
    stored: bool,
}

impl ServerCore {
    /// A copy is older than its session: it is frozen and listed.
    pub(super) fn set_aside(&mut self, (session, epoch): CopyId, by: Epoch) {
        self.lead_away((session, epoch));
        let message = ToKeeper::Freeze(Freeze { by });
        self.actions.push(Action::TellKeeper { session, epoch, message });
        self.note_copy((session, epoch));
        self.look_at_copies_later();
    }

    fn note_copy(&mut self, (session, epoch): CopyId) {
        let Some(known) = self.table.get(session, epoch) else { return };
        let (owner, token) = (self.me().clone(), known.token.clone());
        let (name, since_ms, wish) = (String::new(), self.now.wall_ms, None);
        let row = CopyRow { session, epoch, owner, token, name, since_ms, wish };
        self.ask_store(Asker::Over, StoreOperation::NoteCopy(Box::new(row)));
    }

    pub(super) fn look_at_copies_later(&mut self) {
        if !self.due.iter().any(|(_, due)| *due == Due::Copies) {
            self.at(self.now.steady_ms + LOOK_MS, Due::Copies);
        }
    }

    /// Says again what a keeper may not have heard, and asks what is wanted of
    /// the copies here: once when the server starts, since its host may have
    /// lost some that are listed, and for as long as there are some.
    pub(super) fn look_at_copies(&mut self) {
        let thawed = self.table.stale().filter(|copy| !copy.frozen);
        let thawed: Vec<CopyId> = thawed.map(|copy| (copy.id, copy.epoch)).collect();
        for (session, epoch) in thawed {
            let message = ToKeeper::Freeze(Freeze { by: epoch.next() });
            self.actions.push(Action::TellKeeper { session, epoch, message });
        }
        let stored = self.adopting.iter().filter(|(_, adopting)| adopting.stored);
        let stored: Vec<_> = stored.map(|(becomes, adopting)| (*becomes, adopting.copy)).collect();
        for (becomes, (session, epoch)) in stored {
            self.actions.push(Action::Adopt { session, epoch, becomes });
        }
        let owner = self.me().clone();
        self.ask_store(Asker::Copies, StoreOperation::CopiesAt(owner));
    }

    /// The store says which copies it lists here.
    pub(super) fn copies_read(&mut self, answer: StoreAnswer) {
        let StoreAnswer::Copies(rows) = answer else { return self.look_at_copies_later() };
        let stale: Vec<CopyId> = self.table.stale().map(|copy| (copy.id, copy.epoch)).collect();
        for copy in &stale {
            // What the store did not hear is said again.
            if !rows.iter().any(|row| (row.session, row.epoch) == *copy) {
                self.note_copy(*copy);
            }
        }
        if !stale.is_empty() || !rows.is_empty() {
            self.look_at_copies_later();
        }
        for row in rows {
            let copy = (row.session, row.epoch);
            let stale = self.table.get(copy.0, copy.1).map(|known| known.stale);
            match (stale, row.wish) {
                (None, _) => self.forget_copy(copy),
                (Some(true), Some(Wish::End)) => {
                    self.end_copy(copy, "You ended this earlier copy.");
                }
                (Some(true), Some(Wish::Continue)) => self.continue_copy(copy),
                // What runs here and is listed is about to be judged.
                (Some(false), _) | (_, Some(Wish::Move(_)) | None) => {}
            }
        }
    }

    /// Ends a copy on this host.
    pub(super) fn end_copy(&mut self, (session, epoch): CopyId, text: &str) {
        let message = ToKeeper::End(End { text: text.to_owned() });
        self.actions.push(Action::TellKeeper { session, epoch, message });
    }

    /// The copy is no earlier copy any more.
    fn forget_copy(&mut self, (session, epoch): CopyId) {
        let owner = self.me().clone();
        let operation = StoreOperation::ForgetCopy { session, epoch, owner };
        self.ask_store(Asker::Over, operation);
    }

    /// Lets an earlier copy go on: first the session that it was is read.
    pub(super) fn continue_copy(&mut self, copy: CopyId) {
        let under_way = self.adopting.values().any(|adopting| adopting.copy == copy);
        if !under_way && self.table.get(copy.0, copy.1).is_some_and(|known| known.stale) {
            let becomes = SessionId(self.random());
            self.adopting.insert(becomes, Adopting { copy, stored: false });
            self.ask_store(Asker::Continue(becomes), StoreOperation::Session(copy.0));
        }
    }

    /// The session that the copy was: the copy gets a row of its own.
    pub(super) fn continue_with(&mut self, becomes: SessionId, answer: StoreAnswer) {
        let Some((session, epoch)) = self.adopting.get(&becomes).map(|adopting| adopting.copy)
        else {
            return;
        };
        let stale = self.table.get(session, epoch).filter(|known| known.stale);
        let (Some(known), StoreAnswer::Row(Some(row))) = (stale, answer) else {
            return self.cannot_go_on(becomes);
        };
        let services = known.wanted_services();
        let row = SessionRow {
            id: becomes,
            epoch: Epoch::FIRST,
            owner: self.me().clone(),
            name: earlier(&row.name),
            endpoint: None,
            services,
            wish: None,
            created_ms: self.now.wall_ms,
            changed_ms: self.now.wall_ms,
            ended: false,
            ..*row
        };
        let operation = StoreOperation::Create { row: Box::new(row), only: false };
        self.ask_store(Asker::Adopt(becomes), operation);
    }

    /// The store has the row, or takes none.
    pub(super) fn adopt(&mut self, becomes: SessionId, answer: &StoreAnswer) {
        match answer {
            StoreAnswer::Count(Some(_)) => self.row_is_there(becomes),
            StoreAnswer::Count(None) => self.cannot_go_on(becomes),
            // It may have taken the row all the same.
            _ => self.at(self.now.steady_ms + LOOK_MS, Due::Adopt(becomes)),
        }
    }

    /// The store is asked whether it took the row.
    pub(super) fn adopt_is_due(&mut self, becomes: SessionId) {
        if self.adopting.contains_key(&becomes) {
            self.ask_store(Asker::Adopted(becomes), StoreOperation::Session(becomes));
        }
    }

    /// The store took the row, or did not.
    pub(super) fn adopt_is_read(&mut self, becomes: SessionId, answer: &StoreAnswer) {
        match answer {
            StoreAnswer::Row(Some(_)) => self.row_is_there(becomes),
            StoreAnswer::Row(None) => self.cannot_go_on(becomes),
            _ => self.at(self.now.steady_ms + LOOK_MS, Due::Adopt(becomes)),
        }
    }

    fn row_is_there(&mut self, becomes: SessionId) {
        let Some(adopting) = self.adopting.get_mut(&becomes) else {
            // The copy was over sooner.
            return self.end_row((becomes, Epoch::FIRST));
        };
        adopting.stored = true;
        let (session, epoch) = adopting.copy;
        self.log(Level::Info, || {
            format!("the earlier copy {session:?} epoch {epoch} goes on as {becomes:?}")
        });
        self.actions.push(Action::Adopt { session, epoch, becomes });
    }

    /// It stays frozen. It is tried again for as long as its user wants it.
    fn cannot_go_on(&mut self, becomes: SessionId) {
        let Some(Adopting { copy, .. }) = self.adopting.remove(&becomes) else { return };
        let (session, epoch) = copy;
        if self.held_back.insert(copy) {
            self.log(Level::Warn, || {
                format!(
                    "the earlier copy {session:?} epoch {epoch} cannot go on: the store does not \
                     answer, or takes no more sessions of its token"
                )
            });
        }
    }

    /// A keeper says that its copy is this session. True if it was an earlier
    /// copy until now.
    pub(super) fn adopted(&mut self, session: SessionId) -> bool {
        let Some(Adopting { copy, .. }) = self.adopting.remove(&session) else { return false };
        self.table.remove(copy.0, copy.1);
        self.older_is_gone(copy);
        true
    }

    /// An earlier copy is over, or is a session of its own.
    pub(super) fn older_is_gone(&mut self, copy: CopyId) {
        self.held_back.remove(&copy);
        let of_copy = self.adopting.iter().find(|(_, adopting)| adopting.copy == copy);
        if let Some((becomes, stored)) = of_copy.map(|(id, adopting)| (*id, adopting.stored)) {
            self.adopting.remove(&becomes);
            if stored {
                self.end_row((becomes, Epoch::FIRST));
            }
        }
        self.forget_copy(copy);
    }
}

/// What a session is called that goes on beside the one that it was.
fn earlier(name: &str) -> String {
    const SUFFIX: &str = " (earlier copy)";
    let room = SESSION_NAME_CHARS_MAX - SUFFIX.len();
    let name = if name.is_empty() { "Desktop" } else { name };
    name.chars().take(room).chain(SUFFIX.chars()).collect()
}
