//! What the core is told.

use crate::auth::LinkId;
use crate::group::Present;
use crate::group::homes::KnownHomes;
use crate::store::{CopyRow, SessionRow, UserRow};
use afterglow_wire::control::ToServer;
use afterglow_wire::ids::{DtuId, Epoch, ServerName, SessionId};
use afterglow_wire::local::Status;
use afterglow_wire::service::ServiceOrder;
use std::net::{Ipv4Addr, SocketAddrV4};

/// A question of the core's to the store or to an endpoint, by its number. No
/// number is used twice.
pub type RequestId = u64;

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A DTU said hello over a new control link.
    LinkOpened {
        /// The link; no number is used twice.
        link: LinkId,
        /// The DTU, as its link proved it.
        dtu: DtuId,
        /// Its address.
        address: Ipv4Addr,
        /// What people call it.
        dtu_name: String,
    },
    /// A message came over an open control link.
    Link {
        /// The link.
        link: LinkId,
        /// The message.
        message: ToServer,
    },
    /// A control link is gone.
    LinkClosed {
        /// The link.
        link: LinkId,
    },
    /// A datagram came to the group's port.
    Datagram {
        /// From here.
        from: SocketAddrV4,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// The store answered, or could not be reached.
    Stored {
        /// The question.
        request: RequestId,
        /// The answer.
        answer: StoreAnswer,
    },
    /// An endpoint answered a probe, or its connection failed.
    Probed {
        /// The question.
        request: RequestId,
        /// Which session it said it is, if it spoke.
        said: Option<(SessionId, Epoch)>,
    },
    /// A start that was wanted has ended.
    Started {
        /// The session.
        session: SessionId,
        /// Its epoch.
        epoch: Epoch,
        /// Its display link's port, or what went wrong, for the user.
        result: Result<u16, String>,
    },
    /// A keeper was found that we did not start.
    KeeperFound(Status),
    /// A keeper says how its session stands now.
    KeeperStatus(Status),
    /// A session on this host is over.
    KeeperEnded {
        /// The session.
        session: SessionId,
        /// Its epoch.
        epoch: Epoch,
        /// Why, for the user.
        text: String,
        /// True if it said so; else its keeper is lost.
        by_itself: bool,
    },
    /// How the host is now. The core counts its sessions itself.
    Present(Present),
    /// Others reach the host at this address now.
    Address(Ipv4Addr),
    /// Where the listed servers are now.
    Peers(Vec<SocketAddrV4>),
    /// What is known of the home folders, ours and the others', is new.
    Homes(KnownHomes),
    /// An administrator takes the server out of service, or back into it.
    Drain(bool),
    /// An administrator wants something of a session on this host; answered
    /// with [`Action::Answer`](super::Action::Answer).
    Order {
        /// What.
        order: AdminOrder,
        /// The number that the answer has.
        answer: u64,
    },
    /// The time that [`super::ServerCore::wake_ms`] gave has come.
    Tick,
}

/// What an administrator wants of a session on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminOrder {
    /// Take it from the screen that shows it.
    Disconnect {
        /// The session.
        session: SessionId,
    },
    /// End it.
    End {
        /// The session.
        session: SessionId,
        /// The epoch of an earlier copy; else the session itself.
        epoch: Option<Epoch>,
    },
    /// Let another server start its services again.
    Move {
        /// The session.
        session: SessionId,
        /// The server.
        to: ServerName,
        /// True if its user is not asked.
        force: bool,
    },
    /// Let an earlier copy go on, as a session of its own.
    Continue {
        /// The session.
        session: SessionId,
        /// The copy's epoch.
        epoch: Epoch,
    },
    /// Start, stop or restart one of its services.
    Service {
        /// The session.
        session: SessionId,
        /// What.
        order: ServiceOrder,
    },
}

/// What the store said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreAnswer {
    /// To the read of a session: its row, if there is one.
    Row(Option<Box<SessionRow>>),
    /// To the read of a token's session.
    Token {
        /// The live session, if there is one.
        row: Option<Box<SessionRow>>,
        /// The token's user, if it has one.
        user: Option<Box<UserRow>>,
    },
    /// To the read of a token's sessions: at most
    /// [`SESSIONS_MAX`](afterglow_wire::limits::SESSIONS_MAX) of each.
    Sessions {
        /// The live ones, the last connected first.
        rows: Vec<SessionRow>,
        /// Earlier copies.
        copies: Vec<CopyRow>,
    },
    /// To the read of a server's earlier copies.
    Copies(Vec<CopyRow>),
    /// To a count, a creation or a take-over: the token's count of
    /// connections; `None` if the store does not know this epoch as live, or
    /// takes no such session.
    Count(Option<u64>),
    /// To any other write: true if it changed something.
    Done(bool),
    /// It cannot be reached, or did not answer in time. What was asked may
    /// have happened all the same.
    Down,
    /// To a read: it has a row that is not valid; why and what to do.
    Corrupt(String),
}
