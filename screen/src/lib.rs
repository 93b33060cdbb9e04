//! Memory that an X server on the same host shares with us (MIT-SHM 1.2):
//! pixels go in and come out without passing through a socket.

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::ffi::c_void;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;

/// A sealed memory file, mapped here and, by its descriptor, at the X server.
#[derive(Debug)]
pub struct SharedMemory {
    start: NonNull<c_void>,
    pixels: usize,
}

// SAFETY: the mapping belongs to this value alone and is not tied to the
// thread that made it.
unsafe impl Send for SharedMemory {}

impl SharedMemory {
    /// Makes memory for so many pixels of four bytes, and the file to hand to
    /// the X server.
    pub fn new(pixels: usize) -> Result<(Self, OwnedFd), rustix::io::Errno> {
        let len = pixels.checked_mul(size_of::<u32>()).ok_or(rustix::io::Errno::NOMEM)?;
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = memfd_create("afterglow-pixels", flags)?;
        ftruncate(&file, len as u64)?;
        // Nobody can make it shorter under our mapping.
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches
        // no memory that Rust knows of.
        let start = unsafe {
            mmap(std::ptr::null_mut(), len, protection, MapFlags::SHARED, file.as_fd(), 0)?
        };
        let start = NonNull::new(start).ok_or(rustix::io::Errno::NOMEM)?;
        Ok((SharedMemory { start, pixels }, file))
    }

    /// How many pixels there are.
    pub fn len(&self) -> usize {
        self.pixels
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.pixels == 0
    }

    /// Its pixels. `&mut self` stands for the X server's turn being over: the
    /// caller has its answer to every request that reads or writes here before
    /// it asks for them, and makes no such request while it holds them.
    pub fn pixels(&mut self) -> &mut [u32] {
        // SAFETY: the mapping is so many pixels long, page-aligned, readable
        // and writable, any bytes are pixels, and it lives as long as `self`;
        // the seals keep the file that long. Whose turn it is, see above.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().cast::<u32>(), self.pixels) }
    }

    /// The same as bytes, four for each pixel, as they lie in memory.
    pub fn bytes(&mut self) -> &[u8] {
        let len = self.pixels * size_of::<u32>();
        // SAFETY: as above; bytes need no alignment.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast::<u8>(), len) }
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        let len = self.pixels * size_of::<u32>();
        // SAFETY: the mapping was made by `new` with this length, and no
        // slice of it can outlive `self`. A failure leaves it mapped, which
        // harms nothing.
        let _ = unsafe { munmap(self.start.as_ptr(), len) };
    }
}
