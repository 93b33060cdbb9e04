//! The graphics card applies frames, draws, and presents what it drew.

use super::{Contents, Trouble};
use crate::render::framebuffer::FrameError;
use crate::render::gpu::{Gpu, GpuError};
use crate::render::readback::Readback;
use crate::render::scene::Scene;
use crate::render::surface::{Acquired, Surface};
use crate::window::compare;
use afterglow_wire::command::Command;
use std::sync::Arc;
use winit::event_loop::OwnedDisplayHandle;
use winit::window::Window;

/// An adapter that can show something on a window.
pub struct Found {
    instance: wgpu::Instance,
    surface: wgpu::Surface<'static>,
    /// The adapter.
    pub adapter: wgpu::Adapter,
}

/// Looks for one. It opens no device and sets no swapchain up.
pub fn find(window: &Arc<Window>, display: OwnedDisplayHandle) -> Result<Found, GpuError> {
    let descriptor =
        wgpu::InstanceDescriptor::new_with_display_handle(Box::new(display)).with_env();
    let instance = wgpu::Instance::new(descriptor);
    let surface = instance.create_surface(window.clone()).map_err(GpuError::NoSurface)?;
    let adapter = Gpu::adapter(&instance, Some(&surface))?;
    Ok(Found { instance, surface, adapter })
}

/// A device, the picture on it, and the window's swapchain.
pub struct OnGpu {
    /// The swapchain.
    pub surface: Surface,
    /// What is drawn.
    pub scene: Scene,
    /// A frame that is applied and not yet submitted.
    recorded: Option<wgpu::CommandEncoder>,
}

impl OnGpu {
    /// Opens the device and sets the swapchain up.
    pub fn new(found: Found, window: &Arc<Window>, trouble: &Trouble) -> Result<Self, GpuError> {
        let trouble = trouble.clone();
        let gpu = Gpu::open(found.adapter, move |what| trouble(what))?;
        let surface = Surface::new(found.instance, window.clone(), found.surface, &gpu)?;
        let scene = Scene::new(&gpu, surface.view_format());
        Ok(OnGpu { surface, scene, recorded: None })
    }

    /// Records a whole frame, to be submitted with what is drawn next.
    pub fn apply(&mut self, commands: &[Command]) -> Result<(), FrameError> {
        let (encoder, applied) = self.scene.framebuffer.apply(commands);
        if let Some(before) = self.recorded.replace(encoder) {
            self.scene.gpu().queue.submit([before.finish()]);
        }
        applied
    }

    /// Draws on top of what is recorded already, with one submit.
    pub fn present(&mut self, contents: &Contents) -> bool {
        let gpu = self.scene.gpu().clone();
        let recorded = self.recorded.take();
        let mut encoder =
            recorded.unwrap_or_else(|| gpu.device.create_command_encoder(&Default::default()));
        // The loss of a device is told through its callback.
        let _ = gpu.device.poll(wgpu::PollType::Poll);
        let acquired = self.surface.acquire();
        if let Acquired::Texture(texture) = &acquired {
            self.scene.dark = contents.dark;
            self.scene.draw(&mut encoder, contents.picture, contents.osd, &texture.texture);
        }
        gpu.queue.submit([encoder.finish()]);
        match acquired {
            Acquired::Texture(texture) => {
                self.surface.present(texture);
                true
            }
            Acquired::Later => false,
        }
    }

    /// The picture, on its way into memory.
    pub fn picture(&self) -> Option<compare::Picture> {
        let texture = &self.scene.framebuffer.picture()?.texture;
        let gpu = self.scene.gpu();
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        let readback = Readback::record(gpu, &mut encoder, texture);
        gpu.queue.submit([encoder.finish()]);
        Some(compare::Picture::Adapter(readback))
    }
}
