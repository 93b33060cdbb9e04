//! Whether anybody uses this DTU, and what wakes it once nobody did.
//!
//! The key or button that wakes a dark screen was meant for nothing that its
//! user could see: it is kept from session and on-screen display, from its
//! press to its release.

use winit::event::MouseButton;

/// Something that can be held down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// A key, by its scan code.
    Key(u32),
    /// A button of the pointer.
    Button(MouseButton),
}

/// When the user did something last, and whether the screen is dark since.
/// Times are milliseconds of one clock that only goes forward.
#[derive(Debug)]
pub struct Idle {
    /// How long nobody has to do anything; never if `None`.
    dark_after_ms: Option<u64>,
    used_at_ms: u64,
    dark: bool,
    /// What woke the screen, until it is let go.
    waking: Option<Held>,
}

impl Idle {
    /// From now on, a screen that fills its display goes dark after this time.
    pub fn new(dark_after_ms: Option<u64>, now_ms: u64) -> Self {
        Idle { dark_after_ms, used_at_ms: now_ms, dark: false, waking: None }
    }

    /// True if the screen is to be dark.
    pub fn is_dark(&self) -> bool {
        self.dark
    }

    /// Somebody is there: a card came or went, or the pointer moved. Tells if
    /// that woke the screen.
    pub fn used(&mut self, now_ms: u64) -> bool {
        self.used_at_ms = now_ms;
        std::mem::take(&mut self.dark)
    }

    /// A key or button changed. Tells if others may hear of it.
    pub fn changed(&mut self, held: Held, pressed: bool, now_ms: u64) -> bool {
        if self.used(now_ms) && pressed {
            self.waking = Some(held);
        }
        let passes = self.waking != Some(held);
        if !passes && !pressed {
            self.waking = None;
        }
        passes
    }

    /// What was held is let go where nobody tells us.
    pub fn forget(&mut self) {
        self.waking = None;
    }

    /// Darkens the screen if it is time, and wakes it if it no longer fills
    /// its display: a window among others leaves that to who looks after the
    /// display.
    pub fn turn(&mut self, fills_display: bool, now_ms: u64) {
        if !fills_display {
            self.used(now_ms);
        } else if self.dark_at_ms().is_some_and(|at_ms| at_ms <= now_ms) {
            self.dark = true;
        }
    }

    /// When the screen goes dark unless somebody does something.
    pub fn dark_at_ms(&self) -> Option<u64> {
        let after_ms = self.dark_after_ms.filter(|_| !self.dark)?;
        Some(self.used_at_ms.saturating_add(after_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACE: Held = Held::Key(57);
    const A: Held = Held::Key(30);
    const LEFT: Held = Held::Button(MouseButton::Left);

    fn dark() -> Idle {
        let mut idle = Idle::new(Some(1_000), 0);
        idle.turn(true, 1_000);
        assert!(idle.is_dark());
        idle
    }

    #[test]
    fn it_goes_dark_once_nobody_did_anything_for_that_long() {
        let mut idle = Idle::new(Some(1_000), 0);
        idle.turn(true, 999);
        assert!(!idle.is_dark());
        assert!(idle.changed(A, true, 999));
        assert_eq!(idle.dark_at_ms(), Some(1_999));
        idle.turn(true, 1_998);
        assert!(!idle.is_dark());
        idle.turn(true, 1_999);
        assert!(idle.is_dark());
        assert_eq!(idle.dark_at_ms(), None);
    }

    #[test]
    fn what_wakes_it_is_kept_from_others_until_it_is_let_go() {
        for held in [SPACE, LEFT] {
            let mut idle = dark();
            assert!(!idle.changed(held, true, 5_000));
            assert!(!idle.is_dark());
            // It repeats, and another key comes between.
            assert!(!idle.changed(held, true, 5_100));
            assert!(idle.changed(A, true, 5_100));
            assert!(idle.changed(A, false, 5_200));
            assert!(!idle.changed(held, false, 5_200));
            assert!(idle.changed(held, true, 5_300));
            assert!(idle.changed(held, false, 5_400));
        }
    }

    #[test]
    fn what_was_down_before_comes_up_for_all() {
        let mut idle = Idle::new(Some(1_000), 0);
        assert!(idle.changed(A, true, 0));
        idle.turn(true, 1_000);
        assert!(idle.is_dark());
        assert!(idle.changed(A, false, 2_000));
        assert!(!idle.is_dark());
    }

    #[test]
    fn a_card_wakes_it_and_keeps_no_key_back() {
        let mut idle = dark();
        assert!(idle.used(5_000));
        assert!(!idle.used(5_001));
        assert!(idle.changed(A, true, 5_002));
    }

    #[test]
    fn a_window_among_others_is_never_dark() {
        let mut idle = Idle::new(Some(1_000), 0);
        idle.turn(false, 9_000);
        assert!(!idle.is_dark());
        let mut idle = dark();
        idle.turn(false, 9_000);
        assert!(!idle.is_dark());
        assert_eq!(idle.dark_at_ms(), Some(10_000));
        let mut never = Idle::new(None, 0);
        never.turn(true, u64::MAX);
        assert!(!never.is_dark() && never.dark_at_ms().is_none());
    }

    #[test]
    fn a_release_that_nobody_told_keeps_no_later_press_back() {
        let mut idle = dark();
        assert!(!idle.changed(A, true, 5_000));
        idle.forget();
        assert!(idle.changed(A, true, 6_000));
    }
}
