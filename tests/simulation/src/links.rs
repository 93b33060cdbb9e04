//! How datagrams and streams travel.

use crate::network::{Machine, machine_of, network_of, reached, server_ip};
use crate::plan::MS_US;
use crate::queue::{Due, Origin, Parcel, Process};
use crate::stream::{Acceptor, Kind, Opener, Piece, Stream};
use crate::world::{World, acceptor_process, opener_process};
use afterglow_link::tls::Peer;
use afterglow_server::group::Transmit;
use afterglow_wire::group::PORT;
use bytes::Bytes;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Where servers take desktop units.
pub const CONTROL_PORT: u16 = 7010;
/// How long a lost first packet waits until it is sent again (RFC 9002, with
/// quinn's first guess of the round trip).
const FIRST_RETRY_US: u64 = 1_000 * MS_US;
/// How often the first packet is sent.
const DIALS_MAX: u32 = 3;
/// How long a closed stream's last messages are sent again.
const FAREWELL_US: u64 = 300 * MS_US;

impl World {
    /// Sends a datagram of a server's.
    pub fn send_from_server(&mut self, server: usize, transmit: &Transmit) {
        let to = *transmit.to.ip();
        let network = match machine_of(to, self.plan.servers) {
            Machine::Nobody if to.octets()[0] != 10 => 0,
            _ => network_of(to).min(self.plan.networks - 1),
        };
        let ip = transmit.via.unwrap_or(server_ip(server, network));
        self.send_datagram(SocketAddrV4::new(ip, PORT), to, &transmit.datagram, Origin::Genuine);
    }

    /// Sends a datagram to everybody whom this address reaches.
    pub fn send_datagram(
        &mut self,
        from: SocketAddrV4,
        to: Ipv4Addr,
        bytes: &[u8],
        origin: Origin,
    ) {
        for to in reached(to, *from.ip(), self.plan.servers, self.plan.networks) {
            let parcel = Parcel { from, to, bytes: bytes.to_vec(), origin };
            if origin == Origin::Genuine {
                self.network.listen(&parcel);
            }
            // What is forged comes through: its sender tries until it does.
            let times = match origin {
                Origin::Genuine => {
                    self.network.datagram(*from.ip(), to, self.now_us, &mut self.counts)
                }
                Origin::Forged | Origin::Replayed => [Some(200), None],
            };
            for delay_us in times.into_iter().flatten() {
                self.after(delay_us, Due::Datagram(Box::new(parcel.clone())));
            }
        }
    }

    /// Which process a machine's datagrams go to.
    pub fn process_at(&self, ip: Ipv4Addr) -> Process {
        match machine_of(ip, self.plan.servers) {
            Machine::Server(server) => Process::Server(server),
            Machine::Dtu(dtu) => Process::Dtu(dtu),
            Machine::Rogue(_) | Machine::Nobody => Process::World,
        }
    }

    /// The process that would take a stream.
    pub fn process_behind(&self, stream: &Stream) -> Process {
        match stream.kind {
            Kind::Control => self.process_at(*stream.address.ip()),
            Kind::Display(..) => self.copy_at(stream.address).map_or(Process::World, Process::Copy),
        }
    }

    /// A datagram is there.
    pub fn datagram_arrives(&mut self, parcel: Parcel) {
        let from = u64::from(parcel.from.ip().to_bits());
        self.trace.note(self.now_us, "datagram", from, &parcel.bytes);
        self.trace.say(self.now_us, || {
            let shown = String::from_utf8_lossy(&parcel.bytes);
            let text: String = shown.chars().take(150).collect();
            format!("{} -> {} {:?}: {text}", parcel.from, parcel.to, parcel.origin)
        });
        match machine_of(parcel.to, self.plan.servers) {
            Machine::Server(server) => self.server_hears(server, parcel),
            Machine::Dtu(dtu) => self.dtu_hears(dtu, &parcel.bytes),
            Machine::Rogue(_) | Machine::Nobody => {}
        }
    }

    /// Begins to open a stream.
    pub fn open_stream(&mut self, stream: Stream) -> u64 {
        let number = self.next_stream;
        self.next_stream += 1;
        let idle_us = stream.idle_us();
        self.streams.insert(number, stream);
        self.dial(number, 0);
        self.after(idle_us, Due::Unanswered { stream: number });
        number
    }

    /// The first packet is sent, or sent again.
    pub fn dial(&mut self, number: u64, attempt: u32) {
        let Some(stream) = self.streams.get(&number) else { return };
        if stream.opener_gone.is_some() || stream.acceptor != Acceptor::Nobody {
            return;
        }
        let (from, to) = stream.way(true);
        let [arrives, again] = self.network.datagram(from, to, self.now_us, &mut self.counts);
        for delay_us in [arrives, again].into_iter().flatten() {
            self.after(delay_us, Due::Knock { stream: number });
        }
        if attempt + 1 < DIALS_MAX {
            let due = Due::Dial { stream: number, attempt: attempt + 1 };
            self.after(FIRST_RETRY_US << attempt, due);
        }
    }

    /// The first packet is at the other end.
    pub fn knock(&mut self, number: u64) {
        let Some(stream) = self.streams.get(&number) else { return };
        let (from, to) = stream.way(false);
        let fresh = stream.acceptor == Acceptor::Nobody;
        if fresh && !self.take_stream(number) {
            return;
        }
        let Some(stream) = self.streams.get(&number) else { return };
        if stream.open || stream.acceptor_gone.is_some() {
            return;
        }
        match self.network.piece(from, to, self.now_us, &mut self.counts) {
            // A second round trip completes the handshake.
            Some(delay_us) => self.after(3 * delay_us, Due::Accepted { stream: number }),
            None => self.after(FIRST_RETRY_US / 3, Due::Knock { stream: number }),
        }
    }

    /// True if somebody is there who takes it.
    fn take_stream(&mut self, number: u64) -> bool {
        let Some(stream) = self.streams.get(&number) else { return false };
        let (address, kind, opener) = (stream.address, stream.kind, stream.opener);
        let acceptor = match kind {
            Kind::Control if address.port() == CONTROL_PORT => self.server_life_at(*address.ip()),
            Kind::Control => None,
            Kind::Display(session, epoch) => match self.copy_at(address) {
                Some(copy) if self.copies[copy].is(session, epoch) => {
                    let life = self.copies[copy].life;
                    let peer = match opener {
                        Opener::Dtu { dtu, .. } => Peer::Dtu(self.dtus[dtu].id),
                        Opener::Rogue(rogue) => Peer::Dtu(self.rogues[rogue].id),
                    };
                    self.copies[copy].core.opened(number, peer);
                    Some(Acceptor::Worker { copy, life })
                }
                Some(_) => {
                    self.after(MS_US, Due::Unanswered { stream: number });
                    None
                }
                None => None,
            },
        };
        let Some(acceptor) = acceptor else { return false };
        if let Some(stream) = self.streams.get_mut(&number) {
            stream.acceptor = acceptor;
        }
        // Should the opener never hear of it, the other end gives it up.
        self.look_for_silence(number);
        true
    }

    /// The opener knows that the stream is open.
    pub fn accepted(&mut self, number: u64) {
        let Some(stream) = self.streams.get_mut(&number) else { return };
        if stream.open || stream.opener_gone.is_some() || stream.acceptor_gone.is_some() {
            return;
        }
        stream.open = true;
        self.opener_accepted(number);
    }

    /// The opener has waited long enough.
    pub fn unanswered(&mut self, number: u64) {
        let Some(stream) = self.streams.get_mut(&number) else { return };
        if stream.open || stream.opener_gone.is_some() {
            return;
        }
        stream.opener_gone = Some(self.now_us);
        self.look_for_silence(number);
        self.opener_hears_end(number, "it does not answer");
        self.forget_stream(number);
    }

    /// Sends a message over a stream.
    pub fn send_piece(&mut self, number: u64, up: bool, piece: Piece) {
        let Some(stream) = self.streams.get_mut(&number) else { return };
        let (from, to) = stream.way(up);
        stream.lane(up).pieces.push_back(piece);
        let Some(delay_us) = self.network.piece(from, to, self.now_us, &mut self.counts) else {
            stall(self, number, up);
            return;
        };
        let now_us = self.now_us;
        let Some(stream) = self.streams.get_mut(&number) else { return };
        let lane = stream.lane(up);
        if lane.stalled {
            return;
        }
        lane.last_us = lane.last_us.max(now_us + delay_us);
        let (at_us, generation) = (lane.last_us, lane.generation);
        self.queue.push(at_us, Due::Message { stream: number, up, generation });
    }

    /// The next piece of a stream arrives.
    pub fn piece_arrives(&mut self, number: u64, up: bool, generation: u32) {
        let now_us = self.now_us;
        let Some(stream) = self.streams.get_mut(&number) else { return };
        let (from, to) = stream.way(up);
        let (sender_gone, receiver_gone) = match up {
            true => (stream.opener_gone, stream.acceptor_gone),
            false => (stream.acceptor_gone, stream.opener_gone),
        };
        let lane = stream.lane(up);
        if lane.stalled || lane.generation != generation {
            return;
        }
        if self.network.cut_since(from, to).is_some() {
            return stall(self, number, up);
        }
        let Some(piece) = lane.pieces.pop_front() else { return };
        let late = sender_gone.is_some_and(|gone_us| now_us > gone_us + FAREWELL_US);
        if receiver_gone.is_some() || late {
            return;
        }
        match piece {
            Piece::Message(bytes) => self.message_arrives(number, up, bytes),
            Piece::Fin if up => self.acceptor_hears_end(number),
            Piece::Fin => {
                if let Some(stream) = self.streams.get_mut(&number) {
                    stream.opener_gone = Some(now_us);
                }
                self.opener_hears_end(number, "the other end closed it");
                self.forget_stream(number);
            }
        }
    }

    fn message_arrives(&mut self, number: u64, up: bool, framed: Bytes) {
        let Some(stream) = self.streams.get(&number) else { return };
        self.trace.note(self.now_us, if up { "up" } else { "down" }, number, &framed);
        let body = framed.slice(4..);
        match (up, stream.acceptor, stream.opener) {
            (true, Acceptor::Server(life), _) => self.server_hears_link(life, number, body),
            (true, Acceptor::Worker { copy, .. }, _) => self.copy_hears(copy, number, body),
            (true, Acceptor::Nobody, _) => {}
            (false, _, Opener::Dtu { dtu, link, .. }) => {
                self.dtu_hears_link(dtu, link, number, body);
            }
            (false, _, Opener::Rogue(rogue)) => self.rogue_hears(rogue, number, body),
        }
    }

    /// The opener closes: what it sent still goes out.
    pub fn opener_closes(&mut self, number: u64) {
        let now_us = self.now_us;
        let Some(stream) = self.streams.get_mut(&number) else { return };
        if stream.opener_gone.is_none() {
            let open = stream.open;
            if open {
                self.send_piece(number, true, Piece::Fin);
            }
            if let Some(stream) = self.streams.get_mut(&number) {
                stream.opener_gone = Some(now_us);
            }
            self.look_for_silence(number);
        }
        self.forget_stream(number);
    }

    /// The other end closes: what it sent still goes out.
    pub fn acceptor_closes(&mut self, number: u64) {
        let now_us = self.now_us;
        let Some(stream) = self.streams.get_mut(&number) else { return };
        if stream.acceptor_gone.is_none() {
            self.send_piece(number, false, Piece::Fin);
            if let Some(stream) = self.streams.get_mut(&number) {
                stream.acceptor_gone = Some(now_us);
            }
            self.look_for_silence(number);
        }
        self.forget_stream(number);
    }

    /// The process at one end of these streams is gone without a word.
    pub fn ends_vanish(&mut self, opener: bool, is_of: impl Fn(&Stream) -> bool) {
        let now_us = self.now_us;
        let numbers: Vec<u64> =
            self.streams.iter().filter(|(_, s)| is_of(s)).map(|(number, _)| *number).collect();
        for number in numbers {
            let Some(stream) = self.streams.get_mut(&number) else { continue };
            let gone = if opener { &mut stream.opener_gone } else { &mut stream.acceptor_gone };
            if gone.is_none() {
                *gone = Some(now_us);
            }
            stream.lane(opener).pieces.clear();
            stream.lane(opener).generation += 1;
            self.look_for_silence(number);
            self.forget_stream(number);
        }
    }

    /// Sends on what a cut held up.
    pub fn unstall(&mut self) {
        let numbers: Vec<u64> = self
            .streams
            .iter()
            .filter(|(_, stream)| stream.up.stalled || stream.down.stalled)
            .map(|(number, _)| *number)
            .collect();
        for number in numbers {
            for up in [true, false] {
                self.unstall_lane(number, up);
            }
        }
    }

    fn unstall_lane(&mut self, number: u64, up: bool) {
        let now_us = self.now_us;
        let Some(stream) = self.streams.get_mut(&number) else { return };
        let (from, to) = stream.way(up);
        if !stream.lane(up).stalled || self.network.cut_since(from, to).is_some() {
            return;
        }
        // The sender tries again at growing distances.
        let wait_us = self.rng.range(MS_US, 200 * MS_US);
        let lane = stream.lane(up);
        lane.stalled = false;
        lane.last_us = now_us + wait_us;
        let (at_us, generation, count) = (lane.last_us, lane.generation, lane.pieces.len());
        for _ in 0..count {
            self.queue.push(at_us, Due::Message { stream: number, up, generation });
        }
    }

    /// Both ends look after their idle time whether they heard anything.
    pub fn look_for_silence(&mut self, number: u64) {
        let Some(stream) = self.streams.get(&number) else { return };
        let at_us = self.now_us + stream.idle_us();
        for opener in [true, false] {
            self.queue.push(at_us, Due::Silence { stream: number, opener });
        }
    }

    /// As [`World::look_for_silence`], for all streams of a kind.
    pub fn expect_silence(&mut self, is_of: impl Fn(&Stream) -> bool) {
        let numbers: Vec<u64> =
            self.streams.iter().filter(|(_, s)| is_of(s)).map(|(number, _)| *number).collect();
        for number in numbers {
            self.look_for_silence(number);
        }
    }

    /// An end may have heard nothing for its idle time.
    pub fn silence(&mut self, number: u64, opener: bool) {
        let Some(stream) = self.streams.get(&number) else { return };
        let here = if opener { stream.opener_gone } else { stream.acceptor_gone };
        let unknown = if opener { !stream.open } else { stream.acceptor == Acceptor::Nobody };
        if here.is_some() || unknown {
            return;
        }
        let (from, to) = stream.way(!opener);
        let (gone, process) = match opener {
            true => (stream.acceptor_gone, acceptor_process(stream.acceptor)),
            false => (stream.opener_gone, opener_process(stream.opener)),
        };
        let since = [gone, self.network.cut_since(from, to), self.paused_since(process)];
        let Some(since_us) = since.into_iter().flatten().min() else { return };
        let at_us = since_us + stream.idle_us();
        if at_us > self.now_us {
            return self.queue.push(at_us, Due::Silence { stream: number, opener });
        }
        let now_us = self.now_us;
        if !opener {
            return self.acceptor_hears_end(number);
        }
        if let Some(stream) = self.streams.get_mut(&number) {
            stream.opener_gone = Some(now_us);
        }
        self.look_for_silence(number);
        self.opener_hears_end(number, "timed out");
        self.forget_stream(number);
    }

    fn acceptor_hears_end(&mut self, number: u64) {
        let now_us = self.now_us;
        let Some(stream) = self.streams.get_mut(&number) else { return };
        if stream.acceptor_gone.is_some() {
            return;
        }
        stream.acceptor_gone = Some(now_us);
        let (acceptor, greeted) = (stream.acceptor, stream.greeted);
        self.trace.note(now_us, "end at the acceptor", number, &[]);
        self.look_for_silence(number);
        match acceptor {
            Acceptor::Server(life) if greeted => self.server_link_closed(life, number),
            Acceptor::Worker { copy, life } => self.copy_link_closed(copy, life, number),
            Acceptor::Server(_) | Acceptor::Nobody => {}
        }
        self.forget_stream(number);
    }

    fn opener_accepted(&mut self, number: u64) {
        let Some(stream) = self.streams.get(&number) else { return };
        let (opener, kind, acceptor) = (stream.opener, stream.kind, stream.acceptor);
        self.trace.note(self.now_us, "open", number, &[]);
        match opener {
            Opener::Dtu { dtu, link, .. } => self.dtu_link_open(dtu, link, kind, acceptor),
            Opener::Rogue(rogue) => self.rogue_link_open(rogue, number),
        }
    }

    fn opener_hears_end(&mut self, number: u64, why: &str) {
        let Some(stream) = self.streams.get(&number) else { return };
        let (opener, kind, open) = (stream.opener, stream.kind, stream.open);
        self.trace.note(self.now_us, "end at the opener", number, why.as_bytes());
        if let Opener::Dtu { dtu, life, link } = opener {
            self.dtu_link_over(dtu, life, link, kind, open, why);
        }
    }

    fn forget_stream(&mut self, number: u64) {
        let over = |stream: &Stream| {
            stream.is_over() && stream.up.pieces.is_empty() && stream.down.pieces.is_empty()
        };
        if self.streams.get(&number).is_some_and(over) {
            self.streams.remove(&number);
        }
    }
}

fn stall(world: &mut World, number: u64, up: bool) {
    if let Some(stream) = world.streams.get_mut(&number) {
        let lane = stream.lane(up);
        if !lane.stalled {
            lane.stalled = true;
            lane.generation += 1;
        }
    }
}
