//! Control and display links: reliable, ordered, and as silent as QUIC about
//! the death of the other end.

use crate::queue::ServerLife;
use afterglow_client::connection::LinkId;
use afterglow_link::quic::Liveness;
use afterglow_wire::control::Insert;
use afterglow_wire::ids::{Epoch, SessionId};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};

/// Who opened a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opener {
    /// A desktop unit, in one of its lives, under its own number.
    Dtu {
        /// The desktop unit.
        dtu: usize,
        /// Its life.
        life: u32,
        /// The number that it gave the link.
        link: LinkId,
    },
    /// A desktop unit that keeps to no rule.
    Rogue(usize),
}

/// Who took a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acceptor {
    /// Nobody yet.
    Nobody,
    /// A server's process.
    Server(ServerLife),
    /// A session's worker, in one of its lives.
    Worker {
        /// The copy.
        copy: usize,
        /// The worker's life.
        life: u32,
    },
}

/// What a stream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A control link.
    Control,
    /// A display link to this copy of this session.
    Display(SessionId, Epoch),
}

/// One thing on its way.
#[derive(Debug, Clone)]
pub enum Piece {
    /// A message with its length.
    Message(Bytes),
    /// The sender closes.
    Fin,
}

/// One direction of a stream.
#[derive(Debug, Default)]
pub struct Lane {
    /// What is on its way, in order.
    pub pieces: VecDeque<Piece>,
    /// When the last of them arrives.
    pub last_us: u64,
    /// True while nothing gets through.
    pub stalled: bool,
    /// Counts the stalls, so that arrivals from before one are told apart.
    pub generation: u32,
}

/// What the world notes about a control link, to judge what a server does.
#[derive(Debug, Default)]
pub struct Facts {
    /// The insert that the server got last, and when.
    pub insert: Option<(Insert, u64)>,
    /// The nonces of the challenges that the server sent.
    pub challenges: Vec<(u64, [u8; 32])>,
    /// The highest insert whose remove the server got.
    pub removed: u64,
    /// True once the server attached it in the place of another.
    pub cared_for: bool,
}

/// A stream between a desktop unit and a server or session.
#[derive(Debug)]
pub struct Stream {
    /// What it is for.
    pub kind: Kind,
    /// Who opened it.
    pub opener: Opener,
    /// The opener's address.
    pub opener_ip: Ipv4Addr,
    /// The address that was dialled.
    pub address: SocketAddrV4,
    /// Who took it.
    pub acceptor: Acceptor,
    /// True once the opener knows that it is open.
    pub open: bool,
    /// True once a hello came.
    pub greeted: bool,
    /// From the opener.
    pub up: Lane,
    /// To the opener.
    pub down: Lane,
    /// Since when the opener is gone.
    pub opener_gone: Option<u64>,
    /// Since when the other end is gone.
    pub acceptor_gone: Option<u64>,
    /// For the invariants.
    pub facts: Facts,
}

impl Stream {
    /// A stream that is about to be opened.
    pub fn new(kind: Kind, opener: Opener, opener_ip: Ipv4Addr, address: SocketAddrV4) -> Self {
        Stream {
            kind,
            opener,
            opener_ip,
            address,
            acceptor: Acceptor::Nobody,
            open: false,
            greeted: false,
            up: Lane::default(),
            down: Lane::default(),
            opener_gone: None,
            acceptor_gone: None,
            facts: Facts::default(),
        }
    }

    /// After which silence an end gives up, in microseconds.
    pub fn idle_us(&self) -> u64 {
        let liveness = match self.kind {
            Kind::Control => Liveness::CONTROL,
            Kind::Display(..) => Liveness::DISPLAY,
        };
        liveness.idle_timeout.as_micros() as u64
    }

    /// The lane of a direction.
    pub fn lane(&mut self, up: bool) -> &mut Lane {
        if up { &mut self.up } else { &mut self.down }
    }

    /// True if both ends are gone.
    pub fn is_over(&self) -> bool {
        let never = self.acceptor == Acceptor::Nobody;
        self.opener_gone.is_some() && (never || self.acceptor_gone.is_some())
    }

    /// Where packets of a direction come from and go to.
    pub fn way(&self, up: bool) -> (Ipv4Addr, Ipv4Addr) {
        let far = *self.address.ip();
        if up { (self.opener_ip, far) } else { (far, self.opener_ip) }
    }
}

/// All streams, by number; numbers grow and are never used twice.
pub type Streams = BTreeMap<u64, Stream>;
