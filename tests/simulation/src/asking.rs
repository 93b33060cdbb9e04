//! The questions that a server's shell carries: to the store, and to the
//! endpoint of a session whose server is silent.

use crate::fault::Fault;
use crate::network::server_ip;
use crate::plan::MS_US;
use crate::queue::{Due, ServerLife};
use crate::store::Change;
use crate::world::World;
use afterglow_link::tls::Peer;
use afterglow_server::core::{Event, RequestId, StoreAnswer, StoreOperation};
use afterglow_server::worker::core::Action as CopyAction;
use afterglow_wire::codec::Message;
use afterglow_wire::display::{FromSession, Probe, ToSession};
use afterglow_wire::ids::{Epoch, SessionId};
use std::net::SocketAddrV4;

/// After which time the store counts as unreachable.
const STORE_TIME_US: u64 = 3_000 * MS_US;
/// After which time a probe has failed.
const PROBE_TIME_US: u64 = 500 * MS_US;
/// Probes' links have numbers of their own, above all streams'.
const PROBE_LINKS: u64 = 1 << 40;

impl World {
    /// Asks the store.
    pub fn ask_store(&mut self, life: ServerLife, request: RequestId, operation: StoreOperation) {
        if self.store_out.contains_key(&life.server) {
            let wait_us = if self.rng.chance(500_000) { STORE_TIME_US } else { 20 * MS_US };
            return self.after(wait_us, Due::StoreSaid(life, request, Box::new(StoreAnswer::Down)));
        }
        let wait_us = self.rng.range(300, 3 * MS_US);
        self.after(wait_us, Due::StoreDoes(life, request, Box::new(operation)));
    }

    /// The store does what it was asked to.
    pub fn store_does(&mut self, life: ServerLife, request: RequestId, operation: &StoreOperation) {
        let (answer, change) = self.store.perform(operation, self.now_us);
        self.trace.note(self.now_us, "store", request, format!("{operation:?}").as_bytes());
        self.trace.say(self.now_us, || {
            let text: String = format!("{operation:?} -> {answer:?}").chars().take(300).collect();
            format!("store for s{:02}: {text}", life.server)
        });
        if matches!(operation, StoreOperation::Session(_)) {
            self.oracle.reads.insert((life.server, life.life, request));
        }
        match change {
            Change::None => {}
            Change::Created(session) => self.judge_created(life.server, session),
            Change::TakenOver(before) => self.judge_taken_over(life.server, &before),
        }
        let lossy = !self.calm && self.plan.meets(Fault::LostAnswer);
        let (wait_us, answer) = if lossy && self.rng.chance(100_000) {
            self.counts.add(Fault::LostAnswer);
            (STORE_TIME_US, StoreAnswer::Down)
        } else {
            (self.rng.range(200, 2 * MS_US), answer)
        };
        self.after(wait_us, Due::StoreSaid(life, request, Box::new(answer)));
    }

    /// The store's answer is there.
    pub fn store_said(&mut self, life: ServerLife, request: RequestId, answer: StoreAnswer) {
        if !self.lives(life) {
            return;
        }
        self.trace.note(self.now_us, "stored", request, format!("{answer:?}").as_bytes());
        let read = self.oracle.reads.remove(&(life.server, life.life, request));
        if let StoreAnswer::Row(Some(row)) = &answer
            && read
        {
            self.oracle.learns(life.server, row.id, row.epoch);
        }
        self.tell_server(life.server, Event::Stored { request, answer });
    }

    /// Asks an endpoint whether it speaks for a copy.
    pub fn send_probe(
        &mut self,
        life: ServerLife,
        request: RequestId,
        endpoint: SocketAddrV4,
        (session, epoch): (SessionId, Epoch),
    ) {
        let from = server_ip(life.server, 0);
        let way = self.network.datagram(from, *endpoint.ip(), self.now_us, &mut self.counts);
        if let Some(delay_us) = way[0] {
            self.after(delay_us, Due::ProbeArrives(life, request, endpoint, session, epoch));
        }
        self.after(PROBE_TIME_US, Due::ProbeSaid(life, request, None));
    }

    /// A probe is at its endpoint: the handshake, the question and the answer.
    pub fn probe_arrives(
        &mut self,
        life: ServerLife,
        request: RequestId,
        endpoint: SocketAddrV4,
        (session, epoch): (SessionId, Epoch),
    ) {
        // The certificate must be that of this copy.
        let found = self.copy_at(endpoint).filter(|copy| self.copies[*copy].is(session, epoch));
        let Some(copy) = found else { return };
        let link = PROBE_LINKS + request;
        let now = self.copy_now(copy);
        let core = &mut self.copies[copy].core;
        let Ok(name) = self.servers[life.server].name.as_str().parse() else { return };
        core.opened(link, Peer::Server(name));
        let question = ToSession::from(Probe { nonce: request });
        let Ok(question) = ToSession::decode(question.encode()) else { return };
        core.message(link, question, now);
        core.closed(link, now);
        let mut said = None;
        while let Some(action) = self.copies[copy].core.poll() {
            match action {
                CopyAction::Send(to, FromSession::ProbeAnswer(answer)) if to == link => {
                    let asked = answer.nonce == request;
                    said = asked.then_some((answer.session, answer.epoch));
                }
                action => self.copy_does(copy, action),
            }
        }
        let (from, to) = (*endpoint.ip(), server_ip(life.server, 0));
        let way = self.network.datagram(from, to, self.now_us, &mut self.counts);
        if let Some(delay_us) = way[0] {
            // The handshake takes one more round trip.
            self.after(3 * delay_us, Due::ProbeSaid(life, request, said));
        }
    }

    /// A probe is over.
    pub fn probe_said(
        &mut self,
        life: ServerLife,
        request: RequestId,
        said: Option<(SessionId, Epoch)>,
    ) {
        if !self.lives(life) || !self.oracle.first_answer(life, request) {
            return;
        }
        self.trace.note(self.now_us, "probed", request, &[u8::from(said.is_some())]);
        self.tell_server(life.server, Event::Probed { request, said });
    }
}
