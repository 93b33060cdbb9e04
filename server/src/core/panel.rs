//! The session panel: what a user is told of the token's sessions, and what
//! becomes of what is wanted of them.
//!
//! All of it is about the token that the link has proven, and ends with it.

use super::ask::Asker;
use super::{Action, CopyId, ServerCore, StoreAnswer, StoreOperation};
use crate::auth::LinkId;
use crate::session::notice::shortened;
use crate::session::table::LocalSession;
use crate::store::{CopyRow, SessionRow, Wish};
use afterglow_wire::ids::Token;
use afterglow_wire::limits::SESSION_NAME_CHARS_MAX;
use afterglow_wire::local::ToKeeper;
use afterglow_wire::service::ServiceOrder;
use afterglow_wire::sessions::{
    Manage, Notice, SessionEntry, SessionOrder, SessionState, Sessions,
};

impl ServerCore {
    /// The token that a link has proven, if the insert that it speaks of is
    /// the one that is in.
    pub(super) fn speaks_for(&self, link: LinkId, insert: u64) -> Option<Token> {
        let known = self.links.get(&link).filter(|known| known.insert == insert)?;
        self.auth.proven(link).filter(|_| !self.auth.is_removed(known.dtu, insert)).cloned()
    }

    /// Reads the token's sessions, and tells the link.
    pub(super) fn list_sessions(&mut self, link: LinkId, insert: u64) {
        let Some(token) = self.speaks_for(link, insert) else { return };
        let now_ms = self.now.steady_ms;
        if self.links.get_mut(&link).is_some_and(|known| known.lists.take(now_ms)) {
            let operation = StoreOperation::SessionsOf(token);
            self.ask_store(Asker::List(link, insert), operation);
        }
    }

    /// The store knows these, or does not answer.
    pub(super) fn listed(&mut self, link: LinkId, insert: u64, answer: StoreAnswer) {
        let Some(token) = self.speaks_for(link, insert) else { return };
        let shown = self.shown_at(link);
        let (sessions, trouble): (Vec<_>, _) = match answer {
            StoreAnswer::Sessions { rows, copies } => {
                let live = rows.iter().map(|row| self.entry(row, shown));
                let older = copies.iter().map(|copy| self.older_entry(copy, &rows));
                (live.chain(older).collect(), String::new())
            }
            _ => {
                let here = self.table.all().filter(|known| known.token == token);
                let entries = here.map(|known| self.local_entry(known, shown)).collect();
                let text = "The group's store does not answer: only what is on this server is \
                            listed.";
                (entries, text.to_owned())
            }
        };
        let services = shown.and_then(|(session, epoch)| self.table.get(session, epoch));
        let services = services.map(|known| known.services.clone()).unwrap_or_default();
        let (sessions, services) = (sessions.into_iter().collect(), services.into_iter().collect());
        self.tell(link, Sessions { insert, sessions, services, trouble });
    }

    fn entry(&self, row: &SessionRow, shown: Option<CopyId>) -> SessionEntry {
        let here = self.table.get(row.id, row.epoch).filter(|_| row.owner == *self.me());
        let runs = match row.owner == *self.me() {
            true => here.is_some_and(|known| known.endpoint.is_some()),
            false => row.endpoint.is_some(),
        };
        let silent = row.owner != *self.me()
            && !self.group.topology().up().any(|host| host.message.host == row.owner);
        let state = match () {
            () if shown == Some((row.id, row.epoch)) => SessionState::Shown,
            () if silent => SessionState::HostSilent,
            () if runs => SessionState::Running,
            () => SessionState::Lost,
        };
        let services = here.map_or_else(|| row.services.clone(), LocalSession::wanted_services);
        SessionEntry {
            session: row.id,
            epoch: row.epoch,
            name: row.name.clone(),
            server: row.owner.clone(),
            state,
            age_ms: self.now.wall_ms.saturating_sub(row.created_ms),
            services: services.into_iter().collect(),
        }
    }

    fn older_entry(&self, copy: &CopyRow, rows: &[SessionRow]) -> SessionEntry {
        let session = rows.iter().find(|row| row.id == copy.session);
        SessionEntry {
            session: copy.session,
            epoch: copy.epoch,
            name: session.map(|row| row.name.clone()).unwrap_or_default(),
            server: copy.owner.clone(),
            state: SessionState::OlderCopy,
            age_ms: self.now.wall_ms.saturating_sub(copy.since_ms),
            services: Default::default(),
        }
    }

    fn local_entry(&self, known: &LocalSession, shown: Option<CopyId>) -> SessionEntry {
        let state = match known.stale {
            true => SessionState::OlderCopy,
            false if shown == Some((known.id, known.epoch)) => SessionState::Shown,
            false => SessionState::Running,
        };
        SessionEntry {
            session: known.id,
            epoch: known.epoch,
            name: String::new(),
            server: self.me().clone(),
            state,
            age_ms: 0,
            services: known.wanted_services().into_iter().collect(),
        }
    }

    /// The user wants something of one of the token's sessions. What is not on
    /// this host is looked up in the store first: it has to be the token's.
    pub(super) fn manage(&mut self, link: LinkId, manage: Manage) {
        let Some(token) = self.speaks_for(link, manage.insert) else { return };
        let now_ms = self.now.steady_ms;
        if !self.links.get_mut(&link).is_some_and(|known| known.lists.take(now_ms)) {
            return;
        }
        let copy = (manage.session, manage.epoch);
        // What still starts has no keeper that would hear of it.
        let runs = |known: &&LocalSession| known.token == token && known.endpoint.is_some();
        let here = self.table.get(copy.0, copy.1).filter(runs);
        match (here.map(|known| known.stale), &manage.order) {
            (Some(_), SessionOrder::End) => {
                self.end_copy(copy, "You ended this session.");
            }
            (Some(true), SessionOrder::Continue) => self.continue_copy(copy),
            (Some(false), SessionOrder::Service(order)) => self.order_service(copy, order),
            _ => {
                let operation = StoreOperation::SessionsOf(token);
                return self.ask_store(Asker::Manage(link, Box::new(manage)), operation);
            }
        }
        self.list_sessions(link, manage.insert);
    }

    fn order_service(&mut self, (session, epoch): CopyId, order: &ServiceOrder) {
        let message = ToKeeper::Service(order.clone());
        self.actions.push(Action::TellKeeper { session, epoch, message });
    }

    /// The store says what the token has: what is wanted goes there, and the
    /// owner reads it.
    pub(super) fn manage_stored(&mut self, link: LinkId, manage: Manage, answer: StoreAnswer) {
        let Manage { insert, session, epoch, order } = manage;
        let StoreAnswer::Sessions { rows, copies } = answer else {
            let text = "The group's store does not answer; try again.";
            return self.give_notice(link, insert, text);
        };
        let live = rows.iter().find(|row| (row.id, row.epoch) == (session, epoch));
        let older = copies.iter().any(|row| (row.session, row.epoch) == (session, epoch));
        let operation = match (live, older, order) {
            (Some(_), _, SessionOrder::Rename(name)) => {
                StoreOperation::Rename { session, epoch, name: tidied(&name) }
            }
            // Nothing of it runs that would have to be ended.
            (Some(row), _, SessionOrder::End) if row.endpoint.is_none() => {
                StoreOperation::End { session, epoch, owner: row.owner.clone() }
            }
            (Some(_), _, SessionOrder::End) => {
                StoreOperation::Wish { session, epoch, wish: Some(Wish::End) }
            }
            (Some(row), _, SessionOrder::Service(_)) => {
                let text = format!(
                    "That session runs on {}: switch to it to start or stop its services.",
                    row.owner
                );
                return self.give_notice(link, insert, &text);
            }
            (_, true, SessionOrder::End) => {
                StoreOperation::WishCopy { session, epoch, wish: Wish::End }
            }
            (_, true, SessionOrder::Continue) => {
                StoreOperation::WishCopy { session, epoch, wish: Wish::Continue }
            }
            _ => return self.give_notice(link, insert, "That session is not there any more."),
        };
        self.ask_store(Asker::Managed(link, insert), operation);
    }

    /// The store has what was wanted, or has not.
    pub(super) fn managed(&mut self, link: LinkId, insert: u64, answer: &StoreAnswer) {
        if *answer == StoreAnswer::Done(true) {
            return self.list_sessions(link, insert);
        }
        self.give_notice(link, insert, "That could not be done; look at the list, and try again.");
    }

    /// Tells a user something.
    pub(super) fn give_notice(&mut self, link: LinkId, insert: u64, text: &str) {
        let text = shortened(text.to_owned());
        self.tell(link, Notice { insert, text });
    }

    /// Tells those who look at a copy something.
    pub(super) fn notify_viewers(&mut self, copy: CopyId, text: &str) {
        for (link, insert) in self.viewers(copy) {
            self.give_notice(link, insert, text);
        }
    }
}

/// A name as it may be stored: one line, of a bounded length.
fn tidied(name: &str) -> String {
    let printable = name.trim().chars().filter(|c| !c.is_control());
    printable.take(SESSION_NAME_CHARS_MAX).collect()
}
