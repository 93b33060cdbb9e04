//! The session panel: a list of the token's sessions, and beneath it what can
//! be done with the one that is chosen.

use super::layout::{self, ATTENTION, CALM, GLOW, TEXT, TEXT_SOFT};
use super::words::{clock_time, duration};
use crate::view::{Ask, SessionPanel};
use afterglow_wire::ids::{Epoch, SessionId};
use afterglow_wire::limits::SESSION_NAME_CHARS_MAX;
use afterglow_wire::quality::Quality;
use afterglow_wire::service::{ServiceAct, ServiceOrder, ServiceState, ServiceStatus};
use afterglow_wire::sessions::{SessionEntry, SessionOrder, SessionState};
use egui::{Button, Color32, CornerRadius, FontId, Key, Margin, Response, RichText, Stroke, Ui};
use jiff::civil::DateTime;
use std::cmp::Reverse;

const WIDTH: f32 = 560.0;

/// What the user is about to do.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// The row that is chosen.
    row: usize,
    /// The copy in that row, which the choice follows when the list changes.
    copy: Option<(SessionId, Epoch)>,
    /// A new name that is being typed.
    name: Option<String>,
    /// True if "End" was pressed once.
    ending: bool,
    /// True if the row has to be scrolled into view.
    reveal: bool,
}

/// Draws the panel, as it was told at this time of the user's clock.
pub fn show(
    context: &egui::Context,
    (panel, told_at): (&SessionPanel, DateTime),
    choice: &mut Choice,
    fresh: bool,
    asks: &mut Vec<Ask>,
) {
    if fresh {
        // The list may still be scrolled to where it was when it closed.
        *choice = Choice { reveal: true, ..Choice::default() };
    }
    choice.follow(&panel.sessions);
    keys(context, panel, choice, asks);
    choice.hold(&panel.sessions);
    let height = (context.content_rect().height() - 96.0).max(120.0);
    // The scroll bar has its place in what the card leaves at the right.
    let bar = Margin { right: 14, ..Margin::ZERO };
    let (id, margin) = (egui::Id::unique("sessions"), Margin::symmetric(24, 20) - bar);
    layout::in_the_middle(context, id, WIDTH, margin, |ui| {
        ui.spacing_mut().button_padding = egui::vec2(12.0, 7.0);
        // Without the least height it would stay as low as an empty list.
        egui::ScrollArea::vertical()
            .max_height(height)
            .min_scrolled_height(height)
            .content_margin(bar)
            .show(ui, |ui| contents(ui, (panel, told_at), choice, asks));
    });
    choice.hold(&panel.sessions);
}

impl Choice {
    /// Stays with its copy; what was begun with one that left the list is
    /// given up, and never done to another.
    fn follow(&mut self, sessions: &[SessionEntry]) {
        let place = |copy| sessions.iter().position(|one| (one.session, one.epoch) == copy);
        match self.copy.and_then(place) {
            Some(row) => self.row = row,
            None => (self.name, self.ending) = (None, false),
        }
        self.row = self.row.min(sessions.len().saturating_sub(1));
    }

    /// Notes which copy the row is.
    fn hold(&mut self, sessions: &[SessionEntry]) {
        self.copy = sessions.get(self.row).map(|one| (one.session, one.epoch));
    }
}

/// Arrows choose, Enter switches, Escape closes.
fn keys(context: &egui::Context, panel: &SessionPanel, choice: &mut Choice, asks: &mut Vec<Ask>) {
    let pressed = |key| context.input(|input| input.key_pressed(key));
    if pressed(Key::Escape) {
        // What was begun is given up first.
        let begun = (choice.name.take(), std::mem::take(&mut choice.ending));
        if begun == (None, false) {
            asks.push(Ask::TogglePanel);
        }
    }
    if choice.name.is_some() {
        return;
    }
    let down = pressed(Key::ArrowDown) && choice.row + 1 < panel.sessions.len();
    let up = pressed(Key::ArrowUp) && choice.row > 0;
    if down || up {
        let row = choice.row + usize::from(down) - usize::from(up);
        *choice = Choice { row, reveal: true, ..Choice::default() };
    }
    // Where a button has the focus, Enter is the button's.
    if pressed(Key::Enter)
        && context.memory(|memory| memory.focused().is_none())
        && let Some(entry) = panel.sessions.get(choice.row)
        && entry.state != SessionState::OlderCopy
    {
        asks.push(Ask::Switch(entry.session));
    }
}

fn contents(
    ui: &mut Ui,
    (panel, told_at): (&SessionPanel, DateTime),
    choice: &mut Choice,
    asks: &mut Vec<Ask>,
) {
    let heading = RichText::new("Your sessions").font(FontId::proportional(22.0)).color(TEXT);
    let heading = ui.label(heading).rect;
    if !panel.listed {
        ui.label(RichText::new("Asking the server.").color(TEXT_SOFT));
    }
    // Above the list, for beneath a long one nobody sees it.
    if !panel.trouble.is_empty() {
        ui.label(RichText::new(&panel.trouble).font(FontId::proportional(14.0)).color(ATTENTION));
    }
    for (row, entry) in panel.sessions.iter().enumerate() {
        let title = title(entry, &panel.sessions);
        let response =
            session_row(ui, (&title, &state_words(entry, told_at)), entry, row == choice.row);
        if response.clicked() {
            *choice = Choice { row, ..Choice::default() };
        }
        if row == choice.row && std::mem::take(&mut choice.reveal) {
            // Above the first row there is only the heading.
            let above = if row == 0 { heading } else { response.rect };
            ui.scroll_to_rect(response.rect.union(above), None);
        }
    }
    ui.add_space(6.0);
    if let Some(entry) = panel.sessions.get(choice.row) {
        actions(ui, entry, choice, asks);
    }
    ui.horizontal_wrapped(|ui| {
        if button(ui, "New session", false) {
            asks.push(Ask::NewSession);
        }
        if button(ui, "Sign off", false) {
            asks.push(Ask::SignOff);
        }
        if button(ui, "Close", false) {
            asks.push(Ask::TogglePanel);
        }
    });
    if let Some(quality) = panel.quality {
        ui.add_space(8.0);
        quality_row(ui, quality, asks);
    }
    let shown = panel.sessions.iter().find(|entry| entry.state == SessionState::Shown);
    if let Some(entry) = shown.filter(|_| !panel.services.is_empty()) {
        ui.add_space(8.0);
        ui.label(RichText::new("Services of this session").color(TEXT_SOFT));
        for service in &panel.services {
            service_row(ui, (entry.session, entry.epoch), service, asks);
        }
    }
}

/// What a session is called: by its name, or else by its number, the oldest
/// first. So its number is the same whichever session was connected last, and
/// whichever others have names.
fn title(entry: &SessionEntry, sessions: &[SessionEntry]) -> String {
    if !entry.name.is_empty() {
        return entry.name.clone();
    }
    let live = || sessions.iter().filter(|one| one.state != SessionState::OlderCopy);
    // An earlier copy has the age of its freezing, and its session's number.
    let Some(known) = live().find(|one| one.session == entry.session) else {
        return "Earlier desktop".to_owned();
    };
    let place = |one: &SessionEntry| (Reverse(one.age_ms), one.session);
    let older = live().filter(|one| place(one) < place(known)).count();
    format!("Desktop {}", older + 1)
}

/// One session.
fn session_row(
    ui: &mut Ui,
    (title, state): (&str, &str),
    entry: &SessionEntry,
    chosen: bool,
) -> Response {
    let services: Vec<_> = entry.services.iter().map(|name| name.as_str()).collect();
    let with = match services.is_empty() {
        true => String::new(),
        false => format!(" · {}", services.join(", ")),
    };
    let color = if entry.state == SessionState::Shown { GLOW } else { TEXT };
    let mut job = egui::text::LayoutJob::default();
    let format = |size, color| egui::TextFormat {
        font_id: FontId::proportional(size),
        color,
        ..Default::default()
    };
    job.append(title, 0.0, format(16.0, color));
    job.append(&format!("\n{state}{with}"), 0.0, format(13.0, TEXT_SOFT));
    job.wrap.max_width = ui.available_width() - 24.0;
    let fill = if chosen { Color32::from_rgb(0x2a, 0x2e, 0x3d) } else { Color32::TRANSPARENT };
    let edge = if chosen { Stroke::new(1.0, CALM) } else { Stroke::NONE };
    let button = Button::new(job)
        .fill(fill)
        .stroke(edge)
        .corner_radius(CornerRadius::same(9))
        .min_size(egui::vec2(ui.available_width(), 0.0));
    seen(ui.add(button))
}

/// What a key gave the focus is scrolled into view.
fn seen(response: Response) -> Response {
    if response.gained_focus() {
        response.scroll_to_me(None);
    }
    response
}

/// How a session stood at this time of the user's clock, in words.
fn state_words(entry: &SessionEntry, told_at: DateTime) -> String {
    let age = duration(entry.age_ms);
    let server = &entry.server;
    match entry.state {
        SessionState::Shown => format!("shown here · on {server} for {age}"),
        SessionState::Running => format!("runs on {server} for {age}"),
        SessionState::HostSilent => format!("on {server}, which is silent · {age} old"),
        SessionState::Lost => format!("stopped on {server}: it starts again once you choose it"),
        // While the store is away nobody knows since when.
        SessionState::OlderCopy if entry.age_ms == 0 => format!("earlier copy on {server}"),
        SessionState::OlderCopy => {
            format!("earlier copy on {server}, since {}", clock_time(entry.age_ms, told_at))
        }
    }
}

fn actions(ui: &mut Ui, entry: &SessionEntry, choice: &mut Choice, asks: &mut Vec<Ask>) {
    let (session, epoch) = (entry.session, entry.epoch);
    let manage = |order| Ask::Manage { session, epoch, order };
    if let Some(name) = &mut choice.name {
        let field = egui::TextEdit::singleline(name).char_limit(SESSION_NAME_CHARS_MAX);
        let response = ui.add(field.hint_text("A name for this session"));
        response.request_focus();
        if ui.input(|input| input.key_pressed(Key::Enter)) {
            asks.push(manage(SessionOrder::Rename(name.clone())));
            choice.name = None;
        }
        return;
    }
    let older = entry.state == SessionState::OlderCopy;
    ui.horizontal_wrapped(|ui| {
        if older && button(ui, "Continue it", true) {
            asks.push(manage(SessionOrder::Continue));
        }
        if !older && entry.state != SessionState::Shown && button(ui, "Switch to it", true) {
            asks.push(Ask::Switch(session));
        }
        if !older && button(ui, "Rename", false) {
            choice.name = Some(entry.name.clone());
        }
        match choice.ending {
            false => choice.ending = button(ui, "End", false),
            true => {
                ui.label(RichText::new("End its programs?").color(ATTENTION));
                if button(ui, "Yes, end it", false) {
                    asks.push(manage(SessionOrder::End));
                    choice.ending = false;
                }
            }
        }
    });
}

/// How exact the picture of the session that is shown is, and the other way.
fn quality_row(ui: &mut Ui, quality: Quality, asks: &mut Vec<Ask>) {
    let (other, label, meaning) = match quality {
        Quality::Lossless => (Quality::Auto, "Switch to auto", "Every frame is exact."),
        Quality::Auto => (
            Quality::Lossless,
            "Switch to lossless",
            "Video is sent with less colour, and exactly as soon as it rests.",
        ),
    };
    ui.label(RichText::new("Picture of this session").color(TEXT_SOFT));
    ui.horizontal_wrapped(|ui| {
        let words = format!("Quality: {}", quality.name());
        ui.label(RichText::new(words).font(FontId::proportional(14.0)).color(TEXT));
        if button(ui, label, false) {
            asks.push(Ask::SetQuality(other));
        }
    });
    ui.label(RichText::new(meaning).font(FontId::proportional(13.0)).color(TEXT_SOFT));
}

fn service_row(
    ui: &mut Ui,
    (session, epoch): (SessionId, Epoch),
    service: &ServiceStatus,
    asks: &mut Vec<Ask>,
) {
    let state = match service.state {
        ServiceState::Stopped => "stopped",
        ServiceState::Starting => "starts",
        ServiceState::Running => "runs",
        ServiceState::Failed => "failed",
    };
    let place = match service.host.as_str() {
        "" => String::new(),
        host => format!(" on {host}"),
    };
    ui.horizontal_wrapped(|ui| {
        let words = format!("{}: {state}{place}", service.name);
        let color = if service.state == ServiceState::Failed { ATTENTION } else { TEXT };
        ui.label(RichText::new(words).font(FontId::proportional(14.0)).color(color));
        let runs = matches!(service.state, ServiceState::Running | ServiceState::Starting);
        let mut order = |ui: &mut Ui, label: &'static str, act| {
            if button(ui, label, false) {
                let order = ServiceOrder { name: service.name.clone(), act };
                let order = SessionOrder::Service(order);
                asks.push(Ask::Manage { session, epoch, order });
            }
        };
        match runs {
            false => order(ui, "Start", ServiceAct::Start),
            true => {
                if !service.required {
                    order(ui, "Stop", ServiceAct::Stop);
                }
                order(ui, "Restart", ServiceAct::Restart);
            }
        }
    });
    if !service.text.is_empty() {
        ui.label(RichText::new(&service.text).font(FontId::proportional(13.0)).color(TEXT_SOFT));
    }
}

fn button(ui: &mut Ui, label: &str, primary: bool) -> bool {
    let (fill, text) = match primary {
        true => (GLOW, Color32::from_rgb(0x22, 0x12, 0x06)),
        false => (Color32::from_rgb(0x2a, 0x2e, 0x3d), TEXT),
    };
    let label = RichText::new(label).font(FontId::proportional(14.0)).color(text);
    seen(ui.add(Button::new(label).fill(fill).corner_radius(CornerRadius::same(8)))).clicked()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u8) -> SessionEntry {
        SessionEntry {
            session: SessionId([number; 16]),
            epoch: Epoch(1),
            name: String::new(),
            server: "mud".parse().expect("a name"),
            state: SessionState::Running,
            age_ms: 0,
            services: Default::default(),
        }
    }

    #[test]
    fn a_session_without_a_name_is_numbered_by_its_age() {
        let aged = |number, age_ms| SessionEntry { age_ms, ..entry(number) };
        let titles = |sessions: &[SessionEntry]| {
            sessions.iter().map(|one| title(one, sessions)).collect::<Vec<_>>()
        };
        let (old, middle, new) = (aged(7, 3_000), aged(2, 2_000), aged(5, 1_000));
        let last_connected_first = [new.clone(), old.clone(), middle.clone()];
        assert_eq!(titles(&last_connected_first), ["Desktop 3", "Desktop 1", "Desktop 2"]);
        // After a switch the list has another order, and later all are older.
        let switched = [aged(2, 9_000), aged(5, 8_000), aged(7, 10_000)];
        assert_eq!(titles(&switched), ["Desktop 2", "Desktop 3", "Desktop 1"]);
        // A name takes no number from the others; an earlier copy has its own
        // session's, whenever it was frozen.
        let state = SessionState::OlderCopy;
        let named = SessionEntry { name: "work".into(), ..old };
        let older = SessionEntry { state, ..aged(2, 99_000) };
        let orphan = SessionEntry { state, ..aged(9, 5_000) };
        let all = [new, named, middle, older, orphan];
        assert_eq!(
            titles(&all),
            ["Desktop 3", "work", "Desktop 2", "Desktop 2", "Earlier desktop"]
        );
        // Those of one age do not change places.
        assert_eq!(titles(&[entry(2), entry(1)]), ["Desktop 2", "Desktop 1"]);
    }

    #[test]
    fn what_was_begun_with_a_session_is_never_done_to_another() {
        let mut choice = Choice { row: 1, ending: true, ..Choice::default() };
        choice.hold(&[entry(1), entry(2)]);
        choice.follow(&[entry(2), entry(1)]);
        assert_eq!((choice.row, choice.ending), (0, true));
        choice.follow(&[entry(1)]);
        assert_eq!((choice.row, choice.ending), (0, false));
    }
}
