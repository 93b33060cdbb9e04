//! The services of sessions: which of the catalogue a session gets, and what
//! the store hears of those that run.

use super::ask::Asker;
use super::{CopyId, Due, ServerCore, StoreAnswer, StoreOperation};
use crate::store::UserRow;
use afterglow_wire::service::{ServiceName, ServiceSpec};

/// How often the store is told again, in milliseconds.
const STORE_AGAIN_MS: u64 = 1_000;

impl ServerCore {
    /// The catalogue of a session that is about to start. Its keeper knows what
    /// of it runs: that depends on the user's own services, too.
    pub(super) fn catalogue_of(&self, user: Option<&UserRow>) -> Vec<ServiceSpec> {
        let may_have = |name: &ServiceName| {
            let own = user.and_then(|user| user.catalogue.as_ref());
            own.is_none_or(|catalogue| catalogue.contains(name))
        };
        let offered = self.config.services.iter().filter(|service| may_have(&service.name));
        let fitted = offered.map(|service| {
            let own = user.and_then(|user| user.required.as_ref());
            let required = own.map_or(service.required, |own| own.contains(&service.name));
            ServiceSpec { required, ..service.clone() }
        });
        fitted.collect()
    }

    /// Tells the store which of a copy's services run, if that changed.
    pub(super) fn note_services(&mut self, copy: CopyId) {
        let Some(known) = self.table.get(copy.0, copy.1).filter(|known| !known.stale) else {
            return;
        };
        let services = known.wanted_services();
        if self.services_told.get(&copy) == Some(&services) {
            return;
        }
        self.services_told.insert(copy, services.clone());
        let (owner, (session, epoch)) = (self.me().clone(), copy);
        let operation = StoreOperation::SetServices { session, epoch, owner, services };
        self.ask_store(Asker::Services(copy), operation);
    }

    /// The store heard of a copy's services, or is told again later.
    pub(super) fn services_noted(&mut self, copy: CopyId, answer: &StoreAnswer) {
        if *answer == StoreAnswer::Down {
            self.services_told.remove(&copy);
            self.at(self.now.steady_ms + STORE_AGAIN_MS, Due::Services(copy.0, copy.1));
        }
    }
}
