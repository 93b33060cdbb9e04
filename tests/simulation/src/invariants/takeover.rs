//! 5: failover never destroys a session that still runs, and never replaces
//! one that a reachable host still answers for. And of each epoch of a session
//! there is one copy, on the host that the store names.

use crate::network::server_ip;
use crate::plan::{MS_US, SECOND_US};
use crate::queue::Process;
use crate::world::World;
use afterglow_server::core::Launch;
use afterglow_server::store::{SessionRow, Wish};
use afterglow_wire::ids::{Epoch, SessionId};
use afterglow_wire::local::ToKeeper;

/// Longer than a host is asked before it counts as lost, three rounds of at
/// most 400 ms: one that was there for all of that time, and kept up, was
/// heard.
const ASKED_US: u64 = 1_300 * MS_US;

impl World {
    /// A server has taken a session over.
    pub fn judge_taken_over(&mut self, server: usize, before: &SessionRow) {
        self.oracle.take_overs += 1;
        let (session, epoch) = (before.id, before.epoch);
        let old = self.copies.iter().position(|copy| copy.is(session, epoch) && copy.alive);
        let Some(copy) = old else { return };
        if self.vouched_for(server, session, epoch) {
            self.violated(5, || {
                format!(
                    "s{server:02} takes {session:?} over from epoch {epoch}, which the desktop \
                     unit that asks still shows"
                )
            });
        }
        if self.would_have_answered(server, copy, before) {
            self.violated(5, || {
                format!(
                    "s{server:02} takes {session:?} over from epoch {epoch}, which runs as copy \
                     {copy} and would have answered"
                )
            });
        }
    }

    /// True if every desktop unit that wants the session from this server
    /// told it that it shows this copy.
    fn vouched_for(&self, server: usize, session: SessionId, epoch: Epoch) -> bool {
        let life = self.servers[server].life_of(server);
        let token = self.store.session(session).map(|row| &row.token);
        let mut wanted = 0;
        for stream in self.streams.values() {
            let here = stream.acceptor == crate::stream::Acceptor::Server(life);
            if !here || stream.acceptor_gone.is_some() {
                continue;
            }
            let Some((insert, _)) = &stream.facts.insert else { continue };
            if Some(&insert.token) != token || insert.insert <= stream.facts.removed {
                continue;
            }
            let shows = insert
                .showing
                .is_some_and(|showing| (showing.session, showing.epoch) == (session, epoch));
            if !shows {
                return false;
            }
            wanted += 1;
        }
        wanted > 0
    }

    /// True if the copy, or its server, could be reached all the time while
    /// the taking server asked.
    fn would_have_answered(&self, server: usize, copy: usize, before: &SessionRow) -> bool {
        let since_us = self.now_us.saturating_sub(ASKED_US);
        let found = &self.copies[copy];
        let (here, there) = (server_ip(server, 0), server_ip(found.host, 0));
        let bad_us = [
            self.network.last_bad_us(here, there, self.now_us),
            self.network.last_bad_us(there, here, self.now_us),
            self.last_stalled_us(Process::Server(server)),
            self.servers[server].started_us,
        ];
        if bad_us.iter().any(|bad_us| *bad_us >= since_us) {
            return false;
        }
        let endpoint = std::net::SocketAddrV4::new(there, found.port);
        let known_us = self.store.endpoint_us.get(&before.id).copied().unwrap_or(u64::MAX);
        let session = found.working
            && before.endpoint == Some(endpoint)
            && known_us.max(found.born_us) < since_us
            && self.oracle.worker_us(copy) < since_us
            && self.last_stalled_us(Process::Copy(copy)) < since_us;
        let owner = &self.servers[found.host];
        let manager = owner.core.is_some()
            && owner.known.contains(&copy)
            && owner.started_us.max(found.born_us) + SECOND_US < since_us
            && found.host != server
            && !self.oracle.is_stale(found.host, before.id, before.epoch)
            && self.last_stalled_us(Process::Server(found.host)) < since_us;
        session || manager
    }

    /// A server starts a copy: the one that the store made its own.
    pub(super) fn judge_start(&mut self, server: usize, launch: &Launch) {
        let (session, epoch) = (launch.row.id, launch.row.epoch);
        let owner = self.store.owners.get(&(session, epoch)).map(|(owner, _)| owner.clone());
        let name = self.servers[server].name.clone();
        if owner.as_ref() != Some(&name) {
            self.violated(9, || {
                format!("{name} starts epoch {epoch} of {session:?}; its owner is {owner:?}")
            });
        }
    }

    /// A copy has come up: the only one of its epoch.
    pub fn judge_launched(&mut self, copy: usize) {
        let found = &self.copies[copy];
        let key = (found.session, found.epoch);
        if let Some(other) = self.oracle.launched.insert(key, copy) {
            self.violated(9, || format!("{key:?} runs as copy {copy}, and ran as copy {other}"));
        }
    }

    /// A server does not want what it made ready: it must not run.
    pub(super) fn judge_discard(&mut self, server: usize, session: SessionId, epoch: Epoch) {
        let runs = self
            .copies
            .iter()
            .any(|copy| copy.host == server && copy.is(session, epoch) && copy.alive);
        if runs {
            self.violated(5, || {
                format!("s{server:02} discards epoch {epoch} of {session:?}, which runs")
            });
        }
    }

    /// A server says something to a session: it ends only an earlier copy, and
    /// only by its user's word.
    pub(super) fn judge_tells_keeper(
        &mut self,
        server: usize,
        (session, epoch): (SessionId, Epoch),
        message: &ToKeeper,
    ) {
        let wanted = self.oracle.decided.get(&(session, epoch)) == Some(&Wish::End);
        if matches!(message, ToKeeper::End(_)) && !wanted {
            self.violated(5, || format!("s{server:02} ends epoch {epoch} of {session:?}"));
        }
    }

    /// A copy is frozen: one that was taken over.
    pub fn judge_frozen(&mut self, copy: usize) {
        self.oracle.older.0 += 1;
        let (session, epoch) = (self.copies[copy].session, self.copies[copy].epoch);
        let stored = self.store.session(session).map(|row| row.epoch);
        if stored.is_none_or(|stored| stored <= epoch) {
            self.violated(5, || {
                format!("copy {copy}, epoch {epoch} of {session:?}, is frozen; it is {stored:?}")
            });
        }
    }

    /// A frozen copy goes on: by its user's word, and as what the store has.
    pub fn judge_goes_on(&mut self, copy: usize, was: (SessionId, Epoch)) {
        self.oracle.older.1 += 1;
        let found = &self.copies[copy];
        let row = self.store.session(found.session);
        let stored = row.is_some_and(|row| row.token == found.token);
        let wanted = self.oracle.decided.get(&was) == Some(&Wish::Continue);
        if !wanted || !stored {
            self.violated(5, || {
                format!("copy {copy}, {was:?}, goes on: wanted {wanted}, stored {stored}")
            });
        }
        self.judge_launched(copy);
    }

    /// A session is new on a server that takes leave.
    pub fn judge_created(&mut self, server: usize, session: SessionId) {
        let Some(since_us) = self.servers[server].draining_us else { return };
        // What was under way when it was told is not new.
        if self.now_us > since_us + SECOND_US {
            self.violated(11, || {
                format!("s{server:02} takes leave, and gets the new session {session:?}")
            });
        }
    }
}
