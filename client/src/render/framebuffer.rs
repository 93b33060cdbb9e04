//! The session's picture on the GPU, as display commands change it.
//!
//! A frame's commands are recorded in their order into one encoder, so that
//! they are carried out with one submit. Neighbouring SETs share one upload,
//! neighbours of another kind one pass.

use super::fill::{FillPipeline, Fills};
use super::gpu::Gpu;
use super::payloads::{PayloadPipeline, Payloads};
use super::{bitmap, cscs};
use afterglow_wire::coding::Unpacker;
use afterglow_wire::command::{Command, Rect};
use afterglow_wire::framebuffer::{CommandError, PIXEL_BYTES};
use afterglow_wire::ids::Size;
use bytes::Bytes;

/// When this much is waiting to be uploaded it is submitted, whether the frame
/// ends or not: what a frame unpacks to must not be held all at once.
const STAGED_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Why a frame could not be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A command means nothing here.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The graphics adapter has no room for such a picture.
    #[error(
        "a picture of {size} is more than the graphics adapter can hold ({max_px} pixels a side)"
    )]
    TooLarge {
        /// What was asked for.
        size: Size,
        /// The longest side it can hold.
        max_px: u32,
    },
    /// The graphics adapter has no memory left for an upload.
    #[error("the graphics adapter has no memory left")]
    NoMemory,
}

/// The picture, once there was a SIZE.
#[derive(Debug)]
pub struct Framebuffer {
    gpu: Gpu,
    fill: FillPipeline,
    bitmap: PayloadPipeline,
    cscs: PayloadPipeline,
    picture: Option<Picture>,
    /// Unpacks the payloads since the picture began.
    unpacker: Unpacker,
}

/// The framebuffer's texture.
#[derive(Debug)]
pub struct Picture {
    /// Its size.
    pub size: Size,
    /// Its pixels.
    pub texture: wgpu::Texture,
    /// All of it.
    pub view: wgpu::TextureView,
    /// Where a COPY's source is kept until it is written, made when needed.
    scratch: Option<wgpu::Texture>,
}

/// What of a frame is recorded, and what is still gathered.
struct Recording {
    encoder: wgpu::CommandEncoder,
    /// The kind of command that is gathered; there is nothing of the others.
    gathered: Kind,
    sets: Vec<(Rect, Bytes)>,
    fills: Fills,
    payloads: Payloads,
    staged_bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Set,
    Fill,
    Bitmap,
    Cscs,
}

impl Framebuffer {
    /// No picture yet.
    pub fn new(gpu: &Gpu) -> Self {
        Framebuffer {
            gpu: gpu.clone(),
            fill: FillPipeline::new(&gpu.device),
            bitmap: bitmap::pipeline(&gpu.device),
            cscs: cscs::pipeline(&gpu.device),
            picture: None,
            unpacker: Unpacker::new(),
        }
    }

    /// The picture, if there is one.
    pub fn picture(&self) -> Option<&Picture> {
        self.picture.as_ref()
    }

    /// Forgets the picture: nothing of it is kept. The next frame is the first
    /// of an attachment.
    pub fn clear(&mut self) {
        self.unpacker = Unpacker::new();
        if let Some(picture) = self.picture.take() {
            picture.texture.destroy();
            if let Some(scratch) = picture.scratch {
                scratch.destroy();
            }
        }
    }

    /// Records a whole frame into an encoder that the caller submits. If a
    /// command cannot be applied, those before it are recorded, as
    /// [`afterglow_wire::framebuffer::Framebuffer`] would have applied them.
    pub fn apply(
        &mut self,
        commands: &[Command],
    ) -> (wgpu::CommandEncoder, Result<(), FrameError>) {
        let mut recording = Recording {
            encoder: encoder(&self.gpu.device),
            gathered: Kind::Set,
            sets: Vec::new(),
            fills: Fills::default(),
            payloads: Payloads::default(),
            staged_bytes: 0,
        };
        let result = commands
            .iter()
            .try_for_each(|command| self.record(&mut recording, command))
            .and(Ok(()));
        let flushed = self.flush(&mut recording);
        (recording.encoder, result.and(flushed))
    }

    fn record(&mut self, frame: &mut Recording, command: &Command) -> Result<(), FrameError> {
        match command {
            Command::Set { rect, coding, payload } => {
                self.check("SET", rect)?;
                let pixels = self.unpacker.set(rect, *coding, payload)?;
                self.gather(frame, Kind::Set)?;
                frame.staged_bytes += padded_row_bytes(rect) * usize::from(rect.height_px);
                frame.sets.push((*rect, pixels));
            }
            Command::Bitmap { rect, foreground, background, coding, payload } => {
                let size = self.check("BITMAP", rect)?;
                let bits = self.unpacker.bitmap(rect, *coding, payload)?;
                self.gather_payload(frame, Kind::Bitmap, &bits)?;
                bitmap::push(&mut frame.payloads, rect, &bits, *foreground, *background, size);
            }
            Command::Fill { rect, color } => {
                let size = self.check("FILL", rect)?;
                self.gather(frame, Kind::Fill)?;
                frame.fills.push(rect, *color, size);
            }
            Command::Cscs { rect, planes, coding, payload } => {
                let size = self.check("CSCS", rect)?;
                let samples = self.unpacker.planes(planes, *coding, payload)?;
                self.gather_payload(frame, Kind::Cscs, &samples)?;
                cscs::push(&mut frame.payloads, rect, planes, &samples, size);
            }
            Command::Copy { rect, from_x_px, from_y_px } => {
                self.check("COPY", rect)?;
                let from = Rect { x_px: *from_x_px, y_px: *from_y_px, ..*rect };
                self.check("COPY's source", &from)?;
                self.flush(frame)?;
                self.copy(&mut frame.encoder, rect, &from);
            }
            Command::Cursor(_) => {}
            Command::Size(size) => {
                self.flush(frame)?;
                self.resize(&mut frame.encoder, *size)?;
            }
            Command::Unknown(kind) => {
                return Err(CommandError::Unknown { what: "command", kind: *kind }.into());
            }
        }
        if frame.staged_bytes >= STAGED_BYTES_MAX {
            self.flush(frame)?;
            let full = std::mem::replace(&mut frame.encoder, encoder(&self.gpu.device));
            self.gpu.queue.submit([full.finish()]);
            frame.staged_bytes = 0;
        }
        Ok(())
    }

    fn check(&self, what: &'static str, rect: &Rect) -> Result<Size, CommandError> {
        match &self.picture {
            Some(picture) if rect.fits(picture.size) => Ok(picture.size),
            _ => Err(CommandError::Outside(what)),
        }
    }

    /// Records what of another kind is gathered.
    fn gather(&self, frame: &mut Recording, kind: Kind) -> Result<(), FrameError> {
        if frame.gathered != kind {
            self.flush(frame)?;
            frame.gathered = kind;
        }
        Ok(())
    }

    /// Likewise, and what leaves no room for this payload.
    fn gather_payload(
        &self,
        frame: &mut Recording,
        kind: Kind,
        payload: &[u8],
    ) -> Result<(), FrameError> {
        self.gather(frame, kind)?;
        if !frame.payloads.has_room(payload.len()) {
            self.flush(frame)?;
        }
        frame.staged_bytes += payload.len();
        Ok(())
    }

    fn flush(&self, frame: &mut Recording) -> Result<(), FrameError> {
        let Some(picture) = &self.picture else { return Ok(()) };
        let Recording { encoder, fills, payloads, .. } = frame;
        match frame.gathered {
            Kind::Set => return self.flush_sets(frame),
            Kind::Fill => self.fill.draw(&self.gpu.device, encoder, &picture.view, fills),
            Kind::Bitmap => self.bitmap.draw(&self.gpu, encoder, &picture.view, payloads)?,
            Kind::Cscs => self.cscs.draw(&self.gpu, encoder, &picture.view, payloads)?,
        }
        Ok(())
    }

    /// Uploads the gathered SETs. It goes through a buffer of their own and
    /// not through `Queue::write_texture`, which would put them before
    /// everything that the encoder holds already.
    fn flush_sets(&self, frame: &mut Recording) -> Result<(), FrameError> {
        let Some(picture) = &self.picture else { return Ok(()) };
        let sets = std::mem::take(&mut frame.sets);
        let bytes: usize =
            sets.iter().map(|(rect, _)| padded_row_bytes(rect) * usize::from(rect.height_px)).sum();
        if bytes == 0 {
            return Ok(());
        }
        let buffer = self.gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("sets"),
            size: bytes as u64,
            usage: wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: true,
        });
        let mut mapped = buffer.get_mapped_range_mut(..).map_err(|_| FrameError::NoMemory)?;
        let mut offset = 0;
        for (rect, pixels) in &sets {
            let row_bytes = usize::from(rect.width_px) * PIXEL_BYTES;
            let padded = padded_row_bytes(rect);
            for row in pixels.chunks_exact(row_bytes) {
                mapped.slice(offset..offset + row_bytes).copy_from_slice(row);
                offset += padded;
            }
        }
        drop(mapped);
        buffer.unmap();
        let mut offset = 0;
        for (rect, _) in &sets {
            let padded = padded_row_bytes(rect);
            let source = wgpu::TexelCopyBufferInfo {
                buffer: &buffer,
                layout: wgpu::TexelCopyBufferLayout {
                    offset,
                    bytes_per_row: Some(padded as u32),
                    rows_per_image: None,
                },
            };
            frame.encoder.copy_buffer_to_texture(
                source,
                place(&picture.texture, rect),
                extent(rect),
            );
            offset += (padded * usize::from(rect.height_px)) as u64;
        }
        Ok(())
    }

    /// Copies through a scratch texture: a texture cannot be copied onto
    /// itself, and this way the source is read whole before it changes.
    fn copy(&mut self, encoder: &mut wgpu::CommandEncoder, to: &Rect, from: &Rect) {
        let Some(picture) = &mut self.picture else { return };
        let scratch = picture
            .scratch
            .get_or_insert_with(|| texture(&self.gpu.device, "copy scratch", picture.size));
        let corner = Rect { x_px: 0, y_px: 0, ..*from };
        encoder.copy_texture_to_texture(
            place(&picture.texture, from),
            place(scratch, &corner),
            extent(from),
        );
        encoder.copy_texture_to_texture(
            place(scratch, &corner),
            place(&picture.texture, to),
            extent(to),
        );
    }

    fn resize(&mut self, encoder: &mut wgpu::CommandEncoder, size: Size) -> Result<(), FrameError> {
        if self.picture.as_ref().is_some_and(|picture| picture.size == size) {
            return Ok(());
        }
        let max_px = self.gpu.device.limits().max_texture_dimension_2d;
        if u32::from(size.width_px().max(size.height_px())) > max_px {
            return Err(FrameError::TooLarge { size, max_px });
        }
        // A new texture is all zero: black.
        let texture = texture(&self.gpu.device, "framebuffer", size);
        if let Some(old) = &self.picture
            && let Some(kept) = Rect::whole(size).intersection(&Rect::whole(old.size))
        {
            encoder.copy_texture_to_texture(
                place(&old.texture, &kept),
                place(&texture, &kept),
                extent(&kept),
            );
        }
        let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
        self.picture = Some(Picture { size, texture, view, scratch: None });
        Ok(())
    }
}

fn encoder(device: &wgpu::Device) -> wgpu::CommandEncoder {
    device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("frame") })
}

fn texture(device: &wgpu::Device, label: &str, size: Size) -> wgpu::Texture {
    device.create_texture(&wgpu::TextureDescriptor {
        label: Some(label),
        size: extent(&Rect::whole(size)),
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format: super::FORMAT,
        usage: wgpu::TextureUsages::COPY_SRC
            | wgpu::TextureUsages::COPY_DST
            | wgpu::TextureUsages::TEXTURE_BINDING
            | wgpu::TextureUsages::RENDER_ATTACHMENT,
        view_formats: &[],
    })
}

/// A row's bytes as the GPU wants them: a multiple of 256.
fn padded_row_bytes(rect: &Rect) -> usize {
    let align = wgpu::COPY_BYTES_PER_ROW_ALIGNMENT as usize;
    (usize::from(rect.width_px) * PIXEL_BYTES).next_multiple_of(align)
}

fn place<'a>(texture: &'a wgpu::Texture, rect: &Rect) -> wgpu::TexelCopyTextureInfo<'a> {
    wgpu::TexelCopyTextureInfo {
        texture,
        mip_level: 0,
        origin: wgpu::Origin3d { x: rect.x_px.into(), y: rect.y_px.into(), z: 0 },
        aspect: wgpu::TextureAspect::All,
    }
}

fn extent(rect: &Rect) -> wgpu::Extent3d {
    wgpu::Extent3d {
        width: rect.width_px.into(),
        height: rect.height_px.into(),
        depth_or_array_layers: 1,
    }
}
