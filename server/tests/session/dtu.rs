//! A DTU without a window.

use crate::harness::{PATIENCE, Session, x_picture};
use afterglow_link::certificates::{Credentials, dtu_credentials, generate_dtu_key};
use afterglow_link::stream::{MessageReader, MessageWriter};
use afterglow_wire::coding::Unpacker;
use afterglow_wire::command::{Command as DisplayCommand, CursorShape};
use afterglow_wire::display::{
    Attached, Detached, FrameShown, FromSession, Input, InputDone, Spent, ToSession,
};
use afterglow_wire::framebuffer::Framebuffer;
use afterglow_wire::ids::{DtuId, Size};
use afterglow_wire::input::{InputEvent, KeyAction};
use afterglow_wire::quality::Quality;
use afterglow_wire::truth::Truth;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// Who a DTU is.
pub struct Dtu {
    pub id: DtuId,
    pub credentials: Credentials,
    pub name: String,
    pub screen: Size,
    pub keymap: &'static str,
}

impl Dtu {
    pub fn new(name: &str) -> Dtu {
        let (id, credentials) = dtu_credentials(&generate_dtu_key().unwrap()).unwrap();
        let screen = Size::new(640, 480).unwrap();
        Dtu { id, credentials, name: name.into(), screen, keymap: "us" }
    }
}

/// An open display link.
pub struct Link {
    pub reader: MessageReader<quinn::RecvStream, FromSession>,
    pub writer: MessageWriter<quinn::SendStream, ToSession>,
    pub connection: quinn::Connection,
}

impl Link {
    /// The next message that says more than that the session lives.
    pub async fn next(&mut self) -> Option<FromSession> {
        let next = async {
            loop {
                match self.reader.next().await.unwrap() {
                    Some(FromSession::Alive(_)) => {}
                    other => return other,
                }
            }
        };
        timeout(PATIENCE, next).await.expect("the session says nothing")
    }
}

/// A DTU that shows a session.
pub struct Shown {
    pub link: Link,
    pub attached: Attached,
    pub picture: Framebuffer,
    unpacker: Unpacker,
    pub cursor: Option<CursorShape>,
    pub input_done: Option<InputDone>,
    pub truth: Option<Truth>,
    pub spent: Option<Spent>,
    /// The largest size, if it was told that its window is larger.
    pub limit: Option<Size>,
    pub quality: Option<Quality>,
    pub frames: u64,
    /// How many commands drew inexactly.
    pub inexact: u64,
    /// Frames are acknowledged as they come.
    pub acknowledges: bool,
    next_seq: u64,
}

impl Shown {
    pub fn new(link: Link, attached: Attached) -> Self {
        // Wrong on purpose: the first frame must not count on anything.
        let mut picture = Framebuffer::new(Size::new(800, 700).unwrap());
        picture.pixels_mut().fill(99);
        Shown {
            link,
            attached,
            picture,
            unpacker: Unpacker::new(),
            cursor: None,
            input_done: None,
            truth: None,
            spent: None,
            limit: None,
            quality: None,
            frames: 0,
            inexact: 0,
            acknowledges: true,
            next_seq: 1,
        }
    }

    /// Takes one message; `Some` if it is the last.
    pub async fn step(&mut self) -> Option<Detached> {
        match self.link.next().await {
            Some(FromSession::Frame(part)) => {
                assert_eq!(part.number, self.frames + 1);
                for command in &part.commands {
                    self.picture.apply(command, &mut self.unpacker).unwrap();
                    match command {
                        DisplayCommand::Cursor(shape) => self.cursor = Some(shape.clone()),
                        DisplayCommand::Cscs { .. } => self.inexact += 1,
                        _ => {}
                    }
                }
                if part.last {
                    self.frames = part.number;
                    if self.acknowledges {
                        let shown = FrameShown { number: part.number };
                        self.link.writer.send(shown).await.unwrap();
                    }
                }
                None
            }
            Some(FromSession::InputDone(done)) => {
                self.input_done = Some(done);
                None
            }
            Some(FromSession::Truth(truth)) => {
                self.truth = Some(truth);
                None
            }
            Some(FromSession::Spent(spent)) => {
                // It comes right after the frame that it is about.
                assert_eq!(spent.frame, self.frames);
                self.spent = Some(spent);
                None
            }
            Some(FromSession::SizeLimited(limited)) => {
                self.limit = Some(limited.max);
                None
            }
            Some(FromSession::Quality(quality)) => {
                self.quality = Some(quality);
                None
            }
            Some(FromSession::Detached(detached)) => Some(detached),
            other => panic!("{other:?}"),
        }
    }

    /// Takes messages until the DTU's picture is what the X server shows.
    pub async fn until_equal(&mut self, session: &Session) {
        let display = session.wait_for_file("display").await;
        let x = session.x_connection(&display);
        let until = Instant::now() + PATIENCE;
        while self.frames == 0 || self.picture != x_picture(&x) {
            assert!(Instant::now() < until, "the pictures never became equal");
            // The X server may have drawn after the last frame.
            let _ = timeout(Duration::from_millis(50), self.step()).await;
        }
    }

    pub async fn until_detached(&mut self) -> Detached {
        loop {
            if let Some(detached) = self.step().await {
                return detached;
            }
        }
    }

    pub async fn until_input_done(&mut self) {
        while self.input_done.map_or(0, |done| done.seq) + 1 < self.next_seq {
            assert!(self.step().await.is_none());
        }
    }

    pub async fn input(&mut self, events: &[InputEvent]) {
        let input = Input {
            attachment: self.attached.attachment,
            first_seq: self.next_seq,
            events: events.iter().copied().collect(),
        };
        self.next_seq += events.len() as u64;
        self.link.writer.send(input).await.unwrap();
    }

    /// Presses and releases keys, one after the other.
    pub async fn tap(&mut self, scancodes: &[u8]) {
        let events: Vec<InputEvent> = scancodes
            .iter()
            .flat_map(|scancode| {
                [KeyAction::Press, KeyAction::Release]
                    .map(|action| InputEvent::Key { scancode: *scancode, action })
            })
            .collect();
        self.input(&events).await;
    }
}
