//! A window of an X server on this host, drawn on over a connection of our own.
//!
//! What is drawn is sent at once, and waits for nothing of winit's: neither
//! for its loop nor for the answers that its connection is owed. Pixels go
//! through memory that the X server shares (MIT-SHM), and what has one colour
//! does not go at all: the X server fills it.

use crate::render::plain::Canvas;
use afterglow_screen::SharedMemory;
use afterglow_wire::command::Rect;
use std::os::fd::OwnedFd;
use winit::raw_window_handle::{HasWindowHandle, RawWindowHandle};
use x11rb::connection::{Connection as _, RequestConnection as _, SequenceNumber};
use x11rb::errors::{ConnectError, ConnectionError, ReplyError, ReplyOrIdError};
use x11rb::protocol::shm::{self, ConnectionExt as _, Seg};
use x11rb::protocol::xproto::{
    ChangeGCAux, ConnectionExt as _, CreateGCAux, Gcontext, ImageFormat, ImageOrder, Rectangle,
    VisualClass, Visualtype, Window,
};
use x11rb::rust_connection::RustConnection;

/// Why a window cannot be drawn on in this way.
#[derive(Debug, thiserror::Error)]
pub enum X11Error {
    /// It is no window of an X server.
    #[error("it is not a window of an X server")]
    NotX11,
    /// Its pixels are not four bytes: blue, green, red, unused.
    #[error("its pixels have another form")]
    OtherPixels,
    /// The X server cannot be reached.
    #[error("the X server cannot be reached: {0}")]
    NoServer(#[from] ConnectError),
    /// The connection broke.
    #[error("the connection to the X server broke: {0}")]
    Broken(#[from] ConnectionError),
    /// The X server refused something.
    #[error("the X server refuses: {0}")]
    Refused(#[from] ReplyError),
    /// There are no more names for what the X server keeps.
    #[error("the X server gives no more ids: {0}")]
    NoId(#[from] ReplyOrIdError),
    /// The system gives no memory.
    #[error("no memory can be shared: {0}")]
    NoMemory(#[from] rustix::io::Errno),
}

/// The window, and the way to it.
pub struct X11Window {
    connection: RustConnection,
    window: Window,
    context: Gcontext,
    depth: u8,
    memory: Option<Memory>,
    /// A question that the X server answers once it has drawn all before it:
    /// not before that is anything drawn into the memory again, and a slow X
    /// server is not given more than it can do.
    drawn: Option<SequenceNumber>,
}

/// Memory for all of the window, as this side and the X server know it.
struct Memory {
    shared: SharedMemory,
    segment: Seg,
    size_px: (u32, u32),
}

impl X11Window {
    /// Opens a connection for this window, and makes sure that all that is
    /// needed works.
    pub fn new(window: &impl HasWindowHandle, size_px: (u32, u32)) -> Result<Self, X11Error> {
        let window = match window.window_handle().map(|handle| handle.as_raw()) {
            Ok(RawWindowHandle::Xlib(handle)) => handle.window as Window,
            Ok(RawWindowHandle::Xcb(handle)) => handle.window.get(),
            _ => return Err(X11Error::NotX11),
        };
        let (connection, _) = RustConnection::connect(None)?;
        connection.prefetch_extension_information(shm::X11_EXTENSION_NAME)?;
        let attributes = connection.get_window_attributes(window)?.reply()?;
        let depth = connection.get_geometry(window)?.reply()?.depth;
        if !has_our_pixels(&connection, attributes.visual, depth) {
            return Err(X11Error::OtherPixels);
        }
        let context = connection.generate_id()?;
        let aux = CreateGCAux::new().graphics_exposures(0);
        connection.create_gc(context, window, &aux)?.check()?;
        let mut opened =
            X11Window { connection, window, context, depth, memory: None, drawn: None };
        opened.memory_of(size_px)?;
        Ok(opened)
    }

    /// Lets something be drawn into memory for all of the window, and puts the
    /// parts of it that are told onto the window. What is in the memory before
    /// means nothing.
    pub fn put(
        &mut self,
        size_px: (u32, u32),
        draw: impl FnOnce(&mut Canvas) -> Vec<Rect>,
    ) -> Result<(), X11Error> {
        self.wait_drawn()?;
        let memory = self.memory_of(size_px)?;
        let pixels = &mut memory.shared.pixels()[..(size_px.0 * size_px.1) as usize];
        let parts = draw(&mut Canvas { pixels, size_px });
        let segment = memory.segment;
        let (width_px, height_px) = (size_px.0 as u16, size_px.1 as u16);
        for part in &parts {
            self.connection.shm_put_image(
                self.window,
                self.context,
                width_px,
                height_px,
                part.x_px,
                part.y_px,
                part.width_px,
                part.height_px,
                part.x_px as i16,
                part.y_px as i16,
                self.depth,
                ImageFormat::Z_PIXMAP.into(),
                false,
                segment,
                0,
            )?;
        }
        self.send()
    }

    /// Fills parts of the window, one after the other.
    pub fn fill(&mut self, parts: impl Iterator<Item = (Rect, [u8; 4])>) -> Result<(), X11Error> {
        self.wait_drawn()?;
        for (part, [blue, green, red, _]) in parts {
            let color = u32::from_le_bytes([blue, green, red, 0]);
            self.connection.change_gc(self.context, &ChangeGCAux::new().foreground(color))?;
            let rectangle = Rectangle {
                x: part.x_px as i16,
                y: part.y_px as i16,
                width: part.width_px,
                height: part.height_px,
            };
            self.connection.poly_fill_rectangle(self.window, self.context, &[rectangle])?;
        }
        self.send()
    }

    /// Sends everything now, and waits for no answer.
    fn send(&mut self) -> Result<(), X11Error> {
        let question = self.connection.get_input_focus()?;
        self.drawn = Some(question.sequence_number());
        // When it is dropped, the answer is thrown away.
        std::mem::forget(question);
        Ok(self.connection.flush()?)
    }

    /// Waits until the X server has drawn what it was given before.
    fn wait_drawn(&mut self) -> Result<(), X11Error> {
        if let Some(question) = self.drawn.take() {
            self.connection.wait_for_reply(question)?;
        }
        // Nothing was asked of it that could fail but for a window that is gone
        // or of another size; winit tells of both.
        while let Some(event) = self.connection.poll_for_event()? {
            tracing::trace!(?event, "the X server said something to the drawing connection");
        }
        Ok(())
    }

    /// Memory for a window of this size.
    fn memory_of(&mut self, size_px: (u32, u32)) -> Result<&mut Memory, X11Error> {
        if let Some(memory) = self.memory.take_if(|memory| memory.size_px != size_px) {
            self.connection.shm_detach(memory.segment)?;
        }
        if self.memory.is_none() {
            let (shared, file) = SharedMemory::new(size_px.0 as usize * size_px.1 as usize)?;
            let segment = self.attach(file)?;
            self.memory = Some(Memory { shared, segment, size_px });
        }
        Ok(self.memory.as_mut().unwrap_or_else(|| unreachable!("it was just made")))
    }

    /// Has the X server map a memory file for reading.
    fn attach(&self, file: OwnedFd) -> Result<Seg, X11Error> {
        let segment = self.connection.generate_id()?;
        self.connection.shm_attach_fd(segment, file, true)?.check()?;
        Ok(segment)
    }
}

/// True if a pixel of this visual is four bytes in memory: blue, green, red,
/// and one that means nothing.
fn has_our_pixels(connection: &RustConnection, visual: u32, depth: u8) -> bool {
    let setup = connection.setup();
    let fits = |kind: &&Visualtype| {
        kind.visual_id == visual
            && kind.class == VisualClass::TRUE_COLOR
            && (kind.red_mask, kind.green_mask, kind.blue_mask) == (0xff_0000, 0xff00, 0xff)
    };
    let mut depths = setup.roots.iter().flat_map(|screen| &screen.allowed_depths);
    let known = depths.any(|one| one.depth == depth && one.visuals.iter().any(|v| fits(&v)));
    let bits = setup.pixmap_formats.iter().find(|format| format.depth == depth);
    known
        && depth == 24
        && bits.is_some_and(|format| format.bits_per_pixel == 32)
        && setup.image_byte_order == ImageOrder::LSB_FIRST
        && cfg!(target_endian = "little")
}
