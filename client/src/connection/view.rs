//! What the user sees of the connection's state.

use super::attempts::Attempt;
use super::gap::GapView;
use super::insert::{Phase, Present};
use super::refusal::Stop;
use super::{Action, Connection, Logged, RESTARTED_SHOWN_MS};
use crate::view::{Badge, Panel, Picture, ToWindow, View};
use afterglow_wire::control::{Progress, RefusalCode, Stage};
use afterglow_wire::ids::ServerName;

/// A session that comes sooner than this after its card is not announced: the
/// user would see a flash, and the picture wait until that is drawn.
const ANNOUNCED_AFTER_MS: u64 = 100;
/// Times of what takes seconds go in steps of this.
const STEP_MS: u64 = 500;
/// Times of an interruption go in steps of this, while they are short.
const FINE_STEP_MS: u64 = 100;
/// And from here on by the second.
const FINE_MS_MAX: u64 = 10_000;

impl Connection {
    /// Tells the window what is to be seen, if that is something new.
    pub(super) fn tell_view(&mut self) {
        self.restarted_on_time();
        self.note_gap();
        let view = self.view();
        if self.last_view.as_ref() == Some(&view) {
            return;
        }
        let announces = matches!(view.panel, Some(Panel::Inserting { .. }));
        if announces && self.announced_at_ms().is_some_and(|at_ms| self.now_ms < at_ms) {
            return;
        }
        let names = |view: &View| (view.panel.as_ref().map(panel_name), picture_name(view.picture));
        if self.last_view.as_ref().map(names) != Some(names(&view)) {
            let (panel, picture) = names(&view);
            self.log(Logged::View { panel, picture });
        }
        self.last_view = Some(view.clone());
        self.act(Action::ToWindow(ToWindow::View(view)));
    }

    /// From when on the user is told that a session is on its way, if there is
    /// still to be seen that no card is in.
    fn announced_at_ms(&self) -> Option<u64> {
        let panel = self.last_view.as_ref()?.panel.as_ref()?;
        let present = self.present.as_ref()?;
        matches!(panel, Panel::InsertCard { .. }).then_some(present.since_ms + ANNOUNCED_AFTER_MS)
    }

    /// What the user is told of programs that were started again is up for a
    /// while, which begins once no other panel covers it.
    fn restarted_on_time(&mut self) {
        let (now_ms, covered) = (self.now_ms, self.panel_view().is_some());
        if let Some((_, _, until_ms)) = &mut self.restarted
            && covered
        {
            *until_ms = now_ms + RESTARTED_SHOWN_MS;
        }
        self.restarted.take_if(|(_, _, until_ms)| *until_ms <= now_ms);
    }

    pub(super) fn log_progress(&mut self, progress: &Progress) {
        let Some(server) = self.up().map(|up| up.server.to_string()) else { return };
        let host = progress.host.as_ref().map(ToString::to_string);
        self.log(Logged::Progress { server, stage: stage_name(progress.stage), host });
    }

    fn view(&self) -> View {
        let Some(present) = &self.present else {
            return View { picture: Picture::Blank, panel: Some(self.no_token()), badge: None };
        };
        let over = self.panel_view();
        let notice = self.notice_badge();
        if let Phase::Stopped(stop) = &present.phase {
            let panel = over.unwrap_or_else(|| self.stopped(present, stop));
            return View { picture: Picture::Blank, panel: Some(panel), badge: notice };
        }
        match (&self.shown, self.gap()) {
            (Some(_), GapView::None | GapView::Grace { .. }) => {
                let picture = if over.is_some() { Picture::Dimmed } else { Picture::Live };
                let panel = over.or_else(|| self.restarted_panel());
                View { picture, panel, badge: self.badge(present) }
            }
            (Some(shown), GapView::Long { since_ms }) => {
                let for_ms = self.fine_steps_since(since_ms);
                let panel = over.unwrap_or_else(|| self.long_gap(present, &shown.host, for_ms));
                View { picture: Picture::Dimmed, panel: Some(panel), badge: notice }
            }
            (None, _) => {
                let panel = over.unwrap_or_else(|| self.no_picture(present));
                View { picture: Picture::Blank, panel: Some(panel), badge: notice }
            }
        }
    }

    fn restarted_panel(&self) -> Option<Panel> {
        let (on, notice, _) = self.restarted.as_ref()?;
        Some(Panel::Restarted { on: on.clone(), notice: notice.clone() })
    }

    /// There is no link to a server.
    fn no_server(&self) -> Panel {
        if !self.network_up {
            return Panel::NoNetwork;
        }
        if let Some((group, server, _)) = &self.meeting {
            return Panel::FirstMeeting { group: *group, server: server.clone() };
        }
        // After a failure the reason stays on the screen while others are
        // tried.
        match self.attempt_to_show() {
            Some(Attempt { opened: Some((_, server)), .. }) => {
                Panel::Connecting { server: server.to_string() }
            }
            Some(attempt) if self.search.trouble.is_none() => {
                Panel::Connecting { server: tried(attempt) }
            }
            _ => Panel::Searching {
                for_ms: self.steps_since(self.search.since_ms),
                trouble: self.search.trouble.clone(),
            },
        }
    }

    /// The attempt that got furthest, and of those the latest.
    fn attempt_to_show(&self) -> Option<&Attempt> {
        self.control.attempts.iter().max_by_key(|attempt| attempt.opened.is_some())
    }

    fn no_token(&self) -> Panel {
        match self.up() {
            None => self.no_server(),
            Some(up) => Panel::InsertCard {
                server: up.server.clone(),
                reader: self.reader_trouble.clone(),
                pseudo_offered: self.config.pseudo_offered,
            },
        }
    }

    /// A token is in, and no picture of its session came yet.
    fn no_picture(&self, present: &Present) -> Panel {
        if let Some((from, redirect)) = &present.redirect {
            return Panel::Moving { from: from.clone(), to: redirect.to.name.clone() };
        }
        let Some(up) = self.up() else { return self.no_server() };
        if let Some((server, code, text)) = &present.refusal {
            return self.refused_panel(present, server, *code, text);
        }
        let (stage, host) = present.progress.clone().unzip();
        Panel::Inserting {
            server: up.server.clone(),
            stage,
            host: host.flatten(),
            for_ms: self.steps_since(present.since_ms),
        }
    }

    /// The session's last picture is on the screen, without a link to it.
    fn long_gap(&self, present: &Present, host: &ServerName, for_ms: u64) -> Panel {
        let host = host.clone();
        let Some(up) = self.up() else {
            return match self.network_up {
                true => {
                    Panel::ServerSilent { host, trying: self.attempt_to_show().map(tried), for_ms }
                }
                false => Panel::NoNetwork,
            };
        };
        if let Some((server, code, text)) = &present.refusal
            && matches!(
                code,
                RefusalCode::Full | RefusalCode::StoreUnavailable | RefusalCode::Unresolved
            )
        {
            return self.refused_panel(present, server, *code, text);
        }
        let stage = present.progress.as_ref().map(|(stage, _)| *stage);
        // That the programs keep running is only said where nothing is known
        // to the contrary.
        if up.server == host && stage.is_none() {
            return Panel::SessionSilent { host, for_ms };
        }
        Panel::Resuming { on: up.server.clone(), lost: Some(host), stage, for_ms }
    }

    /// What the user was told a moment ago, whatever panel is up.
    fn notice_badge(&self) -> Option<Badge> {
        self.notice_view().map(|text| Badge::Notice { text: text.to_owned() })
    }

    fn stopped(&self, present: &Present, stop: &Stop) -> Panel {
        match stop.clone() {
            Stop::Refused { server, code, text } => {
                self.refused_panel(present, &server, code, &text)
            }
            Stop::Elsewhere { dtu } => Panel::Elsewhere { dtu },
            Stop::Ended { text } => Panel::Ended { text },
            Stop::SignedOff => Panel::SignedOff,
        }
    }

    /// A refusal, with the ways out of it. A token that is not accepted has no
    /// sessions, and a server that was shown a bad ticket only does not tell
    /// them.
    fn refused_panel(
        &self,
        present: &Present,
        server: &ServerName,
        code: RefusalCode,
        text: &str,
    ) -> Panel {
        let accepted =
            !matches!(code, RefusalCode::TokenNotAccepted | RefusalCode::ChallengeFailed);
        let told = accepted && code != RefusalCode::TicketRefused;
        Panel::Refused {
            server: server.clone(),
            code,
            text: text.to_owned(),
            back: accepted && present.wants_another(),
            sessions: told && self.up().is_some(),
        }
    }

    fn badge(&self, present: &Present) -> Option<Badge> {
        if let Some(notice) = self.notice_badge() {
            return Some(notice);
        }
        match (self.up(), &self.lost_server) {
            (Some(up), _) => {
                let host = &self.shown.as_ref()?.host;
                (present.cared_for_by.as_ref() == Some(&up.server)).then(|| Badge::CaredForBy {
                    server: up.server.clone(),
                    instead_of: host.clone(),
                })
            }
            (None, _) if present.redirect.is_some() => None,
            (None, Some((server, _))) => Some(Badge::ControlLost { server: server.clone() }),
            (None, None) => None,
        }
    }

    fn steps_since(&self, since_ms: u64) -> u64 {
        self.now_ms.saturating_sub(since_ms) / STEP_MS * STEP_MS
    }

    fn fine_steps_since(&self, since_ms: u64) -> u64 {
        let for_ms = self.now_ms.saturating_sub(since_ms);
        for_ms / fine_step_ms(for_ms) * fine_step_ms(for_ms)
    }

    pub(super) fn view_deadline_ms(&self) -> Option<u64> {
        let restarted_ms = self.restarted.as_ref().map(|(_, _, until_ms)| *until_ms);
        let next = |since_ms: u64| since_ms + self.steps_since(since_ms) + STEP_MS;
        let gap_ms = match self.gap() {
            GapView::None => None,
            GapView::Grace { until_ms } => Some(until_ms),
            GapView::Long { since_ms } => {
                let for_ms = self.fine_steps_since(since_ms);
                Some(since_ms + for_ms + fine_step_ms(for_ms))
            }
        };
        let step_ms = match self.last_view.as_ref()?.panel.as_ref() {
            Some(Panel::Searching { .. }) => Some(next(self.search.since_ms)),
            Some(Panel::Inserting { .. }) => {
                self.present.as_ref().map(|present| next(present.since_ms))
            }
            _ => None,
        };
        [restarted_ms, gap_ms, step_ms, self.announced_at_ms()].into_iter().flatten().min()
    }
}

fn fine_step_ms(for_ms: u64) -> u64 {
    if for_ms < FINE_MS_MAX { FINE_STEP_MS } else { 1_000 }
}

/// Who is tried, as far as that is known.
fn tried(attempt: &Attempt) -> String {
    let (target, opened) = (&attempt.target, attempt.opened.as_ref());
    let server = opened.map(|(_, server)| server).or(target.server.as_ref());
    server.map_or_else(|| target.address.to_string(), ToString::to_string)
}

fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Looking => "looking",
        Stage::Probing => "probing",
        Stage::Starting => "starting",
        Stage::Restarting => "restarting",
        Stage::WaitingForStore => "waiting_for_store",
    }
}

fn picture_name(picture: Picture) -> &'static str {
    match picture {
        Picture::Blank => "blank",
        Picture::Live => "live",
        Picture::Dimmed => "dimmed",
    }
}

fn panel_name(panel: &Panel) -> &'static str {
    match panel {
        Panel::NoNetwork => "NoNetwork",
        Panel::Searching { .. } => "Searching",
        Panel::Connecting { .. } => "Connecting",
        Panel::FirstMeeting { .. } => "FirstMeeting",
        Panel::InsertCard { .. } => "InsertCard",
        Panel::Inserting { .. } => "Inserting",
        Panel::Refused { .. } => "Refused",
        Panel::Moving { .. } => "Moving",
        Panel::ServerSilent { .. } => "ServerSilent",
        Panel::Resuming { .. } => "Resuming",
        Panel::SessionSilent { .. } => "SessionSilent",
        Panel::Restarted { .. } => "Restarted",
        Panel::Ended { .. } => "Ended",
        Panel::Elsewhere { .. } => "Elsewhere",
        Panel::SignedOff => "SignedOff",
        Panel::Sessions(_) => "Sessions",
        Panel::Question { .. } => "Question",
    }
}
