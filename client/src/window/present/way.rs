//! The way of the processor's pixels onto the window: directly, where an X
//! server on this host shares memory with us, else as `softbuffer` does it.

use super::x11::{X11Error, X11Window};
use crate::render::plain::Canvas;
use afterglow_wire::command::Rect;
use softbuffer::SoftBufferError;
use std::num::NonZeroU32;
use std::sync::Arc;
use winit::event_loop::OwnedDisplayHandle;
use winit::window::Window;

/// The window's pixels in memory that the window system reads.
type Surface = softbuffer::Surface<OwnedDisplayHandle, Arc<Window>>;

/// Why something cannot be brought onto the window now; it may be later.
#[derive(Debug, thiserror::Error)]
pub enum WayError {
    /// By `softbuffer`.
    #[error(transparent)]
    Window(#[from] SoftBufferError),
    /// Over a connection of our own.
    #[error(transparent)]
    X11(#[from] X11Error),
}

/// One of them.
pub enum Way {
    /// Over a connection of our own to the X server.
    X11(Box<X11Window>),
    /// By `softbuffer`: Wayland, and X servers far away.
    Soft(Surface),
}

impl Way {
    /// The best one for this window.
    pub fn new(
        window: &Arc<Window>,
        display: OwnedDisplayHandle,
        size_px: (u32, u32),
    ) -> Result<Self, SoftBufferError> {
        match X11Window::new(window, size_px) {
            Ok(opened) => return Ok(Way::X11(Box::new(opened))),
            Err(X11Error::NotX11) => {}
            Err(error) => tracing::info!(%error, "the window is drawn on by softbuffer"),
        }
        let context = softbuffer::Context::new(display)?;
        Ok(Way::Soft(Surface::new(&context, window.clone())?))
    }

    /// Lets something be drawn into pixels for all of the window, and brings
    /// the parts that it says onto the window. It is told how many times ago
    /// these pixels were last drawn on; what of them was drawn before that
    /// they lack (0: all).
    pub fn put(
        &mut self,
        size_px: (u32, u32),
        draw: impl FnOnce(&mut Canvas, u8) -> Vec<Rect>,
    ) -> Result<(), WayError> {
        match self {
            // Nothing is put from there that was not drawn just now.
            Way::X11(window) => Ok(window.put(size_px, |canvas| draw(canvas, 1))?),
            Way::Soft(surface) => Ok(put(surface, size_px, draw)?),
        }
    }
}

fn put(
    surface: &mut Surface,
    size_px: (u32, u32),
    draw: impl FnOnce(&mut Canvas, u8) -> Vec<Rect>,
) -> Result<(), SoftBufferError> {
    let side = |px: u32| NonZeroU32::new(px).unwrap_or(NonZeroU32::MIN);
    let window = surface.window().clone();
    surface.resize(side(size_px.0), side(size_px.1))?;
    let mut buffer = surface.buffer_mut()?;
    let age = buffer.age();
    let parts = draw(&mut Canvas { pixels: &mut buffer, size_px }, age);
    let parts: Vec<_> = parts
        .iter()
        .map(|part| softbuffer::Rect {
            x: part.x_px.into(),
            y: part.y_px.into(),
            width: side(part.width_px.into()),
            height: side(part.height_px.into()),
        })
        .collect();
    window.pre_present_notify();
    buffer.present_with_damage(&parts)
}
