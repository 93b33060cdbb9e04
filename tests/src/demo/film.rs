//! The animated picture: what a window showed, with a line below that says
//! what was done.

use crate::glyphs::Word;
use crate::picture::Picture;
use crate::screen::Screen;
use anyhow::{Context, Result, ensure};
use image::codecs::gif::{GifEncoder, Repeat};
use image::{Delay, Frame, RgbaImage};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use x11rb::protocol::xproto::Window;
use x11rb::rust_connection::RustConnection;

const LOOK_EVERY: Duration = Duration::from_millis(120);
/// A picture that stands longer is cut to this.
const FRAME_MS_MAX: u64 = 1400;
/// The last picture stands this long before the film begins again.
const LAST_FRAME_MS: u64 = 3000;
const CAPTION_HEIGHT_PX: usize = 27;
const CAPTION_PAPER: [u8; 4] = [0x30, 0x20, 0x18, 0];
const CAPTION_INK: [u8; 4] = [0xd0, 0xe8, 0xff, 0];
/// The largest file that belongs on a project's front page.
const BYTES_MAX: usize = 2_000_000;

/// One picture and when it was first seen.
struct Shot {
    at: Instant,
    picture: Picture,
}

/// A window that is being filmed.
pub struct Film {
    captions: Sender<String>,
    camera: JoinHandle<Result<Vec<Shot>>>,
}

impl Film {
    /// Starts to film a window of this size.
    pub fn start(screen: &Screen, window: Window, caption: &str) -> Result<Self> {
        let connection = screen.connect_again()?;
        let size = screen.window_size(window)?;
        let (captions, heard) = channel();
        let caption = caption.to_owned();
        let camera = std::thread::spawn(move || film(&connection, window, size, caption, &heard));
        Ok(Film { captions, camera })
    }

    /// From now on the line below says this.
    pub fn caption(&self, text: &str) {
        // A camera that failed says so when the film is finished.
        let _ = self.captions.send(text.to_owned());
    }

    /// Ends the film and writes it; gives its length in bytes.
    pub fn finish(self, path: &Path) -> Result<usize> {
        drop(self.captions);
        let shots = self.camera.join().map_err(|_| anyhow::anyhow!("the camera broke"))??;
        let end = Instant::now();
        // Every second picture, every third…: until it is small enough.
        for every in 1..=4 {
            let gif = encode(&shots, end, every)?;
            if gif.len() < BYTES_MAX {
                std::fs::write(path, &gif).context("the animated picture")?;
                return Ok(gif.len());
            }
        }
        anyhow::bail!("the animated picture does not fit into {BYTES_MAX} bytes")
    }
}

fn film(
    connection: &RustConnection,
    window: Window,
    (width_px, height_px): (u16, u16),
    mut caption: String,
    heard: &Receiver<String>,
) -> Result<Vec<Shot>> {
    let mut shots: Vec<Shot> = Vec::new();
    loop {
        let window = Picture::of(connection, window, width_px, height_px)?;
        let picture = captioned(connection, window, &caption)?;
        if shots.last().is_none_or(|last| last.picture != picture) {
            shots.push(Shot { at: Instant::now(), picture });
        }
        match heard.recv_timeout(LOOK_EVERY) {
            Ok(text) => caption = text,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(shots),
        }
    }
}

fn captioned(connection: &RustConnection, window: Picture, text: &str) -> Result<Picture> {
    let mut picture = window;
    let top = picture.height_px;
    picture.height_px += CAPTION_HEIGHT_PX;
    picture.pixels.resize(picture.width_px * picture.height_px, CAPTION_PAPER);
    let word = Word::drawn(connection, super::FONT, text)?;
    ensure!(word.width_px + 12 <= picture.width_px, "the caption {text:?} is too long");
    for (x, y, set) in word.dots() {
        if set {
            let at = (top + 6 + y) * picture.width_px + 8 + x;
            picture.pixels[at] = CAPTION_INK;
        }
    }
    Ok(picture)
}

fn encode(shots: &[Shot], end: Instant, every: usize) -> Result<Vec<u8>> {
    let mut gif = Vec::new();
    let mut encoder = GifEncoder::new_with_speed(&mut gif, 20);
    encoder.set_repeat(Repeat::Infinite)?;
    let last = shots.len().saturating_sub(1);
    let kept: Vec<&Shot> = shots
        .iter()
        .enumerate()
        .filter(|(number, _)| number % every == 0 || *number == last)
        .map(|(_, shot)| shot)
        .collect();
    for (number, shot) in kept.iter().enumerate() {
        let next = kept.get(number + 1).map_or(end, |next| next.at);
        let stood_ms = (next - shot.at).as_millis() as u64;
        let is_last = number + 1 == kept.len();
        let ms = if is_last { LAST_FRAME_MS } else { stood_ms.clamp(20, FRAME_MS_MAX) };
        let delay = Delay::from_saturating_duration(Duration::from_millis(ms));
        encoder.encode_frame(Frame::from_parts(rgba(&shot.picture), 0, 0, delay))?;
    }
    drop(encoder);
    Ok(gif)
}

fn rgba(picture: &Picture) -> RgbaImage {
    RgbaImage::from_fn(picture.width_px as u32, picture.height_px as u32, |x, y| {
        let [blue, green, red, _] = picture.at(x as usize, y as usize);
        image::Rgba([red, green, blue, 0xff])
    })
}
