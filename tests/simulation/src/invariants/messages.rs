//! 4: a changed, replayed, foreign or unsigned group message leaves every
//! table as it was, the bounded list of untrusted hosts aside. 7: tables stay
//! inside their constants, answers to unproven addresses are bounded in number
//! and never longer than their questions.

use crate::fault::Fault;
use crate::plan::SECOND_US;
use crate::queue::{Origin, Parcel};
use crate::world::World;
use afterglow_server::core::Action;
use afterglow_server::group::Transmit;
use afterglow_wire::group::GroupMessage;
use afterglow_wire::limits::SERVERS_MAX;

/// The most names in the list of untrusted hosts.
const UNTRUSTED_MAX: usize = 64;
/// The most answers that a server gives one address in any second: its
/// allowance for a second, and as much again that it had saved.
const ANSWERS_PER_S_MAX: u64 = 41;

/// What a server knew before a datagram came.
#[derive(Debug, Clone)]
pub struct Before {
    tables: String,
    /// Nothing may change.
    nothing_new: bool,
    /// It may be answered, and nothing more.
    answerable: bool,
}

impl World {
    fn tables(&self, server: usize) -> String {
        let Some(core) = &self.servers[server].core else { return String::new() };
        let hosts: Vec<_> = core.group().topology().hosts().collect();
        format!("{hosts:?}")
    }

    /// A datagram is about to be given to a server.
    pub fn before_datagram(&mut self, server: usize, parcel: &Parcel) -> Option<Before> {
        let watch = self.plan.meets(Fault::Replay) || self.plan.meets(Fault::ForgedAnswer);
        if parcel.origin == Origin::Genuine && !watch {
            return None;
        }
        let parsed = GroupMessage::parse(&parcel.bytes, Some(&self.message_key));
        let (mut nothing_new, mut answerable) = (true, false);
        match parsed {
            Ok(received) if received.trusted && parcel.origin != Origin::Forged => {
                match received.message {
                    GroupMessage::Host(host) => {
                        let heard = (server, host.host, (host.boot, host.seq, host.part));
                        // One that the server never got is only late.
                        nothing_new = !self.oracle.heard.insert(heard);
                    }
                    GroupMessage::TokenQ(_) => answerable = true,
                    // The question that a tokenR answers may still be open.
                    GroupMessage::TokenR(_) => answerable = true,
                    GroupMessage::ServerQ(_) | GroupMessage::ServerR(_) => answerable = true,
                }
            }
            Ok(received) => answerable = matches!(received.message, GroupMessage::ServerQ(_)),
            Err(_) => {}
        }
        (parcel.origin != Origin::Genuine).then(|| Before {
            tables: self.tables(server),
            nothing_new,
            answerable,
        })
    }

    /// A server has taken a datagram.
    pub fn after_datagram(
        &mut self,
        server: usize,
        parcel: &Parcel,
        before: Option<Before>,
        actions: &[Action],
    ) {
        if let Some(before) = before.filter(|before| before.nothing_new) {
            self.judge_unchanged(server, parcel, &before, actions);
        }
        for action in actions {
            let Action::SendDatagram(transmit) = action else { continue };
            let answer = [&b"serverR="[..], b"tokenR="]
                .iter()
                .any(|kind| transmit.datagram.starts_with(kind));
            if answer && transmit.datagram.len() > parcel.bytes.len() {
                let (asked, said) = (parcel.bytes.len(), transmit.datagram.len());
                self.violated(7, || {
                    format!("s{server:02} answers a question of {asked} bytes with {said} bytes")
                });
            }
        }
        self.judge_bounds(server);
    }

    fn judge_unchanged(
        &mut self,
        server: usize,
        parcel: &Parcel,
        before: &Before,
        actions: &[Action],
    ) {
        let text = || {
            let shown = String::from_utf8_lossy(&parcel.bytes);
            shown.chars().take(60).collect::<String>()
        };
        let after = self.tables(server);
        if after != before.tables {
            let origin = parcel.origin;
            let same = after.bytes().zip(before.tables.bytes()).take_while(|(a, b)| a == b).count();
            let around = |tables: &str| {
                let from = same.saturating_sub(30);
                tables.chars().skip(from).take(60).collect::<String>()
            };
            let (was, is) = (around(&before.tables), around(&after));
            self.violated(4, || {
                format!(
                    "a datagram that is {origin:?} changes what s{server:02} knows, \
                     \"{was}\" to \"{is}\": {}",
                    text()
                )
            });
        }
        let does = |action: &&Action| match action {
            Action::Log(..) => false,
            Action::SendDatagram(transmit) => !(before.answerable && transmit.to == parcel.from),
            _ => !before.answerable,
        };
        if let Some(action) = actions.iter().find(does) {
            let action: String = format!("{action:?}").chars().take(120).collect();
            self.violated(4, || {
                format!(
                    "s{server:02} does {action} about a datagram that counts for nothing: {}",
                    text()
                )
            });
        }
    }

    fn judge_bounds(&mut self, server: usize) {
        let Some(core) = &self.servers[server].core else { return };
        let topology = core.group().topology();
        let (hosts, untrusted) = (topology.hosts().count(), topology.untrusted_hosts().count());
        if hosts > SERVERS_MAX || untrusted > UNTRUSTED_MAX {
            self.violated(7, || {
                format!("s{server:02} holds {hosts} hosts and {untrusted} untrusted ones")
            });
        }
    }

    /// A server is about to send a datagram.
    pub(super) fn judge_datagram(&mut self, server: usize, transmit: &Transmit) {
        if transmit.datagram.starts_with(b"serverR=") {
            let second = self.now_us / SECOND_US;
            let key = (server, *transmit.to.ip());
            let last = self.oracle.answers.entry(key).or_insert((second, 0));
            if last.0 != second {
                *last = (second, 0);
            }
            last.1 += 1;
            let count = last.1;
            if count > ANSWERS_PER_S_MAX {
                self.violated(7, || {
                    format!("s{server:02} gave one address {count} answers in a second")
                });
            }
        }
        if transmit.datagram.starts_with(b"tokenR=")
            && let Ok(received) = GroupMessage::parse(&transmit.datagram, None)
            && let GroupMessage::TokenR(answer) = received.message
            && let Some(said) = answer.session
        {
            self.judge_claim(server, said.session, said.epoch);
        }
    }
}
