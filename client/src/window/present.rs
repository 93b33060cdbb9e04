//! Who applies frames and brings the window's contents onto it: a graphics
//! card through its swapchain, or the processor where a graphics card would
//! only be played by a program.
//!
//! Both show the same pixels. The processor does itself what is quick and
//! usual, the session's picture as it is; all else it has drawn by the very
//! [`Scene`] that a graphics card would draw.

mod cpu;
mod gpu;
mod way;
mod x11;

use super::compare;
use crate::diagnostics::{Facts, Shape};
use crate::event_log::{Event, EventLog};
use crate::render::framebuffer::FrameError;
use crate::render::gpu::{self as device, Gpu, GpuError, GpuTrouble};
use crate::render::overlay::Drawing;
use crate::render::placement::{Placement, Scale};
use crate::render::readback::Readback;
use crate::render::scene::Scene;
use crate::view;
use afterglow_wire::command::Command;
use cpu::OnCpu;
use egui::epaint::textures::TexturesDelta;
use gpu::OnGpu;
use std::sync::Arc;
use winit::event_loop::OwnedDisplayHandle;
use winit::window::Window;

/// Who draws (`--renderer auto|wgpu|cpu`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Renderer {
    /// A graphics card if there is one, else the processor.
    #[default]
    Auto,
    /// A graphics card, or a Vulkan or OpenGL driver that plays one.
    Wgpu,
    /// The processor.
    Cpu,
}

/// How pictures are to come onto the window.
#[derive(Debug, Clone, Default)]
pub struct PresentOptions {
    /// Who draws.
    pub renderer: Renderer,
    /// What is done about a picture that has not the window's size.
    pub scale: Scale,
    /// Where it is told who draws.
    pub event_log: EventLog,
}

/// Why nothing can be shown.
#[derive(Debug, thiserror::Error)]
pub enum PresentError {
    /// There is nothing to draw with.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// The window takes no pixels.
    #[error("the window takes no pixels from the processor ({0}); try --renderer wgpu")]
    NoPixels(String),
}

impl From<softbuffer::SoftBufferError> for PresentError {
    /// It holds handles of the window system, which stay on their thread.
    fn from(error: softbuffer::SoftBufferError) -> Self {
        PresentError::NoPixels(error.to_string())
    }
}

/// Whom to tell of a device in trouble.
pub type Trouble = Arc<dyn Fn(GpuTrouble) + Send + Sync>;

/// What the window is to show beside the session's picture itself.
pub struct Contents<'a> {
    /// How the picture is shown.
    pub picture: view::Picture,
    /// The on-screen display.
    pub osd: &'a Drawing,
    /// True if nobody is there to see any of it: all is black.
    pub dark: bool,
}

/// Who it is.
pub enum Presenter {
    /// A graphics card, or what plays one.
    Gpu(Box<OnGpu>),
    /// The processor.
    Cpu(Box<OnCpu>),
}

impl Presenter {
    /// Sets up who draws on this window, and tells the event log.
    pub fn new(
        window: &Arc<Window>,
        display: OwnedDisplayHandle,
        options: &PresentOptions,
        trouble: &Trouble,
    ) -> Result<Self, PresentError> {
        let presenter = match options.renderer {
            Renderer::Wgpu => Presenter::on_gpu(window, display, trouble)?,
            Renderer::Cpu => Presenter::on_cpu(window, display, trouble)?,
            Renderer::Auto => Presenter::suitable(window, display, trouble)?,
        };
        Ok(presenter.introduced(options))
    }

    fn on_gpu(
        window: &Arc<Window>,
        display: OwnedDisplayHandle,
        trouble: &Trouble,
    ) -> Result<Self, PresentError> {
        let found = gpu::find(window, display)?;
        Ok(Presenter::Gpu(Box::new(OnGpu::new(found, window, trouble)?)))
    }

    fn on_cpu(
        window: &Arc<Window>,
        display: OwnedDisplayHandle,
        trouble: &Trouble,
    ) -> Result<Self, PresentError> {
        let instance =
            wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle().with_env());
        let adapter = Gpu::adapter(&instance, None)?;
        Ok(Presenter::Cpu(Box::new(OnCpu::new(adapter, window, display, trouble)?)))
    }

    /// A graphics card that can show something on this window, else the
    /// processor, else whatever can.
    fn suitable(
        window: &Arc<Window>,
        display: OwnedDisplayHandle,
        trouble: &Trouble,
    ) -> Result<Self, PresentError> {
        let found = match gpu::find(window, display.clone()) {
            Ok(found) => found,
            Err(error) => {
                tracing::info!(%error, "no graphics card shows anything on the window");
                return Presenter::on_cpu(window, display, trouble);
            }
        };
        if device::is_software(&found.adapter) {
            let adapter = found.adapter.clone();
            match OnCpu::new(adapter, window, display, trouble) {
                Ok(on_cpu) => return Ok(Presenter::Cpu(Box::new(on_cpu))),
                Err(error) => tracing::info!(%error, "the processor does not draw"),
            }
        }
        Ok(Presenter::Gpu(Box::new(OnGpu::new(found, window, trouble)?)))
    }

    fn introduced(mut self, options: &PresentOptions) -> Self {
        self.scene_mut().scale = options.scale;
        let Facts { renderer, adapter, .. } = self.facts();
        let software = device::is_software(&self.scene().gpu().adapter);
        options.event_log.log(&Event::Renderer { renderer, adapter, software });
        self
    }

    /// Who draws, and what of a picture there is.
    pub fn facts(&self) -> Facts {
        let renderer = match &self {
            Presenter::Gpu(_) => "wgpu",
            Presenter::Cpu(_) => "cpu",
        };
        let picture = self.placement().map(|(place, (width_px, height_px))| {
            let scale_percent = place.width_px * 100 / width_px.max(1);
            Shape { width_px, height_px, scale_percent }
        });
        Facts { renderer, adapter: self.scene().gpu().adapter.get_info().name, picture }
    }

    fn scene(&self) -> &Scene {
        match self {
            Presenter::Gpu(on_gpu) => &on_gpu.scene,
            Presenter::Cpu(on_cpu) => &on_cpu.scene,
        }
    }

    fn scene_mut(&mut self) -> &mut Scene {
        match self {
            Presenter::Gpu(on_gpu) => &mut on_gpu.scene,
            Presenter::Cpu(on_cpu) => &mut on_cpu.scene,
        }
    }

    /// The window's size in pixels, as it was told.
    pub fn size_px(&self) -> (u32, u32) {
        match self {
            Presenter::Gpu(on_gpu) => on_gpu.surface.size_px(),
            Presenter::Cpu(on_cpu) => on_cpu.size_px,
        }
    }

    /// Follows the window's size. A window without any pixel keeps the old one.
    pub fn resize(&mut self, width_px: u32, height_px: u32) {
        match self {
            Presenter::Gpu(on_gpu) => on_gpu.surface.resize(width_px, height_px),
            Presenter::Cpu(on_cpu) => on_cpu.resize(width_px, height_px),
        }
    }

    /// Something else than a frame changed what the window is to show, or the
    /// window lost it: all of it is drawn with the next [`Presenter::present`].
    pub fn invalidate(&mut self) {
        match self {
            Presenter::Gpu(_) => {} // It always draws everything.
            Presenter::Cpu(on_cpu) => on_cpu.invalidate(),
        }
    }

    /// The picture's size in pixels, if there is one.
    pub fn picture_px(&self) -> Option<(u32, u32)> {
        match self {
            Presenter::Gpu(on_gpu) => {
                let size = on_gpu.scene.framebuffer.picture()?.size;
                Some((size.width_px().into(), size.height_px().into()))
            }
            Presenter::Cpu(on_cpu) => on_cpu.picture.size_px(),
        }
    }

    /// Where the picture is on the window, and its size, if there is one.
    pub fn placement(&self) -> Option<(Placement, (u32, u32))> {
        let picture_px = self.picture_px()?;
        Some((Placement::of(self.scene().scale, picture_px, self.size_px()), picture_px))
    }

    /// Forgets the picture: nothing of it is kept.
    pub fn clear(&mut self) {
        self.scene_mut().framebuffer.clear();
        if let Presenter::Cpu(on_cpu) = self {
            on_cpu.clear();
        }
    }

    /// Applies a whole frame to the picture; [`Presenter::present`] is called
    /// next. If a command cannot be applied, those before it are.
    pub fn apply(&mut self, commands: &[Command], contents: &Contents) -> Result<(), FrameError> {
        match self {
            Presenter::Gpu(on_gpu) => on_gpu.apply(commands),
            Presenter::Cpu(on_cpu) => on_cpu.apply(commands, contents),
        }
    }

    /// Takes over what changed in the on-screen display's textures.
    pub fn update_textures(&mut self, delta: TexturesDelta) {
        self.scene_mut().overlay.update_textures(delta);
    }

    /// Brings it all onto the window. False if that is not possible just now.
    pub fn present(&mut self, contents: &Contents) -> bool {
        match self {
            Presenter::Gpu(on_gpu) => on_gpu.present(contents),
            Presenter::Cpu(on_cpu) => on_cpu.present(contents),
        }
    }

    /// The session's picture as it is now, if there is one.
    pub fn picture(&mut self) -> Option<compare::Picture> {
        match self {
            Presenter::Gpu(on_gpu) => on_gpu.picture(),
            Presenter::Cpu(on_cpu) => on_cpu.picture(),
        }
    }

    /// What the window shows, on its way into memory.
    pub fn snapshot(&mut self, contents: &Contents) -> Readback {
        if let Presenter::Cpu(on_cpu) = self {
            on_cpu.upload();
        }
        let size_px = self.size_px();
        snapshot(self.scene_mut(), contents, size_px)
    }
}

/// Draws it into memory.
fn snapshot(scene: &mut Scene, contents: &Contents, size_px: (u32, u32)) -> Readback {
    scene.dark = contents.dark;
    scene.snapshot(contents.picture, contents.osd, size_px)
}
