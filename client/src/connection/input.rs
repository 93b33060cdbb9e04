//! What of the user's input is sent, kept and sent again.
//!
//! Events are numbered from 1 in each attachment and kept until the session
//! says that they were put in. When only the worker of a session died, the
//! next attachment tells how far it got, and the rest is sent again. Keys that
//! the session holds down and the user let go meanwhile are always released.
//!
//! Shift and its like are a state rather than an event: whoever holds one
//! while a host dies wants it to count for the next key, which another copy of
//! the session gets. So the session is told of those that it does not know
//! before that key; a modifier alone is not worth telling.

use afterglow_wire::display::{Input, InputDone};
use afterglow_wire::input::{InputEvent, KeyAction};
use afterglow_wire::limits::{INPUT_EVENTS_MAX, INPUT_UNACKNOWLEDGED_MAX};
use std::collections::{BTreeSet, VecDeque};

/// Both keys of Ctrl, Shift, Alt and Meta, as evdev numbers them.
const MODIFIERS: [u8; 8] = [29, 97, 42, 54, 56, 100, 125, 126];

/// What the screen shows while the user does something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// The session's picture, or for a moment its last one.
    Picture,
    /// Something that hides it: what is typed is not meant for the session.
    Panel,
}

/// A key or a button that can be held down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Held {
    Key(u8),
    Button(u8),
}

impl Held {
    fn release(self) -> InputEvent {
        match self {
            Held::Key(scancode) => InputEvent::Key { scancode, action: KeyAction::Release },
            Held::Button(button) => InputEvent::Button { button, pressed: false },
        }
    }
}

/// The events that the session did not yet put in.
#[derive(Debug, Default)]
pub(super) struct InputBuffer {
    /// The attachment that is, or was last.
    attachment: Option<u64>,
    live: bool,
    last_seq: u64,
    /// In order; those that were sent have their number.
    waiting: VecDeque<(u64, InputEvent)>,
    /// What the session holds down, or will once all that waits is put in.
    held: BTreeSet<Held>,
    /// The modifiers that the user holds, whether the session knows or not.
    modifiers: BTreeSet<u8>,
}

impl InputBuffer {
    /// The user did something; gives what is to be sent now.
    pub(super) fn push(&mut self, event: InputEvent, seen: Seen) -> Option<Input> {
        self.note_modifier(event);
        if !self.wanted(event, seen) {
            return None;
        }
        let move_only = matches!(event, InputEvent::Pointer { .. });
        if !self.live
            && move_only
            && let Some((_, last @ InputEvent::Pointer { .. })) = self.waiting.back_mut()
        {
            *last = event;
            return None;
        }
        let first_seq = self.last_seq + 1;
        let events: Vec<InputEvent> = self.unknown_modifiers(event).chain([event]).collect();
        for event in &events {
            self.make_room();
            self.last_seq += 1;
            self.waiting.push_back((self.last_seq, *event));
        }
        let attachment = self.attachment.filter(|_| self.live)?;
        Some(Input { attachment, first_seq, events: events.into_iter().collect() })
    }

    fn note_modifier(&mut self, event: InputEvent) {
        match event {
            InputEvent::Key { scancode, action } if MODIFIERS.contains(&scancode) => match action {
                KeyAction::Press | KeyAction::Repeat => self.modifiers.insert(scancode),
                KeyAction::Release => self.modifiers.remove(&scancode),
            },
            _ => false,
        };
    }

    /// The modifiers that the session has to know before this event; it does
    /// then.
    fn unknown_modifiers(&mut self, event: InputEvent) -> impl Iterator<Item = InputEvent> + use<> {
        let counts = match event {
            InputEvent::Key { scancode, action } => {
                action == KeyAction::Press && !MODIFIERS.contains(&scancode)
            }
            InputEvent::Button { pressed, .. } => pressed,
            InputEvent::Pointer { .. } | InputEvent::Wheel { .. } => false,
        };
        let unknown: Vec<u8> = match counts {
            true => {
                let held = self.modifiers.iter().copied();
                held.filter(|scancode| self.held.insert(Held::Key(*scancode))).collect()
            }
            false => Vec::new(),
        };
        let press = |scancode| InputEvent::Key { scancode, action: KeyAction::Press };
        unknown.into_iter().map(press)
    }

    /// Notes what is held, and tells whether the session is to know.
    fn wanted(&mut self, event: InputEvent, seen: Seen) -> bool {
        let visible = seen == Seen::Picture;
        let (held, down) = match event {
            InputEvent::Key { scancode, action: KeyAction::Repeat } => {
                return visible && self.held.contains(&Held::Key(scancode));
            }
            InputEvent::Key { scancode, action } => {
                (Held::Key(scancode), action == KeyAction::Press)
            }
            InputEvent::Button { button, pressed } => (Held::Button(button), pressed),
            InputEvent::Pointer { .. } | InputEvent::Wheel { .. } => return visible,
        };
        if down {
            if visible {
                self.held.insert(held);
            }
            visible
        } else {
            // A release without its press belongs to something else.
            self.held.remove(&held)
        }
    }

    /// Drops the oldest pointer move when too much waits, or else the oldest
    /// event that leaves no key down.
    fn make_room(&mut self) {
        if self.waiting.len() < INPUT_UNACKNOWLEDGED_MAX {
            return;
        }
        let is_move = |event: &InputEvent| matches!(event, InputEvent::Pointer { .. });
        let is_release = |event: &InputEvent| {
            matches!(
                event,
                InputEvent::Key { action: KeyAction::Release, .. }
                    | InputEvent::Button { pressed: false, .. }
            )
        };
        let victim = self.waiting.iter().position(|(_, event)| is_move(event));
        let victim =
            victim.or_else(|| self.waiting.iter().position(|(_, event)| !is_release(event)));
        self.waiting.remove(victim.unwrap_or(0));
    }

    /// The session put events in.
    pub(super) fn done(&mut self, done: InputDone) {
        if self.attachment != Some(done.attachment) {
            return;
        }
        while self.waiting.front().is_some_and(|(seq, _)| *seq <= done.seq) {
            self.waiting.pop_front();
        }
    }

    /// The display link is lost.
    pub(super) fn pause(&mut self) {
        self.live = false;
    }

    /// A new attachment; `same` tells whether it shows the copy of the session
    /// that the last one showed. Gives what is to be sent at once.
    pub(super) fn resume(
        &mut self,
        attachment: u64,
        resumes: Option<InputDone>,
        same: bool,
    ) -> Vec<Input> {
        match resumes {
            Some(done) if same && self.attachment == Some(done.attachment) => self.done(done),
            _ if same => self.release_all(),
            _ => {
                self.waiting.clear();
                self.held.clear();
            }
        }
        self.attachment = Some(attachment);
        self.live = true;
        self.last_seq = 0;
        for (seq, _) in &mut self.waiting {
            self.last_seq += 1;
            *seq = self.last_seq;
        }
        let events: Vec<InputEvent> = self.waiting.iter().map(|(_, event)| *event).collect();
        events
            .chunks(INPUT_EVENTS_MAX)
            .enumerate()
            .map(|(index, chunk)| Input {
                attachment,
                first_seq: (index * INPUT_EVENTS_MAX) as u64 + 1,
                events: chunk.iter().copied().collect(),
            })
            .collect()
    }

    /// How far the session got is not known: nothing is sent twice, but no key
    /// stays down either.
    fn release_all(&mut self) {
        let mut down = std::mem::take(&mut self.held);
        for (_, event) in self.waiting.drain(..) {
            match event {
                InputEvent::Key { scancode, .. } => down.insert(Held::Key(scancode)),
                InputEvent::Button { button, .. } => down.insert(Held::Button(button)),
                InputEvent::Pointer { .. } | InputEvent::Wheel { .. } => false,
            };
        }
        self.waiting.extend(down.into_iter().map(|held| (0, held.release())));
    }

    /// The session is not this DTU's any more.
    pub(super) fn clear(&mut self) {
        *self = InputBuffer::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(scancode: u8, action: KeyAction) -> InputEvent {
        InputEvent::Key { scancode, action }
    }

    fn press(scancode: u8) -> InputEvent {
        key(scancode, KeyAction::Press)
    }

    fn release(scancode: u8) -> InputEvent {
        key(scancode, KeyAction::Release)
    }

    fn at(x_px: u16) -> InputEvent {
        InputEvent::Pointer { x_px, y_px: 0 }
    }

    fn attached() -> InputBuffer {
        let mut buffer = InputBuffer::default();
        assert_eq!(buffer.resume(1, None, false), []);
        buffer
    }

    fn events(inputs: &[Input]) -> Vec<InputEvent> {
        inputs.iter().flat_map(|input| input.events.iter().copied()).collect()
    }

    #[test]
    fn live_events_are_sent_at_once_and_numbered() {
        let mut buffer = attached();
        let first = buffer.push(press(30), Seen::Picture).unwrap();
        let second = buffer.push(release(30), Seen::Picture).unwrap();
        assert_eq!((first.attachment, first.first_seq, second.first_seq), (1, 1, 2));
        buffer.done(InputDone { attachment: 1, seq: 2 });
        assert!(buffer.waiting.is_empty());
    }

    #[test]
    fn what_was_not_put_in_is_sent_again_and_renumbered() {
        let mut buffer = attached();
        for scancode in 30..34 {
            buffer.push(press(scancode), Seen::Picture);
        }
        buffer.done(InputDone { attachment: 1, seq: 1 });
        buffer.pause();
        assert_eq!(buffer.push(release(30), Seen::Picture), None);
        let sent = buffer.resume(2, Some(InputDone { attachment: 1, seq: 3 }), true);
        assert_eq!((sent.len(), sent[0].attachment, sent[0].first_seq), (1, 2, 1));
        assert_eq!(events(&sent), [press(33), release(30)]);
        assert_eq!(buffer.push(at(1), Seen::Picture).unwrap().first_seq, 3);
        // What the old attachment still says is not about these.
        buffer.done(InputDone { attachment: 1, seq: 100 });
        assert_eq!(buffer.waiting.len(), 3);
    }

    #[test]
    fn nothing_goes_to_another_copy_of_the_session() {
        let mut buffer = attached();
        buffer.push(press(30), Seen::Picture);
        buffer.pause();
        assert_eq!(buffer.resume(1, Some(InputDone { attachment: 1, seq: 0 }), false), []);
        assert_eq!(buffer.push(release(30), Seen::Picture), None);
    }

    #[test]
    fn a_modifier_that_is_held_counts_for_the_next_key_of_another_copy() {
        let mut buffer = attached();
        buffer.push(press(42), Seen::Picture);
        buffer.push(press(29), Seen::Picture);
        buffer.pause();
        assert_eq!(buffer.resume(1, None, false), []);
        assert_eq!(buffer.push(release(29), Seen::Picture), None, "it was never told");
        let sent = buffer.push(press(30), Seen::Picture).unwrap();
        assert_eq!((sent.first_seq, events(&[sent])), (1, vec![press(42), press(30)]));
        let sent = buffer.push(press(31), Seen::Picture).unwrap();
        assert_eq!((sent.first_seq, events(&[sent])), (3, vec![press(31)]));
        assert_eq!(events(&[buffer.push(release(42), Seen::Picture).unwrap()]), [release(42)]);
        assert_eq!(events(&[buffer.push(press(32), Seen::Picture).unwrap()]), [press(32)]);
    }

    #[test]
    fn an_unknown_gap_only_releases() {
        let mut buffer = attached();
        for event in [press(29), press(46), release(46)] {
            buffer.push(event, Seen::Picture);
        }
        buffer.pause();
        let sent = buffer.resume(3, Some(InputDone { attachment: 2, seq: 7 }), true);
        assert_eq!(events(&sent), [release(29), release(46)]);
    }

    #[test]
    fn a_panel_keeps_everything_but_releases_from_the_session() {
        let mut buffer = attached();
        buffer.push(press(42), Seen::Picture);
        for event in [press(30), key(42, KeyAction::Repeat), at(5), release(30)] {
            assert_eq!(buffer.push(event, Seen::Panel), None);
        }
        let wheel = InputEvent::Wheel { steps_x: 0, steps_y: 1 };
        assert_eq!(buffer.push(wheel, Seen::Panel), None);
        assert_eq!(events(&[buffer.push(release(42), Seen::Panel).unwrap()]), [release(42)]);
    }

    #[test]
    fn a_gap_keeps_the_last_pointer_move_only() {
        let mut buffer = attached();
        buffer.pause();
        for x_px in 0..100 {
            buffer.push(at(x_px), Seen::Picture);
        }
        let sent = buffer.resume(2, Some(InputDone { attachment: 1, seq: 0 }), true);
        assert_eq!(events(&sent), [at(99)]);
    }

    #[test]
    fn the_buffer_is_bounded_and_moves_go_first() {
        let mut buffer = attached();
        buffer.push(press(30), Seen::Picture);
        for x_px in 0..2 * INPUT_UNACKNOWLEDGED_MAX {
            buffer.push(at(x_px as u16), Seen::Picture);
        }
        assert_eq!(buffer.waiting.len(), INPUT_UNACKNOWLEDGED_MAX);
        assert_eq!(buffer.waiting[0].1, press(30));
        for _ in 0..INPUT_UNACKNOWLEDGED_MAX {
            buffer.push(press(31), Seen::Picture);
            buffer.push(release(31), Seen::Picture);
        }
        assert_eq!(buffer.waiting.len(), INPUT_UNACKNOWLEDGED_MAX);
        assert!(buffer.waiting.iter().any(|(_, event)| *event == release(31)));
    }

    #[test]
    fn many_events_go_in_several_messages() {
        let mut buffer = attached();
        buffer.pause();
        for _ in 0..300 {
            buffer.push(InputEvent::Wheel { steps_x: 0, steps_y: 1 }, Seen::Picture);
        }
        let sent = buffer.resume(2, Some(InputDone { attachment: 1, seq: 0 }), true);
        let firsts: Vec<u64> = sent.iter().map(|input| input.first_seq).collect();
        assert_eq!(firsts, [1, 257]);
        assert_eq!(events(&sent).len(), 300);
    }
}
