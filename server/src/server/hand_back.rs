//! A server that was silent speaks again: its DTUs go back to it.

use super::{Shared, ToLink, group_link, tickets};
use crate::group::Ask;
use afterglow_wire::control::{Redirect, RedirectPlan};
use afterglow_wire::group::TokenSession;
use afterglow_wire::ids::ServerName;
use afterglow_wire::ticket::{Permit, Plan};
use std::sync::Arc;

/// Asks a server that was heard for the sessions that we care for in its
/// place, and sends their DTUs back if it has them.
pub async fn owner_heard(shared: Arc<Shared>, owner: ServerName) {
    let now_ms = shared.clock.now().steady_ms;
    let tokens = super::lock(&shared.care).tokens_of(&owner, now_ms);
    for token in tokens {
        let answers = group_link::ask(&shared, &Ask::Server(owner.clone()), &token).await;
        let Some(found) = answers.spoke.get(&owner).copied().flatten() else { continue };
        let now_ms = shared.clock.now().steady_ms;
        let back = super::lock(&shared.care).answered(&owner, &token, found, now_ms);
        for (link, cared) in back {
            let Some(entry) = super::lock(&shared.links).get(&link).cloned() else { continue };
            tracing::info!("{owner} is back: desktop unit {:?} returns to it", entry.dtu);
            let found = TokenSession { connection: cared.connection, ..found };
            let permit = Permit::Redirect { to: owner.clone(), plan: Plan::Existing };
            let to = super::lock(&shared.group.manager).reaches(&owner, entry.address);
            let Some(address) = to else { continue };
            let whose = tickets::Whose { dtu: entry.dtu, token: &token, insert: cared.insert };
            let ticket = tickets::sign(&shared, permit, whose, found);
            let redirect = Redirect {
                insert: cared.insert,
                to: afterglow_wire::control::Server { name: owner.clone(), address },
                ticket,
                plan: RedirectPlan::Existing,
            };
            // A full queue: it is told again later.
            let _ = entry.sender.try_send(ToLink::Tell(redirect.into()));
        }
    }
}
