//! The memory that the X server puts pixels in.

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::ffi::c_void;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;

/// A sealed memory file, mapped for reading here; the X server maps it for
/// writing.
#[derive(Debug)]
pub struct SharedMemory {
    start: NonNull<c_void>,
    len: usize,
}

// SAFETY: the mapping belongs to this value alone and is not tied to the
// thread that made it.
unsafe impl Send for SharedMemory {}

impl SharedMemory {
    /// Makes the memory, and the file to hand to the X server.
    pub fn new(len: usize) -> Result<(Self, OwnedFd), rustix::io::Errno> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = memfd_create("afterglow-capture", flags)?;
        ftruncate(&file, len as u64)?;
        // Nobody can make it shorter under our mapping.
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        // SAFETY: a new mapping at an address of the kernel's choice touches
        // no memory that Rust knows of.
        let start = unsafe {
            mmap(std::ptr::null_mut(), len, ProtFlags::READ, MapFlags::SHARED, file.as_fd(), 0)?
        };
        let start = NonNull::new(start).ok_or(rustix::io::Errno::NOMEM)?;
        Ok((SharedMemory { start, len }, file))
    }

    /// Its content. `&mut self` stands for the X server's turn being over:
    /// the caller asks it for pixels only while nobody holds this slice.
    pub fn content(&mut self) -> &[u8] {
        // SAFETY: the mapping is `len` bytes, readable, and lives as long as
        // `self`; the seals keep the file that long. The X server writes only
        // between a ShmGetImage request and its reply, and the capturer waits
        // for every reply before it borrows the content.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast::<u8>(), self.len) }
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new` with this length, and no
        // slice of it can outlive `self`. A failure leaves it mapped, which
        // harms nothing.
        let _ = unsafe { munmap(self.start.as_ptr(), self.len) };
    }
}
