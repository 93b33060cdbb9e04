//! The sessions on this host.
//!
//! A copy whose epoch is lower than one that is known elsewhere is *stale*: it
//! goes on running, since a user may want what is in it, but nobody is
//! attached to it and nobody is told that it is the token's session.

use afterglow_wire::group::TokenSession;
use afterglow_wire::guard::{Guard, Guards};
use afterglow_wire::ids::{DtuId, Epoch, SessionId, Token};
use afterglow_wire::local::Status;
use afterglow_wire::service::{ServiceName, ServiceStatus};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

/// One copy of a session on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalSession {
    /// The session.
    pub id: SessionId,
    /// The copy's epoch.
    pub epoch: Epoch,
    /// Whose session it is.
    pub token: Token,
    /// What stands for the token in questions of the group.
    pub hash: [u8; 32],
    /// Where its display link is; `None` while it starts.
    pub endpoint: Option<SocketAddrV4>,
    /// The highest count of connections that was seen.
    pub connection: u64,
    /// The DTU that shows it.
    pub shown_on: Option<DtuId>,
    /// Its services, and how they stand.
    pub services: Vec<ServiceStatus>,
    /// True while its keeper says that it is frozen.
    pub frozen: bool,
    /// What its user should know.
    pub trouble: String,
    /// True if a higher epoch of it is known elsewhere.
    pub stale: bool,
    /// True if the store was asked since we know of this copy, or if we
    /// started it ourselves: then no other server has taken it over unless
    /// the store or a peer says so.
    pub verified: bool,
}

/// Why a session cannot be started here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPlace {
    /// The host has as many as it may.
    Full,
    /// The token has one here already.
    Taken,
}

/// The sessions on this host.
#[derive(Debug)]
pub struct Table {
    sessions: BTreeMap<(SessionId, Epoch), LocalSession>,
    max: usize,
    guards: Guards,
}

impl Table {
    /// An empty table for at most `max` sessions that this server starts.
    /// What runs already is always taken in.
    pub fn new(max: usize, guards: Guards) -> Self {
        Table { sessions: BTreeMap::new(), max, guards }
    }

    /// All copies on this host.
    pub fn all(&self) -> impl Iterator<Item = &LocalSession> {
        self.sessions.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// True if one more may be started.
    pub fn has_room(&self) -> bool {
        self.sessions.len() < self.max
    }

    /// One copy.
    pub fn get(&self, id: SessionId, epoch: Epoch) -> Option<&LocalSession> {
        self.sessions.get(&(id, epoch))
    }

    /// The copy that counts for a token: of those that are not stale the one
    /// that was connected last.
    pub fn of_token(&self, token: &Token) -> Option<&LocalSession> {
        self.best(|session| session.token == *token)
    }

    /// The copy of one of a token's sessions that counts.
    pub fn wanted(&self, token: &Token, wanted: Option<SessionId>) -> Option<&LocalSession> {
        let is_wanted = |session: &LocalSession| wanted.is_none_or(|id| session.id == id);
        self.best(|session| session.token == *token && is_wanted(session))
    }

    /// What to answer a question of the group.
    pub fn of_hash(&self, hash: &[u8; 32], wanted: Option<SessionId>) -> Option<TokenSession> {
        let is_wanted = |session: &LocalSession| wanted.is_none_or(|id| session.id == id);
        self.best(|session| session.hash == *hash && is_wanted(session)).map(|session| {
            TokenSession {
                session: session.id,
                epoch: session.epoch,
                connection: session.connection,
            }
        })
    }

    fn best(&self, wanted: impl Fn(&LocalSession) -> bool) -> Option<&LocalSession> {
        self.sessions
            .values()
            .filter(|session| !session.stale && wanted(session))
            .max_by_key(|session| (session.connection, session.epoch))
    }

    /// Keeps a place for a session that is about to be started, so that
    /// whoever asks meanwhile hears of it. If it is to be the token's `only`
    /// one, there must be no other here.
    pub fn reserve(
        &mut self,
        id: SessionId,
        epoch: Epoch,
        token: Token,
        hash: [u8; 32],
        connection: u64,
        only: bool,
    ) -> Result<(), NoPlace> {
        let other = only && self.of_token(&token).is_some();
        if other || self.sessions.contains_key(&(id, epoch)) {
            return Err(NoPlace::Taken);
        }
        if !self.has_room() {
            return Err(NoPlace::Full);
        }
        let session = LocalSession {
            id,
            epoch,
            token,
            hash,
            endpoint: None,
            connection,
            shown_on: None,
            services: Vec::new(),
            frozen: false,
            trouble: String::new(),
            stale: false,
            verified: true,
        };
        self.sessions.insert((id, epoch), session);
        Ok(())
    }

    /// Notes what a session says of itself; true if it was not known.
    pub fn status(&mut self, status: &Status, endpoint: SocketAddrV4, hash: [u8; 32]) -> bool {
        let key = (status.session, status.epoch);
        let new = !self.sessions.contains_key(&key);
        // Only a session that we did not start has to prove that it was not
        // taken over in the meantime.
        let session = self.sessions.entry(key).or_insert_with(|| LocalSession {
            id: status.session,
            epoch: status.epoch,
            token: status.token.clone(),
            hash,
            endpoint: None,
            connection: 0,
            shown_on: None,
            services: Vec::new(),
            frozen: false,
            trouble: String::new(),
            stale: false,
            verified: false,
        });
        session.endpoint = Some(endpoint);
        session.connection = session.connection.max(status.connection);
        session.shown_on = status.shown_on;
        session.services = status.services.to_vec();
        session.frozen = status.frozen;
        // A server that knew of a higher epoch has frozen it.
        session.stale |= status.frozen;
        session.trouble.clone_from(&status.trouble);
        self.age();
        new
    }

    /// Notes a count of connections.
    pub fn counted(&mut self, id: SessionId, epoch: Epoch, connection: u64) {
        if let Some(session) = self.sessions.get_mut(&(id, epoch)) {
            session.connection = session.connection.max(connection);
            session.verified = true;
        }
    }

    /// Notes that the store knows this copy as the session.
    pub fn verify(&mut self, id: SessionId, epoch: Epoch) {
        if let Some(session) = self.sessions.get_mut(&(id, epoch)) {
            session.verified = true;
        }
    }

    /// Notes that this epoch of the session is known somewhere: lower ones
    /// here are stale. Gives those that were not before.
    pub fn known_elsewhere(&mut self, id: SessionId, epoch: Epoch) -> Vec<LocalSession> {
        if !self.guards.make(Guard::OlderCopyStale) {
            return Vec::new();
        }
        let older = self.sessions.range_mut((id, Epoch(0))..(id, epoch));
        older
            .filter(|(_, session)| !session.stale)
            .map(|(_, session)| {
                session.stale = true;
                session.clone()
            })
            .collect()
    }

    /// The host has another address. Gives the copies that run.
    pub fn moved_to(&mut self, address: Ipv4Addr) -> Vec<(SessionId, Epoch)> {
        let running = self.sessions.iter_mut().filter_map(|(key, session)| {
            session.endpoint.as_mut().map(|endpoint| {
                endpoint.set_ip(address);
                *key
            })
        });
        running.collect()
    }

    /// The copies that are set aside.
    pub fn stale(&self) -> impl Iterator<Item = &LocalSession> {
        self.sessions.values().filter(|session| session.stale)
    }

    /// Forgets a copy: it is over, or could not be started.
    pub fn remove(&mut self, id: SessionId, epoch: Epoch) -> Option<LocalSession> {
        self.sessions.remove(&(id, epoch))
    }

    /// Of several copies of one session here, only the newest is not stale.
    fn age(&mut self) {
        let mut newest: Option<(SessionId, Epoch)> = None;
        for (key, session) in self.sessions.iter_mut().rev() {
            match newest {
                Some((id, _)) if id == key.0 => session.stale = true,
                _ => newest = Some(*key),
            }
        }
    }
}

impl LocalSession {
    /// Its services that run or are wanted to, by name.
    pub fn wanted_services(&self) -> Vec<ServiceName> {
        let wanted = self.services.iter().filter(|service| service.is_wanted());
        wanted.map(|service| service.name.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Token {
        "soft.ada".parse().expect("a token")
    }

    fn status(id: u8, epoch: u64, connection: u64) -> Status {
        Status {
            session: SessionId([id; 16]),
            epoch: Epoch(epoch),
            token: token(),
            port: 7100,
            shown_on: None,
            connection,
            services: Default::default(),
            frozen: false,
            trouble: String::new(),
        }
    }

    fn endpoint() -> SocketAddrV4 {
        "127.0.0.1:7100".parse().expect("an address")
    }

    #[test]
    fn of_two_sessions_the_last_connected_counts_and_of_two_copies_the_newest() {
        let mut table = Table::new(8, Guards::ALL);
        assert!(table.status(&status(1, 1, 5), endpoint(), [1; 32]));
        assert!(table.status(&status(2, 1, 9), endpoint(), [1; 32]));
        assert!(!table.status(&status(2, 1, 8), endpoint(), [1; 32]));
        assert_eq!(table.of_token(&token()).map(|s| (s.id.0[0], s.connection)), Some((2, 9)));
        table.status(&status(1, 2, 5), endpoint(), [1; 32]);
        assert!(table.get(SessionId([1; 16]), Epoch(1)).is_some_and(|s| s.stale));
        assert_eq!(table.of_hash(&[1; 32], None).map(|s| s.session.0[0]), Some(2));
        assert_eq!(table.of_hash(&[2; 32], None), None);
    }

    #[test]
    fn a_stale_copy_runs_on_and_counts_for_nothing() {
        let mut table = Table::new(8, Guards::ALL);
        table.status(&status(1, 1, 5), endpoint(), [1; 32]);
        assert_eq!(table.known_elsewhere(SessionId([1; 16]), Epoch(1)), vec![]);
        assert_eq!(table.known_elsewhere(SessionId([1; 16]), Epoch(2)).len(), 1);
        assert_eq!(table.known_elsewhere(SessionId([1; 16]), Epoch(2)), vec![]);
        assert_eq!(table.of_token(&token()), None);
        assert_eq!(table.of_hash(&[1; 32], None), None);
        assert_eq!(table.len(), 1);
        // What it says later does not make it the session again.
        table.status(&status(1, 1, 7), endpoint(), [1; 32]);
        assert_eq!(table.of_token(&token()), None);
    }

    #[test]
    fn a_place_is_kept_once_and_within_the_limit() {
        let mut table = Table::new(1, Guards::ALL);
        let id = SessionId([1; 16]);
        assert_eq!(table.reserve(id, Epoch(1), token(), [1; 32], 1, true), Ok(()));
        assert_eq!(table.of_hash(&[1; 32], None).map(|s| s.session), Some(id));
        let again = table.reserve(SessionId([2; 16]), Epoch(1), token(), [1; 32], 1, true);
        assert_eq!(again, Err(NoPlace::Taken));
        let other = "soft.eve".parse().expect("a token");
        let full = table.reserve(SessionId([2; 16]), Epoch(1), other, [2; 32], 1, true);
        assert_eq!(full, Err(NoPlace::Full));
        table.remove(id, Epoch(1));
        assert!(table.has_room());
    }

    #[test]
    fn what_was_found_is_not_verified_until_the_store_was_asked() {
        let mut table = Table::new(8, Guards::ALL);
        table.status(&status(1, 1, 5), endpoint(), [1; 32]);
        assert!(!table.of_token(&token()).expect("is there").verified);
        table.counted(SessionId([1; 16]), Epoch(1), 6);
        let session = table.of_token(&token()).expect("is there");
        assert!(session.verified && session.connection == 6);
    }
}
