//! A texture's bytes, back in memory.

use super::gpu::Gpu;
use std::sync::mpsc;
use std::time::Duration;

/// How long the GPU may take.
const READBACK_TIMEOUT: Duration = Duration::from_secs(10);

/// The GPU did not give the bytes.
#[derive(Debug, thiserror::Error)]
#[error("the picture cannot be read back from the graphics adapter")]
pub struct ReadbackError;

/// A copy on its way. [`Readback::wait`] may run on any thread.
#[derive(Debug)]
pub struct Readback {
    gpu: Gpu,
    buffer: wgpu::Buffer,
    padded_row_bytes: u32,
    width_px: u32,
    height_px: u32,
}

/// Pixels of four bytes, row by row: blue, green, red, unused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pixels {
    /// How many in a row.
    pub width_px: u32,
    /// How many rows.
    pub height_px: u32,
    /// All of them.
    pub bytes: Vec<u8>,
}

impl Readback {
    /// Records a copy of the whole texture.
    pub fn record(gpu: &Gpu, encoder: &mut wgpu::CommandEncoder, texture: &wgpu::Texture) -> Self {
        let (width_px, height_px) = (texture.width(), texture.height());
        let padded_row_bytes = (width_px * 4).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT);
        let buffer = gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("readback"),
            size: u64::from(padded_row_bytes) * u64::from(height_px),
            usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
            mapped_at_creation: false,
        });
        let layout = wgpu::TexelCopyBufferLayout {
            offset: 0,
            bytes_per_row: Some(padded_row_bytes),
            rows_per_image: None,
        };
        let target = wgpu::TexelCopyBufferInfo { buffer: &buffer, layout };
        encoder.copy_texture_to_buffer(texture.as_image_copy(), target, texture.size());
        Readback { gpu: gpu.clone(), buffer, padded_row_bytes, width_px, height_px }
    }

    /// Waits for the bytes, once the encoder is submitted.
    pub fn wait(self) -> Result<Pixels, ReadbackError> {
        let (done, wait) = mpsc::channel();
        self.buffer.map_async(wgpu::MapMode::Read, .., move |result| {
            // If nobody waits any more, nobody needs to know.
            let _ = done.send(result);
        });
        let poll = wgpu::PollType::Wait { submission_index: None, timeout: Some(READBACK_TIMEOUT) };
        self.gpu.device.poll(poll).map_err(|_| ReadbackError)?;
        let mapped = wait.recv_timeout(READBACK_TIMEOUT).map_err(|_| ReadbackError)?;
        mapped.map_err(|_| ReadbackError)?;
        let range = self.buffer.get_mapped_range(..).map_err(|_| ReadbackError)?;
        let row_bytes = self.width_px as usize * 4;
        let bytes = range
            .chunks_exact(self.padded_row_bytes as usize)
            .flat_map(|row| &row[..row_bytes])
            .copied()
            .collect();
        Ok(Pixels { width_px: self.width_px, height_px: self.height_px, bytes })
    }
}

impl Pixels {
    /// A PNG of them.
    pub fn to_png(&self) -> Result<Vec<u8>, image::ImageError> {
        let rgb: Vec<u8> = self.bytes.chunks_exact(4).flat_map(|p| [p[2], p[1], p[0]]).collect();
        let mut png = Vec::new();
        image::ImageEncoder::write_image(
            image::codecs::png::PngEncoder::new(&mut png),
            &rgb,
            self.width_px,
            self.height_px,
            image::ExtendedColorType::Rgb8,
        )?;
        Ok(png)
    }
}
