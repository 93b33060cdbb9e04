//! The one queue of everything that is going to happen.

use afterglow_client::token::Event as TokenEvent;
use afterglow_server::core::{Launch, RequestId, StoreAnswer, StoreOperation};
use afterglow_wire::ids::{Epoch, SessionId};
use afterglow_wire::local::ToKeeper;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{Ipv4Addr, SocketAddrV4};

/// A process: what a stall stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Process {
    /// A server's, by its index.
    Server(usize),
    /// A session's worker, by the index of the copy.
    Copy(usize),
    /// A desktop unit's.
    Dtu(usize),
    /// The world's own.
    World,
}

/// One life of a server's process: what was meant for an earlier one is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerLife {
    /// The server's index.
    pub server: usize,
    /// Which life.
    pub life: u32,
}

/// Where a datagram comes from, as only the world knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// From who it says.
    Genuine,
    /// Made up by somebody without the key.
    Forged,
    /// Sent again by somebody else.
    Replayed,
}

/// A datagram on its way.
#[derive(Debug, Clone)]
pub struct Parcel {
    /// The address that it seems to come from.
    pub from: SocketAddrV4,
    /// The machine's address that it reaches.
    pub to: Ipv4Addr,
    /// What.
    pub bytes: Vec<u8>,
    /// Whether it is what it seems.
    pub origin: Origin,
}

/// What a user does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserAct {
    /// Puts in the card with this number.
    Insert(usize),
    /// Takes the card out.
    Remove,
    /// Moves the pointer.
    Type,
    /// Decides what to do next.
    Think,
    /// Switches the desktop unit on.
    PowerOn,
    /// Looks at the screen and asks to try again if it says that it stopped.
    LookAndRetry,
}

/// What happens to the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorldAct {
    /// A fault of this kind begins somewhere.
    Fault(crate::fault::Fault),
    /// A cut between two machines ends.
    Heal(Ipv4Addr, Ipv4Addr),
    /// An interface of a server comes back.
    InterfaceUp(usize, u8),
    /// A server's process starts.
    StartServer(usize),
    /// A server's process dies.
    CrashServer(usize),
    /// A server's machine starts.
    StartHost(usize),
    /// A worker is started again.
    StartWorker(usize),
    /// A slow process is quick again.
    Quick(Process),
    /// The store can be reached again from this server.
    StoreBack(usize),
    /// A desktop unit that keeps to no rule follows its redirect.
    RogueFollows(usize),
    /// Users decide about their earlier copies.
    DecideOlder,
    /// A drained server is taken back into service.
    Undrain(usize),
    /// Faults end, and what they broke is mended.
    Calm,
}

/// What is going to happen.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "a field is the number, or the thing, that its name says")]
pub enum Due {
    /// A datagram arrives.
    Datagram(Box<Parcel>),
    /// The opener of a stream tries to reach the other end.
    Dial { stream: u64, attempt: u32 },
    /// The opener's first packet arrives at the other end.
    Knock { stream: u64 },
    /// The opener hears that the stream is open.
    Accepted { stream: u64 },
    /// The opener gives up.
    Unanswered { stream: u64 },
    /// The next message of a stream arrives.
    Message { stream: u64, up: bool, generation: u32 },
    /// An end of a stream may have been without a word for too long.
    Silence { stream: u64, opener: bool },
    /// A process's timer.
    Tick(Process),
    /// The store does something.
    StoreDoes(ServerLife, RequestId, Box<StoreOperation>),
    /// The store's answer arrives.
    StoreSaid(ServerLife, RequestId, Box<StoreAnswer>),
    /// A probe arrives at an endpoint.
    ProbeArrives(ServerLife, RequestId, SocketAddrV4, SessionId, Epoch),
    /// A probe's answer arrives, or its time is over.
    ProbeSaid(ServerLife, RequestId, Option<(SessionId, Epoch)>),
    /// A session's keeper is done with starting.
    Launched { by: ServerLife, host_life: u32, launch: Box<Launch> },
    /// A start that failed is reported.
    LaunchFailed { by: ServerLife, session: SessionId, epoch: Epoch },
    /// A keeper tells its server how things stand.
    KeeperStands { to: ServerLife, copy: usize },
    /// A server's word arrives at a session.
    KeeperHears { copy: usize, message: Box<ToKeeper> },
    /// An earlier copy is to go on as this session.
    KeeperBecomes { copy: usize, becomes: SessionId },
    /// A server looks at its host.
    Look(ServerLife),
    /// A session may draw.
    Draw { copy: usize, attachment: u64 },
    /// A session has put input in.
    Typed { copy: usize, attachment: u64, seq: u64 },
    /// A frame is on the screen.
    FrameShown { dtu: usize, life: u32, number: u64 },
    /// The card reader says something.
    Token { dtu: usize, life: u32, event: TokenEvent },
    /// The reader reads the card that is in now.
    ReadToken { dtu: usize, life: u32 },
    /// A listed server's address is looked up.
    Resolved { dtu: usize, life: u32 },
    /// A user acts.
    User(usize, UserAct),
    /// The world changes.
    World(WorldAct),
}

struct Entry {
    at_us: u64,
    /// Timers come after everything else of the same moment, so that nobody
    /// is found silent whose words wait.
    timer: bool,
    seq: u64,
    due: Due,
}

impl Entry {
    fn order(&self) -> (u64, bool, u64) {
        (self.at_us, self.timer, self.seq)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}

/// Everything that is going to happen, in order.
#[derive(Default)]
pub struct Queue {
    heap: BinaryHeap<Reverse<Entry>>,
    seq: u64,
}

impl Queue {
    /// Something is going to happen at this time.
    pub fn push(&mut self, at_us: u64, due: Due) {
        self.seq += 1;
        let timer = matches!(due, Due::Tick(_) | Due::Silence { .. });
        self.heap.push(Reverse(Entry { at_us, timer, seq: self.seq, due }));
    }

    /// The next thing to happen, if it happens until `until_us`.
    pub fn pop(&mut self, until_us: u64) -> Option<(u64, Due)> {
        if self.heap.peek()?.0.at_us > until_us {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| (entry.at_us, entry.due))
    }
}
