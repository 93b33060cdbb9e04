//! What a session may not say: the DTU refuses it, says so, and has a whole
//! picture of the session again.

use afterglow_tests::dtu::{Dtu, DtuOptions};
use afterglow_tests::rogue::{Rogue, frame};
use afterglow_tests::scratch::Scratch;
use afterglow_tests::screen::Screen;
use afterglow_tests::wait;
use afterglow_wire::codec::{Message as _, Wire as _};
use afterglow_wire::coding::planes::{Chroma, Planes};
use afterglow_wire::command::{Coding, Command, Rect};
use afterglow_wire::display::FromSession;
use afterglow_wire::ids::Size;
use afterglow_wire::truth::Truth;
use anyhow::{Context, Result, ensure};
use bytes::BytesMut;

/// The picture's size: the DTU's window.
const WIDTH_PX: u16 = 320;
const HEIGHT_PX: u16 = 240;
/// All of the pictures, before and after.
const BEFORE: [u8; 4] = [200, 40, 10, 0];
const AFTER: [u8; 4] = [10, 160, 20, 0];
/// The most memory that anything here may cost a DTU.
const MEMORY_GROWTH_KB_MAX: u64 = 64 * 1024;

/// What is wrong, its bytes, and a word of what the DTU says about it.
struct Bad {
    what: &'static str,
    bytes: Vec<u8>,
    says: &'static str,
}

fn bad(what: &'static str, command: Command, says: &'static str) -> Bad {
    Bad { what, bytes: frame(2, vec![command]), says }
}

/// A frame with one command that is written by hand.
fn by_hand(command: &[u8]) -> Vec<u8> {
    let mut bytes = frame(2, vec![Command::Unknown(0)]);
    // The message ends with the kind of that command.
    bytes.pop();
    bytes.extend(command);
    let len = (bytes.len() - 4) as u32;
    bytes[..4].copy_from_slice(&len.to_le_bytes());
    bytes
}

fn put(command: &Command) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    command.put(&mut bytes);
    bytes.to_vec()
}

fn set(rect: Rect, coding: Coding, payload: Vec<u8>) -> Command {
    Command::Set { rect, coding, payload: payload.into() }
}

fn bits(rect: Rect, payload: Vec<u8>) -> Command {
    let (foreground, background) = ([255; 4], None);
    Command::Bitmap { rect, foreground, background, coding: Coding::Raw, payload: payload.into() }
}

fn samples(rect: Rect, side_px: u16, payload: Vec<u8>) -> Command {
    let planes = Planes { chroma: Chroma::Quarter, width_px: side_px, height_px: side_px };
    Command::Cscs { rect, planes, coding: Coding::Raw, payload: payload.into() }
}

/// A few kilobytes that are a gigabyte of zeros (RFC 8878: one frame of blocks
/// that repeat one byte).
fn bomb() -> Vec<u8> {
    const BLOCK_BYTES: u32 = 128 * 1024;
    let header = [0x28, 0xb5, 0x2f, 0xfd, 0, 7 << 3];
    let block = |last: u32| (BLOCK_BYTES << 3 | 1 << 1 | last).to_le_bytes();
    let blocks = (1..=8192).map(|number| block(u32::from(number == 8192)));
    header.into_iter().chain(blocks.flat_map(|[a, b, c, _]| [a, b, c, 0])).collect()
}

fn outside() -> Vec<Bad> {
    let whole = Rect::new(0, 0, WIDTH_PX, HEIGHT_PX);
    let corner = Rect::new(WIDTH_PX - 8, HEIGHT_PX - 8, 16, 16);
    let far = Rect::new(u16::MAX, u16::MAX, u16::MAX, u16::MAX);
    let inside = Rect::new(0, 0, 16, 16);
    let fill = |rect| Command::Fill { rect, color: [255; 4] };
    let copy = |rect, from_x_px, from_y_px| Command::Copy { rect, from_x_px, from_y_px };
    let outside = "reaches outside the framebuffer";
    vec![
        bad("a FILL over the edge", fill(corner), outside),
        bad("a FILL of the largest numbers", fill(far), outside),
        bad("a SET over the edge", set(corner, Coding::Raw, vec![0; 1024]), outside),
        bad("a BITMAP over the edge", bits(corner, vec![0; 32]), outside),
        bad("a CSCS over the edge", samples(corner, 2, vec![0; 6]), outside),
        bad("a COPY over the edge", copy(corner, 0, 0), outside),
        bad("a COPY from outside", copy(inside, WIDTH_PX - 8, 0), outside),
        bad("a COPY of everything, from beside it", copy(whole, 1, 0), outside),
        bad("a COPY from the largest numbers", copy(inside, u16::MAX, u16::MAX), outside),
    ]
}

fn sizes() -> Vec<Bad> {
    let none = Rect::new(0, 0, 0, 16);
    let fill = Command::Fill { rect: none, color: [0; 4] };
    let copy = Command::Copy { rect: none, from_x_px: 0, from_y_px: 0 };
    let far = Rect::new(0, 0, u16::MAX, u16::MAX);
    let size = put(&Command::Size(Size::new(16, 16).expect("within the limits")));
    let size = |number: u32| by_hand(&[&size[..1], &number.to_le_bytes()].concat());
    let no_value = "has no valid value";
    let by_hand = |what, bytes| Bad { what, bytes, says: no_value };
    vec![
        bad("a FILL of nothing", fill, no_value),
        bad("a COPY of nothing", copy, no_value),
        bad("a SET of nothing", set(none, Coding::Raw, vec![]), no_value),
        bad("a SET of 2³² pixels", set(far, Coding::Raw, vec![0; 4]), no_value),
        bad("a BITMAP of 2³² pixels", bits(far, vec![0; 4]), no_value),
        bad("a CSCS without samples", samples(Rect::new(0, 0, 8, 8), 0, vec![]), no_value),
        by_hand("a SIZE of 2³¹", size(1 << 31)),
        by_hand("a SIZE of nothing", size(0)),
        by_hand("a SIZE of 65535 × 65535", size(u32::MAX)),
    ]
}

fn payloads() -> Vec<Bad> {
    let rect = Rect::new(0, 0, 16, 16);
    let set = |coding, payload| set(rect, coding, payload);
    let wrong = "payload does not unpack to its pixels";
    let unknown = "is not known to this version";
    let mut too_long = put(&set(Coding::Raw, vec![]));
    let len = too_long.len();
    too_long[len - 4..].copy_from_slice(&(1u32 << 31).to_le_bytes());
    vec![
        bad("a SET that lacks a pixel", set(Coding::Raw, vec![0; 255 * 4]), wrong),
        bad("a SET with a byte too much", set(Coding::Raw, vec![0; 256 * 4 + 1]), wrong),
        bad("a BITMAP that lacks a row", bits(rect, vec![0; 30]), wrong),
        bad("a CSCS that lacks a sample", samples(rect, 2, vec![0; 5]), wrong),
        bad("a SET of zstd that is none", set(Coding::Zstd, vec![9; 64]), wrong),
        bad("a SET of a stream that is none", set(Coding::Stream, vec![9; 64]), wrong),
        bad("a SET of colours without any", set(Coding::Palette, vec![]), wrong),
        bad("a SET of predictions of nothing", set(Coding::Predicted, vec![]), wrong),
        bad("a decompression bomb", set(Coding::Zstd, bomb()), wrong),
        bad("a coding of the future", set(Coding::Unknown(77), vec![0; 4]), unknown),
        bad("a command of the future", Command::Unknown(99), unknown),
        Bad {
            what: "a payload of 2³¹ bytes", bytes: by_hand(&too_long), says: "above the limit"
        },
    ]
}

fn messages() -> Vec<Bad> {
    let size = Size::new(WIDTH_PX, HEIGHT_PX).expect("within the limits");
    let truth = Truth { frame: 7, size, blocks: [[0; 8]].into_iter().collect() };
    let truth = FromSession::from(truth).encode_framed().to_vec();
    let cut = [&5u32.to_le_bytes()[..], &frame(2, vec![])[4..9]].concat();
    let huge = u32::MAX.to_le_bytes().to_vec();
    vec![
        Bad { what: "a message of 2³² bytes", bytes: huge, says: "above the limit" },
        Bad { what: "a message that ends early", bytes: cut, says: "ends too early" },
        Bad { what: "a frame out of order", bytes: frame(9, vec![]), says: "out of order" },
        Bad { what: "the first frame again", bytes: frame(1, vec![]), says: "out of order" },
        Bad { what: "a truth of no frame", bytes: truth, says: "a frame that is not the last" },
    ]
}

/// A picture of one colour, from nothing.
fn whole(color: [u8; 4]) -> Vec<Command> {
    let size = Size::new(WIDTH_PX, HEIGHT_PX).expect("within the limits");
    vec![Command::Size(size), Command::Fill { rect: Rect::whole(size), color }]
}

/// The most memory that the DTU ever had.
fn memory_kb(dtu: &Dtu<'_>) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", dtu.process.pid()))?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).context("VmHWM")?;
    Ok(line.split_whitespace().nth(1).context("a number")?.parse()?)
}

/// Waits until the lower half of the window, which no word of the DTU's covers,
/// has this colour.
fn wait_color(dtu: &Dtu<'_>, color: [u8; 4]) -> Result<()> {
    wait::until_true(&format!("the window has the colour {color:?}"), || {
        let picture = dtu.picture()?;
        let lower = &picture.pixels[picture.pixels.len() / 2..];
        Ok(lower.iter().all(|pixel| *pixel == color))
    })
}

async fn refused_and_whole_again(rogue: &mut Rogue, dtu: &mut Dtu<'_>, bad: &Bad) -> Result<()> {
    let mut link = rogue.attached().await?;
    ensure!(link.size == Size::new(WIDTH_PX, HEIGHT_PX).context("a size")?);
    link.show(1, whole(BEFORE)).await?;
    wait_color(dtu, BEFORE)?;
    let (mark, before_kb) = (dtu.events.mark()?, memory_kb(dtu)?);
    link.send(&bad.bytes).await?;
    let reason = link.refused().await?;
    ensure!(!reason.is_empty(), "the link was closed without a reason");
    let says = |event: &afterglow_tests::events::Event| {
        event.text("text").is_some_and(|text| text.contains(bad.says))
    };
    dtu.events.wait_after(mark, "notice", says)?;
    let detached = dtu.events.wait_after(mark, "detached", says)?;
    let because = detached.text("reason").unwrap_or_default();
    ensure!(["protocol", "bad_frame"].contains(&because), "{detached:?}");

    let mut link = rogue.attached().await?;
    link.show(1, whole(AFTER)).await?;
    wait_color(dtu, AFTER)?;
    let grown_kb = memory_kb(dtu)?.saturating_sub(before_kb);
    ensure!(grown_kb < MEMORY_GROWTH_KB_MAX, "{grown_kb} kB more");
    dtu.check()
}

/// Says each of these to a DTU of its own: one that is refused again and again
/// waits longer each time.
async fn all_refused(test: &str, renderer: &'static str, all: Vec<Bad>) -> Result<()> {
    let scratch = Scratch::new(&format!("bad-session-{test}-{renderer}"))?;
    let screen = Screen::start(scratch.path(), 640, 480)?;
    for (number, bad) in all.iter().enumerate() {
        let mut rogue = Rogue::start()?;
        let options = DtuOptions::new(&format!("desk{number}"), "soft:ada")
            .renderer(renderer)
            .size(WIDTH_PX, HEIGHT_PX);
        let servers = [rogue.control_address()];
        let mut dtu = Dtu::open(&screen, scratch.path(), &servers, rogue.group(), options)?;
        let refused = refused_and_whole_again(&mut rogue, &mut dtu, bad).await;
        refused.with_context(|| format!("{}, with {renderer}", bad.what))?;
        dtu.quit()?;
    }
    scratch.passed()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_reaches_outside_is_refused() -> Result<()> {
    all_refused("outside", "cpu", outside()).await?;
    all_refused("outside", "wgpu", outside()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn sizes_that_cannot_be_are_refused() -> Result<()> {
    all_refused("sizes", "cpu", sizes()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_that_are_not_their_pixels_are_refused() -> Result<()> {
    all_refused("payloads", "cpu", payloads()).await?;
    all_refused("payloads", "wgpu", payloads()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_cannot_be_are_refused() -> Result<()> {
    all_refused("messages", "cpu", messages()).await
}
