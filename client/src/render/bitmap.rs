//! BITMAP: one bit a pixel, any number of rectangles in one pass.

use super::payloads::{PayloadPipeline, Payloads};
use afterglow_wire::command::Rect;
use afterglow_wire::ids::Size;

/// What the vertex shader reads for each BITMAP: eight bytes, three times
/// four, and eight.
const INSTANCE_BYTES: usize = 28;
const ATTRIBUTES: [wgpu::VertexAttribute; 5] = wgpu::vertex_attr_array![
    0 => Uint16x4, 1 => Uint8x4, 2 => Uint8x4, 3 => Uint16x2, 4 => Uint32x2
];

/// Compiles the shader.
pub fn pipeline(device: &wgpu::Device) -> PayloadPipeline {
    PayloadPipeline::new(device, "bitmap", INSTANCE_BYTES as u64, &ATTRIBUTES)
}

/// Adds a BITMAP that fits into the framebuffer. Its bits are unpacked, and
/// there is room for them.
pub fn push(
    gathered: &mut Payloads,
    rect: &Rect,
    bits: &[u8],
    foreground: [u8; 4],
    background: Option<[u8; 4]>,
    framebuffer: Size,
) {
    gathered.push::<INSTANCE_BYTES>(bits, |start| {
        let mut instance = [0; INSTANCE_BYTES];
        let numbers = [rect.x_px, rect.y_px, rect.width_px, rect.height_px];
        put_u16(&mut instance[..8], &numbers);
        instance[8..12].copy_from_slice(&foreground);
        instance[12..16].copy_from_slice(&background.unwrap_or_default());
        put_u16(&mut instance[16..20], &[framebuffer.width_px(), framebuffer.height_px()]);
        instance[20..24].copy_from_slice(&start.to_ne_bytes());
        let drawn = u32::from(background.is_some());
        instance[24..].copy_from_slice(&drawn.to_ne_bytes());
        instance
    });
}

/// Writes numbers one after the other, as the GPU reads them.
pub(super) fn put_u16(out: &mut [u8], numbers: &[u16]) {
    for (out, number) in out.chunks_exact_mut(2).zip(numbers) {
        out.copy_from_slice(&number.to_ne_bytes());
    }
}
