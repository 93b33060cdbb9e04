//! What the core wants done.

use super::event::RequestId;
use crate::auth::LinkId;
use crate::group::Transmit;
use crate::store::SessionRow;
use afterglow_wire::control::ToDtu;
use afterglow_wire::ids::{Epoch, Keymap, ServerName, SessionId, Size, Token};
use afterglow_wire::local::{Clocks, ToKeeper};
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
    /// Tell a session on this host.
    TellKeeper {
        /// The session.
        session: SessionId,
        /// Its epoch.
        epoch: Epoch,
        /// What.
        message: ToKeeper,
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

/// What the store is asked to do; see [`crate::store::Store`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreOperation {
    /// Read the token's live session.
    SessionOf(Token),
    /// Read a session, live or not.
    Session(SessionId),
    /// Count a connection.
    Connect {
        /// The session.
        session: SessionId,
        /// The epoch that we believe in.
        epoch: Epoch,
    },
    /// Note a new session, if its token has no live one.
    Create(Box<SessionRow>),
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
