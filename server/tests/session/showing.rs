//! What a DTU sees and types.

use crate::dtu::{Dtu, Shown};
use crate::harness::{Options, Session, wait_for};
use afterglow_wire::display::{DetachReason, Diagnose, Layout, Resize};
use afterglow_wire::ids::Size;
use afterglow_wire::input::InputEvent;
use afterglow_wire::truth::{Differs, Truth, blocks, digest};
use x11rb::connection::Connection as _;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{ConnectionExt as _, CreateWindowAux, EventMask, WindowClass};

/// Shows a window over the whole screen that reads a line into a file.
const READ_A_LINE: &str = "echo $DISPLAY > display; exec xterm -geometry 200x100+0+0 -e \
     sh -c 'echo $$ > reader; read line; echo \"$line\" > typed; sleep 1000'";

const POINTER: InputEvent = InputEvent::Pointer { x_px: 100, y_px: 100 };
const ENTER: u8 = 28;
const KEY_Y: u8 = 21;
const KEY_A: u8 = 30;
const KEY_MINUS: u8 = 12;

#[tokio::test]
async fn the_picture_equals_the_x_servers_and_typed_text_comes_back() {
    let session = Session::start(Options::shell(READ_A_LINE));
    let mut shown = session.attach(&Dtu::new("one")).await;
    assert_eq!(shown.attached.size, Size::new(640, 480).unwrap());
    assert_eq!(shown.attached.resumes, None);
    session.wait_for_file("reader").await;
    shown.until_equal(&session).await;
    let before = shown.picture.clone();
    shown.input(&[POINTER]).await;
    shown.tap(&[KEY_Y, KEY_A, KEY_MINUS]).await;
    shown.until_input_done().await;
    while shown.picture == before {
        assert_eq!(shown.step().await, None);
    }
    shown.until_equal(&session).await;
    shown.tap(&[ENTER]).await;
    assert_eq!(session.wait_for_file("typed").await, "ya-\n");
}

#[tokio::test]
async fn keys_mean_what_the_dtus_layout_says() {
    let session = Session::start(Options::shell(READ_A_LINE));
    let dtu = Dtu { keymap: "de(nodeadkeys)", ..Dtu::new("one") };
    let mut shown = session.attach(&dtu).await;
    session.wait_for_file("reader").await;
    shown.until_equal(&session).await;
    shown.input(&[POINTER]).await;
    shown.tap(&[KEY_Y, KEY_A, KEY_MINUS, ENTER]).await;
    assert_eq!(session.wait_for_file("typed").await, "zaß\n");
}

#[tokio::test]
async fn the_screen_follows_the_dtus_window() {
    let session = Session::start(Options::shell(
        "echo $DISPLAY > display; exec xterm -geometry 40x12+30+20 -e top -d 0.2",
    ));
    let mut shown = session.attach(&Dtu::new("one")).await;
    shown.until_equal(&session).await;
    for size in ["800x600", "801x333", "333x801", "1280x1024", "16x16", "640x480"] {
        let size: Size = size.parse().unwrap();
        shown.link.writer.send(Resize { screen: size }).await.unwrap();
        while shown.picture.size() != size {
            assert_eq!(shown.step().await, None);
        }
        shown.until_equal(&session).await;
    }
    assert_eq!(shown.limit, None);
    // No larger than the X server can be.
    let screen = Size::new(5000, 5000).unwrap();
    shown.link.writer.send(Resize { screen }).await.unwrap();
    while shown.picture.size() != session.spec.size_max {
        assert_eq!(shown.step().await, None);
    }
    assert_eq!(shown.limit, Some(session.spec.size_max));
    shown.until_equal(&session).await;
}

#[tokio::test]
async fn a_dtu_that_attaches_brings_its_size() {
    let session = Session::start(Options::shell(READ_A_LINE));
    let dtu = Dtu { screen: Size::new(1000, 700).unwrap(), ..Dtu::new("one") };
    let mut shown = session.attach(&dtu).await;
    assert_eq!(shown.attached.size, dtu.screen);
    while shown.picture.size() != dtu.screen {
        assert_eq!(shown.step().await, None);
    }
    session.wait_for_file("reader").await;
    shown.until_equal(&session).await;
}

#[tokio::test]
async fn a_wheel_step_is_one_click_and_a_button_is_that_button() {
    let session = Session::start(Options::shell("echo $DISPLAY > display; exec sleep 1000"));
    let display = session.wait_for_file("display").await;
    let x = session.x_connection(&display);
    let root = x.setup().roots[0].root;
    let window = x.generate_id().unwrap();
    let wanted = EventMask::BUTTON_PRESS | EventMask::BUTTON_RELEASE;
    let look = CreateWindowAux::new().override_redirect(1).event_mask(wanted);
    x.create_window(0, window, root, 0, 0, 640, 480, 0, WindowClass::INPUT_ONLY, 0, &look).unwrap();
    x.map_window(window).unwrap().check().unwrap();
    let mut shown = session.attach(&Dtu::new("one")).await;
    shown
        .input(&[
            POINTER,
            InputEvent::Wheel { steps_x: 0, steps_y: 1 },
            InputEvent::Wheel { steps_x: 0, steps_y: -2 },
            InputEvent::Wheel { steps_x: 1, steps_y: 0 },
            InputEvent::Button { button: 3, pressed: true },
            InputEvent::Button { button: 3, pressed: false },
        ])
        .await;
    shown.until_input_done().await;
    let mut clicks = Vec::new();
    while clicks.len() < 10 {
        let event = wait_for("button events", || x.poll_for_event().unwrap()).await;
        match event {
            Event::ButtonPress(event) => clicks.push(i16::from(event.detail)),
            Event::ButtonRelease(event) => clicks.push(-i16::from(event.detail)),
            _ => {}
        }
    }
    assert_eq!(clicks, [5, -5, 4, -4, 4, -4, 7, -7, 3, -3]);
}

#[tokio::test]
async fn a_layout_that_does_not_exist_leaves_the_old_one() {
    let session = Session::start(Options::shell(READ_A_LINE));
    let mut shown = session.attach(&Dtu::new("one")).await;
    session.wait_for_file("reader").await;
    let keymap = "nosuchlayout(none)".parse().unwrap();
    shown.link.writer.send(Layout { keymap }).await.unwrap();
    shown.until_equal(&session).await;
    shown.input(&[POINTER]).await;
    shown.tap(&[KEY_Y, ENTER]).await;
    assert_eq!(session.wait_for_file("typed").await, "y\n");
}

#[tokio::test]
async fn the_pointers_shape_is_that_of_what_is_under_it() {
    let command = "echo $DISPLAY > display; exec xterm -geometry 20x5+0+0 -e \
         sh -c 'echo $$ > reader; sleep 1000'";
    let session = Session::start(Options::shell(command));
    let mut shown = session.attach(&Dtu::new("one")).await;
    session.wait_for_file("reader").await;
    shown.input(&[InputEvent::Pointer { x_px: 600, y_px: 400 }]).await;
    shown.until_equal(&session).await;
    shown.until_input_done().await;
    let outside = shown.cursor.clone().unwrap();
    shown.input(&[InputEvent::Pointer { x_px: 50, y_px: 30 }]).await;
    while shown.cursor.as_ref() == Some(&outside) {
        assert_eq!(shown.step().await, None);
    }
}

/// The next truth about a picture that rests, and which blocks of the DTU's
/// picture are others.
pub async fn compare(shown: &mut Shown) -> (Truth, Vec<u16>) {
    shown.truth = None;
    let truth = loop {
        assert_eq!(shown.step().await, None);
        if let Some(truth) = shown.truth.take() {
            break truth;
        }
    };
    assert_eq!((truth.frame, truth.size), (shown.frames, shown.picture.size()));
    let digests = blocks(truth.size).map(|block| digest(&shown.picture, &block));
    let pairs = digests.zip(truth.blocks.iter()).enumerate();
    let others = pairs.filter(|(_, (ours, told))| ours != *told).map(|(index, _)| index as u16);
    (truth.clone(), others.collect())
}

#[tokio::test]
async fn a_picture_that_rests_is_told_and_what_differs_is_sent_again() {
    let session = Session::start(Options::shell(READ_A_LINE));
    let mut shown = session.attach(&Dtu::new("one")).await;
    session.wait_for_file("reader").await;
    shown.until_equal(&session).await;
    assert!(compare(&mut shown).await.1.is_empty());
    // Another frame brings another truth, and this DTU has one pixel wrong.
    shown.input(&[POINTER]).await;
    shown.tap(&[KEY_A]).await;
    shown.until_input_done().await;
    let pixels = shown.picture.pixels_mut();
    let last = pixels.len() - 4;
    pixels[last] ^= 1;
    let (truth, others) = compare(&mut shown).await;
    assert_eq!(others, [truth.blocks.len() as u16 - 1]);
    let differs = Differs { frame: truth.frame, blocks: others.into_iter().collect() };
    shown.link.writer.send(differs).await.unwrap();
    shown.until_equal(&session).await;
    assert!(compare(&mut shown).await.1.is_empty());
}

#[tokio::test]
async fn an_answer_that_was_not_asked_for_ends_the_link() {
    let session = Session::start(Options::shell(READ_A_LINE));
    let mut shown = session.attach(&Dtu::new("one")).await;
    session.wait_for_file("reader").await;
    let (truth, _) = compare(&mut shown).await;
    let differs = Differs { frame: truth.frame + 1, blocks: [0].into_iter().collect() };
    shown.link.writer.send(differs).await.unwrap();
    assert_eq!(shown.until_detached().await.reason, DetachReason::Protocol);
}

#[tokio::test]
async fn what_frames_cost_is_told_to_who_asks_and_as_long_as_they_do() {
    let session = Session::start(Options::shell(READ_A_LINE));
    let mut shown = session.attach(&Dtu::new("one")).await;
    session.wait_for_file("reader").await;
    shown.until_equal(&session).await;
    shown.input(&[POINTER]).await;
    assert_eq!(shown.spent, None);
    shown.link.writer.send(Diagnose { on: true }).await.unwrap();
    shown.tap(&[KEY_A]).await;
    while shown.spent.is_none() {
        assert_eq!(shown.step().await, None);
    }
    // A screen was captured for one letter: that takes time, but no second.
    let spent = shown.spent.take().unwrap();
    assert!((1..1_000_000).contains(&spent.capture_us), "{spent:?}");
    assert!(spent.encode_us < 1_000_000, "{spent:?}");
    shown.link.writer.send(Diagnose { on: false }).await.unwrap();
    shown.until_equal(&session).await;
    // The letters' number comes after the order, and so do their frames.
    shown.tap(&[KEY_A]).await;
    shown.until_input_done().await;
    shown.spent = None;
    compare(&mut shown).await;
    shown.tap(&[KEY_A]).await;
    compare(&mut shown).await;
    assert_eq!(shown.spent, None);
}
