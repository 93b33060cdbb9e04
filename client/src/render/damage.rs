//! What of a picture changed.

use afterglow_wire::command::{Command, Rect};

/// More rectangles than this become fewer that cover more.
pub const DAMAGE_RECTS_MAX: usize = 16;

/// Some rectangles of a picture, or all of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Damage {
    all: bool,
    /// Never more than [`DAMAGE_RECTS_MAX`].
    rects: Vec<Rect>,
}

impl Damage {
    /// All of the picture, whatever its size.
    pub fn all() -> Self {
        Damage { all: true, rects: Vec::new() }
    }

    /// True if it is all of the picture.
    pub fn is_all(&self) -> bool {
        self.all
    }

    /// True if nothing changed.
    pub fn is_none(&self) -> bool {
        !self.all && self.rects.is_empty()
    }

    /// The rectangles that cover all that changed, unless all of it did. They
    /// may overlap.
    pub fn rects(&self) -> &[Rect] {
        &self.rects
    }

    /// What a command changes.
    pub fn add_command(&mut self, command: &Command) {
        match command {
            Command::Set { rect, .. }
            | Command::Fill { rect, .. }
            | Command::Copy { rect, .. }
            | Command::Bitmap { rect, .. }
            | Command::Cscs { rect, .. } => self.add(*rect),
            Command::Cursor(_) | Command::Unknown(_) => {}
            Command::Size(_) => *self = Damage::all(),
        }
    }

    /// What another damage covers, too.
    pub fn add_damage(&mut self, other: &Damage) {
        if other.all {
            *self = Damage::all();
        }
        other.rects.iter().for_each(|rect| self.add(*rect));
    }

    /// A rectangle.
    pub fn add(&mut self, rect: Rect) {
        if self.all || rect.is_empty() {
            return;
        }
        // Rectangles that are one are put as one: the strips and tiles that an
        // encoder makes, and what is drawn twice in a frame.
        let costs_nothing =
            |other: &Rect| waste_px(&rect, other) <= 0 || rect.union(other) == *other;
        if let Some(place) = self.rects.iter().position(costs_nothing) {
            let other = self.rects.swap_remove(place);
            return self.add(rect.union(&other));
        }
        if self.rects.len() < DAMAGE_RECTS_MAX {
            return self.rects.push(rect);
        }
        let waste_px = |place: &usize| waste_px(&rect, &self.rects[*place]);
        if let Some(place) = (0..self.rects.len()).min_by_key(waste_px) {
            let other = self.rects.swap_remove(place);
            self.add(rect.union(&other));
        }
    }
}

/// How many pixels more the union of two rectangles has than they themselves.
/// Below zero if they overlap by more than that.
fn waste_px(one: &Rect, other: &Rect) -> i64 {
    i64::from(one.union(other).pixels()) - i64::from(one.pixels()) - i64::from(other.pixels())
}

#[cfg(test)]
mod tests {
    use super::*;
    use afterglow_wire::command::Coding;
    use afterglow_wire::ids::Size;
    use proptest::prelude::*;

    fn damage(rects: &[Rect]) -> Damage {
        let mut damage = Damage::default();
        rects.iter().for_each(|rect| damage.add(*rect));
        damage
    }

    #[test]
    fn neighbours_are_one_and_others_are_not() {
        let tiles = [Rect::new(0, 0, 64, 64), Rect::new(128, 0, 64, 64), Rect::new(64, 0, 64, 64)];
        assert_eq!(damage(&tiles).rects(), [Rect::new(0, 0, 192, 64)]);
        let apart = [Rect::new(0, 0, 8, 8), Rect::new(100, 100, 8, 8)];
        assert_eq!(damage(&apart).rects(), apart);
        let within = [Rect::new(0, 0, 80, 80), Rect::new(30, 30, 8, 8)];
        assert_eq!(damage(&within).rects(), [within[0]]);
        assert!(damage(&[Rect::new(3, 3, 0, 9)]).is_none());
    }

    #[test]
    fn commands_change_what_they_draw_on_and_a_size_everything() {
        let rect = Rect::new(5, 6, 7, 8);
        let mut damage = Damage::default();
        damage.add_command(&Command::Copy { rect, from_x_px: 0, from_y_px: 0 });
        damage.add_command(&Command::Bitmap {
            rect: Rect::new(50, 6, 7, 8),
            foreground: [1; 4],
            background: None,
            coding: Coding::Raw,
            payload: vec![0; 8].into(),
        });
        assert_eq!(damage.rects(), [rect, Rect::new(50, 6, 7, 8)]);
        damage.add_command(&Command::Size(Size::new(16, 16).unwrap()));
        damage.add_command(&Command::Fill { rect, color: [0; 4] });
        assert_eq!(damage, Damage::all());
        let mut other = Damage::default();
        other.add_damage(&damage);
        assert!(other.is_all() && !other.is_none());
    }

    fn any_rect() -> impl Strategy<Value = Rect> {
        let (place, side) = (0u16..500, 1u16..60);
        (place.clone(), place, side.clone(), side).prop_map(|(x, y, w, h)| Rect::new(x, y, w, h))
    }

    proptest! {
        #[test]
        fn however_many_there_are_few_cover_them(rects in prop::collection::vec(any_rect(), 0..80)) {
            let damage = damage(&rects);
            prop_assert!(damage.rects().len() <= DAMAGE_RECTS_MAX);
            for rect in &rects {
                let corners = [
                    (u32::from(rect.x_px), u32::from(rect.y_px)),
                    (rect.right_px() - 1, rect.bottom_px() - 1),
                ];
                for (x, y) in corners {
                    let pixel = Rect::new(x as u16, y as u16, 1, 1);
                    let covers = |of: &Rect| of.intersection(&pixel).is_some();
                    prop_assert!(damage.rects().iter().any(covers));
                }
            }
        }
    }
}
