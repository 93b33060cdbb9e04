//! What is captured of a real X server is what it has, by both ways.

use afterglow_server::desktop::Display;
use afterglow_server::desktop::capture::Capturer;
use afterglow_server::display::Screen;
use afterglow_server::keeper::x_server;
use afterglow_wire::command::Rect;
use afterglow_wire::framebuffer::{Framebuffer, PIXEL_BYTES};
use afterglow_wire::ids::Size;
use std::path::Path;
use tokio::process::Child;
use x11rb::connection::Connection as _;
use x11rb::protocol::xproto::{
    ChangeGCAux, ConnectionExt as _, CreateGCAux, Gcontext, ImageFormat, Rectangle, SubwindowMode,
    Window,
};
use x11rb::rust_connection::RustConnection;

/// An X server, and a program that draws on it.
struct Drawn {
    server: Child,
    display: Display,
    program: RustConnection,
    root: Window,
    context: Gcontext,
}

impl Drawn {
    async fn start(dir: &Path, size_max: Size) -> Drawn {
        let (server, _, starting) = x_server::spawn(dir, size_max).unwrap();
        let display = starting.ready().await.unwrap();
        let program = display.connect().unwrap();
        let root = program.setup().roots[0].root;
        let context = program.generate_id().unwrap();
        let aux = CreateGCAux::new().subwindow_mode(SubwindowMode::INCLUDE_INFERIORS);
        program.create_gc(context, root, &aux).unwrap();
        Drawn { server, display, program, root, context }
    }

    /// Draws something that differs from all before, also beneath the pointer.
    fn draw(&self, seed: u32, size: Size) {
        let side = |length: u16, of: u32| (seed * of % u32::from(length)) as u16;
        for number in 0..20 {
            let color = (seed * 7919 + number).wrapping_mul(2_654_435_761);
            let aux = ChangeGCAux::new().foreground(color & 0xff_ffff);
            self.program.change_gc(self.context, &aux).unwrap();
            let rectangle = Rectangle {
                x: side(size.width_px(), 31 + number) as i16,
                y: side(size.height_px(), 17 + number * 3) as i16,
                width: 1 + side(100, 3 + number),
                height: 1 + side(90, 5 + number),
            };
            self.program.poly_fill_rectangle(self.root, self.context, &[rectangle]).unwrap();
        }
        let (x, y) = (size.width_px() as i16 / 2, size.height_px() as i16 / 2);
        self.program.warp_pointer(x11rb::NONE, self.root, 0, 0, 0, 0, x, y).unwrap();
        self.program.get_input_focus().unwrap().reply().unwrap();
    }

    /// What the X server says that the screen has, without the fourth bytes.
    fn image(&self, size: Size) -> Framebuffer {
        let (width, height) = (size.width_px(), size.height_px());
        let format = ImageFormat::Z_PIXMAP;
        let image = self.program.get_image(format, self.root, 0, 0, width, height, !0).unwrap();
        let mut picture = Framebuffer::new(size);
        picture.set(&Rect::whole(size), &image.reply().unwrap().data);
        blank(&mut picture);
        picture
    }
}

impl Drop for Drawn {
    fn drop(&mut self) {
        // Asked, so that it takes its socket with it.
        let pid = self.server.id().and_then(|pid| rustix::process::Pid::from_raw(pid as i32));
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
    }
}

fn blank(picture: &mut Framebuffer) {
    picture.pixels_mut().chunks_exact_mut(PIXEL_BYTES).for_each(|pixel| pixel[3] = 0);
}

/// Takes what was captured over into a picture.
fn take(picture: &mut Framebuffer, parts: &[Rect], screen: &dyn Screen) {
    for part in parts {
        let mut pixels = vec![0; part.pixels() as usize * PIXEL_BYTES];
        screen.read(part, &mut pixels);
        picture.set(part, &pixels);
    }
    blank(picture);
}

async fn captures_all(room: Size, live: bool) {
    let dir = tempfile::tempdir().unwrap();
    let size_max = Size::new(700, 500).unwrap();
    let drawn = Drawn::start(dir.path(), size_max).await;
    let mut capturer = Capturer::new(drawn.display.connect().unwrap(), room).unwrap();
    assert_eq!(capturer.is_live(), live);
    let mut seed = 1;
    for (width_px, height_px) in [(700, 500), (333, 201), (700, 77), (16, 16), (699, 499)] {
        let size = Size::new(width_px, height_px).unwrap();
        capturer.resize(size).unwrap();
        let mut picture = Framebuffer::new(size);
        for round in 0..4 {
            drawn.draw(seed, size);
            seed += 1;
            capturer.take_events().unwrap();
            assert!(capturer.is_damaged(), "{size} {round}");
            let all = round == 0;
            let taken = capturer.capture(all, |parts, screen| take(&mut picture, parts, screen));
            assert!(taken.unwrap().is_some(), "{size} {round}");
            assert!(picture == drawn.image(size), "{size} {round}: another picture");
        }
    }
}

#[tokio::test]
async fn pixels_read_where_the_x_server_has_them_are_those_of_its_screen() {
    captures_all(Size::new(700, 500).unwrap(), true).await;
}

#[tokio::test]
async fn pixels_that_the_x_server_copies_are_those_of_its_screen() {
    // Its own framebuffer has less room than this, and is not taken for it.
    captures_all(Size::new(1000, 500).unwrap(), false).await;
}
