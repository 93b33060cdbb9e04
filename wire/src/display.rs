//! The display link: a DTU and an `afterglow-session` (ALPN [`ALPN`], one
//! stream that the DTU opens; both directions use it).
//!
//! A server may open the same link with its own certificate to ask whether the
//! session still answers ([`Probe`]).

use crate::codec::{DecodeError, Reader, Wire};
use crate::command::Command;
use crate::control::{BoundedList, Remove};
use crate::ids::{DtuId, Epoch, Keymap, SessionId, Size};
use crate::input::InputEvent;
use crate::limits::{COMMANDS_MAX, DISPLAY_DOWN_BYTES_MAX, DISPLAY_UP_BYTES_MAX, INPUT_EVENTS_MAX};
use crate::quality::Quality;
use crate::ticket::SealedTicket;
use crate::truth::{Differs, Truth};
use bytes::BytesMut;

/// The protocol's name in the TLS handshake.
pub const ALPN: &[u8] = b"afterglow-display/1";
/// How often a session says [`DisplayAlive`] to the DTU that shows it, in
/// milliseconds.
pub const ALIVE_EVERY_MS: u64 = 100;

wire_messages! {
    /// From the DTU (or a server that probes) to the session.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum ToSession max DISPLAY_UP_BYTES_MAX; {
        /// The first message of a DTU.
        1 => Attach(AttachDisplay),
        /// Keys, pointer, wheel.
        2 => Input(Input),
        /// A frame is on the screen.
        3 => FrameShown(FrameShown),
        /// The DTU's window has a new size.
        4 => Resize(Resize),
        /// The DTU has another keyboard layout.
        5 => Layout(Layout),
        /// The token went.
        6 => Remove(Remove),
        /// The only message of a server: is the session there?
        7 => Probe(Probe),
        /// The picture that rests is not the session's.
        8 => Differs(Differs),
        /// The user wants the picture of this quality.
        9 => Quality(Quality),
        /// Tell what each frame costs, or no longer.
        10 => Diagnose(Diagnose),
    }
}

wire_messages! {
    /// From the session to the DTU (or to a server that probes).
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum FromSession max DISPLAY_DOWN_BYTES_MAX; {
        /// The DTU shows this session from now on.
        1 => Attached(Attached),
        /// A part of a frame.
        2 => Frame(FramePart),
        /// Input was put in.
        3 => InputDone(InputDone),
        /// The DTU does not show this session any more.
        4 => Detached(Detached),
        /// The session is there.
        5 => ProbeAnswer(ProbeAnswer),
        /// The session lives, also while its picture stands still.
        6 => Alive(DisplayAlive),
        /// What the picture is, now that it rests.
        7 => Truth(Truth),
        /// The picture is of this quality from now on: said after
        /// [`Attached`], and whenever the user switched it.
        8 => Quality(Quality),
        /// What a frame cost, if the DTU asks for that.
        9 => Spent(Spent),
        /// The DTU's window is larger than the session's screen can be.
        10 => SizeLimited(SizeLimited),
    }
}

wire_struct! {
    /// The DTU's first message.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct AttachDisplay {
        /// From a server's `Attach`.
        pub ticket: SealedTicket,
        /// What people call this DTU.
        pub dtu_name: String,
        /// The DTU's window.
        pub screen: Size,
        /// The DTU's keyboard layout.
        pub keymap: Keymap,
    }
}

wire_struct! {
    /// Events in the order in which they happened.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Input {
        /// The attachment in which they happened.
        pub attachment: u64,
        /// The number of the first event; the others count on from it. The
        /// first event of an attachment is number 1.
        pub first_seq: u64,
        /// What happened.
        pub events: BoundedList<InputEvent, INPUT_EVENTS_MAX>,
    }
}

wire_struct! {
    /// A frame is on the screen.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct FrameShown {
        /// The frame's number.
        pub number: u64,
    }
}

wire_struct! {
    /// The DTU's window has a new size.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Resize {
        /// The new size.
        pub screen: Size,
    }
}

wire_struct! {
    /// The DTU has another keyboard layout.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Layout {
        /// The new layout.
        pub keymap: Keymap,
    }
}

wire_struct! {
    /// Tell with [`Spent`] what each frame of this attachment costs, or no
    /// longer. A session of an older version skips it, and tells nothing.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Diagnose {
        /// Which of the two.
        pub on: bool,
    }
}

wire_struct! {
    /// Is the session there? Asked with a server's certificate.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Probe {
        /// Returned in the answer.
        pub nonce: u64,
    }
}

wire_struct! {
    /// The DTU shows this session from now on.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Attached {
        /// The session.
        pub session: SessionId,
        /// Its epoch.
        pub epoch: Epoch,
        /// This attachment's number. It is higher than all before, also when
        /// the worker was started again in between.
        pub attachment: u64,
        /// The framebuffer's size; the first frame begins with a SIZE.
        pub size: Size,
        /// What the last attachment of this DTU was, if it was the last of
        /// all, and which of its events was the last to be put in: those
        /// after it may be sent again.
        pub resumes: Option<InputDone>,
    }
}

/// A part of a frame; the commands of all its parts are one picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FramePart {
    /// Counts up by one for each frame of an attachment, from 1.
    pub number: u64,
    /// True if the frame is complete with this part.
    pub last: bool,
    /// What to do, in this order.
    pub commands: Vec<Command>,
}

impl Wire for FramePart {
    fn put(&self, out: &mut BytesMut) {
        self.number.put(out);
        self.last.put(out);
        crate::codec::put_list(out, &self.commands);
    }
    fn get(from: &mut Reader) -> Result<Self, DecodeError> {
        let (number, last) = (u64::get(from)?, bool::get(from)?);
        let count = u32::get(from)? as usize;
        if count > COMMANDS_MAX {
            return Err(DecodeError::TooLong { what: "commands", len: count, max: COMMANDS_MAX });
        }
        let mut commands = Vec::with_capacity(count.min(from.remaining()));
        for _ in 0..count {
            let command = Command::get(from)?;
            let unknown = matches!(command, Command::Unknown(_));
            commands.push(command);
            if unknown {
                break;
            }
        }
        Ok(FramePart { number, last, commands })
    }
}

wire_struct! {
    /// Input was put in.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct InputDone {
        /// The attachment.
        pub attachment: u64,
        /// The number of the last event that was put in; 0 if none was.
        pub seq: u64,
    }
}

wire_choice! {
    /// Why a DTU does not show a session any more.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum DetachReason {
        /// The token went.
        Removed = 0,
        /// Another DTU shows it now.
        Elsewhere = 1,
        /// The session is over.
        Ended = 2,
        /// The ticket was refused.
        TicketRefused = 3,
        /// The DTU broke the protocol.
        Protocol = 4,
    }
}

wire_struct! {
    /// The DTU does not show this session any more.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Detached {
        /// Why, for the DTU.
        pub reason: DetachReason,
        /// Why, for the user: the other DTU's name, or what went wrong.
        pub text: String,
    }
}

wire_struct! {
    /// The session is there.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct ProbeAnswer {
        /// From the question.
        pub nonce: u64,
        /// The session.
        pub session: SessionId,
        /// Its epoch.
        pub epoch: Epoch,
        /// The DTU that shows it, if one does.
        pub shown_on: Option<DtuId>,
    }
}

wire_struct! {
    /// The session lives. Said every [`ALIVE_EVERY_MS`] to the DTU that shows
    /// it, so that a picture which stands still can be told from a lost host.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct DisplayAlive {
        /// Counts up by one in each attachment, from 1; one that could not be
        /// sent is left out.
        pub seq: u64,
    }
}

wire_struct! {
    /// What a frame cost the session. Said right after the frame, and only to
    /// a DTU that asks for it ([`Diagnose`]).
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Spent {
        /// The frame's number.
        pub frame: u64,
        /// How long the session took to get the pixels from its X server, in
        /// microseconds.
        pub capture_us: u32,
        /// How long it took to turn them into display commands, in
        /// microseconds.
        pub encode_us: u32,
    }
}

wire_struct! {
    /// The DTU's window is larger than the session's screen can be, which has
    /// now its largest size or the largest that is no wider or higher than the
    /// window. Said once in each attachment.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct SizeLimited {
        /// The largest size (`size_max` of its server's configuration).
        pub max: Size,
    }
}
