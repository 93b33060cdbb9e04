//! Waiting for something that can be seen, with a deadline: never a sleep and
//! a hope.

use anyhow::{Result, bail};
use std::time::{Duration, Instant};

/// How long anything may take here before it counts as failed. Far longer than
/// it takes, because the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(20);

const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Looks until `look` gives something, at most for `timeout`.
pub fn until<T>(
    what: &str,
    timeout: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if start.elapsed() >= timeout {
            bail!("waited {} s in vain: {what}", timeout.as_secs_f32());
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Looks until `look` says yes, at most for [`PATIENCE`].
pub fn until_true(what: &str, mut look: impl FnMut() -> Result<bool>) -> Result<()> {
    until(what, PATIENCE, || Ok(look()?.then_some(())))
}

/// Looks for all of `time`, and fails as soon as `look` says no.
pub fn throughout(
    what: &str,
    time: Duration,
    mut look: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let start = Instant::now();
    while start.elapsed() < time {
        if !look()? {
            bail!("no longer after {} s: {what}", start.elapsed().as_secs_f32());
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}
