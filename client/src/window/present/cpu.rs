//! The processor applies frames, and puts what changed onto the window. What
//! is more than the session's picture as it is, an adapter draws into memory:
//! the on-screen display, and a picture that is dimmed or scaled.

use super::way::{Way, WayError};
use super::{Contents, PresentError, Trouble, snapshot};
use crate::render::damage::Damage;
use crate::render::framebuffer::FrameError;
use crate::render::gpu::Gpu;
use crate::render::placement::Placement;
use crate::render::plain::{PlainPicture, on_window};
use crate::render::readback::{Pixels, ReadbackError};
use crate::render::scene::Scene;
use crate::view;
use crate::window::compare;
use afterglow_wire::command::Command;
use std::sync::Arc;
use winit::event_loop::OwnedDisplayHandle;
use winit::window::Window;

/// Why something is not on the window now; it may be later.
#[derive(Debug, thiserror::Error)]
enum NotShown {
    #[error(transparent)]
    Window(#[from] WayError),
    #[error(transparent)]
    Adapter(#[from] ReadbackError),
}

/// The picture in memory, and the way onto the window.
pub struct OnCpu {
    way: Way,
    /// The window's size in pixels.
    pub size_px: (u32, u32),
    /// The session's picture.
    pub picture: PlainPicture,
    /// What of the picture changed since it was presented.
    damage: Damage,
    /// What had changed when it was presented the last time: window systems
    /// with two buffers lack it in the other one.
    damage_before: Damage,
    /// What draws all else.
    pub scene: Scene,
    /// True if the picture is another than the scene's.
    scene_stale: bool,
    /// True if the window shows more than the picture.
    covered: bool,
    /// True if the last attempt failed, and its reason is told.
    troubled: bool,
}

impl OnCpu {
    /// Opens the adapter's device, and the way onto the window.
    pub fn new(
        adapter: wgpu::Adapter,
        window: &Arc<Window>,
        display: OwnedDisplayHandle,
        trouble: &Trouble,
    ) -> Result<Self, PresentError> {
        let size = window.inner_size();
        let size_px = (size.width.max(1), size.height.max(1));
        let way = Way::new(window, display, size_px)?;
        let trouble = trouble.clone();
        let gpu = Gpu::open(adapter, move |what| trouble(what))?;
        Ok(OnCpu {
            way,
            size_px,
            picture: PlainPicture::default(),
            damage: Damage::all(),
            damage_before: Damage::all(),
            scene: Scene::new(&gpu, crate::render::FORMAT),
            scene_stale: true,
            covered: true,
            troubled: false,
        })
    }

    /// Follows the window's size. A window without any pixel keeps the old one.
    pub fn resize(&mut self, width_px: u32, height_px: u32) {
        if width_px > 0 && height_px > 0 {
            self.size_px = (width_px, height_px);
            self.invalidate();
        }
    }

    /// All of the window is drawn with the next frame or turn.
    pub fn invalidate(&mut self) {
        self.damage = Damage::all();
    }

    /// Forgets the picture.
    pub fn clear(&mut self) {
        self.picture.clear();
        self.scene_stale = true;
        self.invalidate();
    }

    /// Applies a whole frame. If it only fills, and nothing else has to be
    /// drawn, the window shows it before our picture does.
    pub fn apply(&mut self, commands: &[Command], contents: &Contents) -> Result<(), FrameError> {
        self.scene_stale = true;
        let shown = self.fill(commands, contents);
        let applied = self.picture.apply(commands, &mut self.damage);
        if shown && applied.is_ok() {
            self.damage = Damage::default();
        }
        applied
    }

    /// Has the window system do what a frame does; false if that is not all
    /// that the frame is, or it cannot.
    fn fill(&mut self, commands: &[Command], contents: &Contents) -> bool {
        if self.covered || !self.damage.is_none() {
            return false;
        }
        let (Some(place), Some(picture_px)) = (self.unscaled(contents), self.picture.size_px())
        else {
            return false;
        };
        let Way::X11(window) = &mut self.way else { return false };
        let fill = |command: &Command| match command {
            Command::Fill { rect, color } => {
                let inside = rect.right_px() <= picture_px.0 && rect.bottom_px() <= picture_px.1;
                inside.then_some((*rect, *color))
            }
            _ => None,
        };
        let Some(fills) = commands.iter().map(fill).collect::<Option<Vec<_>>>() else {
            return false;
        };
        let size_px = self.size_px;
        let parts = fills
            .into_iter()
            .filter_map(|(rect, color)| Some((on_window(&place, &rect, size_px)?, color)));
        // If it fails, the frame is put as any other, and that says why.
        window.fill(parts).is_ok()
    }

    /// Brings everything that changed onto the window.
    pub fn present(&mut self, contents: &Contents) -> bool {
        if self.damage.is_none() {
            return true;
        }
        let presented = match self.unscaled(contents) {
            Some(place) => self.present_picture(&place),
            None => self.present_drawn(contents),
        };
        if let Err(error) = &presented
            && !self.troubled
        {
            tracing::warn!(%error, "nothing can be shown just now");
        }
        self.troubled = presented.is_err();
        presented.is_ok()
    }

    /// Where the picture is on the window, if that shows it as it is and
    /// nothing else.
    fn unscaled(&self, contents: &Contents) -> Option<Placement> {
        let picture_px = self.picture.size_px()?;
        let place = Placement::of(self.scene.scale, picture_px, self.size_px);
        let plain = contents.picture == view::Picture::Live
            && contents.osd.primitives.is_empty()
            && !contents.dark;
        (plain && place.is_unscaled(picture_px)).then_some(place)
    }

    /// The usual way: nothing but the picture, and of that what changed.
    fn present_picture(&mut self, place: &Placement) -> Result<(), NotShown> {
        if std::mem::take(&mut self.covered) {
            self.invalidate();
        }
        let OnCpu { way, size_px, picture, damage, damage_before, .. } = self;
        way.put(*size_px, |canvas, age| {
            let mut lacking = damage.clone();
            match age {
                1 => {}
                2 => lacking.add_damage(damage_before),
                _ => lacking = Damage::all(),
            }
            picture.draw(place, &lacking, canvas)
        })?;
        *damage_before = std::mem::take(damage);
        Ok(())
    }

    /// All of the window, as an adapter draws it.
    fn present_drawn(&mut self, contents: &Contents) -> Result<(), NotShown> {
        self.upload();
        let pixels = snapshot(&mut self.scene, contents, self.size_px).wait()?;
        self.way.put(self.size_px, |canvas, _| {
            canvas.put_pixels(&pixels);
            vec![canvas.whole()]
        })?;
        self.covered = true;
        self.damage = Damage::default();
        self.damage_before = Damage::all();
        Ok(())
    }

    /// Gives the scene the picture as it is now.
    pub fn upload(&mut self) {
        let Some(picture) = self.picture.framebuffer().filter(|_| self.scene_stale) else { return };
        let gpu = self.scene.gpu().clone();
        let (encoder, applied) = self.scene.framebuffer.apply(&[Command::Size(picture.size())]);
        gpu.queue.submit([encoder.finish()]);
        self.scene_stale = false;
        if let Err(error) = applied {
            return tracing::warn!(%error, "the picture cannot be drawn on");
        }
        let Some(drawn) = self.scene.framebuffer.picture() else { return };
        let layout = wgpu::TexelCopyBufferLayout {
            offset: 0,
            bytes_per_row: u32::try_from(picture.stride()).ok(),
            rows_per_image: None,
        };
        let to = drawn.texture.as_image_copy();
        gpu.queue.write_texture(to, picture.pixels(), layout, drawn.texture.size());
    }

    /// The picture as it is now.
    pub fn picture(&self) -> Option<compare::Picture> {
        let (width_px, height_px) = self.picture.size_px()?;
        let bytes = self.picture.framebuffer()?.pixels().to_vec();
        Some(compare::Picture::Memory(Pixels { width_px, height_px, bytes }))
    }
}
