//! What happens in the session, and what it costs.

use super::counters;
use super::drawing::text;
use super::latency;
use super::plan::{Plan, Workload};
use super::stage::{Cost, Stage, wait_said};
use super::table::{Measured, Traffic};
use super::watch::{Watch, pictures};
use crate::events::now_us;
use crate::keys::{ENTER, Keyboard};
use crate::wait;
use anyhow::{Context, Result, anyhow};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Between two keys that are typed.
const TYPE_EVERY: Duration = Duration::from_millis(100);
/// Scrolling may take so long.
const SCROLL_WITHIN: Duration = Duration::from_secs(300);

/// Measures what the plan has, but connections.
pub fn run(stage: &Stage, plan: &Plan, measured: &mut Measured) -> Result<()> {
    if plan.has(Workload::Latency) {
        let _drawing = stage.draw(&["colors"])?;
        measured.latency_us = latency::keys(&stage.watch, plan.keys())?;
        measured.note_exact("latency", stage.is_exact("latency")?);
    }
    if plan.has(Workload::Letter) {
        let _terminal = stage.terminal(&["cat"])?;
        measured.letter_us = latency::letters(&stage.watch, plan.keys())?;
        measured.note_exact("letter", stage.is_exact("letter")?);
    }
    type TrafficOf = fn(&Stage, &Plan) -> Result<Traffic>;
    let workloads: [(&'static str, Workload, TrafficOf); 6] = [
        ("typing", Workload::Typing, typing),
        ("scroll", Workload::Scroll, scroll),
        ("drag", Workload::Drag, drag),
        ("pages", Workload::Pages, pages),
        ("video", Workload::Video, video),
        ("idle", Workload::Idle, idle),
    ];
    for (name, workload, traffic_of) in workloads {
        if plan.has(workload) {
            let traffic =
                traffic_of(stage, plan).with_context(|| format!("the workload {name}"))?;
            measured.note_exact(name, traffic.exact);
            measured.traffic.push((workload, traffic));
        }
    }
    measured.memory_mb =
        Some((counters::pss_mb(&stage.session_pids), counters::pss_mb(&[stage.viewer_pid])));
    Ok(())
}

/// Waits until the terminal is to be seen in the session.
fn wait_terminal(stage: &Stage) -> Result<()> {
    wait::until_true("the terminal is there", || {
        Ok(stage.session.picture()?.at(640, 360) == [0xff, 0xff, 0xff, 0])
    })
}

/// What it takes until the screen is at rest after this work, and how many
/// pictures were to be seen. From the beginning to the last of them is the time.
fn count(stage: &Stage, name: &str, work: impl FnOnce() -> Result<()>) -> Result<Traffic> {
    stage.watch.wait_rest()?;
    let stop = AtomicBool::new(false);
    let watch = Watch::on(stage.screen)?;
    let (before, began_us) = (stage.used()?, now_us());
    let (cost, changes_us) = std::thread::scope(|scope| {
        let noted = scope.spawn(|| watch.note_changes(&stop));
        let worked = work().and_then(|()| stage.watch.wait_rest());
        let cost = stage.cost_since(before);
        stop.store(true, Ordering::SeqCst);
        let changes_us = noted.join().map_err(|_| anyhow!("the watching panicked"))??;
        worked?;
        anyhow::Ok((cost?, changes_us))
    })?;
    let time_us = changes_us.last().map_or(0, |last_us| last_us.saturating_sub(began_us));
    Ok(Traffic {
        cost: Cost { time_s: time_us as f64 / 1e6, ..cost },
        pictures: pictures(&changes_us) as u64,
        exact: stage.is_exact(name)?,
    })
}

/// Keys are typed in xterm.
fn typing(stage: &Stage, plan: &Plan) -> Result<Traffic> {
    let _terminal = stage.terminal(&["cat"])?;
    wait_terminal(stage)?;
    let letters = ('a'..='z').cycle().take(plan.typed_keys() as usize);
    count(stage, "typing", || {
        let start = Instant::now();
        for (number, letter) in letters.enumerate() {
            std::thread::sleep((TYPE_EVERY * number as u32).saturating_sub(start.elapsed()));
            let key = Keyboard::Us.stroke(letter).context("there is a key for it")?.key;
            stage.watch.press(key)?;
            stage.watch.release(key)?;
        }
        Ok(())
    })
}

/// A file is scrolled through in xterm.
fn scroll(stage: &Stage, plan: &Plan) -> Result<Traffic> {
    let (file, done) = (stage.directory.join("lines.txt"), stage.directory.join("scrolled"));
    let mut lines = text::lines(1, plan.lines()).join("\n");
    lines.push('\n');
    std::fs::write(&file, lines)?;
    let script = "read line; cat \"$0\"; : > \"$1\"; exec sleep 3600";
    let words = [file.to_string_lossy(), done.to_string_lossy()];
    let _terminal = stage.terminal(&["sh", "-c", script, &words[0], &words[1]])?;
    wait_terminal(stage)?;
    count(stage, "scroll", || {
        stage.watch.press(ENTER)?;
        stage.watch.release(ENTER)?;
        let scrolled = || Ok(done.exists().then_some(()));
        wait::until("the lines are scrolled", SCROLL_WITHIN, scrolled)
    })
}

/// A window is dragged over a textured ground.
fn drag(stage: &Stage, plan: &Plan) -> Result<Traffic> {
    drawn(stage, "drag", plan.drag_ms(), Duration::from_millis(plan.drag_ms()))
}

/// Pages, one a second.
fn pages(stage: &Stage, plan: &Plan) -> Result<Traffic> {
    drawn(stage, "pages", plan.pages(), Duration::from_secs(plan.pages()))
}

/// A video.
fn video(stage: &Stage, plan: &Plan) -> Result<Traffic> {
    drawn(stage, "video", plan.video_ms(), Duration::from_millis(plan.video_ms()))
}

/// What one of the drawings costs that begin when they are told to.
fn drawn(stage: &Stage, name: &str, amount: u64, length: Duration) -> Result<Traffic> {
    let go = stage.directory.join(format!("go-{name}"));
    let mut drawing = stage.draw(&[name, &amount.to_string(), &go.to_string_lossy()])?;
    count(stage, name, || {
        std::fs::write(&go, "")?;
        wait_said(&mut drawing, "done", length + wait::PATIENCE)
    })
}

/// Nothing happens in front of a picture.
fn idle(stage: &Stage, plan: &Plan) -> Result<Traffic> {
    let _drawing = stage.draw(&["still"])?;
    count(stage, "idle", || {
        std::thread::sleep(Duration::from_secs(plan.secs));
        Ok(())
    })
}
