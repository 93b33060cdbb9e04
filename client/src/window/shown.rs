//! The window's contents: the session's picture and the on-screen display,
//! drawn when something changed and never else.

use super::present::{Contents, PresentError, PresentOptions, Presenter, Trouble};
use super::{compare, cursor};
use crate::diagnostics::{Facts, Figures};
use crate::osd::Osd;
use crate::render::framebuffer::FrameError;
use crate::render::readback::Readback;
use crate::view::{Ask, Picture, ToWindow, View};
use afterglow_wire::command::{Command, Rect};
use std::sync::Arc;
use std::time::Instant;
use winit::event_loop::{ActiveEventLoop, OwnedDisplayHandle};
use winit::window::{Cursor, CustomCursor, Window};

/// When nothing can be shown just now, it is tried again after this time.
const RETRY_MS: u64 = 100;

/// The pointer's shape in the session.
enum Pointer {
    /// The session did not tell.
    Default,
    /// It has none.
    Hidden,
    /// It has this one.
    Custom(CustomCursor),
}

/// A window and what is on it.
pub struct Shown {
    /// The window.
    pub window: Arc<Window>,
    presenter: Presenter,
    osd: Osd,
    view: View,
    pointer: Pointer,
    /// True if nobody is there to see any of it: all is black.
    dark: bool,
    /// True if the next frame begins a new picture.
    new_picture: bool,
    /// True if what the window shows is not what it should show.
    stale: bool,
    /// Not before this time.
    retry_at_ms: u64,
    /// True if the on-screen display has to be laid out again.
    osd_stale: bool,
    osd_again_at_ms: Option<u64>,
    /// Frames that are applied and not yet shown.
    unshown: Vec<u64>,
}

/// What a turn of the loop brought.
#[derive(Default)]
pub struct Turn {
    /// Frames that the user sees now.
    pub frames_shown: Vec<u64>,
    /// What the user pressed.
    pub asks: Vec<Ask>,
    /// When there is something to do even if nothing happens.
    pub again_at_ms: Option<u64>,
    /// How long a frame took to be applied, if one was.
    pub apply_us: Option<u32>,
    /// How long the window took to be drawn, if it was.
    pub present_us: Option<u32>,
}

impl Shown {
    /// Sets up what draws on this window.
    pub fn new(
        window: Arc<Window>,
        display: OwnedDisplayHandle,
        options: &PresentOptions,
        trouble: &Trouble,
    ) -> Result<Self, PresentError> {
        Ok(Shown {
            presenter: Presenter::new(&window, display, options, trouble)?,
            window,
            osd: Osd::new(),
            view: View { picture: Picture::Blank, panel: None, badge: None },
            pointer: Pointer::Default,
            dark: false,
            new_picture: true,
            stale: true,
            retry_at_ms: 0,
            osd_stale: true,
            osd_again_at_ms: None,
            unshown: Vec::new(),
        })
    }

    /// Starts over on a new device; the picture is lost.
    pub fn rebuilt(
        self,
        display: OwnedDisplayHandle,
        options: &PresentOptions,
        now_ms: u64,
        trouble: &Trouble,
    ) -> Result<Self, PresentError> {
        let Shown { window, view, presenter, .. } = self;
        // A window has one surface at a time.
        drop(presenter);
        let mut shown = Shown::new(window, display, options, trouble)?;
        shown.show(view, now_ms);
        Ok(shown)
    }

    /// True if keys and pointer belong to the session.
    pub fn input_to_session(&self) -> bool {
        self.view.picture != Picture::Blank
            && self.presenter.picture_px().is_some()
            && !self.osd.takes_input()
    }

    /// True if keys and pointer belong to the on-screen display.
    pub fn input_to_osd(&self) -> bool {
        self.osd.takes_input()
    }

    /// A place of the window as the on-screen display wants it.
    pub fn osd_place(&self, x: f64, y: f64) -> egui::Pos2 {
        egui::pos2(x as f32, y as f32) / self.osd.pixels_per_point()
    }

    /// Tells the on-screen display of a key or the pointer.
    pub fn osd_event(&mut self, event: egui::Event) {
        self.osd.event(event);
        self.osd_stale = true;
    }

    /// The session's pixel beneath a place of the window.
    pub fn picture_pixel(&self, x: f64, y: f64) -> Option<(u16, u16)> {
        let (place, picture_px) = self.presenter.placement()?;
        Some(place.picture_pixel(picture_px, x, y))
    }

    /// The window has a new size.
    pub fn resize(&mut self, width_px: u32, height_px: u32) {
        self.presenter.resize(width_px, height_px);
        self.exposed();
        self.osd_stale = true;
    }

    /// The window system lost what the window showed, or should show another
    /// thing now: all of it is drawn.
    pub fn exposed(&mut self) {
        self.presenter.invalidate();
        self.stale = true;
    }

    /// From now on this is up. Tells if a picture went for good.
    pub fn show(&mut self, view: View, now_ms: u64) -> bool {
        let gone = view.picture == Picture::Blank && self.view.picture != Picture::Blank;
        if view.picture == Picture::Blank {
            self.presenter.clear();
            self.pointer = Pointer::Default;
        }
        self.osd.show(view.panel.as_ref(), view.badge.as_ref(), now_ms);
        if view.picture != self.view.picture {
            self.exposed();
        }
        self.osd_stale = true;
        self.view = view;
        self.apply_pointer();
        gone
    }

    /// Shows nothing but black, or everything again. Tells if that is a change.
    pub fn darken(&mut self, dark: bool) -> bool {
        let changed = self.dark != dark;
        self.dark = dark;
        if changed {
            self.exposed();
            self.apply_pointer();
        }
        changed
    }

    /// From now on these figures are up, or none.
    pub fn show_figures(&mut self, figures: Option<Figures>) {
        self.osd.show_figures(figures);
        self.osd_stale = true;
    }

    /// What the diagnostics tell of who draws, and of the picture.
    pub fn facts(&self) -> Facts {
        self.presenter.facts()
    }

    /// A display link is up: the next frame begins a new picture.
    pub fn attached(&mut self) {
        self.new_picture = true;
    }

    /// Applies a whole frame and shows it if that is possible now.
    pub fn frame(
        &mut self,
        number: u64,
        commands: &[Command],
        event_loop: &ActiveEventLoop,
        now_ms: u64,
    ) -> Result<Turn, FrameError> {
        if std::mem::take(&mut self.new_picture) {
            self.presenter.clear();
        }
        let mut turn = Turn::default();
        if self.osd_stale {
            // Else it is drawn once with what was up before, and once without.
            self.run_osd(now_ms, &mut turn);
        }
        let began = Instant::now();
        let applied = self.presenter.apply(commands, &contents(&self.view, &self.osd, self.dark));
        turn.apply_us = Some(us_since(began));
        self.stale = true;
        if applied.is_ok() {
            self.unshown.push(number);
        }
        let shapes = commands.iter().rev().filter_map(|command| match command {
            Command::Cursor(shape) => Some(shape),
            _ => None,
        });
        if let Some(shape) = shapes.take(1).next() {
            self.pointer = match cursor::source(shape) {
                Some(source) => Pointer::Custom(event_loop.create_custom_cursor(source)),
                None => Pointer::Hidden,
            };
            self.apply_pointer();
        }
        self.draw(now_ms, &mut turn);
        applied.map(|()| turn)
    }

    /// Lays out and draws what has to be.
    pub fn turn(&mut self, now_ms: u64) -> Turn {
        let mut turn = Turn::default();
        if self.osd_stale || self.osd_again_at_ms.is_some_and(|at_ms| at_ms <= now_ms) {
            self.run_osd(now_ms, &mut turn);
        }
        if self.stale && self.retry_at_ms <= now_ms {
            self.draw(now_ms, &mut turn);
        }
        turn.again_at_ms =
            self.osd_again_at_ms.into_iter().chain(self.stale.then_some(self.retry_at_ms)).min();
        turn
    }

    /// The session's picture as it is now, if there is one.
    pub fn picture(&mut self) -> Option<compare::Picture> {
        self.presenter.picture()
    }

    /// Makes the pixel in the upper left corner another, and shows that.
    pub fn spoil_pixel(&mut self, now_ms: u64) {
        let color = [0x5a, 0xa5, 0x5a, 0];
        let spoil = [Command::Fill { rect: Rect::new(0, 0, 1, 1), color }];
        let contents = contents(&self.view, &self.osd, self.dark);
        let spoilt = self.presenter.apply(&spoil, &contents);
        if let Err(error) = spoilt {
            tracing::warn!(%error, "there is no pixel to be spoilt");
        }
        self.draw(now_ms, &mut Turn::default());
    }

    /// What the window shows, on its way into memory.
    pub fn snapshot(&mut self, now_ms: u64) -> Readback {
        if self.osd_stale {
            let mut turn = Turn::default();
            self.run_osd(now_ms, &mut turn);
        }
        self.presenter.snapshot(&contents(&self.view, &self.osd, self.dark))
    }

    fn run_osd(&mut self, now_ms: u64, turn: &mut Turn) {
        let was_up = !self.osd.drawing().primitives.is_empty();
        let scale = self.window.scale_factor() as f32;
        let outcome = self.osd.run(now_ms, self.presenter.size_px(), scale);
        self.presenter.update_textures(outcome.textures);
        self.osd_again_at_ms = outcome.again_at_ms;
        self.osd_stale = false;
        if was_up || !self.osd.drawing().primitives.is_empty() {
            self.exposed();
        }
        turn.asks.extend(outcome.asks);
    }

    fn draw(&mut self, now_ms: u64, turn: &mut Turn) {
        let began = Instant::now();
        if self.presenter.present(&contents(&self.view, &self.osd, self.dark)) {
            turn.present_us = Some(us_since(began));
            self.stale = false;
            self.retry_at_ms = 0;
            return turn.frames_shown.append(&mut self.unshown);
        }
        // A hidden window must not hold the session up for ever: what it could
        // not show for a while counts as shown.
        if self.stale && self.retry_at_ms != 0 {
            turn.frames_shown.append(&mut self.unshown);
        }
        self.stale = true;
        self.retry_at_ms = now_ms + RETRY_MS;
    }

    fn apply_pointer(&self) {
        let in_session = self.view.picture == Picture::Live && !self.osd.takes_input();
        let hidden = self.dark || in_session && matches!(self.pointer, Pointer::Hidden);
        self.window.set_cursor_visible(!hidden);
        match &self.pointer {
            Pointer::Custom(cursor) if in_session => self.window.set_cursor(cursor.clone()),
            _ => self.window.set_cursor(Cursor::default()),
        }
    }
}

fn contents<'a>(view: &View, osd: &'a Osd, dark: bool) -> Contents<'a> {
    Contents { picture: view.picture, osd: osd.drawing(), dark }
}

fn us_since(began: Instant) -> u32 {
    u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX)
}

/// What a message is about, for logs.
pub fn describe(message: &ToWindow) -> &'static str {
    match message {
        ToWindow::View(_) => "view",
        ToWindow::Attached { .. } => "attached",
        ToWindow::Frame { .. } => "frame",
        ToWindow::Compare(_) => "compare",
        ToWindow::Spent(_) => "spent",
        ToWindow::LinkMeasured(_) => "link_measured",
        ToWindow::Used => "used",
        ToWindow::Screenshot => "screenshot",
        ToWindow::Quit => "quit",
    }
}
