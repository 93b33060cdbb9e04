//! Who may attach, who is attached, and what their messages do. No I/O: the
//! times come in, and actions come out.

mod attaching;
mod resting;

use crate::display::Pacing;
use crate::keeper::protocol::{Attachment, AttachmentState};
use afterglow_link::tls::Peer;
use afterglow_wire::display::{
    ALIVE_EVERY_MS, DetachReason, Detached, DisplayAlive, FromSession, Input, InputDone,
    ProbeAnswer, SizeLimited, ToSession,
};
use afterglow_wire::guard::Guards;
use afterglow_wire::ids::{DtuId, Epoch, Keymap, SessionId, Size, Token};
use afterglow_wire::input::InputEvent;
use afterglow_wire::local::{Clocks, ToKeeper};
use afterglow_wire::quality::Quality;
use afterglow_wire::ticket::UsedTickets;
use afterglow_wire::trust::TicketVerifier;
use resting::Told;
use std::collections::{HashMap, VecDeque};

/// How long keys stay held for a DTU whose link broke: it may come back.
pub const HELD_KEYS_GRACE_MS: u64 = 5_000;
/// How many tickets of a single use are remembered at a time.
const USED_TICKETS_MAX: usize = 1024;
/// How many DTUs' last removed inserts are remembered.
const REMOVED_MAX: usize = 64;

/// A connection, by the number that the shell gave it.
pub type LinkId = u64;

/// What the core knows of its session from the start.
#[derive(Debug, Clone)]
pub struct About {
    /// The session.
    pub session: SessionId,
    /// Its epoch.
    pub epoch: Epoch,
    /// Whose it is.
    pub token: Token,
    /// Checks tickets.
    pub verifier: TicketVerifier,
    /// The X server's largest size.
    pub size_max: Size,
    /// How exact its picture is until the user switches it.
    pub quality: Quality,
    /// Which checks are made; all, but in a simulation that has to notice.
    pub guards: Guards,
}

/// Two clocks: one that only goes forward, and the time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since some moment.
    pub steady_ms: u64,
    /// Milliseconds since 1970.
    pub wall_ms: u64,
}

/// What the shell has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send a message.
    Send(LinkId, FromSession),
    /// Say that the session lives, unless an earlier word of that kind still
    /// waits to be sent.
    SayAlive(LinkId, DisplayAlive),
    /// Send a last message, if there is one, and close.
    Close {
        /// The connection.
        link: LinkId,
        /// The last message.
        farewell: Option<Detached>,
        /// Why, for the log.
        why: String,
    },
    /// This connection is attached: it is nobody unknown any more.
    Admit(LinkId),
    /// Tell the keeper.
    Report(Attachment),
    /// Send frames of this size to a new attachment, from the first on.
    Show {
        /// The attachment.
        attachment: u64,
        /// The screen's new size.
        size: Size,
    },
    /// Send no more frames.
    Hide,
    /// A frame is on the DTU's screen.
    FrameShown {
        /// The attachment.
        attachment: u64,
        /// The frame.
        number: u64,
    },
    /// Send blocks of the picture again: the DTU has something else there.
    Repair {
        /// The attachment.
        attachment: u64,
        /// The blocks, by their places.
        blocks: Vec<u16>,
    },
    /// Tell what each frame costs, or no longer.
    Diagnose {
        /// The attachment.
        attachment: u64,
        /// Which of the two.
        on: bool,
    },
    /// Change the screen's size.
    Resize(Size),
    /// Change how exact frames are, of this attachment and of later ones.
    SetQuality(Quality),
    /// Load a keyboard layout.
    Layout(Keymap),
    /// Put input in; `first` is the number of the first event.
    Type {
        /// Attachment and number of the first event.
        first: InputDone,
        /// The events.
        events: Vec<InputEvent>,
    },
    /// Note where a new attachment's input begins.
    BeginInput(InputDone),
    /// Let go of all keys and buttons.
    ReleaseAll,
    /// Say good-bye to the keeper once everything is sent, and end.
    Finish,
}

/// The DTU that shows the session.
#[derive(Debug)]
struct Current {
    link: LinkId,
    attachment: Attachment,
    /// The earliest attachment whose input may still come.
    input_from: u64,
    pacing: Pacing,
    told: Option<Told>,
    /// It was told that its window is larger than the screen can be.
    limit_told: bool,
    /// How often it was told that the session lives, and when it is next.
    alive_seq: u64,
    alive_at_ms: u64,
}

/// The decisions of a worker.
#[derive(Debug)]
pub struct Core {
    about: About,
    clocks: Clocks,
    used: UsedTickets,
    /// The highest removed insert of each DTU, the latest last.
    removed: VecDeque<(DtuId, u64)>,
    peers: HashMap<LinkId, Peer>,
    current: Option<Current>,
    last: Option<Attachment>,
    /// The last event that was handed on to be put in.
    position: InputDone,
    /// When keys that a lost DTU held are let go.
    release_at_ms: Option<u64>,
    ended: Option<String>,
    frozen: bool,
    actions: VecDeque<Action>,
}

impl Core {
    /// For a worker that starts. `last` is the last attachment of an earlier
    /// worker, and `position` the last input that it put in.
    pub fn new(
        about: About,
        clocks: Clocks,
        last: Option<Attachment>,
        position: Option<InputDone>,
        now: Now,
    ) -> Self {
        let mut core = Core {
            about,
            clocks,
            used: UsedTickets::new(USED_TICKETS_MAX),
            removed: VecDeque::new(),
            peers: HashMap::new(),
            current: None,
            last,
            position: position.unwrap_or(InputDone { attachment: 0, seq: 0 }),
            release_at_ms: None,
            ended: None,
            frozen: false,
            actions: VecDeque::new(),
        };
        if let Some(last) = last {
            match last.state {
                AttachmentState::Over => core.actions.push_back(Action::ReleaseAll),
                _ => core.release_at_ms = Some(now.steady_ms + HELD_KEYS_GRACE_MS),
            }
        }
        core
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Core::tick`] wants to be called.
    pub fn deadline_ms(&self) -> Option<u64> {
        let alive_at_ms = self.current.as_ref().map(|current| current.alive_at_ms);
        self.release_at_ms.into_iter().chain(alive_at_ms).min()
    }

    /// The time went on.
    pub fn tick(&mut self, now: Now) {
        if self.release_at_ms.is_some_and(|at| now.steady_ms >= at) {
            self.release_at_ms = None;
            self.actions.push_back(Action::ReleaseAll);
        }
        if let Some(current) = &mut self.current
            && now.steady_ms >= current.alive_at_ms
        {
            // After a standstill one word is enough.
            current.alive_at_ms = now.steady_ms + ALIVE_EVERY_MS;
            current.alive_seq += 1;
            let alive = DisplayAlive { seq: current.alive_seq };
            self.actions.push_back(Action::SayAlive(current.link, alive));
        }
    }

    /// A connection was opened, by this peer.
    pub fn opened(&mut self, link: LinkId, peer: Peer) {
        self.peers.insert(link, peer);
    }

    /// A connection is gone.
    pub fn closed(&mut self, link: LinkId, now: Now) {
        self.peers.remove(&link);
        if self.current.as_ref().is_some_and(|current| current.link == link) {
            self.leave(AttachmentState::Lost);
            self.release_at_ms = Some(now.steady_ms + HELD_KEYS_GRACE_MS);
        }
    }

    /// A message came over a connection that is open.
    pub fn message(&mut self, link: LinkId, message: ToSession, now: Now) {
        let Some(peer) = self.peers.get(&link).cloned() else { return };
        let attached = self.current.as_ref().is_some_and(|current| current.link == link);
        match (peer, message) {
            (_, ToSession::Unknown(_)) => {}
            (Peer::Server(_), ToSession::Probe(probe)) => {
                let answer = ProbeAnswer {
                    nonce: probe.nonce,
                    session: self.about.session,
                    epoch: self.about.epoch,
                    shown_on: self.current.as_ref().map(|current| current.attachment.dtu),
                };
                self.actions.push_back(Action::Send(link, answer.into()));
            }
            (Peer::Dtu(dtu), ToSession::Attach(attach)) if !attached => {
                self.attach(link, dtu, attach, now);
            }
            (Peer::Dtu(_), message) if attached => self.attached_message(link, message),
            (_, message) => {
                self.protocol_error(link, format!("{} was not expected", name(&message)));
            }
        }
    }

    /// Bytes came that are not a message.
    pub fn protocol_error(&mut self, link: LinkId, why: String) {
        if self.current.as_ref().is_some_and(|current| current.link == link) {
            self.leave(AttachmentState::Over);
            self.actions.push_back(Action::ReleaseAll);
        }
        self.close(link, DetachReason::Protocol, &why, why.clone());
    }

    /// A server said something, through the keeper.
    pub fn server_said(&mut self, message: ToKeeper) {
        match message {
            ToKeeper::Detach(detach) => self.removed(detach.dtu, detach.insert),
            ToKeeper::Clocks(clocks) => self.clocks = clocks,
            ToKeeper::End(end) => {
                if let Some(current) = &self.current {
                    let link = current.link;
                    self.leave(AttachmentState::Over);
                    let why = "the session is over".to_owned();
                    self.close(link, DetachReason::Ended, &end.text, why);
                }
                self.ended = Some(end.text);
                self.actions.push_back(Action::Finish);
            }
            ToKeeper::Freeze(_) => self.freeze(),
            ToKeeper::Service(_) | ToKeeper::Become(_) | ToKeeper::Unknown(_) => {}
        }
    }

    /// The session was taken over elsewhere: nobody shows this copy any more,
    /// or may. Whoever did asks again, and is led to the session.
    pub fn freeze(&mut self) {
        self.frozen = true;
        let Some(current) = &self.current else { return };
        let link = current.link;
        self.leave(AttachmentState::Over);
        self.actions.push_back(Action::ReleaseAll);
        let why = "the session was taken over elsewhere";
        self.close(link, DetachReason::Removed, "", why.to_owned());
    }

    /// A frame was made for an attachment: the connection to send it over, if
    /// it is still wanted.
    pub fn frame(&mut self, attachment: u64, now: Now) -> Option<LinkId> {
        let current = self.current.as_mut()?;
        if current.attachment.number != attachment {
            return None;
        }
        current.pacing.send();
        // Whoever sends a frame need not say that it lives.
        current.alive_at_ms = now.steady_ms + ALIVE_EVERY_MS;
        Some(current.link)
    }

    /// The connection that input acknowledgements go to.
    pub fn input_link(&self) -> Option<LinkId> {
        self.current.as_ref().map(|current| current.link)
    }

    fn attached_message(&mut self, link: LinkId, message: ToSession) {
        let Some(current) = &mut self.current else { return };
        match message {
            ToSession::Input(input) => {
                if let Err(why) = self.input(input) {
                    self.protocol_error(link, why);
                }
            }
            ToSession::FrameShown(frame) => match current.pacing.shown(frame.number) {
                Ok(()) => self.actions.push_back(Action::FrameShown {
                    attachment: current.attachment.number,
                    number: frame.number,
                }),
                Err(wrong) => self.protocol_error(link, wrong.to_string()),
            },
            ToSession::Resize(resize) => {
                let size = self.fitting(resize.screen);
                self.actions.push_back(Action::Resize(size));
                self.tell_limit(resize.screen);
            }
            ToSession::Differs(differs) => {
                if let Err(why) = self.differs(differs) {
                    self.protocol_error(link, why);
                }
            }
            ToSession::Diagnose(diagnose) => self.actions.push_back(Action::Diagnose {
                attachment: current.attachment.number,
                on: diagnose.on,
            }),
            ToSession::Layout(layout) => self.actions.push_back(Action::Layout(layout.keymap)),
            ToSession::Quality(quality) => {
                // Of the session, so that it follows its user to another DTU;
                // a new worker begins with the configuration's again.
                self.about.quality = quality;
                let said = Action::Send(link, quality.into());
                self.actions.extend([Action::SetQuality(quality), said]);
            }
            ToSession::Remove(remove) => {
                let dtu = current.attachment.dtu;
                self.removed(dtu, remove.insert);
            }
            message => {
                self.protocol_error(link, format!("{} was not expected", name(&message)));
            }
        }
    }

    /// The screen's size for a DTU's window.
    fn fitting(&self, window: Size) -> Size {
        let (width, height) = (window.width_px(), window.height_px());
        Size::clamped(width.into(), height.into(), self.about.size_max)
    }

    /// Tells the DTU if its window is larger than the screen can be; once,
    /// since the user may change its size many times a second.
    fn tell_limit(&mut self, window: Size) {
        let (fits, max) = (self.fitting(window) == window, self.about.size_max);
        if let Some(current) = self.current.as_mut().filter(|_| !fits)
            && !std::mem::replace(&mut current.limit_told, true)
        {
            self.actions.push_back(Action::Send(current.link, SizeLimited { max }.into()));
        }
    }

    /// Hands on what was not put in yet. What a DTU sends again after a gap
    /// belongs to an earlier attachment; order is by attachment and number.
    fn input(&mut self, input: Input) -> Result<(), String> {
        let Some(current) = &self.current else { return Ok(()) };
        let attachment = input.attachment;
        if !(current.input_from..=current.attachment.number).contains(&attachment) {
            return Err(format!("input of attachment {attachment} was not expected"));
        }
        let events = input.events.into_vec();
        let Some(end_seq) = input.first_seq.checked_add(events.len() as u64) else {
            return Err("input numbers are too high".into());
        };
        let done_seq = match attachment.cmp(&self.position.attachment) {
            std::cmp::Ordering::Less => u64::MAX,
            std::cmp::Ordering::Equal => self.position.seq,
            std::cmp::Ordering::Greater => 0,
        };
        let done = done_seq.saturating_add(1).saturating_sub(input.first_seq);
        let done = usize::try_from(done).unwrap_or(usize::MAX);
        if done >= events.len() {
            return Ok(());
        }
        let first = InputDone { attachment, seq: input.first_seq + done as u64 };
        self.position = InputDone { attachment, seq: end_seq - 1 };
        self.actions.push_back(Action::Type { first, events: events[done..].to_vec() });
        Ok(())
    }

    /// The token went from a DTU: what it shows goes, and what comes late
    /// with that insert is refused.
    fn removed(&mut self, dtu: DtuId, insert: u64) {
        let before = self.removed.iter().position(|(known, _)| *known == dtu);
        let known = before.and_then(|index| self.removed.remove(index)).map_or(0, |(_, i)| i);
        if self.removed.len() >= REMOVED_MAX {
            self.removed.pop_front();
        }
        self.removed.push_back((dtu, insert.max(known)));
        let over = |attachment: &Attachment| attachment.dtu == dtu && attachment.insert <= insert;
        if self.current.as_ref().is_some_and(|current| over(&current.attachment)) {
            let link = self.current.as_ref().map(|current| current.link);
            self.leave(AttachmentState::Over);
            self.actions.push_back(Action::ReleaseAll);
            if let Some(link) = link {
                self.close(link, DetachReason::Removed, "", "the token was removed".into());
            }
        } else if let Some(last) = &mut self.last
            && over(last)
            && last.state == AttachmentState::Lost
        {
            last.state = AttachmentState::Over;
            self.release_at_ms = None;
            self.actions.push_back(Action::Report(*last));
            self.actions.push_back(Action::ReleaseAll);
        }
    }

    /// Nobody shows the session any more.
    fn leave(&mut self, state: AttachmentState) {
        let Some(mut current) = self.current.take() else { return };
        current.attachment.state = state;
        self.last = Some(current.attachment);
        self.actions.push_back(Action::Hide);
        self.actions.push_back(Action::Report(current.attachment));
    }

    fn close(&mut self, link: LinkId, reason: DetachReason, text: &str, why: String) {
        self.peers.remove(&link);
        let farewell = Some(Detached { reason, text: text.to_owned() });
        self.actions.push_back(Action::Close { link, farewell, why });
    }
}

fn name(message: &ToSession) -> &'static str {
    match message {
        ToSession::Attach(_) => "Attach",
        ToSession::Input(_) => "Input",
        ToSession::FrameShown(_) => "FrameShown",
        ToSession::Resize(_) => "Resize",
        ToSession::Layout(_) => "Layout",
        ToSession::Remove(_) => "Remove",
        ToSession::Probe(_) => "Probe",
        ToSession::Differs(_) => "Differs",
        ToSession::Diagnose(_) => "Diagnose",
        ToSession::Quality(_) => "Quality",
        ToSession::Unknown(_) => "a message of a newer version",
    }
}

#[cfg(test)]
mod tests;
