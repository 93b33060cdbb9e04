//! FILL: any number of rectangles of one colour each, in one pass.

use afterglow_wire::command::Rect;
use afterglow_wire::ids::Size;

/// What the vertex shader reads for each FILL: eight, four and four bytes.
const INSTANCE_BYTES: u64 = 16;
const ATTRIBUTES: [wgpu::VertexAttribute; 3] =
    wgpu::vertex_attr_array![0 => Uint16x4, 1 => Uint8x4, 2 => Uint16x2];

/// FILLs that follow each other in a frame.
#[derive(Debug, Default)]
pub struct Fills {
    instances: Vec<u8>,
}

impl Fills {
    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.instances.is_empty()
    }

    /// How many bytes they hold.
    pub fn bytes(&self) -> usize {
        self.instances.len()
    }

    /// Adds one that fits into the framebuffer.
    pub fn push(&mut self, rect: &Rect, color: [u8; 4], framebuffer: Size) {
        for number in [rect.x_px, rect.y_px, rect.width_px, rect.height_px] {
            self.instances.extend(number.to_ne_bytes());
        }
        self.instances.extend(color);
        self.instances.extend(framebuffer.width_px().to_ne_bytes());
        self.instances.extend(framebuffer.height_px().to_ne_bytes());
    }
}

/// Draws FILLs.
#[derive(Debug)]
pub struct FillPipeline {
    pipeline: wgpu::RenderPipeline,
}

impl FillPipeline {
    /// Compiles the shader.
    pub fn new(device: &wgpu::Device) -> Self {
        let layout = wgpu::VertexBufferLayout {
            array_stride: INSTANCE_BYTES,
            step_mode: wgpu::VertexStepMode::Instance,
            attributes: &ATTRIBUTES,
        };
        let topology = wgpu::PrimitiveTopology::TriangleStrip;
        let pipeline = super::pipeline(device, "fill", &[Some(layout)], topology, super::FORMAT);
        FillPipeline { pipeline }
    }

    /// Records them, in their order, and forgets them.
    pub fn draw(
        &self,
        device: &wgpu::Device,
        encoder: &mut wgpu::CommandEncoder,
        framebuffer: &wgpu::TextureView,
        fills: &mut Fills,
    ) {
        use wgpu::util::DeviceExt;
        if fills.is_empty() {
            return;
        }
        let buffer = device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: Some("fills"),
            contents: &fills.instances,
            usage: wgpu::BufferUsages::VERTEX,
        });
        let count = fills.instances.len() as u64 / INSTANCE_BYTES;
        let mut pass = super::begin_pass(encoder, "fill", framebuffer, wgpu::LoadOp::Load);
        pass.set_pipeline(&self.pipeline);
        pass.set_vertex_buffer(0, buffer.slice(..));
        pass.draw(0..4, 0..count as u32);
        drop(pass);
        fills.instances.clear();
    }
}
