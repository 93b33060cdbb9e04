//! What the core wants done.

use super::event::RequestId;
use crate::auth::LinkId;
use crate::group::Transmit;
use crate::store::{CopyRow, SessionRow, Wish};
use afterglow_wire::control::ToDtu;
use afterglow_wire::ids::{Epoch, Keymap, ServerName, SessionId, Size, Token};
use afterglow_wire::local::{Clocks, ToKeeper};
use afterglow_wire::service::{ServiceName, ServiceSpec};
use std::net::SocketAddrV4;

/// What to do. Actions are done in order; those whose answer is an
/// [`Event`](super::Event) do not hold up what comes after them.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Send a message to a DTU.
    SendLink {
        /// The link.
        link: LinkId,
        /// The message.
        message: ToDtu,
    },
    /// Close a link. The core has forgotten it.
    CloseLink {
        /// The link.
        link: LinkId,
        /// Why.
        why: LinkClose,
    },
    /// Send a datagram from the group's port.
    SendDatagram(Transmit),
    /// Ask the store, and answer with [`Event::Stored`](super::Event::Stored).
    Store {
        /// The question's number.
        request: RequestId,
        /// The question.
        operation: StoreOperation,
    },
    /// Ask a display link once whether it speaks for this copy of this
    /// session, and answer with [`Event::Probed`](super::Event::Probed).
    Probe {
        /// The question's number.
        request: RequestId,
        /// Where the session should be.
        endpoint: SocketAddrV4,
        /// The session.
        session: SessionId,
        /// Its epoch.
        epoch: Epoch,
    },
    /// Get ready to start this copy, as far as nothing of the user's is
    /// touched: it may come to [`Action::Start`] or to [`Action::Discard`].
    Prepare(Box<Launch>),
    /// What was made ready is not wanted.
    Discard {
        /// The session.
        session: SessionId,
        /// The epoch that it would have had.
        epoch: Epoch,
    },
    /// Start this copy of a session, made ready or not, and answer with
    /// [`Event::Started`](super::Event::Started).
    Start(Box<Launch>),
    /// Let an earlier copy on this host go on as this new session: give it a
    /// certificate, and tell it ([`ToKeeper::Become`]).
    Adopt {
        /// The session that it is.
        session: SessionId,
        /// Its epoch.
        epoch: Epoch,
        /// The session that it becomes, in its first epoch.
        becomes: SessionId,
    },
    /// Tell a session on this host.
    TellKeeper {
        /// The session.
        session: SessionId,
        /// Its epoch.
        epoch: Epoch,
        /// What.
        message: ToKeeper,
    },
    /// Tell an administrator what came of an order.
    Answer {
        /// The order's number.
        answer: u64,
        /// What was done, or why it was not.
        result: Result<String, String>,
    },
    /// Log something.
    Log(Level, String),
}

/// A copy of a session that is to be started.
#[derive(Debug, Clone, PartialEq)]
pub struct Launch {
    /// As the store has it, or will have it once it is taken over.
    pub row: SessionRow,
    /// The window that it is for.
    pub screen: Screen,
    /// Its catalogue. What ran in an earlier epoch is in the row.
    pub services: Vec<ServiceSpec>,
    /// What is known of the servers' clocks.
    pub clocks: Clocks,
}

/// The DTU's window and keyboard, for a session that has to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Screen {
    /// The window.
    pub size: Size,
    /// The keyboard's layout.
    pub keymap: Keymap,
}

/// Why the core closes a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkClose {
    /// The peer sent what does not belong here.
    Protocol,
    /// The same DTU opened another link.
    Replaced,
    /// The peer inserts more often than anybody has reason to.
    TooOften,
}

/// How much a line of the log matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// To those who look for a fault.
    Debug,
    /// The regular course of things.
    Info,
    /// Something that should not be.
    Warn,
    /// Something that somebody has to mend.
    Error,
}

/// What the store is asked to do; see [`crate::store::Store`]. Every write
/// about a session names the epoch that its server believes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreOperation {
    /// Read a token's live session and user:
    /// [`StoreAnswer::Token`](super::StoreAnswer::Token).
    TokenSession {
        /// The token.
        token: Token,
        /// The session, if a certain one is wanted; else the last connected.
        session: Option<SessionId>,
    },
    /// Read all live sessions and earlier copies of a token:
    /// [`StoreAnswer::Sessions`](super::StoreAnswer::Sessions).
    SessionsOf(Token),
    /// Read a session, live or not.
    Session(SessionId),
    /// Count a connection.
    Connect {
        /// The session.
        session: SessionId,
        /// The epoch that we believe in.
        epoch: Epoch,
    },
    /// Note a new session.
    Create {
        /// The session.
        row: Box<SessionRow>,
        /// Only if its token has no live one.
        only: bool,
    },
    /// Take a session over, if its epoch is still `from`.
    TakeOver {
        /// The session.
        session: SessionId,
        /// The epoch that it has.
        from: Epoch,
        /// Its new owner.
        owner: ServerName,
        /// True if this is one more connection.
        count: bool,
    },
    /// Note where a session is, or that it is lost.
    SetEndpoint {
        /// The session.
        session: SessionId,
        /// Its epoch.
        epoch: Epoch,
        /// Its owner.
        owner: ServerName,
        /// Where its display link is.
        endpoint: Option<SocketAddrV4>,
    },
    /// Note which of its services run.
    SetServices {
        /// The session.
        session: SessionId,
        /// Its epoch.
        epoch: Epoch,
        /// Its owner.
        owner: ServerName,
        /// The services, the desktop aside.
        services: Vec<ServiceName>,
    },
    /// Call a session something.
    Rename {
        /// The session.
        session: SessionId,
        /// Its epoch.
        epoch: Epoch,
        /// What.
        name: String,
    },
    /// Let a session's owner know what is wanted of it.
    Wish {
        /// The session.
        session: SessionId,
        /// Its epoch.
        epoch: Epoch,
        /// What; nothing any more, once it is done or cannot be.
        wish: Option<Wish>,
    },
    /// Give a session away, to be started again by its new owner: its epoch
    /// becomes one higher, and it is nowhere.
    HandOver {
        /// The session.
        session: SessionId,
        /// Its epoch.
        epoch: Epoch,
        /// Its owner.
        owner: ServerName,
        /// Its new owner.
        to: ServerName,
    },
    /// Note that an earlier copy is frozen, if the session has a higher epoch.
    NoteCopy(Box<CopyRow>),
    /// Read the earlier copies on a server's host:
    /// [`StoreAnswer::Copies`](super::StoreAnswer::Copies).
    CopiesAt(ServerName),
    /// Let an earlier copy's owner know what is wanted of it.
    WishCopy {
        /// The session.
        session: SessionId,
        /// The copy's epoch.
        epoch: Epoch,
        /// What.
        wish: Wish,
    },
    /// Forget an earlier copy: it is over, or a session of its own.
    ForgetCopy {
        /// The session.
        session: SessionId,
        /// The copy's epoch.
        epoch: Epoch,
        /// Its owner.
        owner: ServerName,
    },
    /// Note that a session is over.
    End {
        /// The session.
        session: SessionId,
        /// Its epoch.
        epoch: Epoch,
        /// Its owner.
        owner: ServerName,
    },
}
