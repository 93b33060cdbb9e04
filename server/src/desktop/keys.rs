//! Which keys and buttons are down, and what an input event comes to. No I/O.

use afterglow_wire::input::{InputEvent, KeyAction};
use std::collections::BTreeSet;

/// An X key code is an evdev scancode and this.
const KEY_CODE_OFFSET: u8 = 8;
/// The buttons that a wheel step presses: up, down, left, right.
const WHEEL: [u8; 4] = [4, 5, 6, 7];
/// Modifiers by their scancodes (Ctrl, Shift, Alt, Super, Caps, Num, Scroll,
/// on both sides): repeating one would let go of it for a moment.
const MODIFIERS: [u8; 11] = [29, 42, 54, 56, 58, 69, 70, 97, 100, 125, 126];

/// One thing for the X server to pretend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fake {
    /// A key, by its X key code, goes down or up.
    Key {
        /// The key code.
        code: u8,
        /// Down, or up.
        down: bool,
    },
    /// A pointer button goes down or up.
    Button {
        /// X's number.
        button: u8,
        /// Down, or up.
        down: bool,
    },
    /// The pointer is here.
    Pointer {
        /// From the left.
        x_px: u16,
        /// From the top.
        y_px: u16,
    },
}

/// The keys and buttons that are down in the X server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    keys: BTreeSet<u8>,
    buttons: BTreeSet<u8>,
}

impl Held {
    /// From X key codes and buttons that are down already.
    pub fn of(keys: impl IntoIterator<Item = u8>, buttons: impl IntoIterator<Item = u8>) -> Self {
        Held { keys: keys.into_iter().collect(), buttons: buttons.into_iter().collect() }
    }

    /// What an event comes to. A press of what is down and a release of what
    /// is up come to nothing.
    pub fn apply(&mut self, event: &InputEvent, out: &mut Vec<Fake>) {
        match *event {
            InputEvent::Key { scancode, action } => self.key(scancode, action, out),
            InputEvent::Pointer { x_px, y_px } => out.push(Fake::Pointer { x_px, y_px }),
            InputEvent::Button { button, pressed } => {
                let changed = match pressed {
                    true => self.buttons.insert(button),
                    false => self.buttons.remove(&button),
                };
                if changed {
                    out.push(Fake::Button { button, down: pressed });
                }
            }
            InputEvent::Wheel { steps_x, steps_y } => {
                let [up, down, left, right] = WHEEL;
                wheel(steps_y, up, down, out);
                wheel(steps_x, left, right, out);
            }
        }
    }

    fn key(&mut self, scancode: u8, action: KeyAction, out: &mut Vec<Fake>) {
        let Some(code) = scancode.checked_add(KEY_CODE_OFFSET) else { return };
        match action {
            KeyAction::Press => {
                if self.keys.insert(code) {
                    out.push(Fake::Key { code, down: true });
                }
            }
            KeyAction::Release => {
                if self.keys.remove(&code) {
                    out.push(Fake::Key { code, down: false });
                }
            }
            KeyAction::Repeat => {
                if self.keys.insert(code) {
                    out.push(Fake::Key { code, down: true });
                } else if !MODIFIERS.contains(&scancode) {
                    out.push(Fake::Key { code, down: false });
                    out.push(Fake::Key { code, down: true });
                }
            }
        }
    }

    /// Lets go of everything.
    pub fn release_all(&mut self, out: &mut Vec<Fake>) {
        let keys = std::mem::take(&mut self.keys).into_iter();
        out.extend(keys.map(|code| Fake::Key { code, down: false }));
        let buttons = std::mem::take(&mut self.buttons).into_iter();
        out.extend(buttons.map(|button| Fake::Button { button, down: false }));
    }
}

fn wheel(steps: i16, negative: u8, positive: u8, out: &mut Vec<Fake>) {
    let button = if steps < 0 { negative } else { positive };
    for _ in 0..steps.unsigned_abs() {
        out.push(Fake::Button { button, down: true });
        out.push(Fake::Button { button, down: false });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(scancode: u8, action: KeyAction) -> InputEvent {
        InputEvent::Key { scancode, action }
    }

    fn apply(held: &mut Held, events: &[InputEvent]) -> Vec<Fake> {
        let mut out = Vec::new();
        events.iter().for_each(|event| held.apply(event, &mut out));
        out
    }

    #[test]
    fn a_key_pressed_twice_is_typed_once() {
        let mut held = Held::default();
        let events = [KeyAction::Press, KeyAction::Press, KeyAction::Release, KeyAction::Release];
        let fakes = apply(&mut held, &events.map(|action| key(30, action)));
        let [down, up] = [true, false].map(|down| Fake::Key { code: 38, down });
        assert_eq!(fakes, [down, up]);
    }

    #[test]
    fn a_repeat_is_a_release_and_a_press_but_not_of_a_modifier() {
        let mut held = Held::default();
        let fakes = apply(&mut held, &[key(30, KeyAction::Press), key(30, KeyAction::Repeat)]);
        let [down, up] = [true, false].map(|down| Fake::Key { code: 38, down });
        assert_eq!(fakes, [down, up, down]);
        let fakes = apply(&mut held, &[key(42, KeyAction::Press), key(42, KeyAction::Repeat)]);
        assert_eq!(fakes, [Fake::Key { code: 50, down: true }]);
    }

    #[test]
    fn a_wheel_step_is_a_click() {
        let fakes = apply(&mut Held::default(), &[InputEvent::Wheel { steps_x: 1, steps_y: -2 }]);
        let click = |button| [true, false].map(|down| Fake::Button { button, down });
        assert_eq!(fakes, [click(4), click(4), click(7)].concat());
    }

    #[test]
    fn release_all_lets_go_of_what_is_down_and_nothing_else() {
        let mut held = Held::of([50], []);
        apply(
            &mut held,
            &[
                key(30, KeyAction::Press),
                key(31, KeyAction::Press),
                key(31, KeyAction::Release),
                InputEvent::Button { button: 1, pressed: true },
            ],
        );
        let mut out = Vec::new();
        held.release_all(&mut out);
        let up = |code| Fake::Key { code, down: false };
        assert_eq!(out, [up(38), up(50), Fake::Button { button: 1, down: false }]);
        assert_eq!(held, Held::default());
    }
}
