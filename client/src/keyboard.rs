//! Which layout the user's keyboard has: the session's X server loads it.
//!
//! The DTU's own window system is asked first, then the system's settings; who
//! knows better says `--keymap`.

use afterglow_wire::ids::Keymap;
use std::path::Path;
use std::process::Command;
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{AtomEnum, ConnectionExt};

/// The property of X's root window that names rules, model, layout, variant
/// and options, each ended by a zero byte.
const RULES_NAMES: &str = "_XKB_RULES_NAMES";
/// The property is never longer than that, in four-byte units.
const RULES_NAMES_UNITS_MAX: u32 = 256;

/// The keyboard's layout, or `us` if nobody knows.
pub fn detect() -> Keymap {
    let on_wayland = std::env::var_os("WAYLAND_DISPLAY").is_some_and(|name| !name.is_empty());
    // Under Wayland, Xwayland's property need not be what the compositor uses.
    let own = if on_wayland { from_gnome() } else { from_x11() };
    let found = own.or_else(from_files);
    if found.is_none() {
        tracing::info!("the keyboard's layout is not known; taking us (see --keymap)");
    }
    found.unwrap_or_default()
}

fn from_x11() -> Option<Keymap> {
    let (connection, screen) = x11rb::connect(None).ok()?;
    let root = connection.setup().roots.get(screen)?.root;
    let name = connection.intern_atom(true, RULES_NAMES.as_bytes()).ok()?.reply().ok()?.atom;
    let property = connection
        .get_property(false, root, name, AtomEnum::STRING, 0, RULES_NAMES_UNITS_MAX)
        .ok()?
        .reply()
        .ok()?;
    parse_rules_names(&property.value)
}

fn from_gnome() -> Option<Keymap> {
    let settings = ["get", "org.gnome.desktop.input-sources", "sources"];
    let output = Command::new("gsettings").args(settings).output().ok()?;
    parse_gnome(&String::from_utf8_lossy(&output.stdout))
}

/// What Debian's and systemd's settings say.
fn from_files() -> Option<Keymap> {
    let read = |path: &str| std::fs::read_to_string(Path::new(path)).ok();
    read("/etc/default/keyboard")
        .and_then(|text| parse_debian(&text))
        .or_else(|| parse_xorg(&read("/etc/X11/xorg.conf.d/00-keyboard.conf")?))
}

/// The first of the layouts, with its variant.
fn keymap(layouts: &str, variants: &str) -> Option<Keymap> {
    let first = |list: &str| list.split(',').next().unwrap_or_default().trim().to_owned();
    let (layout, variant) = (first(layouts), first(variants));
    match (layout.is_empty(), variant.is_empty()) {
        (true, _) => None,
        (false, true) => layout.parse().ok(),
        (false, false) => format!("{layout}({variant})").parse().ok(),
    }
}

fn parse_rules_names(property: &[u8]) -> Option<Keymap> {
    let fields: Vec<_> = property.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    keymap(fields.get(2)?, fields.get(3).map_or("", |variants| variants))
}

/// `[('xkb', 'de+nodeadkeys'), ('xkb', 'us')]`
fn parse_gnome(sources: &str) -> Option<Keymap> {
    let name = sources.split("('xkb', '").nth(1)?.split('\'').next()?;
    let (layout, variant) = name.split_once('+').unwrap_or((name, ""));
    keymap(layout, variant)
}

/// `XKBLAYOUT="de"`, one setting a line.
fn parse_debian(text: &str) -> Option<Keymap> {
    let setting = |name: &str| {
        let value = text.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='));
        value.unwrap_or_default().trim_matches(['"', '\''])
    };
    keymap(setting("XKBLAYOUT"), setting("XKBVARIANT"))
}

/// `Option "XkbLayout" "de"`, one option a line.
fn parse_xorg(text: &str) -> Option<Keymap> {
    let option = |name: &str| {
        let quoted = format!("\"{name}\"");
        let value = text.lines().find_map(|line| line.split_once(&quoted)?.1.split('"').nth(1));
        value.unwrap_or_default()
    };
    keymap(option("XkbLayout"), option("XkbVariant"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(keymap: Option<Keymap>) -> Option<String> {
        keymap.map(|keymap| keymap.to_string())
    }

    #[test]
    fn the_first_layout_is_taken_with_its_variant() {
        let x11 = |text: &str| named(parse_rules_names(text.as_bytes()));
        assert_eq!(x11("evdev\0pc105\0de,us\0nodeadkeys,\0\0").unwrap(), "de(nodeadkeys)");
        assert_eq!(x11("evdev\0pc105\0us\0\0\0").unwrap(), "us");
        assert_eq!(x11("evdev\0pc105"), None);
        assert_eq!(x11(""), None);
        let gnome = |text| named(parse_gnome(text));
        assert_eq!(gnome("[('xkb', 'de+neo'), ('xkb', 'us')]").unwrap(), "de(neo)");
        assert_eq!(gnome("[('ibus', 'anthy'), ('xkb', 'jp')]").unwrap(), "jp");
        assert_eq!(gnome("@a(ss) []"), None);
        let debian = "# KEYBOARD\nXKBMODEL=\"pc105\"\nXKBLAYOUT=\"fr\"\nXKBVARIANT=\"\"\n";
        assert_eq!(named(parse_debian(debian)).unwrap(), "fr");
        let xorg = "Section \"InputClass\"\n  Option \"XkbLayout\" \"gb\"\nEndSection\n";
        assert_eq!(named(parse_xorg(xorg)).unwrap(), "gb");
        assert_eq!(named(parse_xorg("nothing")), None);
    }

    #[test]
    fn a_name_that_is_none_is_not_taken() {
        assert_eq!(named(parse_debian("XKBLAYOUT=\"$(reboot)\"")), None);
    }
}
