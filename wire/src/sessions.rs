//! The session panel's part of the control link: a token's sessions, and what
//! their user wants done with them.

use crate::codec::{DecodeError, Reader, Wire};
use crate::control::BoundedList;
use crate::ids::{Epoch, ServerName, SessionId};
use crate::limits::{SERVICES_MAX, SESSIONS_MAX};
use crate::service::{ServiceName, ServiceOrder, ServiceStatus};
use bytes::BytesMut;

/// Which of its token's sessions an insert wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Want {
    /// The one that was connected last; a new one if there is none.
    #[default]
    Last,
    /// This one.
    Session(SessionId),
    /// One more.
    New,
}

impl Wire for Want {
    fn put(&self, out: &mut BytesMut) {
        match self {
            Want::Last => 0u8.put(out),
            Want::Session(id) => {
                1u8.put(out);
                id.put(out);
            }
            Want::New => 2u8.put(out),
        }
    }
    fn get(from: &mut Reader) -> Result<Self, DecodeError> {
        match u8::get(from)? {
            0 => Ok(Want::Last),
            1 => Ok(Want::Session(SessionId::get(from)?)),
            2 => Ok(Want::New),
            _ => Err(DecodeError::Invalid("wanted session")),
        }
    }
}

wire_struct! {
    /// What sessions does the token have? Good only while it is in.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct ListSessions {
        /// The insert that it belongs to.
        pub insert: u64,
    }
}

wire_choice! {
    /// How a session stands.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum SessionState {
        /// It is on the screen of the DTU that asks.
        Shown = 0,
        /// It runs.
        Running = 1,
        /// Its host is silent.
        HostSilent = 2,
        /// It does not run: its services are started again once it is chosen.
        Lost = 3,
        /// It is an earlier copy of a session that was taken over: frozen.
        OlderCopy = 4,
    }
}

wire_struct! {
    /// A session in the list. Of an earlier copy there is an entry of its own,
    /// with the epoch that it has.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct SessionEntry {
        /// The session.
        pub session: SessionId,
        /// Its epoch.
        pub epoch: Epoch,
        /// What its user calls it; may be empty.
        pub name: String,
        /// The server on whose host it is.
        pub server: ServerName,
        /// How it stands.
        pub state: SessionState,
        /// How long ago it was new, in milliseconds; of an earlier copy, how
        /// long ago it was frozen.
        pub age_ms: u64,
        /// Its services that run, the desktop aside.
        pub services: BoundedList<ServiceName, SERVICES_MAX>,
    }
}

wire_struct! {
    /// A token's sessions, the last connected first.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Sessions {
        /// The insert that it belongs to.
        pub insert: u64,
        /// At most [`SESSIONS_MAX`]; those that are beyond are left out.
        pub sessions: BoundedList<SessionEntry, SESSIONS_MAX>,
        /// The catalogue of the session that the DTU shows, if its host's
        /// server is the one that speaks.
        pub services: BoundedList<ServiceStatus, SERVICES_MAX>,
        /// Why the list may not be whole, for the user; else empty.
        pub trouble: String,
    }
}

/// What a user wants done with a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionOrder {
    /// Call it this.
    Rename(String),
    /// End it, or this earlier copy of it.
    End,
    /// Let this earlier copy go on, as a session of its own.
    Continue,
    /// Start, stop or restart one of its services.
    Service(ServiceOrder),
}

impl Wire for SessionOrder {
    fn put(&self, out: &mut BytesMut) {
        match self {
            SessionOrder::Rename(name) => {
                0u8.put(out);
                name.put(out);
            }
            SessionOrder::End => 1u8.put(out),
            SessionOrder::Continue => 2u8.put(out),
            SessionOrder::Service(order) => {
                3u8.put(out);
                order.put(out);
            }
        }
    }
    fn get(from: &mut Reader) -> Result<Self, DecodeError> {
        match u8::get(from)? {
            0 => Ok(SessionOrder::Rename(String::get(from)?)),
            1 => Ok(SessionOrder::End),
            2 => Ok(SessionOrder::Continue),
            3 => Ok(SessionOrder::Service(ServiceOrder::get(from)?)),
            _ => Err(DecodeError::Invalid("session order")),
        }
    }
}

wire_struct! {
    /// Do this with one of the token's sessions. Good only while it is in.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Manage {
        /// The insert that it belongs to.
        pub insert: u64,
        /// The session.
        pub session: SessionId,
        /// Its epoch, as it was listed.
        pub epoch: Epoch,
        /// What.
        pub order: SessionOrder,
    }
}

wire_struct! {
    /// Something that the user of the token that is in should know.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Notice {
        /// The insert that it belongs to.
        pub insert: u64,
        /// What.
        pub text: String,
    }
}

wire_struct! {
    /// Something that the user of the token that is in has to agree to. A new
    /// one takes the place of the one before.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Question {
        /// The insert that it belongs to.
        pub insert: u64,
        /// Its number, to be returned.
        pub question: u64,
        /// What is asked.
        pub text: String,
    }
}

wire_struct! {
    /// The answer to a [`Question`].
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Consent {
        /// The insert that it belongs to.
        pub insert: u64,
        /// The question's number.
        pub question: u64,
        /// True if the user agrees.
        pub yes: bool,
    }
}
