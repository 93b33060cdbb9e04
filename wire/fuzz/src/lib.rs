//! What a fuzzer feeds: one function for each decoder. Each may do anything
//! with any bytes except panic, and what it accepts has one meaning.
//!
//! The fuzz targets and the seeded corpus test both call these.

use afterglow_wire::codec::{Message, Reader, Wire};
use afterglow_wire::coding::Unpacker;
use afterglow_wire::command::Command;
use afterglow_wire::control::{ToDtu, ToServer};
use afterglow_wire::display::{FromSession, ToSession};
use afterglow_wire::framebuffer::Framebuffer;
use afterglow_wire::group::GroupMessage;
use afterglow_wire::ids::{DtuId, Size};
use afterglow_wire::local::{FromKeeper, SessionSpec, StartOrder, Started, ToKeeper};
use afterglow_wire::ticket::SealedTicket;
use afterglow_wire::trust::{GroupKey, TicketVerifier};
use bytes::Bytes;
use std::sync::LazyLock;

/// A decoder's entry.
pub type Target = fn(&[u8]);

/// Every decoder and its name.
pub const ALL: [(&str, Target); 8] = [
    ("control_up", control_up),
    ("control_down", control_down),
    ("display_up", display_up),
    ("display_down", display_down),
    ("framebuffer", framebuffer),
    ("local", local),
    ("group", group),
    ("ticket", ticket),
];

/// The secret that the targets' signatures are made with.
pub const SECRET: [u8; 32] = [7; 32];

static KEY: LazyLock<GroupKey> =
    LazyLock::new(|| GroupKey::from_file_content(&SECRET).expect("32 bytes"));
static VERIFIER: LazyLock<TicketVerifier> = LazyLock::new(|| KEY.ticket_signer().verifier());

/// Decodes; what is accepted must decode to the same from its own encoding.
fn decode<M: Message + PartialEq + std::fmt::Debug>(data: &[u8]) -> Option<M> {
    let message = M::decode(Bytes::copy_from_slice(data)).ok()?;
    assert_eq!(M::decode(message.encode()).as_ref(), Ok(&message));
    Some(message)
}

/// From a DTU to a server.
pub fn control_up(data: &[u8]) {
    decode::<ToServer>(data);
}

/// From a server to a DTU.
pub fn control_down(data: &[u8]) {
    decode::<ToDtu>(data);
}

/// From a DTU to a session.
pub fn display_up(data: &[u8]) {
    decode::<ToSession>(data);
}

/// From a session to a DTU, and what its commands do to a picture.
pub fn display_down(data: &[u8]) {
    if let Some(FromSession::Frame(part)) = decode(data) {
        let mut picture = Framebuffer::new(Size::new(64, 64).expect("a size"));
        apply(&mut picture, &mut Unpacker::new(), &part.commands);
    }
}

/// One command after the other on a picture.
pub fn framebuffer(data: &[u8]) {
    let mut picture = Framebuffer::new(Size::new(64, 48).expect("a size"));
    let mut unpacker = Unpacker::new();
    let mut reader = Reader::new(Bytes::copy_from_slice(data));
    while reader.remaining() > 0 {
        let Ok(command) = Command::get(&mut reader) else { break };
        apply(&mut picture, &mut unpacker, &[command]);
    }
}

fn apply(picture: &mut Framebuffer, unpacker: &mut Unpacker, commands: &[Command]) {
    for command in commands {
        // Large sizes are allowed, and slow to fuzz.
        if matches!(command, Command::Size(size) if size.pixels() > 1 << 20) {
            continue;
        }
        let before = picture.size();
        if picture.apply(command, unpacker).is_err() {
            assert_eq!(picture.size(), before);
        }
        assert_eq!(picture.pixels().len(), picture.size().pixels() * 4);
    }
}

/// Between a server and a keeper, both ways.
pub fn local(data: &[u8]) {
    decode::<ToKeeper>(data);
    decode::<FromKeeper>(data);
    decode::<SessionSpec>(data);
    decode::<Started>(data);
    decode::<StartOrder>(data);
}

/// A datagram of the group.
pub fn group(data: &[u8]) {
    let key = KEY.message_key();
    let Ok(received) = GroupMessage::parse(data, Some(&key)) else { return };
    let again = GroupMessage::parse(&received.message.to_datagram(&key), Some(&key));
    // Only a host message with names longer than ours are may not fit again.
    if let Ok(again) = again {
        assert_eq!(again.message, received.message);
    }
}

/// A ticket, as it travels in a message.
pub fn ticket(data: &[u8]) {
    let mut reader = Reader::new(Bytes::copy_from_slice(data));
    let Ok(sealed) = SealedTicket::get(&mut reader) else { return };
    // The bearer and the time are those of the corpus.
    let _ = sealed.open(&VERIFIER, DtuId([3; 32]), 1_000_000, |_| 0);
}
