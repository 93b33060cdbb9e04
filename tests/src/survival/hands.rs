//! Hands that type without a pause, and eyes on the window meanwhile.

use crate::keys::Keyboard;
use crate::picture::Picture;
use crate::screen::Screen;
use crate::wait;
use anyhow::Result;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use x11rb::protocol::xproto::Window;

/// Between two keys: as a quick typist.
const KEY_EVERY: Duration = Duration::from_millis(45);
/// Between two looks at the window.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// What is typed, again and again.
const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz";

/// What was done and seen so far.
#[derive(Debug, Default)]
pub struct Hands {
    typed: AtomicUsize,
    stop: AtomicBool,
    longest_us: AtomicU64,
    failure: Mutex<Option<anyhow::Error>>,
}

impl Hands {
    /// How many keys were pressed.
    pub fn typed(&self) -> usize {
        self.typed.load(Ordering::SeqCst)
    }

    /// Waits until so many more keys were pressed.
    pub fn wait_typed(&self, more: usize) -> Result<()> {
        let enough = self.typed() + more;
        wait::until_true("somebody types", || Ok(self.typed() >= enough))
    }
}

/// Plays a scene while somebody types into a DTU's window, which has the
/// keyboard; gives what was
/// typed, and the longest time without a new picture.
pub fn typing<T>(
    screen: &Screen,
    window: Window,
    first: usize,
    scene: impl FnOnce(&Hands) -> Result<T>,
) -> Result<(T, Vec<u8>, u64)> {
    let hands = Hands::default();
    let size = screen.window_size(window)?;
    let played = std::thread::scope(|scope| {
        scope.spawn(|| hands.note(|| type_on(screen, first, &hands)));
        scope.spawn(|| hands.note(|| look_on(screen, window, size, &hands)));
        let played = scene(&hands);
        hands.stop.store(true, Ordering::SeqCst);
        played
    });
    if let Some(failure) = hands.failure.lock().unwrap_or_else(|e| e.into_inner()).take() {
        return Err(failure);
    }
    let letter = |number: usize| LETTERS[number % LETTERS.len()];
    let typed = (first..first + hands.typed()).map(letter).collect();
    Ok((played?, typed, hands.longest_us.load(Ordering::SeqCst) / 1_000))
}

impl Hands {
    fn note(&self, work: impl FnOnce() -> Result<()>) {
        if let Err(error) = work() {
            *self.failure.lock().unwrap_or_else(|e| e.into_inner()) = Some(error);
        }
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }
}

fn type_on(screen: &Screen, first: usize, hands: &Hands) -> Result<()> {
    while hands.goes_on() {
        let letter = LETTERS[(first + hands.typed()) % LETTERS.len()];
        screen.type_text(Keyboard::Us, &char::from(letter).to_string())?;
        hands.typed.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(KEY_EVERY);
    }
    Ok(())
}

fn look_on(screen: &Screen, window: Window, size: (u16, u16), hands: &Hands) -> Result<()> {
    let connection = screen.connect_again()?;
    let mut last: Option<Picture> = None;
    let mut changed = Instant::now();
    while hands.goes_on() {
        let picture = Picture::of(&connection, window, size.0, size.1)?;
        if last.as_ref() != Some(&picture) {
            last = Some(picture);
            changed = Instant::now();
        }
        let gap_us = changed.elapsed().as_micros() as u64;
        hands.longest_us.fetch_max(gap_us, Ordering::SeqCst);
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}
