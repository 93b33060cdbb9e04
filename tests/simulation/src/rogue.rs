//! Those who keep to no rule: forged, changed and replayed datagrams, floods,
//! and desktop units that lie.

use crate::dtu::token_of;
use crate::fault::Fault;
use crate::links::CONTROL_PORT;
use crate::network::{nobody_ip, rogue_ip, server_ip};
use crate::plan::SECOND_US;
use crate::queue::{Due, Origin, Parcel, WorldAct};
use crate::stream::{Kind, Opener, Piece, Stream};
use crate::world::{WALL_MS, World};
use afterglow_wire::codec::Message;
use afterglow_wire::control::{
    Cause, Challenge, ChallengeAnswer, Hello, Insert, Redirect, ToDtu, ToServer, VERSION,
};
use afterglow_wire::group::{
    GroupMessage, HostMessage, PORT, ServerQ, ServerR, TokenR, TokenSession,
};
use afterglow_wire::ids::{DtuId, Epoch, Keymap, ServerName, SessionId, Size};
use afterglow_wire::ticket::{Permit, Ticket};
use afterglow_wire::trust::GroupKey;
use bytes::Bytes;
use std::net::{Ipv4Addr, SocketAddrV4};

/// The most desktop units that keep to no rule.
const ROGUES_MAX: usize = 200;

/// How a desktop unit lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    /// It answers a challenge with another nonce.
    WrongAnswer,
    /// It never answers one.
    NoAnswer,
    /// It has a resume ticket of its own making.
    OwnTicket,
    /// It has another one's ticket.
    StolenTicket,
    /// It says that it followed three redirects, and tells the truth besides.
    ThreeRedirects,
    /// It says that it can reach nobody else, and tells the truth besides.
    NobodyReached,
    /// It follows its redirect only when it likes.
    LateFollower,
}

/// A desktop unit that keeps to no rule.
pub struct Rogue {
    /// Its key's fingerprint.
    pub id: DtuId,
    lie: Lie,
    card: usize,
    /// The redirect that it got.
    redirect: Option<Redirect>,
}

impl World {
    fn foreign_key() -> GroupKey {
        GroupKey::from_file_content(&[9; 32]).unwrap_or_else(|_| unreachable!("32 bytes"))
    }

    fn forged_host(&mut self, name: String) -> GroupMessage {
        let ip = nobody_ip(self.rng.below(200));
        let host: ServerName = name.parse().unwrap_or_else(|_| unreachable!("a name"));
        GroupMessage::Host(HostMessage {
            host,
            addr: ip,
            time_ms: WALL_MS,
            flags: 0,
            cpus: 64,
            clock_mhz: 5_000,
            boot: u64::MAX / 2,
            seq: self.rng.below(1_000),
            port: CONTROL_PORT,
            load_percent: 0,
            sessions: 0,
            memory_mib: 0,
            version: "0.1.0".into(),
            home: None,
            part: (1, 1),
            interfaces: Vec::new(),
        })
    }

    /// Somebody without the key speaks for a server.
    pub fn forge_message(&mut self) {
        self.counts.add(Fault::Forged);
        let about = self.rng.below(self.plan.servers as u64 + 1);
        let message = self.forged_host(format!("s{about:02}"));
        let right = message.to_datagram(&self.message_key);
        let bytes = match self.rng.below(5) {
            // Signed by another group.
            0 => message.to_datagram(&World::foreign_key().message_key()),
            // Not signed at all.
            1 => {
                let text = String::from_utf8_lossy(&right);
                text.split(" sig=").next().unwrap_or("").as_bytes().to_vec()
            }
            // Cut short on the way.
            2 => right[..self.rng.range(1, right.len() as u64) as usize].to_vec(),
            // Changed on the way.
            3 => {
                let mut changed = right;
                let at = self.rng.range(5, changed.len() as u64 - 50) as usize;
                changed[at] = if changed[at] == b'1' { b'2' } else { b'1' };
                changed
            }
            // No message at all.
            _ => {
                let mut garbage = vec![0; self.rng.range(1, 1_500) as usize];
                self.rng.fill(&mut garbage);
                garbage
            }
        };
        let to = server_ip(self.rng.below(self.plan.servers as u64) as usize, 0);
        let from = match self.rng.below(2) {
            0 => nobody_ip(self.rng.below(200)),
            _ => server_ip(self.rng.below(self.plan.servers as u64) as usize, 0),
        };
        self.send_datagram(SocketAddrV4::new(from, PORT), to, &bytes, Origin::Forged);
    }

    /// Somebody without the key answers a question that it overheard.
    pub fn forge_answer(&mut self) {
        let overheard: Vec<Parcel> = self.network.captured.iter().cloned().collect();
        let questions: Vec<(Ipv4Addr, GroupMessage)> = overheard
            .iter()
            .filter_map(|parcel| {
                let received = GroupMessage::parse(&parcel.bytes, None).ok()?;
                Some((*parcel.from.ip(), received.message))
            })
            .filter(|(_, m)| matches!(m, GroupMessage::TokenQ(_) | GroupMessage::ServerQ(_)))
            .collect();
        let at = self.rng.below(questions.len() as u64) as usize;
        let Some((asker, question)) = questions.get(at).cloned() else { return };
        self.counts.add(Fault::ForgedAnswer);
        let host: ServerName = "s00".parse().unwrap_or_else(|_| unreachable!("a name"));
        let answer = match question {
            GroupMessage::TokenQ(q) => GroupMessage::TokenR(TokenR {
                nonce: q.nonce,
                host,
                session: Some(TokenSession {
                    session: SessionId([0xee; 16]),
                    epoch: Epoch(1_000),
                    connection: 1_000,
                }),
            }),
            GroupMessage::ServerQ(q) => GroupMessage::ServerR(ServerR {
                nonce: q.nonce,
                host,
                addr: nobody_ip(self.rng.below(200)),
                port: CONTROL_PORT,
            }),
            _ => return,
        };
        let bytes = answer.to_datagram(&World::foreign_key().message_key());
        let from = SocketAddrV4::new(nobody_ip(1), PORT);
        self.send_datagram(from, asker, &bytes, Origin::Forged);
    }

    /// Somebody sends again what it overheard, some of it from elsewhere.
    pub fn replay(&mut self) {
        for _ in 0..4 {
            let at = self.rng.below(self.network.captured.len() as u64) as usize;
            let Some(parcel) = self.network.captured.get(at).cloned() else { return };
            let from = match self.rng.below(3) {
                0 => SocketAddrV4::new(nobody_ip(self.rng.below(200)), PORT),
                _ => parcel.from,
            };
            let to = match self.rng.below(3) {
                0 => server_ip(self.rng.below(self.plan.servers as u64) as usize, 0),
                _ => parcel.to,
            };
            self.counts.add(Fault::Replay);
            self.send_datagram(from, to, &parcel.bytes, Origin::Replayed);
        }
    }

    /// A thousand questions from an address that is not the asker's, or two
    /// hundred names.
    pub fn flood(&mut self) {
        self.counts.add(Fault::Flood);
        let to = server_ip(self.rng.below(self.plan.servers as u64) as usize, 0);
        let from = SocketAddrV4::new(nobody_ip(self.rng.below(200)), PORT);
        if self.rng.chance(500_000) {
            for _ in 0..3_000 {
                let question = ServerQ { nonce: self.rng.next() }.to_datagram();
                self.send_datagram(from, to, &question, Origin::Genuine);
            }
            return;
        }
        for number in 0..200 {
            let message = self.forged_host(format!("x{number}"));
            let bytes = message.to_datagram(&World::foreign_key().message_key());
            self.send_datagram(from, to, &bytes, Origin::Forged);
        }
    }

    /// A desktop unit that lies comes to a server.
    pub fn rogue_comes(&mut self) {
        if self.rogues.len() >= ROGUES_MAX {
            return;
        }
        self.counts.add(Fault::Rogue);
        let lies = [
            Lie::WrongAnswer,
            Lie::NoAnswer,
            Lie::OwnTicket,
            Lie::StolenTicket,
            Lie::ThreeRedirects,
            Lie::NobodyReached,
            Lie::LateFollower,
            Lie::LateFollower,
        ];
        let lie = self.rng.pick(&lies).unwrap_or(Lie::NoAnswer);
        let mut id = [0xff; 32];
        self.rng.fill(&mut id[8..]);
        let rogue = self.rogues.len();
        let card = self.rng.below(self.plan.dtus as u64) as usize;
        self.rogues.push(Rogue { id: DtuId(id), lie, card, redirect: None });
        let server = self.rng.below(self.plan.servers as u64) as usize;
        let address = SocketAddrV4::new(server_ip(server, 0), CONTROL_PORT);
        let ip = rogue_ip(rogue);
        self.trace.say(self.now_us, || format!("rogue {rogue} at s{server:02}: {lie:?}"));
        self.open_stream(Stream::new(Kind::Control, Opener::Rogue(rogue), ip, address));
    }

    /// A desktop unit that lies follows its redirect at last.
    pub fn rogue_follows(&mut self, rogue: usize) {
        let Some(redirect) = &self.rogues[rogue].redirect else { return };
        let (address, ip) = (redirect.to.address, rogue_ip(rogue));
        self.open_stream(Stream::new(Kind::Control, Opener::Rogue(rogue), ip, address));
    }

    /// A server took the link of a desktop unit that lies.
    pub fn rogue_link_open(&mut self, rogue: usize, number: u64) {
        let hello = Hello { version: VERSION, dtu_name: "somebody".into() };
        self.rogue_says(number, hello.into());
        let insert = self.lying_insert(rogue);
        self.rogue_says(number, insert.into());
    }

    fn rogue_says(&mut self, number: u64, message: ToServer) {
        self.send_piece(number, true, Piece::Message(message.encode_framed()));
    }

    fn lying_insert(&mut self, rogue: usize) -> Insert {
        let (lie, id) = (self.rogues[rogue].lie, self.rogues[rogue].id);
        let mut insert = Insert {
            insert: 1,
            token: token_of(self.rogues[rogue].card),
            want: afterglow_wire::sessions::Want::Last,
            cause: Cause::Insert,
            ticket: None,
            unreachable: Default::default(),
            redirects: 0,
            showing: None,
            screen: Size::new(640, 480).unwrap_or_else(|| unreachable!("a size")),
            keymap: Keymap::default(),
        };
        match lie {
            Lie::WrongAnswer | Lie::NoAnswer => {}
            Lie::LateFollower => {
                if let Some(redirect) = self.rogues[rogue].redirect.take() {
                    (insert.ticket, insert.cause) = (Some(redirect.ticket), Cause::Redirect);
                    insert.redirects = 1;
                }
            }
            Lie::OwnTicket => {
                let permit = match self.rng.below(2) {
                    0 => Permit::Resume,
                    _ => Permit::Redirect {
                        to: self.servers[0].name.clone(),
                        plan: afterglow_wire::ticket::Plan::Existing,
                    },
                };
                insert.cause = match permit {
                    Permit::Resume => Cause::Failover,
                    _ => Cause::Redirect,
                };
                let ticket = Ticket {
                    permit,
                    issuer: self.servers[0].name.clone(),
                    ends_ms: WALL_MS + self.now_us / 1_000 + 9_000,
                    nonce: [3; 16],
                    dtu: id,
                    token: insert.token.clone(),
                    session: SessionId([1; 16]),
                    epoch: Epoch(1),
                    insert: 1,
                    connection: 1_000,
                };
                insert.ticket = Some(ticket.seal(&World::foreign_key().ticket_signer()));
            }
            Lie::StolenTicket => {
                let stolen = self.oracle.tickets.back().cloned();
                if let Some((ticket, cause, number)) = stolen {
                    (insert.ticket, insert.cause, insert.insert) = (Some(ticket), cause, number);
                }
            }
            Lie::ThreeRedirects => insert.redirects = afterglow_wire::limits::REDIRECTS_MAX,
            Lie::NobodyReached => {
                insert.unreachable = self.servers.iter().map(|s| s.name.clone()).collect();
            }
        }
        insert
    }

    /// A server says something to a desktop unit that lies.
    pub fn rogue_hears(&mut self, rogue: usize, number: u64, body: Bytes) {
        let Challenge { insert, nonce } = match ToDtu::decode(body) {
            Ok(ToDtu::Challenge(challenge)) => challenge,
            Ok(ToDtu::Redirect(redirect)) if self.rogues[rogue].lie == Lie::LateFollower => {
                let wait_us = self.rng.below(9 * SECOND_US);
                self.rogues[rogue].redirect = Some(redirect);
                return self.after(wait_us, Due::World(WorldAct::RogueFollows(rogue)));
            }
            _ => return,
        };
        let token = token_of(self.rogues[rogue].card);
        let answer = match self.rogues[rogue].lie {
            Lie::NoAnswer => return,
            Lie::WrongAnswer | Lie::OwnTicket | Lie::StolenTicket => {
                ChallengeAnswer { insert, nonce: [0; 32], token }
            }
            Lie::ThreeRedirects | Lie::NobodyReached | Lie::LateFollower => {
                ChallengeAnswer { insert, nonce, token }
            }
        };
        self.rogue_says(number, answer.into());
    }
}
