//! The session panel: what the token's user sees of its sessions, and wants
//! of them; and what the server has to tell or to ask meanwhile.
//!
//! All of it belongs to the insert that is in, and ends with it.

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
/// How long a notice is up.
const NOTICE_SHOWN_MS: u64 = 8_000;

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
    /// The number of listed sessions and of earlier copies, as the log has it.
    logged: Option<(usize, usize)>,
}

impl Connection {
    /// Opens the panel, or closes it.
    pub(super) fn toggle_panel(&mut self) {
        let open = !self.panel.open && self.present.is_some() && self.up().is_some();
        self.panel.open = open;
        self.panel.list_ms = self.now_ms;
        self.panel.logged = None;
        self.ask_for_list();
    }

    /// The token went, or stands for another insert from now on.
    pub(super) fn close_panel(&mut self) {
        self.panel = PanelState::default();
    }

    /// Asks for the list, if the panel is open and it is time.
    pub(super) fn ask_for_list(&mut self) {
        let Some(insert) = self.present.as_ref().map(|present| present.number) else { return };
        if self.panel.open && self.panel.list_ms <= self.now_ms {
            self.panel.list_ms = self.now_ms + LIST_EVERY_MS;
            self.send_control(ListSessions { insert });
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
            self.log(Logged::Notice { text: notice.text.clone() });
            self.panel.notice = Some((notice.text, self.now_ms + NOTICE_SHOWN_MS));
        }
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
            Ask::Switch(session) => self.switch_to(Want::Session(session)),
            Ask::NewSession => self.switch_to(Want::New),
            Ask::Manage { session, epoch, order } => self.manage(session, epoch, order),
            Ask::SignOff => self.sign_off(),
            Ask::Answer { question, yes } => self.answer_question(question, yes),
            _ => {}
        }
    }

    fn manage(&mut self, session: SessionId, epoch: Epoch, order: SessionOrder) {
        let Some(insert) = self.present.as_ref().map(|present| present.number) else { return };
        self.send_control(Manage { insert, session, epoch, order });
        // What came of it is to be seen soon.
        self.panel.list_ms = self.now_ms + LIST_EVERY_MS / 4;
    }

    /// Another of the token's sessions: an insert of its own, which a server
    /// that knows the token lets in without another proof.
    fn switch_to(&mut self, want: Want) {
        let Some(present) = &self.present else { return };
        if matches!(want, Want::Session(id) if self.shown_session() == Some(id)) {
            return self.close_panel();
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
        let asked = |known: &mut Question| known.question == question;
        if let Some(Question { insert, question, .. }) = self.panel.question.take_if(asked) {
            self.send_control(Consent { insert, question, yes });
        }
    }

    /// The panel that is up over a picture that is well.
    pub(super) fn panel_view(&self) -> Option<Panel> {
        if let Some(question) = &self.panel.question {
            let (question, text) = (question.question, question.text.clone());
            return Some(Panel::Question { question, text });
        }
        if !self.panel.open {
            return None;
        }
        let listed = self.panel.listed.as_ref();
        let trouble = match (self.up(), listed) {
            (None, _) => "No server answers: nothing can be changed now.".to_owned(),
            (Some(_), listed) => listed.map(|listed| listed.trouble.clone()).unwrap_or_default(),
        };
        Some(Panel::Sessions(Box::new(SessionPanel {
            listed: listed.is_some(),
            sessions: listed.map(|listed| listed.sessions.to_vec()).unwrap_or_default(),
            services: listed.map(|listed| listed.services.to_vec()).unwrap_or_default(),
            trouble,
        })))
    }

    /// What the server told a moment ago.
    pub(super) fn notice_view(&self) -> Option<&str> {
        let (text, until_ms) = self.panel.notice.as_ref()?;
        (*until_ms > self.now_ms).then_some(text.as_str())
    }

    /// True if the insert came to an end that leaves no panel to open.
    pub(super) fn is_signed_off(&self) -> bool {
        let phase = self.present.as_ref().map(|present| &present.phase);
        matches!(phase, Some(Phase::Stopped(Stop::SignedOff)))
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
