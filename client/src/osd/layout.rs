//! How the on-screen display looks: a dark translucent card in the middle, an
//! accent colour, one big title.

use super::words::{self, Button, Card, Tone};
use crate::view::Ask;
use egui::{Align, Align2, Color32, CornerRadius, FontId, Layout, Margin, RichText, Stroke, Ui};

const CARD_WIDTH: f32 = 464.0;
pub const TEXT: Color32 = Color32::from_rgb(0xec, 0xee, 0xf6);
pub const TEXT_SOFT: Color32 = Color32::from_rgb(0xa4, 0xab, 0xc0);
pub const GLOW: Color32 = Color32::from_rgb(0xff, 0x9f, 0x5a);
pub const CALM: Color32 = Color32::from_rgb(0x7f, 0xb4, 0xff);
pub const ATTENTION: Color32 = Color32::from_rgb(0xff, 0xc8, 0x57);
const CARD: Color32 = Color32::from_rgba_premultiplied(0x11, 0x13, 0x1e, 0xf6);
const EDGE: Color32 = Color32::from_rgba_premultiplied(0x2c, 0x2f, 0x3a, 0x50);

/// Colours and shapes of everything that egui draws by itself.
pub fn set_style(context: &egui::Context) {
    context.set_theme(egui::Theme::Dark);
    context.all_styles_mut(|style| {
        // Nothing moves by itself: a window at rest costs nothing.
        style.animation_time = 0.0;
        style.scroll_animation = egui::style::ScrollAnimation::none();
        // That there is more is to be seen without trying.
        style.spacing.scroll.dormant_handle_opacity = 0.6;
        style.spacing.scroll.floating_width = 4.0;
        style.interaction.selectable_labels = false;
        style.spacing.button_padding = egui::vec2(18.0, 10.0);
        style.spacing.item_spacing = egui::vec2(10.0, 8.0);
        style.visuals.override_text_color = Some(TEXT);
        style.visuals.selection.stroke = Stroke::new(2.0, TEXT);
    });
}

/// How much room a card leaves at both sides of the screen together, in points.
const CARD_APART: f32 = 32.0;
/// No card is narrower than this, in points.
const CARD_WIDTH_MIN: f32 = 120.0;

/// A dark card in the middle of the screen, as wide as it may be and as high
/// as its contents; `margin` is what it leaves around them, in points.
pub fn in_the_middle(
    context: &egui::Context,
    id: egui::Id,
    width_max: f32,
    margin: Margin,
    contents: impl FnOnce(&mut Ui),
) {
    let screen = context.content_rect();
    let width = width_max.min(screen.width() - CARD_APART).max(CARD_WIDTH_MIN);
    egui::Area::new(id)
        .fade_in(false)
        .anchor(Align2::CENTER_CENTER, egui::Vec2::ZERO)
        .movable(false)
        .show(context, |ui| {
            let frame = egui::Frame::new()
                .fill(CARD)
                .stroke(Stroke::new(1.0, EDGE))
                .corner_radius(CornerRadius::same(16))
                .shadow(egui::Shadow {
                    offset: [0, 8],
                    blur: 32,
                    spread: 0,
                    color: Color32::from_black_alpha(110),
                })
                .inner_margin(margin);
            frame.show(ui, |ui| {
                ui.set_width(width - margin.sum().x);
                contents(ui);
            });
        });
}

/// A card in the middle of the screen. It is there at once: who lost their
/// desktop is to know why in the same moment.
pub fn card(
    context: &egui::Context,
    card: &Card,
    waited_ms: u64,
    fresh: bool,
    asks: &mut Vec<Ask>,
) {
    let (id, margin) = (egui::Id::unique("card"), Margin::symmetric(32, 28));
    in_the_middle(context, id, CARD_WIDTH, margin, |ui| {
        ui.with_layout(Layout::top_down(Align::Min), |ui| {
            contents(ui, card, waited_ms, fresh, asks);
        });
    });
}

fn contents(ui: &mut Ui, card: &Card, waited_ms: u64, fresh: bool, asks: &mut Vec<Ask>) {
    if ui.input(|input| input.key_pressed(egui::Key::Escape)) {
        asks.extend(card.escape.clone());
    }
    let elapsed_ms = card.elapsed_ms.map(|elapsed_ms| elapsed_ms + waited_ms);
    if card.idle {
        brand(ui);
        ui.add_space(14.0);
    }
    ui.label(RichText::new(card.title).font(FontId::proportional(25.0)).color(TEXT));
    ui.add_space(4.0);
    ui.label(RichText::new(&card.text).font(FontId::proportional(16.0)).color(TEXT));
    if let Some(lines) = &card.fingerprint {
        fingerprint(ui, lines);
    }
    if !card.hint.is_empty() {
        ui.add_space(2.0);
        ui.label(RichText::new(&card.hint).font(FontId::proportional(14.0)).color(TEXT_SOFT));
    }
    if card.tone == Tone::Working || elapsed_ms.is_some() {
        ui.add_space(6.0);
        progress(ui, card.tone, elapsed_ms);
    }
    if !card.buttons.is_empty() {
        ui.add_space(10.0);
        ui.horizontal_wrapped(|ui| {
            for wish in &card.buttons {
                if button(ui, wish, fresh && !card.decides) {
                    asks.push(wish.ask.clone());
                }
            }
        });
    }
}

/// The product's mark: a glowing dot above a horizon, and its name.
fn brand(ui: &mut Ui) {
    ui.horizontal(|ui| {
        let (rect, _) = ui.allocate_exact_size(egui::vec2(22.0, 18.0), egui::Sense::hover());
        let centre = rect.center_top() + egui::vec2(0.0, 9.0);
        let painter = ui.painter();
        painter.circle_filled(centre, 9.0, GLOW.gamma_multiply(0.18));
        painter.circle_filled(centre, 6.5, GLOW.gamma_multiply(0.35));
        painter.circle_filled(centre, 4.0, GLOW);
        let name = RichText::new("Afterglow").font(FontId::proportional(15.0)).color(GLOW);
        ui.label(name);
    });
}

fn fingerprint(ui: &mut Ui, lines: &[String; 4]) {
    let frame = egui::Frame::new()
        .fill(Color32::from_black_alpha(90))
        .corner_radius(CornerRadius::same(8))
        .inner_margin(Margin::symmetric(16, 10));
    ui.add_space(4.0);
    frame.show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = 4.0;
        for line in lines {
            ui.label(RichText::new(line).font(FontId::monospace(17.0)).color(GLOW));
        }
    });
    ui.add_space(4.0);
}

/// Three dots that step once a second, and for how long.
fn progress(ui: &mut Ui, tone: Tone, elapsed_ms: Option<u64>) {
    let color = match tone {
        Tone::Calm => CALM,
        Tone::Working => GLOW,
        Tone::Attention => ATTENTION,
    };
    ui.horizontal(|ui| {
        let (rect, _) = ui.allocate_exact_size(egui::vec2(46.0, 14.0), egui::Sense::hover());
        let lit = elapsed_ms.map(|ms| ms / 1000 % 3);
        for dot in 0..3u64 {
            let strength = if lit.is_none() || lit == Some(dot) { 1.0 } else { 0.3 };
            let centre = rect.left_center() + egui::vec2(5.0 + dot as f32 * 16.0, 0.0);
            ui.painter().circle_filled(centre, 4.0, color.gamma_multiply(strength));
        }
        if let Some(ms) = elapsed_ms {
            let time = RichText::new(words::duration(ms)).font(FontId::proportional(14.0));
            ui.label(time.color(TEXT_SOFT));
        }
    });
}

fn button(ui: &mut Ui, wish: &Button, focused: bool) -> bool {
    let (fill, text) = if wish.primary {
        (GLOW, Color32::from_rgb(0x22, 0x12, 0x06))
    } else {
        (Color32::from_rgb(0x2a, 0x2e, 0x3d), TEXT)
    };
    let label = RichText::new(wish.label).font(FontId::proportional(15.0)).color(text);
    let button = egui::Button::new(label).fill(fill).corner_radius(CornerRadius::same(9));
    let response = ui.add(button);
    if focused && wish.primary {
        response.request_focus();
    }
    response.clicked()
}

/// No badge is wider than this, in points: it is to cover little.
const BADGE_WIDTH_MAX: f32 = 420.0;
/// How far a badge, and what else is in a corner, is from the edges of the screen, in points.
pub const BADGE_APART: f32 = 12.0;

/// What a note leaves around its words, in points.
const NOTE_MARGIN: Margin = Margin::symmetric(12, 8);

/// What is around the words of a badge.
pub fn note() -> egui::Frame {
    egui::Frame::new()
        .fill(CARD)
        .stroke(Stroke::new(1.0, EDGE))
        .corner_radius(CornerRadius::same(12))
        .inner_margin(NOTE_MARGIN)
}

/// A small word in the upper right corner, over whatever else is up. What is
/// too long for a line takes several.
pub fn badge(context: &egui::Context, text: &str) {
    let room = context.content_rect().width() - 2.0 * BADGE_APART;
    egui::Area::new(egui::Id::unique("badge"))
        .order(egui::Order::Foreground)
        .fade_in(false)
        .anchor(Align2::RIGHT_TOP, egui::vec2(-BADGE_APART, BADGE_APART))
        .interactable(false)
        .show(context, |ui| {
            note().show(ui, |ui| {
                // A window may be narrower than what surrounds the words.
                ui.set_max_width((room.min(BADGE_WIDTH_MAX) - NOTE_MARGIN.sum().x).max(0.0));
                ui.horizontal_top(|ui| {
                    let size = egui::vec2(8.0, 15.0);
                    let (rect, _) = ui.allocate_exact_size(size, egui::Sense::hover());
                    ui.painter().circle_filled(rect.center(), 3.5, ATTENTION);
                    let text = RichText::new(text).font(FontId::proportional(13.0)).color(TEXT);
                    ui.add(egui::Label::new(text).wrap());
                });
            });
        });
}
