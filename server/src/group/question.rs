//! A tokenQ that is under way: it collects answers until everybody who is
//! waited for has spoken, or its time is over.

use afterglow_wire::group::TokenSession;
use afterglow_wire::ids::ServerName;
use afterglow_wire::limits::SERVERS_MAX;
use std::collections::{BTreeMap, BTreeSet};

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
    answers: Answers,
    /// When it is given up.
    pub deadline_ms: u64,
}

impl Question {
    /// A question that waits for these servers until `deadline_ms`.
    pub fn new(waits_for: BTreeSet<ServerName>, deadline_ms: u64) -> Self {
        Question { answers: Answers { spoke: BTreeMap::new(), silent: waits_for }, deadline_ms }
    }

    /// Notes an answer; true if it was the last that was waited for. Only a
    /// server's first answer counts.
    pub fn answer(&mut self, from: ServerName, session: Option<TokenSession>) -> bool {
        if self.answers.spoke.len() < SERVERS_MAX && !self.answers.spoke.contains_key(&from) {
            self.answers.silent.remove(&from);
            self.answers.spoke.insert(from, session);
        }
        self.complete()
    }

    /// True if nobody is waited for any more.
    pub fn complete(&self) -> bool {
        self.answers.silent.is_empty()
    }

    /// What was said.
    pub fn into_answers(self) -> Answers {
        self.answers
    }
}
