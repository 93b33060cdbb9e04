//! One zstd stream (RFC 8878) through all payloads of an attachment, flushed
//! after each, so that what was sent before need not be sent again.
//!
//! Both ends begin a new stream with an attachment, and none ever ends. What
//! the receiver holds for it is bounded by the window.

use zstd::stream::raw::{CParameter, DParameter, Decoder, Encoder, InBuffer, Operation, OutBuffer};

/// How far back a stream may look: 2 to this many bytes, 8 MiB. A screen of
/// text that comes back after another of its size costs a fiftieth of what it
/// does with a window of half of that.
pub const WINDOW_LOG: u32 = 23;
/// The fastest level that packs what repeats nothing, too; faster ones send
/// photographs at twice the bytes.
const LEVEL: i32 = 1;
/// How many places zstd remembers: 2 to this many. The level's own choice is
/// for a sixteenth of the window, and forgets tiles too early.
const HASH_LOG: u32 = 17;
/// What flushing may take beyond zstd's own bound, and a stream's head.
const OVERHEAD_BYTES: usize = 64;

/// A stream cannot be continued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the zstd stream cannot be continued")]
pub struct StreamError;

/// The sending end of a stream.
pub struct Compressor {
    encoder: Encoder<'static>,
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Compressor")
    }
}

impl Compressor {
    /// Begins a stream. An error if there is no memory for it.
    pub fn new() -> Result<Self, StreamError> {
        let mut encoder = Encoder::new(LEVEL).map_err(|_| StreamError)?;
        for parameter in [CParameter::WindowLog(WINDOW_LOG), CParameter::HashLog(HASH_LOG)] {
            encoder.set_parameter(parameter).map_err(|_| StreamError)?;
        }
        Ok(Compressor { encoder })
    }

    /// Appends the payload that makes the other end give these bytes. Every
    /// payload has to be sent, in order; after an error the stream is of no
    /// more use.
    pub fn pack(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), StreamError> {
        let bound = zstd::zstd_safe::compress_bound(plain.len()) + OVERHEAD_BYTES;
        let mut input = InBuffer::around(plain);
        loop {
            out.reserve(bound);
            let start = out.len();
            let mut output = OutBuffer::around_pos(out, start);
            if input.pos() < plain.len() {
                self.encoder.run(&mut input, &mut output).map_err(|_| StreamError)?;
            }
            if input.pos() == plain.len()
                && self.encoder.flush(&mut output).map_err(|_| StreamError)? == 0
            {
                return Ok(());
            }
        }
    }
}

/// The receiving end of a stream.
#[derive(Default)]
pub struct Decompressor {
    state: State,
    /// What came last; kept for its memory, which is bounded by the longest
    /// that was expected.
    plain: Vec<u8>,
}

#[derive(Default)]
enum State {
    /// Nothing came yet: nothing is held.
    #[default]
    Fresh,
    Open(Decoder<'static>),
    /// What came last was refused: nothing that follows could be understood.
    Broken,
}

impl std::fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.state {
            State::Fresh => "Decompressor(fresh)",
            State::Open(_) => "Decompressor(open)",
            State::Broken => "Decompressor(broken)",
        })
    }
}

impl Decompressor {
    /// Unpacks one payload. An error if it does not come to exactly `len`
    /// bytes, if it is none of this stream, or if one before it was in error.
    /// No more memory is taken than `len` and the window.
    pub fn unpack(&mut self, payload: &[u8], len: usize) -> Result<&mut [u8], StreamError> {
        // One byte of room more than is wanted shows what is too long.
        if self.plain.len() <= len {
            self.plain.resize(len + 1, 0);
        }
        let room = &mut self.plain[..=len];
        if let State::Fresh = self.state {
            self.state = open().map_or(State::Broken, State::Open);
        }
        let written = match &mut self.state {
            State::Open(decoder) => run(decoder, payload, room),
            State::Fresh | State::Broken => Err(StreamError),
        };
        if written != Ok(len) {
            self.state = State::Broken;
            return Err(StreamError);
        }
        Ok(&mut self.plain[..len])
    }
}

fn open() -> Result<Decoder<'static>, StreamError> {
    let mut decoder = Decoder::new().map_err(|_| StreamError)?;
    // A stream that wants to look further back is refused before any memory
    // is taken for it.
    decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG)).map_err(|_| StreamError)?;
    Ok(decoder)
}

/// Gives how many bytes a payload came to.
fn run(
    decoder: &mut Decoder<'static>,
    payload: &[u8],
    room: &mut [u8],
) -> Result<usize, StreamError> {
    let mut input = InBuffer::around(payload);
    let mut output = OutBuffer::around(room);
    while input.pos() < payload.len() {
        let before = (input.pos(), output.pos());
        let wanted = decoder.run(&mut input, &mut output).map_err(|_| StreamError)?;
        // No stream ends, and none stands still before its payload is used up.
        let over = wanted == 0 || output.pos() == output.capacity();
        if over || before == (input.pos(), output.pos()) {
            return Err(StreamError);
        }
    }
    Ok(output.pos())
}
