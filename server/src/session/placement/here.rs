//! What runs on this host comes first, once the store agrees that it is the
//! session.

use super::{Placement, State};
use crate::session::act::{Act, Attachment, Confirmed, Down, LocalCopy, Step};
use crate::session::notice::Notice;
use crate::store::SessionRow;
use afterglow_wire::control::{Origin, Stage};
use afterglow_wire::guard::Guard;
use afterglow_wire::sessions::Want;
use afterglow_wire::ticket::Plan;
use std::net::SocketAddrV4;

impl Placement {
    /// What runs here comes first.
    pub(super) fn here(&mut self, copy: Option<LocalCopy>) -> Step {
        let superseded = |copy: &LocalCopy| {
            self.guards.make(Guard::ConfirmEpoch)
                && self.at_least.is_some_and(|(id, epoch)| id == copy.session && epoch > copy.epoch)
        };
        let (copy, seen) = match copy {
            // A copy becomes stale by a server's word, not by a DTU's.
            Some(copy) if superseded(&copy) => (None, self.ticketed),
            copy => (copy, None),
        };
        if let Some((Plan::Existing, session, _)) = self.plan
            && copy.as_ref().is_none_or(|copy| copy.session != session)
            && self.guards.make(Guard::ExistingStaysExisting)
        {
            return Step { seen, ..self.not_here() };
        }
        if let Some(copy) = copy.filter(|_| self.wanted.is_some() || self.want != Want::New) {
            if self.wanted.is_none() && self.plan.is_none() {
                self.state = State::Comparing(copy);
                return Step { seen, ..Act::ReadStore.into() };
            }
            return self.take(copy);
        }
        if let Some((Plan::New, id, _)) = self.plan.filter(|_| !self.maybe_made) {
            return Step { seen, ..self.create(Some(id)) };
        }
        if self.wanted.is_none() && self.want == Want::New {
            return self.choose(None);
        }
        Step { seen, ..self.ask_group() }
    }

    /// The session is the one that was connected last. What runs here gives
    /// way only to what the store knows to be later.
    pub(super) fn compared(
        &mut self,
        copy: LocalCopy,
        row: Result<Option<SessionRow>, Down>,
    ) -> Step {
        match row {
            Ok(Some(row)) if row.id != copy.session && row.connection > copy.connection => {
                self.wanted = Some(row.id);
                self.begin()
            }
            // The store was asked already, and does not answer.
            // It may have become stale meanwhile.
            Err(Down) => {
                self.state = State::HereAlone;
                Act::LookHere.into()
            }
            Ok(_) => self.take(copy),
        }
    }

    /// The store was asked already, and does not answer: what runs here goes
    /// on without it.
    pub(super) fn here_alone(&mut self, copy: Option<LocalCopy>) -> Step {
        let runs = copy.as_ref().filter(|copy| copy.verified).and_then(|copy| copy.endpoint);
        match (copy, runs) {
            (Some(copy), Some(endpoint)) => {
                let connection = copy.connection + u64::from(self.counted.is_none());
                Act::Attach(self.own(&copy, endpoint, connection)).into()
            }
            (Some(copy), None) => self.take(copy),
            (None, _) => self.ask_group(),
        }
    }

    /// Goes to what runs here, once it does.
    pub(super) fn take(&mut self, copy: LocalCopy) -> Step {
        match copy.endpoint {
            Some(endpoint) => self.confirm_own(copy, endpoint),
            None => {
                let (session, epoch) = (copy.session, copy.epoch);
                self.state = State::Awaiting(copy);
                let act = Act::AwaitStart { session, epoch };
                Step::on(Stage::Starting, Some(self.me.clone()), act)
            }
        }
    }

    pub(super) fn ask_group(&mut self) -> Step {
        self.state = State::Asking;
        let except = self.unreachable.clone();
        Step::on(Stage::Looking, None, Act::AskGroup { except })
    }

    pub(super) fn confirm_own(&mut self, copy: LocalCopy, endpoint: SocketAddrV4) -> Step {
        // What the store counts is not less than what we know: it may have
        // been away while we counted.
        let connection = copy.connection + u64::from(self.counted.is_none());
        let attachment = self.own(&copy, endpoint, connection);
        // Without the store a copy of our own is good if we know that it was
        // not taken over; the count then goes on from what we know.
        let unconfirmed = copy.verified.then_some(attachment.connection);
        self.confirm(attachment, unconfirmed)
    }

    pub(super) fn own(
        &self,
        copy: &LocalCopy,
        endpoint: SocketAddrV4,
        connection: u64,
    ) -> Attachment {
        Attachment {
            session: copy.session,
            epoch: copy.epoch,
            host: self.me.clone(),
            endpoint,
            connection,
            origin: Origin::Existing,
            notice: match &self.gone {
                None => Notice::None,
                Some(by) => Notice::Replaced { by: by.clone(), new: false },
            },
        }
    }

    pub(super) fn confirm(&mut self, attachment: Attachment, unconfirmed: Option<u64>) -> Step {
        let (session, epoch) = (attachment.session, attachment.epoch);
        let count = self.counted.is_none();
        self.state = State::Confirming { attachment, unconfirmed };
        Act::Confirm { session, epoch, count }.into()
    }

    pub(super) fn confirmed(
        &mut self,
        mut attachment: Attachment,
        unconfirmed: Option<u64>,
        said: Result<Confirmed, Down>,
    ) -> Step {
        let own = self.is_own(&attachment);
        let said = match said {
            Ok(Confirmed::Superseded(_)) if !self.guards.make(Guard::ConfirmEpoch) => {
                Ok(Confirmed::Right(unconfirmed.unwrap_or(1)))
            }
            said => said,
        };
        let connection = match (said, unconfirmed) {
            (Ok(Confirmed::Right(connection)), _) => connection,
            (Ok(Confirmed::Superseded(epoch)), _) => {
                let seen = Some((attachment.session, epoch));
                let next = match self.plan {
                    Some((Plan::Existing, ..)) => self.not_here(),
                    _ if own => self.ask_group(),
                    _ => self.start_over(),
                };
                return Step { seen, ..next };
            }
            (Ok(Confirmed::Unknown), Some(connection)) => connection,
            // A copy that was found running and that the store never heard
            // of cannot have been taken over through this store.
            (Ok(Confirmed::Unknown), None) if own => 1,
            (Ok(Confirmed::Unknown), None) => return self.start_over(),
            (Err(Down), Some(connection)) => connection,
            (Err(Down), None) => return self.wait_for_store(),
        };
        attachment.connection = self.counted.unwrap_or(connection.max(attachment.connection));
        Act::Attach(attachment).into()
    }

    pub(super) fn is_own(&self, attachment: &Attachment) -> bool {
        attachment.host == self.me && attachment.origin == Origin::Existing
    }

    /// True while it waits for the store's word about a copy of this host.
    pub fn confirms_own(&self) -> bool {
        match &self.state {
            State::Confirming { attachment, .. } => self.is_own(attachment),
            _ => false,
        }
    }
}
