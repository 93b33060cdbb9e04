//! The on-screen display's triangles over the base.

use super::gpu::Gpu;
use egui::epaint::textures::TexturesDelta;

/// What egui wants drawn.
#[derive(Default)]
pub struct Drawing {
    /// The triangles; none if nothing is up.
    pub primitives: Vec<egui::ClippedPrimitive>,
    /// How many pixels a point is.
    pub pixels_per_point: f32,
}

/// Draws it.
pub struct Overlay {
    gpu: Gpu,
    renderer: egui_wgpu::Renderer,
    /// Textures to be freed once the present drawing is replaced.
    unused: Vec<egui::TextureId>,
}

impl Overlay {
    /// Compiles the shaders for targets of this format.
    pub fn new(gpu: &Gpu, format: wgpu::TextureFormat) -> Self {
        // Without dithering and hardware filtering the same text is the same
        // pixels everywhere.
        let options = egui_wgpu::RendererOptions::PREDICTABLE;
        let renderer = egui_wgpu::Renderer::new(&gpu.device, format, options);
        Overlay { gpu: gpu.clone(), renderer, unused: Vec::new() }
    }

    /// Takes over what changed in egui's textures.
    pub fn update_textures(&mut self, mut delta: TexturesDelta) {
        for (id, changes) in delta.set.drain() {
            for change in changes {
                self.renderer.update_texture(&self.gpu.device, &self.gpu.queue, id, &change);
            }
        }
        // The drawing that comes with the delta still uses what it frees.
        for id in std::mem::replace(&mut self.unused, delta.free.drain().collect()) {
            self.renderer.free_texture(&id);
        }
    }

    /// Records it, over what the target holds.
    pub fn draw(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        drawing: &Drawing,
        target: &wgpu::Texture,
        target_view: &wgpu::TextureView,
    ) {
        if drawing.primitives.is_empty() {
            return;
        }
        let screen = egui_wgpu::ScreenDescriptor {
            size_in_pixels: [target.width(), target.height()],
            pixels_per_point: drawing.pixels_per_point,
        };
        let (device, queue) = (&self.gpu.device, &self.gpu.queue);
        // Only paint callbacks make command buffers, and there are none.
        self.renderer.update_buffers(device, queue, encoder, &drawing.primitives, &screen);
        let mut pass = super::begin_pass(encoder, "overlay", target_view, wgpu::LoadOp::Load)
            .forget_lifetime();
        self.renderer.render(&mut pass, &drawing.primitives, &screen);
    }
}
