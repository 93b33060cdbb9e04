//! The thread that puts input in. A layout is loaded between the events that
//! came before it and those that came after.

use crate::desktop::input::Injector;
use crate::desktop::{DesktopError, Display, layout};
use afterglow_wire::display::InputDone;
use afterglow_wire::ids::Keymap;
use afterglow_wire::input::InputEvent;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use tokio::sync::mpsc::UnboundedSender;

/// How much may wait for the X server before a DTU is too fast for it.
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

/// Starts the thread. Gives also which event was the last to be put in before.
pub fn start(
    display: Display,
    told: UnboundedSender<Told>,
) -> Result<(SyncSender<Order>, Option<InputDone>), DesktopError> {
    let (injector, last) = Injector::new(display.connect()?)?;
    let (orders, queue) = sync_channel(QUEUE_MAX);
    std::thread::spawn(move || {
        if let Err(error) = work(injector, &display, &queue, &told) {
            // Nobody listens only if the worker is about to end.
            let _ = told.send(Err(error));
        }
    });
    Ok((orders, last))
}

fn work(
    mut injector: Injector,
    display: &Display,
    queue: &Receiver<Order>,
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
    }
    Ok(())
}
