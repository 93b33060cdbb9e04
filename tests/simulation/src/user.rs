//! What people do: put cards in and out, type, switch things off and on.

use crate::dtu::{THINK_US, token_of};
use crate::fault::Fault;
use crate::plan::{MS_US, SECOND_US};
use crate::queue::{Due, UserAct};
use crate::world::World;
use afterglow_client::connection::Event;
use afterglow_client::token::Event as TokenEvent;
use afterglow_client::view::{Ask, FromWindow, Panel, Picture};
use afterglow_wire::input::InputEvent;

impl World {
    /// A user acts.
    pub fn user_acts(&mut self, dtu: usize, act: UserAct) {
        match act {
            UserAct::PowerOn => {
                let first = self.dtus[dtu].life == 0;
                self.power_on(dtu);
                if first {
                    let card = self.card_for(dtu);
                    let wait_us = match self.plan.busy_users {
                        true => self.rng.below(3 * SECOND_US),
                        false => self.rng.below(20 * MS_US),
                    };
                    self.after(wait_us, Due::User(dtu, UserAct::Insert(card)));
                    if self.plan.busy_users {
                        self.after(wait_us + SECOND_US, Due::User(dtu, UserAct::Think));
                    }
                }
            }
            // What was meant for the time of faults is not done after it.
            UserAct::Insert(card) if self.calm && card != dtu => {}
            UserAct::Remove if self.calm => {}
            UserAct::Insert(card) => self.put_in(dtu, card),
            UserAct::Remove => self.take_out(dtu),
            UserAct::Type => self.user_types(dtu),
            UserAct::Think => self.user_thinks(dtu),
            UserAct::LookAndRetry => self.look_and_retry(dtu),
        }
    }

    /// The card that the user of a desktop unit has.
    fn card_for(&mut self, dtu: usize) -> usize {
        let shared = self.plan.meets(Fault::SharedToken) && !self.calm;
        if shared && self.rng.chance(400_000) {
            return self.rng.below(self.plan.dtus as u64) as usize;
        }
        dtu
    }

    fn put_in(&mut self, dtu: usize, card: usize) {
        if self.dtus[dtu].card == Some(card) {
            return;
        }
        self.take_out(dtu);
        let shared = self.plan.meets(Fault::SharedToken);
        let held_by_another =
            shared && (0..self.dtus.len()).any(|other| self.dtus[other].card == Some(card));
        if held_by_another {
            self.counts.add(Fault::SharedToken);
        }
        self.trace.note(self.now_us, "card in", dtu as u64, &(card as u64).to_le_bytes());
        self.dtus[dtu].card = Some(card);
        self.tell_dtu(dtu, Event::Token(TokenEvent::Inserted(token_of(card))));
    }

    fn take_out(&mut self, dtu: usize) {
        if self.dtus[dtu].card.take().is_none() {
            return;
        }
        self.trace.note(self.now_us, "card out", dtu as u64, &[]);
        self.dtus[dtu].insert = None;
        self.tell_dtu(dtu, Event::Token(TokenEvent::Removed));
        self.judge_removed(dtu);
    }

    fn user_types(&mut self, dtu: usize) {
        if self.dtus[dtu].connection.is_none() {
            return;
        }
        let number = self.note_typing(dtu);
        let event =
            InputEvent::Pointer { x_px: (number & 0xffff) as u16, y_px: (number >> 16) as u16 };
        self.tell_dtu(dtu, Event::Window(FromWindow::Input(event)));
    }

    fn user_thinks(&mut self, dtu: usize) {
        if self.calm {
            return;
        }
        match self.rng.below(20) {
            0 => {
                // Takes the card out, and back in a moment or two later.
                let card = self.card_for(dtu);
                let away_us = self.rng.range(50 * MS_US, 3 * SECOND_US);
                self.user_acts(dtu, UserAct::Remove);
                self.after(away_us, Due::User(dtu, UserAct::Insert(card)));
            }
            1 => self.user_acts(dtu, UserAct::Remove),
            2 if self.dtus[dtu].card.is_none() => {
                let card = self.card_for(dtu);
                self.user_acts(dtu, UserAct::Insert(card));
            }
            3 => self.look_and_retry(dtu),
            4 if self.rng.chance(100_000) => self.user_logs_out(dtu),
            _ => {
                for _ in 0..self.rng.below(4) {
                    let wait_us = self.rng.below(SECOND_US);
                    self.after(wait_us, Due::User(dtu, UserAct::Type));
                }
            }
        }
        let wait_us = self.rng.range(THINK_US / 8, THINK_US);
        self.after(wait_us, Due::User(dtu, UserAct::Think));
    }

    /// Ends the session that the screen shows.
    fn user_logs_out(&mut self, dtu: usize) {
        let Some((session, epoch)) = self.dtus[dtu].window.copy else { return };
        let shown = self.copies.iter().position(|copy| copy.is(session, epoch) && copy.working);
        if let Some(copy) = shown.filter(|_| self.is_well(dtu)) {
            self.log_out(copy);
        }
    }

    /// Presses the button, if the screen says that it is up to the user.
    fn look_and_retry(&mut self, dtu: usize) {
        let stopped = matches!(
            self.dtus[dtu].window.panel,
            Some(Panel::Refused { .. } | Panel::Ended { .. } | Panel::Elsewhere { .. })
        );
        if stopped {
            self.tell_dtu(dtu, Event::Window(FromWindow::Ask(Ask::TryAgain)));
        }
        if self.calm {
            self.after(2 * SECOND_US, Due::User(dtu, UserAct::LookAndRetry));
        }
    }

    /// A card goes in and out faster than the group can follow.
    pub fn race_card(&mut self, dtu: usize) {
        let mut at_us = 0;
        for _ in 0..self.rng.range(2, 7) {
            at_us += self.rng.below(150 * MS_US);
            let act = match self.rng.below(2) {
                0 => UserAct::Remove,
                _ => UserAct::Insert(self.rng.below(self.plan.dtus as u64) as usize),
            };
            self.after(at_us, Due::User(dtu, act));
        }
    }

    /// Faults have ended: each user holds a card of his own, but for some who
    /// hold none.
    pub fn users_settle(&mut self) {
        for dtu in 0..self.dtus.len() {
            self.power_on(dtu);
            let idle = self.plan.seed.is_multiple_of(3) && dtu % 4 == 3;
            let away_us = self.rng.below(200 * MS_US);
            if self.dtus[dtu].card != Some(dtu) || idle {
                self.take_out(dtu);
                if !idle {
                    self.after(SECOND_US + away_us, Due::User(dtu, UserAct::Insert(dtu)));
                }
            }
            self.after(3 * SECOND_US, Due::User(dtu, UserAct::LookAndRetry));
            for at in 4..8 {
                self.after(at * SECOND_US + away_us, Due::User(dtu, UserAct::Type));
            }
        }
    }

    /// True if the screen shows a session and nothing is wrong with it.
    pub fn is_well(&self, dtu: usize) -> bool {
        let window = &self.dtus[dtu].window;
        let covered = !matches!(window.panel, None | Some(Panel::Restarted { .. }));
        window.picture == Some(Picture::Live) && window.copy.is_some() && !covered
    }
}
