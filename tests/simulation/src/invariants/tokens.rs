//! 3: a token is authenticated only through the authentication manager;
//! removing it detaches, always, in whatever order events race.

use crate::stream::Opener;
use crate::world::World;
use afterglow_client::view::Picture;
use afterglow_wire::control::{Attach, ChallengeAnswer, Insert};
use afterglow_wire::ids::DtuId;

impl World {
    /// Who opened a link.
    pub(super) fn id_behind(&self, link: u64) -> Option<DtuId> {
        Some(match self.streams.get(&link)?.opener {
            Opener::Dtu { dtu, .. } => self.dtus[dtu].id,
            Opener::Rogue(rogue) => self.rogues[rogue].id,
        })
    }

    /// An insert is at a server.
    pub(super) fn note_insert(&mut self, link: u64, insert: &Insert) {
        if let Some(stream) = self.streams.get_mut(&link) {
            stream.facts.insert = Some((insert.clone(), self.now_us));
        }
    }

    /// An answer to a challenge is at the server.
    pub(super) fn note_answer(&mut self, link: u64, answer: &ChallengeAnswer) {
        let Some(id) = self.id_behind(link) else { return };
        let Some(stream) = self.streams.get(&link) else { return };
        let asked = stream.facts.challenges.contains(&(answer.insert, answer.nonce));
        let of_insert = stream.facts.insert.as_ref().is_some_and(|(insert, _)| {
            insert.insert == answer.insert && insert.token == answer.token
        });
        if asked && of_insert {
            self.oracle.proved.insert((id, answer.insert, answer.token.clone()));
        }
    }

    /// A server attaches a desktop unit: its token was proved, and is in.
    pub(super) fn judge_attach_proved(&mut self, server: usize, link: u64, attach: &Attach) {
        let Some(stream) = self.streams.get(&link) else { return };
        let removed = stream.facts.removed;
        let token = match &stream.facts.insert {
            Some((insert, _)) if insert.insert == attach.insert => insert.token.clone(),
            _ => {
                return self.violated(3, || {
                    format!("s{server:02} attaches insert {} unasked", attach.insert)
                });
            }
        };
        let Some(id) = self.id_behind(link) else { return };
        if !self.oracle.proved.contains(&(id, attach.insert, token.clone())) {
            self.violated(3, || {
                format!(
                    "s{server:02} attaches {token:?} of {id:?}, which was never proved to be in"
                )
            });
        }
        if attach.insert <= removed {
            self.violated(3, || {
                format!("s{server:02} attaches insert {} after its remove", attach.insert)
            });
        }
        if self.plan.busy_users {
            let wall_ms = self.wall_ms(self.servers[server].offset_ms);
            let ticket = attach.ticket.open(&self.verifier, id, wall_ms, |_| 0);
            let right = ticket.as_ref().is_ok_and(|ticket| {
                ticket.token == token
                    && (ticket.session, ticket.epoch) == (attach.session, attach.epoch)
            });
            if !right {
                self.violated(3, || format!("s{server:02} attaches {token:?} by {ticket:?}"));
            }
        }
    }

    /// A worker was told that a token went.
    pub fn note_removed(&mut self, copy: usize, dtu: DtuId, insert: u64) {
        let removed = self.copies[copy].removed.entry(dtu).or_insert(insert);
        *removed = (*removed).max(insert);
    }

    /// A user has just taken the card out.
    pub fn judge_removed(&mut self, dtu: usize) {
        let window = &self.dtus[dtu].window;
        let blank = window.picture.is_none_or(|picture| picture == Picture::Blank);
        if !blank || window.copy.is_some() {
            self.violated(3, || format!("desk{dtu} still shows a session after the card went"));
        }
    }
}
