//! Watching a DTU's window from outside: when the on-screen display comes up,
//! and when a new service's number is to be seen.

use super::pattern::{Nonce, SIZE_PX};
use crate::dtu::Dtu;
use crate::events::now_us;
use crate::picture::Picture;
use anyhow::{Context, Result};
use std::time::Duration;
use x11rb::rust_connection::RustConnection;

/// How often the window is looked at, and so by how much a time may be late.
const LOOK_EVERY: Duration = Duration::from_millis(4);

/// The corner of a DTU's window that its session's pattern is in.
pub struct Corner<'a> {
    connection: &'a RustConnection,
    window: u32,
}

/// What was seen, and when, by CLOCK_MONOTONIC.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// When the picture first changed: it is dimmed as the panel comes up.
    pub changed_us: u64,
    /// When the new number was there.
    pub frame_us: u64,
    /// The new number.
    pub nonce: Nonce,
}

impl<'a> Corner<'a> {
    /// That of this DTU.
    pub fn of(dtu: &Dtu<'_>, connection: &'a RustConnection) -> Self {
        Corner { connection, window: dtu.window() }
    }

    /// What is there now.
    pub fn picture(&self) -> Result<Picture> {
        Picture::of(self.connection, self.window, SIZE_PX.0, SIZE_PX.1)
    }

    /// Waits for a number, at most for `timeout`.
    pub fn wait_number(&self, timeout: Duration) -> Result<Nonce> {
        let found = crate::wait::until("a service's number is in the window", timeout, || {
            Ok(Nonce::read(&self.picture()?))
        });
        found.context("the session draws nothing")
    }

    /// Watches from now on until there is the number of a service that started
    /// after `killed_us`; `None` if none comes in time.
    pub fn watch(
        &self,
        before: &Picture,
        old: Nonce,
        killed_us: u64,
        timeout: Duration,
    ) -> Result<Option<Seen>> {
        let end_us = killed_us + timeout.as_micros() as u64;
        let mut changed_us = None;
        loop {
            let picture = self.picture()?;
            let at_us = now_us();
            if changed_us.is_none() && picture != *before {
                changed_us = Some(at_us);
            }
            if let (Some(changed_us), Some(nonce)) = (changed_us, Nonce::read(&picture))
                && nonce.number != old.number
                && nonce.started_us > killed_us
            {
                return Ok(Some(Seen { changed_us, frame_us: at_us, nonce }));
            }
            if at_us > end_us {
                return Ok(None);
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}
