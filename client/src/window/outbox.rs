//! What the window tells the network, without ever waiting for it.

use crate::view::FromWindow;
use afterglow_wire::ids::Size;
use afterglow_wire::input::InputEvent;
use std::collections::VecDeque;
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

/// How many messages the channel to the network holds.
pub const CHANNEL_MESSAGES: usize = 1024;
/// How many more wait here while the channel is full; beyond that the newest
/// are lost. Only a network thread that hangs gets there.
const BACKLOG_MESSAGES_MAX: usize = 4096;

/// Messages on their way.
#[derive(Debug)]
pub struct Outbox {
    channel: Sender<FromWindow>,
    backlog: VecDeque<FromWindow>,
    /// The newest place of the pointer. Older ones that were not sent are of
    /// no interest.
    pointer: Option<InputEvent>,
    /// The newest size, likewise.
    resized: Option<Size>,
    /// Frames that are on the screen.
    frames_shown: Vec<u64>,
    /// The size that the network knows.
    told_size: Option<Size>,
    closed: bool,
}

impl Outbox {
    /// Sends into this channel.
    pub fn new(channel: Sender<FromWindow>) -> Self {
        Outbox {
            channel,
            backlog: VecDeque::new(),
            pointer: None,
            resized: None,
            frames_shown: Vec::new(),
            told_size: None,
            closed: false,
        }
    }

    /// Sends a message, after what waits already.
    pub fn send(&mut self, message: FromWindow) {
        if let FromWindow::Ready { size, .. } = &message {
            self.told_size = Some(*size);
        }
        self.queue_waiting();
        self.queue(message);
        self.push_backlog();
    }

    /// The pointer moved. It is told with the next message or flush.
    pub fn pointer(&mut self, event: InputEvent) {
        self.pointer = Some(event);
    }

    /// The window has this size. If it is a new one, it is told with the next
    /// message or flush.
    pub fn resized(&mut self, size: Size) {
        self.resized = (self.told_size != Some(size)).then_some(size);
    }

    /// A frame is on the screen. It is told with the next flush only, so that
    /// the session has sent all that it may before the loop turns again to
    /// what the user does: winit empties the loop's own queue first, which
    /// would never be empty where frames come as quickly as they are shown.
    pub fn frame_shown(&mut self, number: u64) {
        self.frames_shown.push(number);
    }

    /// Sends what waits. Returns false if some of it has to wait longer.
    pub fn flush(&mut self) -> bool {
        self.queue_waiting();
        for number in std::mem::take(&mut self.frames_shown) {
            self.queue(FromWindow::FrameShown { number });
        }
        self.push_backlog();
        self.backlog.is_empty()
    }

    /// True if nobody listens any more.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    fn queue_waiting(&mut self) {
        if let Some(size) = self.resized.take() {
            self.told_size = Some(size);
            self.queue(FromWindow::Resized(size));
        }
        if let Some(event) = self.pointer.take() {
            self.queue(FromWindow::Input(event));
        }
    }

    fn queue(&mut self, message: FromWindow) {
        if self.backlog.len() < BACKLOG_MESSAGES_MAX {
            self.backlog.push_back(message);
        } else {
            tracing::warn!("the network thread does not listen; input is lost");
        }
    }

    fn push_backlog(&mut self) {
        while let Some(message) = self.backlog.pop_front() {
            match self.channel.try_send(message) {
                Ok(()) => {}
                Err(TrySendError::Full(message)) => {
                    self.backlog.push_front(message);
                    return;
                }
                Err(TrySendError::Closed(_)) => {
                    self.closed = true;
                    self.backlog.clear();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    fn pointer(x_px: u16) -> InputEvent {
        InputEvent::Pointer { x_px, y_px: 0 }
    }

    #[test]
    fn only_the_newest_place_of_the_pointer_is_sent_and_before_what_follows() {
        let (sender, mut receiver) = mpsc::channel(8);
        let mut outbox = Outbox::new(sender);
        outbox.pointer(pointer(1));
        outbox.pointer(pointer(2));
        let press = FromWindow::Input(InputEvent::Button { button: 1, pressed: true });
        outbox.send(press.clone());
        assert_eq!(receiver.try_recv(), Ok(FromWindow::Input(pointer(2))));
        assert_eq!(receiver.try_recv(), Ok(press));
        assert!(receiver.try_recv().is_err());
    }

    #[test]
    fn the_session_hears_of_a_frame_only_once_the_loop_turns() {
        let (sender, mut receiver) = mpsc::channel(8);
        let mut outbox = Outbox::new(sender);
        outbox.frame_shown(1);
        let press = FromWindow::Input(InputEvent::Button { button: 1, pressed: true });
        outbox.send(press.clone());
        assert_eq!(receiver.try_recv(), Ok(press));
        assert!(receiver.try_recv().is_err());
        outbox.flush();
        assert_eq!(receiver.try_recv(), Ok(FromWindow::FrameShown { number: 1 }));
    }

    #[test]
    fn a_full_channel_delays_and_keeps_the_order() {
        let (sender, mut receiver) = mpsc::channel(1);
        let mut outbox = Outbox::new(sender);
        for number in 0..3 {
            outbox.send(FromWindow::FrameShown { number });
        }
        for number in 0..3 {
            assert_eq!(receiver.try_recv(), Ok(FromWindow::FrameShown { number }));
            outbox.flush();
        }
        assert!(outbox.flush() && !outbox.is_closed());
        drop(receiver);
        outbox.send(FromWindow::Closed);
        assert!(outbox.is_closed());
    }

    #[test]
    fn a_channel_that_nobody_empties_costs_bounded_memory() {
        let (sender, _receiver) = mpsc::channel(1);
        let mut outbox = Outbox::new(sender);
        for number in 0..2 * BACKLOG_MESSAGES_MAX as u64 {
            outbox.send(FromWindow::FrameShown { number });
        }
        assert!(outbox.backlog.len() <= BACKLOG_MESSAGES_MAX);
    }
}
