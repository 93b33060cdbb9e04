//! What administrators want of the sessions on this host.

use super::event::AdminOrder;
use super::{Action, CopyId, ServerCore};
use afterglow_wire::ids::{Epoch, SessionId};
use afterglow_wire::local::{DetachDtu, ToKeeper};

impl ServerCore {
    /// Does it, and answers; a move may be answered later.
    pub(super) fn order(&mut self, order: AdminOrder, answer: u64) {
        let result = match order {
            AdminOrder::Disconnect { session } => {
                self.live_copy(session).and_then(|copy| self.disconnect(copy))
            }
            AdminOrder::End { session, epoch } => self.running_copy(session, epoch).map(|copy| {
                self.end_copy(copy, "An administrator ended this session.");
                "the session ends".into()
            }),
            AdminOrder::Continue { session, epoch } => {
                let stale = self.table.get(session, epoch).is_some_and(|known| known.stale);
                match stale {
                    true => {
                        self.continue_copy((session, epoch));
                        Ok("the earlier copy goes on, as a session of its own".into())
                    }
                    false => Err(format!("there is no earlier copy {session} epoch {epoch} here")),
                }
            }
            AdminOrder::Service { session, order } => self.live_copy(session).map(|copy| {
                let (session, epoch) = copy;
                let message = ToKeeper::Service(order);
                self.actions.push(Action::TellKeeper { session, epoch, message });
                "the session was told".into()
            }),
            AdminOrder::Move { session, to, force } => match self.live_copy(session) {
                Ok(copy) if force => return self.move_copy(copy, to, Some(answer)),
                Ok(copy) => return self.ask_to_move(copy, to, answer),
                Err(text) => Err(text),
            },
        };
        self.answer(answer, result);
    }

    fn live_copy(&self, session: SessionId) -> Result<CopyId, String> {
        let of_session = |known: &&crate::session::table::LocalSession| known.id == session;
        let live = self.table.all().filter(of_session).find(|known| !known.stale);
        live.map(|known| (known.id, known.epoch))
            .ok_or(format!("session {session} does not run on this host"))
    }

    /// A copy whose keeper hears what it is told.
    fn running_copy(&self, session: SessionId, epoch: Option<Epoch>) -> Result<CopyId, String> {
        let copy = self.any_copy(session, epoch)?;
        let known = self.table.get(copy.0, copy.1).filter(|known| known.endpoint.is_some());
        known.map(|_| copy).ok_or(format!("session {session} still starts; try again"))
    }

    fn any_copy(&self, session: SessionId, epoch: Option<Epoch>) -> Result<CopyId, String> {
        let Some(epoch) = epoch else { return self.live_copy(session) };
        let known = self.table.get(session, epoch).map(|known| (known.id, known.epoch));
        known.ok_or(format!("session {session} epoch {epoch} is not on this host"))
    }

    /// Takes the session from the screen that shows it. Its user may bring it
    /// back.
    fn disconnect(&mut self, copy: CopyId) -> Result<String, String> {
        let (session, epoch) = copy;
        let shown_on = self.table.get(session, epoch).and_then(|known| known.shown_on);
        let dtu = shown_on.ok_or(format!("no desktop unit shows session {session}"))?;
        let insert = self.viewers(copy).first().map(|(_, insert)| *insert).ok_or(format!(
            "desktop unit {dtu} shows the session, but another server is in charge of it"
        ))?;
        self.tell_ended(copy, "An administrator took the session from this screen.");
        let message = ToKeeper::Detach(DetachDtu { dtu, insert });
        self.actions.push(Action::TellKeeper { session, epoch, message });
        Ok(format!("the session was taken from desktop unit {dtu}"))
    }
}
