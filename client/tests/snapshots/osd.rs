//! Each panel and badge of the on-screen display against a golden.

use crate::golden::{Tolerance, check};
use crate::picture::{fill, size};
use afterglow_client::osd::Osd;
use afterglow_client::render::scene::Scene;
use afterglow_client::view::{Ask, Badge, Panel, Picture};
use afterglow_wire::command::Command;
use afterglow_wire::control::{RefusalCode, Stage};
use afterglow_wire::ids::{GroupId, ServerName};

const WIDTH: u16 = 640;
pub const HEIGHT: u16 = 400;
/// Enough for a turn of the wheel to come to its end.
const RUNS_TO_REST: usize = 10;
/// Text's edges are computed in floats, which compilers and processors may
/// round in their own ways.
const TOLERANCE: Tolerance = Tolerance::Text { channel_max: 3 };

pub fn server(name: &str) -> ServerName {
    name.parse().unwrap()
}

/// Something like a desktop: a panel, a window with a title and some lines.
fn desktop() -> Vec<Command> {
    let mut commands = vec![
        Command::Size(size(WIDTH, HEIGHT)),
        fill(0, 0, WIDTH, HEIGHT, [120, 90, 50]),
        fill(0, HEIGHT - 28, WIDTH, 28, [50, 40, 40]),
        fill(60, 40, 420, 270, [235, 235, 235]),
        fill(60, 40, 420, 24, [90, 70, 60]),
    ];
    let lines = (0..12u16).map(|line| fill(74, 76 + line * 18, 60 + line * 53 % 300, 8, [60; 3]));
    commands.extend(lines);
    commands
}

#[track_caller]
fn golden(name: &str, picture: Picture, panel: Option<Panel>, badge: Option<Badge>) {
    golden_after(name, picture, panel, badge, HEIGHT, &[]);
}

/// In a window of this height, after what the user did.
#[track_caller]
pub fn golden_after(
    name: &str,
    picture: Picture,
    panel: Option<Panel>,
    badge: Option<Badge>,
    height_px: u16,
    events: &[egui::Event],
) {
    let mut osd = Osd::with_clock(noon);
    osd.show(panel.as_ref(), badge.as_ref(), 0);
    golden_of(name, picture, osd, height_px, events);
}

/// Of an on-screen display with whatever is up.
#[track_caller]
pub fn golden_of(
    name: &str,
    picture: Picture,
    mut osd: Osd,
    height_px: u16,
    events: &[egui::Event],
) {
    let size_px = (WIDTH.into(), height_px.into());
    let gpu = crate::gpu();
    let mut scene = Scene::new(&gpu, afterglow_client::render::FORMAT);
    let (encoder, applied) = scene.framebuffer.apply(&desktop());
    assert_eq!(applied, Ok(()));
    gpu.queue.submit([encoder.finish()]);
    // The second run is what is up once the focus has found its button. What
    // the user set in motion has come to rest by the last.
    let rest = if events.is_empty() { 0 } else { RUNS_TO_REST };
    let events = events.iter().cloned().map(Some);
    let runs = [None, None].into_iter().chain(events).chain(vec![None; rest]);
    for (event, now_ms) in runs.zip((0..).step_by(50)) {
        event.into_iter().for_each(|event| osd.event(event));
        let outcome = osd.run(now_ms, size_px, 1.0);
        assert!(outcome.asks.is_empty());
        scene.overlay.update_textures(outcome.textures);
    }
    let pixels = scene.snapshot(picture, osd.drawing(), size_px);
    check(&format!("osd-{name}"), &pixels.wait().unwrap(), TOLERANCE);
}

#[track_caller]
pub fn panel(name: &str, picture: Picture, panel: Panel) {
    golden(name, picture, Some(panel), None);
}

#[test]
fn on_the_way_to_a_server() {
    panel("no-network", Picture::Blank, Panel::NoNetwork);
    panel("searching", Picture::Blank, Panel::Searching { for_ms: 3_400, trouble: None });
    panel(
        "searching-trouble",
        Picture::Blank,
        Panel::Searching {
            for_ms: 65_000,
            trouble: Some("mud.example.org:7010 cannot be reached: connection refused.".into()),
        },
    );
    panel("connecting", Picture::Blank, Panel::Connecting { server: "mud".into() });
    let group = GroupId(std::array::from_fn(|i| (i * 37 + 11) as u8));
    panel("first-meeting", Picture::Blank, Panel::FirstMeeting { group, server: server("mud") });
}

#[test]
fn waiting_for_a_card() {
    let insert = |reader: Option<&str>, pseudo_offered| Panel::InsertCard {
        server: server("mud"),
        reader: reader.map(Into::into),
        pseudo_offered,
    };
    panel("insert-card", Picture::Blank, insert(None, false));
    let trouble = "The card service does not run. Start it: sudo systemctl start pcscd.socket";
    panel("insert-card-no-reader", Picture::Blank, insert(Some(trouble), true));
}

#[test]
fn after_the_card_is_in() {
    let inserting = |stage, host: Option<&str>| Panel::Inserting {
        server: server("mud"),
        stage,
        host: host.map(server),
        for_ms: 700,
    };
    panel("inserting", Picture::Blank, inserting(None, None));
    panel("inserting-probing", Picture::Blank, inserting(Some(Stage::Probing), Some("host05")));
    let refused = |back, sessions| Panel::Refused {
        server: server("mud"),
        code: RefusalCode::SessionFailed,
        text: "The desktop ended as soon as it was started: xterm was not found. \
               Ask whoever looks after mud."
            .into(),
        back,
        sessions,
    };
    panel("refused", Picture::Blank, refused(false, false));
    panel("refused-switch", Picture::Blank, refused(true, true));
    panel("moving", Picture::Blank, Panel::Moving { from: server("mud"), to: server("host05") });
}

#[test]
fn when_something_breaks() {
    let silent = |trying: Option<&str>, for_ms| Panel::ServerSilent {
        host: server("mud"),
        trying: trying.map(Into::into),
        for_ms,
    };
    panel("server-silent", Picture::Dimmed, silent(None, 12_000));
    panel("server-silent-trying", Picture::Dimmed, silent(Some("host05"), 300));
    let resuming = |stage| Panel::Resuming {
        on: server("host05"),
        lost: Some(server("mud")),
        stage,
        for_ms: 600,
    };
    panel("resuming", Picture::Dimmed, resuming(None));
    panel("resuming-probing", Picture::Dimmed, resuming(Some(Stage::Probing)));
    panel("resuming-restarting", Picture::Dimmed, resuming(Some(Stage::Restarting)));
    panel(
        "session-silent",
        Picture::Dimmed,
        Panel::SessionSilent { host: server("mud"), for_ms: 1_300 },
    );
    panel(
        "restarted",
        Picture::Live,
        Panel::Restarted {
            on: server("host05"),
            notice: "mud was lost, and with it the programs that ran there. Your files are kept."
                .into(),
        },
    );
}

#[test]
fn when_it_is_over() {
    panel("ended", Picture::Blank, Panel::Ended { text: "The desktop was closed on mud.".into() });
    panel("elsewhere", Picture::Blank, Panel::Elsewhere { dtu: "reception-2".into() });
}

#[test]
fn what_is_up_to_the_user() {
    let text = "The administrator wants to move this session to host05. Its programs end, and are \
                started again there; what is not saved is lost. Move it now?";
    panel("question", Picture::Dimmed, Panel::Question { question: 1, text: text.into() });
    panel("signed-off", Picture::Blank, Panel::SignedOff);
}

#[test]
fn badges() {
    let told = Badge::Notice { text: "The service mail failed and is started again.".into() };
    golden("badge-notice", Picture::Live, None, Some(told));
    let long = Badge::Notice {
        text: "mud was lost before it confirmed your order: perhaps the session was not renamed. \
               Look at the list of your sessions, and try again."
            .into(),
    };
    golden("badge-long", Picture::Live, None, Some(long.clone()));
    let ended = Panel::Ended { text: "The desktop was closed on mud.".into() };
    golden("badge-over-ended", Picture::Blank, Some(ended), Some(long));
    let lost = Badge::ControlLost { server: server("mud") };
    golden("badge-control-lost", Picture::Live, None, Some(lost));
    let cared = Badge::CaredForBy { server: server("host05"), instead_of: server("mud") };
    golden("badge-cared-for", Picture::Live, None, Some(cared));
}

/// What the user's clock says in all pictures.
pub fn noon() -> jiff::civil::DateTime {
    jiff::civil::date(2026, 11, 25).at(12, 0, 0, 0)
}

/// Runs an on-screen display with a panel, presses things, and tells what was
/// asked for.
pub fn asked(panel: &Panel, events: &[egui::Event]) -> Vec<Ask> {
    let mut osd = Osd::with_clock(noon);
    osd.show(Some(panel), None, 0);
    let run = |osd: &mut Osd, now_ms| {
        let mut outcome = osd.run(now_ms, (WIDTH.into(), HEIGHT.into()), 1.0);
        outcome.textures.clear();
        outcome.asks
    };
    let mut asks = run(&mut osd, 0);
    asks.extend(run(&mut osd, 20));
    for (event, now_ms) in events.iter().zip((40..).step_by(20)) {
        osd.event(event.clone());
        asks.extend(run(&mut osd, now_ms));
    }
    asks
}

pub fn key(key: egui::Key) -> [egui::Event; 2] {
    [true, false].map(|pressed| egui::Event::Key {
        key,
        physical_key: None,
        pressed,
        repeat: false,
        modifiers: egui::Modifiers::NONE,
    })
}

#[test]
fn enter_presses_the_primary_button_but_never_trusts() {
    let ended = Panel::Ended { text: String::new() };
    assert_eq!(asked(&ended, &key(egui::Key::Enter)), [Ask::TryAgain]);
    let group = GroupId([7; 32]);
    let meeting = Panel::FirstMeeting { group, server: server("mud") };
    assert_eq!(asked(&meeting, &key(egui::Key::Enter)), []);
    let tab_enter = [key(egui::Key::Tab), key(egui::Key::Enter)].concat();
    assert_eq!(asked(&meeting, &tab_enter), [Ask::TrustGroup(group)]);
    let tabs_enter = [key(egui::Key::Tab), key(egui::Key::Tab), key(egui::Key::Enter)].concat();
    assert_eq!(asked(&meeting, &tabs_enter), [Ask::RefuseGroup(group)]);
}

fn question(number: u64) -> Panel {
    Panel::Question { question: number, text: "Move it now?".into() }
}

fn answer(question: u64, yes: bool) -> Ask {
    Ask::Answer { question, yes }
}

#[test]
fn a_question_is_answered_by_who_read_it_and_by_no_key_that_was_on_its_way() {
    use egui::Key::{Enter, Escape, Space, Tab};
    let typed = |keys: &[egui::Key]| {
        asked(&question(4), &keys.iter().flat_map(|k| key(*k)).collect::<Vec<_>>())
    };
    assert_eq!(typed(&[Enter, Space]), []);
    assert_eq!(typed(&[Escape]), [answer(4, false)]);
    assert_eq!(typed(&[Tab, Enter]), [answer(4, false)]);
    assert_eq!(typed(&[Tab, Tab, Space]), [answer(4, true)]);
}

#[test]
fn a_new_panel_inherits_neither_the_focus_nor_the_keys_of_the_one_before() {
    let mut osd = Osd::with_clock(noon);
    let mut now_ms = 0;
    let mut run = |osd: &mut Osd, events: &[egui::Event]| {
        events.iter().for_each(|event| osd.event(event.clone()));
        now_ms += 20;
        let mut outcome = osd.run(now_ms, (WIDTH.into(), HEIGHT.into()), 1.0);
        outcome.textures.clear();
        outcome.asks
    };
    let (enter, tab) = (key(egui::Key::Enter), key(egui::Key::Tab));
    // "Show it here" has the focus, at the place where "No" will be.
    osd.show(Some(&Panel::Elsewhere { dtu: "hall".into() }), None, 0);
    run(&mut osd, &[]);
    osd.show(Some(&question(1)), None, 0);
    assert_eq!(run(&mut osd, &[]), []);
    assert_eq!(run(&mut osd, &enter), []);
    // A second question is not answered by who was about to answer the first.
    run(&mut osd, &tab);
    osd.show(Some(&question(2)), None, 0);
    assert_eq!(run(&mut osd, &enter), []);
    run(&mut osd, &tab);
    // The same question again changes nothing.
    osd.show(Some(&question(2)), None, 0);
    assert_eq!(run(&mut osd, &enter), [answer(2, false)]);
    // What was typed before the next panel came is not for that.
    key(egui::Key::Escape).into_iter().for_each(|event| osd.event(event));
    osd.show(Some(&question(3)), None, 0);
    assert_eq!(run(&mut osd, &[]), []);
}

#[test]
fn a_time_that_is_up_ticks_once_a_second() {
    let mut osd = Osd::with_clock(noon);
    osd.show(Some(&Panel::Searching { for_ms: 3_400, trouble: None }), None, 1_000);
    let again_at_ms = |osd: &mut Osd, now_ms| {
        // The first runs may ask for another at once, until all is in place.
        let mut again = None;
        for now_ms in [now_ms, now_ms + 10, now_ms + 20] {
            let mut outcome = osd.run(now_ms, (640, 400), 1.0);
            outcome.textures.clear();
            again = outcome.again_at_ms;
        }
        again
    };
    assert_eq!(again_at_ms(&mut osd, 1_000), Some(1_600));
    assert_eq!(again_at_ms(&mut osd, 1_600), Some(2_600));
    osd.show(Some(&Panel::NoNetwork), None, 3_000);
    assert_eq!(again_at_ms(&mut osd, 3_000), None);
}

#[test]
fn a_small_window_gets_a_smaller_card() {
    let mut osd = Osd::with_clock(noon);
    for (size_px, scale_factor, expected) in [
        ((640, 400), 1.0, 1.0),
        ((1280, 800), 2.0, 2.0),
        ((260, 400), 1.0, 0.5),
        ((16, 16), 1.0, 0.5),
        ((0, 0), 1.0, 0.5),
    ] {
        osd.show(Some(&Panel::NoNetwork), None, 0);
        let mut outcome = osd.run(0, size_px, scale_factor);
        outcome.textures.clear();
        assert_eq!(osd.pixels_per_point(), expected);
    }
}

/// The corners of all that is drawn, in points.
pub fn corners(osd: &Osd) -> Vec<egui::Pos2> {
    let vertices = osd.drawing().primitives.iter().map(|clipped| match &clipped.primitive {
        egui::epaint::Primitive::Mesh(mesh) => &mesh.vertices[..],
        egui::epaint::Primitive::Callback(_) => &[],
    });
    vertices.flatten().map(|vertex| vertex.pos).collect()
}

/// What a drawing covers, in points.
fn extent(osd: &Osd) -> egui::Rect {
    egui::Rect::from_points(&corners(osd))
}

#[test]
fn a_badge_is_as_large_as_its_words_and_never_larger_than_the_window() {
    let badge = |words: usize| Badge::Notice { text: "as it happens ".repeat(words) };
    let run = |osd: &mut Osd, words: usize, at_ms: u64, width_px: u32| {
        osd.show(None, Some(&badge(words)), at_ms);
        for step in 0..3 {
            osd.run(at_ms + 20 * step, (width_px, HEIGHT.into()), 1.0).textures.clear();
        }
        extent(osd)
    };
    for width_px in [1280, 640, 320] {
        let mut osd = Osd::with_clock(noon);
        let short = run(&mut osd, 1, 0, width_px);
        let long = run(&mut osd, 12, 1_000, width_px);
        let screen = width_px as f32 / osd.pixels_per_point();
        assert!(long.left() >= 0.0 && long.right() <= screen, "{long:?} in {screen}");
        assert!(long.width() > short.width() && long.height() > short.height());
        assert_eq!(run(&mut Osd::with_clock(noon), 12, 0, width_px), long);
        assert_eq!(run(&mut osd, 1, 2_000, width_px), short);
    }
}
