//! What a keeper and its worker say to each other, over the socket that is
//! the worker's standard input.

use crate::desktop::{COOKIE_BYTES, Display};
use afterglow_wire::codec::{DecodeError, Message, Reader, Wire};
use afterglow_wire::ids::DtuId;
use afterglow_wire::limits::LOCAL_MESSAGE_BYTES_MAX;
use afterglow_wire::local::{SessionSpec, ToKeeper};
use bytes::BytesMut;
use std::path::PathBuf;

/// From the keeper to its worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToWorker {
    /// The first message.
    Start(Box<WorkerStart>),
    /// Listen: the start was held until now.
    Go,
    /// What a server said, passed on.
    Server(ToKeeper),
}

/// Everything that a worker has to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerStart {
    /// The session. If its start is held the worker gets ready, and listens
    /// only when it is told.
    pub spec: SessionSpec,
    /// Its X server.
    pub display: Display,
    /// By which a new worker tells the DTUs of an old one that it is gone.
    pub reset_key: [u8; 32],
    /// The last attachment that an earlier worker made.
    pub last: Option<Attachment>,
    /// True if the session is frozen: nobody may attach.
    pub frozen: bool,
}

/// From a worker to its keeper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromWorker {
    /// Whom the session was attached to last, and whether it still is. Sent
    /// before the DTU hears of it.
    Attachment(Attachment),
    /// All that there is to do before the end is done.
    Finished,
}

/// One attachment of the session to a DTU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attachment {
    /// Its number.
    pub number: u64,
    /// The DTU.
    pub dtu: DtuId,
    /// The session's count of connections, from the ticket.
    pub connection: u64,
    /// The DTU's number of the insert.
    pub insert: u64,
    /// How it stands.
    pub state: AttachmentState,
}

/// How an attachment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttachmentState {
    /// The DTU shows the session.
    Shown,
    /// The link to the DTU is lost; it may come back and go on.
    Lost,
    /// The token went, or another DTU shows the session.
    Over,
}

impl Wire for Attachment {
    fn put(&self, out: &mut BytesMut) {
        self.number.put(out);
        self.dtu.put(out);
        self.connection.put(out);
        self.insert.put(out);
        match self.state {
            AttachmentState::Shown => 0u8,
            AttachmentState::Lost => 1,
            AttachmentState::Over => 2,
        }
        .put(out);
    }
    fn get(from: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Attachment {
            number: u64::get(from)?,
            dtu: DtuId::get(from)?,
            connection: u64::get(from)?,
            insert: u64::get(from)?,
            state: match u8::get(from)? {
                0 => AttachmentState::Shown,
                1 => AttachmentState::Lost,
                2 => AttachmentState::Over,
                _ => return Err(DecodeError::Invalid("attachment state")),
            },
        })
    }
}

impl Wire for ToWorker {
    fn put(&self, out: &mut BytesMut) {
        match self {
            ToWorker::Start(start) => {
                0u8.put(out);
                start.spec.put(out);
                start.display.number.put(out);
                start.display.cookie.put(out);
                start.display.authority_file.to_string_lossy().into_owned().put(out);
                start.reset_key.put(out);
                start.last.put(out);
                start.frozen.put(out);
            }
            ToWorker::Server(message) => {
                1u8.put(out);
                message.put(out);
            }
            ToWorker::Go => 2u8.put(out),
        }
    }
    fn get(from: &mut Reader) -> Result<Self, DecodeError> {
        match u8::get(from)? {
            0 => Ok(ToWorker::Start(Box::new(WorkerStart {
                spec: SessionSpec::get(from)?,
                display: Display {
                    number: u16::get(from)?,
                    cookie: <[u8; COOKIE_BYTES]>::get(from)?,
                    authority_file: PathBuf::from(String::get(from)?),
                },
                reset_key: <[u8; 32]>::get(from)?,
                last: Option::<Attachment>::get(from)?,
                frozen: bool::get(from)?,
            }))),
            1 => Ok(ToWorker::Server(ToKeeper::get(from)?)),
            2 => Ok(ToWorker::Go),
            _ => Err(DecodeError::Invalid("message to a worker")),
        }
    }
}

impl Message for ToWorker {
    const BYTES_MAX: usize = LOCAL_MESSAGE_BYTES_MAX + 1024;
}

impl Wire for FromWorker {
    fn put(&self, out: &mut BytesMut) {
        match self {
            FromWorker::Attachment(attachment) => {
                0u8.put(out);
                attachment.put(out);
            }
            FromWorker::Finished => 1u8.put(out),
        }
    }
    fn get(from: &mut Reader) -> Result<Self, DecodeError> {
        match u8::get(from)? {
            0 => Ok(FromWorker::Attachment(Attachment::get(from)?)),
            1 => Ok(FromWorker::Finished),
            _ => Err(DecodeError::Invalid("message from a worker")),
        }
    }
}

impl Message for FromWorker {
    const BYTES_MAX: usize = 1024;
}
