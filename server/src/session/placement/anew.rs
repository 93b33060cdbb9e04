//! What does not answer is probed, taken over and started again; what there is
//! not is started.

use super::{Placement, ROUNDS, State, refuse};
use crate::session::act::{Act, Attachment, Down, Probed, Step};
use crate::session::notice::Notice;
use crate::store::SessionRow;
use afterglow_wire::control::{Origin, RefusalCode, Stage};
use afterglow_wire::guard::Guard;
use afterglow_wire::ids::SessionId;
use afterglow_wire::sessions::Want;
use std::net::SocketAddrV4;

impl Placement {
    pub(super) fn probe(&mut self, row: Box<SessionRow>, round: u32, server_spoke: bool) -> Step {
        let server = (row.owner != self.me && !server_spoke).then(|| row.owner.clone());
        if server.is_none() && row.endpoint.is_none()
            || !self.guards.make(Guard::ProbeBeforeTakeover)
        {
            return self.take_over(row);
        }
        let host = row.owner.clone();
        let (endpoint, session, epoch) = (row.endpoint, row.id, row.epoch);
        let act = Act::Probe { round, server, endpoint, session, epoch };
        self.state = State::Probing { row, round, server_spoke };
        Step::on(Stage::Probing, Some(host), act)
    }

    pub(super) fn probed(
        &mut self,
        row: Box<SessionRow>,
        round: u32,
        server_spoke: bool,
        probed: Probed,
    ) -> Step {
        if let Some(Some(found)) = probed.server
            && (found.session != row.id || found.epoch >= row.epoch)
        {
            return self.go_to(row.owner.clone(), found, Some(*row));
        }
        if let (Some(said), Some(endpoint)) = (probed.endpoint, row.endpoint)
            && said == (row.id, row.epoch)
        {
            return self.caretake(row.id, row.epoch, row.owner, endpoint);
        }
        // Its server says that it has no such session: no need to ask again.
        let server_spoke = server_spoke || probed.server.is_some();
        let lost = self.had_it || probed.down || server_spoke || row.owner == self.me;
        if round < ROUNDS || !lost {
            return self.probe(row, round.saturating_add(1), server_spoke);
        }
        // A session that had just started has told where it is by now.
        if round > ROUNDS || row.endpoint.is_none() {
            self.state = State::Rereading { row, server_spoke };
            return Act::ReadStore.into();
        }
        self.take_over(row)
    }

    pub(super) fn read_again(
        &mut self,
        row: Box<SessionRow>,
        server_spoke: bool,
        again: Result<Option<SessionRow>, Down>,
    ) -> Step {
        match again {
            Err(Down) => self.wait_for_store(),
            Ok(Some(again)) if (again.id, again.epoch) == (row.id, row.epoch) => {
                match again.endpoint == row.endpoint {
                    true => self.take_over(row),
                    false => self.probe(Box::new(again), 1, server_spoke),
                }
            }
            Ok(_) => self.start_over(),
        }
    }

    pub(super) fn take_over(&mut self, row: Box<SessionRow>) -> Step {
        if !self.room {
            return match self.plan {
                Some(_) => self.full(),
                None => self.choose(Some(row)),
            };
        }
        let count = self.counted.is_none();
        self.state = State::TakingOver(row.clone());
        Step::on(Stage::Restarting, Some(self.me.clone()), Act::TakeOver { row, count })
    }

    pub(super) fn create(&mut self, id: Option<SessionId>) -> Step {
        if !self.room {
            return self.full();
        }
        self.state = State::Creating;
        let only = self.want != Want::New;
        Step::on(Stage::Starting, Some(self.me.clone()), Act::Create { id, only })
    }

    pub(super) fn started(
        &mut self,
        origin: Origin,
        connection: u64,
        lost: Option<Box<SessionRow>>,
        started: Result<SocketAddrV4, String>,
    ) -> Step {
        let (endpoint, (session, epoch)) = match (started, self.starting) {
            (Ok(endpoint), Some(starting)) => (endpoint, starting),
            (Err(text), _) => return refuse(RefusalCode::SessionFailed, text),
            (Ok(_), None) => {
                return refuse(RefusalCode::SessionFailed, "no session was started".into());
            }
        };
        let notice = match (lost, self.gone.take()) {
            (Some(row), _) => Notice::Restarted(row),
            (None, Some(by)) => Notice::Replaced { by, new: true },
            (None, None) => Notice::None,
        };
        let host = self.me.clone();
        Act::Attach(Attachment { session, epoch, host, endpoint, connection, origin, notice })
            .into()
    }
}
