//! Watching a viewer's screen from outside: told of each change by the X server
//! (Damage), and reading few pixels then. Nothing is asked in between, so that
//! watching takes no processor from what is watched.

use crate::events::now_us;
use crate::picture::Picture;
use crate::screen::Screen;
use anyhow::{Context, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use x11rb::connection::Connection;
use x11rb::protocol::Event;
use x11rb::protocol::damage::{ConnectionExt as _, Damage, ReportLevel};
use x11rb::protocol::xproto::{
    ConnectionExt, ImageFormat, KEY_PRESS_EVENT, KEY_RELEASE_EVENT, Window,
};
use x11rb::protocol::xtest::ConnectionExt as _;
use x11rb::rust_connection::RustConnection;

/// X key codes are evdev's and 8.
const X_KEY_OFFSET: u8 = 8;
/// A whole picture is looked at in columns that are so far from each other.
const COLUMNS_EVERY_PX: usize = 64;
/// The screen is at rest when nothing changed on it for so long.
const REST: Duration = Duration::from_millis(300);
/// For so long it may go on changing.
const REST_WITHIN: Duration = Duration::from_secs(30);
/// Changes that follow each other sooner belong to one picture...
const SAME_PICTURE_US: u64 = 2_000;
/// ...unless that began so long ago.
const PICTURE_US_MAX: u64 = 10_000;

/// A part of the screen, and how it is to look.
#[derive(Debug, Clone)]
pub struct Sight {
    parts: Vec<Part>,
    /// All of it, which is looked at once the parts are as wanted.
    whole: Option<Picture>,
}

#[derive(Debug, Clone)]
struct Part {
    place_px: (i16, i16),
    size_px: (u16, u16),
    pixels: Vec<[u8; 4]>,
}

impl Part {
    fn of(
        picture: &Picture,
        (x_px, y_px): (usize, usize),
        (width, height): (usize, usize),
    ) -> Self {
        let row = |y| (x_px..x_px + width).map(move |x| (x, y));
        let pixels = (y_px..y_px + height).flat_map(row).map(|(x, y)| picture.at(x, y)).collect();
        Part {
            place_px: (x_px as i16, y_px as i16),
            size_px: (width as u16, height as u16),
            pixels,
        }
    }
}

impl Sight {
    /// This picture on all of the screen.
    pub fn whole(picture: Picture) -> Self {
        let last = picture.width_px - 1;
        let columns = (0..last).step_by(COLUMNS_EVERY_PX).chain([last]);
        let parts = columns.map(|x| Part::of(&picture, (x, 0), (1, picture.height_px))).collect();
        Sight { parts, whole: Some(picture) }
    }

    /// One colour on all of a screen of this size; columns of it are looked at.
    pub fn color(color: u32, (width_px, height_px): (u16, u16)) -> Self {
        let [_, red, green, blue] = color.to_be_bytes();
        let (width_px, height_px) = (usize::from(width_px), usize::from(height_px));
        let pixels = vec![[blue, green, red, 0]; width_px * height_px];
        let whole = Sight::whole(Picture { width_px, height_px, pixels });
        Sight { whole: None, ..whole }
    }

    /// A small part of the screen, with what a picture has at its upper left.
    pub fn part(picture: &Picture, place_px: (usize, usize), size_px: (usize, usize)) -> Self {
        let mut part = Part::of(picture, (0, 0), size_px);
        part.place_px = (place_px.0 as i16, place_px.1 as i16);
        Sight { parts: vec![part], whole: None }
    }
}

/// A watched screen, and a keyboard at it.
pub struct Watch {
    connection: RustConnection,
    root: Window,
    size_px: (u16, u16),
    damage: Damage,
}

impl Watch {
    /// Watches all of this screen.
    pub fn on(screen: &Screen) -> Result<Self> {
        let connection = screen.connect_again()?;
        let first = &connection.setup().roots[0];
        let (root, size_px) = (first.root, (first.width_in_pixels, first.height_in_pixels));
        connection.damage_query_version(1, 1)?.reply().context("DAMAGE")?;
        let damage = connection.generate_id()?;
        connection.damage_create(damage, root, ReportLevel::NON_EMPTY)?.check()?;
        let watch = Watch { connection, root, size_px, damage };
        // All of it counts as changed at first.
        watch.forget()?;
        Ok(watch)
    }

    /// The screen's width and height.
    pub fn size_px(&self) -> (u16, u16) {
        self.size_px
    }

    /// Presses a key; gives the time just before.
    pub fn press(&self, key: u8) -> Result<u64> {
        self.forget()?;
        let at_us = now_us();
        self.fake(KEY_PRESS_EVENT, key)?;
        Ok(at_us)
    }

    /// Lets a key go.
    pub fn release(&self, key: u8) -> Result<()> {
        self.fake(KEY_RELEASE_EVENT, key)
    }

    fn fake(&self, kind: u8, key: u8) -> Result<()> {
        self.connection.xtest_fake_input(kind, key + X_KEY_OFFSET, 0, self.root, 0, 0, 0)?;
        Ok(self.connection.flush()?)
    }

    /// Forgets the changes so far.
    pub fn forget(&self) -> Result<()> {
        while self.changed(Duration::ZERO)?.is_some() {}
        Ok(())
    }

    /// Waits for a change; gives the time at which it was told.
    pub fn changed(&self, timeout: Duration) -> Result<Option<u64>> {
        let end = Instant::now() + timeout;
        loop {
            match self.connection.poll_for_event()? {
                Some(Event::DamageNotify(_)) => {
                    let at_us = now_us();
                    // From here on the next change is told.
                    self.connection.damage_subtract(self.damage, x11rb::NONE, x11rb::NONE)?;
                    self.connection.flush()?;
                    return Ok(Some(at_us));
                }
                Some(_) => {}
                None => {
                    let left = end.saturating_duration_since(Instant::now());
                    if !self.readable(left)? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    fn readable(&self, timeout: Duration) -> Result<bool> {
        let mut fds = [PollFd::new(self.connection.stream(), PollFlags::IN)];
        let timeout = Timespec::try_from(timeout).context("a short time")?;
        match poll(&mut fds, Some(&timeout)) {
            Err(rustix::io::Errno::INTR) => Ok(true),
            ready => Ok(ready? > 0),
        }
    }

    /// Waits until a sight is there. Gives the time at which the change was told
    /// that brought it; where more changed while that was looked at, the time of
    /// the look.
    pub fn wait_for(&self, sight: &Sight, timeout: Duration) -> Result<u64> {
        let end = Instant::now() + timeout;
        let mut told = None;
        loop {
            if self.shows(sight)? {
                let read_us = now_us();
                // Nothing changed since it was told: so it was all there then.
                let more = self.changed(Duration::ZERO)?;
                if self.shows_whole(sight)? {
                    return Ok(if more.is_none() { told.unwrap_or(read_us) } else { read_us });
                }
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("waited {} s in vain for what is to be seen", timeout.as_secs_f32());
            }
            told = self.changed(left)?;
        }
    }

    /// Waits until nothing changes any more.
    pub fn wait_rest(&self) -> Result<()> {
        let start = Instant::now();
        while self.changed(REST)?.is_some() {
            ensure!(start.elapsed() < REST_WITHIN, "the screen does not come to rest");
        }
        Ok(())
    }

    /// Notes when the screen changes, until told to stop.
    pub fn note_changes(&self, stop: &AtomicBool) -> Result<Vec<u64>> {
        let mut changes_us = Vec::new();
        while !stop.load(Ordering::SeqCst) {
            changes_us.extend(self.changed(Duration::from_millis(50))?);
        }
        Ok(changes_us)
    }

    /// True if the parts of a sight are there. The last ones are looked at
    /// first, so that little is read of a picture that is not finished.
    pub fn shows(&self, sight: &Sight) -> Result<bool> {
        let (first, last) = sight.parts.split_at(sight.parts.len() - 1);
        Ok(self.shows_parts(last)? && self.shows_parts(first)?)
    }

    fn shows_parts(&self, parts: &[Part]) -> Result<bool> {
        let mut asked = Vec::new();
        for part in parts {
            let ((x, y), (width, height)) = (part.place_px, part.size_px);
            let format = ImageFormat::Z_PIXMAP;
            asked.push(self.connection.get_image(format, self.root, x, y, width, height, !0)?);
        }
        let mut shown = true;
        for (part, asked) in parts.iter().zip(asked) {
            let data = asked.reply().context("GetImage")?.data;
            let mut pixels = data.chunks_exact(4).zip(&part.pixels);
            shown &= pixels.all(|(are, wanted)| are[..3] == wanted[..3]);
        }
        Ok(shown)
    }

    fn shows_whole(&self, sight: &Sight) -> Result<bool> {
        match &sight.whole {
            None => Ok(true),
            Some(wanted) => Ok(self.picture()? == *wanted),
        }
    }

    /// All that is to be seen now.
    pub fn picture(&self) -> Result<Picture> {
        Picture::of(&self.connection, self.root, self.size_px.0, self.size_px.1)
    }
}

/// How many pictures were shown, of the times at which changes were told: what
/// is drawn in parts is one picture.
pub fn pictures(changes_us: &[u64]) -> usize {
    let (mut count, mut began_us, mut last_us) = (0, 0, 0);
    for &at_us in changes_us {
        if count == 0 || at_us - last_us > SAME_PICTURE_US || at_us - began_us > PICTURE_US_MAX {
            count += 1;
            began_us = at_us;
        }
        last_us = at_us;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_in_parts_is_one_picture() {
        assert_eq!(pictures(&[]), 0);
        assert_eq!(pictures(&[5]), 1);
        assert_eq!(pictures(&[10_000, 10_500, 12_400, 30_000, 30_001]), 2);
        // A stream of parts without an end is not one picture for ever.
        let stream: Vec<u64> = (0..100).map(|part| part * 1_000).collect();
        assert_eq!(pictures(&stream), 10);
    }

    #[test]
    fn a_sight_has_parts_of_all_of_the_picture() {
        let sight = Sight::color(0x0001_0203, (1280, 720));
        assert_eq!(sight.parts.len(), 21);
        assert_eq!(sight.parts[20].place_px, (1279, 0));
        assert!(sight.parts.iter().all(|part| part.pixels == vec![[3, 2, 1, 0]; 720]));
        let picture = Picture { width_px: 8, height_px: 13, pixels: vec![[9; 4]; 8 * 13] };
        let cell = Sight::part(&picture, (12, 26), (6, 13));
        assert_eq!((cell.parts[0].place_px, cell.parts[0].pixels.len()), ((12, 26), 78));
    }
}
