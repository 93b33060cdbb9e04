//! What must hold, judged from what the world knows and the servers do not.

use super::desk::token_of;
use super::faults::Fault;
use super::world::{Life, World};
use afterglow_server::auth::LinkId;
use afterglow_server::core::{Action, RequestId, StoreAnswer, StoreOperation};
use afterglow_server::store::SessionRow;
use afterglow_wire::control::{Insert, ToDtu, ToServer};
use afterglow_wire::group::GroupMessage;
use afterglow_wire::ids::{Epoch, SessionId, Token};
use afterglow_wire::sessions::Sessions;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddrV4;

/// Longer than a host is asked before it counts as lost, three rounds of at
/// most 400 ms.
const ASKED_MS: u64 = 1_300;

/// What the judge knows.
#[derive(Debug, Default)]
pub struct Judge {
    /// The highest epoch of a session that a server's process was told.
    pub learnt: BTreeMap<(usize, SessionId), Epoch>,
    /// The sessions of which a server was told less than it knows itself, and
    /// what it knows.
    pub behind: BTreeMap<(usize, SessionId), Epoch>,
    /// Questions to the store that were answered.
    pub answered: BTreeSet<(Life, RequestId)>,
    /// The copies that their users, or an administrator, ended or moved.
    pub may_end: BTreeSet<(SessionId, Epoch)>,
    /// The sessions that an administrator ended, whatever their epoch.
    pub may_end_any: BTreeSet<SessionId>,
    /// The earlier copies that somebody let go on.
    pub may_continue: BTreeSet<(SessionId, Epoch)>,
    /// The sessions that an administrator moves.
    pub may_move: BTreeSet<SessionId>,
    /// The tokens that may have more than one session.
    pub more: BTreeSet<Token>,
    /// The newest insert on each link, and when it was said.
    inserts: BTreeMap<LinkId, (Insert, u64)>,
    removed: BTreeMap<LinkId, u64>,
    launched: BTreeSet<(SessionId, Epoch)>,
    /// When a server asked for each take-over.
    asked_ms: BTreeMap<(usize, SessionId, Epoch), u64>,
    /// When a server was last told that the store does not answer.
    down_ms: BTreeMap<usize, u64>,
    /// Since when a session's endpoint is as it is.
    endpoint_ms: BTreeMap<SessionId, u64>,
    /// True if the store took epochs that it did not keep: it will never know
    /// as much again.
    diverged: bool,
}

impl World {
    /// True if the store may contradict itself: then less can be said.
    fn store_lies(&self) -> bool {
        self.plan.has(Fault::StoreGoesBack)
    }

    /// Somebody lets an earlier copy of this session go on.
    pub fn allow_more(&mut self, session: SessionId) {
        if let Some(row) = self.store.model.sessions.get(&session) {
            self.judge.more.insert(row.token.clone());
        }
    }

    /// A desktop unit says something.
    pub fn note_said(&mut self, link: LinkId, message: &ToServer) {
        match message {
            ToServer::Insert(insert) => {
                self.judge.inserts.insert(link, (insert.clone(), self.now_ms));
            }
            ToServer::Remove(remove) => {
                let removed = self.judge.removed.entry(link).or_default();
                *removed = (*removed).max(remove.insert);
            }
            _ => {}
        }
    }

    /// A server is about to do something.
    pub fn judge_action(&mut self, server: usize, action: &Action) {
        match action {
            Action::SendLink { link, message: ToDtu::Attach(attach) } => {
                let (session, epoch) = (attach.session, attach.epoch);
                self.judge_claim(server, "attaches to", session, epoch);
                self.judge_attach(server, *link, (session, epoch), attach.insert);
            }
            Action::SendLink { link, message: ToDtu::Redirect(redirect) } => {
                let removed = self.judge.removed.get(link).copied().unwrap_or(0);
                if redirect.insert <= removed {
                    self.violated(|| format!("s{server} sends a removed token on"));
                }
            }
            Action::SendDatagram(transmit) if transmit.datagram.starts_with(b"tokenR=") => {
                if let Ok(received) = GroupMessage::parse(&transmit.datagram, None)
                    && let GroupMessage::TokenR(answer) = received.message
                    && let Some(said) = answer.session
                {
                    self.judge_claim(server, "says that it has", said.session, said.epoch);
                }
            }
            Action::Start(launch) => {
                let copy = (launch.row.id, launch.row.epoch);
                let owner = self.store.owners.get(&copy).map(|(owner, _)| *owner);
                if owner != Some(server) && !self.store_lies() {
                    self.violated(|| {
                        format!("s{server} starts {copy:?}, and the store gave it to {owner:?}")
                    });
                }
            }
            Action::Discard { session, epoch } => {
                let copy = (*session, *epoch);
                let runs = |found: &super::keeper::Copy| {
                    found.host == server && found.alive && found.is(copy)
                };
                if self.copies.iter().any(runs) && !self.store_lies() {
                    self.violated(|| format!("s{server} discards {copy:?}, which runs"));
                }
            }
            _ => {}
        }
    }

    /// 2: nobody speaks for a copy that he knows to be older than the session.
    fn judge_claim(&mut self, server: usize, does: &str, session: SessionId, epoch: Epoch) {
        let learnt = self.judge.learnt.get(&(server, session)).copied();
        let copies = self.copies.iter();
        let forgotten = copies.filter(|copy| copy.is((session, epoch))).any(|copy| copy.was_away);
        let knows = learnt.is_some_and(|learnt| epoch < learnt) && !forgotten;
        if knows && !self.store_lies() {
            self.violated(|| {
                format!("s{server} {does} epoch {epoch} of {session:?}, and knows {learnt:?}")
            });
        }
    }

    fn judge_attach(
        &mut self,
        server: usize,
        link: LinkId,
        (session, epoch): (SessionId, Epoch),
        number: u64,
    ) {
        if number <= self.judge.removed.get(&link).copied().unwrap_or(0) {
            self.violated(|| format!("s{server} attaches a removed token to {session:?}"));
        }
        let Some((insert, asked_ms)) = self.judge.inserts.get(&link).cloned() else {
            return self.violated(|| format!("s{server} attaches who did not ask"));
        };
        let copies = self.copies.iter().filter(|copy| copy.is((session, epoch)));
        let others = copies.filter(|copy| copy.token != insert.token).count();
        if others > 0 {
            self.violated(|| format!("{session:?} is not of {:?}", insert.token));
        }
        let newer = self.store.owners.get(&(session, epoch.next())).map(|(_, at_ms)| *at_ms);
        let told_ms = self.judge.down_ms.get(&server).copied().unwrap_or(0);
        let reached = told_ms < asked_ms && !self.store.away.contains(&server);
        if newer.is_some_and(|newer_ms| newer_ms < asked_ms) && reached && !self.store_lies() {
            self.violated(|| {
                format!(
                    "s{server} attaches to epoch {epoch} of {session:?}; the store had a higher \
                     one before it was asked"
                )
            });
        }
    }

    /// A server asks the store for something.
    pub fn judge_asked(&mut self, server: usize, operation: &StoreOperation) {
        if let StoreOperation::TakeOver { session, from, .. } = operation {
            self.judge.asked_ms.insert((server, *session, *from), self.now_ms);
            let behind = self.judge.behind.keys().find(|(of, _)| *of == server);
            if let Some((_, known)) = behind.copied() {
                self.violated(|| {
                    format!("s{server} takes {session:?} over; the store lost data of {known:?}")
                });
            }
        }
    }

    /// The store is about to do something: the row as it is.
    pub fn judge_before(&self, operation: &StoreOperation) -> Option<SessionRow> {
        match operation {
            StoreOperation::TakeOver { session, .. } => {
                self.store.model.sessions.get(session).cloned()
            }
            _ => None,
        }
    }

    /// The store did something.
    pub fn judge_done(
        &mut self,
        server: usize,
        operation: &StoreOperation,
        before: Option<SessionRow>,
        answer: &StoreAnswer,
    ) {
        let changed = matches!(answer, StoreAnswer::Count(Some(_)) | StoreAnswer::Done(true));
        if !changed {
            if let StoreOperation::TakeOver { .. } = operation {
                self.count("lost races");
            }
            return;
        }
        let now_ms = self.now_ms;
        let counts =
            matches!(operation, StoreOperation::TakeOver { .. } | StoreOperation::HandOver { .. });
        self.judge.diverged |= counts && self.store.whole.is_some();
        match operation {
            StoreOperation::Create { row, .. } => {
                self.store.owners.insert((row.id, row.epoch), (server, now_ms));
                let live = self.store.model.live_of(&row.token).len();
                if live > 1 && !self.judge.more.contains(&row.token) && !self.store_lies() {
                    let token = row.token.clone();
                    self.violated(|| format!("{token:?} has {live} sessions, and wanted one"));
                }
            }
            StoreOperation::TakeOver { session, from, .. } => {
                self.count("take-overs");
                self.store.owners.insert((*session, from.next()), (server, now_ms));
                if let Some(row) = before {
                    self.judge_taken_over(server, &row);
                }
            }
            StoreOperation::HandOver { session, epoch, to, .. } => {
                self.count("moved");
                let to = self.named(to).unwrap_or(usize::MAX);
                self.store.owners.insert((*session, epoch.next()), (to, now_ms));
                self.judge.may_end.insert((*session, *epoch));
                if !self.judge.may_move.contains(session) {
                    self.violated(|| format!("s{server} moves {session:?}, and nobody said so"));
                }
            }
            StoreOperation::SetEndpoint { session, .. } => {
                self.judge.endpoint_ms.insert(*session, now_ms);
            }
            _ => {}
        }
    }

    /// 5: nothing is replaced that would have answered.
    fn judge_taken_over(&mut self, server: usize, before: &SessionRow) {
        let copy = (before.id, before.epoch);
        let asked = self.judge.asked_ms.get(&(server, copy.0, copy.1));
        let since_ms = asked.copied().unwrap_or(self.now_ms).saturating_sub(ASKED_MS);
        let found = self.copies.iter().find(|found| found.alive && found.is(copy));
        let Some(found) = found.filter(|found| !found.frozen && !found.away) else { return };
        let bad = [(server, found.host), (server, server), (found.host, found.host)];
        let bad = bad.into_iter().map(|(a, b)| (a.min(b), a.max(b)));
        let bad_ms = bad.filter_map(|way| self.bad_ms.get(&way)).max().copied().unwrap_or(0);
        let endpoint = SocketAddrV4::new(World::address(found.host), found.port);
        let known_ms = self.judge.endpoint_ms.get(&copy.0).copied().unwrap_or(u64::MAX);
        let answers = self.reach(server, found.host)
            && bad_ms < since_ms
            && before.endpoint == Some(endpoint)
            && known_ms.max(found.born_ms) < since_ms;
        if answers && !self.store_lies() {
            self.violated(|| {
                format!("s{server} takes {copy:?} over, which runs and would have answered")
            });
        }
    }

    /// A server is told what the store said.
    pub fn judge_answer(&mut self, server: usize, answer: &StoreAnswer, first: bool) {
        match answer {
            StoreAnswer::Row(Some(row)) if first => {
                let learnt = self.judge.learnt.entry((server, row.id)).or_insert(row.epoch);
                *learnt = (*learnt).max(row.epoch);
                let mine = |copy: &&super::keeper::Copy| {
                    copy.host == server && copy.alive && !copy.away && copy.session == row.id
                };
                let known = self.copies.iter().filter(mine).map(|copy| copy.epoch).max();
                let key = (server, row.id);
                let before = self.judge.behind.get(&key).copied();
                match known.max(before) {
                    Some(known) if known > row.epoch && self.store_lies() => {
                        self.judge.behind.insert(key, known);
                        self.count("behind");
                    }
                    _ => {
                        self.judge.behind.remove(&key);
                    }
                }
            }
            StoreAnswer::Down => {
                self.judge.down_ms.insert(server, self.now_ms);
            }
            _ => {}
        }
    }

    /// A copy has come up: the only one of its epoch.
    pub fn judge_launched(&mut self, index: usize, copy: (SessionId, Epoch)) {
        if !self.judge.launched.insert(copy) && !self.store_lies() {
            self.violated(|| format!("{copy:?} runs for the second time, as copy {index}"));
        }
    }

    /// Only what its user or an administrator ended is ended.
    pub fn judge_told_to_end(&mut self, index: usize) {
        let copy = (self.copies[index].session, self.copies[index].epoch);
        let judge = &self.judge;
        if !judge.may_end.contains(&copy) && !judge.may_end_any.contains(&copy.0) {
            self.violated(|| format!("copy {index}, {copy:?}, is ended, and nobody said so"));
        }
    }

    /// Only what was taken over is frozen.
    pub fn judge_frozen(&mut self, index: usize) {
        let (session, epoch) = (self.copies[index].session, self.copies[index].epoch);
        let stored = self.store.model.sessions.get(&session).map(|row| row.epoch);
        if stored.is_none_or(|stored| stored <= epoch) && !self.store_lies() {
            self.violated(|| {
                format!("copy {index}, {session:?} epoch {epoch}, is frozen; it is {stored:?}")
            });
        }
    }

    /// A frozen copy goes on only as what its user wanted, and the store has.
    pub fn judge_becomes(&mut self, index: usize, becomes: SessionId) {
        let found = &self.copies[index];
        let copy = (found.session, found.epoch);
        let row = self.store.model.sessions.get(&becomes);
        let stored = row.is_some_and(|row| row.token == found.token);
        let wanted = self.judge.may_continue.contains(&copy);
        if !(wanted && (stored || self.store_lies())) {
            self.violated(|| {
                format!("copy {index} goes on as {becomes:?}: wanted {wanted}, stored {stored}")
            });
        }
    }

    /// A list has no session of another token.
    pub fn judge_list(&mut self, desk: usize, list: &Sessions) {
        // One that was on its way when the card was taken out is not read.
        let Some(token) = self.desks[desk].card.map(token_of) else { return };
        for entry in list.sessions.iter() {
            let of = self.store.model.sessions.get(&entry.session).map(|row| row.token.clone());
            if of.as_ref().is_some_and(|of| *of != token) && !self.store_lies() {
                self.violated(|| format!("desk{desk} with {token:?} is listed one of {of:?}"));
            }
        }
    }

    /// Once faults have stopped everything is well, within a bound.
    pub fn judge_end(&mut self) {
        for server in 0..self.servers.len() {
            self.judge_server(server);
        }
        for desk in 0..self.desks.len() {
            self.judge_desk(desk);
        }
        if self.store_lies() {
            return;
        }
        for copy in 0..self.copies.len() {
            self.judge_copy(copy);
        }
        let listed = self.store.model.copies.values().map(|row| (row.session, row.epoch));
        for copy in listed.collect::<Vec<_>>() {
            let there = |found: &super::keeper::Copy| found.alive && found.frozen && found.is(copy);
            if !self.copies.iter().any(there) {
                self.violated(|| format!("{copy:?} is listed as an earlier copy, and is not"));
            }
        }
    }

    fn judge_server(&mut self, server: usize) {
        let Some(core) = &self.servers[server].core else { return };
        let (up, trouble) = (core.group().topology().up().count(), core.store_trouble());
        let [links, courses, starts, asked, questions, due] = core.table_sizes();
        if up != self.servers.len() - 1 {
            self.violated(|| format!("s{server} holds {up} others to be up"));
        }
        if let Some(trouble) = trouble.filter(|_| !self.judge.diverged) {
            self.violated(|| format!("s{server} still says: {trouble}"));
        }
        let most = self.copies.len() * 4 + self.desks.len() * 2 + 8;
        let sizes = [links, courses, starts, asked, questions, due];
        if links + courses > 2 * self.desks.len() || sizes.iter().any(|size| *size > most) {
            self.violated(|| format!("the tables of s{server} grew to {sizes:?}"));
        }
    }

    fn judge_desk(&mut self, desk: usize) {
        // A store that will never know as much again keeps sessions from being
        // started anew, which an administrator has to mend.
        if self.judge.diverged {
            return;
        }
        let found = &self.desks[desk];
        let (card, shown) = (found.card, found.shown);
        let copy = shown.map(|copy| &self.copies[copy]);
        let well = copy.is_some_and(|copy| {
            copy.alive && !copy.frozen && Some(&copy.token) == card.map(token_of).as_ref()
        });
        if !well || card != Some(desk) {
            let asked = format!("{found:?}");
            self.violated(|| format!("desk{desk} with card {card:?} shows {shown:?}: {asked}"));
        }
    }

    /// 9: of each session one copy runs, the one that the store has; earlier
    /// ones are frozen and listed.
    fn judge_copy(&mut self, index: usize) {
        let found = &self.copies[index];
        if !found.alive {
            return;
        }
        let (copy, frozen) = ((found.session, found.epoch), found.frozen);
        let row = self.store.model.sessions.get(&copy.0);
        let stored = row.map(|row| (row.epoch, row.ended));
        let is_session = stored == Some((copy.1, false));
        let listed = self.store.model.copies.contains_key(&copy);
        if frozen == is_session || frozen != listed {
            self.violated(|| {
                format!(
                    "copy {index}, {copy:?}: frozen {frozen}, listed {listed}, the store has \
                     {stored:?}"
                )
            });
        }
    }
}
