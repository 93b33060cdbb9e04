//! A server that was silent speaks again: its DTUs go back to it.

use super::{GroupAsker, Level, ServerCore};
use crate::group::Ask;
use crate::group::question::Answers;
use afterglow_wire::group::TokenSession;
use afterglow_wire::ids::{ServerName, Token};
use afterglow_wire::ticket::Plan;

impl ServerCore {
    /// Asks a server that was heard for the sessions that we care for in its
    /// place.
    pub(super) fn owner_heard(&mut self, owner: &ServerName) {
        for (token, session) in self.care.tokens_of(owner, self.now.steady_ms) {
            let asker = GroupAsker::Care(owner.clone(), token.clone());
            self.ask_group(&Ask::Server(owner.clone()), &token, Some(session), asker);
        }
    }

    /// Sends the DTUs back whose session it has.
    pub(super) fn owner_answered(&mut self, owner: &ServerName, token: &Token, answers: &Answers) {
        let Some(found) = answers.spoke.get(owner).copied().flatten() else { return };
        for (link, cared) in self.care.answered(owner, token, found, self.now.steady_ms) {
            self.log(Level::Info, || format!("{owner} is back: link {link} returns to it"));
            let about = TokenSession { connection: cared.connection, ..found };
            self.redirect(link, cared.insert, token, (owner.clone(), Plan::Existing, about));
        }
    }
}
