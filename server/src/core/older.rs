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
const LOOK_MS: u64 = 2_000;

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

    fn look_at_copies_later(&mut self) {
        if !self.due.iter().any(|(_, due)| *due == Due::Copies) {
            self.at(self.now.steady_ms + LOOK_MS, Due::Copies);
        }
    }

    /// Asks what is wanted of the copies here, for as long as there are some.
    pub(super) fn look_at_copies(&mut self) {
        if self.table.stale().next().is_some() {
            let owner = self.me().clone();
            self.ask_store(Asker::Copies, StoreOperation::CopiesAt(owner));
            self.look_at_copies_later();
        }
    }

    /// The store says which copies it lists here.
    pub(super) fn copies_read(&mut self, answer: StoreAnswer) {
        let StoreAnswer::Copies(rows) = answer else { return };
        let stale: Vec<(CopyId, bool)> =
            self.table.stale().map(|copy| ((copy.id, copy.epoch), copy.frozen)).collect();
        for (copy, frozen) in &stale {
            // What the store did not hear, or a keeper, is said again.
            if !rows.iter().any(|row| (row.session, row.epoch) == *copy) {
                self.note_copy(*copy);
            }
            if !frozen {
                let (session, epoch) = *copy;
                let message = ToKeeper::Freeze(Freeze { by: epoch.next() });
                self.actions.push(Action::TellKeeper { session, epoch, message });
            }
        }
        for row in rows {
            let copy = (row.session, row.epoch);
            match row.wish {
                _ if !stale.iter().any(|(known, _)| *known == copy) => self.forget_copy(copy),
                Some(Wish::End) => self.end_copy(copy, "You ended this earlier copy."),
                Some(Wish::Continue) => self.continue_copy(copy),
                Some(Wish::Move(_)) | None => {}
            }
        }
    }

    /// Ends a copy on this host.
    pub(super) fn end_copy(&mut self, (session, epoch): CopyId, text: &str) {
        let message = ToKeeper::End(End { text: text.to_owned() });
        self.actions.push(Action::TellKeeper { session, epoch, message });
    }

    /// The copy is no earlier copy any more.
    pub(super) fn forget_copy(&mut self, (session, epoch): CopyId) {
        let owner = self.me().clone();
        let operation = StoreOperation::ForgetCopy { session, epoch, owner };
        self.ask_store(Asker::Over, operation);
    }

    /// Lets an earlier copy go on: first the session that it was is read.
    pub(super) fn continue_copy(&mut self, copy: CopyId) {
        let under_way = self.adopting.values().any(|adopted| *adopted == copy);
        if !under_way && self.table.get(copy.0, copy.1).is_some_and(|known| known.stale) {
            self.ask_store(Asker::Continue(copy), StoreOperation::Session(copy.0));
        }
    }

    /// The session that the copy was: the copy gets a row of its own.
    pub(super) fn continue_with(&mut self, copy: CopyId, answer: StoreAnswer) {
        let StoreAnswer::Row(Some(row)) = answer else { return };
        let Some(known) = self.table.get(copy.0, copy.1).filter(|known| known.stale) else {
            return;
        };
        let services = known.wanted_services();
        let becomes = SessionId(self.random());
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
        self.adopting.insert(becomes, copy);
        let operation = StoreOperation::Create { row: Box::new(row), only: false };
        self.ask_store(Asker::Adopt(becomes), operation);
    }

    /// The store has the row, or takes none.
    pub(super) fn adopt(&mut self, becomes: SessionId, answer: &StoreAnswer) {
        let Some((session, epoch)) = self.adopting.get(&becomes).copied() else { return };
        if let StoreAnswer::Count(Some(_)) = answer {
            self.log(Level::Info, || {
                format!("the earlier copy {session:?} epoch {epoch} goes on as {becomes:?}")
            });
            return self.actions.push(Action::Adopt { session, epoch, becomes });
        }
        self.adopting.remove(&becomes);
        self.log(Level::Warn, || {
            format!(
                "the earlier copy {session:?} epoch {epoch} cannot go on: the store does not \
                 answer, or takes no more sessions of its token"
            )
        });
    }

    /// A keeper says that its copy is this session. True if it was an earlier
    /// copy until now.
    pub(super) fn adopted(&mut self, session: SessionId) -> bool {
        let Some(copy) = self.adopting.remove(&session) else { return false };
        self.table.remove(copy.0, copy.1);
        self.forget_copy(copy);
        true
    }
}

/// What a session is called that goes on beside the one that it was.
fn earlier(name: &str) -> String {
    const SUFFIX: &str = " (earlier copy)";
    let room = SESSION_NAME_CHARS_MAX - SUFFIX.len();
    let name = if name.is_empty() { "Desktop" } else { name };
    name.chars().take(room).chain(SUFFIX.chars()).collect()
}
