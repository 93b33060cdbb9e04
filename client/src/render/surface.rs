//! The window's swapchain.

use super::gpu::{Gpu, GpuError};
use std::sync::Arc;
use winit::window::Window;

/// The swapchain and how it is set up.
#[derive(Debug)]
pub struct Surface {
    gpu: Gpu,
    instance: wgpu::Instance,
    window: Arc<Window>,
    surface: wgpu::Surface<'static>,
    config: wgpu::SurfaceConfiguration,
    /// The format to draw in: not sRGB, whatever the surface's own is.
    view_format: wgpu::TextureFormat,
}

/// What came of the attempt to get a texture to draw on.
#[derive(Debug)]
pub enum Acquired {
    /// Draw on it, then present it.
    Texture(wgpu::SurfaceTexture),
    /// Nothing can be shown just now; try again later.
    Later,
}

impl Surface {
    /// Sets the swapchain up for a window.
    pub fn new(
        instance: wgpu::Instance,
        window: Arc<Window>,
        surface: wgpu::Surface<'static>,
        gpu: &Gpu,
    ) -> Result<Self, GpuError> {
        let capabilities = surface.get_capabilities(&gpu.adapter);
        let plain = |format: &&wgpu::TextureFormat| !format.is_srgb();
        let unsupported = || GpuError::SurfaceUnsupported { adapter: gpu.adapter.get_info().name };
        let format = *capabilities
            .formats
            .iter()
            .find(|format| **format == super::FORMAT)
            .or_else(|| capabilities.formats.iter().find(plain))
            .or_else(|| capabilities.formats.first())
            .ok_or_else(unsupported)?;
        let view_format = format.remove_srgb_suffix();
        let opaque = capabilities.alpha_modes.contains(&wgpu::CompositeAlphaMode::Opaque);
        // The fourth byte of a pixel is no alpha: where it would be taken for
        // one, the picture is drawn and not copied.
        let mut usage = wgpu::TextureUsages::RENDER_ATTACHMENT;
        if opaque {
            usage |= capabilities.usages & wgpu::TextureUsages::COPY_DST;
        }
        let size = window.inner_size();
        let config = wgpu::SurfaceConfiguration {
            usage,
            format,
            color_space: wgpu::SurfaceColorSpace::Auto,
            width: size.width.max(1),
            height: size.height.max(1),
            present_mode: present_mode(&capabilities.present_modes),
            desired_maximum_frame_latency: 1,
            alpha_mode: if opaque {
                wgpu::CompositeAlphaMode::Opaque
            } else {
                wgpu::CompositeAlphaMode::Auto
            },
            view_formats: if view_format == format { vec![] } else { vec![view_format] },
        };
        surface.configure(&gpu.device, &config);
        tracing::info!(?format, mode = ?config.present_mode, ?usage, "showing on");
        Ok(Surface { gpu: gpu.clone(), instance, window, surface, config, view_format })
    }

    /// The format to draw in.
    pub fn view_format(&self) -> wgpu::TextureFormat {
        self.view_format
    }

    /// Its size in pixels.
    pub fn size_px(&self) -> (u32, u32) {
        (self.config.width, self.config.height)
    }

    /// Follows the window's size. A window without any pixel keeps the old one.
    pub fn resize(&mut self, width_px: u32, height_px: u32) {
        if width_px == 0 || height_px == 0 || self.size_px() == (width_px, height_px) {
            return;
        }
        (self.config.width, self.config.height) = (width_px, height_px);
        self.surface.configure(&self.gpu.device, &self.config);
    }

    /// A texture to draw on, if there is one now.
    pub fn acquire(&mut self) -> Acquired {
        use wgpu::CurrentSurfaceTexture as Current;
        // The second attempt is after what the first one asked for was done.
        for _ in 0..2 {
            match self.surface.get_current_texture() {
                Current::Success(texture) | Current::Suboptimal(texture) => {
                    return Acquired::Texture(texture);
                }
                Current::Timeout | Current::Occluded | Current::Validation => break,
                Current::Outdated => self.surface.configure(&self.gpu.device, &self.config),
                Current::Lost => match self.instance.create_surface(self.window.clone()) {
                    Ok(surface) => {
                        self.surface = surface;
                        self.surface.configure(&self.gpu.device, &self.config);
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the window's surface is lost");
                        break;
                    }
                },
            }
        }
        Acquired::Later
    }

    /// Shows what was drawn and submitted.
    pub fn present(&self, texture: wgpu::SurfaceTexture) {
        self.window.pre_present_notify();
        self.gpu.queue.present(texture);
    }
}

/// The mode that waits least and tears not, if there is one.
fn present_mode(modes: &[wgpu::PresentMode]) -> wgpu::PresentMode {
    [wgpu::PresentMode::Mailbox, wgpu::PresentMode::Immediate]
        .into_iter()
        .find(|mode| modes.contains(mode))
        .unwrap_or(wgpu::PresentMode::Fifo)
}
