//! The window's picture, compared with what the session says that it is. This
//! takes a thread of its own: nobody waits for it.

use crate::render::readback::{Pixels, Readback, ReadbackError};
use afterglow_wire::command::Rect;
use afterglow_wire::framebuffer::PIXEL_BYTES;
use afterglow_wire::truth::{BlockDigest, Truth, blocks, digest_of_rows};
use std::thread::JoinHandle;

/// Where the picture is.
#[derive(Debug)]
pub enum Picture {
    /// On the graphics adapter.
    Adapter(Readback),
    /// Here already.
    Memory(Pixels),
}

impl Picture {
    fn pixels(self) -> Result<Pixels, ReadbackError> {
        let mut pixels = match self {
            Picture::Adapter(readback) => readback.wait()?,
            Picture::Memory(pixels) => pixels,
        };
        // An adapter may keep anything in the byte that means nothing.
        pixels.bytes.chunks_exact_mut(PIXEL_BYTES).for_each(|pixel| pixel[3] = 0);
        Ok(pixels)
    }
}

/// Compares one picture at a time.
#[derive(Debug, Default)]
pub struct Comparer {
    /// The last one's thread.
    thread: Option<JoinHandle<()>>,
}

impl Comparer {
    /// Compares, and tells which blocks are others than they should be. While
    /// it still compares another picture it does not: a session that tells what
    /// its picture is in a flood costs no more than one that does now and then.
    pub fn start(
        &mut self,
        picture: impl FnOnce() -> Option<Picture>,
        truth: Truth,
        tell: impl FnOnce(Vec<u16>) + Send + 'static,
    ) {
        if self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return;
        }
        let Some(picture) = picture() else { return };
        self.thread = Some(std::thread::spawn(move || match picture.pixels() {
            Ok(pixels) => tell(others(&pixels, &truth)),
            Err(error) => tracing::warn!(%error, "the picture cannot be compared"),
        }));
    }
}

/// The blocks that differ, by their places.
fn others(pixels: &Pixels, truth: &Truth) -> Vec<u16> {
    let size = (u32::from(truth.size.width_px()), u32::from(truth.size.height_px()));
    let has_size = (pixels.width_px, pixels.height_px) == size;
    let pairs = blocks(truth.size).zip(truth.blocks.iter()).zip(0..);
    let differs = |block: &Rect, told: &BlockDigest| !has_size || digest(pixels, block) != *told;
    pairs.filter(|((block, told), _)| differs(block, told)).map(|(_, place)| place).collect()
}

fn digest(pixels: &Pixels, block: &Rect) -> BlockDigest {
    let (left, bytes) = (usize::from(block.x_px) * PIXEL_BYTES, usize::from(block.width_px) * 4);
    let stride = pixels.width_px as usize * PIXEL_BYTES;
    digest_of_rows((0..block.height_px).map(|row| {
        let start = usize::from(block.y_px + row) * stride + left;
        &pixels.bytes[start..start + bytes]
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use afterglow_wire::framebuffer::Framebuffer;
    use afterglow_wire::ids::Size;

    fn picture() -> Option<Picture> {
        let pixels = Pixels { width_px: 16, height_px: 16, bytes: vec![0; 16 * 16 * 4] };
        Some(Picture::Memory(pixels))
    }

    #[test]
    fn while_one_picture_is_compared_no_other_is() {
        let truth = |frame| Truth {
            frame,
            size: Size::new(16, 16).unwrap(),
            blocks: [[0; 8]].into_iter().collect(),
        };
        let (told, tells) = std::sync::mpsc::channel();
        let (go, goes) = std::sync::mpsc::channel();
        let mut comparer = Comparer::default();
        let first = told.clone();
        comparer.start(picture, truth(1), move |others| {
            goes.recv().unwrap();
            first.send((1, others)).unwrap();
        });
        comparer.start(|| panic!("it is not even looked at"), truth(2), |_| {});
        go.send(()).unwrap();
        comparer.thread.take().unwrap().join().unwrap();
        comparer.start(picture, truth(3), move |others| told.send((3, others)).unwrap());
        comparer.thread.take().unwrap().join().unwrap();
        assert_eq!(tells.into_iter().collect::<Vec<_>>(), [(1, vec![0]), (3, vec![0])]);
    }

    #[test]
    fn the_block_with_the_wrong_pixel_is_found_whatever_the_fourth_byte_is() {
        let size = Size::new(600, 300).unwrap();
        let picture = Framebuffer::new(size);
        let digests = blocks(size).map(|block| afterglow_wire::truth::digest(&picture, &block));
        let truth = Truth { frame: 1, size, blocks: digests.collect() };
        let bytes = [0, 0, 0, 255].repeat(600 * 300);
        let pixels = Pixels { width_px: 600, height_px: 300, bytes };
        let mut pixels = Picture::Memory(pixels).pixels().unwrap();
        assert!(others(&pixels, &truth).is_empty());
        pixels.bytes[(299 * 600 + 300) * 4 + 1] = 1;
        assert_eq!(others(&pixels, &truth), [4]);
        pixels.width_px = 300;
        assert_eq!(others(&pixels, &truth), [0, 1, 2, 3, 4, 5]);
    }
}
