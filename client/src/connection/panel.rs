//! The session panel: what the token's user sees of its sessions, and wants
//! of them; and what the server has to tell or to ask meanwhile.
//!
//! All of it belongs to the insert that is in, and ends with it. An open panel
//! is seen: where there is no place for it, it closes, so that none ever comes
//! up by itself. What cannot be done without a server is refused in words, and
//! the picture stays.

use super::control::Up;
use super::gap::GapView;
use super::insert::Phase;
use super::refusal::Stop;
use super::{Connection, Logged};
use crate::view::{Ask, Panel, SessionPanel};
use afterglow_wire::ids::{Epoch, SessionId};
use afterglow_wire::sessions::{
    Consent, ListSessions, Manage, Notice, Question, SessionOrder, SessionState, Sessions, Want,
};

/// How often an open panel asks for the list.
const LIST_EVERY_MS: u64 = 1_000;
/// How soon after an order, for what came of it is to be seen soon.
const LIST_AFTER_ORDER_MS: u64 = LIST_EVERY_MS / 4;
/// How long a notice is up.
const NOTICE_SHOWN_MS: u64 = 8_000;
/// A server that is heard for so long after an order has the order.
const ORDER_HEARD_MS: u64 = 1_000;

/// What is open, and what is known for it.
#[derive(Debug, Default)]
pub(super) struct PanelState {
    open: bool,
    /// What the server said last.
    listed: Option<Sessions>,
    /// When it is asked again.
    list_ms: u64,
    question: Option<Question>,
    /// What the server told, and until when it is up.
    notice: Option<(String, u64)>,
    /// When the last order went to the server, and what is not done if it
    /// never arrived.
    ordered: Option<(u64, String)>,
    /// The number of listed sessions and of earlier copies, as the log has it.
    logged: Option<(usize, usize)>,
}

impl Connection {
    /// Opens the panel, or closes it.
    pub(super) fn toggle_panel(&mut self) {
        self.panel.open = !self.panel.open && self.panel_has_place();
        self.panel.list_ms = self.now_ms;
        self.panel.logged = None;
        self.ask_for_list();
    }

    /// True if the panel is open: nothing that is typed is meant for a session.
    pub(super) fn panel_is_open(&self) -> bool {
        self.panel.open
    }

    /// True if an open panel is seen. Who signed off has no sessions here, and
    /// while a server is looked for, that is what there is to be said.
    fn panel_has_place(&self) -> bool {
        match self.present.as_ref().map(|present| &present.phase) {
            None | Some(Phase::Stopped(Stop::SignedOff)) => false,
            Some(Phase::Stopped(_)) => true,
            Some(_) => self.shown.is_some() || self.control.up.is_some(),
        }
    }

    /// A panel that is not seen any more does not come back by itself.
    pub(super) fn close_unseen_panel(&mut self) {
        self.panel.open &= self.panel_has_place();
    }

    /// The token went, or stands for another insert from now on.
    pub(super) fn close_panel(&mut self) {
        self.panel = PanelState::default();
    }

    /// Asks for the list, if the panel is open and it is time.
    pub(super) fn ask_for_list(&mut self) {
        let Some(insert) = self.present.as_ref().map(|present| present.number) else { return };
        if self.panel.open && self.panel.list_ms <= self.now_ms {
            // Without a server it stays due, for the next one.
            if self.send_control(ListSessions { insert }) {
                self.panel.list_ms = self.now_ms + LIST_EVERY_MS;
            }
        }
    }

    /// True if what a server says is about the insert that is in.
    fn is_about_present(&self, insert: u64) -> bool {
        self.present.as_ref().is_some_and(|present| present.number == insert)
    }

    pub(super) fn sessions_listed(&mut self, sessions: Sessions) {
        if !self.is_about_present(sessions.insert) || !self.panel.open {
            return;
        }
        // The list is asked for anew after an order, and then it is done.
        let listed_after = self.now_ms.saturating_sub(LIST_AFTER_ORDER_MS);
        self.panel.ordered.take_if(|(sent_ms, _)| *sent_ms <= listed_after);
        let all = sessions.sessions.len();
        let is_older = |entry: &&_| is_older(entry);
        let older = sessions.sessions.iter().filter(is_older).count();
        self.panel.listed = Some(sessions);
        if self.panel.logged.replace((all, older)) != Some((all, older)) {
            self.log(Logged::Sessions { sessions: all - older, older });
        }
    }

    pub(super) fn noticed(&mut self, notice: Notice) {
        if self.is_about_present(notice.insert) {
            self.give_notice(notice.text);
        }
    }

    pub(super) fn give_notice(&mut self, text: String) {
        self.log(Logged::Notice { text: text.clone() });
        self.panel.notice = Some((text, self.now_ms + NOTICE_SHOWN_MS));
    }

    /// There is no server that would do it; `undone` says what stays as it is.
    fn refuse(&mut self, undone: &str) {
        self.give_notice(format!("No server answers: {undone}. Try again once one does."));
    }

    /// The control link is gone, and with it what depended on it: a question
    /// has nobody left who would hear the answer, and an order that was on its
    /// way may not have arrived.
    pub(super) fn panel_lost_control(&mut self, up: &Up) {
        self.forget_question();
        let Some((sent_ms, undone)) = self.panel.ordered.take() else { return };
        if up.suspicion.heard_ms() < sent_ms + ORDER_HEARD_MS {
            self.give_notice(format!(
                "{} was lost before it confirmed your order: perhaps {undone}. \
                 Look at the list of your sessions, and try again.",
                up.server
            ));
        }
    }

    /// Nobody waits for the answer any more.
    pub(super) fn forget_question(&mut self) {
        self.panel.question = None;
    }

    pub(super) fn questioned(&mut self, question: Question) {
        if self.is_about_present(question.insert) {
            self.log(Logged::Question { text: question.text.clone() });
            self.panel.question = Some(question);
        }
    }

    /// The user did something in the panel, or answered a question.
    pub(super) fn panel_asked(&mut self, ask: Ask) {
        match ask {
            Ask::TogglePanel => self.toggle_panel(),
            Ask::Answer { question, yes } => self.answer_question(question, yes),
            // Pressed twice, or while the panel closed: it is not meant.
            _ if !self.panel.open => {}
            Ask::Switch(session) => self.switch_to(Want::Session(session)),
            Ask::NewSession => self.switch_to(Want::New),
            Ask::Manage { session, epoch, order } => self.manage(session, epoch, order),
            Ask::SignOff => self.sign_off(),
            // The session answers with what it is from then on.
            Ask::SetQuality(quality) if self.quality().is_some() => self.send_live(quality),
            _ => {}
        }
    }

    fn manage(&mut self, session: SessionId, epoch: Epoch, order: SessionOrder) {
        let Some(insert) = self.present.as_ref().map(|present| present.number) else { return };
        let undone = undone(&order);
        if !self.send_control(Manage { insert, session, epoch, order }) {
            return self.refuse(&undone);
        }
        self.panel.ordered = Some((self.now_ms, undone));
        self.panel.list_ms = self.now_ms + LIST_AFTER_ORDER_MS;
    }

    /// Another of the token's sessions: an insert of its own, which a server
    /// that knows the token lets in without another proof.
    fn switch_to(&mut self, want: Want) {
        let Some(present) = &self.present else { return };
        if matches!(want, Want::Session(id) if self.shown_session() == Some(id)) {
            self.panel.open = false;
            return;
        }
        // What is on the screen is worth more than a session that nobody can
        // bring.
        if self.up().is_none() {
            return self.refuse(match want {
                Want::New => "no new session was started",
                Want::Last | Want::Session(_) => "your session was not switched",
            });
        }
        let (token, before, group) = (present.token.clone(), present.number, present.group);
        self.log(Logged::Switched { new: want == Want::New });
        self.send_display_remove(before);
        self.drop_display("switched", "");
        self.forget_picture();
        self.removed_through = before;
        self.present_anew(token, want);
        if let Some(present) = &mut self.present {
            // It was told, so its end has to be.
            present.group = group;
        }
    }

    /// The session runs on; here it is gone until the user wants it back.
    fn sign_off(&mut self) {
        let Some(token) = self.present.as_ref().map(|present| present.token.clone()) else {
            return;
        };
        self.take_token_out();
        self.present_anew(token, Want::Last);
        self.stop(Stop::SignedOff, "signed off");
    }

    fn answer_question(&mut self, question: u64, yes: bool) {
        let asked = |known: &&Question| known.question == question;
        let Some(known) = self.panel.question.as_ref().filter(asked) else { return };
        let insert = known.insert;
        // The question stays until somebody hears the answer.
        if !self.send_control(Consent { insert, question, yes }) {
            return self.refuse("your answer was not sent");
        }
        self.forget_question();
        self.panel.ordered = Some((self.now_ms, "your answer was not heard".into()));
    }

    /// The panel that is up over whatever else there is to be seen.
    pub(super) fn panel_view(&self) -> Option<Panel> {
        if let Some(question) = &self.panel.question {
            let (question, text) = (question.question, question.text.clone());
            return Some(Panel::Question { question, text });
        }
        if !self.panel.open {
            return None;
        }
        let listed = self.panel.listed.as_ref();
        Some(Panel::Sessions(Box::new(SessionPanel {
            listed: listed.is_some(),
            sessions: listed.map(|listed| listed.sessions.to_vec()).unwrap_or_default(),
            services: listed.map(|listed| listed.services.to_vec()).unwrap_or_default(),
            quality: self.quality(),
            trouble: self.panel_trouble(),
        })))
    }

    /// What the user of an open panel has to know before anything else.
    fn panel_trouble(&self) -> String {
        if self.up().is_none() {
            return "No server answers: nothing can be changed now.".to_owned();
        }
        if matches!(self.gap(), GapView::Long { .. }) {
            return "The session that is shown here does not answer. It comes back by itself if \
                    it can; you need not wait for it."
                .to_owned();
        }
        self.panel.listed.as_ref().map(|listed| listed.trouble.clone()).unwrap_or_default()
    }

    /// What the server told a moment ago.
    pub(super) fn notice_view(&self) -> Option<&str> {
        let (text, until_ms) = self.panel.notice.as_ref()?;
        (*until_ms > self.now_ms).then_some(text.as_str())
    }

    pub(super) fn panel_deadline_ms(&self) -> Option<u64> {
        let list_ms = (self.panel.open && self.up().is_some()).then_some(self.panel.list_ms);
        let notice_ms = self.panel.notice.as_ref().map(|(_, until_ms)| *until_ms);
        let notice_ms = notice_ms.filter(|until_ms| *until_ms > self.now_ms);
        list_ms.into_iter().chain(notice_ms).min()
    }
}

fn is_older(entry: &afterglow_wire::sessions::SessionEntry) -> bool {
    entry.state == SessionState::OlderCopy
}

/// What stays as it is if an order is not carried out.
fn undone(order: &SessionOrder) -> String {
    match order {
        SessionOrder::Rename(_) => "the session was not renamed".to_owned(),
        SessionOrder::End => "the session was not ended".to_owned(),
        SessionOrder::Continue => "the earlier copy was not continued".to_owned(),
        SessionOrder::Service(order) => format!("the service {} is as it was", order.name),
    }
}
