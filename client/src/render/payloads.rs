//! What commands that follow each other in a frame bring for their shader:
//! an instance for each, and their payloads' bytes in one texture.

use super::framebuffer::FrameError;
use super::gpu::Gpu;

/// How many bytes a row of the texture holds, as the shaders know, too; every
/// adapter can have it, and it is aligned as rows of an upload have to be.
const ROW_BYTES: usize = 2048;
/// How many bytes are gathered for one texture: as many rows as every adapter
/// can have.
pub const PAYLOADS_BYTES_MAX: usize = ROW_BYTES * 2048;

/// Instances and payloads, in the order of their commands.
#[derive(Debug, Default)]
pub struct Payloads {
    instances: Vec<u8>,
    count: u32,
    bytes: Vec<u8>,
}

impl Payloads {
    /// True if there is room for another payload of this many bytes.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.bytes.len() + bytes <= PAYLOADS_BYTES_MAX
    }

    /// Adds a command: its payload, and what the vertex shader reads, once it
    /// is told where the payload begins.
    pub fn push<const N: usize>(&mut self, payload: &[u8], instance: impl FnOnce(u32) -> [u8; N]) {
        self.instances.extend(instance(self.bytes.len() as u32));
        self.count += 1;
        self.bytes.extend_from_slice(payload);
    }
}

/// A shader that draws such commands.
#[derive(Debug)]
pub struct PayloadPipeline {
    name: &'static str,
    pipeline: wgpu::RenderPipeline,
}

impl PayloadPipeline {
    /// Compiles a shader, given how an instance is laid out.
    pub fn new(
        device: &wgpu::Device,
        name: &'static str,
        instance_bytes: u64,
        attributes: &[wgpu::VertexAttribute],
    ) -> Self {
        let layout = wgpu::VertexBufferLayout {
            array_stride: instance_bytes,
            step_mode: wgpu::VertexStepMode::Instance,
            attributes,
        };
        let topology = wgpu::PrimitiveTopology::TriangleStrip;
        let pipeline = super::pipeline(device, name, &[Some(layout)], topology, super::FORMAT);
        PayloadPipeline { name, pipeline }
    }

    /// Records the commands, in their order, and forgets them.
    pub fn draw(
        &self,
        gpu: &Gpu,
        encoder: &mut wgpu::CommandEncoder,
        framebuffer: &wgpu::TextureView,
        gathered: &mut Payloads,
    ) -> Result<(), FrameError> {
        use wgpu::util::DeviceExt;
        if gathered.count == 0 {
            return Ok(());
        }
        let Payloads { instances, count, bytes } = std::mem::take(gathered);
        let texture = self.upload(gpu, encoder, &bytes)?;
        let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
        let bindings = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(self.name),
            layout: &self.pipeline.get_bind_group_layout(0),
            entries: &[wgpu::BindGroupEntry {
                binding: 0,
                resource: wgpu::BindingResource::TextureView(&view),
            }],
        });
        let buffer = gpu.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: Some(self.name),
            contents: &instances,
            usage: wgpu::BufferUsages::VERTEX,
        });
        let mut pass = super::begin_pass(encoder, self.name, framebuffer, wgpu::LoadOp::Load);
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &bindings, &[]);
        pass.set_vertex_buffer(0, buffer.slice(..));
        pass.draw(0..4, 0..count);
        Ok(())
    }

    /// Records the upload of the bytes into a texture of their own. As with
    /// SETs, `Queue::write_texture` would come before all that is recorded.
    fn upload(
        &self,
        gpu: &Gpu,
        encoder: &mut wgpu::CommandEncoder,
        bytes: &[u8],
    ) -> Result<wgpu::Texture, FrameError> {
        let size = wgpu::Extent3d {
            width: ROW_BYTES as u32,
            height: bytes.len().div_ceil(ROW_BYTES) as u32,
            depth_or_array_layers: 1,
        };
        let buffer = gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(self.name),
            size: bytes.len().next_multiple_of(ROW_BYTES) as u64,
            usage: wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: true,
        });
        let mut mapped = buffer.get_mapped_range_mut(..).map_err(|_| FrameError::NoMemory)?;
        mapped.slice(..bytes.len()).copy_from_slice(bytes);
        drop(mapped);
        buffer.unmap();
        let texture = gpu.device.create_texture(&wgpu::TextureDescriptor {
            label: Some(self.name),
            size,
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: wgpu::TextureFormat::R8Uint,
            usage: wgpu::TextureUsages::COPY_DST | wgpu::TextureUsages::TEXTURE_BINDING,
            view_formats: &[],
        });
        let layout = wgpu::TexelCopyBufferLayout {
            offset: 0,
            bytes_per_row: Some(ROW_BYTES as u32),
            rows_per_image: None,
        };
        let source = wgpu::TexelCopyBufferInfo { buffer: &buffer, layout };
        encoder.copy_buffer_to_texture(source, texture.as_image_copy(), size);
        Ok(texture)
    }
}
