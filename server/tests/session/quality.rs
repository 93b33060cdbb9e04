//! What plays like a video is sent inexactly where that is wanted, and is
//! exact at rest all the same.

use crate::dtu::{Dtu, Shown};
use crate::harness::{Options, Session};
use crate::showing::compare;
use afterglow_wire::quality::Quality;
use x11rb::connection::Connection as _;
use x11rb::protocol::xproto::{ConnectionExt as _, CreateGCAux, CreateWindowAux, ImageFormat};
use x11rb::protocol::xproto::{Gcontext, Window, WindowClass};
use x11rb::rust_connection::RustConnection;

const EMPTY: &str = "echo $DISPLAY > display; exec sleep 1000";
/// As large as one request may carry.
const VIDEO_PX: (u16, u16) = (256, 224);

/// A window in the session in which a video plays.
struct Video {
    x: RustConnection,
    window: Window,
    gc: Gcontext,
    frames: u32,
}

impl Video {
    async fn open(session: &Session) -> Video {
        let x = session.x_connection(&session.wait_for_file("display").await);
        let root = x.setup().roots[0].root;
        let (window, gc) = (x.generate_id().unwrap(), x.generate_id().unwrap());
        let look = CreateWindowAux::new().override_redirect(1);
        let (width_px, height_px) = VIDEO_PX;
        let class = WindowClass::INPUT_OUTPUT;
        x.create_window(24, window, root, 40, 30, width_px, height_px, 0, class, 0, &look).unwrap();
        x.create_gc(gc, window, &CreateGCAux::new()).unwrap();
        x.map_window(window).unwrap().check().unwrap();
        Video { x, window, gc, frames: 0 }
    }

    /// Shows the next picture, and follows until a frame of it came.
    async fn play(&mut self, shown: &mut Shown) {
        self.frames += 1;
        let (width_px, height_px) = VIDEO_PX;
        let pixels: Vec<u8> = (0..u32::from(width_px) * u32::from(height_px))
            .flat_map(|at| {
                let grain = (at ^ self.frames << 20).wrapping_mul(0x9e37_79b1) >> 29;
                let shade = (at % 256 + at / 512 + 3 * self.frames) % 200 + grain;
                [shade as u8, (shade / 2 + grain) as u8, (255 - shade) as u8, 0]
            })
            .collect();
        let (format, window) = (ImageFormat::Z_PIXMAP, self.window);
        let put =
            self.x.put_image(format, window, self.gc, width_px, height_px, 0, 0, 0, 24, &pixels);
        put.unwrap().check().unwrap();
        let before = shown.frames;
        while shown.frames == before {
            assert_eq!(shown.step().await, None);
        }
    }
}

/// A session of this quality, and a DTU that shows it and was told so.
async fn start(quality: Quality) -> (Session, Shown, Video) {
    let session = Session::start(Options { quality, ..Options::shell(EMPTY) });
    let mut shown = session.attach(&Dtu::new("one")).await;
    let video = Video::open(&session).await;
    shown.until_equal(&session).await;
    assert_eq!(shown.quality, Some(quality));
    (session, shown, video)
}

#[tokio::test]
async fn with_auto_a_video_is_sent_inexactly_and_is_exact_at_rest() {
    let (session, mut shown, mut video) = start(Quality::Auto).await;
    for _ in 0..20 {
        video.play(&mut shown).await;
    }
    assert!(shown.inexact > 0);
    shown.until_equal(&session).await;
    assert!(compare(&mut shown).await.1.is_empty());
}

#[tokio::test]
async fn the_user_switches_and_a_later_attachment_has_it_too() {
    let (session, mut shown, mut video) = start(Quality::Lossless).await;
    for _ in 0..12 {
        video.play(&mut shown).await;
    }
    assert_eq!(shown.inexact, 0, "nothing is inexact that is lossless");
    for quality in [Quality::Auto, Quality::Lossless, Quality::Auto] {
        shown.link.writer.send(quality).await.unwrap();
        while shown.quality != Some(quality) {
            assert_eq!(shown.step().await, None);
        }
        // A frame of before may still have been under way.
        shown.until_equal(&session).await;
        shown.inexact = 0;
        for _ in 0..20 {
            video.play(&mut shown).await;
        }
        assert_eq!(shown.inexact > 0, quality == Quality::Auto);
    }
    let mut again = session.attach(&Dtu::new("two")).await;
    again.until_equal(&session).await;
    assert_eq!(again.quality, Some(Quality::Auto));
}
