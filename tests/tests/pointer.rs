//! The pointer and the wheel, as the session's X server reports them.

use afterglow_tests::dtu::DtuOptions;
use afterglow_tests::session::SessionDesktop;
use afterglow_tests::site::{Site, TERMINAL};
use afterglow_tests::wait;
use anyhow::Result;
use x11rb::connection::Connection;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{ConnectionExt, CreateWindowAux, EventMask, WindowClass};

/// A window over the whole session that hears every button.
fn listen(session: &SessionDesktop) -> Result<()> {
    let connection = session.connection();
    let screen = &connection.setup().roots[0];
    let window = connection.generate_id()?;
    let events = EventMask::BUTTON_PRESS | EventMask::BUTTON_RELEASE | EventMask::EXPOSURE;
    let aux = CreateWindowAux::new().override_redirect(1).event_mask(events);
    let (width, height) = session.size()?;
    let class = WindowClass::INPUT_OUTPUT;
    connection
        .create_window(0, window, screen.root, 0, 0, width, height, 0, class, 0, &aux)?
        .check()?;
    connection.map_window(window)?.check()?;
    Ok(())
}

/// A button event: its number, whether it was a press, and where.
type Button = (u8, bool, (i16, i16));

/// Every button event, in order.
fn buttons(session: &SessionDesktop, expected: usize) -> Result<Vec<Button>> {
    let mut seen = Vec::new();
    wait::until_true("the session hears the buttons", || {
        while let Some(event) = session.connection().poll_for_event()? {
            match event {
                Event::ButtonPress(press) => {
                    seen.push((press.detail, true, (press.root_x, press.root_y)));
                }
                Event::ButtonRelease(release) => {
                    seen.push((release.detail, false, (release.root_x, release.root_y)));
                }
                _ => {}
            }
        }
        Ok(seen.len() >= expected)
    })?;
    Ok(seen)
}

#[test]
fn the_wheel_goes_one_step_a_click_and_buttons_arrive_where_the_pointer_is() -> Result<()> {
    let site = Site::start("pointer", &["mud"], TERMINAL)?;
    let screen = site.screen(800, 600)?;
    let dtu = site.dtu(&screen, DtuOptions::new("desk1", "soft:ada").place(60, 40))?;
    dtu.wait_first_frame(0)?;
    let session = site.hosts[0].only_session()?;
    listen(&session)?;
    dtu.focus()?;
    // At once, without a wait in between, as fast hands do. The last click
    // shows that nothing more was on its way before it.
    let mut expected = Vec::new();
    for (number, button) in [5, 5, 5, 4, 1, 3, 1, 1].into_iter().enumerate() {
        let (x_px, y_px) = (100 + 37 * number as i16, 300 - 31 * number as i16);
        screen.point_at(dtu.window(), x_px, y_px)?;
        screen.click(button)?;
        screen.point_at(dtu.window(), 20, 20)?;
        let at = (x_px, y_px);
        expected.extend([(button, true, at), (button, false, at)]);
    }
    assert_eq!(buttons(&session, expected.len())?, expected);
    let root = session.connection().setup().roots[0].root;
    wait::until_true("the pointer is where it came to rest", || {
        let pointer = session.connection().query_pointer(root)?.reply()?;
        Ok((pointer.root_x, pointer.root_y) == (20, 20))
    })?;
    site.passed()
}
