//! Who may attach, and what becomes of whoever was attached before.

use super::{Action, Core, Current, LinkId, Now};
use crate::display::Pacing;
use crate::keeper::protocol::{Attachment, AttachmentState};
use afterglow_wire::display::{ALIVE_EVERY_MS, AttachDisplay, Attached, DetachReason, InputDone};
use afterglow_wire::guard::Guard;
use afterglow_wire::ids::DtuId;
use afterglow_wire::ticket::{Permit, Ticket};

impl Core {
    pub(super) fn attach(&mut self, link: LinkId, dtu: DtuId, attach: AttachDisplay, now: Now) {
        if let Some(text) = self.ended.clone() {
            self.close(link, DetachReason::Ended, &text, "the session is over".into());
            return;
        }
        let ticket = match self.check_ticket(dtu, &attach, now) {
            Ok(ticket) => ticket,
            Err((reason, why)) => {
                let log = format!("ticket refused: {why}");
                self.close(link, reason, &why, log);
                return;
            }
        };
        let resumes = self.resumes(dtu, &ticket);
        self.displace(dtu, &attach.dtu_name);
        let number = self.next_number();
        let connection = self.last.map_or(0, |last| last.connection).max(ticket.connection);
        let attachment = Attachment {
            number,
            dtu,
            connection,
            insert: ticket.insert,
            state: AttachmentState::Shown,
        };
        self.release_at_ms = None;
        if resumes.is_none() {
            self.actions.push_back(Action::ReleaseAll);
            self.position = InputDone { attachment: number, seq: 0 };
            self.actions.push_back(Action::BeginInput(self.position));
        }
        let input_from = self.position.attachment;
        let size = self.fitting(attach.screen);
        self.last = Some(attachment);
        self.current = Some(Current {
            link,
            attachment,
            input_from,
            pacing: Pacing::default(),
            told: None,
            limit_told: false,
            alive_seq: 0,
            alive_at_ms: now.steady_ms + ALIVE_EVERY_MS,
        });
        let (session, epoch) = (self.about.session, self.about.epoch);
        let attached = Attached { session, epoch, attachment: number, size, resumes };
        self.actions.extend([
            Action::Admit(link),
            Action::Report(attachment),
            Action::Send(link, attached.into()),
            Action::Send(link, self.about.quality.into()),
            Action::Layout(attach.keymap),
            Action::Show { attachment: number, size },
        ]);
        self.tell_limit(attach.screen);
    }

    pub(super) fn check_ticket(
        &mut self,
        dtu: DtuId,
        attach: &AttachDisplay,
        now: Now,
    ) -> Result<Ticket, (DetachReason, String)> {
        let clocks = &self.clocks;
        let ticket = attach
            .ticket
            .open(&self.about.verifier, dtu, now.wall_ms, |issuer| clocks.ahead_ms(issuer))
            .map_err(|error| (DetachReason::TicketRefused, error.to_string()))?;
        let about = &self.about;
        let removed = self.removed.iter().find(|(removed, _)| *removed == dtu);
        let ordered = about.guards.make(Guard::SessionOrder);
        let ends = about.guards.make(Guard::SessionRemoveEndsInsert);
        let why = if self.frozen {
            "this copy of the session was taken over elsewhere"
        } else if ticket.permit != Permit::Attach {
            "the ticket is not for attaching to a session"
        } else if ticket.session != about.session || ticket.token != about.token {
            "the ticket is for another session"
        } else if ordered && ticket.epoch != about.epoch {
            "the ticket is for another copy of this session"
        } else if let Some(last) = self.last
            && ordered
            && is_older(&ticket, &last)
        {
            // Another DTU that came later has it. Asking again leads nowhere:
            // a resumed insert keeps its count of connections.
            if last.dtu != dtu {
                return Err((DetachReason::Elsewhere, "another screen".to_owned()));
            }
            "the session was connected elsewhere since the ticket was made"
        } else if ends && removed.is_some_and(|(_, insert)| ticket.insert <= *insert) {
            "the token was removed since the ticket was made"
        } else if !self.used.take(ticket.nonce, now.wall_ms) {
            "the ticket was used before"
        } else {
            return Ok(ticket);
        };
        Err((DetachReason::TicketRefused, why.to_owned()))
    }

    /// Where this DTU's input goes on, if its last attachment was the last of
    /// all and only its link or a worker was lost.
    pub(super) fn resumes(&self, dtu: DtuId, ticket: &Ticket) -> Option<InputDone> {
        let last = self.last?;
        let same = last.dtu == dtu && last.insert == ticket.insert;
        // If nothing of that attachment was put in, the position is still an
        // earlier one's.
        let seq = if self.position.attachment == last.number { self.position.seq } else { 0 };
        let done = InputDone { attachment: last.number, seq };
        (same && last.state != AttachmentState::Over).then_some(done)
    }

    /// Numbers grow over workers, also if the keeper did not hear of the last.
    pub(super) fn next_number(&self) -> u64 {
        let last = self.last.map_or(0, |last| last.number);
        last.max(self.position.attachment).saturating_add(1)
    }

    pub(super) fn displace(&mut self, dtu: DtuId, name: &str) {
        let Some(current) = &self.current else { return };
        let link = current.link;
        let same = current.attachment.dtu == dtu;
        self.current = None;
        if same {
            // It opened a new link, so it has given up this one.
            self.peers.remove(&link);
            let why = "the same DTU attached again".to_owned();
            self.actions.push_back(Action::Close { link, farewell: None, why });
        } else {
            let name: String = name.chars().filter(|c| !c.is_control()).collect();
            self.close(link, DetachReason::Elsewhere, &name, "another DTU attached".into());
        }
    }
}

/// True if the ticket is for an insert before that of the last attachment. A
/// DTU numbers its own inserts; those of two DTUs are ordered by the session's
/// count of connections, which may lag behind while the store is away.
fn is_older(ticket: &Ticket, last: &Attachment) -> bool {
    match ticket.dtu == last.dtu {
        true => ticket.insert < last.insert,
        false => ticket.connection < last.connection,
    }
}
