//! The program that draws the workloads, as an ordinary X program does: a
//! window, core drawing, pictures through shared memory.
//!
//! It says `ready` when it can be seen, waits for the file that it is told
//! (where there is one) before it begins, says `done` at its end, and stays
//! until it is killed.

use anyhow::{Context, Result, bail};
use canvas::Canvas;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};
use x11rb::protocol::Event;

mod canvas;
pub mod images;
pub mod text;

/// The window that is dragged, width and height.
pub const DRAGGED_PX: (u16, u16) = (400, 300);
/// How often the dragged window moves, and the video's next picture comes.
const DRAG_EVERY: Duration = Duration::from_millis(20);
const FRAME_EVERY: Duration = Duration::from_millis(40);
/// The window that answers keys, at the upper left: a line of text, and below
/// it an even ground.
pub const KEYS_PX: (u16, u16) = (64, 32);
/// How many photographs there are that follow each other quickly.
const SLIDES: u64 = 4;
const PAGE_EVERY: Duration = Duration::from_secs(1);
/// How many pictures of each part of the video there are; they are drawn
/// before it begins, and shown to and fro.
const FRAMES_DRAWN: u32 = 50;

/// Obeys the command line.
pub fn obey(words: &[String]) -> Result<()> {
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["stage"] => stage(),
        ["colors"] => colors(),
        ["keys"] => keys(),
        ["still"] => still(),
        ["drag", ms, go] => drag(ms.parse()?, Path::new(go)),
        ["pages", count, go] => pages(count.parse()?, Path::new(go)),
        ["video", ms, go] => video(ms.parse()?, Path::new(go)),
        ["slides", end] => slides(Path::new(end)),
        _ => bail!(
            "usage: afterglow-test-drawing stage | colors | keys | still | drag MS GO | \
             pages COUNT GO | video MS GO | slides END"
        ),
    }
}

/// The colour of the window of `colors` after so many keys: each differs from
/// the one before in all channels.
pub fn color(keys: u32) -> u32 {
    let mixed = images::mixed(u64::from(keys) + 1);
    let high = if keys.is_multiple_of(2) { 0x80 } else { 0 };
    (0..3).fold(0, |color, channel| color << 8 | high | (mixed >> (8 * channel)) as u32 & 0x7f)
}

fn say(word: &str) -> Result<()> {
    println!("{word}");
    std::io::stdout().flush().context("nobody listens")
}

fn wait_for(go: &Path) {
    while !go.exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Calls `step` with 0, 1, 2... at even times, for so long. A step that is due
/// while another works is left out, as in a player.
fn play(every: Duration, length: Duration, mut step: impl FnMut(u32) -> Result<()>) -> Result<()> {
    let start = Instant::now();
    let count = (length.as_nanos() / every.as_nanos()) as u32;
    let mut number = 0;
    loop {
        std::thread::sleep((every * number).saturating_sub(start.elapsed()));
        step(number)?;
        if number + 1 >= count {
            return Ok(());
        }
        let due = (start.elapsed().as_nanos() / every.as_nanos()) as u32;
        number = (number + 1).max(due.min(count - 1));
    }
}

fn linger() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// Nothing but an even ground: what the other programs are shown on.
fn stage() -> Result<()> {
    let _canvas = Canvas::whole(0x0020_3040)?;
    linger()
}

/// Another colour in all of the window at each key.
fn colors() -> Result<()> {
    let canvas = Canvas::whole(color(0))?;
    say("ready")?;
    let mut keys = 0;
    loop {
        if let Event::KeyPress(_) = canvas.next_event()? {
            keys += 1;
            canvas.fill(color(keys))?;
        }
    }
}

/// Another number on another colour in a small window at each key, of which it
/// says the code.
fn keys() -> Result<()> {
    let canvas = Canvas::place(color(0), (0, 0), KEYS_PX)?;
    say("ready")?;
    let mut keys = 0;
    loop {
        if let Event::KeyPress(key) = canvas.next_event()? {
            keys += 1;
            canvas.clear(color(keys))?;
            canvas.write_lines(&[format!("{keys:08}")], 8)?;
            say(&key.detail.to_string())?;
        }
    }
}

/// One page that stays.
fn still() -> Result<()> {
    let mut canvas = Canvas::whole(0)?;
    page(&mut canvas, 0)?;
    say("ready")?;
    linger()
}

/// A window is moved over a textured ground.
fn drag(ms: u64, go: &Path) -> Result<()> {
    let mut canvas = Canvas::whole(0)?;
    let (width_px, height_px) = canvas.size_px();
    canvas.set_background(&images::texture(width_px, height_px))?;
    let (dragged_width_px, dragged_height_px) = DRAGGED_PX;
    let mut window = Canvas::place(0, (40, 40), DRAGGED_PX)?;
    window.set_background(&images::photo(dragged_width_px, dragged_height_px, 77))?;
    say("ready")?;
    wait_for(go);
    let (room_x, room_y) = (width_px - dragged_width_px, height_px - dragged_height_px);
    play(DRAG_EVERY, Duration::from_millis(ms), |step| {
        // A wide and uneven way, twice around in five seconds.
        let turn = f64::from(step) / 125.0 * std::f64::consts::TAU;
        let x_px = f64::from(room_x) * (0.5 - 0.45 * turn.cos());
        let y_px = f64::from(room_y) * (0.5 - 0.45 * (turn * 1.5).cos());
        window.move_to(x_px as i32, y_px as i32)
    })?;
    say("done")?;
    linger()
}

/// Pages that fill the screen, one a second: a photograph, a page of text, and
/// so on.
fn pages(count: u32, go: &Path) -> Result<()> {
    let mut canvas = Canvas::whole(0)?;
    let (width_px, height_px) = canvas.size_px();
    // Drawn before, so that drawing is no part of what is measured.
    let photos: Vec<_> = (0..count.div_ceil(2))
        .map(|number| images::photo(width_px, height_px, 100 + u64::from(number)))
        .collect();
    say("ready")?;
    wait_for(go);
    play(PAGE_EVERY, PAGE_EVERY * count, |number| {
        if number.is_multiple_of(2) {
            let photo = &photos[number as usize / 2];
            return canvas.put(photo, (0, 0), (width_px, height_px));
        }
        canvas.clear(0x00ff_ffff)?;
        canvas.write_lines(&text::lines(u64::from(number), 55), 8)
    })?;
    say("done")?;
    linger()
}

/// Another photograph in all of the screen, as often as a video's pictures
/// come, until the file is there.
fn slides(end: &Path) -> Result<()> {
    let mut canvas = Canvas::whole(0)?;
    let (width_px, height_px) = canvas.size_px();
    let photos: Vec<_> =
        (0..SLIDES).map(|number| images::photo(width_px, height_px, 200 + number)).collect();
    say("ready")?;
    for photo in photos.iter().cycle().take_while(|_| !end.exists()) {
        let due = Instant::now() + FRAME_EVERY;
        canvas.put(photo, (0, 0), (width_px, height_px))?;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    say("done")?;
    linger()
}

/// Half a photograph, half text.
fn page(canvas: &mut Canvas, number: u64) -> Result<()> {
    let (width_px, height_px) = canvas.size_px();
    canvas.clear(0x00ff_ffff)?;
    canvas.write_lines(&text::lines(number, 55), width_px as i16 / 2 + 8)?;
    let photo = images::photo(width_px / 2, height_px, number);
    canvas.put(&photo, (0, 0), (width_px / 2, height_px))
}

/// A test pattern with moving parts, then a fractal that changes everywhere;
/// half as wide and half as high as the screen.
fn video(ms: u64, go: &Path) -> Result<()> {
    let mut canvas = Canvas::whole(0x0020_3040)?;
    let (screen_width_px, screen_height_px) = canvas.size_px();
    let size_px @ (width_px, height_px) = (screen_width_px / 2, screen_height_px / 2);
    let place = (width_px as i16 / 2, height_px as i16 / 2);
    let pattern: Vec<_> =
        (0..FRAMES_DRAWN).map(|number| images::pattern(width_px, height_px, number)).collect();
    let fractal: Vec<_> =
        (0..FRAMES_DRAWN).map(|number| images::fractal(width_px, height_px, number)).collect();
    say("ready")?;
    wait_for(go);
    for frames in [pattern, fractal] {
        play(FRAME_EVERY, Duration::from_millis(ms / 2), |number| {
            let there = number % (2 * FRAMES_DRAWN);
            let frame = there.min(2 * FRAMES_DRAWN - 1 - there) as usize;
            canvas.put(&frames[frame], place, size_px)
        })?;
    }
    say("done")?;
    linger()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_changes_every_channel() {
        for keys in 0..1000 {
            let (before, after) = (color(keys).to_be_bytes(), color(keys + 1).to_be_bytes());
            assert!((1..4).all(|channel| before[channel] != after[channel]), "{keys}");
        }
    }

    #[test]
    fn a_player_is_on_time_and_leaves_out_what_it_missed() {
        let (every, mut seen) = (Duration::from_millis(10), Vec::new());
        let start = Instant::now();
        play(every, Duration::from_millis(100), |number| {
            seen.push(number);
            if number == 2 {
                std::thread::sleep(Duration::from_millis(35));
            }
            Ok(())
        })
        .unwrap();
        assert!(start.elapsed() >= Duration::from_millis(90));
        assert!(seen.is_sorted() && seen.len() < 10, "{seen:?}");
        assert_eq!((seen[0], seen.last()), (0, Some(&9)));
    }
}
