//! The screen's size, by RandR: a mode of its own for each size.

use super::{DesktopError, screen};
use afterglow_wire::ids::Size;
use x11rb::CURRENT_TIME;
use x11rb::connection::Connection as _;
use x11rb::protocol::randr::{self, ConnectionExt as _, ModeFlag, ModeInfo, Rotation};
use x11rb::protocol::xproto::ConnectionExt as _;
use x11rb::rust_connection::RustConnection;

/// Pixels per inch, which nothing but programs' fonts depend on.
const DPI: u32 = 96;
const MODE_PREFIX: &str = "afterglow-";

/// The screen's present size.
pub fn current(connection: &RustConnection) -> Result<Size, DesktopError> {
    let root = screen(connection)?.root;
    let geometry = connection.get_geometry(root)?.reply()?;
    Size::new(geometry.width, geometry.height).ok_or(DesktopError::Lacks("a usable screen size"))
}

/// Changes the screen's size; it must not be larger than the X server's
/// largest.
pub fn change(connection: &RustConnection, size: Size) -> Result<(), DesktopError> {
    let before = current(connection)?;
    let root = screen(connection)?.root;
    let resources = connection.randr_get_screen_resources_current(root)?.reply()?;
    let (Some(&crtc), Some(&output)) = (resources.crtcs.first(), resources.outputs.first()) else {
        return Err(DesktopError::Lacks("an output that RandR can resize"));
    };
    let mode = mode_of(connection, &resources, size)?;
    // Refused if the output has it already, which is as good.
    let _ = connection.randr_add_output_mode(output, mode)?.check();

    // The screen has to hold the output at every step.
    let both = Size::clamped(
        u32::from(before.width_px().max(size.width_px())),
        u32::from(before.height_px().max(size.height_px())),
        Size::new(afterglow_wire::limits::SIZE_PX_MAX, afterglow_wire::limits::SIZE_PX_MAX)
            .unwrap_or(size),
    );
    set_screen(connection, root, both)?;
    connection
        .randr_set_crtc_config(
            crtc,
            CURRENT_TIME,
            resources.config_timestamp,
            0,
            0,
            mode,
            Rotation::ROTATE0,
            &[output],
        )?
        .reply()?;
    set_screen(connection, root, size)?;
    forget_others(connection, &resources, output, mode)
}

fn set_screen(connection: &RustConnection, root: u32, size: Size) -> Result<(), DesktopError> {
    let millimetres = |px: u16| (u32::from(px) * 254).div_ceil(DPI * 10);
    let (width_mm, height_mm) = (millimetres(size.width_px()), millimetres(size.height_px()));
    connection
        .randr_set_screen_size(root, size.width_px(), size.height_px(), width_mm, height_mm)?
        .check()?;
    Ok(())
}

/// The mode of this size, made if there is none.
fn mode_of(
    connection: &RustConnection,
    resources: &randr::GetScreenResourcesCurrentReply,
    size: Size,
) -> Result<randr::Mode, DesktopError> {
    let name = format!("{MODE_PREFIX}{size}");
    if let Some(mode) = named_modes(resources).find(|(found, _)| *found == name.as_bytes()) {
        return Ok(mode.1.id);
    }
    let (width, height) = (size.width_px(), size.height_px());
    let info = ModeInfo {
        id: 0,
        width,
        height,
        // 60 pictures a second, of a screen that has no beam.
        dot_clock: u32::from(width) * u32::from(height) * 60,
        hsync_start: width,
        hsync_end: width,
        htotal: width,
        hskew: 0,
        vsync_start: height,
        vsync_end: height,
        vtotal: height,
        name_len: name.len() as u16,
        mode_flags: ModeFlag::from(0u32),
    };
    let root = screen(connection)?.root;
    Ok(connection.randr_create_mode(root, info, name.as_bytes())?.reply()?.mode)
}

/// The modes and their names, which RandR keeps in one string.
fn named_modes(
    resources: &randr::GetScreenResourcesCurrentReply,
) -> impl Iterator<Item = (&[u8], &ModeInfo)> {
    let mut names = resources.names.as_slice();
    resources.modes.iter().map(move |mode| {
        let (name, rest) = names.split_at(usize::from(mode.name_len).min(names.len()));
        names = rest;
        (name, mode)
    })
}

/// Removes the modes of earlier sizes, so that they do not pile up.
fn forget_others(
    connection: &RustConnection,
    resources: &randr::GetScreenResourcesCurrentReply,
    output: randr::Output,
    keep: randr::Mode,
) -> Result<(), DesktopError> {
    for (name, mode) in named_modes(resources) {
        if mode.id != keep && name.starts_with(MODE_PREFIX.as_bytes()) {
            connection.randr_delete_output_mode(output, mode.id)?.ignore_error();
            connection.randr_destroy_mode(mode.id)?.ignore_error();
        }
    }
    connection.flush()?;
    Ok(())
}
