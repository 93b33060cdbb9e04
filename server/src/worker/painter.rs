//! The thread that captures and encodes: it waits for the X server and for
//! the network at once, and makes a frame whenever there is something to show
//! and the DTU is not behind.

use crate::desktop::capture::Capturer;
use crate::desktop::{DesktopError, Display};
use crate::display::parts::encode_frame;
use crate::display::rest::Next;
use crate::display::{Encoder, Pacing, Rate, Rest, Screen};
use afterglow_wire::codec::Message as _;
use afterglow_wire::command::Command;
use afterglow_wire::display::{FromSession, Spent};
use afterglow_wire::ids::Size;
use afterglow_wire::limits::BLOCKS_MAX;
use afterglow_wire::quality::Quality;
use afterglow_wire::truth::{BlockDigest, blocks, digest};
use bytes::Bytes;
use rustix::event::{EventfdFlags, eventfd};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedSender;

/// What the painter is to do: always the latest of each, so that no peer can
/// make it pile up.
#[derive(Debug, Default)]
struct Wanted {
    /// Make frames for this attachment.
    attachment: Option<u64>,
    /// The last of its frames that is on the DTU's screen.
    frame_shown: u64,
    /// The blocks of the picture that the DTU has to get again.
    repair: Vec<u16>,
    /// Tell the DTU what each frame costs.
    diagnose: bool,
    /// Change the screen's size.
    size: Option<Size>,
    /// How exact frames are, of whichever attachment.
    quality: Quality,
    /// End.
    over: bool,
}

/// One frame for one attachment; at most two of them are ever under way.
#[derive(Debug)]
pub struct Frame {
    /// The attachment that it is for.
    pub attachment: u64,
    /// Its messages, encoded.
    pub parts: Vec<Bytes>,
}

/// What the picture of an attachment is, now that it rests.
#[derive(Debug)]
pub struct Resting {
    /// The attachment.
    pub attachment: u64,
    /// The last frame that it was sent, and shows.
    pub frame: u64,
    /// The picture's size.
    pub size: Size,
    /// The digests of all its blocks.
    pub blocks: Vec<BlockDigest>,
}

/// What the painter makes.
#[derive(Debug)]
pub enum Work {
    /// A frame.
    Frame(Frame),
    /// The truth about a picture that rests.
    Resting(Resting),
}

/// What the painter makes, or why it stopped.
pub type Made = Result<Work, DesktopError>;

/// The way to the painter. When it is dropped, the painter ends.
#[derive(Debug)]
pub struct Painter {
    wanted: Arc<Mutex<Wanted>>,
    wake: Arc<OwnedFd>,
}

impl Painter {
    /// Starts the thread.
    pub fn start(
        display: &Display,
        size_max: Size,
        quality: Quality,
        made: UnboundedSender<Made>,
    ) -> Result<Self, DesktopError> {
        let capturer = Capturer::new(display.connect()?, size_max)?;
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let wanted = Arc::new(Mutex::new(Wanted { quality, ..Wanted::default() }));
        let began = Instant::now();
        let (wake_there, wanted_there) = (wake.clone(), wanted.clone());
        let easel =
            Easel { capturer, wake: wake_there, wanted: wanted_there, made, shown: None, began };
        std::thread::spawn(move || easel.work());
        Ok(Painter { wanted, wake })
    }

    /// Makes frames for a new attachment, the first of them whole.
    pub fn show(&self, attachment: u64, size: Size) {
        self.want(|wanted| {
            wanted.attachment = Some(attachment);
            wanted.frame_shown = 0;
            wanted.repair.clear();
            wanted.diagnose = false;
            wanted.size = Some(size);
        });
    }

    /// Makes no more frames.
    pub fn hide(&self) {
        self.want(|wanted| wanted.attachment = None);
    }

    /// Changes the screen's size.
    pub fn resize(&self, size: Size) {
        self.want(|wanted| wanted.size = Some(size));
    }

    /// Changes how exact frames are, from the next one on.
    pub fn set_quality(&self, quality: Quality) {
        self.want(|wanted| wanted.quality = quality);
    }

    /// Notes that a frame is on the DTU's screen.
    pub fn shown(&self, attachment: u64, number: u64) {
        self.want(|wanted| {
            if wanted.attachment == Some(attachment) {
                wanted.frame_shown = number;
            }
        });
    }

    /// Sends these blocks of the picture again.
    pub fn repair(&self, attachment: u64, blocks: &[u16]) {
        self.want(|wanted| {
            if wanted.attachment == Some(attachment) {
                wanted.repair.extend(blocks);
                wanted.repair.truncate(BLOCKS_MAX);
            }
        });
    }

    /// Tells the DTU what each frame costs, or no longer.
    pub fn diagnose(&self, attachment: u64, on: bool) {
        self.want(|wanted| {
            if wanted.attachment == Some(attachment) {
                wanted.diagnose = on;
            }
        });
    }

    fn want(&self, change: impl FnOnce(&mut Wanted)) {
        change(&mut self.wanted.lock().unwrap_or_else(PoisonError::into_inner));
        // Its counter cannot be full: the painter reads it each time.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }
}

impl Drop for Painter {
    fn drop(&mut self) {
        self.want(|wanted| wanted.over = true);
    }
}

/// What one attachment has.
struct Shown {
    attachment: u64,
    encoder: Encoder,
    pacing: Pacing,
    rate: Rate,
    rest: Rest,
    /// The next capture has to be of everything.
    everything: bool,
    cursor_sent: bool,
    /// The DTU wants to know what each frame costs.
    diagnose: bool,
}

/// The painter's side.
struct Easel {
    capturer: Capturer,
    wake: Arc<OwnedFd>,
    wanted: Arc<Mutex<Wanted>>,
    made: UnboundedSender<Made>,
    shown: Option<Shown>,
    began: Instant,
}

impl Easel {
    fn work(mut self) {
        if let Err(error) = self.paint() {
            let _ = self.made.send(Err(error));
        }
    }

    fn paint(&mut self) -> Result<(), DesktopError> {
        loop {
            let Some(size) = self.take_wanted(self.now_ms()) else { return Ok(()) };
            if let Some(size) = size.filter(|size| *size != self.capturer.size()) {
                match self.capturer.resize(size) {
                    Err(DesktopError::Gone(error)) => return Err(error.into()),
                    Err(error) => tracing::warn!("cannot change the screen to {size}: {error}"),
                    Ok(()) => {}
                }
            }
            self.capturer.take_events()?;
            let now_ms = self.now_ms();
            if self.make_frame(now_ms)? {
                continue;
            }
            let timeout_ms = match self.rest(now_ms) {
                Next::Nothing => None,
                Next::WaitUntil(at_ms) => Some(at_ms.saturating_sub(now_ms) as u32),
                Next::Capture | Next::Digest(_) | Next::Tell => continue,
            };
            self.capturer.wait(self.wake.as_fd(), timeout_ms)?;
            let mut count = [0; 8];
            let _ = rustix::io::read(&self.wake, &mut count);
        }
    }

    fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    /// Takes in what is wanted; gives the size if it is to change, and `None`
    /// at the end.
    fn take_wanted(&mut self, now_ms: u64) -> Option<Option<Size>> {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        if wanted.over {
            return None;
        }
        let shown = self.shown.as_ref().map(|shown| shown.attachment);
        if wanted.attachment != shown {
            self.shown = wanted.attachment.map(|attachment| Shown {
                attachment,
                encoder: Encoder::new(self.capturer.size(), wanted.quality),
                pacing: Pacing::default(),
                rate: Rate::default(),
                rest: Rest::default(),
                everything: true,
                cursor_sent: false,
                diagnose: false,
            });
        }
        if let Some(shown) = &mut self.shown {
            // The worker's core refused what cannot be; what is no news here
            // changes nothing.
            if shown.pacing.shown(wanted.frame_shown).is_ok() {
                shown.rate.shown(wanted.frame_shown, now_ms);
            }
            shown.diagnose = wanted.diagnose;
            shown.encoder.set_quality(wanted.quality);
            let again = std::mem::take(&mut wanted.repair);
            for (index, block) in blocks(shown.encoder.size()).enumerate() {
                if again.contains(&(index as u16)) {
                    shown.encoder.distrust(&block);
                }
            }
        }
        Some(wanted.size.take())
    }

    /// Makes a frame if one is due; true if it may be worth to look again at
    /// once.
    fn make_frame(&mut self, now_ms: u64) -> Result<bool, DesktopError> {
        let Some(shown) = &mut self.shown else { return Ok(false) };
        if !shown.pacing.may_send() {
            return Ok(false);
        }
        if shown.encoder.size() != self.capturer.size() {
            shown.encoder.resize(self.capturer.size());
            shown.everything = true;
        }
        let cursor = !shown.cursor_sent || self.capturer.is_cursor_changed();
        let behind = shown.encoder.is_behind(now_ms);
        let picture = shown.everything || behind || self.capturer.is_damaged();
        if !cursor && !picture {
            return Ok(false);
        }
        let mut commands = Vec::new();
        let (began, mut encode) = (Instant::now(), Duration::ZERO);
        if picture {
            let encoder = &mut shown.encoder;
            encoder.set_frame_bytes_max(shown.rate.frame_bytes_max());
            let timed = |parts: &[_], screen: &dyn Screen| {
                let began = Instant::now();
                let commands = encoder.encode(parts, screen, now_ms);
                encode = began.elapsed();
                commands
            };
            let captured = self.capturer.capture(shown.everything, timed)?;
            let Some(captured) = captured else {
                // The size changed under the capture.
                shown.everything = true;
                self.capturer.resized_meanwhile()?;
                return Ok(true);
            };
            shown.everything = false;
            commands = captured;
        }
        if cursor {
            shown.cursor_sent = true;
            commands.push(Command::Cursor(self.capturer.cursor()?));
        }
        if commands.is_empty() {
            return Ok(true);
        }
        let capture = began.elapsed() - encode;
        let number = shown.pacing.send();
        let mut parts = encode_frame(number, commands);
        shown.rate.sent(number, parts.iter().map(Bytes::len).sum(), now_ms);
        if shown.diagnose {
            parts.push(spent(number, capture, encode));
        }
        let _ = self.made.send(Ok(Work::Frame(Frame { attachment: shown.attachment, parts })));
        Ok(true)
    }

    /// Takes one step towards the truth about a picture that rests; gives which.
    fn rest(&mut self, now_ms: u64) -> Next {
        let Some(shown) = &mut self.shown else { return Next::Nothing };
        if let Some(at_ms) = shown.encoder.refines_at_ms() {
            // What the DTU has inexactly is no truth. Without room for a frame
            // the acknowledgement that makes some wakes us.
            return if shown.pacing.may_send() { Next::WaitUntil(at_ms) } else { Next::Nothing };
        }
        let Some(frame) = shown.pacing.at_rest() else { return Next::Nothing };
        let (attachment, size) = (shown.attachment, shown.encoder.size());
        let next = shown.rest.next(frame, size, now_ms);
        match next {
            Next::Nothing | Next::WaitUntil(_) => {}
            Next::Capture => shown.everything = true,
            Next::Digest(block) => shown.rest.digested(digest(shown.encoder.shown(), &block)),
            Next::Tell => {
                let blocks = shown.rest.told(now_ms);
                let resting = Resting { attachment, frame, size, blocks };
                let _ = self.made.send(Ok(Work::Resting(resting)));
            }
        }
        next
    }
}

/// The message about what a frame cost.
fn spent(frame: u64, capture: Duration, encode: Duration) -> Bytes {
    let [capture_us, encode_us] = [capture, encode].map(|time| time.as_micros() as u32);
    FromSession::from(Spent { frame, capture_us, encode_us }).encode_framed()
}
