//! What is beneath the on-screen display: the session's picture, as it is or
//! dimmed, or a quiet background while there is none.

use super::framebuffer::Picture;
use crate::view;
use wgpu::util::DeviceExt;

/// Of 256: as it is.
const BRIGHTNESS_LIVE: u32 = 256;
/// Of 256: there is no link to the session.
const BRIGHTNESS_DIMMED: u32 = 88;

/// Where a picture is on the window, in the window's pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// The left edge.
    pub x_px: u32,
    /// The top edge.
    pub y_px: u32,
    /// The width.
    pub width_px: u32,
    /// The height.
    pub height_px: u32,
}

impl Placement {
    /// As large as fits with its proportions kept, in the middle. Sizes are
    /// width and height in pixels.
    pub fn fit(picture_px: (u32, u32), window_px: (u32, u32)) -> Self {
        let ((picture_w, picture_h), (window_w, window_h)) = (picture_px, window_px);
        let (wide, high) = (
            u64::from(window_w) * u64::from(picture_h),
            u64::from(window_h) * u64::from(picture_w),
        );
        let (width_px, height_px) = if wide <= high {
            (window_w, (wide / u64::from(picture_w.max(1))) as u32)
        } else {
            ((high / u64::from(picture_h.max(1))) as u32, window_h)
        };
        let (width_px, height_px) = (width_px.max(1), height_px.max(1));
        Placement {
            x_px: window_w.saturating_sub(width_px) / 2,
            y_px: window_h.saturating_sub(height_px) / 2,
            width_px,
            height_px,
        }
    }

    /// The picture's pixel at a place of the window, or the nearest one.
    pub fn picture_pixel(
        &self,
        picture_px: (u32, u32),
        window_x: f64,
        window_y: f64,
    ) -> (u16, u16) {
        let map = |at: f64, start: u32, length: u32, pixels: u32| {
            let inside = (at - f64::from(start)) * f64::from(pixels) / f64::from(length);
            inside.floor().clamp(0.0, f64::from(pixels.saturating_sub(1))) as u16
        };
        (
            map(window_x, self.x_px, self.width_px, picture_px.0),
            map(window_y, self.y_px, self.height_px, picture_px.1),
        )
    }
}

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
        how: view::Picture,
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
                self.draw_picture(encoder, brightness, picture, target, target_view);
            }
            _ => self.draw_background(encoder, target, target_view),
        }
    }

    fn draw_picture(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        brightness: u32,
        picture: &Picture,
        target: &wgpu::Texture,
        target_view: &wgpu::TextureView,
    ) {
        let source = (picture.texture.width(), picture.texture.height());
        let place = Placement::fit(source, (target.width(), target.height()));
        let numbers =
            [place.x_px, place.y_px, place.width_px, place.height_px, brightness, 0, 0, 0];
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_of_the_windows_size_covers_it() {
        let place = Placement::fit((800, 600), (800, 600));
        assert_eq!(place, Placement { x_px: 0, y_px: 0, width_px: 800, height_px: 600 });
        assert_eq!(place.picture_pixel((800, 600), 799.9, 0.2), (799, 0));
        assert_eq!(place.picture_pixel((800, 600), -5.0, 900.0), (0, 599));
    }

    #[test]
    fn other_sizes_keep_their_proportions_in_the_middle() {
        let wide = Placement::fit((200, 100), (800, 600));
        assert_eq!(wide, Placement { x_px: 0, y_px: 100, width_px: 800, height_px: 400 });
        let high = Placement::fit((100, 200), (800, 600));
        assert_eq!(high, Placement { x_px: 250, y_px: 0, width_px: 300, height_px: 600 });
        assert_eq!(wide.picture_pixel((200, 100), 400.0, 300.0), (100, 50));
        assert_eq!(Placement::fit((8192, 16), (20, 20)).height_px, 1);
    }
}
