//! The store that misbehaves: what it does is [`StoreModel`]'s, and how it
//! does it is drawn.

use super::faults::Fault;
use super::world::{Due, Life, World};
use afterglow_server::core::{Event, RequestId, StoreAnswer, StoreOperation};
use afterglow_server::store::model::StoreModel;
use afterglow_wire::ids::{Epoch, SessionId};
use std::collections::{BTreeMap, BTreeSet};

/// After which time a server gives a question up.
const GIVEN_UP_MS: u64 = 3_000;

/// The store.
#[derive(Debug, Default)]
pub struct Store {
    /// What it does.
    pub model: StoreModel,
    /// What it will have again, while it has lost its last writes.
    pub whole: Option<StoreModel>,
    /// What it was some time ago.
    pub before: Option<StoreModel>,
    /// The servers that cannot reach it.
    pub away: BTreeSet<usize>,
    /// The owner of each epoch of each session, and since when.
    pub owners: BTreeMap<(SessionId, Epoch), (usize, u64)>,
}

impl World {
    /// Carries a question to the store, and what goes wrong with it.
    pub fn ask_store(&mut self, life: Life, request: RequestId, operation: StoreOperation) {
        self.judge_asked(life.0, &operation);
        let operation = Box::new(operation);
        let down = |world: &mut World| {
            let answer = Box::new(StoreAnswer::Down);
            world.after(GIVEN_UP_MS, Due::StoreSaid(life, request, answer));
        };
        if self.store.away.contains(&life.0) || self.isolated.contains(&life.0) {
            let ms = if self.rng.chance(500_000) { GIVEN_UP_MS } else { 20 };
            let answer = Box::new(StoreAnswer::Down);
            return self.after(ms, Due::StoreSaid(life, request, answer));
        }
        if self.strikes(Fault::LostRequest, 50_000) {
            return down(self);
        }
        if self.strikes(Fault::DoneLate, 50_000) {
            down(self);
            let ms = GIVEN_UP_MS + self.rng.below(4_000);
            return self.after(ms, Due::StoreDoes(life, request, operation));
        }
        let ms = match self.strikes(Fault::Slow, 300_000) {
            true => self.rng.below(1_400),
            false => self.rng.range(1, 4),
        };
        self.after(ms, Due::StoreDoes(life, request, operation));
    }

    /// The store does what it was asked to.
    pub fn store_does(&mut self, life: Life, request: RequestId, operation: &StoreOperation) {
        let before = self.judge_before(operation);
        let answer = self.store.model.perform(operation, super::world::WALL_MS + self.now_ms);
        self.trace.note(self.now_ms, "store", request, format!("{operation:?}").as_bytes());
        self.say(|| {
            let text: String = format!("{operation:?} -> {answer:?}").chars().take(330).collect();
            format!("store for s{}: {text}", life.0)
        });
        self.judge_done(life.0, operation, before, &answer);
        if self.strikes(Fault::LostAnswer, 60_000) {
            let answer = Box::new(StoreAnswer::Down);
            return self.after(GIVEN_UP_MS, Due::StoreSaid(life, request, answer));
        }
        let ms = match self.strikes(Fault::Slow, 300_000) {
            true => self.rng.below(1_400),
            false => self.rng.range(1, 3),
        };
        if self.strikes(Fault::AnsweredTwice, 150_000) {
            let again = ms + self.rng.below(6_000);
            self.after(again, Due::StoreSaid(life, request, Box::new(answer.clone())));
        }
        self.after(ms, Due::StoreSaid(life, request, Box::new(answer)));
    }

    /// The store's answer is at a server, for the first time or again.
    pub fn store_said(&mut self, life: Life, request: RequestId, answer: StoreAnswer) {
        if !self.lives(life) {
            return;
        }
        let first = self.judge.answered.insert((life, request));
        self.judge_answer(life.0, &answer, first);
        self.tell(life.0, Event::Stored { request, answer });
    }
}
