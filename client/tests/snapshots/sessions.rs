//! The session panel: against goldens, and worked by keys and the wheel.

use crate::osd::{asked, corners, golden_after, key, noon, panel, server};
use afterglow_client::osd::{self, Osd};
use afterglow_client::view::{Ask, Panel, Picture, SessionPanel};
use afterglow_wire::ids::{Epoch, SessionId};
use afterglow_wire::quality::Quality;
use afterglow_wire::service::{ServiceState, ServiceStatus};
use afterglow_wire::sessions::{SessionEntry, SessionState};

fn entry(number: u8, name: &str, on: &str, state: SessionState) -> SessionEntry {
    SessionEntry {
        session: SessionId([number; 16]),
        epoch: Epoch(1),
        name: name.into(),
        server: server(on),
        state,
        age_ms: 200_000 * u64::from(number),
        services: Default::default(),
    }
}

fn three_sessions() -> SessionPanel {
    let mut work = entry(1, "work", "host05", SessionState::Shown);
    work.services = ["mail", "chart"].map(|name| name.parse().unwrap()).into_iter().collect();
    let older = entry(3, "work", "mud", SessionState::OlderCopy);
    let sessions = vec![work, entry(2, "", "host21", SessionState::HostSilent), older];
    SessionPanel { listed: true, sessions, ..SessionPanel::default() }
}

fn sessions_panel(panel: SessionPanel) -> Panel {
    Panel::Sessions(Box::new(panel))
}

#[test]
fn the_session_panel() {
    panel("sessions", Picture::Dimmed, sessions_panel(three_sessions()));
    let mut one = three_sessions();
    one.sessions.truncate(1);
    let service = |name: &str, state, required, text: &str| ServiceStatus {
        name: name.parse().unwrap(),
        state,
        required,
        host: if name == "chart" { "ada@big".into() } else { String::new() },
        text: text.into(),
    };
    one.services = vec![
        service("mail", ServiceState::Running, true, ""),
        service("chart", ServiceState::Running, false, ""),
        service("music", ServiceState::Failed, false, "it ended with exit status: 1"),
    ];
    panel("sessions-services", Picture::Dimmed, sessions_panel(one));
    let trouble = "The group's store does not answer: only what is on this server is listed.";
    let asking = SessionPanel { trouble: trouble.into(), ..SessionPanel::default() };
    panel("sessions-trouble", Picture::Dimmed, sessions_panel(asking));
}

/// A panel whose only session has said how exact its picture is.
fn of_quality(quality: Quality) -> Panel {
    let mut one = three_sessions();
    one.sessions.truncate(1);
    one.quality = Some(quality);
    sessions_panel(one)
}

#[test]
fn the_pictures_quality_is_told_and_switched() {
    panel("sessions-lossless", Picture::Dimmed, of_quality(Quality::Lossless));
    panel("sessions-auto", Picture::Dimmed, of_quality(Quality::Auto));
    // The last of the panel's buttons, to which Shift+Tab leads.
    let keys = [shift_tab().to_vec(), key(egui::Key::Enter).to_vec()].concat();
    for (quality, other) in [(Quality::Lossless, Quality::Auto), (Quality::Auto, Quality::Lossless)]
    {
        assert_eq!(asked(&of_quality(quality), &keys), [Ask::SetQuality(other)]);
    }
}

#[test]
fn the_session_panel_is_worked_by_keys() {
    let keys = |keys: &[egui::Key]| keys.iter().flat_map(|k| key(*k)).collect::<Vec<_>>();
    let three = sessions_panel(three_sessions());
    let second = SessionId([2; 16]);
    let pressed = |keys: Vec<egui::Event>| asked(&three, &keys);
    use egui::Key::{ArrowDown, Enter, Escape};
    assert_eq!(pressed(keys(&[ArrowDown, Enter])), [Ask::Switch(second)]);
    // An earlier copy is not switched to: it has to be continued first.
    assert_eq!(pressed(keys(&[ArrowDown, ArrowDown, Enter])), []);
    assert_eq!(pressed(keys(&[Escape])), [Ask::TogglePanel]);
}

/// More than a small window has room for.
fn many_sessions() -> Panel {
    sessions_panel(SessionPanel { listed: true, sessions: twelve(), ..SessionPanel::default() })
}

fn twelve() -> Vec<SessionEntry> {
    let name = |number| format!("task {number}");
    let one = |number: u8| entry(number, &name(number), "mud", SessionState::Running);
    (1..=12).map(one).collect()
}

const SMALL_WINDOW_HEIGHT: u16 = 480;

#[track_caller]
fn many_after(name: &str, events: &[egui::Event]) {
    let panel = Some(many_sessions());
    golden_after(name, Picture::Dimmed, panel, None, SMALL_WINDOW_HEIGHT, events);
}

#[test]
fn a_long_list_follows_the_keys() {
    let nine = |pressed| (0..9).flat_map(|_| key(pressed)).collect::<Vec<_>>();
    let down = nine(egui::Key::ArrowDown);
    many_after("sessions-many", &[]);
    many_after("sessions-many-down", &down);
    let back = [down, nine(egui::Key::ArrowUp)].concat();
    many_after("sessions-many", &back);
    // A button that gets the focus is seen, too: the last one.
    many_after("sessions-many-focus", &shift_tab());
}

fn shift_tab() -> [egui::Event; 2] {
    key(egui::Key::Tab).map(|event| match event {
        egui::Event::Key { key, physical_key, pressed, repeat, .. } => {
            let modifiers = egui::Modifiers::SHIFT;
            egui::Event::Key { key, physical_key, pressed, repeat, modifiers }
        }
        event => event,
    })
}

#[test]
fn what_is_wrong_is_told_above_a_long_list() {
    let trouble = "No server answers: nothing can be changed now.".into();
    let silent = SessionPanel { listed: true, sessions: twelve(), trouble, ..Default::default() };
    let panel = Some(sessions_panel(silent));
    let name = "sessions-many-trouble";
    golden_after(name, Picture::Dimmed, panel, None, SMALL_WINDOW_HEIGHT, &[]);
}

#[test]
fn a_long_list_follows_the_wheel() {
    let moved = egui::Event::PointerMoved(egui::pos2(300.0, 240.0));
    let wheel = |steps_y| osd::wheel(0, steps_y);
    many_after("sessions-many-wheel", &[moved.clone(), wheel(3)]);
    let there_and_back = [moved, wheel(3), wheel(-1), wheel(-4), egui::Event::PointerGone];
    many_after("sessions-many", &there_and_back);
}

/// Lets an on-screen display come to rest, after what the user did.
fn rest(osd: &mut Osd, from_ms: u64, events: &[egui::Event]) -> Vec<egui::Pos2> {
    let events = events.iter().cloned().map(Some).chain([None, None, None]);
    for (event, now_ms) in events.zip((from_ms..).step_by(20)) {
        event.into_iter().for_each(|event| osd.event(event));
        osd.run(now_ms, (640, SMALL_WINDOW_HEIGHT.into()), 1.0).textures.clear();
    }
    corners(osd)
}

#[test]
fn the_panel_looks_the_same_however_it_came_to_its_list() {
    let [empty, three] = [SessionPanel::default(), three_sessions()].map(sessions_panel);
    let many = many_sessions();
    let shown = |panels: &[&Panel]| {
        let mut osd = Osd::with_clock(noon);
        let mut looks = Vec::new();
        for (panel, at_ms) in panels.iter().zip((0..).step_by(1_000)) {
            osd.show(Some(panel), None, at_ms);
            looks = rest(&mut osd, at_ms, &[]);
        }
        looks
    };
    for list in [&empty, &three, &many] {
        let alone = shown(&[list]);
        assert_eq!(shown(&[&empty, list]), alone);
        assert_eq!(shown(&[&many, list]), alone);
    }
}

#[test]
fn an_opened_panel_begins_at_its_top() {
    let mut osd = Osd::with_clock(noon);
    let many = many_sessions();
    osd.show(Some(&many), None, 0);
    let top = rest(&mut osd, 0, &[]);
    let down = (0..9).flat_map(|_| key(egui::Key::ArrowDown)).collect::<Vec<_>>();
    assert_ne!(rest(&mut osd, 1_000, &down), top);
    osd.show(None, None, 2_000);
    rest(&mut osd, 2_000, &[]);
    osd.show(Some(&many), None, 3_000);
    assert_eq!(rest(&mut osd, 3_000, &[]), top);
}
