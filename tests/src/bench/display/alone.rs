//! No product at all: the same programs on a screen like the viewer's. What is
//! measured of them is the floor, the measuring itself included.

use super::latency;
use super::plan::{Plan, Workload};
use super::stage::{SIZE_PX, drawing, start_drawing, terminal};
use super::table::Measured;
use super::watch::Watch;
use crate::process::Process;
use crate::scratch::Scratch;
use crate::screen::Screen;
use anyhow::Result;

/// Its name in the table.
pub const NAME: &str = "screen alone";

/// Measures the latencies that the plan has.
pub fn measure(plan: &Plan) -> Result<Measured> {
    let scratch = Scratch::new("bench-display-alone")?;
    let mut measured = Measured::new(NAME);
    if plan.has(Workload::Latency) || plan.has(Workload::Letter) {
        let screen = Screen::start(scratch.path(), SIZE_PX.0, SIZE_PX.1)?;
        screen.point_at(screen.root(), 20, 20)?;
        let watch = Watch::on(&screen)?;
        if plan.has(Workload::Latency) {
            let mut command = drawing(&["colors"])?;
            screen.lend_to(&mut command);
            let _drawing = start_drawing(command, scratch.path(), &["colors"])?;
            measured.latency_us = latency::keys(&watch, plan.keys())?;
        }
        if plan.has(Workload::Letter) {
            let mut command = terminal(&["cat"]);
            screen.lend_to(&mut command);
            let log = scratch.path().join("xterm.log");
            let _terminal = Process::spawn("xterm", &mut command, &log)?;
            measured.letter_us = latency::letters(&watch, plan.keys())?;
        }
    }
    scratch.passed()?;
    Ok(measured)
}
