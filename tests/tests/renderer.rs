//! Whoever draws, the processor or a graphics adapter: the window shows the
//! same pixels.

use afterglow_tests::dtu::{Dtu, DtuOptions};
use afterglow_tests::picture::Picture;
use afterglow_tests::screen::Screen;
use afterglow_tests::site::{Site, TERMINAL};
use afterglow_tests::wait;
use anyhow::{Result, ensure};
use std::io::Write as _;

/// Colours and letters over all of the screen; what is typed is added.
const COLORFUL: &[&str] = &[
    "xterm",
    "-geometry",
    "100x35+0+0",
    "-bg",
    "#103050",
    "-fg",
    "#f0e0c0",
    "-e",
    "sh",
    "-c",
    "for c in 1 2 3 4 5 6 7; do printf '\\033[3%smcolour %s \\033[4%sm  \\033[0m\\n' $c $c $c; done; exec cat",
];

/// Letters of the on-screen display are drawn in floats, from wherever their
/// font's texture has them: what a DTU wrote before decides.
const LETTERS_CHANNEL_MAX: u8 = 3;

/// Two DTUs beside each other, each with a session of its own; both sessions
/// show the same.
struct Pair<'a> {
    screen: &'a Screen,
    dtus: [Dtu<'a>; 2],
}

impl<'a> Pair<'a> {
    fn open(site: &Site, screen: &'a Screen, scale: &'static str) -> Result<Self> {
        let open = |renderer, place_x_px| {
            let name = format!("{renderer}-{}", scale.replace(':', "-"));
            let options = DtuOptions::new(&name, &format!("soft:{renderer}"))
                .renderer(renderer)
                .scale(scale)
                .size(600, 440)
                .place(place_x_px, 0);
            site.dtu(screen, options)
        };
        let dtus = [open("cpu", 0)?, open("wgpu", 650)?];
        for (dtu, renderer) in dtus.iter().zip(["cpu", "wgpu"]) {
            let told = dtu.events.wait("renderer")?;
            ensure!(told.text("renderer") == Some(renderer), "{told:?}");
            ensure!(told.fields["software"] == true, "{told:?}");
            dtu.wait_first_frame(0)?;
            // Where the pointer is decides how a terminal draws its cursor.
            dtu.focus()?;
        }
        Ok(Pair { screen, dtus })
    }

    /// Waits until both show the same, which is none of these.
    fn wait_same(&self, what: &str, others: &[&Picture]) -> Result<Picture> {
        self.wait_like(what, others, 0)
    }

    /// Likewise, with the on-screen display's letters in it.
    fn wait_same_words(&self, what: &str, others: &[&Picture]) -> Result<Picture> {
        self.wait_like(what, others, LETTERS_CHANNEL_MAX)
    }

    fn wait_like(&self, what: &str, others: &[&Picture], channel_max: u8) -> Result<Picture> {
        let mut last = None;
        let mut best = None;
        let like = |one: &Picture, other: &Picture| {
            one.worst_difference(other).filter(|worst| *worst <= channel_max).is_some()
        };
        let same = wait::until(&format!("both windows show {what}"), wait::PATIENCE, || {
            let [one, other] = [self.dtus[0].picture()?, self.dtus[1].picture()?];
            if like(&one, &other) && !others.iter().any(|before| like(&one, before)) {
                return Ok(Some(one));
            }
            best = best.into_iter().chain(one.worst_difference(&other)).min();
            last = Some([one, other]);
            Ok(None)
        });
        same.or_else(|error| {
            for (dtu, picture) in self.dtus.iter().zip(last.iter().flatten()) {
                picture.save(&dtu.events.path().with_file_name("last.png"))?;
            }
            Err(error.context(format!("at best they differed by {best:?}")))
        })
    }

    fn marks(&self) -> Result<[usize; 2]> {
        Ok([self.dtus[0].events.mark()?, self.dtus[1].events.mark()?])
    }

    /// Waits until both sessions have drawn all that they are to draw.
    fn wait_at_rest(&self) -> Result<()> {
        for (dtu, mark) in self.dtus.iter().zip(self.marks()?) {
            ensure!(dtu.wait_compared(mark)? == 0, "the picture is not the session's");
        }
        Ok(())
    }

    fn each(&self, mut act: impl FnMut(&Dtu<'a>) -> Result<()>) -> Result<()> {
        self.dtus.iter().try_for_each(&mut act)
    }

    fn resize(&self, width_px: u32, height_px: u32) -> Result<()> {
        self.each(|dtu| self.screen.resize_window(dtu.window(), width_px, height_px))
    }
}

#[test]
fn the_processor_shows_the_same_as_an_adapter_whatever_is_up() -> Result<()> {
    let mut site = Site::start("renderer", &["mud"], COLORFUL)?;
    let screen = site.screen(1300, 600)?;
    let pair = Pair::open(&site, &screen, "fit")?;
    pair.each(|dtu| dtu.wait_shows("colour 7").map(drop))?;
    let plain = pair.wait_same("the session", &[])?;
    ensure!(pair.dtus[0].own_screenshot()? == plain.to_rgb(), "the screenshot differs");
    pair.each(|dtu| dtu.type_line("typed"))?;
    pair.each(|dtu| dtu.wait_shows("typed").map(drop))?;
    let typed = pair.wait_same("what was typed", &[&plain])?;

    // A badge over the picture, which changes beneath it.
    site.hosts[0].kill_server()?;
    let badge = pair.wait_same_words("a badge", &[&typed])?;
    pair.each(|dtu| dtu.type_line("a badge is up"))?;
    pair.each(|dtu| dtu.wait_shows("a badge is up").map(drop))?;
    pair.wait_same_words("a line beneath the badge", &[&typed, &badge])?;
    pair.resize(501, 333)?;
    let small = pair.wait_same_words("a smaller picture", &[])?;
    ensure!((small.width_px, small.height_px) == (501, 333));
    pair.resize(600, 440)?;
    site.hosts[0].start_server()?;
    pair.each(|dtu| dtu.wait_shows("a badge is up").map(drop))?;
    pair.wait_at_rest()?;

    // A dimmed picture and a panel.
    let marks = pair.marks()?;
    site.hosts[0].stall()?;
    for (dtu, mark) in pair.dtus.iter().zip(marks) {
        dtu.wait_panel(mark, "ServerSilent")?;
    }
    pair.wait_same_words("a dimmed picture and a panel", &[])?;
    site.hosts[0].go_on()?;
    pair.each(|dtu| dtu.wait_shows("a badge is up").map(drop))?;
    let again = pair.wait_same("the session again", &[])?;

    // No picture at all.
    pair.each(Dtu::toggle_card)?;
    let blank = pair.wait_same_words("the way in", &[&again])?;
    pair.each(Dtu::toggle_card)?;
    pair.each(|dtu| dtu.wait_shows("a badge is up").map(drop))?;
    pair.wait_same("the session after all", &[&blank])?;
    site.passed()
}

/// Lets sessions be no larger than this.
fn limit_size(site: &Site, size: &str) -> Result<()> {
    let mut config = std::fs::OpenOptions::new().append(true).open(site.hosts[0].config())?;
    Ok(writeln!(config, "size_max = {size:?}")?)
}

#[test]
fn a_picture_that_is_smaller_than_the_window_is_scaled_by_both_alike() -> Result<()> {
    let mut site = Site::prepare("renderer-scaled", &["mud"], COLORFUL)?;
    limit_size(&site, "230x170")?;
    site.hosts[0].start_server()?;
    let screen = site.screen(1300, 600)?;
    let mut seen: Vec<Picture> = Vec::new();
    for scale in ["fit", "1:1", "integer"] {
        let mut pair = Pair::open(&site, &screen, scale)?;
        let others: Vec<&Picture> = seen.iter().collect();
        let picture = pair.wait_same("a scaled picture", &others)?;
        ensure!(!picture.is_of_one_color());
        pair.resize(643, 451)?;
        let resized = pair.wait_same("a scaled picture in a larger window", &[])?;
        ensure!((resized.width_px, resized.height_px) == (643, 451));
        seen.push(picture);
        pair.dtus.iter_mut().try_for_each(Dtu::quit)?;
    }
    site.passed()
}

#[test]
fn the_pointer_points_at_what_is_beneath_it_in_a_picture_that_is_not_scaled() -> Result<()> {
    let mut site = Site::prepare("renderer-pointer", &["mud"], TERMINAL)?;
    limit_size(&site, "400x300")?;
    site.hosts[0].start_server()?;
    let screen = site.screen(800, 600)?;
    let options = DtuOptions::new("desk1", "soft:ada").renderer("cpu").scale("1:1");
    let dtu = site.dtu(&screen, options)?;
    dtu.wait_first_frame(0)?;
    let session = site.hosts[0].only_session()?;
    wait::until_true("the session is in the middle of the window", || {
        let shown = session.picture()?;
        let window = dtu.picture()?;
        let in_middle = |x: usize, y: usize| window.at(120 + x, 90 + y) == shown.at(x, y);
        Ok((0..300).all(|y| (0..400).all(|x| in_middle(x, y)))
            && window.at(119, 200) == [0; 4]
            && window.at(520, 200) == [0; 4])
    })?;
    let root = x11rb::connection::Connection::setup(session.connection()).roots[0].root;
    for (at, expected) in [((120 + 37, 90 + 81), (37, 81)), ((3, 470), (0, 299))] {
        screen.point_at(dtu.window(), at.0, at.1)?;
        wait::until_true("the pointer is there", || {
            use x11rb::protocol::xproto::ConnectionExt as _;
            let pointer = session.connection().query_pointer(root)?.reply()?;
            Ok((pointer.root_x, pointer.root_y) == expected)
        })?;
    }
    site.passed()
}
