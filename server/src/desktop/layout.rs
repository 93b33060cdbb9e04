//! The keyboard layout, and that keys do not repeat by themselves: the DTU
//! sends repeats, so that a gap on the link doubles nothing.

use super::{DesktopError, Display, screen};
use afterglow_wire::ids::Keymap;
use std::process::{Command, Stdio};
use x11rb::protocol::xproto::{
    AtomEnum, AutoRepeatMode, ChangeKeyboardControlAux, ConnectionExt as _,
};
use x11rb::rust_connection::RustConnection;

/// The rules and the model under which scancode + 8 is the key code.
const RULES: &str = "evdev";
const MODEL: &str = "pc105";

/// Layouts and their variants, as setxkbmap takes them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Names {
    layouts: String,
    variants: String,
}

impl Names {
    /// Reads `de(nodeadkeys)` or `us(intl),de`.
    fn of(keymap: &Keymap) -> Self {
        let (layouts, variants): (Vec<&str>, Vec<&str>) = keymap
            .as_str()
            .split(',')
            .map(|part| match part.split_once('(') {
                Some((layout, variant)) => (layout, variant.trim_end_matches(')')),
                None => (part, ""),
            })
            .unzip();
        Names { layouts: layouts.join(","), variants: variants.join(",") }
    }
}

/// Turns X's own key repeat off.
pub fn stop_repeat(connection: &RustConnection) -> Result<(), DesktopError> {
    let off = ChangeKeyboardControlAux::new().auto_repeat_mode(AutoRepeatMode::OFF);
    connection.change_keyboard_control(&off)?.check()?;
    Ok(())
}

/// Loads a layout. If that fails the old one stays.
pub fn load(
    connection: &RustConnection,
    display: &Display,
    keymap: &Keymap,
) -> Result<(), DesktopError> {
    let names = Names::of(keymap);
    if loaded(connection)? == Some(names.clone()) {
        return stop_repeat(connection);
    }
    let failed = |why: String| DesktopError::Layout { layout: keymap.to_string(), why };
    let output = Command::new("setxkbmap")
        .args(["-display", &display.name(), "-rules", RULES, "-model", MODEL])
        .args(["-layout", &names.layouts, "-variant", &names.variants, "-option", ""])
        .env("XAUTHORITY", &display.authority_file)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| failed(format!("setxkbmap (package x11-xkb-utils): {e}")))?;
    // A new layout brings X's repeat back.
    stop_repeat(connection)?;
    if output.status.success() {
        Ok(())
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        Err(failed(said.lines().next().unwrap_or("setxkbmap failed").to_owned()))
    }
}

/// What setxkbmap loaded last, from the root window's property.
fn loaded(connection: &RustConnection) -> Result<Option<Names>, DesktopError> {
    let root = screen(connection)?.root;
    let atom = connection.intern_atom(false, b"_XKB_RULES_NAMES")?.reply()?.atom;
    let property = connection.get_property(false, root, atom, AtomEnum::STRING, 0, 256)?.reply()?;
    let text = String::from_utf8_lossy(&property.value).into_owned();
    let mut fields = text.split('\0');
    let (rules, model) = (fields.next(), fields.next());
    if rules != Some(RULES) || model != Some(MODEL) {
        return Ok(None);
    }
    let (layouts, variants) = (fields.next().unwrap_or(""), fields.next().unwrap_or(""));
    Ok(Some(Names { layouts: layouts.to_owned(), variants: variants.to_owned() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_and_variants_are_told_apart() {
        let names = |text: &str| {
            let names = Names::of(&text.parse().unwrap());
            (names.layouts, names.variants)
        };
        assert_eq!(names("de"), ("de".into(), "".into()));
        assert_eq!(names("de(nodeadkeys)"), ("de".into(), "nodeadkeys".into()));
        assert_eq!(names("us(intl),de"), ("us,de".into(), "intl,".into()));
    }
}
