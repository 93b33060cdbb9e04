//! The sessions on this host, and what the store hears of them.

use super::ask::Asker;
use super::{Action, CopyId, Due, Level, ServerCore, StoreAnswer, StoreOperation};
use crate::session::act::{Confirmed, Down};
use afterglow_wire::local::{DetachDtu, Status, ToKeeper};
use std::net::{Ipv4Addr, SocketAddrV4};

/// How often the store is told again, in milliseconds.
const STORE_AGAIN_MS: u64 = 1_000;
/// How often the store is asked whether a copy that runs here is still the
/// session, in milliseconds: it may have been taken over while this host was
/// cut off, and nobody else tells.
const CHECK_MS: u64 = 5_000;

impl ServerCore {
    /// A keeper that we did not start: it has to prove that its copy is still
    /// the session.
    pub(super) fn keeper_found(&mut self, status: &Status) {
        let copy = (status.session, status.epoch);
        self.keeper_status(status);
        self.log(Level::Info, || {
            format!("found session {:?} epoch {} running", status.session, status.epoch)
        });
        self.ask_store(Asker::Found(copy), StoreOperation::Session(copy.0));
        self.check_later(copy);
    }

    /// Asks the store every now and then whether a copy is still the session.
    pub(super) fn check_later(&mut self, (session, epoch): CopyId) {
        self.at(self.now.steady_ms + CHECK_MS, Due::Check(session, epoch));
    }

    pub(super) fn check_copy(&mut self, copy: CopyId) {
        if self.table.get(copy.0, copy.1).is_some_and(|known| !known.stale) {
            self.ask_store(Asker::Seen(copy), StoreOperation::Session(copy.0));
            self.check_later(copy);
        }
    }

    pub(super) fn keeper_status(&mut self, status: &Status) {
        let copy = (status.session, status.epoch);
        let adopted = self.adopted(status.session);
        let before = self.table.get(copy.0, copy.1).map(|known| known.trouble.clone());
        let endpoint = SocketAddrV4::new(self.config.group.advertise, status.port);
        let hash = self.config.key.token_hash(&status.token);
        let older: Vec<CopyId> = self.table.stale().map(|copy| (copy.id, copy.epoch)).collect();
        self.table.status(status, endpoint, hash);
        let stale = self.table.stale().map(|copy| (copy.id, copy.epoch));
        for fresh in stale.filter(|copy| !older.contains(copy)).collect::<Vec<_>>() {
            self.set_aside(fresh, fresh.1.next());
        }
        self.lead_away(copy);
        self.note_services(copy);
        if before.unwrap_or_default() != status.trouble && !status.trouble.is_empty() {
            self.notify_viewers(copy, &status.trouble);
        }
        if adopted {
            self.table.verify(copy.0, copy.1);
            self.note_endpoint(copy);
            self.check_later(copy);
        }
    }

    /// A DTU that shows a stale copy is detached from it: it asks again, and
    /// is led to the session.
    pub(super) fn lead_away(&mut self, (session, epoch): CopyId) {
        let stale = self.table.get(session, epoch).filter(|known| known.stale);
        if let Some(dtu) = stale.and_then(|known| known.shown_on) {
            let message = ToKeeper::Detach(DetachDtu { dtu, insert: u64::MAX });
            self.actions.push(Action::TellKeeper { session, epoch, message });
        }
    }

    /// The host has another address: the sessions on it are told of anew.
    pub(super) fn moved_to(&mut self, address: Ipv4Addr) {
        if address == self.config.group.advertise {
            return;
        }
        self.log(Level::Warn, || format!("this host is reached at {address} now"));
        self.config.group.advertise = address;
        self.group.set_advertise(address);
        for copy in self.table.moved_to(address) {
            self.note_endpoint(copy);
        }
    }

    pub(super) fn found_is_judged(&mut self, copy: CopyId, answer: StoreAnswer) {
        match self.judged(copy, answer) {
            Ok(Confirmed::Superseded(newer)) => self.note_seen(copy.0, newer),
            Ok(Confirmed::Right(_)) => self.note_endpoint(copy),
            Ok(Confirmed::Unknown) => self.log(Level::Warn, || {
                format!("session {:?} epoch {} is not in the store", copy.0, copy.1)
            }),
            // It is asked again when somebody wants the session.
            Err(Down) => {}
        }
    }

    /// Tells the store where a copy is.
    pub(super) fn note_endpoint(&mut self, (session, epoch): CopyId) {
        let known = self.table.get(session, epoch).filter(|known| !known.stale);
        let Some(endpoint) = known.and_then(|known| known.endpoint) else { return };
        let (owner, endpoint) = (self.me().clone(), Some(endpoint));
        let operation = StoreOperation::SetEndpoint { session, epoch, owner, endpoint };
        self.ask_store(Asker::Endpoint((session, epoch)), operation);
    }

    /// The store heard where a copy is, or it is told again later.
    pub(super) fn endpoint_noted(&mut self, copy: CopyId, answer: StoreAnswer) {
        match answer {
            StoreAnswer::Done(true) => {}
            StoreAnswer::Down => {
                self.at(self.now.steady_ms + STORE_AGAIN_MS, Due::Endpoint(copy.0, copy.1));
            }
            // Taken over, or over: the store says which epoch counts.
            _ => self.ask_store(Asker::Seen(copy), StoreOperation::Session(copy.0)),
        }
    }

    /// The store says which epoch of a session counts.
    pub(super) fn seen_in_store(&mut self, copy: CopyId, answer: StoreAnswer) {
        if let Ok(Confirmed::Superseded(newer)) = self.judged(copy, answer) {
            self.note_seen(copy.0, newer);
        }
    }

    /// A copy is over: in the table, in the store, and for the DTUs that we
    /// know to show it. One that did not say so itself is only lost: the next
    /// insert starts its services again, and says so.
    pub(super) fn copy_ended(&mut self, copy: CopyId, text: &str, by_itself: bool) {
        let (session, epoch) = copy;
        self.log(Level::Info, || format!("session {session:?} epoch {epoch} is over: {text}"));
        let stale = self.table.remove(session, epoch).is_some_and(|known| known.stale);
        self.services_told.remove(&copy);
        match (stale, by_itself) {
            (true, _) => self.older_is_gone(copy),
            (false, true) => self.end_row(copy),
            (false, false) => {
                let (owner, endpoint) = (self.me().clone(), None);
                let operation = StoreOperation::SetEndpoint { session, epoch, owner, endpoint };
                self.ask_store(Asker::Over, operation);
            }
        }
        self.tell_ended(copy, text);
    }

    /// Tells the store that a session is over.
    pub(super) fn end_row(&mut self, (session, epoch): CopyId) {
        let owner = self.me().clone();
        let operation = StoreOperation::End { session, epoch, owner };
        self.ask_store(Asker::End((session, epoch)), operation);
    }

    /// The store heard that a session is over, or is told again later: else it
    /// would be started again, as if it had been lost.
    pub(super) fn end_noted(&mut self, copy: CopyId, answer: &StoreAnswer) {
        if *answer == StoreAnswer::Down {
            self.at(self.now.steady_ms + STORE_AGAIN_MS, Due::End(copy.0, copy.1));
        }
    }
}
