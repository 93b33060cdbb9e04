//! A session that goes to another server on purpose: its programs end here and
//! are started again there. So its user has to agree, unless an administrator
//! insists.

use super::ask::Asker;
use super::{Action, CopyId, Due, Level, ServerCore, StoreAnswer, StoreOperation};
use crate::auth::LinkId;
use crate::store::Wish;
use afterglow_wire::group::TokenSession;
use afterglow_wire::ids::ServerName;
use afterglow_wire::local::{End, ToKeeper};
use afterglow_wire::sessions::{Consent, Question};
use afterglow_wire::ticket::Plan;

/// How long a user has for an answer, in milliseconds.
const CONSENT_MS: u64 = 60_000;
/// The most questions that wait for their users.
const QUESTIONS_MAX: usize = 64;

/// A move that waits for its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    /// Who was asked, and in which insert.
    link: LinkId,
    insert: u64,
    copy: CopyId,
    to: ServerName,
    /// Who waits for the outcome.
    answer: u64,
}

impl ServerCore {
    /// Moves a session of this host, after its user agreed.
    pub(super) fn ask_to_move(&mut self, copy: CopyId, to: ServerName, answer: u64) {
        let Some((link, insert)) = self.viewers(copy).first().copied() else {
            let text = "nobody looks at the session who could agree that its programs end; \
                        --force moves it all the same";
            return self.answer(answer, Err(text.into()));
        };
        if let Some(problem) = self.cannot_go_to(&to) {
            return self.answer(answer, Err(problem));
        }
        if self.consents.len() >= QUESTIONS_MAX {
            return self.answer(answer, Err("too many users are being asked; try again".into()));
        }
        let question = self.next_question;
        self.next_question += 1;
        let text = format!(
            "The administrator wants to move this session to {to}. Its programs end, and are \
             started again there; what is not saved is lost. Move it now?"
        );
        self.consents.insert(question, Asked { link, insert, copy, to, answer });
        self.at(self.now.steady_ms + CONSENT_MS, Due::Consent(question));
        self.tell(link, Question { insert, question, text });
    }

    /// Why no session of this host can go to a server.
    fn cannot_go_to(&self, to: &ServerName) -> Option<String> {
        if to == self.me() {
            return Some(format!("the session is on {to} already"));
        }
        self.group.report(self.now.steady_ms).cannot_take(to)
    }

    /// The user answered.
    pub(super) fn consented(&mut self, link: LinkId, consent: Consent) {
        let Consent { insert, question, yes } = consent;
        let theirs = |asked: &Asked| (asked.link, asked.insert) == (link, insert);
        let is_in = self.speaks_for(link, insert).is_some();
        if !is_in || !self.consents.get(&question).is_some_and(theirs) {
            return;
        }
        let Some(asked) = self.consents.remove(&question) else { return };
        match yes {
            true => self.move_copy(asked.copy, asked.to, Some(asked.answer)),
            false => self.answer(asked.answer, Err("the user does not agree".into())),
        }
    }

    /// The user did not answer in time.
    pub(super) fn consent_is_due(&mut self, question: u64) {
        if let Some(asked) = self.consents.remove(&question) {
            self.answer(asked.answer, Err("the user gave no answer".into()));
        }
    }

    /// Gives a session away: first in the store.
    pub(super) fn move_copy(&mut self, copy: CopyId, to: ServerName, answer: Option<u64>) {
        let (session, epoch) = copy;
        let known = self.table.get(session, epoch).filter(|known| !known.stale);
        let problem = match known.map(|known| known.endpoint) {
            None => Some("the session does not run here any more".to_owned()),
            Some(None) => Some("the session still starts; try again".to_owned()),
            Some(Some(_)) => self.cannot_go_to(&to),
        };
        if let Some(problem) = problem {
            self.log(Level::Warn, || format!("session {session:?} is not moved: {problem}"));
            self.drop_wish(copy);
            return self.answer_maybe(answer, Err(problem));
        }
        let owner = self.me().clone();
        let operation = StoreOperation::HandOver { session, epoch, owner, to: to.clone() };
        self.ask_store(Asker::HandOver(copy, to, answer), operation);
    }

    /// The store has the new owner: the DTU goes there, and the copy here
    /// ends.
    pub(super) fn handed_over(
        &mut self,
        copy: CopyId,
        to: ServerName,
        answer: Option<u64>,
        said: &StoreAnswer,
    ) {
        let (session, epoch) = copy;
        if *said != StoreAnswer::Done(true) {
            self.drop_wish(copy);
            let text = "the store did not take the session's new owner; try again";
            return self.answer_maybe(answer, Err(text.into()));
        }
        self.log(Level::Info, || format!("session {session:?} epoch {epoch} moves to {to}"));
        let token = self.table.get(session, epoch).map(|known| known.token.clone());
        self.table.known_elsewhere(session, epoch.next());
        for (link, insert) in self.viewers(copy) {
            // Who is about to turn to another session is not led back.
            let led = self.is_led(link);
            let Some(known) = self.links.get_mut(&link) else { continue };
            known.current = None;
            let about = TokenSession { session, epoch: epoch.next(), connection: 0 };
            if let Some(token) = token.as_ref().filter(|_| !led) {
                self.redirect(link, insert, token, (to.clone(), Plan::Takeover, about));
            }
        }
        let message = ToKeeper::End(End { text: format!("The session goes on on {to}.") });
        self.actions.push(Action::TellKeeper { session, epoch, message });
        self.answer_maybe(answer, Ok(format!("the session goes on on {to}")));
    }

    /// Does what the store says is wanted of a session here.
    pub(super) fn grant(&mut self, copy: CopyId, wish: &Wish) {
        match wish {
            Wish::End => self.end_copy(copy, "You ended this session."),
            Wish::Move(to) => self.move_copy(copy, to.clone(), None),
            Wish::Continue => self.drop_wish(copy),
        }
    }

    fn drop_wish(&mut self, (session, epoch): CopyId) {
        let operation = StoreOperation::Wish { session, epoch, wish: None };
        self.ask_store(Asker::Over, operation);
    }

    fn answer_maybe(&mut self, answer: Option<u64>, result: Result<String, String>) {
        if let Some(answer) = answer {
            self.answer(answer, result);
        }
    }

    /// Tells an administrator what came of an order.
    pub(super) fn answer(&mut self, answer: u64, result: Result<String, String>) {
        self.actions.push(Action::Answer { answer, result });
    }
}
