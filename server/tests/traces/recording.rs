//! Recording: a real X server, a real program on it, and its screen captured as
//! a worker captures it.

use crate::programs::{GO, PROGRAMS, Program, Typist};
use crate::trace::{self, Frame, Part, Trace};
use afterglow_server::desktop::capture::Capturer;
use afterglow_server::display::Screen;
use afterglow_server::keeper::x_server;
use afterglow_wire::command::Rect;
use afterglow_wire::framebuffer::PIXEL_BYTES;
use afterglow_wire::ids::Size;
use rustix::event::{EventfdFlags, eventfd};
use std::io::{BufRead as _, BufReader};
use std::os::fd::AsFd as _;
use std::process::Stdio;
use std::time::Instant;

/// Records the programs that are wanted, and writes their traces.
pub fn record(is_wanted: impl Fn(&str) -> bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    for program in PROGRAMS.iter().filter(|program| is_wanted(program.name)) {
        let trace = runtime.block_on(trace_of(program));
        let file = trace.encode();
        assert!(Trace::decode(&file) == trace, "{}: the file holds another trace", program.name);
        println!("{}: {} frames, {} bytes", program.name, trace.frames.len(), file.len());
        let path = trace::path(program.name);
        std::fs::write(&path, file).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

async fn trace_of(program: &Program) -> Trace {
    let dir = tempfile::tempdir().expect("a directory");
    let (width_px, height_px) = program.size_px;
    let size = Size::new(width_px, height_px).expect("a size that a screen may have");
    let (mut server, _, starting) = x_server::spawn(dir.path(), size).expect("Xvfb");
    let display = starting.ready().await.expect("Xvfb is ready");
    let connect = || display.connect().expect("a connection");
    let capturer = Capturer::new(connect(), size).expect("a screen to capture");
    let typist = Typist::new(connect(), program.keys);
    let mut command = (program.command)(dir.path());
    command
        .env("DISPLAY", display.name())
        .env("XAUTHORITY", &display.authority_file)
        .env("HOME", dir.path())
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut drawing = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    if program.waits {
        let mut said = String::new();
        let stdout = drawing.stdout.as_mut().expect("a pipe");
        BufReader::new(stdout).read_line(&mut said).expect("a line");
        assert_eq!(said, "ready\n", "{}", program.name);
        std::fs::write(dir.path().join(GO), "").expect("a file");
    }
    let frames = frames(capturer, program, typist);
    // It may have ended by itself.
    let _ = drawing.kill();
    drawing.wait().expect("it is gone");
    x_server::end(&mut server).await;
    Trace { size, frames }
}

/// What is to be seen until enough of it is.
fn frames(mut capturer: Capturer, program: &Program, mut typist: Typist) -> Vec<Frame> {
    // Nobody wakes us but the X server, and the time.
    let never = eventfd(0, EventfdFlags::CLOEXEC).expect("a descriptor");
    let began = Instant::now();
    let (mut frames, mut due_ms) = (Vec::new(), 0);
    loop {
        capturer.take_events().expect("an X server that lives");
        let now_ms = began.elapsed().as_millis() as u64;
        if now_ms >= program.lasts_ms || frames.len() == program.frames_max {
            return frames;
        }
        typist.type_until(now_ms);
        if capturer.is_damaged() && now_ms >= due_ms {
            let everything = frames.is_empty();
            let taken = capturer.capture(everything, take).expect("an X server that lives");
            let parts = taken.expect("a screen that keeps its size");
            if !parts.is_empty() {
                frames.push(Frame { at_ms: now_ms, parts });
            }
            due_ms = now_ms + program.every_ms;
            continue;
        }
        let frame_at_ms = if capturer.is_damaged() { due_ms } else { program.lasts_ms };
        let key_at_ms = typist.next_at_ms().unwrap_or(program.lasts_ms);
        let wait_ms = frame_at_ms.min(key_at_ms).min(program.lasts_ms).saturating_sub(now_ms);
        capturer.wait(never.as_fd(), Some(wait_ms as u32)).expect("an X server that lives");
    }
}

fn take(rects: &[Rect], screen: &dyn Screen) -> Vec<Part> {
    let part = |rect: &Rect| {
        let mut pixels = vec![0; rect.pixels() as usize * PIXEL_BYTES];
        screen.read(rect, &mut pixels);
        pixels.chunks_exact_mut(PIXEL_BYTES).for_each(|pixel| pixel[3] = 0);
        Part { rect: *rect, pixels }
    };
    rects.iter().map(part).collect()
}
