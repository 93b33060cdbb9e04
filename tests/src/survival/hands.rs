//! Hands that type without a pause, as a quick typist's do: a key is often
//! pressed before the one before it is let go, and Shift stays down for some.

use super::keyboard::{self, Text};
use crate::keys::SHIFT;
use crate::screen::Screen;
use crate::wait;
use anyhow::{Context, Result};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use x11rb::protocol::xproto::{AutoRepeatMode, ChangeKeyboardControlAux, ConnectionExt};

/// From one key to the next.
const KEY_EVERY: Duration = Duration::from_millis(40);
/// How long a key is down, at least.
const DOWN: Duration = Duration::from_millis(15);
/// Each of so many keys is let go only when the next one is down.
const ROLLS_EVERY: usize = 3;
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// What was typed so far.
#[derive(Debug, Default)]
pub struct Hands {
    typed: Mutex<Vec<char>>,
    rest: AtomicBool,
    resting: AtomicBool,
    stop: AtomicBool,
    done: AtomicBool,
}

impl Hands {
    /// All that was typed.
    pub fn typed(&self) -> Vec<char> {
        self.lock().clone()
    }

    /// Waits until so many more keys were pressed.
    pub fn wait_typed(&self, more: usize) -> Result<()> {
        let enough = self.lock().len() + more;
        wait::until_true("somebody types", || Ok(self.lock().len() >= enough))
    }

    /// The user gets up: no key is down when this comes back.
    pub fn rest(&self) -> Result<()> {
        self.rest.store(true, Ordering::SeqCst);
        wait::until_true("the hands rest", || Ok(self.resting.load(Ordering::SeqCst)))
    }

    /// The user sits down again.
    pub fn go_on(&self) {
        self.rest.store(false, Ordering::SeqCst);
    }

    /// No more keys; none is down when this comes back.
    pub fn finish(&self) -> Result<()> {
        self.stop();
        wait::until_true("the hands stop", || Ok(self.done.load(Ordering::SeqCst)))
    }

    /// No more keys, soon.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<char>> {
        self.typed.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Types what is to come of the text, into whichever window has the
    /// keyboard, until told to stop; no key is down then.
    pub fn work(&self, screen: &Screen, text: &mut Text) -> Result<()> {
        let worked = self.type_on(screen, text);
        self.done.store(true, Ordering::SeqCst);
        worked
    }

    fn type_on(&self, screen: &Screen, text: &mut Text) -> Result<()> {
        let mut keys = Keys { screen, down: Vec::new(), shift: false };
        while !self.stop.load(Ordering::SeqCst) {
            if self.rest.load(Ordering::SeqCst) {
                keys.release_all()?;
                self.resting.store(true, Ordering::SeqCst);
                std::thread::sleep(LOOK_EVERY);
                continue;
            }
            self.resting.store(false, Ordering::SeqCst);
            let Some(c) = text.next() else { break };
            let count = {
                let mut typed = self.lock();
                typed.push(c);
                typed.len()
            };
            keys.press(c)?;
            std::thread::sleep(DOWN);
            if count % ROLLS_EVERY != 0 {
                keys.release_letters()?;
            }
            std::thread::sleep(KEY_EVERY - DOWN);
        }
        keys.release_all()
    }
}

/// The keyboard of the screen, and what is down on it.
struct Keys<'a> {
    screen: &'a Screen,
    down: Vec<u8>,
    shift: bool,
}

impl Keys<'_> {
    fn press(&mut self, c: char) -> Result<()> {
        let (key, shifted) = keyboard::key(c).context("a key makes it")?;
        if shifted != self.shift {
            // A letter that is still down would repeat nothing, but a person
            // lets go of it before Shift.
            self.release_letters()?;
            match shifted {
                true => self.screen.key_down(SHIFT)?,
                false => self.screen.key_up(SHIFT)?,
            }
            self.shift = shifted;
        }
        self.screen.key_down(key)?;
        let before = std::mem::replace(&mut self.down, vec![key]);
        before.into_iter().try_for_each(|key| self.screen.key_up(key))
    }

    fn release_letters(&mut self) -> Result<()> {
        std::mem::take(&mut self.down).into_iter().try_for_each(|key| self.screen.key_up(key))
    }

    fn release_all(&mut self) -> Result<()> {
        self.release_letters()?;
        if std::mem::take(&mut self.shift) {
            self.screen.key_up(SHIFT)?;
        }
        Ok(())
    }
}

/// Turns the screen's own repetition of keys off: on a busy machine a key may
/// seem to be down for long, and what repeats was not typed.
pub fn stop_repeat(screen: &Screen) -> Result<()> {
    let off = ChangeKeyboardControlAux::new().auto_repeat_mode(AutoRepeatMode::OFF);
    screen.connection().change_keyboard_control(&off)?.check()?;
    Ok(())
}
