//! The servers that are known: who they are, how they are known, who is next.
//!
//! The table is bounded, and so is each way in which strangers can fill it: a
//! flood of forged answers or host messages takes the place of other answers
//! and host messages only, and every third attempt goes to whoever waits
//! longest, however it is known.

use super::control::Target;
use super::jitter::Jitter;
use afterglow_wire::ids::ServerName;
use afterglow_wire::limits::SERVERS_MAX;
use std::net::SocketAddrV4;

/// The most servers that are known at a time.
const CANDIDATES_MAX: usize = 2 * SERVERS_MAX;
/// The most of them that anybody on the network could have made up, for each
/// way to do so.
const UNPROVEN_MAX: usize = SERVERS_MAX / 2;
/// Over how long servers of the same rank are shuffled. Whoever is known for
/// longer than this comes before whoever is new.
const SHUFFLE_MS: u64 = 1_000;
/// After a loss nobody waits longer than this for another attempt.
const ANEW_MS: u64 = 250;
/// A group of more servers than this may have so many DTUs that those of a
/// lost server spread their first attempts.
const SMALL_GROUP: usize = 4;
/// By how much for each server, and by how much at most.
const SPREAD_MS_A_SERVER: u64 = 5;
const SPREAD_MS_MAX: u64 = 50;

/// How a server is known; the earlier, the sooner it is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Via {
    /// The user listed it.
    Listed,
    /// A DNS SRV record of the site names it.
    Dns {
        /// Its place among all that are named, by RFC 2782, from 0.
        place: u16,
    },
    /// The lease of the system's DHCP client names it.
    Dhcp,
    /// A server of the group told of it.
    Group,
    /// It answered a question to the network.
    Answer,
    /// It was up in an earlier run.
    Remembered,
    /// Its host message was heard (patent, figure 9a, step 907).
    Heard,
}

impl Via {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Via::Listed => "listed",
            Via::Dns { .. } => "dns",
            Via::Dhcp => "dhcp",
            Via::Group => "group",
            Via::Answer => "answer",
            Via::Remembered => "remembered",
            Via::Heard => "heard",
        }
    }

    /// True if anybody on the network could have made it up.
    fn is_unproven(self) -> bool {
        matches!(self, Via::Answer | Via::Heard)
    }

    /// True if the name that comes with it is the server's own.
    fn proves_name(self) -> bool {
        matches!(self, Via::Group | Via::Remembered)
    }
}

#[derive(Debug)]
struct Candidate {
    address: SocketAddrV4,
    server: Option<ServerName>,
    /// False if the name is only what a stranger says.
    name_proven: bool,
    via: Via,
    /// The group said that it is up when it was last heard.
    told_up: bool,
    failures: u32,
    not_before_ms: u64,
    /// Its place among those of its rank: about when it became known.
    order: u64,
    /// Its group is unknown or refused: not to be tried until the user agrees.
    held: bool,
}

/// The servers that are known.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    known: Vec<Candidate>,
    /// Before this nobody is tried.
    first_ms: u64,
    picks: u32,
}

impl Candidates {
    /// A link was lost: everybody may be tried soon, in a new order, and in a
    /// large group not by all DTUs at the same moment.
    pub(super) fn begin(&mut self, now_ms: u64, jitter: &mut Jitter) {
        self.picks = 0;
        let up = self.known.iter().filter(|candidate| candidate.told_up).count();
        let spread_ms = match up > SMALL_GROUP {
            true => (SPREAD_MS_A_SERVER * up as u64).min(SPREAD_MS_MAX),
            false => 0,
        };
        self.first_ms = now_ms + jitter.below(spread_ms + 1);
        for candidate in &mut self.known {
            let soon_ms = now_ms + jitter.below(ANEW_MS);
            candidate.not_before_ms = candidate.not_before_ms.min(soon_ms);
            candidate.order = now_ms + jitter.below(SHUFFLE_MS);
            candidate.held = false;
        }
    }

    /// Knows a server; true if it is new, or better known than before.
    pub(super) fn found(
        &mut self,
        address: SocketAddrV4,
        server: Option<ServerName>,
        via: Via,
        (now_ms, jitter): (u64, &mut Jitter),
    ) -> bool {
        if let Some(known) = self.of(address) {
            // What an earlier run knew is worth more than an answer that
            // anybody can give: it stays what it is.
            let keeps = known.via == Via::Remembered && via.is_unproven();
            let better = via < known.via && !keeps;
            if !keeps {
                known.via = known.via.min(via);
            }
            return known.learn_name(server, via.proves_name()) || better;
        }
        if !self.has_room_for(via) {
            return false;
        }
        self.known.push(Candidate {
            address,
            name_proven: server.is_some() && via.proves_name(),
            server,
            via,
            told_up: false,
            failures: 0,
            not_before_ms: 0,
            order: now_ms + jitter.below(SHUFFLE_MS),
            held: false,
        });
        true
    }

    /// Makes room if there is none: what is listed stays; of the others the
    /// worst goes, if it is worse than who comes.
    fn has_room_for(&mut self, via: Via) -> bool {
        let same = |candidate: &Candidate| candidate.via == via;
        let crowded = via.is_unproven()
            && self.known.iter().filter(|candidate| same(candidate)).count() >= UNPROVEN_MAX;
        if !crowded && self.known.len() < CANDIDATES_MAX {
            return true;
        }
        let may_go = |candidate: &Candidate| match crowded {
            true => same(candidate) && candidate.failures > 0,
            false => {
                candidate.via != Via::Listed && (candidate.via > via || candidate.failures > 0)
            }
        };
        let worst = self.known.iter().enumerate().filter(|(_, candidate)| may_go(candidate));
        let worst = worst.max_by_key(|(_, c)| (!c.told_up, c.via, c.failures));
        let Some(index) = worst.map(|(index, _)| index) else { return false };
        self.known.remove(index);
        true
    }

    fn of(&mut self, address: SocketAddrV4) -> Option<&mut Candidate> {
        self.known.iter_mut().find(|candidate| candidate.address == address)
    }

    /// The group says that these are up, and no others.
    pub(super) fn told_up(&mut self, addresses: &[SocketAddrV4]) {
        for candidate in &mut self.known {
            candidate.told_up = addresses.contains(&candidate.address);
        }
    }

    /// Its certificate tells its name.
    pub(super) fn proved(&mut self, address: SocketAddrV4, server: ServerName) {
        if let Some(candidate) = self.of(address) {
            candidate.learn_name(Some(server), true);
        }
    }

    /// The name of the server at an address, if it is more than a stranger's
    /// word: a forged answer must not make anybody out of reach.
    pub(super) fn proven_name(&mut self, address: SocketAddrV4) -> Option<ServerName> {
        self.of(address).filter(|candidate| candidate.name_proven)?.server.clone()
    }

    /// It could not be reached; to be tried again from `not_before_ms`.
    pub(super) fn failed(&mut self, address: SocketAddrV4, not_before_ms: u64) {
        if let Some(candidate) = self.of(address) {
            candidate.failures = candidate.failures.saturating_add(1);
            candidate.not_before_ms = not_before_ms;
        }
    }

    /// It is not to be tried before this.
    pub(super) fn wait(&mut self, address: SocketAddrV4, not_before_ms: u64) {
        if let Some(candidate) = self.of(address) {
            candidate.not_before_ms = candidate.not_before_ms.max(not_before_ms);
        }
    }

    /// How often it failed since it was last reached.
    pub(super) fn failures(&self, address: SocketAddrV4) -> u32 {
        let of = self.known.iter().find(|candidate| candidate.address == address);
        of.map_or(0, |candidate| candidate.failures)
    }

    /// It was reached.
    pub(super) fn reached(&mut self, address: SocketAddrV4) {
        if let Some(candidate) = self.of(address) {
            candidate.failures = 0;
            candidate.not_before_ms = 0;
        }
    }

    /// It is not to be tried until [`Candidates::release`].
    pub(super) fn hold(&mut self, address: SocketAddrV4) {
        if let Some(candidate) = self.of(address) {
            candidate.held = true;
        }
    }

    /// Everybody may be tried, this one first.
    pub(super) fn release(&mut self, first: Option<SocketAddrV4>) {
        for candidate in &mut self.known {
            candidate.held = false;
            if Some(candidate.address) == first {
                candidate.failures = 0;
                candidate.not_before_ms = 0;
            }
        }
    }

    /// Who is to be tried now, of those that are not being tried already.
    /// Those that failed least come first; among them those that the group
    /// said are up; then as they are known; then in an order of this DTU's
    /// own. Half of the time fairness decides: by turns whoever waits longest of
    /// those that are more than a stranger's word, however often they failed,
    /// and whoever waits longest at all; so made up servers keep nobody waiting
    /// for ever, and known ones nobody new.
    pub(super) fn pick(&mut self, now_ms: u64, tried: &[SocketAddrV4]) -> Option<Target> {
        if now_ms < self.first_ms {
            return None;
        }
        let due = |c: &&Candidate| c.is_free(tried) && c.not_before_ms <= now_ms;
        let due = || self.known.iter().filter(due);
        let known = due().filter(|c| !c.via.is_unproven() || c.name_proven);
        let turn = match self.picks % 4 {
            2 => known.min_by_key(|c| (c.not_before_ms, c.order)),
            3 => due().min_by_key(|c| (c.failures, c.order)),
            _ => None,
        };
        let first = || due().min_by_key(|c| (c.failures, !c.told_up, c.via, c.order));
        let best = turn.or_else(first)?;
        self.picks = self.picks.wrapping_add(1);
        Some(Target { address: best.address, server: best.server.clone() })
    }

    /// When [`Candidates::pick`] has somebody, if it ever has.
    pub(super) fn next_ms(&self, tried: &[SocketAddrV4]) -> Option<u64> {
        let free = self.known.iter().filter(|candidate| candidate.is_free(tried));
        free.map(|candidate| candidate.not_before_ms.max(self.first_ms)).min()
    }

    /// True if somebody may be tried who did not fail yet.
    pub(super) fn has_untried(&self) -> bool {
        self.known.iter().any(|candidate| candidate.failures == 0 && !candidate.held)
    }

    /// True if no listed server is worth waiting for.
    pub(super) fn listed_failed(&self) -> bool {
        self.known
            .iter()
            .filter(|candidate| candidate.via == Via::Listed)
            .all(|candidate| candidate.failures > 0 || candidate.held)
    }

    /// How many are known.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.known.len()
    }
}

impl Candidate {
    fn is_free(&self, tried: &[SocketAddrV4]) -> bool {
        !self.held && !tried.contains(&self.address)
    }

    /// Takes a name; true if it is another than before. What is proven is not
    /// overwritten by what is not.
    fn learn_name(&mut self, server: Option<ServerName>, proven: bool) -> bool {
        if server.is_none() || (self.name_proven && !proven) {
            return false;
        }
        self.name_proven = proven;
        let other = self.server != server;
        self.server = server;
        other
    }
}
