//! 1: a desktop unit shows at most one session, and of its copies only the
//! highest epoch that it has seen. 2: a server or session with a stale epoch
//! can neither draw to, read input from, nor redirect one that knows better.

use crate::dtu::token_of;
use crate::world::World;
use afterglow_client::view::Picture;
use afterglow_server::keeper::protocol::AttachmentState;
use afterglow_server::worker::core::Action;
use afterglow_wire::command::Command;
use afterglow_wire::control::Attach;
use afterglow_wire::ids::{Epoch, SessionId};
use afterglow_wire::input::InputEvent;

/// What a user typed, and what the screen showed then.
#[derive(Debug, Clone, Copy)]
pub(super) struct Typing {
    dtu: usize,
    at: Option<(SessionId, Epoch)>,
    /// The highest epoch that the desktop unit knew of that session.
    knew: Option<Epoch>,
}

impl World {
    /// A user types: gives the number of it.
    pub fn note_typing(&mut self, dtu: usize) -> u32 {
        let found = &self.dtus[dtu];
        let visible = found.window.picture.is_some_and(|picture| picture != Picture::Blank);
        let at = found.window.copy.filter(|_| visible);
        let knew = at.and_then(|(session, _)| found.seen.get(&session).copied());
        self.oracle.typing.push(Typing { dtu, at, knew });
        self.oracle.typing.len() as u32 - 1
    }

    /// A desktop unit turns to a copy.
    pub fn note_opens_display(&mut self, dtu: usize, session: SessionId, epoch: Epoch) {
        let seen = self.dtus[dtu].seen.entry(session).or_insert(epoch);
        let known = *seen;
        *seen = known.max(epoch);
        let token = self.store.session(session).map(|row| row.token.clone());
        let card = self.dtus[dtu].card.map(token_of);
        if token != card {
            self.violated(3, || format!("desk{dtu} holds {card:?} and turns to one of {token:?}"));
        }
        if epoch < known {
            self.violated(1, || {
                format!(
                    "desk{dtu} turns to epoch {epoch} of {session:?}, and has seen epoch {known}"
                )
            });
        }
    }

    /// A frame is at a window.
    pub fn judge_frame(&mut self, dtu: usize, commands: &[Command]) {
        let drawn = commands.iter().rev().find_map(|command| match command {
            Command::Fill { color: [a, b, c, _], .. } => {
                Some(u32::from_le_bytes([*a, *b, *c, 0]) as usize)
            }
            _ => None,
        });
        let Some(copy) = drawn.and_then(|copy| self.copies.get(copy)) else { return };
        let (session, epoch, token) = (copy.session, copy.epoch, copy.token.clone());
        let found = &self.dtus[dtu];
        let (shown, card) = (found.window.copy, found.card);
        let seen = found.seen.get(&session).copied();
        if shown != Some((session, epoch)) {
            self.violated(1, || {
                format!("desk{dtu} shows {shown:?}, and gets a frame of {session:?} epoch {epoch}")
            });
        }
        if seen.is_some_and(|seen| epoch < seen) {
            self.violated(1, || {
                format!("desk{dtu} gets a frame of epoch {epoch} of {session:?} after {seen:?}")
            });
        }
        if card.map(token_of).as_ref() != Some(&token) {
            self.violated(3, || {
                format!("desk{dtu} holds card {card:?}, and gets a frame of a session of {token:?}")
            });
        }
    }

    /// A worker is about to do something.
    pub fn judge_copy(&mut self, copy: usize, action: &Action) {
        match action {
            Action::Report(attachment) if attachment.state == AttachmentState::Shown => {
                let found = &mut self.copies[copy];
                let before = found.order.replace(*attachment);
                let removed = found.removed.get(&attachment.dtu).copied();
                let connection = found.ticket.take().map(|ticket| ticket.connection);
                // One desktop unit's own inserts are ordered by their numbers.
                let older = match before {
                    Some(before) if before.dtu == attachment.dtu => {
                        attachment.insert < before.insert
                    }
                    Some(before) => connection.is_some_and(|count| count < before.connection),
                    None => false,
                };
                if older {
                    self.violated(2, || {
                        format!(
                            "copy {copy} is attached by connection {connection:?} after {before:?}"
                        )
                    });
                }
                if removed.is_some_and(|removed| attachment.insert <= removed) {
                    self.violated(3, || {
                        format!(
                            "copy {copy} is attached by insert {} whose remove it got",
                            attachment.insert
                        )
                    });
                }
            }
            Action::Type { events, .. } => self.judge_typed(copy, events),
            _ => {}
        }
    }

    fn judge_typed(&mut self, copy: usize, events: &[InputEvent]) {
        for event in events {
            let InputEvent::Pointer { x_px, y_px } = *event else { continue };
            let number = u32::from(x_px) | (u32::from(y_px) << 16);
            let Some(typing) = self.oracle.typing.get(number as usize).copied() else { continue };
            let found = &mut self.copies[copy];
            let here = (found.session, found.epoch);
            let again = !found.typed.insert(number);
            if again {
                self.violated(2, || {
                    format!("copy {copy} puts input {number} in for the second time")
                });
            }
            if typing.at != Some(here) {
                self.violated(2, || {
                    format!(
                        "copy {copy}, {here:?}, gets input {number} of desk{}, which showed {:?}",
                        typing.dtu, typing.at
                    )
                });
            }
            if typing.knew.is_some_and(|knew| here.1 < knew) {
                self.violated(2, || {
                    format!("copy {copy}, {here:?}, gets input of one that knew {:?}", typing.knew)
                });
            }
        }
    }

    /// A server attaches a desktop unit: not to a copy that it could know to
    /// be older than the session.
    pub(super) fn judge_attach_epoch(&mut self, server: usize, link: u64, attach: &Attach) {
        let (session, epoch) = (attach.session, attach.epoch);
        let learnt = self.oracle.learnt.get(&(server, session)).copied();
        if learnt.is_some_and(|learnt| epoch < learnt) {
            self.violated(2, || {
                format!(
                    "s{server:02} attaches to epoch {epoch} of {session:?} and knows {learnt:?}"
                )
            });
        }
        let asked_us = self.streams.get(&link).and_then(|s| Some(s.facts.insert.as_ref()?.1));
        let Some(asked_us) = asked_us else { return };
        let stored = self.store.session(session).map(|row| row.epoch).unwrap_or(epoch);
        let since_us = self.store.owners.get(&(session, epoch.next())).map(|(_, at_us)| *at_us);
        let back_us = self.oracle.store_back_us.get(&server).copied().unwrap_or(0);
        let reached = !self.store_out.contains_key(&server)
            && back_us < asked_us
            && !self.plan.meets(crate::fault::Fault::LostAnswer);
        if stored > epoch && since_us.is_some_and(|since_us| since_us < asked_us) && reached {
            self.violated(2, || {
                format!(
                    "s{server:02} attaches to epoch {epoch} of {session:?}; the store had epoch \
                     {stored} before it was asked"
                )
            });
        }
    }

    /// A server tells the group of a copy: not of one that it knows to be
    /// older than the session.
    pub(super) fn judge_claim(&mut self, server: usize, session: SessionId, epoch: Epoch) {
        let learnt = self.oracle.learnt.get(&(server, session)).copied();
        if learnt.is_some_and(|learnt| epoch < learnt) {
            self.violated(2, || {
                format!(
                    "s{server:02} says that it has epoch {epoch} of {session:?}, and knows {learnt:?}"
                )
            });
        }
    }
}
