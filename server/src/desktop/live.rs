//! The X server's own framebuffer, read where it is.
//!
//! Xvfb keeps its screen in a file if it is told so (`-fbdir`), in the form of
//! an X window dump (XWD, version 7: X11/XWDFile.h). The keeper gives it a
//! memory file for that, as its standard input, so that it takes no room in
//! any file system; we find it there. To have the X server copy its pixels
//! instead costs most of a millisecond for a whole screen.

use crate::display::Screen;
use afterglow_wire::command::Rect;
use afterglow_wire::framebuffer::PIXEL_BYTES;
use afterglow_wire::ids::Size;
use rustix::fs::{SealFlags, fcntl_add_seals, fstat};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::net::sockopt::socket_peercred;
use std::ffi::c_void;
use std::fs::{File, OpenOptions};
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::ptr::NonNull;
use x11rb::rust_connection::RustConnection;

/// The fields of the dump's header, each of four bytes, the high one first.
const HEADER_FIELDS: usize = 25;
const VERSION: u32 = 7;
const FORMAT_Z_PIXMAP: u32 = 2;
const ORDER_LSB_FIRST: u32 = 0;
const COLOR_BYTES: u64 = 12;

/// Why the framebuffer cannot be read in this way.
#[derive(Debug, thiserror::Error)]
pub enum NotLive {
    /// The file is not there, or not ours to map.
    #[error("its framebuffer cannot be mapped: {0}")]
    Io(#[from] std::io::Error),
    /// Something else is there.
    #[error("its standard input is not its framebuffer")]
    OtherContent,
}

impl From<rustix::io::Errno> for NotLive {
    fn from(error: rustix::io::Errno) -> Self {
        NotLive::Io(error.into())
    }
}

/// The framebuffer, mapped.
#[derive(Debug)]
pub struct LiveScreen {
    start: NonNull<c_void>,
    len: usize,
    pixels: Pixels,
}

/// Where in the file the pixels are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pixels {
    start: usize,
    stride: usize,
    /// The largest screen's; a smaller one has its upper left part.
    width_px: usize,
    height_px: usize,
}

// SAFETY: the mapping belongs to this value alone and is not tied to the
// thread that made it.
unsafe impl Send for LiveScreen {}

impl LiveScreen {
    /// That of the X server at the other end of a connection, which has room
    /// for screens of this size.
    pub fn open(connection: &RustConnection, size_max: Size) -> Result<Self, NotLive> {
        let server = socket_peercred(connection.stream())?.pid;
        let path = format!("/proc/{}/fd/0", server.as_raw_nonzero());
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        // Nobody can make it shorter under our mapping. Only memory files can
        // be sealed.
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        let len = usize::try_from(fstat(&file)?.st_size).map_err(|_| NotLive::OtherContent)?;
        let pixels = pixels(&header(&file)?, len).ok_or(NotLive::OtherContent)?;
        if pixels.width_px < size_max.width_px().into()
            || pixels.height_px < size_max.height_px().into()
        {
            return Err(NotLive::OtherContent);
        }
        // SAFETY: a new mapping at an address of the kernel's choice touches
        // no memory that Rust knows of.
        let start = unsafe {
            mmap(std::ptr::null_mut(), len, ProtFlags::READ, MapFlags::SHARED, file.as_fd(), 0)?
        };
        let start = NonNull::new(start).ok_or(rustix::io::Errno::NOMEM)?;
        Ok(LiveScreen { start, len, pixels })
    }
}

fn header(file: &File) -> Result<[u32; HEADER_FIELDS], NotLive> {
    let mut bytes = [0; HEADER_FIELDS * size_of::<u32>()];
    file.read_exact_at(&mut bytes, 0)?;
    let mut fields = [0; HEADER_FIELDS];
    for (field, bytes) in fields.iter_mut().zip(bytes.as_chunks().0) {
        *field = u32::from_be_bytes(*bytes);
    }
    Ok(fields)
}

/// What a header says of its pixels, if they are as ours and the file has them.
fn pixels(header: &[u32; HEADER_FIELDS], file_len: usize) -> Option<Pixels> {
    let [header_bytes, version, format, depth, width_px, height_px, _, order, ..] = *header;
    let (bits_per_pixel, stride, colors) = (header[11], header[12], header[19]);
    let usual = (version, format, depth, order) == (VERSION, FORMAT_Z_PIXMAP, 24, ORDER_LSB_FIRST);
    let start = u64::from(header_bytes) + u64::from(colors) * COLOR_BYTES;
    let end = u64::from(stride).checked_mul(height_px.into())?.checked_add(start)?;
    let fits = u64::from(width_px) * PIXEL_BYTES as u64 <= stride.into() && end <= file_len as u64;
    (usual && bits_per_pixel == 32 && fits).then_some(Pixels {
        start: usize::try_from(start).ok()?,
        stride: stride as usize,
        width_px: width_px as usize,
        height_px: height_px as usize,
    })
}

impl Screen for LiveScreen {
    fn read(&self, rect: &Rect, into: &mut [u8]) {
        let Pixels { start, stride, width_px, height_px } = self.pixels;
        let inside = rect.right_px() as usize <= width_px && rect.bottom_px() as usize <= height_px;
        if !inside || rect.is_empty() {
            return;
        }
        let left = start + usize::from(rect.x_px) * PIXEL_BYTES;
        let rows = into.chunks_exact_mut(usize::from(rect.width_px) * PIXEL_BYTES);
        for (row, y_px) in rows.zip(usize::from(rect.y_px)..rect.bottom_px() as usize) {
            let from = left + y_px * stride;
            debug_assert!(from + row.len() <= self.len);
            // SAFETY: the row is inside the mapping: the rectangle is inside
            // the pixels, of which `pixels()` found that the file has them all;
            // the seals keep the file that long, and the mapping lives as long
            // as `self`. The X server may write meanwhile; no reference to the
            // memory is made, any bytes are pixels, and whatever is copied of
            // something half drawn is damage again once it is drawn.
            unsafe {
                let from = self.start.as_ptr().cast::<u8>().add(from);
                std::ptr::copy_nonoverlapping(from, row.as_mut_ptr(), row.len());
            }
        }
    }
}

impl Drop for LiveScreen {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `open` with this length, and no
        // reference into it was ever made. A failure leaves it mapped, which
        // harms nothing.
        let _ = unsafe { munmap(self.start.as_ptr(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// That of a screen of 640x480 by Xvfb 21.1.
    fn dumped() -> [u32; HEADER_FIELDS] {
        let mut header = [0; HEADER_FIELDS];
        header[..8].copy_from_slice(&[160, 7, 2, 24, 640, 480, 0, 0]);
        header[11..13].copy_from_slice(&[32, 2560]);
        header[19] = 256;
        header
    }

    #[test]
    fn a_header_says_where_the_pixels_are() {
        let len = 3232 + 2560 * 480;
        let expected = Pixels { start: 3232, stride: 2560, width_px: 640, height_px: 480 };
        assert_eq!(pixels(&dumped(), len), Some(expected));
        assert_eq!(pixels(&dumped(), len - 1), None, "the file is too short");
    }

    #[test]
    fn pixels_of_another_form_are_not_read() {
        let len = usize::MAX;
        for (field, value) in
            [(1, 6), (2, 1), (3, 16), (4, 641), (5, u32::MAX), (7, 1), (11, 16), (12, u32::MAX)]
        {
            let mut header = dumped();
            header[field] = value;
            let lies = field == 5 || field == 12;
            let len = if lies { 3232 + 2560 * 480 } else { len };
            assert_eq!(pixels(&header, len), None, "field {field}");
        }
    }
}
