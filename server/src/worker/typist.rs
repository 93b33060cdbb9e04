//! The thread that puts input in. A layout is loaded between the events that
//! came before it and those that came after.

use crate::desktop::input::Injector;
use crate::desktop::{DesktopError, Display, layout};
use afterglow_wire::display::InputDone;
use afterglow_wire::ids::Keymap;
use afterglow_wire::input::InputEvent;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::mpsc::UnboundedSender;

/// How many messages may wait before a DTU is too fast for the X server.
const QUEUE_MAX: usize = 1024;

/// What the typist has to do.
#[derive(Debug)]
pub enum Order {
    /// Put events in.
    Type(InputDone, Vec<InputEvent>),
    /// Note where a new attachment begins.
    Begin(InputDone),
    /// Load a layout.
    Layout(Keymap),
    /// Let go of everything.
    ReleaseAll,
}

/// What the typist tells: the last event that was put in, or why it stopped.
pub type Told = Result<InputDone, DesktopError>;

/// The way to the typist. When it is dropped, the typist ends.
#[derive(Debug)]
pub struct Typist {
    orders: Sender<Order>,
    waiting: Arc<AtomicUsize>,
}

/// The X server does not keep up with what is typed.
#[derive(Debug, thiserror::Error)]
#[error("input comes faster than the X server takes it")]
pub struct TooFast;

impl Typist {
    /// Starts the thread. Gives also which event was the last to be put in
    /// before.
    pub fn start(
        display: Display,
        told: UnboundedSender<Told>,
    ) -> Result<(Self, Option<InputDone>), DesktopError> {
        let (injector, last) = Injector::new(display.connect()?)?;
        let (orders, queue) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let typist = Typist { orders, waiting: waiting.clone() };
        std::thread::spawn(move || {
            if let Err(error) = work(injector, &display, &queue, &waiting, &told) {
                // Nobody listens only if the worker is about to end.
                let _ = told.send(Err(error));
            }
        });
        Ok((typist, last))
    }

    /// Passes on what a DTU wants.
    pub fn try_order(&self, order: Order) -> Result<(), TooFast> {
        if self.waiting.load(Ordering::Relaxed) >= QUEUE_MAX {
            return Err(TooFast);
        }
        self.order(order);
        Ok(())
    }

    /// Passes on what the worker itself wants, which is little.
    pub fn order(&self, order: Order) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        // If the thread ended, it said why.
        let _ = self.orders.send(order);
    }
}

fn work(
    mut injector: Injector,
    display: &Display,
    queue: &Receiver<Order>,
    waiting: &AtomicUsize,
    told: &UnboundedSender<Told>,
) -> Result<(), DesktopError> {
    while let Ok(order) = queue.recv() {
        match order {
            Order::Type(first, events) => {
                injector.apply(first, &events)?;
                let seq = first.seq + events.len() as u64 - 1;
                let _ = told.send(Ok(InputDone { seq, ..first }));
            }
            Order::Begin(position) => injector.begin(position)?,
            Order::Layout(keymap) => match layout::load(injector.connection(), display, &keymap) {
                Ok(()) => {}
                Err(error @ DesktopError::Layout { .. }) => {
                    tracing::warn!("{error}; the old layout stays");
                }
                Err(error) => return Err(error),
            },
            Order::ReleaseAll => injector.release_all()?,
        }
        waiting.fetch_sub(1, Ordering::Relaxed);
    }
    Ok(())
}
