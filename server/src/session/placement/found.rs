//! What the group and the store know: whose the session is, and who starts one
//! if there is none.

use super::{Placement, State, refuse};
use crate::group::question::Answers;
use crate::session::act::{Act, Attachment, Down, Step};
use crate::session::notice::Notice;
use crate::store::SessionRow;
use afterglow_wire::control::{Cause, Origin, RefusalCode, Showing};
use afterglow_wire::group::TokenSession;
use afterglow_wire::guard::Guard;
use afterglow_wire::ids::{Epoch, ServerName, SessionId};
use afterglow_wire::limits::REDIRECTS_MAX;
use afterglow_wire::ticket::Plan;
use std::collections::BTreeSet;
use std::net::SocketAddrV4;

impl Placement {
    /// All is known that can be known without waiting for the silent.
    pub(super) fn decide(
        &mut self,
        answers: &Answers,
        row: Result<Option<SessionRow>, Down>,
    ) -> Step {
        let stored = row.as_ref().ok().and_then(Option::as_ref);
        let last = |found: &TokenSession| {
            stored.is_none_or(|row| row.id == found.session || row.connection <= found.connection)
        };
        if let Some((server, found)) = self.best(answers, stored).filter(|(_, found)| last(found)) {
            return self.go_to(server, found, stored.cloned());
        }
        match row {
            Err(Down) => self.wait_for_store(),
            Ok(None) if self.maybe_made => {
                self.maybe_made = false;
                self.create(self.wanted)
            }
            Ok(None) if self.showing.is_some() && self.continues() => refuse(
                RefusalCode::Unresolved,
                "nobody here knows the session that this screen shows; it goes on, but without a \
                 server"
                    .into(),
            ),
            // A session that was to be taken over here is over.
            Ok(None) if self.plan.is_some() && self.guards.make(Guard::ExistingStaysExisting) => {
                self.not_here()
            }
            Ok(None) if self.wanted.is_some() => self.wanted_is_gone(),
            Ok(None) => self.choose(None),
            Ok(Some(row)) => self.stored(row),
        }
    }

    /// True if the DTU is on its way with a session that it has.
    pub(super) fn continues(&self) -> bool {
        matches!(self.cause, Cause::Redirect | Cause::Failover)
    }

    /// Nobody knows the session that is wanted. A DTU that had it gets another
    /// of the token's, and is told; what a user chose is not replaced.
    pub(super) fn wanted_is_gone(&mut self) -> Step {
        self.wanted = None;
        match self.signer.take() {
            Some(signer) => {
                self.gone = Some(signer);
                self.begin()
            }
            None => refuse(
                RefusalCode::NotHere,
                "the session that you chose is over; choose another, or start a new one".into(),
            ),
        }
    }

    /// Asks who is to start a new session, or to take over what this host has
    /// no room for. A plan of another server's is not questioned.
    pub(super) fn choose(&mut self, row: Option<Box<SessionRow>>) -> Step {
        let except = match self.guards.make(Guard::Unreachable) {
            true => self.unreachable.clone(),
            false => BTreeSet::new(),
        };
        self.state = State::Choosing(row);
        Act::Choose { except, room: self.room }.into()
    }

    pub(super) fn chosen(
        &mut self,
        row: Option<Box<SessionRow>>,
        server: Option<ServerName>,
        fresh: SessionId,
    ) -> Step {
        match (server, row) {
            (Some(to), row) if to != self.me && self.may_redirect() => {
                let (plan, session, epoch) = match row {
                    Some(row) => (Plan::Takeover, row.id, row.epoch),
                    None => (Plan::New, fresh, Epoch::FIRST),
                };
                let found = TokenSession { session, epoch, connection: 0 };
                Act::Redirect { to, plan, found, connection: self.counted }.into()
            }
            (Some(_), None) if self.room => self.create(None),
            (Some(_), Some(row)) if self.room => self.take_over(row),
            _ => self.full(),
        }
    }

    pub(super) fn may_redirect(&self) -> bool {
        self.redirects < REDIRECTS_MAX || !self.guards.make(Guard::RedirectLimit)
    }

    /// The session that a live server has, if there is one: never one that is
    /// older than what is known of it, and of several the last connected.
    pub(super) fn best(
        &self,
        answers: &Answers,
        row: Option<&SessionRow>,
    ) -> Option<(ServerName, TokenSession)> {
        let all = || answers.spoke.iter().filter_map(|(name, said)| Some((name, (*said)?)));
        let newest = |session: SessionId| {
            let stored = row.filter(|row| row.id == session).map(|row| row.epoch);
            let shown = self.at_least.filter(|(id, _)| *id == session).map(|(_, epoch)| epoch);
            let said = all().filter(|(_, s)| s.session == session).map(|(_, s)| s.epoch).max();
            stored.max(shown).max(said)
        };
        let confirm = self.guards.make(Guard::ConfirmEpoch);
        let is_newest =
            |found: &TokenSession| !confirm || Some(found.epoch) >= newest(found.session);
        all()
            .filter(|(name, found)| **name != self.me && is_newest(found))
            .max_by_key(|(_, found)| (found.connection, found.epoch))
            .map(|(name, found)| (name.clone(), found))
    }

    /// A live server has the session.
    pub(super) fn go_to(
        &mut self,
        to: ServerName,
        found: TokenSession,
        row: Option<SessionRow>,
    ) -> Step {
        if self.plan.is_some() {
            return self.not_here();
        }
        if !self.unreachable.contains(&to) || !self.guards.make(Guard::Unreachable) {
            if !self.may_redirect() {
                return refuse(
                    RefusalCode::TooManyRedirects,
                    format!("the servers sent this screen on {REDIRECTS_MAX} times; insert again"),
                );
            }
            let (plan, connection) = (Plan::Existing, self.counted);
            return Act::Redirect { to, plan, found, connection }.into();
        }
        // The DTU cannot reach the server, but perhaps the session.
        let endpoint = row
            .filter(|row| (row.id, row.epoch) == (found.session, found.epoch))
            .and_then(|row| row.endpoint);
        match endpoint {
            Some(endpoint) => self.caretake(found.session, found.epoch, to, endpoint),
            None => refuse(
                RefusalCode::Unresolved,
                format!("your session runs on {to}, which this screen cannot reach"),
            ),
        }
    }

    /// No live server has the session, but the store knows one.
    pub(super) fn stored(&mut self, row: SessionRow) -> Step {
        if let Some((id, epoch)) = self.at_least
            && id == row.id
            && epoch > row.epoch
        {
            return refuse(
                RefusalCode::Unresolved,
                format!(
                    "the store knows epoch {} of the session, but there is an epoch {epoch}: the \
                     store lost data; tell the administrator",
                    row.epoch
                ),
            );
        }
        let shown = Showing { session: row.id, epoch: row.epoch };
        if self.showing == Some(shown) && self.guards.make(Guard::ShownIsAlive) {
            // It lives, by the word of the DTU that shows it.
            return match row.endpoint {
                Some(endpoint) => self.caretake(row.id, row.epoch, row.owner, endpoint),
                None => refuse(
                    RefusalCode::Unresolved,
                    format!("{} does not say where your session is; it goes on", row.owner),
                ),
            };
        }
        self.probe(Box::new(row), 1, false)
    }

    pub(super) fn caretake(
        &mut self,
        session: SessionId,
        epoch: Epoch,
        host: ServerName,
        endpoint: SocketAddrV4,
    ) -> Step {
        let attachment = Attachment {
            session,
            epoch,
            host,
            endpoint,
            connection: 0,
            origin: Origin::Caretaken,
            notice: Notice::None,
        };
        self.confirm(attachment, None)
    }
}
