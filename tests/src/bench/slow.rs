//! What a slow line does to a session (`make bench-slow`): how soon a key's
//! pixels are there, alone and while photographs fill the screen one after the
//! other; how many pictures are shown meanwhile; how soon a whole one is there.
//!
//! The host's interface sends no more than it is told ([`Node::limit_sending`]);
//! all else is as in [`super::display`].
//!
//! [`Node::limit_sending`]: crate::netns::lan::Node::limit_sending

use super::display::afterglow;
use super::display::drawing::{KEYS_PX, color};
use super::display::stage::{SIZE_PX, Stage, wait_said};
use super::display::watch::{Sight, Watch, pictures};
use crate::dtu::Dtu;
use crate::events::now_us;
use crate::keys::Keyboard;
use crate::picture::Picture;
use crate::process::Process;
use crate::site::Site;
use crate::wait;
use anyhow::{Context, Result, anyhow, ensure};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How many keys are pressed each time, unless `KEYS` says otherwise.
const KEYS: u64 = 60;
/// Between two keys there is at least this.
const KEY_EVERY_US: u64 = 300_000;
/// How long it may take until the screen is that of the session, once nothing
/// changes there any more.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);
/// The colour below the number is looked at, which is drawn before it.
const GROUND_PX: (usize, usize) = (KEYS_PX.0 as usize, 12);
/// What is sent a second at most; 0 is without a limit.
const LINES_MBIT_PER_S: [u32; 3] = [2, 20, 0];

/// From keys to their pixels, in microseconds, in the order of the keys.
pub type Delays = Vec<u64>;

/// What was seen while photographs filled the screen.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// From keys to their pixels.
    pub delays_us: Delays,
    /// Pictures shown a second.
    pub pictures_per_s: f64,
    /// From the last photograph until it was there, bit for bit.
    pub settled_us: u64,
}

/// A session on one host and a DTU that shows all of it, at work.
pub fn on_stage<T>(name: &str, work: impl FnOnce(&Site, &Dtu, &Stage) -> Result<T>) -> Result<T> {
    let (site, desk) = afterglow::prepare(name, "")?;
    let screen = site.screen(SIZE_PX.0, SIZE_PX.1)?;
    let dtu = afterglow::open(&site, &screen, &desk, "unit")?;
    dtu.wait_first_frame(0)?;
    let stage = afterglow::stage(&site, &screen, &desk, &dtu)?;
    let done = work(&site, &dtu, &stage)?;
    drop(stage);
    drop(dtu);
    site.passed()?;
    Ok(done)
}

/// A program in the session that answers keys, and what it was told.
struct Answering {
    program: Process,
    pressed: Vec<u8>,
}

impl Answering {
    fn start(stage: &Stage) -> Result<Self> {
        let program = stage.draw(&["keys"])?;
        stage.watch.wait_for(&ground(0), SETTLED_WITHIN).context("what answers keys is there")?;
        Ok(Answering { program, pressed: Vec::new() })
    }

    /// Presses so many keys, each when the one before was answered.
    fn press(&mut self, stage: &Stage, count: u64) -> Result<Delays> {
        let mut delays_us = Vec::new();
        for letter in ('a'..='z').cycle().take(count as usize) {
            let key = Keyboard::Us.stroke(letter).context("there is a key for it")?.key;
            self.pressed.push(key);
            let pressed_us = stage.watch.press(key)?;
            stage.watch.release(key)?;
            let answer = ground(self.pressed.len() as u32);
            let seen_us = stage.watch.wait_for(&answer, wait::PATIENCE)?;
            delays_us.push(seen_us - pressed_us);
            let left_us = (pressed_us + KEY_EVERY_US).saturating_sub(now_us());
            std::thread::sleep(Duration::from_micros(left_us));
        }
        Ok(delays_us)
    }

    /// Fails unless each key came, once and in its turn.
    fn expect_all(&self) -> Result<()> {
        let said = self.program.log_text();
        let came: Vec<u8> = said.lines().filter_map(|line| line.parse().ok()).collect();
        let wanted: Vec<u8> = self.pressed.iter().map(|key| key + X_KEY_OFFSET).collect();
        ensure!(came == wanted, "the keys {wanted:?} came as {came:?}");
        Ok(())
    }
}

/// X key codes are evdev's and 8.
const X_KEY_OFFSET: u8 = 8;

/// What is below the number after so many keys.
fn ground(keys: u32) -> Sight {
    let [_, red, green, blue] = color(keys).to_be_bytes();
    let (width_px, height_px) = GROUND_PX;
    let pixels = vec![[blue, green, red, 0]; width_px * height_px];
    let below = (0, usize::from(KEYS_PX.1) - height_px);
    Sight::part(&Picture { width_px, height_px, pixels }, below, GROUND_PX)
}

/// Presses keys while nothing else happens.
pub fn alone(stage: &Stage, keys: u64) -> Result<Delays> {
    stage.watch.wait_rest()?;
    let mut answering = Answering::start(stage)?;
    let delays_us = answering.press(stage, keys)?;
    answering.expect_all()?;
    Ok(delays_us)
}

/// Presses keys while photographs fill the screen; the picture is exact at the
/// end, and no key is lost.
pub fn loaded(stage: &Stage, keys: u64) -> Result<Loaded> {
    let end = stage.directory.join(format!("end-{}", now_us()));
    let mut slides = stage.draw(&["slides", &end.to_string_lossy()])?;
    let mut answering = Answering::start(stage)?;
    let stop = AtomicBool::new(false);
    let watch = Watch::on(stage.screen)?;
    let began_us = now_us();
    let (delays_us, changes_us) = std::thread::scope(|scope| {
        let noted = scope.spawn(|| watch.note_changes(&stop));
        let pressed = answering.press(stage, keys);
        stop.store(true, Ordering::SeqCst);
        let changes_us = noted.join().map_err(|_| anyhow!("the watching panicked"))??;
        anyhow::Ok((pressed?, changes_us))
    })?;
    let time_s = (now_us() - began_us) as f64 / 1e6;
    std::fs::write(&end, "")?;
    wait_said(&mut slides, "done", wait::PATIENCE)?;
    let settled_us = settle(stage)?;
    answering.expect_all()?;
    ensure!(stage.is_exact("slides")?, "the picture is not exact");
    Ok(Loaded { delays_us, pictures_per_s: pictures(&changes_us) as f64 / time_s, settled_us })
}

/// A photograph takes the place of an even ground: how long until it is there.
pub fn page(stage: &Stage) -> Result<u64> {
    let go = stage.directory.join(format!("go-{}", now_us()));
    let mut drawing = stage.draw(&["pages", "1", &go.to_string_lossy()])?;
    stage.watch.wait_rest()?;
    std::fs::write(&go, "")?;
    wait_said(&mut drawing, "done", wait::PATIENCE)?;
    let whole_us = settle(stage)?;
    ensure!(stage.is_exact("page")?, "the picture is not exact");
    Ok(whole_us)
}

/// Waits until all of the session's picture is there; gives how long that took.
fn settle(stage: &Stage) -> Result<u64> {
    let from_us = now_us();
    let whole = Sight::whole(stage.session.picture()?);
    let there_us = stage.watch.wait_for(&whole, SETTLED_WITHIN)?;
    Ok(there_us.saturating_sub(from_us))
}

/// Measures, and prints what was measured.
pub fn run() -> Result<()> {
    let keys = super::from_environment("KEYS", KEYS)?;
    println!("Measured on {}", super::machine::today_here());
    println!(
        "| Mbit/s | key → pixels alone, ms p50 / p90 | under load, ms p50 / p90 / max | pictures a second under load | the last of them whole, s | a photograph whole, s |"
    );
    println!("| ---: | ---: | ---: | ---: | ---: | ---: |");
    for mbit_per_s in LINES_MBIT_PER_S {
        on_stage("bench-slow", |site, _, stage| {
            if mbit_per_s > 0 {
                site.hosts[0].node()?.limit_sending(mbit_per_s)?;
            }
            let whole_us = page(stage)?;
            let (alone_us, loaded) = (alone(stage, keys)?, loaded(stage, keys)?);
            println!(
                "| {} | {} | {} / {} | {:.1} | {:.1} | {:.1} |",
                if mbit_per_s > 0 { mbit_per_s.to_string() } else { "no limit".to_owned() },
                in_ms(&alone_us, &[50, 90]),
                in_ms(&loaded.delays_us, &[50, 90]),
                loaded.delays_us.iter().max().copied().unwrap_or(0) / 1000,
                loaded.pictures_per_s,
                loaded.settled_us as f64 / 1e6,
                whole_us as f64 / 1e6,
            );
            Ok(())
        })?;
    }
    Ok(())
}

/// Percentiles of delays, in milliseconds.
fn in_ms(delays_us: &[u64], percents: &[usize]) -> String {
    let of = |percent: &usize| (percentile_us(delays_us, *percent) / 1000).to_string();
    percents.iter().map(of).collect::<Vec<_>>().join(" / ")
}

/// The delay that so many of a hundred do not exceed.
pub fn percentile_us(delays_us: &[u64], percent: usize) -> u64 {
    let mut sorted = delays_us.to_vec();
    sorted.sort_unstable();
    super::percentile(&sorted, percent)
}
