//! What a DTU sees and types.

use crate::harness::{Dtu, Options, Session};
use afterglow_wire::ids::Size;
use afterglow_wire::input::InputEvent;

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
    assert!(shown.cursor.is_some());
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
