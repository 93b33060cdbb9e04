//! From a key to its pixels.

use super::drawing::{color, images::mixed};
use super::stage::SIZE_PX;
use super::watch::{Sight, Watch};
use crate::keys::{ENTER, Keyboard};
use crate::wait;
use anyhow::{Context, Result, ensure};
use std::time::Duration;

/// The mean time between two keys, and by how much it may be shorter or longer.
const EVERY_US: u64 = 50_000;
const JITTER_US: u64 = 15_000;
/// The key for another colour.
const SPACE: u8 = 57;
/// xterm's letters.
const CELL_PX: (usize, usize) = (6, 13);
/// So many letters are typed into a line.
const LINE_LETTERS: u64 = 200;

/// Sleeps until the next key: even times would always meet the same phase of
/// whatever else beats.
fn pause(number: u64, began_us: u64) {
    let jitter_us = mixed(number) % (2 * JITTER_US);
    let due_us = began_us + EVERY_US - JITTER_US + jitter_us;
    let left_us = due_us.saturating_sub(crate::events::now_us());
    std::thread::sleep(Duration::from_micros(left_us));
}

/// Presses a key; gives how long it took until the sight was there.
fn press(watch: &Watch, key: u8, sight: &Sight, number: u64) -> Result<u64> {
    ensure!(!watch.shows(sight)?, "what the key number {number} is to bring is there already");
    let pressed_us = watch.press(key)?;
    let seen_us = watch.wait_for(sight, wait::PATIENCE);
    watch.release(key)?;
    pause(number, pressed_us);
    Ok(seen_us.with_context(|| format!("the key number {number}"))? - pressed_us)
}

/// How long it takes from a key until the whole window has another colour,
/// in microseconds, sorted. The program runs and is to be seen.
pub fn keys(watch: &Watch, count: u64) -> Result<Vec<u64>> {
    let (width_px, height_px) = SIZE_PX;
    ensure!(watch.size_px() == SIZE_PX, "the screen is not {width_px}x{height_px}");
    watch.wait_for(&Sight::color(color(0), SIZE_PX), wait::PATIENCE)?;
    let mut times_us = Vec::new();
    for number in 1..=count {
        let sight = Sight::color(color(number as u32), SIZE_PX);
        times_us.push(press(watch, SPACE, &sight, number)?);
    }
    times_us.sort_unstable();
    Ok(times_us)
}

/// How long it takes from a key until its letter stands in xterm, in
/// microseconds, sorted.
pub fn letters(watch: &Watch, count: u64) -> Result<Vec<u64>> {
    let key = Keyboard::Us.stroke('m').context("there is a key for m")?.key;
    wait::until_true("the terminal is there", || {
        Ok(watch.picture()?.at(640, 360) == [0xff, 0xff, 0xff, 0])
    })?;
    let sight = type_first(watch, key)?;
    let mut times_us = Vec::new();
    for number in 1..=count {
        // Below each line is what `cat` makes of it.
        let place = (number % LINE_LETTERS, number / LINE_LETTERS * 2);
        if place.0 == 0 {
            watch.press(ENTER)?;
            watch.release(ENTER)?;
            watch.wait_rest()?;
        }
        let sight = Sight::part(&sight, cell(place), CELL_PX);
        times_us.push(press(watch, key, &sight, number)?);
    }
    times_us.sort_unstable();
    Ok(times_us)
}

fn cell((column, row): (u64, u64)) -> (usize, usize) {
    (column as usize * CELL_PX.0, row as usize * CELL_PX.1)
}

/// Types the first letter, and gives the screen with it: its upper left corner
/// is how the others are to look.
fn type_first(watch: &Watch, key: u8) -> Result<crate::picture::Picture> {
    watch.wait_rest()?;
    let before = watch.picture()?;
    watch.press(key)?;
    watch.release(key)?;
    wait::until_true("the first letter is there", || Ok(watch.picture()? != before))?;
    watch.wait_rest()?;
    watch.picture()
}
