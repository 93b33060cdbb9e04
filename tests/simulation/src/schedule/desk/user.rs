//! What the users of desktop units do, as if at random.

use super::{DeskAct, Due, World, token_of};
use crate::schedule::faults::Fault;
use afterglow_wire::control::Cause;
use afterglow_wire::ids::{Epoch, SessionId};
use afterglow_wire::service::{ServiceAct, ServiceOrder};
use afterglow_wire::sessions::{Manage, SessionOrder, SessionState, Want};

impl World {
    /// A user does something.
    pub(super) fn think(&mut self, desk: usize) {
        if self.calm {
            return;
        }
        let card = match self.plan.has(Fault::SharedToken) && self.rng.chance(500_000) {
            true => {
                self.count(Fault::SharedToken.word());
                self.rng.below(self.plan.desks as u64) as usize
            }
            false => desk,
        };
        match self.rng.below(12) {
            0 => self.take_out(desk),
            1 | 2 => self.put_in(desk, card),
            3 if self.desks[desk].card.is_none() => self.put_in(desk, card),
            4 | 5 => self.pick_another(desk),
            6 if self.rng.chance(500_000) => {
                if let Some(card) = self.desks[desk].card.filter(|_| self.is_at_rest(desk)) {
                    self.judge.more.insert(token_of(card));
                    self.count("one more");
                    self.want(desk, Cause::Switch, Want::New);
                }
            }
            7..10 => self.desk_acts(desk, 0, DeskAct::List),
            _ => self.manage_any(desk),
        }
        let ms = self.rng.range(300, 3_000);
        self.after(ms, Due::Desk(desk, 0, DeskAct::Think));
    }

    pub(super) fn is_at_rest(&self, desk: usize) -> bool {
        self.desks[desk].asked.is_none() && self.desks[desk].link.is_some()
    }

    pub(super) fn pick_another(&mut self, desk: usize) {
        let listed = self.desks[desk]
            .list
            .iter()
            .filter(|entry| !matches!(entry.state, SessionState::OlderCopy | SessionState::Shown));
        let mut sessions: Vec<SessionId> = listed.map(|entry| entry.session).collect();
        if sessions.is_empty() || self.rng.chance(100_000) {
            // Somebody else's, which he has no right to.
            sessions = self.store.model.sessions.keys().copied().collect();
        }
        if let Some(session) = self.rng.pick(&sessions).filter(|_| self.is_at_rest(desk)) {
            self.want(desk, Cause::Switch, Want::Session(session));
        }
    }

    pub(super) fn manage_any(&mut self, desk: usize) {
        let list = &self.desks[desk].list;
        let number = self.rng.below(list.len() as u64) as usize;
        let Some((session, epoch, state)) =
            list.get(number).map(|entry| (entry.session, entry.epoch, entry.state))
        else {
            return;
        };
        let order = match self.rng.below(6) {
            0 => SessionOrder::Rename("work".into()),
            1 if self.rng.chance(300_000) => SessionOrder::End,
            2 | 3 if state == SessionState::OlderCopy => SessionOrder::Continue,
            4 => {
                let name = "music".parse().unwrap_or_else(|_| unreachable!("a name"));
                SessionOrder::Service(ServiceOrder { name, act: ServiceAct::Start })
            }
            _ => return,
        };
        self.manage(desk, (session, epoch), order);
    }

    pub(super) fn manage(
        &mut self,
        desk: usize,
        (session, epoch): (SessionId, Epoch),
        order: SessionOrder,
    ) {
        let insert = self.desks[desk].insert;
        let Some(card) = self.desks[desk].card else { return };
        match order {
            SessionOrder::End => {
                self.judge.may_end.insert((session, epoch));
            }
            SessionOrder::Continue => {
                self.judge.may_continue.insert((session, epoch));
                self.judge.more.insert(token_of(card));
            }
            SessionOrder::Rename(_) | SessionOrder::Service(_) => {}
        }
        self.desk_says(desk, Manage { insert, session, epoch, order });
    }

    /// A user has looked at his earlier copies: one goes on, one ends, one
    /// stays as it is.
    pub(super) fn decide_older(&mut self, desk: usize) {
        let older = self.desks[desk].list.iter();
        let older = older.filter(|entry| entry.state == SessionState::OlderCopy);
        for copy in older.map(|entry| (entry.session, entry.epoch)).collect::<Vec<_>>() {
            match self.rng.below(3) {
                0 => self.manage(desk, copy, SessionOrder::Continue),
                1 => self.manage(desk, copy, SessionOrder::End),
                _ => {}
            }
        }
    }
}
