//! True once faults have stopped, within a bound: 8: servers that reach each
//! other agree on who is up. 9: each session has exactly one active copy.
//! 10: every desktop unit is connected, and attached if its token is in.
//! (11, a drained server gets no new session, is judged as it goes.)

use crate::dtu::token_of;
use crate::stream::Acceptor;
use crate::world::World;
use afterglow_client::view::Panel;
use afterglow_wire::ids::ServerName;
use std::collections::BTreeSet;

impl World {
    /// Everything must be well by now.
    pub fn judge_liveness(&mut self) {
        for server in 0..self.servers.len() {
            self.judge_view(server);
        }
        for dtu in 0..self.dtus.len() {
            self.judge_dtu(dtu);
        }
        self.judge_copies();
    }

    /// 8, for one server.
    pub fn judge_view(&mut self, server: usize) {
        let Some(core) = &self.servers[server].core else { return };
        let others = |up: bool| -> BTreeSet<ServerName> {
            self.servers
                .iter()
                .enumerate()
                .filter(|(index, other)| *index != server && other.core.is_some() == up)
                .map(|(_, other)| other.name.clone())
                .collect()
        };
        let seen: BTreeSet<ServerName> =
            core.group().topology().up().map(|host| host.message.host.clone()).collect();
        let up = others(true);
        if seen != up {
            self.violated(8, || format!("s{server:02} holds {seen:?} to be up, and {up:?} are"));
        }
    }

    fn judge_dtu(&mut self, dtu: usize) {
        let found = &self.dtus[dtu];
        let (card, panel) = (found.card, found.window.panel.clone());
        let served = found.links.values().any(|number| {
            let stream = self.streams.get(number);
            stream.is_some_and(|stream| match stream.acceptor {
                Acceptor::Server(life) => stream.open && self.lives(life),
                _ => false,
            })
        });
        if !served {
            self.violated(10, || format!("desk{dtu} has no server: {panel:?}"));
        }
        if card.is_none() && !matches!(panel, Some(Panel::InsertCard { .. })) {
            self.violated(10, || format!("desk{dtu} holds no card and shows {panel:?}"));
        }
        let Some(card) = card else { return };
        if !self.is_well(dtu) {
            let window = self.dtus[dtu].window.clone();
            self.violated(10, || format!("desk{dtu} holds card {card} and shows {window:?}"));
        }
    }

    fn judge_copies(&mut self) {
        for dtu in 0..self.dtus.len() {
            let (Some(card), Some((session, epoch))) =
                (self.dtus[dtu].card, self.dtus[dtu].window.copy)
            else {
                continue;
            };
            let newest = self
                .copies
                .iter()
                .filter(|copy| copy.session == session && copy.alive)
                .map(|copy| copy.epoch)
                .max();
            if newest != Some(epoch) {
                self.violated(9, || {
                    format!("desk{dtu} shows epoch {epoch} of {session:?}; {newest:?} runs")
                });
            }
            let row = self.store.session(session).filter(|row| !row.ended);
            let row = row.map(|row| (row.id, row.epoch, row.token.clone()));
            if row != Some((session, epoch, token_of(card))) {
                self.violated(9, || {
                    format!("desk{dtu} shows {session:?} epoch {epoch}; the store has {row:?}")
                });
            }
        }
        for copy in 0..self.copies.len() {
            self.judge_older(copy);
        }
    }

    /// What was taken over is frozen and listed, and nothing else is.
    fn judge_older(&mut self, copy: usize) {
        let found = &self.copies[copy];
        let (session, epoch, frozen) = (found.session, found.epoch, found.frozen);
        if !found.alive || self.servers[found.host].core.is_none() {
            return;
        }
        let older = self.store.session(session).is_some_and(|row| row.epoch > epoch);
        let listed = self.store.model.copies.contains_key(&(session, epoch));
        if older != frozen || older != listed {
            self.violated(9, || {
                format!(
                    "copy {copy}, epoch {epoch} of {session:?}: older {older}, frozen {frozen}, \
                     listed {listed}"
                )
            });
        }
    }
}
