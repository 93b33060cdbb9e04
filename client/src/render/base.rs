//! What is beneath the on-screen display: the session's picture, as it is or
//! dimmed, or a quiet background while there is none.

use super::framebuffer::Picture;
use super::placement::{Placement, Scale};
use crate::view;
use wgpu::util::DeviceExt;

/// Of 256: as it is.
const BRIGHTNESS_LIVE: u32 = 256;
/// Of 256: there is no link to the session.
const BRIGHTNESS_DIMMED: u32 = 88;

/// Draws it.
#[derive(Debug)]
pub struct Base {
    device: wgpu::Device,
    blit: wgpu::RenderPipeline,
    background: wgpu::RenderPipeline,
}

impl Base {
    /// Compiles the shaders for targets of this format.
    pub fn new(device: &wgpu::Device, format: wgpu::TextureFormat) -> Self {
        let topology = wgpu::PrimitiveTopology::TriangleList;
        Base {
            device: device.clone(),
            blit: super::pipeline(device, "blit", &[], topology, format),
            background: super::pipeline(device, "background", &[], topology, format),
        }
    }

    /// Records it, over everything that the target held.
    pub fn draw(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        (how, scale): (view::Picture, Scale),
        picture: Option<&Picture>,
        target: &wgpu::Texture,
        target_view: &wgpu::TextureView,
    ) {
        let brightness = match how {
            view::Picture::Blank => None,
            view::Picture::Live => Some(BRIGHTNESS_LIVE),
            view::Picture::Dimmed => Some(BRIGHTNESS_DIMMED),
        };
        match (brightness, picture) {
            (Some(BRIGHTNESS_LIVE), Some(picture)) if can_copy(&picture.texture, target) => {
                encoder.copy_texture_to_texture(
                    picture.texture.as_image_copy(),
                    target.as_image_copy(),
                    target.size(),
                );
            }
            (Some(brightness), Some(picture)) => {
                self.draw_picture(encoder, (brightness, scale), picture, target, target_view);
            }
            _ => self.draw_background(encoder, target, target_view),
        }
    }

    fn draw_picture(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        (brightness, scale): (u32, Scale),
        picture: &Picture,
        target: &wgpu::Texture,
        target_view: &wgpu::TextureView,
    ) {
        let source = (picture.texture.width(), picture.texture.height());
        let place = Placement::of(scale, source, (target.width(), target.height()));
        let Placement { x_px, y_px, width_px, height_px, sharp } = place;
        let corner = [x_px, y_px].map(i32::cast_unsigned);
        let numbers =
            [corner[0], corner[1], width_px, height_px, brightness, u32::from(sharp), 0, 0];
        let uniform = self.uniform(&numbers);
        let bindings = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("blit"),
            layout: &self.blit.get_bind_group_layout(0),
            entries: &[
                wgpu::BindGroupEntry {
                    binding: 0,
                    resource: wgpu::BindingResource::TextureView(&picture.view),
                },
                wgpu::BindGroupEntry { binding: 1, resource: uniform.as_entire_binding() },
            ],
        });
        draw_all(encoder, "blit", &self.blit, &bindings, target_view);
    }

    fn draw_background(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        target: &wgpu::Texture,
        target_view: &wgpu::TextureView,
    ) {
        let uniform = self.uniform(&[target.width(), target.height(), 0, 0]);
        let bindings = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("background"),
            layout: &self.background.get_bind_group_layout(0),
            entries: &[wgpu::BindGroupEntry { binding: 0, resource: uniform.as_entire_binding() }],
        });
        draw_all(encoder, "background", &self.background, &bindings, target_view);
    }

    fn uniform(&self, numbers: &[u32]) -> wgpu::Buffer {
        let contents: Vec<u8> = numbers.iter().flat_map(|number| number.to_ne_bytes()).collect();
        self.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: Some("base"),
            contents: &contents,
            usage: wgpu::BufferUsages::UNIFORM,
        })
    }
}

fn draw_all(
    encoder: &mut wgpu::CommandEncoder,
    name: &str,
    pipeline: &wgpu::RenderPipeline,
    bindings: &wgpu::BindGroup,
    view: &wgpu::TextureView,
) {
    let mut pass = super::begin_pass(encoder, name, view, wgpu::LoadOp::Clear(wgpu::Color::BLACK));
    pass.set_pipeline(pipeline);
    pass.set_bind_group(0, bindings, &[]);
    pass.draw(0..3, 0..1);
}

/// A plain copy shows the picture in half the time that drawing it takes.
fn can_copy(picture: &wgpu::Texture, target: &wgpu::Texture) -> bool {
    target.usage().contains(wgpu::TextureUsages::COPY_DST)
        && target.format() == picture.format()
        && target.size() == picture.size()
}
