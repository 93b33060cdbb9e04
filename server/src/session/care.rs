//! The DTUs that we care for because their session's own server is silent,
//! and their way back to it.

use crate::auth::LinkId;
use afterglow_wire::group::TokenSession;
use afterglow_wire::ids::{Epoch, ServerName, SessionId, Token};
use std::collections::BTreeMap;

/// How often a server is asked at most, in milliseconds: it is heard several
/// times at once, by every way that its messages take.
const ASK_MS: u64 = 1_000;
/// How long a DTU has to follow a redirect before it is told again.
const AGAIN_MS: u64 = 10_000;

/// A DTU whose session runs where another server is in charge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cared {
    /// The server in charge.
    pub owner: ServerName,
    /// Whose session it is.
    pub token: Token,
    /// The session.
    pub session: SessionId,
    /// Its epoch.
    pub epoch: Epoch,
    /// The insert's place among the session's connections.
    pub connection: u64,
    /// The DTU's number of its insert.
    pub insert: u64,
}

/// All DTUs that we care for: at most one entry for each link.
#[derive(Debug, Default)]
pub struct Care {
    cared: BTreeMap<LinkId, (Cared, Option<u64>)>,
    /// When each server was asked last.
    asked_ms: BTreeMap<ServerName, u64>,
}

impl Care {
    /// Cares for a DTU.
    pub fn take(&mut self, link: LinkId, cared: Cared) {
        self.cared.insert(link, (cared, None));
    }

    /// Does not any more.
    pub fn release(&mut self, link: LinkId) {
        self.cared.remove(&link);
    }

    /// The sessions that a server should be asked about, with their tokens,
    /// now that it was heard.
    pub fn tokens_of(&mut self, owner: &ServerName, now_ms: u64) -> Vec<(Token, SessionId)> {
        let recently = |at_ms: &u64| now_ms < at_ms.saturating_add(ASK_MS);
        if self.asked_ms.get(owner).is_some_and(recently) {
            return Vec::new();
        }
        let waits = |told: &Option<u64>| told.is_none_or(|ms| now_ms >= ms + AGAIN_MS);
        let of_owner = self.cared.values().filter(|(c, told)| c.owner == *owner && waits(told));
        let mut tokens: Vec<_> =
            of_owner.map(|(cared, _)| (cared.token.clone(), cared.session)).collect();
        tokens.sort();
        tokens.dedup();
        // Who cares for nobody of a server's remembers nothing of it.
        match tokens.is_empty() {
            true => self.asked_ms.remove(owner),
            false => self.asked_ms.insert(owner.clone(), now_ms),
        };
        tokens
    }

    /// The owner has this for the token: gives the DTUs that go back to it.
    /// Not those that know a higher epoch than the owner, nor those whose
    /// session is another.
    pub fn answered(
        &mut self,
        owner: &ServerName,
        token: &Token,
        found: TokenSession,
        now_ms: u64,
    ) -> Vec<(LinkId, Cared)> {
        let mut back = Vec::new();
        for (link, (cared, told)) in &mut self.cared {
            let the_same = cared.owner == *owner
                && cared.token == *token
                && cared.session == found.session
                && cared.epoch == found.epoch;
            if the_same && told.is_none_or(|ms| now_ms >= ms + AGAIN_MS) {
                *told = Some(now_ms);
                back.push((*link, cared.clone()));
            }
        }
        back
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mud() -> ServerName {
        "mud".parse().expect("a name")
    }

    fn cared(epoch: u64) -> Cared {
        Cared {
            owner: mud(),
            token: "soft.ada".parse().expect("a token"),
            session: SessionId([1; 16]),
            epoch: Epoch(epoch),
            connection: 3,
            insert: 5,
        }
    }

    fn found(epoch: u64) -> TokenSession {
        TokenSession { session: SessionId([1; 16]), epoch: Epoch(epoch), connection: 3 }
    }

    #[test]
    fn a_dtu_goes_back_to_the_owner_that_has_its_session_and_is_told_once() {
        let mut care = Care::default();
        care.take(7, cared(1));
        let token = cared(1).token;
        assert_eq!(care.tokens_of(&mud(), 0), vec![(token.clone(), cared(1).session)]);
        assert_eq!(care.tokens_of(&"host05".parse().expect("a name"), 0), vec![]);
        assert_eq!(care.answered(&mud(), &token, found(1), 0), vec![(7, cared(1))]);
        assert_eq!(care.answered(&mud(), &token, found(1), 1), vec![]);
        assert_eq!(care.tokens_of(&mud(), 1), vec![]);
        // It did not follow: it is told again.
        assert_eq!(care.answered(&mud(), &token, found(1), AGAIN_MS).len(), 1);
        care.release(7);
        assert_eq!(care.answered(&mud(), &token, found(1), 3 * AGAIN_MS), vec![]);
    }

    #[test]
    fn nobody_goes_back_to_an_older_or_another_session() {
        let mut care = Care::default();
        care.take(7, cared(2));
        let token = cared(1).token;
        assert_eq!(care.answered(&mud(), &token, found(1), 0), vec![]);
        let other = TokenSession { session: SessionId([2; 16]), ..found(2) };
        assert_eq!(care.answered(&mud(), &token, other, 0), vec![]);
    }
}
