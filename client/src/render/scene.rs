//! All that the window shows, on the window or on nothing but memory.

use super::base::Base;
use super::framebuffer::Framebuffer;
use super::gpu::Gpu;
use super::overlay::{Drawing, Overlay};
use super::placement::Scale;
use super::readback::Readback;
use crate::view;

/// The framebuffer, and what is drawn with it.
pub struct Scene {
    gpu: Gpu,
    format: wgpu::TextureFormat,
    /// The session's picture.
    pub framebuffer: Framebuffer,
    base: Base,
    /// The on-screen display.
    pub overlay: Overlay,
    /// What is done about a picture that has not the target's size.
    pub scale: Scale,
    /// True if nobody is there to see any of it: all is black.
    pub dark: bool,
}

impl Scene {
    /// For targets of this format.
    pub fn new(gpu: &Gpu, format: wgpu::TextureFormat) -> Self {
        Scene {
            gpu: gpu.clone(),
            format,
            framebuffer: Framebuffer::new(gpu),
            base: Base::new(&gpu.device, format),
            overlay: Overlay::new(gpu, format),
            scale: Scale::default(),
            dark: false,
        }
    }

    /// What it draws with.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Records everything, over all that the target held.
    pub fn draw(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        how: view::Picture,
        osd: &Drawing,
        target: &wgpu::Texture,
    ) {
        // The surface may only come in an sRGB format; bytes are bytes here.
        let view = target.create_view(&wgpu::TextureViewDescriptor {
            format: Some(self.format),
            ..Default::default()
        });
        if self.dark {
            return blacken(encoder, &view);
        }
        let picture = self.framebuffer.picture();
        self.base.draw(encoder, (how, self.scale), picture, target, &view);
        self.overlay.draw(encoder, osd, target, &view);
    }

    /// Draws everything into memory; the bytes come when the GPU is done.
    pub fn snapshot(&mut self, how: view::Picture, osd: &Drawing, size_px: (u32, u32)) -> Readback {
        let target = self.gpu.device.create_texture(&wgpu::TextureDescriptor {
            label: Some("snapshot"),
            size: wgpu::Extent3d {
                width: size_px.0.max(1),
                height: size_px.1.max(1),
                depth_or_array_layers: 1,
            },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: self.format,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT
                | wgpu::TextureUsages::COPY_SRC
                | wgpu::TextureUsages::COPY_DST,
            view_formats: &[],
        });
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        self.draw(&mut encoder, how, osd, &target);
        let readback = Readback::record(&self.gpu, &mut encoder, &target);
        self.gpu.queue.submit([encoder.finish()]);
        readback
    }
}

fn blacken(encoder: &mut wgpu::CommandEncoder, view: &wgpu::TextureView) {
    encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
        label: Some("dark"),
        color_attachments: &[Some(wgpu::RenderPassColorAttachment {
            view,
            depth_slice: None,
            resolve_target: None,
            ops: wgpu::Operations {
                load: wgpu::LoadOp::Clear(wgpu::Color::BLACK),
                store: wgpu::StoreOp::Store,
            },
        })],
        ..Default::default()
    });
}
