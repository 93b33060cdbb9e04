//! The diagnostics overlay against a golden, and that it is in nobody's way.

use crate::osd::{HEIGHT, golden_of, key, noon, server};
use afterglow_client::diagnostics::{Facts, Figures, Kinds, Shape, Spread};
use afterglow_client::osd::Osd;
use afterglow_client::view::{Ask, Badge, Panel, Picture};
use afterglow_wire::ids::GroupId;

fn figures() -> Figures {
    let spread = |p50, max| Some(Spread { p50, max });
    Figures {
        over_ms: 1_003,
        frames: 61,
        commands: Kinds { set: 12, bitmap: 130, fill: 44, copy: 61, cscs: 0 },
        payload_bytes: 214_700,
        received_bytes: Some(1_231_950),
        round_trip_us: Some(412),
        capture_us: spread(640, 2_100),
        encode_us: spread(1_270, 14_030),
        apply_us: spread(90, 310),
        present_us: spread(1_100, 2_040),
        input_to_pixel_us: spread(8_950, 31_400),
        facts: Facts {
            renderer: "cpu",
            adapter: "llvmpipe (LLVM 19.1.7, 256 bits), of no use here".into(),
            picture: Some(Shape { width_px: 3840, height_px: 2160, scale_percent: 50 }),
        },
    }
}

/// Nothing was counted yet, and there is no session.
fn none() -> Figures {
    Figures { facts: Facts { picture: None, ..figures().facts }, ..Figures::default() }
}

#[test]
fn figures_are_in_a_corner() {
    let mut osd = Osd::with_clock(noon);
    osd.show(None, Some(&Badge::Notice { text: "The service mail is back.".into() }), 0);
    osd.show_figures(Some(figures()));
    golden_of("diagnostics", Picture::Live, osd, HEIGHT, &[]);
    let mut osd = Osd::with_clock(noon);
    osd.show(Some(&Panel::Ended { text: "The desktop was closed on mud.".into() }), None, 0);
    osd.show_figures(Some(none()));
    golden_of("diagnostics-none", Picture::Blank, osd, HEIGHT, &[]);
}

#[test]
fn the_smallest_window_takes_whatever_is_up() {
    let badge = Badge::Notice { text: "The service mail is back.".into() };
    let group = GroupId([7; 32]);
    let meeting = Panel::FirstMeeting { group, server: server("mud") };
    let panels = [
        Panel::Searching { for_ms: 1, trouble: None },
        meeting,
        Panel::Sessions(Box::default()),
        Panel::Question { question: 1, text: "Move it now?".into() },
    ];
    for size_px in [(1, 1), (16, 16), (16, 800), (800, 16)] {
        for panel in &panels {
            let mut osd = Osd::with_clock(noon);
            osd.show(Some(panel), Some(&badge), 0);
            osd.show_figures(Some(figures()));
            for now_ms in [0, 20, 40] {
                osd.run(now_ms, size_px, 1.0).textures.clear();
            }
            assert!(!osd.drawing().primitives.is_empty(), "{panel:?} in {size_px:?}");
        }
    }
}

#[test]
fn figures_take_neither_input_nor_the_focus() {
    let mut osd = Osd::with_clock(noon);
    let mut now_ms = 0;
    let mut run = |osd: &mut Osd, events: &[egui::Event]| {
        events.iter().for_each(|event| osd.event(event.clone()));
        now_ms += 20;
        let mut outcome = osd.run(now_ms, (640, 400), 1.0);
        outcome.textures.clear();
        outcome.asks
    };
    osd.show_figures(Some(figures()));
    run(&mut osd, &[]);
    run(&mut osd, &[]);
    assert!(!osd.takes_input() && !osd.drawing().primitives.is_empty());
    // Whoever has the focus keeps it while figures come and go.
    osd.show(Some(&Panel::Ended { text: String::new() }), None, 0);
    run(&mut osd, &[]);
    osd.show_figures(Some(none()));
    run(&mut osd, &[]);
    osd.show_figures(None);
    assert_eq!(run(&mut osd, &key(egui::Key::Enter)), [Ask::TryAgain]);
    osd.show(None, None, 0);
    run(&mut osd, &[]);
    assert!(osd.drawing().primitives.is_empty());
}
