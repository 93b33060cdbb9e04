//! The winit window: the user's input in, pictures out.
//!
//! It runs on the main thread, draws only when something changed, and never
//! waits for the network, the disk or the card reader.

mod compare;
mod cursor;
mod diagnosing;
mod display;
mod hands;
mod idle;
mod keys;
mod outbox;
mod pointer;
mod power;
pub mod present;
mod screenshot;
mod shown;

pub use display::Display;
pub use outbox::CHANNEL_MESSAGES;

use crate::diagnostics::Diagnostics;
use crate::render::gpu::GpuTrouble;
use crate::view::{FromWindow, ToWindow};
use afterglow_wire::ids::{Keymap, Size};
use afterglow_wire::limits::SIZE_PX_MAX;
use compare::Comparer;
use idle::Idle;
use keys::Keys;
use outbox::Outbox;
use pointer::{Buttons, Wheel};
use power::Power;
use present::{PresentError, PresentOptions, Trouble};
use shown::{Shown, Turn};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use winit::application::ApplicationHandler;
use winit::event::{DeviceEvent, DeviceId, WindowEvent};
use winit::event_loop::{ActiveEventLoop, ControlFlow, EventLoopProxy};
use winit::keyboard::ModifiersState;
use winit::platform::x11::{ActiveEventLoopExtX11, WindowAttributesExtX11};
use winit::window::{Fullscreen, Window, WindowId};

/// The window's size unless one is asked for.
const SIZE_DEFAULT_PX: (u32, u32) = (1280, 800);
/// How often a lost graphics device is replaced by a new one.
const DEVICES_LOST_MAX: u32 = 5;
/// When messages wait for a full channel, it is tried again after this time.
const BACKLOG_RETRY_MS: u64 = 10;

/// Why there is no window, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum WindowError {
    /// No window system, or none that works.
    #[error(
        "no display server can be reached ({0}); start this in a graphical session, or set DISPLAY \
         (X11) or WAYLAND_DISPLAY (Wayland) to a server that runs"
    )]
    NoDisplay(String),
    /// The window system refuses a window.
    #[error("the window cannot be opened: {0}")]
    NoWindow(winit::error::OsError),
    /// There is nothing to draw with.
    #[error(transparent)]
    Present(#[from] PresentError),
    /// The graphics device is lost again and again.
    #[error("the graphics device was lost {DEVICES_LOST_MAX} times: {0}")]
    DeviceLost(String),
    /// The loop failed.
    #[error("the window system's connection broke: {0}")]
    Loop(winit::error::EventLoopError),
    /// The other half of the program is gone.
    #[error("the network thread ended unexpectedly; its messages above say why")]
    NetworkEnded,
}

/// What the window is to be like.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its inner size in pixels.
    pub size: Option<Size>,
    /// True to open without borders, as large as the screen.
    pub fullscreen: bool,
    /// The keyboard's layout, to be told to the session.
    pub keymap: Keymap,
    /// After which time without a use a window that fills its display goes dark.
    pub dark_after_ms: Option<u64>,
    /// How pictures come onto it.
    pub present: PresentOptions,
    /// Where screenshots go.
    pub screenshot: Option<PathBuf>,
    /// True to make one pixel wrong before the first comparison: a test's aid.
    pub spoil_pixel: bool,
}

/// What wakes the loop.
#[derive(Debug)]
enum Wake {
    Network(ToWindow),
    /// The picture was compared.
    Compared {
        frame: u64,
        others: Vec<u16>,
    },
    Gpu(GpuTrouble),
}

/// The loop's state.
struct App {
    options: Options,
    proxy: EventLoopProxy<Wake>,
    outbox: Outbox,
    started: Instant,
    /// The window, once there is one.
    shown: Option<Shown>,
    keys: Keys,
    buttons: Buttons,
    wheel: Wheel,
    idle: Idle,
    power: Power,
    modifiers: ModifiersState,
    /// The pointer's place in the window, in physical pixels.
    pointer_px: Option<(f64, f64)>,
    /// The place that the session was told last.
    pointer_told: Option<(u16, u16)>,
    diagnostics: Diagnostics,
    comparer: Comparer,
    devices_lost: u32,
    /// When the window has something to do even if nothing happens.
    again_at_ms: Option<u64>,
    /// Why the loop had to end.
    failed: Option<WindowError>,
}

impl ApplicationHandler<Wake> for App {
    fn resumed(&mut self, event_loop: &ActiveEventLoop) {
        if self.shown.is_none()
            && let Err(error) = self.open(event_loop)
        {
            self.fail(event_loop, error);
        }
    }

    fn user_event(&mut self, event_loop: &ActiveEventLoop, wake: Wake) {
        match wake {
            Wake::Network(message) => self.network(event_loop, message),
            Wake::Compared { frame, others } => {
                self.outbox.send(FromWindow::Compared { frame, others });
            }
            Wake::Gpu(GpuTrouble::Refused(text)) => {
                tracing::error!(%text, "the graphics device refused a command");
            }
            Wake::Gpu(GpuTrouble::Lost(text)) => self.device_lost(event_loop, text),
        }
    }

    fn window_event(&mut self, event_loop: &ActiveEventLoop, _: WindowId, event: WindowEvent) {
        match event {
            WindowEvent::CloseRequested | WindowEvent::Destroyed => self.close(event_loop),
            WindowEvent::Resized(size) => self.resized(size.width, size.height),
            WindowEvent::ScaleFactorChanged { .. } => {
                if let Some(shown) = &mut self.shown {
                    let size = shown.window.inner_size();
                    shown.resize(size.width, size.height);
                }
            }
            WindowEvent::RedrawRequested | WindowEvent::Occluded(false) => {
                if let Some(shown) = &mut self.shown {
                    shown.exposed();
                }
            }
            WindowEvent::Focused(false) => {
                self.idle.forget();
                for event in self.keys.release_all() {
                    self.outbox.send(FromWindow::Input(event));
                }
            }
            WindowEvent::ModifiersChanged(modifiers) => self.modifiers = modifiers.state(),
            // Synthetic events tell what was down when the focus changed:
            // nothing that the user does now.
            WindowEvent::KeyboardInput { event, is_synthetic: false, .. } => {
                self.key(event_loop, &event);
            }
            WindowEvent::CursorMoved { position, .. } => self.pointer_moved(position.x, position.y),
            WindowEvent::CursorEntered { .. } => self.wheel.moved(),
            WindowEvent::CursorLeft { .. } => {
                self.pointer_px = None;
                self.osd_event(egui::Event::PointerGone);
            }
            WindowEvent::MouseInput { state, button, .. } => self.button(state, button),
            WindowEvent::MouseWheel { delta, .. } => self.wheel_turned(delta),
            _ => {}
        }
    }

    fn device_event(&mut self, _: &ActiveEventLoop, _: DeviceId, event: DeviceEvent) {
        if let DeviceEvent::Button { button: 4..=7, state } = event {
            self.wheel.button(state);
        }
    }

    fn about_to_wait(&mut self, event_loop: &ActiveEventLoop) {
        let now_ms = self.now_ms();
        self.darken_or_wake(event_loop, now_ms);
        self.diagnose_on_time();
        if let Some(shown) = &mut self.shown {
            let turn = shown.turn(now_ms);
            self.again_at_ms = turn.again_at_ms;
            self.after(turn);
        }
        self.tell_pointer();
        let sent = self.outbox.flush();
        if self.outbox.is_closed() {
            self.fail(event_loop, WindowError::NetworkEnded);
        }
        let backlog = (!sent).then_some(now_ms + BACKLOG_RETRY_MS);
        let dark_at_ms = self.idle.dark_at_ms().filter(|_| self.fills_display());
        let figures_at_ms = self.diagnostics.due_us().map(|due_us| due_us.div_ceil(1000));
        let others = [backlog, dark_at_ms, figures_at_ms].into_iter().flatten();
        let next = self.again_at_ms.into_iter().chain(others).min();
        event_loop.set_control_flow(match next {
            Some(at_ms) => ControlFlow::WaitUntil(self.started + Duration::from_millis(at_ms)),
            None => ControlFlow::Wait,
        });
    }
}

impl App {
    fn now_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn now_ms(&self) -> u64 {
        self.now_us() / 1000
    }

    fn trouble(&self) -> Trouble {
        let proxy = self.proxy.clone();
        // It fails once the window is closed, and then nobody minds.
        Arc::new(move |trouble| drop(proxy.send_event(Wake::Gpu(trouble))))
    }

    fn open(&mut self, event_loop: &ActiveEventLoop) -> Result<(), WindowError> {
        let size = self
            .options
            .size
            .map_or(SIZE_DEFAULT_PX, |size| (size.width_px().into(), size.height_px().into()));
        let attributes = Window::default_attributes()
            .with_title("Afterglow")
            .with_name("afterglow", "afterglow")
            .with_inner_size(winit::dpi::PhysicalSize::new(size.0, size.1))
            .with_fullscreen(self.options.fullscreen.then_some(Fullscreen::Borderless(None)));
        let window = event_loop.create_window(attributes).map_err(WindowError::NoWindow)?;
        let inner = window.inner_size();
        // The network has something to do while the drivers start.
        let size = clamped(inner.width, inner.height);
        self.outbox.send(FromWindow::Ready { size, keymap: self.options.keymap.clone() });
        let display = event_loop.owned_display_handle();
        let (options, trouble) = (&self.options.present, self.trouble());
        self.shown = Some(Shown::new(Arc::new(window), display, options, &trouble)?);
        Ok(())
    }

    fn network(&mut self, event_loop: &ActiveEventLoop, message: ToWindow) {
        let now_ms = self.now_ms();
        let Some(shown) = &mut self.shown else {
            tracing::debug!(message = shown::describe(&message), "there is no window yet");
            return;
        };
        match message {
            ToWindow::View(view) => {
                if shown.show(view, now_ms) {
                    self.keys.forget();
                    self.buttons.forget();
                }
            }
            ToWindow::Attached { .. } => {
                shown.attached();
                self.pointer_told = None;
            }
            ToWindow::Frame { number, commands } => {
                self.diagnostics.frame(&commands);
                match shown.frame(number, &commands, event_loop, now_ms) {
                    Ok(turn) => self.after(turn),
                    Err(error) => {
                        self.outbox.send(FromWindow::BadFrame { text: error.to_string() });
                    }
                }
            }
            ToWindow::Compare(truth) => {
                let (frame, proxy) = (truth.frame, self.proxy.clone());
                let tell = move |others| {
                    // It fails once the window is closed, and then nobody minds.
                    let _ = proxy.send_event(Wake::Compared { frame, others });
                };
                if std::mem::take(&mut self.options.spoil_pixel) {
                    shown.spoil_pixel(now_ms);
                }
                self.comparer.start(|| shown.picture(), truth, tell);
            }
            ToWindow::Spent(spent) => self.diagnostics.spent(&spent),
            ToWindow::LinkMeasured(link) => self.diagnostics.link(link),
            ToWindow::Used => {
                self.idle.used(now_ms);
            }
            ToWindow::Screenshot => self.screenshot(now_ms),
            ToWindow::Quit => event_loop.exit(),
        }
    }

    /// True if this window is all that its user sees.
    fn fills_display(&self) -> bool {
        self.shown.as_ref().is_some_and(|shown| shown.window.fullscreen().is_some())
    }

    /// Makes screen and display what [`Idle`] wants them to be.
    fn darken_or_wake(&mut self, event_loop: &ActiveEventLoop, now_ms: u64) {
        self.idle.turn(self.fills_display(), now_ms);
        let dark = self.idle.is_dark();
        let Some(shown) = &mut self.shown else { return };
        if !shown.darken(dark) {
            return;
        }
        if event_loop.is_x11() {
            if dark { self.power.off() } else { self.power.on() }
        }
        self.outbox.send(FromWindow::Dark { dark });
    }

    fn after(&mut self, turn: Turn) {
        self.note_times(&turn);
        for number in turn.frames_shown {
            self.outbox.frame_shown(number);
        }
        for ask in turn.asks {
            self.outbox.send(FromWindow::Ask(ask));
        }
    }

    fn fail(&mut self, event_loop: &ActiveEventLoop, error: WindowError) {
        self.failed.get_or_insert(error);
        event_loop.exit();
    }

    fn close(&mut self, event_loop: &ActiveEventLoop) {
        self.outbox.send(FromWindow::Closed);
        event_loop.exit();
    }

    /// A new device has nothing of the picture: the session is asked for it by
    /// the way in which it is asked after a frame that made no sense.
    fn device_lost(&mut self, event_loop: &ActiveEventLoop, text: String) {
        tracing::error!(%text, "the graphics device is lost");
        self.devices_lost += 1;
        if self.devices_lost > DEVICES_LOST_MAX {
            return self.fail(event_loop, WindowError::DeviceLost(text));
        }
        let Some(shown) = self.shown.take() else { return };
        let display = event_loop.owned_display_handle();
        let options = &self.options.present;
        match shown.rebuilt(display, options, self.now_ms(), &self.trouble()) {
            Ok(shown) => {
                self.shown = Some(shown);
                let text = "the graphics device was lost, and the picture with it".to_owned();
                self.outbox.send(FromWindow::BadFrame { text });
            }
            Err(error) => self.fail(event_loop, error.into()),
        }
    }

    fn resized(&mut self, width_px: u32, height_px: u32) {
        let Some(shown) = &mut self.shown else { return };
        shown.resize(width_px, height_px);
        // A window without pixels is hidden; the session keeps its size.
        if width_px > 0 && height_px > 0 {
            self.outbox.resized(clamped(width_px, height_px));
        }
    }

    /// Writes what the window shows to the screenshot file, on a thread of its
    /// own.
    fn screenshot(&mut self, now_ms: u64) {
        let Some(shown) = &mut self.shown else { return };
        let Some(path) = self.options.screenshot.clone() else {
            tracing::warn!("no screenshot is written: --screenshot names no file");
            return;
        };
        screenshot::write(shown.snapshot(now_ms), path);
    }
}

fn clamped(width_px: u32, height_px: u32) -> Size {
    let max =
        Size::new(SIZE_PX_MAX, SIZE_PX_MAX).unwrap_or_else(|| unreachable!("it is the limit"));
    Size::clamped(width_px, height_px, max)
}
