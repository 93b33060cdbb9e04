//! CSCS: luma and chroma, any number of rectangles in one pass.

use super::bitmap::put_u16;
use super::payloads::{PayloadPipeline, Payloads};
use afterglow_wire::coding::planes::{Chroma, Planes};
use afterglow_wire::command::Rect;
use afterglow_wire::ids::Size;

/// What the vertex shader reads for each CSCS: twice eight bytes and three
/// times four.
const INSTANCE_BYTES: usize = 28;
const ATTRIBUTES: [wgpu::VertexAttribute; 5] = wgpu::vertex_attr_array![
    0 => Uint16x4, 1 => Uint16x4, 2 => Uint16x2, 3 => Uint16x2, 4 => Uint32
];

/// Compiles the shader.
pub fn pipeline(device: &wgpu::Device) -> PayloadPipeline {
    PayloadPipeline::new(device, "cscs", INSTANCE_BYTES as u64, &ATTRIBUTES)
}

/// Adds a CSCS that fits into the framebuffer. Its samples are unpacked, and
/// there is room for them.
pub fn push(
    gathered: &mut Payloads,
    rect: &Rect,
    planes: &Planes,
    samples: &[u8],
    framebuffer: Size,
) {
    gathered.push::<INSTANCE_BYTES>(samples, |start| {
        let mut instance = [0; INSTANCE_BYTES];
        put_u16(&mut instance[..8], &[rect.x_px, rect.y_px, rect.width_px, rect.height_px]);
        let (chroma_width_px, chroma_height_px) = planes.chroma_px();
        let sides = [planes.width_px, planes.height_px, chroma_width_px, chroma_height_px];
        put_u16(&mut instance[8..16], &sides);
        put_u16(&mut instance[16..20], &[framebuffer.width_px(), framebuffer.height_px()]);
        let shifts = match planes.chroma {
            Chroma::Full => [0, 0],
            Chroma::Half => [1, 0],
            Chroma::Quarter => [1, 1],
        };
        put_u16(&mut instance[20..24], &shifts);
        instance[24..].copy_from_slice(&start.to_ne_bytes());
        instance
    });
}
