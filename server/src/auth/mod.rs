//! Authentication manager: is a token legitimate? No I/O: time and randomness
//! come in, verdicts go out.
//!
//! A token that comes with a right ticket was authenticated before. Any other
//! is challenged: the DTU has to read it once more after a nonce that is good
//! for one answer on its link. Under the policy `open` that proves that the
//! token is there, and nothing about whose it is.

use crate::config::Policy;
use afterglow_wire::control::{Cause, ChallengeAnswer, Insert, RefusalCode};
use afterglow_wire::guard::{Guard, Guards};
use afterglow_wire::ids::{DtuId, ServerName, Token, TokenKind};
use afterglow_wire::ticket::{CLOCK_SLACK_MS, Permit, RESUME_LIFE_MS, Ticket, UsedTickets};
use afterglow_wire::trust::TicketVerifier;
use std::collections::HashMap;

/// How long a challenge may be answered.
pub const CHALLENGE_MS: u64 = 10_000;
/// The most redirect tickets that are remembered as used.
const USED_MAX: usize = 8192;
/// The most DTUs whose last remove is remembered.
const REMOVED_MAX: usize = 8192;
/// After this time no resume ticket of before the remove is good any more.
const REMOVED_MS: u64 = RESUME_LIFE_MS + CLOCK_SLACK_MS;

/// A link, by the number that its server gave it.
pub type LinkId = u64;

/// Why a token is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// A pseudo-token that is another DTU's.
    #[error("this pseudo-token belongs to another desktop unit")]
    OtherPseudo,
    /// A kind of token that the policy cannot check.
    #[error("this server's policy \"open\" cannot check PIV cards; use the card's own number")]
    CannotCheck,
    /// No challenge is open on this link, or it is over.
    #[error("the answer came too late; take the token out and insert it again")]
    NoChallenge,
    /// The answer is to something else.
    #[error("the token could not be read again; insert it again")]
    WrongAnswer,
    /// A redirect without a right ticket.
    #[error("the server that sent you here gave no valid permission: {0}; insert again")]
    RedirectTicket(&'static str),
    /// The token was removed since the ticket was signed.
    #[error("the token was removed since; insert it again")]
    Removed,
}

impl AuthError {
    /// The code for the DTU.
    pub fn code(&self) -> RefusalCode {
        match self {
            AuthError::OtherPseudo | AuthError::CannotCheck => RefusalCode::TokenNotAccepted,
            AuthError::NoChallenge | AuthError::WrongAnswer => RefusalCode::ChallengeFailed,
            AuthError::RedirectTicket(_) | AuthError::Removed => RefusalCode::TicketRefused,
        }
    }
}

/// How a token was found legitimate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// By a challenge.
    Challenge,
    /// By a redirect ticket for us.
    Redirect(Ticket),
    /// By a resume ticket.
    Resume(Ticket),
    /// By the link, which has proven it since it came.
    Link,
}

/// An insert whose token is legitimate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// The insert.
    pub insert: Insert,
    /// How that is known.
    pub proof: Proof,
}

/// What is to be done about an insert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Let it in.
    Admit(Box<Admitted>),
    /// Challenge it, with the nonce that came along.
    Challenge,
}

struct OpenChallenge {
    nonce: [u8; 32],
    ends_ms: u64,
    insert: Insert,
}

/// A moment: of the steady clock, and of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since some beginning; never goes back.
    pub steady_ms: u64,
    /// Milliseconds since 1970.
    pub wall_ms: u64,
}

/// The authentication manager.
pub struct Authentication {
    name: ServerName,
    policy: Policy,
    guards: Guards,
    verifier: TicketVerifier,
    /// The token that each link has proven and that is in since, with its
    /// insert. At most one a link, and links are bounded.
    proven: HashMap<LinkId, (u64, Token)>,
    /// At most one a link, and links are bounded.
    challenges: HashMap<LinkId, OpenChallenge>,
    used: UsedTickets,
    /// Each DTU's last removed insert, and when that was.
    removed: HashMap<DtuId, (u64, u64)>,
}

impl Authentication {
    /// Knows nobody.
    pub fn new(name: ServerName, policy: Policy, guards: Guards, verifier: TicketVerifier) -> Self {
        Authentication {
            name,
            policy,
            guards,
            verifier,
            proven: HashMap::new(),
            challenges: HashMap::new(),
            used: UsedTickets::new(USED_MAX),
            removed: HashMap::new(),
        }
    }

    /// The token that a link has proven and that is in since.
    pub fn proven(&self, link: LinkId) -> Option<&Token> {
        self.proven.get(&link).map(|(_, token)| token)
    }

    /// Judges an insert. `nonce` must be fresh randomness; `ahead_ms` gives by
    /// how much a server's clock is ahead of ours.
    pub fn insert(
        &mut self,
        link: LinkId,
        dtu: DtuId,
        insert: Insert,
        nonce: [u8; 32],
        now: Now,
        ahead_ms: impl FnOnce(&ServerName) -> i64,
    ) -> Result<Verdict, AuthError> {
        let before = self.proven.remove(&link).map(|(_, token)| token);
        let verdict = self.judge((link, before), dtu, insert, nonce, now, ahead_ms);
        if let Ok(Verdict::Admit(admitted)) = &verdict {
            let insert = &admitted.insert;
            self.proven.insert(link, (insert.insert, insert.token.clone()));
        }
        verdict
    }

    fn judge(
        &mut self,
        (link, proven): (LinkId, Option<Token>),
        dtu: DtuId,
        insert: Insert,
        nonce: [u8; 32],
        now: Now,
        ahead_ms: impl FnOnce(&ServerName) -> i64,
    ) -> Result<Verdict, AuthError> {
        self.challenges.remove(&link);
        self.check_kind(dtu, &insert.token)?;
        if insert.cause == Cause::Switch
            && proven.as_ref() == Some(&insert.token)
            && !self.is_removed(dtu, insert.insert)
        {
            let proof = Proof::Link;
            return Ok(Verdict::Admit(Box::new(Admitted { insert, proof })));
        }
        let ticket = insert
            .ticket
            .as_ref()
            .map(|sealed| sealed.open(&self.verifier, dtu, now.wall_ms, ahead_ms));
        if insert.cause == Cause::Redirect {
            let ticket = match ticket {
                None => return Err(AuthError::RedirectTicket("there is none")),
                Some(Err(_)) => return Err(AuthError::RedirectTicket("it is wrong or too old")),
                Some(Ok(ticket)) => ticket,
            };
            let proof = self.redirect(ticket, &insert, now)?;
            return Ok(Verdict::Admit(Box::new(Admitted { insert, proof })));
        }
        if let Some(Ok(ticket)) = ticket
            && ticket.permit == Permit::Resume
            && ticket.token == insert.token
            && ticket.insert == insert.insert
        {
            if self.is_removed(dtu, insert.insert) {
                return Err(AuthError::Removed);
            }
            let proof = Proof::Resume(ticket);
            return Ok(Verdict::Admit(Box::new(Admitted { insert, proof })));
        }
        if !self.guards.make(Guard::Challenge) {
            let proof = Proof::Challenge;
            return Ok(Verdict::Admit(Box::new(Admitted { insert, proof })));
        }
        // A ticket that is no good spares nothing, and harms nothing: its
        // bearer is challenged as if there were none.
        let ends_ms = now.steady_ms + CHALLENGE_MS;
        self.challenges.insert(link, OpenChallenge { nonce, ends_ms, insert });
        Ok(Verdict::Challenge)
    }

    /// Judges the answer to a challenge. Whatever it is, the challenge is over.
    pub fn answer(
        &mut self,
        link: LinkId,
        answer: &ChallengeAnswer,
        now: Now,
    ) -> Result<Box<Admitted>, AuthError> {
        let open = self.challenges.remove(&link).ok_or(AuthError::NoChallenge)?;
        if now.steady_ms >= open.ends_ms {
            return Err(AuthError::NoChallenge);
        }
        let right = answer.insert == open.insert.insert
            && answer.nonce == open.nonce
            && answer.token == open.insert.token;
        match right {
            true => {
                self.proven.insert(link, (open.insert.insert, open.insert.token.clone()));
                Ok(Box::new(Admitted { insert: open.insert, proof: Proof::Challenge }))
            }
            false => Err(AuthError::WrongAnswer),
        }
    }

    /// Notes that a token went: its tickets spare nothing any more.
    pub fn remove(&mut self, link: LinkId, dtu: DtuId, insert: u64, now: Now) {
        if self.proven.get(&link).is_some_and(|(proven, _)| *proven <= insert) {
            self.proven.remove(&link);
        }
        let over = |open: &OpenChallenge| open.insert.insert <= insert;
        if self.challenges.get(&link).is_some_and(over) {
            self.challenges.remove(&link);
        }
        if self.removed.len() >= REMOVED_MAX && !self.removed.contains_key(&dtu) {
            self.removed.retain(|_, (_, at_ms)| now.steady_ms < *at_ms + REMOVED_MS);
            let oldest = self.removed.iter().min_by_key(|(_, (_, at_ms))| *at_ms);
            if self.removed.len() >= REMOVED_MAX
                && let Some(oldest) = oldest.map(|(dtu, _)| *dtu)
            {
                self.removed.remove(&oldest);
            }
        }
        let last = self.removed.entry(dtu).or_insert((insert, now.steady_ms));
        *last = (last.0.max(insert), now.steady_ms);
    }

    /// True if this DTU removed this insert's token.
    pub fn is_removed(&self, dtu: DtuId, insert: u64) -> bool {
        self.removed.get(&dtu).is_some_and(|(removed, _)| insert <= *removed)
    }

    /// Forgets a link.
    pub fn close(&mut self, link: LinkId) {
        self.proven.remove(&link);
        self.challenges.remove(&link);
    }

    fn check_kind(&self, dtu: DtuId, token: &Token) -> Result<(), AuthError> {
        match (self.policy, token.kind()) {
            (_, TokenKind::Pseudo) if *token != Token::pseudo(dtu) => Err(AuthError::OtherPseudo),
            (Policy::Open, TokenKind::Piv) => Err(AuthError::CannotCheck),
            (Policy::Open, TokenKind::Card | TokenKind::Pseudo | TokenKind::Soft) => Ok(()),
        }
    }

    fn redirect(&mut self, ticket: Ticket, insert: &Insert, now: Now) -> Result<Proof, AuthError> {
        let wrong = |why| Err(AuthError::RedirectTicket(why));
        match &ticket.permit {
            Permit::Redirect { to, .. } if *to == self.name => {}
            Permit::Redirect { .. } => return wrong("it is for another server"),
            Permit::Attach | Permit::Resume => return wrong("it is for something else"),
        }
        if ticket.token != insert.token || ticket.insert != insert.insert {
            return wrong("it is for another insert");
        }
        if self.is_removed(ticket.dtu, insert.insert) {
            return Err(AuthError::Removed);
        }
        if !self.used.take(ticket.nonce, now.wall_ms) {
            return wrong("it was used before");
        }
        Ok(Proof::Redirect(ticket))
    }
}

#[cfg(test)]
mod tests;
