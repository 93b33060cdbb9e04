//! A trace through the encoder and a DTU, as a worker does it: what is sent is
//! encoded and decoded, and what the DTU has is compared after each frame.

use crate::trace::{Frame, Trace};
use afterglow_server::display::Encoder;
use afterglow_server::display::parts::encode_frame;
use afterglow_wire::codec::Message as _;
use afterglow_wire::coding::Unpacker;
use afterglow_wire::command::Rect;
use afterglow_wire::display::FromSession;
use afterglow_wire::framebuffer::Framebuffer;
use afterglow_wire::quality::Quality;

/// The session's screen, what it is encoded by, and a DTU.
struct Replay {
    screen: Framebuffer,
    encoder: Encoder,
    dtu: Framebuffer,
    unpacker: Unpacker,
    frames: u64,
    bytes: usize,
}

/// Gives how many bytes all messages of the trace's frames have. Lossless, the
/// DTU's picture is the screen after each frame; else it is so at rest.
pub fn bytes_of(trace: &Trace, quality: Quality) -> usize {
    let mut replay = Replay {
        screen: Framebuffer::new(trace.size),
        encoder: Encoder::new(trace.size, quality),
        dtu: Framebuffer::new(trace.size),
        unpacker: Unpacker::new(),
        frames: 0,
        bytes: 0,
    };
    for (number, frame) in trace.frames.iter().enumerate() {
        replay.refine_until(frame.at_ms);
        frame.draw(&mut replay.screen);
        replay.send(&frame.changed(), frame, frame.at_ms);
        let exact = replay.dtu == replay.screen;
        assert!(exact || quality == Quality::Auto, "frame {number} is another picture");
    }
    replay.refine_until(u64::MAX);
    assert!(replay.dtu == replay.screen, "at rest it is another picture");
    replay.bytes
}

impl Replay {
    /// Sends exactly, before this time, what rests until then.
    fn refine_until(&mut self, end_ms: u64) {
        while let Some(at_ms) = self.encoder.refines_at_ms().filter(|at_ms| *at_ms < end_ms) {
            let nothing = Frame { at_ms, parts: Vec::new() };
            self.send(&nothing.changed(), &nothing, at_ms);
        }
    }

    /// Sends one frame.
    fn send(&mut self, changed: &[Rect], captured: &Frame, now_ms: u64) {
        let commands = self.encoder.encode(changed, captured, now_ms);
        assert!(!self.encoder.is_behind(now_ms), "a frame takes all of so small a screen");
        if commands.is_empty() {
            return;
        }
        self.frames += 1;
        for message in encode_frame(self.frames, commands) {
            self.bytes += message.len();
            // Its length stands in front.
            let message = FromSession::decode(message.slice(4..)).expect("a message of ours");
            let FromSession::Frame(part) = message else { panic!("{message:?}") };
            for command in &part.commands {
                self.dtu.apply(command, &mut self.unpacker).expect("a command of ours");
            }
        }
        assert!(self.dtu == *self.encoder.shown(), "the DTU has what the encoder does not know");
    }
}

impl Frame {
    /// Draws what changed.
    fn draw(&self, screen: &mut Framebuffer) {
        self.parts.iter().for_each(|part| screen.set(&part.rect, &part.pixels));
    }
}
