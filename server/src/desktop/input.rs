//! Keys, buttons and pointer, by XTEST. Each batch ends with a root-window
//! property that says which event was the last, so that whoever comes after a
//! worker that died knows where to go on.

use super::keys::{Fake, Held};
use super::{DesktopError, screen};
use afterglow_wire::display::InputDone;
use afterglow_wire::input::InputEvent;
use x11rb::CURRENT_TIME;
use x11rb::connection::{Connection as _, RequestConnection as _};
use x11rb::protocol::xproto::{
    Atom, AtomEnum, BUTTON_PRESS_EVENT, BUTTON_RELEASE_EVENT, ConnectionExt as _, KEY_PRESS_EVENT,
    KEY_RELEASE_EVENT, KeyButMask, MOTION_NOTIFY_EVENT, PropMode, Window,
};
use x11rb::protocol::xtest::{self, ConnectionExt as _};
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

/// The property's name; its value is four CARDINALs: attachment and sequence
/// number, each the low half first.
pub const POSITION_PROPERTY: &str = "_AFTERGLOW_INPUT";
/// Requests of one write: with the property they fit the connection's buffer,
/// so that the X server gets all of them or none.
const BATCH_REQUESTS_MAX: usize = 400;

/// Puts input into the X server.
#[derive(Debug)]
pub struct Injector {
    connection: RustConnection,
    root: Window,
    position: Atom,
    held: Held,
}

impl Injector {
    /// Over a connection that nobody else uses. Gives as well which event was
    /// the last to be put in, by whichever worker.
    pub fn new(connection: RustConnection) -> Result<(Self, Option<InputDone>), DesktopError> {
        if connection.extension_information(xtest::X11_EXTENSION_NAME)?.is_none() {
            return Err(DesktopError::Lacks("the XTEST extension"));
        }
        let root = screen(&connection)?.root;
        let position = connection.intern_atom(false, POSITION_PROPERTY.as_bytes())?.reply()?.atom;
        let property =
            connection.get_property(false, root, position, AtomEnum::CARDINAL, 0, 4)?.reply()?;
        let words: Vec<u64> =
            property.value32().map(|words| words.map(u64::from).collect()).unwrap_or_default();
        let last = match words[..] {
            [a, b, c, d] => Some(InputDone { attachment: a | b << 32, seq: c | d << 32 }),
            _ => None,
        };
        let held = held_now(&connection, root)?;
        Ok((Injector { connection, root, position, held }, last))
    }

    /// The connection, for the keyboard layout.
    pub fn connection(&self) -> &RustConnection {
        &self.connection
    }

    /// Puts events in; `first` is the number of the first of them. Once it
    /// returns the X server has taken them, whatever becomes of us.
    pub fn apply(&mut self, first: InputDone, events: &[InputEvent]) -> Result<(), DesktopError> {
        let mut batch = Vec::new();
        let mut done = None;
        for (seq, event) in (first.seq..).zip(events) {
            let mut fakes = Vec::new();
            self.held.apply(event, &mut fakes);
            if batch.len() + fakes.len() > BATCH_REQUESTS_MAX
                && let Some(done) = done
            {
                self.write(&batch, Some(done))?;
                batch.clear();
            }
            batch.append(&mut fakes);
            done = Some(InputDone { seq, ..first });
        }
        self.write(&batch, done)
    }

    /// Notes a position without an event, where a new attachment begins.
    pub fn begin(&mut self, position: InputDone) -> Result<(), DesktopError> {
        self.write(&[], Some(position))
    }

    /// Lets go of every key and button.
    pub fn release_all(&mut self) -> Result<(), DesktopError> {
        let mut fakes = Vec::new();
        self.held.release_all(&mut fakes);
        self.write(&fakes, None)
    }

    fn write(&self, fakes: &[Fake], done: Option<InputDone>) -> Result<(), DesktopError> {
        for fake in fakes {
            let (kind, detail, x, y) = match *fake {
                Fake::Key { code, down: true } => (KEY_PRESS_EVENT, code, 0, 0),
                Fake::Key { code, down: false } => (KEY_RELEASE_EVENT, code, 0, 0),
                Fake::Button { button, down: true } => (BUTTON_PRESS_EVENT, button, 0, 0),
                Fake::Button { button, down: false } => (BUTTON_RELEASE_EVENT, button, 0, 0),
                Fake::Pointer { x_px, y_px } => {
                    (MOTION_NOTIFY_EVENT, 0, coordinate(x_px), coordinate(y_px))
                }
            };
            self.connection.xtest_fake_input(kind, detail, CURRENT_TIME, self.root, x, y, 0)?;
        }
        if let Some(InputDone { attachment, seq }) = done {
            let words =
                [attachment as u32, (attachment >> 32) as u32, seq as u32, (seq >> 32) as u32];
            let mode = PropMode::REPLACE;
            let (window, property) = (self.root, self.position);
            self.connection.change_property32(
                mode,
                window,
                property,
                AtomEnum::CARDINAL,
                &words,
            )?;
        }
        match done {
            // What was written and not yet read is lost if we are killed now:
            // an X server reads nothing of a connection that is closed. So it
            // has to answer before anybody is told that the input was put in.
            Some(_) => drop(self.connection.get_input_focus()?.reply()?),
            None => self.connection.flush()?,
        }
        // What the X server says to everybody (a new keyboard map, a refused
        // request) would fill the connection if nobody took it.
        while let Some(event) = self.connection.poll_for_event()? {
            tracing::trace!(?event, "the X server said something to the input connection");
        }
        Ok(())
    }
}

fn coordinate(px: u16) -> i16 {
    i16::try_from(px).unwrap_or(i16::MAX)
}

/// What is down already: an earlier worker may have died with keys held.
fn held_now(connection: &RustConnection, root: Window) -> Result<Held, DesktopError> {
    let keys = connection.query_keymap()?.reply()?.keys;
    let down = (0..=255u8).filter(|code| keys[usize::from(code / 8)] & (1 << (code % 8)) != 0);
    let mask = connection.query_pointer(root)?.reply()?.mask;
    let masks = [KeyButMask::BUTTON1, KeyButMask::BUTTON2, KeyButMask::BUTTON3];
    let buttons = (1u8..).zip(masks).filter(|(_, bit)| mask.contains(*bit)).map(|(n, _)| n);
    Ok(Held::of(down, buttons))
}
