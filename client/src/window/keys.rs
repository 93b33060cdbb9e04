//! Which keys go to the session, and which are the DTU's own.

use afterglow_wire::input::{InputEvent, KeyAction, SCANCODE_MAX};
use std::collections::BTreeSet;
use winit::event::KeyEvent;
use winit::keyboard::{Key, KeyCode, ModifiersState, NamedKey, PhysicalKey};
use winit::platform::modifier_supplement::KeyEventExtModifierSupplement;

/// What Ctrl+Alt+Shift with a letter does. None of them is ever seen by the
/// session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HotKey {
    /// C: insert or remove the soft card.
    Card,
    /// F: fullscreen and back.
    Fullscreen,
    /// Q: quit.
    Quit,
    /// P: the session panel, and away with it.
    Panel,
    /// D: the diagnostics overlay, and away with it.
    Diagnostics,
}

impl HotKey {
    /// The hot key with this letter.
    pub fn of_letter(letter: char) -> Option<Self> {
        match letter.to_ascii_lowercase() {
            'c' => Some(HotKey::Card),
            'f' => Some(HotKey::Fullscreen),
            'q' => Some(HotKey::Quit),
            'p' => Some(HotKey::Panel),
            'd' => Some(HotKey::Diagnostics),
            _ => None,
        }
    }
}

/// What happened to a key, as the window system tells it.
#[derive(Debug, Clone, Copy)]
pub struct KeyChange {
    /// The evdev scancode.
    pub scancode: u32,
    /// Down, or up.
    pub pressed: bool,
    /// True if it was down already.
    pub repeat: bool,
    /// Its letter, if it has one, whatever modifiers are down.
    pub letter: Option<char>,
    /// True if Ctrl, Alt and Shift are down.
    pub chord: bool,
    /// True if keys belong to the session now.
    pub to_session: bool,
}

/// What is to be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyOutcome {
    /// The session is told.
    Send(InputEvent),
    /// The DTU does something itself.
    HotKey(HotKey),
    /// The session is not told; the on-screen display may be.
    Keep,
}

/// The keys that the session believes to be down. What it was never told of
/// is never told to be up.
#[derive(Debug, Default)]
pub struct Keys {
    held: BTreeSet<u8>,
}

impl Keys {
    /// A key changed.
    pub fn change(&mut self, change: KeyChange) -> KeyOutcome {
        let hot_key = change.letter.and_then(HotKey::of_letter).filter(|_| change.chord);
        if let Some(hot_key) = hot_key
            && change.pressed
        {
            return if change.repeat { KeyOutcome::Keep } else { KeyOutcome::HotKey(hot_key) };
        }
        let scancode = match u8::try_from(change.scancode) {
            Ok(scancode @ 1..=SCANCODE_MAX) => scancode,
            _ => return KeyOutcome::Keep,
        };
        let action = match (change.pressed, self.held.contains(&scancode)) {
            (true, true) if change.to_session => KeyAction::Repeat,
            (true, false) if change.to_session && !change.repeat => KeyAction::Press,
            (true, _) | (false, false) => return KeyOutcome::Keep,
            (false, true) => KeyAction::Release,
        };
        match action {
            KeyAction::Press => self.held.insert(scancode),
            KeyAction::Release => self.held.remove(&scancode),
            KeyAction::Repeat => false,
        };
        KeyOutcome::Send(InputEvent::Key { scancode, action })
    }

    /// The window lost the keyboard: nobody will tell when keys come up.
    pub fn release_all(&mut self) -> impl Iterator<Item = InputEvent> + use<> {
        std::mem::take(&mut self.held)
            .into_iter()
            .map(|scancode| InputEvent::Key { scancode, action: KeyAction::Release })
    }

    /// The session is gone, and with it what it believed.
    pub fn forget(&mut self) {
        self.held.clear();
    }
}

/// A key's letter by the user's layout, or, where that has none, by the place
/// of the key.
pub fn letter(event: &KeyEvent) -> Option<char> {
    if let Key::Character(text) = event.key_without_modifiers()
        && let Some(letter) = text.chars().next().filter(char::is_ascii_alphabetic)
    {
        return Some(letter);
    }
    match event.physical_key {
        PhysicalKey::Code(KeyCode::KeyC) => Some('c'),
        PhysicalKey::Code(KeyCode::KeyD) => Some('d'),
        PhysicalKey::Code(KeyCode::KeyF) => Some('f'),
        PhysicalKey::Code(KeyCode::KeyP) => Some('p'),
        PhysicalKey::Code(KeyCode::KeyQ) => Some('q'),
        _ => None,
    }
}

/// The keys with which buttons are reached and pressed.
pub fn osd_key(event: &KeyEvent, pressed: bool, modifiers: ModifiersState) -> Option<egui::Event> {
    let key = match event.logical_key {
        Key::Named(NamedKey::Tab) => egui::Key::Tab,
        Key::Named(NamedKey::Enter) => egui::Key::Enter,
        Key::Named(NamedKey::Space) => egui::Key::Space,
        Key::Named(NamedKey::ArrowLeft) => egui::Key::ArrowLeft,
        Key::Named(NamedKey::ArrowRight) => egui::Key::ArrowRight,
        Key::Named(NamedKey::ArrowUp) => egui::Key::ArrowUp,
        Key::Named(NamedKey::ArrowDown) => egui::Key::ArrowDown,
        Key::Named(NamedKey::Escape) => egui::Key::Escape,
        Key::Named(NamedKey::Backspace) => egui::Key::Backspace,
        Key::Named(NamedKey::Delete) => egui::Key::Delete,
        Key::Named(NamedKey::Home) => egui::Key::Home,
        Key::Named(NamedKey::End) => egui::Key::End,
        _ => return None,
    };
    let modifiers = egui::Modifiers { shift: modifiers.shift_key(), ..egui::Modifiers::NONE };
    Some(egui::Event::Key { key, physical_key: None, pressed, repeat: event.repeat, modifiers })
}

/// What a key writes into a field of the on-screen display.
pub fn osd_text(event: &KeyEvent, pressed: bool) -> Option<egui::Event> {
    let text = event.text.as_ref().filter(|_| pressed)?;
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    (!text.is_empty()).then_some(egui::Event::Text(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: KeyChange = KeyChange {
        scancode: 30,
        pressed: true,
        repeat: false,
        letter: Some('a'),
        chord: false,
        to_session: true,
    };

    fn sent(action: KeyAction) -> KeyOutcome {
        KeyOutcome::Send(InputEvent::Key { scancode: 30, action })
    }

    #[test]
    fn a_held_key_repeats_and_is_released_once() {
        let mut keys = Keys::default();
        assert_eq!(keys.change(A), sent(KeyAction::Press));
        assert_eq!(keys.change(KeyChange { repeat: true, ..A }), sent(KeyAction::Repeat));
        assert_eq!(keys.change(KeyChange { pressed: false, ..A }), sent(KeyAction::Release));
        assert_eq!(keys.change(KeyChange { pressed: false, ..A }), KeyOutcome::Keep);
    }

    #[test]
    fn lost_focus_releases_what_is_held() {
        let mut keys = Keys::default();
        keys.change(A);
        keys.change(KeyChange { scancode: 42, letter: None, ..A });
        assert_eq!(keys.release_all().count(), 2);
        assert_eq!(keys.release_all().count(), 0);
        // The key is still down when the focus comes back, and then comes up.
        assert_eq!(keys.change(KeyChange { repeat: true, ..A }), KeyOutcome::Keep);
        assert_eq!(keys.change(KeyChange { pressed: false, ..A }), KeyOutcome::Keep);
    }

    #[test]
    fn hot_keys_are_never_sent_even_if_the_chord_is_let_go_first() {
        let mut keys = Keys::default();
        let c = KeyChange { scancode: 46, letter: Some('C'), chord: true, ..A };
        assert_eq!(keys.change(c), KeyOutcome::HotKey(HotKey::Card));
        assert_eq!(keys.change(KeyChange { repeat: true, ..c }), KeyOutcome::Keep);
        let repeat_alone = KeyChange { repeat: true, chord: false, ..c };
        assert_eq!(keys.change(repeat_alone), KeyOutcome::Keep);
        assert_eq!(keys.change(KeyChange { pressed: false, chord: false, ..c }), KeyOutcome::Keep);
        let other = KeyChange { letter: Some('x'), chord: true, ..A };
        assert_eq!(keys.change(other), sent(KeyAction::Press));
    }

    #[test]
    fn a_key_that_went_down_for_the_session_comes_up_for_it() {
        let mut keys = Keys::default();
        keys.change(A);
        let covered = KeyChange { to_session: false, ..A };
        assert_eq!(keys.change(KeyChange { repeat: true, ..covered }), KeyOutcome::Keep);
        assert_eq!(keys.change(KeyChange { pressed: false, ..covered }), sent(KeyAction::Release));
        assert_eq!(keys.change(covered), KeyOutcome::Keep);
    }

    #[test]
    fn scancodes_that_x_cannot_name_are_kept() {
        let mut keys = Keys::default();
        for scancode in [0, 248, 70_000] {
            assert_eq!(keys.change(KeyChange { scancode, ..A }), KeyOutcome::Keep);
        }
    }
}
