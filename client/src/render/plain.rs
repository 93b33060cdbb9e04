//! The session's picture in memory, as display commands change it, and its
//! pixels on the window: what is left to do without a GPU where nothing is
//! scaled, dimmed or covered.

use super::damage::Damage;
use super::framebuffer::FrameError;
use super::placement::Placement;
use super::readback::Pixels;
use afterglow_wire::coding::Unpacker;
use afterglow_wire::command::{Command, Rect};
use afterglow_wire::framebuffer::{CommandError, Framebuffer, PIXEL_BYTES};

/// How many fills may be owed.
const OWED_MAX: usize = 64;

/// The picture, once there was a SIZE.
#[derive(Debug, Default)]
pub struct PlainPicture {
    framebuffer: Option<Framebuffer>,
    unpacker: Unpacker,
    /// What is still to be filled, in this order.
    owed: Vec<(Rect, [u8; 4])>,
}

/// A window's pixels in memory: row by row, each `0x00RRGGBB`.
#[derive(Debug)]
pub struct Canvas<'a> {
    /// All of them.
    pub pixels: &'a mut [u32],
    /// How many in a row, and how many rows.
    pub size_px: (u32, u32),
}

impl PlainPicture {
    /// The picture, if there is one.
    pub fn framebuffer(&mut self) -> Option<&Framebuffer> {
        self.settle();
        self.framebuffer.as_ref()
    }

    /// Fills rectangles that fit, but not at once: whoever has shown them in
    /// another way has time ([`PlainPicture::settle`]).
    pub fn owe(&mut self, fills: &[(Rect, [u8; 4])]) {
        for (rect, color) in fills {
            self.owed.retain(|(owed, _)| rect.union(owed) != *rect);
            self.owed.push((*rect, *color));
        }
        if self.owed.len() > OWED_MAX {
            self.settle();
        }
    }

    /// Fills what is owed.
    pub fn settle(&mut self) {
        for (rect, color) in self.owed.drain(..) {
            if let Some(framebuffer) = &mut self.framebuffer {
                framebuffer.fill(&rect, color);
            }
        }
    }

    /// Its size in pixels, if there is one.
    pub fn size_px(&self) -> Option<(u32, u32)> {
        let size = self.framebuffer.as_ref()?.size();
        Some((size.width_px().into(), size.height_px().into()))
    }

    /// Forgets the picture: nothing of it is kept. The next frame is the first
    /// of an attachment.
    pub fn clear(&mut self) {
        *self = PlainPicture::default();
    }

    /// Applies a whole frame, and notes what it changes. If a command cannot
    /// be applied, those before it are.
    pub fn apply(&mut self, commands: &[Command], damage: &mut Damage) -> Result<(), FrameError> {
        self.settle();
        for command in commands {
            match (&mut self.framebuffer, command) {
                (Some(framebuffer), command) => framebuffer.apply(command, &mut self.unpacker)?,
                (none, Command::Size(size)) => *none = Some(Framebuffer::new(*size)),
                (None, Command::Cursor(_)) => {}
                (None, _) => return Err(CommandError::Outside("command before any SIZE").into()),
            }
            damage.add_command(command);
        }
        Ok(())
    }

    /// Draws what changed at its place on the window, which is not scaled;
    /// margins too if all did. Gives the parts of the window that it drew on.
    pub fn draw(&mut self, place: &Placement, damage: &Damage, canvas: &mut Canvas) -> Vec<Rect> {
        let Some(framebuffer) = self.framebuffer() else { return Vec::new() };
        let window = canvas.whole();
        if damage.is_all() {
            let picture = Rect::whole(framebuffer.size());
            let covers = on_window(place, &picture, canvas.size_px) == Some(window);
            if !covers {
                canvas.pixels.fill(0);
            }
            canvas.put(framebuffer, place, &picture);
            return vec![window];
        }
        let put = |rect: &Rect| canvas.put(framebuffer, place, rect);
        damage.rects().iter().filter_map(put).collect()
    }
}

impl Canvas<'_> {
    /// All of the window.
    pub fn whole(&self) -> Rect {
        let side = |px: u32| u16::try_from(px).unwrap_or(u16::MAX);
        Rect::new(0, 0, side(self.size_px.0), side(self.size_px.1))
    }

    /// Puts pixels that were read back onto all of the window. Those of
    /// another size are cut off, or leave a rest as it is.
    pub fn put_pixels(&mut self, from: &Pixels) {
        let row_bytes = from.width_px as usize * PIXEL_BYTES;
        let rows = self.pixels.chunks_exact_mut(self.size_px.0.max(1) as usize);
        for (row, from) in rows.zip(from.bytes.chunks_exact(row_bytes.max(1))) {
            put_row(row, from);
        }
    }

    /// Puts a part of the picture. Gives where it is on the window, if it is.
    fn put(&mut self, framebuffer: &Framebuffer, place: &Placement, part: &Rect) -> Option<Rect> {
        let target = on_window(place, part, self.size_px)?;
        // On the window it is right of the picture's left edge, and within it.
        let from_x = i32::from(target.x_px) - place.x_px;
        let from_y = i32::from(target.y_px) - place.y_px;
        let (from_x, from_y) = (u16::try_from(from_x).ok()?, u16::try_from(from_y).ok()?);
        let source = Rect { x_px: from_x, y_px: from_y, ..target };
        let stride = self.size_px.0 as usize;
        for row in 0..target.height_px {
            let start = usize::from(target.y_px + row) * stride + usize::from(target.x_px);
            let end = start + usize::from(target.width_px);
            put_row(self.pixels.get_mut(start..end)?, framebuffer.row(&source, row));
        }
        Some(target)
    }
}

/// Where a part of a picture that is not scaled is on the window, if it is.
pub fn on_window(place: &Placement, part: &Rect, window_px: (u32, u32)) -> Option<Rect> {
    let side = |start_px: i32, at_px: u16, length_px: u16, window_px: u32| {
        let start = start_px + i32::from(at_px);
        let end = (start + i32::from(length_px)).min(i32::try_from(window_px).ok()?);
        let start = start.max(0);
        Some((u16::try_from(start).ok()?, u16::try_from(end - start).ok().filter(|px| *px > 0)?))
    };
    let (x_px, width_px) = side(place.x_px, part.x_px, part.width_px, window_px.0)?;
    let (y_px, height_px) = side(place.y_px, part.y_px, part.height_px, window_px.1)?;
    Some(Rect { x_px, y_px, width_px, height_px })
}

/// Blue, green, red and a byte that means nothing, as the window has them.
fn put_row(row: &mut [u32], from: &[u8]) {
    for (pixel, from) in row.iter_mut().zip(from.chunks_exact(PIXEL_BYTES)) {
        *pixel = u32::from_le_bytes([from[0], from[1], from[2], 0]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::placement::Scale;
    use afterglow_wire::ids::Size;
    use proptest::prelude::*;

    fn fill(x_px: u16, y_px: u16, width_px: u16, height_px: u16, color: u8) -> Command {
        let rect = Rect { x_px, y_px, width_px, height_px };
        Command::Fill { rect, color: [color, color ^ 1, color ^ 2, 77] }
    }

    fn size(width_px: u16, height_px: u16) -> Command {
        Command::Size(Size::new(width_px, height_px).unwrap())
    }

    fn drawn(
        picture: &mut PlainPicture,
        damage: &Damage,
        window_px: (u32, u32),
        pixels: &mut [u32],
    ) -> Vec<Rect> {
        let place = Placement::of(Scale::Unscaled, picture.size_px().unwrap(), window_px);
        picture.draw(&place, damage, &mut Canvas { pixels, size_px: window_px })
    }

    #[test]
    fn a_smaller_picture_has_black_margins_and_no_fourth_byte() {
        let mut picture = PlainPicture::default();
        let mut damage = Damage::default();
        let commands = [size(16, 16), fill(0, 0, 16, 16, 8)];
        assert_eq!(picture.apply(&commands, &mut damage), Ok(()));
        assert!(damage.is_all());
        let mut pixels = vec![u32::MAX; 20 * 18];
        let parts = drawn(&mut picture, &damage, (20, 18), &mut pixels);
        assert_eq!(parts, [Rect::new(0, 0, 20, 18)]);
        let inside = |at: usize| (2..18).contains(&(at % 20)) && (1..17).contains(&(at / 20));
        for (at, pixel) in pixels.iter().enumerate() {
            assert_eq!(*pixel, if inside(at) { 0x000a_0908 } else { 0 }, "{at}");
        }
    }

    #[test]
    fn what_is_cut_off_is_not_drawn() {
        let mut picture = PlainPicture::default();
        let commands = [size(100, 20), fill(0, 0, 30, 20, 4), fill(70, 0, 30, 20, 5)];
        picture.apply(&commands, &mut Damage::default()).unwrap();
        let mut damage = Damage::default();
        damage.add(Rect::new(0, 0, 30, 20));
        damage.add(Rect::new(35, 5, 40, 10));
        // The window shows the columns from 30 to 70.
        let parts = drawn(&mut picture, &damage, (40, 30), &mut [0; 40 * 30]);
        assert_eq!(parts, [Rect::new(5, 10, 35, 10)]);
    }

    #[test]
    fn before_the_first_size_there_is_nothing_to_draw_on() {
        let mut picture = PlainPicture::default();
        let mut damage = Damage::default();
        assert!(picture.apply(&[fill(0, 0, 1, 1, 0)], &mut damage).is_err());
        assert!(damage.is_none() && picture.size_px().is_none());
        picture.apply(&[size(16, 16), fill(0, 0, 1, 1, 9)], &mut damage).unwrap();
        picture.clear();
        assert!(picture.framebuffer().is_none());
    }

    #[test]
    fn what_is_owed_is_there_before_anybody_looks() {
        let rect = |x_px, width_px| Rect::new(x_px, 0, width_px, 40);
        let mut picture = PlainPicture::default();
        picture.apply(&[size(40, 40)], &mut Damage::default()).unwrap();
        picture.owe(&[(rect(0, 10), [1; 4]), (rect(5, 10), [2; 4]), (rect(0, 4), [3; 4])]);
        assert_eq!(picture.owed.len(), 3);
        // What is covered is not owed any more; what only touches it is.
        picture.owe(&[(rect(5, 30), [4; 4])]);
        let copy = Command::Copy { rect: rect(36, 4), from_x_px: 4, from_y_px: 0 };
        picture.apply(&[copy], &mut Damage::default()).unwrap();
        assert!(picture.owed.is_empty());
        let row = picture.framebuffer().unwrap().row(&rect(0, 40), 9).as_chunks().0.to_vec();
        let mut expected = [[0; 4]; 40];
        expected[..4].fill([3; 4]);
        expected[4] = [1; 4];
        expected[5..35].fill([4; 4]);
        expected[36..].copy_from_slice(&[[1; 4], [4; 4], [4; 4], [4; 4]]);
        assert_eq!(row, expected);
        for x_px in 0..=OWED_MAX as u16 {
            picture.owe(&[(Rect::new(x_px % 40, x_px % 39, 1, 1), [5; 4])]);
        }
        assert!(picture.owed.len() <= OWED_MAX);
    }

    fn any_frame() -> impl Strategy<Value = Vec<Command>> {
        let place = (0u16..60, 0u16..60, 1u16..40, 1u16..40);
        let filled = (place.clone(), any::<u8>()).prop_map(|((x, y, w, h), c)| fill(x, y, w, h, c));
        let copied =
            (place, 0u16..40, 0u16..40).prop_map(|((x, y, w, h), from_x_px, from_y_px)| {
                Command::Copy { rect: Rect::new(x, y, w, h), from_x_px, from_y_px }
            });
        let sized = (60u16..100, 60u16..100).prop_map(|(w, h)| size(w, h));
        let command = prop_oneof![6 => filled, 4 => copied, 1 => sized];
        prop::collection::vec(command, 0..30)
    }

    proptest! {
        #[test]
        fn what_changed_is_enough_to_draw(
            frames in prop::collection::vec(any_frame(), 1..5),
            window_px in (30u32..130, 30u32..130),
        ) {
            let mut picture = PlainPicture::default();
            picture.apply(&[size(80, 80)], &mut Damage::default()).unwrap();
            let pixels = (window_px.0 * window_px.1) as usize;
            let (mut window, mut whole) = (vec![0; pixels], vec![0; pixels]);
            drawn(&mut picture, &Damage::all(), window_px, &mut window);
            for frame in &frames {
                let mut damage = Damage::default();
                // An error ends the frame, and what came before it counts.
                let _ = picture.apply(frame, &mut damage);
                drawn(&mut picture, &damage, window_px, &mut window);
                drawn(&mut picture, &Damage::all(), window_px, &mut whole);
                prop_assert!(window == whole);
            }
        }
    }
}
