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

/// Every button event, in order: its number, and whether it was a press.
fn buttons(session: &SessionDesktop, expected: usize) -> Result<Vec<(u8, bool)>> {
    let mut seen = Vec::new();
    wait::until_true("the session hears the buttons", || {
        while let Some(event) = session.connection().poll_for_event()? {
            match event {
                Event::ButtonPress(press) => seen.push((press.detail, true)),
                Event::ButtonRelease(release) => seen.push((release.detail, false)),
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
    screen.point_at(dtu.window(), 123, 234)?;
    // The last click shows that nothing more was on its way before it.
    for button in [5, 5, 5, 4, 1, 3] {
        screen.click(button)?;
    }
    let expected: Vec<(u8, bool)> =
        [5, 5, 5, 4, 1, 3].iter().flat_map(|button| [(*button, true), (*button, false)]).collect();
    assert_eq!(buttons(&session, expected.len())?, expected);
    let root = session.connection().setup().roots[0].root;
    let pointer = session.connection().query_pointer(root)?.reply()?;
    assert_eq!((pointer.root_x, pointer.root_y), (123, 234));
    site.passed()
}
