//! The diagnostics overlay: figures in a corner, that nobody can press.

use super::layout;
use crate::diagnostics::{Figures, Kinds, Shape, Spread};
use egui::{Align2, FontId, RichText};

/// The least width of the column with the figures, in points, so that the box
/// keeps its size while they change.
const FIGURES_WIDTH_MIN: f32 = 330.0;
/// How large its letters are, in points.
const LETTERS: f32 = 12.0;

/// Shows them in the lower left corner, beneath whatever else is up.
pub fn show(context: &egui::Context, figures: &Figures) {
    let apart = layout::BADGE_APART;
    egui::Area::new(egui::Id::unique("diagnostics"))
        .order(egui::Order::Background)
        .fade_in(false)
        .anchor(Align2::LEFT_BOTTOM, egui::vec2(apart, -apart))
        .interactable(false)
        .show(context, |ui| {
            layout::note().show(ui, |ui| {
                // A row is as high as its letters: nothing here is pressed.
                ui.spacing_mut().interact_size.y = 0.0;
                let grid = egui::Grid::new("figures").num_columns(2).spacing([14.0, 3.0]);
                grid.show(ui, |ui| {
                    for (label, value) in rows(figures) {
                        let label = RichText::new(label).font(FontId::proportional(LETTERS));
                        ui.label(label.color(layout::TEXT_SOFT));
                        let value = RichText::new(value).font(FontId::monospace(LETTERS));
                        ui.scope(|ui| {
                            ui.set_min_width(FIGURES_WIDTH_MIN);
                            ui.add(egui::Label::new(value.color(layout::TEXT)).extend());
                        });
                        ui.end_row();
                    }
                });
            });
        });
}

/// What each line says.
fn rows(figures: &Figures) -> [(&'static str, String); 11] {
    let a_second = |count: u64| count * 1000 / figures.over_ms.max(1);
    let Kinds { set, bitmap, fill, copy, cscs } = figures.commands;
    let [set, bitmap, fill, copy, cscs] =
        [set, bitmap, fill, copy, cscs].map(|count| a_second(count.into()));
    let received = figures.received_bytes.map(|bytes| kilobytes(a_second(bytes)) + "/s");
    let facts = &figures.facts;
    [
        ("Frames", format!("{} /s", a_second(figures.frames.into()))),
        ("Commands", format!("SET {set} BITMAP {bitmap} FILL {fill} COPY {copy} CSCS {cscs} /s")),
        (
            "Bytes",
            format!(
                "frames {}/s, link {}",
                kilobytes(a_second(figures.payload_bytes)),
                received.as_deref().unwrap_or("–")
            ),
        ),
        ("Round trip", figures.round_trip_us.map_or("–".to_owned(), milliseconds)),
        ("Capture", spread(figures.capture_us)),
        ("Encode", spread(figures.encode_us)),
        ("Apply", spread(figures.apply_us)),
        ("Present", spread(figures.present_us)),
        ("Input to pixel", spread(figures.input_to_pixel_us)),
        ("Renderer", format!("{}, {}", facts.renderer, shortened(&facts.adapter))),
        ("Picture", facts.picture.map_or("–".to_owned(), shape)),
    ]
}

fn shape(Shape { width_px, height_px, scale_percent }: Shape) -> String {
    format!("{width_px} × {height_px}, at {scale_percent} %")
}

fn spread(times: Option<Spread>) -> String {
    times.map_or("–".to_owned(), |Spread { p50, max }| {
        format!("{}, at most {}", milliseconds(p50.into()), milliseconds(max.into()))
    })
}

fn milliseconds(us: u64) -> String {
    format!("{}.{:02} ms", us / 1000, us % 1000 / 10)
}

fn kilobytes(bytes: u64) -> String {
    format!("{}.{} kB", bytes / 1000, bytes % 1000 / 100)
}

/// Drivers' names may be long; the first words tell.
fn shortened(adapter: &str) -> String {
    const CHARS_MAX: usize = 36;
    match adapter.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", adapter[..end].trim_end()),
        None => adapter.to_owned(),
    }
}
