//! What the on-screen display says for each state that a user can meet.

use crate::view::{Ask, Badge, Panel};
use afterglow_wire::control::{RefusalCode, Stage};
use afterglow_wire::ids::{GroupId, ServerName};
use jiff::SignedDuration;
use jiff::civil::DateTime;

/// How a card feels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Nothing has to happen.
    Calm,
    /// Something is under way.
    Working,
    /// The user should know or do something.
    Attention,
}

/// A button: what it says, and what it asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Button {
    /// Its words.
    pub label: &'static str,
    /// What it asks for.
    pub ask: Ask,
    /// True for the one that most people want; Enter presses it, unless the
    /// card asks for a decision.
    pub primary: bool,
}

/// A panel in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// How it feels.
    pub tone: Tone,
    /// True on the screens of a DTU that nobody uses: they carry its name.
    pub idle: bool,
    /// What this is about, in a few words.
    pub title: &'static str,
    /// What happens, in a sentence.
    pub text: String,
    /// What the user can do, or what to expect, in a sentence.
    pub hint: String,
    /// A group's fingerprint, to be compared digit by digit.
    pub fingerprint: Option<[String; 4]>,
    /// For how long, if that is of interest.
    pub elapsed_ms: Option<u64>,
    /// What can be pressed.
    pub buttons: Vec<Button>,
    /// What Escape asks for.
    pub escape: Option<Ask>,
    /// True if it asks for a decision: nothing has the focus until the user
    /// gives it, for a key that was typed at something else is no answer.
    pub decides: bool,
}

impl Card {
    fn new(tone: Tone, title: &'static str, text: impl Into<String>) -> Self {
        Card {
            tone,
            idle: false,
            title,
            text: text.into(),
            hint: String::new(),
            fingerprint: None,
            elapsed_ms: None,
            buttons: Vec::new(),
            escape: None,
            decides: false,
        }
    }

    fn idle(mut self) -> Self {
        self.idle = true;
        self
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    fn elapsed(mut self, elapsed_ms: u64) -> Self {
        self.elapsed_ms = Some(elapsed_ms);
        self
    }

    fn primary(mut self, label: &'static str, ask: Ask) -> Self {
        self.buttons.push(Button { label, ask, primary: true });
        self
    }

    fn secondary(mut self, label: &'static str, ask: Ask) -> Self {
        self.buttons.push(Button { label, ask, primary: false });
        self
    }
}

/// A panel in words.
pub fn card(panel: &Panel) -> Card {
    match panel {
        Panel::NoNetwork => {
            Card::new(Tone::Attention, "No network", "This desktop unit has no network connection.")
                .idle()
                .hint("Check the cable or the wireless network. It goes on by itself.")
        }
        Panel::Searching { for_ms, trouble } => {
            let card = Card::new(
                Tone::Working,
                "Looking for a server",
                "Asking the local network for an Afterglow server.",
            );
            card.idle().hint(trouble.clone().unwrap_or_default()).elapsed(*for_ms)
        }
        Panel::Connecting { server } => Card::new(
            Tone::Working,
            "Connecting",
            format!("Opening a secure connection to {server}."),
        )
        .idle(),
        Panel::FirstMeeting { group, server } => first_meeting(group, server),
        Panel::InsertCard { server, reader, pseudo_offered } => {
            insert_card(server, reader.as_deref(), *pseudo_offered)
        }
        Panel::Inserting { server, stage, host, for_ms } => Card::new(
            Tone::Working,
            "Getting your desktop",
            stage_words(*stage, server, host.as_ref()),
        )
        .elapsed(*for_ms),
        Panel::Refused { server, code, text, back, sessions } => {
            refused(server, *code, text, (*back, *sessions))
        }
        Panel::Moving { from, to } => Card::new(
            Tone::Working,
            "Moving to your desktop",
            format!("Your desktop is on {to}. Going there from {from}."),
        ),
        Panel::ServerSilent { host, trying, for_ms } => {
            server_silent(host, trying.as_deref(), *for_ms)
        }
        Panel::Resuming { on, lost, stage, for_ms } => resuming(on, lost.as_ref(), *stage, *for_ms),
        Panel::SessionSilent { host, for_ms } => Card::new(
            Tone::Working,
            "Restarting your session",
            format!(
                "{host} answers, but your picture has not for {}. Your programs keep running.",
                short_time(*for_ms)
            ),
        )
        .hint("You need not do anything."),
        Panel::Restarted { on, notice } => Card::new(
            Tone::Attention,
            "Your programs were started again",
            format!("Your desktop continues on {on}."),
        )
        .hint(notice.clone()),
        Panel::Ended { text } => Card::new(Tone::Calm, "Session ended", text.clone())
            .hint("Take the card out, go on with another session of yours, or start a new one.")
            .primary("Go on", Ask::TryAgain)
            .secondary("Your sessions", Ask::TogglePanel),
        Panel::SignedOff => Card::new(
            Tone::Calm,
            "Signed off",
            "Your programs keep running. Nothing of them is left here.",
        )
        .hint("Insert the card again, here or elsewhere, to go on.")
        .primary("Show it here", Ask::TryAgain),
        Panel::Question { question, text } => {
            let answer = |yes| Ask::Answer { question: *question, yes };
            let card = Card::new(Tone::Attention, "The administrator asks", text.clone())
                .hint("Click, or choose with Tab and Enter. Escape means no.")
                .primary("No", answer(false))
                .secondary("Yes", answer(true));
            Card { escape: Some(answer(false)), decides: true, ..card }
        }
        // It is no card: see `sessions`.
        Panel::Sessions(_) => Card::new(Tone::Calm, "Your sessions", ""),
        Panel::Elsewhere { dtu } => Card::new(
            Tone::Calm,
            "Your desktop is elsewhere",
            format!("It is shown on {dtu} now. Nothing of it is left here."),
        )
        .hint("Insert the card here again to bring it back.")
        .primary("Show it here", Ask::TryAgain),
    }
}

fn first_meeting(group: &GroupId, server: &ServerName) -> Card {
    let mut card = Card::new(
        Tone::Attention,
        "Do you trust this group?",
        format!("{server} belongs to a group of servers that this desktop unit does not know."),
    )
    .hint("Compare the fingerprint with the one your administrator gave you. Until you agree, nothing of your card is sent.")
    .primary("Trust this group", Ask::TrustGroup(*group))
    .secondary("Do not trust", Ask::RefuseGroup(*group));
    card.fingerprint = Some(fingerprint_lines(group));
    card.decides = true;
    card
}

fn insert_card(server: &ServerName, reader: Option<&str>, pseudo_offered: bool) -> Card {
    let tone = if reader.is_some() { Tone::Attention } else { Tone::Calm };
    let text = match reader {
        None => "Your desktop appears here as you left it.".to_owned(),
        Some(trouble) => trouble.to_owned(),
    };
    let title = if reader.is_some() { "No card can be read" } else { "Insert your card" };
    let card = Card::new(tone, title, text).idle().hint(format!("Connected to {server}"));
    if pseudo_offered { card.primary("Continue without a card", Ask::UsePseudo) } else { card }
}

fn stage_words(stage: Option<Stage>, server: &ServerName, host: Option<&ServerName>) -> String {
    let other = || host.map_or_else(|| "its host".to_owned(), ToString::to_string);
    match stage {
        None => format!("{server} is checking your card."),
        Some(Stage::Looking) => format!("{server} asks its group where your desktop is."),
        Some(Stage::Probing) => format!("{server} checks whether {} still answers.", other()),
        Some(Stage::Starting) => format!("{server} starts a new desktop for you."),
        Some(Stage::Restarting) => format!("{server} starts your programs again."),
        Some(Stage::WaitingForStore) => {
            format!("{server} waits for the group's store, which does not answer.")
        }
    }
}

fn server_silent(host: &ServerName, trying: Option<&str>, for_ms: u64) -> Card {
    let next = match trying {
        Some(server) if server != host.to_string() => format!("Trying {server}."),
        _ => "Looking for another server.".to_owned(),
    };
    let time = short_time(for_ms);
    let text = format!("{host} has not answered for {time}. {next}");
    Card::new(Tone::Attention, "The server does not answer", text)
        .hint("You need not do anything. If the programs still run, they come back as they are.")
}

fn resuming(on: &ServerName, lost: Option<&ServerName>, stage: Option<Stage>, for_ms: u64) -> Card {
    let time = short_time(for_ms);
    let text = match (stage, lost) {
        (None, Some(lost)) => {
            format!("{lost} has not answered for {time}. {on} looks after your desktop.")
        }
        (Some(Stage::Probing), Some(lost)) => {
            format!("{on} asks whether {lost} still lives. Silent for {time}.")
        }
        (Some(Stage::Restarting), Some(lost)) => {
            format!("{on} starts your programs again. {lost} was lost {time} ago.")
        }
        (None, None) => format!("{on} looks after your desktop."),
        (stage, lost) => format!("{} It has been {time}.", stage_words(stage, on, lost)),
    };
    Card::new(Tone::Working, "Resuming your desktop", text).hint("You need not do anything.")
}

fn refused(
    server: &ServerName,
    code: RefusalCode,
    text: &str,
    (back, sessions): (bool, bool),
) -> Card {
    let title = match code {
        RefusalCode::TokenNotAccepted => "This card is not accepted",
        RefusalCode::ChallengeFailed => "The card could not be checked",
        RefusalCode::TicketRefused => "The way back was refused",
        RefusalCode::SessionFailed => "Your desktop could not be started",
        RefusalCode::NotHere => "Your desktop was not found",
        RefusalCode::TooManyRedirects => "Your desktop was not found",
        RefusalCode::Full => "The server is full",
        RefusalCode::StoreUnavailable => "The group's store cannot tell where your session is",
        RefusalCode::Unresolved => "Your desktop cannot be reached now",
    };
    let mut card = Card::new(Tone::Attention, title, text)
        .hint(format!("This is the answer of {server}."))
        .primary("Try again", Ask::TryAgain);
    if back {
        card = card.secondary("Back to your last session", Ask::GoBack);
    }
    if sessions {
        card = card.secondary("Your sessions", Ask::TogglePanel);
    }
    card
}

/// 64 digits as four lines of four groups of four.
fn fingerprint_lines(group: &GroupId) -> [String; 4] {
    let digits = group.to_string().to_ascii_uppercase();
    std::array::from_fn(|line| {
        let groups = (0..4).filter_map(|group| {
            let start = line * 16 + group * 4;
            digits.get(start..start + 4)
        });
        groups.collect::<Vec<_>>().join(" ")
    })
}

/// A badge in words.
pub fn badge(badge: &Badge) -> String {
    match badge {
        Badge::Notice { text } => text.clone(),
        Badge::ControlLost { server } => format!("{server} does not answer · your session goes on"),
        Badge::CaredForBy { server, instead_of } => {
            format!("{server} stands in for {instead_of}")
        }
    }
}

/// A time as people say it.
pub fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds:02} s"),
        (hours, minutes, _) => format!("{hours} h {minutes:02} min"),
    }
}

/// When something was, as the user's clock said it: at which time of the day,
/// and on which day unless that is today. `now` is what the clock says.
pub fn clock_time(ago_ms: u64, now: DateTime) -> String {
    let ago = SignedDuration::from_millis(i64::try_from(ago_ms).unwrap_or(i64::MAX));
    let then = now.saturating_sub(ago);
    match then.date() == now.date() {
        true => then.strftime("%H:%M").to_string(),
        false => then.strftime("%-d %b %H:%M").to_string(),
    }
}

/// A time that is mostly short: by the tenth of a second up to ten of them.
fn short_time(ms: u64) -> String {
    match ms {
        0..10_000 => format!("{}.{} s", ms / 1000, ms / 100 % 10),
        _ => duration(ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_as_people_say_them() {
        assert_eq!(duration(999), "0 s");
        assert_eq!(duration(59_999), "59 s");
        assert_eq!(duration(125_000), "2 min 05 s");
        assert_eq!(duration(3_661_000), "1 h 01 min");
        assert_eq!(short_time(430), "0.4 s");
        assert_eq!(short_time(9_999), "9.9 s");
        assert_eq!(short_time(10_000), "10 s");
    }

    #[test]
    fn what_was_before_today_has_its_day() {
        let now = jiff::civil::date(2026, 3, 1).at(0, 10, 30, 0);
        assert_eq!(clock_time(0, now), "00:10");
        assert_eq!(clock_time(600_000, now), "00:00");
        assert_eq!(clock_time(660_000, now), "28 Feb 23:59");
        assert_eq!(clock_time(u64::MAX, now), clock_time(u64::MAX - 1, now), "no such time");
    }

    #[test]
    fn each_step_of_a_failover_names_both_servers_and_the_time() {
        let (on, lost): (ServerName, ServerName) =
            ("host05".parse().unwrap(), "mud".parse().unwrap());
        for text in [
            server_silent(&lost, Some("host05"), 400).text,
            resuming(&on, Some(&lost), None, 400).text,
            resuming(&on, Some(&lost), Some(Stage::Probing), 400).text,
            resuming(&on, Some(&lost), Some(Stage::Restarting), 400).text,
        ] {
            assert!(["mud", "host05", "0.4 s"].iter().all(|word| text.contains(word)), "{text}");
        }
        let nobody = server_silent(&lost, None, 400).text;
        assert_eq!(nobody, "mud has not answered for 0.4 s. Looking for another server.");
    }

    #[test]
    fn a_fingerprint_is_whole_and_in_groups() {
        let group: GroupId = "0123456789abcdef".repeat(4).parse().unwrap();
        let lines = fingerprint_lines(&group);
        assert_eq!(lines[0], "0123 4567 89AB CDEF");
        let digits: String = lines.concat().split(' ').collect();
        assert_eq!(digits.to_ascii_lowercase(), group.to_string());
    }

    #[test]
    fn a_refusal_offers_the_ways_out_that_there_are() {
        let server: ServerName = "mud".parse().unwrap();
        let asks = |ways| {
            let card = refused(&server, RefusalCode::Full, "It is full.", ways);
            card.buttons.into_iter().map(|button| button.ask).collect::<Vec<_>>()
        };
        assert_eq!(asks((false, false)), [Ask::TryAgain]);
        assert_eq!(asks((true, true)), [Ask::TryAgain, Ask::GoBack, Ask::TogglePanel]);
    }

    #[test]
    fn a_reader_in_trouble_is_named_and_the_way_around_it_offered() {
        let server: ServerName = "mud".parse().unwrap();
        let card = insert_card(&server, Some("pcscd is not running."), true);
        assert!(card.text.contains("pcscd"));
        assert_eq!(card.buttons[0].ask, Ask::UsePseudo);
        assert!(insert_card(&server, None, false).buttons.is_empty());
    }
}
