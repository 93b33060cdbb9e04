//! What is on the screen: where it changed by Damage, its pixels out of the X
//! server's own framebuffer or else by MIT-SHM, the pointer's shape by XFIXES.

use super::live::LiveScreen;
use super::{DesktopError, screen, size};
use crate::display::Screen;
use crate::display::tiles::Grid;
use afterglow_screen::SharedMemory;
use afterglow_wire::command::{CursorShape, Rect};
use afterglow_wire::framebuffer::PIXEL_BYTES;
use afterglow_wire::ids::Size;
use afterglow_wire::limits::CURSOR_PX_MAX;
use bytes::{BufMut, Bytes, BytesMut};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::fd::BorrowedFd;
use x11rb::connection::{Connection as _, RequestConnection as _};
use x11rb::protocol::Event;
use x11rb::protocol::damage::{self, ConnectionExt as _, Damage, ReportLevel};
use x11rb::protocol::randr::{self, ConnectionExt as _};
use x11rb::protocol::shm::{self, ConnectionExt as _};
use x11rb::protocol::xfixes::{self, ConnectionExt as _, CursorNotifyMask, Region};
use x11rb::protocol::xproto::{ImageFormat, Rectangle, Window};
use x11rb::rust_connection::RustConnection;

/// More separate rectangles than this are captured as the one around them:
/// each costs a request.
const RECTS_MAX: usize = 16;

/// Watches one screen.
pub struct Capturer {
    connection: RustConnection,
    root: Window,
    damage: Damage,
    region: Region,
    way: Way,
    size: Size,
    damaged: bool,
    cursor_changed: bool,
}

/// How pixels come out of the X server.
enum Way {
    /// They are read where the X server has them.
    Live(LiveScreen),
    /// It puts them into memory, when asked.
    Copied(shm::Seg, SharedMemory),
}

/// Rectangles that the X server put into memory, and where.
struct Copies<'a> {
    placed: &'a [(Rect, usize)],
    content: &'a [u8],
}

impl Screen for Copies<'_> {
    fn read(&self, rect: &Rect, pixels: &mut [u8]) {
        let around = |(placed, _): &&(Rect, usize)| placed.intersection(rect) == Some(*rect);
        let Some((placed, start)) = self.placed.iter().find(around) else { return };
        let stride = usize::from(placed.width_px) * PIXEL_BYTES;
        let mut from = start
            + usize::from(rect.y_px - placed.y_px) * stride
            + usize::from(rect.x_px - placed.x_px) * PIXEL_BYTES;
        for row in pixels.chunks_exact_mut(usize::from(rect.width_px) * PIXEL_BYTES) {
            row.copy_from_slice(&self.content[from..from + row.len()]);
            from += stride;
        }
    }
}

impl std::fmt::Debug for Capturer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Capturer({})", self.size)
    }
}

impl Capturer {
    /// Starts to watch, over a connection that nobody else uses. `size_max`
    /// is the X server's largest size.
    pub fn new(connection: RustConnection, size_max: Size) -> Result<Self, DesktopError> {
        for (extension, what) in [
            (damage::X11_EXTENSION_NAME, "the DAMAGE extension"),
            (xfixes::X11_EXTENSION_NAME, "the XFIXES extension"),
            (shm::X11_EXTENSION_NAME, "the MIT-SHM extension"),
            (randr::X11_EXTENSION_NAME, "the RANDR extension"),
        ] {
            if connection.extension_information(extension)?.is_none() {
                return Err(DesktopError::Lacks(what));
            }
        }
        // Each of these must know which version we speak before all else.
        connection.damage_query_version(1, 1)?.reply()?;
        connection.xfixes_query_version(5, 0)?.reply()?;
        connection.randr_query_version(1, 3)?.reply()?;
        let root = screen(&connection)?.root;
        if screen(&connection)?.root_depth != 24 {
            return Err(DesktopError::Lacks("a screen of 24 bits a pixel"));
        }
        let way = way(&connection, root, size_max)?;
        let region = connection.generate_id()?;
        connection.xfixes_create_region(region, &[])?.check()?;
        let damage = connection.generate_id()?;
        connection.damage_create(damage, root, ReportLevel::NON_EMPTY)?.check()?;
        connection.xfixes_select_cursor_input(root, CursorNotifyMask::DISPLAY_CURSOR)?.check()?;
        connection.randr_select_input(root, randr::NotifyMask::SCREEN_CHANGE)?.check()?;
        let size = size::current(&connection)?;
        Ok(Capturer {
            connection,
            root,
            damage,
            region,
            way,
            size,
            damaged: true,
            cursor_changed: true,
        })
    }

    /// True if pixels are read where the X server has them.
    pub fn is_live(&self) -> bool {
        matches!(self.way, Way::Live(_))
    }

    /// The screen's size, as of the last event.
    pub fn size(&self) -> Size {
        self.size
    }

    /// True if the screen changed since it was last captured.
    pub fn is_damaged(&self) -> bool {
        self.damaged
    }

    /// True if the pointer has another shape than when it was last captured.
    pub fn is_cursor_changed(&self) -> bool {
        self.cursor_changed
    }

    /// Takes in what the X server said so far, without waiting.
    pub fn take_events(&mut self) -> Result<(), DesktopError> {
        while let Some(event) = self.connection.poll_for_event()? {
            match event {
                Event::DamageNotify(_) => self.damaged = true,
                Event::XfixesCursorNotify(_) => self.cursor_changed = true,
                Event::RandrScreenChangeNotify(_) => {
                    self.size = size::current(&self.connection)?;
                    self.damaged = true;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Waits until the X server says something or `wake` can be read, or the
    /// time is over.
    pub fn wait(&self, wake: BorrowedFd<'_>, timeout_ms: Option<u32>) -> Result<(), DesktopError> {
        let timeout = timeout_ms.map(|ms| Timespec {
            tv_sec: i64::from(ms / 1000),
            tv_nsec: i64::from(ms % 1000) * 1_000_000,
        });
        let mut fds = [
            PollFd::new(self.connection.stream(), PollFlags::IN),
            PollFd::from_borrowed_fd(wake, PollFlags::IN),
        ];
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Changes the screen's size.
    pub fn resize(&mut self, size: Size) -> Result<(), DesktopError> {
        let changed = size::change(&self.connection, size);
        self.size = size::current(&self.connection)?;
        self.damaged = true;
        changed
    }

    /// Asks for the screen's size again, after a capture found it changed.
    pub fn resized_meanwhile(&mut self) -> Result<(), DesktopError> {
        self.size = size::current(&self.connection)?;
        Ok(())
    }

    /// Captures what changed since the last time, or everything: which whole
    /// tiles, and what they have. Nothing is handed over if the screen changed
    /// its size meanwhile.
    pub fn capture<T>(
        &mut self,
        everything: bool,
        take: impl FnOnce(&[Rect], &dyn Screen) -> T,
    ) -> Result<Option<T>, DesktopError> {
        // Changes from here on are damage again.
        self.damaged = false;
        self.connection.damage_subtract(self.damage, x11rb::NONE, self.region)?;
        // Before its answer nothing may be read that was drawn until then.
        let region = self.connection.xfixes_fetch_region(self.region)?.reply()?;
        let rects = match everything {
            true => vec![Rect::whole(self.size)],
            false => worth_capturing(&region.extents, &region.rectangles, self.size),
        };
        let (segment, memory) = match &mut self.way {
            Way::Live(screen) => return Ok(Some(take(&rects, screen))),
            Way::Copied(segment, memory) => (*segment, memory),
        };
        let placed = fetch(&self.connection, self.root, segment, &rects, memory.len())?;
        Ok(placed.map(|placed| take(&rects, &Copies { placed: &placed, content: memory.bytes() })))
    }

    /// The pointer's shape.
    pub fn cursor(&mut self) -> Result<CursorShape, DesktopError> {
        self.cursor_changed = false;
        let image = self.connection.xfixes_get_cursor_image()?.reply()?;
        let width_px = image.width.min(CURSOR_PX_MAX);
        let height_px = image.height.min(CURSOR_PX_MAX);
        let mut pixels =
            BytesMut::with_capacity(usize::from(width_px) * usize::from(height_px) * PIXEL_BYTES);
        let rows = image.cursor_image.chunks(usize::from(image.width).max(1));
        for row in rows.take(usize::from(height_px)) {
            row.iter().take(usize::from(width_px)).for_each(|pixel| pixels.put_u32_le(*pixel));
        }
        if pixels.is_empty() {
            return Ok(no_cursor());
        }
        Ok(CursorShape {
            width_px,
            height_px,
            hot_x_px: image.xhot.min(width_px - 1),
            hot_y_px: image.yhot.min(height_px - 1),
            pixels: pixels.freeze(),
        })
    }
}

/// The quickest way that there is.
fn way(connection: &RustConnection, root: Window, size_max: Size) -> Result<Way, DesktopError> {
    match LiveScreen::open(connection, size_max) {
        Ok(screen) => {
            // The X server would draw the pointer into the pixels that are
            // read; asked for pixels, it takes it out. DTUs draw their own.
            connection.xfixes_hide_cursor(root)?.check()?;
            return Ok(Way::Live(screen));
        }
        Err(error) => tracing::info!(%error, "the X server copies its pixels"),
    }
    let (memory, file) = SharedMemory::new(size_max.pixels())?;
    let segment = connection.generate_id()?;
    connection.shm_attach_fd(segment, file, false)?.check()?;
    Ok(Way::Copied(segment, memory))
}

/// Has the X server put rectangles into the shared memory, one after the
/// other, and tells where; nothing if the screen does not have them any more.
fn fetch(
    connection: &RustConnection,
    root: Window,
    segment: shm::Seg,
    rects: &[Rect],
    room_pixels: usize,
) -> Result<Option<Vec<(Rect, usize)>>, DesktopError> {
    let mut start = 0;
    let mut asked = Vec::new();
    for rect in rects {
        let bytes = rect.pixels() as usize * PIXEL_BYTES;
        if start + bytes > room_pixels * PIXEL_BYTES {
            return Err(DesktopError::Lacks("room: it is larger than it was started"));
        }
        let cookie = connection.shm_get_image(
            root,
            rect.x_px as i16,
            rect.y_px as i16,
            rect.width_px,
            rect.height_px,
            !0,
            ImageFormat::Z_PIXMAP.into(),
            segment,
            start as u32,
        )?;
        asked.push((*rect, start, cookie));
        start += bytes;
    }
    let mut placed = Vec::new();
    let mut outside = false;
    for (rect, start, cookie) in asked {
        match cookie.reply() {
            Ok(_) => placed.push((rect, start)),
            // The screen shrank between the question and the answer.
            Err(x11rb::errors::ReplyError::X11Error(_)) => outside = true,
            Err(error) => return Err(error.into()),
        }
    }
    Ok((!outside).then_some(placed))
}

fn no_cursor() -> CursorShape {
    CursorShape { width_px: 0, height_px: 0, hot_x_px: 0, hot_y_px: 0, pixels: Bytes::new() }
}

/// The part of a damaged region to capture: the tiles that its rectangles
/// touch, or all around them where that is hardly more.
fn worth_capturing(extents: &Rectangle, rectangles: &[Rectangle], size: Size) -> Vec<Rect> {
    let whole = Rect::whole(size);
    let inside = |rectangle: &Rectangle| {
        let (x, y) = (rectangle.x.max(0), rectangle.y.max(0));
        // What reaches over the left or top edge is that much smaller.
        let cut = |length: u16, moved: i16, from: i16| length.saturating_sub(moved.abs_diff(from));
        let width_px = cut(rectangle.width, x, rectangle.x);
        let height_px = cut(rectangle.height, y, rectangle.y);
        let inside = whole.intersection(&Rect::new(x as u16, y as u16, width_px, height_px))?;
        Some(Grid::new(size).covering(&inside))
    };
    let rects: Vec<Rect> = rectangles.iter().filter_map(inside).collect();
    let area: u64 = rects.iter().map(|rect| u64::from(rect.pixels())).sum();
    match inside(extents) {
        Some(around)
            if rects.len() > RECTS_MAX
                || (rects.len() > 1 && u64::from(around.pixels()) <= area * 5 / 4) =>
        {
            vec![around]
        }
        _ => rects,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rectangle(x: i16, y: i16, width: u16, height: u16) -> Rectangle {
        Rectangle { x, y, width, height }
    }

    #[test]
    fn damage_is_cut_to_the_screen() {
        let size = Size::new(100, 100).unwrap();
        let rects = [rectangle(-10, 90, 30, 30)];
        assert_eq!(worth_capturing(&rects[0], &rects, size), [Rect::new(0, 64, 32, 36)]);
        let outside = [rectangle(-30, 0, 20, 20)];
        assert!(worth_capturing(&outside[0], &outside, size).is_empty());
    }

    #[test]
    fn many_or_dense_rectangles_are_captured_as_one() {
        let size = Size::new(1000, 1000).unwrap();
        let dense = [rectangle(0, 0, 100, 50), rectangle(0, 50, 90, 50)];
        let around = rectangle(0, 0, 100, 100);
        assert_eq!(worth_capturing(&around, &dense, size), [Rect::new(0, 0, 128, 128)]);
        let far = [rectangle(0, 0, 10, 10), rectangle(900, 900, 10, 10)];
        assert_eq!(worth_capturing(&rectangle(0, 0, 910, 910), &far, size).len(), 2);
        let many: Vec<Rectangle> = (0..20).map(|i| rectangle(i * 40, i * 40, 5, 5)).collect();
        assert_eq!(worth_capturing(&rectangle(0, 0, 765, 765), &many, size).len(), 1);
    }
}
