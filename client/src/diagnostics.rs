//! What frames cost, for the diagnostics overlay (Ctrl+Alt+Shift+D) and the
//! event log: how many, how many bytes, how long each step takes.
//!
//! A plain state machine: what happens is told to it, with its time, and once
//! a second it gives the figures of that second. While it is off it keeps
//! nothing and looks at nothing.

use afterglow_wire::command::Command;
use afterglow_wire::display::Spent;
use afterglow_wire::input::{InputEvent, KeyAction};
use serde::Serialize;

/// Figures are of at least this time, in microseconds.
const EVERY_US: u64 = 1_000_000;
/// Input that no frame followed for this long, in microseconds, changed
/// nothing that is to be seen.
const ANSWER_US_MAX: u64 = 1_000_000;
/// The most times of one kind that are kept until the figures are made. Not
/// even a screen of 240 pictures a second gets there.
const TIMES_MAX: usize = 1024;

/// How long something took that happened several times, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Spread {
    /// Half of the times are no longer (the median).
    pub p50: u32,
    /// The longest.
    pub max: u32,
}

/// How many commands of each kind there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Kinds {
    /// SET.
    pub set: u32,
    /// BITMAP.
    pub bitmap: u32,
    /// FILL.
    pub fill: u32,
    /// COPY.
    pub copy: u32,
    /// CSCS.
    pub cscs: u32,
}

/// The session's picture, and how it is on the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Shape {
    /// The picture's own width.
    pub width_px: u32,
    /// Its own height.
    pub height_px: u32,
    /// Its width on the window, of 100 parts of its own.
    pub scale_percent: u32,
}

/// What does not change from frame to frame.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// Who draws: wgpu or cpu.
    pub renderer: &'static str,
    /// The graphics adapter, which draws everything or what the processor does
    /// not.
    pub adapter: String,
    /// The picture, if there is one.
    pub picture: Option<Shape>,
}

/// The link to the session, as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkMeasured {
    /// QUIC's estimate of the round trip, smoothed (RFC 9002 §5.3).
    pub round_trip_us: u64,
    /// All bytes of UDP that came since it was opened.
    pub received_bytes: u64,
}

/// The figures of about a second. What there was nothing of is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// The time that they are of.
    pub over_ms: u64,
    /// Frames that came onto the screen.
    pub frames: u32,
    /// The commands of the frames that came.
    pub commands: Kinds,
    /// The bytes of their payloads.
    pub payload_bytes: u64,
    /// The bytes of UDP that came over the link between the last two looks at
    /// it, which are as far apart as the figures.
    pub received_bytes: Option<u64>,
    /// QUIC's estimate of the round trip, when the link was looked at last.
    pub round_trip_us: Option<u64>,
    /// For each frame: getting its pixels from the X server, at the session.
    pub capture_us: Option<Spread>,
    /// For each frame: turning them into commands, at the session.
    pub encode_us: Option<Spread>,
    /// For each frame: unpacking and applying its commands. A graphics card
    /// does that later, and this is what recording it takes.
    pub apply_us: Option<Spread>,
    /// For each time that the window was drawn: drawing and presenting it.
    pub present_us: Option<Spread>,
    /// From a key or button that went down, or a turn of the wheel, to the next
    /// frame on the screen.
    pub input_to_pixel_us: Option<Spread>,
    /// What does not change from frame to frame.
    #[serde(flatten)]
    pub facts: Facts,
}

/// Gathers figures while it is on.
#[derive(Debug, Default)]
pub struct Diagnostics {
    meter: Option<Box<Meter>>,
}

/// Since the last figures.
#[derive(Debug, Default)]
struct Meter {
    since_us: u64,
    frames: u32,
    commands: Kinds,
    payload_bytes: u64,
    capture: Times,
    encode: Times,
    apply: Times,
    present: Times,
    input_to_pixel: Times,
    /// The first input that no frame has followed yet.
    input_at_us: Option<u64>,
    link: Option<LinkMeasured>,
    received_bytes: Option<u64>,
}

impl Diagnostics {
    /// On if it was off. Tells which it is now.
    pub fn toggle(&mut self, now_us: u64) -> bool {
        self.meter = match self.meter {
            None => Some(Box::new(Meter { since_us: now_us, ..Meter::default() })),
            Some(_) => None,
        };
        self.meter.is_some()
    }

    /// The user did something, and the session is told.
    pub fn input(&mut self, event: &InputEvent, now_us: u64) {
        let Some(meter) = &mut self.meter else { return };
        // What else there is changes nothing, or moves the pointer, which this
        // machine's own window system draws.
        let counts = matches!(
            event,
            InputEvent::Key { action: KeyAction::Press, .. }
                | InputEvent::Button { pressed: true, .. }
                | InputEvent::Wheel { .. }
        );
        if counts {
            meter.forget_unanswered(now_us);
            meter.input_at_us.get_or_insert(now_us);
        }
    }

    /// A frame came.
    pub fn frame(&mut self, commands: &[Command]) {
        let Some(meter) = &mut self.meter else { return };
        for command in commands {
            meter.payload_bytes += command.payload_bytes() as u64;
            let kinds = &mut meter.commands;
            match command {
                Command::Set { .. } => kinds.set += 1,
                Command::Bitmap { .. } => kinds.bitmap += 1,
                Command::Fill { .. } => kinds.fill += 1,
                Command::Copy { .. } => kinds.copy += 1,
                Command::Cscs { .. } => kinds.cscs += 1,
                Command::Cursor(_) | Command::Size(_) | Command::Unknown(_) => {}
            }
        }
    }

    /// Its commands were applied.
    pub fn applied(&mut self, took_us: u32) {
        if let Some(meter) = &mut self.meter {
            meter.apply.note(took_us);
        }
    }

    /// The window was drawn, with so many new frames.
    pub fn presented(&mut self, took_us: u32, frames: usize, now_us: u64) {
        let Some(meter) = &mut self.meter else { return };
        meter.present.note(took_us);
        if frames == 0 {
            return;
        }
        meter.frames = meter.frames.saturating_add(frames as u32);
        meter.forget_unanswered(now_us);
        if let Some(input_at_us) = meter.input_at_us.take() {
            meter.input_to_pixel.note((now_us - input_at_us) as u32);
        }
    }

    /// The session told what a frame cost it.
    pub fn spent(&mut self, spent: &Spent) {
        if let Some(meter) = &mut self.meter {
            meter.capture.note(spent.capture_us);
            meter.encode.note(spent.encode_us);
        }
    }

    /// Somebody looked at the link.
    pub fn link(&mut self, link: LinkMeasured) {
        let Some(meter) = &mut self.meter else { return };
        if let Some(before) = meter.link.replace(link) {
            // A new link counts from the beginning.
            let added = link.received_bytes.checked_sub(before.received_bytes);
            meter.received_bytes = Some(added.unwrap_or(link.received_bytes));
        }
    }

    /// When figures are due.
    pub fn due_us(&self) -> Option<u64> {
        self.meter.as_ref().map(|meter| meter.since_us.saturating_add(EVERY_US))
    }

    /// The figures since the last ones, if they are due.
    pub fn figures(&mut self, facts: impl FnOnce() -> Facts, now_us: u64) -> Option<Figures> {
        self.due_us().filter(|due_us| *due_us <= now_us)?;
        let meter = self.meter.as_mut()?;
        meter.forget_unanswered(now_us);
        let next = Meter {
            since_us: now_us,
            input_at_us: meter.input_at_us,
            link: meter.link,
            ..Meter::default()
        };
        Some(std::mem::replace(&mut **meter, next).told(facts(), now_us))
    }
}

impl Meter {
    fn forget_unanswered(&mut self, now_us: u64) {
        self.input_at_us.take_if(|at_us| now_us.saturating_sub(*at_us) > ANSWER_US_MAX);
    }

    fn told(self, facts: Facts, now_us: u64) -> Figures {
        Figures {
            over_ms: (now_us - self.since_us) / 1000,
            frames: self.frames,
            commands: self.commands,
            payload_bytes: self.payload_bytes,
            received_bytes: self.received_bytes,
            round_trip_us: self.link.map(|link| link.round_trip_us),
            capture_us: self.capture.spread(),
            encode_us: self.encode.spread(),
            apply_us: self.apply.spread(),
            present_us: self.present.spread(),
            input_to_pixel_us: self.input_to_pixel.spread(),
            facts,
        }
    }
}

/// Times of one kind, in microseconds; beyond [`TIMES_MAX`] they are not kept.
#[derive(Debug, Default)]
struct Times(Vec<u32>);

impl Times {
    fn note(&mut self, us: u32) {
        if self.0.len() < TIMES_MAX {
            self.0.push(us);
        }
    }

    fn spread(mut self) -> Option<Spread> {
        self.0.sort_unstable();
        let p50 = *self.0.get(self.0.len().saturating_sub(1) / 2)?;
        Some(Spread { p50, max: *self.0.last()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use afterglow_wire::command::{Coding, Rect};

    const KEY: InputEvent = InputEvent::Key { scancode: 30, action: KeyAction::Press };

    fn on() -> Diagnostics {
        let mut diagnostics = Diagnostics::default();
        assert!(diagnostics.toggle(0));
        diagnostics
    }

    fn figures(diagnostics: &mut Diagnostics, now_us: u64) -> Option<Figures> {
        diagnostics.figures(Facts::default, now_us)
    }

    fn link(round_trip_us: u64, received_bytes: u64) -> LinkMeasured {
        LinkMeasured { round_trip_us, received_bytes }
    }

    #[test]
    fn figures_are_of_a_second_and_the_next_begin_anew() {
        let mut diagnostics = on();
        let rect = Rect::new(0, 0, 1, 1);
        let fill = Command::Fill { rect, color: [0; 4] };
        let set = Command::Set { rect, coding: Coding::Raw, payload: vec![0; 4].into() };
        diagnostics.frame(&[set, fill.clone(), fill]);
        for (apply_us, capture_us) in [(30, 1), (10, 2), (20, 3), (40, 9)] {
            diagnostics.applied(apply_us);
            diagnostics.presented(apply_us * 2, 1, 500);
            diagnostics.spent(&Spent { frame: 1, capture_us, encode_us: 7 });
        }
        // The window was drawn again, and there was nothing new.
        diagnostics.presented(1, 0, 600);
        assert_eq!(figures(&mut diagnostics, 999_999), None);
        assert_eq!(diagnostics.due_us(), Some(1_000_000));
        let told = figures(&mut diagnostics, 1_004_321).unwrap();
        assert_eq!((told.over_ms, told.frames, told.payload_bytes), (1_004, 4, 4));
        assert_eq!(told.commands, Kinds { set: 1, fill: 2, ..Kinds::default() });
        assert_eq!(told.apply_us, Some(Spread { p50: 20, max: 40 }));
        assert_eq!(told.present_us, Some(Spread { p50: 40, max: 80 }));
        assert_eq!(told.capture_us, Some(Spread { p50: 2, max: 9 }));
        assert_eq!(told.encode_us, Some(Spread { p50: 7, max: 7 }));
        let told = figures(&mut diagnostics, 2_004_321).unwrap();
        assert_eq!(told, Figures { over_ms: 1_000, ..Figures::default() });
    }

    #[test]
    fn input_is_answered_by_the_next_frame_whatever_was_pressed_meanwhile() {
        let mut diagnostics = on();
        diagnostics.input(&KEY, 1_000);
        diagnostics.input(&KEY, 5_000);
        // No frame, and then one.
        diagnostics.presented(1, 0, 6_000);
        diagnostics.presented(1, 1, 9_000);
        // A frame that nobody's input led to.
        diagnostics.presented(1, 1, 10_000);
        diagnostics.input(&InputEvent::Wheel { steps_x: 0, steps_y: 1 }, 20_000);
        diagnostics.presented(1, 1, 22_000);
        let told = figures(&mut diagnostics, 1_000_000).unwrap();
        assert_eq!(told.input_to_pixel_us, Some(Spread { p50: 2_000, max: 8_000 }));
        // Across figures, too.
        diagnostics.input(&KEY, 1_999_000);
        assert_eq!(figures(&mut diagnostics, 2_000_000).unwrap().input_to_pixel_us, None);
        diagnostics.presented(1, 1, 2_001_000);
        let told = figures(&mut diagnostics, 3_000_000).unwrap();
        assert_eq!(told.input_to_pixel_us, Some(Spread { p50: 2_000, max: 2_000 }));
    }

    #[test]
    fn input_that_changes_nothing_is_not_the_cause_of_a_frame_long_after() {
        let mut diagnostics = on();
        diagnostics.input(&KEY, 0);
        diagnostics.presented(1, 1, 1_000_001);
        // Moves and releases are no question that a frame answers.
        for event in [
            InputEvent::Pointer { x_px: 1, y_px: 1 },
            InputEvent::Button { button: 1, pressed: false },
            InputEvent::Key { scancode: 30, action: KeyAction::Release },
        ] {
            diagnostics.input(&event, 1_000_002);
        }
        diagnostics.presented(1, 1, 1_000_003);
        assert_eq!(figures(&mut diagnostics, 1_000_004).unwrap().input_to_pixel_us, None);
        // Nor does it hide what is pressed later.
        diagnostics.input(&KEY, 2_000_000);
        diagnostics.input(&KEY, 3_500_000);
        diagnostics.presented(1, 1, 3_500_700);
        let told = figures(&mut diagnostics, 4_000_000).unwrap();
        assert_eq!(told.input_to_pixel_us, Some(Spread { p50: 700, max: 700 }));
    }

    #[test]
    fn bytes_of_the_link_are_those_between_two_looks_also_over_a_new_link() {
        let mut diagnostics = on();
        diagnostics.link(link(400, 10_000));
        let told = figures(&mut diagnostics, 1_000_000).unwrap();
        assert_eq!((told.round_trip_us, told.received_bytes), (Some(400), None));
        diagnostics.link(link(500, 12_500));
        let told = figures(&mut diagnostics, 2_000_000).unwrap();
        assert_eq!((told.round_trip_us, told.received_bytes), (Some(500), Some(2_500)));
        diagnostics.link(link(600, 900));
        let told = figures(&mut diagnostics, 3_000_000).unwrap();
        assert_eq!((told.round_trip_us, told.received_bytes), (Some(600), Some(900)));
    }

    #[test]
    fn while_it_is_off_it_keeps_nothing_and_on_again_it_knows_nothing() {
        let mut diagnostics = on();
        diagnostics.presented(1, 3, 100);
        diagnostics.link(link(1, 1));
        assert!(!diagnostics.toggle(500));
        diagnostics.input(&KEY, 600);
        diagnostics.presented(1, 3, 700);
        diagnostics.applied(1);
        assert_eq!((diagnostics.due_us(), figures(&mut diagnostics, 9_000_000)), (None, None));
        assert!(diagnostics.toggle(10_000_000));
        let told = figures(&mut diagnostics, 11_000_000).unwrap();
        assert_eq!(told, Figures { over_ms: 1_000, ..Figures::default() });
    }

    #[test]
    fn a_flood_costs_bounded_memory() {
        let mut diagnostics = on();
        for us in 0..2 * TIMES_MAX as u32 {
            diagnostics.spent(&Spent { frame: 1, capture_us: us, encode_us: us });
        }
        assert_eq!(diagnostics.meter.as_ref().unwrap().encode.0.len(), TIMES_MAX);
    }
}
