//! From nothing to the whole picture.

use super::stage::Stage;
use super::watch::Sight;
use crate::events::now_us;
use crate::process::Process;
use crate::wait;
use anyhow::{Context, Result};
use std::time::Duration;

/// Between two connections: the viewer is done with the last one.
const PAUSE: Duration = Duration::from_millis(500);

/// A session that shows one picture, to which a viewer connects.
pub struct Connect<'a> {
    stage: &'a Stage<'a>,
    sight: Sight,
    _drawing: Process,
}

impl<'a> Connect<'a> {
    /// The session draws its picture, and the viewer shows it.
    pub fn prepare(stage: &'a Stage<'a>) -> Result<Self> {
        let drawing = stage.draw(&["still"])?;
        let sight = Sight::whole(stage.session.picture()?);
        stage.watch.wait_for(&sight, wait::PATIENCE).context("before the first connection")?;
        Ok(Connect { stage, sight, _drawing: drawing })
    }

    /// Waits until the picture is gone from the viewer's screen.
    pub fn wait_gone(&self) -> Result<()> {
        wait::until_true("the picture is gone", || Ok(!self.stage.watch.shows(&self.sight)?))?;
        std::thread::sleep(PAUSE);
        self.stage.watch.forget()
    }

    /// Begins a connection; gives how long it took until all of the picture was
    /// there, in microseconds, and what it was begun with.
    pub fn time<T>(&self, begin: impl FnOnce() -> Result<T>) -> Result<(u64, T)> {
        let began_us = now_us();
        std::thread::scope(|scope| {
            // The beginning may itself wait for something.
            let seen = scope.spawn(|| self.stage.watch.wait_for(&self.sight, wait::PATIENCE));
            let begun = begin();
            let seen_us = seen.join().map_err(|_| anyhow::anyhow!("the watching panicked"))?;
            if seen_us.is_err() {
                // For who reads the error: what was there instead.
                self.stage.is_exact("connect")?;
            }
            Ok((seen_us.context("a connection")? - began_us, begun?))
        })
    }
}
