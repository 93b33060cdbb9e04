//! The display link: attach, frames, loss.
//!
//! Frames go to the window whole and one by one; the window says when each is
//! on the screen, and only then the session is told.

use super::gap::{GapView, Lost};
use super::input::Seen;
use super::refusal::Stop;
use super::suspicion::Suspicion;
use super::{Action, Connection, DISPLAY_OPEN_TIMEOUT_MS, LinkId, Logged, RESTARTED_SHOWN_MS};
use crate::view::ToWindow;
use afterglow_wire::command::Command;
use afterglow_wire::control::{Attach, Origin, Remove, Showing};
use afterglow_wire::display::{
    ALIVE_EVERY_MS, AttachDisplay, Attached, DetachReason, Detached, FramePart, FrameShown,
    FromSession, ToSession,
};
use afterglow_wire::ids::{Epoch, ServerName, SessionId, Size};
use afterglow_wire::input::InputEvent;
use afterglow_wire::limits::{FRAME_BYTES_MAX, FRAME_PARTS_MAX, FRAMES_UNACKNOWLEDGED_MAX};
use afterglow_wire::quality::Quality;
use std::collections::VecDeque;

/// For how long after the picture stopped what is typed is still meant for it,
/// though a panel came up; only the same copy of the session ever gets it.
const TYPED_ON_MS: u64 = 2_000;

/// A link that ends after so many of its regular words did not come fell silent
/// before; one that is closed ends in the midst of its words.
const SILENT_WORDS: u64 = 4;

/// A display link, from the permission to its loss.
#[derive(Debug)]
pub(super) struct DisplayLink {
    pub(super) link: LinkId,
    attach: Attach,
    state: State,
    /// The window's size, as the session was told.
    pub(super) told_size: Size,
    /// The frame that is coming in.
    parts: Parts,
    /// The number of the next frame.
    next_frame: u64,
    /// Frames that the window has and did not show yet: its number, ours.
    unshown: VecDeque<(u64, u64)>,
    first_shown: bool,
    /// The user knows that the session cannot be as large as the window.
    pub(super) limit_told: bool,
    /// The last frame of which the session told what it cost.
    pub(super) spent_through: u64,
    /// The frame after which the window compares its picture.
    pub(super) comparing: Option<u64>,
    /// How exact the picture is, once the session said so; a worker of an
    /// older version never does.
    quality: Option<Quality>,
    pub(super) suspicion: Suspicion,
    /// False as long as it never said so: a worker of an older version may be
    /// silent while its picture stands still.
    pub(super) says_alive: bool,
    /// It is silent for too long.
    pub(super) suspected: Option<Lost>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Opening { deadline_ms: u64 },
    Attaching { deadline_ms: u64 },
    Live { since_ms: u64, size: Size },
}

#[derive(Debug, Default)]
struct Parts {
    commands: Vec<Command>,
    count: usize,
    bytes: usize,
}

impl DisplayLink {
    pub(super) fn is_live(&self) -> bool {
        matches!(self.state, State::Live { .. })
    }

    /// True if this frame is the last one that came, and the window shows it.
    pub(super) fn shows_all_through(&self, frame: u64) -> bool {
        self.next_frame == frame + 1 && self.unshown.is_empty() && self.parts.count == 0
    }

    /// True if this frame came, whole.
    pub(super) fn came(&self, frame: u64) -> bool {
        frame < self.next_frame
    }

    /// The host that the session is on.
    pub(super) fn host(&self) -> &ServerName {
        &self.attach.host
    }

    /// Its loss, if it is lost now without having been suspected: a young link
    /// may end before its silence is unlikely, or before its first word.
    fn loss(&self, now_ms: u64) -> Lost {
        let silent_ms = self.suspicion.silent_ms(now_ms);
        let silent = silent_ms >= SILENT_WORDS * ALIVE_EVERY_MS;
        let since_ms = if silent { self.suspicion.heard_ms() } else { now_ms };
        Lost { since_ms, known_ms: now_ms, silent, told: false }
    }

    /// Adds a part; gives the frame's commands when it is whole.
    fn add(&mut self, part: FramePart) -> Result<Option<Vec<Command>>, &'static str> {
        if part.number != self.next_frame {
            return Err("a frame's number is out of order");
        }
        self.parts.count += 1;
        self.parts.bytes += part.commands.iter().map(Command::payload_bytes).sum::<usize>();
        if self.parts.count > FRAME_PARTS_MAX || self.parts.bytes > FRAME_BYTES_MAX {
            return Err("a frame is larger than any may be");
        }
        if part.commands.iter().any(|command| matches!(command, Command::Unknown(_))) {
            return Err("a display command is not known to this version; update the DTU");
        }
        self.parts.commands.extend(part.commands);
        if !part.last {
            return Ok(None);
        }
        if self.unshown.len() >= FRAMES_UNACKNOWLEDGED_MAX as usize {
            return Err("the session does not wait for its frames to be shown");
        }
        self.next_frame += 1;
        Ok(Some(std::mem::take(&mut self.parts).commands))
    }
}

/// The session whose picture is on the screen, or was last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) session: SessionId,
    pub(super) epoch: Epoch,
    pub(super) host: ServerName,
    /// Its display link is lost.
    pub(super) lost: Option<Lost>,
}

impl Connection {
    /// True if a session is attached, heard of late or not.
    pub(super) fn is_live(&self) -> bool {
        self.display.as_ref().is_some_and(DisplayLink::is_live)
    }

    /// What the live display link shows. A link that is silent for too long
    /// is not said to live.
    pub(super) fn showing(&self) -> Option<Showing> {
        let lives = |display: &&DisplayLink| display.is_live() && display.suspected.is_none();
        let display = self.display.as_ref().filter(lives)?;
        Some(Showing { session: display.attach.session, epoch: display.attach.epoch })
    }

    /// The session of the display link, or of the picture that is left.
    pub(super) fn shown_session(&self) -> Option<SessionId> {
        let of_link = self.display.as_ref().map(|display| display.attach.session);
        of_link.or(self.shown.as_ref().map(|shown| shown.session))
    }

    /// True if there is a display link of this copy of this session.
    pub(super) fn display_is_of(&self, session: SessionId, epoch: Epoch) -> bool {
        self.display.as_ref().is_some_and(|display| {
            (display.attach.session, display.attach.epoch) == (session, epoch)
        })
    }

    pub(super) fn open_display(&mut self, attach: Attach) {
        self.drop_display("replaced", "");
        let Some(group) = self.present.as_ref().and_then(|present| present.group) else { return };
        let Some(told_size) = self.screen.as_ref().map(|screen| screen.size) else { return };
        let link = self.new_link();
        self.act(Action::OpenDisplay {
            link,
            endpoint: attach.endpoint,
            group,
            session: attach.session,
            epoch: attach.epoch,
        });
        self.display = Some(DisplayLink {
            link,
            attach,
            state: State::Opening { deadline_ms: self.now_ms + DISPLAY_OPEN_TIMEOUT_MS },
            told_size,
            parts: Parts::default(),
            next_frame: 1,
            unshown: VecDeque::new(),
            first_shown: false,
            limit_told: false,
            spent_through: 0,
            comparing: None,
            quality: None,
            suspicion: Suspicion::new(ALIVE_EVERY_MS, self.now_ms),
            says_alive: false,
            suspected: None,
        });
    }

    pub(super) fn display_opened(&mut self, link: LinkId) {
        let now_ms = self.now_ms;
        let Some(screen) = self.screen.clone() else { return };
        let Some(display) = self.display.as_mut().filter(|display| display.link == link) else {
            return;
        };
        if !matches!(display.state, State::Opening { .. }) {
            return;
        }
        display.state = State::Attaching { deadline_ms: now_ms + DISPLAY_OPEN_TIMEOUT_MS };
        display.told_size = screen.size;
        let message = AttachDisplay {
            ticket: display.attach.ticket.clone(),
            dtu_name: self.config.dtu_name.clone(),
            screen: screen.size,
            keymap: screen.keymap,
        };
        self.act(Action::SendDisplay { link, message: message.into() });
    }

    /// Sends to the session, if one is attached.
    pub(super) fn send_live(&mut self, message: impl Into<ToSession>) {
        let live = self.display.as_ref().filter(|display| display.is_live());
        if let Some(link) = live.map(|display| display.link) {
            self.act(Action::SendDisplay { link, message: message.into() });
        }
    }

    /// Tells the session that the token went, also while it is being attached.
    pub(super) fn send_display_remove(&mut self, insert: u64) {
        if let Some(display) = &self.display
            && !matches!(display.state, State::Opening { .. })
        {
            let link = display.link;
            self.act(Action::SendDisplay { link, message: Remove { insert }.into() });
        }
    }

    pub(super) fn display_closed(&mut self, link: LinkId, why: &str) {
        if self.display.as_ref().is_some_and(|display| display.link == link) {
            self.display_lost("lost", why);
        }
    }

    pub(super) fn display_garbage(&mut self, link: LinkId, why: &str) {
        if self.display.as_ref().is_some_and(|display| display.link == link) {
            self.display_refused("protocol", why);
        }
    }

    /// Nothing can be made of what the session sent: the link is closed, the
    /// user is told, and the picture begins anew.
    pub(super) fn display_refused(&mut self, reason: &'static str, why: &str) {
        if self.display.is_some() {
            self.give_notice(format!("The picture is asked for again: {why}."));
            self.display_lost(reason, why);
        }
    }

    /// Closes the display link, if there is one.
    pub(super) fn drop_display(&mut self, reason: &'static str, text: &str) {
        let Some(display) = self.display.take() else { return };
        self.input.pause();
        self.act(Action::CloseDisplay { link: display.link, reason });
        if display.is_live() {
            self.log(Logged::Detached { reason, text: text.to_owned() });
        }
        let lost = display.suspected.unwrap_or_else(|| display.loss(self.now_ms));
        if let Some(shown) = self.shown.as_mut().filter(|shown| shown.lost.is_none()) {
            shown.lost = Some(lost);
        }
    }

    /// Nothing of a session's picture stays on the screen.
    pub(super) fn forget_picture(&mut self) {
        self.shown = None;
        self.restarted = None;
        self.input.clear();
    }

    /// The display link is lost: the server in charge is asked what to do.
    pub(super) fn display_lost(&mut self, reason: &'static str, text: &str) {
        let Some(display) = &self.display else { return };
        let live_ms = match display.state {
            State::Live { since_ms, .. } => self.now_ms - since_ms,
            State::Opening { .. } | State::Attaching { .. } => 0,
        };
        self.drop_display(reason, text);
        self.display_failed_after(live_ms);
    }

    pub(super) fn display_message(&mut self, link: LinkId, message: FromSession) {
        let Some(display) = self.display.as_ref().filter(|display| display.link == link) else {
            return;
        };
        let state = display.state;
        self.display_heard(link);
        match (message, state) {
            (_, State::Opening { .. }) | (FromSession::Unknown(_), _) => {}
            (FromSession::Detached(detached), _) => self.detached(detached),
            (FromSession::Attached(attached), State::Attaching { .. }) => self.attached(&attached),
            (FromSession::Frame(part), State::Live { .. }) => self.frame_part(part),
            (FromSession::InputDone(done), State::Live { .. }) => self.input.done(done),
            (FromSession::Alive(_), State::Live { .. }) => self.display_alive(),
            (FromSession::Truth(truth), State::Live { .. }) => self.truth(truth),
            (FromSession::Spent(spent), State::Live { .. }) => self.spent(spent),
            (FromSession::SizeLimited(limited), State::Live { .. }) => self.size_limited(limited),
            (FromSession::Quality(quality), State::Live { .. }) => self.quality_is(quality),
            (_, State::Attaching { .. } | State::Live { .. }) => {
                self.display_refused("protocol", "the session sent a message out of turn");
            }
        }
    }

    fn attached(&mut self, attached: &Attached) {
        let now_ms = self.now_ms;
        let Some(display) = &mut self.display else { return };
        let attach = &display.attach;
        if (attached.session, attached.epoch) != (attach.session, attach.epoch) {
            return self.display_refused("protocol", "another session answered");
        }
        display.state = State::Live { since_ms: now_ms, size: attached.size };
        let link = display.link;
        let logged = Logged::Attached {
            session: attach.session.to_string(),
            epoch: attach.epoch.0,
            host: attach.host.to_string(),
            origin: match attach.origin {
                Origin::Existing => "existing",
                Origin::New => "new",
                Origin::TakenOver => "taken_over",
                Origin::Caretaken => "caretaken",
            },
            endpoint: attach.endpoint.to_string(),
            attachment: attached.attachment,
        };
        let same = self.shown.as_ref().is_some_and(|shown| {
            (shown.session, shown.epoch) == (attached.session, attached.epoch)
        });
        let again = self.input.resume(attached.attachment, attached.resumes, same);
        self.log(logged);
        if !again.is_empty() {
            let events = again.iter().map(|input| input.events.len()).sum();
            self.log(Logged::InputResent { events });
        }
        for input in again {
            self.act(Action::SendDisplay { link, message: input.into() });
        }
        self.send_size();
        self.diagnose_anew();
    }

    fn quality_is(&mut self, quality: Quality) {
        let Some(display) = &mut self.display else { return };
        if display.quality.replace(quality) != Some(quality) {
            self.log(Logged::Quality { quality: quality.name() });
        }
    }

    /// How exact the picture of the live session is, if it said so.
    pub(super) fn quality(&self) -> Option<Quality> {
        self.display.as_ref().filter(|display| display.is_live())?.quality
    }

    fn frame_part(&mut self, part: FramePart) {
        let Some(display) = &mut self.display else { return };
        let number = part.number;
        let commands = match display.add(part) {
            Ok(Some(commands)) => commands,
            Ok(None) => return,
            Err(why) => return self.display_refused("protocol", why),
        };
        self.window_frames += 1;
        let window_number = self.window_frames;
        display.unshown.push_back((window_number, number));
        if number == 1 {
            self.first_frame_came();
        }
        self.act(Action::ToWindow(ToWindow::Frame { number: window_number, commands }));
    }

    /// The new picture takes the old one's place with its first frame.
    fn first_frame_came(&mut self) {
        let Some(display) = &self.display else { return };
        let attach = &display.attach;
        let (session, epoch) = (attach.session, attach.epoch);
        let host = attach.host.clone();
        if attach.origin == Origin::TakenOver {
            let until_ms = self.now_ms + RESTARTED_SHOWN_MS;
            self.restarted = Some((host.clone(), attach.notice.clone(), until_ms));
        }
        let replaced = self.shown.replace(Shown { session, epoch, host, lost: None });
        self.act(Action::ToWindow(ToWindow::Attached { session, epoch }));
        // A dimmed picture stays dimmed until the new one is there, so that an
        // old one is never seen as if it were live.
        if replaced.is_none() {
            self.tell_view();
        }
    }

    pub(super) fn frame_shown(&mut self, window_number: u64) {
        let Some(display) = &mut self.display else { return };
        // The window may skip a frame that a later one replaced.
        let mut shown = None;
        while let Some((window, number)) = display.unshown.front().copied()
            && window <= window_number
        {
            display.unshown.pop_front();
            shown = Some(number);
        }
        let Some(number) = shown else { return };
        let first = !std::mem::replace(&mut display.first_shown, true);
        if first && let State::Live { size, .. } = display.state {
            let logged = Logged::FirstFrame {
                session: display.attach.session.to_string(),
                epoch: display.attach.epoch.0,
                width_px: size.width_px(),
                height_px: size.height_px(),
            };
            self.log(logged);
        }
        self.send_live(FrameShown { number });
    }

    fn detached(&mut self, detached: Detached) {
        let Detached { reason, text } = detached;
        match reason {
            DetachReason::Elsewhere => self.stop(Stop::Elsewhere { dtu: text }, "elsewhere"),
            DetachReason::Ended => self.stop(Stop::Ended { text }, "ended"),
            // The token is in, so this is about an older insert, or a ticket
            // that came too late: the server is asked again.
            DetachReason::Removed => self.display_lost("removed", &text),
            DetachReason::TicketRefused => self.display_lost("ticket_refused", &text),
            DetachReason::Protocol => self.display_lost("protocol", &text),
        }
    }

    pub(super) fn user_input(&mut self, event: InputEvent) {
        let seen = match self.gap() {
            // The user opened it, and types at it from then on, also before
            // the window shows it.
            _ if self.panel_is_open() => Seen::Panel,
            // The picture of another copy is still there: what is typed at it
            // is not meant for the one whose first frame is on the way.
            _ if self.shows_another() => Seen::Panel,
            GapView::None if self.shown.is_some() => Seen::Picture,
            GapView::Grace { .. } => Seen::Picture,
            // Whoever types does not stop in the instant a panel comes up.
            GapView::Long { since_ms } if self.now_ms < since_ms + TYPED_ON_MS => Seen::Picture,
            GapView::None | GapView::Long { .. } => Seen::Panel,
        };
        if let Some(input) = self.input.push(event, seen) {
            self.send_live(input);
        }
    }

    /// True if the live link's copy has not drawn over another's picture yet.
    fn shows_another(&self) -> bool {
        let live = self.showing().map(|showing| (showing.session, showing.epoch));
        let shown = self.shown.as_ref().map(|shown| (shown.session, shown.epoch));
        live.is_some() && shown.is_some() && live != shown
    }

    pub(super) fn display_on_time(&mut self) {
        let Some(display) = &self.display else { return };
        match display.state {
            State::Opening { deadline_ms } | State::Attaching { deadline_ms } => {
                if self.now_ms >= deadline_ms {
                    self.display_lost("silent", "the session does not answer");
                }
            }
            State::Live { .. } => self.silence_on_time(),
        }
    }

    pub(super) fn display_deadline_ms(&self) -> Option<u64> {
        match self.display.as_ref()?.state {
            State::Opening { deadline_ms } | State::Attaching { deadline_ms } => Some(deadline_ms),
            State::Live { .. } => self.silence_deadline_ms(),
        }
    }
}
