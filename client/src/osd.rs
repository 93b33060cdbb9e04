//! The on-screen display: one card for each state that a user can meet, and a
//! small badge that covers nothing important.
//!
//! This is egui without a window of its own: events and the time go in,
//! triangles and the user's wishes come out.

mod diagnostics;
mod layout;
mod sessions;
pub mod words;

use crate::diagnostics::Figures;
use crate::render::overlay::Drawing;
use crate::view::{Ask, Badge, Panel, SessionPanel};
use egui::epaint::textures::TexturesDelta;
use jiff::civil::DateTime;

/// The on-screen display.
pub struct Osd {
    context: egui::Context,
    panel: Option<words::Card>,
    /// The session panel, if that is what is up.
    sessions: Option<(SessionPanel, sessions::Choice)>,
    badge: Option<String>,
    /// What the diagnostics overlay shows, while it is on.
    figures: Option<Figures>,
    /// What the user's clock says.
    local_now: fn() -> DateTime,
    /// What it said when the panel was told.
    told_at: DateTime,
    /// When the panel's time was right.
    told_at_ms: u64,
    events: Vec<egui::Event>,
    /// True if a new panel came up: nothing of what was up before has the focus.
    fresh: bool,
    drawing: Drawing,
    pixels_per_point: f32,
    /// So many more runs are needed until what grew or shrank has its size.
    settling: u8,
}

/// A window smaller than this, in points, gets a smaller card.
const ROOMY_POINTS: (f32, f32) = (520.0, 400.0);
/// But never smaller than this: it has to be read.
const SHRINK_MIN: f32 = 0.5;

/// What came of [`Osd::run`].
pub struct Outcome {
    /// What the user pressed.
    pub asks: Vec<Ask>,
    /// What has to be given to [`crate::render::overlay::Overlay`].
    pub textures: TexturesDelta,
    /// When to run again even if nothing happens.
    pub again_at_ms: Option<u64>,
}

impl Default for Osd {
    fn default() -> Self {
        Osd::new()
    }
}

impl Osd {
    /// Nothing is up.
    pub fn new() -> Self {
        Osd::with_clock(|| jiff::Zoned::now().datetime())
    }

    /// Nothing is up, and this is what the user's clock says.
    pub fn with_clock(local_now: fn() -> DateTime) -> Self {
        let context = egui::Context::default();
        layout::set_style(&context);
        Osd {
            context,
            panel: None,
            sessions: None,
            badge: None,
            figures: None,
            local_now,
            told_at: DateTime::MIN,
            told_at_ms: 0,
            events: Vec::new(),
            fresh: false,
            drawing: Drawing::default(),
            pixels_per_point: 1.0,
            settling: 0,
        }
    }

    /// From now on this is up.
    pub fn show(&mut self, panel: Option<&Panel>, badge: Option<&Badge>, now_ms: u64) {
        let shown = panel;
        let panel = panel.map(words::card);
        if !is_same(panel.as_ref(), self.panel.as_ref()) {
            self.fresh = true;
            // What was typed by now was typed at what was up before.
            self.events.retain(|event| !is_typed(event));
        }
        self.panel = panel;
        self.sessions = match shown {
            Some(Panel::Sessions(sessions)) => {
                let choice = self.sessions.take().map(|(_, choice)| choice).unwrap_or_default();
                Some(((**sessions).clone(), choice))
            }
            _ => None,
        };
        self.badge = badge.map(words::badge);
        self.told_at = (self.local_now)();
        self.told_at_ms = now_ms;
        self.settling = 2;
    }

    /// From now on these figures are up, or none. They take no input.
    pub fn show_figures(&mut self, figures: Option<Figures>) {
        self.figures = figures;
        self.settling = 2;
    }

    /// True if there is something to press, so that the pointer and the keys
    /// belong to the on-screen display.
    pub fn takes_input(&self) -> bool {
        self.sessions.is_some() || self.panel.as_ref().is_some_and(|card| !card.buttons.is_empty())
    }

    /// How many pixels the points of [`Osd::event`] have.
    pub fn pixels_per_point(&self) -> f32 {
        self.pixels_per_point
    }

    /// Something happened that [`Osd::run`] is to know.
    pub fn event(&mut self, event: egui::Event) {
        self.events.push(event);
    }

    /// Lays everything out for a window of this size.
    pub fn run(&mut self, now_ms: u64, size_px: (u32, u32), scale_factor: f32) -> Outcome {
        let (width_px, height_px) = (size_px.0.max(1) as f32, size_px.1.max(1) as f32);
        let shrink = (width_px / scale_factor / ROOMY_POINTS.0)
            .min(height_px / scale_factor / ROOMY_POINTS.1)
            .clamp(SHRINK_MIN, 1.0);
        let pixels_per_point = scale_factor * shrink;
        self.pixels_per_point = pixels_per_point;
        let size_points = egui::vec2(width_px, height_px) / pixels_per_point;
        let mut input = egui::RawInput {
            screen_rect: Some(egui::Rect::from_min_size(egui::Pos2::ZERO, size_points)),
            time: Some(now_ms as f64 / 1000.0),
            events: std::mem::take(&mut self.events),
            focused: true,
            ..Default::default()
        };
        if let Some(viewport) = input.viewports.get_mut(&input.viewport_id) {
            viewport.native_pixels_per_point = Some(pixels_per_point);
        }
        let waited_ms = now_ms.saturating_sub(self.told_at_ms);
        let fresh = std::mem::take(&mut self.fresh);
        if fresh {
            self.context.memory_mut(|memory| {
                let focused = memory.focused();
                focused.into_iter().for_each(|id| memory.surrender_focus(id));
            });
        }
        let mut asks = Vec::new();
        let output = self.context.run_ui(input, |ui| {
            if let Some((sessions, choice)) = &mut self.sessions {
                sessions::show(ui.ctx(), (sessions, self.told_at), choice, fresh, &mut asks);
            } else if let Some(card) = &self.panel {
                layout::card(ui.ctx(), card, waited_ms, fresh, &mut asks);
            }
            if let Some(badge) = &self.badge {
                layout::badge(ui.ctx(), badge);
            }
            if let Some(figures) = &self.figures {
                diagnostics::show(ui.ctx(), figures);
            }
        });
        let repaint = output.viewport_output.values().map(|view| view.repaint_delay).min();
        let repaint_ms = repaint.and_then(|delay| u64::try_from(delay.as_millis()).ok());
        let elapsed = self.panel.as_ref().and_then(|card| card.elapsed_ms);
        let tick_ms = elapsed.map(|elapsed_ms| 1000 - (elapsed_ms + waited_ms) % 1000);
        self.settling = self.settling.saturating_sub(1);
        let settle_ms = (self.settling > 0).then_some(0);
        let again = repaint_ms.into_iter().chain(tick_ms).chain(settle_ms).min();
        self.drawing = Drawing {
            primitives: self.context.tessellate(output.shapes, output.pixels_per_point),
            pixels_per_point: output.pixels_per_point,
        };
        Outcome {
            asks,
            textures: output.textures_delta,
            again_at_ms: again.map(|in_ms| now_ms.saturating_add(in_ms.max(8))),
        }
    }

    /// What to draw.
    pub fn drawing(&self) -> &Drawing {
        &self.drawing
    }
}

/// The wheel turned by so many steps, right and down, for [`Osd::event`].
pub fn wheel(steps_x: i16, steps_y: i16) -> egui::Event {
    egui::Event::MouseWheel {
        unit: egui::MouseWheelUnit::Line,
        // The user moves the view, egui the content.
        delta: -egui::vec2(steps_x.into(), steps_y.into()),
        phase: egui::TouchPhase::Move,
        source: egui::MouseWheelSource::Unknown,
        modifiers: egui::Modifiers::NONE,
    }
}

/// True if what the user sees is the same panel, with other times or details.
/// Another question is another panel, though its title is the same.
fn is_same(one: Option<&words::Card>, other: Option<&words::Card>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => {
            let asks = |card: &words::Card| card.decides.then(|| card.buttons.clone());
            one.title == other.title && asks(one) == asks(other)
        }
        (one, other) => one.is_none() && other.is_none(),
    }
}

/// True if a key went down or wrote something.
fn is_typed(event: &egui::Event) -> bool {
    matches!(event, egui::Event::Key { pressed: true, .. } | egui::Event::Text(_))
}
