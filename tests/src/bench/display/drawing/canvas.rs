//! A window that is drawn in.

use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use x11rb::connection::Connection;
use x11rb::protocol::Event;
use x11rb::protocol::shm::{self, ConnectionExt as _};
use x11rb::protocol::xproto::{
    ChangeGCAux, ChangeWindowAttributesAux, ConfigureWindowAux, ConnectionExt, CreateGCAux,
    CreateWindowAux, EventMask, Gcontext, ImageFormat, Rectangle, Window, WindowClass,
};
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

/// The height of a line of text, in the X server's own font.
const LINE_PX: i16 = 13;

/// Shared memory with the X server, filled through its file.
struct Memory {
    file: File,
    segment: shm::Seg,
}

impl Memory {
    fn new(connection: &RustConnection, bytes: u64) -> Result<Self> {
        let memory = rustix::fs::memfd_create("drawing", rustix::fs::MemfdFlags::CLOEXEC);
        let file = File::from(memory.context("memory to share")?);
        file.set_len(bytes)?;
        let segment = connection.generate_id()?;
        let sent = file.as_fd().try_clone_to_owned()?;
        connection.shm_attach_fd(segment, sent, false)?.check().context("MIT-SHM")?;
        Ok(Memory { file, segment })
    }
}

/// A window, all of the screen or a part of it, that no window manager moves.
pub struct Canvas {
    connection: RustConnection,
    window: Window,
    gc: Gcontext,
    depth: u8,
    size_px: (u16, u16),
    memory: Memory,
}

impl Canvas {
    /// One of this colour, as large as the screen of the display that the
    /// environment names.
    pub fn whole(color: u32) -> Result<Self> {
        let (connection, screen) = x11rb::connect(None).context("the display")?;
        let screen = &connection.setup().roots[screen];
        let size_px = (screen.width_in_pixels, screen.height_in_pixels);
        Canvas::on(connection, color, (0, 0), size_px)
    }

    /// One at this place.
    pub fn place(color: u32, place_px: (i16, i16), size_px: (u16, u16)) -> Result<Self> {
        let (connection, _) = x11rb::connect(None).context("the display")?;
        Canvas::on(connection, color, place_px, size_px)
    }

    fn on(
        connection: RustConnection,
        color: u32,
        (x_px, y_px): (i16, i16),
        size_px: (u16, u16),
    ) -> Result<Self> {
        let screen = &connection.setup().roots[0];
        let (root, depth) = (screen.root, screen.root_depth);
        ensure!(depth == 24, "the screen has depth {depth}, not 24");
        let (window, gc) = (connection.generate_id()?, connection.generate_id()?);
        let attributes = CreateWindowAux::new()
            .override_redirect(1)
            .background_pixel(color)
            .event_mask(EventMask::EXPOSURE | EventMask::KEY_PRESS);
        let (width_px, height_px) = size_px;
        connection.create_window(
            depth,
            window,
            root,
            x_px,
            y_px,
            width_px,
            height_px,
            0,
            WindowClass::INPUT_OUTPUT,
            x11rb::COPY_FROM_PARENT,
            &attributes,
        )?;
        connection.create_gc(gc, window, &CreateGCAux::new().graphics_exposures(0))?;
        connection.map_window(window)?;
        connection.sync()?;
        let bytes = u64::from(width_px) * u64::from(height_px) * 4;
        let memory = Memory::new(&connection, bytes)?;
        Ok(Canvas { connection, window, gc, depth, size_px, memory })
    }

    /// Its width and height.
    pub fn size_px(&self) -> (u16, u16) {
        self.size_px
    }

    /// Waits for what happens next.
    pub fn next_event(&self) -> Result<Event> {
        Ok(self.connection.wait_for_event()?)
    }

    /// Fills all of it.
    pub fn fill(&self, color: u32) -> Result<()> {
        self.clear(color)?;
        Ok(self.connection.flush()?)
    }

    /// Likewise, and something follows.
    pub fn clear(&self, color: u32) -> Result<()> {
        let (width, height) = self.size_px;
        self.connection.change_gc(self.gc, &ChangeGCAux::new().foreground(color))?;
        let all = Rectangle { x: 0, y: 0, width, height };
        self.connection.poly_fill_rectangle(self.window, self.gc, &[all])?;
        Ok(())
    }

    /// Puts a picture into it, and waits until that is done: the memory is free
    /// for the next one then.
    pub fn put(
        &mut self,
        pixels: &[u8],
        (x_px, y_px): (i16, i16),
        (width_px, height_px): (u16, u16),
    ) -> Result<()> {
        self.memory.file.write_all_at(pixels, 0)?;
        self.connection.shm_put_image(
            self.window,
            self.gc,
            width_px,
            height_px,
            0,
            0,
            width_px,
            height_px,
            x_px,
            y_px,
            self.depth,
            ImageFormat::Z_PIXMAP.into(),
            false,
            self.memory.segment,
            0,
        )?;
        Ok(self.connection.sync()?)
    }

    /// Makes a picture of its size its background, which the X server draws.
    pub fn set_background(&mut self, pixels: &[u8]) -> Result<()> {
        let (width_px, height_px) = self.size_px;
        let pixmap = self.connection.generate_id()?;
        self.connection.create_pixmap(self.depth, pixmap, self.window, width_px, height_px)?;
        let window = std::mem::replace(&mut self.window, pixmap);
        let put = self.put(pixels, (0, 0), (width_px, height_px));
        self.window = window;
        put?;
        let attributes = ChangeWindowAttributesAux::new().background_pixmap(pixmap);
        self.connection.change_window_attributes(window, &attributes)?;
        self.connection.clear_area(false, window, 0, 0, 0, 0)?;
        Ok(self.connection.sync()?)
    }

    /// Writes lines in black, from the top, this far from the left.
    pub fn write_lines(&self, lines: &[String], left_px: i16) -> Result<()> {
        let font = self.connection.generate_id()?;
        self.connection.open_font(font, b"fixed")?;
        let colors = ChangeGCAux::new().foreground(0).background(0x00ff_ffff).font(font);
        self.connection.change_gc(self.gc, &colors)?;
        for (number, line) in lines.iter().enumerate() {
            let base_px = LINE_PX * (number as i16 + 1);
            let bytes = &line.as_bytes()[..line.len().min(255)];
            self.connection.image_text8(self.window, self.gc, left_px, base_px, bytes)?;
        }
        self.connection.close_font(font)?;
        Ok(self.connection.sync()?)
    }

    /// Moves it on the screen.
    pub fn move_to(&self, x_px: i32, y_px: i32) -> Result<()> {
        let place = ConfigureWindowAux::new().x(x_px).y(y_px);
        self.connection.configure_window(self.window, &place)?;
        Ok(self.connection.flush()?)
    }
}
