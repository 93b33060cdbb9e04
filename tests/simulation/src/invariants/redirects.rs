//! 6: redirects end. An insert follows at most three, and is not sent to a
//! server that its desktop unit could not reach; a redirect to an existing
//! session that is not there is refused, never silently a new one.

use crate::world::World;
use afterglow_wire::control::{Attach, Cause, Insert, Origin, Redirect, RedirectPlan};
use afterglow_wire::limits::REDIRECTS_MAX;

impl World {
    /// A desktop unit sends an insert.
    pub fn judge_insert_sent(&mut self, dtu: usize, insert: &Insert) {
        if insert.cause != Cause::Redirect {
            return;
        }
        let followed = self.oracle.followed.entry((dtu, insert.insert)).or_default();
        *followed += 1;
        let followed = *followed;
        if followed > u32::from(REDIRECTS_MAX) {
            self.violated(6, || {
                format!("insert {} of desk{dtu} follows redirect {followed}", insert.insert)
            });
        }
    }

    /// A server sends a desktop unit on.
    pub(super) fn judge_redirect(&mut self, server: usize, link: u64, redirect: &Redirect) {
        if let Some(bearer) = self.id_behind(link) {
            let followed = (redirect.ticket.clone(), redirect.plan);
            self.oracle.plans.insert((bearer, redirect.insert), followed);
        }
        let Some(stream) = self.streams.get(&link) else { return };
        let Some((insert, _)) = &stream.facts.insert else { return };
        // The way back to a session's own server is no choice of a server.
        if insert.insert != redirect.insert || self.is_cared_for(link) {
            return;
        }
        let (unreachable, redirects) =
            (insert.unreachable.contains(&redirect.to.name), insert.redirects);
        if unreachable {
            self.violated(6, || {
                format!(
                    "s{server:02} sends insert {} to {}, which it could not reach",
                    redirect.insert, redirect.to.name
                )
            });
        }
        if redirects >= REDIRECTS_MAX {
            self.violated(6, || {
                format!(
                    "s{server:02} sends insert {} on after {redirects} redirects",
                    redirect.insert
                )
            });
        }
    }

    fn is_cared_for(&self, link: u64) -> bool {
        self.streams.get(&link).is_some_and(|stream| stream.facts.cared_for)
    }

    /// A server attaches a desktop unit: as its redirect said.
    pub(super) fn judge_attach_plan(&mut self, link: u64, attach: &Attach) {
        let caretaken = attach.origin == Origin::Caretaken;
        let Some(stream) = self.streams.get_mut(&link) else { return };
        stream.facts.cared_for = caretaken;
        let Some((insert, _)) = &stream.facts.insert else { return };
        let Some(sealed) = insert.ticket.clone().filter(|_| insert.cause == Cause::Redirect) else {
            return;
        };
        let number = insert.insert;
        let Some(bearer) = self.id_behind(link) else { return };
        let followed = self.oracle.plans.get(&(bearer, number));
        let existing = followed
            .is_some_and(|(ticket, plan)| *ticket == sealed && *plan == RedirectPlan::Existing);
        if existing && matches!(attach.origin, Origin::New | Origin::TakenOver) {
            self.violated(6, || {
                format!(
                    "insert {number} of {bearer:?} was sent to an existing session and got one \
                     that is {:?}",
                    attach.origin
                )
            });
        }
    }
}
