//! Eyes on a DTU's window: the newest page of the notebook that is to be seen
//! there, and for how long none came.

use super::page::{Page, SIZE_PX};
use crate::events::now_us;
use crate::picture::Picture;
use crate::screen::Screen;
use crate::wait;
use anyhow::{Context, Result};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use x11rb::protocol::xproto::Window;

/// Between two looks at the window, and so by how much a gap may be wrong.
const LOOK_EVERY: Duration = Duration::from_millis(4);

/// What was seen so far.
#[derive(Debug)]
pub struct Eyes {
    seen: Mutex<Seen>,
    stop: AtomicBool,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    /// None while nobody looks.
    window: Option<Window>,
    page: Option<Page>,
    /// When the page was first seen, by CLOCK_MONOTONIC.
    page_us: u64,
    /// The longest time from one page to the next.
    longest_us: u64,
}

impl Eyes {
    /// Eyes on this window.
    pub fn on(window: Window) -> Self {
        let seen = Seen { window: Some(window), page: None, page_us: 0, longest_us: 0 };
        Eyes { seen: Mutex::new(seen), stop: AtomicBool::new(false) }
    }

    /// The user looks at this window from now on.
    pub fn turn_to(&self, window: Window) {
        let mut seen = self.lock();
        *seen = Seen { window: Some(window), page: None, page_us: 0, ..*seen };
    }

    /// The user looks at nothing: on the way to another window there is no gap.
    pub fn close(&self) {
        let mut seen = self.lock();
        *seen = Seen { window: None, page: None, page_us: 0, ..*seen };
    }

    /// The newest page.
    pub fn page(&self) -> Option<Page> {
        self.lock().page
    }

    /// Waits for a page like this.
    pub fn wait_page(&self, what: &str, wanted: impl Fn(&Page) -> bool) -> Result<Page> {
        wait::until(what, wait::PATIENCE, || Ok(self.page().filter(|page| wanted(page))))
            .with_context(|| format!("the last page was {:?}", self.page()))
    }

    /// The longest time without a new page, in microseconds.
    pub fn longest_us(&self) -> u64 {
        self.lock().longest_us
    }

    /// No more looks.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    fn window(&self) -> Option<Window> {
        self.lock().window
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Looks until told to stop.
    pub fn work(&self, screen: &Screen) -> Result<()> {
        let connection = screen.connect_again()?;
        let mut last = None;
        while !self.stop.load(Ordering::SeqCst) {
            let Some(window) = self.window() else {
                std::thread::sleep(LOOK_EVERY);
                continue;
            };
            let picture = match Picture::of(&connection, window, SIZE_PX.0, SIZE_PX.1) {
                // A window may go as soon as nobody looks at it any more.
                Err(_) if self.window() != Some(window) => continue,
                picture => picture?,
            };
            let at_us = now_us();
            if last.as_ref() != Some(&picture) {
                if let Some(page) = Page::read(&picture) {
                    self.lock().note(window, page, at_us);
                }
                last = Some(picture);
            }
            self.lock().wait(at_us);
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }
}

impl Seen {
    fn note(&mut self, window: Window, page: Page, at_us: u64) {
        if self.window != Some(window) || self.page == Some(page) {
            return;
        }
        self.wait(at_us);
        (self.page, self.page_us) = (Some(page), at_us);
    }

    fn wait(&mut self, at_us: u64) {
        if self.page.is_some() {
            self.longest_us = self.longest_us.max(at_us.saturating_sub(self.page_us));
        }
    }
}
