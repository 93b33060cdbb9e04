//! The tokenQs that are under way: each collects answers until everybody who
//! is waited for has spoken, or its time is over. A datagram may be lost, so
//! it is sent again to those that have not spoken.

use super::Ask;
use afterglow_wire::group::TokenSession;
use afterglow_wire::ids::ServerName;
use afterglow_wire::limits::SERVERS_MAX;
use std::collections::{BTreeMap, BTreeSet};

/// How long a tokenQ waits for answers.
pub const QUESTION_MS: u64 = 300;
/// When a question is sent again, after the first time.
pub const REPEATS_MS: [u64; 2] = [60, 150];
/// The most questions under way.
pub const QUESTIONS_MAX: usize = 4096;

/// What the group said about a token.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answers {
    /// Who spoke, and the session it has.
    pub spoke: BTreeMap<ServerName, Option<TokenSession>>,
    /// Who was waited for and did not speak.
    pub silent: BTreeSet<ServerName>,
}

/// A question that is under way.
#[derive(Debug)]
pub struct Question {
    /// Who was asked.
    pub ask: Ask,
    /// The question's bytes.
    pub datagram: Vec<u8>,
    answers: Answers,
    asked_ms: u64,
    repeats: usize,
}

impl Question {
    /// A question that was asked now and waits for these servers.
    pub fn new(ask: Ask, datagram: Vec<u8>, waits_for: BTreeSet<ServerName>, now_ms: u64) -> Self {
        let answers = Answers { spoke: BTreeMap::new(), silent: waits_for };
        Question { ask, datagram, answers, asked_ms: now_ms, repeats: 0 }
    }

    /// Who is still waited for.
    pub fn silent(&self) -> &BTreeSet<ServerName> {
        &self.answers.silent
    }

    /// When it is sent again, or given up.
    fn due_ms(&self) -> u64 {
        let after_ms = REPEATS_MS.get(self.repeats).copied().unwrap_or(QUESTION_MS);
        self.asked_ms.saturating_add(after_ms)
    }

    fn is_over(&self, now_ms: u64) -> bool {
        now_ms >= self.asked_ms.saturating_add(QUESTION_MS)
    }

    /// Notes an answer. Only a server's first answer counts.
    fn answer(&mut self, from: ServerName, session: Option<TokenSession>) {
        if self.answers.spoke.len() < SERVERS_MAX && !self.answers.spoke.contains_key(&from) {
            self.answers.silent.remove(&from);
            self.answers.spoke.insert(from, session);
        }
    }
}

/// What has come due.
#[derive(Debug)]
pub enum Due {
    /// The question with this nonce is to be sent again.
    Repeat(u64),
    /// This question is over.
    Over(u64, Answers),
}

/// All questions that are under way, by their nonces.
#[derive(Debug, Default)]
pub struct Questions {
    by_nonce: BTreeMap<u64, Question>,
    due: BTreeSet<(u64, u64)>,
}

impl Questions {
    /// Takes a question; gives its answers if nobody is waited for. If there
    /// are too many questions already, everybody counts as silent at once.
    pub fn insert(&mut self, nonce: u64, question: Question) -> Option<Answers> {
        let no_room = self.by_nonce.len() >= QUESTIONS_MAX || self.by_nonce.contains_key(&nonce);
        if question.answers.silent.is_empty() || no_room {
            return Some(question.answers);
        }
        self.due.insert((question.due_ms(), nonce));
        self.by_nonce.insert(nonce, question);
        None
    }

    /// Notes an answer; gives all of them if it was the last that was waited
    /// for.
    pub fn answer(
        &mut self,
        nonce: u64,
        from: ServerName,
        session: Option<TokenSession>,
    ) -> Option<Answers> {
        let question = self.by_nonce.get_mut(&nonce)?;
        question.answer(from, session);
        if !question.answers.silent.is_empty() {
            return None;
        }
        self.due.remove(&(question.due_ms(), nonce));
        self.by_nonce.remove(&nonce).map(|question| question.answers)
    }

    /// A question that is under way.
    pub fn get(&self, nonce: u64) -> Option<&Question> {
        self.by_nonce.get(&nonce)
    }

    /// When the next one comes due.
    pub fn next_ms(&self) -> Option<u64> {
        self.due.first().map(|(due_ms, _)| *due_ms)
    }

    /// Takes the next that is due.
    pub fn take_due(&mut self, now_ms: u64) -> Option<Due> {
        let (due_ms, nonce) = self.due.first().copied().filter(|(due_ms, _)| *due_ms <= now_ms)?;
        self.due.remove(&(due_ms, nonce));
        let question = self.by_nonce.get_mut(&nonce)?;
        if question.is_over(now_ms) {
            let question = self.by_nonce.remove(&nonce)?;
            return Some(Due::Over(nonce, question.answers));
        }
        // Who comes late sends it once, not as often as it missed.
        while question.due_ms() <= now_ms {
            question.repeats += 1;
        }
        self.due.insert((question.due_ms(), nonce));
        Some(Due::Repeat(nonce))
    }
}
