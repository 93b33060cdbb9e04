//! Display commands on the GPU or the CPU, and what the window shows.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`gpu`] | the adapter and its device |
//! | [`framebuffer`] | the session's picture, as display commands change it |
//! | [`fill`] | FILL |
//! | [`bitmap`] | BITMAP |
//! | [`cscs`] | CSCS |
//! | [`payloads`] | what BITMAP and CSCS bring for their shaders |
//! | [`placement`] | where the picture is on the window, and how it is scaled |
//! | [`base`] | the picture or the background, beneath the on-screen display |
//! | [`overlay`] | the on-screen display's triangles |
//! | [`scene`] | both together, on a window or on nothing but memory |
//! | [`surface`] | the window's swapchain |
//! | [`readback`] | a texture's bytes |
//! | [`plain`] | the session's picture and its pixels on the window, without a GPU |
//! | [`damage`] | what of a picture changed |
//!
//! What a command does to the picture is what
//! [`afterglow_wire::framebuffer`] says, bit for bit: 8-bit formats that are
//! not sRGB, integer arithmetic, no samplers.

pub mod base;
pub mod bitmap;
pub mod cscs;
pub mod damage;
pub mod fill;
pub mod framebuffer;
pub mod gpu;
pub mod overlay;
pub mod payloads;
pub mod placement;
pub mod plain;
pub mod readback;
pub mod scene;
pub mod surface;

/// The format of the framebuffer, and of the window where it can be had: blue,
/// green, red and a byte that is not used, as display commands carry them.
pub const FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Bgra8Unorm;

/// The WGSL sources, by name, for a test that validates each of them.
pub const SHADERS: [(&str, &str); 5] = [
    ("fill", include_str!("../../../shaders/fill.wgsl")),
    ("bitmap", include_str!("../../../shaders/bitmap.wgsl")),
    ("cscs", include_str!("../../../shaders/cscs.wgsl")),
    ("blit", include_str!("../../../shaders/blit.wgsl")),
    ("background", include_str!("../../../shaders/background.wgsl")),
];

/// A pipeline without depth, blending or multisampling that draws a shader's
/// `corner` and `pixel` into one target.
fn pipeline(
    device: &wgpu::Device,
    name: &str,
    buffers: &[Option<wgpu::VertexBufferLayout<'_>>],
    topology: wgpu::PrimitiveTopology,
    format: wgpu::TextureFormat,
) -> wgpu::RenderPipeline {
    let source = SHADERS.iter().find(|(known, _)| *known == name).map_or("", |(_, source)| source);
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some(name),
        source: wgpu::ShaderSource::Wgsl(source.into()),
    });
    device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: Some(name),
        layout: None,
        vertex: wgpu::VertexState {
            module: &module,
            entry_point: Some("corner"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            buffers,
        },
        primitive: wgpu::PrimitiveState { topology, ..Default::default() },
        depth_stencil: None,
        multisample: wgpu::MultisampleState::default(),
        fragment: Some(wgpu::FragmentState {
            module: &module,
            entry_point: Some("pixel"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            targets: &[Some(format.into())],
        }),
        multiview_mask: None,
        cache: None,
    })
}

/// A pass that draws into one texture, and keeps or replaces what it held.
fn begin_pass<'a>(
    encoder: &'a mut wgpu::CommandEncoder,
    name: &str,
    view: &wgpu::TextureView,
    load: wgpu::LoadOp<wgpu::Color>,
) -> wgpu::RenderPass<'a> {
    encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
        label: Some(name),
        color_attachments: &[Some(wgpu::RenderPassColorAttachment {
            view,
            depth_slice: None,
            resolve_target: None,
            ops: wgpu::Operations { load, store: wgpu::StoreOp::Store },
        })],
        depth_stencil_attachment: None,
        timestamp_writes: None,
        occlusion_query_set: None,
        multiview_mask: None,
    })
}
