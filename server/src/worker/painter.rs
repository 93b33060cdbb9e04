//! The thread that captures and encodes: it waits for the X server and for
//! the network at once, and makes a frame whenever there is something to show
//! and the DTU is not behind.

use crate::desktop::capture::Capturer;
use crate::desktop::{DesktopError, Display};
use crate::display::parts::encode_frame;
use crate::display::{Encoder, Pacing};
use afterglow_wire::command::Command;
use afterglow_wire::ids::Size;
use bytes::Bytes;
use rustix::event::{EventfdFlags, eventfd};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc::UnboundedSender;

/// What the painter is to do: always the latest of each, so that no peer can
/// make it pile up.
#[derive(Debug, Default)]
struct Wanted {
    /// Make frames for this attachment.
    attachment: Option<u64>,
    /// The last of its frames that is on the DTU's screen.
    frame_shown: u64,
    /// Change the screen's size.
    size: Option<Size>,
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

/// What the painter makes: frames, or why it stopped.
pub type Made = Result<Frame, DesktopError>;

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
        made: UnboundedSender<Made>,
    ) -> Result<Self, DesktopError> {
        let capturer = Capturer::new(display.connect()?, size_max)?;
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let wanted = Arc::new(Mutex::new(Wanted::default()));
        let easel =
            Easel { capturer, wake: wake.clone(), wanted: wanted.clone(), made, shown: None };
        std::thread::spawn(move || easel.work());
        Ok(Painter { wanted, wake })
    }

    /// Makes frames for a new attachment, the first of them whole.
    pub fn show(&self, attachment: u64, size: Size) {
        self.want(|wanted| {
            wanted.attachment = Some(attachment);
            wanted.frame_shown = 0;
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

    /// Notes that a frame is on the DTU's screen.
    pub fn shown(&self, attachment: u64, number: u64) {
        self.want(|wanted| {
            if wanted.attachment == Some(attachment) {
                wanted.frame_shown = number;
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
    /// The next capture has to be of everything.
    everything: bool,
    cursor_sent: bool,
}

/// The painter's side.
struct Easel {
    capturer: Capturer,
    wake: Arc<OwnedFd>,
    wanted: Arc<Mutex<Wanted>>,
    made: UnboundedSender<Made>,
    shown: Option<Shown>,
}

impl Easel {
    fn work(mut self) {
        if let Err(error) = self.paint() {
            let _ = self.made.send(Err(error));
        }
    }

    fn paint(&mut self) -> Result<(), DesktopError> {
        loop {
            let Some(size) = self.take_wanted() else { return Ok(()) };
            if let Some(size) = size.filter(|size| *size != self.capturer.size()) {
                match self.capturer.resize(size) {
                    Err(DesktopError::Gone(error)) => return Err(error.into()),
                    Err(error) => tracing::warn!("cannot change the screen to {size}: {error}"),
                    Ok(()) => {}
                }
            }
            self.capturer.take_events()?;
            if !self.make_frame()? {
                self.capturer.wait(self.wake.as_fd(), None)?;
                let mut count = [0; 8];
                let _ = rustix::io::read(&self.wake, &mut count);
            }
        }
    }

    /// Takes in what is wanted; gives the size if it is to change, and `None`
    /// at the end.
    fn take_wanted(&mut self) -> Option<Option<Size>> {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        if wanted.over {
            return None;
        }
        let shown = self.shown.as_ref().map(|shown| shown.attachment);
        if wanted.attachment != shown {
            self.shown = wanted.attachment.map(|attachment| Shown {
                attachment,
                encoder: Encoder::new(self.capturer.size()),
                pacing: Pacing::default(),
                everything: true,
                cursor_sent: false,
            });
        }
        if let Some(shown) = &mut self.shown {
            // The worker's core refused what cannot be; what is no news here
            // changes nothing.
            let _ = shown.pacing.shown(wanted.frame_shown);
        }
        Some(wanted.size.take())
    }

    /// Makes a frame if one is due; true if it may be worth to look again at
    /// once.
    fn make_frame(&mut self) -> Result<bool, DesktopError> {
        let Some(shown) = &mut self.shown else { return Ok(false) };
        if !shown.pacing.may_send() {
            return Ok(false);
        }
        if shown.encoder.size() != self.capturer.size() {
            shown.encoder.resize(self.capturer.size());
            shown.everything = true;
        }
        let cursor = !shown.cursor_sent || self.capturer.is_cursor_changed();
        let picture = shown.everything || shown.encoder.is_behind() || self.capturer.is_damaged();
        if !cursor && !picture {
            return Ok(false);
        }
        let mut commands = Vec::new();
        if picture {
            let encoder = &mut shown.encoder;
            let captured =
                self.capturer.capture(shown.everything, |patches| encoder.encode(patches))?;
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
        let parts = encode_frame(shown.pacing.send(), commands);
        let _ = self.made.send(Ok(Frame { attachment: shown.attachment, parts }));
        Ok(true)
    }
}
