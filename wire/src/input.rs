//! What a user does at a DTU: keys, pointer, wheel.

wire_choice! {
    /// What happened to a key.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub enum KeyAction {
        /// It went down.
        Press = 0,
        /// It went up.
        Release = 1,
        /// The DTU's autorepeat says it again; the session has none.
        Repeat = 2,
    }
}

/// One event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InputEvent {
    /// A key, by its evdev scancode (linux/input-event-codes.h).
    Key {
        /// 1 to 247: what X can name.
        scancode: u8,
        /// What happened to it.
        action: KeyAction,
    },
    /// The pointer is here, in framebuffer pixels.
    Pointer {
        /// From the left.
        x_px: u16,
        /// From the top.
        y_px: u16,
    },
    /// A pointer button.
    Button {
        /// X's number: 1 left, 2 middle, 3 right, 8 back, 9 forward.
        button: u8,
        /// Down, or up.
        pressed: bool,
    },
    /// The wheel: whole steps, right and down are positive.
    Wheel {
        /// Horizontal steps.
        steps_x: i16,
        /// Vertical steps.
        steps_y: i16,
    },
}

/// The highest evdev scancode that an X key code (8 more) can name.
pub const SCANCODE_MAX: u8 = 247;
/// The highest pointer button number.
pub const BUTTON_MAX: u8 = 15;
/// The most wheel steps that one event may tell.
pub const WHEEL_STEPS_MAX: i16 = 100;

impl crate::codec::Wire for InputEvent {
    fn put(&self, out: &mut bytes::BytesMut) {
        match *self {
            InputEvent::Key { scancode, action } => {
                0u8.put(out);
                scancode.put(out);
                action.put(out);
            }
            InputEvent::Pointer { x_px, y_px } => {
                1u8.put(out);
                x_px.put(out);
                y_px.put(out);
            }
            InputEvent::Button { button, pressed } => {
                2u8.put(out);
                button.put(out);
                pressed.put(out);
            }
            InputEvent::Wheel { steps_x, steps_y } => {
                3u8.put(out);
                steps_x.put(out);
                steps_y.put(out);
            }
        }
    }

    fn get(from: &mut crate::codec::Reader) -> Result<Self, crate::codec::DecodeError> {
        use crate::codec::DecodeError::Invalid;
        match u8::get(from)? {
            0 => match u8::get(from)? {
                scancode @ 1..=SCANCODE_MAX => {
                    Ok(InputEvent::Key { scancode, action: KeyAction::get(from)? })
                }
                _ => Err(Invalid("scancode")),
            },
            1 => Ok(InputEvent::Pointer { x_px: u16::get(from)?, y_px: u16::get(from)? }),
            2 => match u8::get(from)? {
                button @ 1..=BUTTON_MAX => {
                    Ok(InputEvent::Button { button, pressed: bool::get(from)? })
                }
                _ => Err(Invalid("pointer button")),
            },
            3 => {
                let (steps_x, steps_y) = (i16::get(from)?, i16::get(from)?);
                let range = -WHEEL_STEPS_MAX..=WHEEL_STEPS_MAX;
                if !range.contains(&steps_x) || !range.contains(&steps_y) {
                    return Err(Invalid("wheel"));
                }
                Ok(InputEvent::Wheel { steps_x, steps_y })
            }
            _ => Err(Invalid("input event")),
        }
    }
}
