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
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use tokio::sync::mpsc::UnboundedSender;

/// What the painter has to do.
#[derive(Debug)]
enum Order {
    Show { attachment: u64, size: Size },
    Hide,
    Resize(Size),
    Shown { attachment: u64, number: u64 },
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
    orders: Sender<Order>,
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
        let (orders, queue) = channel();
        let easel = Easel { capturer, wake: wake.clone(), queue, made, shown: None };
        std::thread::spawn(move || easel.work());
        Ok(Painter { orders, wake })
    }

    /// Makes frames for a new attachment, the first of them whole.
    pub fn show(&self, attachment: u64, size: Size) {
        self.order(Order::Show { attachment, size });
    }

    /// Makes no more frames.
    pub fn hide(&self) {
        self.order(Order::Hide);
    }

    /// Changes the screen's size.
    pub fn resize(&self, size: Size) {
        self.order(Order::Resize(size));
    }

    /// Notes that a frame is on the DTU's screen.
    pub fn shown(&self, attachment: u64, number: u64) {
        self.order(Order::Shown { attachment, number });
    }

    fn order(&self, order: Order) {
        // If the thread ended, it said why.
        let _ = self.orders.send(order);
        self.wake();
    }

    fn wake(&self) {
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }
}

impl Drop for Painter {
    fn drop(&mut self) {
        let (closed, _) = channel();
        self.orders = closed;
        self.wake();
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
    queue: Receiver<Order>,
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
            let Some(resize) = self.take_orders() else { return Ok(()) };
            if let Some(size) = resize.filter(|size| *size != self.capturer.size()) {
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

    /// Takes all orders; of several sizes only the last counts. `None` at the
    /// end.
    fn take_orders(&mut self) -> Option<Option<Size>> {
        let mut resize = None;
        loop {
            match self.queue.try_recv() {
                Ok(Order::Show { attachment, size }) => {
                    resize = Some(size);
                    self.shown = Some(Shown {
                        attachment,
                        encoder: Encoder::new(self.capturer.size()),
                        pacing: Pacing::default(),
                        everything: true,
                        cursor_sent: false,
                    });
                }
                Ok(Order::Hide) => self.shown = None,
                Ok(Order::Resize(size)) => resize = Some(size),
                Ok(Order::Shown { attachment, number }) => {
                    if let Some(shown) = &mut self.shown
                        && shown.attachment == attachment
                        && let Err(error) = shown.pacing.shown(number)
                    {
                        tracing::warn!("{error}");
                    }
                }
                Err(TryRecvError::Empty) => return Some(resize),
                Err(TryRecvError::Disconnected) => return None,
            }
        }
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
